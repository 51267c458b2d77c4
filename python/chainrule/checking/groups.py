"""Groups of entries that are moved together, where each of many outputs counts by itself.

Column j of a Jacobian is what moving entry j alone does to all M outputs. Columns that no row has two of can be moved
together, and along all columns at once the slopes are J v. In each case an output that the group should not reach must
not move either: so a group sees also what a sparse matrix leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.finite_differences import (
    FIRST,
    Floats,
    Slopes,
    noise_of,
    quotients,
    quotients_to_one_side,
    scales_of,
)
from chainrule.checking.perturbation import MOVED, POINTS, UNKNOWN, Outputs, Rounded, Rounding, rounded_away
from chainrule.checking.workers import NEVER, Ahead, Point

#: So many numbers of outputs are kept, for steps that are asked for again.
_MOST_KEPT = 20_000_000


@dataclass(frozen=True)
class Group:
    """Columns that are moved together, each by so much for a step of 1."""

    columns: NDArray[np.int64]
    steps: Floats
    #: 0, or to which side of where it is the group can be moved only: 1 if along its steps, -1 if against them.
    side: int = 0
    #: The longest step it can be moved by.
    most: float = np.inf

    @property
    def alone(self) -> bool:
        """Whether it is one column, moved by steps of its own."""
        return len(self.columns) == 1 and self.steps[0] == 1


class GroupStencil(Rounded):
    """Slopes of every output along groups of entries of one array: number ``group * M + row`` is one of them.

    `evaluate`: gives all outputs, (M,), for the array as it is; `array`: what is moved, and put back; `outputs`: what
    comes out now; `groups`: what is moved together; `rounding`: if f goes through fewer digits inside; `ahead`: what
    evaluates ahead, where the array has this `name`.
    """

    def __init__(
        self, evaluate: Callable[[], Floats], array: FloatArray, outputs: Outputs, groups: Sequence[Group],
        rounding: Rounding | None = None, ahead: Ahead = NEVER, name: str = "",
    ) -> None:  # fmt: skip
        self._evaluate, self._array, self._outputs, self._groups = evaluate, array, outputs, groups
        self._rounding, self._ahead, self._name = rounding, ahead, name
        self._kept: dict[tuple[int, float], tuple[Floats, Floats] | None] = {}
        self._reached: dict[int, Floats] = {}

    def careful(self) -> GroupStencil:
        """Give one that looks for fewer digits inside along every group; itself, if it does or need not."""
        if self._rounding is not None or self._array.dtype != np.float64:
            return self
        inside = Rounding()
        return GroupStencil(self._evaluate, self._array, self._outputs, self._groups, inside, self._ahead, self._name)

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes of these rows along these groups; what moves a group by the same step moves it once."""
        found = np.empty((4, len(entries)))
        groups, rows = np.divmod(entries, max(1, self._outputs.here.size))
        order = np.lexsort((steps, groups))
        self._ahead.fetch(lambda: self._points(groups[order], steps[order]))
        moves = (np.diff(groups[order]) != 0) | (np.diff(steps[order]) != 0)
        for these in np.split(order, np.flatnonzero(moves) + 1) if len(order) else ():
            found[:, these] = self._slopes(int(groups[these[0]]), float(steps[these[0]]), rows[these])
        return Slopes(*found)

    def _slopes(self, number: int, step: float, rows: NDArray[np.int64]) -> Floats:
        """Give value, truncation, jump and rounding, (4, rows), along one group."""
        group, outputs = self._groups[number], self._outputs
        moved = self._moved(number, step)
        if moved is None:
            return np.repeat(UNKNOWN, len(rows), axis=1)
        points, values = moved
        values = values[:, rows]
        # Only of a number that stays as it is need it be known whether it could have changed.
        stays = ~(np.abs(np.diff(values, axis=0)) > 0).any(axis=0)
        far = self._far(number)[rows] if stays.any() else 0.0
        noise = outputs.noise
        if self._rounding is not None:
            noise = self._rounded_noise(number, 0.0)
            if stays.any():
                noise = noise.copy()
                wide = self._rounded_noise(number, float(scales_of(self._array).reshape(-1)[group.columns[0]]))
                # Of code that rounds, what stays as it is may stand on a wide stair.
                noise[rows[stays]] = np.maximum(wide[rows], far if self.epsilon else 0)[stays]
        formula = quotients_to_one_side if group.side else quotients
        found = np.array(formula(values, points[:, None], noise_of(values, noise[rows], far)))
        found[1:] = np.where(np.isnan(found[1:]), np.inf, found[1:])
        return np.where(rounded_away(points), UNKNOWN, found)

    def _moved(self, number: int, step: float) -> tuple[Floats, Floats] | None:
        """Give the five points along a group, and the outputs there, (5, M); None if f refuses to be asked there."""
        if (number, step) in self._kept:
            return self._kept[number, step]
        group = self._groups[number]
        if len(self._kept) * 5 * self._outputs.here.size > _MOST_KEPT:
            self._kept.clear()
        if not 0 < step <= group.most:
            return None
        try:
            points, values = self._at(number, step * _moves(group))
        except Exception:
            size = abs(float(self._array.flat[group.columns[0]])) if group.alone else 1.0
            if step <= FIRST * max(size, 1):
                raise
            self._kept[number, step] = None  # so far from where it is, the subject may refuse to be asked
            return None
        at = 0 if group.side else 2
        here = float(self._array.flat[group.columns[0]]) if group.alone else 0.0
        found = np.insert(points, at, here), np.insert(values, at, self._outputs.here, axis=0)
        self._kept[number, step] = found
        return found

    def _points(self, groups: NDArray[np.int64], steps: Floats) -> Iterator[tuple[Any, Point]]:
        """Give the points that these slopes are made of."""
        for number, step in dict.fromkeys(zip(groups.tolist(), steps.tolist(), strict=True)):
            group = self._groups[number]
            if (number, step) in self._kept or not 0 < step <= group.most:
                continue
            before = self._array.flat[group.columns]
            for offset in (step * _moves(group)).tolist():
                yield (number, offset), [(self._name, group.columns, before + offset * group.steps)]

    def _at(self, number: int, offsets: Sequence[float] | Floats) -> tuple[Floats, Floats]:
        """Move a group by each of some offsets; give what was moved to, as it was stored, and the outputs.

        Whoever asks for more than there is room for is refused before anything is moved.
        """
        group, flat = self._groups[number], self._array.flat
        if any(abs(offset) > group.most or offset * group.side < 0 for offset in offsets):
            raise ValueError("that is beyond the bounds")
        before = flat[group.columns]
        stored, values = [], []
        try:
            for offset in map(float, offsets):
                flat[group.columns] = before + offset * group.steps
                stored.append(float(flat[group.columns[0]]) if group.alone else offset)
                values.append(self._ahead.take((number, offset), self._evaluate))
        finally:
            flat[group.columns] = before
        return np.array(stored), np.array(values)

    def _rounded_noise(self, number: int, least: float) -> Floats:
        """Give how noisy each output is along a group, if it rounds inside; seen in sizes of what is moved, or more.

        What moves is seen in its own size: further off a curve may look like stairs. What does not, in that of the
        others too: a number that is small beside them may be lost in rounding.
        """
        group, rounding = self._groups[number], self._rounding
        assert rounding is not None
        size = max(abs(float(self._array.flat[group.columns[0]])), least) or 1.0 if group.alone else 1.0
        which = number if least == 0 else -1 - number
        return rounding.noise(which, lambda o: self._at(number, np.multiply(o, size))[1], self._outputs.noise)

    def _far(self, number: int) -> Floats:
        """Give how much each output changes when a group is moved far: those that do not have no noise from it."""
        if number not in self._reached:
            group = self._groups[number]
            size = max(1.0, abs(float(self._array.flat[group.columns[0]]))) if group.alone else 1.0
            distances = (0.25,) if self._rounding is None else (0.25, -0.25, 4.0, -4.0, 64.0, -64.0)
            furthest = np.zeros(self._outputs.here.size)
            try:
                for distance in distances:
                    if distance * group.side < 0:
                        continue
                    far = np.copysign(min(abs(distance) * size, group.most), distance)
                    changes = np.abs(self._at(number, [far])[1][0] - self._outputs.here)
                    furthest = np.fmax(furthest, np.where(np.isnan(changes), np.inf, changes))
            except Exception:  # moved so far that the subject refuses it
                furthest = np.fmax(furthest, size)
            self._reached[number] = furthest
        return self._reached[number]


def _moves(group: Group) -> Floats:
    """Give the four points along a group beside where it is, in steps."""
    return group.side * np.array([1, 2, 3, 4]) / 4 if group.side else POINTS[MOVED]
