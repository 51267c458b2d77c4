"""Layers whose two directions have other names, and slopes that are taken number by number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mutants.case import clear, normal, weights
from wild.sample import DX, Calls, Sample, X


class Passes:
    """forward_pass and backward_pass, with a flag for training."""

    def __init__(self) -> None:
        self.W, self.w0 = weights(3, 2)
        self.w0 = self.w0[None]

    def forward_pass(self, X: Any, training: bool = True) -> Any:
        self.layer_input = X
        return X.dot(self.W) + self.w0

    def backward_pass(self, accum_grad: Any) -> Any:
        self.grad_W = self.layer_input.T.dot(accum_grad)
        self.grad_w0 = accum_grad.sum(axis=0, keepdims=True)
        return accum_grad.dot(self.W.T)


class Props:
    """fprop and bprop."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 3)

    def fprop(self, inputs: Any) -> Any:
        self.inputs = inputs
        return np.tanh(inputs @ self.W + self.b)

    def bprop(self, grad: Any) -> Any:
        da = grad * (1 - np.tanh(self.inputs @ self.W + self.b) ** 2)
        self.dW, self.db = self.inputs.T @ da, da.sum(axis=0)
        return da @ self.W.T


class Propagates:
    """forward_propagate and back_propagate."""

    def __init__(self) -> None:
        self.weights, self.bias = weights(3, 2)

    def forward_propagate(self, x: Any) -> Any:
        self.x = x
        return x @ self.weights + self.bias

    def back_propagate(self, delta: Any) -> Any:
        self.dweights, self.dbias = self.x.T @ delta, delta.sum(axis=0)
        return delta @ self.weights.T


class ForwardBackprop:
    """forward and backprop."""

    def __init__(self) -> None:
        self.w, self.b = weights(3, 2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.b

    def backprop(self, dout: Any) -> Any:
        self.dw, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.w.T


class CalledSoftplus:
    """__call__ and backward."""

    def __call__(self, x: Any) -> Any:
        self.x = x
        return np.logaddexp(0, x)

    def backward(self, dout: Any) -> Any:
        return dout / (1 + np.exp(-self.x))


class CalledLinear:
    """__call__ and backward, with parameters."""

    def __init__(self) -> None:
        self.weight, self.bias = weights(3, 2)

    def __call__(self, x: Any) -> Any:
        self.x = x
        return x @ self.weight + self.bias

    def backward(self, grad: Any) -> Any:
        self.grad_weight, self.grad_bias = self.x.T @ grad, grad.sum(axis=0)
        return grad @ self.weight.T


class PassModel:
    """Layers of forward_pass and backward_pass in a list, its own methods with underscores before them."""

    def __init__(self) -> None:
        self.layers: list[Any] = [Passes(), CalledSoftplus()]

    def _forward_pass(self, X: Any) -> Any:
        first, second = self.layers
        return second(first.forward_pass(X))

    def _backward_pass(self, loss_grad: Any) -> Any:
        first, second = self.layers
        return first.backward_pass(second.backward(loss_grad))


class FeedForward:
    """Names that nobody else has: they have to be told."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 2)

    def activate(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def blame(self, error: Any) -> Any:
        self.dW, self.db = self.x.T @ error, error.sum(axis=0)
        return error @ self.W.T


class LayerOfClassMethods:
    """forward and backward as static methods with a context, as an autograd function has them."""

    @staticmethod
    def forward(x: Any, w: Any) -> Any:
        return x @ w, (x, w)

    @staticmethod
    def backward(grad: Any, ctx: Any) -> Any:
        x, w = ctx
        return grad @ w.T, x.T @ grad


# --- number by number ---


class FnGrad:
    """fn(z) and grad(z)."""

    def fn(self, z: Any) -> Any:
        return 1 / (1 + np.exp(-z))

    def grad(self, z: Any) -> Any:
        y = self.fn(z)
        return y * (1 - y)


class NamedElu(FnGrad):
    """With an option in the constructor, and a __call__ that makes examples out of one."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def __call__(self, z: Any) -> Any:
        return self.fn(z.reshape(1, -1) if z.ndim == 1 else z)

    def fn(self, z: Any) -> Any:
        return np.where(z > 0, z, self.alpha * (np.exp(z) - 1))

    def grad(self, z: Any) -> Any:
        return np.where(z > 0, 1.0, self.alpha * np.exp(z))


class CallGradient:
    """__call__(x) and gradient(x)."""

    def __call__(self, x: Any) -> Any:
        return 2 / (1 + np.exp(-2 * x)) - 1

    def gradient(self, x: Any) -> Any:
        return 1 - self(x) ** 2


class SELU:
    """Two constants as numbers."""

    def __init__(self) -> None:
        self.alpha, self.scale = 1.6732632423543772, 1.0507009873554805

    def __call__(self, x: Any) -> Any:
        return self.scale * np.where(x >= 0.0, x, self.alpha * (np.exp(x) - 1))

    def gradient(self, x: Any) -> Any:
        return self.scale * np.where(x >= 0.0, 1.0, self.alpha * np.exp(x))


class Derivative:
    """activate and derivative, as static methods."""

    @staticmethod
    def activate(z: Any) -> Any:
        return np.arctan(z)

    @staticmethod
    def derivative(z: Any) -> Any:
        return 1 / (1 + z * z)


def gelu(x: Any) -> Any:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_prime(x: Any) -> Any:
    t = np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x * x)


