"""Results left in attributes, parameters made by the first forward, outputs in dicts, caches that a method gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import clear, normal, weights
from wild.sample import DX, Calls, Sample, X

LEFT = Calls(outputs=("output",))


class Dense:
    """output and dinputs; forward and backward give nothing."""

    def __init__(self, n_inputs: int, n_neurons: int) -> None:
        self.weights, b = weights(n_inputs, n_neurons)
        self.biases = b[None]

    def forward(self, inputs: Any) -> None:
        self.inputs = inputs
        self.output = np.dot(inputs, self.weights) + self.biases

    def backward(self, dvalues: Any) -> None:
        self.dweights = np.dot(self.inputs.T, dvalues)
        self.dbiases = np.sum(dvalues, axis=0, keepdims=True)
        self.dinputs = np.dot(dvalues, self.weights.T)


class DenseDecayed(Dense):
    """The strength of its decay is a number, and its square is in the loss, not here."""

    def __init__(self, n_inputs: int, n_neurons: int, weight_regularizer_l2: float = 0.0) -> None:
        super().__init__(n_inputs, n_neurons)
        self.weight_regularizer_l2 = weight_regularizer_l2

    def backward(self, dvalues: Any) -> None:
        super().backward(dvalues)
        if self.weight_regularizer_l2 > 0:
            self.dweights += 2 * self.weight_regularizer_l2 * self.weights


class ReLU:
    def forward(self, inputs: Any) -> None:
        self.inputs = inputs
        self.output = np.maximum(0, inputs)

    def backward(self, dvalues: Any) -> None:
        self.dinputs = dvalues.copy()
        self.dinputs[self.inputs <= 0] = 0


class Softmax:
    def forward(self, inputs: Any) -> None:
        e = np.exp(inputs - np.max(inputs, axis=1, keepdims=True))
        self.output = e / np.sum(e, axis=1, keepdims=True)

    def backward(self, dvalues: Any) -> None:
        self.dinputs = np.empty_like(dvalues)
        for i, (y, d) in enumerate(zip(self.output, dvalues, strict=True)):
            self.dinputs[i] = (np.diag(y) - np.outer(y, y)) @ d


class CrossEntropy:
    """calculate gives the mean of what forward gives for each example; backward is of the mean."""

    def calculate(self, output: Any, y: Any) -> Any:
        return np.mean(self.forward(output, y))

    def forward(self, y_pred: Any, y_true: Any) -> Any:
        return -np.log(y_pred[range(len(y_pred)), y_true])

    def backward(self, dvalues: Any, y_true: Any) -> None:
        self.dinputs = -np.eye(dvalues.shape[1])[y_true] / dvalues / len(dvalues)


class LeftModel:
    """Layers that leave their results, called one after the other."""

    def __init__(self) -> None:
        self.dense1, self.activation, self.dense2 = Dense(3, 5), ReLU(), Dense(5, 2)

    def forward(self, inputs: Any) -> None:
        self.dense1.forward(inputs)
        self.activation.forward(self.dense1.output)
        self.dense2.forward(self.activation.output)
        self.output = self.dense2.output

    def backward(self, dvalues: Any) -> None:
        self.dense2.backward(dvalues)
        self.activation.backward(self.dense2.dinputs)
        self.dense1.backward(self.activation.dinputs)
        self.dinputs = self.dense1.dinputs


class LeftShort:
    """out and dx."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 2)

    def forward(self, x: Any) -> None:
        self.x = x
        self.out = x @ self.W + self.b

    def backward(self, dout: Any) -> None:
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        self.dx = dout @ self.W.T


# --- made by the first forward ---


class Lazy:
    def __init__(self, units: int) -> None:
        self.units = units
        self.W: Any = None
        self.b: Any = None

    def forward(self, x: Any) -> Any:
        if self.W is None:
            rng = np.random.default_rng(0)
            self.W = rng.standard_normal((x.shape[1], self.units)) / np.sqrt(x.shape[1])
            self.b = rng.standard_normal(self.units)
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Built:
    """is_initialized, and a dict that _init_params fills."""

    def __init__(self, n_out: int) -> None:
        self.n_out, self.is_initialized = n_out, False
        self.parameters: dict[str, Any] = {"W": None, "b": None}
        self.gradients: dict[str, Any] = {}

    def _init_params(self, n_in: int) -> None:
        W, b = weights(n_in, self.n_out)
        self.parameters = {"W": W, "b": b}
        self.gradients = {"W": np.zeros_like(W), "b": np.zeros_like(b)}
        self.is_initialized = True

    def flush_gradients(self) -> None:
        for g in self.gradients.values():
            g[...] = 0

    def forward(self, X: Any) -> Any:
        if not self.is_initialized:
            self._init_params(X.shape[1])
        self.X = X
        return np.tanh(X @ self.parameters["W"] + self.parameters["b"])

    def backward(self, dY: Any) -> Any:
        dZ = dY * (1 - np.tanh(self.X @ self.parameters["W"] + self.parameters["b"]) ** 2)
        self.gradients["W"] += self.X.T @ dZ
        self.gradients["b"] += dZ.sum(axis=0)
        return dZ @ self.parameters["W"].T


class LazyScale:
    """gamma and beta do not exist before the first forward."""

    def forward(self, x: Any) -> Any:
        if not hasattr(self, "gamma"):
            self.gamma, self.beta = np.linspace(0.5, 1.5, x.shape[1]), np.zeros(x.shape[1])
        self.x = x
        return x * self.gamma + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma, self.dbeta = (dout * self.x).sum(axis=0), dout.sum(axis=0)
        return dout * self.gamma


