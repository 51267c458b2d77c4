"""Draw the pictures of docs/chapter-6.md to chapter-8.md anew: ``python docs/pictures/chapters.py``. Takes a minute.

Each page is run, and what its own snippets have computed is drawn: the pictures show what the text says. The Chinese
pages show the same pictures.
"""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from chainrule import plot_mistakes

HERE = Path(__file__).parent
BLUE, RED, GREY = "#3f83d1", "#d0541f", "#8a94a0"
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}


def names_of(page: str) -> dict[str, Any]:
    """Run the snippets of a page; give what they have named."""
    names: dict[str, Any] = {"__name__": page}
    text = (HERE.parent / page).read_text(encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        for snippet in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S):
            exec(compile(snippet, page, "exec"), names)
    return names


def valley(names: dict[str, Any]) -> Figure:
    """Draw the optimizers' ways over lines of equal height."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    across, down = np.meshgrid(np.linspace(-7, 7, 200), np.linspace(-2, 2, 100))
    height = 0.03 * across**2 + down**2
    panels = figure.subplots(2, 2, sharex=True, sharey=True).ravel()
    for axes, (name, path) in zip(panels, names["paths"].items(), strict=True):
        axes.contour(across, down, np.sqrt(height), levels=8, colors=GREY, linewidths=0.5)
        axes.plot(*path.T, ".-", color=BLUE, linewidth=1, markersize=4)
        axes.plot(0, 0, "+", color=RED, markersize=9)
        axes.set_title(name, loc="left", fontsize=9)
    return figure


def initial_values(names: dict[str, Any]) -> Figure:
    """Draw how the outputs of each layer are spread, a row for each way to begin."""
    seen = names["seen"]
    figure = Figure(figsize=(8, 7), layout="constrained")
    for row, ((activation, std), outputs) in zip(
        figure.subplots(len(seen), 5, sharex="row"), seen.items(), strict=True
    ):
        end = 1 if activation == "sigmoid" else 3
        for n, (axes, out) in enumerate(zip(row, outputs, strict=True), start=1):
            axes.hist(out.ravel(), bins=30, range=(0, end), color=BLUE)
            axes.set_yticks([])
            if (activation, std) == next(iter(seen)):
                axes.set_title(f"layer {n}", fontsize=9)
        row[0].set_ylabel(f"{activation}\n{std}")
    return figure


def batch_norm(names: dict[str, Any]) -> Figure:
    """Draw the accuracy over the epochs, a panel for each deviation of the weights."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    for axes, std in zip(figure.subplots(1, 2, sharey=True), (0.01, "he"), strict=True):
        for norm, colour, line, label in ((False, GREY, "--", "without"), (True, BLUE, "-", "with")):
            accuracy = names["curves"][std, norm]
            axes.plot(range(1, len(accuracy) + 1), accuracy, line, color=colour, label=f"{label} batch normalization")
        axes.set(title=f"weights {std}", xlabel="epoch", ylim=(0, 1.02))
    figure.axes[0].set_ylabel("accuracy")
    figure.axes[1].legend(frameon=False, loc="lower right")
    return figure


def overfitting(names: dict[str, Any]) -> Figure:
    """Draw accuracy and loss of images that were seen, and of others."""
    runs = names["runs"]
    figure = Figure(figsize=(8, 4), layout="constrained")
    panels = figure.subplots(2, len(runs), sharex=True, sharey="row")
    for column, (name, history) in zip(panels.T, runs.items(), strict=True):
        for axes, measure in zip(column, ("accuracy", "loss"), strict=True):
            for sort, colour, line, label in (("train", BLUE, "-", "seen"), ("validation", RED, "--", "unseen")):
                axes.plot(getattr(history, f"{sort}_{measure}"), line, color=colour, label=label)
        column[0].set_title(name, loc="left", fontsize=9)
        column[1].set_xlabel("epoch")
    panels[0, 0].set(ylabel="accuracy", ylim=(0, 1.02))
    panels[1, 0].set(ylabel="loss", ylim=(0, 1.5))
    panels[0, 0].legend(frameon=False, loc="lower right")
    return figure


def filters(names: dict[str, Any]) -> Figure:
    """Draw the filters before training, and below them after it; each in a scale of its own."""
    rows = {"before": names["before"], "after": names["net"].params["W1"]}
    figure = Figure(figsize=(8, 1.9), layout="constrained")
    panels = figure.subplots(2, len(rows["before"]))
    for line, (name, W) in zip(panels, rows.items(), strict=True):
        for axes, image in zip(line, W[:, 0], strict=True):
            end = np.abs(image).max()
            axes.imshow(image, cmap="gray", vmin=-end, vmax=end)
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    return figure


def feature_maps(names: dict[str, Any]) -> Figure:
    """Draw an image, and what each filter makes of it."""
    tiles = [names["x_test"][0, 0], *names["maps"][0]]
    figure = Figure(figsize=(8, 1.1), layout="constrained")
    for axes, image in zip(figure.subplots(1, len(tiles)), tiles, strict=True):
        axes.imshow(image, cmap="gray_r")
        axes.set(xticks=[], yticks=[])
    return figure


def mistakes(names: dict[str, Any]) -> Figure:
    """Draw the worst mistakes of chapter 8's network."""
    return plot_mistakes(names["net"], names["x_test"][:500], names["t_test"][:500], count=10)


PICTURES = {
    "chapter-6.md": {
        "valley.png": valley,
        "initial-values.png": initial_values,
        "batch-norm.png": batch_norm,
        "overfitting.png": overfitting,
    },
    "chapter-7.md": {"filters.png": filters, "feature-maps.png": feature_maps},
    "chapter-8.md": {"mistakes.png": mistakes},
}


def main() -> None:
    """Write them all beside this script."""
    for page, pictures in PICTURES.items():
        names = names_of(page)
        for file, draw in pictures.items():
            with mpl.rc_context(STYLE):
                draw(names).savefig(HERE / file, dpi=110, facecolor="white")


if __name__ == "__main__":
    main()
