"""Classifiers for scikit-learn."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import column_or_1d
from sklearn.utils.multiclass import check_classification_targets

from chainrule._gate import FloatArray
from chainrule.nn.functions import log_softmax, softmax
from chainrule.nn.losses import SoftmaxWithLoss
from chainrule.nn.network import Network
from chainrule.sklearn.base import Estimator, as_it_was_after_an_error
from chainrule.sklearn.perceptron import Perceptron


class Classifier(ClassifierMixin, Estimator):  # type: ignore[misc]  # scikit-learn has no types
    """What classifiers share: labels, probabilities, and softmax at the end."""

    _kind = "classifier"
    _loss = SoftmaxWithLoss
    _ends_with = "softmax"

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:
        """Train one epoch more on these examples.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite; for `ConvClassifier` also images.
        y : array_like, shape (N,)
            Labels, all of them among the classes.
        sample_weight : array_like, shape (N,), optional
            As for `fit`; beside the others of the same call.
        classes : array_like, shape (C,), optional
            All labels there will ever be: needed by the first call.

        Returns
        -------
        MLPClassifier or ConvClassifier
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
        with as_it_was_after_an_error(self):
            going_on = self._goes_on_by_epochs()
            if classes is None and not going_on:
                raise ValueError("classes must be given to the first call of partial_fit: all labels there will be")
            if classes is not None and going_on and not np.array_equal(np.unique(classes), self.classes_):
                raise ValueError(f"classes must be those of the first call, {self.classes_}, got {classes!r}")
            self._epoch(X, y, sample_weight, new=not going_on, classes=classes)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Give the most probable label of each row.

        Parameters
        ----------
        X : array_like or DataFrame, shape (N, D)
            Real numbers, finite; for `ConvClassifier` also images.

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

    def _meet(self, y: Any, new: bool, classes: Any) -> None:
        check_classification_targets(y)
        if new:
            self._encoder = LabelEncoder().fit(y if classes is None else column_or_1d(classes))
            self.classes_ = self._encoder.classes_
            self.n_outputs_ = len(self.classes_)

    def _taught(self, y: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
        try:
            ids: NDArray[Any] = self._encoder.transform(y)
        except ValueError as error:
            raise ValueError(f"y must hold labels among the classes {self.classes_}: {error}") from None
        return ids

    def _score(self, net: Network, X: FloatArray, t: NDArray[Any], weight: Any) -> float:
        return float(np.average(np.argmax(net.predict(X), axis=1) == t, weights=weight))

    def _strata(self, t: NDArray[Any]) -> NDArray[Any]:
        return t


class MLPClassifier(Classifier, Perceptron):
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
    "lbfgs" and `max_fun`, `epsilon` (1e-7 here), `shuffle` (always done), several labels for one example.

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
