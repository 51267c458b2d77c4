"""Turn the argument of `check_adjoint`, an operator and its adjoint in any common form, into two functions.

An object with ``matvec`` and ``rmatvec`` is called with vectors, whatever shapes it states. Methods with other names,
and functions, are called with arrays of the shapes that they or the caller state. Nothing is imported for this: a form
is a set of names.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Function = Callable[[Any], Any]
Shape = tuple[int, ...]

#: Methods for an operator and its adjoint. The second may itself be an operator that is called or multiplied.
_METHODS = (
    ("matvec", "rmatvec"),
    ("forward", "adjoint"),
    ("direct", "adjoint"),
    ("op", "adj_op"),
    ("A", "A_adjoint"),
    ("apply", "apply_adjoint"),
    ("apply", "adjoint"),
    ("fwd", "adj"),
    ("project", "backproject"),
    ("_matvec", "_rmatvec"),
    ("__call__", "adjoint"),
    ("__call__", "H"),
)
#: Attributes where an operator states the shapes that it takes and gives.
_SHAPES = (
    ("shape_in", "shape_out"),
    ("dims", "dimsd"),
    ("ishape", "oshape"),
    ("input_shape", "output_shape"),
    ("in_shape", "out_shape"),
)


@dataclass
class Space:
    """The arrays that go in or come out: their shape and their dtype, None if not known yet."""

    shape: Shape | None
    dtype: np.dtype[Any] | None = None
    #: Whether the operator gets vectors, and `shape` only serves to read them.
    flat: bool = False
    #: Whether complex numbers are compared as pairs of real ones, because the operator is linear only over the reals.
    split: bool = False

    @property
    def seen(self) -> Shape:
        """The shape of the arrays that are compared."""
        return (*(self.shape or ()), *((2,) if self.split else ()))

    @property
    def size(self) -> int:
        """The number of numbers that are compared."""
        return math.prod(self.seen)

    @property
    def is_complex(self) -> bool:
        """Whether complex numbers are compared."""
        return self.dtype is not None and self.dtype.kind == "c" and not self.split

    @property
    def told(self) -> str:
        """The shape in the form for messages."""
        return str((self.size,) if self.flat else self.shape)


@dataclass
class Operator:
    """An operator and its adjoint, as two functions on arrays."""

    name: str
    forward: Function
    adjoint: Function
    #: Their names for messages.
    names: tuple[str, str]
    domain: Space
    range: Space
    #: False if it states that it is linear only over the reals; None if it states nothing.
    over_complex: bool | None = None
    #: Whether it states its own dtype.
    declared: bool = False
    #: Other ways to the same results: the name, the function, and whether it is the adjoint.
    ways: list[tuple[str, Function, bool]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def understand(thing: Any, shape_in: Any, shape_out: Any, dtype: Any) -> Operator:
    """Give the operator and its adjoint; raise TypeError if `thing` is not an operator.

    `shape_in`, `shape_out` and `dtype` are the caller's, or None.
    """
    shapes = _shape(shape_in, "shape_in"), _shape(shape_out, "shape_out")
    if isinstance(thing, tuple | list):
        operator = _of_pair([_array(part) for part in thing], shapes)
    else:
        thing = _array(thing)
        methods = next(((a, b) for a, b in _METHODS if _callable(thing, a) and _applies(thing, b)), None)
        if methods is not None and not _is_matrix(thing):
            operator = _of_methods(thing, *methods, shapes)
        elif hasattr(thing, "__matmul__") and hasattr(thing, "T"):
            operator = _of_matrix(thing, shapes)
        else:
            raise TypeError(
                f"{type(thing).__name__} is not an operator in a known form: it needs matvec and rmatvec, forward and"
                " adjoint, or similar; or give a pair of functions, (A, A_adjoint), with shape_in="
            )
    _take_dtypes(operator, dtype)
    return operator


def _array(thing: Any) -> Any:
    """Turn a numpy.matrix, whose products with vectors are matrices, into an array; leave everything else."""
    return np.asarray(thing) if isinstance(thing, np.matrix) else thing


def _callable(thing: Any, name: str) -> bool:
    return callable(getattr(thing, name, None))


def _applies(thing: Any, name: str) -> bool:
    """Tell whether it is a method or an operator, and not, for instance, a flag called ``run``."""
    found = getattr(thing, name, None)
    return callable(found) or (hasattr(found, "__matmul__") and hasattr(found, "shape"))


def _shape(shape: Any, name: str) -> Shape | None:
    if shape is None:
        return None
    given = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if not all(isinstance(n, int | np.integer) and n >= 0 for n in given):
        raise ValueError(f"{name} must be a tuple of whole numbers of at least 0, got {shape!r}")
    return tuple(int(n) for n in given)


# --- a pair ---


def _of_pair(thing: Any, shapes: tuple[Shape | None, Shape | None]) -> Operator:
    if len(thing) != 2:
        raise TypeError(f"a pair (A, A_adjoint) has two parts, got {len(thing)}")
    sizes = [_matrix_shape(part) for part in thing]
    functions = [_function_of(part, i) for i, part in enumerate(thing)]
    there, back = sizes
    if there and back and back != there[::-1]:
        raise ValueError(f"A has shape {there}, so its adjoint needs shape {there[::-1]}, got {back}")
    m, n = there or (back[::-1] if back else (None, None))
    flat = m is not None
    dtypes = [np.dtype(part.dtype) for part in thing if getattr(part, "dtype", None) is not None]
    dtype = np.result_type(*dtypes) if len(dtypes) == 2 else None
    if not flat and shapes[0] is None:
        raise ValueError("a pair of functions does not tell what A takes: give shape_in=, such as shape_in=(64, 64)")
    domain = _space(shapes[0], n, "shape_in", flat)
    names = [getattr(part, "__name__", type(part).__name__) for part in thing]
    names = [("A" if not i else "A_adjoint") if name == "<lambda>" else name for i, name in enumerate(names)]
    return Operator(
        name=f"({names[0]}, {names[1]})",
        forward=functions[0],
        adjoint=functions[1],
        names=(names[0], names[1]),
        domain=_with(domain, dtype),
        range=_with(_space(shapes[1], m, "shape_out", flat), dtype),
    )


def _function_of(part: Any, which: int) -> Function:
    if _callable(part, "matvec"):
        return lambda x: part.matvec(x)
    if _matrix_shape(part):
        return lambda x: part @ x
    if not callable(part):
        raise TypeError(f"{('A', 'A_adjoint')[which]} must be a function or a matrix, got {type(part).__name__}")
    return lambda x: part(x)


def _is_matrix(part: Any) -> bool:
    """Tell whether it is a matrix, that is, a dense or sparse array with two axes."""
    return isinstance(part, np.ndarray) or (hasattr(part, "nnz") and hasattr(part, "T"))


def _matrix_shape(part: Any) -> tuple[int, int] | None:
    shape = getattr(part, "shape", None)
    multiplies = hasattr(part, "__matmul__") or _callable(part, "matvec")
    return (int(shape[0]), int(shape[1])) if multiplies and isinstance(shape, tuple) and len(shape) == 2 else None


# --- an object ---


def _of_methods(thing: Any, forward: str, adjoint: str, shapes: tuple[Shape | None, Shape | None]) -> Operator:
    flat = "matvec" in forward
    sizes = _matrix_shape(thing) or (_matrix_shape_told(thing) if flat else None)
    if flat and sizes is None:
        raise TypeError(f"{type(thing).__name__} has {forward}, and no shape of two numbers")
    m, n = sizes if flat and sizes else (None, None)
    told = _told_shapes(thing, n, m)
    shape_in, shape_out = (asked if asked is not None else own for asked, own in zip(shapes, told, strict=True))
    if not flat and shape_in is None:
        raise ValueError(f"{type(thing).__name__} does not tell what {forward} takes: give shape_in=, such as (64, 64)")
    dtype = _dtype(getattr(thing, "dtype", None))
    ahead = f"A.{forward}" if forward != "__call__" else "A"
    operator = Operator(
        name=type(thing).__name__,
        forward=lambda x: getattr(thing, forward)(x),
        adjoint=lambda y: applied(getattr(thing, adjoint), y),
        names=(ahead, f"A.{adjoint}"),
        domain=_with(_space(shape_in, n, "shape_in", flat), dtype),
        range=_with(_space(shape_out, m, "shape_out", flat), dtype),
        over_complex=None if getattr(thing, "clinear", True) else False,
        declared=dtype is not None,
    )
    if flat and not forward.startswith("_"):
        operator.ways = list(_other_ways(thing))
    return operator


def _matrix_shape_told(thing: Any) -> tuple[int, int] | None:
    shape = tuple(getattr(thing, "shape", ()))
    return (int(shape[0]), int(shape[1])) if len(shape) == 2 else None


def _told_shapes(thing: Any, n: int | None, m: int | None) -> tuple[Shape | None, Shape | None]:
    """Give the shapes of input and output, as far as the operator states them and they fit."""
    for pair in _SHAPES:
        found = [getattr(thing, name, None) for name in pair]
        if all(isinstance(shape, tuple | list) for shape in found):
            shape_in, shape_out = (_shape(shape, name) for shape, name in zip(found, pair, strict=True))
            if n is None or (math.prod(shape_in or ()), math.prod(shape_out or ())) == (n, m):
                return shape_in, shape_out
    spaces = [getattr(getattr(thing, name, None), "shape", None) for name in ("domain", "range")]
    if n is None and all(isinstance(shape, tuple) for shape in spaces):
        return spaces[0], spaces[1]
    return None, None


def _other_ways(thing: Any) -> Iterator[tuple[str, Function, bool]]:
    """Give the other ways that must give the same as matvec and rmatvec for a vector."""
    if hasattr(thing, "__matmul__"):
        yield "A @ x", lambda x: thing @ x, False
    if _callable(thing, "matmat"):
        yield "A.matmat", lambda x: columns(thing.matmat, x), False
    if _callable(thing, "rmatmat"):
        yield "A.rmatmat", lambda y: columns(thing.rmatmat, y), True
    if hasattr(type(thing), "H"):
        yield "A.H @ y", lambda y: applied(thing.H, y), True
    if hasattr(type(thing), "T"):
        yield "A.T @ y", lambda y: np.conj(applied(thing.T, np.conj(y))), True


class ColumnsError(Exception):
    """The result of a function of matrices for one column depends on the columns beside it."""


def columns(function: Function, x: Any) -> Any:
    """Call a function of matrices with the columns x and 2x, and give the first result; the second must be twice it."""
    found = np.asarray(function(np.stack([x, 2 * x], axis=1)))
    if found.ndim != 2 or found.shape[1] != 2:
        raise ColumnsError(f"it gives shape {found.shape} for a matrix of two columns")
    once, twice = found.T
    if not np.abs(twice - 2 * once).max(initial=0) <= 1e-3 * np.abs(once).max(initial=0):
        raise ColumnsError("of two columns, the second twice the first, it does not give twice the first")
    return once


def applied(operator: Any, y: Any) -> Any:
    """Apply a method, or an operator that is called or multiplied."""
    if _callable(operator, "matvec"):
        return operator.matvec(y)
    return operator(y) if callable(operator) else operator @ y


def _of_matrix(thing: Any, shapes: tuple[Shape | None, Shape | None]) -> Operator:
    sizes = _matrix_shape(thing)
    if sizes is None:
        raise TypeError(
            f"an operator that multiplies needs a shape of two numbers, got {getattr(thing, 'shape', None)}"
        )
    m, n = sizes
    dtype = _dtype(getattr(thing, "dtype", None))
    has_adjoint = hasattr(thing, "H")
    return Operator(
        name=type(thing).__name__,
        forward=lambda x: thing @ x,
        # Aᵀ is not the adjoint of complex numbers; conj(Aᵀ conj(y)) is.
        adjoint=(lambda y: applied(thing.H, y)) if has_adjoint else (lambda y: np.conj(thing.T @ np.conj(y))),
        names=("A @ x", "A.H @ y" if has_adjoint else "A.T @ y"),
        domain=_with(_space(shapes[0], n, "shape_in", True), dtype),
        range=_with(_space(shapes[1], m, "shape_out", True), dtype),
        declared=dtype is not None,
    )


# --- shapes and dtypes ---


def _space(shape: Shape | None, size: int | None, name: str, flat: bool) -> Space:
    if size is not None and shape is not None and math.prod(shape) != size:
        raise ValueError(f"{name} {shape} has {math.prod(shape)} numbers, and the operator's shape says {size}")
    return Space(shape if shape is not None else None if size is None else (size,), flat=flat)


def _with(space: Space, dtype: np.dtype[Any] | None) -> Space:
    return Space(space.shape, _dtype(dtype), space.flat, space.split)


def _dtype(dtype: Any) -> np.dtype[Any] | None:
    """Give the dtype for arrays to hand over: float32, float64 or their complex counterparts."""
    if dtype is None:
        return None
    found = np.dtype(dtype)
    if found.kind == "c":
        return np.dtype(np.complex64 if found.itemsize == 8 else np.complex128)
    return np.dtype(np.float32 if found.kind == "f" and found.itemsize == 4 else np.float64)


def _take_dtypes(operator: Operator, dtype: Any) -> None:
    """Use the caller's dtype; if one side is complex and the other real, compare real and imaginary parts."""
    if dtype is not None:
        pair = dtype if isinstance(dtype, tuple) else (dtype, dtype)
        if len(pair) != 2:
            raise ValueError(f"dtype must be one dtype, or a pair for input and output, got {dtype!r}")
        operator.domain.dtype, operator.range.dtype = (_dtype(one) for one in pair)
        operator.declared = True
