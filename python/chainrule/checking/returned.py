"""The names of the variables that a function returns, ``return dx, dW``: they tell what each is the gradient of."""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any

from chainrule.checking.results import fits_exactly, is_float
from chainrule.nn.parameters.places import gradient_names


def order_by_name(returned: Sequence[str], inputs: Mapping[str, Any], items: Sequence[Any]) -> tuple[str | None, ...]:
    """Give the input that each gradient is of by the name of the variable that was returned; () if they do not tell."""
    order: list[str | None] = []
    floats = [n for n, a in inputs.items() if is_float(a)]
    for name, item in zip(returned, items, strict=True):
        free = [n for n in floats if n not in order and fits_exactly(item, inputs[n])]
        order.append(next((n for n in free if name in gradient_names(n)), None))
    return tuple(order) if any(order) else ()


def returned_names(function: Any) -> tuple[str, ...]:
    """Give the names of the variables or attributes in a function's last ``return a, b``; () if it has none."""
    function = getattr(function, "__func__", function)
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    if not isinstance(code, types.CodeType):
        return ()
    found: tuple[str, ...] = ()
    stack: list[tuple[str, ...]] = []
    built = False
    for step in dis.get_instructions(code):
        if step.opname == "RETURN_VALUE" and built and stack:
            found = stack[-1]
        stack = _after(step, stack)
        built = step.opname == "BUILD_TUPLE" and bool(step.argval)
    return found


def _after(step: dis.Instruction, stack: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Give what lies on the stack after a step of the machine, the last on top: names, "" for what has none.

    Those in a list or tuple are one after the other.
    """
    name, grows = step.opname, dis.stack_effect(step.opcode, step.arg)
    if name in ("BUILD_LIST", "BUILD_TUPLE") and step.argval:
        rest, inside = stack[: -step.argval], stack[-step.argval :]
        return [*rest, tuple(one for names in inside for one in names)]
    if name.startswith("LOAD_FAST") or name in ("LOAD_DEREF", "LOAD_GLOBAL"):
        several = step.argval if isinstance(step.argval, tuple) else ("",) * (grows - 1) + (step.argval,)
        return [*stack, *((str(one),) for one in several)]
    if name in ("LOAD_ATTR", "LOAD_METHOD") and stack:
        return [*stack[:-1], *[("",)] * grows, (str(step.argval),)]
    if name in ("CACHE", "EXTENDED_ARG", "NOP", "RESUME"):
        return stack
    if name == "BINARY_SUBSCR":  # hs[-1] goes by the name of hs
        return stack[:-1]
    if name.startswith(("STORE", "POP", "RETURN", "FOR_ITER")) or "JUMP" in name:
        return []
    return [*stack, ("",)] if grows > 0 else [*stack[: len(stack) - 1 + grows], ("",)]
