"""Whether the layout of an object is unchanged: what it holds and where, whatever the numbers.

Searching an object that holds lists and objects takes longer than a forward pass of a small one, and a script asks for
parameters several times in each step. So the places are remembered, together with everything whose change would change
them: keys, lengths, types, and which objects and parameters are where. Only paths and ids for comparison are kept, so
nothing is kept alive.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from chainrule import _kernels
from chainrule.nn.parameters.places import CONTAINERS, is_container, is_object

_LEAVES = frozenset({
    int, float, bool, str, bytes, complex, type(None), np.float64, np.float32, np.int64, np.bool_, types.FunctionType,
    types.MethodType, types.BuiltinFunctionType, np.ufunc, type, _kernels.Scratch,
})  # fmt: skip
#: The limit of objects within an object to remember.
_MOST = 200


def is_leaf(kind: type) -> bool:
    """Tell whether an object of this kind holds no array: a number, a function, a generator of ``numpy.random``."""
    # By the name of its module, because naming the generators here would import them with this package.
    return kind in _LEAVES or kind.__module__.startswith("numpy.random")


class Layout(NamedTuple):
    """The layout of an object."""

    #: For each thing within it, which earlier thing holds it, and under which key; the object itself comes first.
    ways: tuple[tuple[int, Any], ...]
    #: The contents of each of them.
    tokens: tuple[tuple[Any, ...], ...]


def layout_of(thing: Any, parameters: set[int], passing: Callable[[Any, Any], bool]) -> Layout | None:
    """Give the layout of `thing`; None if it is too large to be worth remembering.

    `thing` and all objects within it have a ``__dict__``. `parameters` are the ids of arrays that must stay the same
    objects. `passing` says, for an object and the name of an attribute, whether that attribute's value is irrelevant.
    """
    owners, ways, tokens = [thing], [(0, None)], []
    seen = {id(thing)}
    for at, owner in enumerate(owners):  # the loop body appends to it
        tokens.append(_tokens(owner, parameters, passing))
        for key, value in _items(owner):
            if (is_container(value) or is_object(value)) and not is_leaf(type(value)) and id(value) not in seen:
                if not is_container(owner) and passing(owner, key):
                    continue
                if not is_container(value) and type(getattr(value, "__dict__", None)) is not dict:
                    return None
                seen.add(id(value))
                owners.append(value)
                ways.append((at, key))
        if len(owners) > _MOST:
            return None
    return Layout(tuple(ways), tuple(tokens))


def things_in(
    thing: Any, layout: Layout, parameters: set[int], passing: Callable[[Any, Any], bool]
) -> list[Any] | None:
    """Give the things on the paths of the layout, if `thing` still has this layout; None if not."""
    owners = [thing]
    for (above, key), tokens in zip(layout.ways, layout.tokens, strict=True):
        if key is not None:
            holder = owners[above]
            owners.append(holder[key] if is_container(holder) else holder.__dict__[key])
        if _tokens(owners[-1], parameters, passing) != tokens:
            return None
    return owners


def _items(owner: Any) -> list[tuple[Any, Any]]:
    if isinstance(owner, Mapping):
        return list(owner.items())
    if isinstance(owner, list | tuple | deque):
        return list(enumerate(owner))
    return list(owner.__dict__.items())


def _tokens(owner: Any, parameters: set[int], passing: Callable[[Any, Any], bool]) -> tuple[Any, ...]:
    """Give a token for each thing that is held, in order."""
    kind = type(owner)
    found: list[Any] = [kind]
    skips = kind is not dict and kind is not list and kind is not tuple and not is_container(owner)
    for key, value in _items(owner):
        found.append(key)
        of = type(value)
        if skips and passing(owner, key):
            if key in CONTAINERS and isinstance(value, Mapping):
                found.append(len(value))  # a container of names that nobody knew before
            continue
        if of is np.ndarray:
            here = id(value)
            found.append((here if value.flags.writeable else -here) if here in parameters else 0)
        elif of is types.FunctionType:  # a method of this object only, whose code says something about parameters
            found.append(id(value))
        elif is_leaf(of) or (of is tuple and all(type(item) is int for item in value)):
            found.append(of)
        else:
            found.append(id(value))
    return tuple(found)
