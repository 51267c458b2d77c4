"""The arguments of a subject: private copies of them, each array under its name, and how they are handed over.

An array, a list of numbers and a float are inputs that can be moved. Arrays in a list, tuple or dict are inputs too,
called ``X[0]`` or ``params['W']``. Anything else, such as None, a string, an int or a generator, is passed on.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, numbers


@dataclass(frozen=True)
class Slot:
    """One argument."""

    name: str
    #: The keys of a container with arrays in it, each with the name of the input there; {None: name} for others.
    inputs: Mapping[Any, str]
    #: The list, tuple or dict that was handed over; None for others.
    container: Any = None
    #: Whether a float was handed over, and is to be again.
    scalar: bool = False

    def handed(self, inputs: Mapping[str, Any]) -> Any:
        """Give the argument, made of the inputs as they are."""
        if self.container is None:
            value = inputs[self.name]
            return value[()] if self.scalar else value
        if isinstance(self.container, Mapping):  # the caller's dict of options may be written into: it gets a new one
            return {**self.container, **{key: inputs[name].copy() for key, name in self.inputs.items()}}
        items = [inputs[self.inputs[i]] if i in self.inputs else item for i, item in enumerate(self.container)]
        return items if isinstance(self.container, list) else tuple(items)


def slots_of(function: Any, arguments: Sequence[Any]) -> tuple[tuple[Slot, ...], dict[str, Any]]:
    """Give the arguments of `function` as slots, and the inputs in them, by their names."""
    slots, inputs = [], {}
    for name, argument in zip(_names(function, len(arguments)), arguments, strict=True):
        slot, own = _slot(name, argument)
        slots.append(slot)
        inputs.update(own)
    return tuple(slots), inputs


def _slot(name: str, argument: Any) -> tuple[Slot, dict[str, Any]]:
    if isinstance(argument, list | tuple | Mapping):
        items = argument.items() if isinstance(argument, Mapping) else enumerate(argument)
        inside = {key: item for key, item in items if isinstance(item, np.ndarray) and item.ndim}
        if inside or isinstance(argument, Mapping):
            names = {key: f"{name}[{key!r}]" for key in inside}
            copies = {names[key]: _copy(item, names[key]) for key, item in inside.items()}
            return Slot(name, names, argument), copies or {name: argument}
    scalar = isinstance(argument, float) and not isinstance(argument, np.ndarray)
    return Slot(name, {None: name}, scalar=scalar), {name: _own(argument, name)}


def _own(argument: Any, name: str) -> Any:
    """Give a copy the subject may have; what holds no numbers is passed on as it is."""
    if argument is None or isinstance(argument, str | bytes | bool | int | set | frozenset) or callable(argument):
        return argument
    plain = isinstance(argument, np.ndarray | np.generic | float | list | tuple | memoryview)
    if plain or hasattr(type(argument), "__array__") or hasattr(type(argument), "__dlpack__"):
        return _copy(argument, name)
    return argument


def _copy(argument: Any, name: str) -> FloatArray:
    array = numbers(argument, name)
    if array.dtype.kind not in "biu":
        refuse_half(array, name)
    return np.array(array, order="K")


def refuse_half(array: FloatArray, name: str) -> None:
    """Raise TypeError for a dtype with too few digits for a difference."""
    if array.dtype.itemsize < 4:
        raise TypeError(
            f"{name} is {array.dtype}, whose three digits leave nothing of a difference; check the same code in float64"
            " or float32"
        )


def _names(function: Any, count: int) -> list[str]:
    names = [p.name for p in positional(function)]
    if len(names) >= count:
        return names[:count]
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def names_tell(function: Any, count: int) -> bool:
    """Tell whether `function` has names of its own for so many arguments."""
    return len(positional(function)) >= count


def takes_nothing(function: Any) -> bool:
    """Tell whether `function` can be given nothing at all."""
    try:
        return not inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False


def positional(function: Any) -> list[inspect.Parameter]:
    """Give the parameters of `function` that may be given by position; none if it does not tell."""
    try:
        asked = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in, perhaps
        return []
    return [p for p in asked if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def required(function: Any) -> list[str]:
    """Give the names of those that have to be given."""
    return [p.name for p in positional(function) if p.default is p.empty]
