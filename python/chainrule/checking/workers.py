"""Evaluations by workers: other processes, or whatever a map of the caller's reaches.

What is asked of the numeric side is known before it is used: all points of a step for all entries. So they are
evaluated ahead, in any order and anywhere, and then used in the order they always are. The report is the same to the
bit as without workers.
"""

from __future__ import annotations

import numbers
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.finite_differences import Floats
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.state import put_back
from chainrule.checking.subject import Subject

#: Arrays by name, each with entries and what these are to be.
Point: TypeAlias = Sequence[tuple[str, Any, Any]]
#: As the built-in: gives what a function gives for each of some things.
Map: TypeAlias = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class Evaluator:
    """All outputs of a subject as one vector: for its arrays as they are, or with some entries moved.

    `randomness`: set back before every forward pass; `careful`: put back the arrays after every one, for a subject that
    writes into them; `tell`: is told of every evaluation.
    """

    def __init__(
        self, subject: Subject, randomness: Randomness, careful: bool, tell: Callable[[int], object] | None = None
    ) -> None:
        self.subject, self._randomness, self._careful = subject, randomness, careful
        self.tell = tell
        self._turn = threading.Lock()
        #: Of each number, the ulp of its dtype; known after the first evaluation.
        self.epsilon: Floats = np.zeros(0)

    def vector(self) -> Floats:
        """Give all outputs as one vector."""
        if self.tell is not None:
            self.tell(1)
        return self._vector()

    def _vector(self) -> Floats:
        self._randomness.rewind()
        if not self._careful:
            return self._of(self.subject.outputs())
        with put_back(self.subject.arrays.values()):  # what it writes is not for the next
            return self._of(self.subject.outputs())

    def _of(self, outputs: Sequence[FloatArray]) -> Floats:
        vector = np.concatenate([np.array(out, np.float64).reshape(-1) for out in outputs])
        if self.epsilon.size != vector.size:
            self.epsilon = np.concatenate([np.full(out.size, np.finfo(out.dtype).eps) for out in outputs])
        return vector

    def __call__(self, point: Point) -> Floats | None:
        """Give all outputs with some entries moved; None if that raises something: then it is done once more, here.

        Threads take turns, since they share the arrays.
        """
        arrays = self.subject.arrays
        with self._turn, put_back([arrays[name] for name, *_ in point]):
            try:
                for name, entries, values in point:
                    if entries is ...:
                        np.copyto(arrays[name], values)
                    else:
                        arrays[name].flat[entries] = values
                return self._vector()
            except (Exception, SystemExit):
                return None

    def __getstate__(self) -> dict[str, Any]:
        return {"subject": self.subject, "careful": self._careful, "randomness": self._randomness.told()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["subject"], Randomness(reach(subject=state["subject"].thing)), state["careful"])  # type: ignore[misc]
        self._randomness.adopt(state["randomness"])


class Workers:
    """What evaluates ahead; `close` ends processes that were started.

    `workers`: how many processes, -1 for one a core, or a map.
    """

    def __init__(self, workers: int | Map) -> None:
        self._workers = workers
        self._started: list[Any] = []

    def of(self, evaluator: Evaluator) -> Callable[[Sequence[Point]], list[Any]] | None:
        """Give what evaluates points of a subject; None if that is best done one after another."""
        if callable(self._workers):
            its_map = self._workers
            return lambda points: _told(evaluator, _mapped(its_map, evaluator, points))
        count = os.cpu_count() or 1 if self._workers == -1 else self._workers
        if count == 1:
            return None
        from chainrule.checking.processes import Processes  # few ask for workers, and it takes as long as a check

        processes = Processes(evaluator, count)
        self._started.append(processes)
        return lambda points: _told(evaluator, processes.map(points))

    def close(self) -> None:
        """End the processes."""
        while self._started:
            self._started.pop().close()


@dataclass(frozen=True)
class _Numbered:
    """Evaluates points that have a number, which the result has too: some maps give them in any order."""

    evaluator: Evaluator

    def __call__(self, numbered: tuple[int, Point]) -> tuple[int, Floats | None]:
        return numbered[0], self.evaluator(numbered[1])


def _mapped(its_map: Map, evaluator: Evaluator, points: Sequence[Point]) -> list[Any]:
    """Evaluate points by a map of the caller's."""
    try:
        results = dict(its_map(_Numbered(evaluator), list(enumerate(points))))
    except Exception:
        from chainrule.checking.processes import packed  # as above

        packed(evaluator)  # raises what is better to read, if that is why
        raise
    if len(results) != len(points):
        raise ValueError(f"workers was given {len(points)} things to map, and gives {len(results)}")
    return [results[i] for i in range(len(points))]


def _told(evaluator: Evaluator, results: list[Any]) -> list[Any]:
    if evaluator.tell is not None:
        evaluator.tell(len(results))
    return results


def workers_of(workers: Any) -> Workers | None:
    """Give what evaluates ahead; None if nothing is to."""
    if callable(workers):
        return Workers(workers)
    if isinstance(workers, bool) or not isinstance(workers, numbers.Integral) or workers < -1 or workers == 0:
        a_map = " (its method map)" if callable(getattr(workers, "map", None)) else ""
        raise ValueError(
            f"workers must be a number of processes, -1 for one a core, or a map{a_map}, got {workers!r:.60}"
        )
    return None if workers == 1 else Workers(int(workers))


class Ahead:
    """Results of points that were evaluated ahead, until they are asked for."""

    def __init__(self, many: Callable[[Sequence[Point]], list[Any]] | None) -> None:
        self._many = many
        self._known: dict[Any, Any] = {}

    def fetch(self, points: Callable[[], Iterator[tuple[Any, Point]]]) -> None:
        """Evaluate points, each with a key, if there are workers to do it."""
        if self._many is None:
            return
        wanted = {key: point for key, point in points() if key not in self._known}
        self._known |= zip(wanted, self._many(list(wanted.values())), strict=True)

    def take(self, key: Any, evaluate: Callable[[], Floats]) -> Floats:
        """Give the result of a point, once; evaluate it now if it is not known."""
        result: Floats | None = self._known.pop(key, None)
        return evaluate() if result is None else result


#: Nothing is evaluated ahead.
NEVER = Ahead(None)
