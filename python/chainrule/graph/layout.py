"""Where the parts of a drawing go: nodes in columns from left to right, every label in a column between them.

1. A node's column is the longest way to it; what was not computed stands just before its first user.
2. An edge becomes a chain of items: its label in the next column, a place to pass in every further one. So a label has
   room of its own, and no edge runs through a node or a label.
3. In every column the items are sorted by the mean place of their neighbours (barycentres), to and fro; the order with
   the fewest crossings is kept. Nodes that have a turn keep it: they share the places in their column in that order.
4. The edges out of a node leave it one under another, in the order in which they go on, and so those into it.
5. Heights: every item wants to be level with its neighbours, in that order and apart: least squares, solved exactly a
   column at a time by pooling (isotonic regression).
6. Between two columns, edges that go up or down past one another do so in tracks, each beside the last.

Cost: about the square of the number of nodes, for the places to pass.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

Point = tuple[float, float]
Size = tuple[float, float]

_COLUMN_GAP, _ROW_GAP, _PORT_GAP = 22.0, 12.0, 14.0
#: How far below one another edges leave a node, if it is high enough.
OUT_GAP = 12.0
#: A difference in height that needs a track; how wide a curve in one is, how far apart they are, and all of them.
_STEEP, _CURVE, _TRACK, _TRACKS = 12.0, 28.0, 12.0, 240.0
#: What is left free on both sides of the tracks, for the heads of arrows.
_BEFORE, _AFTER = 12.0, 8.0
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
    nodes: Sequence[Size],
    edges: Sequence[tuple[int, int]],
    labels: Sequence[Size],
    circles: Mapping[int, float],
    turns: Sequence[int] = (),
) -> Layout:
    """Find places for nodes and edges' labels of these sizes.

    An edge is (source, target), by their places in `nodes`; those into one node arrive from top to bottom in this
    order. `circles` has the radius of the nodes that are circles, where edges begin and end on the circle. The nodes of
    `turns` stand in this order from top to bottom wherever two of them share a column.
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

    turn = {node: n for n, node in enumerate(turns)}
    start = _start(items, edges, chains)
    rows = _ordered(items, _in_turn(start, turn), turn)
    if turn and _crossings(items, rows):
        other = _ordered(items, _in_turn(_start_by_turn(items, start, turn), turn), turn)
        rows = min(rows, other, key=partial(_crossings, items))
    outs = _fan_out(items, rows)
    _level(items, rows)
    widths = [max((items[i].width for i in row), default=0.0) for row in rows]
    middles, x = [], 0.0
    curves: dict[tuple[int, int], tuple[float, float]] = {}
    for width, row in zip(widths, rows, strict=True):
        middles.append(x + width / 2)
        x += width
        gap, tracks = _tracks(items, row)
        for edge in ((i, j) for i in row for j, _ in items[i].after):
            curves[edge] = (x + tracks[edge], x + tracks[edge] + _CURVE) if edge in tracks else (x, x + gap)
        x += gap
    top = min(item.y - item.height / 2 for item in items)
    bottom = max(item.y + item.height / 2 for item in items)
    places = [(middles[item.column], item.y - top) for item in items]

    routes = []
    for (source, target), chain, port in zip(edges, chains, ports, strict=True):
        (x0, y0), (x1, y1) = places[source], places[target]
        out = outs[chain[0]]
        route = [(x0 + _reach(circles.get(source), nodes[source], out), y0 + out)]
        for i, j in pairwise((source, *chain, target)):
            left, right = curves[i, j]
            route += [(left, route[-1][1]), (right, y1 + port if j == target else places[j][1])]
        routes.append([*route, (x1 - _reach(circles.get(target), nodes[target], port), y1 + port)])
    whole = (middles[-1] + widths[-1] / 2, bottom - top)
    return Layout(whole, places[: len(nodes)], [places[chain[0]] for chain in chains], routes)


