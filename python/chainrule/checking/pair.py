"""Pairs: a value and its derivative for the same arguments; two functions, two methods, or one that gives both."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter, itemgetter
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.apart import weighted
from chainrule.checking.arguments import names_tell, positional, required, slots_of, takes_nothing
from chainrule.checking.behind import are_of
from chainrule.checking.by_which import as_jacobian, by_each, each_apart, names_of_derivative_tell
from chainrule.checking.conventions import (
    BACKWARD,
    DERIVATIVES,
    FORWARD,
    FUNCTIONS,
    PREDICTED,
    VALUES,
    derivative_of,
    is_gradient_name,
    is_output_name,
    named_alike,
    plain,
)
from chainrule.checking.jacobian.blocks import is_by_entry, is_jacobian
from chainrule.checking.layer import LayerSubject, understood
from chainrule.checking.network import NetworkSubject
from chainrule.checking.reach import arrays_of, reach
from chainrule.checking.reader import USAGE, Reader, told, without_gradient
from chainrule.checking.report import Unseen
from chainrule.checking.results import (
    fits,
    fits_exactly,
    flattened,
    is_float,
    is_one,
    outcome_of,
)
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.values import (
    begins_with,
    by_entry,
    first_two,
    given,
    one_number,
    one_of,
    rest_of,
    the_loss_of,
    without_value,
)
from chainrule.nn.parameters.places import gradient_names, held


@dataclass
class PairSubject(Subject):
    """A function that gives one number, or one for each entry or example, and one that gives its gradient."""

    #: Given the thing, these give the two functions.
    values: Callable[[Any], Any] = field(default=itemgetter(0))
    derivatives: Callable[[Any], Any] = field(default=itemgetter(1))
    #: Whether the derivative is given what the function gives, not its argument: ``y (1 - y)`` for a sigmoid.
    through: bool = False
    #: Whether the derivative is given nothing, and is that of the function's last call.
    after: bool = False
    #: Whether the function is called before each call of the derivative, which may go on from what it has kept.
    before: bool = False
    #: Whether the derivative gives the value in front of it.
    behind_value: bool = False
    #: Each number that comes out is that of one entry, or one example: the derivative is one for each.
    apart: bool = False
    #: Loss and gradient are by the mean of what comes out.
    mean: bool = False
    kind = "pair"
    of_functions = True
    forward_name: str = "f"
    backward_name: str = "grad_f"
    goes_forward_itself = True
    of_entries = True

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give two functions: (out, cache) and (dout, cache), or a value and its gradient."""
        thing = reader.thing
        if not (isinstance(thing, tuple | list) and len(thing) == 2 and all(map(callable, thing))):
            return super().read(reader)
        owner, ahead, back = _of_one_object(*thing)
        return _functions(reader) if owner is None else _methods(replace(reader, thing=owner), ahead, back, thing)

    @property
    def takes_dout(self) -> bool:  # type: ignore[override]
        """Whether numbers that come out are weighted one by one."""
        return self.apart and not self.mean

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        raw = self.values(self.thing)(*self.handed())
        if not self.apart:
            return [one_number(raw, self.forward_name)]
        arrays = outcome_of(raw, self.thing, self.forward_name, cached=False).arrays
        return [np.asarray(arrays[0].mean())] if self.mean else arrays

    def derivative(self) -> Any:
        """Call the derivative, and give what it returns."""
        handed = self.handed()
        if self.through:
            handed = [self.values(self.thing)(*handed), *handed[1:]]
        if self.after or self.before:
            self.values(self.thing)(*handed)
        if self.after:
            handed = []
        returned = self.derivatives(self.thing)(*handed)
        return without_value(returned) if self.behind_value else returned

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number; random numbers for those that are apart."""
        return super().cotangents(outputs, rng) if self.takes_dout else [np.float64(1)]

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        returned = self.derivative()
        return self.answer(weighted(returned, douts[0]) if self.takes_dout else returned)


@dataclass
class MethodsSubject(PairSubject):
    """An object with a value and its derivative, for the same arguments."""

    methods = (VALUES, DERIVATIVES)

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give an object with two such methods, of which the first takes what was given."""
        ahead, back = reader.first_that_takes(VALUES), reader.first(DERIVATIVES)
        if not (ahead and back):
            ahead, back = named_alike(reader.methods) or (None, None)
        back = (ahead and derivative_of(ahead, reader.methods)) or back
        if not (ahead and back):
            return ()
        if plain(ahead) in FORWARD and plain(back) in BACKWARD:  # as _forward, _backward
            return LayerSubject.by_methods(reader, ahead, back)
        asked, takes = (required(getattr(reader.thing, name)) for name in (back, ahead))
        one_more = len(asked) == len(takes) + 1 == len(reader.arguments) + 1
        if ahead in FORWARD and (one_more or [*map(is_gradient_name, asked)] == [True]):
            return LayerSubject.by_methods(reader, ahead, back)  # as compute_gradients(grads): no derivative of x
        if ahead not in FORWARD or len(asked) != 1 or asked == takes[:1]:
            return cls.by_methods(reader, ahead, back)
        return _either_way(reader, ahead, back, asked[0] not in PREDICTED and not is_output_name(asked[0]))

    @classmethod
    def methods_in(cls, names: Iterable[str]) -> tuple[str, str] | None:
        """Give the two methods by their names, or by what these have in common."""
        known = list(names)
        found = super().methods_in(known)
        return (found[0], derivative_of(found[0], known) or found[1]) if found else named_alike(known)

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give an object with two such methods."""
        thing = reader.thing
        slots, inputs = reader.slots(getattr(thing, ahead))
        subject = cls(
            thing, type(thing).__name__, slots, inputs, reader.wrt(inputs),
            values=attrgetter(ahead), derivatives=attrgetter(back),
        )  # fmt: skip
        subject.forward_name, subject.backward_name = f"{subject.name}.{ahead}", f"{subject.name}.{back}"
        subject.after = takes_nothing(getattr(thing, back))
        raw = the_loss_of(reader.quietly(lambda: subject.values(thing)(*subject.handed()), inputs))
        optional = [p.name for p in positional(getattr(thing, back))]
        subject.after |= is_one(raw) and not required(getattr(thing, back)) and any(map(is_gradient_name, optional[:1]))
        if is_one(raw) and subject.wrt is None and not subject.after and _is_of_parameters(reader, subject, raw):
            return NetworkSubject.by_methods(reader, ahead, back)
        ways = by_each(reader, subject) if is_one(raw) else each_apart(reader, subject, raw)
        again, told = ways[0], f"{ahead} is called before each {back}"
        if (
            not isinstance(again, PairSubject) or subject.after or again.unsure
        ):  # of which argument it is the gradient is the question there
            return ways
        return [*ways, replace(again, before=True, read_as=(told, *again.read_as))]


@dataclass
class BothSubject(PairSubject):
    """A function that gives ``(value, gradient)``."""

    gives_both = True
    of_entries = False

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give one function."""
        thing = reader.thing
        if not callable(thing) or reader.first(FORWARD) not in (None, "__call__") or reader.first(BACKWARD):
            return ()
        name = getattr(thing, "__name__", type(thing).__name__)
        try:
            slots, inputs = reader.slots(thing)
        except TypeError as error:
            if hasattr(thing, "__name__"):
                raise
            raise TypeError(f"{without_gradient(thing)}; {USAGE}") from error
        raw = reader.quietly(lambda: thing(*(slot.handed(inputs) for slot in slots)), inputs)
        # Some give the gradient first.
        at = int(isinstance(raw, tuple) and len(raw) == 2 and is_one(raw[1]) and not is_one(raw[0]))
        if isinstance(raw, tuple) and len(raw) == 2:
            if is_jacobian(raw[1], raw[0], inputs):
                return as_jacobian(replace(reader, thing=(one_of(thing, 0), one_of(thing, 1))))
            if is_by_entry(raw[1], raw[0], inputs):
                return as_jacobian(replace(reader, thing=(one_of(thing, 0), by_entry(one_of(thing, 1)))))
        if _has_second_derivatives(raw, inputs):
            return _with_second_derivatives(reader, raw)
        several = isinstance(raw, tuple) and len(raw) > 2 and is_one(raw[0]) and are_of(raw[1:], inputs)
        if not at and not several and (not isinstance(raw, tuple | list) or len(raw) != 2 or not is_one(raw[0])):
            gives = f"gives {told(raw)} and not (value, gradient)"
            raise TypeError(f"{without_gradient(thing)}, and {gives}; {USAGE}")
        subject = cls(
            thing, name, slots, inputs, reader.wrt(inputs),
            values=lambda thing: one_of(thing, at),
            derivatives=rest_of if several else lambda thing: one_of(thing, 1 - at),
        )  # fmt: skip
        subject.forward_name = subject.backward_name = name
        return by_each(reader, subject)


