"""The start of the command ``chainrule``: Ctrl-C ends it with one line even while the rest is being imported.

It is a package beside chainrule, not in it, because importing chainrule is what takes long.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # importing typing itself takes a while
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> int:
    """Import the command line, run it with `arguments` (by default ``sys.argv[1:]``), and give the exit code."""
    try:
        return _imported()(arguments)
    except KeyboardInterrupt:  # just before the command line handles it, or again after it has ended
        _end()


def _imported() -> Callable[[Sequence[str] | None], int]:
    """Import the command line; Ctrl-C ends the process in the meantime.

    An exception would not work: inside a callback, Python prints it and continues, and an extension may replace it.
    """
    import signal

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # under nohup, or a shell's &, Ctrl-C is ignored
        signal.signal(signal.SIGINT, _end)
    try:
        from chainrule.cli import main

        return main
    finally:
        signal.signal(signal.SIGINT, before)


def _end(*_: object) -> NoReturn:
    """End the process at once: nothing has begun yet that must be finished."""
    try:
        if sys.stderr is not None:
            os.write(sys.stderr.fileno(), b"chainrule: interrupted\n")
    finally:
        os._exit(130)
