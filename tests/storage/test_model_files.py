"""model_files.py and atomic_write.py: what is saved comes back bit for bit, and no fault leaves half a file."""

from __future__ import annotations

import errno
import json
import os
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chainrule
from chainrule import DataError, Network, TwoLayerNet, load
from chainrule.nn.layers import (
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    Identity,
    LayerNormalization,
    LeakyRelu,
    Pooling,
    Relu,
    Rescaling,
    Reshape,
    Sigmoid,
    Tanh,
)
from chainrule.storage.model_files import FORMAT


class Own(Relu):
    """A layer of the user's own."""


class OwnNet(TwoLayerNet):
    """A network of the user's own."""


def every_layer(dtype: Any = np.float64) -> Network:
    r = np.random.default_rng(0)
    W1, b1, W2, b2 = (r.normal(size=s).astype(dtype) for s in ((6, 5), (5,), (5, 4), (4,)))
    middle: dict[str, Any] = {
        "Tanh1": Tanh(),
        "Leaky": LeakyRelu(0.3),
        "Sigmoid": Sigmoid(),
        "Relu": Relu(),
        "Identity": Identity(),
    }
    return Network({"Scale": Rescaling(1 / 7), "A": Affine(W1, b1), **middle, "B": Affine(W2, b2)})


def bits(net: Any) -> list[tuple[str, str, bytes]]:
    return [(name, array.dtype.name, array.tobytes()) for name, array in net.params.items()]


def parse(path: Path) -> tuple[dict[str, Any], bytes]:
    """Read a file by the format's own definition."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    """Write a file by the format's own definition."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.safetensors"


# --- there and back ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_comes_back_bit_for_bit_with_its_numbers(path: Path, dtype: Any) -> None:
    net = every_layer(dtype)
    net.params["W1"][0, 0], net.params["b1"][:2] = -0.0, [np.nan, np.inf]
    net.save(path)
    again = load(path)
    assert bits(again) == bits(net)
    kinds = [(name, type(layer)) for name, layer in net.layers.items()]
    assert [(name, type(layer)) for name, layer in again.layers.items()] == kinds
    assert (again.layers["Scale"].scale, again.layers["Leaky"].slope) == (1 / 7, 0.3)
    assert type(again) is Network


def test_a_loaded_network_computes_and_trains_as_the_saved_one(path: Path) -> None:
    net, x = every_layer(), np.random.default_rng(1).normal(size=(9, 6))
    net.save(path)
    again = load(path)
    assert np.array_equal(again.predict(x), net.predict(x))
    losses = [chainrule.fit(n, x, np.arange(9) % 4, batch_size=3, seed=0).losses for n in (net, again)]
    assert losses[0] == losses[1]


def test_a_two_layer_net_comes_back_as_one(path: Path) -> None:
    net = TwoLayerNet(6, 5, 4, seed=0)
    net.save(path)
    again = load(path)
    assert type(again) is TwoLayerNet
    assert list(again.layers) == ["Affine1", "Relu1", "Affine2"]
    assert bits(again) == bits(net)


def test_the_file_is_what_the_format_says(path: Path) -> None:
    net = TwoLayerNet(3, 2, 4, dtype=np.float32, seed=0)
    net.save(path)
    header, data = parse(path)
    for name, array in net.params.items():
        first, end = header[name]["data_offsets"]
        assert (header[name]["dtype"], tuple(header[name]["shape"])) == ("F32", array.shape)
        assert data[first:end] == array.astype("<f4").tobytes()
    said = json.loads(header["__metadata__"]["chainrule"])
    assert (said["format"], said["version"]) == (FORMAT, chainrule.__version__)


def test_the_same_network_gives_the_same_file(path: Path, tmp_path: Path) -> None:
    every_layer().save(path)
    every_layer().save(tmp_path / "again")
    assert path.read_bytes() == (tmp_path / "again").read_bytes()


def test_metadata_comes_in_the_order_of_its_keys_and_the_numbers_are_aligned(path: Path) -> None:
    for length in range(8):
        net = TwoLayerNet(3, 2, 2, seed=0)
        net.metadata = {"ö": 'a "quoted" \\ word', "z" * (length + 1): "x", "a": ""}
        net.save(path)
        header, _ = parse(path)
        assert list(header["__metadata__"]) == sorted(header["__metadata__"])
        assert header["__metadata__"]["ö"] == 'a "quoted" \\ word'
        assert struct.unpack("<Q", path.read_bytes()[:8])[0] % 8 == 0


def test_parameters_in_fortran_order_are_saved_as_they_read(path: Path) -> None:
    W = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    Network({"A": Affine(W, np.zeros(3))}).save(path)
    assert np.array_equal(load(path).params["W1"], W)


def test_an_array_that_two_layers_share_is_saved_once_and_shared_again(path: Path) -> None:
    W = np.eye(3)
    Network({"A": Affine(W, np.zeros(3)), "R": Relu(), "B": Affine(W, np.zeros(3))}).save(path)
    again = load(path)
    assert again.layers["A"].W is again.layers["B"].W
    assert [name for name in parse(path)[0] if name[0] == "W"] == ["W1"]


def test_metadata_is_saved_with_the_network_and_comes_back(path: Path) -> None:
    net = every_layer()
    net.metadata["note"] = "größer als 0"
    net.save(path)
    assert load(path).metadata == {"note": "größer als 0"}


