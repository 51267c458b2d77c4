"""``make attack``: attack the package for some minutes, and tell what was found.

    make attack ARGS="--minutes 10"
    make attack ARGS="--only idx --only kernels --minutes 2 --seed 7"
    make attack ARGS="--repeat FILE"

The minutes are divided among the targets. Each finding goes to a file that tells how to see it again.
"""

from __future__ import annotations

import argparse
import secrets
import signal
import sys
import time
from pathlib import Path

from attack import corpus
from attack.finding import Finding
from attack.targets import TARGETS
from attack.watch import repeated, watched

FOUND = Path(__file__).parent / "found"


def main() -> int:
    """Read the command line, and attack."""
    parser = argparse.ArgumentParser("attack", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10, help="in all (default: 10)")
    parser.add_argument("--only", action="append", choices=TARGETS, metavar="NAME", help=", ".join(TARGETS))
    parser.add_argument("--seed", type=int, help="another each time if not given")
    parser.add_argument("--most", type=int, default=2**62, help="cases of a target at most")
    parser.add_argument("--keep", action="store_true", help="add cases unlike all before to tests/attack/corpus")
    parser.add_argument("--found", type=Path, default=FOUND, help="where findings go (default: tests/attack/found)")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="judge the case of a finding once more")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the process under attack is ended too
    if given.repeat is not None:
        return again(given.repeat)
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    chosen = {name: TARGETS[name] for name in given.only or TARGETS}
    shares = sum(share for _, share in chosen.values())
    print(f"seed {seed}", flush=True)
    found = 0
    for name, (place, share) in chosen.items():
        begin = time.monotonic()
        outcome = watched(name, place, seed, 60 * given.minutes * share / shares, given.most)
        took, notes = time.monotonic() - begin, "; ".join(outcome.notes)
        print(f"{name:<12}{outcome.executions:>9,} executions {took:6.1f} s  {notes}", flush=True)
        for finding in outcome.findings:
            path = finding.write(given.found)
            print(f"  FOUND {finding.kind}\n    {path}", flush=True)
        found += len(outcome.findings)
        if given.keep and outcome.learned:
            print(f"  {corpus.keep(name, outcome.learned)} cases kept", flush=True)
    print(f"{found} found" if found else "nothing was found")
    return 1 if found else 0


def again(path: Path) -> int:
    """Judge the case in that file."""
    finding = Finding.read(path)
    now = repeated(finding, TARGETS[finding.target][0])
    print("it is right now" if now is None else f"{now.kind}\n{now.seen}")
    return 0 if now is None else 1


if __name__ == "__main__":
    sys.exit(main())
