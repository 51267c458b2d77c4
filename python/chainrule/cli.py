"""The command line: ``chainrule train``, ``chainrule check``, ``chainrule graph``, ``chainrule info``.

Results go to stdout, progress and complaints to stderr. Exit codes: 0 fine, 1 the check said no, 2 usage or input,
130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from chainrule import __version__, _kernels
from chainrule._errors import DataError
from chainrule._gate import count, positive
from chainrule.checking import check_gradients
from chainrule.history import History
from chainrule.layers import Rescaling
from chainrule.mnist import init_mnist, load_mnist
from chainrule.network import Network, TwoLayerNet
from chainrule.training import fit

#: The tutorial's size of network and of sample.
_CLASSES = 10
_SAMPLES = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give the exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        0 fine, 1 the check said no, 2 unusable input, 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        By argparse: 2 for unusable arguments, 0 after ``--help`` and ``--version``.
    """
    options = _parser().parse_args(arguments)
    try:
        code: int = options.run(options)
        if sys.stdout is not None:  # closed by the shell: then print() does nothing, and so do we
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("chainrule: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` perhaps, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, TypeError, OSError, MemoryError, FloatingPointError, RuntimeError) as error:
        print(f"chainrule: error: {error or type(error).__name__}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chainrule",
        description="Gradients to see and to trust: train the tutorial's network on MNIST, prove its gradients right.",
    )
    parser.add_argument("--version", action="version", version=f"chainrule {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a two-layer network on MNIST", description=_train.__doc__)
    length = train.add_mutually_exclusive_group()
    length.add_argument("--iterations", type=_whole, metavar="N", help="steps of one batch each (default 10000)")
    length.add_argument("--epochs", type=_whole, metavar="N", help="passes over the training images instead")
    train.add_argument("--hidden", type=_whole, default=50, metavar="N", help="hidden units (default %(default)s)")
    train.add_argument(
        "--batch-size", type=_whole, default=100, metavar="N", help="images a step (default %(default)s)"
    )
    train.add_argument(
        "--learning-rate", type=_above_zero, default=0.1, metavar="X", help="step size (default %(default)s)"
    )
    train.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="default %(default)s")
    train.add_argument(
        "--format",
        choices=["text", "jsonl"],
        default="text",
        help="text, or one JSON object a line (default %(default)s)",
    )
    train.set_defaults(run=_train)

    check = commands.add_parser(
        "check",
        help="check gradients: the tutorial's network's, or those of the layers and functions in a file",
        description=_check.__doc__,
    )
    check.add_argument("file", nargs="?", metavar="FILE.py[:NAME]", help="check this file, which is run, instead")
    check.add_argument("--verbose", action="store_true", help="with a file: the whole report of each")
    check.set_defaults(run=_check)
    for command in (train, check):
        command.add_argument(
            "--seed", type=_seed, default=0, metavar="N", help="for weights and batches (default %(default)s)"
        )
        command.add_argument(
            "--data-dir",
            type=Path,
            metavar="DIR",
            help="a folder with the four IDX files (default: MNIST, in the package)",
        )

    graph = commands.add_parser(
        "graph",
        help="an expression with its derivatives, explained or drawn",
        description=_graph.__doc__,
        epilog="An expression that begins with a minus goes behind all options and --.",
    )
    graph.add_argument("expression", help="of + - * / ** @, parentheses, exp log sum mean maximum: '(x + y) * z'")
    graph.add_argument(
        "values", nargs="*", metavar="NAME=VALUE", help="a number, a vector 1,2,3 or a matrix 1,2;3,4: x=2"
    )
    graph.add_argument(
        "--format",
        choices=["text", "markdown", "svg", "dot", "mermaid"],
        help="text or markdown explain, the others draw (default: by the ending of FILE, else text)",
    )
    graph.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there (default: to stdout)")
    graph.set_defaults(run=_graph)

    info = commands.add_parser("info", help="versions, instruction set, threads, data", description=_info.__doc__)
    info.add_argument("--json", action="store_true", help="as one JSON object")
    info.set_defaults(run=_info)
    return parser


def _train(options: argparse.Namespace) -> int:
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
    show = _jsonl if options.format == "jsonl" else _text
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
        progress=_on_terminal(),
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


def _on_terminal() -> bool:
    """Tell whether somebody watches stderr; it may also be closed."""
    return sys.stderr is not None and sys.stderr.isatty()


