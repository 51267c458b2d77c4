"""Numbers, arrays and names as drawings and explanations write them."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from chainrule.graph.record import Recorded, forwards

#: An array with up to this many numbers is written out; of a longer one, shape and norm.
_WRITTEN_OUT = 4
#: Of a text from elsewhere a message repeats no more characters.
LINE = 60


def number(value: Any) -> str:
    """Write a number with six digits, and -0 without its sign."""
    return f"{float(value) + 0.0:.6g}"


def is_long(value: Any) -> bool:
    """Tell whether `value` is an array that is not written out."""
    return np.ndim(value) > 1 or np.size(value) > _WRITTEN_OUT


def shape(value: Any) -> str:
    """Give ``2×3`` for an array of that shape."""
    sizes = "×".join(map(str, np.shape(value)))
    return sizes or "number"


def norm(value: Any) -> str:
    """Write the Euclidean norm with four digits."""
    with np.errstate(all="ignore"):
        return f"{float(np.sqrt(np.sum(np.square(value, dtype=np.float64)))):.4g}"


def brief(value: Any) -> str:
    """Give a number, a short array, or the shape and norm of a long one."""
    if is_long(value):
        return f"{shape(value)}, norm {norm(value)}"
    if np.ndim(value) == 1:
        return f"[{', '.join(map(number, value))}]"
    return number(value)


def number_or_norm(value: Any) -> str:
    """Give a number or a short array as it is, and of a long array the norm."""
    return f"|d| {norm(value)}" if is_long(value) else brief(value)


def one_line(text: str) -> str:
    """Give `text` with a space for each character that cannot be printed."""
    return "".join(c if c.isprintable() else " " for c in text)


def shortened(text: str) -> str:
    """Give `text`, or its beginning if it is too long to be repeated in a message."""
    return text if len(text) <= LINE else f"{text[: LINE - 1]}…"


def thousands(n: Any) -> str:
    """Write a whole number with narrow spaces as thousands separators."""
    return f"{int(n):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def style_beside(file: str) -> str:
    """Give the style sheet that lies beside a file of this package, under its name."""
    with open(os.path.splitext(file)[0] + ".css", encoding="utf-8") as style:
        return style.read()


def escaped(text: str) -> str:
    """Escape `text` for HTML or XML, between tags or in an attribute."""
    from html import escape  # which reads in two thousand names of characters

    # Control characters have no place there, not even escaped.
    shown = (c if c.isprintable() else " " if c.isspace() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape("".join(shown))


def names_of(variables: list[Recorded]) -> dict[Recorded, str]:
    """Give every variable a name of its own: its own name, or a free letter.

    The tutorial's letters: g for the last (the first of `variables`, as `ancestors` gives them), p, q, r, … on the way,
    a, b, c, … for what was not computed. Of two with the same name the second gets a number.
    """
    names: dict[Recorded, str] = {}
    free = _Free()
    ordered = forwards(variables)
    for variable in ordered:
        if variable.name is not None:
            names[variable] = free.name(variable.name)
    for variable in ordered:
        if variable not in names:
            letters = "gfL" if variable is variables[0] else "abcdehijk" if variable.layer is None else "pqrsuvw"
            names[variable] = free.name(*letters)
    return names


def free_name(letter: str, names: dict[Recorded, str]) -> str:
    """Give `letter`, with a number behind it if one of `names` is that already."""
    free = _Free()
    free.taken = set(names.values())
    return free.name(letter)


class _Free:
    """The names that are taken, and the number that comes next behind each."""

    def __init__(self) -> None:
        self.taken: set[str] = set()
        self._last: dict[str, int] = {}

    def name(self, *candidates: str) -> str:
        """Take the first of `candidates` that is free, or the first with the next number behind it."""
        letter = candidates[0]
        name = next((name for name in candidates if name not in self.taken), letter)
        while name in self.taken:
            self._last[letter] = self._last.get(letter, 1) + 1
            name = f"{letter}{self._last[letter]}"
        self.taken.add(name)
        return name
