"""What printed networks, layers, losses, optimizers, callbacks and histories say."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import SGD, Adam, EarlyStopping, History, MultiLayerNetExtend, Network, SimpleConvNet, TwoLayerNet
from chainrule.nn.kinds import LAYERS, LOSSES, OPTIMIZERS
from chainrule.nn.layers import Affine, Convolution, Dropout, Identity, LeakyRelu, Relu, Rescaling, Reshape


class Own:
    """A layer of somebody's own."""

    def __init__(self) -> None:
        self.gamma = np.ones((3, 2))
        self.dgamma = np.zeros((3, 2))

    def forward(self, x: Any) -> Any:
        return x @ self.gamma

    def backward(self, dout: Any) -> Any:
        return dout @ self.gamma.T


def test_a_network_is_told_in_a_line_and_printed_as_a_table() -> None:
    net = TwoLayerNet(784, 50, 10)
    assert repr(net) == "TwoLayerNet(3 layers, 39,760 parameters, float64)"
    assert str(net).splitlines() == [
        "TwoLayerNet(3 layers, 39,760 parameters, float64)",
        "layer    kind             output  parameters       count",
        "Affine1  Affine           50      W 784×50, b 50  39,250",
        "Relu1    Relu             50",
        "Affine2  Affine           10      W 50×10, b 10      510",
        "         SoftmaxWithLoss",
    ]


def outputs(net: Network) -> list[str]:
    """Give the third column of the table."""
    head, *rows = str(net).splitlines()[1:-1]
    at = head.index("output"), head.index("parameters")
    return [row[slice(*at)].strip() for row in rows]


@pytest.mark.parametrize(
    ("net", "x"),
    [
        (SimpleConvNet(), np.zeros((1, 784))),
        (MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True, use_dropout=True), np.zeros((1, 6))),
        (Network({"a": Rescaling(), "b": Identity(), "c": Affine(np.eye(4, 3), np.zeros(3))}), np.zeros((1, 4))),
        (Network({"a": Reshape((2, 5, 5)), "b": Convolution(np.ones((3, 2, 2, 2)), np.zeros(3))}), np.zeros((1, 50))),
    ],
)
def test_what_comes_out_of_a_layer_is_what_does(net: Network, x: Any) -> None:
    expected = []
    for layer in net.layers.values():
        x = chainrule.nn.passes.run(layer, x, False)
        expected.append("×".join(map(str, x.shape[1:])))
    assert outputs(net) == expected


def test_what_is_not_known_is_left_out() -> None:
    """Of a layer of one's own, and of what is behind it until weights say; no error for what does not fit."""
    behind = Network({"own": Own(), "relu": Relu(), "affine": Affine(np.eye(2, 4), np.zeros(4)), "tanh": Relu()})
    assert outputs(behind) == ["", "", "4", "4"]
    assert "own     Own" in str(behind)
    assert "gamma 3×2" in str(behind)
    filters = Network({"conv": Convolution(np.ones((3, 2, 2, 2)), np.zeros(3)), "relu": Relu()})
    assert outputs(filters) == ["", ""]
    misfit = Network({"a": Affine(np.eye(2, 4), np.zeros(4)), "b": Affine(np.eye(5, 3), np.zeros(3)), "c": Relu()})
    assert outputs(misfit) == ["4", "", ""]
    assert repr(Network({})) == "Network(0 layers, 0 parameters)"


def test_the_total_is_that_of_the_parameters_where_one_array_stands_twice() -> None:
    shared = Affine(np.eye(3), np.zeros(3))
    assert repr(Network({"a": shared, "b": Relu(), "c": shared})) == "Network(3 layers, 12 parameters, float64)"


class Page(HTMLParser):
    """The words of each cell."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.cells.append("")

    def handle_data(self, data: str) -> None:
        self.cells[-1] += data


def test_a_notebook_shows_the_same_and_names_are_text() -> None:
    net = Network({"<b>": Relu(), "Affine1": Affine(np.eye(2), np.zeros(2))})
    page = Page(net._repr_html_())
    words = [word for line in str(net).splitlines()[1:] for word in line.split("  ") if word]
    assert [cell for cell in page.cells if cell][1:] == [word.strip() for word in words]
    assert "b" not in page.tags


@pytest.mark.parametrize("kind", [*LAYERS, *LOSSES])
def test_every_layer_and_loss_says_its_kind(kind: type[Any]) -> None:
    given: dict[str, Any] = {"W": np.ones((3, 2)), "b": np.zeros(2), "gamma": np.ones(3), "beta": np.zeros(3)}
    if kind is Convolution:
        given |= {"W": np.ones((2, 1, 3, 3))}
    names = LAYERS[kind].parameters if kind in LAYERS else ()
    arguments = [given[name] for name in names]
    if kind.__name__ in ("Pooling", "AveragePooling"):
        arguments = [2, 2]
    if kind is Reshape:
        arguments = [(2, 3)]
    text = repr(kind(*arguments))
    assert text.startswith(f"{kind.__name__}(")
    assert all(f"{name} {given[name].shape}" in text for name in names)


def test_numbers_of_a_layer_are_told_also_in_a_class_derived_from_it() -> None:
    class Mine(LeakyRelu):
        pass

    assert repr(Mine(0.25)) == "Mine(slope=0.25)"
    assert repr(Dropout(0.3)) == "Dropout(dropout_ratio=0.3)"


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_an_optimizer_says_what_makes_it_again(kind: Any) -> None:
    for made in (kind(), kind(0.25, weight_decay=0.5)):
        again = eval(repr(made), {kind.__name__: kind})
        assert vars(again) == vars(made)
    assert "weight_decay" not in repr(SGD())
    assert repr(Adam()) == "Adam(lr=0.001, beta1=0.9, beta2=0.999)"


def test_early_stopping_says_what_it_looks_at() -> None:
    assert repr(EarlyStopping(3)) == "EarlyStopping(patience=3, monitor='validation_loss')"
    assert (
        repr(EarlyStopping(3, min_delta=0.5)) == "EarlyStopping(patience=3, monitor='validation_loss', min_delta=0.5)"
    )


def test_a_history_is_a_line_and_a_frame() -> None:
    history = History([0.9, 0.7, 0.5, 0.3, 0.1], [2, 4], train_loss=[0.6, 0.2], train_accuracy=[0.5, 1.0])
    assert repr(history) == "History(2 epochs, 5 steps, loss=0.1000, train_loss=0.2000, train_accuracy=1.0000)"
    assert repr(History()) == "History(0 epochs, 0 steps)"
    assert [len(column) for column in history.to_frame().values()] == [2] * 5
    # The last step belongs to an epoch that was not finished.
    assert history.to_frame("step")["epoch"] == [1, 1, 2, 2, 3]
    assert {name: [] for name in ("epoch", "step", "loss")} == History().to_frame()
    with pytest.raises(ValueError, match="by must be 'epoch' or 'step', got 'steps'"):
        history.to_frame("steps")


def test_a_frame_is_what_pandas_makes_one_of() -> None:
    pandas = pytest.importorskip("pandas")
    history = History([0.9, 0.7], [1, 2], test_loss=[0.6, 0.2])
    assert pandas.DataFrame(history.to_frame())["test_loss"].tolist() == [0.6, 0.2]
    assert pandas.DataFrame(history.to_frame("step")).shape == (2, 3)
