"""What `fit` would leave untrained although the loss depends on it; the user is told its name before the first step.

Layers of this package have no such arrays, and are not searched. In a user's own layer, an array without a gradient may
be a forgotten parameter, a constant, or something that the next pass overwrites. A trial tells them apart: the array
counts if a forward pass leaves it in place and unchanged, and if the loss changes when the array does. The trial uses
a few examples; arrays, attributes and generators are restored afterwards, bit for bit.

The check finds the arrays that move a layer's outputs in the same way, and its parts are used here. They are imported
where they are needed, so that ``import chainrule`` and the training of known layers do not load them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.nn.network import Network
from chainrule.nn.parameters.code import code_of
from chainrule.nn.parameters.layers import is_own
from chainrule.nn.parameters.networks import not_trained, not_trained_of_loss
from chainrule.nn.parameters.places import Place, holders, put
from chainrule.nn.sparse import SparseRows

#: The number of examples in a trial: enough for the statistics of a batch.
_ROWS = 8
#: Stands for the loss among the keys of layers.
_LOSS = object()


def left_untrained(net: Any, x: FloatArray | SparseRows, t: NDArray[Any], batch_size: int) -> list[str]:
    """Give a sentence for each array, or number, of the layers that the loss depends on but that is not trained.

    Only a `Network` is searched. `x` and `t` are the examples and the teaching signal, of which the first few are used,
    or `batch_size` of them if the network does not accept so few.
    """
    if not isinstance(net, Network):
        return []
    if not any(_may_hold_more(layer, net) for layer in net.layers.values()) and not not_trained_of_loss(net.last_layer):
        return []
    for rows in dict.fromkeys((min(_ROWS, batch_size, len(x)), min(batch_size, len(x)))):
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return _tried(net, x[:rows].copy(), t[:rows].copy())
        except Exception:  # the first step will raise whatever is wrong with the network
            continue
    return []


def _may_hold_more(layer: Any, net: Network) -> bool:
    """Tell whether a layer holds anything worth a trial, or will hold it after its first pass."""
    if not is_own(layer):
        return False
    return bool(not_trained(layer, net.layers)) or any(map(_is_yet_to_make, holders(layer)))


def _is_yet_to_make(thing: Any) -> bool:
    """Tell whether the first forward pass makes something that later passes use."""
    code = code_of(type(thing))
    return any(getattr(thing, name, None) is None for name in code.kept - code.untouched - code.caches)


def _tried(net: Network, x: FloatArray, t: NDArray[Any]) -> list[str]:
    from chainrule.checking.randomness import Randomness  # imported only for users' own layers, as the others
    from chainrule.checking.reach import reach
    from chainrule.checking.state import State  # the same

    found = reach(net=net)
    before, randomness = State(found), Randomness(found)
    try:
        net.gradient(x, t)  # creates what the first pass creates, and gradients that the code does not name
        found = reach(net=net)
        randomness.look(found)
        ready = State(found)
        candidates: list[tuple[Any, Place, Any, Any]] = [
            (key, place, value, np.array(value))
            for key, layer in net.layers.items()
            if is_own(layer)
            for place, value in not_trained(layer, net.layers)
        ]
        candidates += [(_LOSS, place, value, np.array(value)) for place, value in not_trained_of_loss(net.last_layer)]
        randomness.rewind()
        net.loss(x, t)
        stay = [(key, p, v) for key, p, v, was in candidates if p.value is v and np.array_equal(v, was, equal_nan=True)]
        changing = ready.of_what_changed()

        def loss(move: Callable[[], object] = lambda: None) -> float:
            changing.restore()
            move()
            randomness.rewind()
            return float(net.loss(x, t))

        if loss() != loss():  # the loss changes by itself, so a trial tells nothing
            return []
        return [_sentence(net, key, place, value) for key, place, value in stay if _matters(place, value, loss)]
    finally:
        before.restore()
        randomness.restore()


def _sentence(net: Network, key: Any, place: Place, value: Any) -> str:
    if key is _LOSS:
        return (
            f"fit leaves {type(net.last_layer).__name__}.{place.name} (last_layer) untrained: only layers have"
            " parameters; move it into a layer"
        )
    what, there = f"{type(net.layers[key]).__name__}.{place.name} (layer {key!r})", f"net.layers[{key!r}].{place.name}"
    if isinstance(value, np.ndarray):
        return (
            f"fit leaves {what} untrained: no gradient was found beside it (looked for {', '.join(place.names())}); if"
            f" it is a constant, make it read-only: {there}.flags.writeable = False"
        )
    return (
        f"fit leaves {what} untrained: it is a plain number, which a step cannot change in place; make it an array:"
        f" {there} = np.array({value!r})"
    )


def _matters(place: Place, value: Any, loss: Callable[..., float]) -> bool:
    """Tell whether the loss changes when the value, an array or a number, changes by a hundredth; restore it."""
    from chainrule.checking.holdings import moves  # as in _tried

    if isinstance(value, np.ndarray):
        return moves(lambda: [np.asarray(loss())], value, 1e-6 if value.dtype == np.float32 else 1e-10)
    number = np.array(value)
    try:
        return moves(lambda: [np.asarray(loss(lambda: put(place, float(number))))], number)
    finally:
        put(place, value)
