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


class StepsTheOtherWay(TakesARate):
    """Its gradients are right, and it goes uphill."""

    def backward(self, dout: Any, lr: float = 0.01) -> Any:
        dx = super().backward(dout, lr)
        self.filters += 2 * lr * self.speed
        return dx


def test_a_step_that_is_not_along_the_gradient_that_is_kept_is_not_compared() -> None:
    report = check_gradients(StepsTheOtherWay(), normal(5, 4))
    assert report.verdict == "unproven", str(report)
    assert unseen(report) == ["the step of filters"]


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


# --- shapes, and gradients of parameters that are returned alone ---


class Row:
    """Its dx is a row, its x a vector."""

    factor = 1.0

    def __init__(self) -> None:
        self.W, self.dW = normal(3, 4, seed=1), np.zeros((3, 4))

    def forward(self, x: Any) -> Any:
        self.x = x
        self.h = np.tanh(self.W @ x)
        return self.h

    def backward(self, delta: Any) -> Any:
        g = (delta * (1 - self.h**2)).reshape(-1, 1)
        self.dW = g @ self.x.reshape(1, -1)
        return self.factor * (g.T @ self.W)


class HalfARow(Row):
    factor = 0.5


class Column(Row):
    def backward(self, delta: Any) -> Any:
        return super().backward(delta).T


class Bias:
    """Its b is a vector, its db a row."""

    def __init__(self) -> None:
        self.b = normal(3, seed=1)

    def forward(self, x: Any) -> Any:
        return x + self.b

    def backward(self, dout: Any) -> Any:
        self.db = dout.sum(axis=0, keepdims=True)
        return dout.copy()


def test_axes_of_length_1_more_are_a_hazard_of_an_input() -> None:
    report = check_gradients(Row(), normal(4))
    assert report.verdict == "right", str(report)
    assert any(c.cause == "wrong shape" for c in report.hazards)
    assert check_gradients(Row(), normal(4), strict=True).verdict == "wrong"
    assert check_gradients(Bias(), normal(5, 3)).cause == "wrong shape"  # b -= db raises


def test_wrong_numbers_in_another_shape_are_wrong() -> None:
    assert check_gradients(Column(), normal(4)).cause == "wrong shape"  # x - dx would be a matrix
    assert check_gradients(HalfARow(), normal(4)).verdict == "wrong"


class FirstLayer:
    """Nothing is before it: it returns the gradient of its own weights."""

    def __init__(self) -> None:
        self.filters = normal(4, 3, seed=1)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.filters

    def backward(self, dout: Any) -> Any:
        self.dWeights = self.x.T @ dout
        return self.dWeights


class FirstOfItsOwn(FirstLayer):
    """The same, kept nowhere."""

    def backward(self, dout: Any) -> Any:
        return self.x.T @ dout


class FirstByOther(FirstLayer):
    """The same, and kept under a name that no table has."""

    def backward(self, dout: Any) -> Any:
        self.pushed = self.x.T @ dout
        return self.pushed


class HalfFirst(FirstLayer):
    def backward(self, dout: Any) -> Any:
        self.dWeights = self.x.T @ dout / 2
        return self.dWeights


class Broken(FirstLayer):
    """What it returns fits neither."""

    def backward(self, dout: Any) -> Any:
        self.dWeights = self.x.T @ dout
        return dout @ self.filters.T @ self.filters


@pytest.mark.parametrize("kind", [FirstLayer, FirstOfItsOwn, FirstByOther])
def test_a_first_layer_that_returns_the_gradient_of_its_weights(kind: type) -> None:
    report = check_gradients(kind(), normal(5, 4))
    assert report.verdict == "unproven", str(report)
    assert (row(report, "filters"), unseen(report)) == ("right", ["x"])
    assert check_gradients(kind(), normal(5, 4), wrt=()).ok


def test_a_first_layer_that_returns_a_wrong_one() -> None:
    assert check_gradients(HalfFirst(), normal(5, 4)).verdict == "wrong"
    assert check_gradients(Broken(), normal(5, 4)).cause == "wrong shape"


