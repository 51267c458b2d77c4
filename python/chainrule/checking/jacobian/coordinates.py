"""Arguments whose numbers cannot be moved one by one: points on manifolds, and complex numbers.

Both are turned into functions of real numbers, which can be moved. A point x on a manifold moves along a tangent vector
d to ``retract(x, d)``, and the columns of its Jacobian are the derivatives with respect to the entries of d at 0.
Outputs on a manifold are given by their coordinates at f(x), ``local(f(x), y)``. A complex number is moved in its real
and in its imaginary part.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import is_complex
from chainrule.checking.arguments import names_of
from chainrule.checking.jacobian.blocks import is_operator, is_sparse

Function = Callable[..., Any]


@dataclass(frozen=True)
class Real:
    """Functions of real numbers, and their initial arguments."""

    f: Function
    jac: Function
    arguments: tuple[Any, ...]
    #: How the derivatives were read, for the report.
    told: str = ""


def on_manifolds(f: Function, jac: Any, arguments: Sequence[Any], retract: Any, local: Any) -> Real:
    """Give functions of tangent vectors.

    `retract` is for the first argument, or by name or position, with None for plain arrays; `local` is for the outputs,
    if they are on a manifold.

    Raises
    ------
    ValueError
        If ``retract(x, 0)`` is not x, or ``local(y, y)`` is not 0.
    """
    names = names_of(f, len(arguments))
    ways = _by_name(retract, names)
    points = {name: copy.deepcopy(a) for name, a in zip(names, arguments, strict=True)}
    here = f(*(copy.deepcopy(a) for a in points.values()))
    given = jac(*(copy.deepcopy(a) for a in points.values())) if callable(jac) else jac
    blocks = _blocks(given, names)
    out = here if local is None else local(here, here)
    size = np.size(out)
    if local is not None and np.abs(np.asarray(out, np.float64)).max(initial=0) > 1e-8:
        raise ValueError(
            f"local(y, y) is {_short(out)} at y = f(x), but must be 0: it gives coordinates of the second at the first"
        )
    zeros = {}
    for name, way in ways.items():
        zeros[name] = np.zeros(_dimension(blocks.get(name), size, name))
        _expect_at_rest(way, points[name], zeros[name], name)

    def put(values: Sequence[Any]) -> list[Any]:
        handed = []
        for name, value in zip(names, values, strict=True):
            handed.append(ways[name](copy.deepcopy(points[name]), value) if name in ways else value)
        return handed

    def moved(*values: Any) -> Any:
        y = f(*put(values))
        return y if local is None else local(here, y)

    def derivatives(*values: Any) -> Any:
        return jac(*put(values)) if callable(jac) else jac

    return Real(_like(moved, f, names), _like(derivatives, jac, names), tuple(zeros.get(n, points[n]) for n in names))


def _dimension(block: Any, size: int, name: str) -> int:
    """Give the dimension of a tangent vector, which is the number of columns of the block."""
    shape: tuple[int, ...] = tuple(getattr(block, "shape", np.shape(block)))
    numbers = math.prod(shape)
    if not shape or size == 0 or numbers % size:
        raise ValueError(
            f"jac gives a block of shape {shape} for {name}; f gives {size} numbers, so it must have {size} rows, and"
            " one column for each number of a tangent vector"
        )
    return numbers // size


def _expect_at_rest(way: Function, point: Any, zero: Any, name: str) -> None:
    """Raise ValueError unless the tangent vector 0 leaves a point where it is."""
    try:
        back = way(copy.deepcopy(point), zero)
    except Exception as error:
        error.add_note(f"raised by retract({name}, d) with d = {zero}: jac has {zero.size} columns for {name}")
        raise
    try:
        same = np.allclose(np.asarray(back, np.float64), np.asarray(point, np.float64), rtol=1e-7, atol=1e-10)
    except (TypeError, ValueError):  # objects that are not arrays cannot be compared
        return
    if not same:
        raise ValueError(f"retract({name}, 0) is {_short(back)}, but must be {name}, {_short(point)}")


def _by_name(retract: Any, names: Sequence[str]) -> dict[str, Function]:
    """Give the retraction of each argument that has one."""
    if callable(retract):
        return {names[0]: retract}
    given = {} if retract is None else retract
    if not isinstance(given, Mapping | tuple | list) or (not isinstance(given, Mapping) and len(given) > len(names)):
        raise TypeError(
            f"retract must be a function, or one for each argument ({', '.join(names)}), in order or by name, got"
            f" {given!r:.60}"
        )
    pairs = dict(given) if isinstance(given, Mapping) else dict(zip(names, given, strict=False))
    unknown = [name for name in pairs if name not in names]
    if unknown:
        raise ValueError(f"retract names {unknown[0]!r}, but the arguments are {', '.join(names)}")
    return {name: way for name, way in pairs.items() if way is not None}


def _blocks(given: Any, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    several = given if isinstance(given, tuple | list) and len(given) == len(names) and len(names) > 1 else (given,)
    return dict(zip(names, several, strict=False))


# --- complex numbers ---


def of_real_parts(f: Function, jac: Any, arguments: Sequence[Any], conjugate: bool = False) -> Real:
    """Give functions of the real and imaginary parts; complex outputs are split in the same way, one after the other.

    The derivatives of complex outputs with respect to complex arguments are f′, so the functions must be holomorphic.
    Those of real outputs are ∂f/∂a + i ∂f/∂b at a + i b. With `conjugate`, both are conjugated.
    """
    names = names_of(f, len(arguments))
    arrays = [np.array(a) if is_complex(a) else a for a in arguments]
    complexes = [is_complex(a) for a in arguments]
    out = np.asarray(f(*(np.array(a) if c else copy.deepcopy(a) for a, c in zip(arrays, complexes, strict=True))))
    complex_out = out.dtype.kind == "c"

    def put(values: Sequence[Any]) -> list[Any]:
        return [_joined(v) if c else v for v, c in zip(values, complexes, strict=True)]

    def real(*values: Any) -> Any:
        y = np.asarray(f(*put(values)))
        return _apart(y) if complex_out else y

    def derivatives(*values: Any) -> Any:
        given = jac(*put(values)) if callable(jac) and not is_operator(jac) else jac
        several = isinstance(given, tuple | list) and len(given) == len(names) and len(names) > 1
        blocks = list(given) if several else [given]
        shapes = [np.shape(a) for a in arrays]
        made = [
            None if b is None else _real_block(b, out.shape, shape, complex_out, c, conjugate)
            for b, c, shape in zip(blocks, complexes, shapes, strict=False)
        ]
        return tuple(made) if several else made[0]

    first = tuple(_apart(a) if c else a for a, c in zip(arrays, complexes, strict=True))
    told = ""
    if not complex_out:
        told = f"read as ∂f/∂a {'-' if conjugate else '+'} i ∂f/∂b of each number a + i b"
    return Real(_like(real, f, names), _like(derivatives, jac, names), first, told)


def _real_block(
    block: Any, out: tuple[int, ...], into: tuple[int, ...], complex_out: bool, complex_in: bool, conjugate: bool
) -> Any:
    """Turn complex derivatives into real ones, with a last axis for the real and imaginary parts of each side."""
    dense = np.asarray(block.todense()) if is_sparse(block) else np.asarray(block)
    if dense.shape == out == into and dense.size > 1:  # one for each entry
        dense = np.diag(dense.reshape(-1))
    if dense.size != math.prod(out) * math.prod(into):
        return dense.real  # a wrong shape is reported for the block as given
    matrix = dense.reshape(math.prod(out), math.prod(into))
    a, b = matrix.real, matrix.imag
    if conjugate:
        b = -b
    if complex_out and complex_in:
        parts = np.array([[a, -b], [b, a]]).transpose(2, 0, 3, 1)
    elif complex_out:
        parts = np.array([a, b]).transpose(1, 0, 2)
    else:
        parts = np.array([a, b]).transpose(1, 2, 0)
    return parts.reshape((*out, *((2,) * complex_out), *into, *((2,) * complex_in)))


def _apart(z: Any) -> Any:
    return np.stack([np.real(z), np.imag(z)], axis=-1)


def _joined(parts: Any) -> Any:
    return (parts[..., 0] + 1j * parts[..., 1])[()]


def _like(function: Function, by: Any, names: Sequence[str]) -> Function:
    """Give a function the name and the contents of another, and names for its arguments."""
    function.__name__ = getattr(by, "__name__", type(by).__name__)
    if callable(by):
        function.__wrapped__ = by  # type: ignore[attr-defined]
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    function.__signature__ = inspect.Signature([inspect.Parameter(n, kind) for n in names])  # type: ignore[attr-defined]
    return function


def _short(value: Any) -> str:
    return np.array2string(np.asarray(value), precision=4, threshold=6) if np.size(value) < 50 else type(value).__name__
