"""layers/ against the tutorial's layers, numeric differences and formulas written again; `dout` is never ones."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import seed_reference as seed
from chainrule.nn.functions import softmax
from chainrule.nn.gradients import numerical_gradient
from chainrule.nn.layers import (
    Affine,
    BatchNormalization,
    Convolution,
    Identity,
    LayerNormalization,
    LeakyRelu,
    Pooling,
    Relu,
    Rescaling,
    Sigmoid,
    Tanh,
)
from chainrule.nn.losses import SoftmaxWithLoss

# Row D3 of the fault list: float64 within 1e-12 relative of NumPy; the absolute part is for sums that cancel.
F64: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-13}
# Sums of up to 24 products of numbers near 1 in float32: 24 ε = 3e-6, with the cancelled ones absolute.
F32: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5}
# Central differences with h = 1e-4: h²/6·f''' is about 1e-9, the rounding ε·f/h about 1e-11.
NUMERIC: dict[str, Any] = {"rtol": 1e-6, "atol": 1e-7}

SHAPES = [(5,), (4, 5), (3, 2, 2, 6)]
DTYPES = [np.float64, np.float32]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def normal(*shape: int, number: int = 0, dtype: Any = np.float64) -> Any:
    return rng(number).normal(size=shape).astype(dtype)


def features(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape if len(shape) == 1 else shape[1:]))


def affine(D: int, M: int = 3, dtype: Any = np.float64) -> Affine:
    return Affine(normal(D, M, number=1, dtype=dtype), normal(M, number=2, dtype=dtype))


ELEMENTWISE: dict[str, Any] = {
    "Relu": Relu,
    "LeakyRelu": LeakyRelu,
    "Sigmoid": Sigmoid,
    "Tanh": Tanh,
    "Rescaling": Rescaling,
    "Identity": Identity,
}
KINDS = [*ELEMENTWISE, "Affine"]


def known_layer(kind: str, D: int) -> Any:
    return affine(D) if kind == "Affine" else ELEMENTWISE[kind]()


def project(layer: Any, x: Any, dout: Any) -> float:
    """Give the sum of ``dout * forward(x)``, whose gradient is what ``backward(dout)`` must give."""
    return float(np.sum(dout * layer.forward(x)))


# --- all of them, by differences ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_dx_is_the_numeric_gradient(kind: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    layer = known_layer(kind, features(shape))
    dout = normal(*layer.forward(x).shape, number=9)
    dx = layer.backward(dout)
    np.testing.assert_allclose(dx, numerical_gradient(lambda v: project(layer, v, dout), x), **NUMERIC)


@pytest.mark.parametrize("kind", KINDS)
def test_backward_before_forward_says_so(kind: str) -> None:
    with pytest.raises(RuntimeError, match=rf"{kind}\.backward was called before {kind}\.forward"):
        known_layer(kind, 5).backward(normal(4, 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(4, 2), (3, 5), (5,), (), (1, 4, 5)])
def test_dout_of_another_shape_is_refused_with_both_shapes(kind: str, shape: tuple[int, ...]) -> None:
    layer = known_layer(kind, 5)
    out = layer.forward(normal(4, 5))
    with pytest.raises(ValueError) as error:
        layer.backward(normal(*shape))
    assert str(out.shape) in str(error.value)
    assert str(shape) in str(error.value)


@pytest.mark.parametrize("kind", KINDS)
def test_a11_an_empty_batch_goes_forward_and_back(kind: str) -> None:
    layer = known_layer(kind, 5)
    out = layer.forward(np.zeros((0, 5)))
    assert out.shape == (0, 3 if kind == "Affine" else 5)
    assert layer.backward(out).shape == (0, 5)


@pytest.mark.fault("A15")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a15_arguments_are_not_written(kind: str, shape: tuple[int, ...]) -> None:
    x = normal(*shape)
    layer = known_layer(kind, features(shape))
    dout = normal(*layer.forward(x).shape, number=9)
    before = x.tobytes() + dout.tobytes()
    layer.backward(dout)
    assert x.tobytes() + dout.tobytes() == before


@pytest.mark.fault("A15")
@pytest.mark.parametrize("kind", KINDS)
def test_a15_one_array_as_x_and_dout_is_as_if_copied(kind: str) -> None:
    x = normal(3, 3)
    layer, twin = known_layer(kind, 3), known_layer(kind, 3)
    layer.forward(x)
    twin.forward(x.copy())
    np.testing.assert_array_equal(layer.backward(x), twin.backward(x.copy()))


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_a15_the_output_as_dout_is_as_if_copied(kind: str) -> None:
    layer = known_layer(kind, 3)
    out = layer.forward(normal(4, 3))
    kept = out.copy()
    dx = layer.backward(out)
    np.testing.assert_array_equal(dx, layer.backward(kept))
    np.testing.assert_array_equal(out, kept)


@pytest.mark.fault("A16")
@pytest.mark.parametrize("kind", KINDS)
def test_a16_outputs_share_no_memory_with_arguments_or_each_other(kind: str) -> None:
    layer, x = known_layer(kind, 3), np.abs(normal(4, 3))  # all positive: where a Relu could hand x on
    dout = normal(4, 3)
    made = [layer.forward(x), layer.forward(x), layer.backward(dout), layer.backward(dout)]
    for i, array in enumerate(made):
        assert not any(np.shares_memory(array, other) for other in [x, dout, *made[:i]])


@pytest.mark.fault("A16")
@pytest.mark.parametrize("kind", KINDS)
def test_a16_editing_an_output_does_not_change_a_later_backward(kind: str) -> None:
    layer, dout = known_layer(kind, 3), normal(4, 3, number=9)
    out = layer.forward(normal(4, 3))
    first = layer.backward(dout)
    kept = first.copy()
    out[...] = first[...] = 77
    np.testing.assert_array_equal(layer.backward(dout), kept)


IMAGES: dict[str, Any] = {
    "Convolution": lambda: Convolution(normal(2, 3, 2, 2, number=1), normal(2, number=2)),
    "Pooling": lambda: Pooling(2, 2),
    "BatchNormalization": lambda: BatchNormalization(normal(3, number=1), normal(3, number=2)),
    "LayerNormalization": lambda: LayerNormalization(normal(48, number=1), normal(48, number=2)),
}


@pytest.mark.fault("A18")
@pytest.mark.parametrize("handed_over", [np.asarray, memoryview, lambda x: x[::-1][::-1]])
@pytest.mark.parametrize("kind", [*KINDS, *IMAGES])
def test_a18_editing_x_between_forward_and_backward_changes_no_gradient(kind: str, handed_over: Any) -> None:
    x = normal(5, 3, 4, 4) if kind in IMAGES else normal(5, 3)
    layer = IMAGES[kind]() if kind in IMAGES else known_layer(kind, 3)
    dout = normal(*layer.forward(handed_over(x)).shape, number=9)
    names = [name for name in ("dW", "db", "dgamma", "dbeta") if hasattr(layer, name)]
    expected = [layer.backward(dout), *(getattr(layer, name) for name in names)]
    x[...] = 77
    for found, before in zip([layer.backward(dout), *(getattr(layer, name) for name in names)], expected, strict=True):
        np.testing.assert_array_equal(found, before)


@pytest.mark.fault("T11")
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", KINDS)
def test_t11_a_layer_copied_between_forward_and_backward_goes_on_alike(kind: str, how: str) -> None:
    layer, x, dout = known_layer(kind, 3), normal(4, 3), normal(4, 3, number=9)
    layer.backward(layer.forward(x))  # so that there is something of every kind to copy
    out = layer.forward(x)
    twin = copy.deepcopy(layer) if how == "deepcopy" else pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(twin.backward(dout), layer.backward(dout))
    np.testing.assert_array_equal(twin.forward(x), out)


@pytest.mark.parametrize("kind", KINDS)
def test_a10_a_read_only_input_is_accepted(kind: str) -> None:
    x = np.frombuffer(normal(4, 3).tobytes()).reshape(4, 3)
    layer = known_layer(kind, 3)
    np.testing.assert_array_equal(layer.backward(layer.forward(x)).shape, (4, 3))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("x", [None, "abc", {}, [[1.0], [1.0, 2.0]], np.ones((2, 3)) * 1j])
def test_a3_a7_what_is_no_array_of_numbers_is_a_type_error(kind: str, x: Any) -> None:
    with pytest.raises(TypeError, match=r"^x "):
        known_layer(kind, 3).forward(x)


@pytest.mark.parametrize("kind", KINDS)
def test_a14_a_masked_dout_is_a_type_error(kind: str) -> None:
    layer = known_layer(kind, 3)
    out = layer.forward(normal(4, 3))
    with pytest.raises(TypeError, match="dout is a masked array"):
        layer.backward(np.ma.masked_array(out))


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3, 4)])
def test_a12_an_elementwise_layer_takes_and_gives_any_shape(kind: str, shape: tuple[int, ...]) -> None:
    layer = known_layer(kind, 1)
    out = layer.forward(normal(*shape))
    assert type(out) is np.ndarray
    assert out.shape == shape
    dx = layer.backward(normal(*shape, number=9))
    assert type(dx) is np.ndarray
    assert dx.shape == shape


@pytest.mark.parametrize("kind", ELEMENTWISE)
@pytest.mark.parametrize(
    ("given", "computed"),
    [
        (np.float64, np.float64),
        (np.float32, np.float32),
        (np.float16, np.float32),
        (ml_dtypes.bfloat16, np.float32),
        (">f4", np.float32),
        (">f8", np.float64),
        (np.uint8, np.float64),
        (np.int64, np.float64),
        (np.bool_, np.float64),
    ],
)
def test_a4_a5_a8_an_elementwise_layer_computes_in_the_dtype_of_its_input(kind: str, given: Any, computed: Any) -> None:
    layer, twin, x = known_layer(kind, 5), known_layer(kind, 5), (normal(4, 5) > 0).astype(given)
    out = layer.forward(x)
    np.testing.assert_array_equal(out, twin.forward(x.astype(computed)), strict=True)
    assert out.dtype == computed
    assert layer.backward(np.ones((4, 5), given)).dtype == computed


@pytest.mark.parametrize("kind", KINDS)
def test_a9_a_layer_takes_layouts_as_it_takes_a_copy(kind: str) -> None:
    x, dout = normal(6, 10)[::-2, ::2], np.asfortranarray(normal(3, 3 if kind == "Affine" else 5, number=9))
    layer, twin = known_layer(kind, 5), known_layer(kind, 5)
    np.testing.assert_array_equal(layer.forward(x), twin.forward(x.copy()), strict=True)
    np.testing.assert_array_equal(layer.backward(dout), twin.backward(dout.copy(order="C")), strict=True)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_backward_of_an_elementwise_layer_is_of_the_last_forward(kind: str) -> None:
    layer, twin, dout = known_layer(kind, 5), known_layer(kind, 5), normal(4, 5, number=9)
    layer.forward(normal(7, 5, number=3))
    layer.forward(normal(4, 5))
    twin.forward(normal(4, 5))
    np.testing.assert_array_equal(layer.backward(dout), twin.backward(dout))


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_a_refused_x_leaves_the_last_forward_of_an_elementwise_layer(kind: str) -> None:
    layer, dout = known_layer(kind, 5), normal(4, 5, number=9)
    layer.forward(normal(4, 5))
    dx = layer.backward(dout)
    with pytest.raises(TypeError):
        layer.forward("x")
    np.testing.assert_array_equal(layer.backward(dout), dx)


# --- Relu ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_relu_is_the_tutorials_bit_for_bit(shape: tuple[int, ...], dtype: Any) -> None:
    x, dout = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype)
    ours, theirs = Relu(), seed.Relu()
    np.testing.assert_array_equal(ours.forward(x), theirs.forward(x), strict=True)
    np.testing.assert_array_equal(ours.backward(dout), theirs.backward(dout.copy()), strict=True)


def test_relu_mask_is_where_x_is_at_most_0() -> None:
    relu = Relu()
    assert relu.mask is None
    relu.forward([-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(relu.mask, np.array([True, True, False]), strict=True)


def test_relu_has_no_slope_at_0() -> None:
    relu = Relu()
    relu.forward([0.0, -0.0])
    assert relu.backward([3.0, 5.0]).tolist() == [0, 0]


@pytest.mark.fault("A13")
def test_a13_relu_of_nan_is_nan_and_of_the_infinities_inf_and_0() -> None:
    np.testing.assert_array_equal(Relu().forward([np.nan, np.inf, -np.inf]), [np.nan, np.inf, 0])


def test_a13_relu_keeps_subnormals() -> None:
    assert Relu().forward([5e-324, -5e-324]).tolist() == [5e-324, 0]


def test_relu_backward_gives_0_where_the_gradient_is_nan_but_the_unit_was_off() -> None:
    relu = Relu()
    relu.forward([-1.0, 1.0])
    np.testing.assert_array_equal(relu.backward([np.nan, np.nan]), [0, np.nan])


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda a: a[:, ::-1], lambda a: np.repeat(a, 2, axis=0)[::2]])
def test_relu_goes_back_by_a_mask_of_any_layout_and_signs_no_zero(layout: Any) -> None:
    # A teacher may set the mask; and a gradient below 0 that is masked is 0, not -0.
    relu, dout = Relu(), normal(7, 5, number=9)
    relu.forward(normal(7, 5))
    for mask in (layout(relu.mask), layout(relu.mask).astype(int)):
        relu.mask = mask
        dx = relu.backward(dout)
        np.testing.assert_array_equal(dx, np.where(mask, 0, dout), strict=True)
        assert not np.signbit(dx[mask != 0]).any()


def test_relu_of_one_number_goes_back() -> None:
    relu = Relu()
    relu.forward(2.0)
    assert relu.backward(3.0) == 3
    relu.forward(-2.0)
    assert relu.backward(3.0).shape == ()


# --- Sigmoid ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_sigmoid_is_the_tutorials(shape: tuple[int, ...], dtype: Any) -> None:
    x, dout = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype)
    ours, theirs = Sigmoid(), seed.Sigmoid()
    close = F64 if dtype is np.float64 else F32
    np.testing.assert_allclose(ours.forward(x), theirs.forward(x), strict=True, **close)
    np.testing.assert_allclose(ours.backward(dout), theirs.backward(dout), strict=True, **close)


def test_sigmoid_out_is_the_last_output() -> None:
    layer = Sigmoid()
    assert layer.out is None
    out = layer.forward([0.0, 1.0])
    np.testing.assert_array_equal(layer.out, out)


def test_sigmoid_at_the_ends_is_quiet_and_flat() -> None:
    layer = Sigmoid()
    assert layer.forward([-np.inf, -1000.0, 1000.0, np.inf]).tolist() == [0, 0, 1, 1]
    assert layer.backward([1.0, 2.0, 3.0, 4.0]).tolist() == [0, 0, 0, 0]


# --- Tanh ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_tanh_is_numpys_and_its_slope_that_of_cosh(shape: tuple[int, ...], dtype: Any) -> None:
    x, dout, layer = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype), Tanh()
    close = F64 if dtype is np.float64 else F32
    np.testing.assert_array_equal(layer.forward(x), np.tanh(x), strict=True)
    np.testing.assert_allclose(layer.backward(dout), dout / np.cosh(x) ** 2, strict=True, **close)


def test_tanh_out_is_the_last_output() -> None:
    layer = Tanh()
    assert layer.out is None
    out = layer.forward([0.0, 1.0])
    np.testing.assert_array_equal(layer.out, out)


def test_tanh_at_the_ends_is_quiet_and_flat() -> None:
    layer = Tanh()
    assert layer.forward([-np.inf, -1000.0, 0.0, 1000.0, np.inf]).tolist() == [-1, -1, 0, 1, 1]
    assert layer.backward([1.0, 2.0, 3.0, 4.0, 5.0]).tolist() == [0, 0, 3, 0, 0]


def test_a13_tanh_of_nan_is_nan_and_keeps_subnormals() -> None:
    np.testing.assert_array_equal(Tanh().forward([np.nan, 5e-324, -5e-324]), [np.nan, 5e-324, -5e-324])


# --- LeakyRelu ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("slope", [0.01, 0.25, 1, 3.0])
def test_leaky_relu_is_x_above_0_and_a_share_of_it_below(slope: float, shape: tuple[int, ...], dtype: Any) -> None:
    x, dout, layer = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype), LeakyRelu(slope)
    slopes = np.where(x > 0, dtype(1), dtype(slope))
    np.testing.assert_array_equal(layer.forward(x), slopes * x, strict=True)
    np.testing.assert_array_equal(layer.backward(dout), slopes * dout, strict=True)


def test_leaky_relu_gives_literally() -> None:
    layer = LeakyRelu(0.5)
    assert layer.mask is None
    assert layer.forward([-2.0, 0.0, -0.0, 4.0]).tolist() == [-1, 0, 0, 4]
    np.testing.assert_array_equal(layer.mask, np.array([True, True, True, False]), strict=True)
    assert layer.backward([2.0, 4.0, 6.0, 8.0]).tolist() == [1, 2, 3, 8]


def test_leaky_relu_leaks_a_hundredth_unless_told() -> None:
    assert LeakyRelu().slope == 0.01
    assert LeakyRelu().forward([-1.0]).tolist() == [-0.01]


def test_a13_leaky_relu_of_nan_is_nan_and_of_the_infinities_they_themselves() -> None:
    layer = LeakyRelu(0.5)
    np.testing.assert_array_equal(layer.forward([np.nan, np.inf, -np.inf]), [np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(layer.backward([2.0, np.nan, np.nan]), [2, np.nan, np.nan])


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (True, TypeError),
        ("0.1", TypeError),
        (None, TypeError),
        (0.1j, TypeError),
    ],
)
def test_s3_the_slope_must_be_a_finite_number_above_0(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^slope must be "):
        LeakyRelu(bad)


# --- Identity ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_identity_is_the_tutorials_forward_and_back(shape: tuple[int, ...], dtype: Any) -> None:
    x, dout, layer = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype), Identity()
    np.testing.assert_array_equal(layer.forward(x), seed.identity_function(x), strict=True)
    np.testing.assert_array_equal(layer.backward(dout), dout, strict=True)


def test_a13_identity_keeps_every_bit() -> None:
    x, layer = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]), Identity()
    assert layer.forward(x).tobytes() == x.tobytes()
    assert layer.backward(x).tobytes() == x.tobytes()


# --- Rescaling ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1 / 255, 2.0, -3, 0])
def test_rescaling_multiplies(scale: float, shape: tuple[int, ...], dtype: Any) -> None:
    x, dout, layer = normal(*shape, dtype=dtype), normal(*shape, number=9, dtype=dtype), Rescaling(scale)
    np.testing.assert_array_equal(layer.forward(x), dtype(scale) * x, strict=True)
    np.testing.assert_array_equal(layer.backward(dout), dtype(scale) * dout, strict=True)


def test_rescaling_makes_shares_of_bytes_unless_told() -> None:
    layer = Rescaling()
    assert layer.scale == 1 / 255
    bytes_ = np.arange(256, dtype=np.uint8)
    # A product with 1/255, itself rounded, where NumPy divides: two roundings of numbers up to 1.
    np.testing.assert_allclose(layer.forward(bytes_), bytes_ / 255, rtol=4e-16, strict=True)
    assert layer.forward(bytes_)[[0, 255]].tolist() == [0, 1]


def test_a13_rescaling_of_nan_and_the_infinities() -> None:
    np.testing.assert_array_equal(Rescaling(-2).forward([np.nan, np.inf, -np.inf]), [np.nan, -np.inf, np.inf])


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (np.nan, ValueError),
        (np.inf, ValueError),
        (-np.inf, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("2", TypeError),
        (None, TypeError),
        (1j, TypeError),
        ([1.0, 2.0], TypeError),
    ],
)
def test_s3_the_scale_must_be_a_finite_number(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^scale must be "):
        Rescaling(bad)


# --- what a slope does to a gradient, in all that have one ---


def saturated(kind: Any) -> Any:
    """Give a layer whose slope is exactly 0 at the first of two numbers."""
    layer = kind()
    layer.forward([1000.0, 0.0])
    return layer


@pytest.mark.parametrize(("kind", "slope"), [(Sigmoid, 0.25), (Tanh, 1.0)])
@pytest.mark.parametrize("dout", [np.nan, np.inf, -np.inf, 1e308])
def test_a13_where_the_slope_is_0_nothing_passes_not_even_nan_or_infinity(dout: float, kind: Any, slope: float) -> None:
    # Warnings are errors here: 0 · inf must not be told as one.
    np.testing.assert_array_equal(saturated(kind).backward([dout, dout]), [0, dout * slope], strict=True)


@pytest.mark.parametrize("dout", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_rescaling_by_0_lets_nothing_pass_in_the_dtype_it_was_given(dtype: Any, dout: float) -> None:
    layer = Rescaling(0)
    layer.forward(np.ones(2, dtype))
    np.testing.assert_array_equal(layer.backward(np.array([dout, 1], dtype)), np.zeros(2, dtype), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_a_gradient_that_overflows_is_infinite_without_a_warning(dtype: Any) -> None:
    large = np.finfo(dtype).max
    for layer in (Rescaling(4), LeakyRelu(4)):
        layer.forward(np.array([-1, -1], dtype))
        np.testing.assert_array_equal(layer.backward([large, -large]), np.array([np.inf, -np.inf], dtype), strict=True)


# --- Affine ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 2, 6), (2, 3, 4)])
def test_affine_is_the_tutorials(shape: tuple[int, ...], dtype: Any) -> None:
    x, ours = normal(*shape, dtype=dtype), affine(features(shape), dtype=dtype)
    theirs, close = seed.Affine(ours.W, ours.b), F64 if dtype is np.float64 else F32
    np.testing.assert_allclose(ours.forward(x), theirs.forward(x), strict=True, **close)
    dout = normal(shape[0], 3, number=9, dtype=dtype)
    np.testing.assert_allclose(ours.backward(dout), theirs.backward(dout), strict=True, **close)
    np.testing.assert_allclose(ours.dW, theirs.dW, strict=True, **close)
    np.testing.assert_allclose(ours.db, theirs.db, strict=True, **close)


@pytest.mark.parametrize("shape", SHAPES)
def test_affine_dW_and_db_are_the_numeric_gradients(shape: tuple[int, ...]) -> None:
    x, layer = normal(*shape), affine(features(shape))
    dout = normal(*layer.forward(x).shape, number=9)
    layer.backward(dout)
    for gradient, array in ((layer.dW, layer.W), (layer.db, layer.b)):
        numeric = numerical_gradient(lambda _: project(layer, x, dout), array)
        np.testing.assert_allclose(gradient, numeric, **NUMERIC)


def test_a12_one_1d_example_gives_what_a_batch_of_one_gives() -> None:
    x, one, batch = normal(5), affine(5), affine(5)
    out = one.forward(x)
    np.testing.assert_array_equal(out, batch.forward(x[None])[0], strict=True)
    dout = normal(3, number=9)
    np.testing.assert_array_equal(one.backward(dout), batch.backward(dout[None])[0], strict=True)
    np.testing.assert_array_equal(one.dW, batch.dW)
    np.testing.assert_array_equal(one.db, batch.db)


def test_affine_gives_literally() -> None:
    layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]))
    assert layer.forward([[1.0, 1.0], [0.0, -1.0]]).tolist() == [[14, 26], [7, 16]]
    assert layer.backward([[1.0, 0.0], [2.0, -1.0]]).tolist() == [[1, 3], [0, 2]]
    assert layer.dW.tolist() == [[1, 0], [-1, 1]]
    assert layer.db.tolist() == [3, -1]


def test_affine_keeps_x_flat_and_the_shape_it_came_in() -> None:
    layer = affine(24)
    layer.forward(normal(3, 2, 2, 6))
    assert layer.x.shape == (3, 24)
    assert layer.original_x_shape == (3, 2, 2, 6)


def test_a11_an_empty_batch_has_zero_gradients() -> None:
    layer = affine(5)
    layer.backward(layer.forward(np.zeros((0, 5))))
    np.testing.assert_array_equal(layer.dW, np.zeros((5, 3)), strict=True)
    np.testing.assert_array_equal(layer.db, np.zeros(3), strict=True)


def test_a1_wrong_feature_count_names_W() -> None:
    with pytest.raises(ValueError) as error:
        affine(784, 50).forward(np.zeros((100, 700)))
    assert str(error.value) == "x has 700 features, W expects 784 (x.shape=(100, 700), W.shape=(784, 50))"


def test_a12_a_single_number_is_refused() -> None:
    with pytest.raises(ValueError, match="x must have an axis of features"):
        affine(1).forward(3.0)


def test_a_refused_x_leaves_the_last_forward_in_place() -> None:
    layer, dout = affine(5), normal(4, 3, number=9)
    layer.forward(normal(4, 5))
    dx = layer.backward(dout)
    with pytest.raises(ValueError):
        layer.forward(normal(4, 6))
    np.testing.assert_array_equal(layer.backward(dout), dx)


def test_a_refused_dout_leaves_dW_and_db_in_place() -> None:
    layer = affine(5)
    layer.backward(layer.forward(normal(4, 5)))
    dW, db = layer.dW, layer.db
    with pytest.raises(ValueError):
        layer.backward(normal(4, 2))
    assert layer.dW is dW
    assert layer.db is db


@pytest.mark.fault("A6")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given", [np.float64, np.float32, np.float16, ">f4", np.uint8, np.int64, np.bool_])
def test_a4_a5_a6_a8_the_dtype_of_the_parameters_decides(given: Any, dtype: Any) -> None:
    x, layer = (normal(4, 5) > 0).astype(given), affine(5, dtype=dtype)
    out = layer.forward(x)
    dx = layer.backward(np.ones((4, 3), given))
    assert {a.dtype for a in (out, dx, layer.dW, layer.db)} == {np.dtype(dtype)}
    np.testing.assert_array_equal(out, affine(5, dtype=dtype).forward(x.astype(dtype)))


@pytest.mark.fault("A5")
def test_a5_bfloat16_is_accepted() -> None:
    x = normal(4, 5).astype(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(affine(5).forward(x), affine(5).forward(x.astype(np.float64)))


def test_a9_layouts_of_x_and_dout_give_the_numbers_of_a_copy() -> None:
    x, dout = normal(8, 10)[::-2, ::2], np.asfortranarray(normal(4, 3, number=9))
    layer, twin = affine(5), affine(5)
    np.testing.assert_array_equal(layer.forward(x), twin.forward(x.copy()))
    np.testing.assert_array_equal(layer.backward(dout), twin.backward(dout.copy(order="C")))
    np.testing.assert_array_equal(layer.dW, twin.dW)


def test_a9_a_broadcast_dout_of_zero_strides_is_accepted() -> None:
    layer, twin, row = affine(5), affine(5), normal(3, number=9)
    layer.forward(normal(4, 5))
    twin.forward(normal(4, 5))
    dout = np.broadcast_to(row, (4, 3))
    np.testing.assert_array_equal(layer.backward(dout), twin.backward(dout.copy()))


def test_affine_holds_the_arrays_it_is_given() -> None:
    W, b = normal(5, 3), normal(3)
    layer = Affine(W, b)
    assert layer.W is W
    assert layer.b is b


@pytest.mark.parametrize(
    "W", [normal(5, 3), np.asfortranarray(normal(5, 3)), normal(10, 3)[::2], normal(5, 3)[:, ::-1]]
)
def test_an_in_place_update_of_W_by_the_caller_is_seen(W: Any) -> None:
    x, layer = normal(4, 5), Affine(W, np.zeros(3))
    layer.forward(x)
    W *= 2
    np.testing.assert_allclose(layer.forward(x), x @ W, **F64)
    np.testing.assert_allclose(layer.backward(np.eye(4, 3)), np.eye(4, 3) @ W.T, **F64)


def test_an_in_place_update_of_b_by_the_caller_is_seen() -> None:
    b = np.zeros(3)
    layer = Affine(np.zeros((5, 3)), b)
    b += [1, 2, 3]
    assert layer.forward(normal(5)).tolist() == [1, 2, 3]


def test_a17_assigning_W_and_b_copies_into_the_held_arrays() -> None:
    W, b, other = normal(5, 3), normal(3), normal(5, 3, number=7)
    layer = Affine(W, b)
    layer.W, layer.b = other, [4, 5, 6]
    assert layer.W is W
    np.testing.assert_array_equal(W, other)
    assert b.tolist() == [4, 5, 6]
    assert not np.shares_memory(layer.W, other)


def test_a17_assigning_its_own_transpose_to_W_is_as_if_copied() -> None:
    layer = affine(3)
    expected = layer.W.T.copy()
    layer.W = layer.W.T
    np.testing.assert_array_equal(layer.W, expected)


def test_a17_W_keeps_its_dtype_on_assignment() -> None:
    layer = affine(5, dtype=np.float32)
    layer.W = np.full((5, 3), 0.1)
    np.testing.assert_array_equal(layer.W, np.full((5, 3), 0.1, np.float32), strict=True)


@pytest.mark.parametrize("value", [np.zeros((3, 5)), np.zeros(3), 0.0])
def test_a17_assigning_another_shape_to_W_is_refused_and_nothing_written(value: Any) -> None:
    layer = affine(5)
    before = layer.W.tobytes()
    with pytest.raises(ValueError, match=r"W has shape \(5, 3\), got a value of shape"):
        layer.W = value
    assert layer.W.tobytes() == before


def test_parameters_that_are_no_float_arrays_are_converted_and_held() -> None:
    layer = Affine([[1, 2], [3, 4]], [0, 1])
    assert layer.W.dtype == layer.b.dtype == np.float64
    assert layer.forward([1, 1]).tolist() == [4, 7]


def test_b_of_another_dtype_is_copied_to_that_of_W() -> None:
    layer = Affine(np.ones((2, 2), np.float32), np.ones(2))
    assert layer.b.dtype == np.float32


@pytest.mark.parametrize(("W", "b"), [((3,), (3,)), ((5, 3), (5,)), ((5, 3), (1, 3)), ((5, 3), ()), ((2, 5, 3), (3,))])
def test_W_must_be_2d_and_b_must_fit(W: tuple[int, ...], b: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shape .*got .\.shape="):
        Affine(np.zeros(W), np.zeros(b))


@pytest.mark.parametrize("W", [None, "W", np.zeros((5, 3), complex), np.ma.zeros((5, 3))])
def test_a3_a7_a14_W_that_is_no_array_of_real_numbers_is_a_type_error(W: Any) -> None:
    with pytest.raises(TypeError, match=r"^W "):
        Affine(W, np.zeros(3))


def test_backward_uses_the_x_of_the_last_forward() -> None:
    layer, dout = affine(5), normal(4, 3, number=9)
    layer.forward(normal(7, 5, number=3))
    layer.forward(normal(4, 5))
    layer.backward(dout)
    np.testing.assert_allclose(layer.dW, normal(4, 5).T @ dout, **F64)


def test_backward_parameters_leaves_the_gradients_of_backward() -> None:
    layer, twin, dout = affine(5), affine(5), normal(4, 3, number=9)
    layer.forward(normal(4, 5))
    twin.forward(normal(4, 5))
    layer.backward_parameters(dout)
    twin.backward(dout)
    np.testing.assert_array_equal(layer.dW, twin.dW)
    np.testing.assert_array_equal(layer.db, twin.db)


def test_a13_an_infinite_weight_gives_numpys_nan_for_0_times_inf() -> None:
    layer = Affine(np.array([[np.inf], [1.0]]), np.zeros(1))
    np.testing.assert_array_equal(layer.forward([[1.0, 1.0], [np.nan, 1.0]]), [[np.inf], [np.nan]])


STORED = [np.uint8, np.float32, np.float64]


def pixels(N: int, D: int, kind: str, stored: Any) -> Any:
    """Give numbers of 0-255; "sparse": zeros but for a tenth of them and the last column of every fifth row."""
    x = rng(5).uniform(1, 255, (N, D))
    if kind == "sparse":
        x[rng(6).random(x.shape) > 0.1] = 0
        x[::5, -1] = 3
    return x.astype(stored)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("N", "D", "M"), [(4, 5, 3), (100, 784, 50), (99, 393, 65), (300, 197, 50)])
def test_a4_affine_reads_x_as_it_is_stored_and_gives_numpys_numbers(
    N: int, D: int, M: int, dtype: Any, stored: Any, kind: str
) -> None:
    """Sizes from which zeros are skipped, and one below; all of it in the dtype of the parameters."""
    x, layer, dout = pixels(N, D, kind, stored), affine(D, M, dtype), normal(N, M, number=9, dtype=dtype)
    W, b, wide_dout, wide_x = (a.astype(np.float64) for a in (layer.W, layer.b, dout, x.astype(dtype)))
    out, dx = layer.forward(x), layer.backward(dout)
    assert layer.x.dtype == stored
    assert {a.dtype for a in (out, dx, layer.dW, layer.db)} == {np.dtype(dtype)}
    eps = float(np.finfo(dtype).eps)
    for got, left, right, more in [
        (out, wide_x, W, b),
        (dx, wide_dout, W.T, 0),
        (layer.dW, wide_x.T, wide_dout, 0),
        (layer.db[None], np.ones((1, N)), wide_dout, 0),
    ]:
        # A sum of k terms is off by at most k ε / 2 times the sum of their sizes; both sides round.
        bound = (left.shape[1] + 1) * eps * (np.abs(left) @ np.abs(right) + np.abs(more))
        assert (np.abs(got - (left @ right + more)) <= bound).all()


@pytest.mark.parametrize("stored", STORED)
def test_a12_images_and_one_example_are_flattened_however_they_are_stored(stored: Any) -> None:
    x, layer = pixels(6, 12, "dense", stored).reshape(2, 3, 2, 6), affine(36)
    assert layer.forward(x).shape == (2, 3)
    assert layer.x.dtype == stored
    dx = layer.backward(normal(2, 3, number=9))
    assert dx.shape == (2, 3, 2, 6)
    assert dx.dtype == np.float64
    np.testing.assert_allclose(layer.dW, x.reshape(2, 36).astype(float).T @ normal(2, 3, number=9), rtol=1e-12)
    assert layer.forward(x[0].ravel()).shape == (3,)
    assert layer.backward(normal(3, number=9)).shape == (36,)
    np.testing.assert_allclose(layer.dW, np.outer(x[0].ravel(), normal(3, number=9)), rtol=1e-12)


@pytest.mark.fault("A18")
@pytest.mark.parametrize("stored", STORED)
def test_a18_bytes_and_floats_that_are_read_as_they_are_stored_are_kept_too(stored: Any) -> None:
    x, layer, dout = pixels(4, 5, "dense", stored), affine(5), normal(4, 3, number=9)
    expected = x.astype(float).T @ dout
    layer.forward(x)
    x[:] = 7
    layer.backward(dout)
    np.testing.assert_allclose(layer.dW, expected, **F64)


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_t11_a_layer_that_has_skipped_zeros_can_be_copied(how: str) -> None:
    layer, x, dout = affine(784, 50), pixels(100, 784, "sparse", np.uint8), normal(100, 50, number=9)
    layer.backward(layer.forward(x))
    twin = copy.deepcopy(layer) if how == "deepcopy" else pickle.loads(pickle.dumps(layer))
    for _ in range(2):
        np.testing.assert_array_equal(twin.forward(x), layer.forward(x))
        np.testing.assert_array_equal(twin.backward(dout), layer.backward(dout))
        np.testing.assert_array_equal(twin.dW, layer.dW)
    twin.W[...] = 0
    assert layer.W.all()


@pytest.mark.fault("M2")
def test_one_layer_takes_batches_of_every_kind_in_any_order() -> None:
    """What it keeps to work in has no meaning: the same bits as from a new layer."""
    layer = affine(197, 50)
    kinds = list(itertools.product((1, 100, 300), ("dense", "sparse"), STORED))
    for i in rng(8).permutation(3 * len(kinds)):
        N, kind, stored = kinds[i % len(kinds)]
        x, dout, fresh = pixels(N, 197, kind, stored), normal(N, 50, number=int(i)), affine(197, 50)
        np.testing.assert_array_equal(layer.forward(x), fresh.forward(x))
        np.testing.assert_array_equal(layer.backward(dout), fresh.backward(dout))
        np.testing.assert_array_equal(layer.dW, fresh.dW)


@given(st.integers(0, 20), st.integers(1, 70), st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_affine_is_numpy_at_any_size(N: int, D: int, M: int, number: int) -> None:
    r = rng(number)
    x, W, b, dout = (r.uniform(-1, 1, s) for s in ((N, D), (D, M), (M,), (N, M)))
    layer = Affine(W, b)
    # k ε for sums of k <= 71 terms up to 1: 2e-14.
    np.testing.assert_allclose(layer.forward(x), x @ W + b, rtol=0, atol=2e-14)
    np.testing.assert_allclose(layer.backward(dout), dout @ W.T, rtol=0, atol=2e-14)
    np.testing.assert_allclose(layer.dW, x.T @ dout, rtol=0, atol=2e-14)
    np.testing.assert_allclose(layer.db, dout.sum(axis=0), rtol=0, atol=2e-14)


# --- SoftmaxWithLoss ---

IDS = np.array([2, 0, 1, 1])
ONE_HOT = np.eye(3)[IDS]
SOFT = softmax(normal(4, 3, number=5))


def cross_entropy(scores: Any, distributions: Any) -> float:
    """Give the mean of -Σ t ln softmax(x), the plain way."""
    e = np.exp(scores)
    return float(-(distributions * np.log(e / e.sum(axis=1, keepdims=True))).sum(axis=1).mean())


def forward_backward(x: Any, t: Any, dout: float = 1) -> tuple[float, Any]:
    layer = SoftmaxWithLoss()
    return layer.forward(x, t), layer.backward(dout)


@pytest.mark.parametrize("t", [IDS, IDS[:, None], IDS.tolist(), IDS.astype(np.uint8), IDS.astype(float), ONE_HOT])
def test_l2_l3_every_form_of_class_labels_gives_the_same_loss_and_gradient(t: Any) -> None:
    loss, dx = forward_backward(normal(4, 3), t)
    np.testing.assert_allclose(loss, cross_entropy(normal(4, 3), ONE_HOT), **F64)
    np.testing.assert_allclose(dx, (softmax(normal(4, 3)) - ONE_HOT) / 4, **F64)


@pytest.mark.parametrize("t", [IDS, ONE_HOT])
def test_the_gradient_is_the_tutorials_and_the_loss_is_without_its_1e_7(t: Any) -> None:
    theirs = seed.ExactSoftmaxWithLoss()
    loss, dx = forward_backward(normal(4, 3), t)
    np.testing.assert_allclose(loss, theirs.forward(normal(4, 3), t), **F64)
    np.testing.assert_allclose(dx, theirs.backward(), strict=True, **F64)


def test_the_loss_is_the_tutorials_but_for_1e_7() -> None:
    # ln(y + 1e-7) - ln(y) is about 1e-7 / y, and y > 0.01 here.
    theirs = seed.SoftmaxWithLoss().forward(normal(4, 3), IDS)
    assert abs(forward_backward(normal(4, 3), IDS)[0] - theirs) < 1e-5


@pytest.mark.parametrize("t", [IDS, ONE_HOT, SOFT])
def test_the_gradient_of_the_scores_is_the_numeric_one(t: Any) -> None:
    x = normal(4, 3)
    _, dx = forward_backward(x, t)
    np.testing.assert_allclose(dx, numerical_gradient(lambda v: SoftmaxWithLoss().forward(v, t), x), **NUMERIC)


@pytest.mark.fault("L4")
def test_l4_soft_labels_are_used_as_given_by_loss_and_gradient() -> None:
    loss, dx = forward_backward(normal(4, 3), SOFT)
    np.testing.assert_allclose(loss, cross_entropy(normal(4, 3), SOFT), **F64)
    np.testing.assert_allclose(dx, (softmax(normal(4, 3)) - SOFT) / 4, **F64)


def test_l4_a_row_that_sums_to_almost_1_still_has_the_exact_gradient() -> None:
    t, x = SOFT * [[1.0009], [0.9991], [1], [1]], normal(4, 3)
    _, dx = forward_backward(x, t)
    np.testing.assert_allclose(dx, numerical_gradient(lambda v: SoftmaxWithLoss().forward(v, t), x), **NUMERIC)


@pytest.mark.parametrize("t", [1, np.int64(1), np.array(1), [0.0, 1.0, 0.0], [0.2, 0.5, 0.3]])
def test_one_1d_sample_is_a_batch_of_one(t: Any) -> None:
    loss, dx = forward_backward(normal(3), t)
    batch_loss, batch_dx = forward_backward(normal(1, 3), np.asarray(t)[None])
    assert loss == batch_loss
    np.testing.assert_array_equal(dx, batch_dx[0], strict=True)


@pytest.mark.parametrize("dout", [-2.5, 0, 0.3, np.float64(7), np.array(2.0)])
@pytest.mark.parametrize("t", [IDS, SOFT])
def test_backward_honours_dout(t: Any, dout: Any) -> None:
    _, dx = forward_backward(normal(4, 3), t)
    np.testing.assert_allclose(forward_backward(normal(4, 3), t, dout)[1], float(dout) * dx, **F64)


@pytest.mark.parametrize(
    ("dout", "error"), [(np.nan, ValueError), (True, TypeError), ("1", TypeError), (None, TypeError)]
)
def test_dout_must_be_one_finite_number(dout: Any, error: type[Exception]) -> None:
    layer = SoftmaxWithLoss()
    layer.forward(normal(4, 3), IDS)
    with pytest.raises(error, match="dout must be"):
        layer.backward(dout)


@pytest.mark.parametrize("dtype", DTYPES)
def test_attributes_are_the_tutorials(dtype: Any) -> None:
    layer = SoftmaxWithLoss()
    assert (layer.loss, layer.y, layer.t) == (None, None, None)
    x = normal(4, 3, dtype=dtype)
    assert layer.forward(x, IDS) == layer.loss
    # A few roundings of a number below 1.
    np.testing.assert_allclose(layer.y, softmax(x), rtol=8 * np.finfo(dtype).eps, strict=True)
    np.testing.assert_array_equal(layer.t, IDS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_loss_is_a_float_and_dx_has_the_dtype_of_the_scores(dtype: Any) -> None:
    loss, dx = forward_backward(normal(4, 3, dtype=dtype), SOFT)
    assert type(loss) is float
    assert dx.dtype == dtype


def test_float32_loss_and_gradient_are_those_of_float64_to_rounding() -> None:
    x = normal(4, 3, dtype=np.float32)
    (loss, dx), (exact, exact_dx) = forward_backward(x, IDS), forward_backward(x.astype(np.float64), IDS)
    # Exponentials, a sum of 3 and a logarithm: a dozen roundings of 6e-8, of numbers below 4.
    np.testing.assert_allclose(loss, exact, rtol=1e-6)
    np.testing.assert_allclose(dx, exact_dx, rtol=1e-6, atol=1e-7)


def test_the_loss_is_0_when_certain_and_right() -> None:
    assert forward_backward([[1000.0, 0.0], [0.0, 1000.0]], [0, 1])[0] == 0


@pytest.mark.parametrize("margin", [20.0, 1000.0, 1e300])
def test_the_loss_is_not_capped_when_certain_and_wrong(margin: float) -> None:
    np.testing.assert_allclose(forward_backward([[margin, 0.0]], [1])[0], margin, rtol=1e-9)


def test_a_small_loss_keeps_its_digits() -> None:
    # ln(1 + e^-20) = 2.06e-9; the tutorial's 1e-7 would make it -1e-7. Near 1 the logarithm rounds by ε = 2e-16.
    np.testing.assert_allclose(forward_backward([[20.0, 0.0]], [0])[0], np.log1p(np.exp(-20)), rtol=0, atol=3e-16)


@given(arrays(np.float64, (4, 3), elements=st.floats(-800, 800)), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_the_loss_is_never_below_0_and_gradient_rows_sum_to_0(x: Any, t: list[int]) -> None:
    loss, dx = forward_backward(x, t)
    assert loss >= 0
    # Three numbers up to 1/4, rounded.
    np.testing.assert_allclose(dx.sum(axis=1), 0, atol=1e-15)


@given(arrays(np.float64, (4, 3), elements=st.floats(-50, 50)), st.floats(-50, 50))
def test_a_shift_of_all_scores_changes_nothing(x: Any, shift: float) -> None:
    (loss, dx), (shifted, shifted_dx) = forward_backward(x, SOFT), forward_backward(x + shift, SOFT)
    # Adding the shift rounds scores near 100 by up to 1e-14.
    np.testing.assert_allclose(shifted, loss, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(shifted_dx, dx, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("row", [[-np.inf, -np.inf, -np.inf], [np.nan, 0, 0], [np.inf, 0, 0]])
def test_a13_a_row_whose_softmax_is_nan_has_a_nan_loss(row: list[float]) -> None:
    loss, dx = forward_backward(np.array([row, [0, 0, 0]]), [0, 0])
    assert np.isnan(loss)
    assert np.isnan(dx[0]).all()
    assert np.isfinite(dx[1]).all()


def test_a11_the_loss_of_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="empty batch"):
        SoftmaxWithLoss().forward(np.zeros((0, 3)), np.zeros(0, int))


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (3, 0)])
def test_a12_scores_of_another_rank_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"scores must have shape \(N, C\) or \(C,\)"):
        SoftmaxWithLoss().forward(np.zeros(shape), 0)


@pytest.mark.parametrize("bad", [-1, 3, 2**40, 255])
@pytest.mark.parametrize("column", [False, True])
def test_l1_an_id_out_of_range_is_refused_with_its_row(bad: int, column: bool) -> None:
    t = np.array([2, 0, 1, bad])
    with pytest.raises(ValueError, match=rf"^labels must lie in 0\.\.2; got {bad} at row 3$"):
        SoftmaxWithLoss().forward(normal(4, 3), t[:, None] if column else t)


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf])
def test_l2_a_label_that_is_no_whole_number_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=rf"labels must .*got {bad} at row 1"):
        SoftmaxWithLoss().forward(normal(4, 3), [0, bad, 1, 2])


def test_l3_c_ids_against_one_row_are_not_taken_for_one_hot() -> None:
    with pytest.raises(ValueError, match=r"got t\.shape=\(3,\) for scores of shape \(1, 3\)"):
        SoftmaxWithLoss().forward(normal(1, 3), [0, 1, 0])


@pytest.mark.fault("L3")
def test_l3_one_class_takes_ids_and_distributions() -> None:
    assert forward_backward(normal(4, 1), [0, 0, 0, 0])[0] == 0
    assert forward_backward(normal(4, 1), np.ones((4, 1)))[0] == 0


def test_l3_as_many_examples_as_classes_are_still_ids() -> None:
    loss, _ = forward_backward(normal(3, 3), [0, 1, 0])
    np.testing.assert_allclose(loss, cross_entropy(normal(3, 3), np.eye(3)[[0, 1, 0]]), **F64)


@pytest.mark.parametrize("bad", [[0.5, 0.6, 0.1], [1.5, -0.5, 0], [np.nan, 0.5, 0.5], [np.inf, 0, 0], [0, 0, 0]])
def test_l4_a_row_that_is_no_distribution_is_refused_with_its_number(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="row 2 "):
        SoftmaxWithLoss().forward(normal(4, 3), [[1, 0, 0], [0, 1, 0], bad, [0, 0, 1]])


@pytest.mark.parametrize("shape", [(3,), (5,), (1,), (4, 2), (3, 3), (4, 3, 1), (1, 4), ()])
def test_l5_another_number_of_labels_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        SoftmaxWithLoss().forward(normal(4, 3), np.zeros(shape, int))
    assert f"t.shape={shape}" in str(error.value)
    assert "(4, 3)" in str(error.value)


@pytest.mark.parametrize("t", [None, "0", [[0], [0, 1]], np.ma.zeros(4, int), IDS.astype(complex)])
def test_a3_a7_a14_a_t_that_is_no_array_of_numbers_is_a_type_error(t: Any) -> None:
    with pytest.raises(TypeError, match=r"^t "):
        SoftmaxWithLoss().forward(normal(4, 3), t)


def test_backward_of_the_loss_before_forward_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"SoftmaxWithLoss\.backward was called before"):
        SoftmaxWithLoss().backward()


def test_a15_one_array_as_scores_and_t_is_as_if_copied() -> None:
    x = SOFT.copy()
    loss, dx = forward_backward(x, x)
    twin_loss, twin_dx = forward_backward(SOFT, SOFT.copy())
    assert loss == twin_loss
    np.testing.assert_array_equal(dx, twin_dx)
    np.testing.assert_array_equal(x, SOFT)


def test_a16_editing_y_t_or_dx_does_not_change_a_later_backward() -> None:
    layer, t = SoftmaxWithLoss(), IDS.copy()
    layer.forward(normal(4, 3), t)
    first = layer.backward()
    kept = first.copy()
    t[:] = first[:] = layer.y[:] = layer.t[:] = 0
    np.testing.assert_array_equal(layer.backward(), kept)


def test_a10_read_only_scores_and_labels_are_accepted() -> None:
    x = np.frombuffer(normal(4, 3).tobytes()).reshape(4, 3)
    t = np.frombuffer(IDS.astype(np.uint8).tobytes(), np.uint8)
    assert forward_backward(x, t)[0] == forward_backward(normal(4, 3), IDS)[0]


def test_a9_scores_in_fortran_order_give_the_numbers_of_a_copy() -> None:
    loss, dx = forward_backward(np.asfortranarray(normal(4, 3)), np.asfortranarray(SOFT))
    expected, expected_dx = forward_backward(normal(4, 3), SOFT)
    assert loss == expected
    np.testing.assert_array_equal(dx, expected_dx)


def test_a_refused_call_keeps_the_state_of_the_last() -> None:
    layer = SoftmaxWithLoss()
    loss, dx = layer.forward(normal(4, 3), IDS), layer.backward()
    with pytest.raises(ValueError):
        layer.forward(normal(4, 3, number=3), [9, 9, 9, 9])
    assert layer.loss == loss
    np.testing.assert_array_equal(layer.backward(), dx)
