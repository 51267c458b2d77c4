"""The standard deviation for drawing weights: a number, or the name of a rule.

Sources: the book's §6.2; Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural networks",
2010; He et al., "Delving deep into rectifiers", 2015.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, floats, generator, real, shape

#: The numerator of each rule: the standard deviation is √(numerator / number of inputs).
_RULES = {"he": 2.0, "relu": 2.0, "xavier": 1.0, "sigmoid": 1.0, "tanh": 1.0}


def deviation(rule: Any, inputs: int) -> float:
    """Give the standard deviation of weights with D inputs: √(2/D) by "he" or "relu", √(1/D) by the other rules.

    Raises
    ------
    TypeError, ValueError
        If `rule` is neither the name of a rule nor a finite number.
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
    """Draw weights one after the other, from a seed or from NumPy's global generator."""

    def __init__(self, seed: Any, dtype: Any) -> None:
        self.dtype = dtype_of(dtype)
        # The legacy generator and the new one share this much: standard_normal(size).
        self._rng: Any = np.random if seed is None else generator(seed)

    def weights(self, name: str, std: Any, *sizes: int, inputs: int) -> FloatArray:
        """Draw normal numbers with the standard deviation `std`, a number or the name of a rule."""
        wanted = shape(name, *sizes, dtype=np.dtype(np.float64))
        return floats(deviation(std, inputs) * self._rng.standard_normal(wanted), name, self.dtype)

    def zeros(self, size: int) -> FloatArray:
        """Give an array of `size` zeros."""
        return np.zeros(size, self.dtype)

    def ones(self, size: int) -> FloatArray:
        """Give an array of `size` ones."""
        return np.ones(size, self.dtype)

    def seed(self) -> int | None:
        """Give a seed for masks; None if NumPy's global generator should supply one when it is needed."""
        return None if self._rng is np.random else int(self._rng.integers(2**31))
