"""The format a graph is written in, by the ending of the file's name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainrule.graph.wording import shortened

#: What is drawn.
DRAWINGS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid"}
#: Pictures and pages, which only other programs make.
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pdf", ".eps", ".ps")


def expect_no_picture(path: str | os.PathLike[str]) -> None:
    """Raise ValueError if the file's name ends like that of a picture or a page, and say how to make one."""
    file = Path(path)
    ending = file.suffix.lower()
    if ending in _PICTURES:
        kind, stem = ending[1:].upper(), shortened(file.stem)
        raise ValueError(
            f"cannot write a graph as {kind}, got {shortened(file.name)!r}: write {stem + '.svg'!r} and convert it in a"
            f" browser or Inkscape, or write {stem + '.dot'!r} and let Graphviz draw it (dot -Tpng)"
        )


def form_of(path: str | os.PathLike[str], forms: Mapping[str, str]) -> str:
    """Give the format that `forms` has for the ending of the file's name; raise ValueError if it has none.

    Examples
    --------
    >>> form_of("graph.gv", DRAWINGS)
    'dot'
    """
    expect_no_picture(path)
    form = forms.get(Path(path).suffix.lower())
    if form is None:
        endings = ", ".join(filter(None, forms))
        raise ValueError(f"the name of the file must end in {endings}, got {shortened(Path(path).name)!r}")
    return form
