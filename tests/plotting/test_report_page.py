"""The page about a training run: whole, safe, self-contained, and saying what NumPy computes from the same run."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import matplotlib
import numpy as np
import pytest

from chainrule import (
    Affine,
    History,
    IdentityWithLoss,
    Network,
    Relu,
    SigmoidWithLoss,
    SimpleConvNet,
    TwoLayerNet,
    check_gradients,
    fit,
    training_report,
)

NET = Network({"Affine1": Affine(np.eye(4), np.zeros(4))})
RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 4)) * 3
T = RNG.integers(4, size=60)
HISTORY = History(losses=[2.0, 1.5, 1.0], steps=[3], train_accuracy=[0.875], train_loss=[1.0])
VOID = {"meta", "br", "hr", "input", "col"}


class Page(HTMLParser):
    """The elements of a page, each as (tag, attributes), and what is wrong with how they are nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.faults: list[str] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at line {self.getpos()[0]}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def tags(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def attribute(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def made() -> str:
    return training_report(
        NET,
        HISTORY,
        test=(X, T),
        configuration={"batch size": 20, "learning rate": 0.1},
        check=check_gradients(NET, X, T),
        seconds=1.5,
    )


full = functools.cache(made)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(full())


def test_every_element_is_closed_in_its_place(page: Page) -> None:
    assert (page.faults, page.open) == ([], [])


def test_the_page_has_what_a_page_has(page: Page) -> None:
    assert full().startswith("<!doctype html>\n<html lang='en'>")
    assert [len(page.tags(tag)) for tag in ("html", "head", "title", "body", "main", "h1")] == [1] * 6
    assert {"charset": "utf-8"} in page.tags("meta")


def test_ids_are_unique_and_what_is_pointed_at_is_there(page: Page) -> None:
    ids = page.attribute("id")
    assert len(ids) == len(set(ids))
    pointed = [*page.attribute("xlink:href"), *re.findall(r"url\((.*?)\)", full())]
    inner = [target[1:] for target in pointed if not target.startswith("data:")]
    assert len(inner) > 10
    assert set(inner) <= set(ids)
    assert set(page.attribute("aria-labelledby")) <= set(ids)


def test_nothing_is_asked_of_any_address() -> None:
    html = full()
    outside = re.sub(r'xmlns(:\w+)?="http://www\.w3\.org/[\w/]+"', "", html)
    assert "http" not in outside.replace("http-equiv", "")
    assert "//" not in re.sub(r"data:[^\"]*", "", outside)
    assert not re.search(r"\ssrc|@import|<(script|img|link|iframe|object|embed|base|form|a)\b|\son\w+=", html)
    assert all(target.startswith("#") for target in re.findall(r"url\((.*?)\)", html))
    assert all(target[:1] == "#" or target[:10] == "data:image" for target in Page(html).attribute("xlink:href"))


def test_the_page_forbids_what_it_does_not_use(page: Page) -> None:
    (policy,) = [meta["content"] for meta in page.tags("meta") if "http-equiv" in meta]
    assert policy == "default-src 'none';style-src 'unsafe-inline';img-src data:"


def test_pictures_have_a_text_and_tables_have_heads(page: Page) -> None:
    pictures = page.tags("svg")
    assert len(pictures) == 5
    assert all(picture["role"] == "img" and len(picture["aria-label"]) > 20 for picture in pictures)
    assert all(head["scope"] in ("row", "col") for head in page.tags("th"))
    assert len(page.tags("table")) == 6
    assert len(page.tags("th")) > 20


def test_every_picture_and_every_table_scrolls_in_itself(page: Page) -> None:
    html = full()
    assert re.findall(r"<figure class='scroll ([\w-]+)'>", html) == [
        "curves-loss", "curves-accuracy", "confusion", "mistakes", "weights"
    ]  # fmt: skip
    wide = re.sub(r"<table class='facts'.*?</table>", "", html, flags=re.DOTALL)  # two columns, which wrap
    assert re.findall(r"<div ([^>]*)><table", wide) == ["class='scroll'"] * 2 + ["style='overflow-x:auto'"]
    assert wide.count("<table") == 3


def test_images_are_not_white_where_the_page_is_dark_and_as_they_are_on_paper() -> None:
    style = full().split("<style>")[1].split("</style>")[0]
    dark, printed = style.split("@media (prefers-color-scheme:dark)")[1].split("@media print")
    for name in ("mistakes", "maps", "weights"):
        assert re.search(rf"\.{name} image[^{{]*{{filter:invert\(1\)", dark)
    assert "image{filter:none!important}" in printed


def test_thousands_are_written_in_one_way() -> None:
    net = TwoLayerNet(4, 300, 3, seed=0)
    x, t = RNG.random((1200, 4)), RNG.integers(3, size=1200)
    html = training_report(net, HISTORY, test=(x, t), check=check_gradients(net, x[:3], t[:3], mode="directions"))
    assert "of 1\u202f200 right" in html
    # No more than three digits in a row, but for decimals, places in the test set, and what says how to draw.
    words = re.sub(r"<style.*?</style>|<details.*?</details>|<[^>]*>", " ", html, flags=re.DOTALL)
    assert re.findall(r"(?<![.\d:+-])[1-9]\d{3,}(?![-\d])", words) == []


def test_text_in_pictures_is_text_in_the_pages_colour(page: Page) -> None:
    assert "right class" in page.text
    assert "#1f2328" not in full().split("</style>", 1)[1]
    assert "currentColor" in full()


def test_the_headline_says_what_numpy_computes(page: Page) -> None:
    cells = dict(re.findall("<dt>(.*?)</dt><dd class='.*?'>(.*?)</dd>", full()))
    assert cells == {
        "test accuracy": f"{np.mean(X.argmax(axis=1) == T):.4f}",
        "last train accuracy": "0.8750",
        "steps": "3",
        "time": "1.5 s",
        "gradients": "right",
    }


def rows(html: str, head: str) -> list[list[str]]:
    """Give the body of the table that has this head, cell by cell."""
    (table,) = [table for table in re.findall("<table.*?</table>", html) if f">{head}</th>" in table]
    return [re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall("<tr>(.*?)</tr>", table)[1:]]


def test_the_table_of_classes_says_what_numpy_counts() -> None:
    seen = rows(full(), "taken for")
    for c, (name, examples, right, share, other) in enumerate(seen):
        predicted = X[c == T].argmax(axis=1)
        wrong = predicted[predicted != c]
        most = np.bincount(wrong, minlength=4).argmax()
        assert (name, int(examples), int(right)) == (str(c), len(predicted), int(np.sum(predicted == c)))
        assert share == f"{np.mean(predicted == c):.1%}"
        assert other == f"{most} ({np.sum(wrong == most)} times)"
    assert len(seen) == 4


def test_the_table_of_mistakes_names_their_places_worst_first() -> None:
    p = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    wrong = sorted(np.flatnonzero(X.argmax(axis=1) != T), key=lambda n: float(p[n, T[n]]))
    expected = [[str(n), str(T[n]), str(X[n].argmax()), f"{p[n].max():.2%}"] for n in wrong[:20]]
    assert rows(full(), "probability") == expected


def test_the_facts_of_the_run_and_of_the_machine_are_there() -> None:
    text = full()
    for name, value in {"batch size": "20", "seconds": "1.500", "milliseconds a step, all included": "500.000"}.items():
        assert f"<tr><th scope='row'>{name}</th><td>{value}</td></tr>" in text
    assert f"<td>{np.__version__}</td>" in text


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "</table>", "'\"><img src=x onerror=alert(1)>", "a&b"])
def test_what_users_write_is_text(text: str) -> None:
    class Odd(Network):
        pass

    Odd.__name__ = text
    net = Odd({"Affine1": Affine(np.eye(4), np.zeros(4))})
    plain = Page(training_report(net, HISTORY, test=(X, T), configuration={"name": "value"}))
    page = Page(training_report(net, HISTORY, test=(X, T), configuration={text: text}))
    assert page.faults == []
    assert [tag for tag, _ in page.elements] == [tag for tag, _ in plain.elements]
    assert page.text.count(text) == 2
    assert sum(part.startswith(f"{text} of") for part in page.text) == 1


