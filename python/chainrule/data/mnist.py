"""MNIST's handwritten digits, read from the package, from a folder of your own, or downloaded.

The four files of MNIST come with the package, so `load_mnist` needs no download, no cache and no network.

Source: the tutorial's loader section; Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule.data.idx import Gunzip, expect_regular, parse_idx, read_idx

# pathlib and the download code are imported where they are used: `import chainrule` would be a quarter slower.
if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "download_mnist",
    "img_dim",
    "img_size",
    "init_mnist",
    "key_file",
    "load_mnist",
    "read_idx",
    "test_num",
    "train_num",
]

Examples: TypeAlias = tuple[NDArray[Any], NDArray[Any]]

key_file = {
    "train_img": "train-images-idx3-ubyte.gz",
    "train_label": "train-labels-idx1-ubyte.gz",
    "test_img": "t10k-images-idx3-ubyte.gz",
    "test_label": "t10k-labels-idx1-ubyte.gz",
}
train_num = 60000
test_num = 10000
img_dim = (1, 28, 28)
img_size = 784

_PACKAGED = os.path.join(os.path.dirname(__file__), "files")

# Size and SHA-256 of the content of each gzip file: every mirror compresses it anew, the content never changes.
_CONTENT = {
    key_file["train_img"]: (47_040_016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    key_file["train_label"]: (60_008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    key_file["test_img"]: (7_840_016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    key_file["test_label"]: (10_008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}

#: Downloaded files whose folder could not be written, by the paths that they were meant for.
_IN_MEMORY: dict[str, bytes] = {}


def load_mnist(
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> tuple[Examples, Examples]:
    """Load MNIST, or a data set in its format, as ``(x_train, t_train), (x_test, t_test)``.

    Parameters
    ----------
    normalize : bool
        True: float32 pixels in 0.0-1.0, the byte divided by 255. False: the bytes themselves, uint8 in 0-255.
    flatten : bool
        True: one row per image, (N, 784). False: (N, 1, 28, 28), where the 1 is the colour channel. Images of
        another size in `data_dir` keep their own rows × columns.
    one_hot_label : bool
        True: float64 labels (N, 10), with a 1 in the column of the digit. False: the digits themselves, uint8
        (N,).
    data_dir : path-like, optional
        A folder with four IDX files named as in `key_file`, gzipped or raw, with or without ``.gz`` at the end of the
        name (if both are present, the ``.gz`` is read). The name may have a dot instead of the dash before ``idx``. By
        default the MNIST that comes with the package.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuples of ndarray
        60000 and 10000 examples for MNIST. C-contiguous, writable, new at every call.

    Raises
    ------
    DataError
        If a file is not whole (see `read_idx`) or does not hold uint8 images (N, rows, columns) or labels (N,), if
        there are not as many labels as images, or if one-hot labels are asked for and a label is above 9.
    FileNotFoundError
        If a file is missing from `data_dir`; the message names the folder and the expected file names.

    Notes
    -----
    Takes 0.1 s, most of it for decompression; normalised images take another 0.1 to 0.3 s and 220 MB (train and test).
    Source: the tutorial's ``load_mnist``; `dataset/mnist.py` of deep-learning-from-scratch.

    Examples
    --------
    >>> (x_train, t_train), (x_test, t_test) = load_mnist()
    >>> x_train.shape, x_train.dtype, x_test.shape
    ((60000, 784), dtype('float32'), (10000, 784))
    >>> t_train[:5].tolist()
    [5, 0, 4, 1, 9]
    """
    train = load_split("train", normalize, flatten, one_hot_label, data_dir=data_dir)
    test = load_split("test", normalize, flatten, one_hot_label, data_dir=data_dir)
    return train, test


def init_mnist() -> None:
    """Make sure that the package's four files are whole: the SHA-256 of the content of each must be MNIST's.

    In the tutorial, the function of this name prepares a cache. Here there is nothing to prepare, and nothing is
    written.

    Raises
    ------
    DataError
        If a file is missing or its content is not MNIST's.

    Examples
    --------
    >>> init_mnist()
    """
    for path, fault in faults(packaged_folder()):
        if fault:
            raise DataError(f"{path.name}: {fault} ({path.parent}); install chainrule again")


def packaged_folder() -> Path:
    """Give the folder with the package's own four files."""
    from pathlib import Path

    return Path(_PACKAGED)


