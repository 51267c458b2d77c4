"""The layer that drops numbers at random: the book's §6.4.3, and ``Dropout`` in its ``common/layers.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import _kernels
from chainrule._gate import FloatArray, count, flag, floats, real
from chainrule.nn.layers.base import BaseLayer, incoming, remembered


class Masks:
    """A stream of masks: a place in it, (seed, step, layer), gives the same mask wherever it is drawn.

    Parameters
    ----------
    seed : int or None
        With None, a number from NumPy's global generator, drawn when it is first needed.
    """

    def __init__(self, seed: int | None) -> None:
        self.state: tuple[int | None, int] = (seed, 0)

    def place(self) -> tuple[int, int, int]:
        """Give the place of the next mask."""
        seed, step = self.state
        if seed is None:
            seed = int(np.random.randint(2**31))
            self.state = seed, step
        return seed, step, 0

    def step(self) -> None:
        """Go on to the next mask."""
        seed, step = self.state
        self.state = seed, step + 1


class Dropout(BaseLayer):
    """In training, ``out = x`` where a number is kept, else 0; in evaluation, ``out = (1 - dropout_ratio) · x``.

    Backward pass: dL/dx = dout where the number was kept, else 0; after an evaluation, (1 - dropout_ratio) · dout. Each
    number of each example is kept with probability 1 - dropout_ratio. Takes any shape and keeps it.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        The share of numbers to drop, 0 <= ratio < 1.
    seed : int, optional, keyword-only
        The seed of the masks. By default a number from NumPy's global generator, drawn at the first training pass.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Which numbers were kept in the last training pass; None before the first one, and after an evaluation.
    draws : tuple of three int, or None
        The place of the next mask in the stream of masks, (seed, step, layer); None if the layer counts its own steps.
        `fit` sets it, so that the same seed gives the same masks, whoever runs the network, and after a resume.
    first_row : int
        The number of the first example in its batch; 0 unless `fit` divides batches into shards.

    Raises
    ------
    TypeError, ValueError
        If the ratio or the seed has the wrong type or is out of range.

    Notes
    -----
    The factor in evaluation is that of the book and the paper, so that the book's weights keep working. Other libraries
    multiply by 1 / (1 - ratio) in training instead. Source: Srivastava et al., "Dropout: a simple way to prevent neural
    networks from overfitting", 2014.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=0)
    >>> out = layer.forward(np.ones((2, 4)))
    >>> bool((out == layer.mask).all())
    True
    >>> layer.forward(np.ones(4), False)
    array([0.5, 0.5, 0.5, 0.5])
    """

    first_row = 0

    def __init__(self, dropout_ratio: float = 0.5, *, seed: int | None = None) -> None:
        self.dropout_ratio = real(dropout_ratio, "dropout_ratio")
        if not 0 <= self.dropout_ratio < 1:
            raise ValueError(f"dropout_ratio must lie in 0 <= dropout_ratio < 1, got {dropout_ratio!r}")
        self.masks = Masks(None if seed is None else count(seed, "seed", least=0))
        self.mask: Any = None
        self._evaluated: tuple[int, ...] | None = None
        self.draws: tuple[int, int, int] | None = None

    def forward(self, x: Any, train_flg: bool = True) -> FloatArray:
        x = floats(x, "x")
        if not flag(train_flg, "train_flg"):
            self.mask, self._evaluated = None, x.shape
            return np.asarray(x * x.dtype.type(1 - self.dropout_ratio))
        n = len(x) if x.ndim > 1 else 1
        mask = np.empty((n, math.prod(x.shape[1:]) if x.ndim > 1 else x.size), np.uint8)
        _kernels.dropout_mask(self.dropout_ratio, (*self.next_draws(), self.first_row), mask)
        if self.draws is None:
            self.masks.step()
        self.mask = mask.view(np.bool_).reshape(x.shape)
        out: FloatArray = np.where(self.mask, x, x.dtype.type(0))
        return out

    def next_draws(self) -> tuple[int, int, int]:
        """Give the place of the next mask in the stream of masks: (seed, step, layer)."""
        return self.masks.place() if self.draws is None else self.draws

    def _described(self, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        return (), (self.dropout_ratio,), shape

    def backward(self, dout: Any) -> FloatArray:
        if self.mask is None:
            dout = incoming(dout, remembered(self._evaluated, self))
            return np.asarray(dout * dout.dtype.type(1 - self.dropout_ratio))
        mask, dout = self.mask, incoming(dout, self.mask.shape)
        dx: FloatArray = np.where(mask, dout, dout.dtype.type(0))
        return dx
