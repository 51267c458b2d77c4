"""Whether two sides differ: by more than the error bar and the tolerance together, and in more than one estimate."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking import finite_differences
from chainrule.checking.evaluation import Probes
from chainrule.checking.finite_differences import CLEAR, Floats, Found, Slopes, Stencil
from chainrule.checking.long_steps import try_long_steps
from chainrule.checking.precision import FLOAT32
from chainrule.checking.report import ArrayCheck

#: Ulps that float32 code may be off from float64: some hundred operations one after the other, each rounding.
ULPS = 1024
#: The same of float16, in ulps of its own.
_HALF_ULPS = 16
#: Both sides are 0 if they are no more than this part of the largest entry.
_NOTHING = 1e-13
#: Entries that seem wrong are looked at again so many at a time …
_LOOKED_AT = 64
#: … and so many of those that stay wrong are asked whether f rounds inside.
_ASKED = 4


class Tolerance:
    """By how much the two sides may differ beside the error bar, and which entries that can tell.

    float64: `relative` of the entry, and a millionth of that of the largest. float32: 1024 ulps of the entry and 64 of
    the largest. To that comes a slope that is not told from 0, `resolution`, 64 times: one that is 0 is seldom exactly
    so, when it has come through many layers. But of a slope that stands out from its bar no more than a thousandth.

    `claimed`: the analytic side; `single`: whether the analytic side was computed in float32; `largest`: the size of
    the largest entry; `resolution`: see above; both can be others for every entry. `epsilon`: the ulp of what both
    sides are rounded to inside, if that is known; `rounded_by`: what the rounding goes by, if not by the largest entry.
    """

    def __init__(
        self,
        claimed: Floats,
        relative: float,
        single: bool,
        largest: float | Floats,
        resolution: float | Floats,
        epsilon: float = 0.0,
        rounded_by: Floats | None = None,
    ) -> None:
        self.claimed, self.resolution = claimed, resolution
        self._rounded_by = largest if rounded_by is None else rounded_by
        sizes = np.abs(claimed)
        self._sizes = sizes if np.isfinite(np.max(sizes, initial=0)) else np.nan_to_num(sizes, nan=0.0, posinf=0.0)
        self._largest = largest
        self._relative, self._floor = relative, self._rounded_by * relative / 1e6
        self._coarse = False
        #: Entries that are 0 on both sides, over steps as long as the digits ask for.
        self.zeros: NDArray[np.bool_] | bool = False
        if single or epsilon:
            self._round(FLOAT32 if single and not epsilon > FLOAT32 else epsilon)

    def _round(self, epsilon: float) -> None:
        self._coarse = True
        ulps = (ULPS if epsilon <= FLOAT32 else _HALF_ULPS) * epsilon
        self._relative, self._floor = max(self._relative, ulps), self._rounded_by * ulps / 16

    def __call__(self, slopes: Slopes) -> Floats:
        """Give what each entry may differ by, beside the error bar."""
        with np.errstate(invalid="ignore"):
            larger = np.fmax(self._sizes, slopes.size)
            allowed = self._relative * larger + self._floor
            if np.any(self.resolution):
                most = 64 * self.resolution
                allowed += np.where(slopes.clear, np.minimum(most, larger / 1000), most)
            return np.asarray(allowed)

    def at(self, these: Any) -> Tolerance:
        """Give the rule for some of the entries."""
        some = copy.copy(self)
        for name in ("claimed", "resolution", "zeros", "_sizes", "_largest", "_rounded_by", "_floor"):
            value = getattr(self, name)
            setattr(some, name, value[these] if np.ndim(value) else value)
        return some

    def rounded(self, epsilon: float) -> Tolerance:
        """Give the rule for code that rounds to this inside."""
        if not epsilon:
            return self
        coarser = copy.copy(self)
        coarser._round(epsilon)
        return coarser

    def resolved(self, slopes: Slopes) -> NDArray[np.bool_]:
        """Tell which entries are known well enough to be compared, or to be 0."""
        known = self._known(slopes)
        return known if known.all() else known | self._nothing(slopes, self._largest * _NOTHING)

    def compared(self, slopes: Slopes) -> NDArray[np.bool_]:
        """Tell which entries count as compared.

        Those whose bar is a twentieth of the larger side at most, and those that are 0 on both sides, within 1e-13 of
        the largest entry. Their bars should be no wider, but need not: beside a corner no step is long enough for that.
        """
        known = self._known(slopes)
        if known.all():  # as most often
            return known
        exact = (self.claimed == 0) & (slopes.value == 0)
        nothing = self._nothing(slopes, self._largest * _NOTHING * np.where(exact, 1e6, 1e3))
        return np.asarray(known | (nothing & (~self._unseen(slopes) | self.zeros)))

    def _unseen(self, slopes: Slopes) -> NDArray[np.bool_]:
        """Tell which are not seen to move, and so have no noise, but might below the last digit of a large f."""
        exact = (self.claimed == 0) & (slopes.value == 0) & (slopes.bar == 0)
        return np.asarray(exact & (self.resolution > self._largest * _NOTHING * 1e4))

    def look_for_zeros(self, probes: Probes, found: Found) -> None:
        """Move what was not seen to move by steps that would show all that fewer digits can show."""
        unseen = np.flatnonzero(self._unseen(found.slopes) & ~found.kinks & np.less_equal(self.resolution, self._floor))
        if not self._coarse or not len(unseen):
            return
        share = np.maximum(np.broadcast_to(self.resolution / self._floor, len(found.kinks))[unseen], 1 / 64)
        far = probes.stencil.slopes(probes.numbers[unseen], probes.caps[unseen] * share)
        zeros = np.zeros(len(found.kinks), bool)
        zeros[unseen] = (far.value == 0) & (far.bar == 0)
        self.zeros = zeros

    def _known(self, slopes: Slopes) -> NDArray[np.bool_]:
        """Tell which have a bar, and what they may differ by beside it, that are small against the entry."""
        with np.errstate(invalid="ignore"):
            larger = np.fmax(self._sizes, slopes.size)
            # Of a slope that stands out, the bar alone: that it does says that it is not 0.
            narrow = np.where(slopes.clear, slopes.bar, slopes.bar + 64 * self.resolution) <= larger / CLEAR
            return np.asarray(narrow & (self._floor <= larger / 2) & (larger > 0))

    def _nothing(self, slopes: Slopes, most: float | Floats) -> NDArray[np.bool_]:
        """Tell which are 0 on both sides."""
        least = self._largest * _NOTHING
        with np.errstate(invalid="ignore"):
            both = (self._sizes <= least) & (slopes.size <= least) & np.isfinite(self.claimed)
            return np.asarray(both & (slopes.bar <= most))

    def vacuous(self, found: Found) -> bool:
        """Tell whether both sides are 0 off the kinks, as far as can be seen, and a slope of 1e-6 would have been."""
        slopes, off = found.slopes, ~found.kinks
        with np.errstate(invalid="ignore"):
            larger = np.fmax(np.abs(self.claimed), slopes.size)
            nothing = (larger <= slopes.bar + 64 * self.resolution) & ~slopes.clear
        return bool(np.all(nothing[off]) and np.all((slopes.bar <= 1e9 * self.resolution)[off]))


def rule_for(probes: Probes, gradients: Mapping[str, FloatArray], relative: float, single: bool) -> Tolerance:
    """Give the tolerance for what these gradients say on `probes`."""
    claimed, size = probes.read(gradients), probes.size(gradients)
    return Tolerance(claimed, relative, single, size, probes.resolution, probes.stencil.epsilon)


def bars_of(found: Found) -> Floats:
    """Give the error bars; at a kink there is no derivative to be off from."""
    return np.where(found.kinks, np.inf, found.slopes.bar)


def excess(found: Found, rule: Tolerance) -> Floats:
    """Give by how much each entry differs beyond bar and tolerance; one that is not finite, infinitely much."""
    allowed = rule.rounded(found.epsilon)(found.slopes)
    with np.errstate(invalid="ignore"):
        beyond = np.abs(rule.claimed - found.slopes.value) - bars_of(found) - allowed
    unknown = ~np.isfinite(found.slopes.bar)
    return np.where(~np.isfinite(rule.claimed), np.inf, np.where(unknown, -np.inf, beyond))


def compare(probes: Probes, rule: Tolerance) -> tuple[Found, NDArray[np.bool_]]:
    """Differentiate, and tell which entries or directions differ."""
    stencil = probes.stencil
    found, wrong = differing(probes, stencil, _looked_up(probes, stencil, rule), rule)
    return _corners_told(probes, found, wrong, rule) if wrong.any() else (found, wrong)


def _corners_told(
    probes: Probes, found: Found, wrong: NDArray[np.bool_], rule: Tolerance
) -> tuple[Found, NDArray[np.bool_]]:
    """Tell directions that differ from those that only go through corners of several entries at once.

    There the slopes to either side may be alike, and both be off: one half of the biases opens what the other half
    opens on the way back. Along each half by itself the corner is seen, and by how much it puts the slope off.
    """
    few = np.flatnonzero(wrong)
    halves = probes.halves(few)
    if halves is None:
        return found, wrong
    count, none = 2 * len(few), np.zeros(2 * len(few))
    caps = np.concatenate([probes.caps[few]] * 2)
    there = finite_differences.differentiate(
        halves, np.arange(count), np.ones(count), np.full(count, np.nan), lambda _: none, caps
    )
    off = np.where(there.kinks, there.slopes.jump, 0).reshape(2, len(few)).sum(axis=0)
    at_corners = few[excess(found, rule)[few] <= off]
    kinks, differ = found.kinks.copy(), wrong.copy()
    kinks[at_corners], differ[at_corners] = True, False
    return replace(found, kinks=kinks), differ


def _looked_up(probes: Probes, stencil: Stencil, rule: Tolerance, few: Any = ...) -> Found:
    """Differentiate all or a few, with steps of ordinary length and then with far ones."""
    rule, numbers, scales, caps = rule.at(few), probes.numbers[few], probes.scales[few], probes.caps[few]
    first = None if probes.first is None else probes.first[few]
    found = finite_differences.differentiate(
        stencil, numbers, scales, rule.claimed, rule, caps, resolved=rule.resolved, first=first
    )
    found = try_long_steps(stencil, numbers, found, caps, rule.resolved)
    return replace(found, epsilon=stencil.epsilon)


def differing(probes: Probes, stencil: Stencil, found: Found, rule: Tolerance) -> tuple[Found, NDArray[np.bool_]]:
    """Tell which differ after a second look at the most flagrant; give also what that look found."""
    beyond = excess(found, rule)
    suspects = np.flatnonzero(beyond > 0)
    suspects = suspects[np.argsort(-beyond[suspects], kind="stable")]
    careful = stencil.careful()
    for start in range(0, len(suspects), _LOOKED_AT):  # until some of them stay wrong
        few = suspects[start : start + _LOOKED_AT]
        found = _again(found, few, lambda before, these: finite_differences.confirmed(
            stencil, probes.numbers[these], before, rule.claimed[these], rule.at(these)
        ))  # fmt: skip
        beyond = excess(found, rule)
        few = few[beyond[few] > 0]
        # Whether f rounds inside is asked of single entries where it matters, if it does not show on the whole array.
        while len(few) and careful is not stencil:
            these, few = few[:_ASKED], few[_ASKED:]
            doubted = _again(found, these, lambda _, these: _looked_up(probes, careful, rule, these))
            if careful.epsilon:
                return differing(probes, careful, _looked_up(probes, careful, rule), rule)
            if (excess(doubted, rule)[these] > 0).any():
                break
            found = doubted
        beyond = excess(found, rule)
        if (beyond > 0)[suspects[start : start + _LOOKED_AT]].any():
            break
    return found, np.asarray(beyond > 0)


def _again(found: Found, few: NDArray[np.int64], look: Callable[[Found, NDArray[np.int64]], Found]) -> Found:
    """Give what was found, with what another look at a few finds in its place."""
    few = np.sort(few)
    before = Found(found.slopes.at(few), found.kinks[few], found.steps[few])
    chosen = np.zeros(len(found.kinks), bool)
    chosen[few] = True
    return replace(found, slopes=found.slopes.where(chosen, look(before, few).slopes))


def left_by_an_eps(found: Found, wrong: NDArray[np.bool_], rule: Tolerance, relative: float) -> str:
    """Say so if all that differs is next to nothing, where moving an entry changes not a bit; else give "".

    So it is with a softmax of one number, ``e / (e + 1e-10)``: what comes out is the same for all numbers, and the
    slope of the formula is not quite 0. It is no mistake, and proves nothing.
    """
    sizes = np.abs(rule.claimed)
    nothing = (found.slopes.value == 0) & (found.slopes.bar == 0)
    if not (np.all(nothing[wrong]) and np.all(sizes[wrong] <= relative * sizes[~wrong].max(initial=0))):
        return ""
    return (
        f"{int(wrong.sum())} of its entries change nothing, and are given as next to nothing beside the largest: an eps"
        " in a denominator leaves as much"
    )


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
    name: str, shape: tuple[int, ...], full: bool, found: Found, wrong: NDArray[np.bool_], rule: Tolerance,
    probes: Probes | None = None,
) -> ArrayCheck:  # fmt: skip
    """Give the figures and the verdict for one array, compared entry by entry or along directions."""
    if len(rule.claimed) == 0:
        return ArrayCheck(
            name, shape, "full" if full else "directions", 0, "unresolved", note="empty: there is nothing to compare"
        )
    rule = rule.rounded(found.epsilon)
    if probes is not None:
        rule.look_for_zeros(probes, found)
    claimed, values, bars = rule.claimed, found.slopes.value, bars_of(found)
    compared = (rule.compared(found.slopes) & ~found.kinks) | wrong
    unresolved = ~compared & ~found.kinks
    with np.errstate(all="ignore"):
        difference = np.abs(claimed - values)
        larger = np.fmax(np.abs(claimed), np.abs(values))
        relative = np.where(larger > 0, difference / larger, 0)
        zero = larger <= _NOTHING * np.max(larger)  # what their last digits say is nothing
    verdict, note = "right", ""
    if wrong.any():
        verdict = "wrong"
    elif found.kinks.all():
        verdict = "kink"
    elif rule.vacuous(found):
        verdict = "kink" if found.kinks.any() else "vacuous"
    elif unresolved.any():
        verdict, note = "unresolved", _why_unresolved(name, shape, full, found, unresolved, larger)
    elif found.kinks.any():
        verdict = "kink"
    seen = compared if compared.any() else ~found.kinks
    worst = worst_of(found, rule) if seen.any() else 0
    return ArrayCheck(
        name=name,
        shape=shape,
        mode="full" if full else "directions",
        checked=int(compared.sum()),
        verdict=verdict,  # type: ignore[arg-type]
        mean_difference=float(difference[seen].mean()) if seen.any() else 0.0,
        max_difference=float(difference[seen].max(initial=0)),
        max_relative=float(relative[compared & (~zero | wrong)].max(initial=0)),
        error_bar=float(bars[seen].max(initial=0)),
        kinks=int((found.kinks & ~wrong).sum()),
        where=tuple(int(i) for i in np.unravel_index(worst, shape)) if full else (),
        analytic=float(claimed[worst]),
        numeric=float(values[worst]),
        bar=float(found.slopes.bar[worst]),
        relative=np.where(compared, relative, np.nan).reshape(shape) if full else None,
        note=note,
    )


def _why_unresolved(
    name: str, shape: tuple[int, ...], full: bool, found: Found, unresolved: NDArray[np.bool_], larger: Floats
) -> str:
    """Say how many entries are unresolved, which is the worst of them, and why, if that is known."""
    bars = bars_of(found)
    with np.errstate(all="ignore"):
        share = np.where(unresolved, bars / larger, -np.inf)
    worst = int(np.argmax(np.where(np.isnan(share), np.inf, share)))
    place = f"{name}{[int(i) for i in np.unravel_index(worst, shape)]}" if full and shape else name
    what = ("entries" if full else "directions") if len(larger) > 1 else ("entry" if full else "direction")
    size = f"{larger[worst]:.1e}" if np.isfinite(larger[worst]) else "an unknown slope"
    note = f"{int(unresolved.sum())} of {len(larger)} {what} unresolved, the worst {place}: {size} ± {bars[worst]:.1e}"
    inside = ""
    if found.epsilon:
        inside = f"rounds to {'float32' if found.epsilon <= FLOAT32 else 'float16'} inside, or loses as many digits; "
    return inside + note
