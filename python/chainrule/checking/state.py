"""What a check must put back: every array and every generator that can be reached from what is checked.

A forward pass may draw numbers (dropout), write where it should not, or be cut short by an exception or Ctrl-C. The
arrays are put back bit for bit at the end, whatever happened; the generators are set back before every evaluation, so
that all evaluations see the same noise, and at the end.
"""

from __future__ import annotations

import random
import types
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: Arrays that are neither parameters nor inputs and larger than this are left alone: a data set, most likely.
_LARGEST_BYSTANDER = 1 << 26


def reachable(*roots: Any) -> Iterator[Any]:
    """Give the arrays and generators found in attributes, containers and closures, from `roots` on; each once."""
    seen: dict[int, Any] = {}  # the things too, so that no address is used twice
    todo = deque(roots)
    while todo:
        thing = todo.popleft()
        if id(thing) in seen or isinstance(thing, type | types.ModuleType | str | bytes | int | float | None):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, np.ndarray | np.random.Generator | np.random.RandomState):
            yield thing
        elif isinstance(thing, dict):
            todo.extend(dict.values(thing))
        elif isinstance(thing, list | tuple | set | frozenset | deque):
            todo.extend(thing)
        elif isinstance(thing, types.MethodType):
            todo.extend((thing.__self__, thing.__func__))
        elif isinstance(thing, types.FunctionType):
            todo.extend(_enclosed(thing))
        elif hasattr(thing, "__dict__"):
            todo.append(vars(thing))


def _enclosed(function: types.FunctionType) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # named, but not bound yet
            pass


class Arrays:
    """Copies of arrays, to compare with and to go back to."""

    def __init__(self, own: list[FloatArray], *roots: Any) -> None:
        others = (a for a in reachable(*roots) if isinstance(a, np.ndarray))
        kept = {id(a): a for a in (*own, *others) if _restorable(a, a.nbytes <= _LARGEST_BYSTANDER)}
        kept.update({id(a): a for a in own})
        self._kept = [(array, array.copy()) for array in kept.values()]

    def restore(self) -> None:
        """Put back what has changed."""
        for array, before in self._kept:
            if not same_bits(array, before):
                np.copyto(array, before)


def _restorable(array: FloatArray, small: bool) -> bool:
    return small and array.flags.writeable and not array.dtype.hasobject


def same_bits(a: FloatArray, b: FloatArray) -> bool:
    """Tell whether two arrays hold the same bytes, so that nan equals nan and 0 is not -0."""
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


class Randomness:
    """The generators a subject may draw from: Python's, NumPy's global one, and those found in the subject."""

    def __init__(self, *roots: Any) -> None:
        self._sources: list[tuple[Callable[[], Any], Callable[[Any], object]]] = [
            (random.getstate, random.setstate),
            (lambda: np.random.get_state(legacy=False), np.random.set_state),
        ]
        for thing in reachable(*roots):
            if isinstance(thing, np.random.Generator):
                self._sources.append(_attribute(thing.bit_generator))
            elif isinstance(thing, np.random.RandomState) and thing is not np.random.mtrand._rand:
                self._sources.append((lambda g=thing: g.get_state(legacy=False), thing.set_state))
        self._states = [get() for get, _ in self._sources]
        self._used = list(range(len(self._sources)))
        self._drawn_from: set[int] = set()

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


def _attribute(bits: np.random.BitGenerator) -> tuple[Callable[[], Any], Callable[[Any], object]]:
    return (lambda: bits.state), (lambda state: setattr(bits, "state", state))


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
