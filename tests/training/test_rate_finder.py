"""A learning rate to begin with: the losses are those of gradient descent as NumPy takes it, and nothing is changed."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import matplotlib.image
import numpy as np
import pytest

from chainrule import (
    Adam,
    Affine,
    Dropout,
    IdentityWithLoss,
    LearningRates,
    Network,
    Relu,
    TwoLayerNet,
    find_learning_rate,
    fit,
    load_mnist,
)

plot_learning_rates: Any = __import__("chainrule").plot_learning_rates
RNG = np.random.default_rng(3)
X = RNG.standard_normal((40, 3))
T = X @ np.array([[1.0], [-2.0], [0.5]]) + 0.1 * RNG.standard_normal((40, 1))


def straight_line() -> Network:
    return Network({"Affine1": Affine(np.zeros((3, 1)), np.zeros(1))}, IdentityWithLoss())


def test_the_losses_are_those_of_gradient_descent_with_rising_rates() -> None:
    found = find_learning_rate(straight_line(), X, T, lowest=1e-3, highest=100, steps=60, seed=0)
    W, b, rates, losses = np.zeros((3, 1)), np.zeros(1), [], []
    for step in range(60):  # all 40 examples are a batch
        dout = (X @ W + b - T) / 40
        rates.append(1e-3 * 10 ** (5 * step / 59))
        losses.append(20 * (dout**2).sum())
        W, b = W - rates[-1] * X.T @ dout, b - rates[-1] * dout.sum(axis=0)
        if losses[-1] > 4 * losses[0]:
            break
    assert 20 < len(losses) < 60
    np.testing.assert_allclose(found.rates, rates, rtol=1e-12)
    np.testing.assert_allclose(found.losses, losses, rtol=1e-9)  # a few dozen steps of sums of 40


def test_the_suggestion_is_below_the_rate_at_which_gradient_descent_diverges_and_learns() -> None:
    """Above 2 / λ, λ the largest eigenvalue of the Hessian, gradient descent on a quadratic diverges."""
    for scale in (0.1, 1.0, 30.0):
        x = np.concatenate([scale * X, np.ones((40, 1))], axis=1)
        limit = 2 / np.linalg.eigvalsh(x.T @ x / 40).max()
        found = find_learning_rate(straight_line(), scale * X, T, lowest=1e-7, highest=1e3, steps=200, seed=0)
        assert limit / 100 < found.suggestion < limit
        assert float(f"{found.suggestion:.1e}") == found.suggestion
        history = fit(straight_line(), scale * X, T, epochs=300, learning_rate=found.suggestion, seed=0)
        assert history.train_loss[-1] < history.train_loss[0] < found.losses[0]


@pytest.mark.parametrize("rule", [None, "adam", Adam(0.5)])
def test_nothing_is_left_of_the_run(rule: Any) -> None:
    (x, t), _ = load_mnist()
    net = TwoLayerNet(784, 10, 10, seed=0)
    net.layers["Dropout1"] = Dropout(0.3, seed=5)
    if isinstance(rule, Adam):  # with something to lose
        fit(net, x[:100], t[:100], iterations=2, optimizer=rule, seed=0)
    rng = np.random.default_rng(4)
    before, kept, state = copy.deepcopy(net), copy.deepcopy(rule), copy.deepcopy(rng)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of dead units, say
        found = find_learning_rate(net, x[:2000], t[:2000], optimizer=rule, seed=rng)
    assert 1e-5 < found.suggestion < 1
    assert rng.bit_generator.state == state.bit_generator.state
    assert all((net.params[name] == array).all() for name, array in before.params.items())
    if isinstance(rule, Adam):
        assert (rule.lr, rule.iter) == (0.5, 2)
        assert all((a == b).all() for name in kept.kept for a, b in zip(rule.kept[name], kept.kept[name], strict=True))
    # Masks go on where they were: the same training follows.
    one, two = (fit(each, x[:500], t[:500], epochs=1, seed=1).losses for each in (net, before))
    assert one == two


def test_the_same_seed_gives_the_same_suggestion_and_a_network_of_ones_own_is_taken() -> None:
    class Own:
        def __init__(self) -> None:
            self.params = {"w": np.zeros((3, 1))}

        def loss(self, x: Any, t: Any) -> float:
            return float(((x @ self.params["w"] - t) ** 2).mean())

        def gradient(self, x: Any, t: Any) -> dict[str, Any]:
            return {"w": 2 * x.T @ (x @ self.params["w"] - t) / len(x)}

        def accuracy(self, x: Any, t: Any) -> float:
            return -self.loss(x, t)

    one, two = (find_learning_rate(Own(), X, T, batch_size=8, seed=2) for _ in range(2))
    assert (one.losses == two.losses).all()
    assert one.suggestion == two.suggestion
    assert repr(one).startswith(f"LearningRates(suggestion={one.suggestion:g}: of {len(one.rates)} steps with rates")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"lowest": 1.0, "highest": 0.1}, "lowest must be below highest, got lowest=1.0 and highest=0.1"),
        ({"lowest": 0}, "lowest must be"),
        ({"steps": 19}, "steps must be at least 20, got 19"),
        ({"lowest": 1e3, "highest": 1e4}, "the loss falls at no rate from 1000 to 10000: its first values are"),
        ({"highest": 1e-5}, "the loss falls at no rate from 1e-06 to 1e-05"),
        ({"optimizer": "adem"}, "optimizer must be one of"),
        ({"batch_size": 41}, "batch_size is 41, but there are 40 examples"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(arguments: dict[str, Any], said: str) -> None:
    net = straight_line()
    with pytest.raises(ValueError, match=said):
        find_learning_rate(net, X, T, seed=0, **arguments)
    assert not net.params["W1" if "W1" in net.params else next(iter(net.params))].any()


def test_data_that_hold_a_nan_are_named() -> None:
    x = X.copy()
    x[7, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"loss is nan at the lowest rate, 1e-06. x\[7, 1\] is nan"):
        find_learning_rate(straight_line(), x, T, seed=0)


def test_an_exception_within_leaves_the_network_as_it_was() -> None:
    class Failing(Relu):
        times = 0

        def forward(self, x: Any) -> Any:
            self.times += 1
            if self.times > 30:
                raise KeyboardInterrupt
            return super().forward(x)

    net = Network(
        {
            "Affine1": Affine(RNG.standard_normal((3, 5)), np.zeros(5)),
            "Relu1": Failing(),
            "Affine2": Affine(RNG.standard_normal((5, 1)), np.zeros(1)),
        },
        IdentityWithLoss(),
    )
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(KeyboardInterrupt):
        find_learning_rate(net, X, T, lowest=0.01, seed=0)
    assert all((net.params[name] == array).all() for name, array in before.items())


def test_the_picture_shows_both_curves_and_the_suggestion(tmp_path: Any) -> None:
    found = find_learning_rate(straight_line(), X, T, lowest=1e-3, highest=100, steps=60, seed=0)
    figure = plot_learning_rates(found)
    (axes,) = figure.axes
    batches, smoothed, suggestion = axes.lines
    assert (batches.get_ydata() == found.losses).all()
    assert (smoothed.get_ydata() == found.smoothed).all()
    assert set(suggestion.get_xdata()) == {found.suggestion}
    bottom, top = axes.get_ylim()
    assert bottom < found.losses.min() < found.losses[0] < top < found.losses.max()
    figure.savefig(tmp_path / "rates.png")
    assert matplotlib.image.imread(tmp_path / "rates.png").std() > 0.01
    with pytest.raises(TypeError, match="found must be what find_learning_rate gives, got 3"):
        plot_learning_rates(3)


def test_what_was_found_cannot_be_changed() -> None:
    found = LearningRates(np.ones(2), np.ones(2), np.ones(2), 0.1)
    with pytest.raises(AttributeError):
        found.suggestion = 1.0  # type: ignore[misc]
