"""Processes that do the same work for many things: a map over a list.

Why no Pool of the standard library: its map waits for ever if one of its processes dies, as one does that runs out of
memory. And it keeps threads here, which the next fork would lack.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from chainrule._uninterrupted import uninterrupted

#: All ends of pipes that this process holds: a forked one closes its copies, or no other would see when this one ends.
_open: set[Connection] = set()
#: Each process is handed so many pieces, if there are as many things: some may take longer than others.
_PIECES = 4


def forked() -> bool:
    """Tell whether processes are forked: these know all that this one knows. The threads of JAX do not survive it."""
    return sys.platform == "linux" and "jax" not in sys.modules


class Processes:
    """Up to `most` processes, started when there is something to do for them.

    Where they are not forked, `work` is sent to them.
    """

    def __init__(self, work: Callable[[Any], Any], most: int) -> None:
        self._forked = forked()
        self._work = work if self._forked else packed(work)
        self._most = most
        self._processes: dict[Connection, BaseProcess] = {}

    def map(self, things: Sequence[Any]) -> list[Any]:
        """Give what the work makes of each thing.

        Raises
        ------
        RuntimeError
            If a process dies of it.
        """
        try:
            self._start(min(self._most, len(things)))
            return self._mapped(things)
        except BaseException:
            self.close()  # what they still have in hand is not for the next call
            raise

    def _mapped(self, things: Sequence[Any]) -> list[Any]:
        results: list[Any] = [None] * len(things)
        size = -(-len(things) // (_PIECES * len(self._processes))) if things else 1
        starts = iter(range(0, len(things), size))
        busy: dict[Any, int] = {}
        idle = list(self._processes)
        while True:
            for end, start in zip(idle, starts, strict=False):
                with self._told_if_dead(end):
                    end.send(things[start : start + size])
                busy[end] = start
            if not busy:
                return results
            idle = [end for end in wait(list(busy)) if isinstance(end, Connection)]
            for end in idle:
                start = busy.pop(end)
                with self._told_if_dead(end):
                    results[start : start + size] = end.recv()

    @contextlib.contextmanager
    def _told_if_dead(self, end: Connection) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError) as error:
            process = self._processes[end]
            process.join(1)
            raise RuntimeError(
                f"a worker process died, with exit code {process.exitcode}: it ran out of memory, or what is checked"
                " ends the process; try workers=1"
            ) from error

    def _start(self, count: int) -> None:
        context = multiprocessing.get_context("fork" if self._forked else "spawn")
        while len(self._processes) < count:
            here, there = context.Pipe()
            _open.add(here)
            process = context.Process(target=_serve, args=(there, self._work), daemon=True)  # type: ignore[attr-defined]
            self._processes[here] = process
            with warnings.catch_warnings():  # of threads that a forked process does not have: it needs none
                warnings.simplefilter("ignore", DeprecationWarning)
                with uninterrupted():  # what Python calls at a fork lets no exception out: Ctrl-C would be lost in it
                    process.start()
            there.close()

    def close(self) -> None:
        """End the processes."""
        for end, process in self._processes.items():
            if process.pid is not None:
                process.kill()
                process.join()
            end.close()
            _open.discard(end)
        self._processes.clear()


def _serve(end: Connection, work: Any) -> None:
    """Work until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C is told by the process that waits for this one
    while _open:
        _open.pop().close()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)  # its others were not forked, and it would wait for them
    work = pickle.loads(work) if isinstance(work, bytes) else work
    with contextlib.suppress(EOFError, OSError):
        while True:
            end.send([work(thing) for thing in end.recv()])


def packed(work: Any) -> bytes:
    """Give what to send to another process.

    Raises
    ------
    TypeError
        If it cannot be pickled.
    """
    try:
        return pickle.dumps(work)
    except Exception as error:
        why = "" if forked() or sys.platform != "linux" else " (JAX is loaded, and stops for ever in a forked process)"
        raise TypeError(
            f"workers are sent what is checked{why}, and it cannot be pickled ({error}); define it in a module, or give"
            " a map that packs more, such as joblib's"
        ) from error
