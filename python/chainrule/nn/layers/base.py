"""What is asked of a layer, and what the layers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

from chainrule._gate import FloatArray, floats
from chainrule._pieces import copied


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


class BaseLayer:
    """What the layers of this package are asked: each has its formula, and ``forward`` and ``backward`` for it."""

    def forward(self, x: Any) -> Any:
        """Give the output for the input `x`, and keep what ``backward`` will need.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            N examples, or one; an image is (C, H, W). Not written to; if it is changed afterwards, ``backward`` does
            not see that. Layers that train otherwise than they evaluate have a second argument, `train_flg`, True by
            default: False draws nothing and moves no statistic.

        Returns
        -------
        ndarray
            One row per example; the caller's to keep and to change.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If its shape does not fit.
        """
        raise NotImplementedError

    def backward(self, dout: Any) -> Any:
        """Give the gradient of the input, from that of the output; keep those of the parameters.

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
        """Give a line: the kind, the shapes of the parameters, the numbers."""
        from chainrule.nn.summary import described  # delegates: a summary knows the kinds of layers

        return described(self)

    def _one(self, shape: tuple[int, ...]) -> bool | None:
        """Tell whether an `x` of this shape is one example without an axis for N; None if it makes no difference."""
        return None

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        """Give, for an example of this shape, the sizes and the numbers that Rust is told, and what shape comes out.

        Raises
        ------
        ValueError
            If an example cannot have this shape.
        """
        return (), (), shape


#: Whether nobody can write to what comes in before ``backward`` has read it.
_unwritten: ContextVar[bool] = ContextVar("unwritten", default=False)


@contextmanager
def unwritten() -> Iterator[None]:
    """Say that no code but ours runs between ``forward`` and ``backward``: then layers keep what comes in as it is."""
    before = _unwritten.set(True)
    try:
        yield
    finally:
        _unwritten.reset(before)


def kept(x: FloatArray, given: Any) -> FloatArray:
    """Give `x` as ``backward`` may read it: a copy, if it lies where `given` does, and the caller could write there."""
    if _unwritten.get() or isinstance(given, list | tuple):
        return x
    # What is no array may have given its own memory.
    shared = not isinstance(given, np.ndarray) or np.may_share_memory(x, given)
    return copied(x) if shared else x


def remembered(value: Any, layer: Any) -> Any:
    """Give what ``forward`` kept; say so, if nothing was."""
    if value is None:
        name = type(layer).__name__
        raise RuntimeError(f"{name}.backward was called before {name}.forward; there is nothing to go back through")
    return value


def times(dout: FloatArray, slope: Any) -> FloatArray:
    """Give ``dout * slope``, 0 where the slope is 0 whatever `dout` is: nothing passes there, not even a nan."""
    with np.errstate(over="ignore", invalid="ignore"):
        dx: FloatArray = np.where(slope == 0, dout.dtype.type(0), dout * slope)
    return dx


def incoming(dout: Any, shape: tuple[int, ...], dtype: Any = None) -> FloatArray:
    """Give `dout` as an array of the shape of the output; say so, if it has another."""
    array = floats(dout, "dout", dtype)
    if array.shape != shape:
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={array.shape}")
    return array
