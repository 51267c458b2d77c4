"""By which argument a derivative is, and of what: all that it can be, the likeliest first."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.checking.apart import is_apart
from chainrule.checking.arguments import names_tell, positional, required
from chainrule.checking.behind import unclaimed
from chainrule.checking.conventions import is_gradient_name, is_output_name
from chainrule.checking.jacobian.blocks import is_by_entry, is_jacobian
from chainrule.checking.results import bound, candidates, is_float, outcome_of
from chainrule.checking.values import begins_with, by_entry, of_what_comes_out, one_of, without_value

if TYPE_CHECKING:
    from chainrule.checking.pair import PairSubject
    from chainrule.checking.reader import Reader
    from chainrule.checking.subject import Subject


def by_each(reader: Reader, pair: PairSubject) -> list[Subject]:
    """Give the arguments that the gradient of one number could be by, one after the other."""
    if pair.wrt is not None:
        return [pair]
    returned = _derivative(reader, pair)
    if not pair.after and begins_with(returned, reader.quietly(lambda: pair.outputs()[0], pair.inputs)):
        pair, returned = replace(pair, behind_value=True), without_value(returned)
    if isinstance(returned, tuple | Mapping) or returned is None or _holds_arrays(returned):
        pair.unseen += unclaimed(pair, bound(returned, pair.inputs, None, []).extra)
        return [pair]
    names = candidates(returned, list(pair.inputs), pair.inputs)
    first = next((n for n in pair.inputs if is_float(pair.inputs[n])), None)
    ways = []
    for name in names[:3]:
        told = () if name == first else (f"the gradient is read as that by {name}",)
        ways.append(replace(pair, wrt=(name,), read_as=told) if name != first else pair)
    if ways and not _names_tell(pair, len(reader.arguments)):
        ways[0] = replace(ways[0], unsure=len(ways) > 1)
    return list(ways) or [pair]


def _names_tell(pair: PairSubject, count: int) -> bool:
    """Tell whether one of the two functions has names of its own for the arguments."""
    return names_tell(pair.values(pair.thing), count) or names_of_derivative_tell(pair.derivatives(pair.thing), count)


def names_of_derivative_tell(back: Any, count: int) -> bool:
    """Tell whether a derivative has names for so many arguments, and none for a gradient that is sent back."""
    return names_tell(back, count) and not any(is_gradient_name(p.name) for p in positional(back))


def _derivative(reader: Reader, pair: PairSubject) -> Any:
    """Give what the derivative gives; an error of it says what it was called with."""
    try:
        return reader.quietly(pair.derivative, pair.inputs)
    except TypeError as error:
        function, handed = pair.derivatives(pair.thing), [] if pair.after else pair.handed()
        with contextlib.suppress(ValueError):  # a built-in, perhaps, that does not tell
            try:
                inspect.signature(function).bind(*handed)
            except TypeError:
                raise TypeError(
                    f"{pair.backward_name}{inspect.signature(function)} is called with what {pair.forward_name} is"
                    f" called with, {', '.join(slot.name for slot in pair.slots)}, and does not take it; hand over"
                    " functions for the same arguments, or (out, cache) and (dout, cache)"
                ) from error
        error.add_note(f"{pair.backward_name} was called with what {pair.forward_name} was called with")
        raise


def each_apart(reader: Reader, pair: PairSubject, raw: Any) -> list[Subject]:
    """Give the ways to understand a derivative for each entry, or each example."""
    returned = _derivative(reader, pair)
    if returned is None:
        raise TypeError(f"{pair.backward_name} gives None: return the derivative")
    value = outcome_of(raw, pair.thing, pair.forward_name, cached=False).arrays[0]
    function, derivative = pair.values(pair.thing), pair.derivatives(pair.thing)
    if isinstance(returned, tuple) and len(returned) == 2 and begins_with(returned, value):
        derivative, returned = one_of(derivative, 1), returned[1]
        pair = replace(pair, behind_value=True)
    if is_by_entry(returned, value, pair.movable):
        columns = as_jacobian(replace(reader, thing=(function, by_entry(derivative))))
        for way in columns:
            way.read_as = (f"what {pair.backward_name} gives is read as one column for each entry",)
        is_square = np.shape(returned) == (*value.shape, np.size(returned[0]))  # which may be rows as well
        rows = as_jacobian(replace(reader, thing=(function, derivative))) if is_square and value.ndim == 1 else ()
        return [*rows, *columns]
    if is_jacobian(returned, value, pair.movable) or not is_apart(value, returned, pair.inputs, pair.wrt):
        found = list(as_jacobian(replace(reader, thing=(function, derivative))))
        if len(pair.inputs) == 1 and value.shape == next(iter(pair.inputs.values())).shape:
            of_output = as_jacobian(replace(reader, thing=(function, of_what_comes_out(function, derivative))))
            for way in of_output:
                way.surely = False
                way.read_as = (f"{pair.backward_name} is given what {pair.forward_name} gives",)
            found += of_output
        return found
    by = (
        ()
        if pair.wrt or isinstance(returned, tuple | Mapping)
        else candidates(returned, list(pair.inputs), pair.inputs)
    )
    ways = [replace(pair, apart=True, wrt=(name,)) for name in by[:2]] or [replace(pair, apart=True)]
    if not _names_tell(pair, len(reader.arguments)):
        ways[0] = replace(ways[0], unsure=len(ways) > 1)
    if value.ndim == 1 and any(np.ndim(g) > 1 for g in bound(returned, pair.inputs, pair.wrt, []).gradients.values()):
        ways += [replace(way, mean=True, read_as=("the gradient is read as that of the mean",)) for way in ways[:1]]
    asked = required(pair.derivatives(pair.thing))[:1]
    told = any(is_output_name(name) and name not in pair.inputs for name in asked)
    if len(pair.inputs) == 1 or told:
        read_as = (f"{pair.backward_name} is given what {pair.forward_name} gives",)
        ways.append(replace(ways[0], through=True, surely=told, read_as=read_as))
    return list(ways)


def as_jacobian(reader: Reader) -> Sequence[Subject]:
    """Give two functions of which the second gives all derivatives of several numbers."""
    from chainrule.checking.jacobian.subject import JacobianSubject  # what few checks meet is not read for all

    return JacobianSubject.read(reader)


def _holds_arrays(returned: Any) -> bool:
    return isinstance(returned, list) and any(isinstance(item, np.ndarray) for item in returned)
