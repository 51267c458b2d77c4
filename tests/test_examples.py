"""The scripts in examples/ run and print the numbers of the tutorial and the book."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def loaded(name: str, capsys: pytest.CaptureFixture[str]) -> ModuleType:
    """Import one example, which runs nothing."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # inspect.getsource and dataclasses look there
    spec.loader.exec_module(module)
    assert capsys.readouterr().out == ""
    return module


def printed(name: str, capsys: pytest.CaptureFixture[str], function: str = "main") -> dict[str, float]:
    """Run a function of one example; give the last number of each line printed, by the line's first words."""
    getattr(loaded(name, capsys), function)()
    lines = capsys.readouterr().out.splitlines()
    return {line.replace(":", " =").split(" =")[0]: float(line.split()[-1]) for line in lines}


def test_graph(capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"p": 5, "g": 20, "dg/dp": 4, "dg/dx": 4, "dg/dy": 4, "dg/dz": 5}
    assert printed("graph", capsys) == expected


def test_graph_recorded_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    loaded("graph", capsys).recorded()
    lines = capsys.readouterr().out.splitlines()
    assert "    ∂p/∂x = 1, so ∂g/∂x = ∂g/∂p · ∂p/∂x = 4 · 1 = 4" in lines


@pytest.mark.parametrize("function", ["main", "recorded"])
def test_apples_and_oranges(function: str, capsys: pytest.CaptureFixture[str]) -> None:
    # "Deep Learning from Scratch" §5.4.2.
    assert printed("apples_and_oranges", capsys, function) == {
        "price": 715,
        "dApple": 2.2,
        "dApple_num": 110,
        "dOrange": 3.3,
        "dOrange_num": 165,
        "dTax": 650,
    }


def test_sigmoid_apart(capsys: pytest.CaptureFixture[str]) -> None:
    y = 1 / (1 + math.exp(-0.5))
    found = printed("sigmoid_apart", capsys)
    ys, slopes = [v for k, v in found.items() if k[:2] == "y "], [v for k, v in found.items() if k[:2] == "dy"]
    # Printed with 15 decimals.
    assert ys == pytest.approx([y] * 2, abs=2e-15)
    assert slopes == pytest.approx([y * (1 - y)] * 3, abs=2e-15)


def test_network_as_graph(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    module = loaded("network_as_graph", capsys)
    module.main([str(tmp_path / "net.svg")])
    loss, *differences = capsys.readouterr().out.splitlines()
    assert float(loss.split()[-1]) == pytest.approx(math.log(10), abs=0.01)  # nothing learnt yet
    assert [line.split(":")[0] for line in differences] == ["W1", "b1", "W2", "b2"]
    assert all(float(line.split()[-1]) <= 1e-12 for line in differences)
    assert (tmp_path / "net.svg").read_text(encoding="utf-8").startswith("<svg ")


#: What the report must say of each exercise of find_the_bug.py beside that it is wrong.
BUGS = {
    1: "x[", 2: "cause: factor N", 3: "x[", 4: "cause: stale batch", 5: "cause: writes into dout", 6: "x[",
    7: "cause: dout ignored", 8: "cause: no sum over the batch", 9: "x[", 10: "cause: writes into its input",
    11: "cause: second backward differs", 12: "cause: proportional to the parameter",
}  # fmt: skip


def test_find_the_bug_lists_its_exercises(capsys: pytest.CaptureFixture[str]) -> None:
    loaded("find_the_bug", capsys).main()
    assert [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()] == list(BUGS)


@pytest.mark.parametrize("number", BUGS)
def test_find_the_bug_shows_code_and_gives_the_answer_away_only_when_asked(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    module = loaded("find_the_bug", capsys)
    module.main([str(number)])
    shown = capsys.readouterr().out
    assert shown.startswith("class ")
    assert module.EXERCISES[number - 1].answer not in shown
    module.main([str(number), "--answer"])
    answer = capsys.readouterr().out.removeprefix(shown)
    assert BUGS[number] in answer
    assert ("GRADIENTS DIFFER" in answer) != ("A CONTRACT IS BROKEN" in answer)
    assert answer.endswith(module.EXERCISES[number - 1].answer + "\n")
