"""The book's ``common/layers.py``: its layers with the kernels of `chainrule`, and its star import.

They differ from `chainrule`'s layers where the book's scripts need it. An array assigned to ``W`` or ``b`` is held, not
copied, so that ``layer.W = params["W1"]`` binds the two. ``b`` may be the number 0. Everything is computed in float64
unless all of it is float32. Batch normalization works on each pixel, and its running variance starts at 0.

Each layer makes a layer of `chainrule` from the arrays that it holds at the moment, and calls that.
"""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, floats, numbers, parameter, real
from chainrule._warn import warn
from chainrule.book.common import functions
from chainrule.book.common.functions import *  # noqa: F403  # the book's star import brings them
from chainrule.book.common.util import col2im, im2col
from chainrule.nn import layers as core
from chainrule.nn.layers import Relu, Sigmoid
from chainrule.nn.layers.base import BaseLayer, incoming, remembered
from chainrule.nn.losses import SoftmaxWithLoss

__all__ = [
    "Affine",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Pooling",
    "Relu",
    "Sigmoid",
    "SoftmaxWithLoss",
    "col2im",
    "im2col",
]
__all__ += functions.__all__

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Affine(BaseLayer):
    """``out = x @ W + b``: dL/dx = dout Wᵀ, dL/dW = xᵀ dout, dL/db = column sums of dout.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights. Held, not copied, also when assigned later: ``layer.W = other`` binds `other`.
    b : ndarray, shape (M,), or number
        Biases, held in the same way.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The last input, flattened.
    original_x_shape : tuple of int
        The shape of the last input before it was flattened.
    dW, db : ndarray
        Gradients of `W` and `b`. Each ``backward`` makes new arrays.

    Notes
    -----
    It computes in float32 if `x` and `W` are float32, else in float64. ``forward`` raises an error if a shape is wrong.
    Source: "Deep Learning from Scratch" §5.6.2.

    Examples
    --------
    >>> layer, W = Affine(np.ones((2, 2)), 0), np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> layer.W = W
    >>> W *= 10
    >>> layer.forward([[1.0, 1.0]])
    array([[40., 60.]])
    """

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None
        self._layer: Any = None

    def forward(self, x: Any) -> FloatArray:
        x = numbers(x, "x")
        W = parameter(self.W, "W", _dtype(x, self.W))
        b = _vector(self.b, "b", W.shape[1] if W.ndim == 2 else 1)
        layer = self._layer
        if layer is None or layer.W is not W or layer.b is not b:
            layer = core.Affine(W, b)
        out: FloatArray = layer.forward(x)
        self._layer, self.x, self.original_x_shape = layer, layer.x, layer.original_x_shape
        return out

    def backward(self, dout: Any) -> FloatArray:
        layer = remembered(self._layer, self)
        dx: FloatArray = layer.backward(dout)
        self.dW, self.db = layer.dW, layer.db
        return dx


