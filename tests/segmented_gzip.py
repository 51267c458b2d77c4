"""Gzip files whose stream is in segments that do not refer to each other, as the package's images are stored.

``python tests/segmented_gzip.py FILE.gz …`` writes such files anew, with the same content: see
`rust/bindings/src/segments.rs`.
"""

from __future__ import annotations

import gzip
import struct
import sys
import zlib
from pathlib import Path

SEGMENTS = 16


def segmented(header: bytes, values: bytes, segments: int = SEGMENTS) -> bytes:
    """Give the gzip file of both, the header in a segment of its own."""
    step = -(-len(values) // segments) or 1
    parts = [header, *(values[start : start + step] for start in range(0, len(values), step))]
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    last, stored = len(parts) - 1, []
    for i, part in enumerate(parts):
        stored.append(stream.compress(part) + stream.flush(zlib.Z_FINISH if i == last else zlib.Z_FULL_FLUSH))
    table = b"".join(struct.pack("<II", len(its), len(part)) for its, part in zip(stored, parts, strict=True))
    extra = b"CR" + struct.pack("<H", len(table)) + table
    # 2: as small as it gets; 255: on no system in particular.
    start = struct.pack("<2sBBIBBH", b"\x1f\x8b", 8, 4, 0, 2, 255, len(extra))
    content = header + values
    return start + extra + b"".join(stored) + struct.pack("<II", zlib.crc32(content), len(content))


if __name__ == "__main__":
    for name in sys.argv[1:]:
        path = Path(name)
        content = gzip.decompress(path.read_bytes())
        size = 4 + 4 * content[3]
        path.write_bytes(segmented(content[:size], content[size:]))
