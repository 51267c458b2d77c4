"""The gradient check: does the loss do what backpropagation says it does.

Two sides that share only the forward pass. The numeric side perturbs each parameter, evaluates the loss and restores
the parameter; the analytic side is ``net.gradient``. What comes back is a report: the tutorial's figure (the mean of
the absolute differences) and, because a mean hides one wrong entry among thousands, the worst entry, its relative error
and its place.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.gradients import numerical_gradient
from chainrule.layers import Affine

#: Entries that differ by more are tried again with steps so much smaller than the tutorial's 1e-4: a ReLU that
#: switches between x - h and x + h makes the difference quotient wrong, not the gradient.
_SMALLER_STEPS = (1e-5, 1e-6, 1e-7)


@dataclass(frozen=True)
class ParameterCheck:
    """The comparison for one parameter.

    Attributes
    ----------
    name : str
        Its name in ``net.params``.
    shape : tuple of int
        Its shape.
    mean_difference : float
        Mean of abs(backprop - numeric) over all entries: the tutorial's figure.
    max_difference : float
        The largest of them.
    max_relative : float
        The largest of abs(backprop - numeric) / max(abs(backprop), abs(numeric)), over entries that differ by more
        than the noise of the numeric side.
    where : tuple of int
        The index of the entry furthest beyond what is allowed.
    backprop, numeric : float
        Both sides there.
    ok : bool
        Whether every entry agrees.
    """

    name: str
    shape: tuple[int, ...]
    mean_difference: float
    max_difference: float
    max_relative: float
    where: tuple[int, ...]
    backprop: float
    numeric: float
    ok: bool


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradients` found.

    Attributes
    ----------
    parameters : tuple of ParameterCheck
        One for each parameter, in the order of ``net.params``.
    """

    parameters: tuple[ParameterCheck, ...]

    @property
    def ok(self) -> bool:
        """Whether every entry of every parameter agrees."""
        return all(parameter.ok for parameter in self.parameters)

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = ["parameter  shape        mean |diff|   max |diff|  max relative  verdict"]
        for p in self.parameters:
            shape = "×".join(map(str, p.shape))
            verdict = "ok" if p.ok else f"DIFFERS at {p.name}{list(p.where)}"
            lines.append(
                f"{p.name:<10} {shape:<10} {p.mean_difference:>13.1e} {p.max_difference:>12.1e}"
                f" {p.max_relative:>13.1e}  {verdict}"
            )
            if not p.ok:
                lines.append(f"{'':<22}backprop {p.backprop:.6e}, numeric {p.numeric:.6e}")
        lines.append("gradients agree" if self.ok else "GRADIENTS DIFFER")
        return "\n".join(lines)


def check_gradients(net: Any, x: Any, t: Any) -> GradientReport:
    """Compare ``net.gradient(x, t)`` with central differences of ``net.loss(x, t)``, entry by entry.

    Parameters
    ----------
    net : Network
        Or any object with ``params``, ``loss(x, t)`` and ``gradient(x, t)``. Its parameters are perturbed in place and
        restored bit for bit, also when something raises.
    x : array_like, shape (N, ...)
        A few examples; three are enough. Every entry of every parameter costs two evaluations of the loss.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids or distributions.

    Returns
    -------
    GradientReport
        ``report.ok`` is the verdict; ``print(report)`` a table.

    Raises
    ------
    TypeError, ValueError
        As ``net.loss``; ValueError also if ``gradient`` misses a parameter or gives another shape.

    Notes
    -----
    An entry agrees if abs(backprop - numeric) <= a + r · max(abs(backprop), abs(numeric)). For float64 r = 1e-5 and
    a = 1e-9: with h = 1e-4 the numeric side errs by about h²·f''' / 6, some 1e-9 for a network like the tutorial's,
    and by the loss's rounding over h, some 1e-12. An entry that does not agree is tried again with smaller steps
    before it is called wrong. A float32 network is copied to float64 for the numeric side, and its own gradient judged
    with r = 1e-3 and a = 1e-6 times the largest entry.

    Source: the tutorial's comparison at its end, ``gradient_check.py`` of deep-learning-from-scratch.

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> net = TwoLayerNet(4, 3, 2, weight_init_std=0.5, seed=1)
    >>> check_gradients(net, [[0.1, 0.9, -0.3, 0.2]], [1]).ok
    True
    """
    backprop = {name: np.array(grad, np.float64) for name, grad in net.gradient(x, t).items()}
    single = any(p.dtype == np.float32 for p in net.params.values())
    evaluated = _in_float64(net) if single else net
    checks = []
    for name, array in evaluated.params.items():
        if name not in backprop or backprop[name].shape != array.shape:
            got = f"shape {backprop[name].shape}" if name in backprop else "nothing"
            raise ValueError(f"gradient(x, t) must give {name} in shape {array.shape}, got {got}")

        def loss_of_parameter(_: FloatArray) -> float:
            return float(evaluated.loss(x, t))

        numeric = numerical_gradient(loss_of_parameter, array)
        largest = np.abs(backprop[name]).max(initial=0)
        allowed = (1e-6 * largest, 1e-3) if single else (1e-9, 1e-5)
        for h in _SMALLER_STEPS:
            for where in np.argwhere(_excess(backprop[name], numeric, *allowed) > 0):
                _try_again(loss_of_parameter, array, tuple(where), h, backprop[name], numeric)
        checks.append(_compare(name, backprop[name], numeric, *allowed))
    return GradientReport(tuple(checks))


def _excess(backprop: FloatArray, numeric: FloatArray, absolute: float, relative: float) -> FloatArray:
    """Give by how much each entry differs beyond what is allowed; nan counts as infinitely much."""
    larger = np.maximum(np.abs(backprop), np.abs(numeric))
    excess = np.abs(backprop - numeric) - (absolute + relative * larger)
    return np.where(np.isfinite(excess), excess, np.inf)


def _try_again(
    f: Any, array: FloatArray, where: tuple[int, ...], h: float, backprop: FloatArray, numeric: FloatArray
) -> None:
    """Replace a numeric entry by the quotient with step `h`, if that is nearer."""
    entry = array[tuple(slice(i, i + 1) for i in where)]  # a view: numerical_gradient changes the parameter itself
    nearer = float(numerical_gradient(f, entry, h).reshape(()))
    if not abs(backprop[where] - nearer) >= abs(backprop[where] - numeric[where]):
        numeric[where] = nearer


def _compare(name: str, backprop: FloatArray, numeric: FloatArray, absolute: float, relative: float) -> ParameterCheck:
    difference = np.abs(backprop - numeric)
    larger = np.maximum(np.abs(backprop), np.abs(numeric))
    above_noise = difference > absolute
    ratios = np.divide(difference, larger, out=np.zeros_like(difference), where=above_noise & (larger > 0))
    excess = _excess(backprop, numeric, absolute, relative)
    where = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), excess.shape))
    return ParameterCheck(
        name=name,
        shape=backprop.shape,
        mean_difference=float(difference.mean()),
        max_difference=float(difference.max()),
        max_relative=float(ratios.max()),
        where=where,
        backprop=float(backprop[where]),
        numeric=float(numeric[where]),
        ok=bool((excess <= 0).all()),
    )


def _in_float64(net: Any) -> Any:
    """Give a copy of `net` whose float32 Affine layers compute in float64."""
    wide = copy.deepcopy(net)
    for name, layer in getattr(wide, "layers", {}).items():
        if type(layer) is Affine:
            wide.layers[name] = Affine(layer.W.astype(np.float64), layer.b.astype(np.float64))
    return wide
