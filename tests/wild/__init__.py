"""Small subjects as public code writes them, by convention: right ones, their wrong versions, and typical faults.

`RIGHT` are right: `tests.test_check_wild` holds each against differences of its own. `WRONG` is made from them by
`wild.wrong`, each with the gradient of one array spoiled. `FAULTS` are written by hand.
"""

from __future__ import annotations

from itertools import chain

from wild import dicts, faults, functions, images, left, lists, losses, meaning, methods, names, stale
from wild.sample import Sample
from wild.wrong import versions

MODULES = (lists, functions, names, dicts, left, methods, losses, meaning, images)
RIGHT: tuple[Sample, ...] = tuple(chain.from_iterable(module.SAMPLES for module in MODULES))
WRONG: tuple[Sample, ...] = tuple(chain.from_iterable(map(versions, RIGHT)))
FAULTS: tuple[Sample, ...] = stale.FAULTS + faults.FAULTS

__all__ = ["FAULTS", "RIGHT", "WRONG", "Sample"]
