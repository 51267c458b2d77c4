"""functions.py against the tutorial's code, formulas in exact arithmetic, and the numbers the book prints."""

from __future__ import annotations

import warnings
from decimal import Decimal, localcontext
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import seed_reference as seed
from chainrule.nn.functions import (
    cross_entropy_error,
    identity_function,
    log_softmax,
    mean_squared_error,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    softmax_loss,
    step_function,
    sum_squared_error,
)

ELEMENTWISE = [identity_function, sigmoid, sigmoid_grad, relu, relu_grad]
FLOATING = [*ELEMENTWISE, softmax, log_softmax]
EVERY = [*FLOATING, step_function]

# Row D3 of the fault list: float64 within 1e-12 relative of NumPy, operation by operation.
F64: dict[str, Any] = {"rtol": 1e-12, "atol": 0}

scores = arrays(np.float64, array_shapes(min_dims=1, max_dims=3), elements=st.floats(-700, 700))


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def exact_sigmoid(x: float) -> tuple[float, float]:
    """Give 1 / (1 + exp(-x)) and its slope from 60 decimal digits."""
    with localcontext() as context:
        context.prec = 400  # so that 1 - y still has its digits at |x| = 700
        y = 1 / (1 + (-Decimal(x)).exp())
        return float(y), float(y * (1 - y))


# --- activations ---


@pytest.mark.parametrize("x", [-700.0, -40.0, -1.5, -1e-9, 0.0, 0.3, 2.0, 36.0, 700.0])
def test_sigmoid_and_its_slope_are_the_formula(x: float) -> None:
    y, slope = exact_sigmoid(x)
    np.testing.assert_allclose(sigmoid(x), y, **F64)
    np.testing.assert_allclose(sigmoid_grad(x), slope, **F64)


@pytest.mark.fault("D3")
@pytest.mark.parametrize("name", ["identity_function", "step_function", "sigmoid", "sigmoid_grad", "relu"])
def test_d3_elementwise_functions_agree_with_the_tutorial(name: str) -> None:
    x = rng().uniform(-5, 5, (7, 9))
    ours = {function.__name__: function for function in EVERY}[name]
    np.testing.assert_allclose(ours(x), getattr(seed, name)(x), **F64)


@pytest.mark.fault("D3")
@pytest.mark.parametrize("function", ELEMENTWISE)
def test_d3_float32_is_within_4_ulp(function: Any) -> None:
    x = rng().uniform(-80, 80, 10_000).astype(np.float32)
    exact = function(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_max_ulp(function(x), exact, maxulp=4)


def test_sigmoid_at_the_ends() -> None:
    assert sigmoid([-np.inf, -1000.0, 1000.0, np.inf]).tolist() == [0, 0, 1, 1]


def test_sigmoid_grad_at_the_ends() -> None:
    assert sigmoid_grad([-np.inf, -1000.0, 1000.0, np.inf]).tolist() == [0, 0, 0, 0]


def test_relu_values() -> None:
    assert relu([-np.inf, -1.0, 0.0, 2.0, np.inf]).tolist() == [0, 0, 0, 2, np.inf]


def test_relu_grad_is_0_at_0() -> None:
    assert relu_grad([-1.0, -0.0, 0.0, 5e-324, 1.0]).tolist() == [0, 0, 0, 1, 1]


def test_relu_grad_agrees_with_the_tutorial_away_from_0() -> None:
    x = rng().standard_normal(50)
    np.testing.assert_array_equal(relu_grad(x), seed.relu_grad(x))


@pytest.mark.parametrize(
    "x", [[-1, 0, 3], (True, False), 2.5, np.array([-1, 1], np.float32), np.array([0, 9], np.uint8)]
)
def test_step_function_gives_int64_for_any_input(x: Any) -> None:
    y = step_function(x)
    assert isinstance(y, np.ndarray)
    assert y.dtype == np.int64
    assert y.tolist() == (np.asarray(x) > 0).astype(int).tolist()


@pytest.mark.parametrize(
    ("function", "expected"),
    [(identity_function, np.nan), (sigmoid, np.nan), (relu, np.nan), (relu_grad, 0), (step_function, 0)],
)
def test_a13_nan_is_answered_as_numpy_does(function: Any, expected: float) -> None:
    np.testing.assert_array_equal(function([np.nan]), [expected])


# --- all of them: what goes in, what comes out ---


@pytest.mark.parametrize("function", EVERY)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_nothing_ever_warns(function: Any, dtype: Any) -> None:
    ends = [-np.inf, -3e4, -1000.0, -1e-40, -0.0, 0.0, 1e-40, 1000.0, 3e4, np.inf, np.nan]
    with np.errstate(all="ignore"):
        x = np.array(ends).astype(dtype)
    with warnings.catch_warnings(), np.errstate(all="raise"):
        warnings.simplefilter("error")
        for one in (x, *x):
            function(one)


@pytest.mark.fault("A5")
@pytest.mark.parametrize("function", FLOATING)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_a5_a_float_dtype_comes_back(function: Any, dtype: Any) -> None:
    assert function(np.ones((2, 3), dtype)).dtype == dtype


@pytest.mark.fault("A5")
@pytest.mark.parametrize("function", FLOATING)
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a5_half_precision_is_computed_in_float32(function: Any, dtype: Any) -> None:
    x = rng().standard_normal((5, 4)).astype(dtype)
    np.testing.assert_array_equal(function(x), function(x.astype(np.float32)).astype(dtype))


@pytest.mark.fault("A4")
@pytest.mark.parametrize("function", FLOATING)
@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int32, np.int64])
def test_a4_whole_numbers_become_float64(function: Any, dtype: Any) -> None:
    x = np.array([[1, 0, 1]], dtype)
    y = function(x)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(y, function(x.astype(np.float64)))


