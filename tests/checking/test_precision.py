"""Numbers that must not be believed too early: fewer digits inside, tiny entries, slopes beside a large f."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients
from chainrule.checking.perturbation import Rounding
from chainrule.checking.precision import FLOAT16, FLOAT32, Stairs, stairs

SEEDS = range(20)
MODES = ["full", "directions"]


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 32])


def differs(report: GradientReport) -> bool:
    """Tell whether numbers were found wrong, not only a contract of code whose backward rounds too."""
    return any(a.verdict == "wrong" for a in report.arrays)


# --- float32 and float16 inside ---


class Rounds:
    """An affine layer, or x + tanh x, that rounds somewhere on the way; `spoil` is done to the gradient of x."""

    def __init__(self, where: str, dtype: Any, seed: int, spoil: Callable[[Any], Any]) -> None:
        self.where, self.dtype, self.spoil = where, dtype, spoil
        self.W = rng(seed).standard_normal((3, 3))

    def inside(self, a: Any, where: str) -> Any:
        return a.astype(self.dtype).astype(np.float64) if where == self.where else a

    def forward(self, x: Any) -> Any:
        self.x = self.inside(x, "the input")
        self.t = np.tanh(self.x)
        self.product = self.inside(self.x @ self.W, "a product")
        return self.inside(self.product + self.t, "the output")

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return self.spoil(dout @ self.W.T + dout * (1 - self.t**2))


def largest_zeroed(g: Any) -> Any:
    g = np.array(g)
    g.reshape(-1)[np.abs(g).argmax()] = 0
    return g


SPOILT: dict[str, Callable[[Any], Any]] = {
    "zero": lambda g: 0 * g,
    "doubled": lambda g: 2 * g,
    "negated": lambda g: -g,
    "one entry zero": largest_zeroed,
}


def rounding(where: str, dtype: Any, seed: int, mode: Any, spoil: Callable[[Any], Any]) -> GradientReport:
    return check_gradients(Rounds(where, dtype, seed, spoil), rng(seed + 100).standard_normal((3, 3)), mode=mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["the input", "a product", "the output"])
def test_right_code_with_float32_inside_is_right(where: str, mode: str) -> None:
    reports = [rounding(where, np.float32, seed, mode, lambda g: g) for seed in SEEDS]
    assert [r.verdict for r in reports] == ["right"] * len(SEEDS)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["the input", "a product", "the output"])
def test_right_code_with_float16_inside_is_never_wrong(where: str, mode: str) -> None:
    reports = [rounding(where, np.float16, seed, mode, lambda g: g) for seed in SEEDS]
    assert not any(map(differs, reports))


@pytest.mark.parametrize("how", SPOILT)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", ["the input", "a product", "the output"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_wrong_gradient_is_caught_though_the_code_rounds_inside(dtype: Any, where: str, mode: str, how: str) -> None:
    reports = [rounding(where, dtype, seed, mode, SPOILT[how]) for seed in range(5)]
    assert all(map(differs, reports))


def single_loss(x: Any) -> float:
    return float((x.astype(np.float32) ** 2).sum(dtype=np.float32))


@pytest.mark.parametrize("mode", MODES)
def test_a_loss_of_float32_is_right_or_wrong_as_its_gradient_is(mode: Any) -> None:
    for seed in SEEDS:
        x = rng(seed).standard_normal((4, 3))
        assert check_gradients((single_loss, lambda x: 2 * x), x, mode=mode).verdict != "wrong"
        for factor in (0.0, 1.0, 4.0, -2.0):
            assert differs(check_gradients((single_loss, lambda x, k=factor: k * x), x, mode=mode))


def test_a_loss_of_float16_whose_stairs_are_longer_than_many_steps_is_never_called_wrong() -> None:
    """Of the smallest entries not even a quarter of 1 shows."""
    for seed in SEEDS:
        x = rng(seed).standard_normal((5, 3))
        report = check_gradients((lambda x: float(np.float16((x**2).sum())), lambda x: 2 * x), x, mode="full")
        assert not differs(report), str(report)


def test_an_entry_whose_stairs_do_not_show_is_as_noisy_as_the_whole_array() -> None:
    whole = Stairs(np.array([1e-3, 1e-3]), np.array([True, False]), FLOAT16)
    noise = Rounding(whole).noise(0, lambda offsets: np.array([[p, p] for p in offsets]), np.array([1e-16, 1e-16]))
    assert noise[0] == 1e-3
    assert noise[1] < 1e-15


class SingleNetwork:
    """A network in float64 that goes through float32 between its layers."""

    def __init__(self, seed: int, factor: float) -> None:
        shapes = {"W1": (3, 4), "b1": (4,), "W2": (4, 2), "b2": (2,)}
        self.params = {name: rng(seed).standard_normal(shape) for name, shape in shapes.items()}
        self.factor = factor

    def loss(self, x: Any, t: Any) -> Any:
        p = self.params
        self.h = np.tanh((x @ p["W1"] + p["b1"]).astype(np.float32)).astype(np.float64)
        scores = self.h @ p["W2"] + p["b2"]
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        d = (self.y - np.eye(2)[t]) / len(t)
        grads = {"W2": self.h.T @ d, "b2": d.sum(axis=0)}
        d = (d @ self.params["W2"].T) * (1 - self.h**2)
        return {"W1": self.factor * x.T @ d, "b1": d.sum(axis=0), **grads}


@pytest.mark.parametrize("mode", MODES)
def test_a_network_that_rounds_to_float32_between_its_layers(mode: Any) -> None:
    for seed in SEEDS:
        batch = rng(seed + 1).standard_normal((5, 3)), np.arange(5) % 2
        assert not differs(check_gradients(SingleNetwork(seed, 1.0), *batch, mode=mode))
        for factor in (0.0, 2.0):
            assert differs(check_gradients(SingleNetwork(seed, factor), *batch, mode=mode))


def test_what_float16_cannot_show_is_unresolved_and_the_report_says_why() -> None:
    (report,) = [rounding("the output", np.float16, 0, "full", lambda g: g)]
    unresolved = [a for a in report.arrays if a.verdict == "unresolved"]
    assert report.verdict == "unproven"
    assert all("rounds to float16 inside" in a.note and "unresolved, the worst" in a.note for a in unresolved)
    assert all(a.checked < np.prod(a.shape) for a in unresolved)


def line_of(f: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda offsets: np.array([np.atleast_1d(f(1.2345678912345 + p)) for p in offsets])


@pytest.mark.parametrize(
    ("f", "epsilon"),
    [
        (lambda x: float(np.float32(x)), FLOAT32),
        (lambda x: x + float(np.float32(np.sin(x))), FLOAT32),
        (lambda x: float(np.float16(x)), FLOAT16),
        (lambda x: x**2 + float(np.float16(x)), FLOAT16),
        (lambda x: float(np.float32(x + 1000)), FLOAT16),
        (np.sin, 0.0),
        (lambda x: np.sin(1e4 * x), 0.0),
        (lambda x: np.exp(20 * x), 0.0),
        (lambda x: abs(x - 1.2345), 0.0),
        (lambda x: max(x - 1.3, 0), 0.0),
        (lambda x: float(x > 1.25), 0.0),
        (lambda x: x + 1e9, 0.0),
        (lambda x: x + 1e15, 0.0),
    ],
)
def test_stairs_are_seen_and_nothing_else_is_taken_for_them(f: Callable[[Any], Any], epsilon: float) -> None:
    found = stairs(line_of(f), np.zeros(1))
    assert found.epsilon == epsilon
    assert found.hidden.any() == (epsilon > 0)


@pytest.mark.parametrize("size", [1.0, 0.3, 1.9, 0.639, 7.7])
def test_the_height_of_stairs_is_that_of_an_ulp_about(size: float) -> None:
    """Also where points evenly apart would all lie on the same part of a stair."""
    for seed in range(200):
        x = size * (1 + 0.3 * rng(seed).random())

        def line(offsets: Any, x: float = x) -> Any:
            return np.array([[float(np.float32(x * (1 + p)))] for p in offsets])

        height = stairs(line, np.zeros(1)).noise[0] / np.spacing(np.float32(x))
        assert 0.3 < height < 6


# --- entries that are tiny beside others ---

TINY: dict[str, tuple[Callable[..., float], Callable[..., Any]]] = {
    "linear": (lambda x, c: float(c @ x), lambda x, c: c.copy()),
    "quadratic": (lambda x, c: float(c @ x**2), lambda x, c: 2 * c * x),
    "exponential": (lambda x, c: float(c @ np.exp(x)), lambda x, c: c * np.exp(x)),
}


@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("kind", TINY)
def test_an_entry_a_billionth_of_the_largest_is_compared(kind: str, size: float) -> None:
    f, gradient = TINY[kind]
    for seed in range(5):
        x = rng(seed).uniform(0.5, 1.5, 4) * size
        scale = size if kind == "exponential" else 1.0
        c = np.array([1.0, 1e-9, -0.3, 2.0])

        def value(x: Any, c: Any = c, s: float = scale) -> float:
            return f(x / s, c)

        def right(x: Any, c: Any = c, s: float = scale) -> Any:
            return gradient(x / s, c) / s

        assert check_gradients((value, right), x).ok
        for factor in (0.0, 2.0, -1.0):

            def wrong(x: Any, k: float = factor, right: Any = right) -> Any:
                return right(x) * np.array([1, k, 1, 1])

            report = check_gradients((value, wrong), x)
            assert report.arrays[0].verdict == "wrong"
            assert report.arrays[0].where == (1,)


def brown(x: Any) -> Any:
    """Brown's badly scaled function, of Moré, Garbow and Hillstrom: a slope of -4e-6 beside f = 1e12."""
    return (x[0] - 1e6) ** 2 + (x[1] - 2e-6) ** 2 + (x[0] * x[1] - 2) ** 2


