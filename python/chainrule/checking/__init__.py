"""The gradient check: is what backward says true, where is it not, and why.

Two sides that share only the forward pass. The numeric side moves numbers and looks at what comes out, with an error
bar for every derivative; the analytic side is the code under test. They differ if they are further apart than the error
bar and the tolerance together, never because of a bare threshold. Beside that, contracts that every right backward
keeps are tried, and for a network that is wrong its layers are walked through to name the first faulty one.

`run` has the order of it all; `subject` says what can be asked of what is checked, and `layer`, `pair`, `network`
and `parts` are its kinds. The analytic side is asked in `contracts` and `batches`, the numeric one in `evaluation`, by
the formulas of `finite_differences`; `comparison` and `judging` hold one against the other, `diagnosis` says where and
why. What a subject holds find `holdings` and `reach`. `files` checks what is in a file. `adjoint` holds a linear
operator against its adjoint, by sums that must be equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from chainrule._gate import count, positive

__all__ = ["ArrayCheck", "Contract", "GradientReport", "Unseen", "check_adjoint", "check_gradients"]

# What a check gives is made when it is asked for: its classes take a fifth of the time of the package's import.
if TYPE_CHECKING:
    from chainrule.checking.report import ArrayCheck, Contract, GradientReport, Unseen
else:

    def __getattr__(name):
        if name in __all__:
            from chainrule.checking import report  # see above

            return getattr(report, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def check_gradients(
    subject: Any,
    *args: Any,
    wrt: int | str | tuple[int | str, ...] | None = None,
    params: Mapping[str, tuple[Any, Any]] | None = None,
    forward: str | None = None,
    backward: str | None = None,
    ignore: str | tuple[str, ...] = (),
    strict: bool = False,
    mode: Literal["auto", "full", "directions"] = "auto",
    directions: int = 3,
    seed: int = 0,
    tolerance: float = 1e-7,
) -> GradientReport:
    """Compare the gradients that a piece of code gives with numeric ones, and say where and why they differ.

    Parameters
    ----------
    subject : object, function or tuple of two functions
        A **layer**: any object that goes forwards and back, by whatever names: ``forward(*inputs)`` and
        ``backward(dout)``, ``forward_pass``, ``fprop`` … ``backward`` gives the gradient of the input, or a tuple, one
        for each; for several outputs it is given a tuple. Parameters are found with their gradients beside them:
        ``W`` with ``dW`` or ``grad_W``, lists or dicts ``params`` and ``grads``, in objects within it, and so on.
        A **network**: any object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``, or whose loss gives
        ``(loss, gradients)``.
        A **pair** ``(f, grad_f)``: ``f(*args)`` gives one number, or one for each entry, ``grad_f(*args)`` its
        gradient, a tuple or a dict by name; ``(x_forward, x_backward)`` with ``out, cache`` and ``dout, cache``; or
        one function that gives ``(value, gradient)``. See "The conventions" in the documentation of the check.
    *args : array_like
        What ``forward``, ``loss`` or ``f`` is called with, of any shape, handed over as copies. Integers, such as
        labels, are passed on and not differentiated by.
    wrt : int, str or tuple of them, optional
        The arguments that the gradient is by, by number or name, if it is not by all it could be. With one, a bare
        array is the gradient; with several, a tuple. The others are held fixed.
    params : dict of str to pair, optional
        Parameters that no convention finds: name to (where it lies, where its gradient does), each a name such as
        ``"weights"`` or ``"cell.weights[0]"``, or a function of the subject.
    forward, backward : str, optional
        Names of the methods, if they are called otherwise.
    ignore : str or tuple of str, optional
        Arrays that the subject holds and that are constants: a filter, positions, a mean. One that is read-only is
        taken for one anyway.
    strict : bool, default False
        Let hazards fail: a view that is returned, a buffer that is filled again, a gradient in fewer digits.
    mode : {"auto", "full", "directions"}
        "full" compares every entry; "directions" the slope along random directions through each array, at a cost that
        does not depend on its size; "auto" is full up to 2,000 entries an array if evaluations are short, or up to
        40 million entries times examples if Rust can evaluate the network.
    directions : int, default 3
        How many, for each array.
    seed : int, default 0
        For the cotangent (the gradient of the outputs that is sent back) and the directions.
    tolerance : float, default 1e-7
        What the sides may differ by beside the error bar, relative to the entry; a millionth of it relative to the
        largest entry. float32 code is compared with float64 evaluation and may be 1024 ulps off.

    Returns
    -------
    GradientReport
        ``report.ok`` is the verdict, ``print(report)`` a table, ``report.raise_if_failed()`` for tests;
        ``report.not_compared`` what the subject holds and was not compared, ``report.hazards`` what is told and changes
        no number.

    Raises
    ------
    TypeError
        If `subject` is none of these, a parameter is of integers, an array is float16, or there is nothing to
        differentiate by.
    ValueError
        If a parameter is read-only, an array or an output is not finite, `wrt` or `ignore` names nothing there is, or
        f gives more than one number, and not one for each entry. Whatever
        ``forward``, ``loss`` or ``f`` raises is passed on. The subject's arrays and all generators are as before.

    Notes
    -----
    ``D = (4 D(h/2) - D(h)) / 3`` with central differences D(h); the error bar is ``|D(h/2) - D(h)|``, plus what is left
    of the difference between the slopes to both sides, plus the measured noise of f over h. Steps are chosen for each
    entry. An entry at a corner of f has no derivative: it is left out, and counted. An array whose gradient is 0 on
    both sides, throughout, is called vacuous: nothing was proved. Both leave the report neither right nor wrong.

    Parameters are moved in place, so nothing else may use the subject meanwhile.
    Source: the tutorial's comparison at its end, ``gradient_check.py`` of deep-learning-from-scratch.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Affine, check_gradients
    >>> rng = np.random.default_rng(0)
    >>> layer = Affine(rng.standard_normal((4, 3)), np.zeros(3))
    >>> check_gradients(layer, rng.standard_normal((5, 4))).ok
    True

    A pair with a mistake in it:

    >>> report = check_gradients((lambda x: (x**2).sum(), lambda x: x.copy()), [1.0, -2.0, 3.0])
    >>> report.ok, report.cause
    (False, 'factor 1/2')
    """
    # Each is read when a check is asked for: nothing else of the package needs it.
    from chainrule.checking.comparison import Settings
    from chainrule.checking.reader import Asked  # the same
    from chainrule.checking.run import check

    if mode not in ("auto", "full", "directions"):
        raise ValueError(f"mode must be 'auto', 'full' or 'directions', got {mode!r}")
    settings = Settings(
        mode, count(directions, "directions"), count(seed, "seed", least=0), positive(tolerance, "tolerance"), strict
    )
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return check(subject, args, settings, Asked(wrt, params, forward, backward, ignored))


def check_adjoint(
    A: Any,
    shape_in: int | tuple[int, ...] | None = None,
    shape_out: int | tuple[int, ...] | None = None,
    *,
    dtype: Any = None,
    mode: Literal["auto", "full", "directions"] = "auto",
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
    # Read when it is asked for, as above.
    from chainrule.checking.adjoint import Settings, check

    if mode not in ("auto", "full", "directions"):
        raise ValueError(f"mode must be 'auto', 'full' or 'directions', got {mode!r}")
    allowed = 0.0 if tolerance is None else positive(tolerance, "tolerance")
    settings = Settings(mode, count(directions, "directions"), count(seed, "seed", least=0), allowed, strict)
    return check(A, shape_in, shape_out, dtype, settings)
