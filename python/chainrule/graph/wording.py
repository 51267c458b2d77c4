"""Numbers, arrays and names as drawings and explanations write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from chainrule.graph.variable import Variable

#: An array of so many numbers is written out; of a longer one, shape and norm.
_WRITTEN_OUT = 4


def number(value: Any) -> str:
    """Give six digits of a number."""
    return f"{float(value):.6g}"


def is_long(value: Any) -> bool:
    """Tell whether `value` is an array that is not written out."""
    return np.ndim(value) > 1 or np.size(value) > _WRITTEN_OUT


def shape(value: Any) -> str:
    """Give ``2×3`` for an array of that shape."""
    sizes = "×".join(map(str, np.shape(value)))
    return sizes or "number"


def norm(value: Any) -> str:
    """Give the Euclidean norm, four digits of it."""
    with np.errstate(all="ignore"):
        return f"{float(np.sqrt(np.sum(np.square(value, dtype=np.float64)))):.4g}"


def brief(value: Any) -> str:
    """Give a number, a short array, or the shape and norm of a long one."""
    if is_long(value):
        return f"{shape(value)}, norm {norm(value)}"
    if np.ndim(value) == 1:
        return f"[{', '.join(map(number, value))}]"
    return number(value)


def names_of(variables: list[Variable]) -> dict[Variable, str]:
    """Give every variable a name of its own: its own name, or a free letter.

    The tutorial's letters: g for the last, p, q, r, … on the way, a, b, c, … for what was not computed. Of two with the
    same name the second gets a number.

    Parameters
    ----------
    variables : list of Variable
        The last first, as `ancestors` gives them.
    """
    names: dict[Variable, str] = {}
    taken: set[str] = set()
    forwards = variables[::-1]
    for variable in forwards:
        if variable.name is not None:
            names[variable] = _free(iter([variable.name]), variable.name, taken)
    between, first = iter("pqrsuvw"), iter("abcdehijk")
    for variable in forwards:
        if variable not in names:
            if variable is variables[0]:
                names[variable] = _free(iter("gfL"), "g", taken)
            elif variable.layer is None:
                names[variable] = _free(first, "a", taken)
            else:
                names[variable] = _free(between, "p", taken)
    return names


def _free(candidates: Iterator[str], letter: str, taken: set[str]) -> str:
    name = next((name for name in candidates if name not in taken), None)
    count = 1
    while name is None or name in taken:
        count += 1
        name = f"{letter}{count}" if f"{letter}{count}" not in taken else None
    taken.add(name)
    return name


def number_or_norm(value: Any) -> str:
    """Give a number or a short array, and of a long one the norm."""
    return f"|d| {norm(value)}" if is_long(value) else brief(value)


def free_name(letter: str, names: dict[Variable, str]) -> str:
    """Give `letter`, with a number behind it if one of `names` is that already."""
    return _free(iter(letter), letter, set(names.values()))
