"""``chainrule train``: the tutorial's network on MNIST, or on any data in its format."""

from __future__ import annotations

import argparse
import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule.cli.arguments import Commands, above_zero, add_command, add_data_dir, add_format, add_seed, whole
from chainrule.cli.output import on_terminal, print_json, print_line
from chainrule.history import History
from chainrule.layers import Rescaling
from chainrule.mnist import load_mnist
from chainrule.network import Network, TwoLayerNet
from chainrule.training import fit

_CLASSES = 10
_EXAMPLES = """
$ chainrule train --epochs 5 --hidden 100
$ chainrule train --data-dir fashion-mnist --format jsonl
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    train = add_command(commands, "train", run, "train a two-layer network on MNIST", _EXAMPLES)
    length = train.add_mutually_exclusive_group()
    length.add_argument("--iterations", type=whole, metavar="N", help="steps of one batch each (default 10000)")
    length.add_argument("--epochs", type=whole, metavar="N", help="passes over the training images instead")
    train.add_argument("--hidden", type=whole, default=50, metavar="N", help="hidden units (default %(default)s)")
    train.add_argument("--batch-size", type=whole, default=100, metavar="N", help="images a step (default %(default)s)")
    train.add_argument(
        "--learning-rate", type=above_zero, default=0.1, metavar="X", help="step size (default %(default)s)"
    )
    train.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default %(default)s")
    train.add_argument("--quiet", action="store_true", help="only the result: no rows, no progress bar")
    add_format(train)
    add_seed(train)
    add_data_dir(train)


def run(options: argparse.Namespace) -> int:
    """Train Affine-Relu-Affine-softmax on the 60,000 training images; one row an epoch, accuracies at the end."""
    started = time.perf_counter()
    dtype = np.dtype(options.dtype)
    # Bytes, and a first layer that says what they mean: a quarter of the memory, and nothing to convert.
    (x_train, t_train), test = load_mnist(normalize=False, data_dir=options.data_dir)
    if 0 < len(x_train) < options.batch_size:
        raise ValueError(f"--batch-size {options.batch_size} is more than the {len(x_train)} training images")
    rng = np.random.default_rng(options.seed)
    layers = TwoLayerNet(x_train.shape[1], options.hidden, _CLASSES, dtype=dtype, seed=rng).layers
    net = Network({"Rescaling1": Rescaling(), **layers})
    show = print_json if options.format == "jsonl" else _print_text
    steps_before = 0

    def row(history: History) -> None:
        nonlocal steps_before
        losses, steps_before = history.losses[steps_before:], history.steps[-1]
        show(
            "epoch",
            epoch=len(history.steps),
            step=history.steps[-1],
            loss=float(np.mean(losses)),
            train_accuracy=history.train_accuracy[-1],
            test_accuracy=history.test_accuracy[-1],
        )

    history = fit(
        net,
        x_train,
        t_train,
        test=test,
        epochs=options.epochs,
        iterations=10_000 if options.epochs is None and options.iterations is None else options.iterations,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        seed=rng,
        progress=on_terminal(sys.stderr),
        callbacks=[SimpleNamespace(on_epoch=lambda run: row(run.history))],
    )
    show(
        "result",
        steps=history.steps[-1],
        seconds=time.perf_counter() - started,
        train_accuracy=history.train_accuracy[-1],
        test_accuracy=history.test_accuracy[-1],
    )
    return 0


def _print_text(event: str, **values: Any) -> None:
    accuracies = f"train accuracy {values['train_accuracy']:.4f}  test accuracy {values['test_accuracy']:.4f}"
    if event == "epoch":
        accuracies = f"epoch {values['epoch']:>3}  step {values['step']:>6}  loss {values['loss']:.4f}  {accuracies}"
    else:
        print(f"{values['steps']} steps in {values['seconds']:.1f} s, loading and evaluating included")
    print_line(accuracies)
