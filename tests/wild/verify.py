"""The truth about a sample, by central differences that share nothing with the check.

Differences with steps h and h/2 are extrapolated: what is left of the truncation is of the order of h⁴.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wild.sample import Run, Sample


def weights(run: Run, seed: int = 7) -> list[Any]:
    """Give a weight for each number that comes out, or 1 where backward takes none."""
    rng = np.random.default_rng(seed)
    outputs = run.outputs()
    if not run.sample.calls.seeded:
        return [np.ones(()) for _ in outputs]
    return [rng.standard_normal(out.shape).astype(out.dtype) for out in outputs]


def numeric(run: Run, douts: list[Any], step: float = 1e-4) -> dict[str, Any]:
    """Give the gradient of the weighted sum of the outputs by every array that has one."""

    def value(centre: list[Any]) -> float:
        moved = run.outputs()
        return sum(
            float((w * (np.asarray(a, np.float64) - c)).sum()) for w, a, c in zip(douts, moved, centre, strict=True)
        )

    centre = [np.asarray(out, np.float64) for out in run.outputs()]
    slopes = {}
    for path in run.sample.slots:
        array = run.array(path)
        found = np.zeros(array.shape)
        size = step * (float(np.abs(array).max(initial=0)) or 1.0)
        for index in np.ndindex(array.shape):
            before, sides = array[index], []
            for h in (size, size / 2):
                array[index] = before + h
                above, up = value(centre), float(array[index])
                array[index] = before - h
                sides.append((above - value(centre)) / (up - float(array[index])))
            array[index] = before
            found[index] = sides[1] + (sides[1] - sides[0]) / 3
        slopes[path] = found
    return slopes


def differences(sample: Sample, seed: int = 0, *, step: float = 1e-4) -> dict[str, float]:
    """Give, for each array, the largest difference of its gradient from the truth, over the largest of both or 1e-5."""
    run = sample.run(seed)
    douts = weights(run)
    truth, claimed = numeric(run, douts, step), run.gradients(douts)
    shares = {}
    for path, slope in truth.items():
        gradient = np.asarray(claimed[path], np.float64)
        if gradient.shape != slope.shape:
            shares[path] = np.inf
            continue
        largest = max(float(np.abs(slope).max(initial=0)), float(np.abs(gradient).max(initial=0)), 1e-5)
        shares[path] = float(np.abs(gradient - slope).max(initial=0)) / largest
    return shares
