"""How what was handed over is understood: a layer, a network, a pair; as public code writes them.

Names and signatures tell most, and one forward pass the rest. Where two ways to understand a subject are left, both are
given: the first that agrees with the numbers is what was meant, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from chainrule.checking.arguments import required
from chainrule.checking.conventions import BACKWARD, DERIVATIVES, FORWARD, VALUES
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.read_layer import layer
from chainrule.checking.read_network import network
from chainrule.checking.read_pair import both, derivatives, functions
from chainrule.checking.reader import USAGE, Asked, Reader, kind_of
from chainrule.checking.state import State
from chainrule.checking.subject import Subject, place_not_finite

#: Nothing: names and signatures tell.
_PLAINLY = Asked()


def adapt(thing: Any, arguments: Sequence[Any], asked: Asked = _PLAINLY) -> Subject:
    """Give `thing` as the Subject it most likely is; see `readings`."""
    return readings(thing, arguments, asked)[0]


def readings(
    thing: Any,
    arguments: Sequence[Any],
    asked: Asked = _PLAINLY,
    randomness: Randomness | None = None,
) -> list[Subject]:
    """Give `thing` as a Subject, in the ways it can be understood, the likeliest first; say what is missing if in none.

    Raises
    ------
    TypeError
        If it is nothing that can be checked, or an argument or a parameter has a dtype that cannot be differentiated.
    ValueError
        If a parameter is read-only, or an array is not finite.
    """
    if isinstance(thing, type):
        raise TypeError(f"{thing.__name__} is a class, not an object: call it first")
    # Of functions nothing need be kept that they keep while they are read.
    before = State(reach(subject=thing)) if isinstance(thing, tuple | list) else None
    found = _what_it_is(Reader(thing, arguments, asked, randomness or Randomness(reach(subject=thing))))
    if before is not None:
        before.restore()
    for subject in found:
        _expect_something_to_do(subject)
    return found


def _what_it_is(reader: Reader) -> list[Subject]:
    """Tell what kind it is."""
    thing, asked = reader.thing, reader.asked
    if isinstance(thing, tuple | list) and len(thing) == 2 and all(map(callable, thing)):
        return functions(reader)
    if asked.forward or asked.backward:
        return _methods(reader, *_named_methods(reader))
    if _has(thing, "loss") and _has(thing, "gradient") and hasattr(thing, "params"):
        return [network(reader, "loss", "gradient")]
    ahead, back = _first(thing, FORWARD), _first(thing, BACKWARD)
    if ahead and back:
        return layer(reader, ahead, back)
    value, derivative = _first(thing, VALUES), _first(thing, DERIVATIVES)
    if value and derivative:
        return derivatives(reader, value, derivative)
    if _has(thing, "loss"):
        return [network(reader, "loss", None)]
    if callable(thing) and not (ahead and ahead != "__call__") and not back:
        return both(reader)
    raise TypeError(f"{_missing(thing)}; {USAGE}")


def _named_methods(reader: Reader) -> tuple[str, str]:
    thing, names = reader.thing, []
    for given, known, side in (
        (reader.asked.forward, FORWARD, "forward"),
        (reader.asked.backward, BACKWARD, "backward"),
    ):
        name = given or _first(thing, known)
        if name is None or not callable(getattr(thing, name, None)):
            what = f"no method {name!r}" if name else f"no method to go {side}: name it, {side}='…'"
            raise TypeError(f"{type(thing).__name__} has {what}")
        names.append(name)
    return names[0], names[1]


def _methods(reader: Reader, ahead: str, back: str) -> list[Subject]:
    """Two methods that were named: a layer's, or a value and its derivative."""
    forward, backward = getattr(reader.thing, ahead), getattr(reader.thing, back)
    asks, gives = required(backward), required(forward)
    if asks and asks == gives[: len(asks)] and len(asks) == len(reader.arguments):
        return derivatives(reader, ahead, back)
    return layer(reader, ahead, back)


def _expect_something_to_do(subject: Subject) -> None:
    if not subject.arrays and not subject.unseen:
        kinds = ", ".join(f"{name} is {kind_of(a)}" for name, a in subject.inputs.items()) or "no arguments"
        raise TypeError(f"{subject.name} has nothing to differentiate by ({kinds}); pass arrays of float64 or float32")
    for name, array in subject.arrays.items():
        at = place_not_finite(array)
        if at is not None:
            raise ValueError(
                f"{name}{at or ''} is {array[tuple(at)]}; a gradient can be checked at finite numbers only"
            )


def _has(thing: Any, name: str) -> bool:
    try:
        return callable(getattr(thing, name, None))
    except Exception:  # an object that refuses to be asked
        return False


def _first(thing: Any, names: Iterable[str]) -> str | None:
    """Give the first of these methods that `thing` has; none of what functions and types have anyway."""
    return next((name for name in names if _has(thing, name)), None)


def _missing(thing: Any) -> str:
    """Say what a thing lacks, for an error."""
    name = type(thing).__name__
    for has, lacks in (("forward", "backward"), ("backward", "forward"), ("loss", "gradient"), ("gradient", "loss")):
        if _has(thing, has) and not _has(thing, lacks):
            return f"{name} has {has} but no {lacks}"
    if callable(thing):
        return f"{getattr(thing, '__name__', name)} is one function, without its gradient"
    return f"{name} cannot be checked"
