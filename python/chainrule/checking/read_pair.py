"""Pairs being understood: two functions, two methods, or one function that gives a value and its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.checking.arguments import names_tell, positional, required, takes_nothing
from chainrule.checking.layer import LayerSubject
from chainrule.checking.pair import PairSubject, is_apart, is_one
from chainrule.checking.reach import reach
from chainrule.checking.read_layer import understood
from chainrule.checking.reader import USAGE, Reader, told
from chainrule.checking.results import bound, candidates, is_float, outcome_of
from chainrule.checking.subject import Subject


def functions(reader: Reader) -> list[Subject]:
    """Two functions: (out, cache) and (dout, cache), or a value and its gradient."""
    ahead, back = reader.thing
    name = getattr(ahead, "__name__", "f")
    slots, inputs = reader.slots(ahead)
    wrt = reader.wrt(inputs)
    raw = reader.quietly(lambda: ahead(*(slot.handed(inputs) for slot in slots)), inputs)
    asks = len(required(back))
    pair = PairSubject(tuple(reader.thing), name, slots, inputs, wrt, held_fixed=_data_of(reader.thing))
    one = is_one(raw)
    of_arguments = asks == len(required(ahead)) or asks == len(reader.arguments) or not positional(back)
    if (one and (of_arguments or asks == 0)) or raw is None:
        return _by_each(reader, pair)
    cached = isinstance(raw, tuple) and len(raw) > 1
    if not cached and of_arguments:
        return _apart(reader, pair, raw)
    layer = LayerSubject(
        tuple(reader.thing), name, slots, inputs, wrt,
        forwards=lambda thing: thing[0], backwards=lambda thing: thing[1], held_fixed=pair.held_fixed,
    )  # fmt: skip
    layer.kind, layer.forward_name, layer.backward_name = "pair", name, getattr(back, "__name__", "backward")
    return understood(reader, layer, back)


def _data_of(functions: Any) -> tuple[str, ...]:
    """Give the names of the arrays that two functions enclose, or name in their module."""
    return tuple(dict.fromkeys(name for name, thing in reach(subject=functions).values() if is_float(thing)))


def derivatives(reader: Reader, value: str, derivative: str) -> list[Subject]:
    """Give an object that has a value and its derivative, for the same arguments."""
    thing = reader.thing
    slots, inputs = reader.slots(getattr(thing, value))
    subject = PairSubject(
        thing, type(thing).__name__, slots, inputs, reader.wrt(inputs),
        values=lambda thing: getattr(thing, value), derivatives=lambda thing: getattr(thing, derivative),
    )  # fmt: skip
    subject.forward_name, subject.backward_name = f"{subject.name}.{value}", f"{subject.name}.{derivative}"
    subject.after = takes_nothing(getattr(thing, derivative))
    raw = reader.quietly(lambda: subject.values(thing)(*subject.handed()), inputs)
    if is_one(raw):
        return _by_each(reader, subject)
    return _apart(reader, subject, raw)


def both(reader: Reader) -> list[Subject]:
    """One function that gives a value and its gradient."""
    thing = reader.thing
    slots, inputs = reader.slots(thing)
    name = getattr(thing, "__name__", type(thing).__name__)
    subject = PairSubject(
        thing, name, slots, inputs, reader.wrt(inputs), values=lambda thing: thing, derivatives=lambda thing: thing,
        both=True,
    )  # fmt: skip
    raw = reader.quietly(lambda: thing(*subject.handed()), inputs)
    if isinstance(raw, tuple) and len(raw) == 2 and is_one(raw[1]) and not is_one(raw[0]):
        subject.swapped = True
    elif not isinstance(raw, tuple | list) or len(raw) != 2 or not is_one(raw[0]):
        raise TypeError(
            f"{name} is one function, without its gradient, and gives {told(raw)} and not (value, gradient); {USAGE}"
        )
    subject.forward_name = subject.backward_name = name
    return _by_each(reader, subject)


def _by_each(reader: Reader, pair: PairSubject) -> list[Subject]:
    """Give the arguments that the gradient of one number could be by, one after the other."""
    if pair.wrt is not None:
        return [pair]
    try:
        returned = reader.quietly(pair.derivative, pair.inputs)
    except TypeError as error:
        error.add_note(f"{pair.backward_name} was called with what {pair.forward_name} was called with")
        raise
    returned = pair.gradient_in(returned)
    if isinstance(returned, tuple | Mapping) or returned is None or _holds_arrays(returned):
        return [pair]
    names = candidates(returned, list(pair.inputs), pair.inputs)
    first = next((n for n in pair.inputs if is_float(pair.inputs[n])), None)
    ways = []
    for name in names[:3]:
        told = () if name == first else (f"the gradient is read as that by {name}",)
        ways.append(replace(pair, wrt=(name,), read_as=told) if name != first else pair)
    if ways and not names_tell(pair.values(pair.thing), len(reader.arguments)):
        ways[0] = replace(ways[0], unsure=len(ways) > 1)
    return list(ways) or [pair]


def _apart(reader: Reader, pair: PairSubject, raw: Any) -> list[Subject]:
    """Give the ways to understand a derivative for each entry, or each example."""
    try:
        returned = reader.quietly(pair.derivative, pair.inputs)
    except TypeError as error:
        error.add_note(f"{pair.backward_name} was called with what {pair.forward_name} was called with")
        raise
    value = outcome_of(raw, pair.thing, pair.forward_name, cached=False).arrays[0]
    if not is_apart(value, returned, pair.inputs, pair.wrt):
        pair.outputs()  # says that one number is wanted
    by = (
        ()
        if pair.wrt or isinstance(returned, tuple | Mapping)
        else candidates(returned, list(pair.inputs), pair.inputs)
    )
    ways = [replace(pair, apart=True, wrt=(name,)) for name in by[:2]] or [replace(pair, apart=True)]
    if not names_tell(pair.values(pair.thing), len(reader.arguments)):
        ways[0] = replace(ways[0], unsure=len(ways) > 1)
    if value.ndim == 1 and any(np.ndim(g) > 1 for g in bound(returned, pair.inputs, pair.wrt, []).gradients.values()):
        ways += [replace(way, mean=True, read_as=("the gradient is read as that of the mean",)) for way in ways[:1]]
    if len(pair.inputs) == 1 and not pair.both:
        ways.append(
            replace(ways[0], through=True, surely=False, read_as=(f"{pair.backward_name} is given what f gives",))
        )
    return list(ways)


def _holds_arrays(returned: Any) -> bool:
    return isinstance(returned, list) and any(isinstance(item, np.ndarray) for item in returned)
