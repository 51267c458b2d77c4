"""network.py: one set of arrays, whoever holds them; the tutorial's network and its gradients."""

from __future__ import annotations

import copy
import pickle
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import seed_reference as seed
from chainrule.nn import engine
from chainrule.nn.functions import relu, sigmoid, softmax
from chainrule.nn.layers import Affine, Identity, LeakyRelu, Relu, Rescaling, Sigmoid, Tanh
from chainrule.nn.losses import SoftmaxWithLoss
from chainrule.nn.network import Network
from chainrule.nn.parameters.named import Parameters
from chainrule.nn.two_layer_net import TwoLayerNet
from chainrule.training.fit import fit
from chainrule.training.optimizers import SGD

# Row D3 of the fault list: 1e-12 relative for one operation; absolute where sums cancel.
F64: dict[str, Any] = {"rtol": 1e-12, "atol": 1e-14}
# Central differences with h = 1e-4 of losses near 1: h²/6·f''' is about 1e-9, the rounding ε·f/h about 1e-11.
NUMERIC: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-8}

NAMES = ["W1", "b1", "W2", "b2"]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def small(**options: Any) -> TwoLayerNet:
    """Make a 6-5-4 network with weights near 1, so that no gradient is tiny."""
    return TwoLayerNet(6, 5, 4, 1.0, **{"seed": 0, **options})


def batch(N: int = 8) -> tuple[Any, Any]:
    return rng(1).normal(size=(N, 6)), rng(2).integers(0, 4, N)


def scores_by_hand(net: Any, x: Any) -> Any:
    p = net.params
    return relu(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]


def assert_holds(net: Network) -> None:
    """Check the invariant: what `params` gives is what the layers hold."""
    for i in (1, 2):
        assert net.layers[f"Affine{i}"].W is net.params[f"W{i}"]
        assert net.layers[f"Affine{i}"].b is net.params[f"b{i}"]


def assert_same(grads: Any, others: Any, **tolerance: Any) -> None:
    assert list(grads) == list(others)
    for name in grads:
        np.testing.assert_allclose(grads[name], others[name], err_msg=name, **tolerance)


# --- names and numbers of the tutorial ---


def test_names_are_the_tutorials() -> None:
    net = TwoLayerNet(input_size=6, hidden_size=5, output_size=4, weight_init_std=0.01)
    assert list(net.params) == NAMES
    assert list(net.layers) == ["Affine1", "Relu1", "Affine2"]
    assert isinstance(net.layers, OrderedDict)
    assert type(net.lastLayer) is SoftmaxWithLoss


def test_last_layer_has_two_names() -> None:
    net, other = small(), SoftmaxWithLoss()
    assert net.last_layer is net.lastLayer
    net.last_layer = other
    assert net.lastLayer is other


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_shapes_and_dtype_of_the_parameters(dtype: Any) -> None:
    params = small(dtype=dtype).params
    assert {name: p.shape for name, p in params.items()} == {"W1": (6, 5), "b1": (5,), "W2": (5, 4), "b2": (4,)}
    assert {p.dtype for p in params.values()} == {np.dtype(dtype)}


def test_the_biases_start_at_0_and_the_weights_have_the_deviation_asked_for() -> None:
    params = TwoLayerNet(200, 100, 10, 0.5, seed=0).params
    assert not params["b1"].any()
    assert not params["b2"].any()
    # The standard deviation of 20000 draws is off by 0.5 / sqrt(40000) = 0.0025; four times that.
    assert abs(params["W1"].std() - 0.5) < 0.01


def test_np_random_seed_gives_the_tutorials_parameters_bit_for_bit() -> None:
    np.random.seed(0)
    ours = TwoLayerNet(784, 50, 10)
    np.random.seed(0)
    theirs = seed.TwoLayerNet(784, 50, 10)
    assert ours.params["W1"][0, 0] == 0.01 * np.random.RandomState(0).randn()
    for name in NAMES:
        np.testing.assert_array_equal(ours.params[name], theirs.params[name], strict=True)


def test_a_seed_of_its_own_leaves_numpys_global_generator_alone() -> None:
    np.random.seed(0)
    small(seed=3)
    assert np.random.random() == np.random.RandomState(0).random()


def test_the_same_seed_gives_the_same_parameters_and_a_generator_is_used_on() -> None:
    np.testing.assert_array_equal(small(seed=3).params["W1"], small(seed=rng(3)).params["W1"])
    generator = rng(3)
    assert not np.array_equal(small(seed=generator).params["W1"], small(seed=generator).params["W1"])


@pytest.mark.parametrize("one_hot", [False, True])
def test_gradient_and_loss_are_the_tutorials(one_hot: bool) -> None:
    np.random.seed(0)
    ours = TwoLayerNet(20, 9, 7, 0.3)
    np.random.seed(0)
    theirs = seed.exact_two_layer_net(20, 9, 7, 0.3)
    x, ids = rng(1).normal(size=(30, 20)), rng(2).integers(0, 7, 30)
    t = np.eye(7)[ids] if one_hot else ids
    assert_same(ours.gradient(x, t), theirs.gradient(x, t), **F64)
    np.testing.assert_allclose(ours.loss(x, t), theirs.loss(x, t), **F64)
    assert ours.accuracy(x, t) == theirs.accuracy(x, t)
    np.testing.assert_allclose(ours.predict(x), theirs.predict(x), **F64)


def test_predict_gives_scores_not_probabilities() -> None:
    net, (x, _) = small(), batch()
    np.testing.assert_allclose(net.predict(x), scores_by_hand(net, x), **F64)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_predict_gives_the_scores_of_the_way_through_the_loss(dtype: Any) -> None:
    net, (x, t) = small(dtype=dtype), batch()
    net.loss(x, t)
    # The loss layer keeps the softmax of the scores it was given; a few roundings.
    np.testing.assert_allclose(softmax(net.predict(x)), net.last_layer.y, rtol=16 * np.finfo(dtype).eps)


@pytest.mark.parametrize("t", ["ids", "column", "one_hot", "soft"])
def test_gradient_is_the_numeric_one(t: str) -> None:
    net, (x, ids) = small(), batch()
    soft = softmax(rng(5).normal(size=(8, 4)))
    labels = {"ids": ids, "column": ids[:, None], "one_hot": np.eye(4)[ids], "soft": soft}[t]
    assert_same(net.gradient(x, labels), net.numerical_gradient(x, labels), **NUMERIC)


def test_gradient_changes_no_parameter_and_no_argument() -> None:
    net, (x, t) = small(), batch()
    before = [a.tobytes() for a in (*net.params.values(), x, t)]
    net.gradient(x, t)
    net.numerical_gradient(x, t)
    assert [a.tobytes() for a in (*net.params.values(), x, t)] == before


def test_gradients_have_the_shape_and_dtype_of_their_parameters() -> None:
    net, (x, t) = small(dtype=np.float32), batch()
    for name, grad in net.gradient(x, t).items():
        assert grad.shape == net.params[name].shape
        assert grad.dtype == np.float32


@pytest.mark.fault("A16")
def test_a16_gradients_kept_by_the_user_are_not_changed_by_the_next_call() -> None:
    net, (x, t) = small(), batch()
    grads = net.gradient(x, t)
    kept = {name: grad.copy() for name, grad in grads.items()}
    net.gradient(-x, t)
    assert_same(grads, kept, rtol=0)


@pytest.mark.fault("A16")
def test_a16_editing_gradients_and_scores_does_not_change_the_next_call() -> None:
    net, (x, t) = small(), batch()
    first = net.gradient(x, t)
    kept = {name: grad.copy() for name, grad in first.items()}
    for array in (*first.values(), net.predict(x)):
        array[...] = 77
    assert_same(net.gradient(x, t), kept, rtol=0)


