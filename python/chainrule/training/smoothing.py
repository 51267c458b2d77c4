"""Smooth a noisy curve, as the book does for the losses of mini-batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, floats

__all__ = ["smooth_curve"]

_WINDOW, _BETA = 11, 2


def smooth_curve(x: Any) -> FloatArray:
    """Give the weighted mean of each value and its neighbours, five on either side; the nearest count most.

    ``yₙ = Σₖ wₖ xₙ₊ₖ / Σₖ wₖ``, for k from -5 to 5, where w is the Kaiser window with β = 2; at the ends, `x` is
    mirrored.

    Parameters
    ----------
    x : array_like, shape (N,)
        Values in order, such as ``history.losses``. Not written to.

    Returns
    -------
    ndarray, shape (N,)
        In float64. For fewer than 11 values it is as short as the book's: 9 of 10, 6 of 9, 3 of 8, none of 7.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers.
    ValueError
        If `x` does not have exactly one axis.

    Notes
    -----
    Source: "Deep Learning from Scratch" §6.1, ``common/util.py``; J. Kaiser, "Nonrecursive digital filter design using
    the I₀-sinh window function", 1974.

    Examples
    --------
    >>> smooth_curve([0.0] * 6 + [1.0] * 6).round(2)[3:9]
    array([0.22, 0.32, 0.44, 0.56, 0.68, 0.78])
    """
    values = floats(x, "x", np.dtype(np.float64))
    if values.ndim != 1:
        raise ValueError(f"x must have one axis, got x.shape={values.shape}")
    mirrored = np.concatenate([values[_WINDOW - 1 : 0 : -1], values, values[-1:-_WINDOW:-1]])
    if len(mirrored) < _WINDOW:
        return np.zeros(0)
    w = np.kaiser(_WINDOW, _BETA)
    y: FloatArray = np.convolve(w / w.sum(), mirrored, mode="valid")
    return y[5 : len(y) - 5]
