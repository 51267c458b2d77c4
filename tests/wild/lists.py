"""Layers with lists ``params`` and ``grads``, layers in layers, and one array in two places."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import labelled, normal, weights
from wild.sample import DX, Calls, Sample, X

LAYER = Calls()


class Affine:
    def __init__(self, W: Any, b: Any) -> None:
        self.params = [W, b]
        self.grads = [np.zeros_like(W), np.zeros_like(b)]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        W, b = self.params
        self.x = x
        return np.dot(x, W) + b

    def backward(self, dout: Any) -> Any:
        W, _ = self.params
        dx = np.dot(dout, W.T)
        self.grads[0][...] = np.dot(self.x.T, dout)
        self.grads[1][...] = np.sum(dout, axis=0)
        return dx


class MatMul:
    def __init__(self, W: Any) -> None:
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        (W,) = self.params
        self.x = x
        return x @ W

    def backward(self, dout: Any) -> Any:
        (W,) = self.params
        self.grads[0][...] = self.x.T @ dout
        return dout @ W.T


class MatMulTransposed(MatMul):
    """The decoder that has the encoder's weights."""

    def forward(self, x: Any) -> Any:
        (W,) = self.params
        self.x = x
        return x @ W.T

    def backward(self, dout: Any) -> Any:
        (W,) = self.params
        self.grads[0][...] = dout.T @ self.x
        return dout @ W


class FreshLists:
    """Its list of gradients is a new one each time."""

    def __init__(self, W: Any, b: Any) -> None:
        self.params: list[Any] = [W, b]
        self.grads: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout: Any) -> Any:
        self.grads = [self.x.T @ dout, dout.sum(axis=0)]
        return dout @ self.params[0].T


class Sigmoid:
    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.out = 1 / (1 + np.exp(-x))
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1.0 - self.out) * self.out


class SoftmaxWithLoss:
    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []

    def forward(self, x: Any, t: Any) -> Any:
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = e / e.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx * (dout / len(self.t))


class Embedding:
    def __init__(self, W: Any) -> None:
        self.params, self.grads = [W], [np.zeros_like(W)]
        self.idx: Any = None

    def forward(self, idx: Any) -> Any:
        self.idx = idx
        return self.params[0][idx]

    def backward(self, dout: Any) -> None:
        (dW,) = self.grads
        dW[...] = 0
        np.add.at(dW, self.idx, dout)


