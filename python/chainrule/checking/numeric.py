"""The numeric side: derivatives by differences, each with an estimate of its own error.

For one entry x and a step h, f is evaluated at x ± h and x ± h/2:

    D(h) = (f(x + h) - f(x - h)) / 2h            central: off by h² f‴/6
    D    = D(h/2) + (D(h/2) - D(h)) / 3          extrapolated (Richardson): off by O(h⁴)
    J    = 2 G(h/2) - G(h),  G(h) = (f(x + h) - 2 f(x) + f(x - h)) / h
    bar  = |D(h/2) - D(h)| + |J| + 4 η / h

G is the slope to the right less the slope to the left. Where f is smooth it shrinks with h, and J vanishes; at a corner
(a ReLU at 0, a tie) J is the jump of the slope, and next to one it says that the corner lies within the step. η is the
noise of f, measured: third differences of f over steps so small that nothing else is left (Moré and Wild, "Estimating
computational noise", 2011). The first two terms bound the error of D where f is smooth or has one corner within h.

No step is good for all functions, so steps are tried by sixteenths or sixteenfolds, towards the larger part of the bar,
until the bar is below the tolerance or grows, and the estimate with the smallest bar is kept. If the jump alone is left
at steps that have been made much smaller, the entry lies at a corner and has no derivative.

Outputs that are arrays are differenced number by number and then weighted with the cotangent, so that what an entry
does not reach cancels exactly.

Source: Press et al., "Numerical Recipes", §5.7; the tutorial's "数值微分".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray

Floats = NDArray[np.float64]

#: The first step, by the size of the entry; what a step is multiplied or divided by; how often.
_FIRST = 2.0**-12
_RATIO = 16.0
_MOST_MOVES = 8
#: A kink is what is left of the jump when the step has been made smaller so often.
_MOVES_TO_A_KINK = 3


@dataclass(frozen=True)
class Slopes:
    """Derivatives by differences, one for each entry (or direction) asked for.

    Attributes
    ----------
    value : ndarray of float64
        The extrapolated difference quotients, D.
    truncation, jump, rounding : ndarray of float64
        The three parts of the error bar.
    """

    value: Floats
    truncation: Floats
    jump: Floats
    rounding: Floats

    @property
    def bar(self) -> Floats:
        """How far D may be from the derivative."""
        return self.truncation + self.jump + self.rounding

    def where(self, these: NDArray[np.bool_], other: Slopes) -> Slopes:
        """Give `other` at `these`, in their order, and this elsewhere."""
        columns = {}
        for name in ("value", "truncation", "jump", "rounding"):
            columns[name] = getattr(self, name).copy()
            columns[name][these] = getattr(other, name)
        return Slopes(**columns)

    def at(self, these: Any) -> Slopes:
        """Give some of them."""
        return Slopes(self.value[these], self.truncation[these], self.jump[these], self.rounding[these])


@dataclass(frozen=True)
class Found:
    """What was found about each entry: its slope, whether it lies at a kink, and the step it was found with."""

    slopes: Slopes
    kinks: NDArray[np.bool_]
    steps: Floats


class Mover(Protocol):
    """Something that can difference f along entries of one array."""

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes for flat indices of the array, each with its own step."""


def quotients(values: Sequence[Any], points: Sequence[Any], noise: Any) -> tuple[Any, Any, Any, Any]:
    """Give D, and the three parts of its bar, from f at x - h, x - h/2, x, x + h/2, x + h.

    Parameters
    ----------
    values : five of float or ndarray
        f at the five points.
    points : five of float or ndarray
        Where they are: what was stored, after rounding.
    noise : float or ndarray
        η, for each number of f.
    """
    far_down, down, here, up, far_up = values
    a, b, x, c, d = points
    with np.errstate(all="ignore"):  # what is not finite gets an infinite bar
        wide, narrow = (far_up - far_down) / (d - a), (up - down) / (c - b)
        bend = (far_up - here) / (d - x) - (here - far_down) / (x - a)
        half_bend = (up - here) / (c - x) - (here - down) / (x - b)
        truncation, jump = np.abs(narrow - wide), np.abs(2 * half_bend - bend)
        rounding = 4 * noise / (c - b)
        return narrow + (narrow - wide) / 3, truncation, jump, rounding


