"""What backward is called with: its arguments, matched by name with what forward takes, gives and keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.checking import conventions
from chainrule.checking.arguments import positional, required, takes_nothing, takes_whatever
from chainrule.checking.equality import same_numbers
from chainrule.checking.results import Outcome, also_left, is_float, is_one
from chainrule.nn.parameters.places import is_numbers

if TYPE_CHECKING:
    from chainrule.checking.layer import LayerSubject
    from chainrule.checking.subject import Subject


def ways_of(subject: LayerSubject, first: Outcome, backward: Any) -> list[LayerSubject]:
    """Give the ways in which backward may be meant to be called, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    expect_more_than_a_rate(subject, backward)
    usual, unknown = usual_call(backward, names, first)
    found = all_calls(usual, unknown, subject, first, backward)
    if not found:
        raise TypeError(
            f"{subject.backward_name} asks for {', '.join(required(backward))}: one of them is the gradient of the"
            f" output, but {', '.join(unknown)} is nothing that forward takes or gives; hand over an object whose"
            " backward(dout) needs no more"
        )
    ways = []
    for call in found:
        surely = is_sure(call, usual, backward, first.arrays[0].size == 1)
        way = replace(subject, call=call, surely=surely)
        if "rest" in call:
            way.first = 1
        kept = [name for name in call if name[:1] == "=" and name[1:].isdigit()]
        if kept:
            way.picked = next(i for i in range(len(kept) + 1) if f"={i}" not in kept)
        if "douts" in call:
            way.first = len(required(backward)) - len(call) + 1
        if not {"dout", "douts"} & set(call) and (without := without_dout(way, call, usual, first)):
            ways += without
            continue
        ways.append(replace(way, read_as=told_call(call, usual, way, False)))
        several = len(first.arrays)
        if several > 1 and "douts" not in call:
            told = "backward is given the gradient of the first output only"
            ways.append(replace(way, first=1, read_as=(told,)))
    for name in also_left(subject.thing, first.left) if first.left else ():
        told = f"what comes out is read from {name}, and not from {first.left}"
        others = [way for way in ways if not way.left_in]
        # Not surely: with the slope of the activation forgotten, what comes before it agrees.
        ways += [replace(way, left_in=name, surely=False, read_as=(told, *way.read_as)) for way in others]
    if subject.flushing:
        ways += [replace(way, flushing=()) for way in ways]
    return ways


def usual_call(backward: Any, names: Sequence[str], outcome: Outcome) -> tuple[tuple[str, ...], list[str]]:
    """Say what to call `backward` with, as far as its signature tells, and for what it asks that nobody knows."""
    asked, optional = required(backward), [p.name for p in positional(backward)]
    if not asked:
        nothing = all(name.startswith("_") for name in optional) and (optional or takes_nothing(backward))
        return (() if nothing else ("dout",)), []
    if (
        len(asked) == 1
        and isinstance(outcome.cache, Mapping)
        and conventions.first_of(conventions.LOSSES, outcome.cache)
    ):
        return ("cache",), []  # what gave the loss also gave what backward starts from
    call: list[str] = []
    others: list[int] = []
    for i, name in enumerate(asked):
        bare = name.rstrip("0123456789")
        if name in names and (len(asked) > 1 or conventions.is_target(name, list(names))):
            call.append(name)
        elif name in conventions.LEARNING_RATES and len(asked) > 1:
            call.append("lr")
        elif name != bare and bare in names and bare not in asked and len(asked) > 1:  # W1 of W
            call.append(bare)
        elif name in conventions.CACHES and outcome.has_cache:
            call.append("cache")
        else:
            others.append(i)
            call.append("dout")
    if outcome.has_cache and "cache" not in call and len(others) == len(outcome.arrays) + 1:
        call[others.pop()] = "cache"
    if len(others) > 1:  # the gradient of the output comes first, unless names say that another is it
        likely = [i for i in others if conventions.is_gradient_name(asked[i])]
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


