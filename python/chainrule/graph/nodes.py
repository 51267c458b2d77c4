"""The nodes of a graph: each is an operation, with the rule that passes the gradient back.

``forward(x, y)``, or ``forward(x)``, remembers what ``backward(dout)`` will need. ``backward`` takes dL/d(output) and
returns dL/d(each input): the chain rule, one node at a time. `base` describes what all nodes take, return and raise.

Python numbers stay Python numbers: 2 times 3 is 6. Arrays may broadcast: an input that was stretched gets the sum of
the gradients of all its copies, in its own shape (`sum_to`). Arrays of whole numbers or booleans become float64.

A node of two Python floats takes less than a microsecond, because a graph may have a hundred thousand nodes; that is
why floats take a shortcut through the checks.

Source: the tutorial's "乘法层和加法层"; "Deep Learning from Scratch" §5.4 (× and +), §5.6.1 (@).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule.graph.arithmetic import (
    NUMBER,
    as_real,
    operand,
    parted,
    power,
    quietly,
    quotient,
    sum_to,
    total,
    written_index,
)
from chainrule.graph.base import OneInput, TwoInputs


class AddLayer(TwoInputs):
    """``out = x + y``: ∂out/∂x = ∂out/∂y = 1, so both inputs get the gradient that arrives unchanged.

    Examples
    --------
    >>> node = AddLayer()
    >>> node.forward(2, 3), node.backward(4)
    (5, (4, 4))
    """

    symbol = "+"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        return self.x + self.y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dout = self._arriving(dout)
        return self._summed(dout * 1, dout * 1)


class SubLayer(TwoInputs):
    """``out = x - y``: ∂out/∂x = 1, ∂out/∂y = -1.

    Examples
    --------
    >>> node = SubLayer()
    >>> node.forward(5, 3), node.backward(4)
    (2, (4, -4))
    """

    symbol = "−"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        return self.x - self.y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dout = self._arriving(dout)
        return self._summed(dout * 1, -dout)


class MulLayer(TwoInputs):
    """``out = x · y``: ∂out/∂x = y, ∂out/∂y = x, so the gradient is multiplied by the *other* input.

    Examples
    --------
    >>> node = MulLayer()
    >>> node.forward(2, 3), node.backward(1)
    (6, (3, 2))
    >>> out = node.forward([1.0, 2.0], 3.0)
    >>> node.backward([1.0, 10.0])
    (array([ 3., 30.]), np.float64(21.0))
    """

    symbol = "×"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        return self.x * self.y

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dout = self._arriving(dout)
        return self._summed(dout * self.y, dout * self.x)


class DivLayer(TwoInputs):
    """``out = x / y``: ∂out/∂x = 1 / y, ∂out/∂y = -x / y²; a division by 0 gives inf or nan, as in NumPy.

    Examples
    --------
    >>> node = DivLayer()
    >>> node.forward(6, 2), node.backward(4)
    (3.0, (2.0, -6.0))
    """

    symbol = "÷"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        return quotient(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dx = quotient(self._arriving(dout), self.y)
        return self._summed(dx, -dx * quotient(self.x, self.y))


class PowLayer(TwoInputs):
    """``out = x ** y``: ∂out/∂x = y · x^(y - 1), ∂out/∂y = out · ln x; nan where that is not a real number.

    ∂out/∂x is 0 for y = 0, and ∂out/∂y at x = 0 for y > 0. For x < 0 the power is defined at whole y only and has no
    slope along y: nan.

    Examples
    --------
    >>> node = PowLayer()
    >>> node.forward(3.0, 2.0), node.backward(1.0)
    (9.0, (6.0, 9.887510598012987))
    """

    symbol = "^"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        return power(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        dout, x, y = self._arriving(dout), self.x, self.y
        if type(x) is float and type(y) is float and x != 0:
            slope_y = power(x, y) * math.log(x) if x > 0 else math.nan
            return self._summed(dout * (y and y * power(x, y - 1)), dout * slope_y)
        with np.errstate(all="ignore"):
            slope_x = np.where(np.equal(y, 0), 0, y * np.power(as_real(x), np.subtract(y, 1)))
            at_zero = np.equal(x, 0) & np.greater(y, 0)
            slope_y = np.where(at_zero, 0, np.power(as_real(x), y) * np.log(x))
            return self._summed(dout * slope_x, dout * slope_y)


class MaximumLayer(TwoInputs):
    """``out = max(x, y)``: the gradient goes to the larger input, the other gets 0; nan if either is.

    Where both are equal there is no derivative, and the gradient goes to `y`; so ``maximum(x, 0)`` is the package's
    relu, with slope 0 at 0.

    Examples
    --------
    >>> node = MaximumLayer()
    >>> node.forward(5.0, 3.0), node.backward(4.0)
    (5.0, (4.0, 0.0))
    """

    symbol = "max"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        if self.shape == () and isinstance(self.x, NUMBER) and isinstance(self.y, NUMBER):
            return self.x if self._larger() else self.y
        return np.maximum(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        return self._summed(*parted(self._arriving(dout), self._larger()))

    def _larger(self) -> Any:
        """Tell where the output is `x`; a nan counts as larger than any number."""
        return (self.x > self.y) | (self.x != self.x)


class MinimumLayer(TwoInputs):
    """``out = min(x, y)``: the gradient goes to the smaller input, the other gets 0; nan if either is.

    Where both are equal there is no derivative, and the gradient goes to `y`, as in `MaximumLayer`.

    Examples
    --------
    >>> node = MinimumLayer()
    >>> node.forward(5.0, 3.0), node.backward(4.0)
    (3.0, (0.0, 4.0))
    """

    symbol = "min"

    def forward(self, x: Any, y: Any) -> Any:
        self._remember(x, y)
        if self.shape == () and isinstance(self.x, NUMBER) and isinstance(self.y, NUMBER):
            return self.x if self._smaller() else self.y
        return np.minimum(self.x, self.y)

    def backward(self, dout: Any) -> tuple[Any, Any]:
        return self._summed(*parted(self._arriving(dout), self._smaller()))

    def _smaller(self) -> Any:
        """Tell where the output is `x`; a nan counts as smaller than any number."""
        return (self.x < self.y) | (self.x != self.x)


class MatMulLayer(TwoInputs):
    """``out = x @ y``: dL/dx = dout yᵀ, dL/dy = xᵀ dout. NumPy's product, also of vectors and of stacks of matrices.

    `x` has shape (..., N, D) or (D,), `y` (..., D, M) or (D,), the output (..., N, M). A vector counts as a matrix of
    one row (on the left) or one column (on the right); stacks broadcast.

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
        left, right = operand(x, "x"), operand(y, "y")
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
        dout = np.asarray(self._arriving(dout))
        x, y = self.x, self.y
        if y.ndim == 1:
            y, dout = y[:, np.newaxis], dout[..., np.newaxis]
        if x.ndim == 1:
            x, dout = x[np.newaxis, :], dout[..., np.newaxis, :]
        dx, dy = dout @ np.swapaxes(y, -1, -2), np.swapaxes(x, -1, -2) @ dout
        return sum_to(dx, x.shape).reshape(self.x.shape), sum_to(dy, y.shape).reshape(self.y.shape)


