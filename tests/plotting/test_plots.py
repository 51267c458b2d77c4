"""Pictures: what is drawn is what NumPy computes from the same run; no display, pyplot or foreign array is touched."""

from __future__ import annotations

import io
import subprocess
import sys
import types
from typing import Any

import matplotlib.colors
import matplotlib.image
import numpy as np
import pytest

import chainrule
from chainrule import (
    Affine,
    BatchNormalization,
    Convolution,
    Dropout,
    History,
    Network,
    Pooling,
    Relu,
    Reshape,
    SimpleConvNet,
    TwoLayerNet,
)

# matplotlib's own types leave open what `axes`, `lines` and `texts` hold.
plot_history: Any = chainrule.plot_history
plot_weights: Any = chainrule.plot_weights
plot_feature_maps: Any = chainrule.plot_feature_maps
plot_mistakes: Any = chainrule.plot_mistakes
plot_confusion: Any = chainrule.plot_confusion

#: Scores are the numbers of an example themselves.
NET = Network({"Affine1": Affine(np.eye(4), np.zeros(4))})
RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((60, 4)) * 3
LABELS = RNG.integers(4, size=60)


def lines(axes: Any) -> dict[str, Any]:
    return {line.get_label().split()[0]: line for line in axes.lines}


def texts(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


# --- curves ---


def history(steps: int) -> History:
    losses = np.geomspace(2.3, 0.05, steps).tolist()
    return History(
        losses=losses,
        steps=[steps // 2, steps],
        train_loss=[0.5, 0.25],
        train_accuracy=[0.75, 0.875],
        test_loss=[0.6, 0.3],
        test_accuracy=[0.7, 0.8125],
    )


def test_the_losses_of_many_steps_are_drawn_as_means_with_their_range() -> None:
    run = history(1000)
    left, _ = plot_history(run).axes
    x, y = lines(left)["batches,"].get_data()
    blocks = np.array(run.losses).reshape(200, 5)
    np.testing.assert_allclose(y, blocks.mean(axis=1), rtol=1e-12)
    np.testing.assert_array_equal(x, np.arange(200) * 5 + 3)
    (band,) = left.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (min(run.losses), max(run.losses))


def test_a_last_stretch_that_is_shorter_counts_what_it_has() -> None:
    x, y = lines(plot_history(History(losses=[*[1.0] * 400, 4.0])).axes[0])["batches,"].get_data()
    assert (x[-2:].tolist(), y[-2:].tolist()) == ([398.0, 400.5], [1.0, 2.5])


def test_few_losses_are_drawn_as_they_are() -> None:
    run = history(60)
    left, _ = plot_history(run).axes
    x, y = lines(left)["batches"].get_data()
    assert (x.tolist(), y.tolist()) == (list(range(1, 61)), run.losses)
    assert list(left.collections) == []


@pytest.mark.parametrize("losses", [[1.0], [np.nan, 1.0, np.inf]])
def test_a_loss_that_stands_alone_can_be_seen(losses: list[float]) -> None:
    figure = plot_history(History(losses, [len(losses)]))
    figure.axes[0].set_axis_off()
    figure.axes[0].get_legend().remove()
    pixels = np.asarray(matplotlib.image.imread(io.BytesIO(figure._repr_png_())))
    assert (pixels[..., :3] < 0.9).any()


def test_the_values_of_epochs_stand_at_their_steps_and_the_last_in_the_legend() -> None:
    left, right = plot_history(history(60)).axes
    for axes, train, test in ((left, [0.5, 0.25], [0.6, 0.3]), (right, [0.75, 0.875], [0.7, 0.8125])):
        assert lines(axes)["train"].get_xdata().tolist() == [30, 60]
        assert lines(axes)["train"].get_ydata().tolist() == train
        assert lines(axes)["test"].get_ydata().tolist() == test
        assert "validation" not in lines(axes)
    assert [text.get_text() for text in right.get_legend().texts] == ["train 0.8750", "test 0.8125"]


def test_the_curves_are_told_apart_without_colours() -> None:
    run = history(60)
    run.validation_accuracy = [0.7, 0.8]
    _, right = plot_history(run).axes
    assert len({line.get_linestyle() for line in right.lines}) == 3


def test_the_loss_is_drawn_on_a_logarithmic_scale_if_it_fell_far_and_only_then() -> None:
    assert plot_history(history(60)).axes[0].get_yscale() == "log"
    assert plot_history(History(losses=[2.0, 1.0, 0.5])).axes[0].get_yscale() == "linear"
    assert plot_history(History(losses=[2.0, 1.0, 0.0])).axes[0].get_yscale() == "linear"


def test_the_axis_of_few_steps_counts_whole_steps() -> None:
    axes = plot_history(History(losses=[2.0, 1.0, 0.5, 0.25])).axes[0]
    assert [tick for tick in axes.get_xticks() if 1 <= tick <= 4] == [1, 2, 3, 4]


def test_a_run_without_accuracies_has_one_panel() -> None:
    assert len(plot_history(History(losses=[2.0, 1.0])).axes) == 1


def test_a_loss_that_is_not_finite_is_a_gap(tmp_path: Any) -> None:
    figure = plot_history(History(losses=[2.0, 1.0, float("nan"), float("inf"), 0.5]))
    np.testing.assert_array_equal(lines(figure.axes[0])["batches"].get_ydata(), [2, 1, np.nan, np.inf, 0.5])
    figure.savefig(tmp_path / "gap.png")


def test_an_epoch_that_is_still_being_evaluated_is_not_drawn_yet() -> None:
    run = history(60)
    run.steps.append(90)
    assert lines(plot_history(run).axes[1])["train"].get_xdata().tolist() == [30, 60]


def test_what_holds_no_step_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no step yet"):
        plot_history(History())
    with pytest.raises(TypeError, match="a History, got dict"):
        plot_history({"losses": [1.0]})


# --- weights ---


def tiles(figure: Any) -> Any:
    """Give the pixels of the one image of the figure, nan in its gaps."""
    (image,) = figure.axes[0].images
    return np.asarray(image.get_array().filled(np.nan))


def test_every_column_is_an_image_in_rows_of_ten() -> None:
    net = TwoLayerNet(9, 12, 3, seed=0)
    W, pixels = net.params["W1"], tiles(plot_weights(net))
    high, wide = pixels.shape[0] // 2, pixels.shape[1] // 10
    for unit in range(12):
        y, x = high * (unit // 10), wide * (unit % 10)
        np.testing.assert_array_equal(pixels[y : y + 3, x : x + 3], W[:, unit].reshape(3, 3))
    assert np.isfinite(pixels).sum() == W.size  # and nothing else


def test_zero_is_in_the_middle_of_one_scale() -> None:
    net = TwoLayerNet(16, 4, 3, seed=0)
    net.params["W1"][:] = np.linspace(-0.3, 1.0, 64).reshape(16, 4)
    (image,) = plot_weights(net).axes[0].images
    low, high = image.get_clim()
    assert low == -high
    assert high == pytest.approx(np.quantile(np.abs(net.params["W1"]), 0.995))
    red, green, blue, _ = image.cmap(image.norm(0.0))
    assert min(red, green, blue) > 0.95


def test_weights_that_are_nearly_all_zero_keep_a_scale() -> None:
    net = TwoLayerNet(100, 20, 3, seed=0)
    net.params["W1"][:] = 0
    assert plot_weights(net).axes[0].images[0].get_clim() == (-1, 1)
    net.params["W1"][5, 5] = -0.25
    assert plot_weights(net).axes[0].images[0].get_clim() == (-0.25, 0.25)


def test_weights_that_are_not_finite_are_blank() -> None:
    net = TwoLayerNet(4, 2, 3, seed=0)
    net.params["W1"][0] = [np.nan, np.inf]
    assert np.isfinite(tiles(plot_weights(net))).sum() == 6


def test_count_and_shape_of_the_images_can_be_told() -> None:
    net = TwoLayerNet(6, 5, 3, seed=0)
    figure = plot_weights(net, count=2, shape=(2, 3))
    np.testing.assert_array_equal(tiles(figure)[:2, :3], net.params["W1"][:, 0].reshape(2, 3))
    assert texts(figure.axes[0]) == ["0", "1"]
    assert len(texts(plot_weights(net, count=99, shape=(3, 2)).axes[0])) == 5


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, r"a column of W1 has 6 numbers, which make no square image; give shape="),
        ({"shape": (2, 4)}, ValueError, r"6 numbers, which do not fill an image of shape \(2, 4\)"),
        ({"shape": 6}, TypeError, "shape must be a pair"),
        ({"shape": (-2, -3)}, ValueError, "a size in shape must lie in"),
        ({"shape": (2, 3), "count": 0}, ValueError, "count must lie in"),
        ({"shape": (2, 3), "count": True}, TypeError, "count must be a whole number"),
    ],
)
def test_images_that_cannot_be_are_refused(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        plot_weights(TwoLayerNet(6, 5, 3, seed=0), **arguments)


def test_a_network_without_a_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match="no weights with two axes"):
        plot_weights(Network({"Relu1": Relu()}))
    with pytest.raises(TypeError, match="have its params, got int"):
        plot_weights(3)


