"""The drawings of a graph: what they tell, that nothing overlaps, that they are well-formed and safe to show."""

from __future__ import annotations

import gc
import importlib.util
import re
import weakref
import xml.etree.ElementTree as ElementTree
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainrule import Affine, Network, Relu, TwoLayerNet, Variable, apply
from chainrule.graph import layout
from chainrule.graph.drawing import Graph
from chainrule.graph.layout import arrange

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def tutorial() -> Variable:
    x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    p = x + y
    p.name = "p"
    g = p * z
    g.name = "g"
    return g


def with_gradients(last: Variable) -> Graph:
    last.backward()
    return last.graph()


def network() -> TwoLayerNet:
    return TwoLayerNet(6, 5, 3, weight_init_std=0.5, seed=0)


def texts(svg: str, kind: str | None = None) -> list[str]:
    """Give what is written, all of it or that of one class."""
    found = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [text.text or "" for text in found if kind is None or text.get("class") == kind]


# --- what is told ---


def test_the_svg_of_the_tutorials_graph_tells_values_and_gradients() -> None:
    svg = with_gradients(tutorial()).to_svg()
    assert sorted(texts(svg, "name")) == ["g", "x", "y", "z"]
    assert sorted(texts(svg, "sign")) == ["+", "×"]
    assert sorted(texts(svg, "grad")) == ["1", "4", "4", "4", "5"]
    assert {"2", "3", "4", "p = 5", "20"} <= set(texts(svg))


def test_a_value_stands_over_its_arrow_and_the_gradient_under_it() -> None:
    root = ElementTree.fromstring(with_gradients(Variable(2, "x") * 7).to_svg())
    for group in root.findall(f"{SVG}g"):
        written = group.findall(f"{SVG}text")
        if group.find(f"{SVG}path") is not None and written:
            value, gradient = written
            start = float(re.findall(r"-?[\d.]+", group.findall(f"{SVG}path")[0].get("d", ""))[1])
            assert float(value.get("y", "")) < start < float(gradient.get("y", ""))
            assert gradient.get("class") == "grad"


def test_without_backward_there_are_values_only() -> None:
    graph = tutorial().graph()
    assert texts(graph.to_svg(), "grad") == []
    with pytest.raises(ValueError, match=r"call backward\(\)"):
        graph.to_svg(backward=True)


def test_the_way_back_is_drawn_on_demand_once_for_every_gradient() -> None:
    graph = with_gradients(tutorial())
    assert graph.to_svg().count('class="back"') == 0
    svg = graph.to_svg(backward=True)
    assert svg.count('class="back"') == svg.count('class="back-tip"') == len(texts(svg, "grad"))


def test_every_arrow_of_a_shared_variable_has_its_share_and_the_variable_their_sum() -> None:
    x = Variable(3, "x")
    svg = with_gradients(x * 5 + x * 7).to_svg()
    assert sorted(texts(svg, "grad")) == ["1", "1", "1", "5", "7", "Σ 12"]


def test_the_gradients_are_of_this_graph_also_when_another_came_by_later() -> None:
    x = Variable(3, "x")
    one, two = x * 5, x * 7
    one.backward()
    two.backward()
    assert sorted(texts(one.graph().to_svg(), "grad")) == ["1", "5"]
    assert x.grad == 7


def test_long_arrays_are_told_by_shape_and_norm_and_short_ones_written_out() -> None:
    x, y = Variable(np.full((3, 4), 2.0), "x"), Variable([1.0, 2.5], "y")
    svg = with_gradients(x.sum() + y.sum()).to_svg()
    assert f"3×4, |x| {np.sqrt(48):.4g}" in texts(svg)
    assert f"|dout| {np.sqrt(12):.4g}" in texts(svg, "grad")
    assert "[1, 2.5]" in texts(svg)


def test_no_number_is_minus_0() -> None:
    x = Variable([-0.0, 1.0], "x")
    written = texts(with_gradients((x * -0.0).sum() * Variable(-0.0, "y")).to_svg())
    assert not any(re.search(r"-0(?![.\d])", text) for text in written)
    assert "[0, 1]" in written


