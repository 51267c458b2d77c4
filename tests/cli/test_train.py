"""``chainrule train``: runs kept, interrupted, gone on with; early stopping; options that contradict each other."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import TwoLayerNet, check_gradients, fit, load, load_mnist
from chainrule.cli import main
from idx_files import write
from processes import start
from train_command import failure

Text = pytest.CaptureFixture[str]


def train(*arguments: str) -> None:
    assert main(["train", *arguments]) == 0


def digest(path: Path) -> str:
    """Give the SHA-256 of all parameters in a file."""
    params = load(path).params
    return hashlib.sha256(b"".join(name.encode() + array.tobytes() for name, array in params.items())).hexdigest()


def rows(text: str) -> list[str]:
    """Give the lines but the one that tells the seconds."""
    return [line for line in text.splitlines() if " steps in " not in line]


# --- keep and go on ---


def test_the_saved_network_is_the_one_whose_accuracy_was_printed(digits: str, tmp_path: Path, capsys: Text) -> None:
    train("--data-dir", digits, "--epochs", "3", "--save", str(tmp_path / "net"))
    last = capsys.readouterr().out.splitlines()[-1]
    _, (x, t) = load_mnist(normalize=False, data_dir=digits)
    assert last.endswith(f"test accuracy {load(tmp_path / 'net').accuracy(x, t):.4f}")


RUNS = [
    ["--optimizer", name, "--dtype", dtype]
    for name, dtype in [("sgd", "float32"), ("sgd", "float64"), ("adam", "float32"), ("nesterov", "float64")]
]


@pytest.mark.parametrize("options", [*RUNS, ["--validation", "0.2", "--hidden", "7", "--batch-size", "64"]])
@pytest.mark.parametrize("stop", ["1", "4"])
def test_a_resumed_run_ends_with_the_same_bits_and_the_same_rows(
    options: list[str], stop: str, digits: str, tmp_path: Path, capsys: Text
) -> None:
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    train("--data-dir", digits, "--epochs", "6", "--save", str(whole), *options)
    expected = rows(capsys.readouterr().out)
    train("--data-dir", digits, "--epochs", stop, "--save", str(halved), *options)
    first = rows(capsys.readouterr().out)[:-1]
    train("--data-dir", digits, "--epochs", "6", "--resume", str(halved))  # the file knows the other options
    assert [*first, *rows(capsys.readouterr().out)] == expected
    assert digest(halved) == digest(whole)


def test_a_run_goes_on_to_its_own_end_if_no_other_is_given(digits: str, tmp_path: Path, capsys: Text) -> None:
    saved = str(tmp_path / "net")
    train("--data-dir", digits, "--iterations", "12", "--save", saved)
    cut_short = capsys.readouterr().out.splitlines()[-3]
    train("--data-dir", digits, "--resume", saved)
    row, end, _ = capsys.readouterr().out.splitlines()
    assert row == cut_short  # the file is from before it was printed
    assert end.startswith("12 steps in ")
    train("--data-dir", digits, "--resume", saved, "--epochs", "4")
    assert " step     20  " in capsys.readouterr().out


def test_a_resumed_run_may_be_written_elsewhere(digits: str, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train("--data-dir", digits, "--epochs", "1", "--save", str(first))
    before = first.read_bytes()
    train("--data-dir", digits, "--epochs", "2", "--resume", str(first), "--save", str(second))
    assert first.read_bytes() == before
    assert digest(second) != digest(first)


def test_checkpoints_are_written_as_often_as_asked(
    digits: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    monkeypatch.setattr("chainrule.storage.atomic_write.write_whole", lambda path, content: written.append(content))
    train("--data-dir", digits, "--epochs", "7", "--save", str(tmp_path / "net"), "--checkpoint-every", "3")
    assert len(written) == 3  # after epochs 3 and 6, and at the end


@pytest.mark.fault("T7", "T8")
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_t7_t8_an_interrupted_run_goes_on_to_the_same_bits(how: signal.Signals, digits: str, tmp_path: Path) -> None:
    """The process ends at a moment nobody chose; what is on the disk is whole, and leads to the same end."""
    saved, whole = tmp_path / "my run", tmp_path / "whole"
    with start(["train", "--data-dir", digits, "--epochs", "100000", "--save", str(saved)]) as process:
        assert process.stdout is not None
        for _ in range(5):
            assert process.stdout.readline().startswith("epoch ")
        process.send_signal(how)
        out, err = process.communicate(timeout=30)
    if how == signal.SIGINT:
        assert (process.returncode, err) == (
            130,
            f"chainrule: interrupted; go on with: chainrule train --resume '{saved}'\n",
        )
        assert "Traceback" not in out
    epochs = str(load_epochs(saved) + 3)
    train("--data-dir", digits, "--resume", str(saved), "--epochs", epochs)
    train("--data-dir", digits, "--save", str(whole), "--epochs", epochs)
    assert digest(saved) == digest(whole)


def load_epochs(path: Path) -> int:
    from chainrule.storage.model_files import unpack

    return len(unpack(path).arrays["history/steps"])


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's SIGINT")
def test_t8_an_interrupt_before_the_first_checkpoint_promises_nothing(digits: str, tmp_path: Path) -> None:
    (tmp_path / "net").write_bytes(b"older")
    arguments = ["--data-dir", digits, "--epochs", "100000", "--checkpoint-every", "99999"]
    with start(["train", *arguments, "--save", str(tmp_path / "net")]) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("epoch ")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "chainrule: interrupted\n")
    assert (tmp_path / "net").read_bytes() == b"older"


def test_a_run_that_diverges_leaves_the_last_checkpoint(digits: str, tmp_path: Path, capsys: Text) -> None:
    saved = tmp_path / "net"
    train("--data-dir", digits, "--epochs", "2", "--save", str(saved), "--learning-rate", "0.5")
    before = saved.read_bytes()
    capsys.readouterr()
    arguments = ["--data-dir", digits, "--epochs", "9", "--save", str(saved), "--learning-rate", "1e30"]
    assert "loss is" in failure(arguments, capsys)
    assert saved.read_bytes() == before


# --- other networks ---

NETS = [
    ["--net", "mlp", "--hidden", "9,7", "--dropout", "0.3", "--batch-norm"],
    ["--net", "mlp", "--hidden", "9", "--optimizer", "sgd", "--label-smoothing", "0.2"],
    ["--net", "convnet", "--hidden", "8"],
    ["--net", "deep", "--hidden", "6", "--dropout", "0.2", "--dtype", "float64"],
]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Make a folder with 60 training and 20 test images of MNIST, cut to 20 x 16 pixels, of the digits 0 to 4."""
    (x, t), _ = load_mnist(normalize=False, flatten=False)
    x, t = x[t < 5][:80, 0, 4:24, 6:22], t[t < 5][:80]
    return write(tmp_path_factory.mktemp("few"), train=(x[:60], t[:60]), test=(x[60:], t[60:]))


