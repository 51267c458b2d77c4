"""Read pickles of plain data without trusting them, such as a script's record of its run.

This works like `book_weights.py`, but the machine also knows lists, tuples, numbers and nested dicts. It still calls
only the stand-ins for what NumPy writes for an array or a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._errors import DataError
from chainrule.storage.book_weights import Array, Dtype, Machine, array_of, run


def read_plain_pickle(content: bytes, name: str) -> tuple[Any, int]:
    """Read the pickle at the start of `content` without running code; give its content, and its length in bytes.

    Parameters
    ----------
    content : bytes
        A pickle of any protocol; other bytes may follow it.
    name : str
        Its name in error messages.

    Returns
    -------
    thing : object
        Made of NumPy arrays and scalars, dicts, lists, tuples, numbers, strings, bytes and None.
    length : int
        The length of the pickle, in bytes.

    Raises
    ------
    DataError
        If the pickle is damaged or holds anything else; the message says what, and at which byte.

    Examples
    --------
    >>> import pickle
    >>> content = pickle.dumps({"losses": [2.3, np.float64(1.5)], "epoch": 3})
    >>> read_plain_pickle(content, "history.pkl")[0]
    {'losses': [2.3, np.float64(1.5)], 'epoch': 3}
    """
    return run(_PlainMachine(room=2 * len(content)), content, name)


def _scalar(dtype: Any, numbers: Any) -> Any:
    return array_of(numbers, dtype, (), "C")[()]


def _parameters() -> dict[str, Any]:
    """Give the dict that the entries of a network's `Parameters` go into."""
    return {}


class _PlainMachine(Machine):
    """A machine that lets only finished things into dicts, lists and results: no dtype, function or unfilled array."""

    makes = "data made of arrays, dicts, lists, numbers and strings"
    functions = {  # noqa: RUF012  # see the base
        **Machine.functions,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("chainrule.nn.parameters.named", "Parameters"): _parameters,
    }

    def __init__(self, room: int) -> None:
        super().__init__(room)
        #: The ids of tuples whose entries are finished; other tuples are arguments of functions.
        self.tuples: dict[int, tuple[Any, ...]] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        if name in ("FLOAT", "BINFLOAT"):
            stack.append(argument)
        elif name in ("EMPTY_LIST", "LIST"):
            stack.append([self.finished(value) for value in (self.pop(None) if name == "LIST" else [])])
        elif name in ("APPEND", "APPENDS"):
            values = [self.finished(value) for value in self.pop(1 if name == "APPEND" else None)]
            stack[-1].extend(values)
        elif name == "NEWOBJ":  # as if the class were called
            super().step("REDUCE", argument)
        else:
            super().step(name, argument)
            made = stack[-1] if name.startswith("TUPLE") else None
            if isinstance(made, tuple) and all(self.is_finished(value) for value in made):
                stack[-1] = made = tuple(self.finished(value) for value in made)
                self.tuples[id(made)] = made

    def pairs(self, items: list[Any]) -> dict[Any, Any]:
        """Give a dict of alternating keys and values; a tuple as key may be so deep that hashing it never ends."""
        for key in items[::2]:
            if not isinstance(key, str | bytes | int | float | None):
                raise DataError(f"a key in it is of type {type(key).__name__}, not a string or a number")
        return dict(zip(items[::2], [self.finished(value) for value in items[1::2]], strict=True))

    def is_finished(self, value: Any) -> bool:
        """Tell whether `value` may be part of a result."""
        if isinstance(value, Array):
            return value.array is not None
        if isinstance(value, tuple):
            return not value or id(value) in self.tuples
        return value is None or isinstance(value, str | bytes | bytearray | int | float | dict | list | np.generic)

    def finished(self, value: Any) -> Any:
        """Give `value` in its final form."""
        if not self.is_finished(value):
            what = "a dtype" if isinstance(value, Dtype) else f"a {type(value).__name__} that is incomplete"
            raise DataError(f"it holds {what}, not {self.makes}")
        return value.array if isinstance(value, Array) else value

    def result(self) -> Any:
        """Give the result that is left on the stack at the end."""
        (found,) = self.stack
        return self.finished(found)