class PythonMover:
    """Differences of a subject's outputs, evaluated in Python with one entry moved in place.

    Parameters
    ----------
    evaluate : callable
        Gives all outputs, as one vector, for the arrays as they are.
    array : ndarray
        The array to move; put back whatever happens.
    weights : ndarray
        The cotangent, one number for each number of the outputs.
    noise : ndarray
        η for each of them.
    """

    def __init__(self, evaluate: Callable[[], Floats], array: FloatArray, weights: Floats, noise: Floats) -> None:
        self._evaluate, self._array, self._weights, self._noise = evaluate, array, weights, noise
        self._here = evaluate()
        self._scales = scales_of(array)
        self._reached: dict[int, NDArray[np.bool_]] = {}

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes for flat indices of the array."""
        found = [self._entry(int(i), h) for i, h in zip(entries, steps, strict=True)]
        return Slopes(*np.array(found, np.float64).reshape(-1, 4).T)

    def _entry(self, i: int, h: float) -> tuple[float, float, float, float]:
        flat = self._array.flat
        before = flat[i]
        x = float(before)
        values, points = [], []
        try:
            for offset in (-h, -h / 2, 0.0, h / 2, h):
                flat[i] = x + offset
                points.append(float(flat[i]))
                values.append(self._evaluate() if offset else self._here)
        finally:
            flat[i] = before
        return self._weighted(values, points, abs(x), self._reach(i, x))

    def _reach(self, i: int, x: float) -> NDArray[np.bool_]:
        """Tell which numbers of the outputs change when entry `i` is moved far: the others have no noise from it."""
        if i not in self._reached:
            flat = self._array.flat
            before = flat[i]
            try:
                flat[i] = x + max(self._scales.flat[i], 1.0) / 4
                self._reached[i] = self._evaluate() != self._here
            finally:
                flat[i] = before
        return self._reached[i]

    def resolution(self, scales: Floats) -> float:
        """Give the slope that noise may feign when an entry is moved by its own size, or by 1 if that is more."""
        typical = float(np.exp(np.log(scales).mean())) if scales.size else 1.0
        noise = self._noise + np.finfo(np.float64).eps * typical
        return float(4 * np.abs(self._weights) @ noise / max(1.0, typical))

    def along(self, v: Floats, steps: Floats) -> Slopes:
        """Give the slope along the direction `v`, in the shape of the array, for each of the steps."""
        before = self._array.copy()
        largest = float(np.abs(before).max(initial=0))
        found = []
        try:
            for h in steps:
                values = []
                for offset in (-h, -h / 2, 0.0, h / 2, h):
                    if offset:
                        np.copyto(self._array, before + offset * v, casting="same_kind")
                    values.append(self._evaluate() if offset else self._here)
                found.append(self._weighted(values, [-h, -h / 2, 0.0, h / 2, h], largest, True))
        finally:
            np.copyto(self._array, before)
        return Slopes(*np.array(found, np.float64).reshape(-1, 4).T)

    def _weighted(
        self, values: list[Floats], points: list[float], size: float, reached: Any
    ) -> tuple[float, float, float, float]:
        if points[0] == points[1] or points[3] == points[4] or points[1] == points[2]:  # the step was rounded away
            return np.nan, np.inf, np.inf, np.inf
        d, truncation, jump, rounding = quotients(values, points, self._noise_of(np.array(values), size, reached))
        sizes = np.abs(self._weights)
        with np.errstate(all="ignore"):
            return (
                float(self._weights @ d), float(sizes @ truncation), float(sizes @ jump), float(sizes @ rounding)
            )  # fmt: skip

    def _noise_of(self, values: Floats, size: float, reached: Any) -> Floats:
        """Give η for each output, given its five values: more than was measured if it hardly changes, or not at all.

        A number that could change and does not may have been rounded to what it was, and not only at the end: also
        where the entry was added to something of its own size. So may one that changes by less than that rounds to: its
        smallest change is a quantum, as far as one can tell.
        """
        epsilon = np.finfo(np.float64).eps
        gaps = np.diff(np.sort(values, axis=0), axis=0)
        least = np.where(gaps > 0, gaps, np.inf).min(axis=0)
        unmoved = np.where(reached, np.maximum(self._noise, epsilon * size), 0)
        quanta = np.where(least <= 64 * epsilon * size, least, 0)
        return np.where(np.isfinite(least), np.maximum(self._noise, quanta), unmoved)


class DirectionMover:
    """Directions instead of entries: the i-th entry is the i-th direction."""

    def __init__(self, mover: PythonMover, directions: Sequence[Floats]) -> None:
        self._mover, self._directions = mover, directions

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes along the directions of these numbers."""
        each = [self._mover.along(self._directions[i], steps[k : k + 1]) for k, i in enumerate(entries)]
        columns = [(s.value[0], s.truncation[0], s.jump[0], s.rounding[0]) for s in each]
        return Slopes(*np.array(columns, np.float64).reshape(-1, 4).T)


