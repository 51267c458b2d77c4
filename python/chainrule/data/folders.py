"""Your own pictures, in one folder per class, read as examples to train on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule._errors import DataError
from chainrule._gate import count
from chainrule._harmless import harmless
from chainrule.data.images import first_look, load_picture
from chainrule.data.own_data import OwnData
from chainrule.nn import class_names
from chainrule.nn.layers import Layer, Rescaling

#: The key in ``net.metadata``.
KEY = "picture"
_ENDINGS = (".png", ".jpg", ".jpeg")
#: The side to which pictures are scaled that differ in size or are larger than `_LARGEST`.
_SIDE, _LARGEST = 32, 64


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Pictures(OwnData):
    """The result of `load_folder`.

    Attributes
    ----------
    x : ndarray of uint8, shape (N, C, H, W)
        The pictures, 0-255. C is 3 (red, green, blue) if any of them has a colour, and 1 if none has.
    t : ndarray of int64, shape (N,)
        The class of each picture, as an index into `classes`.
    classes : tuple of str
        The names of the class folders, sorted.
    places : tuple of str
        The files, relative to the folder.
    """

    classes: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a picture, (C, H, W)."""
        channels, height, width = self.x.shape[1:]
        return channels, height, width

    @property
    def metadata(self) -> dict[str, str]:
        """What belongs in the ``metadata`` of a network trained on this; `network` puts it there."""
        return {KEY: json.dumps({"shape": self.shape}), **class_names.said(self.classes)}

    def _first_layers(self) -> Mapping[str, Layer]:
        return {"Rescaling1": Rescaling()}  # bytes to fractions

    def __repr__(self) -> str:
        """Give one line: how many pictures there are, their shape, and how many each class has."""
        counts = np.bincount(self.t, minlength=len(self.classes))
        told = ", ".join(f"{name} {n}" for name, n in list(zip(self.classes, counts, strict=True))[:10])
        more = ", …" if len(self.classes) > 10 else ""
        return harmless(f"Pictures({len(self)} of shape {self.shape}; {told}{more})")


def load_folder(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None, like: Any = None) -> Pictures:
    """Read pictures, in one folder per class, as examples to train on.

    Parameters
    ----------
    path : path-like
        A folder that holds one folder for each class. Each is named after its class and holds PNG and JPEG pictures,
        which may also be in subfolders. Files with other endings, and names that begin with a dot, are ignored.
    size : (height, width), optional
        The size to which every picture is scaled, whatever its own shape. By default the size that all pictures share,
        if that is at most 64 a side, or else (32, 32).
    like : Network or Pictures, optional
        Read the pictures in the same way as those that this network was trained on: with its classes, shape and
        colours. Some of its classes may then be absent.

    Returns
    -------
    Pictures

    Raises
    ------
    DataError
        If a picture cannot be read (the message names it), a class has no pictures, or there are fewer than two
        classes.
    ImportError
        If Pillow is not installed: it comes with the extra ``image``.
    OSError
        If the folder cannot be read.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If `size` does not hold two valid sizes, or `like` was not trained on pictures.

    Notes
    -----
    Each picture is rotated as its EXIF data say, and transparent parts become white. It is scaled as a whole: nothing
    is cut off, and its aspect ratio is not kept. If any picture has a colour, all get three channels; pictures stored
    in colour that contain only greys count as grey.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, grey in (("dark", 20), ("light", 230)):
    ...         pathlib.Path(folder, name).mkdir()
    ...         for n in range(5):
    ...             Image.new("L", (8, 8), grey + n).save(pathlib.Path(folder, name, f"{n}.png"))
    ...     pictures = load_folder(folder)
    >>> pictures
    Pictures(10 of shape (1, 8, 8); dark 5, light 5)
    """
    root = Path(path)
    known = None if like is None else _read_as(like)
    if known is not None and size is not None:
        raise ValueError("size is known to what the folder is to be like; leave it out")
    wanted = None if size is None else _size(size)
    found = _classes(root)
    if known is None:
        if len(found) < 2:
            there = f"only {next(iter(found))!r}" if found else "none"
            raise DataError(f"{root}: holds {there} of the folders with pictures, one for each class, that it takes")
        names = tuple(found)
        files = [(file, c) for c, name in enumerate(names) for file in found[name]]
        shape = _common_shape([file for file, _ in files], wanted)
    else:
        names, shape = known
        if strange := [name for name in found if name not in names]:
            raise DataError(f"{root}: the network has no class {strange[0]!r}; it has {', '.join(map(repr, names))}")
        files = [(file, names.index(name)) for name in found for file in found[name]]
    x = np.empty((len(files), *shape), np.uint8)
    for picture, (file, _) in zip(x, files, strict=True):
        picture[...] = load_picture(file, shape)
    places = tuple(file.relative_to(root).as_posix() for file, _ in files)
    return Pictures(x=x, t=np.array([c for _, c in files], np.int64), classes=names, places=places)


def shape_of(net: Any) -> tuple[int, int, int] | None:
    """Give the shape (C, H, W) of the pictures that a network was trained on; None if its metadata name none."""
    text = net.metadata.get(KEY)
    if text is None:
        return None
    try:
        channels, height, width = (count(size, "a size") for size in json.loads(text)["shape"])
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"the network's metadata {KEY!r} do not hold together: {error}") from None
    if channels not in (1, 3):
        raise DataError(f"the network's metadata {KEY!r} do not hold together: pictures of {channels} channels")
    return channels, height, width


def _read_as(like: Any) -> tuple[tuple[str, ...], tuple[int, int, int]]:
    """Give the classes and the shape of `like`, a network or pictures."""
    if isinstance(like, Pictures):
        return like.classes, like.shape
    if not hasattr(like, "metadata"):
        raise TypeError(f"like must be a Network or Pictures, got {type(like).__name__}")
    shape, names = shape_of(like), class_names.listed(like)
    if shape is None or names is None:
        raise ValueError("the network was not trained on a folder: its metadata say nothing of pictures or classes")
    return tuple(names), shape


def _size(size: Any) -> tuple[int, int]:
    if not (isinstance(size, tuple | list) and len(size) == 2):
        raise TypeError(f"size must be a pair (height, width), got {size!r}")
    height, width = (count(side, "a side of size") for side in size)
    return height, width


def _classes(root: Path) -> dict[str, list[Path]]:
    """Give the files of each class; classes and files are sorted by name."""
    if not root.is_dir():
        number = errno.ENOTDIR if root.exists() else errno.ENOENT
        raise OSError(number, os.strerror(number), os.fspath(root))
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    found = {}
    for folder in folders:
        files = sorted(file for file in folder.rglob("*") if _is_picture(file.relative_to(root)) and file.is_file())
        if not files:
            raise DataError(f"{folder}: holds no PNG or JPEG picture, so there is nothing to learn its class from")
        found[folder.name] = files
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in _ENDINGS and not any(part.startswith(".") for part in path.parts)


def _common_shape(files: Sequence[Path], size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Give the shape (C, H, W) that all pictures are to have."""
    looks = [first_look(file) for file in files]
    channels = 3 if any(coloured for _, coloured in looks) else 1
    if size is None:
        sizes = {size for size, _ in looks}
        one = sizes.pop() if len(sizes) == 1 else (_LARGEST + 1, 0)
        size = one if max(one) <= _LARGEST else (_SIDE, _SIDE)
    return channels, *size