def brown_gradient(x: Any) -> Any:
    r = x[0] * x[1] - 2
    return np.array([2 * (x[0] - 1e6) + 2 * r * x[1], 2 * (x[1] - 2e-6) + 2 * r * x[0]])


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "right"), (2.0, "wrong"), (0.0, "wrong"), (-1.0, "wrong")])
def test_a_slope_that_only_a_far_step_shows(factor: float, verdict: str) -> None:
    pair = (brown, lambda x: brown_gradient(x) * np.array([1, factor]))
    assert check_gradients(pair, np.ones(2)).verdict == verdict


def test_a_far_step_is_not_believed_of_what_is_bounded() -> None:
    """Beside 1e13 the slope of a sine is not seen by short steps, and far ones show none at all."""
    for seed in range(10):
        x = rng(seed).uniform(0.2, 1.0, 3)
        assert check_gradients((lambda x: float(1e13 + np.sin(x).sum()), np.cos), x).verdict == "unproven"


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "right"), (2.0, "wrong"), (0.0, "wrong")])
def test_a_tiny_entry_of_a_huge_parameter(factor: float, verdict: str) -> None:
    def f(p: Any) -> Any:
        return p[0] * np.exp(-p[1] / 2494.2)

    def gradient(p: Any) -> Any:
        return np.array([factor * np.exp(-p[1] / 2494.2), -p[0] / 2494.2 * np.exp(-p[1] / 2494.2)])

    assert check_gradients((f, gradient), np.array([1e13, 8e4])).verdict == verdict