def measured_noise(
    evaluate: Callable[[], Floats], array: FloatArray, scales: Floats, signs: Floats, least: Floats
) -> Floats:
    """Give η for each number of the outputs: by how much rounding makes f jump about near where it is.

    Third differences of seven values along small steps; `least`, the rounding of the value itself, at least.
    """
    before = array.copy()

    def third_differences(step: float) -> Floats:
        values = []
        for k in range(7):
            np.copyto(array, before + k * step * scales * signs, casting="same_kind")
            values.append(evaluate())
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(np.diff(np.array(values), n=3, axis=0)).max(axis=0))

    tiny, small = (2.0**-40, 2.0**-20) if array.dtype == np.float64 else (2.0**-18, 2.0**-14)
    try:
        noise = third_differences(tiny)
        if not noise.all():  # all rounded away: larger steps, where a corner near by disturbs but one of the two sides
            larger = np.minimum(third_differences(small), third_differences(-small))
            noise = np.where(noise == 0, larger, noise)
    finally:
        np.copyto(array, before)
    return np.maximum(np.where(np.isfinite(noise), noise, 0), least)


def scales_of(array: FloatArray) -> Floats:
    """Give what counts as the size of each entry: its own, but not below the geometric mean of those that are not 0."""
    sizes = np.abs(array.astype(np.float64))
    sizes_not_0 = sizes[sizes > 0]
    typical = float(np.exp(np.log(sizes_not_0).mean())) if sizes_not_0.size else 1.0
    return np.asarray(np.maximum(sizes, typical))


