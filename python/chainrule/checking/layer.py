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
from chainrule.checking import conventions
from chainrule.checking.arguments import Slot, positional, required, takes_nothing
from chainrule.checking.equality import same_numbers
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import Outcome, is_one, order_by_name, outcome_of, returned_names
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject, parameter
from chainrule.nn.parameters.places import flushes, is_numbers, traverse


@dataclass
class LayerSubject(Subject):
    """An object with ``forward(*inputs)`` and ``backward(dout)``."""

    #: Given the thing, these give what goes forwards and what goes back.
    forwards: Callable[[Any], Any] = field(default=attrgetter("forward"))
    backwards: Callable[[Any], Any] = field(default=attrgetter("backward"))
    #: What backward is called with: "dout", "douts" (one after the other), "cache", "rest" (the output behind the
    #: first), "lr", or an argument's name.
    call: tuple[str, ...] = ("dout",)
    #: Called before every forward pass: they set gradients that are added up to nothing.
    flushing: tuple[Any, ...] = ()
    last: Outcome | None = None
    #: Whether what comes back, when nothing is sent, is the gradient of the mean.
    mean: bool = False
    #: Of how many outputs backward is given the gradient, the first ones; 0: of all.
    first: int = 0
    #: The attribute that forward leaves the loss in, while it hands on its input.
    loss_in: str = ""
    #: Whether backward takes a step of training itself, and of parameters it changes the size of that step.
    stepping: bool = False
    steps: dict[str, float] = field(default_factory=dict)
    #: What backward is also given, by name.
    also: tuple[str, ...] = ()
    kind = "layer"
    methods = (conventions.FORWARD, conventions.BACKWARD)
    gradients_optional = False
    leaves_outputs = True

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
        if self.loss_in:
            raw = getattr(self.thing, self.loss_in)
        outcome = outcome_of(raw, self.thing, self.full_name(self.forward_name), cached="cache" in self.call)
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
            elif name == "lr":
                given.append(1.0)
            elif name.startswith("."):
                given.append(getattr(self.thing, name[1:]))
            else:
                given.append(by_name[name])
        backward, options = self.backwards(self.thing), {name: by_name[name] for name in self.also}
        if not (self.stepping or self.by_its_rate):
            return self.answer(backward(*given, **options))
        # It takes a step of its own: what that takes off is what it holds the gradient to be, times the step size.
        before = {name: self.parameters[name].copy() for name in self.steps}
        everything = State(reach(subject=self.thing), self.parameters.values())
        try:
            returned = backward(*given, **options)
            taken = {name: (before[name] - self._now(name)) / size for name, size in self.steps.items()}
            return self.answer(returned, taken)
        finally:
            everything.restore()

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Parameters whose step may be more than a gradient times a step size that was found beside them."""
        return () if "lr" in self.call else tuple(self.steps)

    def learning_rates(self) -> Sequence[float]:
        """Give those that the object holds, or what it holds does."""
        named = ((way[-1][1], value) for way, value in traverse(self.thing) if isinstance(value, float))
        return [value for name, value in named if name in conventions.LEARNING_RATES and value > 0]

    def takes_steps(self, name: str, rates: Sequence[float], in_proportion: bool) -> bool:
        """Note it; the step is that of the one learning rate there is, or 1 if backward is given it."""
        self.stepping = True
        sizes = {1.0} if "lr" in self.call else set(rates)
        if len(sizes) == 1 and in_proportion:
            self.steps[name] = sizes.pop()
        return name in self.steps

    def _now(self, name: str) -> Any:
        """Give a parameter as it is, also if it has been replaced."""
        here = (place.value for place in self.places.get(name, ()))
        return next((value for value in here if isinstance(value, np.ndarray)), self.parameters[name])

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
    if _last_is_a_cache(backward, subject):
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
    subject.also = _also(backward, subject)
    found: list[Subject] = []
    error: Exception | None = None
    before = State(reach(subject=reader.thing))
    for way in _ways(reader, subject, first, backward):
        other = replace(way, parameters={}, places={}, boxes={}, steps={})
        try:
            outputs = reader.quietly(other.run, other.inputs).arrays
            reader.hold(other, other.cotangents(outputs, np.random.default_rng(7)))
        except Exception as raised:
            error = error or raised
            before.restore()
            continue
        _rename_inputs(other)
        found.append(other)
        found += _by_returned_names(other)
    if not found:
        assert error is not None
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


def _ways(reader: Reader, subject: LayerSubject, first: Outcome, backward: Any) -> list[LayerSubject]:
    """Give the ways in which backward may be meant to be called, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    usual, unknown = _usual_call(backward, names, first)
    calls = _calls(usual, unknown, subject, first, backward)
    if not calls:
        raise TypeError(
            f"{subject.backward_name} asks for {', '.join(required(backward))}: one of them is the gradient of the"
            f" output, but {', '.join(unknown)} is nothing that forward takes or gives; hand over an object whose"
            " backward(dout) needs no more"
        )
    ways = []
    for call in calls:
        # What is read as no dout although it could be one is believed if it cannot be: see `run.chosen`.
        surely = not (usual == ("dout",) != call and first.arrays[0].size > 1)
        way = replace(subject, call=call, surely=surely)
        if "rest" in call:
            way.first = 1
        if "douts" in call:
            way.first = len(required(backward)) - len(call) + 1
        if not {"dout", "douts"} & set(call) and first.arrays[0].size > 1:
            left = next((n for n in conventions.LOSSES if is_one(getattr(subject.thing, n, None))), None)
            if left is not None:
                ways.append(replace(way, loss_in=left, read_as=(f"the loss is read from {left}",)))
            ways += [replace(way, mean=mean, read_as=_told_call(call, usual, way, mean)) for mean in (False, True)]
            continue
        ways.append(replace(way, read_as=_told_call(call, usual, way, False)))
        several = len(first.arrays)
        if several > 1 and "douts" not in call:
            told = "backward is given the gradient of the first output only"
            ways.append(replace(way, first=1, read_as=(told,)))
    if subject.flushing:
        ways += [replace(way, flushing=()) for way in ways]
    return ways


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


