"""A sigmoid taken apart into its nodes: the backward pass ends with y (1 - y).

y = 1 / (1 + exp(-x)) has four nodes; the layer `Sigmoid` combines them in one.
Run it: ``python examples/sigmoid_apart.py``
"""

from __future__ import annotations

from chainrule import Sigmoid, Variable


def main() -> None:
    """Print y and dy/dx from the four nodes, from the layer, and from the formula y (1 - y)."""
    x = Variable(0.5, "x")
    y = 1 / (1 + (-x).exp())
    y.name = "y"
    y.backward()

    layer = Sigmoid()
    out = layer.forward(x.value)
    print(f"y by nodes = {y.value:.15f}")
    print(f"y by the layer = {out:.15f}")
    print(f"dy/dx by nodes = {x.grad:.15f}")
    print(f"dy/dx by the layer = {layer.backward(1.0):.15f}")
    print(f"dy/dx by y (1 - y) = {y.value * (1 - y.value):.15f}")


if __name__ == "__main__":
    main()
