"""The book's layers: what they hold, what they do not write, what they refuse; gradients against differences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import chainrule
from chainrule import check_gradients
from chainrule.book.common import layers

Array = NDArray[Any]
r = np.random.default_rng(0)

IMAGES = (2, 2, 6, 5)


@pytest.fixture(autouse=True)
def the_same_numbers_in_whatever_order_tests_run() -> None:
    global r
    r = np.random.default_rng(0)
    np.random.seed(0)


def made() -> dict[str, tuple[Callable[[], Any], tuple[int, ...]]]:
    """Give each layer with a shape that it takes."""
    return {
        "Affine": (lambda: layers.Affine(r.normal(size=(6, 4)), r.normal(size=4)), (3, 2, 3)),
        "Convolution": (lambda: layers.Convolution(r.normal(size=(3, 2, 3, 2)), r.normal(size=3), 2, 1), IMAGES),
        "Pooling": (lambda: layers.Pooling(3, 2, 2, 1), IMAGES),
        "BatchNormalization": (lambda: layers.BatchNormalization(r.normal(size=4), r.normal(size=4)), (5, 4)),
        "BatchNormalization, images": (
            lambda: layers.BatchNormalization(r.normal(size=60), r.normal(size=60)),
            (4, *IMAGES[1:]),
        ),
        "Dropout": (lambda: layers.Dropout(0.3), (5, 4)),
        "Relu": (layers.Relu, (5, 4)),
        "Sigmoid": (layers.Sigmoid, (5, 4)),
    }


@pytest.mark.parametrize("name", [name for name in made() if name != "Dropout"])
def test_the_gradient_is_right(name: str) -> None:
    make, shape = made()[name]
    report = check_gradients(make(), r.normal(size=shape))
    assert report.ok, str(report)


def test_the_gradient_of_dropout_is_right_for_the_mask_it_drew() -> None:
    layer, dout = layers.Dropout(0.3), r.normal(size=(5, 4))
    out = layer.forward(np.ones((5, 4)))
    assert np.array_equal(layer.backward(dout), dout * out)


@pytest.mark.parametrize("name", made())
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_no_layer_writes_into_what_it_is_given(name: str, dtype: Any) -> None:
    make, shape = made()[name]
    layer, x = make(), r.normal(size=shape).astype(dtype)
    before = x.copy()
    out = layer.forward(x)
    dout = r.normal(size=out.shape)
    dout_before = dout.copy()
    dx = layer.backward(dout)
    assert np.array_equal(x, before)
    assert np.array_equal(dout, dout_before)
    assert not np.shares_memory(dx, dout)
    assert not np.shares_memory(out, x)
    assert dx.shape == x.shape


@pytest.mark.parametrize("name", made())
def test_backward_goes_by_dout(name: str) -> None:
    make, shape = made()[name]
    layer, x = make(), r.normal(size=shape)
    out = layer.forward(x)
    first, second = r.normal(size=out.shape), r.normal(size=out.shape)
    sum_of = layer.backward(first) + layer.backward(second)
    assert np.allclose(layer.backward(first + second), sum_of, rtol=1e-12, atol=1e-12)
    assert np.abs(sum_of).max() > 0


@pytest.mark.parametrize("name", made())
def test_backward_before_forward_is_named(name: str) -> None:
    with pytest.raises(RuntimeError, match=r"backward was called before"):
        made()[name][0]().backward(np.ones(3))


@pytest.mark.parametrize("name", made())
def test_a_dout_of_another_shape_is_named(name: str) -> None:
    make, shape = made()[name]
    layer = make()
    layer.forward(r.normal(size=shape))
    with pytest.raises(ValueError, match="dout must have the shape of the output"):
        layer.backward(np.ones((7, 7)))


# --- what is held ---


@pytest.mark.parametrize(
    ("make", "x"),
    [
        (lambda W: layers.Affine(W, np.zeros(3)), r.normal(size=(2, 4))),
        (lambda W: layers.Convolution(W, np.zeros(3)), r.normal(size=(2, 1, 3, 3))),
    ],
)
def test_what_is_assigned_to_W_is_bound(make: Any, x: Array) -> None:
    shape = (4, 3) if x.ndim == 2 else (3, 1, 2, 2)
    old, new = r.normal(size=shape), r.normal(size=shape)
    kept, layer = old.copy(), make(old)
    layer.forward(x)
    layer.W = new
    assert layer.W is new
    assert np.array_equal(old, kept)  # chainrule.Affine would have written into it
    b = r.normal(size=3)
    layer.b = b
    expected = make(new.copy()).forward(x) + b.reshape(-1, *[1] * (x.ndim - 2))
    assert np.allclose(layer.forward(x), expected, rtol=1e-14)
    new *= 2
    b *= 2
    assert np.allclose(layer.forward(x), 2 * expected, rtol=1e-14)


def test_chainrules_own_layer_copies_instead() -> None:
    old, new = np.zeros((2, 2)), np.ones((2, 2))
    layer = chainrule.Affine(old, np.zeros(2))
    layer.W = new
    assert layer.W is old


def test_half_precision_weights_are_kept_and_computed_with_in_float64() -> None:
    W, x = r.normal(size=(3, 2, 2, 2)).astype(np.float16), r.normal(size=IMAGES).astype(np.float16)
    layer = layers.Convolution(np.zeros((3, 2, 2, 2)), 0)
    layer.W = W
    out = layer.forward(x)
    wide = layers.Convolution(W.astype(np.float64), 0).forward(x.astype(np.float64))
    assert layer.W is W
    assert out.dtype == np.float64
    assert np.array_equal(out, wide)
    affine = layers.Affine(np.zeros((60, 2)), np.zeros(2))
    affine.W = r.normal(size=(60, 2)).astype(np.float16)
    assert affine.forward(x).dtype == np.float64


def test_float32_becomes_float64_as_in_the_book() -> None:
    x = r.normal(size=IMAGES).astype(np.float32)
    assert layers.im2col(x, 2, 2).dtype == np.float64
    assert layers.col2im(np.ones((20, 4), np.float32), (1, 1, 6, 5), 2, 2).dtype == np.float64
    assert layers.Pooling(2, 2).forward(x).dtype == np.float64
    assert layers.Convolution(np.ones((1, 2, 2, 2), np.float32), 0).forward(x).dtype == np.float64
    assert chainrule.im2col(x, 2, 2).dtype == np.float32
    assert chainrule.col2im(np.ones((20, 4), np.float32), (1, 1, 6, 5), 2, 2).dtype == np.float32


def test_a_convolution_shows_col_and_col_W() -> None:
    W, x = r.normal(size=(3, 2, 3, 2)), r.normal(size=IMAGES)
    layer = layers.Convolution(W, 0, 2, 1)
    assert (layer.x, layer.col, layer.col_W, layer.dW, layer.db) == (None,) * 5
    out = layer.forward(x)
    assert layer.col is not None
    assert layer.col_W is not None
    assert np.allclose((layer.col @ layer.col_W).reshape(2, 3, 3, 3).transpose(0, 3, 1, 2), out)


def test_rows_that_are_left_over_are_not_seen() -> None:
    x, W = r.normal(size=(1, 1, 7, 8)), r.normal(size=(1, 1, 2, 2))
    out = layers.Convolution(W, 0, 3).forward(x)
    assert out.shape == (1, 1, 2, 3)
    x[:, :, 5:] = 100
    assert np.array_equal(layers.Convolution(W, 0, 3).forward(x), out)


# --- pooling ---


def test_padding_of_a_pool_is_never_the_largest() -> None:
    layer = layers.Pooling(2, 2, 2, 1)
    out = layer.forward(-np.arange(1.0, 17).reshape(1, 1, 4, 4))
    assert out[0, 0].tolist() == [[-1, -2, -4], [-5, -6, -8], [-13, -14, -16]]
    dx = layer.backward(np.arange(1.0, 10).reshape(1, 1, 3, 3))
    assert dx.sum() == 45
    assert dx[0, 0, 0].tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize(
    ("arguments", "match"), [((2, 2, 2, 2), "pad must be smaller"), ((0, 2), "pool_h"), ((2, 2, 0), "stride")]
)
def test_a_pool_that_cannot_be_is_named(arguments: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        layers.Pooling(*arguments).forward(np.ones((1, 1, 4, 4)))


def test_images_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"W expects images of 2 channels"):
        layers.Convolution(np.ones((3, 2, 2, 2)), 0).forward(np.ones((1, 3, 4, 4)))
    with pytest.raises(ValueError, match="a window of 5 x 5 does not fit into an image of 4 x 4"):
        layers.Convolution(np.ones((3, 1, 5, 5)), 0).forward(np.ones((1, 1, 4, 4)))
    with pytest.raises(ValueError, match=r"b must have shape \(3,\)"):
        layers.Convolution(np.ones((3, 1, 2, 2)), np.ones(2)).forward(np.ones((1, 1, 4, 4)))
    with pytest.raises(ValueError, match="a window of 3 x 3 does not fit into an image of 2 x 2"):
        layers.Pooling(3, 3).forward(np.ones((1, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"x must be images, \(N, C, H, W\)"):
        layers.Pooling(3, 3).forward(np.ones((2, 2)))


# --- batch normalization ---


@pytest.mark.parametrize("shape", [(5,), (5, 4, 3)])
def test_batch_normalization_takes_two_axes_or_four(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x must have shape \(N, D\) or \(N, C, H, W\)"):
        layers.BatchNormalization(1.0, 0.0).forward(np.ones(shape))


def test_of_images_every_pixel_is_a_feature() -> None:
    layer = layers.BatchNormalization(np.ones(2), np.zeros(2))  # one for each channel, as chainrule's own
    with pytest.raises(ValueError, match="gamma"):
        layer.forward(r.normal(size=IMAGES))


def test_the_warning_before_any_training_is_given_once() -> None:
    layer = layers.BatchNormalization(np.ones(3), np.zeros(3))
    with pytest.warns(RuntimeWarning, match="before any training"):
        layer.forward(r.normal(size=(4, 3)), False)
    layer.forward(r.normal(size=(4, 3)), False)  # a warning would be an error


def test_there_is_no_warning_after_training_or_with_given_statistics() -> None:
    layer = layers.BatchNormalization(np.ones(3), np.zeros(3))
    layer.forward(r.normal(size=(4, 3)))
    layer.forward(r.normal(size=(4, 3)), False)
    given = layers.BatchNormalization(np.ones(3), np.zeros(3), 0.9, np.zeros(3), np.ones(3))
    assert np.allclose(given.forward(np.ones((2, 3)), False), 1, atol=1e-5)


def test_statistics_that_were_given_are_not_written() -> None:
    mean, variance = np.zeros(3), np.ones(3)
    layer = layers.BatchNormalization(np.ones(3), np.zeros(3), 0.5, mean, variance)
    x = r.normal(size=(4, 3))
    layer.forward(x)
    assert (mean.tolist(), variance.tolist()) == ([0] * 3, [1] * 3)
    assert np.allclose(layer.running_mean, 0.5 * x.mean(axis=0))
    assert np.allclose(layer.running_var, 0.5 + 0.5 * x.var(axis=0))


def test_an_evaluation_between_forward_and_backward_changes_nothing() -> None:
    x, dout = r.normal(size=(4, 3)), r.normal(size=(4, 3))
    layer = layers.BatchNormalization(r.normal(size=3), np.zeros(3))
    layer.forward(x)
    expected = layer.backward(dout)
    layer.forward(r.normal(size=(7, 3)), False)
    assert np.array_equal(layer.backward(dout), expected)


def test_it_shows_what_the_books_shows() -> None:
    x = r.normal(size=(4, 3))
    layer = layers.BatchNormalization(np.ones(3), np.zeros(3))
    assert (layer.xc, layer.xn, layer.std, layer.batch_size) == (None,) * 4
    out = layer.forward(x)
    for shown, expected in ((layer.xn, out), (layer.xc, x - x.mean(axis=0)), (layer.std, x.std(axis=0))):
        assert shown is not None
        assert np.allclose(shown, expected, rtol=1e-5)
    assert (layer.batch_size, layer.input_shape) == (4, (4, 3))


def test_that_a_batch_of_one_proves_nothing_is_said_once() -> None:
    code = (
        "import numpy as np; from chainrule.book import BatchNormalization as B\n"
        "for _ in range(2): print(B(2.0, 3.0).forward(np.array([[7.0]]))[0, 0])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "3.0\n3.0\n"
    (line,) = done.stderr.splitlines()
    assert "a batch of one has variance 0" in line


# --- dropout ---


def test_dropout_backward_after_evaluation_only_is_named() -> None:
    layer = layers.Dropout()
    layer.forward(np.ones(3), False)
    with pytest.raises(RuntimeError, match="there is no mask yet"):
        layer.backward(np.ones(3))


@pytest.mark.parametrize("ratio", [-0.1, 1.5, float("nan")])
def test_a_ratio_out_of_range_is_named(ratio: float) -> None:
    with pytest.raises(ValueError, match="dropout_ratio"):
        layers.Dropout(ratio)


def test_evaluation_draws_nothing() -> None:
    np.random.seed(0)
    layers.Dropout().forward(np.ones(5), False)
    drawn = np.random.rand()
    np.random.seed(0)
    assert drawn == np.random.rand()


# --- the loss ---


def test_the_loss_is_exact_and_takes_columns_of_ids() -> None:
    layer = layers.SoftmaxWithLoss()
    assert layer.forward(np.array([[1000.0, 0.0]]), np.array([1])) == 1000
    x, t = r.normal(size=(4, 3)), np.array([0, 2, 1, 1])
    assert layer.forward(x, t[:, None]) == layer.forward(x, t)
    assert np.array_equal(layer.backward(2.0), 2 * layer.backward())


def test_the_function_on_probabilities_keeps_the_books_value() -> None:
    y, t = np.array([[0.25, 0.75]]), np.array([0])
    assert layers.cross_entropy_error(y, t) == -np.log(0.25 + 1e-7)
