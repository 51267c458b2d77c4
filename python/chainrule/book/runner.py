"""Run a script of the book as it is, with `chainrule`.

The script gets our ``common`` and ``dataset``, even if the book's own folders are there; it gets our class files unless
they are beside the script. It runs in its own folder, as the book's scripts expect.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from chainrule._harmless import harmless
from chainrule.book.display import pictures_of
from chainrule.book.pickles import only_plain_pickles
from chainrule.data.idx import expect_regular

#: The modules that are ours wherever the script is.
_FOLDERS = """common common.functions common.gradient common.layers common.multi_layer_net common.multi_layer_net_extend
common.optimizer common.trainer common.util dataset dataset.mnist""".split()  # noqa: SIM905  # a list is a line a word
#: Our modules in place of class files that are not beside the script; for two_layer_net it depends on the chapter.
_CLASS_FILES = {
    "deep_convnet": "ch08",
    "gradient_2d": "gradient_2d",
    "layer_naive": "ch05",
    "multi_layer_net": "common.multi_layer_net",
    "multi_layer_net_extend": "common.multi_layer_net_extend",
    "simple_convnet": "ch07",
    "two_layer_net": "ch05",
}


def run(script: str | os.PathLike[str], arguments: Sequence[str] = (), seed: int | None = None) -> int:
    """Run a script of the book as it is, and give its exit code.

    Parameters
    ----------
    script : path-like
        The script; it runs in its own folder.
    arguments : sequence of str
        The arguments for its ``sys.argv``.
    seed : int, optional
        The seed for NumPy's global generator, as if the script began with ``np.random.seed(seed)``.

    Returns
    -------
    int
        0 if the script ran to its end, 1 if it raised (with the traceback on stderr), or its argument of ``sys.exit``.

    Raises
    ------
    DataError, OSError
        If `script` is not a readable file.
    """
    path = os.path.abspath(script)  # before the folder changes
    with as_the_books(path, arguments) as main:
        if seed is not None:
            np.random.seed(seed)
        try:
            main()
        except SystemExit as leaving:
            return _code(leaving)
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except BaseException as error:  # whatever a script may raise
            _print_traceback(error, path)
            return 1
    return 0


@contextmanager
def as_the_books(script: str | os.PathLike[str], arguments: Sequence[str] = ()) -> Iterator[Callable[[], None]]:
    """Prepare for `script`, give a function that runs it, and restore everything; arguments and errors as for `run`."""
    path = Path(os.path.abspath(script))
    expect_regular(path)
    source = path.read_bytes()
    module = ModuleType("__main__")
    module.__file__ = str(path)

    def main() -> None:
        exec(compile(source, str(path), "exec"), module.__dict__)

    folder = path.parent
    with contextlib.ExitStack() as ready:
        ready.enter_context(pictures_of(path))  # before the folder changes: pictures belong into the user's folder
        ready.enter_context(only_plain_pickles())
        ready.enter_context(_modules({"__main__": module, **_ours(folder, source)}, folder))
        ready.enter_context(_attributes(sys, argv=[str(path), *arguments], path=[str(folder), *sys.path]))
        ready.enter_context(warnings.catch_warnings())
        warnings.showwarning = _show_warning  # show the script's warnings as Python does
        ready.enter_context(contextlib.chdir(folder))
        yield main


def _ours(folder: Path, source: bytes) -> dict[str, ModuleType]:
    """Give our modules under the names that a script in `folder` imports."""
    places = {name: name for name in _FOLDERS}
    places |= {name: place for name, place in _CLASS_FILES.items() if not (folder / f"{name}.py").exists()}
    if "two_layer_net" in places and folder.name == "ch04":
        places["two_layer_net"] = "ch04"
    elif "two_layer_net" in places and folder.name != "ch05" and b"two_layer_net" in source:
        _say("two_layer_net is chapter 5's; in a folder called ch04 it is chapter 4's, with sigmoid and probabilities")
    return {name: importlib.import_module(f"chainrule.book.{place}") for name, place in places.items()}


@contextmanager
def _modules(ours: Mapping[str, ModuleType], folder: Path) -> Iterator[None]:
    """Make imports find `ours`, and forget the class files in `folder` when the script has ended."""
    before = dict(sys.modules)
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            beside = file is not None and Path(file).parent == folder
            if name in ours or (name not in before and beside):
                del sys.modules[name]
        sys.modules.update({name: before[name] for name in ours if name in before})


@contextmanager
def _attributes(thing: Any, **values: Any) -> Iterator[None]:
    """Replace attributes of `thing` for a while."""
    before = {name: getattr(thing, name) for name in values}
    for name, value in values.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(thing, name, value)


def _code(leaving: SystemExit) -> int:
    """Give the exit code that Python would give."""
    if leaving.code is None or isinstance(leaving.code, int):
        return leaving.code or 0
    print(leaving.code, file=sys.stderr)
    return 1


def _print_traceback(error: BaseException, script: str) -> None:
    """Print the traceback from the script on, as Python does, and what to do about an import that fails."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != script:
        trace = trace.tb_next
    if sys.stderr is not None:
        sys.stderr.write(harmless("".join(traceback.format_exception(type(error), error, trace))))
    missing = (error.name or "") if isinstance(error, ModuleNotFoundError) else ""
    if missing.partition(".")[0] in ("matplotlib", "mpl_toolkits"):
        _say("the script draws with matplotlib: pip install 'chainrule[plot]'")
    elif missing.startswith(("common.", "dataset.")):
        _say(f"{missing} is not a module that chapters 4 to 8 of the book's first volume import; only those are here")


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if sys.stderr is not None:
        sys.stderr.write(harmless(warnings.formatwarning(message, category, filename, lineno, line)))


def _say(text: str) -> None:
    if sys.stderr is not None:
        print(harmless(f"chainrule: {text}"), file=sys.stderr)
