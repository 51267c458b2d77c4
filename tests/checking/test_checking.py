"""check_gradients: lets right gradients pass, and catches and names wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule import (
    Affine,
    ArrayCheck,
    GradientReport,
    Network,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Tanh,
    TwoLayerNet,
    check_gradients,
    load_mnist,
)

DTYPES = ["float32", "float64"]
T = np.array([0, 2, 1])
Gradients = dict[str, NDArray[Any]]


def examples(features: int = 4, n: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(0).standard_normal((n, features))


X = examples()


def net(seed: int = 1, dtype: str = "float64", sizes: tuple[int, int, int] = (4, 5, 3)) -> TwoLayerNet:
    return TwoLayerNet(*sizes, weight_init_std=0.5, dtype=np.dtype(dtype), seed=seed)


def with_gradients(network: Any, change: Callable[[Gradients], object]) -> Any:
    """Make ``network.gradient`` give what `change` leaves of the right gradients."""
    right = network.gradient

    def gradient(x: Any, t: Any) -> Gradients:
        grads = {name: grad.copy() for name, grad in right(x, t).items()}
        change(grads)
        return grads

    network.gradient = gradient
    return network


def scaled(name: str, factor: float, where: Any = ...) -> Callable[[Gradients], object]:
    def change(grads: Gradients) -> None:
        grads[name][where] *= factor

    return change


def put(name: str, where: tuple[int, ...], value: float) -> Callable[[Gradients], object]:
    def change(grads: Gradients) -> None:
        grads[name][where] = value

    return change


def wrong(report: GradientReport) -> list[str]:
    return [parameter.name for parameter in report.arrays if parameter.verdict == "wrong"]


def parameter(report: GradientReport, name: str) -> ArrayCheck:
    return next(found for found in report.arrays if found.name == name)


# --- right gradients pass ---


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_network_passes(dtype: str, seed: int) -> None:
    assert check_gradients(net(seed, dtype), X, T).ok


@pytest.mark.parametrize("t", [T, T[:, None], np.eye(3)[T], np.array([[0.2, 0.3, 0.5], [0, 0, 1], [0.9, 0.1, 0]])])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_network_passes_with_every_kind_of_label(dtype: str, t: Any) -> None:
    assert check_gradients(net(dtype=dtype), X, t).ok


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_right_deeper_network_passes(dtype: str) -> None:
    rng = np.random.default_rng(2)
    W = [np.asarray(rng.standard_normal(shape), dtype) for shape in [(4, 6), (6, 5), (5, 3)]]
    affine = [Affine(w, np.asarray(rng.standard_normal(w.shape[1]), dtype)) for w in W]
    layers: dict[str, Any] = {"A1": affine[0], "S": Sigmoid(), "A2": affine[1], "R": Relu(), "A3": affine[2]}
    assert check_gradients(Network(layers), X, T).ok


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_that_two_layers_share_pass(dtype: str) -> None:
    W, b = np.eye(4, dtype=dtype) + np.dtype(dtype).type(0.1), np.zeros(4, dtype)
    shared = Network({"Affine1": Affine(W, b), "Sigmoid1": Sigmoid(), "Affine2": Affine(W, b)})
    assert check_gradients(shared, X, T).ok


def test_lists_are_examples_too() -> None:
    assert check_gradients(net(), X.tolist(), T.tolist()).ok


class Parabola:
    """No network of ours: loss = Σ (w x)², gradient 2 w x²."""

    def __init__(self) -> None:
        self.params = {"w": np.array([1.5, -2.0])}

    def loss(self, x: Any, _: Any) -> float:
        return float(np.sum((self.params["w"] * x) ** 2))

    def gradient(self, x: Any, _: Any) -> Gradients:
        return {"w": 2 * self.params["w"] * np.square(x)}


def test_any_object_with_params_loss_and_gradient_can_be_checked() -> None:
    assert check_gradients(Parabola(), np.array([3.0, 0.5]), None).ok


# --- wrong gradients are caught and named ---


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0, 2.0, 1.001])
def test_a_scaled_gradient_is_caught_and_named(name: str, factor: float) -> None:
    assert wrong(check_gradients(with_gradients(net(), scaled(name, factor)), X, T)) == [name]


@pytest.mark.parametrize("name", ["W1", "b1", "W2", "b2"])
@pytest.mark.parametrize("factor", [0.0, 0.5, -1.0, 1.1])
def test_a_scaled_float32_gradient_is_caught_and_named(name: str, factor: float) -> None:
    assert wrong(check_gradients(with_gradients(net(dtype="float32"), scaled(name, factor)), X, T)) == [name]


def largest_of_w1(network: TwoLayerNet) -> tuple[int, ...]:
    grad = np.abs(network.gradient(X, T)["W1"])
    return tuple(int(i) for i in np.unravel_index(grad.argmax(), grad.shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_halved_element_is_caught_and_its_place_named(dtype: str) -> None:
    network = net(dtype=dtype)
    where = largest_of_w1(network)
    report = check_gradients(with_gradients(network, scaled("W1", 0.5, where)), X, T)
    assert wrong(report) == ["W1"]
    assert parameter(report, "W1").where == where


def test_both_values_at_that_place_are_given() -> None:
    network = net()
    where = largest_of_w1(network)
    right = float(network.gradient(X, T)["W1"][where])
    found = parameter(check_gradients(with_gradients(network, scaled("W1", 0.5, where)), X, T), "W1")
    assert found.analytic == right / 2
    assert found.numeric == pytest.approx(right, rel=1e-6)  # the central difference's own error: h² f‴ / 6
    assert found.max_relative == pytest.approx(0.5, rel=1e-6)
    assert found.max_difference == pytest.approx(abs(right) / 2, rel=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_caught_and_its_place_named(value: float, dtype: str) -> None:
    report = check_gradients(with_gradients(net(dtype=dtype), put("W1", (2, 1), value)), X, T)
    assert wrong(report) == ["W1"]
    assert parameter(report, "W1").where == (2, 1)
    np.testing.assert_equal(parameter(report, "W1").analytic, value)


def test_a_transposed_gradient_is_caught() -> None:
    def transpose(grads: Gradients) -> None:
        grads["W2"] = grads["W2"].T

    assert wrong(check_gradients(with_gradients(net(sizes=(4, 3, 3)), transpose), X, T)) == ["W2"]


def test_gradients_that_are_the_last_batchs_are_caught() -> None:
    network = net()
    stale = network.gradient(X[::-1], T)
    assert wrong(check_gradients(with_gradients(network, lambda grads: grads.update(stale)), X, T)) != []


class SumNotMean(SoftmaxWithLoss):
    """Forgets 1/N."""

    def backward(self, dout: float = 1) -> Any:
        return super().backward(dout) * len(self.y)


class OneRowOfBias(Affine):
    """Forgets to sum the bias's gradient over the rows."""

    def backward_parameters(self, dout: Any, *, same_x: bool = False) -> Any:
        dout = super().backward_parameters(dout, same_x=same_x)
        self.db = dout[0]
        return dout


