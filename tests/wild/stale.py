"""Faults that one call alone does not show: what is kept from the first batch, and gradients that add up."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import labelled, normal, weights
from wild import dicts, left, lists, losses, names
from wild.sample import DX, Calls, Sample, X, fault

ONLY_X = {X: DX}

# --- kept from the first call ---


class LabelsKept(lists.SoftmaxWithLoss):
    """The labels of the first batch are those of every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.labels: Any = None

    def forward(self, x: Any, t: Any) -> Any:
        loss = super().forward(x, t)
        self.labels = t.copy() if self.labels is None else self.labels
        return loss

    def backward(self, dout: Any = 1) -> Any:
        if len(self.labels) == len(self.t):
            self.t = self.labels
        return super().backward(dout)


class TargetKept(losses.Remembering):
    """The target of the first batch, of floats."""

    target: Any = None

    def forward(self, y: Any, t: Any) -> Any:
        if self.target is None or self.target.shape != t.shape:
            self.target = t.copy()
        loss = super().forward(y, t)
        self.diff = y - self.target
        return loss


class MaskKept:
    """Which numbers were positive in the first batch."""

    mask: Any = None

    def forward(self, x: Any) -> Any:
        if self.mask is None or self.mask.shape != x.shape:
            self.mask = x > 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class WeightsKept(names.Linear):
    """A transposed copy of the weights, made when the layer was."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out)
        self._transposed = self.weight.T.copy()

    def backward(self, grad_output: Any) -> Any:
        super().backward(grad_output)
        return grad_output @ self._transposed


class WeightsKeptLazily(left.Lazy):
    """The copy of W is made by the first forward."""

    kept: Any = None

    def forward(self, x: Any) -> Any:
        out = super().forward(x)
        self.kept = self.W.copy() if self.kept is None else self.kept
        return out

    def backward(self, dout: Any) -> Any:
        super().backward(dout)
        return dout @ self.kept.T


class SizeKept(losses.Remembering):
    """The number of examples of the first batch."""

    n: int | None = None

    def forward(self, y: Any, t: Any) -> Any:
        self.n = len(y) if self.n is None else self.n
        return super().forward(y, t)

    def backward(self) -> Any:
        return self.diff / self.n


class InputKept(lists.Affine):
    """x is only remembered if there is none yet."""

    def forward(self, x: Any) -> Any:
        kept = self.x if self.x is not None and self.x.shape == x.shape else x.copy()
        out = super().forward(x)
        self.x = kept
        return out


# --- added up ---


class NeverFlushed(dicts.Replaced):
    """Gradients grow, and nothing sets them to 0."""

    def __init__(self) -> None:
        super().__init__()
        self.grads = {name: np.zeros_like(a) for name, a in self.params.items()}

    def backward(self, dout: Any) -> Any:
        self.grads["W"] += self.x.T @ dout
        self.grads["b"] += dout.sum(axis=0)
        return dout @ self.params["W"].T


class EmbeddingNeverZeroed(lists.Embedding):
    """The rows of the last batch are still there."""

    def backward(self, dout: Any) -> None:
        np.add.at(self.grads[0], self.idx, dout)


class FlushForgetsBias(dicts.ZeroGrad):
    """zero_grad forgets the bias."""

    def zero_grad(self) -> None:
        self.dW.fill(0)


def repeated(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give ids, some of which come more than once."""
    return (np.array([0, 2, 2, 1, 0, 2]),)


K, A = "kept from the first call", "added up"
ROWS, TWO = normal((5, 3)), normal((5, 3), (5, 3))
PARAMS, EMBEDDING = lists.held(0, 1), lists.held(0)
LINEAR = {X: DX, "weight": "grad_weight", "bias": "grad_bias"}
WB = {X: DX, "W": "dW", "b": "db"}
FAULTS: tuple[Sample, ...] = (
    fault("labels_kept", K, LabelsKept, labelled(6, 3, classes=3), ONLY_X),
    fault("target_kept", K, TargetKept, TWO, ONLY_X, Calls(takes="nothing")),
    fault("mask_kept", K, MaskKept, ROWS, ONLY_X),
    fault("weights_kept", K, lambda: WeightsKept(3, 2), ROWS, LINEAR),
    fault("weights_kept_lazily", K, lambda: WeightsKeptLazily(2), ROWS, WB),
    fault("size_kept", K, SizeKept, TWO, ONLY_X, Calls(takes="nothing")),
    fault("input_kept", K, lambda: InputKept(*weights(3, 2)), ROWS, {X: DX, **PARAMS}),
    fault("never_flushed", A, NeverFlushed, ROWS, {X: DX, "params.W": "grads.W", "params.b": "grads.b"}),
    fault("embedding_never_zeroed", A, lambda: EmbeddingNeverZeroed(weights(5, 3)[0]), repeated, EMBEDDING),
    fault("flush_forgets_bias", A, FlushForgetsBias, ROWS, WB, Calls(flush="zero_grad")),
)  # fmt: skip
