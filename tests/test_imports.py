"""How the modules stand to each other: no circle among imports, and few in functions, each with its reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "python" / "chainrule"
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {name_of(path) for path in MODULES}


def imported(node: ast.AST) -> Iterator[str]:
    """Give the modules of the package that a statement imports."""
    if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "chainrule":
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if inner in KNOWN else str(node.module)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in KNOWN)


def at_run_time(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Give the statements that run when a module is imported."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from at_run_time(node.orelse)
            continue
        yield node
        for name in ("body", "orelse", "finalbody"):
            inner = getattr(node, name, [])
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and isinstance(inner, list):
                yield from at_run_time(inner)


def test_imports_go_one_way() -> None:
    """What the package's own __init__ brings together is no room of its own."""
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        statements = at_run_time(ast.parse(path.read_text(encoding="utf-8")).body)
        graph[name_of(path)] = {name for node in statements for name in imported(node)} - {"chainrule"}
    done: set[str] = set()
    way: list[str] = []

    def visit(name: str) -> None:
        assert name not in way, f"a circle: {' → '.join([*way[way.index(name) :], name])}"
        if name in done:
            return
        way.append(name)
        for other in sorted(graph.get(name, ())):
            visit(other)
        way.pop()
        done.add(name)

    for name in graph:
        visit(name)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_an_import_in_a_function_says_why(path: Path) -> None:
    """A method that hands on to another room, or what takes long to import: the line, or the one above, says which."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    for function in ast.walk(ast.parse(text)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if any(imported(node)):
                assert isinstance(node, ast.Import | ast.ImportFrom)
                around = lines[node.lineno - 2 : node.end_lineno]
                assert any("#" in line for line in around), (
                    f"{path.name}:{node.lineno}: {lines[node.lineno - 1].strip()}"
                )
