"""Your own table, a CSV file or a data frame, read as examples to train on.

Columns of numbers are scaled; columns of words are one-hot encoded. How each column was read goes into the metadata of
the network, so that another table can be read in the same way with the network's file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Self

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._gate import FloatArray
from chainrule._harmless import harmless
from chainrule._warn import warn
from chainrule.data.cells import MISSING, Cells, cells_of
from chainrule.data.columns import Column, column_of, counted, target_of
from chainrule.data.own_data import OwnData
from chainrule.nn import class_names

#: The key in ``net.metadata``.
KEY = "columns"
_WAYS = ("raise", "drop", "fill")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Table(OwnData):
    """The result of `load_table`.

    Attributes
    ----------
    x : ndarray of float64, shape (N, D)
        One row per example.
    t : ndarray of int64 or float64, shape (N,)
        Indices into `classes`; or numbers, scaled like those of a column, to a mean of 0 and a deviation of 1. Empty if
        the table was loaded `like` a network and has no target column.
    classes : tuple of str or None
        The names of the classes, sorted; None if the target is a number.
    places : tuple of str
        Where each row is, such as "line 2".
    columns : tuple of Column
        How each column was read, in the order of `x`: its name, and its mean and spread, or its words.
    target : Column
        How the target was read.
    fill : bool
        Whether a missing number counts as the mean, and a missing word as no word.
    """

    columns: tuple[Column, ...]
    target: Column
    fill: bool = False

    @property
    def metadata(self) -> dict[str, str]:
        """What belongs in the ``metadata`` of a network trained on this; `network` puts it there."""
        said = {
            "columns": [column.to_dict() for column in self.columns],
            "target": self.target.to_dict(),
            "fill": self.fill,
        }
        names = {} if self.classes is None else class_names.said(self.classes)
        return {KEY: json.dumps(said, ensure_ascii=False), **names}

    def numbers(self, scores: Any) -> FloatArray:
        """Convert scaled numbers, predicted or given, to the unit of the file.

        Parameters
        ----------
        scores : array_like, shape (N, 1) or (N,)
            The output of ``net.predict(table.x)``, or `t`.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        ValueError
            If the target is a class and not a number.
        """
        if self.classes is not None:
            raise ValueError(f"the target {self.target.name!r} is a class; net.predict_classes gives places in classes")
        return self.target.in_units(np.asarray(scores, np.float64).reshape(-1))

    def _parts(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Self, Self]:
        """Scale both parts by the first."""
        columns, x, at = [], self.x.copy(), 0
        for column in self.columns:
            part = slice(at, at + column.width)
            columns.append(column.scaled_by(x[first, part]))
            at = part.stop
            if column.words is None:
                x[:, part] = (column.in_units(x[:, part]) - columns[-1].mean) / columns[-1].spread
        target, t = self.target, self.t
        if target.words is None:
            target = target.scaled_by(t[first])
            t = (self.target.in_units(t) - target.mean) / target.spread
        whole = replace(self, x=x, t=t, columns=tuple(columns), target=target)
        return whole._only(first), whole._only(second)

    def __repr__(self) -> str:
        """Give one line: rows, columns and numbers, and the target."""
        rows, D = self.x.shape
        columns = f"{len(self.columns)} column{'s' * (len(self.columns) != 1)}"
        what = f"{self.target.name}: "
        if self.classes is None:
            what += f"numbers, mean {self.target.mean:.6g}, deviation {self.target.spread:.6g}"
        elif len(self.t):
            what += counted(self.target, np.eye(len(self.classes))[self.t])
        else:
            what += f"{len(self.classes)} classes"
        return harmless(f"Table({rows} rows, {columns} as {D} numbers; {what})")


def load_table(
    source: Any, target: str | None = None, *, missing: str = "raise", drop: Sequence[str] = (), like: Any = None
) -> Table:
    r"""Read a CSV file or a data frame as examples to train on.

    Parameters
    ----------
    source : path-like or DataFrame
        A text file in UTF-8 (or UTF-16, like Excel's "Unicode text"): a header line with the names, then one line per
        row, with commas, semicolons, tabs or bars between cells. If the separator is not the comma, 1,5 means one and a
        half. Or a pandas or polars frame, or any object with their ``columns`` and ``to_numpy``.
    target : str
        The name of the column to learn. Words are classes, as are at most 20 different whole numbers with an average of
        at least two rows each; other numbers are learnt as numbers.
    missing : {"raise", "drop", "fill"}
        What to do if a cell is empty or says NA, N/A, NaN, null or ?: raise a DataError that names the first such cell;
        drop these rows; or use the mean in a column of numbers, and no word in a column of words. "fill" does not fill
        a missing target.
    drop : sequence of str
        Columns not to use.
    like : Network or Table, optional
        Read the columns in the same way as those that this network was trained on, whatever their order; further
        columns are ignored. `target`, `missing` and `drop` are then known and must not be given. The target may be
        absent; `t` is then empty.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If the file is not such a table, or a cell is missing or does not fit its column; the message names file, line
        and column. Also if there is nothing to learn, for example because all rows have one class.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If there is no such column, or `like` was not trained on a table.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If a column is left out: one that is empty, or one with too many different words (more than 256, or more than 10
        and more than half as many as cells). A column without a name that counts the rows is left out without a word.

    Notes
    -----
    A number becomes (number - mean of its column) / standard deviation of its column. A word becomes a 1 in a place of
    its own and zeros in those of the other words of its column, which are sorted. If at least nine tenths of a column
    are numbers, any other cell is an error, not a word.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from chainrule import fit
    >>> text = "size,colour,kind\n" + "1.0,red,apple\n2.0,yellow,lemon\n1.1,green,apple\n2.1,yellow,lemon\n" * 5
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "fruit.csv")
    ...     _ = path.write_text(text)
    ...     table = load_table(path, target="kind")
    >>> table
    Table(20 rows, 2 columns as 4 numbers; kind: apple 10, lemon 10)
    >>> net = table.network(seed=0)
    >>> fit(net, table.x, table.t, epochs=20, seed=0).train_accuracy[-1]
    1.0
    """
    if like is not None:
        if target is not None or missing != "raise" or drop:
            raise ValueError("target, missing and drop are known to what the table is to be like; leave them out")
        return _alike(cells_of(source), *_read_as(like))
    if target is None:
        raise TypeError("target must name the column to be learnt, got None")
    if missing not in _WAYS:
        raise ValueError(f"missing must be one of {', '.join(map(repr, _WAYS))}, got {missing!r}")
    if isinstance(drop, str) or not all(isinstance(name, str) for name in drop):
        raise TypeError(f"drop must be a list of names of columns, got {drop!r}")
    cells = cells_of(source)
    for name in (target, *drop):
        if not name or name not in cells.names:
            raise ValueError(_no_such_column(cells, name))
    if target in drop:
        raise ValueError(f"the target {target!r} is not to be dropped")
    columns = _columns(cells, {target, *drop})
    cells = _without_missing(cells, columns, target, missing)
    wanted = target_of(cells, target)
    if isinstance(wanted, str):
        raise DataError(f"{cells.source}: the target {target!r} cannot be learnt: {wanted}")
    table = _made(cells, columns, wanted, missing == "fill")
    rows = np.arange(len(table))
    return table._parts(rows, rows[:0])[0]  # scaled by the rows that are left


def _no_such_column(cells: Cells, name: str) -> str:
    import difflib  # takes a while, and is needed for mistakes alone

    text = f"{cells.source}: there is no column {name!r}; the columns are {cells.headers}"
    meant = [header for header in cells.names if header.casefold() == name.casefold()]
    meant = meant or difflib.get_close_matches(name, cells.names, 1)
    if meant:
        text += f"; did you mean {meant[0]!r}?"
    if len(cells.names) == 1:
        text += ". Cells are told apart by commas, semicolons, tabs or bars, and there is none in its first line"
    if any(cells.number(header) is not None for header in cells.names):
        text += ". If that is a row of the data, put a line with the names of the columns above it"
    return text


def _columns(cells: Cells, others: set[str]) -> list[Column]:
    """Find out what each column holds, except for the `others`; warn about columns that are left out."""
    found = []
    for place, name in enumerate(cells.names):
        if name in others:
            continue
        if not name or name.startswith("Unnamed: "):  # pandas' header for a column without one
            if _counts(cells, cells.columns[place]):
                continue
            if not name:
                raise DataError(f"{cells.source}: column {place + 1} has no name in the first line; give it one")
        column = column_of(cells, name)
        if isinstance(column, Column):
            found.append(column)
        else:
            warn(f"{cells.source}: column {name!r} is left out: {column}", UserWarning)
    if not found:
        raise DataError(f"{cells.source}: there is no column to learn from beside the target")
    return found


def _counts(cells: Cells, column: list[str]) -> bool:
    """Tell whether a column counts the rows, or is empty."""
    numbers = [cells.number(cell) for cell in column]
    if None in numbers:
        return not any(column)
    return all(number == numbers[0] + row for row, number in enumerate(numbers))  # type: ignore[operator]  # no None


def _without_missing(cells: Cells, columns: list[Column], target: str, missing: str) -> Cells:
    """Drop the rows with a missing cell, if asked to; else raise for the first missing cell that is not allowed."""
    needed = [column.name for column in columns] if missing != "fill" else []
    absent: dict[int, str] = {}  # row: the first of its columns in which a cell is missing
    for name in reversed([*needed, target]):
        absent |= {row: name for row, cell in enumerate(cells.column(name)) if cell in MISSING}
    if absent and missing != "drop":
        row = min(absent)
        ways = "missing='drop' (--missing drop) leaves such rows out"
        if absent[row] != target:
            ways += ", missing='fill' puts the mean, or no word, in their place"
        _refuse_missing(cells, row, absent[row], ways)
    kept = [row for row in range(len(cells)) if row not in absent]
    if not kept:
        raise DataError(f"{cells.source}: each of the {len(cells)} rows has an empty cell, so none is left")
    places = [cells.places[row] for row in kept]
    return replace(cells, columns=[[column[row] for row in kept] for column in cells.columns], places=places)


def _refuse_missing(cells: Cells, row: int, name: str, ways: str) -> NoReturn:
    cell = cells.column(name)[row]
    cells.refuse(row, name, f"the cell {f'says {cell!r}' if cell else 'is empty'}; {ways}")


def _made(cells: Cells, columns: Sequence[Column], target: Column, fill: bool) -> Table:
    x = np.concatenate([column.numbers(cells, fill=fill) for column in columns], axis=1)
    if target.name in cells.names:
        known = target.numbers(cells, fill=False)
        t = known[:, 0] if target.words is None else known.argmax(axis=1)
    else:
        t = np.zeros(0, np.int64)
    places = tuple(cells.places)
    return Table(x=x, t=t, classes=target.words, places=places, columns=tuple(columns), target=target, fill=fill)


def _alike(cells: Cells, columns: tuple[Column, ...], target: Column, fill: bool) -> Table:
    for column in columns:
        if column.name not in cells.names:
            raise DataError(f"{cells.source}: the network reads a column {column.name!r}; there are {cells.headers}")
    unknown = target.name in cells.names and any(cell in MISSING for cell in cells.column(target.name))
    if unknown:  # a table to predict may have the column, but empty
        at = cells.names.index(target.name)
        cells = replace(cells, names=[*cells.names[:at], "", *cells.names[at + 1 :]])
    if not fill:
        for column in columns:
            row = next((row for row, cell in enumerate(cells.column(column.name)) if cell in MISSING), None)
            if row is not None:
                _refuse_missing(cells, row, column.name, "a network trained with missing='fill' takes that")
    return _made(cells, columns, target, fill)


def _read_as(like: Any) -> tuple[tuple[Column, ...], Column, bool]:
    """Give how the columns of `like`, a table or a network's training data, were read."""
    if isinstance(like, Table):
        return like.columns, like.target, like.fill
    if not hasattr(like, "metadata"):
        raise TypeError(f"like must be a Network or a Table, got {type(like).__name__}")
    text = like.metadata.get(KEY)
    if text is None:
        raise ValueError("the network was not trained on a table: its metadata say nothing of columns")
    try:
        said = json.loads(text)
        columns, target = tuple(map(Column.of_dict, said["columns"])), Column.of_dict(said["target"])
        return columns, target, bool(said["fill"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"the network's metadata {KEY!r} do not hold together: {error}") from None
