"""What a process is about, where another can read it even after the first has died: some shared memory in a file."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_SIZE = 2**21
_HEAD = struct.Struct("<QQQ")


class Box:
    """The case under way and its number, from 1 on; and a beat, to see that something happens."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE)

    def put(self, count: int, case: bytes) -> None:
        """Say that a case is begun."""
        assert len(case) <= _SIZE - _HEAD.size
        self._memory[_HEAD.size : _HEAD.size + len(case)] = case
        _HEAD.pack_into(self._memory, 0, self.beat + 1, count, len(case))

    @property
    def beat(self) -> int:
        """A number that is another after each `put`."""
        return int(_HEAD.unpack_from(self._memory)[0])

    @property
    def count(self) -> int:
        """How many have been begun."""
        return int(_HEAD.unpack_from(self._memory)[1])

    @property
    def case(self) -> bytes:
        """The last that was begun."""
        return self._memory[_HEAD.size : _HEAD.size + _HEAD.unpack_from(self._memory)[2]]
