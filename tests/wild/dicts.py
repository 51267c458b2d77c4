"""Parameters in dicts, in objects with a gradient of their own, and gradients that add up until they are flushed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mutants.case import normal, weights
from wild.sample import DX, Calls, Sample, X

LAYER = Calls()


class Accumulating:
    """parameters and gradients in dicts; backward adds to them until flush_gradients is called."""

    def __init__(self) -> None:
        W, b = weights(3, 2)
        self.parameters = {"W": W, "b": b}
        self.gradients = {"W": np.zeros_like(W), "b": np.zeros_like(b)}

    def flush_gradients(self) -> None:
        for name, parameter in self.parameters.items():
            self.gradients[name] = np.zeros_like(parameter)

    def forward(self, X: Any) -> Any:
        self.X = X
        return X @ self.parameters["W"] + self.parameters["b"]

    def backward(self, dLdY: Any) -> Any:
        self.gradients["W"] += self.X.T @ dLdY
        self.gradients["b"] += dLdY.sum(axis=0)
        return dLdY @ self.parameters["W"].T


class ZeroGrad:
    """W and dW, which grows until zero_grad is called."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 3)
        self.dW, self.db = np.zeros((3, 3)), np.zeros(3)

    def zero_grad(self) -> None:
        self.dW.fill(0)
        self.db.fill(0)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW += self.x.T @ dout
        self.db += dout.sum(axis=0)
        return dout @ self.W.T


class ZeroedStack:
    """Its zero_grad goes through its layers."""

    def __init__(self) -> None:
        self.layers: list[Any] = [ZeroGrad(), ZeroGrad()]
        self.layers[1].W = self.layers[1].W.T.copy()

    def zero_grad(self) -> None:
        for layer in self.layers:
            layer.zero_grad()

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = np.tanh(layer.forward(x))
            layer.y = x
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.layers):
            dout = layer.backward(dout * (1 - layer.y**2))
        return dout


class Replaced:
    """params and grads in dicts with the same names, grads a new one each time."""

    def __init__(self) -> None:
        W, b = weights(3, 2)
        self.params = {"W": W, "b": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"W": self.x.T @ dout, "b": dout.sum(axis=0)}
        return dout @ self.params["W"].T


class Prefixed:
    """params["W1"], grads["dW1"]."""

    def __init__(self) -> None:
        (W1, b1), (W2, b2) = weights(3, 4), weights(4, 2, seed=1)
        self.params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}
        self.grads: dict[str, Any] = {}

    def forward(self, X: Any) -> Any:
        p = self.params
        A1 = np.tanh(X @ p["W1"] + p["b1"])
        self.cache = X, A1
        return A1 @ p["W2"] + p["b2"]

    def backward(self, dZ2: Any) -> Any:
        X, A1 = self.cache
        self.grads["dW2"], self.grads["db2"] = A1.T @ dZ2, dZ2.sum(axis=0)
        dZ1 = dZ2 @ self.params["W2"].T * (1 - A1**2)
        self.grads["dW1"], self.grads["db1"] = X.T @ dZ1, dZ1.sum(axis=0)
        return dZ1 @ self.params["W1"].T


class ValGrad:
    """Each parameter is a dict with its value and its gradient."""

    def __init__(self) -> None:
        W, b = weights(3, 2)
        self.W = {"val": W, "grad": np.zeros_like(W)}
        self.b = {"val": b, "grad": np.zeros_like(b)}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W["val"] + self.b["val"]

    def backward(self, dout: Any) -> Any:
        self.W["grad"] = self.x.T @ dout
        self.b["grad"] = dout.sum(axis=0)
        return dout @ self.W["val"].T


class ValGradByName:
    """The same, in a dict of parameters."""

    def __init__(self) -> None:
        W, b = weights(3, 3)
        self.params = {"W": {"val": W, "grad": None}, "b": {"val": b, "grad": None}}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"]["val"] + self.params["b"]["val"]

    def backward(self, dout: Any) -> Any:
        self.params["W"]["grad"] = self.x.T @ dout
        self.params["b"]["grad"] = dout.sum(axis=0)
        return dout @ self.params["W"]["val"].T


class Param:
    """p, and its gradient g."""

    def __init__(self, p: Any) -> None:
        self.p, self.g = p, np.zeros_like(p)


class WithParams:
    def __init__(self) -> None:
        W, b = weights(3, 2)
        self.W, self.b = Param(W), Param(b)

    def params(self) -> list[Param]:
        return [self.W, self.b]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W.p + self.b.p

    def backward(self, dout: Any) -> Any:
        self.W.g[...] = self.x.T @ dout
        self.b.g[...] = dout.sum(axis=0)
        return dout @ self.W.p.T


@dataclass
class Parameter:
    """data and grad."""

    data: Any
    grad: Any = None

    def zero_grad(self) -> None:
        self.grad = None


