"""Layers of the user's own in a network: their parameters, what they are called, and that fit and files mean them."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import struct
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, DataError, Network, Relu, TwoLayerNet, check_gradients, fit, load
from chainrule.nn.parameters.code import code_of
from chainrule.nn.parameters.layers import parameters
from chainrule.nn.parameters.untrained import left_untrained
from chainrule.storage import model_files

# Central differences with h = 1e-4 of losses near 1: h²/6·f''' is about 1e-9, the rounding ε·f/h about 1e-11.
NUMERIC: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-8}
ON_BOTH_SIDES = ["W1", "b1", "W2", "b2"]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def data(n: int = 12) -> tuple[Any, Any]:
    return rng(1).normal(size=(n, 6)), rng(2).integers(0, 4, n)


class Scale:
    """``x * gamma``, as the README has it."""

    def __init__(self, gamma: Any = None) -> None:
        self.gamma = rng(3).normal(1, 0.3, 5) if gamma is None else gamma

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.gamma

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.x).sum(axis=0)
        return dout * self.gamma


class HalfScale(Scale):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.dgamma = self.dgamma / 2
        return dx


class Shifted(Scale):
    """A parameter more, whose gradient is forgotten."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = np.zeros(5)

    def forward(self, x: Any) -> Any:
        return super().forward(x) + self.theta


class Suffixed(Scale):
    def backward(self, dout: Any) -> Any:
        self.gamma_grad = (dout * self.x).sum(axis=0)
        return dout * self.gamma


class Private:
    def __init__(self) -> None:
        self._gamma, self._grad_gamma = rng(3).normal(1, 0.3, 5), None

    @property
    def gamma(self) -> Any:
        return self._gamma

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self._gamma

    def backward(self, dout: Any) -> Any:
        self._grad_gamma = (dout * self.x).sum(axis=0)
        return dout * self._gamma


class Slotted:
    __slots__ = ("__weakref__", "dgamma", "gamma", "x")

    def __init__(self) -> None:
        self.gamma = rng(3).normal(1, 0.3, 5)

    forward, backward = Scale.forward, Scale.backward


class InDicts:
    def __init__(self) -> None:
        self.params = {"gamma": rng(3).normal(1, 0.3, 5)}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.params["gamma"]

    def backward(self, dout: Any) -> Any:
        self.grads["gamma"] = (dout * self.x).sum(axis=0)
        return dout * self.params["gamma"]


class GradientsInADict(Scale):
    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.x).sum(axis=0)}
        return dout * self.gamma


class InLists:
    """As the widely copied book's Affine has them."""

    def __init__(self) -> None:
        self.params = [rng(3).normal(size=(5, 5)), np.zeros(5)]
        self.grads = [np.zeros((5, 5)), np.zeros(5)]

    def forward(self, x: Any) -> Any:
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dout: Any) -> Any:
        W, _ = self.params
        self.grads[0][...] = self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ W.T


class Boxed:
    def __init__(self) -> None:
        self.gamma = {"val": rng(3).normal(1, 0.3, 5), "grad": None}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.gamma["val"]

    def backward(self, dout: Any) -> Any:
        self.gamma["grad"] = (dout * self.x).sum(axis=0)
        return dout * self.gamma["val"]


class Residual:
    def __init__(self) -> None:
        self.inner, self.activation = Affine(rng(3).normal(size=(5, 5)), np.zeros(5)), Relu()

    def forward(self, x: Any) -> Any:
        return x + self.activation.forward(self.inner.forward(x))

    def backward(self, dout: Any) -> Any:
        return dout + self.inner.backward(self.activation.backward(dout))


class Stack:
    def __init__(self) -> None:
        self.layers: list[Any] = [Scale(), Relu(), Scale(np.ones(5))]

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dout: Any) -> Any:
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        return dout


class Adding:
    """Adds its gradients up until it is told to forget them."""

    def __init__(self) -> None:
        self.w, self.grad_w = rng(3).normal(1, 0.3, 5), np.zeros(5)

    def zero_grad(self) -> None:
        self.grad_w[:] = 0

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.w

    def backward(self, dout: Any) -> Any:
        self.grad_w += (dout * self.x).sum(axis=0)
        return dout * self.w


