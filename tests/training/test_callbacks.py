"""callbacks.py and schedules.py, and what ``fit`` does with them: validation, weights, smoothing."""

from __future__ import annotations

import math
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chainrule import SGD, Adam, EarlyStopping, Run, SoftmaxWithLoss, TwoLayerNet, cosine, fit, step_decay
from chainrule.nn import engine
from chainrule.nn.functions import softmax
from chainrule.nn.layers import Relu


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


class OwnGradient(TwoLayerNet):
    """A network with a gradient of its own."""

    def gradient(self, x: Any, t: Any) -> dict[str, Any]:  # type: ignore[override]  # as a reader of the tutorial writes it
        return super().gradient(x, t)


def engine_net(**options: Any) -> TwoLayerNet:
    return TwoLayerNet(6, 5, 4, 0.5, **{"seed": 0, **options})


def own_layer_net(**options: Any) -> TwoLayerNet:
    net = engine_net(**options)
    net.layers["Relu1"] = OwnRelu()
    return net


NETS = [engine_net, own_layer_net]


def data(N: int = 50) -> tuple[Any, Any]:
    r = np.random.default_rng(1)
    x = r.normal(size=(N, 6))
    return x, np.argmax(x @ r.normal(size=(6, 4)), axis=1)


def bits(net: Any) -> list[bytes]:
    return [array.tobytes() for array in net.params.values()]


def assert_close(net: Any, other: Any, **tolerance: Any) -> None:
    for name, array in net.params.items():
        np.testing.assert_allclose(array, other.params[name], err_msg=name, **tolerance)


def refused(error: type[Exception], match: str, make: Any = engine_net, **options: Any) -> None:
    net = make()
    before = bits(net)
    with pytest.raises(error, match=match):
        fit(net, *data(), **{"batch_size": 7, **options})
    assert bits(net) == before


# --- callbacks ---


class Notes:
    """Writes down what it is called with."""

    def __init__(self, answer: Any = None) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answer = answer

    def on_start(self, run: Run) -> None:
        self.calls.append(("start", run.step, run.epoch))

    def on_step(self, run: Run) -> Any:
        self.calls.append(("step", run.step, run.epoch))
        return self.answer

    def on_epoch(self, run: Run) -> Any:
        assert run.history.train_accuracy[-1] == run.net.accuracy(*data())
        self.calls.append(("epoch", run.step, run.epoch))
        return self.answer

    def on_end(self, run: Run) -> None:
        self.calls.append(("end", run.step, run.epoch))


