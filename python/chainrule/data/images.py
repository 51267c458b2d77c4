"""A picture of a digit, from any scanner, phone or drawing program, made into what MNIST's images are.

Found by experiment on 1500 test images, redrawn as small, large, cropped, noisy and unevenly lit pictures: the centre
of the field is pixel 14 counted from 0, and not 13.5, which is its middle (MNIST's own mean centre of mass is 13.99,
14.01), and a plane laid through the edge of the picture makes photographs of paper readable.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule.data.idx import expect_regular

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
_FIELD, _BOX = 28, 20
_MOST_PIXELS = 50_000_000
_ENOUGH = 1000  # pixels a side: larger pictures are shrunk first
_LEAST_CONTRAST = 20  # grey levels of 255: a light pencil has more, the noise of blank paper less


def load_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a PNG or JPEG picture of one digit as an image like those of MNIST.

    Parameters
    ----------
    path : path-like
        A picture with one digit on an even background: dark on light or light on dark, in colour or grey, upright, of
        any size. What is transparent is background.

    Returns
    -------
    ndarray, shape (784,), uint8
        28 rows of 28 pixels, 0 the background, 255 the ink.

    Raises
    ------
    DataError
        If the file is no PNG or JPEG, is damaged, animated, of more than 50 million pixels, or shows nothing.
    ImportError
        If Pillow is not installed: it comes with the extra ``image``.
    OSError
        If the file cannot be opened.
    TypeError
        If `path` is not a path.

    Notes
    -----
    The rule is MNIST's own: the digit is scaled to fit a box of 20×20 pixels with its aspect kept, and laid into the
    field of 28×28 by its centre of mass. Before that the picture is turned as its EXIF data say and made grey; the
    background, a plane through the picture's edge, is taken away, so that uneven light does not matter; the ink is what
    lies above Otsu's threshold, and its median becomes 255.

    Whatever is drawn counts as the digit: a second digit, a frame, the lines of the paper. Cut those off first.

    Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", http://yann.lecun.com/exdb/mnist/
    (box and centre of mass); N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", 1979.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image, ImageDraw
    >>> page = Image.new("L", (200, 300), "white")
    >>> ImageDraw.Draw(page).line([(50, 80), (50, 220)], "black", 14)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page.save(pathlib.Path(folder, "one.png"))
    ...     image = load_image(pathlib.Path(folder, "one.png")).reshape(28, 28)
    >>> image.any(axis=1).sum(), image.any(axis=0).sum()
    (np.int64(20), np.int64(2))
    """
    grey = _decoded(path, _grey)
    from PIL import Image  # an extra, which has just been asked for

    ink = _ink(grey)
    image = None if ink is None else _centred(Image.fromarray(ink))
    if image is None:
        raise DataError(f"{os.fspath(path)}: nothing is drawn on it that shows at {_FIELD}×{_FIELD} pixels")
    return image.reshape(-1)