def _jsonl(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def _text(event: str, **values: Any) -> None:
    accuracies = f"train accuracy {values['train_accuracy']:.4f}  test accuracy {values['test_accuracy']:.4f}"
    if event == "epoch":
        accuracies = f"epoch {values['epoch']:>3}  step {values['step']:>6}  loss {values['loss']:.4f}  {accuracies}"
    else:
        print(f"{values['steps']} steps in {values['seconds']:.1f} s, loading and evaluating included")
    # Above the progress bar, if there is one.
    if _on_terminal():
        from tqdm import tqdm

        tqdm.write(accuracies, file=sys.stdout)
    else:
        print(accuracies, flush=True)


def _check(options: argparse.Namespace) -> int:
    """Compare gradients with numeric ones: the tutorial's network's on its 3 images, or those of FILE.py, a line each.

    Exit 0 if all are right, 1 if any is not, 2 if something could not be checked.
    """
    if options.file is not None:
        return _check_file(options)
    if options.verbose:
        raise ValueError("--verbose goes with a file; without one the whole report is printed")
    (x_train, t_train), _ = load_mnist(one_hot_label=True, data_dir=options.data_dir)
    net = TwoLayerNet(x_train.shape[1], 50, _CLASSES, seed=options.seed)
    report = check_gradients(net, x_train[:_SAMPLES], t_train[:_SAMPLES])
    print(report)
    return 0 if report.ok else 1


def _check_file(options: argparse.Namespace) -> int:
    """Print a line for each layer, network and pair of a file."""
    from chainrule.checking.files import check_file

    path, _, name = options.file.partition(".py:")
    checks = check_file(f"{path}.py" if name else options.file, name or None, options.seed)
    for check in checks:
        print(check.line)
        if options.verbose and check.report is not None:
            print(check.report, end="\n\n")
    if any(check.report is not None and not check.report.ok for check in checks):
        return 1
    return 2 if any(check.report is None for check in checks) else 0


_FORMATS = {".svg": "svg", ".dot": "dot", ".gv": "dot", ".mmd": "mermaid", ".md": "markdown"}


def _graph(options: argparse.Namespace) -> int:
    """Compute an expression and all its derivatives; explain the chain rule line by line, or draw the graph."""
    from chainrule.graph.expression import evaluate, read_value

    values: dict[str, Any] = {}
    for text in options.values:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a value is given as NAME=VALUE, such as x=2, got {text!r}")
        if name in values:
            raise ValueError(f"{name} is given twice")
        try:
            values[name] = read_value(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    result = evaluate(options.expression, values)
    result.backward()
    form = options.format or (_FORMATS.get(options.output.suffix.lower(), "text") if options.output else "text")
    if form in ("text", "markdown"):
        text = result.explain(form)
    else:
        graph = result.graph()
        text = {"dot": graph.to_dot, "mermaid": graph.to_mermaid}.get(form, lambda: graph.to_svg(backward=True))()
    text = text.rstrip("\n") + "\n"
    if options.output is None:
        print(text, end="")
    else:
        options.output.write_text(text, encoding="utf-8")
    return 0


def _info(options: argparse.Namespace) -> int:
    """Say which versions are at work, on what machine, and whether the packaged MNIST is whole."""
    try:
        init_mnist()
        data = "whole"
    except DataError as error:
        data = str(error)
    facts: dict[str, Any] = {
        "chainrule": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction_set": _kernels.instruction_set(),
        "threads": _kernels.threads(),
        "data": str(Path(__file__).parent / "data" / "mnist"),
        "data_state": data,
    }
    if options.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name.replace('_', ' '):<16} {value}")
    return 0 if data == "whole" else 2


def _whole(text: str) -> int:
    return int(_checked(lambda: count(_number(text, int), "the value")))


def _seed(text: str) -> int:
    return int(_checked(lambda: count(_number(text, int), "the seed", least=0)))


def _above_zero(text: str) -> float:
    return float(_checked(lambda: positive(_number(text, float), "the value")))


def _number(text: str, kind: type) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"must be a {'whole ' if kind is int else ''}number, got {text!r}") from None


def _checked(number: Callable[[], float]) -> float:
    """Give the number; argparse turns our error into its own message and exit 2."""
    try:
        return number()
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