def data_folder() -> Path:
    """Give the default folder of `download_mnist`: `CHAINRULE_DATA_DIR`, or else one in the user's cache."""
    from pathlib import Path

    if chosen := os.environ.get("CHAINRULE_DATA_DIR"):
        return Path(chosen)
    return cache_folder("mnist")


def cache_folder(name: str) -> Path:
    """Give a folder in the user's cache; without a home folder, one below ``~`` that cannot be written."""
    from pathlib import Path

    import platformdirs

    try:
        return Path(platformdirs.user_cache_dir("chainrule"), name)
    except RuntimeError:  # older versions leave the ~ as it is
        return Path("~", ".cache", "chainrule", name)


def faults(folder: Path) -> Iterator[tuple[Path, str]]:
    """Yield each of MNIST's four files in `folder`, gzipped or raw, and what is wrong with it ("" if nothing)."""
    for name in _CONTENT:
        path, fault = folder / name, ""
        try:
            path = _find(folder, name)
            expect_regular(path)
            with open(path, "rb") as file:
                _check_content(path.name.replace(".idx", "-idx"), file)
        except FileNotFoundError:
            fault = "missing"
        except DataError as error:
            fault = str(error).partition(": ")[2]  # after the name
        yield path, fault


def download_mnist(dest: str | os.PathLike[str] | None = None) -> Path:
    """Download the four MNIST files into a folder; files that are already there and right are kept.

    Nothing in the package needs this: `load_mnist` reads the copy that is installed with it. Use it to get the files
    for other programs; ``load_mnist(data_dir=download_mnist())`` reads them back.

    Parameters
    ----------
    dest : path-like, optional
        The folder, created if necessary. By default the one that the environment variable ``CHAINRULE_DATA_DIR`` names,
        or else ``mnist`` in the user's cache folder for chainrule.

    Returns
    -------
    pathlib.Path
        The folder. The SHA-256 of every file was checked before the file got its name. If the cache cannot be written,
        `load_mnist` reads the files from memory under this name, as long as the process lives.

    Raises
    ------
    DownloadError
        If every mirror fails, or ``CHAINRULE_OFFLINE=1`` is set and a file is missing. Existing files are not
        changed; files already downloaded in this call stay.
    DataError
        If ``CHAINRULE_OFFLINE=1`` is set and a file is there but wrong.
    OSError
        If you named the folder and it cannot be written.

    Warns
    -----
    UserWarning
        If a file was there but wrong (or a symbolic link, which is not followed): it was fetched again, and
        the old one was set aside as ``<name>.bad``.
    RuntimeWarning
        If the cache cannot be written, or there is none: the files are in memory, and no other program finds them.

    Notes
    -----
    A mirror gets three tries, at most 30 s without a byte and 120 s per file in all; then the next mirror is tried. A
    progress bar appears on stderr if that is a terminal.

    Examples
    --------
    >>> folder = download_mnist("digits")  # doctest: +SKIP
    """
    from pathlib import Path

    # Nothing else needs it: see the top of this module.
    from chainrule.data import download

    folder = data_folder() if dest is None else Path(dest)
    named = dest is not None or os.environ.get("CHAINRULE_DATA_DIR")
    sizes = {name: size for name, (size, _) in _CONTENT.items()}
    download.fetch(folder, sizes, _check_content, memory=None if named else _IN_MEMORY)
    return folder