def test_variables_stand_in_the_order_in_which_they_were_made() -> None:
    xs = [Variable(float(n), f"x{n}") for n in range(12)]
    pairs = [xs[n] * xs[11 - n] for n in range(6)]  # what is multiplied lies far apart
    last = pairs[0]
    for pair in pairs[1:]:
        last = last * xs[5] + pair
    root = ElementTree.fromstring(with_gradients(last).to_svg())
    at = {text.text: (text.get("x"), float(text.get("y", ""))) for text in root.iter(f"{SVG}text")}
    columns: dict[Any, list[int]] = {}
    for n in sorted(range(12), key=lambda n: at[f"x{n}"][1]):
        columns.setdefault(at[f"x{n}"][0], []).append(n)
    assert max(map(len, columns.values())) > 3
    assert all(column == sorted(column) for column in columns.values())


def points(path: str) -> np.ndarray[Any, Any]:
    """Give points on a path of lines and cubic Bézier curves, close together."""
    numbers = [(kind, np.array(re.findall(r"-?[\d.]+", rest), float).reshape(-1, 2))
               for kind, rest in re.findall(r"([MLC])([^MLC]*)", path)]  # fmt: skip
    found, share = [numbers[0][1][0]], np.linspace(0, 1, 100)[:, None]
    for kind, ends in numbers[1:]:
        start = found[-1]
        if kind == "L":
            found += list(start + share * (ends[0] - start))
        else:
            a, b, c = ends
            found += list((1 - share) ** 3 * start + 3 * share * (1 - share) ** 2 * a + 3 * share**2 * (1 - share) * b
                          + share**3 * c)  # fmt: skip
    return np.array(found)


def test_the_way_back_stays_beside_its_arrow() -> None:
    x = Variable(0.5, "x")
    power = total = x
    for _ in range(9):
        power = power * x
        total = total + power
    root = ElementTree.fromstring(with_gradients(total).to_svg(backward=True))
    ways, backs = (
        [points(path.get("d", "")) for path in root.iter(f"{SVG}path") if path.get("class") == kind]
        for kind in ("way", "back")
    )
    assert len(ways) == len(backs) > 20

    def gap(one: Any, other: Any) -> float:
        return float(np.sqrt(((one[:, None] - other) ** 2).sum(axis=2)).min())

    for n, back in enumerate(backs):
        steep = back[20:-20]  # at its ends it meets the arrow heads
        assert gap(steep, ways[n]) > 4  # of 5: a curve moved aside is not quite a parallel


def test_drawing_changes_no_gradient_and_no_layer() -> None:
    layer, x = Affine(np.ones((2, 2)), np.zeros(2)), Variable(np.ones((1, 2)))
    last = apply(layer, x).sum()
    last.backward()
    before = layer.dW, layer.db, x.grad
    last.graph().to_svg()
    assert all(now is then for now, then in zip((layer.dW, layer.db, x.grad), before, strict=True))


def test_a_variable_by_itself_is_a_graph() -> None:
    assert repr(Variable(2, "x").graph()) == "Graph(2 nodes, 1 arrows)"


# --- networks ---


def test_a_network_tells_shapes_and_norms_of_every_layer() -> None:
    net, x, t = network(), np.random.default_rng(0).random((4, 6)), [0, 2, 1, 1]
    expected = net.gradient(x, t)
    svg = net.graph(x, t).to_svg()
    norm = np.linalg.norm
    assert texts(svg, "name") == ["x", "Affine1", "Relu1", "Affine2", "SoftmaxWithLoss", "loss"]
    assert f"4×6, |x| {norm(x):.4g}" in texts(svg)
    assert f"W 6×5, |W| {norm(net.params['W1']):.4g}" in texts(svg)
    for name in ("W1", "b1", "W2", "b2"):
        assert f"|d{name[0]}| {norm(expected[name]):.4g}" in texts(svg, "grad")
    dx = net.layers["Affine1"].backward(net.layers["Relu1"].backward(net.layers["Affine2"].backward(
        net.last_layer.backward(1))))  # fmt: skip
    assert f"|dout| {norm(dx):.4g}" in texts(svg, "grad")


def test_a_network_is_left_as_after_gradient() -> None:
    net, x, t = network(), np.random.default_rng(0).random((4, 6)), [0, 2, 1, 1]
    before = {name: array.copy() for name, array in net.params.items()}
    net.graph(x, t)
    for name, array in net.params.items():
        np.testing.assert_array_equal(array, before[name])
    np.testing.assert_array_equal(net.layers["Affine1"].dW, net.gradient(x, t)["W1"])


