"""What a check must put back: every array, and whatever else the subject keeps, as far as it can be reached.

A forward pass may write where it should not, keep what it should not, or be cut short by an exception or Ctrl-C. The
arrays are put back bit for bit at the end, whatever happened. What is kept from call to call is put back too where it
is asked what a call would give if it were the first.
"""

from __future__ import annotations

import contextlib
import types
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.equality import same_bits
from chainrule.nn.parameters.places import slots

#: Arrays that are neither parameters nor inputs and larger than this are left alone: a data set, most likely.
_LARGEST_BYSTANDER = 1 << 26
_MISSING = object()


class State:
    """Copies of arrays, and what stood under which name, to go back to.

    `found` is what `reach` gave; `own` are arrays that are kept whatever their size.
    """

    def __init__(self, found: Mapping[int, tuple[str, Any]], own: Iterable[FloatArray] = ()) -> None:
        things = [thing for _, thing in found.values()]
        others = [a for a in things if isinstance(a, np.ndarray) and _restorable(a)]
        self._arrays = [(array, array.copy()) for array in {id(a): a for a in (*own, *others)}.values()]
        self._holders = [(t, _contents(t)) for t in things if not isinstance(t, np.ndarray)]

    def restore(self) -> None:
        """Put everything back: arrays, and what each holder held."""
        for holder, contents in self._holders:
            _put_contents(holder, contents)
        self._restore_arrays()

    def restore_arrays(self) -> None:
        """Put back arrays only, and where they stood: what else has been noted meanwhile stays."""
        for holder, contents in self._holders:
            if not isinstance(holder, dict):
                continue
            for name, array in contents.items():
                here = dict.get(holder, name)
                if isinstance(array, np.ndarray) and here is not array:
                    dict.__setitem__(holder, name, array)
                elif isinstance(array, int | float) and isinstance(here, np.ndarray | float):
                    dict.__setitem__(holder, name, array)  # a number that a step has made another, or an array
        self._restore_arrays()

    def of_what_changed(self) -> State:
        """Give the part of it that is no longer as it was."""
        changed = State({})
        changed._arrays = [(a, before) for a, before in self._arrays if not same_bits(a, before)]
        changed._holders = [(h, before) for h, before in self._holders if not _same_contents(_contents(h), before)]
        return changed

    def _restore_arrays(self) -> None:
        for array, before in self._arrays:
            if not same_bits(array, before):
                np.copyto(array, before)


def _contents(holder: Any) -> Any:
    """Give what a holder holds; None if it holds nothing that could be put back."""
    if isinstance(holder, dict):
        return dict(dict.items(holder))
    if isinstance(holder, list | deque):
        return list(holder)
    if isinstance(holder, types.CellType):
        try:
            return holder.cell_contents
        except ValueError:  # named, but not bound yet
            return _MISSING
    return {name: _slot(holder, name) for name in slots(type(holder))}


def _same_contents(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(a[key] is b[key] for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(x is y for x, y in zip(a, b, strict=True))
    return a is b


def _slot(holder: Any, name: str) -> Any:
    try:
        return getattr(holder, name)
    except Exception:
        return _MISSING


def _put_contents(holder: Any, contents: Any) -> None:
    if isinstance(holder, dict):
        if dict.keys(holder) != contents.keys() or any(dict.get(holder, k) is not v for k, v in contents.items()):
            kind = OrderedDict if isinstance(holder, OrderedDict) else dict  # which keeps a list of its keys
            kind.clear(holder)
            kind.update(holder, contents)
    elif isinstance(holder, list | deque):
        if len(holder) != len(contents) or any(a is not b for a, b in zip(holder, contents, strict=True)):
            holder.clear()
            holder.extend(contents)
    elif isinstance(holder, types.CellType):
        if contents is not _MISSING:
            holder.cell_contents = contents
    else:
        for name, value in contents.items():
            with contextlib.suppress(Exception):  # a slot that cannot be set
                if value is not _MISSING:
                    setattr(holder, name, value)
                elif hasattr(holder, name):
                    delattr(holder, name)


def _restorable(array: FloatArray) -> bool:
    return array.nbytes <= _LARGEST_BYSTANDER and array.flags.writeable and not array.dtype.hasobject


@contextlib.contextmanager
def put_back(arrays: Iterable[FloatArray]) -> Iterator[list[FloatArray]]:
    """Lend arrays to be written into, with a copy of each, and put them back, whatever happens."""
    copies = [(array, array.copy()) for array in arrays]
    try:
        yield [before for _, before in copies]
    finally:
        for array, before in copies:
            np.copyto(array, before)
