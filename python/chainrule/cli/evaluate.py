"""``chainrule eval``: how good a trained network is."""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from chainrule.cli.arguments import Commands, add_command, add_data_dir, add_format, add_model
from chainrule.cli.models import Model
from chainrule.cli.output import print_json, show, style_for
from chainrule.data.mnist import load_split
from chainrule.nn.functions import softmax_loss
from chainrule.nn.losses import accuracy_of, confusion_of

_EXAMPLES = """
$ chainrule eval digits.safetensors
$ chainrule eval digits.safetensors --confusion
$ chainrule eval clothes.safetensors --data-dir fashion-mnist --format jsonl
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "eval", run, "accuracy and loss of a trained network on the test images", _EXAMPLES)
    add_model(command)
    command.add_argument("--confusion", action="store_true", help="also what the images of each class were taken for")
    add_data_dir(command)
    add_format(command)


def run(options: argparse.Namespace) -> int:
    """Tell the accuracy and the mean loss of a trained network on MNIST's 10,000 test images, or on those of a folder.

    A network that begins with a Rescaling layer, as train makes it, is given the bytes; any other, pixels in 0-1.
    """
    model = Model(options.model)
    images, t = load_split("test", normalize=False, data_dir=options.data_dir)
    scores = model.scores(model.images(images, "test images"))
    loss, accuracy = softmax_loss(scores, t), accuracy_of(scores, t)
    table = confusion_of(scores, t) if options.confusion else None
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
        show("\n", *_text(table, options))
    return 0


def _text(table: NDArray[np.int64], options: argparse.Namespace) -> list[str]:
    """Lay the counts out, the right ones bold, with the share of each class that was found."""
    strong = style_for(options).strong
    width = len(str(table.max())) + 1
    pieces = ["class  taken for\n", " " * 5, *(f"{j:>{width}}" for j in range(len(table))), "   found"]
    for i, row in enumerate(table):
        counts = [strong(f"{n:>{width}}") if i == j else f"{n or '·':>{width}}" for j, n in enumerate(row)]
        recall = f"{row[i] / row.sum():8.4f}" if row.any() else f"{'-':>8}"
        pieces += [f"\n{i:>5}", *counts, recall]
    return pieces
