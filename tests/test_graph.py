"""graph.py: the book's numbers, and gradients against central differences."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import seed_reference as seed
from chainrule.graph import AddLayer, MulLayer, sum_to

LAYERS = [MulLayer, AddLayer]
SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (2, 3)),
    ((2, 1), (1, 3)),
    ((2, 3), ()),
    ((), (4,)),
    ((1,), (2, 3, 4)),
    ((2, 1, 4), (3, 1)),
]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


# --- numbers ---


def test_python_numbers_stay_python_numbers() -> None:
    node = MulLayer()
    out = node.forward(2, 3)
    assert (out, type(out)) == (6, int)
    assert node.backward(1) == (3, 2)


def test_addition_hands_the_gradient_on() -> None:
    node = AddLayer()
    assert node.forward(2, 3) == 5
    assert node.backward(1.5) == (1.5, 1.5)


def test_the_tutorials_graph() -> None:
    # (x + y) · z at 2, 3, 4: dg/dp = z, and so dg/dx = dg/dy = 4; dg/dz = p = 5.
    add, multiply = AddLayer(), MulLayer()
    assert multiply.forward(add.forward(2, 3), 4) == 20
    dp, dz = multiply.backward(1)
    assert (dp, dz) == (4, 5)
    assert add.backward(dp) == (4, 4)


def test_the_books_apples() -> None:
    # "Deep Learning from Scratch" §5.4.1: price 220; gradients 2.2 (apple), 110 (how many), 200 (tax).
    apples, taxed = MulLayer(), MulLayer()
    assert taxed.forward(apples.forward(100, 2), 1.1) == pytest.approx(220)
    dapples, dtax = taxed.backward(1)
    assert apples.backward(dapples) == pytest.approx((2.2, 110))
    assert dtax == 200


@pytest.mark.parametrize("name", ["MulLayer", "AddLayer"])
def test_d3_equal_shapes_agree_with_the_tutorial(name: str) -> None:
    x, y, dout = rng().standard_normal((3, 4, 5))
    ours = MulLayer() if name == "MulLayer" else AddLayer()
    theirs = getattr(seed, name)()
    np.testing.assert_array_equal(ours.forward(x, y), theirs.forward(x, y))
    np.testing.assert_array_equal(ours.backward(dout), theirs.backward(dout))


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES)
def test_gradients_under_broadcasting(layer: Any, x_shape: Any, y_shape: Any) -> None:
    x, y = np.asarray(rng(1).standard_normal(x_shape)), np.asarray(rng(2).standard_normal(y_shape))
    node = layer()
    dout = rng(3).standard_normal(node.forward(x, y).shape)
    dx, dy = node.backward(dout)
    assert (np.shape(dx), np.shape(dy)) == (x_shape, y_shape)
    loss = lambda _: np.sum(layer().forward(x, y) * dout)  # noqa: E731
    # Linear in each entry: only rounding, ε · 24 terms over h = 1e-4.
    np.testing.assert_allclose(dx, seed.numerical_gradient(loss, x), atol=1e-9)
    np.testing.assert_allclose(dy, seed.numerical_gradient(loss, y), atol=1e-9)


@pytest.mark.parametrize("layer", LAYERS)
def test_a11_an_empty_array_gives_the_other_operand_a_gradient_of_0(layer: Any) -> None:
    node = layer()
    assert node.forward(np.ones((0, 3)), np.ones(3)).shape == (0, 3)
    dx, dy = node.backward(np.ones((0, 3)))
    assert dx.shape == (0, 3)
    assert dy.tolist() == [0, 0, 0]


@pytest.mark.parametrize("layer", LAYERS)
def test_a_scalar_operand_gets_a_scalar_gradient(layer: Any) -> None:
    node = layer()
    node.forward(np.ones(3), 2.0)
    assert isinstance(node.backward(np.ones(3))[1], np.float64)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_one_number_as_dout_stands_for_every_entry(layer: Any, dtype: Any) -> None:
    node = layer()
    out = node.forward(np.arange(3, dtype=dtype), 2)
    one, full = node.backward(2), node.backward(np.full(3, 2, dtype))
    assert one[0].dtype == out.dtype == dtype
    for a, b in zip(one, full, strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_array_as_both_operands() -> None:
    x, node = np.array([2.0, 3.0]), MulLayer()
    node.forward(x, x)
    assert sum(node.backward(np.ones(2))).tolist() == [4, 6]  # d(x²)/dx = 2x


# --- contract ---


@pytest.mark.parametrize("layer", LAYERS)
def test_x_and_y_are_remembered(layer: Any) -> None:
    x, y, node = np.ones(2), np.zeros(2), layer()
    assert (node.x, node.y) == (None, None)
    node.forward(x, y)
    assert node.x is x
    assert node.y is y


@pytest.mark.parametrize("layer", LAYERS)
def test_backward_before_forward_says_so(layer: Any) -> None:
    with pytest.raises(RuntimeError, match=f"{layer.__name__}.backward was called before forward"):
        layer().backward(1)


@pytest.mark.parametrize("layer", LAYERS)
def test_a15_nothing_is_written_to(layer: Any) -> None:
    x, y, dout = rng().standard_normal((3, 4))
    before = [a.copy() for a in (x, y, dout)]
    node = layer()
    node.forward(x, y)
    node.backward(dout)
    for now, then in zip((x, y, dout), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("layer", LAYERS)
def test_a16_results_are_new(layer: Any) -> None:
    x, y, dout = rng().standard_normal((3, 4))
    node = layer()
    made = [node.forward(x, y), *node.backward(dout), *node.backward(dout)]
    given = [x, y, dout]
    for n, array in enumerate(made):
        assert not any(np.shares_memory(array, other) for other in given + made[:n])


@pytest.mark.parametrize("layer", LAYERS)
def test_a4_whole_number_arrays_become_float64(layer: Any) -> None:
    node, x, y = layer(), np.array([200], np.uint8), np.array([100], np.uint8)
    out = node.forward(x, y)
    assert out.dtype == np.float64
    assert out[0] > 255  # where uint8 wraps
    assert node.backward(np.array([3]))[0].dtype == np.float64


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a5_half_precision_sums_are_taken_in_float32(dtype: Any) -> None:
    node = AddLayer()
    node.forward(np.zeros(4096, dtype), dtype(0))
    dy = node.backward(np.ones(4096, dtype))[1]
    assert dy.dtype == dtype
    assert dy == 4096  # counting up in bfloat16 stops at 256


@pytest.mark.parametrize("layer", LAYERS)
def test_a7_complex_is_refused(layer: Any) -> None:
    with pytest.raises(TypeError, match="y has dtype complex128"):
        layer().forward(1, 1j)


@pytest.mark.parametrize("layer", LAYERS)
def test_a14_a_masked_array_is_refused(layer: Any) -> None:
    with pytest.raises(TypeError, match="x is a masked array"):
        layer().forward(np.ma.masked_array([1.0]), 1)


@pytest.mark.parametrize("layer", LAYERS)
def test_shapes_that_do_not_broadcast_are_named_and_nothing_changes(layer: Any) -> None:
    node = layer()
    node.forward(2, 3)
    with pytest.raises(ValueError, match=r"x.shape=\(2,\), y.shape=\(3,\)"):
        node.forward(np.ones(2), np.ones(3))
    assert (node.x, node.y) == (2, 3)


@pytest.mark.parametrize("shape", [(2,), (1, 3), (3, 1)])
def test_dout_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    node = AddLayer()
    node.forward(np.ones(3), 1)
    with pytest.raises(ValueError, match=r"dout must have the shape of the output, \(3,\), got dout.shape="):
        node.backward(np.ones(shape))


# --- sum_to ---


@pytest.mark.parametrize("shape", [(), (1,), (4,), (3, 1), (1, 4), (3, 4), (1, 1, 4), (2, 1, 1), (2, 3, 4)])
def test_sum_to_is_the_transpose_of_broadcasting(shape: tuple[int, ...]) -> None:
    # <broadcast(a), g> = <a, sum_to(g)> for every a and g.
    a, g = np.asarray(rng(1).standard_normal(shape)), rng(2).standard_normal((2, 3, 4))
    assert np.shape(sum_to(g, shape)) == shape
    np.testing.assert_allclose(np.sum(np.broadcast_to(a, g.shape) * g), np.sum(a * sum_to(g, shape)), rtol=1e-12)


@pytest.mark.parametrize("shape", [(3,), (4, 4), (1, 2, 3, 4)])
def test_sum_to_refuses_what_never_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="does not broadcast to"):
        sum_to(np.ones((2, 3, 4)), shape)