@pytest.mark.parametrize("options", NETS, ids=" ".join)
def test_every_network_is_saved_evaluated_predicts_and_goes_on_to_the_same_bits(
    options: list[str], few: str, tmp_path: Path, capsys: Text
) -> None:
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    data = ["--data-dir", few]
    train(*data, *options, "--batch-size", "20", "--epochs", "3", "--save", str(whole))
    expected = rows(capsys.readouterr().out)
    train(*data, *options, "--batch-size", "20", "--epochs", "1", "--save", str(halved))
    first = rows(capsys.readouterr().out)[:-1]
    train(*data, "--epochs", "3", "--resume", str(halved))
    assert [*first, *rows(capsys.readouterr().out)] == expected
    assert digest(halved) == digest(whole)

    net = load(whole)
    _, (x, t) = load_mnist(normalize=False, data_dir=few)
    assert net.predict(x).shape == (20, 5)  # as many classes as there are digits
    assert main(["eval", str(whole), *data, "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == net.accuracy(x, t)
    np.save(tmp_path / "images.npy", x.reshape(20, 20, 16))
    assert main(["predict", str(whole), str(tmp_path / "images.npy"), "--format", "jsonl"]) == 0
    told = [json.loads(line)["label"] for line in capsys.readouterr().out.splitlines()]
    assert told == net.predict(x).argmax(axis=1).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_an_epoch_of_the_convolutional_network_gets_98_of_100_digits_right(seed: int, capsys: Text) -> None:
    train("--net", "convnet", "--epochs", "1", "--seed", str(seed), "--quiet", "--format", "jsonl")
    assert json.loads(capsys.readouterr().out)["test_accuracy"] >= 0.98


@pytest.mark.parametrize(
    ("options", "rate"),
    [([], 0.003), (["--optimizer", "adam"], 0.003), (["--optimizer", "sgd"], 0.1), (["--learning-rate", "0.5"], 0.5)],
)
def test_the_rate_of_a_network_is_for_its_own_optimizer(
    options: list[str], rate: float, few: str, tmp_path: Path
) -> None:
    saved = tmp_path / "net"
    train("--data-dir", few, "--net", "convnet", "--epochs", "1", "--save", str(saved), *options)
    assert json.loads(load(saved).metadata["chainrule train"])["learning_rate"] == rate


def test_the_options_make_the_layers(few: str, tmp_path: Path) -> None:
    saved = tmp_path / "net"
    train("--data-dir", few, "--batch-size", "20", "--epochs", "1", "--save", str(saved), *NETS[0])
    net = load(saved)
    assert [type(layer).__name__ for layer in net.layers.values()] == [
        "Rescaling",
        *["Affine", "BatchNormalization", "Relu", "Dropout"] * 2,
        "Affine",
    ]
    assert [net.params[name].shape for name in ("W1", "W2", "W3")] == [(320, 9), (9, 7), (7, 5)]
    assert net.layers["Dropout1"].dropout_ratio == 0.3


def test_a_file_of_the_first_network_says_nothing_of_the_others(kept: str, digits: str) -> None:
    """So it has the bytes it had before there were others, and those files go on."""
    settings = json.loads(load(kept).metadata["chainrule train"])
    assert settings.keys().isdisjoint({"net", "dropout", "batch_norm", "label_smoothing"})
    train("--data-dir", digits, "--resume", kept, "--epochs", "2", "--net", "two-layer")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--hidden", "10,5"], "--hidden 10,5: two-layer has one hidden layer, so it takes one number"),
        (["--net", "deep", "--hidden", "10,5"], "several: --net mlp"),
        (["--dropout", "0.5"], "--dropout goes with --net mlp or deep; two-layer has no such layer"),
        (["--net", "convnet", "--dropout", "0.5"], "--dropout goes with --net mlp or deep"),
        (["--net", "deep", "--batch-norm"], "--batch-norm goes with --net mlp; deep has no such layer"),
    ],
)
def test_what_a_network_has_not_is_told(arguments: list[str], message: str, few: str, capsys: Text) -> None:
    assert message in failure(["--data-dir", few, *arguments], capsys)


