"""What the book's convolution, pooling and batch normalization compute, in plain NumPy.

`common/layers.py` asks nothing of these three but the constructor, ``forward``, ``backward``, the gradients and the
running statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count, floats, parameter
from chainrule.nn.images import col2im, im2col, windows_of
from chainrule.nn.layers.base import BaseLayer, incoming, remembered

#: Under the root of batch normalization: the book's.
EPSILON = 1e-6


class Convolution(BaseLayer):
    """``out[n, f, i, j] = Σ x[n, c, i·stride + y, j·stride + x] W[f, c, y, x] + b[f]``, in the dtype of `W`."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W = parameter(W, "W")
        if self.W.ndim != 4:
            raise ValueError(f"W must have shape (FN, C, FH, FW), got W.shape={self.W.shape}")
        self.b = parameter(b, "b", self.W.dtype)
        if self.b.shape != self.W.shape[:1]:
            raise ValueError(f"b must have shape {self.W.shape[:1]} to fit W, got b.shape={self.b.shape}")
        self.stride, self.pad = count(stride, "stride"), count(pad, "pad", least=0)
        self.x: Any = None
        self.dW: Any = None
        self.db: Any = None
        self._col: Any = None
        self._shape: tuple[int, ...] = ()

    def forward(self, x: Any) -> FloatArray:
        """Give the output, shape (N, FN, OH, OW), for images of shape (N, C, H, W)."""
        FN, C, FH, FW = self.W.shape
        self.x = x = floats(x, "x", self.W.dtype)
        if x.ndim != 4 or x.shape[1] != C:
            raise ValueError(f"x must have shape (N, {C}, H, W) to fit W, got x.shape={x.shape}")
        self._col = im2col(x, FH, FW, self.stride, self.pad)
        N, _, H, W = x.shape
        OH, OW = 1 + (H + 2 * self.pad - FH) // self.stride, 1 + (W + 2 * self.pad - FW) // self.stride
        self._shape = (N, FN, OH, OW)
        out: FloatArray = self._col @ self.W.reshape(FN, -1).T + self.b
        return out.reshape(N, OH, OW, FN).transpose(0, 3, 1, 2)

    def backward(self, dout: Any) -> FloatArray:
        """Give dx, and keep dW and db."""
        col, (FN, _, FH, FW) = remembered(self._col, self), self.W.shape
        rows = incoming(dout, self._shape, self.W.dtype).transpose(0, 2, 3, 1).reshape(-1, FN)
        self.dW = (col.T @ rows).T.reshape(self.W.shape)
        self.db = rows.sum(axis=0)
        return col2im(rows @ self.W.reshape(FN, -1), self.x.shape, FH, FW, self.stride, self.pad)


class Pooling(BaseLayer):
    """``out[n, c, i, j]`` is the largest number of its window, and the first of them gets the gradient."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w = count(pool_h, "pool_h"), count(pool_w, "pool_w")
        self.stride, self.pad = count(stride, "stride"), count(pad, "pad", least=0)
        if self.pad >= min(self.pool_h, self.pool_w):
            raise ValueError(f"pad must be less than the window, {self.pool_h}×{self.pool_w}, got {pad}")
        self.x: Any = None
        self._arg_max: Any = None

    def forward(self, x: Any) -> FloatArray:
        """Give the output, shape (N, C, OH, OW), for images of shape (N, C, H, W)."""
        self.x = x = floats(x, "x")
        windows = pool_windows(x, self.pool_h, self.pool_w, self.stride, self.pad)
        self._arg_max = windows.argmax(axis=-1)
        return np.take_along_axis(windows, self._arg_max[..., None], axis=-1)[..., 0]

    def backward(self, dout: Any) -> FloatArray:
        """Give dx."""
        arg_max = remembered(self._arg_max, self)
        dout = incoming(dout, arg_max.shape)
        N, C, H, W = self.x.shape
        dwindows = np.zeros((*arg_max.shape, self.pool_h * self.pool_w), dout.dtype)
        np.put_along_axis(dwindows, arg_max[..., None], dout[..., None], axis=-1)
        rows = dwindows.reshape(-1, self.pool_h * self.pool_w)
        dx = col2im(rows, (N * C, 1, H, W), self.pool_h, self.pool_w, self.stride, self.pad)
        return dx.reshape(N, C, H, W)


def pool_windows(x: FloatArray, pool_h: int, pool_w: int, stride: int, pad: int) -> FloatArray:
    """Give the windows, shape (N, C, OH, OW, pool_h · pool_w), with -inf outside the image.

    Raises
    ------
    ValueError
        If `x` does not have four axes, or the window is larger than the image.
    """
    if x.ndim != 4:
        raise ValueError(f"x must have shape (N, C, H, W), got x.shape={x.shape}")
    if pool_h > x.shape[2] + 2 * pad or pool_w > x.shape[3] + 2 * pad:
        raise ValueError(f"the window, {pool_h}×{pool_w}, is larger than the image (x.shape={x.shape}, pad={pad})")
    windows = windows_of(x, pool_h, pool_w, stride, pad, outside=-np.inf)
    return windows.reshape(*windows.shape[:4], pool_h * pool_w)


class BatchNormalization(BaseLayer):
    """``out = γ (x - mean) / √(variance + 1e-6) + β``, statistics down each column of `x`, shape (N, D)."""

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma = parameter(gamma, "gamma")
        self.beta = parameter(beta, "beta", self.gamma.dtype)
        self.momentum = momentum
        self.running_mean, self.running_var = running_mean, running_var
        self.dgamma: Any = None
        self.dbeta: Any = None
        self._xn: Any = None
        self._std: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> FloatArray:
        """Give the output, by the statistics of the batch, which move the running ones; or by those."""
        x = floats(x, "x", self.gamma.dtype)
        if x.ndim != 2 or x.shape[1:] != self.gamma.shape:
            raise ValueError(f"x must have shape (N, D) with gamma (D,), got {x.shape} and {self.gamma.shape}")
        if not train_flg:
            xn = (x - self.running_mean) / np.sqrt(self.running_var + EPSILON)
            return np.asarray(self.gamma * xn + self.beta)
        if len(x) == 0:
            raise ValueError("an empty batch has no mean and no variance")
        mean = x.mean(axis=0)
        variance = np.mean((x - mean) ** 2, axis=0)
        self._std = np.sqrt(variance + EPSILON)
        self._xn = (x - mean) / self._std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * variance
        return np.asarray(self.gamma * self._xn + self.beta)

    def backward(self, dout: Any) -> FloatArray:
        """Give dx, and keep dgamma and dbeta: from the last training ``forward``."""
        xn = remembered(self._xn, self)
        dout = incoming(dout, xn.shape, self.gamma.dtype)
        self.dbeta = dout.sum(axis=0)
        self.dgamma = (xn * dout).sum(axis=0)
        dxn = self.gamma * dout
        return np.asarray((dxn - dxn.mean(axis=0) - xn * (dxn * xn).mean(axis=0)) / self._std)
