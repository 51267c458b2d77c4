"""The tutorial's first graph, (x + y) · z, forward and backward: node by node, and recorded by variables.

Run it: ``python examples/graph.py``
"""

from __future__ import annotations

from chainrule import AddLayer, MulLayer, Variable


def main() -> None:
    """Compute (2 + 3) · 4 and its gradients, by hand through the nodes."""
    x, y, z = 2, 3, 4
    add, multiply = AddLayer(), MulLayer()

    p = add.forward(x, y)
    g = multiply.forward(p, z)
    print(f"p = x + y = {p}")
    print(f"g = p * z = {g}")

    dp, dz = multiply.backward(1)
    dx, dy = add.backward(dp)
    print(f"dg/dp = {dp}")
    print(f"dg/dx = {dx}")
    print(f"dg/dy = {dy}")
    print(f"dg/dz = {dz}")


def recorded() -> None:
    """Compute the same with variables, which do the backward pass themselves, and print the explanation."""
    x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
    g = (x + y) * z
    g.backward()
    print(g.explain())


if __name__ == "__main__":
    main()
    print()
    recorded()
