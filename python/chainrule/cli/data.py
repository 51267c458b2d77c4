"""``chainrule data``: MNIST's four files for other programs, downloaded and proved."""

from __future__ import annotations

import argparse
from pathlib import Path

from chainrule.cli.arguments import Commands, add_command
from chainrule.cli.output import style_for
from chainrule.data.mnist import data_folder, download_mnist, faults, packaged_folder

_EXAMPLES = """
$ chainrule data fetch digits
$ chainrule data verify
$ ls "$(chainrule data path)"
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "data", run, "download MNIST's files, or prove those that are there", _EXAMPLES)
    command.add_argument("action", choices=["fetch", "verify", "path"], help="what to do")
    command.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="the data folder (default: CHAINRULE_DATA_DIR, or a folder in your cache)",
    )


def run(options: argparse.Namespace) -> int:
    """Download MNIST's four files, prove those that are there, or tell where they are.

    fetch downloads what is missing or wrong into the data folder, verify compares the SHA-256 of each file's content
    with MNIST's, path prints the folder.

    No command needs the download: MNIST is in the package, and verify without DIR proves that copy too. Exit 1 if
    verify finds a file that is missing or wrong.
    """
    folder = data_folder() if options.folder is None else options.folder
    if options.action == "verify":
        return _verify(options, folder)
    if options.action == "fetch":
        download_mnist(folder)
    print(folder)
    return 0


def _verify(options: argparse.Namespace, folder: Path) -> int:
    """Print a line a file."""
    style = style_for(options)
    folders = [folder] if options.folder is not None else [packaged_folder(), *([folder] if folder.is_dir() else [])]
    whole = True
    for path, fault in (found for each in folders for found in faults(each)):
        print(f"{path}  {style.bad(fault) if fault else style.good('ok')}")
        whole = whole and not fault
    return 0 if whole else 1
