"""A picture of a digit, from any scanner, phone or drawing program, made into what MNIST's images are.

Found by experiment on 1500 test images, redrawn as small, large, cropped, noisy and unevenly lit pictures: the centre
of the field is pixel 14 counted from 0, and not 13.5, which is its middle (MNIST's own mean centre of mass is 13.99,
14.01), and a plane laid through the edge of the picture makes photographs of paper readable.
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule.data.idx import expect_regular

if TYPE_CHECKING:
    from PIL.Image import Image

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
    return read_digit(path)[0]


def read_digit(path):
    try:
        import PIL.Image
    except ImportError:
        raise ImportError("load_image() needs Pillow: pip install 'chainrule[image]'") from None
    name = os.fspath(path)
    expect_regular(path)
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of damaged metadata
                warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
                colours, alpha = _pixels(PIL.Image.open(file, formats=["PNG", "JPEG"]))
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
    from chainrule.data.cleaning import find_ink  # here, since it needs Pillow
    ink = find_ink(colours, alpha)
    image = None if ink is None else _centred(PIL.Image.fromarray(ink.levels))
    if ink is None or image is None:
        raise DataError(f"{name}: nothing is drawn on it that shows at {_FIELD}×{_FIELD} pixels")
    return image.reshape(-1), ink.doubts


def _too_large() -> str:
    return f"more than {_MOST_PIXELS // 1_000_000} million pixels; scale it down"


def _pixels(picture: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Give the colours (height, width, 1 or 3) of a picture just opened, upright and no larger than need be, and alpha."""
    from PIL import Image, ImageOps

    if picture.width * picture.height > _MOST_PIXELS:
        raise DataError(f"{picture.width}×{picture.height} is {_too_large()}")
    # A phone's JPEG may hold more than one picture (a depth map, a preview): its first is the photograph.
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
        raise DataError("an animated PNG; give it as a single picture")
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):  # up to 16 bits a pixel, which convert would cut off at 255
        values = np.asarray(picture)
        bits = max(8, int(values.max()).bit_length() + 1 & ~1)  # 8, 10, 12 or 14 may be stored in 16
        picture = Image.fromarray((values / ((1 << bits) - 1) * 255).astype(np.uint8))
    grey = picture.mode in ("1", "L", "LA")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    else:
        picture = picture.convert("L" if grey else "RGB")
    picture.thumbnail((_ENOUGH, _ENOUGH))
    pixels = np.asarray(picture)
    if picture.mode == "RGBA":
        return pixels[..., : 1 if grey else 3], pixels[..., 3]
    return np.atleast_3d(pixels), None


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
