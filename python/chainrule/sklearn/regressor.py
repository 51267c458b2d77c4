"""A regressor for scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d

from chainrule._gate import FloatArray, floats
from chainrule.nn.losses import IdentityWithLoss
from chainrule.nn.network import Network
from chainrule.sklearn.base import as_it_was_after_an_error
from chainrule.sklearn.perceptron import Perceptron


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron whose last scores are the answer, as an estimator of scikit-learn.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        As in `MLPClassifier`; ``()`` is linear regression.
    activation, solver : str, default "relu" and "adam"
        As in `MLPClassifier`.
    alpha, batch_size : float, int or "auto", default 0.0001 and "auto"
        As in `MLPClassifier`.
    learning_rate, learning_rate_init, power_t : str, float, float, default "constant", 0.001 and 0.5
        As in `MLPClassifier`.
    max_iter, random_state : int, and int, RandomState or None, default 200 and None
        As in `MLPClassifier`.
    tol : float, default 0.0001
        What counts as progress: in `loss_`, which has the unit of y squared, or with `early_stopping` in R²; >= 0.
    verbose, warm_start : bool, default False
        As in `MLPClassifier`.
    momentum, nesterovs_momentum : float, bool, default 0.9 and True
        As in `MLPClassifier`.
    early_stopping : bool, default False
        Hold examples out, two at least; stop by their R², and take the weights that had the best.
    validation_fraction : float, default 0.1
        The share held out, in 0..1.
    beta_1, beta_2 : float, default 0.9 and 0.999
        As in `MLPClassifier`.
    n_iter_no_change : int, default 10
        As in `MLPClassifier`.

    Attributes
    ----------
    network_ : chainrule.Network
        What was trained; everything this package does with a network can be done with it.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer: the arrays of `network_`.
    loss_, best_loss_ : float
        Half the squared error, its mean over the examples and the outputs in the last epoch, each batch before its
        update, without the penalty; and the least of all epochs (None with `early_stopping`).
    validation_scores_, best_validation_score_ : list of float, float
        R² of the held-out examples after every epoch, the mean over the outputs, as ``score`` gives it, and the best of
        them; None without `early_stopping`.
    loss_curve_, n_iter_, n_features_in_, feature_names_in_, n_layers_ : list of float, int, int, ndarray of str, int
        As in `MLPClassifier`.
    n_outputs_, out_activation_ : int, str
        Numbers for each row, and "identity".

    Raises
    ------
    TypeError, ValueError
        From ``fit``, if a parameter is of the wrong kind or out of range, or X or y cannot be meant. The estimator is
        then as it was.
    FloatingPointError
        From ``fit``, if the loss becomes nan or infinite.

    Notes
    -----
    What is made small is ``1/(2N) Σ Σ (prediction - y)²`` over a batch of N rows and all outputs, `IdentityWithLoss`:
    its gradient is that of scikit-learn's class, whose `loss_` too is divided by the number of outputs.

    Weights and biases are drawn as those of `MLPClassifier`: with the same `random_state` it starts from the numbers of
    scikit-learn's class, with one output and with several. y is taken as it is: one far from zero, or of a large scale,
    is learnt faster through ``sklearn.compose.TransformedTargetRegressor``.

    Different from scikit-learn's class is what is different in `MLPClassifier`, as far as it is not about classes. Not
    there: also `loss`, which is always "squared_error".

    Examples
    --------
    >>> from chainrule.sklearn import MLPRegressor
    >>> x = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    >>> y = x[:, 0] ** 2 + x[:, 1]
    >>> model = MLPRegressor((32,), learning_rate_init=0.05, tol=1e-6, max_iter=500, random_state=0).fit(x, y)
    >>> np.abs(model.predict([[0.5, 0.5], [-0.5, 0.0]]) - [0.75, 0.25]).max() < 0.1
    np.True_
    >>> model.score(x, y) > 0.99
    True
    """

    _kind = "regressor"
    _loss = IdentityWithLoss
    _ends_with = "identity"
    _scalable = "X and y"
    _y_may: ClassVar[dict[str, bool]] = {"multi_output": True, "y_numeric": True}

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that there may be several outputs."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train one epoch more on these examples.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite.
        y : array_like, shape (N,) or (N, K)
            Finite numbers, as many for a row as in the first call.
        sample_weight : array_like, shape (N,), optional
            As for `fit`; beside the others of the same call.

        Returns
        -------
        MLPRegressor
            This one.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class, and if there is `early_stopping`. The estimator is then as it was.

        Notes
        -----
        What the solver keeps between steps, its rate included, is that of the call before, or of ``fit``.
        """
        with as_it_was_after_an_error(self):
            self._epoch(X, y, sample_weight, new=not self._goes_on_by_epochs())
        return self

    def predict(self, X: Any) -> FloatArray:
        """Give the numbers of each row.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite.

        Returns
        -------
        ndarray, shape (N,) or (N, K)
            In the dtype of the network; with one output always (N,).

        Raises
        ------
        NotFittedError
            Before any ``fit``.
        ValueError
            If X cannot be meant.
        """
        return _as_said(self._scores(X))

    def _meet(self, y: Any, new: bool, classes: Any) -> None:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if new:
            self.n_outputs_ = outputs
        elif outputs != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} number(s) a row, as in the first call, got {outputs}")

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        if self.n_outputs_ == 1:
            y = column_or_1d(y, warn=True)
        t = floats(y, "y")
        with np.errstate(over="ignore"):
            if not np.isfinite(t.astype(dtype, copy=False)).all():
                raise ValueError(f"y holds a number that is too large for {dtype}, which X has")
        return t

    def _split(self, t: NDArray[Any], random: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        kept, held = super()._split(t, random)
        if len(held) < 2:
            share = f"validation_fraction={self.validation_fraction}"
            raise ValueError(f"R² needs two rows at least, and {share} of {len(t)} rows holds out {len(held)}")
        return kept, held

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        said = _as_said(net.predict(X))
        if not np.isfinite(said).all():
            return -np.inf
        with np.errstate(over="ignore", invalid="ignore"):
            r2 = float(r2_score(t, said, sample_weight=weight))
        return -np.inf if np.isnan(r2) else r2  # of numbers whose squares are too large

    def _reported(self, loss: float) -> float:
        return loss / self.n_outputs_


def _as_said(scores: FloatArray) -> FloatArray:
    """Give scores in the shape that `y` had: one output is no axis."""
    return scores[:, 0] if scores.shape[1] == 1 else scores
