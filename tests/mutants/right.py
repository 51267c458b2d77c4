"""Right layers, networks and pairs that look suspicious, or are hard to differentiate numerically."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mutants.case import Arguments, Case, Expect, Kind, clear, fixed, labelled, normal, spread, uniform, weights
from mutants.parts import Affine, MeanSquaredError, Network, Relu, Sigmoid, SoftmaxWithLoss, Tanh, affine, stack

# --- layers ---


class Softmax:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))


class LeakyRelu:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.where(self.mask, x / 100, x)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, dout / 100, dout)


class SteepTanh:
    def forward(self, x: Any) -> Any:
        self.out = np.tanh(1000 * x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return 1000 * dout * (1 - self.out**2)


class LazyTanh:
    """Computes the slope when it is first asked for, and forgets it at the next forward."""

    def forward(self, x: Any) -> Any:
        self.x, self.slope = x.copy(), None
        return np.tanh(x)

    def backward(self, dout: Any) -> Any:
        if self.slope is None:
            self.slope = 1 - np.tanh(self.x) ** 2
        return dout * self.slope


class SigmoidOfInput:
    """Remembers nothing but its input, and does all the work again in backward."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return 1 / (1 + np.exp(-x))

    def backward(self, dout: Any) -> Any:
        return dout * np.exp(-self.x) / (1 + np.exp(-self.x)) ** 2


class Dropout:
    def __init__(self, ratio: float, rng: Any) -> None:
        self.ratio, self.rng = ratio, rng

    def forward(self, x: Any) -> Any:
        self.mask = self.rng.random(x.shape) > self.ratio
        return x * self.mask / (1 - self.ratio)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask / (1 - self.ratio)


class DropoutOfSeed:
    def __init__(self, ratio: float, seed: int) -> None:
        self.ratio, self.seed = ratio, seed

    def forward(self, x: Any) -> Any:
        self.mask = np.random.default_rng(self.seed).random(x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class BatchNorm:
    """Keeps running statistics for later, which nothing in training reads."""

    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}
        self.mean = np.zeros_like(beta)

    def forward(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std


class LayerNorm:
    def __init__(self, eps: float) -> None:
        self.eps = eps

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + self.eps)
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.xhat.copy()

    def backward(self, dout: Any) -> Any:
        mean = dout.mean(axis=1, keepdims=True)
        return (dout - mean - self.xhat * (dout * self.xhat).mean(axis=1, keepdims=True)) / self.std


class MaxPool:
    def forward(self, x: Any) -> Any:
        windows = x.reshape(len(x), -1, 2)
        self.second = windows[:, :, 1] > windows[:, :, 0]
        return windows.max(axis=2)

    def backward(self, dout: Any) -> Any:
        dx = np.stack([np.where(self.second, 0, dout), np.where(self.second, dout, 0)], axis=2)
        return dx.reshape(len(dout), -1)


class AffineOfOne:
    """For one example without a batch axis."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = np.outer(self.x, dout)
        self.db = dout.copy()
        return self.W @ dout


class AffineByDicts:
    def __init__(self, W: Any, b: Any) -> None:
        self.params = {"weight": W, "bias": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["weight"] + self.params["bias"]

    def backward(self, dout: Any) -> Any:
        self.grads["weight"] = self.x.T @ dout
        self.grads["bias"] = dout.sum(axis=0)
        return dout @ self.params["weight"].T


class AffineFortran:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = (dout.T @ self.x).T
        self.db = dout.sum(axis=0)
        return (self.W @ dout.T).T


class AffineAddsToZeros:
    """Uses += on gradients, which it sets to zero first."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = np.zeros_like(self.W), np.zeros_like(self.b)
        dx = np.zeros_like(self.x)
        for n, row in enumerate(dout):
            self.dW += np.outer(self.x[n], row)
            self.db += row
            dx[n] += self.W @ row
        return dx


class AffineWithoutBias:
    def __init__(self, W: Any) -> None:
        self.W = W
        self.b = None
        self.db = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.W.T


class Conv1d:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x = x
        size = x.shape[1] - len(self.W) + 1
        return sum(x[:, k : k + size] * w for k, w in enumerate(self.W))

    def backward(self, dout: Any) -> Any:
        size = dout.shape[1]
        self.dW = np.stack([(self.x[:, k : k + size] * dout).sum() for k in range(len(self.W))])
        border = len(self.W) - 1
        padded = np.pad(dout, ((0, 0), (border, border)))
        return sum(padded[:, k : k + size + border] * w for k, w in enumerate(self.W[::-1]))


class Embedding:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, ids: Any) -> Any:
        self.ids = ids
        return self.W[ids]

    def backward(self, dout: Any) -> None:
        self.dW = np.zeros_like(self.W)
        np.add.at(self.dW, self.ids, dout)


