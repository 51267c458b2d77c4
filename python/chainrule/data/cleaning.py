"""The ink of one digit, found in a photograph or a scan: paper, light, ruled lines and other objects are removed.

The steps, each a textbook method:

- the paper, with the light on it, is the morphological closing of the picture: dark strokes narrower than a window are
  filled from both sides, while a shadow wider than the window keeps its edge (J. Serra, "Image Analysis and
  Mathematical Morphology", 1982); where the picture is darker than the paper, there is ink (the bottom-hat transform);
- both dark ink and light ink are looked for; the shape is taken whose outline follows edges in the picture itself and
  not edges of the window, or else the shape that encloses the other, which is the inside of a loop;
- ruled lines are rows with ink from side to side, after a shear that makes them level; vertical runs of ink that are no
  longer than a line is wide are removed there, as staff lines are from music (J. W. Roach, J. E. Tatem, "Using Domain
  Knowledge in Low-Level Visual Processing to Interpret Handwritten Music", 1988);
- the digit is the heaviest connected shape with the small shapes near it; a stroke finer than MNIST's is widened;
- ink is what lies above Otsu's threshold in the digit's box (N. Otsu, "A Threshold Selection Method from Gray-Level
  Histograms", 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.float32]
Mask = NDArray[np.bool_]
Bytes = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

_LEAST_CONTRAST = 0.08  # share of the paper's light: a light pencil has more contrast, the noise of blank paper less
_LITTLE_CONTRAST = 0.2
_WINDOW = 3  # the closing's window is the longer side divided by this: wider than strokes, narrower than shadows
_FINEST = 1 / 14  # share of the digit's longer side: finer strokes are widened, or they would fade at 20 pixels
_CELLS = 160  # cells on the longer side when shapes are told apart
_STEEPEST = 0.1  # largest slope of ruled lines
_SMALLEST_LINED = 100  # pixels: in smaller pictures, a line may just as well be a stroke


def find_ink(colours: Bytes, alpha: Bytes | None) -> tuple[Bytes, list[str]] | None:
    """Find the digit in `colours` (height, width, 1 or 3).

    Return its ink, cropped to its box (0 is none, 255 full), and a list of doubts; or None if nothing is drawn.
    """
    doubts: list[str] = []
    known = np.ones(colours.shape[:2], bool)
    if alpha is not None and alpha.min() < 255:
        known = _sheet(colours, alpha)
        if known.any():
            doubts.append("part of the sheet is transparent, and was taken for paper")
        else:  # the opaque part has one colour, or is as narrow as strokes: its outline is the drawing
            colours, known = alpha[..., None], np.ones(alpha.shape, bool)
    grey = _most_telling(colours, known)
    found = [drawn for light in (False, True) if (drawn := _drawn(grey, known, light)) is not None]
    if not found:
        return None
    best = found[0] if len(found) == 1 or found[0].outdoes(found[1]) else found[1]
    return _levels(best, doubts + best.doubts)


def _drawn(grey: Grey, known: Mask, light: bool) -> _Drawn | None:
    """Find what is drawn dark on light or, if `light`, light on dark; None if nothing is."""
    doubts: list[str] = []
    # For light on dark, the picture is inverted. The ground under chalk must be dark, or its noise would count as ink.
    grey = 255 - grey if light else grey
    darkness, missing = _darkness(grey, known, 128 if light else 1)
    low, middle = np.percentile(darkness[known][::5], [10, 30])  # of the paper, however much ink there is
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
    digit = _digit(inked, darkness, doubts)
    if digit is None:
        return None
    y, x = np.nonzero(digit)
    rows, columns = slice(int(y.min()), int(y.max()) + 1), slice(int(x.min()), int(x.max()) + 1)
    box = slice(max(0, rows.start - 3), rows.stop + 3), slice(max(0, columns.start - 3), columns.stop + 3)
    strength, outlined = float(np.median(missing[digit])), _outlined(digit[box], grey[box], missing[box])
    return _Drawn(darkness, digit, rows, columns, strength, outlined, doubts)


def _outlined(shape: Mask, grey: Grey, missing: Grey) -> float:
    """Give the share of the step in `missing`, along the shape's outline, that is also a step in the picture."""
    outline = _highest(shape, 5) & ~_lowest(shape, 3)
    steps = [_highest(values, 5)[outline] - _lowest(values, 5)[outline] for values in (grey, missing)]
    return float(np.minimum(*steps).sum() / max(steps[1].sum(), 1))


