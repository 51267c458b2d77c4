"""``chainrule train``: train the tutorial's network, or a deeper one, on MNIST or on your own data."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.checking import check_gradients
from chainrule.cli import mpi, nets, recipes, settings, training_data
from chainrule.cli.arguments import Commands, add_command, add_data_dir, add_format, add_seed, whole
from chainrule.cli.output import on_terminal, print_json, print_line, show, style_for
from chainrule.nn.network import Network
from chainrule.plotting.report_page import training_report
from chainrule.storage.atomic_write import expect_writable, write_whole
from chainrule.training.callbacks import EarlyStopping, Run
from chainrule.training.fit import SHARDS, fit
from chainrule.training.history import History
from chainrule.training.ranks import Ranks
from chainrule.training.settings import OPTIMIZERS

#: How many images the tutorial uses for its gradient check.
_SAMPLES = 3
_EXAMPLES = """
$ chainrule train --epochs 5 --hidden 100
$ chainrule train --save digits.safetensors --report digits.html
$ chainrule train --resume digits.safetensors --epochs 40
$ chainrule train --net convnet --epochs 1 --save digits.safetensors
$ chainrule train --net mlp --hidden 100,50 --dropout 0.5 --batch-norm
$ chainrule train --optimizer adam --validation 0.1 --patience 3 --epochs 100
$ chainrule train --data-dir fashion-mnist --format jsonl
$ chainrule train --recipe 99
$ chainrule train penguins.csv --target species --save penguins.safetensors
$ chainrule train pictures/ --save pictures.safetensors
$ mpiexec -n 4 chainrule train --mpi --hidden 2048 --batch-size 1024
"""


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    train = add_command(commands, "train", run, "train a network on MNIST, or on data of your own", _EXAMPLES)
    own = train.add_argument_group("data of your own")
    own.add_argument(
        "data",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="a CSV file, or a folder that holds a folder of PNG or JPEG pictures for each class (default: MNIST)",
    )
    own.add_argument("--target", metavar="NAME", help="the column of a CSV file that is to be learnt")
    own.add_argument(
        "--missing",
        choices=["raise", "drop", "fill"],
        metavar="WAY",
        help="empty cells: raise names the first (the default), drop leaves their rows out, fill takes the mean",
    )
    own.add_argument("--drop", metavar="NAME[,NAME]", help="columns that are not to be used")
    own.add_argument("--size", type=whole, metavar="N", help="scale pictures to N x N pixels")
    network = train.add_argument_group("the run, of which --resume knows what is not given")
    length = network.add_mutually_exclusive_group()
    for name, (text, how) in settings.OPTIONS.items():
        group = length if name in settings.LENGTH else network
        group.add_argument(f"--{name.replace('_', '-')}", help=text, **how)
    add_seed(network, default=None)
    network.add_argument(
        "--recipe",
        type=int,
        choices=recipes.RECIPES,
        metavar="N",
        help="a short training to 97, 98 or 99 %% of the test images; says all that a run is but --seed",
    )
    network.add_argument(
        "--mpi", action="store_true", help="train in all processes that mpiexec has started, to the bits of one"
    )
    files = train.add_argument_group("files")
    files.add_argument("--save", type=Path, metavar="FILE", help="write network and run there, as safetensors")
    files.add_argument(
        "--checkpoint-every", type=whole, metavar="N", help="epochs from one writing to the next (default 1)"
    )
    files.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="go on from what --save wrote, to the same bits as without a break; --epochs and --iterations count from"
        " the beginning; written on to FILE, or to that of --save",
    )
    files.add_argument("--report", type=Path, metavar="FILE", help="write a page about the run, as HTML")
    add_data_dir(train)
    add_format(train)
    train.add_argument("--quiet", action="store_true", help="only the result: no rows, no progress bar")


def run(options: argparse.Namespace) -> int:
    """Train Affine-Relu-Affine-softmax on the 60,000 training images; print one row per epoch and the final accuracies.

    --net chooses another network: mlp has hidden layers of the sizes that --hidden lists, convnet has one convolution
    of 30 filters, deep has six convolutions and dropout before the last layer. The largest label sets the number of
    classes.

    FILE is data of your own: a CSV file, in which --target names the column to learn, or a folder with one folder of
    pictures per class. A share of it is held out for the test. Columns of numbers are scaled, columns of words are
    one-hot encoded; the model file records how, and the names of the classes. By default, a CSV file trains two-layer
    for 30 epochs and pictures train convnet for 20, both by adam with 16 examples per step.

    After Ctrl-C or a crash, continue with --resume from the file that --save has written. With --patience, the file at
    the end holds the network of the best epoch and cannot be resumed.
    """
    if options.recipe is not None:
        return recipes.run(options, options.parser.parse_args(["train"]))
    started = time.perf_counter()
    save, ranks = options.save or options.resume, mpi.ranks_of(options)
    with ranks.joined():
        data, wanted, net, rng = ranks.each(lambda: _prepared(options, save, ranks))
    rows = _Printed(options)
    stopping = None if wanted["patience"] is None else EarlyStopping(wanted["patience"])
    before = _stamp(save)
    try:
        history = fit(
            net,
            data.x,
            data.t,
            test=data.test,
            validation=wanted["validation"],
            epochs=wanted["epochs"],
            iterations=wanted["iterations"],
            batch_size=wanted["batch_size"],
            label_smoothing=wanted["label_smoothing"] or 0.0,
            optimizer=OPTIMIZERS[wanted["optimizer"]](wanted["learning_rate"]),
            seed=rng,
            callbacks=[rows] if stopping is None else [rows, stopping],
            checkpoint=save,
            every=None if save is None else options.checkpoint_every,
            resume=options.resume,
            progress=on_terminal(sys.stderr) and not options.quiet,
            shards=wanted["shards"],
            comm=ranks.comm,
        )
    except KeyboardInterrupt:
        if save is not None and _stamp(save) != before:
            raise KeyboardInterrupt(f"go on with: {_going_on(options, save)}") from None
        raise
    seconds = time.perf_counter() - started
    if ranks.first:
        _finish(options, save, net, data, wanted, history, rows, stopping, seconds)
    return 0


def _prepared(
    options: argparse.Namespace, save: Path | None, ranks: Ranks
) -> tuple[training_data.TrainingData, dict[str, Any], Network, np.random.Generator]:
    """Give the data, the settings, the network and the generator; refuse what would not work at the end."""
    _expect_sense(options, save)
    for path in filter(None, (save, options.report) if ranks.first else ()):
        expect_writable(path)
    if options.report is not None:
        import_module("chainrule.plotting.figure")  # says now, not after the training, what the page needs
    data = training_data.data_of(options)
    wanted = settings.chosen(options, {**data.defaults, **({} if ranks.comm is None else {"shards": SHARDS})})
    if not (options.quiet or data.own is None or options.format == "jsonl"):
        print_line(f"{options.data}: {data.own!r}")
    data = training_data.split(data, wanted)
    if 0 < len(data.x) < wanted["batch_size"]:
        what = "images" if data.own is None else "examples"
        raise ValueError(f"--batch-size {wanted['batch_size']} is more than the {len(data.x)} training {what}")
    rng = np.random.default_rng(wanted["seed"])
    net = nets.made(wanted, data, rng)
    if save is not None:
        settings.store(net, wanted, data.x, data.t, options.resume)
    return data, wanted, net, rng


def _finish(
    options: argparse.Namespace,
    save: Path | None,
    net: Network,
    data: training_data.TrainingData,
    wanted: dict[str, Any],
    history: History,
    rows: _Printed,
    stopping: EarlyStopping | None,
    seconds: float,
) -> None:
    """Print the result, and write what was asked for."""
    if stopping is not None and save is not None:
        net.save(save)
    rows.result(history, seconds, stopping)
    if options.report is not None:
        mode = nets.NETS[wanted["net"]].check
        check = check_gradients(net, data.x[:_SAMPLES], data.t[:_SAMPLES], mode=mode)
        asked = {name: settings.said(value) for name, value in wanted.items() if value is not None}
        asked |= {"data": data.name} | ({} if options.target is None else {"target": options.target})
        page = training_report(
            net, history, test=data.test, places=data.places, configuration=asked, check=check, seconds=seconds
        )
        write_whole(options.report, page.encode())


def _expect_sense(options: argparse.Namespace, save: Path | None) -> None:
    """Refuse options that have no meaning without another one."""
    if options.checkpoint_every is not None and save is None:
        raise ValueError("--checkpoint-every goes with --save or --resume, which say where")
    if options.report is not None and save is not None and options.report.resolve() == save.resolve():
        raise ValueError(f"--report and --save both name {save}")


def _going_on(options: argparse.Namespace, save: Path) -> str:
    """Give the command that resumes the run."""
    words = ["chainrule", "train", *(["--mpi"] if options.mpi else [])]
    words += [] if options.data is None else [str(options.data)]
    for name in ("target", "missing", "drop", "size"):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join([*words, "--resume", str(save)])


def _stamp(path: Path | None) -> tuple[int, int] | None:
    """Give a value that changes whenever `path` is replaced; None if it does not exist."""
    try:
        found = None if path is None else path.stat()
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns)


class _Printed:
    """Prints one row per epoch and the result, as text or as JSON Lines."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._quiet, self._json = options.quiet, options.format == "jsonl"
        self._strong = style_for(options).strong

    def on_epoch(self, run: Run) -> None:
        """Print the row of the epoch that has ended."""
        if self._quiet:
            return
        history = run.history
        losses = history.losses[history.steps[-2] if len(history.steps) > 1 else 0 :]
        row = {"epoch": run.epoch, "step": run.step, "loss": float(np.mean(losses)), **_measures(history, -1)}
        if self._json:
            print_json("epoch", **row)
        elif history.validation_accuracy:  # to fit in 80 columns
            start = f"epoch {row['epoch']:>3} step {row['step']:>6} loss {row['loss']:.4f}"
            print_line(f"{start}  {_accuracies(row).replace(' accuracy', '')}")
        else:
            start = f"epoch {row['epoch']:>3}  step {row['step']:>6}  loss {row['loss']:.4f}"
            print_line(f"{start}  {_accuracies(row)}")

    def result(self, history: History, seconds: float, stopping: EarlyStopping | None) -> None:
        """Print the result of the run."""
        steps, epochs = history.steps[-1], len(history.steps)
        best = epochs if stopping is None else stopping.best_epoch or epochs
        measures = _measures(history, best - 1)
        if self._json:
            of_best = {} if stopping is None else {"best_epoch": best}
            print_json("result", steps=steps, seconds=seconds, **of_best, **measures)
            return
        show(f"{steps} steps in {seconds:.1f} s, loading and evaluating included")
        if stopping is not None:
            show(f"the network is that of epoch {best} of {epochs}, whose validation loss was the smallest")
        print_line(self._strong(_accuracies(measures)))


def _measures(history: History, epoch: int) -> dict[str, float]:
    """Give the measures of an epoch by name."""
    lists = {name: values for name, values in vars(history).items() if name not in ("losses", "steps")}
    return {name: values[epoch] for name, values in lists.items() if values}


def _accuracies(measures: dict[str, float]) -> str:
    names = [f"{part}_{measure}" for part in ("train", "validation", "test") for measure in ("accuracy", "r2")]
    said = (f"{name.replace('_', ' ').replace('r2', 'R²')} {measures[name]:.4f}" for name in names if name in measures)
    return "  ".join(said)
