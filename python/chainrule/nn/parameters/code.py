"""What the code of a class says about the attributes of its objects, before any of it has run.

This module reads the bytecode of the methods, inner functions included, in the order of a forward pass: the code of a
method is read where the method is called. Nobody has to declare which arrays are parameters. An attribute that every
forward pass stores is a cache; an attribute whose gradient some method stores is a parameter.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from chainrule.nn.parameters.places import CONTAINERS, PASSING, flush_of, gradient_names, slots

#: Names that are always parameters, whatever is beside them.
PLAIN = ("W", "b")
#: Names of forward methods, where reading begins. Without any of them, all methods of an object are read.
_FORWARD = ("forward", "__call__", "forward_pass", "fprop", "forward_propagate", "call", "feed_forward", "predict")
_NOT_OURS = sys.stdlib_module_names | {"builtins", "numpy"}
#: The limit of instructions to read, because methods may call each other endlessly.
_MOST = 20_000


@dataclass(eq=False, repr=False)
class Code:
    """What the methods of a class do with attributes, by name."""

    #: Attributes that some method stores.
    stored: frozenset[str]
    #: Strings that some method contains; keys of dicts are among them.
    strings: frozenset[str]
    #: Attributes that forward stores anew in each pass, or only for use in the same branch.
    caches: frozenset[str]
    #: Attributes that forward reads before it stores them.
    kept: frozenset[str]
    #: Those of `kept` that forward never stores.
    untouched: frozenset[str]


_read: WeakKeyDictionary[type, Code] = WeakKeyDictionary()


def code_of(kind: type) -> Code:
    """Give what the code of a class says; each class is read once.

    Examples
    --------
    >>> class Scale:
    ...     def forward(self, x):
    ...         self.x = x
    ...         return x * self.gamma
    ...
    ...     def backward(self, dout):
    ...         self.dgamma = (dout * self.x).sum(axis=0)
    ...         return dout * self.gamma
    >>> code = code_of(Scale)
    >>> "dgamma" in code.stored, "x" in code.caches, "gamma" in code.kept
    (True, True, True)
    """
    found = _read.get(kind)
    if found is None:
        found = _read[kind] = _reading(kind)
    return found


def stored_in(code: types.CodeType) -> Iterator[str]:
    """Give the attributes that a function, or a function inside it, stores."""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_ATTR":
            yield str(instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from stored_in(constant)


def strings_in(constant: Any) -> Iterator[str]:
    """Give the strings in a constant, which may also be a tuple of strings or an inner function."""
    if isinstance(constant, str):
        yield constant
    elif isinstance(constant, tuple | frozenset | types.CodeType):
        for inner in constant.co_consts if isinstance(constant, types.CodeType) else constant:
            yield from strings_in(inner)


def _functions(kind: type) -> Iterator[tuple[str, list[types.FunctionType]]]:
    """Give the functions of a class and its base classes, nearest first, with their decorators."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in _NOT_OURS:
            for name, value in vars(base).items():
                functions = (value.fget, value.fset) if isinstance(value, property) else (value,)
                yield from ((name, found) for function in functions if (found := list(_behind(function))))


def _enclosed(function: types.FunctionType) -> Iterator[str]:
    """Give the strings that a function captures from the function that encloses it."""
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # named, but not bound yet
            if isinstance(cell.cell_contents, str):
                yield cell.cell_contents


def _behind(thing: Any) -> Iterator[types.FunctionType]:
    """Give a function, and the functions that its decorators wrap."""
    while thing is not None:
        if isinstance(thing, types.FunctionType):
            yield thing
        thing = getattr(thing, "__wrapped__", getattr(thing, "__func__", None))


def _reading(kind: type) -> Code:
    methods: dict[str, list[types.CodeType]] = {}
    stored: set[str] = set()
    strings: set[str] = set()
    for name, functions in _functions(kind):
        methods.setdefault(name, []).append(functions[-1].__code__)
        for function in functions:
            stored.update(stored_in(function.__code__))
            strings.update(strings_in(function.__code__))
            strings.update(_enclosed(function))
    roots = [name for name in _FORWARD if name in methods][:1] or [name for name in methods if name != "__init__"]
    forward = _ForwardPass(methods)
    for root in roots:
        forward.method(root, 0, (), ())
    caches, kept, untouched = set(), set(), set()
    for name, each in forward.accesses.items():
        stores = [regions for is_store, regions in each if is_store]
        reads = not each[0][0] or any(
            not is_store and regions[:1] != stores[0][:1] for is_store, regions in each if stores and stores[0]
        )
        if any(not regions for regions in stores) or not reads:
            caches.add(name)
        if reads:
            kept.add(name)
            if not stores:
                untouched.add(name)
    return Code(frozenset(stored), frozenset(strings), frozenset(caches), frozenset(kept), frozenset(untouched))


