"""The standard deviation that weights are drawn with: a number, or the name of a rule for it.

Sources: the book's §6.2; Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks",
2010; He et al., "Delving deep into rectifiers", 2015.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, floats, generator, real, shape

#: (numerator, names): the deviation is √(numerator / numbers that come in).
_RULES = {"he": 2.0, "relu": 2.0, "xavier": 1.0, "sigmoid": 1.0, "tanh": 1.0}


def deviation(rule: Any, inputs: int) -> float:
    """Give the standard deviation for weights of so many inputs: "he" or "relu" √(2/D), "xavier", "sigmoid" √(1/D).

    Raises
    ------
    TypeError, ValueError
        If `rule` is neither a name of one nor a finite number.
    """
    if not isinstance(rule, str):
        return real(rule, "weight_init_std")
    if rule.lower() not in _RULES:
        raise ValueError(f"weight_init_std must be a number or one of {', '.join(_RULES)}, got {rule!r}")
    return math.sqrt(_RULES[rule.lower()] / max(inputs, 1))


def dtype_of(dtype: Any) -> np.dtype[Any]:
    """Give float32 or float64.

    Raises
    ------
    TypeError
        If it is neither.
    """
    kind = np.dtype(np.void if dtype is None else dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype must be float32 or float64, got {kind}")
    return kind


class Draw:
    """Draws weights one after the other, from a seed or from NumPy's global generator."""

    def __init__(self, seed: Any, dtype: Any) -> None:
        self.dtype = dtype_of(dtype)
        # The legacy generator and the new one agree on this much: standard_normal(size).
        self._rng: Any = np.random if seed is None else generator(seed)

    def weights(self, name: str, std: Any, *sizes: int, inputs: int) -> FloatArray:
        """Give normal numbers of such a deviation, a number or a rule's name."""
        wanted = shape(name, *sizes, dtype=np.dtype(np.float64))
        return floats(deviation(std, inputs) * self._rng.standard_normal(wanted), name, self.dtype)

    def zeros(self, size: int) -> FloatArray:
        """Give as many zeros."""
        return np.zeros(size, self.dtype)

    def ones(self, size: int) -> FloatArray:
        """Give as many ones."""
        return np.ones(size, self.dtype)

    def seed(self) -> int | None:
        """Give a seed for masks; None where NumPy's global generator is to give it when it is needed."""
        return None if self._rng is np.random else int(self._rng.integers(2**31))
