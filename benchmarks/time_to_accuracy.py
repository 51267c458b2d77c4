"""How long it takes to a test accuracy of 97, 98 and 99 %, from the start of the process to the end of its evaluation.

Importing, loading the 70,000 images, training, and evaluating the 10,000 test images are all inside the clock. What is
trained says a recipe, ``chainrule train --recipe``; the test images chose nothing of it. PyTorch trains by the same,
images with channels last and Adam fused, which was the fastest of its ways here, and reads the same files. A recipe has
got there if the mean over the seeds has. Fewer seeds are enough for the time of the slower one: ``--peer-seeds``.

No record is claimed: measured on the machine that is named, run it yourself.

Run with ``python benchmarks/time_to_accuracy.py``, which needs PyTorch; without it, its rows are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from results import pipes, wrapped
from run import environment, facts

from chainrule import _kernels
from chainrule.cli.recipes import RECIPES
from chainrule.data.mnist import packaged_folder

HERE = Path(__file__).parent
Run = tuple[float, float]


def main(arguments: Sequence[str] | None = None) -> None:
    """Take turns, and print a table."""
    options = _options(arguments)
    rows, there = [], importlib.util.find_spec("torch") is not None
    for target in options.only:
        runs: dict[str, list[Run]] = {"chainrule": [], "PyTorch": []}
        for seed in range(options.seeds):
            runs["chainrule"].append(timed(["-m", "chainrule", "train", "--format", "jsonl", *of_recipe(target, seed)]))
            if there and seed < options.peer_seeds:
                runs["PyTorch"].append(timed([str(HERE / "torch_recipes.py"), as_json(target), str(seed)]))
            print(f"{target} %, seed {seed}:", *(of[-1] for of in runs.values() if of), file=sys.stderr, flush=True)
        rows += [row(target, name, of, runs["chainrule"]) for name, of in runs.items() if of]
    threads = _kernels.threads()
    machine = facts(threads, _kernels.instruction_set())
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items() if version)
    print(
        wrapped(f"{machine['cpu']}, {threads} threads, {machine['instruction_set']}. {versions}."),
        pipes(rows),
        sep="\n\n",
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", type=int, nargs="+", choices=RECIPES, default=list(RECIPES), metavar="N")
    parser.add_argument("--seeds", type=int, default=30, metavar="N", help="default %(default)s")
    parser.add_argument("--peer-seeds", type=int, default=5, metavar="N", help="of PyTorch's (default %(default)s)")
    return parser.parse_args(arguments)


def of_recipe(target: int, seed: int) -> list[str]:
    """Give the command line's options."""
    return ["--recipe", str(target), "--seed", str(seed)]


def as_json(target: int) -> str:
    """Give a recipe, and all else that the other library is to be told: so its process does not import ours."""
    folder = str(packaged_folder())
    return json.dumps({**RECIPES[target]._asdict(), "folder": folder})


def timed(arguments: Sequence[str]) -> Run:
    """Give the seconds of a whole process, and the test accuracy in the last line it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], env=environment(), stdout=subprocess.PIPE, text=True, check=True
    )
    return time.perf_counter() - started, float(json.loads(done.stdout.splitlines()[-1])["test_accuracy"])


def row(target: int, name: str, runs: Sequence[Run], ours: Sequence[Run]) -> dict[str, str]:
    """Give a row of the table: median time, mean accuracy, and the median of the ratios within a turn."""
    seconds, accuracies = zip(*runs, strict=True)
    ratios = [its / own for (its, _), (own, _) in zip(runs, ours, strict=False)]
    return {
        "recipe": f"{target} %",
        "library": name,
        "s": f"{statistics.median(seconds):.2f}",
        "chainrule ×": f"{statistics.median(ratios):.2f}",
        "mean test accuracy": f"{statistics.mean(accuracies):.4f}",
        "deviation": f"{statistics.pstdev(accuracies):.4f}",
        "seeds": str(len(runs)),
    }


if __name__ == "__main__":
    main()
