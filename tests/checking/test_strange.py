"""Code of strangers, once more: what steps itself, what backward is given, shapes, and errors that say what was got."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients


def normal(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def row(report: GradientReport, name: str) -> str:
    return next(a.verdict for a in report.arrays if a.name == name)


def unseen(report: GradientReport) -> list[str]:
    return [found.name for found in report.not_compared]


# --- plain numbers that step ---


class Gain:
    """Its gain is a plain number, until the first step makes one for each column of it."""

    factor = 1.0

    def __init__(self, lr: float = 0.1) -> None:
        self.gain, self.offset, self.lr = 1, 0, lr

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.gain * x + self.offset

    def backward(self, dout: Any) -> Any:
        dx = self.gain * dout
        self.gain -= self.lr * self.factor * (dout * self.x).sum(axis=0)
        self.offset -= self.lr * self.factor * dout.sum(axis=0)
        return dx


def test_a_number_that_becomes_an_array_in_backward_is_a_parameter() -> None:
    layer = Gain()
    report = check_gradients(layer, normal(6, 4))
    assert report.verdict == "right", str(report)
    assert {a.name: a.shape for a in report.arrays} == {"gain": (4,), "offset": (4,), "x": (6, 4)}
    assert (layer.gain, layer.offset) == (1, 0)  # as before
    assert isinstance(layer.gain, int)


class WrongGain(Gain):
    def backward(self, dout: Any) -> Any:
        return 0.5 * super().backward(dout)


class HalfStep(Gain):
    factor = 0.5


def test_of_such_a_number_wrong_ones_are_never_right() -> None:
    assert check_gradients(WrongGain(), normal(6, 4)).verdict == "wrong"
    report = check_gradients(HalfStep(), normal(6, 4))
    assert report.verdict == "unproven"
    assert set(unseen(report)) == {"gain", "offset"}


class OneGain:
    """Its gain stays a plain number."""

    def __init__(self) -> None:
        self.gain, self.lr, self.calls = 1.5, 0.1, 0

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.gain * x

    def backward(self, dout: Any) -> Any:
        self.calls += 1
        dx = self.gain * dout
        self.gain -= self.lr * self.slope(dout)
        return dx

    def slope(self, dout: Any) -> float:
        return float((dout * self.x).sum())


class OneGainByItsMean(OneGain):
    def slope(self, dout: Any) -> float:
        return float((dout * self.x).mean())


class OneGainByAdam(OneGain):
    def slope(self, dout: Any) -> float:
        return float(np.sign((dout * self.x).sum()))


def test_a_number_that_steps_is_a_parameter() -> None:
    layer = OneGain()
    report = check_gradients(layer, normal(6, 4))
    assert report.verdict == "right", str(report)
    assert row(report, "gain") == "right"
    assert layer.gain == 1.5


@pytest.mark.parametrize("kind", [OneGainByItsMean, OneGainByAdam])
def test_a_number_that_steps_by_something_else_is_not_compared(kind: type) -> None:
    report = check_gradients(kind(), normal(6, 4))
    assert report.verdict == "unproven", str(report)
    assert unseen(report) == ["gain"]
    assert row(report, "x") == "right"


class Counts:
    """A number that backward counts up, and forward looks at: memory, and no step."""

    def __init__(self) -> None:
        self.rounds = 1

    def forward(self, x: Any) -> Any:
        return x * self.rounds

    def backward(self, dout: Any) -> Any:
        self.rounds += 1
        return dout * (self.rounds - 1)


def test_what_backward_counts_is_no_step() -> None:
    assert check_gradients(Counts(), normal(6, 4)).verdict == "wrong"


class TakesARate:
    """Keeps its gradients, and steps by a rate that backward is given."""

    def __init__(self) -> None:
        self.filters, self.bias = normal(4, 3, seed=1), normal(3, seed=2)
        self.speed: Any = 0

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.filters + self.bias

    def backward(self, dout: Any, lr: float = 0.01) -> Any:
        self.dW, self.dB = self.x.T @ dout, dout.sum(axis=0)
        dx = dout @ self.filters.T
        self.speed = 0.9 * self.speed + self.dW
        self.filters -= lr * self.speed
        self.bias -= lr * self.dB
        return dx


class HalfOfARate(TakesARate):
    def backward(self, dout: Any, lr: float = 0.01) -> Any:
        dx = super().backward(dout, lr)
        self.dW = self.dW / 2
        return dx


class MustHaveARate(TakesARate):
    def backward(self, dout: Any, lr: float) -> Any:  # type: ignore[override]
        return super().backward(dout, lr)


TOLD = {"W": ("filters", "dW"), "b": ("bias", "dB")}


@pytest.mark.parametrize("kind", [TakesARate, MustHaveARate])
def test_a_layer_that_is_given_a_rate_steps_whether_its_gradients_are_told_or_found(kind: type) -> None:
    assert check_gradients(kind(), normal(5, 4)).ok
    assert check_gradients(kind(), normal(5, 4), params=TOLD).ok
    half = check_gradients(HalfOfARate(), normal(5, 4), params=TOLD)
    assert half.verdict == "wrong"
    assert "factor 1/2" in str(half.cause)


# --- derivatives that are given something else than dout ---


class HeldOrGiven:
    """Its backward gives the derivative, by what it has kept unless it is given it."""

    def forward(self, x: Any) -> Any:
        self.state = np.tanh(x)
        return self.state

    def backward(self, state: Any = None) -> Any:
        return 1 - (self.state if state is None else state) ** 2


class Swapped(HeldOrGiven):
    def backward(self, y: Any = None) -> Any:
        return super().backward(y)


class WrongState(HeldOrGiven):
    def backward(self, state: Any = None) -> Any:
        return 1 - (self.state if state is None else state)


class Optional(HeldOrGiven):
    """An optional dout is one."""

    def backward(self, dout: Any = None) -> Any:
        return (1 if dout is None else dout) * (1 - self.state**2)


class Ignores(HeldOrGiven):
    def backward(self, dout: Any = None) -> Any:
        return 1 - self.state**2


@pytest.mark.parametrize("kind", [HeldOrGiven, Swapped, Optional])
def test_a_derivative_by_what_was_kept_takes_nothing(kind: type) -> None:
    report = check_gradients(kind(), normal(5, 4))
    assert report.verdict == "right", str(report)
    assert any("read as the gradient of the sum" in note for note in report.notes) == (kind is not Optional)


def test_wrong_ones_of_what_was_kept_are_wrong() -> None:
    assert check_gradients(WrongState(), normal(5, 4)).verdict == "wrong"
    assert check_gradients(Ignores(), normal(5, 4)).verdict == "wrong"


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def by_softmax(s: Any, grad: Any) -> Any:
    return s * (grad - (grad * s).sum(axis=-1, keepdims=True))


def by_softmax_last(grad_output: Any, softmax_out: Any) -> Any:
    return by_softmax(softmax_out, grad_output)


def by_anything(this: Any, grad: Any) -> Any:
    return by_softmax(this, grad)


def by_half(s: Any, grad: Any) -> Any:
    return by_softmax(s, grad) / 2


def leaky(x: Any, alpha: float) -> Any:
    return np.where(x > 0, x, alpha * x)


def by_leaky(dout: Any, out: Any, alpha: float) -> Any:
    return dout * np.where(out > 0, 1, alpha)


def test_a_derivative_that_is_given_what_came_out_by_its_name() -> None:
    for back in (by_softmax, by_softmax_last):
        report = check_gradients((softmax, back), normal(5, 4))
        assert report.verdict == "right", str(report)
        assert any("called with" in note for note in report.notes)
    assert check_gradients((leaky, by_leaky), normal(5, 4), 0.1).ok
    # Of a name that tells nothing it is not known; of wrong numbers they are wrong whatever is given.
    assert check_gradients((softmax, by_anything), normal(5, 4)).verdict == "unproven"
    assert check_gradients((softmax, by_half), normal(5, 4)).verdict == "wrong"


def test_an_entry_of_a_derivative_that_is_given_what_came_out() -> None:
    def slope(out: Any) -> Any:
        return 1 - out**2

    def nameless(v: Any) -> Any:
        return 1 - v**2

    assert check_gradients((np.tanh, slope), normal(5)).verdict == "right"
    assert check_gradients((np.tanh, nameless), normal(5)).verdict == "unproven"


class GivenOutput:
    """Two functions in an object, of which the second takes what the first gave."""

    def forward(self, z: Any) -> Any:
        return np.tanh(z)

    def backward(self, a: Any, grad: Any) -> Any:
        return grad * (1 - a**2)


def test_a_layer_whose_backward_is_given_what_came_out() -> None:
    assert check_gradients(GivenOutput(), normal(5, 4)).verdict == "right"
