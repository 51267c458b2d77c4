"""Operators with adjoints that were derived by hand, and wrong ones: (A, A*, shape of x, dtype), with the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
R = np.random.default_rng(11).standard_normal
KERNEL = R(5)
TAPS = R(4) + 1j * R(4)
ANGLES = np.linspace(0, np.pi, 7, endpoint=False)


# --- the right ones ---


def laplace(u: Array) -> Array:
    """Give the five-point stencil with zeros around: symmetric."""
    p = np.pad(u, 1)
    return 4 * u - p[2:, 1:-1] - p[:-2, 1:-1] - p[1:-1, 2:] - p[1:-1, :-2]


def upwind(u: Array) -> Array:
    """Give differences that look to one side, by a velocity that varies."""
    speed = np.linspace(1, 2, u.shape[0])[:, None]
    return speed * (u - np.pad(u, ((1, 0), (0, 0)))[:-1])


def upwind_adjoint(v: Array) -> Array:
    w = np.linspace(1, 2, v.shape[0])[:, None] * v
    return w - np.pad(w, ((0, 1), (0, 0)))[1:]


def positions(n: int, angle: float) -> Array:
    """Give where on the detector each pixel of an n by n image falls."""
    along = np.arange(n) - (n - 1) / 2
    return along[:, None] * np.cos(angle) + along[None, :] * np.sin(angle) + n - 1


def project(image: Array) -> Array:
    """Give sums along lines: each pixel is shared by the two bins beside it."""
    n = image.shape[0]
    found = np.zeros((len(ANGLES), 2 * n))
    for row, angle in zip(found, ANGLES, strict=True):
        at = positions(n, angle)
        left = np.floor(at).astype(int)
        np.add.at(row, left, image * (1 - (at - left)))
        np.add.at(row, left + 1, image * (at - left))
    return found


def back_project(sinogram: Array) -> Array:
    n = sinogram.shape[1] // 2
    found = np.zeros((n, n))
    for row, angle in zip(sinogram, ANGLES, strict=True):
        at = positions(n, angle)
        left = np.floor(at).astype(int)
        found += row[left] * (1 - (at - left)) + row[left + 1] * (at - left)
    return found


def back_project_nearest(sinogram: Array) -> Array:
    n = sinogram.shape[1] // 2
    rounded = (np.rint(positions(n, angle)).astype(int) for angle in ANGLES)
    return sum(row[at] for row, at in zip(sinogram, rounded, strict=True))


def convolve(x: Array) -> Array:
    return np.convolve(x, KERNEL)


def correlate(y: Array) -> Array:
    return np.correlate(y, KERNEL, "valid")


def filtered(x: Array) -> Array:
    return np.convolve(x, TAPS)


def cumsum_back(y: Array) -> Array:
    return np.cumsum(y[::-1])[::-1]


def diff_adjoint(y: Array) -> Array:
    return np.concatenate([[-y[0]], -np.diff(y), [y[-1]]])


def rfft_adjoint(y: Array, n: int = 12) -> Array:
    """Give the adjoint over the reals: each pair of conjugate frequencies is there once."""
    whole = np.zeros(n, complex)
    whole[: len(y)] = y
    return (n * np.fft.ifft(whole)).real


def centred(x: Array) -> Array:
    """Give central differences, to one side at the ends."""
    return np.gradient(x)


def centred_adjoint(y: Array) -> Array:
    matrix = np.zeros((len(y), len(y)))
    inner = np.arange(1, len(y) - 1)
    matrix[inner, inner + 1], matrix[inner, inner - 1] = 0.5, -0.5
    matrix[0, :2], matrix[-1, -2:] = (-1, 1), (-1, 1)
    return matrix.T @ y


def single(x: Array) -> Array:
    return np.cumsum(x.astype(np.float32), dtype=np.float32)


def fourier_adjoint(y: Array) -> Array:
    return y.size * np.fft.ifft2(y)


Right = tuple[Callable[[Array], Array], Callable[[Array], Array], Any, Any]
RIGHT: dict[str, Right] = {
    "laplace": (laplace, laplace, (9, 8), None),
    "upwind": (upwind, upwind_adjoint, (9, 8), None),
    "projections": (project, back_project, (10, 10), None),
    "convolution": (convolve, correlate, 20, None),
    "complex filter": (filtered, lambda y: np.correlate(y, TAPS, "valid"), 20, complex),
    "cumulative sum": (np.cumsum, cumsum_back, 30, None),
    "differences": (np.diff, diff_adjoint, 30, None),
    "central differences": (centred, centred_adjoint, 20, None),
    "Fourier": (np.fft.fft2, fourier_adjoint, (6, 8), complex),
    "Fourier found out": (np.fft.fft2, fourier_adjoint, (6, 8), None),
    "real Fourier": (np.fft.rfft, rfft_adjoint, 12, (float, complex)),
    "real Fourier found out": (np.fft.rfft, rfft_adjoint, 12, None),
    "transposition": (lambda x: x.transpose(2, 0, 1).copy(), lambda y: y.transpose(1, 2, 0).copy(), (2, 3, 4), None),
    "one number": (lambda x: x.sum(), lambda y: np.full((3, 4), y), (3, 4), None),
    "float32": (single, lambda y: single(y[::-1])[::-1].copy(), 200, np.float32),
    "wave, many steps": (
        lambda x: np.linalg.matrix_power(np.eye(30) - 0.1 * laplace(np.eye(30)), 40) @ x,
        lambda y: np.linalg.matrix_power(np.eye(30) - 0.1 * laplace(np.eye(30)), 40).T @ y,
        30,
        None,
    ),
}


# --- the wrong ones ---


def dropped(x: Array) -> Array:
    x[0] = 0
    return x


def one_sided(y: Array) -> Array:
    """Give minus the difference the other way round, which is the adjoint but for the ends."""
    return -np.concatenate([[0.0], np.diff(y), [0.0]])


def aside(x: Array) -> Array:
    """Give a convolution that is one number further than it should be."""
    return np.convolve(x, KERNEL, "same")


def aside_adjoint(y: Array) -> Array:
    return np.convolve(np.pad(y, (1, 0))[:-1], KERNEL[::-1], "same")


def wide(x: Array, *, turned: bool) -> Array:
    """Give a convolution with what lies beyond the ends taken for the last number: its adjoint is none like it."""
    taps = np.arange(1.0, 8.0)
    return np.convolve(np.pad(x, 3, mode="edge"), taps[::-1] if turned else taps, "valid")


TURN = np.linalg.qr(R((8, 8)))[0] + 0.3 * np.eye(8)
Wrong = tuple[Callable[[Array], Array], Callable[[Array], Array], Any, Any, str]
WRONG: dict[str, Wrong] = {
    "sign": (np.diff, lambda y: -diff_adjoint(y), 30, None, "factor -1"),
    "factor 2": (np.cumsum, lambda y: 2 * cumsum_back(y), 30, None, "factor 2"),
    "half": (laplace, lambda y: laplace(y) / 2, (9, 8), None, "factor 1/2"),
    "mean for sum": (project, lambda y: back_project(y) / 7, (10, 10), None, "1/N; N = 7, axis 0 of y"),
    "a mean of all": (np.cumsum, lambda y: cumsum_back(y) / 30, 30, None, "1/N; N = 30"),
    "root of N": (np.fft.fft, lambda y: np.fft.ifft(y, norm="ortho"), 12, complex, "1/√N; N = 12"),
    "inverse Fourier": (np.fft.fft, np.fft.ifft, 12, complex, "A* is the inverse of A"),
    "times i": (np.fft.fft, lambda y: 12j * np.fft.ifft(y), 12, complex, "factor i"),
    "inverse": (lambda x: TURN @ x, lambda y: np.linalg.solve(TURN, y), 8, None, "A* is the inverse of A"),
    "zero": (np.cumsum, lambda y: 0 * y, 30, None, "zero: A* gives nothing"),
    "no conjugate": (filtered, lambda y: np.correlate(y, TAPS.conj(), "valid"), 20, complex, "no conjugate"),
    "convolution": (aside, aside, 20, None, "A* is A itself"),
    "not transposed": (np.cumsum, np.cumsum, 30, None, "A* is A itself"),
    "turned round": (np.cumsum, lambda y: cumsum_back(y)[::-1], 30, None, "x is turned round"),
    "y turned round": (np.diff, lambda y: diff_adjoint(y[::-1]), 30, None, "y is turned round"),
    "transposed": (
        lambda x: np.cumsum(x, 0),
        lambda y: np.cumsum(y[::-1], 0)[::-1].T,
        (6, 6),
        None,
        "x is transposed",
    ),
    "column order": (
        lambda x: np.cumsum(x, 0),
        lambda y: np.cumsum(y[::-1], 0)[::-1].ravel(order="F").reshape(6, 4),
        (6, 4),
        None,
        "x is in column order",
    ),
    "rolled": (
        lambda x: np.roll(x, 2, 1) * np.arange(8),
        lambda y: np.roll(y * np.arange(8), -1, 1),
        (5, 8),
        None,
        "x is shifted by +1 along axis 1",
    ),
    "shifted": (aside, aside_adjoint, 30, None, "x is shifted by +1"),
    "nothing at the ends": (np.diff, one_sided, 30, None, "boundary, where the index of x is 0 or 29"),
    "first number dropped": (np.cumsum, lambda y: dropped(cumsum_back(y)), 30, None, "the index of x is 0"),
    "inner stencil": (centred, lambda y: -centred(y), 20, None, "wrong only at the boundary"),
    "edges repeated": (
        lambda x: wide(x, turned=False),
        lambda y: wide(y, turned=True),
        40,
        None,
        "wrong only at the boundary, where the index of",
    ),
    "nearest for linear": (project, back_project_nearest, (10, 10), None, ""),
    "real part": (np.fft.fft, lambda y: (12 * np.fft.ifft(y)).real, 12, complex, "drops the imaginary part"),
    "conjugated": (np.fft.fft, lambda y: np.conj(12 * np.fft.ifft(y)), 12, complex, "antilinear"),
    "rectified": (np.cumsum, lambda y: np.maximum(cumsum_back(y), 0), 30, None, "not linear"),
    "adds": (np.cumsum, lambda y: cumsum_back(y) + 1e-6, 30, None, "adds a constant"),
    "float32 factor": (single, lambda y: 1.001 * single(y[::-1])[::-1], 200, np.float32, ""),
}
