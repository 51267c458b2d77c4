"""How what was handed over is understood: a layer, a network, a pair; as public code writes them.

Names and signatures tell most, and one forward pass the rest. Where two ways to understand a subject are left, both are
given: the first that agrees with the numbers is what was meant, and that is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from chainrule.checking.arguments import given_twice, required
from chainrule.checking.conventions import BACKWARD, DERIVATIVES, FORWARD, VALUES
from chainrule.checking.frameworks import interop
from chainrule.checking.layer import LayerSubject
from chainrule.checking.network import LossSubject, NetworkSubject
from chainrule.checking.of_module import ModuleSubject
from chainrule.checking.pair import BothSubject, MethodsSubject, PairSubject
from chainrule.checking.parts import PartsSubject
from chainrule.checking.randomness import Randomness
from chainrule.checking.reach import reach
from chainrule.checking.reader import USAGE, Asked, Reader, kind_of, without_gradient
from chainrule.checking.state import State
from chainrule.checking.subject import Subject
from chainrule.checking.values import place_not_finite

#: The kinds of subject, each with what it says of itself; the first that takes a thing is what it is. Before them come
#: those of the frameworks.
KINDS: tuple[type[Subject], ...] = (
    PairSubject, NetworkSubject, PartsSubject, LayerSubject, MethodsSubject, LossSubject, ModuleSubject, BothSubject,
)  # fmt: skip
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
) -> Sequence[Subject]:
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
    found = _read(Reader(thing, arguments, asked, randomness or Randomness(reach(subject=thing))))
    if before is not None:
        before.restore()
    for subject in found:
        _expect_something_to_do(subject)
    return found


def _read(reader: Reader) -> Sequence[Subject]:
    """Give all ways; where one array is given for two arguments, it may have two gradients, or one in all."""
    if not given_twice(reader.arguments):
        return _what_it_is(reader)
    apart: Sequence[Subject] = ()
    error: Exception | None = None
    try:
        apart = _what_it_is(reader)
    except (TypeError, ValueError) as raised:
        error = raised
    try:
        together = _what_it_is(replace(reader, tied=True))
    except Exception:
        if error is not None:
            raise error from None
        return apart
    for way in together:
        way.read_as = ("what is given for several arguments has one gradient", *way.read_as)
    return [*apart, *together]


def _what_it_is(reader: Reader) -> Sequence[Subject]:
    """Tell what kind it is: that which takes it first."""
    if reader.asked.kind is not None:
        found = reader.asked.kind.read(reader)
    elif reader.asked.forward or reader.asked.backward:
        found = PairSubject.read(reader) or _methods(reader, *_named_methods(reader))
    else:
        found = next((ways for kind in (*_of_frameworks(), *KINDS) if (ways := kind.read(reader))), ())
    if not found:
        raise TypeError(f"{_missing(reader)}; {USAGE}")
    return found


def _of_frameworks() -> Iterator[type[Subject]]:
    """Give the kinds of those frameworks that have been imported: nobody else's check reads their code."""
    if interop.torch() is not None:
        from chainrule.checking.frameworks.torch_subject import TorchSubject  # see above

        yield TorchSubject
    if interop.jax() is not None:
        from chainrule.checking.frameworks.jax_subject import JaxSubject  # the same

        yield JaxSubject


def _named_methods(reader: Reader) -> tuple[str, str]:
    asked, names = reader.asked, []
    ahead, back = (*FORWARD, *VALUES), (*BACKWARD, *DERIVATIVES)
    for given, known, way in ((asked.forward, ahead, "forward"), (asked.backward, back, "backward")):
        name = given or reader.first(known)
        if name is None or not callable(getattr(reader.thing, name, None)):
            what = f"no method {name!r}" if name else f"no method to go {way}: name it, {way}='…'"
            raise TypeError(f"{type(reader.thing).__name__} has {what}")
        names.append(name)
    return names[0], names[1]


def _methods(reader: Reader, ahead: str, back: str) -> Sequence[Subject]:
    """Two methods that were named: a layer's, or a value and its derivative."""
    forward, backward = getattr(reader.thing, ahead), getattr(reader.thing, back)
    asks, gives = required(backward), required(forward)
    if asks and asks == gives[: len(asks)] and len(asks) == len(reader.arguments):
        return MethodsSubject.by_methods(reader, ahead, back)
    parts = PartsSubject.by_methods(reader, ahead, back) if len(gives) < len(reader.arguments) else ()
    return parts or LayerSubject.by_methods(reader, ahead, back)


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


def _missing(reader: Reader) -> str:
    """Say what a thing lacks, for an error."""
    thing, name = reader.thing, type(reader.thing).__name__
    for has, lacks in (("forward", "backward"), ("backward", "forward"), ("loss", "gradient"), ("gradient", "loss")):
        if reader.has(has) and not reader.has(lacks):
            return f"{name} has {has} but no {lacks}"
    if callable(thing):
        return without_gradient(thing)
    return f"{name} cannot be checked"
