"""What the adjoint check asks beside the numbers, what it leaves behind, and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_adjoint

R = np.random.default_rng(7).standard_normal
M, C = R((6, 4)), R((6, 4)) + 1j * R((6, 4))


def broken(report: GradientReport) -> dict[str, str | None]:
    return {c.name: c.cause for c in report.contracts if c.held is False}


# --- contracts ---


class Bad:
    """The identity times 3, with a way to go wrong beside the numbers."""

    def __init__(self, how: str) -> None:
        self.how, self.kept, self.buffer = how, np.zeros(8), np.zeros(8)

    def __call__(self, x: Any) -> Any:
        result = 3 * x
        if self.how == "writes":
            x *= 2
        if self.how == "adds":
            self.kept = result = self.kept + result
        if self.how == "keeps":
            self.kept, result = result, result + 0.1 * self.kept
        if self.how == "buffer":
            self.buffer[:] = result
            return self.buffer
        if self.how == "draws":
            result = result + 0.1 * np.random.standard_normal(8)
        if self.how == "rounds":
            result = np.round(result)
        if self.how == "adds one":
            result = result + 1
        if self.how == "first only":
            self.kept = self.kept if self.kept.any() else result
            return self.kept.copy()
        return result


@pytest.mark.parametrize("of_adjoint", [False, True])
@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("writes", "writes into its argument"),
        ("adds", "accumulates"),
        ("keeps", "keeps an earlier call"),
        ("draws", "not deterministic"),
        ("rounds", "not linear"),
        ("adds one", "adds a constant"),
        ("first only", "ignores its argument"),
    ],
)
def test_each_contract_is_seen_broken(how: str, cause: str, of_adjoint: bool) -> None:
    good = Bad("not")
    report = check_adjoint((good, Bad(how)) if of_adjoint else (Bad(how), good), 8)
    assert report.verdict == "wrong"
    assert cause in broken(report).values(), str(report)
    assert all(name.startswith("A*" if of_adjoint else "A ") for name in broken(report)), broken(report)
    assert report.cause == cause


def test_hazards_change_no_verdict_unless_strict() -> None:
    for subject, cause in (
        ((Bad("buffer"), Bad("not")), "overwrites its last result"),
        ((lambda x: x[::-1], lambda y: y[::-1]), "aliases its argument"),
        ((lambda x: x.astype("f4"), lambda y: y + 0), "wrong dtype"),
        ((lambda x: x[:, None] * 1, lambda y: y[:, 0] * 1), None),
        ((lambda x: x * 1, lambda y: y[:, None] * 1), "wrong shape"),
    ):
        report = check_adjoint(subject, 8)
        assert report.ok, str(report)
        assert (report.hazards[0].cause if report.hazards else None) == cause
        assert check_adjoint(subject, 8, strict=True).ok is (cause is None)


def test_a_pair_that_shares_what_one_writes_is_seen() -> None:
    state = np.ones(6)

    def forward(x: Any) -> Any:
        state[:] = x
        return 2 * x

    report = check_adjoint((forward, lambda y: 2 * y * state), 6)
    assert "keeps an earlier call" in broken(report).values()


def test_other_ways_to_call_it_must_give_the_same() -> None:
    class Switched:
        """What A.H says of a complex operator is its transpose."""

        shape, dtype = (6, 4), C.dtype

        def matvec(self, x: Any) -> Any:
            return C @ x

        def rmatvec(self, y: Any) -> Any:
            return C.conj().T @ y

        @property
        def H(self) -> Any:
            return C.T

    report = check_adjoint(Switched())
    assert broken(report) == {"A.H @ y gives what rmatvec gives": "other ways differ"}
    assert report.headline == "A CONTRACT IS BROKEN"


# --- what is left behind, what is refused ---


def test_arrays_and_generators_are_as_before() -> None:
    held, generator = np.arange(6.0), np.random.default_rng(3)

    def forward(x: Any) -> Any:
        held[:] = generator.standard_normal(6) + np.random.random_sample()
        return x * random.random()

    np.random.seed(5)
    random.seed(5)
    before = held.copy(), generator.bit_generator.state, np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    check_adjoint((forward, forward), 6)
    assert np.array_equal(held, before[0])
    assert generator.bit_generator.state == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # type: ignore[index]
    assert random.getstate() == before[3]


@pytest.mark.parametrize(
    ("subject", "shapes", "error", "message"),
    [
        (lambda x: x, (), TypeError, "not an operator in a known form"),
        ((np.cumsum,), (), TypeError, "two parts, got 1"),
        ((np.cumsum, np.cumsum), (), ValueError, "give shape_in="),
        ((np.cumsum, 3), (4,), TypeError, "A_adjoint must be a function or a matrix, got int"),
        ((M, M), (), ValueError, r"needs shape \(4, 6\), got \(6, 4\)"),
        ((M, M.T), (5,), ValueError, r"shape_in \(5,\) has 5 numbers, and the operator's shape says 4"),
        ((np.cumsum, np.cumsum), (4, 5), ValueError, r"gives shape \(4,\).*shape_out says \(5,\)"),
        ((np.cumsum, np.cumsum), (-1,), ValueError, "whole numbers"),
        ((lambda x: None, np.cumsum), (4,), TypeError, "gives None"),
        ((lambda x: "text", np.cumsum), (4,), TypeError, "must give numbers"),
        ((lambda x: x / 0, np.cumsum), (4,), ValueError, r"gives -?inf at \[0\]"),
        ((np.cumsum, lambda y: y * np.nan), (4,), ValueError, r"gives nan at \[0\]"),
        ((lambda x: x * 1e308, lambda y: y * 1e308), (4,), ValueError, "finite"),
    ],
)
def test_what_is_refused_is_said_in_words(subject: Any, shapes: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        check_adjoint(subject, *shapes)


def test_what_the_operator_raises_is_passed_on_with_a_note() -> None:
    def only_five(x: Any) -> Any:
        raise LookupError("five are needed")

    with pytest.raises(LookupError, match="five") as caught:
        check_adjoint((only_five, only_five), 4)
    assert any("shape (4,)" in note for note in caught.value.__notes__)
    with pytest.raises(ValueError, match="mode"):
        check_adjoint(M, mode="some")  # type: ignore[arg-type]


def test_an_adjoint_of_another_shape_is_wrong_and_said() -> None:
    report = check_adjoint((np.diff, np.cumsum), 7)
    assert (report.verdict, report.cause) == ("wrong", "wrong shape")
    assert "cumsum gives shape (6,), but (7,) is needed" in str(report)


@pytest.mark.parametrize("shape", [0, (3, 0)])
def test_nothing_is_proved_of_nothing(shape: Any) -> None:
    report = check_adjoint((lambda x: x * 1, lambda y: y * 1), shape)
    assert report.verdict == "unproven"
    assert check_adjoint((lambda x: x[:0] * 1, lambda y: y), 4).verdict == "unproven"
    zero = check_adjoint((lambda x: 0 * x, lambda y: 0 * y), 4)
    assert (zero.verdict, zero.vacuous) == ("unproven", ("A",))


def test_another_way_that_raises_is_a_hazard_and_one_that_is_not_there_is_none() -> None:
    class Partly:
        shape, dtype = (6, 4), M.dtype

        def matvec(self, x: Any) -> Any:
            return M @ x

        def rmatvec(self, y: Any) -> Any:
            return M.T @ y

        def matmat(self, x: Any) -> Any:
            raise IndexError("one column only\nand more")

        def rmatmat(self, y: Any) -> Any:
            raise NotImplementedError

    report = check_adjoint(Partly())
    assert report.ok
    assert [h.detail for h in report.hazards] == ["A.matmat raises IndexError: one column only"]
    assert [c.name for c in report.contracts if c.held is None] == ["A.rmatmat gives what rmatvec gives"]


def test_a_flag_that_is_called_adjoint_is_no_adjoint() -> None:
    class Product:
        ishape, oshape, adjoint = (4,), (6,), False

        def __call__(self, x: Any) -> Any:
            return M @ x

        @staticmethod
        def H(y: Any) -> Any:
            return M.T @ y

    assert check_adjoint(Product()).ok


def test_digits_are_judged_by_the_numbers_that_are_compared() -> None:
    def fourier(x: Any) -> Any:  # real numbers it takes for single ones
        return np.fft.fft(x if x.dtype.kind == "c" else x.astype(np.float32))

    report = check_adjoint((fourier, lambda y: 16 * np.fft.ifft(y)), 16)
    assert report.ok
    assert not report.hazards
    assert report.arrays[0].error_bar < 1e-13


def test_a_buffer_that_spoils_a_product_of_matrices_is_wrong() -> None:
    class Buffered:
        shape, dtype = (6, 4), M.dtype
        buffer = np.zeros(6)

        def matvec(self, x: Any) -> Any:
            self.buffer[:] = M @ x
            return self.buffer

        def rmatvec(self, y: Any) -> Any:
            return M.T @ y

        def matmat(self, X: Any) -> Any:
            made = [self.matvec(x) for x in X.T]  # all of them the same array
            return np.stack(made, axis=1)

    report = check_adjoint(Buffered())
    assert (report.verdict, report.cause) == ("wrong", "overwrites its last result")
    assert broken(report)["A.matmat gives what matvec gives"] == "other ways differ"
