"""The layers of the tutorial: each keeps in ``forward`` what its ``backward`` needs.

``forward`` gives the layer's output. ``backward`` takes the gradient of the loss with respect to that output, `dout`,
and returns the gradient with respect to the input, `dx`: the chain rule, one link of it. No layer writes into an array
it is given, and what it returns is the caller's to keep and to change.

Like the tutorial's, a layer remembers its last ``forward`` only, so one thread at a time may use it.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np

from chainrule import _kernels
from chainrule._gate import (
    FloatArray,
    examples,
    fill,
    floats,
    parameter,
    positive,
    real,
    rows_of,
    sample_weights,
    targets,
    weighted,
)
from chainrule.functions import sigmoid


class Layer(Protocol):
    """What a network asks of a layer: these two methods, and no base class.

    A layer with parameters has them as ``W`` and ``b`` with gradients ``dW`` and ``db``, or in two dicts, ``params``
    and ``grads``, with the same keys.
    """

    def forward(self, x: Any) -> Any:
        """Give the output for the input `x`, one row per example.

        Parameters
        ----------
        x : ndarray, shape (N, ...) or (D,)
            N examples, or one.
        """

    def backward(self, dout: Any) -> Any:
        """Give the gradient of the input, from that of the output.

        Parameters
        ----------
        dout : ndarray
            dL/dout, in the shape of the last output.
        """


class Relu:
    """``out = max(x, 0)``, element by element.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Where the last `x` was <= 0.

    Notes
    -----
    dL/dx = dout where x > 0, else 0; so the slope at 0 is 0. nan stays nan.
    Source: the tutorial's "ReLU层"; `common/layers.py` of deep-learning-from-scratch.

    Examples
    --------
    >>> relu = Relu()
    >>> relu.forward([[1.0, -0.5], [-2.0, 3.0]])
    array([[1., 0.],
           [0., 3.]])
    >>> relu.backward([[10.0, 20.0], [30.0, 40.0]])
    array([[10.,  0.],
           [ 0., 40.]])
    """

    def __init__(self) -> None:
        self.mask: Any = None

    def forward(self, x: Any) -> FloatArray:
        """Give ``max(x, 0)`` in the shape of `x`.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        x = floats(x, "x")
        self.mask = x <= 0
        return np.asarray(np.maximum(x, 0))

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx from `dout` = dL/dout, both of the shape of `x`.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        mask = _remembered(self.mask, self)
        dout = _incoming(dout, mask.shape)
        dx: FloatArray = np.empty_like(dout)
        # np.where(mask, 0, dout), in a third of the time: it guesses a branch for each number.
        _kernels.zero_where(np.ascontiguousarray(mask, np.bool_).view(np.uint8), dout, dx)
        return dx


class Sigmoid:
    """``out = 1 / (1 + exp(-x))``, element by element.

    Attributes
    ----------
    out : ndarray, the shape of `x`
        The last output.

    Notes
    -----
    dL/dx = dout · out · (1 - out).
    Source: the tutorial's "Sigmoid层".

    Examples
    --------
    >>> layer = Sigmoid()
    >>> layer.forward([0.0])
    array([0.5])
    >>> layer.backward([8.0])
    array([2.])
    """

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> FloatArray:
        """Give the sigmoid of `x`, in its shape.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        out: FloatArray = np.asarray(sigmoid(floats(x, "x")))
        self.out = out
        return out.copy()  # the caller may change what it got; backward needs what it was

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx from `dout` = dL/dout, both of the shape of `x`.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        out = _remembered(self.out, self)
        return _times(_incoming(dout, out.shape), (1 - out) * out)


class Tanh:
    """``out = tanh(x)``, element by element.

    Attributes
    ----------
    out : ndarray, the shape of `x`
        The last output.

    Notes
    -----
    dL/dx = dout · (1 - out²).

    Source: the book's exercise beside the sigmoid; LeCun et al., "Efficient BackProp", 1998.

    Examples
    --------
    >>> layer = Tanh()
    >>> layer.forward([0.0])
    array([0.])
    >>> layer.backward([3.0])
    array([3.])
    """

    def __init__(self) -> None:
        self.out: Any = None

    def forward(self, x: Any) -> FloatArray:
        """Give tanh of `x`, in its shape.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        out: FloatArray = np.asarray(np.tanh(floats(x, "x")))
        self.out = out
        return out.copy()

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx from `dout` = dL/dout, both of the shape of `x`.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        out = _remembered(self.out, self)
        return _times(_incoming(dout, out.shape), 1 - out * out)


