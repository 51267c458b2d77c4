"""The list of layers, losses and optimizers of this package, one row each.

A class with a row is known everywhere: Rust runs it, files name it, and the command line and scikit-learn's estimators
offer it. A class without a row is a user's own, and runs by its own methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

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
from chainrule.nn.losses import IdentityWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from chainrule.training.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop


class Kind(NamedTuple):
    """A class, and what the rest of the package needs to know about it.

    Attributes
    ----------
    of : type
        The class. Files use its name; so does the command line, in lower case.
    rust : str
        Its name in Rust; empty if Rust has nothing to do for it.
    methods : tuple of str
        The methods that Rust stands in for. An object whose methods differ is a user's own.
    parameters, statistics, numbers : tuple of str
        The attributes that hold learned arrays, arrays that follow the data, and numbers or lists of numbers. The
        constructor takes them under these names.
    trains_otherwise : bool
        Whether ``forward`` has a second argument `train_flg`, and behaves differently in training and in evaluation.
    word : str
        Its name in scikit-learn.
    """

    of: type[Any]
    rust: str
    methods: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    trains_otherwise: bool = False
    word: str = ""


_BOTH_WAYS = ("forward", "backward")
_STEPS = ("step", "update")
_WINDOW = ("pool_h", "pool_w", "stride", "pad")


def _by_class(*kinds: Kind) -> dict[type[Any], Kind]:
    return {kind.of: kind for kind in kinds}


LAYERS = _by_class(
    Kind(Affine, "affine", _BOTH_WAYS, parameters=("W", "b")),
    Kind(Identity, "scale", _BOTH_WAYS, word="identity"),  # by 1
    Kind(Sigmoid, "sigmoid", _BOTH_WAYS, word="logistic"),
    Kind(Tanh, "tanh", _BOTH_WAYS, word="tanh"),
    Kind(Relu, "relu", _BOTH_WAYS, word="relu"),
    Kind(LeakyRelu, "leaky_relu", _BOTH_WAYS, numbers=("slope",)),
    Kind(Rescaling, "scale", _BOTH_WAYS, numbers=("scale",)),
    Kind(Convolution, Convolution.kernel, _BOTH_WAYS, parameters=Convolution.learnt, numbers=("stride", "pad")),
    Kind(Pooling, Pooling.kernel, _BOTH_WAYS, numbers=_WINDOW),
    Kind(AveragePooling, AveragePooling.kernel, _BOTH_WAYS, numbers=_WINDOW),
    Kind(
        BatchNormalization,
        BatchNormalization.kernel,
        _BOTH_WAYS,
        parameters=BatchNormalization.learnt,
        statistics=BatchNormalization.statistics,
        numbers=("momentum",),
        trains_otherwise=True,
    ),
    Kind(LayerNormalization, LayerNormalization.kernel, _BOTH_WAYS, parameters=LayerNormalization.learnt),
    Kind(Dropout, "dropout", _BOTH_WAYS, numbers=("dropout_ratio",), trains_otherwise=True),
    Kind(Reshape, "", _BOTH_WAYS, numbers=("shape",)),
    Kind(Flatten, "", _BOTH_WAYS),
)

LOSSES = _by_class(
    Kind(SoftmaxWithLoss, SoftmaxWithLoss.name, _BOTH_WAYS),
    Kind(SigmoidWithLoss, SigmoidWithLoss.name, _BOTH_WAYS),
    Kind(IdentityWithLoss, IdentityWithLoss.name, _BOTH_WAYS),
)

OPTIMIZERS = _by_class(
    Kind(SGD, "sgd", _STEPS),
    Kind(Momentum, "momentum", _STEPS, numbers=("momentum",)),
    Kind(Nesterov, "nesterov", _STEPS, numbers=("momentum",)),
    Kind(AdaGrad, "adagrad", _STEPS),
    Kind(RMSprop, "rmsprop", _STEPS, numbers=("decay_rate",)),
    Kind(Adam, "adam", _STEPS, numbers=("beta1", "beta2")),
)


def by_name(kinds: Iterable[type[Any]]) -> dict[str, type[Any]]:
    """Give the classes by name."""
    return {kind.__name__: kind for kind in kinds}
