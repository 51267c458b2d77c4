"""The command line: what it prints, where, with which exit code."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import SGD, GradientReport, Relu, cli, load_mnist
from chainrule.cli import main
from idx_files import FILES, write
from processes import start

Text = pytest.CaptureFixture[str]

ACCURACIES = r"train accuracy 0\.\d{4}  test accuracy 0\.\d{4}"


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a folder with the first 200 training and 50 test images of MNIST."""
    (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=False)
    folder = tmp_path_factory.mktemp("digits")
    return write(folder, train=(x[:200, 0], t[:200]), test=(x_test[:50, 0], t_test[:50]))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a folder with images of 3 × 3 pixels, none of them black: their gradients are checked in no time."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(1, 256, (5, 3, 3), np.uint8), rng.integers(10, size=5).astype(np.uint8)
    return write(tmp_path_factory.mktemp("tiny"), train=(images, labels), test=(images, labels))


def rows(text: str) -> list[str]:
    """Give the lines but the one that tells the seconds."""
    return [line for line in text.splitlines() if " steps in " not in line]


# --- train ---


def test_train_prints_a_row_an_epoch_and_the_accuracies_last(digits: str, capsys: Text) -> None:
    assert main(["train", "--data-dir", digits, "--epochs", "3"]) == 0
    *epochs, took, last = capsys.readouterr().out.splitlines()
    patterns = [rf"epoch +{i}  step +{2 * i}  loss \d\.\d{{4}}  {ACCURACIES}" for i in (1, 2, 3)]
    assert len(epochs) == 3
    assert all(map(re.fullmatch, patterns, epochs))
    assert re.fullmatch(r"6 steps in \d+\.\d s, loading and evaluating included", took)
    assert re.fullmatch(ACCURACIES, last)
    assert epochs[-1].endswith(last)


def test_train_learns(digits: str, capsys: Text) -> None:
    assert main(["train", "--data-dir", digits, "--epochs", "200", "--learning-rate", "0.5"]) == 0
    accuracies = [float(number) for number in re.findall(r"0\.\d{4}|1\.0000", capsys.readouterr().out.splitlines()[-1])]
    assert accuracies[0] > 0.95
    assert accuracies[1] > 0.6  # 200 images teach so much