@pytest.mark.parametrize("make", NETS)
def test_callbacks_are_called_at_every_step_and_epoch(make: Any) -> None:
    notes = Notes()
    fit(make(), *data(), iterations=7, batch_size=10, seed=0, callbacks=[notes])
    steps: list[tuple[Any, ...]] = [("step", i, (i - 1) // 5) for i in range(1, 8)]
    assert notes.calls == [("start", 0, 0), *steps[:5], ("epoch", 5, 1), *steps[5:], ("epoch", 7, 2), ("end", 7, 2)]


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("rule", [SGD, Adam])
def test_steps_made_one_by_one_give_the_same_bits(make: Any, rule: Any) -> None:
    net, twin = make(), make()
    history = fit(net, *data(), epochs=3, batch_size=7, seed=0, optimizer=rule())
    watched = fit(twin, *data(), epochs=3, batch_size=7, seed=0, optimizer=rule(), callbacks=[Notes()])
    assert watched == history
    assert bits(net) == bits(twin)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize(("moment", "step"), [("on_step", 3), ("on_step", 5), ("on_epoch", 10)])
def test_true_from_a_callback_ends_training_there(make: Any, moment: str, step: int) -> None:
    net, twin, notes = make(), make(), Notes()
    stop = SimpleNamespace(**{moment: lambda run: run.step >= step})
    history = fit(net, *data(), epochs=9, batch_size=10, seed=0, callbacks=[stop, notes])
    assert len(history.losses) == history.steps[-1] == step
    assert history.train_accuracy[-1] == net.accuracy(*data())
    fit(twin, *data(), iterations=step, batch_size=10, seed=0)
    assert bits(net) == bits(twin)
    assert notes.calls[-2:] == [("epoch", step, -(-step // 5)), ("end", step, -(-step // 5))]


@pytest.mark.parametrize("answer", [None, False, np.False_, 1, "yes", [3], 0.5])
def test_nothing_but_true_ends_training(answer: Any) -> None:
    history = fit(engine_net(), *data(), epochs=3, batch_size=10, callbacks=[Notes(answer)])
    assert len(history.losses) == 15


def test_numpys_true_is_true() -> None:
    assert len(fit(engine_net(), *data(), epochs=3, batch_size=10, callbacks=[Notes(np.True_)]).losses) == 1


@pytest.mark.parametrize("make", NETS)
def test_a_rate_set_by_a_callback_counts_from_the_next_step(make: Any) -> None:
    def set_rate(run: Run) -> None:
        run.optimizer.lr = 1e-300

    net, twin = make(), make()
    fit(net, *data(), epochs=2, batch_size=10, seed=0, callbacks=[SimpleNamespace(on_step=set_rate)])
    fit(twin, *data(), iterations=1, batch_size=10, seed=0)
    assert bits(net) == bits(twin)


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("moment", ["on_step", "on_epoch"])
def test_t7_an_exception_of_a_callback_leaves_the_network_after_its_step(make: Any, moment: str) -> None:
    def fails(run: Run) -> None:
        if run.step == 10:
            raise ZeroDivisionError

    net, twin, notes = make(), make(), Notes()
    with pytest.raises(ZeroDivisionError):
        fit(net, *data(), epochs=4, batch_size=10, seed=0, callbacks=[notes, SimpleNamespace(**{moment: fails})])
    fit(twin, *data(), iterations=10, batch_size=10, seed=0)
    assert bits(net) == bits(twin)
    assert notes.calls[-1][0] != "end"


def test_an_exception_at_the_start_leaves_all_as_it_was() -> None:
    def fails(run: Run) -> None:
        raise ZeroDivisionError

    refused(ZeroDivisionError, "^$", callbacks=[SimpleNamespace(on_start=fails)])


@pytest.mark.parametrize("bad", [3, Notes(), lambda run: True, [lambda run: True], [3], [None], [Notes], "x"])
def test_what_is_no_list_of_callbacks_is_refused(bad: Any) -> None:
    refused(TypeError, "callbacks must", callbacks=bad)


def test_the_data_is_not_evaluated_in_another_thread_when_somebody_watches() -> None:
    seen = []
    x, t = data(500)
    callback = SimpleNamespace(on_epoch=lambda run: seen.append(len(run.history.train_loss)))
    fit(engine_net(), x, t, epochs=4, batch_size=10, callbacks=[callback])
    assert seen == [1, 2, 3, 4]


# --- early stopping ---


class Dictated:
    """Writes its own values into the history, in front of the one that looks at it."""

    def __init__(self, monitor: str, values: list[float]) -> None:
        self.monitor, self.values = monitor, values

    def on_epoch(self, run: Run) -> None:
        getattr(run.history, self.monitor)[-1] = self.values[run.epoch - 1]
        run.net.params["b2"] = np.full(4, float(run.epoch))


@pytest.mark.parametrize(
    ("monitor", "values", "options", "epochs", "best"),
    [
        ("train_loss", [5, 4, 3, 3, 3, 3, 3], {"patience": 2}, 5, 3),
        ("train_loss", [5, 4, 5, 3, 5, 5, 5], {"patience": 2}, 6, 4),
        ("train_loss", [5, 4, 3, 2, 1, 0, -1], {"patience": 1}, 7, 7),
        ("train_loss", [5, 4.5, 4.1, 4.0, 3, 3, 3], {"patience": 4, "min_delta": 1}, 7, 5),
        ("train_loss", [5, 4.5, 4.1, 4.0, 3, 3, 3], {"patience": 3, "min_delta": 1}, 4, 1),
        ("train_loss", [math.nan, math.nan, 3, math.nan, math.nan, 1, 1], {"patience": 3}, 7, 6),
        ("train_loss", [math.nan] * 7, {"patience": 3}, 3, 0),
        ("train_loss", [math.inf, 7, 8, 9, 9, 9, 9], {"patience": 2}, 4, 2),
        ("train_accuracy", [0.1, 0.3, 0.2, 0.3, 0.4, 0.1, 0.1], {"patience": 3}, 7, 5),
        ("train_accuracy", [0.0, 0.0, 0.2, 0.3, 0.4, 0.1, 0.1], {"patience": 1}, 2, 1),
    ],
)
def test_early_stopping_stops_when_it_should_and_gives_the_best_back(
    monitor: str, values: list[float], options: Any, epochs: int, best: int
) -> None:
    net, stopping = engine_net(), EarlyStopping(monitor=monitor, **options)
    history = fit(net, *data(), epochs=7, batch_size=50, callbacks=[Dictated(monitor, values), stopping])
    assert len(history.steps) == epochs
    assert stopping.best_epoch == best
    assert stopping.best == (values[best - 1] if best else None)
    assert net.params["b2"].tolist() == [best or epochs] * 4


@pytest.mark.parametrize("make", NETS)
def test_early_stopping_gives_the_parameters_of_the_best_epoch_back(make: Any) -> None:
    net, twin, stopping = make(), make(), EarlyStopping(patience=4)
    options: dict[str, Any] = {"batch_size": 7, "learning_rate": 1.0, "validation": 0.3}
    history = fit(net, *data(), epochs=60, seed=0, callbacks=[stopping], **options)
    assert stopping.best_epoch == 1 + int(np.argmin(history.validation_loss))
    fit(twin, *data(), epochs=stopping.best_epoch, seed=0, **options)
    assert bits(net) == bits(twin)


def test_early_stopping_begins_anew_in_each_call() -> None:
    stopping = EarlyStopping(patience=2, monitor="train_loss")
    runs = [fit(engine_net(), *data(), epochs=3, batch_size=7, seed=0, callbacks=[stopping]) for _ in range(2)]
    assert runs[0] == runs[1]
    assert stopping.best_epoch == 3


def test_a_refusal_at_the_start_gives_the_generator_back_as_it_was() -> None:
    generator = np.random.default_rng(3)
    stopping = EarlyStopping(monitor="test_loss")
    refused(ValueError, "give fit a test set", validation=0.2, callbacks=[stopping], seed=generator)
    assert generator.random() == np.random.default_rng(3).random()


def test_early_stopping_without_a_validation_set_is_refused_before_the_first_step() -> None:
    refused(ValueError, "EarlyStopping watches validation_loss; give fit a validation set", callbacks=[EarlyStopping()])


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"patience": 0}, ValueError, "patience must lie in 1"),
        ({"patience": 1.5}, TypeError, "patience must be"),
        ({"monitor": "loss"}, ValueError, "monitor must be one of train_loss, train_accuracy, test_loss"),
        ({"monitor": "losses"}, ValueError, "monitor must be one of"),
        ({"min_delta": -1}, ValueError, "min_delta must be >= 0"),
        ({"min_delta": "x"}, TypeError, "min_delta must be"),
    ],
)
def test_early_stopping_refuses_what_it_cannot_use(options: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        EarlyStopping(**options)


# --- validation ---


@pytest.mark.parametrize("make", NETS)
def test_a_share_for_validation_is_drawn_first_and_not_trained_on(make: Any) -> None:
    x, t = data()
    net, twin = make(), make()
    history = fit(net, x, t, epochs=3, batch_size=7, seed=5, validation=0.3)
    generator = np.random.default_rng(5)
    held = generator.permutation(50)[:15]
    rest = np.setdiff1d(np.arange(50), held)
    expected = fit(twin, x[rest], t[rest], epochs=3, batch_size=7, seed=generator, validation=(x[held], t[held]))
    assert history == expected
    assert bits(net) == bits(twin)
    assert len(history.losses) == 3 * 5


@pytest.mark.parametrize(("share", "held"), [(0.001, 1), (0.05, 2), (0.056, 3), (0.5, 25), (0.999, 49)])
def test_a_share_is_rounded_is_one_example_at_least_and_leaves_one(share: float, held: int) -> None:
    history = fit(engine_net(), *data(), batch_size=1, seed=5, validation=share)
    assert len(history.losses) == 50 - held
    assert history.validation_accuracy[0] * held == pytest.approx(round(history.validation_accuracy[0] * held))


def test_a_validation_set_changes_nothing_in_training() -> None:
    net, twin = engine_net(), engine_net()
    fit(net, *data(), epochs=3, batch_size=7, seed=5)
    history = fit(twin, *data(), epochs=3, batch_size=7, seed=5, validation=data(20))
    assert bits(net) == bits(twin)
    assert history.validation_accuracy[-1] == net.accuracy(*data(20))


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (0, ValueError, "validation must be a pair"),
        (1, ValueError, "validation must be a pair"),
        (1.5, ValueError, "validation must be a pair"),
        (-0.1, ValueError, "validation must be a pair"),
        (math.nan, ValueError, "validation must be finite"),
        (True, TypeError, "validation must be a number"),
        ("x", TypeError, "validation must be a number"),
        ((1,), TypeError, "validation must be a pair"),
        ((np.zeros((3, 7)), [0, 1, 2]), ValueError, "validation set: x has 7 features"),
        ((np.zeros((3, 6)), [0, 1, 4]), ValueError, r"validation set: labels must lie in 0\.\.3; got 4 at row 2"),
    ],
)
def test_what_is_no_validation_set_is_refused(bad: Any, error: type[Exception], match: str) -> None:
    refused(error, match, validation=bad)


