"""The works as every library does them: the data, the parameters, and what is inside the clock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from works import BATCH, DENSE, DENSE_BATCH, DIGITS, EPOCH, RATE

import chainrule

Array = NDArray[Any]
Pairs = tuple[Array, Array]

#: What multiplies a pixel given as a byte.
PIXEL = 1 / 255


class Outcome(NamedTuple):
    """What a way reports."""

    seconds: float
    accuracy: float | None = None


class Trainer(Protocol):
    """A network of one library, with its data."""

    def start(self, parameters: list[Array]) -> None:
        """Begin with copies of the parameters: W1, b1, W2, b2 and so on."""

    def train(self, rows: Array) -> Array:
        """Do a step for each row of `rows`, the numbers of the examples of its batch; give the losses."""


class Learner(Trainer, Protocol):
    """One that is made for layers of `widths`, a batch size, training and test data."""

    def evaluate(self) -> float:
        """Compute the accuracy on the training data and on the test data; give the second."""


def job(make: Callable[..., Learner], iterations: int, seed: int, warm: bool = True) -> Outcome:
    """Do the tutorial's job. A library that compiles or sets up on first use has done so before, if `warm`."""
    train, test = digits()
    learner = make(DIGITS, BATCH, train, test, RATE)
    rng = np.random.default_rng(seed)
    beginning = parameters(DIGITS, rng)
    epochs = [EPOCH] * (iterations // EPOCH) + [iterations % EPOCH] * (iterations % EPOCH > 0)

    learner.start(beginning)
    if warm:
        for steps in set(epochs):  # a compiler makes a program for each length
            learner.train(np.zeros((steps, BATCH), np.int64))
        learner.evaluate()
        learner.start(beginning)
    started = time.perf_counter()
    for steps in epochs:
        learner.train(rng.integers(len(train[0]), size=(steps, BATCH)))
        accuracy = learner.evaluate()
    return Outcome(time.perf_counter() - started, accuracy)


def steps_of_digits(make: Callable[..., Learner], seed: int, rate: float = RATE) -> Outcome:
    """Time a step of the tutorial's job, without evaluating."""
    train, test = digits()
    rng = np.random.default_rng(seed)
    return steps(make(DIGITS, BATCH, train, test, rate), parameters(DIGITS, rng), BATCH, len(train[0]), rng)


def steps_of_dense(make: Callable[..., Learner], seed: int) -> Outcome:
    """Time a step of the dense network."""
    rng = np.random.default_rng(seed)
    data = dense_data(rng)
    learner = make(DENSE, DENSE_BATCH, data, data, DENSE_RATE)
    return steps(learner, parameters(DENSE, rng, std=DENSE_STD), DENSE_BATCH, len(data[0]), rng)


#: Epochs timed, after one that is not.
EPOCHS = 3
#: A training that stays finite, at a rate and from weights that suit these widths.
DENSE_RATE, DENSE_STD = 0.01, 0.04


def steps(learner: Trainer, beginning: list[Array], batch: int, examples: int, rng: np.random.Generator) -> Outcome:
    """Time a step of a few epochs, the first of which, in which compilers compile, is not counted."""
    learner.start(beginning)
    seconds = 0.0
    for epoch in range(1 + EPOCHS):
        started = time.perf_counter()
        losses = learner.train(rng.integers(examples, size=(examples // batch, batch)))
        seconds += (time.perf_counter() - started) * (epoch > 0)
        if not np.isfinite(losses).all():
            raise FloatingPointError("the training diverged: what was timed was no training")
    return Outcome(seconds / (EPOCHS * (examples // batch)))


def digits() -> tuple[Pairs, Pairs]:
    """Give MNIST as bytes, (N, 784) in 0-255, with class ids."""
    (x_train, t_train), (x_test, t_test) = chainrule.load_mnist(normalize=False)
    return (x_train, t_train.astype(np.int64)), (x_test, t_test.astype(np.int64))


def dense_data(rng: np.random.Generator) -> Pairs:
    """Give ten batches of random numbers, none of them zero, with random labels."""
    n = 10 * DENSE_BATCH
    return rng.standard_normal((n, DENSE[0]), dtype=np.float32), rng.integers(DENSE[-1], size=n)


def parameters(widths: tuple[int, ...], rng: np.random.Generator, std: float = 0.01) -> list[Array]:
    """Draw W1, b1, W2, b2 and so on in float32: weights from a normal distribution, biases of zero."""
    shapes = [shape for a, b in pairwise(widths) for shape in ((a, b), (b,))]
    return [
        np.float32(std) * rng.standard_normal(s, dtype=np.float32) if len(s) == 2 else np.zeros(s, np.float32)
        for s in shapes
    ]


def pixels(x: Array) -> Array:
    """Give data in float32, bytes as 0.0-1.0."""
    return x.astype(np.float32) * np.float32(PIXEL) if x.dtype == np.uint8 else x


def blocks(n: int, size: int = 1000) -> list[slice]:
    """Cut n examples into blocks whose hidden layer stays in the cache."""
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def tutorials_loop(module: Any, iterations: int, seed: int) -> Outcome:
    """Run the loop as the tutorial prints it, on the classes of `module`."""
    np.random.seed(seed)
    (x_train, t_train), (x_test, t_test) = chainrule.load_mnist(normalize=True, one_hot_label=True)
    started = time.perf_counter()
    network = module.TwoLayerNet(input_size=784, hidden_size=50, output_size=10)
    train_size = x_train.shape[0]
    batch_size, learning_rate = BATCH, RATE
    train_loss_list, train_acc_list, test_acc_list = [], [], []
    iter_per_epoch = max(train_size / batch_size, 1)
    for i in range(iterations):
        batch_mask = np.random.choice(train_size, batch_size)
        x_batch = x_train[batch_mask]
        t_batch = t_train[batch_mask]
        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= learning_rate * grad[key]
        loss = network.loss(x_batch, t_batch)
        train_loss_list.append(loss)
        if i % iter_per_epoch == 0:
            train_acc_list.append(network.accuracy(x_train, t_train))
            test_acc_list.append(network.accuracy(x_test, t_test))
    return Outcome(time.perf_counter() - started, float(test_acc_list[-1]))


def users_environment() -> dict[str, str]:
    """Give the environment of a user's interpreter, which keeps compiled modules from one start to the next."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def calls(function: Callable[[], object], times: int) -> Outcome:
    """Time one call of `function`, the mean of so many after a quarter of a second that is not counted.

    For so long the threads that NumPy starts when it is imported spin, and the system moves ours to a CPU of its own.
    """
    begun = time.perf_counter()
    while time.perf_counter() - begun < 0.25:
        function()
    started = time.perf_counter()
    for _ in range(times):
        function()
    return Outcome((time.perf_counter() - started) / times)


def product_data(shape: tuple[int, int, int], dtype: str, seed: int) -> tuple[Array, Array, Array, Array, int]:
    """Give x, W, b and room for x W + b, dense and random, and how many products make a time worth reading."""
    m, k, n = shape
    rng = np.random.default_rng(seed)
    x, W, b = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n), (n,)))
    return x, W, b, np.empty((m, n), dtype), max(10, int(2e10 / (2 * m * k * n)))
