"""What Ctrl-C does not stop half way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the end of the block, for what is short and must be done wholly or not at all.

    Examples
    --------
    >>> with uninterrupted():
    ...     halves = [1 / 2, 1 / 2]
    """
    handler = signal.getsignal(signal.SIGINT)
    # Others than the main thread are never interrupted; what is no function is the system's to call.
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
