"""What is common to the layers whose arithmetic is a Rust kernel, the same kernel that `fit` runs."""

from __future__ import annotations

import math
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, fill, floats, parameter
from chainrule.nn.layers.base import BaseLayer, incoming, kept, remembered

#: The description of a layer for Rust: its name, sizes and numbers.
_Description: TypeAlias = tuple[str, list[int], list[float]]


class KernelLayer(BaseLayer):
    """A layer that gives its description for Rust and the names of its arrays; this class does the rest."""

    #: Its name in Rust.
    kernel: ClassVar[str]
    #: The arrays that it learns, and those that only follow the data; Rust takes them in this order.
    learnt: ClassVar[tuple[str, ...]] = ()
    statistics: ClassVar[tuple[str, ...]] = ()

    x: Any
    #: Of the last forward pass: its description, what it remembers, whether it was for training, the output's shape.
    _pass: tuple[_Description, tuple[FloatArray, NDArray[np.uint32]], bool, tuple[int, ...]] | None

    def _begin(self) -> None:
        """Start with no forward pass to go back through."""
        self.x = self._pass = None
        for name in self.learnt:
            setattr(self, f"d{name}", None)

    def _arrays(self) -> list[FloatArray]:
        dtype = floats(getattr(self, self.learnt[0]), self.learnt[0]).dtype if self.learnt else None
        return [floats(getattr(self, name), name, dtype) for name in (*self.learnt, *self.statistics)]

    def _run(self, x: Any, training: bool = True) -> FloatArray:
        """Give the output, and keep what the backward pass needs."""
        arrays, given = self._arrays(), x
        x = floats(x, "x", arrays[0].dtype if arrays else None)
        if x.ndim == 0:
            raise ValueError("x must have an axis of features, got a single number")
        one = self._one(x.shape)
        rows, shape = self._rows(x), x.shape if one else x.shape[1:]
        sizes, numbers, out_shape = self._described(shape)
        described = self.kernel, list(sizes), list(numbers)
        outputs, *memory = _kernels.layer_sizes(described, len(rows), rows.shape[1])
        out: FloatArray = np.empty((len(rows), outputs), x.dtype)
        remembers = np.empty(memory[0], x.dtype), np.empty(memory[1], np.uint32)
        _kernels.layer_forward(described, arrays, rows, out, *remembers, training)
        out = out.reshape(out_shape if one else (len(rows), *out_shape))
        self.x, self._pass = kept(x, given), (described, remembers, training, out.shape)
        return out

    def _rows(self, x: FloatArray) -> FloatArray:
        """Give `x` with one row for each example."""
        return x.reshape(1, x.size) if self._one(x.shape) else x.reshape(len(x), math.prod(x.shape[1:]))

    def backward(self, dout: Any) -> FloatArray:
        described, remembers, training, shape = remembered(self._pass, self)
        x, arrays = self.x, self._arrays()
        dout = incoming(dout, shape, x.dtype)
        rows = self._rows(x)
        dx: FloatArray = np.empty_like(rows)
        found = [np.empty_like(array) for array in arrays[: len(self.learnt)]]
        douts = dout.reshape(len(rows), dout.size // max(len(rows), 1))
        _kernels.layer_backward(described, arrays, rows, douts, dx, found, remembers[0], remembers[1], training)
        for name, gradient in zip(self.learnt, found, strict=True):
            setattr(self, f"d{name}", gradient)
        return dx.reshape(x.shape)


def held(name: str, what: str) -> property:
    """Give a property that returns an array the layer holds; assigning copies into that array, as in `Affine`."""
    place = f"_{name}"

    def show(layer: Any) -> FloatArray:
        array: FloatArray = layer.__dict__[place]
        return array

    def copy(layer: Any, value: Any) -> None:
        fill(layer.__dict__[place], value, name)

    return property(show, copy, doc=f"{what}: the held array itself.")


def hold(layer: Any, name: str, value: Any, axes: str = "", like: FloatArray | None = None) -> FloatArray:
    """Make a layer hold `value`, uncopied if it is a float32 or float64 array; check its `axes`, or `like`'s shape.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers.
    ValueError
        If it has a different shape.
    """
    array = parameter(value, name, None if like is None else like.dtype)
    if axes and array.ndim != len(axes.split()):
        raise ValueError(f"{name} must have shape ({axes}), got {name}.shape={array.shape}")
    if like is not None and array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}, got {name}.shape={array.shape}")
    layer.__dict__[f"_{name}"] = array
    return array
