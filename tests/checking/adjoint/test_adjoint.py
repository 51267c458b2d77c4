"""The adjoint check: right pairs pass with any seed, wrong ones do not, and the entry and the cause are named.

The truth is a matrix that is written down, or an adjoint derived by hand; no case is judged by the check's own means.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, aslinearoperator, splu

import adjoint_pairs as pairs
from chainrule import check_adjoint
from chainrule.testing import assert_adjoint

R = np.random.default_rng(7).standard_normal
M, C = R((6, 4)), R((6, 4)) + 1j * R((6, 4))
SQUARE = R((5, 5))
MODES: tuple[Any, ...] = ("full", "directions")


# --- what is right ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", pairs.RIGHT)
def test_right_pairs_are_right(name: str, seed: int, mode: Any) -> None:
    forward, adjoint, shape, dtype = pairs.RIGHT[name]
    report = check_adjoint((forward, adjoint), shape, dtype=dtype, seed=seed, mode=mode)
    assert report.verdict == "right", str(report)
    assert report.kind == "adjoint"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
def test_random_matrices_of_all_scales_are_right(dtype: Any, seed: int, mode: Any) -> None:
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((17, 11)) * 10.0 ** rng.integers(-6, 6, (17, 1))
    if np.dtype(dtype).kind == "c":
        A = A * np.exp(1j * rng.random((17, 11)))
    A = A.astype(dtype)
    report = check_adjoint((A, A.conj().T), mode=mode)
    assert report.verdict == "right", str(report)
    assert np.dtype(dtype).name in str(report).splitlines()[0]


@pytest.mark.parametrize(
    "operator",
    [
        M,
        C,
        sparse.csr_array(M),
        sparse.coo_matrix(C),
        aslinearoperator(M),
        aslinearoperator(C),
        2j * aslinearoperator(C),
        aslinearoperator(M) @ aslinearoperator(M.T) + aslinearoperator(R((6, 6))),
        LinearOperator((6, 4), matvec=lambda x: M @ x, rmatvec=lambda y: M.T @ y, dtype="f8"),
        (sparse.csr_array(C), C.conj().T),
        (aslinearoperator(M), lambda y: M.T @ y),
        (M, lambda y: M.T @ y),
    ],
)
def test_operators_and_matrices_are_taken_as_they_are(operator: Any) -> None:
    assert_adjoint(operator)


class Reshaping:
    """An operator that is called with vectors, and tells of the shapes they stand for."""

    shape, dims, dimsd, dtype = (12, 24), (4, 6), (4, 3), np.dtype("f8")

    def matvec(self, x: Any) -> Any:
        return x.reshape(4, 6)[:, ::2].ravel()

    def rmatvec(self, y: Any) -> Any:
        x = np.zeros((4, 6))
        x[:, ::2] = y.reshape(4, 3)
        x[2, 4] *= self.mistake
        return x.ravel()

    mistake = 1.0


def test_vectors_are_told_by_the_shapes_they_stand_for() -> None:
    assert assert_adjoint(Reshaping()).arrays[0].shape == (4, 3, 4, 6)
    wrong = Reshaping()
    wrong.mistake = 1.5
    assert check_adjoint(wrong).arrays[0].where == (2, 2, 2, 4)


def doubled(x: Any) -> Any:
    return 2 * x


METHODS: list[tuple[str, str, dict[str, Any]]] = [
    ("forward", "adjoint", {"ishape": [3, 2], "oshape": [3, 2]}),
    ("direct", "adjoint", {"shape_in": (3, 2), "shape_out": (3, 2)}),
    ("op", "adj_op", {"input_shape": (3, 2), "output_shape": (3, 2)}),
    ("A", "A_adjoint", {"in_shape": (3, 2), "out_shape": (3, 2)}),
    ("__call__", "H", {"ishape": (3, 2), "oshape": (3, 2)}),
    ("_matvec", "_rmatvec", {"shape": (6, 6), "dims": (3, 2), "dimsd": (3, 2)}),
]


@pytest.mark.parametrize(("ahead", "back", "others"), METHODS)
def test_methods_go_by_many_names(ahead: str, back: str, others: dict[str, Any]) -> None:
    kind = type("Thing", (), {ahead: lambda self, x: 2 * x, back: staticmethod(doubled), **others})
    assert assert_adjoint(kind()).arrays[0].shape == (3, 2, 3, 2)
    kind = type("Thing", (), {ahead: lambda self, x: 3 * x, back: staticmethod(doubled), **others})
    assert check_adjoint(kind()).cause == "factor 0.666667"


def test_an_operator_that_is_linear_over_the_reals_only_may_say_so() -> None:
    class Conjugate:
        shape, dtype, clinear = (5, 5), np.dtype("c16"), False

        def matvec(self, x: Any) -> Any:
            return np.conj(x)

        rmatvec = matvec

    assert "linear over the reals" in str(assert_adjoint(Conjugate()))
    Conjugate.clinear = True
    report = check_adjoint(Conjugate())
    assert report.cause == "antilinear"


# --- what is wrong ---


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", pairs.WRONG)
def test_wrong_pairs_are_wrong_and_the_cause_is_named(name: str, mode: Any) -> None:
    forward, adjoint, shape, dtype, cause = pairs.WRONG[name]
    for seed in range(3):
        report = check_adjoint((forward, adjoint), shape, dtype=dtype, seed=seed, mode=mode)
        assert report.verdict == "wrong", str(report)
        assert cause in str(report.cause), str(report)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("off", [1.0, 1e-3, 1e-9])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_one_wrong_entry_is_found_whatever_the_scale_of_its_row(scale: float, off: float, mode: Any) -> None:
    A = R((40, 30))
    A[17] *= scale
    B = A.T.copy()
    B[3, 17] *= 1 + off
    array = check_adjoint((A, B), mode=mode).arrays[0]
    assert (array.verdict, array.where) == ("wrong", (17, 3))
    assert (array.numeric, array.analytic) == (A[17, 3], B[3, 17])


def test_a_large_operator_is_searched_by_halving() -> None:
    calls = 0

    def adjoint(y: Any) -> Any:
        nonlocal calls
        calls += 1
        x = np.roll(y, -1, axis=1)
        x[111, 77] = 0
        return x

    report = check_adjoint((lambda x: np.roll(x, 1, axis=1), adjoint), (120, 90))
    assert report.arrays[0].place == "A[111, 78, 111, 77]"
    assert "A[111, 78, 111, 77]: A* gives 0.000000e+00, A gives 1.000000e+00" in str(report)
    assert calls < 400  # of 10,800 numbers


def test_a_factor_on_some_rows_is_told_with_the_rows() -> None:
    weights = np.ones(20)
    weights[[4, 9]] = 0.5, 0.0
    A = R((20, 7))
    report = check_adjoint((A, A.T * weights))
    assert report.cause == "A* has a factor of its own for 2 of 20 numbers of y (y[4]: 0.5, y[9]: 0)"


# --- rounding ---


@pytest.mark.parametrize("mode", MODES)
def test_what_is_solved_to_a_tolerance_is_judged_by_what_that_leaves(mode: Any) -> None:
    A = SQUARE @ SQUARE.T + np.eye(5)

    def roughly(right: Any) -> Any:  # steepest descent, until the residual is small enough
        x = np.zeros(5)
        while np.linalg.norm(right - A @ x) > 1e-8 * np.linalg.norm(right):
            r = right - A @ x
            x += (r @ r) / (r @ A @ r) * r
        return x

    report = check_adjoint((roughly, roughly), 5, mode=mode)
    assert report.verdict == "right", str(report)
    wrong = check_adjoint((roughly, lambda y: 1.001 * roughly(y)), 5, mode=mode)
    assert wrong.verdict == "wrong", str(wrong)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decades", [2, 6])
def test_an_ill_conditioned_solve_is_no_false_alarm(decades: int, seed: int, mode: Any) -> None:
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.standard_normal((20, 20)))[0] for _ in range(2))
    A = left * np.logspace(0, -decades, 20) @ right
    lu = splu(sparse.csc_array(A))
    report = check_adjoint((lu.solve, lambda y: lu.solve(y, "T")), 20, seed=seed, mode=mode)
    assert report.verdict != "wrong", str(report)
    # Each factorized for itself, they are the adjoints of slightly different operators.
    apart = check_adjoint(
        (lambda x: np.linalg.solve(A, x), lambda y: np.linalg.solve(A.T, y)), 20, seed=seed, mode=mode
    )
    assert apart.verdict != "wrong", str(apart)
    wrong = check_adjoint((lambda x: np.linalg.solve(A, x), lambda y: np.linalg.solve(A, y)), 20, seed=seed, mode=mode)
    assert wrong.verdict == "wrong", str(wrong)


@pytest.mark.parametrize("mode", MODES)
def test_the_smallest_numbers_and_the_largest_are_compared(mode: Any) -> None:
    for scale in (1e-310, 1e-200, 1e200):
        assert check_adjoint((lambda x, s=scale: s * x, lambda y, s=scale: s * y), 6, mode=mode).ok
        assert check_adjoint((lambda x, s=scale: s * x, lambda y, s=scale: 2 * s * y), 6, mode=mode).verdict == "wrong"
    wide = 10.0 ** np.arange(-150, 150, 10)
    other = np.where(wide == wide[11], 1.01 * wide, wide)
    assert check_adjoint((np.diag(wide), np.diag(wide)), mode=mode).ok
    assert check_adjoint((np.diag(wide), np.diag(other)), mode=mode).arrays[0].where == (11, 11)
    assert check_adjoint((lambda x: 2 * x, lambda y: 3 * y), (), mode=mode).cause == "factor 1.5"


@pytest.mark.parametrize("mode", MODES)
def test_where_rounding_hides_all_nothing_is_proved(mode: Any) -> None:
    def lossy(x: Any) -> Any:
        return (x + 1e15) - 1e15  # eighths are left

    report = check_adjoint((lambda x: lossy(x / 16), lambda y: lossy(y / 16)), 30, mode=mode)
    assert report.verdict != "right", str(report)


@pytest.mark.parametrize("mode", MODES)
def test_float32_inside_is_told_and_judged_by_its_digits(mode: Any) -> None:
    def single(x: Any) -> Any:
        return np.fft.fft(x.astype(np.complex64)).astype(np.complex128)

    report = check_adjoint((single, lambda y: np.conj(single(np.conj(y)))), 64, dtype=complex, mode=mode)
    assert report.ok, str(report)
    assert {h.cause for h in report.hazards} == {"loses digits"}
    assert not check_adjoint((single, lambda y: np.conj(single(np.conj(y)))), 64, dtype=complex, strict=True).ok


def test_a_tolerance_lets_pass_what_is_meant_to_be_near() -> None:
    near = M.T * (1 + 0.004 * R((4, 6)))
    assert check_adjoint((M, near)).verdict == "wrong"
    for mode in MODES:
        assert check_adjoint((M, near), tolerance=0.03, mode=mode).verdict == "right"
        assert check_adjoint((M, 1.3 * near), tolerance=0.03, mode=mode).verdict == "wrong"


# --- the report ---


def test_the_report_reads_so_and_goes_into_json() -> None:
    report = check_adjoint((C, C.T))
    lines = str(report).splitlines()
    assert lines[0] == "adjoint (ndarray, ndarray)(x (4,), y (6,)), complex128"
    assert lines[-1] == "A* IS NOT THE ADJOINT OF A"
    assert "cause: no conjugate: Aᵀ for the adjoint" in lines
    plain = json.loads(json.dumps(report.to_dict()))
    i, j = report.arrays[0].where
    assert plain["arrays"][0]["numeric"] == [C[i, j].real, C[i, j].imag]
    assert "A gives" in report._repr_html_()
    assert str(check_adjoint(M)).splitlines()[-1] == "A* is the adjoint of A"
    with pytest.raises(AssertionError, match="no conjugate"):
        assert_adjoint((C, C.T))
    with pytest.raises(AssertionError, match="no effect"):
        assert_adjoint((0 * M, 0 * M.T))
    assert_adjoint((0 * M, 0 * M.T), allow_unproven=True)


def test_scipy_is_not_imported() -> None:
    code = (
        "import sys, numpy as np; from chainrule import check_adjoint\n"
        "assert check_adjoint((np.cumsum, lambda y: np.cumsum(y[::-1])[::-1]), 9).ok\n"
        "assert not any(name.split('.')[0] == 'scipy' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
