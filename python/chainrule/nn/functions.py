"""The functions of the tutorial: activations, softmax and losses, written to be read beside its formulas.

All take anything that ``numpy.asarray`` takes and return new arrays; a number, or an array with no axes, gives a
NumPy scalar. Every function is correct from -inf to inf, gives nan for nan as NumPy does, and never warns.

Dtypes follow NumPy: float32 stays float32, and float64 stays float64; booleans and integers become float64; float16
and bfloat16 are computed in float32 and rounded once, back to their own dtype.

Sources: the tutorial's "基本函数" and "Softmax 层"; "Deep Learning from Scratch" §3.2, §3.5, §4.2, §5.5.2. Unlike the
tutorial's functions, `softmax` normalises the last axis of arrays with three axes or more too, `cross_entropy_error`
uses soft labels as given, and `softmax_loss` adds nothing to the probabilities: it uses the log-sum-exp of Blanchard,
Higham and Higham, "Accurately computing the log-sum-exp and softmax functions", IMA Journal of Numerical Analysis 41
(2021).
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


#: The sections that all functions of one array share; they go before the examples.
_SECTIONS = """    Parameters
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

    Examples
"""


def _on_floats(formula: Callable[[FloatArray], Any]) -> _Function:
    """Call `formula` with its argument as float32 or float64, without warnings; give the result NumPy's dtype."""

    @wraps(formula)
    def function(x: ArrayLike) -> Any:
        given = numbers(x, "x")
        with np.errstate(all="ignore"):
            return formula(floats(given, "x")).astype(_returned_dtype(given.dtype), copy=False)

    function.__doc__ = (formula.__doc__ or "").replace("    Examples\n", _SECTIONS)
    return function


def _returned_dtype(given: np.dtype[Any]) -> np.dtype[Any]:
    """Give the dtype of the result for an argument of dtype `given`: the same, or float64 for whole numbers."""
    return compute_dtype(given) if given.kind in "biu" else given.newbyteorder("=")


@_on_floats
def identity_function(x: FloatArray) -> Any:
    """Give `x` in a new array: the output activation for regression.

    ``y = x``

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

    Examples
    --------
    >>> step_function([-1.0, 0.0, 2.0])
    array([0, 0, 1])
    """
    return np.array(floats(x, "x") > 0, dtype=np.int64)


@_on_floats
def sigmoid(x: FloatArray) -> Any:
    """Squash every number into 0..1.

    ``y = 1 / (1 + exp(-x))``, computed from ``e = exp(-|x|)``, which never overflows: ``1 / (1 + e)`` for x >= 0, and
    ``e / (1 + e)`` for x < 0, which is the same fraction multiplied through by exp(x).

    Examples
    --------
    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])
    """
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


@_on_floats
def sigmoid_grad(x: FloatArray) -> Any:
    """Give the slope of `sigmoid` at `x`, where `x` is the argument of the sigmoid, not its result.

    ``dy/dx = y (1 - y) = sigmoid(x) sigmoid(-x)``. The tutorial's ``1 - sigmoid(x)`` loses every digit for large x,
    where the sigmoid rounds to 1; ``sigmoid(-x)`` is the same number with full precision.

    Examples
    --------
    >>> sigmoid_grad(0.0)
    np.float64(0.25)
    """
    return sigmoid(x) * sigmoid(-x)


@_on_floats
def relu(x: FloatArray) -> Any:
    """Keep numbers above 0 and replace the rest by 0; nan stays nan.

    ``y = max(0, x)``

    Examples
    --------
    >>> relu([-1.0, 0.0, 2.0])
    array([0., 0., 2.])
    """
    return np.maximum(0, x)


@_on_floats
def relu_grad(x: FloatArray) -> Any:
    """Give the slope of `relu` at `x`: 1 above 0, otherwise 0; also 0 for nan.

    ``dy/dx = 1 if x > 0 else 0``. At 0, where the slope is undefined, the result is 0, as in the layer `Relu` and the
    tutorial's formula. The tutorial's function says 1 there (and does not run).

    Examples
    --------
    >>> relu_grad([-1.0, 0.0, 2.0])
    array([0., 0., 1.])
    """
    return (x > 0).astype(x.dtype)


