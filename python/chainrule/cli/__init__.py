"""The command line: one file per command, each with ``add``, which defines its arguments, and ``run``.

Results go to stdout, progress and errors to stderr. Exit codes: 0 success, 1 the check failed, 2 bad usage or input,
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Sequence
from typing import Any

# Here, not at the first random number: during this import, only chainrule_command handles Ctrl-C.
import numpy.random  # noqa: F401

from chainrule import __version__
from chainrule.cli import book, check, completion, data, evaluate, graph, info, predict, train
from chainrule.cli.arguments import add_color
from chainrule.cli.output import complain, hold_any_text, let_go, print_error
from chainrule.cli.parser import Parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, ``sys.argv[1:]`` by default, and return the exit code.

    argparse itself exits: with 2 for invalid arguments, with 0 after ``--help`` and ``--version``.
    """
    try:
        hold_any_text(sys.stdout)
        return _run(arguments)
    except KeyboardInterrupt as interrupt:
        complain("chainrule: interrupted" + (f"; {interrupt}" if interrupt.args else ""))
        return 130
    finally:
        for stream in (sys.stdout, sys.stderr):
            let_go(stream)


def _run(arguments: Sequence[str] | None) -> int:
    options = build_parser().parse_args(_as_options(sys.argv[1:] if arguments is None else arguments))
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code: int = options.run(options)
        if sys.stdout is not None:  # None if the shell closed it: print() then does nothing, nor do we
            with contextlib.suppress(BrokenPipeError):  # the result stands, whether anybody reads it or not
                sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our output, perhaps `head`, has stopped reading
        return 0
    except (ValueError, TypeError, OSError, MemoryError, FloatingPointError, RuntimeError, ImportError) as error:
        print_error(error, options)
        return 2


def _as_options(arguments: Sequence[str]) -> Sequence[str]:
    """Turn ``help``, ``help COMMAND`` and ``version``, which are commands of other tools, into options."""
    match arguments:
        case ["help", *rest]:
            return [*rest, "--help"]
        case ["version"]:
            return ["--version"]
    return arguments


def build_parser() -> argparse.ArgumentParser:
    """Give the parser of the whole command line; the options it returns include the function ``run`` and the parser."""
    parser = Parser(
        prog="chainrule",
        description="Gradients to see and to trust: train the tutorial's network on MNIST, prove its gradients right.",
        epilog="chainrule COMMAND --help tells more, with examples.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"chainrule {__version__}")
    parser.set_defaults(parser=parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (train, evaluate, predict, check, graph, book, data, info, completion):
        command.add(commands)
    for added in commands.choices.values():
        add_color(added)
    return parser


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Show a warning as a sentence, without its place in our code."""
    complain(f"chainrule: warning: {message}")
