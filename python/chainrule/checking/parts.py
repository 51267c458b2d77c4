"""Networks in parts being understood: ``forward(X)``, a loss of what that gives, and a way back for all at once.

As ``(net, X, Y)`` for ``AL, cache = net.forward(X)``, ``net.compute_cost(AL, Y)`` and ``net.backward(cache, X, Y)``.
What each asks for is told by its name: an argument of forward, the labels, what forward has given, or kept, or what the
object holds under that name.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.arguments import positional, required
from chainrule.checking.calls import labels_asked
from chainrule.checking.conventions import (
    BACKWARD,
    CACHES,
    DERIVATIVES,
    FORWARD,
    LOSS_METHODS,
    PERHAPS_TARGETS,
    PREDICTED,
    TARGETS,
    VALUES,
    is_target,
)  # fmt: skip
from chainrule.checking.network import NetworkSubject
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import is_one, outcome_of
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.nn.parameters.places import flushes, is_numbers, is_object

_Call = Callable[..., Any]


@dataclass
class PartsSubject(NetworkSubject):
    """An object with a forward pass, a loss of what that gives, and a way back for all at once."""

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give an object that has all three, and asks for no more than is known."""
        ahead, back = map(reader.first, (FORWARD, BACKWARD))
        if not (ahead and back):
            return ()
        ways = cls.by_methods(reader, ahead, back)
        inner = _called_by(reader, back)  # what goes back alone, if the other steps after it
        also = cls.by_methods(reader, ahead, inner) if ways and inner else ()
        for way in also:
            way.read_as = (f"{inner} is checked, which {back} calls", *way.read_as)
        return [*ways, *also]

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give the network by its forward and backward; the loss is found."""
        thing = reader.thing
        parts = _parts(thing, ahead, back, len(reader.arguments))
        if parts is None:
            _expect_a_loss(reader, ahead, back)
            _expect_what_is_known(reader, ahead, back)
            return ()
        slots, inputs = reader.slots(parts.value(thing))
        subject = cls(
            thing, type(thing).__name__, slots, inputs, losses=parts.value, derivatives=parts.derivative,
            read_as=(f"the loss is {parts.told(thing)}",),
        )  # fmt: skip
        subject.forward_name, subject.backward_name = parts.loss, back
        before = State(reach(subject=thing))
        try:
            if is_one(reader.quietly(lambda: parts.value(thing)(*subject.handed()), inputs)):
                reader.hold(subject, [np.float64(1)])
                return [subject]
        except TypeError:  # its parts are called otherwise
            pass
        before.restore()
        return ()

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back; one array is the gradient of the examples, which nobody asks for."""
        returned = self.derivatives(self.thing)(*self.handed())
        named = self._named(None if isinstance(returned, np.ndarray) else returned)
        found = {name: self.as_gradient(g, name) for name, g in named.items()}
        return Answer(found, dict(found))

    @classmethod
    def methods_in(cls, names: Iterable[str]) -> tuple[str, str] | None:
        """Give none: in a file it is a layer."""
        return None


