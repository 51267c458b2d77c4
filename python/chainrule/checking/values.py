"""What is asked of arrays and numbers that a subject holds or gives."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, few_axes, numbers
from chainrule.checking.arguments import refuse_half
from chainrule.checking.results import is_one


def is_single(array: FloatArray) -> bool:
    """Tell whether an array is of float32, in whichever order of bytes."""
    return array.dtype.newbyteorder("=") == np.float32


def is_single_array(value: Any) -> bool:
    """Tell whether something is an array of float32."""
    return isinstance(value, np.ndarray) and is_single(value)


def parameter(array: Any, name: str) -> FloatArray:
    """Give the parameter itself, if it can be moved in place and put back."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} is a {type(array).__name__}; make it a float array, so that it can be moved in place")
    if array.dtype.kind in "biu":
        raise TypeError(f"{name} is {array.dtype}, which cannot be moved by a small step; make it float64")
    few_axes(numbers(array, name), name)
    refuse_half(array, name)
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only, and a check moves it in place; give it a copy, e.g. array.copy()")
    return array


def one_number(value: Any, what: str) -> FloatArray:
    """Give a loss as an array of no axes; of several things the one number among them, beside what was predicted."""
    try:
        array = np.asarray(the_loss_of(value))
    except ValueError:
        array = np.empty(0, object)
    if array.size != 1 or array.dtype.kind not in "fbiu":
        raise ValueError(
            f"{what} must give one real number, got {type(value).__name__} of shape {array.shape}; sum it up, or check"
            " it as a layer: an object with forward and backward(dout)"
        )
    return array.reshape(()) if array.dtype.kind == "f" else array.reshape(()).astype(np.float64)


def the_loss_of(value: Any) -> Any:
    """Give the one number among several things, if there is one and no more; else what was given."""
    found = [item for item in value if is_one(item)] if _is_several(value) else []
    return found[0] if len(found) == 1 else value


def _is_several(value: Any) -> bool:
    """Tell whether something is a tuple with arrays in it."""
    return isinstance(value, tuple) and any(isinstance(item, np.ndarray) for item in value)


def one_of(function: Any, at: int) -> Callable[..., Any]:
    """Give a function that gives one of the things that `function` gives; called as that is."""

    @functools.wraps(function)
    def give(*arguments: Any) -> Any:
        return function(*arguments)[at]

    return give


def rest_of(function: Any) -> Callable[..., Any]:
    """Give a function that gives what `function` gives behind the first; called as that is."""

    @functools.wraps(function)
    def give(*arguments: Any) -> Any:
        return tuple(function(*arguments)[1:])

    return give


def first_two(function: Any) -> Callable[..., Any]:
    """Give a function that gives the first two of what `function` gives; called as that is."""

    @functools.wraps(function)
    def give(*arguments: Any) -> Any:
        return tuple(function(*arguments)[:2])

    return give


def given(function: Any, what: Any) -> Callable[..., Any]:
    """Give a function without its first argument, which is always this."""

    @functools.wraps(function)
    def give(*arguments: Any) -> Any:
        return function(what, *arguments)

    with contextlib.suppress(ValueError):  # a built-in, perhaps, that does not tell
        signature = inspect.signature(function)
        give.__signature__ = signature.replace(parameters=[*signature.parameters.values()][1:])  # type: ignore[attr-defined]
    return give


def by_entry(function: Any) -> Callable[..., Any]:
    """Give a function that gives as a Jacobian what `function` gives as one array for each entry of its argument."""

    @functools.wraps(function)
    def give(*arguments: Any) -> Any:
        return np.moveaxis(np.asarray(function(*arguments)), 0, -1)

    return give


def of_what_comes_out(function: Any, derivative: Any) -> Callable[..., Any]:
    """Give a derivative that is called as the function is, and is given what that gives."""

    @functools.wraps(derivative)
    def give(*arguments: Any) -> Any:
        return derivative(function(*arguments))

    return give


def begins_with(returned: Any, value: Any) -> bool:
    """Tell whether what was returned is this value, perhaps computed in another way, and more behind it."""
    if not isinstance(returned, tuple | list) or len(returned) < 2:
        return False
    one = np.size(value) == 1 == np.size(returned[0])
    if not one and not (isinstance(returned, tuple) and np.shape(returned[0]) == np.shape(value)):
        return False
    first, number = np.reshape(returned[0], -1), np.reshape(value, -1)
    if first.dtype.kind != "f" or number.dtype.kind != "f":
        return bool(np.array_equal(first, number))
    digits = np.finfo(np.result_type(first, number)).eps ** 0.5  # half of them
    return bool(np.allclose(first, number, rtol=digits, atol=0))


def without_value(returned: Any) -> Any:
    """Give what was returned behind the first."""
    behind = tuple(returned[1:]) if isinstance(returned, tuple | list) else (returned,)
    return behind[0] if len(behind) == 1 else behind


def place_not_finite(array: FloatArray) -> list[int] | None:
    """Give the index of the first number that is nan or infinite; None if there is none."""
    finite = np.isfinite(array)
    return None if finite.all() else [int(i) for i in np.argwhere(~finite)[0]]


#: What is added to a score so that it counts for nothing.
_NEVER = 1e3


def is_choice(value: Any) -> bool:
    """Tell whether numbers say which: 0 or 1, -1 or 1, 0 or as good as minus infinity, or shares that add up to 1."""
    if not isinstance(value, np.ndarray) or value.size == 0:
        return False
    sizes = np.abs(value)
    if np.all((sizes == 0) | (sizes == 1)) or np.all((value == 0) | (value <= -_NEVER)):
        return True
    return bool(np.all(value >= 0)) and any(
        np.allclose(value.sum(axis=axis), 1, rtol=0, atol=1e-3) for axis in range(value.ndim)
    )
