"""Networks in parts being understood: ``forward(X)``, a loss of what that gives, and a way back for all at once.

As ``(net, X, Y)`` for ``AL, cache = net.forward(X)``, ``net.compute_cost(AL, Y)`` and ``net.backward(cache, X, Y)``.
What each asks for is told by its name: an argument of forward, the labels, what forward has given, or kept, or what the
object holds under that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.arguments import positional, required
from chainrule.checking.conventions import (
    BACKWARD,
    CACHES,
    FORWARD,
    LOSS_METHODS,
    PERHAPS_TARGETS,
    PREDICTED,
    TARGETS,
)  # fmt: skip
from chainrule.checking.network import NetworkSubject
from chainrule.checking.reach import reach
from chainrule.checking.reader import Reader
from chainrule.checking.results import is_one, outcome_of
from chainrule.checking.state import State
from chainrule.checking.subject import Subject
from chainrule.nn.parameters.places import is_numbers

_Call = Callable[..., Any]


@dataclass
class PartsSubject(NetworkSubject):
    """An object with a forward pass, a loss of what that gives, and a way back for all at once."""

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give an object that has all three, and asks for no more than is known."""
        ahead, back = map(reader.first, (FORWARD, BACKWARD))
        return cls.by_methods(reader, ahead, back) if ahead and back else ()

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give the network by its forward and backward; the loss is found."""
        thing = reader.thing
        parts = _parts(thing, ahead, back, len(reader.arguments))
        if parts is None:
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

    @classmethod
    def methods_in(cls, names: Container[str]) -> tuple[str, str] | None:
        """Give none: in a file it is a layer."""
        return None


@dataclass(frozen=True)
class _Parts:
    """The names of the methods, and of the arguments: of forward, then of the loss."""

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
            _, known = self._loss(thing, arguments)
            backward = getattr(thing, self.back)
            return backward(*(self._asked(name, known, thing) for name in required(backward)))

        return self._signed(derivative)

    def told(self, thing: Any) -> str:
        """Say what is called, in words."""
        if not self.of_forward:
            return f"{self.loss}({', '.join(self.names)})"
        asked = required(getattr(thing, self.loss))[1:] or self.names[self.of_forward :]
        return f"{self.loss}({self.ahead}({', '.join(self.names[: self.of_forward])}), {', '.join(asked)})"

    def _signed(self, function: _Call) -> _Call:
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        function.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in self.names])  # type: ignore[attr-defined]
        function.__name__ = function.__qualname__ = self.loss
        return function

    def _loss(self, thing: Any, arguments: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
        known = dict(zip(self.names, arguments, strict=True))
        loss = getattr(thing, self.loss)
        if not self.of_forward:
            return loss(*arguments), known
        raw = getattr(thing, self.ahead)(*arguments[: self.of_forward])
        outcome = outcome_of(raw, thing, self.ahead, cached=True)
        first = raw[0] if isinstance(raw, tuple) and raw else outcome.arrays[0]
        known |= {_OUT: first, _CACHE: outcome.cache}
        asked = required(loss)
        if not asked:  # loss(*args)
            return loss(first, *arguments[self.of_forward :]), known
        return loss(first, *(self._asked(name, known, thing) for name in asked[1:])), known

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


def _parts(thing: Any, ahead: str, back: str, count: int) -> _Parts | None:
    forward, backward = getattr(thing, ahead), getattr(thing, back)
    loss = next((n for n in LOSS_METHODS if n not in (ahead, back) and callable(getattr(thing, n, None))), None)
    if loss is None:
        return None
    takes, of_loss, asked = required(forward), required(getattr(thing, loss)), required(backward)
    if len(of_loss) == count > 1 and of_loss != takes:
        itself = of_loss[: len(takes)] == takes and all(name in {*of_loss, *PREDICTED, *CACHES} for name in asked)
        if of_loss == asked or (len(takes) < count and itself):
            return _Parts(ahead, loss, back, tuple(of_loss), 0)
    labels = of_loss[1:] if of_loss else [p.name for p in positional(backward) if _is_target(p.name)][:1] or ["y"]
    if len(takes) < count == len(takes) + len(labels):
        known = {*takes, *labels, *PREDICTED, *CACHES}
        if all(name in known or _is_target(name) or _holds(thing, name) for name in asked):
            return _Parts(ahead, loss, back, (*takes, *labels), len(takes))
    held = [name for name in labels if _holds(thing, name)]
    unknown = [name for name in asked if name not in takes and name not in CACHES and name not in PREDICTED]
    if len(takes) == count and labels == held and held and all(map(_is_target, unknown)) and len(asked) != 1:
        return _Parts(ahead, loss, back, tuple(takes), len(takes))
    return None


def _is_target(name: str) -> bool:
    return name in TARGETS or name in PERHAPS_TARGETS


def _spellings(name: str) -> tuple[str, ...]:
    return name, name.lower(), name.upper()


def _holds(thing: Any, name: str) -> bool:
    return any(is_numbers(getattr(thing, spelling, None)) for spelling in _spellings(name))
