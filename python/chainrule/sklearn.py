"""A classifier for scikit-learn: `chainrule.Network` behind ``fit`` and ``predict``, trained by `chainrule.fit`.

It has the parameters, attributes and stopping rules of ``sklearn.neural_network.MLPClassifier``, so a script that uses
that class changes one import; what differs stands under its Notes. Needs the extra ``sklearn``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from itertools import pairwise
from typing import Any, Literal, Self
from warnings import warn

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, count, flag, floats, positive, real
from chainrule.nn.functions import log_softmax, softmax
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine
from chainrule.nn.network import Network
from chainrule.training.fit import fit
from chainrule.training.optimizers import Adam, Momentum, Nesterov, Optimizer

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import LabelEncoder
    from sklearn.utils import check_random_state, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("chainrule.sklearn needs scikit-learn 1.6 or newer: pip install 'chainrule[sklearn]'") from error

_ACTIVATIONS = {kind.word: kind.of for kind in LAYERS.values() if kind.word}
_CHOICES = {
    "activation": tuple(_ACTIVATIONS),
    "solver": ("adam", "sgd"),
    "learning_rate": ("constant", "invscaling", "adaptive"),
}
_DTYPES = (np.float64, np.float32)
#: "adaptive" makes no rate smaller that is not above it.
_LEAST_RATE = 1e-6


class MLPClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron with softmax at its end, as an estimator of scikit-learn.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer; ``()`` is softmax regression.
    activation : {"identity", "logistic", "tanh", "relu"}, default "relu"
        What stands after each hidden layer.
    solver : {"adam", "sgd"}, default "adam"
        The rule; "sgd" is gradient descent with `momentum`.
    alpha : float, default 0.0001
        Strength of the L2 penalty ``alpha / (2 batch) · Σ W²`` on weights, not on biases; >= 0.
    batch_size : int or "auto", default "auto"
        Examples a step, at most all there are; "auto" is 200.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For "sgd": the rate of all steps is `learning_rate_init`; or, after an epoch, that over
        ``(examples seen + 1) ** power_t``; or a fifth of what it was whenever training would stop for lack of progress,
        down to 1e-6.
    learning_rate_init : float, default 0.001
        The rate of the first steps, > 0.
    power_t : float, default 0.5
        For "invscaling", >= 0.
    max_iter : int, default 200
        Epochs at most.
    random_state : int, RandomState or None
        Where the weights, the held-out examples and the batches are drawn from.
    tol : float, default 0.0001
        What counts as progress, in nats of the loss or, with `early_stopping`, in accuracy; >= 0.
    verbose : bool, default False
        A progress bar on stderr.
    warm_start : bool, default False
        ``fit`` goes on from the weights there are.
    momentum : float, default 0.9
        For "sgd", in 0 <= momentum < 1.
    nesterovs_momentum : bool, default True
        For "sgd": whether the momentum looks ahead.
    early_stopping : bool, default False
        Hold examples out, the same share of each class; stop by their accuracy, and take the weights that had the best.
    validation_fraction : float, default 0.1
        The share held out, in 0..1.
    beta_1, beta_2 : float, default 0.9 and 0.999
        For "adam", in 0 <= beta < 1.
    n_iter_no_change : int, default 10
        Training stops after more epochs than this in a row without progress.

    Attributes
    ----------
    network_ : chainrule.Network
        What was trained; everything this package does with a network can be done with it.
    classes_ : ndarray, shape (C,)
        The labels, sorted; the columns of the probabilities.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer: the arrays of `network_`.
    loss_, best_loss_ : float
        The mean loss over the last epoch, in nats, each batch before its update, without the penalty; and the least of
        all epochs (None with `early_stopping`).
    loss_curve_ : list of float
        `loss_` of every epoch.
    validation_scores_, best_validation_score_ : list of float, float
        Accuracy of the held-out examples after every epoch, and the best of them; None without `early_stopping`.
    n_iter_ : int
        Epochs of the last ``fit``.
    n_features_in_, feature_names_in_ : int, ndarray of str
        What ``fit`` saw; names only if all columns had one.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Layers with the input counted as one, classes, and "softmax".

    Raises
    ------
    TypeError, ValueError
        From ``fit``, if a parameter is of the wrong kind or out of range, or X or y cannot be meant. The estimator is
        then as it was.
    FloatingPointError
        From ``fit``, if the loss becomes nan or infinite.

    Notes
    -----
    Weights and biases are drawn from a uniform distribution over ± √(6 / (inputs + units)), √(2 / …) for "logistic", in
    the order in which scikit-learn's class draws them: with three classes or more and the same `random_state` it starts
    from the same numbers. The batches are others.

    float32 in, float32 network and probabilities; anything else is computed in float64.

    Different from scikit-learn's class: two classes have two outputs with softmax, not one with a sigmoid; the last
    batch of an epoch, if it is smaller, has the penalty of the others; the losses are without the penalty; ``fit``
    refuses a changed architecture when it goes on from weights; Ctrl-C is a KeyboardInterrupt. Not there: the solver
    "lbfgs" and `max_fun`, `epsilon` (1e-7 here), `shuffle` (always done), sparse X, several labels for one example.

    Source: Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks", 2010.

    Examples
    --------
    >>> from chainrule.sklearn import MLPClassifier
    >>> x = np.random.default_rng(0).random((300, 2))
    >>> y = np.where(x[:, 0] > x[:, 1], "below", "above")
    >>> model = MLPClassifier((16,), learning_rate_init=0.05, max_iter=300, random_state=0).fit(x, y)
    >>> model.predict([[0.9, 0.1], [0.2, 0.7]])
    array(['below', 'above'], dtype='<U5')
    >>> model.score(x, y) > 0.97
    True
    """

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
        y : array_like, shape (N,)
            A label for each row, of any kind that can be sorted.
        sample_weight : array_like, shape (N,), optional
            What each row counts, >= 0. A row of weight 2 counts as two rows do, in the penalty too: exactly so if a
            batch holds all rows. A row of weight 0 is as if it were not there, but that its label is among `classes_`.

        Returns
        -------
        MLPClassifier
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
        with _as_it_was_after_an_error(self):
            self._check_parameters()
            going_on = self.warm_start and hasattr(self, "network_")
            X, ids, weight = self._data(X, y, sample_weight, new=not going_on)
            random = check_random_state(self.random_state)
            if not going_on:
                self._make_network(X, random)
            self._make_rule()
            held_out = None
            if self.early_stopping:
                kept, held = train_test_split(
                    np.arange(len(X)), test_size=self.validation_fraction, random_state=random, stratify=ids
                )
                held_out = X[held], ids[held], _some(weight, held)
                X, ids, weight = X[kept], ids[kept], _some(weight, kept)
            self._train(X, ids, weight, self.max_iter, held_out)
        if self._stale <= self.n_iter_no_change:
            text = f"the training was still making progress when it ended, after max_iter={self.max_iter} epochs"
            warn(text, ConvergenceWarning, stacklevel=2)
        return self

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train one epoch more on these examples.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite.
        y : array_like, shape (N,)
            Labels, all of them among the classes.
        sample_weight : array_like, shape (N,), optional
            As for `fit`; beside the others of the same call.
        classes : array_like, shape (C,), optional
            All labels there will ever be: needed by the first call.

        Returns
        -------
        MLPClassifier
            This one.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class, and if there is `early_stopping`, or no `classes` when it is needed, or other ones than
            before. The estimator is then as it was.

        Notes
        -----
        What the solver keeps between steps, its rate included, is that of the call before, or of ``fit``.
        """
        with _as_it_was_after_an_error(self):
            self._check_parameters()
            if self.early_stopping:
                raise ValueError("partial_fit holds nothing out; make the classifier with early_stopping=False")
            going_on = hasattr(self, "network_")
            if classes is None and not going_on:
                raise ValueError("classes must be given to the first call of partial_fit: all labels there will be")
            if classes is not None and going_on and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(f"classes must be those of the first call, {self.classes_}, got {classes!r}")
            X, ids, weight = self._data(X, y, sample_weight, new=not going_on, classes=classes)
            if not going_on:
                self._make_network(X, check_random_state(self.random_state))
                self._make_rule()
            self._train(X, ids, weight, 1)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label of each row.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite.

        Returns
        -------
        ndarray, shape (N,)
            Labels, in the dtype of `classes_`.

        Raises
        ------
        NotFittedError
            Before any ``fit``.
        ValueError
            If X cannot be meant.
        """
        ids = np.argmax(self.predict_proba(X), axis=1)
        labels: NDArray[Any] = self.classes_[ids]
        return labels

    def predict_proba(self, X: Any) -> FloatArray:
        """Give the probability of each class.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            As for `predict`.

        Returns
        -------
        ndarray, shape (N, C)
            Columns as in `classes_`, in the dtype of the network; each row sums to 1.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        probabilities: FloatArray = softmax(self._scores(X))
        return probabilities

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Give the logarithm of each probability: finite also where the probability is too small for a float.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            As for `predict`.

        Returns
        -------
        ndarray, shape (N, C)
            In nats, <= 0.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        logarithms: FloatArray = log_softmax(self._scores(X))
        return logarithms

    @property
    def coefs_(self) -> list[FloatArray]:
        """The weights of each layer, shape (inputs, units): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("W")]

    @property
    def intercepts_(self) -> list[FloatArray]:
        """The biases of each layer, shape (units,): the arrays that `network_` holds."""
        return [array for name, array in self.network_.params.items() if name.startswith("b")]

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

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, new: bool, classes: Any = None
    ) -> tuple[FloatArray, NDArray[Any], Any]:
        """Give examples, class ids and weights, for a new network or for the one there is."""
        dtype = _DTYPES if new else self.network_.params["W1"].dtype
        X, y = validate_data(self, X, y, dtype=dtype, reset=new)
        check_classification_targets(y)
        if new:
            self._encoder = LabelEncoder().fit(y if classes is None else column_or_1d(classes))
            self.classes_ = self._encoder.classes_
        elif self._made != self._architecture():
            raise ValueError("hidden_layer_sizes or activation was changed after the network was made; train a clone")
        try:
            ids = self._encoder.transform(y)
        except ValueError as error:
            raise ValueError(f"y must hold labels among the classes {self.classes_}: {error}") from None
        if sample_weight is None:
            return X, ids, None
        weight = floats(sample_weight, "sample_weight")
        if weight.shape != ids.shape or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
            raise ValueError(f"sample_weight must hold {len(ids)} finite numbers >= 0 that are not all zero")
        counted = weight > 0
        return X[counted], ids[counted], weight[counted]

    def _architecture(self) -> tuple[str, tuple[int, ...]]:
        """Give the activation and the widths from the input to the classes."""
        sizes = self.hidden_layer_sizes
        if isinstance(sizes, Iterator):  # the next fit would find nothing in it, and make no hidden layer
            raise TypeError(f"hidden_layer_sizes must be a whole number or a sequence of them, got {sizes!r}")
        widths = [count(units, "hidden_layer_sizes") for units in (sizes if np.iterable(sizes) else [sizes])]
        return self.activation, (self.n_features_in_, *widths, len(self.classes_))

    def _make_network(self, X: FloatArray, random: Any) -> None:
        """Make a network for `X`, and forget what the one before has learnt."""
        self._made = activation, widths = self._architecture()
        self.network_ = _network(activation, widths, X.dtype, random)
        self.n_layers_, self.n_outputs_, self.out_activation_ = len(widths), widths[-1], "softmax"
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

    def _train(self, X: FloatArray, ids: NDArray[Any], weight: Any, epochs: int, held_out: Any = None) -> None:
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
                ids,
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
            raise FloatingPointError(f"{what}; scale X, or take a smaller learning_rate_init") from None
        if held_out is not None:
            self.network_.params.update(watch.best_params)
        self.best_loss_ = min(self.loss_curve_) if held_out is None else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None


