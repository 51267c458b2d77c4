"""The tutorial's first graph, (x + y) · z, forward and backward.

Run it: ``python examples/graph.py``
"""

from __future__ import annotations

from chainrule import AddLayer, MulLayer


def main() -> None:
    """Compute (2 + 3) · 4 and its three gradients."""
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


if __name__ == "__main__":
    main()
