"""The layer that leaves numbers out: the book's §6.4.3, and ``Dropout`` of its ``common/layers.py``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule import _kernels
from chainrule._gate import FloatArray, count, flag, floats, real
from chainrule.nn.layers.base import BaseLayer, incoming, remembered


class Masks:
    """A stream of masks: who names a place in it, (seed, step, layer), gets the same one wherever it is drawn.

    Parameters
    ----------
    seed : int or None
        None takes a number from NumPy's global generator when it is first needed.
    """

    def __init__(self, seed: int | None) -> None:
        self.state: tuple[int | None, int] = (seed, 0)

    def place(self) -> tuple[int, int, int]:
        """Give where the next mask lies."""
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
    """``out = x`` where a number stays, else 0, in training; ``out = (1 - dropout_ratio) · x`` in evaluation.

    Backwards: dL/dx = dout where it stays, else 0; after an evaluation (1 - dropout_ratio) · dout. Each number of each
    example stays with the probability 1 - dropout_ratio. Takes any shape, and keeps it.

    Parameters
    ----------
    dropout_ratio : float, default 0.5
        The share that is left out, 0 <= ratio < 1.
    seed : int, optional, keyword-only
        What the masks are drawn by. By default a number from NumPy's global generator, taken at the first training
        pass.

    Attributes
    ----------
    mask : ndarray of bool, the shape of `x`
        Which numbers stayed in the last training pass; None before it, and after an evaluation.
    draws : tuple of three int, or None
        Where in the stream of masks the next one lies, (seed, step, layer), if it is not the layer that counts its
        steps. `fit` sets it: with the same seed the same masks, whoever runs the network, and after a break.

    Raises
    ------
    TypeError, ValueError
        If the ratio or the seed is of the wrong kind or out of range.

    Notes
    -----
    The factor in evaluation is the book's, and the paper's, so that its weights go on working; others multiply by
    1 / (1 - ratio) in training instead. Source: Srivastava et al., "Dropout: a simple way to prevent neural networks
    from overfitting", 2014.

    Examples
    --------
    >>> layer = Dropout(0.5, seed=0)
    >>> out = layer.forward(np.ones((2, 4)))
    >>> bool((out == layer.mask).all())
    True
    >>> layer.forward(np.ones(4), False)
    array([0.5, 0.5, 0.5, 0.5])
    """

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
        _kernels.dropout_mask(self.dropout_ratio, self.next_draws(), mask)
        if self.draws is None:
            self.masks.step()
        self.mask = mask.view(np.bool_).reshape(x.shape)
        out: FloatArray = np.where(self.mask, x, x.dtype.type(0))
        return out

    def next_draws(self) -> tuple[int, int, int]:
        """Give where the next mask lies in the stream of masks: (seed, step, layer)."""
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
