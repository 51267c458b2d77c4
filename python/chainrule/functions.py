"""The functions of the tutorial: activations, softmax and losses, to be read beside its formulas.

All take anything ``numpy.asarray`` takes and return new arrays; a number, or an array with no axes, gives a
NumPy scalar. Every one is right from -inf to inf, gives nan for nan as NumPy does, and never warns.

Dtypes follow NumPy: float32 stays float32, float64 float64; booleans and integers become float64; float16 and
bfloat16 are computed in float32 and rounded once to what they came in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, compute_dtype, floats, numbers, real, targets


class _Function(Protocol):
    def __call__(self, x: ArrayLike) -> Any: ...


def _on_floats(formula: Callable[[FloatArray], Any]) -> _Function:
    """Hand `formula` its argument as float32 or float64, quietly; give the result NumPy's dtype."""

    @wraps(formula)
    def function(x: ArrayLike) -> Any:
        given = numbers(x, "x")
        with np.errstate(all="ignore"):
            return formula(floats(given, "x")).astype(_returned_dtype(given.dtype), copy=False)

    return function


def _returned_dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    """Give the dtype of a result for an argument of dtype `given`: its own, or float64 for whole numbers."""
    return compute_dtype(given) if given.kind in "biu" else given.newbyteorder("=")


@_on_floats
def identity_function(x: FloatArray) -> Any:
    """Give `x` itself, in a new array: the output activation of a regression.

    ``y = x``

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray or scalar
        The values of `x`, in its shape and dtype (whole numbers as float64).

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    Source: the tutorial's "基本函数"; "Deep Learning from Scratch" §3.5.

    Examples
    --------
    >>> identity_function([1, -2])
    array([ 1., -2.])
    """
    return +x


def step_function(x: ArrayLike) -> NDArray[np.int64]:
    """Give 1 where `x` is above 0, otherwise 0.

    ``y = 1 if x > 0 else 0``

    Parameters
    ----------
    x : array_like
        Any shape, any real dtype.

    Returns
    -------
    ndarray of int64
        In the shape of `x`; an array with no axes for a number. 0 for nan.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    Source: the tutorial's "基本函数", whose ``np.int`` NumPy no longer has; "Deep Learning from Scratch"
    §3.2.3.

    Examples
    --------
    >>> step_function([-1.0, 0.0, 2.0])
    array([0, 0, 1])
    """
    return np.array(floats(x, "x") > 0, dtype=np.int64)


@_on_floats
def sigmoid(x: FloatArray) -> Any:
    """Squash every number into 0..1.

    ``y = 1 / (1 + exp(-x))``

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray or scalar
        In the shape and dtype of `x` (whole numbers give float64).

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    Written with ``e = exp(-|x|)``, which never overflows: ``1 / (1 + e)`` for x >= 0, and, the same
    fraction expanded by exp(x), ``e / (1 + e)`` below.

    Source: the tutorial's "基本函数"; "Deep Learning from Scratch" §3.2.4.

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@_on_floats
def sigmoid_grad(x: FloatArray) -> Any:
    """Give the slope of `sigmoid` at `x`.

    ``dy/dx = y (1 - y) = sigmoid(x) sigmoid(-x)``

    Parameters
    ----------
    x : array_like
        Any shape; the argument of the sigmoid, not its result.

    Returns
    -------
    ndarray or scalar
        In the shape and dtype of `x` (whole numbers give float64).

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    The tutorial's ``1 - sigmoid(x)`` loses every digit for large x, where the sigmoid rounds to 1;
    ``sigmoid(-x)`` is the same number with all of them.

    Source: the tutorial's "基本函数" and "Sigmoid层"; "Deep Learning from Scratch" §5.5.2.

    Examples
    --------
    >>> sigmoid_grad(0.0)
    np.float64(0.25)
    """
    return sigmoid(x) * sigmoid(-x)


@_on_floats
def relu(x: FloatArray) -> Any:
    """Keep what is above 0, put 0 for the rest.

    ``y = max(0, x)``

    Parameters
    ----------
    x : array_like
        Any shape.

    Returns
    -------
    ndarray or scalar
        In the shape and dtype of `x` (whole numbers give float64). nan stays nan.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    Source: the tutorial's "基本函数"; "Deep Learning from Scratch" §3.2.7.

    Examples
    --------
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    return np.maximum(0, x)


