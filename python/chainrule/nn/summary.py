"""A network as a table: its layers, the output shape of each, its parameters and how many numbers they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine, Reshape
from chainrule.nn.parameters.layers import parameters

if TYPE_CHECKING:
    from chainrule.nn.network import Network

_HEAD = ("layer", "kind", "output", "parameters", "count")


def described(layer: Any) -> str:
    """Describe a layer of this package in one line: its class, the shapes of its parameters, and its numbers."""
    kind = next((LAYERS[base] for base in type(layer).__mro__ if base in LAYERS), None)
    if kind is None:
        return f"{type(layer).__name__}()"
    held = ((name, getattr(layer, name, None)) for name in kind.parameters)
    arrays = [f"{name} {array.shape}" for name, array in held if array is not None]
    numbers = [f"{name}={getattr(layer, name)!r}" for name in kind.numbers if hasattr(layer, name)]
    return f"{type(layer).__name__}({', '.join([*arrays, *numbers])})"


def count(net: Network) -> int:
    """Give the total number of entries of all parameters."""
    return sum(array.size for array in net.params.values())


def in_a_line(net: Network) -> str:
    """Give the class, the numbers of layers and parameters, and the dtype."""
    dtypes = sorted({str(array.dtype) for array in net.params.values()})
    n = len(net.layers)
    said = [f"{n} layer{'' if n == 1 else 's'}", f"{count(net):,} parameters", *dtypes]
    return f"{type(net).__name__}({', '.join(said)})"


def rows(net: Network) -> list[tuple[str, ...]]:
    """Give one row for each layer, and one for the loss."""
    found: list[tuple[str, ...]] = []
    shape = _first_shape(net)
    for name, layer in net.layers.items():
        shape = _behind(layer, shape)
        its = parameters(layer, net.layers.values())
        arrays = ", ".join(f"{name} {_sizes(array.shape)}" for name, array in its.items())
        size = f"{sum(array.size for array in its.values()):,}" if its else ""
        found.append((str(name), type(layer).__name__, "" if shape is None else _sizes(shape), arrays, size))
    return [*found, ("", type(net.last_layer).__name__, "", "", "")]


def as_text(net: Network) -> str:
    """Give the table as text, below a line about the network as a whole."""
    table = [_HEAD, *rows(net)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for *words, size in table:
        cells = [word.ljust(width) for word, width in zip(words, widths, strict=False)]
        lines.append("  ".join([*cells, size.rjust(widths[-1])]).rstrip())
    return "\n".join([in_a_line(net), *lines])


def as_html(net: Network) -> str:
    """Give the table for a notebook."""
    from html import escape  # slow to import, and only notebooks need it

    head = "".join(f"<th>{word}</th>" for word in _HEAD)
    body = "".join(f"<tr>{''.join(f'<td>{escape(word)}</td>' for word in row)}</tr>" for row in rows(net))
    caption = f"<caption>{escape(in_a_line(net))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _sizes(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "1"


def _first_shape(net: Network) -> tuple[int, ...] | None:
    """Give the shape of an example, if the first layer that has weights or sets a shape tells it."""
    for layer in net.layers.values():
        if isinstance(layer, Affine):
            return (layer.W.shape[0],)
        if isinstance(layer, Reshape):
            return (int(np.prod(layer.shape)),)
        if type(layer) not in LAYERS or LAYERS[type(layer)].parameters:
            break
    return None


def _behind(layer: Any, shape: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """Give the output shape of `layer` for one example, if the input shape is known and the layer is one of ours."""
    if shape is None or type(layer) not in LAYERS:
        return (layer.W.shape[1],) if type(layer) is Affine else None
    try:
        return tuple(layer._described(shape)[2])
    except ValueError:  # a network whose layers do not fit together can still be shown
        return None
