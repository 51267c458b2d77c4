"""Linear operators held against their adjoints: sums that must be equal, to within a bound on their rounding.

`operator` says how what was handed over is called, `side` calls it and sees what it does beside its numbers, `probes`
hold ⟨Ax, y⟩ against ⟨x, A*y⟩, `contracts` are what holds of every linear operator, `causes` and `rearranged` say why
two sides differ. `run` has the order of it all, `checks` the call.
"""
