"""What `fit` calls while it trains, and the one that knows when to stop."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count, real
from chainrule.nn.network import everything
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer

_MOMENTS = ("on_start", "on_step", "on_epoch", "on_end")


@dataclass(eq=False, repr=False)
class Run:
    """A call of `fit`, as a callback sees it.

    Attributes
    ----------
    net : Network
        The network; its parameters may be changed between steps, and its layers replaced.
    optimizer : Optimizer
        Its ``lr`` may be changed.
    history : History
        What has happened so far.
    sets : dict of str to (x, t)
        What is evaluated after each epoch: "train", unless `fit` is told not to; "test" and "validation" if there are.
    measure : str or None
        What is measured beside the loss: "accuracy" or "r2", as the network's loss says; None if nothing is.
    step, epoch : int
        Steps and epochs done.
    stopped : bool
        Whether training ends here.

    Notes
    -----
    A callback is any object with one or more of these methods; what they return counts only if it is True, which ends
    training:

    ``on_start(run)``
        Before the first step; an exception leaves everything as it was.
    ``on_step(run)``
        After each step. Steps are then made one by one, which costs more than the steps themselves if these are short.
    ``on_epoch(run)``
        After the losses and accuracies of each epoch, and of the last steps if they end within one.
    ``on_end(run)``
        At the end, unless by an exception.

    A layer that is put in the place of another, by a callback or another thread, is trained from the next step on. What
    the optimizer keeps goes by the names of parameters: ``run.optimizer.kept.pop("W2", None)`` has it begin anew, as it
    must for another shape.
    """

    net: Any
    optimizer: Optimizer
    sets: dict[str, tuple[Any, Any]]
    measure: str | None = field(default="accuracy", kw_only=True)
    history: History = field(default_factory=History, kw_only=True)
    stopped: bool = field(default=False, kw_only=True)

    @property
    def step(self) -> int:
        """Steps done."""
        return len(self.history.losses)

    @property
    def epoch(self) -> int:
        """Epochs done, of which the last may have been cut short."""
        return len(self.history.steps)


class EarlyStopping:
    """End training when a measure has not become better for some epochs, and give the best parameters back.

    Parameters
    ----------
    patience : int, default 5
        After so many epochs in a row without a better value, >= 1, training ends.
    monitor : str, default "validation_loss"
        Which list of the `History` to look at: a loss is better when smaller, an accuracy or R² when larger.
    min_delta : float, default 0.0
        By how much a value has to be better than the best so far to count, >= 0.

    Attributes
    ----------
    best : float or None
        The best value, and None before there was one.
    best_epoch : int
        The epoch it is of, counted from 1; 0 before there was one.
    waited : int
        Epochs since then.

    Raises
    ------
    TypeError, ValueError
        If a number is of the wrong kind or out of range, or `History` has no such measure.

    Notes
    -----
    The parameters of the best epoch, and running statistics, are put back when training ends, whether early or not; not
    after Ctrl-C or another exception, which leave the network as it is. The last entries of the history remain those of
    the last epoch. A value that is nan is never better.

    Examples
    --------
    >>> import chainrule
    >>> x = np.random.default_rng(0).random((200, 2))
    >>> t = (x[:, 0] > x[:, 1]).astype(int)
    >>> net, stopping = chainrule.TwoLayerNet(2, 16, 2, 0.5, seed=0), EarlyStopping(patience=3)
    >>> history = chainrule.fit(net, x, t, epochs=500, batch_size=20, seed=0, validation=0.2, callbacks=[stopping])
    >>> stopping.best == min(history.validation_loss)
    True
    """

    def __init__(self, patience: int = 5, monitor: str = "validation_loss", min_delta: float = 0.0) -> None:
        self.patience = count(patience, "patience")
        measures = [f.name for f in fields(History) if f.name not in ("losses", "steps")]
        if monitor not in measures:
            raise ValueError(f"monitor must be one of {', '.join(measures)}, got {monitor!r}")
        self.monitor = monitor
        self.min_delta = real(min_delta, "min_delta")
        if self.min_delta < 0:
            raise ValueError(f"min_delta must be >= 0, got {min_delta!r}")
        self._reset()

    def __repr__(self) -> str:
        delta = f", min_delta={self.min_delta!r}" if self.min_delta else ""
        return f"EarlyStopping(patience={self.patience}, monitor={self.monitor!r}{delta})"

    def _reset(self) -> None:
        self.best: float | None = None
        self.best_epoch = 0
        self.waited = 0
        self._params: dict[str, FloatArray] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def on_start(self, run: Run) -> None:
        """Begin anew; refuse a run that has no such set or measure to look at."""
        name, _, measure = self.monitor.partition("_")
        if name not in run.sets:
            raise ValueError(f"EarlyStopping looks at {self.monitor}; give fit a {name} set")
        if measure not in ("loss", run.measure):
            raise ValueError(f"EarlyStopping looks at {self.monitor}; beside the loss this run has {run.measure}")
        self._reset()
        self._shapes = {name: array.shape for name, array in everything(run.net).items()}

    def on_epoch(self, run: Run) -> bool:
        """Look at the epoch's value, and tell whether to stop."""
        value = getattr(run.history, self.monitor)[-1]
        sign = -1 if self.monitor.endswith("loss") else 1
        best = -np.inf if self.best is None else sign * self.best
        if sign * value - best > self.min_delta:
            self.best, self.best_epoch, self.waited = value, run.epoch, 0
            self._params = {name: array.copy() for name, array in everything(run.net).items()}
        else:
            self.waited += 1
        return self.waited >= self.patience

    def on_end(self, run: Run) -> None:
        """Put the best parameters back; refuse, before any is, if a layer was swapped for one that they do not fit."""
        held = everything(run.net)
        for name, array in self._params.items():
            if name not in held or held[name].shape != array.shape:
                now = f"has the shape {held[name].shape}" if name in held else "is gone"
                raise RuntimeError(
                    f"EarlyStopping cannot put the best parameters back, which are those of epoch {self.best_epoch}: "
                    f"{name}, of shape {array.shape} then, {now}; a layer was swapped meanwhile"
                )
        for name, array in self._params.items():
            np.copyto(held[name], array)

    def to_keep(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Give what a checkpoint has to hold: numbers, and the best parameters."""
        best = None if self.best is None else repr(self.best)  # JSON has no infinities
        said = {"monitor": self.monitor, "best": best, "best_epoch": self.best_epoch, "waited": self.waited}
        return said, self._params

    def bring_back(self, numbers: dict[str, Any], params: dict[str, FloatArray]) -> bool:
        """Take what `to_keep` gave, of this measure and of the network of `on_start`, and tell whether to stop."""
        if numbers["monitor"] != self.monitor:
            raise ValueError(f"EarlyStopping looked at {numbers['monitor']}, now it is to look at {self.monitor}")
        if params and {name: array.shape for name, array in params.items()} != self._shapes:
            raise ValueError("what EarlyStopping kept does not have the shapes of the parameters")
        self.best = None if numbers["best"] is None else float(numbers["best"])
        self.best_epoch, self.waited = int(numbers["best_epoch"]), int(numbers["waited"])
        self._params = params
        return self.waited >= self.patience


def expect_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """Give the callbacks as a list; refuse what is none."""
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"callbacks must be a list of callbacks, got {type(callbacks).__name__}")
    for callback in callbacks:
        if isinstance(callback, type) or not any(callable(getattr(callback, moment, None)) for moment in _MOMENTS):
            raise TypeError(f"callbacks must have on_step(run) or on_epoch(run), got {callback!r}")
    return list(callbacks)


def call(callbacks: Iterable[Any], moment: str, run: Run) -> None:
    """Call that method of all that have it; `run` is stopped if one of them gives True."""
    for callback in callbacks:
        method = getattr(callback, moment, None)
        answer = method(run) if method is not None else None
        run.stopped |= isinstance(answer, bool | np.bool_) and bool(answer)
