"""The public calls: `check_jacobian` and `check_hessian`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from chainrule._gate import is_complex
from chainrule.checking import settings_of
from chainrule.checking.comparison import Mode, Settings
from chainrule.checking.jacobian.coordinates import of_real_parts, on_manifolds
from chainrule.checking.jacobian.hessian import HessianSubject
from chainrule.checking.jacobian.subject import JacobianSubject
from chainrule.checking.reader import Asked
from chainrule.checking.report import GradientReport
from chainrule.checking.run import as_before, check


def check_jacobian(
    f: Any,
    jac: Any,
    *args: Any,
    wrt: int | str | tuple[int | str, ...] | None = None,
    bounds: Any = None,
    retract: Any = None,
    local: Any = None,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    strict: bool = False,
    mode: Mode = "auto",
    directions: int = 3,
    seed: int = 0,
    tolerance: float = 1e-7,
    workers: Any = 1,
    progress: bool = False,
) -> GradientReport:
    """Compare a Jacobian written by hand with finite differences of the function; say where and why they differ.

    Parameters
    ----------
    f : callable
        ``f(*args)`` returns an array of any shape, or one number.
    jac : callable, array, sparse matrix, LinearOperator or pair of callables
        A function, so that ``jac(*args)`` returns the derivatives, or the derivatives themselves. They are: an array of
        shape out + in (or of M outputs by N numbers); a SciPy sparse matrix; a LinearOperator; one number for each
        entry, if f works elementwise; one matrix for each row, (N, K, M), if f treats each row by itself, (N, M) to
        (N, K); for several arguments, a tuple of these in the order of the arguments, or a dict by name. A pair is
        ``(jvp, vjp)``: ``jvp(*args, v)`` returns J v, with one ``v`` for each argument, and
        ``vjp(*args, w)`` returns Jᵀ w; either may be None.
    *args : array_like
        As for `check_gradients`; complex numbers too. Then the derivatives of a complex f are f′ of a holomorphic f,
        and those of a real f are ∂f/∂a + i ∂f/∂b with respect to a + i b, or the conjugate; the report says which.
    wrt : int, str or tuple of them, optional
        The arguments that the derivatives are taken with respect to; by default all that are possible.
    bounds : pair or dict of str to pair, optional
        ``(lower, upper)``: numbers, arrays in the shape of the argument, or None; or SciPy's Bounds; for the first
        argument or by name. The function is not evaluated beyond them. A number at a bound is moved to one side only,
        and the report says so.
    retract : callable, dict or tuple of callables, optional
        For arguments on a manifold: ``retract(x, d)`` returns the point reached from x along the tangent vector d. The
        columns of the Jacobian are the derivatives with respect to the entries of d, at 0. Give it for the first
        argument, or by name or position, with None for plain arrays.
    local : callable, optional
        For outputs on a manifold: ``local(y, z)`` returns z in coordinates at y. The rows are those of
        ``local(f(x), ·)``.
    row_names, column_names : sequence of str, optional
        Names of the outputs and of the numbers of the argument, for the report.
    strict, mode, directions, seed, tolerance, workers, progress : options
        As for `check_gradients`. In mode "directions", every row is compared along random directions of all columns.

    Returns
    -------
    GradientReport
        With an array ``J``, or ``J_x`` for each of several arguments ``x``, and ``Jᵀ`` for products with it.

    Raises
    ------
    TypeError
        If an argument or a result of `jac` does not hold real or complex numbers, or there is nothing to differentiate
        with respect to.
    ValueError
        If the blocks do not match the arguments, or something is not finite. Exceptions of `f` and `jac` are passed on.

    Notes
    -----
    Columns are moved one by one, with four evaluations of f each if f is smooth. The entries that a sparse matrix
    declares are compared in groups of columns that share no row, with four evaluations for each group; the same
    evaluations show an entry that the matrix leaves out. Each entry and its error bar are estimated as in
    `check_gradients`, and each row has the noise of its own output.
    Source: Curtis, Powell and Reid, "On the estimation of sparse Jacobian matrices", 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import check_jacobian
    >>> def polar(p):
    ...     return np.array([p[0] * np.cos(p[1]), p[0] * np.sin(p[1])])
    >>> def polar_jac(p):
    ...     c, s = np.cos(p[1]), np.sin(p[1])
    ...     return np.array([[c, -p[0] * s], [s, p[0] * c]])
    >>> check_jacobian(polar, polar_jac, [2.0, 0.5]).ok
    True

    With the chain rule forgotten in the second column:

    >>> report = check_jacobian(polar, lambda p: polar_jac(p) / [1, p[0]], [2.0, 0.5])
    >>> report.ok, report.cause
    (False, 'column 1: factor 1/2')
    """
    _expect_functions(f=f, jac=jac)
    settings = settings_of(mode, directions, seed, tolerance, strict, workers)
    asked = Asked(wrt, bounds=bounds, names=(row_names, column_names), kind=JacobianSubject)
    if retract is not None or local is not None:
        if bounds is not None and not isinstance(bounds, Mapping):
            raise ValueError("with retract=, bounds must be a dict by the names of arguments that are plain arrays")
        with as_before((f, jac), args):
            real = on_manifolds(f, jac, args, retract, local)
        return check((real.f, real.jac), real.arguments, settings, asked, progress)
    if any(map(is_complex, args)):
        return _of_complex(f, jac, args, settings, asked, progress)
    return check((f, jac), args, settings, asked, progress)


def _expect_functions(**given: Any) -> None:
    """Raise TypeError unless the first is a function, and the second could give derivatives."""
    (first, f), (second, jac) = given.items()
    if not callable(f):
        raise TypeError(f"{first} must be a function, got {type(f).__name__}")
    if jac is None or isinstance(jac, bool | str):
        raise TypeError(
            f"{second} must be a function that gives the derivatives, or the derivatives themselves, got {jac!r}; for a"
            " problem in SciPy's form, with jac=True, use check_problem"
        )


def _of_complex(
    f: Any, jac: Any, args: Sequence[Any], settings: Settings, asked: Asked, progress: bool
) -> GradientReport:
    """Check derivatives with respect to complex numbers; for a real function, find which convention it follows."""
    reports = []
    for conjugate in (False, True):
        with as_before((f, jac), args):
            real = of_real_parts(f, jac, args, conjugate)
        report = check((real.f, real.jac), real.arguments, settings, asked, progress)
        reports.append(replace(report, notes=(*report.notes, real.told)) if real.told else report)
        if report.verdict != "wrong":
            break
    first, last = reports[0], reports[-1]
    if last.verdict == "wrong" or len(reports) == 1 or last.notes[-1:] == (real.told,):
        return first if last.verdict == "wrong" else last
    arrays = tuple(replace(a, cause="conjugate") if a.verdict == "wrong" else a for a in first.arrays)
    return replace(first, arrays=arrays, cause="conjugate")


def check_hessian(
    grad: Any,
    hess: Any = None,
    *args: Any,
    hessp: Any = None,
    wrt: int | str = 0,
    bounds: Any = None,
    column_names: Sequence[str] = (),
    strict: bool = False,
    mode: Mode = "auto",
    directions: int = 3,
    seed: int = 0,
    tolerance: float = 1e-7,
    workers: Any = 1,
    progress: bool = False,
) -> GradientReport:
    """Compare a Hessian written by hand with finite differences of the gradient, and check that it is symmetric.

    Parameters
    ----------
    grad : callable
        ``grad(*args)`` returns the gradient, in the shape of the argument that it is taken with respect to. It is
        assumed to be right: check it first.
    hess : callable, array, sparse matrix or LinearOperator
        ``hess(*args)`` returns the second derivatives, as for `check_jacobian`; one number for each entry if the matrix
        is diagonal. None if `hessp` is given.
    *args : array_like
        As for `check_gradients`.
    hessp : callable, optional
        ``hessp(*args, v)`` returns H v, as in SciPy.
    wrt : int or str, default 0
        The argument that both are taken with respect to; the others are held fixed.
    bounds, column_names, strict, mode, directions, seed, tolerance, workers, progress : options
        As for `check_jacobian`.

    Returns
    -------
    GradientReport
        With an array ``H``, and one more contract: "the Hessian is symmetric".

    Raises
    ------
    TypeError, ValueError
        As for `check_jacobian`; also if neither `hess` nor `hessp` is given, or both are.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import check_hessian
    >>> grad = lambda x: np.array([2 * x[0] * x[1], x[0] ** 2 + 2 * x[1]])
    >>> hess = lambda x: np.array([[2 * x[1], 2 * x[0]], [2 * x[0], 2.0]])
    >>> check_hessian(grad, hess, [1.0, 3.0]).ok
    True

    With only one half, as solvers store it:

    >>> check_hessian(grad, lambda x: np.tril(hess(x)), [1.0, 3.0]).cause
    'zero above the diagonal'
    """
    if (hess is None) == (hessp is None):
        raise ValueError("check_hessian compares one of hess and hessp: give one, and None for the other")
    _expect_functions(grad=grad, **({"hess": hess} if hessp is None else {"hessp": hessp}))
    settings = settings_of(mode, directions, seed, tolerance, strict, workers)
    second = hess if hessp is None else (hessp, None)
    asked = Asked(wrt, bounds=bounds, names=(column_names, column_names), kind=HessianSubject)
    return check((grad, second), args, settings, asked, progress)
