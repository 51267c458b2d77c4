"""check_adjoint on the right and wrong adjoints of derivatives.adjoint, which are held against matrices first."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import check_adjoint
from derivatives.adjoint import ADJOINT
from derivatives.expected import expect_enough, expect_told


def test_right_ones_are_transposed_matrices_and_wrong_ones_differ_somewhere() -> None:
    for case in ADJOINT:
        if case.wrong is None:
            assert not case.off().any(), case.name
        elif not case.wrong.nowhere:
            assert case.off().any(), case.name


def test_there_are_enough_of_them_and_a_third_is_from_public_reports() -> None:
    expect_enough(ADJOINT)
    for name in ("poisson", "radon"):
        assert sum(case.subject.name == name for case in ADJOINT) >= 6


@pytest.mark.parametrize("start", range(3))
def test_wrong_ones_are_killed_and_right_ones_pass(start: int) -> None:
    expect_told(ADJOINT[start::3])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("seed", range(1, 4))
def test_so_they_are_with_other_numbers(seed: int, mode: Any) -> None:
    for case in ADJOINT:
        report = case.check(seed=seed, mode=mode)
        assert report.verdict == ("wrong" if case.wrong else "right"), f"{case.name}\n{report}"


def test_a_number_at_the_edge_does_not_make_it_a_mistake_of_the_boundary() -> None:
    """One that is near it was called one of a wide boundary; what is of the boundary is wrong in most of it."""
    A = np.random.default_rng(0).standard_normal((20, 15))
    for i, j, factor in ((19, 4, 2.0), (17, 14, 0.0), (0, 0, -1.0)):
        B = A.T.copy()
        B[j, i] *= factor
        assert check_adjoint((A, B)).cause == f"one entry: A[{i}, {j}], factor {factor:g}"
    B = A.T.copy()
    B[:, 18] *= 2
    assert check_adjoint((A, B)).cause == "A* has a factor of its own for 1 of 20 numbers of y (y[18]: 2)"
    B = A.T.copy()
    B[:, [0, 19]] = 0
    assert "wrong only at the boundary, where the index of y is 0 or 19" in str(check_adjoint((A, B)).cause)


def test_the_script_asks_all_checkers_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[3] / "benchmarks")
    script: Any = importlib.import_module("adjoints")
    few = tuple(c for c in ADJOINT if c.subject.name in ("sum", "blur", "real Fourier", "float32", "single inside"))
    monkeypatch.setattr(script, "ADJOINT", few)
    monkeypatch.setattr(script, "TARGET", tmp_path)
    script.main()
    written = json.loads((tmp_path / "adjoints.json").read_text())
    wrong = sum(case.wrong is not None for case in few)
    killed = {row["checker"].split()[0]: int(row[f"killed of {wrong}"]) for row in written["adjoint"]}
    alarms = {row["checker"].split()[0]: int(row[f"false alarms on {len(few) - wrong}"]) for row in written["adjoint"]}
    assert killed["chainrule"] == wrong > killed["PyLops'"]
    assert alarms == {"chainrule": 0, "PyLops'": 0, "one": 2}
    assert "| PyLops' dottest" in capsys.readouterr().out
