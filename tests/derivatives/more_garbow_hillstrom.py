"""Test functions of optimization with their Jacobians, each written down by itself.

Source: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981),
whose numbering the order follows. A function takes x and gives the residuals f and the matrix of ∂f/∂x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Problem = Callable[[Any], tuple[Any, Any]]
BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
GAUSSIAN = np.array([9e-4, 44e-4, 175e-4, 0.054, 0.1295, 0.242, 0.3521, 0.3989])
MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
)
KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
OSBORNE = np.array(
    [844, 908, 932, 936, 925, 908, 881, 850, 818, 784, 751, 718, 685, 658, 628, 603, 580, 558, 538, 522, 506, 490, 478,
     467, 457, 448, 438, 431, 424, 420, 414, 411, 406]
) / 1000  # fmt: skip


def columns(*given: Any) -> Any:
    """Give a matrix of these columns, numbers being repeated."""
    return np.stack(np.broadcast_arrays(*given), axis=-1)


def rosenbrock(x: Any) -> tuple[Any, Any]:
    a, b = x
    return np.array([10 * (b - a**2), 1 - a]), np.array([[-20 * a, 10], [-1, 0.0]])


def freudenstein_roth(x: Any) -> tuple[Any, Any]:
    a, b = x
    f = np.array([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])
    return f, np.array([[1, 10 * b - 3 * b**2 - 2], [1, 3 * b**2 + 2 * b - 14]])


def powell_badly_scaled(x: Any) -> tuple[Any, Any]:
    a, b = x
    e = np.exp(-x)
    return np.array([1e4 * a * b - 1, e.sum() - 1.0001]), np.array([[1e4 * b, 1e4 * a], -e])


def brown_badly_scaled(x: Any) -> tuple[Any, Any]:
    a, b = x
    return np.array([a - 1e6, b - 2e-6, a * b - 2]), np.array([[1, 0], [0, 1], [b, a]])


def beale(x: Any) -> tuple[Any, Any]:
    a, b = x
    i = np.arange(1, 4)
    return np.array([1.5, 2.25, 2.625]) - a * (1 - b**i), columns(b**i - 1, a * i * b ** (i - 1))


def jennrich_sampson(x: Any) -> tuple[Any, Any]:
    i = np.arange(1, 11)
    a, b = np.exp(i * x[0]), np.exp(i * x[1])
    return 2 + 2 * i - (a + b), columns(-i * a, -i * b)


def helical_valley(x: Any) -> tuple[Any, Any]:
    a, b, c = x
    r, theta = np.hypot(a, b), np.arctan2(b, a) / (2 * np.pi)
    by_angle = np.array([-b, a, 0]) / (2 * np.pi * r**2)
    f = np.array([10 * (c - 10 * theta), 10 * (r - 1), c])
    return f, np.array([[0, 0, 10] - 100 * by_angle, [10 * a / r, 10 * b / r, 0], [0, 0, 1]])


def bard(x: Any) -> tuple[Any, Any]:
    u = np.arange(1, 16)
    v, w = 16 - u, np.minimum(u, 16 - u)
    d = v * x[1] + w * x[2]
    return BARD - (x[0] + u / d), columns(-1.0, u * v / d**2, u * w / d**2)


def gaussian(x: Any) -> tuple[Any, Any]:
    i = np.arange(1, 16)
    d = (8 - i) / 2 - x[2]
    e = np.exp(-x[1] * d**2 / 2)
    y = np.concatenate([GAUSSIAN, GAUSSIAN[-2::-1]])
    return x[0] * e - y, columns(e, -x[0] * e * d**2 / 2, x[0] * e * x[1] * d)


def meyer(x: Any) -> tuple[Any, Any]:
    d = 45 + 5 * np.arange(1, 17) + x[2]
    e = np.exp(x[1] / d)
    return x[0] * e - MEYER, columns(e, x[0] * e / d, -x[0] * e * x[1] / d**2)


def gulf(x: Any) -> tuple[Any, Any]:
    t = np.arange(1, 11) / 100
    d = 25 + (-50 * np.log(t)) ** (2 / 3) - x[1]
    p = np.abs(d) ** x[2]
    e = np.exp(-p / x[0])
    return e - t, columns(e * p / x[0] ** 2, e * x[2] * p / d / x[0], -e * p * np.log(np.abs(d)) / x[0])


def box(x: Any) -> tuple[Any, Any]:
    t = np.arange(1, 11) / 10
    s = np.exp(-t) - np.exp(-10 * t)
    a, b = np.exp(-t * x[0]), np.exp(-t * x[1])
    return a - b - x[2] * s, columns(-t * a, t * b, -s)


def powell_singular(x: Any) -> tuple[Any, Any]:
    a, b, c, d = x
    f = np.array([a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2])
    p, q, s = 2 * (b - 2 * c), 2 * np.sqrt(10) * (a - d), np.sqrt(5)
    return f, np.array([[1, 10, 0, 0], [0, 0, s, -s], [0, p, -2 * p, 0], [q, 0, 0, -q]])


def wood(x: Any) -> tuple[Any, Any]:
    a, b, c, d = x
    r, s = np.sqrt(90), np.sqrt(10)
    f = np.array([10 * (b - a**2), 1 - a, r * (d - c**2), 1 - c, s * (b + d - 2), (b - d) / s])
    rows = [
        [-20 * a, 10, 0, 0],
        [-1, 0, 0, 0],
        [0, 0, -2 * r * c, r],
        [0, 0, -1, 0],
        [0, s, 0, s],
        [0, 1 / s, 0, -1 / s],
    ]
    return f, np.array(rows)


def kowalik_osborne(x: Any) -> tuple[Any, Any]:
    u = KOWALIK_U
    n, d = u**2 + u * x[1], u**2 + u * x[2] + x[3]
    return KOWALIK - x[0] * n / d, columns(-n / d, -x[0] * u / d, x[0] * n * u / d**2, x[0] * n / d**2)


def brown_dennis(x: Any) -> tuple[Any, Any]:
    t = np.arange(1, 21) / 5
    a, b = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return a**2 + b**2, columns(2 * a, 2 * a * t, 2 * b, 2 * b * np.sin(t))


def osborne_1(x: Any) -> tuple[Any, Any]:
    t = 10.0 * np.arange(33)
    a, b = np.exp(-t * x[3]), np.exp(-t * x[4])
    return OSBORNE - (x[0] + x[1] * a + x[2] * b), columns(-1.0, -a, -b, x[1] * t * a, x[2] * t * b)


def biggs(x: Any) -> tuple[Any, Any]:
    t = np.arange(1, 14) / 10
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    a, b, c = np.exp(-t * x[0]), np.exp(-t * x[1]), np.exp(-t * x[4])
    f = x[2] * a - x[3] * b + x[5] * c - y
    return f, columns(-t * x[2] * a, t * x[3] * b, a, -b, -t * x[5] * c, c)


def osborne_2(x: Any) -> tuple[Any, Any]:
    """Without the data, which its derivatives do not depend on."""
    t = np.arange(65) / 10
    e = np.exp(-t * x[4])
    d = t[:, None] - x[8:11]
    g = np.exp(-(d**2) * x[5:8])
    peaks = x[1:4] * g
    f = -(x[0] * e + peaks.sum(axis=1))
    return f, np.concatenate([-e[:, None], -g, (x[0] * t * e)[:, None], peaks * d**2, -2 * peaks * d * x[5:8]], axis=1)


def watson(x: Any) -> tuple[Any, Any]:
    n = len(x)
    t, j = np.arange(1, 30)[:, None] / 29, np.arange(n)
    powers, slopes = t**j, j * t ** np.maximum(j - 1, 0)
    s = powers @ x
    f = np.concatenate([slopes @ x - s**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])
    last = np.zeros((2, n))
    last[0, 0], last[1, 0], last[1, 1] = 1, -2 * x[0], 1
    return f, np.concatenate([slopes - 2 * s[:, None] * powers, last])


def extended_rosenbrock(x: Any) -> tuple[Any, Any]:
    f, jac = np.zeros(len(x)), np.zeros((len(x), len(x)))
    for i in range(0, len(x), 2):
        f[i : i + 2], jac[i : i + 2, i : i + 2] = rosenbrock(x[i : i + 2])
    return f, jac


def extended_powell(x: Any) -> tuple[Any, Any]:
    f, jac = np.zeros(len(x)), np.zeros((len(x), len(x)))
    for i in range(0, len(x), 4):
        f[i : i + 4], jac[i : i + 4, i : i + 4] = powell_singular(x[i : i + 4])
    return f, jac


def penalty_1(x: Any) -> tuple[Any, Any]:
    s = np.sqrt(1e-5)
    return np.append(s * (x - 1), x @ x - 0.25), np.concatenate([s * np.eye(len(x)), 2 * x[None]])


def penalty_2(x: Any) -> tuple[Any, Any]:
    n, s = len(x), np.sqrt(1e-5)
    i = np.arange(2, n + 1)
    e, weights = np.exp(x / 10), np.arange(n, 0, -1)
    y = np.exp(i / 10) + np.exp((i - 1) / 10)
    f = np.concatenate([[x[0] - 0.2], s * (e[1:] + e[:-1] - y), s * (e[1:] - np.exp(-0.1)), [weights @ x**2 - 1]])
    own = s / 10 * np.diag(e)
    return f, np.concatenate([np.eye(1, n), own[1:] + own[:-1], own[1:], (2 * weights * x)[None]])


def variably_dimensioned(x: Any) -> tuple[Any, Any]:
    j = np.arange(1, len(x) + 1)
    s = j @ (x - 1)
    return np.concatenate([x - 1, [s, s**2]]), np.concatenate([np.eye(len(x)), [j], [2 * s * j]])


def trigonometric(x: Any) -> tuple[Any, Any]:
    n, i = len(x), np.arange(1, len(x) + 1)
    f = n - np.cos(x).sum() + i * (1 - np.cos(x)) - np.sin(x)
    return f, np.sin(x) + np.diag(i * np.sin(x) - np.cos(x))


def brown_almost_linear(x: Any) -> tuple[Any, Any]:
    n = len(x)
    f, jac = x + x.sum() - (n + 1), np.eye(n) + 1
    f[-1] = np.prod(x) - 1
    jac[-1] = [np.prod(np.delete(x, k)) for k in range(n)]
    return f, jac


def boundary_value(x: Any) -> tuple[Any, Any]:
    n = len(x)
    h = 1 / (n + 1)
    s = x + np.arange(1, n + 1) * h + 1
    wide = np.concatenate([[0], x, [0]])
    f = 2 * x - wide[:-2] - wide[2:] + h**2 * s**3 / 2
    return f, np.diag(2 + 1.5 * h**2 * s**2) - np.eye(n, n, 1) - np.eye(n, n, -1)


def integral_equation(x: Any) -> tuple[Any, Any]:
    n = len(x)
    h = 1 / (n + 1)
    t = np.arange(1, n + 1) * h
    kernel = np.minimum(t[:, None], t) * (1 - np.maximum(t[:, None], t))
    s = x + t + 1
    return x + h / 2 * kernel @ s**3, np.eye(n) + 1.5 * h * kernel * s**2


def broyden_tridiagonal(x: Any) -> tuple[Any, Any]:
    n = len(x)
    wide = np.concatenate([[0], x, [0]])
    return (3 - 2 * x) * x - wide[:-2] - 2 * wide[2:] + 1, np.diag(3 - 4 * x) - np.eye(n, n, -1) - 2 * np.eye(n, n, 1)


def broyden_banded(x: Any) -> tuple[Any, Any]:
    n = len(x)
    i = np.subtract.outer(np.arange(n), np.arange(n))
    near = ((i <= 5) & (i >= -1) & (i != 0)).astype(float)
    return x * (2 + 5 * x**2) + 1 - near @ (x * (1 + x)), np.diag(2 + 15 * x**2) - near * (1 + 2 * x)


def linear_full_rank(x: Any) -> tuple[Any, Any]:
    n, m = len(x), len(x) + 3
    jac = np.eye(m, n) - 2 / m
    return jac @ x - 1, jac


def linear_rank_1(x: Any) -> tuple[Any, Any]:
    jac = np.outer(np.arange(1, len(x) + 4), np.arange(1, len(x) + 1))
    return jac @ x - 1, jac


def linear_rank_1_zeros(x: Any) -> tuple[Any, Any]:
    n, m = len(x), len(x) + 3
    jac = np.zeros((m, n))
    jac[1:-1, 1:-1] = np.outer(np.arange(1, m - 1), np.arange(2, n))
    return jac @ x - 1, jac


def chebyquad(x: Any) -> tuple[Any, Any]:
    n = len(x)
    y = 2 * x - 1
    values, slopes = [np.ones(n), y], [np.zeros(n), np.full(n, 2.0)]
    for _ in range(n - 1):
        values.append(2 * y * values[-1] - values[-2])
        slopes.append(4 * values[-2] + 2 * y * slopes[-1] - slopes[-2])
    i = np.arange(1, n + 1)
    integrals = np.array([0 if k % 2 else -1 / (k**2 - 1) for k in i])
    return np.mean(values[1:], axis=1) - integrals, np.array(slopes[1:]) / n


def ramp(n: int) -> Any:
    return 1 - np.arange(1, n + 1) / n


T8 = np.arange(1, 9) / 9
#: Each with the point to begin with.
PROBLEMS: dict[str, tuple[Problem, Any]] = {
    problem.__name__: (problem, np.array(start, float))
    for problem, start in (
        (rosenbrock, [-1.2, 1]), (freudenstein_roth, [0.5, -2]), (powell_badly_scaled, [0.1, 1]),
        (brown_badly_scaled, [1, 1]), (beale, [1, 1.1]), (jennrich_sampson, [0.3, 0.4]),
        (helical_valley, [-1, 0.2, 0.1]), (bard, [1, 1, 1.2]), (gaussian, [0.4, 1, 0.1]), (meyer, [0.02, 4000, 250]),
        (gulf, [5, 2.5, 0.15]),
        (box, [0.1, 10, 20]), (powell_singular, [3, -1, 0.2, 1]), (wood, [-3, -1, -3.1, -1.2]),
        (kowalik_osborne, [0.25, 0.39, 0.415, 0.39]), (brown_dennis, [25, 5, -5, -1]),
        (osborne_1, [0.5, 1.5, -1, 0.01, 0.02]), (biggs, [1, 2, 1.1, 1.2, 0.9, 1.3]),
        (osborne_2, [1.3, 0.65, 0.65, 0.7, 0.6, 3, 5, 7, 2, 4.5, 5.5]), (watson, [0.1, -0.2, 0.3, 0.1, -0.1, 0.2]),
        (extended_rosenbrock, [-1.2, 1] * 5), (extended_powell, [3, -1, 0.2, 1] * 3), (penalty_1, [1, 2, 3, 4, 5]),
        (penalty_2, [0.5, 0.4, 0.6, 0.7, 0.3]), (variably_dimensioned, ramp(8)), (trigonometric, [0.2] * 7),
        (brown_almost_linear, [0.5] * 6), (boundary_value, T8 * (T8 - 1)), (integral_equation, T8 * (T8 - 1)),
        (broyden_tridiagonal, [-1] * 9), (broyden_banded, [-1] * 10), (linear_full_rank, [1] * 6),
        (linear_rank_1, [1] * 5), (linear_rank_1_zeros, [1] * 6), (chebyquad, T8),
    )
}  # fmt: skip
