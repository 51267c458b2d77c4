"""Images to the rows of a matrix and back: this turns a convolution into one matrix product.

A filter sees a window of the image. `im2col` writes each window as a row, so that ``im2col(x) @ W.reshape(FN, -1).T``
is the convolution. `col2im` adds the rows back to the places they came from, which is the gradient of `im2col`.

Source: "Deep Learning from Scratch" §7.4, ``common/util.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from chainrule._gate import FloatArray, count, floats, real

__all__ = ["col2im", "conv_output_size", "im2col"]


def conv_output_size(input_size: float, filter_size: float, stride: float = 1, pad: float = 0) -> float:
    """Give the height, or width, of the output of a convolution, before it is rounded down.

    ``(input_size + 2 pad - filter_size) / stride + 1``

    Parameters
    ----------
    input_size, filter_size : int
        Height, or width, of the image and of the filter.
    stride : int, default 1
        How far the filter moves from one place to the next, > 0.
    pad : int, default 0
        How many zeros are added on each side.

    Returns
    -------
    float
        Not a whole number if the last step does not fit: the layers round it down and ignore the rest of the image.

    Raises
    ------
    TypeError
        If an argument is not a number.
    ValueError
        If an argument is not finite, or `stride` is 0.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.2.4.

    Examples
    --------
    >>> conv_output_size(28, 5), conv_output_size(28, 3, stride=2, pad=1)
    (24.0, 14.5)
    """
    if real(stride, "stride") == 0:
        raise ValueError("stride must not be 0")
    whole = real(input_size, "input_size") + 2 * real(pad, "pad")
    return float((whole - real(filter_size, "filter_size")) / stride + 1)


def im2col(input_data: Any, filter_h: int, filter_w: int, stride: int = 1, pad: int = 0) -> FloatArray:
    """Write each window of the images as a row.

    ``col[(n, i, j), (c, y, x)] = image[n, c, i·stride + y - pad, j·stride + x - pad]``, 0 outside the image

    Parameters
    ----------
    input_data : array_like, shape (N, C, H, W)
        Images. Not written to.
    filter_h, filter_w : int
        Height and width of the window.
    stride : int, default 1
        How far the window moves from one place to the next.
    pad : int, default 0
        How many zeros are added on each side.

    Returns
    -------
    ndarray, shape (N·OH·OW, C·filter_h·filter_w)
        A new array; float32 for float32, float64 for float64 and whole numbers.
        ``OH = (H + 2 pad - filter_h) // stride + 1``, and OW likewise.

    Raises
    ------
    TypeError
        If `input_data` does not hold real numbers, or a size is not a whole number.
    ValueError
        If `input_data` does not have four axes, a size is out of range, or the window is larger than the padded image.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.4.3.

    Examples
    --------
    >>> im2col(np.arange(9.0).reshape(1, 1, 3, 3), 2, 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    images = floats(input_data, "input_data")
    filter_h, filter_w, stride, pad = _window(filter_h, filter_w, stride, pad)
    N, C, _, _, OH, OW = _sizes("input_data", images.shape, filter_h, filter_w, stride, pad)
    if pad:
        images = np.pad(images, [(0, 0), (0, 0), (pad, pad), (pad, pad)])
    windows = sliding_window_view(images, (filter_h, filter_w), axis=(2, 3))[:, :, ::stride, ::stride]
    col = windows.transpose(0, 2, 3, 1, 4, 5).reshape(N * OH * OW, C * filter_h * filter_w)
    return np.ascontiguousarray(col) if col.flags.writeable else col.copy()  # it is a view if each image is one window


def col2im(
    col: Any, input_shape: tuple[int, int, int, int], filter_h: int, filter_w: int, stride: int = 1, pad: int = 0
) -> FloatArray:
    """Add each row back to the place of its window: the gradient of `im2col`, not its inverse where windows overlap.

    ``image[n, c, i·stride + y - pad, j·stride + x - pad] += col[(n, i, j), (c, y, x)]``

    Parameters
    ----------
    col : array_like, shape (N·OH·OW, C·filter_h·filter_w)
        One row for each window. Not written to.
    input_shape : tuple of int
        The shape of the images, (N, C, H, W).
    filter_h, filter_w, stride, pad : int
        As for `im2col`.

    Returns
    -------
    ndarray, shape (N, C, H, W)
        A new array; float32 for float32, float64 for float64 and whole numbers.

    Raises
    ------
    TypeError
        If `col` does not hold real numbers, or a size is not a whole number.
    ValueError
        If `col` does not have the shape that `im2col` would give, or a size is out of range.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.4.4, ``common/util.py``.

    Examples
    --------
    >>> col2im(np.ones((4, 4)), (1, 1, 3, 3), 2, 2)[0, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    """
    rows = floats(col, "col")
    filter_h, filter_w, stride, pad = _window(filter_h, filter_w, stride, pad)
    N, C, H, W, OH, OW = _sizes("input_shape", input_shape, filter_h, filter_w, stride, pad)
    if rows.shape != (N * OH * OW, C * filter_h * filter_w):
        raise ValueError(
            f"col must have shape {(N * OH * OW, C * filter_h * filter_w)} for input_shape={tuple(input_shape)},"
            f" got col.shape={rows.shape}"
        )
    windows = rows.reshape(N, OH, OW, C, filter_h, filter_w).transpose(0, 3, 4, 5, 1, 2)
    images = np.zeros((N, C, H + 2 * pad, W + 2 * pad), rows.dtype)
    for y in range(filter_h):
        for x in range(filter_w):
            seen = images[:, :, y : y + stride * OH : stride, x : x + stride * OW : stride]
            seen += windows[:, :, y, x]
    return np.ascontiguousarray(images[:, :, pad : pad + H, pad : pad + W])


def _window(filter_h: Any, filter_w: Any, stride: Any, pad: Any) -> tuple[int, int, int, int]:
    """Give the sizes as Python integers, because products of NumPy's small integers overflow."""
    return count(filter_h, "filter_h"), count(filter_w, "filter_w"), count(stride, "stride"), count(pad, "pad", least=0)


def _sizes(name: str, shape: Any, filter_h: int, filter_w: int, stride: int, pad: int) -> tuple[int, ...]:
    """Give N, C, H, W, OH, OW; raise ValueError that names the size that is wrong."""
    if len(shape) != 4:
        raise ValueError(f"{name} must be of shape (N, C, H, W), got {tuple(shape)}")
    N, C, H, W = (count(size, name, least=0) for size in shape)
    for filter_size, size, what in ((filter_h, H, "filter_h"), (filter_w, W, "filter_w")):
        if filter_size > size + 2 * pad:
            raise ValueError(
                f"{what}={filter_size} is larger than the image, {size + 2 * pad} pixels with its padding"
                f" ({name} {tuple(shape)}, pad={pad})"
            )
    return N, C, H, W, (H + 2 * pad - filter_h) // stride + 1, (W + 2 * pad - filter_w) // stride + 1
