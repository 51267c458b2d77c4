"""Folders of pictures of one's own: sizes, modes, what is no picture, and the network's file.

Pictures are drawn with Pillow, and what should be read of them is worked out by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import DataError, Network, Pictures, SimpleConvNet, TwoLayerNet, fit, load, load_folder
from chainrule.cli import main

Image = pytest.importorskip("PIL.Image")
Text = pytest.CaptureFixture[str]
RED, GREEN = (255, 0, 0), (0, 128, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with 8 dark and 8 light pictures of 8 × 6, in greys."""
    root = tmp_path / "pictures"
    for name, grey in (("dark", 20), ("light", 220)):
        (root / name).mkdir(parents=True)
        for n in range(8):
            Image.new("L", (6, 8), grey + n).save(root / name / f"{n}.png")
    return root


def refusal(read: Callable[[], Any], error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        read()
    return str(caught.value)


def test_pictures_of_one_small_size_are_read_as_they_are(folder: Path) -> None:
    pictures = load_folder(folder)
    assert pictures.x.shape == (16, 1, 8, 6)
    assert pictures.x.dtype == np.uint8
    assert pictures.classes == ("dark", "light")
    assert pictures.t.tolist() == [0] * 8 + [1] * 8
    assert pictures.x[:, 0, 0, 0].tolist() == [*range(20, 28), *range(220, 228)]
    assert pictures.places[:2] == ("dark/0.png", "dark/1.png")
    assert pictures.shape == (1, 8, 6)


def test_every_pixel_is_in_its_place(tmp_path: Path) -> None:
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for name in "ab":
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "1.png")
    assert (load_folder(tmp_path).x[0] == pixels.transpose(2, 0, 1)).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_white_is_white_in_every_mode(folder: Path, mode: str) -> None:
    white = np.full((8, 6), 65535, np.uint16) if mode == "I;16" else None
    picture = Image.new("L", (6, 8), 255).convert(mode) if white is None else Image.fromarray(white)
    path = folder / "light" / ("0.jpg" if mode == "CMYK" else "0.png")
    (folder / "light" / "0.png").unlink()
    picture.save(path)
    found = load_folder(folder)
    assert found.shape[0] == 1
    assert (found.x[8] >= 254).all()  # JPEG rounds


def test_what_is_transparent_is_white_and_one_colour_gives_all_three_channels(folder: Path) -> None:
    Image.new("RGBA", (6, 8), (*RED, 255)).save(folder / "dark" / "0.png")
    Image.new("RGBA", (6, 8), (*GREEN, 0)).save(folder / "dark" / "1.png")
    found = load_folder(folder)
    assert found.x[0, :, 3, 3].tolist() == list(RED)
    assert found.x[1, :, 3, 3].tolist() == [255] * 3
    assert found.x[2, :, 3, 3].tolist() == [22] * 3


def test_colours_that_are_greys_are_grey(folder: Path) -> None:
    Image.new("RGB", (6, 8), (7, 7, 7)).save(folder / "dark" / "0.png")
    assert load_folder(folder).x[0, 0, 0, 0] == 7


def test_pictures_of_several_sizes_are_scaled_as_a_whole(folder: Path) -> None:
    half = np.zeros((40, 100), np.uint8)
    half[:, 50:] = 255
    Image.fromarray(half).save(folder / "dark" / "wide.png")
    found = load_folder(folder)
    assert found.shape == (1, 32, 32)
    wide = found.x[found.places.index("dark/wide.png"), 0]
    assert (wide[:, :15] == 0).all()
    assert (wide[:, 17:] == 255).all()
    assert load_folder(folder, size=(10, 20)).shape == (1, 10, 20)


def test_large_pictures_of_one_size_are_made_small(tmp_path: Path) -> None:
    for name, side in (("a", 64), ("b", 64)):
        (tmp_path / name).mkdir()
        Image.new("L", (side, side)).save(tmp_path / name / "1.png")
    assert load_folder(tmp_path).shape == (1, 64, 64)
    for name in "ab":
        Image.new("L", (65, 65)).save(tmp_path / name / "1.png")
    assert load_folder(tmp_path).shape == (1, 32, 32)


