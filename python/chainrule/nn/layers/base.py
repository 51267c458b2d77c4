"""What a layer must provide, and what the layers of this package share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from chainrule._gate import FloatArray, floats
from chainrule._pieces import copied


class Layer(Protocol):
    """What a network needs from a layer: these two methods. No base class is required.

    A layer with parameters holds them as ``W`` and ``b``, with gradients ``dW`` and ``db``, or in two dicts, ``params``
    and ``grads``, that have the same keys.
    """

    def forward(self, x: Any) -> Any:
        """Give the output for the input `x`, one row for each example.

        Parameters
        ----------
        x : ndarray, shape (N, ...) or (D,)
            N examples, or one.
        """

    def backward(self, dout: Any) -> Any:
        """Give the gradient with respect to the input, from the gradient with respect to the output.

        Parameters
        ----------
        dout : ndarray
            dL/dout, in the shape of the last output.
        """


class BaseLayer:
    """The base class of this package's layers: each adds its formula, with ``forward`` and ``backward`` for it."""

    def forward(self, x: Any) -> Any:
        """Give the output for the input `x`, and keep what ``backward`` needs.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            N examples, or one; an image is (C, H, W). Not written to. If you change it afterwards, ``backward`` does
            not notice. Layers that behave differently in training and in evaluation take a second argument,
            `train_flg`, True by default. With False, nothing is drawn at random and no running statistic is updated.

        Returns
        -------
        ndarray
            One row for each example. It is yours to keep and to change.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If the shape of `x` does not fit.
        """
        raise NotImplementedError

    def backward(self, dout: Any) -> Any:
        """Give the gradient with respect to the input, and keep the gradients of the parameters.

        Parameters
        ----------
        dout : array_like, the shape of the last output
            dL/dout. Not written to.

        Returns
        -------
        ndarray, the shape of the last `x`
            dL/dx, new.

        Raises
        ------
        RuntimeError
            Before any ``forward``.
        TypeError
            If `dout` does not hold real numbers.
        ValueError
            If `dout` does not have the shape of the last output.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        """Give one line: the class, the shapes of the parameters, and the numbers."""
        from chainrule.nn.summary import described  # delegates: a summary knows the kinds of layers

        return described(self)

    def _one(self, shape: tuple[int, ...]) -> bool | None:
        """Tell whether an `x` of this shape is a single example, without an axis for N; None if that is irrelevant."""
        return None

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        """Give, for an example of this shape, the sizes and numbers that Rust needs, and the shape of the output.

        Raises
        ------
        ValueError
            If an example cannot have this shape.
        """
        return (), (), shape


#: Whether nobody can write to the input before ``backward`` has read it.
_unwritten: ContextVar[bool] = ContextVar("unwritten", default=False)


@contextmanager
def unwritten() -> Iterator[None]:
    """Declare that only our code runs between ``forward`` and ``backward``, so that layers keep inputs uncopied."""
    before = _unwritten.set(True)
    try:
        yield
    finally:
        _unwritten.reset(before)


def kept(x: FloatArray, given: Any) -> FloatArray:
    """Give `x` as ``backward`` may read it: a copy if it shares memory with `given`, which the caller could change."""
    if _unwritten.get() or isinstance(given, list | tuple):
        return x
    # An object that is not an array may have handed out its own memory.
    shared = not isinstance(given, np.ndarray) or np.may_share_memory(x, given)
    return copied(x) if shared else x


def remembered(value: Any, layer: Any) -> Any:
    """Give what ``forward`` kept; raise RuntimeError if it kept nothing."""
    if value is None:
        name = type(layer).__name__
        raise RuntimeError(f"{name}.backward was called before {name}.forward; there is nothing to go back through")
    return value


def times(dout: FloatArray, slope: Any) -> FloatArray:
    """Give ``dout * slope``, but 0 wherever the slope is 0: nothing passes there, not even inf or nan."""
    with np.errstate(over="ignore", invalid="ignore"):
        dx: FloatArray = np.where(slope == 0, dout.dtype.type(0), dout * slope)
    return dx


def incoming(dout: Any, shape: tuple[int, ...], dtype: Any = None) -> FloatArray:
    """Give `dout` as an array; raise ValueError if it does not have the shape of the output."""
    array = floats(dout, "dout", dtype)
    if array.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={array.shape}")
    return array