@given(st.integers(0, 2**32 - 1))
def test_a_small_step_down_the_gradient_lowers_the_loss(number: int) -> None:
    net, (x, t) = small(seed=number), batch()
    before, grads = net.loss(x, t), net.gradient(x, t)
    for name in net.params:
        net.params[name] -= 1e-6 * grads[name]
    assert net.loss(x, t) < before


# --- one set of arrays ---


def test_the_layers_hold_the_parameters() -> None:
    assert_holds(small())


@pytest.mark.fault("A17")
def test_a17_assigning_a_parameter_reaches_the_layer() -> None:
    net, (x, _) = small(), batch()
    W, other = net.params["W1"], rng(7).normal(size=(6, 5))
    net.params["W1"] = other
    assert_holds(net)
    assert net.params["W1"] is W
    np.testing.assert_allclose(net.predict(x), scores_by_hand(net, x), **F64)
    np.testing.assert_array_equal(W, other)
    assert not np.shares_memory(W, other)


def test_an_in_place_update_reaches_the_layer() -> None:
    net = small()
    expected = net.params["W1"] - 0.5
    net.params["W1"] -= 0.5
    assert_holds(net)
    np.testing.assert_array_equal(net.layers["Affine1"].W, expected)


def test_params_update_reaches_the_layer() -> None:
    net = small()
    net.params.update({"W1": np.ones((6, 5))}, b2=[1, 2, 3, 4])
    assert_holds(net)
    assert net.layers["Affine1"].W.tolist() == np.ones((6, 5)).tolist()
    assert net.layers["Affine2"].b.tolist() == [1, 2, 3, 4]


def test_params_merged_with_another_dict_reach_the_layers() -> None:
    net = small()
    net.params |= {"W1": np.ones((6, 5))}
    assert_holds(net)
    assert net.layers["Affine1"].W.tolist() == np.ones((6, 5)).tolist()


def test_assigning_all_of_params_reaches_the_layers() -> None:
    net, other = small(), small(seed=8)
    net.params = other.params
    assert_holds(net)
    assert_same(net.params, other.params, rtol=0)
    assert not np.shares_memory(net.params["W1"], other.params["W1"])


def test_assigning_to_the_layer_reaches_params() -> None:
    net = small()
    net.layers["Affine1"].W = np.ones((6, 5))
    assert_holds(net)
    assert net.params["W1"].tolist() == np.ones((6, 5)).tolist()


def test_after_a_layer_was_put_in_front_each_has_its_number_at_once() -> None:
    net = TwoLayerNet(6, 6, 4, seed=0)
    assert list(net.params) == ["W1", "b1", "W2", "b2"]
    net.layers["Front"] = Affine(np.eye(6), np.zeros(6))
    net.layers.move_to_end("Front", last=False)
    params = net.params
    for i, name in enumerate(("Front", "Affine1", "Affine2"), start=1):
        assert params[f"W{i}"] is net.layers[name].W
        assert params[f"b{i}"] is net.layers[name].b
    assert len(params) == 6


def test_a_replaced_layer_brings_its_parameters() -> None:
    net, (x, t) = small(), batch()
    net.layers["Affine1"] = Affine(rng(7).normal(size=(6, 5)), np.zeros(5))
    assert_holds(net)
    assert list(net.params) == NAMES
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


@pytest.mark.fault("T11")
@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_t11_a_copied_network_holds_its_own_parameters(how: str) -> None:
    net, (x, t) = small(), batch()
    net.gradient(x, t)
    twin = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    assert_holds(twin)
    assert_same(twin.gradient(x, t), net.gradient(x, t), rtol=0)
    twin.params["W1"] -= 1
    assert_holds(twin)
    assert not np.array_equal(twin.params["W1"], net.params["W1"])


def test_training_leaves_the_parameters_where_they_are() -> None:
    net, (x, t) = small(), batch()
    arrays = dict(net.params)
    fit(net, x, t, batch_size=3, seed=0)
    assert_holds(net)
    assert all(net.params[name] is array for name, array in arrays.items())


@pytest.mark.fault("A17")
@pytest.mark.parametrize("value", [np.zeros((5, 6)), np.zeros(30), np.zeros((1, 6, 5)), 0.0])
def test_a17_a_parameter_of_another_shape_is_refused_at_the_assignment(value: Any) -> None:
    net = small()
    before = net.params["W1"].copy()
    with pytest.raises(ValueError, match=r"^params\['W1'\] has shape \(6, 5\), got a value of shape"):
        net.params["W1"] = value
    np.testing.assert_array_equal(net.params["W1"], before)


@pytest.mark.parametrize("value", [None, "W", np.zeros((6, 5), complex), np.ma.zeros((6, 5))])
def test_a17_a_parameter_that_is_no_array_of_real_numbers_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^params\['W1'\] "):
        small().params["W1"] = value


@pytest.mark.fault("A17")
def test_a17_values_are_cast_to_the_dtype_held() -> None:
    net = small(dtype=np.float32)
    net.params["W1"] = np.full((6, 5), 0.1)
    np.testing.assert_array_equal(net.layers["Affine1"].W, np.full((6, 5), 0.1, np.float32), strict=True)
    net.params["b1"] = [1, 2, 3, 4, 5]
    assert net.params["b1"].dtype == np.float32


@pytest.mark.fault("A17")
def test_a17_nan_is_allowed_and_seen() -> None:
    net, (x, t) = small(), batch()
    net.params["W2"] = np.full((5, 4), np.nan)
    assert np.isnan(net.loss(x, t))
    assert np.isnan(net.predict(x)).all()


@pytest.mark.fault("A10")
def test_a10_assigning_to_a_read_only_parameter_is_refused() -> None:
    net = small()
    net.params["W1"].flags.writeable = False
    with pytest.raises(ValueError, match=r"^params\['W1'\] is read-only"):
        net.params["W1"] = np.zeros((6, 5))


def test_a10_a_network_of_read_only_parameters_predicts_and_has_gradients() -> None:
    net, (x, t) = small(), batch()
    expected = net.gradient(x, t)
    for array in net.params.values():
        array.flags.writeable = False
    assert_same(net.gradient(x, t), expected, rtol=0)
    np.testing.assert_allclose(net.predict(x), scores_by_hand(net, x), **F64)


def test_parameters_take_new_names_as_any_dict_does() -> None:
    W, params = np.zeros(2), Parameters()
    params["W1"] = W
    assert params["W1"] is W


@pytest.mark.fault("A18")
def test_a18_editing_x_between_loss_and_backward_changes_no_gradient() -> None:
    net, (x, t) = small(), batch()
    expected = net.gradient(x, t)
    net.loss(x, t)
    x[...] = 77
    dout = net.last_layer.backward(1)
    for layer in reversed(net.layers.values()):
        dout = layer.backward(dout)
    assert_same(
        {f"{kind}{i}": getattr(net.layers[f"Affine{i}"], f"d{kind}") for i in (1, 2) for kind in "Wb"}, expected
    )


@pytest.mark.fault("X3")
@pytest.mark.parametrize(
    "remove",
    [
        lambda params: params.__delitem__("W1"),
        lambda params: params.pop("W1"),
        lambda params: params.popitem(),
        lambda params: params.clear(),
    ],
)
def test_x3_a_parameter_cannot_be_removed(remove: Callable[[Parameters], Any]) -> None:
    net = small()
    names = list(net.params)
    with pytest.raises(TypeError, match="cannot be removed"):
        remove(net.params)
    assert list(net.params) == names


