"""Record how ``chainrule check`` finds a mistake in a file, as an animated SVG: check.svg.

``python docs/pictures/recording.py`` runs the commands in a temporary folder and records what they print. The SVG has
no script: CSS animates it, and follows the reader's light or dark theme. Readers who have asked their system for no
motion, and viewers without CSS animations, see the last picture.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

FILE = "affine.py"
SOURCE = """\
class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = dout.mean(axis=0)
        return dout @ self.W.T
"""
#: The commands, and the seconds for which each one's output is looked at; the first one's is there from the beginning.
SESSION = [
    (f"cat {FILE}", 5.0),
    (f"chainrule check {FILE}", 5.0),
    (f"sed -i 's/mean/sum/' {FILE}", 0.6),
    (f"chainrule check {FILE}", 0.0),  # until all begins again
]
#: Seconds before a command is typed, for each character, until its output is there, and of the whole, then again.
PAUSE, KEY, WAIT, WHOLE = 0.5, 0.045, 0.35, 20.0
COLUMNS, WIDE, HIGH, MARGIN = 76, 7.8, 19, 16

STYLE = """\
svg{--paper:#fff;--ink:#1f2328;--soft:#6b7480;--line:#d0d7de;--wrong:#c02020;--right:#1a7f37}
@media (prefers-color-scheme:dark){svg{--paper:#15181d;--ink:#e6e9ed;--soft:#98a2ae;--line:#343b44;--wrong:#ff7b72;
--right:#56c271}}
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--ink);white-space:pre}
.soft{fill:var(--soft)}.wrong{fill:var(--wrong);font-weight:700}.right{fill:var(--right);font-weight:700}
.paper{fill:var(--paper);stroke:var(--line)}
"""


@dataclass(frozen=True)
class Piece:
    """Some characters, where they stand, when they appear, and what they say."""

    row: int
    column: int
    seconds: float
    text: str
    kind: str = ""


def session() -> Iterator[tuple[str, str, float]]:
    """Run the commands; give each, what it prints, and how long that is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE
        file.write_text(SOURCE, encoding="utf-8")
        for command, look in SESSION:
            printed = ""
            if command.startswith("cat"):
                printed = file.read_text(encoding="utf-8")
            elif command.startswith("sed"):  # which is not the same program everywhere
                file.write_text(SOURCE.replace("mean", "sum"), encoding="utf-8")
            else:
                words = [sys.executable, "-m", *command.split()]
                done = subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
                printed = done.stderr + done.stdout
            yield command, printed, look


def pieces() -> Iterator[Piece]:
    """Give everything that appears, in order."""
    row, now = 0, 0.0
    for command, printed, look in session():
        yield Piece(row, 0, now, "$", "soft")
        pause, key, wait = (PAUSE, KEY, WAIT) if row else (0.0, 0.0, 0.0)
        now += pause
        for n, character in enumerate(command):
            now += key
            if character != " ":
                yield Piece(row, 2 + n, now, character)
        now += wait
        row += 1
        for line in printed.splitlines():
            verdict = next((word for word in ("wrong", "right") if line.startswith(word)), "")
            for part in textwrap.wrap(line, COLUMNS, subsequent_indent="  ") or [""]:
                yield from _of_line(row, now, part, verdict)
                row += 1
        now += look


def _of_line(row: int, now: float, line: str, verdict: str) -> Iterator[Piece]:
    """Give a line that was printed, and apart from the rest what matters in it."""
    if verdict and line.startswith(verdict):
        yield Piece(row, 0, now, verdict, verdict)
        rest = line[len(verdict) :]
        yield Piece(row, len(line) - len(rest.lstrip()), now, rest.lstrip())
    elif line.strip():
        indent = len(line) - len(line.lstrip())
        kind = "soft" if line.startswith("running") else "wrong" if "mean for a sum" in line else ""
        yield Piece(row, indent, now, line.lstrip(), kind)


def svg() -> str:
    """Give the recording."""
    shown = list(pieces())
    moments = sorted({piece.seconds for piece in shown})
    names = {moment: f"t{n}" for n, moment in enumerate(moments)}
    width = 2 * MARGIN + COLUMNS * WIDE
    height = 2 * MARGIN + (shown[-1].row + 1) * HIGH
    frames = [
        f"@keyframes {name}{{0%{{visibility:hidden}}{100 * moment / WHOLE:.2f}%,100%{{visibility:visible}}}}"
        f".{name}{{animation:{name} {WHOLE:g}s step-end infinite}}"
        for moment, name in names.items()
        if moment > 0
    ]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" height="{height}"'
        f' viewBox="0 0 {width:.0f} {height}">',
        "<title>chainrule check finds a gradient that is a mean and must be a sum; after the fix all agree</title>",
        f"<style>{STYLE}@media (prefers-reduced-motion:no-preference){{{''.join(frames)}}}</style>",
        f'<rect class="paper" x=".5" y=".5" width="{width - 1:.0f}" height="{height - 1}" rx="6"/>',
    ]
    for piece in shown:
        kinds = " ".join(filter(None, (piece.kind, names[piece.seconds] if piece.seconds > 0 else "")))
        lines.append(
            f'<text x="{MARGIN + piece.column * WIDE:.1f}" y="{MARGIN + (piece.row + 0.75) * HIGH:.1f}"'
            f' textLength="{len(piece.text) * WIDE:.1f}" lengthAdjust="spacingAndGlyphs"'
            + (f' class="{kinds}"' if kinds else "")
            + f">{escape(piece.text)}</text>"
        )
    return "\n".join([*lines, "</svg>\n"])


if __name__ == "__main__":
    (Path(__file__).parent / "check.svg").write_text(svg(), encoding="utf-8")
