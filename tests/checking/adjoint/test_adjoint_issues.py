"""Adjoints that were wrong in public code: seen in both modes, and right once mended."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import check_adjoint
from derivatives.adjoint_case import AdjointCase, adjoint_cases
from derivatives.adjoint_issues import SUBJECTS

Array = Any
CASES = tuple(adjoint_cases(SUBJECTS))


@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("case", [case for case in CASES if case.wrong], ids=lambda case: case.name)
def test_the_mistake_is_seen(case: AdjointCase, mode: Any) -> None:
    report = case.check(mode=mode)
    assert report.verdict == "wrong", str(report)
    assert case.wrong is not None
    if mode == "full" or not case.wrong.cause.count("factor of its own"):
        assert case.named(report) is not False, str(report)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("case", [case for case in CASES if not case.wrong], ids=lambda case: case.name)
def test_what_mends_it_is_right(case: AdjointCase, seed: int) -> None:
    report = case.check(seed=seed)
    assert report.verdict == "right", str(report)


def test_what_was_no_mistake_is_none() -> None:
    """epfl-lts2/pyunlocbox#15: the last row of a divergence looks wrong, and is right."""

    def divergence(d: Array) -> Array:
        return np.concatenate([d[:1], np.diff(d[:-1], axis=0), -d[-2:-1]])

    assert check_adjoint((lambda x: np.pad(np.diff(x, axis=0), ((0, 1), (0, 0))), lambda y: -divergence(y)), (9, 4)).ok


def test_a_flattened_dot_product_hides_a_shape_and_this_does_not() -> None:
    """PTB-MR/mrpro#220: the right numbers in another shape passed a test that flattened both."""
    report = check_adjoint((lambda x: 2 * x, lambda y: (2 * y)[None]), (3, 4))
    assert [h.cause for h in report.hazards] == ["wrong shape"]
    assert not check_adjoint((lambda x: 2 * x, lambda y: (2 * y)[None]), (3, 4), strict=True)


def test_an_image_that_comes_back_for_a_vector_is_told() -> None:
    """PyLops/pylops#500: products of operators gave (5, 5) for the 25 numbers of a vector."""
    report = check_adjoint((lambda x: np.cumsum(x), lambda y: np.cumsum(y[::-1])[::-1].reshape(5, 5)), 25)
    assert report.ok
    assert "gives shape (5, 5), but (25,) is needed" in report.hazards[0].detail


def test_a_complex_filter_that_is_correlated_without_its_conjugate() -> None:
    """As one of PyLops 2.8's convolutions does."""
    taps = np.array([1 + 2j, 0.5, -1j])
    report = check_adjoint(
        (lambda x: np.convolve(x, taps, "same"), lambda y: np.convolve(y, taps[::-1], "same")), 30, dtype=complex
    )
    assert report.cause == "no conjugate: Aᵀ for the adjoint"
