"""A problem as SciPy's solvers take it, every derivative in it checked: objective, residuals, constraints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from chainrule.checking.comparison import Mode
from chainrule.checking.jacobian.checks import check_hessian, check_jacobian
from chainrule.checking.report import GradientReport, Verdict
from chainrule.checking.run import as_before


@dataclass(frozen=True, eq=False, repr=False)
class ProblemReport:
    """What `check_problem` found: a report for each derivative.

    Attributes
    ----------
    parts : dict of str to GradientReport
        By what SciPy calls it: "jac", "hess", "hessp", "constraints[0].jac" …
    skipped : tuple of str
        Parts that have no derivatives of their own: a finite-difference scheme, a quasi-Newton update.
    """

    parts: Mapping[str, GradientReport]
    skipped: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of all parts; unproven if there are none."""
        verdicts = [report.verdict for report in self.parts.values()]
        return "wrong" if "wrong" in verdicts else "right" if set(verdicts) == {"right"} else "unproven"

    @property
    def ok(self) -> bool:
        """Whether every part was compared and found right."""
        return self.verdict == "right"

    def __bool__(self) -> bool:
        return self.ok

    def __getitem__(self, part: str) -> GradientReport:
        return self.parts[part]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def raise_if_failed(self, *, allow_unproven: bool = False) -> None:
        """Raise unless everything is right.

        Parameters
        ----------
        allow_unproven : bool, default False
            As for `GradientReport.raise_if_failed`.

        Raises
        ------
        AssertionError
            With all reports as its message.
        """
        if self.verdict == "wrong" or (self.verdict == "unproven" and not allow_unproven):
            raise AssertionError(f"\n{self}")

    def to_dict(self) -> dict[str, Any]:
        """Give all reports as plain numbers, strings, lists and dicts, ready for ``json.dumps``."""
        parts = {name: report.to_dict() for name, report in self.parts.items()}
        return {"verdict": self.verdict, "parts": parts, "skipped": list(self.skipped)}

    def __repr__(self) -> str:
        found = [f"{name}: {report.headline}" for name, report in self.parts.items()]
        return f"ProblemReport({', '.join(found) or 'nothing to check'})"

    def __str__(self) -> str:
        told = [f"{name}: {report}" for name, report in self.parts.items()]
        return "\n\n".join([*told, *(f"{name}: nothing to check" for name in self.skipped)]) or "nothing to check"

    def _repr_html_(self) -> str:
        return "".join(f"<h4>{name}</h4>{report._repr_html_()}" for name, report in self.parts.items())


def check_problem(
    fun: Any,
    x0: Any,
    args: tuple[Any, ...] = (),
    *,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    mode: Mode = "auto",
    directions: int = 3,
    seed: int = 0,
    tolerance: float = 1e-7,
    workers: Any = 1,
    progress: bool = False,
) -> ProblemReport:
    """Check every derivative of a problem, with the arguments of SciPy's `minimize`, `least_squares` and `root`.

    Parameters
    ----------
    fun : callable
        ``fun(x, *args)`` returns the objective or the residuals, and with ``jac=True`` also the derivatives.
    x0 : array_like
        The point at which to check, of any shape. Avoid points where derivatives vanish, such as a minimum.
    args : tuple, optional
        Further arguments of the functions, as in SciPy.
    jac : callable or True, optional
        The gradient or the Jacobian, dense, sparse or a LinearOperator.
    hess, hessp : callable, optional
        ``hess(x, *args)`` and ``hessp(x, p, *args)``, which are compared with differences of `jac`.
    bounds : sequence of pairs or Bounds, optional
        Nothing is evaluated outside the bounds; see `check_jacobian`.
    constraints : dict, NonlinearConstraint or sequence of these, optional
        Checked are their ``jac``, and their ``hess(x, v)``, the Hessian of v·fun.
    mode, directions, seed, tolerance, workers, progress : options
        As for `check_jacobian`.

    Returns
    -------
    ProblemReport
        Has ``report.ok``, ``print(report)`` and ``report.raise_if_failed()`` like the report of a single check;
        ``report["jac"]`` is one part.

    Raises
    ------
    TypeError, ValueError
        As for `check_jacobian`; also if there is a `hess` but no `jac` to compare it with.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import check_problem
    >>> def rosen(x):
    ...     return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    >>> def rosen_grad(x):
    ...     return np.array([-2 * (1 - x[0]) - 400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)])
    >>> circle = {"type": "ineq", "fun": lambda x: 2 - x @ x, "jac": lambda x: 2 * x}
    >>> report = check_problem(rosen, [-1.2, 1.0], jac=rosen_grad, constraints=circle)
    >>> report["jac"].ok, report["constraints[0].jac"].cause
    (True, 'factor -1')
    """
    if not callable(fun):
        raise TypeError(f"fun must be a function, got {type(fun).__name__}")
    options = {
        "mode": mode,
        "directions": directions,
        "seed": seed,
        "tolerance": tolerance,
        "workers": workers,
        "progress": progress,
    }
    within = {**options, "bounds": _pairs(bounds, x0)}
    parts: dict[str, GradientReport] = {}
    skipped: list[str] = []
    x0 = np.asarray(x0, np.float64) if np.asarray(x0).dtype.kind in "iub" else x0
    extra = tuple(args) if isinstance(args, tuple) else (args,)

    f = _of_x(fun, extra, 0 if jac is True else None)
    gradient = _of_x(fun, extra, 1) if jac is True else _of_x(jac, extra)
    known = jac is True or callable(jac)
    if known:
        parts["jac"] = check_jacobian(_called(f, fun), _called(gradient, jac, "jac"), x0, **within)
    elif jac is not None:
        skipped.append("jac")
    for name, second in (("hess", hess), ("hessp", hessp)):
        if second is None:
            continue
        if not callable(second) or _is_update(second):
            skipped.append(name)
            continue
        if not known:
            raise ValueError(f"{name} is held against differences of jac, and jac is {jac!r}: give the gradient too")
        of = _called(gradient, jac, "jac")
        if name == "hess":
            parts[name] = check_hessian(of, _called(_of_x(hess, extra), hess, name), x0, **within)
        else:
            product = _called(partial(_product, hessp, extra), hessp, name)
            parts[name] = check_hessian(of, None, x0, hessp=product, **within)
    listed = [constraints] if isinstance(constraints, Mapping) or not isinstance(constraints, Sequence) else constraints
    for i, constraint in enumerate(listed):
        _check_constraint(f"constraints[{i}]", constraint, x0, within, parts, skipped)
    return ProblemReport(parts, tuple(skipped))


