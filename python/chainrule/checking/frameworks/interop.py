"""PyTorch and JAX as far as the check meets them: never imported here, found where what was handed over is theirs.

A module that a subject of theirs comes from has been imported by the caller. So nothing is paid by who has none.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import FloatArray

#: How far outputs may be from those in float64, of the largest, if both have seen the same noise.
_SAME_NOISE = 1e-2
#: Getter and setter of a generator's state, and what draws from it.
Source = tuple[Callable[[], Any], Callable[[Any], object], Callable[[], object]]


def torch() -> Any:
    """Give PyTorch, if it has been imported; None if not, or not wholly."""
    module = sys.modules.get("torch")
    return module if getattr(module, "nn", None) is not None else None


def jax() -> Any:
    """Give JAX, if it has been imported; None if not, or not wholly."""
    module = sys.modules.get("jax")
    return module if getattr(module, "numpy", None) is not None else None


def is_tensor(thing: Any) -> bool:
    """Tell whether something is a tensor of PyTorch's."""
    found = torch()
    return found is not None and isinstance(thing, found.Tensor)


def is_of_torch(thing: Any) -> bool:
    """Tell whether something may hold numbers of PyTorch's: a tensor, a module, a generator."""
    found = torch()
    return found is not None and isinstance(thing, found.Tensor | found.nn.Module | found.Generator)


def is_torch_generator(thing: Any) -> bool:
    """Tell whether something is a generator of PyTorch's."""
    found = torch()
    return found is not None and isinstance(thing, found.Generator)


def seen_by_numpy(tensor: Any) -> FloatArray | None:
    """Give the array that shares a tensor's memory; None if NumPy cannot look at it, as on another device."""
    with contextlib.suppress(Exception):
        array: FloatArray = tensor.detach().numpy()
        return array
    return None


def torch_sources() -> list[Source]:
    """Give PyTorch's global generator, if there is one."""
    found = torch()
    return [] if found is None else [source_of(found.default_generator)]


def source_of(generator: Any) -> Source:
    """Give what sets back a generator of PyTorch's, as arrays that can be compared."""
    found = torch()
    return (
        lambda: generator.get_state().numpy().copy(),
        lambda state: generator.set_state(found.from_numpy(state.copy())),
        lambda: found.rand(7, generator=generator),
    )


@dataclass(frozen=True)
class Hole:
    """The place of an array in a nest of tuples, lists and dicts."""

    name: str


@dataclass(frozen=True)
class Nest:
    """A tuple, list or dict with holes in it, and how to make it again."""

    kind: type
    keys: tuple[Any, ...] | None
    items: tuple[Any, ...]


def opened(tree: Any, name: str, is_leaf: Callable[[Any], bool]) -> tuple[Any, dict[str, Any]]:
    """Give a nest with holes where its leaves were, and the leaves, by names such as ``x[0]`` or ``options['w']``."""
    if is_leaf(tree):
        return Hole(name), {name: tree}
    if not isinstance(tree, tuple | list | Mapping):
        return tree, {}
    keys = tuple(tree) if isinstance(tree, Mapping) else None
    inside = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
    found = [opened(item, f"{name}[{key!r}]", is_leaf) for key, item in inside]
    leaves = {called: leaf for _, own in found for called, leaf in own.items()}
    return Nest(type(tree), keys, tuple(nest for nest, _ in found)), leaves


def filled(nest: Any, values: Mapping[str, Any]) -> Any:
    """Give what a nest was made of, with values in its holes."""
    if isinstance(nest, Hole):
        return values[nest.name]
    if not isinstance(nest, Nest):
        return nest
    items = [filled(item, values) for item in nest.items]
    if nest.keys is not None:
        return nest.kind(zip(nest.keys, items, strict=True))
    return nest.kind(*items) if hasattr(nest.kind, "_fields") else nest.kind(items)


def flat(tree: Any) -> Iterator[Any]:
    """Give what is in a nest, one after the other."""
    if isinstance(tree, tuple | list):
        for item in tree:
            yield from flat(item)
    elif isinstance(tree, Mapping):
        for item in tree.values():
            yield from flat(item)
    else:
        yield tree


def is_pair(thing: Any) -> bool:
    """Tell whether something is two functions."""
    return isinstance(thing, tuple | list) and len(thing) == 2 and all(map(callable, thing))


def over_arrays(function: Any, taken: Callable[[Any], Any], given: Callable[[Any], Any]) -> Callable[..., Any]:
    """Give a function of arrays that calls one of a framework's arrays: `taken` and `given` turn one into the other."""

    @functools.wraps(function)
    def call(*arguments: Any) -> Any:
        found = function(*map(taken, arguments))
        if isinstance(found, tuple | list) and not hasattr(found, "_fields"):
            return type(found)(map(given, found))
        if isinstance(found, Mapping):
            return {key: given(value) for key, value in found.items()}
        return given(found)

    return call


def nearly(some: Sequence[FloatArray], others: Sequence[FloatArray]) -> bool:
    """Tell whether outputs in two precisions are of the same noise: near each other, beside the largest."""
    pairs = zip(some, others, strict=True)
    return all(np.abs(a - b).max(initial=0) <= _SAME_NOISE * np.abs(b).max(initial=0) for a, b in pairs)