def test_s4_a_batch_must_fit_into_what_is_left() -> None:
    refused(ValueError, "batch_size is 40, but there are 35 examples", validation=0.3, batch_size=40)


# --- schedules ---


@pytest.mark.parametrize("make", NETS)
def test_a_schedule_gives_each_epoch_its_rate(make: Any) -> None:
    asked: list[int] = []

    def schedule(epoch: int) -> float:
        asked.append(epoch)
        return [0.5, 0.1, 0.3][epoch]

    net, twin = make(), make()
    generator = np.random.default_rng(0)
    losses = fit(net, *data(), epochs=3, batch_size=7, seed=0, schedule=schedule).losses
    twins = [fit(twin, *data(), batch_size=7, seed=generator, learning_rate=lr).losses for lr in (0.5, 0.1, 0.3)]
    assert losses == [*chain(*twins)]
    assert bits(net) == bits(twin)
    assert asked[-3:] == [0, 1, 2]


@pytest.mark.parametrize("make", NETS)
def test_a_rate_that_is_none_in_a_later_epoch_leaves_all_as_it_was(make: Any) -> None:
    optimizer, generator = Adam(), np.random.default_rng(3)
    schedule = [0.1, 0.1, -1].__getitem__
    refused(
        ValueError, r"schedule\(2\) must be > 0", make, schedule=schedule, optimizer=optimizer, epochs=4, seed=generator
    )
    assert (optimizer.lr, optimizer.iter, optimizer.kept) == (0.001, 0, {})
    assert generator.random() == np.random.default_rng(3).random()


