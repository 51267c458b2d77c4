"""Commands to the terminal in what a file holds or is called are shown, not carried out."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import DataError, load, read_book_weights
from chainrule._errors import DownloadError
from chainrule._harmless import harmless
from chainrule.cli import main

Text = pytest.CaptureFixture[str]

#: Clears the screen, by one byte and by two; sets the title; erases what is before; turns the direction.
EVIL = "\x1b[2J\x9b2J\x1b]0;title\x07\b\r\x7f\u202e\u2066"
SHOWN = r"\x1b[2J\x9b2J\x1b]0;title\x07\x08\r\x7f\u202e\u2066"
#: All that commands a terminal but newline, tab and our own colours.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udc9f]")

needs_any_name = pytest.mark.skipif(os.name == "nt", reason="such a file name is refused there")


def said(arguments: list[str], capsys: Text) -> str:
    """Give all that a command says but our red, after a look at its characters."""
    with contextlib.suppress(SystemExit):  # argparse's
        main(arguments)
    text = re.sub(r"\x1b\[(31|0)m", "", "".join(capsys.readouterr()))
    assert not COMMANDS.search(text), ascii(text)
    return text


def safetensors(path: Path, tensors: list[str], metadata: dict[str, Any]) -> Path:
    """Write a file with tensors of one number each, and such metadata."""
    header: dict[str, Any] = {"__metadata__": metadata}
    for i, name in enumerate(tensors):
        header[name] = {"dtype": "F32", "shape": [1], "data_offsets": [4 * i, 4 * i + 4]}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4 * len(tensors)))
    return path


def described(**other: Any) -> dict[str, str]:
    """Give the metadata of a network of the user's own, with other entries."""
    own = {"kind": "Net", "own": True}
    return {"chainrule": json.dumps({"format": 2, "network": own, "layers": [], "loss": own, "params": [], **other})}


# --- what a file is called ---


@pytest.mark.fault("X1")
@needs_any_name
@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "{}.py"],
        ["check", "{}.py:" + EVIL],
        ["eval", "{}"],
        ["predict", "{}", "x"],
        ["graph", "x", "x=1", "-o", "{}/x"],
        ["graph", "x", "x=1", EVIL],
        ["book", "{}.py"],
        ["data", "verify", "{}"],
        ["data", "path", "{}"],
        ["train", "--data-dir", "{}"],
        ["train", "--resume", "{}"],
        ["train", "--save", "{}/x"],
        ["train", EVIL],
        ["train", "--hidden", EVIL],
        ["train", "--net", EVIL],
        [EVIL],
        ["info", f"--{EVIL}"],
    ],
    ids=lambda arguments: " ".join(arguments).replace(EVIL, "EVIL"),
)
@pytest.mark.parametrize("color", ["never", "always"])
def test_no_name_of_a_file_commands_the_terminal(
    arguments: list[str], color: str, tmp_path: Path, capsys: Text
) -> None:
    name = str(tmp_path / EVIL)
    arguments = [argument.format(name) if "{}" in argument else argument for argument in arguments]
    if arguments[0] in ("check", "eval"):
        arguments += ["--color", color]
    assert SHOWN in said(arguments, capsys).replace(
        "\\\\", "\\"
    )  # argparse and repr double the backslashes of what is quoted twice


@pytest.mark.fault("X1")
@needs_any_name
def test_predict_shows_the_names_of_files_escaped_and_in_columns(tmp_path: Path, capsys: Text) -> None:
    model, images = tmp_path / "net.safetensors", tmp_path / f"{EVIL}.npy"
    chainrule.TwoLayerNet(4, 3, 10, seed=0).save(model)
    np.save(images, np.zeros((2, 4)))
    lines = said(["predict", str(model), str(images)], capsys).splitlines()
    assert [line.partition(".npy")[0] for line in lines] == [f"{tmp_path}/{SHOWN}"] * 2
    assert lines[0].partition("  ")[0] == f"{tmp_path}/{SHOWN}.npy[0]"
    objects = said(["predict", str(model), str(images), "--format", "jsonl"], capsys).splitlines()
    assert [json.loads(line)["file"] for line in objects] == [str(images)] * 2


@pytest.mark.fault("X1")
def test_a_colour_in_a_name_is_not_taken_for_one_of_ours(capsys: Text) -> None:
    assert main(["check", "\x1b[32mright\x1b[0m.py", "--color", "always"]) == 2
    assert capsys.readouterr().err == (
        "chainrule: \x1b[31merror\x1b[0m: \\x1b[32mright\\x1b[0m.py: there is no such file\n"
    )


@pytest.mark.fault("X1")
@pytest.mark.skipif(sys.platform != "linux", reason="only there any bytes are a file name")
def test_a_byte_of_a_name_that_is_a_control_character_elsewhere_is_escaped(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "chainrule", "data", "path", str(tmp_path / os.fsdecode(b"\x9b2J\xff"))]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, env=os.environ | {"PYTHONUTF8": "1"})
    # The second byte commands nothing anywhere, and is handed on to who reads it.
    assert (done.stdout, done.stderr) == (os.fsencode(tmp_path) + rb"/\udc9b2J" + b"\xff\n", b"")


