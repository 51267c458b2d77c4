"""``chainrule check``: is a gradient right? The tutorial's network's, or those of what is in a file."""

from __future__ import annotations

import argparse
import contextlib

from chainrule.checking import GradientReport, check_gradients
from chainrule.cli.arguments import Commands, add_command, add_data_dir, add_seed
from chainrule.cli.output import Style, style_for
from chainrule.mnist import load_mnist
from chainrule.network import TwoLayerNet

#: The tutorial's size of network and of sample.
_HIDDEN, _CLASSES, _SAMPLES = 50, 10, 3
_EXAMPLES = """
$ chainrule check
$ chainrule check my_layers.py
$ chainrule check my_layers.py:Conv1d --verbose
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    check = add_command(
        commands, "check", run, "check gradients: the tutorial's network's, or those of what is in a file", _EXAMPLES
    )
    check.add_argument("file", nargs="?", metavar="FILE.py[:NAME]", help="check this file, which is run, instead")
    much = check.add_mutually_exclusive_group()
    much.add_argument("--verbose", action="store_true", help="with a file: the whole report of each")
    much.add_argument("--quiet", action="store_true", help="only the verdict; with a file: only what is not right")
    add_seed(check)
    add_data_dir(check)


def run(options: argparse.Namespace) -> int:
    """Compare gradients with numeric ones: the tutorial's network's on its 3 images, or those of FILE.py, a line each.

    Exit 0 if all are right, 1 if any is not, 2 if something could not be checked.
    """
    if options.file is not None:
        return _check_file(options)
    if options.verbose:
        raise ValueError("--verbose goes with a file; without one the whole report is printed")
    (x_train, t_train), _ = load_mnist(one_hot_label=True, data_dir=options.data_dir)
    net = TwoLayerNet(x_train.shape[1], _HIDDEN, _CLASSES, seed=options.seed)
    report = check_gradients(net, x_train[:_SAMPLES], t_train[:_SAMPLES])
    style = style_for(options)
    print(style.verdict(report.verdict, report.headline) if options.quiet else _painted(report, style))
    return 0 if report.ok else 1


def _check_file(options: argparse.Namespace) -> int:
    """Print a line for each layer, network and pair of a file."""
    from chainrule.checking.files import check_file

    path, _, name = options.file.partition(".py:")
    checks = check_file(f"{path}.py" if name else options.file, name or None, options.seed)
    style = style_for(options)
    with contextlib.suppress(BrokenPipeError):  # the verdict is the exit code, also if `head` has had enough
        for check in checks:
            verdict, space, rest = check.line.partition(" ")
            if not (options.quiet and check.report is not None and check.report.ok):
                print(f"{style.verdict(verdict, verdict)}{space}{rest}")
            if options.verbose and check.report is not None:
                print(_painted(check.report, style), end="\n\n")
    if any(check.report is not None and not check.report.ok for check in checks):
        return 1
    return 2 if any(check.report is None for check in checks) else 0


def _painted(report: GradientReport, style: Style) -> str:
    """Give the report with its verdicts in colour."""
    title, heads, *lines = str(report).splitlines()
    for i, array in enumerate(report.arrays):
        numbers, gap, verdict = lines[i].rpartition("  ")
        lines[i] = numbers + gap + style.verdict(array.verdict, verdict)
    lines[-1] = style.verdict(report.verdict, lines[-1])
    return "\n".join([title, heads, *lines])
