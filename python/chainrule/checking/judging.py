"""Whether two sides differ: by more than the error bar and the tolerance together, and in more than one estimate."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking import numeric
from chainrule.checking.numeric import Floats, Found, largest
from chainrule.checking.report import ArrayCheck
from chainrule.checking.side import Ground

#: Ulps that float32 code may be off from float64: some hundred operations one after the other, each rounding.
ULPS = 1024
#: Entries that seem wrong are looked at again so many at a time.
_LOOKED_AT = 64


class Tolerance:
    """By how much the two sides may differ beside the error bar.

    float64: `relative` of the entry, and a millionth of that of the largest. float32: 1024 ulps of the entry and 64 of
    the largest. To that comes a slope that is not told from 0, `resolution`, 64 times: one that is 0 is seldom exactly
    so, when it has come through many layers.

    Parameters
    ----------
    claimed : ndarray
        The analytic side.
    relative : float
    single : bool
        Whether the analytic side was computed in float32.
    largest : float
        The size of the largest entry.
    resolution : float
    """

    def __init__(self, claimed: Floats, relative: float, single: bool, largest: float, resolution: float) -> None:
        ulps = ULPS * float(np.finfo(np.float32).eps)
        self.claimed, self.resolution = claimed, resolution
        self._sizes = np.nan_to_num(np.abs(claimed), nan=0.0, posinf=0.0)
        self._relative = max(relative, ulps) if single else relative
        self._floor = largest * (ulps / 16 if single else relative / 1e6) + 64 * resolution

    def __call__(self, values: Floats) -> Floats:
        """Give what each entry may differ by, the numeric side being `values`."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self._relative * np.fmax(self._sizes, np.abs(values)) + self._floor)

    def at(self, these: Any) -> Tolerance:
        """Give the rule for some of the entries."""
        part = copy.copy(self)
        part.claimed, part._sizes = self.claimed[these], self._sizes[these]
        return part

    def is_nothing(self, bars: Floats) -> bool:
        """Tell whether a slope within the bars is as good as 0: a millionth of f, for a step of 1."""
        return bool(np.all(bars <= 1e9 * self.resolution))


def rule_for(ground: Ground, gradients: Mapping[str, FloatArray], relative: float, single: bool) -> Tolerance:
    """Give the tolerance for what these gradients say on `ground`."""
    return Tolerance(ground.read(gradients), relative, single, ground.size(gradients), ground.resolution)


def bars_of(found: Found) -> Floats:
    """Give the error bars; at a kink there is no derivative to be off from."""
    return np.where(found.kinks, np.inf, found.slopes.bar)


def excess(found: Found, rule: Tolerance) -> Floats:
    """Give by how much each entry differs beyond bar and tolerance; one that is not finite, infinitely much."""
    with np.errstate(invalid="ignore"):
        beyond = np.abs(rule.claimed - found.slopes.value) - bars_of(found) - rule(found.slopes.value)
    unknown = ~np.isfinite(found.slopes.bar)
    return np.where(~np.isfinite(rule.claimed), np.inf, np.where(unknown, -np.inf, beyond))


def compare(ground: Ground, rule: Tolerance) -> tuple[Found, NDArray[np.bool_]]:
    """Differentiate, and tell which entries or directions differ."""
    found = numeric.differentiate(ground.mover, ground.numbers, ground.scales, rule.claimed, rule, ground.caps)
    return differing(ground, found, rule)


def differing(ground: Ground, found: Found, rule: Tolerance) -> tuple[Found, NDArray[np.bool_]]:
    """Tell which differ after a second look at the most flagrant; give also what that look found."""
    beyond = excess(found, rule)
    suspects = np.flatnonzero(beyond > 0)
    suspects = suspects[np.argsort(-beyond[suspects], kind="stable")]
    for start in range(0, len(suspects), _LOOKED_AT):  # until some of them stay wrong
        few = np.sort(suspects[start : start + _LOOKED_AT])
        part = Found(found.slopes.at(few), found.kinks[few], found.steps[few])
        again = numeric.confirmed(ground.mover, ground.numbers[few], part, rule.claimed[few], rule.at(few))
        chosen = np.zeros(len(ground.numbers), bool)
        chosen[few] = True
        found = replace(found, slopes=found.slopes.where(chosen, again.slopes))
        beyond = excess(found, rule)
        if (beyond[few] > 0).any():
            break
    return found, np.asarray(beyond > 0)


def worst_of(found: Found, rule: Tolerance) -> int:
    """Give the entry that differs most beyond what it may, in terms of its own size."""
    beyond = excess(found, rule)
    with np.errstate(all="ignore"):
        share = beyond / np.fmax(np.abs(rule.claimed), np.abs(found.slopes.value))
    # Among entries within what they may, the one nearest to it.
    return int(
        np.argmax(np.where(np.isposinf(beyond), np.inf, np.where(beyond > 0, np.nan_to_num(share), beyond - 1e300)))
    )


def summary(
    name: str, shape: tuple[int, ...], full: bool, found: Found, wrong: NDArray[np.bool_], rule: Tolerance
) -> ArrayCheck:
    """Give the figures and the verdict for one array, compared entry by entry or along directions."""
    claimed, values, bars = rule.claimed, found.slopes.value, bars_of(found)
    compared = ~found.kinks | wrong
    with np.errstate(all="ignore"):
        difference = np.abs(claimed - values)
        larger = np.fmax(np.abs(claimed), np.abs(values))
        relative = np.where(larger > 0, difference / larger, 0)
        counts = compared & ((larger > 1e-3 * largest(larger[compared])) | wrong)
        # An entry that matters, and is known to a twentieth at best.
        unresolved = bool(np.any(counts & ~(bars <= larger / 20)))
    verdict: Any = "right"
    if wrong.any():
        verdict = "wrong"
    elif not compared.any():
        verdict = "kink"
    elif np.all((larger <= bars + 64 * rule.resolution)[compared]) and rule.is_nothing(bars[compared]):
        verdict = "kink" if found.kinks.any() else "vacuous"
    elif unresolved:
        verdict = "unresolved"
    elif found.kinks.any():
        verdict = "kink"
    worst = worst_of(found, rule) if compared.any() else 0
    return ArrayCheck(
        name=name,
        shape=shape,
        mode="full" if full else "directions",
        checked=int(compared.sum()),
        verdict=verdict,
        mean_difference=float(difference[compared].mean()) if compared.any() else 0.0,
        max_difference=float(difference[compared].max(initial=0)),
        max_relative=float(relative[counts].max(initial=0)),
        error_bar=float(bars[compared].max(initial=0)),
        kinks=int((found.kinks & ~wrong).sum()),
        where=tuple(int(i) for i in np.unravel_index(worst, shape)) if full else (),
        analytic=float(claimed[worst]),
        numeric=float(values[worst]),
        bar=float(found.slopes.bar[worst]),
        relative=np.where(compared, relative, np.nan).reshape(shape) if full else None,
    )
