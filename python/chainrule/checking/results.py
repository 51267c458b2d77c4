"""What forward and backward give, in all the forms that public code gives it in, put in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.arguments import Slot
from chainrule.checking.conventions import (
    INPUT_GRADIENTS,
    INPUT_KEYS,
    LOSSES,
    OUTPUTS,
    PERHAPS_INPUT_GRADIENTS,
    first_of,
    is_gradient_name,
    is_target,
)
from chainrule.nn.parameters.places import CONTAINERS, attributes, gradient_names, is_numbers


@dataclass(frozen=True)
class Outcome:
    """What came out of a forward pass."""

    #: The outputs, floats.
    arrays: list[FloatArray]
    #: Of a dict, its keys; None if not a dict.
    keys: tuple[Any, ...] | None = None
    #: What stood behind the outputs, for backward, and whether anything did.
    cache: Any = None
    has_cache: bool = False
    #: What was given behind the outputs that count, as it was given.
    rest: tuple[Any, ...] = ()
    #: Whether it was a tuple of numbers, such as a loss and a penalty, of which nobody means the mean.
    numbers: bool = False
    #: The attribute that it was left in, if nothing was returned.
    left: str = ""

    def packed(self, douts: Sequence[Any]) -> Any:
        """Give the gradients of the outputs in the form that the outputs had."""
        if self.keys is not None:
            return dict(zip(self.keys, douts, strict=True))
        return tuple(douts) if len(douts) != 1 else douts[0]


def outcome_of(raw: Any, thing: Any, what: str, *, cached: bool) -> Outcome:
    """Tell the outputs from what is kept for backward.

    `raw`: what the forward pass returned; `thing`: where its output may have been left, if that is None; `what`: for
    messages, such as "Affine.forward"; `cached`: whether backward takes a cache, so that the last of several results is
    one.
    """
    if raw is None:
        left = next((name for name in OUTPUTS if is_numbers(getattr(thing, name, None))), None)
        if left is None:
            raise TypeError(
                f"{what} gives None, and leaves nothing in {', '.join(OUTPUTS[:4])} …: return the output, or hand over"
                " a pair of functions (forward, backward)"
            )
        return replace(outcome_of(getattr(thing, left), thing, what, cached=cached), left=left)
    if isinstance(raw, Mapping):
        found = {key: value for key, value in raw.items() if is_numbers(value)}
        if not found:
            raise TypeError(f"{what} gives a dict without numbers in it ({', '.join(map(str, raw)) or 'empty'})")
        loss = first_of(LOSSES, found)
        if loss is not None and is_one(found[loss]) and any(map(is_gradient_name, map(str, found))):
            return Outcome([_floats(found[loss], what)], cache=raw, has_cache=True)
        found = {k: v for k, v in found.items() if np.asarray(v).dtype.kind == "f"} or found  # sizes are handed on
        return Outcome([_floats(value, what) for value in found.values()], tuple(found))
    raw = _without_counts(raw)
    if (
        isinstance(raw, tuple | list)
        and raw
        and any(isinstance(item, np.ndarray) or not is_numbers(item) for item in raw)
    ):
        other = next((i for i, item in enumerate(raw) if not _is_output(item) or (i and _is_mask(item))), None)
        at = len(raw) - 1 if cached and other is None else other  # what stands behind a cache is for nobody
        if isinstance(raw, tuple) and at is not None and at > 0:
            arrays = [_floats(item, what) for item in raw[:at]]
            return Outcome(arrays, cache=raw[at], has_cache=True)
        return Outcome([_floats(item, what) for item in raw])
    return Outcome([_floats(raw, what)], numbers=isinstance(raw, tuple))


def also_left(thing: Any, left: str) -> list[str]:
    """Give the other attributes that forward may have left its output in: ``activatedOutput`` beside ``output``."""
    found = {
        n: a
        for n, a in attributes(thing).items()
        if is_float(a) and n != left and a.shape == np.shape(getattr(thing, left))
    }
    return [n for n in found if n in OUTPUTS or "output" in n.lower() or "activat" in n.lower()]


def _without_counts(raw: Any) -> Any:
    """Give one number out of a tuple of it and whole numbers: a loss, and a count or a penalty of 0 beside it."""
    if not isinstance(raw, tuple) or not all(map(is_one, raw)):
        return raw
    floats = [item for item in raw if np.asarray(item).dtype.kind == "f"]
    return floats[0] if len(floats) == 1 else raw


def without_flags(returned: Any, of: Mapping[str, Any] | None) -> Any:
    """Give what came back without what is no gradient: flags and words.

    `of`: what it could be the gradient of, if a plain number is more likely the loss; None if it is not.
    """
    if isinstance(returned, tuple | list) and any(map(_is_flag, returned)):
        left = [item for item in returned if not _is_flag(item)]
        returned = (tuple(left) if isinstance(returned, tuple) else left) or None
    alone = of is None or [np.size(a) for a in of.values()] == [1]
    is_loss = not alone and isinstance(returned, int | float | np.floating)
    return None if is_loss or _is_flag(returned) else returned


def _is_flag(item: Any) -> bool:
    return isinstance(item, bool | np.bool_ | str)


def _is_mask(item: Any) -> bool:
    """Tell whether something says which numbers were kept: no output that could be differentiated."""
    return isinstance(item, np.ndarray) and item.dtype.kind == "b"


def _is_output(item: Any) -> bool:
    return is_numbers(item) or (hasattr(type(item), "__array__") and not isinstance(item, Mapping | tuple | list))


def _floats(value: Any, what: str) -> FloatArray:
    """Give an output as an array of floats."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths, or of arrays
        array = np.empty(0, object)
    if array.dtype.kind not in "fbiu":
        raise TypeError(f"{what} must give real numbers, got {type(value).__name__} of {array.dtype}")
    return array if array.dtype.kind == "f" else array.astype(np.float64)