@_on_floats
def softmax(x: FloatArray) -> Any:
    """Turn scores (..., C) into probabilities along the last axis; a single number counts as the only class.

    ``yₖ = exp(xₖ) / Σᵢ exp(xᵢ)``. The largest score of the row is subtracted first: it cancels in the fraction and
    keeps exp from overflowing. Each row is >= 0 and sums to 1. A row that holds nan or inf, or only -inf, gives nan.
    An empty `x` gives an empty result.

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

    ``ln yₖ = xₖ - ln Σᵢ exp(xᵢ)``: never above 0, and finite even where the probability would round to 0. It is nan
    where `softmax` is nan. An empty `x` gives an empty result.

    Examples
    --------
    >>> log_softmax([1000.0, 0.0])
    array([    0., -1000.])
    """
    shifted = x - _row_maximum(x)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _row_maximum(x: FloatArray) -> Any:
    # Start from -inf, so that a row without classes has a maximum too.
    return np.max(x, axis=-1, keepdims=True, initial=-np.inf)


def sum_squared_error(y: ArrayLike, t: ArrayLike) -> Any:
    """Give half the sum of the squared differences.

    ``E = ½ Σₖ (yₖ - tₖ)²``

    Parameters
    ----------
    y : array_like
        Outputs, any shape.
    t : array_like
        The teaching signal, in the shape of `y`.

    Returns
    -------
    scalar
        In NumPy's result dtype for `y` and `t` (float16 with float16 gives float16). 0 for empty arrays.

    Raises
    ------
    TypeError
        If `y` or `t` does not hold real numbers, or is masked.
    ValueError
        If the shapes differ. NumPy would silently broadcast (N,) with (N, 1) to N × N differences.

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
    """Give half the sum of squares, despite the name, which is the tutorial's for `sum_squared_error`.

    ``E = ½ Σₖ (yₖ - tₖ)²``

    Parameters
    ----------
    y, t : array_like
        As for `sum_squared_error`.

    Returns
    -------
    scalar
        For a true mean, divide it by ``y.size / 2``.

    Raises
    ------
    TypeError, ValueError
        As for `sum_squared_error`.

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
        Probabilities, such as those of `softmax`. They are not checked.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids, or a distribution for each row (one-hot or soft), which is used as given. The number of
        axes decides which of the two it is. For `y` of shape (C,): one id, or one distribution of shape (C,).
    eps : float, optional
        The number to add inside the logarithm, >= 0. The tutorial's 1e-7 keeps the loss finite at
        probability 0, but a perfect loss becomes -1e-7, and no loss can be larger than 16.1;
        `softmax_loss` needs no `eps`.

    Returns
    -------
    scalar
        In the dtype of `y` (whole numbers give float64).

    Raises
    ------
    TypeError
        If `y`, `t` or `eps` does not hold real numbers.
    ValueError
        If `y` has no rows or the wrong number of axes, `t` does not fit `y` or holds neither classes 0..C-1
        nor distributions, or `eps` is negative.

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
        else:  # where t is 0, nothing counts, not even the logarithm of 0
            logs = np.sum(np.where(classes > 0, classes * np.log(probs + eps), 0), axis=1)
        return (-np.sum(logs) / len(probs)).astype(_returned_dtype(given.dtype))


def softmax_loss(X: ArrayLike, t: ArrayLike) -> float:
    """Give the mean cross entropy of *scores*: softmax and loss in one step, exact where two steps are not.

    ``L = 1/N Σₙ Σₖ tₙₖ (ln Σᵢ exp(xₙᵢ) - xₙₖ)``, for class ids ``1/N Σₙ (ln Σᵢ exp(xₙᵢ) - x[n, tₙ])``

    Parameters
    ----------
    X : array_like, shape (N, C) or (C,)
        Scores, such as those of a network's ``predict``.
    t : array_like, shape (N,), (N, 1) or (N, C)
        As for `cross_entropy_error`.

    Returns
    -------
    float
        0 for perfect scores, with no upper limit: a class that is wrong by 1000 costs 1000. nan if a row of
        scores holds nan or inf, or only -inf.

    Raises
    ------
    TypeError
        If `X` or `t` does not hold real numbers, or is masked.
    ValueError
        If `X` has no rows or the wrong number of axes, or `t` does not fit `X` or holds neither classes
        0..C-1 nor distributions.

    Notes
    -----
    Computed in float32 for float32, float16 and bfloat16 scores, and in float64 for all others.

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
    """Give a batch as it is, and a single example as a batch of one; refuse input that has no mean loss."""
    if x.ndim not in (1, 2) or x.shape[-1] == 0:
        raise ValueError(f"{name} must have shape (N, C), or (C,) for one example, got {name}.shape={x.shape}")
    if x.ndim == 2 and len(x) == 0:
        raise ValueError(f"an empty batch has no mean loss: {name}.shape={x.shape}; pass at least one row")
    return x if x.ndim == 2 else x.reshape(1, -1)
