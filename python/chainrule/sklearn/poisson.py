"""The loss for counts: half the deviance of the Poisson distribution, whose mean is the exponential of a score."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import xlogy

from chainrule._gate import FloatArray


class PoissonWithLoss:
    """``loss = mean over the rows of w Σ (t log(t / y) - t + y)``, ``y = exp(x)``, as a last layer.

    `t` has the counts and, in its last column, the weight w of each row.

    Notes
    -----
    dL/dx = w (y - t) / N. `t log t` does not affect the gradient; it makes the loss of a perfect answer 0.
    """

    loss: float

    def forward(self, x: Any, t: Any) -> float:
        """Give the mean loss of the scores `x`, (N, K), for `t`, (N, K + 1)."""
        t, w = t[:, :-1], t[:, -1:]
        with np.errstate(over="ignore", invalid="ignore"):  # the loss shows it
            y = np.exp(x)
            self._dx = (w * (y - t) / len(x)).astype(x.dtype)
            self.loss = float(np.sum(w * (xlogy(t, t) - t * x - t + y), dtype=np.float64)) / len(x)
        return self.loss

    def backward(self, dout: float = 1) -> FloatArray:
        """Give dL/dx."""
        dx: FloatArray = self._dx * dout
        return dx
