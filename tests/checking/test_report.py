"""The report: as a verdict, an error, a table, a dict, a web page and a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, Relu, TwoLayerNet, check_gradients, check_problem
from mutants import parts
from mutants.case import weights
from mutants.layers import AffineC, AffineG, ReluA

X = np.random.default_rng(0).standard_normal((5, 4))


def right() -> GradientReport:
    return check_gradients(parts.Affine(*weights(4, 3)), X)


def wrong() -> GradientReport:
    return check_gradients(AffineC(*weights(4, 3)), X)


def unproven() -> GradientReport:
    return check_gradients(Relu(), np.array([[1.0, 0.0, -2.0]]))


def test_the_three_verdicts() -> None:
    assert [r.verdict for r in (right(), wrong(), unproven())] == ["right", "wrong", "unproven"]
    assert [bool(r) for r in (right(), wrong(), unproven())] == [True, False, False]
    assert [r.ok for r in (right(), wrong(), unproven())] == [True, False, False]


def test_a_broken_contract_is_wrong_though_all_numbers_agree() -> None:
    report = check_gradients(ReluA(), X)
    assert all(a.ok for a in report.arrays)
    assert report.verdict == "wrong"
    assert report.headline == "A CONTRACT IS BROKEN"


def test_raise_if_failed() -> None:
    right().raise_if_failed()
    unproven().raise_if_failed(allow_unproven=True)
    for report, allowed in ((wrong(), True), (wrong(), False), (unproven(), False)):
        with pytest.raises(AssertionError, match="compared"):
            report.raise_if_failed(allow_unproven=allowed)


def test_a_right_report_reads_so() -> None:
    lines = str(right()).splitlines()
    assert lines[0] == "layer Affine(x (5, 4)), float64"
    assert [line.split()[0] for line in lines[2:5]] == ["W", "b", "x"]
    assert all(line.endswith("  ok") for line in lines[2:5])
    assert lines[-2:] == ["11 of 11 contracts hold", "gradients agree"]


def test_a_wrong_report_names_the_worst_place_with_both_sides_and_the_bar() -> None:
    report = wrong()
    W = report.arrays[0]
    assert W.place == "W[0, 0]"
    assert W.numeric == pytest.approx(2 * W.analytic, rel=1e-9)
    assert f"W[0, 0]: analytic {W.analytic:.6e}, numeric {W.numeric:.6e} ± {W.bar:.1e}" in str(report).splitlines()


def test_a_gradient_of_another_shape_shows_no_numbers() -> None:
    report = check_gradients(AffineG(*weights(4, 3)), X)
    assert "b: its gradient has shape (5,), and it has shape (3,)" in str(report)
    assert "b: analytic" not in str(report)


def test_an_unproven_report_says_what_was_left_out() -> None:
    assert str(unproven()).splitlines()[-1] == "nothing wrong found, but not all proved: 1 at a kink"


@pytest.mark.parametrize("make", [right, wrong, unproven])
def test_a_report_fits_in_100_columns(make: Any) -> None:
    assert max(map(len, str(make()).splitlines())) <= 100


def test_a_report_of_long_names_and_many_arrays_fits_in_100_columns() -> None:
    class Long(parts.Network):
        long = "a_parameter_with_a_name_as_long_as_your_arm"
        extra = np.full((12, 1000), 0.01)

        def loss(self, x: Any, t: Any) -> Any:
            return super().loss(x, t) + self.extra.sum()

        def gradient(self, x: Any, t: Any) -> Any:
            return {**super().gradient(x, t), self.long: 1e300 * np.ones((12, 1000))}

    net = Long(parts.stack(4, 6, 6, 6, 3), parts.SoftmaxWithLoss())
    net.params[net.long] = net.extra
    report = check_gradients(net, X, np.arange(5) % 3)
    assert report.verdict == "wrong"
    assert max(map(len, str(report).splitlines())) <= 100


@pytest.mark.parametrize("make", [right, wrong, unproven])
def test_its_repr_is_a_line_with_what_was_checked_and_the_verdict(make: Any) -> None:
    report = make()
    first, *_, last = str(report).splitlines()
    assert repr(report) == f"GradientReport({first}: {last})"


def test_the_repr_of_a_problem_is_a_line_too() -> None:
    report = check_problem(lambda x: (x**2).sum(), np.ones(3), jac=lambda x: 2 * x, hess=lambda x: np.eye(3))
    assert repr(report) == "ProblemReport(jac: derivatives agree, hess: SECOND DERIVATIVES DIFFER)"


@pytest.mark.parametrize("make", [right, wrong, unproven])
def test_the_dict_is_json_and_says_the_same(make: Any) -> None:
    report = make()
    back = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert back["verdict"] == report.verdict
    assert [a["name"] for a in back["arrays"]] == [a.name for a in report.arrays]
    assert [a["max_relative"] for a in back["arrays"]] == [a.max_relative for a in report.arrays]
    assert [c["held"] for c in back["contracts"]] == [c.held for c in report.contracts]


def test_numbers_that_are_not_finite_are_words_in_the_dict() -> None:
    pair = (lambda x: np.abs(x).sum(), lambda x: np.array([1.0, np.nan]))
    report = check_gradients(pair, np.array([1.0, 2.0]))
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["arrays"][0]["analytic"] == "nan"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert tag not in ("script", "link", "img")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("make", [right, wrong, unproven])
def test_the_page_for_notebooks_is_whole_and_says_the_same(make: Any) -> None:
    report, tags = make(), _Tags()
    tags.feed(report._repr_html_())
    assert tags.open == []
    assert report.headline in tags.text
    assert all(a.name in tags.text for a in report.arrays)


def test_names_are_escaped_on_the_page() -> None:
    class Odd(parts.Network):
        pass

    net = Odd(parts.stack(4, 3), parts.SoftmaxWithLoss())
    net.params = {"<b>": net.params["W1"]}
    net.grads = lambda: {"<b>": net.layers["Affine1"].dW}  # type: ignore[method-assign]
    page = check_gradients(net, X, np.arange(5) % 3)._repr_html_()
    assert "&lt;b&gt;" in page
    assert "<td style='text-align:left'><b></td>" not in page


def test_the_picture_has_a_map_for_each_array_and_marks_the_worst_entry() -> None:
    figure = wrong().plot()
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title(loc="left").split()[0] for ax in maps] == ["W", "b", "x"]
    assert len(maps[0].lines) == 1
    worst = np.asarray(maps[0].images[0].get_array())
    assert int(np.nanargmax(worst)) == 0


def test_the_worst_entry_of_three_axes_is_marked_where_it_is_drawn() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4))

    def gradient(x: Any) -> Any:
        right = 2 * x
        right[1, 2, 3] *= 3
        return right

    figure = check_gradients((lambda x: (x**2).sum(), gradient), x).plot()
    (mark,) = figure.axes[0].lines
    assert sorted([int(np.asarray(mark.get_xdata())[0]), int(np.asarray(mark.get_ydata())[0])]) == [3, 5]


def test_the_axes_of_a_short_array_count_whole_entries() -> None:
    (ax, _) = check_gradients((lambda x: (x**2).sum(), lambda x: 2 * x), np.array([1.0, 2.0, 3.0])).plot().axes
    assert [tick for tick in ax.get_xticks() if -0.5 < tick < 2.5] == [0, 1, 2]


def test_a_dollar_in_a_name_is_no_mathematics(tmp_path: Any) -> None:
    net = parts.Network(parts.stack(4, 3), parts.SoftmaxWithLoss())
    net.params = {"$W_{$": net.params["W1"]}
    net.grads = lambda: {"$W_{$": net.layers["Affine1"].dW}  # type: ignore[method-assign]
    check_gradients(net, X, np.arange(5) % 3).plot().savefig(tmp_path / "map.svg")
    assert "$W_{$" in (tmp_path / "map.svg").read_text(encoding="utf-8")


def test_the_picture_can_be_saved(tmp_path: Any) -> None:
    check_gradients(TwoLayerNet(6, 5, 3, seed=0), np.ones((2, 6)), [0, 1]).plot().savefig(tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_a_report_of_directions_has_no_picture() -> None:
    report = check_gradients(parts.Affine(*weights(4, 3)), X, mode="directions")
    with pytest.raises(ValueError, match="check with mode='full'"):
        report.plot()


def test_without_matplotlib_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import numpy as np, chainrule\n"
        "try: chainrule.check_gradients(chainrule.Tanh(), np.ones((2, 2)) / 3).plot()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "pictures need matplotlib: pip install 'chainrule[plot]'\n"


def test_the_check_is_read_only_when_it_is_asked_for() -> None:
    program = "import sys, chainrule; print([m for m in sys.modules if m.startswith('chainrule.checking.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"
