"""Layers whose gradients stand beside their parameters under other names, also in layers within."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mutants.case import normal, weights
from wild.sample import DX, Calls, Sample, X

LAYER = Calls()


class Linear:
    """weight, bias, grad_weight, grad_bias."""

    def __init__(self, n_in: int, n_out: int, seed: int = 0) -> None:
        self.weight, self.bias = weights(n_in, n_out, seed=seed)
        self.grad_weight: Any = None
        self.grad_bias: Any = None

    def forward(self, x: Any) -> Any:
        self.input = x
        return x @ self.weight + self.bias

    def backward(self, grad_output: Any) -> Any:
        self.grad_weight = self.input.T @ grad_output
        self.grad_bias = grad_output.sum(axis=0)
        return grad_output @ self.weight.T


class Short:
    """w, b, grad_w, grad_b, the weights of a square."""

    def __init__(self) -> None:
        self.w, self.b = weights(3, 3)
        self.grad_w, self.grad_b = np.zeros((3, 3)), np.zeros(3)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.b

    def backward(self, grad: Any) -> Any:
        self.grad_w[:] = self.x.T @ grad
        self.grad_b[:] = grad.sum(0)
        return grad @ self.w.T


class Capital:
    """W, b, grad_W, grad_b, with weights (outputs, inputs)."""

    def __init__(self) -> None:
        W, _ = weights(2, 3)
        self.W, self.b = W, np.zeros(2)

    def forward(self, X: Any) -> Any:
        self.X = X
        return X @ self.W.T + self.b

    def backward(self, dY: Any) -> Any:
        self.grad_W = dY.T @ self.X
        self.grad_b = np.sum(dY, axis=0)
        return dY @ self.W


class Plural:
    """weights, biases, dweights, dbiases, and a row of biases."""

    def __init__(self) -> None:
        self.weights, b = weights(3, 4)
        self.biases = b[None]

    def forward(self, inputs: Any) -> Any:
        self.inputs = inputs
        return inputs @ self.weights + self.biases

    def backward(self, dvalues: Any) -> Any:
        self.dweights = self.inputs.T @ dvalues
        self.dbiases = dvalues.sum(axis=0, keepdims=True)
        return dvalues @ self.weights.T


class Underscored:
    """_weights and _weights_grad, _bias and _bias_grad."""

    def __init__(self) -> None:
        self._weights, self._bias = weights(3, 2)
        self._weights_grad = np.zeros_like(self._weights)
        self._bias_grad = np.zeros_like(self._bias)

    def forward(self, x: Any) -> Any:
        self._x = x
        return x @ self._weights + self._bias

    def backward(self, grad: Any) -> Any:
        self._weights_grad = self._x.T @ grad
        self._bias_grad = grad.sum(axis=0)
        return grad @ self._weights.T


class CamelCase:
    """weight, bias, gradWeight, gradBias, as in Lua's Torch."""

    def __init__(self) -> None:
        self.weight, self.bias = weights(3, 2)
        self.gradWeight = np.zeros((3, 2))
        self.gradBias = np.zeros(2)

    def forward(self, input: Any) -> Any:
        self.input = input
        self.output = input @ self.weight + self.bias
        return self.output

    def backward(self, gradOutput: Any) -> Any:
        self.gradWeight = self.input.T @ gradOutput
        self.gradBias = gradOutput.sum(axis=0)
        self.gradInput = gradOutput @ self.weight.T
        return self.gradInput


class GradLast:
    """weight, bias, weight_grad, bias_grad."""

    def __init__(self) -> None:
        self.weight, self.bias = weights(3, 2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x @ self.weight + self.bias)

    def backward(self, grad: Any) -> Any:
        da = grad * (1 - np.tanh(self.x @ self.weight + self.bias) ** 2)
        self.weight_grad = self.x.T @ da
        self.bias_grad = da.sum(axis=0)
        return da @ self.weight.T


class DUnderscore:
    """kernel and d_kernel."""

    def __init__(self, n_in: int = 3, n_out: int = 2) -> None:
        self.kernel, _ = weights(n_in, n_out)

    def forward(self, x: Any) -> Any:
        self._x = x
        return x @ self.kernel

    def backward(self, d_out: Any) -> Any:
        self.d_kernel = self._x.T @ d_out
        return d_out @ self.kernel.T


class Slots:
    """gamma and beta in slots, with a prefix grad_."""

    __slots__ = ("beta", "gamma", "grad_beta", "grad_gamma", "x")

    def __init__(self) -> None:
        self.gamma, self.beta = np.array([0.5, -1.5, 2.0]), np.zeros(3)

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.gamma * x + self.beta

    def backward(self, grad: Any) -> Any:
        self.grad_gamma = (grad * self.x).sum(axis=0)
        self.grad_beta = grad.sum(axis=0)
        return grad * self.gamma


@dataclass
class Dense:
    """A data class: w, b, dw, db."""

    n_in: int
    n_out: int
    w: Any = field(init=False)
    b: Any = field(init=False)
    dw: Any = field(init=False, default=None)
    db: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.w, self.b = weights(self.n_in, self.n_out)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.b

    def backward(self, dout: Any) -> Any:
        self.dw, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.w.T


class Mlp:
    """Two layers as attributes, with a ReLU written out between them."""

    def __init__(self) -> None:
        self.fc1, self.fc2 = Linear(3, 5), Linear(5, 2, seed=1)

    def forward(self, x: Any) -> Any:
        self.h = self.fc1.forward(x)
        return self.fc2.forward(np.maximum(self.h, 0))

    def backward(self, grad: Any) -> Any:
        grad = self.fc2.backward(grad)
        return self.fc1.backward(grad * (self.h > 0))


