"""Recording: every operator applies a node layer and returns a new `Variable`; `apply` does so with any layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from chainrule.graph import nodes
from chainrule.graph.base import TwoInputs
from chainrule.graph.record import Recorded, backpropagate, held, made_last

if TYPE_CHECKING:
    from chainrule.graph.drawing import Graph


def _operator(node: Callable[[], TwoInputs]) -> tuple[Callable[[Any, Any], Variable], Callable[[Any, Any], Variable]]:
    """Give what an operator does with its left and with its right operand: it records a node."""

    def of_left(self: Any, other: Any) -> Variable:
        return _record(node(), self, other)

    def of_right(self: Any, other: Any) -> Variable:
        return _record(node(), other, self)

    return of_left, of_right


def _refused(sign: str) -> Callable[[Any, object], NoReturn]:
    def method(self: Any, other: object) -> NoReturn:
        raise TypeError(
            f"Variables are not compared: {sign} has no derivative and no place in a graph; compare their .value, or"
            " use x.maximum(y)"
        )

    return method


#: Counts the variables that were not computed.
_MADE = count()


class Variable(Recorded):
    """A number or array that records what is computed from it, so that gradients can be computed.

    ``+ - * / ** @``, unary minus, ``abs``, ``x[…]`` and the methods from `exp` to `reshape` and `T` return new
    variables, and so do NumPy's functions with these names, such as ``np.exp(x)``; `apply` does the same with any
    layer. Numbers and arrays among the operands are constants.

    Parameters
    ----------
    value : array_like
        A number, held as a Python float, or a float32 or float64 array of any shape. The array is not copied: do not
        change it while the graph is in use. Whole numbers become float64.
    name : str, optional
        The name in drawings and explanations; may be assigned later.

    Attributes
    ----------
    value : float or ndarray
        As given, or as computed.
    grad : float, ndarray or None
        dL/d(this), in the shape and dtype of `value`, from the last ``L.backward()`` that reached it; not the sum of
        several. None before.
    name : str or None
        The name.
    layer : object or None
        The layer that made it, with ``forward`` and ``backward``; None for a variable that was not computed.
    inputs : tuple
        The inputs of that layer: variables, and constants as they are.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers or `name` is not a str.

    Notes
    -----
    Values follow NumPy, quietly: shapes broadcast, 1/0 is inf, log(-1) nan.

    Comparisons (``<``, ``==``, …) and the truth value of a variable raise TypeError, because a graph cannot record
    them; compare ``x.value``. In dicts and sets, and for ``is``, every variable equals only itself. ``x in [y, x]``
    compares with ``==`` until it meets `x` itself, so it raises too; use ``any(x is v for v in variables)``.

    ``float(x)``, `item` and `shape` read the value and are not recorded. Python's `math` takes a variable as such a
    float: ``math.exp(x)`` is a constant, ``np.exp(x)`` is recorded.

    Source: the tutorial's "计算图"; "Deep Learning from Scratch" §5.1-5.4.

    Examples
    --------
    >>> x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    >>> g = (x + y) * z
    >>> g.value
    20.0
    >>> g.backward()
    >>> x.grad, y.grad, z.grad
    (4.0, 4.0, 5.0)
    """

    __slots__ = ()

    __hash__ = object.__hash__

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        if isinstance(value, Variable):
            raise TypeError("value is a Variable already; use it as it is, or its .value")
        self.value: Any = held(value, "value")
        self.grad: Any = None
        self.name = name
        self.layer: Any = None
        self.inputs: tuple[Any, ...] = ()
        self.depth = 0
        self.own = False
        self.made = next(_MADE)

    # --- what is recorded ---

    __add__, __radd__ = _operator(nodes.AddLayer)
    __sub__, __rsub__ = _operator(nodes.SubLayer)
    __mul__, __rmul__ = _operator(nodes.MulLayer)
    __truediv__, __rtruediv__ = _operator(nodes.DivLayer)
    __pow__, __rpow__ = _operator(nodes.PowLayer)
    __matmul__, __rmatmul__ = _operator(nodes.MatMulLayer)

    def __neg__(self) -> Variable:
        return _record_one(nodes.NegLayer(), self)

    def exp(self) -> Variable:
        """Give e^x, entry by entry.

        Examples
        --------
        >>> Variable(0.0).exp().value
        1.0
        """
        return _record_one(nodes.ExpLayer(), self)

    def log(self) -> Variable:
        """Give the natural logarithm, entry by entry.

        Examples
        --------
        >>> Variable(1.0).log().value
        0.0
        """
        return _record_one(nodes.LogLayer(), self)

    def sin(self) -> Variable:
        """Give the sine, in radians, entry by entry.

        Examples
        --------
        >>> Variable(0.0).sin().value
        0.0
        """
        return _record_one(nodes.SinLayer(), self)

    def cos(self) -> Variable:
        """Give the cosine, in radians, entry by entry.

        Examples
        --------
        >>> Variable(0.0).cos().value
        1.0
        """
        return _record_one(nodes.CosLayer(), self)

    def tanh(self) -> Variable:
        """Give the hyperbolic tangent, entry by entry.

        Examples
        --------
        >>> Variable(0.0).tanh().value
        0.0
        """
        return _record_one(nodes.TanhLayer(), self)

    def sqrt(self) -> Variable:
        """Give the square root, entry by entry; its slope at 0 is inf.

        Examples
        --------
        >>> Variable(9.0).sqrt().value
        3.0
        """
        return _record_one(nodes.SqrtLayer(), self)

    def abs(self) -> Variable:
        """Give the absolute value, entry by entry, as ``abs(x)`` does; the slope at 0 is 0.

        Examples
        --------
        >>> Variable([-1.0, 2.0]).abs().value
        array([1., 2.])
        """
        return _record_one(nodes.AbsLayer(), self)

    __abs__ = abs

    def maximum(self, other: Any) -> Variable:
        """Give the larger of this and `other`, entry by entry; ``x.maximum(0)`` is relu.

        Parameters
        ----------
        other : Variable or array_like
            Any shape that broadcasts; gets the gradient where both are equal.

        Raises
        ------
        TypeError
            If `other` does not hold real numbers.
        ValueError
            If the shapes do not broadcast.

        Examples
        --------
        >>> Variable([-1.0, 2.0]).maximum(0).value
        array([0., 2.])
        """
        return _record(nodes.MaximumLayer(), self, other)

    def minimum(self, other: Any) -> Variable:
        """Give the smaller of this and `other`, entry by entry.

        Parameters
        ----------
        other : Variable or array_like
            Any shape that broadcasts; gets the gradient where both are equal.

        Raises
        ------
        TypeError
            If `other` does not hold real numbers.
        ValueError
            If the shapes do not broadcast.

        Examples
        --------
        >>> Variable([-1.0, 2.0]).minimum(0).value
        array([-1.,  0.])
        """
        return _record(nodes.MinimumLayer(), self, other)

    def clip(self, low: Any = None, high: Any = None) -> Variable:
        """Limit the entries to the interval from `low` to `high`.

        This records ``x.maximum(low).minimum(high)``: at `low` and at `high` the slope with respect to x is 0.

        Parameters
        ----------
        low, high : Variable or array_like, optional
            The limits, of any shape that broadcasts; by default there is no limit on that side.

        Raises
        ------
        TypeError
            If a limit does not hold real numbers, or both are missing.
        ValueError
            If the shapes do not broadcast.

        Examples
        --------
        >>> Variable([-1.0, 0.5, 2.0]).clip(0, 1).value
        array([0. , 0.5, 1. ])
        """
        if low is None and high is None:
            raise TypeError("clip needs low or high, got neither")
        above = self if low is None else self.maximum(low)
        return above if high is None else above.minimum(high)

    def __getitem__(self, index: Any) -> Variable:
        if any(isinstance(part, Variable) for part in (index if isinstance(index, tuple) else (index,))):
            raise TypeError("an index cannot be a Variable, because it has no gradient; use whole numbers")
        return _record_one(nodes.IndexLayer(index), self)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a Variable that is a single number has no entries and no len()")
        return self.shape[0]

    def __iter__(self) -> Iterator[Variable]:
        return (self[n] for n in range(len(self)))

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Variable:
        """Give the sum of all entries, or of those along `axis`.

        Parameters
        ----------
        axis : int or sequence of int, optional
            All axes by default.
        keepdims : bool, default False
            Whether the axes that are summed over stay, with length 1.

        Raises
        ------
        ValueError
            If there is no such axis.

        Examples
        --------
        >>> Variable([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0).value
        array([4., 6.])
        """
        return _record_one(nodes.SumLayer(axis, keepdims), self)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Variable:
        """Give the mean of all entries, or of those along `axis`.

        Parameters
        ----------
        axis, keepdims : int or sequence of int, and bool, optional
            As for `sum`.

        Raises
        ------
        ValueError
            If there is no such axis, or there are no entries.

        Examples
        --------
        >>> Variable([1.0, 2.0, 6.0]).mean().value
        3.0
        """
        return _record_one(nodes.MeanLayer(axis, keepdims), self)

    def reshape(self, *shape: Any) -> Variable:
        """Give the same entries in another shape.

        Parameters
        ----------
        *shape : int, or one tuple of int
            As for ``ndarray.reshape``: one length may be -1.

        Raises
        ------
        ValueError
            If the entries do not fit.

        Examples
        --------
        >>> Variable([1.0, 2.0, 3.0, 4.0]).reshape(2, 2).value
        array([[1., 2.],
               [3., 4.]])
        """
        return _record_one(nodes.ReshapeLayer(shape[0] if len(shape) == 1 else shape), self)

    @property
    def T(self) -> Variable:
        """The axes in reverse order: for a matrix, the transpose."""
        return _record_one(nodes.TransposeLayer(), self)

    # --- NumPy's functions ---

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Variable:
        """Record what a NumPy function of numbers does, as the method or operator of that name would."""
        if ufunc.__name__ in _COMPARISONS:
            _refused(_COMPARISONS[ufunc.__name__])(self, None)
        record = _UFUNCS.get(ufunc.__name__)
        if method != "__call__":
            raise TypeError(f"np.{ufunc.__name__}.{method} has no node here; use x.sum() or x.mean()")
        if options:
            raise TypeError(f"np.{ufunc.__name__} of a Variable takes no {', '.join(options)}")
        if record is None:
            raise TypeError(
                f"np.{ufunc.__name__} has no node here; there are {', '.join(sorted(_UFUNCS))}. For another function,"
                " give apply() a layer with forward and backward"
            )
        return record(*inputs)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what a NumPy function of arrays does by the method of its name, or refuse."""
        method = _FUNCTIONS.get(function.__name__)
        if method is None or not isinstance(args[0] if args else None, Variable):
            raise TypeError(
                f"np.{function.__name__} has no node here; there are {', '.join(_FUNCTIONS)}, with a Variable as the"
                " first argument. For another function, give apply() a layer with forward and backward, or use x.value"
            )
        return method(*args, **kwargs)

    if not TYPE_CHECKING:  # to a type checker what has this is an array, and so is what comes of one and an array

        def __array__(self, *args, **kwargs):
            """Refuse, since an array would not be part of the graph."""
            raise TypeError("a Variable cannot become an array, because that would have no gradient; use its .value")

    # --- what its value is ---

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the value; () for a number."""
        return np.shape(self.value)

    def item(self) -> float:
        """Give the value as a Python float, as ``float(x)`` does; it is not recorded.

        Raises
        ------
        ValueError
            If the value is not one number.

        Examples
        --------
        >>> Variable([[2.5]]).item()
        2.5
        """
        if np.size(self.value) != 1:
            raise ValueError(
                f"only a single number can become a float, got shape {self.shape}; use x.value, or an entry"
            )
        return float(np.asarray(self.value).item())

    __float__ = item

    # --- what is asked of the record ---

    def backward(self, dout: ArrayLike = 1) -> None:
        """Set `grad` of this variable, and of all variables it was computed from, to the gradient of this one.

        Parameters
        ----------
        dout : array_like, default 1
            dL/d(this), in its shape, or one number for every entry. Not written to.

        Raises
        ------
        TypeError
            If `dout`, or what a layer returned, does not hold real numbers.
        ValueError
            If `dout` has another shape, or a layer returned gradients of the wrong number or shape.
        RuntimeError
            If a layer has been applied again since: it remembers only its last ``forward``.

        Notes
        -----
        A second call gives the same result, not twice as much: `grad` is set, not added to. After an error no `grad`
        has changed; layers with parameters may have a new ``dW``.

        The gradient of x is the sum of what is returned for x by all nodes that have x as an input.

        Examples
        --------
        >>> x = Variable(3.0)
        >>> (x * x + x).backward()
        >>> x.grad
        7.0
        """
        for variable, gradient in backpropagate(self, dout).items():
            variable.grad = gradient

    def graph(self) -> Graph:
        """Give the graph that leads to this variable, for drawing.

        Returns
        -------
        Graph
            ``to_svg()``, ``to_dot()``, ``to_mermaid()``, ``save("graph.svg")``; a notebook shows it by itself. With
            gradients if ``backward`` has been called.

        Examples
        --------
        >>> g = Variable(2, "x") * Variable(3, "y")
        >>> print(g.graph().to_mermaid().splitlines()[0])
        flowchart LR
        """
        # The drawing knows variables; this method only calls it.
        from chainrule.graph.drawing import Graph

        return Graph(self)

    def explain(self, form: str = "text") -> str:
        """Tell the chain rule line by line, with the numbers of this graph.

        Parameters
        ----------
        form : {"text", "markdown"}
            Plain text, or Markdown with formulas in LaTeX.

        Raises
        ------
        RuntimeError
            If ``backward`` has not been called.
        ValueError
            If `form` is neither.

        Examples
        --------
        >>> x, z = Variable(5, "x"), Variable(4, "z")
        >>> g = x * z
        >>> g.name = "g"
        >>> g.backward()
        >>> print(g.explain())
        forward
          g = x · z = 5 · 4 = 20
        backward
          ∂g/∂g = 1
          through g = x · z
            ∂g/∂x = z = 4
            ∂g/∂z = x = 5
        """
        # As above.
        from chainrule.graph.explaining import explain

        return explain(self, form)

    # What has no place in a graph.
    __eq__, __ne__ = _refused("=="), _refused("!=")
    __lt__, __le__, __gt__, __ge__ = map(_refused, ("<", "<=", ">", ">="))

    def __bool__(self) -> NoReturn:
        raise TypeError("a Variable is neither true nor false; ask its .value")

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        grad = "" if self.grad is None else f", grad={self.grad!r}"
        return f"Variable({self.value!r}{name}{grad})"


def apply(layer: Any, *inputs: Any) -> Variable:
    """Return ``layer.forward(*inputs)`` as a variable that is recorded in the graph.

    Parameters
    ----------
    layer : object
        Any layer of this package, or any object with ``forward`` and ``backward(dout)``. ``backward`` returns the
        gradient of the input, or a tuple with one for each `Variable` among the inputs (or one for every input).
    *inputs : Variable or anything
        Of variables the layer gets the values; anything else, such as class labels, is passed on as it is.

    Returns
    -------
    Variable

    Raises
    ------
    TypeError
        If `layer` lacks a method, no input is a Variable, or ``forward`` does not return one array of real numbers.
        Errors raised by ``forward`` are passed on.

    Notes
    -----
    The layer itself is recorded: after ``backward``, ``layer.dW`` is the gradient of ``layer.W``. A layer remembers
    only its last ``forward``, so every place in a graph needs a layer of its own; ``backward`` refuses a layer that was
    applied again since, but cannot notice a ``forward`` called without `apply`. (Several `Affine` may share one array
    W.)

    Examples
    --------
    >>> from chainrule import Relu
    >>> x = Variable([-1.0, 2.0])
    >>> loss = apply(Relu(), x).sum()
    >>> loss.backward()
    >>> x.grad
    array([0., 1.])
    """
    return applied(layer, inputs, lambda *values: layer.forward(*values))


def applied(layer: Any, inputs: tuple[Any, ...], forward: Callable[..., Any]) -> Variable:
    """Do what `apply` does, with a `forward` that calls that of the layer."""
    if isinstance(layer, type) or not callable(getattr(layer, "forward", None)):
        raise TypeError(f"layer must be an object with forward and backward, got {layer!r}")
    if not callable(getattr(layer, "backward", None)):
        raise TypeError(f"layer must have a method backward(dout), and {type(layer).__name__} has none")
    if not any(isinstance(given, Variable) for given in inputs):
        raise TypeError(f"apply needs at least one Variable for {type(layer).__name__}; make one with Variable(x)")
    out = forward(*(given.value if isinstance(given, Variable) else given for given in inputs))
    value = held(out, f"what {type(layer).__name__}.forward gives")
    depth = 1 + max(given.depth for given in inputs if isinstance(given, Variable))
    variable = _made(layer, inputs, value, depth, False)
    made_last[id(layer)] = variable
    return variable


def _record(layer: Any, x: Any, y: Any) -> Variable:
    """Apply a node layer of our own, which has not been used before, to two operands, one of them a variable."""
    if isinstance(x, Variable):
        left, depth = x.value, x.depth
        if isinstance(y, Variable):
            right = y.value
            if y.depth > depth:
                depth = y.depth
        else:
            y = right = held(y, "the right operand")
    else:
        x = left = held(x, "the left operand")
        right, depth = y.value, y.depth
    if type(left) is float and type(right) is float:
        return _made(layer, (x, y), layer.forward(left, right), depth + 1, True)
    with np.errstate(all="ignore"):
        return _made(layer, (x, y), held(layer.forward(left, right), "the result"), depth + 1, True)


def _record_one(layer: Any, x: Variable) -> Variable:
    """Do the same for one operand."""
    with np.errstate(all="ignore"):
        return _made(layer, (x,), held(layer.forward(x.value), "the result"), x.depth + 1, True)


def _made(layer: Any, inputs: tuple[Any, ...], value: Any, depth: int, own: bool) -> Variable:
    variable = _new(Variable)
    variable.value = value
    variable.grad = variable.name = None
    variable.layer = layer
    variable.inputs = inputs
    variable.depth = depth
    variable.own = own
    return variable


_new = Variable.__new__

#: What is recorded for NumPy's functions of numbers, by their names.
_UFUNCS: dict[str, Callable[..., Variable]] = {
    **{
        name: partial(lambda node, x, y: _record(node(), x, y), node)
        for name, node in {
            "add": nodes.AddLayer, "subtract": nodes.SubLayer, "multiply": nodes.MulLayer, "divide": nodes.DivLayer,
            "power": nodes.PowLayer, "matmul": nodes.MatMulLayer, "maximum": nodes.MaximumLayer,
            "minimum": nodes.MinimumLayer,
        }.items()
    },
    **{
        name: partial(lambda node, x: _record_one(node(), x), node)
        for name, node in {
            "negative": nodes.NegLayer, "exp": nodes.ExpLayer, "log": nodes.LogLayer, "sin": nodes.SinLayer,
            "cos": nodes.CosLayer, "tanh": nodes.TanhLayer, "sqrt": nodes.SqrtLayer, "absolute": nodes.AbsLayer,
        }.items()
    },
    "square": lambda x: x**2,
}  # fmt: skip
_COMPARISONS = {
    "less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!=",
}  # fmt: skip
#: What is done for NumPy's functions of arrays, by their names.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sum": Variable.sum,
    "mean": Variable.mean,
    "reshape": Variable.reshape,
    "transpose": lambda x: x.T,
    "clip": lambda x, a_min=None, a_max=None: x.clip(a_min, a_max),
    "shape": lambda x: x.shape,
    "ndim": lambda x: len(x.shape),
    "size": lambda x: np.size(x.value),
}
