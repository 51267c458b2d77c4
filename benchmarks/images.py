"""Networks and layers for images: which ones are measured, and how much arithmetic they are.

As in `works`, nothing is imported but the standard library.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod

#: Of an image: channels, height, width; without them, how many numbers.
Shape = tuple[int, ...]

IMAGE: Shape = (1, 28, 28)
BATCH, RATE = 100, 0.001
#: Calls of a single layer that are timed.
CALLS = 100


class Layer:
    """What a network is made of."""


@dataclass(frozen=True)
class Convolution(Layer):
    """So many filters of size × size, at a stride of 1."""

    filters: int
    size: int
    pad: int = 0


class MaxPooling(Layer):
    """The largest of each 2 × 2 pixels."""


@dataclass(frozen=True)
class Affine(Layer):
    """So many units; images come as rows of pixels."""

    units: int


class Relu(Layer):
    """No negative numbers."""


class Dropout(Layer):
    """Half of the numbers, left out at random."""


class BatchNormalization(Layer):
    """Every channel of a batch with a mean and a variance of its own."""


def shape_after(layer: Layer, before: Shape) -> Shape:
    """Give the shape of what comes out of a layer."""
    match layer:
        case Convolution(filters, size, pad):
            return (filters, *(length + 2 * pad - size + 1 for length in before[1:]))
        case MaxPooling():
            return (before[0], *(length // 2 for length in before[1:]))
        case Affine(units):
            return (units,)
        case _:
            return before


def products(layer: Layer, before: Shape) -> int:
    """Give the multiplications of a layer with its weights, for one image."""
    match layer:
        case Convolution(_, size, _):
            return before[0] * size**2 * prod(shape_after(layer, before))
        case Affine(units):
            return prod(before) * units
        case _:
            return 0


def _two(filters: int, *pads: int) -> tuple[Layer, ...]:
    first, second = (Convolution(filters, 3, pad) for pad in pads)
    return first, Relu(), second, Relu(), MaxPooling()


#: The networks of the book's chapters 7 and 8, by their names in chainrule.
NETWORKS: dict[str, tuple[Layer, ...]] = {
    "SimpleConvNet": (Convolution(30, 5), Relu(), MaxPooling(), Affine(100), Relu(), Affine(10)),
    "DeepConvNet": (*_two(16, 1, 1), *_two(32, 1, 2), *_two(64, 1, 1), Affine(50), Relu(), Dropout(), Affine(10)),
}
#: Steps of an epoch of each, which goes through so many batches of images: a few seconds for all that are timed.
STEPS = {"SimpleConvNet": 60, "DeepConvNet": 20}

#: Single layers, with the shape of the images they are given.
LAYERS: dict[str, tuple[Layer, Shape]] = {
    "convolution 1→30, 5×5, on 28×28": (Convolution(30, 5), IMAGE),
    "convolution 16→16, 3×3, on 28×28": (Convolution(16, 3, 1), (16, 28, 28)),
    "convolution 32→32, 3×3, on 16×16": (Convolution(32, 3, 1), (32, 16, 16)),
    "convolution 64→64, 3×3, on 8×8": (Convolution(64, 3, 1), (64, 8, 8)),
    "max pooling 2×2, 30 of 24×24": (MaxPooling(), (30, 24, 24)),
    "batch norm, 16 of 28×28": (BatchNormalization(), (16, 28, 28)),
}


def flop_of_layer(layer: Layer, shape: Shape) -> int:
    """Give the operations of a batch, two for each product: forward, the weights' gradient and the input's."""
    return 3 * 2 * BATCH * products(layer, shape)


def flop_of_training(layers: Iterable[Layer]) -> int:
    """Give those of a step: as much for each layer, but the images' gradient, which nobody asks for."""
    flop, shape, first = 0, IMAGE, 0
    for layer in layers:
        flop += flop_of_layer(layer, shape)
        first = first or 2 * BATCH * products(layer, shape)
        shape = shape_after(layer, shape)
    return flop - first
