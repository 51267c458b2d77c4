"""Arrays of JAX's and of NumPy's, one made of the other, and the precision that JAX computes in."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import refuse_half
from chainrule.checking.frameworks import interop
from chainrule.checking.frameworks.interop import jax


@contextmanager
def float64() -> Iterator[None]:
    """Switch float64 on for a while."""
    found = jax()
    switch = getattr(found, "enable_x64", None)
    if switch is None:  # as before it had a public name
        switch = importlib.import_module("jax.experimental").enable_x64
    with switch(True):
        yield


def over_arrays(function: Any) -> Callable[..., Any]:
    """Give a function of arrays, in the precision of what it is given."""
    plain = interop.over_arrays(function, as_jax, as_numpy)

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        double = any(isinstance(a, np.ndarray) and a.dtype == np.float64 for a in arguments)
        with float64() if double else contextlib.nullcontext():
            return plain(*arguments)

    return call


def is_array(leaf: Any) -> bool:
    """Tell whether something is an array, and no key of JAX's random numbers."""
    if isinstance(leaf, np.ndarray):
        return True
    found = jax()
    return isinstance(leaf, found.Array) and not found.dtypes.issubdtype(leaf.dtype, found.dtypes.prng_key)


def own_copy(leaf: Any, name: str) -> FloatArray:
    """Give a copy in the precision that JAX computes in."""
    array = np.array(leaf)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} is {array.dtype}: complex arrays are not checked; hand over real and imaginary part")
    if array.dtype.kind == "V" or jax().numpy.issubdtype(array.dtype, jax().numpy.floating):
        refuse_half(array, name)
    return np.array(array, jax().dtypes.canonicalize_dtype(array.dtype))


def as_jax(value: Any) -> Any:
    """Give an array as JAX's: a copy, for the one that is moved is read later."""
    return jax().numpy.asarray(value.copy()) if isinstance(value, np.ndarray) else value


def as_numpy(value: Any) -> Any:
    """Give an array of JAX's as a copy of NumPy's; anything else as it is."""
    return np.array(value) if isinstance(value, jax().Array) and is_array(value) else value


def direction(array: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Give a random tangent for an array, away from 0."""
    return np.asarray(rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1.0, 1.0], array.shape), array.dtype)
