"""The gradient check: is what backward says true, where is it not, and why.

Two sides that share only the forward pass. The numeric side moves numbers and looks at what comes out, with an error
bar for every derivative; the analytic side is the code under test. They differ if they are further apart than the error
bar and the tolerance together, never because of a bare threshold. Beside that, contracts that every right backward
keeps are tried, and for a network that is wrong its layers are walked through to name the first faulty one.

`run` has the order of it all; `subject` says what can be asked of what is checked, and `layer`, `pair`, `network`
and `parts` are its kinds. The analytic side is asked in `contracts` and `batches`, the numeric one in `evaluation`, by
the formulas of `finite_differences`; `comparison` and `judging` hold one against the other, `diagnosis` says where and
why. What a subject holds find `holdings` and `reach`. `files` checks what is in a file. `jacobian` has derivatives of
several numbers by several, `adjoint` holds a linear operator against its adjoint, by sums that must be equal, and
`frameworks` has the kinds of subject of PyTorch and JAX.
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
        **PyTorch**: a module, ``MyFunction.apply`` or any function of tensors; **JAX**: any function of arrays, with
        ``custom_vjp`` and ``custom_jvp`` or without.
    *args : array_like
        What ``forward``, ``loss`` or ``f`` is called with, of any shape, handed over as copies. Integers, such as
        labels, are passed on and not differentiated by. Tensors of PyTorch's are: if one asks for a gradient, by those
        that do only. Of JAX's, trees too.
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

    workers : int or map-like callable, default 1
        How many processes evaluate, -1 for one a core; or what maps a function over a list, such as ``Pool(4).map``: as
        SciPy's. The report is the same, bit for bit. It pays where one evaluation takes a millisecond or more.
    progress : bool, default False
        Show how many evaluations were made, if it takes longer than a second.

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
