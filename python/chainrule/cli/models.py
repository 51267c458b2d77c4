"""A trained network from a file, and images as it reads them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, numbers
from chainrule.nn.layers import Affine, AveragePooling, Convolution, Pooling, Rescaling, Reshape
from chainrule.nn.network import Network
from chainrule.storage.model_files import load

#: Layers before which the shape of an example must be known.
_OF_A_SHAPE = (Affine, Reshape, Convolution, Pooling, AveragePooling)


class Model:
    """A network, which takes images of bytes if it begins with a Rescaling, and else of numbers in 0-1.

    The first is what ``chainrule train`` makes, the second what is trained on ``load_mnist()`` as it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.net: Network = load(path)
        layers = list(self.net.layers.values())
        self._reads_bytes = type(layers[0]) is Rescaling if layers else False
        first = next((layer for layer in layers if isinstance(layer, _OF_A_SHAPE)), None)
        if not isinstance(first, Affine | Reshape):
            raise ValueError(
                f"{path}: no Affine or Reshape layer is the first that wants a shape, so how many pixels it reads is"
                " not known; for images, put Reshape((channels, height, width)) in front"
            )
        self.features = len(first.W) if isinstance(first, Affine) else math.prod(first.shape)

    def images(self, array: Any, name: str) -> NDArray[Any]:
        """Give an array of images, in any shape that holds whole ones, as rows of pixels that the network reads."""
        array = numbers(array, name)
        ways = (k for k in range(array.ndim) if math.prod(array.shape[k:]) == self.features)
        leading = next(ways, None)
        if leading is None:
            raise ValueError(
                f"{name}: shape {array.shape} holds no images of the {self.features} pixels {self.path} reads"
            )
        array = array.reshape(-1, self.features)
        most = 255 if array.dtype.kind in "iu" else 1
        outside = ~((array >= 0) & (array <= most))  # written so that nan is outside
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
        """Give the scores of the classes, a row an image, all finite."""
        with np.errstate(all="ignore"):
            scores: FloatArray = self.net.predict(x)
        if not np.isfinite(scores).all():
            raise ValueError(f"{self.path}: gives scores that are not finite; its parameters are damaged")
        return scores
