"""Probabilities, classes, and how good a network is on a set, against the definitions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import Evaluation, IdentityWithLoss, Network, SigmoidWithLoss, TwoLayerNet
from chainrule.nn.layers import Affine, Dropout


def data(n: int = 40, classes: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 4)), rng.integers(classes, size=n)


def net_with(loss: Any, outputs: int = 3) -> Network:
    rng = np.random.default_rng(1)
    return Network({"Affine1": Affine(rng.standard_normal((4, outputs)), rng.standard_normal(outputs))}, loss)


def test_probabilities_are_the_softmax_of_the_scores_and_sum_to_1() -> None:
    net, (x, _) = TwoLayerNet(4, 5, 3, 1.0, seed=0), data()
    powers = np.exp(net.predict(x))
    np.testing.assert_allclose(net.predict_proba(x), powers / powers.sum(axis=1, keepdims=True), rtol=1e-12)
    assert net.predict_proba(x[0]).shape == (3,)
    assert net.predict_classes(x).tolist() == [int(np.argmax(row)) for row in powers]
    assert int(net.predict_classes(x[0])) == int(np.argmax(powers[0]))


def test_with_sigmoids_each_answer_is_yes_or_no() -> None:
    net, (x, _) = net_with(SigmoidWithLoss()), data()
    y = 1 / (1 + np.exp(-net.predict(x)))
    np.testing.assert_allclose(net.predict_proba(x), y, rtol=1e-12)
    assert (net.predict_classes(x) == (y > 0.5)).all()
    found = net.evaluate(x, (y > 0.5).astype(float))
    assert (found.score, found.confusion, found.precision) == (1.0, None, None)
    assert len(str(found).splitlines()) == 1


def test_of_a_regression_there_are_neither() -> None:
    net, (x, _) = net_with(IdentityWithLoss()), data()
    for method in (net.predict_proba, net.predict_classes):
        with pytest.raises(ValueError, match=r"IdentityWithLoss has no .*: its scores are the answer"):
            method(x)
    t = net.predict(x) + 0.5
    found = net.evaluate(x, t)
    assert (found.measure, found.score) == ("r2", net.score(x, t))
    assert found.loss == pytest.approx(0.5 * 3 * 0.25)
    assert str(found).startswith("40 examples: loss 0.3750, r2 0.")


@pytest.mark.parametrize("one_hot", [False, True])
def test_each_class_is_counted_as_defined(one_hot: bool) -> None:
    net, (x, t) = TwoLayerNet(4, 5, 3, 1.0, seed=0), data()
    found = net.evaluate(x, np.eye(3)[t] if one_hot else t)
    y = net.predict_classes(x)
    assert found.confusion is not None
    assert found.precision is not None
    assert found.recall is not None
    for i in range(3):
        for j in range(3):
            assert found.confusion[i, j] == sum((t == i) & (y == j))
        assert found.precision[i] == np.mean(t[y == i] == i)
        assert found.recall[i] == np.mean(y[t == i] == i)
    assert (found.examples, found.score) == (40, net.accuracy(x, t))
    assert found.loss == pytest.approx(net.loss(x, t))


def test_a_class_that_is_not_there_has_no_share() -> None:
    found = Evaluation(3, 0.5, "accuracy", 2 / 3, np.array([[2, 0, 1], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(found.precision, [1, np.nan, 0])
    np.testing.assert_array_equal(found.recall, [2 / 3, np.nan, np.nan])
    assert str(found).splitlines()[2:] == [
        "    0     1.0000  0.6667         3",
        "    1          -       -         0",
        "    2     0.0000       -         0",
    ]


def test_it_evaluates_and_draws_nothing() -> None:
    net, (x, t) = net_with(None), data()
    net.layers["Dropout1"] = Dropout(0.5)
    assert net.evaluate(x, t).loss == net.evaluate(x, t).loss
    history = chainrule.fit(net, x, t, seed=0)
    assert net.evaluate(x, t).loss == pytest.approx(history.train_loss[-1], rel=1e-12)


def test_a_loss_of_ones_own_says_itself_what_scores_mean() -> None:
    class Mine:
        def forward(self, x: Any, t: Any) -> float:
            return float(np.mean((x - t) ** 2))

        def backward(self, dout: Any = 1) -> Any:
            return dout

    net, (x, t) = net_with(Mine()), data()
    for call in (lambda: net.predict_proba(x), lambda: net.predict_classes(x), lambda: net.evaluate(x, t)):
        with pytest.raises(ValueError, match="Mine is a loss of your own"):
            call()


def test_labels_that_do_not_fit_are_refused() -> None:
    net, (x, t) = TwoLayerNet(4, 5, 3), data()
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.2"):
        net.evaluate(x, t + 1)
