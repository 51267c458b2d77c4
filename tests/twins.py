"""Twins of the layers for images, in plain NumPy: the oracle of ``nn/test_images.py``.

They take what the layers take and keep what the layers keep, compute in float64 whatever they are given, and are
written to be read beside a definition, one output number at a time where that is plainest: no windows are put in rows,
nothing is reused, nothing is fast. ``nn/test_twins.py`` holds each against central differences, and against numbers
from elsewhere.

Of what is drawn there is no twin: a twin of dropout is given the mask.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

EPSILON = 1e-6  # the tutorial's 10e-7, inside the root


def batched(array: Any, axes: int) -> Any:
    """Give a float64 array of so many axes: one example is a batch of one."""
    array = np.asarray(array, np.float64)
    return array[np.newaxis] if array.ndim == axes - 1 else array


class Convolution:
    """out[n, f, i, j] = b[f] + sum over c, k, m of W[f, c, k, m] · x[n, c, i·stride + k - pad, j·stride + m - pad]."""

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        self.W, self.b, self.stride, self.pad = np.asarray(W, np.float64), np.asarray(b, np.float64), stride, pad

    def forward(self, x: Any) -> Any:
        self.shape = np.shape(x)
        self.x = batched(x, 4)
        (n, _, height, width), (filters, _, fh, fw) = self.x.shape, self.W.shape
        oh, ow = (height + 2 * self.pad - fh) // self.stride + 1, (width + 2 * self.pad - fw) // self.stride + 1
        out = np.zeros((n, filters, oh, ow))
        for f, i, j in product(range(filters), range(oh), range(ow)):
            out[:, f, i, j] = self.b[f]
            for k, m in product(range(fh), range(fw)):
                row, column = i * self.stride + k - self.pad, j * self.stride + m - self.pad
                if 0 <= row < height and 0 <= column < width:
                    out[:, f, i, j] += self.x[:, :, row, column] @ self.W[f, :, k, m]
        return out if len(self.shape) == 4 else out[0]

    def backward(self, dout: Any) -> Any:
        dout = batched(dout, 4)
        (_, _, height, width), (filters, _, fh, fw) = self.x.shape, self.W.shape
        dx, self.dW, self.db = np.zeros_like(self.x), np.zeros_like(self.W), np.zeros_like(self.b)
        for f, i, j in product(range(filters), range(dout.shape[2]), range(dout.shape[3])):
            sent = dout[:, f, i, j]
            self.db[f] += sent.sum()
            for k, m in product(range(fh), range(fw)):
                row, column = i * self.stride + k - self.pad, j * self.stride + m - self.pad
                if 0 <= row < height and 0 <= column < width:
                    self.dW[f, :, k, m] += sent @ self.x[:, :, row, column]
                    dx[:, :, row, column] += np.outer(sent, self.W[f, :, k, m])
        return dx.reshape(self.shape)


class Windows:
    """Windows of (N, C, H, W), of which each takes the pixels that lie in the image."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w, self.stride, self.pad = pool_h, pool_w, stride, pad

    def forward(self, x: Any) -> Any:
        self.shape = np.shape(x)
        self.x = batched(x, 4)
        n, channels, height, width = self.x.shape
        oh = (height + 2 * self.pad - self.pool_h) // self.stride + 1
        ow = (width + 2 * self.pad - self.pool_w) // self.stride + 1
        out = np.zeros((n, channels, oh, ow))
        for a, c, i, j in np.ndindex(out.shape):
            out[a, c, i, j] = self.of_pixels([self.x[a, c, row, column] for row, column in self.pixels(i, j)])
        return out if len(self.shape) == 4 else out[0]

    def backward(self, dout: Any) -> Any:
        dout, dx = batched(dout, 4), np.zeros_like(self.x)
        for a, c, i, j in np.ndindex(dout.shape):
            pixels = self.pixels(i, j)
            slopes = self.slopes([self.x[a, c, row, column] for row, column in pixels])
            for (row, column), slope in zip(pixels, slopes, strict=True):
                dx[a, c, row, column] += slope * dout[a, c, i, j]
        return dx.reshape(self.shape)

    def pixels(self, i: int, j: int) -> list[tuple[int, int]]:
        """Give the pixels of a window that lie in the image, row by row."""
        top, left = i * self.stride - self.pad, j * self.stride - self.pad
        rows = [row for row in range(top, top + self.pool_h) if 0 <= row < self.x.shape[2]]
        return list(product(rows, [c for c in range(left, left + self.pool_w) if 0 <= c < self.x.shape[3]]))

    def of_pixels(self, values: list[float]) -> float:
        raise NotImplementedError

    def slopes(self, values: list[float]) -> list[float]:
        raise NotImplementedError


class Pooling(Windows):
    """The largest pixel of each window, the first of them that are equal."""

    def of_pixels(self, values: list[float]) -> float:
        return max(values)

    def slopes(self, values: list[float]) -> list[float]:
        first = values.index(max(values))
        return [float(i == first) for i in range(len(values))]


class AveragePooling(Windows):
    """The mean of the pixels of each window, as many as lie in the image."""

    def of_pixels(self, values: list[float]) -> float:
        return sum(values) / len(values)

    def slopes(self, values: list[float]) -> list[float]:
        return [1 / len(values)] * len(values)


