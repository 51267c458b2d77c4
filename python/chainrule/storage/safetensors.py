"""Arrays as the bytes of a safetensors file: a JSON header, then the numbers, little-endian, end to end.

The bytes come piece by piece, straight from the arrays' memory where it has the right order, so writing a file does not
take memory of the file's size. The safetensors crate, which trusts nothing, reads files.

Source: https://github.com/huggingface/safetensors, which defines the format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: The types to write; a file holds them in this order, so that all numbers are aligned.
DTYPES = {"I64": "<i8", "F64": "<f8", "F32": "<f4"}
#: The types that are read as float32: the half precision of other programs.
HALVES = {"F16": "<f2", "BF16": "<u2"}
#: Longer headers are refused, in reading and writing: ours have about 100 bytes for each tensor.
_LARGEST_HEADER = 1 << 20


def pieces(arrays: Mapping[str, FloatArray], metadata: Mapping[str, str]) -> Iterator[memoryview]:
    """Give the bytes of a file, piece by piece, those of each array only when they are asked for.

    Parameters
    ----------
    arrays : dict of str to ndarray
        The arrays, in any memory layout.
    metadata : dict of str to str
        The metadata to write beside them.

    Raises
    ------
    TypeError
        If an array has a dtype that cannot be saved.
    ValueError
        If the header would be longer than readers allow.
    """
    import json  # needed only to write a file

    dtypes = {name: _dtype(name, array) for name, array in arrays.items()}
    order = sorted(arrays, key=lambda name: (list(DTYPES).index(dtypes[name]), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in order:
        start, end = end, end + math.prod(arrays[name].shape) * np.dtype(DTYPES[dtypes[name]]).itemsize
        header[name] = {"dtype": dtypes[name], "shape": arrays[name].shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    if len(text) > _LARGEST_HEADER:
        raise ValueError(f"the file's header would have {len(text)} bytes, more than {_LARGEST_HEADER}")
    numbers = (np.ascontiguousarray(arrays[name], DTYPES[dtypes[name]]).reshape(-1) for name in order)
    return chain(map(memoryview, (len(text).to_bytes(8, "little"), text)), (a.view(np.uint8).data for a in numbers))


def numbers_of(content: bytes, dtype: str, count: int, first: int) -> FloatArray:
    """Give `count` numbers of a file, from its byte `first` on: the caller's own, in the native order.

    Halves, which are exact in float32, are given so. A bfloat16 is the upper half of one (Google, "The bfloat16
    numerical format").
    """
    numbers = np.frombuffer(content, (DTYPES | HALVES)[dtype], count, first)
    if dtype == "BF16":
        return (numbers.astype(np.uint32) << np.uint32(16)).view(np.float32)
    wanted = np.dtype(np.float32) if dtype == "F16" else numbers.dtype.newbyteorder("=")
    return numbers.astype(wanted)


def _dtype(name: str, array: FloatArray) -> str:
    for word, kind in DTYPES.items():
        if np.dtype(kind) == array.dtype.newbyteorder("<"):
            return word
    raise TypeError(f"{name!r} has dtype {array.dtype}; float32 and float64 can be saved")
