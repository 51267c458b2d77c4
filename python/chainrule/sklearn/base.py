"""What `MLPClassifier` and `MLPRegressor` share: all but what `y` is, what it is scored by, and what is predicted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise
from typing import Any, ClassVar, Literal, Self
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from chainrule._gate import FloatArray, count, flag, floats, positive, real
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine
from chainrule.nn.losses import Loss
from chainrule.nn.network import Network
from chainrule.training.fit import fit
from chainrule.training.optimizers import Adam, Momentum, Nesterov, Optimizer

_ACTIVATIONS = {kind.word: kind.of for kind in LAYERS.values() if kind.word}
_CHOICES = {
    "activation": tuple(_ACTIVATIONS),
    "solver": ("adam", "sgd"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
}
_DTYPES = (np.float64, np.float32)
#: "adaptive" makes no rate smaller that is not above it.
_LEAST_RATE = 1e-6


class Perceptron(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron as an estimator; use `MLPClassifier` or `MLPRegressor`."""

    _kind: ClassVar[str]
    #: What ends the network, and what scikit-learn calls the way it comes out.
    _loss: ClassVar[type[Loss]]
    _ends_with: ClassVar[str]
    #: What to scale if the loss explodes.
    _scalable: ClassVar[str] = "X"
    #: What `y` may be, in scikit-learn's words.
    _y_may: ClassVar[dict[str, bool]] = {}

    n_outputs_: int

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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new weights, or from those there are with `warm_start`.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite.
        y : array_like, shape (N,), or (N, K) for a regressor
            For a classifier a label for each row, of any kind that can be sorted; for a regressor finite numbers.
        sample_weight : array_like, shape (N,), optional
            What each row counts, >= 0. A row of weight 2 counts as two rows do, in the penalty too: exactly so if a
            batch holds all rows. A row of weight 0 is as if it were not there, but that a classifier has its label
            among `classes_`.

        Returns
        -------
        MLPClassifier or MLPRegressor
            This one.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class. The estimator is then as it was.

        Warns
        -----
        ConvergenceWarning
            If the training was still making progress when it ended.
        """
        with as_it_was_after_an_error(self):
            self._check_parameters()
            going_on = self.warm_start and hasattr(self, "network_")
            X, t, weight = self._data(X, y, sample_weight, new=not going_on)
            random = check_random_state(self.random_state)
            if not going_on:
                self._make_network(X, random)
            self._make_rule()
            held_out = None
            if self.early_stopping:
                kept, held = self._split(t, random)
                held_out = X[held], t[held], _some(weight, held)
                X, t, weight = X[kept], t[kept], _some(weight, kept)
            self._train(X, t, weight, self.max_iter, held_out)
        if self._stale <= self.n_iter_no_change:
            text = f"the training was still making progress when it ended, after max_iter={self.max_iter} epochs"
            warn(text, ConvergenceWarning, stacklevel=2)
        return self

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, shape (inputs, units): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("W")]

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, shape (units,): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("b")]

    # --- what differs ---

    def _meet(self, y: Any, new: bool, classes: Any) -> None:
        """Look at the `y` of a call: note what a new network is to answer, or raise if one there is cannot."""
        raise NotImplementedError

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give `y` as the loss of a network of this dtype takes it."""
        raise NotImplementedError

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        """Tell how well `net` answers, as ``score`` does: the more, the better."""
        raise NotImplementedError

    def _strata(self, t: NDArray[Any]) -> NDArray[Any] | None:
        """Give what is held out in the same shares of each, if anything is."""
        return None

    def _reported(self, loss: float) -> float:
        """Give `loss_` of what `fit` calls the loss."""
        return loss

    # --- what is the same ---

    def _scores(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        return self.network_.predict(validate_data(self, X, dtype=_DTYPES, reset=False))

    def _check_parameters(self) -> None:
        """Raise if a parameter cannot be meant; the momentum and the betas are looked at by their optimizer."""
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, known))}, got {getattr(self, name)!r}")
        for name in ("alpha", "power_t", "tol"):
            if real(getattr(self, name), name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)!r}")
        for name in ("warm_start", "nesterovs_momentum", "early_stopping"):
            flag(getattr(self, name), name)
        if not 0 < real(self.validation_fraction, "validation_fraction") < 1:
            raise ValueError(f"validation_fraction must lie between 0 and 1, got {self.validation_fraction!r}")
        positive(self.learning_rate_init, "learning_rate_init")
        count(self.max_iter, "max_iter")
        if self.n_iter_no_change != np.inf:
            count(self.n_iter_no_change, "n_iter_no_change")
        if self.batch_size != "auto":
            count(self.batch_size, "batch_size")

    def _goes_on_by_epochs(self) -> bool:
        """Tell whether `partial_fit` finds a network; raise if it is not to be called."""
        self._check_parameters()
        if self.early_stopping:
            raise ValueError(f"partial_fit holds nothing out; make the {self._kind} with early_stopping=False")
        return hasattr(self, "network_")

    def _epoch(self, X: Any, y: Any, sample_weight: Any, *, new: bool, classes: Any = None) -> None:
        """Train one epoch more."""
        X, t, weight = self._data(X, y, sample_weight, new=new, classes=classes)
        if new:
            self._make_network(X, check_random_state(self.random_state))
            self._make_rule()
        self._train(X, t, weight, 1)

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, new: bool, classes: Any = None
    ) -> tuple[FloatArray, NDArray[Any], Any]:
        """Give examples, what they teach and weights, for a new network or for the one there is."""
        dtype = _DTYPES if new else self.network_.params["W1"].dtype
        X, y = validate_data(self, X, y, dtype=dtype, reset=new, **self._y_may)
        self._meet(y, new, classes)
        if not new and self._made != self._architecture():
            raise ValueError("hidden_layer_sizes or activation was changed after the network was made; train a clone")
        t = self._taught(y, X.dtype)
        if sample_weight is None:
            return X, t, None
        weight = floats(sample_weight, "sample_weight")
        if weight.shape != (len(t),) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
            raise ValueError(f"sample_weight must hold {len(t)} finite numbers >= 0 that are not all zero")
        counted = weight > 0
        return X[counted], t[counted], weight[counted]

    def _architecture(self) -> tuple[str, tuple[int, ...]]:
        """Give the activation and the widths from the input to the output."""
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, Iterator):  # the next fit would find nothing in it, and make no hidden layer
            raise TypeError(f"hidden_layer_sizes must be a whole number or a sequence of them, got {sizes!r}")
        widths = [count(units, "hidden_layer_sizes") for units in (sizes if np.iterable(sizes) else [sizes])]
        return self.activation, (self.n_features_in_, *widths, self.n_outputs_)

    def _make_network(self, X: FloatArray, random: Any) -> None:
        """Make a network for `X`, and forget what the one before has learnt."""
        self._made = activation, widths = self._architecture()
        self.network_ = Network(_layers(activation, widths, X.dtype, random), self._loss())
        self.n_layers_, self.out_activation_ = len(widths), self._ends_with
        self.loss_curve_: list[float] = []
        self.validation_scores_: Any = None
        self._batches = np.random.default_rng(random.randint(2**31))

    def _make_rule(self) -> None:
        """Make the optimizer, and forget what progress there was."""
        if self.solver == "adam":
            self._rule: Optimizer = Adam(self.learning_rate_init, self.beta_1, self.beta_2)
        else:
            self._rule = (Nesterov if self.nesterovs_momentum else Momentum)(self.learning_rate_init, self.momentum)
        self._best, self._stale, self._seen = -np.inf, 0, 0

    def _split(self, t: NDArray[Any], random: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give the rows that are learnt from, and those that are held out."""
        kept, held = train_test_split(
            np.arange(len(t)), test_size=self.validation_fraction, random_state=random, stratify=self._strata(t)
        )
        return kept, held

    def _train(self, X: FloatArray, t: NDArray[Any], weight: Any, epochs: int, held_out: Any = None) -> None:
        """Train for at most so many epochs, and note what came of it."""
        n = len(X)
        batch_size = min(200 if self.batch_size == "auto" else self.batch_size, n)
        mean = 1.0 if weight is None else float(np.mean(weight))
        self._rule.weight_decay = self.alpha / (batch_size * mean)  # a row that counts w is w rows in the penalty too
        # A generator and lists of their own, so that those from before are there to go back to.
        self._batches = deepcopy(self._batches)
        self.loss_curve_ = [*self.loss_curve_]
        self.validation_scores_ = None if held_out is None else [*(self.validation_scores_ or ())]
        self.n_iter_ = 0
        watch = _Watch(self, np.minimum(batch_size, n - np.arange(0, n, batch_size)), held_out)

        try:
            fit(
                self.network_,
                X,
                t,
                epochs=epochs,
                batch_size=batch_size,
                optimizer=self._rule,
                sample_weight=None if weight is None else weight / mean,
                seed=self._batches,
                progress=bool(self.verbose),
                evaluate_train=False,
                callbacks=[watch],
            )
        except FloatingPointError as error:
            what = str(error).partition(";")[0]  # the rest tells what `fit` could do about it
            raise FloatingPointError(f"{what}; scale {self._scalable}, or take a smaller learning_rate_init") from None
        if held_out is not None:
            self.network_.params.update(watch.best_params)
        self.best_loss_ = min(self.loss_curve_) if held_out is None else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None


class _Watch:
    """A callback of `fit` that does after each epoch what scikit-learn does: note it, change the rate, stop.

    Parameters
    ----------
    model : Perceptron
        Where it is noted.
    sizes : ndarray of int
        Examples in each batch of an epoch.
    held_out : (X, t, weight) or None
        What is scored after each epoch.
    """

    def __init__(self, model: Perceptron, sizes: NDArray[Any], held_out: Any) -> None:
        self.model, self.sizes, self.held_out = model, sizes, held_out
        self.best_params: dict[str, FloatArray] = {}

    def on_epoch(self, run: Any) -> bool:
        """Tell whether to stop."""
        model = self.model
        model.n_iter_ += 1
        loss = float(np.average(run.history.losses[-len(self.sizes) :], weights=self.sizes))
        model.loss_ = model._reported(loss)
        model.loss_curve_.append(model.loss_)
        value = -model.loss_
        if self.held_out is not None:
            value = model._score(run.net, *self.held_out)
            model.validation_scores_.append(value)
            if value > model._best:
                self.best_params = {name: array.copy() for name, array in run.net.params.items()}
        model._stale = 0 if value >= model._best + model.tol else model._stale + 1
        model._best = max(value, model._best)

        rate = model.learning_rate if model.solver == "sgd" else "constant"
        if rate == "invscaling":
            model._seen += int(self.sizes.sum())
            run.optimizer.lr = model.learning_rate_init / (model._seen + 1) ** model.power_t
        if model._stale <= model.n_iter_no_change:
            return False
        if rate == "adaptive" and run.optimizer.lr > _LEAST_RATE:
            run.optimizer.lr /= 5
            model._stale = 0
            return False
        return True


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


def _some(weight: Any, rows: NDArray[Any]) -> Any:
    return None if weight is None else weight[rows]


@contextmanager
def as_it_was_after_an_error(model: Any) -> Iterator[None]:
    """Give `model` the attributes back that it had, if what is done within raises."""
    before = vars(model).copy()
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise
