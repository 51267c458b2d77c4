"""fit.py: the tutorial's loop against its own code, ``fit`` against that loop, and everything ``fit`` refuses."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from itertools import chain
from types import SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seed_reference as seed
from chainrule import _kernels
from chainrule.data.mnist import load_mnist
from chainrule.nn import engine
from chainrule.nn.functions import softmax
from chainrule.nn.layers import Affine, Identity, LeakyRelu, Relu, Rescaling, Sigmoid, Tanh
from chainrule.nn.multi_layer_net import MultiLayerNet
from chainrule.nn.network import Network
from chainrule.nn.passes import run as run_layer
from chainrule.nn.two_layer_net import TwoLayerNet
from chainrule.training.callbacks import EarlyStopping
from chainrule.training.fit import fit
from chainrule.training.history import History
from chainrule.training.optimizers import SGD, Adam


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


class OwnGradient(TwoLayerNet):
    """Our network with a ``gradient`` of its own, which does the same."""

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:  # type: ignore[override]  # as a tutorial's reader writes it
        return super().gradient(x, t)


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def engine_net(**options: Any) -> TwoLayerNet:
    """Make a network that Rust trains."""
    return TwoLayerNet(6, 5, 4, 0.5, **{"seed": 0, **options})


def own_layer_net(**options: Any) -> TwoLayerNet:
    """Make the same network, trained through its own methods."""
    net = engine_net(**options)
    net.layers["Relu1"] = OwnRelu()
    return net


def own_gradient_net(**options: Any) -> TwoLayerNet:
    return OwnGradient(6, 5, 4, 0.5, **{"seed": 0, **options})


NETS = [engine_net, own_layer_net, own_gradient_net]


def data(N: int = 50) -> tuple[Any, Any]:
    """Give N examples with classes that a network can learn."""
    x = rng(1).normal(size=(N, 6))
    return x, np.argmax(x @ rng(2).normal(size=(6, 4)), axis=1)


def bits(net: Any) -> list[bytes]:
    return [array.tobytes() for array in net.params.values()]


def assert_close(net: Any, other: Any, **tolerance: Any) -> None:
    for name, array in net.params.items():
        np.testing.assert_allclose(array, other.params[name], err_msg=name, **tolerance)


def each_epoch(f: Any) -> Any:
    """Make a callback that calls ``f(net, history)`` after each epoch."""
    return SimpleNamespace(on_epoch=lambda run: f(run.net, run.history))


def tutorial_loop(net: Any, x: Any, t: Any, iterations: int, batch_size: int, learning_rate: float) -> list[float]:
    """Run the tutorial's own loop, word for word but for the printing."""
    train_loss_list = []
    for _ in range(iterations):
        batch_mask = np.random.choice(x.shape[0], batch_size)
        x_batch = x[batch_mask]
        t_batch = t[batch_mask]
        grad = net.gradient(x_batch, t_batch)
        for key in ("W1", "b1", "W2", "b2"):
            net.params[key] -= learning_rate * grad[key]
        train_loss_list.append(net.loss(x_batch, t_batch))
    return train_loss_list


@pytest.fixture(scope="session")
def mnist() -> Any:
    return load_mnist(one_hot_label=True)


# --- the tutorial's loop ---


@pytest.mark.parametrize("one_hot", [False, True])
def test_the_tutorials_loop_gives_the_tutorials_numbers(one_hot: bool) -> None:
    x, ids = data(200)
    t = np.eye(4)[ids] if one_hot else ids
    np.random.seed(0)
    ours = TwoLayerNet(6, 5, 4)
    losses = tutorial_loop(ours, x, t, 300, 10, 0.1)
    np.random.seed(0)
    theirs = seed.exact_two_layer_net(6, 5, 4)
    # Rounding of 1e-16 a step, which training may magnify; 300 steps.
    np.testing.assert_allclose(losses, tutorial_loop(theirs, x, t, 300, 10, 0.1), rtol=1e-10)
    assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


def test_d3_the_tutorials_script_on_float32_images_gives_the_tutorials_numbers(mnist: Any) -> None:
    """100 steps over MNIST as load_mnist gives it, float32 and one-hot, in float64."""
    (x, t), _ = mnist
    assert x.dtype == np.float32
    np.random.seed(0)
    ours = TwoLayerNet(784, 50, 10)
    losses = tutorial_loop(ours, x, t, 100, 100, 0.1)
    np.random.seed(0)
    theirs = seed.exact_two_layer_net(784, 50, 10)
    np.testing.assert_allclose(losses, tutorial_loop(theirs, x, t, 100, 100, 0.1), rtol=1e-10)
    assert_close(ours, theirs, rtol=1e-10)
    assert losses[-1] < losses[0] - 0.1


@pytest.mark.slow
def test_the_tutorials_loop_on_mnist_gives_the_tutorials_losses(mnist: Any) -> None:
    (x, t), _ = mnist
    x = x.astype(np.float64)
    np.random.seed(0)
    losses = tutorial_loop(TwoLayerNet(784, 50, 10), x, t, 600, 100, 0.1)
    np.random.seed(0)
    theirs = tutorial_loop(seed.exact_two_layer_net(784, 50, 10), x, t, 600, 100, 0.1)
    np.testing.assert_allclose(losses, theirs, rtol=0, atol=1e-6)
    assert losses[-1] < 0.5 < 2 < losses[0]


def test_mnist_ten_thousand_steps_reach_the_tutorials_accuracy(mnist: Any) -> None:
    (x, t), test = mnist
    net = TwoLayerNet(784, 50, 10, dtype=np.float32, seed=0)
    history = fit(net, x, t, test=test, iterations=10_000, seed=0)
    # The tutorial prints 0.97 at the end, and no less than 0.9628 in its last six lines.
    assert history.test_accuracy[-1] >= 0.965
    assert history.test_accuracy[-1] == net.accuracy(*test)


# --- both ways give the same ---


def both(x: Any, t: Any, other: Any = own_layer_net, dtype: Any = np.float64, **options: Any) -> Iterator[Any]:
    for make in (engine_net, other):
        net = make(dtype=dtype)
        yield net, fit(net, x, t, seed=3, **options)


@pytest.mark.parametrize("other", [own_layer_net, own_gradient_net])
@pytest.mark.parametrize(
    "options",
    [{"epochs": 5, "batch_size": 7}, {"iterations": 23, "batch_size": 10}, {"replace": True, "batch_size": 60}],
)
def test_rust_and_the_networks_own_methods_give_the_same_numbers(options: Any, other: Any) -> None:
    (net, history), (twin, twins) = both(*data(), other, **options)
    # Rounding of 1e-16 a step, up to 40 steps.
    np.testing.assert_allclose(history.losses, twins.losses, rtol=1e-12)
    assert_close(net, twin, rtol=1e-11, atol=1e-13)
    assert history.train_accuracy == twins.train_accuracy


