"""The interface of every node of a graph: what ``forward`` and ``backward`` take, return and raise."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from chainrule.graph.arithmetic import operand, sum_to


class Node:
    """What all nodes share: their interface, what they remember, and the check of the gradient that arrives.

    Attributes
    ----------
    x, y : number or ndarray
        The inputs of the last ``forward`` (`y` only for a node with two). They are not copied: do not change them until
        ``backward`` is done. None before.
    shape : tuple of int
        The shape of the last output; () for a number.
    symbol : str
        How the node is drawn.
    """

    symbol: ClassVar[str] = ""

    x: Any = None
    shape: tuple[int, ...] = ()
    #: Of the last output; None for a Python number.
    dtype: Any = None

    def backward(self, dout: Any) -> Any:
        """Give the gradient of each input, given that of the output.

        Parameters
        ----------
        dout : array_like
            dL/dout in the shape of the output, or one number for all entries. Not written to.

        Returns
        -------
        dx, or dx and dy : number or ndarray
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
        raise NotImplementedError

    def _arriving(self, dout: Any) -> Any:
        """Give `dout` in the shape of the output; a single number stands for every entry."""
        if self.x is None:
            name = type(self).__name__
            raise RuntimeError(f"{name}.backward was called before forward; call {name}.forward first")
        if type(dout) is float and not self.shape:
            return dout
        arriving = operand(dout, "dout")
        if np.shape(arriving) == self.shape:
            return arriving
        if np.shape(arriving) == ():
            return np.full(self.shape, arriving, self.dtype)
        raise ValueError(f"dout must have the shape of the output, {self.shape}, got dout.shape={np.shape(arriving)}")


class OneInput(Node):
    """A node with one input."""

    def forward(self, x: Any) -> Any:
        """Give the output.

        Parameters
        ----------
        x : array_like
            A number or an array of any shape.

        Returns
        -------
        number or ndarray
            In the shape of `x`, unless the node's purpose is to change it.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers, or is masked.
        ValueError
            If `x` does not have the axes, the entries or the size that the node needs.
        """
        raise NotImplementedError

    def _remember(self, x: Any, out: Any) -> Any:
        """Keep `x`, and of `out` what ``backward`` will ask for; give `out`."""
        self.x, self.shape, self.dtype = x, np.shape(out), getattr(out, "dtype", None)
        return out


class TwoInputs(Node):
    """A node with two inputs that broadcast."""

    y: Any = None

    def forward(self, x: Any, y: Any) -> Any:
        """Give the output.

        Parameters
        ----------
        x, y : array_like
            Numbers or arrays, of one shape or of shapes that broadcast.

        Returns
        -------
        number or ndarray
            In the shape that they broadcast to, with NumPy's dtype for the operation.

        Raises
        ------
        TypeError
            If `x` or `y` does not hold real numbers, or is masked.
        ValueError
            If the shapes do not fit.
        """
        raise NotImplementedError

    def _remember(self, x: Any, y: Any) -> None:
        if type(x) is float and type(y) is float:
            self.x, self.y, self.shape = x, y, ()
            return
        left, right = operand(x, "x"), operand(y, "y")
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
