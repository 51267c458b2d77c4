"""Data sets like MNIST that are not in the package: where to download them, and how to verify what came.

The digests are those of the files as published, compressed; TensorFlow Datasets lists them in its ``url_checksums/``.
The letters come in one archive with five other sets. They are extracted and corrected: the images, which are stored
sideways and mirrored, are turned upright, and the labels 1 to 26 become 0 to 25.

Sources: Xiao, Rasul, Vollgraf, "Fashion-MNIST", 2017; Clanuwat et al., "Deep learning for classical Japanese
literature", 2018 (KMNIST, CC BY-SA 4.0); Cohen et al., "EMNIST: an extension of MNIST to handwritten letters", 2017.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._warn import warn
from chainrule.data import download
from chainrule.data.idx import parse_idx, read_idx
from chainrule.data.mnist import cache_folder, key_file

LETTERS = "emnist-letters"
_ARCHIVE = "gzip.zip"
_BLOCK = 2**20


class Source(NamedTuple):
    """Where a data set is: the URLs of its folders, and the size in bytes and the SHA-256 of each file in them."""

    mirrors: Sequence[str]
    files: Mapping[str, tuple[int, str]]


def _four(*proofs: tuple[int, str]) -> dict[str, tuple[int, str]]:
    return dict(zip(key_file.values(), proofs, strict=True))


SETS = {
    "fashion-mnist": Source(
        (
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        ),
        _four(
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
    ),
    "kmnist": Source(
        ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
        _four(
            (18_165_135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
            (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
            (3_041_136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
            (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
        ),
    ),
    LETTERS: Source(
        (
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ),
        {_ARCHIVE: (561_753_746, "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e")},
    ),
}


def set_folder(name: str) -> Path:
    """Give the default folder of a data set: below `CHAINRULE_DATA_DIR`, or else in the user's cache."""
    if chosen := os.environ.get("CHAINRULE_DATA_DIR"):
        return Path(chosen, name)
    return cache_folder(name)


def download_set(name: str, dest: str | os.PathLike[str] | None = None) -> Path:
    """Download a data set of `SETS` into a folder for `load_mnist`; files that are already there and right are kept.

    Parameters
    ----------
    name : str
        "fashion-mnist", "kmnist" or "emnist-letters".
    dest : path-like, optional
        The folder, created if necessary; by default that of `set_folder`.

    Returns
    -------
    pathlib.Path
        The folder, with four files that have MNIST's names.

    Raises
    ------
    DownloadError, DataError, OSError
        As for `chainrule.data.mnist.download_mnist`.

    Warns
    -----
    UserWarning
        If a file was there but wrong: the old one was set aside as ``<name>.bad``.

    Notes
    -----
    The letters' archive has 562 MB and is kept in a temporary file until the letters have been extracted. The time
    limit for the download is what it takes at half a megabyte per second.
    """
    source, folder = SETS[name], set_folder(name) if dest is None else Path(dest)
    if name == LETTERS:
        _fetch_letters(source, folder)
    else:
        sizes = {file: size for file, (size, _) in source.files.items()}
        download.fetch(folder, sizes, lambda file, body: _prove(source, file, body), source.mirrors)
    return folder


def faults_of(name: str, folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each of the four files of a data set in `folder`, and what is wrong with it ("" if nothing).

    The files of the letters are made here: they are checked for being whole, for the right checksum, and for belonging
    together. All other files must be byte for byte as published.
    """
    for split in ("train", "test"):
        images, labels = (folder / key_file[f"{split}_{kind}"] for kind in ("img", "label"))
        for path in (images, labels):
            fault = ""
            try:
                if name == LETTERS:
                    _expect_letters(path, images, labels)
                else:
                    with open(path, "rb") as file:
                        _prove(SETS[name], path.name, file)
            except FileNotFoundError:
                fault = "missing"
            except DataError as error:
                fault = str(error).removeprefix(f"{folder}{os.sep}").partition(": ")[2]  # after the name
            yield path, fault


def _prove(source: Source, name: str, file: BinaryIO) -> None:
    """Refuse `file`, called `name`, unless it is byte for byte as published."""
    import hashlib

    size, sha256 = source.files[name]
    digest, got = hashlib.sha256(), 0
    while piece := file.read(min(_BLOCK, size + 1 - got)):
        digest.update(piece)
        got += len(piece)
        if got > size:
            raise DataError(f"{name}: holds more than the {size} bytes it must hold")
    if digest.hexdigest() != sha256:
        raise DataError(f"{name}: not what was published: SHA-256 is {digest.hexdigest()}, must be {sha256}")


# --- letters ---


def _fetch_letters(source: Source, folder: Path) -> None:
    """Download the archive and extract the letters, unless they are there."""
    import tempfile

    found = dict(faults_of(LETTERS, folder))
    if not any(found.values()):
        return
    path, fault = next((path, fault) for path, fault in found.items() if fault)
    download.expect_online(path, "" if fault == "missing" else f"{path.name}: {fault}", "")
    size, _ = source.files[_ARCHIVE]
    with tempfile.TemporaryFile() as archive:
        download.fetch_into(archive, _ARCHIVE, size, lambda name, body: _prove(source, name, body), source.mirrors)
        made = _upright_letters(archive)
    for path, fault in found.items():
        if fault:
            wrong = fault != "missing"
            download.put(path, made[path.name], set_aside=wrong)
            if wrong:
                warn(f"{path.name}: {fault}; set aside as {path.name}.bad, in {folder}", UserWarning)


def _upright_letters(archive: BinaryIO) -> dict[str, bytes]:
    """Give the contents of the four gzipped files, by MNIST's names, with upright images and labels from 0."""
    import zipfile

    made = {}
    archive.seek(0)
    try:
        with zipfile.ZipFile(archive) as zipped:
            for split in ("train", "test"):
                images = _member(zipped, f"gzip/emnist-letters-{split}-images-idx3-ubyte.gz", rank=3)
                labels = _member(zipped, f"gzip/emnist-letters-{split}-labels-idx1-ubyte.gz", rank=1)
                if len(images) != len(labels) or not ((labels >= 1) & (labels <= 26)).all():
                    raise DataError(f"{_ARCHIVE}: the letters' labels are not 1 to 26, one for each image")
                made[key_file[f"{split}_img"]] = _gzipped(images.transpose(0, 2, 1))
                made[key_file[f"{split}_label"]] = _gzipped(labels - 1)
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{_ARCHIVE}: {error}") from None
    return made


def _member(zipped: Any, name: str, rank: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes in an archive."""
    array = parse_idx(io.BytesIO(zipped.read(name)), name)
    if array.dtype != np.uint8 or array.ndim != rank:
        raise DataError(f"{name}: holds {array.dtype} of shape {array.shape}, must hold uint8 with {rank} axes")
    return array


def _gzipped(array: NDArray[np.uint8]) -> bytes:
    """Write an array of bytes as IDX, gzipped."""
    import gzip

    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes(), compresslevel=6, mtime=0)


def _expect_letters(path: Path, images: Path, labels: Path) -> None:
    """Refuse the file at `path`, one of `images` and `labels`, unless it is whole and fits the other."""
    array = read_idx(path)
    rank = 3 if path == images else 1
    if array.dtype != np.uint8 or array.ndim != rank:
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, must hold uint8 with {rank} axes")
    if path == labels:
        if (array > 25).any() or not (array == 0).any():
            raise DataError(f"{path}: labels must be 0 to 25; those of the original, 1 to 26, are mended by fetch")
        if images.exists() and len(array) != len(read_idx(images)):
            raise DataError(f"{path}: has {len(array)} labels, {images.name} has another number of images")
