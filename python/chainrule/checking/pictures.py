"""A report as a table for a notebook, and as a picture: a heat map of what differs."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.checking.report import GradientReport
from chainrule.checking.wording import findings_of, times, title_of, verdict_of
from chainrule.graph.wording import thousands

if TYPE_CHECKING:
    from chainrule.checking.taylor import TaylorTable
    from chainrule.plotting.figure import Figure


def table(report: GradientReport) -> str:
    """Give the report as HTML."""
    colours = {"right": "#2a7d2a", "wrong": "#c02020"}
    aligned = "text-align:{};padding:.25em .75em .25em 0;white-space:nowrap"
    left, right = (f"style='{aligned.format(side)}'" for side in ("left", "right"))
    rows = []
    for a in report.arrays:
        numbers = (
            times(a.shape), thousands(a.checked), f"{a.mean_difference:.1e}", f"{a.max_relative:.1e}",
            f"{a.error_bar:.1e}",
        )  # fmt: skip
        tds = "".join(f"<td {right}>{number}</td>" for number in numbers)
        colour = colours.get(a.verdict, "#b07000")
        # The class is for a page with colours of its own.
        verdict = f"<span class='{a.verdict}'>{html.escape(verdict_of(a))}</span>"
        rows.append(
            f"<tr><th scope='row' {left}>{html.escape(a.name)}</th>{tds}"
            f"<td style='{aligned.format('left')};color:{colour}'><b>{verdict}</b></td></tr>"
        )
    heads = (("array", left), *((h, right) for h in ("shape", "compared", "mean |diff|", "max relative")))
    head = "".join(
        f"<th scope='col' {align}>{h}</th>" for h, align in (*heads, ("error bar", right), ("verdict", left))
    )
    found = "".join(f"<li>{html.escape(text.strip())}</li>" for text in findings_of(report))
    return (
        f"<div><p><b>{html.escape(title_of(report))}</b></p>"
        f"<div style='overflow-x:auto'><table><thead><tr>{head}</tr></thead>"  # it scrolls where a page is narrow
        f"<tbody>{''.join(rows)}</tbody></table></div><ul>{found}</ul>"
        f"<p><b>{html.escape(report.headline)}</b></p></div>"
    )


def heat_map(report: GradientReport) -> Figure:
    """Draw the relative difference of each array that was compared entry by entry; see `GradientReport.plot`."""
    from chainrule.plotting.figure import Figure  # or says what to install

    shown = [(a, a.relative) for a in report.arrays if a.relative is not None and a.relative.size]
    if not shown:
        raise ValueError("no array was compared entry by entry; check with mode='full'")
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(10, 1.2 + 1.8 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for ax, (a, relative) in zip(axes, shown, strict=True):
        image = relative.reshape(-1, relative.shape[-1] if relative.ndim else 1)
        tall = image.shape[0] > image.shape[1]
        image = np.maximum(image.T if tall else image, 1e-12)
        colours = _palette()
        drawn = ax.imshow(image, norm=LogNorm(1e-10, 1e0), cmap=colours, aspect="auto", interpolation="nearest")
        title = f"{a.name}  {times(a.shape)}  {verdict_of(a)}"
        ax.set_title(title, loc="left", fontsize=10, parse_math=False)
        ax.set_xlabel("row" if tall else "column", fontsize=8)
        ax.set_ylabel("column" if tall else "row", fontsize=8)
        ax.tick_params(labelsize=8)
        for axis in (ax.xaxis, ax.yaxis):  # of a short array there would be ticks between the entries
            axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if image.shape[0] == 1:
            ax.set_yticks([])
            ax.set_ylabel("")
        if a.verdict == "wrong" and a.where:
            row, column = divmod(int(np.ravel_multi_index(a.where, a.shape)), a.shape[-1])
            x, y = (row, column) if tall else (column, row)
            ax.plot([x], [y], "o", mfc="none", mec="black", ms=12)
    figure.colorbar(drawn, ax=list(axes), label="|analytic - numeric| / larger", shrink=0.8)
    figure.suptitle(f"{report.subject}: {report.headline}", parse_math=False)
    return figure


def taylor_lines(table: TaylorTable) -> Figure:
    """Draw the remainder by h; see `TaylorTable.plot`."""
    from chainrule.plotting.figure import Figure  # or says what to install

    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    h = np.array(table.h)
    ax.loglog(h, table.remainder, "o-", label="|f(x + hv) - f(x) - h g·v|")
    for power, style in ((1, ":"), (2, "--")):
        ax.loglog(h, table.remainder[0] * (h / h[0]) ** power, style, color="#909090", label=f"rate {power}")
    ax.axhline(table.rounding, color="#c02020", linewidth=0.8, label="rounding")
    ax.set_xlabel("h")
    ax.set_title(f"Taylor test along {', '.join(table.along)}", loc="left", fontsize=10, parse_math=False)
    ax.legend(fontsize=8)
    return figure


def _palette() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    stops = [(0.0, "#1a9850"), (0.3, "#91cf60"), (0.6, "#fee08b"), (0.8, "#fc8d59"), (1.0, "#d73027")]
    return LinearSegmentedColormap.from_list("difference", stops).with_extremes(bad="#d0d0d0")
