"""Cases that were unlike all before, kept so that runs add up: a file for each target, a line for each case."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).parent / "corpus"
#: What is longer is not kept.
LONGEST = 400
MOST = 120


def kept(name: str) -> list[bytes]:
    """Give the cases kept for a target."""
    path = FOLDER / f"{name}.txt"
    lines = path.read_text(encoding="ascii").split() if path.exists() else []
    return [base64.b64decode(line) for line in lines]


def keep(name: str, cases: Iterable[bytes]) -> int:
    """Keep more of them, the shortest first; give how many are new."""
    before = kept(name)
    new = sorted({case for case in cases if len(case) <= LONGEST} - set(before), key=lambda case: (len(case), case))
    new = new[: max(0, MOST - len(before))]
    if new:
        FOLDER.mkdir(exist_ok=True)
        lines = [base64.b64encode(case).decode() for case in [*before, *new]]
        (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    return len(new)
