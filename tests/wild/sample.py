"""What a sample is: a subject as public code writes it, and how its own convention is run, said in data.

A *path* says where something is: names, keys and indices from the left, as in ``layers.0.dW``. One that begins with
``args`` starts at the arguments, with ``returned`` at what the call gave, any other at the subject. A gradient's path
may be several, joined by ``+``; and ``moved`` is what backward took off the array itself, over the learning rate.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from mutants.case import Arguments

Truth: TypeAlias = Literal["right", "unproven", "wrong"]

#: What backward is called with. "tuple": all gradients of outputs as one tuple; "douts": one after the other.
Takes: TypeAlias = Literal[
    "dout", "tuple", "douts", "douts, cache", "cache", "nothing", "arguments", "dout, arguments", "dout, rate"
]

#: The learning rate that a backward which updates by itself is given.
RATE = 0.125

#: The path of the first argument, and of a gradient that is all that backward gives.
X, DX = "args.0", "returned"


@dataclass(frozen=True)
class Calls:
    """How a convention is called.

    Attributes
    ----------
    forward, backward : str or int
        The name of a method, the index in a pair, or "" for the subject itself.
    takes : str
        What backward is called with.
    outputs : tuple of str
        Paths of the outputs after forward.
    elementwise : bool
        Whether backward gives the slope at each number, which is still to be multiplied by `dout`.
    flush : str, optional
        The method that sets gradients to 0 before backward.
    """

    forward: str | int = "forward"
    backward: str | int = "backward"
    takes: Takes = "dout"
    outputs: tuple[str, ...] = ("returned",)
    elementwise: bool = False
    flush: str | None = None

    @property
    def seeded(self) -> bool:
        """Whether the gradients are of a weighted sum of the outputs; else of the one number that comes out."""
        return self.elementwise or self.takes not in ("cache", "nothing", "arguments")


@dataclass(frozen=True)
class Sample:
    """One subject, right or wrong.

    Attributes
    ----------
    name : str
        Unique, in snake_case; a wrong version adds what is wrong.
    convention : str
        The kind of code that it is a sample of.
    make : callable
        Gives a fresh subject each time.
    arguments : callable
        Given a generator, gives the arguments for the check.
    calls : Calls
        How the convention is called.
    slots : mapping of str to str
        The path of each array that has a gradient, and of that gradient.
    story : str
        One sentence, for people.
    options : mapping
        What `check_gradients` has to be told besides.
    truth : "right", "unproven" or "wrong"
        "unproven": the gradients are right, but no convention says where they are.
    noise : callable, optional
        Given the subject, gives the generators it draws from.
    """

    name: str
    convention: str
    make: Callable[[], Any]
    arguments: Arguments
    calls: Calls
    slots: Mapping[str, str]
    story: str
    options: Mapping[str, Any] = field(default_factory=dict)
    truth: Truth = "right"
    noise: Callable[[Any], Sequence[Any]] = lambda _: ()

    def run(self, seed: int = 0, *, frozen: bool = True) -> Run:
        """Give a fresh subject with arguments of this seed, ready to be run."""
        return Run(self, self.make(), self.arguments(np.random.default_rng(seed)), frozen)


#: One dout, and forward and backward as they are.
ONE = Calls()


def fault(name: str, kind: str, make: Any, arguments: Any, slots: Any, calls: Calls = ONE, noise: Any = ()) -> Sample:
    """Give a wrong sample, whose story its class or function tells."""
    thing = make[-1] if isinstance(make, tuple) else make
    story = " ".join((thing.__doc__ or "It is not the gradient.").split())
    build = (lambda: make) if isinstance(make, tuple) else make
    return Sample(name, kind, build, arguments, calls, slots, story, truth="wrong", noise=lambda _: noise)


class Run:
    """A subject and its arguments, run as its convention wants it."""

    def __init__(self, sample: Sample, subject: Any, arguments: Sequence[Any], frozen: bool) -> None:
        self.sample, self.subject, self.arguments = sample, subject, copy.deepcopy(tuple(arguments))
        self.generators = list(sample.noise(subject)) if frozen else []
        self.states = [state_of(g) for g in self.generators]
        self.forward()  # parameters may be made by it

    def forward(self) -> Any:
        """Call forward, with the same noise each time."""
        for generator, state in zip(self.generators, self.states, strict=True):
            set_state(generator, state)
        return called(self.subject, self.sample.calls.forward)(*self.arguments)

    def array(self, path: str) -> Any:
        """Give the array itself, to be moved in place."""
        return follow({"args": self.arguments}, path) if path.startswith("args") else follow(self.subject, path)

    @property
    def arrays(self) -> dict[str, Any]:
        """Give all arrays that have a gradient."""
        return {path: self.array(path) for path in self.sample.slots}

    def outputs(self) -> list[Any]:
        """Give copies of what comes out for the arrays as they are."""
        return self._outputs(self.forward())

    def _outputs(self, raw: Any) -> list[Any]:
        return [np.array(found(self.subject, raw, path)) for path in self.sample.calls.outputs]

    def gradients(self, douts: Sequence[Any]) -> dict[str, Any]:
        """Give copies of the subject's own gradients, of the outputs weighted with `douts`."""
        calls = self.sample.calls
        raw = self.forward()
        before = {path: np.array(self.array(path)) for path, g in self.sample.slots.items() if g == "moved"}
        if calls.flush:
            getattr(self.subject, calls.flush)()
        backward = called(self.subject, calls.backward)
        returned = backward(*handed(calls.takes, douts, raw, self.arguments))
        gradients = {}
        for path, gradient in self.sample.slots.items():
            if gradient == "moved":
                gradients[path] = (before[path] - self.array(path)) / RATE
                np.copyto(self.array(path), before[path])
                continue
            parts = [np.array(found(self.subject, returned, part)) for part in gradient.split("+")]
            gradients[path] = sum(parts[1:], parts[0]) * (douts[0] if calls.elementwise else 1)
        return gradients


