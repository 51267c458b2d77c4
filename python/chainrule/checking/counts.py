"""What a mean can have been taken over: the numbers of examples, classes, time steps, as far as they show from outside.

Which axis the examples lie along is told by the labels (as many as there are examples; shares that add up to 1 for
each), or by which side of the input a matrix of weights fits; else it is the first.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np

from chainrule._gate import FloatArray
from chainrule.checking.results import is_float
from chainrule.checking.subject import Subject


def counts(subject: Subject) -> dict[str, int]:
    """Give N, C and so on, and their products, by what they are called; none that is 1.

    N is the number of examples; C that of classes or columns; T that of time steps, the second of three axes.
    """
    inputs = [a for a in subject.inputs.values() if isinstance(a, np.ndarray) and a.ndim]
    if not inputs:
        return {}
    x = next((a for a in inputs if is_float(a)), inputs[0])
    batch = batch_axis(subject, x)
    found = {"N": x.shape[batch]}
    others = subject.widths([n for axis, n in enumerate(x.shape) if axis != batch])
    if len(others) == 2:
        found["T"] = others[0]
    if others:
        found["C"] = others[-1]
    if len(others) == 3:
        found |= {"H": others[1], "W": others[2], "C": others[0]}
    sizes = {name: n for name, n in found.items() if n > 1}
    for name, other in combinations(list(sizes), 2):
        sizes[f"({name}·{other})"] = sizes[name] * sizes[other]
    if len(found) > 2 and x.size > 1:
        sizes["all"] = x.size
    return sizes


def batch_axis(subject: Subject, x: FloatArray) -> int:
    """Give the axis of `x` that the examples lie along."""
    if x.ndim != 2:
        return 0
    for t in subject.inputs.values():
        if not isinstance(t, np.ndarray) or t is x:
            continue
        if t.ndim == 1 and t.dtype.kind in "iu" and len(t) in x.shape and x.shape[0] != x.shape[1]:
            return x.shape.index(len(t))
        if t.ndim == 2 and t.shape[1] == x.shape[1]:
            in_columns, in_rows = (bool(np.allclose(t.sum(axis=axis), 1, atol=1e-3)) for axis in (0, 1))
            if in_columns != in_rows:
                return 1 if in_columns else 0
    for W in (p for p in subject.parameters.values() if p.ndim == 2):
        as_rows, as_columns = W.shape[0] == x.shape[1], W.shape[1] == x.shape[0]
        if as_rows != as_columns:
            return 1 if as_columns else 0
    weights = [a for n, a in subject.movable.items() if a.ndim == 2 and a is not x]
    for W in weights[:1]:
        if W.shape[1] == x.shape[0] and W.shape[0] != x.shape[1]:
            return 1
    return 0
