"""Random right layers, networks and pairs: a check that calls one of them wrong raises a false alarm."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

import chainrule
from mutants import parts, right
from mutants.right import Attention, BatchNorm, Conv1d, CumulativeSum, LayerNorm, MulLayer, Residual, RnnStep, Softmax

Subject = tuple[Any, tuple[Any, ...]]


def make(seed: int) -> tuple[str, Any, tuple[Any, ...]]:
    """Give a description, a subject and its arguments: the layer, shapes, scale and dtype are drawn from `seed`."""
    rng = np.random.default_rng([seed, 5])
    dtype = np.dtype(rng.choice(["float64", "float32"]))
    scale = float(10.0 ** rng.uniform(-6, 6))
    kind = KINDS[int(rng.integers(len(KINDS)))]
    subject, arguments = kind(rng, scale, dtype)
    shapes = ", ".join(str(np.shape(a)) for a in arguments)
    return f"{seed}: {kind.__name__}, {shapes}, scale {scale:.1e}, {dtype}", subject, arguments


def _array(rng: np.random.Generator, shape: tuple[int, ...], scale: float, dtype: np.dtype[Any]) -> Any:
    return (scale * rng.standard_normal(shape)).astype(dtype)


def _shape(rng: np.random.Generator, most: int = 6) -> tuple[int, int]:
    return int(rng.integers(1, most)), int(rng.integers(1, most))


def activation(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    layers: list[Callable[[], Any]] = [
        chainrule.Relu, chainrule.Sigmoid, chainrule.Tanh, lambda: chainrule.LeakyRelu(0.2), chainrule.Identity,
        lambda: chainrule.Rescaling(0.3), parts.Relu, parts.Sigmoid, parts.Tanh,
    ]  # fmt: skip
    layer = layers[int(rng.integers(len(layers)))]()
    return layer, (_array(rng, _shape(rng), scale, dtype),)


def affine(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    (n, inputs), (outputs, _) = _shape(rng), _shape(rng)
    size = float(rng.choice([1.0, scale]))
    W, b = _array(rng, (inputs, outputs), size, dtype), _array(rng, (outputs,), size, dtype)
    layer = chainrule.Affine if rng.random() < 0.5 else parts.Affine
    return layer(W, b), (_array(rng, (n, inputs), scale, dtype),)


def softmax_loss(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    n, classes = _shape(rng)
    x = _array(rng, (n, classes + 1), min(scale, 30.0), dtype)
    layer = chainrule.SoftmaxWithLoss() if rng.random() < 0.5 else parts.SoftmaxWithLoss()
    return layer, (x, rng.integers(0, classes + 1, n))


def normalised(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    n, features = int(rng.integers(3, 8)), int(rng.integers(3, 6))
    x = _array(rng, (n, features), max(scale, 1e-2), dtype)
    if rng.random() < 0.5:
        return LayerNorm(1e-5), (x,)
    return BatchNorm(_array(rng, (features,), 1.0, dtype) + dtype.type(2), _array(rng, (features,), 1.0, dtype)), (x,)


def mixed(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    n = int(rng.integers(2, 5))
    choices: list[Callable[[], Subject]] = [
        lambda: (Softmax(), (_array(rng, (n, 3), min(scale, 10), dtype),)),
        lambda: (CumulativeSum(), (_array(rng, (n, 3), scale, dtype),)),
        lambda: (MulLayer(), (_array(rng, (n, 1), scale, dtype), _array(rng, (3,), 1 / scale, dtype))),
        lambda: (Conv1d(_array(rng, (3,), scale, dtype)), (_array(rng, (n, 7), 1.0, dtype),)),
        lambda: (Attention(), tuple(_array(rng, s, min(scale, 3), dtype) for s in ((n, 3), (4, 3), (4, 2)))),
        lambda: (Residual(_array(rng, (3, 3), 1.0, dtype), _array(rng, (3,), 1.0, dtype)),
                 (_array(rng, (n, 3), min(scale, 3), dtype),)),
        lambda: (RnnStep(_array(rng, (3, 2), 1.0, dtype), _array(rng, (2, 2), 1.0, dtype), _array(rng, (2,), 1, dtype)),
                 (_array(rng, (n, 3), min(scale, 3), dtype), _array(rng, (n, 2), 1.0, dtype))),
    ]  # fmt: skip
    return choices[int(rng.integers(len(choices)))]()


def network(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    """A chainrule network of random depth, whose scores are neither all alike nor all certain."""
    sizes = [int(rng.integers(2, 8)) for _ in range(int(rng.integers(2, 5)))]
    layers: dict[str, Any] = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        if i:
            activations = [chainrule.Relu, chainrule.Sigmoid, chainrule.Tanh, chainrule.LeakyRelu]
            layers[f"f{i}"] = activations[int(rng.integers(4))]()
        size = 1 / np.sqrt(inputs) * (1 / scale if i == 0 else 1)
        layers[f"Affine{i}"] = chainrule.Affine(
            _array(rng, (inputs, outputs), size, dtype), _array(rng, (outputs,), 0.5, dtype)
        )
    n = int(rng.integers(1, 6))
    t = rng.integers(0, sizes[-1], n)
    return chainrule.Network(layers), (_array(rng, (n, sizes[0]), scale, dtype), t)


def plain_network(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    """The same in plain NumPy, with a squared error."""
    inputs, hidden, outputs, n = (int(i) for i in rng.integers(2, 7, 4))
    layers: Any = parts.stack(
        inputs, hidden, outputs, activation=[parts.Tanh, parts.Sigmoid, parts.Relu][int(rng.integers(3))]
    )
    for layer in layers.values():
        if hasattr(layer, "W"):
            layer.W, layer.b = layer.W.astype(dtype), layer.b.astype(dtype)
    t = _array(rng, (n, outputs), scale, dtype)
    return parts.Network(layers, parts.MeanSquaredError()), (_array(rng, (n, inputs), 1.0, dtype), t)


def pair(rng: np.random.Generator, scale: float, dtype: np.dtype[Any]) -> Subject:
    size = (int(rng.integers(1, 8)),)
    choices: list[Callable[[], Subject]] = [
        lambda: (right.squares(), (_array(rng, size, scale, dtype),)),
        lambda: (right.cosines(), (_array(rng, size, min(scale, 3), dtype),)),
        lambda: (right.log_sum_exp(), (_array(rng, size, min(scale, 10), dtype),)),
        lambda: (right.huber(), (_array(rng, size, scale, dtype),)),
        lambda: (right.absolute(), (_array(rng, size, scale, dtype),)),
    ]
    return choices[int(rng.integers(len(choices)))]()


KINDS: list[Callable[[np.random.Generator, float, np.dtype[Any]], Subject]] = [
    activation, affine, softmax_loss, normalised, mixed, network, plain_network, pair,
]  # fmt: skip
