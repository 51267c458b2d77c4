"""A case made smaller, as long as it goes wrong in the same way."""

from __future__ import annotations

import time
from collections.abc import Callable


def smaller(case: bytes, same: Callable[[bytes], bool], seconds: float = 10) -> bytes:
    """Leave out what can be left out: halves first, then ever smaller parts; then make plain what is left."""
    end = time.monotonic() + seconds
    size = len(case) // 2
    while size and time.monotonic() < end:
        at, shorter = 0, False
        while at < len(case) and time.monotonic() < end:
            trial = case[:at] + case[at + size :]
            if same(trial):
                case, shorter = trial, True
            else:
                at += size
        if not shorter or size > len(case):
            size //= 2
    for at in range(len(case)):
        if time.monotonic() > end:
            break
        trial = case[:at] + b"0" + case[at + 1 :]
        if trial != case and same(trial):
            case = trial
    return case
