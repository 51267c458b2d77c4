"""``chainrule eval`` and ``chainrule predict``: what they say of trained networks, and of files that cannot be read."""

from __future__ import annotations

import gzip
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chainrule import Network, Relu, Rescaling, TwoLayerNet, fit, load_mnist, softmax
from chainrule.cli import main
from idx_files import idx, write

Text = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def test_set() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    _, (x, t) = load_mnist(normalize=False)
    return x, t


@pytest.fixture(scope="module")
def on_bytes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Train a network that reads bytes, as the command line does."""
    (x, t), _ = load_mnist(normalize=False)
    net = Network({"Rescaling1": Rescaling(), **TwoLayerNet(784, 50, 10, dtype=np.float32, seed=0).layers})
    fit(net, x, t, epochs=8, seed=0)
    path = tmp_path_factory.mktemp("models") / "bytes.safetensors"
    net.save(path)
    return str(path)


@pytest.fixture(scope="module")
def on_fractions(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Train a network on pixels in 0-1, as the tutorial does."""
    (x, t), _ = load_mnist()
    net = TwoLayerNet(784, 20, 10, dtype=np.float64, seed=0)
    fit(net, x, t, epochs=1, seed=0)
    path = tmp_path_factory.mktemp("models") / "fractions.safetensors"
    net.save(path)
    return str(path)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    """Keep a network of 4 pixels and 3 classes that tells which of the first three pixels is the brightest."""
    net = TwoLayerNet(4, 3, 3)
    net.params.update(W1=np.eye(4, 3) * 10, b1=np.zeros(3), W2=np.eye(3), b2=np.zeros(3))
    net.save(tmp_path / "tiny.safetensors")
    return str(tmp_path / "tiny.safetensors")


def failure(arguments: list[str], capsys: Text) -> str:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("chainrule: error: ")
    return line


# --- eval ---


def expected(model: str, x: NDArray[Any], t: NDArray[Any]) -> tuple[float, float, NDArray[np.int64]]:
    """Give loss, accuracy and confusion by NumPy, from the parameters alone."""
    from chainrule import load

    p = load(model).params
    scores = np.maximum(x.astype(np.float64) / 255 @ p["W1"] + p["b1"], 0) @ p["W2"] + p["b2"]
    scores -= scores.max(axis=1, keepdims=True)
    loss = float((np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(t)), t]).mean())
    said = scores.argmax(axis=1)
    table = np.array([[((t == i) & (said == j)).sum() for j in range(10)] for i in range(10)])
    return loss, float((said == t).mean()), table