def test_rust_and_the_networks_own_methods_agree_in_float32() -> None:
    (net, history), (twin, twins) = both(*data(), dtype=np.float32, epochs=5, batch_size=7)
    # ε = 6e-8 a step, 40 steps.
    np.testing.assert_allclose(history.losses, twins.losses, rtol=1e-5)
    assert_close(net, twin, rtol=1e-4, atol=1e-5)
    assert {a.dtype for a in net.params.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize("t", ["one_hot", "soft", "column"])
def test_both_ways_agree_for_every_form_of_labels(t: str) -> None:
    x, ids = data()
    soft = softmax(rng(5).normal(size=(50, 4)))
    labels = {"one_hot": np.eye(4)[ids], "soft": soft, "column": ids[:, None]}[t]
    (net, history), (twin, twins) = both(x, labels, batch_size=7, epochs=3)
    np.testing.assert_allclose(history.losses, twins.losses, rtol=1e-12)
    assert_close(net, twin, rtol=1e-11, atol=1e-13)


def deep(relu: Any) -> Network:
    r = rng(3)
    return Network(
        {
            "Relu0": relu(),
            "Affine1": Affine(r.normal(size=(6, 5)), r.normal(size=5)),
            "Sigmoid1": Sigmoid(),
            "Affine2": Affine(r.normal(size=(5, 7)), r.normal(size=7)),
            "Relu1": relu(),
            "Affine3": Affine(r.normal(size=(7, 4)), r.normal(size=4)),
        }
    )


def test_both_ways_agree_for_a_deeper_stack_that_begins_with_an_activation() -> None:
    net, twin = deep(Relu), deep(OwnRelu)
    losses = fit(net, *data(), batch_size=7, epochs=3, seed=0).losses
    np.testing.assert_allclose(losses, fit(twin, *data(), batch_size=7, epochs=3, seed=0).losses, rtol=1e-12)
    assert_close(net, twin, rtol=1e-11, atol=1e-13)


def pixels(share: float, N: int = 50) -> tuple[Any, Any]:
    """Give N images of 5 x 5 bytes, of which a `share` is not zero, and classes that a network can learn."""
    x = rng(1).integers(1, 256, (N, 1, 5, 5)).astype(np.uint8)
    x[rng(2).random(x.shape) > share] = 0
    return x, np.argmax(x.reshape(N, 25) @ rng(3).normal(size=(25, 4)), axis=1)


def pixel_net(*front: Any, middle: Any, dtype: Any = np.float64) -> Network:
    """Make a network 25-17-4 behind the layers in `front`, with `middle` between its products."""
    r = rng(4)
    W1, W2 = (0.3 * r.normal(size=shape) for shape in ((25, 17), (17, 4)))
    first, second = Affine(W1.astype(dtype), np.zeros(17)), Affine(W2.astype(dtype), np.zeros(4))
    return Network({**{f"Front{i}": layer for i, layer in enumerate(front)}, "A": first, "M": middle, "B": second})


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_rescaling_in_front_of_bytes_trains_as_scaling_them_beforehand(relu: Any, share: float, dtype: Any) -> None:
    x, t = pixels(share)
    net, twin = pixel_net(Rescaling(), middle=relu(), dtype=dtype), pixel_net(middle=relu(), dtype=dtype)
    options: Any = {"batch_size": 7, "epochs": 3, "seed": 3}
    assert (engine.known_arrays(net.layers) is None) == (relu is OwnRelu)
    history = fit(net, x, t, test=(x, t), **options)
    twins = fit(twin, x / 255, t, test=(x / 255, t), **options)
    # ε a step, 24 steps, of gradients with sums of 25 + 17 terms of size 1, of which a step takes a tenth.
    atol = 24 * 42 / 10 * np.finfo(dtype).eps
    np.testing.assert_allclose(history.losses, twins.losses, rtol=0, atol=atol)
    assert_close(net, twin, rtol=0, atol=atol)
    assert history.train_accuracy == twins.train_accuracy == history.test_accuracy


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize(
    "middle", [Relu, Tanh, LeakyRelu, Sigmoid, Identity, lambda: LeakyRelu(0.3), lambda: Rescaling(-0.7)]
)
@pytest.mark.parametrize(
    "front",
    [
        (),
        (Identity,),
        (Rescaling,),
        (Rescaling, Tanh),
        (Rescaling, Rescaling),
        (Rescaling, Identity),
        (Identity, Rescaling),
    ],
)
def test_both_ways_agree_for_every_layer(front: Any, middle: Any, share: float, dtype: Any) -> None:
    class Own(type(middle())):  # type: ignore[misc]
        """The same layer under another name."""

    x, t = pixels(share)
    x = x if Rescaling in front else x / 255
    other = middle()
    other.__class__ = Own
    net, twin = (pixel_net(*(f() for f in front), middle=m, dtype=dtype) for m in (middle(), other))
    assert engine.known_arrays(net.layers) is not None
    assert engine.known_arrays(twin.layers) is None
    losses = fit(net, x, t, batch_size=7, epochs=3, seed=3).losses
    twins = fit(twin, x, t, batch_size=7, epochs=3, seed=3).losses
    atol = 24 * 42 / 10 * np.finfo(dtype).eps  # as above
    np.testing.assert_allclose(losses, twins, rtol=0, atol=atol)
    assert_close(net, twin, rtol=0, atol=atol)


@pytest.mark.parametrize("stored", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_an_identity_anywhere_changes_nothing(relu: Any, share: float, stored: Any) -> None:
    """In front, behind Rescaling, in the middle and as the output layer: in Rust and by the network's own methods."""
    x, t = pixels(share)
    x = x.astype(stored)
    options: Any = {"batch_size": 7, "epochs": 3, "seed": 3, "test": (x, t)}
    plain = pixel_net(Rescaling(), middle=relu())
    expected = fit(plain, x, t, **options)
    for place in range(5):
        twin = pixel_net(Rescaling(), middle=relu())
        layers = list(twin.layers.items())
        net = Network(dict([*layers[:place], ("Identity", Identity()), *layers[place:]]))
        assert (engine.known_arrays(net.layers) is None) == (relu is OwnRelu)
        history = fit(net, x, t, **options)
        # Zeros may be skipped in one and not in the other: ε a step, 24 steps, as above.
        atol = 24 * 42 / 10 * np.finfo(np.float64).eps
        np.testing.assert_allclose(history.losses, expected.losses, rtol=0, atol=atol)
        assert_close(net, plain, rtol=0, atol=atol)
        assert history.test_accuracy == expected.test_accuracy
        np.testing.assert_allclose(net.predict(x), plain.predict(x), rtol=0, atol=100 * atol)


@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_a_layer_put_in_front_by_the_callback_reads_the_data_anew(relu: Any, share: float) -> None:
    """The data is gone through once, for one scale: another one is another reading."""
    x, t = pixels(share)
    nets = [pixel_net(Rescaling(1 / 255), middle=relu()) for _ in range(2)]

    def double(net: Any, history: History) -> None:
        net.layers["Front0"].scale = 2 / 255

    losses = fit(nets[0], x, t, batch_size=50, epochs=2, seed=0, callbacks=[each_epoch(double)]).losses
    fit(nets[1], x, t, batch_size=50, epochs=1, seed=0)
    nets[1].layers["Front0"].scale = 2 / 255
    # All examples in another order: their sum is rounded otherwise.
    np.testing.assert_allclose(losses[1], nets[1].loss(x, t), rtol=1e-13)


def test_examples_changed_by_the_callback_do_not_end_in_a_crash() -> None:
    """Which of the two readings is trained on is not promised."""
    x, t = pixels(0.2)
    net = pixel_net(Rescaling(), middle=Relu())

    def clear(net: Any, history: History) -> None:
        x[...] = 0

    history = fit(net, x, t, batch_size=7, epochs=3, seed=0, callbacks=[each_epoch(clear)])
    assert np.isfinite(history.losses).all()


def test_a_step_is_the_gradient_times_the_learning_rate() -> None:
    net, (x, t) = engine_net(), data()
    before = {name: array.copy() for name, array in net.params.items()}
    loss, grads = net.loss(x, t), net.gradient(x, t)
    history = fit(net, x, t, iterations=1, batch_size=50, learning_rate=0.25)
    np.testing.assert_allclose(history.losses, [loss], rtol=1e-12)
    for name, array in net.params.items():
        np.testing.assert_allclose(array, before[name] - 0.25 * grads[name], rtol=1e-12, atol=1e-14)


@given(
    st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.booleans(), st.sampled_from([np.float64, np.float32])
)
def test_both_ways_agree_at_any_size(N: int, batch_size: int, iterations: int, replace: bool, dtype: Any) -> None:
    x, t = data(N)
    options = {"batch_size": min(batch_size, N), "iterations": iterations, "replace": replace}
    (_, history), (_, twins) = both(x, t, dtype=dtype, **options)
    # Every case there is was gone through once: 26 ε at worst, of a loss that has become 0.04. Ten times that.
    np.testing.assert_allclose(history.losses, twins.losses, rtol=260 * np.finfo(dtype).eps)


# --- which examples make which batch ---


@pytest.mark.parametrize("make", NETS)
def test_the_same_seed_gives_the_same_bits(make: Any) -> None:
    first, again = make(), make()
    assert fit(first, *data(), batch_size=7, seed=5) == fit(again, *data(), batch_size=7, seed=5)
    assert bits(first) == bits(again)


def test_a_generator_given_as_seed_is_used_on() -> None:
    generator = rng(5)
    first, second = (fit(engine_net(), *data(), batch_size=7, seed=generator).losses for _ in range(2))
    assert first == fit(engine_net(), *data(), batch_size=7, seed=5).losses
    assert first != second


def test_without_a_seed_every_run_draws_anew_and_numpys_global_generator_is_left_alone() -> None:
    np.random.seed(0)
    first, second = (fit(engine_net(), *data(), batch_size=7).losses for _ in range(2))
    assert first != second
    assert np.random.random() == np.random.RandomState(0).random()


class Recorder(TwoLayerNet):
    """A network that keeps the numbers of the examples it was trained on: their first feature."""

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:  # type: ignore[override]  # as a tutorial's reader writes it
        self.seen: list[list[int]] = [*getattr(self, "seen", []), x[:, 0].astype(int).tolist()]
        return super().gradient(x, t)


def batches_seen(N: int, **options: Any) -> list[list[int]]:
    net = Recorder(2, 3, 2, seed=0)
    x = np.stack([np.arange(N), np.zeros(N)], axis=1)
    fit(net, x, np.zeros(N, int), learning_rate=1e-6, **options)
    return net.seen


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3))
def test_each_epoch_is_a_permutation_and_its_last_batch_is_what_is_left(N: int, batch_size: int, epochs: int) -> None:
    batch_size = min(batch_size, N)
    seen = batches_seen(N, batch_size=batch_size, epochs=epochs, seed=0)
    per_epoch = -(-N // batch_size)
    assert len(seen) == epochs * per_epoch
    for start in range(0, len(seen), per_epoch):
        epoch = seen[start : start + per_epoch]
        assert sorted(chain(*epoch)) == list(range(N))
        assert [len(batch) for batch in epoch[:-1]] == [batch_size] * (per_epoch - 1)


def test_epochs_are_different_permutations() -> None:
    seen = batches_seen(20, batch_size=20, epochs=2, seed=0)
    assert seen[0] != seen[1] != list(range(20))


def test_iterations_may_end_within_an_epoch() -> None:
    seen = batches_seen(20, batch_size=6, iterations=6, seed=0)
    assert [len(batch) for batch in seen] == [6, 6, 6, 2, 6, 6]
    assert seen[:4] == batches_seen(20, batch_size=6, epochs=1, seed=0)
    assert len(set(seen[4] + seen[5])) == 12


def test_replace_draws_whole_batches_in_which_examples_repeat() -> None:
    seen = batches_seen(20, batch_size=6, epochs=50, replace=True, seed=0)
    assert [len(batch) for batch in seen] == [6] * 200
    assert any(len(set(batch)) < 6 for batch in seen)
    # 1200 draws of 20 numbers: 60 of each, with a deviation of 7.5; four times that.
    assert all(30 <= count <= 90 for count in np.bincount([*chain(*seen)], minlength=20))


@pytest.mark.fault("S4")
def test_s4_replace_may_draw_more_than_there_are() -> None:
    assert [len(batch) for batch in batches_seen(5, batch_size=12, epochs=3, replace=True)] == [12, 12, 12]


@pytest.mark.parametrize("N", [12, 13])
def test_rust_sees_every_example_once_an_epoch(N: int) -> None:
    net, (x, t) = engine_net(), data(N)
    # So small a step changes no weight, and each loss tells which example it was.
    losses = fit(net, x, t, batch_size=1, epochs=2, learning_rate=1e-300, seed=0).losses
    each = sorted(net.loss(x[i], t[i]) for i in range(N))
    for epoch in (losses[:N], losses[N:]):
        np.testing.assert_allclose(sorted(epoch), each, rtol=1e-12)
    assert losses[:N] != losses[N:]


# --- what is reported ---


@pytest.mark.parametrize("make", NETS)
def test_history_has_a_loss_a_step_and_accuracies_an_epoch(make: Any) -> None:
    net, (x, t) = make(), data(50)
    history = fit(net, x, t, test=data(20), epochs=3, batch_size=8, seed=0)
    assert len(history.losses) == 21
    assert history.steps == [7, 14, 21]
    assert len(history.train_accuracy) == len(history.test_accuracy) == 3
    assert history.train_accuracy[-1] == net.accuracy(x, t)
    assert history.test_accuracy[-1] == net.accuracy(*data(20))


def test_history_ends_with_the_accuracy_of_the_last_steps() -> None:
    history = fit(engine_net(), *data(50), iterations=9, batch_size=8, seed=0)
    assert history.steps == [7, 9]
    assert len(history.losses) == 9
    assert len(history.train_accuracy) == 2
    assert history.test_accuracy == []


def test_neither_epochs_nor_iterations_is_one_epoch() -> None:
    assert len(fit(engine_net(), *data(50), batch_size=8).losses) == 7


def test_history_holds_plain_numbers() -> None:
    history = fit(engine_net(), *data(), batch_size=8)
    assert {type(number) for number in (*history.losses, *history.train_accuracy)} == {float}
    assert type(history.steps[0]) is int


@pytest.mark.parametrize("make", NETS)
def test_callback_is_called_after_each_epoch_with_the_network_and_the_history(make: Any) -> None:
    net, calls = make(), []

    def callback(got: Any, history: History) -> None:
        assert got is net
        assert history.train_accuracy[-1] == net.accuracy(*data(50))
        calls.append((history.steps[-1], len(history.losses)))

    fit(net, *data(50), iterations=16, batch_size=8, callbacks=[each_epoch(callback)])
    assert calls == [(7, 7), (14, 14), (16, 16)]


def test_a_parameter_assigned_by_the_callback_is_trained_on() -> None:
    def callback(net: Any, history: History) -> None:
        net.params["W2"] = np.zeros((5, 4))
        net.params["b2"] = np.zeros(4)

    history = fit(engine_net(), *data(50), epochs=2, batch_size=50, callbacks=[each_epoch(callback)])
    np.testing.assert_allclose(history.losses[1], np.log(4), rtol=1e-12)


@pytest.mark.parametrize("make", NETS)
def test_a_layer_replaced_by_the_callback_is_trained_from_then_on(make: Any) -> None:
    def callback(net: Any, history: History) -> None:
        if len(history.steps) == 1:
            net.layers["Affine2"] = Affine(np.zeros((5, 4)), np.zeros(4))

    net = make()
    history = fit(net, *data(50), epochs=2, batch_size=50, callbacks=[each_epoch(callback)])
    np.testing.assert_allclose(history.losses[1], np.log(4), rtol=1e-12)
    assert net.params["W2"].any()


@pytest.mark.parametrize("make", NETS)
def test_progress_is_told_the_steps_done_and_the_steps_in_all(make: Any) -> None:
    calls: list[tuple[int, int]] = []
    fit(make(), *data(50), epochs=3, batch_size=8, progress=lambda done, total: calls.append((done, total)))
    assert calls == sorted(calls)
    assert calls[-1] == (21, 21)
    assert {total for _, total in calls} == {21}


def test_progress_true_shows_a_bar_on_stderr_only(capsys: pytest.CaptureFixture[str]) -> None:
    fit(engine_net(), *data(50), batch_size=8, progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "7/7" in shown.err


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_shown_unless_asked(capsys: pytest.CaptureFixture[str], progress: Any) -> None:
    fit(engine_net(), *data(50), batch_size=8, progress=progress)
    assert capsys.readouterr() == ("", "")


class Watched(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):
    """As ipykernel's stream is: no terminal."""


Notebook.__module__ = "ipykernel.iostream"


class Printing:
    def on_epoch(self, run: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("stream", "seconds", "callbacks", "shown"),
    [
        (Watched, 2.0, [], True),
        (Notebook, 2.0, [], True),
        (io.StringIO, 2.0, [], False),
        (Watched, 0.5, [], False),
        (Watched, 2.0, [EarlyStopping(monitor="train_loss")], True),
        (Watched, 2.0, [EarlyStopping(monitor="train_loss"), Printing()], False),
    ],
)
def test_a_bar_appears_by_itself_where_somebody_watches_a_run_of_more_than_a_second(
    stream: Any, seconds: float, callbacks: Any, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched, clock = stream(), iter(np.linspace(0, seconds, 4).tolist() + [seconds] * 100)
    monkeypatch.setattr(sys, "stderr", watched)
    monkeypatch.setattr("chainrule.training.progress.time", SimpleNamespace(monotonic=lambda: next(clock)))
    fit(engine_net(), *data(50), batch_size=8, epochs=9, callbacks=callbacks, seed=0)
    assert ("63/63" in watched.getvalue()) == shown
    assert (watched.getvalue() == "") != shown


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_a_run_goes_on_without_a_stderr(stderr: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = None if stderr is None else io.StringIO()
    if stream is not None:
        stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    assert len(fit(engine_net(), *data(50), batch_size=8).losses) == 7


def test_a_small_set_is_learnt_to_the_last_example() -> None:
    net, (x, t) = TwoLayerNet(6, 30, 4, 0.5, seed=0), data(100)
    history = fit(net, x, t, epochs=300, batch_size=20, learning_rate=0.5, seed=0)
    assert history.train_accuracy[-1] == 1
    assert history.losses[-1] < 0.1 < history.losses[0]


# --- what is taken ---


def trained(x: Any, t: Any, make: Any = engine_net, **options: Any) -> tuple[list[float], list[bytes]]:
    net = make(**options)
    return fit(net, x, t, batch_size=7, seed=0).losses, bits(net)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "given", [np.uint8, np.int64, np.bool_, np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ">f4", ">f8"]
)
def test_a4_a5_a6_a8_x_of_any_dtype_counts_as_converted(given: Any, dtype: Any, make: Any) -> None:
    x, t = data()
    x = np.clip(np.abs(x * 3), 0, 9).astype(np.uint8).astype(given)
    assert trained(x, t, make, dtype=dtype) == trained(x.astype(dtype), t, make, dtype=dtype)


@pytest.mark.parametrize("make", NETS)
def test_a2_lists_count_as_arrays(make: Any) -> None:
    x, t = data()
    assert trained(x.tolist(), t.tolist(), make) == trained(x, t, make)


def packed_field(x: Any) -> Any:
    records = np.zeros(len(x), [("tag", "u1"), ("x", x.dtype, x.shape[1:])])
    records["x"] = x
    return records["x"]


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("layout", [np.asfortranarray, packed_field, lambda x: x[::-1, ::-1].copy()[::-1, ::-1]])
def test_a9_layouts_of_x_give_the_numbers_of_a_copy(layout: Any, dtype: Any, make: Any) -> None:
    x, t = data()
    x = np.abs(x * 3).astype(dtype)
    assert trained(layout(x), t, make) == trained(x, t, make)


@pytest.mark.parametrize("make", NETS)
def test_a12_images_are_flattened(make: Any) -> None:
    x, t = data()
    assert trained(x.reshape(50, 1, 2, 3), t, make) == trained(x, t, make)


def test_a12_images_as_load_mnist_gives_them_are_taken() -> None:
    images = rng(4).integers(0, 256, (20, 1, 28, 28)).astype(np.uint8)
    net, twin = (TwoLayerNet(784, 5, 10, seed=0) for _ in range(2))
    t = np.arange(20) % 10
    losses = fit(net, images, t, batch_size=6, learning_rate=1e-4, seed=0).losses
    flat = images.reshape(20, 784).astype(float)
    assert losses == fit(twin, flat, t, batch_size=6, learning_rate=1e-4, seed=0).losses


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("kind", ["column", "one_hot", "one_hot_int", "float", "uint8"])
def test_l2_l3_every_form_of_class_labels_counts_as_ids(kind: str, make: Any) -> None:
    x, t = data()
    forms = {
        "column": t[:, None],
        "one_hot": np.eye(4)[t],
        "one_hot_int": np.eye(4, dtype=np.int8)[t],
        "float": t.astype(float),
        "uint8": t.astype(np.uint8),
    }
    losses, _ = trained(x, forms[kind], make)
    # One-hot rows are multiplied out where ids are looked up: a rounding a step.
    np.testing.assert_allclose(losses, trained(x, t, make)[0], rtol=1e-12)


def test_a10_read_only_x_and_t_are_accepted() -> None:
    x, t = data()
    frozen = np.frombuffer(x.tobytes()).reshape(x.shape), np.frombuffer(t.tobytes(), t.dtype)
    assert trained(*frozen) == trained(x, t)


@pytest.mark.parametrize("make", NETS)
def test_a15_x_and_t_are_not_written(make: Any) -> None:
    x, t = data()
    before = x.tobytes() + t.tobytes()
    trained(x, t, make)
    assert x.tobytes() + t.tobytes() == before


def test_a15_one_array_as_x_and_t_is_as_if_copied() -> None:
    x = softmax(rng(4).normal(size=(50, 4)))
    net, twin = (Network({"Affine1": Affine(np.eye(4), np.zeros(4))}) for _ in range(2))
    losses = fit(net, x, x, batch_size=7, seed=0).losses
    assert losses == fit(twin, x.copy(), x.copy(), batch_size=7, seed=0).losses


@pytest.mark.parametrize("which", ["x", "t"])
@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_a15_a_parameter_as_x_or_t_is_as_if_copied(relu: Any, which: str) -> None:
    r = rng(4)
    W, x = softmax(r.normal(size=(4, 4))), r.normal(size=(4, 4))
    net, twin = (Network({"Affine1": Affine(W.copy(), np.zeros(4)), "Relu1": relu()}) for _ in range(2))
    held = net.params["W1"]
    arguments, copies = ((held, [0, 1, 2, 3]), (W, [0, 1, 2, 3])) if which == "x" else ((x, held), (x, W))
    losses = fit(net, *arguments, batch_size=2, epochs=3, seed=0).losses
    np.testing.assert_allclose(losses, fit(twin, *copies, batch_size=2, epochs=3, seed=0).losses, rtol=1e-12)


class Stranger:
    """A network that is none of ours: softmax regression with the four members ``fit`` asks for."""

    def __init__(self) -> None:
        self.params = {"W": np.zeros((6, 4))}

    def loss(self, x: Any, t: Any) -> float:
        return float(-np.log(softmax(x @ self.params["W"])[np.arange(len(t)), t]).mean())

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:
        return {"W": x.T @ (softmax(x @ self.params["W"]) - np.eye(4)[t]) / len(t)}

    def accuracy(self, x: Any, t: Any) -> float:
        return float((np.argmax(x @ self.params["W"], axis=1) == t).mean())


def test_a_network_that_is_none_of_ours_is_trained() -> None:
    history = fit(Stranger(), *data(200), epochs=100, batch_size=20, learning_rate=0.5, seed=0)
    assert history.train_accuracy[-1] > 0.95
    np.testing.assert_allclose(history.losses[0], np.log(4), rtol=1e-12)


# --- what is refused, and nothing changed then ---


def assert_refused(error: type[Exception], match: str | None, net: Any, *arguments: Any, **options: Any) -> None:
    before = bits(net)
    with pytest.raises(error, match=match):
        fit(net, *arguments, **{"batch_size": 5, "seed": 0, **options})
    assert bits(net) == before


@pytest.mark.fault("S3")
@pytest.mark.parametrize("name", ["epochs", "iterations", "batch_size"])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (10**30, ValueError),
        (np.nan, TypeError),
        (np.inf, TypeError),
        (1.5, TypeError),
        (True, TypeError),
        (np.True_, TypeError),
        ("5", TypeError),
        ([5], TypeError),
    ],
)
def test_s3_counts_must_be_whole_numbers_above_0(name: str, bad: Any, error: type[Exception]) -> None:
    assert_refused(error, f"{name} must", engine_net(), *data(), **{name: bad})


@pytest.mark.fault("S3")
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("0.1", TypeError),
        (None, TypeError),
        (0.1j, TypeError),
    ],
)
def test_s3_the_learning_rate_must_be_a_finite_number_above_0(bad: Any, error: type[Exception]) -> None:
    assert_refused(error, "learning_rate must be", engine_net(), *data(), learning_rate=bad)


