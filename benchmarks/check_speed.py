"""How long a gradient check takes: of the tutorial's network, beside the tutorial's own on NumPy, and to import.

Run it: ``python benchmarks/check_speed.py``. It takes two minutes, prints tables and writes target/check_speed.json.

The network is 784-50-10 (39,760 parameters) in float64 on the first images of MNIST. The tutorial's side is its
`numerical_gradient` over all parameters, as published: two losses for each. Ours is the whole check: contracts, every
parameter by several differences with error bars, a second batch. Both take turns; the times are medians.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jobs import users_environment
from results import ROOT, TARGET, pipes, ratio, write

import chainrule
from chainrule import check_gradients

sys.path.insert(0, str(ROOT / "tests"))
from seed_reference import exact_two_layer_net

SIZES = (784, 50, 10)

#: What a fresh interpreter does before its clock starts, and while it runs.
IMPORTS = {
    "chainrule": ("import sys, time", "import chainrule"),
    "chainrule.checking, after chainrule": ("import sys, time, chainrule", "import chainrule.checking"),
    "what the first check imports": ("import sys, time, chainrule", "import chainrule.checking.run"),
}
NUMPY_FIRST = "import numpy; "


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default %(default)s")
    parser.add_argument("--images", type=int, nargs="+", default=[3, 100], metavar="N", help="default 3 100")
    options = parser.parse_args(arguments)
    checks = [row for images in options.images for row in check_rows(images, options.rounds)]
    imports = import_rows(3 * options.rounds)
    print("### A check of 784-50-10, all parameters\n")
    print(pipes([_shown(row) for row in checks]))
    print("\n`×`: how many times faster than the tutorial's numerical_gradient, within a round, median.\n")
    print("### To import\n")
    print(pipes([{"import": r["import"], "ms": f"{r['ms']:.1f}", "modules": str(len(r["modules"]))} for r in imports]))
    write({"checks": checks, "imports": imports}, TARGET / "check_speed.json")


def check_rows(images: int, rounds: int) -> list[dict[str, Any]]:
    """Time the tutorial's numeric gradient and our checks in turn, on so many images."""
    (x, t), _ = chainrule.load_mnist(one_hot_label=True)
    x, t = x[:images].astype(np.float64), t[:images]
    net = chainrule.TwoLayerNet(*SIZES, seed=0)
    np.random.seed(0)
    theirs = exact_two_layer_net(*SIZES)
    for name, array in theirs.params.items():
        array[...] = net.params[name]
    labels = t.argmax(axis=1)
    ways: dict[str, Callable[[], Any]] = {
        "the tutorial's numerical_gradient, NumPy": lambda: theirs.numerical_gradient(x, t),
        "check_gradients, mode full": lambda: check_gradients(net, x, labels, mode="full"),
        "check_gradients, mode directions": lambda: check_gradients(net, x, labels, mode="directions"),
    }
    first = next(iter(ways))
    rounds = rounds if images < 20 else min(rounds, 3)  # the tutorial's takes a quarter of a minute or more there
    times: dict[str, list[float]] = {name: [] for name in ways}
    for name, way in ways.items():
        if name != first:
            report = way()  # what is imported and allocated at first is not the check's; and it must be one
            compared = sum(a.checked for a in report.arrays)
            expected = sum(a.size for a in net.params.values()) if "full" in name else 3 * len(net.params)
            if report.verdict == "wrong" or compared + report.kinks < expected:
                raise SystemExit(f"{name} did not compare everything, or calls a right network wrong:\n{report}")
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            let_threads_sleep()
            start = time.perf_counter()
            ways[name]()
            times[name].append(time.perf_counter() - start)
    return [
        {
            "images": images,
            "way": name,
            "rounds": rounds,
            "ms": 1e3 * statistics.median(times[name]),
            "ratio": ratio(times[first], times[name]),
            "all": times[name],
        }
        for name in ways
    ]


def let_threads_sleep() -> None:
    """Wait, awake, until NumPy's threads do not spin any more, on a core that the next way needs."""
    end = time.perf_counter() + 0.1
    while time.perf_counter() < end:
        pass


def import_rows(rounds: int) -> list[dict[str, Any]]:
    """Time imports, each in a fresh interpreter that has NumPy, taking turns; give what modules each brought."""
    code = (
        "{before}; before = set(sys.modules); start = time.perf_counter(); {now}; taken = time.perf_counter() - start;"
        " print((taken, sorted(set(sys.modules) - before)))"
    )
    environment = users_environment()
    found: dict[str, list[Any]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, (before, now) in IMPORTS.items():
            command = [sys.executable, "-c", NUMPY_FIRST + code.format(before=before, now=now)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
            found[name].append(ast.literal_eval(done.stdout))
    return [
        {
            "import": name,
            "rounds": rounds,
            "ms": 1e3 * statistics.median(taken for taken, _ in runs),
            "modules": runs[-1][1],
            "all": [taken for taken, _ in runs],
        }
        for name, runs in found.items()
    ]


def _shown(row: dict[str, Any]) -> dict[str, str]:
    return {"way": row["way"], "images": str(row["images"]), "ms": f"{row['ms']:.1f}", "×": f"{row['ratio']:.1f}"}


if __name__ == "__main__":
    main()