class NoMask(Relu):
    """Lets everything pass backwards."""

    def backward(self, dout: Any) -> Any:
        return dout


class LinearSlope(Sigmoid):
    """Forgets a factor: out instead of out · (1 - out)."""

    def backward(self, dout: Any) -> Any:
        return dout * self.out


class IgnoresDout(Sigmoid):
    """Gives its own slope, whatever arrives."""

    def backward(self, dout: Any) -> Any:
        return self.out * (1 - self.out)


class UntransposedWeights(Affine):
    """For square weights W and Wᵀ have one shape."""

    def backward(self, dout: Any) -> Any:
        return self.backward_parameters(dout) @ self.W


def test_a_missing_1_over_n_is_caught_everywhere() -> None:
    network = net()
    network.last_layer = SumNotMean()
    assert wrong(check_gradients(network, X, T)) == ["W1", "b1", "W2", "b2"]


def test_a_dropped_bias_sum_is_caught_in_that_bias() -> None:
    network = net()
    network.layers["Affine2"] = OneRowOfBias(network.params["W2"], network.params["b2"])
    assert wrong(check_gradients(network, X, T)) == ["b2"]


@pytest.mark.parametrize("layer", [NoMask, LinearSlope, IgnoresDout])
def test_a_wrong_activation_is_caught_below_it(layer: Callable[[], Any]) -> None:
    network = net()
    network.layers["Relu1"] = layer()
    assert wrong(check_gradients(network, X, T)) == ["W1", "b1"]