@pytest.mark.parametrize("function", FLOATING)
@pytest.mark.parametrize("x", [0.5, np.float64(0.5), np.array(0.5), 2])
def test_a_number_gives_a_numpy_scalar(function: Any, x: Any) -> None:
    assert isinstance(function(x), np.float64)


@pytest.mark.fault("A2")
@pytest.mark.parametrize("function", EVERY)
@pytest.mark.parametrize("make", [list, tuple, memoryview])
def test_a2_anything_asarray_takes_is_accepted(function: Any, make: Any) -> None:
    x = rng().standard_normal(6)
    np.testing.assert_array_equal(function(make(x)), function(x))


@pytest.mark.parametrize("function", EVERY)
def test_a3_a_string_is_refused_by_name(function: Any) -> None:
    with pytest.raises(TypeError, match="x must be an array of numbers, got str"):
        function("0.5")


@pytest.mark.parametrize("function", EVERY)
def test_a7_complex_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="x has dtype complex128; chainrule computes in float32 or float64"):
        function(np.array([1j]))


@pytest.mark.fault("A8")
@pytest.mark.parametrize("function", FLOATING)
def test_a8_big_endian_is_accepted_and_comes_back_native(function: Any) -> None:
    x = rng().standard_normal((3, 4)).astype(np.float32)
    y = function(x.astype(">f4"))
    assert y.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(y, function(x))


@pytest.mark.parametrize("function", EVERY)
def test_a9_views_give_what_their_copies_give(function: Any) -> None:
    x = rng().standard_normal((6, 8))
    for view in (x.T, x[::2, 1::3], x[::-1], np.broadcast_to(x[0], (3, 8))):
        np.testing.assert_array_equal(function(view), function(view.copy()))


@pytest.mark.parametrize("function", EVERY)
def test_a10_read_only_input_is_fine(function: Any) -> None:
    function(np.frombuffer(np.ones(4).tobytes()))


@pytest.mark.parametrize("function", EVERY)
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_a11_empty_gives_empty(function: Any, shape: tuple[int, ...]) -> None:
    assert function(np.zeros(shape)).shape == shape


@pytest.mark.fault("A14")
@pytest.mark.parametrize("function", EVERY)
def test_a14_a_masked_array_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="x is a masked array"):
        function(np.ma.masked_array([1.0, 2.0], [True, False]))


