"""No memory, at any moment: an error, and everything as it was."""

from __future__ import annotations

import ast
import platform
import shutil
from pathlib import Path

import pytest

from failing_malloc import CALLS, built, watched

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or shutil.which("cc") is None, reason="needs glibc's malloc and a C compiler"
)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("malloc"))


def runs_out(name: str, library: Path, *, alone: bool, timeout: float) -> None:
    done = watched(name, library, alone=alone, timeout=timeout)
    assert (done.returncode, done.stderr) == (0, "")
    ends = ast.literal_eval(done.stdout)
    assert ends.keys() == {"MemoryError", "done"}, ends


@pytest.mark.fault("S2b")
@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("name", CALLS)
def test_the_nth_request_fails_alone_or_with_all_behind_it(name: str, alone: bool, library: Path) -> None:
    runs_out(name, library, alone=alone, timeout=100)
