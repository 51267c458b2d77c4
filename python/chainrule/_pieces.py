"""Run NumPy on large arrays piece by piece, because Ctrl-C takes effect only between two calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The numbers in one piece: some milliseconds of work if the memory has to be allocated first.
_AT_ONCE = 1 << 20


def each(function: Callable[..., Any], x: NDArray[Any], *others: Any) -> NDArray[Any]:
    """Give ``function(x, *others)``, for a function that works on each number by itself.

    Parameters
    ----------
    function : callable
        Returns an array of the shape of its argument, for any part of `x`.
    x : ndarray
        The array; in C order if it is large.
    *others : ndarray of the shape of `x`, or scalar
        Further arguments of the function.
    """
    if x.size <= _AT_ONCE:
        return np.asarray(function(x, *others))
    arrays = [np.asarray(other) for other in (x, *others)]
    flat = [a.reshape(-1) if a.shape == x.shape else a for a in arrays]
    out: NDArray[Any] | None = None
    for piece in pieces(x.size):
        found = function(*(a[piece] if a.ndim else a[()] for a in flat))
        if out is None:
            out = np.empty(x.size, found.dtype)
        out[piece] = found
    assert out is not None
    return out.reshape(x.shape)


def copied(x: NDArray[Any]) -> NDArray[Any]:
    """Give a copy of `x` in the same memory order."""
    if x.size <= _AT_ONCE or not (x.flags.c_contiguous or x.flags.f_contiguous):
        return x.copy(order="K")
    out = np.empty_like(x)
    there, here = (a.reshape(-1, order="A") for a in (out, x))
    for piece in pieces(x.size):
        there[piece] = here[piece]
    return out


def pieces(size: int) -> Iterator[slice]:
    """Give slices that divide `size` numbers into pieces."""
    return (slice(start, start + _AT_ONCE) for start in range(0, size, _AT_ONCE))
