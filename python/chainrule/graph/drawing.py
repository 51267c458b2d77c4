"""A graph as a picture: SVG without any other program, DOT for Graphviz, Mermaid for Markdown.

As in the book's figures, operators are circles and arrows lead from left to right. Above an arrow is the value that
flows along it; below it, in a second colour, is the gradient that flows back. A variable with several users has several
arrows, each with its share of the gradient; their sum is written at the variable. A layer whose output is images shows
those of the first example.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from chainrule.graph import wording
from chainrule.graph.base import Node
from chainrule.graph.files import DRAWINGS, form_of
from chainrule.graph.layout import OUT_GAP, Point, Size, arrange
from chainrule.graph.maps import Heat, Maps, heat_of, maps_of
from chainrule.graph.record import Recorded, ancestors, backpropagate, forwards, own_copy, users_of
from chainrule.graph.variable import Variable
from chainrule.nn.parameters.layers import gradients, parameters
from chainrule.storage.atomic_write import write_whole

#: Beyond this an SVG cannot be read any more, and takes long.
_MOST_NODES = 500

_FONT, _LINE, _RADIUS, _MARGIN = 13, 17, 19, 16
#: How far below an arrow its way back is drawn.
_BESIDE = 5


@dataclass(frozen=True)
class _Node:
    #: "variable", "constant", "operator", "layer" or "result".
    kind: str
    #: What is written in it, each line with whether it tells a gradient.
    lines: tuple[tuple[str, bool], ...]
    #: What a reader hears or sees on pointing at it.
    title: str
    #: The images that come out of it.
    maps: Maps | None = None
    #: How many arrows leave it.
    users: int = 1


@dataclass(frozen=True)
class _Edge:
    source: int
    target: int
    value: str
    gradient: str
    #: The numbers as colours, if they are many.
    heat: Heat | None = None
    gradient_heat: Heat | None = None


class Graph:
    """The graph that leads to a variable, as it is now; made by `Variable.graph` and `Network.graph`.

    Parameters
    ----------
    last : Variable
        The variable. The gradients are those of the last ``backward`` that reached it; without one, only values are
        drawn.
    titles : mapping of Variable to str, optional
        Titles for the layers that made these variables, in place of the names of their classes.

    Raises
    ------
    RuntimeError
        If a layer has been applied again since.

    Examples
    --------
    >>> x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    >>> g = (x + y) * z
    >>> g.backward()
    >>> g.graph()
    Graph(6 nodes, 5 arrows)
    """

    def __init__(self, last: Variable, titles: Mapping[Variable, str] | None = None) -> None:
        layers: dict[Recorded, Any] = {}

        def layer_of(variable: Recorded) -> Any:
            layers[variable] = own_copy(variable)
            return layers[variable]

        written: Mapping[Any, str] = titles or {}
        variables = ancestors(last)
        # Computed anew, because `grad` may come from another graph that the variable is also part of.
        shares: dict[Recorded, tuple[Any, ...]] = {}
        totals = {} if last.grad is None else backpropagate(last, last.grad, layer_of, shares)

        names = wording.names_of(variables)
        users = users_of(variables)

        self._nodes: list[_Node] = []
        self._edges: list[_Edge] = []
        place: dict[Recorded, int] = {}
        for variable in forwards(variables):
            title = written.get(variable)
            shared = wording.number_or_norm(totals[variable]) if totals and users[variable] > 1 else ""
            place[variable] = self._add(
                replace(
                    _node(variable, names[variable], title, layers.get(variable, variable.layer), shared),
                    users=max(users[variable], 1),
                )
            )
            handed = shares.get(variable, ())
            for n, given in enumerate(variable.inputs):
                if isinstance(given, Recorded):
                    share = handed[n] if handed else None
                    self._edges.append(_edge(place[given], place[variable], given, given.name, share))
                elif isinstance(variable.layer, Node):
                    constant = wording.brief(given)
                    at = self._add(_Node("constant", ((constant, False),), f"constant {constant}"))
                    self._edges.append(_Edge(at, place[variable], "", ""))
        end = self._add(_Node("result", ((names[last], False),), f"{names[last]} = {wording.brief(last.value)}"))
        self._edges.append(_edge(place[last], end, last, None, last.grad))

    def _add(self, node: _Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def __repr__(self) -> str:
        return f"Graph({len(self._nodes)} nodes, {len(self._edges)} arrows)"

    def to_dot(self) -> str:
        """Give the graph in the DOT language of Graphviz: ``dot -Tpdf`` draws it.

        Examples
        --------
        >>> print((Variable(2, "x") * 3).graph().to_dot())
        digraph {
          rankdir=LR
          ordering=in
          node [fontname="Helvetica"]
          edge [fontname="Helvetica"]
          n0 [shape=plaintext, label="x"]
          n1 [shape=circle, label="×"]
          n2 [shape=plaintext, label="3"]
          n3 [shape=plaintext, label="g"]
          n0 -> n1 [label="2"]
          n2 -> n1
          n1 -> n3 [label="6"]
        }
        """
        shapes = {"circle": "circle", "operator": "box, style=rounded", "layer": "box", "plain": "plaintext"}
        nodes = {kind: f' [shape={shape}, label="{{}}"]' for kind, shape in shapes.items()}
        # Operands from top to bottom, in their order.
        lines = ["digraph {", "  rankdir=LR", "  ordering=in"]
        lines += [f'  {part} [fontname="Helvetica"]' for part in ("node", "edge")]
        lines += self._written(_dot, "\\n", nodes, "n{} -> n{}", 'n{} -> n{} [label="{}"]')
        return "\n".join([*lines, "}"])

    def to_mermaid(self) -> str:
        """Give the graph as a Mermaid flowchart, which many Markdown viewers draw.

        Examples
        --------
        >>> print((Variable(2, "x") * 3).graph().to_mermaid())
        flowchart LR
          classDef plain fill:none,stroke:none
          n0["x"]:::plain
          n1(("×"))
          n2["3"]:::plain
          n3["g"]:::plain
          n0 -->|"2"| n1
          n2 --> n1
          n1 -->|"6"| n3
        """
        nodes = {"circle": '(("{}"))', "operator": '(["{}"])', "layer": '["{}"]', "plain": '["{}"]:::plain'}
        lines = self._written(_mermaid, "<br>", nodes, "n{} --> n{}", 'n{0} -->|"{2}"| n{1}')
        return "\n".join(["flowchart LR", "  classDef plain fill:none,stroke:none", *lines])

    def _written(
        self, escape: Callable[[str], str], newline: str, nodes: Mapping[str, str], arrow: str, labelled: str
    ) -> Iterator[str]:
        """Give a line for each node, in the form of its kind, and for each arrow, in that with or without a label."""
        for n, node in enumerate(self._nodes):
            text = newline.join(escape(line) for line, _ in node.lines)
            form = nodes.get("circle" if _is_sign(node) else node.kind, nodes["plain"])
            yield f"  n{n}{form.format(text)}"
        for edge in self._edges:
            text = newline.join(map(escape, filter(None, (edge.value, edge.gradient and f"∂ {edge.gradient}"))))
            yield "  " + (labelled if text else arrow).format(edge.source, edge.target, text)

    def to_svg(self, backward: bool = False) -> str:
        """Give the graph as one SVG element: light, dark or for print, as its reader asks; no script, no links.

        Parameters
        ----------
        backward : bool, default False
            Whether the backward pass is drawn too, as arrows in the colour of the gradients.

        Raises
        ------
        ValueError
            If the graph has more than 500 nodes, or `backward` is true and there are no gradients.

        Examples
        --------
        >>> (Variable(2, "x") * 3).graph().to_svg()[:64]
        '<svg xmlns="http://www.w3.org/2000/svg" class="chainrule-graph" '
        """
        if len(self._nodes) > _MOST_NODES:
            raise ValueError(
                f"a picture of {len(self._nodes)} nodes cannot be read, at most {_MOST_NODES} are drawn; use to_dot()"
            )
        if backward and not self._edges[-1].gradient:
            raise ValueError("there is no way back to draw: call backward() on the last variable, then graph() again")
        places = arrange(
            [_size(node) for node in self._nodes],
            [(edge.source, edge.target) for edge in self._edges],
            [_label_size(edge, backward) for edge in self._edges],
            {n: _RADIUS for n, node in enumerate(self._nodes) if _is_circle(node)},
            [n for n, node in enumerate(self._nodes) if node.kind == "variable"],
        )
        width, height = (length + 2 * _MARGIN for length in places.size)
        svg = [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chainrule-graph" role="img" width="{width:.0f}"'
            f' height="{height:.0f}" viewBox="{-_MARGIN} {-_MARGIN} {width:.0f} {height:.0f}">',
            f"<title>{wording.escaped(self._title())}</title>",
            f"<style>{wording.style_beside(__file__)}</style>",
            f'<rect class="paper" x="{-_MARGIN}" y="{-_MARGIN}" width="{width:.0f}" height="{height:.0f}" rx="6"/>',
        ]
        for edge, route, middle in zip(self._edges, places.routes, places.labels, strict=True):
            svg += _drawn_edge(edge, route, middle, backward)
        svg += [_drawn_node(node, middle) for node, middle in zip(self._nodes, places.nodes, strict=True)]
        return "\n".join([*svg, "</svg>\n"])

    def save(self, path: str | os.PathLike[str], backward: bool = False) -> None:
        """Write the graph to a file, whole or not at all; the ending of its name sets the format.

        Parameters
        ----------
        path : path-like
            A name that ends in ``.svg``, in ``.dot`` or ``.gv`` for Graphviz, or in ``.mmd`` for Mermaid.
        backward : bool, default False
            As for `to_svg`; the other formats write each gradient beside its value.

        Raises
        ------
        ValueError
            If the name has another ending, or for the reasons of `to_svg`. PNG is not supported: convert the SVG in a
            browser or Inkscape, or let Graphviz draw the DOT.
        OSError
            If the file cannot be written; an existing file is left as it was.

        Examples
        --------
        >>> (Variable(2, "x") * 3).graph().save("graph.png")
        Traceback (most recent call last):
        ...
        ValueError: cannot write a graph as PNG, got 'graph.png': write 'graph.svg' and convert it in a browser or \