class LeakyRelu:
    """``out = x`` where x > 0, else ``slope * x``, element by element.

    Parameters
    ----------
    slope : float, default 0.01
        What is left of what is not above 0; > 0.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Where the last `x` was <= 0.

    Raises
    ------
    TypeError, ValueError
        If `slope` is not a finite number above 0.

    Notes
    -----
    dL/dx = dout where x > 0, else slope · dout.
    Source: Maas, Hannun, Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Examples
    --------
    >>> LeakyRelu(0.1).forward([-2.0, 3.0])
    array([-0.2,  3. ])
    """

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = positive(slope, "slope")
        self.mask: Any = None

    def forward(self, x: Any) -> FloatArray:
        """Give the output, in the shape of `x`.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        x = floats(x, "x")
        self.mask = x <= 0
        out: FloatArray = np.where(self.mask, x * x.dtype.type(self.slope), x)
        return out

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx from `dout` = dL/dout, both of the shape of `x`.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        mask = _remembered(self.mask, self)
        dout = _incoming(dout, mask.shape)
        return _times(dout, np.where(mask, dout.dtype.type(self.slope), dout.dtype.type(1)))


class Identity:
    """``out = x``: a place in a network where there is nothing to do, such as an output layer for regression.

    Notes
    -----
    dL/dx = dout.
    Source: the book's "恒等函数" (identity function).

    Examples
    --------
    >>> Identity().forward([1.0, -2.0])
    array([ 1., -2.])
    """

    def __init__(self) -> None:
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        """Give the numbers of `x`, in a new array of its shape.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        out: FloatArray = floats(x, "x").copy()
        self._shape = out.shape
        return out

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx = `dout` = dL/dout, in a new array.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        dx: FloatArray = _incoming(dout, _remembered(self._shape, self)).copy()
        return dx


