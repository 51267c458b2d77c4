"""Classifiers for scikit-learn."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, unique_labels

from chainrule._gate import FloatArray
from chainrule.nn.functions import log_softmax, sigmoid, softmax
from chainrule.nn.losses import Loss, SigmoidWithLoss, SoftmaxWithLoss
from chainrule.nn.network import Network
from chainrule.sklearn.base import Estimator, as_it_was_after_an_error, by_epochs
from chainrule.sklearn.perceptron import Perceptron


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifiers share: labels, probabilities, and the last layer.

    The last layer is softmax; for two classes, sigmoid of one score; for several labels per row, sigmoid of each
    label's score.
    """

    _kind = "classifier"
    _losses: ClassVar[dict[str, type[Loss]]] = {"softmax": SoftmaxWithLoss, "logistic": SigmoidWithLoss}

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that a row may have several labels."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    @available_if(by_epochs)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train for one more epoch on these examples.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.
        y : array_like, shape (N,) or (N, K)
            Labels, all of them among the classes; or 0 or 1 for each of K labels.
        sample_weight : array_like, shape (N,), optional
            As for `fit`; relative to the other rows of the same call.
        classes : array_like, shape (C,), optional
            All labels that will ever occur; the first call needs them.

        Returns
        -------
        MLPClassifier or ConvClassifier
            The estimator itself.

        Raises
        ------
        TypeError, ValueError, FloatingPointError
            See the class; also with `early_stopping`, or if `classes` is missing when needed or differs from before.
            The estimator is then as it was.

        Notes
        -----
        The solver keeps its state between steps, including its rate, from the previous call or from ``fit``.
        """
        with as_it_was_after_an_error(self):
            going_on = self._goes_on_by_epochs()
            if classes is None and not going_on:
                raise ValueError("classes must be given to the first call of partial_fit: all labels there will be")
            if classes is not None and going_on and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(f"classes must be those of the first call, {self.classes_}, got {classes!r}")
            self._epoch(X, y, sample_weight, new=not going_on, classes=classes)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label of each row; with several labels per row, whether the row has each of them.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.

        Returns
        -------
        ndarray, shape (N,) or (N, K)
            Labels, in the dtype of `classes_`; or 0 or 1 for each of K labels.

        Raises
        ------
        NotFittedError
            If ``fit`` has not been called.
        ValueError
            If X is not valid.
        """
        scores = self._scores(X)
        said: NDArray[Any] = self.network_.last_layer.classes(scores)
        labels: NDArray[Any] = said if self._encoder is None else self.classes_[said.reshape(-1)]
        return labels

    def predict_proba(self, X: Any) -> FloatArray:
        """Give the probability of each class.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.

        Returns
        -------
        ndarray, shape (N, C)
            Columns as in `classes_`, in the dtype of the network. Each row sums to 1, unless a row may have several
            labels.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        scores = self._scores(X)
        probabilities: FloatArray = sigmoid(scores) if self._encoder is None else softmax(self._of_classes(scores))
        return probabilities

    def predict_log_proba(self, X: Any) -> FloatArray:
        """Give the logarithm of each probability; it is finite even if the probability is too small for a float.

        Parameters
        ----------
        X : array_like, DataFrame or sparse matrix, shape (N, D)
            As for `fit`.

        Returns
        -------
        ndarray, shape (N, C)
            In nats, <= 0.

        Raises
        ------
        NotFittedError, ValueError
            As `predict`.
        """
        scores = self._scores(X)
        if self._encoder is None:
            p = sigmoid(scores)  # take its logarithm, so that equal probabilities have equal logarithms
            with np.errstate(divide="ignore"):
                return np.where(p > 0, np.log(p), scores)
        logarithms: FloatArray = log_softmax(self._of_classes(scores))
        return logarithms

    def _of_classes(self, scores: FloatArray) -> FloatArray:
        """Give a score for each class: sigmoid(x) is the second entry of the softmax of 0 and x."""
        if self.out_activation_ == "logistic":
            return np.concatenate([np.zeros_like(scores), scores], axis=1)
        return scores

    def _meet(self, y: Any, new: bool, classes: Any, whole: bool) -> None:
        check_classification_targets(y)
        several = y.ndim == 2
        if several and not np.isin(y, (0, 1)).all():
            raise ValueError(f"y must hold a label for each row, shape (N,), or 0 or 1 for each label, got {y.shape}")
        if new:
            self._meet_first(y, several, classes)
        elif several != (self._encoder is None) or (several and y.shape[1] != self.n_outputs_):
            raise ValueError(f"y must be as in the first call, with the classes {self.classes_}, got shape {y.shape}")
        elif whole and not np.array_equal(found := unique_labels(y), self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit."
                f" Previously got {self.classes_}, `y` has {found}"
            )

    def _meet_first(self, y: Any, several: bool, classes: Any) -> None:
        """Record the classes, and how many outputs they need."""
        self._encoder: Any = None  # for several labels per row
        if several:
            self.classes_ = np.arange(y.shape[1]) if classes is None else np.unique(classes)
            if len(self.classes_) != y.shape[1]:
                raise ValueError(f"classes must be {y.shape[1]}, one for each column of y, got {classes!r}")
        else:
            self._encoder = LabelEncoder().fit(y if classes is None else column_or_1d(classes))
            self.classes_ = self._encoder.classes_
        one = not several and len(self.classes_) <= 2
        self.n_outputs_ = 1 if one else len(self.classes_)
        self.out_activation_ = "logistic" if several or len(self.classes_) == 2 else "softmax"

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        if self._encoder is None:
            flags: NDArray[Any] = y.astype(dtype)
            return flags
        try:
            ids: NDArray[Any] = self._encoder.transform(y)
        except ValueError as error:
            raise ValueError(f"y must hold labels among the classes {self.classes_}: {error}") from None
        return ids

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        scores = net.predict(X)
        if not np.isfinite(scores).all():
            return np.nan
        right = net.last_layer.classes(scores).reshape(t.shape) == t
        return float(np.average(right.reshape(len(t), -1).all(axis=1), weights=weight))

    def _strata(self, t: NDArray[Any]) -> NDArray[Any] | None:
        return t.astype(bool)[:, None] if self.out_activation_ == "logistic" and t.ndim == 1 else None

    def _split(self, t: NDArray[Any], random: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        try:
            return super()._split(t, random)
        except ValueError as error:
            alone = [] if self._strata(t) is None else self.classes_[np.bincount(t, minlength=2) < 2].tolist()
            if not alone:
                raise
            what = f"early_stopping holds out rows of both classes, and of {alone[0]!r} there are not two"
            raise ValueError(f"{what}: {error}") from None  # scikit-learn knows the classes as False and True


class MLPClassifier(Classifier, Perceptron):
    """A multi-layer perceptron with softmax or sigmoid at the end, as a scikit-learn estimator.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer; ``()`` is softmax regression.
    activation : {"identity", "logistic", "tanh", "relu"}, default "relu"
        The activation after each hidden layer.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        The optimizer; "sgd" is gradient descent with `momentum`; "lbfgs" is SciPy's L-BFGS-B, in which each step uses
        all rows, which suits small data.
    alpha : float, default 0.0001
        Strength of the L2 penalty ``alpha / (2 batch) · Σ W²`` on weights, not on biases; >= 0.
    batch_size : int or "auto", default "auto"
        Examples per step; "auto" is 200, or all if there are fewer. Not for "lbfgs".
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For "sgd": "constant" uses `learning_rate_init` for all steps; "invscaling" divides it, after each epoch, by
        ``(examples seen + 1) ** power_t``; "adaptive" divides the rate by five whenever training would stop for lack of
        progress, down to 1e-6.
    learning_rate_init : float, default 0.001
        The rate of the first steps, > 0.
    power_t : float, default 0.5
        For "invscaling", >= 0.
    max_iter : int, default 200
        The largest number of epochs, or of steps for "lbfgs".
    shuffle : bool, default True
        Whether the rows are shuffled for each epoch. Not for "lbfgs".
    random_state : int, RandomState or None
        The source of the weights, the held-out examples and the order of the rows.
    tol : float, default 0.0001
        The least improvement that counts as progress, in nats of the loss or, with `early_stopping`, in accuracy;
        >= 0. "lbfgs" ends when no entry of the gradient is larger.
    verbose : bool or int, default False
        Print the loss of each epoch, or of each step of "lbfgs".
    warm_start : bool, default False
        ``fit`` continues from the present weights, with all the previous classes; the best result so far and the rate
        of "invscaling" continue too.
    momentum : float, default 0.9
        For "sgd", in 0 <= momentum < 1.
    nesterovs_momentum : bool, default True
        For "sgd": whether the momentum looks ahead.
    early_stopping : bool, default False
        Hold out examples, with two classes the same share of each; stop by their accuracy, and keep the weights with
        the best. Not for "lbfgs".
    validation_fraction : float, default 0.1
        The share to hold out, in 0..1; at least two rows.
    beta_1, beta_2 : float, default 0.9 and 0.999
        For "adam", in 0 <= beta < 1.
    epsilon : float, default 1e-7
        For "adam": keeps its quotient finite, > 0. With any other value, NumPy makes the steps instead of Rust.
    n_iter_no_change : int, default 10
        Training stops after more than this many epochs in a row without progress.
    max_fun : int, default 15000
        For "lbfgs": how often the loss may be computed.

    Attributes
    ----------
    network_ : chainrule.Network
        The trained network, for everything that this package can do with one.
    classes_ : ndarray, shape (C,)
        The labels, sorted; the columns of the probabilities.
    coefs_, intercepts_ : list of ndarray
        Weights (inputs, units) and biases (units,) of each layer: the arrays of `network_`. The lists and each array in
        them may be assigned; the numbers are copied. If assigned before any ``fit``, they are the initial values for
        ``partial_fit`` and with `warm_start`.
    loss_, best_loss_ : float
        The mean loss over the last epoch, in nats, of each batch before its update, without the penalty; and the
        smallest of all epochs (None with `early_stopping`). For "lbfgs" the loss after the last step, and the smallest.
    loss_curve_ : list of float
        `loss_` for every epoch, or after every step of "lbfgs".
    validation_scores_, best_validation_score_ : list of float, float
        The accuracy on the held-out examples after every epoch, and the best; None without `early_stopping`.
    n_iter_, t_ : int, int
        Epochs of the last ``fit``, or steps of "lbfgs"; and the rows seen in all epochs since the weights were drawn.
    n_features_in_, feature_names_in_ : int, ndarray of str
        Those that ``fit`` saw; names only if all columns had one.
    n_layers_, n_outputs_, out_activation_ : int, int, str
        Layers, counting the input as one; outputs, one for each class, but only one for two classes; "softmax", or
        "logistic" for two classes or several labels per row.

    Raises
    ------
    TypeError, ValueError
        From ``fit``, if a parameter is of the wrong kind or out of range, or X or y is not valid. The estimator is
        then as it was.
    FloatingPointError
        From ``fit``, if the loss becomes nan or infinite; with `early_stopping`, if no score of the held-out rows is
        finite. It is also a ValueError, as in scikit-learn.

    Notes
    -----
    Weights and biases are drawn from a uniform distribution over ± √(6 / (inputs + units)), √(2 / …) for "logistic", in
    the same order as by scikit-learn's class, and the rows of each epoch are in its order too: the same `random_state`
    starts from the same numbers and makes the same batches.

    y of shape (N, K) with 0 and 1 says for each of K labels whether a row has it. Sparse X is converted to dense rows
    piece by piece, and as a whole for "lbfgs".

    For float32 input, the network and the probabilities are float32; for anything else, float64.

    Differences from scikit-learn's class: a smaller last batch of an epoch has the same penalty as the others; the
    losses are without the penalty; the default of `epsilon` is 1e-7, there 1e-8; ``fit`` refuses a changed
    architecture when it continues from weights; Ctrl-C is a KeyboardInterrupt.

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