class NegLayer(OneInput):
    """``out = -x``: ∂out/∂x = -1.

    Examples
    --------
    >>> node = NegLayer()
    >>> node.forward(2.0), node.backward(4.0)
    (-2.0, -4.0)
    """

    symbol = "−"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, -x)

    def backward(self, dout: Any) -> Any:
        return -self._arriving(dout)


class ExpLayer(OneInput):
    """``out = e^x``: ∂out/∂x = out; a number that is too large gives inf.

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
        x = operand(x, "x")
        self.out = quietly(np.exp, x)
        # The caller may change the array it got; backward needs the original.
        return self._remember(x, self.out if isinstance(self.out, float) else self.out.copy())

    def backward(self, dout: Any) -> Any:
        return self._arriving(dout) * self.out


class LogLayer(OneInput):
    """``out = ln x``: ∂out/∂x = 1 / x; -inf at 0 and nan below, as in NumPy.

    Examples
    --------
    >>> node = LogLayer()
    >>> node.forward(1.0), node.backward(4.0)
    (0.0, 4.0)
    """

    symbol = "log"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, quietly(np.log, x))

    def backward(self, dout: Any) -> Any:
        return quotient(self._arriving(dout), self.x)


class SinLayer(OneInput):
    """``out = sin x``, in radians: ∂out/∂x = cos x.

    Examples
    --------
    >>> node = SinLayer()
    >>> node.forward(0.0), node.backward(4.0)
    (0.0, 4.0)
    """

    symbol = "sin"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, quietly(np.sin, x))

    def backward(self, dout: Any) -> Any:
        return self._arriving(dout) * quietly(np.cos, self.x)


class CosLayer(OneInput):
    """``out = cos x``, in radians: ∂out/∂x = -sin x.

    Examples
    --------
    >>> node = CosLayer()
    >>> round(node.forward(1.0), 4), round(node.backward(4.0), 4)
    (0.5403, -3.3659)
    """

    symbol = "cos"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, quietly(np.cos, x))

    def backward(self, dout: Any) -> Any:
        return self._arriving(dout) * -quietly(np.sin, self.x)


class TanhLayer(OneInput):
    """``out = tanh x``: ∂out/∂x = 1 - out².

    The layer of networks is `chainrule.Tanh`; this is the operator of a graph, which also takes numbers.

    Examples
    --------
    >>> node = TanhLayer()
    >>> node.forward(0.0), node.backward(4.0)
    (0.0, 4.0)
    """

    symbol = "tanh"

    #: The last output.
    out: Any = None

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        self.out = quietly(np.tanh, x)
        # As in ExpLayer.
        return self._remember(x, self.out if isinstance(self.out, float) else self.out.copy())

    def backward(self, dout: Any) -> Any:
        return self._arriving(dout) * (1 - self.out * self.out)


class SqrtLayer(OneInput):
    """``out = √x``: ∂out/∂x = 1 / (2 · out); inf at 0, nan below.

    Examples
    --------
    >>> node = SqrtLayer()
    >>> node.forward(9.0), node.backward(12.0)
    (3.0, 2.0)
    """

    symbol = "√"

    #: The last output.
    out: Any = None

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        self.out = quietly(np.sqrt, x)
        # As in ExpLayer.
        return self._remember(x, self.out if isinstance(self.out, float) else self.out.copy())

    def backward(self, dout: Any) -> Any:
        return quotient(self._arriving(dout), 2 * self.out)


class AbsLayer(OneInput):
    """``out = |x|``: ∂out/∂x is 1 above 0 and -1 below; at 0, where there is no derivative, 0.

    Examples
    --------
    >>> node = AbsLayer()
    >>> node.forward(-3.0), node.backward(4.0)
    (3.0, -4.0)
    """

    symbol = "abs"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, abs(x))

    def backward(self, dout: Any) -> Any:
        return self._arriving(dout) * quietly(np.sign, self.x)


class IndexLayer(OneInput):
    """``out = x[index]``: each entry of the gradient goes back to where the entry came from; all others get 0.

    An entry that is picked several times gets the sum of the gradients of its copies.

    Parameters
    ----------
    index : int, slice, ..., None, list or array of int or bool, or tuple of these
        As for an ndarray.

    Examples
    --------
    >>> node = IndexLayer([0, 0, 2])
    >>> node.forward([1.0, 2.0, 3.0]), node.backward([1.0, 10.0, 100.0])
    (array([1., 1., 3.]), array([ 11.,   0., 100.]))
    """

    def __init__(self, index: Any) -> None:
        parts = index if isinstance(index, tuple) else (index,)
        # Copies: the caller may change a list or an array of indices.
        parts = tuple(np.array(part) if isinstance(part, list | np.ndarray) else part for part in parts)
        self.index = parts if isinstance(index, tuple) else parts[0]
        self.written = ", ".join(map(written_index, parts))

    @property
    def symbol(self) -> str:  # type: ignore[override]  # which tells the places
        """How the node is drawn."""
        return f"[{self.written}]"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        if np.ndim(x) == 0:
            raise TypeError("x is a single number and cannot be indexed")
        out = x[self.index]
        return self._remember(x, out.copy() if isinstance(out, np.ndarray) else out)

    def backward(self, dout: Any) -> Any:
        dout = self._arriving(dout)
        dx = np.zeros(np.shape(self.x), self.dtype)
        np.add.at(dx, self.index, dout)
        return dx


class SumLayer(OneInput):
    """``out = Σ x``, over all entries or along `axis`: ∂out/∂(each entry) = 1, each gets the gradient of its sum.

    Parameters
    ----------
    axis : int or sequence of int, optional
        All axes by default.
    keepdims : bool, default False
        Whether the axes that are summed over stay, with length 1; otherwise the output does not have them.

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
        x = operand(x, "x")
        return self._remember(x, total(np.asarray(x), self.axis, self.keepdims))

    def backward(self, dout: Any) -> Any:
        dout = self._arriving(dout)
        if self.axis is not None and not self.keepdims:
            dout = np.expand_dims(dout, self.axis)
        return np.broadcast_to(dout, np.shape(self.x)).copy()