@pytest.mark.parametrize("layer", [NoMask, LinearSlope, IgnoresDout])
def test_a_wrong_activation_of_a_float32_network_is_caught_below_it(layer: Callable[[], Any]) -> None:
    network = net(dtype="float32")
    network.layers["Relu1"] = layer()
    assert wrong(check_gradients(network, X, T)) == ["W1", "b1"]


def test_square_weights_not_transposed_on_the_way_back_are_caught_below() -> None:
    network = net(sizes=(4, 3, 3))
    network.layers["Affine2"] = UntransposedWeights(network.params["W2"], network.params["b2"])
    assert wrong(check_gradients(network, X, T)) == ["W1", "b1"]


# --- no false alarm at a kink ---


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("distance", [9e-5, 5e-6, 5e-7, 5e-8])
def test_a_relu_that_switches_within_the_step_is_no_false_alarm(distance: float, sign: int) -> None:
    network = net()
    network.params["b1"][0] = sign * distance - X[0] @ network.params["W1"][:, 0]
    assert abs(X[0] @ network.params["W1"][:, 0] + network.params["b1"][0]) < 1e-4
    assert check_gradients(network, X, T).ok


def test_a_relu_at_exactly_0_is_a_kink_and_no_false_alarm() -> None:
    """A black image and biases of 0: no slope of b1 is the right one, and W1 has no effect."""
    report = check_gradients(net(), np.zeros((1, 4)), [0])
    assert report.verdict == "unproven"
    assert {a.name: a.verdict for a in report.arrays} == {
        "W1": "vacuous",
        "b1": "kink",
        "W2": "vacuous",
        "b2": "right",
    }
    assert parameter(report, "b1").kinks == 5


def test_a_wrong_gradient_is_still_caught_when_a_relu_switches_within_the_step() -> None:
    network = net()
    network.params["b1"][0] = 5e-6 - X[0] @ network.params["W1"][:, 0]
    assert wrong(check_gradients(with_gradients(network, scaled("b1", 0.5)), X, T)) == ["b1"]


# --- the report ---


def test_a_good_report_is_true() -> None:
    report = check_gradients(net(), X, T)
    assert report.ok
    assert bool(report)


def test_a_bad_report_is_false() -> None:
    report = check_gradients(with_gradients(net(), scaled("W1", 0.5)), X, T)
    assert not report.ok
    assert not report


def test_parameters_are_reported_in_the_order_of_the_network_with_their_shapes() -> None:
    found = [(p.name, p.shape) for p in check_gradients(net(), X, T).arrays]
    assert found == [("W1", (4, 5)), ("b1", (5,)), ("W2", (5, 3)), ("b2", (3,))]


def test_the_figures_are_the_mean_and_the_largest_difference() -> None:
    network = with_gradients(net(), lambda grads: grads["W2"].__iadd__(np.arange(15).reshape(5, 3)))
    found = parameter(check_gradients(network, X, T), "W2")
    assert found.mean_difference == pytest.approx(7, rel=1e-9)
    assert found.max_difference == pytest.approx(14, rel=1e-9)


def test_a_good_report_reads_gradients_agree() -> None:
    assert str(check_gradients(net(), X, T)).splitlines()[-1] == "gradients agree"


def test_a_bad_report_reads_gradients_differ_and_where() -> None:
    text = str(check_gradients(with_gradients(net(), put("W1", (2, 1), 7.0)), X, T))
    assert text.splitlines()[-1] == "GRADIENTS DIFFER"
    assert "W1[2, 1]: analytic 7.000000e+00, numeric " in text


@pytest.mark.parametrize("factor", [1.0, -1e9, np.nan])
def test_a_report_fits_in_100_columns(factor: float) -> None:
    def change(grads: Gradients) -> None:
        for grad in grads.values():
            grad *= factor

    wide = with_gradients(net(sizes=(120, 11, 10)), change)
    report = check_gradients(wide, examples(120), T)
    assert max(map(len, str(report).splitlines())) <= 100


# --- what it leaves behind, and what it refuses ---


def bits(network: Any) -> list[bytes]:
    return [array.tobytes() for array in network.params.values()]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_parameters_are_as_before_bit_for_bit(dtype: str) -> None:
    network = net(dtype=dtype)
    arrays, before = list(network.params.values()), bits(network)
    check_gradients(network, X, T)
    assert bits(network) == before
    assert all(new is old for new, old in zip(network.params.values(), arrays, strict=True))


