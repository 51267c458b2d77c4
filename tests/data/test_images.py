"""Pictures of digits made into MNIST's images by its rule, whatever a scanner or a phone writes; or a named error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin

from chainrule import DataError, load_image, load_mnist
from chainrule.data.images import first_look, load_picture


def drawing() -> Image.Image:
    """Draw a dark seven, taller than wide, on a light page, off its middle."""
    page = Image.new("L", (300, 200), 255)
    ImageDraw.Draw(page).line([(180, 30), (240, 30), (200, 150)], 0, 12)
    return page


def read(picture: Image.Image, folder: Path, name: str = "digit.png", **options: Any) -> NDArray[np.uint8]:
    picture.save(folder / name, **options)
    return load_image(folder / name).reshape(28, 28)


def like(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Tell whether two images are the same to the eye: a mean difference below 2 % of the range."""
    return float(np.abs(a.astype(float) - b).mean()) < 5


@pytest.fixture
def seven(tmp_path: Path) -> NDArray[np.uint8]:
    return read(drawing(), tmp_path, "plain.png")


# --- the rule ---


def test_the_digit_fills_a_box_of_20_in_its_own_proportions(tmp_path: Path) -> None:
    page = Image.new("L", (400, 300), "white")
    ImageDraw.Draw(page).rectangle([100, 50, 199, 249], "black")  # 100 × 200
    image = read(page, tmp_path)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert (rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1) == (20, 10)
    assert image.dtype == np.uint8
    assert set(np.unique(image)) == {0, 255}


def test_a_wide_digit_is_fitted_by_its_width(tmp_path: Path) -> None:
    page = Image.new("L", (400, 300), "white")
    ImageDraw.Draw(page).rectangle([50, 50, 349, 64], "black")
    image = read(page, tmp_path)
    assert image.any(axis=0).sum() == 20
    assert image.any(axis=1).sum() == 1


def test_the_centre_of_mass_lies_where_mnists_does(tmp_path: Path) -> None:
    centres = []
    for picture in (drawing(), drawing().rotate(90, expand=True), ImageOps.mirror(drawing())):
        image = read(picture, tmp_path).astype(float)
        index = np.arange(28)
        centres.append([image.sum(axis=1) @ index / image.sum(), image.sum(axis=0) @ index / image.sum()])
    (x, _), _ = load_mnist(flatten=False)
    mass = x.sum(axis=(1, 2, 3))
    mnists = (x.sum(axis=(1, 3)) @ np.arange(28) / mass).mean()
    assert np.abs(np.array(centres) - mnists).max() <= 0.55  # to the nearest whole pixel


def test_a_heavy_side_does_not_push_the_digit_out_of_the_field(tmp_path: Path) -> None:
    page = Image.new("L", (220, 220), "white")
    ImageDraw.Draw(page).rectangle([10, 10, 209, 40], "black")
    ImageDraw.Draw(page).line([(12, 10), (12, 209)], "black", 2)
    image = read(page, tmp_path)
    assert image.any(axis=1).sum() == 20


@pytest.mark.parametrize("index", range(20))
def test_an_image_of_mnist_saved_as_a_picture_comes_back(index: int, tmp_path: Path) -> None:
    _, (x, _) = load_mnist(normalize=False, flatten=False)
    original = x[index, 0]
    assert like(read(Image.fromarray(original), tmp_path), original)


# --- what pictures are like ---


