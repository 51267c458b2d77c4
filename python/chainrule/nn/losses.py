"""What ends a network: from the scores and `t` to one number, and back.

A loss is a layer of two inputs. It also says what `t` may be, and how well scores answer it: by which measure, under
which name. A loss of your own need only have ``forward`` and ``backward``.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, floats, numbers, real, rows_of, sample_weights, targets, weighted
from chainrule.nn.functions import sigmoid, softmax
from chainrule.nn.layers.base import remembered, times

__all__ = ["IdentityWithLoss", "Loss", "SigmoidWithLoss", "SoftmaxWithLoss"]

#: So many rows of scores are evaluated at once: what a kernel writes about them stays in the cache.
_ROWS = 4096


class Loss:
    """What the losses share; use `SoftmaxWithLoss`, `SigmoidWithLoss` or `IdentityWithLoss`.

    Attributes
    ----------
    loss : float
        The last loss, the mean over the examples.
    y : ndarray, the shape of the scores
        What the network says, from the last scores: probabilities, or numbers.
    t : ndarray
        The last teaching signal, in order.
    measure : str
        What `score` gives: "accuracy" or "r2".

    Notes
    -----
    With sample weights w: the sum of w times an example's loss, divided by N (as in Keras; not by the sum of w).
    """

    #: Its name in Rust.
    name: ClassVar[str]
    measure: ClassVar[str] = "accuracy"

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None
        self._dx: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Give the mean loss.

        Parameters
        ----------
        x : array_like, shape (N, C) or (C,)
            Scores.
        t : array_like
            What they should say, in the shape that the class asks for.
        sample_weight : array_like, shape (N,), optional
            How often each example counts, >= 0. The mean is still taken over N.

        Raises
        ------
        TypeError
            If any of them does not hold real numbers.
        ValueError
            If the shapes do not fit, the batch is empty, `t` is not what the loss is for, or a weight is negative or
            not finite.
        """
        x = floats(x, "x")
        if x.ndim not in (1, 2) or x.shape[-1] == 0:
            raise ValueError(f"scores must have shape (N, C) or (C,), got x.shape={x.shape}")
        t = self.in_order(t, x.shape, x.dtype)
        if x.size == 0:
            raise ValueError("the mean loss of an empty batch is not defined")
        shape = (-1, x.shape[-1])
        y, dx, weights = np.empty_like(x), np.empty_like(x), None
        if sample_weight is not None:
            weights = sample_weights(sample_weight, len(x.reshape(shape)))
            t, weights = self.with_weights(t, weights, x.shape[-1], x.dtype)
        loss = _kernels.loss(self.name, x.reshape(shape), t, y.reshape(shape), dx.reshape(shape), weights)
        self.loss, self.y, self.t, self._dx = loss, y, t, dx
        return loss

    def backward(self, dout: float = 1) -> FloatArray:
        """Give dL/dx, of the shape of the scores.

        Parameters
        ----------
        dout : float, default 1
            The gradient of what follows with respect to the loss.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError, ValueError
            If `dout` is not one finite number.
        """
        dx: FloatArray = remembered(self._dx, self)
        dout = real(dout, "dout")
        if dout == 1:  # as in every step of training
            return dx.copy()
        with np.errstate(over="ignore"):
            return times(dx, dx.dtype.type(dout))

    def in_order(self, t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Put `t` in order for scores of this shape, (N, C) or (C,), and dtype: checked, a copy, a row an example.

        Raises
        ------
        TypeError
            If it does not hold real numbers.
        ValueError
            If it is not what the loss is for.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what t may be")

    def evaluate(self, scores: FloatArray, t: Any) -> tuple[float, float]:
        """Give the mean loss of `scores`, (N, C) or (C,), and the measure called `measure`; nothing is remembered."""
        scores = floats(scores, "scores")  # those of a layer of the user's own may come in any layout
        t = self.in_order(t, scores.shape, scores.dtype)
        if scores.size == 0:
            raise ValueError(f"the {self.measure} of an empty batch is not defined")
        scores = np.atleast_2d(scores)
        loss = 0.0
        y, dx = np.empty_like(scores[:_ROWS]), np.empty_like(scores[:_ROWS])
        for start in range(0, len(scores), _ROWS):
            block = scores[start : start + _ROWS]
            n = len(block)
            loss += n * _kernels.loss(self.name, block, t[start : start + n], y[:n], dx[:n])
        loss /= len(scores)
        return loss, self.score(loss, self.right(scores, t), t)

    def accuracy(self, scores: FloatArray, t: Any) -> float:
        """Give the share of rows, (N, C) or (C,), that are answered right, without their loss."""
        t = self.in_order(t, scores.shape, scores.dtype)
        if scores.size == 0:
            raise ValueError("the accuracy of an empty batch is not defined")
        return self.right(np.atleast_2d(scores), t)

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share, 0.0-1.0, of rows that are answered right; nan if there is no right and wrong."""
        return np.nan

    def score(self, loss: float, right: float, t: NDArray[Any]) -> float:
        """Give the measure, from the mean loss over a set, the share of right answers, and `t` in order."""
        return right

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give what scores, (N, C) or (C,), say of each class, 0.0-1.0."""
        raise ValueError(f"{type(self).__name__} has no probabilities: its scores are the answer")

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give the answers of scores, (N, C) or (C,), in classes."""
        raise ValueError(f"{type(self).__name__} has no classes: its scores are the answer")

    def confusion(self, scores: FloatArray, t: Any) -> NDArray[np.int64] | None:
        """Give how many examples of each class (a row) were taken for each (a column); None if they have not one class.

        Parameters
        ----------
        scores : ndarray, shape (N, C)
            As `Network.predict` gives them.
        t : array_like
            What they should say, in the shape that the class asks for.

        Returns
        -------
        ndarray of int64, shape (C, C), or None

        Raises
        ------
        TypeError, ValueError
            If `t` is not what the loss is for.
        """
        return None

    def with_weights(
        self, t: NDArray[Any], weights: FloatArray, classes: int, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], FloatArray | None]:
        """Give `t` and the weights as the kernels take them."""
        return t, weights.astype(dtype)

    def to_read(self, t: NDArray[Any]) -> NDArray[Any]:
        """Give `t` of a whole set as training reads it: with the same loss and gradient."""
        return t

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Give `t` with a share of each answer spread over all answers there are."""
        raise ValueError(f"label_smoothing is for classes, and {type(self).__name__} has none")


class SoftmaxWithLoss(Loss):
    """``loss = mean over the rows of -log softmax(x)[t]``: softmax and cross entropy in one layer.

    `t` holds class ids, shape (N,) or (N, 1), or a distribution for each example, (N, C), one-hot or soft, used as
    given; for scores of one example, (C,), it is one id, or has shape (C,). The measure is the accuracy: the share of
    rows whose largest score is that of the right class.

    Notes
    -----
    dL/dx = (y - t) / N · dout, with y = softmax(x). (For a `t` whose row sums to s, within 1e-3 of 1: s·y - t, the
    exact derivative.) With sample weights, w (y - t) / N · dout.

    The loss is taken from the scores by log-sum-exp, not from the probabilities: it is 0 and not below when the
    network is certain and right, and is not capped when it is certain and wrong. In nats.
    Source: the tutorial's "Softmax层".

    Examples
    --------
    >>> layer = SoftmaxWithLoss()
    >>> round(layer.forward(np.log([[1.0, 2.0, 5.0]]), [2]), 6)  # -log(5/8)
    0.470004
    >>> layer.backward()
    array([[ 0.125,  0.25 , -0.375]])
    """

    name = "softmax"

    def in_order(self, t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Put `t` in order: int64 of shape (N,) for class ids, or distributions in `dtype`, (N, C)."""
        return targets(t, shape, dtype)[0]

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give softmax(scores): the rows sum to 1."""
        return np.asarray(softmax(scores))

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give the class of the largest score, shape (N,) or (); the first, if several are as large."""
        return np.asarray(np.argmax(scores, axis=-1))

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share of rows whose largest score is that of the right class."""
        return float(np.mean(np.argmax(scores, axis=1) == _ids(t)))

    def confusion(self, scores: FloatArray, t: Any) -> NDArray[np.int64] | None:
        """Give how many examples of each class (a row) have their largest score in each (a column), shape (C, C)."""
        return confusion_of(scores, _ids(self.in_order(t, scores.shape, scores.dtype)))

    def with_weights(
        self, t: NDArray[Any], weights: FloatArray, classes: int, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], FloatArray | None]:
        """Give rows times their weights: the loss takes the sum of a row for its weight."""
        return weighted(rows_of(t, classes, dtype), weights), None

    def to_read(self, t: NDArray[Any]) -> NDArray[Any]:
        """Give one-hot rows as class ids: there is less to read."""
        one_hot = t.ndim == 2 and bool(((t == 0) | (t == 1)).all())
        return _ids(t) if one_hot else t

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Spread a share of each distribution evenly over all classes."""
        return np.asarray(rows_of(t, classes, dtype) * dtype.type(1 - share) + dtype.type(share / classes))


class SigmoidWithLoss(Loss):
    """``loss = mean over the rows of Σ -t log(y) - (1 - t) log(1 - y)``, ``y = sigmoid(x)``: yes or no, C times.

    `t` holds numbers between 0 and 1, in the shape of the scores, (N, C); with one column, shape (N,) will do. The
    measure is the accuracy: the share of rows all of whose answers are right, y > 1/2 where t > 1/2.

    Notes
    -----
    dL/dx = (y - t) / N · dout; with sample weights, w (y - t) / N · dout.

    The loss is taken from the scores, ``max(x, 0) - x t + log(1 + exp(-|x|))``, so that nothing is capped. In nats.
    Source: "Deep Learning from Scratch 2" §4.2.4.

    Examples
    --------
    >>> layer = SigmoidWithLoss()
    >>> round(layer.forward([[np.log(3.0)]], [1]), 6)  # -log(3/4)
    0.287682
    >>> layer.backward()
    array([[-0.25]])
    """

    name = "sigmoid"

    def in_order(self, t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Put `t` in order, in `dtype`, (N, C)."""
        rows = _rows(t, shape, dtype)
        bad = ~((rows >= 0) & (rows <= 1))  # written so that nan is bad
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"t must lie in 0..1; got {rows[row, column]} at row {row}")
        return rows

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give sigmoid(scores): of each answer, how likely it is yes."""
        return np.asarray(sigmoid(scores))

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give yes, 1, or no, 0, in the shape of the scores: yes where it is likelier."""
        return (scores > 0).astype(np.int64)

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share of rows all of whose answers are right."""
        return float(np.mean(np.all((scores > 0) == (t > 0.5), axis=1)))

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Spread a share of each answer evenly over yes and no."""
        return np.asarray(t * dtype.type(1 - share) + dtype.type(share / 2))


