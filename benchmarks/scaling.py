"""For which networks and batches do several machines pay? Measured on this one, and by a model of a step.

Run it: ``python benchmarks/scaling.py``, with mpi4py and an MPI beside this Python, or ``--mpiexec PATH``. It prints
Markdown tables and writes target/scaling.json. Every process has one thread.

The model: with W the time of the gradients of a whole batch on one process, U that of the update, G the bytes of the
gradient, P processes that share S shards, and a network that takes the time a for a message and b for a byte,

    t(P) = W · ⌈S/P⌉/S + U + 6 (P - 1) a + 2 (P - 1)/P · G b

Each process sends and receives that many bytes, in two exchanges, and a third one, short, tells the losses. W, U, and
the a and b of this machine are measured. Its cores share a memory, so more processes than cores show only what the
exchange costs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS, STEPS, SHARDS = 5, 4, 8
#: Name: layers, batch.
NETS: dict[str, tuple[list[int], int]] = {
    "784-50-10": ([784, 50, 10], 100),
    "784-1024-1024-10": ([784, 1024, 1024, 10], 1024),
    "784-2048-2048-10": ([784, 2048, 2048, 10], 2048),
}
#: Name: seconds a message, seconds a byte, of networks between machines.
NETWORKS = {
    "1 Gbit/s Ethernet, 50 µs": (50e-6, 8e-9),
    "10 Gbit/s Ethernet, 20 µs": (20e-6, 8e-10),
    "100 Gbit/s InfiniBand, 2 µs": (2e-6, 8e-11),
}


def work(name: str, shards: int | None) -> dict[str, float]:
    """Train for some steps, and give the seconds of a step, of its gradients and of its update, on rank 0."""
    from mpi4py import MPI

    import chainrule
    from chainrule.training.shard_gradients import ByPlan

    comm = MPI.COMM_WORLD
    sizes, batch = NETS[name]
    rng = np.random.default_rng(0)
    x, t = rng.random((batch, sizes[0]), np.float32), rng.integers(0, sizes[-1], batch)
    net = chainrule.MultiLayerNet(sizes[0], sizes[1:-1], sizes[-1], dtype=np.float32, seed=0)
    seconds = {"find": 0.0, "apply": 0.0}
    for method in seconds:
        setattr(ByPlan, method, timed(getattr(ByPlan, method), seconds, method))

    def run(steps: int) -> float:
        begun = time.perf_counter()
        given: dict[str, Any] = {"shards": shards, "comm": comm if shards else None, "evaluate_train": False}
        chainrule.fit(net, x, t, iterations=steps, batch_size=batch, seed=1, optimizer="adam", **given)
        return time.perf_counter() - begun

    few, many = [], []
    for _ in range(ROUNDS):
        few.append(run(1))
        many.append(run(1 + STEPS))
    calls = ROUNDS * (2 + STEPS)
    step = statistics.median(b - a for a, b in zip(few, many, strict=True)) / STEPS
    return {"step": step, "gradients": seconds["find"] / calls, "update": seconds["apply"] / calls}


def timed(function: Any, seconds: dict[str, float], name: str) -> Any:
    """Give the same function, which adds up how long it takes."""

    def call(*args: Any) -> Any:
        begun = time.perf_counter()
        found = function(*args)
        seconds[name] += time.perf_counter() - begun
        return found

    return call


def exchange() -> dict[str, float]:
    """Give the seconds of an exchange of a byte and of 2 MB and 32 MB among these processes."""
    from mpi4py import MPI

    comm = MPI.COMM_WORLD
    found = {}
    for size in (1, 1 << 21, 1 << 25):
        mine, all_ = np.zeros(size, np.uint8), np.zeros(size * comm.Get_size(), np.uint8)
        took = []
        for _ in range(3 * ROUNDS):
            comm.Barrier()
            begun = time.perf_counter()
            comm.Allgather(mine, all_)
            took.append(time.perf_counter() - begun)
        found[str(size)] = statistics.median(took)
    return found


def launched(mpiexec: str, processes: int, *words: str) -> Any:
    """Run this file on some processes, and give what rank 0 prints."""
    call = [mpiexec, "-n", str(processes), sys.executable, __file__, "--as", *words]
    open_mpi = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    more = {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "CHAINRULE_NUM_THREADS": "1"}
    done = subprocess.run(call, env={**os.environ, **open_mpi, **more}, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def predicted(of: dict[str, float], size: int, processes: int, a: float, b: float) -> float:
    """Give the seconds of a step by the model."""
    share = -(-SHARDS // processes) / SHARDS if processes <= SHARDS else 1 / processes
    sent = 2 * (processes - 1) / processes * size * b
    return of["gradients"] * share + of["update"] + 6 * (processes - 1) * a + sent


def measure(mpiexec: str) -> dict[str, Any]:
    """Measure every network whole, and in shards on 1, 2 and 4 processes, in turns; and this machine's exchange."""
    found: dict[str, Any] = {"exchange": {str(p): launched(mpiexec, p, "exchange") for p in (2, 4)}, "nets": {}}
    for name in NETS:
        whole = launched(mpiexec, 1, name, "0")
        found["nets"][name] = {"whole": whole} | {str(p): launched(mpiexec, p, name, str(SHARDS)) for p in (1, 2, 4)}
    return found


