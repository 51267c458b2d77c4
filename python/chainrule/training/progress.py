"""The progress of a run, reported to a function or shown as a bar on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

#: Seconds before a bar appears if none was asked for.
_PATIENCE = 1.0


@contextmanager
def reporter(progress: Any, total: int) -> Iterator[Callable[[int, int], object]]:
    """Give the function to call with (steps done, steps in all).

    `progress` is such a function, or whether to show a bar. None shows one if stderr is watched and the run takes long.
    """
    if callable(progress):
        yield progress
        return
    wanted = _is_watched() if progress is None else progress
    bar = _Bar(time.monotonic() + (_PATIENCE if progress is None else 0.0)) if wanted else None
    try:
        yield bar or _nothing
    finally:
        if bar is not None:
            bar.close()


def _nothing(done: int, total: int) -> None:
    pass


def _is_watched() -> bool:
    """Tell whether stderr is a terminal or shown in a notebook."""
    try:
        return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel.")
    except (AttributeError, ValueError):  # stderr is missing or closed
        return False


class _Bar:
    """A progress bar that appears with the first steps after `begin`."""

    def __init__(self, begin: float) -> None:
        self._begin = begin
        self._bar: Any = None

    def __call__(self, done: int, total: int) -> None:
        if self._bar is None and time.monotonic() >= self._begin:
            from tqdm import tqdm  # takes a third as long to import as everything else

            self._bar = tqdm(total=total, unit="step", file=sys.stderr)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def close(self) -> None:
        """Close the bar and leave it as it is."""
        if self._bar is not None:
            self._bar.close()
