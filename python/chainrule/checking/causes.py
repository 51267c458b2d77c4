"""Why a gradient is wrong: a short list of mistakes, each tried on the numbers.

A cause is named only if the wrong gradient, once that mistake is undone, equals the numeric one to within the error bar
and the tolerance, at every entry that was compared. More than one may: with two examples, 2 and N are the same factor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray

#: Factors that a derivative is off by most often.
FACTORS = {"2": 2.0, "1/2": 0.5, "-1": -1.0, "-2": -2.0, "-1/2": -0.5}


@dataclass(frozen=True)
class Evidence:
    """What is known about a gradient that is wrong."""

    #: What the subject gave, in whatever shape.
    claimed: FloatArray
    #: The parameter or input itself.
    array: FloatArray
    #: Flat indices into `array` that were compared.
    entries: NDArray[np.int64]
    #: The numeric side there, and by how much an entry may be off it.
    numeric: FloatArray
    allowed: FloatArray
    #: What a mean could have been taken over: see `chainrule.checking.counts`.
    counts: Mapping[str, int] = field(default_factory=dict)
    #: Whether `array` is an input, and no parameter.
    of_input: bool = False

    def fits(self, gradient: FloatArray, these: NDArray[np.bool_] | None = None) -> bool:
        """Tell whether `gradient`, in the shape of the array, is right (where told)."""
        with np.errstate(invalid="ignore"):
            right = np.abs(gradient.reshape(-1)[self.entries] - self.numeric) <= self.allowed
        return bool((right if these is None else right[these]).all())


def explain(evidence: Evidence) -> str | None:
    """Give the causes that explain the difference, or None if none does."""
    if not np.isfinite(evidence.claimed).all() or len(evidence.entries) == 0:
        return None
    if evidence.claimed.shape == evidence.array.shape and evidence.fits(evidence.claimed):
        return None  # a difference so small that anything would explain it
    found = list(_shapes(evidence))
    if not found and evidence.claimed.shape == evidence.array.shape:
        for group in (_zero, _factors, _transposed, _missing, _small_number_in_log, _proportional, _some_factor):
            found = list(group(evidence))
            if found:
                break
    return " or ".join(found) or None


def _shapes(e: Evidence) -> Iterator[str]:
    """Explain a gradient of another shape than its array."""
    if e.claimed.shape == e.array.shape:
        return
    if e.claimed.ndim == 2 and e.claimed.T.shape == e.array.shape and e.fits(e.claimed.T):
        yield "transposed"
        return
    extra = e.claimed.ndim - e.array.ndim
    if extra < 0 or e.claimed.size <= e.array.size:
        return
    broadcast = (*range(extra), *(extra + axis for axis, n in enumerate(e.array.shape) if n == 1))
    summed = e.claimed.sum(axis=broadcast, keepdims=True)
    if summed.shape[extra:] == e.array.shape and e.fits(summed):
        stretched = [n for n, before in zip(e.claimed.shape[extra:], e.array.shape, strict=True) if n != before]
        of_the_batch = not stretched or (not extra and stretched == [e.counts.get("N")])
        yield f"no sum over {'the batch' if of_the_batch else 'what was broadcast'}"


def _zero(e: Evidence) -> Iterator[str]:
    if not e.claimed.any():
        yield "zero"


def _factors(e: Evidence) -> Iterator[str]:
    for name, factor in FACTORS.items():
        if e.fits(e.claimed / factor):
            yield f"factor {name}"
    for letter, count in e.counts.items():
        over = _OVER.get(letter, "")
        ways = ((letter, count, f"a sum for a mean{over}"), (f"1/{letter}", 1 / count, f"a mean{over} for a sum"))
        for name, factor, meaning in ways:
            if e.fits(e.claimed / factor):
                told = f", {meaning}" if letter != "C" else ""
                yield f"factor {name} ({letter.strip('()')} = {count}{told})"


#: What a mean is over that is not one over the examples.
_OVER = {
    "T": " over time",
    "all": " over all entries",
    "(N·C)": " over all entries",
    "(N·T)": " over examples and time",
}


def _transposed(e: Evidence) -> Iterator[str]:
    if e.array.ndim == 2 and e.array.shape[0] == e.array.shape[1] > 1 and e.fits(e.claimed.T):
        yield "transposed"


def _missing(e: Evidence) -> Iterator[str]:
    """Rows or columns that are zero and should not be, all others being right."""
    if e.array.ndim < 2:
        return
    places = np.unravel_index(e.entries, e.array.shape)
    for name, axis in (("zero rows", 0), ("zero columns", e.array.ndim - 1)):
        others = tuple(i for i in range(e.array.ndim) if i != axis)
        empty = ~np.any(e.claimed != 0, axis=others)
        if empty.any() and not empty.all() and e.fits(e.claimed, ~empty[places[axis]]):
            yield name


def _small_number_in_log(e: Evidence) -> Iterator[str]:
    """Find a loss of log(y + 1e-7) whose gradient is that of log(y): for each example off by 1 + 1e-7/y.

    The gradient of the scores is y - t over N, so that y, of the right class, is 1 plus N times the least of its row.
    """
    if not e.of_input or e.array.ndim != 2 or len(e.entries) != e.array.size:
        return
    numeric, allowed = np.empty(e.array.shape), np.empty(e.array.shape)
    numeric.reshape(-1)[e.entries], allowed.reshape(-1)[e.entries] = e.numeric, e.allowed
    for axis, count in ((1, e.counts.get("N", 1)), (0, e.counts.get("N", 1)), (1, 1), (0, 1)):
        rows = (e.claimed, numeric) if axis == 1 else (e.claimed.T, numeric.T)
        claimed, found = rows
        with np.errstate(all="ignore"):
            ratios = (claimed * found).sum(axis=1) / (found * found).sum(axis=1)
            right = 1 + count * claimed.min(axis=1)
            small = (ratios - 1) * right
            size = float(np.median(small))
            undone = claimed / (1 + size / right)[:, None]
        if 1e-15 < size < 1e-3 and e.fits(undone if axis == 1 else undone.T):
            yield f"{float(f'{size:.0e}'):g} in the logarithm of the loss, which the gradient leaves out"
            return


def _proportional(e: Evidence) -> Iterator[str]:
    """Find a multiple of the parameter that is on one side only: weight decay, most often."""
    parameter = e.array.astype(np.float64).reshape(-1)[e.entries]
    difference = e.claimed.reshape(-1)[e.entries] - e.numeric
    if len(parameter) < 2 or not np.ptp(parameter):
        return
    factor = float(parameter @ difference / (parameter @ parameter))
    if abs(factor) > 1e-6 and e.fits(e.claimed - factor * e.array.astype(np.float64)):
        yield f"proportional to the parameter (off by {factor:.4g} times it: decay on one side only?)"


def _some_factor(e: Evidence) -> Iterator[str]:
    """Find a factor that no count explains: one for all entries, or one for each column or row, as a forgotten gamma.

    Of each factor two entries at least have to tell, of each column or row three: two numbers that add up to 0, as
    the gradient of a mean that is taken off, are off by one factor whatever is wrong.
    """
    if len(e.entries) != e.array.size:
        return
    numeric, allowed = np.empty(e.array.shape), np.empty(e.array.shape)
    numeric.reshape(-1)[e.entries], allowed.reshape(-1)[e.entries] = e.numeric, e.allowed
    telling = np.abs(numeric) > 1e3 * allowed
    ways: list[tuple[str, int | None, int]] = [("all entries", None, 2)]
    if e.array.ndim == 2:
        ways += [("each column", 0, 3), ("each row", 1, 3)]
    for name, axis, least in ways:
        with np.errstate(all="ignore"):
            over = (numeric * numeric).sum(axis=axis, keepdims=True)
            factors = (e.claimed * numeric).sum(axis=axis, keepdims=True) / over
            undone = e.claimed / factors
        if (telling.sum(axis=axis) >= least).all() and e.fits(undone):
            yield f"one factor for {name}, {_between(factors)}"
            return


def _between(factors: FloatArray) -> str:
    """Give one number, or the least and the largest."""
    least, largest = f"{factors.min():.4g}", f"{factors.max():.4g}"
    return least if least == largest else f"{least} to {largest}"
