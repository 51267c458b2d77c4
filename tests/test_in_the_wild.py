"""benchmarks/in_the_wild.py: each checker is handed the samples rightly, and the script prints tables."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from wild import FAULTS, RIGHT, WRONG, Sample

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
FEW = ("lists_affine", "functions_rnn_step", "slopes_elu", "losses_mse_prime", "values_rosenbrock", "updates_by_itself")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give the module, which imports others of benchmarks/ by name."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("in_the_wild")


def few(samples: tuple[Sample, ...]) -> tuple[Sample, ...]:
    return tuple(s for s in samples if s.name.split("-")[0] in FEW)


@pytest.mark.parametrize(
    ("figure", "package"),
    [("tutorial", "chainrule"), ("all_ones", "chainrule"), ("jax_grads", "jax"), ("pytorch", "torch")],
)
def test_the_others_tell_right_from_wrong_through_the_adapter(script: Any, figure: str, package: str) -> None:
    pytest.importorskip(package)

    def asked(case: Any, subject: Any) -> bool:
        return bool(getattr(script, figure)(case, subject) > 1e-6)

    assert {s.name: script.other(s, asked) for s in few(RIGHT)} == dict.fromkeys(FEW, "right")
    assert {script.other(s, asked) for s in few(WRONG)} == {"wrong"}


def test_scipy_takes_what_gives_one_number(script: Any) -> None:
    pytest.importorskip("scipy")
    verdicts = [script.other(s, lambda c, a: script.scipy(c, a) > 1e-6) for s in few(RIGHT)]
    assert [s.name for s, verdict in zip(few(RIGHT), verdicts, strict=True) if verdict is not None] == [
        "losses_mse_prime", "values_rosenbrock",
    ]  # fmt: skip


def test_tables_are_printed_and_written(
    script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "TARGET", tmp_path)
    for name, samples in (("RIGHT", few(RIGHT)), ("WRONG", few(WRONG)[::7]), ("FAULTS", FAULTS[:2])):
        monkeypatch.setattr(script, name, samples)
    script.main()
    written = json.loads((tmp_path / "in_the_wild.json").read_text())
    assert written["overall"][0]["checker"] == "chainrule"
    assert set(written["verdicts"]) >= {"chainrule", "all ones"}
    assert "| params/grads lists" in capsys.readouterr().out
