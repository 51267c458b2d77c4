"""The book's networks: shapes of any kind, gradients, weights in files, sizes that the book's own code cannot have."""

from __future__ import annotations

import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import chainrule
from chainrule import DataError, book, check_gradients
from chainrule.book import ch04, ch05

r = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def the_same_numbers_in_whatever_order_tests_run() -> None:
    global r
    r = np.random.default_rng(0)
    np.random.seed(1)


SMALL = {"filter_num": 3, "filter_size": 3, "pad": 0, "stride": 1}


def small_deep_net(size: int = 28) -> Any:
    kind: Any = book.DeepConvNet
    params = [{"filter_num": 6, "filter_size": 3, "pad": pad, "stride": 1} for pad in (1, 1, 1, 2, 1, 1)]
    return kind((1, size, size), *params, hidden_size=5)


# --- how they are made ---


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (book.MultiLayerNet, "input_size hidden_size_list output_size activation weight_init_std weight_decay_lambda"),
        (
            book.MultiLayerNetExtend,
            "input_size hidden_size_list output_size activation weight_init_std weight_decay_lambda"
            " use_dropout dropout_ration use_batchnorm",
        ),
        (book.SimpleConvNet, "input_dim conv_param hidden_size output_size weight_init_std"),
        (
            book.DeepConvNet,
            "input_dim conv_param_1 conv_param_2 conv_param_3 conv_param_4 conv_param_5 conv_param_6"
            " hidden_size output_size",
        ),
        (
            book.Trainer,
            "network x_train t_train x_test t_test epochs mini_batch_size optimizer optimizer_param"
            " evaluate_sample_num_per_epoch verbose",
        ),
        (ch04.TwoLayerNet, "input_size hidden_size output_size weight_init_std"),
    ],
)
def test_the_arguments_are_the_books(kind: Any, names: str) -> None:
    assert list(inspect.signature(kind).parameters) == names.split()


def test_the_defaults_are_the_books() -> None:
    defaults = {name: p.default for name, p in inspect.signature(book.Trainer).parameters.items()}
    assert defaults["optimizer_param"] == {"lr": 0.01}
    assert inspect.signature(book.SimpleConvNet).parameters["conv_param"].default == {
        "filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1,
    }  # fmt: skip
    fourth = inspect.signature(book.DeepConvNet).parameters["conv_param_4"].default
    assert fourth == {"filter_num": 32, "filter_size": 3, "pad": 2, "stride": 1}


def test_the_flat_two_layer_net_is_chapter_5s() -> None:
    assert book.TwoLayerNet is ch05.TwoLayerNet is chainrule.TwoLayerNet


# --- gradients ---


@pytest.mark.parametrize(
    "make",
    [
        lambda: book.MultiLayerNet(6, (5, 4), 3),
        lambda: book.MultiLayerNet(6, [5], 3, "sigmoid", 0.3, 0.1),
        lambda: book.MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True, weight_decay_lambda=0.01),
        lambda: ch04.TwoLayerNet(6, 5, 3, 0.5),
    ],
)
def test_the_gradient_of_a_network_is_that_of_its_loss(make: Any) -> None:
    net, x, t = make(), r.normal(size=(7, 6)), r.integers(0, 3, 7)
    grads, numeric = net.gradient(x, t), net.numerical_gradient(x, t)
    in_order = ["W2", "b2", "W1", "b1"] if isinstance(net, ch04.TwoLayerNet) else list(numeric)
    assert list(grads) == in_order
    for name, gradient in grads.items():
        assert gradient.shape == net.params[name].shape
        assert np.allclose(gradient, numeric[name], rtol=1e-5, atol=1e-8), name
    assert any(np.abs(gradient).max() > 1e-3 for gradient in grads.values())


def test_the_check_takes_them() -> None:
    net = book.MultiLayerNet(6, [5], 3)
    assert check_gradients(net, r.normal(size=(4, 6)), [0, 1, 2, 0]).ok


