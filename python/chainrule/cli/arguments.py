"""Arguments that several commands share, and the layout of their help."""

from __future__ import annotations

import argparse
import inspect
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from chainrule._gate import count, positive

# The type of ``add_subparsers()``; it is generic for type checkers only.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
Run: TypeAlias = Callable[[argparse.Namespace], int]

_WIDTH = 78


def add_command(commands: Commands, name: str, run: Run, summary: str, examples: str) -> argparse.ArgumentParser:
    """Add a command that calls `run`; its help is the docstring of `run`, followed by examples."""
    paragraphs = (inspect.getdoc(run) or "").split("\n\n")
    command = commands.add_parser(
        name,
        help=summary,
        description="\n\n".join(textwrap.fill(text, _WIDTH) for text in paragraphs),
        epilog="examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  "),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_color(command: argparse.ArgumentParser) -> None:
    """Let `command` take ``--color``."""
    command.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        metavar="WHEN",
        help="always, never, or auto: on a terminal, unless NO_COLOR is set (default %(default)s)",
    )


def add_format(command: argparse.ArgumentParser, *others: str, told: str = "text, or one JSON object a line") -> None:
    """Let `command` take ``--format``; `told` is its help text, which also covers the `others`."""
    command.add_argument(
        "--format", choices=["text", "jsonl", *others], default="text", help=f"{told} (default %(default)s)"
    )


def add_model(command: argparse.ArgumentParser) -> None:
    """Let `command` take a trained network."""
    command.add_argument("model", metavar="MODEL", help="what train --save wrote, or save() of a network")


def add_seed(command: argparse._ActionsContainer, default: int | None = 0) -> None:
    """Let `command` take ``--seed``; with a `default` of None, 0 differs from no seed."""
    command.add_argument("--seed", type=seed, default=default, metavar="N", help="for what is drawn (default 0)")


def add_data_dir(command: argparse.ArgumentParser) -> None:
    """Let `command` take ``--data-dir``."""
    command.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="a folder with IDX files of MNIST's names, gzipped or not (default: MNIST, in the package)",
    )


def whole(text: str) -> int:
    """Read a whole number of at least 1."""
    return int(_checked(lambda: count(_number(text, int), "the value")))


def sizes(text: str) -> int | list[int]:
    """Read a whole number of at least 1, or several separated by commas."""
    numbers = [whole(part) for part in text.split(",")]
    return numbers[0] if len(numbers) == 1 else numbers


def seed(text: str) -> int:
    """Read a whole number of at least 0."""
    return int(_checked(lambda: count(_number(text, int), "the seed", least=0)))


def above_zero(text: str) -> float:
    """Read a finite number above 0."""
    return float(_checked(lambda: positive(_number(text, float), "the value")))


def fraction(text: str) -> float:
    """Read a number between 0 and 1."""
    number = above_zero(text)
    if number >= 1:
        raise argparse.ArgumentTypeError(f"the value must be < 1, got {text!r}")
    return number


def _number(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"must be a {'whole ' if kind is int else ''}number, got {text!r}") from None


def _checked(number: Callable[[], float]) -> float:
    """Return the number; argparse turns our error into its own message and exits with 2."""
    try:
        return number()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