@dataclass
class Bound:
    """What backward gave, by the names of what it is the gradient of."""

    #: By the name of an input or parameter. None where None was given in its place.
    gradients: dict[str, Any] = field(default_factory=dict)
    #: Gradients that belong to no input: of parameters, perhaps, in their order.
    extra: list[Any] = field(default_factory=list)
    #: Whether it was their places that told; and whether these were others than those of the arguments, since their
    #: shapes fit in no other way.
    by_position: bool = False
    guessed: bool = False


def bound(returned: Any, inputs: Mapping[str, Any], wrt: Sequence[str] | None, parameters: Sequence[str]) -> Bound:
    """Say of what each of the returned gradients is the gradient.

    In the order of the inputs, or of `wrt`; a dict by names; one array is that of the first input that it fits and that
    is not what a loss is measured against.
    """
    names = list(inputs) if wrt is None else list(wrt)
    if returned is None:
        return Bound()
    if isinstance(returned, Mapping):
        return _by_name(returned, [*names, *parameters], inputs)
    vectors = [a for a in (inputs.get(name) for name in names[:1]) if isinstance(a, np.ndarray) and a.ndim == 1]
    if isinstance(returned, list) and all(map(is_one, returned)) and [a.size for a in vectors] == [len(returned)]:
        returned = np.asarray(returned)  # a list of numbers, for a vector
    if _is_several(returned, names, inputs):
        items = flattened(returned)
        if len(items) > len(names):
            floats = [n for n in names if is_float(inputs.get(n))]
            if len(floats) < len(names) and all(
                fits_exactly(g, inputs[n]) for g, n in zip(items, floats, strict=False)
            ):
                names = floats
            return Bound(dict(zip(names, items, strict=False)), items[len(names) :], by_position=True)
        ordered = _in_order(items, names, inputs)
        return Bound(dict(zip(ordered, items, strict=True)), by_position=True, guessed=ordered != names[: len(items)])
    if isinstance(returned, list | tuple) and len(returned) == 1:
        returned = returned[0]
    name = first_fitting(returned, names, inputs)
    return Bound({name: returned}) if name is not None else Bound(extra=[returned])


def mirrored(returned: Any, slots: Sequence[Slot]) -> dict[str, Any] | None:
    """Give the gradients of arrays deep in the arguments, if what was returned is built like those; or None."""
    if not any(isinstance(keys, tuple) and len(keys) > 1 for slot in slots for keys in slot.inputs):
        return None
    found: dict[str, Any] = {}
    for i, slot in enumerate(slots):
        own = returned
        if len(slots) > 1:
            try:
                own = returned[slot.name if isinstance(returned, Mapping) else i]
            except (KeyError, IndexError, TypeError):
                continue
        for keys, name in slot.inputs.items():
            inside = own
            try:
                for key in keys or ():
                    inside = inside[key]
            except (KeyError, IndexError, TypeError):
                return None
            found[name] = inside
    return found