class Convolution(BaseLayer):
    """``out[n, f, i, j] = Σ x[n, c, i·stride + y - pad, j·stride + x - pad] W[f, c, y, x] + b[f]``, in float64.

    dL/dW and dL/dx are the same sum, taken over the other indices; dL/db[f] is the sum of ``dout[:, f]``.

    Parameters
    ----------
    W : ndarray, shape (FN, C, FH, FW)
        Filters. Held, not copied, also when assigned later: ``layer.W = other`` binds `other`.
    b : ndarray, shape (FN,), or number
        Biases, held in the same way.
    stride : int, default 1
        How far a filter moves from one place to the next.
    pad : int, default 0
        How many zeros are added on each side of the images.

    Attributes
    ----------
    x : ndarray, shape (N, C, H, W)
        The last input.
    col, col_W : ndarray
        `im2col` of `x`, and the filters as columns; computed on access. None before ``forward``.
    dW, db : ndarray
        Gradients of `W` and `b`. Each ``backward`` makes new arrays.

    Notes
    -----
    The output has shape (N, FN, OH, OW), ``OH = 1 + (H + 2 pad - FH) // stride``; rows left over are ignored.
    Source: "Deep Learning from Scratch" §7.4.

    Examples
    --------
    >>> layer = Convolution(np.ones((1, 1, 2, 2)), 0)
    >>> layer.forward(np.arange(9.0).reshape(1, 1, 3, 3))
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b = W, b
        self.stride, self.pad = stride, pad
        self.x: Any = None
        self.dW: Any = None
        self.db: Any = None
        self._layer: Any = None

    @property
    def col(self) -> FloatArray | None:
        """`im2col` of the last input, shape (N·OH·OW, C·FH·FW)."""
        if self.x is None:
            return None
        FH, FW = self._layer.W.shape[2:]
        return im2col(self.x, FH, FW, self.stride, self.pad)

    @property
    def col_W(self) -> FloatArray | None:
        """The filters of the last ``forward`` as columns, shape (C·FH·FW, FN)."""
        return None if self.x is None else self._layer.W.reshape(len(self._layer.W), -1).T

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x", _FLOAT64)
        W = parameter(self.W, "W", _FLOAT64)
        layer = core.Convolution(W, _vector(self.b, "b", len(W) if W.ndim else 1), self.stride, self.pad)
        out = layer.forward(x)
        self._layer, self.x = layer, x
        return out

    def backward(self, dout: Any) -> FloatArray:
        layer = remembered(self._layer, self)
        dx: FloatArray = layer.backward(dout)
        self.dW, self.db = layer.dW, layer.db
        return dx


class Pooling(BaseLayer):
    """``out[n, c, i, j]`` is the largest number in a window; dL/dx is dout at the place of that number, else 0.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of the window.
    stride : int, default 2
        How far the window moves from one place to the next; by default it is not the window's size unless that is 2.
    pad : int, default 0
        How many pixels of padding are added on each side; the padding is never the largest.

    Attributes
    ----------
    x : ndarray, shape (N, C, H, W)
        The last input.
    arg_max : ndarray of int64, shape (N·OH·OW·C,)
        Which number of its window was taken, counted row by row, in the book's order (N, OH, OW, C); computed on
        access. None before ``forward``.

    Notes
    -----
    It computes in float64. If numbers tie, the first in the window is taken; where windows overlap, gradients add up.
    Source: "Deep Learning from Scratch" §7.4.4.

    Examples
    --------
    >>> layer = Pooling(2, 2)
    >>> layer.forward([[[[1.0, 2.0], [4.0, 3.0]]]])
    array([[[[4.]]]])
    >>> layer.backward([[[[5.0]]]])
    array([[[[0., 0.],
             [5., 0.]]]])
    """

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w = pool_h, pool_w
        self.stride, self.pad = stride, pad
        self.x: Any = None
        self._layer: Any = None

    @property
    def arg_max(self) -> FloatArray | None:
        """Which number of each window was taken."""
        if self.x is None:
            return None
        pixel, (*_, OH, OW) = self._layer.arg_max, self._layer.arg_max.shape
        row, column = np.divmod(pixel, self.x.shape[3])
        row -= (np.arange(OH) * self.stride - self.pad)[:, None]  # counted from the top of the window
        column -= np.arange(OW) * self.stride - self.pad
        return np.asarray((row * self.pool_w + column).transpose(0, 2, 3, 1).ravel())

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x", _FLOAT64)
        layer = core.Pooling(self.pool_h, self.pool_w, self.stride, self.pad)
        out = layer.forward(x)
        self._layer, self.x = layer, x
        return out

    def backward(self, dout: Any) -> FloatArray:
        dx: FloatArray = remembered(self._layer, self).backward(floats(dout, "dout", _FLOAT64))
        return dx


class BatchNormalization(BaseLayer):
    """``out = γ (x - mean) / √(variance + 1e-6) + β``, with the mean and variance of each feature over the batch.

    dL/dβ = Σ dout, dL/dγ = Σ dout·x̂, with x̂ = (x - mean) / σ; dL/dx = γ/σ (dout - mean of dout - x̂ · mean of dout·x̂).

    Parameters
    ----------
    gamma, beta : ndarray, shape (D,), or number
        Scale and shift. Held, not copied, also when assigned later. For images, (N, C, H, W), every pixel of every
        channel is a feature: D = C·H·W. (`chainrule`'s own layer has one feature for each channel.)
    momentum : float, default 0.9
        The share of a running statistic that remains after a training ``forward``.
    running_mean, running_var : ndarray, shape (D,), optional
        The statistics for evaluation; both start at 0, as in the book.

    Attributes
    ----------
    input_shape : tuple of int
        The shape of the last input.
    batch_size : int
        The size of the last training batch.
    xc, xn, std : ndarray
        The last training batch centred, normalized, and its standard deviation; computed on access.
    dgamma, dbeta : ndarray, shape (D,)
        Gradients. Each ``backward`` makes new arrays.

    Warns
    -----
    RuntimeWarning
        If it evaluates before any training: it then divides by √1e-6.

    Notes
    -----
    Source: "Deep Learning from Scratch" §6.3; Ioffe, Szegedy, "Batch normalization", 2015.

    Examples
    --------
    >>> layer = BatchNormalization(np.ones(1), np.zeros(1))
    >>> layer.forward([[1.0], [3.0]]).round(3)
    array([[-1.],
           [ 1.]])
    >>> layer.running_mean
    array([0.2])
    """

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma, self.beta = gamma, beta
        self.momentum = momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.input_shape: Any = None
        self.batch_size: Any = None
        self.dgamma: Any = None
        self.dbeta: Any = None
        self._rows: Any = None
        self._layer: Any = None
        self._may_evaluate = running_var is not None

    @property
    def xc(self) -> FloatArray | None:
        """The last training batch, centred, shape (N, D)."""
        return None if self._rows is None else self._rows - self._rows.mean(axis=0)

    @property
    def std(self) -> FloatArray | None:
        """The standard deviation of its features, shape (D,)."""
        return None if self.xc is None else np.sqrt(np.mean(self.xc**2, axis=0) + 1e-6)

    @property
    def xn(self) -> FloatArray | None:
        """The last training batch, normalized, shape (N, D)."""
        return None if self.xc is None else self.xc / self.std

    def forward(self, x: Any, train_flg: bool = True) -> FloatArray:
        """Give the output, by the statistics of the batch, which update the running ones, or by the running ones.

        Parameters
        ----------
        x : array_like, shape (N, D) or (N, C, H, W)
            A batch. Not written to.
        train_flg : bool, default True
            Whether to train, or to evaluate, which updates nothing.

        Returns
        -------
        ndarray, the shape of `x`
            A new array.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If its shape does not fit, or a batch to train on is empty.
        """
        x = numbers(x, "x")
        if x.ndim not in (2, 4):
            raise ValueError(f"x must have shape (N, D) or (N, C, H, W), got x.shape={x.shape}")
        rows = floats(x, "x", _dtype(x, self.gamma)).reshape(len(x), -1)
        D = rows.shape[1]
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(D), np.zeros(D)
        if train_flg and len(rows) == 1:
            _say_that_one_proves_nothing()
        if not (train_flg or self._may_evaluate):
            text = (
                "BatchNormalization evaluates before any training: its running variance is still 0, and the output is"
                " up to 1000 times too large; train first"
            )
            warn(text)
        self._may_evaluate = True
        dtype = rows.dtype
        layer = core.BatchNormalization(
            _vector(self.gamma, "gamma", D, dtype),
            _vector(self.beta, "beta", D, dtype),
            self.momentum,
            # Copies, because the arrays that the caller gave at the beginning must not change.
            _vector(self.running_mean, "running_mean", D, dtype).copy(),
            _vector(self.running_var, "running_var", D, dtype).copy(),
        )
        out = layer.forward(rows, train_flg)
        self.input_shape = x.shape
        if train_flg:
            self._layer, self._rows, self.batch_size = layer, rows, len(rows)
            self.running_mean, self.running_var = layer.running_mean, layer.running_var
        return out.reshape(x.shape)

    def backward(self, dout: Any) -> FloatArray:
        layer = remembered(self._layer, self)
        shape = (self.batch_size, *self.input_shape[1:])
        dx: FloatArray = layer.backward(incoming(dout, shape, self._rows.dtype).reshape(self._rows.shape))
        self.dgamma, self.dbeta = layer.dgamma, layer.dbeta
        return dx.reshape(shape)


class Dropout(BaseLayer):
    """Training: ``out = mask · x``, each entry kept with probability 1 - ratio; evaluation: ``out = (1 - ratio) x``.

    dL/dx = dout · mask.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        The share that is dropped, 0..1.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        The entries that the last training ``forward`` kept.

    Raises
    ------
    TypeError, ValueError
        If `dropout_ratio` is not a number in 0..1.

    Notes
    -----
    It draws ``np.random.rand(*x.shape)`` from NumPy's global generator, as the book does, and nothing in evaluation.
    Source: "Deep Learning from Scratch" §6.4.3; Srivastava et al., "Dropout", 2014.

    Examples
    --------
    >>> np.random.seed(0)
    >>> Dropout(0.6).forward([1.0, 2.0, 3.0])
    array([0., 2., 3.])
    """

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        if not 0 <= real(dropout_ratio, "dropout_ratio") <= 1:
            raise ValueError(f"dropout_ratio must lie in 0..1, got {dropout_ratio!r}")
        self.dropout_ratio = dropout_ratio
        self.mask: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> FloatArray:
        """Give the output.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            A batch. Not written to.
        train_flg : bool, default True
            Whether to train, or to evaluate, which draws nothing and keeps the mask.

        Returns
        -------
        ndarray, the shape of `x`
            A new array.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        x = floats(x, "x")
        if not train_flg:
            return np.asarray(x * x.dtype.type(1 - self.dropout_ratio))
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return np.asarray(x * self.mask)

    def backward(self, dout: Any) -> FloatArray:
        if self.mask is None:
            raise RuntimeError("Dropout.backward was called before any training forward: there is no mask yet")
        return np.asarray(incoming(dout, self.mask.shape) * self.mask)


def _dtype(x: Any, W: Any) -> np.dtype[Any]:
    """Give the dtype to compute in: float32 if both are float32, else float64."""
    both = x.dtype == _FLOAT32 and getattr(W, "dtype", None) == _FLOAT32
    return _FLOAT32 if both else _FLOAT64


def _vector(value: Any, name: str, size: int, dtype: Any = None) -> FloatArray:
    """Give `value` itself or, if it is a number, an array of `size` times this number."""
    if np.ndim(value) == 0:
        return np.full(size, real(value, name), dtype)
    array = parameter(value, name, dtype)
    if array.shape != (size,):
        raise ValueError(f"{name} must have shape {(size,)}, one number per feature, got {name}.shape={array.shape}")
    return array


@cache
def _say_that_one_proves_nothing() -> None:
    """Say on stderr that a batch of one has no variance; only once, because the call is cached."""
    if sys.stderr is not None:
        text = "a batch of one has variance 0: batch normalization gives beta, and checking its gradient proves nothing"
        print(f"chainrule: {text}", file=sys.stderr)
