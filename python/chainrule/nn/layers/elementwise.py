"""Layers that work on each number by itself: activations and rescaling. All take any shape and keep it.

Sources: the tutorial's "ReLU层" and "Sigmoid层", and `common/layers.py` of deep-learning-from-scratch; for tanh LeCun
et al., "Efficient BackProp", 1998; for the leaky relu Maas, Hannun, Ng, "Rectifier nonlinearities improve neural
network acoustic models", 2013; for the identity the book's "恒等函数".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import _kernels
from chainrule._gate import FloatArray, floats, positive, real
from chainrule._pieces import copied, each
from chainrule.nn.functions import sigmoid
from chainrule.nn.layers.base import BaseLayer, incoming, remembered, times


class Relu(BaseLayer):
    """``out = max(x, 0)``: dL/dx = dout where x > 0, else 0, so the slope at 0 is 0. nan stays nan.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Where the last `x` was <= 0.

    Examples
    --------
    >>> relu = Relu()
    >>> relu.forward([[1.0, -0.5], [-2.0, 3.0]])
    array([[1., 0.],
           [0., 3.]])
    >>> relu.backward([[10.0, 20.0], [30.0, 40.0]])
    array([[10.,  0.],
           [ 0., 40.]])
    """

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x")
        self.mask = each(np.less_equal, x, 0)
        return each(np.maximum, x, 0)

    def backward(self, dout: Any) -> FloatArray:
        mask = remembered(self.mask, self)
        dout = incoming(dout, mask.shape)
        dx: FloatArray = np.empty_like(dout)
        # np.where(mask, 0, dout) in a third of the time: np.where has to predict a branch for each number.
        _kernels.zero_where(np.ascontiguousarray(mask, np.bool_).view(np.uint8), dout, dx)
        return dx


class Sigmoid(BaseLayer):
    """``out = 1 / (1 + exp(-x))``: dL/dx = dout · out · (1 - out).

    Attributes
    ----------
    out : ndarray, the shape of `x`
        The last output.

    Examples
    --------
    >>> layer = Sigmoid()
    >>> layer.forward([0.0])
    array([0.5])
    >>> layer.backward([8.0])
    array([2.])
    """

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> FloatArray:
        out = each(sigmoid, floats(x, "x"))
        self.out = out
        return copied(out)  # the caller may change the result; backward needs the original

    def backward(self, dout: Any) -> FloatArray:
        out = remembered(self.out, self)
        return each(lambda dout, out: times(dout, (1 - out) * out), incoming(dout, out.shape), out)


class Tanh(BaseLayer):
    """``out = tanh(x)``: dL/dx = dout · (1 - out²).

    Attributes
    ----------
    out : ndarray, the shape of `x`
        The last output.

    Examples
    --------
    >>> layer = Tanh()
    >>> layer.forward([0.0])
    array([0.])
    >>> layer.backward([3.0])
    array([3.])
    """

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> FloatArray:
        out = each(np.tanh, floats(x, "x"))
        self.out = out
        return copied(out)

    def backward(self, dout: Any) -> FloatArray:
        out = remembered(self.out, self)
        return each(lambda dout, out: times(dout, 1 - out * out), incoming(dout, out.shape), out)


class LeakyRelu(BaseLayer):
    """``out = x`` where x > 0, else ``slope * x``: dL/dx = dout where x > 0, else slope · dout.

    Parameters
    ----------
    slope : float, default 0.01
        The factor for numbers that are not above 0; > 0.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Where the last `x` was <= 0.

    Raises
    ------
    TypeError, ValueError
        If `slope` is not a finite number above 0.

    Examples
    --------
    >>> LeakyRelu(0.1).forward([-2.0, 3.0])
    array([-0.2,  3. ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = positive(slope, "slope")
        self.mask: Any = None

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x")
        self.mask = each(np.less_equal, x, 0)
        return each(lambda x: np.where(x <= 0, x * x.dtype.type(self.slope), x), x)

    def backward(self, dout: Any) -> FloatArray:
        mask = remembered(self.mask, self)
        dout = incoming(dout, mask.shape)
        slope = dout.dtype.type(self.slope)
        return each(lambda dout, mask: times(dout, np.where(mask, slope, dout.dtype.type(1))), dout, mask)

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        return (), (self.slope,), shape


class Identity(BaseLayer):
    """``out = x``, dL/dx = dout: for a place where there is nothing to compute, such as the output of a regression.

    Examples
    --------
    >>> Identity().forward([1.0, -2.0])
    array([ 1., -2.])
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        out = copied(floats(x, "x"))
        self._shape = out.shape
        return out

    def backward(self, dout: Any) -> FloatArray:
        return copied(incoming(dout, remembered(self._shape, self)))

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        return (), (1.0,), shape


class Rescaling(BaseLayer):
    """``out = scale * x``, dL/dx = scale · dout: turns stored numbers, such as bytes of pixels, into what they mean.

    Put it at the front of a network to train on bytes as they are: `fit` folds it into the first product, and the
    images take a quarter of the memory that float32 would.

    Parameters
    ----------
    scale : float, default 1/255
        The factor. By default a byte becomes 0.0-1.0.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not a finite number.

    Examples
    --------
    >>> Rescaling().forward(np.array([0, 255], np.uint8))
    array([0., 1.])
    """

    def __init__(self, scale: float = 1 / 255) -> None:
        self.scale = real(scale, "scale")
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x")
        self._shape = x.shape
        return each(np.multiply, x, x.dtype.type(self.scale))

    def backward(self, dout: Any) -> FloatArray:
        dout = incoming(dout, remembered(self._shape, self))
        return each(times, dout, dout.dtype.type(self.scale))

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        return (), (self.scale,), shape