def test_control_characters_and_lines_do_not_break_the_page() -> None:
    page = training_report(NET, HISTORY, configuration={"a": "one\ntwo\x00three"})
    assert "<td>one two\N{REPLACEMENT CHARACTER}three</td>" in page


def test_without_a_test_set_a_check_and_a_configuration_their_parts_are_left_out() -> None:
    page = Page(training_report(NET, HISTORY))
    assert page.faults == []
    assert page.attribute("aria-labelledby") == ["loss-and-accuracy", "first-layer-weights", "the-run"]


def test_what_cannot_be_drawn_is_told() -> None:
    net = TwoLayerNet(6, 5, 4, seed=0)
    page = training_report(net, HISTORY, test=(np.ones((8, 6)), np.arange(8) % 4))
    assert "Not drawn: a column of W1 has 6 numbers, which make no square image" in page
    assert "Not drawn: an example has 6 numbers" in page
    assert len(rows(page, "probability")) == 6  # the mistakes are listed all the same
    assert "Not drawn: the network has no weights" in training_report(Network({"Relu1": Relu()}), HISTORY)


@pytest.mark.parametrize("rows", [True, False])
def test_of_a_network_for_images_it_shows_filters_and_the_maps_of_the_first_example(rows: bool) -> None:
    conv = {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}
    net = SimpleConvNet((1, 8, 8), conv, hidden_size=5, output_size=4, seed=0)
    x = RNG.random((20, 64)) if rows else RNG.random((20, 1, 8, 8))
    html = training_report(net, HISTORY, test=(x, (net.predict(x).argmax(axis=1) + 1) % 4))
    page = Page(html)
    assert page.faults == []
    # 3 filters of 9 weights; 3·3·3 pooled pixels to 5 units; 5 units to 4 classes; and their biases.
    total = 3 * 9 + 3 + 27 * 5 + 5 + 5 * 4 + 4
    assert f"SimpleConvNet of {total} parameters: W1 3×1×3×3, b1 3, W2 27×5, b2 5, W3 5×4, b3 4; float64" in page.text
    assert page.attribute("aria-labelledby")[2:5] == ["worst-mistakes", "first-layer-weights", "feature-maps"]
    assert {"W1  3×1×3×3", "Relu1  3 maps of 6×6", "20 mistakes among 20 examples"} <= set(page.text)
    assert "Not drawn" not in html
    alts = [picture["aria-label"] for picture in page.tags("svg")]
    assert len(alts) == 6
    assert "filters of the first convolution" in alts[4]
    assert "Relu1 makes of the first test example" in alts[5]


