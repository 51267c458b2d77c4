"""Which networks are this package's own, unchanged: one question, asked in one place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import Network, Relu, SoftmaxWithLoss, TwoLayerNet
from chainrule.nn.engine import Ours

#: Which answers hold only as long as a method is Network's.
RESTS_ON = {
    "predict": {"scores", "loss", "trained", "evaluated", "arrays"},
    "loss": {"loss", "trained", "evaluated", "arrays"},
    "gradient": {"trained"},
    "accuracy": {"accuracy", "evaluated"},
    "score": {"accuracy", "evaluated"},
}
ANSWERS = {"scores", "loss", "trained", "evaluated", "accuracy", "layers", "arrays"}


def said(net: Any) -> set[str]:
    """Give the answers that are yes."""
    ours = Ours(net)
    return {name for name in ANSWERS if getattr(ours, name)}


def net() -> TwoLayerNet:
    return TwoLayerNet(4, 3, 2, seed=0)


def test_everything_of_an_unchanged_network_is_ours() -> None:
    assert said(net()) == ANSWERS
    assert said(Network(net().layers)) == ANSWERS


@pytest.mark.parametrize("method", RESTS_ON)
def test_a_method_replaced_in_a_subclass_is_somebodys_own(method: str) -> None:
    theirs = type("Theirs", (TwoLayerNet,), {method: lambda self, *args: None})
    assert said(theirs(4, 3, 2)) == ANSWERS - RESTS_ON[method]


@pytest.mark.parametrize("method", RESTS_ON)
def test_a_method_replaced_on_the_object_is_somebodys_own(method: str) -> None:
    changed = net()
    setattr(changed, method, lambda *args: None)
    assert said(changed) == ANSWERS - RESTS_ON[method]


def test_a_loss_of_ones_own_leaves_the_scores_ours() -> None:
    class Own(SoftmaxWithLoss):
        pass

    changed = net()
    changed.last_layer = Own()
    assert said(changed) == {"scores", "layers", "accuracy"}
    changed.last_layer = SoftmaxWithLoss()
    changed.last_layer.backward = lambda dout=1: np.zeros((1, 2))
    assert said(changed) == {"scores", "layers", "accuracy"}
    changed.last_layer = Relu()
    assert said(changed) == {"scores", "layers", "accuracy"}


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_layers_method_replaced_leaves_no_plan(method: str) -> None:
    changed = net()
    setattr(changed.layers["Relu1"], method, lambda x: x)
    assert said(changed) == ANSWERS - {"layers", "arrays"}


def test_nothing_is_asked_of_what_is_no_network() -> None:
    class Theirs:
        def predict(self, x: Any) -> Any:
            return x

        loss = gradient = accuracy = predict

    assert not any(getattr(Ours(Theirs()), name) for name in ANSWERS - {"layers"})
