"""Examples of which each rank has some: no rank ever holds them all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.nn.sparse import SparseRows
from chainrule.training.ranks import Ranks


class RowsByRank:
    """The examples of all ranks, those of rank 0 first.

    Parameters
    ----------
    mine : ndarray or SparseRows, shape (n, ...)
        This rank's examples.
    ranks : Ranks
        The ranks. All must make this object together, and `fetch` together.

    Attributes
    ----------
    shape, dtype, ndim
        As of an array with the examples of all ranks.
    """

    def __init__(self, mine: FloatArray | SparseRows, ranks: Ranks) -> None:
        self.mine, self._ranks = mine, ranks
        lengths = ranks.together(lambda: [len(mine)], [1] * ranks.size).astype(np.int64)
        #: The number of each rank's first example, and of the one behind the last.
        self._starts = np.cumsum([0, *lengths])
        self._rows: NDArray[np.int64] | None = None
        self.dtype, self.ndim = mine.dtype, mine.ndim
        self.shape: tuple[int, ...] = (int(self._starts[-1]), *mine.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def only(self, rows: NDArray[np.int64]) -> RowsByRank:
        """Give these of the examples, wherever they are."""
        part = object.__new__(RowsByRank)
        vars(part).update(vars(self))
        part._rows = rows if self._rows is None else self._rows[rows]
        part.shape = (len(rows), *self.shape[1:])
        return part

    def fetch(self, wanted: Sequence[NDArray[np.int64]]) -> FloatArray:
        """Give this rank the examples that it wants; all ranks know what each of them wants."""
        numbers = wanted if self._rows is None else [self._rows[rows] for rows in wanted]
        owners = [np.searchsorted(self._starts, rows, side="right") - 1 for rows in numbers]
        me = self._ranks.rank
        first = self._starts[me]
        sent = [self.mine[rows[owner == me] - first] for rows, owner in zip(numbers, owners, strict=True)]
        counts = [int(np.count_nonzero(owners[me] == rank)) for rank in range(self._ranks.size)]
        width = int(np.prod(self.shape[1:], dtype=int))
        received = self._ranks.swapped(
            np.concatenate([part.reshape(-1) for part in sent]),
            [part.size for part in sent],
            [count * width for count in counts],
        )
        out = np.empty((len(numbers[me]), *self.shape[1:]), self.dtype)
        out[np.argsort(owners[me], kind="stable")] = received.reshape(out.shape)
        return out


def is_at_hand(x: Any) -> bool:
    """Tell whether this rank has all examples itself."""
    return not isinstance(x, RowsByRank)
