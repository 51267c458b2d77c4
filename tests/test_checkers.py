"""benchmarks/checkers.py and check_speed.py: each checker says what is known of it, and the scripts print tables."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule.checking.subjects import adapt
from mutants import Case
from mutants.case import normal
from mutants.right import Softmax

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the modules of benchmarks/ be imported by name, as they import each other."""
    monkeypatch.syspath_prepend(BENCHMARKS)


class ZeroSoftmax(Softmax):
    def backward(self, dout: Any) -> Any:
        return np.zeros_like(dout)


class Tripled:
    """Three times x, whose backward forgets the three."""

    def forward(self, x: Any) -> Any:
        return 3 * x

    def backward(self, dout: Any) -> Any:
        return dout.copy()


def case(make: Any) -> Case:
    return Case("a_case", "layer", make, normal((4, 3)), "A story.", "fails")


def figure(checker: str, make: Any) -> float:
    """Give what a checker of the script says of a layer."""
    checkers, subject = importlib.import_module("checkers"), case(make)
    arguments = subject.arguments(np.random.default_rng(0))
    return float(getattr(checkers, checker)(subject, adapt(subject.make(), arguments)))


def test_ones_do_not_see_a_softmax_whose_backward_is_zero_and_the_tutorials_figure_with_random_weights_does() -> None:
    # The outputs of a row add up to 1, whatever x is.
    assert figure("all_ones", ZeroSoftmax) == 0
    assert figure("tutorial", ZeroSoftmax) > 1e-3


def test_both_see_a_factor_and_pass_what_is_right() -> None:
    assert figure("all_ones", Tripled) == 1
    assert figure("tutorial", Tripled) > 0.1
    assert figure("all_ones", Softmax) == 0
    assert figure("tutorial", Softmax) < 1e-6


def test_the_tutorials_figure_is_its_mean_difference() -> None:
    # The outputs are 3 w · x and the claim is w: off by 2 |w| on average, w being what the script draws.
    w = np.random.default_rng(1).standard_normal((4, 3))
    assert figure("tutorial", Tripled) == pytest.approx(2 * np.abs(w).mean(), rel=1e-6)


def test_torch_gradcheck_takes_layers_wrapped() -> None:
    pytest.importorskip("torch")
    assert figure("pytorch", Softmax) == 0
    assert figure("pytorch", ZeroSoftmax) == 1


def test_an_exception_on_a_wrong_case_is_a_kill_and_on_a_right_one_nothing() -> None:
    checkers = importlib.import_module("checkers")

    def raises(*_: Any) -> float:
        raise IndexError

    checker, subject = checkers.Checker("raises", raises), case(Tripled)
    checker.run(subject, wrong=True)
    assert checker.kills(subject)
    checker.run(subject, wrong=False)
    assert not checker.kills(subject)


def test_the_speed_of_a_check_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = importlib.import_module("check_speed")
    monkeypatch.setattr(script, "TARGET", tmp_path)
    monkeypatch.setattr(script, "SIZES", (784, 2, 10))
    script.main(["--rounds", "1", "--images", "2"])
    written = json.loads((tmp_path / "check_speed.json").read_text())
    assert [row["images"] for row in written["checks"]] == [2, 2, 2]
    assert written["checks"][0]["ratio"] == 1
    assert written["imports"][1]["modules"] == []  # the check adds nothing to importing chainrule
    assert "check_gradients, mode full" in capsys.readouterr().out
