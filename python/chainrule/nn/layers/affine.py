"""The layer with weights: the tutorial's "Affine层", and `common/layers.py` of deep-learning-from-scratch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import _kernels
from chainrule._gate import FloatArray, examples, fill, floats, parameter
from chainrule.nn.layers.base import BaseLayer, incoming, kept, remembered


class Affine(BaseLayer):
    """``out = x @ W + b``: dL/dx = dout Wᵀ, dL/dW = xᵀ dout, dL/db = column sums of dout.

    `x` has shape (N, ...), where each example is flattened to D numbers, or (D,) for one example; the output has shape
    (N, M) or (M,). Everything is computed in the dtype of `W`.

    Parameters
    ----------
    W : ndarray, shape (D, M)
        Weights. Held, not copied: the layer sees in-place updates by the caller. Assigning ``layer.W = other`` copies
        `other` into the held array. Anything but a float32 or float64 array is converted to one, and the layer holds
        the result.
    b : ndarray, shape (M,)
        Biases, held in the same way; copied only if the dtype is not that of `W`.

    Attributes
    ----------
    x : ndarray, shape (N, D)
        The last input, flattened: the caller's own array if that holds uint8, float32 or float64 in rows.
    original_x_shape : tuple of int
        The shape of the last input before it was flattened.
    dW, db : ndarray
        Gradients of `W` and `b`, in their shapes. Each ``backward`` makes new arrays.

    Raises
    ------
    TypeError
        If `W` or `b` does not hold real numbers.
    ValueError
        If `W` is not 2-D or `b` is not of shape (M,).

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
        given, x = x, examples(x, self._W.dtype)
        rows = self.rows(x)
        out = np.empty((len(rows), self._W.shape[1]), self._W.dtype)
        _kernels.affine(rows, floats(self._W, "W"), floats(self._b, "b"), out, self._scratch)
        self.x, self.original_x_shape = kept(rows, given), x.shape
        return out.reshape(out.shape[1:]) if x.ndim == 1 else out

    def rows(self, x: FloatArray, name: str = "W") -> FloatArray:
        """Give `x` in the shape (N, D).

        Parameters
        ----------
        x : ndarray, shape (N, ...) or (D,)
            N examples, or one.
        name : str
            What an error message calls the weights.

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
        dout = self.backward_parameters(dout)
        dx: FloatArray = np.empty(self.x.shape, self._W.dtype)
        _kernels.matmul_a_bt(dout, floats(self._W, "W"), dx)
        return dx.reshape(self.original_x_shape)

    def backward_parameters(self, dout: Any, *, same_x: bool = False) -> FloatArray:
        """Compute `dW` and `db` only, and give the checked `dout`, shape (N, M): for a layer whose `dx` nobody reads.

        Parameters
        ----------
        dout : array_like
            As for ``backward``.
        same_x : bool, default False
            Whether it is certain that the numbers of `x` have not changed since ``forward`` read them.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As for ``backward``.
        """
        x = remembered(self.x, self)
        outputs = self._W.shape[1]
        shape = (outputs,) if len(self.original_x_shape) == 1 else (len(x), outputs)
        rows = incoming(dout, shape, self._W.dtype).reshape(len(x), outputs)
        dW, db = np.empty(self._W.shape, self._W.dtype), np.empty(outputs, self._W.dtype)
        _kernels.weight_gradient(x, rows, dW, self._scratch, same_x)
        _kernels.column_sums(rows, db)
        self.dW, self.db = dW, db
        return rows

    def _one(self, shape: tuple[int, ...]) -> bool:
        return False  # a single example needs no axis for N here

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        features, outputs = self._W.shape
        if math.prod(shape) != features:
            raise ValueError(f"W expects {features} features, got examples of shape {shape} (W.shape={self._W.shape})")
        return (outputs,), (), (outputs,)