def test_without_a_test_set_or_a_convolution_there_are_no_maps() -> None:
    net = SimpleConvNet((1, 6, 6), hidden_size=5, output_size=4, seed=0)
    assert "Feature maps" not in training_report(net, HISTORY)
    assert "Feature maps" not in full()


def test_parameters_of_a_layer_that_is_gone_are_not_counted() -> None:
    net = Network(TwoLayerNet(4, 4, 3, seed=0).layers)
    assert "W1" in net.params
    del net.layers["Affine1"]
    assert "Network of 15 parameters: W2 4×3, b2 3" in training_report(net, HISTORY)


def test_a_network_without_mistakes_is_told_so() -> None:
    assert "<p>None among 4 test examples.</p>" in training_report(NET, HISTORY, test=(np.eye(4), range(4)))


def test_a_wrong_gradient_is_told_in_the_headline() -> None:
    class Wrong(TwoLayerNet):
        def gradient(self, *arguments: Any, **others: Any) -> Any:
            return {name: 2 * grad for name, grad in super().gradient(*arguments, **others).items()}

    net = Wrong(4, 3, 4, seed=0)
    page = training_report(net, HISTORY, check=check_gradients(net, X[:5], T[:5]))
    assert "<dt>gradients</dt><dd class='wrong'>wrong</dd>" in page
    assert "GRADIENTS DIFFER" in page