class MeanLayer(SumLayer):
    """``out = Σ x / n``, over all n entries or along `axis`, as in `SumLayer`: ∂out/∂(each entry) = 1 / n.

    Examples
    --------
    >>> node = MeanLayer()
    >>> node.forward([1.0, 2.0, 6.0]), node.backward(6.0)
    (np.float64(3.0), array([2., 2., 2.]))
    """

    symbol = "mean"

    def forward(self, x: Any) -> Any:
        x = np.asarray(operand(x, "x"))
        sums = total(x, self.axis, self.keepdims)
        if x.size == 0:
            raise ValueError(f"the mean of no entries is not defined, got x.shape={x.shape}")
        return self._remember(x, sums / sums.dtype.type(x.size // sums.size))

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        return dx / dx.dtype.type(dx.size // math.prod(self.shape))


class ReshapeLayer(OneInput):
    """``out = x`` in another shape: every entry goes to one place, so its gradient comes from there.

    Parameters
    ----------
    shape : int or sequence of int
        As for ``numpy.reshape``: one length may be -1.

    Examples
    --------
    >>> node = ReshapeLayer((1, 2))
    >>> node.forward([1.0, 2.0]), node.backward([[10.0, 20.0]])
    (array([[1., 2.]]), array([10., 20.]))
    """

    symbol = "reshape"

    def __init__(self, shape: int | Sequence[int]) -> None:
        self.wanted = shape

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        try:
            out = np.array(np.reshape(x, self.wanted))  # a copy: the caller may change what it got
        except ValueError:
            raise ValueError(f"x does not fit in shape {self.wanted}, got x.shape={np.shape(x)}") from None
        return self._remember(x, out)

    def backward(self, dout: Any) -> Any:
        return np.array(np.reshape(self._arriving(dout), np.shape(self.x)))


class TransposeLayer(OneInput):
    """``out = xᵀ``, the axes in reverse order: every entry goes to one place, so its gradient comes from there.

    Examples
    --------
    >>> node = TransposeLayer()
    >>> node.forward([[1.0, 2.0]]).shape, node.backward([[10.0], [20.0]])
    ((2, 1), array([[10., 20.]]))
    """

    symbol = "T"

    def forward(self, x: Any) -> Any:
        x = operand(x, "x")
        return self._remember(x, np.array(np.transpose(x)))

    def backward(self, dout: Any) -> Any:
        return np.array(np.transpose(self._arriving(dout)))
