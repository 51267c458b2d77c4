"""The processes that train one network together, over MPI: its ranks.

Whatever a rank does by itself, it does in `Ranks.together`. If it raises an exception there, every rank raises one, so
that none waits for another which has left. Ctrl-C waits for the next such place, so the ranks end after the same step.

A rank that is killed cannot say so. The launcher notices, ends the others and names it.
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule._harmless import harmless

T = TypeVar("T")

#: How a rank's work ended.
_WELL, _FAILED, _INTERRUPTED = 0.0, 1.0, 2.0
#: The most bytes of an exception's text that the other ranks are told.
_TEXT = 2000


class Ranks:
    """The ranks of an MPI communicator; or, without one, this process alone.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm, optional
        The communicator.

    Attributes
    ----------
    rank, size : int
        The number of this process, and how many there are.
    """

    def __init__(self, comm: Any = None) -> None:
        if comm is not None and not all(hasattr(comm, name) for name in ("Allgatherv", "Alltoallv", "Bcast", "Dup")):
            raise TypeError(f"comm must be a communicator of mpi4py, such as MPI.COMM_WORLD, got {comm!r}")
        #: The communicator as it was given.
        self.comm = self._comm = comm
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()
        self._interrupts: list[Any] = []
        self._rooms: dict[str, NDArray[Any]] = {}
        #: Whether all ranks know of the exception that ends this one.
        self._shared = False

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes files, shows progress and calls the callbacks."""
        return self.rank == 0

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Keep the messages of the block apart from the caller's own, and hold Ctrl-C for `together`.

        An exception that the other ranks do not know of ends them all: they would wait for this one.
        """
        if self._comm is None:
            yield
            return
        self._comm = self.comm.Dup()
        before = signal.getsignal(signal.SIGINT)
        # Only the main thread is ever interrupted; a handler that is not a function is left to the system.
        held = threading.current_thread() is threading.main_thread() and callable(before)
        if held:
            signal.signal(signal.SIGINT, lambda *told: self._interrupts.append(told))
        try:
            yield
            self.together(lambda: None)  # Ctrl-C may have come since the last time
        except BaseException as error:
            if not self._shared:
                # Not sys.stderr, which may lead nowhere on this rank.
                traceback.print_exc(file=sys.__stderr__)
                text = harmless(f"{type(error).__name__}: {error}")
                print(f"rank {self.rank} of {self.size} ended with {text}", file=sys.__stderr__, flush=True)
                self._comm.Abort(1)
            raise
        finally:
            if held:
                signal.signal(signal.SIGINT, before)
            self._comm.Free()
            self._comm = self.comm

    def each(self, work: Callable[[], T]) -> T:
        """Do `work` on every rank, and give what it returns on this one; errors are those of `together`."""
        found: list[T] = []
        self.together(lambda: found.append(work()))
        return found[0]

    def together(
        self, work: Callable[[], Sequence[float] | NDArray[np.float64] | None], counts: Sequence[int] | None = None
    ) -> NDArray[np.float64]:
        """Do `work` on every rank, and give the numbers that it returns, those of rank 0 first.

        Parameters
        ----------
        work : callable
            What this rank does. It returns ``counts[rank]`` numbers, or None if that is 0.
        counts : sequence of int, optional
            How many numbers each rank returns; 0 by default.

        Raises
        ------
        KeyboardInterrupt
            If any rank was interrupted.
        RuntimeError
            If `work` raised an exception on another rank; the message names it.
        BaseException
            Whatever `work` raises on this rank.
        """
        if self._comm is None:
            found = work()
            return np.asarray([] if found is None else found, np.float64)
        counts = [0] * self.size if counts is None else counts
        mine, error = np.zeros(1 + counts[self.rank]), None
        try:
            if self._interrupts:
                raise KeyboardInterrupt
            found = work()
            mine[1:] = [] if found is None else found
        except BaseException as raised:
            error = raised
            mine[0] = _INTERRUPTED if isinstance(raised, KeyboardInterrupt) else _FAILED
        found = self._gathered(mine, [1 + count for count in counts])
        heads = np.cumsum([0, *counts[:-1]]) + np.arange(self.size)
        if found[heads].any():
            self._raise(error, found[heads])
        return np.delete(found, heads)

    def _raise(self, error: BaseException | None, ends: NDArray[np.float64]) -> None:
        """Raise this rank's error, or say what another one's was."""
        text = "" if error is None else harmless(f"{type(error).__name__}: {error}")
        texts = self.texts(text.encode(errors="replace")[:_TEXT])
        self._shared = True
        if error is not None:
            raise error
        if (ends == _INTERRUPTED).any():
            raise KeyboardInterrupt
        rank = int(np.argmax(ends))
        raise RuntimeError(f"rank {rank} of {self.size} ended with {texts[rank].decode(errors='replace')}")

    def texts(self, text: bytes) -> list[bytes]:
        """Give the text of every rank, from rank 0 on."""
        if self._comm is None:
            return [text]
        lengths = self._gathered(np.array([float(len(text))]), [1] * self.size).astype(int)
        sent = np.frombuffer(text, np.uint8)
        all_ = self._gathered(sent, lengths)
        return [part.tobytes() for part in np.split(all_, np.cumsum(lengths)[:-1])]

    def of_the_first(self, value: Any) -> Any:
        """Give rank 0's `value`, numbers and texts in lists and dicts, on every rank."""
        if self._comm is None:
            return value
        return json.loads(self.texts(json.dumps(value).encode() if self.first else b"")[0])

    def take_from_the_first(self, arrays: Sequence[NDArray[Any]]) -> None:
        """Copy rank 0's values into `arrays`, which have the same shapes on every rank."""
        if self._comm is None:
            return
        for array in arrays:
            values = np.ascontiguousarray(array)
            self._comm.Bcast(values.reshape(-1).view(np.uint8), root=0)
            if values is not array:
                array[...] = values

    def expect_alike(self, described: dict[str, str]) -> None:
        """Raise ValueError on every rank if one is described in other words than rank 0; name what differs.

        Each value may be a text or a digest; the keys are the words for a message, the same on all ranks.
        """
        if self._comm is None:
            return
        said = [json.loads(text) for text in self.texts(json.dumps(described).encode())]

        def compare() -> None:
            for rank, other in enumerate(said):
                for name, value in said[0].items():
                    if other.get(name) != value:
                        raise ValueError(
                            f"{name} must be the same on all ranks, but rank {rank} has another than rank 0"
                        )

        self.each(compare)

    def exchanged(
        self, parts: NDArray[Any], nodes: Sequence[int], add_up: Callable[[NDArray[Any]], NDArray[Any]]
    ) -> NDArray[Any]:
        """Add up arrays that lie on several ranks.

        Each rank adds up a segment of all of them, and gives it to the others: 2 (P - 1)/P of an array's bytes are sent
        and received by each of P ranks, which is the least there can be.

        Parameters
        ----------
        parts : ndarray, shape (n, G)
            This rank's arrays.
        nodes : sequence of int
            How many each rank has.
        add_up : callable
            Gives the sum of the rows of its argument, (sum of `nodes`, any number), in the order wanted. It may write
            to it.

        Returns
        -------
        ndarray, shape (G,)
            The sum, with the same bits on every rank; it is written over by the next call.
        """
        if self.size == 1:
            return add_up(parts)
        length = parts.shape[1]
        ends = [length * (rank + 1) // self.size for rank in range(self.size)]
        sizes = np.diff([0, *ends])
        mine = int(sizes[self.rank])
        # An array for each rank, its segment of each of ours; a single one of ours is that already.
        sent = parts.reshape(-1)
        if len(parts) > 1:
            sent = self._room("sent", parts.size, parts.dtype)
            for segment, to in zip(
                np.split(parts, ends[:-1], axis=1), np.split(sent, np.multiply(ends[:-1], len(parts))), strict=True
            ):
                to.reshape(segment.shape)[...] = segment
        received = self._room("received", sum(nodes) * mine, parts.dtype)
        self.swapped(sent, (sizes * len(parts)).tolist(), [n * mine for n in nodes], received)
        segment = np.ascontiguousarray(add_up(received.reshape(sum(nodes), mine)))
        return self._gathered(segment, sizes, self._room("sum", length, parts.dtype))

    def swapped(
        self, sent: NDArray[Any], counts: Sequence[int], received_counts: Sequence[int], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Send ``counts[rank]`` numbers to each rank, and give those that come from each, one after the other."""
        out = np.empty(sum(received_counts), sent.dtype) if out is None else out
        if self._comm is None:
            out[...] = sent
        else:
            self._comm.Alltoallv([sent, list(counts)], [out, list(received_counts)])
        return out

    def _room(self, name: str, size: int, dtype: Any) -> NDArray[Any]:
        """Give memory that is kept from call to call: touching new pages takes as long as sending them."""
        if name not in self._rooms or (self._rooms[name].size, self._rooms[name].dtype) != (size, dtype):
            self._rooms[name] = np.empty(size, dtype)
        return self._rooms[name]

    def _gathered(
        self, mine: NDArray[Any], counts: Sequence[int] | NDArray[Any], out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Give the arrays of all ranks, one after the other."""
        out = np.empty(int(sum(counts)), mine.dtype) if out is None else out
        self._comm.Allgatherv(mine, [out, [int(count) for count in counts]])
        return out

    def joined_rows(self, mine: NDArray[Any]) -> NDArray[Any]:
        """Give the rows of all ranks, those of rank 0 first, which agree in dtype and in all but the first axis."""
        if self._comm is None:
            return mine
        lengths = self._gathered(np.array([float(len(mine))]), [1] * self.size).astype(int)
        width = int(np.prod(mine.shape[1:], dtype=int))
        return self._gathered(np.ascontiguousarray(mine).reshape(-1), lengths * width).reshape(-1, *mine.shape[1:])
