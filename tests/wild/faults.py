"""Typical faults of public code: each of these has to be called wrong."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import normal, weights
from wild import functions, left, lists, losses, names
from wild.meaning import Dropout
from wild.sample import DX, Calls, Sample, X, fault
from wild.stale import repeated

ONLY_X = {X: DX}

# --- forgotten, or another's ---


class EmbeddingOverwrites(lists.Embedding):
    """An id that comes twice gets the gradient of its last place only."""

    def backward(self, dout: Any) -> None:
        (dW,) = self.grads
        dW[...] = 0
        dW[self.idx] = dout


class ForgottenLayer(lists.Stack):
    """The way back leaves out the first layer's own backward: its gradients stay zeros."""

    def backward(self, dout: Any) -> Any:
        for layer in self.layers[:0:-1]:
            dout = layer.backward(dout)
        return dout @ self.layers[0].params[0].T


class AnotherOrder:
    """Gradients stand in the list in the order in which they are made, which is not that of the parameters."""

    def __init__(self) -> None:
        self.params = [weights(3, 3)[0], weights(3, 3, seed=1)[0]]
        self.grads: list[Any] = []

    def forward(self, x: Any) -> Any:
        self.x, self.h = x, np.tanh(x @ self.params[0])
        return self.h @ self.params[1]

    def backward(self, dout: Any) -> Any:
        self.grads = [self.h.T @ dout]
        da = dout @ self.params[1].T * (1 - self.h**2)
        self.grads.append(self.x.T @ da)
        return da @ self.params[0].T


class MissingInTheList(AnotherOrder):
    """The list of gradients holds one of two."""

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        del self.grads[0]
        return dx


class ForgottenSkip(names.Residual):
    """The way around the layer."""

    def backward(self, grad: Any) -> Any:
        return super().backward(grad) - grad


class TiedOverwritten:
    """Both uses of one matrix write their gradient to the same place, where the last one stays."""

    def __init__(self) -> None:
        self.W, _ = weights(4, 3)
        self.dW = np.zeros_like(self.W)

    def forward(self, x: Any) -> Any:
        self.x, self.h = x, np.tanh(x @ self.W)
        return self.h @ self.W.T

    def backward(self, dout: Any) -> Any:
        self.dW[...] = dout.T @ self.h
        da = dout @ self.W * (1 - self.h**2)
        self.dW[...] = self.x.T @ da
        return da @ self.W.T


class SharedOverwritten(names.Shared):
    """One layer gone through twice keeps the gradient of one pass only."""

    def backward(self, grad: Any) -> Any:
        y = np.tanh(self.cell.forward(self.h))
        dh = self.cell.backward(grad * (1 - y**2))
        self.cell.input = self.x
        return self.cell.backward(dh * (1 - self.h**2))


class ReluOfOutput(left.LeftModel):
    """The second layer is handed the gradient as it came, and the ReLU left out."""

    def backward(self, dvalues: Any) -> None:
        self.dense2.backward(dvalues)
        self.dense1.backward(self.dense2.dinputs)
        self.dinputs = self.dense1.dinputs


# --- what is written into ---


class AddsIntoDout(names.Residual):
    """The gradient of the skip is added into the caller's array."""

    def backward(self, grad: Any) -> Any:
        self.grad_scale = np.array([(grad * self.y).sum()])
        inner = self.inner.backward(self.scale * grad)
        grad += inner
        return grad


class MasksDout(left.ReLU):
    """dvalues itself is set to 0 in places."""

    def backward(self, dvalues: Any) -> None:
        dvalues[self.inputs <= 0] = 0
        self.dinputs = dvalues


class MasksInput:
    """A ReLU in place of its input."""

    def forward(self, x: Any) -> Any:
        x[x < 0] = 0
        self.x = x
        return x.copy()

    def backward(self, dout: Any) -> Any:
        return dout * (self.x > 0)


class StepsToo(lists.Affine):
    """backward has already gone a step."""

    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        for p, g in zip(self.params, self.grads, strict=True):
            p -= 0.01 * g
        return dx


# --- noise ---


class MaskRedrawn(Dropout):
    """backward draws another mask."""

    def backward(self, dout: Any) -> Any:
        return dout * (np.random.rand(*dout.shape) > self.ratio)


class ScaleForgotten(Dropout):
    """What is kept is made larger in forward alone."""

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        return super().forward(x, train_flg) / (1 - self.ratio)


# --- functions ---


def clipped_backward(dout: Any, cache: Any) -> Any:
    dx, dw, db = functions.affine_backward(dout, cache)
    return np.clip(dx, -1, 1), np.clip(dw, -1, 1), db


def swapped_backward(dout: Any, cache: Any) -> Any:
    dq, dk, dv = functions.attention_backward(dout, cache)
    return dk, dq, dv


def cell_forgotten(dnext_h: Any, dnext_c: Any, cache: Any) -> Any:
    return functions.lstm_step_backward(dnext_h, 0 * dnext_c, cache)


