"""Columns that can be moved together, because no row has an entry in two of them.

A tridiagonal matrix then takes three evaluations, however large it is (Curtis, Powell and Reid, "On the estimation of
sparse Jacobian matrices", 1974).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def colours(rows: NDArray[np.int64], columns: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Give each of `count` columns a colour, so that no row has entries in two columns of the same colour.

    The method is greedy: in their order, each column gets the smallest free number. For a band matrix, this needs as
    few colours as possible.
    """
    order = np.argsort(columns, kind="stable")
    own = np.split(rows[order], np.searchsorted(columns[order], np.arange(1, count)))
    taken: dict[int, set[int]] = {}
    found = np.zeros(count, np.int64)
    for column, in_rows in enumerate(own):
        used = set().union(*(taken.get(row, ()) for row in in_rows.tolist()))
        colour = next(c for c in range(len(used) + 1) if c not in used)
        found[column] = colour
        for row in in_rows.tolist():
            taken.setdefault(row, set()).add(colour)
    return found
