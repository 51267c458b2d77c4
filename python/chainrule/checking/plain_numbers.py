"""Parameters that are plain numbers: with their gradient beside them, or stepping in backward.

``gain = 1`` is a parameter as ``np.array(1.0)`` is, if backward changes it. Some become arrays there, by taking off
the gradient of each column: such a number is what an array of it would be, and is checked as that array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.equality import same_numbers
from chainrule.checking.state import State
from chainrule.nn.parameters.places import Place, put, traverse

if TYPE_CHECKING:
    from chainrule.checking.subject import Subject

_Ahead = Callable[[], list[FloatArray]]


@dataclass(frozen=True)
class Stepping:
    """A number that backward changes, and that comes out of forward as another then."""

    place: Place
    #: Whether the change is in proportion to what is sent back.
    in_proportion: bool


def with_gradients(subject: Subject, ahead: _Ahead, back: Callable[[float], Any]) -> Iterator[Place]:
    """Give plain numbers that have a gradient beside them which is another for another cotangent.

    Of a network, which is sent none: those that move its loss.
    """
    found = []
    for way, value in traverse(subject.holder):
        if isinstance(value, float) and isinstance(way[-1][1], str):
            place = Place(way)
            gradient = place.gradient()
            if gradient is not None and np.size(gradient[1]) == 1:
                found.append((place, float(np.reshape(gradient[1], ())), value))
    if not subject.takes_dout:
        yield from (place for place, _, value in found if _shows(place, value, ahead))
        return
    if found:
        back(2.0)
    for place, before, value in found:
        after = place.gradient()
        if after is not None and float(np.reshape(after[1], ())) != before and place.value == value:
            yield place


def that_step(
    subject: Subject, ahead: _Ahead, back: Callable[[float], Any], again: Callable[[], State]
) -> tuple[list[Place], list[Stepping]]:
    """Find the numbers that backward changes by what it is sent.

    Give those that became arrays, which lie there from now on; and those that stay numbers.
    """
    numbers = [(Place(way), value) for way, value in traverse(subject.holder) if _could_be_one(way, value)]
    if not numbers:
        return [], []
    state = again()

    def after(times: float) -> list[Any]:
        back(times)
        found = [place.value for place, _ in numbers]
        state.restore()
        return found

    once = after(1.0)
    became = [(place, value, now) for (place, value), now in zip(numbers, once, strict=True) if _is_array(now)]
    grown = [place for place, value, now in became if _takes_its_place(place, value, now, ahead)]
    changed = [i for i, (_, value) in enumerate(numbers) if _is_number(once[i]) and once[i] != value]
    changed = [i for i in changed if _shows(*numbers[i], ahead)]
    if not changed:
        return grown, []
    arrays = [place.value for place in grown]
    twice, less = after(2.0), after(-1.0)
    for place, array in zip(grown, arrays, strict=True):
        put(place, array)
    stepping = []
    for i in changed:
        place, value = numbers[i]
        if not (_is_number(twice[i]) and _is_number(less[i])) or less[i] == once[i]:
            continue  # it is counted, whatever is sent
        step = once[i] - value
        stepping.append(Stepping(place, bool(np.isclose(twice[i] - value, 2 * step, rtol=1e-3, atol=0))))
    return grown, stepping


def _could_be_one(way: Any, value: Any) -> bool:
    return _is_number(value) and isinstance(way[-1][1], str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating) and not isinstance(value, bool)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size > 0


def _takes_its_place(place: Place, number: Any, now: FloatArray, ahead: _Ahead) -> bool:
    """Put an array of a number in its place, if that comes out as the number does, and otherwise if it is moved."""
    array = np.full(now.shape, number, now.dtype)
    try:
        here = [out.copy() for out in ahead()]
        put(place, array)
        there = [out.copy() for out in ahead()]
        if place.value is array and _all_same(here, there):
            array += 0.01 * (1 + abs(number))
            if not _all_same(here, [out.copy() for out in ahead()]):
                array[...] = number
                return True
    except Exception:  # where a number stood it takes no array
        pass
    put(place, number)
    return False


def _shows(place: Place, number: Any, ahead: _Ahead) -> bool:
    """Tell whether something else comes out when a number is moved by a little."""
    here = [out.copy() for out in ahead()]
    try:
        put(place, number + 0.01 * (1 + abs(number)))
        return not _all_same(here, [out.copy() for out in ahead()])
    except Exception:  # one that cannot be moved is no parameter
        return False
    finally:
        put(place, number)


def _all_same(here: Iterable[FloatArray], there: Iterable[FloatArray]) -> bool:
    here, there = list(here), list(there)
    return len(here) == len(there) and all(map(same_numbers, here, there))
