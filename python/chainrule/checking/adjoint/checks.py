"""The call: a linear operator against its adjoint."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from chainrule.checking import settings_of
from chainrule.checking.adjoint.run import check
from chainrule.checking.comparison import Mode
from chainrule.checking.report import GradientReport


def check_adjoint(
    A: Any,
    shape_in: int | tuple[int, ...] | None = None,
    shape_out: int | tuple[int, ...] | None = None,
    *,
    dtype: Any = None,
    mode: Mode = "auto",
    directions: int = 3,
    seed: int = 0,
    tolerance: float | None = None,
    strict: bool = False,
) -> GradientReport:
    """Check a linear operator against its adjoint, ⟨Ax, y⟩ = ⟨x, A*y⟩, and say where and why they differ.

    Parameters
    ----------
    A : object, or tuple of two functions or matrices
        An **operator**: an object with ``matvec`` and ``rmatvec``, as in SciPy and PyLops, which are called with
        vectors; or with ``forward`` and ``adjoint``, ``direct`` and ``adjoint``, ``A(x)`` and ``A.H(y)`` or similar,
        which are called with arrays; or an object that multiplies, ``A @ x`` and ``A.H @ y``.
        A **pair** ``(forward, adjoint)`` of functions of arrays of any shape, or of matrices, which may be sparse.
    shape_in, shape_out : int or tuple of int, optional
        The shapes of x and of A x, if the operator does not have them. Calling A shows `shape_out`.
    dtype : dtype or pair of dtypes, optional
        The dtypes of x and of A x. By default those of the operator, or those of its results for float64. A pair of one
        real and one complex dtype means an operator that is linear over the reals, such as ``numpy.fft.rfft``.
    mode : {"auto", "full", "directions"}
        "full" compares every entry A[i, j], with one call of A for each number of x and one call of A* for each number
        of y. "directions" compares sums of entries along random x and y, and finds an entry that differs by halving
        both. "auto" is full for up to 65,536 entries, 1,024 calls and about 5 seconds.
    directions : int, default 3
        The number of directions.
    seed : int, default 0
        The seed for x and y.
    tolerance : float, optional
        How far an entry may be off besides rounding, relative to the largest of its row or of its column, whichever is
        smaller. By default 0; for a back projection that is only meant to be close to the adjoint, perhaps 0.01.
    strict : bool, default False
        Turn hazards into failures: a result that is a view of the argument, a buffer that is filled again, lost digits.

    Returns
    -------
    GradientReport
        With one array, ``A``, whose shape is that of y followed by that of x: ``A[17, 3]`` is the result of A at 17 for
        a one at 3, and the conjugate of the result of A* at 3 for a one at 17. If it is wrong,
        ``report.arrays[0].where`` is an entry where they differ, ``numeric`` is the value from A and ``analytic`` the
        value from A*; ``report.cause`` says why.

    Raises
    ------
    TypeError
        If `A` is not an operator in a known form, or does not give numbers.
    ValueError
        If the shapes are unknown or do not fit, or a result is not finite. Exceptions of the operator are passed on.
        The arrays that it holds and all random generators are restored.

    Notes
    -----
    The error bar of ⟨Ax, y⟩ - ⟨x, A*y⟩ is derived, not chosen. The numbers of y have random signs. So the rounding δ of
    Ax enters as a sum of terms with random signs, which is larger than ``κ ‖y δ‖`` with a probability of at most
    2 exp(-κ²/2): 3e-14 for κ = 8. δ is measured, number by number, as the distance of A(x′) + A(x″) from A(x′ + x″),
    and of A(πx)/π from A(x). ``4 ε |Ax|`` is added for numbers of the operator itself that were computed in two ways. A
    single entry may be off by its measured rounding, and by ε times 4 and the longest axis, relative to the largest
    entry beside it. If the bar is wider than a twentieth of what is compared, nothing is proved. Nor is anything proved
    if the sides differ everywhere by less than the root of ε, as two solutions of ill-conditioned equations do.

    Both sides must also be linear (for i x too), give the same result again whatever they were called with in between,
    leave their arguments unchanged, and give the same result under all names: ``A @ x``, ``A.H``, ``A.T``,
    ``A.matmat``.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import check_adjoint
    >>> def blur(x):
    ...     return 0.5 * x + 0.5 * np.roll(x, 1)
    >>> def blur_adjoint(y):
    ...     return 0.5 * y + 0.5 * np.roll(y, -1)
    >>> check_adjoint((blur, blur_adjoint), 64).ok
    True

    The blur is not its own adjoint:

    >>> report = check_adjoint((blur, blur), 64)
    >>> report.ok, report.cause, report.arrays[0].place
    (False, 'A* is A itself: not transposed, a convolution not turned round', 'A[0, 1]')
    """
    settings = settings_of(mode, directions, seed, 1.0 if tolerance is None else tolerance, strict)
    if tolerance is None:
        settings = replace(settings, tolerance=0.0)
    return check(A, shape_in, shape_out, dtype, settings)
