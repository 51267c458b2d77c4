"""The nodes and the recorded graph: the book's numbers, gradients against differences, what is refused and freed."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seed_reference as seed
from chainrule import (
    Affine,
    Identity,
    LeakyRelu,
    Relu,
    Rescaling,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    Variable,
    apply,
    check_gradients,
)
from chainrule.graph import (
    AbsLayer,
    AddLayer,
    CosLayer,
    DivLayer,
    ExpLayer,
    IndexLayer,
    LogLayer,
    MatMulLayer,
    MaximumLayer,
    MeanLayer,
    MinimumLayer,
    MulLayer,
    NegLayer,
    PowLayer,
    ReshapeLayer,
    SinLayer,
    SqrtLayer,
    SubLayer,
    SumLayer,
    TanhLayer,
    TransposeLayer,
    sum_to,
)
from chainrule.graph.base import TwoInputs

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
#: Of an array with shape (3, 4).
INDICES: list[Any] = [
    0, -1, (1, 2), slice(None, None, 2), slice(2, None, -1), ..., (..., 0), (slice(None), None, slice(1, 3)),
    [0, 0, 2], ([0, 1, 0], [3, 3, 3]), (slice(None), [1, 1]), np.arange(12).reshape(3, 4) % 3 == 1,
    (0, [True, False] * 2),
]  # fmt: skip


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


@pytest.mark.fault("A12")
@pytest.mark.parametrize("x", [np.ones((1,) * 40), np.ones((1,) * 33)])
def test_a12_more_axes_than_numpy_stretches_are_refused(x: Any) -> None:
    with pytest.raises(ValueError, match=rf"x has {x.ndim} axes; at most 32 are taken here"):
        Variable(x) + 1
    assert (Variable(x.reshape((1,) * 32)) + 1).value.ndim == 32


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


# --- the other nodes ---

Arrays = tuple[Any, ...]


@pytest.mark.parametrize(
    ("node", "inputs", "out", "gradients"),
    [
        (SubLayer(), (5.0, 3.0), 2.0, (2.0, -2.0)),
        (DivLayer(), (6.0, 2.0), 3.0, (1.0, -3.0)),
        (PowLayer(), (3.0, 2.0), 9.0, (12.0, 18 * math.log(3))),
        (PowLayer(), (2, -1), 0.5, (-0.5, math.log(2))),
        (MaximumLayer(), (5.0, 3.0), 5.0, (2.0, 0.0)),
        (MaximumLayer(), (3.0, 5.0), 5.0, (0.0, 2.0)),
        (MaximumLayer(), (3.0, 3.0), 3.0, (0.0, 2.0)),
        (MinimumLayer(), (5.0, 3.0), 3.0, (0.0, 2.0)),
        (MinimumLayer(), (3.0, 5.0), 3.0, (2.0, 0.0)),
        (MinimumLayer(), (3.0, 3.0), 3.0, (0.0, 2.0)),
        (NegLayer(), (5.0,), -5.0, -2.0),
        (SinLayer(), (1.0,), math.sin(1), 2 * math.cos(1)),
        (CosLayer(), (1.0,), math.cos(1), -2 * math.sin(1)),
        (TanhLayer(), (1.0,), math.tanh(1), 2 / math.cosh(1) ** 2),
        (SqrtLayer(), (4.0,), 2.0, 0.5),
        (AbsLayer(), (-4.0,), 4.0, -2.0),
        (AbsLayer(), (4.0,), 4.0, 2.0),
        (AbsLayer(), (0.0,), 0.0, 0.0),
        (ExpLayer(), (1.0,), math.e, 2 * math.e),
        (LogLayer(), (4.0,), math.log(4), 0.5),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "forward") else "",
)
def test_a_node_of_numbers(node: Any, inputs: Arrays, out: float, gradients: Any) -> None:
    assert node.forward(*inputs) == pytest.approx(out, rel=1e-15)
    assert node.backward(2.0) == pytest.approx(gradients, rel=1e-15)


@pytest.mark.parametrize(
    ("node", "inputs", "out"),
    [
        (DivLayer(), (1.0, 0.0), math.inf),
        (DivLayer(), (0.0, 0.0), math.nan),
        (PowLayer(), (0.0, -1.0), math.inf),
        (PowLayer(), (-8.0, 1 / 3), math.nan),
        (PowLayer(), (10.0, 400.0), math.inf),
        (MaximumLayer(), (math.nan, 1.0), math.nan),
        (MaximumLayer(), (1.0, math.nan), math.nan),
        (MinimumLayer(), (math.nan, 1.0), math.nan),
        (MinimumLayer(), (1.0, math.nan), math.nan),
        (SinLayer(), (math.inf,), math.nan),
        (CosLayer(), (math.inf,), math.nan),
        (TanhLayer(), (math.inf,), 1.0),
        (SqrtLayer(), (-1.0,), math.nan),
        (AbsLayer(), (-math.inf,), math.inf),
        (ExpLayer(), (1000.0,), math.inf),
        (LogLayer(), (0.0,), -math.inf),
        (LogLayer(), (-1.0,), math.nan),
    ],
)
def test_a13_numbers_beyond_the_reals_are_numpys_and_quiet(node: Any, inputs: Arrays, out: float) -> None:
    assert node.forward(*inputs) == pytest.approx(out, nan_ok=True)


@pytest.mark.parametrize(
    ("x", "y", "dx", "dy"),
    [
        (0.0, 2.0, 0, 0),
        (0.0, 1.0, 1, 0),
        (5.0, 0.0, 0, math.log(5)),
        (-2.0, 3.0, 12, math.nan),
        (0.0, 0.0, 0, -math.inf),
    ],
)
@pytest.mark.parametrize("kind", [float, lambda number: np.array([number])])
def test_the_slopes_of_a_power_at_its_edges(kind: Any, x: float, y: float, dx: float, dy: float) -> None:
    node = PowLayer()
    node.forward(kind(x), kind(y))
    with np.errstate(all="ignore"):
        found = node.backward(1.0)
    np.testing.assert_allclose(np.ravel(found), [dx, dy])


@pytest.mark.parametrize(
    ("node", "shapes"),
    [
        *((kind(), shapes) for kind in (SubLayer, DivLayer, PowLayer, MaximumLayer, MinimumLayer) for shapes in SHAPES),
        *(
            (MatMulLayer(), shapes)
            for shapes in [
                ((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)),
                ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
                ((4, 1, 2, 3), (5, 3, 2)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
            ]
        ),
        *((kind(), (shape,)) for kind in (NegLayer, ExpLayer, LogLayer, TransposeLayer) for shape in [(3,), (2, 3)]),
        *(
            (kind(), (shape,))
            for kind in (SinLayer, CosLayer, TanhLayer, SqrtLayer, AbsLayer)
            for shape in [(), (3,), (2, 3)]
        ),
        *((IndexLayer(index), ((3, 4),)) for index in INDICES),
        *(
            (kind(axis, keepdims), ((2, 3, 4),))
            for kind in (SumLayer, MeanLayer)
            for axis in (None, 0, -1, (0, 2))
            for keepdims in (False, True)
        ),
        (ReshapeLayer((3, 2)), ((2, 3),)), (ReshapeLayer(-1), ((2, 3),)), (TransposeLayer(), ((2, 3, 4),)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "forward") else str(value),
)  # fmt: skip
def test_a_node_of_arrays_passes_the_check(node: Any, shapes: tuple[tuple[int, ...], ...]) -> None:
    inputs = [rng(n).uniform(0.5, 2, shape) for n, shape in enumerate(shapes)]
    report = check_gradients(node, *inputs)
    assert report.ok, report


@pytest.mark.parametrize(
    "kind",
    [
        SubLayer, DivLayer, PowLayer, MaximumLayer, MinimumLayer, MatMulLayer, NegLayer, ExpLayer, LogLayer, SinLayer,
        CosLayer, TanhLayer, SqrtLayer, AbsLayer, SumLayer, MeanLayer, TransposeLayer,
    ],
)  # fmt: skip
def test_a_node_says_that_forward_is_missing_and_refuses_dout_of_another_shape(kind: Any) -> None:
    node = kind()
    with pytest.raises(RuntimeError, match=f"{kind.__name__}.backward was called before forward"):
        node.backward(1.0)
    x = np.ones((2, 2))
    node.forward(*([x, x] if isinstance(node, TwoInputs) else [x]))
    with pytest.raises(ValueError, match="dout must have the shape of the output"):
        node.backward(np.ones((7, 7)))


def test_a_node_whose_shapes_do_not_fit_names_both() -> None:
    with pytest.raises(ValueError, match=r"x.shape=\(2, 3\), y.shape=\(2, 3\)"):
        MatMulLayer().forward(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"x does not fit in shape \(4,\), got x.shape=\(2, 3\)"):
        ReshapeLayer((4,)).forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match="axis 2 is out of bounds"):
        SumLayer(2).forward(np.ones((2, 3)))
    with pytest.raises(ValueError, match="the mean of no entries is not defined"):
        MeanLayer().forward(np.ones((0, 3)))


# --- Variable: forward and backward ---


def test_the_tutorials_graph_of_variables() -> None:
    x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    g = (x + y) * z
    assert g.value == 20
    g.backward()
    assert (x.grad, y.grad, z.grad, g.grad) == (4, 4, 5, 1)


def test_micrograds_readme() -> None:
    # Its README: g = 24.7041, dg/da = 138.8338, dg/db = 645.5773.
    a, b = Variable(-4.0), Variable(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + (b + a).maximum(0)
    d += 3 * d + (b - a).maximum(0)
    f = (c - d) ** 2
    g = f / 2.0
    g += 10.0 / f
    g.backward()
    assert (round(g.value, 4), round(a.grad, 4), round(b.grad, 4)) == (24.7041, 138.8338, 645.5773)


UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": lambda x: -x,
    "exp": lambda x: x.exp(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tanh": lambda x: x.tanh(),
    "sqrt": lambda x: x.sqrt(),
    "abs": lambda x: abs(x - 1.25),
    "clip": lambda x: x.clip(0.8, 1.9),
    "the last twice": lambda x: x[..., [-1, -1]] if np.ndim(x.value) else x * 1,
    "log": lambda x: x.log(),
    "sum": lambda x: x.sum(),
    "mean": lambda x: x.mean(),
    "T": lambda x: x.T,
    "reshape": lambda x: x.reshape(-1),
    "sum over the last axis": lambda x: x.sum(-1, keepdims=True) if np.ndim(x.value) else x.sum(),
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "/": lambda x, y: x / y,
    "**": lambda x, y: x**y,
    "maximum": lambda x, y: x.maximum(y),
    "minimum": lambda x, y: x.minimum(y),
}


@st.composite
def broadcasting(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Draw two shapes that broadcast: one whole, in each some lengths set to 1 and some axes left out in front."""
    whole = draw(st.lists(st.integers(1, 3), max_size=3))
    shapes = []
    for _ in range(2):
        kept = [draw(st.sampled_from([size, 1])) for size in whole]
        shapes.append(tuple(kept[draw(st.integers(0, len(kept))) :]))
    return shapes[0], shapes[1]


