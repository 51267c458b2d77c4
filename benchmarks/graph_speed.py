"""How long a graph of numbers takes to record and to walk back: a long chain, and micrograd's own example.

Run it: ``python benchmarks/graph_speed.py``. It takes some seconds. micrograd is measured beside, if it is installed
(``pip install micrograd``); it records a difference and a quotient as two nodes each, so both the time of the whole
example and that per node of each library's own are told. A constant is a node in both, as it is when a graph is drawn.
Python's garbage collector runs, as it does for whoever uses them: micrograd's nodes wait for it, ours need none. The
last line tells both without it.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

from results import ratio

from chainrule import Variable

ROUNDS, REPEATS, LENGTH = 15, 300, 100_000


def readme(kind: Any, relu: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Record the example of micrograd's README; give a, b and g."""
    a, b = kind(-4.0), kind(2.0)
    c = a + b
    d = a * b + b**3
    c += c + 1
    c += 1 + c + (-a)
    d += d * 2 + relu(b + a)
    d += 3 * d + relu(b - a)
    e = c - d
    f = e**2
    g = f / 2.0
    g += 10.0 / f
    return a, b, g


def nodes(last: Any, inputs: Callable[[Any], Any]) -> int:
    """Count what leads to `last`; a constant counts wherever it is used."""
    seen, pending, constants = set(), [last], 0
    while pending:
        node = pending.pop()
        if not isinstance(node, type(last)):
            constants += 1
        elif id(node) not in seen:
            seen.add(id(node))
            pending += inputs(node)
    return len(seen) + constants


def seconds(kind: Any, relu: Callable[[Any], Any]) -> float:
    """Give the seconds of one example, recorded and walked back."""
    started = time.perf_counter()
    for _ in range(REPEATS):
        readme(kind, relu)[2].backward()
    return (time.perf_counter() - started) / REPEATS


def chain() -> None:
    """Print the seconds of a chain of additions, and whether its memory came back without the collector."""
    forward, backward, freed = [], [], True
    gc.disable()
    for _ in range(5):
        started = time.perf_counter()
        x = y = Variable(1.0)
        for _ in range(LENGTH):
            y = y + x
        recorded = time.perf_counter()
        y.backward()
        backward.append(time.perf_counter() - recorded)
        forward.append(recorded - started)
        middle = weakref.ref(y.inputs[0])
        del y
        freed = freed and middle() is None
    gc.enable()
    total = [there + back for there, back in zip(forward, backward, strict=True)]
    print(f"chain of {LENGTH} additions: forward {statistics.median(forward):.3f} s, backward", end=" ")
    print(f"{statistics.median(backward):.3f} s, together {statistics.median(total):.3f} s; freed: {freed}")


def taking_turns(sides: dict[str, tuple[Any, Any, Any]]) -> dict[str, list[float]]:
    """Give the seconds of every round of each."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, (kind, relu, _) in sides.items():
            times[name].append(seconds(kind, relu))
    return times


def main() -> int:
    """Print the figures; exit code 1 if an example gives other numbers than its README."""
    chain()
    sides: dict[str, tuple[Any, Any, Any]] = {
        "chainrule": (
            Variable,
            lambda x: x.maximum(0),
            lambda node: list(node.inputs),
        )
    }
    try:
        from micrograd.engine import Value
    except ImportError:
        print("micrograd is not installed: pip install micrograd, to have it beside")
    else:
        sides["micrograd"] = (Value, lambda x: x.relu(), lambda node: list(node._prev))

    times = taking_turns(sides)
    gc.disable()
    try:
        uncollected = taking_turns(sides)
    finally:
        gc.enable()

    print(f"{'':<10} {'g':>9} {'dg/da':>9} {'dg/db':>9} {'nodes':>6} {'µs':>7} {'µs a node':>10}")
    right = True
    for name, (kind, relu, inputs) in sides.items():
        a, b, g = readme(kind, relu)
        g.backward()
        value = g.value if name == "chainrule" else g.data
        shown = [f"{number:.4f}" for number in (value, a.grad, b.grad)]
        right = right and shown == ["24.7041", "138.8338", "645.5773"]
        count, median = nodes(g, inputs), statistics.median(times[name]) * 1e6
        print(f"{name:<10} {shown[0]:>9} {shown[1]:>9} {shown[2]:>9} {count:>6} {median:>7.1f} {median / count:>10.2f}")
    if "micrograd" in sides:
        longer = ratio(times["micrograd"], times["chainrule"])
        print(f"micrograd takes {longer:.2f} times as long (median of {ROUNDS} rounds)", end="; ")
        print(f"with the collector off {ratio(uncollected['micrograd'], uncollected['chainrule']):.2f} times")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
