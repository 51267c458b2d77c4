"""optimizers.py: each rule beside the book's formulas, and ``fit`` with each on both ways."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
import signal
import sys
import threading
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import seed_reference as seed
from chainrule import _kernels
from chainrule._kernels import Engine
from chainrule.data.mnist import load_mnist
from chainrule.nn import engine
from chainrule.nn.layers import Affine, BatchNormalization, Relu
from chainrule.nn.network import Network, everything
from chainrule.nn.two_layer_net import TwoLayerNet
from chainrule.training.callbacks import Run
from chainrule.training.fit import fit
from chainrule.training.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop

DTYPES = [np.float64, np.float32]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


# --- the book's rules, written from the book ---


class Book:
    """One number's way under one rule: ``__call__`` takes a gradient and the parameter, and gives the new parameter."""

    def __init__(self, lr: float) -> None:
        self.lr, self.v, self.m, self.h, self.t = lr, 0.0, 0.0, 0.0, 0

    def sgd(self, p: Any, g: Any) -> Any:
        return p - self.lr * g

    def momentum(self, p: Any, g: Any, momentum: float = 0.9) -> Any:
        self.v = self.v * momentum - self.lr * g
        return p + self.v

    def nesterov(self, p: Any, g: Any, momentum: float = 0.9) -> Any:
        p = p + momentum * momentum * self.v - (1 + momentum) * self.lr * g
        self.v = self.v * momentum - self.lr * g
        return p

    def adagrad(self, p: Any, g: Any) -> Any:
        self.h = self.h + g**2
        return p - self.lr * g / (self.h**0.5 + 1e-7)

    def rmsprop(self, p: Any, g: Any, decay_rate: float = 0.99) -> Any:
        self.h = self.h * decay_rate + (1 - decay_rate) * g**2
        return p - self.lr * g / (self.h**0.5 + 1e-7)

    def adam(self, p: Any, g: Any, beta1: float = 0.9, beta2: float = 0.999) -> Any:
        self.t += 1
        rate = self.lr * math.sqrt(1.0 - beta2**self.t) / (1.0 - beta1**self.t)
        self.m = beta1 * self.m + (1 - beta1) * g
        self.v = beta2 * self.v + (1 - beta2) * g**2
        return p - rate * self.m / (self.v**0.5 + 1e-7)


#: Each class, the book's method, and numbers other than the defaults.
RULES: dict[str, tuple[Any, Any, dict[str, float]]] = {
    "sgd": (SGD, Book.sgd, {}),
    "momentum": (Momentum, Book.momentum, {"momentum": 0.5}),
    "nesterov": (Nesterov, Book.nesterov, {"momentum": 0.5}),
    "adagrad": (AdaGrad, Book.adagrad, {}),
    "rmsprop": (RMSprop, Book.rmsprop, {"decay_rate": 0.8}),
    "adam": (Adam, Book.adam, {"beta1": 0.5, "beta2": 0.8}),
}
DEFAULTS = {"sgd": 0.01, "momentum": 0.01, "nesterov": 0.01, "adagrad": 0.01, "rmsprop": 0.01, "adam": 0.001}


def make(rule: str, *arguments: Any, **options: Any) -> Any:
    return RULES[rule][0](*arguments, **options)


def books(rule: str, lr: float, numbers: dict[str, float]) -> Callable[[Any, Any], Any]:
    book, method = Book(lr), RULES[rule][1]
    return lambda p, g: method(book, p, g, **numbers)


def gradients(step: int, dtype: Any = np.float64) -> dict[str, Any]:
    r = rng(step)
    return {"W1": r.normal(size=(4, 3)).astype(dtype), "b1": r.normal(size=3).astype(dtype)}


def parameters(dtype: Any = np.float64) -> dict[str, Any]:
    return gradients(100, dtype)


