"""The layers that change the shape of an example and leave its numbers alone."""

from __future__ import annotations

import math
from typing import Any

from chainrule._gate import FloatArray, count, floats
from chainrule.nn.layers.base import BaseLayer, incoming, remembered


class Reshape(BaseLayer):
    """``out = x.reshape(N, *shape)``: rows of pixels become images. dL/dx = dout, in x's shape.

    Parameters
    ----------
    shape : tuple of int
        The shape of one example, such as (1, 28, 28).

    Raises
    ------
    TypeError, ValueError
        If `shape` is not a tuple of whole numbers above 0.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((1, 2, 2)).forward(np.arange(4.0).reshape(1, 4))
    array([[[[0., 1.],
             [2., 3.]]]])
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        if not isinstance(shape, tuple | list):
            raise TypeError(f"shape must be a tuple of whole numbers, got {shape!r}")
        self.shape = tuple(count(size, "a size of shape") for size in shape)
        self._given: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x")
        given = x.shape
        one = self._one(given)
        *_, shape = self._described(given if one else given[1:])
        self._given = given
        out: FloatArray = x.reshape(shape if one else (len(x), *shape)).copy()
        return out

    def backward(self, dout: Any) -> FloatArray:
        given = remembered(self._given, self)
        one = self._one(given)
        *_, shape = self._described(given if one else given[1:])
        dx: FloatArray = incoming(dout, shape if one else (given[0], *shape)).reshape(given).copy()
        return dx

    def _one(self, shape: tuple[int, ...]) -> bool:
        return len(shape) == 1 or shape == self.shape

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        if math.prod(shape) != math.prod(self.shape):
            raise ValueError(
                f"an example of shape {shape} cannot be reshaped to {self.shape}, which has {math.prod(self.shape)}"
                " numbers"
            )
        return (), (), self.shape


class Flatten(BaseLayer):
    """``out = x.reshape(N, D)``: one row of numbers for each example. dL/dx = dout, in x's shape.

    `Affine` flattens its input by itself. Use `Flatten` to show this step in a drawing, or in front of another layer.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten().forward(np.ones((5, 3, 2, 2))).shape
    (5, 12)
    """

    def __init__(self) -> None:
        self._given: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        x = floats(x, "x")
        if x.ndim == 0:
            raise ValueError("x must have an axis of features, got a single number")
        self._given = x.shape
        out: FloatArray = (x if x.ndim == 1 else x.reshape(len(x), math.prod(x.shape[1:]))).copy()
        return out

    def backward(self, dout: Any) -> FloatArray:
        given = remembered(self._given, self)
        shape = given if len(given) == 1 else (given[0], math.prod(given[1:]))
        dx: FloatArray = incoming(dout, shape).reshape(given).copy()
        return dx

    def _one(self, shape: tuple[int, ...]) -> bool:
        return False

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        return (), (), (math.prod(shape),)
