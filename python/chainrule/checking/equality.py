"""When two things are the same: to the bit, as numbers, or but for rounding."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule._pieces import pieces

#: Bytes that are copied sooner than NumPy looks at them where they are.
_COPIED = 1 << 14


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    """Tell whether two arrays hold the same bytes, so that nan equals nan and 0 is not -0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.nbytes > _COPIED and a.dtype.itemsize in (1, 2, 4, 8) and not a.dtype.hasobject:
        # Looked at as whole numbers where they are: bytes objects of both would be two copies.
        bits = np.dtype(f"u{a.dtype.itemsize}")
        if a.flags.c_contiguous and b.flags.c_contiguous:
            a, b = a.reshape(-1), b.reshape(-1)
            return all(bool((a[piece].view(bits) == b[piece].view(bits)).all()) for piece in pieces(a.size))
        return bool((a.view(bits) == b.view(bits)).all())
    return a.tobytes() == b.tobytes()


def same_numbers(a: FloatArray, b: Any) -> bool:
    """Tell whether two arrays are equal; nan equals nan, and None nothing."""
    if b is None or a.shape != np.shape(b):
        return False
    return same_bits(a, np.asarray(b)) or bool(np.array_equal(a, b, equal_nan=True))  # most often the first, and sooner


def close(a: Any, b: Any) -> bool:
    """Tell whether two things are equal, numbers but for rounding."""
    if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
        return bool(type(a) is type(b) and a == b)
    if a is None or b is None or np.shape(a) != np.shape(b):
        return False
    a, b = np.asarray(a), np.asarray(b)
    if same_bits(a, b):  # as nearly always
        return True
    if a.dtype.kind not in "f" or b.dtype.kind not in "f":
        return bool(np.array_equal(a, b))
    single = min(a.dtype.itemsize, b.dtype.itemsize) < 8
    size = float(np.abs(a[np.isfinite(a)]).max(initial=0))
    return bool(np.allclose(a, b, rtol=0, atol=(1e-4 if single else 1e-9) * size, equal_nan=True))


def close_gradients(a: Any, b: Any) -> bool:
    """Tell whether two gradients are equal to six digits, those of the largest entry."""
    return a.shape == b.shape and np.allclose(a, b, rtol=1e-6, atol=1e-9 * np.abs(b).max(initial=0), equal_nan=True)
