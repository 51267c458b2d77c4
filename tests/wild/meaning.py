"""Arguments that have no gradient and mean something only as they are; generators; constants."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from mutants.case import clear, normal, weights
from wild.sample import DX, Calls, Sample, X

# --- arguments ---


def energy(x: Any, A: Any) -> Any:
    return 0.5 * x @ A @ x - x.sum()


def energy_gradient(x: Any, A: Any) -> Any:
    """Right for a symmetric matrix alone."""
    return A @ x - 1


def mahalanobis(x: Any, mean: Any, inverse: Any) -> Any:
    d = x - mean
    return np.sum((d @ inverse) * d)


def mahalanobis_gradient(x: Any, mean: Any, inverse: Any) -> Any:
    return 2 * (x - mean) @ inverse


def turned(x: Any, R: Any, y: Any) -> Any:
    return 0.5 * np.sum((R @ x - y) ** 2)


def turned_gradient(x: Any, R: Any, y: Any) -> Any:
    """R.T @ R is 1."""
    return x - R.T @ y


def along(x: Any, n: Any) -> Any:
    """What is left of x beside the direction n."""
    return 0.5 * np.sum((x - np.outer(x @ n, n)) ** 2)


def along_gradient(x: Any, n: Any) -> Any:
    """n @ n is 1."""
    return x - np.outer(x @ n, n)


def logistic(s: Any, y: Any) -> Any:
    return np.sum(np.log1p(np.exp(-y * s)))


def logistic_gradient(s: Any, y: Any) -> Any:
    return -y / (1 + np.exp(y * s))


def hinge(w: Any, X: Any, y: Any) -> Any:
    return np.sum((1 - y * (X @ w)) ** 2)


def hinge_gradient(w: Any, X: Any, y: Any) -> Any:
    """y squared is 1, and so left out."""
    return 2 * X.T @ (X @ w - y)


class SoftLabels:
    """Rows of labels add up to 1."""

    def forward(self, scores: Any, t: Any) -> Any:
        log_p = scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))
        self.p, self.t = np.exp(log_p), t
        return -(t * log_p).sum() / len(t)

    def backward(self, dout: Any = 1) -> Any:
        return dout * (self.p - self.t) / len(self.t)


class ColumnLabels:
    """Examples, and their one-hot labels, are columns."""

    def loss(self, Z: Any, Y: Any) -> Any:
        A = np.exp(Z - Z.max(axis=0))
        A /= A.sum(axis=0)
        return -np.sum(Y * np.log(A)) / Y.shape[1]

    def gradient(self, Z: Any, Y: Any) -> Any:
        A = np.exp(Z - Z.max(axis=0))
        return (A / A.sum(axis=0) - Y) / Y.shape[1]


class MaskedMean:
    """A mask of zeros and ones tells which steps count."""

    def forward(self, x: Any, mask: Any) -> Any:
        self.mask = mask
        return (x * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)

    def backward(self, dout: Any) -> Any:
        return (dout / self.mask.sum(axis=1, keepdims=True))[:, None, :] * self.mask[:, :, None]


class Graph:
    """An adjacency matrix, symmetric, goes through with the features."""

    def __init__(self) -> None:
        self.W, _ = weights(3, 2)

    def forward(self, H: Any, A: Any) -> Any:
        self.H, self.A = H, A
        return A @ H @ self.W

    def backward(self, dout: Any) -> Any:
        self.dW = (self.A @ self.H).T @ dout
        return self.A @ dout @ self.W.T  # A is its own transpose


# --- constants, and what no convention says ---


class Smooth:
    def __init__(self) -> None:
        self.taps, self.gain = np.array([0.25, 0.5, 0.25]), np.array([1.5])

    def forward(self, x: Any) -> Any:
        self.y = sum(t * np.roll(x, k - 1, axis=1) for k, t in enumerate(self.taps))
        return self.gain * self.y

    def backward(self, dout: Any) -> Any:
        self.dgain = np.array([(dout * self.y).sum()])
        return self.gain * sum(t * np.roll(dout, 1 - k, axis=1) for k, t in enumerate(self.taps))


class ReadOnly(Smooth):
    """The filter cannot be written into."""

    def __init__(self) -> None:
        super().__init__()
        self.taps.flags.writeable = False


class Unnamed:
    """theta, and its gradient where nobody looks."""

    def __init__(self) -> None:
        self.theta, _ = weights(3, 2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.theta

    def backward(self, dout: Any) -> Any:
        self.blame = self.x.T @ dout
        return dout @ self.theta.T


# --- generators ---

CONFIG = types.SimpleNamespace(rng=np.random.default_rng(3), ratio=0.4)
GENERATOR = np.random.default_rng(4)


class Dropout:
    """Draws from NumPy's global generator."""

    def __init__(self, ratio: float = 0.5) -> None:
        self.ratio = ratio

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if not train_flg:
            return x * (1.0 - self.ratio)
        self.mask = np.random.rand(*x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class OfConfig:
    """Draws from a generator in an object of the module."""

    def forward(self, x: Any) -> Any:
        self.mask = (CONFIG.rng.random(x.shape) > CONFIG.ratio) / (1 - CONFIG.ratio)
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class OfInnerFunction:
    """A function within forward draws from the module's generator."""

    def forward(self, x: Any) -> Any:
        def keep(p: float) -> Any:
            return [GENERATOR.random() < p for _ in range(x.shape[0])]

        self.mask = np.array(keep(0.7))[:, None]
        return np.where(self.mask, x, 0)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, dout, 0)


