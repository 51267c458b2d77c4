"""Blocks that Ctrl-C does not stop half-way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, for short work that must be done completely or not at all.

    Examples
    --------
    >>> with uninterrupted():
    ...     halves = [1 / 2, 1 / 2]
    """
    handler = signal.getsignal(signal.SIGINT)
    # Only the main thread is ever interrupted; a handler that is not a function is left to the system.
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came: list[tuple[Any, ...]] = []
    signal.signal(signal.SIGINT, lambda *told: came.append(told))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])