class ViewsOfOne:
    """Its parameters are views of one long array, made whenever they are asked for."""

    def __init__(self) -> None:
        self.theta, self.dtheta = rng(3).normal(size=30), np.zeros(30)

    W = property(lambda self: self.theta[:25].reshape(5, 5))
    b = property(lambda self: self.theta[25:])
    dW = property(lambda self: self.dtheta[:25].reshape(5, 5))
    db = property(lambda self: self.dtheta[25:])

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW[...] = self.x.T @ dout
        self.db[...] = dout.sum(axis=0)
        return dout @ self.W.T


class BatchNorm:
    """Its running statistics are moved by forward, and are no parameters; what it keeps for backward neither."""

    def __init__(self) -> None:
        self.gamma, self.beta = np.ones(5), np.zeros(5)
        self.running_mean: Any = None
        self.dgamma = self.dbeta = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if self.running_mean is None:
            self.running_mean = np.zeros(x.shape[1])
            self.running_var = np.zeros(x.shape[1])
        if train_flg:
            mean = x.mean(axis=0)
            xc = x - mean
            var = (xc**2).mean(axis=0)
            std = np.sqrt(var + 1e-7)
            xn = xc / std
            self.xn, self.std = xn, std
            self.running_mean = 0.9 * self.running_mean + 0.1 * mean
            self.running_var = 0.9 * self.running_var + 0.1 * var
        else:
            xn = (x - self.running_mean) / np.sqrt(self.running_var + 1e-7)
        return self.gamma * xn + self.beta

    def backward(self, dout: Any) -> Any:
        self.dbeta = dout.sum(axis=0)
        self.dgamma = (self.xn * dout).sum(axis=0)
        dxn = self.gamma * dout
        self.dxn = dxn
        return (dxn - dxn.mean(axis=0) - self.xn * (dxn * self.xn).mean(axis=0)) / self.std


class Dropout:
    def __init__(self) -> None:
        self.rng = rng(9)

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if train_flg:
            self.mask = (self.rng.random(x.shape) > 0.3) / 0.7
            return x * self.mask
        return x

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class MadeByForward:
    def __init__(self) -> None:
        self.built = False

    def build(self, n: int) -> None:
        self.gamma = rng(4).normal(1, 0.3, n)
        self.built = True

    def forward(self, x: Any) -> Any:
        if not self.built:
            self.build(x.shape[1])
        self.x = x
        return x * self.gamma

    def backward(self, dout: Any) -> Any:
        self.dgamma = (dout * self.x).sum(axis=0)
        return dout * self.gamma


class Learned(Affine):
    """One of ours, with a parameter more."""

    def __init__(self) -> None:
        super().__init__(rng(3).normal(size=(5, 5)), np.zeros(5))
        self.a = np.ones(())

    def forward(self, x: Any) -> Any:
        self.linear = super().forward(x)
        return self.linear * self.a

    def backward(self, dout: Any) -> Any:
        self.da = (dout * self.linear).sum()
        return super().backward(dout * self.a)


#: Each with the names it adds between two Affine layers.
CONVENTIONS: dict[Callable[[], Any], list[str]] = {
    Scale: ["gamma1"],
    Suffixed: ["gamma1"],
    Private: ["gamma1"],
    Slotted: ["gamma1"],
    GradientsInADict: ["gamma1"],
    Boxed: ["gamma1"],
    InLists: ["params0_1", "params1_1"],
    Residual: ["inner.W1", "inner.b1"],
    Stack: ["layers0.gamma1", "layers2.gamma1"],
    Adding: ["w1"],
    BatchNorm: ["gamma1", "beta1"],
    Dropout: [],
}


def between(*layers: Any, seed: int = 5) -> Network:
    """Put layers between two of ours."""
    r = rng(seed)
    first, last = Affine(r.normal(size=(6, 5)), np.zeros(5)), Affine(r.normal(size=(5, 4)), np.zeros(4))
    return Network({"First": first, **{f"Own{i}": layer for i, layer in enumerate(layers, start=1)}, "Last": last})


def assert_gradient_is_the_numeric_one(net: Network) -> None:
    x, t = data()
    grads, numeric = net.gradient(x, t), net.numerical_gradient(x, t)
    assert list(grads) == list(numeric) == list(net.params)
    for name, gradient in grads.items():
        np.testing.assert_allclose(gradient, numeric[name], err_msg=name, **NUMERIC)