def test_parameters_go_into_a_network_that_is_there(path: Path) -> None:
    net, other = TwoLayerNet(6, 5, 4, seed=0), TwoLayerNet(6, 5, 4, dtype=np.float32, seed=1)
    net.save(path)
    held = other.params["W1"]
    assert load(path, into=other) is other
    assert other.params["W1"] is held
    assert np.array_equal(held, net.params["W1"].astype(np.float32))


def test_a_safetensors_file_from_elsewhere_goes_into_a_network(path: Path) -> None:
    net = Network({"A": Affine(np.zeros((1, 2)), np.zeros(2))})
    header = {
        "W1": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]},
        "b1": {"dtype": "F64", "shape": [2], "data_offsets": [8, 24]},
    }
    write(path, header, np.array([1, 2], "<f4").tobytes() + np.array([3, 4], "<f8").tobytes())
    load(path, into=net)
    assert (net.params["W1"].tolist(), net.params["b1"].tolist()) == ([[1, 2]], [3, 4])
    with pytest.raises(DataError, match=r"does not describe a network of chainrule; load\(path, into=net\)"):
        load(path)


# --- layers for images ---


def image_layers(dtype: Any = np.float64, rows: bool = True) -> Network:
    """Give a network with every layer for images, its statistics moved; it takes rows of 72 numbers, or images."""
    r = np.random.default_rng(0)

    def drawn(*shape: int) -> Any:
        return r.normal(size=shape).astype(dtype)

    layers: dict[str, Any] = {
        "Reshape": Reshape((2, 6, 6)),
        "Conv1": Convolution(drawn(3, 2, 3, 3), drawn(3), stride=1, pad=1),
        "Norm1": BatchNormalization(drawn(3), drawn(3), 0.8, drawn(3), np.abs(drawn(3))),
        "Pool": Pooling(2, 2, 2, 0),
        "Conv2": Convolution(drawn(4, 3, 2, 2), drawn(4)),
        "Average": AveragePooling(2, 2, 1, 1),
        "Dropout": Dropout(0.25, seed=3),
        "Flatten": Flatten(),
        "Affine1": Affine(drawn(36, 5), drawn(5)),
        "Norm2": LayerNormalization(drawn(5), drawn(5)),
        "Norm3": BatchNormalization(drawn(5), drawn(5), 0.5, drawn(5), np.abs(drawn(5))),
        "Affine2": Affine(drawn(5, 3), drawn(3)),
    }
    if not rows:
        del layers["Reshape"]
    return Network(layers)


