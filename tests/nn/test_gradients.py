"""gradients.py: right numbers, the same array handed to f, and everything put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import seed_reference as seed
from chainrule.nn.gradients import _numerical_gradient_1d, numerical_gradient, numerical_gradient_2d


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def squares(x: Any) -> Any:
    return np.sum(np.asarray(x) ** 2)


def recording(look: Callable[[Any], Any], f: Callable[[Any], Any]) -> tuple[Callable[[Any], Any], list[Any]]:
    """Give `f`, and a list to which it adds what `look` sees in each argument."""
    seen: list[Any] = []

    def recorded(x: Any) -> Any:
        seen.append(look(x))
        return f(x)

    return recorded, seen


# The difference quotient of a quadratic has no error but rounding: ε |f| / h, with |f| < 100 and h = 1e-4.
QUADRATIC: dict[str, Any] = {"rtol": 0, "atol": 1e-9}


# --- numbers ---


@pytest.mark.parametrize("shape", [(), (1,), (5,), (3, 4), (2, 3, 2), (2, 1, 2, 3)])
def test_the_gradient_of_a_sum_of_squares_is_2x(shape: tuple[int, ...]) -> None:
    x = np.asarray(rng().standard_normal(shape))
    gradient = numerical_gradient(squares, x)
    assert gradient.shape == shape
    np.testing.assert_allclose(gradient, 2 * x, **QUADRATIC)


def test_the_gradients_of_the_book() -> None:
    # "Deep Learning from Scratch" §4.4, for x₀² + x₁².
    points = np.array([[3.0, 4.0], [0.0, 2.0], [3.0, 0.0]])
    np.testing.assert_allclose(numerical_gradient_2d(squares, points), [[6, 8], [0, 4], [6, 0]], **QUADRATIC)


@pytest.mark.parametrize("name", ["numerical_gradient", "_numerical_gradient_1d", "numerical_gradient_2d"])
def test_d3_float64_agrees_with_the_tutorial(name: str) -> None:
    ours = {g.__name__: g for g in (numerical_gradient, _numerical_gradient_1d, numerical_gradient_2d)}[name]
    x = rng().uniform(1, 4, 6)
    f = lambda x: np.sum(np.exp(x))  # noqa: E731
    # The tutorial divides by 2h, we by what was stored: x ± h is off by up to 2ε, against h = 1e-4.
    np.testing.assert_allclose(ours(f, x), getattr(seed, name)(f, x), rtol=1e-11)


@given(arrays(np.float64, array_shapes(max_dims=3, max_side=3), elements=st.floats(-10, 10)))
@settings(deadline=None, derandomize=True)
def test_the_gradient_of_a_linear_function_is_its_coefficients(a: Any) -> None:
    x = rng().uniform(-1, 1, a.shape)
    # Rounding only: 27 terms of up to 10, each off by ε, over 2h.
    np.testing.assert_allclose(numerical_gradient(lambda x: np.sum(a * x), x), a, atol=1e-9)


def test_a_closure_over_a_network_sees_the_change() -> None:
    np.random.seed(0)
    net = seed.exact_two_layer_net(6, 5, 3, weight_init_std=1.0)
    x, t = rng().standard_normal((4, 6)), np.array([0, 2, 1, 2])
    backward = net.gradient(x, t)
    for name, parameter in net.params.items():
        numeric = numerical_gradient(lambda W: net.loss(x, t), parameter)
        np.testing.assert_allclose(numeric, backward[name], atol=1e-7)  # h² |f‴| / 6, with f‴ of order 10


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-4), (np.float16, 2e-2), (ml_dtypes.bfloat16, 1e-1)])
def test_the_default_step_suits_the_dtype(dtype: Any, tolerance: float) -> None:
    x = np.array([0.75, 1.0, 1.5]).astype(dtype)  # ε^⅔ |f|, rounded up: f itself is computed in the dtype
    gradient = numerical_gradient(lambda x: np.sum(np.sin(x)), x)
    np.testing.assert_allclose(gradient, np.cos([0.75, 1.0, 1.5]), atol=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_the_divisor_is_the_step_that_was_stored(dtype: Any) -> None:
    x = np.array([100.1], dtype)  # where h = 0.1 is rounded, visibly in float16
    assert numerical_gradient(lambda x: 3 * float(x[0]), x, h=0.1) == pytest.approx(3, rel=1e-12)


def test_values_are_subtracted_in_float64() -> None:
    x = np.array([1.0], np.float16)
    assert numerical_gradient(lambda x: 2.0**20 + float(x[0]), x) == [1]  # 2²⁰ + 1 has no float16


def test_h_is_honoured() -> None:
    # For x³ the difference quotient is 3x² + h² exactly.
    assert numerical_gradient(lambda x: x[0] ** 3, np.array([1.0]), h=0.5) == [3.25]


@pytest.mark.parametrize("x", [[3, 4], (3, 4), np.array([3, 4]), np.array([3, 4], np.uint8), [3.0, 4.0]])
def test_what_is_no_float_array_is_copied_to_float64(x: Any) -> None:
    f, seen = recording(lambda x: x.dtype, squares)
    gradient = numerical_gradient(f, x)
    np.testing.assert_allclose(gradient, [6, 8], **QUADRATIC)
    assert set(seen) == {np.dtype(np.float64)}
    assert list(x) == [3, 4]


def test_booleans_are_copied_to_float64() -> None:
    np.testing.assert_allclose(numerical_gradient(squares, np.array([True, False])), [2, 0], **QUADRATIC)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_the_result_is_float64(dtype: Any) -> None:
    assert numerical_gradient(squares, np.ones(2, dtype)).dtype == np.float64


def test_empty_x_gives_an_empty_gradient_without_a_call() -> None:
    assert numerical_gradient(lambda x: pytest.fail("f was called"), np.zeros((0, 3))).shape == (0, 3)


def test_a13_a_nan_entry_gives_a_nan_and_is_quiet() -> None:
    gradient = numerical_gradient(lambda x: float(x[0]), np.array([np.nan, np.inf]))
    assert np.isnan(gradient).all()


# --- the same array, put back ---


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, ">f8"])
def test_f_is_handed_the_very_array(dtype: Any) -> None:
    x = np.ones((2, 2), dtype)
    f, same = recording(lambda given: given is x, lambda given: 0.0)
    numerical_gradient(f, x)
    assert same == [True] * 8


def test_one_entry_is_moved_at_a_time_up_then_down() -> None:
    x = np.zeros(2)
    f, seen = recording(lambda x: x.tolist(), lambda x: 0.0)
    numerical_gradient(f, x, h=1)
    assert seen == [[1, 0], [-1, 0], [0, 1], [0, -1]]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_x_is_put_back_bit_for_bit(dtype: Any) -> None:
    x = np.array([0.1, -0.0, 1e-7, 3e4, np.nan, -np.inf], dtype)
    x[4:5].view(f"u{x.itemsize}")[0] |= 5  # a nan with a payload
    before = x.tobytes()
    numerical_gradient(lambda x: 0.0, x[:3])
    numerical_gradient(lambda x: 0.0, x[4:])
    numerical_gradient(lambda x: 0.0, x, h=100)
    assert x.tobytes() == before


@pytest.mark.parametrize("calls", [1, 2, 3, 4])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_x_is_put_back_when_f_raises(calls: int, error: type[BaseException]) -> None:
    x = np.array([0.1, 0.7])
    before = x.tobytes()
    left = iter(range(1, 5))

    def f(x: Any) -> float:
        if next(left) == calls:
            raise error
        return 0.0

    with pytest.raises(error):
        numerical_gradient(f, x)
    assert x.tobytes() == before


def test_x_is_put_back_when_f_gives_no_number() -> None:
    x = np.array([0.1, 0.7])
    with pytest.raises(ValueError):
        numerical_gradient(lambda x: None, x)
    assert x.tolist() == [0.1, 0.7]


# --- layouts ---


def layouts() -> dict[str, Any]:
    base = rng().uniform(-2, 2, (6, 8))
    record = np.zeros(6, dtype=[("flag", "u1"), ("value", "<f4")])
    record["value"] = np.arange(6)
    return {
        "fortran": np.asfortranarray(base),
        "transposed": base.T,
        "sliced": base[1::2, ::3],
        "negative": base[::-1, ::-2],
        "packed record": record["value"],
        "big-endian": base.astype(">f8"),
    }


@pytest.mark.parametrize("name", layouts())
def test_a9_any_layout_works_in_place(name: str) -> None:
    x = layouts()[name]
    before = x.copy()
    gradient = numerical_gradient(lambda given: np.sum(given.astype(np.float64) ** 2), x)
    # float32 rounds x ± h, so the quotient belongs to a point up to ε |x| away.
    np.testing.assert_allclose(gradient, 2 * before, atol=1e-6 if x.itemsize == 4 else 1e-9)
    np.testing.assert_array_equal(x, before)


def test_a9_a_view_leaves_the_rest_of_its_base_alone() -> None:
    base = np.arange(6.0)
    f, rest = recording(lambda x: base[1::2].tolist(), lambda x: 0.0)
    numerical_gradient(f, base[::2])
    assert rest == [[1, 3, 5]] * 6


def test_a14_a_subclass_is_handed_on_and_comes_back_as_ndarray() -> None:
    with pytest.warns(PendingDeprecationWarning):
        x = np.matrix([[1.0, 2.0]])
    gradient = numerical_gradient(lambda given: squares(given) if given is x else None, x)
    assert type(gradient) is np.ndarray
    np.testing.assert_allclose(gradient, [[2, 4]], **QUADRATIC)


# --- rows ---


def test_1d_is_the_general_one() -> None:
    x = rng().standard_normal(5)
    np.testing.assert_array_equal(_numerical_gradient_1d(squares, x), numerical_gradient(squares, x))


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_1d_wants_one_axis(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x must have one axis, got x.shape="):
        _numerical_gradient_1d(squares, np.ones(shape))


def test_2d_hands_f_each_row_as_a_view() -> None:
    X = rng().standard_normal((3, 2))
    rows: list[int] = []

    def f(row: Any) -> Any:
        assert row.shape == (2,)
        rows.append(next(n for n in range(3) if np.shares_memory(row, X[n])))
        return squares(row)

    np.testing.assert_allclose(numerical_gradient_2d(f, X), 2 * X, **QUADRATIC)
    assert rows == [0] * 4 + [1] * 4 + [2] * 4


def test_2d_of_one_point() -> None:
    x = rng().standard_normal(4)
    np.testing.assert_array_equal(numerical_gradient_2d(squares, x), numerical_gradient(squares, x))


def test_2d_of_no_points() -> None:
    assert numerical_gradient_2d(squares, np.zeros((0, 3))).shape == (0, 3)


@pytest.mark.parametrize("shape", [(), (2, 2, 2)])
def test_2d_refuses_other_ranks(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"X must have shape \(N, D\) or \(D,\), got X.shape="):
        numerical_gradient_2d(squares, np.ones(shape))


# --- what is refused ---


@pytest.mark.parametrize("gradient", [numerical_gradient, _numerical_gradient_1d, numerical_gradient_2d])
def test_a10_read_only_is_refused(gradient: Any) -> None:
    with pytest.raises(ValueError, match=r"is read-only.*copy\(\)"):
        gradient(squares, np.frombuffer(np.ones(3).tobytes()))


@pytest.mark.parametrize("x", [np.array([1j]), np.array([None]), np.array(["1"]), np.ones(1, "longdouble")])
def test_a7_what_is_not_real_is_refused(x: Any) -> None:
    if x.dtype == np.float64:
        pytest.skip("longdouble is float64 here")
    with pytest.raises(TypeError, match=r"x has dtype"):
        numerical_gradient(squares, x)


def test_a14_a_masked_array_is_refused() -> None:
    with pytest.raises(TypeError, match=r"x is a masked array"):
        numerical_gradient(squares, np.ma.masked_array([1.0]))


@pytest.mark.parametrize("value", [np.ones(2), np.ones((2, 2)), np.ones(0)])
def test_f_must_give_one_number(value: Any) -> None:
    with pytest.raises(ValueError, match=rf"got an array of shape \({value.shape[0]},"):
        numerical_gradient(lambda x: value, np.ones(2))


@pytest.mark.parametrize("value", [None, 1j, np.complex128(1), "1", np.ma.masked, [[1], [2, 3]]])
def test_f_must_give_a_real_number(value: Any) -> None:
    with pytest.raises(ValueError, match=r"f must give one real number: f\(x\)"):
        numerical_gradient(lambda x: value, np.ones(2))


@pytest.mark.parametrize("one", [1, np.float32(1), np.array(1.0), np.array([[1.0]]), ml_dtypes.bfloat16(1)])
def test_any_form_of_one_number_will_do(one: Any) -> None:
    assert numerical_gradient(lambda x: one, np.ones(2)).tolist() == [0, 0]


@pytest.mark.parametrize("h", [0, -1e-4, np.nan, np.inf])
def test_s3_h_must_be_above_0(h: float) -> None:
    with pytest.raises(ValueError, match=r"h must be"):
        numerical_gradient(squares, np.ones(2), h)


@pytest.mark.parametrize("h", [True, "1e-4"])
def test_s3_h_must_be_a_number(h: Any) -> None:
    with pytest.raises(TypeError, match=r"h must be a number"):
        numerical_gradient(squares, np.ones(2), h)


@pytest.mark.parametrize(("dtype", "entry"), [(np.float64, 1e13), (np.float32, 1e6), (np.float16, 65504)])
def test_a_step_lost_in_rounding_is_refused(dtype: Any, entry: float) -> None:
    with pytest.raises(ValueError, match=r"does not move .* to another finite .* number"):
        numerical_gradient(lambda x: 0.0, np.array([entry], dtype))


def test_a_step_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"h=100000.0 does not move"):
        numerical_gradient(lambda x: 0.0, np.ones(1, np.float16), h=1e5)


@pytest.mark.parametrize(
    ("dtype", "step"),
    [(np.float64, 1e-4), (np.float32, 2**-8), (np.float16, 2**-3), (ml_dtypes.bfloat16, 2**-2)],
)
def test_the_step_is_the_documented_one_of_its_dtype_if_none_is_given(dtype: Any, step: float) -> None:
    f, seen = recording(lambda x: float(x[0]), squares)
    numerical_gradient(f, np.ones(1, dtype))
    assert seen == [1 + step, 1 - step]
