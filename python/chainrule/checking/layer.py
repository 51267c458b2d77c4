"""Layers: whatever goes forwards, and back with the gradient of what came out; an object, or a pair of functions.

First the class, then how it is understood: what backward is called with, in all the ways that public code has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking import calls, conventions
from chainrule.checking.arguments import Slot, positional, required
from chainrule.checking.equality import same_numbers
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import Outcome, is_one, outcome_of
from chainrule.checking.returned import order_by_name, returned_names
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.values import parameter
from chainrule.nn.parameters.places import flushes, traverse


@dataclass
class LayerSubject(Subject):
    """An object with ``forward(*inputs)`` and ``backward(dout)``."""

    #: Given the thing, these give what goes forwards and what goes back.
    forwards: Callable[[Any], Any] = field(default=attrgetter("forward"))
    backwards: Callable[[Any], Any] = field(default=attrgetter("backward"))
    #: What backward is called with: "dout", "douts" (one after the other), "cache", "rest" (the output behind the
    #: first), "=out" (what forward gave), "lr", or an argument's name.
    call: tuple[str, ...] = ("dout",)
    #: Called before every forward pass: they set gradients that are added up to nothing.
    flushing: tuple[Any, ...] = ()
    last: Outcome | None = None
    #: Whether what comes back, when nothing is sent, is the gradient of the mean.
    mean: bool = False
    #: Of how many outputs backward is given the gradient, the first ones; 0: of all.
    first: int = 0
    #: Of which output alone backward is given the gradient, and the others as they are; -1: of none.
    picked: int = -1
    #: The attribute that forward leaves the loss in, while it hands on its input.
    loss_in: str = ""
    #: The attribute that forward leaves its output in, if it returns nothing and has left several.
    left_in: str = ""
    #: Of parameters that backward changes the size of its step.
    steps: dict[str, float] = field(default_factory=dict)
    #: What backward is also given, by name; the key under which it wants the gradient, if it is given a dict.
    also: tuple[str, ...] = ()
    key: str | None = None
    #: What backward has raised, and what it was given.
    raised: tuple[Exception, Sequence[Any]] | None = None
    kind = "layer"
    methods = (conventions.FORWARD, conventions.BACKWARD)
    gradients_optional = False
    leaves_outputs = True

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give an object with two such methods; what takes a step size alone is not that which goes back."""
        ahead, back = map(reader.first, cls.methods)
        if back and calls.is_a_step(getattr(reader.thing, back)):
            others = (name for name in conventions.DERIVATIVES if name not in cls.methods[1] and reader.has(name))
            back = next((name for name in others if len(required(getattr(reader.thing, name))) == 1), back)
        return cls.by_methods(reader, ahead, back) if ahead and back else ()

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give an object with methods of these names, in the ways that it can be meant."""
        thing = reader.thing
        _refuse_unmovable(thing)
        before = State(reach(subject=thing))
        try:
            return _entered_by(reader, ahead, back)
        except Exception:
            if ahead == "__call__" or not callable(thing) or reader.asked.forward:
                raise
            before.restore()  # a base class's __call__ may keep what backward needs, and then call forward
            try:
                return _entered_by(reader, "__call__", back)
            except Exception:  # no better: what is told is about forward
                before.restore()
            raise

    @classmethod
    def otherwise(cls, value: Any, derivative: Any, arguments: Sequence[Any]) -> tuple[Any, str] | None:
        """Give a backward that asks for what forward asks for as a derivative."""
        asked = required(value)
        if not asked or asked != required(derivative):
            return None
        told = f"right if backward is given {', '.join(asked)} as forward is, and not the gradient of what comes out"
        return (value, derivative), told

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
        if raw is None and self.left_in:
            raw = getattr(self.thing, self.left_in)
        if self.loss_in:
            raw = getattr(self.thing, self.loss_in)
        outcome = outcome_of(raw, self.thing, self.full_name(self.forward_name), cached="cache" in self.call)
        if self.key is not None:
            outcome = replace(outcome, keys=(self.key,))
        if self.picked >= 0:
            outcome = replace(outcome, arrays=[outcome.arrays[self.picked]], rest=tuple(outcome.arrays))
        if self.first:  # backward is given the gradient of so many of them
            rest = tuple(raw[self.first :]) if isinstance(raw, tuple | list) else ()
            outcome = replace(outcome, arrays=outcome.arrays[: self.first], rest=rest)
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
        for name in self.call:
            if name == "dout":
                given.append(self.last.packed(douts))
            elif name == "douts":
                given.extend(douts)
            elif name == "cache":
                given.append(self.last.cache)
            elif name == "rest":
                given.extend(self.last.rest[:1])
            elif name == "=out":
                given.append(self.last.packed(self.last.arrays))
            elif name.startswith("="):
                given.append(self.last.rest[int(name[1:])])
            elif name == "lr":
                given.append(1.0)
            elif name.startswith("."):
                given.append(getattr(self.thing, name[1:]))
            else:
                given.append(by_name[name])
        options = {name: by_name[name] for name in self.also}
        if not (self.stepping or self.by_its_rate):
            return self.answer(self._spread(self._back(given, options)))
        # It takes a step of its own: what that takes off is what it holds the gradient to be, times the step size.
        before = {name: self.parameters[name].copy() for name in self.steps}
        everything = State(reach(subject=self.thing), self.parameters.values())
        try:
            returned = self._back(given, options)
            taken = {name: (before[name] - self._now(name)) / size for name, size in self.steps.items()}
            return self.answer(returned, taken)
        finally:
            everything.restore()

    def _back(self, given: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """Call backward."""
        try:
            return self.backwards(self.thing)(*given, **options)
        except Exception as error:
            self.raised = error, given
            raise

    def _spread(self, returned: Any) -> Any:
        """Give the slope of what is the same everywhere, as 1 of the identity, for every entry."""
        arrays = list(self.movable.values())
        if self.takes_dout or self.parameters or len(arrays) != 1 or self.last is None or not is_one(returned):
            return returned
        same = self.last.arrays[0].shape == arrays[0].shape and arrays[0].size > 1
        return np.full(arrays[0].shape, float(returned)) if same and np.ndim(returned) == 0 else returned

    def refusal(self, error: Exception) -> TypeError | None:
        """Say what backward was given when it raised this."""
        if self.raised is None or self.raised[0] is not error:
            return None
        return TypeError(calls.refused(self, self.backwards(self.thing), self.raised[1], error))

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Parameters whose step may be more than a gradient times a step size that was found beside them."""
        return () if "lr" in self.call else tuple(self.steps)

    @property
    def is_given_a_rate(self) -> bool:
        """Whether one of backward's arguments is called like a learning rate."""
        return any(p.name in conventions.LEARNING_RATES for p in positional(self.backwards(self.thing))[1:])

    def learning_rates(self) -> Sequence[float]:
        """Give those that the object holds, or what it holds does; or that backward takes if it is given none."""
        if "lr" in self.call:
            return [1.0]
        named = [(way[-1][1], value) for way, value in traverse(self.thing)]
        named += [(p.name, p.default) for p in positional(self.backwards(self.thing))]
        floats = [(name, value) for name, value in named if isinstance(value, float)]
        return [value for name, value in floats if name in conventions.LEARNING_RATES and value > 0]

    def takes_steps(self, name: str, rates: Sequence[float], in_proportion: bool) -> bool:
        """Note it; the step is that of the one learning rate there is, or 1 if backward is given it."""
        self.stepping = True
        sizes = set(rates)
        if len(sizes) == 1 and in_proportion:
            self.steps[name] = sizes.pop()
        return name in self.steps

    def _now(self, name: str) -> Any:
        """Give a parameter as it is, also if it has been replaced."""
        kinds = (np.ndarray, int, float) if name in self.boxes else np.ndarray
        here = (place.value for place in self.places.get(name, ()))
        return next((value for value in here if isinstance(value, kinds)), self.parameters[name])

    def returned_names(self) -> tuple[str, ...]:
        """Give the names of the variables that backward returns, if they can be known."""
        return returned_names(self.backwards(self.thing))

    def widened(self) -> Subject | None:
        """Give a copy that computes in float64."""
        wide = super().widened()
        if isinstance(wide, LayerSubject):
            wide.last, wide.flushing = None, tuple(flushes(wide.thing)) if self.flushing else ()
        return wide


