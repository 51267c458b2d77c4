"""What ends a network: from the scores and `t` to a loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import _kernels
from chainrule._gate import FloatArray, floats, real, rows_of, sample_weights, targets, weighted
from chainrule.nn.layers.base import remembered, times


class SoftmaxWithLoss:
    """``loss = mean over the rows of -log softmax(x)[t]``: softmax and cross entropy in one layer.

    Attributes
    ----------
    loss : float
        The last loss, in nats per example.
    y : ndarray, the shape of the scores
        The softmax of the last scores.
    t : ndarray
        The last teaching signal: class ids int64 (N,), or distributions in the dtype of the scores, times the weights.

    Notes
    -----
    dL/dx = (y - t) / N · dout. (For a `t` whose row sums to s, within 1e-3 of 1: s·y - t, the exact derivative.)

    With sample weights w: the sum of w times an example's loss, divided by N (as in Keras; not by the sum of w), and
    dL/dx = w (y - t) / N · dout.

    The loss is taken from the scores by log-sum-exp, not from the probabilities: it is 0 and not below when the
    network is certain and right, and is not capped when it is certain and wrong.
    Source: the tutorial's "Softmax层".

    Examples
    --------
    >>> layer = SoftmaxWithLoss()
    >>> round(layer.forward(np.log([[1.0, 2.0, 5.0]]), [2]), 6)  # -log(5/8)
    0.470004
    >>> layer.backward()
    array([[ 0.125,  0.25 , -0.375]])
    """

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None
        self._dx: Any = None

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Give the mean loss.

        Parameters
        ----------
        x : array_like, shape (N, C) or (C,)
            Scores, before softmax.
        t : array_like, shape (N,), (N, 1) or (N, C); for one example () or (C,)
            Class ids, or one distribution per example: one-hot or soft, used as given.
        sample_weight : array_like, shape (N,), optional
            How often each example counts, >= 0. The mean is still taken over N.

        Raises
        ------
        TypeError
            If any of them does not hold real numbers.
        ValueError
            If the shapes do not fit, the batch is empty, an id is not in 0..C-1, a row of `t` is not a distribution, or
            a weight is negative or not finite.
        """
        x = floats(x, "x")
        if x.ndim not in (1, 2) or x.shape[-1] == 0:
            raise ValueError(f"scores must have shape (N, C) or (C,), got x.shape={x.shape}")
        t, _ = targets(t, x.shape, x.dtype)
        if x.size == 0:
            raise ValueError("the mean loss of an empty batch is not defined")
        if sample_weight is not None:
            rows = rows_of(t, x.shape[-1], x.dtype)
            t = weighted(rows, sample_weights(sample_weight, len(rows)))
        y, dx = np.empty_like(x), np.empty_like(x)
        shape = (-1, x.shape[-1])
        loss = _kernels.softmax_loss(x.reshape(shape), t, y.reshape(shape), dx.reshape(shape))
        self.loss, self.y, self.t, self._dx = loss, y, t, dx
        return loss

    def backward(self, dout: float = 1) -> FloatArray:
        """Give dL/dx, of the shape of the scores.

        Parameters
        ----------
        dout : float, default 1
            The gradient of what follows with respect to the loss.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError, ValueError
            If `dout` is not one finite number.
        """
        dx: FloatArray = remembered(self._dx, self)
        dout = real(dout, "dout")
        if dout == 1:  # as in every step of training
            return dx.copy()
        with np.errstate(over="ignore"):
            return times(dx, dx.dtype.type(dout))