Inkscape, or write 'graph.dot' and let Graphviz draw it (dot -Tpng)
        """
        form = form_of(path, DRAWINGS)
        write = {"dot": self.to_dot, "mermaid": self.to_mermaid}.get(form, lambda: self.to_svg(backward))
        write_whole(path, (write().rstrip("\n") + "\n").encode())

    def _title(self) -> str:
        nodes = [node.title for node in self._nodes if node.kind in ("operator", "layer")]
        return "Computational graph: " + ("; ".join(nodes) if nodes else self._nodes[-1].title)

    def _repr_svg_(self) -> str:
        """Show the graph in a notebook."""
        return self.to_svg()

    def _repr_html_(self) -> str:
        """Show the graph in a notebook, with a scroll bar where it is wider than the page."""
        return f'<div style="overflow-x:auto">{self.to_svg()}</div>'


def _node(variable: Recorded, name: str, title: str | None, layer: Any, shared: str) -> _Node:
    """Give the node of what made `variable`; `shared` is the sum of several gradients, where there are several."""
    total = ((f"Σ {shared}", True),) if shared else ()
    told = f"{name} = {wording.brief(variable.value)}"
    if layer is None:
        return _Node("variable", ((name, False), *total), told)
    if isinstance(layer, Node):
        return _Node("operator", ((layer.symbol, False), *total), f"{told}, by {type(layer).__name__}")
    lines = [(title or type(layer).__name__, False)]
    found = gradients(layer)
    for key, array in parameters(layer).items():
        lines.append((f"{key} {wording.shape(array)}, |{key}| {wording.norm(array)}", False))
        if shared or variable.grad is not None:
            gradient = found.get(key)
            lines += [] if gradient is None else [(f"|d{key}| {wording.norm(gradient)}", True)]
    name = title or type(layer).__name__
    return _Node("layer", (*lines, *total), f"{told}, by {name}", maps_of(variable.value, name))


def _edge(source: int, target: int, variable: Recorded, name: str | None, share: Any) -> _Edge:
    """Give the arrow along which `variable` goes and `share` of its gradient comes back."""
    value, computed = variable.value, variable.layer is not None
    if wording.is_long(value):
        norm = f"{wording.shape(value)}, |{name or 'x'}| {wording.norm(value)}"
        heat = heat_of(value, variable.name or "the value")
        if share is None:
            return _Edge(source, target, norm, "", heat)
        return _Edge(source, target, norm, f"|dout| {wording.norm(share)}", heat, heat_of(share, "its gradient"))
    told = f"{name} = {wording.brief(value)}" if name is not None and computed else wording.brief(value)
    return _Edge(source, target, told, "" if share is None else wording.brief(share))


# --- SVG: sizes and shapes ---


def _text_width(text: str, size: float = _FONT) -> float:
    """Give the width of `text` in the widest of the usual fonts, so that it fits in all."""
    return sum(0.35 if c in " .,:;|!'il[]()" else 0.98 if c in "mwMW@∂" else 0.64 for c in text) * size


def _is_sign(node: _Node) -> bool:
    return node.kind == "operator" and len(node.lines[0][0]) == 1


def _is_circle(node: _Node) -> bool:
    """Tell whether a node is one sign in a circle; one that more arrows leave than a circle has room for is higher."""
    return _is_sign(node) and node.users <= 3


def _size(node: _Node) -> Size:
    width, height = _bare_size(node)
    return width, max(height, OUT_GAP * node.users / 0.8)


def _bare_size(node: _Node) -> Size:
    if _is_circle(node):
        # A line under the circle keeps its room above it too, so that the arrows meet the middle.
        width = max((_text_width(line) for line, _ in node.lines[1:]), default=0.0)
        return max(2 * _RADIUS, width), 2 * _RADIUS + 2 * _LINE * (len(node.lines) - 1)
    width = max(_text_width(line) for line, _ in node.lines)
    padding = 10 if node.kind in ("operator", "layer") else 6
    if _is_sign(node):
        width = max(width, 2 * (_RADIUS - padding))
    across, down = _maps_size(node)
    return max(width, across) + 2 * padding, len(node.lines) * _LINE + down + (14 if padding == 10 else 4)


def _maps_size(node: _Node) -> Size:
    """Give the room for the maps under a node's lines, with what is written under them."""
    if node.maps is None:
        return 0.0, 0.0
    across, down = node.maps.size
    return max(across, _text_width(node.maps.note)), down + 4 + (_LINE if node.maps.note else 0)


