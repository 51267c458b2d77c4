"""Find the bug: twelve layers and networks, each with one typical mistake.

``python examples/find_the_bug.py`` lists them. ``python examples/find_the_bug.py 4`` shows the code of one: find what
is wrong with it. ``python examples/find_the_bug.py 4 --answer`` also prints the report of `chainrule.check_gradients`,
and the mistake in a sentence.
"""
# ruff: noqa: D102  forward, backward, loss and gradient are the same in every class: what they do is the exercise

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule import check_gradients


class Smoothing:
    """The mean of each number in a row and the one before it; the first is left unchanged."""

    def forward(self, x: Any) -> Any:
        out = x.copy()
        out[:, 1:] = (x[:, 1:] + x[:, :-1]) / 2
        return out

    def backward(self, dout: Any) -> Any:
        dx = dout / 2
        dx[:, :-1] += dout[:, 1:] / 2
        return dx


class MeanCrossEntropy:
    """Softmax of the scores of each row, and the mean over the rows of its cross entropy with t, one-hot."""

    def forward(self, x: Any, t: Any) -> Any:
        z = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = z / z.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y)) / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * (self.y - self.t)


class SquareAffine:
    """``x @ W + b`` with equal numbers of outputs and inputs."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W


class ReluOnce:
    """The larger of x and 0."""

    mask: Any = None

    def forward(self, x: Any) -> Any:
        if self.mask is None:
            self.mask = x > 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class ReluOfTheBook:
    """The larger of x and 0."""

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


class CrossEntropyOfClasses:
    """Softmax of the scores of each row, and the mean of its cross entropy with the class numbers t."""

    def forward(self, x: Any, t: Any) -> Any:
        z = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = z / z.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(x)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(dx)), self.t - 1] -= 1
        return dout * dx / len(dx)


class LastLayer:
    """Softmax of the scores of each row, and the mean over the rows of its cross entropy with t, one-hot."""

    def forward(self, x: Any, t: Any) -> Any:
        z = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = z / z.sum(axis=1, keepdims=True), t
        return -np.sum(t * np.log(self.y)) / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return (self.y - self.t) / len(self.t)


class AffineOfOneRow:
    """``x @ W + b``."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.copy()
        return dout @ self.W.T


class SoftmaxOfAll:
    """Softmax of each row."""

    def forward(self, x: Any) -> Any:
        z = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = z / z.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - np.sum(dout * self.y))


class ReluInPlace:
    """The larger of x and 0."""

    def forward(self, x: Any) -> Any:
        x[x < 0] = 0
        self.positive = x > 0
        return x.copy()

    def backward(self, dout: Any) -> Any:
        return dout * self.positive


class Dropout:
    """Keep each number with probability 0.7, and scale it up so that the mean stays the same."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def forward(self, x: Any) -> Any:
        return x * (self.rng.random(x.shape) < 0.7) / 0.7

    def backward(self, dout: Any) -> Any:
        return dout * (self.rng.random(dout.shape) < 0.7) / 0.7


class Regression:
    """Half the mean squared distance of ``x @ W + b`` from t, plus 0.05 times the squared norm of W."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params = {"W": W, "b": b}

    def loss(self, x: Any, t: Any) -> Any:
        self.difference = x @ self.params["W"] + self.params["b"] - t
        return np.sum(self.difference**2) / 2 / len(x) + 0.05 * np.sum(self.params["W"] ** 2)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.difference / len(x)
        return {"W": x.T @ dout, "b": dout.sum(axis=0)}


# ---------------------------------------------------------------------------------------------------------------------
# The answers. Read no further before you have tried.


@dataclass(frozen=True)
class Exercise:
    """A subject with a mistake in it, arguments to check it with, and the mistake in a sentence."""

    make: Callable[[], Any]
    arguments: tuple[Any, ...]
    answer: str


RNG = np.random.default_rng(1)
X, W, B = RNG.standard_normal((5, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal(3)
IDS = np.array([0, 1, 2, 0, 1])
T = np.eye(3)[IDS]

EXERCISES = (
    Exercise(Smoothing, (X,), "The first number of a row is not halved on the way forward, but is on the way back."),
    Exercise(MeanCrossEntropy, (X, T), "The loss is a mean over the batch, and the gradient is that of the sum: 1/N."),
    Exercise(lambda: SquareAffine(W, B), (X,), "dx is dout @ W.T; as W is square, W without .T fits too."),
    Exercise(ReluOnce, (X,), "The mask of the first batch is used for all that follow."),
    Exercise(ReluOfTheBook, (X,), "dout is written into, and whoever gave it may need it again."),
    Exercise(CrossEntropyOfClasses, (X, IDS), "1 is subtracted in the column before that of the right class."),
    Exercise(LastLayer, (X, T), "dout is left out: right for 1, and wrong as soon as the loss is a part of another."),
    Exercise(lambda: AffineOfOneRow(W, B), (X,), "b is added to every row, so db is the sum of dout over the rows."),
    Exercise(SoftmaxOfAll, (X,), "The sum is to be taken over each row, not over the whole batch."),
    Exercise(ReluInPlace, (X,), "x is written into, and the layer before may have remembered it."),
    Exercise(Dropout, (X,), "The mask is drawn again on the way back; the numbers that were kept are others then."),
    Exercise(lambda: Regression(W, B), (X, X), "The decay is in the loss and not in the gradient: 0.1 W is missing."),
)


def main(arguments: Sequence[str] = ()) -> None:
    """List the exercises, show one, or give its answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("number", type=int, nargs="?", choices=range(1, len(EXERCISES) + 1), metavar="NUMBER")
    parser.add_argument("--answer", action="store_true", help="what check_gradients says, and the mistake")
    options = parser.parse_args(arguments)
    if options.number is None:
        for number, exercise in enumerate(EXERCISES, start=1):
            print(f"{number:2}  {type(exercise.make()).__name__}")
        return
    exercise = EXERCISES[options.number - 1]
    print(inspect.getsource(type(exercise.make())))
    if options.answer:
        print(check_gradients(exercise.make(), *exercise.arguments), "\n")
        print(exercise.answer)


if __name__ == "__main__":
    main(sys.argv[1:])