class Rescaling:
    """``out = scale * x``: says what a stored number means, such as the byte of a pixel.

    At the front of a network it lets bytes be trained on as they are: `fit` folds it into the first product, and the
    images take a quarter of the memory of float32.

    Parameters
    ----------
    scale : float, default 1/255
        By default a byte becomes 0.0-1.0.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not a finite number.

    Notes
    -----
    dL/dx = scale · dout.

    Examples
    --------
    >>> Rescaling().forward(np.array([0, 255], np.uint8))
    array([0., 1.])
    """

    def __init__(self, scale: float = 1 / 255) -> None:
        self.scale = real(scale, "scale")
        self._shape: tuple[int, ...] | None = None

    def forward(self, x: Any) -> FloatArray:
        """Give ``scale * x``, in the shape of `x`.

        Parameters
        ----------
        x : array_like
            Any shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        """
        x = floats(x, "x")
        self._shape = x.shape
        return np.asarray(x * x.dtype.type(self.scale))

    def backward(self, dout: Any) -> FloatArray:
        """Give dL/dx from `dout` = dL/dout, both of the shape of `x`.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        dout = _incoming(dout, _remembered(self._shape, self))
        return _times(dout, dout.dtype.type(self.scale))


class Affine:
    """``out = x @ W + b``, one row per example.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights. Held, not copied: an in-place update by the caller is seen here. Assigning ``layer.W = other`` copies
        `other` into the held array. What is not a float32 or float64 array is turned into one, and that is held.
    b : ndarray, shape (M,)
        Biases, held likewise; copied only if its dtype is not that of `W`.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The last input, flattened: the caller's own array if that holds uint8, float32 or float64 in rows.
    original_x_shape : tuple of int
        The shape it came in.
    dW, db : ndarray
        Gradients of `W` and `b`, in their shapes, made anew by each ``backward``.

    Raises
    ------
    TypeError
        If `W` or `b` does not hold real numbers.
    ValueError
        If `W` is not 2-D or `b` is not of shape (M,).

    Notes
    -----
    dL/dx = dout Wᵀ,  dL/dW = xᵀ dout,  dL/db = column sums of dout.
    All of it is computed in the dtype of `W`.
    Source: the tutorial's "Affine层"; `common/layers.py` of deep-learning-from-scratch.

    Examples
    --------
    >>> layer = Affine(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 20.0]))
    >>> layer.forward([[1.0, 1.0]])
    array([[14., 26.]])
    >>> layer.backward([[1.0, -1.0]])
    array([[-1., -1.]])
    >>> layer.dW, layer.db
    (array([[ 1., -1.],
           [ 1., -1.]]), array([ 1., -1.]))
    """

    def __init__(self, W: Any, b: Any) -> None:
        self._W = parameter(W, "W")
        if self._W.ndim != 2:
            raise ValueError(f"W must have shape (D, M), got W.shape={self._W.shape}")
        self._b = parameter(b, "b", self._W.dtype)
        if self._b.shape != self._W.shape[1:]:
            raise ValueError(f"b must have shape {self._W.shape[1:]} to fit W, got b.shape={self._b.shape}")
        self.x: Any = None
        self.original_x_shape: Any = None
        self.dW: Any = None
        self.db: Any = None
        self._scratch = _kernels.Scratch()

    @property
    def W(self) -> FloatArray:
        """The weights, shape (D, M): the held array itself."""
        return self._W

    @W.setter
    def W(self, value: Any) -> None:
        fill(self._W, value, "W")

    @property
    def b(self) -> FloatArray:
        """The biases, shape (M,): the held array itself."""
        return self._b

    @b.setter
    def b(self, value: Any) -> None:
        fill(self._b, value, "b")

    def forward(self, x: Any) -> FloatArray:
        """Give ``x @ W + b``.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            N examples, each flattened to D numbers; or one example.

        Returns
        -------
        ndarray, shape (N, M) or (M,)

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If it is 0-d or an example does not have D numbers.
        """
        x = examples(x, self._W.dtype)
        rows = self.rows(x)
        out = np.empty((len(rows), self._W.shape[1]), self._W.dtype)
        _kernels.affine(rows, floats(self._W, "W"), floats(self._b, "b"), out, self._scratch)
        self.x, self.original_x_shape = rows, x.shape
        return out.reshape(out.shape[1:]) if x.ndim == 1 else out

    def rows(self, x: FloatArray, name: str = "W") -> FloatArray:
        """Give `x` as (N, D); say so, calling the weights `name`, if it does not fit.

        Parameters
        ----------
        x : ndarray, shape (N, ...) or (D,)
            N examples, or one.
        name : str
            What the message calls the weights.

        Raises
        ------
        ValueError
            If `x` is 0-d or an example does not have D numbers.
        """
        if x.ndim == 0:
            raise ValueError("x must have an axis of features, got a single number")
        n, features = (1, x.size) if x.ndim == 1 else (x.shape[0], math.prod(x.shape[1:]))
        if features != self._W.shape[0]:
            raise ValueError(
                f"x has {features} features, {name} expects {self._W.shape[0]}"
                f" (x.shape={x.shape}, {name}.shape={self._W.shape})"
            )
        return x.reshape(n, features)

    def backward(self, dout: Any) -> FloatArray:
        """Keep `dW` and `db`, and give dL/dx in the shape `x` came in.

        Parameters
        ----------
        dout : array_like, the shape of the last output
            dL/dout.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        dout = self.backward_parameters(dout)
        dx: FloatArray = np.empty(self.x.shape, self._W.dtype)
        _kernels.matmul_a_bt(dout, floats(self._W, "W"), dx)
        return dx.reshape(self.original_x_shape)

    def backward_parameters(self, dout: Any) -> FloatArray:
        """Keep `dW` and `db` without computing dL/dx, for a layer whose `dx` nobody reads.

        Parameters
        ----------
        dout : array_like
            In the shape of the last output.

        Returns
        -------
        ndarray, shape (N, M)
            `dout`, checked and one row per example.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        return self._backward_parameters(dout, same_x=False)

    def _backward_parameters(self, dout: Any, *, same_x: bool) -> FloatArray:
        """Do the same; `same_x` says that nobody can have changed the numbers of `x` since ``forward`` read them."""
        x = _remembered(self.x, self)
        outputs = self._W.shape[1]
        shape = (outputs,) if len(self.original_x_shape) == 1 else (len(x), outputs)
        rows = _incoming(dout, shape, self._W.dtype).reshape(len(x), outputs)
        dW, db = np.empty(self._W.shape, self._W.dtype), np.empty(outputs, self._W.dtype)
        _kernels.weight_gradient(x, rows, dW, self._scratch, same_x)
        _kernels.column_sums(rows, db)
        self.dW, self.db = dW, db
        return rows


class SoftmaxWithLoss:
    """``loss = mean over the rows of -log softmax(x)[t]``: softmax and cross entropy in one layer.

    Attributes
    ----------
    loss : float
        The last loss, in nats per example.
    y : ndarray, the shape of the scores
        The softmax of the last scores.
    t : ndarray
        The last teaching signal: class ids int64 (N,), or distributions in the dtype of the scores, times the weights.

    Notes
    -----
    dL/dx = (y - t) / N · dout. (For a `t` whose row sums to s, within 1e-3 of 1: s·y - t, the exact derivative.)

    With sample weights w: the sum of w times an example's loss, divided by N (as in Keras; not by the sum of w), and
    dL/dx = w (y - t) / N · dout.

    The loss is taken from the scores by log-sum-exp, not from the probabilities: it is 0 and not below when the
    network is certain and right, and is not capped when it is certain and wrong.
    Source: the tutorial's "Softmax层".

    Examples
    --------
    >>> layer = SoftmaxWithLoss()
    >>> round(layer.forward(np.log([[1.0, 2.0, 5.0]]), [2]), 6)  # -log(5/8)
    0.470004
    >>> layer.backward()
    array([[ 0.125,  0.25 , -0.375]])
    """

    def __init__(self) -> None:
        self.loss: Any = None
        self.y: Any = None
        self.t: Any = None
        self._dx: Any = None

    def forward(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Give the mean loss.

        Parameters
        ----------
        x : array_like, shape (N, C) or (C,)
            Scores, before softmax.
        t : array_like, shape (N,), (N, 1) or (N, C); for one example () or (C,)
            Class ids, or one distribution per example: one-hot or soft, used as given.
        sample_weight : array_like, shape (N,), optional
            How often each example counts, >= 0. The mean is still taken over N.

        Raises
        ------
        TypeError
            If any of them does not hold real numbers.
        ValueError
            If the shapes do not fit, the batch is empty, an id is not in 0..C-1, a row of `t` is not a distribution, or
            a weight is negative or not finite.
        """
        x = floats(x, "x")
        if x.ndim not in (1, 2) or x.shape[-1] == 0:
            raise ValueError(f"scores must have shape (N, C) or (C,), got x.shape={x.shape}")
        t, _ = targets(t, x.shape, x.dtype)
        if x.size == 0:
            raise ValueError("the mean loss of an empty batch is not defined")
        if sample_weight is not None:
            rows = rows_of(t, x.shape[-1], x.dtype)
            t = weighted(rows, sample_weights(sample_weight, len(rows)))
        y, dx = np.empty_like(x), np.empty_like(x)
        shape = (-1, x.shape[-1])
        loss = _kernels.loss("softmax", x.reshape(shape), t, y.reshape(shape), dx.reshape(shape))
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
        dx: FloatArray = _remembered(self._dx, self)
        dout = real(dout, "dout")
        if dout == 1:  # as in every step of training
            return dx.copy()
        with np.errstate(over="ignore"):
            return _times(dx, dx.dtype.type(dout))


def _remembered(value: Any, layer: Any) -> Any:
    if value is None:
        name = type(layer).__name__
        raise RuntimeError(f"{name}.backward was called before {name}.forward; there is nothing to go back through")
    return value


def _times(dout: FloatArray, slope: Any) -> FloatArray:
    """Give ``dout * slope``, 0 where the slope is 0 whatever `dout` is: nothing passes there, not even a nan."""
    with np.errstate(over="ignore", invalid="ignore"):
        dx: FloatArray = np.where(slope == 0, dout.dtype.type(0), dout * slope)
    return dx


def _incoming(dout: Any, shape: tuple[int, ...], dtype: Any = None) -> FloatArray:
    array = floats(dout, "dout", dtype)
    if array.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={array.shape}")
    return array
