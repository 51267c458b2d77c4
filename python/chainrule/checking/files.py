"""The layers, networks and pairs in a file of somebody's own: found, given something to work on, and checked.

A file may say for itself what to check with: ``CHECKS``, a dict of names to functions that are given a generator and
return the subject and its arguments:

    CHECKS = {"Conv1d": lambda rng: (Conv1d(rng.standard_normal(3)), rng.standard_normal((2, 7)))}

What is not named there is guessed at: a class with ``forward`` and ``backward`` is made with random ``W``, ``b``,
``gamma``, ``beta`` and what has defaults, and handed random arrays of common shapes until one fits; a function ``f``
goes with ``grad_f``, ``f_grad`` or ``df``. The file is run, as ``python FILE.py`` would, but not as ``__main__``.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from chainrule.checking import GradientReport, check_gradients

#: Given a generator, gives a subject and its arguments.
Made = tuple[Any, tuple[Any, ...]]
Maker = Callable[[np.random.Generator], Made]

_LABELS = ("t", "labels", "ids", "target", "targets")
_INPUTS, _OUTPUTS, _ROWS = 4, 3, 5


@dataclass(frozen=True)
class FileCheck:
    """What became of one name in a file.

    Attributes
    ----------
    name : str
        The class, object or function.
    report : GradientReport or None
        None if it could not be checked.
    reason : str
        Why not.
    """

    name: str
    report: GradientReport | None
    reason: str = ""

    @property
    def line(self) -> str:
        """One line: the verdict, the name, and what it rests on."""
        if self.report is None:
            return f"skipped   {self.name}: {self.reason}"
        return f"{self.report.verdict:<9} {self.name}: {reason_of(self.report)}"


def reason_of(report: GradientReport) -> str:
    """Give the reason for a verdict in half a line."""
    parts = []
    for a in report.arrays:
        if a.verdict == "wrong":
            why = a.note or f"analytic {a.analytic:.4g}, numeric {a.numeric:.4g}"
            parts.append(f"{a.place}: {why}")
            break
    parts += [f"{c.name}: {c.detail}" for c in report.contracts if c.held is False][: 1 if parts else 2]
    if report.verdict == "wrong":
        if report.layer:
            parts.append(f"layer {report.layer}")
        if report.cause:
            parts.append(f"cause: {report.cause}")
        return "; ".join(parts)
    if report.verdict == "unproven":
        return report.headline.partition(": ")[2]
    largest = max((a.max_relative for a in report.arrays), default=0.0)
    return f"{', '.join(a.name for a in report.arrays)} agree to {max(largest, 1e-16):.0e}"


def check_file(path: str, name: str | None = None, seed: int = 0) -> list[FileCheck]:
    """Check what is in a file.

    Parameters
    ----------
    path : str
        A Python file. It is run.
    name : str, optional
        Only this class, object or function of it.
    seed : int, default 0
        For what is handed to the subjects, and for the check.

    Returns
    -------
    list of FileCheck
        In the order of the file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If running it raises, there is nothing in it to check, or nothing of that `name`.
    """
    module = _run(Path(path))
    makers = dict(_makers(module))
    if name is not None:
        if name not in makers:
            known = ", ".join(makers) or "nothing that can be checked"
            raise ValueError(f"{path} has no layer, network or pair called {name}; it has {known}")
        makers = {name: makers[name]}
    if not makers:
        raise ValueError(
            f"{path} has nothing to check: no class with forward and backward, no function f with grad_f, no CHECKS"
        )
    return [_check(which, maker, seed) for which, maker in makers.items()]


def _check(name: str, maker: Maker, seed: int) -> FileCheck:
    try:
        with np.errstate(all="ignore"):  # of the arguments tried, some may not be for it
            subject, arguments = maker(np.random.default_rng(seed))
        return FileCheck(name, check_gradients(subject, *arguments, seed=seed))
    except Exception as error:  # anything that somebody's code may raise is a reason
        return FileCheck(name, None, f"{type(error).__name__}: {error}")


def _run(path: Path) -> ModuleType:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file in it", str(path))
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    spec = spec_from_file_location("checked_file", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass in it looks itself up
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that ends itself has not been checked
        raise ValueError(f"{path} cannot be run: {type(error).__name__}: {error}") from error
    finally:
        with contextlib.suppress(ValueError):  # the file may change the path too
            sys.path.remove(folder)
    return module


def _makers(module: ModuleType) -> Iterator[tuple[str, Maker]]:
    given = getattr(module, "CHECKS", {})
    if not isinstance(given, dict):
        raise ValueError(f"CHECKS must be a dict of names to functions, got {type(given).__name__}")
    for name, maker in given.items():
        yield name, partial(_given, maker)
    own = {name: thing for name, thing in vars(module).items() if name not in given and not name.startswith("_")}
    for name, thing in own.items():
        here = getattr(thing, "__module__", None) == module.__name__
        if isinstance(thing, type) and here and _is_layer(thing):
            yield name, partial(_guess_layer, partial(_construct, thing))
        elif not isinstance(thing, type | ModuleType) and _is_layer(thing):
            yield name, partial(_guess_layer, partial(_as_it_is, thing))
        elif isinstance(thing, FunctionType) and here:
            grad = next((own[n] for n in (f"grad_{name}", f"{name}_grad", f"d{name}") if n in own), None)
            if grad is not None:
                yield name, partial(_guess_pair, (thing, grad))


def _given(maker: Callable[[np.random.Generator], Any], rng: np.random.Generator) -> Made:
    made = maker(rng)
    if not isinstance(made, tuple) or len(made) < 2:
        raise TypeError(f"an entry of CHECKS must return (subject, argument, …), got {type(made).__name__}")
    return made[0], made[1:]


def _as_it_is(layer: Any, _: np.random.Generator) -> Any:
    return layer


def _is_layer(thing: Any) -> bool:
    return callable(getattr(thing, "forward", None)) and callable(getattr(thing, "backward", None))


def _construct(kind: type, rng: np.random.Generator) -> Any:
    """Make a layer with random parameters of the usual names."""
    shapes = {"W": (_INPUTS, _OUTPUTS), "b": (_OUTPUTS,), "gamma": (_INPUTS,), "beta": (_INPUTS,)}
    arguments = {}
    for name in _required(kind):
        if name not in shapes:
            raise TypeError(
                f"do not know what to pass as {name}; say so in the file: CHECKS = {{{kind.__name__!r}: lambda rng: …}}"
            )
        arguments[name] = rng.standard_normal(shapes[name])
    return kind(**arguments)


def _required(function: Any) -> list[str]:
    asked = inspect.signature(function).parameters.values()
    return [p.name for p in asked if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _guess_layer(make: Callable[[np.random.Generator], Any], rng: np.random.Generator) -> Made:
    """Give a layer and the first arguments that it takes and gives finite numbers for."""
    layer = make(rng)
    names, error = _required(layer.forward), None
    for shape in ((_ROWS, _INPUTS), (_ROWS, _OUTPUTS), (_INPUTS,), (_ROWS, 2, _INPUTS)):
        for positive in (False, True):
            arguments = tuple(_argument(name, shape, positive, rng) for name in names)
            try:
                trial = make(rng)
                out = trial.forward(*(np.array(a) for a in arguments))
                outs = out if isinstance(out, tuple | list) else (out,)
                if not all(np.isfinite(np.asarray(o, np.float64)).all() for o in outs):
                    raise ValueError("its output is not finite")
                douts = tuple(np.ones_like(np.asarray(o, np.float64))[()] for o in outs)
                trial.backward(douts[0] if len(douts) == 1 else douts)
            except Exception as raised:
                error = error or raised
                continue
            return make(rng), arguments
    raise ValueError(f"no arguments of common shapes fit ({type(error).__name__}: {error}); say which in CHECKS")


def _guess_pair(pair: tuple[Any, Any], rng: np.random.Generator) -> Made:
    names, error = _required(pair[0]), None
    for shape in ((_INPUTS,), (), (_INPUTS, _INPUTS), (_ROWS, _OUTPUTS)):
        for positive in (False, True):
            arguments = tuple(_argument(name, shape, positive, rng) for name in names)
            try:
                value = np.asarray(pair[0](*arguments), np.float64)
                if value.size != 1 or not np.isfinite(value).all():
                    raise ValueError(f"f gives {value}, and not one finite number")
                pair[1](*arguments)
            except Exception as raised:
                error = error or raised
                continue
            return pair, arguments
    raise ValueError(f"no arguments of common shapes fit ({type(error).__name__}: {error}); say which in CHECKS")


def _argument(name: str, shape: tuple[int, ...], positive: bool, rng: np.random.Generator) -> Any:
    if name in _LABELS:
        return np.arange(shape[0] if shape else 1) % 3
    return rng.uniform(0.2, 0.9, shape) if positive else rng.standard_normal(shape)
