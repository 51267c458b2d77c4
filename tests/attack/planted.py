"""Readers with faults of every kind, so that the attack is seen to find them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

from attack.reader import Reader


class Planted(Reader):
    """Reads any text of ``begin`` and ``end``, but for one byte, at which something happens."""

    name = "planted"
    allowed = (ValueError,)

    def valid(self) -> Sequence[bytes]:
        return [b"begin some text that does not matter end"]

    def read(self, case: bytes) -> str:
        if b"!" in case:
            self.happens()
        if not case.startswith(b"begin"):
            raise ValueError("no beginning")
        return "read"

    def happens(self) -> None:
        """Go wrong."""


class Raises(Planted):
    """An error that is not allowed, if only as a subclass of one that is."""

    def happens(self) -> None:
        raise UnicodeError("not ours")


class Dies(Planted):
    """A crash."""

    def happens(self) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Hangs(Planted):
    """No end."""

    patience = 2.0

    def happens(self) -> None:
        time.sleep(1000)


class Grows(Planted):
    """Memory without measure."""

    def happens(self) -> None:
        len(b"x" * (200 * 2**20))
