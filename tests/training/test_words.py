"""What `fit` says of words where numbers should be, and of frames in which something is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import TwoLayerNet, fit

pandas = pytest.importorskip("pandas")


def net() -> TwoLayerNet:
    return TwoLayerNet(3, 4, 2, "he", seed=0)


def frame(rows: int = 40) -> Any:
    return pandas.DataFrame(np.random.default_rng(0).normal(size=(rows, 3)), columns=["length", "width", "age"])


LABELS = ["setosa", "virginica"] * 20


@pytest.mark.fault("L7")
@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        np.array(LABELS),
        np.array(LABELS, object),
        pandas.Series(LABELS),
        pandas.Series(LABELS, dtype="category"),
        np.array(LABELS, np.dtypes.StringDType()),
    ],
    ids=["list", "U", "object", "Series", "category", "StringDType"],
)
def test_l7_words_for_labels_say_how_to_make_numbers_of_them(labels: Any) -> None:
    network, x = net(), np.ones((40, 3))
    told = (
        r"t holds words, such as 'setosa', not numbers: names, t = np.unique\(labels, return_inverse=True\) makes"
        " numbers of labels; MLPClassifier of chainrule.sklearn takes them as they are$"
    )
    for call in (lambda: fit(network, x, labels), lambda: network.loss(x, labels), lambda: network.accuracy(x, labels)):
        with pytest.raises(TypeError, match=f"^{told}"):
            call()
    with pytest.raises(TypeError, match=f"^test set: {told}"):
        fit(network, x, np.zeros(40, int), test=(x, labels))


def test_the_advice_about_labels_works() -> None:
    names, t = np.unique(LABELS, return_inverse=True)
    fit(net(), frame(), t, seed=0)
    assert names[t].tolist() == LABELS


@pytest.mark.fault("A13", "A19")
@pytest.mark.parametrize("validation", [None, 0.25])
def test_a19_a_nan_in_a_frame_is_named_by_row_and_column(validation: float | None) -> None:
    x = frame()
    x.loc[[10, 30], "age"] = np.nan
    x.loc[31, "width"] = np.inf
    wrong = set()
    for seed in range(4):  # which of them is met first depends on what is held out
        with pytest.raises(FloatingPointError) as caught:
            fit(net(), x, np.arange(40) % 2, epochs=2, validation=validation, seed=seed)
        assert "smaller learning rate" not in str(caught.value)
        wrong.add(str(caught.value).partition("the call. ")[2].partition(":")[0])
    assert wrong <= {
        "x[10, 'age'] is nan in float64",
        "x[30, 'age'] is nan in float64",
        "x[31, 'width'] is inf in float64",
    }
    assert validation or wrong == {"x[10, 'age'] is nan in float64"}


def test_the_row_that_is_named_is_that_of_the_caller_also_if_others_are_held_out() -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    x[[35, 36, 37, 38], 1] = np.nan  # of which not all are held out
    with pytest.raises(FloatingPointError, match=r"x\[3[5-8], 1\] is nan"):
        fit(net(), x, np.arange(40) % 2, validation=0.5, seed=0)


@pytest.mark.fault("A19")
@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("age", "old", "x holds words, such as 'old' in row 7, column 'age'; chainrule.load_table"),
        ("age", None, "x holds None in row 7, column 'age'; leave such rows out, or fill them"),
        ("width", pandas.NA, "x holds <NA> in row 7, column 'width'; leave such rows out, or fill them"),
    ],
)
def test_a19_what_is_no_number_in_a_frame_is_named_by_row_and_column(column: str, value: Any, told: str) -> None:
    x = frame().astype(object)
    x.loc[7, column] = value
    with pytest.raises(TypeError) as caught:
        fit(net(), x, np.zeros(40, int))
    assert str(caught.value).startswith(told)


def test_words_elsewhere_are_told_too() -> None:
    with pytest.raises(TypeError, match=r"^x has dtype <U1, words such as 'a'; chainrule computes in float32"):
        net().predict([["a", "b", "c"]])
