"""The end of a network: from the scores and `t` to one number, and back.

A loss is a layer with two inputs. It also says what `t` may be, and how well the scores match it: by which measure, and
under which name. A loss of your own needs only ``forward`` and ``backward``.
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

#: Rows of scores to evaluate at once: few enough that what a kernel writes about them stays in the cache.
_ROWS = 4096


class Loss:
    """What the losses share; use `SoftmaxWithLoss`, `SigmoidWithLoss` or `IdentityWithLoss`.

    Attributes
    ----------
    loss : float
        The last loss, the mean over the examples.
    y : ndarray, the shape of the scores
        The network's answer, from the last scores: probabilities, or numbers.
    t : ndarray
        The last teaching signal, checked and in the form that the kernels read.
    measure : str
        The measure that `score` gives: "accuracy" or "r2".

    Notes
    -----
    With sample weights w, the loss is the sum of w times each example's loss, divided by N (as in Keras; not by the sum
    of w).
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
            The teaching signal, in the shape that the class asks for.
        sample_weight : array_like, shape (N,), optional
            How much each example counts, >= 0. The mean is still taken over N.

        Raises
        ------
        TypeError
            If an argument does not hold real numbers.
        ValueError
            If the shapes do not fit, the batch is empty, `t` does not suit the loss, or a weight is negative or not
            finite.
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
        """Give dL/dx, in the shape of the scores.

        Parameters
        ----------
        dout : float, default 1
            The gradient of the final result with respect to this loss.

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
        """Give a checked copy of `t`, one row for each example, for scores of this shape, (N, C) or (C,), and dtype.

        Raises
        ------
        TypeError
            If `t` does not hold real numbers.
        ValueError
            If `t` does not suit the loss.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say what t may be")

    def evaluate(self, scores: FloatArray, t: Any) -> tuple[float, float]:
        """Give the mean loss of `scores`, (N, C) or (C,), and the measure named by `measure`; nothing is remembered."""
        scores = floats(scores, "scores")  # a user's own layer may give scores in any layout
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
        """Give the share of rows, (N, C) or (C,), that are answered correctly, without computing the loss."""
        t = self.in_order(t, scores.shape, scores.dtype)
        if scores.size == 0:
            raise ValueError("the accuracy of an empty batch is not defined")
        return self.right(np.atleast_2d(scores), t)

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share, 0.0-1.0, of rows that are answered correctly; nan if answers are not right or wrong."""
        return np.nan

    def score(self, loss: float, right: float, t: NDArray[Any]) -> float:
        """Give the measure, from the mean loss over a set, the share of right answers, and the checked `t`."""
        return right

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give the probability of each class, 0.0-1.0, from scores, (N, C) or (C,)."""
        raise ValueError(f"{type(self).__name__} has no probabilities: its scores are the answer")

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give the classes that scores, (N, C) or (C,), predict."""
        raise ValueError(f"{type(self).__name__} has no classes: its scores are the answer")

    def confusion(self, scores: FloatArray, t: Any) -> NDArray[np.int64] | None:
        """Give the number of examples of each class (rows) predicted as each (columns); None without single classes.

        Parameters
        ----------
        scores : ndarray, shape (N, C)
            As `Network.predict` gives them.
        t : array_like
            The teaching signal, in the shape that the class asks for.

        Returns
        -------
        ndarray of int64, shape (C, C), or None

        Raises
        ------
        TypeError, ValueError
            If `t` does not suit the loss.
        """
        return None

    def with_weights(
        self, t: NDArray[Any], weights: FloatArray, classes: int, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], FloatArray | None]:
        """Give `t` and the weights in the form that the kernels take."""
        return t, weights.astype(dtype)

    def to_read(self, t: NDArray[Any]) -> NDArray[Any]:
        """Give `t` of a whole set in the form that training reads: the loss and the gradient are the same."""
        return t

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Give `t` with a share of each answer spread over all possible answers."""
        raise ValueError(f"label_smoothing is for classes, and {type(self).__name__} has none")