class RnnStep:
    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        self.params = {"Wx": Wx, "Wh": Wh, "b": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any, h: Any) -> Any:
        self.x, self.h = x, h
        self.out = np.tanh(x @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        da = dout * (1 - self.out**2)
        self.grads = {"Wx": self.x.T @ da, "Wh": self.h.T @ da, "b": da.sum(axis=0)}
        return da @ self.params["Wx"].T, da @ self.params["Wh"].T


class Rnn:
    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        self.params = {"Wx": Wx, "Wh": Wh, "b": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        h = np.zeros((len(x), len(self.params["b"])), x.dtype)
        self.h = [h]
        for step in range(x.shape[1]):
            h = np.tanh(x[:, step] @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
            self.h.append(h)
        return np.stack(self.h[1:], axis=1)

    def backward(self, dout: Any) -> Any:
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}
        dx, dh = np.zeros_like(self.x), np.zeros_like(self.h[0])
        for step in reversed(range(self.x.shape[1])):
            da = (dout[:, step] + dh) * (1 - self.h[step + 1] ** 2)
            self.grads["Wx"] += self.x[:, step].T @ da
            self.grads["Wh"] += self.h[step].T @ da
            self.grads["b"] += da.sum(axis=0)
            dx[:, step] = da @ self.params["Wx"].T
            dh = da @ self.params["Wh"].T
        return dx


class Attention:
    def forward(self, q: Any, k: Any, v: Any) -> Any:
        self.q, self.k, self.v = q, k, v
        self.d = math.sqrt(q.shape[1])
        scores = q @ k.T / self.d
        a = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.a = a / a.sum(axis=1, keepdims=True)
        return self.a @ v

    def backward(self, dout: Any) -> Any:
        da = dout @ self.v.T
        ds = self.a * (da - (da * self.a).sum(axis=1, keepdims=True)) / self.d
        return ds @ self.k, ds.T @ self.q, self.a.T @ dout


class Residual:
    def __init__(self, W: Any, b: Any) -> None:
        self.affine, self.tanh = Affine(W, b), Tanh()
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        return self.tanh.forward(self.affine.forward(x)) + x

    def backward(self, dout: Any) -> Any:
        dx = self.affine.backward(self.tanh.backward(dout)) + dout
        self.dW, self.db = self.affine.dW, self.affine.db
        return dx


class Split:
    def forward(self, x: Any) -> Any:
        self.half = x.shape[1] // 2
        return x[:, : self.half].copy(), x[:, self.half :].copy()

    def backward(self, dout: Any) -> Any:
        first, second = dout
        return np.concatenate([first, second], axis=1)


class Fork:
    def forward(self, x: Any) -> Any:
        return x.copy(), x.copy()

    def backward(self, dout: Any) -> Any:
        first, second = dout
        return first + second


class Concatenate:
    def forward(self, x: Any, y: Any) -> Any:
        self.width = x.shape[1]
        return np.concatenate([x, y], axis=1)

    def backward(self, dout: Any) -> Any:
        return dout[:, : self.width].copy(), dout[:, self.width :].copy()


class Flatten:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.reshape(len(x), -1).copy()

    def backward(self, dout: Any) -> Any:
        return dout.reshape(self.shape).copy()


class Sort:
    def forward(self, x: Any) -> Any:
        self.order = np.argsort(x)
        return x[self.order]

    def backward(self, dout: Any) -> Any:
        dx = np.empty_like(dout)
        dx[self.order] = dout
        return dx


class CumulativeSum:
    def forward(self, x: Any) -> Any:
        return np.cumsum(x, axis=1)

    def backward(self, dout: Any) -> Any:
        return np.cumsum(dout[:, ::-1], axis=1)[:, ::-1]


class MulLayer:
    """Arrays of any shapes that broadcast."""

    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> Any:
        return (dout * self.y).sum(axis=1, keepdims=True), (dout * self.x).sum(axis=0)


class CrossEntropyOfOne:
    """One score for each example; the label is 0 or 1."""

    def forward(self, x: Any, t: Any) -> Any:
        self.x, self.t = x[:, 0], t
        return (np.maximum(self.x, 0) - self.x * t + np.log1p(np.exp(-np.abs(self.x)))).mean()

    def backward(self, dout: Any = 1) -> Any:
        y = (1 + np.tanh(self.x / 2)) / 2
        return (dout * (y - self.t) / len(y))[:, None]


# --- networks ---


class Decay(Network):
    def loss(self, x: Any, t: Any) -> Any:
        return super().loss(x, t) + 0.05 * (self.params["W1"] ** 2).sum()

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        grads["W1"] += 0.1 * self.params["W1"]
        return grads


class Unused(Network):
    def __init__(self, layers: Any, last_layer: Any) -> None:
        super().__init__(layers, last_layer)
        self.params["temperature"] = np.array([1.5, 0.5])

    def grads(self) -> Any:
        return {**super().grads(), "temperature": np.zeros(2)}


class Scaled(Network):
    factor = 1e12

    def loss(self, x: Any, t: Any) -> Any:
        return self.factor * super().loss(x, t)

    def gradient(self, x: Any, t: Any) -> Any:
        return {name: self.factor * grad for name, grad in super().gradient(x, t).items()}


class TiedNetwork:
    def __init__(self, W: Any, b: Any) -> None:
        self.first, self.second = Affine(W, b), Affine(W, b.copy())
        self.tanh, self.last_layer = Tanh(), SoftmaxWithLoss()
        self.params = {"W": W, "b1": self.first.b, "b2": self.second.b}

    def loss(self, x: Any, t: Any) -> Any:
        h = self.tanh.forward(self.first.forward(x))
        return self.last_layer.forward(self.second.forward(h), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.second.backward(self.last_layer.backward())
        self.first.backward(self.tanh.backward(dout))
        return {"W": self.first.dW + self.second.dW, "b1": self.first.db, "b2": self.second.db}


class Autoencoder:
    def __init__(self, W: Any) -> None:
        self.params = {"W": W}

    def loss(self, x: Any, t: Any) -> Any:
        W = self.params["W"]
        h = np.tanh(x @ W)
        return ((h @ W.T - t) ** 2).sum() / 2

    def gradient(self, x: Any, t: Any) -> Any:
        W = self.params["W"]
        h = np.tanh(x @ W)
        dy = h @ W.T - t
        da = (dy @ W) * (1 - h**2)
        return {"W": x.T @ da + dy.T @ h}


class RnnNetwork:
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        Wx, Wh, b = recurrent(inputs, hidden)
        Wy, by = weights(hidden, outputs, seed=3)
        self.params = {"Wx": Wx, "Wh": Wh, "b": b, "Wy": Wy, "by": by}
        self.last_layer = SoftmaxWithLoss()

    def loss(self, x: Any, t: Any) -> Any:
        h = np.zeros((len(x), len(self.params["b"])))
        self.h = [h]
        for step in range(x.shape[1]):
            h = np.tanh(x[:, step] @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
            self.h.append(h)
        return self.last_layer.forward(h @ self.params["Wy"] + self.params["by"], t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dy = self.last_layer.backward()
        grads = {name: np.zeros_like(param) for name, param in self.params.items()}
        grads["Wy"], grads["by"] = self.h[-1].T @ dy, dy.sum(axis=0)
        dh = dy @ self.params["Wy"].T
        for step in reversed(range(x.shape[1])):
            da = dh * (1 - self.h[step + 1] ** 2)
            grads["Wx"] += x[:, step].T @ da
            grads["Wh"] += self.h[step].T @ da
            grads["b"] += da.sum(axis=0)
            dh = da @ self.params["Wh"].T
        return grads


def in_float32(layers: dict[str, Any]) -> dict[str, Any]:
    for layer in layers.values():
        if hasattr(layer, "W"):
            layer.W, layer.b = layer.W.astype(np.float32), layer.b.astype(np.float32)
    return layers


def dead_network() -> Any:
    layers = stack(4, 6, 3, activation=Relu)
    layers["Affine1"].b -= 1000
    return Network(layers, SoftmaxWithLoss())


def remote_classes() -> Any:
    """The first layer's scores are far apart, so the softmax is certain, and often wrong."""
    layers = stack(4, 6, 3)
    layers["Affine2"].W *= 30
    return Network(layers, SoftmaxWithLoss())


# --- pairs ---


def squares() -> Any:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return 2 * x

    return f, grad_f


def cosines() -> Any:
    def f(x: Any) -> Any:
        return np.cos(x).sum()

    def grad_f(x: Any) -> Any:
        return -np.sin(x)

    return f, grad_f


def absolute() -> Any:
    def f(x: Any) -> Any:
        return np.abs(x).sum()

    def grad_f(x: Any) -> Any:
        return np.sign(x)

    return f, grad_f


def oscillation() -> Any:
    def f(x: Any) -> Any:
        return np.sin(50 * x).sum()

    def grad_f(x: Any) -> Any:
        return 50 * np.cos(50 * x)

    return f, grad_f


def cancellation() -> Any:
    def f(x: Any) -> Any:
        return 1e6 + np.sin(x).sum()

    def grad_f(x: Any) -> Any:
        return np.cos(x)

    return f, grad_f


def log_sum_exp() -> Any:
    def f(x: Any) -> Any:
        m = x.max()
        return m + np.log(np.exp(x - m).sum())

    def grad_f(x: Any) -> Any:
        y = np.exp(x - x.max())
        return y / y.sum()

    return f, grad_f


def ninth_power() -> Any:
    def f(x: Any) -> Any:
        return (x**9).sum()

    def grad_f(x: Any) -> Any:
        return 9 * x**8

    return f, grad_f


def sum_of_softmax() -> Any:
    def f(x: Any) -> Any:
        y = np.exp(x - x.max())
        return (y / y.sum()).sum()

    def grad_f(x: Any) -> Any:
        return np.zeros_like(x)

    return f, grad_f


def symmetric_form() -> Any:
    A = np.array([[2.0, 1.0, -0.5], [1.0, 1.5, 0.7], [-0.5, 0.7, 3.0]])

    def f(x: Any) -> Any:
        return x @ A @ x

    def grad_f(x: Any) -> Any:
        return 2 * A @ x

    return f, grad_f


def determinant() -> Any:
    def f(X: Any) -> Any:
        return np.log(np.linalg.det(np.eye(3) + X))

    def grad_f(X: Any) -> Any:
        return np.linalg.inv(np.eye(3) + X).T

    return f, grad_f


def scales_of_all_kinds() -> Any:
    c = 10.0 ** np.arange(-6, 7, 2)

    def f(x: Any) -> Any:
        return np.cosh(c * x).sum()

    def grad_f(x: Any) -> Any:
        return c * np.sinh(c * x)

    return f, grad_f


def difference_quotient() -> Any:
    def f(x: Any) -> Any:
        return np.exp(x).sum()

    def grad_f(x: Any) -> Any:
        h = 1e-3
        grad = np.empty_like(x)
        for i in range(len(x)):
            step = np.zeros_like(x)
            step[i] = h
            near, far = f(x + step) - f(x - step), f(x + 2 * step) - f(x - 2 * step)
            grad[i] = (8 * near - far) / (12 * h)
        return grad

    return f, grad_f


def single_number() -> Any:
    def f(x: Any) -> Any:
        return x * np.exp(-x)

    def grad_f(x: Any) -> Any:
        return (1 - x) * np.exp(-x)

    return f, grad_f


def quotient() -> Any:
    def f(x: Any, y: Any) -> Any:
        return (x / y).sum()

    def grad_f(x: Any, y: Any) -> Any:
        return 1 / y, -x / y**2

    return f, grad_f


def huber() -> Any:
    def f(x: Any) -> Any:
        r = np.abs(x)
        return np.where(r <= 1, r**2 / 2, r - 0.5).sum()

    def grad_f(x: Any) -> Any:
        return np.clip(x, -1, 1)

    return f, grad_f


def hinge() -> Any:
    def f(x: Any) -> Any:
        return np.maximum(0, 1 - x).sum()

    def grad_f(x: Any) -> Any:
        return np.where(x < 1, -1.0, 0.0)

    return f, grad_f


def small_factor() -> Any:
    def f(x: Any) -> Any:
        return 1e-8 * np.sin(x).sum()

    def grad_f(x: Any) -> Any:
        return 1e-8 * np.cos(x)

    return f, grad_f


# --- the stories ---


def right(
    name: str, kind: Kind, make: Any, arguments: Arguments, story: str, *, expect: Expect = "passes", **more: Any
) -> Case:
    return Case(name, kind, make, arguments, story, expect, **more)


def recurrent(inputs: int, hidden: int) -> tuple[Any, Any, Any]:
    """Give Wx, Wh and b."""
    Wx, b = weights(inputs, hidden, seed=1, scale=0.5)
    Wh, _ = weights(hidden, hidden, seed=2, scale=0.5)
    return Wx, Wh, b


def scales(size: int) -> tuple[Any, Any]:
    """Give gamma and beta for that many features."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, size), rng.standard_normal(size)


def as_float32(arguments: Arguments) -> Arguments:
    return lambda rng: tuple(array.astype(np.float32) for array in arguments(rng))


def with_labels(labels: Any) -> Arguments:
    return lambda rng: (rng.standard_normal((len(labels), 4)), labels.copy())


def nearly_equal(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give windows of two whose entries are 1e-6 apart."""
    x = np.repeat(rng.standard_normal((3, 4)), 2, axis=1)
    return (x + 1e-6 * rng.permuted(np.tile([0.0, 1.0], (12, 1)), axis=1).reshape(3, 8),)


def strided(rng: np.random.Generator) -> tuple[Any, ...]:
    return (rng.standard_normal((10, 8))[::2, 1::2],)


def reversed_rows(rng: np.random.Generator) -> tuple[Any, ...]:
    return (rng.standard_normal((5, 4))[::-1, ::-1],)


def fortran(rng: np.random.Generator) -> tuple[Any, ...]:
    return (np.asfortranarray(rng.standard_normal((5, 4))),)


def read_only(rng: np.random.Generator) -> tuple[Any, ...]:
    x = rng.standard_normal((5, 4))
    x.flags.writeable = False
    return (x,)


def pixels(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.integers(0, 2, (5, 4)).astype(np.uint8), np.arange(5) % 3


ROWS = normal((5, 4))
BATCH = labelled(5, 4, classes=3)

CASES: tuple[Case, ...] = (
    # Corners, and places where nothing passes.
    right(
        "relu_near_0",
        "layer",
        Relu,
        clear((5, 4), low=1e-7, high=9e-7),
        "All inputs are within a millionth of the corner, but not in it.",
    ),
    right(
        "relu_at_0",
        "layer",
        Relu,
        fixed([[1.0, 0.0, -2.0], [0.0, 3.0, -0.5]]),
        "Two inputs are exactly 0, where the slope 0 is one of two.",
        expect="kink",
    ),
    right(
        "dead_relu",
        "layer",
        Relu,
        uniform(-2, -0.1, (5, 4)),
        "All inputs are negative, so the gradient is zero throughout.",
        expect="vacuous",
    ),
    right(
        "dead_network",
        "network",
        dead_network,
        BATCH,
        "The hidden layer is dead: of all gradients only that of the last bias is not zero.",
        expect="vacuous",
    ),
    right("leaky_relu", "layer", LeakyRelu, clear((5, 4)), "Piecewise linear, and no input near the corner."),
    right(
        "max_pool_near_ties",
        "layer",
        MaxPool,
        nearly_equal,
        "In each window the two entries are a millionth apart.",
    ),
    right("max_pool", "layer", MaxPool, spread((3, 8)), "Half of the gradient's entries are zero."),
    right(
        "absolute_value",
        "pair",
        absolute,
        clear((7,), low=0.01),
        "Piecewise linear: all entries of the gradient are 1 or -1.",
    ),
    right(
        "absolute_value_at_0",
        "pair",
        absolute,
        fixed([1.0, 0.0, -2.0]),
        "At 0 the sign is 0: between both slopes, the mean of them.",
        expect="kink",
    ),
    right(
        "hinge_away_from_corner",
        "pair",
        hinge,
        fixed([0.5, 1.5, -3.0, 0.99, 1.01]),
        "Piecewise linear, with corners a hundredth away.",
    ),
    right(
        "huber_across_the_joint",
        "pair",
        huber,
        fixed([0.5, -0.9999, 1.0001, -3.0, 1.0]),
        "The second derivative jumps at the joint, the first does not: also right exactly there.",
    ),
    right(
        "squares_with_zeros",
        "pair",
        squares,
        fixed([0.0, 1.5, -2.0, 0.0]),
        "The gradient is exactly zero where x is.",
    ),
    right(
        "cosine_at_0",
        "pair",
        cosines,
        fixed([0.0, 0.0, 0.0]),
        "The gradient is exactly zero at this point, as it should be, and nowhere near it.",
        expect="vacuous",
    ),
    right(
        "cosine_partly_at_0",
        "pair",
        cosines,
        fixed([0.0, 1.0, 0.0, -2.0]),
        "The gradient is exactly zero in two of four entries, as it should be.",
    ),
    right(
        "sum_of_softmax",
        "pair",
        sum_of_softmax,
        normal((5,)),
        "The sum of a softmax is 1 whatever the scores, so zeros are right, and say nothing.",
        expect="vacuous",
    ),
    right(
        "one_class",
        "network",
        lambda: Network(stack(4, 6, 1), SoftmaxWithLoss()),
        labelled(5, 4, classes=1),
        "With a single class the softmax is 1 and the loss 0, whatever the weights.",
        expect="vacuous",
    ),
    right(
        "parameter_without_effect",
        "network",
        lambda: Unused(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "One parameter has no influence on the loss, and its gradient is zero.",
        expect="vacuous",
        parameter="temperature",
    ),
    # Saturated, steep, oscillating.
    right(
        "saturated_sigmoid",
        "layer",
        Sigmoid,
        fixed([[-40.0, -8.0, 0.3], [5.0, 12.0, 40.0]]),
        "Some outputs are 0 or 1 to the last digit, and their slopes vanish.",
    ),
    right(
        "saturated_softmax",
        "layer",
        Softmax,
        fixed([[12.0, 0.0, -3.0], [1.0, 2.0, 0.5], [-10.0, 0.0, 3.0]]),
        "Two of three rows are nearly certain, with slopes of 1e-5 and less.",
    ),
    right(
        "certain_and_wrong",
        "network",
        remote_classes,
        BATCH,
        "The scores are far apart: probabilities of 0 and 1, and a large loss.",
    ),
    right(
        "tanh_1000_x",
        "layer",
        SteepTanh,
        clear((4, 3), low=5e-4, high=2e-3),
        "Smooth but steep: the slope changes within a thousandth.",
    ),
    right("sine_50_x", "pair", oscillation, normal((7,)), "Oscillates: a step of 0.1 crosses most of a wave."),
    right(
        "ninth_power",
        "pair",
        ninth_power,
        uniform(0.2, 3, (7,)),
        "The entries of the gradient differ by many powers of ten.",
    ),
    right(
        "layer_norm_tiny_variance",
        "layer",
        lambda: LayerNorm(1e-12),
        normal((3, 5), scale=1e-4, offset=3.0),
        "The row's spread is a ten thousandth, so the slope is ten thousand and changes quickly.",
    ),
    right(
        "batch_norm_of_two",
        "layer",
        lambda: BatchNorm(*scales(3)),
        fixed([[0.5, -1.0, 2.0], [-0.7, 1.3, 0.4]]),
        "Of a batch of two, normalised, only 1 and -1 are left: the gradient of the input all but vanishes.",
    ),
    # Scales.
    right(
        "affine_tiny_inputs",
        "layer",
        lambda: affine(4, 3),
        normal((5, 4), scale=1e-8),
        "The inputs are a hundred millionth, and so is the gradient of W.",
    ),
    right(
        "affine_huge_inputs",
        "layer",
        lambda: affine(4, 3),
        normal((5, 4), scale=1e8),
        "The inputs are a hundred million, and so is the gradient of W.",
    ),
    right(
        "affine_huge_weights",
        "layer",
        lambda: affine(4, 3, scale=1e6),
        ROWS,
        "The weights are a million, and so is the gradient of the input.",
    ),
    right(
        "affine_tiny_weights",
        "layer",
        lambda: affine(4, 3, scale=1e-7),
        ROWS,
        "The weights are a ten millionth: smaller than the usual steps.",
    ),
    right(
        "tanh_tiny_inputs",
        "layer",
        Tanh,
        normal((5, 4), scale=1e-6),
        "The slopes are 1 to eleven digits: it looks as if dout were passed on.",
    ),
    right(
        "tanh_network_tiny_weights",
        "network",
        lambda: Network(
            {"Affine1": affine(4, 6, 1, 1e-6), "Tanh1": Tanh(), "Affine2": affine(6, 3, 2, 1e-6)}, MeanSquaredError()
        ),
        normal((5, 4), (5, 3)),
        "Weights of a millionth: the gradient of W1 is a millionth of that of b2.",
    ),
    right(
        "network_huge_outputs",
        "network",
        lambda: Network(
            {"Affine1": affine(4, 6, 1), "Tanh1": Tanh(), "Affine2": affine(6, 3, 2, 1e6)}, MeanSquaredError()
        ),
        normal((5, 4), (5, 3)),
        "Outputs of a million and a loss of 1e12.",
    ),
    right(
        "network_loss_times_1e12",
        "network",
        lambda: Scaled(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "The loss is multiplied by 1e12, and so is the gradient.",
    ),
    right(
        "squares_of_a_million",
        "pair",
        squares,
        normal((7,), scale=1e6),
        "A loss of some 1e13 at numbers of a million.",
    ),
    right(
        "large_constant",
        "pair",
        cancellation,
        normal((7,)),
        "A million is added to f, so that its differences have six digits fewer.",
    ),
    right(
        "small_factor",
        "pair",
        small_factor,
        normal((7,)),
        "f and its gradient are a hundred millionth: smaller than a usual absolute tolerance.",
    ),
    right(
        "log_sum_exp_huge_scores",
        "pair",
        log_sum_exp,
        normal((5,), offset=1e4),
        "The scores are around 10 000: their exponentials would overflow.",
    ),
    right(
        "scales_of_all_kinds",
        "pair",
        scales_of_all_kinds,
        lambda rng: (rng.uniform(0.5, 1.5, 7) * 10.0 ** -np.arange(-6, 7, 2),),
        "The entries lie between a millionth and a million, and each needs a step of its own.",
    ),
    # Precision, labels, memory.
    right(
        "affine_float32",
        "layer",
        lambda: Affine(*(array.astype(np.float32) for array in weights(4, 3))),
        as_float32(ROWS),
        "All in float32, whose differences have few digits.",
    ),
    right("tanh_float32", "layer", Tanh, as_float32(ROWS), "All in float32, whose differences have few digits."),
    right("softmax_float32", "layer", Softmax, as_float32(ROWS), "All in float32, whose differences have few digits."),
    right(
        "network_float32",
        "network",
        lambda: Network(in_float32(stack(4, 6, 3)), SoftmaxWithLoss()),
        lambda rng: (rng.standard_normal((5, 4)).astype(np.float32), np.arange(5) % 3),
        "All in float32: a loss with seven digits.",
    ),
    right(
        "batch_of_one",
        "network",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLoss()),
        labelled(1, 4, classes=3),
        "For one example a sum over the batch is a mean.",
    ),
    right("affine_one_feature", "layer", lambda: affine(1, 1), normal((5, 1)), "One input, one output."),
    right(
        "affine_without_batch_axis",
        "layer",
        lambda: AffineOfOne(*weights(4, 3)),
        normal((4,)),
        "One example without an axis for the batch; db is a copy of dout.",
    ),
    right(
        "cross_entropy_of_one_score",
        "network",
        lambda: Network(stack(4, 6, 1), CrossEntropyOfOne()),
        labelled(5, 4, classes=2),
        "A single output for two classes.",
    ),
    right(
        "class_that_never_occurs",
        "network",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLoss()),
        with_labels(np.array([0, 1, 0, 0, 1])),
        "No example has class 2; its scores get a gradient all the same.",
    ),
    *(
        right(
            f"labels_{dtype}",
            "network",
            lambda: Network(stack(4, 6, 3), SoftmaxWithLoss()),
            with_labels((np.arange(5) % 3).astype(dtype)),
            f"The class ids are {dtype}, which is for counting and not for arithmetic.",
        )
        for dtype in ("int8", "uint8")
    ),
    right(
        "labels_as_distributions",
        "network",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLoss()),
        with_labels(np.array([[0.2, 0.3, 0.5], [0, 0, 1], [0.9, 0.1, 0], [1, 0, 0], [0.4, 0.4, 0.2]])),
        "The labels are floats: one distribution for each example.",
    ),
    right(
        "labels_float",
        "network",
        lambda: Network(stack(4, 6, 1), CrossEntropyOfOne()),
        with_labels(np.array([0.0, 1.0, 1.0, 0.0, 1.0])),
        "The labels 0 and 1 are floats, which look like something with a gradient.",
    ),
    right(
        "pixels_uint8",
        "network",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLoss()),
        pixels,
        "The examples are bytes, which cannot be moved by a small step.",
    ),
    right(
        "affine_fortran_order",
        "layer",
        lambda: Affine(np.asfortranarray(weights(4, 3)[0]), weights(4, 3)[1]),
        fortran,
        "Input and W lie in memory column by column.",
    ),
    right(
        "affine_strided",
        "layer",
        lambda: Affine(weights(8, 6)[0][::2, ::2], weights(4, 6)[1][::2]),
        strided,
        "Input, W and b are every second number of larger arrays.",
    ),
    right(
        "affine_reversed",
        "layer",
        lambda: Affine(weights(4, 3)[0][::-1, ::-1], weights(4, 3)[1][::-1]),
        reversed_rows,
        "Input, W and b are views that run backwards.",
    ),
    right("affine_read_only_input", "layer", lambda: affine(4, 3), read_only, "The input cannot be written to."),
    right(
        "affine_gradients_in_fortran_order",
        "layer",
        lambda: AffineFortran(*weights(4, 3)),
        ROWS,
        "dW and dx lie in memory the other way round than W and x.",
    ),
    # Ways to write a layer.
    right(
        "softmax",
        "layer",
        Softmax,
        ROWS,
        "For a dout of ones its gradient is zero, and right.",
    ),
    right(
        "affine_params_and_grads",
        "layer",
        lambda: AffineByDicts(*weights(4, 3)),
        ROWS,
        "The parameters are in a dict, under names of the layer's own.",
    ),
    right(
        "affine_without_bias",
        "layer",
        lambda: AffineWithoutBias(weights(4, 3)[0]),
        ROWS,
        "b and db exist and are None.",
    ),
    right(
        "affine_adds_to_zeros",
        "layer",
        lambda: AffineAddsToZeros(*weights(4, 3)),
        ROWS,
        "The gradients are summed with +=, as where they accumulate, but set to zero each time.",
    ),
    right(
        "lazy_tanh",
        "layer",
        LazyTanh,
        ROWS,
        "The slope is computed in the first backward and remembered for the second.",
    ),
    right(
        "sigmoid_remembers_input",
        "layer",
        SigmoidOfInput,
        ROWS,
        "backward is written with the input where others use the output.",
    ),
    right(
        "dropout",
        "layer",
        lambda: Dropout(0.5, np.random.default_rng(7)),
        ROWS,
        "Each forward draws another mask; with the generator set back it is the same.",
    ),
    right(
        "dropout_global_generator",
        "layer",
        lambda: Dropout(0.3, np.random),
        ROWS,
        "Each forward draws another mask from NumPy's global generator.",
    ),
    right(
        "dropout_of_seed",
        "layer",
        lambda: DropoutOfSeed(0.3, 7),
        ROWS,
        "A new generator in each forward, but always with the same seed.",
    ),
    right(
        "dropout_network",
        "network",
        lambda: Network(
            {**stack(4, 6), "Dropout1": Dropout(0.3, np.random.default_rng(7)), "Affine2": affine(6, 3, 2)},
            SoftmaxWithLoss(),
        ),
        BATCH,
        "Each loss draws another mask; with the generator set back it is the same.",
    ),
    right(
        "batch_norm",
        "layer",
        lambda: BatchNorm(*scales(4)),
        ROWS,
        "Each forward changes the running mean, which no output depends on.",
    ),
    right(
        "batch_norm_network",
        "network",
        lambda: Network(
            {**stack(4, 6), "BatchNorm1": BatchNorm(*scales(6)), "Tanh1": Tanh(), "Affine2": affine(6, 3, 2)},
            SoftmaxWithLoss(),
        ),
        BATCH,
        "The bias before a batch normalisation cancels: its gradient is zero up to rounding.",
    ),
    right("layer_norm", "layer", lambda: LayerNorm(1e-5), ROWS, "Each row of the gradient sums to zero."),
    right(
        "conv1d",
        "layer",
        lambda: Conv1d(np.array([0.5, -1.0, 2.0])),
        normal((2, 7)),
        "dx slides the kernel over dout in reverse.",
    ),
    right(
        "embedding",
        "layer",
        lambda: Embedding(weights(6, 3)[0]),
        fixed([1, 4, 1, 0, 1]),
        "The input is ids, one of them three times; backward returns nothing, for ids have no gradient.",
    ),
    right("rnn_step", "layer", lambda: RnnStep(*recurrent(4, 3)), normal((5, 4), (5, 3)), "Two inputs, two gradients."),
    right("rnn", "layer", lambda: Rnn(*recurrent(3, 4)), normal((2, 4, 3)), "Uses its weights at every step of time."),
    right(
        "attention",
        "layer",
        Attention,
        normal((4, 3), (5, 3), (5, 2)),
        "Three inputs of three shapes, and three gradients.",
    ),
    right("split", "layer", Split, normal((3, 6)), "Two outputs, so dout is a tuple."),
    right("fork", "layer", Fork, normal((3, 4)), "Two equal outputs, whose gradients are summed."),
    right("concatenate", "layer", Concatenate, normal((3, 2), (3, 4)), "Two inputs of different widths."),
    right("flatten", "layer", Flatten, normal((3, 2, 2)), "Computes nothing; the gradient is dout in another shape."),
    right("sort", "layer", Sort, fixed([0.7, -1.2, 2.0, 0.1, -0.4]), "Computes nothing; the gradient is reordered."),
    right(
        "cumulative_sum",
        "layer",
        CumulativeSum,
        normal((3, 5)),
        "The gradient is a view that runs backwards, of an array of its own.",
    ),
    right(
        "mul_layer_broadcasting",
        "layer",
        MulLayer,
        normal((5, 1), (3,)),
        "Both inputs are stretched, and both gradients summed back.",
    ),
    right(
        "softmax_with_loss",
        "layer",
        SoftmaxWithLoss,
        labelled(5, 3, classes=3),
        "Two inputs, but one gradient: labels have none. The output is a number.",
    ),
    right(
        "residual",
        "layer",
        lambda: Residual(*weights(4, 4)),
        ROWS,
        "dout goes back along two ways.",
    ),
    # Networks.
    right(
        "decay",
        "network",
        lambda: Decay(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "The decay is 0.05 in the loss and 0.1 in the gradient, for the square brings a 2.",
    ),
    right(
        "squared_error",
        "network",
        lambda: Network(stack(4, 6, 3), MeanSquaredError()),
        normal((5, 4), (5, 3)),
        "The labels are floats: numbers to come near to.",
    ),
    right(
        "shared_weights",
        "network",
        lambda: TiedNetwork(*weights(4, 4, scale=0.5)),
        labelled(5, 4, classes=4),
        "Two layers share W, and its gradient is the sum of both.",
    ),
    right(
        "tied_autoencoder",
        "network",
        lambda: Autoencoder(weights(4, 3, scale=0.5)[0]),
        lambda rng: 2 * (rng.standard_normal((5, 4)),),
        "The decoder is the encoder's W transposed; the same array is example and label.",
    ),
    right(
        "rnn_network",
        "network",
        lambda: RnnNetwork(3, 4, 3),
        labelled(5, 4, 3, classes=3),
        "A network without layers, which walks through time.",
    ),
    # Pairs.
    right("symmetric_form", "pair", symmetric_form, normal((3,)), "2 A x, which is right because A is symmetric."),
    right("determinant", "pair", determinant, normal((3, 3), scale=0.1), "The inverse, transposed."),
    right(
        "difference_quotient",
        "pair",
        difference_quotient,
        normal((5,)),
        "The gradient is a difference quotient itself, but a good one.",
    ),
    right(
        "single_number",
        "pair",
        single_number,
        lambda rng: (np.array(rng.uniform(0.2, 0.8)),),
        "x is a single number, without axes.",
    ),
    right("quotient", "pair", quotient, uniform(0.5, 2, (3,), (3,)), "Two arguments, two gradients."),
)
