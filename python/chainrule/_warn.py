"""Warnings that point to the user's call of the package, however deep inside they arise."""

from __future__ import annotations

import sys
import warnings


def warn(text: str, category: type[Warning] = RuntimeWarning) -> None:
    """Give the warning `text` for the line outside this package that called it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "chainrule":
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