def _label_size(edge: _Edge, backward: bool) -> Size:
    sizes = [heat.size for heat in (edge.heat, edge.gradient_heat) if heat is not None]
    width = max(_text_width(edge.value), _text_width(edge.gradient), *(across for across, _ in sizes))
    if width == 0:
        return 0.0, 4.0
    # The arrow is in the middle: as much room is kept over it as under it.
    room = _LINE + (8 if backward and edge.gradient else 3) + max((down + 5 for _, down in sizes), default=0)
    return width + 6, 2 * room


def _drawn_edge(edge: _Edge, route: list[Point], middle: Point, backward: bool) -> list[str]:
    x, y = middle
    x1, y1 = route[-1]
    svg = ["<g>", f'<path class="way" d="{_path([*route[:-1], (x1 - 6, y1)])}"/>', _tip(x1, y1, -1, "tip")]
    if edge.value:
        svg.append(_text(x, y - 6, edge.value))
    if edge.heat:
        across, down = edge.heat.size
        svg += edge.heat.svg(x - across / 2, y - 6 - _LINE - down)
    if edge.gradient:
        if backward:
            x0, y0 = route[0]
            svg += [f'<path class="back" d="{_path(_way_back(route))}"/>', _tip(x0 + 1, y0 + _BESIDE, 1, "back-tip")]
        svg.append(_text(x, y + (21 if backward else 16), edge.gradient, "grad"))
    if edge.gradient_heat:
        svg += edge.gradient_heat.svg(x - edge.gradient_heat.size[0] / 2, y + (26 if backward else 21))
    return [*svg, "</g>"]


