"""The command line: one file a command, each with ``add``, which says how it is called, and ``run``.

Results go to stdout, progress and complaints to stderr. Exit codes: 0 fine, 1 the check said no, 2 usage or input,
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from chainrule import __version__
from chainrule.cli import check, graph, info, train


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 fine, 1 the check said no, 2 unusable input, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        By argparse: 2 for unusable arguments, 0 after ``--help`` and ``--version``.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        if sys.stdout is not None:  # closed by the shell: then print() does nothing, and so do we
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("chainrule: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        print(f"chainrule: error: {error or type(error).__name__}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chainrule",
        description="Gradients to see and to trust: train the tutorial's network on MNIST, prove its gradients right.",
    )
    parser.add_argument("--version", action="version", version=f"chainrule {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (train, check, graph, info):
        command.add(commands)
    return parser
