"""Arrays as the bytes of a safetensors file: a header of JSON, then the numbers, little-endian, end to end.

They are given piece by piece, the arrays' own memory where that has the right order: a file takes no memory of its own
size to be written. What a file holds is read by the safetensors crate, which trusts nothing.

Source: https://github.com/huggingface/safetensors, which defines the format.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: The types that are written; in a file the first come first, so that all numbers are aligned.
DTYPES = {"I64": "<i8", "F64": "<f8", "F32": "<f4"}
#: Those that are read, by float32: the halves of other programs.
HALVES = {"F16": "<f2", "BF16": "<u2"}
#: Longer headers are refused, read or written: ours have some 100 bytes a tensor.
_LARGEST_HEADER = 1 << 20


def pieces(arrays: Mapping[str, FloatArray], metadata: Mapping[str, str]) -> Iterator[memoryview]:
    """Give the bytes of a file, those of an array when they are asked for.

    Parameters
    ----------
    arrays : dict of str to ndarray
        In any layout.
    metadata : dict of str to str
        Words beside them.

    Raises
    ------
    TypeError
        If an array is of another dtype.
    ValueError
        If the header would be longer than readers allow.
    """
    import json  # only who writes a file needs it

    dtypes = {name: _dtype(name, array) for name, array in arrays.items()}
    order = sorted(arrays, key=lambda name: (list(DTYPES).index(dtypes[name]), name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    end = 0
    for name in order:
        start, end = end, end + math.prod(arrays[name].shape) * np.dtype(DTYPES[dtypes[name]]).itemsize
        header[name] = {"dtype": dtypes[name], "shape": arrays[name].shape, "data_offsets": [start, end]}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the numbers are to be aligned
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
