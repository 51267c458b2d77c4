"""Networks with one mistake each. The stories are at the end, so that the classes can be read without them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import chainrule
from mutants import layers as bad
from mutants.case import Arguments, Case, labelled, normal, weights
from mutants.parts import Affine, Network, Relu, Sigmoid, SoftmaxWithLoss, Tanh, stack

# --- the way back through the layers ---


class NetworkA(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            if hasattr(layer, "W"):
                dout = layer.backward(dout)
        return self.grads()


class NetworkB(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in self.layers.values():
            dout = layer.backward(dout)
        return self.grads()


class NetworkC(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        first, second = self.layers["Affine1"], self.layers["Affine2"]
        return {"W1": second.dW, "b1": first.db, "W2": first.dW, "b2": second.db}


class NetworkD(Network):
    ready = False

    def gradient(self, x: Any, t: Any) -> Any:
        if not self.ready:
            self.loss(x, t)
            self.ready = True
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


class NetworkE(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: grad / len(x) for name, grad in self.grads().items()}


class NetworkF(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: -grad for name, grad in self.grads().items()}


class NetworkG(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = self.grads()
        norm = np.sqrt(sum((grad**2).sum() for grad in grads.values()))
        return {name: grad * min(1, 0.1 / norm) for name, grad in grads.items()}


class NetworkH(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = self.grads()
        for name, param in self.params.items():
            param -= 0.1 * grads[name]
        return grads


class NetworkI(Network):
    total: Any = None

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        if self.total is None:
            self.total = {name: np.zeros_like(param) for name, param in self.params.items()}
        for name, grad in self.grads().items():
            self.total[name] += grad
        return {name: grad.copy() for name, grad in self.total.items()}


class NetworkJ(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {name: grad.astype(np.float32) for name, grad in self.grads().items()}


class NetworkK(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return {**self.grads(), "b2": np.zeros_like(self.params["b2"])}


class NetworkL(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        y = self.predict(x)
        dout = (y - np.eye(y.shape[1])[t]) / len(x)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


class NetworkM(Network):
    def predict(self, x: Any) -> Any:
        return super().predict(x / 10)

    def gradient(self, x: Any, t: Any) -> Any:
        dout = x
        for layer in self.layers.values():
            dout = layer.forward(dout)
        self.last_layer.forward(dout, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


class NetworkN(Network):
    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(2 * self.predict(x), t)


class NetworkO(Network):
    def loss(self, x: Any, t: Any) -> Any:
        t = 0.9 * np.eye(3)[t] + 0.1 / 3
        return self.last_layer.forward(self.predict(x), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.last_layer.forward(self.predict(x), t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


class NetworkP(Network):
    def loss(self, x: Any, t: Any) -> Any:
        t = np.eye(3)[t] * [1.0, 2.0, 0.5]
        return self.last_layer.forward(self.predict(x), t)


class NetworkQ(Network):
    def loss(self, x: Any, t: Any) -> Any:
        self.seen = getattr(self, "seen", 0) + 1
        shift = self.seen % 3
        return self.last_layer.forward(self.predict(x), np.roll(t, shift))


class NetworkR(Network):
    def __init__(self, layers: Any, last_layer: Any) -> None:
        super().__init__(layers, last_layer)
        self.rng = np.random.default_rng(3)

    def predict(self, x: Any) -> Any:
        keep = self.rng.random(x.shape) > 0.3
        return super().predict(x * keep)

    def gradient(self, x: Any, t: Any) -> Any:
        self.last_layer.forward(super().predict(x), t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


class NetworkS(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        grads = self.grads()
        grads["b1"] = grads["b1"].reshape(1, -1)
        return grads


class NetworkT(Network):
    def gradient(self, x: Any, t: Any) -> Any:
        x -= x.mean(axis=0)
        self.loss(x, t)
        dout = self.last_layer.backward(1)
        for layer in reversed(self.layers.values()):
            dout = layer.backward(dout)
        return self.grads()


# --- weight decay ---


class DecayA(Network):
    decay = 0.1

    def loss(self, x: Any, t: Any) -> Any:
        norm = sum((self.params[name] ** 2).sum() for name in ("W1", "W2"))
        return super().loss(x, t) + self.decay / 2 * norm


class DecayB(Network):
    decay = 0.1

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name in ("W1", "W2"):
            grads[name] += self.decay * self.params[name]
        return grads


class DecayC(Network):
    decay = 0.1

    def loss(self, x: Any, t: Any) -> Any:
        norm = sum((self.params[name] ** 2).sum() for name in ("W1", "W2"))
        return super().loss(x, t) + self.decay * norm

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name in ("W1", "W2"):
            grads[name] += self.decay * self.params[name]
        return grads


class DecayD(Network):
    decay = 0.1

    def loss(self, x: Any, t: Any) -> Any:
        norm = sum((self.params[name] ** 2).sum() for name in ("W1", "W2"))
        return super().loss(x, t) + self.decay / 2 * norm

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name, param in self.params.items():
            grads[name] += self.decay * param
        return grads


class DecayE(Network):
    decay = 0.1

    def loss(self, x: Any, t: Any) -> Any:
        norm = sum(np.abs(self.params[name]).sum() for name in ("W1", "W2"))
        return super().loss(x, t) + self.decay * norm

    def gradient(self, x: Any, t: Any) -> Any:
        grads = super().gradient(x, t)
        for name in ("W1", "W2"):
            grads[name] += self.decay
        return grads


class Prior:
    def __init__(self, w: Any) -> None:
        self.params = {"w": w, "scale": np.array([0.5, 1.5, -1.0])}

    def loss(self, x: Any, t: Any) -> Any:
        y = x @ self.params["w"]
        return ((y - t) ** 2).mean() + (self.params["scale"] ** 2).sum() / 2

    def gradient(self, x: Any, t: Any) -> Any:
        y = x @ self.params["w"]
        return {"w": 2 * x.T @ (y - t) / len(x), "scale": self.params["scale"]}


# --- losses ---


class SoftmaxWithLossA:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -(t * np.log(self.y)).sum() / len(t)

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t.argmax(axis=1)] -= 1
        return dout * dx / len(self.t)


class SoftmaxWithLossB:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), np.roll(self.t, 1)] -= 1
        return dout * dx / len(self.t)


class SoftmaxWithLossC:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        one_hot = np.eye(10)[self.t]
        dx = self.y - one_hot[:, -self.y.shape[1] :]
        return dout * dx / len(self.t)


class MeanSquaredErrorA:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).sum() / 2 / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * 2 * self.difference / len(self.difference)


class MeanSquaredErrorB:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).mean()

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / self.difference.size


class MeanSquaredErrorC:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).mean() / 2

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / len(self.difference)


class MeanSquaredErrorD:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).sum() / 2 / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / self.difference.size


class MeanSquaredErrorE:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return (self.difference**2).sum() / 2

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / len(self.difference)


class MeanAbsoluteError:
    def forward(self, x: Any, t: Any) -> Any:
        self.difference = x - t
        return np.abs(self.difference).sum() / len(x)

    def backward(self, dout: Any = 1) -> Any:
        return dout * self.difference / len(self.difference)


class BinaryCrossEntropy:
    def forward(self, x: Any, t: Any) -> Any:
        self.y, self.t = 1 / (1 + np.exp(-x)), t
        return -(t * np.log(self.y) + (1 - t) * np.log(1 - self.y)).mean()

    def backward(self, dout: Any = 1) -> Any:
        return dout * (self.y - self.t) / self.y.size * self.y * (1 - self.y)


# --- layers that get in each other's way ---


class SigmoidA:
    cache: ClassVar[dict[str, Any]] = {}

    def forward(self, x: Any) -> Any:
        self.cache["out"] = 1 / (1 + np.exp(-x))
        return self.cache["out"].copy()

    def backward(self, dout: Any) -> Any:
        out = self.cache["out"]
        return dout * out * (1 - out)


class ResidualA:
    def __init__(self, W: Any, b: Any) -> None:
        self.affine, self.relu = Affine(W, b), bad.ReluA()
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        return self.relu.forward(self.affine.forward(x)) + x

    def backward(self, dout: Any) -> Any:
        dx = self.affine.backward(self.relu.backward(dout)) + dout
        self.dW, self.db = self.affine.dW, self.affine.db
        return dx


class ResidualB:
    def __init__(self, W: Any, b: Any) -> None:
        self.affine, self.tanh = Affine(W, b), Tanh()
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        return self.tanh.forward(self.affine.forward(x)) + x

    def backward(self, dout: Any) -> Any:
        dx = self.affine.backward(self.tanh.backward(dout))
        self.dW, self.db = self.affine.dW, self.affine.db
        return dx


# --- networks written out ---


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
        return {"W": self.second.dW, "b1": self.first.db, "b2": self.second.db}


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
        return {"W": x.T @ da + h.T @ dy}


class RnnNetwork:
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        Wx, b = weights(inputs, hidden, seed=1, scale=0.5)
        Wh, _ = weights(hidden, hidden, seed=2, scale=0.5)
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
            grads["Wh"] = self.h[step].T @ da
            grads["b"] += da.sum(axis=0)
            dh = da @ self.params["Wh"].T
        return grads


class TwoLayerNet:
    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        W1, b1 = weights(inputs, hidden, seed=1)
        W2, b2 = weights(hidden, outputs, seed=2)
        self.params = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}

    def loss(self, x: Any, t: Any) -> Any:
        self.h = 1 / (1 + np.exp(-(x @ self.params["W1"] + self.params["b1"])))
        y = np.exp(self.h @ self.params["W2"] + self.params["b2"])
        self.y = y / y.sum(axis=1, keepdims=True)
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        dy = (self.y - np.eye(self.y.shape[1])[t]) / len(t)
        dW2, db2 = self.h.T @ dy, dy.sum(axis=0)
        W2 = self.params["W2"] - 0.5 * dW2
        da = dy @ W2.T * self.h * (1 - self.h)
        return {"W1": x.T @ da, "b1": da.sum(axis=0), "W2": dW2, "b2": db2}


class Regression:
    def __init__(self, w: Any) -> None:
        self.params = {"w": w, "b": np.array([4000.0])}

    def loss(self, x: Any, t: Any) -> Any:
        y = x @ self.params["w"] + self.params["b"]
        return ((y - t) ** 2).mean() / 2

    def gradient(self, x: Any, t: Any) -> Any:
        y = (x @ self.params["w"] + self.params["b"]).astype(np.float32)
        difference = (y - t.astype(np.float32)).astype(float)
        return {"w": x.T @ difference / len(x), "b": difference.mean(keepdims=True)}


# --- networks put together ---


def two_relus() -> Any:
    relu = Relu()
    return Network(stack(4, 6, 6, 3, activation=Relu, Relu1=relu, Relu2=relu), SoftmaxWithLoss())


def two_sigmoids() -> Any:
    layers = stack(4, 6, 6, 3, activation=Sigmoid, Sigmoid1=SigmoidA(), Sigmoid2=SigmoidA())
    return Network(layers, SoftmaxWithLoss())


def subclassed() -> Any:
    class Affine(chainrule.Affine):
        def backward(self, dout: Any) -> Any:
            return -super().backward(dout)

    W1, b1 = weights(4, 6, seed=1)
    W2, b2 = weights(6, 3, seed=2)
    layers: dict[str, Any] = {
        "Affine1": chainrule.Affine(W1, b1),
        "Sigmoid1": chainrule.Sigmoid(),
        "Affine2": Affine(W2, b2),
    }
    return chainrule.Network(layers)


def subclassed_loss() -> Any:
    class SoftmaxWithLoss(chainrule.SoftmaxWithLoss):
        def backward(self, dout: float = 1) -> Any:
            return super().backward(dout) * len(self.y)

    return chainrule.Network({"Affine1": chainrule.Affine(*weights(4, 3))}, SoftmaxWithLoss())


# --- the stories ---


def wrong(
    name: str,
    make: Any,
    arguments: Arguments,
    parameter: str | None,
    cause: str | None,
    story: str,
    *,
    layer: str | None = None,
    also: tuple[str, ...] = (),
) -> Case:
    return Case(name, "network", make, arguments, story, "fails", layer, parameter, cause, also)


def soft(rng: np.random.Generator) -> tuple[Any, ...]:
    return rng.standard_normal((5, 4)), rng.dirichlet(np.ones(3), 5)


def remote(rng: np.random.Generator) -> tuple[Any, ...]:
    x = rng.standard_normal((6, 3))
    return x, 4000 + 0.01 * rng.standard_normal(6)


BATCH = labelled(5, 4, classes=3)
TARGETS = normal((5, 4), (5, 3))
REST = ("b1", "W2", "b2")

CASES: tuple[Case, ...] = (
    wrong(
        "network_skips_activations",
        lambda: NetworkA(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The way back calls only the layers with weights and skips the activation.",
        also=("b1",),
    ),
    wrong(
        "network_forwards_instead_of_back",
        lambda: NetworkB(stack(4, 4, 4, 4), SoftmaxWithLoss()),
        labelled(5, 4, classes=4),
        "W1",
        None,
        "The layers are walked from the first to the last on the way back; all are of one width, so the shapes fit.",
        also=("b1", "W2", "b2", "W3", "b3"),
    ),
    wrong(
        "network_names_swapped",
        lambda: NetworkC(stack(4, 4, 4), SoftmaxWithLoss()),
        labelled(5, 4, classes=4),
        "W1",
        None,
        "The gradients of W1 and W2, which have one shape, are returned under each other's name.",
        also=("W2",),
    ),
    wrong(
        "network_gradient_of_first_loss",
        lambda: NetworkD(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        None,
        "stale batch",
        "gradient computes the loss the first time only, and later goes back through what an older loss left.",
    ),
    wrong(
        "network_divides_by_batch_twice",
        lambda: NetworkE(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "factor 1/N",
        "The loss has divided by the batch size already, and gradient divides again.",
        also=REST,
    ),
    wrong(
        "network_uphill",
        lambda: NetworkF(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "factor -1",
        "gradient returns the direction of descent instead of the gradient.",
        also=REST,
    ),
    wrong(
        "network_gradient_clipped",
        lambda: NetworkG(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "gradient is cut down to a length of 0.1 before it is returned.",
        also=REST,
    ),
    wrong(
        "network_trains_itself",
        lambda: NetworkH(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        None,
        "writes into a parameter",
        "gradient takes the step of the training as well: asked for a gradient it returns another network.",
    ),
    wrong(
        "network_accumulates",
        lambda: NetworkI(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        None,
        "accumulates",
        "gradient returns the sum of all gradients so far: right the first time only.",
    ),
    wrong(
        "network_float32_gradients",
        lambda: NetworkJ(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "wrong dtype",
        "The gradients of float64 parameters are returned in float32.",
        also=REST,
    ),
    wrong(
        "network_last_bias_frozen",
        lambda: NetworkK(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "b2",
        "zero",
        "The gradient of the last bias is returned as zeros.",
    ),
    wrong(
        "network_softmax_forgotten",
        lambda: NetworkL(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "gradient takes y - t with the scores for y instead of their softmax.",
        also=REST,
    ),
    wrong(
        "network_input_scaled_in_loss_only",
        lambda: NetworkM(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "predict divides its input by 10, and gradient walks through the layers with the input as it came.",
        also=REST,
    ),
    wrong(
        "network_temperature_forgotten",
        lambda: NetworkN(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "factor 1/2",
        "The scores are doubled before the softmax, and their gradient is not.",
        also=REST,
    ),
    wrong(
        "network_smooth_labels_in_loss_only",
        lambda: NetworkO(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The labels are smoothed in the loss, and gradient takes them as they came.",
        also=REST,
    ),
    wrong(
        "network_class_weights",
        lambda: NetworkP(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "Labels weighted by class no longer sum to 1, and the gradient y - t holds only for those that do.",
        also=REST,
    ),
    wrong(
        "network_labels_move",
        lambda: NetworkQ(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        None,
        "not deterministic",
        "Each call pairs the examples with other labels, by a counter that no seed sets back.",
    ),
    wrong(
        "network_dropout_in_loss_only",
        lambda: NetworkR(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The loss is computed with dropout, the gradient without.",
        also=REST,
    ),
    wrong(
        "network_bias_row",
        lambda: NetworkS(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "b1",
        "wrong shape",
        "The gradient of b1 is a matrix of one row where b1 is a vector.",
    ),
    wrong(
        "network_centres_its_input",
        lambda: NetworkT(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "writes into its input",
        "gradient subtracts the mean from the caller's examples, and the loss does not.",
        also=REST,
    ),
    wrong(
        "decay_in_loss_only",
        lambda: DecayA(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "proportional to the parameter",
        "The loss has a weight decay, the gradient has none.",
        also=("W2",),
    ),
    wrong(
        "decay_in_gradient_only",
        lambda: DecayB(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "proportional to the parameter",
        "The gradient has a weight decay, the loss has none.",
        also=("W2",),
    ),
    wrong(
        "decay_without_two",
        lambda: DecayC(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        "proportional to the parameter",
        "The decay in the loss is not halved, so its gradient is twice what is added.",
        also=("W2",),
    ),
    wrong(
        "decay_of_biases_too",
        lambda: DecayD(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "b1",
        "proportional to the parameter",
        "The decay in the loss is for the weights, and the gradient applies it to the biases too.",
        also=("b2",),
    ),
    wrong(
        "decay_l1_without_sign",
        lambda: DecayE(stack(4, 6, 3), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The gradient of the sum of absolute values is the sign; added is the constant, whatever the sign.",
        also=("W2",),
    ),
    wrong(
        "prior_returns_parameter",
        lambda: Prior(weights(4)[0]),
        normal((5, 4), (5,)),
        None,
        "aliases a parameter",
        "The gradient of half the square of a parameter is the parameter: its very array is returned.",
    ),
    wrong(
        "loss_soft_labels_by_argmax",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLossA()),
        soft,
        "W1",
        None,
        "The loss takes distributions as labels, and its gradient only their largest class.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "loss_labels_shifted",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLossB()),
        BATCH,
        "W1",
        None,
        "In backward the labels are moved by one example.",
        layer="last_layer",
        also=("b1", "W2"),  # b2 is right: its sum over the batch has every label once
    ),
    wrong(
        "loss_one_hot_of_ten",
        lambda: Network(stack(4, 6, 3), SoftmaxWithLossC()),
        BATCH,
        "W1",
        None,
        "backward makes one-hot labels for ten classes and cuts off the first seven to fit: always zeros.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "loss_without_mean",
        lambda: Network(stack(4, 6, 3), bad.SoftmaxWithLossA()),
        BATCH,
        "W1",
        "factor N",
        "The loss is a mean over the batch, and its gradient does not divide by the batch size.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "squared_error_half_in_loss_only",
        lambda: Network(stack(4, 6, 3), MeanSquaredErrorA()),
        TARGETS,
        "W1",
        "factor 2",
        "The loss is half the square, and its gradient still has the 2.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "squared_error_two_forgotten",
        lambda: Network(stack(4, 6, 3), MeanSquaredErrorB()),
        TARGETS,
        "W1",
        "factor 1/2",
        "The loss has no half to cancel the 2 of its gradient, and the gradient has no 2.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "squared_error_mean_over_outputs_in_loss_only",
        lambda: Network(stack(4, 6, 3), MeanSquaredErrorC()),
        TARGETS,
        "W1",
        "factor C",
        "The loss is the mean over all entries, and its gradient divides by the number of examples only.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "squared_error_mean_over_outputs_in_gradient_only",
        lambda: Network(stack(4, 6, 3), MeanSquaredErrorD()),
        TARGETS,
        "W1",
        "factor 1/C",
        "The loss is the mean over the examples, and its gradient divides by the number of all entries.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "squared_error_mean_for_sum",
        lambda: Network(stack(4, 6, 3), MeanSquaredErrorE()),
        TARGETS,
        "W1",
        "mean for sum",
        "The loss is a sum over the batch, and its gradient that of a mean.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "absolute_error_without_sign",
        lambda: Network(stack(4, 6, 3), MeanAbsoluteError()),
        TARGETS,
        "W1",
        None,
        "The gradient of the absolute error is the difference, as of the squared one, instead of its sign.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "cross_entropy_slope_twice",
        lambda: Network(stack(4, 6, 3), BinaryCrossEntropy()),
        lambda rng: (rng.standard_normal((5, 4)), rng.integers(0, 2, (5, 3)).astype(float)),
        "W1",
        None,
        "y - t is the gradient at the scores already, and is multiplied by the sigmoid's slope once more.",
        layer="last_layer",
        also=REST,
    ),
    wrong(
        "one_relu_in_two_places",
        two_relus,
        BATCH,
        "W1",
        None,
        "One Relu object stands in two places, and on the way back the first place gets the mask of the second.",
        layer="Relu1",
        also=("b1",),
    ),
    wrong(
        "sigmoids_share_a_cache",
        two_sigmoids,
        BATCH,
        "W1",
        None,
        "The remembered output belongs to the class, so the second Sigmoid overwrites that of the first.",
        layer="Sigmoid1",
        also=("b1",),
    ),
    wrong(
        "residual_relu_in_place",
        lambda: Network(
            {**stack(4, 4), "Residual1": ResidualA(*weights(4, 4, seed=5)), "Affine2": Affine(*weights(4, 3, seed=6))},
            SoftmaxWithLoss(),
        ),
        BATCH,
        "W1",
        "writes into dout",
        "The Relu within writes zeros into dout, which the shortcut then passes on.",
        layer="Residual1",
        also=("b1",),
    ),
    wrong(
        "residual_shortcut_forgotten",
        lambda: Network(
            {
                **stack(4, 4),
                "Residual1": ResidualB(*weights(4, 4, seed=5)),
                "Affine2": Affine(*weights(4, 3, seed=6)),
            },
            SoftmaxWithLoss(),
        ),
        BATCH,
        "W1",
        None,
        "Nothing is sent back along the shortcut.",
        layer="Residual1",
        also=("b1",),
    ),
    wrong(
        "network_tanh_not_squared",
        lambda: Network(stack(4, 6, 5, 3, Tanh1=bad.TanhA()), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The first of two activations has 1 - out for a slope instead of 1 - out**2.",
        layer="Tanh1",
        also=("b1",),
    ),
    wrong(
        "network_dx_without_transpose",
        lambda: Network(stack(4, 4, 4, 3, Affine2=bad.AffineB(*weights(4, 4, seed=2))), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "The second of three affine layers computes dx with W instead of W.T; W is square.",
        layer="Affine2",
        also=("b1",),
    ),
    wrong(
        "network_one_element_halved",
        lambda: Network(stack(4, 6, 3, Affine1=bad.AffineC(*weights(4, 6, seed=1))), SoftmaxWithLoss()),
        BATCH,
        "W1",
        None,
        "One element of the gradient of W1 is half of what it should be, all others are right.",
        layer="Affine1",
    ),
    wrong(
        "network_first_row_of_bias",
        lambda: Network(stack(4, 6, 3, Affine2=bad.AffineE(*weights(6, 3, seed=2))), SoftmaxWithLoss()),
        BATCH,
        "b2",
        None,
        "The second bias gets the gradient of the first example only.",
        layer="Affine2",
    ),
    wrong(
        "network_bias_not_summed",
        lambda: Network(stack(4, 6, 3, Affine1=bad.AffineF(*weights(4, 6, seed=1))), SoftmaxWithLoss()),
        BATCH,
        "b1",
        "no sum over the batch",
        "The gradient of the first bias has one row per example.",
        layer="Affine1",
    ),
    wrong(
        "network_layer_accumulates",
        lambda: Network(stack(4, 6, 3, Affine2=bad.AffineJ(*weights(6, 3, seed=2))), SoftmaxWithLoss()),
        BATCH,
        None,
        "accumulates",
        "The second affine layer adds to its gradients and never sets them back.",
        layer="Affine2",
    ),
    wrong(
        "network_layer_keeps_first_mask",
        lambda: Network(stack(4, 6, 3, activation=Relu, Relu1=bad.ReluF()), SoftmaxWithLoss()),
        BATCH,
        None,
        "stale batch",
        "The Relu remembers its mask once for each shape.",
        layer="Relu1",
    ),
    wrong(
        "network_batch_norm_without_mean",
        lambda: Network(
            {
                **stack(4, 6),
                "BatchNorm1": bad.BatchNormA(*bad.scales(6)),
                "Tanh1": Tanh(),
                "Affine2": Affine(*weights(6, 3, seed=2)),
            },
            SoftmaxWithLoss(),
        ),
        BATCH,
        "W1",
        None,
        "The batch normalisation within treats the mean as a constant.",
        layer="BatchNorm1",
        also=("b1",),
    ),
    wrong(
        "network_dropout_draws_again",
        lambda: Network(
            {**stack(4, 6), "Dropout1": bad.DropoutA(bad.rng()), "Affine2": Affine(*weights(6, 3, seed=2))},
            SoftmaxWithLoss(),
        ),
        BATCH,
        "W1",
        "second backward differs",
        "The dropout draws one mask on the way forward and another on the way back.",
        layer="Dropout1",
        also=("b1",),
    ),
    wrong(
        "tied_weights_one_gradient",
        lambda: TiedNetwork(*weights(4, 4, scale=0.5)),
        labelled(5, 4, classes=4),
        "W",
        None,
        "Two layers share W, and only the second one's gradient is returned.",
    ),
    wrong(
        "autoencoder_not_transposed",
        lambda: Autoencoder(weights(4, 4, scale=0.5)[0]),
        normal((5, 4), (5, 4)),
        "W",
        None,
        "The decoder uses W.T, and its gradient is added to that of W untransposed; W is square.",
    ),
    wrong(
        "rnn_network_last_step_only",
        lambda: RnnNetwork(3, 4, 3),
        labelled(5, 4, 3, classes=3),
        "Wh",
        None,
        "The gradient of Wh is assigned at each step of time instead of added: only one step's is left.",
    ),
    wrong(
        "two_layer_net_updated_too_early",
        lambda: TwoLayerNet(4, 6, 3),
        BATCH,
        "W1",
        None,
        "What goes back to the first layer is computed with the W2 of after the update.",
        also=("b1",),
    ),
    wrong(
        "regression_float32_difference",
        lambda: Regression(weights(3, scale=0.01)[0]),
        remote,
        "w",
        None,
        "The difference of two numbers around 4000 is taken in float32, which leaves it two or three digits.",
        also=("b",),
    ),
    wrong(
        "network_subclassed_affine",
        subclassed,
        BATCH,
        "W1",
        "factor -1",
        "The package's Affine with backward replaced: the sign of dx is turned.",
        layer="Affine2",
        also=("b1",),
    ),
    wrong(
        "network_subclassed_loss",
        subclassed_loss,
        BATCH,
        "W1",
        "sum for mean",
        "The package's SoftmaxWithLoss with backward replaced: the gradient of the sum over the batch.",
        layer="last_layer",
        also=("b1",),
    ),
)
