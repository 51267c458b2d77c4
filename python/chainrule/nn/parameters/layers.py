"""Which arrays of a layer are its parameters, what they are called in a network, and their gradients after backward.

`Network.params`, `Network.gradient`, `fit`, files and drawings all ask here, so they always agree.

A parameter is a float array with a gradient beside it, by one of the conventions of `places.py`, or an array that will
have one according to the code of the layer's class: a method stores an attribute, or a key, with the name of a
gradient. An array that forward makes anew in each pass is a cache, and a read-only array is a constant. ``W`` and
``b``, and all arrays of a dict ``params``, are always parameters, whatever is beside them.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from chainrule._gate import FloatArray
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine
from chainrule.nn.parameters import code as bytecode
from chainrule.nn.parameters.layout import Layout, is_leaf, layout_of, things_in
from chainrule.nn.parameters.places import COUNTERPARTS, Place, attributes, gradient_at, held, is_container

#: A script asks for parameters several times in each step. For exactly these layers, the answer is known in advance.
_OURS = {kind.of: kind.parameters for kind in LAYERS.values()}


class Held(NamedTuple):
    """A parameter of a layer, and where it is stored."""

    array: FloatArray
    places: tuple[Place, ...]


def parameters(layer: Any, others: Iterable[Any] = ()) -> dict[str, FloatArray]:
    """Give the parameters of any layer, under the layer's own names for them.

    `layer` has ``forward`` and ``backward``; `others` are the layers beside it, whose arrays do not count as its own.

    The arrays are given themselves, not as copies. A name is that of an attribute (``gamma``) or a key in a dict of
    parameters; in a list, it is the list's name and the index (``params0``); in an object within the layer, it is the
    path to it (``inner.W``).

    Examples
    --------
    >>> class Scale:
    ...     def __init__(self, gamma):
    ...         self.gamma = gamma
    ...
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * self.gamma
    ...
    ...     def backward(self, dout):
    ...         self.dgamma = (dout * self.x).sum(axis=0)
    ...         return dout * self.gamma
    >>> parameters(Scale(np.ones(2)))
    {'gamma': array([1., 1.])}
    """
    if type(layer) in _OURS:
        return {name: getattr(layer, name) for name in _OURS[type(layer)]}
    found = _of_plain(layer)
    if found is None:
        found = {name: one.array for name, one in _of_any(layer, others).items()}
    return found


def gradients(layer: Any, others: Iterable[Any] = ()) -> dict[str, Any]:
    """Give the present gradients of a layer's parameters, under the parameters' names; arguments as in `parameters`."""
    if type(layer) in _OURS:
        own = {name: getattr(layer, f"d{name}") for name in _OURS[type(layer)]}
        return {name: gradient for name, gradient in own.items() if gradient is not None}
    found = {name: gradient_at(one.places) for name, one in held_by(layer, others).items()}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


def held_by(layer: Any, others: Iterable[Any] = ()) -> dict[str, Held]:
    """Give the parameters as `parameters` does, with the places to look for their gradients."""
    if type(layer) in _OURS:
        return {name: Held(getattr(layer, name), (Place(((layer, name),)),)) for name in _OURS[type(layer)]}
    plain = _of_plain(layer)
    if plain is None:
        return _of_any(layer, others)
    found = {}
    for name, array in plain.items():
        key = name
        if name not in bytecode.PLAIN and name not in vars(layer):  # named after the property that shows it
            key = next(key for key, value in vars(layer).items() if value is array)
        found[name] = Held(array, (Place(((layer, key),)),))
    return found


def is_own(layer: Any) -> bool:
    """Tell whether the arrays of a layer have to be searched for."""
    return type(layer) not in LAYERS


def may_flush(layer: Any) -> bool:
    """Tell whether a layer, or an object within it, may have a method that resets gradients."""
    return _of_plain(layer) is None or bytecode.facts_of(type(layer)).flushes


def plain_names(layer: Any) -> Iterable[str]:
    """Give the names that are always parameters, whatever is beside them."""
    if type(layer) in LAYERS:
        return bytecode.PLAIN
    own = getattr(layer, "params", None)
    return own.keys() if isinstance(own, Mapping) else bytecode.PLAIN


# --- layers that hold arrays but no containers or objects: most layers; asked several times in each step ---


def _of_plain(layer: Any) -> dict[str, FloatArray] | None:
    """Give the parameters of a layer that holds no containers or objects; None if it may hold some."""
    kind = type(layer)
    facts = bytecode.facts_of(kind)
    own = getattr(layer, "__dict__", None)
    if not facts.plain or type(own) is not dict:
        return None
    found: dict[str, FloatArray] = {}
    for name in bytecode.PLAIN:
        array = getattr(layer, name, None)
        if isinstance(array, np.ndarray):
            found[name] = _stable(layer, name, array) if name in facts.properties else array
    for name, value in own.items():
        of = type(value)
        if of is np.ndarray:
            if name in found or value.dtype.kind != "f" or not value.flags.writeable:
                continue
            if name not in facts.known:
                facts.known[name] = bytecode.is_parameter_by_code(kind, name)
            known = facts.known[name]
            if known is None:
                known = not own.keys().isdisjoint(bytecode.names_of_gradient(name))
            if known and not any(value is other for other in found.values()):
                found[_bare(layer, name, value) if name[0] == "_" else name] = value
        elif of is types.FunctionType:
            return None  # a method of this object only
        elif not is_leaf(of) and not (of is tuple and all(type(item) is int for item in value)):
            return None
    return _without_parts(found) if len(found) > 1 else found


# --- any layer: with lists, dicts, slots or objects within it ---


class _Remembered(NamedTuple):
    """Where the parameters of a layer were found: for each place, its keys and the owners on the way to it."""

    layout: Layout
    ids: set[int]
    places: dict[str, list[list[tuple[int, Any]]]]


_REMEMBERED: WeakKeyDictionary[Any, _Remembered] = WeakKeyDictionary()


def _of_any(layer: Any, others: Iterable[Any]) -> dict[str, Held]:
    """Give the parameters of a layer that may hold objects: from the remembered places if its layout is unchanged."""
    try:
        known = _REMEMBERED.get(layer)
    except TypeError:  # cannot be referred to weakly, or is not hashable
        return _looked_for(layer, others)
    if known is not None:
        things = things_in(layer, known.layout, known.ids, bytecode.is_passing)
        if things is not None and {id(t) for t in things[1:]}.isdisjoint(map(id, others)):
            found = {}
            for name, ways in known.places.items():
                places = tuple(Place(tuple((things[at], key) for at, key in way)) for way in ways)
                found[name] = Held(places[0].value, places)
            return found
    found = _looked_for(layer, others)
    _remember(layer, found)
    return found


def _remember(layer: Any, found: dict[str, Held]) -> None:
    """Remember where the parameters are, if the contents of the layer and its inner objects would reveal a change."""
    ids = {id(one.array) for one in found.values()}
    layout = layout_of(layer, ids, bytecode.is_passing) if type(getattr(layer, "__dict__", None)) is dict else None
    things = None if layout is None else things_in(layer, layout, ids, bytecode.is_passing)
    if layout is None or things is None:
        return
    if not all(is_container(thing) or _shows_all(type(thing)) for thing in things):
        return
    at = {id(thing): i for i, thing in enumerate(things)}
    if all(id(owner) in at for one in found.values() for place in one.places for owner, _ in place.way):
        places = {
            name: [[(at[id(owner)], key) for owner, key in place.way] for place in one.places]
            for name, one in found.items()
        }
        _REMEMBERED[layer] = _Remembered(layout, ids, places)


def _shows_all(kind: type) -> bool:
    """Tell whether an object's ``__dict__`` holds all arrays that count: no slots, no views made by properties."""
    facts = bytecode.facts_of(kind)
    return facts.plain and (not facts.properties or issubclass(kind, Affine))


