"""Which arrays an object holds, and where their gradients are; used by networks, `fit`, files and the check.

An object is searched as a debugger would do it: attributes and slots, dicts, lists and tuples, objects within objects.
Each float array found has a *place*, the path to it, such as ``layers[0].W``. Its gradient is looked for beside it,
under the names that public code uses, and beside everything on the path to it: ``dW`` next to ``W``; ``grads["W"]`` or
``grads[0]`` next to ``params["W"]`` or ``params[0]``; ``grad`` in the same dict as ``val``. To add a convention, add a
line to one of the tables below.

An array in several places is one parameter. The gradients next to its places are added, as for a layer that is used
twice. But gradients of inner places are not added to one further out, which already is their sum, or a list of them.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: Patterns for the name of a gradient, given the name of the parameter.
GRADIENT_NAMES = (
    "d{}", "grad_{}", "{}_grad", "d_{}", "g{}", "g_{}", "grad{}", "{}grad", "{}_gradient", "gradient_{}", "{}_grads",
    "grads_{}", "{}_gradients", "nabla_{}", "dL_d{}", "dLd{}", "dl_d{}", "dJ_d{}", "dJd{}", "d{}_", "{}_d", "der_{}",
    "deriv_{}", "{}_deriv", "{}_derivative", "{}_prime",
)  # fmt: skip
#: Names whose gradients are not named after them.
COUNTERPARTS = {
    "params": ("grads", "gradients", "grad", "dparams", "derivatives", "gparams"),
    "parameters": ("gradients", "grads", "grad", "gradient", "dparams", "derivatives"),
    "weights": ("gradients", "grads", "grad", "gradient", "deltas_weights"),
    "weight": ("grad", "gradient"),
    "vars": ("grads", "gradients"),
    "variables": ("gradients", "grads"),
    "val": ("grad", "gradient", "g", "d"),
    "value": ("grad", "gradient", "g", "d"),
    "values": ("grads", "gradients"),
    "data": ("grad", "gradient", "diff"),
    "param": ("grad", "gradient"),
    "state_dict": ("grad", "grads", "gradients", "grad_dict", "grads_dict"),
    "p": ("g", "grad"),
}
#: Synonyms: the gradient of ``weights`` may be called ``dW``.
SYNONYMS = (
    ("W", "w", "weight", "weights", "kernel", "kernels", "filters", "filter"), ("b", "B", "bias", "biases"),
    ("E", "embedding", "embeddings", "embedding_matrix", "embedding_weights"),
    ("recurrent_kernel", "r_kernel", "recurrent_weights", "recurrent_weight", "r_weights"),
)  # fmt: skip
#: Dicts that hold the gradients of the attributes beside them.
CONTAINERS = ("grads", "gradients", "grad", "gradient", "derivatives", "dparams", "_grads", "_gradients")
#: Names for a layer's input and output, and their gradients; none of them are parameters.
PASSING = frozenset((
    "x", "X", "xs", "input", "inputs", "inp", "z", "Z", "a", "A", "h", "H", "y", "Y", "out", "outs", "output",
    "outputs", "out_", "cache", "last_input", "last_output", "y_pred", "y_true", "t", "mask", "dout", "prev_h",
    "h_prev", "scores", "probs", "logits", "activation", "activations",
))  # fmt: skip
#: Methods that reset accumulated gradients; in lower case, without underscores.
FLUSHES = tuple(
    f"{verb}{what}"
    for verb in ("zero", "zeroout", "flush", "clear", "reset", "init", "initialize", "initialise")
    for what in ("grad", "grads", "gradient", "gradients")
)

_STANDARD = sys.stdlib_module_names | {"builtins", "numpy", "scipy", "jax", "jaxlib", "torch", "matplotlib", "pandas"}
#: The limit of things to look at: an object that holds a data frame may lead to millions.
_MOST = 20_000


@dataclass(eq=False, repr=False)
class Place:
    """Where an array is stored: the chain of owners from the object on, and the name or index at each step."""

    #: The last owner holds the array. A key is an attribute's name, or an index or key of a list or dict.
    way: tuple[tuple[Any, Any], ...]
    #: A function from the object to the gradient, if the user has said where that is.
    told: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The path in Python notation, such as ``layers[0].W``; in a dict of parameters, the key alone."""
        if len(self.way) == 2 and self.way[0][1] in COUNTERPARTS and isinstance(self.way[1][0], Mapping):
            return str(self.way[1][1])
        text = ""
        for owner, key in self.way:
            if is_container(owner):
                text += f"[{key!r}]"
            else:
                text += f".{key}" if text else str(key)
        return text

    @property
    def in_parameters(self) -> bool:
        """Whether it is in a dict or list with a name for parameters."""
        return any(str(key).lstrip("_") in ("params", "parameters") for _, key in self.way[:-1])

    @property
    def holder(self) -> tuple[Any, Any]:
        """The innermost object on the path, and its container that holds the array; None for an attribute."""
        at = max((i for i, (owner, _) in enumerate(self.way) if not is_container(owner)), default=0)
        return self.way[at][0], self.way[at][1] if at < len(self.way) - 1 else None

    @property
    def owners(self) -> set[int]:
        """The ids of the owners on the path."""
        return {id(owner) for owner, _ in self.way}

    @property
    def value(self) -> Any:
        """What is there now, even if something on the path was replaced; None if there is nothing."""
        thing = self.way[0][0]
        for _, key in self.way:
            thing = _get(thing, key)
        return thing

    def on(self, thing: Any) -> Place:
        """Give the same place in another object, a copy of the first."""
        way = []
        for _, key in self.way:
            way.append((thing, key))
            thing = _get(thing, key)
        return Place(tuple(way), self.told)

    def names(self) -> list[str]:
        """Give the most likely names of its gradient."""
        _, key = self.way[-1]
        told = list(gradient_names(key)[:4]) if isinstance(key, str) else []
        for owner, above in reversed(self.way[:-1]):
            if isinstance(above, str) and not isinstance(owner, Mapping):
                told.append(f"{gradient_names(above)[0]}[{key!r}]")
                break
        return told

    def gradient(self) -> tuple[str, Any] | None:
        """Give the present gradient beside the array, and its name; None if there is none."""
        if self.told is not None:
            given = self.told(self.way[0][0])
            return None if given is None else ("what was told", given)
        way = self.on(self.way[0][0]).way
        for level in range(len(way) - 1, -1, -1):
            owner, key = way[level]
            rest = [k for _, k in way[level + 1 :]]
            for name in gradient_names(key) if isinstance(key, str) else ():
                found = _follow(_get(owner, name), rest)
                if found is not None:
                    return name, found
            if not is_container(owner):
                for name in CONTAINERS if key not in CONTAINERS else ():
                    inside = _get(owner, name)
                    if not isinstance(inside, Mapping):
                        continue
                    # In a dict beside a dict of any name, only the keys need to match.
                    for keys in ([key, *rest], rest)[: 2 if rest and isinstance(rest[0], str) else 1]:
                        found = _follow(inside, keys)
                        if found is not None:
                            return f"{name}[{keys[0]!r}]", found
        return None