def _is_several(returned: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> bool:
    if isinstance(returned, tuple):
        return len(returned) != 1
    return isinstance(returned, list) and (_holds_arrays(returned) or len(names) > 1) and len(returned) > 1


def _holds_arrays(item: Any) -> bool:
    """Tell whether a list, or a list within it, holds arrays."""
    return isinstance(item, list | tuple) and any(isinstance(i, np.ndarray) or _holds_arrays(i) for i in item)


def flattened(returned: Sequence[Any]) -> list[Any]:
    """Give the gradients in lists, of a list of arrays among the arguments or of parameters, one after the other.

    What has none, as a layer without weights among others, may be an empty list there.
    """
    found: list[Any] = []
    for item in returned:
        if isinstance(item, list | tuple) and (_holds_arrays(item) or not item):
            found += flattened(item)
        else:
            found.append(item)
    return found


def fits(gradient: Any, array: FloatArray) -> bool:
    """Tell whether a gradient could be that of an array by its shape, leading axes of length 1 aside."""
    shape = _shape(gradient)
    return gradient is not None and shape is not None and long_axes(shape) == long_axes(array.shape)


def long_axes(shape: Sequence[int]) -> list[int]:
    """Give a shape without its axes of length 1."""
    return [n for n in shape if n != 1]


def _shape(value: Any) -> tuple[int, ...] | None:
    """Give the shape of something; None if it has none, as a list of arrays."""
    try:
        return tuple(np.shape(value))
    except ValueError:
        return None


def is_one(value: Any) -> bool:
    """Tell whether something is one real number."""
    if isinstance(value, tuple | list | Mapping):
        return False
    try:
        array = np.asarray(value)
    except ValueError:
        return False
    return array.size == 1 and array.dtype.kind in "fbiu"


def is_float(value: Any) -> bool:
    """Tell whether something is an array that can be moved."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def fits_exactly(gradient: Any, array: Any) -> bool:
    """Tell whether a gradient has the shape of its array; None fits all."""
    return gradient is None or _shape(gradient) == np.shape(array)


def _in_order(items: Sequence[Any], names: Sequence[str], inputs: Mapping[str, Any]) -> list[str]:
    """Give the names that the items go with: the first, unless only others have their shapes.

    Those are in the same order, if there are such; of equal shapes the first comes first.
    """
    first = list(names[: len(items)])
    if all(fits_exactly(g, inputs.get(n)) for g, n in zip(items, first, strict=True)):
        return first
    free = [n for n in names if not is_target(n, list(names)) and is_float(inputs.get(n))]
    for again in (False, True):  # in the same order, or in any
        chosen: list[str] = []
        for item in items:
            later = free[free.index(chosen[-1]) + 1 :] if chosen and not again else free
            one = next((n for n in later if n not in chosen and fits_exactly(item, inputs[n])), None)
            if one is None or (again and item is None):
                break
            chosen.append(one)
        else:
            return chosen
    return first


def candidates(gradient: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> list[str]:
    """Give the inputs that a single gradient could be that of, by its shape and their names; the likeliest first."""
    floats = [n for n in names if is_float(inputs.get(n))]
    fitting = [n for n in floats if fits_exactly(gradient, inputs[n])]
    by_name = [n for n in fitting if not is_target(n, fitting)]
    return by_name or fitting or [n for n in floats if not is_target(n, floats)] or floats


def first_fitting(gradient: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> str | None:
    """Give the input that a single gradient is most likely that of; None if nothing can be moved."""
    return next(iter(candidates(gradient, names, inputs)), None)


def _by_name(returned: Mapping[Any, Any], names: Sequence[str], inputs: Mapping[str, Any]) -> Bound:
    keys = {str(key): key for key in returned}
    found = Bound()
    for name in names:
        own = bare(name)
        key = next((k for k in (own, *gradient_names(own)) if k in keys), None)
        if key is not None:  # it is of no other
            found.gradients[name] = returned[keys.pop(key)]
    if not names or any(name in inputs for name in found.gradients):
        return found
    # Beside those of parameters, what is called like something inside is not the input's.
    doubtful = PERHAPS_INPUT_GRADIENTS if found.gradients else ()
    for key in places_of_input(names):
        if key in keys and key not in doubtful and fits_exactly(returned[keys[key]], inputs.get(names[0])):
            found.gradients[names[0]] = returned[keys.pop(key)]
    return found


def bare(name: str) -> str:
    """Give the last part of a name: of an array in a dict its key, of one in an object its attribute."""
    return name.rpartition("['")[2].rstrip("']").rpartition(".")[2]


def left_in(
    thing: Any, names: Sequence[str], inputs: Mapping[str, Any], beside: Sequence[Any]
) -> tuple[str, Any] | None:
    """Give the gradient of an input that backward left in an attribute or in a dict of gradients, and its name.

    What could be the gradient of something else, by its name, counts only if it fits; and what is called ``gradient``
    alone not if it is that of a parameter, of those `beside` them.
    """
    found = [(name, getattr(thing, name, None)) for name in INPUT_GRADIENTS]
    found = [(n, g) for n, g in found if n not in ("grad", "gradient") or not any(g is other for other in beside)]
    for container in CONTAINERS:
        inside = getattr(thing, container, None)
        if isinstance(inside, Mapping):
            found += [(f"{container}[{key!r}]", inside.get(key)) for key in places_of_input(names)]
    numbers = [(name, value) for name, value in found if is_numbers(value)]
    fitting = [(name, value) for name, value in numbers if any(fits_exactly(value, inputs[n]) for n in names)]
    return next(iter(fitting or [pair for pair in numbers if pair[0] not in PERHAPS_INPUT_GRADIENTS]), None)


def places_of_input(names: Sequence[str]) -> tuple[str, ...]:
    """Give the keys that the gradient of the first of these inputs may have in a dict of gradients."""
    own = [key for name in names[:1] for key in (name, *gradient_names(name))]
    return tuple(dict.fromkeys((*own, *INPUT_GRADIENTS, *INPUT_KEYS)))


def order_by_shape(items: Sequence[Any], inputs: Mapping[str, Any]) -> tuple[str | None, ...]:
    """Give the input that each gradient fits, in their order; None where it fits none, as that of a parameter."""
    free = [n for n, a in inputs.items() if is_float(a) and not is_target(n, list(inputs))]
    order: list[str | None] = []
    for item in items:
        one = next((n for n in free if item is not None and fits_exactly(item, inputs[n])), None)
        order.append(one)
        free = [n for n in free if n != one]
    return tuple(order)
