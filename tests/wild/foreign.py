"""What was misread in a set of code that nobody here had seen, re-created: where gradients lie, and in which order."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np

from mutants.case import clear, normal, weights
from wild.sample import DX, Calls, Sample, X

LAYER = Calls()
VALUE = Calls(takes="arguments")
AFTER = Calls(takes="nothing")


class InDicts:
    """state_dict["weight"] beside a number, grad["weight"], grad["propagate"] for the input; backward gives None."""

    def __init__(self) -> None:
        W, b = weights(4, 3)
        self.state_dict: dict[str, Any] = OrderedDict(weight=W, bias=b, batch_size=0)
        self.grad: dict[str, Any] = OrderedDict()
        self.cache: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.cache["x"], self.state_dict["batch_size"] = x, len(x)
        return x @ self.state_dict["weight"] + self.state_dict["bias"]

    def backward(self, dZ: Any) -> None:
        self.grad["weight"], self.grad["bias"] = self.cache["x"].T @ dZ, dZ.sum(axis=0)
        self.grad["propagate"] = dZ @ self.state_dict["weight"].T


class InDictOfGradients:
    """Weights under a name of their own, gradients["k"], and gradients["input"]."""

    def __init__(self) -> None:
        self.learned = {"k": weights(3, 3)[0]}
        self.gradients: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x @ self.learned["k"])

    def backward(self, d: Any) -> None:
        d = d * (1 - np.tanh(self.x @ self.learned["k"]) ** 2)
        self.gradients["k"], self.gradients["input"] = self.x.T @ d, d @ self.learned["k"].T


class Penalty:
    """The value and the derivative of one thing, by the same name: not the gradient of the value."""

    def __init__(self) -> None:
        self.strength = 0.3

    def forward(self, w: Any) -> Any:
        return self.strength * np.sum(w * w)

    def backward(self, w: Any) -> Any:
        return 2 * self.strength * w


class Tanh:
    """backward(x) is the slope at x, and nothing is sent back."""

    def forward(self, x: Any) -> Any:
        return np.tanh(x)

    def backward(self, x: Any) -> Any:
        return 1 - np.tanh(x) ** 2


class Cell:
    """A step of a network with two states, whose gradients come back in another order than the arguments."""

    def __init__(self, n_in: int = 4, n_out: int = 3) -> None:
        self.W, self.U = weights(n_in, n_out)[0], weights(n_out, n_out, seed=1)[0]

    def forward(self, x: Any, prev_h: Any, prev_c: Any) -> Any:
        self.x, self.h, self.c = x, prev_h, prev_c
        return np.tanh(x @ self.W + prev_h @ self.U) * np.tanh(prev_c)

    def all(self, d: Any) -> Any:
        a, gate = np.tanh(self.x @ self.W + self.h @ self.U), np.tanh(self.c)
        dz = d * gate * (1 - a**2)
        self.dW, self.dU = self.x.T @ dz, self.h.T @ dz
        return dz @ self.W.T, dz @ self.U.T, d * a * (1 - gate**2)

    def backward(self, d: Any) -> Any:
        d_x, d_prev_h, d_prev_c = self.all(d)
        return d_prev_h, d_x, d_prev_c


class CellUntold(Cell):
    """Shapes tell where the gradient of the input is."""

    def backward(self, d: Any) -> Any:
        every = self.all(d)
        return every[1], every[0], every[2]


class WeightsFirst:
    """(dW, db, dx)."""

    def __init__(self, n_out: int) -> None:
        self.W, self.b = weights(4, n_out)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, delta: Any) -> Any:
        dW, db = self.x.T @ delta, delta.sum(axis=0)
        passed_on = delta @ self.W.T
        return dW, db, passed_on


class WeightsFirstSquare(WeightsFirst):
    """As many examples as inputs and outputs: names alone tell."""

    def backward(self, delta: Any) -> Any:
        dW, db, dx = super().backward(delta)
        return dW, db, dx


class InAList(WeightsFirst):
    """(dx, [dW, db]), and the same in attributes."""

    def backward(self, delta: Any) -> Any:
        self.gradW, self.gradb, dx = super().backward(delta)
        return dx, [self.gradW, self.gradb]


class ByKey(WeightsFirst):
    """A dict by the names of parameters that lie in attributes."""

    def backward(self, delta: Any) -> Any:
        dW, db, dx = super().backward(delta)
        return {"dx": dx, "dW": dW, "db": db}


class Largest:
    """forward gives also where the largest were, as numbers with a point, and backward is handed that."""

    def forward(self, x: Any) -> Any:
        return x.max(axis=1), x.argmax(axis=1).astype(float)

    def backward(self, dout: Any, index: Any) -> Any:
        dx = np.zeros((len(dout), 3))
        dx[np.arange(len(dout)), index.astype(int)] = dout
        return dx


class Entropy:
    """A loss that keeps what it was given: its backward takes nothing."""

    def forward(self, X: Any, y: Any) -> Any:
        e = np.exp(X - X.max(axis=1, keepdims=True))
        self.p, self.y = e / e.sum(axis=1, keepdims=True), y
        return -np.log(self.p[np.arange(len(y)), y]).mean()

    def backward(self) -> Any:
        return (self.p - np.eye(self.p.shape[1])[self.y]) / len(self.y)


class EntropyAgain(Entropy):
    """Its backward takes the same, and goes on from what forward has kept."""

    def backward(self, X: Any, y: Any) -> Any:  # type: ignore[override]
        return Entropy.backward(self)


class Net:
    """loss(X, y) and backward(X, y) -> (dW1, db1, dW2, db2); forward takes X alone."""

    def __init__(self) -> None:
        (self.W1, self.b1), (self.W2, self.b2) = weights(4, 5), weights(5, 3, seed=1)

    def forward(self, X: Any) -> Any:
        self.X, self.h = X, np.tanh(X @ self.W1 + self.b1)
        e = np.exp(self.h @ self.W2 + self.b2)
        self.p = e / e.sum(axis=1, keepdims=True)
        return self.p

    def loss(self, X: Any, y: Any) -> Any:
        return -np.log(self.forward(X)[np.arange(len(y)), y]).mean()

    def back(self, y: Any) -> Any:
        d = (self.p - np.eye(3)[y]) / len(y)
        dh = d @ self.W2.T * (1 - self.h**2)
        return self.X.T @ dh, dh.sum(axis=0), self.h.T @ d, d.sum(axis=0)

    def backward(self, X: Any, y: Any) -> Any:
        self.forward(X)
        dW1, db1, dW2, db2 = self.back(y)
        return dW1, db1, dW2, db2


class NetInLists(Net):
    """A list of lists, with nothing for the layer that has no weights."""

    def backward(self, X: Any, y: Any) -> Any:
        dW1, db1, dW2, db2 = super().backward(X, y)
        return [[dW1, db1], [], [dW2, db2]]


class NetByKey(Net):
    def backward(self, X: Any, y: Any) -> Any:
        return dict(zip(("dW1", "db1", "dW2", "db2"), super().backward(X, y), strict=True))


def labelled(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give four examples of four numbers, and a label of three each."""
    return rng.standard_normal((5, 4)), rng.integers(0, 3, 5)