def test_a_photograph_is_turned_as_its_exif_data_say(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    picture = Image.fromarray(np.repeat(np.repeat([[0], [255]], 4, axis=0), 8, axis=1).astype(np.uint8))
    (folder / "dark" / "0.png").unlink()
    picture.save(folder / "dark" / "0.jpg", exif=exif, quality=100)
    found = load_folder(folder, size=(8, 8)).x[0, 0]
    assert (found[:, :3] > 250).all()
    assert (found[:, 5:] < 5).all()


def test_what_is_no_picture_is_not_looked_at(folder: Path) -> None:
    before = load_folder(folder)
    (folder / "readme.txt").write_text("x")
    (folder / "dark" / "Thumbs.db").write_bytes(b"x")
    (folder / "dark" / ".0.png").write_bytes(b"x")
    (folder / ".git").mkdir()
    Image.new("L", (6, 8)).save(folder / "stray.png")
    after = load_folder(folder)
    assert after.places == before.places
    assert (after.x == before.x).all()


def test_pictures_in_folders_below_are_of_the_class(folder: Path) -> None:
    (folder / "dark" / "more").mkdir()
    Image.new("L", (6, 8), 3).save(folder / "dark" / "more" / "a.PNG")
    found = load_folder(folder)
    assert found.t[found.places.index("dark/more/a.PNG")] == 0


@pytest.mark.fault("F17")
@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "neither a PNG nor a JPEG picture"),
        (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", "neither a PNG nor a JPEG picture"),
        (b"\x89PNG\r\n\x1a\n", "neither a PNG nor a JPEG picture"),
    ],
)
def test_a_wrong_file_is_named(folder: Path, content: bytes, what: str) -> None:
    path = folder / "dark" / "0.png"
    path.write_bytes(content)
    assert refusal(lambda: load_folder(folder)).startswith(f"{path}: {what}")


def test_a_picture_that_is_cut_off_is_named(folder: Path) -> None:
    path = folder / "light" / "3.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: 2 * len(whole) // 3])
    assert refusal(lambda: load_folder(folder)).startswith(f"{path}: ")


@pytest.mark.fault("F17")
def test_a_folder_that_is_none_of_classes_says_why(tmp_path: Path, folder: Path) -> None:
    assert "No such file" in refusal(lambda: load_folder(tmp_path / "none"), FileNotFoundError)
    assert refusal(lambda: load_folder(folder / "dark" / "0.png"), NotADirectoryError)
    assert "holds none of the folders" in refusal(lambda: load_folder(folder / "dark"))
    (folder / "empty").mkdir()
    assert refusal(lambda: load_folder(folder)).startswith(f"{folder / 'empty'}: holds no PNG or JPEG picture")
    (folder / "empty").rmdir()
    for file in (folder / "light").iterdir():
        file.unlink()
    (folder / "light").rmdir()
    assert "holds only 'dark' of the folders" in refusal(lambda: load_folder(folder))


@pytest.mark.parametrize(
    ("size", "error"), [(8, TypeError), ((8,), TypeError), ((0, 8), ValueError), (("8", 8), TypeError)]
)
def test_a_size_is_two_whole_numbers(folder: Path, size: Any, error: type[Exception]) -> None:
    refusal(lambda: load_folder(folder, size=size), error)


# --- the network's file ---


def trained(folder: Path, path: Path) -> Network:
    pictures = load_folder(folder)
    net = pictures.network(8, seed=0)
    fit(net, pictures.x, pictures.t, epochs=30, batch_size=4, seed=0)
    net.save(path)
    again: Network = load(path)
    return again


def test_three_lines_train_a_network_whose_file_knows_the_rest(folder: Path, tmp_path: Path) -> None:
    net = trained(folder, tmp_path / "net")
    found = net.evaluate(load_folder(folder).x, load_folder(folder).t)
    assert (found.score, found.names) == (1.0, ("dark", "light"))
    assert str(found).splitlines()[2].startswith("dark ")
    Image.new("RGB", (90, 50), RED).save(folder / "dark" / "large.png")
    again = load_folder(folder, like=net)
    assert (again.shape, again.classes) == ((1, 8, 6), ("dark", "light"))