class _Watch:
    """A callback of `fit` that does after each epoch what scikit-learn does: note it, change the rate, stop.

    Parameters
    ----------
    model : MLPClassifier
        Where it is noted.
    sizes : ndarray of int
        Examples in each batch of an epoch.
    held_out : (X, ids, weight) or None
        What is scored after each epoch.
    """

    def __init__(self, model: MLPClassifier, sizes: NDArray[Any], held_out: Any) -> None:
        self.model, self.sizes, self.held_out = model, sizes, held_out
        self.best_params: dict[str, FloatArray] = {}

    def on_epoch(self, run: Any) -> bool:
        """Tell whether to stop."""
        model = self.model
        model.n_iter_ += 1
        model.loss_ = float(np.average(run.history.losses[-len(self.sizes) :], weights=self.sizes))
        model.loss_curve_.append(model.loss_)
        value = -model.loss_
        if self.held_out is not None:
            X, ids, weight = self.held_out
            value = float(np.average(np.argmax(run.net.predict(X), axis=1) == ids, weights=weight))
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


def _network(activation: str, widths: Sequence[int], dtype: np.dtype[Any], random: Any) -> Network:
    """Make a network with weights and biases drawn from `random`."""
    kind = _ACTIVATIONS[activation]
    layers: dict[str, Any] = {}
    for i, (inputs, units) in enumerate(pairwise(widths), start=1):
        bound = np.sqrt((2 if activation == "logistic" else 6) / (inputs + units))
        W, b = random.uniform(-bound, bound, (inputs, units)), random.uniform(-bound, bound, units)
        layers |= {f"Affine{i}": Affine(W.astype(dtype), b.astype(dtype)), f"{kind.__name__}{i}": kind()}
    layers.popitem()  # softmax takes the last scores as they are
    return Network(layers)


def _some(weight: Any, rows: NDArray[Any]) -> Any:
    return None if weight is None else weight[rows]


@contextmanager
def _as_it_was_after_an_error(model: Any) -> Iterator[None]:
    """Give `model` the attributes back that it had, if what is done within raises."""
    before = vars(model).copy()
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise
