"""The tutorial's two-layer network as one expression, with the same gradients as ``net.gradient``.

Run it: ``python examples/network_as_graph.py``; add a file name to save a drawing of the network there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chainrule import SoftmaxWithLoss, TwoLayerNet, Variable, apply, load_mnist


def main(arguments: Sequence[str] = ()) -> None:
    """Print how far the gradients of the graph differ from those of the network, on ten digits."""
    (x_train, t_train), _ = load_mnist(one_hot_label=True)
    x, t = x_train[:10], t_train[:10]
    net = TwoLayerNet(input_size=784, hidden_size=50, output_size=10, seed=0)

    W1, b1, W2, b2 = (Variable(net.params[name], name) for name in ("W1", "b1", "W2", "b2"))
    hidden = (x @ W1 + b1).maximum(0)
    scores = hidden @ W2 + b2
    loss = apply(SoftmaxWithLoss(), scores, t)
    loss.backward()

    expected = net.gradient(x, t)
    print(f"loss = {loss.value:.6f}")
    for variable in (W1, b1, W2, b2):
        difference = np.abs(variable.grad - expected[str(variable.name)]).max()
        print(f"{variable.name}: largest difference {difference:.1e}")
    for file in arguments:
        Path(file).write_text(net.graph(x, t).to_svg(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