def _tracks(items: list[_Item], row: list[int]) -> tuple[float, dict[tuple[int, int], float]]:
    """Give the width of the gap after a column, and for each edge that is steep in it where its curve begins.

    Of two edges that pass the same height, both downwards, the one that starts lower goes first; of two upwards, the
    one that starts higher: so edges that need not cross do not. Those downwards go before those upwards.
    """
    steep = []
    for i in row:
        for j, offset in items[i].after:
            # An offset is that of a port of the target, or against that of one of the source, where labels have none.
            out, port = (0.0, offset) if items[i].on_edge else (-offset, 0.0)
            start, end = items[i].y + out, items[j].y + port
            if abs(end - start) > _STEEP:
                steep.append((start, end, (i, j)))
    steep.sort(key=lambda edge: (False, -edge[0]) if edge[1] > edge[0] else (True, edge[0]))
    tracks: list[int] = []
    for n, (start, end, _) in enumerate(steep):
        top, bottom = min(start, end) - _STEEP / 2, max(start, end) + _STEEP / 2
        passed = (track for track, other in zip(tracks, steep[:n], strict=True) if _meet(top, bottom, other))
        tracks.append(1 + max(passed, default=-1))
    last = max(tracks, default=0)
    apart = min(_TRACK, _TRACKS / max(last, 1))
    begins = {edge: _BEFORE + track * apart for track, (_, _, edge) in zip(tracks, steep, strict=True)}
    return (_BEFORE + last * apart + _CURVE + _AFTER if steep else _COLUMN_GAP), begins


def _meet(top: float, bottom: float, edge: tuple[float, float, Any]) -> bool:
    return min(edge[:2]) < bottom and top < max(edge[:2])


def _reach(radius: float | None, size: Size, port: float) -> float:
    """Give how far from the middle of a node its side is, `port` below the middle."""
    return size[0] / 2 if radius is None else math.sqrt(radius**2 - port**2)


def _in_turn(rows: list[list[int]], turn: Mapping[int, int]) -> list[list[int]]:
    """Give the columns with the nodes that have a turn in this order, at the places that they have among them."""
    return [_row_in_turn(row, turn) for row in rows]


def _row_in_turn(row: list[int], turn: Mapping[int, int]) -> list[int]:
    waiting = iter(sorted((i for i in row if i in turn), key=turn.__getitem__))
    return [next(waiting) if i in turn else i for i in row]


def _fan_out(items: list[_Item], rows: list[list[int]]) -> dict[int, float]:
    """Give for each label's item how far below the middle of its source the edge leaves; tell the items too."""
    place = {i: n for row in rows for n, i in enumerate(row)}
    outs = {}
    for i, item in enumerate(items):
        if item.on_edge:
            continue
        ends = sorted((j for j, _ in item.after), key=place.__getitem__)
        gap = min(OUT_GAP, item.height * 0.8 / max(len(ends), 1))
        for n, j in enumerate(ends):
            outs[j] = (n - (len(ends) - 1) / 2) * gap
            items[j].before = [(i, -outs[j])]
        item.after = [(j, -outs[j]) for j in ends]
    return outs


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


def _start_by_turn(items: list[_Item], rows: list[list[int]], turn: Mapping[int, int]) -> list[list[int]]:
    """Give the columns sorted by the mean turn of what leads to each item; a constant goes with its user."""
    key: dict[int, float] = {}
    for row in rows:
        for i in row:
            known = [key[j] for j, _ in items[i].before if j in key]
            if i in turn:
                key[i] = turn[i]
            elif known:
                key[i] = sum(known) / len(known)
    for row in reversed(rows):
        for i in row:
            if i not in key:
                key[i] = key.get(items[i].after[0][0], 0.0) if items[i].after else 0.0
    return [sorted(row, key=key.__getitem__) for row in rows]


def _ordered(items: list[_Item], rows: list[list[int]], turn: Mapping[int, int]) -> list[list[int]]:
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
            rows[column] = _row_in_turn(sorted(rows[column], key=keys.__getitem__), turn)
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
