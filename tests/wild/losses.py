"""Losses: (y_true, y_pred) or the other way round, backward of nothing or of the arguments; and (value, gradient)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import labelled, normal, uniform, weights
from wild.sample import DX, Calls, Sample, X


class SquareLoss:
    """loss(y, y_pred) and gradient(y, y_pred), the second being what it is differentiated by; number by number."""

    def loss(self, y: Any, y_pred: Any) -> Any:
        return 0.5 * np.power(y - y_pred, 2)

    def gradient(self, y: Any, y_pred: Any) -> Any:
        return -(y - y_pred)


class MeanSquare:
    """__call__(y_true, y_pred) gives one number."""

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        return np.mean((y_true - y_pred) ** 2)

    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        return 2 * (y_pred - y_true) / y_true.size


class BinaryCrossEntropy:
    """forward(y_true, y_pred) and backward(y_true, y_pred)."""

    def forward(self, y_true: Any, y_pred: Any) -> Any:
        return -np.mean(y_true * np.log(y_pred) + (1 - y_true) * np.log(1 - y_pred))

    def backward(self, y_true: Any, y_pred: Any) -> Any:
        return (y_pred - y_true) / (y_pred * (1 - y_pred)) / y_true.size


class PredictedFirst:
    """forward(y_pred, y_true) and backward(y_pred, y_true)."""

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        return np.sum(np.log(np.cosh(y_pred - y_true)))

    def backward(self, y_pred: Any, y_true: Any) -> Any:
        return np.tanh(y_pred - y_true)


class Remembering:
    """forward(x, t) remembers, backward() takes nothing."""

    def forward(self, y: Any, t: Any) -> Any:
        self.diff = y - t
        return 0.5 * np.sum(self.diff**2) / len(y)

    def backward(self) -> Any:
        return self.diff / len(self.diff)


class CalledSoftmaxLoss:
    """It is called with scores and labels; backward() takes nothing."""

    def __call__(self, scores: Any, labels: Any) -> Any:
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.p, self.labels = e / e.sum(axis=1, keepdims=True), labels
        return -np.mean(np.log(self.p[np.arange(len(labels)), labels]))

    def backward(self) -> Any:
        grad = self.p.copy()
        grad[np.arange(len(self.labels)), self.labels] -= 1
        return grad / len(self.labels)


class HandedOn:
    """backward(dout=1) multiplies by what it is handed."""

    def forward(self, x: Any, t: Any) -> Any:
        self.x, self.t = x, t
        return np.abs(x - t).mean()

    def backward(self, dout: Any = 1) -> Any:
        return dout * np.sign(self.x - self.t) / self.x.size


class ModelWithLoss:
    """forward(x, t) gives the loss, backward() fills the layers' gradients and gives nothing."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 2)

    def forward(self, x: Any, t: Any) -> Any:
        self.x, self.residual = x, x @ self.W + self.b - t
        return np.mean(self.residual**2)

    def backward(self) -> None:
        d = 2 * self.residual / self.residual.size
        self.dW, self.db = self.x.T @ d, d.sum(axis=0)


def mse(y_true: Any, y_pred: Any) -> Any:
    return np.mean(np.power(y_true - y_pred, 2))


def mse_prime(y_true: Any, y_pred: Any) -> Any:
    return 2 * (y_pred - y_true) / np.size(y_true)


def cross_entropy(y_pred: Any, y_true: Any) -> Any:
    return -np.sum(y_true * np.log(y_pred)) / len(y_pred)


def cross_entropy_gradient(y_pred: Any, y_true: Any) -> Any:
    return -y_true / y_pred / len(y_pred)


def ridge_cost(w: Any, X: Any, y: Any, strength: float) -> Any:
    return 0.5 * ((X @ w - y) ** 2).sum() + 0.5 * strength * w @ w


def ridge_gradient(w: Any, X: Any, y: Any, strength: float) -> Any:
    return X.T @ (X @ w - y) + strength * w


def both_cost(a: Any, b: Any) -> Any:
    return np.sum(np.sin(a) @ b)


def both_gradients(a: Any, b: Any) -> Any:
    return np.cos(a) * b.sum(axis=1), np.sin(a).sum(axis=0)[:, None] * np.ones(b.shape)