@pytest.mark.parametrize(
    ("W", "error"),
    [(np.zeros((4, 0)), ValueError), (np.zeros((4, 2), complex), TypeError), ([["a"]], TypeError)],
)
def test_a_matrix_that_holds_no_real_numbers_is_refused(W: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="W"):
        plot_weights(types.SimpleNamespace(params={"W": W}))


# --- filters and feature maps ---


def seeing(channels: int = 1) -> Network:
    r = np.random.default_rng(5)
    return Network(
        {
            "Reshape1": Reshape((channels, 6, 8)),
            "Conv1": Convolution(r.normal(size=(3, channels, 3, 2)), r.normal(size=3)),
            "Norm1": BatchNormalization(np.ones(3), np.zeros(3)),
            "Relu1": Relu(),
            "Pool1": Pooling(2, 2),
            "Affine1": Affine(r.normal(size=(18, 4)), np.zeros(4)),
        }
    )


def tile(figure: Any, n: int, rows: int, columns: int, count: int) -> Any:
    """Give the n-th of so many images of the figure, which has up to ten of them in a row."""
    pixels = tiles(figure)
    high, wide = pixels.shape[0] // -(-count // 10), pixels.shape[1] // min(count, 10)
    y, x = high * (n // 10), wide * (n % 10)
    return pixels[y : y + rows, x : x + columns]


def test_every_filter_of_the_first_convolution_is_an_image() -> None:
    net = SimpleConvNet((1, 10, 10), {"filter_num": 12, "filter_size": 3, "pad": 0, "stride": 1}, seed=0)
    figure, W = plot_weights(net), net.params["W1"]
    for n in range(12):
        np.testing.assert_array_equal(tile(figure, n, 3, 3, 12), W[n, 0])
    assert np.isfinite(tiles(figure)).sum() == W.size
    assert texts(figure.axes[0]) == [str(n) for n in range(12)]
    assert figure.axes[0].get_title(loc="left") == "W1  12×1×3×3"
    few = plot_weights(net, count=5)
    assert few.axes[0].get_title(loc="left") == "W1  12×1×3×3, the first 5 filters"
    assert len(texts(few.axes[0])) == 5


def test_filters_are_grey_with_zero_in_the_middle_of_one_scale() -> None:
    net = seeing()
    net.layers["Conv1"].W = np.linspace(-0.5, 1, 18).reshape(3, 1, 3, 2)
    (image,) = plot_weights(net).axes[0].images
    low, high = image.get_clim()
    assert low == -high
    assert high == pytest.approx(np.quantile(np.abs(net.layers["Conv1"].W), 0.995))
    shades = [image.cmap(image.norm(value))[:3] for value in (-0.5, 0.0, 0.5)]
    assert all(max(shade) - min(shade) < 1e-9 for shade in shades)
    assert shades[0][0] > shades[1][0] > shades[2][0]


def test_every_channel_of_a_filter_is_an_image() -> None:
    net = seeing(channels=2)
    figure, W = plot_weights(net), net.layers["Conv1"].W
    captions = texts(figure.axes[0])
    assert captions == ["0, 0", "0, 1", "1, 0", "1, 1", "2, 0", "2, 1"]
    for n, caption in enumerate(captions):
        unit, channel = map(int, caption.split(", "))
        np.testing.assert_array_equal(tile(figure, n, 3, 2, 6), W[unit, channel])


def test_captions_of_small_filters_lie_between_them() -> None:
    figure = plot_weights(SimpleConvNet(seed=0))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for n, text in enumerate(axes.texts):
        row = n // 10
        box = text.get_window_extent().transformed(axes.transData.inverted())
        # Filters of five pixels and a gap of one, from half a pixel before the first.
        assert 6 * row + 4.5 <= max(box.y0, box.y1)
        assert min(box.y0, box.y1) >= 6 * row + 4.4
        assert max(box.y0, box.y1) <= 6 * row + 5.5


def by_numpy(net: Network, image: Any) -> dict[str, Any]:
    """Give what the layers of `seeing` make of one image, (C, 6, 8), from the formulas, in evaluation."""
    W, b = net.layers["Conv1"].W, net.layers["Conv1"].b
    maps = np.empty((3, 4, 7))
    for y in range(4):
        for x in range(7):
            maps[:, y, x] = (W * image[:, y : y + 3, x : x + 2]).sum(axis=(1, 2, 3)) + b
    norm = net.layers["Norm1"]
    normal = (maps - norm.running_mean[:, None, None]) / np.sqrt(norm.running_var[:, None, None] + 1e-6)
    positive = np.maximum(normal, 0)
    pooled = np.maximum(positive[:, :, 0:6:2], positive[:, :, 1:6:2]).reshape(3, 2, 2, 3).max(axis=2)
    return {"Reshape1": image, "Conv1": maps, "Norm1": normal, "Relu1": positive, "Pool1": pooled}


@pytest.mark.parametrize("layer", ["Reshape1", "Conv1", "Norm1", "Relu1", "Pool1"])
@pytest.mark.parametrize("shape", [(96,), (1, 96), (2, 6, 8), (1, 2, 6, 8)])
def test_the_maps_of_a_layer_are_those_numpy_computes(layer: str, shape: tuple[int, ...]) -> None:
    net = seeing(channels=2)
    net.layers["Norm1"].running_mean = [0.5, -0.5, 0.25]
    net.layers["Norm1"].running_var = [4.0, 1.0, 0.25]
    image = np.random.default_rng(1).normal(size=(2, 6, 8))
    maps = by_numpy(net, image)[layer]
    figure = plot_feature_maps(net, image.reshape(shape), layer)
    count, rows, columns = maps.shape
    for n in range(count):
        np.testing.assert_allclose(tile(figure, n, rows, columns, count), maps[n], rtol=1e-12, atol=1e-12)
    assert texts(figure.axes[0]) == [str(n) for n in range(count)]
    assert figure.axes[0].get_title(loc="left") == f"{layer}  {count} maps of {rows}×{columns}"
    (drawn,) = figure.axes[0].images
    assert drawn.get_clim() == pytest.approx((maps.min(), maps.max()))


def test_maps_are_those_behind_the_activation_of_the_first_convolution() -> None:
    simple = SimpleConvNet((1, 8, 8), {"filter_num": 2, "filter_size": 3, "pad": 0, "stride": 1}, seed=0)
    title = plot_feature_maps(simple, np.ones((1, 8, 8)), count=1).axes[0].get_title(loc="left")
    assert title == "Relu1  2 maps of 6×6, the first"
    assert plot_feature_maps(seeing(), np.ones(48)).axes[0].get_title(loc="left") == "Conv1  3 maps of 4×7"


def test_looking_at_maps_changes_no_layer() -> None:
    net = seeing()
    net.layers["Drop"] = Dropout(0.5, seed=0)
    x = np.random.default_rng(1).random((3, 48))
    gradient = net.gradient(x, [0, 1, 2])
    held = {name: dict(layer.__dict__) for name, layer in net.layers.items()}
    plot_feature_maps(net, x[0], "Pool1")
    for name, layer in net.layers.items():
        assert all(layer.__dict__[key] is value for key, value in held[name].items())
    np.testing.assert_array_equal(net.layers["Conv1"].dW, gradient["W1"])


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((TwoLayerNet(4, 3, 2, seed=0), np.ones(4)), ValueError, "the network has no Convolution; layer=… names"),
        ((seeing(), np.ones(48), "Conv9"), ValueError, "layer must be one of Reshape1, Conv1, .*, got 'Conv9'"),
        ((seeing(), np.ones(48), "Affine1"), ValueError, r"layer 'Affine1' gives no images, .* of shape \(1, 4\)"),
        ((seeing(), np.ones((2, 48))), ValueError, r"x must be one image, .*, got x.shape=\(2, 48\)"),
        ((seeing(), np.ones((2, 1, 6, 8))), ValueError, r"x must be one image, .*, got x.shape=\(2, 1, 6, 8\)"),
        ((seeing(), np.ones(47)), ValueError, r"\(47,\) cannot be reshaped to .*, which has 48 numbers"),
        ((seeing(), "image"), TypeError, "x must be an array of numbers"),
        ((3, np.ones(48)), TypeError, "net must be a Network, got int"),
    ],
)
def test_maps_that_cannot_be_are_refused(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        plot_feature_maps(*arguments)
    with pytest.raises(ValueError, match="count must lie in"):
        plot_feature_maps(seeing(), np.ones(48), count=0)


# --- mistakes ---


def probabilities(scores: Any) -> Any:
    e = np.exp(scores)
    return e / e.sum(axis=1, keepdims=True)


def test_mistakes_come_worst_first_with_both_classes_and_the_probability() -> None:
    p = probabilities(SCORES)
    wrong = [n for n in range(60) if SCORES[n].argmax() != LABELS[n]]
    wrong.sort(key=lambda n: p[n, LABELS[n]])
    expected = [f"{LABELS[n]}, seen as {p[n].argmax()}\n{p[n].max():.1%}" for n in wrong[:7]]
    figure = plot_mistakes(NET, SCORES, LABELS, count=7)
    assert texts(figure.axes[0]) == expected
    assert figure.axes[0].get_title(loc="left") == f"the 7 worst of {len(wrong)} mistakes among 60 examples"
    np.testing.assert_array_equal(tiles(figure)[:2, :2], SCORES[wrong[0]].reshape(2, 2))


def test_the_worst_is_found_where_probabilities_round_to_one() -> None:
    scores = np.array([[800.0, 0, 0, 0], [900, 0, 0, 0], [850, 0, 0, 0], [0, 0, 0, 5]])
    figure = plot_mistakes(NET, scores, [1, 2, 3, 3])
    assert texts(figure.axes[0]) == ["2, seen as 0\n100.0%", "3, seen as 0\n100.0%", "1, seen as 0\n100.0%"]


def test_a_score_that_is_nan_is_the_worst_mistake() -> None:
    scores = np.array([[9.0, 0, 0, 0], [np.nan, 0, 0, 0]])
    assert texts(plot_mistakes(NET, scores, [1, 1]).axes[0])[0] == "1, seen as 0\nnan%"


def test_labels_may_be_one_hot_or_a_column() -> None:
    expected = texts(plot_mistakes(NET, SCORES, LABELS).axes[0])
    assert texts(plot_mistakes(NET, SCORES, np.eye(4)[LABELS]).axes[0]) == expected
    assert texts(plot_mistakes(NET, SCORES.tolist(), LABELS[:, None]).axes[0]) == expected


@pytest.mark.parametrize("shape", [(60, 1, 4), (60, 4, 1), (60, 1, 1, 4)])
def test_images_keep_the_shape_they_have(shape: tuple[int, ...]) -> None:
    figure = plot_mistakes(NET, SCORES.reshape(shape), LABELS, count=1)
    worst = tiles(figure)
    assert np.argwhere(np.isfinite(worst)).max(axis=0).tolist() == [shape[-2] - 1, shape[-1] - 1]


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_mistakes_are_images_whatever_shape_the_examples_have(rows: bool, channels: int) -> None:
    net, x = seeing(channels), np.random.default_rng(2).random((9, channels, 6, 8))
    wrong = (net.predict(x).argmax(axis=1) + 1) % 4
    image = tile(plot_mistakes(net, x.reshape(9, -1) if rows else x, wrong), 0, 6, 8, 9)
    assert sum(np.allclose(image, each.mean(axis=0), rtol=1e-12) for each in x) == 1
    one = tile(plot_mistakes(net, x[3].ravel() if rows else x[3], wrong[3:4] if rows else wrong[3]), 0, 6, 8, 1)
    np.testing.assert_allclose(one, x[3].mean(axis=0), rtol=1e-12)


def test_one_example_without_an_axis_for_it_is_one_example() -> None:
    figure = plot_mistakes(NET, np.eye(4)[2], [0])
    assert figure.axes[0].get_title(loc="left") == "1 mistake among 1 example"
    assert np.isfinite(tiles(figure)).sum() == 4


def test_a_network_without_mistakes_says_so(tmp_path: Any) -> None:
    figure = plot_mistakes(NET, np.eye(4), range(4))
    assert figure.axes[0].get_title(loc="left") == "no mistake among 4 examples"
    figure.savefig(tmp_path / "none.png")


# --- confusion ---


def test_the_cells_hold_counts_and_shares_of_the_row() -> None:
    expected = []
    for right in range(4):
        of_class = [n for n in range(60) if LABELS[n] == right]
        for predicted in range(4):
            number = sum(SCORES[n].argmax() == predicted for n in of_class)
            expected += [str(number), f"{number / len(of_class):.1%}"] if number else []
    figure = plot_confusion(NET, SCORES, LABELS)
    assert texts(figure.axes[0]) == expected
    share = np.mean(SCORES.argmax(axis=1) == LABELS)
    assert figure.axes[0].get_title(loc="left").endswith(f"accuracy {share:.4f}")


def test_a_cell_stands_in_the_row_of_its_right_class() -> None:
    axes = plot_confusion(NET, [[0.0, 0, 0, 1]], [1]).axes[0]
    assert {(round(text.get_position()[0]), round(text.get_position()[1])) for text in axes.texts} == {(3, 1)}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "right class")
    assert axes.get_ylim() == (3.5, -0.5)  # class 0 on top


