"""Losses: values and gradients by formulas written out here, what t may be, and training whole with each of them."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import (
    Adam,
    Affine,
    EarlyStopping,
    IdentityWithLoss,
    Loss,
    Network,
    Relu,
    SigmoidWithLoss,
    SoftmaxWithLoss,
    Tanh,
    check_gradients,
    fit,
    load,
)
from chainrule.nn import engine

LOSSES = (SoftmaxWithLoss, SigmoidWithLoss, IdentityWithLoss)
DTYPES = (np.float32, np.float64)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def answers(loss: type[Loss], scores: Any, seed: int = 1) -> Any:
    """Give a t that fits scores of this shape."""
    if loss is SoftmaxWithLoss:
        return rng(seed).integers(scores.shape[-1], size=scores.shape[:-1])
    if loss is SigmoidWithLoss:
        return rng(seed).random(scores.shape)
    return rng(seed).normal(size=scores.shape)


def each(loss: type[Loss], scores: Any, t: Any) -> Any:
    """Give the loss of each row, by the formula as the books write it."""
    if loss is SoftmaxWithLoss:
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        return -np.log((e / e.sum(axis=1, keepdims=True))[np.arange(len(t)), t])
    if loss is SigmoidWithLoss:
        y = 1 / (1 + np.exp(-scores))
        return -(t * np.log(y) + (1 - t) * np.log(1 - y)).sum(axis=1)
    return ((scores - t) ** 2).sum(axis=1) / 2


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(7, 5), (1, 3), (300, 1), (5000, 2)])
def test_a_loss_is_its_formula(loss: type[Loss], dtype: Any, shape: tuple[int, int]) -> None:
    scores = rng().normal(0, 2, shape).astype(dtype)
    t = answers(loss, scores)
    wanted = each(loss, scores.astype(np.float64), t).mean()
    np.testing.assert_allclose(
        loss().forward(scores, t), wanted, rtol=3e-6 if dtype is np.float32 else 1e-12, atol=1e-9
    )


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_its_gradient_is_the_difference_quotient(loss: type[Loss], weighted: bool) -> None:
    scores = rng().normal(size=(4, 3))
    t, dout, h = answers(loss, scores), 1.7, 1e-5
    weights = (rng(3).random(4) * 2,) if weighted else ()
    layer = loss()
    layer.forward(scores, t, *weights)
    numeric = np.zeros_like(scores)
    for index in np.ndindex(*scores.shape):
        step = np.zeros_like(scores)
        step[index] = h
        numeric[index] = (loss().forward(scores + step, t, *weights) - loss().forward(scores - step, t, *weights)) / (
            2 * h
        )
    np.testing.assert_allclose(layer.backward(dout), dout * numeric, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_weight_counts_an_example_as_often(loss: type[Loss], dtype: Any) -> None:
    scores = rng().normal(size=(3, 4)).astype(dtype)
    t, weights = answers(loss, scores), np.array([2.0, 0.0, 1.0])
    layer = loss()
    value = layer.forward(scores, t, weights)
    rows = each(loss, scores.astype(np.float64), t)
    np.testing.assert_allclose(value, weights @ rows / 3, rtol=1e-6 if dtype is np.float32 else 1e-13)
    assert layer.backward().dtype == dtype
    assert not layer.backward()[1].any()


@pytest.mark.parametrize("loss", LOSSES)
def test_one_example_needs_no_batch(loss: type[Loss]) -> None:
    scores = rng().normal(size=(1, 4))
    t = answers(loss, scores)
    one, batch = loss(), loss()
    assert one.forward(scores[0], t[0]) == batch.forward(scores, t)
    np.testing.assert_array_equal(one.backward(), batch.backward()[0])


@pytest.mark.parametrize("loss", [SigmoidWithLoss, IdentityWithLoss])
def test_with_one_column_t_need_not_have_it(loss: type[Loss]) -> None:
    scores, t = rng().normal(size=(5, 1)), rng(1).random(5)
    assert loss().forward(scores, t) == loss().forward(scores, t[:, None])
    assert loss().forward(scores[0], t[0]) == loss().forward(scores[:1], t[:1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sigmoid_that_is_certain_and_wrong_is_not_capped(dtype: Any) -> None:
    layer = SigmoidWithLoss()
    assert layer.forward(np.array([[1000.0, -1000.0]], dtype), [[0, 1]]) == 2000
    np.testing.assert_array_equal(layer.backward(), [[1, -1]])
    assert layer.forward(np.array([[1000.0, -1000.0]], dtype), [[1, 0]]) == 0


@pytest.mark.parametrize(
    ("loss", "t", "text"),
    [
        (SigmoidWithLoss, [[0.0, 1.5]], r"t must lie in 0\.\.1; got 1\.5 at row 0"),
        (SigmoidWithLoss, [[0.0, np.nan]], r"t must lie in 0\.\.1; got nan at row 0"),
        (SigmoidWithLoss, [1], r"t must have the shape of the scores, \(1, 2\), got t\.shape=\(1,\)"),
        (IdentityWithLoss, [[np.inf, 0.0]], "t must be finite; got inf at row 0"),
        (IdentityWithLoss, [[1.0]], r"t must have the shape of the scores, \(1, 2\), got t\.shape=\(1, 1\)"),
    ],
)
def test_a_t_it_is_not_for_is_refused_by_name(loss: type[Loss], t: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        loss().forward(np.zeros((1, 2)), t)


@pytest.mark.parametrize("loss", LOSSES)
def test_t_is_neither_written_nor_kept(loss: type[Loss]) -> None:
    scores = rng().normal(size=(4, 3))
    t = answers(loss, scores)
    before = t.copy()
    layer = loss()
    layer.forward(scores, t)
    assert not np.may_share_memory(layer.t, t)
    np.testing.assert_array_equal(t, before)


def test_r2_is_the_share_of_the_variance_explained() -> None:
    """The values of scikit-learn's r2_score for one column, and with multioutput="variance_weighted" for two."""
    t, y = np.array([3, -0.5, 2, 7]), np.array([2.5, 0.0, 2, 8])
    assert round(IdentityWithLoss().evaluate(y[:, None], t)[1], 6) == 0.948608
    t2, y2 = np.array([[0.5, 1], [-1, 1], [7, -6]]), np.array([[0, 2], [-1, 2], [8, -5]])
    assert round(IdentityWithLoss().evaluate(y2.astype(float), t2)[1], 6) == 0.938257
    assert IdentityWithLoss().evaluate(np.ones((3, 1)), [1, 1, 1])[1] == 1
    assert IdentityWithLoss().evaluate(np.zeros((3, 1)), [1, 1, 1])[1] == 0


