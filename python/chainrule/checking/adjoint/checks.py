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
    """Hold a linear operator against its adjoint, ⟨Ax, y⟩ = ⟨x, A*y⟩, and say where and why they differ.

    Parameters
    ----------
    A : object, or tuple of two functions or matrices
        An **operator**: an object with ``matvec`` and ``rmatvec``, as those of SciPy and PyLops, which are called with
        vectors; with ``forward`` and ``adjoint``, ``direct`` and ``adjoint``, ``A(x)`` and ``A.H(y)`` or the like,
        which are called with arrays; or one that multiplies, ``A @ x`` and ``A.H @ y``.
        A **pair** ``(forward, adjoint)`` of functions of arrays of any shape, or of matrices, sparse ones too.
    shape_in, shape_out : int or tuple of int, optional
        The shapes of x and of A x, if the operator does not tell. `shape_out` is seen when A is called.
    dtype : dtype or pair of dtypes, optional
        Of x and of A x, if they are not those the operator says, or those that come out for float64. A pair of one real
        and one complex dtype means an operator that is linear over the reals, such as ``numpy.fft.rfft``.
    mode : {"auto", "full", "directions"}
        "full" compares every entry A[i, j], by as many calls of A as x has numbers, and of A* as y has; "directions"
        sums of them along random x and y, and looks for one entry that differs by halving both; "auto" is full up to
        65,536 entries, 1,024 calls and about 5 seconds.
    directions : int, default 3
        How many.
    seed : int, default 0
        For x and y.
    tolerance : float, optional
        What an entry may be off beside rounding, relative to the largest of its row or its column, whichever is
        smaller. By default nothing; for a back projection that is meant to be near the adjoint only, 0.01 perhaps.
    strict : bool, default False
        Let hazards fail: a view of the argument that is returned, a buffer that is filled again, fewer digits.

    Returns
    -------
    GradientReport
        With one array, ``A``, of the shape of y and then of x: ``A[17, 3]`` is what A gives at 17 for a one at 3, and
        the conjugate of what A* gives at 3 for a one at 17. For a wrong one ``report.arrays[0].where`` is an entry
        where they differ, ``numeric`` what A says there and ``analytic`` what A* does; ``report.cause`` says why.

    Raises
    ------
    TypeError
        If `A` is no operator that is understood, or gives no numbers.
    ValueError
        If the shapes are not told or do not fit, or something that comes out is not finite. Whatever the operator
        raises is passed on. Arrays that it holds and all generators are as before.

    Notes
    -----
    The error bar of ⟨Ax, y⟩ - ⟨x, A*y⟩ is derived, not chosen. The numbers of y have random signs, so that the
    rounding δ of Ax enters as a sum of terms with random signs, which is larger than ``κ ‖y δ‖`` with a probability of
    at most 2 exp(-κ²/2): 3e-14 for κ = 8. δ is measured: how far A(x′) + A(x″) is from A(x′ + x″), and A(πx)/π from
    A(x), number by number; ``4 ε |Ax|`` is added for numbers of the operator's own that were computed in two ways. A
    single entry may be off by what is measured for it, and by ε times 4 and the longest axis, relative to the largest
    beside it. If the bar is wider than a twentieth of what is compared, nothing is proved; nor if the sides differ all
    over by less than the root of ε, as two solutions of ill-conditioned equations do.

    Beside that, both sides are held to be linear (also of i x), to give the same again whatever they were called with
    between, to leave their arguments as they are, and to give the same by all names: ``A @ x``, ``A.H``, ``A.T``,
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
