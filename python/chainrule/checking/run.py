"""The order of a check: contracts, then the numeric side against the subject's own gradients, then where and why."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking import numeric
from chainrule.checking.causes import Evidence, explain
from chainrule.checking.contracts import Trial, another_batch, keep_contracts, results_are_kept
from chainrule.checking.numeric import DirectionMover, Floats, Found, Mover, PythonMover
from chainrule.checking.report import ArrayCheck, Contract, GradientReport
from chainrule.checking.state import Arrays, Randomness
from chainrule.checking.subjects import LayerSubject, NetworkSubject, Subject, adapt

Mode = Literal["auto", "full", "directions"]

#: In mode "auto": arrays of more entries than this are compared along directions when every evaluation is Python's.
_FULL_IN_PYTHON = 2000
#: Entries looked at one by one to find out why an array is wrong that was compared along directions.
_SAMPLE = 256
#: No script draws its own data from this: a cotangent equal to the data would hide a mistake.
_SEED = 0x636861696E
#: Of the largest entry's ulps, what float32 code may be off from float64: some hundred operations, each rounding.
_ULPS = 1024


@dataclass(frozen=True)
class Settings:
    """What the caller asked for."""

    mode: Mode = "auto"
    directions: int = 4
    seed: int = 0
    tolerance: float = 1e-7


@dataclass
class _Check:
    """One subject being checked."""

    subject: Subject
    settings: Settings
    randomness: Randomness
    rng: np.random.Generator
    notes: list[str] = field(default_factory=list)
    careful: bool = False

    def report(self) -> GradientReport:
        """Do it all, for one subject, but for finding the layer."""
        trial = Trial(self.subject, self.randomness)
        outputs = trial.outputs()
        self._expect_finite(outputs)
        douts = self.subject.cotangents(outputs, self.rng)
        answer, repeatable = keep_contracts(trial, douts, self.rng)
        self.careful = not trial.broken.keys().isdisjoint(("inputs unchanged", "parameters unchanged"))
        arrays: list[ArrayCheck] = []
        second = "a second batch is not mistaken for the first"
        if repeatable:
            arrays = self._compare_all(answer, douts)
            self._second_batch(trial, second, arrays, answer, douts)
        else:
            self.notes.append("nothing was compared: differences of a function that changes by itself say nothing")
            trial.skips(second, "the outputs change by themselves")
        for name in answer.unasked:
            self.notes.append(f"{name}: {self.subject.backward_name} gives no gradient for it, so none was compared")
        contracts = trial.results()
        causes = _in_order([c.cause for c in contracts if c.cause] + [a.cause for a in arrays if a.cause])
        return GradientReport(
            subject=self.subject.name,
            kind=self.subject.kind,
            arrays=tuple(arrays),
            contracts=contracts,
            cause=causes[0] if causes else None,
            notes=tuple(self.notes),
            settings=self._facts(),
        )

    def _facts(self) -> dict[str, Any]:
        s = self.settings
        shapes = ", ".join(f"{n} {np.shape(a)}" for n, a in self.subject.inputs.items() if isinstance(a, np.ndarray))
        dtype = "float32" if self._single() else "float64"
        return {"inputs": shapes, "dtype": dtype, "mode": s.mode, "seed": s.seed, "tolerance": s.tolerance}

    def _single(self) -> bool:
        return any(a.dtype == np.float32 for a in self.subject.arrays.values())

    def _expect_finite(self, outputs: Sequence[FloatArray]) -> None:
        for out in outputs:
            if not np.isfinite(out).all():
                at = [int(i) for i in np.argwhere(~np.isfinite(out))[0]]
                raise ValueError(
                    f"{self.subject.forward_name} gives {out[tuple(at)]}{f' at {at}' if at else ''} for these arguments;"
                    " a gradient can be checked where it is finite only"
                )

    # --- the two sides ---

    def _compare_all(self, answer: Any, douts: list[Any]) -> list[ArrayCheck]:
        wide, wide_answer = self._in_float64(douts)
        side = _NumericSide(wide, self.randomness, douts, careful=self.careful)
        checks = []
        for name, array in self.subject.arrays.items():
            if name in answer.unasked:
                continue
            claimed = answer.gradients.get(name)
            spare = wide_answer.gradients.get(name) if wide_answer is not None else None
            checks.append(self._compare(side, name, array, claimed, spare))
        return checks

    def _in_float64(self, douts: list[Any]) -> tuple[Subject, Any]:
        """Give the subject the numeric side moves, and what that one's own backward gives, if it is another."""
        if not self._single():
            return self.subject, None
        wide = self.subject.widened()
        if wide is None or not self._moves_alike(wide):
            self.notes.append(
                "float32: the subject could not be copied to float64, so its differences are of float32, with wide error bars"
            )
            return self.subject, None
        self.randomness.rewind()
        try:
            return wide, wide.gradients([np.asarray(d, np.float64)[()] for d in douts])
        except Exception:  # a layer that insists on float32 in backward: then there is no second opinion
            return wide, None

    def _moves_alike(self, wide: Subject) -> bool:
        """Tell whether the copy's outputs follow its arrays as the original's do: not if a function kept hold of those."""
        changes = []
        for subject in (self.subject, wide):
            self.randomness.rewind()
            before = [out.astype(np.float64) for out in subject.outputs()]
            arrays = list(subject.arrays.values())
            kept = [a.copy() for a in arrays]
            try:
                for a in arrays:
                    np.copyto(a, a + 0.01 * numeric.scales_of(a), casting="same_kind")
                self.randomness.rewind()
                after = [out.astype(np.float64) for out in subject.outputs()]
            finally:
                for a, values in zip(arrays, kept, strict=True):
                    np.copyto(a, values)
            changes.append(any(not np.array_equal(x, y) for x, y in zip(before, after, strict=True)))
        return changes[1] or not changes[0]

    def _compare(
        self, side: _NumericSide, name: str, array: FloatArray, claimed: Any, spare: FloatArray | None
    ) -> ArrayCheck:
        if claimed is None:
            return ArrayCheck(name, array.shape, "full", 0, "wrong", note="no gradient was given", cause=None)
        single = array.dtype == np.float32
        if claimed.shape != array.shape:
            return self._misshapen(side, name, array, claimed, single)
        if array.size == 0:
            return ArrayCheck(name, array.shape, "full", 0, "right", note="empty: there is nothing to compare")
        full = self._in_full(side, array.size)
        entries, values, scales, mover = side.entries(name, claimed) if full else self._directions(side, name, claimed)
        size = _size_of(values) if full else self._sums(side, name, claimed)
        rule = _Tolerance(values, self.settings.tolerance, single, size, side.resolution(name, full))
        found = numeric.differentiate(mover, entries, scales, values, rule)
        wrong = rule.wrong(found)
        if wrong.any():
            found = _confirm(mover, entries, found, values, rule, wrong)
            wrong = rule.wrong(found)
        check = _summary(name, array, full, entries, values, found, wrong, rule)
        if check.verdict == "wrong" and single and self._right_in_float64(side, name, spare, found, full):
            kept = np.abs(claimed - spare).max() <= np.abs(spare).max() / 8
            note = "the same code is right in float64; float32 has lost " + ("digits here" if kept else "all digits here")
            check = replace(check, verdict="right" if kept else "unresolved", note=note)
        if claimed.dtype != array.dtype:
            note = f"its gradient is {claimed.dtype}, and it is {array.dtype}: digits are lost"
            return replace(check, verdict="wrong", note=note, cause="wrong dtype")
        if check.verdict == "wrong":
            check = self._why(side, check, array, claimed, full, entries, found, rule, single)
        return check

    def _in_full(self, side: _NumericSide, size: int) -> bool:
        mode = self.settings.mode
        return mode == "full" or (mode == "auto" and size <= (_FULL_IN_PYTHON if side.engine is None else _FULL_IN_RUST))

    def _directions(
        self, side: _NumericSide, name: str, claimed: FloatArray
    ) -> tuple[NDArray[np.int64], Floats, Floats, Mover]:
        """Give random directions as if they were entries: a sign and the size of the entry for each."""
        array = side.subject.arrays[name]
        scales = numeric.scales_of(array) if array.size else np.ones(array.shape)
        k = self.settings.directions
        side.directions = [scales * self.rng.choice([-1.0, 1.0], array.shape) for _ in range(k)]
        mover = DirectionMover(side.python(name), side.directions)
        values = np.array([float(np.sum(claimed.astype(np.float64) * v)) for v in side.directions])
        return np.arange(k), values, np.ones(k), mover

    def _sums(self, side: _NumericSide, name: str, claimed: FloatArray) -> float:
        """Give the size of the sums that slopes along directions are: what their rounding goes by."""
        return float(np.abs(claimed.astype(np.float64) * side.directions[0]).sum())

    def _right_in_float64(
        self, side: _NumericSide, name: str, spare: FloatArray | None, found: Found, full: bool
    ) -> bool:
        """Tell whether the same code, given float64, gives the right gradient: then float32's is off by rounding."""
        if spare is None or spare.dtype != np.float64 or spare.shape != side.subject.arrays[name].shape:
            return False
        wide = spare.reshape(-1) if full else np.array([float(np.sum(spare * v)) for v in side.directions])
        size = _size_of(wide) if full else float(np.abs(spare * side.directions[0]).sum())
        rule = _Tolerance(wide, self.settings.tolerance, False, size, side.resolution(name, full))
        return not rule.wrong(found).any()

    # --- where and why ---

    def _why(
        self, side: _NumericSide, check: ArrayCheck, array: FloatArray, claimed: FloatArray, full: bool,
        entries: NDArray[np.int64], found: Found, rule: _Tolerance, single: bool,
    ) -> ArrayCheck:  # fmt: skip
        """Name the worst entry, if only directions were compared, and look for the cause."""
        if not full:
            place = _bisect(side.python(check.name), claimed, numeric.scales_of(side.subject.arrays[check.name]))
            sample = self.rng.choice(array.size, min(array.size, _SAMPLE), replace=False)
            every, values, scales, mover = side.entries(check.name, claimed)
            entries = np.unique(np.append(sample, place)).astype(np.int64)
            resolution = side.resolution(check.name, True)
            rule = _Tolerance(values[entries], self.settings.tolerance, single, _size_of(values), resolution)
            found = numeric.differentiate(mover, entries, scales[entries], values[entries], rule)
            worst = _worst(found, values[entries], rule)
            check = replace(
                check,
                where=tuple(int(i) for i in np.unravel_index(int(entries[worst]), array.shape)),
                analytic=float(values[entries][worst]),
                numeric=float(found.slopes.value[worst]),
                bar=float(found.slopes.bar[worst]),
            )
        return replace(check, cause=explain(self._evidence(claimed, array, entries, found, rule)))

    def _evidence(
        self, claimed: FloatArray, array: FloatArray, entries: NDArray[np.int64], found: Found, rule: _Tolerance
    ) -> Evidence:
        compared = ~found.kinks
        bars = rule.bars(found)
        numbers = found.slopes.value
        allowed = bars + rule(numbers)
        examples, classes = self._counts()
        wide = claimed.astype(np.float64)
        return Evidence(wide, array, entries[compared], numbers[compared], allowed[compared], examples, classes)

    def _counts(self) -> tuple[int, int]:
        """Give N and C as well as they can be told from the outside: rows of the first input, columns of the scores."""
        arrays = [a for a in self.subject.inputs.values() if isinstance(a, np.ndarray) and a.ndim]
        examples = len(arrays[0]) if arrays else 0
        if isinstance(self.subject, NetworkSubject):
            vectors = [p for p in self.subject.parameters.values() if p.ndim == 1]
            return examples, len(vectors[-1]) if vectors else 0
        return examples, arrays[0].shape[1] if arrays and arrays[0].ndim > 1 else 0

    def _misshapen(
        self, side: _NumericSide, name: str, array: FloatArray, claimed: FloatArray, single: bool
    ) -> ArrayCheck:
        """Judge a gradient that has not the shape of its array."""
        note = f"its gradient has shape {claimed.shape}, and it has shape {array.shape}"
        some = np.sort(self.rng.choice(array.size, min(array.size, _SAMPLE), replace=False)).astype(np.int64)
        _, _, scales, mover = side.entries(name, np.zeros(array.shape))
        unknown = np.full(len(some), np.nan)
        size = _size_of(claimed.astype(np.float64))
        rule = _Tolerance(unknown, self.settings.tolerance, single, size, side.resolution(name, True))
        found = numeric.differentiate(mover, some, scales[some], unknown, rule)
        cause = explain(self._evidence(claimed, array, some, found, rule)) or "wrong shape"
        return ArrayCheck(name, array.shape, "full", 0, "wrong", note=note, cause=cause)

    # --- a second batch ---

    def _second_batch(
        self, trial: Trial, name: str, arrays: list[ArrayCheck], answer: Any, douts: list[Any]
    ) -> None:
        """After a first batch come another one and the first again: nothing of one is left for the other."""
        if any(a.verdict == "wrong" for a in arrays) or f"a second {self.subject.backward_name} gives the same" in trial.broken:
            trial.skips(name, "the first batch is wrong already")
            return
        other = self.subject.with_inputs(another_batch(self.subject.inputs, self.rng))
        second = Trial(other, self.randomness)
        try:
            if not all(np.isfinite(out).all() for out in second.outputs()):
                raise ValueError("its outputs are not finite")
            theirs = second.gradients(douts)
        except Exception as error:  # the batch is of our making, and need not be one the subject can take
            trial.skips(name, f"the subject refuses a batch with other numbers ({type(error).__name__}: {error})")
            return
        results_are_kept(trial, answer)
        trial.tried.setdefault(name)
        wrong = self._wrong_along(other, theirs, douts)
        again = trial.gradients(douts)
        changed = [n for n, a in answer.gradients.items() if a is not None and not np.array_equal(a, again.gradients[n])]
        if wrong or changed:
            what = f"the second batch's gradient of {', '.join(wrong)} is wrong" if wrong else (
                f"the first batch's gradient of {', '.join(changed)} is another when it comes again"
            )
            trial.breaks(name, what, "stale batch")

    def _wrong_along(self, other: Subject, theirs: Any, douts: list[Any]) -> list[str]:
        """Give the names of arrays whose gradients are wrong along a random direction, beyond doubt."""
        check = _Check(other, replace(self.settings, mode="directions", directions=2), self.randomness, self.rng)
        wide, wide_answer = check._in_float64(douts)
        side = _NumericSide(wide, self.randomness, douts)
        wrong = []
        for name, array in other.arrays.items():
            claimed = theirs.gradients.get(name)
            if claimed is None or claimed.shape != array.shape or array.size == 0:
                continue
            spare = wide_answer.gradients.get(name) if wide_answer is not None else None
            entries, values, scales, mover = check._directions(side, name, claimed)
            single = array.dtype == np.float32
            sums, resolution = check._sums(side, name, claimed), side.resolution(name, False)
            rule = _Tolerance(values, self.settings.tolerance, single, sums, resolution)
            found = numeric.differentiate(mover, entries, scales, values, rule)
            doubtless = rule.wrong(found) & ~found.kinks
            if doubtless.any():
                found = _confirm(mover, entries, found, values, rule, doubtless)
                rounding = single and check._right_in_float64(side, name, spare, found, False)
                if (rule.wrong(found) & ~found.kinks).any() and not rounding:
                    wrong.append(name)
        return wrong