def _check_constraint(
    name: str, constraint: Any, x0: Any, options: Mapping[str, Any], parts: dict[str, GradientReport],
    skipped: list[str],
) -> None:  # fmt: skip
    """Check the derivatives of one constraint: a dict, or an object with ``fun``, ``jac`` and ``hess``."""

    def of(key: str) -> Any:
        return constraint.get(key) if isinstance(constraint, Mapping) else getattr(constraint, key, None)

    fun, jac, hess, extra = of("fun"), of("jac"), of("hess"), tuple(of("args") or ())
    if fun is None:  # of a linear one there is nothing to check
        skipped.append(name)
        return
    if not callable(jac):
        skipped.append(f"{name}.jac")
        return

    f, derivatives = _of_x(fun, extra), _of_x(jac, extra)
    parts[f"{name}.jac"] = check_jacobian(_called(f, fun), _called(derivatives, jac), x0, **options)
    if not callable(hess) or _is_update(hess):
        return
    with as_before(f, (x0,)):
        count = np.size(f(np.array(x0, np.float64)))
    v = tuple(np.random.default_rng(options["seed"]).uniform(0.5, 1.5, count).tolist())
    weighted, second = _called(partial(_weighted, derivatives, v), jac), _called(partial(_weighing, hess, v), hess)
    parts[f"{name}.hess"] = check_hessian(weighted, second, x0, **options)


# What is made of SciPy's functions. No function within a function: those cannot be sent to workers.


def _of_x(function: Any, args: tuple[Any, ...], at: int | None = None) -> Any:
    """Give a function of x alone; of what gives several things, that at one place."""
    return partial(_call, function, args, at)


def _call(function: Any, args: tuple[Any, ...], at: int | None, x: Any) -> Any:
    value = function(x, *args)
    return value if at is None else value[at]


def _product(hessp: Any, args: tuple[Any, ...], x: Any, p: Any) -> Any:
    return hessp(x, p, *args)


def _weighing(hess: Any, v: tuple[float, ...], x: Any) -> Any:
    return hess(x, np.array(v))


def _weighted(jac: Any, v: tuple[float, ...], x: Any) -> Any:
    """Give the gradient of v·f."""
    found = jac(x)
    return found.T @ np.array(v) if hasattr(found, "tocoo") else np.array(v) @ np.asarray(found).reshape(len(v), -1)


def _is_update(value: Any) -> bool:
    """Tell whether something is a quasi-Newton update, as BFGS, and no Hessian."""
    return hasattr(value, "initialize") and hasattr(value, "update")


def _called(function: Any, by: Any, name: str = "fun") -> Any:
    function.__name__ = name if by is True else getattr(by, "__name__", name)
    return function


def _pairs(bounds: Any, x0: Any) -> tuple[Any, Any] | None:
    """Give bounds as (lower, upper): as `minimize` takes them, a pair for each number, or as `least_squares`."""
    if bounds is None:
        return None
    if hasattr(bounds, "lb"):
        return bounds.lb, bounds.ub
    size, ways = np.size(x0), []
    pairs = (
        [(-np.inf if low is None else low, np.inf if high is None else high) for low, high in map(tuple, bounds)]
        if all(np.size(pair) == 2 for pair in bounds)
        else []
    )
    if len(pairs) == size:
        ways.append((np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], float)))
    if len(bounds) == 2 and all(np.size(side) in (1, size) for side in bounds) and None not in list(np.ravel(bounds)):
        ways.append((np.asarray(bounds[0], float), np.asarray(bounds[1], float)))
    if not ways:
        raise ValueError(f"bounds must be a pair (lower, upper) for each of {size} numbers, or two arrays of as many")
    return next((way for way in ways if np.all(way[0] <= x0) and np.all(x0 <= way[1])), ways[0])
