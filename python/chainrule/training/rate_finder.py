"""Find a learning rate to start with, from the losses of a short run whose rate rises at every step."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, column_names, count, generator, positive
from chainrule.nn.sparse import SparseRows, is_sparse
from chainrule.training.callbacks import Run
from chainrule.training.fit import fit
from chainrule.training.optimizers import Optimizer
from chainrule.training.run import advice, undo_of
from chainrule.training.sets import place_in
from chainrule.training.settings import TUTORIALS_RATE, optimizer_of
from chainrule.training.smoothing import smooth_curve

#: Fewer steps say too little.
_LEAST = 20
#: If the loss is more than this many times the first, the run diverges, and further steps show nothing new.
_TOO_MUCH = 4.0
#: The loss must fall by at least this share of the first, or no rate is suggested.
_FALLS = 0.01


@dataclass(frozen=True, eq=False)
class LearningRates:
    """The result of `find_learning_rate`; `plot_learning_rates` draws it.

    Attributes
    ----------
    rates : ndarray, shape (S,)
        The learning rate of each step.
    losses : ndarray, shape (S,)
        The mean loss of the step's batch before its update, in nats.
    smoothed : ndarray, shape (S,)
        The losses smoothed by `smooth_curve`.
    suggestion : float
        A tenth of the rate at which `smoothed` is smallest, to two digits.
    """

    rates: FloatArray
    losses: FloatArray
    smoothed: FloatArray
    suggestion: float

    def __repr__(self) -> str:
        lowest, highest, least = self.rates[0], self.rates[-1], self.smoothed.min()
        return (
            f"LearningRates(suggestion={self.suggestion:g}: of {len(self.rates)} steps with rates from {lowest:.2g} to"
            f" {highest:.2g} the loss, {self.losses[0]:.4g} at first, was smallest, {least:.4g}, at"
            f" {self.rates[self.smoothed.argmin()]:.2g})"
        )


def find_learning_rate(
    net: Any,
    x: Any,
    t: Any,
    *,
    optimizer: Optimizer | str | None = None,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    batch_size: int | None = None,
    seed: int | np.random.Generator | None = None,
) -> LearningRates:
    """Suggest a learning rate to start with: train for a few steps with a rising rate and watch the loss.

    As long as the rate is too low, the loss stays flat; then it falls, and when the rate is too high, it rises again.
    A tenth of the rate with the smallest loss is usually large enough to learn quickly and small enough for a whole
    run.

    Parameters
    ----------
    net : Network
        Or any object that `fit` can train. It is left as it was, as are `optimizer` and `seed`.
    x, t : array_like, shape (N, ...)
        Examples and teaching signal, as `fit` takes them.
    optimizer : Optimizer or str, optional
        The optimizer to find a rate for, or its name; plain gradient descent by default.
    lowest, highest : float
        The rates of the first and the last step, > 0; each step multiplies the rate by the same factor.
    steps : int, default 100
        The number of steps, at least 20.
    batch_size : int, optional
        As in `fit`; the suggestion is for this size.
    seed : int or numpy.random.Generator, optional
        The source of the random batches.

    Returns
    -------
    LearningRates

    Raises
    ------
    TypeError, ValueError
        As for `fit`; or if `lowest` is not below `highest`, or the loss falls at no rate from `lowest` to `highest`.
    FloatingPointError
        If the first loss is not finite; the message names the number in `x` that is not finite, if there is one.

    Notes
    -----
    The run ends early when the loss is nan or more than four times the first loss. The warnings of `fit` are
    suppressed. Source: L. N. Smith, "Cyclical learning rates for training neural networks", 2017, §3.3, with rates
    that rise exponentially.

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> x = np.random.default_rng(0).random((200, 2))
    >>> t = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = TwoLayerNet(2, 16, 2, weight_init_std=0.5, seed=0)
    >>> found = find_learning_rate(net, x, t, batch_size=20, seed=0)
    >>> 0.05 < found.suggestion < 1
    True
    >>> history = fit(net, x, t, epochs=200, batch_size=20, learning_rate=found.suggestion, seed=0)
    >>> history.train_accuracy[-1] > 0.97
    True
    """
    lowest, highest, steps = positive(lowest, "lowest"), positive(highest, "highest"), count(steps, "steps")
    if not lowest < highest:
        raise ValueError(f"lowest must be below highest, got lowest={lowest!r} and highest={highest!r}")
    if steps < _LEAST:
        raise ValueError(f"steps must be at least {_LEAST}, got {steps}")
    rng = copy.deepcopy(generator(seed))  # the caller's generator is left as it was too
    rising = _Rising(np.geomspace(lowest, highest, steps), rng)
    try:
        with warnings.catch_warnings(action="ignore"):
            history = fit(
                net,
                x,
                t,
                iterations=steps,
                batch_size=batch_size,
                optimizer=optimizer_of(optimizer, TUTORIALS_RATE, None),
                seed=rng,
                evaluate_train=False,
                callbacks=[rising],
                on_nonfinite="ignore",
            )
    finally:
        rising.put_back()
    first = history.losses[0]
    if not np.isfinite(first):
        data = SparseRows(x, np.dtype(np.float64)) if is_sparse(x) else np.asarray(x)
        told = advice(data, data.dtype, partial(place_in, column_names(x)))
        raise FloatingPointError(f"loss is {first} at the lowest rate, {lowest:g}. {told}")
    losses = np.array(history.losses)
    losses = losses[np.isfinite(losses)]
    smoothed = smooth_curve(losses)
    if len(losses) < _LEAST or not smoothed.min() < (1 - _FALLS) * smoothed[0]:
        raise ValueError(
            f"the loss falls at no rate from {lowest:g} to {highest:g}: its first values are"
            f" {', '.join(f'{loss:.4g}' for loss in history.losses[:3])}; look at the data, or at other rates"
        )
    rates = rising.rates[: len(losses)]
    return LearningRates(rates, losses, smoothed, float(f"{rates[smoothed.argmin()] / 10:.1e}"))


class _Rising:
    """The callback that sets the rate of each step and ends the run when it diverges."""

    def __init__(self, rates: FloatArray, rng: np.random.Generator) -> None:
        self.rates, self.rng = rates, rng
        self.put_back: Callable[[], None] = lambda: None

    def on_start(self, run: Run) -> None:
        """Remember what must be restored, and set the first rate."""
        self.put_back = undo_of(run.net, run.optimizer, self.rng)
        run.optimizer.lr = float(self.rates[0])

    def on_step(self, run: Run) -> bool:
        """Set the rate of the next step, or end the run."""
        run.optimizer.lr = float(self.rates[min(run.step, len(self.rates) - 1)])
        first, last = run.history.losses[0], run.history.losses[-1]
        return not last <= _TOO_MUCH * first  # true for nan as well