def test_a_class_without_examples_has_an_empty_row(tmp_path: Any) -> None:
    figure = plot_confusion(NET, [[0.0, 0, 0, 1]], [3])
    assert texts(figure.axes[0]) == ["1", "100.0%"]  # nowhere nan%, of no examples
    figure.savefig(tmp_path / "one.png")


def test_no_two_numbers_of_ten_classes_overlap() -> None:
    net = Network({"Affine1": Affine(np.eye(10), np.zeros(10))})
    x = np.eye(10)[np.repeat(np.arange(10), 10)]
    figure = plot_confusion(net, np.tile(x, (100, 1)), np.tile(np.arange(10), 1000))  # 100 in every cell
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 200
    assert sum(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n]) == 0


def test_many_classes_are_drawn_without_numbers() -> None:
    net = Network({"Affine1": Affine(np.eye(30), np.zeros(30))})
    axes = plot_confusion(net, np.eye(30), range(30)).axes[0]
    assert texts(axes) == []
    assert [label.get_text() for label in axes.get_xticklabels()] == [str(c) for c in range(0, 30, 2)]


# --- what holds for all ---


@pytest.mark.parametrize("plot", [plot_mistakes, plot_confusion])
def test_examples_and_labels_that_do_not_fit_are_refused(plot: Any) -> None:
    with pytest.raises(ValueError, match=r"labels must lie in 0\.\.3; got 4 at row 0"):
        plot(NET, SCORES[:2], [4, 0])
    with pytest.raises(ValueError, match="t must have shape"):
        plot(NET, SCORES[:2], [0, 0, 0])
    with pytest.raises(ValueError, match="there are no examples"):
        plot(NET, np.zeros((0, 4)), [])
    with pytest.raises(TypeError, match=r"have its predict\(x\), got str"):
        plot("net", SCORES, LABELS)