def tell(found: dict[str, Any]) -> None:
    """Print the tables, the losing cases first: they are in this order."""
    two = found["exchange"]["2"]
    a, b = two["1"], (two[str(1 << 25)] - two[str(1 << 21)]) / ((1 << 25) - (1 << 21))
    print(f"This machine: {a * 1e6:.0f} µs a message, {b * 1e9:.2f} ns a byte.\n")
    print(
        "| network | whole, ms | 8 shards | 2 processes | gain | model | 4 processes |\n"
        + "|---|---|---|---|---|---|---|"
    )
    for name, of in found["nets"].items():
        model = predicted(of["1"], size_of(name), 2, a, b)
        whole, one, pair, four = (of[key]["step"] * 1e3 for key in ("whole", "1", "2", "4"))
        row = [f"{whole:.2f}", f"{one:.2f}", f"{pair:.2f}", f"{whole / pair:.2f}", f"{model * 1e3:.2f}", f"{four:.2f}"]
        print(f"| {name} | {' | '.join(row)} |")
    print("\nBy the model, how many times as fast as one process without shards:\n")
    print("| network | between machines | 2 | 4 | 8 |\n|---|---|---|---|---|")
    for name, of in found["nets"].items():
        for link, (a, b) in NETWORKS.items():
            gains = [of["whole"]["step"] / predicted(of["1"], size_of(name), p, a, b) for p in (2, 4, 8)]
            print(f"| {name} | {link} | {' | '.join(f'{gain:.2f}' for gain in gains)} |")


def size_of(name: str) -> int:
    """Give the bytes of a network's gradient in float32."""
    sizes = NETS[name][0]
    return 4 * sum(n * m + m for n, m in itertools.pairwise(sizes))


def main() -> None:
    """Measure and tell; or, started by mpiexec, be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    beside = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    parser.add_argument("--mpiexec", default=beside, help="the launcher (default: the one beside this Python)")
    parser.add_argument("--as", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    words = getattr(options, "as")
    if words:
        found = exchange() if words[0] == "exchange" else work(words[0], int(words[1]) or None)
        from mpi4py import MPI

        if MPI.COMM_WORLD.Get_rank() == 0:
            print(json.dumps(found), flush=True)
        return
    if options.mpiexec is None:
        parser.error("there is no mpiexec: pip install 'chainrule[mpi]'")
    from results import TARGET, write

    found = measure(options.mpiexec)
    tell(found)
    write(found, TARGET / "scaling.json")


if __name__ == "__main__":
    main()
