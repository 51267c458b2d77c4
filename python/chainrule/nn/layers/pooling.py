"""The layers that make an image smaller: the book's §7.4.4, and ``Pooling`` of its ``common/layers.py``."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count
from chainrule.nn.layers.convolution import places_of
from chainrule.nn.layers.kernel import KernelLayer


class _Window(KernelLayer):
    """What both have: a window, and no parameters."""

    def __init__(self, pool_h: int, pool_w: int, stride: int = 2, pad: int = 0) -> None:
        self.pool_h, self.pool_w = count(pool_h, "pool_h"), count(pool_w, "pool_w")
        self.stride, self.pad = count(stride, "stride"), count(pad, "pad", least=0)
        if pad >= min(pool_h, pool_w):
            raise ValueError(
                f"pad must be smaller than the window, or it would lie wholly in the padding; got pad={pad!r} for a"
                f" window of {pool_h} x {pool_w}"
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
    """``out = max(x)`` of what is under a window, moved over each channel of an image.

    Backwards, dL/dx: dout goes to the largest, and if several are, to the first of them, row after row; where windows
    overlap, what comes is added up. `x` has shape (N, C, H, W), or (C, H, W) for one image, the output (N, C, OH, OW)
    or (C, OH, OW), with OH = 1 + (H + 2 pad - pool_h) / stride, rounded down. What lies in the padding is never the
    largest: it counts as minus infinity.

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
        Which pixel of its channel was the largest, counted row after row.

    Raises
    ------
    TypeError
        If a size is no whole number.
    ValueError
        If one is too small, or `pad` not smaller than the window.

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
        """Where the largest numbers were; None before the first ``forward``."""
        if self._pass is None:
            return None
        _, (_, places), _, shape = self._pass
        return places.astype(np.int64).reshape(shape)


class AveragePooling(_Window):
    """``out = mean(x)`` of what is under a window, moved over each channel of an image.

    Backwards, dL/dx: each pixel under it gets its share of dout, dout divided by how many they are. Shapes, parameters
    and errors are those of `Pooling`; padding is not counted.

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
        As `Pooling`.

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
