"""The scripts in examples/ run and print the numbers of the tutorial and the book."""

from __future__ import annotations

import importlib.util
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


def printed(name: str, capsys: pytest.CaptureFixture[str]) -> dict[str, float]:
    """Run ``main()`` of one example; give the last number of each line printed, by the line's first words."""
    loaded(name, capsys).main()
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