class ByKeys:
    """A dict: of the one input under "inputs", of its parameters under their names."""

    key, factor = "inputs", 1.0

    def __init__(self) -> None:
        self.weights, self.biases = normal(4, 3, seed=1), normal(3, seed=2)

    def forward(self, input_data: Any) -> Any:
        self.x = input_data
        return input_data @ self.weights + self.biases

    def backward(self, d: Any) -> Any:
        dx = self.factor * d @ self.weights.T
        return {self.key: dx, "weights": self.x.T @ d, "biases": d.sum(axis=0)}


class ByAKey(ByKeys):
    key = "dx"


class HalfByKeys(ByKeys):
    factor = 0.5


class InnerByKeys(ByKeys):
    """What is called dZ beside others need not be the input's."""

    key, factor = "dZ", 3.0


@pytest.mark.parametrize("kind", [ByKeys, ByAKey])
def test_the_key_of_an_input_beside_those_of_parameters(kind: type) -> None:
    assert check_gradients(kind(), normal(5, 4)).ok
    assert check_gradients(kind(), normal(5, 4), wrt="input_data").ok


def test_other_keys_of_an_input() -> None:
    assert check_gradients(HalfByKeys(), normal(5, 4)).verdict == "wrong"
    assert check_gradients(InnerByKeys(), normal(5, 4)).verdict == "unproven"


# --- errors that say what was got ---


class OwnLoss:
    """Holds its loss, and steps by a rate that is all that backward takes."""

    def __init__(self) -> None:
        self.W = normal(3, 4, seed=1)

    def forward(self, x: Any, label: Any = None) -> Any:
        self.x, self.t = x, label
        z = self.W @ x
        self.p = np.exp(z) / np.exp(z).sum()
        return z, -np.log(self.p[label])

    def backward(self, learning_rate: float) -> Any:
        g = self.p.copy()
        g[self.t] -= 1
        dx = self.W.T @ g
        self.W -= learning_rate * np.outer(g, self.x)
        return dx


class Predicts:
    """backward(y_pred, y_true, cache): the labels are its own."""

    def __init__(self) -> None:
        self.params = {"W": normal(4, 3, seed=1)}

    def forward(self, X: Any) -> Any:
        e = np.exp(X @ self.params["W"])
        return e / e.sum(axis=1, keepdims=True), (X,)

    def backward(self, y_pred: Any, y_true: Any, cache: Any, decay: float = 0.0) -> Any:
        return {"W": cache[0].T @ (y_pred - y_true) / len(y_true) + decay * self.params["W"]}


class ByAnOptimizer:
    def __init__(self) -> None:
        self.weights = normal(4, 3, seed=1)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.weights

    def backward(self, deltas: Any, optimizer: Any) -> Any:
        g = self.x.T @ deltas
        self.weights = optimizer.step(self.weights, g)
        return deltas @ self.weights.T


class WholeWay:
    """backpropagate(batch, targets) goes forwards itself."""

    def __init__(self) -> None:
        self.W = normal(4, 3, seed=1)

    def forward(self, x: Any, targets: Any = None) -> Any:
        y = x @ self.W
        return y, ((y - targets) ** 2).mean(axis=1)

    def backpropagate(self, batch: Any, targets: Any) -> Any:
        y, losses = self.forward(batch, targets)
        self.dW = batch.T @ (y - targets) * 2 / y.size
        return losses.mean()


class AsksForItsNeighbour:
    """backward(layer): an object is asked for, and a gradient given."""

    def forward(self, x: Any) -> Any:
        return np.tanh(x)

    def backward(self, next_layer: Any) -> Any:
        return next_layer.delta @ next_layer.W


class PerSample:
    """Its gradients of parameters come first, one for each example."""

    def __init__(self) -> None:
        self.W, self.b = normal(4, 3, seed=1), normal(3, seed=2)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def compute_grads(self, dout: Any) -> Any:
        return self.x[:, :, None] * dout[:, None, :], dout.copy()


ONE_HOT = np.eye(3)[[0, 1, 2, 0, 1]]