def test_a_network_names_its_weights_and_labels_as_ever() -> None:
    with pytest.raises(ValueError, match="x has 5 features, W1 expects 6"):
        network().graph(np.ones((4, 5)), [0, 2, 1, 1])
    with pytest.raises(ValueError, match=r"labels must lie in 0..2"):
        network().graph(np.ones((1, 6)), [3])
    relu = Relu()
    with pytest.raises(RuntimeError, match="this Relu was applied again since"):
        Network({"a": relu, "b": relu}).graph(np.ones((1, 2)), [0])


# --- DOT and Mermaid ---


def test_dot_of_the_tutorials_graph() -> None:
    assert with_gradients(tutorial()).to_dot() == "\n".join(
        [
            "digraph {",
            "  rankdir=LR",
            "  ordering=in",
            '  node [fontname="Helvetica"]',
            '  edge [fontname="Helvetica"]',
            '  n0 [shape=plaintext, label="x"]',
            '  n1 [shape=plaintext, label="y"]',
            '  n2 [shape=plaintext, label="z"]',
            '  n3 [shape=circle, label="+"]',
            '  n4 [shape=circle, label="×"]',
            '  n5 [shape=plaintext, label="g"]',
            '  n0 -> n3 [label="2\\n∂ 4"]',
            '  n1 -> n3 [label="3\\n∂ 4"]',
            '  n3 -> n4 [label="p = 5\\n∂ 4"]',
            '  n2 -> n4 [label="4\\n∂ 5"]',
            '  n4 -> n5 [label="20\\n∂ 1"]',
            "}",
        ]
    )


def test_mermaid_of_the_tutorials_graph() -> None:
    lines = with_gradients(tutorial()).to_mermaid().splitlines()
    assert lines[0] == "flowchart LR"
    assert '  n3(("+"))' in lines
    assert '  n0["x"]:::plain' in lines
    assert '  n3 -->|"p = 5<br>∂ 4"| n4' in lines


def test_an_operator_with_a_name_has_a_shape_for_words() -> None:
    graph = Variable(2, "x").exp().graph()
    assert '  n1 [shape=box, style=rounded, label="exp"]' in graph.to_dot().splitlines()
    assert '  n1(["exp"])' in graph.to_mermaid().splitlines()


NASTY = ['a"b', "a\\", "<script>alert(1)</script>", "a&b", "a\nb", "a|b]", "]]>", "\x00", "é∂", "a`b", "end"]


@pytest.mark.parametrize("name", NASTY)
def test_no_name_breaks_a_drawing(name: str) -> None:
    graph = with_gradients(Variable(2, name) * 3)
    svg = graph.to_svg()
    assert len(texts(svg, "name")) == 2
    assert "<script" not in svg
    for line in graph.to_mermaid().splitlines()[2:]:
        assert re.fullmatch(
            r'  n\d+(\["[^"\[\]|<>]*"\]:::plain|\(\("[^"()]*"\)\)| --> n\d+| -->\|"[^"|]*"\| n\d+)',
            line.replace("<br>", ""),
        ), line
    for line in graph.to_dot().splitlines()[5:-1]:
        assert re.fullmatch(r'  n\d+ (\[shape=\w+, label="([^"\\]|\\.)*"\]|-> n\d+( \[label="([^"\\]|\\.)*"\])?)', line)


# --- the SVG as a document ---


def test_the_svg_stands_by_itself() -> None:
    svg = with_gradients(tutorial()).to_svg()
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox")
    assert root.get("role") == "img"
    assert root[0].tag == f"{SVG}title"
    assert "g = 20" in (root[0].text or "")
    assert not re.search(r"<script|<image|<use|href|@import|url\(| on\w+=|\bid=", svg)
    assert svg.count("http") == 1  # the name of the namespace


def test_the_svg_has_colours_for_light_dark_and_print() -> None:
    svg = tutorial().graph().to_svg()
    light, dark, printed = (
        set(re.findall(r"--(\w+):", part)) for part in re.split(r"@media[^{]*", svg.split("</style>")[0])
    )
    used = set(re.findall(r"var\(--(\w+)\)", svg))
    assert used == light == dark == printed
    # The rules of the style reach nothing else on the page.
    style = re.sub(r"@media[^{]*\{", "", svg.split("<style>")[1].split("</style>")[0])
    assert all(rule.strip("} \n").startswith(".chainrule-graph") for rule in style.split("}") if rule.strip("} \n"))


