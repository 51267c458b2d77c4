"""One way, in a process of its own: ``python worker.py MODULE.FUNCTION THREADS ARGUMENTS``, the last as JSON.

Prints a line of JSON: seconds, accuracy and the peak memory of the process and of those it started; or which library
is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys

from works import PEERS

# XLA has no public switch for its threads; PJRT_NPROC is what its thread pools ask first.
LIMITS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "CHAINRULE_NUM_THREADS",
    "PJRT_NPROC",
)


def limit(threads: int) -> None:
    """Keep this process to so many threads, before any library makes its own; and to so many CPUs, where one can."""
    os.environ.update(dict.fromkeys(LIMITS, str(threads)))
    if hasattr(os, "sched_setaffinity"):
        # The last ones: the first has the machine's interrupts to answer.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def peak_memory_mb() -> float:
    """Give the largest of this process and those it started and waited for."""
    most = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return float(most) / (1e6 if sys.platform == "darwin" else 1e3 / 1.024)


def main() -> None:
    """Do what the command line says."""
    module, function = sys.argv[1].split(".")
    limit(int(sys.argv[2]))
    try:
        ways = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in PEERS:
            raise
        print(json.dumps({"missing": error.name}))
        return
    seconds, accuracy = getattr(ways, function)(**json.loads(sys.argv[3]))
    print(json.dumps({"seconds": seconds, "accuracy": accuracy, "peak_memory_mb": peak_memory_mb()}))


if __name__ == "__main__":
    main()
