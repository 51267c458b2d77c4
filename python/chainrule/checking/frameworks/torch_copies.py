"""Double copies of code for PyTorch: modules, and functions that have hold of some."""

from __future__ import annotations

import copy
import types
from typing import Any

from chainrule.checking.frameworks.interop import is_tensor, is_torch_generator, torch
from chainrule.checking.reach import GENERATORS, codes, reach

#: Whose functions hold no tensors of anybody's.
_LIBRARIES = ("torch", "numpy", "builtins", "math")


def double_copy(function: Any, thing: Any) -> tuple[Any, Any, dict[int, Any]]:
    """Give copies of a function and of the thing it belongs to, in float64, and by id the copies of tensors."""
    # Generators are set back for both, so both see the same noise.
    generators = (g for _, g in reach(subject=thing).values() if isinstance(g, GENERATORS) or is_torch_generator(g))
    memo: dict[int, Any] = {id(g): g for g in generators}
    own = thing if thing is not function else None
    copied = _double(function, memo)
    return copied, _double(own, memo) if own is not None else copied, memo


def _double(value: Any, memo: dict[int, Any]) -> Any:
    """Give a copy with all tensors of floats double; the thing itself where there are none in it."""
    if id(value) in memo:
        return memo[id(value)]
    if isinstance(value, torch().nn.Module):
        found = copy.deepcopy(value, memo).double()
        memo |= _others_double(found, memo)
        return found
    if is_tensor(value):
        found = value.detach().clone()
        found = found.double() if value.is_floating_point() else found
        memo[id(value)] = found.requires_grad_(value.requires_grad)
        return memo[id(value)]
    if isinstance(value, types.MethodType):
        owner = _double(value.__self__, memo)
        return value if owner is value.__self__ else types.MethodType(value.__func__, owner)
    if isinstance(value, types.FunctionType):
        return _double_function(value, memo)
    if type(value) in (list, tuple):
        items = [_double(item, memo) for item in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else type(value)(items)
    if type(value) is dict:
        changed = {key: _double(item, memo) for key, item in value.items()}
        return value if all(changed[key] is item for key, item in value.items()) else changed
    return value


def _others_double(module: Any, memo: dict[int, Any]) -> dict[int, Any]:
    """Make double the tensors that a module holds as plain attributes."""
    for inner in module.modules():
        for name, value in vars(inner).items():
            if is_tensor(value) and value.is_floating_point() and not value.requires_grad:
                setattr(inner, name, value.double())
    return memo


def _double_function(function: Any, memo: dict[int, Any]) -> Any:
    """Give a function with copies of what it encloses and names; itself if nothing of that is of PyTorch's."""
    if function.__module__ is None or function.__module__.partition(".")[0] in _LIBRARIES:
        return function
    memo[id(function)] = function  # as one that calls itself
    cells = function.__closure__ or ()
    held = [_double(cell.cell_contents, memo) for cell in cells]
    names = {name for code in codes(function.__code__) for name in code.co_names} & function.__globals__.keys()
    others = {name: _double(function.__globals__[name], memo) for name in names}
    others = {name: value for name, value in others.items() if value is not function.__globals__[name]}
    if not others and all(cell.cell_contents is value for cell, value in zip(cells, held, strict=True)):
        return function
    found = types.FunctionType(
        function.__code__, {**function.__globals__, **others}, function.__name__, function.__defaults__,
        tuple(map(types.CellType, held)),
    )  # fmt: skip
    found.__kwdefaults__, found.__dict__ = function.__kwdefaults__, dict(function.__dict__)
    memo[id(function)] = found
    return found
