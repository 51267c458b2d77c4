"""Sparse Jacobians: grids, networks, collocation, mechanisms, graphs of measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import sparse as sp

N = 12
RNG = np.random.default_rng(21)
H = 1 / (N + 1)


def spoiled(jac: Any, change: Callable[[Any], Any]) -> Any:
    """Give derivatives that go through a function as a dense matrix, and are sparse again."""
    return lambda *args: sp.csr_array(change(jac(*args).toarray()))


def triplets(jac: Any, change: Callable[..., Any]) -> Any:
    """Give derivatives whose values, rows and columns go through a function."""

    def changed(*args: Any) -> Any:
        coo = sp.coo_array(jac(*args))
        values, rows, columns = change(coo.data.copy(), coo.row.copy(), coo.col.copy())
        return sp.coo_array((values, (rows, columns)), shape=coo.shape)

    return changed


def put(*entries: tuple[Any, Any]) -> Callable[[Any], Any]:
    """Give a function that changes some places of a matrix."""

    def change(matrix: Any) -> Any:
        for index, way in entries:
            matrix[index] = way(matrix[index])
        return matrix

    return change


# --- grids ---


def burgers(u: Any) -> Any:
    """u u' - 0.1 u'' on a line with ends at 0."""
    w = np.concatenate([[0], u, [0]])
    return w[1:-1] * (w[2:] - w[:-2]) / (2 * H) - 0.1 * (w[2:] - 2 * w[1:-1] + w[:-2]) / H**2


def burgers_jac(u: Any) -> Any:
    w = np.concatenate([[0], u, [0]])
    main = (w[2:] - w[:-2]) / (2 * H) + 0.2 / H**2
    upper, lower = u / (2 * H) - 0.1 / H**2, -u / (2 * H) - 0.1 / H**2
    return sp.diags_array([lower[1:], main, upper[:-1]], offsets=[-1, 0, 1]).tocsr()


def bratu(u: Any) -> Any:
    w = np.concatenate([[0], u, [0]])
    return (w[2:] - 2 * u + w[:-2]) / H**2 + 2 * np.exp(u)


def bratu_jac(u: Any) -> Any:
    off = np.full(N - 1, 1 / H**2)
    return sp.diags_array([off, 2 * np.exp(u) - 2 / H**2, off], offsets=[-1, 0, 1]).tocsc()


def periodic(u: Any) -> Any:
    """Upwind transport of u²/2 on a circle."""
    return (u**2 - np.roll(u, 1) ** 2) / 2


def periodic_jac(u: Any) -> Any:
    j = np.arange(N)
    rows, columns = np.concatenate([j, (j + 1) % N]), np.concatenate([j, j])
    return sp.coo_array((np.concatenate([u, -u]), (rows, columns)), shape=(N, N))


G = 4


def heat(t: Any) -> Any:
    """Conduction that depends on temperature, on a grid; t is (4, 4)."""
    wide = np.pad(t, 1, mode="edge")
    total = np.zeros((G, G))
    for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        other = wide[1 + di : 1 + G + di, 1 + dj : 1 + G + dj]
        total += (1 + 0.5 * (t + other) / 2) * (other - t)
    return total


def heat_jac(t: Any, of_k: float = 1.0, corners: bool = True) -> Any:
    jac = sp.lil_array((G * G, G * G))
    for i in range(G):
        for j in range(G):
            for di, dj in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                k, m = i + di, j + dj
                if not (0 <= k < G and 0 <= m < G) or (not corners and (k, m) == (0, 0)):
                    continue
                mean, jump = 1 + 0.25 * (t[i, j] + t[k, m]), 0.25 * of_k * (t[k, m] - t[i, j])
                jac[i * G + j, i * G + j] += jump - mean
                jac[i * G + j, k * G + m] += jump + mean
    return jac.tocsr()


# --- coupled fields: two unknowns a node, one behind the other ---


def coupled(x: Any) -> Any:
    c, e = x[:N], x[N:]
    return np.concatenate([c**2 * (1 - e) + np.roll(c, 1), np.exp(e) - 3.0 * c * e])


def coupled_jac(x: Any) -> Any:
    c, e = x[:N], x[N:]
    eye = sp.eye_array(N).tocsr()
    first = sp.diags_array(2 * c * (1 - e)) + eye[np.roll(np.arange(N), 1)]
    blocks = [[first, sp.diags_array(-(c**2))], [sp.diags_array(-3.0 * e), sp.diags_array(np.exp(e) - 3.0 * c)]]
    return sp.block_array(blocks).tocsr()


