"""Ways to put numbers into the wrong places, each with its inverse; and the numbers away from a boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray
from chainrule.checking.adjoint.operator import Space

Undone = Callable[[FloatArray], FloatArray]
Mask = NDArray[np.bool_]

#: An axis must be so long that its boundary is not most of it, and that something remains two numbers from its ends.
_LONG, _LONGER = 4, 6


def _axes(space: Space) -> list[int]:
    """Give the axes of the operator's own arrays, without that of real and imaginary parts."""
    return list(range(len(space.shape or ())))


def rearranged(space: Space, letter: str) -> Iterator[tuple[str, Undone]]:
    """Give names of permutations of the numbers of x or y, and their inverses."""
    shape, axes = space.seen, _axes(space)
    if len(axes) > 1 and not space.split:
        if len(shape) == 2 and shape[0] == shape[1]:
            yield f"{letter} is transposed", lambda a: a.T.copy()
        else:
            yield f"{letter} is in column order", lambda a: a.reshape(-1).reshape(shape, order="F")
            yield f"{letter} is in column order", lambda a: a.ravel(order="F").reshape(shape)
    for axis in axes:
        if shape[axis] > 1:
            yield f"{letter} is turned round along axis {axis}", lambda a, axis=axis: np.flip(a, axis)  # type: ignore[misc]
    if len(axes) > 1:
        yield f"{letter} is turned round along all axes", lambda a: np.flip(a, tuple(axes))
    for step in (1, -1):
        if len(axes) > 1:
            yield f"{letter} is shifted by {-step:+d} as a vector", lambda a, step=step: np.roll(a, step)  # type: ignore[misc]
    for axis, step in product(axes, (1, -1)):
        if shape[axis] > 2:
            yield (
                f"{letter} is shifted by {-step:+d} along axis {axis}",
                lambda a, axis=axis, step=step: np.roll(a, step, axis),  # type: ignore[misc]
            )


def at_the_boundary(space: Space, letter: str) -> Iterator[tuple[str, Mask]]:
    """Give names of parts of the boundary of x or y, and the numbers outside each; the smallest come first."""
    shape, axes = space.seen, [axis for axis in _axes(space) if space.seen[axis] >= _LONG]
    for width in (1, 2, 4, 8, 16):
        long = [axis for axis in axes if shape[axis] > 2 * width + 1]
        for axis, ends in product(long, ((True, False), (False, True), (True, True))):
            which = _indices(shape[axis], width, *ends)
            along = f"index along axis {axis}" if len(axes) > 1 else "index"
            name = f"wrong only at the boundary, where the {along} of {letter} is {which}"
            yield name, _inner(shape, [axis], width, *ends)
        if len(axes) > 1 and long == axes:
            name = f"wrong only at the boundary of {letter}, {width} number{'s' if width > 1 else ''} wide"
            yield name, _inner(shape, axes, width, True, True)


def _indices(length: int, width: int, first: bool, last: bool) -> str:
    ranges = [*([(0, width - 1)] if first else []), *([(length - width, length - 1)] if last else [])]
    return " or ".join(str(a) if a == b else f"{a} to {b}" for a, b in ranges)


def _inner(shape: tuple[int, ...], axes: list[int], width: int, first: bool, last: bool) -> Mask:
    inner = np.ones(shape, bool)
    for axis in axes:
        at = np.arange(shape[axis]).reshape([-1 if a == axis else 1 for a in range(len(shape))])
        if first:
            inner &= at >= width
        if last:
            inner &= at < shape[axis] - width
    return inner


def shifted(takes: Space, gives: Space) -> Iterator[tuple[str, Mask, Mask, Undone]]:
    """Give shifts by one along the axes of x, with the numbers of x and y to try them on."""
    axes = [axis for axis in _axes(takes) if takes.seen[axis] >= _LONGER]
    others = [axis for axis in _axes(gives) if gives.seen[axis] >= _LONGER]
    inner_x, inner_y = _inner(takes.seen, axes, 2, True, True), _inner(gives.seen, others, 2, True, True)
    for axis, step in product(axes, (1, -1)):
        yield (
            f"x is shifted by {-step:+d} along axis {axis}",
            inner_x,
            inner_y,
            lambda a, axis=axis, step=step: np.roll(a, step, axis),  # type: ignore[misc]
        )