@pytest.mark.parametrize(
    ("bad", "error"),
    [(0.0, ValueError), (-1, ValueError), (math.nan, ValueError), (math.inf, ValueError), ("x", TypeError)],
)
@pytest.mark.parametrize("name", ["lr", "weight_decay"])
def test_s3_a_number_of_an_optimizer_is_checked_where_it_is_changed(name: str, bad: Any, error: Any) -> None:
    optimizer = Adam(0.5, weight_decay=0.5)
    if (name, bad) == ("weight_decay", 0.0):
        optimizer.weight_decay = 0.0
        return
    with pytest.raises(error, match=f"{name} must be"):
        setattr(optimizer, name, bad)
    assert (optimizer.lr, optimizer.weight_decay) == (0.5, 0.5)


def test_a_schedule_overwrites_the_rate_of_the_optimizer() -> None:
    net, twin, optimizer = engine_net(), engine_net(), Adam(lr=7.0)
    fit(net, *data(), epochs=2, batch_size=7, seed=0, optimizer=optimizer, schedule=lambda epoch: 0.01 / (1 + epoch))
    generator, one = np.random.default_rng(0), Adam(lr=0.01)
    fit(twin, *data(), batch_size=7, seed=generator, optimizer=one)
    one.lr = 0.005
    fit(twin, *data(), batch_size=7, seed=generator, optimizer=one)
    assert bits(net) == bits(twin)
    assert optimizer.lr == 0.005


def test_step_decay_halves_the_rate_every_ten_epochs_if_nothing_else_is_said() -> None:
    schedule = step_decay(1.0)
    assert [schedule(epoch) for epoch in range(21)] == [1] * 10 + [0.5] * 10 + [0.25]


def test_step_decay_is_a_staircase() -> None:
    assert [step_decay(1.0, 0.1, 3)(epoch) for epoch in range(7)] == [1, 1, 1, 0.1, 0.1, 0.1, pytest.approx(0.01)]