@pytest.mark.fault("X3")
@pytest.mark.parametrize(
    "assign",
    [
        lambda net: net.params.__setitem__("W9", np.ones(2)),
        lambda net: net.params.update({"b1": np.ones(5)}, W9=np.ones(2)),
        lambda net: net.params.__ior__({"b1": np.ones(5), "W9": np.ones(2)}),
        lambda net: net.params.setdefault("W9", np.ones(2)),
        lambda net: setattr(net, "params", {"b1": np.ones(5), "W9": np.ones(2)}),
    ],
)
@pytest.mark.parametrize("copied", [lambda net: net, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_x3_a_key_that_no_layer_has_is_refused_and_nothing_is_changed(
    assign: Callable[[Any], Any], copied: Callable[[Any], Any]
) -> None:
    net = copied(small())
    before = {name: array.copy() for name, array in net.params.items()}
    with pytest.raises(KeyError, match=r"no layer has a parameter called 'W9'; there are W1, b1, W2, b2\."):
        assign(net)
    assert_same(net.params, before, rtol=0)


@pytest.mark.fault("X3")
def test_x3_a_layer_brings_the_key_that_could_not_be_assigned() -> None:
    net = small()
    net.layers["Affine3"] = Affine(np.eye(4), np.zeros(4))
    net.params["W3"] = 2 * np.eye(4)
    assert net.params.setdefault("W3", None) is net.layers["Affine3"].W
    assert net.layers["Affine3"].W[0, 0] == 2


@pytest.mark.fault("X3")
def test_x3_a_class_of_ones_own_has_keys_of_its_own_before_and_after_it_has_layers() -> None:
    class Cooled(TwoLayerNet):
        """Scores divided by a temperature that is learnt: no layer holds it, its own methods do."""

        def __init__(self) -> None:
            super().__init__(6, 5, 4, 1.0, seed=0)
            self.params["temperature"] = np.array([2.0])

        def predict(self, x: Any) -> Any:
            return super().predict(x) / self.params["temperature"]

        def gradient(self, x: Any, t: Any, sample_weight: Any = None) -> Any:
            dout = gradient_of_scores(self.predict(x), t)
            return {"temperature": -(dout * self.predict(x)).sum() / self.params["temperature"]}

    net, (x, t) = Cooled(), batch()
    np.testing.assert_allclose(
        net.gradient(x, t)["temperature"], net.numerical_gradient(x, t)["temperature"], **NUMERIC
    )
    before = net.loss(x, t)
    SGD(0.1).update(net.params, net.gradient(x, t))
    assert net.loss(x, t) < before


@pytest.mark.fault("X3")
def test_x3_a_subclass_that_grows_the_tutorials_network_in_its_style_works() -> None:
    class ThreeLayerNet(TwoLayerNet):
        def __init__(self) -> None:
            super().__init__(6, 5, 4, 1.0, seed=0)
            self.params["W3"] = rng(5).normal(size=(4, 4))
            self.params["b3"] = np.zeros(4)
            self.layers["Relu2"] = Relu()
            self.layers["Affine3"] = Affine(self.params["W3"], self.params["b3"])

    net, (x, t) = ThreeLayerNet(), batch()
    assert list(net.params) == [*NAMES, "W3", "b3"]
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


# --- what is handed over: arrays ---


@pytest.mark.fault("A1")
def test_a1_wrong_feature_count_names_W1() -> None:
    net, x = TwoLayerNet(784, 50, 10, seed=0), np.zeros((100, 700))
    expected = "x has 700 features, W1 expects 784 (x.shape=(100, 700), W1.shape=(784, 50))"
    for call in (net.predict, lambda x: net.loss(x, np.zeros(100, int)), lambda x: net.gradient(x, np.zeros(100, int))):
        with pytest.raises(ValueError) as error:
            call(x)
        assert str(error.value) == expected


class Arrayish:
    """An object with ``__array__``."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.a, dtype)


class Dlpack:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, a: Any) -> None:
        self.a = a

    def __dlpack__(self, **options: Any) -> Any:
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.a.__dlpack_device__()


@pytest.mark.fault("A2")
@pytest.mark.parametrize("kind", [np.ndarray.tolist, lambda x: tuple(map(tuple, x)), memoryview, Arrayish, Dlpack])
def test_a2_what_numpy_takes_is_taken(kind: Any) -> None:
    net, (x, t) = small(), batch()
    np.testing.assert_array_equal(net.predict(kind(x)), net.predict(x))
    assert net.loss(kind(x), t.tolist()) == net.loss(x, t)
    assert_same(net.gradient(kind(x), t), net.gradient(x, t), rtol=0)


@pytest.mark.fault("A3")
@pytest.mark.parametrize("x", [None, "x", {}, [[1.0] * 6, [1.0] * 5]])
@pytest.mark.parametrize("method", ["predict", "loss", "gradient", "accuracy"])
def test_a3_what_is_no_array_is_a_type_error_that_names_it(method: str, x: Any) -> None:
    arguments = (x,) if method == "predict" else (x, [0, 1])
    with pytest.raises(TypeError, match="x must be an array of numbers"):
        getattr(small(), method)(*arguments)


@pytest.mark.fault("A4", "A5", "A6", "A8")
@pytest.mark.parametrize("given", [np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64, ">f4", ">i2"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a4_a5_a6_a8_a_network_computes_in_the_dtype_of_its_parameters(dtype: Any, given: Any) -> None:
    net, t = small(dtype=dtype), batch()[1]
    x = rng(1).integers(0, 2, (8, 6)).astype(given)
    assert net.predict(x).dtype == dtype
    np.testing.assert_array_equal(net.predict(x), net.predict(x.astype(dtype)))
    assert net.loss(x, t) == net.loss(x.astype(dtype), t)
    assert_same(net.gradient(x, t), net.gradient(x.astype(dtype), t), rtol=0)


@pytest.mark.fault("A7")
@pytest.mark.parametrize("given", [np.complex64, np.longdouble, object, "U8", "datetime64[s]", [("x", "f4")]])
def test_a7_other_dtypes_are_refused_by_name(given: Any) -> None:
    x = np.zeros((8, 6), given)
    with pytest.raises(TypeError) as error:
        small().predict(x)
    assert str(error.value) == f"x has dtype {x.dtype}; chainrule computes in float32 or float64"


def packed_field(x: Any) -> Any:
    """Give `x` as a field of packed records, so that no byte stride is a multiple of the item size."""
    records = np.zeros(len(x), [("tag", "u1"), ("x", x.dtype, x.shape[1:])])
    records["x"] = x
    return records["x"]


def misaligned(x: Any) -> Any:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    array = memory[1:].view(x.dtype).reshape(x.shape)
    array[...] = x
    return array


LAYOUTS: dict[str, Any] = {
    "fortran": np.asfortranarray,
    "strided": lambda x: np.repeat(np.repeat(x, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "packed": packed_field,
    "misaligned": misaligned,
}


@pytest.mark.fault("A9")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8])
def test_a9_layouts_give_the_numbers_of_a_copy(layout: str, dtype: Any) -> None:
    net, t = small(), batch()[1]
    x = rng(1).integers(0, 200, (8, 6)).astype(dtype)
    other = LAYOUTS[layout](x)
    np.testing.assert_array_equal(other, x, strict=True)
    np.testing.assert_array_equal(net.predict(other), net.predict(x))
    assert_same(net.gradient(other, t), net.gradient(x, t), rtol=0)


@pytest.mark.fault("A9")
def test_a9_a_packed_float32_field_keeps_its_numbers() -> None:
    records = np.zeros(4, [("tag", "u1"), ("x", "f4")])
    records["x"] = [60, 3, 2, 1]
    net = Network({"Affine1": Affine(np.ones((4, 1), np.float32), np.zeros(1, np.float32))})
    assert net.predict(records["x"]).tolist() == [66]


@pytest.mark.fault("A9")
def test_a9_a_broadcast_x_of_zero_strides_is_accepted() -> None:
    net, row = small(), batch()[0][0]
    np.testing.assert_array_equal(net.predict(np.broadcast_to(row, (8, 6))), net.predict(np.tile(row, (8, 1))))


@pytest.mark.parametrize("kind", [Relu, Sigmoid])
@pytest.mark.parametrize("given", [list, np.int64, np.uint8, np.float16, "fortran"])
def test_a2_a4_a9_a_network_that_begins_with_an_activation_takes_what_others_take(kind: Any, given: Any) -> None:
    net = Network({"First": kind(), "Affine1": Affine(rng(3).normal(size=(6, 4)), np.zeros(4))})
    x = rng(1).integers(0, 3, (8, 6)).astype(np.float64)
    other = x.tolist() if given is list else np.asfortranarray(x) if given == "fortran" else x.astype(given)
    # The activation of float16 or uint8 numbers is taken in the dtype NumPy computes them in: float32 has 7 digits.
    np.testing.assert_allclose(net.predict(other), net.predict(x), rtol=1e-6)


@pytest.mark.parametrize("x", [1.0, None, "x", np.zeros((2, 6), complex)])
def test_a3_a7_a12_a_network_that_begins_with_an_activation_refuses_by_name(x: Any) -> None:
    net = Network({"Relu1": Relu(), "Affine1": Affine(np.ones((6, 4)), np.zeros(4))})
    with pytest.raises((TypeError, ValueError), match=r"^x (must|has)"):
        net.predict(x)


@pytest.mark.fault("A10")
def test_a10_a_read_only_x_is_accepted() -> None:
    net, (x, t) = small(), batch()
    frozen = np.frombuffer(x.tobytes()).reshape(x.shape)
    np.testing.assert_array_equal(net.predict(frozen), net.predict(x))
    assert_same(net.gradient(frozen, t), net.gradient(x, t), rtol=0)


@pytest.mark.fault("A11")
def test_a11_an_empty_batch_has_scores_but_no_loss_and_no_accuracy() -> None:
    net, x, t = small(), np.zeros((0, 6)), np.zeros(0, int)
    assert net.predict(x).shape == (0, 4)
    for method in (net.loss, net.accuracy, net.gradient):
        with pytest.raises(ValueError, match="empty batch is not defined"):
            method(x, t)


@pytest.mark.fault("A12")
def test_a12_images_are_flattened_from_axis_1() -> None:
    net, (x, t) = small(), batch()
    images = x.reshape(8, 1, 2, 3)
    np.testing.assert_array_equal(net.predict(images), net.predict(x))
    assert_same(net.gradient(images, t), net.gradient(x, t), rtol=0)
    assert net.accuracy(images, t) == net.accuracy(x, t)


def test_a12_one_1d_example_gives_what_a_batch_of_one_gives() -> None:
    net, (x, t) = small(), batch()
    np.testing.assert_array_equal(net.predict(x[0]), net.predict(x[:1])[0], strict=True)
    assert net.loss(x[0], t[0]) == net.loss(x[:1], t[:1])
    assert net.accuracy(x[0], t[0]) == net.accuracy(x[:1], t[:1])
    assert_same(net.gradient(x[0], t[0]), net.gradient(x[:1], t[:1]), rtol=0)


@pytest.mark.fault("A12")
def test_a12_a_single_number_is_refused() -> None:
    with pytest.raises(ValueError, match="x must have an axis of features"):
        small().predict(1.0)


def test_a13_nan_in_gives_nan_out_in_its_row_only() -> None:
    net, (x, _) = small(), batch()
    x[3, 2] = np.nan
    assert np.isnan(net.predict(x)).any(axis=1).tolist() == [i == 3 for i in range(8)]


@pytest.mark.fault("A13")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 5e-324])
def test_a13_relu_between_layers_is_numpys_on_both_ways(value: float) -> None:
    net = Network({"Affine1": Affine([[1.0]], [0.0]), "Relu1": Relu(), "Affine2": Affine([[1.0]], [0.0])})
    expected = [[np.maximum(value, 0)]]
    np.testing.assert_array_equal(net.predict([[value]]), expected)
    np.testing.assert_array_equal(net._forward([[value]]), expected)


@pytest.mark.fault("A14")
def test_a14_a_masked_x_is_refused_and_a_matrix_is_read_as_an_array() -> None:
    net, (x, _) = small(), batch()
    with pytest.raises(TypeError, match="x is a masked array"):
        net.predict(np.ma.masked_array(x))
    np.testing.assert_array_equal(net.predict(x.view(np.matrix)), net.predict(x))


@pytest.mark.fault("A15")
def test_a15_one_array_as_x_and_t_is_as_if_copied() -> None:
    net = Network({"Affine1": Affine(rng(3).normal(size=(4, 4)), np.zeros(4))})
    x = softmax(rng(4).normal(size=(8, 4)))
    expected = net.gradient(x.copy(), x.copy())
    assert_same(net.gradient(x, x), expected, rtol=0)


@pytest.mark.fault("A15")
def test_a15_a_parameter_as_x_is_as_if_copied() -> None:
    net = Network({"Affine1": Affine(rng(3).normal(size=(4, 4)), np.zeros(4))})
    W = net.params["W1"]
    np.testing.assert_array_equal(net.predict(W), net.predict(W.copy()))
    assert_same(net.gradient(W, [0, 1, 2, 3]), net.gradient(W.copy(), [0, 1, 2, 3]), rtol=0)


# --- what is handed over: labels ---


@pytest.mark.fault("L1")
@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient"])
@pytest.mark.parametrize("bad", [-1, 4])
def test_l1_a_label_out_of_range_is_refused_with_its_row(method: str, bad: int) -> None:
    x, t = batch()
    t[3] = bad
    with pytest.raises(ValueError, match=rf"^labels must lie in 0\.\.3; got {bad} at row 3$"):
        getattr(small(), method)(x, t)


@pytest.mark.fault("L1")
def test_l1_the_message_for_ten_classes_is_the_one_specified() -> None:
    net, t = TwoLayerNet(6, 5, 10, seed=0), np.array([1, 2, 3, -1])
    with pytest.raises(ValueError, match=r"^labels must lie in 0\.\.9; got -1 at row 3$"):
        net.loss(np.zeros((4, 6)), t)


@pytest.mark.fault("L2")
@pytest.mark.parametrize("method", ["loss", "accuracy"])
def test_l2_whole_float_labels_are_accepted_and_others_refused(method: str) -> None:
    net, (x, t) = small(), batch()
    call = getattr(net, method)
    assert call(x, t.astype(float)) == call(x, t)
    with pytest.raises(ValueError, match=r"labels must be whole numbers; got 0\.5 at row 0"):
        call(x, np.full(8, 0.5))


@pytest.mark.fault("L3")
@pytest.mark.parametrize("method", ["loss", "accuracy"])
def test_l3_as_many_ids_as_classes_against_one_row_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match=r"t\.shape=\(4,\)"):
        getattr(small(), method)(np.zeros((1, 6)), [0, 1, 0, 0])


@pytest.mark.fault("L4")
@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient"])
@pytest.mark.parametrize("bad", [[0.5, 0.5, 0.5, 0], [1.5, -0.5, 0, 0], [np.nan, 1, 0, 0], [np.inf, 0, 0, 0]])
def test_l4_a_row_that_is_no_distribution_is_refused_with_its_number(method: str, bad: list[float]) -> None:
    x, ids = batch()
    t = np.eye(4)[ids]
    t[5] = bad
    with pytest.raises(ValueError, match="row 5 "):
        getattr(small(), method)(x, t)


@pytest.mark.fault("L5")
@pytest.mark.parametrize("method", ["loss", "accuracy", "gradient"])
@pytest.mark.parametrize("shape", [(7,), (9,), (7, 1), (7, 4), (8, 3), (1,)])
def test_l5_another_number_of_labels_is_refused_with_both_shapes(method: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError) as error:
        getattr(small(), method)(batch()[0], np.zeros(shape, int))
    assert f"t.shape={shape}" in str(error.value)
    assert "(8, 4)" in str(error.value)


def test_accuracy_is_the_share_of_right_classes_for_every_form_of_labels() -> None:
    net = Network({"Affine1": Affine(np.eye(4), np.zeros(4))})
    x, t = np.eye(4)[[0, 1, 2, 3, 3]], np.array([0, 1, 2, 0, 0])
    for labels in (t, t[:, None], np.eye(4)[t], np.eye(4, dtype=int)[t], t.tolist(), np.eye(4)[t] * 0.7 + 0.075):
        assert net.accuracy(x, labels) == 0.6


def test_accuracy_of_soft_labels_asks_for_their_largest_entry() -> None:
    net = Network({"Affine1": Affine(np.eye(2), np.zeros(2))})
    assert net.accuracy([[1, 0], [0, 1]], [[0.6, 0.4], [0.9, 0.1]]) == 0.5


# --- sizes ---


@pytest.mark.fault("S3")
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (10**30, ValueError),
        (True, TypeError),
        (1.5, TypeError),
        (np.nan, TypeError),
        (np.inf, TypeError),
        ("5", TypeError),
        (None, TypeError),
    ],
)
def test_s3_sizes_must_be_whole_numbers_above_0(position: int, bad: Any, error: type[Exception]) -> None:
    sizes: list[Any] = [6, 5, 4]
    sizes[position] = bad
    name = ["input_size", "hidden_size", "output_size"][position]
    with pytest.raises(error, match=f"^{name} must"):
        TwoLayerNet(*sizes)


def test_s3_numpys_whole_numbers_are_sizes() -> None:
    sizes: list[Any] = [np.int64(6), np.uint8(5), np.int32(4)]
    assert TwoLayerNet(*sizes).params["W1"].shape == (6, 5)


def test_s3_a_refused_size_draws_no_number() -> None:
    np.random.seed(0)
    with pytest.raises(ValueError):
        TwoLayerNet(6, 5, 0)
    assert np.random.random() == np.random.RandomState(0).random()


@pytest.mark.parametrize(
    ("bad", "error"),
    [(np.nan, ValueError), (np.inf, ValueError), (10**400, ValueError), (True, TypeError), ("1", ValueError)],
)
def test_s3_the_deviation_must_be_a_finite_number(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"^weight_init_std must be"):
        TwoLayerNet(6, 5, 4, bad)


@pytest.mark.parametrize("dtype", [np.float16, np.int64, complex, "U3"])
def test_the_dtype_must_be_one_of_the_two(dtype: Any) -> None:
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        small(dtype=dtype)


@pytest.mark.fault("S1")
@pytest.mark.parametrize(("sizes", "name"), [((2**31 - 1, 2**31 - 1, 10), "W1"), ((1, 2**31 - 1, 2**31 - 1), "W2")])
def test_s1_more_bytes_than_can_be_addressed_are_refused(sizes: tuple[int, int, int], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} of shape \(.*\) would hold more bytes than memory can"):
        TwoLayerNet(*sizes)


@pytest.mark.fault("S2")
def test_s2_what_does_not_fit_in_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        TwoLayerNet(2**31 - 1, 2**28, 10)


# --- networks of the user's own ---


class OwnNet(TwoLayerNet):
    """The tutorial's own ``__init__``, word for word, with our layers."""

    def __init__(self, input_size: int, hidden_size: int, output_size: int, weight_init_std: float = 0.01) -> None:
        self.params = {}
        self.params["W1"] = weight_init_std * np.random.randn(input_size, hidden_size)
        self.params["b1"] = np.zeros(hidden_size)
        self.params["W2"] = weight_init_std * np.random.randn(hidden_size, output_size)
        self.params["b2"] = np.zeros(output_size)
        self.layers = OrderedDict()
        self.layers["Affine1"] = Affine(self.params["W1"], self.params["b1"])
        self.layers["Relu1"] = Relu()
        self.layers["Affine2"] = Affine(self.params["W2"], self.params["b2"])
        self.lastLayer = SoftmaxWithLoss()


def test_a_subclass_in_the_tutorials_own_style_works() -> None:
    np.random.seed(0)
    net = OwnNet(6, 5, 4, 1.0)
    np.random.seed(0)
    twin, (x, t) = TwoLayerNet(6, 5, 4, 1.0), batch()
    assert_holds(net)
    assert_same(net.gradient(x, t), twin.gradient(x, t), rtol=0)
    assert net.accuracy(x, t) == twin.accuracy(x, t)
    assert fit(net, x, t, batch_size=4, seed=0).losses == fit(twin, x, t, batch_size=4, seed=0).losses


class Doubled(TwoLayerNet):
    """A network whose scores are twice those of its layers."""

    def predict(self, x: Any) -> Any:
        for layer in self.layers.values():
            x = layer.forward(x)
        return 2 * x


def test_a_subclass_that_overrides_predict_has_its_loss_and_accuracy_follow() -> None:
    net, twin, (x, t) = Doubled(6, 5, 4, 1.0, seed=0), small(), batch()
    np.testing.assert_allclose(net.loss(x, t), SoftmaxWithLoss().forward(2 * twin.predict(x), t), **F64)
    assert net.accuracy(x, t) == twin.accuracy(x, t)
    np.testing.assert_allclose(
        net.numerical_gradient(x, t)["b2"], 2 * gradient_of_scores(2 * twin.predict(x), t).sum(axis=0), **NUMERIC
    )


def gradient_of_scores(scores: Any, t: Any) -> Any:
    return (softmax(scores) - np.eye(scores.shape[1])[t]) / len(t)


class Swish:
    """A layer of the user's own, with no base class: ``x * sigmoid(x)``."""

    def forward(self, x: Any) -> Any:
        self.x, self.s = x, sigmoid(x)
        return x * self.s

    def backward(self, dout: Any) -> Any:
        return dout * (self.s + self.x * self.s * (1 - self.s))


def test_a_layer_replaced_by_the_users_own_class_is_used() -> None:
    net, (x, t) = small(), batch()
    net.layers["Relu1"] = Swish()
    hidden = x @ net.params["W1"] + net.params["b1"]
    np.testing.assert_allclose(net.predict(x), hidden * sigmoid(hidden) @ net.params["W2"], **F64)
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


class Scale:
    """A layer of the user's own with its parameters in a dict."""

    def __init__(self, factor: Any) -> None:
        self.params = {"g": factor}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x * self.params["g"]

    def backward(self, dout: Any) -> Any:
        self.grads["g"] = (dout * self.x).sum(axis=0)
        return dout * self.params["g"]


def test_parameters_of_the_users_own_layer_are_named_and_have_gradients() -> None:
    net, (x, t) = small(), batch()
    g = rng(5).normal(size=5)
    net.layers = OrderedDict(A=net.layers["Affine1"], S=Scale(g), B=net.layers["Affine2"])
    assert net.params["g2"] is g
    grads, numeric = net.gradient(x, t), net.numerical_gradient(x, t)
    assert_same(grads, numeric, **NUMERIC)
    assert "g2" in grads


@pytest.mark.parametrize("where", ["first", "only", "last"])
def test_a_users_own_layer_may_stand_anywhere(where: str) -> None:
    affine, (x, t) = Affine(rng(5).normal(size=(6, 6)), np.zeros(6)), batch()
    layers: dict[str, dict[str, Any]] = {
        "first": {"S": Swish(), "A": affine},
        "only": {"S": Swish()},
        "last": {"A": affine, "S": Swish()},
    }
    net = Network(layers[where])
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


def test_three_layers_with_both_activations_have_the_numeric_gradient() -> None:
    r, (x, t) = rng(3), batch()
    stack: dict[str, Any] = {
        "Affine1": Affine(r.normal(size=(6, 5)), r.normal(size=5)),
        "Sigmoid1": Sigmoid(),
        "Affine2": Affine(r.normal(size=(5, 7)), r.normal(size=7)),
        "Relu1": Relu(),
        "Affine3": Affine(r.normal(size=(7, 4)), r.normal(size=4)),
    }
    net = Network(stack)
    assert list(net.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)
    np.testing.assert_allclose(net.predict(x), net._forward(x), **F64)


class Halved:
    """A last layer of the user's own: half the loss."""

    def __init__(self) -> None:
        self.whole = SoftmaxWithLoss()

    def forward(self, scores: Any, t: Any) -> float:
        return self.whole.forward(scores, t) / 2

    def backward(self, dout: float = 1) -> Any:
        return self.whole.backward(dout / 2)


def test_a_last_layer_of_the_users_own_is_used() -> None:
    net, twin, (x, t) = small(), small(), batch()
    net.lastLayer = Halved()
    assert net.loss(x, t) == twin.loss(x, t) / 2
    assert_same(net.gradient(x, t), {k: g / 2 for k, g in twin.gradient(x, t).items()}, **F64)


# --- broken layers, handed out to be found ---


def steps_of(net: Network, x: Any, t: Any) -> dict[str, Any]:
    """Give what one step of ``fit``, over all of the data at once, takes off each parameter."""
    before = {name: array.copy() for name, array in net.params.items()}
    fit(net, x, t, batch_size=len(x), iterations=1, learning_rate=1.0, seed=0)
    return {name: before[name] - array for name, array in net.params.items()}


def assert_honoured(net: Network, broken: str, factor: float = 0.5) -> None:
    """Check that `gradient` and ``fit`` give `factor` times the right gradient of the parameter `broken`."""
    x, t = batch()
    right = small().gradient(x, t)
    np.testing.assert_allclose(net.gradient(x, t)[broken], factor * right[broken], **F64)
    # The difference of two parameters near 1 has lost some digits of a gradient near 0.1.
    np.testing.assert_allclose(steps_of(net, x, t)[broken], factor * right[broken], rtol=1e-10, atol=1e-12)


def half(backward: Any) -> Any:
    """Break `backward`, a bound method or a function of the class: it gives half of what it should."""
    return lambda *arguments: 0.5 * backward(*arguments)


def test_a_relu_broken_on_the_instance_is_honoured() -> None:
    net = small()
    net.layers["Relu1"].backward = half(net.layers["Relu1"].backward)
    assert_honoured(net, "W1")


@pytest.mark.parametrize("kind", [Relu, SoftmaxWithLoss])
def test_a_layer_broken_on_the_class_is_honoured(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    right, (x, t) = small().gradient(*batch()), batch()
    monkeypatch.setattr(kind, "backward", half(kind.backward))
    net = small()
    np.testing.assert_allclose(net.gradient(x, t)["W1"], 0.5 * right["W1"], **F64)
    np.testing.assert_allclose(steps_of(net, x, t)["W1"], 0.5 * right["W1"], rtol=1e-10, atol=1e-12)


def halve_dW(layer: Any) -> None:
    original = layer.backward

    def backward(dout: Any) -> Any:
        dx = original(dout)
        layer.dW = layer.dW * 0.5
        return dx

    layer.backward = backward


@pytest.mark.parametrize("i", [1, 2])
def test_an_affine_broken_on_the_instance_is_honoured(i: int) -> None:
    net = small()
    halve_dW(net.layers[f"Affine{i}"])
    assert_honoured(net, f"W{i}")


def test_an_affine_broken_on_the_class_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    right, (x, t) = small().gradient(*batch()), batch()
    original = Affine.backward

    def backward(self: Affine, dout: Any) -> Any:
        dx = original(self, dout)
        self.dW = self.dW * 0.5
        return dx

    monkeypatch.setattr(Affine, "backward", backward)
    net = small()
    for name in ("W1", "W2"):
        np.testing.assert_allclose(net.gradient(x, t)[name], 0.5 * right[name], **F64)
    np.testing.assert_allclose(steps_of(net, x, t)["W1"], 0.5 * right["W1"], rtol=1e-10, atol=1e-12)


class BrokenRelu(Relu):
    def backward(self, dout: Any) -> Any:
        return 0.5 * super().backward(dout)


def test_a_broken_subclass_is_honoured() -> None:
    net = small()
    net.layers["Relu1"] = BrokenRelu()
    assert_honoured(net, "W1")


def test_a_broken_loss_on_the_instance_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    net = small()
    monkeypatch.setattr(net.lastLayer, "backward", half(net.lastLayer.backward))
    assert_honoured(net, "b2")


def test_a_forward_replaced_on_the_instance_is_honoured_by_predict() -> None:
    net, (x, _) = small(), batch()
    net.layers["Relu1"].forward = np.tanh
    np.testing.assert_allclose(net.predict(x), np.tanh(x @ net.params["W1"]) @ net.params["W2"], **F64)


# --- a parameter in two layers ---


def tied(W: Any) -> Network:
    b = rng(4).normal(size=4)
    return Network({"Affine1": Affine(W, b), "Sigmoid1": Sigmoid(), "Affine2": Affine(W, b), "Relu1": Relu()})


@pytest.mark.fault("A15")
def test_a15_a_tied_array_has_one_name_and_the_sum_of_both_gradients() -> None:
    net, x, t = tied(rng(3).normal(size=(4, 4))), rng(1).normal(size=(8, 4)), batch()[1]
    assert list(net.params) == ["W1", "b1"]
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


def test_a15_a_step_of_fit_takes_the_whole_gradient_off_a_tied_array() -> None:
    net, x, t = tied(rng(3).normal(size=(4, 4))), rng(1).normal(size=(8, 4)), batch()[1]
    expected = net.gradient(x, t)
    # The difference of two parameters near 1 has lost some digits of a gradient near 0.1.
    assert_same(steps_of(net, x, t), expected, rtol=1e-10, atol=1e-12)


def test_a_view_of_a_parameter_in_another_layer_is_trained_by_both_gradients() -> None:
    W, x, t = rng(3).normal(size=(4, 4)), rng(1).normal(size=(8, 4)), batch()[1]
    net = Network({"Affine1": Affine(W, np.zeros(4)), "Sigmoid1": Sigmoid(), "Affine2": Affine(W.T, np.zeros(4))})
    grads, before = net.gradient(x, t), W.copy()
    fit(net, x, t, batch_size=8, iterations=1, learning_rate=1.0, seed=0)
    np.testing.assert_allclose(before - W, grads["W1"] + grads["W2"].T, rtol=1e-10, atol=1e-12)


# --- prediction keeps nothing ---


def test_predict_and_accuracy_keep_nothing_in_the_layers() -> None:
    net, (x, t) = small(), batch()
    net.predict(x)
    net.accuracy(x, t)
    assert net.layers["Affine1"].x is None
    assert net.layers["Relu1"].mask is None
    assert net.lastLayer.y is None


def test_predict_between_loss_and_backward_does_no_harm() -> None:
    net, (x, t) = small(), batch()
    expected = net.gradient(x, t)["W2"]
    net.loss(x, t)
    net.predict(-x[:3])
    net.layers["Affine2"].backward(net.lastLayer.backward())
    np.testing.assert_array_equal(net.layers["Affine2"].dW, expected)


@pytest.mark.fault("T1")
def test_t1_predict_from_8_threads_is_right() -> None:
    net = TwoLayerNet(100, 50, 10, 1.0, seed=0)
    inputs = [rng(i).normal(size=(200 + i, 100)) for i in range(8)]
    expected = [net.predict(x) for x in inputs]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(20):
            for scores, right in zip(pool.map(net.predict, inputs), expected, strict=True):
                np.testing.assert_array_equal(scores, right)


def test_predict_gives_the_same_scores_whatever_the_batch() -> None:
    net, x = TwoLayerNet(100, 50, 10, 1.0, seed=0), rng(1).normal(size=(3000, 100))
    # Blocks of another height may be summed in another order: k ε for 100 terms near 1, then 50 near 10.
    np.testing.assert_allclose(net.predict(x)[1234], net.predict(x[1234]), rtol=1e-11, atol=1e-11)


# --- examples as they are stored ---


@pytest.mark.parametrize("share", [0.1, 1])
@pytest.mark.parametrize("stored", [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize("N", [100, 300])
def test_a4_a6_the_gradient_of_examples_as_they_are_stored_is_the_oracles(N: int, stored: Any, share: float) -> None:
    """Batches from which zeros are skipped; NumPy's own promotion is to float64 too."""
    x = rng(1).uniform(1, 255, (N, 784))
    x[rng(2).random(x.shape) > share] = 0
    x, ids, kept = x.astype(stored), rng(3).integers(0, 10, N), x.astype(stored)
    net, theirs = TwoLayerNet(784, 50, 10, 1e-3, seed=0), seed.exact_two_layer_net(784, 50, 10)
    for name, p in theirs.params.items():
        p[...] = net.params[name]
    for t in (ids, np.eye(10)[ids]):
        # Sums of 784 terms: 1e-12 relative, as row D3 wants it, of numbers up to 255.
        assert_same(net.gradient(x, t), theirs.gradient(x.astype(np.float64), t), rtol=1e-11, atol=1e-12)
        np.testing.assert_allclose(net.loss(x, t), theirs.loss(x.astype(np.float64), t), **F64)
    np.testing.assert_allclose(net.predict(x), theirs.predict(x.astype(np.float64)), rtol=1e-11, atol=1e-12)
    np.testing.assert_array_equal(x, kept, strict=True)


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_t11_a_network_copied_after_skipping_zeros_goes_on_alike(how: str) -> None:
    x, t = np.where(rng(2).random((100, 784)) < 0.1, 200, 0).astype(np.uint8), rng(3).integers(0, 10, 100)
    net = TwoLayerNet(784, 50, 10, 1e-3, seed=0)
    net.gradient(x, t)
    twin = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    assert_holds(twin)
    assert_same(twin.gradient(x, t), net.gradient(x, t), rtol=0)
    fit(net, x, t, batch_size=50, seed=0)
    fit(twin, x, t, batch_size=50, seed=0)
    assert_same(twin.params, net.params, rtol=0)


# --- bytes as they are ---


class OwnRelu(Relu):
    """Our Relu under another name: a network with it is not run by Rust."""


def images(N: int, share: float = 0.2) -> tuple[Any, Any]:
    """Give N images of 6 x 5 bytes, of which a `share` is not zero, and their classes."""
    x = rng(1).integers(1, 256, (N, 1, 6, 5)).astype(np.uint8)
    x[rng(2).random(x.shape) > share] = 0
    return x, rng(3).integers(0, 4, N)


def of_pixels(*front: Any, relu: Any = Relu, dtype: Any = np.float64) -> Network:
    """Make a network 30-9-4 behind the layers in `front`."""
    r = rng(4)
    W1, W2 = r.normal(size=(30, 9)).astype(dtype), r.normal(size=(9, 4)).astype(dtype)
    layers = {f"Front{i}": layer for i, layer in enumerate(front)}
    stack = {"Affine1": Affine(W1, np.ones(9, dtype)), "Relu1": relu(), "Affine2": Affine(W2, np.ones(4, dtype))}
    return Network({**layers, **stack})


def pixel_tolerance(dtype: Any) -> float:
    """Give what sums of 30 and 9 terms of size 1-10 may be off by: k · ε, with 1/255 rounded too."""
    return 10 * 40 * float(np.finfo(dtype).eps)


@pytest.mark.parametrize("relu", [Relu, OwnRelu])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("N", [1, 10, 300])
def test_rescaling_in_front_of_bytes_is_as_scaling_them_beforehand(N: int, share: float, dtype: Any, relu: Any) -> None:
    x, t = images(N, share)
    net, twin = of_pixels(Rescaling(), relu=relu, dtype=dtype), of_pixels(relu=relu, dtype=dtype)
    scaled = x / 255
    close: dict[str, Any] = {"rtol": 0, "atol": pixel_tolerance(dtype)}
    assert (engine.known_arrays(net.layers) is None) == (relu is OwnRelu)
    scores = net.predict(x)
    assert scores.dtype == dtype
    np.testing.assert_allclose(scores, twin.predict(scaled), **close)
    np.testing.assert_allclose(net.loss(x, t), twin.loss(scaled, t), **close)
    assert net.accuracy(x, t) == twin.accuracy(scaled, t)
    assert_same(net.gradient(x, t), twin.gradient(scaled, t), **close)


@pytest.mark.parametrize("given", [np.uint8, np.int64, np.float32, np.float64, ">f4"])
def test_a4_rescaling_takes_pixels_of_any_dtype(given: Any) -> None:
    net, (x, _) = of_pixels(Rescaling()), images(100)
    close: dict[str, Any] = {"rtol": 0, "atol": pixel_tolerance(np.float64)}
    # A float32 pixel is scaled in float32 by the layer and in float64 by Rust: its rounding, of numbers up to 1.
    if given in (np.float32, ">f4"):
        close["atol"] = pixel_tolerance(np.float32)
    np.testing.assert_allclose(net.predict(x.astype(given)), net.predict(x), **close)


def test_the_gradient_behind_rescaling_is_the_numeric_one() -> None:
    net, (x, t) = of_pixels(Rescaling(1 / 64)), images(6)
    assert_same(net.gradient(x, t), net.numerical_gradient(x, t), **NUMERIC)


@pytest.mark.parametrize("method", ["predict", "loss", "gradient", "accuracy"])
@pytest.mark.parametrize(
    "front", [(), (Rescaling(),), (Identity(),), (Rescaling(), Identity()), (Identity(), Rescaling())]
)
def test_a1_behind_rescaling_and_identity_a_wrong_feature_count_names_W1(front: Any, method: str) -> None:
    labels = () if method == "predict" else ([0, 1, 2],)
    with pytest.raises(ValueError) as error:
        getattr(of_pixels(*front), method)(np.zeros((3, 31), np.uint8), *labels)
    assert str(error.value) == "x has 31 features, W1 expects 30 (x.shape=(3, 31), W1.shape=(30, 9))"


@pytest.mark.parametrize("x", [None, "x", {}, np.zeros((3, 30), complex), np.ma.zeros((3, 30))])
@pytest.mark.parametrize("method", ["predict", "_forward"])
@pytest.mark.parametrize("front", [Rescaling, Identity])
def test_a3_a7_a14_behind_rescaling_what_is_no_array_is_a_type_error(front: Any, method: str, x: Any) -> None:
    with pytest.raises(TypeError, match=r"^x "):
        getattr(of_pixels(front()), method)(x)


@pytest.mark.parametrize("front", [(Rescaling(),), (Identity(),), (Rescaling(), Identity())])
def test_a12_one_image_behind_rescaling_gives_what_a_batch_of_one_gives(front: Any) -> None:
    net, (x, _) = of_pixels(*front), images(1)
    np.testing.assert_array_equal(net.predict(x.reshape(30)), net.predict(x)[0], strict=True)


FRONTS = [
    (Rescaling(0.5), Rescaling(2 / 255)),
    (Tanh(),),
    (LeakyRelu(), Rescaling(1 / 255)),
    (Identity(), Rescaling(1 / 255)),
    (Rescaling(1 / 255), Identity()),
]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("share", [0.2, 1])
def test_rust_gives_the_scores_of_the_layers_whatever_stands_in_front(front: Any, share: float) -> None:
    net, (x, _) = of_pixels(*front), images(300, share)
    assert engine.known_arrays(net.layers) is not None
    np.testing.assert_allclose(net.predict(x), net._forward(x), rtol=0, atol=pixel_tolerance(np.float64))


@pytest.mark.parametrize("kind", [Tanh, LeakyRelu, Identity, lambda: LeakyRelu(0.3), lambda: Rescaling(-0.7)])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_elementwise_layers_run_in_rust_as_in_python(kind: Any, dtype: Any) -> None:
    net, x = of_pixels(relu=kind, dtype=dtype), 0.3 * rng(5).normal(size=(300, 30))
    assert engine.known_arrays(net.layers) is not None
    np.testing.assert_allclose(net.predict(x), net._forward(x), rtol=0, atol=pixel_tolerance(dtype))
    t = rng(3).integers(0, 4, 300)
    if dtype is np.float64:
        assert_same(net.gradient(x[:9], t[:9]), net.numerical_gradient(x[:9], t[:9]), **NUMERIC)


@pytest.mark.parametrize(("kind", "name"), [(LeakyRelu, "slope"), (Rescaling, "scale")])
def test_a_number_of_a_layer_that_is_changed_is_seen_by_rust(kind: Any, name: str) -> None:
    net, x = of_pixels(kind(0.5)), rng(5).normal(size=(100, 30))
    first = net.predict(x)
    setattr(net.layers["Front0"], name, 0.125)
    assert not np.array_equal(net.predict(x), first)
    np.testing.assert_allclose(net.predict(x), net._forward(x), rtol=0, atol=pixel_tolerance(np.float64))


@pytest.mark.parametrize("kind", [Tanh, LeakyRelu, Identity, Rescaling])
def test_a_new_layer_broken_on_the_class_is_honoured(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    net, original = of_pixels(relu=kind), kind.forward
    monkeypatch.setattr(kind, "forward", lambda self, x: 0 * original(self, x))
    assert engine.known_arrays(net.layers) is None
    np.testing.assert_array_equal(net.predict(np.ones((2, 30))), np.ones((2, 4)))


def skipped() -> Any:
    """Give a batch of 100 whose zeros Rust skips: it goes by pairs of neighbours, of which a fifth hold numbers."""
    return rng(0).random((100, 784)) * (np.arange(784) % 10 < 2)


def moved(x: Any) -> None:
    """Move the pixels of a batch over to other pairs, in the very same array."""
    x[...] = np.roll(x, 4, axis=1)


@pytest.mark.fault("A18")
def test_a18_gradient_looks_at_x_anew_in_each_call_and_backward_at_what_x_was() -> None:
    x = skipped()  # what forward finds serves backward, but in `gradient` only
    t = np.arange(100) % 10
    net = TwoLayerNet(784, 50, 10, 0.1, seed=0)
    twin = Network({**net.layers, "Affine1": OwnAffine(net.params["W1"], net.params["b1"])})

    def assert_as_the_twin() -> None:
        ours, wanted = net.gradient(x, t), twin.gradient(x.copy(), t)
        for name, gradient in ours.items():
            np.testing.assert_allclose(gradient, wanted[name], rtol=0, atol=1e-15)  # sums of 100 terms below 0.01

    assert_as_the_twin()
    moved(x)  # other pixels, in the very same array
    assert_as_the_twin()
    affine, dout = net.layers["Affine1"], np.ones((100, 50))
    before = x.copy()
    affine.forward(x)
    x[:, 2] = 3
    affine.backward(dout)
    np.testing.assert_allclose(affine.dW, before.T @ dout, rtol=1e-12)


class OwnAffine(Affine):
    """Our Affine under another name, whose backward is asked for all gradients."""


class MovesInLoss(TwoLayerNet):
    """Has the batch changed once its loss is known, as who puts noise on it in its place and keeps it."""

    def loss(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        loss = super().loss(x, t)
        moved(x)
        return loss


class MovesInPredict(TwoLayerNet):
    """The same in a ``predict`` written as the tutorial's."""

    def predict(self, x: Any) -> Any:
        out = x
        for layer in self.layers.values():
            out = layer.forward(out)
        moved(x)
        return out


class Moving(Relu):
    """A layer of the user's own that holds the batch and changes it."""

    def __init__(self, x: Any) -> None:
        super().__init__()
        self.batch = x

    def forward(self, x: Any) -> Any:
        moved(self.batch)
        return super().forward(x)


class MovingLoss(SoftmaxWithLoss):
    """The same as a loss."""

    def __init__(self, x: Any) -> None:
        super().__init__()
        self.batch = x

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        moved(self.batch)
        return super().forward(x, t)


@pytest.mark.fault("A18")
@pytest.mark.parametrize("where", ["loss", "predict", "a layer", "a layer's method", "the loss layer"])
def test_a18_an_x_that_somebody_elses_code_changes_after_forward_is_not_what_backward_goes_by(where: str) -> None:
    x = skipped()  # the places that forward found are not those that hold numbers when backward looks
    t = np.arange(100) % 10
    kind = {"loss": MovesInLoss, "predict": MovesInPredict}.get(where, TwoLayerNet)
    net = kind(784, 50, 10, 0.1, seed=0)
    if where == "a layer":
        net.layers["Relu1"] = Moving(x)
    elif where == "a layer's method":
        net.layers["Relu1"].forward = Moving(x).forward
        net.layers["Relu1"].backward = net.layers["Relu1"].forward.__self__.backward
    elif where == "the loss layer":
        net.last_layer = MovingLoss(x)
    p = net.params
    sums = x @ p["W1"] + p["b1"]
    d_scores = (softmax(relu(sums) @ p["W2"] + p["b2"]) - np.eye(10)[t]) / 100
    dout = d_scores @ p["W2"].T * (sums > 0)
    before = x.copy()
    W1 = net.gradient(x, t)["W1"]
    np.testing.assert_array_equal(x, np.roll(before, 4, axis=1))  # moved once
    np.testing.assert_allclose(W1, before.T @ dout, rtol=0, atol=1e-15)  # sums of 100 terms below 0.01


#: Parameters as they may be held, and cannot be lent to Rust.
HELD: dict[str, Any] = {
    "W column by column": lambda W, b: (np.asfortranarray(W), b),
    "W with gaps": lambda W, b: (np.repeat(W, 2, axis=1)[:, ::2], b),
    "b with gaps": lambda W, b: (W, np.repeat(b, 2)[::2]),
    "W misaligned": lambda W, b: (misaligned(W), b),
    "b misaligned": lambda W, b: (W, misaligned(b)),
    "another dtype": lambda W, b: (W.astype(np.float32), b.astype(np.float32)),
}


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("number", [1, 2])
def test_parameters_that_rust_cannot_be_lent_are_left_to_the_layers(number: int, held: str) -> None:
    W1, b1, W2, b2 = (
        rng(3).normal(size=(6, 5)),
        rng(4).normal(size=5),
        rng(5).normal(size=(5, 4)),
        rng(6).normal(size=4),
    )
    pairs = [(W1, b1), (W2, b2)]
    pairs[number - 1] = HELD[held](*pairs[number - 1])
    layers = {"Affine1": Affine(*pairs[0]), "Relu1": Relu(), "Affine2": Affine(*pairs[1])}
    net = Network(layers)
    assert net.layers[f"Affine{number}"].W is pairs[number - 1][0]
    assert engine.known_arrays(net.layers) is None
    x, t = batch()
    # k ε of float32 where it is in it: sums of 6 and 5 products of numbers near 1.
    tolerance: dict[str, Any] = {"rtol": 0, "atol": 5e-6 if held == "another dtype" else 1e-13}
    hidden = relu(x @ W1 + b1)
    np.testing.assert_allclose(net.predict(x), hidden @ W2 + b2, **tolerance)
    d_scores = (softmax(hidden @ W2 + b2) - np.eye(4)[t]) / len(x)
    wanted = {
        "W1": W1 - 0.5 * x.T @ (d_scores @ W2.T * (hidden > 0)),
        "W2": W2 - 0.5 * hidden.T @ d_scores,
        "b2": b2 - 0.5 * d_scores.sum(axis=0),
    }
    fit(net, x, t, batch_size=len(x), iterations=1, learning_rate=0.5)
    for name, value in wanted.items():
        np.testing.assert_allclose(net.params[name], value, **tolerance)
