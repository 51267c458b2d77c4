"""How what was handed over is understood: a layer, a network, a pair; as public code writes them.

Names and signatures tell most, and one forward pass the rest. Where two ways to understand a subject are left, both are
given: the first that agrees with the numbers is what was meant, and that is said.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chainrule.checking.arguments import Slot, positional, required, slots_of
from chainrule.checking.conventions import (
    BACKWARD,
    CACHES,
    DERIVATIVES,
    FORWARD,
    PERHAPS_TARGETS,
    TARGETS,
    VALUES,
    is_target,
)
from chainrule.checking.holdings import hold
from chainrule.checking.layer import LayerSubject, calls_of
from chainrule.checking.networks import NetworkSubject
from chainrule.checking.pair import PairSubject, is_apart, is_one
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.results import Outcome, bound, candidates, is_float, outcome_of
from chainrule.checking.state import State, put_back
from chainrule.checking.subject import Subject, parameter, place_not_finite
from chainrule.parameters import Place, flushes, is_numbers

_USAGE = (
    "a layer has forward and backward, a network loss, gradient and params, a pair of functions is (f, grad_f) or"
    " (forward, backward); forward= and backward= name methods called otherwise"
)


@dataclass(frozen=True)
class Asked:
    """What the caller said about how the subject is meant: see `chainrule.check_gradients`."""

    wrt: Any = None
    params: Mapping[str, Any] | None = None
    forward: str | None = None
    backward: str | None = None
    ignore: tuple[str, ...] = ()


def adapt(thing: Any, arguments: Sequence[Any], asked: Asked = Asked()) -> Subject:  # noqa: B008  # frozen
    """Give `thing` as the Subject it most likely is; see `readings`."""
    return readings(thing, arguments, asked)[0]


def readings(
    thing: Any,
    arguments: Sequence[Any],
    asked: Asked = Asked(),
    randomness: Randomness | None = None,  # noqa: B008
) -> list[Subject]:
    """Give `thing` as a Subject, in the ways it can be understood, the likeliest first; say what is missing if in none.

    Raises
    ------
    TypeError
        If it is nothing that can be checked, or an argument or a parameter has a dtype that cannot be differentiated.
    ValueError
        If a parameter is read-only, or an array is not finite.
    """
    if isinstance(thing, type):
        raise TypeError(f"{thing.__name__} is a class, not an object: call it first")
    reached = reach(subject=thing)
    before = State(reached)
    found = Reader(thing, arguments, asked, randomness or Randomness(reached)).readings()
    if isinstance(thing, tuple | list):  # of functions nothing need be kept that they have kept
        before.restore()
    for subject in found:
        _expect_something_to_do(subject)
    return found


def _expect_something_to_do(subject: Subject) -> None:
    if not subject.arrays and not subject.unseen:
        kinds = ", ".join(f"{name} is {_kind(a)}" for name, a in subject.inputs.items()) or "no arguments"
        raise TypeError(f"{subject.name} has nothing to differentiate by ({kinds}); pass arrays of float64 or float32")
    for name, array in subject.arrays.items():
        at = place_not_finite(array)
        if at is not None:
            raise ValueError(
                f"{name}{at or ''} is {array[tuple(at)]}; a gradient can be checked at finite numbers only"
            )


def _kind(value: Any) -> str:
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


class Reader:
    """One thing with its arguments, being understood."""

    def __init__(self, thing: Any, arguments: Sequence[Any], asked: Asked, randomness: Randomness) -> None:
        self.thing, self.arguments, self.asked, self.randomness = thing, arguments, asked, randomness

    def readings(self) -> list[Subject]:
        """Tell what kind it is."""
        thing, asked = self.thing, self.asked
        if isinstance(thing, tuple | list) and len(thing) == 2 and all(map(callable, thing)):
            return self._functions()
        if asked.forward or asked.backward:
            return self._methods(*self._named_methods())
        if _has(thing, "loss") and _has(thing, "gradient") and hasattr(thing, "params"):
            return [self._network("loss", "gradient")]
        ahead, back = _first(thing, FORWARD), _first(thing, BACKWARD)
        if ahead and back:
            return self._layer(ahead, back)
        value, derivative = _first(thing, VALUES), _first(thing, DERIVATIVES)
        if value and derivative:
            return self._derivatives(value, derivative)
        if _has(thing, "loss"):
            return [self._network("loss", None)]
        if callable(thing) and not (ahead and ahead != "__call__") and not back:
            return self._both()
        raise TypeError(f"{_missing(thing)}; {_USAGE}")

    def _named_methods(self) -> tuple[str, str]:
        thing, names = self.thing, []
        for given, known, side in (
            (self.asked.forward, FORWARD, "forward"),
            (self.asked.backward, BACKWARD, "backward"),
        ):
            name = given or _first(thing, known)
            if name is None or not callable(getattr(thing, name, None)):
                what = f"no method {name!r}" if name else f"no method to go {side}: name it, {side}='…'"
                raise TypeError(f"{type(thing).__name__} has {what}")
            names.append(name)
        return names[0], names[1]

    # --- one kind each ---

    def _methods(self, ahead: str, back: str) -> list[Subject]:
        """Two methods that were named: a layer's, or a value and its derivative."""
        forward, backward = getattr(self.thing, ahead), getattr(self.thing, back)
        asks, gives = required(backward), required(forward)
        if asks and asks == gives[: len(asks)] and len(asks) == len(self.arguments):
            return self._derivatives(ahead, back)
        return self._layer(ahead, back)

    def _layer(self, ahead: str, back: str) -> list[Subject]:
        thing = self.thing
        _refuse_unmovable(thing)
        slots, inputs = self._slots(getattr(thing, ahead))
        subject = LayerSubject(
            thing, type(thing).__name__, slots, inputs, self._wrt(inputs),
            forwards=lambda thing: getattr(thing, ahead), backwards=lambda thing: getattr(thing, back),
            flushing=tuple(flushes(thing)),
        )  # fmt: skip
        subject.forward_name, subject.backward_name = ahead, back
        return self._understood(subject, getattr(thing, back))

    def _functions(self) -> list[Subject]:
        """Two functions: (out, cache) and (dout, cache), or a value and its gradient."""
        ahead, back = self.thing
        name = getattr(ahead, "__name__", "f")
        slots, inputs = self._slots(ahead)
        wrt = self._wrt(inputs)
        raw = self._quietly(lambda: ahead(*(slot.handed(inputs) for slot in slots)), inputs)
        asks = len(required(back))
        pair = PairSubject(tuple(self.thing), name, slots, inputs, wrt)
        one = is_one(raw)
        of_arguments = asks == len(required(ahead)) or asks == len(self.arguments) or not positional(back)
        if (one and (of_arguments or asks == 0)) or raw is None:
            return self._by_each(pair)
        cached = isinstance(raw, tuple) and len(raw) > 1
        if not cached and of_arguments:
            return self._apart(pair, raw)
        layer = LayerSubject(
            tuple(self.thing), name, slots, inputs, wrt,
            forwards=lambda thing: thing[0], backwards=lambda thing: thing[1],
        )  # fmt: skip
        layer.kind, layer.forward_name, layer.backward_name = "pair", name, getattr(back, "__name__", "backward")
        return self._understood(layer, back)

    def _derivatives(self, value: str, derivative: str) -> list[Subject]:
        """An object with a value and its derivative, for the same arguments."""
        thing = self.thing
        slots, inputs = self._slots(getattr(thing, value))
        subject = PairSubject(
            thing, type(thing).__name__, slots, inputs, self._wrt(inputs),
            values=lambda thing: getattr(thing, value), derivatives=lambda thing: getattr(thing, derivative),
        )  # fmt: skip
        subject.forward_name, subject.backward_name = f"{subject.name}.{value}", f"{subject.name}.{derivative}"
        raw = self._quietly(lambda: subject.values(thing)(*subject.handed()), inputs)
        if is_one(raw):
            return self._by_each(subject)
        return self._apart(subject, raw)

    def _both(self) -> list[Subject]:
        """One function that gives a value and its gradient."""
        thing = self.thing
        slots, inputs = self._slots(thing)
        name = getattr(thing, "__name__", type(thing).__name__)
        subject = PairSubject(
            thing, name, slots, inputs, self._wrt(inputs), values=lambda thing: thing, derivatives=lambda thing: thing,
            both=True,
        )  # fmt: skip
        raw = self._quietly(lambda: thing(*subject.handed()), inputs)
        if isinstance(raw, tuple) and len(raw) == 2 and is_one(raw[1]) and not is_one(raw[0]):
            subject.swapped = True
        elif not isinstance(raw, tuple | list) or len(raw) != 2 or not is_one(raw[0]):
            if hasattr(thing, "forward"):
                raise TypeError(f"{_missing(thing)}; {_USAGE}")
            raise TypeError(
                f"{name} is one function, without its gradient, and gives {_told(raw)} and not (value, gradient);"
                f" {_USAGE}"
            )
        subject.forward_name = subject.backward_name = name
        return self._by_each(subject)

    def _network(self, loss: str, gradient: str | None) -> Subject:
        thing = self.thing
        slots, inputs = self._slots(getattr(thing, loss))
        subject = NetworkSubject(
            thing, type(thing).__name__, slots, inputs, None,
            losses=lambda thing: getattr(thing, loss), derivatives=lambda thing: getattr(thing, gradient or loss),
            both=gradient is None,
        )  # fmt: skip
        if self.asked.wrt is not None:
            raise ValueError("wrt= says by which arguments a gradient is; that of a network is by its parameters")
        subject.backward_name = gradient or loss
        params = getattr(thing, "params", None)
        if isinstance(params, Mapping):
            if not params:
                raise TypeError(
                    f"{subject.name}.params must be a dict of arrays with something in it, got {params!r:.60}"
                )
            for key, array in params.items():
                if callable(array) or isinstance(array, float | int):
                    continue
                name = str(key)
                subject.parameters[name] = parameter(array, f"params[{key!r}]")
                subject.places[name] = (Place(((thing, "params"), (params, key))),)
        elif gradient is not None and params is not None and not isinstance(params, list | tuple):
            raise TypeError(f"{subject.name}.params must be a dict of arrays with something in it, got {params!r:.60}")
        if gradient is None:
            raw = self._quietly(lambda: getattr(thing, loss)(*subject.handed()), inputs)
            if not isinstance(raw, tuple) or len(raw) != 2:
                raise TypeError(f"{subject.name} has loss but no gradient, and its loss gives {_told(raw)}; {_USAGE}")
        self._hold(subject, [np.float64(1)])
        return subject

    # --- what they share ---

    def _slots(self, function: Any) -> tuple[tuple[Slot, ...], dict[str, Any]]:
        try:
            inspect.signature(function).bind(*self.arguments)
        except ValueError:  # a built-in, perhaps, that does not tell
            pass
        except TypeError as error:
            name = getattr(function, "__qualname__", type(function).__name__)
            raise TypeError(
                f"{name}{inspect.signature(function)} cannot be called with the {len(self.arguments)} arguments that were"
                f" given ({error}); they are what the forward pass is called with, and nothing more"
            ) from None
        return slots_of(function, self.arguments)

    def _quietly(self, call: Callable[[], Any], inputs: Mapping[str, Any]) -> Any:
        """Call with the same noise as every other, and put back the inputs if it writes into them."""
        self.randomness.rewind()
        with put_back([a for a in inputs.values() if isinstance(a, np.ndarray)]):
            return call()

    def _wrt(self, inputs: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Give the names of the inputs that the caller says the gradient is by."""
        wrt = self.asked.wrt
        if wrt is None:
            return None
        if isinstance(wrt, bool) or not isinstance(wrt, int | str | tuple | list):
            raise TypeError(f"wrt must be the number or name of an argument, or a tuple of them, got {wrt!r:.60}")
        names, tops = list(inputs), list(dict.fromkeys(name.partition("[")[0] for name in inputs))
        chosen: list[str] = []
        for one in wrt if isinstance(wrt, tuple | list) else (wrt,):
            if isinstance(one, int) and not isinstance(one, bool) and -len(tops) <= one < len(tops):
                one = tops[one]
            inside = [name for name in names if name == one or name.startswith(f"{one}[")]
            if not inside:
                raise ValueError(f"wrt names {one!r}, and the arguments are {', '.join(names) or 'none'}")
            chosen += inside
        fixed = [name for name in chosen if not is_float(inputs[name])]
        if fixed:
            raise TypeError(f"wrt names {fixed[0]}, which is {_kind(inputs[fixed[0]])} and cannot be moved")
        return tuple(chosen)

    def _hold(self, subject: Subject, douts: Sequence[Any]) -> None:
        """Find out what the subject holds, and leave it as it was but for what its first forward pass made."""
        asked = self.asked

        def ahead() -> list[Any]:
            found: list[Any] = self._quietly(subject.outputs, subject.inputs)
            return found

        def back() -> object:
            return self._quietly(lambda: subject.gradients([np.array(d)[()] for d in douts]), subject.inputs)

        if isinstance(subject, PairSubject) and isinstance(self.thing, tuple | list):
            return
        hold(subject, ahead, back, lambda: State(reach(subject=self.thing)), asked.params, asked.ignore)

    def _understood(self, subject: LayerSubject, backward: Any) -> list[Subject]:
        """Say what backward is called with, and find the parameters; all ways that can be."""
        if _last_is_a_cache(backward, subject):
            subject = replace(subject, call=("dout", "cache"))  # of the rest, more is known below
        before = State(reach(subject=self.thing))
        try:
            first = self._quietly(subject.run, subject.inputs)
        except Exception:
            if not subject.flushing:
                raise
            before.restore()  # a method that seemed to set gradients to nothing may do more, or fail
            subject.flushing = ()
            first = self._quietly(subject.run, subject.inputs)
        self.randomness.look(reach(subject=self.thing))
        subject.resets = self._resets(subject)
        subject.also = _also(backward, subject)
        found: list[Subject] = []
        error: Exception | None = None
        before = State(reach(subject=self.thing))
        for way in self._ways(subject, first, backward):
            other = replace(way, parameters={}, places={}, boxes={}, steps={})
            try:
                outputs = self._quietly(other.run, other.inputs).arrays
                self._hold(other, other.cotangents(outputs, np.random.default_rng(7)))
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

    def _ways(self, subject: LayerSubject, first: Outcome, backward: Any) -> list[LayerSubject]:
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
            way = replace(subject, call=call, stepping="lr" in call)
            if "douts" in call:
                way.first = len(required(backward)) - len(call) + 1
            if not {"dout", "douts"} & set(call) and first.arrays[0].size > 1:
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

    def _resets(self, subject: LayerSubject) -> State | None:
        """Give what each forward pass has to start from, if it goes on from where the last one has ended."""
        state = State(reach(subject=self.thing))
        here = [out.copy() for out in self._quietly(subject.outputs, subject.inputs)]
        again = [out.copy() for out in self._quietly(subject.outputs, subject.inputs)]
        if len(here) == len(again) and all(map(_equal, here, again)):
            return None
        changing = state.of_what_changed()
        changing.restore()
        repeated = []
        for _ in range(2):
            changing.restore()
            repeated.append([out.copy() for out in self._quietly(subject.outputs, subject.inputs)])
        same = len(repeated[0]) == len(repeated[1]) and all(map(_equal, *repeated))
        return changing if same else None

    def _by_each(self, pair: PairSubject) -> list[Subject]:
        """A gradient of one number: by the arguments that it could be by, one after the other."""
        if pair.wrt is not None:
            return [pair]
        try:
            returned = self._quietly(lambda: pair.derivatives(pair.thing)(*pair.handed()), pair.inputs)
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
        return list(ways) or [pair]

    def _apart(self, pair: PairSubject, raw: Any) -> list[Subject]:
        """A derivative for each entry, or each example."""
        try:
            returned = self._quietly(lambda: pair.derivatives(pair.thing)(*pair.handed()), pair.inputs)
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
        if value.ndim == 1 and any(
            np.ndim(g) > 1 for g in bound(returned, pair.inputs, pair.wrt, []).gradients.values()
        ):
            ways += [replace(way, mean=True, read_as=("the gradient is read as that of the mean",)) for way in ways[:1]]
        if len(pair.inputs) == 1 and not pair.both:
            ways.append(
                replace(ways[0], through=True, surely=False, read_as=(f"{pair.backward_name} is given what f gives",))
            )
        return list(ways)


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


def _holds_arrays(returned: Any) -> bool:
    return isinstance(returned, list) and any(isinstance(item, np.ndarray) for item in returned)


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


def _has(thing: Any, name: str) -> bool:
    try:
        return callable(getattr(thing, name, None))
    except Exception:  # an object that refuses to be asked
        return False


def _first(thing: Any, names: Iterable[str]) -> str | None:
    """Give the first of these methods that `thing` has; none of what functions and types have anyway."""
    return next((name for name in names if _has(thing, name)), None)


def _told(raw: Any) -> str:
    if isinstance(raw, tuple | list):
        return f"{type(raw).__name__} of {len(raw)}"
    return f"an array of shape {raw.shape}" if isinstance(raw, np.ndarray) else type(raw).__name__


def _missing(thing: Any) -> str:
    """Say what a thing lacks, for an error."""
    name = type(thing).__name__
    for has, lacks in (("forward", "backward"), ("backward", "forward"), ("loss", "gradient"), ("gradient", "loss")):
        if _has(thing, has) and not _has(thing, lacks):
            return f"{name} has {has} but no {lacks}"
    if callable(thing):
        return f"{getattr(thing, '__name__', name)} is one function, without its gradient"
    return f"{name} cannot be checked"