# --- what a file holds ---


@pytest.mark.fault("X1")
@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ([EVIL], described(params=[EVIL])),
        ([EVIL], described()),
        ([], described(network={"kind": EVIL, "own": True})),
        ([], described(layers=[{"name": EVIL, "kind": EVIL}], network={"kind": EVIL})),
        ([], described(format=EVIL)),
        ([], described(params=[EVIL])),
        ([], {"chainrule": EVIL}),
        ([], described(network={"kind": "\ud800\udcc2\udc9b", "own": True})),
    ],
)
def test_nothing_in_a_safetensors_file_commands_the_terminal(
    tensors: list[str], metadata: dict[str, str], tmp_path: Path, capsys: Text
) -> None:
    path = safetensors(tmp_path / "net.safetensors", tensors, metadata)
    for arguments in (["eval", str(path)], ["predict", str(path), "x"], ["train", "--resume", str(path)]):
        assert str(path) in said(arguments, capsys)
    for into in (None, chainrule.TwoLayerNet(2, 2, 2, seed=0)):
        with pytest.raises(ValueError, match=r"net\.safetensors: ") as caught:
            load(path, into=into)
        assert not COMMANDS.search(str(caught.value))


@pytest.mark.fault("X1")
def test_names_of_parameters_in_an_error_are_quoted(tmp_path: Path) -> None:
    path = safetensors(tmp_path / "net.safetensors", ["a, b", "\n"], {})
    with pytest.raises(DataError, match=re.escape(r"it holds the parameters 'a, b', '\n', the network has 'W1', ")):
        load(path, into=chainrule.TwoLayerNet(2, 2, 2, seed=0))


@pytest.mark.fault("X1")
@pytest.mark.parametrize(
    "content",
    [
        f"c{EVIL.replace(chr(13), '')}\nname\n.".encode(),
        f"cmodule\n{EVIL.replace(chr(13), '')}\n.".encode(),
        pickle.dumps({EVIL: 1}),
        pickle.dumps({EVIL: np.array([EVIL])}),
    ],
)
def test_nothing_in_a_pickle_commands_the_terminal(content: bytes, tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "params.pkl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"params\.pkl: at byte ") as caught:
        read_book_weights(path)
    assert not COMMANDS.search(str(caught.value))
    script = tmp_path / "script.py"
    script.write_text("import pickle\nwith open('params.pkl', 'rb') as file:\n    pickle.load(file)\n")
    said(["book", str(script)], capsys)


@pytest.mark.fault("X1")
@pytest.mark.parametrize("options", [[], ["--verbose"], ["--strict"], ["--format", "github"], ["--format", "jsonl"]])
def test_no_name_in_a_file_that_is_checked_commands_the_terminal(
    options: list[str], tmp_path: Path, capsys: Text
) -> None:
    file = tmp_path / "layers.py"
    file.write_text(f"""
import numpy as np
EVIL = {EVIL!r}
class Square:
    def __init__(self, factor):
        self.x, self.factor = None, factor
    def forward(self, x):
        self.x = x
        return x * x
    def backward(self, dout):
        return self.factor * self.x * dout
class Raises:
    def forward(self, x):
        raise ValueError(EVIL)
    backward = forward
Square.__name__ = Square.__qualname__ = EVIL
CHECKS = {{
    EVIL + str(factor): lambda rng, factor=factor: (Square(factor), rng.normal(size=(2, 3))) for factor in (2, 3)
}} | {{"raises": lambda rng: (Raises(), rng.normal(size=(2, 3)))}}
""")
    text = said(["check", str(file), *options], capsys)
    assert (SHOWN if "jsonl" not in options else json.dumps(EVIL)[1:-1]) in text.replace("%0D", r"\r")


@pytest.mark.fault("X1")
def test_a_warning_and_the_traceback_of_a_script_command_nothing(tmp_path: Path, capsys: Text) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import warnings\nwarnings.simplefilter('always')\nwarnings.warn({EVIL!r})\nraise ValueError({EVIL!r})\n"
    )
    text = said(["book", str(script)], capsys)
    assert f"UserWarning: {SHOWN}\n" in text
    assert f"\nValueError: {SHOWN}\n" in text


# --- the door itself ---


@pytest.mark.fault("X1")
@pytest.mark.parametrize("error", [DataError, DownloadError])
def test_the_errors_that_tell_what_was_read_command_nothing_in_a_traceback_either(error: Any) -> None:
    made = error(EVIL)
    assert str(made) == SHOWN
    assert str(pickle.loads(pickle.dumps(made))) == SHOWN


@pytest.mark.fault("X1")
def test_what_commands_nothing_is_left_as_it_is() -> None:
    text = "Zeile\n\tзначение 值 ∂g/∂x = 1\u202f000 👩\u200d🔬 C:\\x1b \udcff"
    assert harmless(text) == text
    assert harmless(harmless(EVIL)) == harmless(EVIL) == SHOWN


@pytest.mark.fault("X1")
def test_every_control_character_is_written_as_repr_writes_it() -> None:
    for number in (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xD800):
        character = chr(number)
        assert harmless(character) == (character if character in "\n\t" else repr(character)[1:-1])
