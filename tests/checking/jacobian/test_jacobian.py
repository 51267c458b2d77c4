"""Jacobians in all their forms: right ones are right, wrong ones are named, with a place and a cause."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from chainrule import check_gradients, check_jacobian
from chainrule.testing import assert_jacobian

RNG = np.random.default_rng(0)
A, B = RNG.standard_normal((6, 4)), RNG.standard_normal((6, 3))
X, Y = RNG.standard_normal(4), RNG.standard_normal(3)


def f(x: Any) -> Any:
    return np.sin(A @ x)


def jac(x: Any) -> Any:
    return np.cos(A @ x)[:, None] * A


def two(x: Any, y: Any) -> Any:
    return f(x) + (B @ y) ** 2


def two_jac(x: Any, y: Any) -> Any:
    return jac(x), 2 * (B @ y)[:, None] * B


def square(x: Any) -> Any:
    return x @ x.T


def square_jac(x: Any) -> Any:
    eye = np.eye(len(x))
    return np.einsum("ik,jl->ijkl", eye, x) + np.einsum("jk,il->ijkl", eye, x)


def as_sparse(x: Any) -> Any:
    return sparse.csr_array(jac(x))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("function", "derivatives", "arguments"),
    [
        (f, jac, (X,)),
        (f, lambda x: jac(x).tolist(), (X,)),
        (f, jac(X), (X,)),
        (f, as_sparse, (X,)),
        (f, lambda x: sparse.coo_matrix(jac(x)), (X,)),
        (f, lambda x: aslinearoperator(jac(x)), (X,)),
        (f, (lambda x, v: jac(x) @ v, lambda x, w: jac(x).T @ w), (X,)),
        (f, jac, (X.astype(np.float32),)),
        (two, two_jac, (X, Y)),
        (two, lambda x, y: dict(zip("yx", two_jac(x, y)[::-1], strict=True)), (X, Y)),
        (two, lambda x, y: [sparse.csc_array(block) for block in two_jac(x, y)], (X, Y)),
        (square, square_jac, (RNG.standard_normal((3, 4)),)),
        (np.sin, np.cos, (X,)),
        (lambda x: x @ x, lambda x: 2 * x, (X,)),
        (lambda x: float(x) ** 3, lambda x: 3 * x**2, (1.5,)),
        (lambda x: [x[0] * x[1], 7.0], lambda x: [[x[1], x[0]], [0, 0]], (X[:2],)),
    ],
)
def test_every_form_of_a_right_one_is_right(function: Any, derivatives: Any, arguments: Any, seed: int) -> None:
    for mode in ("auto", "full", "directions"):
        report = check_jacobian(function, derivatives, *arguments, seed=seed, mode=mode)
        assert report.ok, report


WRONG: dict[str, tuple[Any, str]] = {
    "sign": (lambda x: -jac(x), "factor -1"),
    "factor": (lambda x: 3 * jac(x), "factor 3"),
    "degrees": (lambda x: np.degrees(jac(x)), "factor 180/π"),
    "zero": (lambda x: 0 * jac(x), "zero"),
    "transposed": (lambda x: jac(x).T, "transposed"),
    "column": (lambda x: jac(x) * [1, 1, 2, 1], "column 2: factor 2"),
    "row": (lambda x: jac(x) * np.array([1, -1, 1, 1, 1, 1])[:, None], "row 1: factor -1"),
    "no column": (lambda x: jac(x) * [1, 0, 1, 1], "column 1 zero"),
    "columns swapped": (lambda x: jac(x)[:, [0, 3, 2, 1]], "columns 1 and 3 swapped"),
    "rows swapped": (lambda x: jac(x)[[0, 1, 4, 3, 2, 5]], "rows 2 and 4 swapped"),
    "rows moved on": (lambda x: np.roll(jac(x), 1, axis=0), "rows moved on by 1"),
    "one entry": (lambda x: jac(x) + 0.1 * (np.arange(24).reshape(6, 4) == 9), "one entry: J[2, 1]"),
    "outer derivative": (lambda x: A, "chain rule: rows 0, 1, 2 … off by factors of their own"),
}


@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_one_has_a_cause_and_a_place(name: str, mode: Any) -> None:
    derivatives, cause = WRONG[name]
    report = check_jacobian(f, derivatives, X, mode=mode)
    assert report.verdict == "wrong"
    assert report.cause == cause
    (found,) = report.arrays
    if name == "transposed":  # which is of no entry
        return
    i, j = found.where
    assert not np.isclose(np.asarray(derivatives(X))[i, j], jac(X)[i, j])
    np.testing.assert_allclose(found.analytic, derivatives(X)[i, j], rtol=1e-12)
    assert abs(found.numeric - jac(X)[i, j]) <= found.bar


def test_a_link_of_the_chain_rule_is_told_by_its_formula() -> None:
    """Columns by log x for x; rows that lack the derivative of what was applied last."""
    x = np.abs(X) + 0.5
    assert "factor x of its own x" in (check_jacobian(f, lambda x: jac(x) * x, x).cause or "")

    def squashed(x: Any) -> Any:
        return np.tanh(A @ x / 4)

    report = check_jacobian(squashed, lambda x: A / 4, x)
    assert report.cause == "chain rule: each row is off by the factor 1/(1 - f²) of its own f"


def test_blocks_that_are_swapped_are_told() -> None:
    b = RNG.standard_normal((6, 4))

    def both(x: Any, y: Any) -> Any:
        return f(x) + (b @ y) ** 2

    report = check_jacobian(both, lambda x, y: (2 * (b @ y)[:, None] * b, jac(x)), X, X + 1)
    assert [a.cause for a in report.arrays] == ["blocks swapped: it is that by y", "blocks swapped: it is that by x"]


def test_names_of_rows_and_columns_tell_the_place() -> None:
    rows, columns = [f"r{i}" for i in range(6)], ["a", "b", "c", "d"]
    report = check_jacobian(f, WRONG["one entry"][0], X, row_names=rows, column_names=columns)
    assert report.arrays[0].place == "J[r2, b]"
    assert "J[r2, b]: analytic" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["arrays"][0]["labels"] == ["r2", "b"]


def test_the_transposed_products_are_checked_too() -> None:
    report = check_jacobian(f, (lambda x, v: jac(x) @ v, lambda x, w: A.T @ w), X)
    assert [(a.name, a.verdict) for a in report.arrays] == [("J", "right"), ("Jᵀ", "wrong")]
    half = LinearOperator((6, 4), matvec=lambda v: jac(X) @ v, rmatvec=lambda w: jac(X).T @ w / 2)
    assert check_jacobian(f, half, X).arrays[1].cause == "factor 1/2"
    big = RNG.standard_normal((150, 150)) / 12
    good = LinearOperator(big.shape, matvec=lambda v: big @ v, rmatvec=lambda w: big.T @ w)
    bad = LinearOperator(big.shape, matvec=lambda v: big @ v, rmatvec=lambda w: big @ w)
    x = RNG.standard_normal(150)
    assert check_jacobian(lambda x: big @ x, good, x, mode="directions").ok
    assert check_jacobian(lambda x: big @ x, bad, x, mode="directions").verdict == "wrong"


def test_a_pair_with_a_vector_valued_function_goes_here_by_itself() -> None:
    assert check_gradients((f, jac), X).kind == "jacobian"
    assert check_gradients((f, lambda x: jac(x).T), X).cause == "transposed"
    assert check_gradients(lambda x: (f(x), jac(x)), X).kind == "jacobian"
    assert check_gradients((f, as_sparse), X).ok
    # What is one number for each entry or example stays a pair.
    assert check_gradients((np.sin, np.cos), X).kind == "pair"
    rows = RNG.standard_normal((5, 3))
    assert check_gradients((lambda x: (x**2).sum(axis=1), lambda x: 2 * x), rows).kind == "pair"


# --- sparse ---


def band(n: int) -> tuple[Any, Any, list[int]]:
    """Give a function whose Jacobian has three diagonals, that, and a list with how often it was called."""
    calls = [0]

    def function(x: Any) -> Any:
        calls[0] += 1
        y = x**2
        y[1:] += np.sin(x[:-1])
        y[:-1] -= x[1:] * x[:-1]
        return y

    def derivatives(x: Any) -> Any:
        middle = 2 * x
        middle[:-1] -= x[1:]
        return sparse.diags([np.cos(x[:-1]), middle, -x[:-1]], [-1, 0, 1], format="csr")

    return function, derivatives, calls


def test_a_band_takes_as_many_evaluations_as_it_has_diagonals() -> None:
    function, derivatives, calls = band(10_000)
    report = check_jacobian(function, derivatives, RNG.standard_normal(10_000))
    assert report.ok
    assert report.arrays[0].mode == "groups"
    assert report.arrays[0].checked == 29_998
    assert calls[0] <= 60


def test_an_entry_that_the_pattern_leaves_out_is_found() -> None:
    function, derivatives, _ = band(2_000)
    x = RNG.standard_normal(2_000)

    def without(x: Any) -> Any:
        entries = derivatives(x).tolil()
        entries[500, 501] = 0
        return entries.tocsr()

    report = check_jacobian(function, without, x)
    assert (report.arrays[0].place, report.cause) == ("J[500, 501]", "entries missing: J[500, 501]")

    def far(x: Any) -> Any:
        y = function(x)
        y[17] += 0.1 * x[1900]
        return y

    report = check_jacobian(far, derivatives, x)
    assert report.arrays[0].place == "J[17, 1900]"

    def shifted(x: Any) -> Any:
        return derivatives(np.roll(x, 1))

    assert check_jacobian(function, shifted, x).verdict == "wrong"


def test_entries_at_one_place_are_added_up() -> None:
    rows, columns = np.indices((6, 4)).reshape(2, -1)
    halves = np.tile(jac(X).ravel() / 2, 2)
    twice = sparse.coo_array((halves, (np.tile(rows, 2), np.tile(columns, 2))), shape=(6, 4))
    assert check_jacobian(f, twice, X).ok


# --- what is no number ---


def test_what_it_does_beside_its_numbers_is_told() -> None:
    kept = np.zeros((4, 4))

    def again(x: Any) -> Any:
        kept[:] = np.diag(2 * x)
        return kept

    report = check_jacobian(lambda x: x**2, again, X)
    assert (report.verdict, report.cause) == ("right", "overwrites its last result")
    assert "J changes with the next call" in str(report)
    assert check_jacobian(lambda x: x**2, again, X, strict=True).verdict == "wrong"

    def writes(x: Any) -> Any:
        made = np.diag(2 * x)
        x += 1
        return made

    assert check_jacobian(lambda x: x**2, writes, X).cause == "writes into its input"
    first: list[Any] = []

    def stale(x: Any) -> Any:
        first.append(jac(x))
        return first[0]

    assert (check_jacobian(f, stale, X).cause or "").startswith("stale batch")
    noise = np.random.default_rng(3)
    assert check_jacobian(lambda x: x**2 + noise.standard_normal(4), lambda x: np.diag(2 * x), X).ok


def test_a_corner_is_told_and_left_out() -> None:
    report = check_jacobian(np.abs, lambda x: np.diag(np.sign(x)), np.array([0.0, 1.0, -2.0]))
    assert (report.verdict, report.kinks) == ("unproven", 1)


def test_rows_of_unlike_units_are_judged_each_by_its_own() -> None:
    scales = np.array([1e-12, 1.0, 1e9, 1e-3, 1e5, 1.0])
    assert check_jacobian(lambda x: scales * f(x), lambda x: scales[:, None] * jac(x), X).ok
    wrong = np.where(np.arange(6) == 0, 1.001, 1.0) * scales
    report = check_jacobian(lambda x: scales * f(x), lambda x: wrong[:, None] * jac(x), X)
    assert report.cause == "row 0: factor 1.001"


@pytest.mark.parametrize(
    ("derivatives", "arguments", "error", "message"),
    [
        (lambda x: "no", (X,), TypeError, "must give real numbers"),
        (lambda x: jac(x) * 1j, (X,), TypeError, "must give real numbers"),
        (lambda x: (jac(x),) * 3, (X,), ValueError, r"gives 3 blocks for 1 arguments \(x\)"),
        (lambda x: {"z": jac(x)}, (X,), ValueError, r"blocks named z, but the arguments are x"),
        (jac, (np.full(4, np.nan),), ValueError, r"^x\[0\] is nan"),
        (jac, (), TypeError, "cannot be called with the 0 arguments"),
    ],
)
def test_bad_input_is_refused_by_name(derivatives: Any, arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        check_jacobian(f, derivatives, *arguments)


def test_another_shape_is_wrong_and_says_what_it_should_be() -> None:
    report = check_jacobian(f, lambda x: jac(x)[:, :3], X)
    assert report.cause == "wrong shape"
    assert "it has shape (6, 3); f gives (6,) for (4,), so it should have (6, 4)" in str(report)


def test_in_a_test_the_report_is_the_message() -> None:
    assert assert_jacobian(f, jac, X).ok
    with pytest.raises(AssertionError, match="DERIVATIVES DIFFER"):
        assert_jacobian(f, WRONG["sign"][0], X)


def test_the_callers_arrays_are_as_they_were() -> None:
    x = X.copy()
    check_jacobian(f, WRONG["sign"][0], x)
    np.testing.assert_array_equal(x, X)


def test_the_picture_shows_every_entry() -> None:
    assert check_jacobian(f, jac, X).plot().axes
    assert "J[2, 1]" in check_jacobian(f, WRONG["one entry"][0], X)._repr_html_()