def pair(operation: Callable[..., Any], seed: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Give f, the sum of what `operation` gives with random weights, and its gradient by the graph."""

    def last(*arrays: Any) -> tuple[Any, list[Variable]]:
        variables = [Variable(array) for array in arrays]
        out = operation(*variables)
        return (out * rng(seed).standard_normal(np.shape(out.value))).sum(), variables

    def gradient(*arrays: Any) -> Any:
        out, variables = last(*arrays)
        out.backward()
        found = tuple(np.asarray(variable.grad) for variable in variables)
        return found if len(found) > 1 else found[0]

    return lambda *arrays: last(*arrays)[0].value, gradient


@pytest.mark.timeout(300)
@settings(max_examples=500, deadline=None, derandomize=True)
@given(name=st.sampled_from([*BINARY, *UNARY, "@"]), shapes=broadcasting(), seed=st.integers(0, 2**32 - 1))
def test_every_operator_passes_the_check_on_random_shapes_that_broadcast(
    name: str, shapes: tuple[tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    if name == "@":
        # The shapes as those of stacks of matrices.
        n, d, m = rng(seed).integers(1, 4, 3)
        shapes = ((*shapes[0], n, d), (*shapes[1], d, m))
        operation: Callable[..., Any] = lambda x, y: x @ y  # noqa: E731
    elif name in BINARY:
        operation = BINARY[name]
    else:
        operation, shapes = UNARY[name], shapes[:1]  # type: ignore[assignment]
    inputs = [rng(seed).uniform(0.5, 2, shape) + n / 3 for n, shape in enumerate(shapes)]
    report = check_gradients(pair(operation, seed), *inputs)
    # Of a maximum one operand may be the smaller everywhere: then its gradient is 0, and "vacuous"; so outside a clip.
    allowed = {"right", "vacuous"} if name in ("maximum", "minimum", "clip") else {"right"}
    assert {array.verdict for array in report.arrays} <= allowed, report


def test_a_shared_variable_gets_the_sum_and_a_second_call_the_same() -> None:
    x = Variable(3.0)
    g = x * x + x.exp() * x
    expected = 2 * 3 + math.exp(3) * (1 + 3)
    for _ in range(2):
        g.backward()
        assert x.grad == pytest.approx(expected, rel=1e-15)


def test_a_ladder_of_sharing_has_as_many_paths_as_it_must() -> None:
    x = y = Variable(1.0)
    for _ in range(60):
        y = y + y  # 2^60 paths; a walk along each would never end
    y.backward()
    assert x.grad == 2**60


def test_dout_scales_and_may_be_an_array() -> None:
    x = Variable([1.0, 2.0])
    y = x * x
    y.backward([10.0, 100.0])
    assert x.grad.tolist() == [20, 400]
    y.backward(3)
    assert x.grad.tolist() == [6, 12]


def test_gradients_have_the_shape_and_the_dtype_of_their_variable() -> None:
    x, y = Variable(np.ones((2, 3), np.float32)), Variable(np.ones(3))
    g = (x * y).sum()
    g.backward()
    assert (x.grad.dtype, x.grad.shape) == (np.float32, (2, 3))
    assert (y.grad.dtype, y.grad.tolist()) == (np.float64, [2, 2, 2])
    assert type(g.grad) is float


@pytest.mark.parametrize("value", [2, True, np.int64(2), np.float64(2), np.uint8(2), 2.0])
def test_a4_whole_numbers_become_float(value: Any) -> None:
    assert type(Variable(value).value) is float


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_array_is_held_and_not_copied_and_never_written(dtype: Any) -> None:
    array = np.ones(3, dtype)
    array.setflags(write=False)
    x = Variable(array)
    assert x.value is array
    (x * x + x.exp() - x / 2).sum().backward()


def test_a16_no_two_gradients_share_memory() -> None:
    x, y = Variable(np.ones((2, 2))), Variable(np.ones((2, 2)))
    p = x + y
    q = p.reshape(4).reshape(2, 2).T
    last = apply(Identity(), q)
    dout = np.ones((2, 2))
    last.backward(dout)
    arrays = [dout, x.grad, y.grad, p.grad, q.grad, last.grad]
    assert not any(np.shares_memory(a, b) for n, a in enumerate(arrays) for b in arrays[:n])


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: 2 + x, lambda x: 2 - x, lambda x: 2 * x, lambda x: 2 / x, lambda x: 2**x, lambda x: x + 2,
        lambda x: x - 2, lambda x: x * 2, lambda x: x / 2, lambda x: x**2,
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", [float, np.array, np.float64, np.int64, lambda x: np.array([x, x + 1])])
def test_numbers_and_arrays_are_constants_on_either_side(operation: Any, kind: Any) -> None:
    value = kind(3)
    variable = Variable(value)
    out = operation(variable)
    np.testing.assert_allclose(out.value, operation(np.asarray(value, np.float64)), rtol=1e-15)
    assert sum(isinstance(given, Variable) for given in out.inputs) == 1


@pytest.mark.parametrize("operation", [lambda a, x: a + x, lambda a, x: a * x, lambda a, x: a @ x, lambda a, x: a - x])
def test_an_array_on_the_left_leaves_the_operation_to_the_variable(operation: Any) -> None:
    a, x = rng(1).standard_normal((3, 3)), rng(2).standard_normal((3, 3))
    out = operation(a, Variable(x))
    assert isinstance(out, Variable)
    np.testing.assert_allclose(out.value, operation(a, x), rtol=1e-12)


def test_a13_values_beyond_the_reals_are_quiet() -> None:
    x = Variable([0.0, -1.0, 1000.0])
    g = (1 / x + x.log() + x.exp() * x).sum()
    g.backward()
    assert np.isnan(g.value)
    assert np.isnan(x.grad).any()


# --- Variable: what is refused ---


@pytest.mark.parametrize(
    "compare",
    [
        lambda x, y: x < y, lambda x, y: x <= y, lambda x, y: x > y, lambda x, y: x >= y, lambda x, y: x == y,
        lambda x, y: x != y, lambda x, y: x == 2, lambda x, y: x > 2, lambda x, y: x in [y, x],
        lambda x, y: np.ones(2) < x, lambda x, y: np.ones(2) == x, lambda x, y: np.greater_equal(x, y),
    ],
)  # fmt: skip
def test_a_comparison_explains_itself(compare: Any) -> None:
    with pytest.raises(TypeError, match="Variables are not compared"):
        compare(Variable(1), Variable(1))


def test_the_truth_of_a_variable_explains_itself() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(Variable(1))


def test_variables_are_keys_by_identity() -> None:
    x, y = Variable(1), Variable(1)
    assert len({x, y, x}) == 2
    assert {x: 1, y: 2}[y] == 2


@pytest.mark.parametrize("value", [None, "2", 1j, [[1], [1, 2]], np.ma.masked_array([1.0]), {}])
def test_a3_a7_a14_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="value"):
        Variable(value)
    with pytest.raises(TypeError, match="the right operand"):
        Variable(1) + value
    with pytest.raises(TypeError, match="the left operand"):
        value + Variable(1) if not isinstance(value, np.ndarray) else Variable(1).__radd__(value)


def test_other_misuse_is_named() -> None:
    x = Variable([1.0, 2.0])
    with pytest.raises(TypeError, match="a Variable already"):
        Variable(x)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="name must be a str, got int"):
        Variable(1, 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="beyond float64"):
        Variable(10**400)
    with pytest.raises(ValueError, match=r"x.shape=\(2,\), y.shape=\(3,\)"):
        x + np.ones(3)
    with pytest.raises(ValueError, match=r"dout must have the shape of the output, \(2,\), got dout.shape=\(3,\)"):
        x.backward(np.ones(3))
    with pytest.raises(TypeError, match="got a Variable"):
        x.backward(Variable(1))  # type: ignore[arg-type]


# --- apply ---


class Doubling:
    """A layer of the user's own, which writes into its dout as the tutorial's Relu does."""

    def forward(self, x: Any) -> Any:
        return 2 * x

    def backward(self, dout: Any) -> Any:
        dout *= 2
        return dout


class Wrong:
    """Gives back what it is told to."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def forward(self, x: Any) -> Any:
        return x

    def backward(self, dout: Any) -> Any:
        return self.given


def test_a15_a_layer_that_writes_into_dout_changes_nobody_elses() -> None:
    x = Variable([1.0, 2.0])
    y = apply(Doubling(), x)
    dout = np.array([3.0, 4.0])
    y.backward(dout)
    assert (x.grad.tolist(), y.grad.tolist(), dout.tolist()) == ([6, 8], [3, 4], [3, 4])


@pytest.mark.parametrize("layer", [Relu(), Sigmoid(), Tanh(), LeakyRelu(), Identity(), Rescaling(0.5)])
def test_every_layer_of_one_input_passes_the_check_in_a_graph(layer: Any) -> None:
    x = rng().standard_normal((3, 4))
    report = check_gradients(pair(lambda v: apply(layer, v * v - v), 1), x)
    assert report.ok, report


def test_affine_and_the_loss_in_a_graph_give_the_gradients_of_the_network() -> None:
    net = TwoLayerNet(6, 5, 3, weight_init_std=0.5, seed=0)
    x, t = rng().random((4, 6)), np.array([0, 2, 1, 1])
    expected = net.gradient(x, t)
    W1, b1, W2, b2 = (Variable(net.params[name], name) for name in ("W1", "b1", "W2", "b2"))
    loss = apply(SoftmaxWithLoss(), (x @ W1 + b1).maximum(0) @ W2 + b2, t)
    loss.backward()
    assert loss.value == pytest.approx(net.loss(x, t), rel=1e-12)
    for variable in (W1, b1, W2, b2):
        np.testing.assert_allclose(variable.grad, expected[str(variable.name)], rtol=0, atol=1e-12)
    layer = Affine(net.params["W1"], net.params["b1"])
    hidden = apply(layer, Variable(x)).maximum(0)
    apply(SoftmaxWithLoss(), hidden @ W2 + b2, t).backward()
    np.testing.assert_allclose(layer.dW, expected["W1"], rtol=0, atol=1e-12)


def test_a_layer_applied_again_is_refused_and_leaves_the_gradients() -> None:
    layer, x = Relu(), Variable([1.0, -1.0])
    once = apply(layer, x)
    once.backward()
    twice = apply(layer, -x)
    before = x.grad
    with pytest.raises(RuntimeError, match="this Relu was applied again since"):
        (once + twice).backward()
    assert x.grad is before
    twice.backward()
    assert x.grad.tolist() == [0, -1]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (np.ones(3), ValueError, r"what Wrong.backward gives must have the shape of the input, \(2,\), got \(3,\)"),
        (None, TypeError, "what Wrong.backward gives must be an array of numbers, got NoneType"),
        ((np.ones(2), np.ones(2)), ValueError, "Wrong.backward gave 2 gradients for 1 variables"),
    ],
)
def test_what_a_layer_gives_back_is_checked(given: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        apply(Wrong(given), Variable([1.0, 2.0])).backward()


def test_apply_names_what_is_wrong() -> None:
    with pytest.raises(TypeError, match="layer must be an object with forward and backward"):
        apply(Relu, Variable(1))
    with pytest.raises(TypeError, match="needs at least one Variable for Relu"):
        apply(Relu(), 1)
    with pytest.raises(TypeError, match="must have a method backward"):
        apply(type("Half", (), {"forward": lambda self, x: x})(), Variable(1))


def test_a_node_layer_may_be_applied_by_hand() -> None:
    x = Variable(3.0)
    y = apply(MulLayer(), x, 4)
    y.backward()
    assert (y.value, x.grad) == (12, 4)


# --- large graphs ---


def chain(length: int) -> tuple[Variable, Variable]:
    x = Variable(1.0)
    y = x
    for _ in range(length):
        y = y + x
    return x, y


def test_a_chain_of_100_000_additions() -> None:
    x, y = chain(100_000)
    y.backward()
    assert (y.value, x.grad) == (100_001, 100_001)


def test_a_graph_is_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        x, y = chain(100_000)
        y.backward()
        middle = weakref.ref(y.inputs[0])
        applied = apply(Relu(), y)
        applied.backward()
        held = weakref.ref(applied)
        del y, applied
        assert middle() is None
        assert held() is None
        assert x.grad == 100_001
    finally:
        gc.enable()


def test_a_deep_graph_is_freed_on_a_small_stack() -> None:
    # What frees a chain of objects in C may recurse.
    code = (
        "import threading; threading.stack_size(256 * 1024)\n"
        "from chainrule import Variable\n"
        "def run():\n"
        "    x = Variable(1.0)\n"
        "    for _ in range(100_000): x = -x + 1\n"
        "    x.backward(); del x; print('freed')\n"
        "thread = threading.Thread(target=run); thread.start(); thread.join()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "freed\n")