@pytest.mark.parametrize("function", EVERY)
def test_a15_the_argument_is_not_written_to(function: Any) -> None:
    x = rng().standard_normal((3, 4))
    before = x.copy()
    function(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("function", EVERY)
def test_a16_the_result_is_new(function: Any) -> None:
    x = rng().standard_normal((3, 4))
    assert not np.shares_memory(function(x), x)


# --- softmax ---


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_d3_softmax_agrees_with_the_tutorial(shape: tuple[int, ...]) -> None:
    x = rng().standard_normal(shape) * 10
    np.testing.assert_allclose(softmax(x), seed.softmax(x), **F64)


def test_softmax_of_any_rank_goes_along_the_last_axis() -> None:
    x = rng().standard_normal((2, 3, 4, 5))
    by_row = [seed.softmax(row) for row in x.reshape(-1, 5)]
    np.testing.assert_allclose(softmax(x).reshape(-1, 5), by_row, **F64)


def test_softmax_of_the_book() -> None:
    # "Deep Learning from Scratch" §3.5.1 prints these for the scores 0.3, 2.9, 4.0.
    np.testing.assert_allclose(softmax([0.3, 2.9, 4.0]), [0.01821127, 0.24519181, 0.73659691], atol=5e-9)


def test_softmax_of_equal_huge_scores() -> None:
    assert softmax([1e308, 1e308]).tolist() == [0.5, 0.5]


@pytest.mark.fault("A13")
def test_a13_softmax_rows_without_an_answer_are_nan() -> None:
    rows = np.array([[np.inf, 1], [np.inf, np.inf], [np.nan, 1], [np.inf, -np.inf], [-np.inf, -np.inf]])
    assert np.isnan(softmax(rows)).all()
    assert np.isnan(log_softmax(rows)).all()


def test_a13_a_score_of_minus_infinity_is_a_class_ruled_out() -> None:
    assert softmax([-np.inf, 3.0]).tolist() == [0, 1]
    assert log_softmax([-np.inf, 3.0]).tolist() == [-np.inf, 0]


def test_a_bad_row_leaves_the_others_alone() -> None:
    assert softmax([[np.nan, 0.0], [0.0, 0.0]])[1].tolist() == [0.5, 0.5]


@given(scores)
@settings(deadline=None, derandomize=True)
def test_softmax_rows_are_distributions(x: Any) -> None:
    y = softmax(x)
    assert (y >= 0).all()
    # A sum of k quotients, each off by a few ε.
    np.testing.assert_allclose(y.sum(axis=-1), 1, rtol=8 * x.shape[-1] * np.finfo(float).eps)


@given(scores, st.integers(-1000, 1000))
@settings(deadline=None, derandomize=True)
def test_softmax_ignores_a_shift(x: Any, shift: int) -> None:
    # The shift itself rounds each score by up to ε · 1700 / 2, and y by as much, relatively.
    np.testing.assert_allclose(softmax(x + shift), softmax(x), rtol=2e-12, atol=1e-300)


@given(scores)
@settings(deadline=None, derandomize=True)
def test_softmax_keeps_the_order(x: Any) -> None:
    y = softmax(x)
    np.testing.assert_array_equal(np.take_along_axis(y, x.argmax(-1)[..., None], -1)[..., 0], y.max(-1))


def test_log_softmax_is_the_logarithm_of_softmax() -> None:
    x = rng().standard_normal((4, 5))
    np.testing.assert_allclose(log_softmax(x), np.log(seed.softmax(x)), **F64)


def test_log_softmax_where_the_probability_rounds_to_0() -> None:
    assert log_softmax([[1000.0, 0.0], [-1e6, 0.0]]).tolist() == [[0, -1000], [-1e6, 0]]


# --- sums of squares ---

BOOK_T = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
BOOK_SURE = [0.1, 0.05, 0.6, 0.0, 0.05, 0.1, 0.0, 0.1, 0.0, 0.0]
BOOK_WRONG = [0.1, 0.05, 0.1, 0.0, 0.05, 0.1, 0.0, 0.6, 0.0, 0.0]


@pytest.mark.parametrize(("y", "printed"), [(BOOK_SURE, 0.09750000000000003), (BOOK_WRONG, 0.59750000000000003)])
def test_mean_squared_error_of_the_book(y: list[float], printed: float) -> None:
    # "Deep Learning from Scratch" §4.2.1.
    np.testing.assert_allclose(mean_squared_error(y, BOOK_T), printed, **F64)


@pytest.mark.parametrize("error", [mean_squared_error, sum_squared_error])
def test_d3_squared_error_agrees_with_the_tutorial(error: Any) -> None:
    y, t = rng().standard_normal((2, 4, 5))
    np.testing.assert_allclose(error(y, t), seed.mean_squared_error(y, t), **F64)


def test_l5_squared_error_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"y.shape=\(3,\), t.shape=\(3, 1\)"):
        sum_squared_error(np.zeros(3), np.zeros((3, 1)))


@pytest.mark.parametrize(
    ("y", "t", "result"),
    [
        (np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float64),
        (np.float32, np.int64, np.float64),
        (np.uint8, np.uint8, np.float64),
        (np.float16, np.float16, np.float16),
        (np.float16, np.float32, np.float32),
    ],
)
def test_a4_squared_error_dtypes(y: Any, t: Any, result: Any) -> None:
    assert mean_squared_error(np.zeros(3, y), np.ones(3, t)).dtype == result


def test_a4_unsigned_differences_do_not_wrap() -> None:
    assert sum_squared_error(np.array([0], np.uint8), np.array([2], np.uint8)) == 2