def all_calls(
    call: tuple[str, ...], unknown: Sequence[str], subject: LayerSubject, first: Outcome, backward: Any
) -> list[tuple[str, ...]]:
    """Give the ways to call backward that make sense, the likeliest first."""
    names = [slot.name for slot in subject.slots]
    if takes_whatever(backward) and len(names) > 1 and first.arrays[0].size == 1:  # of a loss that hands them on
        return [tuple(names), call]
    labels = bool(unknown) and all(u in conventions.TARGETS | conventions.PERHAPS_TARGETS for u in unknown)
    target = next(
        (n for n in names if conventions.is_target(n, names)), names[-1] if names and first.arrays[0].ndim < 2 else None
    )
    if labels and len(names) > 1 and target is not None:
        # Of a loss whose two methods call the labels differently.
        last = max(i for i, name in enumerate(call) if name == "?")
        call, unknown = (*call[:last], target, *call[last + 1 :]), unknown[:-1]
    if any(name in conventions.OPTIMIZERS for name in unknown):
        return []
    if unknown:
        left = [f".{name}" for name in ("output", "out", "y") if is_numbers(getattr(subject.thing, name, None))]
        ways = []
        if len(first.arrays) == 2 and len(unknown) == 1 and first.keys is None:
            ways.append(tuple("rest" if a == "?" else a for a in call))
        for filler in (left,) if labels and len(names) > 1 else (names, left):
            free = [name for name in filler if name not in call]
            if len(free) >= len(unknown):
                fillers = iter(free)
                ways.append(tuple(next(fillers) if a == "?" else a for a in call))
        ways = _with_what_came_out(call, required(backward), names, ways)
        if len(unknown) == 1 and not any(map(conventions.is_gradient_name, required(backward))):  # neither name tells
            at, other = call.index("dout"), call.index("?")
            turned = {at: other, other: at}
            ways += [tuple(way[turned.get(i, i)] for i in range(len(way))) for way in ways]
        return ways
    asked = required(backward)
    picked = _one_of_the_outputs(asked, names, first) if "douts" in call else ()
    if picked:
        return [picked, call]
    alone = [p.name for p in positional(backward)][:1]
    if call == ("dout",) and len(asked) < 2 and alone and _is_of_forward(alone[0]) and alone[0] not in names:
        return [call, ("=out",) if asked else ()]
    if call == ("douts",) and len(asked) == len(first.arrays) == 2 and first.keys is None:
        # What stands behind the output may be for backward, as where the largest was, and no second output.
        whole = bool(np.all(first.arrays[1] == np.round(first.arrays[1])))
        return [("dout", "rest"), call] if whole and not conventions.is_gradient_name(asked[1]) else [call]
    if call == ("dout",) and names and asked == names[:1]:
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


def _with_what_came_out(
    call: tuple[str, ...], asked: Sequence[str], names: Sequence[str], ways: list[tuple[str, ...]]
) -> list[tuple[str, ...]]:
    """Add the ways in which backward is given what forward gave: first if the names say so."""
    unknown = [i for i, name in enumerate(call) if name == "?"]
    if any(conventions.is_target(asked[i], list(asked)) for i in unknown):  # labels
        return ways
    told = [i for i in unknown if conventions.is_output_name(asked[i])]
    free = iter([name for name in names if name not in call])
    if told or len(unknown) == 1:
        filled = {i: "=out" if i in (told or unknown) else next(free, "?") for i in unknown}
        way = tuple(filled.get(i, name) for i, name in enumerate(call))
        if "?" not in way:
            return [way, *ways] if told else [*ways, way]
    return ways


def _one_of_the_outputs(asked: Sequence[str], names: Sequence[str], first: Outcome) -> tuple[str, ...]:
    """Give the way in which backward is given the gradient of one output, by its name, and the others as they are.

    As of ``forward(x)``, which gives ``z, a``, and ``backward(x, z, da)``; () if names do not say so.
    """
    others = [name for name in asked if name not in names]
    told = [name for name in others if conventions.is_gradient_name(name)]
    if len(others) != len(first.arrays) or len(told) != 1 or conventions.LEARNING_RATES & {*others}:
        return ()
    at = {name: "dout" if name in told else f"={i}" for i, name in enumerate(others)}
    return tuple(at.get(name, name) for name in asked)


