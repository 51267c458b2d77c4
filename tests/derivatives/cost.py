"""How often f is asked: dense matrices of n × n, and a large one of three diagonals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse as sp


class Counted:
    """A function that counts its calls."""

    def __init__(self, f: Callable[[Any], Any]) -> None:
        self.f, self.calls = f, 0

    def __call__(self, x: Any) -> Any:
        """Give f(x)."""
        self.calls += 1
        return self.f(x)


def dense(n: int) -> tuple[Counted, Any, Any]:
    """Give a function of n numbers with n outputs that all depend on all, its Jacobian, and where to check."""
    rng = np.random.default_rng(n)
    u, v, x = rng.standard_normal((3, n))
    v /= np.sqrt(n)

    def f(x: Any) -> Any:
        return np.tanh(x + u * (v @ x))

    def jac(x: Any) -> Any:
        return (1 - f(x) ** 2)[:, None] * (np.eye(n) + np.outer(u, v))

    return Counted(f), jac, x


def broyden(n: int) -> tuple[Counted, Any, Any]:
    """Give Broyden's tridiagonal function, its Jacobian, sparse, and where to check."""

    def f(x: Any) -> Any:
        wide = np.concatenate([[0], x, [0]])
        return (3 - 2 * x) * x - wide[:-2] - 2 * wide[2:] + 1

    def jac(x: Any) -> Any:
        ones = np.ones(n - 1)
        return sp.diags_array([-ones, 3 - 4 * x, -2 * ones], offsets=[-1, 0, 1]).tocsr()

    return Counted(f), jac, np.random.default_rng(n).standard_normal(n)
