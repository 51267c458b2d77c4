"""Layers of the user's own in a network: their parameters, what they are called, and that fit and files mean them."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, Network, Relu, check_gradients, fit
from chainrule._code import code_of
from chainrule.layer_parameters import parameters

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
    match = r"^Forgetful.backward \(layer 'Own1'\) has left no gradient of gamma: looked for dgamma, grad_gamma"
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


def test_the_graph_shows_the_users_parameters_and_their_gradients() -> None:
    text = between(Residual(), Scale()).graph(*data()).to_svg()
    for word in ("|gamma|", "|dgamma|", "|inner.W|", "|dinner.W|"):
        assert word in text
