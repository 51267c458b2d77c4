"""Right values of chapters 6 to 8: each number that the book's own code gives, its losses with an exact logarithm.

`goldens.json` holds facts measured on oreilly-japan/deep-learning-from-scratch at the commit it names: norms, sums and
entries of arrays. An array that went in is ``S`` or ``C`` below.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule import book, load_mnist
from chainrule.book.common import layers

GOLDENS: dict[str, Any] = json.loads((Path(__file__).parent / "goldens.json").read_text(encoding="utf-8"))
EXACT: dict[str, float] = GOLDENS["exact_loss"]
ROUNDING = 1e-10

Array = NDArray[Any]


def S(shape: Any, a: float = 1, c: float = 0, s: float = 1) -> Array:
    return np.asarray(s * np.sin(a * np.arange(np.prod(shape)) + c)).reshape(shape)


def C(shape: Any, a: float = 1, c: float = 0, s: float = 1) -> Array:
    return np.asarray(s * np.cos(a * np.arange(np.prod(shape)) + c)).reshape(shape)


def assert_golden(got: Any, golden: Any) -> None:
    """Compare an array with what is known of one: every entry relative to the array's norm, the norm to itself."""
    array = np.asarray(got)
    assert list(array.shape) == golden["shape"]
    assert array.dtype == golden["dtype"]
    norm = golden["norm"]
    scale = max(norm, 1e-5)  # below it an array is rounding, about 0: of b under batch normalization
    assert abs(float(np.linalg.norm(array)) - norm) <= ROUNDING * scale
    assert abs(array.sum() - golden["sum"]) <= ROUNDING * scale * max(1, array.size) ** 0.5
    for index, value in golden["at"].items():
        assert abs(array.flat[int(index)] - value) <= ROUNDING * max(abs(value), 1e-3 * norm, 1e-5), index
    if "all" in golden:
        assert np.abs(array.ravel() - golden["all"]).max() <= ROUNDING * scale


def assert_close(got: float, golden: float) -> None:
    assert abs(got - golden) <= ROUNDING * abs(golden)


def cases(kind: str, *others: str) -> list[str]:
    return [name for name, value in GOLDENS[kind].items() if isinstance(value, dict) and name not in others]


# --- layers ---


@pytest.mark.parametrize("name", cases("Dropout", "default"))
def test_dropout(name: str) -> None:
    golden = GOLDENS["Dropout"][name]
    shape = golden["shape"]
    layer = layers.Dropout(golden["ratio"])
    np.random.seed(0)
    assert_golden(layer.forward(S(shape), True), golden["train_out"])
    mask = layer.mask
    assert int(mask.sum()) == golden["mask_true"]
    assert int(np.argmin(mask.ravel())) == golden["mask_first_false"]
    assert_golden(layer.backward(C(shape, 0.5, 1)), golden["dx"])
    assert np.random.rand() == golden["rand_after"]
    assert_golden(layer.forward(S(shape), False), golden["eval_out"])
    assert layer.mask is mask


def test_dropout_draws_again_at_each_forward() -> None:
    golden = GOLDENS["Dropout"]["default"]
    layer = layers.Dropout()
    assert layer.dropout_ratio == golden["ratio"]
    np.random.seed(0)
    for out in golden["second_forward_out"]:
        assert_golden(layer.forward(S(out["shape"])), out)


@pytest.mark.parametrize("name", cases("BatchNormalization", "eval_before_any_training_8x5", "scalar_gamma_beta_8x5"))
def test_batch_normalization(name: str) -> None:
    golden = GOLDENS["BatchNormalization"][name]
    shape = golden["shape"]
    D = int(np.prod(shape[1:]))
    layer = layers.BatchNormalization(1 + 0.5 * S(D, 0.7, 0.3), C(D, 0.3, 0.1, 0.2), golden["momentum"])
    for k, step in enumerate(golden["steps"]):
        assert_golden(layer.forward(S(shape, 1 + 0.1 * k, 0.5 * k, 1 + k), True), step["out"])
        assert_golden(layer.backward(C(shape, 0.5, 1 + k)), step["dx"])
        for attribute in ("dgamma", "dbeta", "running_mean", "running_var"):
            assert_golden(getattr(layer, attribute), step[attribute])
    before = layer.running_mean, layer.running_var
    assert_golden(layer.forward(S(shape, 0.9, 0.2, 2), False), golden["eval_out"])
    assert layer.running_mean is before[0]
    assert layer.running_var is before[1]


def test_batch_normalization_that_evaluates_before_any_training() -> None:
    layer = layers.BatchNormalization(np.ones(5), np.zeros(5))
    with pytest.warns(RuntimeWarning, match="before any training"):
        out = layer.forward(S((8, 5)), False)
    assert_golden(out, GOLDENS["BatchNormalization"]["eval_before_any_training_8x5"])


