"""Networks: a loss and the gradient of every parameter of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.subject import Answer, Subject, one_number
from chainrule.nn.parameters.places import gradient_at, gradient_names


@dataclass
class NetworkSubject(Subject):
    """An object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``; or whose loss gives ``(loss, gradients)``.

    Attributes
    ----------
    losses, derivatives : callable
        Given the thing, give the two methods; they are the same if the loss gives both.
    both : bool
        Whether it does.
    """

    losses: Callable[[Any], Any] = field(default=lambda thing: thing.loss)
    derivatives: Callable[[Any], Any] = field(default=lambda thing: thing.gradient)
    both: bool = False
    kind: str = "network"
    forward_name: str = "loss"
    backward_name: str = "gradient"
    takes_dout = False
    goes_forward_itself = True

    @property
    def movable(self) -> dict[str, FloatArray]:
        """Give nothing: examples are not differentiated by."""
        return {}

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        value = self.losses(self.thing)(*self.handed())
        return [one_number(value[0] if self.both else value, f"{self.name}.{self.forward_name}")]

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number."""
        return [np.float64(1)]  # gradient(x, t) takes none

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        returned = self.derivatives(self.thing)(*self.handed())
        if self.both:
            returned = returned[1]
        found = {name: self.as_gradient(g, name) for name, g in self._named(returned).items()}
        return Answer(found, dict(found))

    def _named(self, returned: Any) -> dict[str, Any]:
        """Give what was returned, or left beside the parameters, by their names."""
        if isinstance(returned, Mapping):
            keys = {str(key): key for key in returned}
            names = {n: next((k for k in (n, *gradient_names(n)) if k in keys), None) for n in self.parameters}
            return {n: None if k is None else returned[keys[k]] for n, k in names.items()}
        if returned is None:
            return {name: gradient_at(self.places.get(name, ())) for name in self.parameters}
        items = list(returned) if isinstance(returned, tuple | list) else [returned]
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