class Bias:
    """x W + b, as one number or as it is."""

    def __init__(self, size: float, factor: float) -> None:
        self.W, self.b, self.factor = size * rng(0).standard_normal((3, 2)), np.ones(2), factor

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.x.T @ dout, self.factor * dout.sum(axis=0)
        return dout @ self.W.T


@pytest.mark.parametrize("size", [1e9, 1e12, 1e15])
def test_a_bias_of_1_beside_large_products(size: float) -> None:
    x = rng(1).standard_normal((5, 3))
    assert check_gradients(Bias(size, 1.0), x).ok
    for factor in (0.0, 2.0, -1.0):
        assert {a.name: a.verdict for a in check_gradients(Bias(size, factor), x).arrays}["b"] == "wrong"


def test_a_zero_that_a_large_f_hides_is_not_compared() -> None:
    """The slope of the second is 0 on both sides as far as can be seen, and 1e-9 in truth."""
    pair = (lambda x: float(1e7 + x[0] + 1e-9 * x[1]), lambda x: np.array([1.0, 0.0]))
    assert check_gradients(pair, np.array([0.7, 0.3])).verdict != "right"


@pytest.mark.parametrize("seed", range(5))
def test_zeros_and_what_is_nearly_0_are_compared(seed: int) -> None:
    """Masked entries of a ReLU, and a softmax that is certain to 1e-12."""
    x = rng(seed).standard_normal((4, 5))

    def masked(x: Any) -> float:
        return float((np.maximum(x, 0) ** 2).sum())

    assert check_gradients((masked, lambda x: 2 * np.maximum(x, 0)), x).ok

    def certain(x: Any) -> float:
        return float(np.log(np.exp(x - x[0]).sum()))

    def probabilities(x: Any) -> Any:
        e = np.exp(x - x[0])
        return e / e.sum() - np.eye(len(x))[0]

    # A slope of 1e-12 beside one of a half: what is smaller still, down to 1e-13 of it, noise may hide.
    assert check_gradients((certain, probabilities), np.array([0.0, 0.1 + 0.01 * seed, -27.6, -19.0])).ok
