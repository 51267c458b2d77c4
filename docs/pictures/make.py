"""Draw the pictures of docs/graph.md anew: ``python docs/pictures/make.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chainrule import TwoLayerNet, Variable


def pictures() -> dict[str, str]:
    """Give each picture's SVG by the name of its file."""
    x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    p = x + y
    p.name = "p"
    g = p * z
    g.name = "g"
    g.backward()

    apple, apple_num = Variable(100, "apple"), Variable(2, "apple_num")
    orange, orange_num = Variable(150, "orange"), Variable(3, "orange_num")
    price = (apple * apple_num + orange * orange_num) * Variable(1.1, "tax")
    price.name = "price"
    price.backward()

    a = Variable(0.5, "a")
    sigmoid = 1 / (1 + (-a).exp())
    sigmoid.name = "sigmoid"
    sigmoid.backward()

    net = TwoLayerNet(8, 5, 3, weight_init_std=0.5, seed=0)
    images = np.linspace(0, 1, 32).reshape(4, 8)
    return {
        "tutorial.svg": g.graph().to_svg(backward=True),
        "apples_and_oranges.svg": price.graph().to_svg(),
        "sigmoid.svg": sigmoid.graph().to_svg(backward=True),
        "network.svg": net.graph(images, [0, 2, 1, 1]).to_svg(),
    }


if __name__ == "__main__":
    for name, svg in pictures().items():
        (Path(__file__).parent / name).write_text(svg, encoding="utf-8")
