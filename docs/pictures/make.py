"""Draw the pictures of docs/graph.md anew: ``python docs/pictures/make.py``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chainrule import Affine, Convolution, Network, Pooling, Relu, Reshape, TwoLayerNet, Variable, load_mnist


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

    x = Variable(0.5, "x")
    c0, c1, c2, c3 = (Variable(value, f"c{n}") for n, value in enumerate([0.25, -0.5, 1.0, 2.0]))
    power = x * x
    cubic = c0 + c1 * x + c2 * power + c3 * (power * x)
    cubic.name = "cubic"
    cubic.backward()

    net = TwoLayerNet(8, 5, 3, weight_init_std=0.5, seed=0)
    images = np.linspace(0, 1, 32).reshape(4, 8)

    # Filters for edges: what is darker below, above, on the right, on the left.
    edges = np.array([[-1.0, -1.0, -1.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    filters = np.stack([edges, -edges, edges.T, -edges.T])[:, None]
    weights = np.random.default_rng(0).normal(size=(4 * 13 * 13, 10)) * 0.05
    seeing = Network(
        {
            "Reshape1": Reshape((1, 28, 28)),
            "Conv1": Convolution(filters, np.zeros(4)),
            "Relu1": Relu(),
            "Pool1": Pooling(2, 2),
            "Affine1": Affine(weights, np.zeros(10)),
        }
    )
    _, (digits, labels) = load_mnist(normalize=False)
    digit = digits[:1].astype(np.float64) / 256  # exact, so that all machines draw the same
    return {
        "tutorial.svg": g.graph().to_svg(backward=True),
        "apples_and_oranges.svg": price.graph().to_svg(),
        "sigmoid.svg": sigmoid.graph().to_svg(backward=True),
        "reuse.svg": cubic.graph().to_svg(backward=True),
        "images.svg": seeing.graph(digit, labels[:1]).to_svg(),
        "network.svg": net.graph(images, [0, 2, 1, 1]).to_svg(),
    }


if __name__ == "__main__":
    for name, svg in pictures().items():
        (Path(__file__).parent / name).write_text(svg, encoding="utf-8")
