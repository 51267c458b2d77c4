"""Nodes of a computational graph: each computes forward, and hands back to each input its gradient.

A node is a class with ``forward(x, y)``, which remembers what ``backward`` will need, and ``backward(dout)``,
which takes dL/d(output) and gives dL/d(each input): the chain rule, one node at a time. Both return new
numbers or arrays and never write into their arguments. What a node remembers (`x`, `y`) it holds without a
copy, so leave those arrays alone between the two calls.

Python numbers stay Python numbers: 2 times 3 is 6. Arrays may broadcast: an input that was stretched gets
the sum of the gradients of all its copies, in its own shape (`sum_to`). Arrays of whole numbers or booleans
become float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from chainrule._gate import compute_dtype, numbers


class _TwoInputs:
    """What nodes with two inputs share: remembering them, and checking what comes back."""

    x: Any = None
    y: Any = None

    def _remember(self, x: ArrayLike, y: ArrayLike) -> None:
        left, right = _operand(x, "x"), _operand(y, "y")
        try:
            np.broadcast_shapes(np.shape(left), np.shape(right))
        except ValueError:
            raise ValueError(
                f"x and y must have one shape, or shapes that broadcast, got x.shape={np.shape(left)},"
                f" y.shape={np.shape(right)}"
            ) from None
        self.x, self.y = left, right

    def _arriving(self, dout: ArrayLike) -> Any:
        """Give `dout` in the shape of the output; a single number stands for every entry."""
        if self.x is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.backward was called before forward; call {name}.forward(x, y) first")
        arriving = _operand(dout, "dout")
        shape = np.broadcast_shapes(np.shape(self.x), np.shape(self.y))
        if np.shape(arriving) == shape:
            return arriving
        if np.shape(arriving) == ():
            return np.full(shape, arriving, np.result_type(self.x, self.y))
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={np.shape(arriving)}")


class MulLayer(_TwoInputs):
    """``out = x · y``, entry by entry.

    Attributes
    ----------
    x, y : number or ndarray
        The inputs of the last ``forward``, held, not copied; None before it.

    Notes
    -----
    ∂out/∂x = y, ∂out/∂y = x: the gradient that arrives is multiplied by the *other* input.

    Source: the tutorial's "乘法层和加法层"; "Deep Learning from Scratch" §5.4.1.

    Examples
    --------
    >>> node = MulLayer()
    >>> node.forward(2, 3)
    6
    >>> node.backward(1)
    (3, 2)
    """

    def forward(self, x: ArrayLike, y: ArrayLike) -> Any:
        """Give ``x · y``.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In NumPy's shape and dtype for the product.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.

        Examples
        --------
        >>> MulLayer().forward([1, 2], 3)
        array([3., 6.])
        """
        self._remember(x, y)
        return self.x * self.y

    def backward(self, dout: ArrayLike) -> tuple[Any, Any]:
        """Give ``dout · y`` and ``dout · x``, each summed to the shape of its input.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        dx, dy : number or ndarray
            dL/dx and dL/dy, new, in the shapes of `x` and `y`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.

        Examples
        --------
        >>> node = MulLayer()
        >>> out = node.forward([1.0, 2.0], 3.0)
        >>> node.backward([1.0, 10.0])
        (array([ 3., 30.]), np.float64(21.0))
        """
        arriving = self._arriving(dout)
        dx = arriving * self.y
        dy = arriving * self.x
        return sum_to(dx, np.shape(self.x)), sum_to(dy, np.shape(self.y))


class AddLayer(_TwoInputs):
    """``out = x + y``, entry by entry.

    Attributes
    ----------
    x, y : number or ndarray
        The inputs of the last ``forward``, held, not copied; None before it.

    Notes
    -----
    ∂out/∂x = ∂out/∂y = 1: the gradient that arrives goes on to both inputs as it is.

    Source: the tutorial's "乘法层和加法层"; "Deep Learning from Scratch" §5.4.2.

    Examples
    --------
    >>> node = AddLayer()
    >>> node.forward(2, 3)
    5
    >>> node.backward(4)
    (4, 4)
    """

    def forward(self, x: ArrayLike, y: ArrayLike) -> Any:
        """Give ``x + y``.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In NumPy's shape and dtype for the sum.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.

        Examples
        --------
        >>> AddLayer().forward([1, 2], 3)
        array([4., 5.])
        """
        self._remember(x, y)
        return self.x + self.y

    def backward(self, dout: ArrayLike) -> tuple[Any, Any]:
        """Give `dout` twice, each summed to the shape of its input.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        dx, dy : number or ndarray
            dL/dx and dL/dy, new, in the shapes of `x` and `y`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.

        Examples
        --------
        >>> node = AddLayer()
        >>> out = node.forward([1.0, 2.0], 3.0)
        >>> node.backward([1.0, 10.0])
        (array([ 1., 10.]), np.float64(11.0))
        """
        arriving = self._arriving(dout)
        dx = arriving * 1
        dy = arriving * 1
        return sum_to(dx, np.shape(self.x)), sum_to(dy, np.shape(self.y))


def sum_to(gradient: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: give the gradient of an input of `shape` that was stretched to that of `gradient`.

    An entry that broadcasting copied to several places has an effect at each of them, so its gradient is
    their sum.

    Parameters
    ----------
    gradient : number or ndarray
        dL/d(stretched input).
    shape : tuple of int
        The input's own shape.

    Returns
    -------
    number or ndarray
        In shape `shape` and the dtype of `gradient`; `gradient` itself if it has that shape already.

    Raises
    ------
    ValueError
        If `shape` does not broadcast to the shape of `gradient`.

    Examples
    --------
    >>> sum_to(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    stretched = np.shape(gradient)
    if stretched == shape:
        return gradient
    new = len(stretched) - len(shape)
    if new < 0 or any(size not in (1, whole) for size, whole in zip(shape, stretched[new:], strict=True)):
        raise ValueError(f"an input of shape {shape} does not broadcast to {stretched}")
    axes = (*range(new), *(new + axis for axis, size in enumerate(shape) if size == 1))
    # Half precision is summed in float32 and rounded once.
    total = np.sum(gradient, axis=axes, dtype=compute_dtype(gradient.dtype)).astype(gradient.dtype)
    return total.reshape(shape)


def _operand(x: ArrayLike, name: str) -> Any:
    """Give a Python number as it is, and all else as an array of float numbers."""
    if isinstance(x, int | float):
        return x
    array = numbers(x, name)
    return array.astype(compute_dtype(array.dtype)) if array.dtype.kind in "biu" else array
