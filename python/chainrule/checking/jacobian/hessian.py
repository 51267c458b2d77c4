"""Hessians: the Jacobian of a gradient, which is symmetric."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from chainrule.checking.comparison import Comparison
from chainrule.checking.evaluation import NumericEvaluation
from chainrule.checking.jacobian.blocks import Block
from chainrule.checking.jacobian.comparison import JacobianComparison
from chainrule.checking.jacobian.subject import JacobianSubject
from chainrule.checking.report import ArrayCheck

_SYMMETRIC = "the Hessian is symmetric"
#: By how much of the largest number both halves may differ: what sums in another order leave.
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
        """Raise unless what should be a gradient has as many numbers as what it is by."""
        super().expect_fitting()
        for name, array in self.movable.items():
            if math.prod(self.out) != array.size:
                raise ValueError(
                    f"{self.forward_name} must give the gradient by {name}, {array.size} numbers, and gives an array of"
                    f" shape {self.out}"
                )

    def comparison(self) -> type[Comparison]:
        """Compare matrices, and see whether they are symmetric."""
        return HessianComparison


@dataclass
class HessianComparison(JacobianComparison):
    """A Hessian held against differences of the gradient, and against itself."""

    def _block(self, numeric: NumericEvaluation, name: str, block: Block, opinion: Block | None) -> ArrayCheck:
        if block.shape[0] == block.shape[1]:
            self.own_contracts[_SYMMETRIC] = self._asymmetry(block)
        return super()._block(numeric, name, block, opinion)

    def _asymmetry(self, block: Block) -> tuple[str, str] | None:
        """Say where the halves differ, if they do."""
        epsilon = max(_ROUNDING, 64 * float(np.finfo(block.numbers.dtype).eps))
        matrix = block.dense()
        if matrix is not None:
            off, size = np.abs(matrix - matrix.T), np.abs(matrix).max(initial=0)
            if not (off > epsilon * size).any():
                return None
            i, j = (int(k) for k in np.unravel_index(int(np.argmax(off)), off.shape))
            return f"H[{i}, {j}] is {matrix[i, j]:.6e}, and H[{j}, {i}] is {matrix[j, i]:.6e}", "not symmetric"
        u, v = self.rng.uniform(0.5, 1.5, (2, block.shape[1])) * self.rng.choice([-1.0, 1.0], (2, block.shape[1]))
        one, other = u * block.times(v), v * block.times(u)
        if abs(one.sum() - other.sum()) <= epsilon * (np.abs(one).sum() + np.abs(other).sum()):
            return None
        return f"u·Hv is {one.sum():.6e}, and v·Hu is {other.sum():.6e}", "not symmetric"
