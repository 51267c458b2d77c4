"""The ink of one digit, found in a photograph or a scan: paper, light, lines and what lies beside it taken away.

The steps, each a method of the textbooks:

- the paper, with the light on it, is the morphological closing of the picture: dark strokes narrower than a window are
  filled from both sides, while a shadow wider than it keeps its edge (J. Serra, "Image Analysis and Mathematical
  Morphology", 1982); what the picture lacks of the paper's light is ink (the bottom-hat transform);
- whether the ink is dark or light is the sign of the skewness about a coarse local median;
- ruled lines are rows with ink from side to side, after a shear that makes them level; vertical runs of ink that are no
  longer than a line is wide are taken out there, as staff lines are from music (J. W. Roach, J. E. Tatem, "Using Domain
  Knowledge in Low-Level Visual Processing to Interpret Handwritten Music", 1988);
- the digit is the heaviest connected shape, and the small ones near it;
- ink is what lies above Otsu's threshold in its box (N. Otsu, "A Threshold Selection Method from Gray-Level
  Histograms", 1979).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]

_LEAST_CONTRAST = 0.08  # of the paper's light: a light pencil has more, the noise of blank paper less
_LITTLE_CONTRAST = 0.2
_WINDOW = 3  # the closing's window is this part of the longer side: wider than strokes, narrower than shadows
_CELLS = 160  # the longer side, when shapes are told apart
_STEEPEST = 0.1  # slope of ruled lines
_SMALLEST_LINED = 100  # pixels: in smaller pictures, a line may as well be a stroke


@dataclass
class Ink:
    """A digit's ink in its outline, 0 nothing and 255 all, and what makes it doubtful."""

    levels: NDArray[np.uint8]
    doubts: list[str]


