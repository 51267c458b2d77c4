"""Layers being understood: what their backward is called with, in all the ways that public code has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.checking.arguments import Slot, positional, required
from chainrule.checking.conventions import CACHES, LOSSES, PERHAPS_TARGETS, TARGETS, is_target
from chainrule.checking.layer import LayerSubject, calls_of
from chainrule.checking.pair import is_one
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import Outcome
from chainrule.checking.state import State
from chainrule.checking.subject import Subject, parameter
from chainrule.nn.parameters.places import flushes, is_numbers


def layer(reader: Reader, ahead: str, back: str) -> list[Subject]:
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


def _entered_by(reader: Reader, ahead: str, back: str) -> list[Subject]:
    thing = reader.thing
    slots, inputs = reader.slots(getattr(thing, ahead))
    subject = LayerSubject(
        thing, type(thing).__name__, slots, inputs, reader.wrt(inputs),
        forwards=lambda thing: getattr(thing, ahead), backwards=lambda thing: getattr(thing, back),
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
    if not found:
        assert error is not None
        raise error
    return found


def _ways(reader: Reader, subject: LayerSubject, first: Outcome, backward: Any) -> list[LayerSubject]:
    """Give the ways in which backward may be meant to be called, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    usual, unknown = calls_of(backward, names, first)
    calls = _calls(usual, unknown, subject, first)
    if not calls:
        raise TypeError(
            f"{subject.backward_name} asks for {', '.join(required(backward))}: one of them is the gradient of the"
            f" output, but {', '.join(unknown)} is nothing that forward takes or gives; hand over an object whose"
            " backward(dout) needs no more"
        )
    ways = []
    for call in calls:
        way = replace(subject, call=call)
        if "douts" in call:
            way.first = len(required(backward)) - len(call) + 1
        if not {"dout", "douts"} & set(call) and first.arrays[0].size > 1:
            left = next((n for n in LOSSES if is_one(getattr(subject.thing, n, None))), None)
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
    if len(here) == len(again) and all(map(_equal, here, again)):
        return None
    changing = state.of_what_changed()
    changing.restore()
    repeated = []
    for _ in range(2):
        changing.restore()
        repeated.append([out.copy() for out in reader.quietly(subject.outputs, subject.inputs)])
    same = len(repeated[0]) == len(repeated[1]) and all(map(_equal, *repeated))
    return changing if same else None


def _last_is_a_cache(backward: Any, subject: LayerSubject) -> bool:
    """Tell whether the last of what a function gives is for its backward, by what that asks for."""
    asked = required(backward)
    if len(asked) < 2 or asked[-1] in [slot.name for slot in subject.slots]:
        return False
    if asked[-1] in CACHES:
        return True
    return subject.kind == "pair" and len(asked) == 2 and not asked[1].startswith(("d", "grad"))


def _also(backward: Any, subject: LayerSubject) -> tuple[str, ...]:
    """Give the names of options that both forward was given and backward takes."""
    asked = required(backward)
    given = [slot.name for slot in subject.slots]
    return tuple(p.name for p in positional(backward) if p.name in given and p.name not in asked)


def _equal(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b, equal_nan=True))


def _calls(
    call: tuple[str, ...], unknown: Sequence[str], subject: LayerSubject, first: Outcome
) -> list[tuple[str, ...]]:
    """Give the ways to call backward that make sense, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    if unknown and len(names) > 1 and all(u in TARGETS or u in PERHAPS_TARGETS for u in unknown):
        # Of a loss whose two methods call the labels differently.
        target = next((n for n in names if is_target(n, names)), names[-1])
        last = max(i for i, part in enumerate(call) if part == "dout")
        call, unknown = (*call[:last], target, *call[last + 1 :]), unknown[:-1]
    if unknown:
        kept = [f".{name}" for name in ("output", "out", "y") if is_numbers(getattr(subject.thing, name, None))]
        ways = []
        for filler in (names, kept):
            free = [name for name in filler if name not in call]
            if len(free) >= len(unknown):
                left = iter(free)
                ways.append(tuple(next(left) if p == "dout" and i else p for i, p in enumerate(call)))
        return ways
    matched = [part for part in call if part in names]
    if "dout" in call and matched and len(names) > 1 and first.arrays[0].ndim <= 1:
        # A loss: what stands in the place of dout may be what was predicted, or what the layer made of it.
        predicted = next((n for n in names if n not in call and not is_target(n, names)), None)
        ways_kept = (f".{n}" for n in ("output", "y", "y_pred", "probs") if is_numbers(getattr(subject.thing, n, None)))
        others = [n for n in (predicted, next(ways_kept, None)) if n is not None]
        return [*(tuple(other if p == "dout" else p for p in call) for other in others), call]
    return [call]


def _told_call(way: tuple[str, ...], usual: tuple[str, ...], subject: LayerSubject, mean: bool) -> tuple[str, ...]:
    told = []
    if not {"dout", "douts"} & set(way) and subject.last is not None and subject.last.arrays[0].size > 1:
        told.append(f"{subject.backward_name} is read as the gradient of the {'mean' if mean else 'sum'}")
    if way != usual:
        told.append(f"{subject.backward_name} is called with {', '.join(part.lstrip('.') for part in way)}")
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
