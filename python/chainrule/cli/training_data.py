"""The data that ``chainrule train`` trains on: MNIST's digits, or the user's own table or pictures."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule.data.cells import cells_of
from chainrule.data.folders import Pictures, load_folder
from chainrule.data.mnist import is_there, load_mnist
from chainrule.data.tables import Table, load_table
from chainrule.nn.losses import IdentityWithLoss, Loss, SoftmaxWithLoss

#: The share of the user's own examples that is held out for the test.
TEST = 0.2
#: Default settings for the user's own examples: usually there are few, so many epochs are needed. Tried on
#: scikit-learn's tables; 16 is the number of examples that convolutions take at once.
_OWN = {"iterations": None, "optimizer": "adam", "learning_rate": 0.005, "test": TEST}
_OF_A_TABLE = {**_OWN, "net": "two-layer", "epochs": 30}
_OF_PICTURES = {**_OWN, "net": "convnet", "epochs": 20, "learning_rate": 0.001}
_BATCH = 16


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Examples in rows, and what is needed to make a network for them.

    Attributes
    ----------
    name : str or Path
        The name for the report.
    x, t : ndarray
        The examples, (N, D), and their labels or numbers, (N,).
    test : (x, t) or None
        The held-out examples; None before `split`.
    image : tuple of int
        The shape (C, H, W) of an example; a row of a table is (1, 1, D).
    outputs : int
        The number of classes, or 1 for numbers.
    loss : type
        The last layer of the network.
    defaults : dict
        Settings that differ from those for the digits.
    metadata : dict of str to str
        The metadata for the network's file.
    own : Table or Pictures or None
        The user's own data, if that is the source.
    places : tuple of str or None
        Where each test example comes from.
    """

    name: Any
    x: NDArray[Any]
    t: NDArray[Any]
    test: tuple[NDArray[Any], NDArray[Any]] | None
    image: tuple[int, int, int]
    outputs: int
    loss: type[Loss] = SoftmaxWithLoss
    defaults: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    own: Table | Pictures | None = None
    places: tuple[str, ...] | None = None


def data_of(options: argparse.Namespace) -> TrainingData:
    """Read the data that the options name; the user's own data is not split yet."""
    _expect_sense(options)
    if options.data is None:
        # Bytes, with a first layer that scales them: a quarter of the memory, and nothing to convert.
        (images, t), (test, t_test) = load_mnist(normalize=False, flatten=False, data_dir=options.data_dir)
        name = "MNIST" if options.data_dir is None else options.data_dir
        outputs = int(np.max(t, initial=0)) + 1
        return TrainingData(name, _rows(images), t, (_rows(test), t_test), images.shape[1:], outputs)
    if options.data.is_dir():
        return _of_own(
            options.data, load_folder(options.data, size=None if options.size is None else (options.size, options.size))
        )
    drop = [] if options.drop is None else options.drop.split(",")
    return _of_own(
        options.data, load_table(options.data, options.target, missing=options.missing or "raise", drop=drop)
    )


def split(data: TrainingData, settings: Mapping[str, Any]) -> TrainingData:
    """Hold out a test part of the user's own data; it depends only on the seed, so a resumed run has the same."""
    if data.own is None:
        return data
    train, test = data.own.split(settings["test"], seed=settings["seed"])
    whole = _of_own(data.name, train)
    return TrainingData(**{**vars(whole), "test": (_rows(test.x), test.t), "places": test.places})


def _of_own(path: Path, own: Table | Pictures) -> TrainingData:
    x = _rows(own.x)
    image = own.shape if isinstance(own, Pictures) else (1, 1, x.shape[1])
    defaults = _OF_PICTURES if isinstance(own, Pictures) else _OF_A_TABLE
    outputs, loss = (1, IdentityWithLoss) if own.classes is None else (len(own.classes), SoftmaxWithLoss)
    batch = {"batch_size": min(_BATCH, max(len(own) // 2, 1))}
    return TrainingData(path, x, own.t, None, image, outputs, loss, {**defaults, **batch}, own.metadata, own)


def _expect_sense(options: argparse.Namespace) -> None:
    """Refuse options that belong to other data."""
    if options.data is not None:
        options.data.stat()  # report a missing file before anything else
    folder = options.data is not None and options.data.is_dir()
    table = options.data is not None and not folder
    if options.data is not None and options.data_dir is not None:
        raise ValueError(f"{options.data} and --data-dir both say what to train on; give one of them")
    if table and options.target is None:
        headers = cells_of(options.data).headers
        raise ValueError(f"{options.data}: name the column to learn with --target NAME; the columns are {headers}")
    if folder and is_there(options.data):
        raise ValueError(f"{options.data} holds files in MNIST's format, which are named so: --data-dir {options.data}")
    for name in ("target", "missing", "drop"):
        if not table and getattr(options, name) is not None:
            raise ValueError(f"--{name} goes with a CSV file" + (f"; {options.data} is a folder" if folder else ""))
    if not folder and options.size is not None:
        raise ValueError("--size goes with a folder of pictures")
    if options.data is None and options.test is not None:
        raise ValueError("--test goes with data of your own; the digits have their test images")


def _rows(examples: NDArray[Any]) -> NDArray[Any]:
    """Give examples as rows of numbers, without a copy."""
    return examples.reshape(len(examples), math.prod(examples.shape[1:]))
