"""The data of a run: the training set, and the sets for evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, column_names, examples, numbers, real, sample_weights
from chainrule.nn.engine import Ours
from chainrule.nn.network import Network, as_read
from chainrule.nn.sparse import SparseRows, is_sparse
from chainrule.training.ranks import Ranks
from chainrule.training.rows_by_rank import RowsByRank, is_at_hand
from chainrule.training.settings import Settings


@dataclass(eq=False, repr=False)
class Sets:
    """The data of a run.

    Attributes
    ----------
    x, t : ndarray
        The training set: N examples and their teaching signal, which is checked and converted if the loss is ours.
    taught : ndarray
        `t`, smoothed if `label_smoothing` was given.
    weights : ndarray or None
        Sample weights, shape (N,).
    evaluated : dict of str to (x, t)
        The sets to evaluate after each epoch.
    share : int
        The number of examples to hold out for validation; see `hold_out`.
    held_out : ndarray of int64 or None
        The rows that are held out.
    columns : list of str or None
        The names of the columns of `x`, if it was a data frame.
    """

    x: Any  # an array, SparseRows or RowsByRank
    t: NDArray[Any]
    weights: FloatArray | None
    evaluated: dict[str, tuple[Any, NDArray[Any]]]
    share: int
    held_out: NDArray[np.int64] | None = None
    columns: list[str] | None = None
    taught: NDArray[Any] = field(default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, net: Any, x: Any, t: Any, sample_weight: Any, test: Any, validation: Any, settings: Settings) -> Sets:
        """Check the data against the network.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit the network, or does not suit its loss.
        """
        columns = column_names(x)
        x, t = _in_order(net, x, t)
        weights = None if sample_weight is None else sample_weights(sample_weight, len(x))
        if weights is not None and not weights.any():
            raise ValueError("sample_weight is 0 for every example: there is nothing to learn from")
        if (weights is not None or settings.label_smoothing) and Ours(net).trained is None:
            raise ValueError(
                "sample_weight and label_smoothing need the loss and gradient of Network, but"
                f" {type(net).__name__} has its own"
            )
        evaluated = {} if test is None else {"test": _second(net, test, "test")}
        share = 0
        if isinstance(validation, tuple | list):
            evaluated["validation"] = _second(net, validation, "validation")
        elif validation is not None:
            share = _share(validation, len(x))
        return cls(x, t, weights, evaluated, share, columns=columns)

    def __len__(self) -> int:
        return len(self.x) - (self.share if self.held_out is None else 0)

    def join(self, ranks: Ranks, validation: Any) -> None:
        """Take what was given for this rank's part of the data: leave `x` where it is, and gather all else."""
        self.x, self.t, self.weights = _joined(ranks, self.x, self.t, self.weights)
        self.evaluated = {name: _joined(ranks, x, t)[:2] for name, (x, t) in self.evaluated.items()}
        if self.share:
            self.share = _share(validation, len(self.x))

    def hold_out(self, rows: NDArray[np.int64] | None) -> None:
        """Use these rows for validation."""
        if rows is not None:
            self.held_out = rows
            self.evaluated["validation"] = _only(self.x, rows), self.t[rows]
            learnt = np.delete(np.arange(len(self.x)), rows)
            self.x, self.t = _only(self.x, learnt), self.t[learnt]
            self.weights = None if self.weights is None else self.weights[learnt]

    @property
    def at_hand(self) -> FloatArray | SparseRows:
        """The examples that this rank has."""
        mine: FloatArray | SparseRows = self.x if is_at_hand(self.x) else self.x.mine
        return mine

    def place(self, row: int, *place: int) -> str:
        """Say which number of what `fit` was given this one of `x` is."""
        if self.held_out is not None and is_at_hand(self.x):
            row = int(np.delete(np.arange(len(self.x) + len(self.held_out)), self.held_out)[row])
        return place_in(self.columns, row, *place)

    def smooth(self, net: Any, share: float) -> None:
        """Spread a share of each answer over all possible answers."""
        self.taught = self.t
        loss = Ours(net).trained
        if share and loss is not None:
            scores = net.predict(self.at_hand[:1])
            self.taught = loss.smoothed(self.t, share, scores.shape[-1], scores.dtype)


def _joined(
    ranks: Ranks, x: Any, t: NDArray[Any], weights: FloatArray | None = None
) -> tuple[RowsByRank, NDArray[Any], FloatArray | None]:
    """Give the examples of all ranks, in place, and their teaching signal and weights, gathered."""
    ranks.expect_alike(
        {"the shape of an example, or the dtypes of x and t,": f"{x.shape[1:]} {x.dtype} {t.shape[1:]} {t.dtype}"}
    )
    return RowsByRank(x, ranks), ranks.joined_rows(t), None if weights is None else ranks.joined_rows(weights)


def place_in(columns: list[str] | None, row: int, *place: int) -> str:
    """Name a number of `x` by its row and, in a data frame, by the name of its column."""
    names = list(map(str, place)) if columns is None else [repr(columns[column]) for column in place]
    return f"x[{', '.join([str(row), *names])}]"


def part_of(x: FloatArray | SparseRows, first: int, end: int) -> FloatArray | SparseRows:
    """Give the examples from number `first` to the one before `end`."""
    return x.only(np.arange(first, end)) if isinstance(x, SparseRows) else x[first:end]


def _only(x: Any, rows: NDArray[np.int64]) -> Any:
    return x.only(rows) if isinstance(x, SparseRows | RowsByRank) else x[rows]


def _in_order(net: Any, x: Any, t: Any) -> tuple[FloatArray | SparseRows, NDArray[Any]]:
    """Give the examples and the teaching signal, which is checked and converted if the loss is ours."""
    first = next(iter(net.params.values()), None)
    dtype = np.dtype(np.float64) if first is None else first.dtype
    x = SparseRows(x, dtype) if is_sparse(x) else examples(x, dtype)
    t = numbers(t, "t")
    if x.ndim < 2 or t.ndim < 1 or len(x) != len(t):
        raise ValueError(f"x and t must have one row per example, got x.shape={x.shape}, t.shape={t.shape}")
    if len(x) == 0:
        raise ValueError(f"there are no examples to train on, got x.shape={x.shape}")
    if not isinstance(x, SparseRows) and any(np.may_share_memory(x, array) for array in net.params.values()):
        x = x.copy()  # train on x as it is now, whatever happens to the parameter whose memory it shares
    if isinstance(net, Network):
        x = as_read(net, x)  # raises a clear error for a wrong number of features
    loss = Ours(net).trained
    if loss is None:
        return x, t
    scores = net.predict(x[:1])  # how many classes there are
    return x, loss.to_read(loss.in_order(t, (len(x), scores.shape[-1]), scores.dtype))


def _second(net: Any, pair: Any, name: str) -> tuple[FloatArray | SparseRows, NDArray[Any]]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"{name} must be a pair (x, t), got {type(pair).__name__}")
    try:
        return _in_order(net, *pair)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} set: {error}") from None


def _share(validation: Any, n: int) -> int:
    """Give the number of examples that a share of `n` is: at least one, and at least one is left for training."""
    share = real(validation, "validation")
    if not 0 < share < 1:
        raise ValueError(f"validation must be a pair (x, t) or a share between 0 and 1, got {validation!r}")
    if n < 2:
        raise ValueError(f"there is only {n} example: none can be held out for validation")
    return min(max(round(share * n), 1), n - 1)
