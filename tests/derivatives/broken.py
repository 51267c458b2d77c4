"""Five ways to break a matrix of derivatives, each in one place of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

Jacobian = Callable[[Any], Any]
BROKEN = ("sign", "chain rule", "swapped", "dropped term", "neighbour")


def broken(jac: Jacobian, x: Any, how: str, seed: int) -> Jacobian | None:
    """Give derivatives with this mistake in a place where it shows at x; None if there is none."""
    rng = np.random.default_rng(seed)
    right = jac(x)
    for wrong in _ways(jac, x, how, rng):
        off = np.abs(wrong(x) - right)
        if (off > 1e-3 * np.abs(right).max(axis=1, keepdims=True)).any():
            return wrong
    return None


def _ways(jac: Jacobian, x: Any, how: str, rng: np.random.Generator) -> Iterator[Jacobian]:
    m, n = jac(x).shape
    if how == "swapped":
        for axis, size in ((1, n), (0, m)):
            for k in rng.permutation(size - 1):
                yield partial(_swapped, jac, int(k), axis)
        return
    for row, column in rng.permutation(np.argwhere(jac(x) != 0))[:60]:
        place = int(row), int(column)
        if how == "sign":
            yield partial(_put, jac, place, lambda x, at: -jac(x)[at])
        elif how == "chain rule":
            yield partial(_put, jac, np.s_[:, place[1]], lambda x, at: jac(x)[at] * _inner(x[at[1]]))
        elif how == "dropped term":  # what holds one of the numbers is left out
            for k in rng.permutation(n):
                yield partial(_put, jac, place, partial(_without, jac, int(k)))
            yield partial(_put, jac, place, lambda x, at: 0)
        else:  # the next number is taken for this one, or the next column is written into
            yield partial(_put, jac, place, lambda x, at: jac(np.roll(x, 1))[at])
            yield partial(_put, jac, place[0], lambda x, at: np.roll(jac(x)[at], 1))


def _inner(x: float) -> float:
    """Give a factor by which a link of the chain rule is too many."""
    return 2.0 if abs(x) in (0, 1) else x


def _without(jac: Jacobian, k: int, x: Any, at: Any) -> Any:
    return jac(np.where(np.arange(len(x)) == k, 1e-9, x))[at]


def _swapped(jac: Jacobian, k: int, axis: int, x: Any) -> Any:
    matrix = jac(x)
    order = np.arange(matrix.shape[axis])
    order[[k, k + 1]] = k + 1, k
    return np.take(matrix, order, axis)


def _put(jac: Jacobian, at: Any, value: Callable[[Any, Any], Any], x: Any) -> Any:
    changed = np.array(jac(x), float)
    changed[at] = value(x, at)
    return changed
