"""Hessians: the Jacobian of a gradient, which must be symmetric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule.checking.jacobian.blocks import Block, JacobianAnswer
from chainrule.checking.jacobian.subject import JacobianSubject
from chainrule.checking.subject import Answer

if TYPE_CHECKING:
    from chainrule.checking.contracts import Trial

_SYMMETRIC = "the Hessian is symmetric"
#: How far the two halves may differ, relative to the largest number, because sums are taken in another order.
_ROUNDING = 1e-9


@dataclass
class HessianSubject(JacobianSubject):
    """A gradient and its derivatives."""

    forward_name: str = "grad"
    backward_name: str = "hess"
    kind = "hessian"
    letter = "H"
    by_name = True

    def expect_fitting(self) -> None:
        """Raise ValueError unless the gradient has as many numbers as its argument."""
        super().expect_fitting()
        for name, array in self.movable.items():
            if math.prod(self.out) != array.size:
                raise ValueError(
                    f"{self.forward_name} must give the gradient with respect to {name}, {array.size} numbers, but it"
                    f" gives an array of shape {self.out}"
                )

    def try_own_contracts(self, trial: Trial, answer: Answer, douts: Sequence[Any]) -> None:
        """Check that the Hessian is symmetric."""
        assert isinstance(answer, JacobianAnswer)
        for block in answer.blocks.values():
            trial.tried.setdefault(_SYMMETRIC)
            seen = _asymmetry(block)
            if seen:
                trial.breaks(_SYMMETRIC, seen, "not symmetric")


def _asymmetry(block: Block) -> str:
    """Say where the two halves differ, if they do."""
    epsilon = max(_ROUNDING, 64 * float(np.finfo(block.numbers.dtype).eps))
    matrix = block.dense()
    if matrix is not None:
        off, size = np.abs(matrix - matrix.T), np.abs(matrix).max(initial=0)
        if not (off > epsilon * size).any():
            return ""
        i, j = (int(k) for k in np.unravel_index(int(np.argmax(off)), off.shape))
        return f"H[{i}, {j}] is {matrix[i, j]:.6e}, and H[{j}, {i}] is {matrix[j, i]:.6e}"
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0.5, 1.5, (2, block.shape[1])) * rng.choice([-1.0, 1.0], (2, block.shape[1]))
    one, other = u * block.times(v), v * block.times(u)
    if abs(one.sum() - other.sum()) <= epsilon * (np.abs(one).sum() + np.abs(other).sum()):
        return ""
    return f"u·Hv is {one.sum():.6e}, and v·Hu is {other.sum():.6e}"