#: What is the consequence of another mistake as often as a mistake itself is named last.
_CONSEQUENCES = ("overwrites its last result", "aliases", "not linear in dout", "wrong dtype")


def _in_order(causes: list[str]) -> list[str]:
    """Give the causes, consequences last."""
    return sorted(causes, key=lambda cause: cause.startswith(_CONSEQUENCES))


#: The same where Rust evaluates a network of known layers: some seconds at the most.
_FULL_IN_RUST = 4_000_000


class _NumericSide:
    """The forward passes of one subject, contracted with one cotangent."""

    def __init__(self, subject: Subject, randomness: Randomness, douts: list[Any], *, careful: bool = False) -> None:
        self.subject, self._randomness, self._careful = subject, randomness, careful
        self._weights = np.concatenate([np.asarray(d, np.float64).reshape(-1) for d in douts])
        self._movers: dict[str, PythonMover] = {}
        self._epsilon: Floats | None = None
        self.directions: list[Floats] = []
        self.engine: Any = None

    def evaluate(self) -> Floats:
        """Give all outputs as one vector."""
        self._randomness.rewind()
        if self._careful:  # the subject writes into what it is given: what one evaluation wrote is not for the next
            before = [(a, a.copy()) for a in self.subject.arrays.values()]
        out = self.subject.outputs()
        vector = np.concatenate([np.array(o, np.float64).reshape(-1) for o in out])
        if self._epsilon is None:
            self._epsilon = np.concatenate([np.full(o.size, np.finfo(o.dtype).eps) for o in out])
        if self._careful:
            for array, values in before:
                np.copyto(array, values)
        return vector

    def python(self, name: str) -> PythonMover:
        """Give what moves the array by name, with its noise measured."""
        if name not in self._movers:
            array = self.subject.arrays[name]
            signs = np.where(np.arange(array.size).reshape(array.shape) % 3 == 1, -1.0, 1.0)
            here = self.evaluate()
            rounding = 2 * self._epsilon * np.abs(here)
            noise = numeric.measured_noise(self.evaluate, array, numeric.scales_of(array), signs, rounding)
            self._movers[name] = PythonMover(self.evaluate, array, self._weights, noise)
        return self._movers[name]

    def resolution(self, name: str, full: bool) -> float:
        """Give the slope of an entry, or along a direction, that is not told from 0."""
        scales = numeric.scales_of(self.subject.arrays[name])
        return self.python(name).resolution(scales if full else np.ones(1))

    def entries(self, name: str, claimed: FloatArray) -> tuple[NDArray[np.int64], Floats, Floats, Mover]:
        """Give all entries, what is claimed there, what steps go by, and what moves them."""
        array = self.subject.arrays[name]
        scales = numeric.scales_of(array).reshape(-1)
        return np.arange(array.size), claimed.astype(np.float64).reshape(-1), scales, self.python(name)


