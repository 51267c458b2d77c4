"""Compare ⟨Ax, y⟩ with ⟨x, A*y⟩ for random x and y, with an error bar; and find an entry that differs, by halving.

The numbers of y have random signs, and Ax does not depend on them. So the rounding error of ⟨Ax, y⟩ is a sum of terms
y_i δ_i with random signs, which is larger than κ times the root of the sum of their squares with a probability of at
most 2 exp(-κ²/2), however the δ_i depend on each other (Hoeffding). With κ = 8 that is 3e-14. δ is measured:

    bar = κ ‖y (δ + 4 ε |Ax|)‖ + κ ‖x (δ* + 4 ε |A*y|)‖,    δ = max(|A(x′) + A(x″) - Ax|, |A(πx)/π - Ax|), x = x′ + x″

and δ* likewise. The numbers of the operator itself may be off by 4 ε, because they are computed in two ways. A number
that comes from coordinates (a weight of an interpolation) may be off by ε times the longest axis. This is granted to a
single entry, to see whether a difference of the sums is more than that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.side import Side, dot, norm
from chainrule.checking.finite_differences import largest

#: κ: sums of terms with random signs stay below κ times the root of the sum of squares.
KAPPA = 8.0
#: How far the operator's own numbers may be off, in eps.
OWN = 4.0
#: A number counts as seen if it is this many times its noise.
_ABOVE = 100
#: The number of parts that x and y are split into, to see whether the sides differ for most of them. A part without the
#: mistake differs only by rounding, which is a smaller share of the difference than this.
_PARTS, _SOME = 8, 300
#: A bar wider than this share of the sides' size proves nothing.
WIDEST = 1 / 20


@dataclass(frozen=True)
class Answer:
    """The result of a side, and how far each number may be off."""

    given: FloatArray
    noise: FloatArray


@dataclass(frozen=True)
class Probe:
    """One x and one y, with the results of both sides."""

    x: FloatArray
    y: FloatArray
    #: A x and A* y.
    ahead: FloatArray
    back: FloatArray
    #: ⟨Ax, y⟩ and ⟨x, A*y⟩, and how far apart they may be.
    left: complex
    right: complex
    bar: float
    #: The typical size of ⟨Ax, y⟩ and ⟨x, A*y⟩ for random signs: the larger of both.
    size: float
    #: The caller's tolerance in addition, and the allowance for the operator's own numbers.
    tolerated: float
    granted: float

    @property
    def difference(self) -> float:
        """How far the sides are apart."""
        return abs(self.left - self.right)

    @property
    def suspect(self) -> bool:
        """Whether they are further apart than the error bar."""
        return self.difference > self.bar + self.tolerated

    @property
    def differs(self) -> bool:
        """Whether they are further apart than all allowances."""
        return self.difference > self.bar + KAPPA * self.tolerated + self.granted

    @property
    def resolved(self) -> bool:
        """Whether the allowances are small enough to prove anything."""
        bar = self.bar + (self.granted if self.suspect else 0)
        return self.size > 0 and bar <= WIDEST * self.size


@dataclass(frozen=True)
class Place:
    """One entry, from A and from A*: row i is a number of y, column j a number of x."""

    i: int
    j: int
    ahead: complex
    back: complex
    bar: float
    #: The caller's tolerance in addition, and the largest entry beside it.
    tolerated: float
    beside: float

    @property
    def relative(self) -> float:
        """How far they are apart, relative to the largest entry beside them."""
        return abs(self.ahead - self.back) / self.beside if self.beside else 0.0

    @property
    def differs(self) -> bool:
        """Whether the two are further apart than rounding."""
        return abs(self.ahead - self.back) > self.bar + self.tolerated


@dataclass
class Pair:
    """Both sides, and the random numbers to try on them."""

    forward: Side
    adjoint: Side
    rng: np.random.Generator
    tolerance: float = 0.0
    #: For each side, the scales that make the results of the other about equally large.
    _even: dict[str, FloatArray] = field(default_factory=dict, repr=False)

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both."""
        return self.forward, self.adjoint

    @property
    def eps(self) -> float:
        """The coarser eps of both sides."""
        return max(self.forward.eps, self.adjoint.eps)

    @property
    def least(self) -> float:
        """The smallest number of the coarser dtype."""
        return max(side.least for side in self.sides)

    @property
    def small(self) -> float:
        """The difference that may come from solving equations in two ways: the root of eps, or of the noise."""
        return float(max(self.eps, *(side.share for side in self.sides)) ** 0.5)

    @property
    def own(self) -> float:
        """How far an entry may be off besides the noise, relative to the entries around it."""
        longest = max((*self.forward.takes.seen, *self.adjoint.takes.seen, 1))
        return self.eps * (OWN + longest)

    def random(self, side: Side) -> FloatArray:
        """Give numbers for a side to take, of random sign and size and few digits, so that sums of them are exact."""
        numbers = self._few_digits(side.takes.seen)
        return numbers + 1j * self._few_digits(side.takes.seen) if side.takes.is_complex else numbers

    def _few_digits(self, shape: tuple[int, ...]) -> FloatArray:
        whole = self.rng.integers(128, 256, shape) * self.rng.choice([-1.0, 1.0], shape)
        found: FloatArray = np.ldexp(whole, self.rng.integers(-9, -5, shape))
        return found

    def _asked(self, side: Side, x: FloatArray) -> Answer:
        """Give the result of a side for x, and how far it may be off."""
        given = side(x)
        noise = side.noise(x, given, self.rng)
        side.see_noise(noise, given)
        return Answer(given, noise)

    def _held(self, x: FloatArray, y: FloatArray, of_x: Answer, of_y: Answer) -> Probe:
        """Compare the results of both sides for x and y."""
        ahead, back = of_x.given, of_y.given
        size = max(norm(ahead, y), norm(x, back))
        bar = norm(of_x.noise + OWN * self.forward.eps * np.abs(ahead) + OWN * self.least, y)
        bar += norm(of_y.noise + OWN * self.adjoint.eps * np.abs(back) + OWN * self.least, x)
        shared = self.tolerance * size, KAPPA * self.own * size
        return Probe(x, y, ahead, back, dot(ahead, y), dot(x, back), KAPPA * bar, size, *shared)

    def probes(self, count: int) -> list[Probe]:
        """Give `count` probes; from the second on, each number of Ax, or A*y in turn, adds about as much to the sum."""
        forward, adjoint = self.sides
        x, y = self.random(forward), self.random(adjoint)
        of_x, of_y = self._asked(forward, x), self._asked(adjoint, y)
        self._even = {"A": _evened(of_y, self.eps), "A*": _evened(of_x, self.eps)}
        found = [self._held(x, y, of_x, of_y)]
        while len(found) < count:
            if len(found) % 2:
                x = self.random(forward) * self._even["A"]
                of_x = self._asked(forward, x)
                y = self.random(adjoint) * _evened(of_x, self.eps)
                of_y = self._asked(adjoint, y)
            else:
                y = self.random(adjoint) * self._even["A*"]
                of_y = self._asked(adjoint, y)
                x = self.random(forward) * _evened(of_y, self.eps)
                of_x = self._asked(forward, x)
            found.append(self._held(x, y, of_x, of_y))
        return found

    def locate(self, probe: Probe) -> Place:
        """Find the entry where the sides differ: y is halved, keeping the half that differs more, then x is."""
        whole = probe.left - probe.right
        y_at = self._halved(probe.y, whole, lambda y: dot(probe.ahead, y) - dot(probe.x, self.adjoint(y)))
        y = _only(probe.y, y_at)
        back = self.adjoint(y)
        whole = dot(probe.ahead, y) - dot(probe.x, back)
        x_at = self._halved(probe.x, whole, lambda x: dot(self.forward(x), y) - dot(x, back))
        return self.place(y_at, x_at)

    @staticmethod
    def _halved(values: FloatArray, whole: complex, off: Callable[[FloatArray], complex]) -> int:
        """Give the index that remains; `off` gives the difference of a part of the values, `whole` that of all."""
        here = np.flatnonzero(values)
        while len(here) > 1:
            first, second = here[: len(here) // 2], here[len(here) // 2 :]
            of_first = off(_only(values, first))
            of_second = whole - of_first
            here, whole = (first, of_first) if abs(of_first) >= abs(of_second) else (second, of_second)
        return int(here[0]) if len(here) else 0

    def is_spread(self, probe: Probe) -> bool:
        """Tell whether the sides differ everywhere: for most parts of y, and of x, by a share of the largest."""
        of_y = [dot(probe.ahead, y) - dot(probe.x, self.adjoint(y)) for y in self._parts(probe.y)]
        of_x = [dot(self.forward(x), probe.y) - dot(x, probe.back) for x in self._parts(probe.x)]
        return all(np.median(np.abs(off)) > np.max(np.abs(off)) / _SOME for off in (of_y, of_x))

    def _parts(self, values: FloatArray) -> Iterator[FloatArray]:
        part = self.rng.integers(0, _PARTS, values.shape)
        yield from (np.where(part == k, values, 0) for k in range(_PARTS))

    def place(self, i: int, j: int) -> Place:
        """Compare one entry, within its rounding: measured, plus an allowance relative to its row and column."""
        e_j, e_i = unit(self.forward, j), unit(self.adjoint, i)
        column, row = self.forward(e_j), self.adjoint(e_i)
        ahead, back = _number(column, i), np.conj(_number(row, j))
        beside = min(max(largest(column), abs(back)), max(largest(row), abs(ahead)))
        noise = self._noise_of_one(self.forward, e_j, column, i) + self._noise_of_one(self.adjoint, e_i, row, j)
        bar = KAPPA * noise + self.own * beside + OWN * self.least
        return Place(i, j, complex(ahead), complex(back), bar, self.tolerance * beside, beside)

    def _noise_of_one(self, side: Side, unit: FloatArray, result: FloatArray, at: int) -> float:
        """Measure how far one number is off, at other scales and beside other numbers."""
        should = _number(result, at)
        found = [abs(_number(side(k * unit), at) / k - should) for k in (3.0, 5.0, 7.0)]
        even = self._even[side.name]
        scale = 16 * float(even.reshape(-1)[np.flatnonzero(unit)[0]])
        for _ in range(2):
            others = np.where(unit != 0, 0, self.random(side) * even) / scale
            found.append(abs(_number(side(unit + others), at) - _number(side(others), at) - should))
        return float(max(found))


def unit(side: Side, at: int) -> FloatArray:
    """Give the argument for a side that is 1 at a flat index and 0 elsewhere."""
    e = np.zeros(side.takes.size, np.complex128 if side.takes.is_complex else np.float64)
    e[at] = 1
    return e.reshape(side.takes.seen)


def _number(values: FloatArray, at: int) -> complex:
    return complex(values.reshape(-1)[at])


def _only(values: FloatArray, at: int | FloatArray) -> FloatArray:
    """Give the values at these flat indices, zeros elsewhere."""
    found = np.zeros_like(values)
    found.reshape(-1)[at] = values.reshape(-1)[at]
    return found


def _evened(answer: Answer, eps: float) -> FloatArray:
    """Give powers of 2 that make all numbers of the result about equally large, so a row of small numbers gets more.

    A number that is hardly larger than its noise, such as a Fourier transform's result for a zero, stays small.
    """
    sizes = np.abs(answer.given)
    counts = sizes > _ABOVE * answer.noise
    if not counts.any():
        return np.ones(sizes.shape)
    middle = np.log2(np.median(sizes[counts]))
    most = 30 if eps > 1e-10 else 400  # float32 does not reach as far
    steps = np.log2(np.where(counts, sizes, 1.0)) - middle
    steps = np.where(counts, np.clip(np.round(steps), -most, most), 0)
    found: FloatArray = np.asarray(np.ldexp(1.0, -steps.astype(int)))
    return found
