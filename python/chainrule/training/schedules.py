"""Learning rate schedules: any function of the epoch, counted from 0, is one; here are two."""

from __future__ import annotations

import math
from collections.abc import Callable

from chainrule._gate import count, positive


def step_decay(lr: float, factor: float = 0.5, every: int = 10) -> Callable[[int], float]:
    """Give the schedule ``lr · factor^⌊epoch / every⌋``, a staircase.

    Parameters
    ----------
    lr : float
        The learning rate of the first epochs, > 0.
    factor : float, default 0.5
        The factor at each stair, > 0.
    every : int, default 10
        The number of epochs at each stair.

    Returns
    -------
    callable
        For ``fit(…, schedule=…)``.

    Raises
    ------
    TypeError, ValueError
        If a number is of the wrong kind or out of range.

    Examples
    --------
    >>> [step_decay(0.8, every=2)(epoch) for epoch in range(5)]
    [0.8, 0.8, 0.4, 0.4, 0.2]
    """
    lr, factor, every = positive(lr, "lr"), positive(factor, "factor"), count(every, "every")
    return lambda epoch: lr * factor ** (epoch // every)


def cosine(lr: float, epochs: int) -> Callable[[int], float]:
    """Give the schedule ``lr · (1 + cos(π · epoch / epochs)) / 2``: slow at first and at the end, down to almost 0.

    Parameters
    ----------
    lr : float
        The learning rate of the first epoch, > 0.
    epochs : int
        The number of epochs. After them, the rate stays that of the last epoch.

    Returns
    -------
    callable
        For ``fit(…, schedule=…)``.

    Raises
    ------
    TypeError, ValueError
        If a number is of the wrong kind or out of range.

    Notes
    -----
    Source: Loshchilov, Hutter, "SGDR: stochastic gradient descent with warm restarts", 2017, one period.

    Examples
    --------
    >>> [round(cosine(1.0, 4)(epoch), 3) for epoch in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.146]
    """
    lr, epochs = positive(lr, "lr"), count(epochs, "epochs")
    return lambda epoch: lr * (1 + math.cos(math.pi * min(epoch, epochs - 1) / epochs)) / 2