@_on_floats
def relu_grad(x: FloatArray) -> Any:
    """Give the slope of `relu` at `x`: 1 above 0, otherwise 0.

    ``dy/dx = 1 if x > 0 else 0``

    Parameters
    ----------
    x : array_like
        Any shape; the argument of the relu.

    Returns
    -------
    ndarray or scalar
        Ones and zeros in the shape and dtype of `x` (whole numbers give float64). 0 for nan.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    At 0, where there is no slope, it is 0 as in the layer `Relu` and the tutorial's formula. The tutorial's
    function says 1 there (and does not run).

    Source: the tutorial's "基本函数" and "ReLU层".

    Examples
    --------
    >>> relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    return (x > 0).astype(x.dtype)


@_on_floats
def softmax(x: FloatArray) -> Any:
    """Turn scores into probabilities along the last axis.

    ``yₖ = exp(xₖ) / Σᵢ exp(xᵢ)``

    Parameters
    ----------
    x : array_like, shape (..., C)
        Scores: one example (C,), a batch (N, C), or any rank above. A single number is the only class there
        is.

    Returns
    -------
    ndarray or scalar
        In the shape and dtype of `x` (whole numbers give float64); each row is >= 0 and sums to 1. A row
        with nan or inf, or with nothing but -inf, is nan. Empty for an empty `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    The largest score of the row is taken off first: it cancels in the fraction and keeps exp from
    overflowing.

    Source: the tutorial's "Softmax 层", whose function normalises the wrong axis from 3-D on; "Deep Learning
    from Scratch" §3.5.

    Examples
    --------
    >>> softmax([[0.0, 0.0], [1000.0, 0.0]])
    array([[0.5, 0.5],
           [1. , 0. ]])
    """
    e = np.exp(x - _row_maximum(x))
    return e / np.sum(e, axis=-1, keepdims=True)


@_on_floats
def log_softmax(x: FloatArray) -> Any:
    """Give the logarithm of `softmax` without ever taking the logarithm of a probability.

    ``ln yₖ = xₖ - ln Σᵢ exp(xᵢ)``

    Parameters
    ----------
    x : array_like, shape (..., C)
        Scores, as for `softmax`.

    Returns
    -------
    ndarray or scalar
        In the shape and dtype of `x` (whole numbers give float64); never above 0. Finite where the
        probability itself would round to 0. nan where `softmax` is nan, empty for an empty `x`.

    Raises
    ------
    TypeError
        If `x` does not hold real numbers, or is masked.

    Notes
    -----
    Source: the log-sum-exp of Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax
    functions", IMA Journal of Numerical Analysis 41 (2021).

    Examples
    --------
    >>> log_softmax([1000.0, 0.0])
    array([    0., -1000.])
    """
    shifted = x - _row_maximum(x)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _row_maximum(x: FloatArray) -> Any:
    # -inf to start from, so that a row without classes has a maximum too.
    return np.max(x, axis=-1, keepdims=True, initial=-np.inf)


def sum_squared_error(y: ArrayLike, t: ArrayLike) -> Any:
    """Give half the sum of the squared differences.

    ``E = ½ Σₖ (yₖ - tₖ)²``

    Parameters
    ----------
    y : array_like
        Outputs, any shape.
    t : array_like
        What they should have been, in the shape of `y`.

    Returns
    -------
    scalar
        In NumPy's dtype for the two (float16 with float16 gives float16). 0 for empty arrays.

    Raises
    ------
    TypeError
        If `y` or `t` does not hold real numbers, or is masked.
    ValueError
        If the shapes differ. NumPy would broadcast (N,) with (N, 1) to N × N differences, silently.

    Notes
    -----
    Source: the tutorial's "基本函数"; "Deep Learning from Scratch" §4.2.1.

    Examples
    --------
    >>> sum_squared_error([0.5, 0.0], [1.0, 1.0])
    np.float64(0.625)
    """
    outputs, teaching = numbers(y, "y"), numbers(t, "t")
    if outputs.shape != teaching.shape:
        raise ValueError(f"y and t must have the same shape, got y.shape={outputs.shape}, t.shape={teaching.shape}")
    with np.errstate(all="ignore"):
        error = 0.5 * np.sum((floats(outputs, "y") - floats(teaching, "t")) ** 2)
        return error.astype(_returned_dtype(outputs.dtype)) if outputs.dtype == teaching.dtype else error


def mean_squared_error(y: ArrayLike, t: ArrayLike) -> Any:
    """Give half the sum of squares, despite its name: the tutorial's name for `sum_squared_error`.

    ``E = ½ Σₖ (yₖ - tₖ)²``

    Parameters
    ----------
    y, t : array_like
        As for `sum_squared_error`.

    Returns
    -------
    scalar
        As for `sum_squared_error`. For a true mean divide by ``y.size / 2``.

    Raises
    ------
    TypeError, ValueError
        As `sum_squared_error` does.

    Notes
    -----
    Source: the tutorial's "基本函数"; "Deep Learning from Scratch" §4.2.1.

    Examples
    --------
    >>> mean_squared_error([0.5, 0.0], [1.0, 1.0])
    np.float64(0.625)
    """
    return sum_squared_error(y, t)


def cross_entropy_error(y: ArrayLike, t: ArrayLike, eps: float = 1e-7) -> Any:
    """Give the mean cross entropy of *probabilities*.

    ``E = -1/N Σₙ Σₖ tₙₖ ln(yₙₖ + eps)``, for class ids ``-1/N Σₙ ln(y[n, tₙ] + eps)``

    Parameters
    ----------
    y : array_like, shape (N, C) or (C,)
        Probabilities, as `softmax` gives them. They are not checked.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids, or a distribution for each row (one-hot or soft), used as given. Which of the two is
        decided by the number of axes. For `y` of shape (C,): one id, or one distribution of shape (C,).
    eps : float, optional
        What is added inside the logarithm, >= 0. The tutorial's 1e-7 keeps it finite at probability 0, but
        makes a perfect loss -1e-7 and no loss larger than 16.1; `softmax_loss` needs no such thing.

    Returns
    -------
    scalar
        In the dtype of `y` (whole numbers give float64).

    Raises
    ------
    TypeError
        If `y`, `t` or `eps` is not made of real numbers.
    ValueError
        If `y` has no rows or another number of axes, `t` does not fit it or is not made of classes 0..C-1
        or of distributions, or `eps` is negative.

    Notes
    -----
    Source: the tutorial's "基本函数", which takes the argmax of soft labels; "Deep Learning from Scratch"
    §4.2.4.

    Examples
    --------
    >>> y = [[0.1, 0.8, 0.1], [0.3, 0.2, 0.5]]
    >>> round(float(cross_entropy_error(y, [1, 2])), 6)
    0.458145
    >>> round(float(cross_entropy_error(y, [[0, 1, 0], [0, 0, 1]])), 6)
    0.458145
    """
    given = numbers(y, "y")
    probs = _rows(floats(given, "y"), "y")
    classes, ids = targets(t, given.shape, probs.dtype)
    if not real(eps, "eps") >= 0:
        raise ValueError(f"eps must be >= 0, got {eps!r}")
    with np.errstate(all="ignore"):
        if ids:
            logs = np.log(probs[np.arange(len(probs)), classes] + eps)
        else:  # where t is 0 nothing counts, not even the logarithm of 0
            logs = np.sum(np.where(classes > 0, classes * np.log(probs + eps), 0), axis=1)
        return (-np.sum(logs) / len(probs)).astype(_returned_dtype(given.dtype))


def softmax_loss(X: ArrayLike, t: ArrayLike) -> float:
    """Give the mean cross entropy of *scores*: softmax and loss in one, exact where the two in turn are not.

    ``L = 1/N Σₙ Σₖ tₙₖ (ln Σᵢ exp(xₙᵢ) - xₙₖ)``, for class ids ``1/N Σₙ (ln Σᵢ exp(xₙᵢ) - x[n, tₙ])``

    Parameters
    ----------
    X : array_like, shape (N, C) or (C,)
        Scores: what a network's ``predict`` gives.
    t : array_like, shape (N,), (N, 1) or (N, C)
        As for `cross_entropy_error`.

    Returns
    -------
    float
        0 when perfect, and not capped: a wrong class by 1000 costs 1000. nan if a row of scores holds nan
        or inf, or nothing but -inf.

    Raises
    ------
    TypeError
        If `X` or `t` does not hold real numbers, or is masked.
    ValueError
        If `X` has no rows or another number of axes, or `t` does not fit it or is not made of classes
        0..C-1 or of distributions.

    Notes
    -----
    Computed in float32 for float32, float16 and bfloat16 scores, in float64 for all others.

    Source: the tutorial's "基本函数" (there softmax, then the logarithm of it plus 1e-7); for the log-sum-exp
    see `log_softmax`.

    Examples
    --------
    >>> softmax_loss([[1000.0, 0.0], [0.0, 1000.0]], [0, 0])
    500.0
    """
    given = floats(X, "X")
    scores = _rows(given, "X")
    classes, _ = targets(t, given.shape, scores.dtype)
    return _kernels.loss("softmax", scores, classes, np.empty_like(scores), np.empty_like(scores))


def _rows(x: FloatArray, name: str) -> FloatArray:
    """Give a batch as it is and one example as a batch of one; refuse what has no mean loss."""
    if x.ndim not in (1, 2) or x.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (N, C), or (C,) for one example, got {name}.shape={x.shape}")
    if x.ndim == 2 and len(x) == 0:
        raise ValueError(f"an empty batch has no mean loss: {name}.shape={x.shape}; pass at least one row")
    return x if x.ndim == 2 else x.reshape(1, -1)
