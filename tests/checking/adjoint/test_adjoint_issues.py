"""Adjoints that were wrong in public code, made again small, each with the report it was found in.

The code is our own; what is the same is the mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from adjoint_pairs import back_project, project
from chainrule import check_adjoint

Array = Any


class Case(NamedTuple):
    """What was wrong, what is right, and what the report must name."""

    forward: Callable[[Array], Array]
    wrong: Callable[[Array], Array]
    right: Callable[[Array], Array]
    shape: Any
    cause: str
    dtype: Any = None


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


CASES: dict[str, Case] = {
    "PyLops/pylops#248": Case(
        trapezoids,
        lambda y: np.cumsum(y[::-1])[::-1] - y / 2,
        trapezoids_adjoint,
        20,
        "the index of x is 0",
    ),
    "PyLops/pylops#268": Case(
        odd_rfft,
        lambda y: np.fft.irfft(y, 15, norm="ortho"),
        odd_rfft_adjoint,
        15,
        "A* has a factor of its own for 14 of 16 numbers of y",
        (float, complex),
    ),
    "PyLops/pylops#295": Case(
        lambda x: np.fft.fft(x, 8), lambda y: 8 * np.fft.ifft(y), short_fft_adjoint, 12, "wrong shape", complex
    ),
    "odlgroup/odl#948": Case(project, lambda y: back_project(y) * (2 / 10) ** 2, back_project, (10, 10), "factor 0.04"),
    "odlgroup/odl#735": Case(
        lambda x: np.fft.fft(x) * WEIGHTS,
        lambda y: 7 * np.fft.ifft(y / WEIGHTS),
        lambda y: 7 * np.fft.ifft(y * WEIGHTS),
        7,
        "A* has a factor of its own for 6 of 7 numbers of y",
        complex,
    ),
    "CEA-COSMIC/pysap#78": Case(
        np.fft.fft2, np.fft.ifft2, lambda y: 48 * np.fft.ifft2(y), (6, 8), "the inverse of A", complex
    ),
    "mikgroup/sigpy#134": Case(
        wavelet, wavelet_inverse, wavelet_adjoint, 16, "A* is the inverse of A, not its adjoint"
    ),
    "PyWavelets/pywt#472": Case(
        symmetric, symmetric_for_zeros, symmetric_adjoint, 20, "wrong only at the boundary, where the index of"
    ),
    "scipy/scipy#8900": Case(
        lambda x: SCALE * (MATRIX @ x),
        lambda y: SCALE * (MATRIX.T @ y),
        lambda y: np.conj(SCALE) * (MATRIX.T @ y),
        5,
        "of a number that is not conjugated",
        complex,
    ),
    "cupy/cupy#4958": Case(lambda x: 1j * x, lambda y: 1j * y, lambda y: -1j * y, 3, "factor -1", complex),
    "astra-toolbox/astra-toolbox#283": Case(
        project, lambda y: np.zeros((10, 10)), back_project, (10, 10), "zero: A* gives nothing"
    ),
    "CERN/TIGRE#436": Case(
        project,
        lambda y: back_project(y * np.linspace(0.5, 1, 20)),
        back_project,
        (10, 10),
        "A* has a factor of its own for",
    ),
    "TomographicImaging/CCPi-Regularisation-Toolkit#152": Case(
        forward_differences, backward_sums, backward_sums_right, 20, "wrong only at the boundary"
    ),
    "mikgroup/sigpy#17": Case(
        lambda y: UNEVEN.conj().T @ y,
        lambda x: UNEVEN.conj().T @ x,
        lambda x: UNEVEN @ x,
        8,
        "A* is A itself",
        complex,
    ),
    "PTB-MR/mrpro#541": Case(
        lambda x: MATRIX @ (MATRIX.T @ (np.arange(6) * x)),
        lambda x: MATRIX @ (MATRIX.T @ (np.arange(6) * x)),
        lambda y: np.arange(6) * (MATRIX @ (MATRIX.T @ y)),
        6,
        "A* is A itself",
    ),
    "devitocodes/devito#260": Case(sample, lambda y: inject(y, add=False), lambda y: inject(y, add=True), 9, ""),
    "teamtomo/teamtomo#150": Case(
        clamped, lambda y: scatter(y, drop=True), lambda y: scatter(y, drop=False), 9, "the index of x is 8"
    ),
    "pytorch/pytorch#5057": Case(
        strided, lambda y: strided_adjoint(y, 9), lambda y: strided_adjoint(y, 10), 10, "wrong shape"
    ),
    "deepinv/deepinv#608": Case(smaller, larger, lambda y: larger(y) / 4, (8, 6), "factor 4"),
    "mesh-adaptation/animate#113": Case(
        lambda x: np.cumsum(x) * WEIGHTS,
        lambda y: np.cumsum(y) * WEIGHTS,
        lambda y: np.cumsum((y * WEIGHTS)[::-1])[::-1],
        7,
        "A* is A itself",
    ),
    "odlgroup/odl#405": Case(
        lambda x: np.diff(np.append(x, 5.0)),
        lambda y: np.append(0.0, y[:-1]) - y,
        lambda y: np.append(0.0, y[:-1]) - y,
        20,
        "adds a constant",
    ),
}


@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("name", CASES)
def test_the_mistake_is_seen(name: str, mode: Any) -> None:
    case = CASES[name]
    report = check_adjoint((case.forward, case.wrong), case.shape, dtype=case.dtype, mode=mode)
    assert report.verdict == "wrong", str(report)
    if mode == "full" or not case.cause.count("factor of its own"):
        assert case.cause in str(report.cause), str(report)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [name for name in CASES if name != "odlgroup/odl#405"])
def test_what_mends_it_is_right(name: str, seed: int) -> None:
    case = CASES[name]
    report = check_adjoint((case.forward, case.right), case.shape, dtype=case.dtype, seed=seed)
    assert report.verdict == "right", str(report)


def test_what_was_no_mistake_is_none() -> None:
    """epfl-lts2/pyunlocbox#15: the last row of a divergence looks wrong, and is right."""

    def divergence(d: Array) -> Array:
        return np.concatenate([d[:1], np.diff(d[:-1], axis=0), -d[-2:-1]])

    assert check_adjoint((lambda x: np.pad(np.diff(x, axis=0), ((0, 1), (0, 0))), lambda y: -divergence(y)), (9, 4)).ok


