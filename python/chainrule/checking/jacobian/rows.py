"""The rows of a matrix along groups of columns: their values, and the results of comparing them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.evaluation import Probes
from chainrule.checking.finite_differences import Floats, Found
from chainrule.checking.jacobian.blocks import Block
from chainrule.checking.judging import Tolerance

#: The number of groups to look at first, to learn how long the steps must be.
_AHEAD = 8
#: The number of numbers to compare at once, so that little memory is needed.
_AT_ONCE = 1_000_000


@dataclass
class Rows(Probes):
    """Every row along every group: probe number ``group * M + row``."""

    #: The values of the matrix, (groups · M,).
    claimed: Floats

    def read(self, gradients: object) -> Floats:
        """Give the values of the matrix."""
        return self.claimed

    def size(self, gradients: object) -> float:
        """Give the size of the largest value."""
        return float(np.abs(self.claimed).max(initial=0))


@dataclass
class Compared:
    """The results of comparing a matrix along groups."""

    found: Found
    wrong: NDArray[np.bool_]
    rule: Tolerance

    def at(self, these: Any) -> Compared:
        """Give the same results in another order."""
        found = Found(self.found.slopes.at(these), self.found.kinks[these], self.found.steps[these], self.found.epsilon)
        return Compared(found, self.wrong[these], self.rule.at(these))


def weighted(
    blocks: dict[str, Block], douts: Sequence[Any], arrays: Mapping[str, FloatArray]
) -> dict[str, Floats | None]:
    """Give Jᵀ w for each argument, as far as it is available."""
    w = np.concatenate([np.ravel(d) for d in douts])
    found = {name: block.times_transposed(w) for name, block in blocks.items()}
    return {n: None if g is None else g.reshape(arrays[n].shape) for n, g in found.items()}


def first_multiple(found: Found, scales: Floats) -> float:
    """Give the first step for the other groups, relative to the scale: where noise is at most the rest of the bar.

    The steps of the first groups differ by factors of sixteen; the best is between them, where the fewest other groups
    have to be moved again.
    """
    slopes = found.slopes
    with np.errstate(all="ignore"):
        typical = float(np.median(found.steps / scales))
        rest = np.median(slopes.rounding) / np.median(slopes.truncation + slopes.jump)
    longer = np.clip(np.cbrt(4 * rest), 1, 8) if np.isfinite(rest) else 1.0
    return float(2.0 ** round(math.log2(typical * float(longer))))


def portions(groups: int, count: int) -> list[range]:
    """Give the groups to handle together: a few first, then as many as fit into memory."""
    each = max(1, _AT_ONCE // max(1, count))
    starts = [0, *range(min(_AHEAD, groups), groups, each)] if groups > _AHEAD else [0]
    return [range(a, b) for a, b in itertools.pairwise([*starts, groups])]
