"""Subjects where differences are hard to take, or to read: sizes, noise, edges, points where much is 0."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse as sp

from derivatives.case import Subject, Wrong, at
from derivatives.hessian import rosen, rosen_hess

RNG = np.random.default_rng(23)
A = RNG.standard_normal((5, 3))
SIZES = np.array([1e-12, 1e-6, 1.0, 1e5, 1e9])


def half(a: Any) -> Any:
    return a / 2


def thousandth(a: Any) -> Any:
    return a * 1.001


def minus(a: Any) -> Any:
    return -a


def rows(x: Any) -> Any:
    return SIZES * np.tanh(A @ x)


def rows_jac(x: Any) -> Any:
    return (SIZES * (1 - np.tanh(A @ x) ** 2))[:, None] * A


def offset(x: Any) -> Any:
    """Small changes of a large number."""
    return 1e6 + np.tanh(A @ x)


def plain_jac(x: Any) -> Any:
    return (1 - np.tanh(A @ x) ** 2)[:, None] * A


def single(x: Any) -> Any:
    """As a simulation gives it, that computes in float32."""
    return np.tanh(A.astype(np.float32) @ x.astype(np.float32)).astype(float)


def iterated(x: Any) -> Any:
    """As an iteration leaves it, that ends at 1e-7."""
    return np.round(np.tanh(A @ x), 7)


def money(x: Any) -> Any:
    return 1e9 * np.array([x[0] * np.exp(x[1]), x[0] ** 2 + x[2], x[1] * x[2]])


def money_jac(x: Any) -> Any:
    e = np.exp(x[1])
    return 1e9 * np.array([[e, x[0] * e, 0], [2 * x[0], 0, 1], [0, x[2], x[1]]])


def solved(x: Any) -> Any:
    """Residuals that are 0 where they are looked at."""
    return np.array([x[0] ** 2 + x[1] - 2, x[0] - x[1] ** 3, x[2] - x[0] * x[1]])


def solved_jac(x: Any) -> Any:
    return np.array([[2 * x[0], 1, 0], [1, -3 * x[1] ** 2, 0], [-x[1], -x[0], 1]])


def guarded(x: Any) -> Any:
    """Of what must not be negative, and nearly is."""
    if (x < 0).any():
        raise ValueError("beyond where it means something")
    return np.array([np.sqrt(x[0]), x[1] * np.log(x[1]), np.sqrt(x[0] * x[2])])


def guarded_jac(x: Any) -> Any:
    r = np.sqrt(x[0] * x[2])
    return np.array([[0.5 / np.sqrt(x[0]), 0, 0], [0, np.log(x[1]) + 1, 0], [x[2] / (2 * r), 0, x[0] / (2 * r)]])


def narrow(x: Any) -> Any:
    """A line of a spectrum: narrow beside where it is."""
    t = 500 + np.linspace(-0.02, 0.02, 5)
    return x[0] * np.exp(-(((t - x[1]) / x[2]) ** 2) / 2)


def narrow_jac(x: Any) -> Any:
    d = (500 + np.linspace(-0.02, 0.02, 5) - x[1]) / x[2]
    e = np.exp(-(d**2) / 2)
    return np.stack([e, x[0] * e * d / x[2], x[0] * e * d**2 / x[2]], axis=1)


def ones(x: Any) -> Any:
    """At a point of equal numbers, where much is alike."""
    return np.array([x[0] * x[1] ** 2, x[1] * x[2] ** 3, x[0] + x[2] ** 2])


def ones_jac(x: Any) -> Any:
    return np.array([[x[1] ** 2, 2 * x[0] * x[1], 0], [0, x[2] ** 3, 3 * x[1] * x[2] ** 2], [1, 0, 2 * x[2]]])


def sparse_of(jac: Any) -> Any:
    return lambda x: sp.csr_array(jac(x))


N = 40


def layers(x: Any) -> Any:
    """Pressures (1e5) and temperatures (300) of cells, and saturations (0.3), each beside its neighbours."""
    p, t, s = x[:N], x[N : 2 * N], x[2 * N :]
    flow = 1e-7 * s**2 * (np.roll(p, -1) - p)
    return np.concatenate([flow - np.roll(flow, 1), 1e3 * (t - 300) * s, np.exp(s) * p / 1e5])


def layers_jac(x: Any) -> Any:
    p, t, s = x[:N], x[N : 2 * N], x[2 * N :]
    i, after = np.arange(N), (np.arange(N) + 1) % N
    own, by_s = 1e-7 * s**2, 2e-7 * s * (np.roll(p, -1) - p)
    flow = sp.csr_array(
        (np.concatenate([-own, own, by_s]), (np.tile(i, 3), np.concatenate([i, after, 2 * N + i]))), shape=(N, 3 * N)
    )
    back = sp.csr_array((np.ones(N), (i, i - 1 + N * (i == 0))), shape=(N, N))
    heat = sp.hstack([sp.csr_array((N, N)), sp.diags_array(1e3 * s), sp.diags_array(1e3 * (t - 300))])
    gas = sp.hstack([sp.diags_array(np.exp(s) / 1e5), sp.csr_array((N, N)), sp.diags_array(np.exp(s) * p / 1e5)])
    return sp.vstack([flow - back @ flow, heat, gas]).tocsr()


def changed(jac: Any, index: Any, change: Any) -> Any:
    def other(x: Any) -> Any:
        dense = jac(x).toarray()
        dense[index] = change(dense[index])
        return sp.csr_array(dense)

    return other


def weighted(x: Any) -> Any:
    """The gradient of terms of very different weight."""
    return np.array([2e8 * x[0] + x[1], x[0] + 4e-8 * x[1] ** 3, 1e3 * np.cos(x[2])])


def weighted_hess(x: Any) -> Any:
    return np.array([[2e8, 1, 0], [1, 12e-8 * x[1] ** 2, 0], [0, 0, -1e3 * np.sin(x[2])]])


def flat(x: Any) -> Any:
    """The gradient of a sum of logarithms, near where they begin."""
    return np.log(x) + 1 + x[::-1]


def flat_hess(x: Any) -> Any:
    return np.diag(1 / x) + np.eye(len(x))[::-1]


def tiny(x: Any) -> Any:
    return 1e-10 * np.array([x[0] ** 3 + x[1], x[0] + np.exp(x[1])])


def tiny_hess(x: Any) -> Any:
    return 1e-10 * np.array([[3 * x[0] ** 2, 1], [1, np.exp(x[1])]])


X = np.array([0.4, -0.7, 1.1])
SOLUTION = np.ones(3)
EDGE = np.array([1e-5, 2e-4, 0.3])
LINE = np.array([2.0, 500.004, 0.01])
CELLS = np.concatenate([1e5 + 2e3 * RNG.standard_normal(N), 300 + 20 * RNG.random(N), 0.2 + 0.5 * RNG.random(N)])

JACOBIAN = (
    Subject("rows", rows, rows_jac, (X,), (
        Wrong("smallest", at(rows_jac, (np.s_[0, 1], minus)), "J[0, 1], factor -1"),
        Wrong("small", at(rows_jac, (1, thousandth)), "row 1: factor 1.001"),
        Wrong("largest", at(rows_jac, (np.s_[4, 2], thousandth)), "J[4, 2]"),
    )),
    Subject("offset", offset, plain_jac, (X,), (
        Wrong("thousandth", at(plain_jac, (np.s_[:, 1], thousandth)), "column 1: factor 1.001"),
    )),
    Subject("single", single, plain_jac, (X,), (
        Wrong("half", at(plain_jac, (2, half)), "row 2: factor 1/2"),
    )),
    Subject("iterated", iterated, plain_jac, (X,), (
        Wrong("half", at(plain_jac, (np.s_[:, 0], half)), "column 0: factor 1/2"),
    )),
    Subject("money", money, money_jac, (X,), (
        Wrong("thousandth", at(money_jac, (np.s_[0, 1], thousandth)), "J[0, 1]"),
    )),
    Subject("solved", solved, solved_jac, (SOLUTION,), (
        Wrong("power", at(solved_jac, (np.s_[1, 1], lambda a: a / 3)), "J[1, 1]"),
        Wrong("sign", at(solved_jac, (2, minus)), "row 2: factor -1"),
    )),
    Subject("guarded", guarded, guarded_jac, (EDGE,), (
        Wrong("no_one", at(guarded_jac, (np.s_[1, 1], lambda a: a - 1)), "column 1: factor"),
    ), {"bounds": (0, None)}),
    Subject("narrow", narrow, narrow_jac, (LINE,), (
        Wrong("width", at(narrow_jac, (np.s_[:, 2], lambda a: a * LINE[2])), "column 2: factor 0.01"),
    )),
    Subject("ones", ones, ones_jac, (SOLUTION * 1.5,), (
        Wrong("swapped", lambda x: ones_jac(x)[:, [1, 0, 2]], "columns 0 and 1 swapped"),
    )),
)  # fmt: skip
SPARSE = (
    Subject("rows", rows, sparse_of(rows_jac), (X,), (
        Wrong("smallest", sparse_of(at(rows_jac, (np.s_[0, 1], minus))), "J[0, 1], factor -1"),
    )),
    Subject("solved", solved, sparse_of(solved_jac), (SOLUTION,), (
        Wrong("left_out", sparse_of(at(solved_jac, (np.s_[2, 0], lambda a: 0))), "entries missing: J[2, 0]"),
    )),
    Subject("layers", layers, layers_jac, (CELLS,), (
        Wrong("saturation", changed(layers_jac, np.s_[:N, 2 * N :], lambda a: 0 * a), "entries missing"),
        Wrong("one_pressure", changed(layers_jac, (7, 8), half), "J[7, 8], factor 1/2"),
        Wrong("one_gas", changed(layers_jac, (2 * N + 5, 5), thousandth), "J[85, 5]"),
        Wrong("temperature", changed(layers_jac, (N + 3, N + 3), minus), ""),
    )),
)  # fmt: skip
HESSIAN = (
    Subject("at_the_minimum", rosen, rosen_hess, (np.ones(2),), (
        Wrong("terms", at(rosen_hess, (np.s_[0, 0], lambda a: a - 400)), "H[0, 0]"),
    )),
    Subject("weighted", weighted, weighted_hess, (X,), (
        Wrong("small", at(weighted_hess, (np.s_[1, 1], minus)), "H[1, 1], factor -1"),
        Wrong("one", at(weighted_hess, (np.s_[0, 1], half), (np.s_[1, 0], half)), "factor 1/2"),
    )),
    Subject("flat", flat, flat_hess, (EDGE,), (
        Wrong("once", at(flat_hess, (np.s_[2, 2], half)), "H[2, 2], factor 1/2"),
    ), {"bounds": (1e-12, None)}),
    Subject("tiny", tiny, tiny_hess, (X[:2],), (
        Wrong("exp", at(tiny_hess, (np.s_[1, 1], thousandth)), "H[1, 1]"),
    )),
)  # fmt: skip