def test_a_row_of_yes_and_no_is_right_if_all_of_it_is() -> None:
    scores = np.array([[1.0, -1.0], [1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0]])
    assert SigmoidWithLoss().evaluate(scores, [[1, 0], [1, 0], [0, 0], [1, 1]])[1] == 0.5


# --- in a network ---


def network(loss: Loss, outputs: int, dtype: Any = np.float64, own: bool = False) -> Network:
    class OwnTanh(Tanh):
        """Not known to Rust."""

    r = rng(5)
    W1, W2 = r.normal(0, 0.5, (6, 8)).astype(dtype), r.normal(0, 0.5, (8, outputs)).astype(dtype)
    layers: list[Any] = [
        Affine(W1, np.zeros(8, dtype)),
        (OwnTanh if own else Tanh)(),
        Affine(W2, np.zeros(outputs, dtype)),
    ]
    return Network({str(i): layer for i, layer in enumerate(layers)}, loss)


def data(loss: type[Loss], n: int = 200, outputs: int = 3, seed: int = 0) -> tuple[Any, Any]:
    x = rng(seed).normal(size=(n, 6))
    said = np.tanh(x @ rng(9).normal(size=(6, outputs)))
    if loss is SoftmaxWithLoss:
        return x, said.argmax(axis=1)
    return x, (said > 0).astype(float) if loss is SigmoidWithLoss else said


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_check_finds_its_network_right(loss: type[Loss], own: bool) -> None:
    x, t = data(loss, 5)
    report = check_gradients(network(loss(), 3, own=own), x, t)
    assert report.verdict == "right", report


