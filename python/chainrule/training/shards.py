"""The shards of a batch: which rows are whose, whose they are, and the order in which their gradients are added up.

Process r of P has the shards from r S / P on. Sums are made by halves: those of the first shards, a power of two of
them, and those of the rest. A process adds up those that are neighbours in this order before it sends anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.training.ranks import Ranks
from chainrule.training.rows_by_rank import is_at_hand
from chainrule.training.sets import part_of

#: Some shards whose sum is made: the first, and the one after the last.
Node = tuple[int, int]
#: How many examples are evaluated at a time.
BLOCK = 4096


class Shards:
    """The shards of a batch, whose they are, and the order in which their gradients are added up."""

    def __init__(self, count: int, ranks: Ranks) -> None:
        self.count, self.ranks = count, ranks
        self._starts = [count * r // ranks.size for r in range(ranks.size + 1)]

    def of(self, rank: int) -> range:
        """Give the numbers of a rank's shards."""
        return range(self._starts[rank], self._starts[rank + 1])

    @property
    def mine(self) -> range:
        """The numbers of this rank's shards."""
        return self.of(self.ranks.rank)

    def bounds(self, shard: int, n: int) -> tuple[int, int]:
        """Give the first of n rows that are a shard's, and the first that is not; earlier shards may have one more."""
        each, more = divmod(n, self.count)
        return shard * each + min(shard, more), (shard + 1) * each + min(shard + 1, more)

    def rows(self, batch: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Give the rows of a batch that are each rank's."""
        starts = [self.bounds(self.of(rank).start, len(batch))[0] for rank in range(self.ranks.size)]
        return np.split(batch, starts[1:])

    def mean(
        self, x: Any, t: NDArray[Any], measures: Callable[[Any, NDArray[Any]], tuple[float, float]]
    ) -> tuple[float, float]:
        """Give the means over a set of two measures, from those of blocks of the examples of each shard."""
        n, ranks = len(x), self.ranks
        blocks = [self._blocks(rank, n) for rank in range(ranks.size)]
        sums = []
        for turn in range(max(map(len, blocks))):
            now = [of[turn] if turn < len(of) else (0, 0) for of in blocks]
            first, end = now[ranks.rank]
            block = part_of(x, first, end) if is_at_hand(x) else x.fetch([np.arange(*of) for of in now])

            def work(block: Any = block, first: int = first, end: int = end) -> list[float]:
                return [(end - first) * value for value in measures(block, t[first:end])] if first < end else []

            sums.append(ranks.together(work, [2 * (start < stop) for start, stop in now]).reshape(-1, 2))
        found = np.concatenate(sums)
        return math.fsum(found[:, 0]) / n, math.fsum(found[:, 1]) / n

    def _blocks(self, rank: int, n: int) -> list[tuple[int, int]]:
        """Give first and end of the blocks in which a rank evaluates its share of n examples."""
        pairs = [self.bounds(shard, n) for shard in self.of(rank)]
        return [(at, min(at + BLOCK, end)) for first, end in pairs for at in range(first, end, BLOCK)]

    def nodes(self, rank: int) -> list[Node]:
        """Give the sums that a rank can make by itself, each as the first shard in it and the first behind it."""
        mine = self.of(rank)

        def within(node: Node) -> list[Node]:
            first, end = node
            if end <= mine.start or mine.stop <= first:
                return []
            if mine.start <= first and end <= mine.stop:
                return [node]
            return [*within((first, halfway(node))), *within((halfway(node), end))]

        return within((0, self.count))

    def add_up(self, nodes: NDArray[Any]) -> NDArray[Any]:
        """Give the sum of the sums of all ranks, one in a row, by halves."""
        rows: dict[Node, NDArray[Any]] = dict(
            zip([node for rank in range(self.ranks.size) for node in self.nodes(rank)], nodes, strict=True)
        )

        def total(node: Node) -> NDArray[Any]:
            if node in rows:
                return rows[node]
            found = total((node[0], halfway(node)))
            found += total((halfway(node), node[1]))
            return found

        return total((0, self.count))


def halfway(node: Node) -> int:
    """Give where a sum over several shards is divided: behind the largest power of two of them that leaves some."""
    first, end = node
    return first + (1 << ((end - first - 1).bit_length() - 1))
