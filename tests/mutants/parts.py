"""Right layers and a right network, in plain NumPy: what the networks with one mistake are built of."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from mutants.case import weights


class Affine:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class Relu:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, 0, dout)


class Sigmoid:
    def forward(self, x: Any) -> Any:
        self.out = (1 + np.tanh(x / 2)) / 2
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout * self.out * (1 - self.out)


class Tanh:
    def forward(self, x: Any) -> Any:
        self.out = np.tanh(x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.out**2)


class SoftmaxWithLoss:
    """The mean over the batch of the cross entropy; labels are ids, or one distribution for each example."""

    def forward(self, x: Any, t: Any) -> Any:
        self.t = np.eye(x.shape[1], dtype=x.dtype)[t] if t.ndim == 1 else t
        z = x - x.max(axis=1, keepdims=True)
        log_y = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.y = np.exp(log_y)
        return -(self.t * log_y).sum() / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * (self.y - self.t) / len(self.y)


class MeanSquaredError:
    """Half the squared distance, summed over the outputs, averaged over the batch."""

    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).sum() / 2 / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / len(self.difference)


class Network:
    """Layers called in order, and a loss; the parameters of the i-th layer that has any are W1, b1 and so on."""

    def __init__(self, layers: Mapping[str, Any], last_layer: Any) -> None:
        self.layers = OrderedDict(layers)
        self.last_layer = last_layer
        with_parameters = [layer for layer in self.layers.values() if hasattr(layer, "W") or hasattr(layer, "params")]
        self.numbered = list(enumerate(with_parameters, start=1))
        self.params: dict[str, Any] = {}
        for i, layer in self.numbered:
            own = layer.params if hasattr(layer, "params") else {"W": layer.W, "b": layer.b}
            self.params.update({f"{name}{i}": array for name, array in own.items()})

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()

    def grads(self) -> dict[str, Any]:
        """Collect what each layer's ``backward`` has left."""
        grads: dict[str, Any] = {}
        for i, layer in self.numbered:
            own = layer.grads if hasattr(layer, "params") else {"W": layer.dW, "b": layer.db}
            grads.update({f"{name}{i}": array for name, array in own.items()})
        return grads


def affine(inputs: int, outputs: int, seed: int = 0, scale: float = 1.0) -> Affine:
    return Affine(*weights(inputs, outputs, seed=seed, scale=scale))


def stack(*sizes: int, activation: Any = Tanh, **others: Any) -> dict[str, Any]:
    """Give affine layers from size to size, and between each two the activation; then put the others in place."""
    layers: dict[str, Any] = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        if i > 1:
            layers[f"{activation.__name__}{i - 1}"] = activation()
        layers[f"Affine{i}"] = affine(inputs, outputs, seed=i, scale=0.7)
    assert others.keys() <= layers.keys()
    return layers | others
