"""images.py: windows as rows and back, each the adjoint of the other; sizes that cannot be are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import col2im, conv_output_size, im2col

CASES = [
    ((2, 3, 7, 7), 3, 3, 2, 1),
    ((1, 2, 8, 6), 3, 2, 1, 0),
    ((2, 2, 4, 4), 4, 4, 1, 0),
    ((1, 2, 7, 7), 2, 2, 3, 0),
    ((3, 1, 5, 6), 5, 3, 1, 2),
    ((0, 2, 4, 4), 2, 2, 1, 0),
]


@pytest.mark.parametrize(("shape", "FH", "FW", "stride", "pad"), CASES)
def test_each_row_is_a_window(shape: Any, FH: int, FW: int, stride: int, pad: int) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    N, C, H, W = shape
    padded = np.zeros((N, C, H + 2 * pad, W + 2 * pad))
    padded[:, :, pad : pad + H, pad : pad + W] = x
    OH, OW = 1 + (H + 2 * pad - FH) // stride, 1 + (W + 2 * pad - FW) // stride
    rows = [
        padded[n, :, i * stride : i * stride + FH, j * stride : j * stride + FW].ravel()
        for n in range(N)
        for i in range(OH)
        for j in range(OW)
    ]
    col = im2col(x, FH, FW, stride, pad)
    assert np.array_equal(col, np.array(rows).reshape(-1, C * FH * FW))
    assert col.flags.writeable
    assert not np.shares_memory(col, x)


@pytest.mark.parametrize(("shape", "FH", "FW", "stride", "pad"), CASES)
def test_col2im_is_the_adjoint_of_im2col(shape: Any, FH: int, FW: int, stride: int, pad: int) -> None:
    r = np.random.default_rng(0)
    x = r.normal(size=shape)
    col = im2col(x, FH, FW, stride, pad)
    c = r.normal(size=col.shape)
    before = c.copy()
    images = col2im(c, shape, FH, FW, stride, pad)
    assert images.shape == shape
    assert np.vdot(col, c) == pytest.approx(np.vdot(x, images), rel=1e-12, abs=1e-15)
    assert np.array_equal(c, before)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(np.float32, np.float32), (np.float64, np.float64), (np.uint8, np.float64), (np.float16, np.float32)],
)
def test_the_dtype_is_kept(given: Any, kept: Any) -> None:
    x = np.ones((1, 1, 3, 3), given)
    assert im2col(x, 2, 2).dtype == kept
    assert col2im(np.ones((4, 4), given), (1, 1, 3, 3), 2, 2).dtype == kept


def any_of(value: object) -> Any:
    """Give `value` to whom a type checker would not."""
    return value


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (
            lambda: im2col(np.ones((3, 3)), 2, 2),
            ValueError,
            r"input_data must be of shape \(N, C, H, W\), got \(3, 3\)",
        ),
        (lambda: im2col(np.ones((1, 1, 3, 3)), 4, 2), ValueError, "filter_h=4 is larger than the image, 3 pixels"),
        (
            lambda: im2col(np.ones((1, 1, 3, 3)), 2, 6, pad=1),
            ValueError,
            "filter_w=6 is larger than the image, 5 pixels",
        ),
        (lambda: im2col(np.ones((1, 1, 3, 3)), 2, 2, stride=0), ValueError, "stride"),
        (lambda: im2col(np.ones((1, 1, 3, 3)), 2, 2, pad=-1), ValueError, "pad"),
        (lambda: im2col(np.ones((1, 1, 3, 3)), any_of(2.5), 2), TypeError, "filter_h must be a whole number"),
        (lambda: im2col("images", 2, 2), TypeError, "input_data must be an array of numbers"),
        (lambda: col2im(np.ones((4, 5)), (1, 1, 3, 3), 2, 2), ValueError, r"col must have shape \(4, 4\)"),
        (lambda: col2im(np.ones((4, 4)), any_of((1, 3, 3)), 2, 2), ValueError, "input_shape must be of shape"),
        (lambda: conv_output_size(28, 5, 0), ValueError, "stride must not be 0"),
        (lambda: conv_output_size(any_of("28"), 5), TypeError, "input_size must be a number"),
    ],
)
def test_what_cannot_be_is_named(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
