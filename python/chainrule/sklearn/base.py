"""What all estimators share: everything except their layers, the kind of `y`, the score and the prediction."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal, Self
from warnings import warn

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import check_is_fitted, validate_data

from chainrule._gate import FloatArray, count, flag, floats, positive, real
from chainrule.nn.network import Network, everything
from chainrule.training.fit import fit
from chainrule.training.optimizers import Optimizer

_DTYPES = (np.float64, np.float32)


class NotFiniteError(FloatingPointError, ValueError):
    """Training ended in nan or infinity; scikit-learn's classes raise a ValueError in that case."""


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network as an estimator; use `MLPClassifier`, `MLPRegressor` or `ConvClassifier`."""

    _kind: ClassVar[str]
    #: The losses that may end the network, by scikit-learn's name for the last activation: `out_activation_`.
    _losses: ClassVar[dict[str, Any]]
    #: What to scale if the loss explodes.
    _scalable: ClassVar[str] = "X"
    #: The parameters that determine the layers.
    _shaped_by: ClassVar[str]

    #: The optimizer, if one made the last steps.
    _rule: Any = None

    n_outputs_: int
    out_activation_: str

    alpha: float
    batch_size: int | Literal["auto"]
    learning_rate_init: float
    max_iter: int
    shuffle: bool = True  # `ConvClassifier` has no such parameter, and no other solver
    solver: str = "adam"
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: float

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new weights or, with `warm_start`, from the present ones.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            Finite real numbers; for `ConvClassifier` also images. A sparse matrix is converted to dense rows piece by
            piece, and as a whole for "lbfgs".
        y : array_like, shape (N,) or (N, K)
            For a classifier, one label per row, of any kind that can be sorted, or 0 or 1 for each of K labels; for a
            regressor, finite numbers.
        sample_weight : array_like, shape (N,), optional
            The weight of each row, >= 0. A row with weight 2 counts as two rows, in the penalty too; this is exact if a
            batch holds all rows. A row with weight 0 is ignored, except that a classifier has its label among
            `classes_`.

        Returns
        -------
        MLPClassifier, MLPRegressor or ConvClassifier
            The estimator itself.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class. The estimator is then as it was.

        Warns
        -----
        ConvergenceWarning
            If the training was still making progress when it ended.
        UserWarning
            If `batch_size` is larger than the number of rows.
        """
        with as_it_was_after_an_error(self):
            self._check_parameters()
            going_on = self.warm_start and hasattr(self, "network_")
            X, t, weight = self._data(X, y, sample_weight, new=not going_on, whole=True)
            random = check_random_state(self.random_state)
            if not going_on:
                self._make_network(X, random, begun=self.warm_start)
            still = self._learn(X, t, weight, random)
        if still is not None:
            warn(still, ConvergenceWarning, stacklevel=2)
        return self

    # --- what differs ---

    def _architecture(self) -> Any:
        """Give the values that determine the layers; if they differ, the network is a different one."""
        raise NotImplementedError

    def _layers(self, dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
        """Make the layers, with parameters drawn from `random`."""
        raise NotImplementedError

    def _new_rule(self) -> Optimizer:
        """Make an optimizer."""
        raise NotImplementedError

    def _after_epoch(self, rule: Optimizer, stale: bool) -> bool:
        """Set the rate of the next epoch; return whether to continue although there was no progress."""
        return False

    def _rows(self, X: Any, new: bool) -> Any:
        """Give `X` as scikit-learn takes it: one row per example."""
        return X

    def _meet(self, y: Any, new: bool, classes: Any, whole: bool) -> None:
        """Inspect the `y` of a call: record the outputs that a new network needs, or raise if the present one differs.

        `whole` says that no more `y` will follow.
        """
        raise NotImplementedError

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Give `y` in the form that the loss of a network of this dtype takes."""
        raise NotImplementedError

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        """Score the predictions of `net`, as ``score`` does: the higher, the better."""
        raise NotImplementedError

    def _strata(self, t: NDArray[Any]) -> NDArray[Any] | None:
        """Give the classes for a stratified split; None if the split is not stratified."""
        return None

    def _as_loss_takes(self, t: NDArray[Any], weight: Any) -> tuple[NDArray[Any], Any]:
        """Give targets and weights in the places where the loss of the network looks for them."""
        return t, weight

    def _reported(self, loss: float) -> float:
        """Convert the loss of `fit` to `loss_`."""
        return loss

    # --- what is the same ---

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn which input is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled estimator; parameters that did not exist then get their defaults."""
        parameters = inspect.signature(type(self)).parameters
        seen = {"t_": state["_seen"]} if "_seen" in state else {}
        super().__setstate__({name: one.default for name, one in parameters.items()} | seen | state)

    def _scores(self, X: Any) -> FloatArray:
        check_is_fitted(self, "network_")
        rows = validate_data(self, self._rows(X, new=False), dtype=_DTYPES, accept_sparse="csr", reset=False)
        return self.network_.predict(rows)

    def _check_parameters(self) -> None:
        """Raise if a parameter is not valid."""
        for name in ("alpha", "tol"):
            if real(getattr(self, name), name) < 0:
                raise ValueError(f"{name} must be >= 0, got {getattr(self, name)!r}")
        for name in ("warm_start", "early_stopping"):
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
        """Tell whether `partial_fit` continues with a network; raise if it must not be called."""
        self._check_parameters()
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True: it holds nothing out; make the"
                f" {self._kind} with early_stopping=False"
            )
        return hasattr(self, "network_")

    def _epoch(self, X: Any, y: Any, sample_weight: Any, *, new: bool, classes: Any = None) -> None:
        """Train for one more epoch."""
        X, t, weight = self._data(X, y, sample_weight, new=new, classes=classes)
        random = check_random_state(self.random_state)
        if new:
            self._make_network(X, random, begun=True)
        if self._rule is None:  # the network is new, or the steps before were by "lbfgs"
            self._make_rule()
        self._train(X, t, weight, 1, random)

    def _data(
        self, X: Any, y: Any, sample_weight: Any, *, new: bool, classes: Any = None, whole: bool = False
    ) -> tuple[FloatArray, NDArray[Any], Any]:
        """Give examples, targets and weights, for a new network or for the present one."""
        dtype = _DTYPES if new else self.network_.params["W1"].dtype
        X, y = validate_data(
            self,
            self._rows(X, new),
            y,
            dtype=dtype,
            accept_sparse="csr",
            multi_output=True,
            y_numeric=self._kind == "regressor",
            reset=new,
        )
        y = dense(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        self._meet(y, new, classes, whole)
        if not new and self._made != self._architecture():
            raise ValueError(f"{self._shaped_by} was changed after the network was made; train a clone")
        t = self._taught(y, X.dtype)
        if sample_weight is None:
            return X, t, None
        weight = floats(sample_weight, "sample_weight")
        if weight.shape != (len(t),) or not (np.isfinite(weight) & (weight >= 0)).all() or not weight.any():
            raise ValueError(f"sample_weight must hold {len(t)} finite numbers >= 0 that are not all zero")
        counted = weight > 0
        return X[counted], t[counted], weight[counted]

    def _make_network(self, X: FloatArray, random: Any, *, begun: bool) -> None:
        """Make a network for `X`, and forget what the previous one has learnt.

        `begun` says that it starts with weights that were set before.
        """
        self._made = self._architecture()
        self.network_ = Network(self._layers(X.dtype, random), self._losses[self.out_activation_]())
        self.loss_curve_: list[float] = []
        self.validation_scores_: Any = None
        self._best, self._stale, self.t_ = -np.inf, 0, 0
        self._rule = None

    def _make_rule(self) -> None:
        """Make the optimizer."""
        self._rule = self._new_rule()

    def _learn(self, X: FloatArray, t: NDArray[Any], weight: Any, random: Any) -> str | None:
        """Train until it is done; if the training had to end before, return the reason."""
        self._make_rule()
        held_out = None
        if self.early_stopping:
            kept, held = self._split(t, random)
            held_out = X[held], t[held], _some(weight, held)
            X, t, weight = X[kept], t[kept], _some(weight, kept)
        self._train(X, t, weight, self.max_iter, random, held_out)
        if self._stale > self.n_iter_no_change:
            return None
        return f"the training was still making progress when it ended, after max_iter={self.max_iter} epochs"

    def _split(self, t: NDArray[Any], random: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give the rows to learn from, and those that are held out."""
        kept, held = train_test_split(
            np.arange(len(t)), test_size=self.validation_fraction, random_state=random, stratify=self._strata(t)
        )
        if len(held) < 2:
            share = f"validation_fraction={self.validation_fraction}"
            raise ValueError(
                f"The validation set is too small: {share} of {len(t)} rows holds out {len(held)}, and two are needed"
            )
        return kept, held

    def _train(
        self, X: FloatArray, t: NDArray[Any], weight: Any, epochs: int, random: Any, held_out: Any = None
    ) -> None:
        """Train for at most the given number of epochs, and record the result."""
        n = X.shape[0]
        batch_size = 200 if self.batch_size == "auto" else self.batch_size
        if batch_size > n and self.batch_size != "auto":
            warn(f"batch_size={batch_size} is more than the {n} rows there are: a batch is all of them", stacklevel=4)
        batch_size = min(batch_size, n)
        mean = 1.0 if weight is None else float(np.mean(weight))
        self._rule.weight_decay = self.alpha / (batch_size * mean)  # a row of weight w is w rows in the penalty too
        t, weight = self._as_loss_takes(t, None if weight is None else weight / mean)
        # New lists, so that the old ones can be restored.
        self.loss_curve_ = [*self.loss_curve_]
        if (held_out is None) != (self.validation_scores_ is None):  # losses and scores cannot be compared
            self._best = -np.inf
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
                sample_weight=weight,
                seed=_Epochs(random, self.shuffle),
                evaluate_train=False,
                callbacks=[watch],
                on_nonfinite="raise" if held_out is None else "ignore",  # the best weights are kept
            )
        except FloatingPointError as error:
            what = str(error).partition(";")[0]  # the rest is advice about `fit`
            raise self._not_finite(what) from None
        if held_out is not None:
            put_back(self.network_, watch.best)
            if self._best == -np.inf:
                raise self._not_finite("no score of the held-out rows is finite")
        self.best_loss_ = min(self.loss_curve_) if held_out is None else None
        self.best_validation_score_ = None if held_out is None else self._best

    def _not_finite(self, what: str) -> NotFiniteError:
        # Scripts for scikit-learn's classes look for the first two sentences.
        rate = "" if self.solver == "lbfgs" else ", or take a smaller learning_rate_init"
        return NotFiniteError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
            f" preprocessed. {what}; scale {self._scalable}{rate}"
        )


def by_epochs(model: Estimator) -> bool:
    """Tell whether the estimator has a ``partial_fit``."""
    if model.solver == "lbfgs":
        raise AttributeError("partial_fit is for solvers that go by epochs, 'adam' and 'sgd', and this is 'lbfgs'")
    return True


class _Epochs(np.random.Generator):
    """Draws the rows of each epoch as scikit-learn's classes do, whenever `fit` asks for a permutation.

    Parameters
    ----------
    random : numpy.random.RandomState
        The source of random numbers.
    shuffle : bool
        False leaves the rows in order.
    """

    def __init__(self, random: np.random.RandomState, shuffle: bool) -> None:
        super().__init__(random._bit_generator)
        self._random, self._shuffle = random, shuffle
        self._rows: Any = None

    def permutation(self, n: Any, axis: int = 0) -> Any:
        """Give the rows of an epoch: those of the previous epoch, shuffled."""
        if self._rows is None:
            self._rows = np.arange(n)
        if self._shuffle:
            order = np.arange(n)
            self._random.shuffle(order)
            self._rows = self._rows[order]
        return self._rows


class _Watch:
    """A callback of `fit` that does what scikit-learn does after each epoch: record it, change the rate, stop.

    Parameters
    ----------
    model : Estimator
        The estimator that records it.
    sizes : ndarray of int
        The number of examples in each batch of an epoch.
    held_out : (X, t, weight) or None
        The examples to score after each epoch.
    """

    def __init__(self, model: Estimator, sizes: NDArray[Any], held_out: Any) -> None:
        self.model, self.sizes, self.held_out = model, sizes, held_out
        self.best = {} if held_out is None else copied(model.network_)

    def on_epoch(self, run: Any) -> bool:
        """Tell whether to stop."""
        model = self.model
        model.n_iter_ += 1
        loss = float(np.average(run.history.losses[-len(self.sizes) :], weights=self.sizes))
        model.loss_ = model._reported(loss)
        model.loss_curve_.append(model.loss_)
        value = -model.loss_
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}")
        if self.held_out is not None:
            value = model._score(run.net, *self.held_out)
            model.validation_scores_.append(value)
            if value > model._best:
                self.best = copied(run.net)
            if model.verbose:
                print(f"Validation score: {value:f}")
        model._stale = 0 if value >= model._best + model.tol else model._stale + 1  # nan is not progress
        model._best = value if value > model._best else model._best

        model.t_ += int(self.sizes.sum())
        stale = model._stale > model.n_iter_no_change
        if model._after_epoch(run.optimizer, stale):
            model._stale = 0
            return False
        return stale


def copied(net: Network) -> dict[str, FloatArray]:
    """Copy parameters and statistics, for `put_back`."""
    return {name: array.copy() for name, array in everything(net).items()}


def dense(array: Any) -> Any:
    """Convert a sparse matrix to an array; return anything else as it is."""
    return array.toarray() if issparse(array) else array


def put_back(net: Network, arrays: dict[str, FloatArray]) -> None:
    """Restore the parameters and statistics that `copied` has copied."""
    held = everything(net)
    for name, array in arrays.items():
        held[name][...] = array


def sizes(value: Any, name: str) -> list[int]:
    """Read a whole number or a sequence of them."""
    if isinstance(value, Iterator):  # the next fit would find it empty and make no layer
        raise TypeError(f"{name} must be a whole number or a sequence of them, got {value!r}")
    return [count(units, name) for units in (value if np.iterable(value) else [value])]


def _some(weight: Any, rows: NDArray[Any]) -> Any:
    return None if weight is None else weight[rows]


@contextmanager
def as_it_was_after_an_error(model: Any) -> Iterator[None]:
    """Restore the attributes of `model` if the body raises."""
    before = vars(model).copy()
    try:
        yield
    except BaseException:
        vars(model).clear()
        vars(model).update(before)
        raise
