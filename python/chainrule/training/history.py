"""The history of a training run, as a table with one row for each epoch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from chainrule.plotting.figure import Figure


@dataclass(repr=False)
class History:
    """The history of a training run.

    Attributes
    ----------
    losses : list of float
        The mean loss of each step's mini-batch, in nats, before that step's update, with sample weights and label
        smoothing if they were given.
    steps : list of int
        The number of steps done at the end of each epoch, when the sets were evaluated for the lists below.
    train_loss, test_loss, validation_loss : list of float
        The mean loss of the whole set, in nats, without sample weights and label smoothing: one for each entry of
        `steps`; empty if there is no such set.
    train_accuracy, test_accuracy, validation_accuracy : list of float
        The accuracy, 0.0-1.0, in the same way; empty if the loss is not for classes.
    train_r2, test_r2, validation_r2 : list of float
        R², 1 at best, in the same way; empty unless the loss is `IdentityWithLoss`.

    Examples
    --------
    >>> history = History([0.9, 0.7, 0.5, 0.3], [2, 4], train_loss=[0.6, 0.2], train_accuracy=[0.5, 1.0])
    >>> print(history.to_csv(), end="")
    epoch,step,loss,train_loss,train_accuracy
    1,2,0.8,0.6,0.5
    2,4,0.4,0.2,1.0
    """

    losses: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    train_r2: list[float] = field(default_factory=list)
    test_r2: list[float] = field(default_factory=list)
    validation_r2: list[float] = field(default_factory=list)

    def to_dict(self) -> dict[str, list[Any]]:
        """Give every attribute by name, as new lists of plain numbers.

        Returns
        -------
        dict of str to list
        """
        # Copied as lists, because `asdict` would look at every number.
        return {each.name: list(getattr(self, each.name)) for each in fields(self)}

    def to_frame(self, by: str = "epoch") -> dict[str, list[Any]]:
        """Give columns of equal length, which ``pandas.DataFrame`` and ``polars.DataFrame`` accept.

        Parameters
        ----------
        by : {"epoch", "step"}
            One row for each epoch, as in `to_csv`; or one row for each step: its number, counted from 1, its epoch, and
            its loss.

        Returns
        -------
        dict of str to list

        Raises
        ------
        ValueError
            If `by` is neither of the two.

        Examples
        --------
        >>> history = History([0.9, 0.7, 0.5, 0.3], [2, 4], train_loss=[0.6, 0.2])
        >>> history.to_frame()
        {'epoch': [1, 2], 'step': [2, 4], 'loss': [0.8, 0.4], 'train_loss': [0.6, 0.2]}
        >>> history.to_frame("step")
        {'step': [1, 2, 3, 4], 'epoch': [1, 1, 2, 2], 'loss': [0.9, 0.7, 0.5, 0.3]}
        """
        if by == "epoch":
            columns = list(zip(*self._rows(), strict=True)) or [()] * len(self._columns())
            return {name: list(column) for name, column in zip(self._columns(), columns, strict=True)}
        if by != "step":
            raise ValueError(f"by must be 'epoch' or 'step', got {by!r}")
        steps = list(range(1, len(self.losses) + 1))
        epochs = [int(epoch) for epoch in np.searchsorted(self.steps, steps) + 1]
        return {"step": steps, "epoch": epochs, "loss": list(self.losses)}

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Give the table as CSV: epoch, step, mean loss of the epoch's steps, and a column for each non-empty list.

        Parameters
        ----------
        path : path-like, optional
            The file to write the table to, in UTF-8.

        Returns
        -------
        str or None
            The text, whose first line holds the names; None if it was written to a file.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file stays as it was.
        """
        table = [self._columns(), *([repr(value) for value in row] for row in self._rows())]
        text = "".join(",".join(row) + "\n" for row in table)
        if path is None:
            return text
        from chainrule.storage.atomic_write import write_whole  # needed only to write a file

        write_whole(path, text.encode())
        return None

    def plot(self) -> Figure:
        """Plot losses and accuracies over the steps, with `chainrule.plotting.plots.plot_history`.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed; it comes with the extra ``plot``.
        ValueError
            If there are no steps yet.
        """
        from chainrule.plotting.plots import plot_history  # delegates: plots know histories

        return plot_history(self)

    def __repr__(self) -> str:
        """Give one line: the numbers of epochs and steps, and the latest values."""
        counted = [
            f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((len(self.steps), "epoch"), (len(self.losses), "step"))
        ]
        last = [("loss", self.losses), *self.measures().items()]
        return f"History({', '.join([*counted, *(f'{name}={values[-1]:.4f}' for name, values in last if values)])})"

    def _repr_html_(self) -> str:
        """Give the table for a notebook; losses and shares with four decimals, numbers under the end of their head."""
        from chainrule.graph.wording import thousands  # only who shows a table needs it

        style = "style='text-align:right;padding:.25em .75em;white-space:nowrap;font-variant-numeric:tabular-nums'"
        head = "".join(f"<th scope='col' {style}>{name.replace('_', ' ')}</th>" for name in self._columns())
        shown = ([f"{v:.4f}" if isinstance(v, float) else thousands(v) for v in row] for row in self._rows())
        body = "".join(f"<tr>{''.join(f'<td {style}>{cell}</td>' for cell in row)}</tr>" for row in shown)
        table = f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<div style='overflow-x:auto'>{table}</div>"

    def note(self, name: str, measure: str | None, loss: float, score: float) -> None:
        """Append the loss of the set called `name` and, if there is one, its measure."""
        getattr(self, f"{name}_loss").append(loss)
        if measure is not None:
            getattr(self, f"{name}_{measure}").append(score)

    @property
    def measure(self) -> str | None:
        """The measure beside the loss: "accuracy" or "r2"; None if there is none."""
        return next((name.partition("_")[2] for name in self.measures() if not name.endswith("_loss")), None)

    def measures(self) -> dict[str, list[float]]:
        """Give the lists with one entry for each epoch, by name."""
        return {name: values for name, values in vars(self).items() if name not in ("losses", "steps") and values}

    def _columns(self) -> list[str]:
        return ["epoch", "step", "loss", *self.measures()]

    def _rows(self) -> Iterator[list[Any]]:
        before = 0
        for epoch, step in enumerate(self.steps):
            losses, before = self.losses[before:step], step
            measures = [values[epoch] for values in self.measures().values()]
            yield [epoch + 1, step, float(np.mean(losses)), *measures]
