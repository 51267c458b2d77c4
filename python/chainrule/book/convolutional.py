"""The common part of the book's two convolutional networks: accuracy in batches, sizes, and weights in files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from chainrule._errors import DataError
from chainrule._gate import FloatArray, count, numbers
from chainrule.book.network import BookNetwork
from chainrule.nn.losses import accuracy_of
from chainrule.storage.atomic_write import write_whole
from chainrule.storage.book_weights import read_book_weights

_KEYS = ("filter_num", "filter_size", "pad", "stride")


class ConvNetwork(BookNetwork):
    """A network of images, shape (N, C, H, W)."""

    def accuracy(self, x: Any, t: Any, batch_size: int = 100) -> float:
        """Give the share, 0.0-1.0, of images whose largest score belongs to the right class.

        Parameters
        ----------
        x : array_like, shape (N, C, H, W)
            Images: all of them count, whatever N is.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions.
        batch_size : int, default 100
            How many images go through the network at once; it does not change the result.

        Raises
        ------
        TypeError, ValueError
            As for `loss`; also if there are no images.
        """
        x, size = numbers(x, "x"), count(batch_size, "batch_size")
        if x.ndim == 0 or len(x) == 0:
            raise ValueError(f"the accuracy of an empty batch is not defined, got x.shape={x.shape}")
        scores = [self.predict(x[start : start + size]) for start in range(0, len(x), size)]
        return accuracy_of(np.concatenate(scores), t)

    def save_params(self, file_name: str | os.PathLike[str] = "params.pkl") -> None:
        """Write the parameters as the book does, as a pickled dict of arrays; an existing file is replaced atomically.

        Parameters
        ----------
        file_name : path-like
            Relative to the current folder.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file stays as it was.
        """
        import pickle

        write_whole(file_name, pickle.dumps(dict(self.params)))

    def load_params(self, file_name: str | os.PathLike[str] = "params.pkl") -> None:
        """Read the parameters from a file of `save_params`, or of the book, without running any code in it.

        Parameters
        ----------
        file_name : path-like
            Relative to the current folder.

        Raises
        ------
        DataError
            If the file is not a pickled dict of arrays, or its names are not those of this network.
        OSError
            If the file cannot be read.
        ValueError
            If an array does not have the same shape as in this network. Nothing is changed then.
        """
        found = read_book_weights(file_name)
        if found.keys() != self.params.keys():
            held, own = (", ".join(map(repr, params)) for params in (found, self.params))
            raise DataError(f"{os.fspath(file_name)}: holds {held}; the network has {own}")
        self.params.update(found)

    def _hold_drawn(self, number: int, key: Any, scale: Any, shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
        """Draw the weights of layer `key`, make zeros for its biases, and give both."""
        outputs = shape[0] if len(shape) == 4 else shape[1]
        W, b = f"W{number}", f"b{number}"
        self._places |= {W: (key, "W"), b: (key, "b")}
        return self._hold(W, scale * np.random.randn(*shape)), self._hold(b, np.zeros(outputs))


def conv_param(filter_num: int, filter_size: int, pad: int, stride: int) -> Mapping[str, int]:
    """Give the book's ``conv_param`` in a form that, as a default, cannot be changed by accident."""
    return MappingProxyType(dict(zip(_KEYS, (filter_num, filter_size, pad, stride), strict=True)))


def in_order(param: Any, name: str) -> tuple[int, int, int, int]:
    """Give filter_num, filter_size, pad and stride of a ``conv_param``; an error names what is missing or wrong."""
    if not isinstance(param, Mapping) or any(key not in param for key in _KEYS):
        raise ValueError(f"{name} must be a dict with {', '.join(_KEYS)}, got {param!r}")
    number, size, pad, stride = (count(param[key], f"{name}[{key!r}]", least=int(key != "pad")) for key in _KEYS)
    return number, size, pad, stride


def after(size: tuple[int, int], window: int, stride: int, pad: int, what: str) -> tuple[int, int]:
    """Give the height and width of the output of a window; raise ValueError if nothing remains."""
    h, w = ((side + 2 * pad - window) // stride + 1 for side in size)
    if min(h, w) < 1:
        raise ValueError(f"{what}: a window of {window}×{window} is larger than the image of {size[0]}×{size[1]}")
    return h, w


def image_shape(input_dim: Any) -> tuple[int, int, int]:
    """Give channels, height and width."""
    if not isinstance(input_dim, tuple | list) or len(input_dim) != 3:
        raise ValueError(f"input_dim must be (channels, height, width), got {input_dim!r}")
    C, H, W = (count(size, "input_dim") for size in input_dim)
    return C, H, W