# --- understanding one ---


def _entered_by(reader: Reader, ahead: str, back: str) -> list[Subject]:
    thing = reader.thing
    slots, inputs = reader.slots(getattr(thing, ahead))
    subject = LayerSubject(
        thing, type(thing).__name__, slots, inputs, reader.wrt(inputs),
        forwards=attrgetter(ahead), backwards=attrgetter(back),
        flushing=tuple(flushes(thing)),
    )  # fmt: skip
    subject.forward_name, subject.backward_name = ahead, back
    return understood(reader, subject, getattr(thing, back))


def understood(reader: Reader, subject: LayerSubject, backward: Any) -> list[Subject]:
    """Say what backward is called with, and find the parameters; all ways that can be."""
    if calls.last_is_a_cache(backward, subject):
        subject = replace(subject, call=("dout", "cache"))  # of the rest, more is known below
    before = State(reach(subject=reader.thing))
    try:
        first = reader.quietly(subject.run, subject.inputs)
    except Exception:
        if not subject.flushing:
            raise
        before.restore()  # a method that seemed to set gradients to nothing may do more, or fail
        subject.flushing = ()
        first = reader.quietly(subject.run, subject.inputs)
    reader.randomness.look(reach(subject=reader.thing))
    subject.resets = _resets(reader, subject)
    subject.also = calls.also_given(backward, subject)
    subject.labels = calls.labels_asked(backward, [slot.name for slot in subject.slots])
    found: list[Subject] = []
    error: Exception | None = None
    refusal: TypeError | None = None
    before = State(reach(subject=reader.thing))
    ways = calls.ways_of(subject, first, backward)
    for way in ways:
        other = replace(way, parameters={}, places={}, boxes={}, steps={})
        try:
            outputs = reader.quietly(other.run, other.inputs).arrays
            reader.hold(other, other.cotangents(outputs, np.random.default_rng(7)))
        except Exception as raised:
            if error is None or "'tuple'" in str(error):  # it was given all of them, and is for one
                error, refusal = raised, other.refusal(raised)
            before.restore()
            if isinstance(raised, KeyError) and len(first.keys or ()) == 1 and way.key is None:
                ways.append(replace(way, key=raised.args[0]))
            continue
        _rename_inputs(other)
        found.append(other)
        found += _by_returned_names(other)
    if not found:
        assert error is not None
        if isinstance(error, KeyError) and first.keys is not None:
            raise TypeError(
                f"{subject.backward_name} asks for {error} of the dict that it is given: the gradients of what forward"
                f" gives, by the same keys ({', '.join(map(str, first.keys))}); hand over functions (forward, backward)"
            ) from error
        if subject.labels:
            raise TypeError(calls.labels_wanted(subject)) from error
        if refusal is not None:
            raise refusal from error
        raise error
    return found


