"""Calls under a malloc that says there is no memory: see ``failing_malloc.c``.

Run by itself, this is the program that is watched: it makes one of `CALLS` again and again, the N-th request for
memory failing, N = 0, 1, 2 …, until there are no more, and prints how it ended how often.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import chainrule

RNG = np.random.default_rng(0)


def dense(rows: int = 300, hidden: int = 200, zeros: float = 0) -> tuple[Any, ...]:
    x = RNG.random((rows, 784), dtype=np.float32)
    x[RNG.random(x.shape) < zeros] = 0
    return chainrule.TwoLayerNet(784, hidden, 10, seed=0, dtype=np.float32), x, RNG.integers(10, size=rows)


def images() -> tuple[Any, ...]:
    x = RNG.random((20, 1, 28, 28), dtype=np.float32)
    return chainrule.SimpleConvNet(seed=0, dtype=np.float32), x, RNG.integers(10, size=20)


def fit(net: Any, x: Any, t: Any) -> object:
    return chainrule.fit(net, x, t, epochs=1, batch_size=max(len(x) // 4, 10), seed=0, optimizer=chainrule.Adam())


def saved(net: Any, x: Any, t: Any) -> object:
    path = Path(tempfile.gettempdir(), f"{os.getpid()}.safetensors")
    try:
        net.save(path)
        return chainrule.load(path)
    finally:
        path.unlink()


KINDS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "dense": dense,
    "sparse": lambda: dense(zeros=0.8),
    "images": images,
}
CALLS: dict[str, tuple[str, Callable[[Any, Any, Any], object]]] = {
    **{f"{kind} predict": (kind, lambda net, x, _: net.predict(x)) for kind in ("dense", "sparse", "images")},
    **{f"{kind} gradient": (kind, lambda net, x, t: net.gradient(x, t)) for kind in ("dense", "sparse", "images")},
    **{f"{kind} fit": (kind, fit) for kind in ("dense", "sparse", "images")},
    "dense loss": ("dense", lambda net, x, t: net.loss(x, t)),
    "dense accuracy": ("dense", lambda net, x, t: net.accuracy(x, t)),
    "dense save and load": ("dense", saved),
}


def built(folder: Path) -> Path:
    """Compile the malloc."""
    library, source = folder / "failing_malloc.so", Path(__file__).with_suffix(".c")
    compiler = shutil.which("cc")
    assert compiler is not None
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def watched(name: str, library: Path, *, alone: bool, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run the program below for a call; its N-th request fails `alone`, or with all behind it."""
    around = os.environ | {"LD_PRELOAD": str(library), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, name, str(int(alone))]
    return subprocess.run(command, env=around, capture_output=True, text=True, timeout=timeout, check=False)


def main(name: str, alone: str) -> None:
    library = ctypes.CDLL(None)
    library.fail.argtypes, library.seen.restype = [ctypes.c_long, ctypes.c_int], ctypes.c_long
    kind, call = CALLS[name]
    net, x, t = KINDS[kind]()
    call(net, x, t)
    before = {key: p.copy() for key, p in net.params.items()}
    ends: Counter[str] = Counter()
    n = seen = 0
    while seen >= n:
        for key, p in before.items():
            np.copyto(net.params[key], p)
        library.fail(n, int(alone))
        try:
            call(net, x, t)
            end = "done"
        except BaseException as error:
            end = type(error).__name__
        seen = library.seen()
        if end != "done" and any((net.params[key] != p).any() for key, p in before.items()):
            end += ", and changed"
        ends[end] += 1
        n += 1
    print(dict(ends))


if __name__ == "__main__":
    main(*sys.argv[1:])