def test_the_gradient_of_a_convolutional_network_is_that_of_its_loss() -> None:
    net = book.SimpleConvNet((1, 8, 7), SMALL, hidden_size=4, weight_init_std=0.5)
    x, t = r.normal(size=(3, 1, 8, 7)), np.array([[1], [0], [9]])
    grads, numeric = net.gradient(x, t), net.numerical_gradient(x, t)
    for name, gradient in grads.items():
        assert np.allclose(gradient, numeric[name], rtol=1e-4, atol=1e-7), name


def test_the_gradient_of_the_deep_network_is_that_of_its_loss_with_the_same_masks() -> None:
    net, x, t = small_deep_net(16), r.normal(size=(2, 1, 16, 16)), np.array([3, 4])

    for name in ("W1", "W2", "W3", "W4", "W5", "W6", "W7"):  # of so few filters, they come out too small
        net.params[name] = r.normal(size=net.params[name].shape) / 3

    def loss() -> float:
        np.random.seed(1)
        return float(net.loss(x, t))

    np.random.seed(1)
    grads = net.gradient(x, t)
    assert list(grads) == [f"{kind}{i}" for i in range(1, 9) for kind in "Wb"]
    for name in ("W1", "b4", "W7", "b8"):
        assert np.abs(grads[name]).max() > 1e-3
        p = net.params[name]
        at = np.unravel_index(np.abs(grads[name]).argmax(), p.shape)
        saved, values = p[at], []
        for step in (1e-5, -1e-5):
            p[at] = saved + step
            values.append(loss())
        p[at] = saved
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(grads[name][at], rel=1e-4), name


def test_the_deep_networks_differences_are_refused() -> None:
    with pytest.raises(TypeError, match="each loss draws new masks"):
        small_deep_net().numerical_gradient(np.ones((1, 1, 28, 28)), [0])


def test_chapter_4s_gives_probabilities() -> None:
    net, x = ch04.TwoLayerNet(6, 5, 3, 0.5), r.normal(size=(4, 6))
    a = 1 / (1 + np.exp(-(x @ net.params["W1"] + net.params["b1"])))
    scores = a @ net.params["W2"] + net.params["b2"]
    y = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(net.predict(x), y, rtol=1e-12)
    t = np.array([0, 1, 2, 0])
    assert net.loss(x, np.eye(3)[t]) == pytest.approx(-np.log(y[np.arange(4), t]).mean(), rel=1e-12)
    assert net.accuracy(x, np.eye(3)[t]) == net.accuracy(x, t) == np.mean(y.argmax(axis=1) == t)


# --- sizes ---


@pytest.mark.parametrize("size", [(28, 28), (9, 14), (12, 7)])
@pytest.mark.parametrize(("filter_size", "pad", "stride"), [(4, 0, 1), (5, 2, 2), (3, 1, 1), (2, 0, 3)])
def test_a_convolutional_network_of_any_size(size: tuple[int, int], filter_size: int, pad: int, stride: int) -> None:
    param = {"filter_num": 2, "filter_size": filter_size, "pad": pad, "stride": stride}
    net = book.SimpleConvNet((2, *size), param, hidden_size=3)
    x = r.normal(size=(2, 2, *size))
    assert net.predict(x).shape == (2, 10)
    assert {name: g.shape for name, g in net.gradient(x, [0, 1]).items()} == {
        name: p.shape for name, p in net.params.items()
    }