def test_s3_a_batch_size_in_words_is_a_type_error() -> None:
    assert_refused(TypeError, "batch_size must be", engine_net(), *data(), batch_size="all")


def test_s3_numpys_numbers_are_counts() -> None:
    options: Any = {"epochs": np.int64(2), "batch_size": np.uint8(10), "learning_rate": np.float32(0.5)}
    assert len(fit(engine_net(), *data(50), **options).losses) == 10


@pytest.mark.fault("S4")
def test_s4_a_batch_larger_than_the_data_is_refused_with_both_sizes() -> None:
    assert_refused(ValueError, "batch_size is 51, but there are 50 examples", engine_net(), *data(50), batch_size=51)


def test_both_epochs_and_iterations_are_refused() -> None:
    message = "epochs or iterations, not both; got epochs=1, iterations=2"
    assert_refused(ValueError, message, engine_net(), *data(), epochs=1, iterations=2)


@pytest.mark.parametrize("bad", ["stop", None, True, ""])
def test_on_nonfinite_must_be_one_of_its_three_words(bad: Any) -> None:
    assert_refused(
        ValueError, "on_nonfinite must be 'raise', 'warn' or 'ignore'", engine_net(), *data(), on_nonfinite=bad
    )


@pytest.mark.parametrize("name", ["schedule", "progress"])
def test_what_cannot_be_called_is_refused_before_the_first_step(name: str) -> None:
    assert_refused(TypeError, name, engine_net(), *data(), **{name: 3})


