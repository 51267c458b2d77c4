"""Networks whose loss Rust can evaluate, many times over, with one number moved: the numeric side of the fast check."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.nn import engine
from chainrule.nn.network import batched
from chainrule.nn.networks import NETWORKS


class KnownNetwork:
    """A network of this package's layers in float64, with its batch made ready."""

    def __init__(self, plan: engine.Plan, x: FloatArray, t: FloatArray) -> None:
        self._plan, self._x, self._t = plan, x, t
        self._draws = plan.draws()  # one mask for all evaluations
        self._examples = plan.examples(x, leave_out=not plan.trains_otherwise)

    def losses_along(
        self, arrays: Sequence[FloatArray], directions: Sequence[NDArray[np.float64]], offsets: Sequence[float]
    ) -> NDArray[np.float64]:
        """Give the loss for each offset, with each of `arrays`, parameters, moved by that times its direction."""
        along = {id(array): np.ascontiguousarray(v) for array, v in zip(arrays, directions, strict=True)}
        ordered = [along.get(id(array)) for array in self._plan.arrays]
        return self._plan.losses_along(self._examples, self._t, ordered, np.array(offsets, np.float64), self._draws)

    def losses_of(self, array: FloatArray) -> Callable[[NDArray[np.int64], NDArray[np.float64]], NDArray[np.float64]]:
        """Give the function that moves entries of `array`, one of the parameters."""
        index = next(i for i, held in enumerate(self._plan.arrays) if held is array)
        return lambda entries, offsets: self._plan.losses(self._x, self._t, index, entries, offsets, self._draws)


def known_network(net: Any, parameters: Mapping[str, FloatArray], arguments: Sequence[Any]) -> KnownNetwork | None:
    """Give the network, if its layers, its loss and the way through them are ours, and no two share a parameter.

    Only the forward side is asked for: ``gradient`` may be anybody's, it is what is checked.
    """
    if engine.Ours(net).arrays is None or len(arguments) != 2:
        return None
    x, t = (np.asarray(a) for a in arguments)
    batch, one = batched(net, x)
    plan = engine.Ours(net).plan(batch)
    if plan is None or not plan.separate or plan.dtype != np.float64:
        return None
    held = set(map(id, plan.parameters))
    if not all(id(array) in held for array in parameters.values()):
        return None
    shape = (plan.classes,) if x.ndim == 1 or one else (len(x), plan.classes)
    ordered = plan.loss.in_order(t, shape, plan.dtype)
    return KnownNetwork(plan, np.ascontiguousarray(plan.rows(batch), np.float64), ordered)


def holds_nothing_else(net: Any, parameters: Mapping[str, FloatArray]) -> bool:
    """Tell whether it is known what a network holds: it is of our layers, unchanged, and they hold its parameters."""
    arrays = engine.Ours(net).parameters if type(net) in NETWORKS else None  # a subclass may hold more
    return arrays is not None and set(map(id, arrays)) == set(map(id, parameters.values()))
