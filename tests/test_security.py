"""SECURITY.md: each promise names what shows it, and that is there; what is read runs nothing, and no network is asked.

Python tells an audit hook what it compiles, runs, imports, opens and connects to (PEP 578): that a thing does not
happen is looked for there. A hook cannot be taken away again, so each is in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from chainrule.cli import main
from test_faults import PAGE, rows

ROOT = Path(__file__).parent.parent
HOLD = {name for name, state in rows(PAGE.read_text(encoding="utf-8")).items() if state == "holds"}


def promises(page: str) -> list[tuple[str, list[str]]]:
    """Give each item of the lists of a page, and what stands in brackets at its end."""
    found = []
    for line in page.splitlines():
        if line.startswith("- "):
            end = re.search(r"\(([^()]*)\)\.$", line)
            found.append((line, end[1].split(", ") if end else []))
    return found


def is_shown(name: str) -> bool:
    """Whether `name` is a row of the faults that holds, or a test that there is."""
    path, _, test = name.partition("::")
    if not test:
        return name in HOLD
    return f"\ndef {test}(" in (ROOT / "tests" / path).read_text(encoding="utf-8")


def test_each_promise_names_what_shows_it() -> None:
    page = (ROOT / "SECURITY.md").read_text(encoding="utf-8").partition("## What is not promised")[0]
    found = promises(page)
    assert len(found) > 25
    assert [promise for promise, shown in found if not shown] == []
    assert [name for _, shown in found for name in shown if not is_shown(name)] == []


def test_a_promise_without_a_test_is_found() -> None:
    (bare, none), (_, two) = promises("- All is well.\n\n- No (pickle) is read (F8, a/test_b.py::test_c).\ntext (F9).")
    assert (bare, none, two) == ("- All is well.", [], ["F8", "a/test_b.py::test_c"])
    assert is_shown("F8")
    assert not is_shown("F99")
    assert not is_shown("test_security.py::test_that_there_is_not")
    assert is_shown("test_security.py::test_a_promise_without_a_test_is_found")


# --- what Python tells of ---

WATCHED = """
import sys

told = None

def hook(event, arguments):
    if told is not None:
        told.append((event, arguments))

sys.addaudithook(hook)
"""

#: All is read once before it is watched: what is imported late is imported then.
READS = """
import contextlib, os, pathlib, pickle
from PIL import Image
import numpy as np
import chainrule
from chainrule.cli import main
from chainrule.graph.expression import evaluate

class Runs:
    def __reduce__(self):
        return eval, ("open('ran', 'w')",)

folder = pathlib.Path(sys.argv[1])
net = chainrule.TwoLayerNet(4, 3, 2)
net.save(folder / "right.safetensors")
model = (folder / "right.safetensors").read_bytes()
(folder / "metadata.safetensors").write_bytes(model.replace(b"affine", b"ev()l#"))
(folder / "cut.safetensors").write_bytes(model[:-1])
for protocol in range(6):
    (folder / f"hostile{protocol}.pkl").write_bytes(pickle.dumps({"W1": Runs()}, protocol))
    (folder / f"plain{protocol}.pkl").write_bytes(pickle.dumps({"W1": np.eye(2)}, protocol))
np.save(folder / "objects.npy", np.array([Runs()]), allow_pickle=True)
(folder / "one.idx").write_bytes(b"\\0\\0\\x08\\x01\\0\\0\\0\\x02ab")
(folder / "cut.idx").write_bytes(b"\\0\\0\\x08\\x01\\0\\0\\0\\x02a")
image = Image.new("L", (30, 30), 255)
image.paste(0, (10, 5, 14, 25))
image.save(folder / "digit.png")
(folder / "cut.png").write_bytes((folder / "digit.png").read_bytes()[:-20])
(folder / "none.png").write_bytes(b"import os")
files = sorted(folder.iterdir())
EXPRESSIONS = ["__import__('os').system('true')", "exec('1')", "x.__class__", "lambda: 0", "[x for x in y]", "x := 1",
               "f'{x}'", "open('ran')", "x if y else x", "sum(x, key=exec)", "exp(exec)", "x * y + exp(x)"]

