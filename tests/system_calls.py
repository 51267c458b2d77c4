"""What writing a file asks the system for, call by call, so that any of these can fail or be the last."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

CALLS = ["open", "write", "fsync", "close", "chmod", "replace", "unlink", "lstat", "scandir", "kill"]
_KILL, _WRITE = os.kill, os.write


def die() -> None:
    """End this process, as nothing can prevent."""
    _KILL(os.getpid(), signal.SIGKILL)


def strike(at: int, blow: Callable[[], None], before: bool) -> Callable[[], list[str]]:
    """Let `blow` fall before or after the call number `at`, from 1 on, of this process; give what lists those made.

    For good: in a process of its own.
    """
    made: list[str] = []

    def counting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            made.append(name)
            mine = len(made) == at
            if mine and before:
                blow()
            try:
                return call(*arguments, **options)
            finally:
                if mine and not before:
                    blow()

        return called

    def write(handle: int, data: Any) -> int:
        """Take a third at a time: a disk takes what it likes."""
        return _WRITE(handle, data[: len(data) // 3 + 1])

    os.write = write
    for name in CALLS:
        setattr(os, name, counting(name, getattr(os, name)))
    return lambda: made
