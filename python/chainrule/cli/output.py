"""How results are written: lines of text, in colour on a terminal, or JSON Lines.

All text of the commands goes through `show`, `print_line` and `complain`. They let no control sequences through except
the colours of a `Style`.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from chainrule._harmless import harmless
from chainrule.storage.atomic_write import write_whole

#: Goes up when a field of a JSON object changes its meaning or disappears; new fields do not count. 2: the report of a
#: check lists what was not compared and the hazards, and is right only if everything was compared.
SCHEMA = 2


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all; anything but a file, such as a pipe, is written to directly.

    So is stdout if `path` leads there, as /dev/stdout does: a file that the shell has opened must not be replaced.
    """
    ours = _is_stdout(path)
    if not ours and (path.is_file() or path.is_dir() or not path.exists()):  # the error names a folder as such
        write_whole(path, text.encode())
        return
    try:
        with open(sys.stdout.fileno() if ours else path, "wb", closefd=not ours) as taker:
            taker.write(text.encode())
    except OSError as error:  # the error for a full disk has no file name
        raise OSError(error.errno, error.strerror, str(path)) from None


def _is_stdout(path: Path) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(sys.stdout.fileno()))
    except (AttributeError, OSError, ValueError):  # stdout is closed, or has no number; or there is no such file
        return False


def on_terminal(stream: TextIO | None) -> bool:
    """Tell whether `stream`, which may also be closed, is a terminal."""
    return stream is not None and stream.isatty()


class Painted(str):
    """Text with our own colours; an escape in any other text comes from elsewhere."""

    __slots__ = ()


def show(*pieces: str, end: str = "\n", flush: bool = False) -> None:
    """Print `pieces` on stdout, one after another; all that are not `Painted` are made harmless."""
    print(_joined(pieces), end=end, flush=flush)


def print_line(*pieces: str) -> None:
    """Print a line on stdout at once, above the progress bar of a terminal."""
    if on_terminal(sys.stderr) and sys.stdout is not None:
        from tqdm import tqdm

        tqdm.write(_joined(pieces), file=sys.stdout)
    else:
        show(*pieces, flush=True)


def _joined(pieces: Sequence[str]) -> str:
    return "".join(piece if isinstance(piece, Painted) else harmless(piece) for piece in pieces)


def print_json(event: str, **values: Any) -> None:
    """Print one JSON object as a line."""
    show(json.dumps({"schema": SCHEMA, "event": event, **values}), flush=True)


def print_annotation(level: str, title: str, text: str, path: str | None = None, line: int | None = None) -> None:
    """Print a workflow command of GitHub Actions, which shows `text` beside a line of a file.

    https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    """
    place = (
        {} if path is None else {"file": _from_here(path)} if line is None else {"file": _from_here(path), "line": line}
    )
    properties = ",".join(f"{name}={_escaped(str(value), ':,')}" for name, value in {**place, "title": title}.items())
    show(f"::{level} {properties}::{_escaped(text)}", flush=True)


def _escaped(text: str, also: str = "") -> str:
    """Escape `text` for a workflow command: the escape character itself first."""
    for sign in "%\r\n" + also:
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def _from_here(path: str) -> str:
    """Give the path relative to the current folder, if it is below it, with slashes: GitHub needs this form."""
    below = os.path.relpath(path) if os.path.splitdrive(path)[0] in ("", os.path.splitdrive(os.getcwd())[0]) else path
    return (path if below.startswith("..") else below).replace(os.sep, "/")


def print_error(error: BaseException, options: argparse.Namespace) -> None:
    """Say on stderr what went wrong, in one sentence."""
    text = str(error) or type(error).__name__
    if isinstance(error, OSError) and error.strerror:  # without the [Errno 2] that str puts in front
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    complain("chainrule: ", style_for(options, sys.stderr).bad("error"), f": {text}")


def complain(*pieces: str) -> None:
    """Print a line on stderr, as `show` does; if stderr is closed or nobody reads it, nothing else changes."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            print(_joined(pieces), file=sys.stderr)


def hold_any_text(stream: TextIO | None) -> None:
    """Let `stream` take text outside its encoding: ? for a letter, the original bytes for those of a file name."""
    if isinstance(stream, io.TextIOWrapper):
        utf_8 = codecs.lookup(stream.encoding).name == "utf-8"
        stream.reconfigure(errors="surrogateescape" if utf_8 else "replace")


def let_go(stream: TextIO | None) -> None:
    """Flush `stream`; drop what nobody reads, or Python would try again at exit and print an error of its own."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())


@dataclass(frozen=True)
class Style:
    """Colours from the terminal's own palette, which its user chose for their background; or none.

    Yellow is left out: it cannot be read on a light background.
    """

    on: bool

    def good(self, text: str) -> str:
        """Give `text` in green."""
        return self._in("32", text)

    def bad(self, text: str) -> str:
        """Give `text` in red."""
        return self._in("31", text)

    def open(self, text: str) -> str:
        """Give `text` in magenta: neither good nor bad."""
        return self._in("35", text)

    def verdict(self, verdict: str, text: str) -> str:
        """Give `text` as good, bad or open, for a `verdict` of the check."""
        return {"right": self.good, "wrong": self.bad}.get(verdict, self.open)(text)

    def strong(self, text: str) -> str:
        """Give `text` in bold."""
        return self._in("1", text)

    def _in(self, code: str, text: str) -> str:
        return Painted(f"\x1b[{code}m{harmless(text)}\x1b[0m") if self.on else text


def style_for(options: argparse.Namespace, stream: TextIO | None = None) -> Style:
    """Give the style for `stream`, stdout by default: as ``--color`` says, else by the usual conventions."""
    stream = sys.stdout if stream is None else stream
    if options.color != "auto":
        return Style(options.color == "always")
    # https://no-color.org: any text that is not empty means no. Of Windows' terminals only the newer one has colours.
    refused = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    able = sys.platform != "win32" or "WT_SESSION" in os.environ
    return Style(able and not refused and on_terminal(stream))
