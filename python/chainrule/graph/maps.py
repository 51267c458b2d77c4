"""What is drawn of arrays in a graph: of images the maps of the first example, of others their numbers as colours.

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
#: Of an array that is no image so many matrices, of at most so many rows and columns, in a place of this size.
_MATRICES, _CELLS = 4, 32
_HEAT_WIDTH, _HEAT_HEIGHT, _CELL, _LEAST = 64.0, 32.0, 8.0, 6.0
#: As `plot_weights` has them: red above 0, blue below, in so many steps each; nothing at 0, grey where not finite.
_STEPS = 15
_RED, _BLUE, _GREY = (205, 50, 30), (45, 110, 190), (128, 128, 128)
_PALETTE = b"".join(map(bytes, [*[_BLUE] * _STEPS, *[_RED] * (_STEPS + 1), _GREY]))
_OPACITY = bytes(255 * abs(n) // _STEPS for n in range(-_STEPS, _STEPS + 1)) + b"\xff"


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
            f' image-rendering="pixelated" class="map" href="{address}"><title>{wording.escaped(text)}</title></image>'
            for n, (address, text) in enumerate(self.pictures)
        ]


@dataclass(frozen=True)
class Heat:
    """The numbers of an array as colours: the address of a picture for each matrix, what they are, the size of one."""

    pictures: tuple[str, ...]
    text: str
    width: float
    height: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of all of them, side by side."""
        return len(self.pictures) * (self.width + _GAP) - _GAP, self.height

    def svg(self, x: float, y: float) -> list[str]:
        """Draw them, the left upper corner of the first at (`x`, `y`)."""
        lefts = [x + n * (self.width + _GAP) for n in range(len(self.pictures))]
        size = f'width="{self.width:.1f}" height="{self.height:.1f}"'
        return [
            f'<g class="heat"><title>{wording.escaped(self.text)}</title>',
            *(
                f'<image x="{left:.1f}" y="{y:.1f}" {size} preserveAspectRatio="none" image-rendering="pixelated"'
                f' href="{address}"/><rect class="frame" x="{left:.1f}" y="{y:.1f}" {size}/>'
                for left, address in zip(lefts, self.pictures, strict=True)
            ),
            "</g>",
        ]


def heat_of(value: Any, name: str) -> Heat | None:
    """Give the numbers of a long vector, a matrix or a stack of them as colours; None if `value` is something else.

    All matrices have one scale, from 0 to the largest distance from it. Images, of four axes, are drawn as maps.
    """
    if not wording.is_long(value) or not 1 <= np.ndim(value) <= 3 or not np.size(value):
        return None
    matrices = np.reshape(value, (-1, *np.shape(value)[-2:])) if np.ndim(value) > 1 else np.reshape(value, (1, 1, -1))
    shown = matrices[:_MATRICES]
    rows, columns = shown.shape[1:]
    finite = np.isfinite(shown)
    most = np.max(np.abs(shown), where=finite, initial=0)
    cell = min(_CELL, _HEAT_HEIGHT / rows, _HEAT_WIDTH / columns)
    part = "" if len(matrices) == len(shown) else f", the first {_MATRICES} of {len(matrices)} matrices"
    return Heat(
        tuple(_address(_png(_coloured(matrix, most), _PALETTE, _OPACITY)) for matrix in shown),
        f"{name}, {wording.shape(value)}{part}, {_range(shown)}: red above 0, blue below",
        max(columns * cell, _LEAST),
        max(rows * cell, _LEAST),
    )


def _coloured(matrix: NDArray[Any], most: Any) -> NDArray[np.uint8]:
    """Give the place in the palette of each number; of a large matrix every second is drawn, or third, and so on."""
    rows, columns = (-(-length // _CELLS) for length in matrix.shape)
    matrix = matrix[::rows, ::columns].astype(np.float64)
    finite = np.isfinite(matrix)
    share = np.where(finite, matrix, 0) / (most or 1)
    return np.where(finite, _STEPS + np.rint(_STEPS * share), 2 * _STEPS + 1).astype(np.uint8)


def _address(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode()


def maps_of(value: Any, name: str) -> Maps | None:
    """Give the maps of the first of some images, (N, C, H, W), that `name` made; None if `value` is something else."""
    if np.ndim(value) != 4 or not np.size(value):
        return None
    first = value[0]
    count, rows, columns = first.shape
    side = max(rows, columns)
    pictures = tuple(
        (
            _address(_png(_grey(image), None, struct.pack(">H", 0))),
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


def _png(pixels: NDArray[np.uint8], palette: bytes | None, transparent: bytes) -> bytes:
    """Write a picture of greys, or of places in a palette, as a PNG: https://www.w3.org/TR/png-3.

    `transparent` is the grey that is seen through, as two bytes, or the opacity of each colour of the palette.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 0 if palette is None else 3, 0, 0, 0)),
            *([] if palette is None else [chunk(b"PLTE", palette)]),
            chunk(b"tRNS", transparent),
            chunk(b"IDAT", zlib.compress(lines, 0)),
            chunk(b"IEND", b""),
        ]
    )
