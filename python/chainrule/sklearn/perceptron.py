"""What `MLPClassifier` and `MLPRegressor` share: hidden layers in a row, and scikit-learn's rules of descent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from chainrule._gate import FloatArray, flag, real
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine
from chainrule.sklearn.base import Estimator, sizes
from chainrule.training.optimizers import Adam, Momentum, Nesterov, Optimizer

_ACTIVATIONS = {kind.word: kind.of for kind in LAYERS.values() if kind.word}
_CHOICES = {
    "activation": tuple(_ACTIVATIONS),
    "solver": ("adam", "sgd"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
}
#: "adaptive" makes no rate smaller that is not above it.
_LEAST_RATE = 1e-6


class Perceptron(Estimator):
    """A multi-layer perceptron as an estimator; use `MLPClassifier` or `MLPRegressor`."""

    _shaped_by = "hidden_layer_sizes or activation"

    def __init__(
        self,
        hidden_layer_sizes: int | Iterable[int] = (100,),
        activation: Literal["identity", "logistic", "tanh", "relu"] = "relu",
        *,
        solver: Literal["adam", "sgd"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        n_iter_no_change: int = 10,
    ) -> None:
        # scikit-learn clones by these attributes, so they hold what was given; `fit` looks whether it can be meant.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.n_iter_no_change = n_iter_no_change

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, shape (inputs, units): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("W")]

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, shape (units,): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("b")]

    def _check_parameters(self) -> None:
        """Raise if a parameter cannot be meant; the momentum and the betas are looked at by their optimizer."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {getattr(self, name)!r}")
        super()._check_parameters()
        if real(self.power_t, "power_t") < 0:
            raise ValueError(f"power_t must be >= 0, got {self.power_t!r}")
        flag(self.nesterovs_momentum, "nesterovs_momentum")

    def _architecture(self) -> tuple[str, tuple[int, ...]]:
        """Give the activation and the widths from the input to the output."""
        widths = sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return self.activation, (self.n_features_in_, *widths, self.n_outputs_)

    def _layers(self, dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
        activation, widths = self._architecture()
        self.n_layers_ = len(widths)
        return _layers(activation, widths, dtype, random)

    def _new_rule(self) -> Optimizer:
        if self.solver == "adam":
            return Adam(self.learning_rate_init, self.beta_1, self.beta_2)
        return (Nesterov if self.nesterovs_momentum else Momentum)(self.learning_rate_init, self.momentum)

    def _after_epoch(self, rule: Optimizer, seen: int, stale: bool) -> bool:
        rate = self.learning_rate if self.solver == "sgd" else "constant"
        if rate == "invscaling":
            rule.lr = self.learning_rate_init / (seen + 1) ** self.power_t
        if stale and rate == "adaptive" and rule.lr > _LEAST_RATE:
            rule.lr /= 5
            return True
        return False


def _layers(activation: str, widths: Sequence[int], dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
    """Make layers with weights and biases drawn from `random`."""
    kind = _ACTIVATIONS[activation]
    layers: dict[str, Any] = {}
    for i, (inputs, units) in enumerate(pairwise(widths), start=1):
        bound = np.sqrt((2 if activation == "logistic" else 6) / (inputs + units))
        W, b = random.uniform(-bound, bound, (inputs, units)), random.uniform(-bound, bound, units)
        layers |= {f"Affine{i}": Affine(W.astype(dtype), b.astype(dtype)), f"{kind.__name__}{i}": kind()}
    layers.popitem()  # the loss takes the last scores as they are
    return layers