# --- which arrays, and their names ---


@pytest.mark.parametrize("kind", CONVENTIONS)
def test_parameters_are_found_before_the_first_pass_and_are_the_same_after_it(kind: Any) -> None:
    net = between(kind())
    names = ["W1", "b1", *CONVENTIONS[kind], "W2", "b2"]
    assert list(net.params) == names
    if kind is not Dropout:  # whose loss changes from call to call
        assert_gradient_is_the_numeric_one(net)
    else:
        net.gradient(*data())
    assert list(net.params) == names


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (InDicts, ["W1", "b1", "gamma2", "W3", "b3"]),  # as it was when only these were found
        (ViewsOfOne, ["W1", "b1", "W2", "b2", "W3", "b3"]),
        (Learned, ["W1", "b1", "W2", "b2", "a1", "W3", "b3"]),
    ],
)
def test_what_was_found_by_its_name_keeps_its_name(kind: Any, names: list[str]) -> None:
    net = between(kind())
    assert list(net.params) == names
    assert_gradient_is_the_numeric_one(net)


def test_the_arrays_are_the_layers_own_and_an_assignment_reaches_them() -> None:
    scale, boxed, lists = Scale(), Boxed(), InLists()
    net = between(scale, boxed, lists)
    assert net.params["gamma1"] is scale.gamma
    assert net.params["gamma2"] is boxed.gamma["val"]
    assert net.params["params0_1"] is lists.params[0]
    net.params = {"gamma1": np.arange(5.0), "params1_1": np.ones(5)}
    assert scale.gamma.tolist() == [0, 1, 2, 3, 4]
    assert lists.params[1].tolist() == [1] * 5


def test_each_name_is_counted_by_itself_and_none_is_given_twice() -> None:
    net = between(Scale(), Relu(), InDicts(), Scale(), Scale())  # the dict's is gamma2, the second layer that has such
    assert list(net.params) == ["W1", "b1", "gamma1", "gamma2", "gamma3", "gamma4", "W3", "b3"]
    assert net.params["gamma2"] is net.layers["Own3"].params["gamma"]


def test_a_parameter_that_forward_makes_is_one_once_it_exists() -> None:
    net = between(MadeByForward())
    assert list(net.params) == ON_BOTH_SIDES
    net.predict(data()[0])
    assert list(net.params) == [*ON_BOTH_SIDES, "gamma1"]
    assert_gradient_is_the_numeric_one(net)


def test_one_array_in_two_layers_is_one_parameter_and_its_gradients_are_added() -> None:
    gamma = rng(3).normal(1, 0.3, 5)
    net = between(Scale(gamma), Relu(), Scale(gamma))
    assert list(net.params) == ["W1", "b1", "gamma1", "W2", "b2"]
    assert_gradient_is_the_numeric_one(net)


def test_a_layer_that_knows_its_neighbour_or_its_network_does_not_own_their_parameters() -> None:
    class Knowing(Scale):
        neighbour: Any
        net: Any

    own = Knowing()
    net = between(own)
    own.neighbour, own.net = net.layers["Last"], net
    assert list(net.params) == ["W1", "b1", "gamma1", "W2", "b2"]
    assert_gradient_is_the_numeric_one(net)


def test_a_read_only_array_is_a_constant() -> None:
    net = between(Scale())
    net.layers["Own1"].gamma.flags.writeable = False
    assert list(net.params) == ON_BOTH_SIDES
    assert list(net.gradient(*data())) == ON_BOTH_SIDES


def test_what_is_changed_in_a_layer_after_it_was_looked_through_is_seen() -> None:
    net = between(Residual(), Stack())
    assert "inner.W1" in net.params
    new = Affine(rng(6).normal(size=(5, 5)), np.zeros(5))
    net.layers["Own1"].inner = new
    assert net.params["inner.W1"] is new.W
    net.layers["Own2"].layers.append(Scale())
    assert net.params["layers3.gamma1"] is net.layers["Own2"].layers[3].gamma
    net.layers["Own2"].layers[0].gamma = replaced = np.ones(5)
    assert net.params["layers0.gamma1"] is replaced
    assert_gradient_is_the_numeric_one(net)