def load_picture(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read a PNG or JPEG picture of anything, scaled to a shape (C, H, W), in colours if C is 3 and grey if it is 1.

    Raises
    ------
    DataError, ImportError, OSError, TypeError
        As `load_image`.
    """
    channels, height, width = shape

    def pixels(picture: Image) -> NDArray[np.uint8]:
        found = np.asarray(
            _on_white(_upright(picture)).convert("RGB" if channels == 3 else "L").resize((width, height))
        )
        return found.reshape(height, width, channels).transpose(2, 0, 1)

    return _decoded(path, pixels)


def first_look(path: str | os.PathLike[str]) -> tuple[tuple[int, int], bool]:
    """Give (height, width) of a PNG or JPEG picture, and whether it has colours; raise as `load_image`."""

    def look(picture: Image) -> tuple[tuple[int, int], bool]:
        seen = _on_white(_upright(picture))
        if seen.mode == "L":
            return (seen.height, seen.width), False
        red, green, blue = np.moveaxis(np.asarray(seen), -1, 0)
        return (seen.height, seen.width), bool((red != green).any() or (green != blue).any())

    return _decoded(path, look)


def _decoded(path: str | os.PathLike[str], use: Callable[[Image], T]) -> T:
    """Give what `use` makes of the picture in a file, which it decodes; whatever is wrong with that is a DataError."""
    try:
        import PIL.Image
    except ImportError:
        raise ImportError("pictures are read by Pillow: pip install 'chainrule[image]'") from None
    name = os.fspath(path)
    expect_regular(path)
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damaged metadata
                warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
                return use(PIL.Image.open(file, formats=["PNG", "JPEG"]))
        except PIL.UnidentifiedImageError:
            raise DataError(f"{name}: neither a PNG nor a JPEG picture, or its beginning is damaged") from None
        except (PIL.Image.DecompressionBombWarning, PIL.Image.DecompressionBombError):
            raise DataError(f"{name}: {_too_large()}") from None
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
        except MemoryError:
            raise
        except Exception as error:  # whatever a decoder meets in a damaged file
            raise DataError(f"{name}: damaged picture: {error or type(error).__name__}") from None


def _too_large() -> str:
    return f"more than {_MOST_PIXELS // 1_000_000} million pixels; scale it down"


def _upright(picture: Image) -> Image:
    """Decode a picture just opened, with 8 bits a channel, turned as its EXIF data say."""
    from PIL import Image, ImageOps

    if picture.width * picture.height > _MOST_PIXELS:
        raise DataError(f"{picture.width}×{picture.height} is {_too_large()}")
    # A phone's JPEG may hold more than one picture (a depth map, a preview): its first is the photograph.
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
        raise DataError("an animated PNG; give it as a single picture")
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):  # 16 bits a pixel, which convert would cut off at 255
        return Image.fromarray((np.asarray(picture) // 257).astype(np.uint8))
    return picture


def _on_white(picture: Image) -> Image:
    """Give a picture in greys or colours, white where it is transparent."""
    from PIL import Image

    if not picture.has_transparency_data:
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _grey(picture: Image) -> NDArray[Any]:
    """Give the pixels, 0-255, of a picture just opened; what is transparent gets the colour that the ink is not."""
    picture = _upright(picture)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "L")
    picture.thumbnail((_ENOUGH, _ENOUGH))
    grey = np.asarray(picture.convert("L"), np.float64)
    if picture.mode == "RGBA":
        alpha = np.asarray(picture.getchannel("A")) / 255
        paper = 255 if (grey * alpha).sum() < 128 * alpha.sum() else 0
        grey = grey * alpha + paper * (1 - alpha)
    return grey


def _ink(grey: NDArray[Any]) -> NDArray[np.uint8] | None:
    """Give the part of the picture that the ink fills, 0 the background and 255 the ink; None if there is none."""
    above = grey - _background(grey)
    if -above.min() > above.max():  # dark on light
        above = -above
    if above.max() < _LEAST_CONTRAST:
        return None
    levels = np.rint(np.maximum(above, 0) * (255 / above.max())).astype(np.uint8)
    inked = levels > _otsu(levels)
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    ink = np.minimum(levels[box] * (255 / np.median(levels[inked])), 255)
    return np.asarray(np.rint(ink), np.uint8)


def _background(grey: NDArray[Any]) -> NDArray[Any]:
    """Give the background's grey everywhere: a plane through the picture's edge, without the ink that is there."""
    height, width = grey.shape
    y, x = np.mgrid[:height, :width] / max(height, width)
    edge = np.ones(grey.shape, bool)
    edge[1:-1, 1:-1] = False
    places, values = np.stack([np.ones(edge.sum()), y[edge], x[edge]], axis=1), grey[edge]
    a, b, c = np.sort(values)[len(values) // 2], 0.0, 0.0
    near = 60.0  # grey levels: far apart enough for a shadow, near enough to leave out most ink
    for _ in range(3):
        off = np.abs(values - places @ (a, b, c))
        paper = off <= near
        a, b, c = np.linalg.lstsq(places[paper], values[paper], rcond=None)[0]
        near = max(3 * float(np.median(np.abs(values - places @ (a, b, c)))), 8.0)
    return np.asarray(a + b * y + c * x)


def _otsu(levels: NDArray[np.uint8]) -> int:
    """Give the level that parts the pixels into two groups with means as far apart, for their sizes, as can be."""
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    apart = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return int(np.argmax(below * above * apart**2))


def _centred(ink: Image) -> NDArray[np.uint8] | None:
    """Give the ink fitted into the box and laid into the field by its centre of mass; None if nothing is left."""
    scale = _BOX / max(ink.size)
    size = max(1, round(ink.width * scale)), max(1, round(ink.height * scale))
    digit = np.asarray(ink.resize(size))
    if not digit.any():  # specks far apart
        return None
    corner = []
    for axis, length in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis, dtype=np.float64)
        centre = mass @ np.arange(length) / mass.sum()
        corner.append(min(max(round(_FIELD / 2 - centre), 0), _FIELD - length))
    field = np.zeros((_FIELD, _FIELD), np.uint8)
    top, left = corner
    field[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return field
