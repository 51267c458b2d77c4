"""Chapter 4: its network, which has a sigmoid hidden layer and gives probabilities."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count, real
from chainrule.book.common.layers import Affine, Sigmoid
from chainrule.book.network import BookNetwork
from chainrule.nn.functions import softmax

__all__ = ["TwoLayerNet"]


class TwoLayerNet(BookNetwork):
    """``y = softmax(sigmoid(x W1 + b1) W2 + b2)``, with cross entropy as the loss.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and C: features, hidden units, classes.
    weight_init_std : float, default 0.01
        The weights are drawn from a normal distribution with this standard deviation, by ``np.random.randn``, W1 first;
        the biases are 0.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,).
    layers : OrderedDict
        ``Affine1``, ``Sigmoid1``, ``Affine2``: they give the scores.

    Raises
    ------
    TypeError
        If a size is not a whole number.
    ValueError
        If a size is not positive.

    Notes
    -----
    Source: "Deep Learning from Scratch" §4.5.

    Examples
    --------
    >>> net = TwoLayerNet(4, 3, 2)
    >>> net.predict(np.zeros((1, 4))).sum().round(6)  # probabilities, not scores
    np.float64(1.0)
    """

    def __init__(self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01) -> None:
        super().__init__()
        sizes = [count(size, name) for size, name in ((input_size, "input_size"), (hidden_size, "hidden_size"))]
        sizes.append(count(output_size, "output_size"))
        std = real(weight_init_std, "weight_init_std")
        affine = []
        for i, (D, M) in enumerate(pairwise(sizes), 1):
            W, b = self._hold(f"W{i}", std * np.random.randn(D, M)), self._hold(f"b{i}", np.zeros(M))
            self._places |= {f"W{i}": (f"Affine{i}", "W"), f"b{i}": (f"Affine{i}", "b")}
            affine.append(Affine(W, b))
        self.layers: OrderedDict[str, Any] = OrderedDict(Affine1=affine[0], Sigmoid1=Sigmoid(), Affine2=affine[1])

    def predict(self, x: Any) -> FloatArray:
        """Give the probabilities of the classes.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Examples.

        Returns
        -------
        ndarray, shape (N, C)
            Each row sums to 1.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If its shape does not fit.
        """
        y: FloatArray = softmax(self._scores(x, train_flg=False))
        return y

    def gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give the gradient of the loss with respect to each parameter, by backpropagation.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions.

        Returns
        -------
        dict of str to ndarray
            In the order in which the chapter computes them, from back to front: ``W2``, ``b2``, ``W1``, ``b1``.

        Raises
        ------
        TypeError
            If `x` or `t` does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, or a label is out of range.
        """
        grads = super().gradient(x, t)
        return {name: grads[name] for name in ("W2", "b2", "W1", "b1")}