@pytest.mark.parametrize(
    ("kind", "arguments", "options", "words"),
    [
        (OwnLoss, (normal(4), 2), {}, ("backward(learning_rate)", "a step size only", "(loss, gradient)")),
        (Predicts, (normal(5, 4),), {}, ("backward takes y_true", "hand over")),
        (Predicts, (normal(5, 4), ONE_HOT), {}, ("backward takes y_true", "a method loss(out, y_true)")),
        (ByAnOptimizer, (normal(5, 4),), {}, ("backward asks for deltas, optimizer", "optimizer is nothing")),
        (WholeWay, (normal(5, 4), np.ones((5, 3))), {}, ("backpropagate(batch, targets)", "batch", "ValueError")),
        (AsksForItsNeighbour, (normal(5, 4),), {}, ("backward(next_layer)", "AttributeError", "(5, 4)")),
        (PerSample, (normal(5, 4),), {"backward": "compute_grads"}, ("2 gradients for 1 inputs", "params=")),
    ],
)
def test_what_cannot_be_called_is_told(kind: type, arguments: Any, options: Any, words: tuple[str, ...]) -> None:
    with pytest.raises((TypeError, ValueError)) as raised:
        check_gradients(kind(), *arguments, **options)
    said = str(raised.value)
    assert all(word in said for word in words), said


class Fails:
    """A mistake of its own stays what it is, below what is told of the call."""

    def forward(self, x: Any) -> Any:
        return x * 2

    def backward(self, dout: Any) -> Any:
        return dout @ np.ones((7, 7))


def test_what_raised_is_told_and_kept() -> None:
    with pytest.raises(TypeError, match=r"backward\(dout\) was given .*\(5, 4\).* and raised ValueError") as raised:
        check_gradients(Fails(), normal(5, 4))
    assert isinstance(raised.value.__cause__, ValueError)


class StepsOverZeros:
    """Gives nothing for a dout of 0."""

    def forward(self, x: Any) -> Any:
        return np.sin(x)

    def backward(self, d: Any) -> Any:
        return d * 0.0 if d.any() else None


class OfOne:
    def __init__(self, inner: Any) -> None:
        self.inner, self.w = inner, np.array([2.0])

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.inner.forward(self.w * x)

    def backward(self, d: Any) -> Any:
        d = self.inner.backward(d)
        self.dw = np.array([(d * self.x).sum()])
        return d * self.w


class Sine:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.sin(x)

    def backward(self, d: Any) -> Any:
        return d * np.cos(self.x) if d.any() else None


def test_a_dout_of_0_is_the_checks_own_idea() -> None:
    zero = "backward of 0 is 0"
    for subject in (Sine(), OfOne(Sine())):
        report = check_gradients(subject, normal(3))
        assert report.verdict == "right", str(report)
        assert next(c.held for c in report.contracts if c.name == zero) is None
    assert check_gradients(StepsOverZeros(), normal(3)).verdict == "wrong"


# --- which method ---


class Squares:
    """Of its three methods only __call__ takes what was given."""

    factor = 1.0

    def activate(self, x: Any) -> Any:
        return x

    def __call__(self, x: Any, t: Any) -> Any:
        self.y, self.t = self.activate(x), t
        return 0.5 * ((self.y - t) ** 2).sum()

    def delta(self, dout: float = 1) -> Any:
        return self.factor * (self.y - self.t)


class HalfSquares(Squares):
    factor = 0.5


def test_the_method_is_that_which_takes_the_arguments() -> None:
    given = normal(5, 3), normal(5, 3, seed=1)
    assert check_gradients(Squares(), *given).ok
    assert check_gradients(HalfSquares(), *given).verdict == "wrong"


# --- zeros in float32 ---


class Pool:
    """The largest of two, into a buffer of float32."""

    def forward(self, x: Any) -> Any:
        pairs = x.reshape(-1, 2)
        self.at = pairs.argmax(axis=1)
        out = np.zeros(len(pairs), dtype=np.float32)
        out[:] = pairs.max(axis=1)
        return out

    def backward(self, d: Any) -> Any:
        dx = np.zeros((len(d), 2), dtype=np.float32)
        dx[np.arange(len(d)), self.at] = d
        return dx.ravel()


class Swaps(Pool):
    def backward(self, d: Any) -> Any:
        return super().backward(d).reshape(-1, 2)[:, ::-1].ravel()


