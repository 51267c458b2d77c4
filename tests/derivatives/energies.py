"""Gradients and Hessians of energies, fits and Lagrangians."""

from __future__ import annotations

from typing import Any

import numpy as np

S = np.random.default_rng(24).standard_normal((5, 5))
SYMMETRIC = S + S.T


def spring(x: Any) -> Any:
    """A stretched edge in space: (L² - 1)² / 4 of two ends."""
    d = x[:3] - x[3:]
    force = (d @ d - 1) * d
    return np.concatenate([force, -force])


def spring_hess(x: Any, geometric: float = 1.0) -> Any:
    d = x[:3] - x[3:]
    block = 2 * np.outer(d, d) + geometric * (d @ d - 1) * np.eye(3)
    return np.block([[block, -block], [-block, block]])


def fit(p: Any) -> Any:
    """A fit by exp(p0 t) + p1, half the sum of squares."""
    t = np.linspace(0, 1, 6)
    r = np.exp(p[0] * t) + p[1] - 1.5 * t
    return np.array([r @ (t * np.exp(p[0] * t)), r.sum()])


def fit_hess(p: Any, curved: float = 1.0) -> Any:
    t = np.linspace(0, 1, 6)
    e = np.exp(p[0] * t)
    r = e + p[1] - 1.5 * t
    j = np.stack([t * e, np.ones(6)], axis=1)
    return j.T @ j + curved * np.array([[r @ (t**2 * e), 0], [0, 0]])


def lagrangian(x: Any, y: Any) -> Any:
    """x0² x1 + sin x2 - y0 (x0 x2) - y1 (x1² - x2)."""
    return np.array([2 * x[0] * x[1] - y[0] * x[2], x[0] ** 2 - 2 * y[1] * x[1], np.cos(x[2]) - y[0] * x[0] + y[1]])


def lagrangian_hess(x: Any, y: Any, sign: float = -1.0) -> Any:
    f = np.array([[2 * x[1], 2 * x[0], 0], [2 * x[0], 0, 0], [0, 0, -np.sin(x[2])]])
    c = np.array([[0, 0, y[0]], [0, 2 * y[1], 0], [y[0], 0, 0]])
    return f + sign * c


def entropy(x: Any) -> Any:
    return np.log(x) + 1


def entropy_hess(x: Any) -> Any:
    return 1 / x


def quotient(x: Any) -> Any:
    """x·Ax / x·x."""
    q = x @ SYMMETRIC @ x / (x @ x)
    return 2 * (SYMMETRIC @ x - q * x) / (x @ x)


def quotient_hess(x: Any, projected: float = 1.0) -> Any:
    n, g = x @ x, quotient(x)
    q = x @ SYMMETRIC @ x / n
    return 2 * (SYMMETRIC - q * np.eye(len(x))) / n - projected * 2 * (np.outer(x, g) + np.outer(g, x)) / n


def logsum(z: Any) -> Any:
    e = np.exp(z - z.max())
    return e / e.sum()


def logsum_hess(z: Any) -> Any:
    s = logsum(z)
    return np.diag(s) - np.outer(s, s)


def quadratic(x: Any) -> Any:
    """Half of x·Sx with an S that is not symmetric."""
    return SYMMETRIC @ x / 2


def quadratic_hess(x: Any) -> Any:
    return SYMMETRIC / 2
