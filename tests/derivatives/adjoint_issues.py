"""Adjoints that were wrong in public code, made again small, each with the report it was found in.

The code is our own; what is the same is the mistake.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from adjoint_pairs import back_project, project
from derivatives.case import Subject, Wrong

Array = Any


def trapezoids(x: Array) -> Array:
    return np.cumsum(x) - x / 2 - x[0] / 2


def trapezoids_adjoint(y: Array) -> Array:
    x = np.cumsum(y[::-1])[::-1] - y / 2
    x[0] -= y.sum() / 2
    return x


def odd_rfft(x: Array) -> Array:
    return np.fft.rfft(x, norm="ortho")


def odd_rfft_adjoint(y: Array) -> Array:
    halved = np.concatenate([y[:1], y[1:] / 2])  # 15 numbers: all but the first stand for two
    return np.fft.irfft(halved, 15, norm="ortho")


def short_fft_adjoint(y: Array) -> Array:
    return np.pad(8 * np.fft.ifft(y), (0, 4))


SCALE, MATRIX = 2 - 1j, np.random.default_rng(0).standard_normal((6, 5))
WEIGHTS = np.linspace(0.2, 1.0, 7)
HAAR = np.array([[0.5, 0.5], [1.0, -1.0]])  # not orthogonal, as the pairs of a biorthogonal wavelet
UNEVEN = np.exp(-2j * np.pi * np.outer(np.linspace(0, 0.9, 8) ** 2, np.arange(8)))  # frequencies of no grid
AT = np.random.default_rng(1).uniform(0, 7.9, 9)


def wavelet(x: Array) -> Array:
    return (HAAR @ x.reshape(-1, 2).T).ravel()


def wavelet_inverse(y: Array) -> Array:
    return (np.linalg.inv(HAAR) @ y.reshape(2, -1)).T.ravel()


def wavelet_adjoint(y: Array) -> Array:
    return (HAAR.T @ y.reshape(2, -1)).T.ravel()


def symmetric(x: Array) -> Array:
    """Give means of neighbours, with the ends mirrored: what is mirrored is counted again."""
    p = np.pad(x, 1, mode="symmetric")
    return p[:-2] / 4 + p[1:-1] / 2 + p[2:] / 3


def symmetric_for_zeros(y: Array) -> Array:
    p = np.pad(y, 1)
    return p[:-2] / 3 + p[1:-1] / 2 + p[2:] / 4


def symmetric_adjoint(y: Array) -> Array:
    x = symmetric_for_zeros(y)
    x[0] += y[0] / 4
    x[-1] += y[-1] / 3
    return x


def forward_differences(u: Array) -> Array:
    """Give differences to the next, 0 at the last (Neumann)."""
    return np.append(np.diff(u), 0.0)


def backward_sums(p: Array) -> Array:
    """Give minus the divergence as it is away from the last, where it should be p[-2] alone."""
    return np.append(0.0, p[:-1]) - p


def backward_sums_right(p: Array) -> Array:
    x = backward_sums(p)
    x[-1] = p[-2]
    return x


def sample(x: Array) -> Array:
    left = np.floor(AT).astype(int)
    return x[left] * (1 - AT + left) + x[left + 1] * (AT - left)


def inject(y: Array, *, add: bool) -> Array:
    left, x = np.floor(AT).astype(int), np.zeros(9)
    for at, share in ((left, 1 - AT + left), (left + 1, AT - left)):
        if add:
            np.add.at(x, at, y * share)
        else:  # of two that fall on the same number one is lost
            x[at] += y * share
    return x


def clamped(x: Array) -> Array:
    """Give numbers at places half of which lie behind the end: there the last is taken."""
    return x[np.minimum(np.arange(12), 8)] * np.arange(1.0, 13.0)


def scatter(y: Array, *, drop: bool) -> Array:
    x, at = np.zeros(9), np.arange(12)
    inside = at < 9 if drop else at >= 0
    np.add.at(x, np.minimum(at, 8)[inside], (y * np.arange(1.0, 13.0))[inside])
    return x


def strided(x: Array) -> Array:
    return np.convolve(x, [1.0, 2.0, 3.0], "valid")[::2]


def strided_adjoint(y: Array, n: int) -> Array:
    spread = np.zeros(2 * len(y) - 1)
    spread[::2] = y
    return np.pad(np.convolve(spread, [3.0, 2.0, 1.0]), (0, 10))[:n]


def smaller(x: Array) -> Array:
    return (x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4


def larger(y: Array) -> Array:
    return np.repeat(np.repeat(y, 2, 0), 2, 1)


SUBJECTS = (
    Subject("pylops#248", trapezoids, trapezoids_adjoint, (20,), (
        Wrong("as reported", lambda y: np.cumsum(y[::-1])[::-1] - y / 2, "the index of x is 0", "PyLops/pylops#248"),
    )),
    Subject("pylops#268", odd_rfft, odd_rfft_adjoint, (15,), (
        Wrong("as reported", lambda y: np.fft.irfft(y, 15, norm="ortho"),
            "A* has a factor of its own for 14 of 16 numbers of y", "PyLops/pylops#268"),
    ), {"dtype": (float, complex)}),
    Subject("pylops#295", lambda x: np.fft.fft(x, 8), short_fft_adjoint, (12,), (
        Wrong("as reported", lambda y: 8 * np.fft.ifft(y), "wrong shape", "PyLops/pylops#295", nowhere=True),
    ), {"dtype": complex}),
    Subject("odl#948", project, back_project, ((10, 10),), (
        Wrong("as reported", lambda y: back_project(y) * (2 / 10) ** 2, "factor 0.04", "odlgroup/odl#948"),
    )),
    Subject("odl#735", lambda x: np.fft.fft(x) * WEIGHTS, lambda y: 7 * np.fft.ifft(y * WEIGHTS), (7,), (
        Wrong("as reported", lambda y: 7 * np.fft.ifft(y / WEIGHTS),
            "A* has a factor of its own for 6 of 7 numbers of y", "odlgroup/odl#735"),
    ), {"dtype": complex}),
    Subject("pysap#78", np.fft.fft2, lambda y: 48 * np.fft.ifft2(y), ((6, 8),), (
        Wrong("as reported", np.fft.ifft2, "the inverse of A", "CEA-COSMIC/pysap#78"),
    ), {"dtype": complex}),
    Subject("sigpy#134", wavelet, wavelet_adjoint, (16,), (
        Wrong("as reported", wavelet_inverse, "A* is the inverse of A, not its adjoint", "mikgroup/sigpy#134"),
    )),
    Subject("pywt#472", symmetric, symmetric_adjoint, (20,), (
        Wrong("as reported", symmetric_for_zeros,
            "wrong only at the boundary, where the index of", "PyWavelets/pywt#472"),
    )),
    Subject("scipy#8900", lambda x: SCALE * (MATRIX @ x), lambda y: np.conj(SCALE) * (MATRIX.T @ y), (5,), (
        Wrong("as reported", lambda y: SCALE * (MATRIX.T @ y),
            "of a number that is not conjugated", "scipy/scipy#8900"),
    ), {"dtype": complex}),
    Subject("cupy#4958", lambda x: 1j * x, lambda y: -1j * y, (3,), (
        Wrong("as reported", lambda y: 1j * y, "factor -1", "cupy/cupy#4958"),
    ), {"dtype": complex}),
    Subject("astra-toolbox#283", project, back_project, ((10, 10),), (
        Wrong("as reported", lambda y: np.zeros((10, 10)), "zero: A* gives nothing", "astra-toolbox/astra-toolbox#283"),
    )),
    Subject("TIGRE#436", project, back_project, ((10, 10),), (
        Wrong("as reported", lambda y: back_project(y * np.linspace(0.5, 1, 20)),
            "A* has a factor of its own for", "CERN/TIGRE#436"),
    )),
    Subject("CCPi-Regularisation-Toolkit#152", forward_differences, backward_sums_right, (20,), (
        Wrong("as reported", backward_sums,
            "wrong only at the boundary", "TomographicImaging/CCPi-Regularisation-Toolkit#152"),
    )),
    Subject("sigpy#17", lambda y: UNEVEN.conj().T @ y, lambda x: UNEVEN @ x, (8,), (
        Wrong("as reported", lambda x: UNEVEN.conj().T @ x, "A* is A itself", "mikgroup/sigpy#17"),
    ), {"dtype": complex}),
    Subject("mrpro#541", lambda x: MATRIX @ (MATRIX.T @ (np.arange(6) * x)),
        lambda y: np.arange(6) * (MATRIX @ (MATRIX.T @ y)), (6,), (
        Wrong("as reported", lambda x: MATRIX @ (MATRIX.T @ (np.arange(6) * x)), "A* is A itself", "PTB-MR/mrpro#541"),
    )),
    Subject("devito#260", sample, lambda y: inject(y, add=True), (9,), (
        Wrong("as reported", lambda y: inject(y, add=False), "", "devitocodes/devito#260"),
    )),
    Subject("teamtomo#150", clamped, lambda y: scatter(y, drop=False), (9,), (
        Wrong("as reported", lambda y: scatter(y, drop=True), "the index of x is 8", "teamtomo/teamtomo#150"),
    )),
    Subject("pytorch#5057", strided, lambda y: strided_adjoint(y, 10), (10,), (
        Wrong("as reported", lambda y: strided_adjoint(y, 9), "wrong shape", "pytorch/pytorch#5057", nowhere=True),
    )),
    Subject("deepinv#608", smaller, lambda y: larger(y) / 4, ((8, 6),), (
        Wrong("as reported", larger, "factor 4", "deepinv/deepinv#608"),
    )),
    Subject("animate#113", lambda x: np.cumsum(x) * WEIGHTS, lambda y: np.cumsum((y * WEIGHTS)[::-1])[::-1], (7,), (
        Wrong("as reported", lambda y: np.cumsum(y) * WEIGHTS, "A* is A itself", "mesh-adaptation/animate#113"),
    )),
    Subject("odl#405", lambda x: np.diff(np.append(x, 5.0)), None, (20,), (
        Wrong("as reported", lambda y: np.append(0.0, y[:-1]) - y, "adds a constant", "odlgroup/odl#405", nowhere=True),
    )),
)  # fmt: skip