@pytest.mark.parametrize("kind", ["on_bytes", "on_fractions"])
def test_eval_tells_what_numpy_computes(
    kind: str, test_set: tuple[Any, Any], capsys: Text, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    loss, accuracy, table = expected(model, *test_set)
    assert main(["eval", model, "--confusion", "--format", "jsonl"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["schema"], found["event"], found["model"], found["images"]) == (2, "evaluation", model, 10_000)
    assert found["loss"] == pytest.approx(loss, rel=1e-5)
    assert found["accuracy"] == pytest.approx(accuracy, abs=3e-4)  # a tie of float32 may fall to either side
    assert np.abs(np.array(found["confusion"]) - table).sum() <= 6


def test_eval_says_the_same_in_text(on_bytes: str, capsys: Text) -> None:
    main(["eval", on_bytes, "--confusion", "--format", "jsonl"])
    found = json.loads(capsys.readouterr().out)
    assert main(["eval", on_bytes, "--confusion"]) == 0
    first, empty, *table = capsys.readouterr().out.splitlines()
    right = round(found["accuracy"] * 10_000)
    assert first == f"accuracy {found['accuracy']:.4f}  loss {found['loss']:.4f}  {right} of 10000 images right"
    assert empty == ""
    assert len(table) == 12
    for i, line in enumerate(table[2:]):
        digit, *counts, share = line.replace("·", "0").split()
        assert (int(digit), list(map(int, counts))) == (i, found["confusion"][i])
        assert float(share) == pytest.approx(found["confusion"][i][i] / sum(found["confusion"][i]), abs=5e-5)
    assert max(map(len, table)) <= 79


def test_eval_without_confusion_is_one_line(on_bytes: str, capsys: Text) -> None:
    assert main(["eval", on_bytes]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_eval_reads_a_folder_that_has_only_a_test_set(tiny: str, tmp_path: Path, capsys: Text) -> None:
    images = np.array([[[9, 0], [0, 0]], [[0, 9], [0, 0]], [[0, 0], [9, 0]], [[0, 9], [0, 0]]], np.uint8)
    folder = write(tmp_path, test=(images, np.array([0, 1, 2, 2], np.uint8)))
    assert main(["eval", tiny, "--data-dir", folder, "--confusion"]) == 0
    out = capsys.readouterr().out
    assert "accuracy 0.7500" in out
    assert "3 of 4 images right" in out
    assert [line.split()[1:] for line in out.splitlines()[4:]] == [
        ["1", "·", "·", "1.0000"],
        ["·", "1", "·", "1.0000"],
        ["·", "1", "1", "0.5000"],
    ]


def test_l1_eval_names_a_label_the_network_does_not_know(tiny: str, tmp_path: Path, capsys: Text) -> None:
    folder = write(tmp_path, test=(np.ones((2, 2, 2), np.uint8), np.array([0, 3], np.uint8)))
    assert "labels must lie in 0..2; got 3 at row 1" in failure(["eval", tiny, "--data-dir", folder], capsys)


def test_a1_eval_names_images_of_another_size(tiny: str, capsys: Text) -> None:
    message = failure(["eval", tiny], capsys)
    assert f"test images: shape (10000, 784) holds no images of the 4 pixels {tiny} reads" in message


@pytest.mark.parametrize("command", [["eval"], ["predict"]])
def test_a_model_that_is_not_there_is_named(command: list[str], tmp_path: Path, capsys: Text) -> None:
    path = str(tmp_path / "none.safetensors")
    arguments = [*command, path, *(["x.png"] if command == ["predict"] else [])]
    assert failure(arguments, capsys) == f"chainrule: error: {path}: No such file or directory"


@pytest.mark.fault("F6")
@pytest.mark.parametrize("content", [b"", b"junk" * 10, pickle.dumps({"W1": 1})])
def test_f6_f8_a_model_that_is_none_is_named(content: bytes, tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    assert str(path) in failure(["eval", str(path)], capsys)


def test_a_model_with_damaged_numbers_is_named(tmp_path: Path, capsys: Text) -> None:
    net = TwoLayerNet(4, 3, 3, seed=0)
    net.params["b2"] = [np.nan, 0, 0]
    net.save(tmp_path / "model")
    np.save(tmp_path / "x.npy", np.zeros((1, 4)))
    message = failure(["predict", str(tmp_path / "model"), str(tmp_path / "x.npy")], capsys)
    assert "scores that are not finite" in message


def test_a_model_without_an_affine_layer_is_named(tmp_path: Path, capsys: Text) -> None:
    Network({"Relu1": Relu()}).save(tmp_path / "model")
    assert "no Affine or Reshape layer" in failure(["eval", str(tmp_path / "model")], capsys)


# --- predict ---


def predictions(arguments: list[str], capsys: Text) -> list[dict[str, Any]]:
    assert main(["predict", *arguments, "--format", "jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("kind", ["on_bytes", "on_fractions"])
def test_predict_is_as_right_on_photographs_as_on_mnist(
    kind: str, test_set: tuple[Any, Any], tmp_path: Path, capsys: Text, request: pytest.FixtureRequest
) -> None:
    """Dark on light, at other sizes, as PNG and JPEG: 100 test images, and nearly the accuracy on themselves."""
    model = request.getfixturevalue(kind)
    x, t = test_set
    files = []
    for i in range(100):
        picture = ImageOps.invert(Image.fromarray(x[i].reshape(28, 28)))
        picture = picture.resize((28 * (1 + i % 7),) * 2, Image.Resampling.BICUBIC)
        picture = ImageOps.expand(picture, i % 5 * 10, 255)
        files.append(str(tmp_path / f"{i}.{'jpg' if i % 2 else 'png'}"))
        picture.save(files[-1])
    found = predictions([model, *files], capsys)
    assert [event["file"] for event in found] == files
    right = [event["label"] == t[i] for i, event in enumerate(found)]
    np.save(tmp_path / "same.npy", x[:100])
    themselves = [e["label"] == t[i] for i, e in enumerate(predictions([model, str(tmp_path / "same.npy")], capsys))]
    assert sum(right) >= sum(themselves) - 3
    assert sum(right) >= 88


FORMS = ["idx", "idx.gz", "bytes.npy", "fractions.npy", "int64.npy", "square.npy", "channel.npy"]


@pytest.mark.parametrize("form", FORMS)
def test_predict_reads_arrays_of_images_in_every_form(
    form: str, on_bytes: str, test_set: tuple[Any, Any], tmp_path: Path, capsys: Text
) -> None:
    from chainrule import load

    x = test_set[0][:5]
    path = tmp_path / form
    if form.startswith("idx"):
        content = idx(x.reshape(5, 28, 28))
        path.write_bytes(gzip.compress(content) if form == "idx.gz" else content)
    else:
        array = {
            "bytes.npy": x,
            "fractions.npy": x / 255,
            "int64.npy": x.astype(np.int64),
            "square.npy": x.reshape(5, 28, 28),
            "channel.npy": x.reshape(5, 1, 28, 28),
        }[form]
        np.save(path, array)
    probabilities = softmax(load(on_bytes).predict(x))
    found = predictions([on_bytes, str(path)], capsys)
    assert [(e["file"], e["index"], e["label"]) for e in found] == [
        (str(path), i, int(row.argmax())) for i, row in enumerate(probabilities)
    ]
    np.testing.assert_allclose([e["probability"] for e in found], probabilities.max(axis=1), rtol=1e-4)


@pytest.mark.parametrize("shape", [(784,), (28, 28), (1, 28, 28)])
def test_predict_reads_one_image_in_an_array(
    shape: tuple[int, ...], on_bytes: str, test_set: tuple[Any, Any], tmp_path: Path, capsys: Text
) -> None:
    np.save(tmp_path / "one.npy", test_set[0][0].reshape(shape))
    assert [e["label"] for e in predictions([on_bytes, str(tmp_path / "one.npy")], capsys)] == [7]


def test_predict_of_no_images_prints_nothing(tiny: str, tmp_path: Path, capsys: Text) -> None:
    np.save(tmp_path / "none.npy", np.zeros((0, 2, 2), np.uint8))
    assert predictions([tiny, str(tmp_path / "none.npy")], capsys) == []


def test_eval_of_a_tutorials_network_is_its_own_accuracy(on_fractions: str, capsys: Text) -> None:
    from chainrule import load

    _, (x, t) = load_mnist()
    assert main(["eval", on_fractions, "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == load(on_fractions).accuracy(x, t)


def test_predict_prints_a_line_an_image_in_columns(tiny: str, tmp_path: Path, capsys: Text) -> None:
    np.save(tmp_path / "a.npy", np.array([[1, 0, 0, 0], [0, 0, 1, 0]], np.uint8) * 255)
    np.save(tmp_path / "long-name.npy", np.array([0, 1.0, 0, 0]))
    files = [str(tmp_path / "a.npy"), str(tmp_path / "long-name.npy")]
    assert main(["predict", tiny, *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [
        [f"{files[0]}[0]", "0", "0.9999"],  # e¹⁰ / (e¹⁰ + 2)
        [f"{files[0]}[1]", "2", "0.9999"],
        [f"{files[1]}[0]", "1", "0.9999"],
    ]
    assert len({line.index("  0.9999") for line in lines[:2]}) == 1


def test_predict_tells_the_others_when_a_file_cannot_be_read(tiny: str, tmp_path: Path, capsys: Text) -> None:
    np.save(tmp_path / "good.npy", np.zeros(4, np.uint8))
    files = [str(tmp_path / name) for name in ("none.npy", "good.npy", "none.png")]
    assert main(["predict", tiny, *files]) == 2
    out, err = capsys.readouterr()
    assert out.split()[0] == f"{files[1]}[0]"
    assert err.splitlines() == [f"chainrule: error: {files[i]}: No such file or directory" for i in (0, 2)]


def array_file(folder: Path, array: Any, **options: Any) -> str:
    np.save(folder / "x.npy", array, **options)
    return str(folder / "x.npy")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 5)), "shape (2, 5) holds no images of the 4 pixels"),
        (np.float64(3), "shape () holds no images"),
        (np.array([0, 0, 256, 0]), "whole numbers lie in 0-255, got 256"),
        (np.array([0, -1, 0, 0], np.int8), "got -1"),
        (np.array([0, 0, 1.5, 0]), "fractions lie in 0-1, got 1.5"),
        (np.array([0, 0, np.nan, 0]), "got nan"),
        (np.zeros(4, complex), "complex128"),
        (np.array(["a"] * 4), "dtype"),
    ],
)
def test_predict_names_an_array_that_holds_no_images(
    array: Any, message: str, tiny: str, tmp_path: Path, capsys: Text
) -> None:
    file = array_file(tmp_path, array)
    line = failure(["predict", tiny, file], capsys)
    assert file in line
    assert message in line


class Hostile:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('this code was run')",)


@pytest.mark.fault("F8")
def test_f8_predict_runs_nothing_that_is_in_an_array_file(tiny: str, tmp_path: Path, capsys: Text) -> None:
    file = array_file(tmp_path, np.array([Hostile()]), allow_pickle=True)
    assert file in failure(["predict", tiny, file], capsys)


@pytest.mark.parametrize("form", ["idx", "npy"])
def test_f6_f9_predict_names_a_damaged_file(form: str, tiny: str, tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "x"
    whole = idx(np.zeros((3, 2, 2), np.uint8)) if form == "idx" else None
    if whole is None:
        np.save(tmp_path / "x.npy", np.zeros((3, 4)))
        whole = (tmp_path / "x.npy").read_bytes()
    for length in range(9, len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in failure(["predict", tiny, str(path)], capsys)


@pytest.mark.fault("F6")
def test_f6_predict_allocates_no_more_than_an_array_file_holds(tiny: str, tmp_path: Path, capsys: Text) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.zeros((1, 4)))
    content = file.read_bytes()
    file.write_bytes(content.replace(b"(1, 4), }     ", b"(9999999999,4)}"[:14].ljust(14)))
    assert file.read_bytes() != content
    assert str(file) in failure(["predict", tiny, str(file)], capsys)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"plain text", b"GIF89a"])
def test_predict_names_a_file_of_another_kind(content: bytes, tiny: str, tmp_path: Path, capsys: Text) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    reason = "neither IDX, .npy, PNG nor JPEG" if content else "empty"
    assert failure(["predict", tiny, str(path)], capsys) == f"chainrule: error: {path}: {reason}"


def test_predict_without_pillow_names_the_extra_and_tells_the_others(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"\x89PNG")
    np.save(tmp_path / "y.npy", np.zeros((1, 4)))
    code = "import sys; sys.modules['PIL'] = None; from chainrule.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "predict", tiny, str(tmp_path / "x.png"), str(tmp_path / "y.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout.startswith(f"{tmp_path / 'y.npy'}[0]  ")
    assert re.fullmatch(r"chainrule: error: .+'chainrule\[image\]'\n", done.stderr)