def test_cosine_falls_from_the_rate_to_almost_nothing_and_stays() -> None:
    rates = [cosine(0.5, 10)(epoch) for epoch in range(12)]
    assert rates[0] == 0.5
    assert rates[5] == pytest.approx(0.25)
    assert rates[:10] == sorted(rates[:10], reverse=True)
    assert 0 < rates[9] == rates[10] == rates[11] < 0.02


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"schedule": 0.1}, TypeError, "schedule must be a function"),
        ({"schedule": lambda epoch: 0.0}, ValueError, r"schedule\(0\) must be > 0"),
        ({"schedule": lambda epoch: "x"}, TypeError, r"schedule\(0\) must be a number"),
        # In the middle of training: what has been learnt is taken back.
        ({"schedule": lambda epoch: 0.1 - 0.1 * epoch, "epochs": 3}, ValueError, r"schedule\(1\) must be > 0"),
        ({"schedule": cosine(0.1, 3), "learning_rate": 0.5}, ValueError, "leave out learning_rate"),
    ],
)
def test_what_is_no_schedule_is_refused(options: Any, error: type[Exception], match: str) -> None:
    refused(error, match, **options)


@pytest.mark.parametrize(
    "make", [lambda: step_decay(-1), lambda: step_decay(1, 0), lambda: cosine(1, 0), lambda: cosine(0, 1)]
)
def test_a_ready_schedule_refuses_numbers_that_give_no_rate(make: Any) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


# --- sample weights and label smoothing ---


