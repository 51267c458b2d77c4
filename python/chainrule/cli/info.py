"""``chainrule info``: what is installed, on what machine, and whether the data is whole."""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from chainrule import __version__, _kernels
from chainrule._errors import DataError
from chainrule.cli.arguments import Commands
from chainrule.mnist import init_mnist


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    info = commands.add_parser("info", help="versions, instruction set, threads, data", description=run.__doc__)
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Say which versions are at work, on what machine, and whether the packaged MNIST is whole."""
    try:
        init_mnist()
        data = "whole"
    except DataError as error:
        data = str(error)
    facts: dict[str, Any] = {
        "chainrule": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction_set": _kernels.instruction_set(),
        "threads": _kernels.threads(),
        "data": str(Path(chainrule.__file__).parent / "data" / "mnist"),
        "data_state": data,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):<16} {value}")
    return 0 if data == "whole" else 2
