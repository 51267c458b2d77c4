"""Arrays as nobody expects them: of any dtype, layout and kind, beside what NumPy makes of them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = [
    "f8", "f8", "f8", "f4", "f4", ">f8", ">f4", "f2", "u1", "i1", ">i2", "i4", "i8", "u8", "?", "g", "c8", "c16", "O",
    "M8[s]", "m8[s]", "S3", "U2", "V8",
]  # fmt: skip
VALUES = [0.0, -0.0, 1.0, 0.5, -3.0, 255.0, 1e-310, 1e300, 1e308, -1e38, np.nan, np.inf, -np.inf]


def shape(rng: random.Random, like: tuple[int, ...]) -> tuple[int, ...]:
    """Draw a shape, often the one that fits."""
    draw = rng.random()
    if draw < 0.6:
        return like
    if draw < 0.75 and like:  # one size is another
        at = rng.randrange(len(like))
        return *like[:at], rng.choice((0, 1, 2, 7, 64)), *like[at + 1 :]
    if draw < 0.85:
        return rng.choice((like[1:], (1, *like), (*like, 1), like[::-1], (int(np.prod(like)),)))
    return tuple(rng.choice((0, 1, 1, 2, 3, 5)) for _ in range(rng.randrange(5)))


def plain(rng: random.Random, like: tuple[int, ...], whole: int | None = None) -> NDArray[Any]:
    """Draw an array in C order; `whole` if it is to hold classes below that."""
    r = np.random.default_rng(rng.getrandbits(32))
    wanted = shape(rng, like)
    if whole is not None:
        values: NDArray[Any] = np.asarray(r.integers(whole, size=wanted))
        if rng.random() < 0.15 and values.size:
            values.flat[rng.randrange(values.size)] = rng.choice((-1, whole, 2**31, 2**62, -(2**62)))
        return values if rng.random() < 0.6 else cast(values, rng.choice(DTYPES))
    values = np.asarray(r.normal(size=wanted))
    if rng.random() < 0.3 and values.size:
        for _ in range(rng.randrange(1, 4)):
            values.flat[rng.randrange(values.size)] = rng.choice(VALUES)
    return cast(values, rng.choice(DTYPES[:5] if rng.random() < 0.5 else DTYPES))


def cast(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Give it in that dtype, whatever becomes of the numbers."""
    with np.errstate(all="ignore"):
        if dtype in ("S3", "U2", "V8"):
            return np.zeros(values.shape, dtype)
        if dtype[0] in "mM":
            return np.array(np.nan_to_num(values, posinf=0, neginf=0).clip(-1e6, 1e6).astype("i8"), dtype)
        return np.asarray(values.astype(dtype))


# --- layouts: the same numbers, elsewhere ---


def _same(a: NDArray[Any]) -> NDArray[Any]:
    return a


def _in_fortran_order(a: NDArray[Any]) -> NDArray[Any]:
    return np.array(a, order="F")


def _every_second(a: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(a, 2, axis=-1)[..., ::2] if a.ndim else a


def _backwards(a: NDArray[Any]) -> NDArray[Any]:
    return a[::-1].copy()[::-1] if a.ndim else a


def _at_an_odd_address(a: NDArray[Any]) -> NDArray[Any]:
    if a.dtype.hasobject:
        return a
    made: NDArray[Any] = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    made[...] = a
    return made


def _in_records(a: NDArray[Any]) -> NDArray[Any]:
    if a.dtype.hasobject:
        return a
    records = np.zeros(a.shape, [("tag", "u1"), ("value", a.dtype)])
    records["value"] = a
    field: NDArray[Any] = records["value"]
    return field


def _read_only(a: NDArray[Any]) -> NDArray[Any]:
    made = np.array(a)
    made.flags.writeable = False
    return made


def _middle(a: NDArray[Any]) -> NDArray[Any]:
    return (
        np.pad(a, 1, mode="edge")[tuple(slice(1, -1) for _ in a.shape)] if 0 < a.ndim < 8 and 0 < a.size < 2**20 else a
    )


class _Sub(np.ndarray[Any, Any]):
    """A subclass that has something to say about everything."""

    def __array_finalize__(self, other: Any) -> None:
        self.note = getattr(other, "note", "none")


def _subclass(a: NDArray[Any]) -> NDArray[Any]:
    return a.view(_Sub)


class _Giver:
    """An object that gives an array if asked."""

    def __init__(self, a: NDArray[Any]) -> None:
        self.a = a

    def __array__(self, dtype: Any = None, copy: Any = None) -> NDArray[Any]:
        return self.a


LAYOUTS: list[Callable[[NDArray[Any]], Any]] = [
    _same, _in_fortran_order, _every_second, _backwards, _at_an_odd_address, _in_records, _read_only, _middle,
    _subclass, _Giver, np.ndarray.tolist,
]  # fmt: skip


def another(rng: random.Random, a: NDArray[Any]) -> Any:
    """Give the same numbers in another way."""
    # A list holds neither every dtype nor the sizes behind a 0.
    layouts = LAYOUTS[: None if a.dtype in (np.float64, np.int64, bool) and a.dtype.isnative and a.size else -1]
    return rng.choice(layouts)(a)


def nothing(rng: random.Random) -> Any:
    """Give what is no array of numbers, or hardly one."""
    strange: list[Any] = [
        None, "x", b"x", {}, {"a": 1}, [[1], [1, 2]], [], [[]], object(), 2**70, -(2**70), 1j, "3", [None], ["1"],
        np.ma.masked_array([1.0, 2.0], [True, False]), np.array(None), np.float32(2), np.True_, set(), range(3), type,
        memoryview(b"abcd"), bytearray(b"ab"), np.zeros((1,) * 40), np.broadcast_to(1.0, (3, 3)), ...,
        float("nan"), True, [1, [2]], np.zeros(2, [("a", "f8"), ("b", "i4")]), np.array([b"a", None], object),
        np.empty(0), np.empty((0, 4)), np.empty((3, 0)), slice(3), lambda: 1, [np.zeros(2), np.zeros(3)],
    ]  # fmt: skip
    return rng.choice(strange)
