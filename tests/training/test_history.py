"""history.py: the table of a run."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.nn.functions import softmax
from chainrule.nn.layers import Relu
from chainrule.nn.losses import SoftmaxWithLoss
from chainrule.nn.two_layer_net import TwoLayerNet
from chainrule.training.fit import fit
from chainrule.training.history import History


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


class OwnLoss(TwoLayerNet):
    """A network whose loss is another: twice ours."""

    def loss(self, x: Any, t: Any) -> float:  # type: ignore[override]  # as a reader of the tutorial writes it
        return 2 * super().loss(x, t)


def data(N: int = 50, number: int = 1) -> tuple[Any, Any]:
    r = np.random.default_rng(number)
    return r.normal(size=(N, 6)), r.integers(0, 4, N)


def small() -> History:
    return History(
        [1.0, 0.5, 0.25, 0.125, 0.1],
        [2, 4, 5],
        train_loss=[0.7, 0.3, 0.2],
        train_accuracy=[0.5, 0.75, 1.0],
        test_loss=[0.8, 0.4, 1 / 3],
        test_accuracy=[0.25, 0.5, 0.5],
    )


@pytest.mark.parametrize("way", ["engine", "readable", "own loss"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_losses_and_accuracies_of_the_sets_are_numpys(way: str, dtype: Any) -> None:
    net = (OwnLoss if way == "own loss" else TwoLayerNet)(6, 5, 4, 0.5, dtype=dtype, seed=0)
    if way == "readable":
        net.layers["Relu1"] = OwnRelu()
    sets = {"train": data(), "test": data(20, 2), "validation": data(10, 3)}
    history = fit(net, *sets["train"], test=sets["test"], validation=sets["validation"], epochs=3, batch_size=7, seed=0)
    for name, (x, t) in sets.items():
        p = net.params
        y = softmax(np.maximum(x.astype(dtype) @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"])
        loss = -np.mean(np.log(y[np.arange(len(t)), t].astype(np.float64))) * (2 if way == "own loss" else 1)
        losses, accuracies = getattr(history, f"{name}_loss"), getattr(history, f"{name}_accuracy")
        # ε for each of some 60 operations on numbers about 1.
        np.testing.assert_allclose(losses[-1], loss, rtol=100 * np.finfo(dtype).eps)
        assert accuracies[-1] == np.mean(np.argmax(y, axis=1) == t)
        assert len(losses) == len(accuracies) == len(history.steps) == 3


def test_losses_are_those_of_their_epoch() -> None:
    x, t = data(500)
    history = fit(TwoLayerNet(6, 5, 4, seed=0), x, t, test=data(70, 2), batch_size=10, epochs=4, seed=0)
    for epoch in range(1, 5):
        net = TwoLayerNet(6, 5, 4, seed=0)
        fit(net, x, t, batch_size=10, epochs=epoch, seed=0)
        np.testing.assert_allclose(history.train_loss[epoch - 1], net.loss(x, t), rtol=1e-12)
        np.testing.assert_allclose(history.test_loss[epoch - 1], net.loss(*data(70, 2)), rtol=1e-12)


def test_losses_and_accuracies_of_more_rows_than_are_taken_in_one_go_are_numpys() -> None:
    scores, t = np.random.default_rng(0).normal(size=(10_000, 7)), np.arange(10_000) % 7
    loss, accuracy = SoftmaxWithLoss().evaluate(scores, t)
    np.testing.assert_allclose(loss, -np.mean(np.log(softmax(scores)[np.arange(10_000), t])), rtol=1e-13)
    assert accuracy == np.mean(np.argmax(scores, axis=1) == t)


class Turned(Relu):
    """A layer of the user's own whose output lies column after column, in half precision."""

    def forward(self, x: Any) -> Any:
        return np.asfortranarray(x, np.float16)

    def backward(self, dout: Any) -> Any:
        return dout


def test_scores_in_any_layout_and_dtype_have_a_loss() -> None:
    x, t = data()
    net = TwoLayerNet(6, 5, 4, 0.5, seed=0)
    net.layers["Turned"] = Turned()
    history = fit(net, x, t, batch_size=7, seed=0)
    np.testing.assert_allclose(history.train_loss[-1], net.loss(x, t), rtol=1e-6)


def test_to_dict_gives_every_list_and_they_are_the_callers_own() -> None:
    history = small()
    found = history.to_dict()
    assert History(**found) == history
    assert found["validation_loss"] == []
    found["losses"].append(7.0)
    assert history == small()


def test_to_csv_reads_back_as_the_same_numbers() -> None:
    history = small()
    text = history.to_csv()
    assert text is not None
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    assert [int(row["step"]) for row in rows] == history.steps
    assert [float(row["loss"]) for row in rows] == [0.75, 0.1875, 0.1]  # the means of each epoch's losses
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        assert [float(row[name]) for row in rows] == getattr(history, name)
    assert "validation_loss" not in rows[0]


def test_to_csv_writes_a_file(tmp_path: Path) -> None:
    assert small().to_csv(tmp_path / "history.csv") is None
    assert (tmp_path / "history.csv").read_text() == small().to_csv()


def test_a_history_of_nothing_is_a_table_without_rows() -> None:
    assert History().to_csv() == "epoch,step,loss\n"
    assert "<tbody></tbody>" in History()._repr_html_()


def test_a_notebook_shows_a_row_an_epoch() -> None:
    text = small()._repr_html_()
    assert re.findall(r"<th [^>]*>(.*?)</th>", text)[:4] == ["epoch", "step", "loss", "train loss"]
    assert text.count("<tr>") == 4
    rows = [re.findall(r"<td [^>]*>(.*?)</td>", row) for row in text.split("<tr>")[2:]]
    assert rows[2] == ["3", "5", "0.1000", "0.2000", "1.0000", "0.3333", "0.5000"]
    # Every column has its numbers under the end of its head, and room beside it.
    assert set(re.findall(r"<t[hd] (?:scope='col' )?style='([^']*)'", text)) == {
        "text-align:right;padding:.25em .75em;white-space:nowrap;font-variant-numeric:tabular-nums"
    }


def test_steps_beyond_a_thousand_are_written_as_everywhere() -> None:
    assert "<td>1\u202f080</td>" in re.sub(" style='[^']*'", "", History([0.5] * 1080, [1080])._repr_html_())


def test_plot_is_the_figure_of_plots() -> None:
    from matplotlib.figure import Figure

    figure: Any = small().plot()
    assert isinstance(figure, Figure)
    assert [line.get_label() for line in figure.axes[1].lines] == ["train 1.0000", "test 0.5000"]
    with pytest.raises(ValueError, match="no step yet"):
        History().plot()
