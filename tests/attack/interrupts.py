"""Ctrl-C at a random moment: the network and its optimizer are as after a whole number of steps, or as before the call.

The moment is drawn from the time that the work takes without it. What should then be there is computed anew: training
again, for as many steps as the optimizer counted, ends with the same bits.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from attack.target import Target, Wrong, number_of
from chainrule import (
    Adam,
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Momentum,
    Network,
    Pooling,
    Relu,
    TwoLayerNet,
    check_gradients,
    fit,
    load,
)
from chainrule.nn.network import everything

R = np.random.default_rng(0)
X, T = R.normal(size=(600, 64)), R.integers(10, size=600)
IMAGES = R.normal(size=(120, 1, 8, 8))
#: Nobody is to wait longer for Ctrl-C than this.
LONGEST = 1.0


class Own(Relu):
    """A layer of the user's own: its network is trained in Python."""


def affine(inputs: int, outputs: int, seed: int) -> Affine:
    return Affine(np.random.default_rng(seed).normal(size=(inputs, outputs)) / 8, np.zeros(outputs))


def small() -> Any:
    return TwoLayerNet(64, 50, 10, seed=0)


def own() -> Any:
    return Network({"a": affine(64, 200, 1), "r": Own(), "b": affine(200, 10, 2)})


def own_with_statistics() -> Any:
    norm = BatchNormalization(np.ones(200), np.zeros(200))
    return Network({"a": affine(64, 200, 1), "n": norm, "r": Own(), "d": Dropout(0.3, seed=1), "b": affine(200, 10, 2)})


def of_images() -> Any:
    W = np.random.default_rng(3).normal(size=(4, 1, 3, 3))
    norm = BatchNormalization(np.ones(4), np.zeros(4))
    layers = {
        "c": Convolution(W, np.zeros(4), 1, 1),
        "n": norm,
        "r": Relu(),
        "p": Pooling(2, 2),
        "d": Dropout(0.3, seed=1),
    }
    return Network({**layers, "b": affine(64, 10, 2)})


def bits(net: Any) -> dict[str, bytes]:
    """Give all numbers of a network, statistics too."""
    return {name: array.tobytes() for name, array in everything(net).items()}


def kept(optimizer: Any) -> dict[str, list[bytes]]:
    """Give all numbers of an optimizer."""
    return {name: [array.tobytes() for array in arrays] for name, arrays in optimizer.kept.items()}


class Interrupts(Target):
    """Ctrl-C in a fit, a gradient, a prediction, a check, a save."""

    patience = 30.0

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}
        self._waits: list[float] = []

    def judge(self, case: bytes) -> str:
        rng = random.Random(number_of(case))
        name, work = rng.choice(list(WORKS.items()))
        if name not in self._usual:
            for _ in range(2):
                work(lambda call: self._timed(name, call))
        after = rng.random() * self._usual[name]
        return f"{name} {work(lambda call: self._interrupted(call, after))}"

    def _timed(self, name: str, call: Callable[[], Any]) -> None:
        begin = time.perf_counter()
        call()
        self._usual[name] = time.perf_counter() - begin

    def _interrupted(self, call: Callable[[], Any], after: float) -> bool:
        """Call, and press Ctrl-C after some seconds, unless it is over by then; tell whether it was interrupted."""
        sent: list[tuple[float, float]] = []
        over = threading.Event()

        def press() -> None:
            if not over.wait(after):
                sent.append((time.perf_counter(), time.process_time()))
                os.kill(os.getpid(), signal.SIGINT)

        presser = threading.Thread(target=press)
        came = False
        try:
            presser.start()
            call()
            over.set()
            presser.join()
        except KeyboardInterrupt:
            waited, worked = time.perf_counter() - sent[0][0], time.process_time() - sent[0][1]
            self._waits.append(waited)
            came = True
            if min(waited, worked) > LONGEST:  # it has not only waited for the machine
                raise Wrong(f"Ctrl-C was heard after {waited:.2f} s") from None
        finally:
            presser.join()
        return came

    def notes(self) -> list[str]:
        if not self._waits:
            return ["none was heard"]
        p50, p99 = np.percentile(self._waits, [50, 99]) * 1e3
        most = max(self._waits) * 1e3
        return [f"{len(self._waits)} heard after {p50:.1f} ms (p50), {p99:.1f} ms (p99), {most:.1f} ms (max)"]


