"""What moves an array and looks at what comes out: a subject evaluated in Python, a network that Rust evaluates.

A stencil gives slopes for entries of one array, or along directions, with steps it is told; which steps is not its
matter (`finite_differences`). Whatever happens, the array is as before when it is done. Here too is how the noise of f
is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.finite_differences import FIRST, Floats, Slopes, noise_of, quotients, scales_of
from chainrule.checking.precision import Section, Stairs, stairs
from chainrule.checking.state import put_back
from chainrule.checking.workers import NEVER, Ahead, Point

#: Steps that measure noise are multiples of a number that no short fraction is near: round numbers hide rounding.
_ODD = 0.8660254037844386
#: Where f is evaluated, in steps; and those of them that something has to be moved for.
POINTS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
MOVED = [0, 1, 3, 4]
#: Value, truncation, jump and rounding of a slope that could not be taken.
UNKNOWN = np.array([[np.nan], [np.inf], [np.inf], [np.inf]])


@dataclass(frozen=True)
class Outputs:
    """What comes out of a subject unmoved, and how it counts."""

    #: All outputs as one vector, (M,).
    here: Floats
    #: The cotangent, (M,).
    weights: Floats
    #: η for each of them, (M,).
    noise: Floats

    def slopes(self, values: Floats, points: Floats, far: Any) -> Floats:
        """Give value, truncation, jump and rounding, (4, E), of the weighted sum's slopes.

        From outputs at five points, shape (5, E, M) and (5, E); `far` is how much they change over a long way.
        """
        d, *terms = quotients(values, points[:, :, None], noise_of(values, self.noise, far))
        with np.errstate(all="ignore"):
            bars = [term @ np.abs(self.weights) for term in terms]
            return np.where(rounded_away(points), UNKNOWN, [d @ self.weights, *bars])


class Rounding:
    """How noisy f is when one entry of an array is moved that goes through fewer digits inside; found out for each.

    `whole`: those of the outputs when the whole array is moved: what is taken if an entry's do not show. What is
    rounded may be an entry that is moved beyond its own size, so that its stairs grow with the step: that makes no more
    than an ulp of the slope, which the tolerance is wider than.
    """

    def __init__(self, whole: Stairs | None = None) -> None:
        self.most = np.float64(0) if whole is None else np.where(whole.hidden, whole.noise, 0)
        self.hidden = self.most > 0
        self.epsilon = 0.0 if whole is None else whole.epsilon
        self._known: dict[int, Stairs] = {}

    def noise(self, i: int, section: Section, noise: Floats) -> Floats:
        """Give η for entry `i`, of which this is the section: at least `noise`."""
        if i not in self._known:
            self._known[i] = stairs(section, noise)
            self.epsilon = max(self.epsilon, self._known[i].epsilon)
        found = self._known[i]
        height = np.where(self.hidden & ~found.hidden, self.most, found.noise)
        return np.asarray(np.maximum(noise, height))


def rounded_away(points: Floats) -> NDArray[np.bool_]:
    """Tell which of the steps between five points, (5, E), are none."""
    return np.asarray((points[0] == points[1]) | (points[1] == points[2]) | (points[3] == points[4]))


class Rounded:
    """A stencil of what may go through fewer digits inside."""

    _rounding: Rounding | None

    @property
    def epsilon(self) -> float:
        """The ulp of what f rounds to inside."""
        return 0.0 if self._rounding is None else self._rounding.epsilon


class EntryStencil(Rounded):
    """Differences of a subject's outputs along the entries of one array, moved in place and evaluated in Python.

    `evaluate`: gives all outputs, as one vector, for the array as it is; `array`: the array to move; put back whatever
    happens; `outputs`: what comes out now; `rounding`: if f goes through fewer digits inside; `ahead`: what
    evaluates ahead, where the array has this `name`.
    """

    def __init__(
        self, evaluate: Callable[[], Floats], array: FloatArray, outputs: Outputs, rounding: Rounding | None = None,
        ahead: Ahead = NEVER, name: str = "",
    ) -> None:  # fmt: skip
        self._evaluate, self._array, self._outputs, self._rounding = evaluate, array, outputs, rounding
        self._ahead, self._name = ahead, name
        self._reached: dict[int, Floats] = {}
        self._scales: Floats | None = None

    def careful(self) -> EntryStencil:
        """Give one that looks for fewer digits inside at every entry; itself, if it does already or all is float32."""
        if self._rounding is not None or self._array.dtype != np.float64:
            return self
        return EntryStencil(self._evaluate, self._array, self._outputs, Rounding(), self._ahead, self._name)

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes for flat indices of the array."""
        self._ahead.fetch(lambda: self._points(entries, steps))
        found = [self._entry(int(i), h) for i, h in zip(entries, steps, strict=True)]
        return Slopes(*np.concatenate([np.empty((4, 0)), *found], axis=1))

    def _points(self, entries: NDArray[np.int64], steps: Floats) -> Iterator[tuple[Any, Point]]:
        """Give the points that these slopes are made of."""
        for i, h in zip(entries.tolist(), steps.tolist(), strict=True):
            for number in (float(self._array.flat[i]) + h * POINTS[MOVED]).tolist():
                yield (i, number), [(self._name, i, number)]

    def _entry(self, i: int, h: float) -> Floats:
        x, outputs = float(self._array.flat[i]), self._outputs
        try:
            points, values = self._with(i, (x + h * POINTS[MOVED]).tolist())
        except Exception:
            if h <= FIRST * max(abs(x), 1):
                raise
            return UNKNOWN  # so far from where it is, the subject may refuse to be asked
        points.insert(2, x)
        values.insert(2, outputs.here)
        # Only of a number that stays as it is need it be known whether it could have changed.
        stays = ~(np.abs(np.diff(values, axis=0)) > 0).any(axis=0)
        far = self._far(i, x) if stays.any() else 0.0
        if self._rounding is not None:
            if self._scales is None:
                self._scales = scales_of(self._array).reshape(-1)
            scale = float(self._scales[i])

            def section(offsets: Sequence[float]) -> Floats:
                return np.array(self._with(i, [x + offset * scale for offset in offsets])[1])

            outputs = replace(outputs, noise=self._rounding.noise(i, section, outputs.noise))
        return outputs.slopes(np.array(values)[:, None], np.array(points)[:, None], far)

    def _with(self, i: int, numbers: Sequence[float]) -> tuple[list[float], list[Floats]]:
        """Evaluate with each of some numbers as entry `i`; give them as they were stored, and the outputs."""
        flat = self._array.flat
        before = flat[i]
        stored, values = [], []
        try:
            for number in numbers:
                flat[i] = number
                stored.append(float(flat[i]))
                values.append(self._ahead.take((i, number), self._evaluate))
        finally:
            flat[i] = before
        return stored, values

    def _far(self, i: int, x: float) -> Floats:
        """Give how much the outputs change when entry `i` is moved far: those that do not have no noise from it."""
        if i not in self._reached:
            size = max(abs(x), 1.0)
            furthest = np.zeros(len(self._outputs.here))
            try:
                # A stair may be longer than one move.
                for distance in (0.25,) if self._rounding is None else (0.25, -0.25, 4.0, -4.0, 64.0, -64.0):
                    changes = np.abs(self._with(i, [x + distance * size])[1][0] - self._outputs.here)
                    furthest = np.fmax(furthest, np.where(np.isnan(changes), np.inf, changes))
            except Exception:  # moved so far that the subject refuses it
                furthest = np.fmax(furthest, size)
            self._reached[i] = furthest
        return self._reached[i]


