"""The gradient check: does the loss do what backpropagation says it does.

Two sides that share only the forward pass. The numeric side perturbs each parameter, evaluates the loss and restores
the parameter; the analytic side is ``net.gradient``. What comes back is a report: the tutorial's figure (the mean of
the absolute differences) and, because a mean hides one wrong entry among thousands, the worst entry, its relative error
and its place.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from chainrule._gate import FloatArray, all_writeable, expect_network
from chainrule.gradients import numerical_gradient
from chainrule.layers import Affine

#: Entries that differ are tried again with steps so much smaller than the tutorial's 1e-4: a ReLU that switches
#: between x - h and x + h makes the difference quotient wrong, not the gradient.
_SMALLER_STEPS = (1e-5, 1e-6, 1e-7)
#: For the quotients to the left and to the right, where a ReLU switches at x itself.
_ONE_SIDED_STEP = 1e-5


#: Given f and one entry of a parameter, gives candidates for the derivative.
Quotients: TypeAlias = Callable[[Any, FloatArray], list[float]]


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
        The largest of abs(backprop - numeric) / max(abs(backprop), abs(numeric)), over entries of at least a
        thousandth of the largest, and any that differ by more than the noise of the numeric side.
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
    expect_network(net)
    all_writeable(net.params)
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
        finite = backprop[name][np.isfinite(backprop[name])]
        allowed = (1e-6 * np.abs(finite).max(initial=0), 1e-3) if single else (1e-9, 1e-5)
        for quotients in (*(_central(h) for h in _SMALLER_STEPS), _one_sided):
            for where in np.argwhere(_excess(backprop[name], numeric, *allowed) > 0):
                # A view: numerical_gradient and we change the parameter itself.
                entry = array[tuple(slice(i, i + 1) for i in where)]
                at = tuple(where)
                numeric[at] = _nearest(backprop[name][at], [numeric[at], *quotients(loss_of_parameter, entry)])
        checks.append(_compare(name, backprop[name], numeric, *allowed))
    return GradientReport(tuple(checks))


def _excess(backprop: FloatArray, numeric: FloatArray, absolute: float, relative: float) -> FloatArray:
    """Give by how much each entry differs beyond what is allowed; nan counts as infinitely much."""
    larger = np.maximum(np.abs(backprop), np.abs(numeric))
    with np.errstate(invalid="ignore"):  # inf - inf
        excess = np.abs(backprop - numeric) - (absolute + relative * larger)
    return np.where(np.isfinite(excess), excess, np.inf)


def _central(h: float) -> Quotients:
    """Give the function that differentiates with step `h`."""
    return lambda f, entry: [float(numerical_gradient(f, entry, h).item())]


def _one_sided(f: Any, entry: FloatArray) -> list[float]:
    """Give the slopes to the left and to the right: at a kink both are right, and neither is their mean.

    f'(x) = (-3 f(x) + 4 f(x + h) - f(x + 2h)) / 2h + O(h²); to the left with -h.
    """
    x = entry.copy()
    try:
        slopes = []
        for h in (-_ONE_SIDED_STEP, _ONE_SIDED_STEP):
            values = []
            for steps in (0, 1, 2):
                entry[...] = x + steps * h
                values.append(f(entry))
            slopes.append((-3 * values[0] + 4 * values[1] - values[2]) / (2 * h))
        return slopes
    finally:
        entry[...] = x


def _nearest(backprop: float, candidates: list[float]) -> float:
    """Give the candidate nearest to `backprop`; the first, if none is finite."""
    distances = [abs(backprop - value) if np.isfinite(value) else np.inf for value in candidates]
    return candidates[int(np.argmin(distances))]


def _compare(name: str, backprop: FloatArray, numeric: FloatArray, absolute: float, relative: float) -> ParameterCheck:
    if backprop.size == 0:
        return ParameterCheck(name, backprop.shape, 0.0, 0.0, 0.0, (), 0.0, 0.0, True)
    with np.errstate(invalid="ignore"):
        difference = np.abs(backprop - numeric)
    larger = np.maximum(np.abs(backprop), np.abs(numeric))
    # Of entries next to 0 the ratio says nothing, unless they differ by more than the noise.
    counts = (larger > 1e-3 * larger.max(initial=0)) | (difference > absolute)
    with np.errstate(invalid="ignore"):
        ratios = np.divide(
            difference, larger, out=np.zeros_like(difference), where=(counts & (larger > 0)) | np.isnan(difference)
        )
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
    """Give a copy of `net` whose float32 Affine layers compute in float64; arrays they share they share still."""
    wide = copy.deepcopy(net)
    arrays: dict[int, FloatArray] = {}
    for name, layer in getattr(wide, "layers", {}).items():
        if type(layer) is Affine:
            W, b = (arrays.setdefault(id(array), array.astype(np.float64)) for array in (layer.W, layer.b))
            wide.layers[name] = Affine(W, b)
    return wide
