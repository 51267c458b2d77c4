"""Numbers that come out apart: each is that of one entry or one example, and so is what the derivative gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chainrule.checking.results import bound


def weighted(returned: Any, dout: Any) -> Any:
    """Give derivatives of single entries, or of single examples, times the gradient of what came out."""
    if isinstance(returned, Mapping):
        return {key: weighted(value, dout) for key, value in returned.items()}
    if isinstance(returned, tuple):
        return tuple(weighted(value, dout) for value in returned)
    if returned is None:
        return None
    derivative = np.asarray(returned)
    if derivative.shape != dout.shape and derivative.ndim > np.ndim(dout) > 0:
        dout = dout.reshape(dout.shape + (1,) * (derivative.ndim - dout.ndim))
    return np.asarray(derivative * dout, np.result_type(derivative, np.float32 if derivative.dtype.kind != "f" else 0))


def is_apart(value: Any, returned: Any, inputs: Mapping[str, Any], wrt: Sequence[str] | None) -> bool:
    """Tell whether each number that came out can be that of one entry, or one example, of what the gradients are by."""
    shape = np.shape(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size == 0:
        return False
    gradients = bound(returned, inputs, wrt, []).gradients
    found = [g for g in gradients.values() if g is not None]
    return (
        bool(found)
        and all(
            type(g) in (int, float)  # one slope for all
            or np.shape(g) == shape
            or (len(shape) >= 1 and np.shape(g)[:1] == shape[:1] and value.size == shape[0])
            for g in found
        )
    )