@pytest.mark.parametrize("loss", LOSSES)
def test_the_check_finds_a_wrong_one_wrong(loss: type[Loss]) -> None:
    net = network(loss(), 3)
    gradient = net.gradient
    net.gradient = lambda x, t: {n: g / 2 if n == "W2" else g for n, g in gradient(x, t).items()}  # type: ignore[method-assign,misc,assignment]
    assert check_gradients(net, *data(loss, 5)).verdict == "wrong"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_rust_and_the_layers_train_alike(loss: type[Loss], weighted: bool, dtype: Any) -> None:
    x, t = data(loss)
    options: dict[str, Any] = {"sample_weight": rng(4).random(len(x)) * 2} if weighted else {}
    nets = [network(loss(), 3, dtype, own) for own in (False, True)]
    assert (engine.Ours(nets[0]).arrays is None, engine.Ours(nets[1]).arrays is None) == (False, True)
    histories = [
        fit(net, x, t, epochs=4, batch_size=32, seed=0, optimizer=Adam(0.01), validation=0.2, **options) for net in nets
    ]
    close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-6} if dtype is np.float32 else {"rtol": 1e-10, "atol": 1e-13}
    for name, array in nets[0].params.items():
        np.testing.assert_allclose(array, nets[1].params[name], **close)
    for name, values in histories[0].measures().items():
        np.testing.assert_allclose(values, histories[1].measures()[name], **close)
    measure = loss.measure
    assert list(histories[0].measures()) == [f"{s}_{m}" for s, m in sorted_measures(measure)]


def sorted_measures(measure: str) -> list[tuple[str, str]]:
    pairs = [(s, m) for s in ("train", "validation") for m in ("loss", "accuracy")]
    if measure == "accuracy":
        return pairs
    return [("train", "loss"), ("validation", "loss"), ("train", "r2"), ("validation", "r2")]


@pytest.mark.parametrize("loss", LOSSES)
def test_it_learns(loss: type[Loss]) -> None:
    x, t = data(loss, 400)
    net = network(loss(), 3)
    history = fit(net, x, t, epochs=60, batch_size=20, seed=0, optimizer=Adam(0.02), test=data(loss, 100, seed=7))
    measured = history.test_r2 if loss is IdentityWithLoss else history.test_accuracy
    assert measured[-1] > (0.95 if loss is IdentityWithLoss else 0.8)
    assert measured[-1] == pytest.approx(net.score(*data(loss, 100, seed=7)))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_run_is_stopped_early_resumed_and_kept_with_it(loss: type[Loss], tmp_path: Path) -> None:
    x, t = data(loss)
    path, options = tmp_path / "run.safetensors", {"batch_size": 20, "seed": 0, "validation": 0.2}
    monitor = f"validation_{loss.measure}"
    whole = network(loss(), 3)
    history = fit(whole, x, t, epochs=6, callbacks=[EarlyStopping(50, monitor)], **options)  # type: ignore[arg-type]
    fit(network(loss(), 3), x, t, epochs=3, callbacks=[EarlyStopping(50, monitor)], checkpoint=path, **options)  # type: ignore[arg-type]
    again = load(path)
    assert type(again.last_layer) is loss
    assert fit(again, x, t, epochs=6, callbacks=[EarlyStopping(50, monitor)], resume=path, **options) == history  # type: ignore[arg-type]
    for name, array in whole.params.items():
        np.testing.assert_array_equal(array, again.params[name])
    assert max(getattr(history, monitor)) == pytest.approx(whole.score(*validation(x, t)))


