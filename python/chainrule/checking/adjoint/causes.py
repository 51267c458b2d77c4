"""Why an adjoint is wrong: a short list of mistakes, each undone on the random directions that show the difference.

A cause is named only if the sides agree along all directions once it is undone, within the error bar. There may be more
than one: the inverse of a discrete Fourier transform is 1/N times its adjoint, and the report says both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.probes import Pair, Probe
from chainrule.checking.adjoint.rearranged import Mask, at_the_boundary, rearranged, shifted
from chainrule.checking.adjoint.side import Side, dot
from chainrule.checking.finite_differences import largest

#: The number of directions along which a cause must hold.
_DIRECTIONS = 3
#: The longest search for a cause, unless all calls before it took longer.
_SECONDS = 5.0
#: How close two arrays must be to count as the same, in float32 and in float64.
_SAME_IN_SINGLE, _SAME = 1e-3, 1e-7
#: The share of a boundary that must be wrong, if it is known, to call it a mistake of the boundary.
_OF_ALL = 0.5

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Case:
    """A pair that is wrong, the directions that show it, and the time to stop the search."""

    pair: Pair
    probes: list[Probe]
    until: float

    def expect_time(self) -> None:
        """Raise TimeoutError if the search has taken long enough."""
        if perf_counter() > self.until:
            raise TimeoutError

    def may_be_off(self, p: Probe) -> float:
        """Give the distance allowed between the sides of a direction, once the mistake is undone."""
        return 2 * (p.bar + p.tolerated + p.granted)

    def agree(self, sides: Iterable[tuple[complex, complex]]) -> bool:
        """Tell whether the left and right sides are equal along all directions; each direction costs a call."""
        self.expect_time()
        return all(abs(a - b) <= self.may_be_off(p) for p, (a, b) in zip(self.probes, sides, strict=True))

    def factor(self, rights: Iterable[complex]) -> complex | None:
        """Give the factor by which A* is too large, given the right sides; None if it is not the same for all."""
        self.expect_time()
        known: list[tuple[Probe, complex]] = []
        for p, right in zip(self.probes, rights, strict=False):
            known.append((p, right))
            q, most = max(known, key=lambda pair: abs(pair[1]) / self.may_be_off(pair[0]))
            if abs(most) <= 100 * self.may_be_off(q):
                return None
            c = q.left / most
            for one, r in known:
                allowed = (1 + abs(c)) * self.may_be_off(one) + (1 + abs(c)) * abs(r / most) * self.may_be_off(q)
                if abs(one.left - c * r) > allowed:
                    return None
        return complex(np.conj(1 / c)) if len(known) == len(self.probes) and c else None

    def same(self, a: FloatArray, b: FloatArray) -> bool:
        """Tell whether two arrays are equal up to rounding and differ by much less than the difference to explain."""
        close = _SAME if self.pair.eps < 1e-10 else _SAME_IN_SINGLE
        close = min(close, max(p.difference / p.size for p in self.probes if p.size) / 100)
        return a.shape == b.shape and largest(a - b) <= close * max(largest(a), largest(b))


@dataclass(frozen=True)
class Matrices:
    """All entries from A and from A*, and the allowed distance between them."""

    ahead: FloatArray
    back: FloatArray
    bar: FloatArray

    @property
    def wrong(self) -> Mask:
        """The entries that differ, as a mask."""
        return np.asarray(np.abs(self.ahead - self.back) > self.bar)


def explain(pair: Pair, probes: list[Probe], entries: Matrices | None) -> tuple[str | None, str]:
    """Give the causes that explain the difference, or None; and a further note."""
    note = _where(pair, entries) if entries is not None else ""
    enough = probes if len(probes) >= _DIRECTIONS else pair.probes(_DIRECTIONS)
    case = Case(pair, enough, perf_counter() + max(_SECONDS, sum(side.seconds for side in pair.sides)))
    if all(p.difference <= 10 * case.may_be_off(p) for p in enough):
        return None, note  # so small that any cause would explain it
    found: list[str] = []
    for group in (
        _zero,
        _plain,
        _rearranged,
        lambda c: _one_entry(c, entries),
        lambda c: _boundary(c, entries),
        lambda c: _weighted(c, entries),
        _shifted,
    ):
        # An operator that does not take what is tried, or takes long: the verdict stands without a cause.
        with suppress(Exception):
            found = list(group(case))
        if found:
            break
    with suppress(Exception):  # the same
        found += _inverse(case)
    return " or ".join(dict.fromkeys(found)) or None, note


def _zero(case: Case) -> Iterator[str]:
    if not any(p.back.any() for p in case.probes):
        yield "zero: A* gives nothing"
    elif not any(p.ahead.any() for p in case.probes):
        yield "zero: A gives nothing"


# --- factors, conjugates, the operator itself ---


def _plain(case: Case) -> Iterator[str]:
    c = case.factor(p.right for p in case.probes)
    if c is not None:
        yield f"factor {_named(case.pair, c)}"
    else:
        yield from _conjugates(case)
    yield from _itself(case)


def _conjugates(case: Case) -> Iterator[str]:
    if not case.pair.forward.takes.is_complex:
        return
    adjoint = case.pair.adjoint
    ways: dict[str, Callable[[FloatArray], FloatArray]] = {
        "no conjugate: Aᵀ for the adjoint": lambda y: np.conj(adjoint(np.conj(y))),
        "what A* gives is conjugated": lambda y: np.conj(adjoint(y)),
    }
    for name, undone in ways.items():
        c = case.factor(dot(p.x, undone(p.y)) for p in case.probes)
        if c is not None:
            yield name + _times(case.pair, c)
            return


def _itself(case: Case) -> Iterator[str]:
    forward, adjoint = case.pair.forward, case.pair.adjoint
    if forward.takes.seen == adjoint.takes.seen and all(case.same(forward(p.y), p.back) for p in case.probes):
        yield "A* is A itself: not transposed, a convolution not turned round"


def _inverse(case: Case) -> Iterator[str]:
    if all(_is_left_inverse(case, case.pair.adjoint, p.ahead, p.x) for p in case.probes) or all(
        _is_left_inverse(case, case.pair.forward, p.back, p.y) for p in case.probes
    ):
        yield "A* is the inverse of A, not its adjoint"


def _is_left_inverse(case: Case, side: Side, given: FloatArray, wanted: FloatArray) -> bool:
    size = largest(given)  # numbers of about 1 go in, however large the operator is
    return size > 0 and case.same(size * side(given / size), wanted)


def _named(pair: Pair, factor: complex) -> str:
    """Give a factor with its possible origin: a number of entries, or the length of an axis."""
    if abs(factor.imag) <= 1e-6 * abs(factor):
        factor = complex(factor.real)
    close = 1e-9 if pair.eps < 1e-10 else 1e-4
    for sign, turned in (("", factor), ("-", -factor), ("i", factor / 1j), ("-i", factor / -1j)):
        for name, value in (("1", 1.0), ("2", 2.0), ("1/2", 0.5), ("4", 4.0), ("1/4", 0.25)):
            if abs(turned - value) <= close * value and (name, sign) != ("1", ""):
                return sign + (name if not sign.endswith("i") else "" if name == "1" else f" {name}")
    found = [name for name, value in _counts(pair) if abs(factor - value) <= close * abs(value)]
    found += [f"-{name}" for name, value in _counts(pair) if abs(factor + value) <= close * abs(value)]
    number = f"{factor:.6g}" if factor.imag else f"{factor.real:.6g}"
    if factor.imag and abs(abs(factor) - 1) <= close:
        return f"{number}, of modulus 1: of a number that is not conjugated"
    if abs(factor - 1) < 1e-4 and not factor.imag:
        return f"1 {'-' if factor.real < 1 else '+'} {abs(factor.real - 1):.1e}"
    return f"{number} ({found[0]})" if found else number


def _counts(pair: Pair) -> Iterator[tuple[str, float]]:
    """Give the counts that sums and means may have been taken over, with their roots and inverses."""
    for letter, shape in (("x", pair.forward.takes.seen), ("y", pair.adjoint.takes.seen)):
        lengths = {f"the numbers of {letter}": math.prod(shape)}
        if len(shape) > 1:
            lengths |= {f"axis {axis} of {letter}": length for axis, length in enumerate(shape)}
        for what, n in lengths.items():
            if n < 2:
                continue
            told = f"N = {n}, {what}"
            for name, value in (("N", n), ("1/N", 1 / n), ("√N", n**0.5), ("1/√N", n**-0.5), ("N²", n * n)):
                yield f"{name}; {told}", float(value)


def _times(pair: Pair, factor: complex) -> str:
    name = _named(pair, factor)
    return "" if abs(factor - 1) < 1e-3 else f", and a factor of {name}"


# --- numbers in the wrong places ---


def _rearranged(case: Case) -> Iterator[str]:
    pair = case.pair
    for name, undone in rearranged(pair.forward.takes, "x"):
        c = case.factor(dot(p.x, undone(p.back)) for p in case.probes)
        if c is not None:
            yield name + _times(pair, c)
    for name, undone in rearranged(pair.adjoint.takes, "y"):
        c = case.factor(dot(p.x, pair.adjoint(undone(p.y))) for p in case.probes)
        if c is not None:
            yield name + _times(pair, c)


def _boundary(case: Case, e: Matrices | None) -> Iterator[str]:
    """Find the smallest part of the boundary, of y or of x, without which the sides agree; both if equally small."""
    pair, found = case.pair, dict[str, float]()
    for name, inner in at_the_boundary(pair.adjoint.takes, "y"):
        ys = (np.where(inner, p.y, 0) for p in case.probes)
        if case.agree((dot(p.ahead, y), dot(p.x, pair.adjoint(y))) for p, y in zip(case.probes, ys, strict=True)):
            if e is None or _is_of_all(e, "y", inner):
                found[name] = 1 - float(inner.mean())
            break
    for name, inner in at_the_boundary(pair.forward.takes, "x"):
        xs = (np.where(inner, p.x, 0) for p in case.probes)
        if case.agree((dot(pair.forward(x), p.y), dot(x, p.back)) for p, x in zip(case.probes, xs, strict=True)):
            if e is None or _is_of_all(e, "x", inner):
                found[name] = 1 - float(inner.mean())
            break
    smallest = min(found.values(), default=0.0)
    yield from (name for name, share in found.items() if share <= 1.5 * smallest)


def _is_of_all(e: Matrices, letter: str, inner: Mask) -> bool:
    """Tell whether a mistake affects the boundary as a whole, not just a few numbers that happen to be there."""
    outer = ~inner.reshape(-1)
    wrong = np.asarray(e.wrong.any(axis=1 if letter == "y" else 0))
    fewest = min((len(odd) for other, _, odd in _weights(e) if other == letter), default=len(outer))
    return float(wrong[outer].mean()) >= _OF_ALL and fewest >= outer.sum()


def _shifted(case: Case) -> Iterator[str]:
    """Find a shift by one, away from the boundary, because shifts differ there."""
    pair = case.pair
    for name, inner_x, inner_y, undone in shifted(pair.forward.takes, pair.adjoint.takes):
        pairs = ((np.where(inner_x, p.x, 0), np.where(inner_y, p.y, 0)) for p in case.probes)
        if case.agree((dot(pair.forward(x), y), dot(x, undone(pair.adjoint(y)))) for x, y in pairs):
            yield name
            return


# --- causes found from single entries ---


def _one_entry(case: Case, e: Matrices | None) -> Iterator[str]:
    """Name the one entry that differs, if the others beside it do not."""
    if e is None or e.wrong.sum() != 1:
        return
    ((i, j),) = np.argwhere(e.wrong)
    if np.count_nonzero(e.ahead[i]) > 1 and np.count_nonzero(e.ahead[:, j]) > 1:
        rows, columns = case.pair.adjoint.takes.seen, case.pair.forward.takes.seen
        place = [int(k) for k in (*np.unravel_index(i, rows), *np.unravel_index(j, columns))]
        factor = f", factor {_short(np.conj(e.back[i, j] / e.ahead[i, j]))}" if e.ahead[i, j] else ""
        yield f"one entry: A{place}{factor}"


def _weights(e: Matrices) -> Iterator[tuple[str, FloatArray, IntArray]]:
    """Give factors for each number of y, or of x, that explain the whole difference; and those that are not 1."""
    for letter, ahead, back, bar in (("y", e.ahead, e.back, e.bar), ("x", e.ahead.T, e.back.T, e.bar.T)):
        squares = (np.abs(ahead) ** 2).sum(axis=1)
        weights = np.where(squares > 0, (np.conj(ahead) * back).sum(axis=1) / np.where(squares > 0, squares, 1), 1)
        if len(weights) < 3 or ahead.shape[1] < 2 or not weights.any():
            continue
        off = np.abs(back - weights[:, None] * ahead)
        odd = np.flatnonzero(np.abs(weights - 1) > 1e-6)
        if len(odd) and (off <= 4 * (1 + np.abs(weights))[:, None] * bar).all():
            yield letter, weights, odd


def _weighted(case: Case, e: Matrices | None) -> Iterator[str]:
    """Find a factor that differs for each number of y, or of x."""
    for letter, weights, odd in _weights(e) if e is not None else ():
        shape = (case.pair.adjoint if letter == "y" else case.pair.forward).takes.seen
        told = ", ".join(f"{letter}{_at(i, shape)}: {_short(weights[i])}" for i in odd[:3])
        more = " …" if len(odd) > 3 else ""
        yield f"A* has a factor of its own for {len(odd)} of {len(weights)} numbers of {letter} ({told}{more})"


def _short(weight: complex) -> str:
    return f"{weight:.4g}" if weight.imag else f"{weight.real + 0.0:.4g}"  # not -0


def _at(flat: int | np.integer[Any], shape: tuple[int, ...]) -> str:
    return str([int(k) for k in np.unravel_index(int(flat), shape)])


def _where(pair: Pair, e: Matrices) -> str:
    """Say how many entries differ, and name the row or column if all are in one."""
    wrong = e.wrong
    told = f"{int(wrong.sum())} of {wrong.size} entries differ"
    rows, columns = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    if len(rows) == 1 < wrong.shape[0]:
        told += f", all for y{_at(rows[0], pair.adjoint.takes.seen)}"
    if len(columns) == 1 < wrong.shape[1]:
        told += f", all for x{_at(columns[0], pair.forward.takes.seen)}"
    if wrong.any() and not e.back[wrong].any():
        told += ", where A* gives 0"
    if wrong.any() and not e.ahead[wrong].any():
        told += ", where A gives 0"
    return told