@dataclass(frozen=True)
class _Parts:
    """The names of the methods, and of the arguments: of forward, then of the loss, which may be an object's."""

    ahead: str
    loss: str
    back: str
    names: tuple[str, ...]
    #: How many of them forward takes; 0 if the loss goes forward itself.
    of_forward: int

    def value(self, thing: Any) -> _Call:
        """Give what gives the loss for all arguments."""

        def loss(*arguments: Any) -> Any:
            return self._loss(thing, arguments)[0]

        return self._signed(loss)

    def derivative(self, thing: Any) -> _Call:
        """Give what goes back after that."""

        def derivative(*arguments: Any) -> Any:
            for flush in flushes(thing):
                with contextlib.suppress(Exception):  # before there are gradients
                    flush()
            _, known = self._loss(thing, arguments)
            backward, (_, of_loss) = getattr(thing, self.back), _loss_of(thing, self.loss)
            asked = required(backward)
            if of_loss is not None and len(asked) == 1 and not _is_known(asked[0], self.names, thing):
                return backward(of_loss(*(self._asked(name, known, thing) for name in required(of_loss))))
            return backward(*(self._asked(name, known, thing) for name in asked))

        return self._signed(derivative)

    def told(self, thing: Any) -> str:
        """Say what is called, in words."""
        if not self.of_forward:
            return f"{self.loss}({', '.join(self.names)})"
        out = f"{self.ahead}({', '.join(self.names[: self.of_forward])})"
        asked = required(_loss_of(thing, self.loss)[0])
        if asked:
            first = next((name for name in asked if not is_target(name, asked)), asked[0])
            given = [out if name == first else name for name in asked]
        else:
            given = [out, *self.names[self.of_forward :]]
        return f"{self.loss}({', '.join(given)})"

    def _signed(self, function: _Call) -> _Call:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        function.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in self.names])  # type: ignore[attr-defined]
        function.__name__ = function.__qualname__ = self.loss
        return function

    def _loss(self, thing: Any, arguments: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        known = dict(zip(self.names, arguments, strict=True))
        loss, _ = _loss_of(thing, self.loss)
        assert loss is not None
        if not self.of_forward:
            return loss(*arguments), known
        raw = getattr(thing, self.ahead)(*arguments[: self.of_forward])
        outcome = outcome_of(raw, thing, self.ahead, cached=True)
        first = raw[0] if isinstance(raw, tuple) and raw else outcome.arrays[0]
        known |= {_OUT: first, _CACHE: outcome.cache}
        asked = required(loss)
        if not asked:  # loss(*args)
            return loss(first, *arguments[self.of_forward :]), known
        out = next((name for name in asked if not is_target(name, asked)), asked[0])
        return loss(*(first if name == out else self._asked(name, known, thing) for name in asked)), known

    def _asked(self, name: str, known: dict[str, Any], thing: Any) -> Any:
        """Give what a method asks for by this name."""
        given = list(known)
        own = next((n for n in (name, *_spellings(name)) if n in known), None)
        if own is not None:
            return known[own]
        target = next((n for n in given if _is_target(n)), None)
        if _is_target(name) and target is not None:
            return known[target]
        if name in CACHES:
            return known.get(_CACHE)
        if (name in PREDICTED or name == "AL") and _OUT in known:
            return known[_OUT]
        held = next((v for n in _spellings(name) if is_numbers(v := getattr(thing, n, None))), None)
        if held is not None:
            return held
        if _OUT in known:
            return known[_OUT]
        raise TypeError(f"{self.back} asks for {name}, and nothing is called so")


#: Stand for what forward gave, and what it kept, among the names of arguments.
_OUT, _CACHE = " out", " cache"


def _called_by(reader: Reader, back: str) -> str | None:
    """Give the method that goes back too, for the same arguments, and is called by the first."""
    function = getattr(reader.thing, back)
    called = getattr(getattr(function, "__code__", None), "co_names", ())
    others = (name for name in BACKWARD if name != back and name in called and reader.has(name))
    return next((name for name in others if required(getattr(reader.thing, name)) == required(function)), None)


def _expect_a_loss(reader: Reader, ahead: str, back: str) -> None:
    """Raise TypeError for a network that is handed over with labels, and has no loss of them."""
    thing = reader.thing
    names = [p.name for p in positional(getattr(thing, ahead))]
    labels = labels_asked(getattr(thing, back), names)
    if labels and 0 < len(names) < len(reader.arguments) and not any(_loss_of(thing, n)[0] for n in LOSS_METHODS):
        raise TypeError(
            f"{type(thing).__name__}.{ahead} takes {', '.join(names)}, and {back} takes {labels}: of which loss that is"
            f" the gradient is not known; give it a method loss(out, {labels}), of what {ahead} gives and the labels"
        )


def _expect_what_is_known(reader: Reader, ahead: str, back: str) -> None:
    """Raise TypeError for a network with a loss whose backward asks for what only the training loop knows."""
    thing, count = reader.thing, len(reader.arguments)
    takes, asked = [p.name for p in positional(getattr(thing, ahead))], required(getattr(thing, back))
    loss = next((n for n in LOSS_METHODS if n not in (ahead, back) and _loss_of(thing, n)[0] is not None), None)
    unknown = [n for n in asked if not _is_known(n, takes, thing)]
    if loss is not None and 0 < len(takes) < count and unknown:
        raise TypeError(
            f"{type(thing).__name__}.{back}({', '.join(asked)}) asks for {', '.join(unknown)}, which is nothing that"
            f" {ahead} or {loss} takes or gives by that name; hand over two functions (loss, gradient)"
        )


def _parts(thing: Any, ahead: str, back: str, count: int) -> _Parts | None:
    forward, backward = getattr(thing, ahead), getattr(thing, back)
    name = next((n for n in LOSS_METHODS if n not in (ahead, back) and _loss_of(thing, n)[0] is not None), None)
    if name is None:
        return None
    loss, gradient = _loss_of(thing, name)
    takes, of_loss, asked = required(forward), required(loss), required(backward)
    own = not is_object(getattr(thing, name))  # an object that is a loss does not go through the network
    if len(of_loss) == count > 1 and of_loss != takes and gradient is None and own and not _is_out(of_loss[0], takes):
        itself = of_loss[: len(takes)] == takes and all(n in {*of_loss, *PREDICTED, *CACHES} for n in asked)
        if of_loss == asked or (len(takes) < count and itself):
            return _Parts(ahead, name, back, tuple(of_loss), 0)
    out = next((n for n in of_loss if not is_target(n, of_loss)), None)
    labels = [n for n in of_loss if n != out]
    if not of_loss:  # loss(*args)
        labels = [p.name for p in positional(backward) if _is_target(p.name)][:1] or ["y"]
    if len(takes) < count == len(takes) + len(labels):
        known = all(_is_known(n, [*takes, *labels], thing) for n in asked)
        if known or (gradient is not None and len(asked) == 1):
            return _Parts(ahead, name, back, (*takes, *labels), len(takes))
    held = [n for n in labels if _holds(thing, n)]
    unknown = [n for n in asked if n not in takes and n not in CACHES and n not in PREDICTED]
    if len(takes) == count and labels == held and held and all(map(_is_target, unknown)) and len(asked) != 1:
        return _Parts(ahead, name, back, tuple(takes), len(takes))
    return None


def _loss_of(thing: Any, name: str) -> tuple[_Call | None, _Call | None]:
    """Give what computes the loss: a method of this name, or one of an object that has also one for its gradient."""
    found = getattr(thing, name, None)
    if not is_object(found):
        return (found if callable(found) else None), None
    ahead, back = (
        next((m for n in names if callable(m := getattr(found, n, None))), None)
        for names in ((*FORWARD, *VALUES), (*BACKWARD, *DERIVATIVES))
    )
    return ahead, None if ahead is None else back


def _is_known(name: str, given: Sequence[str], thing: Any) -> bool:
    """Tell whether it is known what a method asks for by this name."""
    return name in {*given, *PREDICTED, *CACHES} or _is_target(name) or _holds(thing, name)


def _is_target(name: str) -> bool:
    return name in TARGETS or name in PERHAPS_TARGETS


def _is_out(name: str, takes: Sequence[str]) -> bool:
    """Tell whether a loss asks first for what forward, which takes others, has given: ``loss(y_hat, y)``."""
    return name in PREDICTED and name.lower() not in {"x", "z", "input", "inputs", *map(str.lower, takes)}


def _spellings(name: str) -> tuple[str, ...]:
    return name, name.lower(), name.upper()


def _holds(thing: Any, name: str) -> bool:
    return any(is_numbers(getattr(thing, spelling, None)) for spelling in _spellings(name))
