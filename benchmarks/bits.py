"""Print a SHA-256 of every result that must not change: the proof that a change of the code is none of the numbers.

Six optimizers in both dtypes train on MNIST, whose zeros are skipped, and on data without zeros, on 1, 2 and 7 threads;
then there are the model's file, its scores, its loss and gradient, and a gradient check. The digests hold for one
instruction set; those of the threads must agree, and do if this ends with 0.

    python benchmarks/bits.py > before.json
    python benchmarks/bits.py --against before.json
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import chainrule as cr

THREADS = (1, 2, 7)
OPTIMIZERS = {
    "SGD": lambda: cr.SGD(0.1),
    "Momentum": lambda: cr.Momentum(0.02),
    "Nesterov": lambda: cr.Nesterov(0.02),
    "AdaGrad": lambda: cr.AdaGrad(0.02),
    "RMSprop": lambda: cr.RMSprop(0.002),
    "Adam": lambda: cr.Adam(0.002, weight_decay=1e-4),
}


def digest(*things: Any) -> str:
    """Give the SHA-256 of arrays' bytes and of whatever else JSON can write, floats with all their digits."""
    sha = hashlib.sha256()
    for thing in things:
        is_bytes = isinstance(thing, bytes)
        sha.update(
            thing.tobytes() if isinstance(thing, np.ndarray) else thing if is_bytes else json.dumps(thing).encode()
        )
    return sha.hexdigest()


def numbers(history: cr.History) -> list[list[float]]:
    """Give what was measured on the way."""
    return [history.losses, history.train_loss, history.train_accuracy, history.test_loss, history.test_accuracy]


def data() -> dict[str, tuple[Any, Any, int]]:
    """Give images, labels and a number of hidden units for each kind: with 300 the dense products are divided."""
    (images, labels), _ = cr.load_mnist(normalize=False)
    rng = np.random.default_rng(0)
    return {
        "sparse": (images[:3000], labels[:3000], 50),
        "dense": (rng.standard_normal((1500, 300)), rng.integers(10, size=1500), 300),
    }


def results() -> Iterator[tuple[str, str]]:
    """Compute everything in this process: (what, its digest)."""
    for kind, (x, t, hidden) in data().items():
        n = len(x) // 3
        for dtype in (np.float32, np.float64):
            x_as = x if kind == "sparse" else x.astype(dtype)
            for name, optimizer in OPTIMIZERS.items():
                net = cr.TwoLayerNet(x.shape[1], hidden, 10, seed=1, dtype=dtype)
                if kind == "sparse":
                    net.layers = {"Rescaling": cr.Rescaling(1 / 255), **net.layers}
                history = cr.fit(
                    net,
                    x_as[n:],
                    t[n:],
                    test=(x_as[:n], t[:n]),
                    epochs=2,
                    batch_size=130,
                    optimizer=optimizer(),
                    seed=2,
                )
                what = f"{kind} {dtype.__name__} {name}"
                yield f"{what} fit", digest(*net.params.values(), *numbers(history))
                with tempfile.TemporaryDirectory() as folder:
                    net.save(Path(folder) / "net.safetensors")
                    yield f"{what} file", digest((Path(folder) / "net.safetensors").read_bytes())
            weight = np.linspace(0, 2, len(x) - n)
            history = cr.fit(net, x_as[n:], t[n:], sample_weight=weight, label_smoothing=0.1, batch_size=100, seed=3)
            yield f"{what} weighted fit", digest(*net.params.values(), *numbers(history))
            yield f"{what} scores", digest(net.predict(x_as), net.loss(x_as, t), net.accuracy(x_as, t))
            for rows in (100, 700):
                yield f"{what} gradient {rows}", digest(*net.gradient(x_as[:rows], t[:rows]).values())
            small = cr.TwoLayerNet(x.shape[1], 9, 10, seed=4, dtype=dtype)
            report = cr.check_gradients(small, x_as[:20] / 255, t[:20], seed=5).to_dict()["arrays"]
            yield f"{what} check", digest(json.loads(json.dumps(report, default=lambda a: np.asarray(a).tolist())))


def in_a_process(threads: int) -> dict[str, str]:
    """Compute everything in a process with so many threads."""
    environment = {**os.environ, "CHAINRULE_NUM_THREADS": str(threads), "CHAINRULE_CPUS": str(threads)}
    done = subprocess.run([sys.executable, __file__, "--here"], env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found


def main() -> int:
    """Do as the command line says: 1 if anything differs."""
    parser = argparse.ArgumentParser(description="Print a SHA-256 of every result that must not change.")
    parser.add_argument("--against", type=Path, help="compare with the digests in this file")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(dict(results())))
        return 0
    found = {threads: in_a_process(threads) for threads in THREADS}
    expected = json.loads(options.against.read_text()) if options.against else found[THREADS[0]]
    wrong = 0
    for threads, digests in found.items():
        differing = [what for what in {**expected, **digests} if expected.get(what) != digests.get(what)]
        wrong += len(differing)
        print(f"{threads} threads: {len(digests)} digests, {len(differing)} differ", file=sys.stderr)
        for what in differing:
            print(f"  {what}: {digests.get(what)}, expected {expected.get(what)}", file=sys.stderr)
    if not options.against:
        print(json.dumps(expected, indent=1))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
