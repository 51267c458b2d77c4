"""Measure chainrule beside NumPy, JAX, scikit-learn and PyTorch, and print tables.

The ways of doing a work take turns, round by round, every other round backwards, so that a machine that slows down
slows them all. Every way runs in a process of its own. What chainrule loses is printed like what it wins.

Run with ``make bench``; ``ARGS="--only step --rounds 1"`` for a quick look.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from results import ROOT, TARGET, Results, entries, preamble, table, write
from works import NAMES, PEERS, TUTORIALS_ITERATIONS, Way, Work, works

HERE = Path(__file__).parent
EXAMPLE = ("--release", "-p", "chainrule-kernels", "--example", "fma_peak")
#: The job must have learnt something, or it was not the job.
ENOUGH = 0.96


def main(
    arguments: Sequence[str] | None = None,
    *,
    build: Sequence[str] = ("cargo", "build", "--quiet", *EXAMPLE),
    peak: Sequence[str] = (str(TARGET / "release" / "examples" / "fma_peak"),),
) -> None:
    """Measure what the command line asks for; `build` and `peak` are the commands that tell the FMA peak."""
    options = _options(arguments)
    peak_of(build)
    instruction_set = str(json.loads(peak_of(peak))["level"])
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    chosen = [work for work in works(options.iterations, cpus, instruction_set) if work.name in options.only]
    results = Results()
    for number in range(options.rounds):
        results.peaks.append(json.loads(peak_of(peak)))
        take_turns(results, chosen, number, options.rounds)
    if options.iterations == TUTORIALS_ITERATIONS:
        expect_learnt(results, chosen)
    machine = facts(cpus, instruction_set)
    report(results, chosen, machine, options.json)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=_whole, default=5, metavar="N", help="default %(default)s")
    parser.add_argument(
        "--iterations",
        type=_whole,
        default=TUTORIALS_ITERATIONS,
        metavar="N",
        help="steps of the tutorial's job (default %(default)s)",
    )
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--json", type=Path, default=TARGET / "bench.json", metavar="FILE", help="default %(default)s")
    options = parser.parse_args(arguments)
    try:  # now, not after half an hour
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.touch()
    except OSError as error:
        parser.error(f"argument --json: cannot write {options.json}: {error.strerror}")
    return options


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def peak_of(command: Sequence[str]) -> str:
    """Run one of the commands that tell the FMA peak, and give what it prints; or end with a sentence."""
    line = " ".join(command)
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit(
            f"The FMA peak cannot be measured, because there is no {command[0]}: install Rust (https://rustup.rs)."
        )
    if done.returncode != 0:
        reason = next((said for said in done.stderr.splitlines() if said), "it said nothing")
        sys.exit(f"The FMA peak cannot be measured, because `{line}` failed: {reason}")
    return done.stdout


def environment(level: str | None = None) -> dict[str, str]:
    """Give the environment of what is measured: nothing of chainrule's in it but the level asked for."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHAINRULE_")}
    # JAX would look for other devices, and say so.
    return kept | {"JAX_PLATFORMS": "cpu"} | ({"CHAINRULE_SIMD": level} if level else {})


def take_turns(results: Results, chosen: Sequence[Work], number: int, rounds: int) -> None:
    """Run every way of the works once, backwards in every other round."""
    turns = [(work, way) for work in chosen for group in work.groups for way in group if way.call]
    for work, way in turns if number % 2 == 0 else reversed(turns):
        missing = results.missing & {library_of(way)}
        run = {"missing": missing.pop()} if missing else measure(way, number)
        if "missing" in run:
            results.missing.add(run["missing"])
            said = "not installed"
        else:
            results.runs.setdefault(way, []).append(run)
            said = f"{run['seconds']:.6f} s"
        print(f"round {number + 1}/{rounds}  {work.name}  {way.label}  {said}", file=sys.stderr, flush=True)


def library_of(way: Way) -> str | None:
    """Give the library that a way is written for, if it may be missing."""
    name = str(way.call).split("_")[0]
    return name if name in PEERS else None


def measure(way: Way, seed: int) -> dict[str, Any]:
    """Run one way in a process of its own, and give what it reports."""
    arguments = json.dumps({**way.arguments, "seed": seed})
    command = [sys.executable, str(HERE / "worker.py"), str(way.call), str(way.threads), arguments]
    done = subprocess.run(command, env=environment(way.level), stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{way.label}: failed with exit code {done.returncode}; what it said is above.")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def expect_learnt(results: Results, chosen: Sequence[Work]) -> None:
    """End with a sentence if a way of the job did not learn the digits: it did other work than the rest."""
    for work in chosen:
        for way in (way for group in work.groups for way in results.measured(group)):
            worst = min((run["accuracy"] or 0 for run in results.runs.get(way, [])), default=1)
            if work.name == "job" and worst < ENOUGH:
                sys.exit(
                    f"{way.label}: ended with a test accuracy of {worst:.4f}, below {ENOUGH}, so no table is shown."
                )


def facts(cpus: int, instruction_set: str) -> dict[str, Any]:
    """Say what the machine is and which versions are at work."""
    libraries = {"chainrule": "chainrule", "numpy": "NumPy", "jax": "JAX", "scikit-learn": "scikit-learn"}
    return {
        "cpu": _cpu(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cpus": cpus,
        "threads": cpus,
        "instruction_set": instruction_set,
        "python": platform.python_version(),
        "versions": {shown: _version(name) for name, shown in (libraries | {"torch": "PyTorch"}).items()},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(results: Results, chosen: Sequence[Work], machine: dict[str, Any], file: Path) -> None:
    """Print the tables and write the JSON."""
    print("\n\n".join([preamble(results, machine), *(table(results, work) for work in chosen)]))
    document = {
        "machine": machine,
        "fma_peak": {dtype: results.peak(dtype) for dtype in ("float32", "float64")} | {"all": results.peaks},
        "rounds": len(results.peaks),
        "results": [entry for work in chosen for entry in entries(results, work)],
    }
    write(document, file)
    print(f"written to {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
