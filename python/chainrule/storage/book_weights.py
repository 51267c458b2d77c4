"""Read the book's ``sample_weight.pkl`` and ``params.pkl`` without trusting them.

A pickle is a program for a stack machine, and one of its instructions can call any function. This module runs only the
few instructions that a dict of arrays needs, on a machine of its own. The only functions of that machine are stand-ins
for those that NumPy writes for an array. Everything else is a `DataError`.

The standard library's ``pickletools`` takes the file apart without running anything. Every array made here is in the
file byte for byte, so a short file cannot claim much memory.

Source: the standard library's ``pickletools``, which defines the instructions; ``ndarray.__reduce__``.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from chainrule._errors import DataError
from chainrule._gate import FloatArray
from chainrule.data.idx import expect_regular


def read_book_weights(path: str | os.PathLike[str]) -> dict[str, FloatArray]:
    """Read a pickled dict of arrays, such as the book's ``sample_weight.pkl``, without running any code in it.

    Parameters
    ----------
    path : path-like
        A regular file that holds one pickle, of any protocol: a dict with strings as keys and arrays of real numbers
        (float16, float32, float64, integers, booleans) as values.

    Returns
    -------
    dict of str to ndarray
        Writable arrays with the shapes and dtypes of the file, in native byte order. ``net.params.update(…)`` puts them
        into a network with the same names.

    Raises
    ------
    DataError
        If the pickle is damaged or holds anything else; the message says what, and at which byte.
    OSError
        If the file cannot be read.
    TypeError
        If `path` is not a path.

    Notes
    -----
    Source: "Deep Learning from Scratch" §3.6, ``ch03/sample_weight.pkl``, and ``save_params`` of its chapter 7.

    Examples
    --------
    >>> import pathlib, pickle, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "params.pkl")
    ...     _ = path.write_bytes(pickle.dumps({"b1": np.array([1.0, 2.0])}))
    ...     read_book_weights(path)
    {'b1': array([1., 2.])}
    """
    name = os.fspath(path)
    expect_regular(name)
    with open(name, "rb") as file:
        content = file.read()
    found: dict[str, FloatArray]
    found, length = run(Machine(room=2 * len(content)), content, name)
    if length != len(content):
        raise DataError(f"{name}: at byte {length - 1}: damaged: {len(content) - length} bytes follow the end")
    return found


def run(machine: Machine, content: bytes, name: str) -> tuple[Any, int]:
    """Let `machine` run the pickle at the start of `content`; give the result, and the length of the pickle in bytes.

    Raises
    ------
    DataError
        If the pickle is damaged or holds something unknown to `machine`; the message says what, and at which byte of
        `name`.
    """
    import pickletools

    at, last = 0, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # for escapes in text that Python does not know
            for opcode, argument, position in pickletools.genops(content):
                at, last = position or 0, opcode.name
                machine.step(opcode.name, argument)
        return machine.result(), at + 1
    except DataError as error:
        raise DataError(f"{name}: at byte {at}: {error}") from None
    # Something is missing on the stack, or cannot be taken apart.
    except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise DataError(f"{name}: at byte {at}: damaged, or not a pickle ({last or 'start'}: {error})") from None


class Dtype:
    """The stand-in for ``numpy.dtype(code, …)`` and its ``__setstate__``: only a kind, a size and a byte order."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not re.fullmatch("f[248]|[iu][1248]|b1", _word(code, "dtype")):
            raise DataError(f"it holds an array of dtype {code!r}, not of real numbers")
        self.code, self.order = code, "="

    def build(self, state: Any) -> None:
        """Take the byte order from the file's argument for ``__setstate__``."""
        order = _word(state[1], "byte order")
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {order!r}")
        self.order = order


class Array:
    """An array whose shape, dtype and bytes are not all there yet."""

    def __init__(self, *_: Any) -> None:
        self.array: FloatArray | None = None

    @property
    def size(self) -> int:
        """The size of the array in bytes."""
        return 0 if self.array is None else self.array.nbytes

    def build(self, state: Any) -> None:
        """Take shape, dtype and bytes from the file's argument for ``__setstate__``."""
        _, shape, dtype, fortran, numbers = state
        self.array = array_of(numbers, dtype, shape, "F" if fortran else "C")


