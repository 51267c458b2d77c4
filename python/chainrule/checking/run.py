"""The order of a check: contracts, then the numeric side against the subject's own gradients, then where and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking import numeric
from chainrule.checking.causes import Evidence, explain
from chainrule.checking.contracts import Trial, another_batch, keep_contracts, results_are_kept
from chainrule.checking.judging import Tolerance, bars_of, compare, excess, summary, worst_of
from chainrule.checking.movers import DirectionMover, both_ways
from chainrule.checking.numeric import FIRST, Floats, Found, largest
from chainrule.checking.report import ArrayCheck, GradientReport
from chainrule.checking.side import Directions, Ground, NumericSide
from chainrule.checking.state import Arrays, Randomness, put_back
from chainrule.checking.subjects import Answer, NetworkSubject, Subject, adapt, is_single, place_not_finite
from chainrule.checking.walk import first_faulty_layer

Mode = Literal["auto", "full", "directions"]

#: In mode "auto" an array is compared entry by entry if it has no more entries than this, where Python evaluates …
_MOST_ENTRIES = 2_000
#: … and if entries times all numbers that an evaluation reads and gives, or Rust's rows, are no more than this.
_MOST_WORK, _MOST_WORK_IN_RUST = 50_000_000, 40_000_000
#: Entries looked at one by one to find out why an array is wrong that was compared along directions.
_SAMPLE = 256
#: No script draws its own data from this: a cotangent equal to the data would hide a mistake.
_SEED = 0x636861696E
#: What is the consequence of another mistake as often as a mistake itself is named last.
_CONSEQUENCES = ("overwrites its last result", "aliases", "not linear in dout", "wrong dtype")
_SECOND_BATCH = "a second batch is not mistaken for the first"


@dataclass(frozen=True)
class Settings:
    """What the caller asked for."""

    mode: Mode
    directions: int
    seed: int
    tolerance: float


def check(thing: Any, arguments: Sequence[Any], settings: Settings) -> GradientReport:
    """Check a layer, a network or a pair; see `chainrule.check_gradients`."""
    subject, randomness = adapt(thing, arguments), Randomness(thing)
    rng = np.random.default_rng([settings.seed, _SEED])

    def alone(name: str, layer: Any, inputs: tuple[Any, ...], dout: float | None) -> GradientReport | None:
        try:
            part = adapt(layer, inputs)
        except (TypeError, ValueError):  # nothing to differentiate by
            return None
        part.name = name
        return _Check(part, settings, Randomness(layer), rng, dout=dout).report()

    with _left_as_found(thing, subject, randomness), np.errstate(all="ignore"):
        report = _Check(subject, settings, randomness, rng).report()
        if report.verdict == "wrong" and isinstance(subject, NetworkSubject):
            layer, found, note = first_faulty_layer(subject, alone, randomness)
            notes = (*report.notes, note) if note else report.notes
            cause = found.cause if found is not None and found.cause else report.cause
            report = replace(report, layer=layer, cause=cause, notes=notes)
    return report


@contextmanager
def _left_as_found(thing: Any, subject: Subject, randomness: Randomness) -> Iterator[None]:
    """Put every array and generator back at the end, whatever happens."""
    arrays = Arrays(list(subject.parameters.values()), thing)
    try:
        yield
    except Exception as error:
        error.add_note(f"raised while the gradients of {subject.name} were checked; its arrays are as before the check")
        raise
    finally:
        try:
            arrays.restore()
        finally:
            randomness.restore()


@dataclass
class _Check:
    """One subject being checked."""

    subject: Subject
    settings: Settings
    randomness: Randomness
    rng: np.random.Generator
    notes: list[str] = field(default_factory=list)
    noise: Floats | None = None
    widened: bool = False
    dout: float | None = None

    def report(self) -> GradientReport:
        """Do it all, but for finding the layer of a network."""
        trial = Trial(self.subject, self.randomness)
        outputs = trial.outputs()
        self._expect_finite(outputs)
        self.randomness.look(self.subject.thing)
        douts = self.subject.cotangents(outputs, self.rng)
        if self.dout is not None:
            douts = [np.full_like(dout, self.dout)[()] for dout in douts]
        answer, repeatable = keep_contracts(trial, douts, self.rng)
        arrays: tuple[ArrayCheck, ...] = ()
        if repeatable:
            careful = not trial.broken.keys().isdisjoint(("inputs unchanged", "parameters unchanged"))
            arrays = self._compare_all(answer, douts, careful)
            arrays = self._other_batches(trial, arrays, answer, douts)
        else:
            self.notes.append("nothing was compared: differences of a function that changes by itself say nothing")
            trial.skips(_SECOND_BATCH, "the outputs change by themselves")
        contracts = trial.results()
        causes = [c.cause for c in contracts if c.cause] + [a.cause for a in arrays if a.cause]
        causes.sort(key=lambda cause: cause.startswith(_CONSEQUENCES))
        return GradientReport(
            subject=self.subject.name,
            kind=self.subject.kind,
            arrays=arrays,
            contracts=contracts,
            cause=causes[0] if causes else None,
            notes=tuple(self.notes),
            settings=self._facts(),
        )

    def _facts(self) -> dict[str, Any]:
        s = self.settings
        shapes = ", ".join(f"{n} {a.shape}" for n, a in self.subject.inputs.items() if isinstance(a, np.ndarray))
        dtype = "float32" if self._single() else "float64"
        return {"inputs": shapes, "dtype": dtype, "mode": s.mode, "seed": s.seed, "tolerance": s.tolerance}

    def _single(self) -> bool:
        return any(map(is_single, self.subject.arrays.values()))

    def _expect_finite(self, outputs: Sequence[FloatArray]) -> None:
        for out in outputs:
            at = place_not_finite(out)
            if at is not None:
                given = f"{out[tuple(at)]}{f' at {at}' if at else ''}"
                raise ValueError(
                    f"{self.subject.name}: {self.subject.forward_name} gives {given} for these arguments;"
                    " a gradient can be checked where it is finite only"
                )

    # --- the two sides ---

    def _compare_all(self, answer: Answer, douts: list[Any], careful: bool) -> tuple[ArrayCheck, ...]:
        names = [name for name in self.subject.arrays if name not in answer.unasked]
        wide, second_opinion = self._in_float64(names, douts)
        side = NumericSide(wide, names, self.randomness, douts, careful=careful)
        self.noise, self.widened = side.noise, wide is not self.subject
        checks = []
        for name in self.subject.arrays:
            if name in names:
                checks.append(self._compare(side, name, answer.gradients.get(name), second_opinion.get(name)))
            elif not self._is_target(name) and self._moves(self.subject, name):
                note = f"{self.subject.backward_name} gives no gradient for it, though the output depends on it"
                checks.append(ArrayCheck(name, self.subject.arrays[name].shape, "full", 0, "unresolved", note=note))
            else:
                self.notes.append(
                    f"{name}: {self.subject.backward_name} gives no gradient for it, so none was compared"
                )
        return tuple(checks)

    def _is_target(self, name: str) -> bool:
        """Tell whether an input is what a loss is measured against: an input of a loss, but not its first."""
        return self.noise is not None and self.noise.size == 1 and name != next(iter(self.subject.inputs))

    def _in_float64(self, names: list[str], douts: list[Any]) -> tuple[Subject, dict[str, FloatArray]]:
        """Give the subject that the numeric side moves, and what that one's own backward gives, if it is a copy."""
        if not self._single():
            return self.subject, {}
        wide = self.subject.widened()
        if wide is None or not self._moves_alike(wide, names):
            self.notes.append(
                "float32: no copy in float64 could be had, so the differences are float32's, with wide bars"
            )
            return self.subject, {}
        self.randomness.rewind()
        try:
            answer = wide.gradients([np.asarray(dout, np.float64)[()] for dout in douts])
        except Exception:  # a layer that insists on float32 in backward: then there is no second opinion
            return wide, {}
        given = {name: np.asarray(a) for name, a in answer.gradients.items() if a is not None}
        return wide, {n: a for n, a in given.items() if a.dtype == np.float64 and a.shape == wide.arrays[n].shape}

    def _moves_alike(self, wide: Subject, names: list[str]) -> bool:
        """Tell whether the copy's outputs follow its arrays as the original's do; not if a function has hold of one."""
        return all(self._moves(wide, name) or not self._moves(self.subject, name) for name in names)

    def _moves(self, subject: Subject, name: str) -> bool:
        """Tell whether the outputs change when an array does by a hundredth: more than float32 rounds away."""
        array, outputs = subject.arrays[name], self._outputs(subject)
        with put_back([array]) as (before,):
            try:
                np.copyto(array, before + 0.01 * numeric.scales_of(before), casting="same_kind")
                changed = zip(outputs, self._outputs(subject), strict=True)
                return not all(np.allclose(x, y, rtol=1e-3, atol=0) for x, y in changed)
            except Exception:  # it does not take this number: it looks at it, then
                return True

    def _outputs(self, subject: Subject) -> list[FloatArray]:
        self.randomness.rewind()
        return [out.copy() for out in subject.outputs()]

    def _compare(self, side: NumericSide, name: str, claimed: Any, second_opinion: FloatArray | None) -> ArrayCheck:
        array = self.subject.arrays[name]
        if claimed is None:
            return ArrayCheck(
                name, array.shape, "full", 0, "wrong", note=f"{self.subject.backward_name} gives none for it"
            )
        if claimed.shape != array.shape:
            return self._misshapen(side, name, claimed)
        if array.size == 0:
            return ArrayCheck(name, array.shape, "full", 0, "right", note="empty: there is nothing to compare")
        full = self._in_full(side, array)
        ground = side.entries(name, claimed) if full else Directions(side, [name], self.settings.directions, self.rng)
        # float32 code is judged by what it gives in float64, if it could be had: there its formula shows.
        judged = claimed if second_opinion is None else second_opinion
        rule = self._rule(ground, {name: judged}, second_opinion is None and is_single(array))
        found, wrong = compare(ground, rule)
        check = summary(name, array.shape, full, found, wrong, rule)
        if second_opinion is not None and check.verdict not in ("wrong", "vacuous"):
            check = self._in_ulps(ground, check, claimed, second_opinion, found)
        if self._wrong_dtype(claimed, array):
            note = f"its gradient is {claimed.dtype}, and it is {array.dtype}"
            return replace(check, verdict="wrong", note=note, cause="wrong dtype")
        if check.verdict != "wrong":
            return check
        if check.numeric == 0 == check.bar and not self._moves(side.subject, name):
            check = replace(check, note="moving it changes nothing that comes out: is another array used?")
        return self._why(side, check, judged, found, rule) if full else self._where_and_why(side, check, judged)

    def _wrong_dtype(self, claimed: FloatArray, array: FloatArray) -> bool:
        """Tell whether a gradient has another dtype than its array; where those are mixed, one with fewer digits."""
        given, own = claimed.dtype.newbyteorder("="), array.dtype.newbyteorder("=")
        mixed = len({a.dtype.newbyteorder("=") for a in self.subject.arrays.values()}) > 1
        return given != own and (not mixed or given.kind != "f" or given.itemsize < own.itemsize)

    def _in_ulps(
        self, ground: Ground, check: ArrayCheck, claimed: FloatArray, second_opinion: FloatArray, found: Found
    ) -> ArrayCheck:
        """Judge float32's own gradient, where the same code in float64 is right: by the digits that are left."""
        wrong = excess(found, self._rule(ground, {check.name: claimed}, True)) > 0
        if not wrong.any():
            return check
        kept = float(np.abs(claimed - second_opinion).max()) <= largest(second_opinion) / 8
        note = f"the same code is right in float64; float32 has lost {'digits' if kept else 'all digits'} here"
        return replace(check, verdict=check.verdict if kept else "unresolved", note=note)

    def _in_full(self, side: NumericSide, array: FloatArray) -> bool:
        if self.settings.mode != "auto":
            return self.settings.mode == "full"
        if side.engine is not None:
            return array.size * self._examples() <= _MOST_WORK_IN_RUST
        inputs = sum(a.size for a in self.subject.inputs.values() if isinstance(a, np.ndarray))
        numbers = inputs + sum(a.size for a in self.subject.parameters.values()) + side.noise.size
        return array.size <= _MOST_ENTRIES and array.size * numbers <= _MOST_WORK

    def _rule(self, ground: Ground, gradients: dict[str, FloatArray], single: bool) -> Tolerance:
        claimed, size = ground.read(gradients), ground.size(gradients)
        return Tolerance(claimed, self.settings.tolerance, single, size, ground.resolution)

    # --- where and why ---

    def _where_and_why(self, side: NumericSide, check: ArrayCheck, claimed: FloatArray) -> ArrayCheck:
        """Find an entry that differs, where only directions were compared, and look for the cause in a sample."""
        array = self.subject.arrays[check.name]
        place = bisect(side.directions([check.name]), claimed, side.scales[check.name])
        sample = np.unique(np.append(self.rng.choice(array.size, min(array.size, _SAMPLE), replace=False), place))
        ground = side.entries(check.name, claimed, sample)
        rule = self._rule(ground, {check.name: claimed}, is_single(claimed))
        found, _ = compare(ground, rule)
        worst = worst_of(found, rule)
        check = replace(
            check,
            where=tuple(int(i) for i in np.unravel_index(int(sample[worst]), array.shape)),
            analytic=float(rule.claimed[worst]),
            numeric=float(found.slopes.value[worst]),
            bar=float(bars_of(found)[worst]),
        )
        return self._why(side, check, claimed, found, rule, sample)

    def _why(
        self, side: NumericSide, check: ArrayCheck, claimed: FloatArray, found: Found, rule: Tolerance,
        entries: NDArray[np.int64] | None = None,
    ) -> ArrayCheck:  # fmt: skip
        """Add the cause, if there is one that explains all that was compared."""
        array = self.subject.arrays[check.name]
        compared = ~found.kinks
        numbers = found.slopes.value[compared]
        evidence = Evidence(
            claimed=claimed.astype(np.float64),
            array=array,
            entries=(np.arange(array.size) if entries is None else entries)[compared],
            numeric=numbers,
            allowed=(bars_of(found) + rule(found.slopes.value))[compared],
            examples=self._examples(),
            classes=self._classes(),
        )
        return replace(check, cause=explain(evidence) or check.cause)

    def _examples(self) -> int:
        """Give N, as far as it can be told from outside: the rows of the first input."""
        inputs = [a for a in self.subject.inputs.values() if isinstance(a, np.ndarray) and a.ndim]
        return len(inputs[0]) if inputs else 0

    def _classes(self) -> int:
        """Give C: the length of a network's last bias; the columns of the first input of anything else."""
        if isinstance(self.subject, NetworkSubject):
            vectors = [p for p in self.subject.parameters.values() if p.ndim == 1]
            return len(vectors[-1]) if vectors else 0
        inputs = [a for a in self.subject.inputs.values() if isinstance(a, np.ndarray)]
        return inputs[0].shape[1] if inputs and inputs[0].ndim > 1 else 0

    def _misshapen(self, side: NumericSide, name: str, claimed: FloatArray) -> ArrayCheck:
        """Judge a gradient that has not the shape of its array: it may be transposed, or not summed up."""
        array = self.subject.arrays[name]
        note = f"its gradient has shape {claimed.shape}, and it has shape {array.shape}"
        check = ArrayCheck(name, array.shape, "full", 0, "wrong", note=note, cause="wrong shape")
        sample = np.sort(self.rng.choice(array.size, min(array.size, _SAMPLE), replace=False))
        unknown = np.full(array.shape, np.nan)
        ground = side.entries(name, unknown, sample)
        rule = Tolerance(
            unknown.reshape(-1)[sample], self.settings.tolerance, False, largest(claimed), ground.resolution
        )
        return self._why(side, check, claimed, compare(ground, rule)[0], rule, sample)

    # --- other batches ---

    def _other_batches(
        self, trial: Trial, arrays: tuple[ArrayCheck, ...], answer: Answer, douts: list[Any]
    ) -> tuple[ArrayCheck, ...]:
        """After the first batch come others, with other parameters, and the first again: nothing is left of any.

        Gives the arrays, with another verdict if it turns out here that the first batch's gradients are wrong too.
        """
        if any(a.verdict == "wrong" for a in arrays) or trial.second_differs:
            trial.skips(_SECOND_BATCH, "the first batch is wrong already")
            return arrays
        wrong: list[str] = []
        for shorter in (False, True):
            inputs = another_batch(self.subject.inputs, self.rng, shorter=shorter)
            if inputs is None:
                continue
            other = self.subject.with_inputs(inputs)
            with put_back(self.subject.parameters.values()):
                for array in self.subject.parameters.values():  # by a few per cent, as a step of training does
                    factor = 0.95 + 0.1 * self.rng.random(array.shape, np.float32)
                    np.multiply(array, factor, out=array, casting="same_kind")
                second = Trial(other, self.randomness)
                try:
                    outputs = second.outputs()
                    if not all(np.isfinite(out).all() for out in outputs):
                        raise ValueError("its outputs are not finite")
                    theirs_douts = other.cotangents(outputs, self.rng) if shorter else douts
                    theirs = second.gradients(theirs_douts)
                except Exception as error:  # the batch is of our making, and need not be one the subject can take
                    why = f"the subject refuses a batch with other numbers: {type(error).__name__}: {error}"
                    if not shorter:
                        trial.skips(_SECOND_BATCH, why)
                    continue
                wrong = wrong or self._differs_along(other, theirs, theirs_douts)
        if _SECOND_BATCH in trial.skipped:
            return arrays
        results_are_kept(trial, answer)
        trial.tried.setdefault(_SECOND_BATCH)
        again = trial.gradients(douts)
        changed = [
            n for n, a in answer.gradients.items() if a is not None and not np.array_equal(a, again.gradients[n])
        ]
        if wrong:
            missed = self._differs_along(self.subject, answer, douts)
            if missed:
                note = "found along other directions only: a small part of the whole is wrong"
                return tuple(replace(a, verdict="wrong", note=note) if a.name in missed else a for a in arrays)
            trial.breaks(_SECOND_BATCH, f"the second batch's gradient of {', '.join(wrong)} is wrong", "stale batch")
        elif changed:
            trial.breaks(
                _SECOND_BATCH, f"the first batch's gradient of {', '.join(changed)} is another then", "stale batch"
            )
        return arrays

    def _differs_along(self, other: Subject, theirs: Answer, douts: list[Any]) -> list[str]:
        """Give the names of arrays whose gradients differ along a random direction, beyond doubt."""
        check = replace(self, subject=other, notes=[])
        given = {n: a for n, a in theirs.gradients.items() if a is not None and a.shape == other.arrays[n].shape}
        wide, second_opinion = check._in_float64(list(given), douts)
        if self.widened and wide is other:
            return []  # the first batch could be looked at in float64, this one cannot
        side = NumericSide(wide, given, self.randomness, douts, noise=self.noise)
        judged = {name: second_opinion.get(name, a) for name, a in given.items() if a.size}
        if not judged or not self._doubtless(side, list(judged), judged, 1):
            return []
        return [name for name in judged if self._doubtless(side, [name], judged, 2)]

    def _doubtless(self, side: NumericSide, names: list[str], gradients: dict[str, FloatArray], count: int) -> bool:
        ground = Directions(side, names, count, self.rng)
        single = any(is_single(gradients[name]) for name in names)
        found, wrong = compare(ground, self._rule(ground, gradients, single))
        return bool((wrong & ~found.kinks).any())


def bisect(mover: DirectionMover, claimed: FloatArray, scales: Floats) -> int:
    """Give the flat index of an entry that differs: halves of the array are compared until one entry is left."""
    if not np.isfinite(claimed).all():
        return int(np.argmin(np.isfinite(claimed)))
    flat, sizes = claimed.astype(np.float64).reshape(-1), scales.reshape(-1)
    left = np.arange(claimed.size)
    while len(left) > 1:
        halves, off = (left[: len(left) // 2], left[len(left) // 2 :]), []
        for half in halves:
            v = np.zeros(claimed.size)
            v[half] = both_ways(sizes[half])
            value, *parts = mover.slope([v.reshape(claimed.shape)], FIRST)
            off.append(abs(float(flat @ v) - value) - sum(parts))
        left = halves[0] if not off[0] < off[1] else halves[1]
    return int(left[0])