def test_fewer_classes_may_be_evaluated_and_no_others(folder: Path, tmp_path: Path) -> None:
    net = trained(folder, tmp_path / "net")
    for file in (folder / "dark").iterdir():
        file.unlink()
    (folder / "dark").rmdir()
    assert load_folder(folder, like=net).t.tolist() == [1] * 8
    (folder / "light").rename(folder / "bright")
    assert "the network has no class 'bright'" in refusal(lambda: load_folder(folder, like=net))
    assert "leave it out" in refusal(lambda: load_folder(folder, like=net, size=(8, 8)), ValueError)
    digits = TwoLayerNet(4, 3, 2, seed=0)
    assert "was not trained on a folder" in refusal(lambda: load_folder(folder, like=digits), ValueError)
    for text in ("{", "{}", '{"shape": [2, 8, 8]}', '{"shape": [1, 0, 8]}', '{"shape": 3}'):
        digits.metadata.update(picture=text, classes='["a", "b"]')
        assert "do not hold together" in refusal(lambda: load_folder(folder, like=digits))


def test_a_network_of_ones_own_choice_is_told_by_the_metadata(folder: Path) -> None:
    pictures = load_folder(folder)
    filters = {"filter_num": 4, "filter_size": 3, "pad": 1, "stride": 1}
    net = SimpleConvNet(pictures.shape, filters, hidden_size=8, output_size=2, seed=0)
    net.metadata.update(pictures.metadata)
    fit(net, pictures.x / 255.0, pictures.t, epochs=5, batch_size=8, optimizer="adam", seed=0)
    assert net.evaluate(pictures.x / 255.0, pictures.t).names == ("dark", "light")


def test_parts_keep_pictures_and_names_together(folder: Path) -> None:
    train, test = load_folder(folder).split(0.25, seed=1)
    assert (len(train), len(test)) == (12, 4)
    for part in (train, test):
        for place, picture, t in zip(part.places, part.x, part.t, strict=True):
            name, _, file = place.partition("/")
            assert part.classes[t] == name
            assert picture[0, 0, 0] == (20, 220)[t] + int(file[0])
    assert isinstance(train, Pictures)


# --- the command line ---


def test_a_folder_is_a_model_with_a_report_and_names(folder: Path, tmp_path: Path, capsys: Text) -> None:
    model, page = str(tmp_path / "net"), tmp_path / "page.html"
    assert main(["train", str(folder), "--save", model, "--report", str(page)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == f"{folder}: Pictures(16 of shape (1, 8, 6); dark 8, light 8)"
    assert told[-1] == "train accuracy 1.0000  test accuracy 1.0000"
    html = page.read_text(encoding="utf-8")
    assert ">dark<" in html
    assert "First-layer weights" in html
    Image.new("RGB", (90, 50), (250, 240, 250)).save(tmp_path / "new.png")
    assert main(["predict", model, str(tmp_path / "new.png"), str(folder / "dark" / "0.png"), "--format", "jsonl"]) == 0
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["light", "dark"]
    assert main(["eval", model, str(folder), "--confusion"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["0 dark  8 ·  1.0000", "1 light · 8  1.0000"]
    assert main(["train", str(folder), "--resume", model, "--epochs", "21", "--quiet"]) == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["{}", "--target", "kind"], "--target goes with a CSV file; {} is a folder"),
        (["{}/none"], "{}/none: No such file or directory"),
        (["{}/dark"], "{}/dark: holds none of the folders with pictures"),
        (["{}", "--net", "convnet", "--size", "2"], "a window of 5 x 5 does not fit"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_arguments(
    folder: Path, arguments: list[str], what: str, capsys: Text
) -> None:
    assert main(["train", *(argument.format(folder) for argument in arguments)]) == 2
    assert what.format(folder) in capsys.readouterr().err
