"""``chainrule data``: download and verify MNIST's four files for other programs, or a similar data set."""

from __future__ import annotations

import argparse
import errno
from collections.abc import Iterator
from pathlib import Path

from chainrule.cli.arguments import Commands, add_command
from chainrule.cli.output import show, style_for
from chainrule.data.mnist import data_folder, download_mnist, faults, is_there, packaged_folder
from chainrule.data.sets import SETS, download_set, faults_of, set_folder

_EXAMPLES = """
$ chainrule data fetch digits
$ chainrule data fetch fashion-mnist
$ chainrule train --data-dir "$(chainrule data path fashion-mnist)"
$ chainrule data verify
$ ls "$(chainrule data path)"
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "data", run, "download MNIST or a set like it, or prove what is there", _EXAMPLES)
    command.add_argument("action", choices=["fetch", "verify", "path"], help="what to do")
    command.add_argument("name", nargs="?", metavar="NAME", help=f"{', '.join(SETS)}; left out: MNIST")
    command.add_argument(
        "folder",
        type=Path,
        nargs="?",
        metavar="DIR",
        help="the data folder (default: CHAINRULE_DATA_DIR, for NAME a folder in it, or a folder in your cache)",
    )


def run(options: argparse.Namespace) -> int:
    """Download the four files of MNIST or of NAME, verify them, or print the folder they are in.

    fetch downloads missing or wrong files into the data folder. verify compares the SHA-256 of each file with that of
    the data set. path prints the folder with the files, which train and eval take as --data-dir: for MNIST it is the
    one in the package, unless the files were fetched; for another data set that was not fetched, path is an error.

    emnist-letters comes in an archive of 562 MB, from which the letters are extracted: upright, with labels 0 to 25.

    No command needs the download: MNIST is in the package, and verify without NAME and DIR checks that copy too. The
    exit code is 1 if verify finds a file that is missing or wrong.
    """
    name, folder = _meant(options)
    if options.action == "path" and folder is None:
        show(str(_place(name)))
        return 0
    if name is None:
        folder = data_folder() if folder is None else folder
        if options.action == "fetch":
            download_mnist(folder)
    else:
        folder = set_folder(name) if folder is None else folder
        if options.action == "fetch":
            download_set(name, folder)
    if options.action == "verify":
        return _verify(options, _found(name, folder, options))
    show(str(folder))
    return 0


def _place(name: str | None) -> Path:
    """Give a folder that has the files."""
    folder = data_folder() if name is None else set_folder(name)
    if is_there(folder):
        return folder
    if name is None:
        return packaged_folder()
    raise FileNotFoundError(errno.ENOENT, f"{name} is not there; chainrule data fetch {name} brings it", str(folder))


def _meant(options: argparse.Namespace) -> tuple[str | None, Path | None]:
    """Tell a name from a folder: the first word is a folder if no data set has that name."""
    if options.name is None or options.name in SETS:
        return options.name, options.folder
    if options.folder is not None:
        raise ValueError(f"no data set is called {options.name!r}; there are {', '.join(SETS)}; without a name: MNIST")
    return None, Path(options.name)


def _found(name: str | None, folder: Path, options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """Give the files and their faults."""
    if name is not None:
        yield from faults_of(name, folder)
        return
    if options.name is None:
        yield from faults(packaged_folder())
    if options.name is not None or folder.is_dir():
        yield from faults(folder)


def _verify(options: argparse.Namespace, found: Iterator[tuple[Path, str]]) -> int:
    """Print one line per file."""
    style = style_for(options)
    whole = True
    for path, fault in found:
        show(f"{path}  ", style.bad(fault) if fault else style.good("ok"))
        whole = whole and not fault
    return 0 if whole else 1