def test_no_array_is_written_to() -> None:
    net, x, t = TwoLayerNet(4, 3, 4, seed=0), SCORES.copy(), np.eye(4)[LABELS]
    before = [array.copy() for array in (*net.params.values(), x, t)]
    for array in (*net.params.values(), x, t):
        array.flags.writeable = False
    plot_weights(net), plot_mistakes(net, x, t), plot_confusion(net, x, t)
    for array, values in zip((*net.params.values(), x, t), before, strict=True):
        np.testing.assert_array_equal(array, values)


def test_a_notebook_shows_a_figure_by_itself() -> None:
    assert plot_confusion(NET, SCORES, LABELS)._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"


def contrast(one: Any, other: Any) -> float:
    """Give the contrast ratio of two colours, as the Web Content Accessibility Guidelines define it."""
    light = []
    for colour in (one, other):
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return float((max(light) + 0.05) / (min(light) + 0.05))


@pytest.mark.parametrize(("paper", "ink"), [("#ffffff", "#1f2328"), ("#15181d", "#e6e9ed")])
def test_curves_and_cells_can_be_seen_on_light_and_on_dark(paper: str, ink: str) -> None:
    run = history(1000)
    run.validation_loss = [0.5, 0.4]
    page, text = (np.array(matplotlib.colors.to_rgb(colour)) for colour in (paper, ink))
    for line in plot_history(run).axes[0].lines:
        assert contrast(matplotlib.colors.to_rgb(line.get_color()), page) >= 3
    (cells,) = plot_confusion(NET, SCORES, LABELS).axes[0].collections
    for *colour, alpha in cells.get_facecolors():
        assert contrast(alpha * np.array(colour) + (1 - alpha) * page, text) >= 4.5