def test_a_method_of_one_object_only_is_read_too() -> None:
    class Plain:
        def __init__(self) -> None:
            self.gamma = np.ones(5)

    layer: Any = Plain()
    layer.forward = lambda x: Scale.forward(layer, x)

    def backward(dout: Any) -> Any:
        layer.grad_gamma = (dout * layer.x).sum(axis=0)
        return dout * layer.gamma

    layer.backward = backward
    assert list(parameters(layer)) == ["gamma"]


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
@pytest.mark.parametrize("kind", [Scale, InLists, Residual, ViewsOfOne, Slotted])
def test_a_copied_network_has_parameters_of_its_own(kind: Any, how: str) -> None:
    net, (x, t) = between(kind()), data()
    net.gradient(x, t)
    if how == "pickle" and kind is Slotted:
        pytest.skip("has no __getstate__")
    twin = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    before = {name: array.copy() for name, array in net.params.items()}
    fit(twin, x, t, batch_size=4, seed=0)
    assert list(twin.params) == list(net.params)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
        assert not np.array_equal(twin.params[name], array)
    assert_gradient_is_the_numeric_one(twin)


@pytest.mark.parametrize("kind", [Scale, InLists, Residual, ViewsOfOne])
def test_looking_for_parameters_keeps_no_layer_alive(kind: Any) -> None:
    net = between(kind())
    net.gradient(*data())
    gone = weakref.ref(net.layers["Own1"])
    del net
    gc.collect()
    assert gone() is None


def test_the_state_of_a_recurrent_layer_is_no_parameter_and_not_missed_in_a_file() -> None:
    class TimeCell:
        """As the book's second volume has them: state goes on from one call to the next."""

        def __init__(self) -> None:
            self.params, self.grads = [rng(3).normal(size=(5, 5)) / 5], [np.zeros((5, 5))]
            self.h: Any = None
            self.c: Any = None

        def forward(self, x: Any) -> Any:
            if self.c is None:
                self.c = np.zeros(x.shape)
            self.before: list[Any] = []
            for _ in range(2):
                self.before.append(self.c)
                self.c = 0.5 * self.c + x @ self.params[0]
            return self.c

        def backward(self, dout: Any) -> Any:
            self.dc = 0.5 * dout
            raise AssertionError

    net = between(TimeCell())
    net.predict(data()[0])
    assert list(net.params) == ["W1", "b1", "params0_1", "W2", "b2"]
    assert model_files.not_held(net) == []


def test_the_code_tells_caches_from_what_is_kept() -> None:
    code = code_of(BatchNorm)
    assert {"xn", "std"} <= code.caches
    assert {"gamma", "beta"} <= code.untouched
    assert {"running_mean", "running_var"} <= code.kept - code.caches
    assert {"gamma", "built"} <= code_of(MadeByForward).kept - code_of(MadeByForward).caches


def test_gradients_kept_by_the_user_are_not_changed_by_the_next_call() -> None:
    net, (x, t) = between(InLists(), Adding()), data()
    grads = net.gradient(x, t)
    kept = {name: gradient.copy() for name, gradient in grads.items()}
    net.gradient(-x, t)
    for name, gradient in grads.items():
        np.testing.assert_array_equal(gradient, kept[name])


def test_a_parameter_without_a_gradient_is_named() -> None:
    class Forgetful(Scale):
        def backward(self, dout: Any) -> Any:
            return dout * self.gamma

    net = between(Forgetful())
    before = [array.tobytes() for array in net.params.values()]
    match = r"^Forgetful.backward \(layer 'Own1'\) left no gradient of gamma: looked for dgamma, grad_gamma"
    with pytest.raises(RuntimeError, match=match):
        net.gradient(*data())
    with pytest.raises(RuntimeError, match=match):
        fit(net, *data(), batch_size=4)
    assert [array.tobytes() for array in net.params.values()] == before


def test_a_wrong_gradient_of_a_users_parameter_in_a_network_is_wrong() -> None:
    x, t = data()
    report = check_gradients(between(HalfScale()), x, t)
    assert report.verdict == "wrong"
    assert {array.name: array.verdict for array in report.arrays}["gamma1"] == "wrong"
    assert report.layer == "Own1"
    assert check_gradients(between(Scale()), x, t).ok


