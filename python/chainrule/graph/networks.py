"""A network as a graph: every layer is applied to a variable, with the loss at the end."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from chainrule.graph.drawing import Graph
from chainrule.graph.variable import Variable, applied, apply
from chainrule.nn.network import batched
from chainrule.nn.passes import run


def graph_of(net: Any, x: Any, t: Any) -> Graph:
    """Run the layers of `net` forward and backward as a graph; see `Network.graph`."""
    x, one = batched(net, x)
    variable = Variable(x, "x")
    titles = {}
    for name, layer in net.layers.items():
        variable = applied(layer, (variable,), partial(run, layer, training=True))
        titles[variable] = name
    if one:
        t = np.asarray(t)[None]
    loss = apply(net.last_layer, variable, t)
    loss.name = "loss"
    loss.backward()
    return Graph(loss, titles)
