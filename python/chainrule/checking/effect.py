"""Whether an array has an effect at all: here, and where all other numbers are others.

A gradient of 0 proves nothing if it is 0 by chance, as where a ReLU is dead: with other numbers it would not be. If the
array takes part in what comes out, and cancels whatever the others are, 0 is its gradient: a key's bias before a
softmax, a bias before a batch norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.equality import same_bits
from chainrule.checking.finite_differences import scales_of
from chainrule.checking.report import ArrayCheck
from chainrule.checking.state import put_back

#: All numbers are drawn anew so often, and the array once more at least so far from 0: what cancels leaves the more
#: rounding, the larger it was.
_FAR = (0, 10, 100, 1000, 1000, 1000)
#: That often at least something finite has to come out.
_LEAST = 2
#: What cancels leaves rounding: this part of the largest number that comes out.
_ROUNDING = 1e-11


def effect_of(
    array: FloatArray, others: Sequence[FloatArray], ahead: Callable[[], list[FloatArray]]
) -> Literal["none", "rounding", "some"]:
    """Tell what moving an array far changes: not a bit; only the last digits; or more, or that it cannot be told.

    `others`: what else can be moved, and is moved far too, signs and all; `ahead`: goes forwards.
    """
    rng = np.random.default_rng(0)
    told, seen = False, 0
    with put_back([array, *others]) as (before, *rest):
        for far in _FAR:
            for other, was in zip(others, rest, strict=True):
                _draw(other, was, rng)
            _draw(array, before, rng)
            try:
                here = [out.copy() for out in ahead()]
                _draw(array, before, rng, far)
                there = ahead()
            except Exception:  # whatever somebody's code says to such numbers
                continue
            if not all(np.isfinite(out).all() for out in (*here, *there)):
                continue
            seen += 1
            if [out.shape for out in here] != [out.shape for out in there]:
                return "some"
            for one, two in zip(here, there, strict=True):
                if np.abs(one - two).max(initial=0) > _ROUNDING * np.abs(one).max(initial=0):
                    return "some"
                told |= not same_bits(one, two)
    if seen < _LEAST:
        return "some"
    return "rounding" if told else "none"


def is_read(array: FloatArray, ahead: Callable[[], list[FloatArray]]) -> bool:
    """Tell whether an array takes part in what comes out, though 0 times it may: nan times 0 is nan."""
    with put_back([array]):
        array.fill(np.nan)
        try:
            return any(bool(np.isnan(out).any()) for out in ahead())
        except Exception:  # it has looked at it, then
            return True


def _draw(array: FloatArray, before: FloatArray, rng: np.random.Generator, least: float = 0.0) -> None:
    sizes = rng.uniform(0.5, 2, before.shape) * rng.choice([-1.0, 1.0], before.shape)
    np.copyto(array, np.maximum(scales_of(before), least) * sizes, casting="same_kind")


def by_effect(check: ArrayCheck, effect: str | None, *, left_over: bool) -> ArrayCheck:
    """Give what is to be said of a gradient of 0, or of what rounding has `left_over` of it, by the array's effect."""
    if effect == "rounding":
        return replace(check, verdict="right", cause=None, note="0 in truth: whatever the numbers, it cancels")
    if effect == "none" and left_over:
        note = "0 but for rounding: moving it changes nothing that comes out"
        return replace(check, verdict="vacuous", cause=None, note=note)
    return check
