"""Gradients that a function gives behind those of the arguments: of what the one that goes forwards holds.

``backward(dout, cache)`` may be a function for the cache of a method, and give the gradients of that object's weights
after those of the inputs. What belongs to nothing that is known is said: a gradient that is given and compared with
nothing is not proved right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.holdings import hold
from chainrule.checking.report import Unseen
from chainrule.checking.results import bound, fits_exactly, flattened, is_float
from chainrule.checking.state import State
from chainrule.checking.subject import Subject


def hold_behind(
    subject: Subject,
    ahead: Callable[[], list[FloatArray]],
    back: Callable[[float], Any],
    again: Callable[[], State],
    told: Mapping[str, Any] | None,
    ignore: Sequence[str],
) -> None:
    """Find what gradients belong to that two functions give for more than their arguments; see `holdings.hold`."""
    back(1.0)
    given = [item for item in subject.left_over if is_float(item)]
    if not given:
        return
    fixed, unseen = subject.held_fixed, subject.unseen
    if subject.holder is not subject.thing:
        hold(subject, ahead, back, again, told, ignore)
    # What no gradient is given for is held fixed, as all that functions use.
    subject.held_fixed = tuple(name for name in fixed if name.removeprefix("subject.") not in subject.parameters)
    subject.unseen = unseen
    if not subject.parameters:
        subject.unseen += unclaimed(subject, given)


def unclaimed(subject: Subject, given: Sequence[Any]) -> tuple[Unseen, ...]:
    """Give the gradients that belong to nothing, as what was not compared."""
    behind = f"of the gradients that {subject.backward_name} gives"
    return tuple(
        Unseen(
            f"number {len(subject.movable) + 1 + i} {behind}", np.shape(item),
            say="wrt=, or hand over an object", why="it belongs to no argument",
        )
        for i, item in enumerate(item for item in given if is_float(item))
    )  # fmt: skip


def are_of(given: Sequence[Any], inputs: Mapping[str, Any]) -> bool:
    """Tell whether these are gradients of the arguments, by their shapes or by how many they are."""
    items, floats = flattened(given), [a for a in inputs.values() if is_float(a)]
    if not all(map(is_float, items)):
        return False
    gradients = bound(tuple(items), inputs, None, []).gradients
    return len(items) == len(floats) or all(fits_exactly(g, inputs[name]) for name, g in gradients.items())