@pytest.mark.parametrize("value", ["", "0", "5,", "5,0", "5;4", "1.5", "five"])
def test_sizes_are_whole_numbers(value: str, capsys: Text) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "--net", "mlp", f"--hidden={value}"])
    assert caught.value.code == 2
    assert "argument --hidden: " in capsys.readouterr().err


def test_a_run_cannot_go_on_with_another_network(few: str, tmp_path: Path, capsys: Text) -> None:
    saved = str(tmp_path / "net")
    train("--data-dir", few, "--batch-size", "20", "--epochs", "1", "--save", saved, *NETS[0])
    capsys.readouterr()
    again = ["--data-dir", few, "--resume", saved, "--epochs", "2"]
    assert "the run was made with --net mlp, not convnet" in failure([*again, "--net", "convnet"], capsys)
    assert "the run was made with --hidden 9,7, not 9" in failure([*again, "--hidden", "9"], capsys)
    train(*again, "--hidden", "9,7", "--batch-norm")


def test_images_too_small_for_the_windows_are_told(tmp_path: Path, capsys: Text) -> None:
    images, labels = np.ones((4, 4, 3), np.uint8), np.array([0, 1, 2, 1], np.uint8)
    folder = write(tmp_path, train=(images, labels), test=(images, labels))
    assert "window" in failure(["--data-dir", folder, "--net", "convnet", "--batch-size", "2"], capsys)


