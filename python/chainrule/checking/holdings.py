"""What a subject holds: which arrays are compared, which have to be, and which are not meant.

Found by trying: an array that forward makes anew is a cache; one that stays in its place, and that moves the outputs
when it is moved, is a parameter or a constant. A parameter has its gradient beside it after a backward pass. A constant
is read-only, or named by the caller. Anything else is *not compared*, and said. Where code is read instead of tried is
told in `chainrule.nn.parameters`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking import finite_differences
from chainrule.checking.conventions import is_statistic
from chainrule.checking.effect import effect_of, is_read
from chainrule.checking.perturbation import both_ways
from chainrule.checking.plain_numbers import that_step, with_gradients
from chainrule.checking.report import Unseen
from chainrule.checking.results import fits, fits_exactly, is_float, order_by_shape
from chainrule.checking.returned import order_by_name
from chainrule.checking.state import State, put_back
from chainrule.checking.subject import Subject
from chainrule.checking.told_places import places_told
from chainrule.checking.values import is_single, parameter
from chainrule.nn.parameters.places import Place, gradient_at, gradient_names, held, is_numbers, namespace

#: By how much of its size an array is moved to see whether it matters: more than float32 rounds away.
_FAR = 0.01
#: Of what backward changes by more than plain descent.
_NO_GRADIENT = ("what backward takes off: but that is no gradient times a step size",)
_NO_STEP = "backward= of a method that does not step"


def hold(
    subject: Subject,
    ahead: Callable[[], list[FloatArray]],
    back: Callable[[float], Any],
    again: Callable[[], State],
    told: Mapping[str, Any] | None,
    ignore: Sequence[str],
) -> None:
    """Find the parameters of `subject`, and what else moves its outputs.

    `subject`: after one forward pass; its ``parameters``, ``places``, ``boxes`` and ``unseen`` are set; `ahead`,
    `back`: goes forwards, with the same noise every time; and back with a random cotangent, times a number; `again`:
    gives the state of the subject as it is, to go back to; `told`: what the caller says: names to pairs (where the
    parameter lies, where its gradient does); `ignore`: arrays that are constants, by name.
    """
    thing = subject.holder
    grown, stepping = that_step(subject, ahead, back, again)
    state = again()
    groups = _grouped([*_mapped(thing), *places_told(thing, told or {}), *_staying(subject, ahead)])
    _expect_known(ignore, groups)
    known = set(map(id, subject.parameters.values()))
    groups = [group for group in groups if id(group.array) not in known]
    before = {id(group.array): group.array.copy() for group in groups}
    back(1.0)
    changed = {id(group.array) for group in groups if group.has_changed(before[id(group.array)])}
    steps = {id(group.array): group.now - before[id(group.array)] for group in groups if group.keeps_its_shape}
    for group in groups:
        group.with_gradient = [place for place in group.places if place.gradient() is not None]
        if group.with_gradient and not fits(gradient_at(group.with_gradient), group.array):
            # A list in the order in which backward goes: where that is returned, too, each goes with what it fits.
            group.with_gradient *= not any(fits(item, group.array) for item in subject.items)
    rates = subject.learning_rates()
    stepped = any(g.has_stepped(before[id(g.array)], rates) for g in groups if g.with_gradient)
    subject.by_its_rate = stepped and not subject.is_given_a_rate
    # A layer that is given a rate says that it steps; by what, is another matter than the gradient that it keeps.
    otherwise = [
        g for g in groups
        if subject.is_given_a_rate and g.with_gradient and g.has_changed(before[id(g.array)])
        and not g.has_stepped(before[id(g.array)], rates)
    ]  # fmt: skip
    # A layer without weights may have some all the same, from its base class: without effect, and their gradients 0.
    idle = {id(g.array) for g in groups if g.with_gradient and not np.any(gradient_at(g.with_gradient))}
    gradients = {id(g[1]) for group in groups for p in group.with_gradient if (g := p.gradient()) is not None}
    beside = [np.array(gradient_at(g.with_gradient)) for g in groups if g.with_gradient]
    boxed = list(with_gradients(subject, ahead, back))
    state.restore()
    longer: dict[int, Any] = {}
    if any(id(g.array) in changed and not g.with_gradient for g in groups):
        back(2.0)
        longer = {id(g.array): g.now - before[id(g.array)] for g in groups if g.keeps_its_shape}
        state.restore()

    left = [g for g in groups if id(g.array) not in gradients and not g.is_named(ignore)]
    unseen: list[Group] = []
    numbers: list[Unseen] = []
    others = (*subject.arrays.values(), *(g.array for g in groups), *subject.inputs.values())
    movable = [a for a in others if is_float(a) and a.flags.writeable]
    for group in left:
        if group.with_gradient or group.is_told:
            takes_part = _is_read_somehow if id(group.array) in idle else _stays_as_put
            if group.is_plain or takes_part(ahead, group.array, movable):
                _take(subject, group, parameter(group.array, group.name))
        elif group.could_be_one and moves(ahead, group.array):
            in_proportion = _is_twice(longer.get(id(group.array)), steps.get(id(group.array)))
            stepped = id(group.array) in changed
            group.stepped_otherwise = stepped and not in_proportion
            if is_statistic(group.key) and not stepped:
                subject.held_fixed += (group.name,)
            elif stepped and subject.takes_steps(group.name, rates, in_proportion):
                _take(subject, group, parameter(group.array, group.name))
            else:
                unseen.append(group)
    for number in stepping:
        if any(number.place.name == place.name for place in boxed):
            subject.stepping = True  # with its gradient beside it
        elif subject.takes_steps(number.place.name, rates, number.in_proportion):
            boxed.append(number.place)
        else:
            looked_for = () if number.in_proportion else _NO_GRADIENT
            numbers.append(Unseen(number.place.name, (), (*looked_for, *number.place.names())))
    for place in boxed:
        subject.parameters[place.name] = np.array(float(place.value))
        subject.places[place.name], subject.boxes[place.name] = (place,), place
    taken = {id(array): name for name, array in subject.parameters.items()}
    subject.boxes |= {taken[id(place.value)]: place for place in grown if id(place.value) in taken}
    by_key = [group for group in unseen if _has_key(group, subject.keyed, unseen)]
    for group in by_key:
        _take(subject, group, parameter(group.array, group.name))
    returned = _returned(subject, unseen, [g for g in groups if g.with_gradient], beside)
    for group in returned:
        _take(subject, group, parameter(group.array, group.name))
        subject.returned += (group.name,)
    rest = (group for group in unseen if group not in returned and group not in by_key)
    held_ones = [g for g in groups if id(g.array) not in gradients and (g.with_gradient or g.is_told)]
    subject.stepping |= subject.is_given_a_rate and any(id(g.array) in changed for g in held_ones)
    twice = () if returned else tuple(_given_twice(subject, [g for g in groups if g.with_gradient], beside))
    subject.unseen = (*(Unseen(g.name, g.array.shape, g.looked_for) for g in rest), *numbers, *twice)
    subject.unseen += tuple(Unseen(f"the step of {g.name}", g.array.shape, _NO_GRADIENT, _NO_STEP) for g in otherwise)
    state.restore()


@dataclass(eq=False)
class Group:
    """An array, with all the places where it lies."""

    array: FloatArray
    places: list[Place]
    with_gradient: list[Place] = field(default_factory=list)
    #: Whether backward takes a step of training with it that is not a gradient times a number.
    stepped_otherwise: bool = False

    @property
    def name(self) -> str:
        """The shortest of the names it has, or one that was told."""
        told = [place.name for place in self.places if place.told is not None]
        return told[0] if told else min((p.name for p in self.places), key=lambda name: (name.count("."), len(name)))

    @property
    def key(self) -> str:
        """The last part of its name: an attribute, or the key of a dict."""
        return str(self.places[0].way[-1][1])

    @property
    def is_told(self) -> bool:
        """Whether the caller has named it."""
        return any(place.told is not None for place in self.places)

    @property
    def is_plain(self) -> bool:
        """Whether it is a parameter by its name alone."""
        return self.is_told or any(place.name in ("W", "b") or place.in_parameters for place in self.places)

    @property
    def could_be_one(self) -> bool:
        """Whether it could be a parameter: a constant is read-only."""
        return bool(self.array.flags.writeable and self.array.size and self.array.dtype.itemsize >= 4)

    @property
    def now(self) -> FloatArray:
        """The array that lies in its places now: backward may have put another there."""
        return next((p.value for p in self.places if isinstance(p.value, np.ndarray)), self.array)

    @property
    def keeps_its_shape(self) -> bool:
        """Whether what lies in its places now has its shape."""
        return self.now.shape == self.array.shape

    @property
    def looked_for(self) -> tuple[str, ...]:
        """What its gradient was looked for under."""
        told = _NO_GRADIENT if self.stepped_otherwise else ()
        return (*told, *self.places[0].names())

    def is_named(self, names: Sequence[str]) -> bool:
        """Tell whether it is one of those that are named."""
        return any(place.name in names or str(place.way[-1][1]) in names for place in self.places)

    def has_changed(self, before: FloatArray) -> bool:
        """Tell whether there are other numbers in its place now."""
        here = self.now
        return not (here.shape == before.shape and np.array_equal(here, before, equal_nan=True))

    def has_stepped(self, before: FloatArray, rates: Iterable[float]) -> bool:
        """Tell whether what backward took off is the gradient beside it times a learning rate that is held."""
        gradient = gradient_at(self.with_gradient)
        here = self.now
        if here.shape != before.shape or np.shape(gradient) != before.shape or np.array_equal(here, before):
            return False
        return any(np.allclose(before - here, rate * gradient, rtol=1e-4, atol=1e-12) for rate in rates)


def _take(subject: Subject, group: Group, array: FloatArray) -> None:
    subject.parameters[group.name] = array
    subject.places[group.name] = tuple(group.with_gradient or group.places)


def _has_key(group: Group, keyed: Mapping[str, Any], others: Sequence[Group]) -> bool:
    """Tell whether what was returned by name has a gradient of this array, and of no other of the same name."""
    key = next((k for k in (group.key, *gradient_names(group.key)) if k in keyed), None)
    alone = sum(other.key == group.key for other in others) == 1
    return key is not None and alone and is_numbers(keyed[key]) and fits(keyed[key], group.array)


def _given_twice(subject: Subject, groups: Sequence[Group], beside: Sequence[Any]) -> Iterable[Unseen]:
    """Give the parameters of which another gradient is returned than lies beside them: which is meant, nobody knows."""
    for group, gradient in zip(_in_order(subject.left_over, groups, ()), subject.left_over, strict=False):
        if not _is_among(gradient, beside):
            told = f"what {subject.backward_name} returns is another gradient than lies beside it"
            yield Unseen(group.name, group.array.shape, (told,))


def _returned(
    subject: Subject, unseen: Sequence[Group], with_gradient: Sequence[Group], beside: Sequence[Any]
) -> list[Group]:
    """Give the groups whose gradients are returned, in their order, and say which of these are those of inputs.

    Those of inputs come first, unless the names of what is returned, or the shapes, say otherwise. What lies beside
    parameters may be returned as well.
    """
    items, told = subject.items, subject.returned_names()
    names = [n for n in subject.inputs if subject.wrt is None or n in subject.wrt]
    inputs = {name: subject.inputs[name] for name in names}
    usual = tuple(names[i] if i < len(names) else None for i in range(len(items)))
    orders = []
    if items and len(told) == len(items):
        by_name = order_by_name(told, inputs, items)
        orders += [by_name] if None in by_name and by_name != usual else []
    in_place = all(fits_exactly(item, inputs[n]) for n, item in zip(names, items, strict=False) if is_float(inputs[n]))
    by_shape = order_by_shape(items, inputs)
    orders += [by_shape] if items and not in_place and None in by_shape else []
    told = told if len(told) == len(items) else ("",) * len(items)
    for order in orders:
        rest = [item for name, item in zip(order, items, strict=True) if name is None]
        groups = _in_order(rest, unseen, [t for name, t in zip(order, told, strict=True) if name is None])
        if len(groups) == len(rest) or all(_is_among(item, beside) for item in rest):
            subject.order, subject.left_over = order, rest
            return groups
    own = None if subject.of_functions or subject.left_over else subject.alone
    if own is not None and any(fits_exactly(own, g.array) for g in (*unseen, *with_gradient)):
        among = _is_among(own, beside)  # a first layer has nobody to hand a gradient on to
        groups = [] if among else _in_order([own], [g for g in unseen if fits_exactly(own, g.array)], told)
        subject.of_a_parameter = among or bool(groups)
        return groups
    if all(_is_among(item, beside) for item in subject.left_over):
        return []
    if _in_order(subject.left_over, with_gradient, ()):
        return []
    groups = _in_order(subject.left_over, unseen, told[len(items) - len(subject.left_over) :])
    if not groups:
        subject.expect_nothing_left_over()
    return groups


def _is_among(item: Any, others: Sequence[Any]) -> bool:
    """Tell whether an array is equal to one of several."""
    return any(np.shape(item) == np.shape(o) and np.array_equal(item, o, equal_nan=True) for o in others)


def _in_order(gradients: Sequence[Any], groups: Sequence[Group], told: Sequence[str]) -> list[Group]:
    """Give the groups that returned gradients are those of, in their order; none if not all fit.

    `told`: what each was called where it was returned. The others go to the first that they fit.
    """
    by_name = [
        next((g for g in groups if name in gradient_names(g.key) and fits(gradient, g.array)), None)
        for name, gradient in zip(told, gradients, strict=False)
    ]
    chosen: list[Group] = []
    for i, gradient in enumerate(gradients):
        free = (g for g in groups if g not in chosen and g not in by_name and fits(gradient, g.array))
        one = by_name[i] if i < len(by_name) else None
        one = one if one is not None and one not in chosen else next(free, None)
        if one is None:
            return []
        chosen.append(one)
    return chosen


def _is_twice(longer: Any, step: Any) -> bool:
    """Tell whether a step is in proportion to what was sent back: twice as long for twice that, as Adam's is not."""
    if longer is None or step is None:
        return False
    size = float(np.abs(step).max(initial=0))
    return bool(np.allclose(longer, 2 * step, rtol=1e-3, atol=1e-6 * size))


