"""What a check must put back: every array and every generator that can be reached from what is checked.

A forward pass may draw numbers (dropout), write where it should not, or be cut short by an exception or Ctrl-C. The
arrays are put back bit for bit at the end, whatever happened; the generators are set back before every evaluation, so
that all evaluations see the same noise, and at the end.
"""

from __future__ import annotations

import contextlib
import functools
import random
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: Arrays that are neither parameters nor inputs and larger than this are left alone: a data set, most likely.
_LARGEST_BYSTANDER = 1 << 26
#: Bytes that are copied sooner than NumPy looks at them where they are.
_COPIED = 1 << 14


def reachable(*roots: Any) -> Iterator[Any]:
    """Give the arrays, generators and namespaces found from `roots` on, each once.

    Looked through are attributes (of the object, its class and its slots), containers, and what functions, methods and
    partial calls enclose or name: a generator in a notebook stands beside the class, not in it. A namespace is a dict:
    of attributes, or of parameters.
    """
    seen: dict[int, Any] = {}  # the things too, so that no address is used twice
    todo = deque(roots)
    while todo:
        thing = todo.popleft()
        if id(thing) in seen or isinstance(thing, types.ModuleType | str | bytes | int | float | None):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, np.ndarray | np.random.Generator | np.random.RandomState):
            yield thing
        elif isinstance(thing, dict):
            yield thing
            todo.extend(dict.values(thing))
        elif isinstance(thing, list | tuple | set | frozenset | deque):
            todo.extend(thing)
        elif isinstance(thing, types.MethodType):
            todo.extend((thing.__self__, thing.__func__))
        elif isinstance(thing, functools.partial):
            todo.extend((thing.func, *thing.args, *thing.keywords.values()))
        elif isinstance(thing, types.FunctionType):
            todo.extend(_named_in(thing))
        elif isinstance(thing, type):
            todo.extend(_of_class(thing))
        elif type(thing).__module__ not in _STANDARD:
            todo.append(type(thing))
            todo.extend(getattr(thing, name) for name in _slots(type(thing)) if hasattr(thing, name))
            if hasattr(thing, "__dict__"):
                todo.append(vars(thing))


#: The standard library's modules. Its objects keep no array and no generator of anybody's, and looking takes long.
_STANDARD = sys.stdlib_module_names | {"builtins"}


def _of_class(kind: type) -> Iterator[Any]:
    """Give what a class, and those it is derived from, hold: methods, and arrays and generators all objects share."""
    for base in kind.__mro__:
        if base.__module__.partition(".")[0] not in _STANDARD | {"numpy", "chainrule"}:
            yield from vars(base).values()


def _slots(kind: type) -> Iterator[str]:
    for base in kind.__mro__:
        slots = base.__dict__.get("__slots__", ())
        yield from (slots,) if isinstance(slots, str) else slots


def _named_in(function: types.FunctionType) -> Iterator[Any]:
    """Give what a function encloses, has as defaults, and those arrays and generators of its module that it names."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # named, but not bound yet
            yield cell.cell_contents
    for name in function.__code__.co_names:
        thing = function.__globals__.get(name)
        if isinstance(thing, np.ndarray | np.random.Generator | np.random.RandomState):
            yield thing


class Arrays:
    """Copies of arrays, to go back to: their numbers, and which array stood under which name.

    `found` is what is `reachable`.
    """

    def __init__(self, own: list[FloatArray], found: Sequence[Any]) -> None:
        others = [a for a in found if isinstance(a, np.ndarray) and _restorable(a)]
        self._kept = [(array, array.copy()) for array in {id(a): a for a in (*own, *others)}.values()]
        namespaces = [d for d in found if isinstance(d, dict)]
        self._names = [(d, k, a) for d in namespaces for k, a in dict.items(d) if isinstance(a, np.ndarray)]

    def restore(self) -> None:
        """Put back what has changed."""
        for namespace, name, array in self._names:
            if dict.get(namespace, name) is not array:
                dict.__setitem__(namespace, name, array)
        for array, before in self._kept:
            if not same_bits(array, before):
                np.copyto(array, before)


def _restorable(array: FloatArray) -> bool:
    return array.nbytes <= _LARGEST_BYSTANDER and array.flags.writeable and not array.dtype.hasobject


@contextlib.contextmanager
def put_back(arrays: Iterable[FloatArray]) -> Iterator[list[FloatArray]]:
    """Lend arrays to be written into, with a copy of each, and put them back, whatever happens."""
    kept = [(array, array.copy()) for array in arrays]
    try:
        yield [before for _, before in kept]
    finally:
        for array, before in kept:
            np.copyto(array, before)


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    """Tell whether two arrays hold the same bytes, so that nan equals nan and 0 is not -0."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.nbytes > _COPIED and a.dtype.itemsize in (1, 2, 4, 8) and not a.dtype.hasobject:
        # Looked at as whole numbers where they are: bytes objects of both would be two copies.
        bits = np.dtype(f"u{a.dtype.itemsize}")
        return np.array_equal(a.view(bits), b.view(bits))
    return a.tobytes() == b.tobytes()


class Randomness:
    """The generators a subject may draw from: Python's, NumPy's global one, and those found in the subject.

    `found` is what is `reachable`.
    """

    def __init__(self, found: Iterable[Any]) -> None:
        self._sources: list[tuple[Callable[[], Any], Callable[[Any], object]]] = [
            (random.getstate, random.setstate),
            (lambda: np.random.get_state(legacy=False), np.random.set_state),
        ]
        self._states: list[Any] = []
        self._known = {id(np.random.mtrand._rand)}
        self._drawn_from: set[int] = set()
        self.look(found)

    def look(self, found: Iterable[Any]) -> None:
        """Take up generators that are not known yet: some are made in the first forward pass."""
        for thing in found:
            if isinstance(thing, np.random.Generator | np.random.RandomState) and id(thing) not in self._known:
                self._known.add(id(thing))
                self._sources.append(_state_of(thing))
        self._states += [get() for get, _ in self._sources[len(self._states) :]]
        self._used = list(range(len(self._sources)))

    def rewind(self, states: list[Any] | None = None) -> None:
        """Set every generator that is drawn from back to where it was when the check began, or to those states."""
        for i in self._used:
            self._sources[i][1]((states or self._states)[i])

    def now(self) -> list[Any]:
        """Give the states as they are, for `rewind`."""
        return [get() for get, _ in self._sources]

    def notice(self) -> None:
        """Note which generators have been drawn from since the last `rewind`."""
        self._drawn_from |= {i for i, (get, _) in enumerate(self._sources) if not _equal(get(), self._states[i])}

    def forget_unused(self) -> None:
        """Rewind from now on only what has been noticed: setting one back takes longer than many a forward pass."""
        self._used = sorted(self._drawn_from)

    def restore(self) -> None:
        """Set all back, used or not."""
        self._used = list(range(len(self._sources)))
        self.rewind()


def _state_of(
    generator: np.random.Generator | np.random.RandomState,
) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    if isinstance(generator, np.random.RandomState):
        return (lambda: generator.get_state(legacy=False)), generator.set_state
    bits = generator.bit_generator
    return (lambda: bits.state), (lambda state: setattr(bits, "state", state))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
