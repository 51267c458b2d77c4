"""The tutorial's job, timed side by side: 10,000 steps of 784-50-10 on MNIST, 17 evaluations of 70,000 images.

The ways take turns, round by round, so that a machine that slows down slows them all; every ratio is taken within a
round, and what is printed is the median over the rounds. A way that is slower than the tutorial's loop prints a ratio
below 1.

Run with ``make bench``; ``ARGS="--rounds 3 --iterations 1000"`` for a quick look.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import chainrule
from chainrule import _kernels

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import seed_reference

BATCH, RATE = 100, 0.1


def tutorials_loop(module: object, iterations: int) -> float:
    """Run the loop as the tutorial prints it, on the classes of `module`; give the test accuracy."""
    (x_train, t_train), (x_test, t_test) = chainrule.load_mnist(normalize=True, one_hot_label=True)
    network = module.TwoLayerNet(input_size=784, hidden_size=50, output_size=10)  # type: ignore[attr-defined]
    train_size = x_train.shape[0]
    iter_per_epoch = max(train_size / BATCH, 1)
    test_acc = 0.0
    for i in range(iterations):
        batch_mask = np.random.choice(train_size, BATCH)
        x_batch = x_train[batch_mask]
        t_batch = t_train[batch_mask]
        grad = network.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            network.params[key] -= RATE * grad[key]
        network.loss(x_batch, t_batch)
        if i % iter_per_epoch == 0:
            network.accuracy(x_train, t_train)
            test_acc = network.accuracy(x_test, t_test)
    return float(test_acc)


def command(dtype: str, iterations: int) -> float:
    """Run ``chainrule train`` as a process of its own, start to end."""
    line = [sys.executable, "-m", "chainrule", "train", "--iterations", str(iterations), "--dtype", dtype]
    out = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return float(out.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=10_000)
    options = parser.parse_args()
    n = options.iterations
    ways: dict[str, Callable[[], float]] = {
        "tutorial's loop, NumPy": lambda: tutorials_loop(seed_reference, n),
        "tutorial's loop, chainrule": lambda: tutorials_loop(chainrule, n),
        "chainrule train, float64": lambda: command("float64", n),
        "chainrule train, float32": lambda: command("float32", n),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    accuracy: dict[str, float] = {}
    for turn in range(options.rounds):
        for name, way in ways.items():
            np.random.seed(turn)
            started = time.perf_counter()
            accuracy[name] = way()
            seconds[name].append(time.perf_counter() - started)
    base = seconds["tutorial's loop, NumPy"]
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, {_kernels.instruction_set()}; NumPy {np.__version__}")
    print(f"{n} steps, medians of {options.rounds} rounds; loading the data is in every figure")
    print(f"{'way':<28} {'seconds':>8} {'times faster':>13} {'test accuracy':>14}")
    for name, runs in seconds.items():
        ratio = statistics.median(b / s for b, s in zip(base, runs, strict=True))
        print(f"{name:<28} {statistics.median(runs):>8.2f} {ratio:>13.2f} {accuracy[name]:>14.4f}")


if __name__ == "__main__":
    main()