class _ForwardPass:
    """The accesses of a forward pass: stores and loads, and the branches that contain them, outermost first."""

    def __init__(self, methods: dict[str, list[types.CodeType]]) -> None:
        self.methods = methods
        self.accesses: dict[str, list[tuple[bool, tuple[int, ...]]]] = {}
        self.left, self.regions = _MOST, 0

    def method(self, name: str, level: int, within: tuple[int, ...], above: tuple[tuple[str, int], ...]) -> None:
        """Read the `level`-th method of this name; the nearest is number 0."""
        codes = self.methods.get(name, ())
        if level < len(codes) and (name, level) not in above:
            self.code(codes[level], (name, level), within, above)

    def code(
        self, code: types.CodeType, me: tuple[str, int], within: tuple[int, ...], above: tuple[tuple[str, int], ...]
    ) -> None:
        """Read the code of a method in order."""
        branches: list[tuple[int, int]] = []  # where each ends, and its number
        for instruction in dis.get_instructions(code):
            self.left -= 1
            if self.left < 0:
                return
            here = within + tuple(number for end, number in branches if instruction.offset < end)
            name = str(instruction.argval)
            if _branches(instruction):
                self.regions += 1
                branches.append((int(instruction.argval), self.regions))
            elif instruction.opname == "STORE_ATTR":
                self.accesses.setdefault(name, []).append((True, here))
            elif instruction.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "LOAD_SUPER_METHOD"):
                if name in self.methods:
                    self.method(name, me[1] + 1 if name == me[0] else 0, here, (*above, me))
                else:
                    self.accesses.setdefault(name, []).append((False, here))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):  # a comprehension or an inner function, wherever it is called
                self.code(constant, me, within, (*above, me))


def _branches(instruction: dis.Instruction) -> bool:
    """Tell whether the code from here to the jump target may be skipped. A loop is assumed to run."""
    if "JUMP" not in instruction.opname or "_IF_" not in instruction.opname:
        return False
    return isinstance(instruction.argval, int) and instruction.argval > instruction.offset


class Facts(NamedTuple):
    """What is known about all objects of a class."""

    plain: bool
    properties: tuple[str, ...]
    flushes: bool
    #: For each attribute asked about so far: whether the code says that it is a parameter or never one.
    known: dict[str, bool | None]
    passing: dict[Any, bool]


_FACTS: WeakKeyDictionary[type, Facts] = WeakKeyDictionary()


def facts_of(kind: type) -> Facts:
    """Give what is known about all objects of a class; it is found once for each class."""
    found = _FACTS.get(kind)
    if found is None:
        code = code_of(kind)
        shown = [name for base in kind.__mro__ for name, value in vars(base).items() if isinstance(value, property)]
        arrays = any(isinstance(value, np.ndarray) for base in kind.__mro__ for value in vars(base).values())
        names = {name for base in kind.__mro__ for name in vars(base)}
        views = any(has_gradient(name, code, names) for name in shown if name not in PLAIN)
        plain = not (arrays or views or any(slots(kind)) or hasattr(kind, "params"))
        properties = tuple(name for name in PLAIN if name in shown)
        found = Facts(plain, properties, flush_of(kind) is not None, {}, {})
        _FACTS[kind] = found
    return found


@functools.lru_cache(maxsize=4096)
def names_of_gradient(name: str) -> frozenset[str]:
    """Give the possible names of the gradient of an attribute."""
    return frozenset(gradient_names(name))


def is_parameter_by_code(kind: type, name: str) -> bool | None:
    """Tell from the code of a class whether an attribute is a parameter; None if only an object can tell."""
    code = code_of(kind)
    if is_cache(name, code):
        return False
    return True if has_gradient(name, code) else None


def is_cache(name: str, code: Code) -> bool:
    """Tell whether an attribute holds something that belongs to one pass, such as a gradient."""
    return name in code.caches or name in CONTAINERS or (name in PASSING and name not in code.untouched)


def has_gradient(name: str, code: Code, more: Iterable[str] = ()) -> bool:
    """Tell whether the code stores something under a name for the gradient of `name`."""
    names = names_of_gradient(name)
    if not (names.isdisjoint(code.stored) and names.isdisjoint(code.strings) and names.isdisjoint(more)):
        return True
    return name in code.strings and not code.stored.isdisjoint(CONTAINERS)


def is_passing(owner: Any, name: Any) -> bool:
    """Tell whether an attribute never holds a parameter."""
    known = facts_of(type(owner)).passing
    if name not in known:
        known[name] = is_cache(name, code_of(type(owner)))
    return known[name]
