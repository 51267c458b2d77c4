"""Other batches: after the first come two of our making, with other parameters, and nothing may be left of any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from chainrule.checking.comparison import Comparison
from chainrule.checking.contracts import Trial, results_are_kept
from chainrule.checking.report import ArrayCheck
from chainrule.checking.side import uniform
from chainrule.checking.state import put_back
from chainrule.checking.subjects import Answer

#: The name of the contract.
SECOND_BATCH = "a second batch is not mistaken for the first"


def other_batches(
    comparison: Comparison, trial: Trial, arrays: tuple[ArrayCheck, ...], answer: Answer, douts: list[Any]
) -> tuple[ArrayCheck, ...]:
    """After the first batch come others, with other parameters, and the first again: nothing is left of any.

    Gives the arrays, with another verdict if it turns out here that the first batch's gradients are wrong too.
    """
    if any(a.verdict == "wrong" for a in arrays) or trial.second_differs:
        trial.skips(SECOND_BATCH, "the first batch is wrong already")
        return arrays
    subject, rng = comparison.subject, comparison.rng
    wrong: list[str] = []
    for shorter in (False, True):
        inputs = another_batch(subject.inputs, rng, shorter=shorter)
        if inputs is None:
            continue
        other = subject.with_inputs(inputs)
        with put_back(subject.parameters.values()):
            for array in subject.parameters.values():  # by a few per cent, as a step of training does
                factor = 1 + np.float32(0.05) * uniform(array.shape, rng)
                np.multiply(array, factor, out=array, casting="same_kind")
            second = Trial(other, comparison.randomness)
            try:
                outputs = second.outputs()
                if not all(np.isfinite(out).all() for out in outputs):
                    raise ValueError("its outputs are not finite")
                theirs_douts = other.cotangents(outputs, rng) if shorter else douts
                theirs = second.gradients(theirs_douts)
            except Exception as error:  # the batch is of our making, and need not be one the subject can take
                why = f"the subject refuses a batch with other numbers: {type(error).__name__}: {error}"
                if not shorter:
                    trial.skips(SECOND_BATCH, why)
                continue
            wrong = wrong or comparison.differs_along(other, theirs, theirs_douts)
    if SECOND_BATCH in trial.skipped:
        return arrays
    results_are_kept(trial, answer)
    trial.tried.setdefault(SECOND_BATCH)
    again = trial.gradients(douts)
    changed = [n for n, a in answer.gradients.items() if a is not None and not np.array_equal(a, again.gradients[n])]
    if wrong:
        missed = comparison.differs_along(subject, answer, douts)
        if missed:
            note = "found along other directions only: a small part of the whole is wrong"
            return tuple(replace(a, verdict="wrong", note=note) if a.name in missed else a for a in arrays)
        trial.breaks(SECOND_BATCH, f"the second batch's gradient of {', '.join(wrong)} is wrong", "stale batch")
    elif changed:
        trial.breaks(SECOND_BATCH, f"the first batch's gradient of {', '.join(changed)} is another then", "stale batch")
    return arrays


def another_batch(
    inputs: Mapping[str, Any], rng: np.random.Generator, *, shorter: bool = False
) -> dict[str, Any] | None:
    """Give arguments of about the same range: rows moved on by one, floats up to a tenth off.

    `shorter`: with one row fewer; None if the arguments are not rows of one number, three at least.
    """
    other: dict[str, Any] = {}
    lengths = {len(value) if value.ndim else 0 for value in inputs.values() if isinstance(value, np.ndarray)}
    if shorter and (len(lengths) != 1 or min(lengths) < 3):
        return None
    for name, value in inputs.items():
        if not isinstance(value, np.ndarray):
            other[name] = value
            continue
        axis = next((i for i, n in enumerate(value.shape) if n > 1), None)
        moved = value.copy() if axis is None else np.roll(value, 1, axis=axis)
        distributions = (
            moved.ndim == 2 and moved.dtype.kind == "f" and bool(np.all(np.abs(moved.sum(axis=1) - 1) < 1e-3))
        )
        if moved.dtype.kind == "f" and not distributions:  # labels stay what they mean
            moved = (moved * rng.uniform(0.9, 1.1, moved.shape)).astype(moved.dtype)
        other[name] = moved[1:] if shorter else moved
    return other
