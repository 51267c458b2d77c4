"""The tutorial's network."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import count, shape
from chainrule.nn.initial_values import Draw
from chainrule.nn.layers import Affine, Relu
from chainrule.nn.network import Network


class TwoLayerNet(Network):
    """The tutorial's network: Affine, Relu and Affine, with softmax and cross entropy as the loss.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and C: features, hidden units, classes.
    weight_init_std : float or str, default 0.01
        The weights are drawn from a normal distribution with this standard deviation; "he" stands for √(2/D) and
        "xavier" for √(1/D), where D is the number of inputs. The biases are 0.
    dtype : numpy.float64 or numpy.float32, keyword-only
        The dtype of the parameters and of the arithmetic.
    seed : int or numpy.random.Generator, optional, keyword-only
        By default the weights come from NumPy's global generator, W1 first, so that a script that calls
        ``np.random.seed(0)`` gets the tutorial's numbers.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,).
    layers : OrderedDict
        ``Affine1``, ``Relu1``, ``Affine2``.

    Raises
    ------
    TypeError
        If a size is not a whole number, or `dtype` is neither of the two.
    ValueError
        If a size is not positive, or a weight matrix would not fit in the address space.
    MemoryError
        If a weight matrix does not fit in the available memory.

    Notes
    -----
    scores = max(x W1 + b1, 0) W2 + b2,  loss = mean of -log softmax(scores)[t].
    Source: the tutorial's "误差反向传播算法的实现".

    Examples
    --------
    >>> net = TwoLayerNet(784, 50, 10, seed=0)
    >>> x, t = np.zeros((3, 784)), np.array([5, 0, 4])
    >>> round(net.loss(x, t), 4)  # nothing learned yet: log 10
    2.3026
    >>> {name: gradient.shape for name, gradient in net.gradient(x, t).items()}
    {'W1': (784, 50), 'b1': (50,), 'W2': (50, 10), 'b2': (10,)}
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float | str = 0.01,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        draw = Draw(seed, dtype)
        D, H, C = count(input_size, "input_size"), count(hidden_size, "hidden_size"), count(output_size, "output_size")
        for name, *sizes in (("W1", D, H), ("W2", H, C)):
            shape(name, *sizes, dtype=draw.dtype)  # check both before the first is drawn
        W1 = draw.weights("W1", weight_init_std, D, H, inputs=D)
        W2 = draw.weights("W2", weight_init_std, H, C, inputs=H)
        b1, b2 = draw.zeros(H), draw.zeros(C)
        super().__init__({"Affine1": Affine(W1, b1), "Relu1": Relu(), "Affine2": Affine(W2, b2)})