def values_at(places: Iterable[Place]) -> Iterator[Any]:
    """Give what is at each place now, as `Place.value` does; owners that several paths share are visited once."""
    known: dict[tuple[Any, ...], Any] = {}
    for place in places:
        thing = place.way[0][0]
        so_far: tuple[Any, ...] = (id(thing),)
        for _, key in place.way:
            so_far += (key,)
            if so_far not in known:
                known[so_far] = _get(thing, key)
            thing = known[so_far]
        yield thing


def is_container(thing: Any) -> bool:
    """Tell whether something holds other things by key or index."""
    return isinstance(thing, Mapping | list | tuple | deque)


def _follow(thing: Any, keys: Iterable[Any]) -> Any:
    """Follow these keys from `thing`, or a gradient's name for each key; give the numbers found, or None."""
    for key in keys:
        if thing is None:
            return None
        names = (key, *gradient_names(key)) if isinstance(key, str) else (key,)
        thing = next((inner for name in names if (inner := _get(thing, name)) is not None), None)
    return thing if is_numbers(thing) else None


def is_numbers(thing: Any) -> bool:
    """Tell whether something could be a gradient: an array of real numbers, or one number."""
    if isinstance(thing, np.ndarray):
        return thing.dtype.kind in "fiub"
    return isinstance(thing, float | np.floating) or (isinstance(thing, int) and not isinstance(thing, bool))