def test_squared_error_is_quiet() -> None:
    assert sum_squared_error([1e200], [0.0]) == np.inf
    assert np.isnan(sum_squared_error([np.inf], [np.inf]))


# --- cross entropy of probabilities ---


def probabilities(n: int = 6, classes: int = 4) -> Any:
    return seed.softmax(rng(1).standard_normal((n, classes)))


def soft_labels(n: int = 6, classes: int = 4) -> Any:
    return seed.softmax(rng(2).standard_normal((n, classes)))


IDS = np.array([0, 3, 1, 1, 2, 0])


@pytest.mark.parametrize(("y", "printed"), [(BOOK_SURE, 0.510825457099338), (BOOK_WRONG, 2.302584092994546)])
def test_cross_entropy_error_of_the_book(y: list[float], printed: float) -> None:
    # "Deep Learning from Scratch" §4.2.2.
    np.testing.assert_allclose(cross_entropy_error(y, BOOK_T), printed, **F64)


@pytest.mark.parametrize("t", [IDS, np.eye(4)[IDS]])
def test_d3_cross_entropy_error_agrees_with_the_tutorial(t: Any) -> None:
    y = probabilities()
    np.testing.assert_allclose(cross_entropy_error(y, t), seed.cross_entropy_error(y, t), **F64)


def test_cross_entropy_error_of_soft_labels_uses_them_as_given() -> None:
    y, t = probabilities(), soft_labels()
    expected = sum(-t[n, k] * np.log(y[n, k] + 1e-7) for n in range(6) for k in range(4)) / 6
    np.testing.assert_allclose(cross_entropy_error(y, t), expected, **F64)


def test_l3_a_column_of_ids_is_taken_as_ids() -> None:
    y = probabilities()
    assert cross_entropy_error(y, IDS[:, None]) == cross_entropy_error(y, IDS)


def test_l3_as_many_ids_as_probabilities_are_not_taken_for_one_hot() -> None:
    # One row of four probabilities against four ids: equal sizes, which is what the tutorial looks at.
    with pytest.raises(ValueError, match=r"t must have shape \(1,\)"):
        cross_entropy_error(np.full((1, 4), 0.25), [0, 1, 2, 3])


@pytest.mark.parametrize("t", [2, [0, 0, 1, 0]])
def test_cross_entropy_error_of_one_example(t: Any) -> None:
    np.testing.assert_allclose(cross_entropy_error([0.1, 0.2, 0.5, 0.2], t), -np.log(0.5 + 1e-7), **F64)


def test_cross_entropy_error_is_capped_and_below_0_when_perfect() -> None:
    np.testing.assert_allclose(cross_entropy_error([[1.0, 0.0]], [0]), -1e-7, rtol=1e-6)  # ln(1 + e) = e - e²/2
    np.testing.assert_allclose(cross_entropy_error([[1.0, 0.0]], [1]), 16.11809565095832, **F64)


def test_eps_0_gives_the_true_logarithm() -> None:
    assert cross_entropy_error([[1.0, 0.0]], [1], eps=0) == np.inf
    assert cross_entropy_error([[1.0, 0.0]], [[1, 0]], eps=0) == 0


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize("t", [IDS, np.eye(4)[IDS]])
def test_cross_entropy_error_comes_in_the_dtype_of_y(dtype: Any, t: Any) -> None:
    assert cross_entropy_error(probabilities().astype(dtype), t).dtype == dtype


def test_a_negative_eps_is_refused() -> None:
    with pytest.raises(ValueError, match="eps must be >= 0, got -1e-07"):
        cross_entropy_error(probabilities(), IDS, eps=-1e-7)


def test_cross_entropy_error_is_quiet() -> None:
    assert np.isnan(cross_entropy_error([[np.nan, 0.5], [-1.0, 0.5]], [0, 0]))


# --- both losses: what they refuse ---

LOSSES = [cross_entropy_error, softmax_loss]


@pytest.mark.fault("A11")
@pytest.mark.parametrize("loss", LOSSES)
def test_a11_an_empty_batch_has_no_loss(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"empty batch has no mean loss: .\.shape=\(0, 4\)"):
        loss(np.zeros((0, 4)), np.zeros(0, int))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(), (2, 2, 2)])
