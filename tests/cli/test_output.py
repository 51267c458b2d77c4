"""What all commands share: colours, warnings, help with examples, shell completion; and ``chainrule data``."""

from __future__ import annotations

import gzip
import io
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from chainrule import cli
from chainrule.cli import main
from chainrule.data.mnist import key_file, packaged_folder

Text = pytest.CaptureFixture[str]

COMMANDS = ["train", "eval", "predict", "check", "graph", "book", "data", "info", "completion"]
ESCAPE = "\x1b["


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


# --- colours ---


def on_terminal(arguments: list[str], monkeypatch: pytest.MonkeyPatch, **environment: str) -> str:
    """Give what is written on a terminal in an environment that says nothing else about colours."""
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WT_SESSION", "1")  # a terminal of Windows that knows colours
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    main(arguments)
    return terminal.getvalue()


@pytest.mark.parametrize(
    ("option", "environment", "coloured"),
    [
        ([], {}, True),
        ([], {"NO_COLOR": "1"}, False),
        ([], {"NO_COLOR": ""}, True),  # as no-color.org says
        ([], {"TERM": "dumb"}, False),
        (["--color", "never"], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "auto"], {"NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_gets_colours_unless_told_otherwise(
    option: list[str], environment: dict[str, str], coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (ESCAPE in on_terminal(["info", *option], monkeypatch, **environment)) == coloured


def test_what_is_no_terminal_gets_none_unless_asked(capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    main(["info"])
    plain = capsys.readouterr().out
    assert ESCAPE not in plain
    main(["info", "--color", "always"])
    assert re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out) == plain


def test_an_error_is_red_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["check", "nowhere.py", "--color", "always"]) == 2
    assert terminal.getvalue() == "chainrule: \x1b[31merror\x1b[0m: nowhere.py: there is no such file\n"


LAYERS = """
class Right:
    def forward(self, x):
        self.x = x
        return x * x
    def backward(self, dout):
        return 2 * self.x * dout
class Wrong(Right):
    def backward(self, dout):
        return 3 * self.x * dout
class Constant:
    def forward(self, x):
        return x * 0
    def backward(self, dout):
        return dout * 0
"""


@pytest.fixture
def layers(tmp_path: Path) -> str:
    (tmp_path / "layers.py").write_text(LAYERS, encoding="utf-8")
    return str(tmp_path / "layers.py")


def test_check_paints_each_verdict_in_its_colour(layers: str, capsys: Text) -> None:
    main(["check", layers, "--color", "always"])
    starts = [line.partition(" ")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["\x1b[32mright\x1b[0m", "\x1b[31mwrong\x1b[0m", "\x1b[35munproven\x1b[0m"]


def test_colours_change_nothing_else_in_a_report(layers: str, capsys: Text) -> None:
    main(["check", layers, "--verbose"])
    plain = capsys.readouterr().out
    main(["check", layers, "--verbose", "--color", "always"])
    painted = capsys.readouterr().out
    assert re.sub(r"\x1b\[\d*m", "", painted) == plain
    assert "\x1b[31mDIFFERS\x1b[0m\n" in painted
    assert "\x1b[32mgradients agree\x1b[0m\n" in painted


def test_check_quiet_tells_only_what_is_not_right(layers: str, capsys: Text) -> None:
    assert main(["check", layers, "--quiet"]) == 1
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["wrong", "unproven"]
    assert main(["check", f"{layers}:Right", "--quiet"]) == 0
    assert capsys.readouterr().out == ""


# --- warnings and errors ---


def test_a_warning_is_a_sentence_on_stderr(tmp_path: Path) -> None:
    code = (
        "import sys, warnings; from chainrule import cli;"
        "cli.info.init_mnist = lambda: warnings.warn('the disk is old');"
        "sys.exit(cli.main(['info']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "chainrule: warning: the disk is old\n")


def test_the_way_warnings_are_shown_is_put_back(capsys: Text) -> None:
    before = warnings.showwarning
    main(["info"])
    assert warnings.showwarning is before


@pytest.mark.parametrize(
    "arguments", [["check", "{}"], ["eval", "{}"], ["predict", "{}", "x"], ["graph", "x", "x=1", "-o", "{}/x"]]
)
def test_an_error_of_a_file_names_it_without_a_number(arguments: list[str], tmp_path: Path, capsys: Text) -> None:
    path = str(tmp_path / "none.py")
    assert main([argument.format(path) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"chainrule: error: {path}")
    assert "Errno" not in line


# --- help ---


def help_of(command: str, capsys: Text) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_can_be_read(command: str, capsys: Text) -> None:
    """Each example, split as a shell does, is accepted by the parser."""
    _, _, examples = help_of(command, capsys).partition("examples:\n")
    assert examples
    for line in examples.splitlines():
        call = line.partition("$(")[2].partition(")")[0] or line.removeprefix("  $ ")
        name, *arguments = shlex.split(call.partition(" > ")[0].removeprefix("mpiexec -n 4 "))
        assert name == "chainrule"
        assert cli.build_parser().parse_args(arguments).command == command


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns(command: str, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main([*([command] if command else []), "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_the_first_help_names_every_command_on_one_line(capsys: Text) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"^ +{command} +\w", out, re.MULTILINE) for command in COMMANDS)


# --- completion ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "tcsh"])
def test_completion_prints_a_script_that_knows_the_commands(shell: str, capsys: Text) -> None:
    assert main(["completion", shell]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)
    assert "--batch-size" in out or "batch-size" in out


@pytest.mark.skipif(shutil.which("bash") is None, reason="asks bash")
def test_bash_completes_commands_options_and_files(tmp_path: Path, capsys: Text) -> None:
    main(["completion", "bash"])
    script = tmp_path / "completion.bash"
    script.write_text(capsys.readouterr().out, encoding="utf-8")
    (tmp_path / "digits.safetensors").touch()

    def complete(*words: str) -> set[str]:
        ask = (
            f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1};"
            ' COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE};'
            " _shtab_chainrule; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        command = ["bash", "--norc", "-c", ask]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        return set(done.stdout.split())

    assert complete("chainrule", "pre") == {"predict"}
    assert "--epochs" in complete("chainrule", "train", "--ep")
    assert complete("chainrule", "eval", "dig") == {"digits.safetensors"}
    assert complete("chainrule", "check", "--st") == {"--strict"}
    assert complete("chainrule", "check", "--format", "") == {"text", "jsonl", "github"}


def test_completion_without_shtab_names_the_extra() -> None:
    code = "import sys; sys.modules['shtab'] = None; from chainrule.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "completion", "bash"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == "chainrule: error: completion needs shtab: pip install 'chainrule[completion]'\n"


# --- data ---


def test_data_path_is_a_folder_where_the_files_are(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path / "digits"))
    assert main(["data", "path"]) == 0
    assert capsys.readouterr().out == f"{packaged_folder()}\n"
    copy(tmp_path / "digits")
    assert main(["data", "path"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'digits'}\n"
    (tmp_path / "digits" / "t10k-images-idx3-ubyte.gz").unlink()
    assert main(["data", "path"]) == 0
    assert capsys.readouterr().out == f"{packaged_folder()}\n"


def test_data_path_of_a_set_that_is_not_there_says_how_to_fetch_it(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path))
    assert main(["data", "path", "kmnist"]) == 2
    told = f"chainrule: error: {tmp_path / 'kmnist'}: kmnist is not there; chainrule data fetch kmnist brings it\n"
    assert capsys.readouterr() == ("", told)
    copy(tmp_path / "kmnist")
    assert main(["data", "path", "kmnist"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'kmnist'}\n"


def copy(folder: Path) -> Path:
    folder.mkdir()
    for name in key_file.values():
        shutil.copy(packaged_folder() / name, folder)
    return folder


def test_data_verify_proves_the_package_and_what_was_fetched(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAINRULE_DATA_DIR", str(tmp_path / "digits"))
    packaged = [f"{packaged_folder() / name}  ok" for name in key_file.values()]
    assert main(["data", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == packaged
    folder = copy(tmp_path / "digits")
    assert main(["data", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [*packaged, *(f"{folder / name}  ok" for name in key_file.values())]


def test_data_verify_tells_what_is_missing_wrong_and_not_gzipped(tmp_path: Path, capsys: Text) -> None:
    folder = copy(tmp_path / "digits")
    images, labels, test_images, test_labels = key_file.values()
    (folder / images).unlink()
    (folder / labels).write_bytes(gzip.compress(b"other"))
    content = gzip.decompress((folder / test_images).read_bytes())
    (folder / test_images).unlink()
    (folder / test_images.removesuffix(".gz")).write_bytes(content)
    (folder / test_labels).write_bytes((folder / test_labels).read_bytes()[:-3])
    assert main(["data", "verify", str(folder)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{folder / images}  missing"
    assert lines[1].startswith(f"{folder / labels}  not MNIST's: SHA-256 of the content is ")
    assert lines[2] == f"{folder / test_images.removesuffix('.gz')}  ok"
    assert lines[3] == f"{folder / test_labels}  truncated gzip stream"


def test_data_verify_of_no_folder_tells_four_missing_files(tmp_path: Path, capsys: Text) -> None:
    assert main(["data", "verify", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().out.count("  missing\n") == 4


def test_n7_data_fetch_keeps_what_is_there_and_opens_no_socket_when_offline(
    tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setenv("CHAINRULE_OFFLINE", "1")
    monkeypatch.setattr("socket.socket", refuse)
    folder = copy(tmp_path / "digits")
    assert main(["data", "fetch", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    (folder / key_file["test_label"]).unlink()
    assert main(["data", "fetch", str(folder)]) == 2
    assert "CHAINRULE_OFFLINE is set" in capsys.readouterr().err
