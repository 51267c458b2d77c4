"""One side of an adjoint check: an operator, or its adjoint, called and watched.

The argument is a copy. The result is copied, and checked again later: it must not have changed. Numbers are compared in
float64, whatever the operator's dtype.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.operator import Function, Space
from chainrule.checking.equality import same_bits
from chainrule.checking.report import Contract

#: Up to this many products are added up without rounding.
_MOST_EXACT = 1 << 16
#: A result that is off by more than this power of eps has lost digits; one off by more than this share is not linear.
_FEW_DIGITS, _NOT_LINEAR = 0.6, 1e-3


@dataclass
class Contracts:
    """The contracts that were tested; a broken contract stays broken, with its first finding."""

    tried: dict[str, Contract] = field(default_factory=dict)

    def holds(self, name: str) -> None:
        """Note that a contract was tested; if it has not been broken, it holds."""
        self.tried.setdefault(name, Contract(name, True))

    def breaks(self, name: str, detail: str, cause: str, *, hazard: bool = False) -> None:
        """Note that a contract is broken; a failure replaces a hazard."""
        known = self.tried.get(name)
        if known is None or known.held is not False or (known.hazard and not hazard):
            self.tried[name] = Contract(name, False, detail, cause, hazard)

    def skips(self, name: str, why: str) -> None:
        """Note that a contract could not be tested."""
        self.tried[name] = Contract(name, None, why)

    def is_broken(self, name: str) -> bool:
        """Tell whether a contract is broken."""
        return name in self.tried and self.tried[name].held is False

    def all(self) -> tuple[Contract, ...]:
        """Give all contracts, in the order in which they were first tested."""
        return tuple(self.tried.values())


class WrongShapeError(Exception):
    """A result does not have the required number of numbers; the report says so."""


@dataclass
class Side:
    """A or A*: the function to call, its argument, and the result it must give."""

    #: "A" or "A*".
    name: str
    #: Its name in the user's code.
    called: str
    function: Function
    takes: Space
    gives: Space
    contracts: Contracts
    #: The eps of the coarsest dtype among arguments and results.
    eps: float = 0.0
    #: The smallest number of that dtype: for numbers this small, eps says nothing.
    least: float = 0.0
    #: The measured noise, as a share of the result.
    share: float = 0.0
    calls: int = 0
    seconds: float = 0.0
    _last: tuple[Any, Any] | None = field(default=None, repr=False)

    def __call__(self, x: FloatArray) -> FloatArray:
        """Give the result, in float64 or complex128, in the form for comparison."""
        return self._ours(self.raw(x))

    def forget(self) -> None:
        """Start afresh: everything so far was seen with numbers of another kind."""
        self.eps = 0.0
        self.contracts.tried.clear()

    def raw(self, x: FloatArray) -> Any:
        """Give the result as an array, otherwise unchanged."""
        given = self._theirs(x)
        before, start = given.copy(), perf_counter()
        try:
            returned = self.function(given)
        except Exception as error:
            error.add_note(
                f"raised by {self.called} for an array of shape {given.shape}, {given.dtype}, during the check of an"
                " adjoint; give shape_in=, shape_out= or dtype= to call it with others"
            )
            raise
        finally:
            self.calls += 1
            self.seconds += perf_counter() - start
            self._see_argument(given, before)
        return self._see_result(returned, given)

    def _theirs(self, x: FloatArray) -> Any:
        """Give a copy of x in the form that the operator takes."""
        if self.takes.split:
            x = np.ascontiguousarray(x, np.float64).view(np.complex128)[..., 0]
        given = np.array(x, self.takes.dtype or np.float64, order="C")
        return given.reshape(-1) if self.takes.flat else given

    def _see_argument(self, given: Any, before: Any) -> None:
        name = f"{self.name} leaves its argument as it is"
        self.contracts.holds(name)
        if not same_bits(given, before):
            self.contracts.breaks(name, f"{self.called} writes into its argument", "writes into its argument")

    def _see_result(self, returned: Any, given: Any) -> Any:
        if returned is None:
            raise TypeError(f"{self.called} gives None: it must return its result")
        result = np.asarray(returned)
        if result.dtype.kind not in "fciub":
            raise TypeError(f"{self.called} must give numbers, got {type(returned).__name__} of {result.dtype}")
        name = f"what {self.name} gives is nobody else's memory"
        self.contracts.holds(name)
        if result.size and np.may_share_memory(result, given):
            text = f"the result of {self.called} shares memory with its argument; return a copy"
            self.contracts.breaks(name, text, "aliases its argument", hazard=True)
        self._see_last(result)
        self._see_dtype(result)
        copy = np.array(result)
        self._last = (result, copy) if not np.may_share_memory(result, given) else None
        return copy

    def _see_last(self, result: Any) -> None:
        """Check whether the result of the last call is still unchanged."""
        name = f"what {self.name} gave stays as it was"
        self.contracts.holds(name)
        if self._last is not None and not same_bits(*self._last):
            text = f"{self.called} fills the same array again: return a copy, or a new array each time"
            self.contracts.breaks(name, text, "overwrites its last result", hazard=True)

    def _see_dtype(self, result: Any) -> None:
        name = f"{self.name} loses no digits"
        self.contracts.holds(name)
        given = np.dtype(self.takes.dtype or np.float64)
        if result.dtype.kind in "iub":
            text = f"{self.called} gives {result.dtype} for {given}: the fractional part is lost"
            self.contracts.breaks(name, text, "wrong dtype", hazard=True)
            self.eps = max(self.eps, float(np.finfo(given).eps))
            return
        own = np.finfo(result.dtype)
        self.least = max(self.least, float(own.smallest_subnormal), float(np.finfo(given).smallest_subnormal))
        self.eps = max(self.eps, float(own.eps), float(np.finfo(given).eps), float(np.finfo(np.float64).eps))
        if float(own.eps) > float(np.finfo(given).eps):
            text = f"{self.called} gives {result.dtype} for {given}"
            self.contracts.breaks(name, text, "wrong dtype", hazard=True)

    def _ours(self, result: Any) -> FloatArray:
        """Give a result in the form for comparison: in its shape, in float64 or complex128, finite."""
        shape = self.gives.shape
        if shape is None:
            shape = self.gives.shape = result.shape
        right = math.prod(shape)
        if result.size != right:
            raise WrongShapeError(f"{self.called} gives shape {result.shape}, but {self.gives.told} is needed")
        expected = (right,) if self.gives.flat else shape
        name = f"{self.name} gives the shape it must"
        self.contracts.holds(name)
        if result.shape != expected and not (self.gives.flat and result.shape == shape):
            text = f"{self.called} gives shape {result.shape}, but {expected} is needed"
            self.contracts.breaks(name, text, "wrong shape", hazard=True)
        found = self._in_their_field(result.reshape(shape))
        if not np.isfinite(found).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
            raise ValueError(
                f"{self.called} gives {found[at]} at {list(at)} for a finite argument; an adjoint can be checked only"
                " where all numbers are finite"
            )
        return found

    def _in_their_field(self, result: Any) -> FloatArray:
        """Give complex numbers where these are compared, pairs where they are split, and otherwise real numbers."""
        if self.gives.split:
            whole = np.ascontiguousarray(result, np.complex128)
            return whole.reshape(-1).view(np.float64).reshape(*whole.shape, 2)
        if self.gives.is_complex:
            return np.asarray(result, np.complex128)
        if result.dtype.kind == "c":
            name = f"{self.name} gives real numbers, as it must"
            text = f"{self.called} gives {result.dtype}"
            self.contracts.breaks(name, text, "wrong dtype", hazard=not result.imag.any())
            result = result.real
        return np.asarray(result, np.float64)

    def noise(self, x: FloatArray, result: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Measure how far each number of the result is off: compare A of two halves, and A(π x) / π, with A x.

        x has few digits, but π x has all of them, so lower precision inside the operator shows.
        """
        half = rng.random(x.shape) < 0.5
        in_two = self(np.where(half, x, 0)) + self(np.where(half, 0, x)) - result
        found: FloatArray = np.maximum(np.abs(in_two), np.abs(self(np.pi * x) / np.pi - result))
        return found

    def see_noise(self, noise: FloatArray, result: FloatArray) -> None:
        """Report noise far above the dtype's rounding: the operator computes in lower precision, or solves roughly."""
        share = norm(noise) / (norm(result) or 1.0)
        self.share = max(self.share, share)
        if self.eps**_FEW_DIGITS < share < _NOT_LINEAR:
            text = (
                f"{self.called} is linear only to {share:.0e}: it computes in lower precision, or solves approximately"
            )
            self.contracts.breaks(f"{self.name} loses no digits", text, "loses digits", hazard=True)


def dot(u: FloatArray, y: FloatArray) -> complex:
    """Give the sum of u conj(y), added up without rounding unless there are very many terms."""
    if u.dtype.kind != "c" and y.dtype.kind != "c":
        return _sum(u * y)
    a, b, c, d = (part.reshape(-1) for part in (np.real(u), np.imag(u), np.real(y), np.imag(y)))
    return complex(_sum(np.concatenate([a * c, b * d])), _sum(np.concatenate([b * c, -(a * d)])))


def _sum(products: FloatArray) -> float:
    if not np.isfinite(products).all():
        raise ValueError("the numbers that come out are so large that sums of them are not finite; scale the operator")
    if products.size > _MOST_EXACT:  # in pairs: the error is below what the bar grants the operator's own numbers
        return float(products.sum())
    return math.fsum(products.reshape(-1).tolist())


def norm(*factors: FloatArray) -> float:
    """Give the root of the sum of squares of a product, entry by entry."""
    product = np.abs(factors[0]).reshape(-1)
    for factor in factors[1:]:
        product = product * np.abs(factor).reshape(-1)
    most = float(product.max(initial=0.0))
    return most * float(np.linalg.norm(product / most)) if most else 0.0  # scaled, so that no square underflows
