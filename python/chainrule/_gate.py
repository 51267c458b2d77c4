"""The gate: every array from a user passes through here before anything computes with it.

The result is an exact ``numpy.ndarray``, native float32 or float64 (or checked class ids), C-contiguous and aligned:
the only form that the kernels read. A copy is made only when one is needed. Input that makes no sense here (a masked
array, complex numbers, a string) is refused with the name of the argument.
"""

from __future__ import annotations

import math
import numbers as numbers_abc
import operator
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels

FloatArray: TypeAlias = NDArray[Any]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_STORED = (np.dtype(np.uint8), *_FLOATS)
_LARGEST_COUNT = 2**31 - 1
#: NumPy arrays have up to 64 axes, but NumPy's iteration and broadcasting stop at this number.
_MOST_AXES = 32


def floats(a: Any, name: str, dtype: Any = None) -> FloatArray:
    """Give `a` in the form that the kernels read: exact ndarray, C-contiguous, aligned, float32 or float64.

    Parameters
    ----------
    a : array_like
        Anything ``numpy.asarray`` takes, and any object with ``__dlpack__``.
    name : str
        The caller's name for it, for error messages.
    dtype : numpy.dtype, optional
        The dtype to compute in. By default it follows NumPy: float32 stays, float16 and bfloat16 become float32, and
        booleans and integers become float64.

    Raises
    ------
    TypeError
        If `a` is masked, or does not hold real numbers.
    """
    right_dtype = type(a) is np.ndarray and a.dtype in _FLOATS and (dtype is None or a.dtype == dtype)
    if right_dtype and a.flags.c_contiguous and a.flags.aligned:
        return np.asarray(a)
    array = numbers(a, name)
    with np.errstate(over="ignore"):  # a float64 too large for float32 becomes infinite, as it does in arithmetic
        return np.require(array, dtype or compute_dtype(array.dtype), ["C", "A"])


def examples(x: Any, dtype: np.dtype[Any]) -> FloatArray:
    """Give `x` in the form that Rust reads: uint8, float32 and float64 as they are, in C order; others in `dtype`."""
    if type(x) is np.ndarray and x.dtype in _STORED:
        in_order = x.flags.c_contiguous and x.flags.aligned
        return x if in_order else np.require(x, None, ["C", "A"])
    return floats(x, "x", dtype)


