"""What makes a training run what it is: chosen on the command line, or found in the file of the run to go on with.

The file is a checkpoint of `fit`; the settings lie in its metadata, under a key of their own, with a checksum of the
data.
"""

from __future__ import annotations

import argparse
import json
import zlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule.nn.network import Network
from chainrule.storage.model_files import unpack
from chainrule.training.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

OPTIMIZERS: dict[str, type[Any]] = {
    kind.__name__.lower(): kind for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)
}
DEFAULTS: dict[str, Any] = {
    "iterations": 10_000,
    "epochs": None,
    "hidden": 50,
    "batch_size": 100,
    "optimizer": "sgd",
    "learning_rate": None,
    "dtype": "float32",
    "validation": None,
    "patience": None,
    "seed": 0,
}
#: What may be another when a run goes on.
_LENGTH = {"iterations", "epochs"}
_KEY = "chainrule train"


def chosen(options: argparse.Namespace) -> dict[str, Any]:
    """Give each setting: as `options` say, or the run to go on with, or the defaults; refuse a contradiction."""
    given = {name: getattr(options, name) for name in DEFAULTS if getattr(options, name) is not None}
    stored = {} if options.resume is None else _stored(options.resume)
    for name, value in given.items():
        if name not in _LENGTH and stored.get(name, value) != value:
            option = f"--{name.replace('_', '-')}"
            was = f"without {option}" if stored[name] is None else f"with {option} {stored[name]}, not {value}"
            raise ValueError(f"{options.resume}: the run was made {was}")
    settings = {name: stored.get(name, value) for name, value in DEFAULTS.items()} | given
    if given.keys() & _LENGTH:
        settings |= {name: given.get(name) for name in _LENGTH}
    if settings["learning_rate"] is None:  # the tutorial's for plain descent, and for any other its own
        kind = OPTIMIZERS[settings["optimizer"]]
        settings["learning_rate"] = 0.1 if kind is SGD else kind().lr
    if settings["patience"] is not None and settings["validation"] is None:
        raise ValueError("--patience goes with --validation, which says how many images to judge by")
    return settings


def store(net: Network, settings: dict[str, Any], x: NDArray[Any], t: NDArray[Any], resume: Path | None) -> None:
    """Put the settings where checkpoints of `net` have them; refuse other data than that of the run to go on with."""
    data = f"{zlib.crc32(x.data):08x}{zlib.crc32(t.data):08x}"
    if resume is not None and _stored(resume)["data"] != data:
        raise ValueError(f"{resume}: the run was made with other training images; name their folder: --data-dir")
    net.metadata[_KEY] = json.dumps(settings | {"data": data})


def _stored(path: Path) -> dict[str, Any]:
    """Read the settings of a run."""
    text = unpack(path).metadata.get(_KEY)
    if text is None:
        raise ValueError(f"{path}: not written by chainrule train --save; a run of fit goes on with fit(resume=…)")
    try:
        stored = json.loads(text)
    except ValueError:
        stored = None
    known = isinstance(stored, dict) and stored.keys() == {*DEFAULTS, "data"}
    if not known or stored["optimizer"] not in list(OPTIMIZERS) or stored["dtype"] not in ("float32", "float64"):
        raise DataError(f"{path}: the settings of the run in it cannot be read")
    return dict(stored)
