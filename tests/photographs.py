"""Photographs and scans of digits on paper, made from MNIST's images: what `load_image` is tried on.

Each is a sheet of 600 × 800 pixels or so, with a digit somewhere on it whose box is about 180 high: the share of each
pixel that is ink, then the colours of paper and ink, then the light that falls on both, then the camera's noise.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Array = NDArray[np.float64]
#: The colours, 0-1, of paper and of three inks.
PAPER, PENCIL, BLUE, RED = (0.88, 0.87, 0.84), (0.45, 0.45, 0.46), (0.12, 0.2, 0.6), (0.8, 0.15, 0.2)
BLACK, GREEN, YELLOW = (0.15, 0.15, 0.16), (0.15, 0.55, 0.25), (0.95, 0.85, 0.35)


def sheet(x: NDArray[np.uint8], rng: Generator, height: float = 180, size: tuple[int, int] = (600, 800)) -> Array:
    """Lay the digit, whose box of 20 pixels becomes `height`, anywhere on a sheet: 0 is paper and 1 is ink."""
    side = round(height * 28 / 20)
    field = Image.fromarray(x.reshape(28, 28)).resize((side, side), Image.Resampling.BICUBIC)
    digit = np.clip((np.asarray(field) / 255 - 0.5) * max(side / 60, 1) + 0.5, 0, 1)  # the sharp edge of a pen
    ink = np.zeros(size[::-1])
    top, left = rng.integers(0, size[1] - side + 1), rng.integers(0, size[0] - side + 1)
    ink[top : top + side, left : left + side] = digit
    return ink


def coloured(ink: Array, paper: tuple[float, ...] = PAPER, pen: tuple[float, ...] = BLACK) -> Array:
    """Give the sheet its colours."""
    return np.asarray(ink[..., None] * np.array(pen) + (1 - ink[..., None]) * np.array(paper))


def taken(colours: Array, rng: Generator, light: float | Array = 1.0, noise: float = 0.012) -> Image.Image:
    """Take a photograph: light, and noise of the camera and the paper's grain."""
    grain = Image.fromarray(rng.normal(0, 0.02, [n // 8 + 1 for n in colours.shape[:2]]))
    grained = colours + np.asarray(grain.resize(colours.shape[1::-1], Image.Resampling.BICUBIC))[..., None]
    seen = grained * np.broadcast_to(light, colours.shape[:2])[..., None] + rng.normal(0, noise, colours.shape)
    return Image.fromarray(np.rint(np.clip(seen, 0, 1) * 255).astype(np.uint8))


def plain(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Take a photograph without any trouble."""
    return taken(coloured(sheet(x, rng)), rng)


def across(shape: tuple[int, ...], rng: Generator) -> Array:
    """Give how far each pixel lies, in pixels, on one side of a line in any direction, near the middle."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    turn = rng.uniform(0, 2 * np.pi)
    off = rng.uniform(-0.15, 0.15) * min(shape)
    return np.asarray((x - width / 2) * np.cos(turn) + (y - height / 2) * np.sin(turn) - off)


def soft_shadow(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Let the light fall off to 40 % across a third of the sheet."""
    ink = sheet(x, rng)
    return taken(coloured(ink), rng, 1 - 0.6 / (1 + np.exp(-across(ink.shape, rng) / 50)))


def hard_shadow(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Let a shadow with an edge of few pixels take 60 % of the light."""
    ink = sheet(x, rng)
    return taken(coloured(ink), rng, 1 - 0.6 * np.clip(across(ink.shape, rng) / 4 + 0.5, 0, 1))


def perspective(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Look at the sheet, on a dark table, from below and from a side."""
    picture = taken(coloured(sheet(x, rng)), rng)
    w, h = picture.size
    corners = np.array([(0, 0), (0, h), (w, h), (w, 0)]) + rng.uniform(-0.02, 0.02, (4, 2)) * (w, h)
    narrow = rng.uniform(0.1, 0.25)
    lean = rng.uniform(-0.1, 0.1)
    corners[0] += (narrow * w, (0.05 + lean) * h)
    corners[3] += (-narrow * w, (0.05 - lean) * h)
    # The map from the picture taken to the sheet: 8 numbers from 4 points.
    rows = []
    for (u, v), (s, t) in zip(corners, [(0, 0), (0, h), (w, h), (w, 0)], strict=True):
        rows += [[u, v, 1, 0, 0, 0, -s * u, -s * v, s], [0, 0, 0, u, v, 1, -t * u, -t * v, t]]
    system = np.array(rows)
    turned = tuple(np.linalg.solve(system[:, :8], system[:, 8]))
    table = (70, 55, 45)
    return picture.transform(
        picture.size, Image.Transform.PERSPECTIVE, turned, Image.Resampling.BILINEAR, fillcolor=table
    )


def transparent_corners(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Set a slanting scan upright: its corners are transparent, black or white below."""
    picture = plain(x, rng).convert("RGBA")
    below = (0, 0, 0, 0) if rng.random() < 0.5 else (255, 255, 255, 0)
    turn = rng.uniform(5, 12) * rng.choice([-1, 1])
    return picture.rotate(turn, Image.Resampling.BICUBIC, expand=True, fillcolor=below)


def transparent_inside(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Erase some of the paper, and fade the rest: holes, and paper that is half transparent."""
    ink = sheet(x, rng)
    picture = taken(coloured(ink), rng).convert("RGBA")
    alpha = Image.new("L", picture.size, int(rng.integers(120, 256)))
    draw = ImageDraw.Draw(alpha)
    for _ in range(6):
        left, top = rng.uniform(0, 500), rng.uniform(0, 700)
        draw.ellipse([left, top, left + rng.uniform(30, 150), top + rng.uniform(30, 150)], 0)
    picture.putalpha(Image.fromarray(np.where(ink > 0.3, 255, np.asarray(alpha)).astype(np.uint8)))
    return picture


def sixteen_bits(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Scan in grey with 16 bits a pixel."""
    grey = np.asarray(plain(x, rng).convert("L")).astype(np.uint16)
    return Image.fromarray(grey * 257 + rng.integers(0, 100, grey.shape).astype(np.uint16))


def few_of_16_bits(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Scan with 8, 10 or 12 bits, stored in 16 as they are."""
    grey = np.asarray(plain(x, rng).convert("L")).astype(np.uint16)
    return Image.fromarray(grey * np.uint16(rng.choice([1, 4, 16])))


def cmyk(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Store a picture for the printer."""
    return plain(x, rng).convert("CMYK")


def rules(shape: tuple[int, ...], step: float, slope: float, width: float, offset: float) -> Array:
    """Draw lines across, `step` apart, slightly slanted."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    away = np.abs((y + slope * x - offset + step / 2) % step - step / 2)
    return np.asarray(np.clip(width / 2 - away + 0.5, 0, 1))


def lined_paper(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write on school paper: blue rules, thinner and lighter than the pen, and a red margin."""
    ink = sheet(x, rng)
    slope = rng.uniform(-0.03, 0.03)
    lines = rules(ink.shape, rng.uniform(45, 80), slope, rng.uniform(1.5, 3.5), rng.uniform(0, 80))
    page = coloured(lines, pen=(0.5, 0.6, 0.8))
    margin = rules(ink.T.shape, 10_000, -slope, 2.5, rng.uniform(60, 100)).T
    page = page * (1 - margin[..., None]) + margin[..., None] * (0.85, 0.45, 0.45)
    return taken(page * (1 - ink[..., None]) + ink[..., None] * np.array(BLUE), rng)


def coloured_pen(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write in blue, red, green, orange or violet."""
    pens = [BLUE, RED, GREEN, (0.95, 0.55, 0.15), (0.5, 0.25, 0.65)]
    return taken(coloured(sheet(x, rng), pen=pens[rng.integers(5)]), rng)


def jpeg_20(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Take a plain photograph, to be stored as JPEG at quality 20."""
    return again(plain(x, rng), quality=20)


def again(picture: Image.Image, quality: int) -> Image.Image:
    """Store the picture as JPEG and read it again."""
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return Image.open(file).copy()


def blur(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Focus badly: by a radius of 6 to 12 pixels, where the stroke is some 20 wide."""
    ink = Image.fromarray((sheet(x, rng) * 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(rng.uniform(6, 12)))
    return taken(coloured(np.asarray(ink) / 255), rng)


def digit_of_20(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write small: the digit's box has 20 pixels, the sheet 90 × 120."""
    return taken(coloured(sheet(x, rng, 20, (90, 120))), rng)


def digit_of_4000(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Come close: the digit's box has 4000 pixels, the picture 32 million."""
    return taken(coloured(sheet(x, rng, 180, (257, 257))), rng).resize((5654, 5654), Image.Resampling.BICUBIC)


#: What the tests ask for.
ASKED: dict[str, Callable[[NDArray[np.uint8], Generator], Image.Image]] = {
    "soft shadow": soft_shadow,
    "hard shadow, 60 %": hard_shadow,
    "perspective, on a table": perspective,
    "turned, transparent corners": transparent_corners,
    "transparency in the sheet": transparent_inside,
    "16 bits": sixteen_bits,
    "8, 10 or 12 of 16 bits": few_of_16_bits,
    "CMYK": cmyk,
    "lined paper": lined_paper,
    "coloured pen": coloured_pen,
    "JPEG, quality 20": jpeg_20,
    "blur": blur,
    "digit of 20 pixels": digit_of_20,
    "digit of 4000 pixels": digit_of_4000,
}


def grid_paper(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write on squared paper."""
    ink = sheet(x, rng)
    step, slope, width = rng.uniform(25, 45), rng.uniform(-0.03, 0.03), rng.uniform(1, 2.5)
    across = rules(ink.shape, step, slope, width, rng.uniform(0, 40))
    down = rules(ink.T.shape, step, -slope, width, rng.uniform(0, 40)).T
    page = coloured(np.maximum(across, down), pen=(0.6, 0.66, 0.75))
    return taken(page * (1 - ink[..., None]) + ink[..., None] * np.array(BLACK), rng)


def dark_rules(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write on paper whose rules are as dark as the pen."""
    ink = sheet(x, rng)
    lines = rules(ink.shape, rng.uniform(45, 80), rng.uniform(-0.03, 0.03), rng.uniform(1.5, 3.5), rng.uniform(0, 80))
    return taken(coloured(np.maximum(ink, lines)), rng)


def blackboard(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write with chalk on a board that is wiped badly."""
    ink = sheet(x, rng)
    chalk = np.clip(ink * rng.uniform(0.6, 1.25, ink.shape), 0, 1)
    wiped = Image.fromarray(rng.uniform(0, 0.15, (14, 6))).resize(ink.shape[::-1], Image.Resampling.BICUBIC)
    return taken(coloured(chalk, (0.14, 0.2, 0.17), (0.85, 0.85, 0.8)) + np.asarray(wiped)[..., None], rng)


def pencil(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write in a light pencil, with grain in its stroke."""
    ink = sheet(x, rng)
    return taken(coloured(np.clip(ink * rng.uniform(0.3, 1, ink.shape), 0, 1), pen=PENCIL), rng)


def red_on_yellow(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write in red on a yellow note."""
    return taken(coloured(sheet(x, rng), YELLOW, RED), rng)


def yellow_pen(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write with a yellow marker, which is nearly as light as paper."""
    return taken(coloured(sheet(x, rng), pen=(0.93, 0.87, 0.3)), rng)


def fine_pen(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write with a fine pen, whose stroke is a fifth to a half of MNIST's."""
    side = 252
    field = Image.fromarray(x.reshape(28, 28)).resize((side, side), Image.Resampling.BICUBIC)
    thick = Image.fromarray(((np.asarray(field) > 110) * 255).astype(np.uint8))
    core = np.asarray(thick, bool)
    line = np.zeros_like(core)
    while core.any():  # the skeleton by openings (Lantuéjoul 1978)
        eroded = Image.fromarray(core.astype(np.uint8)).filter(ImageFilter.MinFilter(3))
        line |= core & ~np.asarray(eroded.filter(ImageFilter.MaxFilter(3)), bool)
        core = np.asarray(eroded, bool)
    pen = Image.fromarray(line.astype(np.uint8) * 255).filter(ImageFilter.MaxFilter(2 * int(rng.integers(2, 4)) + 1))
    ink = np.zeros((800, 600))
    top, left = rng.integers(0, 800 - side), rng.integers(0, 600 - side)
    ink[top : top + side, left : left + side] = np.asarray(pen.filter(ImageFilter.GaussianBlur(1))) / 255
    return taken(coloured(ink, pen=BLUE), rng)


def small_on_a_page(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write one digit of 1/20 of the height on a whole page."""
    return taken(coloured(sheet(x, rng, 60, (900, 1200))), rng)


def cropped(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Cut the picture to the digit's outline."""
    ink = sheet(x, rng)
    rows, columns = np.flatnonzero((ink > 0.5).any(axis=1)), np.flatnonzero((ink > 0.5).any(axis=0))
    return taken(coloured(ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]), rng)


def cut_off(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Lose a quarter of the digit behind the picture's edge."""
    ink = sheet(x, rng)
    rows = np.flatnonzero((ink > 0.5).any(axis=1))
    return taken(coloured(ink[rows[0] + len(rows) // 4 :]), rng)


def strong_noise(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Take it in the dark: a tenth of the light, and the noise that is left when it is made bright again."""
    return taken(coloured(sheet(x, rng)), rng, noise=0.12)


def dirt(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write on a sheet with stains, specks and a fold."""
    ink = sheet(x, rng)
    draw = ImageDraw.Draw(spots := Image.new("L", ink.shape[::-1]))
    for _ in range(40):
        left, top, wide = rng.uniform(0, 600), rng.uniform(0, 800), rng.uniform(1, 14)
        draw.ellipse([left, top, left + wide, top + wide], int(rng.integers(60, 255)))
    fold = np.where(across(ink.shape, rng) > 0, 1, 0.85)
    return taken(coloured(np.maximum(ink, np.asarray(spots) / 255)), rng, fold)


def hand_shadow(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Let a hand and a pencil throw shadows, with edges, over the sheet."""
    ink = sheet(x, rng)
    draw = ImageDraw.Draw(shade := Image.new("L", ink.shape[::-1]))
    a, b = rng.uniform(0, 600), rng.uniform(300, 800)
    draw.ellipse([a - 250, b - 130, a + 250, b + 300], 255)
    draw.line([(a, b), (a + rng.uniform(-300, 300), b - 400)], 255, 50)
    return taken(coloured(ink), rng, 1 - 0.5 * np.asarray(shade.filter(ImageFilter.GaussianBlur(3))) / 255)


def two_digits(x: NDArray[np.uint8], rng: Generator) -> Image.Image:
    """Write beside the digit a one of nearly its height: the digit is the larger."""
    ink = sheet(x, rng, 180, (400, 800))
    beside = np.zeros((800, 200))
    top = rng.integers(50, 600)
    beside[top : top + 130, 95:110] = 1
    return taken(coloured(np.hstack([ink, beside])), rng)


#: Other kinds, whose rates are told only.
OTHERS: dict[str, Callable[[NDArray[np.uint8], Generator], Image.Image]] = {
    "plain": plain,
    "grid paper": grid_paper,
    "rules as dark as the pen": dark_rules,
    "chalk on a blackboard": blackboard,
    "pencil": pencil,
    "red pen on yellow paper": red_on_yellow,
    "yellow marker": yellow_pen,
    "fine pen": fine_pen,
    "small on a page": small_on_a_page,
    "cut to its outline": cropped,
    "a quarter cut off": cut_off,
    "strong noise": strong_noise,
    "stains and a fold": dirt,
    "shadow of a hand": hand_shadow,
    "a stroke beside it": two_digits,
}