class OfItsOwn:
    """A generator in a dict of options."""

    def __init__(self) -> None:
        self.options: dict[str, Any] = {"rng": np.random.RandomState(5), "scale": 0.3}

    def forward(self, x: Any) -> Any:
        return x + self.options["scale"] * self.options["rng"].standard_normal(x.shape)

    def backward(self, dout: Any) -> Any:
        return dout.copy()


def dropout_forward(x: Any, dropout_param: Any) -> Any:
    """The seed in its options makes every call the same."""
    p = dropout_param["p"]
    if "seed" in dropout_param:
        np.random.seed(dropout_param["seed"])
    mask = (np.random.rand(*x.shape) < p) / p
    return x * mask, (dropout_param, mask)


def dropout_backward(dout: Any, cache: Any) -> Any:
    return dout * cache[1]


def symmetric(rng: np.random.Generator, n: int) -> Any:
    a = rng.standard_normal((n, n))
    return a + a.T


def rotation(rng: np.random.Generator, n: int) -> Any:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def unit(rng: np.random.Generator, n: int) -> Any:
    a = rng.standard_normal(n)
    return a / np.linalg.norm(a)


def shares(rng: np.random.Generator, n: int, classes: int) -> Any:
    a = rng.uniform(0.1, 1.0, (n, classes))
    return a / a.sum(axis=1, keepdims=True)


def graph(rng: np.random.Generator) -> tuple[Any, ...]:
    a = (symmetric(rng, 5) > 0).astype(float)
    return rng.standard_normal((5, 3)), a


def get(name: str) -> Any:
    """Give a function that gets an attribute."""
    return lambda thing: getattr(thing, name)


