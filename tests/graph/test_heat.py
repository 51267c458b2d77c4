"""Arrays in a drawing as colours: which colour each number has, what is left out, and that nothing is covered."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from base64 import b64decode
from typing import Any

import numpy as np
import PIL.Image
import pytest

from chainrule import TwoLayerNet, Variable

SVG = "{http://www.w3.org/2000/svg}"


def heats(svg: str) -> list[tuple[str, list[Any]]]:
    """Give what is told of each array, and its pictures as red, green, blue and opacity in 0..1."""
    found = []
    for group in ElementTree.fromstring(svg).iter(f"{SVG}g"):
        if group.get("class") == "heat":
            data = [image.get("href", "").split(",")[1] for image in group.findall(f"{SVG}image")]
            pictures = [np.asarray(PIL.Image.open(io.BytesIO(b64decode(one))).convert("RGBA")) / 255 for one in data]
            found.append((group.findtext(f"{SVG}title") or "", pictures))
    return found


def of_value(value: Any) -> tuple[str, list[Any]]:
    (found,) = heats(Variable(value, "W").graph().to_svg())
    return found


def test_red_is_above_0_and_blue_below_and_the_opacity_is_the_share_of_the_largest() -> None:
    W = np.random.default_rng(0).normal(size=(4, 6))
    text, (picture,) = of_value(W)
    assert text == f"W, 4×6, from {W.min():.4g} to {W.max():.4g}: red above 0, blue below"
    red, _, blue, opacity = np.moveaxis(picture, -1, 0)
    np.testing.assert_array_equal(red > blue, W > 0)
    # One of fifteen steps each way.
    np.testing.assert_allclose(opacity, np.abs(W) / np.abs(W).max(), atol=0.5 / 15 + 1 / 255)


def test_0_is_seen_through_and_what_is_not_finite_is_grey() -> None:
    _, (picture,) = of_value([[0.0, -2.0, np.nan], [np.inf, 2.0, -0.0]])
    assert picture[..., 3].tolist() == [[0, 1, 1], [1, 1, 0]]
    grey = picture[[0, 1], [2, 0], :3]
    assert (grey == grey[0, 0]).all()
    assert (of_value(np.zeros((2, 3)))[1][0][..., 3] == 0).all()
    assert "nothing finite" in of_value(np.full((2, 3), np.nan))[0]


def test_the_largest_number_there_is_does_not_overflow() -> None:
    most = np.finfo(np.float64).max
    assert of_value([[most, -most, 0.0]])[1][0][..., 3].tolist() == [[1, 1, 0]]


def test_a_vector_is_a_row_and_a_stack_of_matrices_has_a_picture_for_each_of_four() -> None:
    assert of_value(np.arange(5.0))[1][0].shape == (1, 5, 4)
    stack = np.arange(2.0 * 3 * 6).reshape(6, 3, 2)
    text, pictures = of_value(stack)
    assert [picture.shape for picture in pictures] == [(3, 2, 4)] * 4
    assert text == "W, 6×3×2, the first 4 of 6 matrices, from 0 to 23: red above 0, blue below"
    # All have one scale.
    np.testing.assert_allclose([p[..., 3] for p in pictures], stack[:4] / 23, atol=0.5 / 15 + 1 / 255)


def test_of_a_large_matrix_every_so_many_rows_and_columns_are_drawn() -> None:
    W = np.random.default_rng(0).normal(size=(100, 40))
    (picture,) = of_value(W)[1]
    shown = W[::4, ::2]
    np.testing.assert_allclose(picture[..., 3], np.abs(shown) / np.abs(W).max(), atol=0.5 / 15 + 1 / 255)
    assert len(Variable(np.ones((5000, 5000), np.float32), "W").graph().to_svg()) < 10_000


def test_numbers_that_are_written_out_and_images_have_none() -> None:
    for value in (2.0, [1.0, 2.0], np.ones((1, 1, 2, 2)), np.ones((0, 3))):
        assert heats(Variable(value).graph().to_svg()) == []


def test_every_array_and_every_gradient_of_one_has_its_picture_where_nothing_else_is() -> None:
    net = TwoLayerNet(8, 5, 3, weight_init_std=0.5, seed=0)
    x, t = np.random.default_rng(0).random((4, 8)), [0, 2, 1, 1]
    for backward in (False, True):
        root = ElementTree.fromstring(net.graph(x, t).to_svg(backward=backward))
        # x, what Affine1, Relu1 and Affine2 give, and the gradient of each.
        arrows = [group for group in root.findall(f"{SVG}g") if group.find(f"{SVG}g") is not None]
        assert [len(group.findall(f"{SVG}g")) for group in arrows] == [2] * 4
        for group in arrows:
            way = group.find(f"{SVG}path")
            assert way is not None
            middle = float(re.findall(r"-?[\d.]+", way.get("d", ""))[1])
            value, gradient = [float(text.get("y", "")) for text in group.findall(f"{SVG}text")]
            frames = list(group.iter(f"{SVG}rect"))
            tops = [float(rect.get("y", "")) for rect in frames]
            bottoms = [top + float(rect.get("height", "")) for top, rect in zip(tops, frames, strict=True)]
            assert tops[0] < bottoms[0] < value - 10 < value < middle < gradient - 8 < gradient < tops[1] < bottoms[1]


def test_the_words_and_the_pictures_are_in_the_svg_alone() -> None:
    graph = Variable(np.ones((2, 3)), "W").graph()
    assert "data:" not in graph.to_dot() + graph.to_mermaid()
    assert "<script" not in graph.to_svg()


@pytest.mark.parametrize("name", ['a"b', "<b>", "a&b"])
def test_a_name_is_escaped_in_what_is_told(name: str) -> None:
    assert heats(Variable(np.ones((2, 3)), name).graph().to_svg())[0][0].startswith(f"{name}, 2×3")
