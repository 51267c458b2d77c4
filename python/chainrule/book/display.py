"""Where pictures go: into a window if possible, else into a file in the user's current folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

#: matplotlib's name for `pictures.py`.
BACKEND = "module://chainrule.book.pictures"

#: The backends of matplotlib that do not open a window.
_WITHOUT_WINDOW = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
#: The toolkits with which matplotlib can open a window.
_TOOLKITS = ("_tkinter", "PyQt6", "PySide6", "PyQt5", "PySide2", "gi", "wx")

_folder, _name = Path(), "picture"


@contextmanager
def pictures_of(script: Path) -> Iterator[None]:
    """Save the pictures of `script` that cannot be shown, under the name of the script, in the current folder."""
    global _folder, _name
    before = _folder, _name, os.environ.get("MPLBACKEND")
    _folder, _name = Path.cwd(), script.stem
    try:
        if not can_show():
            os.environ["MPLBACKEND"] = BACKEND
            if "matplotlib" in sys.modules:  # it has already read the variable
                sys.modules["matplotlib"].use(BACKEND)
        yield
    finally:
        _folder, _name, backend = before
        os.environ.pop("MPLBACKEND", None)
        if backend is not None:
            os.environ["MPLBACKEND"] = backend


def can_show() -> bool:
    """Tell whether matplotlib can open a window here, by the user's setting or by what is installed."""
    chosen = os.environ.get("MPLBACKEND", "").lower()
    if chosen:
        return chosen not in _WITHOUT_WINDOW and chosen != BACKEND
    if sys.platform in ("darwin", "win32"):
        return True
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(display) and any(find_spec(name) is not None for name in _TOOLKITS)


def free_path() -> Path:
    """Give a path for the next picture that does not exist yet."""
    number, path = 1, _folder / f"{_name}.png"
    while path.exists():
        number += 1
        path = _folder / f"{_name}-{number}.png"
    return path
