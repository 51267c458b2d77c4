"""The layers that normalize numbers to a mean of 0 and a variance of 1.

Sources: Ioffe, Szegedy, "Batch normalization", 2015, and the book's §6.3; Ba, Kiros, Hinton, "Layer normalization",
2016.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, flag, real
from chainrule.nn.layers.base import remembered
from chainrule.nn.layers.kernel import KernelLayer, held, hold


class BatchNormalization(KernelLayer):
    """``out = gamma · (x - mean) / √(variance + 1e-6) + beta``, with each channel's mean and variance over the batch.

    Backward pass, with x̂ = (x - mean) / √(variance + 1e-6): dL/dbeta = Σ dout, dL/dgamma = Σ dout · x̂ over a channel,
    dL/dx = gamma / √(variance + 1e-6) · (dout - mean of dout - x̂ · mean of dout · x̂). `x` has shape (N, C), or
    (C,) for one example, or (N, C, L), (N, C, H, W) and so on; then the means are taken over the pixels too.

    Parameters
    ----------
    gamma, beta : ndarray, shape (C,)
        Scale and shift of each channel. Held, not copied; ``layer.gamma = other`` copies into the held array.
    momentum : float, default 0.9
        The weight of the old running mean and variance at each update, in 0..1.
    running_mean, running_var : ndarray, shape (C,), optional
        The statistics for evaluation. Held, not copied; by default they start at 0 and 1.

    Attributes
    ----------
    x : ndarray
        The last input.
    dgamma, dbeta : ndarray
        Gradients, in the shapes of `gamma` and `beta`. Each ``backward`` makes new arrays.

    Raises
    ------
    TypeError
        If an array does not hold real numbers, or `momentum` is not a number.
    ValueError
        If a shape does not fit, or `momentum` does not lie in 0..1.

    Notes
    -----
    In training, the layer uses the mean and variance of the batch and updates the running ones in place:
    ``running = momentum · running + (1 - momentum) · batch``, as in the book. The variance is not corrected for the one
    degree of freedom. In evaluation, the layer uses the running mean and variance and updates nothing. In a batch of
    one example, a channel of a single number has variance 0: its output is beta, whatever the input.

    Examples
    --------
    >>> norm = BatchNormalization(np.array([1.0, 2.0]), np.array([0.0, 10.0]))
    >>> norm.forward([[1.0, 5.0], [3.0, 5.0]]).round(3)
    array([[-1., 10.],
           [ 1., 10.]])
    >>> norm.running_mean, norm.running_var
    (array([0.2, 0.5]), array([1. , 0.9]))
    >>> norm.forward([0.2, 0.5], False).round(9) + 0.0
    array([ 0., 10.])
    """

    kernel = "batch_norm"
    learnt, statistics = ("gamma", "beta"), ("running_mean", "running_var")

    gamma = held("gamma", "The scale of each channel, shape (C,)")
    beta = held("beta", "The shift of each channel, shape (C,)")
    running_mean = held("running_mean", "The running mean of each channel, shape (C,)")
    running_var = held("running_var", "The running variance of each channel, shape (C,)")
    dgamma: Any
    dbeta: Any

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        gamma = hold(self, "gamma", gamma, axes="C,")
        hold(self, "beta", beta, like=gamma)
        self.momentum = real(momentum, "momentum")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"momentum must lie in 0 <= momentum <= 1, got {momentum!r}")
        mean = np.zeros_like(gamma) if running_mean is None else running_mean
        hold(self, "running_mean", mean, like=gamma)
        variance = np.ones_like(gamma) if running_var is None else running_var
        hold(self, "running_var", variance, like=gamma)
        self._begin()

    def forward(self, x: Any, train_flg: bool = True) -> FloatArray:
        out = self._run(x, flag(train_flg, "train_flg"))
        if train_flg and out.size:
            self._follow()
        return out

    def _follow(self) -> None:
        """Update the running mean and variance with those of the batch."""
        _, (numbers, _), _, _ = remembered(self._pass, self)
        mean, variance, _ = numbers.reshape(3, -1)
        m = self.momentum
        self.running_mean[...] = m * self.running_mean + (1 - m) * mean
        self.running_var[...] = m * self.running_var + (1 - m) * variance

    def _one(self, shape: tuple[int, ...]) -> bool | None:
        return True if len(shape) == 1 else None

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        channels = len(self.gamma)
        if not shape or shape[0] != channels:
            raise ValueError(
                f"gamma expects {channels} channels, (N, {channels}, ...), got examples of shape {shape}"
                f" (gamma.shape={self.gamma.shape})"
            )
        return (channels, math.prod(shape[1:])), (self.momentum,), shape


class LayerNormalization(KernelLayer):
    """``out = gamma · (x - mean) / √(variance + 1e-6) + beta``, with the mean and variance of each example by itself.

    They are taken over the last axes that hold D numbers together: for (N, D) over D, for (N, T, D) over the last axis,
    for (N, C, H, W) with D = C·H·W over all axes but N. Backward pass, with x̂ = (x - mean) / √(variance + 1e-6) and
    g = gamma · dout: dL/dbeta = Σ dout, dL/dgamma = Σ dout · x̂ over the examples, dL/dx = (g - mean of g - x̂ · mean of
    g · x̂) / √(variance + 1e-6). `x` has shape (N, ...), or (D,) for one example. Training and evaluation are the same.

    Parameters
    ----------
    gamma, beta : ndarray, shape (D,)
        Scale and shift of each number. Held, not copied; ``layer.gamma = other`` copies into the held array.

    Attributes
    ----------
    x : ndarray
        The last input.
    dgamma, dbeta : ndarray
        Gradients, in the shapes of `gamma` and `beta`. Each ``backward`` makes new arrays.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If a shape does not fit.

    Examples
    --------
    >>> norm = LayerNormalization(np.ones(2), np.zeros(2))
    >>> norm.forward([[1.0, 3.0], [10.0, 50.0]]).round(3)
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    kernel = "layer_norm"
    learnt = ("gamma", "beta")

    gamma = held("gamma", "The scale of each number, shape (D,)")
    beta = held("beta", "The shift of each number, shape (D,)")
    dgamma: Any
    dbeta: Any

    def __init__(self, gamma: Any, beta: Any) -> None:
        gamma = hold(self, "gamma", gamma, axes="D,")
        if not len(gamma):
            raise ValueError("gamma must have at least one number, got gamma.shape=(0,)")
        hold(self, "beta", beta, like=gamma)
        self._begin()

    def forward(self, x: Any) -> FloatArray:
        return self._run(x)

    def _one(self, shape: tuple[int, ...]) -> bool | None:
        return True if math.prod(shape) == len(self.gamma) else None

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        size, together = len(self.gamma), 1
        for length in reversed(shape):
            together *= length
            if together >= size:
                break
        if not shape or together != size:
            raise ValueError(
                f"gamma expects examples whose last axes hold {size} numbers together, got examples of shape {shape}"
                f" (gamma.shape={self.gamma.shape})"
            )
        return (size,), (), shape
