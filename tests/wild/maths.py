"""What a random subject computes: forwards and backwards that know no convention, of random sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

#: Given inputs and parameters, gives the output and a cache; given dout and the cache, gives both kinds of gradients.
Forward = Callable[[Any, Any], tuple[Any, Any]]
Backward = Callable[[Any, Any], tuple[list[Any], list[Any]]]


@dataclass(frozen=True)
class Maths:
    """A forward and a backward, and the shapes of what goes in.

    Attributes
    ----------
    name : str
    inputs, parameters : tuple of tuples of int
        Their shapes.
    roles : str
        A letter for each parameter: W for weights, b for a bias, g for a scale.
    forward, backward : callable
    largest : float
        How large numbers may be that go in.
    ids : int
        If not 0, the input are whole numbers below it, without a gradient.
    """

    name: str
    inputs: tuple[tuple[int, ...], ...]
    parameters: tuple[tuple[int, ...], ...]
    roles: str
    forward: Forward
    backward: Backward
    largest: float = 1e3
    ids: int = 0


def size(rng: np.random.Generator) -> int:
    """Give a length, 1 to 6."""
    return int(rng.integers(1, 7))


def affine(rng: np.random.Generator, n: int = 0, i: int = 0, o: int = 0) -> Maths:
    n, i, o = n or size(rng), i or size(rng), o or size(rng)
    row = bool(rng.random() < 0.3)

    def forward(x: Any, p: Any) -> Any:
        return x[0] @ p[0] + p[1], (x[0], p[0])

    def backward(dout: Any, cache: Any) -> Any:
        x, W = cache
        return [dout @ W.T], [x.T @ dout, dout.sum(axis=0, keepdims=row)]

    return Maths("affine", ((n, i),), ((i, o), (1, o) if row else (o,)), "Wb", forward, backward)


def outputs_first(rng: np.random.Generator) -> Maths:
    """W is (outputs, inputs), and there is no bias."""
    n, i, o = size(rng), size(rng), size(rng)

    def backward(dout: Any, cache: Any) -> Any:
        x, W = cache
        return [dout @ W], [dout.T @ x]

    return Maths("x W.T", ((n, i),), ((o, i),), "W", lambda x, p: (x[0] @ p[0].T, (x[0], p[0])), backward)


def columns(rng: np.random.Generator) -> Maths:
    n, i, o = size(rng), size(rng), size(rng)

    def backward(dZ: Any, cache: Any) -> Any:
        A, W = cache
        return [W.T @ dZ], [dZ @ A.T, dZ.sum(axis=1, keepdims=True)]

    return Maths(
        "columns", ((i, n),), ((o, i), (o, 1)), "Wb", lambda x, p: (p[0] @ x[0] + p[1], (x[0], p[0])), backward
    )


def tanh_affine(rng: np.random.Generator, n: int = 0, i: int = 0, o: int = 0) -> Maths:
    inner = affine(rng, n, i, o)

    def forward(x: Any, p: Any) -> Any:
        a, cache = inner.forward(x, p)
        y = np.tanh(a)
        return y, (y, cache)

    def backward(dout: Any, cache: Any) -> Any:
        y, before = cache
        return inner.backward(dout * (1 - y * y), before)

    return Maths("tanh of affine", inner.inputs, inner.parameters, "Wb", forward, backward, 0.7)


def scale_shift(rng: np.random.Generator) -> Maths:
    n, d = size(rng), size(rng)

    def backward(dout: Any, cache: Any) -> Any:
        x, gamma = cache
        return [dout * gamma], [(dout * x).sum(axis=0), dout.sum(axis=0)]

    return Maths("scale", ((n, d),), ((d,), (d,)), "gs", lambda x, p: (x[0] * p[0] + p[1], (x[0], p[0])), backward)


def normalised(rng: np.random.Generator) -> Maths:
    """Over features or over examples."""
    n, d, axis = int(rng.integers(3, 7)), int(rng.integers(3, 7)), int(rng.integers(2))

    def forward(x: Any, p: Any) -> Any:
        std = np.sqrt(x[0].var(axis=axis, keepdims=True) + x[0].dtype.type(1e-5))
        x_hat = (x[0] - x[0].mean(axis=axis, keepdims=True)) / std
        return p[0] * x_hat + p[1], (x_hat, std, p[0])

    def backward(dout: Any, cache: Any) -> Any:
        x_hat, std, gamma = cache
        g = dout * gamma
        dx = g - g.mean(axis=axis, keepdims=True) - x_hat * (g * x_hat).mean(axis=axis, keepdims=True)
        return [dx / std], [(dout * x_hat).sum(axis=0), dout.sum(axis=0)]

    return Maths("norm", ((n, d),), ((d,), (d,)), "gs", forward, backward, 10.0)


def time_affine(rng: np.random.Generator) -> Maths:
    n, t, i, o = (size(rng) for _ in range(4))

    def backward(dout: Any, cache: Any) -> Any:
        x, W = cache
        return [dout @ W.T], [np.einsum("nti,nto->io", x, dout), dout.sum(axis=(0, 1))]

    return Maths(
        "(N, T, D)", ((n, t, i),), ((i, o), (o,)), "Wb", lambda x, p: (x[0] @ p[0] + p[1], (x[0], p[0])), backward
    )


def conv1d(rng: np.random.Generator) -> Maths:
    n, c, f, k = size(rng), int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    t = k + size(rng) - 1

    def forward(x: Any, p: Any) -> Any:
        windows = np.lib.stride_tricks.sliding_window_view(x[0], k, axis=2)
        return np.einsum("nctk,fck->nft", windows, p[0]) + p[1][:, None], (x[0], p[0])

    def backward(dout: Any, cache: Any) -> Any:
        x, w = cache
        windows, dx = np.lib.stride_tricks.sliding_window_view(x, k, axis=2), np.zeros_like(x)
        for j in range(k):
            dx[:, :, j : j + dout.shape[2]] += np.einsum("nft,fc->nct", dout, w[:, :, j])
        return [dx], [np.einsum("nctk,nft->fck", windows, dout), dout.sum(axis=(0, 2))]

    return Maths("convolution", ((n, c, t),), ((f, c, k), (f,)), "Wb", forward, backward)


def rnn_step(rng: np.random.Generator) -> Maths:
    n, i, h = size(rng), size(rng), size(rng)

    def forward(x: Any, p: Any) -> Any:
        y = np.tanh(x[0] @ p[0] + x[1] @ p[1] + p[2])
        return y, (*x, p[0], p[1], y)

    def backward(dout: Any, cache: Any) -> Any:
        x, before, Wx, Wh, y = cache
        da = dout * (1 - y * y)
        return [da @ Wx.T, da @ Wh.T], [x.T @ da, before.T @ da, da.sum(axis=0)]

    return Maths("RNN step", ((n, i), (n, h)), ((i, h), (h, h), (h,)), "xhb", forward, backward, 0.7)


def bilinear(rng: np.random.Generator) -> Maths:
    n, i, j, o = (size(rng) for _ in range(4))

    def forward(x: Any, p: Any) -> Any:
        return np.einsum("ni,nj,ijo->no", x[0], x[1], p[0]), (*x, p[0])

    def backward(dout: Any, cache: Any) -> Any:
        x, y, W = cache
        dx, dy = np.einsum("no,nj,ijo->ni", dout, y, W), np.einsum("no,ni,ijo->nj", dout, x, W)
        return [dx, dy], [np.einsum("no,ni,nj->ijo", dout, x, y)]

    return Maths("bilinear", ((n, i), (n, j)), ((i, j, o),), "W", forward, backward, 30.0)


def embedding(rng: np.random.Generator) -> Maths:
    n, words, d = size(rng), size(rng), size(rng)

    def backward(dout: Any, cache: Any) -> Any:
        ids, W = cache
        dW = np.zeros_like(W)
        np.add.at(dW, ids, dout)
        return [], [dW]

    return Maths("embedding", ((n,),), ((words, d),), "W", lambda x, p: (p[0][x[0]], (x[0], p[0])), backward, ids=words)


ALL: tuple[Callable[[np.random.Generator], Maths], ...] = (
    affine, outputs_first, columns, tanh_affine, scale_shift, normalised, time_affine, conv1d, rnn_step, bilinear,
    embedding,
)  # fmt: skip
