"""Right layers for images, in plain NumPy, as people write them by hand: what those with one mistake are made of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np


def im2col(x: Any, height: int, width: int, stride: int = 1, pad: int = 0, fill: float = 0.0) -> Any:
    """Give the windows of the images (N, C, H, W), each in a row of C * height * width numbers."""
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride].transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(-1, x.shape[1] * height * width)


def col2im(col: Any, shape: tuple[int, ...], height: int, width: int, stride: int = 1, pad: int = 0) -> Any:
    """Add the windows up to images of this shape, and leave out what lies in the padding."""
    n, channels, h, w = shape
    oh, ow = (h + 2 * pad - height) // stride + 1, (w + 2 * pad - width) // stride + 1
    windows = col.reshape(n, oh, ow, channels, height, width)
    images = np.zeros((n, channels, h + 2 * pad, w + 2 * pad), col.dtype)
    for i in range(oh):
        for j in range(ow):
            top, left = i * stride, j * stride
            images[:, :, top : top + height, left : left + width] += windows[:, i, j]
    return images[:, :, pad : pad + h, pad : pad + w]


class Convolution:
    """By a product of matrices: the windows in rows, the filters in columns."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def forward(self, x: Any) -> Any:
        (n, _, h, w), (filters, _, fh, fw) = x.shape, self.W.shape
        oh, ow = (h + 2 * self.pad - fh) // self.stride + 1, (w + 2 * self.pad - fw) // self.stride + 1
        self.shape, self.col = x.shape, im2col(x, fh, fw, self.stride, self.pad)
        out = self.col @ self.W.reshape(filters, -1).T + self.b
        return out.reshape(n, oh, ow, filters).transpose(0, 3, 1, 2)

    def backward(self, dout: Any) -> Any:
        filters, _, fh, fw = self.W.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.db = rows.sum(axis=0)
        self.dW = (rows.T @ self.col).reshape(self.W.shape)
        return col2im(rows @ self.W.reshape(filters, -1), self.shape, fh, fw, self.stride, self.pad)


class LoopConvolution:
    """Window by window."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = W, b, stride, pad

    def padded(self, x: Any) -> Any:
        return np.pad(x, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)))

    def forward(self, x: Any) -> Any:
        self.x = x
        padded, (filters, _, fh, fw), s = self.padded(x), self.W.shape, self.stride
        oh, ow = (padded.shape[2] - fh) // s + 1, (padded.shape[3] - fw) // s + 1
        out = np.zeros((len(x), filters, oh, ow), x.dtype)
        for i in range(oh):
            for j in range(ow):
                window = padded[:, :, i * s : i * s + fh, j * s : j * s + fw]
                out[:, :, i, j] = np.tensordot(window, self.W, ([1, 2, 3], [1, 2, 3])) + self.b
        return out

    def backward(self, dout: Any) -> Any:
        padded, (_, _, fh, fw), s, p = self.padded(self.x), self.W.shape, self.stride, self.pad
        dpadded, self.dW = np.zeros_like(padded), np.zeros_like(self.W)
        self.db = dout.sum(axis=(0, 2, 3))
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                at = np.s_[:, :, i * s : i * s + fh, j * s : j * s + fw]
                self.dW += np.tensordot(dout[:, :, i, j], padded[at], (0, 0))
                dpadded[at] += np.tensordot(dout[:, :, i, j], self.W, (1, 0))
        return dpadded[:, :, p : p + self.x.shape[2], p : p + self.x.shape[3]]


class FullConvolution:
    """Stride 1, and dx by another convolution: of dout, in a frame of zeros, with the filters turned round."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.windows = np.lib.stride_tricks.sliding_window_view(x, self.W.shape[2:], axis=(2, 3))
        return np.einsum("nchwij,fcij->nfhw", self.windows, self.W) + self.b[:, None, None]

    def backward(self, dout: Any) -> Any:
        self.db = np.einsum("nfhw->f", dout)
        self.dW = np.einsum("nchwij,nfhw->fcij", self.windows, dout)
        return self.full(dout, self.W[:, :, ::-1, ::-1])

    def full(self, dout: Any, filters: Any) -> Any:
        fh, fw = filters.shape[2:]
        framed = np.pad(dout, ((0, 0), (0, 0), (fh - 1, fh - 1), (fw - 1, fw - 1)))
        windows = np.lib.stride_tricks.sliding_window_view(framed, (fh, fw), axis=(2, 3))
        return np.einsum("nfhwij,fcij->nchw", windows, filters)


