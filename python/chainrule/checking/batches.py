"""Other batches: nothing may be left of an earlier one, and "left over" is said with proof only.

After the first batch comes a second, of our making, with other parameters. The same call is then made once more on the
subject as it was before its first call. What a right subject gives does not depend on what was called before: the two
answers are the same, whatever the numbers of the second batch mean, if they mean anything. Where they differ, what the
subject still held of the first batch tells what was left over.

What a subject has kept since it was made, such as a copy of W, both calls have. So the second batch is differenced,
too, but with those arguments moved only that have gradients: the others may mean something only as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.comparison import Comparison
from chainrule.checking.contracts import Trial, results_stay
from chainrule.checking.equality import close
from chainrule.checking.evaluation import uniform
from chainrule.checking.reach import reach
from chainrule.checking.report import ArrayCheck
from chainrule.checking.results import is_float
from chainrule.checking.state import State, put_back
from chainrule.checking.subject import Answer, Subject
from chainrule.nn.parameters.places import values_at

#: The name of the contract.
SECOND_BATCH = "a second batch is not mistaken for the first"
_REFUSED = "the subject refuses a batch with other numbers"


@dataclass
class Call:
    """What came of one call: outputs, gradients, and what the subject held then."""

    outputs: list[FloatArray]
    gradients: dict[str, Any]
    held: dict[str, Any]


@dataclass
class Batches:
    """A subject, and the other batches it is tried with."""

    comparison: Comparison
    trial: Trial
    answer: Answer
    douts: list[Any]
    #: As the subject was before its first call.
    first: State

    def tried(self, arrays: tuple[ArrayCheck, ...]) -> tuple[ArrayCheck, ...]:
        """After the first batch come others, with other parameters, and the first again: nothing is left of any.

        Give the arrays, with another verdict if it turns out that their gradients are wrong elsewhere.
        """
        trial, subject = self.trial, self.comparison.subject
        if any(a.verdict == "wrong" for a in arrays) or trial.second_differs:
            trial.skips(SECOND_BATCH, "the first batch is wrong already")
            return arrays
        names = [name for name, gradient in self.answer.gradients.items() if gradient is not None]
        parameters = self._other_parameters()
        noise = trial.randomness.other()
        parameters_themselves = {id(array) for array in subject.parameters.values()}
        reached = reach(subject=subject.thing)
        self.reached = {i: found for i, found in reached.items() if i not in parameters_themselves}
        with put_back(subject.parameters.values()) as before:
            self.values = dict(zip(subject.parameters, before, strict=True))
            batches, refused = self._that_are_taken(parameters, noise)
            for other, used, fresh in batches:
                self._compare_with_a_fresh_one(other, used, fresh, names, parameters, noise)
                if SECOND_BATCH in trial.broken:
                    return arrays
        wrong_there = self._elsewhere(parameters)
        if refused and not batches and wrong_there is None:
            trial.skips(SECOND_BATCH, refused)
            return arrays
        results_stay(trial, self.answer)
        trial.tried.setdefault(SECOND_BATCH)
        return self._judged(arrays, wrong_there or [])

    # --- the same call after others, and as the first ---

    def _that_are_taken(
        self, parameters: Mapping[str, FloatArray], noise: list[Any]
    ) -> tuple[list[tuple[Subject, Call, Call]], str]:
        """Give the batches that the subject takes, each with both calls; and why it refuses others."""
        others = [self.comparison.subject.with_inputs(inputs) for inputs in self._batches()]
        used, refused = [], ""
        self._put(parameters)
        for other in others:
            try:
                used.append((other, self._call(other, noise)))
            except Exception as error:  # the batch is of our making, and need not be one the subject can take
                refused = refused or f"{_REFUSED}: {type(error).__name__}: {error}"
        taken = []
        with self._afterwards_as_now():
            for other, call in used:
                try:
                    taken.append((other, call, self._fresh(other, parameters, noise)))
                except Exception as error:
                    refused = refused or f"{_REFUSED}: {type(error).__name__}: {error}"
        return taken, refused

    def _compare_with_a_fresh_one(
        self, other: Subject, used: Call, fresh: Call, names: Sequence[str], parameters: Mapping[str, FloatArray],
        noise: list[Any],
    ) -> None:  # fmt: skip
        """Hold the call after others against the one as if nothing had been called before: the answers are the same."""
        changed = [n for n in names if not close(used.gradients.get(n), fresh.gradients.get(n))]
        if not changed:
            return
        self._put(self.values)
        self.trial.gradients(self.douts)
        after_first = self._holds()
        self._put(parameters)
        used = self._call(other, noise, looking=True)
        with self._afterwards_as_now():
            fresh = self._fresh(other, parameters, noise, looking=True)
        same_outputs = all(map(close, used.outputs, fresh.outputs)) and len(used.outputs) == len(fresh.outputs)
        if not same_outputs and not self._wrong_now(other):
            return  # it goes on from what it has seen, as running means do, and its gradients go with it
        left = [
            path for path, value in used.held.items()
            if close(value, after_first.get(path)) and not close(value, fresh.held.get(path))
        ]  # fmt: skip
        self._breaks(changed, left)

    def _fresh(
        self, other: Subject, parameters: Mapping[str, FloatArray], noise: list[Any], looking: bool = False
    ) -> Call:
        """Call the subject as it was before its first call."""
        self.first.restore()
        self._set(other, parameters, noise)
        return self._call(other, noise, looking)

    @contextmanager
    def _afterwards_as_now(self) -> Iterator[None]:
        """Put back at the end what the subject holds now, with the parameters of the first batch."""
        here = State(self.reached)
        try:
            yield
        finally:
            here.restore()
            self._put(self.values)

    def _put(self, parameters: Mapping[str, FloatArray]) -> None:
        for name, values in parameters.items():
            np.copyto(self.comparison.subject.parameters[name], values)

    def _breaks(self, changed: Sequence[str], left: Sequence[str]) -> None:
        names = list(dict.fromkeys(path.rpartition(".")[2] for path in left))[:3]
        what = f"after another batch the gradient of {', '.join(changed)} is not what a first call gives"
        told = f"stale batch: {' and '.join(names)} of an earlier call" if names else "stale batch"
        self.trial.breaks(SECOND_BATCH, what + (f"; left over: {', '.join(names)}" if names else ""), told)

    def _call(self, subject: Subject, noise: list[Any], looking: bool = False) -> Call:
        randomness, rng = self.trial.randomness, np.random.default_rng(11)
        outputs: list[FloatArray] = []
        if looking or subject.takes_dout:
            randomness.rewind(noise)
            outputs = [out.copy() for out in subject.outputs()]
            if not all(np.isfinite(out).all() for out in outputs):
                raise ValueError("its outputs are not finite")
        douts = subject.cotangents(outputs, rng)
        randomness.rewind(noise)
        answer = subject.gradients([np.array(dout)[()] for dout in douts])
        gradients = {n: None if g is None else np.array(g) for n, g in answer.gradients.items()}
        return Call(outputs, gradients, self._holds() if looking else {})

    def _set(self, subject: Subject, parameters: Mapping[str, FloatArray], noise: list[Any]) -> None:
        """Set the parameters of the subject as it was: those that its first forward pass makes, after one."""
        here = _parameters_now(subject)
        if not here.keys() >= parameters.keys():
            self.trial.randomness.rewind(noise)
            subject.outputs()
            here = {**subject.parameters, **_parameters_now(subject)}
        for name, values in parameters.items():
            np.copyto(here[name], values)

    def _holds(self) -> dict[str, Any]:
        """Give copies of what the subject holds, by name: arrays and plain values."""
        found: dict[str, Any] = {}
        for name, thing in reach(subject=self.comparison.subject.thing).values():
            if isinstance(thing, np.ndarray):
                found[name] = thing.copy()
            elif isinstance(thing, dict):
                found |= {f"{name}.{k}": v for k, v in dict.items(thing) if isinstance(v, int | float | tuple | str)}
        return found

    # --- the second batch, differenced ---

    def _elsewhere(self, parameters: Mapping[str, FloatArray]) -> list[str] | None:
        """Give the names of arrays whose gradients differ beyond doubt at other numbers; None if there are none.

        Moved are parameters, and inputs that have gradients.
        """
        comparison, subject, trial = self.comparison, self.comparison.subject, self.trial
        given = self.answer.gradients
        inputs = {
            name: _nearby(value, comparison.rng) if is_float(value) and given.get(name) is not None else value
            for name, value in subject.inputs.items()
        }
        other = subject.with_inputs(inputs)
        with put_back(subject.parameters.values()):
            self._put(parameters)
            second = Trial(other, comparison.randomness)
            try:
                if subject.takes_dout and not all(np.isfinite(out).all() for out in second.outputs()):
                    raise ValueError("its outputs are not finite")
                theirs = second.gradients(self.douts)
                wrong = comparison.differs_along(other, theirs, self.douts)
            except Exception:
                return None
            if wrong:
                self._stale = self._that_are_kept(other, theirs, wrong)
        trial.tried.setdefault(SECOND_BATCH)
        return wrong

    def _that_are_kept(self, other: Subject, theirs: Answer, wrong: Sequence[str]) -> list[str]:
        """Give the parameters of which a copy is used: gradients stay as they move, and are right as they were."""
        stale = []
        for name, array in other.parameters.items():
            with put_back([array]) as (before,):
                np.multiply(before, np.asarray(1.5, array.dtype), out=array)
                again = Trial(other, self.comparison.randomness).gradients(self.douts)
                if any(not close(theirs.gradients[n], again.gradients[n]) for n in wrong if n != name):
                    continue
                np.copyto(array, self.values[name])
                if not self.comparison.differs_along(other, theirs, self.douts):
                    stale.append(name)
        return stale

    def _judged(self, arrays: tuple[ArrayCheck, ...], wrong: Sequence[str]) -> tuple[ArrayCheck, ...]:
        comparison = self.comparison
        again = self.trial.gradients(self.douts)
        changed = [n for n, a in self.answer.gradients.items() if a is not None and not close(a, again.gradients[n])]
        if wrong:
            missed = comparison.differs_along(comparison.subject, self.answer, self.douts)
            stale = self._stale
            if not missed and stale:
                what = (
                    f"with other parameters the gradient of {', '.join(wrong)} is wrong, and stays as {stale[0]} moves"
                )
                self.trial.breaks(SECOND_BATCH, what, f"stale batch: {' or '.join(stale)} as it was before")
                return arrays
            note = "found along other directions only: a small part of the whole is wrong"
            if not missed:
                note = "right at the numbers given, wrong at others, up to a tenth off"
            wrong = missed or wrong
            # Where it was looked at first it is right.
            return tuple(replace(a, verdict="wrong", note=note, where=()) if a.name in wrong else a for a in arrays)
        if changed:
            what = f"the first batch's gradient of {', '.join(changed)} is another after other batches"
            self.trial.breaks(SECOND_BATCH, what, "stale batch")
        return arrays

    def _wrong_now(self, other: Subject) -> bool:
        """Tell whether the gradients, with what the subject holds now, are not those of its own forward pass."""
        again = Trial(other, self.trial.randomness)
        douts = other.cotangents(again.outputs(), np.random.default_rng(11))
        return bool(self.comparison.differs_along(other, again.gradients(douts), douts))

    # --- what they are made of ---

    def _other_parameters(self) -> dict[str, FloatArray]:
        """Give parameters a few per cent off, as after a step of training."""
        rng = self.comparison.rng
        return {
            name: np.asarray(array * (1 + np.float32(0.05) * uniform(array.shape, rng)), array.dtype)
            for name, array in self.comparison.subject.parameters.items()
        }

    def _batches(self) -> list[dict[str, Any]]:
        """Give other arguments: all of them others; those with gradients only; and with one row fewer."""
        rng, inputs = self.comparison.rng, self.comparison.subject.inputs
        with_gradient = [name for name, gradient in self.answer.gradients.items() if gradient is not None]
        everything = {name: _another(value, rng, scaled=name in with_gradient) for name, value in inputs.items()}
        batches = [everything]
        lengths = {len(value) if value.ndim else 0 for value in inputs.values() if isinstance(value, np.ndarray)}
        if len(lengths) == 1 and min(lengths) > 2:
            batches.append({n: v[1:].copy() if isinstance(v, np.ndarray) else v for n, v in everything.items()})
        return batches

    _stale: Sequence[str] = ()
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    reached: Mapping[int, tuple[str, Any]] = field(default_factory=dict)


def _parameters_now(subject: Subject) -> dict[str, FloatArray]:
    """Give the parameters as the subject holds them now; without those that it does not."""
    lie = {n: p for n, places in subject.places.items() if (p := next((p for p in places if p.told is None), None))}
    found = {n: array for n, array in subject.parameters.items() if n not in lie or n in subject.boxes}
    values = zip(lie, list(values_at(lie.values())), strict=True)
    return found | {n: value for n, value in values if n not in subject.boxes and isinstance(value, np.ndarray)}


def _another(value: Any, rng: np.random.Generator, *, scaled: bool) -> Any:
    """Give an argument with its rows moved on by one; one that has a gradient also up to a tenth off."""
    if not isinstance(value, np.ndarray):
        return value
    axis = next((i for i, n in enumerate(value.shape) if n > 1), None)
    moved = value.copy() if axis is None else np.roll(value, 1, axis=axis)
    return _nearby(moved, rng) if scaled and moved.dtype.kind == "f" else moved


def _nearby(value: FloatArray, rng: np.random.Generator) -> FloatArray:
    return np.asarray(value * rng.uniform(0.9, 1.1, value.shape)).astype(value.dtype)