def read_all():
    for path in files:
        for read in (chainrule.load, chainrule.read_book_weights, chainrule.read_idx, chainrule.load_image):
            with contextlib.suppress(ValueError):
                read(path)
    for text in EXPRESSIONS:
        with contextlib.suppress(ValueError):
            evaluate(text, {"x": 1.0, "y": 2.0})

read_all()
told = []
read_all()
found, told = told, None
opened = [flags for event, (*_, flags) in found if event == "open"]
print(len(opened) / len(files))
print([flags for flags in opened if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)])
print({event for event, _ in found} - {"open", "builtins.id", "object.__getattr__", "array.__new__"})
"""


def run(script: str, *arguments: str) -> list[str]:
    """Give the lines that a Python of its own prints, running `script` under a hook."""
    done = subprocess.run([sys.executable, "-c", WATCHED + script, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_read_runs_and_writes_nothing(tmp_path: Path) -> None:
    opened, written, beside = run(READS, str(tmp_path))
    assert float(opened) == 4.0  # by each of the four that read
    assert written == "[]"
    assert beside == "set()"
    assert not (tmp_path / "ran").exists()


NO_NETWORK = """
told = []
import pathlib
folder = pathlib.Path(sys.argv[1])
import chainrule
(x, t), test = chainrule.load_mnist()
net = chainrule.TwoLayerNet(784, 5, 10)
history = chainrule.fit(net, x[:200], t[:200], epochs=1, checkpoint=folder / "run.safetensors")
chainrule.check_gradients(net, x[:2], t[:2], directions=2)
net.save(folder / "model.safetensors")
chainrule.load(folder / "model.safetensors")
(folder / "report.html").write_text(chainrule.training_report(net, history))
v = chainrule.Variable(2.0, "x") * 3
v.graph().to_svg()
print([event for event, _ in told if event.startswith(("socket.", "urllib.", "http.", "ssl."))])
print(any(event == "open" for event, _ in told))
import socket
socket.socket()
print([event for event, _ in told if event.startswith("socket.")])
"""


def test_no_socket_is_opened_unless_files_are_fetched(tmp_path: Path) -> None:
    network, files, at_last = run(NO_NETWORK, str(tmp_path))
    assert network == "[]"
    assert files == "True"
    assert at_last == "['socket.__new__']"  # the hook would have told


def test_check_says_that_it_runs_the_file_before_it_does(tmp_path: Path) -> None:
    file = tmp_path / "layer.py"
    file.write_text("import sys\nprint('at work', file=sys.stderr)\n")
    done = subprocess.run([sys.executable, "-m", "chainrule", "check", str(file)], capture_output=True, text=True)
    assert done.stderr.splitlines()[:2] == [f"running {file}, as python would", "at work"]


@pytest.mark.parametrize("more", [["--quiet"], ["--format", "jsonl"]])
def test_where_little_is_to_be_said_it_is_not(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "layer.py"
    file.write_text("")
    main(["check", str(file), *more])
    assert "running" not in capsys.readouterr().err


# --- what it is made of ---


def test_the_installed_package_lists_every_crate_in_it() -> None:
    files = importlib.metadata.files("chainrule") or []
    (listed,) = [file for file in files if file.parent.name == "sboms"]
    components = json.loads(listed.read_text())["components"]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    locked = {(crate["name"], crate["version"]) for crate in lock}
    found = {(component["name"], component["version"]) for component in components}
    assert found <= locked
    assert {"gemm", "ndarray", "numpy", "pyo3", "rayon", "safetensors", "zlib-rs"} <= {name for name, _ in found}
    assert all(component["licenses"] for component in components)
