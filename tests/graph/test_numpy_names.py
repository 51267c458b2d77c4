"""NumPy's names on variables: functions, entries, shapes; against NumPy's own values and differences of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import Variable, numerical_gradient

X = np.array([[0.3, -1.2, 0.9], [2.1, 0.4, -0.7]])
POSITIVE = np.abs(X)

#: Each takes an array or a variable, and is written once for both.
FUNCTIONS: list[tuple[Callable[[Any], Any], Any]] = [
    (np.exp, X), (np.sin, X), (np.cos, X), (np.tanh, X), (np.abs, X), (np.negative, X), (np.square, X), (abs, X),
    (np.log, POSITIVE), (np.sqrt, POSITIVE),
    (lambda x: np.add(x, X), X), (lambda x: np.subtract(X, x), X), (lambda x: np.multiply(x, X), X),
    (lambda x: np.divide(X, x), X), (lambda x: np.power(x, 1.5), POSITIVE), (lambda x: np.power(2.0, x), X),
    (lambda x: np.matmul(x, X.T), X), (lambda x: X.T @ x, X), (lambda x: np.maximum(x, 0.35), X),
    (lambda x: np.minimum(0.35, x), X), (lambda x: np.clip(x, -0.5, 0.5), X), (lambda x: x.clip(-0.5), X),
    (lambda x: np.clip(x, a_min=None, a_max=0.5), X),
    (lambda x: np.sum(x, axis=0), X), (lambda x: np.mean(x, 1, keepdims=True), X), (lambda x: np.reshape(x, (3, 2)), X),
    (np.transpose, X), (lambda x: np.exp(x)[1] * x[0, ::-1], X), (lambda x: sum(row * row for row in x), X),
    (lambda x: np.sin(x[:, [0, 0, 2]]), X), (lambda x: x[X > 0], X),
]  # fmt: skip


@pytest.mark.parametrize(("function", "x"), FUNCTIONS)
def test_what_numpy_computes_is_recorded_and_its_gradient_is_that_of_differences(function: Any, x: Any) -> None:
    variable = Variable(x)
    out = function(variable)
    expected = np.asarray(function(x))
    assert isinstance(out, Variable)
    np.testing.assert_allclose(out.value, expected, rtol=1e-15)
    weights = np.random.default_rng(0).standard_normal(expected.shape)
    out.backward(weights)
    # Two-sided differences of NumPy's values, h = 1e-4: off by h² / 6 times the third derivative, and by 1e-16 / h.
    np.testing.assert_allclose(
        variable.grad, numerical_gradient(lambda array: float(np.sum(function(array) * weights)), x.copy()), atol=1e-6
    )


@pytest.mark.parametrize(
    ("operation", "slope"),
    [
        (np.sin, np.cos), (np.cos, lambda x: -np.sin(x)), (np.tanh, lambda x: 1 / np.cosh(x) ** 2),
        (np.sqrt, lambda x: 0.5 * x**-0.5), (np.abs, np.sign),
        (lambda x: np.clip(x, 0.35, 1), lambda x: (x > 0.35) & (x < 1)),
        (lambda x: np.minimum(x, 0.5), lambda x: x < 0.5), (lambda x: x[1], lambda x: [[0] * 3, [1] * 3]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_are_the_formulas_of_analysis_in_the_dtype_of_the_variable(
    operation: Any, slope: Any, dtype: Any
) -> None:
    x = POSITIVE.astype(dtype)
    variable = Variable(x)
    operation(variable).backward()
    assert variable.grad.dtype == dtype
    eps = np.finfo(dtype).eps
    # 1 - tanh² is off by what tanh² is rounded by, however small it is.
    np.testing.assert_allclose(variable.grad, slope(x), rtol=8 * eps, atol=2 * eps)


@pytest.mark.parametrize("kind", [float, lambda x: np.array([x])])
def test_at_a_corner_the_slope_is_the_one_that_is_told(kind: Any) -> None:
    def slopes(operation: Callable[..., Variable], *values: float) -> list[float]:
        variables = [Variable(kind(value)) for value in values]
        operation(*variables).backward()
        return [float(np.sum(variable.grad)) for variable in variables]

    assert slopes(lambda x: abs(x), 0.0) == [0]
    assert slopes(lambda x, y: x.maximum(y), 2.0, 2.0) == [0, 1]  # all of it goes to the second
    assert slopes(lambda x, y: x.minimum(y), 2.0, 2.0) == [0, 1]
    assert slopes(lambda x: x.clip(0, 1), 0.0) == slopes(lambda x: x.clip(0, 1), 1.0) == [0]
    assert slopes(lambda x: x.clip(0, 1), 0.5) == [1]
    assert slopes(lambda x, low: x.clip(low, 1), -1.0, 0.5) == [0, 1]  # an end may be a variable
    assert slopes(lambda x: x.sqrt(), 0.0) == [math.inf]


def test_the_ends_of_a_clip_are_numpys_also_when_they_are_crossed() -> None:
    np.testing.assert_array_equal(Variable(X).clip(0.5, -0.5).value, np.clip(X, 0.5, -0.5))
    with pytest.raises(TypeError, match="clip needs low or high"):
        Variable(X).clip()


def test_an_index_is_kept_as_it_was() -> None:
    places, x = np.array([0, 0]), Variable([1.0, 2.0])
    out = x[places]
    places[:] = 1
    out.backward()
    assert x.grad.tolist() == [2, 0]


def test_entries_are_variables_and_no_view() -> None:
    x = Variable([1.0, 2.0, 3.0])
    a, _, c = x
    assert (len(x), a.value, type(a.value)) == (3, 1.0, float)
    (a * c).backward()
    assert x.grad.tolist() == [3, 0, 1]
    assert not np.shares_memory(x[:2].value, x.value)


def test_what_has_no_entries_says_so() -> None:
    for ask in (len, iter, list):
        with pytest.raises(TypeError, match="a single number has no entries"):
            ask(Variable(2.0))
    with pytest.raises(TypeError, match="x is a single number"):
        Variable(2.0)[0]
    with pytest.raises(TypeError, match="an index cannot be a Variable"):
        Variable(X)[0, Variable(1)]
    with pytest.raises(IndexError, match="index 5 is out of bounds"):
        Variable(X)[5]


def test_shape_item_and_float_tell_of_the_value() -> None:
    x: Any = Variable(X)
    assert (x.shape, Variable(2).shape, np.shape(x), np.ndim(x), np.size(x)) == ((2, 3), (), (2, 3), 2, 6)
    for one in (Variable(2.5), Variable(np.array([[2.5]])), Variable(np.array(2.5, np.float32))):
        assert (float(one), one.item(), type(one.item()), math.floor(float(one))) == (2.5, 2.5, float, 2)
    with pytest.raises(ValueError, match=r"only a single number can become a float, got shape \(2, 3\)"):
        float(x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: np.arctan(x), "np.arctan has no node here; there are absolute, add, cos"),
        (lambda x: np.add.reduce(x), "np.add.reduce has no node here"),
        (lambda x: np.exp(x, where=False), "np.exp of a Variable takes no where"),
        (lambda x: np.add(X, x, out=np.ones((2, 3))), "np.add of a Variable takes no out"),
        (lambda x: np.linalg.norm(x), "np.norm has no node here; there are sum, mean, reshape"),
        (lambda x: np.stack([x, x]), "np.stack has no node here"),
        (lambda x: np.asarray(x), "a Variable cannot become an array"),
        (lambda x: np.array([x, 1.0]), "a Variable cannot become an array"),
        (lambda x: Variable([x, x]), "a Variable cannot become an array"),
        (lambda x: np.ma.masked_array(X) * x, "a Variable cannot become an array"),
    ],
)
def test_what_is_not_recorded_is_refused_and_never_a_constant(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call(Variable(X))


def test_an_array_is_not_changed_in_place_by_a_variable() -> None:
    array: Any = np.ones((2, 3))
    with pytest.raises(TypeError, match="takes no out"):
        array += Variable(X)
    assert (array == 1).all()
