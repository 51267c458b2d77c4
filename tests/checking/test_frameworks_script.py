"""benchmarks/frameworks.py: what it says where nothing is installed, and its tables where all is."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    folder = Path(__file__).parents[2] / "benchmarks"
    monkeypatch.syspath_prepend(folder)
    # Under another name: that of its own is what its cases are found by.
    spec = importlib.util.spec_from_file_location("frameworks_script", folder / "frameworks.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    monkeypatch.setattr(found, "TARGET", tmp_path)
    return found


def test_it_says_what_to_install(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(script, "find_spec", lambda name: None if name in ("torch", "jax") else name)
    with pytest.raises(SystemExit, match=r"pip install 'chainrule\[frameworks\]'"):
        script.main()
    assert "jax: not asked; jax not installed" in capsys.readouterr().out
    assert not list(script.TARGET.iterdir())


def test_it_asks_all_checkers_and_prints_tables(script: Any, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("jax")
    script.main({"half", "kept outside ctx", "a pair, half", "few digits", "sq", "sin", "jvp"}.__contains__)
    written = json.loads((script.TARGET / "frameworks.json").read_text())
    torch, gradcheck = written["torch"]
    assert (torch["killed of 3"], gradcheck["killed of 3"], gradcheck["does not take"]) == ("3", "1", "1")
    jax, check_grads = written["jax"]
    assert (jax["killed of 3"], check_grads["killed of 3"], check_grads["does not take"]) == ("3", "1", "1")
    assert {table[0][f"false alarms on {n}"] for table, n in zip(written.values(), (1, 2), strict=True)} == {"0"}
    assert "check_grads passes: few digits" in capsys.readouterr().out
