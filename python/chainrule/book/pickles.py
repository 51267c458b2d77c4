"""``pickle`` for scripts of the book, which reads files without trusting them."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule.storage.plain_pickles import read_plain_pickle


@contextmanager
def only_plain_pickles() -> Iterator[None]:
    """Make ``pickle.load``, ``pickle.loads`` and ``pickle.Unpickler`` read only plain data, by `read_plain_pickle`."""
    real = {name: getattr(pickle, name) for name in ("load", "loads", "Unpickler")}
    for name, function in (("load", load), ("loads", loads), ("Unpickler", Unpickler)):
        setattr(pickle, name, function)
    try:
        yield
    finally:
        for name, function in real.items():
            setattr(pickle, name, function)


def load(file: Any, **_: Any) -> Any:
    """Read the pickle at the position of `file`, and stop after it; no code in it is run.

    Parameters
    ----------
    file : binary file
        Open for reading.
    **_
        The other arguments of ``pickle.load``; arrays need none of them.

    Returns
    -------
    object
        Made of arrays, dicts, lists, tuples, numbers and strings.

    Raises
    ------
    DataError
        If the pickle is damaged or holds anything else.
    EOFError
        If nothing is left in `file`.
    """
    start = file.tell() if file.seekable() else None
    content = file.read()
    if not content:
        raise EOFError("there is no pickle left to read")
    found, length = read_plain_pickle(content, str(getattr(file, "name", "pickle")))
    if start is not None:
        file.seek(start + length)
    return found


def loads(data: Any, /, **_: Any) -> Any:
    """Read the pickle in `data`; no code in it is run.

    Parameters
    ----------
    data : bytes-like
        A pickle.
    **_
        The other arguments of ``pickle.loads``; arrays need none of them.

    Returns
    -------
    object
        Made of arrays, dicts, lists, tuples, numbers and strings.

    Raises
    ------
    DataError
        If the pickle is damaged or holds anything else.
    EOFError
        If `data` is empty.
    """
    return load(io.BytesIO(data))


class Unpickler:
    """``pickle.Unpickler`` with the `load` of this module.

    Parameters
    ----------
    file : binary file
        Open for reading.
    **_
        The other arguments of ``pickle.Unpickler``; arrays need none of them.
    """

    def __init__(self, file: Any, **_: Any) -> None:
        self._file = file

    def load(self) -> Any:
        """Read the next pickle.

        Returns
        -------
        object
            As for `load` of this module.

        Raises
        ------
        DataError, EOFError
            As for `load` of this module.
        """
        return load(self._file)