def test_a_flattened_dot_product_hides_a_shape_and_this_does_not() -> None:
    """PTB-MR/mrpro#220: the right numbers in another shape passed a test that flattened both."""
    report = check_adjoint((lambda x: 2 * x, lambda y: (2 * y)[None]), (3, 4))
    assert [h.cause for h in report.hazards] == ["wrong shape"]
    assert not check_adjoint((lambda x: 2 * x, lambda y: (2 * y)[None]), (3, 4), strict=True)


def test_an_image_that_comes_back_for_a_vector_is_told() -> None:
    """PyLops/pylops#500: products of operators gave (5, 5) for the 25 numbers of a vector."""
    report = check_adjoint((lambda x: np.cumsum(x), lambda y: np.cumsum(y[::-1])[::-1].reshape(5, 5)), 25)
    assert report.ok
    assert "gives shape (5, 5), and (25,) is needed" in report.hazards[0].detail


def test_a_complex_filter_that_is_correlated_without_its_conjugate() -> None:
    """As one of PyLops 2.8's convolutions does."""
    taps = np.array([1 + 2j, 0.5, -1j])
    report = check_adjoint(
        (lambda x: np.convolve(x, taps, "same"), lambda y: np.convolve(y, taps[::-1], "same")), 30, dtype=complex
    )
    assert report.cause == "no conjugate: Aᵀ for the adjoint"
