"""``chainrule graph``: explain or draw an expression with all its derivatives."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from chainrule.cli.arguments import Commands, add_command
from chainrule.cli.output import show, write_text
from chainrule.graph.expression import FUNCTIONS, evaluate, read_value
from chainrule.graph.files import DRAWINGS, expect_no_picture, form_of
from chainrule.graph.wording import shortened

_EXAMPLES = """
$ chainrule graph "(x + y) * z" x=2 y=3 z=4
$ chainrule graph "sum(maximum(x @ W, 0))" x=1,2 "W=1,-2;3,4" -o graph.svg
$ chainrule graph -- "-x**2" x=3
"""
#: A file without an ending, such as /dev/stdout, gets text.
_FORMATS = {**DRAWINGS, ".md": "markdown", ".txt": "text", "": "text"}


def add(commands: Commands) -> None:
    """Add the command to `commands`."""
    graph = add_command(commands, "graph", run, "an expression with its derivatives, explained or drawn", _EXAMPLES)
    graph.add_argument("expression", help=f"of + - * / ** @, parentheses, {' '.join(FUNCTIONS)}: '(x + y) * z'")
    graph.add_argument(
        "values", nargs="*", metavar="NAME=VALUE", help="a number, a vector 1,2,3 or a matrix 1,2;3,4: x=2"
    )
    graph.add_argument(
        "--format",
        choices=["text", "markdown", "svg", "dot", "mermaid"],
        help="text or markdown explain, the others draw (default: by the ending of FILE, else text)",
    )
    graph.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write there: .svg, .dot, .gv, .mmd, .md or .txt (default: to stdout)",
    )


def run(options: argparse.Namespace) -> int:
    """Compute an expression and all its derivatives; explain the chain rule line by line, or draw the graph.

    An expression that begins with a minus must follow all options and --. It may have at most 10,000 characters and 100
    levels of nesting.
    """
    form = options.format or ("text" if options.output is None else form_of(options.output, _FORMATS))
    if options.output is not None:
        expect_no_picture(options.output)
    result = evaluate(options.expression, _values(options.values))
    result.backward()
    if form in ("text", "markdown"):
        text = result.explain(form)
    else:
        graph = result.graph()
        text = {"dot": graph.to_dot, "mermaid": graph.to_mermaid}.get(form, lambda: graph.to_svg(backward=True))()
    text = text.rstrip("\n") + "\n"
    if options.output is None:
        show(text, end="")
    else:
        write_text(options.output, text)
    return 0


def _values(texts: list[str]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` for each name."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"a value is given as NAME=VALUE, such as x=2, got {shortened(text)!r}")
        if name in values:
            raise ValueError(f"{shortened(name)} is given twice")
        try:
            values[name] = read_value(value)
        except ValueError as error:
            raise ValueError(f"{shortened(name)}: {error}") from None
    return values
