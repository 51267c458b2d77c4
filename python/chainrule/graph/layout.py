"""Where the parts of a drawing go: nodes in columns from left to right, every label in a column between them.

1. A node's column is the longest way to it; what was not computed stands just before its first user.
2. An edge becomes a chain of items: its label in the next column, a place to pass in every further one. So a label has
   room of its own, and no edge runs through a node or a label.
3. In every column the items are sorted by the mean place of their neighbours (barycentres), to and fro; the order with
   the fewest crossings is kept.
4. Heights: every item wants to be level with its neighbours, in that order and apart: least squares, solved exactly a
   column at a time by pooling (isotonic regression).

Cost: about the square of the number of nodes, for the places to pass.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

Point = tuple[float, float]
Size = tuple[float, float]

_COLUMN_GAP, _ROW_GAP, _PORT_GAP = 22.0, 12.0, 14.0
_SWEEPS = 12


@dataclass
class Layout:
    """The places found: the centres of the nodes and of the edges' labels, and the way of each edge.

    A route is the points an edge passes: from one to the next alternately a level line and a curve that is level at
    both ends, beginning and ending with a line.
    """

    size: Size
    nodes: list[Point]
    labels: list[Point]
    routes: list[list[Point]]


@dataclass
class _Item:
    column: int
    width: float
    height: float
    #: Whether it is the label of an edge, or a place where one passes.
    on_edge: bool = False
    y: float = 0.0
    #: Neighbours in the column before and after: (item, what its y and ours should differ by).
    before: list[tuple[int, float]] = field(default_factory=list)
    after: list[tuple[int, float]] = field(default_factory=list)


def arrange(
    nodes: Sequence[Size], edges: Sequence[tuple[int, int]], labels: Sequence[Size], circles: Mapping[int, float]
) -> Layout:
    """Find places for nodes and edges' labels of these sizes.

    An edge is (source, target), by their places in `nodes`; those into one node arrive from top to bottom in this
    order. `circles` has the radius of the nodes that are circles, where edges begin and end on the circle.
    """
    columns = _columns(len(nodes), edges)
    items = [_Item(2 * column, *size) for column, size in zip(columns, nodes, strict=True)]
    ports = _ports(nodes, edges)
    chains: list[list[int]] = []
    for (source, target), label, port in zip(edges, labels, ports, strict=True):
        chain = []
        for column in range(items[source].column + 1, items[target].column):
            chain.append(len(items))
            width, height = label if len(chain) == 1 else (0.0, 4.0)
            items.append(_Item(column, width, height, on_edge=True))
        chains.append(chain)
        way = [source, *chain, target]
        for here, there in pairwise(way):
            offset = port if there == target else 0.0
            items[here].after.append((there, offset))
            items[there].before.append((here, offset))

    rows = _ordered(items, _start(items, edges, chains))
    _level(items, rows)
    widths = [max((items[i].width for i in row), default=0.0) for row in rows]
    middles, x = [], 0.0
    for width, row in zip(widths, rows, strict=True):
        middles.append(x + width / 2)
        # The steeper the curves to the next column, the more room they get.
        steep = max((abs(items[j].y + offset - items[i].y) for i in row for j, offset in items[i].after), default=0.0)
        x += width + _COLUMN_GAP + min(steep / 5, 40)
    top = min(item.y - item.height / 2 for item in items)
    bottom = max(item.y + item.height / 2 for item in items)
    places = [(middles[item.column], item.y - top) for item in items]

    routes = []
    for (source, target), chain, port in zip(edges, chains, ports, strict=True):
        (x0, y0), (x1, y1) = places[source], places[target]
        route = [(x0 + circles.get(source, nodes[source][0] / 2), y0)]
        for i in (source, *chain, target):
            half, y = widths[items[i].column] / 2, places[i][1] + (port if i == target else 0.0)
            route += [(places[i][0] - half, y), (places[i][0] + half, y)]
        radius = circles.get(target)
        reach = nodes[target][0] / 2 if radius is None else math.sqrt(radius**2 - port**2)
        # Not the near side of the source's column, nor the far side of the target's.
        routes.append([route[0], *route[2:-1], (x1 - reach, y1 + port)])
    whole = (middles[-1] + widths[-1] / 2, bottom - top)
    return Layout(whole, places[: len(nodes)], [places[chain[0]] for chain in chains], routes)


def _columns(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Give each node the length of the longest way to it; a first node moves up to its users."""
    users: list[list[int]] = [[] for _ in range(count)]
    waits = [0] * count
    for source, target in edges:
        users[source].append(target)
        waits[target] += 1
    column = [0] * count
    ready = firsts = [node for node in range(count) if waits[node] == 0]
    ready = list(ready)
    for node in ready:  # which grows meanwhile
        for user in users[node]:
            column[user] = max(column[user], column[node] + 1)
            waits[user] -= 1
            if waits[user] == 0:
                ready.append(user)
    for node in firsts:
        column[node] = min((column[user] - 1 for user in users[node]), default=0)
    return column


