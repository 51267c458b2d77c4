"""``chainrule predict`` of photographs and scans: at least nine of ten are read rightly, and doubts are told.

The ten digits are the first of each class that the network reads rightly as they are. docs/command-line.md
has the rates of more digits, and of photographs of other kinds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chainrule import load, load_mnist
from chainrule.cli import main
from photographs import ASKED, cut_off, dark_rules, pencil, plain, transparent_corners, two_digits

Text = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Train the small network with filters of ``--recipe 98``, in some seconds."""
    path = str(tmp_path_factory.mktemp("models") / "digits.safetensors")
    assert main(["train", "--recipe", "98", "--quiet", "--save", path]) == 0
    return path


@pytest.fixture(scope="module")
def digits(model: str) -> list[Any]:
    """Give ten images, of 0 to 9."""
    _, (x, t) = load_mnist(normalize=False)
    right = load(model).predict(x[:200]).argmax(axis=1) == t[:200]
    return [x[np.flatnonzero(right & (t[:200] == label))[0]] for label in range(10)]


def saved(picture: Image.Image, path: Path) -> str:
    """Save as PNG, or what PNG has not, or is too large for it, as JPEG."""
    path = path.with_suffix(".jpg" if picture.mode == "CMYK" or picture.width > 2000 else ".png")
    picture.save(path, compress_level=1)
    return str(path)


def told(arguments: list[str], capsys: Text) -> list[dict[str, Any]]:
    assert main(["predict", *arguments, "--format", "jsonl"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("kind", list(ASKED))
def test_nine_of_ten_photographs_are_read_rightly(
    kind: str, model: str, digits: list[Any], tmp_path: Path, capsys: Text
) -> None:
    seed = list(ASKED).index(kind)
    files = [
        saved(ASKED[kind](x, np.random.default_rng([seed, label])), tmp_path / str(label))
        for label, x in enumerate(digits)
    ]
    found = [event["label"] for event in told([model, *files], capsys)]
    assert sum(label == i for i, label in enumerate(found)) >= 9, found


@pytest.mark.parametrize(
    ("take", "doubt"),
    [
        (cut_off, "the digit reaches the edge of the picture"),
        (dark_rules, "lines were taken off the paper"),
        (transparent_corners, "part of the sheet is transparent"),
        (two_digits, "more than one shape is drawn"),
    ],
)
def test_a_doubtful_picture_is_told_to_be_so(
    take: Any, doubt: str, model: str, digits: list[Any], tmp_path: Path, capsys: Text
) -> None:
    for label in (2, 3, 8):
        file = saved(take(digits[label], np.random.default_rng(label)), tmp_path / "digit")
        (event,) = told([model, file], capsys)
        assert any(reason.startswith(doubt) for reason in event["doubts"]), event


@pytest.mark.parametrize("take", [plain, pencil, ASKED["hard shadow, 60 %"]])
def test_what_is_plain_to_see_is_not_doubtful(
    take: Any, model: str, digits: list[Any], tmp_path: Path, capsys: Text
) -> None:
    files = [saved(take(x, np.random.default_rng(label)), tmp_path / str(label)) for label, x in enumerate(digits[:4])]
    doubts = [doubt for event in told([model, *files], capsys) for doubt in event["doubts"]]
    assert [doubt for doubt in doubts if not doubt.startswith("the network is not sure")] == []


def test_little_contrast_is_doubtful(model: str, digits: list[Any], tmp_path: Path, capsys: Text) -> None:
    page = Image.new("L", (200, 200), 200)
    page.paste(170, (95, 40, 105, 160))  # 15 % darker
    (event,) = told([model, saved(page, tmp_path / "one")], capsys)
    assert "little contrast: the ink takes 15% of the paper's light" in event["doubts"]


def test_a_network_that_is_not_sure_is_a_doubt(tmp_path: Path, capsys: Text) -> None:
    from chainrule import TwoLayerNet

    net = TwoLayerNet(784, 3, 10, weight_init_std=0, seed=0)  # every class has a tenth
    net.save(tmp_path / "even.safetensors")
    page = Image.new("L", (200, 200), 255)
    page.paste(0, (95, 40, 105, 160))
    (event,) = told([str(tmp_path / "even.safetensors"), saved(page, tmp_path / "one")], capsys)
    assert event["doubts"] == ["the network is not sure: 0.1000"]


def test_the_text_says_it_on_stderr_in_one_line(model: str, digits: list[Any], tmp_path: Path, capsys: Text) -> None:
    good = saved(plain(digits[3], np.random.default_rng(0)), tmp_path / "good")
    doubtful = saved(dark_rules(digits[3], np.random.default_rng(0)), tmp_path / "lined")
    assert main(["predict", model, good, doubtful]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[:2] for line in out.splitlines()] == [[good, "3"], [doubtful, "3"]]
    (line,) = (line for line in err.splitlines() if f": {good}: " not in line)  # of which it may not be sure
    assert line.startswith(f"chainrule: doubtful: {doubtful}: lines were taken off the paper")


def test_images_in_arrays_are_taken_as_they_are_without_doubts(
    model: str, digits: list[Any], tmp_path: Path, capsys: Text
) -> None:
    np.save(tmp_path / "x.npy", np.array(digits))
    events = told([model, str(tmp_path / "x.npy")], capsys)
    assert [event["label"] for event in events] == list(range(10))
    assert all("doubts" not in event for event in events)