class LazyModel:
    """Layers in a list, none of which knows its sizes."""

    def __init__(self, *units: int) -> None:
        self.layers = [Lazy(n) for n in units]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


# --- what comes out beside the output ---


class WithCache:
    """A method that gives (out, cache), and another that takes it."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 2)

    def forward(self, x: Any) -> Any:
        return x @ self.W + self.b, (x, self.W)

    def backward(self, dout: Any, cache: Any) -> Any:
        x, W = cache
        self.dW, self.db = x.T @ dout, dout.sum(axis=0)
        return dout @ W.T


class InDict:
    """Its outputs are in a dict; their gradients are handed in one after the other."""

    def __init__(self) -> None:
        self.W, _ = weights(3, 2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return {"scores": x @ self.W, "norm": (x**2).sum(axis=1)}

    def backward(self, dscores: Any, dnorm: Any) -> Any:
        self.dW = self.x.T @ dscores
        return dscores @ self.W.T + 2 * self.x * dnorm[:, None]


class TwoOutputs:
    """A tuple of outputs, a tuple of gradients."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.sin(x), x**2

    def backward(self, douts: Any) -> Any:
        ds, dq = douts
        return np.cos(self.x) * ds + 2 * self.x * dq


class Updating:
    """backward(dout, learning_rate) takes the step itself, and keeps no gradient."""

    def __init__(self) -> None:
        self.W, self.b = weights(3, 2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any, learning_rate: float) -> Any:
        dx = dout @ self.W.T
        self.W -= learning_rate * self.x.T @ dout
        self.b -= learning_rate * dout.sum(axis=0)
        return dx


def beside(*names: str, form: str = "* d*", under: str = "") -> dict[str, str]:
    """Give the slots of these names, and nothing for x."""
    parts = [form.replace("*", name).split() for name in names]
    return {f"{under}{array}": f"{under}{gradient}" for array, gradient in parts}


def shares(rng: np.random.Generator) -> Any:
    """Give rows that add up to 1, none of their numbers near 0."""
    numbers = rng.uniform(0.3, 1.0, (5, 3))
    return numbers / numbers.sum(axis=1, keepdims=True)


N, B, C = "results left in attributes", "made by the first forward", "(out, cache) of a method"
WB, LEFTX, ROWS = beside("weights", "biases"), {X: "dinputs"}, normal((5, 3))
SAMPLES: tuple[Sample, ...] = (
    Sample("left_dense", N, lambda: Dense(3, 2), ROWS, LEFT, LEFTX | WB, "output, dweights, dbiases, dinputs."),
    Sample("left_decay_of_nothing", N, lambda: DenseDecayed(3, 2), ROWS, LEFT, LEFTX | WB, "A decay that is off."),
    Sample("left_relu", N, ReLU, clear((5, 3)), LEFT, LEFTX, "A copy of dvalues, set to 0 in places."),
    Sample("left_softmax", N, Softmax, ROWS, LEFT, LEFTX, "A Jacobian for each example."),
    Sample("left_cross_entropy", N, CrossEntropy,
           lambda rng: (shares(rng), rng.integers(0, 3, 5)),
           Calls("calculate", takes="arguments"), LEFTX,
           "forward gives a loss for each example, and backward the gradient of their mean: calculate.",
           {"forward": "calculate"}),
    Sample("left_model", N, LeftModel, ROWS, LEFT,
           LEFTX | beside("weights", "biases", under="dense1.") | beside("weights", "biases", under="dense2."),
           "Layers that leave their results to each other."),
    Sample("left_short", N, LeftShort, ROWS, Calls(outputs=("out",)), {X: "dx"} | beside("W", "b"), "out and dx."),
    Sample("built_lazily", B, lambda: Lazy(4), ROWS, Calls(), {X: DX} | beside("W", "b"), "W is None at first."),
    Sample("built_in_dicts", B, lambda: Built(2), ROWS, Calls(flush="flush_gradients"),
           {X: DX} | beside("W", "b", form="parameters.* gradients.*"), "Dicts that the first forward fills."),
    Sample("built_scale", B, LazyScale, ROWS, Calls(), {X: DX} | beside("gamma", "beta"),
           "Attributes that do not exist before."),
    Sample("built_model", B, lambda: LazyModel(4, 2), ROWS, Calls(),
           {X: DX} | beside("W", "b", under="layers.0.") | beside("W", "b", under="layers.1."),
           "Sizes go from layer to layer."),
    Sample("cache_of_a_method", C, WithCache, ROWS, Calls(takes="douts, cache", outputs=("returned.0",)),
           {X: DX} | beside("W", "b"), "forward gives the cache, backward is handed it."),
    Sample("outputs_in_a_dict", "several outputs", InDict, ROWS,
           Calls(takes="douts", outputs=("returned.scores", "returned.norm")), {X: DX} | beside("W"),
           "Outputs by name.", truth="unproven"),
    Sample("outputs_in_a_tuple", "several outputs", TwoOutputs, ROWS,
           Calls(takes="tuple", outputs=("returned.0", "returned.1")), {X: DX}, "Outputs in a tuple."),
    Sample("updates_by_itself", "updates in backward", Updating, ROWS, Calls(takes="dout, rate"),
           {X: DX} | beside("W", "b", form="* moved"), "There is no gradient to be read, only a step.",
           truth="unproven"),
)  # fmt: skip
