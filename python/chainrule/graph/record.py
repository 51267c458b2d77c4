"""A variable as the chain rule sees it: a value, the layer that made it, and that layer's inputs.

``backward`` goes from the last variable to the first, each only after all its users: dL/dx = Σ over the users of x of
(the gradient that the user's layer returns for x).

References lead from a result to its inputs and never back, so a graph is freed as soon as its last variable is, without
the garbage collector. All of this uses loops, not recursion: a chain may be 100,000 nodes long.
"""

from __future__ import annotations

import copy
import operator
import weakref
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule._gate import floats
from chainrule.graph.arithmetic import NUMBER


class Recorded:
    """A value and how it was computed; see `Variable`.

    Attributes
    ----------
    depth : int
        The number of layers on the longest path from the first variables.
    own : bool
        Whether the layer is one of our nodes, made for this variable alone.
    made : int
        For a variable that was not computed: how many such variables were made before it.
    """

    __slots__ = ("__weakref__", "depth", "grad", "inputs", "layer", "made", "name", "own", "value")

    value: Any
    grad: Any
    name: str | None
    layer: Any
    inputs: tuple[Any, ...]
    depth: int
    own: bool
    made: int


#: The variable that each applied layer made last, by the layer's id, for as long as that variable lives.
made_last: weakref.WeakValueDictionary[int, Recorded] = weakref.WeakValueDictionary()


def backpropagate(
    last: Recorded,
    dout: ArrayLike,
    layer_of: Callable[[Recorded], Any] = operator.attrgetter("layer"),
    handed: dict[Recorded, tuple[Any, ...]] | None = None,
) -> dict[Recorded, Any]:
    """Go from `last`, whose gradient is `dout`, back to the first variables; give dL/d(variable) of each, in order.

    `layer_of` gives the layer whose ``backward`` is called; `own_copy`, if the layers are to stay as they are. `handed`
    is filled with what the layer of each variable hands back, one for each of `inputs`; of no meaning for constants.
    """
    met = ancestors(last)
    gradients: dict[Recorded, Any] = dict.fromkeys(met)
    gradients[last] = _seed(last, dout)
    with np.errstate(all="ignore"):
        for variable in met:
            if variable.layer is None:
                continue
            layer, gradient = layer_of(variable), gradients[variable]
            shares = layer.backward(gradient) if variable.own else _shares(variable, layer, gradient)
            if type(shares) is not tuple:
                shares = (shares,)
            for given, share in zip(variable.inputs, shares):  # noqa: B905  # strict costs time, and _shares has counted
                if isinstance(given, Recorded):
                    if type(share) is not float or type(given.value) is not float:
                        share = _fitting(share, given, layer)
                    before = gradients[given]
                    gradients[given] = share if before is None else before + share
            if handed is not None:
                handed[variable] = shares
    return gradients


def ancestors(last: Recorded) -> list[Recorded]:
    """Give `last` and all variables it was computed from, each after all its users."""
    met, seen = [last], {last}
    for variable in met:  # grows meanwhile
        for given in variable.inputs:
            if isinstance(given, Recorded) and given not in seen:
                seen.add(given)
                met.append(given)
    met.sort(key=operator.attrgetter("depth"), reverse=True)  # an input is less deep than each of its users
    return met


def forwards(variables: list[Recorded]) -> list[Recorded]:
    """Give the result of `ancestors` from first to last; variables not computed are in the order they were made in."""
    first = sorted((v for v in variables if v.layer is None), key=operator.attrgetter("made"))
    return [*first, *(v for v in reversed(variables) if v.layer is not None)]


def users_of(variables: list[Recorded]) -> Counter[Recorded]:
    """Count how often each variable is an input of a layer that made one of `variables`."""
    return Counter(given for variable in variables for given in variable.inputs if isinstance(given, Recorded))


def own_copy(variable: Recorded) -> Any:
    """Give a layer whose ``backward`` does what that of the layer of `variable` does, but leaves its ``dW`` alone."""
    return variable.layer if variable.own else copy.copy(variable.layer)


def held(value: Any, name: str) -> Any:
    """Give a number as a Python float, unless it is a float32, and an array as float32 or float64."""
    if type(value) is float:
        return value
    if isinstance(value, NUMBER):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} is a whole number beyond float64") from None
    array = floats(value, name)
    return float(array) if array.ndim == 0 and array.dtype == np.float64 else array


def _seed(last: Recorded, dout: ArrayLike) -> Any:
    """Give `dout` in the shape and dtype of `last`."""
    if isinstance(dout, Recorded):
        raise TypeError("dout must be a number or an array, got a Variable; give its .value")
    gradient = held(dout, "dout")
    if type(gradient) is float and type(last.value) is float:
        return gradient
    shape = np.shape(last.value)
    if np.shape(gradient) not in (shape, ()):
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={np.shape(gradient)}")
    if type(last.value) is float:
        return float(gradient)
    return np.array(np.broadcast_to(gradient, shape), last.value.dtype)


def _shares(variable: Recorded, layer: Any, gradient: Any) -> tuple[Any, ...]:
    """Ask an applied layer for the gradients of its inputs, and count them."""
    if made_last.get(id(variable.layer), variable) is not variable:
        name = type(layer).__name__
        raise RuntimeError(
            f"this {name} was applied again since, and remembers only its last forward: give every place in a graph a"
            f" {name} of its own"
        )
    # A copy: some layers, such as the tutorial's Relu, write into their argument.
    given = layer.backward(gradient if type(gradient) is float else gradient.copy())
    shares: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
    inputs = variable.inputs
    if len(shares) == len(inputs):
        return shares
    wanted = sum(isinstance(x, Recorded) for x in inputs)
    if len(shares) != wanted:
        raise ValueError(
            f"{type(layer).__name__}.backward gave {len(shares)} gradients for {wanted} variables; what has no"
            " gradient, such as labels, is applied as an array and not as a Variable"
        )
    found = iter(shares)
    return tuple(next(found) if isinstance(x, Recorded) else None for x in inputs)


def _fitting(share: Any, x: Recorded, layer: Any) -> Any:
    """Give a gradient in the dtype of `x`, in memory of its own; by name of the layer if its shape is wrong."""
    name = f"what {type(layer).__name__}.backward gives"
    array = floats(share, name)
    if array.shape != np.shape(x.value):
        raise ValueError(f"{name} must have the shape of the input, {np.shape(x.value)}, got {array.shape}")
    return float(array) if type(x.value) is float else np.array(array, x.value.dtype)