def test_on_paper_a_wide_graph_is_as_wide_as_the_page() -> None:
    svg = tutorial().graph().to_svg()
    assert "max-width:100%;height:auto" in svg.split("@media print")[1].split("</style>")[0].splitlines()[1]


@pytest.mark.parametrize(
    ("ending", "written"),
    [
        (".svg", lambda graph: graph.to_svg()), (".SVG", lambda graph: graph.to_svg()),
        (".dot", lambda graph: graph.to_dot() + "\n"), (".gv", lambda graph: graph.to_dot() + "\n"),
        (".mmd", lambda graph: graph.to_mermaid() + "\n"),
    ],
)  # fmt: skip
def test_a_graph_is_saved_in_the_form_that_the_name_ends_in(ending: str, written: Any, tmp_path: Path) -> None:
    graph = with_gradients(tutorial())
    graph.save(tmp_path / f"g{ending}")
    assert (tmp_path / f"g{ending}").read_text(encoding="utf-8") == written(graph)
    graph.save(str(tmp_path / "back.svg"), backward=True)
    assert (tmp_path / "back.svg").read_text(encoding="utf-8") == graph.to_svg(backward=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [("g.png", "cannot write a graph as PNG, got 'g.png': write 'g.svg'"),
     ("g.txt", "must end in .svg, .dot, .gv, .mmd, got 'g.txt'"),
     ("g", "must end in")],
)  # fmt: skip
def test_a_graph_is_saved_under_no_other_ending(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        tutorial().graph().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_svg() -> None:
    graph = with_gradients(tutorial())
    assert graph._repr_svg_() == graph.to_svg()
    assert graph.to_svg() in graph._repr_html_()


def test_a_picture_that_nobody_can_read_is_refused() -> None:
    x = Variable(1.0)
    for _ in range(600):
        x = -x
    with pytest.raises(ValueError, match=r"use to_dot\(\)"):
        x.graph().to_svg()
    assert x.graph().to_dot().count("->") == 601


def test_a_graph_holds_nothing_of_what_it_shows() -> None:
    gc.disable()
    try:
        last = tutorial()
        graph, held = with_gradients(last), weakref.ref(last)
        del last
        assert held() is None
        assert graph.to_svg()
    finally:
        gc.enable()


# --- the layout ---


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]], list[tuple[float, float]]]:
    """Draw up to 40 nodes with arrows from lower to higher numbers."""
    count = draw(st.integers(2, 40))
    edges = [
        (source, target)
        for target in range(1, count)
        for source in draw(st.lists(st.integers(max(0, target - 12), target - 1), min_size=0, max_size=2))
    ]
    sides = st.tuples(st.floats(10, 150), st.floats(10, 90))
    return draw(st.lists(sides, min_size=count, max_size=count)), edges, [draw(sides) for _ in edges]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_nothing_overlaps_and_every_arrow_leads_to_the_right(graph: Any) -> None:
    nodes, edges, labels = graph
    places = arrange(nodes, edges, labels, {})
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip([*places.nodes, *places.labels], [*nodes, *labels], strict=True)
    ]
    width, height = places.size
    slack = 1e-6  # of adding floats in another order
    for left, top, right, bottom in boxes:
        assert -slack <= left <= right <= width + slack
        assert -slack <= top <= bottom <= height + slack
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] + slack or b[2] <= a[0] + slack or a[3] <= b[1] + slack or b[3] <= a[1] + slack
    for (source, target), (x, y), (w, _), route in zip(edges, places.labels, labels, places.routes, strict=True):
        assert all(a[0] <= b[0] + slack for a, b in pairwise(route))
        assert route[0][0] == pytest.approx(boxes[source][2])
        assert boxes[source][1] < route[0][1] < boxes[source][3]
        assert route[-1][0] == pytest.approx(boxes[target][0])
        # The label is on a level part of its way.
        level = [(a, b) for a, b in list(pairwise(route))[::2] if a[1] == b[1] == y]
        assert any(a[0] <= x - w / 2 + slack and x + w / 2 <= b[0] + slack for a, b in level)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_no_arrow_runs_through_a_node_or_a_label(graph: Any) -> None:
    nodes, edges, labels = graph
    places = arrange(nodes, edges, labels, {})
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip([*places.nodes, *places.labels], [*nodes, *labels], strict=True)
    ]
    for n, ((source, target), route) in enumerate(zip(edges, places.routes, strict=True)):
        others = [box for k, box in enumerate(boxes) if k not in (source, target, len(nodes) + n)]
        # The level parts; a curve lies between two columns, where no box is.
        for (x0, y), (x1, _) in list(pairwise(route))[::2]:
            assert not any(x0 < box[2] - 1e-6 and box[0] + 1e-6 < x1 and box[1] < y < box[3] for box in others)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs(), st.randoms())