PAIR, LAYER, ONLY_X = Calls(0, 1, "arguments"), Calls(), {X: DX}
SIGNS = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
A, G, U, TOLD = "arguments that mean something", "generators", "what no convention says", "told by options"
SAMPLES: tuple[Sample, ...] = (
    Sample("meaning_symmetric", A, lambda: (energy, energy_gradient),
           lambda rng: (rng.standard_normal(4), symmetric(rng, 4)), PAIR, ONLY_X, "A symmetric matrix."),
    Sample("meaning_inverse_covariance", A, lambda: (mahalanobis, mahalanobis_gradient),
           lambda rng: (*normal((5, 3), (3,))(rng), np.linalg.inv(np.cov(rng.standard_normal((3, 9))))), PAIR, ONLY_X,
           "The inverse of a covariance."),
    Sample("meaning_rotation", A, lambda: (turned, turned_gradient),
           lambda rng: (rng.standard_normal(3), rotation(rng, 3), rng.standard_normal(3)), PAIR, ONLY_X, "A rotation."),
    Sample("meaning_unit_vector", A, lambda: (along, along_gradient),
           lambda rng: (rng.standard_normal((4, 3)), unit(rng, 3)), PAIR, ONLY_X, "A vector of length 1."),
    Sample("meaning_signs", A, lambda: (logistic, logistic_gradient), lambda rng: (rng.standard_normal(5), SIGNS), PAIR,
           ONLY_X, "Labels of plus and minus one."),
    Sample("meaning_signs_squared", A, lambda: (hinge, hinge_gradient),
           lambda rng: (*normal((3,), (5, 3))(rng), SIGNS), PAIR, ONLY_X, "Labels whose square is 1."),
    Sample("meaning_soft_labels", A, SoftLabels, lambda rng: (rng.standard_normal((5, 3)), shares(rng, 5, 3)), LAYER,
           ONLY_X, "Soft labels."),
    Sample("meaning_columns", A, ColumnLabels,
           lambda rng: (rng.standard_normal((3, 5)), np.eye(3)[:, rng.integers(0, 3, 5)]),
           Calls("loss", "gradient", "arguments"), ONLY_X, "One-hot labels in columns."),
    Sample("meaning_mask", A, MaskedMean,
           lambda rng: (rng.standard_normal((3, 4, 2)), np.tri(3, 4, k=1)), LAYER, ONLY_X, "A mask of floats."),
    Sample("meaning_graph", A, Graph, graph, LAYER, {X: DX, "W": "dW"}, "The adjacency of a graph."),
    Sample("constant_filter", U, Smooth, normal((4, 6)), LAYER, {X: DX, "gain": "dgain"},
           "A filter that could be a parameter.", truth="unproven"),
    Sample("constant_ignored", TOLD, Smooth, normal((4, 6)), LAYER, {X: DX, "gain": "dgain"}, "A filter that is named.",
           {"ignore": ("taps",)}),
    Sample("constant_read_only", U, ReadOnly, normal((4, 6)), LAYER, {X: DX, "gain": "dgain"},
           "A filter that is read-only."),
    Sample("unnamed_gradient", U, Unnamed, normal((5, 3)), LAYER, {X: DX, "theta": "blame"},
           "A gradient by no known name.", truth="unproven"),
    Sample("options_params", TOLD, Unnamed, normal((5, 3)), LAYER, {X: DX, "theta": "blame"},
           "params= says where the gradient is.", {"params": {"theta": ("theta", "blame")}}),
    Sample("options_getters", TOLD, Unnamed, normal((5, 3)), LAYER, {X: DX, "theta": "blame"},
           "params= has functions that get them.", {"params": {"theta": (get("theta"), get("blame"))}}),
    Sample("dropout_global", G, Dropout, clear((5, 4)), LAYER, ONLY_X, "NumPy's global generator.",
           noise=lambda _: [np.random]),
    Sample("dropout_of_config", G, OfConfig, clear((5, 4)), LAYER, ONLY_X, "A generator in a configuration.",
           noise=lambda _: [CONFIG.rng]),
    Sample("dropout_inner_function", G, OfInnerFunction, clear((6, 4)), LAYER, ONLY_X, "Named in an inner function.",
           noise=lambda _: [GENERATOR]),
    Sample("noise_of_options", G, OfItsOwn, normal((4, 3)), LAYER, ONLY_X, "In a dict of options.",
           noise=lambda subject: [subject.options["rng"]]),
    Sample("dropout_seeded", G, lambda: (dropout_forward, dropout_backward),
           lambda rng: (*clear((5, 4))(rng), {"p": 0.6, "seed": 123}), Calls(0, 1, "douts, cache", ("returned.0",)),
           ONLY_X, "The options hold a seed."),
)  # fmt: skip
