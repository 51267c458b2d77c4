"""Pickles of plain things, read without trusting them: what a script may have written of its run.

As `book_weights.py`, but with a machine that also knows lists, tuples, numbers and dicts within others. It still calls
nothing but what NumPy writes for an array or a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._errors import DataError
from chainrule.storage.book_weights import Array, Dtype, Machine, array_of, run


def read_plain_pickle(content: bytes, name: str) -> tuple[Any, int]:
    """Give the thing that the pickle at the start of `content` holds, and how many bytes that took; no code is run.

    Parameters
    ----------
    content : bytes
        A pickle of any protocol, and what may follow it.
    name : str
        What to call it in a message.

    Returns
    -------
    thing : object
        Of arrays and scalars of NumPy, dicts, lists, tuples, numbers, strings, bytes and None.
    length : int
        Of the pickle, in bytes.

    Raises
    ------
    DataError
        If the pickle is damaged or holds anything else: says at which byte, and what.

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
    """Give the dict that is filled with what a network's own held."""
    return {}


class _PlainMachine(Machine):
    """Puts into a dict, a list or a result only what is finished: no dtype, no function, no array without its bytes."""

    makes = "what is made of arrays, dicts, lists, numbers and strings"
    functions = {  # noqa: RUF012  # see the base
        **Machine.functions,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("chainrule.nn.parameters.named", "Parameters"): _parameters,
    }

    def __init__(self, room: int) -> None:
        super().__init__(room)
        #: Tuples whose entries are finished, by id; others are arguments of functions.
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
        """Give keys and what belongs to them as a dict; a tuple may be so deep that hashing it never ends."""
        for key in items[::2]:
            if not isinstance(key, str | bytes | int | float | None):
                raise DataError(f"a key in it is of type {type(key).__name__}, not a string or a number")
        return dict(zip(items[::2], [self.finished(value) for value in items[1::2]], strict=True))

    def is_finished(self, value: Any) -> bool:
        """Tell whether `value` may stand in a result."""
        if isinstance(value, Array):
            return value.array is not None
        if isinstance(value, tuple):
            return not value or id(value) in self.tuples
        return value is None or isinstance(value, str | bytes | bytearray | int | float | dict | list | np.generic)

    def finished(self, value: Any) -> Any:
        """Give `value` as it stands in a result."""
        if not self.is_finished(value):
            what = "a dtype" if isinstance(value, Dtype) else f"a {type(value).__name__} that is not whole"
            raise DataError(f"it holds {what}, not {self.makes}")
        return value.array if isinstance(value, Array) else value

    def result(self) -> Any:
        """Give what is left at the end."""
        (found,) = self.stack
        return self.finished(found)
