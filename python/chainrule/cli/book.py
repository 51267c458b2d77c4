"""``chainrule book``: run a script of "Deep Learning from Scratch" unchanged."""

from __future__ import annotations

import argparse

from chainrule.cli.arguments import Commands, add_command, seed

_EXAMPLES = """
$ chainrule book ch06/optimizer_compare_mnist.py
$ chainrule book --seed 0 ch07/train_convnet.py
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    book = add_command(commands, "book", run, "run a script of the book as it is, on chainrule", _EXAMPLES)
    book.add_argument("--seed", type=seed, metavar="N", help="call np.random.seed(N) before it")
    book.add_argument("script", metavar="SCRIPT.py", help="of chapters 4 to 8; it is run in its own folder")
    book.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="what is behind it is for the script")


def run(options: argparse.Namespace) -> int:
    """Run a script of "Deep Learning from Scratch" on chainrule: its imports of common and dataset find ours.

    Nothing is downloaded. Class files next to the script, such as simple_convnet.py, are used instead of ours.
    Pictures that cannot be shown are saved in the current folder, and stderr says so. Pickle files that the script
    loads may hold arrays, dicts, lists, numbers and strings; no code in them is run.

    The exit code is that of the script: 0 if it ends normally, 1 if it raised an error. It is 2 if there is no such
    file.
    """
    from chainrule.book import runner  # no other command needs it

    return runner.run(options.script, options.arguments, options.seed)
