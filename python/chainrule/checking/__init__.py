"""The gradient check: is what backward says true, where is it not, and why.

Two sides that share only the forward pass. The numeric side moves numbers and looks at what comes out, with an error
bar for every derivative; the analytic side is the code under test. They differ if they are further apart than the error
bar and the tolerance together, never because of a bare threshold. Beside that, contracts that every right backward
keeps are tried, and for a network that is wrong its layers are walked through to name the first faulty one.

=================  ===========================================================
`run`              the order of it all
`subjects`         a layer, a network, a pair: what can be checked
`state`            what is put back, whatever happens
`contracts`        what needs no differences: linear in dout, nothing written …
`numeric`          derivatives by differences, each with its error bar
`movers`           what moves an array and looks at what comes out
`engine`           networks whose losses Rust evaluates
`side`             one subject's numeric side: its movers, noise and directions
`comparison`       the two sides held against each other, array by array
`judging`          whether two sides differ
`why`              where a gradient is wrong, and what is tried as a cause
`causes`           what explains a difference: a factor, a transpose …
`batches`          other batches: nothing is left of an earlier one
`walk`             which layer of a network is the faulty one
`report`           what was found, as a table, dict, web page or picture
`files`            the layers and pairs in a file, for ``chainrule check``
=================  ===========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from chainrule._gate import count, positive
from chainrule.checking.report import ArrayCheck as ArrayCheck
from chainrule.checking.report import Contract as Contract
from chainrule.checking.report import GradientReport as GradientReport


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
    subject : object or tuple of two functions
        A **layer**: any object with ``forward(*inputs)`` and ``backward(dout)``. ``backward`` gives the gradient of the
        input, or a tuple, one for each; for several outputs it is given a tuple. Parameters are found as ``W``, ``b``
        with ``dW``, ``db``, any other array attribute with a gradient so named, or in dicts ``params`` and ``grads``.
        A **network**: any object with ``loss(x, t)``, ``gradient(x, t)`` and ``params``.
        A **pair** ``(f, grad_f)``: ``f(*args)`` gives one number, ``grad_f(*args)`` its gradient, or a tuple.
    *args : array_like
        What ``forward``, ``loss`` or ``f`` is called with, of any shape, handed over as copies. Integers, such as
        labels, are passed on and not differentiated by.
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
        ``report.ok`` is the verdict, ``print(report)`` a table, ``report.raise_if_failed()`` for tests.

    Raises
    ------
    TypeError
        If `subject` is none of the three, a parameter is of integers, an array is float16, or there is nothing to
        differentiate by.
    ValueError
        If a parameter is read-only, an array or an output is not finite, or f gives more than one number. Whatever
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
    from chainrule.checking.comparison import Settings
    from chainrule.checking.reader import Asked
    from chainrule.checking.run import check

    if mode not in ("auto", "full", "directions"):
        raise ValueError(f"mode must be 'auto', 'full' or 'directions', got {mode!r}")
    settings = Settings(
        mode, count(directions, "directions"), count(seed, "seed", least=0), positive(tolerance, "tolerance"), strict
    )
    ignored = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    return check(subject, args, settings, Asked(wrt, params, forward, backward, ignored))
