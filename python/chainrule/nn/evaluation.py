"""How good a network is on a set of examples, overall and class by class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule._harmless import harmless


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The result of `Network.evaluate`.

    Attributes
    ----------
    examples : int
        The number of examples.
    loss : float
        The mean loss, in nats for classes, in evaluation mode: without a penalty, and with nothing drawn at random.
    measure : str
        The name of the measure in `score`: "accuracy" or "r2".
    score : float
        The share, 0.0-1.0, of right answers; or R².
    confusion : ndarray of int64, shape (C, C), or None
        The number of examples of each class (rows) predicted as each class (columns); None if an example does not have
        exactly one class.
    names : tuple of str or None
        The names of the classes, if the network's metadata have them; see `load_table`.
    """

    examples: int
    loss: float
    measure: str
    score: float
    confusion: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    @property
    def precision(self) -> FloatArray | None:
        """The share of the examples predicted as a class that belong to it, shape (C,); nan if there are none."""
        return None if self.confusion is None else _share(self.confusion.diagonal(), self.confusion.sum(axis=0))

    @property
    def recall(self) -> FloatArray | None:
        """The share of the examples of a class that were predicted as that class, shape (C,); nan if there are none."""
        return None if self.confusion is None else _share(self.confusion.diagonal(), self.confusion.sum(axis=1))

    def __str__(self) -> str:
        """Give one line and, if there are classes, a table of them."""
        lines = [f"{self.examples} examples: loss {self.loss:.4f}, {self.measure} {self.score:.4f}"]
        if self.confusion is not None and self.precision is not None and self.recall is not None:
            names = tuple(map(harmless, self.names or map(str, range(len(self.confusion)))))
            wide = max(5, *map(len, names))
            lines.append(f"{'class':<{wide}}  precision  recall  examples")
            for i, n in enumerate(self.confusion.sum(axis=1)):
                precision, recall = (f"{value[i]:.4f}".replace("nan", "-") for value in (self.precision, self.recall))
                name = f"{names[i]:<{wide}}" if self.names else f"{i:>5}"
                lines.append(f"{name}  {precision:>9}  {recall:>6}  {n:>8}")
        return "\n".join(lines)


def _share(right: NDArray[np.int64], of: NDArray[np.int64]) -> FloatArray:
    with np.errstate(invalid="ignore"):
        share: FloatArray = right / of
    return share
