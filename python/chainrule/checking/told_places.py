"""Where the caller says that a parameter lies, and its gradient."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.nn.parameters.places import Place


def places_told(thing: Any, told: Mapping[str, Any]) -> Iterable[tuple[Place, FloatArray]]:
    """Give the parameters that the caller has named."""
    for name, pair in told.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(
                f"params[{name!r}] must be a pair (parameter, gradient) of names or getters, got {pair!r:.60}"
            )
        array = _at(thing, pair[0])
        if not isinstance(array, np.ndarray):
            raise TypeError(f"params[{name!r}][0] is {type(array).__name__}, and no array: {pair[0]!r:.60}")
        gradient = pair[1]
        yield Place(((thing, name),), partial(_at, where=gradient)), array


def _at(thing: Any, where: Any) -> Any:
    """Give what lies at ``a.b[0]["c"]`` of `thing`, or what a getter gives."""
    if callable(where):
        try:
            takes = len(inspect.signature(where).parameters)
        except (TypeError, ValueError):
            takes = 1
        return where(thing) if takes else where()
    for attribute, index in re.findall(r"([A-Za-z_]\w*)|\[([^\]]+)\]", str(where)):
        if attribute:
            thing = getattr(thing, attribute, None) if not isinstance(thing, Mapping) else thing.get(attribute)
        else:
            key = index.strip("'\"")
            thing = thing[int(key)] if key.lstrip("-").isdigit() and not isinstance(thing, Mapping) else thing[key]
    return thing
