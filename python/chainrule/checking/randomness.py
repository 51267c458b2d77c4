"""Generators: set back before every evaluation, so that all evaluations see the same noise, and at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule.checking.frameworks.interop import Source, is_torch_generator, source_of, torch_sources
from chainrule.checking.reach import GENERATORS
from chainrule.nn.layers.dropout import Masks


class Randomness:
    """The generators a subject may draw from: Python's, NumPy's global one, and those found in the subject.

    `found` is what `reach` gave.
    """

    def __init__(self, found: Mapping[int, tuple[str, Any]]) -> None:
        of_torch = torch_sources()
        self._sources: list[Source] = [
            (random.getstate, random.setstate, random.random),
            (lambda: np.random.get_state(legacy=False), np.random.set_state, lambda: np.random.random_sample(7)),
            *of_torch,
        ]
        self._states: list[Any] = []
        self._known = {id(np.random.mtrand._rand)}
        self._drawn_from: set[int] = set()
        #: What has been looked at, by name.
        self.names = ["Python's random", "NumPy's global generator", *["PyTorch's global generator"][: len(of_torch)]]
        self.look(found)

    def look(self, found: Mapping[int, tuple[str, Any]]) -> bool:
        """Take up generators that are not known yet, as those made by the first forward pass, and tell of it."""
        known = len(self._sources)
        for name, thing in found.values():
            if (isinstance(thing, GENERATORS) or is_torch_generator(thing)) and id(thing) not in self._known:
                self._known.add(id(thing))
                self._sources.append(_state_of(thing))
                self.names.append(name)
        self._states += [get() for get, *_ in self._sources[len(self._states) :]]
        self._used = list(range(len(self._sources)))
        return len(self._sources) > known

    def rewind(self, states: list[Any] | None = None) -> None:
        """Set every generator that is drawn from back to where it was when the check began, or to those states."""
        for i in self._used:
            self._sources[i][1]((states or self._states)[i])

    def other(self) -> list[Any]:
        """Give states from which other numbers are drawn: another batch sees another noise."""
        if not self._used:
            return self._states
        self.rewind()
        for _, _, draw in (self._sources[i] for i in self._used):
            draw()
        states = self.now()
        self.rewind()
        return states

    def now(self) -> list[Any]:
        """Give the states as they are, for `rewind`."""
        return [get() for get, *_ in self._sources]

    def told(self) -> tuple[list[Any], list[int]]:
        """Give what another process needs to draw the same from its own generators."""
        return self._states, self._used

    def adopt(self, told: tuple[list[Any], list[int]]) -> None:
        """Take over what another process has told of the same generators, here copies of its own."""
        states, used = told
        if len(states) != len(self._sources):
            raise RuntimeError(f"{len(states)} generators were sent, and {len(self._sources)} are here")
        self._states, self._used = states, used

    def notice(self) -> None:
        """Note which generators have been drawn from since the last `rewind`."""
        self._drawn_from |= {i for i, (get, *_) in enumerate(self._sources) if not _equal(get(), self._states[i])}

    @property
    def drawn_from(self) -> bool:
        """Whether any has been drawn from."""
        return bool(self._drawn_from)

    def forget_unused(self) -> None:
        """Rewind from now on only what has been noticed: setting one back takes longer than many a forward pass."""
        self._used = sorted(self._drawn_from)

    def restore(self) -> None:
        """Set all back, used or not."""
        self._used = list(range(len(self._sources)))
        self.rewind()


def _state_of(generator: Any) -> Source:
    if is_torch_generator(generator):
        return source_of(generator)
    if isinstance(generator, np.random.RandomState):
        return (lambda: generator.get_state(legacy=False)), generator.set_state, lambda: generator.random_sample(7)
    if isinstance(generator, Masks):
        return (lambda: generator.state), (lambda state: setattr(generator, "state", state)), generator.step
    bits = generator.bit_generator
    return (lambda: bits.state), (lambda state: setattr(bits, "state", state)), lambda: generator.random(7)


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else bool(a == b)