class Chain:
    """Layers in a private list."""

    def __init__(self, *layers: Any) -> None:
        self._layers = layers

    def forward(self, x: Any) -> Any:
        for layer in self._layers:
            x = layer.forward(x)
        return x

    def backward(self, grad: Any) -> Any:
        for layer in reversed(self._layers):
            grad = layer.backward(grad)
        return grad


class Named:
    """Layers in a dict, by name."""

    def __init__(self) -> None:
        self.modules: dict[str, Any] = {"hidden": Linear(3, 4), "head": Linear(4, 3, seed=1)}

    def forward(self, x: Any) -> Any:
        for module in self.modules.values():
            x = np.tanh(module.forward(x))
            module.y = x
        return x

    def backward(self, grad: Any) -> Any:
        for module in reversed(self.modules.values()):
            grad = module.backward(grad * (1 - module.y**2))
        return grad


class Residual:
    """Its own scale beside a layer of another class, and the layer twice as deep."""

    def __init__(self) -> None:
        self.inner, self.scale = Mlp(), np.array([0.7])
        self.inner.fc2 = Linear(5, 3, seed=2)

    def forward(self, x: Any) -> Any:
        self.y = self.inner.forward(x)
        return x + self.scale * self.y

    def backward(self, grad: Any) -> Any:
        self.grad_scale = np.array([(grad * self.y).sum()])
        return grad + self.inner.backward(self.scale * grad)


class Shared:
    """One layer that is gone through twice: its gradients are added up within backward."""

    def __init__(self) -> None:
        self.cell = Linear(3, 3)

    def forward(self, x: Any) -> Any:
        self.x, self.h = x, np.tanh(self.cell.forward(x))
        return np.tanh(self.cell.forward(self.h))

    def backward(self, grad: Any) -> Any:
        y = np.tanh(self.cell.forward(self.h))
        dh = self.cell.backward(grad * (1 - y**2))
        later = self.cell.grad_weight, self.cell.grad_bias
        self.cell.input = self.x
        dx = self.cell.backward(dh * (1 - self.h**2))
        self.cell.grad_weight = self.cell.grad_weight + later[0]
        self.cell.grad_bias = self.cell.grad_bias + later[1]
        return dx


def beside(*pairs: str, under: str = "") -> dict[str, str]:
    """Give the slots of "weight grad_weight" and the like, and of x."""
    return {X: DX} | {f"{under}{a}": f"{under}{g}" for a, g in (p.split() for p in pairs)}


LINEAR = ("weight grad_weight", "bias grad_bias")
N, S = "gradients by other names", "layers in layers"
ROWS = normal((5, 3))
SAMPLES: tuple[Sample, ...] = (
    Sample("names_grad_weight", N, lambda: Linear(3, 2), ROWS, LAYER, beside(*LINEAR), "weight and grad_weight."),
    Sample("names_grad_w", N, Short, ROWS, LAYER, beside("w grad_w", "b grad_b"), "w and grad_w, written into."),
    Sample("names_grad_W", N, Capital, ROWS, LAYER, beside("W grad_W", "b grad_b"), "W is (outputs, inputs)."),
    Sample("names_dweights", N, Plural, ROWS, LAYER, beside("weights dweights", "biases dbiases"), "Plural names."),
    Sample("names_underscored", N, Underscored, ROWS, LAYER, beside("_weights _weights_grad", "_bias _bias_grad"),
           "Private names."),
    Sample("names_camel_case", N, CamelCase, ROWS, LAYER, beside("weight gradWeight", "bias gradBias"),
           "gradWeight, gradBias and gradInput."),
    Sample("names_weight_grad", N, GradLast, ROWS, LAYER, beside("weight weight_grad", "bias bias_grad"),
           "weight and weight_grad; backward computes the output again."),
    Sample("names_d_kernel", N, DUnderscore, ROWS, LAYER, beside("kernel d_kernel"), "kernel and d_kernel."),
    Sample("names_slots", N, Slots, ROWS, LAYER, beside("gamma grad_gamma", "beta grad_beta"), "Names in slots."),
    Sample("names_data_class", N, lambda: Dense(3, 2), ROWS, LAYER, beside("w dw", "b db"), "A data class."),
    Sample("names_mlp", S, Mlp, ROWS, LAYER, beside(*LINEAR, under="fc1.") | beside(*LINEAR, under="fc2."),
           "Layers as attributes."),
    Sample("names_modules", S, Named, ROWS, LAYER,
           beside(*LINEAR, under="modules.hidden.") | beside(*LINEAR, under="modules.head."), "Layers in a dict."),
    Sample("names_residual", S, Residual, ROWS, LAYER,
           beside("scale grad_scale") | beside(*LINEAR, under="inner.fc1.") | beside(*LINEAR, under="inner.fc2."),
           "A parameter of its own, and those of layers two floors down."),
    Sample("names_underscored_within", S, lambda: Chain(Underscored(), DUnderscore(2, 4)), ROWS, LAYER,
           beside("_weights _weights_grad", "_bias _bias_grad", under="_layers.0.")
           | beside("kernel d_kernel", under="_layers.1."), "Private names of layers in a private list."),
    Sample("names_plural_within", S, lambda: Chain(Plural(), DUnderscore(4, 2)), ROWS, LAYER,
           beside("weights dweights", "biases dbiases", under="_layers.0.")
           | beside("kernel d_kernel", under="_layers.1."), "Plural names of a layer in a private list."),
    Sample("names_shared", "one array twice", Shared, ROWS, LAYER, beside(*LINEAR, under="cell."),
           "One layer used twice, its gradients added up by hand."),
)  # fmt: skip