@pytest.mark.parametrize(("bad", "error"), [(-1, ValueError), ("a", TypeError), (1.5, TypeError)])
def test_a_seed_that_is_none_is_refused(bad: Any, error: type[Exception]) -> None:
    assert_refused(error, None, engine_net(), *data(), seed=bad)


@pytest.mark.parametrize("make", NETS)
def test_a1_wrong_feature_count_names_the_shape_that_was_given(make: Any) -> None:
    expected = r"^x has 7 features, W1 expects 6 \(x\.shape=\(50, 7\), W1\.shape=\(6, 5\)\)$"
    assert_refused(ValueError, expected, make(), np.zeros((50, 7)), data()[1])


@pytest.mark.parametrize("bad", [None, "x", {}, np.zeros((50, 6), complex), np.ma.zeros((50, 6))])
def test_a3_a7_a14_what_is_no_array_of_numbers_is_a_type_error(bad: Any) -> None:
    assert_refused(TypeError, "^x ", engine_net(), bad, data()[1])
    assert_refused(TypeError, "^t ", engine_net(), data()[0], bad)


@pytest.mark.fault("A10")
@pytest.mark.parametrize("make", NETS)
def test_a10_a_read_only_parameter_is_named(make: Any) -> None:
    net = make()
    net.params["W1"].flags.writeable = False
    assert_refused(ValueError, r"^params\['W1'\] is read-only", net, *data())


