"""The gradient of any function by central differences: slow, but independent of how the function works.

``df/dxᵢ ≈ (f(x + h eᵢ) - f(x - h eᵢ)) / 2h``, one entry after another, with two calls of `f` for each.

`f` gets the very array that was passed in, with one entry moved. The entry is put back afterwards, bit for
bit, even when `f` raises. So a function may ignore its argument and read the array from elsewhere:
``lambda W: net.loss(x, t)`` sees each change of ``net.params["W1"]``. Anything but a float array (whole
numbers, a list) is copied to float64 first, because it cannot hold a small step.

The step is added in float64 and rounded to the array's dtype. The difference is divided by the distance
between the two numbers that were really stored, not by ``2h``. In float64 the step is the tutorial's 1e-4.
There are two errors: rounding makes the two values of `f` wrong by about ε|f|, and so the difference
quotient by ε|f|/h; and leaving out the third derivative makes it wrong by h²|f‴|/6. Near the cube root of ε
both are equally small. For float32 and the half precisions, where 1e-4 would drown in the rounding, the
default is the power of two next to that root.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule._gate import FloatArray, numbers, positive

Gradient: TypeAlias = NDArray[np.float64]

_STEP = {"float64": 1e-4, "float32": 2.0**-8, "float16": 2.0**-3, "bfloat16": 2.0**-2}


def numerical_gradient(f: Callable[[Any], Any], x: ArrayLike, h: float | None = None) -> Gradient:
    """Give the gradient of `f` at `x`, entry by entry, for an `x` of any shape.

    ``df/dxᵢ ≈ (f(x + h eᵢ) - f(x - h eᵢ)) / 2h``

    Parameters
    ----------
    f : callable
        Takes the array `x` and returns one real number.
    x : array_like
        Any shape. A writable float array is perturbed in place while `f` runs, and restored afterwards. Anything else
        (whole numbers, booleans, a list) is copied to float64 first, and `f` gets the copy.
    h : float, optional
        The step, > 0. By default 1e-4 for float64, 2⁻⁸ for float32, 2⁻³ for float16, 2⁻² for bfloat16.

    Returns
    -------
    ndarray of float64
        In the shape of `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked; if `h` is not a number.
    ValueError
        If `x` is read-only, `h` is not above 0 or does not move an entry of `x` to another finite number,
        or `f` returns anything but one real number.

    Notes
    -----
    Source: the tutorial's "数值微分求梯度"; "Deep Learning from Scratch" §4.3-4.4. The choice of step:
    Press et al., "Numerical Recipes", §5.7.

    Examples
    --------
    >>> numerical_gradient(lambda x: np.sum(x**2), [3, 4]).round(6)
    array([6., 8.])
    """
    return _slopes(f, _adjustable(x, "x"), h)


def _numerical_gradient_1d(f: Callable[[Any], Any], x: ArrayLike, h: float | None = None) -> Gradient:
    """Give the gradient of `f` at one point, for an `x` with one axis.

    Parameters
    ----------
    f : callable
        Takes the array `x` and returns one real number.
    x : array_like, shape (D,)
        As for `numerical_gradient`.
    h : float, optional
        As for `numerical_gradient`.

    Returns
    -------
    ndarray of float64, shape (D,)

    Raises
    ------
    TypeError, ValueError
        As for `numerical_gradient`; also if `x` does not have exactly one axis.

    Notes
    -----
    Source: the tutorial's "数值微分求梯度".

    Examples
    --------
    >>> _numerical_gradient_1d(lambda x: x[0] * x[1], [3.0, 4.0]).round(6)
    array([4., 3.])
    """
    point = _adjustable(x, "x")
    if point.ndim != 1:
        raise ValueError(f"x must have one axis, got x.shape={point.shape}; numerical_gradient takes any shape")
    return _slopes(f, point, h)


def numerical_gradient_2d(f: Callable[[Any], Any], X: ArrayLike, h: float | None = None) -> Gradient:
    """Give the gradient of `f` at each row of `X`: many points at once, as for drawing a field of arrows.

    Parameters
    ----------
    f : callable
        Takes *one row* of `X`, a view of shape (D,), and returns one real number. (For a function of a whole
        matrix use `numerical_gradient`.)
    X : array_like, shape (N, D) or (D,)
        The points, or one point. Perturbed in place or copied, as by `numerical_gradient`.
    h : float, optional
        As for `numerical_gradient`.

    Returns
    -------
    ndarray of float64
        In the shape of `X`.

    Raises
    ------
    TypeError, ValueError
        As for `numerical_gradient`; also if `X` has neither one axis nor two.

    Notes
    -----
    Source: the tutorial's "数值微分求梯度"; "Deep Learning from Scratch" §4.4.

    Examples
    --------
    >>> numerical_gradient_2d(lambda x: np.sum(x**2), [[3, 4], [0, -1]]).round(6)
    array([[ 6.,  8.],
           [ 0., -2.]])
    """
    points = _adjustable(X, "X")
    if points.ndim not in (1, 2):
        raise ValueError(f"X must have shape (N, D) or (D,), got X.shape={points.shape}")
    if points.ndim == 1:
        return _slopes(f, points, h)
    return np.array([_slopes(f, row, h) for row in np.asarray(points)]).reshape(points.shape)


def _adjustable(x: ArrayLike, name: str) -> FloatArray:
    """Give `x` itself if it is a float array, which must then be writable; otherwise a float64 copy."""
    array = numbers(x, name)
    if not isinstance(x, np.ndarray) or array.dtype.kind in "biu":
        return np.array(array, np.float64)
    if not x.flags.writeable:
        raise ValueError(f"{name} is read-only, but is perturbed in place; pass {name}.copy()")
    return x


def _slopes(f: Callable[[Any], Any], x: FloatArray, h: float | None) -> Gradient:
    values = np.asarray(x)  # the same memory, even if x is of a subclass that indexes differently
    step = _STEP[values.dtype.name] if h is None else positive(h, "h")
    gradient = np.zeros(values.shape)
    for index in np.ndindex(values.shape):
        gradient[index] = _slope(f, x, values[(*index, ...)], step)
    return gradient


def _slope(f: Callable[[Any], Any], x: FloatArray, entry: FloatArray, h: float) -> float:
    """Give df/d`entry`, where `entry` is a view into `x` without axes."""
    saved = entry.copy()
    value = float(saved)
    try:
        above = _store(entry, value + h)
        f_above = _one_number(f(x))
        below = _store(entry, value - h)
        f_below = _one_number(f(x))
    finally:
        entry[...] = saved
    if math.isfinite(value) and not 0 < above - below < math.inf:
        raise ValueError(f"h={h} does not move {value} to another finite {entry.dtype} number; pass another h")
    return (f_above - f_below) / (above - below)


def _store(entry: FloatArray, value: float) -> float:
    """Store `value` in `entry`, and give the number that is really there, rounded to the dtype."""
    with np.errstate(all="ignore"):
        entry[...] = value
    return float(entry)


def _one_number(value: Any) -> float:
    if isinstance(value, float):  # np.float64 is one
        return value
    try:
        number = numbers(value, "f(x)")
    except TypeError as error:
        raise ValueError(f"f must give one real number: {error}") from None
    if number.size != 1:
        raise ValueError(f"f must give one real number, got an array of shape {number.shape}; sum it up in f")
    return float(number.item())
