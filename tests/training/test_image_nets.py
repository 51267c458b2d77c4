"""fit with layers for images: Rust against the layers' own methods, statistics, masks, augmentation, long gradients."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import (
    SGD,
    Adam,
    Affine,
    BatchNormalization,
    Convolution,
    DeepConvNet,
    Dropout,
    EarlyStopping,
    LayerNormalization,
    Momentum,
    MultiLayerNet,
    MultiLayerNetExtend,
    Network,
    Pooling,
    Relu,
    Reshape,
    SimpleConvNet,
    fit,
    load,
)
from chainrule.nn import engine
from chainrule.storage.model_files import unpack


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def network(own: bool = False, dtype: Any = np.float64) -> Network:
    """Make a network with every kind of layer that trains otherwise than it evaluates, and a padded pool."""
    draw = rng(1)

    def drawn(*shape: int) -> Any:
        return (draw.normal(size=shape) * 0.3).astype(dtype)

    def ones(n: int) -> Any:
        return np.ones(n, dtype)

    def zeros(n: int) -> Any:
        return np.zeros(n, dtype)

    return Network(
        {
            "Reshape": Reshape((2, 6, 7)),
            "Conv": Convolution(drawn(4, 2, 3, 3), zeros(4), stride=2, pad=1),
            "BatchNorm1": BatchNormalization(ones(4), zeros(4)),
            "Relu": OwnRelu() if own else Relu(),
            "Pool": Pooling(2, 2, 1, 1),
            "Dropout1": Dropout(0.3),
            "Affine1": Affine(drawn(80, 9), zeros(9)),
            "LayerNorm": LayerNormalization(ones(9), zeros(9)),
            "Dropout2": Dropout(0.2),
            "Affine2": Affine(drawn(9, 3), zeros(3)),
            "BatchNorm2": BatchNormalization(ones(3), zeros(3)),
        }
    )


def data(n: int = 50) -> tuple[Any, Any]:
    return rng(2).normal(size=(n, 84)), rng(3).integers(0, 3, n)


def numbers(net: Network) -> list[Any]:
    """Give everything that a network computes by."""
    norms = [layer for layer in net.layers.values() if isinstance(layer, BatchNormalization)]
    return [*net.params.values(), *(a for norm in norms for a in (norm.running_mean, norm.running_var))]


def augment(x: Any, draw: np.random.Generator) -> Any:
    x += draw.normal(size=x.shape).astype(x.dtype)
    return x


OPTIONS: list[dict[str, Any]] = [
    {},
    {"optimizer": Adam(0.01)},
    {"optimizer": SGD(0.1, weight_decay=0.1)},
    {"optimizer": Momentum(0.05), "largest_norm": 0.3},
    {"augment": augment},
    {"sample_weight": rng(4).random(50), "label_smoothing": 0.1, "largest_norm": 0.3, "augment": augment},
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("options", OPTIONS, ids=[", ".join(options) or "plain" for options in OPTIONS])
def test_rust_and_the_layers_own_methods_train_alike(options: dict[str, Any], dtype: Any) -> None:
    import copy

    x, t = data()
    nets = [network(own, dtype) for own in (False, True)]
    assert [engine.Ours(net).plan(x) is None for net in nets] == [False, True]
    histories = [
        fit(net, x, t, epochs=3, batch_size=8, seed=5, test=(x[:20], t[:20]), **copy.deepcopy(options)) for net in nets
    ]
    # The kernels are the same, but the norm of all gradients is summed up in another order, and Adam divides by √v.
    close: dict[str, Any] = {"rtol": 1e-9, "atol": 1e-11} if dtype is np.float64 else {"rtol": 1e-3, "atol": 1e-4}
    for a, b in zip(*map(numbers, nets), strict=True):
        np.testing.assert_allclose(a, b, **close)
    for name, values in histories[0].to_dict().items():
        np.testing.assert_allclose(values, histories[1].to_dict()[name], **close)


def test_evaluation_draws_nothing_moves_nothing_and_is_the_layers() -> None:
    net, (x, t) = network(), data()
    fit(net, x, t, epochs=2, batch_size=10, seed=0)
    before = [array.copy() for array in numbers(net)]
    np.random.seed(0)
    scores = net.predict(x)
    np.testing.assert_array_equal(scores, net.predict(x))
    np.testing.assert_allclose(scores, net._forward(x, training=False), rtol=1e-12, atol=1e-14)
    own = network(own=True)
    for a, b in zip(numbers(own), before, strict=True):
        a[...] = b
    np.testing.assert_allclose(scores, own.predict(x), rtol=1e-12, atol=1e-14)
    net.accuracy(x, t)
    net.score(x, t)
    assert np.random.random() == np.random.RandomState(0).random_sample()
    for array, was in zip(numbers(net), before, strict=True):
        np.testing.assert_array_equal(array, was)
    net.loss(x, t)
    assert not np.array_equal(numbers(net)[-1], before[-1])


def test_the_losses_reported_after_an_epoch_are_those_of_evaluation() -> None:
    net, (x, t) = network(), data()
    history = fit(net, x, t, epochs=1, batch_size=10, seed=0, test=(x[:20], t[:20]))
    shifted = net.predict(x) - net.predict(x).max(axis=1, keepdims=True)
    log_y = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    assert history.train_loss[0] == pytest.approx(-log_y[np.arange(50), t].mean(), rel=1e-12)
    assert history.test_accuracy[0] == np.mean(net.predict(x[:20]).argmax(axis=1) == t[:20])


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("options", [{}, {"augment": augment, "largest_norm": 0.5}], ids=["plain", "augmented"])
def test_a_resumed_run_has_the_bits_it_would_have_had(own: bool, options: dict[str, Any], tmp_path: Path) -> None:
    x, t = data()

    def run(seed: int, **more: Any) -> tuple[Network, list[float]]:
        net = network(own)
        stopping = EarlyStopping(50)
        common = {"batch_size": 8, "validation": 0.2, "callbacks": [stopping], "optimizer": Adam(0.01), **options}
        return net, fit(net, x, t, seed=seed, **common, **more).losses

    whole, losses = run(5, epochs=4)
    run(5, iterations=13, checkpoint=tmp_path / "run")  # within an epoch
    again, resumed = run(9, epochs=4, resume=tmp_path / "run")
    assert losses == resumed
    for a, b in zip(numbers(whole), numbers(again), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_brings_back_the_statistics_and_every_layer(tmp_path: Path) -> None:
    net, (x, t) = network(), data()
    fit(net, x, t, epochs=1, batch_size=10, seed=0)
    net.save(tmp_path / "net")
    again = load(tmp_path / "net")
    np.testing.assert_array_equal(again.predict(x), net.predict(x))
    assert list(again.params) == list(net.params)
    into = load(tmp_path / "net", into=network())
    np.testing.assert_array_equal(into.predict(x), net.predict(x))
    for number, name in enumerate(["running_mean1", "running_var1", "running_mean2", "running_var2"]):
        layer = net.layers[f"BatchNorm{number // 2 + 1}"]
        wanted = layer.running_var if number % 2 else layer.running_mean
        np.testing.assert_array_equal(unpack(tmp_path / "net").statistics[name], wanted)


def test_the_best_networks_statistics_come_back_with_its_parameters() -> None:
    class Spoil:
        def on_epoch(self, run: Any) -> None:
            if run.epoch > 1:
                run.net.layers["BatchNorm1"].running_mean += 100

    net, (x, t) = network(), data()
    stopping = EarlyStopping(2)
    history = fit(net, x, t, epochs=9, batch_size=8, seed=0, validation=(x, t), callbacks=[stopping, Spoil()])
    best = history.validation_loss[stopping.best_epoch - 1]
    assert net.last_layer.evaluate(net.predict(x), t)[0] == pytest.approx(best, rel=1e-12)


def test_an_error_leaves_statistics_and_masks_as_they_were() -> None:
    net, (x, t) = network(), data()
    before = [array.copy() for array in numbers(net)]
    state = net.layers["Dropout1"].masks.state
    with pytest.raises(FloatingPointError):
        fit(net, 1e200 * x, t, epochs=3, batch_size=8, learning_rate=1e300, seed=0)
    for array, was in zip(numbers(net), before, strict=True):
        np.testing.assert_array_equal(array, was)
    assert net.layers["Dropout1"].masks.state == state


DIGEST = f"""
import hashlib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_image_nets import digest
print(digest())
"""


def digest() -> str:
    """Give a digest of nets trained in both dtypes, on batches large enough for several threads."""
    found = hashlib.sha256()
    x, t = rng(2).normal(size=(300, 84)), rng(3).integers(0, 3, 300)
    images, labels = rng(4).random((150, 1, 28, 28)), rng(5).integers(0, 10, 150)
    for dtype in (np.float64, np.float32):
        net = network(dtype=dtype)
        fit(net, x, t, epochs=2, batch_size=128, optimizer=Adam(), seed=0)
        deep = DeepConvNet(dtype=dtype, seed=0)
        fit(deep, images, labels, epochs=1, batch_size=70, optimizer=Adam(), seed=0)
        for array in (*numbers(net), *numbers(deep), deep.predict(images)):
            found.update(array.tobytes())
    return found.hexdigest()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    def printed(threads: int) -> str:
        env = os.environ | {"CHAINRULE_NUM_THREADS": str(threads), "CHAINRULE_CPUS": "7"}
        done = subprocess.run([sys.executable, "-c", DIGEST], env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert {printed(1), printed(2), printed(4), printed(7)} == {printed(3)}


def test_a_bounded_gradient_has_that_norm_and_a_short_one_is_left_alone() -> None:
    for largest, factor in ((1e-3, None), (1e3, 1.0)):
        net, (x, t) = (
            SimpleConvNet((2, 6, 7), {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}, seed=0),
            data(),
        )
        before = {name: array.copy() for name, array in net.params.items()}
        gradient = net.gradient(x[:9], t[:9])
        fit(net, x[:9], t[:9], iterations=1, batch_size=9, learning_rate=1.0, seed=0, largest_norm=largest)
        norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
        for name, array in net.params.items():
            wanted = gradient[name] * (largest / norm if factor is None else factor)
            np.testing.assert_allclose(before[name] - array, wanted, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("own", [False, True])
def test_augmentation_sees_a_copy_of_the_batch_in_its_own_shape_and_is_seen_by_no_evaluation(own: bool) -> None:
    images, t = rng(2).normal(size=(20, 2, 6, 7)), rng(3).integers(0, 3, 20)
    before, seen = images.copy(), []

    def blank(x: Any, draw: np.random.Generator) -> Any:
        seen.append((x.shape, x.dtype, draw.random()))
        x[...] = 0
        return x

    net, plain = network(own), network(own)
    history = fit(net, images, t, epochs=2, batch_size=8, seed=0, augment=blank)
    np.testing.assert_array_equal(images, before)
    assert [shape for shape, _, _ in seen] == [(8, 2, 6, 7), (8, 2, 6, 7), (4, 2, 6, 7)] * 2
    assert len({number for _, _, number in seen}) == 6  # another generator a step
    assert history.train_loss[1] == pytest.approx(net.last_layer.evaluate(net.predict(images), t)[0])
    again = fit(plain, np.zeros_like(images), t, epochs=2, batch_size=8, seed=0, augment=lambda x, _: x)
    np.testing.assert_allclose(history.losses, again.losses, rtol=1e-12)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            lambda x, _: x[:, 1:],
            r"augment must return a batch of the shape and dtype it got, \(8, 84\) float64, got \(8, 83\)",
        ),
        (lambda x, _: x.astype(np.float32), r"got \(8, 84\) float32"),
    ],
)
def test_what_augmentation_may_not_give(bad: Any, message: str) -> None:
    net, (x, t) = network(), data()
    before = [array.copy() for array in numbers(net)]
    with pytest.raises(ValueError, match=message):
        fit(net, x, t, batch_size=8, seed=0, augment=bad)
    for array, was in zip(numbers(net), before, strict=True):
        np.testing.assert_array_equal(array, was)
    with pytest.raises(TypeError, match="augment must be a function of a batch and a generator, got 3"):
        fit(net, x, t, augment=3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="largest_norm must be > 0"):
        fit(net, x, t, largest_norm=0)


@pytest.mark.parametrize("kind", ["simple", "deep", "mlp", "extend"])
@pytest.mark.parametrize("stored", [np.uint8, np.float32, np.float64])
def test_the_books_nets_run_whole_in_rust_on_images_and_on_rows(kind: str, stored: Any) -> None:
    images = rng(1).integers(0, 200, (12, 1, 28, 28)).astype(stored)
    t = rng(2).integers(0, 10, 12)
    make: Any = {
        "simple": lambda: SimpleConvNet(seed=0),
        "deep": lambda: DeepConvNet(seed=0),
        "mlp": lambda: MultiLayerNet(784, (20, 10), 10, seed=0),
        "extend": lambda: MultiLayerNetExtend(784, [20, 10], 10, use_dropout=True, use_batchnorm=True, seed=0),
    }[kind]
    rows, shaped = make(), make()
    x = images.reshape(12, 784)
    assert engine.Ours(rows).plan(x) is not None
    fit(rows, x, t, batch_size=4, learning_rate=1e-6, seed=0)
    fit(shaped, images, t, batch_size=4, learning_rate=1e-6, seed=0)
    for name, array in rows.params.items():
        np.testing.assert_array_equal(array, shaped.params[name])
    np.testing.assert_array_equal(rows.predict(x), shaped.predict(images))
    one = images[3] if kind in ("simple", "deep") else x[3]
    np.testing.assert_allclose(rows.predict(one), rows.predict(images)[3], rtol=1e-12)
    assert rows.gradient(one, t[3]).keys() == rows.params.keys()


def test_a_penalty_is_in_the_loss_in_the_gradient_and_the_steps_of_weight_decay() -> None:
    x, t = rng(1).random((30, 8)), rng(2).integers(0, 3, 30)
    net, plain = MultiLayerNet(8, [5], 3, weight_decay_lambda=0.1, seed=0), MultiLayerNet(8, [5], 3, seed=0)
    weights = sum((plain.params[name] ** 2).sum() for name in ("W1", "W2"))
    assert net.loss(x, t) == pytest.approx(plain.loss(x, t) + 0.05 * weights, rel=1e-12)
    mine, theirs = net.gradient(x, t), plain.gradient(x, t)
    for name, array in plain.params.items():
        np.testing.assert_allclose(mine[name], theirs[name] + (0.1 * array if name[0] == "W" else 0), rtol=1e-12)
    assert chainrule.check_gradients(net, x, t).ok
    history = fit(net, x, t, epochs=3, batch_size=10, learning_rate=0.1, seed=0)
    fit(plain, x, t, epochs=3, batch_size=10, optimizer=SGD(0.1, weight_decay=0.1), seed=0)
    for name, array in plain.params.items():
        np.testing.assert_allclose(net.params[name], array, rtol=1e-10, atol=1e-12)
    assert history.train_loss[-1] == pytest.approx(net.loss(x, t), rel=1e-12)


@pytest.mark.parametrize(("name", "wanted"), [("he", 2), ("ReLU", 2), ("xavier", 1), ("Sigmoid", 1)])
def test_the_names_of_initial_values_are_deviations(name: str, wanted: int) -> None:
    net = MultiLayerNet(400, [300], 10, weight_init_std=name, seed=0)
    # Of 120,000 numbers the deviation is known to a relative 1/√240,000.
    assert net.params["W1"].std() == pytest.approx(np.sqrt(wanted / 400), rel=4 / np.sqrt(240_000))
    assert net.params["W2"].std() == pytest.approx(np.sqrt(wanted / 300), rel=4 / np.sqrt(6_000))
    with pytest.raises(ValueError, match=r"weight_init_std must be a number or one of he, relu, xavier.*, got 'best'"):
        MultiLayerNet(4, [3], 2, weight_init_std="best")


def test_a_layer_of_ones_own_is_told_whether_it_trains() -> None:
    told: list[tuple[str, Any]] = []

    class First(Relu):
        def forward(self, x: Any, train_flg: bool = True) -> Any:
            told.append(("first", train_flg))
            return super().forward(x)

    class Second(Relu):
        def forward(self, x: Any, *, training: bool = False) -> Any:
            told.append(("second", training))
            return super().forward(x)

    net = Network({"a": First(), "b": Second(), "c": Relu(), "d": Affine(np.eye(3), np.zeros(3))})
    x, t = rng().random((4, 3)), [0, 1, 2, 0]
    net.predict(x)
    assert told == [("first", False), ("second", False)]
    told.clear()
    net.gradient(x, t)
    assert told == [("first", True), ("second", True)]
    told.clear()
    fit(net, x, t, iterations=1, batch_size=4)
    assert set(told) == {("first", True), ("first", False), ("second", True), ("second", False)}
