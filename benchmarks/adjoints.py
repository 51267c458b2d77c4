"""Which checker sees which mistake in an adjoint: the pairs of tests/derivatives/adjoint.py.

Run it: ``python benchmarks/adjoints.py``. It prints a Markdown table and writes target/adjoints.json.

===============  ===============================================================================================
chainrule        `check_adjoint` as it comes: killed if the report says wrong, a false alarm if it says so of a right
                 pair. The place is right if A and A*, written out as matrices, differ there; the cause, if it is the
                 one that is written beside the case, where there is a short one.
PyLops' dottest  By the formula of its documentation, at its defaults: u and v of normal numbers, complex ones where
                 the operator is (``complexflag``), and ``(Op u)ᴴ v`` and ``uᴴ (Opᴴ v)`` held against each other
                 with rtol=1e-6 and atol=1e-21. Of an operator between real and complex numbers the real parts.
one line         The test as it is written everywhere, the same with 1e-10 of the larger side.
===============  ===============================================================================================

The others are seeded by the case. An error of theirs on a wrong case counts as killed, on a right one as a case that
cannot be run.
"""

from __future__ import annotations

import sys
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import seen
from results import ROOT, TARGET, pipes, write

sys.path.insert(0, str(ROOT / "tests"))
from derivatives.adjoint import ADJOINT, AdjointCase

RTOL, ATOL, TIGHT = 1e-6, 1e-21, 1e-10

Agrees = Callable[[complex, complex], bool]


def main() -> None:
    """Ask all checkers about all cases, print, and write the JSON."""
    others: dict[str, Agrees] = {
        f"PyLops' dottest, rtol {RTOL:g}": lambda left, right: abs(left - right) <= ATOL + RTOL * abs(right),
        f"one line, {TIGHT:g}": lambda left, right: abs(left - right) <= TIGHT * max(abs(left), abs(right)),
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        rows = [seen.ours(ADJOINT)]
        for name, agrees in others.items():
            rows.append(seen.other(name, lambda case, agrees=agrees: not agrees(*products(case)), ADJOINT))
    sources = {c.name: c.wrong.source for c in ADJOINT if c.wrong and c.wrong.source}
    wrong = sum(c.wrong is not None for c in ADJOINT)
    print(f"### adjoint: {wrong} wrong, of which {len(sources)} from public reports\n\n{pipes(rows)}")
    write({"adjoint": rows, "sources": sources}, TARGET / "adjoints.json")


def products(case: AdjointCase) -> tuple[complex, complex]:
    """Give the two sides of the dot test, for numbers that are seeded by the name of the case."""
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    forward, adjoint = case.pair
    kinds = [np.dtype(dtype) for dtype in case.dtypes]

    def normal(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        real = rng.standard_normal(shape)
        return (real + 1j * rng.standard_normal(shape) if dtype.kind == "c" else real).astype(dtype)

    u = normal(np.zeros(case.subject.args[0]).shape, kinds[0])
    ahead = np.asarray(forward(u))
    v = normal(ahead.shape, kinds[1])
    left, right = np.vdot(ahead, v), np.vdot(u, np.asarray(adjoint(v)))
    return (left, right) if kinds[0].kind == kinds[1].kind else (left.real, right.real)


if __name__ == "__main__":
    main()
