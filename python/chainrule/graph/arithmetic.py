"""The numbers of a graph: Python's stay Python's, arrays become float arrays; where NumPy gives inf, nothing raises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule._gate import compute_dtype, few_axes, numbers

#: Python's own; a union written in the call would be built anew every time.
NUMBER = (int, float)


def sum_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: give the gradient of an input of `shape` that was stretched to the shape of `gradient`.

    An entry that broadcasting copied to several places has an effect at each of them, so its gradient is the sum of
    theirs.

    Parameters
    ----------
    gradient : number or ndarray
        dL/d(stretched input).
    shape : tuple of int
        The input's own shape.

    Returns
    -------
    number or ndarray
        With shape `shape` and the dtype of `gradient`; `gradient` itself if it already has that shape.

    Raises
    ------
    ValueError
        If `shape` does not broadcast to the shape of `gradient`.

    Examples
    --------
    >>> sum_to(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    stretched = np.shape(gradient)
    if stretched == shape:
        return gradient
    new = len(stretched) - len(shape)
    if new < 0 or any(size not in (1, whole) for size, whole in zip(shape, stretched[new:], strict=True)):
        raise ValueError(f"an input of shape {shape} does not broadcast to {stretched}")
    axes = (*range(new), *(new + axis for axis, size in enumerate(shape) if size == 1))
    return total(gradient, axes).reshape(shape)


def total(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """Sum over `axis`, half precision in float32 and rounded once."""
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=compute_dtype(x.dtype)).astype(x.dtype)


def quotient(x: Any, y: Any) -> Any:
    """Give ``x / y``, inf or nan for a division by 0."""
    try:
        return x / y
    except ZeroDivisionError:  # Python's numbers raise, NumPy's give inf or nan
        return float(quietly(np.divide, float(x), y))


def power(x: Any, y: Any) -> Any:
    """Give ``x ** y``, nan where that is not a real number."""
    if isinstance(x, NUMBER) and isinstance(y, NUMBER):
        try:
            return math.pow(x, y)
        except (ValueError, OverflowError):  # as above
            return float(quietly(np.power, float(x), float(y)))
    return np.power(x, y)


def as_real(x: Any) -> Any:
    """Give `x` with Python's whole numbers as floats, which NumPy raises to negative powers."""
    return float(x) if isinstance(x, int) else x


def quietly(function: Any, *arguments: Any) -> Any:
    """Give NumPy's inf or nan without its warning; a Python float for Python numbers."""
    with np.errstate(all="ignore"):
        out = function(*arguments)
    return out if isinstance(arguments[0], np.ndarray) else float(out)


def operand(x: Any, name: str) -> Any:
    """Give a Python number as it is, and anything else as a float array."""
    if isinstance(x, NUMBER):
        return x
    array = few_axes(numbers(x, name), name)
    return array.astype(compute_dtype(array.dtype)) if array.dtype.kind in "biu" else array


def parted(dout: Any, of_x: Any) -> tuple[Any, Any]:
    """Split `dout` in two: the first part has it where `of_x` is true, the second elsewhere; the rest is 0."""
    if isinstance(of_x, bool):
        return (dout * 1, 0.0) if of_x else (0.0, dout * 1)
    zero = np.zeros_like(dout)
    return np.where(of_x, dout, zero), np.where(of_x, zero, dout)


def written_index(part: Any) -> str:
    """Give one part of an index as it is written; of an array its shape.

    Examples
    --------
    >>> written_index(slice(None, -1)), written_index(...), written_index(np.arange(5))
    (':-1', '…', 'array of 5')
    """
    if isinstance(part, slice):
        ends = ["" if end is None else str(end) for end in (part.start, part.stop, part.step)]
        return ":".join(ends if part.step is not None else ends[:2])
    if part is ...:
        return "…"
    if isinstance(part, np.ndarray):
        return f"array of {'×'.join(map(str, part.shape))}"
    return str(part)