def test_the_page_of_a_long_run_of_a_wide_network_is_under_2_mb() -> None:
    steps = RNG.random(200_000)
    history = History(losses=steps.tolist(), steps=[*range(40, 200_001, 40)])
    for name in ("train", "test", "validation"):
        setattr(history, f"{name}_loss", RNG.random(5000).tolist())
        setattr(history, f"{name}_accuracy", RNG.random(5000).tolist())
    net = TwoLayerNet(784, 1000, 30, weight_init_std=0.5, seed=0)
    x, t = RNG.random((2000, 784)), RNG.integers(30, size=2000)
    page = training_report(net, history, test=(x, t))
    assert len(page.encode()) < 2_000_000
    assert page.count("<svg") == 5


def test_images_and_matrices_too_large_for_a_page_are_told() -> None:
    net = TwoLayerNet(300 * 300, 2, 50, seed=0)
    page = training_report(net, HISTORY, test=(np.ones((3, 90_000)), [0, 1, 2]))
    assert page.count("images of 90000 pixels are too large for a page") == 2
    assert "The matrix of 50 classes is too large for a page" in page
    assert len(page.encode()) < 200_000


def test_the_readers_own_style_stays_and_is_not_used() -> None:
    def undated() -> str:
        return re.sub("<time.*?</time>", "", made())

    plain = undated()
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "#012345", "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        assert undated() == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"net": 3}, TypeError, "net must be a Network"),
        ({"history": [1.0]}, TypeError, "history must be what fit gave, a History, got list"),
        ({"history": History()}, ValueError, "holds no step yet"),
        ({"test": X}, TypeError, r"test must be a pair \(x, t\), got ndarray"),
        ({"test": (X, T[:5])}, ValueError, "t must have shape"),
        ({"configuration": [1]}, TypeError, "configuration must be a mapping"),
        ({"check": True}, TypeError, "check must be what check_gradients gave"),
        ({"seconds": float("nan")}, ValueError, "seconds must be finite"),
        ({"seconds": "1"}, TypeError, "seconds must be a number"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        training_report(**{"net": NET, "history": HISTORY, **arguments})


def test_without_matplotlib_the_extra_is_named() -> None:
    program = """
import sys; sys.modules['matplotlib'] = None
import chainrule
try: chainrule.training_report(chainrule.TwoLayerNet(4, 3, 2), chainrule.History(losses=[1.0]))
except ImportError as error: print(error)"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "pictures need matplotlib: pip install 'chainrule[plot]'\n"


@pytest.mark.parametrize(("loss", "named"), [(IdentityWithLoss, "R²"), (SigmoidWithLoss, "accuracy")])
def test_of_numbers_and_of_yes_and_no_it_shows_what_is_measured_and_no_confusion(loss: Any, named: str) -> None:
    x = np.random.default_rng(0).normal(size=(40, 4))
    t = (x[:, :2] > 0).astype(float)
    net = Network(TwoLayerNet(4, 3, 2, 0.5, seed=0).layers, loss())
    page = training_report(net, fit(net, x, t, epochs=3, batch_size=10, seed=0, test=(x, t)), test=(x, t))
    assert f"Loss and {named}" in page
    assert f"<dt>test {named}</dt><dd class=''>{net.score(x, t):.4f}</dd>" in page
    assert "Confusion" not in page