class _Tolerance:
    """By how much the two sides may differ beside the error bar: a share of the entry, and rounding of the largest.

    float64: `relative` of the entry, and a thousandth of that of the largest. float32: so many ulps. And `resolution`:
    a slope that is not told from 0.
    """

    def __init__(self, claimed: Floats, relative: float, single: bool, largest: float, resolution: float) -> None:
        self._claimed = np.nan_to_num(np.abs(claimed), nan=0.0, posinf=0.0)
        ulp = float(np.finfo(np.float32).eps)
        self._relative = max(relative, _ULPS * ulp) if single else relative
        self._floor = largest * (_ULPS * ulp / 16 if single else relative / 1000) + resolution
        self._raw = claimed
        self.resolution = resolution

    def is_nothing(self, bars: Floats) -> bool:
        """Tell whether bars are so small that a slope within them is as good as 0: a millionth of f, for a step of 1."""
        return bool(np.all(bars <= 1e9 * self.resolution))

    def __call__(self, values: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return np.asarray(self._relative * np.fmax(self._claimed, np.abs(values)) + self._floor)

    def at(self, these: Any) -> _Tolerance:
        """Give the rule for some of the entries."""
        part = _Tolerance.__new__(_Tolerance)
        part._claimed, part._raw = self._claimed[these], self._raw[these]
        part._relative, part._floor, part.resolution = self._relative, self._floor, self.resolution
        return part

    def bars(self, found: Found) -> Floats:
        """Give the error bars; at a kink every slope between those of both sides is as right as any other."""
        slopes = found.slopes
        return np.where(found.kinks, slopes.truncation + 0.55 * slopes.jump + slopes.rounding, slopes.bar)

    def excess(self, found: Found) -> Floats:
        """Give by how much each entry differs beyond its bar and tolerance; what is not finite, infinitely much."""
        with np.errstate(invalid="ignore"):
            excess = np.abs(self._raw - found.slopes.value) - self.bars(found) - self(found.slopes.value)
        unknown = ~np.isfinite(found.slopes.bar) & np.isfinite(self._raw)
        return np.where(unknown, 0, np.where(np.isfinite(self._raw), excess, np.inf))

    def wrong(self, found: Found) -> NDArray[np.bool_]:
        """Tell which entries differ."""
        return np.asarray(self.excess(found) > 0)


def _confirm(
    mover: Mover, entries: NDArray[np.int64], found: Found, values: Floats, rule: _Tolerance, wrong: NDArray[np.bool_]
) -> Found:
    """Look again at what seems wrong: at the most flagrant, if there are many."""
    suspects = np.flatnonzero(wrong)
    suspects = suspects[np.argsort(-rule.excess(found)[suspects], kind="stable")[:64]]
    part = Found(found.slopes.at(suspects), found.kinks[suspects], found.steps[suspects])
    again = numeric.confirmed(mover, entries[suspects], part, values[suspects], rule.at(suspects))
    chosen = np.zeros(len(entries), bool)
    chosen[suspects] = True
    order = np.argsort(suspects)
    return replace(found, slopes=found.slopes.where(chosen, again.slopes.at(order)))


def _worst(found: Found, values: Floats, rule: _Tolerance) -> int:
    """Give the entry that differs most beyond what it may, in terms of its own size."""
    excess = rule.excess(found)
    with np.errstate(all="ignore"):
        share = excess / np.fmax(np.abs(values), np.abs(found.slopes.value))
    return int(np.argmax(np.where(np.isinf(excess), np.inf, np.where(excess > 0, np.nan_to_num(share), excess - 1e300))))


def _size_of(values: FloatArray) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0))