def test_a11_no_examples_are_refused() -> None:
    assert_refused(ValueError, "no examples to train on", engine_net(), np.zeros((0, 6)), np.zeros(0, int))


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("bad", [-1, 4])
def test_l1_a_bad_label_anywhere_is_refused_and_nothing_changed(make: Any, bad: int) -> None:
    x, t = data()
    t[49] = bad
    # A gradient of the user's own may mean something else by t: then the layer objects, to a row of its batch.
    row = r"\d" if make is own_gradient_net else "49"
    assert_refused(ValueError, rf"labels must lie in 0\.\.3; got {bad} at row {row}", make(), x, t)


@pytest.mark.parametrize("make", NETS)
def test_l1_a_bad_label_in_the_test_set_is_refused_and_nothing_changed(make: Any) -> None:
    x, t = data(20)
    t[19] = 4
    assert_refused(ValueError, r"labels must lie in 0\.\.3; got 4 at row 19", make(), *data(), test=(x, t))


def test_l2_a_label_that_is_no_whole_number_is_refused_before_the_first_step() -> None:
    x, t = data()
    assert_refused(ValueError, r"whole numbers; got 1\.5 at row 49", engine_net(), x, [*t[:49].tolist(), 1.5])


def test_l4_a_row_that_is_no_distribution_is_refused_before_the_first_step() -> None:
    x, ids = data()
    t = np.eye(4)[ids]
    t[49] = [0.5, 0.5, 0.5, 0]
    assert_refused(ValueError, "row 49 sums to 1.5", engine_net(), x, t)


@pytest.mark.fault("L5")
@pytest.mark.parametrize("make", NETS)
def test_l5_another_number_of_labels_is_refused_with_both_shapes(make: Any) -> None:
    x, t = data()
    assert_refused(ValueError, r"x\.shape=\(50, 6\), t\.shape=\(49,\)", make(), x, t[:49])


def test_l5_a_test_set_that_does_not_fit_is_refused_before_the_first_step() -> None:
    x, t = data()
    assert_refused(ValueError, r"x\.shape=\(50, 6\), t\.shape=\(49,\)", engine_net(), x, t, test=(x, t[:49]))
    assert_refused(ValueError, "x has 5 features", engine_net(), x, t, test=(x[:, :5], t))


@pytest.mark.parametrize("test", [3, (1,), (1, 2, 3)])
def test_a_test_set_that_is_no_pair_is_refused_before_the_first_step(test: Any) -> None:
    assert_refused(TypeError, None, engine_net(), *data(), test=test)


# --- divergence ---

# A step so long that the scores of the second overflow.
DIVERGE: dict[str, Any] = {"batch_size": 5, "epochs": 3, "learning_rate": 1e200, "seed": 0}


@pytest.mark.fault("A13")
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a13_divergence_says_at_which_step_and_restores_every_bit(make: Any, dtype: Any) -> None:
    net = make(dtype=dtype)
    net.params["b1"][0] = -0.0
    before, arrays = bits(net), list(net.params.values())
    with pytest.raises(FloatingPointError, match=r"^loss is (nan|inf) at step 2 \(lr=1e\+200\)"):
        fit(net, *data(), **DIVERGE)
    assert bits(net) == before
    assert all(net.params[name] is array for name, array in zip(net.params, arrays, strict=True))


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a13_the_step_named_is_that_of_the_bad_example(make: Any, bad: float) -> None:
    x, t = data()
    order = rng(7).permutation(50)
    x[order[33]] = bad
    with pytest.raises(FloatingPointError, match=r"^loss is nan at step 7 \(lr=0\.1\)"):
        fit(make(), x, t, batch_size=5, seed=7)


@pytest.mark.fault("X5")
@pytest.mark.parametrize("make", NETS)
def test_x5_a_number_that_no_learning_rate_mends_is_named_with_its_place(make: Any) -> None:
    for dtype, bad, told in [("float64", np.nan, "nan"), ("float64", -np.inf, "-inf"), ("float32", 1e308, "inf")]:
        x, t = data()
        x[33, 2] = bad
        with pytest.raises(FloatingPointError) as error:
            fit(make(dtype=dtype), x, t, batch_size=5, epochs=3, seed=7)
        assert f"x[33, 2] is {told} in {dtype}: leave out such examples" in str(error.value)
        assert "learning rate" not in str(error.value)


@pytest.mark.fault("X5")
@pytest.mark.parametrize("make", NETS)
def test_x5_data_that_are_not_scaled_are_told_of_and_others_are_not(make: Any) -> None:
    x, t = data()
    x /= np.abs(x).max()
    for factor, told in [(1.0, "Try a smaller"), (-255.0, "Scale x, which reaches 255, or try a smaller")]:
        with pytest.raises(FloatingPointError, match=told):
            fit(make(), factor * x, t, **DIVERGE)


# --- units that are dead, while the loss is finite ---