def test_text_and_axes_have_the_colours_of_the_readers_own_style() -> None:
    with matplotlib.rc_context({"text.color": "#abcdef"}):
        figure = plot_confusion(NET, SCORES, LABELS)
    assert {text.get_color() for text in figure.axes[0].texts} == {"#abcdef"}


PICTURES = """
import numpy as np
from chainrule import *
net, x, t = TwoLayerNet(4, 3, 2, seed=0), np.ones((5, 4)), [0, 1, 0, 1, 0]
seeing = SimpleConvNet((1, 6, 6), seed=0)
pictures = [lambda: plot_history(History(losses=[2.0, 1.0])), lambda: plot_weights(net),
            lambda: plot_mistakes(net, x, t), lambda: plot_confusion(net, x, t),
            lambda: plot_feature_maps(seeing, np.ones((1, 6, 6)))]
"""


def run(program: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True, env=environment
    )
    return done.stdout


def test_pictures_need_no_display_and_leave_pyplot_alone() -> None:
    program = f"{PICTURES}for p in pictures: p()._repr_png_()\nimport sys; print('matplotlib.pyplot' in sys.modules)"
    assert run(program, MPLBACKEND="tkagg") == "False\n"


def test_without_matplotlib_the_extra_is_named_by_every_picture() -> None:
    program = f"""
import sys; sys.modules['matplotlib'] = None
{PICTURES}
for p in pictures:
    try: p()
    except ImportError as error: print(error)"""
    assert run(program) == 5 * "pictures need matplotlib: pip install 'chainrule[plot]'\n"