def test_a12_scores_have_one_axis_or_two(loss: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(N, C\)"):
        loss(np.ones(shape), [0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bad", [-1, 4])
def test_l1_an_id_outside_the_classes_is_refused(loss: Any, bad: int) -> None:
    with pytest.raises(ValueError, match=rf"labels must lie in 0\.\.3; got {bad} at row 1"):
        loss(np.ones((2, 4)), [0, bad])


@pytest.mark.parametrize("loss", LOSSES)
def test_l4_a_row_that_is_no_distribution_is_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match="row 1 sums to 2"):
        loss(np.ones((2, 2)), [[0, 1], [1, 1]])


@pytest.mark.parametrize("loss", LOSSES)
def test_l5_both_shapes_are_named(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"t.shape=\(5,\) for scores of shape \(6, 4\)"):
        loss(probabilities(), IDS[:5])


@pytest.mark.parametrize("loss", LOSSES)
def test_l5_another_number_of_classes_is_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"t.shape=\(6, 3\) for scores of shape \(6, 4\)"):
        loss(probabilities(), np.ones((6, 3)) / 3)


# --- cross entropy of scores ---


def exact_loss(x: Any, t: Any) -> float:
    """Give the mean of Σ t (ln Σ exp(x) - x), from scores small enough for exp."""
    lse = np.log(np.exp(x).sum(axis=1, keepdims=True))
    return float((t * (lse - x)).sum(axis=1).mean())


@pytest.mark.parametrize("t", [np.eye(4)[IDS], soft_labels()])
def test_softmax_loss_is_the_formula(t: Any) -> None:
    x = rng().standard_normal((6, 4))
    np.testing.assert_allclose(softmax_loss(x, t), exact_loss(x, t), **F64)


def test_softmax_loss_of_ids_is_that_of_one_hot_rows() -> None:
    x = rng().standard_normal((6, 4))
    np.testing.assert_allclose(softmax_loss(x, IDS), softmax_loss(x, np.eye(4)[IDS]), **F64)


def test_softmax_loss_agrees_with_the_tutorial_but_for_its_1e_7() -> None:
    x = rng().standard_normal((6, 4))
    # ln(p + 1e-7) - ln(p) < 1e-7 / p, and the smallest p here is above 0.01.
    np.testing.assert_allclose(softmax_loss(x, IDS), seed.softmax_loss(x, IDS), atol=1e-5)


@pytest.mark.parametrize("t", [2, [0, 0, 1, 0]])
def test_softmax_loss_of_one_example(t: Any) -> None:
    np.testing.assert_allclose(softmax_loss([1.0, 2.0, 3.0, 4.0], t), np.log(np.exp([-2, -1, 0, 1]).sum()), **F64)


def test_softmax_loss_is_0_when_perfect_and_not_capped() -> None:
    assert softmax_loss([[1000.0, 0.0]], [0]) == 0
    assert softmax_loss([[1000.0, 0.0]], [1]) == 1000


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64])
def test_softmax_loss_is_a_python_float(dtype: Any) -> None:
    assert type(softmax_loss(np.ones((2, 3), dtype), [0, 1])) is float


def test_softmax_loss_computes_float32_in_float32() -> None:
    x = rng().standard_normal((6, 4)).astype(np.float32)
    exact = exact_loss(x.astype(np.float64), np.eye(4)[IDS])
    # A few roundings a row in float32 (ε = 1.2e-7), then a mean.
    np.testing.assert_allclose(softmax_loss(x, IDS), exact, rtol=1e-6)


@pytest.mark.parametrize("row", [[np.nan, 1.0], [np.inf, 1.0], [-np.inf, -np.inf]])
def test_a13_softmax_loss_of_a_row_without_an_answer_is_nan(row: list[float]) -> None:
    assert np.isnan(softmax_loss([row, [0.0, 0.0]], [0, 0]))


def test_a13_a_true_class_that_was_ruled_out_costs_infinity() -> None:
    assert softmax_loss([[-np.inf, 0.0]], [0]) == np.inf


def test_a9_softmax_loss_of_views() -> None:
    x = rng().standard_normal((4, 6))
    assert softmax_loss(x.T, IDS) == softmax_loss(x.T.copy(), IDS)


def test_a15_softmax_loss_takes_one_array_as_both_and_writes_to_neither() -> None:
    t = soft_labels()
    before = t.copy()
    assert softmax_loss(t, t) == softmax_loss(t, t.copy())
    np.testing.assert_array_equal(t, before)


@given(
    arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6)),
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
)
@settings(deadline=None, derandomize=True)
def test_softmax_loss_is_minus_the_mean_log_softmax(x: Any, ids: list[int]) -> None:
    expected = -log_softmax(x)[np.arange(3), ids].mean()
    loss = softmax_loss(x, ids)
    assert loss >= 0
    # Both take scores of up to 1e6 apart, so near 0 only absolute digits are left: 1e6 ε.
    np.testing.assert_allclose(loss, expected, rtol=1e-12, atol=1e-9)
