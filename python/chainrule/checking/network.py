"""Networks: a loss and the gradient of every parameter of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.conventions import BACKWARD, FORWARD, first_of
from chainrule.checking.engine import KnownNetwork, holds_nothing_else, known_network
from chainrule.checking.layer_search import Alone, Verdict, first_faulty_layer
from chainrule.checking.randomness import Randomness
from chainrule.checking.reader import USAGE, Reader, told
from chainrule.checking.results import bare, flattened, without_flags
from chainrule.checking.returned import returned_names
from chainrule.checking.state import State
from chainrule.checking.subject import Answer, Subject
from chainrule.checking.values import one_number, one_of, parameter
from chainrule.nn.parameters.places import Place, gradient_at, gradient_names


@dataclass
class NetworkSubject(Subject):
    """An object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``."""

    #: Given the thing, these give the two methods.
    losses: Callable[[Any], Any] = field(default=attrgetter("loss"))
    derivatives: Callable[[Any], Any] = field(default=attrgetter("gradient"))
    kind = "network"
    methods = (("loss",), ("gradient",))
    forward_name: str = "loss"
    backward_name: str = "gradient"
    takes_dout = False
    goes_forward_itself = True
    takes_data = True

    @classmethod
    def read(cls, reader: Reader) -> Sequence[Subject]:
        """Give an object with all three; of one whose loss gives both nobody asks for ``params``."""
        return super().read(reader) if cls.gives_both or hasattr(reader.thing, "params") else ()

    @classmethod
    def by_methods(cls, reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
        """Give the network: its parameters are in ``params``, or found where they lie."""
        thing = reader.thing
        slots, inputs = reader.slots(getattr(thing, ahead))
        subject = cls(thing, type(thing).__name__, slots, inputs)
        if (ahead, back) != (subject.forward_name, subject.backward_name):
            subject.losses, subject.derivatives = (
                attrgetter(ahead),
                attrgetter(back),
            )
            subject.forward_name, subject.backward_name = ahead, back
        if reader.asked.wrt is not None:
            raise ValueError("wrt= says by which arguments a gradient is; that of a network is by its parameters")
        params = getattr(thing, "params", None)
        subject.take_mapping(params)
        subject.expect_gradients(reader, params)
        if reader.asked.ignore or not holds_nothing_else(thing, subject.parameters):
            reader.hold(subject, [np.float64(1)])
        return [subject]

    def take_mapping(self, params: Any) -> None:
        """Take the parameters that stand in a mapping."""
        if isinstance(params, Mapping):
            if not params:
                raise self.no_parameters(params)
            for key, array in params.items():
                if not (callable(array) or isinstance(array, float | int)):
                    self.parameters[str(key)] = parameter(array, f"params[{key!r}]")
                    self.places[str(key)] = (Place(((self.thing, "params"), (params, key))),)

    def no_parameters(self, params: Any) -> TypeError:
        """Give the error about ``params`` that hold none."""
        return TypeError(f"{self.name}.params must be a dict of arrays with something in it, got {params!r:.60}")

    def expect_gradients(self, reader: Reader, params: Any) -> None:
        """Raise TypeError if nothing can be what the gradients are of."""
        if params is not None and not isinstance(params, Mapping | list | tuple):
            raise self.no_parameters(params)

    @classmethod
    def methods_in(cls, names: Iterable[str]) -> tuple[str, str] | None:
        """Give loss and gradient, of what does not go forwards and back."""
        there = list(names)
        layer = first_of(FORWARD, there) and first_of(BACKWARD, there)
        return None if layer else super().methods_in(there)

    @property
    def movable(self) -> dict[str, FloatArray]:
        """Give nothing: examples are not differentiated by."""
        return {}

    def engine(self) -> KnownNetwork | None:
        """Give what evaluates a network of this package's layers."""
        return known_network(self.thing, self.parameters, list(self.inputs.values()))

    def faulty_layer(self, alone: Alone, randomness: Randomness, first: State) -> Verdict:
        """Go back through its layers."""
        first.restore()  # the layers shall have seen nothing, as the network had not
        return first_faulty_layer(self.thing, list(self.inputs.values()), alone, randomness)

    def widths(self, others: list[int]) -> list[int]:
        """Give the number of classes, that of the last bias, in the place of the number of features."""
        vectors = [p for p in self.parameters.values() if p.ndim == 1]
        return [*others[:-1], len(vectors[-1])] if vectors else others[:-1]

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        return [one_number(self.losses(self.thing)(*self.handed()), self.full_name(self.forward_name))]

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number."""
        return [np.float64(1)]  # gradient(x, t) takes none

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        returned = self.derivatives(self.thing)(*self.handed())
        found = {name: self.as_gradient(g, name) for name, g in self._named(returned).items()}
        return Answer(found, dict(found))

    def returned_names(self) -> tuple[str, ...]:
        """Give the names of the variables that gradient returns, if they can be known."""
        return returned_names(self.derivatives(self.thing))

    def _named(self, returned: Any) -> dict[str, Any]:
        """Give what was returned, or left beside the parameters, by their names."""
        returned = without_flags(returned, self.parameters)
        if isinstance(returned, Mapping):
            keys = {str(key): key for key in returned}
            self.keyed = {key: returned[k] for key, k in keys.items()}
            names = {n: next((k for k in (n, *gradient_names(bare(n))) if k in keys), None) for n in self.parameters}
            return {n: None if k is None else returned[keys[k]] for n, k in names.items()}
        if returned is None:
            return {name: gradient_at(self.places.get(name, ())) for name in self.parameters}
        self.items = items = flattened(returned if isinstance(returned, tuple | list) else [returned])
        if self.returned and len(items) == len(self.returned):
            return {name: items[self.returned.index(name)] for name in self.parameters}
        if not self.parameters:  # not known yet
            self.left_over = items
            return {}
        if len(items) != len(self.parameters):
            raise TypeError(
                f"{self.name}.{self.backward_name} must give a dict of names to arrays, got {type(returned).__name__}"
            )
        return dict(zip(self.parameters, items, strict=True))


@dataclass
class LossSubject(NetworkSubject):
    """An object whose loss gives ``(loss, gradients)``."""

    losses: Callable[[Any], Any] = field(default=lambda thing: one_of(thing.loss, 0))
    derivatives: Callable[[Any], Any] = field(default=lambda thing: one_of(thing.loss, 1))
    backward_name: str = "loss"
    methods = (("loss",), ("loss",))
    takes_data = False
    gives_both = True

    def expect_gradients(self, reader: Reader, params: Any) -> None:
        """Raise TypeError if the loss comes alone."""
        raw = reader.quietly(lambda: self.thing.loss(*self.handed()), self.inputs)
        if not isinstance(raw, tuple) or len(raw) != 2:
            raise TypeError(f"{self.name} has loss but no gradient, and its loss gives {told(raw)}; {USAGE}")