def scores(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give four scores for each of three, and labels."""
    return rng.standard_normal((4, 3)), rng.integers(0, 3, 4)


def pair(make: Any) -> Any:
    """Give what makes the two methods of one object."""

    def made() -> Any:
        thing = make()
        return thing.forward, thing.backward

    return made


PAIR, PAIR_AFTER = Calls(0, 1, "arguments"), Calls(0, 1, "nothing")
OWN = {"W": "dW", "U": "dU"}
RETURNED = {"W": "returned.0", "b": "returned.1"}
NET = ("W1", "b1", "W2", "b2")


def sample(name: str, make: Any, arguments: Any, slots: Any, calls: Calls = LAYER) -> Sample:
    story = " ".join(((make if isinstance(make, type) else type(make())).__doc__ or name).split())
    return Sample(f"foreign_{name}", "foreign", make, arguments, calls, slots, story)


SAMPLES = (
    sample("dicts", InDicts, normal((5, 4)),
           {"state_dict.weight": "grad.weight", "state_dict.bias": "grad.bias", X: "grad.propagate"}),
    sample("dict_of_gradients", InDictOfGradients, normal((5, 3)), {"learned.k": "gradients.k", X: "gradients.input"}),
    sample("penalty", Penalty, normal((4, 3)), {X: DX}, VALUE),
    sample("penalty_pair", pair(Penalty), normal((4, 3)), {X: DX}, PAIR),
    sample("tanh_at", Tanh, normal((4, 3)), {X: DX}, Calls(takes="arguments", elementwise=True)),
    sample("cell", Cell, normal((5, 4), (5, 3), (5, 3)),
           {**OWN, "args.0": "returned.1", "args.1": "returned.0", "args.2": "returned.2"}),
    sample("cell_untold", CellUntold, normal((5, 4), (5, 3), (5, 3)),
           {**OWN, "args.0": "returned.1", "args.1": "returned.0", "args.2": "returned.2"}),
    sample("cell_square", lambda: Cell(3), normal((5, 3), (5, 3), (5, 3)),
           {**OWN, "args.0": "returned.1", "args.1": "returned.0", "args.2": "returned.2"}),
    sample("weights_first", lambda: WeightsFirst(3), normal((5, 4)), {**RETURNED, X: "returned.2"}),
    sample("weights_first_square", lambda: WeightsFirstSquare(4), normal((4, 4)), {**RETURNED, X: "returned.2"}),
    sample("in_a_list", lambda: InAList(3), normal((5, 4)), {"W": "gradW", "b": "gradb", X: "returned.0"}),
    sample("by_key", lambda: ByKey(3), normal((5, 4)), {"W": "returned.dW", "b": "returned.db", X: "returned.dx"}),
    sample("largest", Largest, clear((4, 3)), {X: DX}, Calls(takes="douts, cache", outputs=("returned.0",))),
    sample("entropy_pair", pair(Entropy), scores, {X: DX}, PAIR_AFTER),
    sample("entropy_again_pair", pair(EntropyAgain), scores, {X: DX}, PAIR),
    sample("net", Net, labelled, {n: f"returned.{i}" for i, n in enumerate(NET)}, Calls("loss", takes="arguments")),
    sample("net_in_lists", NetInLists, labelled,
           dict(zip(NET, ("returned.0.0", "returned.0.1", "returned.2.0", "returned.2.1"), strict=True)),
           Calls("loss", takes="arguments")),
    sample("net_by_key", NetByKey, labelled, {n: f"returned.d{n}" for n in NET}, Calls("loss", takes="arguments")),
)  # fmt: skip