def _summary(
    name: str, array: FloatArray, full: bool, entries: NDArray[np.int64], values: Floats, found: Found,
    wrong: NDArray[np.bool_], rule: _Tolerance,
) -> ArrayCheck:  # fmt: skip
    """Give the figures and the verdict for one array."""
    slopes, kinks = found.slopes, found.kinks
    compared = ~kinks | wrong
    bars = rule.bars(found)
    with np.errstate(all="ignore"):
        difference = np.abs(values - slopes.value)
        larger = np.fmax(np.abs(values), np.abs(slopes.value))
        counts = compared & ((larger > 1e-3 * _size_of(larger[compared])) | wrong)
        relative = np.where(larger > 0, difference / larger, 0)
    verdict: Any = "right"
    if wrong.any():
        verdict = "wrong"
    elif not compared.any():
        verdict = "kink"
    elif np.all((larger <= bars + rule.resolution)[compared]) and rule.is_nothing(bars[compared]):
        verdict = "kink" if kinks.any() else "vacuous"
    elif _unresolved(larger, bars, compared):
        verdict = "unresolved"
    elif kinks.any():
        verdict = "kink"
    worst = int(np.argmax(np.where(compared, rule.excess(found), -np.inf)))
    if wrong.any():
        worst = _worst(found, values, rule)
    picture = np.full(array.size, np.nan)
    if full:
        picture[entries[compared]] = relative[compared]
    return ArrayCheck(
        name=name,
        shape=array.shape,
        mode="full" if full else "directions",
        checked=int(compared.sum()),
        verdict=verdict,
        mean_difference=float(difference[compared].mean()) if compared.any() else 0.0,
        max_difference=float(difference[compared].max(initial=0)),
        max_relative=float(relative[counts].max(initial=0)),
        error_bar=float(bars[compared].max(initial=0)),
        kinks=int((kinks & ~wrong).sum()),
        where=tuple(int(i) for i in np.unravel_index(int(entries[worst]), array.shape)) if full else (),
        analytic=float(values[worst]),
        numeric=float(slopes.value[worst]),
        bar=float(bars[worst]),
        relative=picture.reshape(array.shape) if full else None,
    )