class BatchNormalization:
    """gamma · (x - mean) / sqrt(variance + eps) + beta, for each feature, or each channel, over all else.

    The way back is written as the chain of the steps forward: the mean, the variance, the quotient.
    """

    def __init__(
        self, gamma: Any, beta: Any, momentum: float = 0.9, running_mean: Any = None, running_var: Any = None
    ) -> None:
        self.gamma, self.beta, self.momentum = np.asarray(gamma, np.float64), np.asarray(beta, np.float64), momentum
        zeros = np.zeros(np.shape(gamma))
        self.running_mean = zeros if running_mean is None else np.array(running_mean, np.float64)
        self.running_var = zeros + 1 if running_var is None else np.array(running_var, np.float64)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        out = np.zeros(np.shape(x))
        x, self.shape, self.train_flg = batched(x, 2), np.shape(x), train_flg
        normalised = out.reshape(x.shape)
        self.x = x
        if train_flg:
            count = x.size // x.shape[1]
            self.mean, self.var = np.zeros(x.shape[1]), np.zeros(x.shape[1])
            for c in range(x.shape[1]):
                self.mean[c] = x[:, c].sum() / count
                self.var[c] = ((x[:, c] - self.mean[c]) ** 2).sum() / count
            self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * self.mean
            self.running_var = self.momentum * self.running_var + (1 - self.momentum) * self.var
        else:
            self.mean, self.var = self.running_mean.copy(), self.running_var.copy()
        for c in range(x.shape[1]):
            root = np.sqrt(self.var[c] + EPSILON)
            normalised[:, c] = self.gamma[c] * (x[:, c] - self.mean[c]) / root + self.beta[c]
        return out

    def backward(self, dout: Any) -> Any:
        dout, dx = batched(dout, 2), np.zeros_like(self.x)
        count = self.x.size // self.x.shape[1]
        self.dgamma, self.dbeta = np.zeros(self.x.shape[1]), np.zeros(self.x.shape[1])
        for c in range(self.x.shape[1]):
            centred, root, sent = self.x[:, c] - self.mean[c], np.sqrt(self.var[c] + EPSILON), dout[:, c]
            self.dgamma[c], self.dbeta[c] = (sent * centred / root).sum(), sent.sum()
            dcentred = self.gamma[c] * sent / root
            if self.train_flg:
                dvar = (self.gamma[c] * sent * centred).sum() * -1 / (2 * root**3)
                dcentred = dcentred + dvar * 2 * centred / count
                dcentred = dcentred - dcentred.sum() / count
            dx[:, c] = dcentred
        return dx.reshape(self.shape)


class LayerNormalization:
    """gamma · (x - mean) / sqrt(variance + eps) + beta, over the last axes that hold as many numbers as gamma does."""

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.gamma, self.beta = np.asarray(gamma, np.float64), np.asarray(beta, np.float64)

    def forward(self, x: Any) -> Any:
        self.shape = np.shape(x)
        self.x = np.asarray(x, np.float64).reshape(-1, len(self.gamma))
        out = np.zeros_like(self.x)
        for n, row in enumerate(self.x):
            mean = row.sum() / len(row)
            var = ((row - mean) ** 2).sum() / len(row)
            out[n] = self.gamma * (row - mean) / np.sqrt(var + EPSILON) + self.beta
        return out.reshape(self.shape)

    def backward(self, dout: Any) -> Any:
        dout, dx = np.asarray(dout, np.float64).reshape(self.x.shape), np.zeros_like(self.x)
        self.dgamma, self.dbeta = np.zeros_like(self.gamma), np.zeros_like(self.beta)
        for n, row in enumerate(self.x):
            size = len(row)
            centred = row - row.sum() / size
            root = np.sqrt((centred**2).sum() / size + EPSILON)
            self.dgamma += dout[n] * centred / root
            self.dbeta += dout[n]
            # Row i of the Jacobian of centred / root, for each i.
            jacobian = (np.eye(size) - 1 / size) / root - np.outer(centred, centred) / (size * root**3)
            dx[n] = (dout[n] * self.gamma) @ jacobian
        return dx.reshape(self.shape)


class Dropout:
    """x · mask in training; in evaluation x · (1 - ratio), and the mask is of no account."""

    def __init__(self, dropout_ratio: float = 0.5, *, mask: Any = None) -> None:
        self.dropout_ratio, self.mask = dropout_ratio, mask

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        self.factor = np.where(self.mask, 1.0, 0.0) if train_flg else 1 - self.dropout_ratio
        return np.asarray(x, np.float64) * self.factor

    def backward(self, dout: Any) -> Any:
        return np.asarray(dout, np.float64) * self.factor


class Reshape:
    """Each example in another shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.to = shape

    def forward(self, x: Any) -> Any:
        self.shape = np.shape(x)
        return np.asarray(x, np.float64).reshape(self.shape[0], *self.to)

    def backward(self, dout: Any) -> Any:
        return np.asarray(dout, np.float64).reshape(self.shape)


class Flatten:
    """Each example in a row."""

    def forward(self, x: Any) -> Any:
        self.shape = np.shape(x)
        return np.asarray(x, np.float64).reshape(self.shape[0], int(np.prod(self.shape[1:])))

    def backward(self, dout: Any) -> Any:
        return np.asarray(dout, np.float64).reshape(self.shape)
