"""The command ``chainrule`` before there is a chainrule: Ctrl-C ends it in one line while all the rest is imported.

A package beside chainrule, not in it, for it is the import of chainrule that takes long.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # typing itself takes a while
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn


def main(arguments: Sequence[str] | None = None) -> int:
    """Import the command line, run it with `arguments`, ``sys.argv[1:]`` by default, and give the exit code."""
    try:
        return _imported()(arguments)
    except KeyboardInterrupt:  # just before the command line listens for it, or once more when it has ended
        _end()


def _imported() -> Callable[[Sequence[str] | None], int]:
    """Import the command line; end at Ctrl-C meanwhile.

    An exception would not do: within a callback Python prints it and goes on, and an extension may make another of it.
    """
    import signal

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # behind nohup, or a shell's &, it is ignored
        signal.signal(signal.SIGINT, _end)
    try:
        from chainrule.cli import main

        return main
    finally:
        signal.signal(signal.SIGINT, before)


def _end(*_: object) -> NoReturn:
    """End the process as it is: nothing has begun yet that would have to be finished."""
    try:
        if sys.stderr is not None:
            os.write(sys.stderr.fileno(), b"chainrule: interrupted\n")
    finally:
        os._exit(130)
