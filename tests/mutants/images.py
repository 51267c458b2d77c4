"""Convolutions, pools, norms and dropout with one mistake each, and right ones that look suspicious.

The right layers that they are made of are in `image_layers`; each class here shows the part that is wrong. The stories
are at the end, so that the classes can be read without them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants import image_layers as layers
from mutants.case import Arguments, Case, Expect, labelled, normal, spread
from mutants.image_layers import ImageNetwork, col2im, im2col
from mutants.parts import Relu, SoftmaxWithLoss, Tanh, affine

# --- convolution ---


class ConvolutionA(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        n = len(dout)
        first = dout[0].transpose(1, 2, 0).reshape(-1, len(self.W))
        self.dW = (first.T @ self.col[: len(self.col) // n]).reshape(self.W.shape)
        return dx


class ConvolutionB(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = dout.sum(axis=(0, 1, 2))
        return dx


class ConvolutionC(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = dout[:, :, 0, 0].sum(axis=0)
        return dx


class ConvolutionD(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW /= len(dout)
        self.db /= len(dout)
        return dx


class ConvolutionE(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        filters, _, fh, fw = self.W.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        self.db = rows.sum(axis=0)
        self.dW = (self.col.T @ rows).reshape(self.W.shape)
        return col2im(rows @ self.W.reshape(filters, -1), self.shape, fh, fw, self.stride, self.pad)


class ConvolutionF(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        filters, _, fh, fw = self.W.shape
        rows = dout.reshape(-1, filters)
        self.db = rows.sum(axis=0)
        self.dW = (rows.T @ self.col).reshape(self.W.shape)
        return col2im(rows @ self.W.reshape(filters, -1), self.shape, fh, fw, self.stride, self.pad)


class ConvolutionG(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        return super().backward(dout.transpose(0, 1, 3, 2))


class ConvolutionH(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        filters, _, fh, fw = self.W.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        by_pixels = self.W.transpose(0, 2, 3, 1).reshape(filters, -1)
        return col2im(rows @ by_pixels, self.shape, fh, fw, self.stride, self.pad)


class ConvolutionI(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        filters, _, fh, fw = self.W.shape
        n, channels, h, w = self.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        framed = n, channels, h + 2 * self.pad, w + 2 * self.pad
        return col2im(rows @ self.W.reshape(filters, -1), framed, fh, fw, self.stride)[:, :, :h, :w]


class ConvolutionJ(layers.Convolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        filters, _, fh, fw = self.W.shape
        n, channels, h, w = self.shape
        rows = dout.transpose(0, 2, 3, 1).reshape(-1, filters)
        framed = n, channels, h + 2 * self.pad, w + 2 * self.pad
        return col2im(rows @ self.W.reshape(filters, -1), framed, fh, fw, self.stride)


class ConvolutionK(layers.Convolution):
    col: Any = None

    def forward(self, x: Any) -> Any:
        before = self.col
        out = super().forward(x)
        if before is not None and before.shape == self.col.shape:
            self.col = before
        return out


class ConvolutionL(layers.Convolution):
    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        super().__init__(W, b, stride, pad)
        self.total_W, self.total_b = np.zeros_like(W), np.zeros_like(b)

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.total_W += self.dW
        self.total_b += self.db
        self.dW, self.db = self.total_W.copy(), self.total_b.copy()
        return dx


class ConvolutionM(layers.Convolution):
    def forward(self, x: Any) -> Any:
        edges = np.pad(x, ((0, 0), (0, 0), (self.pad, self.pad), (self.pad, self.pad)), mode="edge")
        pad, self.pad = self.pad, 0
        out = super().forward(edges)
        self.pad, self.shape = pad, x.shape
        return out


class ConvolutionN(layers.Convolution):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        fh, fw = self.W.shape[2:]
        self.col = im2col(x, fh, fw, self.stride, self.pad, fill=1.0)
        return out


class LoopConvolutionA(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        padded, (_, _, fh, fw), s, p = self.padded(self.x), self.W.shape, self.stride, self.pad
        dpadded = np.zeros_like(padded)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                at = np.s_[:, :, i * s : i * s + fh, j * s : j * s + fw]
                dpadded[at] = np.tensordot(dout[:, :, i, j], self.W, (1, 0))
        return dpadded[:, :, p : p + self.x.shape[2], p : p + self.x.shape[3]]


class LoopConvolutionB(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        padded, (_, _, fh, fw), p = self.padded(self.x), self.W.shape, self.pad
        dpadded = np.zeros_like(padded)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                dpadded[:, :, i : i + fh, j : j + fw] += np.tensordot(dout[:, :, i, j], self.W, (1, 0))
        return dpadded[:, :, p : p + self.x.shape[2], p : p + self.x.shape[3]]


class LoopConvolutionC(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        padded, (_, _, fh, fw) = self.padded(self.x), self.W.shape
        self.dW = np.zeros_like(self.W)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                self.dW += np.tensordot(dout[:, :, i, j], padded[:, :, i : i + fh, j : j + fw], (0, 0))
        return dx


class LoopConvolutionD(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        padded, (_, _, fh, fw), s, p = self.padded(self.x), self.W.shape, self.stride, self.pad
        dpadded = np.zeros_like(padded)
        for i in range(dout.shape[2] - 1):
            for j in range(dout.shape[3]):
                at = np.s_[:, :, i * s : i * s + fh, j * s : j * s + fw]
                dpadded[at] += np.tensordot(dout[:, :, i, j], self.W, (1, 0))
        return dpadded[:, :, p : p + self.x.shape[2], p : p + self.x.shape[3]]


class LoopConvolutionE(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        padded, (_, _, fh, fw), s = self.padded(self.x), self.W.shape, self.stride
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                window = padded[:, :, i * s : i * s + fh, j * s : j * s + fw]
                self.dW = np.tensordot(dout[:, :, i, j], window, (0, 0))
        return dx


class LoopConvolutionF(layers.LoopConvolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        return np.broadcast_to(dx.sum(axis=1, keepdims=True), dx.shape).copy()


class FullConvolutionA(layers.FullConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return self.full(dout, self.W)


class FullConvolutionB(layers.FullConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return self.full(dout, self.W.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1])


class FullConvolutionC(layers.FullConvolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = self.dW[:, :, ::-1, ::-1].copy()
        return dx


class FullConvolutionD(layers.FullConvolution):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return self.full(dout, self.W[:, :, ::-1])


class DepthwiseConvolutionA(layers.DepthwiseConvolution):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = np.broadcast_to(self.dW.sum(axis=0), self.dW.shape).copy()
        return dx


class DepthwiseConvolutionB(layers.DepthwiseConvolution):
    def backward(self, dout: Any) -> Any:
        dilation, self.dilation = self.dilation, 1
        dx = super().backward(dout)
        self.dilation = dilation
        return dx


# --- pooling ---


class MaxPoolingA(layers.MaxPooling):
    def backward(self, dout: Any) -> Any:
        area = self.pool_h * self.pool_w
        drows = np.repeat(dout.transpose(0, 2, 3, 1).reshape(-1, 1), area, axis=1)
        return col2im(drows, self.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class PlacedPooling(layers.MaxPooling):
    """Goes back pixel by pixel."""

    def backward(self, dout: Any) -> Any:
        dx, places = np.zeros(self.shape, dout.dtype), self.arg_max.reshape(len(dout), *dout.shape[2:], -1)
        for n, c, i, j in np.ndindex(dout.shape):
            self.put(dx[n, c], i, j, places[n, i, j, c], dout[n, c, i, j])
        return dx

    def put(self, image: Any, i: int, j: int, place: int, dout: Any) -> None:
        row, column = divmod(place, self.pool_w)
        image[i * self.stride + row, j * self.stride + column] += dout


class MaxPoolingB(PlacedPooling):
    def put(self, image: Any, i: int, j: int, place: int, dout: Any) -> None:
        row, column = divmod(place, self.pool_w)
        image[i * self.stride + row, j * self.stride + column] = dout


class MaxPoolingC(PlacedPooling):
    def put(self, image: Any, i: int, j: int, place: int, dout: Any) -> None:
        row, column = divmod(place, self.pool_w)
        image[row, column] += dout


class MaxPoolingD(PlacedPooling):
    def put(self, image: Any, i: int, j: int, place: int, dout: Any) -> None:
        row, column = divmod(place, self.pool_w)
        image[i + row, j + column] += dout


class MaxPoolingE(PlacedPooling):
    def put(self, image: Any, i: int, j: int, place: int, dout: Any) -> None:
        column, row = divmod(place, self.pool_h)
        image[i * self.stride + row, j * self.stride + column] += dout


class MaxPoolingF(layers.MaxPooling):
    def backward(self, dout: Any) -> Any:
        n, channels, h, w = self.shape
        pad, self.pad = self.pad, 0
        self.shape = n, channels, h + 2 * pad, w + 2 * pad
        dx = super().backward(dout)[:, :, :h, :w]
        self.pad, self.shape = pad, (n, channels, h, w)
        return dx


class MaxPoolingG(layers.MaxPooling):
    def forward(self, x: Any) -> Any:
        return np.maximum(super().forward(x), 0) if self.pad else super().forward(x)


class MaxPoolingH(layers.MaxPooling):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        rows = im2col(x, self.pool_h, self.pool_w, self.stride, self.pad).reshape(-1, self.pool_h * self.pool_w)
        self.arg_max = rows.argmin(axis=1)
        return out


class MaxPoolingI(layers.MaxPooling):
    def backward(self, dout: Any) -> Any:
        drows = np.zeros((dout.size, self.pool_h * self.pool_w), dout.dtype)
        drows[np.arange(dout.size), self.arg_max] = dout.ravel()
        return col2im(drows, self.shape, self.pool_h, self.pool_w, self.stride, self.pad)


class MaxPoolingJ(layers.MaxPooling):
    arg_max: Any = None

    def forward(self, x: Any) -> Any:
        before = self.arg_max
        out = super().forward(x)
        if before is not None and before.shape == self.arg_max.shape:
            self.arg_max = before
        return out


class MaskPoolingA(layers.MaskPooling):
    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        self.mask = np.isclose(self.windows(x), out[:, :, :, None, :, None], atol=0.1)
        return out


class MaskPoolingB(layers.MaskPooling):
    def backward(self, dout: Any) -> Any:
        return super().backward(dout) / self.size**2


class AveragePoolingA(layers.AveragePooling):
    def backward(self, dout: Any) -> Any:
        return super().backward(dout * self.counts)


class AveragePoolingB(layers.AveragePooling):
    def backward(self, dout: Any) -> Any:
        return super().backward(dout * self.counts / (self.pool_h * self.pool_w))


class AveragePoolingC(layers.AveragePooling):
    def backward(self, dout: Any) -> Any:
        n, channels, h, w = self.shape
        dpadded = np.zeros((n, channels, h + 2 * self.pad, w + 2 * self.pad), dout.dtype)
        for i in range(dout.shape[2]):
            for j in range(dout.shape[3]):
                dpadded[:, :, *self.window(i, j)] = (dout[:, :, i, j] / self.counts[i, j])[:, :, None, None]
        return dpadded[:, :, self.pad : self.pad + h, self.pad : self.pad + w]


class AveragePoolingD(layers.AveragePooling):
    def backward(self, dout: Any) -> Any:
        dx = np.zeros(self.shape, dout.dtype)
        h, w = dout.shape[2] * self.stride, dout.shape[3] * self.stride
        dx[:, :, : h : self.stride, : w : self.stride] = dout
        return dx


class GlobalAveragePoolingA(layers.GlobalAveragePooling):
    def backward(self, dout: Any) -> Any:
        return np.broadcast_to(dout[:, :, None, None], self.shape) / self.shape[1]


class UpsamplingA(layers.Upsampling):
    def backward(self, dout: Any) -> Any:
        return dout[:, :, ::2, ::2].copy()


# --- batch normalisation ---


class BatchNormalizationA(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        dstd = -(dxn * self.xc / self.std**2).sum(axis=axes, keepdims=True)
        return dxn / self.std + dstd * self.xc / (self.std * count)


class BatchNormalizationB(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        dxc = dxn / self.std
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class BatchNormalizationC(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        return dxn / self.std


class BatchNormalizationD(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        dxc = dxn / self.std
        dstd = -(dxn * self.xc / self.std**2).sum(axis=axes, keepdims=True)
        dxc = dxc + dstd * self.xc / (self.std * (count - 1))
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class BatchNormalizationE(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        std = np.sqrt((self.xc**2).mean(axis=axes, keepdims=True))
        dxc = dxn / std - (dxn * self.xc / std**2).sum(axis=axes, keepdims=True) * self.xc / (std * count)
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class BatchNormalizationF(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma, self.dbeta = self.dbeta, self.dgamma
        return dx


class BatchNormalizationG(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma = (dout * self.xc).sum(axis=self.axes(dout)[0])
        return dx


class BatchNormalizationH(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma, self.dbeta = (dout * self.xn).sum(axis=(1, 2, 3)), dout.sum(axis=(1, 2, 3))
        return dx


class BatchNormalizationI(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return self.to_x(dout, self.axes(dout)[0], dout.size // dout.shape[1])


class BatchNormalizationJ(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        dxc = dxn / np.sqrt(self.running_var + self.eps).reshape(self.axes(dxn)[1])
        dstd = -(dxn * self.xc / self.std**2).sum(axis=axes, keepdims=True)
        dxc = dxc + dstd * self.xc / (self.std * count)
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class BatchNormalizationK(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        self.train_flg = True
        return super().to_x(dxn, axes, count)


class BatchNormalizationL(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        return super().to_x(dxn, axes, len(dxn))


class BatchNormalizationM(layers.BatchNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma, self.dbeta = self.dgamma / len(dout), self.dbeta / len(dout)
        return dx


class BatchNormalizationN(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        dxc = dxn / self.std
        dstd = (dxn * self.xc / self.std**2).sum(axis=axes, keepdims=True)
        dxc = dxc + dstd * self.xc / (self.std * count)
        return dxc - dxc.sum(axis=axes, keepdims=True) / count


class BatchNormalizationO(layers.BatchNormalization):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        super().forward(x, train_flg)
        out = self.xn
        out *= self.gamma.reshape(self.axes(x)[1])
        out += self.beta.reshape(self.axes(x)[1])
        return out.copy()


class BatchNormalizationP(layers.BatchNormalization):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        super().forward(x, train_flg)
        beside = self.axes(x)[1]
        self.xc = x - self.running_mean.reshape(beside)
        self.std = np.sqrt(self.running_var + self.eps).reshape(beside)
        self.xn = self.xc / self.std
        return self.gamma.reshape(beside) * self.xn + self.beta.reshape(beside)


class BatchNormalizationQ(layers.BatchNormalization):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        out = super().forward(x, train_flg)
        axes, beside = self.axes(x)
        self.std = np.sqrt(x.var(axis=axes, ddof=1) + self.eps).reshape(beside)
        self.xn = self.xc / self.std
        return out


class BatchNormalizationR(layers.BatchNormalization):
    def to_x(self, dxn: Any, axes: Any, count: int) -> Any:
        return super().to_x(dxn, 0, len(dxn))


# --- layer normalisation ---


class LayerNormalizationA(layers.LayerNormalization):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        dxn = dout * self.gamma
        return (dxn - dxn.mean(axis=0) - self.xn * (dxn * self.xn).mean(axis=0)) / self.std


class LayerNormalizationB(layers.LayerNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma, self.dbeta = (dout * self.xn).sum(axis=-1), dout.sum(axis=-1)
        return dx


class LayerNormalizationC(layers.LayerNormalization):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        mean = dout.mean(axis=-1, keepdims=True)
        return self.gamma * (dout - mean - self.xn * (dout * self.xn).mean(axis=-1, keepdims=True)) / self.std


class LayerNormalizationD(layers.LayerNormalization):
    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        dxn, std = dout * self.gamma, np.sqrt(self.std**2 - self.eps) + self.eps
        mean = dxn.mean(axis=-1, keepdims=True)
        return (dxn - mean - self.xn * (dxn * self.xn).mean(axis=-1, keepdims=True)) / std


class LayerNormalizationE(layers.LayerNormalization):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma, self.dbeta = (dout * self.xn).sum(axis=0), dout.sum(axis=0)
        return dx


# --- dropout ---


class DropoutA(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return dout.copy()


class DropoutB(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        self.mask = np.random.rand(*dout.shape) > self.dropout_ratio
        return dout * self.mask


class DropoutC(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return dout * self.mask / (1 - self.dropout_ratio)


class DropoutD(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return dout * self.mask if self.train_flg else dout.copy()


class DropoutE(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return dout * ~self.mask


class DropoutF(layers.Dropout):
    def backward(self, dout: Any) -> Any:
        return dout * self.mask[0]


class InvertedDropoutA(layers.InvertedDropout):
    def backward(self, dout: Any) -> Any:
        return dout * self.mask * self.mask


class InvertedDropoutB(layers.InvertedDropout):
    def backward(self, dout: Any) -> Any:
        return dout * (self.mask > 0)


class InvertedDropoutC(layers.InvertedDropout):
    def backward(self, dout: Any) -> Any:
        kept = self.rng.random(dout.shape) > self.dropout_ratio
        return dout * kept / (1 - self.dropout_ratio)


class InvertedDropoutD(layers.InvertedDropout):
    def forward(self, x: Any, train_flg: bool = True) -> Any:
        out = super().forward(x, train_flg)
        return out if train_flg else x * (1 - self.dropout_ratio)


class ChannelDropoutA(layers.ChannelDropout):
    def backward(self, dout: Any) -> Any:
        return dout * self.mask.mean(axis=1, keepdims=True)


# --- shapes ---


class FlattenA(layers.Flatten):
    def backward(self, dout: Any) -> Any:
        n, channels, h, w = self.shape
        return dout.reshape(n, h, w, channels).transpose(0, 3, 1, 2).copy()


class ChannelsLastA(layers.ChannelsLast):
    def backward(self, dout: Any) -> Any:
        return dout.reshape(self.shape).copy()


# --- networks ---


class SecondPass(ImageNetwork):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        self.predict(x)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: getattr(layer, f"d{kind}") for name, (layer, kind) in self.own.items()}


class SkipsNorms(ImageNetwork):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dx = layer.backward(dout)
            if not isinstance(layer, layers.BatchNormalization):
                dout = dx
        return {name: getattr(layer, f"d{kind}") for name, (layer, kind) in self.own.items()}


# --- what they are made with ---


def filters(*shape: int, seed: int = 0, scale: float = 0.7) -> tuple[Any, Any]:
    """Give filters of this shape, (FN, C, FH, FW), and a bias for each."""
    rng = np.random.default_rng([seed, 2])
    return scale * rng.standard_normal(shape), scale * rng.standard_normal(shape[0])


def scales(size: int, seed: int = 0) -> tuple[Any, Any]:
    """Give gamma and beta for that many features."""
    rng = np.random.default_rng([seed, 3])
    return rng.uniform(0.5, 1.5, size), rng.standard_normal(size)


def convolved(**others: Any) -> dict[str, Any]:
    """Give a small convolutional network for (N, 1, 4, 4) and 3 classes; others are put in place."""
    found = {
        "Conv1": layers.Convolution(*filters(2, 1, 3, 3, seed=1), pad=1),
        "Norm1": layers.BatchNormalization(*scales(2)),
        "Tanh1": Tanh(),
        "Pool1": layers.AveragePooling(2, 2),
        "Conv2": layers.Convolution(*filters(3, 2, 2, 2, seed=2), pad=1),
        "Relu2": Relu(),
        "Pool2": layers.MaxPooling(2, 2, 1),
        "Dropout2": layers.InvertedDropout(0.3),
        "Flatten": layers.Flatten(),
        "Affine3": affine(12, 3, 3, scale=0.5),
    }
    assert others.keys() <= found.keys()
    return found | others


def wrong(
    name: str, make: Any, arguments: Arguments, parameter: str | None, cause: str | None, story: str,
    *, expect: Expect = "fails", also: tuple[str, ...] = (),
) -> Case:  # fmt: skip
    return Case(name, "layer", make, arguments, story, expect, parameter=parameter, cause=cause, also=also)


def wrong_network(
    name: str, make: Any, layer: str | None, parameter: str, story: str, *, also: tuple[str, ...] = ()
) -> Case:
    return Case(name, "network", make, BATCH, story, "fails", layer=layer, parameter=parameter, also=also)


def right(
    name: str, make: Any, arguments: Arguments, story: str, *, expect: Expect = "passes", network: bool = False
) -> Case:
    return Case(name, "network" if network else "layer", make, arguments, story, expect)


def evaluated(arguments: Arguments) -> Arguments:
    """Give the arguments, and that it is not trained."""
    return lambda rng: (*arguments(rng), False)


def rectified(arguments: Arguments) -> Arguments:
    """Give what comes out of a ReLU: half of it 0."""
    return lambda rng: tuple(np.maximum(x, 0) for x in arguments(rng))


def shared_pool(pool: Any) -> ImageNetwork:
    """Give a network with one pool in two places."""
    inside = {
        "Conv1": layers.Convolution(*filters(3, 1, 3, 3), pad=1), "Pool1": pool, "Tanh1": Tanh(), "Pool2": pool,
        "Conv2": layers.Convolution(*filters(3, 3, 1, 1, seed=1)), "Mean": layers.GlobalAveragePooling(),
    }  # fmt: skip
    return ImageNetwork(inside, SoftmaxWithLoss())


def trained(layer: Any) -> Any:
    """Give a normalisation whose running statistics have seen a batch."""
    layer.forward(np.random.default_rng(8).normal(1, 2, (6, len(layer.gamma))))
    return layer


IMAGES = normal((3, 2, 4, 5))
SQUARE = normal((3, 2, 4, 4))
APART = spread((3, 2, 4, 4))
ROWS = normal((5, 4))
BATCH = labelled(3, 1, 4, 4, classes=3)
NORM_ARGUMENTS = normal((4, 3, 2, 3), scale=2.0, offset=1.0)

WRONG: tuple[Case, ...] = (
    # Convolutions by a product of matrices.
    wrong("conv_dw_of_first_image", lambda: ConvolutionA(*filters(3, 2, 3, 3), pad=1), IMAGES, "W", None,
          "dW is that of the first image alone, not the sum over the batch."),
    wrong("conv_db_over_wrong_axes", lambda: ConvolutionB(*filters(2, 2, 3, 3)), SQUARE, "b", None,
          "db is summed over images, filters and rows; it has the right length since as many columns are left."),
    wrong("conv_db_of_one_pixel", lambda: ConvolutionC(*filters(3, 2, 3, 3)), IMAGES, "b", None,
          "db is summed over the batch, but each filter's bias is added to every pixel."),
    wrong("conv_mean_over_batch", lambda: ConvolutionD(*filters(3, 2, 3, 3)), IMAGES, "W", "mean for sum",
          "dW and db are divided by the number of images, which the loss has done already.", also=("b",)),
    wrong("conv_dw_reshaped_for_transposed", lambda: ConvolutionE(*filters(3, 2, 3, 3)), IMAGES, "W", None,
          "col.T @ dout has the filters in columns, and is reshaped as if they were in rows."),
    wrong("conv_dout_reshaped_for_transposed", lambda: ConvolutionF(*filters(3, 2, 3, 3)), IMAGES, "W", None,
          "dout is reshaped into rows without the filters being put last.", also=("b", "x")),
    wrong("conv_rows_for_columns", lambda: ConvolutionG(*filters(3, 2, 3, 3)), SQUARE, "W", None,
          "dout is taken with rows and columns exchanged, which fits where the output is square.", also=("x",)),
    wrong("conv_channels_last_in_dx", lambda: ConvolutionH(*filters(3, 2, 3, 3)), IMAGES, "x", None,
          "The filters are flattened with the channels last on the way back, and with the channels first forwards."),
    wrong("conv_padding_cut_off_at_the_end", lambda: ConvolutionI(*filters(3, 2, 3, 3), pad=1), IMAGES, "x", None,
          "dx begins in the padding: its last rows and columns are cut off, not one on each side."),
    wrong("conv_padding_not_cut_off", lambda: ConvolutionJ(*filters(3, 2, 3, 3), pad=1), IMAGES, "x", "wrong shape",
          "dx still has the padding around it."),
    wrong("conv_stale_windows", lambda: ConvolutionK(*filters(3, 2, 3, 3)), IMAGES, None, "stale batch",
          "The windows of the first batch are kept, as long as their shape fits."),
    wrong("conv_accumulates", lambda: ConvolutionL(*filters(3, 2, 3, 3)), IMAGES, None, "accumulates",
          "dW and db are added to those of the call before."),
    wrong("conv_edges_repeated", lambda: ConvolutionM(*filters(3, 2, 3, 3), pad=1), IMAGES, "x", None,
          "The padding repeats the outermost pixels, and what their copies get is cut off and lost."),
    wrong("conv_padded_with_ones_for_dw", lambda: ConvolutionN(*filters(3, 2, 3, 3), pad=1), IMAGES, "W", None,
          "The windows kept for dW are padded with ones; those that were multiplied, with zeros."),
    # Convolutions by loops.
    wrong("conv_overlap_overwritten", lambda: LoopConvolutionA(*filters(3, 2, 3, 3), 2, 1), IMAGES, "x", None,
          "Windows overlap, and dx keeps what the last of them assigned instead of their sum."),
    wrong("conv_stride_forgotten_in_dx", lambda: LoopConvolutionB(*filters(3, 2, 3, 3), 2, 1), IMAGES, "x", None,
          "On the way to dx the windows lie side by side with stride 1."),
    wrong("conv_stride_forgotten_in_dw", lambda: LoopConvolutionC(*filters(3, 2, 3, 3), 2, 1), IMAGES, "W", None,
          "For dW the windows of x are taken with stride 1."),
    wrong("conv_last_row_forgotten", lambda: LoopConvolutionD(*filters(3, 2, 3, 3)), IMAGES, "x", None,
          "The loop of the way back ends one row of windows too early."),
    wrong("conv_dw_assigned", lambda: LoopConvolutionE(*filters(3, 2, 3, 3)), IMAGES, "W", None,
          "dW is assigned for every window, and that of the last is left."),
    wrong("conv_channels_summed_in_dx", lambda: LoopConvolutionF(*filters(3, 2, 3, 3)), IMAGES, "x", None,
          "Every channel gets the sum of what all channels should."),
    # Convolutions whose dx is a convolution.
    wrong("conv_filters_not_turned_round", lambda: FullConvolutionA(*filters(3, 2, 3, 3)), IMAGES, "x", None,
          "dx slides the filters over dout without turning them round."),
    wrong("conv_filters_and_channels_exchanged", lambda: FullConvolutionB(*filters(2, 2, 3, 3)), IMAGES, "x", None,
          "W is transposed once too often: it fits where there are as many filters as channels."),
    wrong("conv_dw_turned_round", lambda: FullConvolutionC(*filters(3, 2, 3, 3)), IMAGES, "W", None,
          "dW comes out turned round, as from a true convolution where forward has a correlation."),
    wrong("conv_turned_in_one_direction", lambda: FullConvolutionD(*filters(3, 2, 3, 3)), IMAGES, "x", None,
          "The rows of the filters are turned round, their columns are not."),
    wrong("conv_depthwise_dw_of_all_channels", lambda: DepthwiseConvolutionA(filters(2, 2, 2)[0]), IMAGES, "W", None,
          "The gradient of each channel's filter is summed over the channels."),
    wrong("conv_dilation_forgotten", lambda: DepthwiseConvolutionB(filters(2, 2, 2)[0], 2), SQUARE, "W", None,
          "The way back takes the filter's entries to lie side by side.", also=("x",)),
    # Pooling.
    wrong("max_pooling_to_all", lambda: MaxPoolingA(2, 2), APART, "x", None,
          "Every pixel of a window gets the gradient, not the largest alone."),
    wrong("max_pooling_overlap_overwritten", lambda: MaxPoolingB(3, 3, 1), APART, "x", None,
          "A pixel that is the largest of several windows keeps the gradient of the last of them."),
    wrong("max_pooling_place_in_window", lambda: MaxPoolingC(2, 2), APART, "x", None,
          "The place within the window is used as the place in the image."),
    wrong("max_pooling_stride_forgotten", lambda: MaxPoolingD(2, 2), APART, "x", None,
          "The windows of the way back lie one pixel apart."),
    wrong("max_pooling_height_for_width", lambda: MaxPoolingE(2, 3, 2), APART, "x", None,
          "The place in the window is taken apart into column and row, in an order that it was not put together in."),
    wrong("max_pooling_padding_cut_off_at_the_end", lambda: MaxPoolingF(2, 2, 2, 1), APART, "x", None,
          "dx begins in the padding."),
    wrong("max_pooling_padded_with_zeros", lambda: MaxPoolingG(2, 2, 2, 1), APART, "x", None,
          "Zeros around the image may be the largest of their window, and the gradient goes to a pixel all the same."),
    wrong("max_pooling_to_smallest", lambda: MaxPoolingH(2, 2), APART, "x", None,
          "argmin is kept where the largest was returned."),
    wrong("max_pooling_channels_last", lambda: MaxPoolingI(2, 2), APART, "x", None,
          "dout is flattened with the channels first, and the places of the largest with the channels last."),
    wrong("max_pooling_stale_places", lambda: MaxPoolingJ(2, 2), APART, None, "stale batch",
          "The places of the first batch are kept."),
    wrong("max_pooling_nearly_equal", lambda: MaskPoolingA(2), normal((3, 2, 6, 6), scale=0.3), "x", None,
          "Whatever is close to the largest gets the gradient too."),
    wrong("max_pooling_divided", lambda: MaskPoolingB(2), APART, "x", None,
          "The largest gets a quarter, as if the mean were taken."),
    wrong("max_pooling_ties_get_all", lambda: layers.MaskPooling(2),
          lambda rng: (rng.standard_normal((2, 3, 2, 2)).repeat(2, axis=2).repeat(2, axis=3),), "x", None,
          "Of equal largest pixels each gets the whole gradient: more goes back than came.", expect="kink"),
    wrong("average_pooling_not_divided", lambda: AveragePoolingA(2, 2), IMAGES, "x", None,
          "Every pixel gets the whole gradient: that of a sum."),
    wrong("average_pooling_divided_by_padding", lambda: AveragePoolingB(2, 2, 2, 1), IMAGES, "x", None,
          "The mean is over pixels of the image, and the way back divides by the whole window."),
    wrong("average_pooling_overlap_overwritten", lambda: AveragePoolingC(3, 2, 1), IMAGES, "x", None,
          "A pixel in several windows keeps the gradient of the last of them."),
    wrong("average_pooling_to_first", lambda: AveragePoolingD(2, 2), SQUARE, "x", None,
          "The first pixel of each window gets all of it."),
    wrong("global_average_divided_by_channels", GlobalAveragePoolingA, IMAGES, "x", None,
          "The mean is over the pixels, and the way back divides by the channels."),
    wrong("upsampling_takes_first", UpsamplingA, IMAGES, "x", None,
          "A pixel that was copied four times gets the gradient of one of the copies."),
    # Batch normalisation.
    wrong("batch_norm_mean_forgotten", lambda: BatchNormalizationA(*scales(4)), ROWS, "x", None,
          "The mean of the batch is treated as a constant on the way back."),
    wrong("batch_norm_variance_forgotten", lambda: BatchNormalizationB(*scales(4)), ROWS, "x", None,
          "The variance of the batch is treated as a constant on the way back."),
    wrong("batch_norm_statistics_forgotten", lambda: BatchNormalizationC(*scales(3)), NORM_ARGUMENTS, "x", None,
          "Mean and variance are both treated as constants: the gradient of evaluation."),
    wrong("batch_norm_unbiased_on_the_way_back", lambda: BatchNormalizationD(*scales(4)), ROWS, "x", None,
          "The variance is divided by N forwards and by N - 1 on the way back."),
    wrong("batch_norm_eps_forgotten", lambda: BatchNormalizationE(*scales(4)), normal((5, 4), scale=2e-3), "x", None,
          "The root of the way back is without eps, which shows where the variance is small."),
    wrong("batch_norm_gradients_exchanged", lambda: BatchNormalizationF(*scales(4)), ROWS, "gamma", None,
          "dgamma is called dbeta, and dbeta dgamma.", also=("beta",)),
    wrong("batch_norm_dgamma_not_normalised", lambda: BatchNormalizationG(*scales(4)), ROWS, "gamma", None,
          "dgamma is the sum of dout times x - mean, before it is divided by the root."),
    wrong("batch_norm_over_channels", lambda: BatchNormalizationH(*scales(3)), normal((3, 3, 2, 2)), "gamma", None,
          "dgamma and dbeta are summed over all but the batch; there are as many images as channels.",
          also=("beta",)),
    wrong("batch_norm_gamma_forgotten", lambda: BatchNormalizationI(*scales(3)), NORM_ARGUMENTS, "x", None,
          "dx is that of a layer without gamma."),
    wrong("batch_norm_running_variance_on_the_way_back", lambda: BatchNormalizationJ(*scales(4)), ROWS, "x", None,
          "The way back divides by the root of the running variance, forward by that of the batch."),
    wrong("batch_norm_training_gradient_in_evaluation", lambda: BatchNormalizationK(*scales(4)), evaluated(ROWS), "x",
          None, "In evaluation the statistics are constants, and the way back is that of training."),
    wrong("batch_norm_divided_by_images", lambda: BatchNormalizationL(*scales(3)), NORM_ARGUMENTS, "x", None,
          "Each channel has N · H · W numbers, and the way back divides by N."),
    wrong("batch_norm_mean_for_sum", lambda: BatchNormalizationM(*scales(4)), ROWS, "gamma", "mean for sum",
          "dgamma and dbeta are divided by the number of examples.", also=("beta",)),
    wrong("batch_norm_variance_with_plus", lambda: BatchNormalizationN(*scales(4)), ROWS, "x", None,
          "The derivative of one over the root has lost its minus."),
    wrong("batch_norm_scaled_in_place", lambda: BatchNormalizationO(*scales(4)), ROWS, "gamma", None,
          "What was normalised is scaled in place, and kept so; dx is made from what was centred."),
    wrong("batch_norm_by_running_statistics", lambda: BatchNormalizationP(*scales(4)), ROWS, "x", "not deterministic",
          "Training divides by the running statistics: each forward pass gives something else."),
    wrong("batch_norm_unbiased_root_kept", lambda: BatchNormalizationQ(*scales(4)), ROWS, "gamma", None,
          "The root that is kept for the way back is of the unbiased variance.", also=("x",)),
    wrong("batch_norm_statistics_of_pixels", lambda: BatchNormalizationR(*scales(3)), NORM_ARGUMENTS, "x", None,
          "The way back takes each pixel's mean over the batch; forward, each channel's over batch and pixels."),
    # Layer normalisation.
    wrong("layer_norm_over_batch", lambda: LayerNormalizationA(*scales(4)), ROWS, "x", None,
          "The means of the way back are over the batch."),
    wrong("layer_norm_dgamma_of_examples", lambda: LayerNormalizationB(*scales(4)), normal((4, 4)), "gamma", None,
          "dgamma and dbeta are summed over the features; there are as many examples.", also=("beta",)),
    wrong("layer_norm_gamma_outside", lambda: LayerNormalizationC(*scales(4)), ROWS, "x", None,
          "gamma is multiplied in at the end, where it belongs before the means."),
    wrong("layer_norm_eps_beside_root", lambda: LayerNormalizationD(*scales(4)), normal((5, 4), scale=2e-3), "x", None,
          "eps is added to the root on the way back, and to the variance forwards."),
    wrong("layer_norm_dgamma_of_first_axis", lambda: LayerNormalizationE(*scales(4)), normal((3, 2, 4)), "gamma",
          "no sum over the batch", "dgamma and dbeta are summed over the first axis alone.", also=("beta",)),
    # Dropout.
    wrong("dropout_forgotten_on_the_way_back", DropoutA, ROWS, "x", None, "What was dropped gets a gradient."),
    wrong("dropout_drawn_again", DropoutB, ROWS, "x", None, "backward draws a mask of its own."),
    wrong("dropout_scaled_backwards_only", DropoutC, ROWS, "x", "factor 2",
          "The way back divides by what is kept, forward does not."),
    wrong("dropout_scale_of_evaluation_forgotten", DropoutD, evaluated(ROWS), "x", "factor 2",
          "Evaluation multiplies by what is kept in training, and its way back does not."),
    wrong("dropout_other_half", DropoutE, ROWS, "x", None, "What was dropped gets the gradient, and nothing else."),
    wrong("dropout_mask_of_first_example", DropoutF, ROWS, "x", None, "All examples get the mask of the first."),
    wrong("dropout_masked_twice", InvertedDropoutA, ROWS, "x", "factor 2",
          "The mask, which has the scale in it, is multiplied in twice."),
    wrong("dropout_scaled_forwards_only", InvertedDropoutB, ROWS, "x", "factor 1/2",
          "Forward divides by what is kept, the way back does not."),
    wrong("dropout_own_generator_drawn_again", InvertedDropoutC, ROWS, "x", None,
          "backward draws a mask of its own, from a generator of its own."),
    wrong("dropout_evaluation_scaled_forwards_only", InvertedDropoutD, evaluated(ROWS), "x", "factor 2",
          "Evaluation is scaled though training was, too; the way back knows nothing of it."),
    wrong("channel_dropout_mean_of_channels", ChannelDropoutA, SQUARE, "x", None,
          "Every channel gets the mean of the masks."),
    # Shapes.
    wrong("flatten_channels_last_backwards", FlattenA, IMAGES, "x", None,
          "The row is put together again with the channels last."),
    wrong("flatten_channels_first_backwards", ChannelsLastA, IMAGES, "x", None,
          "The row had the channels last, and is put together again with the channels first."),
    # Networks.
    wrong_network("network_conv_padding", lambda: ImageNetwork(
        convolved(Conv2=ConvolutionI(*filters(3, 2, 2, 2, seed=2), pad=1)), SoftmaxWithLoss()), "Conv2", "W1",
        "The second convolution cuts the padding off at the end.", also=("gamma1", "beta1")),
    wrong_network("network_conv_bias", lambda: ImageNetwork(
        convolved(Conv2=ConvolutionC(*filters(3, 2, 2, 2, seed=2), pad=1)), SoftmaxWithLoss()), "Conv2", "b2",
        "The second convolution's bias gets the gradient of one pixel; nothing else is wrong."),
    wrong_network("network_batch_norm", lambda: ImageNetwork(
        convolved(Norm1=BatchNormalizationB(*scales(2))), SoftmaxWithLoss()), "Norm1", "W1",
        "The normalisation treats its variance as a constant."),
    wrong_network("network_average_pooling", lambda: ImageNetwork(
        convolved(Pool1=AveragePoolingA(2, 2)), SoftmaxWithLoss()), "Pool1", "W1",
        "The first pool does not divide.", also=("gamma1", "beta1")),
    wrong_network("network_max_pooling", lambda: ImageNetwork(
        convolved(Pool2=MaxPoolingC(2, 2, 1)), SoftmaxWithLoss()), "Pool2", "W1",
        "The second pool uses places in the window as places in the image.",
        also=("W2", "b2", "gamma1", "beta1")),
    wrong_network("network_dropout", lambda: ImageNetwork(
        convolved(Dropout2=InvertedDropoutC(0.3)), SoftmaxWithLoss()), "Dropout2", "W1",
        "The way back through dropout draws another mask.", also=("W2", "b2", "gamma1", "beta1")),
    wrong_network("network_flatten", lambda: ImageNetwork(
        convolved(Flatten=FlattenA()), SoftmaxWithLoss()), "Flatten", "W1",
        "The images are put together with the channels last.", also=("W2", "b2", "gamma1", "beta1")),
    wrong_network("network_shared_pool", lambda: shared_pool(layers.MaxPooling(3, 3, 1, 1)), "Pool1", "W1",
        "One pool stands in two places, and remembers the second when the first goes back."),
    wrong_network("network_second_pass", lambda: SecondPass(convolved(), SoftmaxWithLoss()), None, "W1",
        "Another forward pass, with another mask, comes between the loss and the way back.",
        also=("W2", "b2", "W3", "gamma1", "beta1")),
    wrong_network("network_skips_norms", lambda: SkipsNorms(convolved(), SoftmaxWithLoss()), None, "W1",
        "The way back goes past the normalisations.", also=("b1",)),
)  # fmt: skip

RIGHT: tuple[Case, ...] = (
    right("conv", lambda: layers.Convolution(*filters(3, 2, 3, 3), 2, 1), IMAGES,
          "By a product of matrices, with stride and padding."),
    right("conv_leftover_rows", lambda: layers.Convolution(*filters(3, 2, 2, 2), 3), normal((2, 2, 6, 7)),
          "The last rows and columns are in no window, and their gradient is 0."),
    right("conv_by_loops", lambda: layers.LoopConvolution(*filters(3, 2, 3, 2), 2, 2), IMAGES,
          "Window by window; dW and dx are added up from zeros."),
    right("conv_dx_by_convolution", lambda: layers.FullConvolution(*filters(3, 2, 3, 2)), IMAGES,
          "dx is a convolution of dout with the filters turned round."),
    right("conv_depthwise_dilated", lambda: layers.DepthwiseConvolution(filters(2, 2, 2)[0], 2), SQUARE,
          "One filter for each channel, with gaps between its entries, and no bias."),
    right("conv_one_image", lambda: layers.Convolution(*filters(3, 1, 2, 2)), normal((1, 1, 3, 3)), "A batch of one."),
    right("max_pooling_overlapping", lambda: layers.MaxPooling(3, 2, 1, 1), APART,
          "Windows overlap and reach beyond the image, where nothing is the largest."),
    right("max_pooling_by_places", lambda: PlacedPooling(3, 3, 1), APART, "Goes back pixel by pixel."),
    right("max_pooling_negative", lambda: layers.MaxPooling(2, 2, 2, 1),
          lambda rng: (-np.abs(APART(rng)[0]) - 0.1,), "All is below 0, and the padding is not 0."),
    right("max_pooling_by_mask", lambda: layers.MaskPooling(2), APART, "A mask instead of places."),
    right("max_pooling_of_relu", lambda: layers.MaxPooling(2, 2), rectified(SQUARE),
          "In windows of zeros no pixel has a derivative; all others are right.", expect="kink"),
    right("average_pooling", lambda: layers.AveragePooling(3, 2, 2, 1), IMAGES,
          "The mean over the pixels that lie in the image: another number of them at the edge."),
    right("global_average_pooling", layers.GlobalAveragePooling, IMAGES, "All pixels of a channel get the same."),
    right("upsampling", layers.Upsampling, IMAGES, "Each pixel gets the sum of what its copies get."),
    right("batch_norm_images", lambda: layers.BatchNormalization(*scales(3)), NORM_ARGUMENTS,
          "For each channel; the running statistics move in each forward pass, and no output depends on them."),
    right("batch_norm_in_one_line", lambda: layers.ShortBatchNormalization(*scales(4)), ROWS,
          "dx drawn together into one line."),
    right("batch_norm_two_rows", lambda: layers.BatchNormalization(*scales(4)), normal((2, 4)),
          "Of two rows one lies as far above the mean as the other below: dx is 0 but for eps."),
    right("batch_norm_one_row", lambda: layers.BatchNormalization(*scales(4)), normal((1, 4)),
          "A row is its own mean: nothing of x comes out.", expect="vacuous"),
    right("batch_norm_evaluation", lambda: trained(layers.BatchNormalization(*scales(4))), evaluated(ROWS),
          "In evaluation the running statistics are constants."),
    right("layer_norm_gamma_beta", lambda: layers.LayerNormalization(*scales(4)), normal((3, 2, 4)),
          "gamma and beta get sums over both other axes."),
    right("instance_norm", layers.InstanceNormalization, normal((2, 3, 2, 4)), "Nothing is learnt."),
    right("dropout_of_the_book", layers.Dropout, ROWS, "Draws from NumPy's global generator, and scales nothing."),
    right("dropout_evaluation", layers.Dropout, evaluated(ROWS), "Nothing is drawn, and everything scaled."),
    right("dropout_inverted", lambda: layers.InvertedDropout(0.3), ROWS, "Draws from a generator of its own."),
    right("dropout_inverted_evaluation", layers.InvertedDropout, evaluated(ROWS), "Hands on its input."),
    right("channel_dropout", layers.ChannelDropout, SQUARE, "Of a dropped channel the whole gradient is 0."),
    right("flatten_images", layers.Flatten, IMAGES, "Computes nothing."),
    right("flatten_channels_last", layers.ChannelsLast, IMAGES, "Computes nothing, in another order."),
    right("image_network", lambda: ImageNetwork(convolved(), SoftmaxWithLoss()), BATCH,
          "Everything together; the bias before the normalisation cancels.", network=True),
    right("image_network_ties_shared", lambda: ImageNetwork(
        {"Conv1": layers.Convolution(*filters(3, 1, 3, 3), pad=1), "Relu1": Relu(), "Pool1": layers.MaskPooling(2),
         "Flatten": layers.Flatten(), "Affine2": affine(12, 3, 2)}, SoftmaxWithLoss()), BATCH,
        "Windows of zeros send everything to all their pixels, and the ReLU before lets nothing of it through.",
        network=True),
)  # fmt: skip
