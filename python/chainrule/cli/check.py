"""``chainrule check``: is a gradient right? The tutorial's network's, or those of what is in a file."""

from __future__ import annotations

import argparse

from chainrule.checking import check_gradients
from chainrule.cli.arguments import Commands, add_data_dir, add_seed
from chainrule.mnist import load_mnist
from chainrule.network import TwoLayerNet

#: The tutorial's size of network and of sample.
_HIDDEN, _CLASSES, _SAMPLES = 50, 10, 3


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    check = commands.add_parser(
        "check",
        help="check gradients: the tutorial's network's, or those of the layers and functions in a file",
        description=run.__doc__,
    )
    check.add_argument("file", nargs="?", metavar="FILE.py[:NAME]", help="check this file, which is run, instead")
    check.add_argument("--verbose", action="store_true", help="with a file: the whole report of each")
    add_seed(check)
    add_data_dir(check)
    check.set_defaults(run=run)


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
    print(report)
    return 0 if report.ok else 1


def _check_file(options: argparse.Namespace) -> int:
    """Print a line for each layer, network and pair of a file."""
    from chainrule.checking.files import check_file

    path, _, name = options.file.partition(".py:")
    checks = check_file(f"{path}.py" if name else options.file, name or None, options.seed)
    for check in checks:
        print(check.line)
        if options.verbose and check.report is not None:
            print(check.report, end="\n\n")
    if any(check.report is not None and not check.report.ok for check in checks):
        return 1
    return 2 if any(check.report is None for check in checks) else 0
