"""What forward and backward give, in all the forms that public code gives it in, put in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.conventions import INPUT_GRADIENTS, OUTPUTS, is_target
from chainrule.nn.parameters.places import gradient_names, is_numbers


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
        raw = getattr(thing, left)
    if isinstance(raw, Mapping):
        found = {key: value for key, value in raw.items() if is_numbers(value)}
        if not found:
            raise TypeError(f"{what} gives a dict without numbers in it ({', '.join(map(str, raw)) or 'empty'})")
        return Outcome([_floats(value, what) for value in found.values()], tuple(found))
    if (
        isinstance(raw, tuple | list)
        and raw
        and any(isinstance(item, np.ndarray) or not is_numbers(item) for item in raw)
    ):
        other = next((i for i, item in enumerate(raw) if not _is_output(item)), None)
        at = len(raw) - 1 if cached and other is None else other  # what stands behind a cache is for nobody
        if isinstance(raw, tuple) and at is not None and at > 0:
            arrays = [_floats(item, what) for item in raw[:at]]
            return Outcome(arrays, cache=raw[at], has_cache=True)
        return Outcome([_floats(item, what) for item in raw])
    return Outcome([_floats(raw, what)])


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


def bound(returned: Any, inputs: Mapping[str, Any], wrt: Sequence[str] | None, parameters: Sequence[str]) -> Bound:
    """Say of what each of the returned gradients is the gradient.

    In the order of the inputs, or of `wrt`; a dict by names; one array is that of the first input that it fits and that
    is not what a loss is measured against.
    """
    names = list(inputs) if wrt is None else list(wrt)
    if returned is None:
        return Bound()
    if isinstance(returned, Mapping):
        return _by_name(returned, [*names, *parameters])
    if _is_several(returned, names, inputs):
        items = list(_flattened(returned))
        if len(items) > len(names):
            floats = [n for n in names if is_float(inputs.get(n))]
            if len(floats) < len(names) and all(_fits(g, inputs[n]) for g, n in zip(items, floats, strict=False)):
                names = floats
            return Bound(dict(zip(names, items, strict=False)), items[len(names) :])
        return Bound(dict(zip(_in_order(items, names, inputs), items, strict=True)))
    if isinstance(returned, list | tuple) and len(returned) == 1:
        returned = returned[0]
    name = first_fitting(returned, names, inputs)
    return Bound({name: returned}) if name is not None else Bound(extra=[returned])


def _is_several(returned: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> bool:
    if isinstance(returned, tuple):
        return len(returned) != 1
    holds_arrays = isinstance(returned, list) and any(isinstance(item, np.ndarray) for item in returned)
    return isinstance(returned, list) and (holds_arrays or len(names) > 1) and len(returned) > 1


def _flattened(returned: Sequence[Any]) -> Any:
    """Give the gradients in lists, of a list of arrays among the arguments or of parameters, one after the other."""
    for item in returned:
        if isinstance(item, list | tuple) and all(isinstance(inner, np.ndarray) for inner in item):
            yield from item
        else:
            yield item


def fits(gradient: Any, array: FloatArray) -> bool:
    """Tell whether a gradient could be that of an array by its shape, leading axes of length 1 aside."""
    shape, own = [n for n in np.shape(gradient) if n != 1], [n for n in array.shape if n != 1]
    return gradient is not None and shape == own


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


def _fits(gradient: Any, array: Any) -> bool:
    return gradient is None or np.shape(gradient) == np.shape(array)


def _in_order(items: Sequence[Any], names: Sequence[str], inputs: Mapping[str, Any]) -> list[str]:
    """Give the names that the items go with: the first, unless only others, in the same order, have their shapes."""
    chosen, left = [], [n for n in names if not is_target(n, list(names))]
    for item in items:
        at = next((i for i, n in enumerate(left) if is_float(inputs.get(n)) and _fits(item, inputs[n])), None)
        if at is None:
            return list(names[: len(items)])
        chosen.append(left[at])
        left = left[at + 1 :]
    first = list(names[: len(items)])
    return first if all(_fits(g, inputs.get(n)) for g, n in zip(items, first, strict=True)) else chosen


def candidates(gradient: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> list[str]:
    """Give the inputs that a single gradient could be that of, by its shape and their names; the likeliest first."""
    floats = [n for n in names if is_float(inputs.get(n))]
    fitting = [n for n in floats if _fits(gradient, inputs[n])]
    by_name = [n for n in fitting if not is_target(n, fitting)]
    return by_name or fitting or [n for n in floats if not is_target(n, floats)] or floats


def first_fitting(gradient: Any, names: Sequence[str], inputs: Mapping[str, Any]) -> str | None:
    """Give the input that a single gradient is most likely that of; None if nothing can be moved."""
    return next(iter(candidates(gradient, names, inputs)), None)


def _by_name(returned: Mapping[Any, Any], names: Sequence[str]) -> Bound:
    keys = {str(key): key for key in returned}
    found = Bound()
    for name in names:
        bare = name.rpartition("['")[2].rstrip("']")  # of an array in a dict, the name is its key
        key = next((keys[k] for k in (bare, *gradient_names(bare)) if k in keys), None)
        if key is not None:
            found.gradients[name] = returned[key]
    return found


def left_in(thing: Any) -> tuple[str, Any] | None:
    """Give the gradient of the input that backward left in an attribute, and its name."""
    for name in INPUT_GRADIENTS:
        value = getattr(thing, name, None)
        if is_numbers(value):
            return name, value
    return None
