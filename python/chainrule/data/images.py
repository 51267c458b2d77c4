"""A picture of a digit, from any scanner, phone or drawing program, turned into an image like those of MNIST.

Found by experiment on 1500 test images: the centre of the field is pixel 14, counted from 0, and not 13.5, its
geometric middle (MNIST's own mean centre of mass is 13.99, 14.01).
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._warn import warn
from chainrule.data.idx import expect_regular

if TYPE_CHECKING:
    from PIL.Image import Image

T = TypeVar("T")
_FIELD, _BOX = 28, 20
_MOST_PIXELS = 50_000_000
_ENOUGH = 1000  # pixels a side: larger pictures are shrunk first


def load_image(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read a PNG or JPEG picture of one digit as an image like those of MNIST.

    Parameters
    ----------
    path : path-like
        A photograph or scan of one digit, dark on light or light on dark, in colour or grey, upright, of any size.
        Transparent parts are background.

    Returns
    -------
    ndarray, shape (784,), uint8
        28 rows of 28 pixels; 0 is background, 255 is ink.

    Raises
    ------
    DataError
        If the file is not a PNG or JPEG, is damaged or animated, has more than 50 million pixels, or shows nothing.
    ImportError
        If Pillow is not installed: it comes with the extra ``image``.
    OSError
        If the file cannot be opened.
    TypeError
        If `path` is not a path.

    Warns
    -----
    UserWarning
        If the picture is doubtful; the warning says why: little contrast; more than one shape; a digit that reaches the
        picture's edge; a sheet that is partly transparent; lines that were removed.

    Notes
    -----
    The rule is MNIST's own: the digit is scaled to fit a box of 20×20 pixels, keeping its aspect ratio, and placed in a
    field of 28×28 by its centre of mass. Before that, the picture is rotated as its EXIF data say and scaled down to
    1000 pixels. Then the ink is found:

    - of the colour channels and their mean, the one is used in which something stands out most;
    - the paper, with light and shadows on it, is estimated by a morphological closing, and what is darker is ink; the
      same is tried with the colours inverted, and the shape with the clearer outline is taken;
    - lines that run from side to side are removed, in pictures of 100 pixels and more;
    - the digit is the largest shape with the small shapes near it; a table at the picture's edge does not count, if
      there is anything else.

    Sheets narrower than a third of the picture, shadows narrower than that which touch the digit, and curved or
    interrupted lines are taken for ink. Of PNG files with several channels of 16 bits, the upper 8 bits are read.

    Sources: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits",
    http://yann.lecun.com/exdb/mnist/ (box and centre of mass); for the ink, see ``chainrule/data/cleaning.py``.

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
    image, doubts = read_digit(path)
    if doubts:
        warn(f"{os.fspath(path)}: {'; '.join(doubts)}", UserWarning)
    return image


def read_digit(path: str | os.PathLike[str]) -> tuple[NDArray[np.uint8], list[str]]:
    """Do what `load_image` does; return the image and a list of doubts about the picture."""
    colours, alpha = _decoded(path, _pixels)
    from PIL import Image  # an extra; `_decoded` has just made sure that it is there

    from chainrule.data.cleaning import find_ink  # needs Pillow too

    ink, doubts = find_ink(colours, alpha) or (None, [])
    image = None if ink is None else _centred(Image.fromarray(ink))
    if image is None:
        raise DataError(f"{os.fspath(path)}: nothing is drawn on it that shows at {_FIELD}×{_FIELD} pixels")
    return image.reshape(-1), doubts


def load_picture(path: str | os.PathLike[str], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Read any PNG or JPEG picture, scaled to a shape (C, H, W): in colour if C is 3, in grey if it is 1.

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
    """Give (height, width) of a PNG or JPEG picture and whether it has colours; raise as `load_image` does."""

    def look(picture: Image) -> tuple[tuple[int, int], bool]:
        seen = _on_white(_upright(picture))
        if seen.mode == "L":
            return (seen.height, seen.width), False
        red, green, blue = np.moveaxis(np.asarray(seen), -1, 0)
        return (seen.height, seen.width), bool((red != green).any() or (green != blue).any())

    return _decoded(path, look)


def _decoded(path: str | os.PathLike[str], use: Callable[[Image], T]) -> T:
    """Return ``use(picture)`` for the picture in a file, which `use` decodes; a bad picture is a DataError."""
    try:
        import PIL.Image
    except ImportError:
        raise ImportError("pictures are read by Pillow: pip install 'chainrule[image]'") from None
    name = os.fspath(path)
    expect_regular(path)
    with open(path, "rb") as file:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about damaged metadata
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


def _upright(picture: Image, *, digit: bool = False) -> Image:
    """Decode a picture that was just opened, with 8 bits per channel, rotated as its EXIF data say.

    For a digit, neither size nor brightness matters: a large JPEG is scaled down while it is decoded, and a scanner's
    10 or 12 bits, stored unscaled in 16, become 8.
    """
    from PIL import Image, ImageOps

    if picture.width * picture.height > _MOST_PIXELS:
        raise DataError(f"{picture.width}×{picture.height} is {_too_large()}")
    # A phone's JPEG may hold more than one picture (a depth map, a preview): the first is the photograph.
    if picture.format == "PNG" and getattr(picture, "n_frames", 1) > 1:
        raise DataError("an animated PNG; give it as a single picture")
    if digit:
        picture.draft(None, (_ENOUGH, _ENOUGH))
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode.startswith("I"):  # up to 16 bits per pixel; convert would clip them at 255
        values = np.asarray(picture)
        bits = max(8, int(values.max()).bit_length()) if digit else 16
        return Image.fromarray((values / (2**bits - 1) * 255).astype(np.uint8))
    return picture


def _on_white(picture: Image) -> Image:
    """Convert a picture to grey or colour, white where it is transparent."""
    from PIL import Image

    if not picture.has_transparency_data:
        return picture.convert("L" if picture.mode in ("1", "L") else "RGB")
    picture = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def _pixels(picture: Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Give the colours (height, width, 1 or 3) of a newly opened picture, upright and scaled down, and its alpha."""
    picture = _upright(picture, digit=True)
    grey = picture.mode in ("1", "L", "LA")
    picture = picture.convert("RGBA" if picture.has_transparency_data else "L" if grey else "RGB")
    picture.thumbnail((_ENOUGH, _ENOUGH))
    pixels = np.atleast_3d(np.asarray(picture))
    return pixels[..., : 1 if grey else 3], pixels[..., 3] if picture.mode == "RGBA" else None


def _centred(ink: Image) -> NDArray[np.uint8] | None:
    """Fit the ink into the box and place it in the field by its centre of mass; None if nothing is left."""
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