class DepthwiseConvolution:
    """One filter for each channel, with gaps between its entries."""

    def __init__(self, W: Any, dilation: int = 1) -> None:
        self.W, self.dilation = W, dilation

    def places(self, oh: int, ow: int) -> Any:
        d = self.dilation
        return [
            (i, j, np.s_[:, :, i * d : i * d + oh, j * d : j * d + ow])
            for i in range(self.W.shape[1])
            for j in range(self.W.shape[2])
        ]

    def forward(self, x: Any) -> Any:
        self.x, (_, fh, fw) = x, self.W.shape
        oh, ow = x.shape[2] - (fh - 1) * self.dilation, x.shape[3] - (fw - 1) * self.dilation
        return sum(x[at] * self.W[:, i, j, None, None] for i, j, at in self.places(oh, ow))

    def backward(self, dout: Any) -> Any:
        self.dW, dx = np.zeros_like(self.W), np.zeros_like(self.x)
        for i, j, at in self.places(*dout.shape[2:]):
            self.dW[:, i, j] = (self.x[at] * dout).sum(axis=(0, 2, 3))
            dx[at] += dout * self.W[:, i, j, None, None]
        return dx


class MaxPooling:
    """By the windows in rows, of which the place of the largest number is kept."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def forward(self, x: Any) -> Any:
        (n, channels, h, w), area, p = x.shape, self.pool_h * self.pool_w, self.pad
        oh, ow = (h + 2 * p - self.pool_h) // self.stride + 1, (w + 2 * p - self.pool_w) // self.stride + 1
        rows = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad, -np.inf).reshape(-1, area)
        self.shape, self.arg_max = x.shape, rows.argmax(axis=1)
        return rows.max(axis=1).reshape(n, oh, ow, channels).transpose(0, 3, 1, 2)

    def backward(self, dout: Any) -> Any:
        drows = np.zeros((dout.size, self.pool_h * self.pool_w), dout.dtype)
        drows[np.arange(dout.size), self.arg_max] = dout.transpose(0, 2, 3, 1).ravel()
        return col2im(drows, self.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class MaskPooling:
    """Of windows side by side: a mask says which number is the largest; of equal ones all are."""

    def __init__(self, size: int) -> None:
        self.size = size

    def windows(self, x: Any) -> Any:
        n, channels, h, w = x.shape
        return x.reshape(n, channels, h // self.size, self.size, w // self.size, self.size)

    def forward(self, x: Any) -> Any:
        windows = self.windows(x)
        out = windows.max(axis=(3, 5))
        self.mask = windows == out[:, :, :, None, :, None]
        return out

    def backward(self, dout: Any) -> Any:
        n, channels, h, w = dout.shape
        return (self.mask * dout[:, :, :, None, :, None]).reshape(n, channels, h * self.size, w * self.size)


class AveragePooling:
    """Of each window the mean over the pixels that lie in the image."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def forward(self, x: Any) -> Any:
        self.shape, (h, w), p = x.shape, x.shape[2:], self.pad
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        oh, ow = (h + 2 * p - self.pool_h) // self.stride + 1, (w + 2 * p - self.pool_w) // self.stride + 1
        out, self.counts = np.zeros((*x.shape[:2], oh, ow), x.dtype), np.zeros((oh, ow), x.dtype)
        inside = np.pad(np.ones((h, w)), p)
        for i in range(oh):
            for j in range(ow):
                at = self.window(i, j)
                self.counts[i, j] = inside[at].sum()
                out[:, :, i, j] = padded[:, :, *at].sum(axis=(2, 3)) / self.counts[i, j]
        return out

    def backward(self, dout: Any) -> Any:
        n, channels, h, w = self.shape
        dpadded = np.zeros((n, channels, h + 2 * self.pad, w + 2 * self.pad), dout.dtype)
        share = dout / self.counts
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                dpadded[:, :, *self.window(i, j)] += share[:, :, i, j, None, None]
        return dpadded[:, :, self.pad : self.pad + h, self.pad : self.pad + w]

    def window(self, i: int, j: int) -> Any:
        top, left = i * self.stride, j * self.stride
        return slice(top, top + self.pool_h), slice(left, left + self.pool_w)


class GlobalAveragePooling:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dout: Any) -> Any:
        return np.broadcast_to(dout[:, :, None, None], self.shape) / (self.shape[2] * self.shape[3])