class SoftmaxWithLoss(Loss):
    """``loss = mean over the rows of -log softmax(x)[t]``: softmax and cross entropy in one layer.

    `t` holds class ids, shape (N,) or (N, 1), or a distribution for each example, (N, C), one-hot or soft, which is
    used as given. For the scores of one example, (C,), `t` is one id or has shape (C,). The measure is the accuracy:
    the share of rows whose largest score is that of the right class.

    Notes
    -----
    dL/dx = (y - t) / N · dout, with y = softmax(x). (For a `t` whose row sums to s, within 1e-3 of 1: s·y - t, the
    exact derivative.) With sample weights, w (y - t) / N · dout.

    The loss is computed from the scores by log-sum-exp, not from the probabilities. So it is exactly 0, never below,
    when the network is certain and right, and it has no upper limit when the network is certain and wrong. In nats.
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
        """Give a checked copy of `t`: int64 of shape (N,) for class ids, or distributions in `dtype`, (N, C)."""
        return targets(t, shape, dtype)[0]

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give softmax(scores), whose rows sum to 1."""
        return np.asarray(softmax(scores))

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give the class of the largest score, shape (N,) or (); the first one if several tie."""
        return np.asarray(np.argmax(scores, axis=-1))

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share of rows whose largest score is that of the right class."""
        return float(np.mean(np.argmax(scores, axis=1) == _ids(t)))

    def confusion(self, scores: FloatArray, t: Any) -> NDArray[np.int64] | None:
        """Give the number of examples of each class (rows) with the largest score in each (columns), shape (C, C)."""
        return confusion_of(scores, _ids(self.in_order(t, scores.shape, scores.dtype)))

    def with_weights(
        self, t: NDArray[Any], weights: FloatArray, classes: int, dtype: np.dtype[Any]
    ) -> tuple[NDArray[Any], FloatArray | None]:
        """Multiply each row by its weight: the loss reads the weight of a row from its sum."""
        return weighted(rows_of(t, classes, dtype), weights), None

    def to_read(self, t: NDArray[Any]) -> NDArray[Any]:
        """Turn one-hot rows into class ids, so that there is less to read."""
        one_hot = t.ndim == 2 and bool(((t == 0) | (t == 1)).all())
        return _ids(t) if one_hot else t

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Spread a share of each distribution evenly over all classes."""
        return np.asarray(rows_of(t, classes, dtype) * dtype.type(1 - share) + dtype.type(share / classes))


class SigmoidWithLoss(Loss):
    """``loss = mean over the rows of Σ -t log(y) - (1 - t) log(1 - y)``, ``y = sigmoid(x)``: yes or no, C times.

    `t` holds numbers between 0 and 1, in the shape of the scores, (N, C); for one column, shape (N,) works too. The
    measure is the accuracy: the share of rows in which all answers are right, that is, y > 1/2 exactly where t > 1/2.

    Notes
    -----
    dL/dx = (y - t) / N · dout; with sample weights, w (y - t) / N · dout.

    The loss is computed from the scores, ``max(x, 0) - x t + log(1 + exp(-|x|))``, so it has no upper limit. In nats.
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
        """Give a checked copy of `t`, in `dtype`, (N, C)."""
        rows = _rows(t, shape, dtype)
        bad = ~((rows >= 0) & (rows <= 1))  # written so that nan is bad
        if bad.any():
            row, column = (int(i) for i in np.argwhere(bad)[0])
            raise ValueError(f"t must lie in 0..1; got {rows[row, column]} at row {row}")
        return rows

    def probabilities(self, scores: FloatArray) -> FloatArray:
        """Give sigmoid(scores): the probability that each answer is yes."""
        return np.asarray(sigmoid(scores))

    def classes(self, scores: FloatArray) -> NDArray[Any]:
        """Give 1 for yes or 0 for no, in the shape of the scores: yes where it is more likely."""
        return (scores > 0).astype(np.int64)

    def right(self, scores: FloatArray, t: NDArray[Any]) -> float:
        """Give the share of rows in which all answers are right."""
        return float(np.mean(np.all((scores > 0) == (t > 0.5), axis=1)))

    def smoothed(self, t: NDArray[Any], share: float, classes: int, dtype: np.dtype[Any]) -> FloatArray:
        """Spread a share of each answer evenly over yes and no."""
        return np.asarray(t * dtype.type(1 - share) + dtype.type(share / 2))


class IdentityWithLoss(Loss):
    """``loss = mean over the rows of ½ Σ (x - t)²``: the scores are the answer, as in regression.

    `t` holds finite numbers in the shape of the scores, (N, C); for one column, shape (N,) works too. The measure is
    R², the share of the variance of `t` that is explained: ``1 - Σ (x - t)² / Σ (t - mean of its column)²``. It is 1 at
    best, and 0 for scores equal to the mean. For a constant `t` it is 1 if the scores equal it, and 0 if not.

    Notes
    -----
    dL/dx = (x - t) / N · dout; with sample weights, w (x - t) / N · dout. The factor ½ is the book's: it makes the
    gradient look like that of softmax with cross entropy.
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
        """Give a checked copy of `t`, in `dtype`, (N, C)."""
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
    """Give the share, 0.0-1.0, of rows, (N, C) or (C,), whose largest score belongs to the right class.

    Raises
    ------
    ValueError
        If a shape does not fit, there are no examples, or a label is out of range.
    """
    return SoftmaxWithLoss().accuracy(scores, t)


def confusion_of(scores: FloatArray, ids: NDArray[Any]) -> NDArray[np.int64]:
    """Give the number of examples of each class (rows) with the largest score in each (columns), shape (C, C).

    Parameters
    ----------
    scores : ndarray, shape (N, C)
        The scores that `Network.predict` gives.
    ids : ndarray of int, shape (N,)
        Checked class ids.
    """
    C = scores.shape[1]
    return np.bincount(ids.astype(np.int64) * C + scores.argmax(axis=1), minlength=C * C).reshape(C, C)


def _ids(t: NDArray[Any]) -> NDArray[Any]:
    """Give the class ids of a checked `t`: for a distribution, the class with the largest share."""
    return t if t.ndim == 1 else np.argmax(t, axis=1)


def _rows(t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Give a copy of `t` with one row for each row of scores."""
    array = numbers(t, "t")
    n, columns = shape if len(shape) == 2 else (1, shape[0])
    fits = array.shape == shape or (columns == 1 and array.shape == shape[:-1])
    if not fits:
        raise ValueError(f"t must have the shape of the scores, {shape}, got t.shape={array.shape}")
    with np.errstate(all="ignore"):  # the caller refuses what overflows in the cast, with a message
        return np.array(array, dtype, order="C").reshape(n, columns)
