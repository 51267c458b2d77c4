"""Long tests in parts: the first of them always, all of them by ``make slow``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def short_and_long(starts: Iterable[int], end: int) -> list[Any]:
    """Give where the parts begin, for `parametrize`; those from `end` on are the long form."""
    return [pytest.param(start, marks=[pytest.mark.slow] if start >= end else []) for start in starts]
