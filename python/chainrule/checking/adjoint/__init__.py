"""Check linear operators against their adjoints: two sums must be equal, within a bound on their rounding.

`operator` works out how to call what was handed over; `side` calls it and watches what else it does; `probes` compare
⟨Ax, y⟩ with ⟨x, A*y⟩; `contracts` hold for every linear operator; `causes` and `rearranged` say why the two sides
differ. `run` puts the steps in order, and `checks` has the public call.
"""
