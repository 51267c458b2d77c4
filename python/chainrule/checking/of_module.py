"""One function that gives a loss and the gradients of what stands in its module, as the best-known character RNN does.

``loss, dWxh, dWhh, …, hs[-1]``: which array each is the gradient of is told by the name of the variable that is
returned. What else is given, such as the last state, is no gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.pair import PairSubject
from chainrule.checking.reader import Reader
from chainrule.checking.results import fits, is_float, is_one
from chainrule.checking.returned import returned_names
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.values import one_of, parameter
from chainrule.nn.parameters.places import gradient_names


@dataclass
class ModuleSubject(PairSubject):
    """A function that gives one number, and behind it gradients of arrays of its module."""

    kind = "network"
    gives_both = True
    of_entries = False
    #: Where the gradient of each stands among what is given.
    given_at: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give a function that returns variables which are called like gradients of arrays it reads in its module."""
        function = reader.thing
        held, names = _arrays_read_by(function), returned_names(function)
        at = {
            name: i for i, told in enumerate(names) if i
            for name in held if told in gradient_names(name)
        }  # fmt: skip
        if not at:
            return ()
        slots, inputs = reader.slots(function)
        raw = reader.quietly(lambda: function(*(slot.handed(inputs) for slot in slots)), inputs)
        if not (isinstance(raw, tuple) and len(raw) == len(names) and is_one(raw[0])):
            return ()
        if not all(fits(raw[i], held[name]) for name, i in at.items()):
            return ()
        subject = cls(
            function, function.__name__, slots, inputs, (), values=lambda thing: one_of(thing, 0), given_at=at,
            parameters={name: parameter(held[name], name) for name in at},
            held_fixed=tuple(name for name in held if name not in at),
            read_as=(f"what {function.__name__} gives is read by the names it has there: {', '.join(names)}",),
        )  # fmt: skip
        subject.forward_name = subject.backward_name = subject.name
        return [subject]

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        raw = self.thing(*self.handed())
        found = {name: self.as_gradient(raw[i], name) for name, i in self.given_at.items()}
        return Answer(found, dict(found))


def _arrays_read_by(function: Any) -> dict[str, FloatArray]:
    """Give the float arrays of its module that a function reads, by name."""
    code, around = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    names = code.co_names if code is not None else ()
    return {name: around[name] for name in names if is_float(around.get(name)) and isinstance(around[name], np.ndarray)}