def validation(x: Any, t: Any) -> tuple[Any, Any]:
    held = np.random.default_rng(0).permutation(len(x))[: len(x) // 5]
    return x[held], t[held]


def test_squared_losses_of_ones_own_train_whole() -> None:
    """No accuracy can be taken of them: t holds no classes."""

    class Squared:
        def forward(self, x: Any, t: Any) -> float:
            self.d = (x - t) / len(x)
            return float(((x - t) ** 2).sum() / 2 / len(x))

        def backward(self, dout: float = 1) -> Any:
            return self.d * dout

    x, t = data(IdentityWithLoss)
    own, ours = network(Squared(), 3), network(IdentityWithLoss(), 3)  # type: ignore[arg-type]
    history = fit(own, x, t, epochs=3, batch_size=20, seed=0, test=(x, t))
    theirs = fit(ours, x, t, epochs=3, batch_size=20, seed=0, test=(x, t))
    np.testing.assert_allclose(history.losses, theirs.losses, rtol=1e-12)
    assert list(history.measures()) == ["train_loss", "test_loss"]


def test_there_is_no_accuracy_of_numbers_and_no_smoothing() -> None:
    net, (x, t) = network(IdentityWithLoss(), 3), data(IdentityWithLoss)
    with pytest.raises(ValueError, match=r"no accuracy with IdentityWithLoss; net\.score gives its r2"):
        net.accuracy(x, t)
    with pytest.raises(ValueError, match="label_smoothing is for classes, and IdentityWithLoss has none"):
        fit(net, x, t, label_smoothing=0.1)
    with pytest.raises(ValueError, match="watches validation_accuracy; the measure of this run is r2"):
        fit(net, x, t, validation=0.2, callbacks=[EarlyStopping(monitor="validation_accuracy")])


def test_every_public_layer_loss_and_optimizer_has_a_row() -> None:
    """One that had none would be trained by its own methods, slowly, and not be named in a file."""
    from chainrule.nn import kinds, layers
    from chainrule.nn.layers import base, kernel

    bases = {base.BaseLayer, kernel.KernelLayer}
    modules = [importlib.import_module(f"{layers.__name__}.{m.name}") for m in pkgutil.iter_modules(layers.__path__)]
    defined = [thing for module in modules if module is not base for thing in vars(module).values()]
    found = {thing for thing in defined if isinstance(thing, type) and hasattr(thing, "backward")} - bases
    found = {thing for thing in found if not thing.__name__.startswith("_")}
    public = [value for name in chainrule.__all__ if isinstance(value := getattr(chainrule, name), type)]
    losses = [kind for kind in public if issubclass(kind, Loss) and kind is not Loss]
    optimizers = [kind for kind in public if issubclass(kind, chainrule.Optimizer) and kind is not chainrule.Optimizer]
    assert found == set(kinds.LAYERS)
    assert found <= set(public)
    assert set(losses) == set(kinds.LOSSES)
    assert set(optimizers) == set(kinds.OPTIMIZERS)


def test_every_row_is_known_to_rust() -> None:
    from chainrule.nn import kinds

    made: dict[type[Any], Any] = {
        Affine: lambda: Affine(np.eye(16), np.zeros(16)),
        chainrule.Convolution: lambda: chainrule.Convolution(rng(1).normal(size=(1, 1, 3, 3)), np.ones(1), pad=1),
        chainrule.Pooling: lambda: chainrule.Pooling(3, 3, 1, 1),
        chainrule.AveragePooling: lambda: chainrule.AveragePooling(3, 3, 1, 1),
        chainrule.BatchNormalization: lambda: chainrule.BatchNormalization([2.0], [1.0], running_mean=[0.3]),
        chainrule.LayerNormalization: lambda: chainrule.LayerNormalization(rng(2).normal(size=16), np.ones(16)),
        chainrule.Reshape: lambda: chainrule.Reshape((1, 2, 8)),
    }
    x = rng().normal(size=(20, 1, 4, 4))
    for kind in kinds.LAYERS.values():
        layer = made[kind.of]() if kind.of in made else kind.of(**dict.fromkeys(kind.numbers, 0.3))
        net = Network({"a": Relu(), "b": layer, "c": Relu(), "d": Affine(np.eye(16), np.ones(16))})
        plan = engine.Ours(net).plan(x)
        assert plan is not None, kind
        np.testing.assert_allclose(plan.scores(x), net._forward(x, training=False), rtol=1e-14, err_msg=kind.rust)
        assert kind.trains_otherwise == plan.trains_otherwise
    for kind in kinds.OPTIMIZERS.values():
        assert engine.knows(kind.of())