#: What calls something, and may interrupt it: tells whether it was.
Press = Callable[[Callable[[], Any]], Any]
Work = Callable[[Press], str]


def fitting(make: Callable[[], Any], rule: Callable[[], Any], images: bool = False, **options: Any) -> Work:
    """Train; what is left is what as many steps make."""

    def work(press: Press) -> str:
        x = IMAGES if images else X
        net, optimizer = make(), rule()
        came = press(lambda: fit(net, x, T[: len(x)], epochs=6, batch_size=20, seed=0, optimizer=optimizer, **options))
        twin, other = make(), rule()
        if optimizer.iter:
            fit(twin, x, T[: len(x)], iterations=optimizer.iter, batch_size=20, seed=0, optimizer=other, **options)
        if bits(net) != bits(twin):
            differing = [name for name, its in bits(net).items() if bits(twin)[name] != its]
            raise Wrong(f"after {optimizer.iter} steps, as it says, {', '.join(differing)} are others")
        if optimizer.iter and kept(optimizer) != kept(other):
            raise Wrong("what the optimizer keeps is not that of its steps")
        return f"fit {'stopped' if came else 'ended'}"

    return work


def resuming(press: Press) -> str:
    """Train and write checkpoints; what is gone on with ends as the whole run."""
    path = Path("run.safetensors")
    path.unlink(missing_ok=True)
    options: dict[str, Any] = {"epochs": 6, "batch_size": 20, "seed": 0}
    press(lambda: fit(small(), X, T, optimizer=Adam(), checkpoint=path, **options))
    if not path.exists():
        return "before the first"
    again, whole = small(), small()
    fit(again, X, T, optimizer=Adam(), resume=path, **options)
    fit(whole, X, T, optimizer=Adam(), **options)
    if bits(again) != bits(whole):
        raise Wrong("what was gone on with is not the whole run")
    _expect_no_rest(path)
    return "went on"


def saving(press: Press) -> str:
    """Save over another; the old file is there or the new one."""
    path = Path("net.safetensors")
    old, new = small(), TwoLayerNet(64, 500, 10, seed=1)
    old.save(path)
    press(lambda: new.save(path))
    now = bits(load(path))
    if now not in (bits(old), bits(new)):
        raise Wrong("the file is neither the old one nor the new one")
    _expect_no_rest(path)
    return "new" if now == bits(new) else "old"


def _expect_no_rest(path: Path) -> None:
    if left := [name for name in os.listdir() if name.endswith(".tmp")]:
        raise Wrong(f"{left} are left behind")


def asking(call: Callable[[Any], Any]) -> Work:
    """Ask a network for something: it is as before, and answers as a new one."""

    def work(press: Press) -> str:
        net, twin = small(), small()
        came = press(lambda: call(net))
        if bits(net) != bits(twin):
            raise Wrong("parameters have changed")
        if repr(call(net)) != repr(call(twin)):
            raise Wrong("it does not answer as a new one does")
        return "stopped" if came else "ended"

    return work


WORKS: dict[str, Work] = {
    "fit in Rust": fitting(small, Adam),
    "fit of images in Rust": fitting(of_images, lambda: Momentum(0.01), images=True),
    "fit in Python": fitting(own, Adam),
    "fit in Python with statistics": fitting(own_with_statistics, Adam),
    "checkpoints": resuming,
    "save": saving,
    "gradient": asking(lambda net: net.gradient(X, T)["W1"].sum()),
    "predict": asking(lambda net: net.predict(X).sum()),
    "check": asking(lambda net: check_gradients(net, X[:3], T[:3], seed=0).ok),
    "numerical_gradient": asking(
        lambda net: chainrule.numerical_gradient(lambda b: net.loss(X[:5], T[:5]), net.params["b2"]).sum()
    ),
}