class HidesSmall(Pool):
    """Adds a millionth of what is not the largest: float32 does not show it."""

    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        out += np.float32(1e4)
        return out


def test_zeros_beside_stairs() -> None:
    x = np.random.default_rng(0).permutation(8) * 0.17 - 0.5
    assert check_gradients(Pool(), x).verdict == "right"
    assert check_gradients(Swaps(), x).verdict == "wrong"
    assert check_gradients(HidesSmall(), x).verdict == "unproven"


# --- eta, one of two outputs, slopes that are a number, derivatives that are none ---


class ComesBack(FirstLayer):
    """Its dout is called eta, and is no step size; it adds up its gradients, or does not."""

    def __init__(self, adds: bool = False) -> None:
        super().__init__()
        self.adds, self.w_gradient = adds, np.zeros((4, 3))

    def backward(self, eta: Any, lr: float = 0.1) -> Any:
        if not self.adds:
            self.w_gradient[...] = 0
        self.w_gradient += self.x.T @ eta
        return eta @ self.filters.T


def test_eta_may_be_what_comes_back() -> None:
    assert check_gradients(ComesBack(), normal(5, 4)).verdict == "right"
    assert check_gradients(ComesBack(adds=True), normal(5, 4)).cause == "accumulates"


class GivesBoth:
    """forward gives z and what is made of it; backward takes z and the gradient of the other."""

    factor = 1.0

    def __init__(self) -> None:
        self.weight, self.bias = normal(3, 4, seed=1), normal(3, 1, seed=2)

    def forward(self, x: Any) -> Any:
        z = self.weight @ x + self.bias
        return z, np.tanh(z)

    def backward(self, x: Any, z: Any, da: Any) -> Any:
        dz = self.factor * da * (1 - np.tanh(z) ** 2)
        return self.weight.T @ dz, dz @ x.T, dz.sum(axis=1, keepdims=True)


class HalfOfBoth(GivesBoth):
    factor = 0.5


def test_the_gradient_of_one_output_and_the_other_as_it_is() -> None:
    report = check_gradients(GivesBoth(), normal(4, 5))
    assert report.verdict == "right", str(report)
    assert {a.name for a in report.arrays} == {"weight", "bias", "x"}
    assert "1/2" in str(check_gradients(HalfOfBoth(), normal(4, 5)).cause)


class One:
    slope: Any = 1

    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self) -> Any:
        return self.slope


class HalfOne(One):
    slope = 0.5


def test_a_slope_may_be_a_number() -> None:
    assert check_gradients(One(), normal(5, 4)).verdict == "right"
    assert check_gradients(HalfOne(), normal(5, 4)).verdict != "right"


class NoDerivative:
    def __call__(self, x: Any) -> Any:
        return softmax(x)

    def derivative(self, x: Any) -> Any:
        pass


class AllDerivatives(NoDerivative):
    """Of each row all derivatives by all."""

    def derivative(self, x: Any) -> Any:
        s = softmax(x)
        return np.einsum("ni,ij->nij", s, np.eye(s.shape[1])) - s[:, :, None] * s[:, None, :]


class Trains:
    """What backward asks for only the training loop knows."""

    def __init__(self) -> None:
        self.W = normal(4, 3, seed=1)

    def forward(self, x: Any) -> Any:
        return x @ self.W

    def loss(self, X: Any, y: Any) -> Any:
        return -np.log(softmax(self.forward(X))[range(len(y)), y]).mean()

    def backward(self, probabilities: Any, y: Any) -> Any:
        return probabilities - np.eye(3)[y]


def test_what_gives_nothing_or_asks_for_what_nobody_knows_is_told() -> None:
    with pytest.raises(TypeError, match="derivative gives None"):
        check_gradients(NoDerivative(), normal(5, 4))
    with pytest.raises(TypeError, match="asks for probabilities, which is nothing"):
        check_gradients(Trains(), normal(5, 4), np.array([0, 1, 2, 0, 1]))
    report = check_gradients(AllDerivatives(), normal(5, 4))  # a matrix for each row, which looks at no other
    assert report.verdict == "right"
