"""The solver "lbfgs": SciPy's L-BFGS-B, applied to the loss and the gradient of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from chainrule._gate import FloatArray
from chainrule.nn.network import Network, penalty


def descend(
    net: Network,
    x: FloatArray,
    t: NDArray[Any],
    weight: Any,
    decay: float,
    options: dict[str, Any],
    after_step: Callable[[float], None],
) -> tuple[float, str | None]:
    """Train `net` in place; every step uses all examples.

    Parameters
    ----------
    net : Network
        A network whose layers do the same in every pass.
    x, t, weight : ndarray
        As ``net.gradient`` takes them; `weight` may be None.
    decay : float
        λ of the penalty ``λ/2 ΣW²``.
    options : dict
        SciPy's options.
    after_step : callable
        Called with the loss, without the penalty, after each step.

    Returns
    -------
    loss : float
        The loss at the end, without the penalty.
    left : str or None
        Why the training is not complete; None if it is.

    Raises
    ------
    FloatingPointError
        If the loss is not finite. The network is then as it was, as after any other error.
    """
    params = net.params
    ends = np.cumsum([p.size for p in params.values()])[:-1]
    before = {name: p.copy() for name, p in params.items()}
    loss = np.nan

    def put(theta: FloatArray) -> None:
        for p, values in zip(params.values(), np.split(theta, ends), strict=True):
            p[...] = values.reshape(p.shape)

    def loss_and_gradient(theta: FloatArray) -> tuple[float, FloatArray]:
        nonlocal loss
        put(theta)
        grads = net.gradient(x, t, *(() if weight is None else (weight,)))
        loss = float(net.last_layer.loss)
        return loss + penalty(net), np.concatenate([grads[name].ravel() for name in params], dtype=np.float64)

    start = np.concatenate([p.ravel() for p in params.values()], dtype=np.float64)
    net.weight_decay_lambda = decay
    try:
        # SciPy calls back at the point it has computed last, so `loss` is that of the step.
        found = minimize(
            loss_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            options=options,
            callback=lambda theta: after_step(loss),
        )
        put(found.x)
        loss = float(found.fun) - penalty(net)
        if not np.isfinite(loss):
            raise FloatingPointError(f"loss is {loss}")
    except BaseException:
        for name, p in params.items():
            p[...] = before[name]
        raise
    finally:
        net.weight_decay_lambda = 0.0
    return loss, None if found.success else f"lbfgs was still making progress after {found.nit} steps: {found.message}"
