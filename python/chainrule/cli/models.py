"""A trained network from a file, and its input: rows of images, or data of the kind it was trained on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, numbers
from chainrule.data.folders import Pictures, load_folder, shape_of
from chainrule.data.tables import KEY as COLUMNS
from chainrule.data.tables import Table, load_table
from chainrule.nn.class_names import names_of
from chainrule.nn.layers import Affine, AveragePooling, Convolution, Pooling, Rescaling, Reshape
from chainrule.nn.network import Network
from chainrule.storage.model_files import load

#: Layers that need to know the shape of an example.
_OF_A_SHAPE = (Affine, Reshape, Convolution, Pooling, AveragePooling)


class Model:
    """A network that takes images as bytes if it begins with a Rescaling, and as numbers in 0-1 otherwise.

    ``chainrule train`` makes the first kind; a network trained on ``load_mnist()`` as it is belongs to the second. The
    metadata of a network say whether it was trained on the user's own table or pictures.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.net: Network = load(path)
        #: Whether it was trained on a table; and the shape (C, H, W) of the pictures it was trained on.
        self.of_table, self.picture = COLUMNS in self.net.metadata, shape_of(self.net)
        layers = list(self.net.layers.values())
        self._reads_bytes = type(layers[0]) is Rescaling if layers else False
        first = next((layer for layer in layers if isinstance(layer, _OF_A_SHAPE)), None)
        if not isinstance(first, Affine | Reshape):
            raise ValueError(
                f"{path}: no Affine or Reshape layer is the first that wants a shape, so how many pixels it reads is"
                " not known; for images, put Reshape((channels, height, width)) in front"
            )
        self.features = len(first.W) if isinstance(first, Affine) else math.prod(first.shape)

    @property
    def own(self) -> bool:
        """Whether it was trained on the user's own data."""
        return self.of_table or self.picture is not None

    def read(self, path: str) -> Table | Pictures:
        """Read a CSV file or a folder of pictures in the same way as the training data."""
        if Path(path).exists() and Path(path).is_dir() == self.of_table:
            got, wanted = ("a folder", "a CSV file") if self.of_table else ("a file", "a folder of pictures")
            raise ValueError(f"{path}: is {got}; {self.path} was trained on {wanted}")
        own: Table | Pictures = load_table(path, like=self.net) if self.of_table else load_folder(path, like=self.net)
        return own

    def rows(self, own: Table | Pictures) -> NDArray[Any]:
        """Give such examples in the form that the network takes."""
        x = own.x.reshape(len(own), -1)
        if x.shape[1] != self.features:
            raise ValueError(
                f"{self.path}: reads {self.features} numbers, its metadata make {x.shape[1]} of an example"
            )
        return x if self.of_table else self.images(x, "the pictures")

    def names(self, classes: int) -> list[str] | None:
        """Give the names of its classes, if they are in its metadata."""
        return names_of(self.net, classes)

    def images(self, array: Any, name: str) -> NDArray[Any]:
        """Give an array of whole images, of any shape, as the rows of pixels that the network takes."""
        array = numbers(array, name)
        ways = (k for k in range(array.ndim) if math.prod(array.shape[k:]) == self.features)
        leading = next(ways, None)
        if leading is None:
            raise ValueError(
                f"{name}: shape {array.shape} holds no images of the {self.features} pixels {self.path} reads"
            )
        array = array.reshape(-1, self.features)
        most = 255 if array.dtype.kind in "iu" else 1
        outside = ~((array >= 0) & (array <= most))  # in this form, nan counts as outside
        if outside.any():
            kind = "whole numbers lie in 0-255" if most == 255 else "fractions lie in 0-1"
            raise ValueError(f"{name}: pixels that are {kind}, got {array[outside][0]}")
        if most == 255 and self._reads_bytes:
            return np.asarray(array, np.uint8)
        x = np.array(array, np.float32)
        if most == 255:
            x /= 255  # as load_mnist does it
        elif self._reads_bytes:
            x *= 255
        return x

    def scores(self, x: FloatArray) -> FloatArray:
        """Give the scores of the classes, one row per image, all finite."""
        with np.errstate(all="ignore"):
            scores: FloatArray = self.net.predict(x)
        if not np.isfinite(scores).all():
            raise ValueError(f"{self.path}: gives scores that are not finite; its parameters are damaged")
        return scores
