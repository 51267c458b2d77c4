"""Losses that do not come alone, gradients of next to nothing, and such as have too few numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients
from chainrule.checking.conventions import named_alike
from chainrule.checking.files import check_file
from wild.beside import SAMPLES, AddedUp, AllOnes
from wild.judged import report_of, wrong_versions_are_caught
from wild.verify import differences

BY_NAME = {sample.name: sample for sample in SAMPLES}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", BY_NAME)
def test_it_is_right_by_differences_of_its_own_and_called_so_if_nothing_is_left_open(name: str) -> None:
    assert max(differences(BY_NAME[name], 0).values()) < 1e-6
    report = report_of(BY_NAME[name])
    assert report.verdict == BY_NAME[name].truth, str(report)


@pytest.mark.parametrize("name", BY_NAME)
def test_its_wrong_versions_are_never_called_right(name: str) -> None:
    wrong_versions_are_caught(BY_NAME[name])


# --- the loss among what comes out ---


@pytest.mark.parametrize(("make", "verdict"), [(AddedUp, "unproven"), (AllOnes, "wrong")])
def test_what_is_handed_on_as_it_came_is_not_what_the_gradient_is_of(make: Any, verdict: str) -> None:
    # The sum of what is handed on has a gradient of ones, which the loss has not.
    report = check_gradients(make(), rng().standard_normal((4, 3)), rng(1).standard_normal((4, 3)))
    assert report.verdict == verdict, str(report)
    assert "the loss is read from loss" in report.notes


class OfTheMean(AddedUp):
    """The gradient is that of the mean of what is left, as far as anybody can tell."""

    def backward(self) -> Any:
        return super().backward() / self.x.size


def test_whether_the_sum_or_the_mean_of_what_is_left_is_meant_is_not_known() -> None:
    report = check_gradients(OfTheMean(), rng().standard_normal((4, 3)), np.eye(3)[[0, 2, 1, 0]])
    assert report.verdict == "unproven", str(report)
    assert "right if the loss is read from loss, and backward as the gradient of its mean" in " ".join(report.notes)


class Scores:
    """A network whose loss gives what was predicted behind it."""

    def __init__(self, factor: float) -> None:
        self.W, self.factor = rng(2).standard_normal((3, 2)), factor

    @property
    def params(self) -> dict[str, Any]:
        return {"W": self.W}

    def loss(self, x: Any, t: Any) -> Any:
        z = x @ self.W
        return ((z - t) ** 2).mean(), z

    def gradient(self, x: Any, t: Any) -> Any:
        z = x @ self.W
        return {"W": self.factor * 2 * x.T @ (z - t) / z.size}


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "right"), (0.5, "wrong")])
def test_the_loss_of_a_network_may_give_what_was_predicted_behind_it(factor: float, verdict: str) -> None:
    report = check_gradients(Scores(factor), rng().standard_normal((5, 3)), rng(1).standard_normal((5, 2)))
    assert report.verdict == verdict, str(report)


class HandsOn:
    """A loss whose backward hands on what it is given, whatever it is."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign = sign

    def forward(self, x: Any, y: Any) -> Any:
        return ((x - y) ** 2).sum()

    def backward(self, *args: Any) -> Any:
        return self._of(*args)

    def _of(self, x: Any, y: Any) -> Any:
        return self.sign * 2 * (x - y)


@pytest.mark.parametrize(("sign", "verdict"), [(1.0, "right"), (-1.0, "wrong")])
def test_a_backward_that_takes_whatever_there_is_is_given_what_forward_is(sign: float, verdict: str) -> None:
    report = check_gradients(HandsOn(sign), rng().standard_normal((4, 3)), rng(1).standard_normal((4, 3)))
    assert report.verdict == verdict, str(report)


class OfItsOutput:
    """A network in parts, whose loss and backward both take what forward gives, and the labels."""

    def __init__(self, factor: float) -> None:
        self.ws, self.factor = [rng(3).standard_normal((3, 4)), rng(4).standard_normal((4, 2))], factor

    def forward(self, x: Any) -> Any:
        self.x, self.h = x, np.tanh(x @ self.ws[0])
        return self.h @ self.ws[1]

    def loss(self, y_hat: Any, y: Any) -> Any:
        return ((y_hat - y) ** 2).sum() / len(y)

    def backward(self, y_hat: Any, y: Any) -> Any:
        d = self.factor * 2 * (y_hat - y) / len(y)
        return [self.x.T @ (d @ self.ws[1].T * (1 - self.h**2)), self.h.T @ d]


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "right"), (2.0, "wrong")])
def test_a_loss_that_asks_first_for_what_was_predicted_is_no_loss_of_the_data(factor: float, verdict: str) -> None:
    report = check_gradients(OfItsOutput(factor), rng().standard_normal((5, 3)), rng(1).standard_normal((5, 2)))
    assert (report.verdict, [a.name for a in report.arrays]) == (verdict, ["ws[0]", "ws[1]"]), str(report)


