"""Bounds: nothing is evaluated beyond them.

A number with room to both sides is moved to both, no further than the nearer bound. One at a bound, or next to it, is
moved to the other side only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.checking.finite_differences import Floats
from chainrule.checking.groups import Group

#: A number is next to a bound if there is less room than this part of its size.
_NEXT = 2.0**-10


@dataclass(frozen=True)
class Room:
    """How far the numbers of an argument can be moved, (N,)."""

    down: Floats
    up: Floats
    scales: Floats

    @property
    def beside(self) -> NDArray[np.bool_]:
        """Which lie at a bound or next to one."""
        return np.asarray(np.minimum(self.down, self.up) < _NEXT * self.scales)

    def within(self, group: Group) -> Group:
        """Give a group that stays within the bounds: to both sides if it can, to one if not."""
        columns, steps = group.columns, group.steps
        if not self.beside[columns].any():
            nearest = np.minimum(self.down[columns], self.up[columns])
            return Group(columns, steps, 0, _least(nearest, steps))
        inwards = np.where(self.up[columns] >= self.down[columns], 1.0, -1.0)
        if group.alone:
            return Group(columns, steps, int(inwards[0]), _least(np.maximum(self.down, self.up)[columns], steps))
        side = np.where(self.beside[columns], inwards * np.abs(steps), steps)
        way = np.where(side > 0, self.up[columns], self.down[columns])
        side = np.where(way > 0, side, 0)  # between two equal bounds nothing can be moved
        return Group(columns, side, 1, _least(way, side))


def room_of(x: Any, bounds: tuple[Any, Any], scales: Floats, name: str) -> Room:
    """Give how far the numbers of an argument can be moved; say so if one lies beyond its bounds."""
    flat = np.asarray(x, np.float64).reshape(-1)
    low, high = (np.broadcast_to(np.asarray(side, np.float64), np.shape(x)).reshape(-1) for side in bounds)
    outside = ~((low <= flat) & (flat <= high))
    if outside.any():
        at = int(np.argmax(outside))
        raise ValueError(f"{name}[{at}] is {flat[at]:g}, which is not between its bounds {low[at]:g} and {high[at]:g}")
    return Room(flat - low, high - flat, scales.reshape(-1))


def _least(way: Floats, steps: Floats) -> float:
    """Give the longest step of a group with which nothing goes beyond its bound."""
    moved = steps != 0
    return float((way[moved] / np.abs(steps[moved])).min(initial=np.inf)) if moved.any() else 0.0
