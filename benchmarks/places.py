"""Whether the place that a report names is one where the derivatives are wrong, by differences of our own.

The check weights the outputs with numbers that nobody else knows. So the outputs are looked at one by one: an entry is
wrong if what goes back to it from any of them is not the difference that it makes to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from chainrule.checking.frameworks.jax_arrays import float64

#: What the two may differ by, of the largest of them, in float64.
_ALLOWED = 1e-5
_STEP = 1e-5
#: What goes back to an output: not 1, which is its own square.
_TWICE = 2.0

#: Given arrays, gives all outputs as one vector; and the same with what goes back from each output to every array.
Values = Callable[[Sequence[Any]], Any]
Jacobians = Callable[[Sequence[Any]], list[Any]]


def is_right(where: tuple[int, ...], array: int, arrays: Sequence[Any], values: Values, jacobians: Jacobians) -> bool:
    """Tell whether the derivatives by one entry of one of the arrays are wrong."""
    given = np.asarray(jacobians([a.copy() for a in arrays])[array])
    claimed = given.reshape(len(given), *arrays[array].shape)[(slice(None), *where)]
    sides = []
    for way in (1, -1):
        moved = [a.copy() for a in arrays]
        moved[array][where] += way * _STEP
        sides.append(np.asarray(values(moved)))
    numeric = (sides[0] - sides[1]) / (2 * _STEP)
    off = np.abs(claimed - numeric)
    return bool((~(off <= _ALLOWED * np.abs(numeric).max(initial=1e-4))).any())


def of_torch(thing: Any, args: Sequence[Any], report: Any) -> bool | None:
    """Tell whether the place named for a function of tensors is right; None if there is none to judge."""
    torch: Any = import_module("torch")
    tensors = [a for a in args if torch.is_tensor(a) and a.is_floating_point()]
    found = _worst(report, tensors) if not isinstance(thing, (tuple, torch.nn.Module)) else None
    if found is None:
        return None

    def outputs(arrays: Sequence[Any]) -> tuple[list[Any], Any]:
        inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
        left = iter(inputs)
        out = thing(*(next(left) if torch.is_tensor(a) and a.is_floating_point() else a for a in args))
        outs = out if isinstance(out, tuple) else (out,)
        return inputs, torch.cat([o.reshape(-1) for o in outs if torch.is_tensor(o) and o.is_floating_point()])

    def jacobians(arrays: Sequence[Any]) -> list[Any]:
        rows: list[list[Any]] = [[] for _ in arrays]
        for i in range(outputs(arrays)[1].numel()):
            inputs, flat = outputs(arrays)
            back = torch.autograd.grad(_TWICE * flat[i], inputs, allow_unused=True)
            for j, (g, a) in enumerate(zip(back, arrays, strict=True)):
                rows[j].append(np.zeros(a.shape) if g is None else g.detach().numpy() / _TWICE)
        return [np.stack(row) for row in rows]

    arrays = [t.detach().double().numpy().copy() for t in tensors]
    return is_right(found[1], found[0], arrays, lambda a: outputs(a)[1].detach().numpy().copy(), jacobians)


def of_jax(thing: Any, args: Sequence[Any], report: Any) -> bool | None:
    """Tell whether the place named for a function of arrays is right; None if there is none to judge."""
    jax: Any = import_module("jax")
    arrays = [np.asarray(a) for a in args if hasattr(a, "dtype") and np.dtype(a.dtype).kind == "f"]
    if isinstance(thing, tuple) or len(arrays) != len(args):
        return None
    found = _worst(report, arrays)
    if found is None:
        return None

    def flat(*given: Any) -> Any:
        leaves = jax.tree_util.tree_leaves(thing(*given))
        return jax.numpy.concatenate([jax.numpy.ravel(leaf) for leaf in leaves])

    def jacobians(given: Sequence[Any]) -> list[Any]:
        if "jvp" in found[2]:
            return [_forwards(jax, flat, given, j) for j in range(len(given))]
        out, back = jax.vjp(flat, *given)
        rows = [back(_TWICE * unit) for unit in jax.numpy.eye(out.size, dtype=out.dtype)]
        return [np.stack([np.asarray(row[j]) / _TWICE for row in rows]) for j in range(len(given))]

    with float64():
        wide = [a.astype(np.float64) for a in arrays]
        try:
            return is_right(found[1], found[0], wide, lambda a: np.asarray(flat(*a)), jacobians)
        except Exception:  # a mode that there is not, or that it takes float32 for
            return None


def _forwards(jax: Any, flat: Any, given: Sequence[Any], j: int) -> Any:
    """Give the derivatives by one argument, a tangent at a time."""
    columns = []
    for unit in np.eye(given[j].size):
        tangents = [np.zeros_like(a) for a in given]
        tangents[j] = _TWICE * unit.reshape(given[j].shape)
        columns.append(np.asarray(jax.jvp(flat, tuple(given), tuple(tangents))[1]) / _TWICE)
    return np.stack(columns, axis=1)


def _worst(report: Any, inputs: Sequence[Any]) -> tuple[int, tuple[int, ...], str] | None:
    """Give the number of the argument that is wrong, the entry, and the name; None if no entry is named."""
    compared = [a for a in report.arrays if "jvp" not in a.name]
    for check in report.arrays:
        if check.verdict != "wrong" or not check.checked or not (check.where or not check.shape):
            continue
        names = [a.name for a in compared]
        name = check.name.partition(" ")[0]
        if len(names) == len(inputs) and name in names:
            return names.index(name), tuple(check.where), check.name
    return None