@dataclass
class PassesSubject(LayerSubject):
    """Two functions, one that goes forwards and gives ``(out, cache)``, and one that goes back."""

    kind = "pair"
    of_functions = True
    gradients_optional = True

    @property
    def holder(self) -> Any:
        """The object that the first is a method of, if it is one."""
        owner = getattr(self.forwards(self.thing), "__self__", None)
        return self.thing if owner is None or isinstance(owner, type | types.ModuleType) else owner


# --- understanding one ---


def _functions(reader: Reader) -> list[Subject]:
    """Two functions: (out, cache) and (dout, cache), or a value and its gradient."""
    ahead, back = reader.thing
    name = getattr(ahead, "__name__", "f")
    first, *behind = required(back) or [""]
    if first in FUNCTIONS and behind == required(ahead):  # handed over to be differenced, if there were no formula
        return _functions(replace(reader, thing=(ahead, given(back, ahead))))
    slots, inputs = reader.slots(ahead)
    if not names_tell(ahead, len(slots)) and names_of_derivative_tell(back, len(slots)):  # of a wrapper, (*args)
        slots, inputs = slots_of(back, reader.arguments)
    wrt = reader.wrt(inputs)
    raw = reader.quietly(lambda: ahead(*(slot.handed(inputs) for slot in slots)), inputs)
    asks = len(required(back))
    pair = PairSubject(tuple(reader.thing), name, slots, inputs, wrt, held_fixed=arrays_of(reader.thing))
    pair.after = takes_nothing(back)
    one = is_one(raw)
    of_arguments = asks == len(required(ahead)) or asks == len(reader.arguments) or not positional(back)
    if (one and (of_arguments or asks == 0)) or raw is None:
        return by_each(reader, pair)
    cached = isinstance(raw, tuple) and len(raw) > 1
    sent_back = first not in required(ahead) and is_gradient_name(first)
    if not (cached or sent_back) and of_arguments:
        return each_apart(reader, pair, raw)
    layer = PassesSubject(
        tuple(reader.thing), name, slots, inputs, wrt,
        forwards=itemgetter(0), backwards=itemgetter(1), held_fixed=pair.held_fixed,
    )  # fmt: skip
    layer.forward_name, layer.backward_name = name, getattr(back, "__name__", "backward")
    return understood(reader, layer, back)


