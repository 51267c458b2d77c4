"""smoothing.py: the mean of neighbours, with weights that sum to 1."""

from __future__ import annotations

import numpy as np
import pytest

from chainrule import smooth_curve


def test_it_is_a_mean_with_the_windows_weights() -> None:
    x = np.random.default_rng(0).normal(size=40)
    before = x.copy()
    w = np.kaiser(11, 2)
    y = smooth_curve(x)
    expected = [np.dot(w, x[i - 5 : i + 6]) / w.sum() for i in range(5, 35)]
    assert np.allclose(y[5:35], expected, rtol=1e-13)
    assert np.array_equal(x, before)
    assert np.allclose(smooth_curve([3.0] * 30), 3)


@pytest.mark.parametrize(("n", "left"), [(0, 0), (1, 0), (5, 0), (7, 0), (8, 3), (9, 6), (10, 9), (11, 11), (300, 300)])
def test_how_many_values_come_back(n: int, left: int) -> None:
    assert smooth_curve(np.ones(n)).shape == (left,)


def test_what_is_no_curve_is_named() -> None:
    with pytest.raises(ValueError, match=r"x must have one axis, got x.shape=\(2, 2\)"):
        smooth_curve(np.ones((2, 2)))
