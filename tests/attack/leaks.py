"""Every public entry point, called again and again: what memory it took is given back.

So many calls as there is time for, 10,000 at most; then resident memory has grown by at most 4 MiB since the warm-up.
"""

from __future__ import annotations

import ctypes
import gc
import io
import os
import pickle
import random
import sys
import time
from collections.abc import Callable, Generator
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from attack.target import Target, Wrong
from attack.worker import most_memory
from chainrule import check_gradients, fit
from chainrule.book.pickles import loads
from chainrule.cli import main
from chainrule.graph.expression import evaluate
from idx_files import idx

MOST_CALLS = 10_000
MOST_GROWTH = 4 * 2**20

R = np.random.default_rng(0)
X, T = R.normal(size=(40, 12)), R.integers(4, size=40)
IMAGES = R.normal(size=(4, 1, 8, 8))


def resident() -> int:
    """Give the memory that is resident now, once what can be given back was: or the most there ever was."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc keeps what was freed
        ctypes.CDLL(None).malloc_trim(0)
    if sys.platform == "linux":
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return most_memory()


def small() -> Any:
    return chainrule.TwoLayerNet(12, 8, 4, seed=0)


def of_images() -> Any:
    filters = {"filter_num": 2, "filter_size": 3, "pad": 1, "stride": 1}
    return chainrule.SimpleConvNet((1, 8, 8), filters, 6, 4, seed=0)


def round_trip(layer: Any, x: Any) -> Callable[[], Any]:
    def call() -> None:
        layer.backward(layer.forward(x))

    return call


def refused(call: Callable[[], Any], kind: type[Exception] = ValueError) -> Callable[[], Any]:
    """Give a call that fails each time: nothing is left of an error either."""

    def again() -> None:
        with suppress(kind):
            call()

    return again


def entries() -> dict[str, Callable[[], Any]]:
    """Give the entry points, each with small arguments."""
    net, images, trained = small(), of_images(), small()
    history = fit(trained, X, T, epochs=3, seed=0, batch_size=8, test=(X, T))
    net.save("net")
    Path("idx").write_bytes(idx(np.arange(60, dtype=np.uint8).reshape(6, 10)))
    Path("weights").write_bytes(pickle.dumps({"W1": X, "b1": X[0]}))
    weights = Path("weights").read_bytes()
    Path("broken").write_bytes(Path("net").read_bytes()[:-9])
    optimizer, params = chainrule.Adam(), {"W": X.copy()}
    one: dict[str, Callable[[], Any]] = {
        "softmax": lambda: chainrule.softmax(X), "log_softmax": lambda: chainrule.log_softmax(X),
        "relu": lambda: chainrule.relu(X), "sigmoid_grad": lambda: chainrule.sigmoid_grad(X),
        "softmax_loss": lambda: chainrule.softmax_loss(X[:, :4], T),
        "cross_entropy_error": lambda: chainrule.cross_entropy_error(chainrule.softmax(X[:, :4]), T),
        "mean_squared_error": lambda: chainrule.mean_squared_error(X, X + 1),
        "numerical_gradient": lambda: chainrule.numerical_gradient(lambda v: float((v**2).sum()), X[0].copy()),
        "im2col": lambda: chainrule.im2col(IMAGES, 3, 3), "smooth_curve": lambda: chainrule.smooth_curve(X[0]),
        "shuffle_dataset": lambda: chainrule.shuffle_dataset(X, T),
        "Affine": round_trip(chainrule.Affine(R.normal(size=(12, 12)), np.zeros(12)), X),
        "Convolution": round_trip(chainrule.Convolution(R.normal(size=(2, 1, 3, 3)), np.zeros(2), 1, 1), IMAGES),
        "Pooling": round_trip(chainrule.Pooling(2, 2), IMAGES),
        "AveragePooling": round_trip(chainrule.AveragePooling(2, 2), IMAGES),
        "BatchNormalization": round_trip(chainrule.BatchNormalization(np.ones(12), np.zeros(12)), X),
        "LayerNormalization": round_trip(chainrule.LayerNormalization(np.ones(12), np.zeros(12)), X),
        "Dropout": round_trip(chainrule.Dropout(0.5), X), "Flatten": round_trip(chainrule.Flatten(), IMAGES),
        **{name: round_trip(getattr(chainrule, name)(), X) for name in ("Relu", "LeakyRelu", "Sigmoid", "Tanh")},
        "TwoLayerNet": small, "SimpleConvNet": of_images, "predict": lambda: net.predict(X),
        "gradient": lambda: net.gradient(X, T), "loss": lambda: net.loss(X, T), "accuracy": lambda: net.accuracy(X, T),
        "gradient of images": lambda: images.gradient(IMAGES, T[:4]),
        "update": lambda: optimizer.update(params, {"W": X}),
        "fit": lambda: fit(small(), X, T, epochs=2, batch_size=8, seed=0),
        "fit of images": lambda: fit(of_images(), IMAGES, T[:4], epochs=1, batch_size=2, seed=0),
        "fit with a checkpoint": lambda: fit(small(), X, T, epochs=1, batch_size=8, seed=0, checkpoint="run"),
        "save": lambda: net.save("net"), "load": lambda: chainrule.load("net"),
        "load of a broken file": refused(lambda: chainrule.load("broken")),
        "read_idx": lambda: chainrule.read_idx("idx"),
        "read_book_weights": lambda: chainrule.read_book_weights("weights"),
        "loads": lambda: loads(weights), "loads of a broken pickle": refused(lambda: loads(weights[:-30])),
        "check_gradients": lambda: check_gradients(chainrule.Tanh(), X[:2, :3], seed=0),
        "check_gradients of a net": lambda: check_gradients(chainrule.TwoLayerNet(3, 2, 2, seed=0), X[:2, :3], [0, 1]),
        "check_adjoint": lambda: chainrule.check_adjoint((lambda x: 2 * x, lambda y: 2 * y), (12,), (12,)),
        "check_jacobian": lambda: chainrule.check_jacobian(lambda x: x**2, lambda x: np.diag(2 * x), X[0]),
        "Variable": lambda: (chainrule.Variable(X) * 2).sum().backward(),
        "expression": lambda: evaluate("exp(x) * (y + 2)", {"x": 1.0, "y": 2.0}).backward(),
        "graph": lambda: evaluate("exp(x) * (y + 2)", {"x": 1.0, "y": 2.0}).graph().to_svg(),
        "refused arrays": refused(lambda: net.predict(X[:, :5])),
        "refused labels": refused(lambda: net.loss(X, T + 9)),
        "chainrule graph": lambda: _quietly("graph", "(x + y) * z", "x=2", "y=3", "z=4"),
        "load_image": _picture(), "load_mnist": lambda: chainrule.load_mnist(normalize=False),
        "training_report": lambda: chainrule.training_report(trained, history, test=(X, T)),
    }  # fmt: skip
    return one


def _quietly(*arguments: str) -> None:
    with redirect_stdout(io.StringIO()):
        main(list(arguments))


def _picture() -> Callable[[], Any]:
    from attack.readers.pictures import pictures

    Path("picture").write_bytes(pictures()[0])
    return lambda: chainrule.load_image("picture")


class Leaks(Target):
    """An entry point, and for how long it is called."""

    patience = 120.0
    memory = 2**30
    ends_itself = True

    def __init__(self) -> None:
        self._entries: dict[str, Callable[[], Any]] = {}
        self._calls: dict[str, int] = {}
        self._growth: dict[str, int] = {}

    def cases(self, rng: random.Random) -> Generator[bytes, str, None]:
        """Give each entry point its share of the time."""
        self._entries = self._entries or entries()
        names = list(self._entries)
        end = time.monotonic() + self.seconds
        for i, name in enumerate(names):
            share = (end - time.monotonic()) / (len(names) - i)
            yield f"{name}|{max(share, 0.02):.3f}".encode()

    def judge(self, case: bytes) -> str:
        name, seconds = case.decode().split("|")
        self._entries = self._entries or entries()
        call, half = self._entries[name], float(seconds) / 2
        self._called(call, MOST_CALLS // 20, min(half / 4, 1))
        for _ in range(3):  # of a leak there is more each time; a cache, or memory in pieces, grows once
            before = resident()
            self._calls[name] = self._called(call, MOST_CALLS, half)
            growth = self._growth[name] = resident() - before
            if growth <= MOST_GROWTH:
                return f"{name} went"
        raise Wrong(f"{name}: {growth / 2**20:.1f} MiB more after {self._calls[name]} calls, and again")

    @staticmethod
    def _called(call: Callable[[], Any], most: int, seconds: float) -> int:
        """Call until the calls or the time are used up; tell how often."""
        end, count = time.monotonic() + seconds, 0
        while count < most and (not count or time.monotonic() < end):
            call()
            count += 1
        return count

    def notes(self) -> list[str]:
        if not self._growth:
            return []
        name = max(self._growth, key=lambda name: self._growth[name])
        few = min(self._calls, key=lambda name: self._calls[name])
        return [
            f"{sum(self._calls.values()):,} calls of {len(self._calls)} entry points",
            f"fewest {self._calls[few]:,} of {few}",
            f"most growth {self._growth[name] / 2**20:.1f} MiB of {name}",
        ]
