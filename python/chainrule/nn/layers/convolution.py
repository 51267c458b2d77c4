"""The layer whose weights are filters: the book's §7.4.3, and ``Convolution`` in its ``common/layers.py``."""

from __future__ import annotations

from typing import Any

from chainrule._gate import FloatArray, count, parameter
from chainrule._gate import shape as addressable
from chainrule.nn.layers.kernel import KernelLayer, held, hold


class Convolution(KernelLayer):
    """``out = W * x + b``: each filter moves over the image, and is multiplied with the pixels it covers and summed.

    out[n, f, y, x] = Σ W[f, c, i, j] · x[n, c, y·stride + i - pad, x·stride + j - pad] + b[f], over c, i and j.
    Backward pass: dL/db[f] is the sum of dout over n, y and x; dL/dW[f, c, i, j] is the sum of dout times the pixel
    under that weight; dL/dx of a pixel is the sum of dout times the weight over it. `x` has shape (N, C, H, W), or
    (C, H, W) for one image; the output has shape (N, FN, OH, OW) or (FN, OH, OW), with
    OH = 1 + (H + 2 pad - FH) / stride, rounded down. `pad` rows and columns of zeros surround the image. Rows and
    columns left over at the end are ignored. Everything is computed in the dtype of `W`.

    Parameters
    ----------
    W : ndarray, shape (FN, C, FH, FW)
        Filters. Held, not copied; ``layer.W = other`` copies into the held array, as in `Affine`.
    b : ndarray, shape (FN,)
        Biases, held in the same way.
    stride : int, default 1
        Pixels from one place of a filter to the next.
    pad : int, default 0
        Pixels of zeros on each side.

    Attributes
    ----------
    x : ndarray
        The last input.
    dW, db : ndarray
        Gradients of `W` and `b`, in their shapes. Each ``backward`` makes new arrays.

    Raises
    ------
    TypeError
        If `W` or `b` does not hold real numbers, or `stride` or `pad` is not a whole number.
    ValueError
        If a shape does not fit, `stride` is below 1 or `pad` below 0.

    Examples
    --------
    >>> import numpy as np
    >>> edges = Convolution(np.array([[[[1.0, -1.0]]]]), np.zeros(1))
    >>> edges.forward([[[[0.0, 5.0, 5.0, 0.0]]]])
    array([[[[-5.,  0.,  5.]]]])
    >>> edges.backward([[[[1.0, 2.0, 4.0]]]])
    array([[[[ 1.,  1.,  2., -4.]]]])
    >>> edges.dW, edges.db
    (array([[[[30., 15.]]]]), array([7.]))
    """

    kernel = "convolution"
    learnt = ("W", "b")

    W = held("W", "The filters, shape (FN, C, FH, FW)")
    b = held("b", "The biases, shape (FN,)")
    dW: Any
    db: Any

    def __init__(self, W: Any, b: Any, stride: int = 1, pad: int = 0) -> None:
        W = hold(self, "W", W, axes="FN, C, FH, FW")
        if 0 in W.shape[2:]:
            raise ValueError(f"W must have shape (FN, C, FH, FW) with FH and FW above 0, got W.shape={W.shape}")
        b = parameter(b, "b", W.dtype)
        if b.shape != W.shape[:1]:
            raise ValueError(f"b must have shape {W.shape[:1]} to fit W, got b.shape={b.shape}")
        hold(self, "b", b)
        self.stride, self.pad = count(stride, "stride"), count(pad, "pad", least=0)
        self._begin()

    def forward(self, x: Any) -> FloatArray:
        return self._run(x)

    def _one(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        filters, channels, *window = self.W.shape
        if len(shape) != 3 or shape[0] != channels:
            raise ValueError(
                f"W expects images of {channels} channels, (N, {channels}, H, W) or one without N, got images of shape"
                f" {shape} (W.shape={self.W.shape})"
            )
        places = places_of(shape, window, self.stride, self.pad)
        addressable("the output", filters, *places, dtype=self.W.dtype)
        return (filters, *shape, *window, self.stride, self.pad), (), (filters, *places)


def places_of(shape: tuple[int, ...], window: Any, stride: int, pad: int) -> tuple[int, ...]:
    """Give the number of places for a window, down and across, on an image of `shape` (C, H, W).

    Raises
    ------
    ValueError
        If the window does not fit even once.
    """
    for size, length in zip(shape[1:], window, strict=True):
        if size + 2 * pad < length:
            height, width = window
            raise ValueError(
                f"a window of {height} x {width} does not fit into an image of {shape[1]} x {shape[2]} with"
                f" {pad} pixels of padding on each side"
            )
    return tuple(1 + (size + 2 * pad - length) // stride for size, length in zip(shape[1:], window, strict=True))
