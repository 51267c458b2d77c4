"""One thing with its arguments, being understood: what all kinds of subject need for that."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule.checking.arguments import Slot, is_for_others, slots_of, tied
from chainrule.checking.behind import hold_behind
from chainrule.checking.conventions import spelled_otherwise
from chainrule.checking.holdings import hold
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.results import is_float
from chainrule.checking.state import State, put_back
from chainrule.checking.subject import Subject

USAGE = (
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
    #: Of a Jacobian: the bounds of its arguments, and the names of its rows and columns.
    bounds: Any = None
    names: tuple[Sequence[str], Sequence[str]] = ((), ())
    #: What it is, if that is said.
    kind: type[Subject] | None = None


@dataclass(frozen=True)
class Reader:
    """One thing with its arguments, being understood."""

    thing: Any
    arguments: Sequence[Any]
    asked: Asked
    randomness: Randomness
    #: Whether an array that is given for several arguments is one input: its gradient is the sum.
    tied: bool = False

    def has(self, name: str) -> bool:
        """Tell whether the thing has such a method, and not that of a base class which stands for others."""
        try:
            method = getattr(self.thing, name, None)
        except Exception:  # an object that refuses to be asked
            return False
        return callable(method) and not is_for_others(method)

    @property
    def methods(self) -> list[str]:
        """The names of the thing's methods."""
        return [name for name in dir(self.thing) if self.has(name)]

    def first(self, names: Iterable[str]) -> str | None:
        """Give the first of these methods that the thing has, perhaps with other capitals and underscores."""
        known = tuple(names)
        return next(filter(self.has, (*known, *spelled_otherwise(known, dir(self.thing)))), None)

    def first_that_takes(self, names: Sequence[str]) -> str | None:
        """Give the first of these methods that can be called with the arguments; if none can, the first there is."""
        for name in filter(self.has, names):
            with contextlib.suppress(TypeError, ValueError):
                inspect.signature(getattr(self.thing, name)).bind(*self.arguments)
                return name
        return self.first(names)

    def slots(self, function: Any) -> tuple[tuple[Slot, ...], dict[str, Any]]:
        """Give the arguments as slots and inputs; say so if `function` cannot be called with them."""
        try:
            inspect.signature(function).bind(*self.arguments)
        except ValueError:  # a built-in, perhaps, that does not tell
            pass
        except TypeError as error:
            name = getattr(function, "__qualname__", type(function).__name__)
            raise TypeError(
                f"{name}{inspect.signature(function)} cannot be called with the {len(self.arguments)} arguments that"
                f" were given ({error}); they are what the forward pass is called with, and nothing more"
            ) from None
        slots, inputs = slots_of(function, self.arguments)
        return tied(slots, inputs, self.arguments) if self.tied else (slots, inputs)

    def quietly(self, call: Callable[[], Any], inputs: Mapping[str, Any]) -> Any:
        """Call with the same noise as every other, and put back the inputs if it writes into them."""
        self.randomness.rewind()
        with put_back([a for a in inputs.values() if isinstance(a, np.ndarray)]):
            return call()

    def wrt(self, inputs: Mapping[str, Any]) -> tuple[str, ...] | None:
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
            raise TypeError(f"wrt names {fixed[0]}, which is {kind_of(inputs[fixed[0]])} and cannot be moved")
        return tuple(chosen)

    def hold(self, subject: Subject, douts: Sequence[Any]) -> None:
        """Find out what the subject holds, and leave it as it was but for what its first forward pass made."""
        asked = self.asked

        def ahead() -> list[Any]:
            found: list[Any] = self.quietly(subject.outputs, subject.inputs)
            return found

        def back(times: float) -> object:
            sent = [np.asarray(times * d, np.asarray(d).dtype)[()] for d in douts]
            return self.quietly(lambda: subject.gradients(sent), subject.inputs)

        look = hold_behind if isinstance(self.thing, tuple | list) else hold
        look(subject, ahead, back, lambda: State(reach(subject=self.thing)), asked.params, asked.ignore)


def kind_of(value: Any) -> str:
    """Give the dtype of an array, the type of anything else."""
    return str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__


def without_gradient(thing: Any) -> str:
    """Say what is missing beside something that can be called."""
    name = getattr(thing, "__name__", None)
    if name is not None:
        return f"{name} is one function, without its gradient"
    return f"{type(thing).__name__} can be called, but no method of it is known to go back"


def told(raw: Any) -> str:
    """Say what came out, for a message."""
    if isinstance(raw, tuple | list):
        return f"{type(raw).__name__} of {len(raw)}"
    return f"an array of shape {raw.shape}" if isinstance(raw, np.ndarray) else type(raw).__name__