@pytest.mark.parametrize("rows", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_layer_for_images_comes_back_and_predicts_the_same(path: Path, dtype: Any, rows: bool) -> None:
    net, x = image_layers(dtype, rows), np.random.default_rng(1).normal(size=(7, 2, 6, 6))
    net.save(path)
    again = load(path)
    assert bits(again) == bits(net)
    assert [(name, type(layer)) for name, layer in again.layers.items()] == [
        (name, type(layer)) for name, layer in net.layers.items()
    ]
    scores = again.predict(x)
    assert scores.dtype == dtype
    assert scores.tobytes() == net.predict(x).tobytes()
    for name in ("running_mean", "running_var"):
        for layer in ("Norm1", "Norm3"):
            assert getattr(again.layers[layer], name).tobytes() == getattr(net.layers[layer], name).tobytes()
    numbers = [again.layers[name].__dict__ for name in ("Conv1", "Pool", "Average", "Norm1", "Dropout")]
    assert [(held["stride"], held["pad"]) for held in numbers[:3]] == [(1, 1), (2, 0), (1, 1)]
    assert (numbers[3]["momentum"], numbers[4]["dropout_ratio"]) == (0.8, 0.25)


@pytest.mark.parametrize(
    "make",
    [
        lambda dtype: chainrule.SimpleConvNet((1, 8, 8), {"filter_num": 3, "filter_size": 3, "pad": 1, "stride": 1},
                                              hidden_size=5, output_size=3, dtype=dtype, seed=0),
        lambda dtype: chainrule.DeepConvNet((1, 8, 8), hidden_size=5, output_size=3, dtype=dtype, seed=0),
        lambda dtype: chainrule.MultiLayerNet(64, [6, 5], 3, weight_decay_lambda=0.1, dtype=dtype, seed=0),
        lambda dtype: chainrule.MultiLayerNetExtend(64, [6, 5], 3, use_dropout=True, use_batchnorm=True, dtype=dtype,
                                                    seed=0),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_kind_of_network_comes_back_as_what_it_was_and_trains_on(path: Path, make: Any, dtype: Any) -> None:
    net, x, t = make(dtype), np.random.default_rng(1).random((12, 64)), np.arange(12) % 3
    chainrule.fit(net, x, t, epochs=1, batch_size=4, seed=0)
    net.save(path)
    again = load(path)
    assert type(again) is type(net)
    assert again.weight_decay_lambda == net.weight_decay_lambda
    assert again.predict(x).tobytes() == net.predict(x).tobytes()
    losses = [chainrule.fit(n, x, t, epochs=1, batch_size=4, seed=5).losses for n in (net, again)]
    assert losses[0] == losses[1]


def test_a_normalization_in_two_places_comes_back_with_one_array_in_both(path: Path) -> None:
    norm = BatchNormalization(np.ones(2), np.zeros(2), 0.9, np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    net = Network({"A": norm, "R": Relu(), "B": norm})
    net.save(path)
    again, x = load(path), np.ones((3, 2))
    assert again.layers["A"].running_mean is again.layers["B"].running_mean
    assert np.array_equal(again.predict(x), net.predict(x))


def test_weights_before_and_behind_images_need_not_fit_each_other(path: Path) -> None:
    r = np.random.default_rng(0)
    net = Network(
        {
            "In": Affine(r.normal(size=(3, 16)), np.zeros(16)),
            "Image": Reshape((1, 4, 4)),
            "Conv": Convolution(r.normal(size=(2, 1, 3, 3)), np.zeros(2)),
            "Out": Affine(r.normal(size=(8, 2)), np.zeros(2)),
        }
    )
    net.save(path)
    x = r.normal(size=(4, 3))
    assert np.array_equal(load(path).predict(x), net.predict(x))


def damaged(path: Path, layer: str, changes: dict[str, Any], *, rows: bool = True, said: Any = None) -> Path:
    """Write a saved network for images again, one of its layers described otherwise; None takes a key away."""
    image_layers(rows=rows).save(path)
    header, data = parse(path)
    description = json.loads(header["__metadata__"]["chainrule"]) | (said or {})
    for part in description["layers"]:
        if part["name"] == layer:
            part.update(changes)
            for key in [key for key, value in changes.items() if value is None]:
                del part[key]
    header["__metadata__"]["chainrule"] = json.dumps(description)
    return write(path, header, data)


FAR = 10**400


@pytest.mark.parametrize(
    ("layer", "changes", "match"),
    [
        ("Conv1", {"stride": "1"}, "stride must be a whole number, got '1'"),
        ("Conv1", {"stride": 1.0}, "stride must be a whole number, got 1.0"),
        ("Conv1", {"stride": True}, "stride must be a whole number, got True"),
        ("Conv1", {"stride": 0}, "stride must lie in"),
        ("Conv1", {"stride": FAR}, "stride must lie in"),
        ("Conv1", {"stride": None}, "KeyError: 'stride'"),
        ("Conv1", {"pad": -1}, "pad must lie in"),
        ("Conv1", {"pad": [1]}, "pad must be a whole number"),
        ("Conv1", {"W": "W2"}, "W2|must"),
        ("Conv1", {"b": "b2"}, r"b must have shape \(3,\) to fit W"),
        ("Conv1", {"W": ["W1"]}, "TypeError"),
        ("Conv1", {"kind": "Pooling"}, "KeyError: 'pool_h'"),
        ("Pool", {"pad": 2}, "pad must be smaller than the window"),
        ("Pool", {"pool_h": 0}, "pool_h must lie in"),
        ("Pool", {"pool_w": 9}, r"layer 'Pool' does not fit .*: a window of 2 x 9 does not fit"),
        ("Pool", {"stride": 1}, "'Affine1' does not fit the output of the layer before it: W expects 36 features"),
        ("Average", {"pad": 5}, "pad must be smaller than the window"),
        ("Average", {"pool_w": {}}, "pool_w must be a whole number"),
        ("Norm1", {"running_var": None}, "KeyError: 'running_var'"),
        ("Norm1", {"running_mean": "running_mean2"}, r"running_mean must have shape \(3,\)"),
        ("Norm1", {"running_mean": "running_var1"}, "its layers have other arrays for 'running_mean1'"),
        ("Norm1", {"running_mean": "beta1"}, "its layers have other arrays for 'running_mean1'"),
        ("Norm1", {"running_mean": "missing"}, "KeyError: 'missing'"),
        ("Norm1", {"gamma": "running_mean1"}, "its layers have other arrays for 'gamma1'"),
        ("Norm1", {"momentum": 2}, "momentum must lie in"),
        ("Norm1", {"momentum": float("nan")}, "momentum must be finite"),
        ("Norm1", {"momentum": FAR}, "momentum must be finite"),
        ("Norm2", {"gamma": "gamma1"}, "must have shape"),
        ("Dropout", {"dropout_ratio": 2}, "dropout_ratio must lie in"),
        ("Dropout", {"dropout_ratio": 1}, "dropout_ratio must lie in"),
        ("Dropout", {"dropout_ratio": "half"}, "dropout_ratio must be a number"),
        ("Reshape", {"shape": 72}, "shape must be a tuple of whole numbers, got 72"),
        ("Reshape", {"shape": "2,6,6"}, "shape must be a tuple of whole numbers"),
        ("Reshape", {"shape": [[2, 6, 6]]}, "a size of shape must be a whole number"),
        ("Reshape", {"shape": [2, 6.0, 6]}, "a size of shape must be a whole number"),
        ("Reshape", {"shape": [2, 0, 6]}, "a size of shape must lie in"),
        ("Reshape", {"shape": {"2": 6}}, "shape must be a tuple of whole numbers"),
        ("Reshape", {"shape": [3, 6, 6]}, "'Conv1' does not fit .*: W expects images of 2 channels"),
        ("Reshape", {"shape": [2, 36]}, "'Conv1' does not fit .*: W expects images of 2 channels"),
        ("Flatten", {"name": "Dropout"}, "two layers have the same name"),
    ],
)
def test_f6_a_layer_for_images_described_wrong_is_refused(path: Path, layer: str, changes: Any, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        load(damaged(path, layer, changes))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("statistics", "match"),
    [
        (["running_mean1", "running_var1", "running_mean2", "running_var2", "running_var2"], "an array is named twice"),
        (["running_mean1", "running_var1", "running_mean2", "running_var2", "W1"], "an array is named twice"),
        (["running_mean1", "running_var1", "running_mean2"], "tensor 'running_var2' is not in the description"),
        (["running_mean9"], "KeyError: 'running_mean9'"),
        ([["running_mean1"]], "TypeError"),
        (3, "TypeError"),
    ],
)
def test_f6_statistics_named_wrong_are_refused(path: Path, statistics: Any, match: str) -> None:
    damaged(path, "", {}, said={"statistics": statistics})
    for into in (None, image_layers()):
        with pytest.raises(DataError, match=match):
            load(path, into=into)


def test_f6_filters_for_other_channels_are_refused_where_the_size_of_images_is_not_known(path: Path) -> None:
    net = image_layers(rows=False)
    net.layers["Conv2"] = Convolution(np.ones((4, 2, 2, 2)), np.zeros(4))
    net.save(path)
    with pytest.raises(DataError, match=r"layer 'Conv2' does not fit .*: it expects 2 channels, got 3"):
        load(path)
    net = image_layers(rows=False)
    net.layers["Norm1"] = BatchNormalization(np.ones(2), np.zeros(2))
    net.save(path)
    with pytest.raises(DataError, match=r"layer 'Norm1' does not fit .*: it expects 2 channels, got 3"):
        load(path)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_f6_a_network_for_images_with_any_bytes_changed_loads_or_is_a_data_error(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder, "net")
        image_layers(np.float32).save(path)
        content = bytearray(path.read_bytes())
        (length,) = struct.unpack("<Q", content[:8])
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, length + 7), st.integers(32, 126)), max_size=4)):
            content[at] = byte
        path.write_bytes(content)
        with suppress(DataError):
            load(path)