def _looked_for(layer: Any, others: Iterable[Any]) -> dict[str, Held]:
    """Give the parameters of a layer that may hold objects, by searching it."""
    plain = _plain_places(layer)
    apart = tuple(other for other in others if other is not layer)
    groups: dict[int, tuple[FloatArray, list[Place]]] = {}
    for place, array in plain:
        groups.setdefault(id(array), (array, []))[1].append(place)
    everything = held(layer)
    beside = {id(gradient[1]) for place, _ in everything if (gradient := place.gradient()) is not None}
    for place, array in everything:
        if id(array) in beside or (len(place.way) > 1 and reaches_beyond(place, layer, apart)):
            continue
        if len(place.way) == 1 and isinstance(getattr(type(layer), place.way[0][1], None), property):
            array = _stable(layer, place.way[0][1], array)
        if id(array) in groups:
            groups[id(array)][1].append(place)
        elif array.flags.writeable and is_parameter(place):
            groups[id(array)] = array, [place]
    first = {id(array): place for place, array in reversed(plain)}
    called: dict[str, list[int]] = {}
    for at, (_, places) in groups.items():
        name = str(first[at].way[-1][1]) if at in first else min(map(_short_name, places), key=_length)
        called.setdefault(name, []).append(at)
    found = {}
    for name, each in called.items():
        for at in each:
            array, places = groups[at]
            full = name if len(each) == 1 or at in first else min((place.name for place in places), key=len)
            found[full] = Held(array, tuple(places))
    whole = _without_parts({name: one.array for name, one in found.items()})
    return {name: one for name, one in found.items() if name in whole}


