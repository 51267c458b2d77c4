"""Layers: whatever goes forwards, and back with the gradient of what came out; an object, or a pair of functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import positional, required, takes_nothing
from chainrule.checking.conventions import CACHES, LEARNING_RATES, is_target
from chainrule.checking.reach import reach
from chainrule.checking.results import Outcome, outcome_of
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.nn.parameters.places import flushes


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
    first: int = 0
    #: The attribute that forward leaves the loss in, while it hands on its input.
    loss_in: str = ""
    #: Whether backward takes a step of training itself, and of parameters it changes the size of that step.
    stepping: bool = False
    steps: dict[str, float] = field(default_factory=dict)
    #: Whether what it takes off is the gradients beside the parameters, times a learning rate that it holds.
    by_its_rate: bool = False
    #: What backward is also given, by name.
    also: tuple[str, ...] = ()
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
        handed = self.handed()
        for flush in self.flushing:
            flush()
        raw = self.forwards(self.thing)(*handed)
        if self.loss_in:
            raw = getattr(self.thing, self.loss_in)
        what = f"{self.name}.{self.forward_name}" if self.kind == "layer" else self.forward_name
        outcome = outcome_of(raw, self.thing, what, cached="cache" in self.call)
        if self.first:  # backward is given the gradient of so many of them
            outcome = replace(outcome, arrays=outcome.arrays[: self.first])
        self.last = outcome
        return outcome

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return self.run().arrays

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        if fresh or self.last is None or self.flushing:
            self.run()
        assert self.last is not None
        given: list[Any] = []
        by_name = {slot.name: slot.handed(self.inputs) for slot in self.slots}
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
        backward = self.backwards(self.thing)
        if not self.stepping:
            return self.answer(backward(*given, **self._also(by_name)))
        # It takes a step of its own: what that takes off is what it holds the gradient to be, times the step size.
        before = {name: self.parameters[name].copy() for name in self.steps}
        everything = State(reach(subject=self.thing), self.parameters.values())
        try:
            returned = backward(*given, **self._also(by_name))
            taken = {name: (before[name] - self._now(name)) / size for name, size in self.steps.items()}
            return self.answer(returned, taken)
        finally:
            everything.restore()

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Parameters whose step may be more than a gradient times a step size that was found beside them."""
        return () if "lr" in self.call else tuple(self.steps)

    def _also(self, by_name: dict[str, Any]) -> dict[str, Any]:
        """Give what backward may be given, and forward was given under the same name, as a mode."""
        return {name: by_name[name] for name in self.also}

    def _now(self, name: str) -> Any:
        """Give a parameter as it is, also if it has been replaced."""
        here = (place.value for place in self.places.get(name, ()))
        return next((value for value in here if isinstance(value, np.ndarray)), self.parameters[name])

    def widened(self) -> Subject | None:
        """Give a copy that computes in float64."""
        wide = super().widened()
        if isinstance(wide, LayerSubject):
            wide.last, wide.flushing = None, tuple(flushes(wide.thing)) if self.flushing else ()
        return wide


def calls_of(backward: Any, names: Sequence[str], outcome: Outcome) -> tuple[tuple[str, ...], list[str]]:
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
        nothing = all(name.startswith("_") for name in optional) and (optional or takes_nothing(backward))
        return (() if nothing else ("dout",)), []
    call: list[str] = []
    others: list[int] = []
    for i, name in enumerate(asked):
        if name in names and (len(asked) > 1 or is_target(name, list(names))):
            call.append(name)
        elif name in LEARNING_RATES and len(asked) > 1:
            call.append("lr")
        elif name in CACHES and outcome.has_cache:
            call.append("cache")
        else:
            others.append(i)
            call.append("dout")
    if outcome.has_cache and "cache" not in call and len(others) == len(outcome.arrays) + 1:
        call[others.pop()] = "cache"
    if 1 < len(others) <= len(outcome.arrays):
        first = others[0]
        call = [part for i, part in enumerate(call) if i not in others[1:]]
        call[first] = "douts"
        return tuple(call), []
    return tuple(call), [asked[i] for i in others[1:]]
