"""Readers of files and texts, given valid ones that are no longer quite so.

What guides the way is cheap: a case whose end is new, another error, from another line, with another text, is changed
further. So is found what only follows on a step that has gone right.
"""

from __future__ import annotations

import random
from collections.abc import Generator, Sequence
from typing import ClassVar

from attack import corpus
from attack.mutations import mutated
from attack.target import Target, kind, place


class Reader(Target):
    """A reader: what it may raise, and nothing else."""

    name: ClassVar[str]
    shrinks = True
    #: Exactly these: a UnicodeError is a ValueError, and not meant where one is.
    allowed: tuple[type[BaseException], ...] = ()
    #: What the format knows.
    words: Sequence[bytes] = ()
    #: So many cases of one class and line are gone on from.
    _A_LINE = 12

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._of_line: dict[str, int] = {}
        self._new: list[bytes] = []
        self._line = ""

    def valid(self) -> Sequence[bytes]:
        """Make what the reader takes."""
        raise NotImplementedError

    def read(self, case: bytes) -> str:
        """Let it read, look at what comes, and say what kind of thing it is."""
        raise NotImplementedError

    def deeper(self, rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes | None:
        """Change what is inside a case, and put right what would give that away, if there is such a thing."""
        return None

    def judge(self, case: bytes) -> str:
        """Read it."""
        try:
            self._line = "read"
            return self.read(case)
        except BaseException as error:
            if type(error) not in self.allowed:
                raise
            self._line = f"{type(error).__name__} {place(error)}"
            return kind(error)

    def cases(self, rng: random.Random) -> Generator[bytes, str, None]:
        """Give what is valid, what was kept, and then changes of these and of what is new."""
        valid = list(self.valid())
        pool = []
        for case in [*valid, *corpus.kept(self.name)]:
            self._is_new((yield case))
            pool.append(case)
        first = len(pool)
        while True:
            # Half of the time what was found last.
            case = rng.choice(pool[-30:] if rng.random() < 0.5 else pool)
            trial = self.deeper(rng, case, pool) if rng.random() < 0.5 else None
            trial = mutated(rng, case, pool, self.words) if trial is None else trial
            if self._is_new((yield trial)):
                pool.append(trial)
                self._new.append(trial)
                if len(pool) > first + 1000:
                    del pool[first]

    def _is_new(self, said: str) -> bool:
        """Tell whether no case before ended so; of one line some will do."""
        if not said or said in self._known:
            return False
        self._known.add(said)
        self._of_line[self._line] = self._of_line.get(self._line, 0) + 1
        return self._of_line[self._line] <= self._A_LINE

    def learned(self) -> Sequence[bytes]:
        """Give what was new."""
        return self._new

    def notes(self) -> list[str]:
        """Say how many ways to end there were."""
        return [f"{len(self._known)} kinds of ends"]
