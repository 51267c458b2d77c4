"""What a later set of strangers' code was misread for, and what was called right there and is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients
from chainrule.checking.conventions import named_alike
from wild.abroad import SAMPLES, Flushed, Perceptron, PerceptronHalved, Spring, norm_backward, of_a_norm
from wild.judged import report_of, wrong_versions_are_caught
from wild.verify import differences

BY_NAME = {sample.name: sample for sample in SAMPLES}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", BY_NAME)
def test_it_is_right_by_differences_of_its_own_and_called_right(name: str) -> None:
    # The flushed one computes in float32, of which differences have so few digits.
    assert max(differences(BY_NAME[name], 0).values()) < (1e-3 if name == "abroad_flushed" else 1e-6)
    report = report_of(BY_NAME[name])
    assert report.verdict == "right", str(report)


@pytest.mark.parametrize("name", BY_NAME)
def test_its_wrong_versions_are_never_called_right(name: str) -> None:
    wrong_versions_are_caught(BY_NAME[name])


# --- gradients that were given and compared with nothing ---


def test_the_weights_of_a_methods_object_are_compared_with_what_a_function_gives_behind() -> None:
    report = check_gradients(of_a_norm(), rng().standard_normal((5, 4)))
    assert [a.name for a in report.arrays] == ["gamma", "beta", "x"]
    assert report.held_fixed == ()


def test_what_belongs_to_no_argument_and_nothing_known_is_not_compared() -> None:
    forward, _ = of_a_norm()
    report = check_gradients((lambda x: forward(x), norm_backward), rng().standard_normal((5, 4)))
    assert report.verdict == "unproven"
    assert [u.name.partition(" of ")[0] for u in report.not_compared] == ["number 2", "number 3"]
    assert "it belongs to no argument" in str(report).replace("\n  ", " ")


def test_what_is_given_behind_the_gradient_of_a_value_and_is_none_of_an_argument_is_not_compared() -> None:
    def value(x: Any) -> Any:
        return (x**3).sum(), 3 * x**2, np.diag(6 * x)

    report = check_gradients(value, rng().standard_normal(4))
    assert (report.verdict, len(report.not_compared)) == ("unproven", 1), str(report)


def test_what_is_given_behind_a_value_and_has_the_shapes_of_no_arguments_is_refused() -> None:
    def value(x: Any, k: Any) -> Any:
        return float((x**2).sum()), np.ones(3), 2 * x, k

    with pytest.raises(TypeError, match="not \\(value, gradient\\)"):
        check_gradients(value, rng().standard_normal(4), rng().standard_normal(2))


@pytest.mark.parametrize(("make", "verdict"), [(Perceptron, "right"), (PerceptronHalved, "wrong")])
def test_a_plain_number_of_a_network_with_its_gradient_beside_it_is_compared(make: Any, verdict: str) -> None:
    report = check_gradients(make(), rng().standard_normal((6, 3)), rng(1).integers(0, 2, 6).astype(float))
    assert (report.verdict, [a.name for a in report.arrays]) == (verdict, ["w", "b"]), str(report)


# --- the value in front of its gradient ---


class NotTheValue(Spring):
    """What stands in front is another number: then it is no value, and what comes back is no gradient."""

    def getEnergyGradient(self, coords: Any) -> Any:
        value, grad = super().getEnergyGradient(coords)
        return value + 1, grad


def test_another_number_in_front_is_not_taken_for_the_value() -> None:
    assert check_gradients(NotTheValue(), rng().standard_normal(5)).verdict != "right"
    pair = Spring().getEnergy, Spring().getEnergyGradient
    assert check_gradients(pair, rng().standard_normal(5)).verdict == "right"


# --- fewer digits ---


class RoundsForTheWayBack(Flushed):
    """Keeps its input in float32, and goes forward with all digits of it."""

    def forward(self, x: Any) -> Any:
        self.x = x.astype(np.float32)
        return x @ self.W


class RoundsAndDoubles(RoundsForTheWayBack):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dW = 2 * self.dW
        return dx


def test_a_float32_gradient_that_agrees_to_float32s_digits_and_no_further_is_not_called_wrong() -> None:
    x = rng().standard_normal((5, 4))
    report = check_gradients(RoundsForTheWayBack(), x)
    assert report.verdict != "wrong", str(report)
    assert check_gradients(RoundsAndDoubles(), x).verdict == "wrong"


# --- names ---


def behind_a_wrapper(sign: float) -> Any:
    """Give a loss behind a wrapper that hides its arguments, and a derivative that names them."""

    def hidden(*args: Any) -> Any:
        return -np.sum(args[0] * np.log(args[1]))

    def derivative(y_true: Any, y_pred: Any) -> Any:
        return -sign * y_true / y_pred

    return hidden, derivative


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "right"), (-1.0, "wrong")])
def test_where_a_wrapper_hides_the_arguments_the_names_are_those_of_the_derivative(sign: float, verdict: str) -> None:
    p = rng().uniform(0.1, 1, (4, 3))
    report = check_gradients(behind_a_wrapper(sign), np.eye(3)[[0, 2, 1, 0]], p / p.sum(axis=1, keepdims=True))
    assert (report.verdict, [a.name for a in report.arrays]) == (verdict, ["y_pred"]), str(report)


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("getEnergy", "getEnergyGradient", "getHessian"), ("getEnergy", "getEnergyGradient")),
        (("calc_func", "calc_grad", "calc_hes"), ("calc_func", "calc_grad")),
        (("inv_link", "dinv_link"), ("inv_link", "dinv_link")),
        (("inv_link", "dinv_link", "link", "dlink"), None),
        (("function", "function_prime"), ("function", "function_prime")),
        (("fit", "predict"), None),
    ],
)
def test_methods_that_belong_together_by_their_names(names: tuple[str, ...], found: Any) -> None:
    assert named_alike(names) == found


def by_time(sign: float) -> Any:
    """Give a value of t and c, and its gradient by t."""
    return (lambda t, c: (t**3 * c).sum()), (lambda t, c: sign * 3 * t**2 * c)


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "right"), (2.0, "wrong")])
def test_t_beside_nothing_that_is_predicted_is_no_label(sign: float, verdict: str) -> None:
    report = check_gradients(by_time(sign), rng().standard_normal(4), rng(1).standard_normal(4))
    assert (report.verdict, [a.name for a in report.arrays]) == (verdict, ["t"]), str(report)
