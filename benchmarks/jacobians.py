"""Which checker sees which mistake in a Jacobian or a Hessian: tests/derivatives; and how often f is asked.

Run it: ``python benchmarks/jacobians.py``. It prints Markdown tables and writes target/jacobians.json.

================  ==============================================================================================
chainrule         `check_jacobian` and `check_hessian` as they come: killed if the report says wrong, a false alarm
                  if it says so of a right one. The place is right if the worst entry is one of those that differ;
                  the cause, if it is the one that is written beside the case, where there is a short one.
check_grad        `scipy.optimize.check_grad`, which takes functions that give one number: it is asked about each
                  output by itself, the largest of its figures read at 1e-6.
check_derivative  `scipy.optimize._numdiff.check_derivative`, read at 1e-6, as in its example. Of a sparse matrix
                  it looks at what the matrix declares.
chkder            MINPACK's, written from its documentation: wrong if any of its figures is below 1/2.
================  ==============================================================================================

The others take one vector: several arguments are put end to end, those on manifolds moved by tangent vectors for them.
An error of theirs on a wrong case counts as killed, on a right one as a case that cannot be run.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import seen
from results import ROOT, TARGET, pipes, write
from scipy import sparse as sp
from scipy.optimize import check_grad
from scipy.optimize._numdiff import check_derivative

from chainrule import check_jacobian

sys.path.insert(0, str(ROOT / "tests"))
from derivatives import CASES, Case
from derivatives.case import Products
from derivatives.cost import Counted, broyden, dense

#: What the figures of SciPy's two may be at most.
FIXED = 1e-6

Function = Callable[[Any], Any]


def main() -> None:
    """Ask all checkers about all cases, print, and write the JSON."""
    others: dict[str, Callable[[Function, Function, Any], bool]] = {
        f"check_grad ≤ {FIXED:g}": by_rows,
        f"check_derivative < {FIXED:g}": lambda f, jac, x: not check_derivative(f, jac, x) < FIXED,
        "chkder": lambda f, jac, x: bool((chkder(f, jac, x) < 0.5).any()),
    }
    tables: dict[str, list[dict[str, str]]] = {}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for field, cases in CASES.items():
            rows = [seen.ours(cases)]
            for name, figure in others.items():
                rows.append(seen.other(name, lambda case, figure=figure: figure(*adapted(case)), cases))
            tables[field] = rows
            sources = [bool(c.wrong.source) for c in cases if c.wrong]
            print(f"### {field}: {len(sources)} wrong, of which {sum(sources)} from public reports\n\n{pipes(rows)}\n")
    tables["cost"] = cost()
    print(f"### Evaluations of f\n\n{pipes(tables['cost'])}")
    cited = {c.name: c.wrong.source for cases in CASES.values() for c in cases if c.wrong and c.wrong.source}
    write({**tables, "sources": cited}, TARGET / "jacobians.json")


# --- the checkers ---


def adapted(case: Case) -> tuple[Function, Function, Any]:
    """Give functions of one vector, and where it is: the numbers of all arguments, or of their tangent vectors."""
    subject, jac = case.subject, case.jac
    arguments = subject.args[:1] if case.kind == "hessian" else subject.args
    rest = subject.args[len(arguments) :]
    retract, local = subject.options.get("retract"), subject.options.get("local")
    ways = retract if isinstance(retract, tuple) else (retract, *(None for _ in arguments[1:]))
    given = jac(*subject.args) if callable(jac) else jac
    blocks = given if isinstance(given, tuple) else (given,)
    here = subject.f(*subject.args)
    count = np.size(local(here, here)) if local else np.size(here)
    sizes = [
        np.size(a) if way is None else int(np.prod(b.shape)) // count
        for a, way, b in zip(arguments, ways, blocks, strict=True)
    ]
    start = [np.ravel(a) if way is None else np.zeros(n) for a, way, n in zip(arguments, ways, sizes, strict=True)]
    cuts = np.cumsum(sizes)[:-1]

    def put(x: Any) -> list[Any]:
        parts = np.split(np.asarray(x, float), cuts)
        moved = [
            part.reshape(np.shape(a)) if way is None else way(a, part)
            for a, way, part in zip(arguments, ways, parts, strict=True)
        ]
        return [*moved, *rest]

    def f(x: Any) -> Any:
        y = subject.f(*put(x))
        return np.ravel(local(here, y) if local else y)

    def matrix(x: Any) -> Any:
        if isinstance(jac, Products):
            return np.stack([jac.product(*put(x), e) for e in np.eye(len(x))], axis=1)
        found = jac(*put(x)) if callable(jac) else jac
        pieces = found if isinstance(found, tuple) else (found,)
        if any(map(sp.issparse, pieces)):
            return sp.csr_matrix(sp.hstack(pieces))
        if np.shape(pieces[0]) == (count,) and sizes[0] > 1 and count > 1:  # one for each entry
            return np.diag(pieces[0])
        return np.hstack([np.reshape(piece, (count, size)) for piece, size in zip(pieces, sizes, strict=True)])

    return f, matrix, np.concatenate(start)


def by_rows(f: Function, jac: Function, x: Any) -> bool:
    """Tell whether check_grad's figure is too large for any of the outputs."""
    rows = range(len(f(x)))
    whole: Function = lambda x: jac(x).toarray() if sp.issparse(jac(x)) else jac(x)  # noqa: E731
    return any(not check_grad(lambda x, i=i: f(x)[i], lambda x, i=i: whole(x)[i], x) <= FIXED for i in rows)


def chkder(f: Function, jac: Function, x: Any) -> Any:
    """Give MINPACK's figure for each output: 1 if its derivatives seem right, 0 if wrong, between if that is open.

    Source: J. J. Moré, B. S. Garbow, K. E. Hillstrom, "User guide for MINPACK-1", ANL-80-74 (1980), §2.
    """
    matrix = jac(x)
    matrix = matrix.toarray() if sp.issparse(matrix) else matrix
    epsilon = np.finfo(np.float64).eps
    step = np.sqrt(epsilon)
    size = np.where(x == 0, 1, np.abs(x))
    before, after = f(x), f(x + step * size)
    with np.errstate(all="ignore"):
        off = step * np.abs((after - before) / step - matrix @ size) / (np.abs(before) + np.abs(after))
        between = np.log10(off) / np.log10(step) - 1
    told = (before != 0) & (after != 0) & (np.abs(after - before) >= 100 * epsilon * np.abs(before))
    figures = np.where(off <= epsilon, 1, np.where(off < step, between, 0))
    return np.where(told, figures, 1)


# --- cost ---


def cost() -> list[dict[str, str]]:
    """Count evaluations of f by `check_jacobian`."""
    found = {f"dense {n} × {n}": dense(n) for n in (50, 200, 1000)}
    found["three diagonals, 10,000 columns"] = broyden(10_000)
    return [_cost(name, *subject) for name, subject in found.items()]


def _cost(name: str, f: Counted, jac: Function, x: Any) -> dict[str, str]:
    start = time.perf_counter()
    report = check_jacobian(f, jac, x)
    seconds = time.perf_counter() - start
    a_column = f"{f.calls / len(x):.2f}" if report.arrays[0].mode == "full" else ""
    return {
        "matrix": name, "verdict": report.verdict, "evaluations": str(f.calls), "a column": a_column,
        "seconds": f"{seconds:.1f}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
