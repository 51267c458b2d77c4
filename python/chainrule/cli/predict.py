"""``chainrule predict``: the predictions of a trained network for images or for the rows of a table."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule._gate import FloatArray
from chainrule._harmless import harmless
from chainrule.cli.arguments import Commands, add_command, add_format, add_model
from chainrule.cli.models import Model
from chainrule.cli.output import complain, print_error, print_json, show, style_for
from chainrule.data.idx import expect_regular
from chainrule.data.images import load_picture, read_digit
from chainrule.data.mnist import read_idx
from chainrule.data.tables import load_table
from chainrule.nn.functions import softmax

_EXAMPLES = """
$ chainrule predict digits.safetensors seven.png photo.jpg
$ chainrule predict digits.safetensors t10k-images-idx3-ubyte.gz
$ chainrule predict digits.safetensors images.npy --format jsonl
$ chainrule predict penguins.safetensors new.csv
"""

#: A picture of a digit is doubtful below this probability.
SURE = 0.8


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    command = add_command(commands, "predict", run, "what a trained network says of images or rows", _EXAMPLES)
    add_model(command)
    command.add_argument("files", nargs="+", metavar="FILE", help="IDX (gzipped or not), .npy, PNG, JPEG or CSV")
    add_format(command)


def run(options: argparse.Namespace) -> int:
    """Print each image's file, its most probable class, and the probability that the network gives it.

    A PNG or JPEG (with the extra "image") shows one digit, dark on light or light on dark: it is cut out of its paper,
    scaled and centred as MNIST's digits are. If the result is doubtful, stderr says why, or "doubts" with --format
    jsonl. IDX and .npy files may hold many images, which are taken as they are: bytes 0-255 or fractions 0-1, where 0
    is the background.

    A network that was trained on pictures of your own reads PNG and JPEG in the same way: scaled to the same size, in
    grey or in colour. One that was trained on a CSV file reads others with the same columns, in any order, with or
    without the target.

    A file that cannot be read is named on stderr, and the exit code is then 2; the other files are still read.
    """
    model = Model(options.model)
    strong, width, code = style_for(options).strong, max(len(harmless(file)) for file in options.files), 0
    for file in options.files:
        try:
            found = _said(model, file)
        except (ValueError, TypeError, OSError, MemoryError, ImportError) as error:
            if sys.stdout is not None:
                sys.stdout.flush()
            print_error(error, options)
            code = 2
            continue
        names = [harmless(f"{file}[{index}]" if found.several else file) for index in range(len(found.answers))]
        width = max(width, *map(len, names[-1:]), 0)
        for index, answer in enumerate(found.answers):
            if options.format == "jsonl":
                print_json("prediction", file=file, index=index, **answer)
            elif "value" in answer:
                show(f"{names[index]:<{width}}  ", strong(f"{answer['value']:.6g}"))
            else:
                called = answer.get("name", answer["label"])
                doubts = "; ".join(answer.get("doubts", ()))
                show(
                    f"{names[index]:<{width}}  ",
                    strong(str(called)),
                    f"  {answer['probability']:.4f}",
                    flush=bool(doubts),
                )
                if doubts:
                    complain(f"chainrule: doubtful: {file}: {doubts}")
    return code


class _Said(NamedTuple):
    """The predictions for a file: one answer per example, and whether there may be several."""

    answers: list[dict[str, Any]]
    several: bool


def _said(model: Model, file: str) -> _Said:
    if model.of_table:
        table = load_table(file, like=model.net)
        scores = model.scores(model.rows(table))
        if table.classes is None:
            return _Said([{"value": float(value)} for value in table.numbers(scores)], several=True)
        return _Said(_classes(model, scores), several=True)
    images, several, doubts = _read(model, file)
    answers = _classes(model, model.scores(model.images(images, file)))
    if doubts is not None:
        (answer,) = answers
        unsure = [f"the network is not sure: {answer['probability']:.4f}"] if answer["probability"] < SURE else []
        answer["doubts"] = [*doubts, *unsure]
    return _Said(answers, several)


def _classes(model: Model, scores: FloatArray) -> list[dict[str, Any]]:
    """Give the most probable class of each row: its number and, if it has one, its name."""
    names, found = model.names(scores.shape[1]), []
    for row in softmax(scores):
        label = int(row.argmax())
        found.append(
            {"label": label, "probability": float(row.max())} | ({} if names is None else {"name": names[label]})
        )
    return found


def _read(model: Model, file: str) -> tuple[NDArray[Any], bool, list[str] | None]:
    """Give the images in `file`, whose first bytes tell its format; whether it may hold several; and the doubts."""
    expect_regular(file)
    with open(file, "rb") as opened:
        start = opened.read(8)
    if start.startswith((b"\x89PNG", b"\xff\xd8\xff")):
        if model.picture is not None:
            return load_picture(file, model.picture), False, None
        image, doubts = read_digit(file)
        return image, False, doubts
    if start.startswith(b"\x93NUMPY"):
        return _read_npy(file), True, None
    if start.startswith((b"\x00\x00", b"\x1f\x8b")):
        return read_idx(file), True, None
    raise DataError(f"{file}: " + ("neither IDX, .npy, PNG nor JPEG" if start else "empty"))


def _read_npy(file: str) -> NDArray[Any]:
    try:
        # Memory-mapped first, so that no more is allocated than the file holds, whatever its header promises.
        return np.array(np.load(file, mmap_mode="r", allow_pickle=False))
    except OSError:
        raise
    except Exception as error:  # NumPy may raise anything for a damaged header
        raise DataError(f"{file}: not an array that can be read: {error}") from None
