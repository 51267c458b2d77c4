"""Sparse matrices, SciPy's or any that have its ``tocsr``, made dense a block of rows at a time.

SciPy is never imported: its matrices cut themselves into rows and make arrays of those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray

#: Bytes of a dense block, if a row is no longer than that.
_BLOCK = 1 << 25
_KEPT = (np.dtype(np.uint8), np.dtype(np.float32), np.dtype(np.float64))


def is_sparse(x: Any) -> bool:
    """Tell whether `x` is a sparse matrix or array, such as those of ``scipy.sparse``."""
    return hasattr(x, "tocsr") and hasattr(x, "shape")


class SparseRows:
    """A sparse matrix that gives those of its rows that are asked for as a dense array.

    Parameters
    ----------
    x : sparse matrix or array, shape (N, D)
        Held, in the compressed form of rows; copied only if it has another.
    dtype : numpy.dtype
        What the rows are given in, unless they hold uint8, float32 or float64.

    Raises
    ------
    TypeError
        If it does not hold real numbers.
    ValueError
        If it has not two axes.
    """

    ndim = 2

    def __init__(self, x: Any, dtype: np.dtype[Any]) -> None:
        if len(x.shape) != 2:
            raise ValueError(f"a sparse x must have shape (N, D), got x.shape={tuple(x.shape)}")
        self._csr = x.tocsr()
        held = np.dtype(self._csr.dtype)
        if held.kind not in "biuf" or held.itemsize > 8:
            raise TypeError(f"x has dtype {held}; chainrule computes in float32 or float64")
        self.shape = (int(self._csr.shape[0]), int(self._csr.shape[1]))
        self.dtype = held if held in _KEPT else dtype
        #: Rows of a block.
        self.block = max(_BLOCK // max(self.shape[1] * self.dtype.itemsize, 1), 1)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> FloatArray:
        return np.ascontiguousarray(self._csr[rows].astype(self.dtype).toarray())

    def tocsr(self) -> Any:
        """Give the matrix."""
        return self._csr

    def only(self, rows: NDArray[np.int64]) -> SparseRows:
        """Give these rows, still sparse."""
        return SparseRows(self._csr[rows], self.dtype)

    def blocks(self) -> Iterator[slice]:
        """Give the rows of each block; of no rows, one block."""
        for start in range(0, max(len(self), 1), self.block):
            yield slice(start, min(start + self.block, len(self)))


def by_blocks(function: Callable[[FloatArray], FloatArray], x: Any, dtype: np.dtype[Any]) -> FloatArray:
    """Give what `function` makes of each row of a sparse `x`, called with a dense block at a time."""
    rows = x if isinstance(x, SparseRows) else SparseRows(x, dtype)
    return np.concatenate([function(rows[block]) for block in rows.blocks()])


def mean_of_blocks(
    function: Callable[[FloatArray, NDArray[Any]], float], x: FloatArray | SparseRows, t: NDArray[Any]
) -> float:
    """Give ``function(x, t)``, a mean over the examples, of a sparse `x` by the means over its blocks."""
    if not isinstance(x, SparseRows):
        return float(function(x, t))
    means = [function(x[block], t[block]) for block in x.blocks()]
    return float(np.average(means, weights=[block.stop - block.start for block in x.blocks()]))
