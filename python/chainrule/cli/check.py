"""``chainrule check``: are the gradients right? Those of the tutorial's network, or of the code in a file."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from chainrule.checking import check_gradients
from chainrule.cli.arguments import Commands, add_command, add_data_dir, add_format, add_seed
from chainrule.cli.output import Style, complain, print_annotation, print_json, show, style_for
from chainrule.data.mnist import load_mnist
from chainrule.nn.two_layer_net import TwoLayerNet

if TYPE_CHECKING:
    from chainrule.checking import GradientReport
    from chainrule.checking.files import FileCheck

#: The tutorial's network and sample sizes; more classes if the labels require them.
_HIDDEN, _CLASSES, _SAMPLES = 50, 10, 3
#: The level at which GitHub shows a verdict.
_LEVELS = {"wrong": "error", "unproven": "warning", "skipped": "warning"}
_EXAMPLES = """
$ chainrule check
$ chainrule check my_layers.py --strict
$ chainrule check my_layers.py:Conv1d --verbose
$ chainrule check my_layers.py --format github
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
    check.add_argument("--strict", action="store_true", help="hazards fail too, such as a view that is returned")
    add_format(
        check, "github", told="text, one JSON object a line, or annotations that GitHub Actions shows beside the code"
    )
    add_seed(check)
    add_data_dir(check)


def run(options: argparse.Namespace) -> int:
    """Compare gradients with numeric ones: the tutorial's network on its 3 images, or all in FILE.py, one line each.

    In a file, layers, networks, losses and pairs of functions are found by their names. The arguments for them are made
    up, and the output says which; a dict CHECKS in the file adds others.

    The exit code is 0 if all are right, 1 if any is not, 2 if something could not be checked.
    """
    if options.verbose and (options.file is None or options.format != "text"):
        raise ValueError("--verbose goes with a file and with text; elsewhere the whole report is printed")
    if options.file is not None:
        return _check_file(options)
    (x_train, labels), _ = load_mnist(data_dir=options.data_dir)
    classes = max(int(np.max(labels, initial=0)) + 1, _CLASSES)
    net = TwoLayerNet(x_train.shape[1], _HIDDEN, classes, seed=options.seed)
    report = check_gradients(net, x_train[:_SAMPLES], np.eye(classes)[labels[:_SAMPLES]], strict=options.strict)
    style = style_for(options)
    if options.format == "jsonl":
        print_json("check", file=None, line=None, name=report.subject, verdict=report.verdict, report=report.to_dict())
    elif options.format == "github" and not report.ok:
        print_annotation(_LEVELS[report.verdict], report.subject, str(report))
    else:
        show(*([style.verdict(report.verdict, report.headline)] if options.quiet else _painted(report, style)))
    return 0 if report.ok else 1


def _check_file(options: argparse.Namespace) -> int:
    """Print a line for each layer, network and pair in a file."""
    path, _, name = options.file.partition(".py:")
    path = f"{path}.py" if name else options.file
    from chainrule.checking.files import check_file  # takes as long as all the rest; no other command needs it

    if options.format == "text" and not options.quiet and Path(path).is_file():
        complain(f"running {path}, as python would")
    show = {"text": _print_text, "jsonl": _print_json, "github": _print_github}[options.format]
    verdicts = set()
    for check in check_file(path, name or None, options.seed, options.strict):
        verdicts.add(check.verdict)
        with contextlib.suppress(BrokenPipeError):  # the verdict is the exit code, even if `head` stops reading
            show(check, path, options)
    if verdicts & {"wrong", "unproven"}:
        return 1
    return 2 if "skipped" in verdicts else 0


def _print_text(check: FileCheck, _: str, options: argparse.Namespace) -> None:
    style = style_for(options)
    verdict, space, rest = check.line.partition(" ")
    if not (options.quiet and check.verdict == "right"):
        show(style.verdict(verdict, verdict), space, rest, flush=True)
    if options.verbose and check.report is not None:
        show(*_painted(check.report, style), end="\n\n")


def _print_json(check: FileCheck, path: str, options: argparse.Namespace) -> None:
    if not (options.quiet and check.verdict == "right"):
        report = None if check.report is None else check.report.to_dict()
        print_json(
            "check", file=path, line=check.at, name=check.name, made=check.made, verdict=check.verdict,
            reason=check.why, report=report,
        )  # fmt: skip


def _print_github(check: FileCheck, path: str, options: argparse.Namespace) -> None:
    """Print what is not right as annotations, and the rest as plain text, which GitHub leaves as it is."""
    if check.verdict == "right":
        _print_text(check, path, options)
    else:
        what = check.report if check.verdict == "wrong" else None
        text = f"{check.made or check.name}: {check.why}" + (f"\n{what}" if what is not None else "")
        print_annotation(_LEVELS[check.verdict], f"{check.name}: {check.verdict}", text, path, check.at)
    for hazard in check.report.hazards if check.report is not None and not options.strict else ():
        print_annotation("notice", f"{check.name}: hazard", f"{hazard.name}: {hazard.detail}", path, check.at)


def _painted(report: GradientReport, style: Style) -> list[str]:
    """Give the pieces of the report, with the verdicts in colour."""
    title, heads, *lines = str(report).split("\n")
    pieces = [title, "\n", heads]
    for line, array in zip(lines, report.arrays, strict=False):
        numbers, gap, verdict = line.rpartition("  ")
        pieces += ["\n", numbers, gap, style.verdict(array.verdict, verdict)]
    for line in lines[len(report.arrays) : -1]:
        pieces += ["\n", line]
    return [*pieces, "\n", style.verdict(report.verdict, lines[-1])]
