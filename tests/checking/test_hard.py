"""Subjects that have misled the check: right ones it called wrong, wrong ones it let pass, faults blamed on others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
import seed_reference
from chainrule import GradientReport, check_gradients
from mutants import parts
from mutants.case import weights

SEEDS = range(3)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 99])


def verdicts(report: GradientReport) -> dict[str, str]:
    return {a.name: a.verdict for a in report.arrays}


# --- steps longer than the function's own features ---


class LayerNorm:
    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.xhat.copy()

    def backward(self, dout: Any) -> Any:
        mean = dout.mean(axis=1, keepdims=True)
        return (dout - mean - self.xhat * (dout * self.xhat).mean(axis=1, keepdims=True)) / self.std


def sine(k: float) -> Any:
    return (lambda x: np.sin(k * x).sum()), (lambda x: k * np.cos(k * x))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1e2, 1e3, 1e4])
@pytest.mark.parametrize("n", [10, 100, 300])
def test_fast_waves_are_no_false_alarm(k: float, n: int, seed: int) -> None:
    assert check_gradients(sine(k), rng(seed).standard_normal(n)).ok


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1e2, 1e3, 1e4])
def test_half_the_slope_of_a_fast_wave_is_caught(k: float, seed: int) -> None:
    f, gradient = sine(k)
    assert check_gradients((f, lambda x: gradient(x) / 2), rng(seed).standard_normal(100)).cause == "factor 1/2"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("shape", "offset"), [((4, 6), 1e4), ((20, 8), 1e4), ((40, 6), 1e5)])
def test_a_small_spread_beside_a_large_offset_is_no_false_alarm(shape: Any, offset: float, seed: int) -> None:
    assert check_gradients(LayerNorm(), offset + rng(seed).standard_normal(shape)).verdict != "wrong"


def test_a_day_in_seconds_is_no_false_alarm() -> None:
    time = 1.7e9 + 3600 * rng(0).random(50)
    assert check_gradients(sine(2 * np.pi / 86400), time).verdict != "wrong"


# --- where the noise comes from ---

module_generator = np.random.default_rng(4)


class Dropout:
    generator: Any = None

    def draw(self, shape: Any) -> Any:
        return self.generator.random(shape)

    def forward(self, x: Any) -> Any:
        self.mask = self.draw(x.shape) > 0.4
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class ModuleDropout(Dropout):
    def draw(self, shape: Any) -> Any:
        return module_generator.random(shape)


class ClassDropout(Dropout):
    generator = np.random.default_rng(5)


class SlotDropout:
    __slots__ = ("generator", "mask")

    def __init__(self) -> None:
        self.generator = np.random.default_rng(6)

    def forward(self, x: Any) -> Any:
        self.mask = self.generator.random(x.shape) > 0.4
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class LazyDropout(Dropout):
    def draw(self, shape: Any) -> Any:
        if self.generator is None:
            self.generator = np.random.default_rng(7)
        return self.generator.random(shape)


@pytest.mark.parametrize("kind", [ModuleDropout, ClassDropout, SlotDropout, LazyDropout])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_generator_is_found_wherever_it_stands(kind: Any, dtype: str) -> None:
    assert check_gradients(kind(), rng(0).standard_normal((5, 4)).astype(dtype)).ok


# --- float32, and arrays that are others' views ---


class FlatVector:
    """Keeps its parameters in one vector, and views of it."""

    def __init__(self, dtype: str) -> None:
        self.p = rng(3).standard_normal(8).astype(dtype)
        self.W, self.b = self.p[:6].reshape(3, 2), self.p[6:]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.p[:6].reshape(3, 2) + self.p[6:]

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class TransposedView(parts.Affine):
    def __init__(self, W: Any, b: Any) -> None:
        super().__init__(W, b)
        self.V = W.T

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.V.T + self.b


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_views_of_one_vector_are_no_false_alarm(dtype: str) -> None:
    report = check_gradients(FlatVector(dtype), rng(0).standard_normal((4, 3)).astype(dtype))
    assert report.verdict != "wrong", str(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_view_of_the_weights_is_no_false_alarm(dtype: str) -> None:
    layer = TransposedView(*(a.astype(dtype) for a in weights(3, 2)))
    assert check_gradients(layer, rng(0).standard_normal((4, 3)).astype(dtype)).verdict != "wrong"


class TwoNames(parts.Network):
    """Tied weights under two names, each with the whole gradient."""

    def __init__(self) -> None:
        W = weights(4, 4, scale=0.5)[0]
        self.first, self.second = parts.Affine(W, np.zeros(4)), parts.Affine(W, np.ones(4))
        self.tanh, self.last_layer = parts.Tanh(), parts.SoftmaxWithLoss()
        self.params = {"W1": W, "W2": W}

    def loss(self, x: Any, t: Any) -> Any:
        return self.last_layer.forward(self.second.forward(self.tanh.forward(self.first.forward(x))), t)

    def gradient(self, x: Any, t: Any) -> Any:
        self.loss(x, t)
        self.first.backward(self.tanh.backward(self.second.backward(self.last_layer.backward(1))))
        total = self.first.dW + self.second.dW
        return {"W1": total, "W2": total.copy()}


@pytest.mark.parametrize("seed", SEEDS)
def test_one_array_under_two_names_is_no_false_alarm(seed: int) -> None:
    assert check_gradients(TwoNames(), rng(seed).standard_normal((5, 4)), np.arange(5) % 4, ignore="b").ok


def test_a_small_row_beside_a_large_one_is_looked_at_in_float32_too() -> None:
    class ZeroRow(parts.Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW[1] = 0
            return dx

    x = (rng(0).standard_normal((4, 2)) * [1e3, 1e-3]).astype(np.float32)
    report = check_gradients(ZeroRow(rng(1).standard_normal((2, 3)).astype(np.float32), np.zeros(3, np.float32)), x)
    assert verdicts(report)["W"] == "wrong"
    assert report.cause == "zero rows"


@pytest.mark.parametrize("own", ["float32", "float64"])
def test_mixed_dtypes_are_no_false_alarm(own: str) -> None:
    """NumPy's product of the two is float64; chainrule's layer gives the dtype of its parameters, and dx in that."""
    x = rng(0).standard_normal((4, 3)).astype("float64" if own == "float32" else "float32")
    W, b = (a.astype(own) for a in weights(3, 2))
    assert check_gradients(parts.Affine(W, b), x).verdict != "wrong"


def test_big_endian_parameters_are_no_false_alarm() -> None:
    assert check_gradients(parts.Affine(*(a.astype(">f8") for a in weights(3, 2))), rng(0).standard_normal((4, 3))).ok


def test_float64_code_that_computes_in_float32_is_right_as_far_as_that_goes() -> None:
    class Inside:
        def forward(self, x: Any) -> Any:
            self.out = np.tanh(x.astype(np.float32)).astype(x.dtype)
            return self.out.copy()

        def backward(self, dout: Any) -> Any:
            return dout * (1 - self.out**2)

    for seed in range(5):
        assert check_gradients(Inside(), rng(seed).standard_normal((5, 4))).verdict != "wrong"


# --- ways to write a layer ---


class Gain:
    """The book's names for batch normalisation's parameters: gamma, beta and a d before each."""

    def __init__(self, right: bool) -> None:
        self.gamma, self.beta, self.right = np.array([1.0, 2.0, 0.5]), np.zeros(3), right

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.gamma * x + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.x).sum(axis=0) * self.right
        self.dbeta = dout.sum(axis=0)
        return dout * self.gamma


def test_any_array_with_a_gradient_beside_it_is_a_parameter() -> None:
    x = rng(0).standard_normal((5, 3))
    assert verdicts(check_gradients(Gain(True), x)) == {"x": "right", "gamma": "right", "beta": "right"}
    report = check_gradients(Gain(False), x)
    assert verdicts(report) == {"x": "right", "gamma": "wrong", "beta": "right"}
    assert report.cause == "zero"


def test_what_a_layer_remembers_is_no_parameter() -> None:
    class Remembers(parts.Tanh):
        def backward(self, dout: Any) -> Any:
            self.dout = dout.copy()
            self.dx = dout * (1 - self.out**2)
            self.x = self.out
            return self.dx.copy()

    assert verdicts(check_gradients(Remembers(), rng(0).standard_normal((3, 2)))) == {"x": "right"}


@pytest.mark.parametrize("returned", [lambda dx, dy: dx, lambda dx, dy: (dx, None), lambda dx, dy: (None, dy)])
def test_a_gradient_that_is_not_given_is_not_proved(returned: Any) -> None:
    class Product:
        def forward(self, x: Any, y: Any) -> Any:
            self.x, self.y = x, y
            return x * y

        def backward(self, dout: Any) -> Any:
            return returned(dout * self.y, dout * self.x)

    report = check_gradients(Product(), rng(0).standard_normal((3, 2)), rng(1).standard_normal((3, 2)))
    assert report.verdict == "unproven"
    assert "though the output depends on it" in str(report)


def test_a_backward_that_lets_go_of_what_it_remembered_is_right() -> None:
    class LetsGo(parts.Tanh):
        def backward(self, dout: Any) -> Any:
            out, self.out = self.out, None
            return dout * (1 - out**2)

    report = check_gradients(LetsGo(), rng(0).standard_normal((3, 2)))
    assert report.ok
    assert "a second call raises TypeError" in str(report)


def test_a_number_of_python_is_a_gradient() -> None:
    assert check_gradients((lambda x: 3 * x, lambda x: 3), 2.0).ok


def test_ties_in_a_choice_are_kinks() -> None:
    class TopTwo:
        def forward(self, x: Any) -> Any:
            self.chosen = np.argsort(-x, axis=1, kind="stable")[:, :2]
            return np.take_along_axis(x, self.chosen, axis=1)

        def backward(self, dout: Any) -> Any:
            dx = np.zeros((len(dout), 4))
            np.put_along_axis(dx, self.chosen, dout, axis=1)
            return dx

    report = check_gradients(TopTwo(), np.array([[0.0, 1.0, 1.0, 1.0], [0.0, 0.0, 0.0, 1.0]]))
    assert report.verdict == "unproven"
    assert report.kinks > 0


# --- what is only seen later ---


def test_a_copy_of_the_weights_made_at_construction_is_seen() -> None:
    class Copies(parts.Affine):
        def __init__(self, W: Any, b: Any) -> None:
            super().__init__(W, b)
            self.WT = W.T.copy()

        def backward(self, dout: Any) -> Any:
            super().backward(dout)
            return dout @ self.WT

    report = check_gradients(Copies(*weights(4, 3)), rng(0).standard_normal((5, 4)))
    assert report.verdict == "wrong"


def test_the_number_of_examples_of_the_first_batch_is_seen() -> None:
    class Mean(parts.MeanSquaredError):
        n: Any = None

        def backward(self, dout: Any = 1) -> Any:
            self.n = self.n or len(self.difference)
            return dout * self.difference / self.n

    net = parts.Network(parts.stack(4, 6, 3), Mean())
    report = check_gradients(net, rng(0).standard_normal((5, 4)), rng(1).standard_normal((5, 3)))
    assert report.verdict == "wrong"
    assert str(report.cause).startswith("stale batch")


@pytest.mark.parametrize("seed", range(12))
def test_two_gradients_that_are_swapped_do_not_cancel_along_a_direction(seed: int) -> None:
    class Swapped(parts.Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.db[[0, 1]] = self.db[[1, 0]]
            return dx

    layer = Swapped(rng(seed).standard_normal((5, 4)), np.zeros(4))
    report = check_gradients(layer, rng(seed).standard_normal((6, 5)), mode="directions", seed=seed)
    assert verdicts(report)["b"] == "wrong"


def test_one_of_many_entries_that_is_zero_is_seen_along_directions() -> None:
    class OneZero(parts.Affine):
        def backward(self, dout: Any) -> Any:
            dx = super().backward(dout)
            self.dW[7, 11] = 0
            return dx

    for dtype in ("float64", "float32"):
        W = rng(0).standard_normal((300, 300)).astype(dtype)
        x = rng(1).standard_normal((2, 300)).astype(dtype)
        report = check_gradients(OneZero(W, np.zeros(300, dtype)), x)
        assert report.arrays[0].place == "W[7, 11]", str(report)


# --- the tutorial's own network ---


def tutorials(fault: str) -> Any:
    net: Any = seed_reference.exact_two_layer_net(6, 5, 3)
    rng(1).standard_normal()
    for name, array in net.params.items():
        array[...] = rng(len(name) + int(name[1])).standard_normal(array.shape) * 0.5
    if fault:
        layer = net.layers[fault]
        backward = layer.backward

        def halved(dout: Any) -> Any:
            dx = backward(dout)
            layer.dW = layer.dW / 2
            return dx

        layer.backward = halved
    return net


@pytest.mark.parametrize("fault", ["", "Affine1", "Affine2"])
def test_the_tutorials_network_is_right_and_its_faulty_layer_named(fault: str) -> None:
    """Its loss ignores dout, and its Relu writes into it: harmless there, and not to blame for a fault elsewhere."""
    report = check_gradients(tutorials(fault), rng(0).standard_normal((4, 6)), np.array([0, 1, 2, 1]))
    assert report.layer == (fault or None), str(report)
    assert report.verdict == ("wrong" if fault else "right")
    if fault:
        assert report.cause == "factor 1/2"


# --- what a check costs ---


def test_large_arrays_are_compared_along_directions_whatever_their_neighbours() -> None:
    layer = chainrule.Affine(rng(0).standard_normal((800, 800)), np.zeros(800))
    report = check_gradients(layer, rng(1).standard_normal((2, 800)))
    assert {a.mode for a in report.arrays} == {"directions"}
    assert report.ok


def test_after_the_check_the_same_arrays_stand_under_the_same_names() -> None:
    class Running(parts.Tanh):
        def __init__(self) -> None:
            self.mean = np.zeros(4)

        def forward(self, x: Any) -> Any:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
            return super().forward(x)

    layer = Running()
    mean = layer.mean
    assert check_gradients(layer, rng(0).standard_normal((5, 4))).ok
    assert layer.mean is mean
    assert (mean == 0).all()