def _staying(subject: Subject, ahead: Callable[[], Any]) -> list[tuple[Place, FloatArray]]:
    """Give the arrays that a forward pass leaves in their places, and that are none of the arguments."""
    inputs = [a for a in subject.inputs.values() if isinstance(a, np.ndarray)]
    before = held(subject.holder)
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
        if isinstance(mapping, Mapping) and not isinstance((namespace(thing) or {}).get(name), Mapping):
            for key, array in mapping.items():
                if isinstance(array, np.ndarray) and array.dtype.kind == "f":
                    yield Place(((thing, name), (mapping, key))), array


def _grouped(found: Iterable[tuple[Place, FloatArray]]) -> list[Group]:
    """Give each array once, with all its places."""
    groups: dict[int, Group] = {}
    for place, array in found:
        groups.setdefault(id(array), Group(array, [])).places.append(place)
    return list(groups.values())


def _expect_known(ignore: Sequence[str], groups: Sequence[Group]) -> None:
    for name in ignore:
        if not any(group.is_named([name]) for group in groups):
            known = ", ".join(group.name for group in groups) or "none"
            raise ValueError(f"ignore names {name!r}, and there is no such array; those that stay in place: {known}")


def _is_read_somehow(ahead: Callable[[], list[FloatArray]], array: FloatArray, others: Sequence[FloatArray]) -> bool:
    """Tell whether an array has an effect, here or with other numbers, or is at least multiplied by 0."""
    return effect_of(array, others, ahead) != "none" or is_read(array, ahead)


def _stays_as_put(ahead: Callable[[], list[FloatArray]], array: FloatArray, _: Sequence[FloatArray]) -> bool:
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
    steps = _FAR * both_ways(finite_differences.scales_of(before)) * (1 + 0.5 * np.sin(1.0 + 2.4 * size))
    np.copyto(array, before + steps, casting="same_kind")
    return array.copy()


def moves(ahead: Callable[[], list[FloatArray]], array: FloatArray, least: float | None = None) -> bool:
    """Tell whether the outputs that `ahead` gives change when an array does by a hundredth; `least`: by more than that.

    Two passes give the same bits; but what is added and taken away again differs by rounding.
    """
    here = [out.copy() for out in ahead()]
    with put_back([array]) as (before,):
        try:
            _moved(array, before)
            there = ahead()
            if [x.shape for x in here] != [y.shape for y in there]:
                return True
            pairs = zip(here, there, strict=True)
            return not all(
                np.allclose(x, y, rtol=least or (1e-4 if is_single(x) else 1e-10), atol=0, equal_nan=True)
                for x, y in pairs
            )
        except Exception:  # it does not take this number: it looks at it, then
            return True