class IdentityWithLoss(Loss):
    """``loss = mean over the rows of ½ Σ (x - t)²``: the scores are the answer, as in regression.

    `t` holds finite numbers in the shape of the scores, (N, C); with one column, shape (N,) will do. The measure is R²,
    the share of the variance of `t` that is explained: ``1 - Σ (x - t)² / Σ (t - mean of its column)²``, 1 at best, 0
    for the mean; of a constant `t`, 1 if it is met and 0 if not.

    Notes
    -----
    dL/dx = (x - t) / N · dout; with sample weights, w (x - t) / N · dout. The half is the book's: with it the gradient
    is that of softmax with cross entropy.
    Source: "Deep Learning from Scratch" §4.2.1 and §5.6.3.

    Examples
    --------
    >>> layer = IdentityWithLoss()
    >>> layer.forward([[1.0], [5.0]], [2.0, 2.0])
    2.5
    >>> layer.backward()
    array([[-0.5],
           [ 1.5]])
    """

    name = "squared"
    measure = "r2"

    def in_order(self, t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Put `t` in order, in `dtype`, (N, C)."""
        rows = _rows(t, shape, dtype)
        bad = ~np.isfinite(rows)
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"t must be finite; got {rows[row, column]} at row {row}")
        return rows

    def score(self, loss: float, right: float, t: NDArray[Any]) -> float:
        """Give R²."""
        variance = float(np.var(t, axis=0, dtype=np.float64).sum())
        return 1 - 2 * loss / variance if variance else float(loss == 0)


def accuracy_of(scores: FloatArray, t: Any) -> float:
    """Give the share, 0.0-1.0, of rows, (N, C) or (C,), whose largest score is that of the right class.

    Raises
    ------
    ValueError
        If a shape does not fit, there are no examples, or a label is out of range.
    """
    return SoftmaxWithLoss().accuracy(scores, t)


def confusion_of(scores: FloatArray, ids: NDArray[Any]) -> NDArray[np.int64]:
    """Give how many examples of each class (a row) have their largest score in each (a column), shape (C, C).

    Parameters
    ----------
    scores : ndarray, shape (N, C)
        As `Network.predict` gives them.
    ids : ndarray of int, shape (N,)
        Class ids that have been checked.
    """
    C = scores.shape[1]
    return np.bincount(ids.astype(np.int64) * C + scores.argmax(axis=1), minlength=C * C).reshape(C, C)


def _ids(t: NDArray[Any]) -> NDArray[Any]:
    """Give class ids of `t` in order: of distributions, those of the largest share."""
    return t if t.ndim == 1 else np.argmax(t, axis=1)


def _rows(t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give a copy of numbers with a row for each of the scores."""
    array = numbers(t, "t")
    n, columns = shape if len(shape) == 2 else (1, shape[0])
    fits = array.shape == shape or (columns == 1 and array.shape == shape[:-1])
    if not fits:
        raise ValueError(f"t must have the shape of the scores, {shape}, got t.shape={array.shape}")
    with np.errstate(all="ignore"):  # what overflows in the cast is refused by name
        return np.array(array, dtype, order="C").reshape(n, columns)
