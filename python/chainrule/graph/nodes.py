"""Nodes of a computational graph: each computes forward, and hands back to each input its gradient.

A node is a class with ``forward(x, y)``, or ``forward(x)``, which remembers what ``backward`` will need, and
``backward(dout)``, which takes dL/d(output) and gives dL/d(each input): the chain rule, one node at a time. Both return
new numbers or arrays and never write into their arguments. What a node remembers (`x`, `y`) it holds without a
copy, so leave those arrays alone between the two calls.

Python numbers stay Python numbers: 2 times 3 is 6. Arrays may broadcast: an input that was stretched gets
the sum of the gradients of all its copies, in its own shape (`sum_to`). Arrays of whole numbers or booleans
become float64.

A node of two Python floats costs under a microsecond, because a graph may have a hundred thousand: that is why floats
take a short way through the checks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from chainrule._gate import compute_dtype, numbers

#: Python's own; a union written in the call would be made anew every time.
_NUMBER = (int, float)


class Node:
    """What all nodes share: what they remember, and the check of what comes back."""

    #: How the node is drawn.
    symbol: ClassVar[str] = ""

    x: Any = None
    #: Shape and dtype of the output of the last ``forward``; those of a Python number are () and None.
    shape: tuple[int, ...] = ()
    dtype: Any = None

    def _arriving(self, dout: Any) -> Any:
        """Give `dout` in the shape of the output; a single number stands for every entry."""
        if self.x is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.backward was called before forward; call {name}.forward first")
        if type(dout) is float and not self.shape:
            return dout
        arriving = _operand(dout, "dout")
        if np.shape(arriving) == self.shape:
            return arriving
        if np.shape(arriving) == ():
            return np.full(self.shape, arriving, self.dtype)
        raise ValueError(f"dout must have the shape of the output, {self.shape}, got dout.shape={np.shape(arriving)}")


class OneInput(Node):
    """A node with one input."""

    def _remember(self, x: Any, out: Any) -> Any:
        """Keep `x`, and of `out` what ``backward`` will ask for; give `out`."""
        self.x, self.shape, self.dtype = x, np.shape(out), getattr(out, "dtype", None)
        return out


class TwoInputs(Node):
    """A node with two inputs that broadcast: remembering them, and undoing the broadcasting."""

    y: Any = None

    def _remember(self, x: Any, y: Any) -> None:
        if type(x) is float and type(y) is float:
            self.x, self.y, self.shape = x, y, ()
            return
        left, right = _operand(x, "x"), _operand(y, "y")
        try:
            shape = np.broadcast_shapes(np.shape(left), np.shape(right))
        except ValueError:
            raise ValueError(
                f"x and y must have one shape, or shapes that broadcast, got x.shape={np.shape(left)},"
                f" y.shape={np.shape(right)}"
            ) from None
        self.x, self.y, self.shape, self.dtype = left, right, shape, np.result_type(left, right)

    def _summed(self, dx: Any, dy: Any) -> tuple[Any, Any]:
        """Give each gradient in the shape of its input."""
        if type(dx) is float and type(dy) is float:
            return dx, dy
        return sum_to(dx, np.shape(self.x)), sum_to(dy, np.shape(self.y))


class MulLayer(TwoInputs):
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

    symbol = "×"

    def forward(self, x: Any, y: Any) -> Any:
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

    def backward(self, dout: Any) -> tuple[Any, Any]:
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
        dout = self._arriving(dout)
        return self._summed(dout * self.y, dout * self.x)


class AddLayer(TwoInputs):
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

    symbol = "+"

    def forward(self, x: Any, y: Any) -> Any:
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

    def backward(self, dout: Any) -> tuple[Any, Any]:
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
        dout = self._arriving(dout)
        return self._summed(dout * 1, dout * 1)


class SubLayer(TwoInputs):
    """``out = x - y``, entry by entry.

    Notes
    -----
    ∂out/∂x = 1, ∂out/∂y = -1.

    Examples
    --------
    >>> node = SubLayer()
    >>> node.forward(5, 3)
    2
    >>> node.backward(4)
    (4, -4)
    """

    symbol = "−"

    def forward(self, x: Any, y: Any) -> Any:
        """Give ``x - y``.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In the shape they broadcast to.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.
        """
        self._remember(x, y)
        return self.x - self.y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Give `dout` and ``-dout``, each summed to the shape of its input.

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
        """
        dout = self._arriving(dout)
        return self._summed(dout * 1, -dout)


