"""Trainings on several processes: ``mpiexec -n 3 python mpi_runs.py bits``. Each rank prints a line of JSON.

The first argument names a function below. Imported, `CASES` are the same trainings on one process.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from chainrule import (
    Affine,
    BatchNormalization,
    Dropout,
    EarlyStopping,
    IdentityWithLoss,
    MultiLayerNet,
    Network,
    Relu,
    SimpleConvNet,
    fit,
)
from chainrule.nn.network import everything
from chainrule.training.settings import OPTIMIZERS

N = 120


class Stretch:
    """A layer that Rust does not know: ``x * w``."""

    def __init__(self, n: int) -> None:
        self.w = np.ones(n)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.w

    def backward(self, dout: Any) -> Any:
        self.dw = (dout * self.x).sum(axis=0)
        return dout * self.w


class Line:
    """A network that is no `Network`: ``x @ W``, half the mean squared distance to t; b has no gradient."""

    def __init__(self) -> None:
        self.params = {"W": np.zeros((12, 2)), "b": np.zeros(2)}

    def loss(self, x: Any, t: Any) -> float:
        return float(((x @ self.params["W"] - t) ** 2).sum() / (2 * len(x)))

    def gradient(self, x: Any, t: Any) -> Any:
        return {"W": x.T @ (x @ self.params["W"] - t) / len(x)}

    def accuracy(self, x: Any, t: Any) -> float:
        return float((np.abs(x @ self.params["W"] - t) < 1).all(axis=1).mean())


def named(*layers: Any) -> dict[str, Any]:
    return {f"layer{i}": layer for i, layer in enumerate(layers)}


def noisy(x: Any, rng: np.random.Generator) -> Any:
    return x + rng.normal(0, 0.01, x.shape).astype(x.dtype)


def data() -> tuple[Any, Any]:
    x = np.random.default_rng(5).random((N, 12))
    return x * (x > 0.6), x[:, :3].argmax(axis=1)


def affine(n: int, m: int, seed: int) -> Affine:
    return Affine(np.random.default_rng(seed).standard_normal((n, m)) * 0.3, np.zeros(m))


def _cases() -> dict[str, tuple[Callable[[], Any], Any, Any, dict[str, Any]]]:
    """Give by name: how to make the network, the data, and other arguments."""
    x, t = data()
    cases: dict[str, tuple[Callable[[], Any], Any, Any, dict[str, Any]]] = {}
    for dtype in (np.float32, np.float64):
        for name in OPTIMIZERS:

            def dense(dtype: Any = dtype) -> Any:
                return MultiLayerNet(12, [10, 7], 3, seed=0, dtype=dtype)

            cases[f"{name} {dtype.__name__}"] = dense, x.astype(dtype), t, {"optimizer": name}
    cases["bytes"] = cases["sgd float32"][0], (x * 255).astype(np.uint8), t, {"optimizer": "adam"}
    cases["sparse"] = cases["sgd float64"][0], "sparse", t, {"largest_norm": 0.2}

    def convolutional() -> Any:
        conv = {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}
        return SimpleConvNet((1, 6, 6), conv, 8, 3, dtype=np.float32, seed=1)

    images = np.random.default_rng(6).random((N, 1, 6, 6)).astype(np.float32)
    cases["convolution"] = convolutional, images, t, {"optimizer": "momentum", "augment": noisy}

    def normalized(*first: Any) -> Any:
        rest = affine(12, 8, 1), BatchNormalization(np.ones(8), np.zeros(8)), Relu(), Dropout(0.3), affine(8, 3, 2)
        return Network(named(*first, *rest))

    more = {"sample_weight": np.arange(1, N + 1) / N, "label_smoothing": 0.1, "validation": 0.2}
    cases["normalized"] = normalized, x, t, {**more, "optimizer": "adam"}
    cases["own layer"] = (lambda: normalized(Stretch(12))), x, t, {**more, "callbacks": 1, "augment": noisy}
    cases["own network"] = Line, x, np.stack([t, -t], 1).astype(float), {"largest_norm": 0.5}

    def regression() -> Any:
        net = Network(named(affine(12, 6, 3), Relu(), affine(6, 1, 4)))
        net.last_layer = IdentityWithLoss()
        return net

    cases["regression"] = regression, x, x.sum(axis=1, keepdims=True), {"test": True}
    return cases


CASES = _cases()


def train(name: str, comm: Any = None, part: slice | None = None, **other: Any) -> tuple[Any, Any]:
    """Train a case, and give the network and the history; with `part`, the rows of this process alone."""
    make, x, t, given = CASES[name]
    given = {**given, **other}
    rows = part or slice(None)
    if isinstance(x, str):
        from scipy.sparse import csr_matrix

        x = csr_matrix(data()[0])
    if given.pop("test", False):
        given["test"] = x[rows], t[rows]
    if "sample_weight" in given:
        given["sample_weight"] = given["sample_weight"][rows]
    if "callbacks" in given and isinstance(given["callbacks"], int):
        given["callbacks"] = [EarlyStopping(given["callbacks"])]
    net = make()
    arguments = {"epochs": 2, "batch_size": 25, "seed": 4, "shards": 8, "comm": comm, "local": part is not None} | given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return net, fit(net, x[rows], t[rows], **arguments)


def digest(net: Any, history: Any = None) -> str:
    """Give a digest of all parameters and statistics, and of the history."""
    arrays = b"".join(array.tobytes() for array in everything(net).values())
    said = "" if history is None else repr(history.to_dict())
    return hashlib.sha256(arrays + said.encode()).hexdigest()


# --- what is run by mpiexec ---


def bits(comm: Any, *_: str) -> Any:
    """Every case, with all rows on each rank."""
    return {name: digest(*train(name, comm)) for name in CASES}


def local(comm: Any, *_: str) -> Any:
    """Every case, with some rows on each rank; the second has few."""
    cuts = [*[0, 60, 64, 100, N][: comm.Get_size()], N]
    part = slice(cuts[comm.Get_rank()], cuts[comm.Get_rank() + 1])
    return {name: digest(*train(name, comm, part)) for name in CASES}


def unseeded(comm: Any, *_: str) -> Any:
    """Without a seed for the batches: those of rank 0."""
    return digest(*train("sgd float64", comm, seed=None))


def error_of(work: Callable[[], object]) -> str:
    try:
        work()
    except (Exception, KeyboardInterrupt) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def unlike(comm: Any, *_: str) -> Any:
    """What is said if the last rank was called with something else."""
    last = comm.Get_rank() == comm.Get_size() - 1
    x, t = data()

    def run(net: Any = None, x: Any = x, t: Any = t, **given: Any) -> Any:
        net = MultiLayerNet(12, [5], 3, seed=0) if net is None else net
        return error_of(lambda: fit(net, x, t, **{"batch_size": 25, "seed": 4, "comm": comm, **given}))

    def unless(yes: Any, no: Any) -> Any:
        return no if last else yes

    return {
        "x": run(x=unless(x, x + 1)),
        "t": run(t=unless(t, (t + 1) % 3)),
        "network": run(MultiLayerNet(12, [5], 3, seed=unless(0, 1))),
        "arguments": run(learning_rate=unless(0.1, 0.2)),
        "epochs": run(epochs=unless(1, 2)),
        "seed": run(seed=unless(4, 5)),
        "test": run(test=(x, unless(t, t[::-1]))),
        "wrong on one": run(batch_size=unless(25, -1)),
        "wrong on all": run(batch_size=-1),
        "too few shards": run(shards=1),
        "right": run(),
    }


class Fails(Stretch):
    """Raises an exception in a step, on one rank."""

    def __init__(self, n: int, on: bool) -> None:
        super().__init__(n)
        self.on, self.left = on, 9

    def backward(self, dout: Any) -> Any:
        self.left -= 1
        if self.on and not self.left:
            raise ArithmeticError("as if the memory were broken")
        return super().backward(dout)


def fails(comm: Any, *_: str) -> Any:
    """What is said if a layer raises on rank 1 alone, and whether the network is as before on all."""
    net = Network(named(Fails(12, comm.Get_rank() == 1), affine(12, 3, 1)))
    before = digest(net)
    said = error_of(lambda: fit(net, *data(), epochs=3, batch_size=30, seed=4, comm=comm))
    return [said, digest(net) == before]


def leaves(comm: Any, *_: str) -> Any:
    """Rank 1 raises where the others do not know of it: all are ended."""
    net = MultiLayerNet(12, [5], 3, seed=0)
    if comm.Get_rank() == 1:
        chainrule.training.sharded.ShardedStepper._step = None  # type: ignore[assignment,method-assign]
    fit(net, *data(), epochs=3, batch_size=30, seed=4, comm=comm)


class Decides:
    """Changes the learning rate and a parameter by numbers that only rank 0 has, and stops."""

    def __init__(self) -> None:
        self.calls = 0

    def on_step(self, run: Any) -> None:
        self.calls += 1
        run.optimizer.lr = 0.1 + np.random.default_rng().random() / 10

    def on_epoch(self, run: Any) -> bool:
        run.net.params["b1"] += np.random.default_rng().random()
        return bool(run.epoch == 2)


def decides(comm: Any, *_: str) -> Any:
    """A callback decides on rank 0."""
    callback = Decides()
    net = MultiLayerNet(12, [5], 3, seed=0)
    history = fit(net, *data(), epochs=9, batch_size=30, seed=4, comm=comm, callbacks=[callback])
    return [callback.calls, len(history.steps), digest(net, history)]


class Replaces:
    def on_epoch(self, run: Any) -> None:
        run.net.layers["layer0"] = affine(12, 3, 5)


def replaces(comm: Any, *_: str) -> Any:
    """A callback replaces a layer, which cannot reach the others."""
    net = Network(named(affine(12, 3, 1)))
    return error_of(lambda: fit(net, *data(), batch_size=30, seed=4, comm=comm, callbacks=[Replaces()]))


def long(comm: Any, path: str, epochs: str) -> Any:
    """A long training that writes checkpoints, from where it was if there is a file."""
    net = MultiLayerNet(12, [30, 30], 3, seed=0)
    resume = path if Path(path).exists() else None
    given = {"epochs": int(epochs), "batch_size": 24, "seed": 4, "optimizer": "adam", "comm": comm}
    ranks = comm.allgather(os.getpid())
    if comm.Get_rank() == 0:
        print(json.dumps({"ranks": ranks}), flush=True)
    fit(net, *data(), checkpoint=path, resume=resume, **given)
    return digest(net)


def interrupted(comm: Any, path: str) -> Any:
    """Ctrl-C on one rank alone; the step and the network that each is left with."""
    net, x = MultiLayerNet(12, [30, 30], 3, seed=0), data()

    class Interrupts:
        def on_epoch(self, run: Any) -> None:
            Path(path).touch()  # rank 1 is waiting for it

    if comm.Get_rank() == 1:
        import signal
        import threading
        import time

        def press() -> None:
            while not Path(path).exists():
                time.sleep(0.001)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=press, daemon=True).start()
    said = error_of(lambda: fit(net, *x, epochs=10**6, batch_size=24, seed=4, comm=comm, callbacks=[Interrupts()]))
    return [said.partition(":")[0], digest(net)]


if __name__ == "__main__":
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    found = globals()[sys.argv[1]](world, *sys.argv[2:])
    # One line in one write: mpiexec mixes what the ranks write.
    os.write(1, (json.dumps({"rank": world.Get_rank(), "found": found}) + "\n").encode())