def unscaled_attention(dout: Any, cache: Any) -> Any:
    dq, dk, dv = functions.attention_backward(dout, cache)
    return dq * np.sqrt(dq.shape[1]), dk * np.sqrt(dq.shape[1]), dv


def last_id_backward(dout: Any, cache: Any) -> Any:
    x, W = cache
    dW = np.zeros_like(W)
    dW[x] += dout
    return dW


def by_the_labels(y_true: Any, y_pred: Any) -> Any:
    return -losses.mse_prime(y_true, y_pred)


def decay_forgotten(W: Any, X: Any, y: Any, reg: float) -> Any:
    loss, dW = losses.linear_softmax(W, X, y, reg)
    return loss, dW - 2 * reg * W


def decay_doubled(w: Any, X: Any, y: Any, strength: float) -> Any:
    return losses.ridge_gradient(w, X, y, 2 * strength)


class MeanTwice(losses.MeanSquare):
    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        return super().gradient(y_true, y_pred) / len(y_true)


def stacked() -> ForgottenLayer:
    return ForgottenLayer(lists.Affine(*weights(3, 4)), lists.Affine(*weights(4, 2, seed=1)))


def masked(rng: np.random.Generator) -> tuple[Any, ...]:
    """Give queries, keys, values and a mask."""
    return (*normal((4, 3), (4, 3), (4, 2))(rng), np.tri(4, dtype=bool))


F, W, G = "forgotten", "written into", "generators"
ROWS, TWO = normal((5, 3)), normal((5, 3), (5, 3))
PARAMS, EMBEDDING = lists.held(0, 1), lists.held(0)


def both(value_and_gradient: Any) -> Any:
    """Give a maker of one function."""
    return lambda: value_and_gradient


PAIR, CACHED = Calls(0, 1, "arguments"), Calls(0, 1, "douts, cache", ("returned.0",))
THREE = {f"args.{i}": f"returned.{i}" for i in range(3)}
FAULTS: tuple[Sample, ...] = (
    fault("embedding_overwrites", F, lambda: EmbeddingOverwrites(weights(5, 3)[0]), repeated, EMBEDDING),
    fault("forgotten_layer", F, stacked, ROWS, {X: DX, **lists.held(0, 1, under="layers.0.")}),
    fault("another_order", F, AnotherOrder, ROWS, {X: DX, **PARAMS}),
    fault("missing_in_the_list", F, MissingInTheList, ROWS, {X: DX, "params.0": "grads.0"}),
    fault("forgotten_skip", F, ForgottenSkip, ROWS, ONLY_X),
    fault("tied_overwritten", F, TiedOverwritten, normal((5, 4)), {X: DX, "W": "dW"}),
    fault("shared_overwritten", F, SharedOverwritten, ROWS, names.beside(*names.LINEAR, under="cell.")),
    fault("relu_left_out", F, ReluOfOutput, ROWS, {X: "dinputs"}, Calls(outputs=("output",))),
    fault("adds_into_dout", W, AddsIntoDout, ROWS, ONLY_X),
    fault("masks_dout", W, MasksDout, ROWS, {X: "dinputs"}, Calls(outputs=("output",))),
    fault("masks_input", W, MasksInput, ROWS, ONLY_X),
    fault("steps_too", W, lambda: StepsToo(*weights(3, 2)), ROWS, {X: DX, **PARAMS}),
    fault("mask_redrawn", G, MaskRedrawn, normal((5, 4)), ONLY_X, noise=(np.random,)),
    fault("scale_forgotten", G, ScaleForgotten, normal((5, 4)), ONLY_X, noise=(np.random,)),
    fault("clipped", F, (functions.affine_forward, clipped_backward), normal((4, 2, 3), (6, 5), (5,)), THREE, CACHED),
    fault("swapped", F, (functions.attention_forward, swapped_backward), masked, THREE, CACHED),
    fault("unscaled", F, (functions.attention_forward, unscaled_attention), masked, THREE, CACHED),
    fault("cell_forgotten", F, (functions.lstm_step_forward, cell_forgotten),
          normal((3, 1), (3, 2), (3, 2), (1, 8), (2, 8), (8,), scale=0.5),
          {f"args.{i}": f"returned.{i}" for i in range(6)},
          Calls(0, 1, "douts, cache", ("returned.0", "returned.1"))),
    fault("last_id", F, (functions.word_embedding_forward, last_id_backward),
          lambda rng: (*repeated(rng), rng.standard_normal((4, 2))), {"args.1": DX}, CACHED),
    fault("by_the_labels", F, (losses.mse, by_the_labels), TWO, {"args.1": DX}, PAIR),
    fault("mean_twice", F, MeanTwice, TWO, {"args.1": DX}, Calls("__call__", "gradient", "arguments")),
    fault("decay_forgotten", F, both(decay_forgotten),
          lambda rng: (*normal((4, 3), (6, 4))(rng), rng.integers(0, 3, 6), 0.1), {X: "returned.1"}, losses.BOTH),
    fault("decay_doubled", F, (losses.ridge_cost, decay_doubled),
          lambda rng: (*normal((3,), (6, 3), (6,))(rng), 0.5), ONLY_X, PAIR),
)  # fmt: skip
