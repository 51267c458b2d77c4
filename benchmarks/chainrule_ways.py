"""chainrule: the tutorial's script with one import changed, `fit`, and the command line."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import chain
from typing import Any

import jobs
import numpy as np
from jobs import Array, Outcome
from works import BATCH, DENSE, DENSE_BATCH, DIGITS, RATE

import chainrule
from chainrule import Adam, Affine, Network, Relu, Rescaling, Run, _kernels, fit


class Stopwatch:
    """Times the steps of `fit` and nothing else: from the end of an epoch's evaluation to the last step of the next.

    So the first epoch, in which the data is made ready, is not counted, as no other library's first epoch is.
    """

    def __init__(self) -> None:
        self.seconds, self.steps = 0.0, 0
        self.evaluated: tuple[float, int] | None = None
        self.stepped = (0.0, 0)

    def progress(self, done: int, total: int) -> None:
        """Note when the last steps were done: for `fit(progress=…)`."""
        self.stepped = time.perf_counter(), done

    def on_epoch(self, run: Run) -> None:
        """Add the epoch that has just been evaluated: for `fit(callbacks=…)`."""
        if self.evaluated is not None:
            self.seconds += self.stepped[0] - self.evaluated[0]
            self.steps += self.stepped[1] - self.evaluated[1]
        self.evaluated = time.perf_counter(), self.stepped[1]


def network(parameters: Sequence[Array], dtype: str = "float32", *, bytes_in: bool) -> Network:
    """Make a network of these W1, b1, W2, b2, …, with ReLU between the layers."""
    arrays = [array.astype(dtype) for array in parameters]
    affine = [Affine(W, b) for W, b in zip(arrays[::2], arrays[1::2], strict=True)]
    layers: list[Any] = [Rescaling()] if bytes_in else []
    layers += list(chain.from_iterable((layer, Relu()) for layer in affine))[:-1]
    return Network({f"{type(layer).__name__}{i}": layer for i, layer in enumerate(layers)})


def script(iterations: int, seed: int) -> Outcome:
    return jobs.tutorials_loop(chainrule, iterations, seed)


def job(iterations: int, seed: int, dtype: str = "float32") -> Outcome:
    (x, t), test = chainrule.load_mnist(normalize=False)
    rng = np.random.default_rng(seed)
    net = network(jobs.parameters(DIGITS, rng), dtype, bytes_in=True)
    started = time.perf_counter()
    history = fit(
        net, x, t, test=test, iterations=iterations, batch_size=BATCH, learning_rate=RATE, replace=True, seed=rng
    )
    return Outcome(time.perf_counter() - started, history.test_accuracy[-1])


def command(iterations: int, seed: int) -> Outcome:
    """Run ``chainrule train``, start to end."""
    line = [sys.executable, "-m", "chainrule", "train", "--iterations", str(iterations), "--seed", str(seed)]
    started = time.perf_counter()
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return Outcome(time.perf_counter() - started, float(out.split()[-1]))


def step(seed: int) -> Outcome:
    return _steps_of_digits(seed, learning_rate=RATE)


def adam(seed: int) -> Outcome:
    return _steps_of_digits(seed, optimizer=Adam())


def _steps_of_digits(seed: int, **rule: Any) -> Outcome:
    (x, t), _ = chainrule.load_mnist(normalize=False)
    rng = np.random.default_rng(seed)
    return steps(network(jobs.parameters(DIGITS, rng), bytes_in=True), x, t, BATCH, rng, **rule)


def dense(seed: int) -> Outcome:
    rng = np.random.default_rng(seed)
    x, t = jobs.dense_data(rng)
    net = network(jobs.parameters(DENSE, rng, std=jobs.DENSE_STD), bytes_in=False)
    return steps(net, x, t, DENSE_BATCH, rng, learning_rate=jobs.DENSE_RATE)


def steps(net: Network, x: Array, t: Array, batch: int, rng: np.random.Generator, **more: Any) -> Outcome:
    """Time a step of `fit`, as `jobs.steps` does; `more` are arguments of it, the optimizer's among them."""
    watch = Stopwatch()
    fit(
        net,
        x,
        t,
        epochs=1 + jobs.EPOCHS,
        batch_size=batch,
        replace=True,
        seed=rng,
        progress=watch.progress,
        callbacks=[watch],
        **more,
    )
    return Outcome(watch.seconds / watch.steps)


def product(shape: tuple[int, int, int], dtype: str, seed: int) -> Outcome:
    x, W, b, out, times = jobs.product_data(shape, dtype, seed)
    scratch = _kernels.Scratch()
    return jobs.calls(lambda: _kernels.affine(x, W, b, out, scratch), times)


def accuracy(seed: int) -> Outcome:
    (x, t), _ = chainrule.load_mnist(normalize=True)
    net = chainrule.TwoLayerNet(*DIGITS, dtype=np.float32, seed=seed)
    return jobs.calls(lambda: net.accuracy(x, t), 10)


def importing(seed: int, pairs: int = 15) -> Outcome:
    """Time what ``import chainrule`` adds to ``import numpy``, in fresh interpreters that take turns."""
    environment = jobs.users_environment()

    def seconds(module: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
        return time.perf_counter() - started

    seconds("chainrule")  # whoever comes first compiles the modules and fills the file cache
    ours_first = seed % 2 == 1
    differences = []
    for _ in range(pairs):
        times = {module: seconds(module) for module in sorted(["chainrule", "numpy"], reverse=ours_first)}
        differences.append(times["chainrule"] - times["numpy"])
        ours_first = not ours_first
    return Outcome(statistics.median(differences))
