"""What can be reached from a subject: arrays, generators, and what holds them, each with a name to tell it by.

Looked through are attributes (of the object, its class and its slots), containers, and what functions, methods and
partial calls enclose or name, inner functions included: a generator in a notebook stands beside the class, not in it,
and one in a configuration is named as ``config.rng``. Of a module only what the code names is looked at.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.checking.arguments import positional
from chainrule.checking.frameworks.interop import is_of_torch, is_tensor, is_torch_generator, seen_by_numpy
from chainrule.nn.layers.dropout import Masks
from chainrule.nn.parameters.places import in_slots, namespace, slots

#: Not looked into: objects of these keep no array and no generator of anybody's, and looking takes long.
_STANDARD = sys.stdlib_module_names | {"builtins"}
_LIBRARIES = _STANDARD | {
    "numpy", "scipy", "chainrule", "torch", "jax", "jaxlib", "tensorflow", "matplotlib", "pandas", "sklearn", "numba",
    "cupy", "sympy", "pytest", "_pytest", "hypothesis",
}  # fmt: skip
_LISTS, _GROUPS, _STATIC = (list, deque), (tuple, set, frozenset), (staticmethod, classmethod)
_LEAVES = (str, bytes, int, float, complex, type(None), np.generic, np.dtype)
GENERATORS = (np.random.Generator, np.random.RandomState, Masks)
_ARRAYS_AND_GENERATORS = (np.ndarray, *GENERATORS)
#: Of the standard library, but somebody's all the same: configurations.
_HOLDERS = ("SimpleNamespace", "Namespace", "defaultdict", "OrderedDict", "ChainMap")
#: So many things are looked at and no more.
_MOST = 20_000


def reach(**roots: Any) -> dict[int, tuple[str, Any]]:
    """Give the arrays, generators and holders found from `roots` on, by their ids, each with what it is called.

    Holders are dicts (also those of objects' attributes), lists, deques, objects with slots, and the cells of closures.
    A tensor of PyTorch's is given as it is, and as the array that shares its memory.
    """
    found: dict[int, tuple[str, Any]] = {}
    seen: dict[int, Any] = {}  # the things too, so that no address is used twice
    todo = deque(roots.items())
    while todo and len(seen) < _MOST:
        name, thing = todo.popleft()
        if isinstance(thing, _LEAVES) or id(thing) in seen:
            continue
        seen[id(thing)] = thing
        if isinstance(thing, _ARRAYS_AND_GENERATORS):
            found[id(thing)] = name, thing
        elif is_tensor(thing):
            found[id(thing)] = name, thing
            array = seen_by_numpy(thing)  # what it is in memory
            if array is not None:
                found[id(array)] = name, array
        elif is_torch_generator(thing):
            found[id(thing)] = name, thing
        elif isinstance(thing, dict):
            found[id(thing)] = name, thing
            todo.extend((f"{name}[{key!r}]" if isinstance(key, str | int) else name, v) for key, v in _items(thing))
        elif isinstance(thing, _LISTS):
            found[id(thing)] = name, thing
            todo.extend((f"{name}[{i}]", item) for i, item in enumerate(thing))
        elif isinstance(thing, _GROUPS):
            todo.extend((name, item) for item in thing)
        elif isinstance(thing, types.CellType):
            found[id(thing)] = name, thing
            with contextlib.suppress(ValueError):  # named, but not bound yet
                todo.append((name, thing.cell_contents))
        elif isinstance(thing, types.MethodType):
            todo.extend(((name, thing.__self__), (name, thing.__func__)))
        elif isinstance(thing, functools.partial):
            names = [p.name for p in positional(thing.func)][: len(thing.args)]
            names += [name] * (len(thing.args) - len(names))
            todo.append((name, thing.func))
            todo.extend((*zip(names, thing.args, strict=True), *thing.keywords.items()))
        elif isinstance(thing, types.FunctionType):
            todo.extend(_of_function(thing))
        elif isinstance(thing, property):
            todo.extend((name, f) for f in (thing.fget, thing.fset) if f is not None)
        elif isinstance(thing, _STATIC):
            todo.append((name, thing.__func__))
        elif isinstance(thing, type):
            todo.extend(_of_class(thing))
        elif not isinstance(thing, types.ModuleType) and _may_hold(thing):
            todo.append((type(thing).__name__, type(thing)))
            todo.extend(_attributes(name, thing, found))
    return found


def _items(thing: dict[Any, Any]) -> list[tuple[Any, Any]]:
    return list(dict.items(thing))


def _of(thing: Any) -> str:
    """Give the name of the package that a class or function is from."""
    return str(getattr(thing, "__module__", None) or "builtins").partition(".")[0]


def _attributes(name: str, thing: Any, found: dict[int, tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    if any(True for _ in slots(type(thing))):
        found[id(thing)] = name, thing
    yield from ((f"{name}.{slot}", value) for slot, value in in_slots(thing))
    held = namespace(thing)
    if held is not None:  # an empty one too: it may be filled
        found[id(held)] = name, held
        yield from ((f"{name}.{key}" if isinstance(key, str) else name, value) for key, value in _items(held))


def _of_class(kind: type) -> Iterator[tuple[str, Any]]:
    """Give what a class, and those it is derived from, hold: methods, and arrays and generators all objects share."""
    for base in kind.__mro__:
        if _of(base) not in _LIBRARIES:
            yield from ((f"{base.__name__}.{name}", value) for name, value in vars(base).items())


def codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Give a function's code and that of the functions, lambdas and comprehensions inside it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes(constant)


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Give what a function encloses, has as defaults and attributes, and what it names in its module."""
    if _of(function) in _LIBRARIES:
        if "__wrapped__" in vars(function):  # somebody's, in another form
            yield function.__name__, vars(function)["__wrapped__"]
        return
    own = function.__name__
    yield from ((f"a default of {own}", value) for value in function.__defaults__ or ())
    yield from (function.__kwdefaults__ or {}).items()
    yield from ((f"{own}.{name}", value) for name, value in vars(function).items())
    yield from zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    names = dict.fromkeys(name for code in codes(function.__code__) for name in code.co_names)
    todo = [(name, function.__globals__[name]) for name in names if name in function.__globals__]
    looked_at = set()
    while todo:
        name, thing = todo.pop()
        if not isinstance(thing, types.ModuleType):
            if _of_somebody(thing):
                yield name, thing
        elif thing.__name__.partition(".")[0] not in _LIBRARIES and thing.__name__ not in looked_at:
            looked_at.add(thing.__name__)
            inside = vars(thing)
            todo.extend((f"{name}.{inner}", inside[inner]) for inner in names if inner in inside)


def _may_hold(thing: Any) -> bool:
    return _of(type(thing)) not in _STANDARD or type(thing).__name__ in _HOLDERS


def _of_somebody(thing: Any) -> bool:
    """Tell whether a global is worth looking into: not what a library keeps, unless it is numbers or a generator."""
    if isinstance(thing, (np.ndarray, *GENERATORS, dict, list, deque, tuple)):
        return True
    kind = thing if isinstance(thing, type | types.FunctionType) else type(thing)
    return _of(kind) not in _LIBRARIES or kind.__name__ in _HOLDERS or is_of_torch(thing)


def arrays_of(functions: Any) -> tuple[str, ...]:
    """Give the names of the float arrays that functions enclose, or name in their module."""
    things = reach(subject=functions).values()
    return tuple(dict.fromkeys(n for n, thing in things if isinstance(thing, np.ndarray) and thing.dtype.kind == "f"))
