"""Arrays with a fence around each, so that it shows if something is written beside them, or where it must not be."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from attack.target import Wrong

_FENCE = 64
_POST = 0xA5


class Ground:
    """All arrays of one call."""

    def __init__(self) -> None:
        #: The memory of each, what was in it, and where of that the call may write.
        self._lots: list[tuple[NDArray[np.uint8], bytes, slice]] = []

    def array(self, values: Any, written: bool = False, shift: int = 0) -> NDArray[Any]:
        """Give an array of these values, so far off a round address; whether the call may write into it."""
        values = np.asarray(values)
        lot = np.full(values.nbytes + 4 * _FENCE, _POST, np.uint8)
        start = _FENCE + -(lot.ctypes.data + _FENCE) % _FENCE + shift
        its = slice(start, start + values.nbytes)
        made: NDArray[Any] = lot[its].view(values.dtype).reshape(values.shape)
        made[...] = values
        self._lots.append((lot, lot.tobytes(), its if written else slice(0, 0)))
        return made

    def allow(self, array: NDArray[Any]) -> NDArray[Any]:
        """Give a part of an array of ours itself, into which a call may write now."""
        for i, (lot, before, its) in enumerate(self._lots):
            start = array.ctypes.data - lot.ctypes.data
            end = start + array.nbytes
            if 0 <= start < lot.nbytes:
                both = slice(min(start, its.start), max(end, its.stop)) if its.stop else slice(start, end)
                self._lots[i] = lot, before, both
        return array

    def check(self, refused: bool) -> None:
        """Raise if there is another byte where none may be: if the call was refused, that is everywhere."""
        for lot, before, writable in self._lots:
            changed = np.flatnonzero(lot != np.frombuffer(before, np.uint8))
            inside = 0 if refused else np.count_nonzero((changed >= writable.start) & (changed < writable.stop))
            if changed.size > inside:
                after = " by a call that was refused" * refused
                raise Wrong(f"{changed.size - inside} bytes were written that must not be{after}")
