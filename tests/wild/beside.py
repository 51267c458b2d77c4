"""Losses that do not come alone: beside what was predicted, left in an array, one for each example in a column."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import normal
from wild.sample import DX, Calls, Sample, Truth, X


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def entropy(p: Any, t: Any) -> Any:
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean()


class BesideItsPrediction:
    """forward gives the loss, and behind it what was predicted; backward takes nothing."""

    def forward(self, logits: Any, targets: Any) -> Any:
        self.p, self.targets = sigmoid(logits), targets
        return entropy(self.p, targets), self.p

    def backward(self) -> Any:
        return (self.p - self.targets) / self.p.size


class BehindItsPrediction(BesideItsPrediction):
    """forward gives what was predicted, and the loss behind it."""

    def forward(self, logits: Any, targets: Any) -> Any:
        return super().forward(logits, targets)[::-1]


class WithItsPrediction:
    """loss(x, t), which gives (loss, prediction), and gradient(x, t)."""

    def loss(self, x: Any, t: Any) -> Any:
        p = sigmoid(x)
        return entropy(p, t), p

    def gradient(self, x: Any, t: Any) -> Any:
        return (sigmoid(x) - t) / x.size


class LeftForEachEntry:
    """forward hands on its input, and leaves a loss for each entry in an array; backward takes nothing."""

    def forward(self, x: Any, t: Any) -> Any:
        self.x, self.t = x, t
        self.loss = np.abs(x - t)
        return x

    def backward(self) -> Any:
        grad = np.ones(self.x.shape)
        grad[self.x < self.t] = -1
        return grad


class AddedUp(LeftForEachEntry):
    """The losses are added up from call to call, until zero_grad."""

    def __init__(self) -> None:
        self.zero_grad()

    def zero_grad(self) -> None:
        self.total = np.zeros((4, 3))
        self.loss = self.total

    def forward(self, x: Any, t: Any) -> Any:
        super().forward(x, t)
        self.total += self.loss
        self.loss = self.total
        return x


class AllOnes(AddedUp):
    """The sign is forgotten: it would be right for the sum of what forward hands on."""

    def backward(self) -> Any:
        return np.ones(self.x.shape)


class Squares:
    """A value E and its derivative dEdy, for each example, that is in a column; d2Edy2 is the second."""

    def E(self, y: Any, target: Any) -> Any:
        return 0.5 * ((y - target) ** 2).sum(axis=0, keepdims=True)

    def dEdy(self, y: Any, target: Any) -> Any:
        return y - target

    def d2Edy2(self, y: Any, target: Any) -> Any:
        return np.eye(len(y))


class Bell:
    """A value y and its derivative dydx, number by number."""

    def y(self, x: Any) -> Any:
        return np.exp(-(x**2))

    def dydx(self, x: Any) -> Any:
        return -2 * x * self.y(x)


class Penalty:
    """get_error and get_gradient of what is kept from an update."""

    def __init__(self) -> None:
        self.mean, self.scale = np.array([0.5, -1.0, 2.0]), 0.25

    def update(self, w: Any) -> None:
        self.mean = w.mean(axis=0)

    def get_error(self, w: Any) -> Any:
        return self.scale * ((w - self.mean) ** 4).sum()

    def get_gradient(self, w: Any) -> Any:
        return 4 * self.scale * (w - self.mean) ** 3


class First:
    """function and first_derivative."""

    def function(self, x: Any) -> Any:
        return np.sin(x)

    def first_derivative(self, x: Any) -> Any:
        return np.cos(x)


def with_bits(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give scores, and which of them are meant."""
    return rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3)).astype(float)


def columns(make: Any) -> Any:
    """Give the two functions of squares whose sum has kept its axis, or not."""
    return lambda: (make, lambda y, target: y - target)


def sample(name: str, make: Any, arguments: Any, calls: Calls, truth: Truth = "right") -> Sample:
    """Give a sample whose story its class tells."""
    story = " ".join((getattr(make, "__doc__", None) or name).split())
    return Sample(f"beside_{name}", "beside", make, arguments, calls, {X: DX}, story, truth=truth)


class AskedForGradients:
    """forward(x), and compute_gradients(grads), which takes the gradient of what came out: no derivative of x."""

    def forward(self, inputs: Any) -> Any:
        self.out = np.tanh(inputs)
        return self.out

    def compute_gradients(self, grads: Any) -> Any:
        return grads * (1 - self.out**2)


SAMPLES = (
    sample("its_prediction", BesideItsPrediction, with_bits, Calls(takes="nothing", outputs=("returned.0",))),
    sample("behind_its_prediction", BehindItsPrediction, with_bits, Calls(takes="nothing", outputs=("returned.1",))),
    sample("loss_and_prediction", WithItsPrediction, with_bits,
           Calls("loss", "gradient", "arguments", ("returned.0",))),
    # Whether the sum is meant or the mean, nothing says.
    sample("left_for_each_entry", LeftForEachEntry, normal((4, 3), (4, 3)), Calls(takes="nothing", outputs=("loss",)),
           "unproven"),
    sample("columns", columns(lambda y, target: 0.5 * ((y - target) ** 2).sum(axis=0, keepdims=True)),
           normal((3, 5), (3, 5)), Calls(0, 1, "arguments")),
    sample("columns_flat", columns(lambda y, target: 0.5 * ((y - target) ** 2).sum(axis=0)),
           normal((3, 5), (3, 5)), Calls(0, 1, "arguments")),
    sample("columns_of_an_object", Squares, normal((3, 5), (3, 5)), Calls("E", "dEdy", "arguments")),
    sample("asked_for_gradients", AskedForGradients, normal((4, 3)), Calls(backward="compute_gradients")),
    sample("y_and_dydx", Bell, normal((4, 3)), Calls("y", "dydx", "arguments", elementwise=True)),
    sample("error_and_gradient", Penalty, normal((3,)), Calls("get_error", "get_gradient", "arguments")),
    sample("first_derivative", First, normal((4, 3)),
           Calls("function", "first_derivative", "arguments", elementwise=True)),
)  # fmt: skip
