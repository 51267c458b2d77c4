"""A regressor for scikit-learn."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if

from chainrule._gate import FloatArray, floats
from chainrule.nn.losses import IdentityWithLoss
from chainrule.nn.network import Network
from chainrule.sklearn.base import as_it_was_after_an_error, by_epochs
from chainrule.sklearn.perceptron import Perceptron
from chainrule.sklearn.poisson import PoissonWithLoss


class MLPRegressor(RegressorMixin, Perceptron):  # type: ignore[misc]  # scikit-learn has no types
    """A multi-layer perceptron whose last scores are the prediction, as a scikit-learn estimator.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        The loss to minimize. "poisson" is for counts and other numbers >= 0: the prediction is the exponential of the
        last score. NumPy makes its steps instead of Rust.
    hidden_layer_sizes : int or sequence of int, default (100,)
        As in `MLPClassifier`; ``()`` is linear regression.
    activation, solver : str, default "relu" and "adam"
        As in `MLPClassifier`.
    alpha, batch_size : float, int or "auto", default 0.0001 and "auto"
        As in `MLPClassifier`.
    learning_rate, learning_rate_init, power_t : str, float, float, default "constant", 0.001 and 0.5
        As in `MLPClassifier`.
    max_iter, shuffle : int, bool, default 200 and True
        As in `MLPClassifier`.
    random_state : int, RandomState or None
        As in `MLPClassifier`.
    tol : float, default 0.0001
        The least improvement that counts as progress, in `loss_`, which has the unit of y squared, or in R² with
        `early_stopping`; >= 0.
    verbose, warm_start : bool or int, and bool, default False
        As in `MLPClassifier`.
    momentum, nesterovs_momentum : float, bool, default 0.9 and True
        As in `MLPClassifier`.
    early_stopping : bool, default False
        Hold out at least two examples; stop by their R², and keep the weights with the best.
    validation_fraction : float, default 0.1
        The share to hold out, in 0..1.
    beta_1, beta_2 : float, default 0.9 and 0.999
        As in `MLPClassifier`.
    epsilon, n_iter_no_change, max_fun : float, int, int, default 1e-7, 10 and 15000
        As in `MLPClassifier`.

    Attributes
    ----------
    network_ : chainrule.Network
        The trained network, for everything that this package can do with one.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer, as in `MLPClassifier`.
    loss_, best_loss_ : float
        Half the squared error, averaged over the examples and the outputs; or half the deviance of the Poisson
        distribution, summed over the outputs and averaged over the examples. It is that of the last epoch, of each
        batch before its update, without the penalty; and the smallest of all epochs (None with `early_stopping`).
    validation_scores_, best_validation_score_ : list of float, float
        R² on the held-out examples after every epoch, averaged over the outputs, as ``score`` gives it; and the best.
        None without `early_stopping`.
    loss_curve_, n_iter_, t_, n_layers_ : list of float, int, int, int
        As in `MLPClassifier`.
    n_features_in_, feature_names_in_ : int, ndarray of str
        As in `MLPClassifier`.
    n_outputs_, out_activation_ : int, str
        Numbers for each row, and "identity", or "exp" for "poisson".

    Raises
    ------
    TypeError, ValueError
        From ``fit``, if a parameter is of the wrong kind or out of range, or X or y is not valid. The estimator is
        then as it was.
    FloatingPointError
        From ``fit``, as in `MLPClassifier`.

    Notes
    -----
    The loss is ``1/(2N) Σ Σ (prediction - y)²`` over a batch of N rows and all outputs, `IdentityWithLoss`. Its
    gradient is that of scikit-learn's class, whose `loss_` is also divided by the number of outputs. For "poisson" the
    loss is ``1/N Σ Σ (y log(y / prediction) - y + prediction)``.

    Weights and biases are drawn as in `MLPClassifier`: with the same `random_state`, training starts from the same
    numbers as scikit-learn's class and makes the same batches. y is not scaled: if it is far from zero or has a large
    scale, it is learnt faster through ``sklearn.compose.TransformedTargetRegressor``.

    The differences from scikit-learn's class are those of `MLPClassifier`, and one more: with several outputs, "lbfgs"
    minimizes the loss whose gradient it uses, not that loss divided by the number of outputs.

    Examples
    --------
    >>> from chainrule.sklearn import MLPRegressor
    >>> x = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    >>> y = x[:, 0] ** 2 + x[:, 1]
    >>> model = MLPRegressor(hidden_layer_sizes=32, learning_rate_init=0.05, tol=1e-6, max_iter=500, random_state=0)
    >>> _ = model.fit(x, y)
    >>> np.abs(model.predict([[0.5, 0.5], [-0.5, 0.0]]) - [0.75, 0.25]).max() < 0.1
    np.True_
    >>> model.score(x, y) > 0.99
    True
    """

    _kind = "regressor"
    _losses: ClassVar[dict[str, Any]] = {"identity": IdentityWithLoss, "exp": PoissonWithLoss}
    _scalable = "X and y"
    _shaped_by = "loss, hidden_layer_sizes or activation"

    def __init__(
        self,
        loss: Literal["squared_error", "poisson"] = "squared_error",
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
        epsilon: float = 1e-7,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
    ) -> None:
        self.loss = loss
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that there may be several outputs, and that counts are not negative."""
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags

    @available_if(by_epochs)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch on these examples.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.
        y : array_like, shape (N,) or (N, K)
            Finite numbers, as many per row as in the first call.
        sample_weight : array_like, shape (N,), optional
            As for `fit`; relative to the other rows of the same call.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class; also with `early_stopping`. The estimator is then as it was.

        Notes
        -----
        The solver keeps its state between steps, including its rate, from the previous call or from ``fit``.
        """
        with as_it_was_after_an_error(self):
            self._epoch(X, y, sample_weight, new=not self._goes_on_by_epochs())
        return self

    def predict(self, X: Any) -> FloatArray:
        """Give the predicted numbers for each row.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.

        Returns
        -------
        ndarray, shape (N,) or (N, K)
            In the dtype of the network; with one output always (N,).

        Raises
        ------
        NotFittedError
            If ``fit`` has not been called.
        ValueError
            If X is not valid.
        """
        return self._said(self._scores(X))

    def _said(self, scores: FloatArray) -> FloatArray:
        """Give the predictions in the shape that `y` had: a single output has no axis."""
        scores = scores[:, 0] if scores.shape[1] == 1 else scores
        with np.errstate(over="ignore"):
            return np.exp(scores) if self.out_activation_ == "exp" else scores

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.loss not in ("squared_error", "poisson"):
            raise ValueError(
                f"loss must be 'squared_error' or 'poisson', got {self.loss!r}; hidden_layer_sizes comes second"
            )

    def _architecture(self) -> Any:
        shape = super()._architecture()
        return shape if self.loss == "squared_error" else (*shape, self.loss)

    def _meet(self, y: Any, new: bool, classes: Any, whole: bool) -> None:
        outputs = 1 if y.ndim == 1 else y.shape[1]
        if new:
            self.n_outputs_ = outputs
            self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        elif outputs != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} number(s) a row, as in the first call, got {outputs}")

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        t = floats(y, "y")
        with np.errstate(over="ignore"):
            if not np.isfinite(t.astype(dtype, copy=False)).all():
                raise ValueError(f"y holds a number that is too large for {dtype}, which X has")
        if self.loss == "poisson" and (t < 0).any():
            raise ValueError(f"y must be >= 0 with loss='poisson', got {t.min()}")
        return t

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        said = self._said(net.predict(X))
        if not np.isfinite(said).all():
            return np.nan
        with np.errstate(over="ignore", invalid="ignore"):
            return float(r2_score(t, said, sample_weight=weight))

    def _as_loss_takes(self, t: NDArray[Any], weight: Any) -> tuple[NDArray[Any], Any]:
        if self.loss != "poisson":
            return t, weight
        return np.column_stack([t, np.ones(len(t)) if weight is None else weight]), None

    def _reported(self, loss: float) -> float:
        return loss if self.loss == "poisson" else loss / self.n_outputs_
