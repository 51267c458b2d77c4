"""What was misread in a later set of code that nobody here had seen, re-created: names, and gradients behind others."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import normal, weights
from wild.sample import DX, Calls, Sample, X


class Spring:
    """getEnergy, and getEnergyGradient, which gives the energy in front of its gradient."""

    def getEnergy(self, coords: Any) -> Any:
        return float((coords**4).sum() + coords[0] * coords[1])

    def getEnergyGradient(self, coords: Any) -> Any:
        grad = 4 * coords**3
        grad[:2] += coords[1::-1]
        return self.getEnergy(coords), grad


class WithVerbs:
    """calc_loss(scores, labels), then calc_dloss()."""

    def calc_loss(self, scores: Any, labels: Any) -> Any:
        p = np.exp(scores)
        self.p, self.labels = p / p.sum(axis=1, keepdims=True), labels
        return -np.log(self.p[np.arange(len(labels)), labels]).mean()

    def calc_dloss(self) -> Any:
        d = self.p.copy()
        d[np.arange(len(d)), self.labels] -= 1
        return d / len(d)


class Prime:
    """function and function_prime."""

    def function(self, x: Any) -> Any:
        return np.tanh(x)

    def function_prime(self, x: Any) -> Any:
        return 1 - np.tanh(x) ** 2


def attraction(center: Any, outside: int, vectors: Any) -> Any:
    """The loss, and after it one gradient for each array among the arguments."""
    p = np.exp(vectors @ center)
    p /= p.sum()
    d = p.copy()
    d[outside] -= 1
    return -np.log(p[outside]), vectors.T @ d, np.outer(d, center)


class Norm:
    """A norm whose forward gives (out, cache); how it goes back stands in a function."""

    def __init__(self) -> None:
        self.gamma, self.beta = weights(4, 4)[0][0], weights(4, 4)[1]

    def forward(self, x: Any) -> Any:
        std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        x_hat = (x - x.mean(axis=-1, keepdims=True)) / std
        return self.gamma * x_hat + self.beta, (x_hat, std, self.gamma)


def norm_backward(dout: Any, cache: Any) -> Any:
    """Gives the gradients of the object's weights behind that of the input."""
    x_hat, std, gamma = cache
    d = dout * gamma
    dx = (d - d.mean(axis=-1, keepdims=True) - x_hat * (d * x_hat).mean(axis=-1, keepdims=True)) / std
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)


def of_a_norm() -> Any:
    """Give the pair."""
    return Norm().forward, norm_backward


class Flushed:
    """Weights in float32, whose zero_grad empties the very array that backward has left."""

    def __init__(self) -> None:
        self.W = weights(4, 3)[0].astype(np.float32)
        self.dW = np.zeros_like(self.W)

    def zero_grad(self) -> None:
        self.dW.fill(0)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.W.T


class Inner:
    """An affine map that is used once for each step: what it has after that is the gradient of the last."""

    def __init__(self) -> None:
        self._weights = weights(3, 3)[0]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self._weights

    def backward(self, d: Any) -> Any:
        self._gradient_weights = np.outer(self.x, d)
        return d @ self._weights.T


class Steps:
    """Steps through time whose weights are those of a layer within, and whose gradient is the sum over the steps."""

    def __init__(self) -> None:
        self.inner = Inner()

    @property
    def weights(self) -> Any:
        return self.inner._weights

    @property
    def gradient_weights(self) -> Any:
        return self.summed

    def forward(self, x: Any) -> Any:
        h, self.hs, self.ins = np.zeros(3), [], []
        for step in x:
            h = np.tanh(self.inner.forward(step + h))
            self.hs.append(h)
            self.ins.append(self.inner.x)
        return np.array(self.hs)

    def backward(self, d: Any) -> Any:
        self.summed, dx, later = np.zeros((3, 3)), np.zeros(d.shape), np.zeros(3)
        for t in range(len(d))[::-1]:
            self.inner.x = self.ins[t]
            later = dx[t] = self.inner.backward((d[t] + later) * (1 - self.hs[t] ** 2))
            self.summed += self.inner._gradient_weights
        return dx


class Perceptron:
    """A network in parts, whose bias is a plain number with its gradient beside it."""

    def __init__(self) -> None:
        self.w, self.b, self.db = weights(3, 1)[0][:, 0], 0.25, 0.0

    def forward(self, X: Any) -> Any:
        return 1 / (1 + np.exp(-(X @ self.w + self.b)))

    def compute_loss(self, y_pred: Any, y_true: Any) -> Any:
        return -np.mean(y_true * np.log(y_pred) + (1 - y_true) * np.log(1 - y_pred))

    def backward(self, X: Any, y_true: Any, y_pred: Any) -> None:
        self.dw, self.db = (y_pred - y_true) @ X / len(X), float(np.mean(y_pred - y_true))


class PerceptronHalved(Perceptron):
    """The gradient of the plain number is half of what it is."""

    def backward(self, X: Any, y_true: Any, y_pred: Any) -> None:
        super().backward(X, y_true, y_pred)
        self.db /= 2


def scores(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give scores and labels."""
    return rng.standard_normal((5, 3)), rng.integers(0, 3, 5)


def words(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give a vector, which of the others it goes with, and those."""
    return rng.standard_normal(4), 1, rng.standard_normal((5, 4))


def sample(name: str, make: Any, arguments: Any, slots: Any, calls: Calls) -> Sample:
    """Give a sample whose story its class or function tells."""
    story = " ".join((getattr(make, "__doc__", None) or name).split())
    return Sample(f"abroad_{name}", "abroad", make, arguments, calls, slots, story)


SAMPLES = (
    sample("value_in_front", Spring, normal((5,)), {X: "returned.1"},
           Calls("getEnergy", "getEnergyGradient", "arguments")),
    sample("verbs", WithVerbs, scores, {X: DX}, Calls("calc_loss", "calc_dloss", "nothing")),
    sample("prime", Prime, normal((4, 3)), {X: DX}, Calls("function", "function_prime", "arguments", elementwise=True)),
    sample("several_behind", lambda: attraction, words, {"args.0": "returned.1", "args.2": "returned.2"},
           Calls("", "", "arguments", ("returned.0",))),
    sample("of_a_norm", of_a_norm, normal((5, 4)),
           {X: "returned.0", "0.__self__.gamma": "returned.1", "0.__self__.beta": "returned.2"},
           Calls(0, 1, "douts, cache", ("returned.0",))),
    sample("flushed", Flushed, normal((5, 4)), {"W": "dW", X: DX}, Calls(flush="zero_grad")),
    sample("steps", Steps, normal((4, 3)), {"inner._weights": "summed", X: DX}, Calls()),
)  # fmt: skip