def _is_of_forward(name: str) -> bool:
    """Tell whether an argument is called like what forward gave, or kept."""
    return name in conventions.CACHES or conventions.is_output_name(name)


def is_sure(call: tuple[str, ...], usual: tuple[str, ...], backward: Any, one: bool) -> bool:
    """Tell whether, if backward agrees when it is called so and not otherwise, that is what was meant.

    `one`: whether one number comes out. What is read as no dout although it could be one is believed if it cannot be:
    see `run.chosen`.
    """
    asked = [p.name for p in positional(backward)]
    if usual == ("dout",) != call and not one:
        return not call and bool(asked) and _is_of_forward(asked[0])
    pairs = list(zip(call, asked, strict=False))
    if any(given == "=out" and not conventions.is_output_name(name) for given, name in pairs):
        return False
    plainly = conventions.PLAINLY_OUT
    return all(
        given in ("=out", name) or given.startswith(".") or not conventions.is_output_name(name, plainly)
        for given, name in pairs if given not in ("dout", "douts", "cache", "rest", "lr")
    )  # fmt: skip


def labels_asked(backward: Any, names: Sequence[str]) -> str:
    """Give the name of the one argument of backward if it is called like labels, and forward takes none; else ''."""
    asked = [name for name in required(backward) if name not in conventions.LEARNING_RATES]
    if len(asked) == 2 and not any(map(conventions.is_gradient_name, asked)) and len(names) == 1:
        first, last = asked  # backprop(x, y), of the examples and their labels
        if (first == names[0] or first in conventions.PREDICTED) and last in conventions.PERHAPS_TARGETS:
            return last
    if len(asked) > 1 and not any(map(conventions.is_gradient_name, asked)):  # labels beside a prediction
        predicted = any(name in conventions.PREDICTED and name not in names for name in asked)
        labels = [n for n in asked if n not in names and n != "d" and conventions.is_target(n, asked)]
        return labels[0] if labels and predicted else ""
    if len(asked) != 1 or asked[0] in names or asked == ["d"]:  # d of what came out
        return ""
    return asked[0] if asked[0] in conventions.PERHAPS_TARGETS or conventions.is_target(asked[0], []) else ""


def labels_wanted(subject: Subject) -> str:
    """Say that backward takes labels, and how to hand them over."""
    given, back = ", ".join(slot.name for slot in subject.slots), subject.full_name(subject.backward_name)
    return (
        f"{back} takes {subject.labels}, and was given the gradient of what {subject.forward_name} gives: if these are"
        f" labels, hand over {given} and {subject.labels}, to an object that has a loss of both as well"
    )


def is_a_step(backward: Any) -> bool:
    """Tell whether a method takes a step size, or nothing: it is the step, if another is given the gradient."""
    asked = [p.name for p in positional(backward)]
    return all(name in conventions.LEARNING_RATES - {"eta"} for name in asked) and len(asked) < 2


def expect_more_than_a_rate(subject: Subject, backward: Any) -> None:
    """Raise TypeError if backward asks for a step size only: then it goes back from a loss that is its own."""
    asked = required(backward)
    if len(asked) == 1 and asked[0] in conventions.PLAIN_RATES:
        raise TypeError(
            f"{subject.full_name(subject.backward_name)}({asked[0]}) takes a step size only, and nothing of what"
            f" {subject.forward_name} gives: its loss is its own; hand over two functions (loss, gradient)"
        )


def refused(subject: LayerSubject, backward: Any, given: Sequence[Any], error: Exception) -> str:
    """Say what backward was given, and what it raised."""
    names = [p.name for p in positional(backward)]
    told = []
    for what, value, name in zip(subject.call, given, names, strict=False):
        if what in ("dout", "douts"):
            told.append(f"the gradient of what {subject.forward_name} gives, {_kind(value)}, as {name}")
        else:
            said = {"cache": "what stands behind the output", "=out": f"what {subject.forward_name} gives"}.get(
                what, what
            )
            told.append(f"{said.lstrip('.')}, {_kind(value)}, as {name}" if said != name else name)
    return (
        f"{subject.full_name(subject.backward_name)}({', '.join(required(backward))}) was given"
        f" {'; '.join(told) or 'nothing'}, and raised {type(error).__name__}: {str(error).rstrip('.')}. If it takes"
        " something else, hand over two functions (forward, backward)"
    )


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    inside = ", ".join(map(_kind, value)) if isinstance(value, tuple | list) and len(value) < 4 else ""
    return f"{type(value).__name__} ({inside})" if inside else f"a {type(value).__name__}"


