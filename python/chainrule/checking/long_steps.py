"""Steps far beyond the size of an entry, for slopes that the noise of f hides from shorter ones.

Beside f = 10¹² a slope of 10⁻⁶ needs a step of thousands to be seen, though the entry itself be 1. Where f is linear
or quadratic along the entry no step is too long: D is exact, and the noise of its bar falls with h. But whether it is,
only what f does over that length can tell, and a wave or a bounded function feigns a slope of about 0 there. So a far
step is believed only if

- f is a parabola over it, to within its noise there: truncation and jump are no more than noise makes of them;
- its slope stands out: 20 bars or more;
- one of about a third the length, over which f is a parabola too, says the same;
- no shorter step contradicts it.

An entry whose slope is 0 is therefore never told from one that is nearly so by a far step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chainrule.checking.finite_differences import Floats, Found, Slopes, Stencil

#: What a far step is longer than the one before; how often; and the second opinion's length.
_RATIO, _MOST_MOVES, _SECOND = 64.0, 6, 0.3
#: What steps are multiplied by before any is far.
_BETWEEN = (4.0, 2.0, 8.0, 0.5)


def try_long_steps(
    stencil: Stencil,
    entries: NDArray[np.int64],
    found: Found,
    caps: Floats,
    resolved: Callable[[Slopes], NDArray[np.bool_]],
) -> Found:
    """Look again with far steps where `resolved` says that a bar is too wide, and noise is most of it.

    `entries`, (E,): flat indices; `found`: what steps of ordinary length gave; `caps`, (E,):
    the longest of those; `resolved`: given slopes of all entries, tells which are known well enough.
    """
    if resolved(found.slopes).all():  # as nearly always
        return found
    found = _between(stencil, entries, found, caps, resolved)
    best, steps = found.slopes, found.steps.copy()
    with np.errstate(invalid="ignore"):
        todo = np.flatnonzero(~resolved(best) & ~found.kinks & _straight(best))
    lengths = caps.copy()
    for _ in range(_MOST_MOVES):
        if len(todo) == 0:
            break
        lengths[todo] *= _RATIO
        far = stencil.slopes(entries[todo], lengths[todo])
        second = stencil.slopes(entries[todo], _SECOND * lengths[todo])
        with np.errstate(invalid="ignore"):
            straight = _straight(far) & _straight(second)
            believed = straight & far.clear & ~far.contradicts(second)
            believed &= ~far.contradicts(best.at(todo)) & (far.bar < best.bar[todo])
        chosen = np.zeros(len(entries), bool)
        chosen[todo[believed]] = True
        best = best.where(chosen, far.at(believed))
        steps[chosen] = lengths[chosen]
        todo = todo[straight & ~resolved(best)[todo]]
    return replace(found, slopes=best, steps=steps)


def _between(
    stencil: Stencil,
    entries: NDArray[np.int64],
    found: Found,
    caps: Floats,
    resolved: Callable[[Slopes], NDArray[np.bool_]],
) -> Found:
    """Try steps between the one that did best and the next: sixteenfolds may miss the one that would do."""
    best, steps = found.slopes, found.steps.copy()
    for ratio in _BETWEEN:
        todo = np.flatnonzero(~resolved(best) & ~found.kinks & (ratio * found.steps <= caps))
        if len(todo) == 0:
            break
        tried = stencil.slopes(entries[todo], ratio * found.steps[todo])
        with np.errstate(invalid="ignore"):
            better = (tried.bar < best.bar[todo]) & ~tried.contradicts(best.at(todo))
        chosen = np.zeros(len(entries), bool)
        chosen[todo[better]] = True
        best = best.where(chosen, tried.at(better))
        steps[chosen] = ratio * found.steps[chosen]
    return replace(found, slopes=best, steps=steps)


def _straight(slopes: Slopes) -> NDArray[np.bool_]:
    """Tell where f may be a parabola: no more is left of third and fourth differences than noise leaves."""
    return np.asarray(slopes.truncation + slopes.jump <= 5 * slopes.rounding)
