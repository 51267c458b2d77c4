"""Assertions for tests: a wrong derivative fails the test, with the whole report as the message.

They work in pytest, in unittest and anywhere else where an AssertionError means failure. In pytest, the fixture
``check_gradients`` does the same without an import; see the package ``pytest_chainrule``.
"""

from __future__ import annotations

from typing import Any

from chainrule.checking import GradientReport, check_adjoint, check_gradients, check_hessian, check_jacobian


def assert_gradients(subject: Any, *args: Any, allow_unproven: bool = False, **options: Any) -> GradientReport:
    """Check gradients and raise unless all of them are right.

    Parameters
    ----------
    subject : object or tuple of two functions
        A layer, a network or a pair; see `chainrule.check_gradients`.
    *args : array_like
        The arguments for ``forward``, ``loss`` or ``f``, of any shape.
    allow_unproven : bool, default False
        Accept what could not be compared: entries at a kink, and gradients that are 0 everywhere.
    **options
        The options of `check_gradients`: ``wrt``, ``params``, ``forward``, ``backward`` and ``ignore`` say how to read
        the subject, ``strict=True`` turns hazards into failures, and ``mode``, ``directions``, ``seed`` and
        ``tolerance`` control the comparison.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        If anything differs or a contract is broken; unless `allow_unproven` is True, also if something could not be
        compared. The message is the report.
    TypeError, ValueError
        As for `check_gradients`.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Tanh
    >>> report = assert_gradients(Tanh(), np.array([[0.3, -1.2], [0.7, 2.0]]))
    >>> report.ok
    True
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    report = check_gradients(subject, *args, **options)
    report.raise_if_failed(allow_unproven=allow_unproven)
    return report


def assert_jacobian(f: Any, jac: Any, *args: Any, allow_unproven: bool = False, **options: Any) -> GradientReport:
    """Check a Jacobian and raise unless all of it is right.

    Parameters
    ----------
    f : callable
        ``f(*args)`` returns an array of any shape.
    jac : callable, array, sparse matrix, LinearOperator or pair of callables
        Its derivatives; see `chainrule.check_jacobian`.
    *args : array_like
        The arguments for both, of any shape.
    allow_unproven : bool, default False
        As for `assert_gradients`.
    **options
        The options of `check_jacobian`.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        As for `assert_gradients`.
    TypeError, ValueError
        As for `check_jacobian`.

    Examples
    --------
    >>> import numpy as np
    >>> assert_jacobian(np.sin, np.cos, [0.3, 1.2]).ok
    True
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    report = check_jacobian(f, jac, *args, **options)
    report.raise_if_failed(allow_unproven=allow_unproven)
    return report


def assert_hessian(grad: Any, hess: Any, *args: Any, allow_unproven: bool = False, **options: Any) -> GradientReport:
    """Check a Hessian and raise unless all of it is right.

    Parameters
    ----------
    grad : callable
        ``grad(*args)`` returns the gradient, in the shape of the argument that it is taken with respect to.
    hess : callable, array, sparse matrix or LinearOperator
        Its derivatives; None with ``hessp=``. See `chainrule.check_hessian`.
    *args : array_like
        The arguments for both, of any shape.
    allow_unproven : bool, default False
        As for `assert_gradients`.
    **options
        The options of `check_hessian`.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        As for `assert_gradients`.
    TypeError, ValueError
        As for `check_hessian`.

    Examples
    --------
    >>> import numpy as np
    >>> assert_hessian(lambda x: x**3, lambda x: np.diag(3 * x**2), [0.3, 1.2]).ok
    True
    """
    __tracebackhide__ = True  # as above
    report = check_hessian(grad, hess, *args, **options)
    report.raise_if_failed(allow_unproven=allow_unproven)
    return report


def assert_adjoint(A: Any, *shapes: Any, allow_unproven: bool = False, **options: Any) -> GradientReport:
    """Check a linear operator against its adjoint and raise unless both agree.

    Parameters
    ----------
    A : object, or tuple of two functions or matrices
        An operator or a pair; see `chainrule.check_adjoint`.
    *shapes : int or tuple of int
        The shapes of x and of A x, if the operator does not have them.
    allow_unproven : bool, default False
        Accept what could not be compared: rounding that hides everything, or an operator that gives only zeros.
    **options
        The options of `check_adjoint`: ``dtype`` says how to read the operator, ``strict=True`` turns hazards into
        failures, and ``mode``, ``directions``, ``seed`` and ``tolerance`` control the comparison.

    Returns
    -------
    GradientReport

    Raises
    ------
    AssertionError
        If the sides differ or a contract is broken; unless `allow_unproven` is True, also if nothing could be proved.
        The message is the report.
    TypeError, ValueError
        As for `check_adjoint`.

    Examples
    --------
    >>> import numpy as np
    >>> report = assert_adjoint((np.cumsum, lambda y: np.cumsum(y[::-1])[::-1]), 50)
    >>> report.ok
    True
    """
    __tracebackhide__ = True  # pytest shows the line of the test, not this one
    report = check_adjoint(A, *shapes, **options)
    report.raise_if_failed(allow_unproven=allow_unproven)
    return report
