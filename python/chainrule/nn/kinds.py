"""The kinds of layers, losses and optimizers there are: one row each, in one list.

What has a row is known everywhere: Rust runs it, a file names it, the command line and scikit-learn's estimators offer
it. What has none is somebody's own, and runs by its own methods.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from chainrule.nn.layers import Affine, Identity, LeakyRelu, Relu, Rescaling, Sigmoid, Tanh
from chainrule.nn.losses import IdentityWithLoss, SigmoidWithLoss, SoftmaxWithLoss
from chainrule.training.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop


class Kind(NamedTuple):
    """A class, and what is to be known of it elsewhere.

    Attributes
    ----------
    of : type
        The class; its own name is that in files and, in small letters, on the command line.
    rust : str
        Its name in Rust.
    methods : tuple of str
        What Rust does in their place: an object that has others is somebody's own.
    parameters, numbers : tuple of str
        Attributes that hold arrays, and numbers: what its constructor takes, by their names.
    word : str
        What scikit-learn calls it.
    """

    of: type[Any]
    rust: str
    methods: tuple[str, ...]
    parameters: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    word: str = ""


_BOTH_WAYS = ("forward", "backward")
_STEPS = ("step", "update")


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
    """Give the classes by their names."""
    return {kind.__name__: kind for kind in kinds}
