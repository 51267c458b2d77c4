"""``chainrule train``, called with arguments it refuses."""

from __future__ import annotations

import pytest

from chainrule.cli import main


def failure(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Give what is said of arguments that end with exit code 2: one line on stderr, and nothing on stdout."""
    assert main(["train", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("chainrule: error: ")
    return line.removeprefix("chainrule: error: ")
