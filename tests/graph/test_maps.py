"""The images in a drawing: each is the map that NumPy computes of the first example, in its box, and named."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree
from base64 import b64decode
from typing import Any

import numpy as np
import PIL.Image
import pytest

from chainrule import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    LayerNormalization,
    Network,
    Pooling,
    Relu,
    Reshape,
    Variable,
    apply,
)

SVG = "{http://www.w3.org/2000/svg}"
RNG = np.random.default_rng(0)
W = RNG.normal(size=(10, 2, 3, 3))
X, T = RNG.random((5, 2, 8, 6)), [0, 1, 2, 1, 0]


def network() -> Network:
    return Network(
        {
            "Reshape1": Reshape((2, 8, 6)),
            "Conv1": Convolution(W, np.zeros(10)),
            "Relu1": Relu(),
            "Pool1": Pooling(2, 2),
            "Affine1": Affine(np.random.default_rng(1).normal(size=(60, 3)), np.zeros(3)),
        }
    )


def maps_by_numpy(image: Any) -> dict[str, Any]:
    """Give the maps of one image, from the formulas."""
    convolved = np.zeros((10, 6, 4))
    for y in range(6):
        for x in range(4):
            convolved[:, y, x] = np.sum(W * image[:, y : y + 3, x : x + 3], axis=(1, 2, 3))
    positive = np.maximum(convolved, 0)
    pooled = positive.reshape(10, 3, 2, 2, 2).max(axis=(2, 4))
    return {"Reshape1": image, "Conv1": convolved, "Relu1": positive, "Pool1": pooled}


def drawn(svg: str) -> dict[str, Any]:
    """Give the pixels of each picture, grey and opacity in 0..1, by the text that goes with it."""
    pictures = {}
    for image in ElementTree.fromstring(svg).iter(f"{SVG}image"):
        if image.get("class") != "map":
            continue
        kind, data = image.get("href", "").split(",")
        assert kind == "data:image/png;base64"
        title = image.find(f"{SVG}title")
        assert title is not None
        pictures[title.text or ""] = np.asarray(PIL.Image.open(io.BytesIO(b64decode(data))).convert("LA")) / 255
    return pictures


def of_layer(image: Any) -> dict[str, Any]:
    """Give what is drawn of a layer that gives this one image."""
    net = Network({"Reshape": Reshape(np.shape(image)), "Flatten": Flatten()})
    return drawn(net.graph(np.reshape(image, (1, -1)), [0]).to_svg())


@pytest.mark.parametrize("rows", [True, False])
def test_every_picture_is_a_map_of_the_first_example_from_white_to_black(rows: bool) -> None:
    found = drawn(network().graph(X.reshape(5, -1) if rows else X, T).to_svg())
    expected = 0
    for name, maps in maps_by_numpy(X[0]).items():
        for n, each in enumerate(maps[:8]):
            text = f"map {n} of {len(maps)} of {name}, from {each.min():.4g} to {each.max():.4g}"
            grey, opacity = found[text][..., 0], found[text][..., 1]
            assert grey.shape == each.shape
            share = (each - each.min()) / ((each.max() - each.min()) or 1)  # a map may be all 0
            # One step of 254 each way, for rounding: 255 is the least, 1 the largest.
            np.testing.assert_allclose(255 * grey, 255 - 254 * share, atol=1)
            assert (opacity == 1).all()
            expected += 1
    assert len(found) == expected == 2 + 8 + 8 + 8


def test_what_is_left_out_is_told() -> None:
    svg = network().graph(X, T).to_svg()
    written = [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert written.count("the first 8 of 10 maps") == 3


def test_every_picture_lies_in_the_box_of_its_layer_and_on_no_other() -> None:
    root = ElementTree.fromstring(network().graph(X, T).to_svg(backward=True))

    def box(element: Any) -> tuple[float, float, float, float]:
        x, y, width, height = (float(element.get(name)) for name in ("x", "y", "width", "height"))
        return x, y, x + width, y + height

    seen = 0
    for group in root.findall(f"{SVG}g"):
        images = [box(image) for image in group.findall(f"{SVG}image")]
        if not images:
            continue
        frame = group.find(f"{SVG}rect")
        left, top, right, bottom = box(frame)
        lines = [float(text.get("y", "")) for text in group.findall(f"{SVG}text")]
        for n, (x0, y0, x1, y1) in enumerate(images):
            assert left < x0 < x1 < right
            assert top < y0 < y1 < bottom
            assert not any(y0 < y - 3 < y1 for y in lines)  # the middle of small letters
            assert all(x1 < a[0] or a[2] < x0 or y1 < a[1] or a[3] < y0 for a in images[:n])
        assert all(top < y < bottom for y in lines)
        seen += len(images)
    assert seen == 26


def test_one_image_without_an_axis_for_it_is_drawn_as_a_batch_of_one() -> None:
    one, batch = network().graph(X[0], 1), network().graph(X[:1], [1])
    assert one.to_svg() == batch.to_svg()
    assert network().graph(X[0].ravel(), 1).to_svg().count('class="map"') == 26
    assert network().graph(X[0], [0.0, 1.0, 0.0]).to_svg() == batch.to_svg()


def test_a_map_of_one_number_is_white_and_what_is_not_finite_is_seen_through() -> None:
    (flat,) = of_layer(np.full((1, 2, 3), 7.0)).values()
    assert (flat == 1).all()
    (holes,) = of_layer([[[0.0, 1.0], [np.nan, np.inf]]]).values()
    assert holes[..., 1].tolist() == [[1, 1], [0, 0]]
    assert holes[0, :, 0].tolist() == pytest.approx([1, 1 / 255])
    assert list(of_layer(np.full((1, 2, 2), np.nan))) == ["map 0 of 1 of Reshape, nothing finite"]


def test_the_widest_range_there_is_has_its_middle_in_the_middle() -> None:
    most = np.finfo(np.float64).max
    (picture,) = of_layer([[[-most, 0.0, most]]]).values()
    assert (255 * picture[0, :, 0]).round().tolist() == [255, 128, 1]


def test_of_large_images_every_so_many_pixels_are_drawn_and_the_aspect_stays() -> None:
    image = RNG.random((1, 100, 50))
    (picture,) = of_layer(image).values()
    assert picture.shape[:2] == (34, 17)
    least, most = image[0, ::3, ::3].min(), image[0, ::3, ::3].max()
    np.testing.assert_allclose(255 * picture[..., 0], 255 - 254 * (image[0, ::3, ::3] - least) / (most - least), atol=1)
    svg = Network({"R": Reshape((1, 100, 50)), "F": Flatten()}).graph(image.reshape(1, -1), [0]).to_svg()
    width, height = map(float, re.findall(r'<image [^>]* width="([\d.]+)" height="([\d.]+)"[^>]* class="map"', svg)[0])
    assert width / height == pytest.approx(0.5)


def test_layers_that_give_no_images_have_no_pictures_and_no_other_language_has_any() -> None:
    graph = Network({"Flatten": Flatten(), "Norm": LayerNormalization(np.ones(96), np.zeros(96))}).graph(X, T)
    assert 'class="map"' not in graph.to_svg()
    graph = network().graph(X, T)
    assert "data:" not in graph.to_dot() + graph.to_mermaid()


def test_scale_and_shift_are_told_as_weights_are() -> None:
    gamma, beta = np.array([3.0, 4.0]), np.array([0.0, 2.0])
    net = Network({"Norm1": BatchNormalization(gamma, beta), "Affine1": Affine(np.ones((96, 3)) * 0.1, np.zeros(3))})
    expected = net.gradient(X, T)
    svg = net.graph(X, T).to_svg()
    assert "gamma 2, |gamma| 5<" in svg
    assert "beta 2, |beta| 2<" in svg
    for name in ("gamma", "beta"):
        assert f"|d{name}| {np.linalg.norm(expected[f'{name}1']):.4g}<" in svg
    assert "running" not in svg


def test_a_graph_trains_as_gradient_does() -> None:
    class Noted(Relu):
        told: bool | None = None

        def forward(self, x: Any, training: bool = False) -> Any:
            self.told = training
            return super().forward(x)

    own, drop = Noted(), Dropout(0.5, seed=0)
    Network({"own": own, "drop": drop, "A": Affine(np.ones((96, 3)), np.zeros(3))}).graph(X, T)
    assert own.told is True
    assert drop.mask is not None


def test_a_layer_applied_to_a_variable_shows_its_maps_too() -> None:
    out = apply(Convolution(W, np.zeros(10)), Variable(X, "x"))
    assert len(drawn(out.graph().to_svg())) == 8
