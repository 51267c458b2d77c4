"""The recorded graph: a variable knows the layer that made it and the inputs of that layer, and nothing more.

Every operator applies a node layer and gives a new `Variable`; ``backward`` walks from the last variable to the first,
each only after all its users: dL/dx = Σ over the users of x of (what the user's layer hands back to x).

References lead from a result to its inputs and never back, so a graph is freed as soon as its last variable is, without
the garbage collector. All walks are loops, not recursions: a chain may be 100,000 nodes long.
"""

from __future__ import annotations

import copy
import operator
import weakref
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from chainrule._gate import floats
from chainrule.graph.nodes import (
    AddLayer,
    DivLayer,
    ExpLayer,
    LogLayer,
    MatMulLayer,
    MaximumLayer,
    MeanLayer,
    MulLayer,
    NegLayer,
    PowLayer,
    ReshapeLayer,
    SubLayer,
    SumLayer,
    TransposeLayer,
)

if TYPE_CHECKING:
    from chainrule.graph.drawing import Graph

#: The variable that each applied layer made last, by the layer's id, for as long as that variable lives.
_made_last: weakref.WeakValueDictionary[int, Variable] = weakref.WeakValueDictionary()


class Variable:
    """A number or array whose gradient can be asked for: what is computed from it is recorded.

    ``+ - * / ** @``, unary minus, and the methods `sum`, `mean`, `exp`, `log`, `maximum`, `reshape` and `T` give
    new variables; `apply` does the same with any layer. Numbers and arrays among the operands are constants.

    Parameters
    ----------
    value : array_like
        A number, held as a Python float, or an array of float32 or float64 and any shape, held, not copied: leave it
        alone while the graph is used. Whole numbers become float64.
    name : str, optional
        For drawings and explanations; may be assigned later.

    Attributes
    ----------
    value : float or ndarray
        As given, or as computed.
    grad : float, ndarray or None
        dL/d(this), in the shape and dtype of `value`, of the last ``L.backward()`` that came by; not the sum of
        several. None before.
    name : str or None
        The name.
    layer : object or None
        The layer that made it, with ``forward`` and ``backward``; None for a variable that was not computed.
    inputs : tuple
        What that layer was given: variables, and constants as they are.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers or `name` is not a str.

    Notes
    -----
    Values follow NumPy, quietly: shapes broadcast, 1/0 is inf, log(-1) nan.

    Comparisons (``<``, ``==``, …) and the truth of a variable raise TypeError, because a graph has no place for them;
    compare ``x.value``. In dicts and sets, and for ``is``, every variable is itself and no other. ``x in [y, x]``
    compares with ``==`` until it meets `x` itself, so it raises too: ask ``any(x is v for v in variables)``.

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

    __slots__ = ("__weakref__", "_depth", "_own", "grad", "inputs", "layer", "name", "value")

    # NumPy leaves ``array * variable`` to the variable.
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise TypeError(f"name must be a str, got {type(name).__name__}")
        if isinstance(value, Variable):
            raise TypeError("value is a Variable already; use it as it is, or its .value")
        self.value: Any = _held(value, "value")
        self.grad: Any = None
        self.name = name
        self.layer: Any = None
        self.inputs: tuple[Any, ...] = ()
        # How many layers the longest way from the first variables has.
        self._depth = 0
        # Whether the layer is one of our nodes, made for this variable alone.
        self._own = False

    # --- what is recorded ---

    def __add__(self, other: Any) -> Variable:
        return _record(AddLayer(), self, other)

    def __radd__(self, other: Any) -> Variable:
        return _record(AddLayer(), other, self)

    def __sub__(self, other: Any) -> Variable:
        return _record(SubLayer(), self, other)

    def __rsub__(self, other: Any) -> Variable:
        return _record(SubLayer(), other, self)

    def __mul__(self, other: Any) -> Variable:
        return _record(MulLayer(), self, other)

    def __rmul__(self, other: Any) -> Variable:
        return _record(MulLayer(), other, self)

    def __truediv__(self, other: Any) -> Variable:
        return _record(DivLayer(), self, other)

    def __rtruediv__(self, other: Any) -> Variable:
        return _record(DivLayer(), other, self)

    def __pow__(self, other: Any) -> Variable:
        return _record(PowLayer(), self, other)

    def __rpow__(self, other: Any) -> Variable:
        return _record(PowLayer(), other, self)

    def __matmul__(self, other: Any) -> Variable:
        return _record(MatMulLayer(), self, other)

    def __rmatmul__(self, other: Any) -> Variable:
        return _record(MatMulLayer(), other, self)

    def __neg__(self) -> Variable:
        return _record_one(NegLayer(), self)

    def exp(self) -> Variable:
        """Give e^x, entry by entry.

        Examples
        --------
        >>> Variable(0.0).exp().value
        1.0
        """
        return _record_one(ExpLayer(), self)

    def log(self) -> Variable:
        """Give the natural logarithm, entry by entry.

        Examples
        --------
        >>> Variable(1.0).log().value
        0.0
        """
        return _record_one(LogLayer(), self)

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
        return _record(MaximumLayer(), self, other)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Variable:
        """Give the sum of all entries, or of those along `axis`.

        Parameters
        ----------
        axis : int or sequence of int, optional
            All axes by default.
        keepdims : bool, default False
            Whether the axes summed over stay, with length 1.

        Raises
        ------
        ValueError
            If there is no such axis.

        Examples
        --------
        >>> Variable([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0).value
        array([4., 6.])
        """
        return _record_one(SumLayer(axis, keepdims), self)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Variable:
        """Give the mean of all entries, or of those along `axis`.

        Parameters
        ----------
        axis : int or sequence of int, optional
            All axes by default.
        keepdims : bool, default False
            Whether the axes the mean is taken over stay, with length 1.

        Raises
        ------
        ValueError
            If there is no such axis, or there are no entries.

        Examples
        --------
        >>> Variable([1.0, 2.0, 6.0]).mean().value
        3.0
        """
        return _record_one(MeanLayer(axis, keepdims), self)

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
        return _record_one(ReshapeLayer(shape[0] if len(shape) == 1 else shape), self)

    @property
    def T(self) -> Variable:
        """The axes in reverse order: for a matrix, the transpose."""
        return _record_one(TransposeLayer(), self)

    # --- what is asked of the record ---

    def backward(self, dout: ArrayLike = 1) -> None:
        """Put into `grad` of this variable and of all it was computed from the gradient of this one.

        Parameters
        ----------
        dout : array_like, default 1
            dL/d(this), in its shape, or one number for every entry. Not written to.

        Raises
        ------
        TypeError
            If `dout`, or what a layer gave back, does not hold real numbers.
        ValueError
            If `dout` has another shape, or a layer gave back gradients of the wrong number or shape.
        RuntimeError
            If a layer has been applied again since: it remembers only its last ``forward``.

        Notes
        -----
        A second call gives the same and not the double: `grad` is set, not added to. After an error no `grad` has
        changed; layers with parameters may have new ``dW``.

        The gradient of x is the sum, over all nodes that x went into, of what each hands back.

        Examples
        --------
        >>> x = Variable(3.0)
        >>> (x * x + x).backward()
        >>> x.grad
        7.0
        """
        for variable, gradient in walk(self, dout).items():
            variable.grad = gradient

    def graph(self) -> Graph:
        """Give the graph that leads to this variable, to be drawn.

        Returns
        -------
        Graph
            ``to_svg()``, ``to_dot()``, ``to_mermaid()``; a notebook shows it by itself. With gradients if ``backward``
            has been called.

        Examples
        --------
        >>> g = Variable(2, "x") * Variable(3, "y")
        >>> print(g.graph().to_mermaid().splitlines()[0])
        flowchart LR
        """
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
        from chainrule.graph.explaining import explain

        return explain(self, form)

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        grad = "" if self.grad is None else f", grad={self.grad!r}"
        return f"Variable({self.value!r}{name}{grad})"

    # --- what has no place in a graph ---

    def __bool__(self) -> NoReturn:
        raise TypeError("a Variable is neither true nor false; ask its .value")

    def __eq__(self, other: object) -> NoReturn:
        _not_compared("==")

    def __ne__(self, other: object) -> NoReturn:
        _not_compared("!=")

    def __lt__(self, other: Any) -> NoReturn:
        _not_compared("<")

    def __le__(self, other: Any) -> NoReturn:
        _not_compared("<=")

    def __gt__(self, other: Any) -> NoReturn:
        _not_compared(">")

    def __ge__(self, other: Any) -> NoReturn:
        _not_compared(">=")


def apply(layer: Any, *inputs: Any) -> Variable:
    """Give ``layer.forward(*inputs)`` as a variable, recorded in the graph.

    Parameters
    ----------
    layer : object
        Any layer of this package, or any object with ``forward`` and ``backward(dout)``, which gives the gradient of
        the input, or a tuple of them, one for each `Variable` among the inputs (or one for every input).
    *inputs : Variable or anything
        Variables, of which the layer is given the values; all else, such as class labels, it is given as it is.

    Returns
    -------
    Variable

    Raises
    ------
    TypeError
        If `layer` lacks a method, no input is a Variable, or ``forward`` does not give one array of real numbers.
        Whatever ``forward`` raises is passed on.

    Notes
    -----
    The layer itself is recorded: after ``backward``, ``layer.dW`` is the gradient of ``layer.W``. It remembers only
    its last ``forward``, so every place in a graph needs a layer of its own; ``backward`` refuses one that was applied
    again since, but cannot see a ``forward`` called without `apply`. (Several `Affine` may hold one array W.)

    Examples
    --------
    >>> from chainrule import Relu
    >>> x = Variable([-1.0, 2.0])
    >>> loss = apply(Relu(), x).sum()
    >>> loss.backward()
    >>> x.grad
    array([0., 1.])
    """
    if isinstance(layer, type) or not callable(getattr(layer, "forward", None)):
        raise TypeError(f"layer must be an object with forward and backward, got {layer!r}")
    if not callable(getattr(layer, "backward", None)):
        raise TypeError(f"layer must have a method backward(dout), and {type(layer).__name__} has none")
    if not any(isinstance(given, Variable) for given in inputs):
        raise TypeError(f"apply needs at least one Variable for {type(layer).__name__}; make one with Variable(x)")
    out = layer.forward(*map(_value, inputs))
    value = _held(out, f"what {type(layer).__name__}.forward gives")
    depth = 1 + max(given._depth for given in inputs if isinstance(given, Variable))
    variable = _made(layer, inputs, value, depth, False)
    _made_last[id(layer)] = variable
    return variable


def walk(
    last: Variable,
    dout: ArrayLike,
    layer_of: Callable[[Variable], Any] = operator.attrgetter("layer"),
    handed: dict[Variable, tuple[Any, ...]] | None = None,
) -> dict[Variable, Any]:
    """Go from `last` back to the first variables, each after all its users.

    Parameters
    ----------
    last : Variable
        Where to begin.
    dout : array_like
        dL/d(last).
    layer_of : callable, optional
        Gives the layer whose ``backward`` is called; `own_copy`, if the layers are to stay as they are.
    handed : dict, optional
        Filled with what the layer of each variable hands back, one for each of `inputs`; of no meaning for constants.

    Returns
    -------
    dict
        dL/d(variable) of each variable, in the order of the walk, which depends on the graph alone.
    """
    met = ancestors(last)
    gradients: dict[Variable, Any] = dict.fromkeys(met)
    gradients[last] = _seed(last, dout)
    with np.errstate(all="ignore"):
        for variable in met:
            if variable.layer is None:
                continue
            layer, gradient = layer_of(variable), gradients[variable]
            shares = layer.backward(gradient) if variable._own else _shares(variable, layer, gradient)
            if type(shares) is not tuple:
                shares = (shares,)
            for given, share in zip(variable.inputs, shares):  # noqa: B905  # strict costs time, and _shares has counted
                if isinstance(given, Variable):
                    if type(share) is not float or type(given.value) is not float:
                        share = _fitting(share, given, layer)
                    before = gradients[given]
                    gradients[given] = share if before is None else before + share
            if handed is not None:
                handed[variable] = shares
    return gradients


def ancestors(last: Variable) -> list[Variable]:
    """Give `last` and all it was computed from, each after all its users."""
    met, seen = [last], {last}
    for variable in met:  # which grows meanwhile
        for given in variable.inputs:
            if isinstance(given, Variable) and given not in seen:
                seen.add(given)
                met.append(given)
    met.sort(key=_depth, reverse=True)  # an input is less deep than each of its users
    return met


def users_of(variables: list[Variable]) -> Counter[Variable]:
    """Count how often each goes into a layer of `variables`."""
    return Counter(given for variable in variables for given in variable.inputs if isinstance(given, Variable))


def own_copy(variable: Variable) -> Any:
    """Give a layer whose ``backward`` does what that of the layer of `variable` does, but leaves its ``dW`` alone."""
    return variable.layer if variable._own else copy.copy(variable.layer)


def _record(layer: Any, x: Any, y: Any) -> Variable:
    """Apply a node layer of our own, which has not been used before, to two operands, one of them a variable."""
    if isinstance(x, Variable):
        left, depth = x.value, x._depth
        if isinstance(y, Variable):
            right = y.value
            if y._depth > depth:
                depth = y._depth
        else:
            y = right = _held(y, "the right operand")
    else:
        x = left = _held(x, "the left operand")
        right, depth = y.value, y._depth
    if type(left) is float and type(right) is float:
        return _made(layer, (x, y), layer.forward(left, right), depth + 1, True)
    with np.errstate(all="ignore"):
        return _made(layer, (x, y), _held(layer.forward(left, right), "the result"), depth + 1, True)


def _record_one(layer: Any, x: Variable) -> Variable:
    """Do the same for one operand."""
    with np.errstate(all="ignore"):
        return _made(layer, (x,), _held(layer.forward(x.value), "the result"), x._depth + 1, True)


def _made(layer: Any, inputs: tuple[Any, ...], value: Any, depth: int, own: bool) -> Variable:
    variable = _new(Variable)
    variable.value = value
    variable.grad = variable.name = None
    variable.layer = layer
    variable.inputs = inputs
    variable._depth = depth
    variable._own = own
    return variable


_new = Variable.__new__
_NUMBER = (int, float)
_depth = operator.attrgetter("_depth")


def _value(given: Any) -> Any:
    return given.value if isinstance(given, Variable) else given


def _held(value: Any, name: str) -> Any:
    """Give a number as a Python float, unless it is a float32, and an array as float32 or float64."""
    if type(value) is float:
        return value
    if isinstance(value, _NUMBER):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} is a whole number beyond float64") from None
    array = floats(value, name)
    return float(array) if array.ndim == 0 and array.dtype == np.float64 else array


def _seed(last: Variable, dout: ArrayLike) -> Any:
    """Give `dout` in the shape and dtype of `last`."""
    if isinstance(dout, Variable):
        raise TypeError("dout must be a number or an array, got a Variable; give its .value")
    gradient = _held(dout, "dout")
    if type(gradient) is float and type(last.value) is float:
        return gradient
    shape = np.shape(last.value)
    if np.shape(gradient) not in (shape, ()):
        raise ValueError(f"dout must have the shape of the output, {shape}, got dout.shape={np.shape(gradient)}")
    if type(last.value) is float:
        return float(gradient)
    return np.array(np.broadcast_to(gradient, shape), last.value.dtype)


def _shares(variable: Variable, layer: Any, gradient: Any) -> tuple[Any, ...]:
    """Ask an applied layer for the gradients of its inputs, and count them."""
    if _made_last.get(id(variable.layer), variable) is not variable:
        name = type(layer).__name__
        raise RuntimeError(
            f"this {name} was applied again since, and remembers only its last forward: give every place in a graph a"
            f" {name} of its own"
        )
    # A copy: a layer like the tutorial's Relu writes into what it is given.
    given = layer.backward(gradient if type(gradient) is float else gradient.copy())
    shares: tuple[Any, ...] = given if isinstance(given, tuple) else (given,)
    inputs = variable.inputs
    if len(shares) == len(inputs):
        return shares
    wanted = sum(isinstance(x, Variable) for x in inputs)
    if len(shares) != wanted:
        raise ValueError(
            f"{type(layer).__name__}.backward gave {len(shares)} gradients for {wanted} variables; what has no"
            " gradient, such as labels, is applied as an array and not as a Variable"
        )
    found = iter(shares)
    return tuple(next(found) if isinstance(x, Variable) else None for x in inputs)


def _fitting(share: Any, x: Variable, layer: Any) -> Any:
    """Give a gradient in the dtype of `x`, in memory of its own; by name of the layer if its shape is wrong."""
    name = f"what {type(layer).__name__}.backward gives"
    array = floats(share, name)
    if array.shape != np.shape(x.value):
        raise ValueError(f"{name} must have the shape of the input, {np.shape(x.value)}, got {array.shape}")
    return float(array) if type(x.value) is float else np.array(array, x.value.dtype)


def _not_compared(sign: str) -> NoReturn:
    raise TypeError(
        f"Variables are not compared: {sign} has no derivative and no place in a graph; compare their .value, or use"
        " x.maximum(y)"
    )