UPPER, LOWER = np.s_[:N, N:], np.s_[N:, :N]


def kinetics(y: Any) -> Any:
    """A chain of reactions, the last with a third body."""
    r = np.array([0.5, 2.0, 1.5, 0.7]) * y[:4] * np.array([1.0, y[2], 1.0, y.sum()])
    return np.array([-r[0], r[0] - r[1], 2 * r[1] - r[2], r[2] - r[3], r[3], r[1]])


def kinetics_jac(y: Any, third: float = 1.0) -> Any:
    s = y.sum()
    r = sp.lil_array((4, 6))
    r[0, 0], r[1, 1], r[1, 2], r[2, 2] = 0.5, 2.0 * y[2], 2.0 * y[1], 1.5
    for j in range(6):
        r[3, j] = 0.7 * third * y[3]
    r[3, 3] += 0.7 * s
    signs = [[-1, 0, 0, 0], [1, -1, 0, 0], [0, 2, -1, 0], [0, 0, 1, -1], [0, 0, 0, 1], [0, 1, 0, 0]]
    return (sp.csr_array(np.array(signs, float)) @ r.tocsr()).tocsr()


# --- power, flow, control ---

LINES = ((0, 1, 1.2, -4.0), (1, 2, 0.8, -3.0), (2, 3, 1.0, -5.0), (0, 3, 0.5, -2.5))
Y = np.zeros((4, 4), complex)
for i, j, g, b in LINES:
    Y[i, j] -= g + 1j * b
    Y[j, i] -= g + 1j * b
    Y[i, i] += g + 1j * b
    Y[j, j] += g + 1j * b


def power(x: Any) -> Any:
    """Active and reactive power at four buses, by angles and magnitudes."""
    v = x[4:] * np.exp(1j * x[:4])
    s = v * np.conj(Y @ v)
    return np.concatenate([s.real, s.imag])


def power_jac(x: Any, own: bool = True) -> Any:
    v, unit = x[4:] * np.exp(1j * x[:4]), np.exp(1j * x[:4])
    i = Y @ v
    by_angle = 1j * np.diag(v) @ np.conj(np.diag(i) * own - Y @ np.diag(v))
    by_size = np.diag(v) @ np.conj(Y @ np.diag(unit)) + np.diag(np.conj(i) * unit) * own
    return sp.csr_array(np.block([[by_angle.real, by_size.real], [by_angle.imag, by_size.imag]]))


def pendulum(z: Any) -> Any:
    """Gaps between steps of Euler's implicit method: angles and speeds one after the other."""
    q, v = z[0::2], z[1::2]
    return np.stack([q[1:] - q[:-1] - 0.1 * v[1:], v[1:] - v[:-1] + 0.1 * 9.81 * np.sin(q[1:])], axis=1).ravel()


def pendulum_jac(z: Any) -> Any:
    steps = len(z) // 2 - 1
    jac = sp.lil_array((2 * steps, len(z)))
    for k in range(steps):
        jac[2 * k, 2 * k], jac[2 * k, 2 * k + 2], jac[2 * k, 2 * k + 3] = -1, 1, -0.1
        jac[2 * k + 1, 2 * k + 1], jac[2 * k + 1, 2 * k + 3] = -1, 1
        jac[2 * k + 1, 2 * k + 2] = 0.981 * np.cos(z[2 * k + 2])
    return jac.tocsr()


