"""Operators and adjoints, right and wrong: those of `adjoint_pairs`, of public reports, of physics, and hard ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import adjoint_pairs as pairs
from derivatives import adjoint_issues, adjoint_physics
from derivatives.adjoint_case import AdjointCase, adjoint_cases
from derivatives.case import Stateful, Subject, Wrong

Array = Any
R = np.random.default_rng(37)

#: Of the pairs those whose mistake is one of a contract: there is no entry to be named.
CONTRACTS = ("real part", "conjugated", "rectified")
#: And those whose like is among the others.
TWINS = (
    "half",
    "a mean of all",
    "inverse Fourier",
    "not transposed",
    "zero",
    "transposed",
    "factor 2",
    "sign",
    "y turned round",
    "adds",
)

PAIRS = (
    *(Subject(n, a, b, (shape,), (), {"dtype": dtype}) for n, (a, b, shape, dtype) in pairs.RIGHT.items()),
    *(
        Subject(
            "pair", a, None, (shape,), (Wrong(n, b, cause, nowhere=n in CONTRACTS),), {"dtype": dtype}
        )
        for n, (a, b, shape, dtype, cause) in pairs.WRONG.items()
        if n not in TWINS
    ),
)  # fmt: skip

# --- small mistakes, and mistakes beside large numbers ---

WEIGHTS = R.uniform(0.5, 1.5, 400)
ROUNDED = WEIGHTS.copy()
ROUNDED[123] = np.round(ROUNDED[123], 7)
SIZES = np.repeat([1e6, 1.0, 1e-6], 10)
MIXED = SIZES[:, None] * R.standard_normal((30, 20))


def total(weights: Array) -> Callable[[Array], Array]:
    return lambda x: np.cumsum(weights * x)


def total_back(weights: Array) -> Callable[[Array], Array]:
    return lambda y: weights * np.cumsum(y[::-1])[::-1]


def changed(matrix: Array, *changes: tuple[Any, float]) -> Callable[[Array], Array]:
    """Give the adjoint of a matrix with other factors in some places."""
    other = matrix.copy()
    for index, factor in changes:
        other[index] = other[index] * factor
    return lambda y: other.conj().T @ y


def blur(x: Array) -> Array:
    return (x + np.roll(x, 1, 0) + np.roll(x, 1, 1)) / 3


def blur_back(y: Array) -> Array:
    return (y + np.roll(y, -1, 0) + np.roll(y, -1, 1)) / 3


def one_corner(y: Array) -> Array:
    x = blur_back(y)
    x[-1, -1] *= 0.999
    return x


# --- what keeps something ---


def computed_once() -> Any:
    kept: list[Array] = []

    def back(y: Array) -> Array:
        kept.append(blur_back(y))
        return kept[0].copy()

    return back


def added_up() -> Any:
    x = np.zeros((8, 9))

    def back(y: Array) -> Array:
        x[...] += blur_back(y)
        return x.copy()

    return back


def written_into(y: Array) -> Array:
    y /= 3
    return y + np.roll(y, -1, 0) + np.roll(y, -1, 1)


def of_the_last_x() -> Any:
    """Weights that the forward side leaves behind, as a solver of one step does."""
    weights = np.ones((8, 9))

    def ahead(x: Array) -> Array:
        weights[...] = 1 + 0.1 * np.sign(x)
        return blur(x)

    return ahead, lambda y: weights * blur_back(y)


def weighted_by_itself(x: Array) -> Array:
    return blur(x) * (1 + 1e-3 * np.abs(x).mean())


# --- numbers in other places ---

AT = np.array([3, 1, 3, 7, 0, 3, 6])
PATCH = np.lib.stride_tricks.sliding_window_view
COMPLEX = R.standard_normal((6, 4)) + 1j * R.standard_normal((6, 4))
WAVE = R.standard_normal(9)
ROTATION = R.uniform(0, 1, (6, 6, 2)).round(3)


def gathered(x: Array) -> Array:
    return x[AT]


def scattered(y: Array) -> Array:
    return np.bincount(AT, y, 9)


def last_wins(y: Array) -> Array:
    x = np.zeros(9)
    x[AT] = y
    return x


IDS = np.array([0, 2, -1, 1, 2, -1, 0, 3])
ROOTS, REAL = np.sqrt([1.0, 2, 2, 2, 2, 1]), R.standard_normal((6, 5))


def segments(x: Array) -> Array:
    """Give sums of segments; what has no segment is dropped."""
    return np.bincount(IDS[IDS >= 0], x[IDS >= 0], 4)


def written(x: Array) -> Array:
    """Write at places of which some are named again: the last is what stays."""
    y = np.zeros(9)
    y[AT] = x
    return y


def written_back(y: Array) -> Array:
    stays = [not (AT[k + 1 :] == at).any() for k, at in enumerate(AT)]
    return np.where(stays, y[AT], 0)


def even(x: Array) -> Array:
    """Every other number of a convolution by four, with one 0 before and two behind."""
    return np.convolve(np.pad(x, (1, 2)), [1.0, 3, 3, 1], "valid")[::2]


def even_back(y: Array) -> Array:
    spread = np.zeros(2 * len(y))
    spread[::2] = y
    return np.convolve(spread, [1.0, 3, 3, 1])[1:13]


def patches(x: Array) -> Array:
    return PATCH(x, 3).copy()


def patches_back(y: Array) -> Array:
    x = np.zeros(len(y) + 2)
    for k in range(3):
        x[k : k + len(y)] += y[:, k]
    return x


def causal(x: Array) -> Array:
    """A filter that remembers."""
    y, last = np.zeros_like(x), 0.0
    for k, value in enumerate(x):
        y[k] = last = 0.8 * last + value
    return y


def causal_back(y: Array) -> Array:
    return causal(y[::-1])[::-1]


def moved(x: Array, *, by: float) -> Array:
    """Read between pixels, a third of one aside; what lies outside is 0."""
    whole, part = int(np.floor(by)), by - np.floor(by)
    p = np.pad(x, 3)
    return (1 - part) * p[3 + whole : 3 + whole + len(x)] + part * p[4 + whole : 4 + whole + len(x)]


def moved_back(y: Array) -> Array:
    return moved(y, by=-1 / 3)  # 2/3 of what is there, and 1/3 of what is before it


def turned_back(y: Array) -> Array:
    """Put back what was read one and a quarter aside."""
    return 0.75 * np.pad(y, (1, 0))[:-1] + 0.25 * np.pad(y, (2, 0))[:-2]


def shaded(x: Array) -> Array:
    return moved(x * WAVE, by=1 / 3)


def volume(x: Array) -> Array:
    return np.cumsum(x, 0) * np.arange(1.0, 5.0)


def volume_back(y: Array) -> Array:
    return np.cumsum((y * np.arange(1.0, 5.0))[::-1], 0)[::-1]


# --- rough arithmetic, where nothing is wrong ---

SPD = np.cov(R.standard_normal((12, 40))) + 0.1 * np.eye(12)


def conjugate_gradients(b: Array) -> Array:
    """Solve with the matrix, up to 1e-9 of b."""
    x, r = np.zeros_like(b), b.copy()
    p, size = r.copy(), r @ r
    while np.sqrt(size) > 1e-9 * np.linalg.norm(b):
        q = SPD @ p
        step = size / (p @ q)
        x, r = x + step * p, r - step * q
        size, before = r @ r, size
        p = r + size / before * p
    return x


def single_inside(x: Array) -> Array:
    return np.fft.fft(x.astype(np.complex64)).astype(complex)


HARD = (
    Subject("sum", total(WEIGHTS), total_back(WEIGHTS), (400,), (
        Wrong("rounded weight", total_back(ROUNDED), ""),
        Wrong("a millionth all over", total_back(WEIGHTS * (1 + 1e-6)), "factor 1 + 1.0e-06"),
    )),
    Subject("mixed sizes", lambda x: MIXED @ x, lambda y: MIXED.T @ y, (20,), (
        Wrong("small rows twice", changed(MIXED, (np.s_[20:], 2.0)), "A* has a factor of its own for 10 of 30"),
        Wrong("one small entry", changed(MIXED, ((25, 3), 0.0)), "one entry: A[25, 3], factor 0"),
        Wrong("one middle sign", changed(MIXED, ((14, 6), -1.0)), "one entry: A[14, 6], factor -1"),
        Wrong("one large entry", changed(MIXED, ((2, 2), 1 + 1e-7)), "one entry: A[2, 2]"),
    )),
    Subject("blur", blur, blur_back, ((8, 9),), (
        Wrong("itself", blur, "A* is A itself"),
        Wrong("one corner", one_corner, "A* has a factor of its own for 1 of 72"),
        Wrong("one axis only", lambda y: (y + np.roll(y, -1, 0) + np.roll(y, 1, 1)) / 3, ""),
        Wrong("computed once", Stateful(computed_once), "ignores its argument", nowhere=True),
        Wrong("added up", Stateful(added_up), "accumulates", nowhere=True),
        Wrong("written into", written_into, "writes into its argument", "JuliaSmoothOptimizers/LinearOperators.jl#103",
            nowhere=True),
        Wrong("weights left behind", Stateful(of_the_last_x), "keeps an earlier call", nowhere=True),
        Wrong("weighted by itself", (weighted_by_itself, blur_back), "not linear", nowhere=True),
    )),
    Subject("gather", gathered, scattered, (9,), (
        Wrong("last wins", last_wins, "A* has a factor of its own for 2 of 7 numbers of y", "apache/mxnet#9172"),
        Wrong("mean of what falls together", lambda y: scattered(y) / np.maximum(np.bincount(AT, None, 9), 1),
            "A* has a factor of its own"),
    )),
    Subject("segments", segments, lambda y: np.where(IDS < 0, 0, y[IDS]), (8,), (
        Wrong("dropped ones read the last", lambda y: y[IDS], "", "jax-ml/jax#7538"),
    )),
    Subject("written", written, written_back, (7,), (
        Wrong("to all that were written", lambda y: y[AT], "", "tensorflow/tensorflow#56961"),
    )),
    Subject("weighted space", lambda x: ROOTS * (REAL @ x), lambda y: REAL.T @ (ROOTS * y), (5,), (
        Wrong("weights left out", lambda y: REAL.T @ y, "A* has a factor of its own for 4 of 6", "odlgroup/odl#1068"),
    )),
    Subject("even kernel", even, even_back, (12,), (
        Wrong("padded on the other side", lambda y: np.roll(even_back(y), 1), "x is shifted by", "FluxML/Flux.jl#2431"),
    )),
    Subject("patches", patches, patches_back, (12,), (
        Wrong("mean where they overlap", lambda y: patches_back(y) / patches_back(np.ones((10, 3))),
            "A* has a factor of its own for 28 of 30 numbers of y"),
        Wrong("in the other order", lambda y: patches_back(y[:, ::-1]), "y is turned round along axis 1"),
    )),
    Subject("causal", causal, causal_back, (25,), (
        Wrong("not turned", causal, "A* is A itself"),
        Wrong("turned once", lambda y: causal(y[::-1]), "x is turned round"),
        Wrong("other memory", lambda y: causal_back(y) - 0.1 * np.append(y[1:], 0), ""),
    )),
    Subject("moved", lambda x: moved(x, by=1 / 3), moved_back, (20,), (
        Wrong("from the nearest", lambda y: y + 0, ""),
    )),
    Subject("shaded", shaded, lambda y: WAVE * moved_back(y), (9,), (
        Wrong("before the move", lambda y: moved_back(WAVE * y), ""),
        Wrong("divided", lambda y: moved_back(y) / WAVE, "A* has a factor of its own for 9 of 9 numbers of x"),
    )),
    Subject("matrix", lambda x: COMPLEX @ x, lambda y: COMPLEX.conj().T @ y, (4,), (
        Wrong("transposed", lambda y: COMPLEX.T @ y, "no conjugate", "TomographicImaging/CIL#1646"),
        Wrong("conjugated once", lambda y: np.conj(COMPLEX.T @ y), "antilinear",
            "JuliaSmoothOptimizers/LinearOperators.jl#302", nowhere=True),
        Wrong("of a number", (lambda x: (1 + 2j) * (COMPLEX @ x), lambda y: (1 + 2j) * (COMPLEX.conj().T @ y)),
            "of a number that is not conjugated", "JuliaSmoothOptimizers/LinearOperators.jl#117"),
    ), {"dtype": complex}),
    Subject("volume", volume, volume_back, ((4, 4, 4),), (
        Wrong("axes the other way round", lambda y: volume_back(y).transpose(2, 1, 0), "x is in column order",
            "ComputationalCryoEM/ASPIRE-Python#1109"),
    )),
    Subject("turned", lambda x: moved(x, by=1.25), turned_back, (16,), (
        # Reads at the inverse place where it should have put back.
        Wrong("inverse", lambda y: moved(y, by=-1.5), "", "RTKConsortium/RTK#618"),
    )),
    Subject("conjugate gradients", conjugate_gradients, conjugate_gradients, (12,), (
        Wrong("a thousandth", lambda y: 1.001 * conjugate_gradients(y), "factor 1.001"),
    )),
    Subject("single inside", single_inside, lambda y: np.conj(single_inside(np.conj(y))), (32,), (
        Wrong("no conjugate", single_inside, "no conjugate"),
    ), {"dtype": complex}),
)  # fmt: skip

ADJOINT: tuple[AdjointCase, ...] = tuple(
    adjoint_cases((*PAIRS, *adjoint_issues.SUBJECTS, *adjoint_physics.SUBJECTS, *HARD))
)
