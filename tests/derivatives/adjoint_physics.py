"""The Poisson equation in two dimensions, the Radon transform, and what solvers and scans are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse as sp
from scipy.sparse.linalg import splu

from derivatives.case import Subject, Wrong

Array = Any
R = np.random.default_rng(31)

# --- Poisson: -div(k grad u) inside, u itself at the boundary; those rows make the matrix unsymmetrical ---

GRID, SPACING = (7, 6), (0.2, 0.25)
CONDUCTIVITY = R.uniform(0.5, 2, GRID)


def mean(a: Any, b: Any) -> Any:
    return (a + b) / 2


def harmonic(a: Any, b: Any) -> Any:
    return 2 * a * b / (a + b)


def poisson_matrix(spacing: tuple[float, float] = SPACING, between: Any = mean, boundary: float = 1.0) -> Any:
    number = np.arange(GRID[0] * GRID[1]).reshape(GRID)
    matrix = sp.lil_array((number.size, number.size))
    for i, j in np.ndindex(*GRID):
        here = number[i, j]
        if i in (0, GRID[0] - 1) or j in (0, GRID[1] - 1):
            matrix[here, here] = boundary
            continue
        for di, dj, h in ((1, 0, spacing[0]), (-1, 0, spacing[0]), (0, 1, spacing[1]), (0, -1, spacing[1])):
            flow = between(CONDUCTIVITY[i, j], CONDUCTIVITY[i + di, j + dj]) / h**2
            matrix[here, here] += flow
            matrix[here, number[i + di, j + dj]] -= flow
    return matrix.tocsr()


def on_grid(matrix: Any) -> Any:
    return lambda u: (matrix @ u.ravel()).reshape(GRID)


POISSON = poisson_matrix()
INSIDE = np.pad(np.ones((GRID[0] - 2, GRID[1] - 2)), 1)
LU = splu(POISSON.tocsc())


def solve(f: Array, *, transposed: bool = False) -> Array:
    return LU.solve(f.ravel(), "T" if transposed else "N").reshape(GRID)


def back(f: Array) -> Array:
    return on_grid(POISSON.T)(f)


# --- Radon: along each line the image is read between its pixels, every half pixel ---

SIDE, BINS, STEP = 9, 13, 0.5
VIEWS = np.linspace(0, np.pi, 6, endpoint=False)
CENTRE = (SIDE - 1) / 2


def radon_matrix(offset: float = 0.0) -> Any:
    image, along = np.arange(SIDE * SIDE).reshape(SIDE, SIDE), np.arange(-SIDE, SIDE, STEP)
    matrix = sp.lil_array((len(VIEWS) * BINS, image.size))
    for (v, angle), b in ((view, b) for view in enumerate(VIEWS) for b in range(BINS)):
        s = b - (BINS - 1) / 2 + offset
        rows = CENTRE + s * np.cos(angle) - along * np.sin(angle)
        columns = CENTRE + s * np.sin(angle) + along * np.cos(angle)
        for r, c in zip(rows, columns, strict=True):
            i, j = int(np.floor(r)), int(np.floor(c))
            for p, q in ((i, j), (i + 1, j), (i, j + 1), (i + 1, j + 1)):
                if 0 <= p < SIDE and 0 <= q < SIDE:
                    matrix[v * BINS + b, image[p, q]] += STEP * (1 - abs(r - p)) * (1 - abs(c - q))
    return matrix.tocsr()


RADON, ASIDE = radon_matrix(), radon_matrix(0.5)
PLACES = np.arange(SIDE) - CENTRE
CIRCLE = (PLACES[:, None] ** 2 + PLACES**2 <= CENTRE**2).astype(float)


def radon(image: Array) -> Array:
    return (RADON @ image.ravel()).reshape(len(VIEWS), BINS)


def smear(sinogram: Array) -> Array:
    return (RADON.T @ sinogram.ravel()).reshape(SIDE, SIDE)


def smear_by_pixels(sinogram: Array) -> Array:
    """Give what each pixel sees where its centre falls: a good back projection, and of another projector."""
    image = np.zeros((SIDE, SIDE))
    for row, angle in zip(sinogram, VIEWS, strict=True):
        at = PLACES[:, None] * np.cos(angle) + PLACES * np.sin(angle) + (BINS - 1) / 2
        image += np.interp(at, np.arange(BINS), row)
    return image


# --- waves and scans ---

DAMPED = np.diag(4 - 0.4j * np.arange(1, 13)) - np.diag(np.ones(11), 1) - np.diag(np.ones(11), -1)
COILS = R.standard_normal((4, 6, 5)) + 1j * R.standard_normal((4, 6, 5))
SAMPLED = (R.random((6, 5)) < 0.6).astype(float)


def scan(image: Array) -> Array:
    return SAMPLED * np.fft.fft2(COILS * image, norm="ortho")


def combined(k: Array) -> Array:
    return (COILS.conj() * np.fft.ifft2(SAMPLED * k, norm="ortho")).sum(0)


STEPS = [np.eye(12) + 0.2 * R.standard_normal((12, 12)) for _ in range(5)]


def stepped(x: Array) -> Array:
    for matrix in STEPS:
        x = matrix @ x
    return x


def stepped_back(y: Array) -> Array:
    for matrix in reversed(STEPS):
        y = matrix.T @ y
    return y


def in_the_order_of_time(y: Array) -> Array:
    for matrix in STEPS:
        y = matrix.T @ y
    return y


def gradient(u: Array) -> Array:
    p = np.zeros((2, *u.shape))
    p[0, :-1], p[1, :, :-1] = np.diff(u, axis=0), np.diff(u, axis=1)
    return p


def divergence(p: Array) -> Array:
    d = np.zeros(p.shape[1:])
    d[:-1] += p[0, :-1]
    d[1:] -= p[0, :-1]
    d[:, :-1] += p[1, :, :-1]
    d[:, 1:] -= p[1, :, :-1]
    return d


def divergence_to_the_last(p: Array) -> Array:
    """Takes the last differences for such as there are."""
    return p[0] - np.pad(p[0], ((1, 0), (0, 0)))[:-1] + p[1] - np.pad(p[1], ((0, 0), (1, 0)))[:, :-1]


def traces(shift: Any) -> Any:
    """Give traces, each moved by what it is late."""
    return lambda x: np.stack([np.roll(row, shift(i)) for i, row in enumerate(x)])


ABSORPTION = R.uniform(0.1, 0.4, (6, 7))


def attenuated(x: Array, *, from_the_detector: bool = True) -> Array:
    """Give sums along rows, of what is left of each pixel where it arrives."""
    depth = np.cumsum(ABSORPTION, 1) if from_the_detector else np.cumsum(ABSORPTION[:, ::-1], 1)[:, ::-1]
    return (np.exp(-depth) * x).sum(1)


def attenuated_back(y: Array, *, from_the_detector: bool = True) -> Array:
    depth = np.cumsum(ABSORPTION, 1) if from_the_detector else np.cumsum(ABSORPTION[:, ::-1], 1)[:, ::-1]
    return np.exp(-depth) * y[:, None]


SUBJECTS = (
    Subject("poisson", on_grid(POISSON), back, (GRID,), (
        Wrong("taken for symmetrical", on_grid(POISSON), "A* is A itself"),
        Wrong("spacings swapped", on_grid(poisson_matrix(SPACING[::-1]).T), ""),
        Wrong("harmonic means", on_grid(poisson_matrix(between=harmonic).T), ""),
        Wrong("boundary left out", on_grid(poisson_matrix(boundary=0.0).T), "wrong only at the boundary of y"),
        Wrong("other sign inside", lambda f: back((1 - 2 * INSIDE) * f), "A* has a factor of its own for 20 of 42"),
        Wrong("column order", lambda f: back(f).ravel().reshape(GRID, order="F"), "x is in column order"),
        Wrong("nothing at the boundary", lambda f: INSIDE * back(f), "wrong only at the boundary of x"),
    )),
    Subject("poisson solved", solve, lambda f: solve(f, transposed=True), (GRID,), (
        Wrong("the same again", solve, "A* is A itself"),
        Wrong("not solved", back, ""),
        Wrong("the boundary in the right side", lambda f: solve(INSIDE * f, transposed=True),
            "wrong only at the boundary of y"),
    )),
    Subject("radon", radon, smear, ((SIDE, SIDE),), (
        Wrong("by pixels", smear_by_pixels, ""),
        Wrong("weight of the views", lambda y: smear(y) * np.pi / 6, "factor 0.523599", "odlgroup/odl#1646"),
        Wrong("step forgotten", lambda y: smear(y) / STEP, "factor 2"),
        Wrong("views backwards", lambda y: smear(y[::-1]), "y is turned round along axis 0"),
        Wrong("detector moved", lambda y: smear(np.roll(y, 1, 1)), "y is shifted by"),
        Wrong("half a bin", lambda y: (ASIDE.T @ y.ravel()).reshape(SIDE, SIDE), ""),
        Wrong("transposed", lambda y: smear(y).T, "x is transposed"),
        Wrong("in the circle only", lambda y: CIRCLE * smear(y), "A* has a factor of its own"),
    )),
    Subject("attenuated", attenuated, attenuated_back, ((6, 7),), (
        Wrong("from the source", lambda y: attenuated_back(y, from_the_detector=False),
            "A* has a factor of its own for 42 of 42 numbers of x", "RTKConsortium/RTK#414"),
    )),
    Subject("helmholtz", lambda x: np.linalg.solve(DAMPED, x), lambda y: np.linalg.solve(DAMPED.conj(), y), (12,), (
        Wrong("damping not turned", lambda y: np.linalg.solve(DAMPED, y), "no conjugate"),
    ), {"dtype": complex}),
    Subject("coils", scan, combined, ((6, 5),), (
        Wrong("mean of the coils", lambda k: combined(k) / 4, "factor 1/4"),
        Wrong("no conjugate", lambda k: (COILS * np.fft.ifft2(SAMPLED * k, norm="ortho")).sum(0), "",
            "gadgetron/gadgetron#479"),
        Wrong("divided by the coils", lambda k: combined(k) / (np.abs(COILS) ** 2).sum(0),
            "A* has a factor of its own for 30 of 30 numbers of x", "SyneRBI/SIRF-Exercises#26"),
        Wrong("not masked", lambda k: (COILS.conj() * np.fft.ifft2(k, norm="ortho")).sum(0), ""),
        Wrong("other norm", lambda k: (COILS.conj() * np.fft.ifft2(SAMPLED * k)).sum(0), "1/√N"),
        Wrong("first coil", lambda k: combined(k * np.eye(4)[0][:, None, None]), "factor of its own"),
    ), {"dtype": complex}),
    Subject("steps", stepped, stepped_back, (12,), (
        Wrong("in the order of time", in_the_order_of_time, ""),
        Wrong("one left out", lambda y: stepped_back(np.linalg.solve(STEPS[-1].T, y)), ""),
    )),
    Subject("gradient", gradient, lambda p: -divergence(p), ((6, 5),), (
        Wrong("no minus", divergence, "factor -1"),
        Wrong("to the last", lambda p: -divergence_to_the_last(p), "wrong only at the boundary"),
    )),
    Subject("traces", traces(lambda i: i), traces(lambda i: -i), ((5, 12),), (
        Wrong("moved the same way", traces(lambda i: i), "A* is A itself"),
        Wrong("one too far", traces(lambda i: 1 - i), "x is shifted by +1"),
    )),
)  # fmt: skip
