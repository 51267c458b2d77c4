"""The layers that make an image smaller: the book's §7.4.4, and ``Pooling`` in its ``common/layers.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count
from chainrule.nn.layers.convolution import places_of
from chainrule.nn.layers.kernel import KernelLayer


class _Window(KernelLayer):
    """What both kinds of pooling share: a window, and no parameters."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w = count(pool_h, "pool_h"), count(pool_w, "pool_w")
        self.stride, self.pad = count(stride, "stride"), count(pad, "pad", least=0)
        if pad >= min(pool_h, pool_w):
            raise ValueError(
                f"pad must be smaller than the window, or a window could lie entirely in the padding; got pad={pad!r}"
                f" for a window of {pool_h} x {pool_w}"
            )
        self._begin()

    def forward(self, x: Any) -> FloatArray:
        return self._run(x)

    def _one(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 3

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        if len(shape) != 3:
            raise ValueError(f"x must be images, (N, C, H, W) or one without N, got images of shape {shape}")
        window = self.pool_h, self.pool_w
        places = places_of(shape, window, self.stride, self.pad)
        return (*shape, *window, self.stride, self.pad), (), (shape[0], *places)


class Pooling(_Window):
    """``out = max(x)`` over a window that moves across each channel of an image.

    Backward pass, dL/dx: dout goes to the largest pixel of the window; if several tie, to the first of them in row
    order. Where windows overlap, the gradients add up. `x` has shape (N, C, H, W), or (C, H, W) for one image; the
    output has shape (N, C, OH, OW) or (C, OH, OW), with OH = 1 + (H + 2 pad - pool_h) / stride, rounded down. The
    padding is never the largest: it counts as minus infinity.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of the window.
    stride : int, default 2
        Pixels from one window to the next.
    pad : int, default 0
        Pixels of padding on each side; smaller than the window.

    Attributes
    ----------
    x : ndarray
        The last input.
    arg_max : ndarray of int64, shape (N, C, OH, OW)
        The index, within its channel and in row order, of the largest pixel of each window.

    Raises
    ------
    TypeError
        If a size is not a whole number.
    ValueError
        If a size is too small, or `pad` is not smaller than the window.

    Examples
    --------
    >>> pool = Pooling(2, 2)
    >>> pool.forward([[[[1.0, 2.0, 0.0, 7.0], [4.0, 3.0, 5.0, 6.0]]]])
    array([[[[4., 7.]]]])
    >>> pool.backward([[[[10.0, 20.0]]]])
    array([[[[ 0.,  0.,  0., 20.],
             [10.,  0.,  0.,  0.]]]])
    """

    kernel = "max_pooling"

    @property
    def arg_max(self) -> Any:
        """Where the largest pixels were; None before the first ``forward``."""
        if self._pass is None:
            return None
        _, (_, places), _, shape = self._pass
        return places.astype(np.int64).reshape(shape)


class AveragePooling(_Window):
    """``out = mean(x)`` over a window that moves across each channel of an image.

    Backward pass, dL/dx: each pixel in the window gets an equal share of dout, which is dout divided by the number of
    these pixels. Shapes, parameters and errors are those of `Pooling`. Padding is not counted.

    Parameters
    ----------
    pool_h, pool_w : int
        Height and width of the window.
    stride : int, default 2
        Pixels from one window to the next.
    pad : int, default 0
        Pixels of padding on each side; smaller than the window.

    Attributes
    ----------
    x : ndarray
        The last input.

    Raises
    ------
    TypeError, ValueError
        As for `Pooling`.

    Examples
    --------
    >>> pool = AveragePooling(2, 2)
    >>> pool.forward([[[[1.0, 2.0], [4.0, 5.0]]]])
    array([[[[3.]]]])
    >>> pool.backward([[[[8.0]]]])
    array([[[[2., 2.],
             [2., 2.]]]])
    """

    kernel = "average_pooling"