class DivLayer(TwoInputs):
    """``out = x / y``, entry by entry; a division by 0 gives inf or nan, as in NumPy.

    Notes
    -----
    ∂out/∂x = 1 / y, ∂out/∂y = -x / y².

    Examples
    --------
    >>> node = DivLayer()
    >>> node.forward(6, 2)
    3.0
    >>> node.backward(4)
    (2.0, -6.0)
    """

    symbol = "÷"

    def forward(self, x: Any, y: Any) -> Any:
        """Give ``x / y``.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In the shape they broadcast to.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.
        """
        self._remember(x, y)
        return _quotient(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Give ``dout / y`` and ``-dout · x / y²``, each summed.

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
        """
        dx = _quotient(self._arriving(dout), self.y)
        return self._summed(dx, -dx * _quotient(self.x, self.y))


class PowLayer(TwoInputs):
    """``out = x ** y``, entry by entry; where that is not a real number, nan, as in NumPy.

    Notes
    -----
    ∂out/∂x = y · x^(y - 1), and 0 for y = 0.
    ∂out/∂y = out · ln x for x > 0, and 0 at x = 0 for y > 0. For x < 0 the power is defined at whole y only and has no
    slope along y: nan.

    Examples
    --------
    >>> node = PowLayer()
    >>> node.forward(3.0, 2.0)
    9.0
    >>> node.backward(1.0)
    (6.0, 9.887510598012987)
    """

    symbol = "^"

    def forward(self, x: Any, y: Any) -> Any:
        """Give ``x ** y``.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In the shape they broadcast to.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.
        """
        self._remember(x, y)
        return _power(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Give ``dout · y · x^(y - 1)`` and ``dout · out · ln x``, each summed.

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
        """
        dout, x, y = self._arriving(dout), self.x, self.y
        if type(x) is float and type(y) is float and x != 0:
            slope_y = _power(x, y) * math.log(x) if x > 0 else math.nan
            return self._summed(dout * (y and y * _power(x, y - 1)), dout * slope_y)
        with np.errstate(all="ignore"):
            slope_x = np.where(np.equal(y, 0), 0, y * np.power(_real(x), np.subtract(y, 1)))
            at_zero = np.equal(x, 0) & np.greater(y, 0)
            slope_y = np.where(at_zero, 0, np.power(_real(x), y) * np.log(x))
            return self._summed(dout * slope_x, dout * slope_y)


class MaximumLayer(TwoInputs):
    """``out = max(x, y)``, entry by entry; nan if either is.

    Notes
    -----
    The gradient goes to the larger input, the other gets 0. Where both are equal there is no derivative, and it goes to
    `y`: so ``maximum(x, 0)`` is the package's relu, with slope 0 at 0.

    Examples
    --------
    >>> node = MaximumLayer()
    >>> node.forward(5.0, 3.0)
    5.0
    >>> node.backward(4.0)
    (4.0, 0.0)
    """

    symbol = "max"

    def forward(self, x: Any, y: Any) -> Any:
        """Give the larger.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In the shape they broadcast to.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not broadcast.
        """
        self._remember(x, y)
        if self.shape == () and isinstance(self.x, _NUMBER) and isinstance(self.y, _NUMBER):
            return self.x if self._larger() else self.y
        return np.maximum(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Give `dout` to the larger and 0 to the other, each summed.

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
        """
        dout, larger = self._arriving(dout), self._larger()
        if isinstance(larger, bool):
            return self._summed(dout * 1, 0.0) if larger else self._summed(0.0, dout * 1)
        zero = np.zeros_like(dout)
        return self._summed(np.where(larger, dout, zero), np.where(larger, zero, dout))

    def _larger(self) -> Any:
        """Tell where `x` is what comes out; a nan counts as larger than any number."""
        return (self.x > self.y) | (self.x != self.x)


class MatMulLayer(TwoInputs):
    """``out = x @ y``: NumPy's matrix product, also of vectors and of stacks of matrices.

    Notes
    -----
    For matrices dL/dx = dout yᵀ, dL/dy = xᵀ dout. A vector counts as a matrix of one row (on the left) or one column
    (on the right); stacks broadcast.

    Source: "Deep Learning from Scratch" §5.6.1.

    Examples
    --------
    >>> node = MatMulLayer()
    >>> node.forward([[1.0, 2.0]], [[3.0], [4.0]])
    array([[11.]])
    >>> node.backward([[1.0]])
    (array([[3., 4.]]), array([[1.],
           [2.]]))
    """

    symbol = "@"

    def forward(self, x: Any, y: Any) -> Any:
        """Give ``x @ y``.

        Parameters
        ----------
        x : array_like, shape (..., N, D) or (D,)
            On the left: a matrix, a stack of them, or a vector.
        y : array_like, shape (..., D, M) or (D,)
            On the right.

        Returns
        -------
        number or ndarray, shape (..., N, M)
            Without N if `x` is a vector, without M if `y` is one.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If either has no axis, or the shapes do not fit.
        """
        left, right = _operand(x, "x"), _operand(y, "y")
        try:
            out = np.matmul(left, right)
        except ValueError:
            raise ValueError(
                "x @ y needs as many columns in x as rows in y, and an axis in both, got"
                f" x.shape={np.shape(left)}, y.shape={np.shape(right)}"
            ) from None
        self.x, self.y, self.shape, self.dtype = left, right, out.shape, out.dtype
        return out

    def backward(self, dout: Any) -> tuple[Any, Any]:
        """Give ``dout yᵀ`` and ``xᵀ dout``, each in the shape of its input.

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
        """
        dout = np.asarray(self._arriving(dout))
        x, y = self.x, self.y
        if y.ndim == 1:
            y, dout = y[:, np.newaxis], dout[..., np.newaxis]
        if x.ndim == 1:
            x, dout = x[np.newaxis, :], dout[..., np.newaxis, :]
        dx, dy = dout @ np.swapaxes(y, -1, -2), np.swapaxes(x, -1, -2) @ dout
        return sum_to(dx, x.shape).reshape(self.x.shape), sum_to(dy, y.shape).reshape(self.y.shape)


class NegLayer(OneInput):
    """``out = -x``, entry by entry.

    Notes
    -----
    ∂out/∂x = -1.

    Examples
    --------
    >>> node = NegLayer()
    >>> node.forward(2.0), node.backward(4.0)
    (-2.0, -4.0)
    """

    symbol = "−"

    def forward(self, x: Any) -> Any:
        """Give ``-x``.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the shape of `x`.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        """
        x = _operand(x, "x")
        return self._remember(x, -x)

    def backward(self, dout: Any) -> Any:
        """Give ``-dout``.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        return -self._arriving(dout)


class ExpLayer(OneInput):
    """``out = e^x``, entry by entry; too large a number gives inf.

    Notes
    -----
    ∂out/∂x = out.

    Examples
    --------
    >>> node = ExpLayer()
    >>> node.forward(0.0), node.backward(4.0)
    (1.0, 4.0)
    """

    symbol = "exp"

    #: The last output.
    out: Any = None

    def forward(self, x: Any) -> Any:
        """Give ``e^x``.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the shape of `x`.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        """
        x = _operand(x, "x")
        self.out = _quietly(np.exp, x)
        # The caller may change an array it got; backward needs what it was.
        return self._remember(x, self.out if isinstance(self.out, float) else self.out.copy())

    def backward(self, dout: Any) -> Any:
        """Give ``dout · out``.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        return self._arriving(dout) * self.out


class LogLayer(OneInput):
    """``out = ln x``, entry by entry: -inf at 0 and nan below, as in NumPy.

    Notes
    -----
    ∂out/∂x = 1 / x.

    Examples
    --------
    >>> node = LogLayer()
    >>> node.forward(1.0), node.backward(4.0)
    (0.0, 4.0)
    """

    symbol = "log"

    def forward(self, x: Any) -> Any:
        """Give ``ln x``.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the shape of `x`.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        """
        x = _operand(x, "x")
        return self._remember(x, _quietly(np.log, x))

    def backward(self, dout: Any) -> Any:
        """Give ``dout / x``.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        return _quotient(self._arriving(dout), self.x)


class SumLayer(OneInput):
    """``out`` = the sum of the entries of `x`, all of them or those along `axis`.

    Parameters
    ----------
    axis : int or sequence of int, optional
        All axes by default.
    keepdims : bool, default False
        Whether the axes summed over stay, with length 1.

    Notes
    -----
    ∂out/∂(each entry) = 1: every entry gets the gradient of the sum it went into.

    Examples
    --------
    >>> node = SumLayer(axis=1)
    >>> node.forward([[1.0, 2.0], [3.0, 4.0]])
    array([3., 7.])
    >>> node.backward([1.0, 10.0])
    array([[ 1.,  1.],
           [10., 10.]])
    """

    symbol = "Σ"

    def __init__(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> None:
        self.axis = tuple(axis) if isinstance(axis, Sequence) else axis
        self.keepdims = keepdims

    def forward(self, x: Any) -> Any:
        """Give the sum.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            Without the axes summed over, or with length 1 there if `keepdims`.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        ValueError
            If `x` has no such axis.
        """
        x = _operand(x, "x")
        return self._remember(x, _total(np.asarray(x), self.axis, self.keepdims))

    def backward(self, dout: Any) -> Any:
        """Give `dout` to every entry, in the shape of `x`.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        dout = self._arriving(dout)
        if self.axis is not None and not self.keepdims:
            dout = np.expand_dims(dout, self.axis)
        return np.broadcast_to(dout, np.shape(self.x)).copy()


class MeanLayer(SumLayer):
    """``out`` = the mean of the entries of `x`, of all of them or of those along `axis`.

    Parameters
    ----------
    axis : int or sequence of int, optional
        All axes by default.
    keepdims : bool, default False
        Whether the axes the mean is taken over stay, with length 1.

    Notes
    -----
    ∂out/∂(each entry) = 1 / n for the mean of n entries.

    Examples
    --------
    >>> node = MeanLayer()
    >>> float(node.forward([1.0, 2.0, 6.0]))
    3.0
    >>> node.backward(6.0)
    array([2., 2., 2.])
    """

    symbol = "mean"

    def forward(self, x: Any) -> Any:
        """Give the mean.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            Without the axes the mean is taken over, or with length 1 there if `keepdims`.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        ValueError
            If `x` has no such axis, or there are no entries to take the mean of.
        """
        x = np.asarray(_operand(x, "x"))
        total = _total(x, self.axis, self.keepdims)
        if x.size == 0:
            raise ValueError(f"the mean of no entries is not defined, got x.shape={x.shape}")
        return self._remember(x, total / total.dtype.type(x.size // total.size))

    def backward(self, dout: Any) -> Any:
        """Give ``dout / n`` to every entry, in the shape of `x`.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        dx = super().backward(dout)
        return dx / dx.dtype.type(dx.size // math.prod(self.shape))


class ReshapeLayer(OneInput):
    """``out`` = the entries of `x` in another shape.

    Parameters
    ----------
    shape : int or sequence of int
        As for ``numpy.reshape``: one length may be -1.

    Notes
    -----
    Every entry goes to one place, so its gradient comes from there.

    Examples
    --------
    >>> node = ReshapeLayer((2, 2))
    >>> node.forward([1.0, 2.0, 3.0, 4.0])
    array([[1., 2.],
           [3., 4.]])
    >>> node.backward([[10.0, 20.0], [30.0, 40.0]])
    array([10., 20., 30., 40.])
    """

    symbol = "reshape"

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.wanted = shape

    def forward(self, x: Any) -> Any:
        """Give `x` in the new shape.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the new shape.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        ValueError
            If `x` does not fit.
        """
        x = _operand(x, "x")
        try:
            out = np.array(np.reshape(x, self.wanted))  # a copy: the caller may change what it got
        except ValueError:
            raise ValueError(f"x does not fit in shape {self.wanted}, got x.shape={np.shape(x)}") from None
        return self._remember(x, out)

    def backward(self, dout: Any) -> Any:
        """Give `dout` in the shape of `x`.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        return np.array(np.reshape(self._arriving(dout), np.shape(self.x)))


class TransposeLayer(OneInput):
    """``out`` = `x` with its axes in reverse order: for a matrix, the transpose.

    Notes
    -----
    Every entry goes to one place, so its gradient comes from there.

    Examples
    --------
    >>> node = TransposeLayer()
    >>> node.forward([[1.0, 2.0]])
    array([[1.],
           [2.]])
    >>> node.backward([[10.0], [20.0]])
    array([[10., 20.]])
    """

    symbol = "T"

    def forward(self, x: Any) -> Any:
        """Give the transpose.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the shape of `x` read backwards.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        """
        x = _operand(x, "x")
        return self._remember(x, np.array(np.transpose(x)))

    def backward(self, dout: Any) -> Any:
        """Give the transpose of `dout`.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all of it. Not written to.

        Returns
        -------
        number or ndarray
            dL/dx, new, in the shape of `x`.

        Raises
        ------
        RuntimeError
            If ``forward`` has not been called.
        TypeError
            If `dout` does not hold real numbers, or is masked.
        ValueError
            If `dout` has another shape than the output.
        """
        return np.array(np.transpose(self._arriving(dout)))


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
    return _total(gradient, axes).reshape(shape)


def _total(x: Any, axis: Any, keepdims: bool = False) -> Any:
    """Sum over `axis`, half precision in float32 and rounded once."""
    return np.sum(x, axis=axis, keepdims=keepdims, dtype=compute_dtype(x.dtype)).astype(x.dtype)


def _quotient(x: Any, y: Any) -> Any:
    try:
        return x / y
    except ZeroDivisionError:  # Python's numbers raise, NumPy's give inf or nan
        return float(_quietly(np.divide, float(x), y))


def _power(x: Any, y: Any) -> Any:
    if isinstance(x, _NUMBER) and isinstance(y, _NUMBER):
        try:
            return math.pow(x, y)
        except (ValueError, OverflowError):  # likewise
            return float(_quietly(np.power, float(x), float(y)))
    return np.power(x, y)


def _real(x: Any) -> Any:
    """Give `x` with Python's whole numbers as floats, which NumPy raises to negative powers."""
    return float(x) if isinstance(x, int) else x


def _quietly(function: Any, *arguments: Any) -> Any:
    """Give NumPy's inf or nan without its warning; a Python float for Python numbers."""
    with np.errstate(all="ignore"):
        out = function(*arguments)
    return out if isinstance(arguments[0], np.ndarray) else float(out)


def _operand(x: Any, name: str) -> Any:
    """Give a Python number as it is, and all else as an array of float numbers."""
    if isinstance(x, _NUMBER):
        return x
    array = numbers(x, name)
    return array.astype(compute_dtype(array.dtype)) if array.dtype.kind in "biu" else array