# --- layers of the user's own ---


@pytest.mark.parametrize("what", ["layer", "network", "replaced method"])
def test_what_is_the_users_own_is_named_and_its_parameters_go_into_their_network(path: Path, what: str) -> None:
    def make(seed: int) -> Any:
        net: Any = (OwnNet if what == "network" else TwoLayerNet)(6, 5, 4, seed=seed)
        if what == "layer":
            net.layers["Relu1"] = Own()
        if what == "replaced method":
            net.layers["Relu1"].forward = lambda x: x
        return net

    net = make(0)
    net.save(path)
    named = {"layer": "Own", "network": "OwnNet", "replaced method": "Relu"}[what]
    with pytest.raises(ValueError, match=rf"made with '{named}' of your own; load\(path, into=net\) puts"):
        load(path)
    assert bits(load(path, into=make(1))) == bits(net)


def test_a_network_with_a_layer_put_in_front_comes_back(path: Path) -> None:
    net = TwoLayerNet(6, 6, 4, seed=0)
    assert "W1" in net.params
    net.layers["Front"] = Affine(np.eye(6), np.zeros(6))
    net.layers.move_to_end("Front", last=False)
    net.save(path)
    again = load(path)
    assert list(again.params) == ["W1", "b1", "W2", "b2", "W3", "b3"]
    assert all(np.array_equal(again.params[name], net.params[name]) for name in again.params)
    assert np.array_equal(again.layers["Affine2"].W, net.layers["Affine2"].W)


@pytest.mark.parametrize("names", [["W2", "b2", "W1", "b1"], ["first", "f", "second", "s"], ["W0", "b0", "W1", "b1"]])
def test_parameters_under_names_of_the_users_own_come_back_under_them(path: Path, names: list[str]) -> None:
    """As the tutorial's networks have them, which fill ``params`` before there are layers."""
    net = Network({})
    net.params = dict(zip(names, [np.arange(6.0).reshape(2, 3), np.ones(3), np.ones((3, 4)), np.ones(4)], strict=True))
    W, b, V, c = net.params.values()
    net.layers.update({"A": Affine(W, b), "B": Affine(V, c)})
    net.save(path)
    again = load(path)
    assert list(again.params) == names
    assert bits(again) == bits(net)
    again.params[names[0]] = np.zeros((2, 3))
    assert not again.layers["A"].W.any()


def test_a_network_that_has_lost_a_layer_comes_back_and_is_filled(path: Path) -> None:
    def made(seed: int) -> Network:
        net = Network(TwoLayerNet(4, 4, 3, seed=seed).layers)
        assert "W1" in net.params  # and stays there, though its layer goes
        del net.layers["Affine1"]
        return net

    made(0).save(path)
    again, filled = load(path), load(path, into=made(1))
    assert list(again.params) == ["W2", "b2"]
    for net in (again, filled):
        assert np.array_equal(net.layers["Affine2"].W, made(0).layers["Affine2"].W)


@pytest.mark.parametrize("bad", [None, {1: "a"}, {"a": 1}, [("a", "b")]])
def test_metadata_that_is_no_dict_of_strings_is_named(path: Path, bad: Any) -> None:
    net = TwoLayerNet(2, 2, 2, seed=0)
    net.metadata = bad
    with pytest.raises(TypeError, match=r"net\.metadata must be a dict of strings to strings, got"):
        net.save(path)
    assert not path.exists()


def test_a_layers_number_of_numpys_is_saved(path: Path) -> None:
    net = every_layer()
    scaling = next(layer for layer in net.layers.values() if isinstance(layer, Rescaling))
    scaling.scale = np.float32(0.5)  # type: ignore[assignment]  # not everybody reads the annotation
    net.save(path)
    assert [layer.scale for layer in load(path).layers.values() if isinstance(layer, Rescaling)] == [0.5]


def test_two_parameters_of_one_name_are_refused(path: Path) -> None:
    own = Own()
    own.params = {"W1": np.zeros(3)}  # type: ignore[attr-defined]  # the first layer's W1 is W11, as the eleventh's W
    layers: dict[str, Any] = {"own": own, **{f"A{i}": Affine(np.eye(2), np.zeros(2)) for i in range(10)}}
    with pytest.raises(ValueError, match=r"W1? of layer '(own|A9)' is not in net\.params"):
        Network(layers).save(path)


