"""The layers of the tutorial and of the book: ``forward`` keeps what ``backward`` needs.

``forward`` gives the layer's output. ``backward`` takes the gradient of the loss with respect to that output, `dout`,
and returns the gradient with respect to the input, `dx`: one link of the chain rule. No layer writes into an array
it is given. What it returns is the caller's to keep and to change.

Like the tutorial's layers, a layer remembers only its last ``forward``, so use it from one thread at a time.
"""

from chainrule.nn.layers.affine import Affine
from chainrule.nn.layers.base import Layer
from chainrule.nn.layers.convolution import Convolution
from chainrule.nn.layers.dropout import Dropout
from chainrule.nn.layers.elementwise import Identity, LeakyRelu, Relu, Rescaling, Sigmoid, Tanh
from chainrule.nn.layers.normalization import BatchNormalization, LayerNormalization
from chainrule.nn.layers.pooling import AveragePooling, Pooling
from chainrule.nn.layers.reshaping import Flatten, Reshape

__all__ = [
    "Affine",
    "AveragePooling",
    "BatchNormalization",
    "Convolution",
    "Dropout",
    "Flatten",
    "Identity",
    "Layer",
    "LayerNormalization",
    "LeakyRelu",
    "Pooling",
    "Relu",
    "Rescaling",
    "Reshape",
    "Sigmoid",
    "Tanh",
]
