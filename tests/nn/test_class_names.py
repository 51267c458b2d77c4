"""What classes are called: in the evaluation, in pictures and on the report's page, and in the network's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, Network, fit, load, plot_confusion, plot_mistakes, training_report

NAMES = ["cat", "big $x$ dog", "三角"]


def data() -> tuple[Any, Any]:
    """Give examples of 4 numbers: the class is the largest of the first three, but for one example of each."""
    x = np.zeros((30, 4))
    x[np.arange(30), np.arange(30) % 3] = 1
    t = np.arange(30) % 3
    t[:3] = [1, 2, 0]
    return x, t


def net(names: Any = NAMES) -> Network:
    network = Network({"Affine1": Affine(4 * np.eye(4, 3), np.zeros(3))})
    network.metadata["classes"] = names if isinstance(names, str) else json.dumps(names)
    return network


def test_an_evaluation_calls_the_classes_by_their_names() -> None:
    x, t = data()
    found = net(["cat", "dog", "elephant"]).evaluate(x, t)
    assert found.names == ("cat", "dog", "elephant")
    assert str(found).splitlines()[1:] == [
        "class     precision  recall  examples",
        "cat          0.9000  0.9000        10",
        "dog          0.9000  0.9000        10",
        "elephant     0.9000  0.9000        10",
    ]


@pytest.mark.parametrize("names", ["{", "3", "[1, 2, 3]", '["a", "b"]', "[]", '{"a": 1, "b": 2, "c": 3}'])
def test_names_that_do_not_fit_are_as_good_as_none(names: str) -> None:
    x, t = data()
    found = net(names).evaluate(x, t)
    assert found.names is None
    assert str(found).splitlines()[2].startswith("    0  ")
    pytest.importorskip("matplotlib")
    assert [text.get_text() for text in plot_confusion(net(names), x, t).axes[0].get_yticklabels()] == ["0", "1", "2"]


def test_they_are_in_the_networks_file(tmp_path: Path) -> None:
    net().save(tmp_path / "net")
    x, t = data()
    assert load(tmp_path / "net").evaluate(x, t).names == tuple(NAMES)


def test_the_table_of_confusion_has_them_on_both_sides() -> None:
    pytest.importorskip("matplotlib")
    axes = plot_confusion(net(), *data()).axes[0]
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [label.get_text() for label in labels] == NAMES
        assert not any(label.get_parse_math() for label in labels)
    long = net(["a" * 30, "b", "c"])
    assert plot_confusion(long, *data()).axes[0].get_xticklabels()[0].get_text() == "a" * 17 + "…"


def test_mistakes_are_told_by_names() -> None:
    pytest.importorskip("matplotlib")
    texts = [text.get_text() for text in plot_mistakes(net(), *data()).axes[0].texts]
    assert sorted(text.rpartition("\n")[0] for text in texts) == [
        "big $x$ dog\nas cat",
        "cat\nas 三角",
        "三角\nas big $x$ dog",
    ]
    texts = [text.get_text() for text in plot_mistakes(net("[]"), *data()).axes[0].texts]
    assert sorted(text.partition("\n")[0] for text in texts) == ["0, seen as 2", "1, seen as 0", "2, seen as 1"]


def test_the_page_has_names_and_places_and_what_becomes_of_columns() -> None:
    pytest.importorskip("matplotlib")
    x, t = data()
    network = net()
    history = fit(network, x, t, epochs=1, learning_rate=1e-9, seed=0)
    page = training_report(network, history, test=(x, t), places=[f"line {i}" for i in range(2, 32)])
    assert "<td class='number'>line 2</td><td class='number'>big $x$ dog</td><td class='number'>cat</td>" in page
    assert "三角 (1 times)" in page
    with pytest.raises(ValueError, match="places must be as many as the examples of the test, 30, got 2"):
        training_report(network, history, test=(x, t), places=["a", "b"])
    columns = [{"name": "<age>", "mean": 2.5, "spread": 0.5}, {"name": "kind", "words": ["a&b", "c", "d"]}]
    network.metadata["columns"] = json.dumps({"columns": columns})
    page = training_report(network, history, test=(x, t))
    assert "<td>&lt;age&gt;</td><td>(number - 2.5) / 0.5</td>" in page
    assert "a 1 for one of a&amp;b, c, d" in page
    network.metadata["columns"] = "{"
    assert "do not say what they are" in training_report(network, history, test=(x, t))