def test_the_examples_and_labels_are_as_before() -> None:
    x, t = X.copy(), np.eye(3)[T]
    check_gradients(net(), x, t)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(t, np.eye(3)[T])


@pytest.mark.parametrize("calls", [1, 2, 3, 50])
def test_the_parameters_are_as_before_when_the_loss_raises_midway(calls: int) -> None:
    network = net()
    before, loss, left = bits(network), network.loss, [calls]

    def failing(x: Any, t: Any) -> float:
        left[0] -= 1
        if left[0] <= 0:
            raise ArithmeticError("midway")
        return loss(x, t)

    network.loss = failing  # type: ignore[method-assign, assignment]
    with pytest.raises(ArithmeticError, match="midway"):
        check_gradients(network, X, T)
    assert bits(network) == before


def test_a_missing_gradient_is_wrong() -> None:
    report = check_gradients(with_gradients(net(), lambda grads: grads.pop("b1")), X, T)
    assert wrong(report) == ["b1"]
    assert "gives none" in parameter(report, "b1").note


def test_a_gradient_of_another_shape_is_wrong_and_both_shapes_are_said() -> None:
    report = check_gradients(with_gradients(net(), lambda grads: grads.update(W2=grads["W2"].T)), X, T)
    assert wrong(report) == ["W2"]
    assert parameter(report, "W2").note == "its gradient has shape (3, 5), and it has shape (5, 3)"
    assert parameter(report, "W2").cause == "transposed"


def test_l1_a_label_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^labels must lie in 0\.\.2; got 3 at row 1"):
        check_gradients(net(), X, [0, 3, 1])


@pytest.mark.fault("A12")
def test_a12_more_axes_than_numpy_goes_through_number_by_number_are_refused() -> None:
    with pytest.raises(ValueError, match="x has 40 axes; at most 32 are taken here"):
        check_gradients(Tanh(), np.ones((1,) * 40))
    assert check_gradients(Tanh(), np.ones((1,) * 32), seed=0).ok


def test_a11_an_empty_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="empty batch"):
        check_gradients(net(), X[:0], T[:0])


def test_a13_a_parameter_that_is_nan_is_named() -> None:
    network = net()
    network.params["W2"][1, 2] = np.nan
    with pytest.raises(ValueError, match=r"^W2\[1, 2\] is nan; a gradient can be checked at finite numbers only$"):
        check_gradients(network, X, T)


# --- the tutorial's check ---


@pytest.fixture(scope="module")
def first_three() -> tuple[NDArray[Any], NDArray[Any]]:
    (x, t), _ = load_mnist(one_hot_label=True)
    return x[:3].copy(), t[:3].copy()


@pytest.mark.parametrize("seed", range(3))
def test_the_tutorials_figures_on_mnist(seed: int, first_three: tuple[NDArray[Any], NDArray[Any]]) -> None:
    """The tutorial prints means of about 4e-10, 3e-9, 5e-9 and, by the 1e-7 in its loss, 1.4e-7."""
    report = check_gradients(TwoLayerNet(784, 50, 10, seed=seed), *first_three)
    assert report.ok
    limits = {"W1": 4.3e-10, "b1": 2.7e-9, "W2": 4.8e-9, "b2": 1e-9}
    assert {p.name: p.mean_difference <= limits[p.name] for p in report.arrays} == dict.fromkeys(limits, True)


def test_one_halved_element_that_the_tutorials_mean_would_let_pass_is_caught(
    first_three: tuple[NDArray[Any], NDArray[Any]],
) -> None:
    """On a crop of the images, for speed: the mean is then over 7200 entries."""
    x, t = first_three
    crop = x.reshape(3, 28, 28)[:, 8:20, 8:20].reshape(3, 144)
    network = TwoLayerNet(144, 50, 10, seed=0)
    grad = np.abs(network.gradient(crop, t)["W1"])
    where = np.unravel_index(np.abs(grad - 1e-3).argmin(), grad.shape)
    report = check_gradients(with_gradients(network, scaled("W1", 0.5, where)), crop, t)
    found = parameter(report, "W1")
    assert found.mean_difference < 1.4e-7  # what the tutorial prints for its own healthy b2
    assert wrong(report) == ["W1"]
    assert found.where == where
