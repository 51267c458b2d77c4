"""The networks that ``chainrule train --net`` makes, and the default settings for training each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

from chainrule.cli.training_data import TrainingData
from chainrule.nn.convolutional_nets import DeepConvNet, SimpleConvNet
from chainrule.nn.layers import Dropout, Rescaling
from chainrule.nn.multi_layer_net import MultiLayerNetExtend
from chainrule.nn.network import Network
from chainrule.nn.two_layer_net import TwoLayerNet


class _Task(NamedTuple):
    """What a network is for: images of a shape (channels, height, width), and a number of classes."""

    image: tuple[int, int, int]
    classes: int
    dtype: np.dtype[Any]
    rng: np.random.Generator

    @property
    def pixels(self) -> int:
        return int(np.prod(self.image))


def _two_layer(task: _Task, wanted: Mapping[str, Any]) -> Network:
    return TwoLayerNet(task.pixels, wanted["hidden"], task.classes, dtype=task.dtype, seed=task.rng)


def _mlp(task: _Task, wanted: Mapping[str, Any]) -> Network:
    ratio = wanted["dropout"]
    return MultiLayerNetExtend(
        task.pixels,
        wanted["hidden"],
        task.classes,
        use_dropout=ratio is not None,
        dropout_ration=0.5 if ratio is None else ratio,
        use_batchnorm=bool(wanted["batch_norm"]),
        dtype=task.dtype,
        seed=task.rng,
    )


def _convnet(task: _Task, wanted: Mapping[str, Any]) -> Network:
    return SimpleConvNet(
        task.image,
        hidden_size=wanted["hidden"],
        output_size=task.classes,
        weight_init_std="he",
        dtype=task.dtype,
        seed=task.rng,
    )


def _deep(task: _Task, wanted: Mapping[str, Any]) -> Network:
    net = DeepConvNet(
        task.image, hidden_size=wanted["hidden"], output_size=task.classes, dtype=task.dtype, seed=task.rng
    )
    for layer in net.layers.values():
        if isinstance(layer, Dropout):
            layer.dropout_ratio = Dropout(wanted["dropout"]).dropout_ratio  # which has checked it
    return net


class Net(NamedTuple):
    """A choice of ``--net``.

    Attributes
    ----------
    make : callable
        Returns the network, without the layer that turns bytes into fractions.
    defaults : dict
        Settings that differ from the common ones.
    takes : tuple of str
        Settings that only some nets have.
    layers : bool
        Whether it may have any number of hidden layers.
    least : int
        The least number of classes, whatever the labels of the digits are.
    images : bool
        Whether it needs pictures and cannot take rows of any numbers.
    check : str
        How a report compares gradients: entry by entry takes minutes if each loss is that of a deep network.
    """

    make: Callable[[_Task, Mapping[str, Any]], Network]
    defaults: dict[str, Any]
    takes: tuple[str, ...] = ()
    layers: bool = False
    least: int = 1
    images: bool = False
    check: Literal["auto", "directions"] = "auto"


#: The first is the tutorial's. The rate, batch and smoothing of convnet, and the rate and epochs of mlp, were the best
#: of a few on a held-out tenth of MNIST's training images; deep has Adam's own rate. The epochs of the last two are a
#: guess at how long users will wait. The test images played no part in any choice.
NETS = {
    "two-layer": Net(_two_layer, {"iterations": 10_000, "hidden": 50, "optimizer": "sgd"}, least=10),
    "mlp": Net(_mlp, {"epochs": 10, "hidden": [100, 50], "optimizer": "adam"}, ("dropout", "batch_norm"), layers=True),
    "convnet": Net(
        _convnet,
        {
            "epochs": 5,
            "hidden": 100,
            "label_smoothing": 0.1,
            "batch_size": 50,
            "optimizer": "adam",
            "learning_rate": 0.003,
        },
        images=True,
        check="directions",
    ),
    "deep": Net(
        _deep,
        {"epochs": 5, "hidden": 50, "dropout": 0.5, "optimizer": "adam"},
        ("dropout",),
        images=True,
        check="directions",
    ),
}


def hidden_of(net: str, hidden: int | list[int]) -> int | list[int]:
    """Give the value of ``--hidden``: a list for nets that take one, else a number; refuse a list elsewhere."""
    if NETS[net].layers:
        return hidden if isinstance(hidden, list) else [hidden]
    if isinstance(hidden, list):
        several = " or ".join(name for name, kind in NETS.items() if kind.layers)
        given = ",".join(map(str, hidden))
        raise ValueError(
            f"--hidden {given}: {net} has one hidden layer, so it takes one number; several: --net {several}"
        )
    return hidden


def expect_taken(net: str, wanted: Mapping[str, Any]) -> None:
    """Refuse settings that this net does not have."""
    for name in ("dropout", "batch_norm"):
        if wanted[name] is not None and name not in NETS[net].takes:
            others = " or ".join(other for other, kind in NETS.items() if name in kind.takes)
            raise ValueError(f"--{name.replace('_', '-')} goes with --net {others}; {net} has no such layer")


def made(wanted: Mapping[str, Any], data: TrainingData, rng: np.random.Generator) -> Network:
    """Make the network that the settings ask for; its first layer turns bytes into fractions."""
    kind = NETS[wanted["net"]]
    if kind.images and data.image[1] == 1:
        others = " or ".join(name for name, other in NETS.items() if not other.images)
        raise ValueError(f"--net {wanted['net']} is for pictures; for the rows of a table: --net {others}")
    outputs = max(data.outputs, 0 if data.own else kind.least)
    net = kind.make(_Task(data.image, outputs, np.dtype(wanted["dtype"]), rng), wanted)
    first = {"Rescaling1": Rescaling()} if data.x.dtype == np.uint8 else {}
    net = Network({**first, **net.layers}, data.loss())
    net.metadata.update(data.metadata)
    return net