def _by_returned_names(subject: LayerSubject) -> list[LayerSubject]:
    """Give an object in another way if the variables it returns are called after its arguments, in another order.

    Functions give gradients in the order of their arguments.
    """
    told, inputs = subject.returned_names(), subject.inputs
    if subject.of_functions or subject.order or len(told) < 2 or len(told) != len(subject.items):
        return []
    order = order_by_name(told, inputs, subject.items)
    if not order or None in order or order == tuple(inputs)[: len(order)]:
        return []
    read_as = f"what {subject.backward_name} gives is read by the names it has there: {', '.join(told)}"
    return [replace(subject, order=order, read_as=(read_as, *subject.read_as))]


def _resets(reader: Reader, subject: LayerSubject) -> State | None:
    """Give what each forward pass has to start from, if it goes on from where the last one has ended."""
    state = State(reach(subject=reader.thing))
    here = [out.copy() for out in reader.quietly(subject.outputs, subject.inputs)]
    again = [out.copy() for out in reader.quietly(subject.outputs, subject.inputs)]
    if len(here) == len(again) and all(map(same_numbers, here, again)):
        return None
    changing = state.of_what_changed()
    changing.restore()
    repeated = []
    for _ in range(2):
        changing.restore()
        repeated.append([out.copy() for out in reader.quietly(subject.outputs, subject.inputs)])
    same = len(repeated[0]) == len(repeated[1]) and all(map(same_numbers, *repeated))
    return changing if same else None


def _rename_inputs(subject: Subject) -> None:
    """Call an input otherwise if a parameter has its name."""
    taken = [name for name in subject.inputs if name in subject.parameters]
    for name in taken:
        new = f"input {name}"
        subject.inputs = {new if n == name else n: value for n, value in subject.inputs.items()}
        subject.wrt = None if subject.wrt is None else tuple(new if n == name else n for n in subject.wrt)
        subject.slots = tuple(
            Slot(s.name if s.container is not None else new if s.name == name else s.name,
                 {k: new if n == name else n for k, n in s.inputs.items()}, s.container, s.scalar)
            for s in subject.slots
        )  # fmt: skip


def _refuse_unmovable(thing: Any) -> None:
    """Raise TypeError for weights that are plainly meant to be, and cannot be moved in place."""
    for name in ("W", "b"):
        value = getattr(thing, name, None)
        integers = isinstance(value, np.ndarray) and value.dtype.kind in "iu"
        if integers or (
            isinstance(value, list | tuple) and value and all(isinstance(v, float | int | list) for v in value)
        ):
            parameter(value, name)
    params = getattr(thing, "params", None)
    for key, value in params.items() if isinstance(params, Mapping) else ():
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            parameter(value, f"params[{key!r}]")