def doomed(kind: Any = TwoLayerNet, N: int = 200, largest: float = 1e308) -> tuple[Any, Any, Any]:
    """Give a network and data whose one large number, in one step, makes each unit 0 for all other examples.

    All units are above 0 and vote for class 1, and it alone is of class 0: away from class 1 is down.
    """
    net = kind(6, 5, 2, seed=0)
    net.params.update(W1=np.full((6, 5), 0.1), W2=np.stack([np.full(5, -0.01), np.full(5, 0.01)], axis=1))
    x = rng(1).uniform(0.5, 1.0, size=(N, 6))
    x[33, 2], t = largest, np.ones(N, int)
    t[33] = 0
    return net, x, t


DEAD = r"^every unit of Relu1 is 0 for all of 100 examples; the layers before it no longer learn\. "


@pytest.mark.fault("X5")
@pytest.mark.parametrize("kind", [TwoLayerNet, OwnGradient])
@pytest.mark.parametrize("largest", [1e308, 1e100, 1e5])
def test_x5_units_that_are_all_dead_are_told_once_with_how_far_the_data_reach(kind: Any, largest: float) -> None:
    net, x, t = doomed(kind, largest=largest)
    told = f"{DEAD}Scale x, which reaches {largest:.4g}, or try a smaller learning rate, and start with a new network$"
    with pytest.warns(RuntimeWarning, match=told.replace("+", r"\+")) as caught:
        history = fit(net, x, t, epochs=3, batch_size=10, seed=0)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isfinite(history.losses).all()
    assert not np.maximum(np.delete(x, 33, axis=0) @ net.params["W1"] + net.params["b1"], 0).any()
    if kind is TwoLayerNet:  # in which Rust made the steps: what was looked at left nothing in the layers
        assert net.layers["Affine1"].x is net.layers["Relu1"].mask is None


@pytest.mark.fault("X5")
def test_x5_images_whose_bytes_were_not_scaled_are_told() -> None:
    (x, t), _ = load_mnist(normalize=False)
    net = TwoLayerNet(784, 50, 10, "he", seed=0)
    with pytest.warns(RuntimeWarning, match=f"{DEAD}Scale x, which reaches 255, or try a smaller learning rate"):
        fit(net, x[:2000], t[:2000], seed=0, learning_rate=1.0, evaluate_train=False)


@pytest.mark.fault("X5")
def test_x5_it_is_told_after_the_first_epoch_or_else_at_the_end() -> None:
    class Die:
        """A callback that makes all units dead, and notes how many warnings there are after each epoch."""

        def __init__(self, epoch: int) -> None:
            self.epoch, self.told = epoch, list[int]()

        def on_epoch(self, run: Any) -> None:
            self.told.append(len(caught))
            if run.epoch == self.epoch:
                run.net.params["b1"] = np.full(5, -1e9)

    for epoch, told in [(1, [0, 1, 1]), (2, [0, 0, 0])]:
        die = Die(epoch)
        with pytest.warns(RuntimeWarning, match=f"{DEAD}Try a smaller learning rate") as caught:
            fit(engine_net(), *data(200), epochs=3, batch_size=50, seed=0, callbacks=[die])
        assert (die.told, len(caught)) == (told, 1)


@pytest.mark.parametrize("where", range(3))
def test_x5_the_layer_that_is_dead_is_named_wherever_it_stands(where: int) -> None:
    net = MultiLayerNet(6, [5, 5, 5], 4, seed=0)
    net.params[f"b{where + 1}"] = np.full(5, -1e9)
    with pytest.warns(RuntimeWarning, match=f"^every unit of Activation_function{where + 1} is 0"):
        fit(net, *data(200), batch_size=50, seed=0)


@pytest.mark.parametrize("alive", range(5))
def test_x5_one_unit_that_is_alive_is_enough(alive: int) -> None:
    net, (x, t) = engine_net(), data(200)
    net.params["b1"] = np.where(np.arange(5) == alive, 0, -1e9)
    fit(net, x, t, batch_size=50, seed=0)


@pytest.mark.parametrize("alive", [0, 50, 199])
def test_x5_one_example_that_comes_through_is_enough_if_it_is_among_those_looked_at(alive: int) -> None:
    x, t = np.full((100 if alive < 100 else 200, 6), 0.1), 0
    x[alive] = 100
    net = engine_net()
    net.params.update(W1=np.ones((6, 5)), b1=np.full(5, -100.0), W2=np.zeros((5, 4)))
    fit(net, x, np.full(len(x), t), batch_size=50, seed=0, learning_rate=1e-9)


@pytest.mark.parametrize("make", [lambda: data(99), lambda: (np.zeros((200, 6)), np.arange(200) % 4)])
def test_x5_few_examples_or_blank_ones_prove_nothing(make: Any) -> None:
    net = engine_net()
    net.params["b1"] = np.full(5, -1e9)
    fit(net, *make(), batch_size=50, seed=0)


def test_x5_nothing_is_said_of_layers_that_are_not_ours_nor_of_scores_that_are_not() -> None:
    class OwnScores(TwoLayerNet):
        def predict(self, x: Any) -> Any:
            for layer in self.layers.values():
                x = layer.forward(x)
            return x

    for net in (own_layer_net(), OwnScores(6, 5, 4, 0.5, seed=0)):
        net.params["b1"] = np.full(5, -1e9)
        fit(net, *data(200), batch_size=50, seed=0)


