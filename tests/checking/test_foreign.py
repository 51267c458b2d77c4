"""What a stranger's code was misread for: it is read now, and what is still not known is said, not called wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients
from mutants.case import weights
from wild.foreign import SAMPLES, Cell, Entropy, InDicts, Net, Tanh, WeightsFirst
from wild.judged import report_of, wrong_versions_are_caught
from wild.verify import differences

BY_NAME = {sample.name: sample for sample in SAMPLES}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def unseen(report: GradientReport) -> list[str]:
    return [found.name for found in report.not_compared]


@pytest.mark.parametrize("name", BY_NAME)
def test_what_was_misread_is_right_by_differences_of_its_own_and_called_right(name: str) -> None:
    sample = BY_NAME[name]
    assert max(differences(sample, 0).values()) < 1e-6
    report = report_of(sample)
    assert report.verdict == "right", str(report)


@pytest.mark.parametrize("name", BY_NAME)
def test_its_wrong_versions_are_never_called_right(name: str) -> None:
    wrong_versions_are_caught(BY_NAME[name])


# --- nothing was found ---


class Silent(InDicts):
    """Leaves the gradient of its input where nobody looks."""

    def backward(self, dZ: Any) -> None:
        super().backward(dZ)
        self.handed_down = self.grad.pop("propagate")


class Without:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x)

    def backward(self, dout: Any) -> None:
        self.kept = dout * (1 - np.tanh(self.x) ** 2)


@pytest.mark.parametrize("make", [Silent, Without])
def test_where_no_gradient_was_found_the_input_is_not_compared(make: Any) -> None:
    report = check_gradients(make(), rng().standard_normal((5, 4)))
    assert report.verdict == "unproven", str(report)
    assert unseen(report) == ["x"]
    assert "dx" in str(report)
    assert "wrt=" in str(report)


class Weighted(Without):
    def __init__(self) -> None:
        self.W = weights(4, 3)[0]

    def forward(self, x: Any) -> Any:
        return x @ self.W

    def backward(self, dout: Any) -> Any:
        return dout @ self.W.T


def test_a_parameter_that_is_named_and_has_no_gradient_is_not_compared() -> None:
    report = check_gradients(Weighted(), rng().standard_normal((5, 4)), params={"W": ("W", "nowhere")})
    assert (report.verdict, unseen(report)) == ("unproven", ["W"]), str(report)


class BeforeActivation(Weighted):
    """Its dZ is the gradient of what it has before its activation, of another shape than the input."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x @ self.W)

    def backward(self, dout: Any) -> None:
        self.dZ = dout * (1 - np.tanh(self.x @ self.W) ** 2)
        self.dW = self.x.T @ self.dZ


def test_what_lies_by_a_doubtful_name_and_does_not_fit_is_no_gradient_of_the_input() -> None:
    report = check_gradients(BeforeActivation(), rng().standard_normal((5, 4)))
    assert (report.verdict, unseen(report)) == ("unproven", ["x"]), str(report)


# --- the order of what is returned ---


class CellMixed(Cell):
    """Those of two states of equal shape are exchanged, and nothing says so but the numbers."""

    def backward(self, d: Any) -> Any:
        every = self.all(d)
        return every[2], every[1], every[0]


def cell_arguments(n: int) -> list[Any]:
    return [rng(i).standard_normal((5, size)) for i, size in enumerate((n, 3, 3))]


def test_of_equal_shapes_in_an_order_that_is_a_guess_another_order_that_agrees_is_unproven() -> None:
    report = check_gradients(CellMixed(4), *cell_arguments(4))
    assert report.verdict == "unproven", str(report)
    assert "right if backward gives the gradients of prev_c, prev_h, x" in str(report).replace("\n  ", " ")


def test_an_order_that_is_no_guess_stays_wrong_and_the_one_that_agrees_is_told() -> None:
    report = check_gradients(CellMixed(3), *cell_arguments(3))
    assert report.verdict == "wrong"
    assert "gradients of prev_c, prev_h, x, in this order" in " ".join(report.notes)
    told = check_gradients(CellMixed(3), *cell_arguments(3), wrt=("prev_c", "prev_h", "x"))
    assert told.verdict == "right", str(told)


def test_another_order_than_that_of_the_arguments_is_said() -> None:
    report = check_gradients(Cell(4), *cell_arguments(4))
    assert "gradients of prev_h, x, prev_c, in this order" in " ".join(report.notes)


