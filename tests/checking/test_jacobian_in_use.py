"""check_jacobian and check_hessian as people call them: what once went wrong stays right."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse as sp
from scipy.optimize import Bounds
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from chainrule import check_hessian, check_jacobian, check_problem

A = np.random.default_rng(0).standard_normal((4, 3))
X = np.array([0.5, -1.2, 2.0])


def f(x: Any) -> Any:
    return np.tanh(A @ x)


def jac(x: Any) -> Any:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


# --- what jac may give ---

W = np.random.default_rng(8).standard_normal((4, 2))


def of_rows(x: Any) -> Any:
    """Each row by itself: (3, 4) to (3, 2)."""
    return np.tanh(x @ W)


def one_matrix_for_each_row(x: Any) -> Any:
    return (1 - np.tanh(x @ W) ** 2)[:, :, None] * W.T


def test_jac_may_give_a_matrix_for_each_row() -> None:
    x = np.random.default_rng(9).standard_normal((3, 4))
    assert check_jacobian(of_rows, one_matrix_for_each_row, x).verdict == "right"

    def of_the_first(x: Any) -> Any:
        return np.repeat(one_matrix_for_each_row(x)[:1], len(x), axis=0)

    def one_entry(x: Any) -> Any:
        found = one_matrix_for_each_row(x)
        found[2, 1, 3] *= 1.001
        return found

    wrong = (lambda x: -one_matrix_for_each_row(x), lambda x: 0.5 * one_matrix_for_each_row(x), of_the_first, one_entry)
    for jac in wrong:
        assert check_jacobian(of_rows, jac, x).verdict == "wrong"
    # A function whose rows look at each other has more derivatives than these.
    together = check_jacobian(lambda x: of_rows(x - x.mean(axis=0)), lambda x: one_matrix_for_each_row(x), x)
    assert together.verdict == "wrong"


def one_column_alone(x: Any) -> Any:
    """The colours of this pattern are of several columns, and of one alone."""
    return np.array([np.sum(x**2), x[1] * x[3]])


def one_column_alone_jac(x: Any) -> Any:
    dense = np.zeros((2, len(x)))
    dense[0], dense[1, 1], dense[1, 3] = 2 * x, x[3], x[1]
    return sp.csr_array(dense)


@pytest.mark.parametrize("seed", range(8))
def test_a_group_of_one_column_may_be_moved_backwards(seed: int) -> None:
    x = np.random.default_rng(seed).standard_normal(6)
    assert check_jacobian(one_column_alone, one_column_alone_jac, x, seed=seed).ok
    x = x[:1] + 2.0
    assert check_jacobian(np.sqrt, lambda x: np.diag(0.5 / np.sqrt(x)), x, seed=seed, mode="directions").ok


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"])
@pytest.mark.parametrize("of", ["matrix", "array"])
def test_every_sparse_form_is_read(kind: str, of: str) -> None:
    made = getattr(sp, f"{kind}_{of}")
    assert check_jacobian(f, lambda x: made(jac(x)), X).ok
    assert check_jacobian(f, lambda x: made(2 * jac(x)), X).cause == "factor 2"


@pytest.mark.parametrize(
    "given",
    [
        lambda x: jac(x).tolist(),
        lambda x: tuple(jac(x)),
        lambda x: (jac(x),),
        lambda x: aslinearoperator(jac(x)),
        lambda x: LinearOperator((4, 3), matvec=lambda v: jac(x) @ np.ravel(v)),
        (lambda x, v: jac(x) @ v, lambda x, w: jac(x).T @ w),
        (lambda x, v: jac(x) @ v, None),
        (None, lambda x, w: jac(x).T @ w),
    ],
)
def test_other_forms_are_read(given: Any) -> None:
    assert check_jacobian(f, given, X).ok


def test_a_matrix_of_numpy_is_read() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        assert check_jacobian(f, lambda x: np.matrix(jac(x)), X).ok
        assert check_jacobian(f, lambda x: np.matrix(jac(x)).T, X).cause == "transposed"


def test_of_one_number_a_sparse_vector_and_a_tuple_are_read() -> None:
    assert check_jacobian(lambda x: x @ x, lambda x: sp.coo_array(2 * x), X).ok
    assert check_jacobian(lambda x: x @ x, lambda x: tuple(2 * x), X).ok


def test_a_list_of_columns_is_called_transposed() -> None:
    assert check_jacobian(f, lambda x: list(jac(x).T), X).cause == "transposed"


def test_constant_blocks_of_several_arguments_are_no_products() -> None:
    assert check_jacobian(lambda x, y: A @ x + 2 * A @ y, (A, 2 * A), X, X[::-1].copy()).ok


@pytest.mark.parametrize("made", [np.asarray, sp.csr_array])
def test_what_is_not_finite_is_found_in_its_place(made: Any) -> None:
    def spoiled(x: Any) -> Any:
        dense = jac(x)
        dense[2, 1] = np.nan
        return made(dense)

    report = check_jacobian(f, spoiled, X)
    assert report.arrays[0].where == (2, 1)
    assert report.cause == "not finite: J[2, 1]"


# --- sizes ---


def test_small_rows_and_columns_are_judged_by_their_own_size() -> None:
    rows, columns = np.array([1e-12, 1, 1e9, 1e-5]), np.array([1e8, 1, 1e-8])
    x = X / columns

    def scaled(x: Any) -> Any:
        return rows * f(columns * x)

    def scaled_jac(x: Any, off: Any = 1.0) -> Any:
        return rows[:, None] * jac(columns * x) * columns * off

    assert check_jacobian(scaled, scaled_jac, x).ok
    for place in ((0, 2), (3, 1), (2, 0)):
        off = np.ones((4, 3))
        off[place] = 1.01
        report = check_jacobian(scaled, lambda x, off=off: scaled_jac(x, off), x)
        assert report.verdict == "wrong", place
        assert report.arrays[0].where == place


def test_a_small_row_that_is_left_out_is_missed() -> None:
    size = np.array([1e9, 1e-9])
    report = check_jacobian(lambda x: size * x**2, lambda x: np.diag(size * 2 * x * [1, 0]), X[:2])
    assert report.cause == "row 1 zero"


def test_zeros_of_small_rows_are_proved() -> None:
    for size in (1e-12, 1e-30, 1e300):
        assert check_jacobian(lambda x, s=size: s * x**2, lambda x, s=size: np.diag(s * 2 * x), X).ok


# --- causes ---


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda m: m * np.where(np.eye(3), 2, 1), "factor 2 in the diagonal"),
        (lambda m: m * np.where(np.eye(3), 1, 2), "factor 2 in all that is off the diagonal"),
        (lambda m: m * [[1, 1, 1], [1, 1, -1], [1, 1, -1]], "column 2 wrong: factor -1 in H[1, 2], H[2, 2]"),
        (lambda m: m * [[1, 1, 1], [1, -1, 1], [1, 1, 1]], "one entry: H[1, 1], factor -1"),
    ],
)
def test_a_cause_says_where_a_factor_is(change: Callable[[Any], Any], cause: str) -> None:
    square = A[:3] + A[:3].T
    report = check_hessian(lambda x: square @ x, lambda x: change(square), X)
    assert report.arrays[0].cause == cause


def test_what_explains_every_block_is_plainer_than_that_they_are_swapped() -> None:
    eye = np.eye(3)
    assert check_jacobian(lambda a, b: a - b, lambda a, b: (-eye, eye), X, 2 * X).cause == "factor -1"
    report = check_jacobian(lambda a, b: a - 2 * b, lambda a, b: (-2 * eye, eye), X, 2 * X)
    assert report.cause is not None
    assert report.cause.startswith("blocks swapped")


# --- bounds ---


def guarded(x: Any) -> Any:
    if (x < 0).any() or (x > 4).any():
        raise AssertionError("asked beyond its bounds")
    return x**2 * [1.0, 2.0, 3.0][: len(x)]


def guarded_jac(x: Any) -> Any:
    return np.diag(2 * x * [1.0, 2.0, 3.0][: len(x)])


@pytest.mark.parametrize("bounds", [(0, 4), ([0, 0, 0], [4, 4, 4]), Bounds(0, 4), (np.zeros(3), 4.0)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_bounds_of_every_form_are_kept_and_zeros_at_them_are_proved(bounds: Any, form: Any) -> None:
    x = np.array([4.0, 0.0, 1.5])
    assert check_jacobian(guarded, lambda x: form(guarded_jac(x)), np.array([4.0, 1.0, 1.5]), bounds=bounds).ok
    report = check_jacobian(guarded, lambda x: form(guarded_jac(x) + np.diag([0, 0, 1])), x, bounds=bounds)
    assert report.arrays[0].where == (2, 2)


def test_a_side_without_a_bound_is_none() -> None:
    assert check_jacobian(np.sqrt, lambda x: np.diag(0.5 / np.sqrt(x)), np.array([1e-4, 2.0]), bounds=(0, None)).ok


@pytest.mark.parametrize(
    ("bounds", "says"),
    [
        (([0, 0], [4, 4]), "bounds of x have shape (2,), and x has (3,)"),
        ((0, 1), "x[1] is 3, which is not between its bounds 0 and 1"),
        ((4, 0), "x[0] is 1, which is not between its bounds 4 and 0"),
    ],
)
def test_bounds_that_do_not_fit_are_told_before_anything_is_asked(bounds: Any, says: str) -> None:
    def never(x: Any) -> Any:
        raise AssertionError("asked")

    with pytest.raises(ValueError, match=re.escape(says)):
        check_jacobian(never, never, np.array([1.0, 3.0, 0.5]), bounds=bounds)


@pytest.mark.parametrize("bounds", [[(0, 5), (0, 5)], ([0, 0], [5, 5]), (0, 5), [(None, 5), (0, None)], Bounds(0, 5)])
def test_a_problem_takes_bounds_as_every_solver_does(bounds: Any) -> None:
    seen: list[Any] = []

    def residuals(x: Any) -> Any:
        seen.append(np.array(x))
        return np.array([x[0] ** 2, x[0] * x[1]])

    report = check_problem(residuals, [1.0, 3.0], jac=lambda x: [[2 * x[0], 0], [x[1], x[0]]], bounds=bounds)
    assert report.ok
    assert np.max(np.array(seen)[:, 0]) <= 5


# --- complex numbers ---


def test_complex_numbers_in_a_list_and_a_diagonal_are_read() -> None:
    assert check_jacobian(lambda z: np.asarray(z) ** 2, lambda z: 2 * np.asarray(z), [1 + 2j, 0.5 - 1j]).ok


# --- what cannot be checked is told ---


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: check_jacobian(f, None, X), "jac must be a function that gives the derivatives"),
        (lambda: check_jacobian(f, "2-point", X), "jac must be a function that gives the derivatives"),
        (lambda: check_jacobian(f, True, X), "use check_problem"),
        (lambda: check_jacobian(f, lambda x: None, X), "gives None; it must give the derivatives"),
        (lambda: check_jacobian(A, jac, X), "f must be a function, got ndarray"),
        (lambda: check_hessian(None, jac, X), "grad must be a function, got NoneType"),
    ],
)
def test_what_is_no_function_is_told(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(TypeError, match=re.escape(says)):
        call()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: check_jacobian(f, jac, X, row_names="abc"), "there are 3 row_names, but 4 rows"),
        (lambda: check_jacobian(f, jac, X, column_names="ab"), "there are 2 column_names, but 3 columns"),
        (
            lambda: check_hessian(lambda x: x @ x, lambda x: 2 * np.eye(3), X),
            "must give the gradient with respect to x, 3 numbers",
        ),
        (lambda: check_jacobian(f, jac, X, retract=np.add, bounds=(0, 1)), "bounds must be a dict by the names"),
    ],
)
def test_what_does_not_fit_is_told(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        call()


def test_small_numbers_beside_large_ones_are_moved_in_their_own_size() -> None:
    """Where the first look finds them wrong, too: what is curved there is no rounding."""
    for small, large in ((1e-3, 1e5), (1e-6, 300.0), (1e-9, 1.0)):

        def of_both(x: Any, s: float = small, t: float = large) -> Any:
            return np.array([np.log1p((x[0] / s) ** 2) * x[1], np.sqrt(1 + (x[0] / s) ** 2) + np.tanh(x[1] / t)])

        def of_both_jac(x: Any, off: float, s: float = small, t: float = large) -> Any:
            z, root = x[0] / s, np.sqrt(1 + (x[0] / s) ** 2)
            by_small = np.array([2 * z / (1 + z * z) / s * x[1], z / root / s * off])
            return np.stack([by_small, [np.log1p(z * z), (1 - np.tanh(x[1] / t) ** 2) / t]], axis=1)

        x = np.array([0.8 * small, large])
        assert check_jacobian(of_both, lambda x, g=of_both_jac: g(x, 1.0), x).ok
        report = check_jacobian(of_both, lambda x, g=of_both_jac: g(x, 1.001), x)
        assert report.arrays[0].where == (1, 0), report


@pytest.mark.parametrize("digits", ["float32", "six"])
def test_small_slopes_of_code_that_rounds_are_not_called_0(digits: str) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((4, 5))
    x = np.array([0.5, 1e-3, 2.0, -0.3, 1e-3])  # the third row is all but saturated

    def rounded(x: Any) -> Any:
        if digits == "six":
            return np.round(np.tanh(matrix @ x), 6)
        return np.tanh(matrix.astype(np.float32) @ x.astype(np.float32)).astype(float)

    def slopes(x: Any) -> Any:
        return (1 - np.tanh(matrix @ x) ** 2)[:, None] * matrix

    assert check_jacobian(rounded, slopes, x).verdict == "unproven"
    assert check_jacobian(rounded, lambda x: slopes(x) * [1, 1, 1.3, 1, 1], x).verdict == "wrong"