def compute_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Give the dtype, float32 or float64, for computing with numbers of `dtype`."""
    return np.dtype(np.float64) if dtype.kind in "biu" or dtype.itemsize == 8 else np.dtype(np.float32)


def parameter(a: Any, name: str, dtype: Any = None) -> FloatArray:
    """Give `a` itself if it is a float32 or float64 ndarray (of `dtype`), whatever its layout; else `floats` of it."""
    if type(a) is np.ndarray and a.dtype in _FLOATS and (dtype is None or a.dtype == dtype):
        return a
    return floats(a, name, dtype)


def fill(held: FloatArray, value: Any, name: str) -> None:
    """Copy `value` into the array `held`, cast to its dtype; nothing is written if it does not fit.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers.
    ValueError
        If `value` does not have the shape of `held`, or `held` is read-only.
    """
    if value is not held:  # ``net.params["W1"] -= …`` assigns the held array itself
        np.copyto(held, fitting(held, value, name))


def fitting(held: FloatArray, value: Any, name: str) -> FloatArray:
    """Give `value` as an array in the dtype of `held` that can be copied into it; raise as `fill` if it cannot."""
    array = floats(value, name, held.dtype)
    if array.shape != held.shape:
        raise ValueError(f"{name} has shape {held.shape}, got a value of shape {array.shape}")
    writeable(held, name)
    return array


def writeable(array: FloatArray, name: str) -> None:
    """Raise ValueError if `array` is read-only."""
    if not array.flags.writeable:
        raise ValueError(f"{name} is read-only; give the network a copy of its own, e.g. array.copy()")


def all_writeable(params: Mapping[str, FloatArray]) -> None:
    """Raise ValueError that names the first read-only array of `params`, if there is one."""
    for name, array in params.items():
        writeable(array, f"params[{name!r}]")


def expect_network(net: Any) -> None:
    """Raise TypeError if `net` has neither parameters nor gradients."""
    if isinstance(net, type) or not hasattr(net, "params") or not hasattr(net, "gradient"):
        raise TypeError(f"net must be a Network or have its methods, got {net!r}")


def is_complex(value: Any) -> bool:
    """Tell whether something is a complex number, or contains complex numbers."""
    if isinstance(value, list | tuple):
        return any(map(is_complex, value))
    return isinstance(value, complex) or (isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "c")


def numbers(a: Any, name: str) -> NDArray[Any]:
    """Give `a` as an exact ndarray of real numbers, in its own dtype and layout."""
    if type(a) is np.ndarray and a.dtype in _STORED:
        return a
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; fill or drop the masked entries first, e.g. {name}.filled(0)")
    if a is None or isinstance(a, str | bytes | dict | set):
        raise TypeError(f"{name} must be an array of numbers, got {type(a).__name__}")
    try:
        only_dlpack = hasattr(a, "__dlpack__") and not hasattr(a, "__array__")
        array = np.from_dlpack(a) if only_dlpack else np.asarray(a)
    except ValueError as error:  # NumPy's message for a ragged list
        raise TypeError(f"{name} must be an array of numbers with rows of one length: {error}") from None
    dtype = array.dtype
    real = dtype.kind in "biu" or (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)) or dtype.name == "bfloat16"
    if not real:
        raise TypeError(_no_numbers(a, array, name))
    return array


def column_names(x: Any) -> list[str] | None:
    """Give the names of the columns of a data frame; None if `x` is none."""
    return [str(name) for name in x.columns] if hasattr(x, "columns") and hasattr(x, "to_numpy") else None


def _no_numbers(a: Any, array: NDArray[Any], name: str) -> str:
    """Say what `a`, which has become `array`, holds instead of numbers, and what to do."""
    if hasattr(a, "tocsr"):
        some = f"{name}[:100].toarray()"
        return f"{name} is a sparse matrix; fit, predict and evaluate take it, elsewhere give some rows: {some}"
    columns = column_names(a)
    if columns is not None and array.ndim == 2 and array.dtype == object:
        for row, column in np.ndindex(array.shape):
            value = array[row, column]
            if isinstance(value, str):
                advice = "chainrule.load_table(frame, target=…) makes numbers of words"
                return f"{name} holds words, such as {value!r} in row {row}, column {columns[column]!r}; {advice}"
            if not isinstance(value, numbers_abc.Real):
                place = f"row {row}, column {columns[column]!r}"
                return f"{name} holds {value!r} in {place}; leave such rows out, or fill them"
    words = (value for value in array.flat if isinstance(value, str) and value)
    word = next(words, None) if array.dtype.kind in "OUT" else None
    if word is None:
        return f"{name} has dtype {array.dtype}; chainrule computes in float32 or float64"
    if name != "t":
        return f"{name} has dtype {array.dtype}, words such as {str(word)!r}; chainrule computes in float32 or float64"
    return (
        f"t holds words, such as {str(word)!r}, not numbers: names, t = np.unique(labels, return_inverse=True) makes"
        " numbers of labels; MLPClassifier of chainrule.sklearn takes them as they are"
    )


def few_axes(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Give `array` itself; raise ValueError if it has more axes than NumPy can iterate over."""
    if array.ndim > _MOST_AXES:
        raise ValueError(f"{name} has {array.ndim} axes; at most {_MOST_AXES} are taken here")
    return array


def targets(t: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[NDArray[Any], bool]:
    """Check and convert the teaching signal: give a private, range-checked copy, and whether it holds class ids.

    Parameters
    ----------
    t : array_like
        For scores of shape (N, C): class ids of shape (N,) or (N, 1), or distributions of shape (N, C) (one-hot or
        soft, used as given). For scores of shape (C,): one id, or one distribution of shape (C,).
    shape : tuple of int
        The shape of the scores, (N, C) or (C,).
    dtype : numpy.dtype
        The dtype of the scores, which distributions are cast to.

    Returns
    -------
    ordered : ndarray
        int64 of shape (N,), or `dtype` of shape (N, C).
    ids : bool
        True if `ordered` holds class ids. Decided by the number of axes, never by the size.

    Raises
    ------
    TypeError
        If `t` does not hold real numbers.
    ValueError
        If its shape does not fit, an id is not a whole number in 0..C-1, or a row is not a distribution.
    """
    array = numbers(t, "t")
    n, classes = shape if len(shape) == 2 else (1, shape[0])
    if array.shape == shape:
        if array.dtype == dtype:
            private = array.copy()
        else:
            with np.errstate(all="ignore"):  # what overflows in the cast is refused below, with a message
                private = np.array(array, dtype=dtype, order="C")
        return _distributions(private.reshape(n, classes)), False
    if array.shape in (((n,), (n, 1)) if len(shape) == 2 else ((),)):
        return class_ids(array, classes), True
    raise ValueError(
        f"t must have shape {(n,)} (class ids) or {(n, classes)} (one row per example), got t.shape={array.shape}"
        f" for scores of shape {shape}"
        if len(shape) == 2
        else f"t must be one class id or have shape {shape}, got t.shape={array.shape} for one example"
    )


def class_ids(t: Any, classes: int) -> NDArray[np.int64]:
    """Give a private int64 copy, shape (N,), of whole numbers in 0..`classes`-1; an error names the first bad row."""
    array = numbers(t, "t").reshape(-1)
    # Half precision would round `classes` to its own grid in the comparison; float64 holds every id.
    array = array.copy() if array.dtype.kind in "biu" else array.astype(np.float64)
    if array.size == 0:
        return np.zeros(0, np.int64)
    bad = ~((array >= 0) & (array <= classes - 1))  # written so that nan is bad
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"labels must lie in 0..{classes - 1}; got {array[row]} at row {row}")
    ids = array.astype(np.int64)
    if (ids != array).any():
        row = int(np.argmax(ids != array))
        raise ValueError(f"labels must be whole numbers; got {array[row]} at row {row}")
    return ids


