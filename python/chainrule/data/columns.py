"""What a column of cells means, and the numbers that a cell becomes: one scaled number, or one for each word.

A `Column` holds all that is needed to read the same column of another file in the same way. It goes into the model
file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from chainrule._gate import FloatArray
from chainrule.data.cells import MISSING, Cells

#: A column with more different words than the first, or with more than the second if that is more than half as many as
#: it has cells, says nothing about other rows.
_MOST_WORDS, _FEW_WORDS = 256, 10
#: If at least this share of the cells are numbers, the others are mistakes and not words.
_MEANT_AS_NUMBERS = 0.9
#: If the target consists of whole numbers with at most this many different values, they are the names of classes.
_MOST_CLASSES = 20


@dataclass(frozen=True)
class Column:
    """A column and what its cells become.

    Attributes
    ----------
    name : str
        The header.
    mean, spread : float
        For a column of numbers: a cell becomes ``(number - mean) / spread``, where `spread` is the standard deviation,
        or 1 if that is 0.
    words : tuple of str or None
        For a column of words: a cell becomes one number for each of these, 1 for its own word and 0 for the others.
        None for a column of numbers.
    """

    name: str
    mean: float = 0.0
    spread: float = 1.0
    words: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """How many numbers a cell becomes."""
        return 1 if self.words is None else len(self.words)

    def numbers(self, cells: Cells, *, fill: bool) -> FloatArray:
        """Give the numbers of this column of `cells`, shape (N, width); those of a missing cell are 0.

        Parameters
        ----------
        cells : Cells
            A table that has the column.
        fill : bool
            Whether a word that is not among `words` counts as a missing cell instead of an error.

        Raises
        ------
        DataError
            If a cell does not fit the column.
        """
        column = cells.column(self.name)
        if self.words is not None:
            at = {word: i for i, word in enumerate(self.words)}
            rows = np.zeros((len(column), len(at)))
            for row, cell in enumerate(column):
                word = cell if cell in at else _as_class(cells.number(cell)) or cell
                if word in at:
                    rows[row, at[word]] = 1
                elif cell not in MISSING and not fill:
                    known = ", ".join(self.words[:_FEW_WORDS]) + (", …" if len(self.words) > _FEW_WORDS else "")
                    cells.refuse(row, self.name, f"{cell!r} is none of the words it was made with: {known}")
            return rows
        there = [row for row, cell in enumerate(column) if cell not in MISSING]
        values = np.full((len(column), 1), self.mean)
        values[there, 0] = np.array(cells.numbers([column[row] for row in there]), np.float64)  # None becomes nan
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            cells.refuse(int(bad[0]), self.name, f"{column[bad[0]]!r} is no finite number")
        return (values - self.mean) / self.spread

    def in_units(self, scaled: FloatArray) -> FloatArray:
        """Convert scaled numbers back to the units of the file."""
        return np.asarray(scaled * self.spread + self.mean)

    def scaled_by(self, numbers: FloatArray) -> Self:
        """Give the column with a mean and spread that would scale `numbers`, which it has made, to a mean of 0."""
        if self.words is not None:
            return self
        mean, spread = _mean_and_spread(numbers)
        return replace(self, mean=self.mean + self.spread * mean, spread=self.spread * spread)

    def to_dict(self) -> dict[str, Any]:
        """Give the column as JSON can hold it."""
        kind = {"mean": self.mean, "spread": self.spread} if self.words is None else {"words": list(self.words)}
        return {"name": self.name, **kind}

    @classmethod
    def of_dict(cls, said: Mapping[str, Any]) -> Self:
        """Make a column from what `to_dict` gave; raise TypeError, ValueError or KeyError for anything else."""
        name, words = said["name"], said.get("words")
        if not (isinstance(name, str) and all(isinstance(word, str) for word in words or ())):
            raise TypeError("the name of a column, or a word, is not text")
        if words is not None:
            return cls(name, words=tuple(words))
        mean, spread = float(said["mean"]), float(said["spread"])
        if not (np.isfinite(mean) and 0 < spread < np.inf):
            raise ValueError(f"a column is to be scaled by mean {mean} and spread {spread}")
        return cls(name, mean, spread)


def column_of(cells: Cells, name: str) -> Column | str:
    """Find out whether a column holds numbers or words; if it is of no use, return the reason as text.

    Raises
    ------
    DataError
        If all but a few of the cells are numbers.
    """
    column = cells.column(name)
    rows = [row for row, cell in enumerate(column) if cell not in MISSING]
    if not rows:
        return "all its cells are empty"
    there = [column[row] for row in rows]
    found = cells.numbers(there)
    if None not in found:
        return _of_numbers(cells, name, rows, np.array(found, np.float64))
    if found.count(None) <= (1 - _MEANT_AS_NUMBERS) * len(found):
        odd = found.index(None)
        cells.refuse(
            rows[odd], name, f"{there[odd]!r} is no number, as most others of the column are; mend it, or drop it"
        )
    words = set(there)
    if _says_nothing(len(words), len(there)):
        return f"{len(words)} different words in {len(there)} rows say nothing of other rows"
    return Column(name, words=tuple(sorted(words)))


def target_of(cells: Cells, name: str) -> Column | str:
    """Find out whether the target holds classes or numbers; if it cannot be learnt, return the reason as text."""
    column = [cell for cell in cells.column(name) if cell not in MISSING]
    found = cells.numbers(column)
    words: Sequence[str] = sorted(set(column))
    if None not in found:
        values = sorted({number for number in found if number is not None})
        whole = [name for name in map(_as_class, values) if name is not None]
        if not (len(whole) == len(values) <= _MOST_CLASSES and (2 * len(values) <= len(column) or len(values) == 1)):
            return column_of(cells, name)
        words = whole
    if not words:
        return "all its cells are empty"
    if len(words) == 1:
        return f"all its cells are {words[0]!r}"
    if _says_nothing(len(words), len(column)):
        return f"{len(words)} different words in {len(column)} rows are no classes"
    return Column(name, words=tuple(words))


def counted(column: Column, numbers: FloatArray) -> str:
    """Say how many rows each class has, the most frequent first, given the numbers that the target column made."""
    names = column.words or ()
    counts = Counter({name: int(n) for name, n in zip(names, numbers.sum(axis=0), strict=True)})
    told = ", ".join(f"{name} {n}" for name, n in counts.most_common(_FEW_WORDS))
    return told + (", …" if len(names) > _FEW_WORDS else "")


def _of_numbers(cells: Cells, name: str, rows: list[int], values: FloatArray) -> Column:
    if not np.isfinite(values).all():
        cells.refuse(rows[int(np.argmin(np.isfinite(values)))], name, "an infinite number")
    with np.errstate(over="ignore", invalid="ignore"):
        mean, spread = _mean_and_spread(values)
    if not np.isfinite(spread):
        cells.refuse(rows[int(np.argmax(np.abs(values)))], name, "so large a number that the column has no spread")
    return Column(name, mean, spread)


def _mean_and_spread(values: FloatArray) -> tuple[float, float]:
    """Give mean and standard deviation; 1 for equal numbers, whose computed deviation may be a rounding error."""
    return float(values.mean()), float(values.std()) if np.ptp(values) else 1.0


def _as_class(number: float | None) -> str | None:
    """Give the class name for a whole number, however the number is written: 1.0 is "1"."""
    return str(int(number)) if number is not None and abs(number) < 2**53 and number == int(number) else None


def _says_nothing(words: int, rows: int) -> bool:
    return words > _MOST_WORDS or (words > _FEW_WORDS and 2 * words > rows)