class WithData:
    """parameters() gives the objects; their gradients add up until zero_grad."""

    def __init__(self) -> None:
        W, b = weights(3, 4)
        self.weight, self.bias = Parameter(W), Parameter(b)

    def parameters(self) -> list[Parameter]:
        return [self.weight, self.bias]

    def zero_grad(self) -> None:
        for parameter in self.parameters():
            parameter.grad = np.zeros_like(parameter.data)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.weight.data + self.bias.data

    def backward(self, grad: Any) -> Any:
        self.weight.grad = self.weight.grad + self.x.T @ grad
        self.bias.grad = self.bias.grad + grad.sum(axis=0)
        return grad @ self.weight.data.T


class WithValue:
    """Objects with value and grad in a list."""

    class Weight:
        def __init__(self, value: Any) -> None:
            self.value, self.grad = value, np.zeros_like(value)

    def __init__(self) -> None:
        self.params = [self.Weight(a) for a in weights(3, 2)]

    def forward(self, x: Any) -> Any:
        self.x = x
        W, b = self.params
        return x @ W.value + b.value

    def backward(self, dout: Any) -> Any:
        W, b = self.params
        W.grad, b.grad = self.x.T @ dout, dout.sum(axis=0)
        return dout @ W.value.T


class PairsOfArrays:
    """params is a property: a list of (parameter, gradient)."""

    def __init__(self) -> None:
        self.w, self.c = weights(3, 2)
        self.w_slope, self.c_slope = np.zeros((3, 2)), np.zeros(2)

    @property
    def params(self) -> list[tuple[Any, Any]]:
        return [(self.w, self.w_slope), (self.c, self.c_slope)]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.c

    def backward(self, dout: Any) -> Any:
        self.w_slope[...] = self.x.T @ dout
        self.c_slope[...] = dout.sum(axis=0)
        return dout @ self.w.T


def beside(*pairs: str) -> dict[str, str]:
    return {X: DX} | {p.split()[0]: p.split()[1] for p in pairs}


def joined(form: str, *names: str) -> dict[str, str]:
    """Give the slots of "params.* grads.*" with these names for the star."""
    return beside(*(form.replace("*", name) for name in names))


D, A, V, P = "parameters/gradients dicts", "gradients that accumulate", "{val, grad}", "objects with p and g"
ROWS = normal((5, 3))
SAMPLES: tuple[Sample, ...] = (
    Sample("dicts_flush_gradients", A, Accumulating, ROWS, Calls(flush="flush_gradients"),
           joined("parameters.* gradients.*", "W", "b"), "Gradients grow until they are flushed."),
    Sample("dicts_zero_grad", A, ZeroGrad, ROWS, Calls(flush="zero_grad"), joined("* d*", "W", "b"),
           "dW grows until zero_grad."),
    Sample("dicts_zero_grad_of_layers", A, ZeroedStack, ROWS, Calls(flush="zero_grad"),
           joined("layers.0.* layers.0.d*", "W", "b") | joined("layers.1.* layers.1.d*", "W", "b"),
           "The outer zero_grad calls those of the layers."),
    Sample("dicts_replaced", D, Replaced, ROWS, LAYER, joined("params.* grads.*", "W", "b"),
           "A new dict of gradients each time."),
    Sample("dicts_prefixed", D, Prefixed, ROWS, LAYER, joined("params.* grads.d*", "W1", "b1", "W2", "b2"),
           "params by W1, grads by dW1."),
    Sample("dicts_val_grad", V, ValGrad, ROWS, LAYER, joined("*.val *.grad", "W", "b"), "A dict for each parameter."),
    Sample("dicts_val_grad_by_name", V, ValGradByName, ROWS, LAYER, joined("params.*.val params.*.grad", "W", "b"),
           "Dicts in a dict."),
    Sample("dicts_p_g", P, WithParams, ROWS, LAYER, joined("*.p *.g", "W", "b"), "params() gives them."),
    Sample("dicts_data_grad", P, WithData, ROWS, Calls(flush="zero_grad"), joined("*.data *.grad", "weight", "bias"),
           "Objects with data and grad, which add up."),
    Sample("dicts_value_grad", P, WithValue, ROWS, LAYER, joined("params.*.value params.*.grad", "0", "1"),
           "Objects with value and grad in a list."),
    Sample("dicts_pairs", P, PairsOfArrays, ROWS, LAYER, joined("* *_slope", "w", "c"),
           "Pairs of parameter and gradient, and names that say nothing.", truth="unproven"),
    Sample("dicts_pairs_told", "told by options", PairsOfArrays, ROWS, LAYER, joined("* *_slope", "w", "c"),
           "The same, and params= says where its gradients are.",
           {"params": {"w": ("w", "w_slope"), "c": ("c", "c_slope")}}),
)  # fmt: skip