class ForEachExample(HandsOn):
    """Gives a loss for each example, and their mean if it is called; backward gives the gradient of the mean."""

    def __call__(self, x: Any, y: Any) -> Any:
        return self.forward(x, y).mean()

    def forward(self, x: Any, y: Any) -> Any:
        return ((x - y) ** 2).sum(axis=1)

    def _of(self, x: Any, y: Any) -> Any:
        return super()._of(x, y) / len(x)


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "right"), (4.0, "wrong")])
def test_of_a_loss_that_can_be_called_it_is_the_number_that_this_gives(factor: float, verdict: str) -> None:
    report = check_gradients(ForEachExample(factor), rng().standard_normal((4, 3)), rng(1).standard_normal((4, 3)))
    assert report.verdict == verdict, str(report)


def test_one_number_for_each_row_of_a_square_is_not_taken_for_one_of_each_column() -> None:
    def value(x: Any) -> Any:
        return (x**2).sum(axis=1)

    def by_columns(x: Any) -> Any:  # right for the sum, and so for no weights but ones
        return 2 * x * np.array([1.0, 1.0, 1.0, 2.0])

    x = rng().standard_normal((4, 4))
    assert check_gradients((value, lambda x: 2 * x), x).verdict == "right"
    assert check_gradients((value, by_columns), x).verdict == "wrong"


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("E", "dEdy", "d2Edy2", "plot"), ("E", "dEdy")),
        (("y", "dydx", "d2ydx2"), ("y", "dydx")),
        (("update", "get_error", "get_gradient"), ("get_error", "get_gradient")),
        (("function", "first_derivative"), ("function", "first_derivative")),
        (("d", "add"), None),
    ],
)
def test_a_value_and_its_derivative_by_their_names(names: tuple[str, ...], found: Any) -> None:
    assert named_alike(names) == found


# --- next to nothing ---


class OverASum:
    """A softmax whose sum is not quite that, from the largest: of one number it is the same whatever that is."""

    def __init__(self, factor: float = 1.0, leak: float = 0.0) -> None:
        self.factor, self.leak = factor, leak

    def forward(self, x: Any) -> Any:
        e = np.where(np.isinf(x), 0, np.exp(x - x.max(axis=-1, keepdims=True)))
        self.y = e / (e.sum(axis=-1, keepdims=True) + 1e-10)
        return self.y

    def backward(self, dout: Any) -> Any:
        inner = (dout * self.y).sum(axis=-1, keepdims=True)
        return self.factor * self.y * (dout - inner) + self.leak * dout


class Masked(OverASum):
    """The first row is of one number, all others being masked."""

    def forward(self, x: Any) -> Any:
        return super().forward(np.where(np.tri(4, dtype=bool), x, -np.inf))


def test_what_an_eps_leaves_where_nothing_moves_is_not_called_wrong_and_proves_nothing() -> None:
    report = check_gradients(Masked(), rng().standard_normal((4, 4)))
    assert report.verdict == "unproven", str(report)
    assert "an eps in a denominator leaves as much" in str(report).replace("\n  ", " ")


@pytest.mark.parametrize("wrong", [Masked(factor=1.001), Masked(leak=1e-3), Masked(leak=1e-6)])
def test_what_is_more_than_an_eps_leaves_is_wrong(wrong: Masked) -> None:
    assert check_gradients(wrong, rng().standard_normal((4, 4))).verdict == "wrong"


# --- too few numbers ---


class MeanOfAll:
    """The mean over an image; `spread` says whether the gradient is given for every pixel of it."""

    def __init__(self, spread: bool) -> None:
        self.spread = spread

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.mean(axis=(1, 2))

    def backward(self, dout: Any) -> Any:
        dx = dout[:, None, None, :] / (self.shape[1] * self.shape[2])
        return np.broadcast_to(dx, self.shape).copy() if self.spread else dx


