"""Why a Jacobian is wrong: a short list of mistakes, each tried on the numbers.

A cause is named only if the matrix, once the mistake is undone, equals the numeric one within the error bar and the
tolerance, in every entry that was compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chainrule.checking.causes import FACTORS
from chainrule.checking.finite_differences import Floats

#: Factors that have a name; any other is shown as a number.
_FACTORS = {**FACTORS, "180/π": 180 / np.pi, "π/180": np.pi / 180}
#: The largest number of wrong rows or columns to name.
_MOST_NAMED = 3


@dataclass(frozen=True)
class Matrices:
    """Both sides, in some columns or all."""

    #: What was given, what differences say, and by how much an entry may be off; (M, K).
    claimed: Floats
    numeric: Floats
    allowed: Floats
    #: The indices of the columns, (K,); the argument, (N,), and the outputs, (M,).
    columns: NDArray[np.int64]
    x: Floats
    y: Floats
    #: Whether these are all columns.
    whole: bool
    #: The name of the matrix.
    letter: str = "J"

    def right(self, matrix: Floats) -> NDArray[np.bool_]:
        """Tell which entries would be right in another matrix."""
        with np.errstate(invalid="ignore"):
            return np.asarray(~(np.abs(matrix - self.numeric) > self.allowed) & np.isfinite(matrix))

    def fits(self, matrix: Floats) -> bool:
        """Tell whether another matrix would be right."""
        return matrix.shape == self.numeric.shape and bool(self.right(matrix).all())

    def in_rows(self, these: NDArray[np.bool_]) -> Matrices:
        """Give only these rows."""
        claimed, numeric, allowed = self.claimed[these], self.numeric[these], self.allowed[these]
        return replace(self, claimed=claimed, numeric=numeric, allowed=allowed, y=self.y[these], whole=False)

    def in_columns(self, these: NDArray[np.bool_]) -> Matrices:
        """Give only these columns."""
        claimed, numeric, allowed = self.claimed[:, these], self.numeric[:, these], self.allowed[:, these]
        columns = self.columns[these]
        return replace(self, claimed=claimed, numeric=numeric, allowed=allowed, columns=columns, whole=False)


def explain(m: Matrices) -> str | None:
    """Give the simplest cause that explains the difference; None if there is none."""
    if not np.isfinite(m.claimed).all():
        return f"not finite: {_places(m, ~np.isfinite(m.claimed))}"
    for way in (_zero, _factor, _transposed, _in_another_order, _zeros, _each_by_its_own, _extra, _few):
        found = next(way(m), None)
        if found is not None:
            return found
    return None


def _zero(m: Matrices) -> Iterator[str]:
    if not m.claimed.any():
        yield "zero"


def _factor(m: Matrices) -> Iterator[str]:
    """One factor for the whole matrix."""
    for name, factor in (_FACTORS | _counts(m)).items():
        if m.fits(m.claimed / factor):
            yield f"factor {name}"
            return
    ratio = _ratio(m.claimed, m.numeric)
    if ratio is not None and m.fits(m.claimed / ratio):
        yield f"factor {_number(ratio)}"


def _counts(m: Matrices) -> dict[str, float]:
    rows, columns = len(m.y), len(m.x)
    found: dict[str, float] = {}
    for letter, count in (("M", rows), ("N", columns)):
        if count > 1 and m.whole:
            found |= {f"{letter} ({letter} = {count})": float(count), f"1/{letter} ({letter} = {count})": 1 / count}
    return found


def _ratio(claimed: Floats, numeric: Floats) -> float | None:
    """Give the ratio of both, from their largest entries."""
    size = float((numeric * numeric).sum())
    factor = float((claimed * numeric).sum()) / size if size > 0 and np.isfinite(size) else 0.0
    return factor if np.isfinite(factor) and factor != 0 else None


def _transposed(m: Matrices) -> Iterator[str]:
    if m.whole and m.claimed.shape[0] == m.claimed.shape[1] > 1:
        if m.fits(m.claimed.T):
            yield "transposed"
        elif m.fits(-m.claimed.T):
            yield "transposed, with the other sign"


def _in_another_order(m: Matrices) -> Iterator[str]:
    """Rows or columns that have exchanged places."""
    for name, of in (("row", m), ("column", _turned(m))):
        if name == "column" and not m.whole:
            continue
        wrong = np.flatnonzero(~of.right(of.claimed).all(axis=1))
        if not 2 <= len(wrong) <= 1000:
            continue
        order = _order(of, wrong)
        if order is None:
            continue
        moved = (wrong - order) % len(of.claimed)
        if len(wrong) == 2:
            yield f"{name}s {wrong[0]} and {wrong[1]} swapped"
        elif np.all(moved == moved[0]):
            yield f"{name}s moved on by {int(moved[0])}"
        else:
            yield f"{name}s in another order"
        return


def _order(m: Matrices, wrong: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Give, for each wrong row, the row whose derivatives it holds; None if the rows are not reordered."""
    free, order = list(wrong), []
    for row in wrong:
        given = m.claimed[row]
        with np.errstate(invalid="ignore"):
            near = [k for k in free if not (np.abs(given - m.numeric[k]) > m.allowed[k]).any()]
        if not near:
            return None
        free.remove(near[0])
        order.append(near[0])
    return np.array(order)


