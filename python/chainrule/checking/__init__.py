"""The gradient check: whether a backward pass is right, and if not, where it is wrong and why.

Two sides are compared that share only the forward pass. The numeric side changes numbers and watches the output; every
numerical derivative has an error bar. The analytic side is the code under test. They differ if they are further apart
than the error bar and the tolerance together; there is no bare threshold. The check also tries contracts that every
right backward pass keeps. If a network is wrong, it goes through the layers to name the first faulty one.

`run` has the order of events. `subject` says what can be asked of the code under test; `layer`, `pair`, `network` and
`parts` are the kinds of subject. `contracts` and `batches` ask the analytic side, `evaluation` the numeric one, with
the formulas of `finite_differences`. `comparison` and `judging` compare the two; `diagnosis` finds where and why they
differ. `holdings` and `reach` find the arrays that a subject holds. `files` checks what is in a file. `jacobian` is for
derivatives of several numbers by several, `adjoint` compares a linear operator with its adjoint, and `frameworks` has
the kinds of subject of PyTorch and JAX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from chainrule._gate import count, is_complex, positive

__all__ = [
    "ArrayCheck",
    "Contract",
    "GradientReport",
    "ProblemReport",
    "Unseen",
    "check_adjoint",
    "check_gradients",
    "check_hessian",
    "check_jacobian",
    "check_problem",
]

# What a check gives is made when it is asked for: its classes take a fifth of the time of the package's import.
if TYPE_CHECKING:
    from chainrule.checking.adjoint.checks import check_adjoint
    from chainrule.checking.comparison import Settings
    from chainrule.checking.jacobian.checks import check_hessian, check_jacobian
    from chainrule.checking.problem import ProblemReport, check_problem
    from chainrule.checking.report import ArrayCheck, Contract, GradientReport, Unseen
else:
    _LATER = {
        **dict.fromkeys(("ArrayCheck", "Contract", "GradientReport", "Unseen"), "report"),
        **dict.fromkeys(("check_hessian", "check_jacobian"), "jacobian.checks"),
        "check_adjoint": "adjoint.checks",
        **dict.fromkeys(("ProblemReport", "check_problem"), "problem"),
    }

    def __getattr__(name):
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib  # see above

        return getattr(importlib.import_module(f"{__name__}.{_LATER[name]}"), name)


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
    workers: int | Callable[..., Any] = 1,
    progress: bool = False,
) -> GradientReport:
    """Compare the gradients that a piece of code computes with numerical ones, and say where and why they differ.

    Parameters
    ----------
    subject : object, function or tuple of two functions
        A **layer**: any object with a forward and a backward pass, whatever the names: ``forward(*inputs)`` and
        ``backward(dout)``, ``forward_pass``, ``fprop`` … ``backward`` returns the gradient of the input, or a tuple
        with one for each input; if there are several outputs, it receives a tuple. Parameters are found by the
        gradients beside them: ``W`` with ``dW`` or ``grad_W``, lists or dicts ``params`` and ``grads``, also in
        objects within the layer, and so on.
        A **network**: any object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``, or whose loss returns
        ``(loss, gradients)``.
        A **pair** ``(f, grad_f)``: ``f(*args)`` returns one number, or one for each entry; ``grad_f(*args)`` returns
        its gradient, a tuple or a dict by name. Also ``(x_forward, x_backward)`` with ``out, cache`` and
        ``dout, cache``, or one function that returns ``(value, gradient)``. See "The conventions" in the
        documentation of the check.
        **PyTorch**: a module, ``MyFunction.apply`` or any function of tensors. **JAX**: any function of arrays, with
        or without ``custom_vjp`` and ``custom_jvp``.
    *args : array_like
        The arguments of ``forward``, ``loss`` or ``f``, of any shape. The subject receives copies. Integers, such as
        labels, are passed on, but nothing is differentiated with respect to them. Arguments may be PyTorch tensors; if
        any of them requires a gradient, only those are differentiated. JAX arguments may be trees.
    wrt : int, str or tuple of them, optional
        The arguments, by position or name, that the gradient is with respect to; by default all that it could be. For
        one argument, a bare array is its gradient; for several, a tuple. The other arguments are held fixed.
    params : dict of str to pair, optional
        Parameters that no convention finds. Each name maps to a pair: where the parameter is, and where its gradient
        is. Both are names such as ``"weights"`` or ``"cell.weights[0]"``, or functions of the subject.
    forward, backward : str, optional
        The names of the methods, if they are unusual.
    ignore : str or tuple of str, optional
        Arrays of the subject that are constants: a filter, positions, a mean. Read-only arrays are ignored anyway.
    strict : bool, default False
        Let hazards fail: a returned view, a buffer that the next call overwrites, a gradient of lower precision.
    mode : {"auto", "full", "directions"}
        "full" compares every entry. "directions" compares the slope along random directions through each array, at a
        cost that does not depend on its size. "auto" is full for arrays of up to 2,000 entries if evaluations are
        short, or up to 40 million entries times examples if Rust can evaluate the network.
    directions : int, default 3
        The number of directions for each array.
    seed : int, default 0
        The seed for `dout`, the random gradient that is sent back, and for the directions.
    tolerance : float, default 1e-7
        How far apart the sides may be in addition to the error bar, relative to the entry; relative to the largest
        entry, a millionth of it. float32 code is compared with a float64 evaluation and may be off by 1024 ulps.
    workers : int or map-like callable, default 1
        The number of processes that evaluate, -1 for one per core; or a function like ``Pool(4).map``, as in SciPy.
        The report is the same, bit for bit. More than one pays if an evaluation takes a millisecond or longer.
    progress : bool, default False
        Show the number of evaluations, if the check takes longer than a second.

    Returns
    -------
    GradientReport
        ``report.ok`` is the verdict, and ``print(report)`` shows a table. ``report.raise_if_failed()`` is for tests.
        ``report.not_compared`` lists the arrays that were not compared, ``report.hazards`` the hazards, which change
        no number.

    Raises
    ------
    TypeError
        If `subject` is none of these, a parameter has an integer dtype, an array is float16, or there is nothing to
        differentiate with respect to.
    ValueError
        If a parameter is read-only, an array or an output is not finite, `wrt` or `ignore` names something that does
        not exist, or f returns several numbers that are not one for each entry. Exceptions of ``forward``, ``loss`` and
        ``f`` are passed on. The subject's arrays and all generators are then as before.

    Notes
    -----
    ``D = (4 D(h/2) - D(h)) / 3`` with central differences D(h). The error bar is ``|D(h/2) - D(h)|``, plus the rest of
    the difference between the one-sided slopes, plus the measured noise of f divided by h. The step is chosen for each
    entry. An entry at a corner of f has no derivative: it is left out, and counted. An array whose gradient is 0
    everywhere on both sides is called vacuous: nothing was proved. In both cases the verdict is "unproven".

    Parameters are changed in place, so nothing else may use the subject in the meantime.
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
    from chainrule.checking.reader import Asked
    from chainrule.checking.run import check  # the same

    settings = settings_of(mode, directions, seed, tolerance, strict, workers)
    if isinstance(subject, tuple) and len(subject) == 2 and any(map(is_complex, args)):
        from chainrule.checking.jacobian.checks import check_jacobian  # the same

        how: dict[str, Any] = {"mode": mode, "directions": directions, "seed": seed, "tolerance": tolerance}
        return check_jacobian(*subject, *args, wrt=wrt, strict=strict, workers=workers, progress=progress, **how)
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return check(subject, args, settings, Asked(wrt, params, forward, backward, ignored), progress)


def settings_of(
    mode: Any, directions: Any, seed: Any, tolerance: Any, strict: bool = False, workers: Any = 1
) -> Settings:
    """Give what the caller asked for, if it can be."""
    # As above.
    from chainrule.checking.comparison import Settings
    from chainrule.checking.workers import workers_of  # the same

    if mode not in ("auto", "full", "directions"):
        raise ValueError(f"mode must be 'auto', 'full' or 'directions', got {mode!r}")
    return Settings(
        mode, count(directions, "directions"), count(seed, "seed", least=0), positive(tolerance, "tolerance"), strict,
        workers_of(workers),
    )  # fmt: skip
