"""The scripts in examples/ run and print the numbers of the tutorial and the book."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Run ``main()`` of one example; give the last number of each line printed, by the line's first words."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert capsys.readouterr().out == ""  # importing an example runs nothing
    module.main()
    lines = capsys.readouterr().out.splitlines()
    return {line.replace(":", " =").split(" =")[0]: float(line.split()[-1]) for line in lines}


def test_graph(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"p": 5, "g": 20, "dg/dp": 4, "dg/dx": 4, "dg/dy": 4, "dg/dz": 5}
    assert printed("graph", capsys) == expected


def test_apples_and_oranges(capsys: pytest.CaptureFixture[str]) -> None:
    # "Deep Learning from Scratch" §5.4.2.
    assert printed("apples_and_oranges", capsys) == {
        "price": 715,
        "dApple": 2.2,
        "dApple_num": 110,
        "dOrange": 3.3,
        "dOrange_num": 165,
        "dTax": 650,
    }
