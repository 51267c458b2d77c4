"""A file that was asked for is there whole or not at all, whatever the disk does; a pipe gets what comes."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import chainrule
from chainrule import History, cli, training_report
from chainrule.book.ch07 import SimpleConvNet
from chainrule.cli import main

Text = pytest.CaptureFixture[str]
Write = Callable[[Path], Any]

GRAPH = ["graph", "(x + y) * z", "x=2", "y=3", "z=4"]
needs_posix = pytest.mark.skipif(os.name == "nt", reason="needs pipes with names")


def picture(path: Path) -> None:
    """Let a script show a picture where no window can be opened."""
    import matplotlib.pyplot as plt

    from chainrule.book import pictures

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pictures, "free_path", lambda: path)
        plt.figure()
        plt.plot([1, 2, 3])
        pictures.show()


def graph(form: str) -> Write:
    """Give what draws or explains, and raises if it cannot write, as the functions do."""

    def write(path: Path) -> None:
        assert main([*GRAPH, "--format", form, "-o", str(path)]) == 0

    return write


WRITERS: dict[str, Write] = {
    **{form: graph(form) for form in ("text", "markdown", "svg", "dot", "mermaid")},
    "network": lambda path: chainrule.TwoLayerNet(4, 3, 2, seed=0).save(path),
    "history": lambda path: History([1.0, 0.5], [2], [0.5], [0.5]).to_csv(path),
    "parameters": lambda path: SimpleConvNet((1, 12, 12)).save_params(path),
    "picture": picture,
}


def contents(folder: Path) -> dict[str, bytes]:
    """Give what is in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.fault("X2")
@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("what", WRITERS)
def test_on_a_full_disk_the_old_file_stays_and_none_is_left_behind(
    what: str, call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for before in ({}, {"file": b"before"}):
        for name, content in before.items():
            (tmp_path / name).write_bytes(content)
        with monkeypatch.context() as patched:
            patched.setattr(os, call, full)
            told = contextlib.nullcontext() if what == "picture" else pytest.raises((OSError, AssertionError))
            with told:  # a script goes on to its end without its picture
                WRITERS[what](tmp_path / "file")
        assert contents(tmp_path) == before
    WRITERS[what](tmp_path / "file")
    assert len(contents(tmp_path)["file"]) > len(b"before")


@pytest.mark.fault("X2")
def test_a_full_disk_behind_a_drawing_is_told_with_its_name_and_exit_2(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert main([*GRAPH, "-o", str(tmp_path / "graph.svg")]) == 2
    assert capsys.readouterr().err == f"chainrule: error: {tmp_path / 'graph.svg'}: No space left on device\n"


@pytest.mark.fault("X2")
def test_a_full_disk_behind_a_report_leaves_the_old_one(
    digits: str, tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.html"
    report.write_text("before", encoding="utf-8")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def then_the_disk_is_full(*arguments: Any, **options: Any) -> str:
        page = training_report(*arguments, **options)
        monkeypatch.setattr(os, "fsync", full)
        return page

    monkeypatch.setattr(cli.train, "training_report", then_the_disk_is_full)
    assert main(["train", "--data-dir", digits, "--epochs", "1", "--report", str(report)]) == 2
    assert capsys.readouterr().err == f"chainrule: error: {report}: No space left on device\n"
    assert contents(tmp_path) == {"report.html": b"before"}


@pytest.mark.fault("X2")
@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_a_real_limit_on_the_size_of_files_leaves_the_old_drawing(tmp_path: Path) -> None:
    file = tmp_path / "graph.svg"
    file.write_text("before", encoding="utf-8")
    code = (
        "import resource, sys; from chainrule.cli import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)); sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *GRAPH, "-o", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (2, f"chainrule: error: {file}: {os.strerror(errno.EFBIG)}\n")
    assert contents(tmp_path) == {"graph.svg": b"before"}


@pytest.mark.fault("X2")
@pytest.mark.skipif(os.name == "nt", reason="modes are another thing there")
def test_a_drawing_keeps_the_mode_of_the_file_and_the_link_to_it(tmp_path: Path) -> None:
    (tmp_path / "real.svg").touch(0o640)
    (tmp_path / "link.svg").symlink_to("real.svg")
    assert main([*GRAPH, "-o", str(tmp_path / "link.svg")]) == 0
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "real.svg").read_bytes().startswith(b"<svg ")
    assert (tmp_path / "real.svg").stat().st_mode & 0o777 == 0o640


# --- what is no file ---


def shell(line: str, folder: Path) -> str:
    """Run a line of a POSIX shell, in which "$@" is a drawing in DOT, and give its output."""
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "chainrule", *GRAPH, "--format", "dot"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def drawing(capsys: Text) -> str:
    """Give what the drawing is on stdout."""
    main([*GRAPH, "--format", "dot"])
    return capsys.readouterr().out


@pytest.mark.fault("X2")
@needs_posix
@pytest.mark.parametrize("line", ['"$@" -o /dev/stdout', '"$@" -o /dev/stdout | cat', '"$@" -o /dev/fd/3 3>&1 | cat'])
def test_stdout_and_a_pipe_by_their_names_take_a_drawing(line: str, tmp_path: Path, drawing: str) -> None:
    assert shell(line, tmp_path) == drawing
    assert contents(tmp_path) == {}


@pytest.mark.fault("X2")
@needs_posix
def test_a_file_that_the_shell_has_opened_is_written_to_and_not_replaced(tmp_path: Path, drawing: str) -> None:
    shell('{ echo first; "$@" -o /dev/stdout; "$@" -o /dev/stdout; echo last; } > out', tmp_path)
    shell('"$@" -o /dev/stdout >> out', tmp_path)
    assert contents(tmp_path) == {"out": f"first\n{drawing}{drawing}last\n{drawing}".encode()}


@pytest.mark.fault("X2")
@needs_posix
def test_a_pipe_with_a_name_takes_a_drawing_and_stays_a_pipe(tmp_path: Path, drawing: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    assert main([*GRAPH, "--format", "dot", "-o", str(pipe)]) == 0
    reader.join(60)
    assert read == [drawing]
    assert pipe.is_fifo()


# --- the kind ---

#: What opens a file to write: the writer itself, and what hands a stream over.
MAY = {"storage/atomic_write.py", "cli/output.py"}
MODES = {kind + form + plus for kind in "wax" for form in ("", "b", "t") for plus in ("", "+")}


def writes(call: ast.Call) -> bool:
    """Tell whether a call writes to a path by itself."""
    called = ast.unparse(call.func)
    if called == "open" or (called.endswith(".open") and called != "os.open"):
        return any(isinstance(part, ast.Constant) and part.value in MODES for part in ast.walk(call))
    return called.endswith((".write_text", ".write_bytes"))


@pytest.mark.fault("X2")
def test_the_package_writes_to_no_path_but_by_the_writer_of_whole_files() -> None:
    package = Path(chainrule.__file__).parent
    found = {
        f"{path.relative_to(package).as_posix()}:{node.lineno}"
        for path in package.rglob("*.py")
        if path.relative_to(package).as_posix() not in MAY
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and writes(node)
    }
    assert found == set()