class EngineStencil:
    """Differences of the loss of a network that Rust evaluates: forward and loss only, many entries at a time.

    `losses`: given flat indices, shape (E,), and offsets, (E, K), gives the losses, (E, K), with that entry moved by
    each; `array`: the array whose entries are moved; `claimed`: what the other side says: where that is 0 too, a loss
    that does not change need not be looked into; `noise`: η of the loss.
    """

    def __init__(
        self, losses: Callable[[NDArray[np.int64], Floats], Floats], array: FloatArray, claimed: Floats, noise: float
    ) -> None:
        self._losses, self._claimed, self._noise = losses, claimed, noise
        self._flat = array.reshape(-1)
        self._here = losses(np.zeros(1, np.int64), np.zeros((1, 1)))[0, 0]

    #: Rust computes in float64.
    epsilon = 0.0

    def careful(self) -> EngineStencil:
        """Give itself: there is nothing to look for."""
        return self

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes for flat indices of the array."""
        losses = self._losses(entries, np.outer(steps, POINTS[MOVED]))
        found = np.zeros((4, len(entries)))
        # Where nothing moves and nothing is claimed all four are 0: of the first weights of MNIST, most.
        moves = (losses[:, 1:] != losses[:, :1]).any(axis=1) | (self._claimed[entries] != 0)
        moves |= steps < 2.0**-40 * np.abs(self._flat[entries])  # these may be rounded away
        these = np.flatnonzero(moves)
        # So many at a time that what is computed on the way stays in the cache.
        for start in range(0, len(these), 4096):
            some = these[start : start + 4096]
            found[:, some] = self._slopes(entries[some], steps[some], losses[some])
        return Slopes(*found)

    def _slopes(self, entries: NDArray[np.int64], steps: Floats, losses: Floats) -> Floats:
        """Give value, truncation, jump and rounding of each, shape (4, E), from the losses at four points."""
        x = self._flat[entries]
        points = x + np.outer(POINTS, steps)
        values = np.empty(points.shape)
        values[MOVED] = losses.T
        values[2] = self._here
        # Rust sums the rest of the network in another order for every block of inputs, so that an entry without effect
        # may differ from the first in the last bit: what counts is that moving it changes nothing.
        still = (values[[1, 3, 4]] == values[0]).all(axis=0)
        values[2, still] = values[0, still]
        far = np.zeros(len(entries))
        doubtful = np.flatnonzero(still & (self._claimed[entries] != 0))
        if len(doubtful):
            offsets = np.maximum(np.abs(x[doubtful]), 1)[:, None] / 4
            far[doubtful] = np.abs(self._losses(entries[doubtful], offsets)[:, 0] - values[0, doubtful])
        found = quotients(values, points, noise_of(values, self._noise, far))
        return np.where(rounded_away(points), UNKNOWN, found)


#: Given a step for each of some arrays, in their shapes, and offsets, gives all outputs, (K, M), with every array moved
#: by that times its step.
Along: TypeAlias = Callable[[Sequence[Floats], Sequence[float]], Floats]


def moved_in_python(
    evaluate: Callable[[], Floats],
    arrays: Mapping[str, FloatArray],
    many: Callable[[Sequence[Point]], list[Any]] | None = None,
) -> Along:
    """Give what moves these arrays in place, evaluates, and puts them back; or what has `many` do so."""

    def moved(start: FloatArray, step: Floats, offset: float) -> FloatArray:
        return np.asarray(start + offset * step, start.dtype)

    def along(steps: Sequence[Floats], offsets: Sequence[float]) -> Floats:
        own = list(zip(arrays.items(), steps, strict=True))
        if many is not None:
            points = [[(name, ..., moved(array, step, at)) for (name, array), step in own] for at in offsets]
            found = many(points)
            if all(outputs is not None for outputs in found):
                return np.array(found)
        values = []
        with put_back(arrays.values()) as before:
            for offset in offsets:
                for ((_, array), step), start in zip(own, before, strict=True):
                    np.add(start, offset * step, out=array, casting="same_kind")
                values.append(evaluate())
        return np.array(values)

    return along


class DirectionStencil(Rounded):
    """Directions instead of entries: the i-th entry is the i-th direction.

    `along`: moves the arrays and gives the outputs; `outputs`: what comes out now; `directions`: a step for each of the
    arrays, in their shapes; `rounding`: if f goes through fewer digits inside.
    """

    def __init__(
        self, along: Along, outputs: Outputs, directions: Sequence[list[Floats]] = (),
        rounding: Rounding | None = None,
    ) -> None:  # fmt: skip
        self._along, self._outputs, self._directions = along, outputs, directions
        self._rounding = rounding

    def careful(self) -> DirectionStencil:
        """Give one that looks for fewer digits inside along every direction; itself, if it does already."""
        if self._rounding is not None:
            return self
        return DirectionStencil(self._along, self._outputs, self._directions, Rounding())

    def slopes(self, entries: NDArray[np.int64], steps: Floats) -> Slopes:
        """Give the slopes along the directions of these numbers."""
        directions = [self._directions[i] for i in entries]
        if self._rounding is None:
            return Slopes(*self._slopes(directions, steps, self._outputs))
        found = [np.empty((4, 0))]
        for i, direction, step in zip(entries.tolist(), directions, steps.tolist(), strict=True):
            noise = self._rounding.noise(i, partial(self._along, direction), self._outputs.noise)
            found.append(self._slopes([direction], np.array([step]), replace(self._outputs, noise=noise)))
        return Slopes(*np.concatenate(found, axis=1))

    def slope(self, direction: list[Floats], h: float) -> list[float]:
        """Give value, truncation, jump and rounding of the slope along one direction, with this step or longer."""
        outputs = self._outputs
        if self._rounding is None:
            return [float(term) for term in self._slopes([direction], np.array([h]), outputs)[:, 0]]
        outputs = replace(outputs, noise=np.maximum(outputs.noise, self._rounding.most))
        tried = [
            self._slopes([direction], np.array([h * ratio]), outputs)[:, 0] for ratio in (1.0, 16.0, 256.0, 1024.0)
        ]
        return [float(term) for term in min(tried, key=lambda terms: float(np.sum(terms[1:])))]

    def _slopes(self, directions: Sequence[list[Floats]], steps: Floats, outputs: Outputs) -> Floats:
        here = self._outputs.here
        values = np.empty((5, len(directions), here.size))
        values[2] = here
        points = np.outer(POINTS, steps)
        for k, direction in enumerate(directions):
            try:
                values[MOVED, k] = self._along(direction, points[MOVED, k].tolist())
            except Exception:
                if steps[k] <= FIRST:
                    raise
                points[:, k] = 0  # so far from where it is, the subject may refuse to be asked
        return outputs.slopes(values, points, 1.0)


def resolution(weights: Floats, noise: Floats, size: float) -> float:
    """Give the slope that noise may feign when an entry of this size is moved by that, or by 1 if that is more."""
    return float(4 * np.abs(weights) @ (noise + np.finfo(np.float64).eps * size) / max(1.0, size))


def measured_noise(along: Along, steps: Sequence[Floats], least: Floats, *, double: bool) -> Floats:
    """Give η for each number of the outputs: by how much rounding makes f jump about near where it is.

    Third differences of seven values along small multiples of `steps`, one for each array; `least`, the rounding of the
    value itself, at least. `double` says that the arrays are all float64: what is rounded inside then is for
    `precision` to see.
    """

    def values_along(multiple: float) -> Floats:
        return along(steps, [k * multiple * _ODD for k in range(7)])

    def third_differences(values: Floats) -> Floats:
        with np.errstate(all="ignore"):
            return np.asarray(np.abs(np.diff(values, n=3, axis=0)).max(axis=0))

    tiny, *larger = (2.0**-40,) if double else (2.0**-18, 2.0**-14)
    noise = third_differences(values_along(tiny))
    for step in larger:
        if noise.all():
            break  # else all was rounded away: larger steps, where a corner near by disturbs one of both sides only
        above, below = values_along(step), values_along(-step)
        both = np.minimum(third_differences(above), third_differences(below))
        noise = np.where(noise == 0, both, noise)
    return np.maximum(np.where(np.isfinite(noise), noise, 0), least)


def both_ways(sizes: Floats) -> Floats:
    """Give every third of the sizes, from the second on, a minus: fixed signs for steps that need no chance."""
    signed = np.array(sizes, order="C")
    signed.reshape(-1)[1::3] *= -1
    return signed