class TwoLayers:
    """The layers' params and grads stand in its own lists, one after the other."""

    def __init__(self) -> None:
        self.layers: list[Any] = [Affine(*weights(3, 4)), Sigmoid(), Affine(*weights(4, 2, seed=1))]
        self.loss_layer = SoftmaxWithLoss()
        self.params: list[Any] = []
        self.grads: list[Any] = []
        for layer in self.layers:
            self.params += layer.params
            self.grads += layer.grads

    def predict(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def forward(self, x: Any, t: Any) -> Any:
        return self.loss_layer.forward(self.predict(x), t)

    def backward(self, dout: Any = 1) -> Any:
        dout = self.loss_layer.backward(dout)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class Stack:
    """Layers in a list, and nothing else: its parameters are theirs."""

    def __init__(self, *layers: Any) -> None:
        self.layers = list(layers)

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in self.layers[::-1]:
            dout = layer.backward(dout)
        return dout


class ListedStack(Stack):
    """As a property, the lists are put together anew whenever they are asked for."""

    @property
    def params(self) -> list[Any]:
        return [p for layer in self.layers for p in layer.params]

    @property
    def grads(self) -> list[Any]:
        return [g for layer in self.layers for g in layer.grads]


class ContextWords:
    """Two inputs through one matrix, their mean through another."""

    def __init__(self, W_in: Any, W_out: Any) -> None:
        self.left, self.right, self.out = MatMul(W_in), MatMul(W_in), MatMul(W_out)
        self.loss_layer = SoftmaxWithLoss()
        self.params: list[Any] = []
        self.grads: list[Any] = []
        for layer in (self.left, self.right, self.out):
            self.params += layer.params
            self.grads += layer.grads

    def forward(self, left: Any, right: Any, target: Any) -> Any:
        h = (self.left.forward(left) + self.right.forward(right)) * 0.5
        return self.loss_layer.forward(self.out.forward(h), target)

    def backward(self, dout: Any = 1) -> None:
        dh = self.out.backward(self.loss_layer.backward(dout)) * 0.5
        self.right.backward(dh)
        self.left.backward(dh)


class WeightedSum:
    """No parameters: two inputs, and a tuple of their gradients."""

    def __init__(self) -> None:
        self.params: list[Any] = []
        self.grads: list[Any] = []

    def forward(self, hs: Any, a: Any) -> Any:
        self.cache = hs, a
        return (hs * a[:, :, None]).sum(axis=1)

    def backward(self, dc: Any) -> Any:
        hs, a = self.cache
        dt = np.repeat(dc[:, None, :], hs.shape[1], axis=1)
        return dt * a[:, :, None], (dt * hs).sum(axis=2)


def tied() -> ListedStack:
    W, _ = weights(4, 3)
    return ListedStack(MatMul(W), Sigmoid(), MatMulTransposed(W))


def context(rng: np.random.Generator) -> tuple[Any, ...]:
    words = np.eye(6)
    return words[rng.integers(0, 6, 5)], words[rng.integers(0, 6, 5)], rng.integers(0, 4, 5)


def held(*numbers: int, under: str = "") -> dict[str, str]:
    """Give the slots of these entries of the lists."""
    return {f"{under}params.{i}": f"{under}grads.{i}" for i in numbers}


P, Q, T = "params/grads lists", "layers in layers", "one array twice"
SAMPLES: tuple[Sample, ...] = (
    Sample("lists_affine", P, lambda: Affine(*weights(3, 2)), normal((5, 3)), LAYER, {X: DX, **held(0, 1)},
           "Gradients are written into arrays that stay."),
    Sample("lists_square", P, lambda: MatMul(weights(3, 3)[0]), normal((4, 3)), LAYER, {X: DX, **held(0)},
           "A square matrix, whose gradient may be transposed."),
    Sample("lists_fresh", P, lambda: FreshLists(*weights(3, 2)), normal((4, 3)), LAYER, {X: DX, **held(0, 1)},
           "A new list of gradients each time."),
    Sample("lists_empty", P, Sigmoid, normal((4, 3)), LAYER, {X: DX}, "Lists with nothing in them."),
    Sample("lists_loss", P, SoftmaxWithLoss, labelled(6, 3, classes=3), LAYER, {X: DX},
           "A loss with empty lists, and backward(dout=1)."),
    Sample("lists_embedding", P, lambda: Embedding(weights(5, 3)[0]), lambda rng: (rng.integers(0, 5, 7),), LAYER,
           held(0), "Its input are ids, and its backward gives nothing."),
    Sample("lists_weighted_sum", P, WeightedSum, normal((4, 3, 2), (4, 3)), LAYER,
           {X: "returned.0", "args.1": "returned.1"}, "Two inputs, two gradients."),
    Sample("lists_two_layers", Q, TwoLayers, labelled(5, 3, classes=2), LAYER, {X: DX, **held(0, 1, 2, 3)},
           "The layers' lists, put together in the constructor."),
    Sample("lists_stack", Q, lambda: Stack(Affine(*weights(3, 4)), Sigmoid(), Affine(*weights(4, 2, seed=1))),
           normal((5, 3)), LAYER, {X: DX, **held(0, 1, under="layers.0."), **held(0, 1, under="layers.2.")},
           "Parameters are in the layers alone."),
    Sample("lists_stack_of_stacks", Q,
           lambda: Stack(Stack(Affine(*weights(3, 4)), Sigmoid()), Stack(Affine(*weights(4, 2, seed=1)))),
           normal((5, 3)), LAYER,
           {X: DX, **held(0, 1, under="layers.0.layers.0."), **held(0, 1, under="layers.1.layers.0.")},
           "Layers in layers in a list."),
    Sample("lists_as_properties", Q, lambda: ListedStack(FreshLists(*weights(3, 4)), Sigmoid()), normal((5, 3)), LAYER,
           {X: DX, **held(0, 1, under="layers.0.")}, "Lists that are made when they are asked for."),
    Sample("lists_context_words", T, lambda: ContextWords(weights(6, 3)[0], weights(3, 4, seed=1)[0]), context, LAYER,
           {"params.0": "grads.0+grads.1", **held(2)}, "One matrix in two layers, whose gradients add up."),
    Sample("lists_tied", T, tied, normal((5, 4)), LAYER,
           {X: DX, "layers.0.params.0": "layers.0.grads.0+layers.2.grads.0"}, "A decoder with the encoder's weights."),
)  # fmt: skip
