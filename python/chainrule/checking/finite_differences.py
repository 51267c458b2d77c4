"""The numeric side: derivatives by differences, each with an estimate of its own error.

For one entry x and a step h, f is evaluated at x ± h and x ± h/2:

    D(h) = (f(x + h) - f(x - h)) / 2h            central: off by h² f‴/6
    D    = D(h/2) + (D(h/2) - D(h)) / 3          extrapolated (Richardson): off by O(h⁴)
    J    = 2 G(h/2) - G(h),  G(h) = (f(x + h) - 2 f(x) + f(x - h)) / h
    bar  = |D(h/2) - D(h)| + |J| + 4 η / h

What the terms mean, and why several steps are tried, is told in docs/gradient-check.md. η is measured: by third
differences of f over steps so small that nothing else is left (Moré and Wild, "Estimating computational noise", 2011).

The first step is a multiple of the entry's size, of many entries the multiple that does best for a few of them, but
none that a shorter one contradicts. From there steps go up by sixteenfolds while noise is most of the bar and less is
left each time, no further than a quarter of the entry's size (or of 1); or down by sixteenths until noise is most of
it. The smallest bar counts, unless a shorter step contradicts it: a step longer than the function's own features gives
nonsense with a small bar. Where the two sides then differ, steps of all lengths are tried once more. If the jump alone
is left at steps that have been made much smaller, the entry lies at a corner and has no derivative.

Source: Press et al., "Numerical Recipes", §5.7; the tutorial's "数值微分".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray

Floats = NDArray[np.float64]

#: The first step, by the size of the entry; what a step is multiplied or divided by; how often.
FIRST = 2.0**-12
_RATIO = 16.0
_MOST_MOVES = 8
#: A kink is what is left of the jump when the step has been made smaller so often.
_MOVES_TO_A_KINK = 3
#: A slope of so many bars stands out, and one with a bar of that part of it is known.
CLEAR = 20.0


@dataclass(frozen=True)
class Slopes:
    """Derivatives by differences, one for each entry (or direction) asked for."""

    #: The extrapolated difference quotients, D.
    value: Floats
    #: The three parts of the error bar.
    truncation: Floats
    jump: Floats
    rounding: Floats

    @cached_property  # it is asked for many times
    def bar(self) -> Floats:
        """How far D may be from the derivative."""
        return self.truncation + self.jump + self.rounding

    @cached_property
    def size(self) -> Floats:
        """Without their signs."""
        return np.abs(self.value)

    @cached_property
    def clear(self) -> NDArray[np.bool_]:
        """Which slopes stand out from their bars."""
        return np.asarray((self.size >= CLEAR * self.bar) & (self.value != 0))

    def contradicts(self, other: Slopes) -> NDArray[np.bool_]:
        """Tell which are further apart than both bars together."""
        return np.asarray(np.abs(self.value - other.value) > self.bar + other.bar)

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
    """What was found about each entry: its slope, whether it lies at a kink, and the step it was found with.

    `epsilon` is the ulp of the dtype that f seems to round to inside; 0 if it computes in the dtype of its arrays.
    """

    slopes: Slopes
    kinks: NDArray[np.bool_]
    steps: Floats
    epsilon: float = 0.0


#: Given slopes, what each may differ by beside its bar.
Tolerances: TypeAlias = Callable[[Slopes], Floats]


class Stencil(Protocol):
    """Something that can difference f along entries of one array."""

    @property
    def epsilon(self) -> float:
        """The ulp of the dtype that f seems to round to inside, as far as this has come to know; 0 if none."""

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes for flat indices of the array, each with its own step."""

    def careful(self) -> Stencil:
        """Give one that looks for fewer digits inside at every entry; itself, if it does or need not."""


