"""Bounds, beyond which nothing is evaluated.

A number with room on both sides is moved to both, no further than the nearer bound. A number at a bound, or next to it,
is moved only to the other side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.checking.finite_differences import Floats
from chainrule.checking.groups import Group

#: A number is next to a bound if the room is less than this share of its size.
_NEXT = 2.0**-10
#: A sum may be rounded up.
_WITHIN = 1 - 2.0**-50


@dataclass(frozen=True)
class Room:
    """How far the numbers of an argument can be moved, (N,)."""

    down: Floats
    up: Floats
    scales: Floats

    @property
    def beside(self) -> NDArray[np.bool_]:
        """The numbers at a bound or next to one, as a mask."""
        return np.asarray(np.minimum(self.down, self.up) < _NEXT * self.scales)

    def within(self, group: Group) -> Group:
        """Give a group that stays within the bounds, moved to both sides if possible, otherwise to one."""
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


def bounds_of(pair: Any, x: Any, name: str) -> tuple[Floats, Floats]:
    """Give the bounds of an argument in its shape; raise ValueError if the argument is beyond them.

    `pair` is (lower, upper), each a number, an array or None, or an object with ``lb`` and ``ub``, such as SciPy's.
    """
    if hasattr(pair, "lb"):
        pair = (pair.lb, pair.ub)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"bounds of {name} must be a pair (lower, upper), got {pair!r:.60}")
    sides = []
    for side, without in zip(pair, (-np.inf, np.inf), strict=True):
        array = np.asarray(without if side is None else side, np.float64)
        try:
            sides.append(np.broadcast_to(array, np.shape(x)))
        except ValueError:
            raise ValueError(f"bounds of {name} have shape {array.shape}, and {name} has {np.shape(x)}") from None
    low, high = sides
    outside = ~((low <= x) & (x <= high))
    if outside.any():
        at = np.unravel_index(int(np.argmax(outside)), np.shape(x))
        place = f"{name}[{', '.join(map(str, at))}]" if at else name
        raise ValueError(f"{place} is {x[at]:g}, which is not between its bounds {low[at]:g} and {high[at]:g}")
    return low, high


def cut(bounds: tuple[Floats, Floats], shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Give bounds for an argument of another shape: those of its first rows, or else bounds that all numbers keep."""
    low, high = (side[tuple(map(slice, shape))] if side.ndim == len(shape) else side for side in bounds)
    if low.shape == shape:
        return low, high
    return np.full(shape, low.max(initial=-np.inf)), np.full(shape, high.min(initial=np.inf))


def room_of(x: Any, bounds: tuple[Floats, Floats], scales: Floats) -> Room:
    """Give how far each number of an argument can be moved."""
    low, high = bounds
    return Room((x - low).reshape(-1), (high - x).reshape(-1), scales.reshape(-1))


def _least(way: Floats, steps: Floats) -> float:
    """Give the longest step of a group that moves nothing beyond its bound, not even by rounding."""
    moved = steps != 0
    return _WITHIN * float((way[moved] / np.abs(steps[moved])).min(initial=np.inf)) if moved.any() else 0.0
