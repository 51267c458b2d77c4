"""The IDX format: a small header and the values of one array, raw or gzipped.

A file is trusted only as far as it can be checked: the header says how many bytes must follow, there must be exactly
that many, and a gzip stream must end with the right checksum. Anything else is a `DataError`.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", which defines the format; RFC 1952
(gzip).
"""

from __future__ import annotations

import math
import os
import stat
import zlib
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._kernels import inflate_segments

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_LARGEST = 2**31  # bytes of values in one file: 2 GiB
_BLOCK = 2**20
_GZIP = b"\x1f\x8b"
# Deflate's best is 258 bytes from 2 bits (zlib's "Technical Details", "Maximum Compression Factor").
_DEFLATE_RATIO = 1032


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read an IDX file, raw or gzipped, as an array; its first two bytes tell whether it is gzipped, not its name.

    Parameters
    ----------
    path : path-like
        A regular file: two zero bytes, a type byte, the number of axes (1 to 4), the size of each axis as a
        big-endian uint32, then the values, big-endian, last axis fastest.

    Returns
    -------
    ndarray
        In the shape that the file gives and the native byte order of its dtype: uint8, int8, int16, int32, float32 or
        float64. C-contiguous, writable, new at every call.

    Raises
    ------
    DataError
        If the file is anything else: another magic number, type or number of axes, more than 2 GiB of values, a byte
        too few or too many; or, if it is gzipped, a stream that is cut off, damaged or followed by further bytes. A
        second gzip member counts as further bytes, since no IDX file is published that way.
    OSError
        If the file cannot be opened or read.
    TypeError
        If `path` is not a path.

    Notes
    -----
    At most one byte more than the header promises is inflated, and no array is allocated that the file is too small to
    fill.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(bytes([0, 0, 0x08, 1]) + bytes([0, 0, 0, 3]) + bytes([7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    expect_regular(path)
    with open(path, "rb") as file:
        return parse_idx(file, os.fspath(path))


def expect_regular(path: str | os.PathLike[str]) -> None:
    """Raise DataError for anything but a regular file: a pipe would block for ever, a device never ends."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise DataError(f"{os.fspath(path)}: not a regular file")


def parse_idx(file: BinaryIO, name: str) -> NDArray[Any]:
    """Read the whole of `file`, an IDX file raw or gzipped; `name` is for the messages."""
    stored = file.seek(0, os.SEEK_END)
    file.seek(0)
    zipped = file.read(2) == _GZIP
    file.seek(0)
    source = Gunzip(file, name) if zipped else file
    dtype, shape = _header(source, name)
    needed = _size(dtype, shape, name)
    short = f"{name}: too short: shape {shape} of {dtype.name} needs {needed} bytes after the header, "
    if needed > stored * (_DEFLATE_RATIO if zipped else 1):
        raise DataError(f"{short}the {'gzip ' if zipped else ''}file has {stored} bytes in all")
    values = np.empty(needed, np.uint8)
    # The package's own files are inflated by all threads at once; if one is faulty, the code below says why.
    if not (zipped and _fill_from_segments(file, 4 + 4 * len(shape), values)):
        got = _fill(source, values.data)
        if got < needed:
            raise DataError(f"{short}got {got}")
        if source.read(1):
            raise DataError(f"{name}: too long: more than the {needed} bytes that shape {shape} of {dtype.name} needs")
    return values.view(dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _header(source: BinaryIO | Gunzip, name: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Read the magic number and the sizes from the start of `source`; give the dtype on disk and the shape."""
    magic = _take(source, 4)
    if not magic:
        raise DataError(f"{name}: empty")
    if magic.startswith(_GZIP):
        raise DataError(f"{name}: compressed by gzip twice; unpack it once, with gunzip, and it can be read")
    if any(magic[:2]):
        raise DataError(
            f"{name}: starts with {magic.hex(' ')}, an IDX file starts with 00 00;"
            " nor is it gzip (1f 8b): incorrect header check"
        )
    if len(magic) < 4:
        raise DataError(f"{name}: ends inside the magic number, after {len(magic)} of 4 bytes")
    code, rank = magic[2:]
    if code not in _IDX_TYPES:
        known = ", ".join(f"{code:02x} ({np.dtype(text).name})" for code, text in _IDX_TYPES.items())
        raise DataError(f"{name}: type byte {code:02x} is none of {known}")
    if not 1 <= rank <= 4:
        raise DataError(f"{name}: rank {rank}; chainrule reads 1 to 4 axes")
    sizes = _take(source, 4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(f"{name}: ends inside the sizes of its {rank} axes, after {len(sizes)} bytes")
    return np.dtype(_IDX_TYPES[code]), tuple(np.frombuffer(sizes, ">u4").tolist())


def _size(dtype: np.dtype[Any], shape: tuple[int, ...], name: str) -> int:
    """Give the number of bytes of values, as a Python int, which cannot overflow."""
    # NumPy leaves zeros out when it multiplies the sizes, so an empty array can be too large for it.
    if math.prod(max(size, 1) for size in shape) * dtype.itemsize > np.iinfo(np.intp).max:
        raise DataError(f"{name}: the product of shape {shape} overflows: more bytes than memory can be addressed")
    needed = math.prod(shape) * dtype.itemsize
    if needed > _LARGEST:
        raise DataError(f"{name}: shape {shape} of {dtype.name} is {needed} bytes; the limit is {_LARGEST}")
    return needed


def _fill(source: BinaryIO | Gunzip, into: memoryview) -> int:
    """Read from `source` until `into` is full or the source ends; give the number of bytes read."""
    at = 0
    while at < len(into) and (piece := source.read(min(_BLOCK, len(into) - at))):
        into[at : at + len(piece)] = piece
        at += len(piece)
    return at


def _fill_from_segments(file: BinaryIO, header: int, into: NDArray[np.uint8]) -> bool:
    """Fill `into` from a gzip file in segments, as the package's are; False if it is no such file, or not whole."""
    at = file.tell()
    try:
        file.seek(0)
        start = file.read(14)
        file.seek(0)
        return start[3:4] == b"\x04" and start[12:] == b"CR" and inflate_segments(file.read(), header, into)
    finally:
        file.seek(at)


def _take(source: BinaryIO | Gunzip, n: int) -> bytes:
    """Give the next `n` bytes of `source`, or fewer at its end."""
    taken = bytearray(n)
    return bytes(taken[: _fill(source, memoryview(taken))])


class Gunzip:
    """The content of a gzip file, inflated only as far as it is read.

    The standard library's reader skips zero bytes and continues with further members; this one takes exactly one
    member, so that a file is either whole or refused.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name
        self._stream = zlib.decompressobj(wbits=31)  # 16 + 15: a gzip header and trailer, the largest window

    def read(self, n: int) -> bytes:
        """Give 1 to `n` bytes (`n` >= 1); none at the end, after checking the checksum and the end of the file."""
        while not self._stream.eof:
            block = self._stream.unconsumed_tail or self._file.read(_BLOCK // 4)
            try:
                piece = self._stream.decompress(block, n)
            except zlib.error as error:
                reason = str(error).rpartition(": ")[2]
                raise DataError(f"{self._name}: damaged gzip stream: {reason}") from None
            if piece:
                return piece
            if not block and not self._stream.eof:
                raise DataError(f"{self._name}: truncated gzip stream")
        self._refuse_more()
        return b""

    def _refuse_more(self) -> None:
        """Raise DataError if there are bytes after the stream."""
        more = len(self._stream.unused_data) - self._file.tell() + self._file.seek(0, os.SEEK_END)
        if more:
            raise DataError(f"{self._name}: {more} bytes after gzip stream")
