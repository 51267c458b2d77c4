"""The arguments of a subject: private copies of them, each array under its name, and how they are handed over.

An array, a list of numbers and a float are inputs that can be moved. Arrays in a list, tuple or dict are inputs too,
called ``X[0]`` or ``params['W']``, and in one within it ``layers[0]['W']``. Anything else, such as None, a string, an
int or a generator, is passed on.
"""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, few_axes, numbers
from chainrule._pieces import copied
from chainrule.nn.parameters.places import is_object


@dataclass(frozen=True)
class Slot:
    """One argument."""

    name: str
    #: Where the arrays in a container lie, by the keys that lead there, each with the name of the input; {None: name}
    #: for others.
    inputs: Mapping[Any, str]
    #: The list, tuple or dict that was handed over; None for others.
    container: Any = None
    #: Whether a float was handed over, and is to be again.
    scalar: bool = False

    def handed(self, inputs: Mapping[str, Any]) -> Any:
        """Give the argument, made of the inputs as they are."""
        if self.container is None:
            value = inputs[self.inputs[None]]
            return value[()] if self.scalar else value
        return self._made(self.container, (), inputs)

    def _made(self, container: Any, at: tuple[Any, ...], inputs: Mapping[str, Any]) -> Any:
        """Give a container anew, with the inputs in it."""
        own = isinstance(container, Mapping)  # a caller's dict of options may be written into: it gets copies
        items: dict[Any, Any] = {}
        for key, item in _items(container):
            here = (*at, key)
            if here in self.inputs:
                array = inputs[self.inputs[here]]
                items[key] = array.copy() if own else array
            else:
                items[key] = self._made(item, here, inputs) if _is_container(item) else item
        if isinstance(container, Mapping):
            return {**container, **items}
        if hasattr(container, "_fields"):  # a named tuple
            return type(container)(*items.values())
        return list(items.values()) if isinstance(container, list) else tuple(items.values())


def slots_of(function: Any, arguments: Sequence[Any]) -> tuple[tuple[Slot, ...], dict[str, Any]]:
    """Give the arguments of `function` as slots, and the inputs in them, by their names."""
    slots, inputs = [], {}
    for name, argument in zip(names_of(function, len(arguments)), arguments, strict=True):
        slot, own = _slot(name, argument)
        slots.append(slot)
        inputs.update(own)
    return tuple(slots), inputs


def given_twice(arguments: Sequence[Any]) -> bool:
    """Tell whether one array stands in the place of several arguments."""
    arrays = [id(a) for a in arguments if isinstance(a, np.ndarray)]
    return len(set(arrays)) < len(arrays)


def tied(
    slots: Sequence[Slot], inputs: Mapping[str, Any], arguments: Sequence[Any]
) -> tuple[tuple[Slot, ...], dict[str, Any]]:
    """Give slots that share an input where one array was given for several of them: ``attention(q, k, k)``."""
    first: dict[int, Slot] = {}
    shared = tuple(
        replace(slot, inputs=first.setdefault(id(argument), slot).inputs) if isinstance(argument, np.ndarray) else slot
        for slot, argument in zip(slots, arguments, strict=True)
    )
    used = {name for slot in shared for name in slot.inputs.values()}
    return shared, {name: value for name, value in inputs.items() if name in used}


def _slot(name: str, argument: Any) -> tuple[Slot, dict[str, Any]]:
    if _is_container(argument):
        inside = dict(_arrays_in(argument))
        if inside or isinstance(argument, Mapping):
            names = {keys: name + "".join(f"[{key!r}]" for key in keys) for keys in inside}
            copies = {names[keys]: _copy(item, names[keys]) for keys, item in inside.items()}
            return Slot(name, names, argument), copies or {name: argument}
    scalar = isinstance(argument, float) and not isinstance(argument, np.ndarray)
    return Slot(name, {None: name}, scalar=scalar), {name: _own(argument, name)}


def _is_container(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping)


def _items(container: Any) -> Iterable[tuple[Any, Any]]:
    return container.items() if isinstance(container, Mapping) else enumerate(container)


def _arrays_in(container: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], FloatArray]]:
    """Give the arrays in a container, and in those within it, by the keys that lead there."""
    for key, item in _items(container):
        if isinstance(item, np.ndarray) and item.ndim:
            yield (*at, key), item
        elif _is_container(item):
            yield from _arrays_in(item, (*at, key))


def _own(argument: Any, name: str) -> Any:
    """Give a copy the subject may have; what holds no numbers is passed on as it is."""
    if argument is None or isinstance(argument, str | bytes | bool | int | set | frozenset) or callable(argument):
        return argument
    if isinstance(argument, list | tuple) and any(map(is_object, argument)):  # of tensors of somebody's own
        return argument
    plain = isinstance(argument, np.ndarray | np.generic | float | list | tuple | memoryview)
    if plain or hasattr(type(argument), "__array__") or hasattr(type(argument), "__dlpack__"):
        return _copy(argument, name)
    return argument


def _copy(argument: Any, name: str) -> FloatArray:
    array = few_axes(numbers(argument, name), name)
    if array.dtype.kind not in "biu":
        refuse_half(array, name)
    return copied(array)


def refuse_half(array: FloatArray, name: str) -> None:
    """Raise TypeError for a dtype with too few digits for a difference."""
    if array.dtype.itemsize < 4:
        raise TypeError(
            f"{name} is {array.dtype}, whose three digits leave nothing of a difference; check the same code in float64"
            " or float32"
        )


def names_of(function: Any, count: int, skipped: int = 0) -> list[str]:
    """Give names for so many arguments of a function: its own, if it has as many behind those that are skipped."""
    names = [p.name for p in positional(function)][skipped:]
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


def takes_whatever(function: Any) -> bool:
    """Tell whether `function` takes any number of arguments, ``(*args)``, and asks for none by name."""
    try:
        asked = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a built-in, perhaps
        return False
    return any(p.kind is p.VAR_POSITIONAL for p in asked) and not positional(function)


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


def is_for_others(method: Any) -> bool:
    """Tell whether a method does nothing but raise NotImplementedError, so that a subclass has it do something."""
    code = getattr(method, "__code__", None)
    if not isinstance(code, types.CodeType) or "NotImplementedError" not in code.co_names:
        return False
    return not any(step.opname.startswith("RETURN") for step in dis.get_instructions(code))
