"""Pairs: a value and its derivative for the same arguments; two functions, two methods, or one that gives both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.results import bound, outcome_of
from chainrule.checking.subject import Answer, Subject, one_number


@dataclass
class PairSubject(Subject):
    """A function that gives one number, or one for each entry or example, and one that gives its gradient.

    Attributes
    ----------
    values, derivatives : callable
        Given the thing, give the two functions; they are the same for one that gives ``(value, gradient)``.
    both : bool
        Whether it is one that gives both.
    swapped : bool
        Whether it gives the gradient first.
    after : bool
        Whether the derivative is given nothing, and is that of the function's last call.
    through : bool
        Whether the derivative is given what the function gives, not its argument: ``y (1 - y)`` for a sigmoid.
    """

    values: Callable[[Any], Any] = field(default=lambda thing: thing[0])
    derivatives: Callable[[Any], Any] = field(default=lambda thing: thing[1])
    both: bool = False
    swapped: bool = False
    through: bool = False
    after: bool = False
    #: Each number that comes out is that of one entry, or one example: the derivative is one for each.
    apart: bool = False
    #: Loss and gradient are by the mean of what comes out.
    mean: bool = False
    kind: str = "pair"
    forward_name: str = "f"
    backward_name: str = "grad_f"
    goes_forward_itself = True

    @property
    def takes_dout(self) -> bool:  # type: ignore[override]
        """Whether numbers that come out are weighted one by one."""
        return self.apart and not self.mean

    def outputs(self) -> list[FloatArray]:
        """Give what comes out."""
        raw = self.values(self.thing)(*self.handed())
        if self.both:
            raw = raw[1 if self.swapped else 0]
        if not self.apart:
            return [one_number(raw, self.forward_name)]
        arrays = outcome_of(raw, self.thing, self.forward_name, cached=False).arrays
        return [np.asarray(arrays[0].mean())] if self.mean else arrays

    def derivative(self) -> Any:
        """Call the derivative, and give what it returns."""
        handed = self.handed()
        if self.through:
            handed = [self.values(self.thing)(*handed)]
        if self.after:
            self.values(self.thing)(*handed)
            handed = []
        return self.derivatives(self.thing)(*handed)

    def gradient_in(self, returned: Any) -> Any:
        """Give the gradient in what was returned."""
        return returned[0 if self.swapped else 1] if self.both else returned

    def cotangents(self, outputs: Sequence[FloatArray], rng: np.random.Generator) -> list[Any]:
        """Give 1, for the one number; random numbers for those that are apart."""
        return super().cotangents(outputs, rng) if self.takes_dout else [np.float64(1)]

    def gradients(self, douts: Sequence[Any], *, fresh: bool = True) -> Answer:
        """Give what comes back."""
        returned = self.gradient_in(self.derivative())
        if not self.takes_dout:
            return self.answer(returned)
        return self.answer(_weighted(returned, douts[0]))


def is_one(value: Any) -> bool:
    """Tell whether something is one real number."""
    if isinstance(value, tuple | list | Mapping):
        return False
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.size == 1 and array.dtype.kind in "fbiu"


def _weighted(returned: Any, dout: Any) -> Any:
    """Give derivatives of single entries, or of single examples, times the gradient of what came out."""
    if isinstance(returned, Mapping):
        return {key: _weighted(value, dout) for key, value in returned.items()}
    if isinstance(returned, tuple):
        return tuple(_weighted(value, dout) for value in returned)
    if returned is None:
        return None
    derivative = np.asarray(returned)
    if derivative.shape != dout.shape and derivative.ndim > np.ndim(dout) > 0:
        dout = dout.reshape(dout.shape + (1,) * (derivative.ndim - dout.ndim))
    return np.asarray(derivative * dout, np.result_type(derivative, np.float32 if derivative.dtype.kind != "f" else 0))


def is_apart(value: Any, returned: Any, inputs: Mapping[str, Any], wrt: Sequence[str] | None) -> bool:
    """Tell whether each number that came out can be that of one entry, or one example, of what the gradients are by."""
    shape = np.shape(value)
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or value.size == 0:
        return False
    gradients = bound(returned, inputs, wrt, []).gradients
    found = [g for g in gradients.values() if g is not None]
    return (
        bool(found)
        and all(
            type(g) in (int, float)  # one slope for all
            or np.shape(g) == shape
            or (len(shape) >= 1 and np.shape(g)[:1] == shape[:1] and value.size == shape[0])
            for g in found
        )
    )
