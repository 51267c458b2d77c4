"""A table as text: a CSV file or a data frame, read into columns of cells, with the place of each row.

What the cells mean is not decided here. Python's csv module reads the files. Of a pandas or polars frame only
``columns`` and ``to_numpy`` are used, so that neither library is imported.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from chainrule._errors import DataError
from chainrule.data.idx import expect_regular

#: What a cell says if its value is missing.
MISSING = frozenset({"", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "null", "NULL", "?"})
#: How many column names a message lists.
_MOST_TOLD = 20
#: What may separate cells; the one that gives the most columns is taken, and the first of several such.
_DELIMITERS = ",;\t|"
_BINARY = {
    b"\x89PNG": "a PNG picture, not a CSV file",
    b"\xff\xd8\xff": "a JPEG picture, not a CSV file",
    b"PK\x03\x04": "a zip archive, such as a workbook of Excel's; save the sheet as CSV",
    b"\x1f\x8b": "compressed by gzip; unpack it first",
}


@dataclass(frozen=True, eq=False)
class Cells:
    """Columns of text.

    Attributes
    ----------
    source : str
        The name of the file, or the kind of frame.
    names : list of str
        The names of the columns; a column without a header has an empty name.
    columns : list of list of str
        The cells, without surrounding spaces.
    places : list of str
        Where each row is, such as "line 2".
    decimal_comma : bool
        Whether 1,5 means one and a half: it does if cells are not separated by commas.
    """

    source: str
    names: list[str]
    columns: list[list[str]]
    places: list[str]
    decimal_comma: bool = False

    def __len__(self) -> int:
        return len(self.places)

    @property
    def headers(self) -> str:
        """The names of the first columns, as a message lists them."""
        named = [repr(name) for name in self.names if name]
        return ", ".join([*named[:_MOST_TOLD], *(["…"] if len(named) > _MOST_TOLD else [])])

    def column(self, name: str) -> list[str]:
        """Give the cells of the column called `name`."""
        return self.columns[self.names.index(name)]

    def refuse(self, row: int, name: str, what: str) -> NoReturn:
        """Raise a DataError about a cell."""
        raise DataError(f"{self.source}: {self.places[row]}, column {name!r}: {what}")

    def number(self, cell: str) -> float | None:
        """Give the number in a cell, which may be infinite; None if there is none."""
        if "_" in cell:  # Python allows it in numbers
            return None
        if self.decimal_comma and "," in cell:
            cell = cell.replace(".", "").replace(",", ".")
        try:
            number = float(cell)
        except ValueError:
            return None
        return None if math.isnan(number) else number

    def numbers(self, column: Sequence[str]) -> Sequence[float | None]:
        """Give the number in each of these cells, as `number` does; in one go if all are as Python writes them."""
        try:
            found = list(map(float, column))
        except ValueError:
            found = [math.nan]
        if math.isnan(sum(found)) or "_" in "".join(column):
            return [self.number(cell) for cell in column]
        return found


def cells_of(source: Any) -> Cells:
    """Read a CSV file or a frame.

    Raises
    ------
    DataError
        If the file is not a CSV file with a header line and the same number of cells in each row.
    OSError
        If the file cannot be read.
    TypeError
        If `source` is neither a path nor a frame.
    """
    if hasattr(source, "to_numpy") and hasattr(source, "columns"):
        cells = _of_frame(source)
    elif isinstance(source, str | os.PathLike):
        cells = _of_file(source)
    else:
        raise TypeError(f"source must be the path of a CSV file, or a data frame, got {type(source).__name__}")
    named = [name for name in cells.names if name]
    if twice := next((name for name in named if named.count(name) > 1), None):
        raise DataError(f"{cells.source}: two columns are called {twice!r}")
    if not cells.places:
        raise DataError(f"{cells.source}: there are names of columns, and no rows")
    return cells


def _of_frame(frame: Any) -> Cells:
    names = [str(name).strip() for name in frame.columns]
    rows = frame.to_numpy()
    columns = [[_word(value) for value in rows[:, j]] for j in range(len(names))]
    return Cells(f"the {type(frame).__name__}", names, columns, [f"row {row}" for row in range(len(rows))])


def _word(value: Any) -> str:
    """Give a value of a frame as a file would have it; None becomes an empty cell."""
    return "" if value is None else str(value).strip()


def _of_file(path: str | os.PathLike[str]) -> Cells:
    name = os.fspath(path)
    if os.path.isdir(path):
        raise DataError(f"{name}: is a folder, not a CSV file; load_folder reads one of pictures")
    expect_regular(path)
    with open(path, "rb") as file:
        text = _text(file.read(), name)
    first = next((line for line in text.splitlines() if line.strip()), None)
    if first is None:
        raise DataError(f"{name}: empty")
    delimiter = max(_DELIMITERS, key=lambda sign: len(next(csv.reader([first], delimiter=sign))))
    records = _records(text, delimiter, name)
    (_, names), rows = records[0], records[1:]
    if rows and all(len(cells) == len(names) + 1 for _, cells in rows):  # R's row names: a column without a header
        names = ["", *names]
    for line, cells in rows:
        if len(cells) != len(names):
            raise DataError(f"{name}: line {line} has {len(cells)} cells, the line of names {len(names)}")
    columns = [list(column) for column in zip(*(cells for _, cells in rows), strict=True)] or [[] for _ in names]
    return Cells(name, names, columns, [f"line {line}" for line, _ in rows], decimal_comma=delimiter != ",")


def _text(content: bytes, name: str) -> str:
    for magic, what in _BINARY.items():
        if content.startswith(magic):
            raise DataError(f"{name}: {what}")
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{name}: line {line} is not text in UTF-8; save the file as CSV in UTF-8") from None


def _records(text: str, delimiter: str, name: str) -> list[tuple[int, list[str]]]:
    """Give the records that are not blank, split into cells, each with the number of the line it begins on."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    found: list[tuple[int, list[str]]] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return found
        except csv.Error as error:
            raise DataError(f"{name}: line {line}: {error}") from None
        if cells:
            found.append((line, [cell.strip() for cell in cells]))