def test_as_many_classes_as_the_largest_label_asks_for(tmp_path: Path, capsys: Text) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (52, 4, 4), np.uint8), np.arange(52, dtype=np.uint8) % 26
    folder, saved = write(tmp_path, train=(images, labels), test=(images, labels)), tmp_path / "net"
    train("--data-dir", folder, "--batch-size", "5", "--epochs", "1", "--save", str(saved))
    assert load(saved).params["W2"].shape == (50, 26)
    assert main(["check", "--data-dir", folder, "--quiet"]) == 0


# --- what does not go together, told before the training starts ---


@pytest.fixture
def kept(digits: str, tmp_path: Path, capsys: Text) -> str:
    train("--data-dir", digits, "--epochs", "1", "--hidden", "5", "--save", str(tmp_path / "kept"))
    capsys.readouterr()
    return str(tmp_path / "kept")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hidden", "6"], "the run was made with --hidden 5, not 6"),
        (["--batch-size", "50"], "the run was made with --batch-size 100, not 50"),
        (["--learning-rate", "0.2"], "the run was made with --learning-rate 0.1, not 0.2"),
        (["--optimizer", "adam"], "the run was made with --optimizer sgd, not adam"),
        (["--dtype", "float64"], "the run was made with --dtype float32, not float64"),
        (["--validation", "0.1"], "the run was made without --validation"),
        (["--seed", "1"], "the run was made with --seed 0, not 1"),
    ],
)
def test_a_run_cannot_go_on_as_another(options: list[str], message: str, kept: str, digits: str, capsys: Text) -> None:
    before = Path(kept).read_bytes()
    assert message in failure(["--data-dir", digits, "--resume", kept, "--epochs", "2", *options], capsys)
    assert Path(kept).read_bytes() == before


def test_the_options_of_the_run_may_be_given_again(kept: str, digits: str) -> None:
    train("--data-dir", digits, "--resume", kept, "--epochs", "2", "--hidden", "5", "--learning-rate", "0.1")


