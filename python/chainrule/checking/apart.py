"""Numbers that come out apart: each is that of one entry or one example, and so is what the derivative gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.checking.results import bound, fits_exactly


def weighted(returned: Any, dout: Any) -> Any:
    """Give derivatives of single entries, or of single examples, times the gradient of what came out."""
    if isinstance(returned, Mapping):
        return {key: weighted(value, dout) for key, value in returned.items()}
    if isinstance(returned, tuple):
        return tuple(weighted(value, dout) for value in returned)
    if returned is None:
        return None
    derivative = np.asarray(returned)
    beside = shape_beside(np.shape(dout), derivative.shape)
    dout = dout if beside is None else np.reshape(dout, beside)
    return np.asarray(derivative * dout, np.result_type(derivative, np.float32 if derivative.dtype.kind != "f" else 0))


def is_apart(value: Any, returned: Any, inputs: Mapping[str, Any], wrt: Sequence[str] | None) -> bool:
    """Tell whether each number that came out can be that of one entry, or one example, of what the gradients are by."""
    shape = np.shape(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size == 0:
        return False
    found = {name: g for name, g in bound(returned, inputs, wrt, []).gradients.items() if g is not None}
    rows = (value.size,) == shape[:1]
    return (
        bool(found)
        and all(
            type(g) in (int, float)  # one slope for all
            or np.shape(g) == shape
            or (rows and np.shape(g)[:1] == shape[:1])
            or (name in inputs and fits_exactly(g, inputs[name]) and shape_beside(shape, np.shape(g)) is not None)
            for name, g in found.items()
        )
    )


def shape_beside(shape: tuple[int, ...], of: tuple[int, ...]) -> tuple[int, ...] | None:
    """Give the shape in which one number an entry, or an example, goes with derivatives of shape `of`; None if in none.

    Examples are rows, or columns where only these are as many, or lie along the axes that the sum has kept.
    """
    if shape == of:
        return shape
    count = math.prod(shape)
    if len(shape) >= 1 and of[:1] == shape[:1] and count == shape[0]:
        return (count,) + (1,) * (len(of) - 1)
    if len(shape) == len(of) and all(n in (1, m) for n, m in zip(shape, of, strict=True)) and count > 1:
        return shape
    return shape if len(shape) == 1 < len(of) and of[-1:] == shape else None