def _turned(m: Matrices) -> Matrices:
    x, y = m.y, m.x[m.columns]
    return Matrices(m.claimed.T, m.numeric.T, m.allowed.T, np.arange(len(x)), x, y, m.whole, m.letter)


def _zeros(m: Matrices) -> Iterator[str]:
    """Entries that are 0 and should not be, while all others are right."""
    wrong = ~m.right(m.claimed)
    if (m.claimed[wrong] != 0).any():
        return
    rows, columns = np.flatnonzero(wrong.any(axis=1)), m.columns[wrong.any(axis=0)]
    if wrong.sum() == 1 and not m.whole:  # the others of its row were not compared
        yield f"entries missing: {_places(m, wrong)}"
    elif len(rows) <= _MOST_NAMED and not m.claimed[rows].any():
        yield f"{_named('row', rows)} zero"
    elif len(columns) <= _MOST_NAMED and not m.claimed[:, wrong.any(axis=0)].any():
        yield f"{_named('column', columns)} zero"
    elif m.claimed.shape[0] == len(m.x) and _triangle(m, wrong):
        yield _triangle(m, wrong)
    else:
        yield f"entries missing: {_places(m, wrong)}"


def _triangle(m: Matrices, wrong: NDArray[np.bool_]) -> str:
    """Say which half of a square matrix is zero, if one is."""
    rows, columns = np.indices(wrong.shape)
    columns = m.columns[columns]
    for name, half in (("above", columns > rows), ("below", columns < rows)):
        several = wrong.sum() > 1 or half.sum() == 1  # a single entry among many is named by its place
        if half.any() and several and not m.claimed[half].any() and not wrong[~half].any():
            return f"zero {name} the diagonal"
    return ""


def _each_by_its_own(m: Matrices) -> Iterator[str]:
    """Each column, or each row, is off by its own factor: a link of the chain rule is missing, or one too many."""
    with np.errstate(all="ignore"):
        x, y = m.x[m.columns], m.y
        inner = {
            "x": x, "1/x": 1 / x, "x²": x * x, "1/x²": 1 / (x * x), "2x": 2 * x, "1/(2x)": 1 / (2 * x),
            "exp(x)": np.exp(x), "exp(-x)": np.exp(-x), "cos x": np.cos(x), "1 - x²": 1 - x * x,
            "x(1 - x)": x * (1 - x),
        }  # fmt: skip
        outer = {
            "f": y, "1/f": 1 / y, "f²": y * y, "1/f²": 1 / (y * y), "2f": 2 * y, "1/(2f)": 1 / (2 * y),
            "f(1 - f)": y * (1 - y), "1/(f(1 - f))": 1 / (y * (1 - y)), "1 - f²": 1 - y * y,
            "1/(1 - f²)": 1 / (1 - y * y),
        }  # fmt: skip
        if m.claimed.shape[1] > 1 or m.whole:
            for name, factors in inner.items():
                if _usable(factors) and m.fits(m.claimed / factors):
                    yield f"chain rule: each column is off by the factor {name} of its own x"
                    return
        for name, factors in outer.items():
            if _usable(factors) and m.fits(m.claimed / factors[:, None]):
                yield f"chain rule: each row is off by the factor {name} of its own f"
                return
        for name, axis, numbers in (("column", 0, m.columns), ("row", 1, np.arange(len(m.y)))):
            wrong = np.asarray(~m.right(m.claimed).all(axis=axis))
            sizes = (m.numeric * m.numeric).sum(axis=axis)
            factors = (m.claimed * m.numeric).sum(axis=axis) / sizes
            factors = np.where(wrong, factors, 1)
            others = m.claimed.shape[axis]
            if others < 2 or not wrong.any() or not _usable(factors):
                continue
            undone = m.claimed / (factors if axis == 0 else factors[:, None])
            if not m.fits(undone):
                continue
            these, told = numbers[wrong], np.unique(np.round(factors[wrong], 9))
            if len(told) == 1:
                known = _by_name(m, wrong if axis == 0 else wrong[:, None], float(told[0]))
                yield f"{_named(name, these)}: factor {known}"
            # One number is always off by a factor of its own: that explains nothing.
            elif (np.abs(m.numeric) > m.allowed).sum(axis=axis)[wrong].min() > 1:
                yield f"chain rule: {_named(name, these)} off by factors of {'its' if len(these) == 1 else 'their'} own"
            return