def test_a_run_goes_on_only_with_its_own_images(kept: str, digits: str, tmp_path: Path, capsys: Text) -> None:
    (x, t), test = load_mnist(normalize=False, flatten=False, data_dir=digits)
    x[0, 0, 0, 0] ^= 1
    other = write(tmp_path, train=(x[:, 0], t), test=(test[0][:, 0], test[1]))
    assert "made with other training data" in failure(["--data-dir", other, "--resume", kept], capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--patience", "3"], "--patience goes with --validation"),
        (["--checkpoint-every", "2"], "--checkpoint-every goes with --save or --resume"),
        (["--save", "{}/none/net"], "{}/none/net: No such file or directory"),
        (["--save", "{}"], "{}: Is a directory"),
        (["--resume", "{}/none"], "{}/none: No such file or directory"),
    ],
)
def test_what_cannot_be_is_told_in_one_sentence_before_the_training(
    arguments: list[str], message: str, tmp_path: Path, capsys: Text, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise AssertionError("training has begun")

    monkeypatch.setattr("chainrule.cli.train.fit", fit)
    folder = str(tmp_path)
    assert message.format(folder) in failure([argument.format(folder) for argument in arguments], capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", ["0", "1", "1.5", "-0.1", "nan", "x"])
def test_s3_a_share_is_between_0_and_1(value: str, capsys: Text) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", f"--validation={value}"])
    assert caught.value.code == 2
    assert "argument --validation: " in capsys.readouterr().err


def test_a_file_that_fit_wrote_is_refused_with_a_way_on(digits: str, tmp_path: Path, capsys: Text) -> None:
    (x, t), _ = load_mnist(data_dir=digits)
    fit(TwoLayerNet(784, 5, 10, seed=0), x, t, seed=0, checkpoint=tmp_path / "run")
    message = failure(["--data-dir", digits, "--resume", str(tmp_path / "run")], capsys)
    assert "not written by chainrule train" in message


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"optimizer": []}'])
def test_f6_settings_that_cannot_be_read_are_told(text: str, kept: str, digits: str, capsys: Text) -> None:
    net = load(kept)
    net.metadata["chainrule train"] = text
    net.save(kept)
    assert "settings of the run in it cannot be read" in failure(["--data-dir", digits, "--resume", kept], capsys)


@pytest.mark.parametrize(("name", "value"), [("hidden", -1), ("batch_size", "x"), ("epochs", 1.5), ("optimizer", "")])
def test_f6_settings_that_make_no_sense_are_refused(
    name: str, value: Any, kept: str, digits: str, capsys: Text
) -> None:
    net = load(kept)
    net.metadata["chainrule train"] = json.dumps(json.loads(net.metadata["chainrule train"]) | {name: value})
    net.save(kept)
    failure(["--data-dir", digits, "--resume", kept], capsys)


# --- early stopping, quiet, rows ---


def test_early_stopping_keeps_the_best_network(digits: str, tmp_path: Path, capsys: Text) -> None:
    saved = tmp_path / "net"
    options = ["--validation", "0.2", "--patience", "3", "--learning-rate", "1.0", "--format", "jsonl"]
    train("--data-dir", digits, "--epochs", "500", "--save", str(saved), *options)
    *epochs, result = map(json.loads, capsys.readouterr().out.splitlines())
    losses = [row["validation_loss"] for row in epochs]
    best = int(np.argmin(losses))
    assert len(epochs) == best + 1 + 3 < 500
    assert result["best_epoch"] == best + 1
    assert {k: v for k, v in result.items() if "accuracy" in k or "loss" in k} == {
        k: v for k, v in epochs[best].items() if ("accuracy" in k or "loss" in k) and k != "loss"
    }
    _, (x, t) = load_mnist(normalize=False, data_dir=digits)
    assert load(saved).accuracy(x, t) == epochs[best]["test_accuracy"]


def test_early_stopping_says_which_epoch_it_kept_and_fits_80_columns(digits: str, capsys: Text) -> None:
    train("--data-dir", digits, "--epochs", "500", "--validation", "0.2", "--patience", "2", "--learning-rate", "1.0")
    *epochs, _, which, last = capsys.readouterr().out.splitlines()
    number = r"[01]\.\d{4}"
    pattern = rf"epoch +\d+ step +\d+ loss \d\.\d{{4}}  train {number}  validation {number}  test {number}"
    assert all(re.fullmatch(pattern, row) for row in epochs)
    assert re.fullmatch(rf"the network is that of epoch {len(epochs) - 2} of {len(epochs)}, .+", which)
    assert re.fullmatch(rf"train accuracy {number}  validation accuracy {number}  test accuracy {number}", last)
    assert max(map(len, [*epochs, which, last])) <= 79


def test_quiet_prints_only_the_result(digits: str, capsys: Text) -> None:
    train("--data-dir", digits, "--epochs", "2")
    loud = rows(capsys.readouterr().out)
    train("--data-dir", digits, "--epochs", "2", "--quiet")
    out, err = capsys.readouterr()
    assert rows(out) == loud[-1:]
    assert len(out.splitlines()) == 2
    assert err == ""
    train("--data-dir", digits, "--epochs", "2", "--quiet", "--format", "jsonl")
    assert json.loads(capsys.readouterr().out)["event"] == "result"


def test_a_json_row_holds_the_losses_of_the_sets_too(digits: str, capsys: Text) -> None:
    train("--data-dir", digits, "--epochs", "1", "--validation", "0.1", "--format", "jsonl")
    row, _ = map(json.loads, capsys.readouterr().out.splitlines())
    measures = {f"{part}_{what}" for part in ("train", "validation", "test") for what in ("loss", "accuracy")}
    assert row.keys() == {"schema", "event", "epoch", "step", "loss"} | measures


@pytest.mark.parametrize("name", ["momentum", "nesterov", "adagrad", "rmsprop", "adam"])
def test_every_optimizer_learns_with_its_own_rate(name: str, digits: str, capsys: Text) -> None:
    train("--data-dir", digits, "--epochs", "60", "--optimizer", name, "--format", "jsonl", "--quiet")
    assert json.loads(capsys.readouterr().out)["train_accuracy"] > 0.8


# --- the report ---


def test_the_report_is_a_page_about_this_run(digits: str, tmp_path: Path, capsys: Text) -> None:
    page = tmp_path / "run.html"
    train("--data-dir", digits, "--epochs", "3", "--hidden", "7", "--report", str(page))
    accuracy = re.findall(r"test accuracy (0\.\d{4})", capsys.readouterr().out)[-1]
    text = page.read_text(encoding="utf-8")
    assert text.lower().startswith("<!doctype html>")
    assert accuracy in text
    assert "gradients agree" in text
    assert re.search(r"hidden</th>\s*<td[^>]*>7</td>", text)
    assert re.search(r"learning_rate</th>\s*<td[^>]*>0.1</td>", text)  # which nobody gave: it is the optimizer's


def test_the_report_of_a_deep_network_is_checked_along_directions(
    few: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[str] = []

    def check(*arguments: Any, mode: str) -> Any:
        modes.append(mode)
        return check_gradients(*arguments, mode=mode)  # type: ignore[arg-type]

    monkeypatch.setattr("chainrule.cli.train.check_gradients", check)
    page = tmp_path / "run.html"
    train("--data-dir", few, "--net", "deep", "--batch-size", "20", "--epochs", "2", "--report", str(page))
    assert modes == ["directions"]  # entry by entry it takes minutes
    assert re.search(r"net</th>\s*<td[^>]*>deep</td>", page.read_text(encoding="utf-8"))


def test_the_report_needs_no_square_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 3, 5), np.uint8), rng.integers(10, size=20).astype(np.uint8)
    folder = write(tmp_path, train=(images, labels), test=(images, labels))
    train("--data-dir", folder, "--batch-size", "5", "--epochs", "2", "--report", str(tmp_path / "run.html"))
    assert (tmp_path / "run.html").stat().st_size > 1000


def test_a_report_that_cannot_be_drawn_is_told_before_the_training(digits: str, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None; from chainrule import cli;"
        "sys.exit(cli.main(['train', '--data-dir', sys.argv[1], '--report', sys.argv[2]]))"
    )
    command = [sys.executable, "-c", code, digits, str(tmp_path / "run.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"chainrule: error: .+'chainrule\[plot\]'\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_report_and_save_are_two_files(digits: str, tmp_path: Path, capsys: Text) -> None:
    both = str(tmp_path / "run")
    assert "both name" in failure(["--data-dir", digits, "--save", both, "--report", both], capsys)


def test_a_report_that_cannot_be_written_is_told_before_the_training(tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "none" / "run.html"
    assert failure(["--report", str(path)], capsys) == f"{path}: No such file or directory"
