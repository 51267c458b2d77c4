"""Find operators with their adjoints in a user's file, by their names.

These are: an object with ``matvec`` and ``rmatvec``; or a function ``f`` and one called ``f_adjoint``, ``adjoint_f`` or
similar. Such functions get vectors, and then images, of the first shape that both accept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from chainrule.checking.adjoint.checks import check_adjoint
from chainrule.checking.finding import plain_name
from chainrule.checking.report import GradientReport

#: Names for the adjoint of ``f``; underscores and upper case do not matter.
ADJOINTS = ("{}adjoint", "adjoint{}", "{}adj", "adj{}", "{}transpose", "transpose{}", "{}transposed", "{}h")
#: Shapes to try for a function of arrays: no two lengths are equal.
_SHAPES = ((12,), (8,), (16,), (64,), (6, 9), (8, 8), (4, 6, 5))


@dataclass(frozen=True)
class Operator:
    """An operator that was found."""

    name: str
    #: A function that takes a seed and whether hazards fail, and gives a report.
    check: Callable[[int, bool], GradientReport]
    #: The object whose line is shown.
    shown: Any


def find(module: ModuleType) -> Iterator[Operator]:
    """Give the operators in a module."""
    own = {name: thing for name, thing in vars(module).items() if not name.startswith("_")}
    functions = {n: t for n, t in own.items() if isinstance(t, FunctionType) and t.__module__ == module.__name__}
    plain = {plain_name(name): name for name in functions}
    for name, thing in own.items():
        if name in functions:
            adjoint = next((plain[p] for p in _patterns(name) if p in plain and plain[p] != name), None)
            if adjoint is not None:
                yield Operator(name, _of_pair(thing, functions[adjoint]), functions[adjoint])
        elif not isinstance(thing, type | ModuleType) and _is_operator(thing):
            yield Operator(name, _of_operator(thing), getattr(type(thing), "rmatvec", type(thing)))


def _of_operator(thing: Any) -> Callable[[int, bool], GradientReport]:
    return lambda seed, strict: check_adjoint(thing, seed=seed, strict=strict)


def _of_pair(forward: Any, adjoint: Any) -> Callable[[int, bool], GradientReport]:
    def check(seed: int, strict: bool) -> GradientReport:
        return check_adjoint((forward, adjoint), _shape_for(forward, adjoint), seed=seed, strict=strict)

    return check


def _shape_for(forward: Any, adjoint: Any) -> tuple[int, ...]:
    """Give the first shape that both accept; if there is none, raise the last exception."""
    refused: Exception = TypeError("it does not take an array")
    for shape in _SHAPES:
        try:
            if np.shape(adjoint(forward(np.ones(shape)))) == shape:
                return shape
        except Exception as error:  # any exception of the user's code is a reason
            refused = error
    raise refused


def _is_operator(thing: Any) -> bool:
    try:
        return callable(getattr(thing, "matvec", None)) and callable(getattr(thing, "rmatvec", None))
    except Exception:  # an object that refuses access
        return False


def _patterns(name: str) -> Iterator[str]:
    return (pattern.format(plain_name(name)) for pattern in ADJOINTS)