# --- fit ---


def by_hand(x: Any, t: Any, epochs: int, batch_size: int, lr: float) -> dict[str, Any]:
    """Train ``between(Scale(), Relu())`` in NumPy, with no code of ours."""
    r = rng(5)
    W1, b1 = r.normal(size=(6, 5)), np.zeros(5)
    W2, b2 = r.normal(size=(5, 4)), np.zeros(4)
    gamma = rng(3).normal(1, 0.3, 5)
    draws = rng(7)
    for _ in range(epochs):
        order = draws.permutation(len(x))
        for start in range(0, len(x), batch_size):
            rows = order[start : start + batch_size]
            xb, n = x[rows], len(rows)
            a = xb @ W1 + b1
            s = a * gamma
            h = np.maximum(s, 0)
            scores = h @ W2 + b2
            y = np.exp(scores - scores.max(axis=1, keepdims=True))
            y /= y.sum(axis=1, keepdims=True)
            y[np.arange(n), t[rows]] -= 1
            d = y / n
            ds = (d @ W2.T) * (s > 0)
            da = ds * gamma
            W2, b2 = W2 - lr * h.T @ d, b2 - lr * d.sum(axis=0)
            gamma = gamma - lr * (ds * a).sum(axis=0)
            W1, b1 = W1 - lr * xb.T @ da, b1 - lr * da.sum(axis=0)
    return {"W1": W1, "b1": b1, "gamma1": gamma, "W2": W2, "b2": b2}


