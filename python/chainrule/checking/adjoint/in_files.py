"""Operators with their adjoints in a file of somebody's own, by the names that they go by.

An object with ``matvec`` and ``rmatvec``; a function ``f`` and one called ``f_adjoint``, ``adjoint_f`` or the like,
which are given vectors, and then images, of the first shape that both take.
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

#: What the adjoint of ``f`` is called; underscores and capitals do not count.
ADJOINTS = ("{}adjoint", "adjoint{}", "{}adj", "adj{}", "{}transpose", "transpose{}", "{}transposed", "{}h")
#: Shapes that a function of arrays may take: no two lengths are equal.
_SHAPES = ((12,), (8,), (16,), (64,), (6, 9), (8, 8), (4, 6, 5))


@dataclass(frozen=True)
class Operator:
    """One that was found."""

    name: str
    #: Given a seed and whether hazards fail, gives a report.
    check: Callable[[int, bool], GradientReport]
    #: Whose line is shown.
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
    """Give the first shape that both take; raise what the last of them raised if there is none."""
    refused: Exception = TypeError("it takes no array")
    for shape in _SHAPES:
        try:
            if np.shape(adjoint(forward(np.ones(shape)))) == shape:
                return shape
        except Exception as error:  # anything that somebody's code may raise is a reason
            refused = error
    raise refused


def _is_operator(thing: Any) -> bool:
    try:
        return callable(getattr(thing, "matvec", None)) and callable(getattr(thing, "rmatvec", None))
    except Exception:  # an object that refuses to be asked
        return False


def _patterns(name: str) -> Iterator[str]:
    return (pattern.format(plain_name(name)) for pattern in ADJOINTS)
