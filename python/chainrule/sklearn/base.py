"""What all estimators share: all but their layers, what `y` is, what it is scored by, and what is predicted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
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
from chainrule.nn.losses import Loss
from chainrule.nn.network import Network, everything
from chainrule.training.fit import fit
from chainrule.training.optimizers import Optimizer

_DTYPES = (np.float64, np.float32)


class Estimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A network as an estimator; use `MLPClassifier`, `MLPRegressor` or `ConvClassifier`."""

    _kind: ClassVar[str]
    #: What ends the network, and what scikit-learn calls the way it comes out.
    _loss: ClassVar[type[Loss]]
    _ends_with: ClassVar[str]
    #: What to scale if the loss explodes.
    _scalable: ClassVar[str] = "X"
    #: What `y` may be, in scikit-learn's words.
    _y_may: ClassVar[dict[str, bool]] = {}

    #: The parameters that the layers follow from.
    _shaped_by: ClassVar[str]

    n_outputs_: int

    alpha: float
    batch_size: int | Literal["auto"]
    learning_rate_init: float
    max_iter: int
    random_state: Any
    tol: float
    verbose: bool
    warm_start: bool
    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: float

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new weights, or from those there are with `warm_start`.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            Real numbers, finite; for `ConvClassifier` also images. A sparse matrix is made dense some rows at a time.
        y : array_like, shape (N,), or (N, K) for a regressor
            For a classifier a label for each row, of any kind that can be sorted; for a regressor finite numbers.
        sample_weight : array_like, shape (N,), optional
            What each row counts, >= 0. A row of weight 2 counts as two rows do, in the penalty too: exactly so if a
            batch holds all rows. A row of weight 0 is as if it were not there, but that a classifier has its label
            among `classes_`.

        Returns
        -------
        MLPClassifier, MLPRegressor or ConvClassifier
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

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that X may be sparse."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # --- what differs ---

    def _architecture(self) -> Any:
        """Give what the layers follow from; another one is another network."""
        raise NotImplementedError

    def _layers(self, dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
        """Make layers, their numbers drawn from `random`."""
        raise NotImplementedError

    def _new_rule(self) -> Optimizer:
        """Make an optimizer."""
        raise NotImplementedError

    def _after_epoch(self, rule: Optimizer, seen: int, stale: bool) -> bool:
        """Set the rate of the next epoch; tell whether to go on though there was no progress."""
        return False

    def _rows(self, X: Any, new: bool) -> Any:
        """Give `X` as scikit-learn takes it: a row an example."""
        return X

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
        X = validate_data(self, self._rows(X, new=False), accept_sparse="csr", dtype=_DTYPES, reset=False)
        return self.network_.predict(X)

    def _check_parameters(self) -> None:
        """Raise if a parameter cannot be meant."""
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
        X, y = validate_data(self, self._rows(X, new), y, accept_sparse="csr", dtype=dtype, reset=new, **self._y_may)
        self._meet(y, new, classes)
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

    def _make_network(self, X: FloatArray, random: Any) -> None:
        """Make a network for `X`, and forget what the one before has learnt."""
        self._made = self._architecture()
        self.network_ = Network(self._layers(X.dtype, random), self._loss())
        self.out_activation_ = self._ends_with
        self.loss_curve_: list[float] = []
        self.validation_scores_: Any = None
        self._batches = np.random.default_rng(random.randint(2**31))

    def _make_rule(self) -> None:
        """Make the optimizer, and forget what progress there was."""
        self._rule = self._new_rule()
        self._best, self._stale, self._seen = -np.inf, 0, 0

    def _split(self, t: NDArray[Any], random: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Give the rows that are learnt from, and those that are held out."""
        kept, held = train_test_split(
            np.arange(len(t)), test_size=self.validation_fraction, random_state=random, stratify=self._strata(t)
        )
        return kept, held

    def _train(self, X: FloatArray, t: NDArray[Any], weight: Any, epochs: int, held_out: Any = None) -> None:
        """Train for at most so many epochs, and note what came of it."""
        n = X.shape[0]
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
            put_back(self.network_, watch.best)
        self.best_loss_ = min(self.loss_curve_) if held_out is None else None
        self.best_validation_score_ = max(self.validation_scores_) if self.validation_scores_ else None


class _Watch:
    """A callback of `fit` that does after each epoch what scikit-learn does: note it, change the rate, stop.

    Parameters
    ----------
    model : Estimator
        Where it is noted.
    sizes : ndarray of int
        Examples in each batch of an epoch.
    held_out : (X, t, weight) or None
        What is scored after each epoch.
    """

    def __init__(self, model: Estimator, sizes: NDArray[Any], held_out: Any) -> None:
        self.model, self.sizes, self.held_out = model, sizes, held_out
        self.best: dict[str, FloatArray] = {}

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
                self.best = {name: array.copy() for name, array in everything(run.net).items()}
        model._stale = 0 if value >= model._best + model.tol else model._stale + 1
        model._best = max(value, model._best)

        model._seen += int(self.sizes.sum())
        stale = model._stale > model.n_iter_no_change
        if model._after_epoch(run.optimizer, model._seen, stale):
            model._stale = 0
            return False
        return stale


def put_back(net: Network, arrays: dict[str, FloatArray]) -> None:
    """Let parameters and statistics be what they were when `everything` gave copies of them."""
    held = everything(net)
    for name, array in arrays.items():
        held[name][...] = array


def sizes(value: Any, name: str) -> list[int]:
    """Read a whole number or a sequence of them."""
    if isinstance(value, Iterator):  # the next fit would find nothing in it, and make no layer
        raise TypeError(f"{name} must be a whole number or a sequence of them, got {value!r}")
    return [count(units, name) for units in (value if np.iterable(value) else [value])]


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