def total(parts: Any) -> Any:
    return sum((i + 1) * np.sum(a**2) for i, a in enumerate(parts))


def total_gradient(parts: Any) -> Any:
    return [2 * (i + 1) * a for i, a in enumerate(parts)]


# --- one function that gives both ---


def rosenbrock(x: Any) -> Any:
    r, s = x[1:] - x[:-1] ** 2, 1 - x[:-1]
    g = np.zeros_like(x)
    g[:-1] = -400 * x[:-1] * r - 2 * s
    g[1:] += 200 * r
    return np.sum(100 * r**2 + s**2), g


def softmax_loss(x: Any, y: Any) -> Any:
    shifted = x - x.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    dx = np.exp(log_p)
    dx[np.arange(len(y)), y] -= 1
    return -log_p[np.arange(len(y)), y].mean(), dx / len(y)


def svm_loss(x: Any, y: Any) -> Any:
    margins = np.maximum(0, x - x[np.arange(len(y)), y][:, None] + 1.0)
    margins[np.arange(len(y)), y] = 0
    dx = (margins > 0).astype(x.dtype)
    dx[np.arange(len(y)), y] -= dx.sum(axis=1)
    return margins.sum() / len(y), dx / len(y)


def linear_softmax(W: Any, X: Any, y: Any, reg: float) -> Any:
    """Gradient by W, the first of four arguments."""
    loss, dscores = softmax_loss(X @ W, y)
    return loss + reg * np.sum(W * W), X.T @ dscores + 2 * reg * W


class TwoLayerNet:
    """loss(X, y) gives (loss, grads), grads with the names of params; without labels the scores."""

    def __init__(self) -> None:
        (W1, b1), (W2, b2) = weights(4, 5), weights(5, 3, seed=1)
        self.params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
        self.reg = 0.1

    def loss(self, X: Any, y: Any = None) -> Any:
        p = self.params
        h = np.tanh(X @ p["W1"] + p["b1"])
        scores = h @ p["W2"] + p["b2"]
        if y is None:
            return scores
        loss, dscores = softmax_loss(scores, y)
        loss += 0.5 * self.reg * (np.sum(p["W1"] ** 2) + np.sum(p["W2"] ** 2))
        dh = dscores @ p["W2"].T * (1 - h**2)
        return loss, {
            "W2": h.T @ dscores + self.reg * p["W2"],
            "b2": dscores.sum(axis=0),
            "W1": X.T @ dh + self.reg * p["W1"],
            "b1": dh.sum(axis=0),
        }


class CostFunction:
    """One method that gives both, by the argument."""

    def __init__(self, A: Any) -> None:
        self.A = A

    def value_and_gradient(self, x: Any) -> Any:
        r = self.A @ x
        return 0.5 * r @ r, self.A.T @ r


def shares(rng: np.random.Generator) -> Any:
    """Give rows that add up to 1, none of their numbers near 0."""
    numbers = rng.uniform(0.3, 1.0, (5, 3))
    return numbers / numbers.sum(axis=1, keepdims=True)


