"""Callbacks: what `fit` calls while it trains, and `EarlyStopping`."""

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
        The network. You may change its parameters between steps, and replace its layers.
    optimizer : Optimizer
        The optimizer. You may change its ``lr``.
    history : History
        The history so far.
    sets : dict of str to (x, t)
        The sets that are evaluated after each epoch: "train", unless `fit` was told not to; "test" and "validation" if
        they were given.
    measure : str or None
        The measure beside the loss, which depends on the network's loss: "accuracy" or "r2"; None if there is none.
    step, epoch : int
        The number of steps and epochs done.
    stopped : bool
        Whether training stops here.

    Notes
    -----
    A callback is any object with one or more of these methods. If one of them returns True, training ends; any other
    return value is ignored.

    ``on_start(run)``
        Called before the first step; an exception leaves everything as it was.
    ``on_step(run)``
        Called after each step. The steps are then made one by one, and for short steps this costs more time than the
        steps themselves.
    ``on_epoch(run)``
        Called after the losses and accuracies of each epoch, and after the last steps even if they end within an epoch.
    ``on_end(run)``
        Called at the end, unless an exception ended training.

    If a callback or another thread replaces a layer, the new layer is trained from the next step on. The optimizer
    keeps its arrays under the names of the parameters: ``run.optimizer.kept.pop("W2", None)`` makes it start afresh,
    which is necessary if the shape differs.
    """

    net: Any
    optimizer: Optimizer
    sets: dict[str, tuple[Any, Any]]
    measure: str | None = field(default="accuracy", kw_only=True)
    history: History = field(default_factory=History, kw_only=True)
    stopped: bool = field(default=False, kw_only=True)

    @property
    def step(self) -> int:
        """The number of steps done."""
        return len(self.history.losses)

    @property
    def epoch(self) -> int:
        """The number of epochs done; the last one may have been cut short."""
        return len(self.history.steps)


class EarlyStopping:
    """Stop training when a measure has not improved for some epochs, and restore the best parameters.

    Parameters
    ----------
    patience : int, default 5
        The number of epochs in a row without improvement after which training stops, >= 1.
    monitor : str, default "validation_loss"
        The list of the `History` to watch: a loss is better when smaller, an accuracy or R² when larger.
    min_delta : float, default 0.0
        The smallest improvement over the best value so far that counts, >= 0.

    Attributes
    ----------
    best : float or None
        The best value; None before there is one.
    best_epoch : int
        The epoch of the best value, counted from 1; 0 before there is one.
    waited : int
        The number of epochs since then.

    Raises
    ------
    TypeError, ValueError
        If a number has the wrong type or is out of range, or `History` has no such measure.

    Notes
    -----
    When training ends, early or not, the parameters and running statistics of the best epoch are restored. They are not
    restored after Ctrl-C or another exception, which leave the network as it is. The last entries of the history remain
    those of the last epoch. A value of nan is never better.

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
        """Start afresh; refuse a run that does not have the set or the measure to watch."""
        name, _, measure = self.monitor.partition("_")
        if name not in run.sets:
            raise ValueError(f"EarlyStopping watches {self.monitor}; give fit a {name} set")
        if measure not in ("loss", run.measure):
            raise ValueError(f"EarlyStopping watches {self.monitor}; the measure of this run is {run.measure}")
        self._reset()
        self._shapes = {name: array.shape for name, array in everything(run.net).items()}

    def on_epoch(self, run: Run) -> bool:
        """Check the value of the epoch, and tell whether to stop."""
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
        """Restore the best parameters; refuse to restore any if they do not fit a layer that was replaced."""
        held = everything(run.net)
        for name, array in self._params.items():
            if name not in held or held[name].shape != array.shape:
                now = f"now has shape {held[name].shape}" if name in held else "no longer exists"
                raise RuntimeError(
                    f"EarlyStopping cannot restore the best parameters, those of epoch {self.best_epoch}: "
                    f"{name}, of shape {array.shape} then, {now}; a layer was replaced in the meantime"
                )
        for name, array in self._params.items():
            np.copyto(held[name], array)

    def to_keep(self) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Give the state that a checkpoint must hold: numbers, and the best parameters."""
        best = None if self.best is None else repr(self.best)  # JSON has no infinities
        said = {"monitor": self.monitor, "best": best, "best_epoch": self.best_epoch, "waited": self.waited}
        return said, self._params

    def bring_back(self, numbers: dict[str, Any], params: dict[str, FloatArray]) -> bool:
        """Restore the state from `to_keep`, for the same measure and `on_start`'s network; tell whether to stop."""
        if numbers["monitor"] != self.monitor:
            raise ValueError(f"EarlyStopping watched {numbers['monitor']}, now it is to watch {self.monitor}")
        if params and {name: array.shape for name, array in params.items()} != self._shapes:
            raise ValueError("what EarlyStopping kept does not have the shapes of the parameters")
        self.best = None if numbers["best"] is None else float(numbers["best"])
        self.best_epoch, self.waited = int(numbers["best_epoch"]), int(numbers["waited"])
        self._params = params
        return self.waited >= self.patience


def expect_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """Give the callbacks as a list; refuse anything that is not a callback."""
    if not isinstance(callbacks, list | tuple):
        raise TypeError(f"callbacks must be a list of callbacks, got {type(callbacks).__name__}")
    for callback in callbacks:
        if isinstance(callback, type) or not any(callable(getattr(callback, moment, None)) for moment in _MOMENTS):
            raise TypeError(f"callbacks must have on_step(run) or on_epoch(run), got {callback!r}")
    return list(callbacks)


def call(callbacks: Iterable[Any], moment: str, run: Run) -> None:
    """Call the method `moment` of every callback that has it; stop `run` if one of them returns True."""
    for callback in callbacks:
        method = getattr(callback, moment, None)
        answer = method(run) if method is not None else None
        run.stopped |= isinstance(answer, bool | np.bool_) and bool(answer)