@pytest.mark.parametrize("wrt", [None, 0, "x"])
def test_weights_before_the_input_are_told_by_shape_whatever_wrt_says(wrt: Any) -> None:
    report = check_gradients(WeightsFirst(3), rng().standard_normal((5, 4)), wrt=wrt)
    assert report.verdict == "right", str(report)
    assert [a.name for a in report.arrays] == ["W", "b", "x"]


# --- what backward is called with ---


class Turned:
    """backward(out, dout), by names of which one tells, or none."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return x**3 / 3

    def backward(self, inp: Any, grad_y: Any) -> Any:
        return grad_y * inp**2


class TurnedUntold(Turned):
    def backward(self, a: Any, b: Any) -> Any:
        return b * a**2


@pytest.mark.parametrize("make", [Turned, TurnedUntold])
def test_the_gradient_of_the_output_may_be_the_second_argument(make: Any) -> None:
    report = check_gradients(make(), rng().standard_normal((5, 4)))
    assert report.verdict == "right", str(report)


class HalfSquare:
    def forward(self, x: Any) -> Any:
        return x**2 / 2

    def backward(self, x: Any) -> Any:
        return x


def test_what_may_be_dout_or_the_input_is_unproven_where_no_number_tells_which() -> None:
    assert check_gradients(HalfSquare(), rng().standard_normal(4)).verdict == "unproven"
    assert check_gradients(Tanh(), rng().standard_normal(4)).verdict == "right"  # which no dout could give


# --- two methods of one object ---


class Affine(WeightsFirst):
    factor = 1.0

    def backward(self, dout: Any) -> Any:
        self.dW, self.db, dx = super().backward(dout)
        self.dW *= self.factor
        return dx


def test_two_methods_of_one_layer_are_the_layer_with_its_parameters() -> None:
    layer = Affine(3)
    x = rng().standard_normal((5, 4))
    report = check_gradients((layer.forward, layer.backward), x)
    assert (report.verdict, [a.name for a in report.arrays]) == ("right", ["W", "b", "x"]), str(report)
    layer.factor = 2.0
    assert check_gradients((layer.forward, layer.backward), x).verdict == "wrong"


class Quadratic:
    def __init__(self) -> None:
        self.A = rng().standard_normal((3, 3))

    def f(self, x: Any) -> float:
        return float(x @ self.A @ x)

    def df(self, x: Any) -> Any:
        return (self.A + self.A.T) @ x


def test_what_the_object_of_two_methods_holds_is_data() -> None:
    thing = Quadratic()
    report = check_gradients((thing.f, thing.df), rng(1).standard_normal(3))
    assert report.verdict == "right", str(report)
    assert any("A" in name for name in report.held_fixed)


class EntropyKept(Entropy):
    """The shares of the first batch are kept for all."""

    def forward(self, X: Any, y: Any) -> Any:
        value = super().forward(X, y)
        self.first = getattr(self, "first", self.p)
        return value

    def backward(self) -> Any:
        self.p = self.first
        return super().backward()


def test_what_is_left_of_an_earlier_batch_is_still_seen_through_two_methods() -> None:
    thing = EntropyKept()
    X, y = rng().standard_normal((4, 3)), np.array([0, 2, 1, 1])
    thing.forward(2 * X, y)
    assert check_gradients((thing.forward, thing.backward), X, y).verdict == "wrong"


# --- steps of training ---


class Adam:
    def __init__(self) -> None:
        self.t, self.m, self.v = 0, 0.0, 0.0

    def stepped(self, p: Any, g: Any, rate: float) -> Any:
        self.t, self.m, self.v = self.t + 1, 0.9 * self.m + 0.1 * g, 0.999 * self.v + 0.001 * g * g
        return p - rate * (self.m / (1 - 0.9**self.t)) / (np.sqrt(self.v / (1 - 0.999**self.t)) + 1e-8)


class Plain:
    def stepped(self, p: Any, g: Any, rate: float) -> Any:
        return p - rate * g


class Decay:
    def stepped(self, p: Any, g: Any, rate: float) -> Any:
        return p - rate * (g + 0.1 * p)


class Trained(WeightsFirst):
    def __init__(self, by: Any, factor: float) -> None:
        super().__init__(3)
        self.by, self.factor = (by(), by()), factor

    def backward(self, dout: Any, learning_rate: float) -> Any:  # type: ignore[override]
        dW, db, dx = super().backward(dout)
        self.W = self.by[0].stepped(self.W, dW, learning_rate)
        self.b = self.by[1].stepped(self.b, db, learning_rate)
        return self.factor * dx


@pytest.mark.parametrize(("by", "verdict"), [(Adam, "unproven"), (Decay, "unproven"), (Plain, "right")])
def test_a_step_that_is_no_multiple_of_a_gradient_is_not_taken_for_one(by: Any, verdict: str) -> None:
    report = check_gradients(Trained(by, 1.0), rng().standard_normal((5, 4)))
    assert report.verdict == verdict, str(report)
    assert (unseen(report) == ["W", "b"]) == (verdict == "unproven")
    assert check_gradients(Trained(by, 2.0), rng().standard_normal((5, 4))).verdict == "wrong"


# --- networks in parts ---


class Costly(Net):
    """(AL, caches), compute_cost(AL, Y), backward(AL, Y, caches)."""

    loss = None  # type: ignore[assignment]
    factor = 1.0

    def forward(self, X: Any) -> Any:
        return super().forward(X), {"h": self.h}

    def compute_cost(self, AL: Any, Y: Any) -> Any:
        return -np.log(AL[np.arange(len(Y)), Y]).mean()

    def backward(self, AL: Any, Y: Any, caches: Any) -> Any:  # type: ignore[override]
        assert AL is not None
        assert caches is not None
        dW1, db1, dW2, db2 = self.back(Y)
        return {"dW1": dW1, "db1": db1, "dW2": self.factor * dW2, "db2": db2}


class CostlyOtherwise(Costly):
    """(cache, X, Y), with the parameters in a dict."""

    def backward(self, cache: Any, X: Any, Y: Any) -> Any:  # type: ignore[override]
        assert X.shape == self.X.shape
        return super().backward(X, Y, cache)


class CostlyInAttributes(Costly):
    """backward(y) leaves all; so does one that takes nothing, and has the labels."""

    def backward(self, y: Any) -> None:  # type: ignore[override]
        self.dW1, self.db1, self.dW2, self.db2 = self.back(y)
        self.dW2 = self.factor * self.dW2


class CostlyWithLabels(CostlyInAttributes):
    y = np.array([0, 2, 1, 1, 0])

    def backward(self) -> None:  # type: ignore[override]
        super().backward(self.y)


@pytest.mark.parametrize("make", [Costly, CostlyOtherwise, CostlyInAttributes])
def test_a_network_whose_loss_takes_what_forward_gives_is_read_in_parts(make: Any) -> None:
    x, y = rng().standard_normal((5, 4)), np.array([0, 2, 1, 1, 0])
    net = make()
    report = check_gradients(net, x, y)
    assert (report.verdict, report.kind) == ("right", "network"), str(report)
    assert [a.name for a in report.arrays] == ["W1", "b1", "W2", "b2"]
    net.factor = 2.0
    assert check_gradients(net, x, y).verdict == "wrong"


def test_labels_that_a_network_holds_need_not_be_handed_over() -> None:
    net, x = CostlyWithLabels(), rng().standard_normal((5, 4))
    report = check_gradients(net, x)
    assert report.verdict == "right", str(report)
    net.factor = 2.0
    assert check_gradients(net, x).verdict == "wrong"


class Entropies:
    """A loss of its own, whose backward takes nothing."""

    def forward(self, pred: Any, y: Any) -> Any:
        self.pred, self.y = pred, y
        return -np.log(pred[np.arange(len(y)), y]).mean()

    def backward(self) -> Any:
        return -np.eye(3)[self.y] / self.pred / len(self.y)


class EntropiesOtherwise:
    """The labels come first, and both are given again."""

    def __call__(self, y_true: Any, y_pred: Any) -> Any:
        return Entropies.forward(self, y_pred, y_true)  # type: ignore[arg-type]

    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        return -np.eye(3)[y_true] / y_pred / len(y_true)


class WithLoss(Net):
    loss = None  # type: ignore[assignment]
    factor = 1.0

    def __init__(self, loss: Any) -> None:
        super().__init__()
        self.criterion = loss

    def backward(self, grad: Any) -> Any:  # type: ignore[override]
        d = self.p * (grad - (grad * self.p).sum(axis=1, keepdims=True))
        dh = d @ self.W2.T * (1 - self.h**2)
        self.dW1, self.db1, self.dW2, self.db2 = (
            self.X.T @ dh,
            dh.sum(axis=0),
            self.factor * self.h.T @ d,
            d.sum(axis=0),
        )
        return dh @ self.W1.T


class WithLossWithin(WithLoss):
    """Its backward asks its loss itself."""

    def backward(self) -> Any:  # type: ignore[override]
        return super().backward(self.criterion.backward())


@pytest.mark.parametrize(
    ("make", "loss"),
    [(WithLoss, Entropies), (WithLoss, EntropiesOtherwise), (WithLossWithin, Entropies)],
)
def test_the_loss_of_a_network_may_be_an_object_that_goes_back_too(make: Any, loss: Any) -> None:
    x, y, net = rng().standard_normal((5, 4)), np.array([0, 2, 1, 1, 0]), make(loss())
    report = check_gradients(net, x, y)
    assert (report.verdict, report.kind) == ("right", "network"), str(report)
    assert [a.name for a in report.arrays] == ["W1", "b1", "W2", "b2"]
    net.factor = 2.0
    assert check_gradients(net, x, y).verdict == "wrong"


class Adding(CostlyInAttributes):
    """Gradients are added to, from zero_grad on."""

    def zero_grad(self) -> None:
        self.sums = [np.zeros_like(a) for a in (self.dW1, self.db1, self.dW2, self.db2)]

    def backward(self, y: Any) -> None:  # type: ignore[override]
        super().backward(y)
        self.sums = [a + b for a, b in zip(getattr(self, "sums", [0.0] * 4), self.back(y), strict=True)]
        self.dW1, self.db1, self.dW2, self.db2 = self.sums


def test_gradients_of_a_network_in_parts_that_add_up_are_set_to_nothing_before() -> None:
    report = check_gradients(Adding(), rng().standard_normal((5, 4)), np.array([0, 2, 1, 1, 0]))
    assert report.verdict == "right", str(report)


def test_a_loss_that_is_named_does_not_make_weights_gradients_of_the_input() -> None:
    x, y = rng().standard_normal((5, 4)), np.array([0, 2, 1, 1, 0])
    report = check_gradients(Net(), x, y, forward="loss")
    assert (report.verdict, [a.name for a in report.arrays]) == ("right", ["W1", "b1", "W2", "b2"]), str(report)


class Nameless:
    """Its value and its gradient have no names of arguments; the gradient is minus that by the first."""

    def __call__(self, *both: Any) -> Any:
        return ((both[0] - both[1]) ** 2).mean()

    def gradient(self, *both: Any) -> Any:
        return 2 * (both[1] - both[0]) / both[0].size


def test_where_no_name_tells_by_which_argument_it_is_two_methods_prove_no_more_than_functions() -> None:
    thing, arguments = Nameless(), rng().standard_normal((2, 5, 3))
    report = check_gradients((thing, thing.gradient), *arguments)
    assert report.verdict == "unproven", str(report)


# --- names ---


class Misspelt:
    def forward(self, y_true: Any, y_pred: Any) -> Any:
        return np.mean((y_true - y_pred) ** 2)

    def dervivative(self, y_true: Any, y_pred: Any) -> Any:
        return 2 * (y_pred - y_true) / y_true.size


class Evaluated:
    def eval(self, y: Any, y_hat: Any) -> Any:
        return np.mean((y - y_hat) ** 2)

    def gradient(self, y: Any, y_hat: Any) -> Any:
        return 2 * (y_hat - y) / y.size


@pytest.mark.parametrize("make", [Misspelt, Evaluated])
def test_names_that_were_met(make: Any) -> None:
    report = check_gradients(make(), *rng().standard_normal((2, 5, 3)))
    assert report.verdict == "right", str(report)


class Unlike:
    def loss(self, x: Any) -> float:
        return float((x**2).sum())

    def gradient(self, x: Any, weights: Any, scale: Any) -> Any:
        return 2 * x * weights * scale


def test_a_derivative_that_does_not_take_what_the_function_takes_is_told_in_a_sentence() -> None:
    with pytest.raises(TypeError, match=r"is called with what Unlike.loss is called with, x, and does not take it"):
        check_gradients(Unlike(), rng().standard_normal(3))