def test_batch_normalization_with_numbers_for_gamma_and_beta() -> None:
    golden = GOLDENS["BatchNormalization"]["scalar_gamma_beta_8x5"]
    layer = layers.BatchNormalization(1.0, 0.0)
    assert_golden(layer.forward(S((8, 5))), golden["out"])
    assert_golden(layer.backward(C((8, 5), 0.5, 1)), golden["dx"])
    assert_golden(layer.dgamma, golden["dgamma"])
    assert_golden(layer.dbeta, golden["dbeta"])


@pytest.mark.parametrize("name", cases("im2col"))
def test_im2col(name: str) -> None:
    golden = GOLDENS["im2col"][name]
    shape, *window = (golden[key] for key in ("input_shape", "filter_h", "filter_w", "stride", "pad"))
    col = book.im2col(S(shape), *window)
    assert_golden(col, golden["col"])
    assert np.array_equal(col[0], golden["col_first_row"])
    assert_golden(book.col2im(col, tuple(shape), *window), golden["col2im_of_col"])


@pytest.mark.parametrize("name", cases("Convolution", "b_is_the_number_0"))
def test_convolution(name: str) -> None:
    golden = GOLDENS["Convolution"][name]
    FN = golden["W"][0]
    layer = layers.Convolution(C(golden["W"], 1, 0, 0.1), 0.01 * np.arange(FN), golden["stride"], golden["pad"])
    out = layer.forward(S(golden["x"]))
    assert_golden(out, golden["out"])
    assert_golden(layer.backward(S(out.shape, 0.5, 1)), golden["dx"])
    assert_golden(layer.dW, golden["dW"])
    assert_golden(layer.db, golden["db"])


def test_convolution_with_the_number_0_for_b() -> None:
    layer = layers.Convolution(C((1, 1, 3, 3), 1, 0, 0.1), 0)
    assert_golden(layer.forward(S((1, 1, 6, 6))), GOLDENS["Convolution"]["b_is_the_number_0"]["out"])


@pytest.mark.parametrize("name", cases("Pooling", "ties_of_relu", "all_zero_ties"))
def test_pooling(name: str) -> None:
    golden = GOLDENS["Pooling"][name]
    layer = layers.Pooling(golden["pool_h"], golden["pool_w"], golden["stride"])
    out = layer.forward(S(golden["x"], 1.3, 0.2))
    assert_golden(out, golden["out"])
    assert_golden(layer.arg_max, golden["arg_max"])
    assert_golden(layer.backward(S(out.shape, 0.5, 1)), golden["dx"])


def test_pooling_takes_the_first_of_equal_numbers() -> None:
    layer = layers.Pooling(2, 2)
    assert layer.stride == GOLDENS["Pooling"]["default_stride"]
    ties, zeros = (GOLDENS["Pooling"][name] for name in ("ties_of_relu", "all_zero_ties"))
    out = layer.forward(np.maximum(S((1, 1, 4, 4), 1.3, 0.2), 0))
    assert_golden(out, ties["out"])
    assert layer.arg_max is not None
    assert layer.arg_max.tolist() == ties["arg_max"]
    assert layer.backward(np.ones(out.shape)).ravel().tolist() == ties["dx_of_ones"]
    out = layer.forward(np.zeros((1, 2, 4, 4)))
    assert layer.arg_max.tolist() == zeros["arg_max"]
    assert layer.backward(np.ones(out.shape)).ravel().tolist() == zeros["dx_of_ones"]


# --- the small functions ---


def test_shuffle_dataset() -> None:
    golden = GOLDENS["shuffle_dataset"]
    np.random.seed(golden["seed"])
    x, t = book.shuffle_dataset(np.arange(20.0).reshape(10, 2), np.arange(10))
    assert t.tolist() == golden["t"]
    assert x[0].tolist() == golden["x0"]
    assert np.random.rand() == golden["rand_after"]


@pytest.mark.parametrize("n", cases("smooth_curve"))
def test_smooth_curve(n: str) -> None:
    golden = GOLDENS["smooth_curve"][n]
    y = book.smooth_curve(list(np.sin(np.arange(int(n)))))
    assert len(y) == golden["len"]
    if "y" in golden:
        assert_golden(y, golden["y"])


def test_conv_output_size() -> None:
    golden = GOLDENS["conv_output_size"]
    sizes = book.conv_output_size(28, 5), book.conv_output_size(28, 3, 2, 1)
    assert sizes == (golden["(28,5)"], golden["(28,3,2,1)"])
    assert [type(size).__name__ for size in sizes] == [golden["type"]] * 2