# --- light and dark ---


def _sheet(colours: Bytes, alpha: Bytes) -> Mask:
    """Tell where a partly transparent sheet is visible; nowhere if the transparency itself is the drawing."""
    opaque = alpha > alpha.max() / 4
    inside = _lowest(opaque, 5)  # colours are mixed at the rim
    rows, columns = np.flatnonzero(opaque.any(axis=1)), np.flatnonzero(opaque.any(axis=0))
    side = int(max(np.ptp(rows), np.ptp(columns))) if len(rows) else 0
    grey = colours.mean(axis=2)[inside]
    one_colour = not len(grey) or np.ptp(grey) < 255 * _LEAST_CONTRAST
    if one_colour or not _lowest(opaque, side // 3 + 1).any():
        return np.zeros_like(inside)
    return inside


def _most_telling(colours: Bytes, known: Mask) -> Grey:
    """Give the channel, or the mean of all, in which something stands out most from its surroundings."""
    bands = [colours.mean(axis=2), *np.moveaxis(colours, 2, 0)] if colours.shape[2] > 1 else [colours[..., 0]]
    best, grey = -1.0, np.asarray(bands[0], np.float32)
    for i, band in enumerate(bands):
        band = np.where(known, band, np.median(band[known][::7])).astype(np.float32)
        size = [max(1, round(n * min(1, 64 / max(band.shape)))) for n in band.shape[::-1]]
        coarse = np.asarray(Image.fromarray(band).resize(size, Image.Resampling.BOX))
        noise = 2 + float(np.median(np.abs(np.diff(band[::4], axis=1)))) if band.shape[1] > 1 else 2
        telling = float(np.abs(coarse - np.median(coarse)).max()) / noise
        telling *= 1.3 if i == 0 else 1  # a single channel of a JPEG is coarser
        if telling > best:
            best, grey = telling, np.asarray(band, np.float32)
    return grey


def _darkness(grey: Grey, known: Mask, least: int) -> tuple[Grey, Grey]:
    """Give how much of the paper's light is missing, as a share and in grey levels; paper has `least` or more."""
    side = max(grey.shape)
    calm = Image.fromarray(np.rint(grey).astype(np.uint8)).filter(ImageFilter.GaussianBlur(side / 800))
    grey = np.asarray(calm)
    window = max(3, side // _WINDOW | 1)
    reach = window // 2  # windows centred outside count too, or shadows would lose their corners
    highest = _highest(np.pad(np.where(known, grey, 0), reach, mode="edge"), window)
    highest[highest == 0] = 255  # nothing is known there
    paper = _lowest(highest, window)[reach:-reach, reach:-reach].astype(np.float32)
    missing = np.where(known, paper - grey, 0)
    darkness = missing / np.maximum(paper, least)
    return np.asarray(darkness - np.percentile(darkness[known][::5], 30), np.float32), missing


def _highest(values: NDArray[T], window: int) -> NDArray[T]:
    """Give the highest value in a square window around each pixel; the window is cut off at the edge."""
    for axis in (0, 1):
        values = np.moveaxis(values, axis, 0)
        reach = window // 2
        padded = np.pad(values, ((reach, reach), (0, 0)), mode="edge")
        width = 1
        while width < window:  # double the width of the windows until it is enough
            step = min(width, window - width)
            padded = np.maximum(padded[: len(padded) - step], padded[step:])
            width += step
        values = np.moveaxis(padded, 0, axis)
    return values


def _lowest(values: NDArray[T], window: int) -> NDArray[T]:
    opposite: Any = np.negative if values.dtype.kind == "f" else np.invert
    lowest: NDArray[T] = opposite(_highest(opposite(values), window))
    return lowest


# --- lines ---


def _lines(inked: Mask) -> Mask:
    """Tell which inked pixels belong only to lines that run from side to side."""
    height, width = inked.shape
    if min(height, width) < _SMALLEST_LINED:
        return np.zeros_like(inked)
    y, x = np.nonzero(inked)
    reach = int(_STEEPEST * width) + 1
    step = len(y) // 20_000 + 1
    some = slice(None, None, step)
    slopes = np.linspace(-_STEEPEST, _STEEPEST, 81)
    rows = [np.bincount(y[some] + np.rint(slope * x[some]).astype(int) + reach) for slope in slopes]
    sharpest = int(np.argmax([np.square(row.astype(float)).sum() for row in rows]))
    if len(y) == 0 or rows[sharpest].max() * step < 0.4 * width:
        return np.zeros_like(inked)
    slope = slopes[sharpest]
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
    # With the columns one after another and a gap after each, all the ink is a series of runs.
    down, on_line = (np.pad(mask, ((0, 1), (0, 0))).T.ravel() for mask in (inked, lines[level]))
    starts, stops = _runs(down)
    hits = np.concatenate([[0], np.cumsum(on_line)])
    short = (stops - starts <= 2 * thickest + 2) & (hits[stops] > hits[starts])
    change = np.zeros(len(down) + 1, int)
    change[starts[short]] = 1
    change[stops[short]] = -1
    return np.asarray(np.cumsum(change)[:-1].reshape(width, height + 1)[:, :height].T > 0)


def _runs(flags: Mask) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Give where the runs of true flags start and where they stop."""
    change = np.diff(np.pad(flags.astype(np.int8), 1))
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)


# --- shapes ---


@dataclass
class _Drawn:
    """A digit that was found: the darkness of the picture, the pixels of the digit's ink, and their bounding box."""

    darkness: Grey
    inked: Mask
    rows: slice
    columns: slice
    strength: float  # of the ink, in grey levels
    outlined: float  # share of the step along its outline that is in the picture, 0-1, and not due to the window
    doubts: list[str]

    def outdoes(self, other: _Drawn) -> bool:
        """Tell whether this is the digit, and `other`, in the opposite colour, only a loop's inside or a shadow."""
        if not 0.5 < self.strength / max(other.strength, 1) < 2:
            return self.strength > other.strength
        if abs(self.outlined - other.outlined) > 0.05:
            return self.outlined > other.outlined
        return not other._holds(self)

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
    along_edge: bool

    @property
    def side(self) -> int:
        return max(self.bottom - self.top, self.right - self.left)

    def apart(self, other: _Shape) -> tuple[int, int]:
        """Give how far apart the two boxes are, down and across; negative if they overlap."""
        return (
            max(self.top, other.top) - min(self.bottom, other.bottom),
            max(self.left, other.left) - min(self.right, other.right),
        )


def _digit(inked: Mask, darkness: Grey, doubts: list[str]) -> Mask | None:
    """Tell which pixels of ink belong to the digit; None if there is no digit."""
    cell = -(-max(inked.shape) // _CELLS)
    rest = [(0, -n % cell) for n in inked.shape]
    height, width = (-(-n // cell) for n in inked.shape)
    mass = np.pad(np.where(inked, darkness, 0) ** 2, rest).reshape(height, cell, width, cell).sum(axis=(1, 3))
    labels = _connected(mass > 0)
    chosen = _chosen(_shapes(labels, mass), max(height, width), doubts)
    if not chosen:
        return None
    mine = np.isin(labels, [shape.label for shape in chosen]).repeat(cell, axis=0).repeat(cell, axis=1)
    return inked & mine[: inked.shape[0], : inked.shape[1]]


def _chosen(shapes: list[_Shape], longest: int, doubts: list[str]) -> list[_Shape]:
    """Give the largest shape and those that belong to it; an empty list if there are only specks."""
    # A shape along the edge is a table or a shadow, if there is anything else.
    free = [shape for shape in shapes if not shape.along_edge] or shapes
    digit = max(free, key=lambda shape: shape.mass * (0.5 if shape.at_edge else 1), default=None)
    if digit is None or digit.side < max(2, 0.02 * longest) or sum(s.mass > 0.3 * digit.mass for s in shapes) > 10:
        return []
    chosen, several = [digit], False
    for other in free:
        if other is digit or other.mass < 0.02 * digit.mass:
            continue
        down, across = digit.apart(other)
        like = other.mass > 0.3 * digit.mass or other.side > 0.6 * digit.side
        if max(down, across) <= 0.15 * digit.side and not (like and across >= 0):  # a bar of 5; not 1 beside 2
            chosen.append(other)
        else:
            several |= like
    if several:
        doubts.append("more than one shape is drawn, and the largest was taken")
    if any(shape.at_edge for shape in chosen):
        doubts.append("the digit reaches the edge of the picture, and may be cut off there")
    return chosen


def _connected(cells: Mask) -> NDArray[np.int32]:
    """Label each shape by one of its cells: every cell takes its neighbours' highest number, until all agree."""
    labels = np.where(cells, np.arange(1, cells.size + 1, dtype=np.int32).reshape(cells.shape), 0)
    while True:
        spread = np.where(cells, _highest(labels, 3), 0)
        if (spread == labels).all():
            return labels
        named = (
            spread.ravel()
        )  # the cell after which a label is named takes a higher label at once, and passes it on to the others:
        np.maximum.at(named, labels[cells] - 1, spread[cells])  # else a spiral would take as many turns as it is long
        labels = np.where(cells, named[spread - 1], 0)


def _shapes(labels: NDArray[np.int32], mass: Grey) -> list[_Shape]:
    """Describe the 50 heaviest shapes, heaviest first."""
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
        shape = _Shape(int(label), float(masses[label]), top, bottom, left, right, at_edge, along_edge=False)
        shape.along_edge = along > 0.5 * shape.side
        found.append(shape)
    return found


# --- the digit ---


def _levels(drawn: _Drawn, doubts: list[str]) -> tuple[Bytes, list[str]]:
    """Cut the digit out and scale it: the median of its ink becomes 255, and all that is not part of it 0."""
    around = tuple(slice(max(0, part.start - 2), part.stop + 2) for part in (drawn.rows, drawn.columns))
    darkness, shape = drawn.darkness[around], drawn.inked[around]
    level = float(np.median(darkness[shape]))
    if level < _LITTLE_CONTRAST:
        doubts.append(f"little contrast: the ink takes {level:.0%} of the paper's light")
    levels = np.where(_highest(shape, 5), np.clip(darkness / level, 0, 1), 0)
    threshold = _otsu(np.rint(levels * 255).astype(np.uint8)) / 255
    ink = levels > threshold
    stroke = 2 * ink.sum() / (ink & ~_lowest(np.pad(ink, 1), 3)[1:-1, 1:-1]).sum()  # area over length: half the outline
    finer = round(max(shape.shape) * _FINEST - stroke)
    if finer > 0:
        levels = _highest(np.pad(levels, finer), finer | 1)
        ink = levels > threshold
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    levels = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    steep = max(1.0, max(levels.shape) / 40)  # a large digit gets the sharp edge of a pen, however blurred it is
    levels = np.clip((levels - threshold) * steep + threshold, 0, 1)
    return np.rint(levels * 255).astype(np.uint8), doubts


def _otsu(levels: Bytes) -> int:
    """Give Otsu's threshold: the level that splits the pixels into two groups with most variance between them."""
    counts = np.bincount(levels.ravel(), minlength=256).astype(np.float64)
    below, sums = counts.cumsum(), (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    apart = sums / np.maximum(below, 1) - (sums[-1] - sums) / np.maximum(above, 1)
    return int(np.argmax(below * above * apart**2))
