"""The settings of a training run: chosen on the command line, or read from the file of the run to resume.

The file is a checkpoint of `fit`; the settings are in its metadata, under a key of their own, with a checksum of the
data.
"""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from chainrule._errors import DataError
from chainrule.cli.arguments import above_zero, fraction, sizes, whole
from chainrule.cli.nets import NETS, expect_taken, hidden_of
from chainrule.cli.training_data import TEST
from chainrule.nn.network import Network
from chainrule.storage.model_files import unpack
from chainrule.training.optimizers import SGD
from chainrule.training.settings import OPTIMIZERS

#: Defaults for all nets, unless `nets.NETS` has another.
DEFAULTS: dict[str, Any] = {
    "net": "two-layer",
    "iterations": None,
    "epochs": None,
    "hidden": None,
    "dropout": None,
    "batch_norm": None,
    "label_smoothing": None,
    "batch_size": 100,
    "optimizer": None,
    "learning_rate": None,
    "dtype": "float32",
    "validation": None,
    "patience": None,
    "test": None,
    "shards": None,
    "seed": 0,
}
#: Files of runs have these settings only if they differ from these values; older files do not have them.
_SINCE_NETS = {name: DEFAULTS[name] for name in ("net", "dropout", "batch_norm", "label_smoothing", "test", "shards")}


def said(value: Any) -> str:
    """Give a value as it is written on the command line."""
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _default(name: str) -> str:
    """Describe the default of a setting for each net that has one."""
    nets: dict[str, list[str]] = {}
    for net, kind in NETS.items():
        value = (DEFAULTS | kind.defaults)[name]
        if value is not None:
            nets.setdefault(said(value), []).append(net)
    return "default " + ", ".join(f"{value} for {' and '.join(of)}" for value, of in nets.items())


_WHOLE = {"type": whole, "metavar": "N"}
#: How each setting is given on the command line: its help, and the arguments for argparse.
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "net": (f"{', '.join(NETS)} (default {DEFAULTS['net']})", {"choices": NETS, "metavar": "NAME"}),
    "iterations": (f"steps of one batch each ({_default('iterations')})", _WHOLE),
    "epochs": (f"passes over the training images instead ({_default('epochs')})", _WHOLE),
    "hidden": (
        f"hidden units; for mlp of each hidden layer, commas between them ({_default('hidden')})",
        {"type": sizes, "metavar": "N[,N]"},
    ),
    "dropout": (
        f"leave this share of the hidden units out in each step, for mlp and deep ({_default('dropout')})",
        {"type": fraction, "metavar": "X"},
    ),
    "batch_norm": ("batch normalization before each activation, for mlp", {"action": "store_true", "default": None}),
    "label_smoothing": (
        f"spread this share of each label evenly over all classes ({_default('label_smoothing')})",
        {"type": fraction, "metavar": "X"},
    ),
    "batch_size": (f"images a step ({_default('batch_size')})", _WHOLE),
    "optimizer": (
        f"{', '.join(OPTIMIZERS)} ({_default('optimizer')})",
        {"choices": OPTIMIZERS, "metavar": "NAME"},
    ),
    "learning_rate": (
        f"step size ({_default('learning_rate')}; else 0.1 for sgd, and for others the optimizer's)",
        {"type": above_zero, "metavar": "X"},
    ),
    "dtype": (f"to compute in (default {DEFAULTS['dtype']})", {"choices": ["float32", "float64"]}),
    "validation": ("hold this share of the training images out, such as 0.1", {"type": fraction, "metavar": "X"}),
    "patience": ("stop after N epochs without a smaller validation loss, with the best network", _WHOLE),
    "test": (
        f"hold this share of your own data out for the test (default {TEST})",
        {"type": fraction, "metavar": "X"},
    ),
    "shards": ("parts of a batch whose gradients are added up, on which the bits depend (with --mpi 8)", _WHOLE),
}
#: Settings that may change when a run is resumed.
LENGTH = {"iterations", "epochs"}
_KEY = "chainrule train"


def chosen(options: argparse.Namespace, of_data: Mapping[str, Any]) -> dict[str, Any]:
    """Give each setting, from `options`, the run to resume, or the defaults; refuse a contradiction.

    `of_data` has the defaults for data other than MNIST, which take precedence over those of a net.
    """
    given = {name: getattr(options, name) for name in DEFAULTS if getattr(options, name) is not None}
    stored = {} if options.resume is None else _stored(options.resume)
    net = stored.get("net") or given.get("net") or of_data.get("net", DEFAULTS["net"])
    if "hidden" in given:
        given["hidden"] = hidden_of(net, given["hidden"])
    for name, value in given.items():
        if name not in LENGTH and stored.get(name, value) != value:
            option, before = f"--{name.replace('_', '-')}", stored[name]
            was = f"without {option}" if before is None else f"with {option} {said(before)}, not {said(value)}"
            raise ValueError(f"{options.resume}: the run was made {was}")
    defaults = DEFAULTS | NETS[net].defaults | dict(of_data) | {"net": net}
    settings = {name: stored.get(name, value) for name, value in defaults.items()} | given
    expect_taken(net, settings)
    if given.keys() & LENGTH:
        settings |= {name: given.get(name) for name in LENGTH}
    if settings["optimizer"] != defaults["optimizer"] and "learning_rate" not in given | stored:
        settings["learning_rate"] = None  # the net's rate is for its own optimizer
    if settings["learning_rate"] is None:  # the tutorial's for plain descent, else the optimizer's own
        kind = OPTIMIZERS[settings["optimizer"]]
        settings["learning_rate"] = 0.1 if kind is SGD else kind().lr
    if settings["patience"] is not None and settings["validation"] is None:
        raise ValueError("--patience goes with --validation, which says how many images to judge by")
    return settings


def store(net: Network, settings: dict[str, Any], x: NDArray[Any], t: NDArray[Any], resume: Path | None) -> None:
    """Put the settings into the metadata of `net`; refuse data other than that of the run to resume."""
    data = f"{zlib.crc32(x.data):08x}{zlib.crc32(t.data):08x}"
    if resume is not None and _stored(resume)["data"] != data:
        raise ValueError(f"{resume}: the run was made with other training data; name what it was trained on")
    kept = {name: value for name, value in settings.items() if name not in _SINCE_NETS or value != _SINCE_NETS[name]}
    net.metadata[_KEY] = json.dumps(kept | {"data": data})


def _stored(path: Path) -> dict[str, Any]:
    """Read the settings of a run."""
    text = unpack(path).metadata.get(_KEY)
    if text is None:
        raise ValueError(f"{path}: not written by chainrule train --save; a run of fit goes on with fit(resume=…)")
    try:
        stored = json.loads(text)
    except ValueError:
        stored = None
    stored = _SINCE_NETS | stored if isinstance(stored, dict) else {}
    choices = {"net": list(NETS), "optimizer": list(OPTIMIZERS), "dtype": ["float32", "float64"]}
    known = stored.keys() == {*DEFAULTS, "data"}
    if not known or any(stored[name] not in choice for name, choice in choices.items()):
        raise DataError(f"{path}: the settings of the run in it cannot be read")
    return stored