def _way_back(route: list[Point]) -> list[Point]:
    """Give the points of the backward arrow: below the forward one where it is level, beside it where it is steep."""
    (x0, y0), (x1, y1) = route[0], route[-1]
    way = [(x0 + 7, y0 + _BESIDE)]
    for (left, start), (right, end) in zip(route[1:-1:2], route[2:-1:2], strict=True):
        aside = _BESIDE * (end - start) / (math.hypot(right - left, end - start) or 1)
        way += [(left - aside, start + _BESIDE), (right - aside, end + _BESIDE)]
    return [*way, (x1 - 1, y1 + _BESIDE)]


def _path(points: list[Point]) -> str:
    """Give a level line, a curve, a level line, …, a level line through `points`."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for n, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
        middle = (x0 + x1) / 2
        curve = f"C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
        path.append(curve if n % 2 == 1 and abs(y1 - y0) > 0.05 else f"L{x1:.1f} {y1:.1f}")
    return "".join(path)


def _tip(x: float, y: float, direction: int, kind: str) -> str:
    """Give the head of an arrow that ends at (x, y); `direction` is where its back is."""
    back = x + 8 * direction
    return f'<path class="{kind}" d="M{x:.1f} {y:.1f}L{back:.1f} {y - 4:.1f}L{back:.1f} {y + 4:.1f}Z"/>'


def _drawn_node(node: _Node, middle: Point) -> str:
    x, y = middle
    width, height = _size(node)
    svg = [f"<g><title>{wording.escaped(node.title)}</title>"]
    if _is_circle(node):
        svg.append(f'<circle class="node" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/>')
        svg.append(_text(x, y + 6.5, node.lines[0][0], "sign"))
        svg += [_text(x, y + _RADIUS + 15 + n * _LINE, line, "grad") for n, (line, _) in enumerate(node.lines[1:])]
        return "".join([*svg, "</g>"])
    if node.kind == "variable" and node.users > 1:
        # From here its arrows leave, one under another.
        side, half = x + width / 2, OUT_GAP * (node.users - 1) / 2 + 4
        svg.append(f'<path class="bar" d="M{side:.1f} {y - half:.1f}V{y + half:.1f}"/>')
    if node.kind in ("operator", "layer"):
        kind, corner = ("node", height / 2) if node.kind == "operator" else ("box", 6)
        svg.append(
            f'<rect class="{kind}" x="{x - width / 2:.1f}" y="{y - height / 2:.1f}" width="{width:.1f}"'
            f' height="{height:.1f}" rx="{min(corner, 18):.1f}"/>'
        )
    down = _maps_size(node)[1]
    first = y - ((len(node.lines) - 1) * _LINE + down) / 2 + 4.5
    for n, (line, gradient) in enumerate(node.lines):
        named = n == 0 and node.kind in ("variable", "result", "layer")
        kind = "grad" if gradient else "name" if named else "sign" if n == 0 and _is_sign(node) else ""
        svg.append(_text(x, first + n * _LINE, line, kind))
    if node.maps is not None:
        top = first + (len(node.lines) - 1) * _LINE + 8
        across, high = node.maps.size
        svg += node.maps.svg(x - across / 2, top)
        svg += [_text(x, top + high + 14, node.maps.note)] if node.maps.note else []
    return "".join([*svg, "</g>"])


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}"' + (f' class="{kind}"' if kind else "") + f">{wording.escaped(text)}</text>"


# --- what each language needs escaped ---


def _dot(text: str) -> str:
    return wording.one_line(text).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid(text: str) -> str:
    return "".join(c if c.isalnum() or c in " .,=-+×÷−Σ∂·" else f"#{ord(c)};" for c in wording.one_line(text))