def _last_is_a_cache(backward: Any, subject: LayerSubject) -> bool:
    """Tell whether the last of what a function gives is for its backward, by what that asks for."""
    asked = required(backward)
    if len(asked) < 2 or asked[-1] in [slot.name for slot in subject.slots]:
        return False
    if asked[-1] in conventions.CACHES:
        return True
    return subject.gradients_optional and len(asked) == 2 and not asked[1].startswith(("d", "grad"))


def _also(backward: Any, subject: LayerSubject) -> tuple[str, ...]:
    """Give the names of options that both forward was given and backward takes."""
    asked = required(backward)
    given = [slot.name for slot in subject.slots]
    return tuple(p.name for p in positional(backward) if p.name in given and p.name not in asked)


def _calls(
    call: tuple[str, ...], unknown: Sequence[str], subject: LayerSubject, first: Outcome, backward: Any
) -> list[tuple[str, ...]]:
    """Give the ways to call backward that make sense, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    if (
        unknown
        and len(names) > 1
        and all(u in conventions.TARGETS or u in conventions.PERHAPS_TARGETS for u in unknown)
    ):
        # Of a loss whose two methods call the labels differently.
        target = next((n for n in names if conventions.is_target(n, names)), names[-1])
        last = max(i for i, name in enumerate(call) if name == "?")
        call, unknown = (*call[:last], target, *call[last + 1 :]), unknown[:-1]
    if unknown:
        left = [f".{name}" for name in ("output", "out", "y") if is_numbers(getattr(subject.thing, name, None))]
        ways = []
        if len(first.arrays) == 2 and len(unknown) == 1 and first.keys is None:
            ways.append(tuple("rest" if a == "?" else a for a in call))
        for filler in (names, left):
            free = [name for name in filler if name not in call]
            if len(free) >= len(unknown):
                fillers = iter(free)
                ways.append(tuple(next(fillers) if a == "?" else a for a in call))
        if len(unknown) == 1 and not any(map(is_gradient_name, required(backward))):  # neither name tells
            at, other = call.index("dout"), call.index("?")
            turned = {at: other, other: at}
            ways += [tuple(way[turned.get(i, i)] for i in range(len(way))) for way in ways]
        return ways
    asked = required(backward)
    if call == ("douts",) and len(asked) == len(first.arrays) == 2 and first.keys is None:
        # What stands behind the output may be for backward, as where the largest was, and no second output.
        whole = bool(np.all(first.arrays[1] == np.round(first.arrays[1])))
        return [("dout", "rest"), call] if whole and not is_gradient_name(asked[1]) else [call]
    if call == ("dout",) and asked == names[:1]:
        # A value and its derivative, for the same argument; unless it is one number each, or dout that is called so.
        of_itself = (names[0],)
        if first.arrays[0].size == 1 and np.size(subject.inputs.get(names[0], 0)) > 1:
            return [of_itself, call]
        return [call, of_itself] if len(names) == 1 else [call]
    matched = [name for name in call if name in names]
    if "dout" in call and matched and len(names) > 1 and first.arrays[0].ndim <= 1:
        # A loss: what stands in the place of dout may be what was predicted, or what the layer made of it.
        predicted = next((n for n in names if n not in call and not conventions.is_target(n, names)), None)
        made = (f".{n}" for n in ("output", "y", "y_pred", "probs") if is_numbers(getattr(subject.thing, n, None)))
        others = [n for n in (predicted, next(made, None)) if n is not None]
        return [*(tuple(other if p == "dout" else p for p in call) for other in others), call]
    return [call]


def _told_call(way: tuple[str, ...], usual: tuple[str, ...], subject: LayerSubject, mean: bool) -> tuple[str, ...]:
    told: list[str] = []
    if usual == ("dout",) and way == tuple(slot.name for slot in subject.slots)[:1] and not mean:
        there = subject.forward_name
        return (f"{subject.backward_name} is given {way[0]} as {there} is, and not the gradient of what comes out",)
    if not {"dout", "douts"} & set(way) and subject.last is not None and subject.last.arrays[0].size > 1:
        told.append(f"{subject.backward_name} is read as the gradient of the {'mean' if mean else 'sum'}")
    if way != usual:
        given = ("the second output" if name == "rest" else name.lstrip(".") for name in way)
        told.append(f"{subject.backward_name} is called with {', '.join(given)}")
    if "lr" in way:
        told.append(f"{subject.backward_name} takes a step itself: what it takes off for a step size of 1 is compared")
    return tuple(told)


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


def _usual_call(backward: Any, names: Sequence[str], outcome: Outcome) -> tuple[tuple[str, ...], list[str]]:
    """Say what to call `backward` with, as far as its signature tells, and for what it asks that nobody knows."""
    asked, optional = required(backward), [p.name for p in positional(backward)]
    if not asked:
        nothing = all(name.startswith("_") for name in optional) and (optional or takes_nothing(backward))
        return (() if nothing else ("dout",)), []
    call: list[str] = []
    others: list[int] = []
    for i, name in enumerate(asked):
        if name in names and (len(asked) > 1 or conventions.is_target(name, list(names))):
            call.append(name)
        elif name in conventions.LEARNING_RATES and len(asked) > 1:
            call.append("lr")
        elif name in conventions.CACHES and outcome.has_cache:
            call.append("cache")
        else:
            others.append(i)
            call.append("dout")
    if outcome.has_cache and "cache" not in call and len(others) == len(outcome.arrays) + 1:
        call[others.pop()] = "cache"
    if len(others) > 1:  # the gradient of the output comes first, unless names say that another is it
        likely = [i for i in others if is_gradient_name(asked[i])]
        if len(likely) == 1 and len(outcome.arrays) == 1:
            others = [*likely, *(i for i in others if i not in likely)]
    if 1 < len(others) <= len(outcome.arrays):
        first = others[0]
        call = [name for i, name in enumerate(call) if i not in others[1:]]
        call[first] = "douts"
        return tuple(call), []
    for i in others[1:]:
        call[i] = "?"
    return tuple(call), [asked[i] for i in others[1:]]


def is_gradient_name(name: str) -> bool:
    """Tell whether an argument of backward is called like the gradient of what came out."""
    bare = name.strip("_").lower()
    parts = bare.split("_")
    return bare.startswith(("grad", "dout", "dl", "dy", "dz", "da", "dv", "delta", "upstream", "err")) or (
        not {"grad", "grads", "gradient", "gradients", "delta", "error", "d", "dout"}.isdisjoint(parts)
    )