def weights(N: int = 50) -> Any:
    w = np.random.default_rng(8).random(N) * 3
    w[::7] = 0
    return w


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("labels", ["ids", "soft"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("make", NETS)
def test_a_step_with_weights_and_smoothing_is_the_textbooks(
    make: Any, labels: str, smoothing: float, dtype: Any
) -> None:
    """loss = 1/N Σ w · (-Σ t log y), by NumPy; the gradients of the second product are H' D, with D = w (y - t) / N."""
    x, ids = data()
    rows = np.eye(4)[ids] if labels == "ids" else softmax(np.random.default_rng(2).normal(size=(50, 4)))
    net, w = make(dtype=dtype), weights()
    p = {name: array.astype(np.float64) for name, array in net.params.items()}
    hidden = np.maximum(x @ p["W1"] + p["b1"], 0)
    y = softmax(hidden @ p["W2"] + p["b2"])
    t = (1 - smoothing) * rows + smoothing / 4
    loss, D = np.sum(w[:, None] * -t * np.log(y)) / 50, w[:, None] * (y - t) / 50
    before = {name: array.copy() for name, array in net.params.items()}
    options: dict[str, Any] = {"sample_weight": w, "label_smoothing": smoothing, "learning_rate": 0.5, "batch_size": 50}
    history = fit(net, x, ids if labels == "ids" else rows, iterations=1, **options)
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(history.losses, [loss], rtol=200 * eps)
    for name, gradient in {"W2": hidden.T @ D, "b2": D.sum(axis=0)}.items():
        np.testing.assert_allclose(net.params[name], before[name] - 0.5 * gradient, rtol=0, atol=200 * eps)


@pytest.mark.parametrize("labels", ["ids", "soft"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [{"sample_weight": weights()}, {"label_smoothing": 0.3}, {"sample_weight": weights(), "label_smoothing": 0.3}],
)
def test_both_ways_agree_with_weights_and_smoothing(options: Any, dtype: Any, labels: str) -> None:
    x, ids = data()
    t = ids if labels == "ids" else softmax(np.random.default_rng(2).normal(size=(50, 4)))
    net, twin = engine_net(dtype=dtype), own_layer_net(dtype=dtype)
    assert engine.known_arrays(twin.layers) is None
    options = {"batch_size": 7, "epochs": 4, "seed": 3, "validation": 0.2, **options}
    losses, twins = (fit(each, x, t, **options) for each in (net, twin))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(losses.losses, twins.losses, rtol=0, atol=500 * eps)
    np.testing.assert_allclose(losses.validation_loss, twins.validation_loss, rtol=0, atol=500 * eps)
    assert_close(net, twin, rtol=0, atol=500 * eps)


@pytest.mark.parametrize("make", NETS)
def test_weights_of_one_are_no_weights(make: Any) -> None:
    net, twin = make(), make()
    losses = fit(net, *data(), batch_size=7, seed=3, sample_weight=np.ones(50)).losses
    np.testing.assert_allclose(losses, fit(twin, *data(), batch_size=7, seed=3).losses, rtol=1e-13)
    assert_close(net, twin, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", NETS)
def test_a_weight_of_two_counts_as_two_copies(make: Any) -> None:
    x, t = data()
    net, twin = make(), make()
    fit(net, x, t, batch_size=50, iterations=1, learning_rate=0.5, sample_weight=1 + (np.arange(50) < 10))
    twice_x, twice_t = np.concatenate([x, x[:10]]), np.concatenate([t, t[:10]])
    # The mean is over 50 examples in one and over 60 in the other.
    fit(twin, twice_x, twice_t, batch_size=60, iterations=1, learning_rate=0.5 * 60 / 50)
    assert_close(net, twin, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", NETS)
def test_an_example_of_weight_0_teaches_nothing_whatever_it_holds(make: Any) -> None:
    x, t = data()
    other = t.copy()
    other[::7] = (t[::7] + 1) % 4
    net, twin = make(), make()
    assert (
        fit(net, x, t, batch_size=7, seed=3, sample_weight=weights()).losses
        == fit(twin, x, other, batch_size=7, seed=3, sample_weight=weights()).losses
    )
    assert bits(net) == bits(twin)


def test_losses_of_whole_sets_are_without_weights_and_smoothing() -> None:
    net = engine_net()
    history = fit(net, *data(), batch_size=7, seed=3, sample_weight=weights(), label_smoothing=0.3)
    np.testing.assert_allclose(history.train_loss[-1], net.loss(*data()), rtol=1e-13)


def test_a_networks_loss_and_gradient_take_weights() -> None:
    x, t = data()
    net, w = engine_net(), weights()
    each = np.array([net.loss(x[i], t[i]) for i in range(50)])
    np.testing.assert_allclose(net.loss(x, t, w), np.sum(w * each) / 50, rtol=1e-13)
    grads = net.gradient(x, t, sample_weight=w)
    h, name = 1e-6, "W1"
    for at in [(0, 0), (3, 2), (5, 4)]:
        losses = []
        for step in (h, -h):
            net.params[name][at] += step
            losses.append(net.loss(x, t, w))
            net.params[name][at] -= step
        np.testing.assert_allclose(grads[name][at], (losses[0] - losses[1]) / (2 * h), rtol=1e-6, atol=1e-9)


def test_one_example_may_have_a_weight() -> None:
    layer = SoftmaxWithLoss()
    scores = np.log([1.0, 2.0, 5.0])
    assert layer.forward(scores, 2, [3.0]) == pytest.approx(-3 * math.log(5 / 8))
    np.testing.assert_allclose(layer.backward(), 3 * np.array([0.125, 0.25, -0.375]))


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.ones(49), ValueError, r"sample_weight must have shape \(50,\)"),
        (np.ones((50, 1)), ValueError, r"sample_weight must have shape \(50,\)"),
        (-np.ones(50), ValueError, "finite and >= 0; got -1.0 at row 0"),
        (np.full(50, math.nan), ValueError, "finite and >= 0; got nan at row 0"),
        (np.full(50, math.inf), ValueError, "finite and >= 0; got inf at row 0"),
        (np.zeros(50), ValueError, "sample_weight is 0 for every example"),
        ("x", TypeError, "sample_weight must be an array"),
        (3, ValueError, "sample_weight must have shape"),
    ],
)
def test_bad_weights_are_refused(bad: Any, error: type[Exception], match: str) -> None:
    for make in NETS:
        refused(error, match, make, sample_weight=bad)


@pytest.mark.parametrize(
    ("bad", "error"), [(1, ValueError), (-0.1, ValueError), (math.nan, ValueError), ("x", TypeError)]
)
def test_label_smoothing_must_be_a_share(bad: Any, error: type[Exception]) -> None:
    refused(error, "label_smoothing must", label_smoothing=bad)


@pytest.mark.parametrize("options", [{"sample_weight": np.ones(50)}, {"label_smoothing": 0.1}])
def test_a_network_with_a_gradient_of_its_own_can_have_neither(options: Any) -> None:
    def make() -> TwoLayerNet:
        return OwnGradient(6, 5, 4, seed=0)

    refused(ValueError, "need the loss and gradient of Network, but OwnGradient has its own", make, **options)
