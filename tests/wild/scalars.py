"""What a random loss, slope or function of one number computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Pair = tuple[Callable[..., Any], Callable[..., Any]]

# --- losses, of (y_pred, y_true): one number, and its gradient by the first ---

LOSSES: tuple[tuple[str, Pair], ...] = (
    ("half a sum of squares", (lambda y, t: 0.5 * np.sum((y - t) ** 2), lambda y, t: y - t)),
    ("mean of squares", (lambda y, t: np.mean((y - t) ** 2), lambda y, t: 2 * (y - t) / y.size)),
    ("squares per example", (lambda y, t: np.sum((y - t) ** 2) / len(y), lambda y, t: 2 * (y - t) / len(y))),
    ("log cosh", (lambda y, t: np.sum(np.log(np.cosh(y - t))), lambda y, t: np.tanh(y - t))),
    ("logistic", (lambda y, t: np.sum(np.logaddexp(0, y) - t * y), lambda y, t: 1 / (1 + np.exp(-y)) - t)),
)


def _softmax(s: Any) -> Any:
    e = np.exp(s - s.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


#: Of scores (N, C), and labels of which each row adds up to 1.
OF_ROWS: Pair = (lambda s, t: -np.sum(t * np.log(_softmax(s))) / len(s), lambda s, t: (_softmax(s) - t) / len(s))

# --- number by number ---

SLOPES: tuple[tuple[str, Pair], ...] = (
    ("sigmoid", (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2)),
    ("tanh", (np.tanh, lambda z: 1 - np.tanh(z) ** 2)),
    ("softplus", (lambda z: np.logaddexp(0, z), lambda z: 1 / (1 + np.exp(-z)))),
    ("relu", (lambda z: np.maximum(z, 0), lambda z: np.where(z > 0, z.dtype.type(1), z.dtype.type(0)))),
    ("elu", (lambda z: np.where(z > 0, z, np.expm1(z)), lambda z: np.where(z > 0, z.dtype.type(1), np.exp(z)))),
    ("arctan", (np.arctan, lambda z: 1 / (1 + z * z))),
    ("square", (lambda z: z**2, lambda z: 2 * z)),
    ("linear", (lambda z: 3 * z, lambda z: np.full_like(z, 3))),
)

# --- functions of one array ---

FUNCTIONS: tuple[tuple[str, Pair], ...] = (
    ("sum of cubes", (lambda x: np.sum(x**3), lambda x: 3 * x**2)),
    ("log of sum of exp", (lambda x: np.log(np.sum(np.exp(x))), lambda x: np.exp(x) / np.sum(np.exp(x)))),
    ("norm", (lambda x: np.sqrt(np.sum(x * x)), lambda x: x / np.sqrt(np.sum(x * x)))),
    ("cosines", (lambda x: np.sum(np.cos(x) * x), lambda x: np.cos(x) - np.sin(x) * x)),
)


def slopes_class(both: Pair, form: str) -> Any:
    """Give an object with fn and grad, or __call__ and gradient; or the two functions."""
    if form == "pair":
        return both
    if form == "fn":

        class Fn:
            def fn(self, z: Any) -> Any:
                return both[0](z)

            def grad(self, z: Any) -> Any:
                return both[1](z)

        return Fn()

    class Called:
        def __call__(self, x: Any) -> Any:
            return both[0](x)

        def gradient(self, x: Any) -> Any:
            return both[1](x)

    return Called()


def true_comes_first(value: Any, gradient: Any) -> Pair:
    """Give both with arguments y_true, y_pred."""

    def loss(y_true: Any, y_pred: Any) -> Any:
        return value(y_pred, y_true)

    def loss_grad(y_true: Any, y_pred: Any) -> Any:
        return gradient(y_pred, y_true)

    return loss, loss_grad


def true_comes_last(value: Any, gradient: Any) -> Pair:
    """Give both with arguments y_pred, y_true."""

    def loss(y_pred: Any, y_true: Any) -> Any:
        return value(y_pred, y_true)

    def loss_grad(y_pred: Any, y_true: Any) -> Any:
        return gradient(y_pred, y_true)

    return loss, loss_grad


def loss_object(both: Pair, form: str, true_first: bool) -> Any:
    """Give a loss in one of the forms in `LOSS_FORMS`."""
    value, gradient = both
    f, g = true_comes_first(value, gradient) if true_first else true_comes_last(value, gradient)
    if form == "pair":
        return f, g
    if form == "both":
        return lambda y_pred, y_true: (value(y_pred, y_true), gradient(y_pred, y_true))
    if form in LOSS_FORMS:
        names = LOSS_FORMS[form]
        return type("Loss", (), {names[0]: staticmethod(f), names[1]: staticmethod(g)})()

    class Remembering:
        def forward(self, y: Any, t: Any) -> Any:
            self.y, self.t = y, t
            return value(y, t)

    class OfNothing(Remembering):
        def backward(self) -> Any:
            return gradient(self.y, self.t)

    class OfDout(Remembering):
        def backward(self, dout: Any = 1) -> Any:
            return dout * gradient(self.y, self.t)

    return OfNothing() if form == "nothing" else OfDout()


#: Forms with two methods that take the same arguments.
LOSS_FORMS = {
    "loss": ("loss", "gradient"),
    "called": ("__call__", "gradient"),
    "arguments": ("forward", "backward"),
}