def _has_second_derivatives(raw: Any, inputs: Mapping[str, Any]) -> bool:
    """Tell whether a function gives a value, its gradient and its Hessian, or None in the place of that."""
    if not (isinstance(raw, tuple) and len(raw) == 3 and is_one(raw[0])):
        return False
    x = next((a for a in inputs.values() if is_float(a)), None)
    return x is not None and fits(raw[1], x) and (raw[2] is None or np.shape(raw[2]) == (x.size, x.size))


def _with_second_derivatives(reader: Reader, raw: Any) -> Sequence[Subject]:
    """Give the value and the gradient; the Hessian is not compared, and that is said."""
    thing = reader.thing
    ways = BothSubject.read(replace(reader, thing=first_two(thing)))
    if raw[2] is not None:
        name = getattr(thing, "__name__", type(thing).__name__)
        told = f"the Hessian that {name} gives"
        for way in ways:
            way.unseen += (Unseen(told, np.shape(raw[2]), say="check_hessian", why="only the gradient is"),)
    return ways


def _of_one_object(ahead: Any, back: Any) -> tuple[Any, str, str]:
    """Give the object of which these are two methods, or itself and one, and their names; None if they are not."""
    owner = getattr(back, "__self__", None)
    names = ["__call__" if one is owner else getattr(one, "__name__", "") for one in (ahead, back)]
    own = [one is owner or getattr(one, "__self__", None) is owner for one in (ahead, back)]
    if owner is None or isinstance(owner, type | types.ModuleType) or back is owner or not all(own):
        return None, "", ""
    methods_of_it = [(name, one) for name, one in zip(names, (ahead, back), strict=True) if one is not owner]
    if any(getattr(owner, name, None) != one for name, one in methods_of_it):
        return None, "", ""
    return owner, names[0], names[1]