def _ports(nodes: Sequence[Size], edges: Sequence[tuple[int, int]]) -> list[float]:
    """Give for each edge how far below the middle of its target it arrives."""
    total: dict[int, int] = {}
    place = []
    for _, target in edges:
        place.append(total.get(target, 0))
        total[target] = place[-1] + 1
    ports = []
    for (_, target), i in zip(edges, place, strict=True):
        n = total[target]
        ports.append((i - (n - 1) / 2) * min(_PORT_GAP, nodes[target][1] * 0.7 / n))
    return ports


def _start(items: list[_Item], edges: Sequence[tuple[int, int]], chains: list[list[int]]) -> list[list[int]]:
    """Give the columns, each in the order in which a walk back from the ends, operand by operand, meets its items."""
    into: dict[int, list[int]] = {}
    for edge, (_, target) in enumerate(edges):
        into.setdefault(target, []).append(edge)
    sources = {source for source, _ in edges}
    rows: list[list[int]] = [[] for _ in range(1 + max(item.column for item in items))]
    seen = set()
    pending = [i for i in range(len(items) - sum(map(len, chains))) if i not in sources]
    while pending:
        node = pending.pop()
        if node in seen:
            continue
        seen.add(node)
        rows[items[node].column].append(node)
        for edge in into.get(node, []):
            for item in chains[edge]:
                rows[items[item].column].append(item)
        pending += [edges[edge][0] for edge in reversed(into.get(node, []))]
    return rows


def _ordered(items: list[_Item], rows: list[list[int]]) -> list[list[int]]:
    """Sort the columns by barycentres, to and fro, and give the order with the fewest crossings."""
    best, fewest = rows, _crossings(items, rows)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        rows = [list(row) for row in rows]
        forwards = sweep % 2 == 0
        place = {i: float(n) for row in rows for n, i in enumerate(row)}
        for column in range(len(rows)) if forwards else reversed(range(len(rows))):
            keys = {}
            for i in rows[column]:
                near = items[i].before if forwards else items[i].after
                # The port counts as a small part of a place: it decides between operands of one node.
                keys[i] = sum(place[j] + offset / 100 for j, offset in near) / len(near) if near else place[i]
            rows[column].sort(key=keys.__getitem__)
            place.update((i, float(n)) for n, i in enumerate(rows[column]))
        crossings = _crossings(items, rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _crossings(items: list[_Item], rows: list[list[int]]) -> int:
    """Count the pairs of edges between neighbouring columns that cross."""
    place = {i: n for row in rows for n, i in enumerate(row)}
    count = 0
    for row in rows:
        passed: list[tuple[int, float]] = []  # the ends of the edges so far, in order
        for i in row:
            # Edges out of one item do not cross: they are met in the order of their ends.
            for end in sorted((place[j], offset) for j, offset in items[i].after):
                count += len(passed) - bisect_right(passed, end)
                insort(passed, end)
    return count


def _level(items: list[_Item], rows: list[list[int]]) -> None:
    """Give every item its height."""
    for row in rows:
        _set(items, row, [0.0] * len(row))
    for sweep in range(2 * _SWEEPS):
        forwards = sweep % 2 == 0
        last = sweep >= _SWEEPS  # at the end both sides count
        for column in range(len(rows)) if forwards else reversed(range(len(rows))):
            wanted = []
            for i in rows[column]:
                item = items[i]
                near = [(j, -offset) for j, offset in item.before] if forwards or last else []
                near += item.after if not forwards or last else []
                # An edge is to bend at its ends and not on its way.
                weights = [8 if item.on_edge and items[j].on_edge else 1 for j, _ in near]
                total = sum(w * (items[j].y + offset) for w, (j, offset) in zip(weights, near, strict=True))
                wanted.append(total / sum(weights) if near else item.y)
            _set(items, rows[column], wanted)


def _set(items: list[_Item], row: list[int], wanted: list[float]) -> None:
    """Put the items of a column as near as can be to where they want to be, in this order and apart."""
    shifts, shift = [], 0.0
    for n, i in enumerate(row):
        if n:
            shift += (items[row[n - 1]].height + items[i].height) / 2 + _ROW_GAP
        shifts.append(shift)
    # Without the shifts, heights must not fall: neighbours that would are pooled at their mean.
    pools: list[tuple[float, int]] = []
    for want, shift in zip(wanted, shifts, strict=True):
        mean, size = want - shift, 1
        while pools and pools[-1][0] > mean:
            other, count = pools.pop()
            mean, size = (mean * size + other * count) / (size + count), size + count
        pools.append((mean, size))
    heights = [mean for mean, size in pools for _ in range(size)]
    for i, height, shift in zip(row, heights, shifts, strict=True):
        items[i].y = height + shift
