"""In which form a graph is written to a file, by the ending of its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainrule.graph.wording import shortened

#: What is drawn.
DRAWINGS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid"}
#: What only other programs draw.
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".pdf", ".eps", ".ps")


def expect_no_picture(path: str | os.PathLike[str]) -> None:
    """Raise ValueError if a file is to be a picture of dots or a page, and tell what makes one."""
    file = Path(path)
    ending = file.suffix.lower()
    if ending in _PICTURES:
        kind, stem = ending[1:].upper(), shortened(file.stem)
        raise ValueError(
            f"{shortened(file.name)!r}: a graph is not written as {kind}. Write {stem + '.svg'!r}, which a browser or"
            f" Inkscape turns into one, or {stem + '.dot'!r}, which Graphviz does: dot -Tpng"
        )


def form_of(path: str | os.PathLike[str], forms: Mapping[str, str]) -> str:
    """Give the form of a file by the ending of its name, which is one of `forms`; else raise ValueError.

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
