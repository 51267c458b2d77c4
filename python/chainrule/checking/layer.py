"""Layers: whatever goes forwards, and back with the gradient of what came out; an object, or a pair of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import positional, required
from chainrule.checking.conventions import CACHES, LEARNING_RATES, is_target
from chainrule.checking.results import Outcome, outcome_of
from chainrule.checking.state import put_back
from chainrule.checking.subject import Answer, Subject
from chainrule.parameters import flushes, put


@dataclass
class LayerSubject(Subject):
    """An object with ``forward(*inputs)`` and ``backward(dout)``, or two functions ``(out, cache)``, ``(dout, cache)``.

    Attributes
    ----------
    forwards, backwards : callable
        Given the thing, give what goes forwards and what goes back.
    call : tuple
        What backward is called with: "dout", "douts" (one after the other), "cache", "lr", or an argument's name.
    flushing : tuple of callable
        Called before every forward pass: they set gradients that are added up to nothing.
    """

    forwards: Callable[[Any], Any] = field(default=lambda thing: thing.forward)
    backwards: Callable[[Any], Any] = field(default=lambda thing: thing.backward)
    call: tuple[str, ...] = ("dout",)
    flushing: tuple[Any, ...] = ()
    last: Outcome | None = None
    mean: bool = False
    kind: str = "layer"

    @property
    def takes_dout(self) -> bool:  # type: ignore[override]
        """Whether the gradient of what comes out is sent back."""
        return "dout" in self.call or "douts" in self.call

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give random numbers; where none are sent back, ones for the sum of the outputs, or what makes it the mean."""
        douts = super().cotangents(outputs, rng)
        return [dout / np.size(dout) for dout in douts] if self.mean else douts

    def run(self) -> Outcome:
        """Go forwards once."""
        for flush in self.flushing:
            flush()
        raw = self.forwards(self.thing)(*self.handed())
        what = f"{self.name}.{self.forward_name}" if self.kind == "layer" else self.forward_name
        self.last = outcome_of(raw, self.thing, what, cached="cache" in self.call)
        return self.last

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return self.run().arrays

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        if fresh or self.last is None or self.flushing:
            self.run()
        assert self.last is not None
        given: list[Any] = []
        by_name = dict(zip((slot.name for slot in self.slots), self.handed(), strict=True))
        for part in self.call:
            if part == "dout":
                given.append(self.last.packed(douts))
            elif part == "douts":
                given.extend(douts)
            elif part == "cache":
                given.append(self.last.cache)
            elif part == "lr":
                given.append(1.0)
            elif part.startswith("."):
                given.append(getattr(self.thing, part[1:]))
            else:
                given.append(by_name[part])
        if "lr" not in self.call:
            return self.answer(self.backwards(self.thing)(*given))
        with put_back(self.parameters.values()) as before:  # its step of 1 takes off what it holds the gradient to be
            returned = self.backwards(self.thing)(*given)
            taken = {n: b - self._now(n) for n, b in zip(self.parameters, before, strict=True)}
        for name, array in self.parameters.items():
            self._keep(name, array)
        return self.answer(returned, taken)

    def _now(self, name: str) -> Any:
        """Give a parameter as it is, also if it has been replaced."""
        for place in self.places.get(name, ()):
            if isinstance(place.value, np.ndarray):
                return place.value
        return self.parameters[name]

    def _keep(self, name: str, array: FloatArray) -> None:
        for place in self.places.get(name, ()):
            if place.value is not array:
                put(place, array)

    def widened(self) -> Subject | None:
        """Give a copy that computes in float64."""
        wide = super().widened()
        if isinstance(wide, LayerSubject):
            wide.last, wide.flushing = None, tuple(flushes(wide.thing)) if self.flushing else ()
        return wide


def calls_of(
    backward: Any, names: Sequence[str], outcome: Outcome, *, learns: bool = True
) -> tuple[tuple[str, ...], list[str]]:
    """Say what to call `backward` with, as far as its signature tells.

    Returns
    -------
    call : tuple
        See `LayerSubject`.
    unknown : list of str
        Arguments it asks for, and nobody knows what they are.
    """
    asked, optional = required(backward), [p.name for p in positional(backward)]
    if not asked:
        return (() if not optional and _takes_nothing(backward) else ("dout",)), []
    call: list[str] = []
    others: list[int] = []
    for i, name in enumerate(asked):
        if name in LEARNING_RATES and learns and len(asked) > 1:
            call.append("lr")
        elif name in CACHES and outcome.has_cache:
            call.append("cache")
        elif name in names and (len(asked) > 1 or is_target(name, list(names))):
            call.append(name)
        else:
            others.append(i)
            call.append("dout")
    if outcome.has_cache and "cache" not in call and len(others) == len(outcome.arrays) + 1:
        call[others.pop()] = "cache"
    if len(others) > 1 and len(others) == len(outcome.arrays):
        first = others[0]
        call = [part for i, part in enumerate(call) if i not in others[1:]]
        call[first] = "douts"
        return tuple(call), []
    return tuple(call), [asked[i] for i in others[1:]]


def _takes_nothing(function: Any) -> bool:
    import inspect

    try:
        return not inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