def test_nodes_that_have_a_turn_keep_it_in_every_column(graph: Any, rng: Any) -> None:
    nodes, edges, labels = graph
    turns = rng.sample(range(len(nodes)), len(nodes) // 2)
    places = arrange(nodes, edges, labels, {}, turns).nodes
    for one, other in combinations(turns, 2):
        assert places[one][0] != places[other][0] or places[one][1] < places[other][1]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_edges_that_pass_the_same_height_do_so_side_by_side(graph: Any) -> None:
    nodes, edges, labels = graph
    curves = [
        (x0, min(y0, y1), max(y0, y1))
        for route in arrange(nodes, edges, labels, {}).routes
        for (x0, y0), (_, y1) in list(pairwise(route))[1::2]
        if abs(y1 - y0) > 12
    ]
    for one, other in combinations(curves, 2):
        if one[1] < other[2] and other[1] < one[2]:  # some height is passed by both
            # 12 pixels; of more than 21 edges in one gap fewer.
            assert abs(one[0] - other[0]) > (12 - 1e-6 if len(curves) <= 21 else 0)


def test_edges_out_of_one_node_leave_it_one_under_another_in_the_order_of_their_ends() -> None:
    # One node with eight users, which go on to the next one after another.
    edges = [(0, n) for n in range(1, 9)] + [(n, n + 1) for n in range(1, 8)]
    places = arrange([(20, 120)] + [(30, 30)] * 8, edges, [(40, 30)] * len(edges), {})
    starts = sorted((places.labels[n][1], places.routes[n][0][1]) for n in range(8))
    heights = [start for _, start in starts]
    assert heights == sorted(heights)
    assert all(after - before == pytest.approx(12) for before, after in pairwise(heights))


def test_a_tree_is_drawn_without_crossings_in_the_order_of_its_operands() -> None:
    # Eight leaves, added in pairs.
    edges = [(2 * i + k, 8 + i) for i in range(7) for k in (0, 1)]
    places = arrange([(20, 20)] * 15, edges, [(30, 30)] * 14, {})
    leaves = [y for _, y in places.nodes[:8]]
    assert leaves == sorted(leaves)


# --- the pictures of the documentation ---


def test_the_pictures_in_the_docs_are_what_is_drawn() -> None:
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "pictures" / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pictures = module.pictures()
    assert len(pictures) >= 3
    for name, svg in pictures.items():
        assert (ROOT / "docs" / "pictures" / name).read_text(encoding="utf-8") == svg, name


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0.0, 1.0])), max_size=12), st.randoms()
)
def test_crossings_are_the_pairs_of_edges_that_cross(edges: list[tuple[int, int, float]], rng: Any) -> None:
    items = [layout._Item(column, 1.0, 1.0) for column in (0, 1) for _ in range(6)]
    for source, target, offset in edges:
        items[source].after.append((6 + target, offset))
    rows = [list(range(6)), list(range(6, 12))]
    for row in rows:
        rng.shuffle(row)
    ends = [(rows[0].index(a), (rows[1].index(6 + b), offset)) for a, b, offset in edges]
    crossing = [
        (one, other) for one, other in combinations(ends, 2) if (one[0] - other[0]) * _order(one[1], other[1]) < 0
    ]
    assert layout._crossings(items, rows) == len(crossing)


def _order(one: tuple[int, float], other: tuple[int, float]) -> int:
    return (one > other) - (one < other)
