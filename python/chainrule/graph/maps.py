"""What is drawn of images in a graph: the maps of the first example, each as a small grey picture within the drawing.

A picture is a PNG in a ``data:`` address, so that a drawing stays one file; its bytes are stored and not compressed, so
that the same graph gives the same drawing on every machine.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.graph import wording

#: So many maps are drawn, so many side by side, the longer side so long, of at most so many pixels.
_MOST, _ACROSS, _SIDE, _PIXELS = 8, 4, 44.0, 48
_GAP = 4.0


@dataclass(frozen=True)
class Maps:
    """The pictures of one node: their addresses, what they are, and where they go.

    Attributes
    ----------
    pictures : tuple of (str, str)
        The address of each, and a text for who cannot see it.
    width, height : float
        Of one picture.
    note : str
        What is not drawn; empty if all is.
    """

    pictures: tuple[tuple[str, str], ...]
    width: float
    height: float
    note: str

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of all of them."""
        across, down = min(len(self.pictures), _ACROSS), -(-len(self.pictures) // _ACROSS)
        return across * (self.width + _GAP) - _GAP, down * (self.height + _GAP) - _GAP

    def svg(self, x: float, y: float) -> list[str]:
        """Draw them, the left upper corner of the first at (`x`, `y`)."""
        return [
            f'<image x="{x + n % _ACROSS * (self.width + _GAP):.1f}" y="{y + n // _ACROSS * (self.height + _GAP):.1f}"'
            f' width="{self.width:.1f}" height="{self.height:.1f}" preserveAspectRatio="none"'
            f' image-rendering="pixelated" href="{address}"><title>{wording.escaped(text)}</title></image>'
            for n, (address, text) in enumerate(self.pictures)
        ]


def maps_of(value: Any, name: str) -> Maps | None:
    """Give the maps of the first of some images, (N, C, H, W), that `name` made; None if `value` is something else."""
    if np.ndim(value) != 4 or not np.size(value):
        return None
    first = value[0]
    count, rows, columns = first.shape
    side = max(rows, columns)
    pictures = tuple(
        (
            "data:image/png;base64," + b64encode(_png(_grey(image))).decode(),
            f"map {n} of {count} of {name}, {_range(image)}",
        )
        for n, image in enumerate(first[:_MOST])
    )
    note = f"the first {_MOST} of {count} maps" if count > _MOST else ""
    return Maps(pictures, max(_SIDE * columns / side, 1), max(_SIDE * rows / side, 1), note)


def _range(image: NDArray[Any]) -> str:
    finite = image[np.isfinite(image)]
    return f"from {finite.min():.4g} to {finite.max():.4g}" if finite.size else "nothing finite"


def _grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Give the least number as 255, white, and the largest as 1, nearly black; 0 where it is not finite.

    Of a large image only every second pixel, or third, and so on, is drawn.
    """
    step = -(-max(image.shape) // _PIXELS)
    image = image[::step, ::step].astype(np.float64)
    finite = np.isfinite(image)
    low, high = np.min(image, where=finite, initial=np.inf), np.max(image, where=finite, initial=-np.inf)
    # Halves, because the difference of two finite numbers may be none.
    share = (np.where(finite, image, low) / 2 - low / 2) / (high / 2 - low / 2) if low < high else np.zeros(image.shape)
    return np.where(finite, 255 - np.rint(254 * share), 0).astype(np.uint8)


def _png(grey: NDArray[np.uint8]) -> bytes:
    """Write a grey picture, of which 0 is to be seen through, as a PNG: https://www.w3.org/TR/png-3."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = grey.shape
    lines = b"".join(b"\0" + line.tobytes() for line in grey)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)),
            chunk(b"tRNS", struct.pack(">H", 0)),
            chunk(b"IDAT", zlib.compress(lines, 0)),
            chunk(b"IEND", b""),
        ]
    )
