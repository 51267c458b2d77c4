"""The process in which one target is attacked: ``python -m attack.worker TARGET``, started by `watch.py`.

It tells each finding in a line of JSON on its output, and at its end what it has done.
"""

from __future__ import annotations

import argparse
import base64
import faulthandler
import importlib
import json
import random
import signal
import sys
import time
import traceback
import warnings
from functools import partial
from pathlib import Path

from attack.box import Box
from attack.smaller import smaller
from attack.target import Target, kind

if sys.platform != "win32":
    import resource


def target_of(name: str) -> Target:
    """Give the target of that name, ``module:Class``."""
    module, _, wanted = name.partition(":")
    made: Target = getattr(importlib.import_module(module), wanted)()
    return made


def tried(target: Target, case: bytes) -> tuple[str, BaseException | None]:
    """Judge a case: what came of it, and what was wrong, if anything was."""
    try:
        return target.judge(case), None
    except BaseException as error:
        return "", error


def most_memory() -> int:
    """Give the most memory that this process ever had resident, in bytes."""
    if sys.platform == "win32":
        return 0
    if sys.platform == "linux":  # getrusage counts what the process was that this one was forked from, too
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def told(**parts: object) -> None:
    print(json.dumps(parts), flush=True)


def attack(target: Target, rng: random.Random, box: Box, end: float, most: int) -> None:
    """Go through cases until the time is over."""
    found: set[str] = set()
    cases, said, count = target.cases(rng), "", 0
    peak = most_memory()
    try:
        case = next(cases)
        while count < most and (target.ends_itself or time.monotonic() < end):
            count += 1
            box.put(count, case)
            said, error = tried(target, case)
            now = most_memory()
            # The first cases import what the others use.
            much = now - peak > target.memory and count > 20
            peak = now
            wrong = kind(error) if error is not None else "memory rose" if much else ""
            if wrong and wrong not in found:
                found.add(wrong)
                seen = f"to {now >> 20} MiB" if error is None else "".join(traceback.format_exception(error))
                if target.shrinks and error is not None:
                    case = smaller(case, partial(same, target, wrong, box))
                told(kind=wrong, seen=seen, case=base64.b64encode(case).decode())
            case = cases.send(said)
    except StopIteration:
        pass
    learned = [base64.b64encode(case).decode() for case in target.learned()]
    told(executions=count, notes=target.notes(), learned=learned)


def same(target: Target, wrong: str, box: Box, case: bytes) -> bool:
    """Tell whether a case goes wrong in that way."""
    box.put(box.count, case)
    error = tried(target, case)[1]
    return error is not None and kind(error) == wrong


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--most", type=int, default=2**62)
    parser.add_argument("--box", type=Path, required=True)
    parser.add_argument("--case", type=Path, help="judge the case in that file, and nothing else")
    given = parser.parse_args()
    faulthandler.enable()
    # Whoever starts us in the background may have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")
    target, box = target_of(given.target), Box(given.box)
    target.seconds = given.seconds
    box.put(0, b"")
    if given.case is not None:
        case = given.case.read_bytes()
        box.put(1, case)
        said, error = tried(target, case)
        if error is not None:
            seen = "".join(traceback.format_exception(error))
            told(kind=kind(error), seen=seen, case=base64.b64encode(case).decode())
        told(executions=1, notes=[said], learned=[])
        return
    attack(target, random.Random(f"{given.target} {given.seed}"), box, time.monotonic() + given.seconds, given.most)


if __name__ == "__main__":
    main()