def _distributions(t: NDArray[Any]) -> NDArray[Any]:
    """Refuse rows that are not finite, have a negative entry or do not sum to 1 within 1e-3."""
    row = _kernels.not_a_distribution(t)
    if row is None:
        return t
    with np.errstate(all="ignore"):  # inf - inf in the sum
        total, least = t[row].sum(), t[row].min(initial=np.inf)
    raise ValueError(
        f"each row of t must be finite, >= 0 and sum to 1 (within 1e-3); row {row} sums to {total:.6g}"
        f" with smallest entry {least:.6g}"
    )


def rows_of(t: NDArray[Any], classes: int, dtype: np.dtype[Any]) -> FloatArray:
    """Give the teaching signal from `targets` with one row for each example; class ids become one-hot rows."""
    return t if t.ndim == 2 else np.eye(classes, dtype=dtype)[t]


def sample_weights(value: Any, n: int) -> FloatArray:
    """Give weights as float64, shape (`n`,), finite and >= 0.

    Raises
    ------
    TypeError
        If `value` does not hold real numbers.
    ValueError
        If `value` does not have this shape, or an entry is negative or not finite.
    """
    weights = floats(value, "sample_weight", np.dtype(np.float64))
    if weights.shape != (n,):
        raise ValueError(f"sample_weight must have shape {(n,)}, one weight per example, got {weights.shape}")
    bad = ~((weights >= 0) & (weights < np.inf))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(f"sample_weight must be finite and >= 0; got {weights[row]} at row {row}")
    return weights


def weighted(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """Multiply rows by their weights: softmax-loss reads the weight of a row from its sum."""
    with np.errstate(over="ignore"):
        return np.asarray(rows * weights.astype(rows.dtype)[:, None])


def count(value: Any, name: str, *, least: int = 1) -> int:
    """Give `value` as an int >= `least`; raise TypeError for a bool or a fraction, ValueError if it is out of range."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if not least <= number <= _LARGEST_COUNT:
        raise ValueError(f"{name} must lie in {least}..{_LARGEST_COUNT}, got {value!r}")
    return number


def positive(value: Any, name: str) -> float:
    """Give `value` as a finite float above 0."""
    number = real(value, name)
    if not number > 0:
        raise ValueError(f"{name} must be > 0, got {value!r}")
    return number


def real(value: Any, name: str) -> float:
    """Give `value` as a finite float; raise TypeError for a bool or anything that is not a number."""
    if type(value) not in (float, int):
        wrong = isinstance(value, bool | np.bool_ | str | bytes | bytearray | np.ma.MaskedArray)
        if wrong or np.iscomplexobj(value):  # for a NumPy complex, float() would only warn
            raise TypeError(f"{name} must be a number, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be finite, got a whole number beyond float64") from None
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {value!r}")
    return number


def generator(seed: Any, name: str = "seed") -> np.random.Generator:
    """Give `seed` if it is a generator, or a new generator from it; an error message calls it `name`."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must be a whole number >= 0 or a numpy.random.Generator, got {seed!r}") from None


def flag(value: Any, name: str) -> bool:
    """Give `value` if it is True or False; raise TypeError otherwise."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def shape(name: str, *sizes: int, dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Give `sizes` as a shape; raise before any allocation if its number of bytes exceeds a signed machine word."""
    if math.prod(map(int, sizes)) * dtype.itemsize > np.iinfo(np.intp).max:
        raise ValueError(f"{name} of shape {sizes} would hold more bytes than memory can address")
    return sizes