@pytest.mark.parametrize("size", [16, 28, 30])
def test_a_deep_network_of_any_size(size: int) -> None:
    assert small_deep_net(size).predict(r.normal(size=(2, 1, size, size))).shape == (2, 10)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: book.SimpleConvNet((1, 3, 3)), "Conv1: a window of 5×5 is larger"),
        (
            lambda: book.SimpleConvNet((28, 28)),  # type: ignore[arg-type]
            "input_dim must be",
        ),
        (lambda: book.SimpleConvNet(conv_param={"filter_num": 3}), "conv_param must be a dict with filter_num"),
        (lambda: book.DeepConvNet((1, 1, 1)), "is larger than the image"),
        (
            lambda: book.MultiLayerNet(4, [3], 2, activation="tanh"),
            "activation must be 'relu' or 'sigmoid', got 'tanh'",
        ),
        (lambda: book.MultiLayerNet(4, [3], 2, weight_init_std="lecun"), "weight_init_std must be"),
        (lambda: book.MultiLayerNet(4, [0], 2), "hidden_size_list"),
    ],
)
def test_what_cannot_be_made_is_named(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


def test_hidden_sizes_may_be_a_tuple_but_no_number() -> None:
    assert list(book.MultiLayerNet(4, (3, 3), 2).params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    with pytest.raises(TypeError, match="hidden_size_list must be a list"):
        book.MultiLayerNet(4, 3, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(("word", "n"), [("relu", 2), ("He", 2), ("sigmoid", 1), ("XAVIER", 1)])
def test_the_words_for_the_first_weights(word: str, n: int) -> None:
    np.random.seed(0)
    W1 = book.MultiLayerNet(50, [3], 2, weight_init_std=word).params["W1"]
    np.random.seed(0)
    assert np.array_equal(W1, np.sqrt(n / 50) * np.random.randn(50, 3))


# --- accuracy ---


@pytest.mark.parametrize("n", [1, 50, 100, 150])
@pytest.mark.parametrize("make", [lambda: book.SimpleConvNet((1, 8, 8), SMALL, 4), lambda: small_deep_net(16)])
def test_every_image_counts(n: int, make: Any) -> None:
    net = make()
    size = 8 if isinstance(net, book.SimpleConvNet) else 16
    x = r.normal(size=(n, 1, size, size))
    right = net.predict(x).argmax(axis=1)
    assert net.accuracy(x, right) == 1
    assert net.accuracy(x, np.eye(10)[right], batch_size=7) == 1
    wrong = right.copy()
    wrong[-1] = (wrong[-1] + 1) % 10
    assert net.accuracy(x, wrong) == pytest.approx(1 - 1 / n)


def test_the_accuracy_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="empty batch"):
        book.SimpleConvNet((1, 8, 8), SMALL, 4).accuracy(np.ones((0, 1, 8, 8)), np.ones(0))


# --- training and evaluation ---


def test_the_deep_network_draws_in_loss_and_not_in_predict() -> None:
    net, x = small_deep_net(), r.normal(size=(2, 1, 28, 28))
    np.random.seed(0)
    net.predict(x)
    net.accuracy(x, [0, 1])
    after_predict = np.random.rand()
    net.loss(x, [0, 1])
    after_loss = np.random.rand()
    np.random.seed(0)
    assert np.random.rand() == after_predict
    np.random.rand(2, 5)
    np.random.rand(2, 10)
    assert np.random.rand() == after_loss


# --- files ---


@pytest.mark.parametrize("make", [lambda: book.SimpleConvNet((1, 8, 8), SMALL, 4), lambda: small_deep_net(16)])
def test_weights_go_to_a_file_and_come_back(make: Any, tmp_path: Path) -> None:
    one, other = make(), make()
    path = tmp_path / "params.pkl"
    one.save_params(path)
    held = other.params["W1"]
    other.load_params(path)
    assert other.params["W1"] is held
    x = r.normal(size=(2, 1, *([8, 8] if isinstance(one, book.SimpleConvNet) else [16, 16])))
    assert np.array_equal(one.predict(x), other.predict(x))
    other.params["b2"][...] += 1
    assert not np.array_equal(one.predict(x), other.predict(x))
    read = pickle.loads(path.read_bytes())
    assert type(read) is dict
    assert all(np.array_equal(read[name], array) for name, array in one.params.items())
    assert [entry.name for entry in tmp_path.iterdir()] == ["params.pkl"]


def test_weights_of_another_network_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    net = book.SimpleConvNet((1, 8, 8), SMALL, 4)
    before = {name: array.copy() for name, array in net.params.items()}
    book.SimpleConvNet((1, 9, 9), SMALL, 5).save_params(tmp_path / "other.pkl")
    with pytest.raises(ValueError, match=r"params\['W2'\] has shape"):
        net.load_params(tmp_path / "other.pkl")
    (tmp_path / "few.pkl").write_bytes(pickle.dumps({"W1": net.params["W1"]}))
    with pytest.raises(DataError, match="holds 'W1'; the network has 'W1', 'b1'"):
        net.load_params(tmp_path / "few.pkl")
    assert all(np.array_equal(net.params[name], array) for name, array in before.items())


def test_a_parameter_that_is_assigned_reaches_its_layer() -> None:
    net, x = book.MultiLayerNet(4, [3], 2), r.normal(size=(2, 4))
    net.params["b2"] = [5, 7]
    net.params["W2"] = np.zeros((3, 2))
    assert net.predict(x).tolist() == [[5, 7], [5, 7]]


def test_a_layer_may_be_replaced() -> None:
    class Doubling(book.Relu):
        def forward(self, x: Any) -> Any:
            return 2 * super().forward(x)

        def backward(self, dout: Any) -> Any:
            return 2 * super().backward(dout)

    net, x, t = book.MultiLayerNet(4, [3], 2), r.normal(size=(5, 4)), [0, 1, 0, 1, 1]
    net.layers["Activation_function1"] = Doubling()
    grads, numeric = net.gradient(x, t), net.numerical_gradient(x, t)
    assert all(np.allclose(grads[name], numeric[name], rtol=1e-5, atol=1e-9) for name in grads)


# --- the trainer ---


def trainer(**others: Any) -> book.Trainer:
    x, t = r.normal(size=(6, 4)), np.array([0, 1, 0, 1, 1, 0])
    return book.Trainer(book.MultiLayerNet(4, [3], 2), x, t, x[:4], t[:4], **{"verbose": False, **others})


def test_the_final_accuracy_is_kept() -> None:
    run = trainer(epochs=3, mini_batch_size=3)
    assert run.final_test_acc is None
    run.train()
    assert run.final_test_acc == run.network.accuracy(run.x_test, run.t_test)
    assert len(run.train_loss_list) == run.current_iter == run.max_iter == 6
    assert len(run.train_acc_list) == run.current_epoch == 3


def test_the_epochs_accuracies_are_of_as_many_as_are_asked_for() -> None:
    seen: list[int] = []
    run = trainer(epochs=1, mini_batch_size=6, evaluate_sample_num_per_epoch=2)
    real = run.network.accuracy

    def accuracy(x: Any, t: Any) -> Any:
        seen.append(len(x))
        return real(x, t)

    run.network.accuracy = accuracy
    run.train()
    assert seen == [2, 2, 4]


@pytest.mark.parametrize("name", ["SGD", "momentum", "Nesterov", "ADAGRAD", "rmsprop", "Adam"])
def test_an_optimizer_is_found_by_its_name(name: str) -> None:
    run = trainer(optimizer=name, optimizer_param={"lr": 0.5})
    assert type(run.optimizer).__name__.lower() == name.lower()
    assert run.optimizer.lr == 0.5


def test_what_the_trainer_cannot_use_is_named() -> None:
    with pytest.raises(ValueError, match="optimizer must be one of sgd, momentum"):
        trainer(optimizer="lbfgs")
    with pytest.raises(TypeError, match="momentum"):
        trainer(optimizer="sgd", optimizer_param={"momentum": 0.9})
    with pytest.raises(ValueError, match="x_test and t_test must have one entry per example"):
        book.Trainer(None, np.ones((3, 2)), np.ones(3), np.ones((3, 2)), np.ones(2))
    with pytest.raises(ValueError, match="mini_batch_size"):
        trainer(mini_batch_size=0)


def test_it_trains_a_network_of_chainrule_too() -> None:
    x, t = r.normal(size=(20, 4)), r.integers(0, 2, 20)
    net = chainrule.TwoLayerNet(4, 8, 2, 0.5)
    run = book.Trainer(net, x, t, x, t, epochs=60, mini_batch_size=20, optimizer_param={"lr": 0.5}, verbose=False)
    run.train()
    assert run.train_loss_list[-1] < 0.7 * run.train_loss_list[0]