BY_SECOND = {"args.1": DX}
ONE_NUMBER = Calls("forward", "backward", "arguments")
BOTH = Calls("", "", "arguments", ("returned.0",))
PAIR = Calls(0, 1, "arguments")
L, P, V = "losses", "a function and its gradient", "(value, gradient)"
TWO = normal((5, 3), (5, 3))
SAMPLES: tuple[Sample, ...] = (
    Sample("losses_square", L, SquareLoss, TWO, Calls("loss", "gradient", "arguments", elementwise=True), BY_SECOND,
           "The gradient is by the second argument, number by number."),
    Sample("losses_mean_square", L, MeanSquare, TWO, Calls("__call__", "gradient", "arguments"), BY_SECOND,
           "The gradient is by the second argument; one number."),
    Sample("losses_binary", L, BinaryCrossEntropy,
           lambda rng: (rng.integers(0, 2, 8).astype(float), rng.uniform(0.1, 0.9, 8)), ONE_NUMBER, BY_SECOND,
           "Labels of 0 and 1 as floats come first."),
    Sample("losses_predicted_first", L, PredictedFirst, TWO, ONE_NUMBER, {X: DX}, "backward(y_pred, y_true)."),
    Sample("losses_remembering", L, Remembering, TWO, Calls(takes="nothing"), {X: DX}, "backward()."),
    Sample("losses_called", L, CalledSoftmaxLoss, labelled(6, 3, classes=3), Calls("__call__", takes="nothing"),
           {X: DX}, "__call__(scores, labels) and backward()."),
    Sample("losses_handed_on", L, HandedOn, TWO, Calls(), {X: DX}, "backward(dout=1)."),
    Sample("losses_model", L, ModelWithLoss, normal((5, 3), (5, 2)), Calls(takes="nothing"), {"W": "dW", "b": "db"},
           "backward() gives nothing; the gradients are with the parameters."),
    Sample("losses_mse_prime", L, lambda: (mse, mse_prime), TWO, PAIR, BY_SECOND, "Two functions, by the second."),
    Sample("losses_cross_entropy", L, lambda: (cross_entropy, cross_entropy_gradient),
           lambda rng: (shares(rng), shares(rng)), PAIR, {X: DX},
           "Soft labels, rows of which add up to 1."),
    Sample("options_by_the_second", "told by options", lambda: (mse, mse_prime), TWO, PAIR, BY_SECOND,
           "wrt= says by which.", {"wrt": 1}),
    Sample("options_by_a_name", "told by options", lambda: (mse, mse_prime), TWO, PAIR, BY_SECOND,
           "wrt= says by which, by its name.", {"wrt": "y_pred"}),
    Sample("pairs_ridge", P, lambda: (ridge_cost, ridge_gradient),
           lambda rng: (*normal((3,), (6, 3), (6,))(rng), 0.5), PAIR, {X: DX}, "By the first of four arguments."),
    Sample("pairs_both", P, lambda: (both_cost, both_gradients), normal((4, 3), (3, 2)), PAIR,
           {X: "returned.0", "args.1": "returned.1"}, "By both arguments."),
    Sample("pairs_list", "arrays in a list", lambda: (total, total_gradient),
           lambda rng: (list(normal((2, 3), (4,), (3, 1))(rng)),), PAIR,
           {f"args.0.{i}": f"returned.{i}" for i in range(3)}, "The one argument is a list of arrays."),
    Sample("values_rosenbrock", V, lambda: rosenbrock, normal((5,)), BOTH, {X: "returned.1"}, "SciPy's jac=True."),
    Sample("values_softmax_loss", V, lambda: softmax_loss, labelled(6, 4, classes=4), BOTH, {X: "returned.1"},
           "Scores and labels."),
    Sample("values_svm_loss", V, lambda: svm_loss, labelled(6, 4, classes=4, scale=3.0), BOTH, {X: "returned.1"},
           "Hinges."),
    Sample("values_linear_softmax", V, lambda: linear_softmax,
           lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((6, 4)), rng.integers(0, 3, 6), 0.1), BOTH,
           {X: "returned.1"}, "By the first of four."),
    Sample("values_two_layer_net", V, TwoLayerNet, labelled(6, 4, classes=3),
           Calls("loss", "loss", "arguments", ("returned.0",)),
           {f"params.{name}": f"returned.1.{name}" for name in ("W1", "b1", "W2", "b2")},
           "An object's loss(X, y) gives (loss, grads)."),
    Sample("values_by_wrt", "told by options", lambda: softmax_loss, labelled(6, 3, classes=3, scale=2.0), BOTH,
           {X: "returned.1"}, "wrt= the scores.", {"wrt": 0}),
    Sample("values_bounded", V, lambda: lambda x: (np.sum(np.log(x) * x), np.log(x) + 1), uniform(0.2, 2.0, (4,)), BOTH,
           {X: "returned.1"}, "Defined for positive numbers only; a lambda."),
    Sample("values_bound_method", V, lambda: CostFunction(weights(5, 3)[0]).value_and_gradient, normal((3,)), BOTH,
           {X: "returned.1"}, "A bound method, the data being its object's."),
)  # fmt: skip
