"""What the classes of a network are called: its metadata say so, which go into its file and come back from there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

#: The key in ``net.metadata``; under it stands a JSON list of words.
KEY = "classes"


def listed(net: Any) -> list[str] | None:
    """Give the names of the classes of `net`; None if its metadata say none."""
    text = getattr(net, "metadata", {}).get(KEY)
    if not isinstance(text, str):
        return None
    import json  # only networks with names need it

    try:
        names = json.loads(text)
    except ValueError:
        return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def names_of(net: Any, classes: int) -> list[str] | None:
    """Give the names of so many classes of `net`; None if its metadata say nothing of them, or of others."""
    names = listed(net)
    return names if names is not None and len(names) == classes else None


def called(net: Any, classes: int) -> list[str]:
    """Give what so many classes of `net` are called: their numbers, if they have no names."""
    return names_of(net, classes) or [str(i) for i in range(classes)]


def said(names: Sequence[str]) -> dict[str, str]:
    """Give the metadata that say these names."""
    import json

    return {KEY: json.dumps(list(names), ensure_ascii=False)}
