"""The book's ``common/util.py``: `chainrule`'s functions, but always in float64, and ``np`` for star imports."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, floats
from chainrule.data.shuffling import shuffle_dataset
from chainrule.nn import images
from chainrule.nn.images import conv_output_size
from chainrule.training.smoothing import smooth_curve

__all__ = ["col2im", "conv_output_size", "im2col", "np", "shuffle_dataset", "smooth_curve"]

_FLOAT64 = np.dtype(np.float64)


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> FloatArray:
    """Write each window of the images as a row, as `chainrule.im2col` does, in float64.

    Parameters
    ----------
    input_data : array_like, shape (N, C, H, W)
        Images.
    filter_h, filter_w : int
        Height and width of the window.
    stride : int, default 1
        How far the window moves from one place to the next.
    pad : int, default 0
        How many zeros are added on each side.

    Returns
    -------
    ndarray of float64, shape (N·OH·OW, C·filter_h·filter_w)
        A new array. ``OH = (H + 2 pad - filter_h) // stride + 1``.

    Raises
    ------
    TypeError, ValueError
        As for `chainrule.im2col`.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.4.3, ``common/util.py``.

    Examples
    --------
    >>> im2col(np.ones((1, 1, 3, 3), np.float32), 2, 2).dtype
    dtype('float64')
    """
    return images.im2col(floats(input_data, "input_data", _FLOAT64), filter_h, filter_w, stride, pad)


def col2im(
    col: Any, input_shape: tuple[int, int, int, int], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> FloatArray:
    """Add each row back to the place of its window, as `chainrule.col2im` does, in float64.

    Parameters
    ----------
    col : array_like, shape (N·OH·OW, C·filter_h·filter_w)
        One row for each window.
    input_shape : tuple of int
        The shape of the images, (N, C, H, W).
    filter_h, filter_w, stride, pad : int
        As for `im2col`.

    Returns
    -------
    ndarray of float64, shape (N, C, H, W)
        A new array.

    Raises
    ------
    TypeError, ValueError
        As for `chainrule.col2im`.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.4.4, ``common/util.py``.

    Examples
    --------
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2).sum()
    np.float64(16.0)
    """
    return images.col2im(floats(col, "col", _FLOAT64), input_shape, filter_h, filter_w, stride, pad)
