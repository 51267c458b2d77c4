"""Where a gradient is wrong, and why: the place by halving, and the cause by trying a short list on the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.causes import Evidence, explain
from chainrule.checking.counts import counts
from chainrule.checking.evaluation import NumericEvaluation
from chainrule.checking.finite_differences import FIRST, Floats, Found, largest
from chainrule.checking.judging import Tolerance, bars_of, compare, rule_for, worst_of
from chainrule.checking.perturbation import DirectionStencil, both_ways
from chainrule.checking.report import ArrayCheck
from chainrule.checking.subject import Subject
from chainrule.checking.values import is_single

#: Entries looked at one by one to find out why an array is wrong that was not compared entry by entry.
_SAMPLE = 256


def why(
    subject: Subject, check: ArrayCheck, claimed: FloatArray, found: Found, rule: Tolerance,
    entries: NDArray[np.int64] | None = None,
) -> ArrayCheck:  # fmt: skip
    """Add the cause, if there is one that explains all that was compared: all entries, or those told."""
    array = subject.arrays[check.name]
    compared = ~found.kinks
    numbers = found.slopes.value[compared]
    evidence = Evidence(
        claimed=claimed.astype(np.float64),
        array=array,
        entries=(np.arange(array.size) if entries is None else entries)[compared],
        numeric=numbers,
        allowed=(bars_of(found) + rule(found.slopes))[compared],
        counts=counts(subject),
        of_input=check.name in subject.inputs,
    )
    return replace(check, cause=explain(evidence) or check.cause)


def located(
    subject: Subject, numeric: NumericEvaluation, check: ArrayCheck, claimed: FloatArray, tolerance: float,
    rng: np.random.Generator,
) -> ArrayCheck:  # fmt: skip
    """Find an entry that differs, where only directions were compared, and look for the cause in a sample."""
    array = subject.arrays[check.name]
    place = bisect(numeric.directions([check.name]), claimed, numeric.scales[check.name])
    sample = np.unique(np.append(rng.choice(array.size, min(array.size, _SAMPLE), replace=False), place))
    probes = numeric.entries(check.name, claimed, sample)
    rule = rule_for(probes, {check.name: claimed}, tolerance, is_single(claimed))
    found, _ = compare(probes, rule)
    worst = worst_of(found, rule)
    check = replace(
        check,
        where=tuple(int(i) for i in np.unravel_index(int(sample[worst]), array.shape)),
        analytic=float(rule.claimed[worst]),
        numeric=float(found.slopes.value[worst]),
        bar=float(bars_of(found)[worst]),
    )
    return why(subject, check, claimed, found, rule, sample)


def misshapen(
    subject: Subject,
    numeric: NumericEvaluation,
    name: str,
    claimed: FloatArray,
    tolerance: float,
    rng: np.random.Generator,
) -> ArrayCheck:
    """Judge a gradient that has not the shape of its array: it may be transposed, or not summed up."""
    array = subject.arrays[name]
    note = f"its gradient has shape {claimed.shape}, and it has shape {array.shape}"
    check = ArrayCheck(name, array.shape, "full", 0, "wrong", note=note, cause="wrong shape")
    sample = np.sort(rng.choice(array.size, min(array.size, _SAMPLE), replace=False))
    unknown = np.full(array.shape, np.nan)
    probes = numeric.entries(name, unknown, sample)
    rule = Tolerance(unknown.reshape(-1)[sample], tolerance, False, largest(claimed), probes.resolution)
    return why(subject, check, claimed, compare(probes, rule)[0], rule, sample)


def examples(subject: Subject) -> int:
    """Give N, as far as it can be told from outside: the rows of the first input."""
    inputs = [a for a in subject.inputs.values() if isinstance(a, np.ndarray) and a.ndim]
    return len(inputs[0]) if inputs else 0


def bisect(stencil: DirectionStencil, claimed: FloatArray, scales: Floats) -> int:
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
            value, *terms = stencil.slope([v.reshape(claimed.shape)], FIRST)
            off.append(abs(float(flat @ v) - value) - sum(terms))
        left = halves[0] if not off[0] < off[1] else halves[1]
    return int(left[0])