def test_light_on_dark_gives_the_same_as_dark_on_light(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    np.testing.assert_array_equal(read(ImageOps.invert(drawing()), tmp_path), seven)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "I;16"])
def test_every_kind_of_png_gives_the_same(mode: str, seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = drawing()
    if mode == "I;16":
        page = Image.fromarray(np.asarray(page).astype(np.uint16) * 257)
    else:
        page = page.convert("RGB").convert(mode)
    np.testing.assert_array_equal(read(page, tmp_path), seven)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_gives_nearly_the_same(mode: str, seven: NDArray[np.uint8], tmp_path: Path) -> None:
    assert like(read(drawing().convert("RGB").convert(mode), tmp_path, "digit.jpg"), seven)


@pytest.mark.parametrize("ink", [0, 255])
def test_what_is_transparent_is_ground_whatever_the_ink(ink: int, seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = Image.new("LA", drawing().size, (ink, 0))
    page.putalpha(ImageOps.invert(drawing()))
    np.testing.assert_array_equal(read(page, tmp_path), seven)


def test_a_turned_photograph_is_set_upright(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: turn by 90° to the right
    turned = drawing().transpose(Image.Transpose.ROTATE_90)
    assert like(read(turned, tmp_path, "photo.jpg", exif=exif), seven)
    assert not like(read(turned, tmp_path, "scan.jpg"), seven)


def test_the_size_of_the_picture_does_not_matter(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    for scale in (0.3, 2, 12):
        page = drawing()
        size = int(page.width * scale), int(page.height * scale)
        assert like(read(page.resize(size, Image.Resampling.BICUBIC), tmp_path), seven)


def test_uneven_light_and_noise_do_not_matter(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = np.asarray(drawing()) / 255
    light = np.linspace(0.9, 0.5, page.shape[1])
    noise = np.random.default_rng(0).normal(0, 0.01, page.shape)
    photo = np.clip(light * (0.3 + 0.7 * page) + noise, 0, 1) * 255
    assert like(read(Image.fromarray(photo.astype(np.uint8)), tmp_path, "photo.jpg"), seven)


def test_ink_that_reaches_the_edge_is_still_ink(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = ImageOps.invert(drawing())
    with pytest.warns(UserWarning, match=r"digit\.png: the digit reaches the edge of the picture"):
        assert like(read(ImageOps.invert(page.crop(page.getbbox())), tmp_path), seven)


def test_the_first_picture_of_a_phones_jpeg_is_read(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    preview = Image.new("L", (30, 20))
    drawing().save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[preview])
    assert like(load_image(tmp_path / "phone.jpg").reshape(28, 28), seven)


def test_the_file_is_found_by_its_content_not_its_name(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    drawing().save(tmp_path / "digit.txt", format="PNG")
    np.testing.assert_array_equal(load_image(str(tmp_path / "digit.txt")).reshape(28, 28), seven)


# --- what cannot be read ---


def refusal(path: Path, error: type[Exception] = DataError) -> str:
    with pytest.raises(error) as caught:
        load_image(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_picture_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    refusal(tmp_path / "none.png", FileNotFoundError)


@pytest.mark.parametrize("content", [b"", b"text", b"GIF89a" + bytes(30), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"])
def test_what_is_no_picture_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "digit.png").write_bytes(content)
    refusal(tmp_path / "digit.png")


@pytest.mark.parametrize("form", ["GIF", "BMP", "TIFF", "WEBP"])
def test_other_formats_are_refused(form: str, tmp_path: Path) -> None:
    drawing().save(tmp_path / "digit", format=form)
    assert "neither a PNG nor a JPEG" in refusal(tmp_path / "digit")


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    assert "not a regular file" in refusal(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert "not a regular file" in refusal(tmp_path / "pipe")


def test_an_animation_is_refused(tmp_path: Path) -> None:
    drawing().save(tmp_path / "digit.png", save_all=True, append_images=[ImageOps.invert(drawing())])
    assert "animated" in refusal(tmp_path / "digit.png")


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_an_empty_page_is_refused(grey: int, tmp_path: Path) -> None:
    Image.new("L", (50, 40), grey).save(tmp_path / "digit.png")
    assert "nothing is drawn on it" in refusal(tmp_path / "digit.png")


def test_the_noise_of_an_empty_page_is_no_digit(tmp_path: Path) -> None:
    page = np.random.default_rng(0).normal(200, 3, (100, 100)).astype(np.uint8)
    Image.fromarray(page).save(tmp_path / "digit.png")
    assert "nothing is drawn on it" in refusal(tmp_path / "digit.png")


def test_specks_too_small_to_show_are_no_digit(tmp_path: Path) -> None:
    page = Image.new("L", (1000, 1000), 255)
    for place in ((3, 3), (990, 990)):
        page.putpixel(place, 0)
    page.save(tmp_path / "digit.png")
    assert "nothing is drawn on it" in refusal(tmp_path / "digit.png")


def sheets() -> dict[str, NDArray[Any]]:
    """Make sheets on which nobody wrote."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:300, :400]
    clear = np.zeros((300, 400, 4), np.uint8)
    clear[..., :3] = rng.integers(0, 256, (300, 400, 3))
    return {
        "noise": rng.integers(0, 256, (300, 400)),
        "coloured noise": rng.integers(0, 256, (300, 400, 3)),
        "grain": np.clip(rng.normal(150, 30, (300, 400)), 0, 255),
        "all transparent": clear,
        "one pixel": np.zeros((1, 1)),
        "one row": rng.integers(0, 256, (1, 400)),
        "rules": np.where(y % 40 < 3, 100, 230),
        "light from a side": 60 + x * 150 / 400,
        "a shadow": np.where(x + y < 350, 90, 220),
        "a shadow's straight edge": np.where(x < 190, 90, 220),
    }


@pytest.mark.parametrize("kind", list(sheets()))
def test_a_sheet_without_a_digit_is_refused(kind: str, tmp_path: Path) -> None:
    Image.fromarray(sheets()[kind].astype(np.uint8)).save(tmp_path / "digit.png")
    assert "nothing is drawn on it" in refusal(tmp_path / "digit.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_every_depth_of_a_scanner_gives_the_same(bits: int, seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = np.asarray(drawing()) / 255 * (2**bits - 1)
    np.testing.assert_array_equal(read(Image.fromarray(page.astype(np.uint16)), tmp_path), seven)


@pytest.mark.parametrize("below", [(0, 0, 0, 0), (255, 255, 255, 0)])
def test_transparent_corners_of_a_sheet_are_neither_ink_nor_paper(below: Any, tmp_path: Path) -> None:
    page = ImageOps.expand(drawing(), 40, 230).convert("RGBA")
    straight = page.convert("L").rotate(8, Image.Resampling.BICUBIC, fillcolor=230)
    turned = page.rotate(8, Image.Resampling.BICUBIC, expand=True, fillcolor=below)
    expected = read(straight, tmp_path)
    with pytest.warns(UserWarning, match="part of the sheet is transparent"):
        assert like(read(turned, tmp_path), expected)


def test_a_line_through_the_digit_leaves_the_strokes_it_crosses(seven: NDArray[np.uint8], tmp_path: Path) -> None:
    page = drawing()
    ImageDraw.Draw(page).line([(0, 95), (299, 100)], 0, 3)
    with pytest.warns(UserWarning, match="lines were taken off the paper"):
        assert like(read(page, tmp_path), seven)


def test_a_fine_pen_is_as_good_as_a_broad_one(tmp_path: Path) -> None:
    fine, broad = Image.new("L", (600, 600), 255), Image.new("L", (600, 600), 255)
    for page, width in ((fine, 3), (broad, 24)):
        ImageDraw.Draw(page).line([(200, 100), (400, 100), (300, 500)], 0, width, joint="curve")
    ink = [float(read(page, tmp_path).astype(float).sum()) for page in (fine, broad)]
    assert ink[0] > 0.6 * ink[1]  # by area, an eighth


@given(data=st.data(), window=st.integers(1, 9))
def test_the_highest_in_a_window_is_what_a_loop_finds(data: st.DataObject, window: int) -> None:
    from chainrule.data.cleaning import _highest

    window |= 1
    height, width = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 12))
    values = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (height, width))
    reach = window // 2
    expected = [
        [values[max(0, i - reach) : i + reach + 1, max(0, j - reach) : j + reach + 1].max() for j in range(width)]
        for i in range(height)
    ]
    np.testing.assert_array_equal(_highest(values, window), expected)


@given(data=st.data())
def test_shapes_are_what_filling_from_a_cell_reaches(data: st.DataObject) -> None:
    from chainrule.data.cleaning import _connected

    height, width = data.draw(st.integers(1, 15)), data.draw(st.integers(1, 15))
    cells = np.random.default_rng(data.draw(st.integers(0, 999))).random((height, width)) < 0.45
    labels = _connected(cells)
    assert ((labels > 0) == cells).all()
    left = set(zip(*(n.tolist() for n in np.nonzero(cells)), strict=True))
    while left:
        edge = [left.pop()]
        shape = set(edge)
        while edge:
            y, x = edge.pop()
            new = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left, shape, edge = left - new, shape | new, edge + list(new)
        (label,) = {int(labels[cell]) for cell in shape}
        assert (labels == label).sum() == len(shape)


def png(width: int, height: int, rows: bytes) -> bytes:
    """Write a PNG of grey bytes, from the format's description."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [8_000, 12_000, 20_000, 2**31 - 1])
def test_f10_a_decompression_bomb_is_refused_before_it_is_unpacked(side: int, tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(side, side, bytes(1000)))
    assert "more than 50 million pixels" in refusal(tmp_path / "bomb.png")


def test_f10_a_bomb_in_a_pngs_text_is_refused(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("note", "x" * 100_000_000, zip=True)
    drawing().save(tmp_path / "bomb.png", pnginfo=text)
    assert (tmp_path / "bomb.png").stat().st_size < 200_000
    assert "damaged picture" in refusal(tmp_path / "bomb.png")


@pytest.mark.parametrize("name", ["digit.png", "digit.jpg"])
def test_f6_a_cut_picture_is_refused_wherever_it_was_cut(name: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    for length in range(0, len(whole) - 50, 37):
        (tmp_path / name).write_bytes(whole[:length])
        refusal(tmp_path / name)


@pytest.mark.filterwarnings("ignore::UserWarning")  # it may well be doubtful
@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data(), form=st.sampled_from(["PNG", "JPEG"]))
def test_damaged_bytes_give_an_image_or_a_data_error(
    data: st.DataObject, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"damaged-{os.getpid()}"
    drawing().resize((30, 20)).save(path, format=form)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        picture = load_picture(path, (3, 7, 5))
        size, _ = first_look(path)
        image = load_image(path)
    except DataError:
        return
    assert image.shape == (784,)
    assert picture.shape == (3, 7, 5)
    assert min(size) > 0


def test_a_missing_pillow_is_told_with_the_extra() -> None:
    code = "import sys; sys.modules['PIL'] = None; import chainrule; chainrule.load_image('digit.png')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "ImportError: pictures are read by Pillow: pip install 'chainrule[image]'"