def swish(x: Any) -> Any:
    return x / (1 + np.exp(-x))


def swish_gradient(x: Any) -> Any:
    s = 1 / (1 + np.exp(-x))
    return s + x * s * (1 - s)


def named(forward: str, backward: str, form: str = "", *names: str, under: str = "") -> tuple[Calls, dict[str, str]]:
    """Give how methods of these names are called, and the slots of parameters whose gradients are so named."""
    parts = [form.replace("*", name).split() for name in names]
    return Calls(forward, backward), {X: DX} | {f"{under}{a}": f"{under}{g}" for a, g in parts}


def slope(forward: str | int, backward: str | int) -> tuple[Calls, dict[str, str]]:
    """Give how a function and its slope are called."""
    return Calls(forward, backward, "arguments", elementwise=True), {X: DX}


def _functions(*both: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: both


N, E, TOLD = "other names of methods", "number by number", "told by options"
ROWS, Z = normal((5, 3)), clear((4, 3))
SAMPLES: tuple[Sample, ...] = (
    Sample("methods_pass", N, Passes, ROWS, *named("forward_pass", "backward_pass", "* grad_*", "W", "w0"),
           "forward_pass and backward_pass."),
    Sample("methods_prop", N, Props, ROWS, *named("fprop", "bprop", "* d*", "W", "b"), "fprop and bprop."),
    Sample("methods_propagate", N, Propagates, ROWS,
           *named("forward_propagate", "back_propagate", "* d*", "weights", "bias"), "Long names."),
    Sample("methods_backprop", N, ForwardBackprop, ROWS, *named("forward", "backprop", "* d*", "w", "b"),
           "forward and backprop."),
    Sample("methods_called_softplus", N, CalledSoftplus, ROWS, *named("__call__", "backward"), "It is called."),
    Sample("methods_called_linear", N, CalledLinear, ROWS,
           *named("__call__", "backward", "* grad_*", "weight", "bias"), "It is called, and has parameters."),
    Sample("methods_pass_model", "layers in layers", PassModel, ROWS,
           *named("_forward_pass", "_backward_pass", "* grad_*", "W", "w0", under="layers.0."), "Methods of its own.",
           {"forward": "_forward_pass", "backward": "_backward_pass"}),
    Sample("methods_static", "forward/backward functions", LayerOfClassMethods, normal((4, 3), (3, 2)),
           Calls(takes="douts, cache", outputs=("returned.0",)), {X: "returned.0", "args.1": "returned.1"},
           "Static methods with a cache between them."),
    Sample("options_names_of_methods", TOLD, FeedForward, ROWS, *named("activate", "blame", "* d*", "W", "b"),
           "forward= and backward= name the methods.", {"forward": "activate", "backward": "blame"}),
    Sample("slopes_fn_grad", E, FnGrad, Z, *slope("fn", "grad"), "fn(z) and grad(z)."),
    Sample("slopes_elu", E, lambda: NamedElu(0.7), Z, *slope("fn", "grad"), "fn, grad, and a __call__ beside them."),
    Sample("slopes_call_gradient", E, CallGradient, Z, *slope("__call__", "gradient"), "__call__ and gradient."),
    Sample("slopes_selu", E, SELU, Z, *slope("__call__", "gradient"), "Constants that are numbers."),
    Sample("slopes_derivative", E, Derivative, Z, *slope("activate", "derivative"), "activate and derivative.",
           {"forward": "activate", "backward": "derivative"}),
    Sample("slopes_gelu", E, _functions(gelu, gelu_prime), Z, *slope(0, 1), "Two functions: f and f'."),
    Sample("slopes_swish", E, _functions(swish, swish_gradient), Z, *slope(0, 1), "Two functions by name."),
    Sample("slopes_of_a_vector", E, _functions(np.sin, np.cos), normal((5,)), *slope(0, 1), "NumPy's own functions."),
)  # fmt: skip