@pytest.mark.parametrize(("spread", "verdict"), [(True, "right"), (False, "wrong")])
def test_one_number_in_the_place_of_many_is_wrong_for_the_layer_before(spread: bool, verdict: str) -> None:
    report = check_gradients(MeanOfAll(spread), rng().standard_normal((2, 3, 4, 2)))
    assert report.verdict == verdict, str(report)
    assert report.cause == (None if spread else "wrong shape")


# --- in a file ---

STEPWISE = """
import numpy as np


class Stepwise:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        axes = list(range(dout.ndim - 1))
        self.dW, self.db = np.tensordot(self.x, dout, (axes, axes)), FACTOR * dout.sum(axis=(0, 1))
        return dout @ self.W.T
"""


@pytest.mark.parametrize(("factor", "verdict"), [("1.0", "unproven"), ("0.5", "wrong")])
def test_what_is_right_for_sequences_and_not_for_rows_is_told_and_not_called_wrong(
    factor: str, verdict: str, tmp_path: Path
) -> None:
    path = tmp_path / "stepwise.py"
    path.write_text(STEPWISE.replace("FACTOR", factor))
    (check,) = check_file(str(path))
    assert check.verdict == verdict, check.line
    assert ("right for sequences, but not for rows" in check.why) == (verdict == "unproven")


COLUMNS = """
import numpy as np


class Entropy:
    def E(self, y, target):
        return -(target * np.log(y) + (1 - target) * np.log(1 - y))

    def dEdy(self, y, target):
        return (y - target) / (y * (1 - y))
"""


def test_y_beside_a_target_is_what_was_predicted(tmp_path: Path) -> None:
    path = tmp_path / "columns.py"
    path.write_text(COLUMNS)
    (check,) = check_file(str(path))
    assert check.verdict == "right", check.line


# --- numbers beside the loss ---


class WithANumber:
    """forward gives (loss, a number): a penalty, or how many are right; backward(output, t) the loss's gradient."""

    def __init__(self, number: Any, factor: float) -> None:
        self.number, self.factor = number, factor

    def forward(self, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.output = e / e.sum(axis=1, keepdims=True)
        return -np.log(self.output[np.arange(len(x)), t]).mean(), self.number

    def backward(self, d: Any, t: Any) -> Any:
        d = d.copy()
        d[np.arange(len(d)), t] -= 1
        return d / len(d) * self.factor


@pytest.mark.parametrize("number", [0, 3, 0.0, np.float64(0.3)])
def test_a_number_beside_the_loss_is_no_second_example(number: Any) -> None:
    x, t = rng().standard_normal((4, 3)), np.array([0, 2, 1, 1])
    # Half of it would be the gradient of the mean of the two numbers.
    verdicts = {factor: check_gradients(WithANumber(number, factor), x, t).verdict for factor in (1, 0.5, 0, -1, 2)}
    assert verdicts == {1: "right", 0.5: "wrong", 0: "wrong", -1: "wrong", 2: "wrong"}


# --- two pairs in one object ---


class Likelihood:
    """A value in ``__call__`` with its gradient, and the negative of both under names of their own."""

    def __init__(self, sign: float) -> None:
        self.sign = sign

    def __call__(self, theta: Any) -> Any:
        return -0.5 * (theta**2).sum()

    def gradient(self, theta: Any) -> Any:
        return -self.sign * theta

    def cost(self, theta: Any) -> Any:
        return -self(theta)

    def cost_gradient(self, theta: Any) -> Any:
        return -self.gradient(theta)


@pytest.mark.parametrize(("sign", "verdict"), [(1, "right"), (-1, "wrong"), (0.5, "wrong")])
def test_a_value_goes_with_the_derivative_that_has_its_name(sign: float, verdict: str) -> None:
    report = check_gradients(Likelihood(sign), rng().standard_normal(3))
    assert report.verdict == verdict, str(report)


# --- the value in front of the gradient ---


@pytest.mark.parametrize("factor", [1, 1 - 1e-15, 1 + 1e-12])
def test_a_value_computed_in_another_way_is_the_value_still(factor: float) -> None:
    A, y = rng(3).standard_normal((7, 5)), rng(4).standard_normal(7)

    def likelihood(theta: Any) -> Any:
        return -0.5 * ((y - A @ theta) ** 2).sum()

    def with_gradient(theta: Any, scale: float = 1.0) -> Any:
        return likelihood(theta) * factor, scale * (A.T @ (y - A @ theta))

    theta = rng().standard_normal(5)
    assert check_gradients((likelihood, with_gradient), theta).verdict == "right"
    assert check_gradients((likelihood, lambda theta: with_gradient(theta, 0.5)), theta).verdict == "wrong"
