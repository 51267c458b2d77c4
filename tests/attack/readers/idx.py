"""IDX files, raw and gzipped: read as what they hold, or refused."""

from __future__ import annotations

import gzip
import random
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import idx_files
from attack.mutations import mutated
from attack.reader import Reader
from attack.target import Wrong
from chainrule import DataError, read_idx
from segmented_gzip import segmented

_CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def files() -> list[bytes]:
    """Make a file of each type and of each number of axes."""
    made = []
    for i, (name, code) in enumerate(_CODES.items()):
        array = np.arange(6, dtype=np.dtype(name).newbyteorder(">")).reshape(
            (2, 3, 1, 1)[: 1 + i % 4] if i % 4 else (6,)
        )
        content = bytearray(idx_files.idx(array))
        content[2] = code
        made.append(bytes(content))
    return [*made, idx_files.idx(np.zeros((0, 28, 28), np.uint8)), idx_files.idx(np.zeros(3000, np.uint8))]


def written(array: np.ndarray) -> bytes:
    """Write an array as IDX, by the format's definition."""
    content = bytearray(idx_files.idx(array.astype(array.dtype.newbyteorder(">"))))
    content[2] = _CODES[array.dtype.name]
    return bytes(content)


class Idx(Reader):
    """`read_idx` of raw files."""

    name = "idx"
    allowed = (DataError,)

    def valid(self) -> Sequence[bytes]:
        return files()

    def holds(self, case: bytes, content: bytes) -> bool:
        """Tell whether a file holds that."""
        return case == content

    def read(self, case: bytes) -> str:
        Path("file").write_bytes(case)
        array = read_idx("file")
        if not (array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative):
            raise Wrong(f"the array is not as promised: {array.flags}")
        if not self.holds(case, written(array)):
            raise Wrong("the array is not what the file holds")
        return f"{array.dtype} {array.ndim} {array.size > 0}"


class Gzip(Idx):
    """`read_idx` of gzipped files, the package's own kind among them."""

    name = "gzip"

    def valid(self) -> Sequence[bytes]:
        plain = files()
        parts = [segmented(content[:16], content[16:], count) for content in plain[:3] for count in (1, 3)]
        return [
            *(gzip.compress(content, mtime=0) for content in plain[::2]),
            *parts,
            segmented(plain[-1][:8], plain[-1][8:]),
        ]

    def holds(self, case: bytes, content: bytes) -> bool:
        if case[:2] != b"\x1f\x8b":
            return case == content
        try:
            return gzip.decompress(case) == content
        except (EOFError, zlib.error, gzip.BadGzipFile):
            return False

    def deeper(self, rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes | None:
        """Change what is compressed, or the stream and then its checksum."""
        try:
            inner = gzip.decompress(case)
        except (OSError, EOFError, zlib.error):
            return None
        if len(inner) > 2**16:
            return None
        if rng.random() < 0.3:  # a table that tells other lengths, of a stream that is right
            at = 12 + rng.randrange(40)
            return (
                case[:at] + struct.pack("<I", rng.choice((0, 1, 2, 15, 16, 17, 100, 2**31, 2**32 - 1))) + case[at + 4 :]
            )
        inner = mutated(rng, inner, [written(np.arange(6, dtype=np.uint8))])
        if rng.random() < 0.5:
            return gzip.compress(inner, rng.randrange(10), mtime=0)
        header = rng.choice((8, 12, 16, 20, 0))
        return segmented(inner[:header], inner[header:], rng.randrange(1, 5))