@functools.lru_cache(maxsize=4096)
def gradient_names(name: str) -> tuple[str, ...]:
    """Give the possible names of the gradient of something with this name, the most likely first.

    Examples
    --------
    >>> gradient_names("W")[:3]
    ('dW', 'grad_W', 'W_grad')
    >>> "_grad_bias" in gradient_names("_bias")
    True
    """
    bare = name.lstrip("_")
    private = name[: len(name) - len(bare)]
    digits = bare[len(bare.rstrip("0123456789")) :]
    stem = bare[: len(bare) - len(digits)]
    others = [f"{other}{digits}" for same in SYNONYMS if stem in same for other in same if other != stem]
    found = [before + other for other in COUNTERPARTS.get(bare, ()) for before in dict.fromkeys((private, ""))]
    found += [f"{private}{pattern.format(bare)}" for pattern in GRADIENT_NAMES]
    found += [pattern.format(name) for pattern in GRADIENT_NAMES]
    found += [pattern.format(bare) for pattern in GRADIENT_NAMES]
    found += [pattern.format(bare[:1].upper() + bare[1:]) for pattern in ("d{}", "grad{}", "dLd{}", "dL_d{}")]
    found += [f"_{pattern.format(bare)}" for pattern in GRADIENT_NAMES]  # a private gradient of a public array
    found += [f"{before}{pattern.format(o)}" for o in others for pattern in GRADIENT_NAMES for before in (private, "")]
    return tuple(dict.fromkeys(candidate for candidate in found if candidate != name))


def _get(owner: Any, key: Any) -> Any:
    """Give what `owner` holds under `key`, or None; a user's own object may refuse any request."""
    try:
        if isinstance(owner, Mapping):
            return owner.get(key)
        if isinstance(owner, list | tuple | deque):
            return owner[key] if isinstance(key, int) and key < len(owner) else None
        return getattr(owner, key, None) if isinstance(key, str) else None
    except Exception:
        return None


def gradient_at(places: Iterable[Place]) -> Any:
    """Give the gradient beside an array; for an array in several places, the sum; None if there is none.

    An array that an object holds both in a container (``params[0]``) and as an attribute is counted once. The gradient
    of an object is the sum of those of the objects within it, or the same array, so the latter are not added to it.
    """
    found: dict[tuple[int, Any], list[Any]] = {}
    objects: dict[int, list[Place]] = {}
    for place in places:
        gradient = place.gradient()
        if gradient is None:
            continue
        owner, key = place.holder
        others = [k for k in found if k[0] == id(owner) and k[1] != key]
        if others:
            continue
        objects.setdefault(id(owner), []).append(place)
        given = found.setdefault((id(owner), key), [])
        if not any(gradient[1] is other for other in given):
            given.append(gradient[1])
    outer = [
        g for (owner, _), gradients in found.items() for g in gradients
        if not any(other != owner and other in objects[owner][0].owners for other in objects)
    ]  # fmt: skip
    distinct = list({id(g): g for g in outer}.values())
    return sum(distinct[1:], start=distinct[0]) if distinct else None


def put(place: Place, value: Any) -> None:
    """Store `value` at `place`: for plain numbers, which cannot be changed in place."""
    owner, key = place.on(place.way[0][0]).way[-1]
    if isinstance(owner, dict):
        dict.__setitem__(owner, key, value)
    elif isinstance(owner, list | deque):
        owner[key] = value
    else:
        setattr(owner, key, value)


def slots(kind: type) -> Iterator[str]:
    """Give the names of the slots of a class."""
    for base in kind.__mro__:
        own = base.__dict__.get("__slots__", ())
        yield from (name for name in ((own,) if isinstance(own, str) else own) if not name.startswith("__"))


