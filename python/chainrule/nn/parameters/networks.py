"""The parameters of a network's layers: their names in the network, their gradients, and the arrays that are left out.

`layers.py` says which arrays are the parameters of one layer. This module looks at all layers together: an array that
several layers hold is one parameter, and an array that a layer reaches through another layer is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.nn.losses import SoftmaxWithLoss
from chainrule.nn.parameters.code import is_cache
from chainrule.nn.parameters.layers import (
    attribute_of,
    gradients,
    held_by,
    is_own,
    is_parameter,
    may_flush,
    parameters,
    plain_names,
    reaches_beyond,
)
from chainrule.nn.parameters.places import Place, flushes, gradient_at, held, traverse


def gradients_of(layers: Mapping[Any, Any]) -> dict[int, FloatArray]:
    """Give the gradients of a network's parameters, by the parameters' ids; the sum if several layers hold one.

    Raises
    ------
    RuntimeError
        If backward left no gradient beside a parameter.
    """
    found: dict[int, FloatArray] = {}
    own: dict[int, tuple[Any, str, list[Place]]] = {}
    for key, layer in layers.items():
        if not is_own(layer):
            arrays = parameters(layer)
            for name, gradient in gradients(layer).items():
                at = id(arrays[name])
                found[at] = found[at] + gradient if at in found else gradient
        else:
            for name, one in held_by(layer, layers.values()).items():
                own.setdefault(id(one.array), (key, name, []))[2].extend(one.places)
    for at, (key, name, places) in own.items():
        gradient = gradient_at(places)
        if gradient is None and not places[0].value.flags.writeable:
            continue  # a constant
        if gradient is None:
            kind, plain = type(layers[key]).__name__, name in plain_names(layers[key])
            remedy = "has another name" if plain else "is read-only: array.flags.writeable = False"
            raise RuntimeError(
                f"{kind}.backward (layer {key!r}) left no gradient of {name}: looked for"
                f" {', '.join(places[0].names())} and the like; a constant {remedy}"
            )
        # The layer may fill the same array again in its next pass.
        found[at] = found[at] + gradient if at in found else np.array(gradient)
    return found


def flush(layers: Mapping[Any, Any]) -> None:
    """Reset the gradients that layers accumulate, if they have a method for that, such as ``zero_grad``."""
    for layer in layers.values():
        if is_own(layer) and may_flush(layer):
            for method in flushes(layer):
                method()


def names_in_network(layers: Mapping[Any, Any]) -> list[tuple[str, FloatArray]]:
    """Give each parameter of a network's layers with its name in the network, in the order of the layers.

    ``W``, ``b`` and the keys of a dict ``params`` get the number of their layer as a suffix, counted among the layers
    that have such parameters. Every other name has its own count: ``gamma1`` is the first ``gamma``. A ``_`` separates
    the number from a name that ends in a digit: ``params0_1``.
    """
    all_of = [parameters(layer, layers.values()) for layer in layers.values()]
    plain = [plain_names(layer) for layer in layers.values()]
    number, targets, taken, seen = 0, {}, set(), set()
    for at, (arrays, names) in enumerate(zip(all_of, plain, strict=True)):
        number += any(name in names for name in arrays)
        for name, array in arrays.items():
            if name in names:
                targets[at, name] = f"{name}{number}"
                taken.add(targets[at, name])
                seen.add(id(array))
    counts: dict[str, int] = {}
    found = []
    for at, arrays in enumerate(all_of):
        for name, array in arrays.items():
            target = targets.get((at, name))
            while target is None and id(array) not in seen:
                counts[name] = counts.get(name, 0) + 1
                numbered = f"{name}{'_' if name[-1:].isdigit() else ''}{counts[name]}"
                target = None if numbered in taken else numbered
            if target is not None:
                found.append((target, array))
                seen.add(id(array))
    return found


def found_by_gradient(layers: Mapping[Any, Any]) -> set[int]:
    """Give the ids of the arrays that are parameters because of a gradient beside them, not because of their name."""
    return {
        id(array)
        for layer in layers.values()
        for name, array in parameters(layer, layers.values()).items()
        if name not in plain_names(layer)
    }


def not_trained(layer: Any, layers: Mapping[Any, Any]) -> list[tuple[Place, Any]]:
    """Give what a layer holds that could be a parameter but is not; read-only arrays are constants and left out.

    That is: float arrays that are not gradients and that the code does not make anew in each pass; and plain numbers
    with a gradient beside them, which cannot be trained because they cannot be changed in place.
    """
    known = {id(array) for other in layers.values() for array in parameters(other, layers.values()).values()}
    places = [place for place, _ in held(layer) if not reaches_beyond(place, layer, layers.values())]
    known |= {id(gradient[1]) for place in places if (gradient := place.gradient()) is not None}
    memory = [array for other in layers.values() for array in parameters(other, layers.values()).values()]
    found: dict[int, tuple[Place, Any]] = {}
    for place in places:
        array = place.value
        if not isinstance(array, np.ndarray) or id(array) in known or not array.flags.writeable or not array.size:
            continue
        if not is_cache(*attribute_of(place)) and not any(np.may_share_memory(array, other) for other in memory):
            found.setdefault(id(array), (place, array))
    numbers = [Place(way) for way, value in traverse(layer) if type(value) is float and isinstance(way[-1][1], str)]
    numbers = [p for p in numbers if not reaches_beyond(p, layer, layers.values()) and is_parameter(p)]
    return [*found.values(), *((place, place.value) for place in numbers)]


def not_trained_of_loss(loss: Any) -> list[tuple[Place, Any]]:
    """Give the arrays of a loss that have a gradient, or will have one; they are not trained, as only layers are."""
    return [] if type(loss) is SoftmaxWithLoss else [
        (place, array) for place, array in held(loss) if array.flags.writeable and array.size and is_parameter(place)
    ]  # fmt: skip


def not_kept(layers: Mapping[Any, Any]) -> list[tuple[Any, Place]]:
    """Give what the layers' forward reads before it stores it and is not a parameter: a file does not hold it.

    Each comes with the key of its layer. Nothing can be tried out here without examples: the code of the classes
    decides.
    """
    found = []
    for key, layer in layers.items():
        for place, value in not_trained(layer, layers) if is_own(layer) else ():
            name, code = attribute_of(place)
            if name in code.kept or not isinstance(value, np.ndarray):
                found.append((key, place))
    return found