def quotients(values: Any, points: Any, noise: Any) -> tuple[Any, Any, Any, Any]:
    """Give D, and the three parts of its bar, from f at x - h, x - h/2, x, x + h/2, x + h.

    `values`: f at the five points; `points`: where they are: what was stored, after rounding; `noise`: η, for each
    number of f.
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


def quotients_to_one_side(values: Any, points: Any, noise: Any) -> tuple[Any, Any, Any, Any]:
    """Give the same as `quotients` from f at x, x + h/4, x + h/2, x + 3h/4, x + h: for what lies at a bound.

    D is the slope at x of the polynomial through all five, and the bar twice how far that of a parabola through three
    of them is from it: wide enough for what is not smooth at a bound, as x√x at 0. What is to the other side of x is
    not seen, so there is no corner to be seen either.
    """
    here, one, two, three, four = values
    with np.errstate(all="ignore"):
        step = (points[4] - points[0]) / 4
        one, two, three, four = one - here, two - here, three - here, four - here  # exactly 0 where nothing moves
        slope = (48 * one - 36 * two + 16 * three - 3 * four) / (12 * step)
        parabola = (4 * two - four) / (4 * step)
        rounding = 128 / 12 * noise / np.abs(step)
        return slope, 2 * np.abs(slope - parabola), np.zeros_like(slope), rounding


def noise_of(values: Floats, measured: Any, far: Any) -> Floats:
    """Give η for each number, given its five values: more than was measured if it hardly changes, or not at all.

    A number that could change and does not may have been rounded to what it was, and not only at the end: also where
    the entry was added to something like itself. `far` is by how much it changes when the entry is moved by a quarter
    of its size or more; one that the entry does not reach has no noise from it.
    """
    epsilon = np.finfo(np.float64).eps
    measured = np.maximum(measured, 2 * epsilon * np.abs(values).max(axis=0))  # far away f may be larger
    gaps = np.abs(np.diff(values, axis=0))
    moves = gaps > 0
    if moves.all():  # as nearly always: what follows is about those that do not move, or not everywhere
        return np.asarray(measured)
    unmoved = np.where(far > 0, np.maximum(measured, 8 * epsilon * far), 0)
    # Flat to one side only is a corner; flat here and there is a staircase.
    staircase = moves.any(axis=0) & ~moves[1:3].all(axis=0) & (moves[0] == moves[3])
    quanta = np.where(staircase, gaps.max(axis=0), 0)
    return np.where(moves.any(axis=0), np.maximum(measured, quanta), unmoved)


def largest(values: FloatArray) -> float:
    """Give the size of the largest finite number."""
    sizes = np.abs(values)
    size = float(sizes.max(initial=0))  # most often all are finite: then nothing need be sorted out
    return size if np.isfinite(size) else float(sizes[np.isfinite(sizes)].max(initial=0))


def scales_of(array: FloatArray) -> Floats:
    """Give what counts as the size of each entry: its own, but not below the geometric mean of those that are not 0."""
    sizes = np.abs(array, dtype=np.float64)
    sizes_not_0 = sizes[sizes > 0]
    typical = float(np.exp(np.log(sizes_not_0, out=sizes_not_0).mean())) if sizes_not_0.size else 1.0
    return np.asarray(np.maximum(sizes, typical, out=sizes if sizes.ndim else None))


def differentiate(
    stencil: Stencil,
    entries: NDArray[np.int64],
    scales: Floats,
    claimed: Floats,
    tolerances: Tolerances,
    caps: Floats,
    resolved: Callable[[Slopes], NDArray[np.bool_]] | None = None,
    first: Floats | None = None,
) -> Found:
    """Give the slope of each entry, with steps chosen until its bar decides, or does not get smaller.

    `entries`, (E,): flat indices; `scales`, (E,): what the steps are multiples of; `claimed`,
    (E,): the analytic side: entries it agrees with to within the tolerance need no finer step; `tolerances`: given
    slopes, gives what each may differ by beside its bar; `caps`, (E,): the longest step for each: beyond it f may mean
    nothing; `resolved`: given slopes of all entries, tells which are known well enough to be compared with anything;
    `first`, (E,): the steps to begin with, if they are known.
    """
    if len(entries) == 0:
        nothing = np.zeros(0)
        return Found(Slopes(nothing, nothing, nothing, nothing), np.zeros(0, bool), nothing)
    steps = _first_steps(stencil, entries, scales, claimed, caps) if first is None else first.copy()
    best, good_steps = stencil.slopes(entries, steps), steps.copy()

    def settled() -> NDArray[np.bool_]:
        enough = _settled(best, claimed, tolerances)
        return enough if resolved is None else enough & resolved(best)

    todo = np.flatnonzero(~settled())
    if len(todo) == 0:
        return Found(best, np.zeros(len(entries), bool), good_steps)
    # Which way: up if noise is the larger part of the bar (it disturbs the others too) and less is left one step up.
    # Otherwise down: steps longer than the function's own features lie, and a corner comes out of the step at last.
    here = best.at(todo)
    upwards = 8 * here.rounding > here.truncation + here.jump
    last = here.where(
        upwards, stencil.slopes(entries[todo][upwards], np.minimum(steps[todo] * _RATIO, caps[todo])[upwards])
    )
    with np.errstate(invalid="ignore"):
        upwards &= last.bar < here.bar / 2
    last = last.where(~upwards, stencil.slopes(entries[todo][~upwards], steps[todo][~upwards] / _RATIO))
    heading = np.where(upwards, _RATIO, 1 / _RATIO)
    moved = np.zeros(len(entries), np.int64)
    for move in range(1, _MOST_MOVES + 1):
        if len(todo) == 0:
            break
        steps[todo] = np.minimum(steps[todo] * heading, caps[todo])
        moved[todo] = np.where(upwards, 0, move)
        with np.errstate(invalid="ignore"):
            # A shorter step that contradicts a longer one is right: that is longer than the function's own features.
            here = best.at(todo)
            contradicts = last.contradicts(here)
            better = np.where(upwards, ~contradicts & (last.bar < here.bar), contradicts | (last.bar < here.bar))
            better |= ~np.isfinite(here.bar)
            noisy = last.rounding > last.truncation + last.jump
        chosen = np.zeros(len(entries), bool)
        chosen[todo[better]] = True
        best = best.where(chosen, last.at(better))
        good_steps[chosen] = steps[chosen]
        # Upwards, no better is the end; downwards, noise is: a corner may still come out of the step.
        stays = ~settled()[todo] & np.where(upwards, better, ~noisy)
        todo, heading, upwards = todo[stays], heading[stays], upwards[stays]
        last = stencil.slopes(entries[todo], np.minimum(steps[todo] * heading, caps[todo]))
    with np.errstate(invalid="ignore"):
        kinks = (
            (moved >= _MOVES_TO_A_KINK) & (best.jump > best.bar / 2) & (best.jump > tolerances(best))
        )  # fmt: skip
    return Found(best, kinks, good_steps)


def _settled(slopes: Slopes, claimed: Floats, tolerances: Tolerances) -> NDArray[np.bool_]:
    """Tell which need no other step: the bar is within the tolerance, or both sides are and the bar is not far off."""
    with np.errstate(invalid="ignore"):
        allowed = tolerances(slopes)
        agree = (np.abs(claimed - slopes.value) <= allowed) & (slopes.bar <= 100 * allowed)
        return np.asarray((slopes.bar <= allowed) | agree)


def _first_steps(stencil: Stencil, entries: NDArray[np.int64], scales: Floats, claimed: Floats, caps: Floats) -> Floats:
    """Give the steps to begin with: of many entries, the multiple of their scale that did best for a few.

    But no longer than any that a shorter one contradicts: it may be longer than the function's own features, and its
    small bar a mistake.
    """
    if len(entries) < 16:
        return np.minimum(scales * FIRST, caps)
    sizes = np.abs(np.nan_to_num(claimed))
    places = [-1, -1 - len(sizes) // 64, -1 - len(sizes) // 8]
    few = np.array([np.argmax(sizes == size) for size in np.partition(sizes, places)[places]])
    multiples = [FIRST * _RATIO**k for k in range(-3, 6)]
    steps = np.minimum(np.outer(multiples, scales[few]), caps[few])
    at_once = stencil.slopes(np.tile(entries[few], len(multiples)), steps.reshape(-1))
    tried = [at_once.at(slice(start, start + len(few))) for start in range(0, steps.size, len(few))]
    best, least = FIRST, np.inf
    for k, (multiple, slopes) in enumerate(zip(multiples, tried, strict=True)):
        with np.errstate(invalid="ignore"):
            if any(slopes.contradicts(shorter).any() for shorter in tried[:k]):
                break
        typical = float(np.median(np.where(np.isfinite(slopes.bar), slopes.bar, np.inf)))
        if typical < least:
            best, least = multiple, typical
    return np.minimum(scales * best, caps)


def confirmed(
    stencil: Stencil, entries: NDArray[np.int64], found: Found, claimed: Floats, tolerances: Tolerances
) -> Found:
    """Look again at entries that seem wrong, with steps of all lengths.

    A bar is an estimate, and among many thousands one may be too small by chance; and a step that is longer than the
    function's own features lies. So the word of a shorter step that contradicts what was found is taken, and that of
    any step that speaks for the claim, if it could tell the two sides apart: to less than half their distance.
    """
    slopes = found.slopes
    distance = np.abs(claimed - slopes.value)
    for ratio in (64.0, 3.0, *(2.0**-k for k in (2, 6, 10, 16, 22, 28))):
        tried = stencil.slopes(entries, found.steps * ratio)
        with np.errstate(invalid="ignore"):
            allowed = tried.bar + tolerances(tried)
            agrees = np.abs(claimed - tried.value) <= allowed
            contradicts = tried.contradicts(slopes) & (ratio < 1)
            heard = (agrees & (allowed < distance / 2)) | contradicts
        slopes = slopes.where(heard, tried.at(heard))
    return replace(found, slopes=slopes)