def test_fit_trains_the_users_parameter_as_numpy_does() -> None:
    x, t = data(50)
    net = between(Scale(), Relu())
    fit(net, x, t, epochs=4, batch_size=7, learning_rate=0.2, seed=rng(7))
    wanted = by_hand(x, t, 4, 7, 0.2)
    assert list(net.params) == list(wanted)
    for name, array in wanted.items():  # rounding of 1e-16 a step, 32 steps
        np.testing.assert_allclose(net.params[name], array, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", [kind for kind in CONVENTIONS if CONVENTIONS[kind]])
def test_fit_trains_every_convention_and_warns_of_nothing(kind: Any) -> None:
    net, (x, t) = between(kind()), data()
    before = {name: array.copy() for name, array in net.params.items()}
    arrays = dict(net.params)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(net, x, t, epochs=2, batch_size=4, seed=0)
    for name in CONVENTIONS[kind]:
        assert net.params[name] is arrays[name]
        assert not np.array_equal(net.params[name], before[name]), name


def bits_of_everything(net: Network) -> list[Any]:
    layer = net.layers["Own1"]
    return [*(array.tobytes() for array in net.params.values()), sorted(vars(layer)), *map(repr, vars(layer).values())]


def test_what_fit_leaves_untrained_is_named_and_the_trial_leaves_no_trace() -> None:
    class Noisy(Shifted):
        def forward(self, x: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            return super().forward(x + 1e-3 * np.random.standard_normal(x.shape))

    net, (x, t) = between(Noisy()), data()
    np.random.seed(0)
    before = bits_of_everything(net)
    (text,) = left_untrained(net, x, t, 4)
    assert text == (
        "fit leaves Noisy.theta (layer 'Own1') untrained: no gradient was found beside it (looked for dtheta,"
        " grad_theta, theta_grad, d_theta); if it is a constant, make it read-only:"
        " net.layers['Own1'].theta.flags.writeable = False"
    )
    assert bits_of_everything(net) == before
    assert np.random.random() == np.random.RandomState(0).random()
    with pytest.warns(RuntimeWarning, match=r"^fit leaves Noisy.theta") as caught:
        fit(net, x, t, batch_size=4)
    assert [warning.filename for warning in caught] == [__file__]


def test_a_read_only_constant_is_not_named() -> None:
    net = between(Shifted())
    net.layers["Own1"].theta.flags.writeable = False
    assert left_untrained(net, *data(), 4) == []


def test_a_plain_number_that_cannot_be_trained_is_named_and_as_an_array_it_can() -> None:
    class Slope:
        def __init__(self, alpha: Any) -> None:
            self.alpha = alpha

        def forward(self, x: Any) -> Any:
            self.x = x
            return x * self.alpha

        def backward(self, dout: Any) -> Any:
            self.dalpha = (dout * self.x).sum()
            return dout * self.alpha

    net, (x, t) = between(Slope(1.5)), data()
    (text,) = left_untrained(net, x, t, 4)
    assert text.startswith("fit leaves Slope.alpha (layer 'Own1') untrained: it is a plain number")
    assert net.layers["Own1"].alpha == 1.5
    net.layers["Own1"].alpha = np.array(1.5)
    assert left_untrained(net, x, t, 4) == []
    fit(net, x, t, batch_size=4)
    assert net.params["alpha1"] != 1.5
    assert_gradient_is_the_numeric_one(net)


def test_a_parameter_of_the_loss_is_named() -> None:
    class Tempered:
        """A loss with a temperature: the mean square of what is scaled by it."""

        def __init__(self) -> None:
            self.s = np.ones(4)

        def forward(self, x: Any, t: Any) -> float:
            self.x, self.n = x, len(x)
            return float(((x * self.s) ** 2).sum() / self.n)

        def backward(self, dout: float = 1) -> Any:
            self.ds = (2 * self.x**2 * self.s).sum(axis=0) / self.n
            return dout * 2 * self.x * self.s**2 / self.n

    net = between()
    net.last_layer = Tempered()
    (text,) = left_untrained(net, *data(), 4)
    assert text.startswith("fit leaves Tempered.s (last_layer) untrained: only layers have parameters")


def test_an_array_that_another_layer_has_by_its_name_keeps_that() -> None:
    affine = Affine(rng(3).normal(size=(5, 5)), np.zeros(5))
    tied = Scale(affine.b)
    assert list(between(tied, affine).params) == ["W1", "b1", "W2", "b2", "W3", "b3"]


def named(parameter: str, gradient: str) -> Any:
    """Give a layer whose code names its parameter in variables only."""

    class Named:
        def __init__(self) -> None:
            setattr(self, parameter, rng(3).normal(1, 0.3, 5))

        def forward(self, x: Any) -> Any:
            self.x = x
            return x * getattr(self, parameter)

        def backward(self, dout: Any) -> Any:
            setattr(self, gradient.lower(), (dout * self.x).sum(axis=0))
            return dout * getattr(self, parameter)

    return Named()


def test_names_that_the_code_has_from_outside_are_read_too() -> None:
    net = between(named("scale", "grad_scale"))
    assert list(net.params) == ["W1", "b1", "scale1", "W2", "b2"]
    assert_gradient_is_the_numeric_one(net)


def test_a_gradient_that_only_backward_shows_is_found_then_and_not_missed_before() -> None:
    net, (x, t) = between(named("scale", "GRAD_SCALE")), data()
    assert list(net.params) == ON_BOTH_SIDES
    before = net.layers["Own1"].scale.copy()
    assert left_untrained(net, x, t, 4) == []
    fit(net, x, t, batch_size=4)
    assert "scale1" in net.params
    assert not np.array_equal(net.params["scale1"], before)


def test_an_array_without_effect_on_the_loss_is_not_named() -> None:
    class Counting(Scale):
        def __init__(self) -> None:
            super().__init__()
            self.seen, self.unused = np.zeros(5), np.ones(5)

        def forward(self, x: Any) -> Any:
            self.seen += np.abs(x).sum(axis=0)
            return super().forward(x) + 0 * self.unused

    assert left_untrained(between(Counting()), *data(), 4) == []


def test_what_the_networks_own_gradient_leaves_out_is_named() -> None:
    class WithoutBias(TwoLayerNet):
        def gradient(self, x: Any, t: Any) -> Any:  # type: ignore[override]  # as a reader writes it
            found = super().gradient(x, t)
            del found["b1"]
            return found

    with pytest.warns(RuntimeWarning, match=r"^fit leaves b1 untrained: WithoutBias.gradient does not return it"):
        fit(WithoutBias(6, 5, 4, seed=0), *data(), batch_size=4)


def test_two_parameters_of_one_name_are_refused_by_fit() -> None:
    own = InDicts()
    own.params = {"W1": np.zeros(3)}
    layers: dict[str, Any] = {"own": own, **{f"A{i}": Affine(np.eye(2), np.zeros(2)) for i in range(10)}}
    with pytest.raises(ValueError, match=r"W1? of layer '(own|A9)' is not in net\.params"):
        fit(Network(layers), np.ones((4, 2)), np.zeros(4, int), batch_size=2)


# --- files ---


@pytest.mark.parametrize("kind", [Scale, Private, InDicts, InLists, Boxed, Residual, Stack, ViewsOfOne, Slotted])
def test_a_network_with_a_layer_of_the_users_own_comes_back_with_its_parameters(kind: Any, tmp_path: Path) -> None:
    net, other, path = between(kind()), between(kind(), seed=8), tmp_path / "net.safetensors"
    fit(net, *data(), batch_size=4, seed=0)
    net.save(path)
    with pytest.raises(ValueError, match=rf"made with '{kind.__name__}' of your own; load\(path, into=net\) puts"):
        load(path)
    load(path, into=other)
    assert [(n, a.tobytes()) for n, a in other.params.items()] == [(n, a.tobytes()) for n, a in net.params.items()]
    np.testing.assert_array_equal(other.predict(data()[0]), net.predict(data()[0]))


@pytest.mark.parametrize("kind", [Scale, InLists, Residual, MadeByForward])
def test_a_resumed_run_of_a_network_with_such_a_layer_ends_with_the_same_bits(kind: Any, tmp_path: Path) -> None:
    x, t = data(30)
    options: dict[str, Any] = {"batch_size": 7, "seed": 3}
    whole, first, resumed = between(kind()), between(kind()), between(kind(), seed=8)
    fit(whole, x, t, epochs=3, **options)
    fit(first, x, t, epochs=2, checkpoint=tmp_path / "run", **options)
    fit(resumed, x, t, epochs=3, resume=tmp_path / "run", **options)
    assert {n: a.tobytes() for n, a in resumed.params.items()} == {n: a.tobytes() for n, a in whole.params.items()}


def test_what_a_file_does_not_hold_is_named(tmp_path: Path) -> None:
    net = between(Shifted())
    with pytest.warns(RuntimeWarning, match=r"^the file does not hold Shifted.theta \(layer 'Own1'\)") as caught:
        net.save(tmp_path / "net")
    assert [warning.filename for warning in caught] == [__file__]
    net = between(BatchNorm())
    net.gradient(*data())
    with pytest.warns(RuntimeWarning) as caught:
        net.save(tmp_path / "net")
    assert [str(warning.message).split(" (")[0] for warning in caught] == [
        "the file does not hold BatchNorm.running_mean",
        "the file does not hold BatchNorm.running_var",
    ]


@pytest.mark.parametrize("older", [True, False])
def test_a_file_from_before_gamma_was_found_loads_as_before_and_says_so(older: bool, tmp_path: Path) -> None:
    path = tmp_path / "net"
    old, new = between(Relu()), between(Scale(), seed=8)
    old.save(path)
    if older:
        content = path.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        header = json.loads(content[8 : 8 + length])
        said = json.loads(header["__metadata__"]["chainrule"])
        del said["parameters"]
        header["__metadata__"]["chainrule"] = json.dumps(said)
        text = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    gamma = new.params["gamma1"].copy()
    if older:
        with pytest.warns(RuntimeWarning, match="written before 'gamma1' was a parameter: it stays as it is"):
            load(path, into=new)
        np.testing.assert_array_equal(new.params["W2"], old.params["W2"])
    else:
        with pytest.raises(DataError, match="'W1', 'b1', 'W2', 'b2', the network has 'W1', 'b1', 'gamma1'"):
            load(path, into=new)
    np.testing.assert_array_equal(new.params["gamma1"], gamma)


def test_known_layers_are_trained_without_the_parts_of_the_check() -> None:
    code = """
import sys
import numpy as np
from chainrule import TwoLayerNet, fit
fit(TwoLayerNet(6, 5, 4, seed=0), np.ones((8, 6)), np.zeros(8, int), batch_size=4)
print("chainrule.checking.state" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_graph_shows_the_users_parameters_and_their_gradients() -> None:
    text = between(Residual(), Scale()).graph(*data()).to_svg()
    for word in ("|gamma|", "|dgamma|", "|inner.W|", "|dinner.W|"):
        assert word in text