def attributes(thing: Any) -> dict[str, Any]:
    """Give the contents of an object: its attributes and slots, and the arrays that all objects of its class share."""
    found: dict[str, Any] = {}
    kind = type(thing)
    for base in reversed(kind.__mro__):
        if base.__module__.partition(".")[0] not in _STANDARD:
            found |= {name: value for name, value in vars(base).items() if isinstance(value, np.ndarray)}
    found = {name: value for name, value in found.items() if name not in slots(kind)}
    return found | dict(in_slots(thing)) | (namespace(thing) or {})


def in_slots(thing: Any) -> Iterator[tuple[str, Any]]:
    """Give the contents of an object's slots, except those that are empty."""
    for name in slots(type(thing)):
        with contextlib.suppress(Exception):  # an object may refuse access
            yield name, getattr(thing, name)


def inside(owner: Any) -> list[tuple[Any, Any]]:
    """Give the contents of something, each with its key, index or name."""
    if isinstance(owner, Mapping):
        return list(owner.items())
    return list(enumerate(owner) if isinstance(owner, list | tuple | deque) else attributes(owner).items())


def namespace(thing: Any) -> dict[str, Any] | None:
    """Give the attributes of an object, as its own dict; None if it has only slots, or refuses access."""
    try:
        own = thing.__dict__
    except Exception:
        return None
    return own if isinstance(own, dict) else None


def is_object(thing: Any) -> bool:
    """Tell whether something is an object of a user's own class, which may hold arrays."""
    kind = type(thing)
    if isinstance(thing, type | types.ModuleType | types.FunctionType | types.MethodType | np.ndarray | np.generic):
        return False
    return isinstance(thing, types.SimpleNamespace) or kind.__module__.partition(".")[0] not in _STANDARD


def traverse(thing: Any) -> Iterator[tuple[tuple[tuple[Any, Any], ...], Any]]:
    """Give everything that `thing` holds, arrays or not, each with the path to it; nearer things come first.

    Each owner is searched once; an array is given for every place that holds it.
    """
    seen: dict[int, Any] = {}  # keeps the things alive, so that no address is used twice
    todo: deque[tuple[tuple[tuple[Any, Any], ...], Any]] = deque([((), thing)])
    given = 0
    while todo and given < _MOST:
        way, owner = todo.popleft()
        if id(owner) in seen:
            continue
        seen[id(owner)] = owner
        for key, value in inside(owner):
            given += 1
            here = (*way, (owner, key))
            yield here, value
            if is_container(value) or is_object(value):
                todo.append((here, value))


def held(thing: Any) -> list[tuple[Place, FloatArray]]:
    """Give every float array that `thing` holds, once for each place."""
    found = [(Place(way), value) for way, value in traverse(thing) if _is_float(value)]
    return found + [(Place(((thing, name),)), value) for name, value in _views(thing)]


def _is_float(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _views(thing: Any) -> Iterator[tuple[str, FloatArray]]:
    """Give the arrays that properties of the class return, if they have a gradient beside them: they may be views."""
    for base in type(thing).__mro__:
        if base.__module__.partition(".")[0] in _STANDARD:
            continue
        names = [name for name, value in vars(base).items() if isinstance(value, property)]
        for name in names:
            if any(hasattr(type(thing), g) or g in (namespace(thing) or {}) for g in gradient_names(name)):
                value = _get(thing, name)
                if _is_float(value):
                    yield name, value


def holders(thing: Any) -> list[Any]:
    """Give `thing` and the objects within it."""
    return [thing, *(value for _, value in traverse(thing) if is_object(value))]


def flush_of(kind: type) -> str | None:
    """Give the name of the method of a class that resets gradients; None if it has none."""
    named = {bare: name for name in dir(kind) if (bare := name.replace("_", "").lower()) in FLUSHES}
    return next((named[n] for n in FLUSHES if n in named and callable(getattr(kind, named[n], None))), None)


def flushes(thing: Any) -> list[Any]:
    """Give the methods that reset gradients: that of `thing`, or those of the objects within it."""
    found: dict[int, Any] = {}
    for way, owner in (((), thing), *((way, value) for way, value in traverse(thing) if is_object(value))):
        name = flush_of(type(owner))
        if name is not None and not any(id(outer) in found for outer, _ in way):
            found[id(owner)] = getattr(owner, name)
    return list(found.values())
