"""The values of a matrix along groups of columns, and their rounding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chainrule.checking.finite_differences import Floats
from chainrule.checking.groups import Group
from chainrule.checking.jacobian.blocks import Block


def claims(block: Block, groups: Sequence[Group], scales: Floats, here: Floats) -> tuple[Floats, Floats, Floats]:
    """Give a matrix's values along groups, (groups · M,), the largest of each row, and the scale of its rounding.

    The largest takes the units of each column into account: a column in small units has large numbers and small
    entries, and counts in these units. For a row of zeros it is the largest of all rows; its rounding follows the size
    of f, `here`.
    """
    rows, scaled = block.largest(), block.largest(scales)
    empty = rows == 0
    rows, scaled = (np.where(empty, sizes.max(initial=0), sizes) for sizes in (rows, scaled))
    steps = np.array([np.abs(g.steps).max(initial=0) for g in groups])
    in_scales = np.array([(np.abs(g.steps) / scales[g.columns]).max(initial=0) for g in groups])
    sizes = np.minimum(np.outer(steps, rows), np.outer(in_scales, scaled))
    rounded_by = np.where(empty, np.minimum(sizes, np.outer(in_scales, np.abs(here))), sizes)
    return claimed_along(block, groups), sizes.reshape(-1), rounded_by.reshape(-1)


def claimed_along(block: Block, groups: Sequence[Group]) -> Floats:
    """Give the values of a matrix along groups, (groups · M,)."""
    dense = block.dense() if all(g.alone for g in groups) else None
    if dense is not None:
        return dense[:, np.array([g.columns[0] for g in groups], np.int64)].T.reshape(-1)
    claimed = []
    for group in groups:
        v = np.zeros(block.shape[1])
        v[group.columns] = group.steps
        claimed.append(block.times(v))
    return np.concatenate(claimed)