@pytest.mark.parametrize("make", [engine_net, own_gradient_net])
def test_x5_looking_goes_through_the_layers_of_no_network_that_learns_and_moves_no_bit(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[tuple[str, int]] = []

    def noted(layer: Any, x: Any, training: bool) -> Any:
        passes.append((type(layer).__name__, len(x)))
        return run_layer(layer, x, training)

    net, twin, options = make(), make(), dict[str, Any](epochs=5, batch_size=10, seed=0)
    monkeypatch.setattr("chainrule.training.run.run_layer", noted)
    losses = fit(net, *data(1000), **options).losses
    assert passes == []
    monkeypatch.setattr("chainrule.training.run.SAMPLE", 1001)  # more than there are: nothing is looked at
    assert fit(twin, *data(1000), **options).losses == losses
    assert bits(net) == bits(twin)
    monkeypatch.setattr("chainrule.training.run.SAMPLE", 100)
    net.params["b1"] = np.full(5, -1e9)
    with pytest.warns(RuntimeWarning, match=DEAD):
        fit(net, *data(1000), **options)
    assert passes == [("Affine", 100), ("Relu", 100)]


def test_x5_a_network_that_gives_the_same_for_all_without_dead_units_is_told_nothing() -> None:
    net, (x, t) = engine_net(), data(200)
    net.params["W2"] = np.zeros((5, 4))
    fit(net, x, t, batch_size=50, seed=0, learning_rate=1e-12)
    np.testing.assert_allclose(net.predict(x), net.predict(x[:1]).repeat(200, axis=0), atol=1e-9)


def test_a13_the_step_is_counted_over_the_epochs() -> None:
    def poison(net: Any, history: History) -> None:
        if len(history.steps) == 2:
            net.params["b2"][0] = np.nan

    with pytest.raises(FloatingPointError, match="at step 21 "):
        fit(engine_net(), *data(), batch_size=5, epochs=5, callbacks=[each_epoch(poison)])


@pytest.mark.fault("A13")
@pytest.mark.parametrize("make", NETS)
def test_a13_warn_goes_on_and_warns_once_with_the_first_step(make: Any) -> None:
    with pytest.warns(RuntimeWarning, match=r"^loss is (nan|inf) at step 2 \(lr=1e\+200\)") as caught:
        history = fit(make(), *data(), on_nonfinite="warn", **DIVERGE)
    assert len(caught) == 1
    assert len(history.losses) == 30


@pytest.mark.parametrize("make", NETS)
def test_a13_warn_says_nothing_when_all_is_finite(make: Any) -> None:
    fit(make(), *data(), batch_size=5, on_nonfinite="warn")


@pytest.mark.fault("A13")
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("learning_rate", [1e10, 1e100, 1e200, 1e308])
def test_a13_ignore_goes_on_without_a_word(make: Any, learning_rate: float) -> None:
    history = fit(make(), *data(), on_nonfinite="ignore", **{**DIVERGE, "learning_rate": learning_rate})
    assert len(history.losses) == 30
    assert np.isfinite(history.losses[0])


@pytest.mark.fault("A13", "A17")
@pytest.mark.parametrize("make", NETS)
def test_a17_a13_a_nan_parameter_is_reported_by_the_first_step(make: Any) -> None:
    net = make()
    net.params["W2"] = np.full((5, 4), np.nan)
    with pytest.raises(FloatingPointError, match=r"^loss is nan at step 1 "):
        fit(net, *data(), batch_size=5)


# --- evaluations beside the next epoch's steps ---


def sparse_data(N: int) -> tuple[Any, Any]:
    """Give N examples of 800 numbers, of which one pair in ten is not zero."""
    x = rng(1).normal(size=(N, 800)) * np.repeat(rng(2).random((N, 400)) < 0.1, 2, axis=1)
    return x, np.argmax(x @ rng(3).normal(size=(800, 4)), axis=1)


@pytest.mark.parametrize("make", [data, sparse_data])
def test_losses_and_accuracies_beside_the_next_epoch_are_those_of_their_own(make: Any) -> None:
    (x, t), test = make(500), make(70)
    net, *twins = (TwoLayerNet(x.shape[1], 5, 4, 0.1, seed=0) for _ in range(5))
    history = fit(net, x, t, test=test, batch_size=10, iterations=170, seed=0)
    assert history.steps == [50, 100, 150, 170]
    for epoch, (steps, twin) in enumerate(zip(history.steps, twins, strict=True)):
        fit(twin, x, t, batch_size=10, iterations=steps, seed=0)
        assert history.train_accuracy[epoch] == twin.accuracy(x, t)
        assert history.test_accuracy[epoch] == twin.accuracy(*test)
        np.testing.assert_allclose(history.train_loss[epoch], twin.loss(x, t), rtol=1e-13)
        np.testing.assert_allclose(history.test_loss[epoch], twin.loss(*test), rtol=1e-13)
    assert len(set(history.train_accuracy)) > 1


def test_with_a_callback_evaluations_are_not_put_off() -> None:
    x, t = data(500)
    seen: list[int] = []
    note = each_epoch(lambda net, history: seen.append(len(history.train_accuracy)))
    history = fit(engine_net(), x, t, batch_size=10, epochs=4, seed=0, callbacks=[note])
    assert seen == [1, 2, 3, 4]
    assert history == fit(engine_net(), x, t, batch_size=10, epochs=4, seed=0)


def test_an_error_of_an_evaluation_put_off_is_raised_and_the_network_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(plan: Any, evaluation: Any, t: Any) -> Any:
        raise MemoryError("no room")

    monkeypatch.setattr("chainrule.nn.engine.Plan.result", fails)
    net = engine_net()
    before = bits(net)
    with pytest.raises(MemoryError, match="no room"):
        fit(net, *data(500), batch_size=10, epochs=4, seed=0)
    assert bits(net) == before


def test_layers_of_another_dtype_put_in_while_an_evaluation_is_put_off_are_trained() -> None:
    x, t = data(500)
    net = engine_net()

    def progress(steps: int, total: int) -> None:
        if steps == 50:
            net.layers.update(engine_net(dtype=np.float32).layers)

    history = fit(net, x, t, batch_size=10, epochs=3, seed=0, progress=progress)
    assert len(history.train_loss) == 3
    assert net.params["W1"].dtype == np.float32
    np.testing.assert_allclose(history.train_loss[-1], net.loss(x, t), rtol=1e-5)


@pytest.mark.parametrize("make", [data, sparse_data])
def test_an_evaluation_is_of_the_network_as_it_was(make: Any) -> None:
    x, t = make(500)
    net = TwoLayerNet(x.shape[1], 5, 4, 0.1, seed=0)
    plan = engine.plan(net.layers, x.shape)
    assert plan is not None
    wanted = net.loss(x, t), net.accuracy(x, t)
    examples = plan.examples(x)
    evaluations = plan.evaluations([(examples, t)] * 2)
    losses, rows = np.empty(6000), rng(0).integers(500, size=60_000)
    sgd = SGD(0.1)
    sgd.prepare(net.params)
    names = ["W1", "b1", "W2", "b2"]
    # The other thread comes when it can, and finds the steps ended if they took less time than it took to come: on a
    # busy machine it may take long. Where there is another thread, it is waited for, and not for a number of rounds.
    # And a call may end after few steps, by the clock: the network is another when it has made 6000.
    end, made = time.monotonic() + (60 if _kernels.threads() > 1 else 0), 0
    while made < 6000 or (np.isnan(evaluations[0].result()[0]) and time.monotonic() < end):
        steps, _ = plan.steps(sgd, names, examples, (t, None), rows, 10, True, losses, evaluations[:1])
        assert steps > 0
        made += steps
    assert np.isnan(evaluations[0].result()[0]) == (_kernels.threads() == 1)
    assert net.loss(x, t) < 0.9 * wanted[0]
    (loss, accuracy), other = (plan.result(evaluation, t) for evaluation in evaluations)
    assert (loss, accuracy) == other
    np.testing.assert_allclose(loss, wanted[0], rtol=1e-13)
    assert accuracy == wanted[1]


# --- interrupted ---


@pytest.mark.fault("T7")
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_t7_an_interruption_by_progress_leaves_the_network_after_whole_steps(make: Any, error: Any) -> None:
    net, twin, (x, t) = make(), make(), data()
    done: list[int] = []

    def progress(steps: int, total: int) -> None:
        done.append(steps)
        if steps >= 5:
            raise error

    with pytest.raises(error):
        fit(net, x, t, batch_size=5, epochs=3, seed=0, progress=progress)
    fit(twin, x, t, batch_size=5, iterations=done[-1], seed=0)
    assert bits(net) == bits(twin)
    fit(net, x, t, batch_size=5, seed=1)


def test_t7_an_interruption_by_the_callback_leaves_the_network_after_its_epoch() -> None:
    net, twin = engine_net(), engine_net()

    def callback(net: Any, history: History) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(net, *data(), batch_size=5, epochs=3, seed=0, callbacks=[each_epoch(callback)])
    fit(twin, *data(), batch_size=5, epochs=1, seed=0)
    assert bits(net) == bits(twin)


@pytest.mark.parametrize("missing", ["loss", "accuracy"])
def test_a_network_of_ones_own_without_a_method_is_told_which(missing: str) -> None:
    class Bare:
        def __init__(self) -> None:
            self.params: dict[str, Any] = {"W": np.zeros((2, 2))}

        def gradient(self, x: Any, t: Any) -> Any:
            raise AssertionError("not asked for")

        def loss(self, x: Any, t: Any) -> float:
            return 0.0

        def accuracy(self, x: Any, t: Any) -> float:
            return 0.0

    bare = Bare()
    setattr(bare, missing, None)
    with pytest.raises(TypeError, match=rf"net must have {missing}\(x, t\)"):
        fit(bare, np.zeros((4, 2)), [0, 1, 0, 1], batch_size=2)


def test_the_training_set_is_not_evaluated_if_not_asked_for() -> None:
    x = np.random.default_rng(0).random((60, 4))
    t = (x[:, 0] > x[:, 1]).astype(int)
    nets = [TwoLayerNet(4, 5, 2, seed=1) for _ in range(2)]
    options: dict[str, Any] = {"epochs": 3, "batch_size": 10, "seed": 0, "test": (x[:20], t[:20])}
    full, less = fit(nets[0], x, t, **options), fit(nets[1], x, t, evaluate_train=False, **options)
    assert (less.train_loss, less.train_accuracy) == ([], [])
    assert (less.losses, less.steps, less.test_loss) == (full.losses, full.steps, full.test_loss)
    assert all((nets[0].params[name] == nets[1].params[name]).all() for name in nets[0].params)
    none = fit(nets[0], x, t, epochs=2, batch_size=10, seed=0, evaluate_train=False)
    assert [len(none.losses), none.steps, none.test_loss] == [12, [6, 12], []]


# --- what a callback or another thread does meanwhile ---


class Swap:
    """A callback that puts a layer in the place of another, after so many steps."""

    def __init__(self, name: str, layer: Any, steps: int) -> None:
        self.name, self.layer, self.steps = name, layer, steps
        self.left: list[bytes] = []

    def on_step(self, run: Any) -> None:
        if run.step == self.steps:
            old = run.net.layers[self.name]
            self.left = [getattr(old, name).tobytes() for name in ("W", "b") if hasattr(old, name)]
            self.old, run.net.layers[self.name] = old, self.layer


@pytest.mark.fault("X3")
@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("steps", [1, 7, 10, 13, 20])
def test_x3_a_layer_swapped_after_a_step_is_trained_from_the_next_step_on(make: Any, steps: int) -> None:
    """Two epochs of ten steps: within one, and at the end of one; nothing goes to the layer that has left any more."""
    swap, net, x, t = Swap("Affine2", Affine(np.zeros((5, 4)), np.zeros(4)), steps), make(), *data(50)
    history = fit(net, x, t, epochs=2, batch_size=5, seed=3, callbacks=[swap], test=(x[:20], t[:20]))
    assert len(history.losses) == 20
    np.testing.assert_allclose(history.losses[steps : steps + 1], [np.log(4)][: 20 - steps], rtol=1e-12)
    assert [swap.old.W.tobytes(), swap.old.b.tobytes()] == swap.left
    assert net.params["W2"] is swap.layer.W
    assert swap.layer.W.any() == (steps < 20)
    np.testing.assert_allclose(history.test_loss[-1], net.loss(x[:20], t[:20]), rtol=1e-12)

    # As two runs of so many steps, over the same batches.
    twin, batches = make(), np.concatenate([order.reshape(10, 5) for order in orders(50, 2, seed=3)])
    for step, rows in enumerate(batches):
        if step == steps:
            twin.layers["Affine2"] = Affine(np.zeros((5, 4)), np.zeros(4))
        for name, gradient in twin.gradient(x[rows], t[rows]).items():
            twin.params[name] -= 0.1 * gradient
    if steps < 20:
        assert_close(net, twin, rtol=1e-9, atol=1e-12)


def orders(n: int, epochs: int, seed: int) -> list[Any]:
    """Give the rows of each epoch as `fit` draws them."""
    generator = rng(seed)
    return [generator.permutation(n) for _ in range(epochs)]


@pytest.mark.fault("X3")
@pytest.mark.parametrize(("first", "second"), [(Relu, Sigmoid), (OwnRelu, Relu), (Relu, OwnRelu)])
def test_x3_a_layer_is_swapped_for_one_that_rust_knows_or_not_with_the_same_numbers(first: Any, second: Any) -> None:
    net, twin = engine_net(), own_gradient_net()  # whose steps are all made by its own methods
    for one in (net, twin):
        one.layers["Relu1"] = first()
    losses, others = (
        fit(one, *data(50), epochs=2, batch_size=5, seed=3, callbacks=[Swap("Relu1", second(), 7)]).losses
        for one in (net, twin)
    )
    np.testing.assert_allclose(losses, others, rtol=1e-9)
    assert_close(net, twin, rtol=1e-9, atol=1e-12)


@pytest.mark.fault("X3")
def test_x3_a_layer_that_another_thread_swaps_is_trained_as_soon_as_fit_looks() -> None:
    x, t = data(400_000)
    net, old, new = engine_net(), [], Affine(np.zeros((5, 4)), np.zeros(4))

    def swap() -> None:
        old.append((net.layers["Affine2"], net.layers["Affine2"].W.copy()))
        net.layers["Affine2"] = new

    def progress(done: int, total: int) -> None:
        if not old:
            assert done < total
            thread = threading.Thread(target=swap)
            thread.start()
            thread.join()

    fit(net, x, t, batch_size=1, learning_rate=0.01, seed=0, progress=progress, evaluate_train=False)
    np.testing.assert_array_equal(old[0][0].W, old[0][1])
    assert new.W.any()
    assert net.params["W2"] is new.W


@pytest.mark.fault("X3")
@pytest.mark.parametrize("make", NETS)
def test_x3_a_layer_that_does_not_fit_is_told_and_the_one_before_is_back(make: Any) -> None:
    net = make()
    before, layers = bits(net), dict(net.layers)
    with pytest.raises(ValueError, match="x has 5 features, W expects 7"):
        fit(net, *data(50), batch_size=5, seed=3, callbacks=[Swap("Affine2", Affine(np.zeros((7, 4)), np.zeros(4)), 3)])
    assert dict(net.layers) == layers
    assert bits(net) == before


@pytest.mark.fault("X3")
@pytest.mark.parametrize("make", NETS)
def test_x3_the_best_parameters_are_not_put_into_layers_of_another_shape(make: Any) -> None:
    class Widen:
        def on_epoch(self, run: Any) -> None:
            if run.epoch == 2:
                run.net.layers["Affine1"] = Affine(np.ones((6, 8)), np.zeros(8))
                run.net.layers["Affine2"] = Affine(np.full((8, 4), 9.0), np.arange(4.0) * 50)

    net, (x, t) = make(), data(50)
    with pytest.raises(RuntimeError, match=r"of epoch \d: W1, of shape \(6, 5\) then, now has shape \(6, 8\); a layer"):
        fit(net, x, t, epochs=3, batch_size=5, seed=3, optimizer=SGD(1e-9), validation=(x, t),
            callbacks=[EarlyStopping(patience=5), Widen()])  # fmt: skip
    assert net.params["W2"].shape == (8, 4)
    assert (net.params["W2"] > 8.9).all()


@pytest.mark.fault("X3")
@pytest.mark.parametrize("make", NETS)
def test_x3_after_an_error_a_layer_that_was_put_there_meanwhile_is_gone(make: Any) -> None:
    class Grow:
        def on_step(self, run: Any) -> None:
            run.net.layers["Affine3"] = Affine(np.full((4, 4), np.nan), np.zeros(4))

    net = make()
    before, layers, names = bits(net), dict(net.layers), list(net.params)
    with pytest.raises(FloatingPointError, match="loss is nan at step 2"):
        fit(net, *data(50), batch_size=5, seed=3, callbacks=[Grow()])
    assert (dict(net.layers), list(net.params), bits(net)) == (layers, names, before)


@pytest.mark.fault("X3")
@pytest.mark.parametrize("make", NETS)
def test_x3_what_the_optimizer_keeps_is_kept_by_name_and_may_be_dropped(make: Any) -> None:
    """A wider layer has other shapes."""

    class Widen:
        def __init__(self, forget: bool) -> None:
            self.forget = forget

        def on_step(self, run: Any) -> None:
            if run.step == 3:
                run.net.layers["Affine1"] = Affine(np.ones((6, 8)), np.zeros(8))
                run.net.layers["Affine2"] = Affine(np.ones((8, 4)), np.zeros(4))
                if self.forget:
                    run.optimizer.kept.clear()

    net = make()
    before = bits(net)
    with pytest.raises(ValueError, match="this optimizer has kept arrays of shape"):
        fit(net, *data(50), batch_size=5, seed=3, optimizer=Adam(), callbacks=[Widen(forget=False)])
    assert bits(net) == before
    history = fit(net, *data(50), batch_size=5, seed=3, optimizer=Adam(), callbacks=[Widen(forget=True)])
    assert len(history.losses) == 10
    assert net.params["W1"].shape == (6, 8)


@pytest.mark.fault("X3")
def test_x3_a_network_that_another_thread_trains_is_refused_by_a_word_of_ours() -> None:
    net, (x, t) = TwoLayerNet(20, 10, 5, seed=0), (np.random.default_rng(0).normal(size=(200, 20)), np.arange(200) % 5)
    done: list[str] = []

    def train() -> None:
        try:
            fit(net, x, t, epochs=400, batch_size=10, seed=0)
        except RuntimeError as error:
            done.append(str(error))
        else:
            done.append("trained")

    trainers = [threading.Thread(target=train) for _ in range(4)]
    for trainer in trainers:
        trainer.start()
    for trainer in trainers:
        trainer.join()
    assert "trained" in done
    assert all(word == "trained" or word.startswith("the network's arrays are in use") for word in done), done
    assert np.isfinite(net.loss(x, t))
