"""From times to tables and files: ratios within rounds, shares of the peak, what is printed and written, and where."""

from __future__ import annotations

import json
import os
import statistics
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from works import Group, Way, Work

ROOT = Path(__file__).parents[1]
#: Where what was built stands, and what was measured is written.
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
WIDTH = 110
#: Columns that a work may ask for: what is reported, and how it is printed.
ALSO = {"MB": ("peak_memory_mb", ".0f"), "accuracy": ("accuracy", ".4f")}
UNITS = {"s": (1.0, 2), "ms": (1e3, 2), "µs": (1e6, 1)}


def ratio(baseline: Sequence[float], seconds: Sequence[float]) -> float:
    """Tell how many times faster than the baseline: within each round, so that the drift cancels; then the median."""
    return statistics.median(b / s for b, s in zip(baseline, seconds, strict=True))


class Results:
    """What the rounds found out: the FMA peak of each, and what each way reported in it."""

    def __init__(self) -> None:
        self.peaks: list[dict[str, float]] = []
        self.runs: dict[Way, list[dict[str, Any]]] = {}
        #: Libraries that are not installed.
        self.missing: set[str] = set()

    def peak(self, dtype: str) -> float:
        """Give the median of the peak, in GFLOP/s."""
        return statistics.median(peak[dtype] for peak in self.peaks)

    def at_peak(self, way: Way) -> list[float]:
        """Give the seconds of the way's arithmetic at the peak of each round."""
        return [(way.flop or 0) / peak[way.dtype] / 1e9 for peak in self.peaks]

    def seconds(self, way: Way) -> list[float]:
        """Give the seconds of each round."""
        return self.at_peak(way) if way.call is None else [run["seconds"] for run in self.runs[way]]

    def measured(self, group: Group) -> list[Way]:
        """Give the ways of a group that could be measured."""
        return [way for way in group if way.call is None or way in self.runs]

    def first(self, group: Group) -> Way | None:
        """Give the way that the others of a group are compared with, if it could be measured and there are others."""
        return group[0] if len(group) > 1 and group[0] in self.measured(group) else None

    def ratio(self, way: Way, baseline: Way) -> float:
        """Tell how many times faster than `baseline` a way is."""
        return ratio(self.seconds(baseline), self.seconds(way))

    def share(self, way: Way) -> float | None:
        """Tell which share of one core's peak a way achieves."""
        return ratio(self.at_peak(way), self.seconds(way)) if way.flop else None

    def reported(self, way: Way, what: str) -> Any:
        """Give the median of another thing that runs report, or None."""
        values = [run[what] for run in self.runs.get(way, []) if run[what] is not None]
        return statistics.median(values) if values else None

    def fastest_peer(self, group: Group) -> Way | None:
        """Give the peer with the least median."""
        peers = [way for way in self.measured(group) if way.peer]
        return min(peers, key=lambda way: statistics.median(self.seconds(way)), default=None)


def ours(group: Group) -> Way:
    """Give the way of chainrule's that the group is about."""
    return next(way for way in group if way.ours)


def entries(results: Results, work: Work) -> list[dict[str, Any]]:
    """Give a work's results for the JSON: each way against the first of its group, and ours against each other."""
    found = []
    for group in work.groups:
        ways = results.measured(group)
        mine, first = ours(group), results.first(group)
        pairs = [(way, None if way is first else first) for way in ways]
        pairs += [(mine, way) for way in ways if way not in (mine, first)]
        for way, baseline in pairs:
            times = results.seconds(way)
            found.append(
                {
                    "work": work.name,
                    "way": way.name,
                    "threads": way.threads,
                    "dtype": way.dtype,
                    "seconds": statistics.median(times),
                    "all": times,
                    "ratio": baseline and results.ratio(way, baseline),
                    "baseline": baseline and baseline.label,
                    "flop": way.flop,
                    "share_of_peak": results.share(way),
                    "peak_memory_mb": results.reported(way, "peak_memory_mb"),
                    "accuracy": results.reported(way, "accuracy"),
                }
            )
    return found


def table(results: Results, work: Work) -> str:
    """Give a work's table, with what it means and, where there are several peers, ours against the fastest."""
    compared = any(len(group) > 2 for group in work.groups)
    rows = [_row(results, work, group, way, compared) for group in work.groups for way in group]
    remarks = []
    for group in work.groups if compared else ():
        mine, peer = ours(group), results.fastest_peer(group)
        if peer is not None:
            times = results.ratio(mine, peer)
            remarks.append(f"{mine.label}, is {times:.2f} times as fast as the fastest other, {peer.label}.")
    return "\n\n".join([f"### {work.title}", wrapped(work.caption), pipes(rows), *map(wrapped, remarks)])


def _row(results: Results, work: Work, group: Group, way: Way, compared: bool) -> dict[str, str]:
    row = {"way": way.name, "threads": str(way.threads)}
    if way not in results.measured(group):
        return row | {work.unit: "not installed"}
    factor, digits = UNITS[work.unit]
    row[work.unit] = f"{factor * statistics.median(results.seconds(way)):.{digits}f}"
    if (first := results.first(group)) is not None:
        row[f"× {work.first}"] = f"{results.ratio(way, first):.2f}"
    if compared:
        row["chainrule ×"] = f"{results.ratio(ours(group), way):.2f}"
    if way.flop:
        row["share"] = f"{100 * (results.share(way) or 0):.0f} %"
    for column in work.also:
        what, form = ALSO[column]
        row[column] = f"{results.reported(way, what):{form}}"
    return row


def preamble(results: Results, machine: dict[str, Any]) -> str:
    """Say where the tables were measured and what their columns mean."""
    versions = ", ".join(f"{name} {version or 'not installed'}" for name, version in machine["versions"].items())
    rounds = f"{len(results.peaks)} round{'s' if len(results.peaks) > 1 else ''}"
    return "\n\n".join(
        wrapped(text)
        for text in (
            f"{machine['cpu']}, {machine['cpus']} CPUs, {machine['instruction_set']}. FMA peak of one core, in the same"
            f" run: {results.peak('float32'):.0f} GFLOP/s in float32, {results.peak('float64'):.0f} in float64."
            f" {versions}.",
            f"Medians of {rounds} in which the ways take turns, each in a process of its own, one"
            " thread meaning one CPU; ratios are taken within a round. A column `× NAME`: how many times faster than"
            " NAME, the first row. `chainrule ×`: how many times faster chainrule, in its row of 1.00, is than the"
            " row. Below 1 is slower. `share`: the time that the work's dense arithmetic would take at the FMA peak of"
            " one core, over the time taken; more than 100 % if zeros are skipped or two cores used.",
        )
    )


def pipes(rows: Sequence[dict[str, str]]) -> str:
    """Give a pipe table, its columns aligned, in the order of the rows that have most of them."""
    columns = list(max(rows, key=len))
    cells = [columns, *([row.get(column, "") for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = [":" + "-" * (widths[0] - 1), *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [_line(widths, row) for row in cells]
    return "\n".join([lines[0], _line(widths, rule), *lines[1:]])


def _line(widths: Iterable[int], cells: Sequence[str]) -> str:
    first, *rest = (cell.rjust(width) for width, cell in zip(widths, cells, strict=True))
    return f"| {' | '.join([cells[0].ljust(len(first)), *rest])} |"


def wrapped(text: str) -> str:
    """Break a text into lines."""
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def write(document: dict[str, Any], file: Path) -> None:
    """Write what was found out as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n")