class Machine:
    """The stack, the memo, and what each instruction does to them.

    `plain_pickles.py` has a machine that knows more.
    """

    #: What the machine makes, for the messages.
    makes: ClassVar[str] = "a dict of arrays"
    #: The functions that a pickle may call, by module and name.
    functions: ClassVar[dict[tuple[str, str], Callable[..., Any]]]

    def __init__(self, room: int) -> None:
        #: Bytes that may still be made. Text in the file becomes bytes, and the bytes an array: twice the file's size.
        self.room = room
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Carry out one instruction."""
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _VALUES:
            stack.append(argument)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self.pop(None if name == "TUPLE" else int(name[5:]))))
        elif name in ("EMPTY_DICT", "DICT"):
            stack.append(self.pairs(self.pop(None) if name == "DICT" else []))
        elif name in ("SETITEM", "SETITEMS"):
            items = self.pop(2 if name == "SETITEM" else None)
            stack[-1].update(self.pairs(items))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            module, function = argument.split(" ") if name == "GLOBAL" else self.pop(2)
            stack.append(self.function(module, function))
        elif name == "REDUCE":
            function, arguments = self.pop(2)
            if function not in self.functions.values():
                raise ValueError("it calls something that is not a function")
            self.push(function(*arguments))
        elif name == "BUILD":
            thing, state = self.pop(2)
            thing.build(state)
            self.push(thing)
        elif name not in ("PROTO", "FRAME", "STOP"):
            raise DataError(f"it holds more than {self.makes} ({name})")

    def pop(self, n: int | None) -> list[Any]:
        """Take the last `n` things off the stack, or all down to the last mark."""
        first = self.marks.pop() if n is None else len(self.stack) - n
        if first < 0:
            raise IndexError("the stack is empty")
        taken = self.stack[first:]
        del self.stack[first:]
        return taken

    def push(self, made: Any) -> None:
        """Put a new thing on the stack, and count its bytes: a file may repeat the same bytes, but not endlessly."""
        self.room -= len(made) if isinstance(made, bytes) else getattr(made, "size", 0)
        if self.room < 0:
            raise DataError("its arrays would be larger than the file")
        self.stack.append(made)

    def pairs(self, items: list[Any]) -> dict[Any, Any]:
        """Give a dict from `items`, in which names and values alternate."""
        return dict(zip([_word(name, "name") for name in items[::2]], items[1::2], strict=True))

    def function(self, module: str, name: str) -> Any:
        """Give the stand-in for a function that the pickle names."""
        # NumPy 2 calls ``numpy.core`` ``numpy._core``.
        place = (_word(module, "module").replace("numpy._core.", "numpy.core."), _word(name, "function"))
        known = self.functions.get(place)
        if known is None:
            raise DataError(f"it names {f'{module}.{name}'!r}; {self.makes} needs no such thing, so it is not read")
        return known

    def result(self) -> Any:
        """Give the result that is left on the stack at the end."""
        (found,) = self.stack
        if not isinstance(found, dict):
            raise DataError(f"it holds {type(found).__name__}, not a dict of arrays")
        for name, value in found.items():
            if not (isinstance(value, Array) and value.array is not None):
                raise DataError(f"its entry {name!r} is not an array")
        return {name: value.array for name, value in found.items()}


def _word(thing: Any, what: str) -> str:
    """Give `thing` if it is a string: a short file can hold a tuple so deep that hashing or printing it never ends."""
    if not isinstance(thing, str):
        raise DataError(f"a {what} in it is of type {type(thing).__name__}, not a string")
    return thing


def array_of(numbers: Any, dtype: Any, shape: Any, order: Any) -> FloatArray:
    """Give the array that these bytes hold."""
    if isinstance(numbers, str):  # Python 2 wrote bytes so
        numbers = numbers.encode("latin1")
    if not (isinstance(dtype, Dtype) and isinstance(numbers, bytes | bytearray) and order in ("C", "F")):
        raise DataError("an array in it does not hold real numbers")
    kind = np.dtype(dtype.code).newbyteorder(dtype.order)
    stored = np.frombuffer(numbers, kind).reshape(shape, order=order)
    return stored.astype(kind.newbyteorder("="), order="C")


def _from_buffer(numbers: Any, dtype: Any, shape: Any, order: Any) -> Array:
    made = Array()
    made.array = array_of(numbers, dtype, shape, order)
    return made


Machine.functions = {
    ("numpy", "dtype"): Dtype,
    ("numpy", "ndarray"): Array,
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("__builtin__", "bytes"): lambda: b"",  # old protocols write empty bytes so
    ("_codecs", "encode"): lambda text, encoding: text.encode({"latin1": "latin1"}[_word(encoding, "encoding")]),
}
_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = frozenset(
    """INT BININT BININT1 BININT2 LONG LONG1 LONG4 STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8
    BYTEARRAY8 UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8""".split()  # noqa: SIM905  # a list is a line a word
)
