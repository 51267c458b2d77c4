"""``chainrule`` as a process of its own, which Ctrl-C reaches wherever the tests are started."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def start(arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Start ``python -m chainrule`` with its output in pipes; whatever fails, it does not outlive the block.

    What ignores SIGINT hands that on to its children: under ``nohup make test &`` the command would ignore it too, as
    it should, and a test would wait in vain. A handler is not handed on: while the child is made, there is one. (Not
    by `preexec_fn`, which runs Python between fork and exec, where our threads are gone.)
    """
    command = [sys.executable, "-m", "chainrule", *arguments]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    with child:
        try:
            yield child
        finally:
            child.kill()