def differentiate(
    mover: Mover,
    entries: NDArray[np.int64],
    scales: Floats,
    claimed: Floats,
    tolerances: Callable[[Floats], Floats],
    first: float | None = None,
) -> Found:
    """Give the slope of each entry, with steps chosen until its bar decides, or does not get smaller.

    Parameters
    ----------
    mover : Mover
        Differences f.
    entries : ndarray of int64, shape (E,)
        Flat indices.
    scales : ndarray, shape (E,)
        What the steps are multiples of.
    claimed : ndarray, shape (E,)
        The analytic side: entries it agrees with to within the tolerance need no finer step.
    tolerances : callable
        Given D, gives what each entry may differ by.
    first : float, optional
        The first step, in multiples of `scales`.
    """
    if len(entries) == 0:
        nothing = np.zeros(0)
        return Found(Slopes(nothing, nothing, nothing, nothing), np.zeros(0, bool), nothing)
    steps = scales * (_first_step(mover, entries, scales, claimed, tolerances) if first is None else first)
    best, good_steps = mover.slopes(entries, steps), steps.copy()
    todo = np.flatnonzero(~_settled(best, claimed, tolerances))
    # Which way: up if noise is the larger part of the bar (it disturbs the others too) and less is left one step up.
    # Otherwise down: steps longer than the function's own features lie, and a corner comes out of the step at last.
    up, down = (mover.slopes(entries[todo], steps[todo] * ratio) for ratio in (_RATIO, 1 / _RATIO))
    with np.errstate(invalid="ignore"):
        here = best.at(todo)
        upwards = (up.bar < down.bar) & (up.bar < here.bar / 2) & (8 * here.rounding > here.truncation + here.jump)
    heading = np.where(upwards, _RATIO, 1 / _RATIO)
    last = down.where(upwards, up.at(upwards))
    moved = np.zeros(len(entries), np.int64)
    for move in range(1, _MOST_MOVES + 1):
        if len(todo) == 0:
            break
        steps[todo] *= heading
        moved[todo] = np.where(upwards, 0, move)
        with np.errstate(invalid="ignore"):
            better = (last.bar < best.bar[todo]) | ~np.isfinite(best.bar[todo])
            noisy = last.rounding > last.truncation + last.jump
        chosen = todo[better]
        best = best.where(_mask(chosen, len(entries)), last.at(better))
        good_steps[chosen] = steps[chosen]
        # Upwards, no better is the end; downwards, noise is: a corner may still come out of the step.
        stays = ~_settled(best, claimed, tolerances)[todo] & np.where(upwards, better, ~noisy)
        todo, heading, upwards = todo[stays], heading[stays], upwards[stays]
        last = mover.slopes(entries[todo], steps[todo] * heading)
    with np.errstate(invalid="ignore"):
        kinks = (
            (moved >= _MOVES_TO_A_KINK) & (best.jump > best.bar / 2) & (best.jump > tolerances(best.value))
        )  # fmt: skip
    return Found(best, kinks, good_steps)


def _mask(chosen: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Give flags for sorted indices."""
    mask = np.zeros(size, bool)
    mask[chosen] = True
    return mask


def _settled(slopes: Slopes, claimed: Floats, tolerances: Callable[[Floats], Floats]) -> NDArray[np.bool_]:
    """Tell which need no other step: the bar is within the tolerance, or both sides are and the bar is not much wider."""
    with np.errstate(invalid="ignore"):
        allowed = tolerances(slopes.value)
        agree = (np.abs(claimed - slopes.value) <= allowed) & (slopes.bar <= 100 * allowed)
        return np.asarray((slopes.bar <= allowed) | agree)


def _first_step(
    mover: Mover, entries: NDArray[np.int64], scales: Floats, claimed: Floats, tolerances: Callable[[Floats], Floats]
) -> float:
    """Give the step that did best for a few entries, so that the others can begin with it."""
    if len(entries) < 16:
        return _FIRST
    with np.errstate(invalid="ignore"):
        order = np.argsort(-np.abs(np.nan_to_num(claimed)), kind="stable")
    few = order[[0, len(order) // 64, len(order) // 8]]
    tried = [_FIRST * _RATIO**k for k in range(-1, 6)]
    bars = [mover.slopes(entries[few], scales[few] * step).bar for step in tried]
    with np.errstate(all="ignore"):
        typical = np.nanmedian(np.where(np.isfinite(bars), bars, np.inf), axis=1)
    return tried[int(np.argmin(typical))]


def confirmed(
    mover: Mover, entries: NDArray[np.int64], found: Found, claimed: Floats, tolerances: Callable[[Floats], Floats]
) -> Found:
    """Try entries that seem wrong with other steps, and take the word of one that speaks for the claim.

    A bar is an estimate, and among many thousands one may be too small by chance. Only a step that could tell the two
    sides apart, by a bar of less than half their distance, is heard.
    """
    slopes = found.slopes
    distance = np.abs(claimed - slopes.value)
    for ratio in (3.0, 2.0**-2, 2.0**-6, 2.0**-10):
        tried = mover.slopes(entries, found.steps * ratio)
        with np.errstate(invalid="ignore"):
            agrees = np.abs(claimed - tried.value) <= tried.bar + tolerances(tried.value)
            agrees &= tried.bar < distance / 2
        slopes = slopes.where(agrees, tried.at(agrees))
    return replace(found, slopes=slopes)