# --- F1: killed at each system call ---

KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[2])
import chainrule
from chainrule import TwoLayerNet, load
from system_calls import die, strike

path = sys.argv[1]
old, new = (TwoLayerNet(30, 40, 10, seed=seed) for seed in (0, 1))

killed = 0
found = []
for before in (True, False):
    for dies_at in range(1, 1000):
        old.save(path)
        child = os.fork()
        if child == 0:
            strike(dies_at, die, before)
            new.save(path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        now = load(path).params["W1"].tobytes()
        found += [name for name, net in (("old", old), ("new", new)) if now == net.params["W1"].tobytes()] or ["?"]
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
        killed += 1
names = set(os.listdir(os.path.dirname(path)))
left = names - {os.path.basename(path), os.path.basename(os.path.realpath(path))}
assert all(name.startswith(".chainrule-") and name.endswith(".tmp") for name in left), left
print(killed, *found)
"""


@pytest.mark.fault("F1")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("link", [False, True])
def test_f1_killed_before_or_after_each_system_call_of_a_save_the_old_or_the_new_file_is_whole(
    path: Path, tmp_path: Path, link: bool
) -> None:
    if link:
        (tmp_path / "link").symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "link" if link else path), str(Path(__file__).parents[1])],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    killed, *found = done.stdout.split()
    # scandir, open, chmod, at least three writes, fsync, close, replace, and the folder's open, fsync, close.
    assert int(killed) >= 2 * 12
    assert set(found) == {"old", "new"}
    # Old to the rename and new from there on, for each of the two ways to die.
    changes = [i for i in range(1, len(found)) if found[i - 1] != found[i]]
    assert (len(changes), found[0], found[-1]) == (3, "old", "new")


@pytest.mark.fault("F1")
def test_f1_the_bytes_are_on_the_disk_before_the_name_and_the_folder_after(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noting_fsync(handle: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        fsync(handle)

    def noting_replace(*args: Any) -> None:
        calls.append("rename")
        replace(*args)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(os, "replace", noting_replace)
    every_layer().save(path)
    assert calls == ["file", "rename", "folder"]


# --- F2: a disk that refuses ---


@pytest.mark.fault("F2")
@pytest.mark.parametrize("call", ["write", "fsync", "replace", "open"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_f2_a_refusing_disk_is_an_os_error_and_the_old_file_stays(
    path: Path, call: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    every_layer().save(path)
    before = path.read_bytes()

    def refuses(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, call, refuses)
        with pytest.raises(OSError, match=os.strerror(number)) as caught:
            every_layer(np.float32).save(path)
    assert (caught.value.errno, caught.value.filename) == (number, str(path))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE")
def test_f2_a_real_limit_on_the_size_of_files_leaves_the_old_file(path: Path) -> None:
    code = f"""
import resource
from chainrule import TwoLayerNet
TwoLayerNet(6, 5, 4, seed=0).save({str(path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    TwoLayerNet(60, 50, 4, seed=0).save({str(path)!r})
except OSError as error:
    print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"{errno.EFBIG}\n", "")
    assert load(path).params["W1"].shape == (6, 5)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.fault("F2")
@pytest.mark.skipif(os.name == "nt", reason="folders are not synced to disk there")
def test_f2_a_folder_that_cannot_be_brought_to_the_disk_is_a_warning(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def refuses(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", refuses)
    with pytest.warns(RuntimeWarning, match="could not be synced to disk"):
        every_layer().save(path)
    assert bits(load(path)) == bits(every_layer())


def test_an_interruption_while_writing_leaves_the_old_file_and_no_other(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        every_layer().save(path)
    assert os.listdir(path.parent) == []


def test_a_folder_that_is_not_there_is_an_error_with_the_path(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"missing.net"):
        every_layer().save(path.parent / "missing" / "net")


# --- F3: what a killed process left ---


def dead() -> int:
    """Give the number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.fault("F3")
@pytest.mark.skipif(os.name == "nt", reason="asks for processes by number")
def test_f3_old_leftovers_of_dead_processes_are_swept_and_nothing_else(path: Path, tmp_path: Path) -> None:
    old = time.time() - 3700
    names = {
        f".chainrule-{dead()}-0123abcd.tmp": old,  # goes
        f".chainrule-{dead()}-0123abce.tmp": time.time(),  # may be another machine's
        f".chainrule-{os.getpid()}-0123abcd.tmp": old,  # alive
        f".chainrule-{10**30}-0123abcd.tmp": old,  # goes: no process has such a number
        ".chainrule-x-0123abcd.tmp": old,
        f".chainrule-{dead()}-0123abcd.tmp.mine": old,
    }
    for name, age in names.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (age, age))
    every_layer().save(path)
    kept = [name for name, stays in zip(names, [0, 1, 1, 0, 1, 1], strict=True) if stays]
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, path.name])


# --- F4, F5: links and modes ---


@pytest.mark.fault("F4")
def test_f4_through_a_link_its_target_is_replaced_where_it_is(path: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target = tmp_path / "there" / "net"
    every_layer().save(target)
    path.symlink_to(Path("there", "net"))
    every_layer(np.float32).save(path)
    assert path.is_symlink()
    assert load(target).params["W1"].dtype == np.float32
    assert os.listdir(tmp_path / "there") == ["net"]


@pytest.mark.fault("F4")
def test_f4_a_link_that_leads_nowhere_gets_its_target(path: Path, tmp_path: Path) -> None:
    path.symlink_to("target")
    every_layer().save(path)
    assert path.is_symlink()
    assert not (tmp_path / "target").is_symlink()
    load(tmp_path / "target")


@pytest.mark.fault("F4")
def test_f4_links_in_a_circle_are_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to("other")
    (tmp_path / "other").symlink_to(path.name)
    with pytest.raises(OSError, match=r"net.safetensors") as caught:
        every_layer().save(path)
    assert caught.value.errno == errno.ELOOP
    assert sorted(os.listdir(tmp_path)) == sorted([path.name, "other"])


@pytest.mark.skipif(os.name == "nt", reason="has no pipes among the files")
def test_f4_a_folder_or_a_pipe_is_not_replaced(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        every_layer().save(path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file"):
        every_layer().save(path)
    with pytest.raises(DataError, match="not a regular file"):
        load(path)


@pytest.mark.fault("F5")
@pytest.mark.skipif(os.name == "nt", reason="modes are not those of POSIX")
def test_f5_a_new_file_has_the_mode_of_the_umask_and_an_old_one_keeps_its_own(path: Path) -> None:
    umask = os.umask(0o022)
    try:
        every_layer().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        path.chmod(0o600)
        every_layer().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        os.umask(0o077)
        path.unlink()
        every_layer().save(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(umask)


# --- F6: files that are not whole, or not right ---


def assert_refused(path: Path, match: str) -> None:
    """Loading raises a DataError that names the file, and a network to be filled stays as it was."""
    net = TwoLayerNet(3, 2, 4, seed=1)
    before = bits(net)
    for into in (None, net):
        with pytest.raises(DataError, match=match) as caught:
            load(path, into=into)
        assert str(path) in str(caught.value)
    assert bits(net) == before


@pytest.mark.fault("F6")
def test_f6_a_file_cut_short_anywhere_is_refused(path: Path) -> None:
    TwoLayerNet(3, 2, 4, seed=0).save(path)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert_refused(path, r"at byte \d+: ")


@pytest.mark.fault("F6")
def test_f6_a_byte_too_many_is_refused(path: Path) -> None:
    TwoLayerNet(3, 2, 4, seed=0).save(path)
    path.write_bytes(path.read_bytes() + b"\0")
    assert_refused(path, r"at byte \d+: the tensors of the header do not make up")


W1 = {"dtype": "F64", "shape": [1, 2], "data_offsets": [0, 16]}
HUGE = 2**62


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    ("header", "data", "match"),
    [
        (b"", b"", "at byte 8: the header is not as it should be"),
        (b"\xff{}", b"", "at byte 8: the header is not UTF-8"),
        (b'{"a": ', b"", r"at byte 1\d: the header is not as it should be"),
        (b"[" * 100_000, b"", "at byte 8: the header is not as it should be"),
        ([1, 2], b"", "at byte"),
        ({"W1": W1, "b1": {**W1, "data_offsets": [8, 24]}}, bytes(24), "overlaps another, or there is a hole"),
        ({"W1": W1, "b1": {**W1, "data_offsets": [24, 40]}}, bytes(40), "overlaps another, or there is a hole"),
        ({"W1": {**W1, "data_offsets": [16, 0]}}, b"", "overlaps"),
        ({"W1": {**W1, "shape": [3]}}, bytes(16), "shape does not fit"),
        ({"W1": {**W1, "shape": [HUGE, HUGE]}}, bytes(16), "overflow"),
        ({"W1": {**W1, "shape": [HUGE // 64], "data_offsets": [0, HUGE // 8]}}, b"", "do not make up the 0 bytes"),
        ({"W1": {**W1, "shape": [0, HUGE, 3], "data_offsets": [0, 0]}}, b"", "a shape that no array can have"),
        ({"W1": {**W1, "shape": [1] * 65, "data_offsets": [0, 8]}}, bytes(8), "a shape that no array can have"),
        ({"W1": {**W1, "shape": [float("nan")]}}, bytes(16), "at byte"),
        ({"W1": {**W1, "shape": [-2]}}, bytes(16), "at byte"),
        ({"W1": {**W1, "dtype": "F17"}}, bytes(16), "at byte"),
        (
            {"W1": {**W1, "dtype": "BOOL", "shape": [16]}},
            bytes(16),
            "has dtype BOOL, not one of BF16, F16, F32, F64, I64",
        ),
        ({"W1": {**W1, "dtype": "I64"}}, bytes(16), "parameter 'W1' has dtype int64"),
        ({"__metadata__": {"chainrule": 3}}, b"", "at byte"),
        ({"__metadata__": {"chainrule": "{"}}, b"", "its metadata 'chainrule' is not what chainrule writes"),
        ({"__metadata__": {"chainrule": "[" * 100_000}}, b"", "its metadata 'chainrule' is not what chainrule writes"),
        ({"__metadata__": {"chainrule": "1" * 10_000}}, b"", "its metadata 'chainrule' is not what chainrule writes"),
    ],
)
def test_f6_a_wrong_header_is_refused_with_its_place(path: Path, header: Any, data: bytes, match: str) -> None:
    assert_refused(write(path, header, data), match)


@pytest.mark.fault("F6")
def test_f6_a_header_over_one_mebibyte_is_refused_before_it_is_read(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 2**20 + 1) + b"{" + bytes(100))
    assert_refused(path, "at byte 0: the header is said to have 1048577 bytes, more than 1048576")
    path.write_bytes(struct.pack("<Q", 2**64 - 1) + b"{" + bytes(100))
    assert_refused(path, "at byte 0: ")


def test_f6_a_header_over_one_mebibyte_is_not_written(path: Path) -> None:
    net = every_layer()
    net.metadata["note"] = "x" * 2**20
    with pytest.raises(ValueError, match="more than 1048576"):
        net.save(path)
    assert not path.exists()


def described(path: Path, **changes: Any) -> Path:
    """Write a saved network again, with changes to its description."""
    TwoLayerNet(3, 2, 4, seed=0).save(path)
    header, data = parse(path)
    said = json.loads(header["__metadata__"]["chainrule"]) | changes
    header["__metadata__"]["chainrule"] = json.dumps(said)
    return write(path, header, data)


A1 = {"name": "A1", "kind": "Affine", "W": "W1", "b": "b1"}
A2 = {"name": "A2", "kind": "Affine", "W": "W2", "b": "b2"}


@pytest.mark.fault("F6")
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"layers": [{**A1, "kind": "os.system"}, A2]}, "is invalid: KeyError: 'os.system'"),
        ({"layers": [{**A1, "W": "W9"}, A2]}, "is invalid"),
        ({"layers": [{**A1, "W": 3}, A2]}, "is invalid"),
        ({"layers": [{**A1, "W": "b1"}, A2]}, "is invalid: ValueError: W must have shape"),
        ({"layers": [{**A1, "b": "b2"}, A2]}, "is invalid: ValueError: b must have shape"),
        ({"layers": [A1]}, "holds the parameters 'W1', 'b1', 'W2', 'b2', its layers have 'W1', 'b1'"),
        ({"layers": [A2, A1]}, r"'A1' does not fit the output of .*: W expects 3 features, got .* \(4,\)"),
        ({"layers": [A1, {"name": "L", "kind": "LeakyRelu", "slope": -1}, A2]}, "slope must be > 0"),
        ({"layers": [A1, {"name": "L", "kind": "Rescaling", "scale": float("nan")}, A2]}, "scale must be finite"),
        ({"layers": [A1, {"name": "L", "kind": "LeakyRelu"}, A2]}, "is invalid"),
        ({"network": {"kind": "Unpickler"}}, "is invalid"),
        ({"layers": 3}, "is not what chainrule writes"),
        ({"layers": [3]}, "is not what chainrule writes"),
        ({"layers": [{**A1, "name": 3}]}, "is not what chainrule writes"),
        ({"loss": None}, "is not what chainrule writes"),
        ({"format": "1"}, "is not what chainrule writes"),
        ({"format": 0}, "is not what chainrule writes"),
        ({"run": 3}, "is not what chainrule writes"),
        ({"params": ["W1", "W9"]}, "is not what chainrule writes"),
        ({"params": ["W1", "b1", "W2"]}, "tensor 'b2' is not in the description"),
    ],
)
def test_f6_a_description_that_does_not_hold_together_is_refused(path: Path, changes: Any, match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        load(described(path, **changes))
    assert str(path) in str(caught.value)


@pytest.mark.fault("F6")
def test_f6_another_networks_names_or_shapes_are_refused_and_nothing_changed(path: Path) -> None:
    TwoLayerNet(6, 5, 4, seed=0).save(path)
    wider, deeper = TwoLayerNet(6, 5, 3, seed=1), every_layer()
    before = bits(wider), bits(deeper)
    with pytest.raises(DataError, match=r"its 'W2' has shape \(5, 4\), the network's \(5, 3\)"):
        load(path, into=wider)
    del deeper.layers["B"]
    with pytest.raises(DataError, match="it holds the parameters 'W1', 'b1', 'W2', 'b2', the network has"):
        load(path, into=Network(deeper.layers))
    assert (bits(wider), bits(deeper)) == before


def test_f6_a_read_only_parameter_is_named_and_nothing_changed(path: Path) -> None:
    TwoLayerNet(6, 5, 4, seed=0).save(path)
    net = TwoLayerNet(6, 5, 4, seed=1)
    net.params["b2"].flags.writeable = False
    before = bits(net)
    with pytest.raises(ValueError, match=r"params\['b2'\] is read-only"):
        load(path, into=net)
    assert bits(net) == before


@pytest.mark.fault("F6")
@settings(max_examples=300)
@given(st.data())
def test_f6_a_saved_file_with_any_bytes_changed_loads_or_is_a_data_error(data: st.DataObject) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder, "net")
        TwoLayerNet(2, 2, 2, seed=0).save(path)
        content = bytearray(path.read_bytes())
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)))):
            content[at] = byte
        path.write_bytes(content)
        with suppress(DataError):
            load(path)


@pytest.mark.fault("F6")
@given(st.binary())
def test_f6_any_bytes_are_refused(content: bytes) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder, "net")
        path.write_bytes(content)
        with pytest.raises(DataError):
            load(path)


# --- F7: versions ---


#: What chainrule wrote when its format was 1.
FORMAT_1 = (
    '{"format": 1, "version": "0.1.0", "params": ["W1", "b1", "W2", "b2"], "network": {"kind": "Network"}, "layers":'
    ' [{"name": "Scale", "kind": "Rescaling", "scale": 0.5}, {"name": "Affine1", "kind": "Affine", "W": "W1", "b":'
    ' "b1"}, {"name": "Relu1", "kind": "Relu"}, {"name": "Affine2", "kind": "Affine", "W": "W2", "b": "b2"}],'
    ' "loss": {"kind": "IdentityWithLoss"}, "parameters": 2}'
)
TENSORS_1 = {
    "W1": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
    "W2": {"dtype": "F32", "shape": [2, 1], "data_offsets": [16, 24]},
    "b1": {"dtype": "F32", "shape": [2], "data_offsets": [24, 32]},
    "b2": {"dtype": "F32", "shape": [1], "data_offsets": [32, 36]},
}


def test_f7_a_file_of_format_1_loads(path: Path) -> None:
    numbers = [1, -2, 0.5, 0.25, 3, 4, 0, 1, -1]  # W1, W2, b1, b2
    header = {"__metadata__": {"chainrule": FORMAT_1, "note": "old"}, **TENSORS_1}
    net = load(write(path, header, struct.pack("<9f", *numbers)))
    assert (type(net), net.metadata, net.weight_decay_lambda) == (Network, {"note": "old"}, 0)
    # Halved, (1, 2); times W1 and b1 to it, (2, -0.5); relu, (2, 0); times W2 and b2 to it, 5.
    assert net.predict([[2.0, 4.0]]).tolist() == [[5.0]]
    net.save(path)
    assert json.loads(parse(path)[0]["__metadata__"]["chainrule"])["format"] == FORMAT
    assert load(path).predict([[2.0, 4.0]]).tolist() == [[5.0]]


@pytest.mark.fault("F7")
def test_f7_a_newer_format_is_refused_with_both_numbers(path: Path) -> None:
    described(path, format=FORMAT + 2)
    assert_refused(path, f"written by format {FORMAT + 2}, this is {FORMAT}")


@pytest.mark.fault("F7")
def test_f7_unknown_metadata_keys_are_kept(path: Path) -> None:
    TwoLayerNet(3, 2, 4, seed=0).save(path)
    header, data = parse(path)
    header["__metadata__"]["from the future"] = "kept"
    net = load(write(path, header, data))
    net.save(path)
    assert parse(path)[0]["__metadata__"]["from the future"] == "kept"
    load(described(path, from_the_future=3))


# --- F8: other kinds of files ---


@pytest.mark.fault("F8")
@pytest.mark.parametrize("protocol", range(6))
def test_f8_a_pickle_is_refused_with_the_name_of_what_reads_the_books(path: Path, protocol: int) -> None:
    import pickle

    path.write_bytes(pickle.dumps({"W1": np.zeros((3, 2))}, protocol))
    assert_refused(path, r"a pickle, .*; read_book_weights\(path\) reads")


@pytest.mark.fault("F8")
def test_f8_a_pickle_that_would_run_code_runs_none(path: Path, tmp_path: Path) -> None:
    path.write_bytes(f"cos\nsystem\n(S'touch {tmp_path}/ran'\ntR.".encode())
    assert_refused(path, "at byte")
    assert not (tmp_path / "ran").exists()


@pytest.mark.fault("F8")
@pytest.mark.parametrize("kind", ["npy", "object npy", "npz", "hdf5", "gzip"])
def test_f8_another_kind_of_file_is_refused_by_its_name(path: Path, kind: str) -> None:
    import gzip

    with open(path, "wb") as file:
        if kind == "npz":
            np.savez(file, W1=np.zeros(3))
        elif kind.endswith("npy"):
            np.save(file, np.zeros(3) if kind == "npy" else np.array([{}], dtype=object), allow_pickle=True)
        else:
            file.write({"hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100), "gzip": gzip.compress(b"x")}[kind])
    text = {"npz": "zip archive", "hdf5": "HDF5", "gzip": "gzip"}.get(kind, r"numpy\.load\(path, allow_pickle=False\)")
    assert_refused(path, f"at byte 0: .*{text}")


@pytest.mark.parametrize("bad", [3, "net", TwoLayerNet])
def test_what_is_no_network_cannot_be_filled(path: Path, bad: Any) -> None:
    every_layer().save(path)
    with pytest.raises(TypeError, match="net must be a Network"):
        load(path, into=bad)


# --- halves, which other programs write ---


@pytest.mark.parametrize(("word", "dtype"), [("F16", np.float16), ("BF16", ml_dtypes.bfloat16)])
def test_every_half_is_read_as_the_float32_that_it_is(path: Path, word: str, dtype: Any) -> None:
    every = np.arange(2**16, dtype=np.uint16).view(dtype)  # nan and infinities among them
    with np.errstate(invalid="ignore"):
        wanted = every.astype(np.float32)
    header = {"W1": {"dtype": word, "shape": [1, 2**16], "data_offsets": [0, 2**17]}}
    header["b1"] = {"dtype": word, "shape": [2**16], "data_offsets": [2**17, 2**18]}
    write(path, header, every.tobytes() * 2)
    net = Network({"Affine1": Affine(np.zeros((1, 2**16), np.float32), np.zeros(2**16, np.float32))})
    load(path, into=net)
    for array in (net.params["W1"][0], net.params["b1"]):
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, wanted)
        assert (np.signbit(array) == np.signbit(wanted)).all()


def test_a_network_whose_numbers_were_halved_is_made_in_float32(path: Path) -> None:
    net = TwoLayerNet(3, 2, 4, dtype=np.float32, seed=0)
    net.save(path)
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    numbers = np.frombuffer(content[end:], "<f4")
    for name, told in header.items():
        if name != "__metadata__":
            told["dtype"] = "F16"
            told["data_offsets"] = [place // 2 for place in told["data_offsets"]]
    write(path, header, numbers.astype("<f2").tobytes())
    again = load(path)
    assert type(again) is TwoLayerNet
    for name, array in again.params.items():
        np.testing.assert_array_equal(array, net.params[name].astype(np.float16).astype(np.float32))
