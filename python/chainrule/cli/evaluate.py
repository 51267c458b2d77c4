"""``chainrule eval``: the accuracy of a trained network."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.arguments import Commands, add_command, add_data_dir, add_format, add_model
from chainrule.cli.models import Model
from chainrule.cli.output import print_json, show, style_for
from chainrule.data.mnist import load_split
from chainrule.nn.functions import softmax_loss
from chainrule.nn.losses import accuracy_of, confusion_of
from chainrule.plotting.plots import NAMES

_EXAMPLES = """
$ chainrule eval digits.safetensors
$ chainrule eval digits.safetensors --confusion
$ chainrule eval penguins.safetensors penguins.csv --confusion
$ chainrule eval clothes.safetensors --data-dir fashion-mnist --format jsonl
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "eval", run, "accuracy and loss of a trained network on the test images", _EXAMPLES)
    add_model(command)
    command.add_argument(
        "data", nargs="?", metavar="FILE", help="a CSV file or a folder of pictures, for a network trained on such"
    )
    command.add_argument("--confusion", action="store_true", help="also what the examples of each class were taken for")
    add_data_dir(command)
    add_format(command)


def run(options: argparse.Namespace) -> int:
    """Print the accuracy and the mean loss of a trained network on MNIST's 10,000 test images, or on those of a folder.

    A network that begins with a Rescaling layer, as train makes it, gets the bytes; any other gets pixels in 0-1. A
    network that was trained on a CSV file or on a folder of pictures is evaluated on all of FILE, whose columns are
    read in the same way as in training.
    """
    model = Model(options.model)
    if model.own or options.data is not None:
        return _of_own(model, options)
    images, t = load_split("test", normalize=False, data_dir=options.data_dir)
    scores = model.scores(model.images(images, "test images"))
    loss, accuracy = softmax_loss(scores, t), accuracy_of(scores, t)
    table = confusion_of(scores, t) if options.confusion else None
    names = model.names(scores.shape[1]) or [str(i) for i in range(scores.shape[1])]
    if options.format == "jsonl":
        found = {} if table is None else {"confusion": table.tolist()}
        print_json("evaluation", model=options.model, images=len(t), loss=loss, accuracy=accuracy, **found)
        return 0
    right = round(accuracy * len(t))
    strong = style_for(options).strong
    show(
        "accuracy ", strong(f"{accuracy:.4f}"), "  loss ", strong(f"{loss:.4f}"), f"  {right} of {len(t)} images right"
    )
    if table is not None:
        show("\n", *_text(table, names, options))
    return 0


def _of_own(model: Model, options: argparse.Namespace) -> int:
    """Evaluate on a table or on pictures."""
    if not model.own:
        raise ValueError(f"{options.model}: was not trained on a CSV file or a folder; its images: --data-dir")
    if options.data is None or options.data_dir is not None:
        kind = "a CSV file" if model.of_table else "a folder of pictures"
        raise ValueError(f"{options.model}: was trained on {kind}; name one to evaluate it on: eval MODEL FILE")
    own = model.read(options.data)
    if len(own.t) != len(own):
        raise ValueError(f"{options.data}: the column of the answers is not there, or has an empty cell")
    found = model.net.evaluate(model.rows(own), own.t)
    table = found.confusion if options.confusion else None
    if options.format == "jsonl":
        more: dict[str, Any] = {found.measure: found.score}
        more |= {} if table is None else {"confusion": table.tolist()}
        more |= {} if own.classes is None else {"classes": own.classes}
        print_json("evaluation", model=options.model, examples=len(own), loss=found.loss, **more)
        return 0
    strong = style_for(options).strong
    right = "" if found.confusion is None else f"{np.trace(found.confusion)} of {len(own)} examples right"
    measure, loss = strong(f"{found.score:.4f}"), strong(f"{found.loss:.4f}")
    show(f"{NAMES[found.measure]} ", measure, "  loss ", loss, *(["  ", right] if right else []))
    if table is not None and own.classes is not None:
        show("\n", *_text(table, own.classes, options))
    return 0


def _text(table: NDArray[np.int64], names: Sequence[str], options: argparse.Namespace) -> list[str]:
    """Lay out the counts, with the right ones in bold, and the share of each class that was found.

    Columns are headed by the numbers of the classes; a row has the number and, if there is one, the name of its class.
    """
    strong = style_for(options).strong
    width = max(len(str(table.max())), len(str(len(table) - 1))) + 1
    numbered = list(names) == [str(i) for i in range(len(table))]
    heads = [str(i) if numbered else f"{i} {name}" for i, name in enumerate(names)]
    first = max(5, *map(len, heads))
    pieces = [
        f"{'class':<{first}}  taken for\n",
        " " * first,
        *(f"{j:>{width}}" for j in range(len(table))),
        "   found",
    ]
    for i, row in enumerate(table):
        counts = [strong(f"{n:>{width}}") if i == j else f"{n or '·':>{width}}" for j, n in enumerate(row)]
        recall = f"{row[i] / row.sum():8.4f}" if row.any() else f"{'-':>8}"
        head = f"{heads[i]:>5}" if numbered else f"{heads[i]:<{first}}"
        pieces += [f"\n{head}", *counts, recall]
    return pieces