def test_train_counts_iterations_that_end_within_an_epoch(digits: str, capsys: Text) -> None:
    assert main(["train", "--data-dir", digits, "--iterations", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in lines[:-2]] == ["2", "4", "5"]
    assert lines[-2].startswith("5 steps in ")


def test_train_does_10000_steps_unless_told_otherwise(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def fit(*_: Any, **options: Any) -> None:
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "fit", fit)
    main(["train", "--data-dir", digits])
    assert (given["iterations"], given["epochs"]) == (10_000, None)
    assert (given["batch_size"], type(given["optimizer"]), given["optimizer"].lr) == (100, SGD, 0.1)


def test_train_prints_the_same_in_json(digits: str, capsys: Text) -> None:
    arguments = ["train", "--data-dir", digits, "--epochs", "2"]
    main(arguments)
    text = rows(capsys.readouterr().out)
    main([*arguments, "--format", "jsonl"])
    *epochs, result = map(json.loads, capsys.readouterr().out.splitlines())
    accuracies = "train accuracy {train_accuracy:.4f}  test accuracy {test_accuracy:.4f}"
    row = "epoch {epoch:>3}  step {step:>6}  loss {loss:.4f}  " + accuracies
    assert [event["event"] for event in epochs] == ["epoch", "epoch"]
    assert {event["schema"] for event in (*epochs, result)} == {2}
    assert result["event"] == "result"
    assert result["steps"] == 4
    assert result["seconds"] > 0
    assert text == [*(row.format(**event) for event in epochs), accuracies.format(**result)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_d1_train_prints_the_same_for_the_same_seed(dtype: str, digits: str, capsys: Text) -> None:
    outputs = set()
    for _ in range(2):
        assert main(["train", "--data-dir", digits, "--epochs", "2", "--seed", "7", "--dtype", dtype]) == 0
        outputs.add("\n".join(rows(capsys.readouterr().out)))
    assert len(outputs) == 1


def test_train_prints_something_else_for_another_seed(digits: str, capsys: Text) -> None:
    outputs = set()
    for seed in "01":
        main(["train", "--data-dir", digits, "--epochs", "2", "--seed", seed])
        outputs.add("\n".join(rows(capsys.readouterr().out)))
    assert len(outputs) == 2


def test_train_hands_over_the_dtype_and_the_hidden_units(digits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks: list[Any] = []

    def fit(net: Any, *_: Any, **__: Any) -> None:
        networks.append(net)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "fit", fit)
    main(["train", "--data-dir", digits, "--hidden", "13", "--dtype", "float64"])
    assert networks[0].params["W1"].shape == (784, 13)
    assert networks[0].params["W1"].dtype == np.float64


def test_train_writes_only_results_when_stderr_is_no_terminal(digits: str, capsys: Text) -> None:
    main(["train", "--data-dir", digits, "--epochs", "1"])
    assert capsys.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("style", ["text", "jsonl"])
def test_train_shows_its_progress_on_a_terminals_stderr(
    style: str, digits: str, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["train", "--data-dir", digits, "--epochs", "2", "--format", style]
    main(arguments)
    expected = capsys.readouterr().out
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(arguments) == 0
    assert "4/4" in terminal.getvalue()
    out = capsys.readouterr().out
    if style == "text":
        assert rows(out) == rows(expected)
    assert len(out.splitlines()) == len(expected.splitlines())


# --- arguments ---


def usage_error(arguments: list[str], capsys: Text) -> str:
    """Give the first line on stderr of a call that argparse ends with exit code 2; nothing is on stdout."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.out) == (2, "")
    return printed.err.splitlines()[0]


COUNTS = ["--iterations", "--epochs", "--hidden", "--batch-size"]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *((option, value) for option in COUNTS for value in ("0", "-1", "1.5", "x")),
        *(("--learning-rate", value) for value in ("0", "-0.1", "nan", "inf", "x", "1e999")),
        *(("--seed", value) for value in ("-1", "1.5", "x")),
        ("--iterations", "99999999999"),
        ("--dtype", "float16"),
        ("--format", "csv"),
    ],
)
def test_s3_a_wrong_value_is_refused_with_the_name_of_the_option(option: str, value: str, capsys: Text) -> None:
    assert f"argument {option}: " in usage_error(["train", f"{option}={value}"], capsys)


def test_a_refused_value_is_told_with_what_it_must_be(capsys: Text) -> None:
    message = usage_error(["train", "--epochs", "0"], capsys)
    assert message.endswith("must lie in 1..2147483647, got 0")


def test_s3_epochs_and_iterations_exclude_each_other(capsys: Text) -> None:
    message = usage_error(["train", "--epochs", "1", "--iterations", "1"], capsys)
    assert "--epochs" in message
    assert "--iterations" in message


@pytest.mark.parametrize(
    "arguments", [[], ["learn"], ["train", "--speed", "9"], ["check", "--epochs", "1"], ["info", "x"]]
)
def test_an_unknown_command_or_option_is_refused(arguments: list[str], capsys: Text) -> None:
    assert usage_error(arguments, capsys).startswith("chainrule")


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["check", "--help"], ["info", "--help"]])
def test_help_is_a_result(arguments: list[str], capsys: Text) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    printed = capsys.readouterr()
    assert (caught.value.code, printed.err) == (0, "")
    assert printed.out.startswith("usage: chainrule")


def test_the_help_of_train_tells_every_default(capsys: Text) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert all(f"default {value}" in text for value in ("10000", "50", "100", "0.1", "float32", "text", "0)"))


# --- unusable input ---


def failure(arguments: list[str], capsys: Text) -> str:
    """Give the one line on stderr of a call that ends with exit code 2."""
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("chainrule: error: ")
    return line


@pytest.mark.parametrize("command", ["train", "check"])
def test_a_missing_folder_is_named_with_the_file_looked_for(command: str, tmp_path: Path, capsys: Text) -> None:
    message = failure([command, "--data-dir", str(tmp_path / "nowhere")], capsys)
    assert str(tmp_path / "nowhere") in message
    assert "train-images-idx3-ubyte.gz" in message


def test_a_missing_file_is_named(digits: str, tmp_path: Path, capsys: Text) -> None:
    for path in Path(digits).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / FILES["test"][1]).unlink()
    assert FILES["test"][1] in failure(["train", "--data-dir", str(tmp_path)], capsys)


@pytest.mark.parametrize("command", ["train", "check"])
def test_f9_a_damaged_file_is_named(command: str, digits: str, tmp_path: Path, capsys: Text) -> None:
    for path in Path(digits).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    images = tmp_path / FILES["train"][0]
    images.write_bytes(images.read_bytes()[:-1])
    assert str(images) in failure([command, "--data-dir", str(tmp_path)], capsys)


def test_f11_a_truncated_gzip_is_told(digits: str, tmp_path: Path, capsys: Text) -> None:
    for path in Path(digits).iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes())[:-9])
    assert "truncated gzip stream" in failure(["train", "--data-dir", str(tmp_path)], capsys)


def test_l1_a_test_label_beyond_those_of_the_training_is_told(tmp_path: Path, capsys: Text) -> None:
    images, labels = np.ones((4, 2, 2), np.uint8), np.array([0, 1, 10, 2], np.uint8)
    folder = write(tmp_path, train=(images, labels // 2), test=(images, labels))
    message = failure(["train", "--data-dir", folder, "--batch-size", "2"], capsys)
    assert message == "chainrule: error: test set: labels must lie in 0..9; got 10 at row 2"


def test_s4_a_batch_larger_than_the_data_is_told(digits: str, capsys: Text) -> None:
    message = failure(["train", "--data-dir", digits, "--batch-size", "201"], capsys)
    assert "--batch-size 201 is more than the 200 training images" in message


def test_a1_test_images_of_another_size_are_told(tmp_path: Path, capsys: Text) -> None:
    labels = np.zeros(4, np.uint8)
    folder = write(tmp_path, train=(np.ones((4, 2, 2), np.uint8), labels), test=(np.ones((4, 3, 3), np.uint8), labels))
    message = failure(["train", "--data-dir", folder, "--batch-size", "2"], capsys)
    assert "x has 9 features, W1 expects 4" in message


def test_a11_a_data_set_without_examples_is_told(tmp_path: Path, capsys: Text) -> None:
    none = (np.zeros((0, 2, 2), np.uint8), np.zeros(0, np.uint8))
    assert "no examples" in failure(["train", "--data-dir", write(tmp_path, train=none, test=none)], capsys)


@pytest.mark.parametrize(("dtype", "rate"), [("float32", "1e+30"), ("float64", "1e+200")])
def test_a13_a_diverging_run_says_at_which_step(dtype: str, rate: str, digits: str, capsys: Text) -> None:
    arguments = ["train", "--data-dir", digits, "--epochs", "50", "--learning-rate", rate, "--dtype", dtype]
    message = failure(arguments, capsys)
    assert re.match(rf"chainrule: error: loss is (nan|inf) at step \d+ \(lr={re.escape(rate)}\)", message)


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory with POSIX's setrlimit")
def test_s2_a_network_beyond_memory_is_told(digits: str) -> None:
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33));"
        "from chainrule.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["train", "--data-dir", digits, "--hidden", "2147483647"]
    done = run([sys.executable, "-c", code, *arguments])
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"chainrule: error: .+\n", done.stderr)


# --- check ---


def test_check_agrees_and_exits_with_0(tiny: str, capsys: Text) -> None:
    assert main(["check", "--data-dir", tiny]) == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "gradients agree"
    assert [line.split()[0] for line in printed.out.splitlines()[1:6]] == ["array", "W1", "b1", "W2", "b2"]
    assert printed.err == ""


def test_check_exits_with_1_when_a_layer_is_broken(tiny: str, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relu, "backward", lambda self, dout: np.asarray(dout))
    assert main(["check", "--data-dir", tiny]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "GRADIENTS DIFFER"
    assert any(line.startswith("W1 ") and line.endswith("DIFFERS") for line in lines)
    assert any(line.startswith("W1[") and "analytic" in line for line in lines)
    assert "first faulty layer on the way back: Relu1" in lines
    assert all(line.endswith("ok") for line in lines if line.startswith(("W2 ", "b2 ")))


def test_check_is_the_tutorials_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []

    def check_gradients(*arguments: Any, strict: bool) -> GradientReport:
        given.extend(arguments)
        assert not strict
        return GradientReport("TwoLayerNet", "network", (), ())

    monkeypatch.setattr(cli.check, "check_gradients", check_gradients)
    main(["check"])
    net, x, t = given
    assert net.params["W1"].shape == (784, 50)
    assert x.shape == (3, 784)
    np.testing.assert_array_equal(t, np.eye(10)[[5, 0, 4]])


def test_check_speaks_json_and_githubs_language(tiny: str, capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["check", "--data-dir", tiny, "--format", "jsonl"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["event"], found["file"], found["verdict"]) == (2, "check", None, "right")
    assert [array["name"] for array in found["report"]["arrays"]] == ["W1", "b1", "W2", "b2"]
    monkeypatch.setattr(Relu, "backward", lambda self, dout: np.asarray(dout))
    assert main(["check", "--data-dir", tiny, "--format", "github"]) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::error title=TwoLayerNet::network TwoLayerNet(")
    assert "%0AGRADIENTS DIFFER" in line


def test_check_draws_other_weights_for_another_seed(tiny: str, capsys: Text) -> None:
    outputs = set()
    for seed in "011":
        assert main(["check", "--data-dir", tiny, "--seed", seed]) == 0
        outputs.add(capsys.readouterr().out)
    assert len(outputs) == 2


# --- graph ---

EXPRESSION = ["graph", "(x + y) * z", "x=2", "y=3", "z=4"]


def test_graph_explains_the_tutorials_example(capsys: Text) -> None:
    assert main(EXPRESSION) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["forward", "  p = x + y = 2 + 3 = 5", "  g = p · z = 5 · 4 = 20"]
    assert lines[-1] == "    ∂p/∂y = 1, so ∂g/∂y = ∂g/∂p · ∂p/∂y = 4 · 1 = 4"


@pytest.mark.parametrize(
    ("form", "first", "ending"),
    [
        ("text", "forward", ".txt"),
        ("markdown", "**forward**", ".md"),
        ("svg", "<svg ", ".svg"),
        ("dot", "digraph {", ".dot"),
        ("mermaid", "flowchart LR", ".mmd"),
    ],
)
def test_graph_in_every_format_to_stdout_and_by_the_ending_of_a_file(
    form: str, first: str, ending: str, tmp_path: Path, capsys: Text
) -> None:
    assert main([*EXPRESSION, "--format", form]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(first)
    assert printed.endswith("\n")
    file = tmp_path / f"graph{ending}"
    assert main([*EXPRESSION, "-o", str(file)]) == 0
    assert capsys.readouterr().out == ""
    assert file.read_text(encoding="utf-8") == printed


def test_graph_obeys_the_format_against_the_ending(tmp_path: Path) -> None:
    file = tmp_path / "graph.svg"
    assert main([*EXPRESSION, "--format", "dot", "-o", str(file)]) == 0
    assert file.read_text(encoding="utf-8").startswith("digraph {")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("g.png", "cannot write a graph as PNG, got 'g.png': write 'g.svg' and convert it in a browser or Inkscape"),
        ("g.PDF", "cannot write a graph as PDF"),
        ("g.json", "the name of the file must end in .svg, .dot, .gv, .mmd, .md, .txt, got 'g.json'"),
        ("g.svgz", "must end in .svg"),
    ],
)
def test_graph_refuses_an_ending_that_it_does_not_write(file: str, message: str, tmp_path: Path, capsys: Text) -> None:
    assert main([*EXPRESSION, "-o", str(tmp_path / file)]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_graph_writes_no_other_format_into_a_file_that_is_called_a_picture(tmp_path: Path, capsys: Text) -> None:
    assert main([*EXPRESSION, "--format", "svg", "-o", str(tmp_path / "g.png")]) == 2
    assert "cannot write a graph as PNG" in capsys.readouterr().err
    assert main([*EXPRESSION, "--format", "svg", "-o", str(tmp_path / "g.xml")]) == 0


def test_graph_takes_vectors_matrices_and_a_leading_minus(capsys: Text) -> None:
    assert main(["graph", "--", "-sum(x @ y)", "x=1,2;3,4", "y=5,6"]) == 0
    assert "= -56" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["(x + y) * w", "x=1", "y=2"], "w has no value: add w=…, at column 11\n  (x + y) * w\n            ^\n"),
        (["x", "x"], "a value is given as NAME=VALUE, such as x=2, got 'x'"),
        (["x", "x=1", "x=2"], "x is given twice"),
        (["x", "x=one"], "x: a value is a number, 1,2,3 or 1,2;3,4, got 'one'"),
        (["x", "x=1", "y=1"], "y has a value, but 'x' has no y"),
    ],
)
def test_graph_names_what_it_cannot_read(arguments: list[str], message: str, capsys: Text) -> None:
    assert main(["graph", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("chainrule: error: ")
    assert message in err


@pytest.mark.fault("X4")
@pytest.mark.skipif(sys.platform == "win32", reason="so long a command is refused there")
@pytest.mark.parametrize(
    "arguments", [["x+" * 50_000, "x=1"], ["x", "n" * 100_000], ["x", "x=" + "n" * 100_000], ["-(" * 4000, "x=1"]]
)
def test_graph_repeats_nothing_long_in_an_error(arguments: list[str], capsys: Text) -> None:
    assert main(["graph", "--", *arguments]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") <= 3
    assert len(err) < 400
    assert "…" in err


def test_graph_with_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "graph.svg"
    file.write_text("before", encoding="utf-8")
    assert main(["graph", "x +", "x=1", "-o", str(file)]) == 2
    assert file.read_text(encoding="utf-8") == "before"
    assert main(["graph", "x", "x=1", "-o", str(tmp_path / "none" / "graph.svg")]) == 2


# --- info ---


def test_info_tells_the_versions_and_that_the_data_is_whole(capsys: Text) -> None:
    assert main(["info"]) == 0
    printed = capsys.readouterr()
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in printed.out.splitlines())
    assert facts["chainrule"] == chainrule.__version__
    assert facts["numpy"] == np.__version__
    assert facts["instruction set"] in ("avx512", "avx2", "neon", "portable")
    assert facts["data state"] == "whole"
    assert printed.err == ""


def test_info_says_the_same_in_json(capsys: Text) -> None:
    main(["info"])
    text = capsys.readouterr().out
    main(["info", "--json"])
    facts = json.loads(capsys.readouterr().out)
    assert facts.pop("schema") == 2
    assert [f"{name.replace('_', ' '):<16} {value}" for name, value in facts.items()] == text.splitlines()
    assert facts["data_state"] == "whole"


# --- as a process ---


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_python_m_chainrule_is_the_command() -> None:
    done = run([sys.executable, "-m", "chainrule", "--version"])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"chainrule {chainrule.__version__}\n", "")


def test_the_script_is_the_command() -> None:
    script = Path(sys.executable).with_name("chainrule.exe" if sys.platform == "win32" else "chainrule")
    done = run([str(script), "--version"])
    assert (done.returncode, done.stdout, done.stderr) == (0, f"chainrule {chainrule.__version__}\n", "")


def test_the_exit_code_of_a_failure_reaches_the_shell(tmp_path: Path) -> None:
    done = run([sys.executable, "-m", "chainrule", "train", "--data-dir", str(tmp_path)])
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.fault("T8")
def test_t8_an_interrupt_while_the_data_is_read_ends_with_130(capsys: Text, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.training_data, "load_mnist", interrupted)
    assert main(["train"]) == 130
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "chainrule: interrupted\n")


@pytest.mark.fault("T8")
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's SIGINT")
def test_t8_ctrl_c_ends_training_with_130_and_one_line(digits: str) -> None:
    with start(["train", "--data-dir", digits, "--epochs", "1000000"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "chainrule: interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_a_reader_that_has_seen_enough_ends_training_quietly(digits: str) -> None:
    with start(["train", "--data-dir", digits, "--epochs", "1000000"]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("epoch ")
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 0
    assert err == ""


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
@pytest.mark.parametrize("arguments", [["info"], ["--help"], ["--version"]])
def test_a_reader_that_reads_nothing_is_no_trouble(arguments: list[str]) -> None:
    with start(arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        code = process.wait(30)
    assert (code, err) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_the_verdict_is_the_exit_code_though_nobody_reads(tmp_path: Path) -> None:
    wrong = "def f{0}(x): return (x**2).sum()\ndef grad_f{0}(x): return x\n"
    file = tmp_path / "many.py"
    file.write_text("".join(wrong.format(i) for i in range(3)))
    with start(["check", str(file), "--verbose"]) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 1


def shell(line: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of a POSIX shell, in which "$@" is chainrule with `arguments`, its output buffered as for a user."""
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "chainrule", *arguments]
    around = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environment
    return subprocess.run(
        command, capture_output=True, text=True, errors="surrogateescape", timeout=60, check=False, env=around
    )


needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")
needs_shell = pytest.mark.skipif(sys.platform == "win32", reason="closes streams in a POSIX shell")


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_f2_a_full_disk_behind_stdout_is_told(unbuffered: str) -> None:
    done = shell('"$@" >/dev/full', "info", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (2, "chainrule: error: No space left on device\n")


@needs_full
def test_f2_a_full_disk_behind_a_drawing_is_told_with_its_name() -> None:
    done = shell('"$@"', "graph", "x * y", "x=1", "y=2", "-o", "/dev/full")
    assert (done.returncode, done.stderr) == (2, "chainrule: error: /dev/full: No space left on device\n")


@needs_full
@pytest.mark.parametrize("line", ['"$@" 2>/dev/full', '"$@" 2>&-', '"$@" >&-', '"$@" >&- 2>&-'])
def test_a_stream_that_takes_nothing_changes_no_exit_code_and_no_other_stream(line: str, tmp_path: Path) -> None:
    model = tmp_path / "net.safetensors"
    chainrule.TwoLayerNet(4, 3, 10, seed=0).save(model)
    assert shell(line, "info").returncode == 0
    for arguments in (["check", "nowhere.py"], ["eval", "nowhere"], ["predict", str(model), "nowhere"]):
        done = shell(line, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr


@needs_shell
def test_what_the_encoding_of_stdout_has_not_is_a_question_mark() -> None:
    done = shell('"$@"', "graph", "x + y", "x=1", "y=2", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="only there any bytes are a file name")
def test_a_file_name_that_is_no_text_is_printed_as_it_is(tmp_path: Path) -> None:
    model, images = tmp_path / "net.safetensors", tmp_path / "\udcff.npy"
    chainrule.TwoLayerNet(4, 3, 10, seed=0).save(model)
    with open(images, "wb") as file:
        np.save(file, np.zeros((1, 4)))
    done = shell('"$@"', "predict", str(model), str(images), PYTHONIOENCODING="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{images}[0]  ")