def load_split(
    split: str,
    normalize: bool = True,
    flatten: bool = True,
    one_hot_label: bool = False,
    *,
    data_dir: str | os.PathLike[str] | None = None,
) -> Examples:
    """Load the images and labels of one `split`, "train" or "test"; `load_mnist` loads both."""
    from pathlib import Path

    folder = Path(_PACKAGED if data_dir is None else data_dir)
    image_path, label_path = (
        path if str(path) in _IN_MEMORY else _find(folder, path.name)
        for path in (folder / key_file[f"{split}_img"], folder / key_file[f"{split}_label"])
    )
    images = _bytes_of_rank(image_path, 3, "images (N, rows, columns)")
    labels = _bytes_of_rank(label_path, 1, "labels (N,)")
    if len(images) != len(labels):
        raise DataError(
            f"{image_path} has {len(images)} images, {label_path} has {len(labels)} labels; the numbers must be equal"
        )
    n, rows, columns = images.shape
    x: NDArray[Any] = images.reshape((n, rows * columns) if flatten else (n, 1, rows, columns))
    if normalize:
        x = np.divide(x, np.float32(255), dtype=np.float32)
    return x, _one_hot(labels, label_path) if one_hot_label else labels


def is_there(folder: Path) -> bool:
    """Tell whether `folder` has four files with MNIST's names."""
    try:
        return all(_find(folder, name) for name in _CONTENT)
    except FileNotFoundError:
        return False


def _find(folder: Path, name: str) -> Path:
    """Find the file `name` in `folder`, gzipped or raw, with a dash or, as in some downloads, a dot before ``idx``."""
    raw = name.removesuffix(".gz")
    found = [path for spelt in (name, raw, _dotted(name), _dotted(raw)) if (path := folder / spelt).exists()]
    if found:  # an archive of the files has folders with the same names beside them
        return next((path for path in found if not path.is_dir()), found[0])
    if not folder.is_dir():
        text = f"no such folder; it should hold {', '.join(key_file.values())}, gzipped or not"
    else:
        text = f"neither {name} nor {raw} is in this folder, which should hold {', '.join(key_file.values())}"
    raise FileNotFoundError(errno.ENOENT, text, str(folder))


def _dotted(name: str) -> str:
    """Give a file's name in the form that some downloads have: train-images.idx3-ubyte."""
    return name.replace("-idx", ".idx")


def _bytes_of_rank(path: Path, rank: int, wanted: str) -> NDArray[np.uint8]:
    """Read the IDX file at `path`; refuse anything but uint8 with `rank` axes."""
    body = _IN_MEMORY.get(str(path))
    array = read_idx(path) if body is None else parse_idx(io.BytesIO(body), str(path))
    if array.dtype != np.uint8 or array.ndim != rank:
        raise DataError(f"{path}: holds {array.dtype} of shape {array.shape}, must hold uint8 {wanted}")
    return array


def _one_hot(labels: NDArray[np.uint8], path: Path) -> NDArray[np.float64]:
    """Give `labels` (N,) as rows of ten, with a 1 in the column of the label."""
    if (labels > 9).any():
        row = int(np.argmax(labels > 9))
        raise DataError(
            f"{path}: label {labels[row]} at row {row}; one-hot labels have 10 columns, for 0..9"
            " (load with one_hot_label=False to get the numbers)"
        )
    rows = np.zeros((len(labels), 10))
    rows[np.arange(len(labels)), labels] = 1
    return rows


def _check_content(name: str, file: BinaryIO) -> None:
    """Refuse `file` unless its content is MNIST's, byte for byte; it is gzipped if `name` ends in ``.gz``."""
    import hashlib

    zipped = name.endswith(".gz")
    size, sha256 = _CONTENT[name if zipped else f"{name}.gz"]
    source, digest, got = Gunzip(file, name) if zipped else file, hashlib.sha256(), 0
    while piece := source.read(min(2**20, size + 1 - got)):
        digest.update(piece)
        got += len(piece)
        if got > size:
            raise DataError(f"{name}: holds more than the {size} bytes it must hold")
    if digest.hexdigest() != sha256:
        raise DataError(f"{name}: not MNIST's: SHA-256 of the content is {digest.hexdigest()}, must be {sha256}")