def bits(arrays: dict[str, Any]) -> dict[str, Any]:
    return {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def kept_bits(optimizer: Optimizer) -> dict[str, list[bytes]]:
    return {name: [array.tobytes() for array in arrays] for name, arrays in optimizer.kept.items()}


@pytest.mark.parametrize("own_numbers", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_update_is_the_books_rule(rule: str, dtype: Any, own_numbers: bool) -> None:
    numbers = RULES[rule][2] if own_numbers else {}
    optimizer, params = make(rule, lr=0.1, **numbers), parameters(dtype)
    expected = {name: p.astype(np.float64) for name, p in params.items()}
    book = {name: books(rule, 0.1, numbers) for name in params}
    for step in range(10):
        grads = gradients(step, dtype)
        optimizer.update(params, grads)
        for name, grad in grads.items():
            expected[name] = book[name](expected[name], grad.astype(np.float64))
    # Ten steps of about ten operations on numbers of size 1; a quotient magnifies by up to 1/√(1 - ρ) = 10.
    for name, p in params.items():
        np.testing.assert_allclose(p, expected[name], rtol=0, atol=1e3 * np.finfo(dtype).eps, err_msg=name)
        assert p.dtype == dtype


@pytest.mark.parametrize("rule", RULES)
def test_the_default_learning_rates_are_the_books(rule: str) -> None:
    optimizer, params = make(rule), {"x": np.array([1.0, -2.0])}
    optimizer.update(params, {"x": np.array([0.5, 3.0])})
    expected = books(rule, DEFAULTS[rule], {})(np.array([1.0, -2.0]), np.array([0.5, 3.0]))
    np.testing.assert_allclose(params["x"], expected, rtol=1e-14)  # ten roundings


@pytest.mark.parametrize("rule", RULES)
def test_the_learning_rate_may_be_given_by_position(rule: str) -> None:
    assert make(rule, 0.25).lr == 0.25


@pytest.mark.parametrize("rule", RULES)
def test_floats_are_replaced_as_in_the_books_example_of_two_numbers(rule: str) -> None:
    """The book's figure: f(x, y) = x²/20 + y² from (-7, 2)."""
    optimizer, params = make(rule, lr=0.1), {"x": -7.0, "y": 2.0}
    expected, book = dict(params), {name: books(rule, 0.1, {}) for name in params}
    for _ in range(30):
        optimizer.update(params, {"x": params["x"] / 10, "y": 2 * params["y"]})
        for name, slope in (("x", expected["x"] / 10), ("y", 2 * expected["y"])):
            expected[name] = book[name](expected[name], slope)
    assert {type(p) for p in params.values()} == {float}
    # Thirty steps of ten roundings, of numbers up to 7.
    np.testing.assert_allclose([*params.values()], [*expected.values()], rtol=0, atol=1e-12)
    assert params["x"] ** 2 / 20 + params["y"] ** 2 < 49 / 20 + 4


@pytest.mark.parametrize("rule", RULES)
def test_a_float_moves_as_an_array_of_one_number_does(rule: str) -> None:
    numbers, arrays = {"x": 1.5}, {"x": np.array([1.5])}
    for params in (numbers, arrays):
        optimizer = make(rule, lr=0.1, weight_decay=0.5)
        for step in range(5):
            optimizer.update(params, {"x": params["x"] * 0 + step - 1.5})
    assert numbers["x"] == arrays["x"][0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_arrays_are_updated_in_place(rule: str, dtype: Any) -> None:
    params = parameters(dtype)
    arrays, view, before = dict(params), params["W1"][:2], bits(params)
    make(rule).update(params, gradients(0, dtype))
    assert all(params[name] is array for name, array in arrays.items())
    assert all(bits(params)[name] != before[name] for name in params)
    np.testing.assert_array_equal(view, params["W1"][:2])


@pytest.mark.parametrize("given", [np.float64, np.float32])
@pytest.mark.parametrize("rule", RULES)
def test_float32_stays_float32_whatever_the_gradient(rule: str, given: Any) -> None:
    optimizer, params = make(rule, weight_decay=0.1), parameters(np.float32)
    for step in range(2):
        optimizer.update(params, gradients(step, given))
    kept = [array for arrays in optimizer.kept.values() for array in arrays]
    assert {array.dtype for array in (*params.values(), *kept)} == {np.dtype(np.float32)}


@pytest.mark.parametrize("rule", RULES)
def test_a16_gradients_are_not_written_and_not_kept(rule: str) -> None:
    optimizer, twin, params, twins = make(rule), make(rule), parameters(), parameters()
    for step in range(3):
        grads = gradients(step)
        before = bits(grads)
        optimizer.update(params, grads)
        assert bits(grads) == before
        for grad in grads.values():
            grad[...] = np.nan  # edited by its owner afterwards
        twin.update(twins, gradients(step))
    assert bits(params) == bits(twins)


@pytest.mark.parametrize("rule", RULES)
def test_a2_gradients_may_be_lists(rule: str) -> None:
    optimizer, twin, params, twins = make(rule), make(rule), parameters(), parameters()
    optimizer.update(params, {name: grad.tolist() for name, grad in gradients(0).items()})
    twin.update(twins, gradients(0))
    assert bits(params) == bits(twins)


@pytest.mark.parametrize("given", [np.uint8, np.int8, np.float16])
@pytest.mark.parametrize("rule", RULES)
def test_a4_a5_gradients_of_small_types_count_as_converted(rule: str, given: Any) -> None:
    """16² is 0 in a byte, and 300² infinite in half precision."""
    number = 300 if given is np.float16 else 16
    optimizer, twin, params, twins = make(rule), make(rule), {"x": np.ones(2)}, {"x": np.ones(2)}
    optimizer.update(params, {"x": np.full(2, number, given)})
    twin.update(twins, {"x": np.full(2, float(number))})
    # Half precision is computed with in float32.
    np.testing.assert_allclose(params["x"], twins["x"], rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_without_a_gradient_stays_as_it_is(rule: str) -> None:
    optimizer, params = make(rule, weight_decay=0.1), parameters()
    before = bits(params)
    optimizer.update(params, {"b1": np.ones(3)})
    assert bits(params)["W1"] == before["W1"]
    assert bits(params)["b1"] != before["b1"]


@pytest.mark.parametrize("rule", RULES)
def test_a_gradient_that_has_always_been_0_moves_nothing(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    before = bits(params)
    for _ in range(3):
        optimizer.update(params, {"W1": np.zeros((4, 3)), "b1": np.zeros(3)})
    assert bits(params) == before


# --- weight decay ---


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_weight_decay_adds_to_the_gradient_of_weights_and_not_of_biases(rule: str, dtype: Any) -> None:
    decaying, plain, params, twins = make(rule, weight_decay=0.25), make(rule), parameters(dtype), parameters(dtype)
    for step in range(5):
        grads = gradients(step, dtype)
        decaying.update(params, grads)
        plain.update(twins, {"W1": grads["W1"] + dtype(0.25) * twins["W1"], "b1": grads["b1"]})
    assert bits(params) == bits(twins)


@pytest.mark.parametrize("shape", [(), (3,), (3, 1), (1, 3), (2, 3, 4)])
def test_weight_decay_is_for_arrays_of_two_axes_or_more(shape: tuple[int, ...]) -> None:
    params = {"p": np.full(shape, 2.0)}
    SGD(lr=0.5, weight_decay=0.25).update(params, {"p": np.zeros(shape)})
    np.testing.assert_array_equal(params["p"], np.full(shape, 1.75 if len(shape) >= 2 else 2.0))


# --- what is kept ---

ARRAYS = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_what_is_kept_has_the_shape_and_dtype_of_its_parameter(rule: str, dtype: Any) -> None:
    optimizer = make(rule)
    assert (optimizer.iter, optimizer.kept) == (0, {})
    optimizer.update(parameters(dtype), gradients(0, dtype))
    assert optimizer.iter == 1
    for name, p in parameters(dtype).items():
        assert [(a.shape, a.dtype) for a in optimizer.kept[name]] == [(p.shape, p.dtype)] * ARRAYS[rule]


@pytest.mark.parametrize("rule", RULES)
def test_an_optimizer_copied_or_pickled_goes_on_alike(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    optimizer.update(params, gradients(0))
    for again in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        mine, theirs = copy.deepcopy(params), copy.deepcopy(params)
        copy.deepcopy(optimizer).update(mine, gradients(1))
        again.update(theirs, gradients(1))
        assert bits(mine) == bits(theirs)
        assert again.iter == 2


@pytest.mark.parametrize("rule", RULES)
def test_prepare_makes_zeros_and_leaves_what_is_there(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    optimizer.update({"b1": params["b1"]}, {"b1": np.ones(3)})
    before = kept_bits(optimizer)
    optimizer.prepare(params)
    assert kept_bits(optimizer)["b1"] == before["b1"]
    assert all((array == 0).all() for array in optimizer.kept["W1"])
    assert optimizer.iter == 1


def test_the_learning_rate_and_the_decay_may_be_changed_between_steps() -> None:
    optimizer, params = SGD(lr=0.5), {"p": np.full((1, 1), 2.0)}
    optimizer.update(params, {"p": np.ones((1, 1))})
    optimizer.lr, optimizer.weight_decay = 0.25, 1.0
    optimizer.update(params, {"p": np.ones((1, 1))})
    assert params["p"] == 1.5 - 0.25 * 2.5


# --- what is refused ---

#: Every number of every rule, and whether 0 is one it may have.
NUMBERS = [(rule, name, name != "lr") for rule in RULES for name in ("lr", "weight_decay", *RULES[rule][2])]


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (-1, ValueError),
        (-1e-9, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        (np.True_, TypeError),
        ("a", TypeError),
        (None, TypeError),
        (0.1j, TypeError),
        ([0.1, 0.2], TypeError),
    ],
)
@pytest.mark.parametrize(("rule", "name", "_"), NUMBERS)
def test_s3_a_bad_number_is_refused_by_name(rule: str, name: str, _: bool, bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=rf"^{name} must "):
        make(rule, **{name: bad})


@pytest.mark.parametrize(("rule", "name", "zero"), NUMBERS)
def test_s3_zero_is_no_learning_rate_but_any_other_number(rule: str, name: str, zero: bool) -> None:
    if zero:
        assert getattr(make(rule, **{name: 0}), name) == 0
    else:
        with pytest.raises(ValueError, match=r"^lr must be > 0, got 0$"):
            make(rule, **{name: 0})


@pytest.mark.parametrize("bad", [1, 1.0, 1.5, 99])
@pytest.mark.parametrize(("rule", "name"), [(rule, name) for rule in RULES for name in RULES[rule][2]])
def test_s3_a_share_of_1_or_more_is_refused(rule: str, name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} must lie in 0 <= {name} < 1, got {bad!r}")):
        make(rule, **{name: bad})


@pytest.mark.parametrize("shape", [(3, 4), (12,), (4,), (), (4, 3, 1), (1, 3)])
@pytest.mark.parametrize("rule", RULES)
def test_a1_a_gradient_of_another_shape_is_refused_and_nothing_changed(rule: str, shape: tuple[int, ...]) -> None:
    optimizer, params = make(rule), parameters()
    for state in ("new", "used"):
        before = bits(params), kept_bits(optimizer), optimizer.iter
        with pytest.raises(ValueError) as error:
            optimizer.update(params, {"b1": np.ones(3), "W1": np.ones(shape)})
        assert str(error.value) == f"the gradient of W1 must have its shape (4, 3), got {shape}"
        assert (bits(params), kept_bits(optimizer), optimizer.iter) == before, state
        optimizer.update(params, gradients(0))


@pytest.mark.parametrize("rule", RULES)
def test_a10_a_read_only_parameter_is_refused_and_nothing_changed(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    params["b1"].flags.writeable = False
    before = bits(params)
    with pytest.raises(ValueError, match="read-only"):
        optimizer.update(params, gradients(0))
    assert (bits(params), optimizer.iter) == (before, 0)


@pytest.mark.parametrize("rule", RULES)
def test_a_gradient_of_no_parameter_is_refused_and_nothing_changed(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    before = bits(params)
    with pytest.raises(KeyError, match="W9"):
        optimizer.update(params, {"b1": np.ones(3), "W9": np.ones(3)})
    assert (bits(params), optimizer.kept, optimizer.iter) == (before, {}, 0)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "sgd"])
def test_an_optimizer_of_another_network_is_refused_and_nothing_changed(rule: str) -> None:
    optimizer, params = make(rule), parameters()
    optimizer.update(params, gradients(0))
    other = {"W0": np.ones((2, 2)), "W1": np.ones((5, 3)), "b1": np.ones(3)}
    before = kept_bits(optimizer)
    with pytest.raises(ValueError, match=r"kept arrays of shape \(4, 3\) for W1, which has shape \(5, 3\)"):
        optimizer.update(other, {name: p.copy() for name, p in other.items()})
    assert all((p == 1).all() for p in other.values())
    assert (kept_bits(optimizer), optimizer.iter) == (before, 1)


def test_the_base_class_has_no_rule() -> None:
    with pytest.raises(NotImplementedError, match="Optimizer has no rule; use SGD, Momentum"):
        Optimizer(0.1).update(parameters(), gradients(0))


# --- fit ---


class OwnRelu(Relu):
    """Our Relu under another name, which sends ``fit`` the way of the network's own methods."""


def network(relu: Any = Relu, dtype: Any = np.float64) -> TwoLayerNet:
    net = TwoLayerNet(12, 17, 4, 0.5, dtype=dtype, seed=0)
    net.layers["Relu1"] = relu()
    return net


def data(kind: str = "dense", N: int = 80) -> tuple[Any, Any]:
    """Give examples that a network can learn; "sparse" ones, of which a quarter is not zero, and one column never."""
    x, mask = rng(1).normal(size=(N, 12)), rng(4).random((N, 12)) < 0.25
    if kind == "sparse":
        x[~mask] = 0
        x[:, 5] = 0
    return x, np.argmax(x @ rng(2).normal(size=(12, 4)), axis=1)


def test_these_networks_run_in_rust_and_by_their_own_methods() -> None:
    assert engine.known_arrays(network().layers) is not None
    assert engine.known_arrays(network(OwnRelu).layers) is None
    assert all(engine.knows(make(rule)) for rule in RULES)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weight_decay", [0, 0.05])
@pytest.mark.parametrize("rule", RULES)
def test_rust_and_the_networks_own_methods_give_the_same_numbers(
    rule: str, weight_decay: float, dtype: Any, kind: str
) -> None:
    """80 examples in batches of 7: 3 epochs of 12 steps, the last of each of 3 examples."""
    results = []
    for relu in (Relu, OwnRelu):
        net, optimizer = network(relu, dtype), make(rule, lr=0.01, weight_decay=weight_decay)
        history = fit(net, *data(kind), epochs=3, batch_size=7, optimizer=optimizer, seed=3)
        results.append((net, optimizer, history))
    (net, optimizer, history), (twin, twins_optimizer, twins) = results
    # Rounding of ε a step, of gradients of size 1, 36 steps, of which a step takes a hundredth. Where a gradient is
    # divided by its own root mean square, that of a number that happens to be small is magnified: 100 ε.
    atol = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(history.losses, twins.losses, rtol=0, atol=atol)
    for name, p in net.params.items():
        np.testing.assert_allclose(p, twin.params[name], rtol=0, atol=atol, err_msg=name)
        for array, twins_array in zip(optimizer.kept[name], twins_optimizer.kept[name], strict=True):
            assert array.dtype == dtype
            np.testing.assert_allclose(array, twins_array, rtol=0, atol=atol, err_msg=name)
    assert optimizer.iter == twins_optimizer.iter == 36


@cache
def mnist(kind: str) -> tuple[Any, Any]:
    """Give 10,000 images as load_mnist gives them, or, "dense", with 0.5 added to each pixel; labels one-hot."""
    (x, t), _ = load_mnist(one_hot_label=True)
    return x[:10_000] if kind == "sparse" else (x[:10_000] + 0.5).astype(np.float32), t[:10_000]


@cache
def tutorials_network_by_the_book(rule: str, lr: float, kind: str) -> tuple[Any, list[float]]:
    """Train the tutorial's network for 100 steps of 100 examples, drawn as ``fit`` draws them: (network, losses)."""
    x, t = mnist(kind)
    np.random.seed(0)
    net, losses = seed.exact_two_layer_net(784, 50, 10), []
    steps = {name: books(rule, lr, {}) for name in net.params}
    for batch in rng(3).permutation(len(x)).reshape(100, 100):
        grads = net.gradient(x[batch], t[batch])
        losses.append(net.lastLayer.loss)
        for name, p in net.params.items():
            p[...] = steps[name](p, grads[name])
    return net, losses


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(("rule", "lr"), [("sgd", 0.1), ("momentum", 0.05), ("adam", 0.001)])
def test_d3_each_way_is_the_tutorials_network_by_the_book_for_100_steps_of_mnist(
    rule: str, lr: float, kind: str, relu: Any
) -> None:
    """float32 images, read as they are, in float64: in Rust and by the network's own methods."""
    (x, t), (theirs, losses) = mnist(kind), tutorials_network_by_the_book(rule, lr, kind)
    np.random.seed(0)
    net = TwoLayerNet(784, 50, 10)
    net.layers["Relu1"] = relu()
    history = fit(net, x, t, iterations=100, batch_size=100, optimizer=make(rule, lr=lr), seed=3)
    assert losses[-1] < losses[0] - 0.1
    np.testing.assert_allclose(history.losses, losses, rtol=1e-10)
    for name, p in net.params.items():
        # Absolute for those of the 40,000 weights that happen to be within 1e-5 of 0: a rounding of the steps there.
        np.testing.assert_allclose(p, theirs.params[name], rtol=1e-10, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("rule", RULES)
def test_two_fits_with_one_optimizer_are_one_longer_fit_bit_for_bit(rule: str, kind: str, relu: Any) -> None:
    whole, halves = network(relu), network(relu)
    optimizer, twice = (make(rule, weight_decay=0.01) for _ in range(2))
    losses = fit(whole, *data(kind), epochs=4, batch_size=7, optimizer=optimizer, seed=rng(3)).losses
    generator = rng(3)
    parts = [fit(halves, *data(kind), epochs=2, batch_size=7, optimizer=twice, seed=generator) for _ in range(2)]
    assert losses == parts[0].losses + parts[1].losses
    assert bits(whole.params) == bits(halves.params)
    assert kept_bits(optimizer) == kept_bits(twice)
    assert optimizer.iter == twice.iter == 48


@pytest.mark.parametrize("rule", RULES)
def test_a_loop_of_the_users_own_goes_on_where_fit_stopped(rule: str) -> None:
    """One optimizer in Rust first and in Python then: the book's loop with the gradients of the network."""
    net, twin, (x, t) = network(), network(), data()
    optimizer, twins = make(rule, lr=0.01), make(rule, lr=0.01)
    fit(net, x, t, epochs=2, batch_size=80, optimizer=optimizer)
    for _ in range(3):
        optimizer.update(net.params, net.gradient(x, t))
    fit(twin, x, t, epochs=5, batch_size=80, optimizer=twins)
    for name, p in net.params.items():
        # As above; batches of all examples in another order.
        np.testing.assert_allclose(p, twin.params[name], rtol=0, atol=1e-12, err_msg=name)
    assert optimizer.iter == twins.iter == 5


def test_sgd_is_what_fit_does_by_itself() -> None:
    net, twin = network(), network()
    losses = fit(net, *data(), batch_size=7, learning_rate=0.25, seed=3).losses
    assert losses == fit(twin, *data(), batch_size=7, optimizer=SGD(lr=0.25), seed=3).losses
    assert bits(net.params) == bits(twin.params)


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
@pytest.mark.parametrize("rule", RULES)
def test_a13_after_divergence_the_optimizer_is_as_it_was(rule: str, relu: Any) -> None:
    net, optimizer, (x, t) = network(relu), make(rule, lr=0.01), data()
    fit(net, x, t, batch_size=7, optimizer=optimizer, seed=3)
    before = bits(net.params), kept_bits(optimizer), optimizer.iter
    bad = x.copy()
    bad[rng(3).permutation(80)[5 * 7]] = np.nan  # met in the sixth step
    with pytest.raises(FloatingPointError, match=r"^loss is nan at step 6 \(lr=0\.01\)"):
        fit(net, bad, t, batch_size=7, optimizer=optimizer, seed=3)
    assert (bits(net.params), kept_bits(optimizer), optimizer.iter) == before

    new = make(rule, lr=0.01)
    with pytest.raises(FloatingPointError):
        fit(net, bad, t, batch_size=7, optimizer=new, seed=3)
    assert (new.iter, new.kept) == (0, {})


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_t7_after_an_interruption_the_optimizer_has_the_networks_steps(relu: Any) -> None:
    net, twin, optimizer, twins = network(relu), network(relu), Adam(), Adam()

    def stop(run: Run) -> None:
        if run.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(
            net,
            *data(),
            epochs=5,
            batch_size=7,
            optimizer=optimizer,
            seed=3,
            callbacks=[SimpleNamespace(on_epoch=stop)],
        )
    fit(twin, *data(), epochs=2, batch_size=7, optimizer=twins, seed=3)
    assert optimizer.iter == twins.iter == 24
    assert bits(net.params) == bits(twin.params)
    assert kept_bits(optimizer) == kept_bits(twins)


class Pressed:
    """An engine in whose third call Ctrl-C is pressed: it is heard when the call has ended."""

    def __init__(self, *described: Any) -> None:
        self.engine, self.calls = Engine(*described), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def steps(self, *arguments: Any) -> Any:
        done = self.engine.steps(*arguments)
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return done


@pytest.mark.fault("T7")
@pytest.mark.parametrize("diverges", [False, True])
def test_t7_ctrl_c_in_rust_leaves_an_optimizer_that_has_counted_every_step(
    diverges: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the third call makes a step, or finds that its loss is not finite."""
    net, twin, optimizer, twins, (x, t) = network(Relu), network(Relu), Adam(), Adam(), data()
    every: Any = {"epochs": 5, "batch_size": 7, "seed": 3, "callbacks": [SimpleNamespace(on_step=lambda run: None)]}
    if diverges:
        third = np.random.default_rng(3).permutation(len(x))[14:21]
        x[third] = 1e308
    with monkeypatch.context() as patched:
        patched.setattr(_kernels, "Engine", Pressed)
        with pytest.raises(KeyboardInterrupt):
            fit(net, x, t, optimizer=optimizer, **every)
    fit(twin, x, t, iterations=2 if diverges else 3, batch_size=7, optimizer=twins, seed=3)
    assert optimizer.iter == twins.iter
    assert bits(net.params) == bits(twin.params)
    assert kept_bits(optimizer) == kept_bits(twins)


@pytest.mark.fault("T7")
@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX's SIGINT")
def test_t7_ctrl_c_in_an_update_waits_for_its_last_parameter() -> None:
    class Slow(Adam):
        def step(self, grad: Any, *kept: Any) -> Any:
            if self.iter == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return super().step(grad, *kept)

    net, twin, optimizer, twins = network(OwnRelu), network(OwnRelu), Slow(), Adam()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(net, *data(), epochs=5, batch_size=7, optimizer=optimizer, seed=3)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    fit(twin, *data(), iterations=3, batch_size=7, optimizer=twins, seed=3)
    assert optimizer.iter == 3
    assert bits(net.params) == bits(twin.params)
    assert kept_bits(optimizer) == kept_bits(twins)


@pytest.mark.fault("T7")
def test_t7_ctrl_c_between_forward_and_update_leaves_the_statistics_of_the_steps_before() -> None:
    class Pressing(OwnRelu):
        def backward(self, dout: Any) -> Any:
            if optimizer.iter == 3:
                raise KeyboardInterrupt
            return super().backward(dout)

    def normalized(relu: Any) -> Network:
        affine = Affine(np.random.default_rng(0).normal(size=(12, 4)), np.zeros(4))
        return Network({"n": BatchNormalization(np.ones(12), np.zeros(12)), "r": relu, "a": affine})

    optimizer = Adam()
    net, twin = normalized(Pressing()), normalized(OwnRelu())
    with pytest.raises(KeyboardInterrupt):
        fit(net, *data(), epochs=5, batch_size=7, optimizer=optimizer, seed=3)
    fit(twin, *data(), iterations=3, batch_size=7, optimizer=Adam(), seed=3)
    assert optimizer.iter == 3
    assert bits(everything(net)) == bits(everything(twin))


def test_in_a_thread_of_its_own_an_optimizer_updates_as_ever() -> None:
    """Only the main thread may ask what Ctrl-C does."""
    params = {"W": np.ones(3)}
    worker = threading.Thread(target=SGD(0.5).update, args=(params, {"W": np.ones(3)}))
    worker.start()
    worker.join()
    assert params["W"].tolist() == [0.5] * 3


class SignDescent(Optimizer):
    """A user's own rule: steps of lr against the sign of the gradient."""

    arrays = 0

    def step(self, grad: Any, *kept: Any) -> Any:
        return -self.lr * np.sign(grad)


class OwnMomentum(Momentum):
    """One of ours with another step."""

    def step(self, grad: Any, *kept: Any) -> Any:
        return 0.5 * super().step(grad, *kept)


@pytest.mark.parametrize("optimizer", [SignDescent(0.01), OwnMomentum(0.01)])
def test_an_optimizer_of_the_users_own_is_honoured(optimizer: Any) -> None:
    net, (x, t) = network(), data()
    before, grads = copy.deepcopy(net.params), net.gradient(x, t)
    fit(net, x, t, batch_size=80, optimizer=optimizer)
    for name, p in net.params.items():
        step = 0.01 * np.sign(grads[name]) if type(optimizer) is SignDescent else 0.005 * grads[name]
        # Another order of the examples: their sum is rounded otherwise.
        np.testing.assert_allclose(p, before[name] - step, rtol=0, atol=1e-14)
    assert optimizer.iter == 1


class Counting(SGD):
    """One of ours with an ``update`` of its own."""

    def update(self, params: Any, grads: Any) -> None:
        self.calls = getattr(self, "calls", 0) + 1
        super().update(params, grads)


def test_an_update_of_the_users_own_is_called_for_each_step() -> None:
    optimizer = Counting(0.1)
    fit(network(), *data(), batch_size=7, optimizer=optimizer)
    assert optimizer.calls == optimizer.iter == 12


@pytest.mark.parametrize("what", ["step", "update"])
def test_a_rule_replaced_on_the_instance_is_honoured(what: str) -> None:
    optimizer, net = SGD(0.1), network()
    before = bits(net.params)
    nothing: Any = {"step": lambda grad, *kept: grad * 0, "update": lambda params, grads: None}[what]
    setattr(optimizer, what, nothing)
    fit(net, *data(), batch_size=7, optimizer=optimizer)
    assert bits(net.params) == before


@pytest.mark.parametrize("bad", [3, Adam, {}, 0.1])
def test_s3_what_is_no_optimizer_is_a_type_error(bad: Any) -> None:
    net = network()
    before = bits(net.params)
    with pytest.raises(TypeError, match=r"^optimizer must be an Optimizer such as Adam\(\), or its name, got "):
        fit(net, *data(), batch_size=7, optimizer=bad)
    assert bits(net.params) == before


@pytest.mark.parametrize("learning_rate", [0.2, 0.01])
def test_an_optimizer_together_with_a_learning_rate_is_refused(learning_rate: float) -> None:
    net, optimizer = network(), Adam(lr=0.01)
    before = bits(net.params)
    with pytest.raises(ValueError, match=r"give the learning rate to the optimizer"):
        fit(net, *data(), batch_size=7, learning_rate=learning_rate, optimizer=optimizer)
    assert (bits(net.params), optimizer.iter, optimizer.kept) == (before, 0, {})


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_fit_refuses_an_optimizer_of_another_network_and_nothing_is_changed(relu: Any) -> None:
    optimizer = Adam()
    fit(TwoLayerNet(12, 9, 4, seed=0), *data(), batch_size=7, optimizer=optimizer)
    net = network(relu)
    before = bits(net.params), kept_bits(optimizer), optimizer.iter
    with pytest.raises(ValueError, match=r"kept arrays of shape \(12, 9\) for W1, which has shape \(12, 17\)"):
        fit(net, *data(), batch_size=7, optimizer=optimizer)
    assert (bits(net.params), kept_bits(optimizer), optimizer.iter) == before


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
def test_a6_fit_refuses_an_optimizer_of_a_network_of_another_dtype(relu: Any) -> None:
    optimizer = Adam()
    fit(network(dtype=np.float32), *data(), batch_size=7, optimizer=optimizer)
    net = network(relu)
    before = bits(net.params), kept_bits(optimizer), optimizer.iter
    with pytest.raises(ValueError, match=r"this optimizer has kept arrays of .*float32.*make a new one"):
        fit(net, *data(), batch_size=7, optimizer=optimizer)
    assert (bits(net.params), kept_bits(optimizer), optimizer.iter) == before


@pytest.mark.parametrize("rule", RULES)
def test_a9_what_was_kept_for_weights_in_fortran_order_is_not_read_transposed(rule: str) -> None:
    """The first network is trained by its own methods, the second, with the same optimizer, in Rust."""
    W, (x, t) = rng(5).normal(size=(12, 4)), data()
    results = []
    for order in (np.asfortranarray, np.ascontiguousarray):
        optimizer, losses = make(rule, lr=0.01), []
        for array in (order(W), W.copy()):
            net = Network({"Affine1": Affine(array, np.zeros(4))})
            losses += fit(net, x, t, epochs=2, batch_size=7, optimizer=optimizer, seed=3).losses
        results.append(losses)
    # Rounding of two times 24 steps, as above.
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_learns_a_small_set(rule: str, relu: Any) -> None:
    lr = {"sgd": 0.3, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "rmsprop": 0.01, "adam": 0.01}[rule]
    net = network(relu)
    history = fit(net, *data(), epochs=100, batch_size=20, optimizer=make(rule, lr=lr), seed=0)
    assert history.train_accuracy[-1] == 1
    assert history.losses[-1] < 0.2 < history.losses[0]
