"""Pictures: PNG and JPEG files, read as images of digits or refused."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from attack.mutations import mutated
from attack.reader import Reader
from attack.target import Wrong
from chainrule import DataError, load_image

_PNG = b"\x89PNG\r\n\x1a\n"


def pictures() -> list[bytes]:
    """Make a picture in each mode."""
    page = Image.new("L", (9, 12), "white")
    ImageDraw.Draw(page).line([(4, 2), (4, 9)], "black", 2)
    made = []
    for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16"):
        picture = page.convert("I").point(lambda v: v * 257).convert("I;16") if mode == "I;16" else page.convert(mode)
        made.append(_stored(picture, "PNG"))
    made.append(_stored(page.convert("P"), "PNG", transparency=255))
    animated = io.BytesIO()
    page.save(animated, "PNG", save_all=True, append_images=[page.rotate(90)])
    exif = Image.Exif()
    exif[0x0112] = 6  # turned
    jpegs = [_stored(page.convert(mode), "JPEG") for mode in ("L", "RGB", "CMYK")]
    return [
        *made,
        animated.getvalue(),
        *jpegs,
        _stored(page, "JPEG", exif=exif),
        _stored(page, "JPEG", progressive=True),
    ]


def _stored(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Give name and content of each chunk of a PNG, as far as it goes."""
    at = len(_PNG)
    while at + 12 <= len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length


class Pictures(Reader):
    """`load_image`."""

    name = "image"
    allowed = (DataError,)
    # As many pixels as are read, in a few copies.
    memory = 2**30
    patience = 20.0

    def valid(self) -> Sequence[bytes]:
        return pictures()

    def deeper(self, rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes | None:
        """Change what a chunk of a PNG holds, or the pixels in it, and put its checksum right."""
        parts = list(chunks(case))
        if not case.startswith(_PNG) or not parts:
            return None
        at = rng.randrange(len(parts))
        name, content = parts[at]
        if name == b"IDAT" and rng.random() < 0.7:
            try:
                content = zlib.compress(mutated(rng, zlib.decompress(content), [content]))
            except zlib.error:
                return None
        else:
            content = mutated(rng, content, [content for _, content in parts])
        if rng.random() < 0.1:
            name = rng.choice(
                (b"IHDR", b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"zTXt", b"acTL", b"gAMA", b"fcTL", b"fdAT")
            )
        parts[at] = name, content
        if rng.random() < 0.2:
            parts.insert(rng.randrange(len(parts)), rng.choice(parts))
        return _PNG + b"".join(self._chunk(name, content) for name, content in parts)

    @staticmethod
    def _chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    def read(self, case: bytes) -> str:
        Path("file").write_bytes(case)
        image = load_image("file")
        if image.shape != (784,) or image.dtype != np.uint8 or not image.any():
            raise Wrong(f"no image: {image.shape} {image.dtype}")
        return f"image {int(image.reshape(28, 28).any(axis=1).sum())} rows"
