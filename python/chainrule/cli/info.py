"""``chainrule info``: the installed versions, the machine, and whether the data is whole."""

from __future__ import annotations

import argparse
import json
from typing import Any

from chainrule._errors import DataError
from chainrule._machine import machine
from chainrule.cli.arguments import Commands, add_command
from chainrule.cli.output import SCHEMA, show, style_for
from chainrule.data.mnist import init_mnist, packaged_folder

_EXAMPLES = """
$ chainrule info
$ chainrule info --json
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    info = add_command(commands, "info", run, "versions, instruction set, threads, data", _EXAMPLES)
    info.add_argument("--json", action="store_true", help="as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the versions in use, the machine, and whether the packaged MNIST is whole."""
    try:
        init_mnist()
        data = "whole"
    except DataError as error:
        data = str(error)
    facts: dict[str, Any] = {**machine(), "data": str(packaged_folder()), "data_state": data}
    if options.json:
        show(json.dumps({"schema": SCHEMA, **facts}))
    else:
        style = style_for(options)
        for name, value in facts.items():
            paint = str if name != "data_state" else style.good if data == "whole" else style.bad
            show(f"{name.replace('_', ' '):<16} ", paint(str(value)))
    return 0 if data == "whole" else 2