# --- networks ---


@pytest.fixture(scope="module")
def digits() -> tuple[Array, Array, Array, Array]:
    (x_train, t_train), (x_test, t_test) = load_mnist()
    return x_train.astype(np.float64), t_train, x_test[:100].astype(np.float64), t_test[:100]


def nets() -> list[tuple[str, str]]:
    return [(kind, name) for kind in ("MultiLayerNet", "MultiLayerNetExtend") for name in cases(kind)]


@pytest.mark.filterwarnings("ignore:BatchNormalization evaluates before any training")
@pytest.mark.parametrize(("kind", "name"), nets())
def test_a_network(kind: str, name: str, digits: Any) -> None:
    golden, path = GOLDENS[kind][name], f"{kind}/{name}"
    x, t = digits[0][:10], digits[1][:10]
    np.random.seed(0)
    net = getattr(book, kind)(input_size=784, output_size=10, **golden["kwargs"])
    state = np.random.get_state()
    assert np.random.rand() == golden["rand_after_init"]
    assert list(net.params) == golden["param_order"]
    assert list(net.layers) == golden["layers"]
    for key, array in golden["params"].items():
        assert_golden(net.params[key], array)
    np.random.set_state(state)
    assert_close(net.loss(x, t), EXACT[f"{path}/loss_eval_or_default"])
    np.random.set_state(state)
    grads = net.gradient(x, t)
    assert list(grads) == golden["grad_order"]
    for key, array in golden["grads"].items():
        assert_golden(grads[key], array)
    assert np.random.rand() == golden["rand_after_gradient"]
    assert_close(net.last_layer.loss, EXACT[f"{path}/last_layer_loss_in_gradient"])
    assert net.accuracy(x, t) == golden["accuracy"]
    assert_golden(net.predict(x), golden["scores"])
    if kind == "MultiLayerNet":
        assert_close(net.loss(x, np.eye(10)[t]), EXACT[f"{path}/loss_one_hot"])
    else:
        np.random.seed(1)
        assert_close(net.loss(x, t, train_flg=True), EXACT[f"{path}/loss_train_flg_True_seed1"])
        assert_close(net.loss(x, t), EXACT[f"{path}/loss_train_flg_False_after"])
    for key, running in golden.get("running", {}).items():
        assert_golden(net.layers[key].running_mean, running["mean"])
        assert_golden(net.layers[key].running_var, running["var"])


@pytest.mark.parametrize("name", GOLDENS["optimizers_MultiLayerNet_100x4_batch128_60000"])
def test_an_optimizer_over_ten_steps(name: str, digits: Any) -> None:
    x_train, t_train, *_ = digits
    np.random.seed(0)
    net, optimizer = book.MultiLayerNet(784, [100] * 4, 10), getattr(book, name)()
    for i in range(10):
        batch = np.random.choice(60000, 128)
        x, t = x_train[batch], t_train[batch]
        optimizer.update(net.params, net.gradient(x, t))
        assert_close(net.loss(x, t), EXACT[f"optimizers_MultiLayerNet_100x4_batch128_60000/{name}/{i}"])


#: The networks of the runs: hidden sizes, and what `MultiLayerNetExtend` is asked for.
TRAINED: dict[str, tuple[list[int], dict[str, Any]]] = {
    "extend_dropout_bn_momentum": ([50, 50], {"use_dropout": True, "dropout_ration": 0.2, "use_batchnorm": True}),
    "extend_dropout_sgd": ([100] * 6, {"use_dropout": True, "dropout_ration": 0.2}),
}


@pytest.mark.parametrize("name", cases("Trainer"))
def test_the_trainer(name: str, digits: Any) -> None:
    x_train, t_train, x_test, t_test = digits
    golden = GOLDENS["Trainer"][name]
    n, m = golden["n_train"], golden["n_test"]
    np.random.seed(0)
    hidden, wanted = TRAINED.get(name, ([50, 50], {}))
    net = (book.MultiLayerNetExtend if wanted else book.MultiLayerNet)(784, hidden, 10, **wanted)
    trainer = book.Trainer(net, x_train[:n], t_train[:n], x_test[:m], t_test[:m], verbose=False, **golden["kw"])
    trainer.train()
    assert len(trainer.train_loss_list) == golden["n_losses"]
    for i, loss in enumerate(trainer.train_loss_list[:10]):
        assert_close(loss, EXACT[f"Trainer/{name}/losses_first_10/{i}"])
    for attribute in ("iter_per_epoch", "max_iter", "current_iter", "current_epoch", "train_acc_list", "test_acc_list"):
        assert getattr(trainer, attribute) == golden[attribute]
    assert np.random.rand() == golden["rand_after"]