def _plain_places(layer: Any) -> list[tuple[Place, FloatArray]]:
    """Give the places of arrays that are always parameters, whatever is beside them."""
    own = getattr(layer, "params", None)
    if isinstance(own, Mapping):
        pairs = [(Place(((layer, "params"), (own, key))), array) for key, array in own.items()]
    else:
        pairs = [(Place(((layer, name),)), getattr(layer, name, None)) for name in bytecode.PLAIN]
        pairs = [(p, _stable(layer, p.way[0][1], a) if isinstance(a, np.ndarray) else a) for p, a in pairs]
    return [(place, array) for place, array in pairs if isinstance(array, np.ndarray)]


def is_parameter(place: Place) -> bool:
    """Tell whether an array has a gradient beside it, or will have one."""
    way = place.way
    if bytecode.is_cache(*attribute_of(place)) and not place.in_parameters:
        return False
    if place.gradient() is not None:
        return True
    at = max(i for i, (owner, _) in enumerate(way) if i == 0 or not is_container(owner))
    codes = [bytecode.code_of(type(thing)) for thing, _ in way[: at + 1]]
    codes += [_of_functions(thing) for thing, _ in way[: at + 1]]
    for holder, name in way[at:]:
        if isinstance(name, str):
            beside = holder if isinstance(holder, Mapping) else attributes(holder)
            if any(bytecode.has_gradient(name, code, map(str, beside)) for code in codes):
                return True
    return False


def _of_functions(thing: Any) -> bytecode.Code:
    """Give the stored names and the strings of functions that replace methods on one object only."""
    own = [f.__code__ for f in getattr(thing, "__dict__", {}).values() if isinstance(f, types.FunctionType)]
    stored = frozenset(name for code in own for name in bytecode.stored_in(code))
    strings = frozenset(name for code in own for name in bytecode.strings_in(code))
    return bytecode.Code(stored, strings, frozenset(), frozenset(), frozenset())


def attribute_of(place: Place) -> tuple[str, bytecode.Code]:
    """Give the name of the attribute in the innermost object on the path, and the code of that object."""
    at = max(i for i, (owner, _) in enumerate(place.way) if i == 0 or not is_container(owner))
    owner, key = place.way[at]
    return str(key), bytecode.code_of(type(owner))


def reaches_beyond(place: Place, layer: Any, others: Iterable[Any]) -> bool:
    """Tell whether an array belongs to another layer, or to a network that the layer refers to."""
    owners = {id(owner) for owner, _ in place.way[1:]}
    return any(id(other) in owners for other in others) or any(_is_network(owner) for owner, _ in place.way[1:])


def _short_name(place: Place) -> str:
    """Give the path to an array, without its obvious parts."""
    names: list[str] = []
    for i, (owner, key) in enumerate(place.way):
        last = i == len(place.way) - 1
        inner = None if last else place.way[i + 1][0]
        if isinstance(owner, Mapping):
            if not (last and names and key in COUNTERPARTS):  # {"val": …, "grad": …}
                names.append(str(key))
        elif is_container(owner):
            names.append(f"{names.pop() if names else ''}{key}")
        elif not (isinstance(inner, Mapping) and key in COUNTERPARTS):
            names.append(_bare(owner, str(key), place.value if last else inner))
    return ".".join(names)


def _bare(owner: Any, name: str, value: Any) -> str:
    """Give the name of the property that shows a private attribute, if there is one."""
    bare = name.lstrip("_")
    return bare if bare and getattr(owner, bare, None) is value else name


def _length(name: str) -> tuple[int, int, str]:
    return name.count("."), len(name), name


def _without_parts(found: dict[str, FloatArray]) -> dict[str, FloatArray]:
    """Leave out arrays that are part of another, and those whose parts are W or b, so each number is trained once."""
    at = {id(array): name for name, array in found.items()}
    out = set()
    for name, array in found.items():
        base = array.base
        while isinstance(base, np.ndarray):
            if id(base) in at and at[id(base)] != name:
                out.add(at[id(base)] if name in bytecode.PLAIN else name)
            base = base.base
    return {name: array for name, array in found.items() if name not in out}


#: The views that properties have returned, by object and name: a property may make a new view at each access.
_VIEWS: WeakKeyDictionary[Any, dict[str, FloatArray]] = WeakKeyDictionary()


def _stable(layer: Any, name: str, array: FloatArray) -> FloatArray:
    """Give the view that this property returned before, if it is the same memory."""
    try:
        known = _VIEWS.setdefault(layer, {})
    except TypeError:  # cannot be referred to weakly, or is not hashable
        return array
    before = known.get(name)
    if before is array:
        return array
    if before is not None and before.__array_interface__ == array.__array_interface__:
        return before
    if array.base is not None:
        known[name] = array
    return array


def _is_network(thing: Any) -> bool:
    """Tell whether something is a network or its parameters: arrays reached through it do not belong to the layer."""
    return any(base.__module__ == "chainrule.nn.network" for base in type(thing).__mro__)
