"""Rounding inside that short steps do not see: float32 or float16 on the way from the arrays to the outputs.

A number that goes through float32 is a staircase: a step that ends on the same stair changes nothing, and one over a
few stairs jumps by one stair too many or too few. What a difference over h is off by is the height of a stair over h.
Short steps therefore know nothing, and do not know it: all five values of a difference may be equal.

So f is looked at along a line at two lengths at once. At seven points, s apart, its slope is taken with a step so short
that it ends on the stair it began on, nearly always:

    L(p) = (f(p + δ) - f(p)) / δ                     δ = 2⁻³⁴: what short steps see
    R    = f(p + s) - f(p) - s (L(p) + L(p + s)) / 2   what they miss

Where f is smooth R is s³ f‴/12, and where it has corners no more than s |L(p + s) - L(p)|. If more than that is missing
from nearly all of the six parts of the line, and to the same side, f has a slope that short steps do not see. A line
that crosses one jump of f misses it in one part only: a threshold is no rounding.

How high the stairs are is told by what is left of the seven values when a parabola has been fitted to them: of what is
smooth that is nothing at s = 2⁻¹⁷. The points are not evenly apart, lest all lie on the same part of a stair.
Three lengths are tried, for stairs of float32 (2⁻²⁴ of the number that is rounded), of float16 (2⁻¹¹), and what is
coarser, or rounded after something large was added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: f along a line: gives all outputs, (K, M), at these points of it.
Section: TypeAlias = Callable[[Sequence[float]], Floats]

#: How far the points are apart, in sizes of what is moved; those of float32 are seen with the first.
LENGTHS = (2.0**-17, 2.0**-8, 2.0**-4)
#: The step that sees no stairs, δ: it must not cross one of the hundreds that add up to an output either.
_BLIND = 2.0**-34
#: Where the points are; stairs stand at round numbers.
_POINTS = np.array([-2.9387, -1.9271, -1.1743, 0.0, 0.8361, 2.1173, 2.8619])
#: What takes the parabola out of seven values, and what is left of stairs then by their height, about.
_PARABOLA = np.linalg.qr(np.vander(_POINTS, 3))[0]
_LEFT = 3.0
#: So many of the six parts of a line must miss something.
_MOST = 4

#: The ulp of what is taken to be inside, where stairs are seen with the first length, and where with another only.
FLOAT32, FLOAT16 = 2.0**-23, 2.0**-10


@dataclass(frozen=True)
class Stairs:
    """What rounding inside does to the outputs along one line."""

    #: How far each number is from where it would be without, about: the height of its stairs, (M,).
    noise: Floats
    #: Which have a slope that short steps do not see, (M,).
    hidden: NDArray[np.bool_]
    #: The ulp of the dtype it looks like; 0 if nothing is hidden.
    epsilon: float


def stairs(section: Section, noise: Floats, lengths: Sequence[float] = LENGTHS) -> Stairs:
    """Look for stairs along a line.

    `section`: gives the outputs for offsets in sizes of what is moved. If it raises, it is not asked further; `noise`,
    (M,): η of each output, as short steps see it; `lengths`: of those three, the ones to try.
    """
    height, hidden = np.zeros(noise.size), np.zeros(noise.size, bool)
    most = np.zeros(noise.size)
    epsilon = 0.0
    for length in lengths:
        try:
            misses, rough, missed, spread = _missing(section, length, noise)
            if misses.any():  # not with points that only happen to lie where a wave stands as before
                again, other, _, _ = _missing(section, 0.7 * length, noise)
                misses, rough = misses & again, np.maximum(rough, other)
        except Exception:  # moved so far that the subject refuses it
            break
        if length == LENGTHS[0]:
            height = rough  # whether anything is hidden or not: nothing smooth is left over so short a line
        # Coarser stairs stand beside finer ones if longer steps see still more of a slope, and not because it changes.
        more = misses & ((most == 0) | (missed - most > np.maximum(most / 2, 2 * spread)))
        if more.any() and epsilon == 0:
            epsilon = FLOAT32 if length == LENGTHS[0] else FLOAT16
        height, most = np.where(more, np.maximum(height, rough), height), np.where(more, missed, most)
        hidden |= misses
    return Stairs(height, hidden, epsilon)


def together(several: Sequence[Stairs]) -> Stairs:
    """Give the stairs of arrays that move together."""
    noise = np.sum([np.where(found.hidden, found.noise, 0) for found in several], axis=0)
    hidden = np.any([found.hidden for found in several], axis=0)
    return Stairs(noise, hidden, max(found.epsilon for found in several))


def most_of(several: Sequence[Stairs]) -> Stairs:
    """Give what was seen along any of several lines, for the same arrays."""
    noise = np.max([found.noise for found in several], axis=0)
    hidden = np.any([found.hidden for found in several], axis=0)
    return Stairs(noise, hidden, max(found.epsilon for found in several))


def _missing(section: Section, length: float, noise: Floats) -> tuple[NDArray[np.bool_], Floats, Floats, Floats]:
    """Give which outputs have slopes that short steps miss, how rough they are, what is missed, and how that varies."""
    points = length * _POINTS
    apart = np.diff(points)[:, None]
    values = section([*points.tolist(), *(points + _BLIND).tolist()])
    here, there = values[:7], values[7:]
    with np.errstate(all="ignore"):
        slopes = (there - here) / _BLIND
        missed = np.diff(here, axis=0) - apart * (slopes[1:] + slopes[:-1]) / 2
        least = np.maximum(noise, 2 * np.finfo(np.float64).eps * np.abs(here).max(axis=0))
        # The ends of so short a step are rounded too.
        unsure = 2 * least / _BLIND + 2.0**-16 * np.abs(slopes).max(axis=0)
        much = np.abs(missed) > 2 * apart * (np.abs(np.diff(slopes, axis=0)) + unsure)
        one_side = np.maximum((much & (missed > 0)).sum(axis=0), (much & (missed < 0)).sum(axis=0))
        moved = here - here[3]
        rough = _LEFT * np.abs(moved - _PARABOLA @ (_PARABOLA.T @ moved)).max(axis=0)
        misses = (one_side >= _MOST) & np.isfinite(rough)
        spread = np.ptp(missed / apart, axis=0)
        return misses, np.where(np.isfinite(rough), rough, 0), np.abs(missed.sum(axis=0)) / apart.sum(), spread
