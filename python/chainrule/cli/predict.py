"""``chainrule predict``: what a trained network sees in images."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._harmless import harmless
from chainrule.cli.arguments import Commands, add_command, add_format, add_model
from chainrule.cli.models import Model
from chainrule.cli.output import complain, print_error, print_json, show, style_for
from chainrule.data.idx import expect_regular
from chainrule.data.images import read_picture
from chainrule.data.mnist import read_idx
from chainrule.nn.functions import softmax

_EXAMPLES = """
$ chainrule predict digits.safetensors seven.png photo.jpg
$ chainrule predict digits.safetensors t10k-images-idx3-ubyte.gz
$ chainrule predict digits.safetensors images.npy --format jsonl
"""

#: Below this probability, a picture is doubtful.
SURE = 0.8


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "predict", run, "what a trained network sees in images", _EXAMPLES)
    add_model(command)
    command.add_argument("files", nargs="+", metavar="FILE", help="IDX (gzipped or not), .npy, PNG or JPEG")
    add_format(command)


def run(options: argparse.Namespace) -> int:
    """Print each image's file, its most probable class and how probable the network says that is.

    A PNG or JPEG (with the extra "image") shows one digit, dark on light or light on dark: it is cut out of its paper,
    scaled and centred as MNIST's digits are. If what it shows is doubtful, stderr says why, or "doubts" with
    --format jsonl. The images in IDX and .npy files, many in one if you like, are taken as they are, 0 the background:
    bytes 0-255, or fractions 0-1.

    A file that cannot be read is named on stderr, and the exit code is then 2; the others are told all the same.
    """
    model = Model(options.model)
    strong, width, code = style_for(options).strong, max(len(harmless(file)) for file in options.files), 0
    for file in options.files:
        try:
            images, several, doubts = _read(file)
            probabilities = softmax(model.scores(model.images(images, file)))
        except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
            if sys.stdout is not None:
                sys.stdout.flush()
            print_error(error, options)
            code = 2
            continue
        if several:
            width = max(width, len(f"{harmless(file)}[{len(probabilities) - 1}]"))
        for index, row in enumerate(probabilities):
            label, probability = int(row.argmax()), float(row.max())
            if doubts is not None and probability < SURE:
                doubts = [*doubts, f"the network is not sure: {probability:.4f}"]
            if options.format == "jsonl":
                told = {} if doubts is None else {"doubts": doubts}
                print_json("prediction", file=file, index=index, label=label, probability=probability, **told)
                continue
            name = harmless(f"{file}[{index}]" if several else file)
            show(f"{name:<{width}}  ", strong(str(label)), f"  {probability:.4f}", flush=bool(doubts))
            if doubts:
                complain(f"chainrule: doubtful: {file}: {'; '.join(doubts)}")
    return code


def _read(file: str) -> tuple[NDArray[Any], bool, list[str] | None]:
    """Give the images in `file`, whatever its first bytes say it is, whether there may be several, and the doubts."""
    expect_regular(file)
    with open(file, "rb") as opened:
        start = opened.read(8)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        image, doubts = read_picture(file)
        return image, False, doubts
    if start.startswith(b"\x93NUMPY"):
        return _read_npy(file), True, None
    if start.startswith((b"\x00\x00", b"\x1f\x8b")):
        return read_idx(file), True, None
    raise DataError(f"{file}: " + ("neither IDX, .npy, PNG nor JPEG" if start else "empty"))


def _read_npy(file: str) -> NDArray[Any]:
    try:
        # Mapped first, so that no more is allocated than the file holds, whatever its header promises.
        return np.array(np.load(file, mmap_mode="r", allow_pickle=False))
    except OSError:
        raise
    except Exception as error:  # whatever NumPy meets in a damaged header
        raise DataError(f"{file}: not an array that can be read: {error}") from None