def handed(takes: Takes, douts: Sequence[Any], raw: Any, arguments: Sequence[Any]) -> tuple[Any, ...]:
    """Give what backward is called with."""
    given = tuple(np.array(dout)[()] for dout in douts)
    return {
        "dout": given[:1],
        "tuple": (given,),
        "douts": given,
        "douts, cache": (*given, raw[-1]) if isinstance(raw, tuple) else (),
        "cache": (raw[-1],) if isinstance(raw, tuple) else (),
        "nothing": (),
        "arguments": tuple(arguments),
        "dout, arguments": (*given, *arguments),
        "dout, rate": (*given, RATE),
    }[takes]


def called(subject: Any, which: str | int) -> Any:
    """Give the function that is called."""
    if isinstance(which, int):
        return subject[which]
    return getattr(subject, which) if which else subject


def found(subject: Any, returned: Any, path: str) -> Any:
    """Give what stands at a path, in what was returned or in the subject."""
    return follow({"returned": returned}, path) if path.startswith("returned") else follow(subject, path)


def follow(thing: Any, path: str) -> Any:
    """Give what stands at a path."""
    for step in path.split("."):
        thing = _step(thing, step)
    return thing


def put(thing: Any, path: str, value: Any) -> Any:
    """Put a value at a path; give the thing, or what stands for it where it cannot be changed."""
    first, _, rest = path.partition(".")
    before = _step(thing, first)
    after = put(before, rest, value) if rest else value
    if after is before:
        return thing
    if isinstance(thing, tuple):
        items = [after if i == int(first) else item for i, item in enumerate(thing)]
        return type(thing)(*items) if hasattr(thing, "_fields") else tuple(items)
    if isinstance(thing, Mapping):
        thing[first] = after  # type: ignore[index]
    elif isinstance(thing, list):
        thing[int(first)] = after
    else:
        setattr(thing, first, after)
    return thing


def _step(thing: Any, step: str) -> Any:
    if isinstance(thing, Mapping):
        return thing[step]
    if isinstance(thing, list) or (isinstance(thing, tuple) and step.isdigit()):
        return thing[int(step)]
    return getattr(thing, step)


def state_of(generator: Any) -> Any:
    """Give the state of a generator, which may be the module `numpy.random`."""
    return generator.get_state() if hasattr(generator, "get_state") else copy.deepcopy(generator.bit_generator.state)


def set_state(generator: Any, state: Any) -> None:
    """Set a generator back."""
    if hasattr(generator, "set_state"):
        generator.set_state(state)
    else:
        generator.bit_generator.state = copy.deepcopy(state)
