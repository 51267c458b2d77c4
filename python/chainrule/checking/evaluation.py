"""One subject's numeric side: its forward passes, weighted with one cotangent, and what moves its arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking import finite_differences, perturbation, precision
from chainrule.checking.finite_differences import Floats, Stencil
from chainrule.checking.groups import Group, GroupStencil
from chainrule.checking.perturbation import DirectionStencil, EngineStencil, EntryStencil, Outputs, Rounding
from chainrule.checking.precision import Stairs, most_of, together
from chainrule.checking.randomness import Randomness
from chainrule.checking.subject import Subject
from chainrule.checking.taylor import TaylorTable, table
from chainrule.checking.workers import Ahead, Evaluator, Point, Workers


class NumericEvaluation:
    """What a check asks of the numeric side.

    `subject`: in float64, if it could be had so; `names`: the arrays that have gradients: no other is moved;
    `randomness`: set back before every forward pass; `douts`: the cotangent, for each output; `careful`: put back the
    arrays after every forward pass, for a subject that writes into them; `like`: that of another batch, with nearly the
    same parameters: their scales are taken over, and the noise, if there are as many outputs, and no input is moved;
    `thorough`: look for float16 inside too, and along a second direction, before anything seems wrong; `still`: by the
    name of an array, which of its entries are not to be moved when all are; `workers`: what evaluates ahead;
    `tell`: is told of evaluations, how many were made.
    """

    def __init__(
        self,
        subject: Subject,
        names: Iterable[str],
        randomness: Randomness,
        douts: Sequence[Any],
        *,
        careful: bool = False,
        like: NumericEvaluation | None = None,
        thorough: bool = True,
        still: Mapping[str, NDArray[np.bool_]] = {},  # read only
        workers: Workers | None = None,
        tell: Callable[[int], object] | None = None,
    ) -> None:
        self.subject, self._thorough, self._still = subject, thorough, still
        self.evaluator, self._workers = Evaluator(subject, randomness, careful, tell), workers
        self._many: Callable[[Sequence[Point]], list[Any]] | None = None
        self._weights = np.concatenate([np.asarray(d, np.float64).reshape(-1) for d in douts])
        taken = {} if like is None else {name: like.scales.get(name) for name in subject.parameters}
        self.scales: dict[str, Floats] = {}
        for name in names:
            scales = taken.get(name)
            self.scales[name] = finite_differences.scales_of(subject.arrays[name]) if scales is None else scales
        # The sums of their logarithms: what takes long for a large array is found once.
        self._logs: dict[str, float] = {}
        if like is not None:
            self._logs |= {n: log for n, log in like._logs.items() if self.scales.get(n) is like.scales[n]}
        randomness.rewind()  # Rust draws the masks that the subject would
        self.engine = subject.engine()
        self._own_noise: dict[str, Floats] = {}
        #: Along which all arrays were moved at once.
        self.line: Line | None = None
        #: All outputs as they are now, as one vector.
        self.here = self.evaluate()
        epsilon = np.finfo(np.float64).eps if self.engine is not None else self.evaluator.epsilon
        self._least: Floats = 2 * epsilon * np.abs(self.here)
        # Inputs are others in another batch: noise that comes from their rounding is not what it was.
        same = like is not None and like.noise.size == self.here.size
        known_noise = same and self.scales.keys() <= subject.parameters.keys()
        self.noise: Floats = like.noise if like is not None and known_noise else self._noise_of_all()
        # How high the stairs of arrays are that go through fewer digits inside; Rust's networks do not.
        self._stairs: dict[str, Stairs] = {}
        if self.engine is None:
            self._stairs = like._stairs if like is not None and known_noise else self._look_for_stairs(like)

    def _noise_of_all(self) -> Floats:
        """Measure η with all arrays moved at once, and keep that of each, if they are too unlike."""
        separate = apart(self.scales, self.subject.arrays)
        # Beside a large array the noise of a tiny one would drown: then each is measured by itself.
        sizes = [self.scales[name] for name in separate if self.scales[name].size]
        if max(map(np.max, sizes), default=0) > 1e6 * min(map(np.min, sizes), default=0):
            self._own_noise = {name: self._measured_noise([name]) for name in separate}
        return self._measured_noise(separate)

    def _look_for_stairs(self, like: NumericEvaluation | None) -> dict[str, Stairs]:
        """Find the arrays that go through fewer digits inside: with all moved at once first, then one by one."""
        wide = [n for n in apart(self.scales, self.subject.arrays) if self.subject.arrays[n].dtype == np.float64]
        if like is not None:
            wide = [name for name in wide if name in like._stairs]
        elif not wide or not self._stairs_of(wide).hidden.any():
            return {}
        found = {name: self._stairs_of([name]) for name in wide}
        return {name: stairs for name, stairs in found.items() if stairs.hidden.any()}

    def _stairs_of(self, names: Sequence[str]) -> Stairs:
        """Look for stairs along two directions: along one the slopes of many entries may add up to nothing."""
        steps = [perturbation.both_ways(self._sizes(name)) for name in names]
        others = [with_random_signs(self._sizes(name), np.random.default_rng(0)) for name in names]
        along, lengths = self._along(names), precision.LENGTHS if self._thorough else precision.LENGTHS[:1]
        ways = (steps, others) if self._thorough else (steps,)
        line = Line(tuple(names), steps, partial(along, steps))
        if self.line is None:
            self.line = line
        sections = (line.values, partial(along, others))[: len(ways)]
        return most_of([precision.stairs(section, self.noise, lengths) for section in sections])

    def _rounding(self, names: Sequence[str]) -> Rounding | None:
        """Give what knows of the stairs when these arrays are moved together; None if there are none."""
        found = [self._stairs[name] for name in names if name in self._stairs]
        return Rounding(together(found)) if found else None

    def _sizes(self, name: str) -> Floats:
        """Give what the entries are moved by when all are."""
        return np.where(self._still[name], 0.0, self.scales[name]) if name in self._still else self.scales[name]

    def _measured_noise(self, names: Sequence[str]) -> Floats:
        steps = [perturbation.both_ways(self._sizes(name)) for name in names]
        double = all(self.subject.arrays[name].dtype == np.float64 for name in names)
        return perturbation.measured_noise(self._along(names), steps, self._least, double=double)

    def _along(self, names: Sequence[str]) -> perturbation.Along:
        """Give what moves these arrays together and evaluates: Rust, if it knows the network."""
        arrays, engine = [self.subject.arrays[name] for name in names], self.engine
        if engine is None:
            by_name = dict(zip(names, arrays, strict=True))
            return perturbation.moved_in_python(self.evaluate, by_name, self._elsewhere())
        return lambda steps, offsets: engine.losses_along(arrays, steps, offsets)[:, None]

    def evaluate(self) -> Floats:
        """Give all outputs as one vector."""
        if self.engine is not None:
            return self.engine.losses_along([], [], [0.0])
        return self.evaluator.vector()

    def _outputs(self, *names: str) -> Outputs:
        """Give what comes out now, and how noisy it is when these arrays are moved."""
        noise = self._own_noise.get(names[0], self.noise) if len(names) == 1 else self.noise
        return Outputs(self.here, self._weights, noise)

    def directions(self, names: Sequence[str], steps: Sequence[list[Floats]] = ()) -> DirectionStencil:
        """Give what moves these arrays together, along the given directions or any."""
        return DirectionStencil(self._along(names), self._outputs(*names), steps, self._rounding(names))

    def entries(self, name: str, claimed: FloatArray, some: NDArray[np.int64] | None = None) -> Entries:
        """Give all entries of an array, or some, to be compared one by one by the quickest way there is."""
        array = self.subject.arrays[name]
        stencil: Stencil
        if self.engine is None:
            ahead = self._ahead()
            stencil = EntryStencil(self.evaluate, array, self._outputs(name), self._rounding([name]), ahead, name)
        else:
            flat = claimed.astype(np.float64).reshape(-1)
            stencil = EngineStencil(self.engine.losses_of(array), array, flat, float(self.noise[0]))
        entries = np.arange(array.size) if some is None else some
        scales = self.scales[name].reshape(-1)[entries]
        return Entries(stencil, entries, scales, np.maximum(scales, 1) / 4, self.resolution(name), name)

    def of_groups(self, name: str, groups: Sequence[Group]) -> GroupStencil:
        """Give what moves groups of entries of an array together, and tells what each output does."""
        array = self.subject.arrays[name]
        rounding = self._rounding([name])
        return GroupStencil(self.evaluate, array, self._outputs(name), groups, rounding, self._ahead(), name)

    def taylor(self, gradients: Mapping[str, FloatArray | None]) -> TaylorTable | None:
        """Give what is left of the outputs along a line, weighted, when these gradients are taken away.

        From evaluations that were made to look for rounding inside, where they suffice; None if not all that is moved
        has a gradient, or the arrays are no longer what they were.
        """
        if self.engine is not None and not np.array_equal(self.evaluate(), self.here):
            return None
        if self.line is None:
            names = apart(self.scales, self.subject.arrays)
            steps = [perturbation.both_ways(self._sizes(name)) for name in names]
            self.line = Line(tuple(names), steps, partial(self._along(names), steps))
        given = [gradients.get(name) for name in self.line.names]
        if any(g is None or g.shape != v.shape for g, v in zip(given, self.line.steps, strict=True)):
            return None
        slope = sum(float(np.sum(np.asarray(g, np.float64) * v)) for g, v in zip(given, self.line.steps, strict=True))
        try:
            points = self.line.several()
        except Exception:  # moved so far that the subject refuses it
            return None
        weights = np.ones(1) if self.engine is not None else self._weights
        values = [float(weights @ outputs) for outputs in points.values()]
        noise = float(np.abs(weights) @ (8 * self.noise + self._least))
        return table(self.line.names, list(points), values, float(weights @ self.here), slope, noise)

    def _ahead(self) -> Ahead:
        """Give what evaluates ahead, if there are workers."""
        return Ahead(self._elsewhere())

    def _elsewhere(self) -> Callable[[Sequence[Point]], list[Any]] | None:
        """Give what evaluates points in other places, if there are workers."""
        if self._many is None and self._workers is not None:
            self._many = self._workers.of(self.evaluator)
        return self._many

    def resolutions(self, name: str, scales: Floats) -> Floats:
        """Give the slope of each output that its rounding may feign, when what has these sizes is moved; (G, M)."""
        sizes = np.maximum(max(1.0, self._typical([name])), scales)
        return np.asarray(4 * self._least / sizes[:, None])

    def resolution(self, *names: str) -> float:
        """Give the slope of an entry that is not told from 0."""
        return perturbation.resolution(self._weights, self._least, self._typical(names))

    def _typical(self, names: Sequence[str]) -> float:
        """Give the geometric mean of the sizes of the entries."""
        for name in names:
            if name not in self._logs:
                self._logs[name] = float(np.log(self.scales[name]).sum())
        size = sum(self.scales[name].size for name in names)
        return math.exp(sum(self._logs[name] for name in names) / size) if size else 1.0


@dataclass
class Line:
    """A direction through several arrays, and what came out at points along it."""

    names: tuple[str, ...]
    steps: list[Floats]
    along: Callable[[Sequence[float]], Floats]
    known: dict[float, Floats] = field(default_factory=dict)

    def values(self, offsets: Sequence[float]) -> Floats:
        """Give the outputs at some offsets, and keep them."""
        found = self.along(offsets)
        self.known |= zip(offsets, found, strict=True)
        return found

    def several(self) -> dict[float, Floats]:
        """Give what came out at some steps from long to short; three more are made if all were short."""
        if not any(offset > _LONG for offset in self.known):
            self.values([2.0**-4, 2.0**-6, 2.0**-8])
        far = [offset for offset in sorted(self.known) if offset > _SHORTEST]
        chosen: list[float] = []
        for offset in far:  # none is less than twice another
            if not chosen or offset >= 2 * chosen[-1]:
                chosen.append(offset)
        return {offset: self.known[offset] for offset in chosen}


#: A step over which something shows, and the shortest that is told of, in sizes of what is moved.
_LONG, _SHORTEST = 2.0**-9, 2.0**-18


@dataclass
class Probes(ABC):
    """What two sides can be compared on: entries of an array, or directions through one or several."""

    stencil: Stencil
    numbers: NDArray[np.int64]
    scales: Floats
    caps: Floats
    #: A slope that is not told from 0; one for all, or for each.
    resolution: float | Floats

    #: The steps to begin with, if they are known.
    first: Floats | None = field(default=None, kw_only=True)

    @abstractmethod
    def read(self, gradients: Mapping[str, FloatArray]) -> Floats:
        """Give what these gradients say."""

    @abstractmethod
    def size(self, gradients: Mapping[str, FloatArray]) -> float:
        """Give the size that their rounding goes by."""

    def halves(self, few: NDArray[np.int64]) -> Stencil | None:
        """Give what moves along the positive halves of a few directions, then along the negative; None of entries."""
        return None


@dataclass
class Entries(Probes):
    """Single entries of one array, by their flat indices."""

    name: str

    def read(self, gradients: Mapping[str, FloatArray]) -> Floats:
        """Give these entries."""
        return np.asarray(gradients[self.name].astype(np.float64).reshape(-1)[self.numbers])

    def size(self, gradients: Mapping[str, FloatArray]) -> float:
        """Give the size of the largest entry, of all."""
        return finite_differences.largest(gradients[self.name])


class Directions(Probes):
    """Random directions through one array or several: for every entry a step of either sign, of about its size.

    Not of just its size: two mistakes of equal size would cancel in every second direction.

    `names`: the arrays that move together; `count`: how many.
    """

    def __init__(self, numeric: NumericEvaluation, names: Sequence[str], count: int, rng: np.random.Generator) -> None:
        self._names, self._numeric = apart(names, numeric.subject.arrays), numeric
        self._steps = [[with_random_signs(numeric.scales[n], rng) for n in self._names] for _ in range(count)]
        longest = max(float(numeric.scales[name].max(initial=0)) for name in names)
        super().__init__(
            numeric.directions(self._names, self._steps), np.arange(count), np.ones(count),
            np.full(count, max(1.0, 1 / longest) / 4), numeric.resolution(*names),
        )  # fmt: skip

    def halves(self, few: NDArray[np.int64]) -> Stencil:
        """Give what moves along their halves."""
        chosen = [self._steps[i] for i in few]
        steps = [[half(v, 0) for v in vs] for half in (np.maximum, np.minimum) for vs in chosen]
        return self._numeric.directions(self._names, steps)

    def read(self, gradients: Mapping[str, FloatArray]) -> Floats:
        """Give the slopes along the directions."""
        wide = [np.asarray(gradients[name], np.float64) for name in self._names]
        return np.array([sum(float(np.sum(g * v)) for g, v in zip(wide, vs, strict=True)) for vs in self._steps])

    def size(self, gradients: Mapping[str, FloatArray]) -> float:
        """Give the sum of the sizes of what is added up in such a slope."""
        steps = zip(self._names, self._steps[0], strict=True)
        products = [np.atleast_1d(gradients[name] * v) for name, v in steps]
        return sum(float(np.abs(product, out=product).sum()) for product in products)


def apart(names: Iterable[str], arrays: Mapping[str, FloatArray]) -> list[str]:
    """Give those names whose arrays do not share memory with an earlier one: moved together, it would move twice."""
    found: list[str] = []
    for name in names:
        if not any(np.may_share_memory(arrays[name], arrays[other]) for other in found):
            found.append(name)
    return found


def with_random_signs(sizes: Floats, rng: np.random.Generator) -> Floats:
    """Give the sizes times numbers between 0.5 and 1 of either sign."""
    bits = _bits(sizes.shape, rng)
    # The bit below the sign's is made its opposite: then a number lies in the outer half of the range.
    opposite = ~(bits >> 1) & 0x4000
    bits &= ~0x4000
    bits |= opposite
    signs = np.asarray(bits * 2.0**-15)
    return np.asarray(np.multiply(signs, sizes, out=signs if signs.ndim else None))


def uniform(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    """Give numbers between -1 and 1, of sixteen random bits each."""
    return np.asarray(_bits(shape, rng) * np.float32(2.0**-15))


def _bits(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int16]:
    """Give sixteen random bits each: in a fifth of the time that the 53 of a float64 take."""
    size = math.prod(shape)
    return np.asarray(rng.bit_generator.random_raw(-(-size // 4)).view(np.int16)[:size].reshape(shape))
