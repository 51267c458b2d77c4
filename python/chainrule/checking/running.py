"""Running a file of somebody's own, to look at what it defines."""

from __future__ import annotations

import ast
import contextlib
import errno
import importlib
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

#: So many folders above a file are looked in for what it imports.
_UP = 5


@dataclass(frozen=True)
class Stopped:
    """Why a file did not come to its end, and in which line."""

    error: BaseException
    line: int | None

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"


def run_file(path: Path) -> tuple[ModuleType, Stopped | None]:
    """Run a file and give what it defines, with what stopped it if it did not come to its end.

    Raises
    ------
    OSError
        If it is not there.
    ValueError
        If it is no Python file.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; name a file in it", str(path))
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    folder = path.resolve().parent
    name, root = _package_of(path)
    with _on_the_path(str(folder), *([str(root)] if name else [])) as roots, _without_some() as missing:
        while True:
            module, stopped = _run(path, name)
            if stopped is None or not isinstance(stopped.error, ModuleNotFoundError) or not stopped.error.name:
                return module, stopped
            wanted = stopped.error.name.partition(".")[0]
            above = _root_of(wanted, folder)
            if above is not None and str(above) not in roots:
                roots.append(str(above))  # behind all else: what it imports lies further up
                sys.path.append(str(above))
            elif wanted in missing or wanted in sys.modules:
                return module, stopped
            else:
                missing.append(wanted)


class NotInstalled(ModuleType):
    """Stands in for a module that is not installed: whoever uses something of it is told; nobody else notices."""

    #: What is the same under a name that Python has.
    KNOWN: ClassVar = {"xrange": range}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.KNOWN.get(name) or NotInstalled(f"{self.__name__}.{name}")

    def __call__(self, *_: Any, **__: Any) -> Any:
        """Say what is missing."""
        raise ModuleNotFoundError(f"No module named {self.__name__.partition('.')[0]!r}")

    def __mro_entries__(self, _: Any) -> tuple[type, ...]:
        return ()


class _Finder:
    """Finds a stand-in for each of some modules, and for what is in them."""

    def __init__(self, missing: list[str]) -> None:
        self.missing = missing

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self.missing else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return NotInstalled(spec.name)

    def exec_module(self, _: ModuleType) -> None: ...


@contextlib.contextmanager
def _without_some() -> Iterator[list[str]]:
    """Let modules that are not installed be imported while a file is run; give the list of their names, to add to."""
    missing: list[str] = []
    finder = _Finder(missing)
    sys.meta_path.append(finder)
    try:
        yield missing
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] in missing]:
            del sys.modules[name]


@contextlib.contextmanager
def _on_the_path(*folders: str) -> Iterator[list[str]]:
    """Let modules in these folders be found first, those in the last before those in others."""
    added = list(folders)
    for folder in folders:
        sys.path.insert(0, folder)
    try:
        yield added
    finally:
        for one in added:
            with contextlib.suppress(ValueError):  # the file may change the path too
                sys.path.remove(one)


def _root_of(name: str, folder: Path) -> Path | None:
    """Give the nearest folder above that has what an import names."""
    for above in list(folder.parents)[:_UP]:
        if (above / name).is_dir() or (above / f"{name}.py").is_file():
            return above
    return None


def _run(path: Path, name: str) -> tuple[ModuleType, Stopped | None]:
    """Run a file as a module of this name, which may be in a package."""
    name = name or "checked_file"
    package = name.rpartition(".")[0]
    sys.modules.pop(name, None)  # as it was when it was last looked at
    if package:
        _import_package(package, path)
        imported = sys.modules.get(name)
        if imported is not None and getattr(imported, "__file__", None) == str(path.resolve()):
            return imported, None
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass in it looks itself up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script that ends itself has not been checked to its end
        return module, Stopped(error, _line_in(path, error))
    return module, None


def _import_package(package: str, path: Path) -> None:
    """Import the package that a file is in; if that cannot be, let what stands beside the file be found anyway."""
    try:
        if hasattr(importlib.import_module(package), "__path__"):
            return
        del sys.modules[package]  # a module of the same name, in the folder of the package
    except (Exception, SystemExit):
        pass
    names = package.split(".")
    folders = list(path.resolve().parents)[: len(names)]
    for i, folder in enumerate(reversed(folders)):
        bare = ModuleType(".".join(names[: i + 1]))
        bare.__path__ = [str(folder)]
        sys.modules.setdefault(bare.__name__, bare)


def _line_in(path: Path, error: BaseException) -> int | None:
    """Give the line of the file that raised."""
    here = path.resolve()
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).resolve() == here]
    return lines[-1] if lines else getattr(error, "lineno", None)


def _package_of(path: Path) -> tuple[str, Path]:
    """Give the name as a module of the package that a file is in, and where that is; "" if it imports nothing of it."""
    nowhere = "", path
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return nowhere
    up = max((node.level for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)), default=0)
    folders = [path.resolve().parent, *path.resolve().parent.parents]
    if not up or len(folders) <= up:
        return nowhere
    while up < len(folders) - 1 and (folders[up] / "__init__.py").is_file():
        up += 1
    packages = [folder.name for folder in reversed(folders[:up])]
    if not all(name.isidentifier() for name in packages):
        return nowhere
    return ".".join((*packages, path.stem)), folders[up]