def _unresolved(larger: Floats, bars: Floats, compared: NDArray[np.bool_]) -> bool:
    """Tell whether an entry that matters has a bar too wide to tell half of it from the whole."""
    matters = compared & ~(larger <= 1e-3 * _size_of(larger[compared]))
    with np.errstate(invalid="ignore"):
        return bool(np.any(matters & ~(bars <= larger / 4)))


def _bisect(mover: PythonMover, claimed: FloatArray, scales: Floats) -> int:
    """Give the flat index of an entry that differs: halves of the array are compared until one entry is left."""
    flat = claimed.astype(np.float64).reshape(-1)
    left = np.arange(claimed.size)
    while len(left) > 1:
        halves = left[: len(left) // 2], left[len(left) // 2 :]
        off = []
        for half in halves:
            v = np.zeros(claimed.size)
            v[half] = scales.reshape(-1)[half] * np.where(np.arange(len(half)) % 3 == 1, -1.0, 1.0)
            slope = mover.along(v.reshape(claimed.shape), np.array([2.0**-12]))
            with np.errstate(invalid="ignore"):
                off.append(float(np.abs(flat @ v - slope.value[0]) - slope.bar[0]))
        left = halves[0] if not off[0] < off[1] else halves[1]
    return int(left[0])


# --- networks: which layer ---


def first_faulty_layer(
    subject: NetworkSubject, settings: Settings, randomness: Randomness, rng: np.random.Generator
) -> tuple[str | None, GradientReport | None, str]:
    """Walk back through the layers with what really flows through them, and name the first that is wrong.

    Each layer is asked twice: in its place, after a forward pass of the whole network, and by itself, as a layer with
    its real input. A layer that is right by itself and gives something else in its place has lost what it remembered to
    another layer.
    """
    net = subject.thing
    layers, last = getattr(net, "layers", None), getattr(net, "last_layer", None)
    if not isinstance(layers, Mapping) or not hasattr(last, "forward") or len(subject.inputs) != 2:
        return None, None, "it has no layers that could be walked through"
    x, t = subject.inputs.values()
    try:
        flowing, scores = _forward(layers, x, randomness)
        loss = float(np.asarray(last.forward(scores, t)))
        dout = last.backward(1)
    except Exception as error:  # layers of the user's own, called by us
        return None, None, f"its layers could not be walked through ({type(error).__name__}: {error})"
    randomness.rewind()
    if not np.isclose(loss, float(subject.outputs()[0]), rtol=1e-6):
        beside = "; what loss(x, t) adds to its layers, or does to their arguments, may be the fault"
    else:
        beside = ""
    steps: list[tuple[str, Any, tuple[Any, ...]]] = [("last_layer", last, (scores, t))]
    steps += [(name, layers[name], (value,)) for name, value in reversed(flowing)]
    _forward(layers, x, randomness)
    last.forward(scores, t)
    in_place = dout = last.backward(1)
    for name, layer, inputs in steps:
        if name != "last_layer":
            incoming = np.array(dout)
            try:
                in_place = layer.backward(np.array(incoming))
            except Exception as error:
                return name, None, f"{name}.backward raises {type(error).__name__}: {error}"
        try:
            report = _alone(name, layer, inputs, settings, rng)
        except (TypeError, ValueError):  # nothing to differentiate by
            report = None
        if report is not None and report.verdict == "wrong":
            return name, report, ""
        if name != "last_layer":
            _again(layer, inputs, randomness)
            expected = layer.backward(np.array(incoming))
            if _differ(in_place, expected):
                return name, None, f"{name} is right by itself, but loses what it remembers to another layer of this network"
            # The others' memories are those of the whole network again.
            _forward(layers, x, randomness)
            dout = expected
    return None, None, "each layer by itself is right: the fault is in how the network puts them together" + beside


def _forward(layers: Mapping[str, Any], x: Any, randomness: Randomness) -> tuple[list[tuple[str, Any]], Any]:
    """Give what flows into each layer, copied, and what comes out of the last."""
    randomness.rewind()
    flowing, value = [], np.array(x)
    for name, layer in layers.items():
        flowing.append((name, np.array(value)))
        value = layer.forward(value)
    return flowing, value


def _again(layer: Any, inputs: tuple[Any, ...], randomness: Randomness) -> None:
    randomness.rewind()
    layer.forward(*(np.array(a) for a in inputs))


def _alone(
    name: str, layer: Any, inputs: tuple[Any, ...], settings: Settings, rng: np.random.Generator
) -> GradientReport:
    subject = adapt(layer, inputs)
    subject.name = name
    return _Check(subject, settings, Randomness(layer), rng).report()


def _differ(a: Any, b: Any) -> bool:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-9 * np.abs(b).max(initial=0), equal_nan=True)


# --- the whole ---


@contextmanager
def _left_as_found(thing: Any, subject: Subject, randomness: Randomness) -> Iterator[None]:
    """Put every array and generator back at the end, whatever happens."""
    arrays = Arrays(list(subject.parameters.values()), thing)
    try:
        yield
    finally:
        arrays.restore()
        randomness.restore()


def check(thing: Any, arguments: Sequence[Any], settings: Settings) -> GradientReport:
    """Check a layer, a network or a pair; see `chainrule.check_gradients`."""
    subject = adapt(thing, arguments)
    randomness = Randomness(thing)
    rng = np.random.default_rng([settings.seed, _SEED])
    with _left_as_found(thing, subject, randomness), np.errstate(all="ignore"):
        report = _Check(subject, settings, randomness, rng).report()
        if report.verdict == "wrong" and isinstance(subject, NetworkSubject):
            layer, found, note = first_faulty_layer(subject, settings, randomness, rng)
            notes = (*report.notes, note) if note else report.notes
            cause = (found.cause if found is not None else None) or report.cause
            report = replace(report, layer=layer, cause=cause, notes=notes)
    return report