class Upsampling:
    """Every pixel twice in each direction."""

    def forward(self, x: Any) -> Any:
        return x.repeat(2, axis=2).repeat(2, axis=3)

    def backward(self, dout: Any) -> Any:
        n, channels, h, w = dout.shape
        return dout.reshape(n, channels, h // 2, 2, w // 2, 2).sum(axis=(3, 5))


class BatchNormalization:
    """For each feature of (N, D), or each channel of (N, C, H, W); the running statistics move when it trains."""

    def __init__(self, gamma: Any, beta: Any, momentum: float = 0.9, eps: float = 1e-6) -> None:
        self.gamma, self.beta, self.momentum, self.eps = gamma, beta, momentum, eps
        self.running_mean, self.running_var = np.zeros_like(gamma), np.ones_like(gamma)

    def axes(self, x: Any) -> Any:
        """Give the axes that statistics are over, and the shape of gamma beside x."""
        return (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        axes, beside = self.axes(x)
        self.train_flg = train_flg
        if train_flg:
            mean, var = x.mean(axis=axes), x.var(axis=axes)
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        else:
            mean, var = self.running_mean, self.running_var
        self.std = np.sqrt(var + self.eps).reshape(beside)
        self.xc = x - mean.reshape(beside)
        self.xn = self.xc / self.std
        return self.gamma.reshape(beside) * self.xn + self.beta.reshape(beside)

    def backward(self, dout: Any) -> Any:
        axes, beside = self.axes(dout)
        self.dgamma, self.dbeta = (dout * self.xn).sum(axis=axes), dout.sum(axis=axes)
        dxn = dout * self.gamma.reshape(beside)
        return self.to_x(dxn, axes, dout.size // dout.shape[1])

    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        if not self.train_flg:
            return dxn / self.std
        dxc = dxn / self.std
        dstd = -(dxn * self.xc / self.std**2).sum(axis=axes, keepdims=True)
        dxc = dxc + dstd * self.xc / (self.std * count)
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class ShortBatchNormalization(BatchNormalization):
    """dx in the one line into which the chain can be drawn together."""

    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        mean = dxn.mean(axis=axes, keepdims=True)
        return (dxn - mean - self.xn * (dxn * self.xn).mean(axis=axes, keepdims=True)) / self.std


class LayerNormalization:
    """Over the last axis."""

    def __init__(self, gamma: Any, beta: Any, eps: float = 1e-6) -> None:
        self.gamma, self.beta, self.eps = gamma, beta, eps

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        self.xn = (x - x.mean(axis=-1, keepdims=True)) / self.std
        return self.gamma * self.xn + self.beta

    def backward(self, dout: Any) -> Any:
        before = tuple(range(dout.ndim - 1))
        self.dgamma, self.dbeta = (dout * self.xn).sum(axis=before), dout.sum(axis=before)
        dxn = dout * self.gamma
        mean = dxn.mean(axis=-1, keepdims=True)
        return (dxn - mean - self.xn * (dxn * self.xn).mean(axis=-1, keepdims=True)) / self.std


class InstanceNormalization:
    """Over the pixels of each channel of each image; nothing is learnt."""

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=(2, 3), keepdims=True) + 1e-5)
        self.xn = (x - x.mean(axis=(2, 3), keepdims=True)) / self.std
        return self.xn.copy()

    def backward(self, dout: Any) -> Any:
        mean = dout.mean(axis=(2, 3), keepdims=True)
        return (dout - mean - self.xn * (dout * self.xn).mean(axis=(2, 3), keepdims=True)) / self.std


class Dropout:
    """Draws from NumPy's global generator; in evaluation x is multiplied by the share that is kept in training."""

    mask: Any = None

    def __init__(self, dropout_ratio: float = 0.5) -> None:
        self.dropout_ratio = dropout_ratio

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.train_flg = train_flg
        if not train_flg:
            return x * (1 - self.dropout_ratio)
        self.mask = np.random.rand(*x.shape) > self.dropout_ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask if self.train_flg else dout * (1 - self.dropout_ratio)


class InvertedDropout:
    """Draws from a generator of its own, and divides by the share that is kept, so that evaluation changes nothing."""

    mask: Any = None

    def __init__(self, dropout_ratio: float = 0.5, seed: int = 7) -> None:
        self.dropout_ratio, self.rng = dropout_ratio, np.random.default_rng(seed)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.mask = (self.rng.random(x.shape) > self.dropout_ratio) / (1 - self.dropout_ratio) if train_flg else None
        return x.copy() if self.mask is None else x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout.copy() if self.mask is None else dout * self.mask


class ChannelDropout(InvertedDropout):
    """Drops whole channels."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        kept = self.rng.random((*x.shape[:2], 1, 1)) > self.dropout_ratio
        self.mask = kept / (1 - self.dropout_ratio)
        return x * self.mask


class Flatten:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.reshape(len(x), -1).copy()

    def backward(self, dout: Any) -> Any:
        return dout.reshape(self.shape).copy()


class ChannelsLast:
    """Flattens (N, C, H, W) with the channels of a pixel side by side."""

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1)

    def backward(self, dout: Any) -> Any:
        n, channels, h, w = self.shape
        return dout.reshape(n, h, w, channels).transpose(0, 3, 1, 2).copy()


class ImageNetwork:
    """Layers called in order, and a loss; parameters are W1, b1, gamma1 and so on, each kind counted for itself."""

    def __init__(self, layers: Mapping[str, Any], last_layer: Any) -> None:
        self.layers, self.last_layer = OrderedDict(layers), last_layer
        self.own: dict[str, tuple[Any, str]] = {}
        for layer in self.layers.values():
            for name in ("W", "b", "gamma", "beta"):
                if hasattr(layer, name):
                    number = 1 + sum(kind == name for _, kind in self.own.values())
                    self.own[f"{name}{number}"] = layer, name
        self.params = {name: getattr(layer, kind) for name, (layer, kind) in self.own.items()}

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: getattr(layer, f"d{kind}") for name, (layer, kind) in self.own.items()}
