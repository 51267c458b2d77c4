"""The numeric side by itself: its error bars hold against derivatives known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule.checking.finite_differences import differentiate, largest, quotients, scales_of
from chainrule.checking.perturbation import (
    DirectionStencil,
    EngineStencil,
    EntryStencil,
    Outputs,
    measured_noise,
    moved_in_python,
)

Floats = NDArray[Any]
Function = Callable[[Floats], Any]


def evaluator(f: Function, x: Floats) -> Callable[[], Floats]:
    return lambda: np.atleast_1d(np.asarray(f(x), np.float64)).reshape(-1)


def outputs(f: Function, x: Floats, weights: Any = None) -> Outputs:
    evaluate = evaluator(f, x)
    here = evaluate()
    w = np.ones(here.size) if weights is None else np.asarray(weights, np.float64)
    least = 2 * np.finfo(x.dtype).eps * np.abs(here)
    double = x.dtype == np.float64
    return Outputs(here, w, measured_noise(moved_in_python(evaluate, {"x": x}), [scales_of(x)], least, double=double))


def stencil(f: Function, x: Floats, weights: Any = None) -> EntryStencil:
    return EntryStencil(evaluator(f, x), x, outputs(f, x, weights))


def found(f: Function, x: Floats, claimed: Any, relative: float = 1e-9) -> Any:
    values = np.asarray(claimed, np.float64).reshape(-1)
    return differentiate(
        stencil(f, x),
        np.arange(x.size),
        scales_of(x).reshape(-1),
        values,
        lambda slopes: relative * np.maximum(np.abs(values), slopes.size),
        np.full(x.size, np.inf),
    )


CLOSED_FORMS: dict[str, tuple[Function, Function]] = {
    "sin": (np.sin, np.cos),
    "exp": (np.exp, np.exp),
    "ninth power": (lambda x: x**9, lambda x: 9 * x**8),
    "logistic": (lambda x: 1 / (1 + np.exp(-x)), lambda x: np.exp(-x) / (1 + np.exp(-x)) ** 2),
    "steep tanh": (lambda x: np.tanh(1000 * x), lambda x: 1000 / np.cosh(1000 * x) ** 2),
    "fast sine": (lambda x: np.sin(300 * x), lambda x: 300 * np.cos(300 * x)),
    "a million and a sine": (lambda x: 1e6 + np.sin(x), np.cos),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2),
    "square root": (lambda x: np.sqrt(np.abs(x)), lambda x: np.sign(x) / 2 / np.sqrt(np.abs(x))),
}


@pytest.mark.parametrize("name", CLOSED_FORMS)
@pytest.mark.parametrize("size", [1e-3, 0.1, 1.0, 3.0])
def test_the_derivative_lies_within_the_error_bar(name: str, size: float) -> None:
    f, derivative = CLOSED_FORMS[name]
    x = size * np.random.default_rng(3).uniform(0.3, 1.5, 40) * np.random.default_rng(4).choice([-1, 1], 40)
    with np.errstate(all="ignore"):  # beside the domain, and slopes of 1e-300
        result = found(lambda a: np.sum(f(a)), x, np.full(40, np.nan))
        true = derivative(x)
    off = np.abs(result.slopes.value - true)
    # What the closed form itself is off by; a tanh of 100 is 1, whatever its slope.
    assert (off <= result.slopes.bar + 1e-13 * np.abs(true) + 1e-15).all()
    assert not result.kinks.any()


@pytest.mark.parametrize("name", ["sin", "exp", "logistic", "reciprocal"])
def test_the_error_bar_of_a_smooth_function_is_small(name: str) -> None:
    f, derivative = CLOSED_FORMS[name]
    x = np.random.default_rng(3).uniform(0.5, 1.5, 20)
    result = found(f, x, derivative(x))
    assert (result.slopes.bar <= 1e-6 * np.abs(derivative(x))).all()


def test_numbers_that_an_entry_does_not_reach_add_nothing_to_its_bar() -> None:
    x = np.array([1.0, 1e9])
    result = found(lambda a: a.copy(), x, [1.0, 1.0])
    assert result.slopes.bar[0] < 1e-9
    np.testing.assert_allclose(result.slopes.value, 1, rtol=1e-9)


@pytest.mark.parametrize("distance", [0.0, 1e-30])
def test_a_corner_is_a_kink(distance: float) -> None:
    x = np.array([distance, 1.0, -1.0])
    result = found(np.abs, x, [0.3, 1, -1])
    assert result.kinks.tolist() == [True, False, False]
    assert result.slopes.jump[0] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("distance", [1e-3, 1e-5, 1e-7, 1e-9])
@pytest.mark.parametrize("slope", [1.0, 3.0])
def test_a_corner_next_to_the_entry_is_stepped_round(distance: float, slope: float) -> None:
    """A step of a four thousandth of 1 crosses it."""
    x = np.array([1.0])
    result = found(lambda a: np.maximum(slope * (a - 1 + distance), 0), x, [slope])
    assert not result.kinks.any()
    assert abs(result.slopes.value[0] - slope) <= result.slopes.bar[0]
    assert result.slopes.bar[0] < slope / 100


def test_a_jump_of_the_second_derivative_is_no_kink() -> None:
    x = np.array([0.0])
    assert not found(lambda a: np.where(a > 0, a**2, -(a**2)), x, [0.0], relative=1e-3).kinks.any()


def test_the_noise_of_a_function_is_measured() -> None:
    x, rng = np.array([1.0]), np.random.default_rng(0)

    def noisy() -> Floats:
        return np.asarray(np.sin(x) + 1e-9 * rng.standard_normal(1))

    noise = measured_noise(moved_in_python(noisy, {"x": x}), [scales_of(x)], np.zeros(1), double=True)
    assert 1e-9 < noise[0] < 3e-8


def test_a_noisy_function_has_wide_bars_that_hold() -> None:
    x, rng = np.linspace(0.5, 1.5, 20), np.random.default_rng(0)
    result = found(lambda a: np.sin(a) + 1e-8 * rng.standard_normal(20), x, np.cos(x))
    assert (np.abs(result.slopes.value - np.cos(x)) <= result.slopes.bar).all()
    assert result.slopes.bar.max() > 1e-8


def test_the_array_is_put_back_when_the_function_raises() -> None:
    x = np.array([1.0, 2.0])
    calls = [0]

    def evaluate() -> Floats:
        calls[0] += 1
        if calls[0] == 4:
            raise ArithmeticError
        return x.copy()

    moving = EntryStencil(evaluate, x, Outputs(x.copy(), np.ones(2), np.zeros(2)))
    with pytest.raises(ArithmeticError):
        moving.slopes(np.arange(2), np.full(2, 1e-4))
    assert x.tolist() == [1, 2]


def test_weights_are_the_cotangent() -> None:
    x = np.array([0.5, 0.7])
    result = stencil(np.sin, x, [3.0, -2.0]).slopes(np.arange(2), np.full(2, 1e-4))
    np.testing.assert_allclose(result.value, [3, -2] * np.cos(x), rtol=1e-9)


def test_a_slope_along_a_direction_is_the_sum_of_its_entries() -> None:
    x = np.array([0.5, 0.7, -0.2])
    v = np.array([1.0, -2.0, 0.5])
    along = moved_in_python(evaluator(np.sin, x), {"x": x})
    result = DirectionStencil(along, outputs(np.sin, x), [[v]]).slopes(np.arange(1), np.array([1e-4]))
    assert result.value[0] == pytest.approx(float(np.cos(x) @ v), rel=1e-9)
    assert x.tolist() == [0.5, 0.7, -0.2]


def test_a_direction_that_is_refused_leaves_the_others_alone() -> None:
    x = np.array([0.5, 0.7])

    def f(x: Floats) -> Any:
        if x[0] > 0.6:
            raise ArithmeticError
        return np.sin(x)

    along = moved_in_python(evaluator(f, x), {"x": x})
    directions = [[np.array([1.0, 0.0])], [np.array([0.0, 1.0])], [np.array([1.0, 1.0])]]
    moving = DirectionStencil(along, outputs(f, x), directions)
    found = moving.slopes(np.array([0, 1, 2, 1]), np.array([0.5, 1e-4, 1e-4, 1e-3]))
    assert np.isnan(found.value[0])
    assert np.isposinf(found.bar[0])
    a, b = np.cos(x)
    np.testing.assert_allclose(found.value[1:], [b, a + b, b], rtol=1e-9)
    assert np.isfinite(found.bar[1:]).all()
    with pytest.raises(ArithmeticError):  # so near, it has to take what it is asked
        DirectionStencil(along, outputs(f, x), [[np.array([1e4, 0.0])]]).slopes(np.arange(1), np.array([1e-4]))
    assert x.tolist() == [0.5, 0.7]


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ([1.0, -3.0], 3.0),
        ([np.nan, -2.0, 1.0], 2.0),
        ([np.inf, -np.inf, 0.5], 0.5),
        ([np.nan, np.inf], 0.0),
        ([], 0.0),
    ],
)
def test_the_size_of_the_largest_finite_number(values: list[float], size: float) -> None:
    assert largest(np.array(values)) == size


def test_rust_and_python_give_the_same_slopes() -> None:
    x = np.array([0.5, 0.7, -0.2])

    def losses(entries: NDArray[np.int64], offsets: Floats) -> Floats:
        return np.array(
            [
                [np.sin(x).sum() - np.sin(x[e]) + np.sin(x[e] + d) for d in row]
                for e, row in zip(entries, offsets, strict=True)
            ]
        )

    steps = np.full(3, 1e-4)
    many = EngineStencil(losses, x, np.ones(3), 1e-16).slopes(np.arange(3), steps)
    one = stencil(lambda a: np.sum(np.sin(a)), x).slopes(np.arange(3), steps)
    np.testing.assert_allclose(many.value, one.value, rtol=1e-10)


def test_scales_are_not_below_the_geometric_mean() -> None:
    assert scales_of(np.array([0.0, 1e-4, 1e4, 0.5])).tolist() == pytest.approx(
        [0.5 ** (1 / 3), 0.5 ** (1 / 3), 1e4, 0.5 ** (1 / 3)]
    )
    assert scales_of(np.zeros(3)).tolist() == [1, 1, 1]


def test_the_quotients_of_a_parabola_are_exact() -> None:
    h = 2.0**-10
    points = [1 - h, 1 - h / 2, 1.0, 1 + h / 2, 1 + h]
    d, truncation, jump, rounding = quotients([p * p for p in points], points, 1e-16)
    assert (d, truncation) == (2, 0)
    assert jump == 0
    assert rounding == pytest.approx(4e-16 / h)


def test_a_polynomial_of_fourth_degree_is_differentiated_to_rounding() -> None:
    """Extrapolation takes the third derivative out, and central differences have no term of the fourth."""
    x = np.array([1.3])
    result = stencil(lambda a: a**4, x).slopes(np.arange(1), np.array([2.0**-6]))
    assert result.value[0] == pytest.approx(4 * 1.3**3, rel=1e-12)
    assert math.isclose(result.truncation[0], 3 * 4 * 1.3 * 2.0**-14, rel_tol=1e-6)