def pendulum_late(z: Any) -> Any:
    jac = pendulum_jac(z).tolil()
    for k in range(len(z) // 2 - 1):
        jac[2 * k + 1, 2 * k + 2] = 0.981 * np.cos(z[2 * k])
    return jac.tocsr()


LINEAR = np.zeros((5, 10))
LINEAR[:, 0], LINEAR[:, 1:4] = 1, RNG.standard_normal((5, 3))
LINEAR[np.arange(5), np.arange(4, 9)] = 1.5


def linear(x: Any) -> Any:
    return LINEAR @ x + 0.1 * x[9] ** 2


def linear_jac(x: Any) -> Any:
    dense = LINEAR.copy()
    dense[:, 9] = 0.2 * x[9]
    return sp.csr_array(dense)


def by_columns(values: Any, rows: Any, columns: Any) -> Any:
    """The values in the order of the rows, the places in that of the columns."""
    order = np.lexsort((rows, columns))
    return values, rows[order], columns[order]


def every_second(x: Any) -> Any:
    return np.array([np.sum(x[::2] ** 2), x[1] * x[3]])


def every_second_jac(x: Any) -> Any:
    dense = np.zeros((2, 10))
    dense[0, ::2], dense[1, 1], dense[1, 3] = 2 * x[::2], x[3], x[1]
    return sp.csr_array(dense)


def squeezed(x: Any) -> Any:
    """Five outputs, three of which are nothing."""
    return np.array([np.exp(x[0]), 0, 0, x[0] + 2 * x[1] ** 2, 0])


def squeezed_jac(x: Any) -> Any:
    return sp.csr_array(np.array([[np.exp(x[0]), 0], [0, 0], [0, 0], [1, 4 * x[1]], [0, 0]]))


def oscillators(x: Any) -> Any:
    """Pairs (x', v')."""
    q, v = x[0::2], x[1::2]
    return np.stack([v, -(q**3) - 0.2 * v], axis=1).ravel()


def oscillators_jac(x: Any) -> Any:
    n = len(x) // 2
    blocks = [np.array([[0, 1.0], [-3 * x[2 * k] ** 2, -0.2]]) for k in range(n)]
    return sp.block_diag(blocks, format="csr")


def richards(p: Any) -> Any:
    """Flow between cells, the conductivity of the upper one; above is a boundary of head 2."""
    q = np.concatenate([[2.0], p])
    flux = q[:-1] ** 2 * (q[:-1] - q[1:])
    return flux - np.concatenate([flux[1:], [0]])


def richards_jac(p: Any) -> Any:
    q = np.concatenate([[2.0], p])
    n = len(p)
    up, down = 3 * q[:-1] ** 2 - 2 * q[:-1] * q[1:], -(q[:-1] ** 2)
    flux = sp.diags_array([down, up[1:]], offsets=[0, -1], shape=(n, n)).tocsr()
    return flux - sp.vstack([flux[1:], sp.csr_array((1, n))])


# --- graphs, elements, elementwise ---

EDGES = np.array([[0, 1], [1, 2], [2, 3], [3, 0], [1, 3], [2, 4], [4, 5], [5, 0]])


def springs(x: Any) -> Any:
    """Lengths of springs between points in the plane."""
    p = x.reshape(-1, 2)
    return np.linalg.norm(p[EDGES[:, 0]] - p[EDGES[:, 1]], axis=1) - 1


def springs_jac(x: Any, second: int = 1) -> Any:
    p = x.reshape(-1, 2)
    jac = sp.lil_array((len(EDGES), x.size))
    for k, (a, b) in enumerate(EDGES):
        d = (p[a] - p[b]) / np.linalg.norm(p[a] - p[b])
        jac[k, [2 * a, 2 * a + 1]] = d
        other = (b, EDGES[(k + 1) % len(EDGES), 1])[1 - second]
        jac[k, [2 * other, 2 * other + 1]] = -d
    return jac.tocsr()


def elementwise(x: Any) -> Any:
    return np.log1p(np.exp(x)) * x


def elementwise_jac(x: Any) -> Any:
    s = 1 / (1 + np.exp(-x))
    return sp.diags_array(np.log1p(np.exp(x)) + x * s)


B = sp.random_array((30, 20), density=0.12, rng=RNG).tocsr()


def observed(x: Any) -> Any:
    return np.tanh(B @ x)


def observed_jac(x: Any) -> Any:
    return sp.diags_array(1 - np.tanh(B @ x) ** 2) @ B


def sums(x: Any) -> Any:
    """Sums of neighbours' squares: more columns than rows."""
    return (x.reshape(5, 4) ** 2).sum(axis=1)


def sums_jac(x: Any) -> Any:
    return sp.csr_array((2 * x, (np.arange(20) // 4, np.arange(20))), shape=(5, 20))


def truss(u: Any) -> Any:
    """Forces of bars in a row, each an element with two ends."""
    s = np.diff(np.concatenate([[0], u]))
    f = 3.0 * s + s**3
    return f - np.concatenate([f[1:], [0]])


def truss_jac(u: Any) -> Any:
    k = 3.0 + 3 * np.diff(np.concatenate([[0], u])) ** 2
    rows, columns, values = [], [], []
    for e in range(len(u)):
        for a, b, sign in ((e, e, 1), (e - 1, e - 1, 1), (e, e - 1, -1), (e - 1, e, -1)):
            if a >= 0 and b >= 0:
                rows.append(a)
                columns.append(b)
                values.append(sign * k[e])
    return sp.coo_array((values, (rows, columns)), shape=(len(u), len(u)))  # each entry in parts