def _is_of_parameters(reader: Reader, pair: PairSubject, value: Any) -> bool:
    """Tell whether what a derivative gives fits what the object holds, and is of no argument."""
    try:
        returned = reader.quietly(pair.derivative, pair.inputs)
    except TypeError:
        return False
    returned = without_value(returned) if begins_with(returned, value) else returned
    if isinstance(returned, Mapping):
        keys, items = [str(key) for key in returned], flattened(list(returned.values()))
        if any(key in (name, *gradient_names(name)) for key in keys for name in pair.inputs):
            return False
    elif isinstance(returned, tuple | list) and returned:
        items = flattened(returned)
    else:
        return False
    arrays = [array for _, array in held(pair.thing)]
    movable = pair.movable.values()
    of_arguments = bool(movable) and all(fits_exactly(g, a) for g, a in zip(items, movable, strict=False))
    return bool(items) and not of_arguments and all(any(fits(item, a) for a in arrays) for item in items)


def _methods(reader: Reader, ahead: str, back: str, pair: Sequence[Any]) -> list[Subject]:
    """Two methods of one object, handed over as a pair: the object, which goes forwards before it goes back.

    The gradient that is asked for is by the arguments: what else the object holds is data, unless backward is given
    that of the output.
    """
    thing = reader.thing
    forward, backward = getattr(thing, ahead), getattr(thing, back)
    slots, inputs = reader.slots(forward)
    before, asked = State(reach(subject=thing)), required(backward)
    raw = reader.quietly(lambda: forward(*(slot.handed(inputs) for slot in slots)), inputs)
    before.restore()
    as_layer = bool(asked) and asked != required(forward)[: len(asked)] and not is_one(raw) and back in BACKWARD
    as_layer |= not asked and not takes_nothing(backward)  # as backward(dout=1)
    return _either_way(reader, ahead, back, as_layer, arrays_of(pair))


def _either_way(
    reader: Reader, ahead: str, back: str, as_layer: bool, data: tuple[str, ...] | None = None
) -> list[Subject]:
    """Read an object as a layer and as a value with its derivative, the likelier first; `data`: what a pair holds."""
    before = State(reach(subject=reader.thing))
    found: list[Subject] = []
    error: Exception | None = None
    for layer_like in (as_layer, not as_layer):
        try:
            kind: type[Subject] = LayerSubject if layer_like else MethodsSubject
            ways = kind.by_methods(reader, ahead, back)
        except Exception as raised:
            error = error or raised
            before.restore()
            continue
        if not layer_like and data is not None:
            for way in ways:
                way.held_fixed = data
        found += ways
    if not found:
        assert error is not None
        raise error
    return found
