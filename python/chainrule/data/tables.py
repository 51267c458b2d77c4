"""A table of your own, a CSV file or a data frame, made into examples to train on.

Columns of numbers are scaled, columns of words become a 1 among zeros. How each was read goes into the metadata of the
network, so that its file reads another table alike.
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
    """What `load_table` gives.

    Attributes
    ----------
    x : ndarray of float64, shape (N, D)
        A row an example.
    t : ndarray of int64 or float64, shape (N,)
        Places in `classes`; or numbers, scaled as those of a column, so that their mean is 0 and their deviation 1.
        Empty, if it was loaded `like` a network from a table without the target.
    classes : tuple of str or None
        What the classes are called, sorted; None if there are numbers to learn.
    places : tuple of str
        Where each row stands, such as "line 2".
    columns : tuple of Column
        How each column was read, in the order of `x`: its name, and mean and spread, or words.
    target : Column
        How the target was.
    fill : bool
        Whether missing cells are taken for the mean, or for no word.
    """

    columns: tuple[Column, ...]
    target: Column
    fill: bool = False

    @property
    def metadata(self) -> dict[str, str]:
        """What a network trained on this is to have in its ``metadata``; `network` puts it there."""
        said = {
            "columns": [column.to_dict() for column in self.columns],
            "target": self.target.to_dict(),
            "fill": self.fill,
        }
        names = {} if self.classes is None else class_names.said(self.classes)
        return {KEY: json.dumps(said, ensure_ascii=False), **names}

    def numbers(self, scores: Any) -> FloatArray:
        """Give what a network says of numbers in the unit of the file.

        Parameters
        ----------
        scores : array_like, shape (N, 1) or (N,)
            What ``net.predict(table.x)`` gives, or `t`.

        Returns
        -------
        ndarray of float64, shape (N,)

        Raises
        ------
        ValueError
            If the target is no number, but a class.
        """
        if self.classes is not None:
            raise ValueError(f"the target {self.target.name!r} is a class; net.predict_classes gives places in classes")
        return self.target.in_units(np.asarray(scores, np.float64).reshape(-1))

    def _parts(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Self, Self]:
        """Scale both by the first."""
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
        """Give a line: rows, columns and numbers, and what there is to learn."""
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
    r"""Read a CSV file, or a data frame, as examples to train on.

    Parameters
    ----------
    source : path-like or DataFrame
        A text file in UTF-8 (or UTF-16, as Excel's "Unicode text"): a line of names, then a line a row, with commas,
        semicolons, tabs or bars between cells. If these are not commas, 1,5 is one and a half. Or a frame of pandas or
        polars, or whatever has their ``columns`` and ``to_numpy``.
    target : str
        The name of the column to be learnt. Words, or at most 20 different whole numbers with two rows each on average,
        are classes; other numbers are learnt as numbers.
    missing : {"raise", "drop", "fill"}
        What to do if a cell is empty, or says NA, N/A, NaN, null or ?: raise a DataError that names the first; leave
        such rows out; or take the mean of a column of numbers, and of words none. "fill" leaves no empty target.
    drop : sequence of str
        Columns not to be used.
    like : Network or Table, optional
        Read the columns as those were read that this network was trained on, whatever their order; further columns are
        not looked at. `target`, `missing` and `drop` are then known; the target may be missing, and `t` is empty.

    Returns
    -------
    Table

    Raises
    ------
    DataError
        If the file is no such table, a cell is missing or is not what its column holds: names file, line and column.
        Also if there is nothing to be learnt, because all rows are of one class, say.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If there is no such column, or `like` was not trained on a table.
    OSError
        If the file cannot be read.

    Warns
    -----
    UserWarning
        If a column is left out: one without a name that counts the rows, one without any cell, and one whose words are
        nearly all different (more than 10, and more than half as many as cells), or more than 256.

    Notes
    -----
    A number becomes (number - mean of its column) / standard deviation of its column; a word becomes a 1 in a place of
    its own, among zeros for the other words of its column, which are sorted. If at least nine tenths of a column are
    numbers, a cell that is none is an error, not a word.

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
    text = f"{cells.source}: there is no column {name!r}; the columns are {cells.headers}"
    meant = [header for header in cells.names if header.casefold() == name.casefold()]
    if meant:
        text += f"; did you mean {meant[0]!r}?"
    if len(cells.names) == 1:
        text += ". Cells are told apart by commas, semicolons, tabs or bars, and there is none in its first line"
    if any(cells.number(header) is not None for header in cells.names):
        text += ". If that is a row of the data, put a line with the names of the columns above it"
    return text


def _columns(cells: Cells, others: set[str]) -> list[Column]:
    """Find out what each column is, but for those `others`; warn of those that are left out."""
    found = []
    for place, name in enumerate(cells.names):
        if name in others:
            continue
        if not name or name.startswith("Unnamed: "):  # the header that pandas gives to one without
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
    """Tell whether a column counts the rows, or says nothing at all."""
    numbers = [cells.number(cell) for cell in column]
    if None in numbers:
        return not any(column)
    return all(number == numbers[0] + row for row, number in enumerate(numbers))  # type: ignore[operator]  # no None


def _without_missing(cells: Cells, columns: list[Column], target: str, missing: str) -> Cells:
    """Leave rows out in which a cell is missing, if that is asked for; else raise, naming the first that may not be."""
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
    if unknown:  # a table to be predicted may have the column, and nothing in it
        at = cells.names.index(target.name)
        cells = replace(cells, names=[*cells.names[:at], "", *cells.names[at + 1 :]])
    if not fill:
        for column in columns:
            row = next((row for row, cell in enumerate(cells.column(column.name)) if cell in MISSING), None)
            if row is not None:
                _refuse_missing(cells, row, column.name, "a network trained with missing='fill' takes that")
    return _made(cells, columns, target, fill)


def _read_as(like: Any) -> tuple[tuple[Column, ...], Column, bool]:
    """Give how the columns were read that a network, or a table, knows of."""
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