def _by_name(m: Matrices, these: NDArray[np.bool_], factor: float) -> str:
    """Give the name of a factor that some entries are off by, if it has one; a noisy f makes it inexact."""
    for name, known in _FACTORS.items():
        if abs(factor / known - 1) < 1e-3 and m.fits(np.where(these, m.claimed / known, m.claimed)):
            return name
    return _number(factor)


def _number(factor: float) -> str:
    """Give a factor with six digits, or more if it would look like 1."""
    told = f"{factor:.6g}"
    return told if told not in ("1", "-1") else f"{factor:.9g}"


def _usable(factors: Floats) -> bool:
    return bool(np.isfinite(factors).all() and (factors != 0).all() and len(factors))


def _extra(m: Matrices) -> Iterator[str]:
    """Find a multiple of the identity, or entries that should be zero, on one side only."""
    off = m.claimed - m.numeric
    if m.claimed.shape[0] == len(m.x):
        eye = (np.arange(len(m.x))[:, None] == m.columns).astype(float)
        if eye.any():
            size = float(np.median(off[eye > 0]))
            if size and m.fits(m.claimed - size * eye):
                yield f"off by {size:.6g} times the identity"
                return
    wrong = ~m.right(m.claimed)
    if m.right(np.where(wrong, 0, m.claimed)).all() and wrong.any():
        yield f"entries that should be zero: {_places(m, wrong)}"


def _few(m: Matrices) -> Iterator[str]:
    """Say which rows or columns are wrong, and how, if all others are right."""
    wrong = ~m.right(m.claimed)
    rows, columns = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    if wrong.sum() == 1 and wrong.size > 1:
        i, j = rows[0], columns[0]
        ratio = m.claimed[i, j] / m.numeric[i, j] if m.numeric[i, j] else 0.0
        known = next((k for k, f in _FACTORS.items() if abs(ratio / f - 1) < 1e-6), "")
        yield f"one entry: {m.letter}[{i}, {m.columns[j]}]" + (f", factor {known}" if known else "")
        return
    factor = _factor_of(m, wrong)
    some_rows, some_columns = len(rows) < wrong.shape[0], len(columns) < wrong.shape[1]
    told = ""
    if some_rows and len(rows) <= min(_MOST_NAMED, len(columns) if some_columns else _MOST_NAMED):
        told = f"{_named('row', rows)} wrong"
    elif some_columns and len(columns) <= _MOST_NAMED:
        told = f"{_named('column', m.columns[columns])} wrong"
    if factor:
        told += f"{': ' if told else ''}factor {factor} in {_which(m, wrong)}"
    if told:
        yield told


def _factor_of(m: Matrices, wrong: NDArray[np.bool_]) -> str:
    """Give the common factor of all wrong entries, if there is one."""
    ratio = _ratio(m.claimed[wrong], m.numeric[wrong])
    if ratio is None:
        return ""
    for name, factor in (*_FACTORS.items(), (_number(ratio), ratio)):
        if m.fits(np.where(wrong, m.claimed / factor, m.claimed)):
            return name
    return ""


def _which(m: Matrices, wrong: NDArray[np.bool_]) -> str:
    """Name many entries at once: the diagonal, everything off the diagonal, or some of them."""
    on = np.arange(len(wrong))[:, None] == m.columns
    if len(wrong) == len(m.x) > 1 and m.whole:
        off = (m.claimed != 0) & ~on
        if not wrong[~on].any() and (wrong | (m.claimed == 0))[on].all():
            return "the diagonal"
        if not wrong[on].any() and wrong[off].all():
            return "all that is off the diagonal"
    return _places(m, wrong) if wrong.sum() <= _MOST_NAMED else "some of the entries"


def _named(what: str, numbers: NDArray[np.int64]) -> str:
    if len(numbers) == 1:
        return f"{what} {int(numbers[0])}"
    told = ", ".join(str(int(n)) for n in numbers[:_MOST_NAMED])
    return f"{what}s {told}{' …' if len(numbers) > _MOST_NAMED else ''}"


def _places(m: Matrices, these: NDArray[np.bool_]) -> str:
    rows, columns = np.nonzero(these)
    told = ", ".join(
        f"{m.letter}[{r}, {m.columns[c]}]" for r, c in zip(rows[:_MOST_NAMED], columns[:_MOST_NAMED], strict=True)
    )
    return told + (f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else "")