def find_ink(colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> Ink | None:
    """Give the ink of the digit in `colours` (height, width, 1 or 3); None if nothing is drawn there."""
    doubts: list[str] = []
    known = np.ones(colours.shape[:2], bool)
    if alpha is not None and alpha.min() < 255:
        known = _sheet(colours, alpha)
        if known.any():
            doubts.append("part of the sheet is transparent, and was taken for paper")
        else:  # what is opaque is all of one colour, or as narrow as strokes are: its outline is the drawing
            colours, known = alpha[..., None], np.ones(alpha.shape, bool)
    grey = _most_telling(colours, known)
    found = [drawn for light in (False, True) if (drawn := _drawn(grey, known, light)) is not None]
    if not found:
        return None
    best = found[0] if len(found) == 1 or found[0].outdoes(found[1]) else found[1]
    return _levels(best, doubts + best.doubts)


def _drawn(grey: Grey, known: Mask, light: bool) -> _Drawn | None:
    """Give what is drawn in dark on light, or in light on dark; None if nothing is."""
    doubts: list[str] = []
    # Of light on dark, the opposite is looked at. The chalk's ground is dark, or its noise would count for ink.
    grey = 255 - grey if light else grey
    darkness, missing = _darkness(grey, known, 128 if light else 1)
    low, middle = np.percentile(darkness[known][::5], [10, 30])  # of paper, however much is ink
    noise = (middle - low) / 0.757
    seen = darkness[darkness > max(_LEAST_CONTRAST, 5 * noise)].astype(float)
    if not len(seen):
        return None
    level = float((seen**3).sum() / (seen**2).sum())  # the ink's: the mean, weighted by the ink itself
    inked = darkness > level / 2
    lines = _lines(inked) | _lines(inked.T).T
    if lines.any():
        doubts.append("lines were taken off the paper")
        inked &= ~lines
    drawn = _digit(inked, darkness, doubts)
    if drawn is not None:
        drawn.outlined = _outlined(drawn, grey, missing)
    return drawn


def _outlined(drawn: _Drawn, grey: Grey, missing: Grey) -> float:
    """Give how much of the step in what is missing, along the outline, is one in the picture."""
    box = tuple(slice(max(0, part.start - 3), part.stop + 3) for part in (drawn.rows, drawn.columns))
    shape, grey, missing = drawn.inked[box], grey[box], missing[box]
    outline = _highest(shape, 5) & ~_lowest(shape, 3)
    steps = [_highest(values, 5)[outline] - _lowest(values, 5)[outline] for values in (grey, missing)]
    return float(np.minimum(*steps).sum() / max(steps[1].sum(), 1))


# --- light and dark ---


def _sheet(colours: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> Mask:
    """Tell where a sheet that is transparent in places can be seen; nowhere, if the transparency is the drawing."""
    opaque = alpha > alpha.max() / 4
    inside = _lowest(opaque, 5)  # at the rim, colours are mixed
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    side = max(np.ptp(rows), np.ptp(columns)) if len(rows) else 0
    grey = colours.mean(axis=2)[inside]
    one_colour = not len(grey) or np.ptp(grey) < 255 * _LEAST_CONTRAST
    if one_colour or not _lowest(opaque, side // 3 + 1).any():
        return np.zeros_like(inside)
    return inside


def _most_telling(colours: NDArray[np.uint8], known: Mask) -> Grey:
    """Give the channel, or their mean, in which something stands out most from its surroundings."""
    bands = [colours.mean(axis=2), *np.moveaxis(colours, 2, 0)] if colours.shape[2] > 1 else [colours[..., 0]]
    best, grey = -1.0, bands[0]
    for i, band in enumerate(bands):
        band = np.where(known, band, np.median(band[known])).astype(np.float32)
        size = [max(1, round(n * min(1, 64 / max(band.shape)))) for n in band.shape[::-1]]
        coarse = np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BOX))
        noise = 2 + float(np.median(np.abs(np.diff(band[::4], axis=1)))) if band.shape[1] > 1 else 2
        telling = float(np.abs(coarse - np.median(coarse)).max()) / noise
        telling *= 1.3 if i == 0 else 1  # a single channel of a JPEG is coarser
        if telling > best:
            best, grey = telling, band
    return grey


def _darkness(grey: Grey, known: Mask, least: int) -> tuple[Grey, Grey]:
    """Give how much of the paper's light is missing, 0-1 and in grey levels; paper is at least as light as `least`."""
    side = max(grey.shape)
    calm = Image.fromarray(np.rint(grey).astype(np.uint8)).filter(ImageFilter.GaussianBlur(side / 800))
    grey = np.asarray(calm)
    window = max(3, side // _WINDOW | 1)
    reach = window // 2  # windows with their middle outside count too, or shadows would lose their corners
    highest = _highest(np.pad(np.where(known, grey, 0), reach, mode="edge"), window)
    highest[highest == 0] = 255  # nothing is known there
    paper = _lowest(highest, window)[reach:-reach, reach:-reach].astype(np.float32)
    missing = np.where(known, paper - grey, 0)
    darkness = missing / np.maximum(paper, least)
    return np.asarray(darkness - np.percentile(darkness[known][::5], 30), np.float32), missing


def _highest(values: NDArray[np.generic], window: int) -> NDArray[np.generic]:
    """Give the highest value in a square window about each pixel, cut off at the edge."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        reach, before = window // 2, 0
        padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        width = 1
        while width < window:  # windows of twice the width, until they are wide enough
            step = min(width, window - width)
            padded = np.maximum(padded[: len(padded) - step], padded[step:])
            width += step
        values = np.moveaxis(padded, 0, axis)
    return values


def _lowest(values: NDArray[np.generic], window: int) -> NDArray[np.generic]:
    return -_highest(-values, window) if values.dtype.kind == "f" else ~_highest(~values, window)


# --- lines ---


def _lines(inked: Mask) -> Mask:
    """Tell which inked pixels belong to lines from side to side, and to nothing else."""
    height, width = inked.shape
    if min(height, width) < _SMALLEST_LINED:
        return np.zeros_like(inked)
    y, x = np.nonzero(inked)
    reach = int(_STEEPEST * width) + 1
    some = slice(None, None, len(y) // 20_000 + 1)
    slopes = np.linspace(-_STEEPEST, _STEEPEST, 81)
    rows = [np.bincount(y[some] + np.rint(slope * x[some]).astype(int) + reach) for slope in slopes]
    slope = slopes[np.argmax([np.square(row.astype(float)).sum() for row in rows])]  # the profile is sharpest
    shift = np.rint(slope * np.arange(width)).astype(int) + reach
    level = np.arange(height)[:, None] + shift  # the row of each pixel after the shear
    full = np.ones(height + 2 * reach, bool)
    end = width // 10
    for part, share in ((slice(None), 0.5), (slice(None, end), 0.8), (slice(-end, None), 0.8)):
        inside = np.bincount(level[:, part].ravel(), minlength=len(full))
        full &= np.bincount(level[:, part][inked[:, part]], minlength=len(full)) > share * inside
    starts, stops = _runs(full)
    thin = stops - starts <= max(height, width) // 50
    lines = np.zeros_like(full)
    for start, stop in zip(starts[thin], stops[thin], strict=True):
        lines[start:stop] = True
    thickest = max((stops - starts)[thin], default=0)
    # Column below column, with a gap behind each, all that is inked is runs.
    down, on_line = (np.pad(mask, ((0, 1), (0, 0))).T.ravel() for mask in (inked, lines[level]))
    starts, stops = _runs(down)
    hits = np.concatenate([[0], np.cumsum(on_line)])
    short = (stops - starts <= 2 * thickest + 2) & (hits[stops] > hits[starts])
    change = np.zeros(len(down) + 1, int)
    change[starts[short]] = 1
    change[stops[short]] = -1
    return np.asarray(np.cumsum(change)[:-1].reshape(width, height + 1)[:, :height].T > 0)


def _runs(flags: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give where the runs of true flags start, and where they stop."""
    change = np.diff(np.pad(flags.astype(np.int8), 1))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


# --- shapes ---


@dataclass
class _Drawn:
    """A digit that was found: the picture's darkness, which of it is the digit's ink, and how that lies."""

    darkness: Grey
    inked: Mask
    rows: slice
    columns: slice
    freedom: int  # 2: paper all around, 1: at the picture's edge, 0: along it
    part: float  # of the picture that its box takes
    outlined: float  # how much of the step along its outline is the picture's own, 0-1, and not the window's
    of_edge: float  # share of the picture's edge that is inked
    doubts: list[str]

    def outdoes(self, other: _Drawn) -> bool:
        """Tell whether this is rather the digit than what was found in the opposite colour: a loop's inside, a shadow."""
        if abs(self.outlined - other.outlined) > 0.1:
            return self.outlined > other.outlined
        ours, theirs = self._holds(other), other._holds(self)
        if ours != theirs:
            outer = self if ours else other
            return ours == (outer.freedom > 0 or outer.part > 0.5)
        if self.freedom != other.freedom:
            return self.freedom > other.freedom
        return self.of_edge <= other.of_edge

    def _holds(self, other: _Drawn) -> bool:
        return all(
            mine.start <= its.start and its.stop <= mine.stop
            for mine, its in ((self.rows, other.rows), (self.columns, other.columns))
        )


@dataclass
class _Shape:
    """A connected shape, in cells."""

    label: int
    mass: float
    top: int
    bottom: int
    left: int
    right: int
    at_edge: bool
    frames: bool

    @property
    def side(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)

    def apart(self, other: _Shape) -> tuple[int, int]:
        """Give how far the boxes of the two are apart, down and across; below 0 if they overlap."""
        return (
            max(self.top, other.top) - min(self.bottom, other.bottom),
            max(self.left, other.left) - min(self.right, other.right),
        )


def _digit(inked: Mask, darkness: Grey, doubts: list[str]) -> _Drawn | None:
    """Give the digit among what is inked; None if there is none."""
    cell = -(-max(inked.shape) // _CELLS)
    height, width = (-(-n // cell) for n in inked.shape)
    padded = np.pad(np.where(inked, darkness, 0) ** 2, ((0, height * cell - inked.shape[0]), (0, width * cell - inked.shape[1])))
    mass = padded.reshape(height, cell, width, cell).sum(axis=(1, 3))
    labels = _connected(mass > 0)
    shapes = _shapes(labels, mass)
    if not shapes:
        return None
    # What lies along the edge is a table's or a shadow's, if there is anything else.
    free = [s for s in shapes if not s.frames] or shapes
    digit = max(free, key=lambda s: s.mass * (0.5 if s.at_edge else 1))
    alike = sum(s.mass > 0.3 * digit.mass for s in shapes)
    if digit.side < max(2, 0.02 * max(height, width)) or alike > 10:
        return None  # specks
    chosen = [digit]
    several = False
    for other in shapes:
        if other is digit or (other.frames and not digit.frames) or other.mass < 0.02 * digit.mass:
            continue
        down, across = digit.apart(other)
        like = other.mass > 0.3 * digit.mass or other.side > 0.6 * digit.side
        if max(down, across) <= 0.15 * digit.side and not (like and across >= 0):
            chosen.append(other)
        elif like:
            several = True
    if several:
        doubts.append("more than one shape is drawn, and the largest was taken")
    if any(s.at_edge for s in chosen):
        doubts.append("the digit reaches the edge of the picture, and may be cut off there")
    freedom = min(0 if s.frames else 1 if s.at_edge else 2 for s in chosen)
    of_edge = float(np.concatenate([inked[0], inked[-1], inked[:, 0], inked[:, -1]]).mean())
    mine = np.isin(labels, [s.label for s in chosen])
    inked = inked & np.repeat(np.repeat(mine, cell, axis=0), cell, axis=1)[: inked.shape[0], : inked.shape[1]]
    y, x = np.nonzero(inked)
    rows, columns = slice(y.min(), y.max() + 1), slice(x.min(), x.max() + 1)
    part = inked[rows, columns].size / inked.size
    return _Drawn(darkness, inked, rows, columns, freedom, part, 0.0, of_edge, doubts)


def _connected(cells: Mask) -> NDArray[np.int32]:
    """Number the shapes: each cell takes the highest number among its eight neighbours, until nothing changes."""
    labels = np.where(cells, np.arange(1, cells.size + 1, dtype=np.int32).reshape(cells.shape), 0)
    while True:
        spread = np.where(cells, _highest(labels, 3), 0)
        if (spread == labels).all():
            return labels
        labels = spread


def _shapes(labels: NDArray[np.int32], mass: NDArray[np.int64]) -> list[_Shape]:
    """Describe the 50 heaviest shapes, the heaviest first."""
    masses = np.bincount(labels.ravel(), weights=mass.ravel())
    height, width = labels.shape
    found = []
    for label in np.argsort(masses)[::-1][:50]:
        if label == 0 or masses[label] == 0:
            continue
        rows, columns = np.nonzero(labels == label)
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        at_edge = top == 0 or left == 0 or bottom == height or right == width
        along = sum(int((side == label).sum()) for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]))
        frames = along > 0.5 * max(bottom - top, right - left)
        found.append(_Shape(int(label), float(masses[label]), top, bottom, left, right, at_edge, frames))
    return found


# --- the digit ---


def _levels(drawn: _Drawn, doubts: list[str]) -> Ink:
    """Cut the digit out: its ink is 255 at its median, and what does not belong to it is 0."""
    around = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in (drawn.rows, drawn.columns))
    darkness, shape = drawn.darkness[around], drawn.inked[around]
    level = float(np.median(darkness[shape]))
    if level < _LITTLE_CONTRAST:
        doubts.append(f"little contrast: the ink takes {level:.0%} of the paper's light")
    levels = np.where(_highest(shape, 5), np.clip(darkness / level, 0, 1), 0)
    threshold = otsu(np.rint(levels * 255).astype(np.uint8)) / 255
    ink = levels > threshold
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    levels = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    steep = max(1.0, max(levels.shape) / 40)  # a large digit has the sharp edge of a pen, whatever the lens made of it
    levels = np.clip((levels - threshold) * steep + threshold, 0, 1)
    return Ink(np.rint(levels * 255).astype(np.uint8), doubts)


def otsu(levels: NDArray[np.uint8]) -> int:
    """Give the level that parts the pixels into two groups with means as far apart, for their sizes, as can be."""
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    apart = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return int(np.argmax(below * above * apart**2))
