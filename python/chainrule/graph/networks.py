"""A network as a graph: every layer applied to a variable, the loss at the end."""

from __future__ import annotations

from typing import Any

from chainrule.graph.drawing import Graph
from chainrule.graph.variable import Variable, apply


def graph_of(net: Any, x: Any, t: Any) -> Graph:
    """Run the layers of `net` forward and backward as a graph; see `Network.graph`."""
    variable = Variable(x, "x")
    titles = {}
    for name, layer in net.layers.items():
        variable = apply(layer, variable)
        titles[variable] = name
    loss = apply(net.last_layer, variable, t)
    loss.name = "loss"
    loss.backward()
    return Graph(loss, titles)
