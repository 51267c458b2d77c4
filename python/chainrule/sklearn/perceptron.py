"""What `MLPClassifier` and `MLPRegressor` share: a stack of hidden layers, and scikit-learn's optimizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, count, fill, fitting, flag, positive, real
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine
from chainrule.sklearn.base import Estimator, dense, sizes
from chainrule.sklearn.lbfgs import descend
from chainrule.training.optimizers import Adam, Momentum, Nesterov, Optimizer

_ACTIVATIONS = {kind.word: kind.of for kind in LAYERS.values() if kind.word}
_CHOICES = {
    "activation": tuple(_ACTIVATIONS),
    "solver": ("adam", "sgd", "lbfgs"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
}
#: "adaptive" reduces the rate only while it is above this.
_LEAST_RATE = 1e-6
#: The only epsilon in Adam's denominator that Rust knows.
_EPSILON = 1e-7


class Perceptron(Estimator):
    """A multi-layer perceptron as an estimator; use `MLPClassifier` or `MLPRegressor`."""

    _shaped_by = "hidden_layer_sizes or activation"
    #: Weights that were set before there is a network, by name.
    _begun: Any = None

    def __init__(
        self,
        hidden_layer_sizes: int | Iterable[int] = (100,),
        activation: Literal["identity", "logistic", "tanh", "relu"] = "relu",
        *,
        solver: Literal["adam", "sgd", "lbfgs"] = "adam",
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate: Literal["constant", "invscaling", "adaptive"] = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = _EPSILON,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        # scikit-learn clones by these attributes, so they hold the arguments as given; `fit` checks them.
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
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
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, shape (inputs, units): the arrays that `network_` holds.

        Arrays that are assigned are copied into them. Arrays assigned before there is a network are its initial values,
        for `partial_fit` and `warm_start`.
        """
        return self._held("coefs_", "W")

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._hold("coefs_", arrays)

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, shape (units,); they work as `coefs_` does."""
        return self._held("intercepts_", "b")

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._hold("intercepts_", arrays)

    def _held(self, name: str, letter: str) -> list[FloatArray]:
        """Give the arrays of the network; without a network, its initial values."""
        if "network_" in vars(self):
            return _Arrays(array for key, array in self.network_.params.items() if key.startswith(letter))
        if name not in (self._begun or ()):
            raise AttributeError(f"there is no {name} before any fit")
        given: list[FloatArray] = self._begun[name]
        return given

    def _hold(self, name: str, arrays: Any) -> None:
        if "network_" not in vars(self):
            self._begun = {**(self._begun or {}), name: arrays}
        else:
            _copy_into(getattr(self, name), arrays, name)

    def _make_network(self, X: FloatArray, random: Any, *, begun: bool) -> None:
        super()._make_network(X, random, begun=begun)
        given, self._begun = self._begun or {}, None
        for name, arrays in given.items() if begun else ():
            _copy_into(getattr(self, name), arrays, name)

    def _check_parameters(self) -> None:
        """Raise if a parameter is not valid; the optimizer checks the momentum and the betas."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {getattr(self, name)!r}")
        super()._check_parameters()
        if real(self.power_t, "power_t") < 0:
            raise ValueError(f"power_t must be >= 0, got {self.power_t!r}")
        for name in ("nesterovs_momentum", "shuffle"):
            flag(getattr(self, name), name)
        positive(self.epsilon, "epsilon")
        count(self.max_fun, "max_fun")

    def _architecture(self) -> Any:
        """Give the activation and the widths from the input to the output."""
        widths = sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return self.activation, (self.n_features_in_, *widths, self.n_outputs_)

    def _layers(self, dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
        activation, widths, *_ = self._architecture()
        self.n_layers_ = len(widths)
        return _layers(activation, widths, dtype, random)

    def _new_rule(self) -> Optimizer:
        if self.solver == "adam":
            adam = Adam(self.learning_rate_init, self.beta_1, self.beta_2)
            return adam if self.epsilon == _EPSILON else _Adam(adam, self.epsilon)
        return (Nesterov if self.nesterovs_momentum else Momentum)(self.learning_rate_init, self.momentum)

    def _after_epoch(self, rule: Optimizer, stale: bool) -> bool:
        rate = self.learning_rate if self.solver == "sgd" else "constant"
        if rate == "invscaling":
            rule.lr = self.learning_rate_init / (self.t_ + 1) ** self.power_t
        if stale and rate == "adaptive" and rule.lr > _LEAST_RATE:
            rule.lr /= 5
            return True
        return False

    def _learn(self, X: FloatArray, t: NDArray[Any], weight: Any, random: Any) -> str | None:
        if self.solver != "lbfgs":
            return super()._learn(X, t, weight, random)
        X = dense(X)  # its steps use all rows
        total = float(len(X) if weight is None else np.sum(weight))
        losses: list[float] = []

        def after_step(loss: float) -> None:
            losses.append(self._reported(loss))
            if self.verbose:
                print(f"Iteration {len(losses)}, loss = {losses[-1]:.8f}")

        t, weight = self._as_loss_takes(t, None if weight is None else weight * (len(X) / total))
        how = {"gtol": self.tol, "maxiter": self.max_iter, "maxfun": self.max_fun}
        try:
            loss, left = descend(self.network_, X, t, weight, self.alpha / total, how, after_step)
        except FloatingPointError as error:
            raise self._not_finite(str(error)) from None
        self.loss_curve_, self.n_iter_ = [*self.loss_curve_, *losses], len(losses)
        self.loss_ = self._reported(loss)
        self.best_loss_ = min(self.loss_curve_, default=self.loss_)
        self.validation_scores_ = self.best_validation_score_ = None
        self._rule = None
        return left


class _Adam(Adam):
    """`Adam` with an epsilon other than Rust's: NumPy makes its steps."""

    def __init__(self, adam: Adam, epsilon: float) -> None:
        super().__init__(adam.lr, adam.beta1, adam.beta2)
        self.epsilon = epsilon

    def step(self, grad: Any, *kept: Any) -> Any:
        """Give the change that is added to a parameter."""
        super().step(grad, *kept)  # updates both means
        m, v = kept
        rate = self.lr * ((1 - self.beta2**self.iter) ** 0.5 / (1 - self.beta1**self.iter))
        return -(rate * m / (np.sqrt(v) + self.epsilon))


class _Arrays(list[FloatArray]):
    """The arrays of a network in a list; an assignment to a place copies into the array there."""

    def __setitem__(self, at: Any, values: Any) -> None:
        fill(self[at], values, f"the array at {at}")


def _copy_into(held: list[FloatArray], arrays: Any, name: str) -> None:
    """Copy arrays into those of a network; nothing is written if one does not fit."""
    if len(arrays) != len(held):
        raise ValueError(f"{name} must hold {len(held)} arrays, one a layer, got {len(arrays)}")
    fits = [fitting(mine, new, f"{name}[{i}]") for i, (mine, new) in enumerate(zip(held, arrays, strict=True))]
    for mine, new in zip(held, fits, strict=True):
        mine[...] = new


def _layers(activation: str, widths: Sequence[int], dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
    """Make layers with weights and biases drawn from `random`."""
    kind = _ACTIVATIONS[activation]
    layers: dict[str, Any] = {}
    for i, (inputs, units) in enumerate(pairwise(widths), start=1):
        bound = np.sqrt((2 if activation == "logistic" else 6) / (inputs + units))
        W, b = random.uniform(-bound, bound, (inputs, units)), random.uniform(-bound, bound, units)
        layers |= {f"Affine{i}": Affine(W.astype(dtype), b.astype(dtype)), f"{kind.__name__}{i}": kind()}
    layers.popitem()  # the loss takes the scores as they are
    return layers