def last_is_a_cache(backward: Any, subject: LayerSubject) -> bool:
    """Tell whether the last of what a function gives is for its backward, by what that asks for."""
    asked = required(backward)
    if len(asked) < 2 or asked[-1] in [slot.name for slot in subject.slots]:
        return False
    if asked[-1] in conventions.CACHES:
        return True
    return subject.gradients_optional and len(asked) == 2 and not asked[1].startswith(("d", "grad"))


def also_given(backward: Any, subject: LayerSubject) -> tuple[str, ...]:
    """Give the names of options that both forward was given and backward takes."""
    asked = required(backward)
    given = [slot.name for slot in subject.slots]
    return tuple(p.name for p in positional(backward) if p.name in given and p.name not in asked)


def told_call(way: tuple[str, ...], usual: tuple[str, ...], subject: LayerSubject, mean: bool) -> tuple[str, ...]:
    """Say in words how backward is called, where that is not plain."""
    told: list[str] = []
    asked = required(subject.backwards(subject.thing))
    of_forward = bool(asked) and asked == [slot.name for slot in subject.slots][:1]
    of_forward = of_forward and not conventions.is_gradient_name(asked[0])
    if way == usual == ("dout",) and of_forward:
        told.append(f"the {asked[0]} of {subject.backward_name} is read as the gradient of what comes out")
    if usual == ("dout",) and way == tuple(slot.name for slot in subject.slots)[:1] and not mean:
        there = subject.forward_name
        return (f"{subject.backward_name} is given {way[0]} as {there} is, and not the gradient of what comes out",)
    if not {"dout", "douts"} & set(way) and subject.last is not None and subject.last.arrays[0].size > 1:
        told.append(f"{subject.backward_name} is read as the gradient of the {'mean' if mean else 'sum'}")
    if way != usual:
        said = {"rest": "the second output", "=out": f"what {subject.forward_name} gives"}
        said |= {f"={i}": f"output {i}" for i in range(len(way))}
        given = (said.get(name, name.lstrip(".")) for name in way) if way else ("nothing",)
        told.append(f"{subject.backward_name} is called with {', '.join(given)}")
    if "lr" in way:
        told.append(f"{subject.backward_name} takes a step itself: what it takes off for a step size of 1 is compared")
    return tuple(told)


def without_dout(
    way: LayerSubject, call: tuple[str, ...], usual: tuple[str, ...], first: Outcome
) -> list[LayerSubject]:
    """Give the numbers whose gradient it may be that backward gives, if it is sent none; none if there is one alone."""
    plainly = told_call(call, usual, way, False)
    numbers = [i for i, a in enumerate(first.arrays) if a.size == 1]
    if len(numbers) == 1 < len(first.arrays):  # the loss, beside what was predicted
        told = f"what comes back is read as the gradient of the one number that {way.forward_name} gives"
        return [replace(way, picked=numbers[0], read_as=(*plainly, told))]
    if first.arrays[0].size == 1:
        return []
    handed_on = any(same_numbers(first.arrays[0], a) for a in way.inputs.values() if isinstance(a, np.ndarray))
    kept = ((name, getattr(way.thing, name, None)) for name in conventions.LOSSES)
    left = next((name for name, a in kept if is_one(a) or (handed_on and is_float(a))), None)
    of_the_loss = [] if left is None else [replace(way, loss_in=left, read_as=(f"the loss is read from {left}",))]
    if left is not None and handed_on:  # what has come in is not what the gradient is of
        told = f"the loss is read from {left}, and {way.backward_name} as the gradient of its mean"
        return [*of_the_loss, replace(way, loss_in=left, mean=True, read_as=(told,))]
    means = (False,) if first.numbers else (False, True)
    read = [replace(way, mean=mean, read_as=told_call(call, usual, way, mean)) for mean in means]
    return [*of_the_loss, *read]
