"""What a subject holds: which arrays are compared, which have to be, and which are not meant.

Found by trying: an array that forward makes anew is a cache; one that stays in its place, and that moves the outputs
when it is moved, is a parameter or a constant. A parameter has its gradient beside it after a backward pass. A constant
is read-only, or named by the caller. Anything else is *not compared*, and said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking import numeric
from chainrule.checking.conventions import LEARNING_RATES
from chainrule.checking.layer import LayerSubject
from chainrule.checking.movers import both_ways
from chainrule.checking.results import fits
from chainrule.checking.state import State, put_back
from chainrule.checking.report import Unseen
from chainrule.checking.subject import Subject, is_single, parameter
from chainrule.parameters import Place, held, walk

#: By how much of its size an array is moved to see whether it matters: more than float32 rounds away.
_FAR = 0.01


def hold(
    subject: Subject,
    ahead: Callable[[], list[FloatArray]],
    back: Callable[[], Any],
    again: Callable[[], State],
    told: Mapping[str, Any] | None,
    ignore: Sequence[str],
) -> None:
    """Find the parameters of `subject`, and what else moves its outputs.

    Parameters
    ----------
    subject : Subject
        After one forward pass; its ``parameters``, ``places``, ``boxes`` and ``unseen`` are set.
    ahead, back : callable
        Goes forwards, with the same noise every time; and back with a random cotangent.
    again : callable
        Gives the state of the subject as it is, to go back to.
    told : mapping, optional
        What the caller says: names to pairs (where the parameter lies, where its gradient does).
    ignore : sequence of str
        Arrays that are constants, by name.
    """
    thing = subject.thing
    state = again()
    stays = _staying(subject, ahead)
    groups = _grouped([*_mapped(thing), *_told(thing, told or {}), *stays])
    before = {id(array): array.copy() for _, array in groups.values()}
    back()
    changed = _changed(groups.values(), before)
    stepped = _stepped(subject, changed)
    gradients = {id(g[1]) for places, _ in groups.values() for p in places if (g := p.gradient()) is not None}
    with_gradient, without, with_its_gradient = [], [], {}
    known = set(map(id, subject.parameters.values()))
    for places, array in groups.values():
        if id(array) in known:
            continue
        beside = [place for place in places if place.gradient() is not None]
        with_its_gradient[id(array)] = beside
        if beside or id(array) in stepped or any(place.told is not None for place in places):
            with_gradient.append((places, array))
        elif id(array) not in gradients:
            without.append((places, array))
    boxed = list(_boxes(subject, back))
    state.restore()
    names = {id(array): _name(places) for places, array in groups.values()}
    _expect_known(ignore, groups.values())
    for places, array in with_gradient:
        name = names[id(array)]
        if _is_named(places, ignore) or not (_is_plain(places) or _stays_as_put(ahead, array)):
            continue
        if id(array) in stepped and not moves(ahead, array):  # what an optimizer keeps
            continue
        subject.parameters[name] = parameter(array, name)
        subject.places[name] = tuple(with_its_gradient[id(array)] or places)
        if id(array) in stepped and isinstance(subject, LayerSubject) and not any(p.gradient() for p in places):
            subject.steps[name], subject.stepping = stepped[id(array)], True
    for place in boxed:
        subject.parameters[place.name] = np.array(float(place.value))
        subject.places[place.name], subject.boxes[place.name] = (place,), place
    left_over, unseen = subject.left_over, []
    for places, array in without:
        if _is_named(places, ignore) or not array.flags.writeable or not array.size or array.dtype.itemsize < 4:
            continue
        if moves(ahead, array):
            if id(array) in changed and isinstance(subject, LayerSubject):
                subject.stepping = True
            unseen.append((Unseen(names[id(array)], array.shape, tuple(places[0].names())), places, array))
    chosen = _in_order(left_over, [array for *_, array in unseen])
    for told, places, array in (unseen[i] for i in chosen):
        subject.parameters[told.name] = parameter(array, told.name)
        subject.places[told.name] = tuple(places)
        subject.returned += (told.name,)
    subject.unseen = tuple(told for i, (told, *_) in enumerate(unseen) if i not in chosen)
    if not chosen:
        subject.expect_nothing_left_over()
    state.restore()


def _in_order(gradients: Sequence[Any], arrays: Sequence[FloatArray]) -> list[int]:
    """Give the numbers of the arrays that returned gradients are those of, in their order; none if not all fit."""
    chosen: list[int] = []
    for gradient in gradients:
        at = next((i for i, array in enumerate(arrays) if i not in chosen and fits(gradient, array)), None)
        if at is None:
            return []
        chosen.append(at)
    return chosen


def _changed(groups: Iterable[tuple[list[Place], FloatArray]], before: Mapping[int, FloatArray]) -> set[int]:
    """Give the ids of the arrays that backward has changed or replaced, and that have no gradient beside them."""
    found = set()
    for places, array in groups:
        here = next((p.value for p in places if isinstance(p.value, np.ndarray)), array)
        same = here.shape == array.shape and np.array_equal(here, before[id(array)], equal_nan=True)
        if not same and not any(place.gradient() for place in places):
            found.add(id(array))
    return found


def _stepped(subject: Subject, changed: Iterable[int]) -> dict[int, float]:
    """Give the arrays that backward changes by a step of training, with its size, if that is known."""
    if not isinstance(subject, LayerSubject):
        return {}
    sizes = {1.0} if "lr" in subject.call else set(_rates(subject.thing))
    return dict.fromkeys(changed, next(iter(sizes))) if len(sizes) == 1 else {}


def _rates(thing: Any) -> Iterable[float]:
    """Give the learning rates that an object holds, or what it holds does."""
    for way, value in walk(thing):
        if isinstance(value, float) and way[-1][1] in LEARNING_RATES and value > 0:
            yield value


def _staying(subject: Subject, ahead: Callable[[], Any]) -> list[tuple[Place, FloatArray]]:
    """Give the arrays that a forward pass leaves in their places, and that are none of the arguments."""
    inputs = [a for a in subject.inputs.values() if isinstance(a, np.ndarray)]
    before = held(subject.thing)
    if not before:
        return []
    resets, subject.resets = subject.resets, None  # what it goes on from is made anew by every pass
    try:
        ahead()
    finally:
        subject.resets = resets
    return [
        (place, array) for place, array in before
        if place.value is array and not any(np.may_share_memory(array, x) for x in inputs)
    ]  # fmt: skip


def _mapped(thing: Any) -> Iterable[tuple[Place, FloatArray]]:
    """Give what stands in a dict of parameters that a property may give."""
    for name in ("params", "parameters"):
        mapping = getattr(thing, name, None)
        if isinstance(mapping, Mapping) and not isinstance(vars_of(thing).get(name), Mapping):
            for key, array in mapping.items():
                if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                    yield Place(((thing, name), (mapping, key))), array


def vars_of(thing: Any) -> dict[str, Any]:
    """Give the attributes of an object; none if it has only slots."""
    own = getattr(thing, "__dict__", {})
    return own if isinstance(own, dict) else {}


def _grouped(found: Iterable[tuple[Place, FloatArray]]) -> dict[int, tuple[list[Place], FloatArray]]:
    """Give each array once, with all its places."""
    groups: dict[int, tuple[list[Place], FloatArray]] = {}
    for place, array in found:
        groups.setdefault(id(array), ([], array))[0].append(place)
    return groups


def _name(places: Sequence[Place]) -> str:
    """Give the shortest of the names an array has, but one that was told first."""
    told = [place.name for place in places if place.told is not None]
    return told[0] if told else min((place.name for place in places), key=lambda name: (name.count("."), len(name)))


def _is_plain(places: Sequence[Place]) -> bool:
    """Tell whether an array is a parameter by its name alone."""
    return any(place.told is not None or place.name in ("W", "b") or place.in_parameters for place in places)


def _is_named(places: Sequence[Place], names: Sequence[str]) -> bool:
    return any(place.name in names or str(place.way[-1][1]) in names for place in places)


def _expect_known(ignore: Sequence[str], groups: Iterable[tuple[list[Place], FloatArray]]) -> None:
    groups = list(groups)
    for name in ignore:
        if not any(_is_named(places, [name]) for places, _ in groups):
            known = ", ".join(_name(places) for places, _ in groups) or "none"
            raise ValueError(f"ignore names {name!r}, and there is no such array; those that stay in place: {known}")


def _stays_as_put(ahead: Callable[[], Any], array: FloatArray) -> bool:
    """Tell whether a forward pass leaves what is written into an array: else it is a cache that is filled anew."""
    if not array.flags.writeable or not array.size:
        return True
    with put_back([array]) as (before,):
        moved = _moved(array, before)
        try:
            ahead()
        except Exception:  # it is looked at, then
            return True
        return bool(np.array_equal(array, moved))


def _moved(array: FloatArray, before: FloatArray) -> FloatArray:
    """Move an array by unlike parts of its size, so that no shift or common factor hides it; give what it is then."""
    size = np.arange(array.size).reshape(array.shape)
    steps = _FAR * both_ways(numeric.scales_of(before)) * (1 + 0.5 * np.sin(1.0 + 2.4 * size))
    np.copyto(array, before + steps, casting="same_kind")
    return array.copy()


def moves(ahead: Callable[[], list[FloatArray]], array: FloatArray) -> bool:
    """Tell whether the outputs that `ahead` gives change when an array does by a hundredth."""
    here = [out.copy() for out in ahead()]
    with put_back([array]) as (before,):
        try:
            _moved(array, before)
            there = ahead()
            if [x.shape for x in here] != [y.shape for y in there]:
                return True
            pairs = zip(here, there, strict=True)
            return not all(np.allclose(x, y, rtol=_least(x), atol=0, equal_nan=True) for x, y in pairs)
        except Exception:  # it does not take this number: it looks at it, then
            return True


def _least(out: FloatArray) -> float:
    """Give the relative change that is more than rounding."""
    return 1e-4 if is_single(out) else 1e-10


def _boxes(subject: Subject, back: Callable[[], Any]) -> Iterable[Place]:
    """Give plain numbers that have a gradient beside them which is another for another cotangent."""
    found = []
    for way, value in walk(subject.thing):
        if isinstance(value, float) and isinstance(way[-1][1], str):
            place = Place(way)
            gradient = place.gradient()
            if gradient is not None and np.size(gradient[1]) == 1:
                found.append((place, float(np.reshape(gradient[1], ())), value))
    if found:
        back()
    for place, before, value in found:
        after = place.gradient()
        if after is not None and float(np.reshape(after[1], ())) != before and place.value == value:
            yield place


def _told(thing: Any, told: Mapping[str, Any]) -> Iterable[tuple[Place, FloatArray]]:
    """Give the parameters that the caller has named."""
    for name, pair in told.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"params[{name!r}] must be a pair (parameter, gradient) of names or getters, got {pair!r:.60}"
            )
        array = _at(thing, pair[0])
        if not isinstance(array, np.ndarray):
            raise TypeError(f"params[{name!r}][0] is {type(array).__name__}, and no array: {pair[0]!r:.60}")
        gradient = pair[1]
        yield Place(((thing, name),), lambda root, gradient=gradient: _at(root, gradient)), array


def _at(thing: Any, where: Any) -> Any:
    """Give what lies at ``a.b[0]["c"]`` of `thing`, or what a getter gives."""
    if callable(where):
        import inspect

        try:
            takes = len(inspect.signature(where).parameters)
        except (TypeError, ValueError):
            takes = 1
        return where(thing) if takes else where()
    for attribute, index in re.findall(r"([A-Za-z_]\w*)|\[([^\]]+)\]", str(where)):
        if attribute:
            thing = getattr(thing, attribute, None) if not isinstance(thing, Mapping) else thing.get(attribute)
        else:
            key = index.strip("'\"")
            thing = thing[int(key)] if key.lstrip("-").isdigit() and not isinstance(thing, Mapping) else thing[key]
    return thing
