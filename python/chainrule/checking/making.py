"""Objects and arguments for what was found in a file, when nobody says: guessed, kind of input by kind.

The first arguments that a subject takes, and gives finite numbers for, are those that count: it is never searched until
something is called right. Batches come before single examples, since one example hides what is not added up.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from chainrule.checking.arguments import required
from chainrule.checking.filling import (
    Draw,
    argument,
    for_constructor,
    for_forward,
    is_label,
    label_styles,
    told,
    told_named,
)
from chainrule.checking.finding import Found
from chainrule.checking.guesses import KINDS, ONE_EACH, PROBABILITIES, VECTOR, VECTORS, WEIGHTS, Kind


@dataclass(frozen=True)
class Made:
    """A subject and its arguments."""

    subject: Any
    arguments: tuple[Any, ...]
    #: What was made, for people: ``Dense(n_in=4, n_out=3).forward(x (5, 4))``.
    told: str
    #: The kind of input.
    kind: Kind
    #: Whether the inputs are between 0 and 1.
    positive: bool = False


class CannotMakeError(TypeError):
    """A class asks for something of which no table says what it is."""


def guesses(found: Found, seed: int, untaken: Callable[[Exception, bool], None]) -> Iterator[Made]:
    """Give what can be made and is taken, the likeliest first.

    `untaken`: is told why a guess was not taken, and whether an object was made at all.
    """
    for kind, variant, labels, positive in _draws(found):
        made: Made | None = None
        try:
            with quiet(), drawn_from(seed):
                made = _make(found, Draw(kind, variant, labels, positive, np.random.default_rng(seed)))
                _run(found, made)
            with quiet(), drawn_from(seed):  # what a trial leaves behind shall not count
                made = _make(found, Draw(kind, variant, labels, positive, np.random.default_rng(seed)))
        except CannotMakeError:
            raise
        except Exception as error:  # anything that somebody's code may raise is a reason
            untaken(error, made is not None)
            continue
        yield made


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Of the arguments tried, some may not be for it: no warning says so."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """Let constructors that draw from the global generators draw the same each time."""
    before, also = np.random.get_state(), random.getstate()
    np.random.seed(seed % 2**32)
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
        random.setstate(also)


def _draws(found: Found) -> Iterator[tuple[Kind, int, str, bool]]:
    """Give all guesses in their order: kinds of input, what goes along with them, ways to write labels, signs."""
    names = _asked(found)
    constructed = _constructed_with(found)
    styles = label_styles(found, names)
    first_positive = found.is_loss and any(name in PROBABILITIES for name in names)
    # A loss entry by entry takes whole numbers too, and makes nonsense of them: those come last.
    groups = [styles] if styles[0] == "ids" else [[style] for style in styles]
    for styles, kind in product(groups, _kinds(found, names)):
        specs = [for_forward(name, i, names, kind) for i, name in enumerate(names)]
        specs += [for_constructor(found, name, list(constructed), a, kind) for name, a in constructed.items()]
        variants = max([1, *map(len, specs)])
        for variant, labels, positive in product(range(variants), styles, (False, True)):
            yield kind, variant, labels, positive != first_positive


def _kinds(found: Found, names: Sequence[str]) -> Sequence[Kind]:
    """Give the kinds of input in their order; a mere function of a vector is given one first."""
    if found.kind.of_vectors:
        return VECTORS
    layer_like = isinstance(found.thing, tuple) and required(found.thing[0]) != required(found.thing[1])
    of_a_vector = found.kind.of_entries and not found.is_loss and not layer_like
    if of_a_vector and not any(name in WEIGHTS or is_label(found, name, names) for name in names):
        return (*VECTORS, *(kind for kind in KINDS if kind is not VECTOR))
    measured = found.is_loss and not found.kind.takes_data and any(is_label(found, name, names) for name in names)
    return [kind for kind in KINDS if (not kind.group.startswith("images") if measured else kind is not ONE_EACH)]


def _asked(found: Found) -> list[str]:
    """Give the names of what the way forwards has to be given."""
    names = required(found.function(found.thing))
    if not isinstance(found.thing, type):
        return names
    method = inspect.getattr_static(found.thing, found.forward)
    return names if isinstance(method, staticmethod | classmethod) else names[1:]


def _constructed_with(found: Found) -> dict[str, Any]:
    """Give the names of what a class has to be given, with their annotations."""
    if not isinstance(found.thing, type):
        return {}
    try:
        asked = inspect.signature(found.thing).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {
        p.name: p.annotation for p in asked if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _make(found: Found, draw: Draw) -> Made:
    names = _asked(found)
    subject, text = found.thing, found.name
    if isinstance(found.thing, type):
        given = _constructor(found, draw)
        subject = _construct(found.thing, given)
        text += f"({', '.join(told_named(name, value) for name, value in given.items())})"
    if not (isinstance(subject, tuple) or inspect.isroutine(subject) or found.forward == "__call__"):
        text += f".{found.forward}"
    arguments = tuple(argument(found, name, i, names, draw) for i, name in enumerate(names))
    shown = ", ".join(told_named(name, value) for name, value in zip(names, arguments, strict=True))
    return Made(subject, arguments, f"{text}({shown})", draw.kind, draw.positive)


def _constructor(found: Found, draw: Draw) -> dict[str, Any]:
    asked = _constructed_with(found)
    given = {}
    for name, annotation in asked.items():
        specs = for_constructor(found, name, list(asked), annotation, draw.kind)
        if not specs:
            raise CannotMakeError(
                f"do not know what to pass as {name}; say so in the file: CHECKS = {{{found.name!r}: lambda rng: …}}"
            )
        given[name] = draw.value(specs, positive=name.endswith("var"))
    return given


def _construct(kind: type, given: Mapping[str, Any]) -> Any:
    asked = inspect.signature(kind).parameters.values() if given else ()
    first = [given[p.name] for p in asked if p.kind is p.POSITIONAL_ONLY and p.name in given]
    return kind(*first, **{p.name: given[p.name] for p in asked if p.kind is not p.POSITIONAL_ONLY and p.name in given})


def _forwards(found: Found, made: Made, arguments: Sequence[Any]) -> Any:
    """Go forwards with copies."""
    copies = [np.array(a) if isinstance(a, np.ndarray) else dict(a) if isinstance(a, dict) else a for a in arguments]
    return found.function(made.subject)(*copies)


def mixes_examples(found: Found, made: Made) -> bool:
    """Tell whether what comes out for one of several examples is not what comes out for it alone."""
    axis = -1 if made.kind.group == "columns" else 0
    count = made.kind.sizes(made.kind.shape)[axis] if made.kind.shape else 0

    def last(array: Any) -> Any:
        several = isinstance(array, np.ndarray) and array.ndim and array.shape[axis] == count
        return np.take(array, [-1], axis) if several else array

    try:
        with quiet():
            several = np.asarray(_forwards(found, made, made.arguments))
            one = np.asarray(_forwards(found, made, [last(array) for array in made.arguments]))
            return bool(last(several).shape == one.shape != several.shape and not np.allclose(last(several), one))
    except Exception:  # it takes no single one
        return False


def _run(found: Found, made: Made) -> None:
    """Go forwards once; raise if what comes out is not finite numbers."""
    out = _forwards(found, made, made.arguments)
    if found.kind.gives_both:
        _expect_value_and_gradient(out, made)
    if out is None and found.kind.leaves_outputs:
        return  # its results lie in attributes
    out = next(iter(out.values())) if isinstance(out, dict) and out else out
    first = out[0] if isinstance(out, tuple) and out else out
    if first is None:
        raise ValueError(f"{found.forward} gives None")
    numbers = np.asarray(first, np.float64)
    if not numbers.size or not np.isfinite(numbers).all():
        raise ValueError("its output is empty" if not numbers.size else "its output is not finite")
    if found.kind.of_vectors or (made.kind is VECTOR and numbers.size == 1):
        _expect_all_derivatives(found, made, numbers.size)
    names = _asked(found)
    measured = [a for name, a in zip(names, made.arguments, strict=True) if not is_label(found, name, names)]
    if len(measured) < len(names) and numbers.size > 1 and found.kind.of_entries:
        _expect_one_each(numbers.shape, np.shape(measured[0]) if measured else (), made.kind)


def _expect_all_derivatives(found: Found, made: Made, count: int) -> None:
    """Raise unless there are as many derivatives as numbers that come out times numbers of an argument.

    Of one number it is told only where they would be right for a vector of another size: what is wrong is to be shown.
    """
    given = found.derivative(made.subject)(*(np.array(a) for a in made.arguments))
    if isinstance(given, tuple | dict):
        return
    sizes = {count * np.size(a) for a in made.arguments}
    size = math.prod(given.shape) if hasattr(given, "shape") else np.size(given)
    if size not in sizes and (count > 1 or any(size == int(kind.shape) for kind in VECTORS[1:] if size > 1)):
        raise ValueError(f"{count} numbers come out, and there are {size} derivatives")


def _expect_value_and_gradient(out: Any, made: Made) -> None:
    """Raise unless it is one number and a gradient, of the shape of an argument, or several."""
    shapes = {np.shape(a) for a in made.arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f"}
    if isinstance(out, tuple) and len(out) == 2 and isinstance(out[0], float | int | np.number):
        if isinstance(out[1], dict | tuple | list) and out[1]:
            return
        if isinstance(out[1], np.ndarray) and out[1].shape in shapes:
            return
    raise ValueError("it does not give (value, gradient)")


def _expect_one_each(out: tuple[int, ...], given: tuple[int, ...], kind: Kind) -> None:
    """Raise unless a loss of several numbers has one for each example, or each entry."""
    each = given[1:] if kind.group == "columns" else given[:-1]
    if out not in (given, each, (*each, 1), (1, *each)):
        raise ValueError(
            f"it gives {told(np.empty(out))} for {told(np.empty(given))}: neither one number nor one for each example"
        )
