"""Layers with one mistake each. The stories are at the end, so that the classes can be read without them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

import chainrule
from mutants.case import Arguments, Case, Expect, clear, fixed, labelled, normal, spread, uniform, weights

# --- affine ---


class AffineA:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = dout.T @ self.x
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineB:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W


class AffineC:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.dW[0, 0] /= 2
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineD:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.mean(axis=0)
        return dout @ self.W.T


class AffineE:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout[0].copy()
        return dout @ self.W.T


class AffineF:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.copy()
        return dout @ self.W.T


class AffineG:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=1)
        return dout @ self.W.T


class AffineH:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = self.x.sum(axis=0)
        return dout @ self.W.T


class AffineI:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        n = len(self.x)
        self.dW = self.x.T @ dout / n
        self.db = dout.sum(axis=0) / n
        return dout @ self.W.T


class AffineJ:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW += self.x.T @ dout
        self.db += dout.sum(axis=0)
        return dout @ self.W.T


class AffineK:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.x: Any = None

    def forward(self, x: Any) -> Any:
        if self.x is None:
            self.x = x.copy()
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineL:
    def __init__(self, W: Any, b: Any, lr: float = 0.1) -> None:
        self.W, self.b, self.lr = W, b, lr

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        self.W -= self.lr * self.dW
        self.b -= self.lr * self.db
        return dout @ self.W.T


class AffineM:
    def __init__(self, W: Any, b: Any, lr: float = 0.1) -> None:
        self.W, self.b, self.lr = W, b, lr

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        dx = dout @ self.W.T
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        self.W -= self.lr * self.dW
        self.b -= self.lr * self.db
        return dx


class AffineN:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x.reshape(len(x), -1)
        return self.x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineO:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0, keepdims=True)
        return dout @ self.W.T


class AffineP:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        dx = np.zeros(self.x.shape, dtype="f")
        for n, row in enumerate(dout):
            dx[n] = self.W @ row
        return dx


class AffineQ:
    def __init__(self, W: Any, b: Any, decay: float = 0.1) -> None:
        self.W, self.b, self.decay = W, b, decay

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout + self.decay * self.W
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineR:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        return dout @ self.W.T


class AffineS:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        dx = np.zeros_like(self.x)
        for n in range(len(dout) - 1):
            dx[n] = self.W @ dout[n]
        return dx


class AffineT:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = np.zeros_like(self.W)
        for j in range(1, self.W.shape[1]):
            self.dW[:, j] = self.x.T @ dout[:, j]
        self.db = dout.sum(axis=0)
        return dout @ self.W.T


class AffineU:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.dx: Any = None

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        if self.dx is None or self.dx.shape != self.x.shape:
            self.dx = np.empty_like(self.x)
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        self.dx[...] = dout @ self.W.T
        return self.dx


class AffineV:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return np.clip(dout @ self.W.T, -1, 1)


class AffineW:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        half = dout.astype(np.float16) @ self.W.T.astype(np.float16)
        return half.astype(dout.dtype)


class AffineX:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = np.outer(self.x, dout)
        self.db = dout
        return self.W @ dout


class AffineY:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b
        self.WT = W.T.copy()

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.WT


class AffineZ(chainrule.Affine):
    def backward(self, dout: Any) -> Any:
        dx = super().backward(dout)
        self.db = np.asarray(dout)[-1].copy()
        return dx


class LinearA:
    def __init__(self, W: Any, b: Any, momentum: float = 0.9) -> None:
        self.W, self.b, self.momentum = W, b, momentum
        self.dW, self.db = np.zeros_like(W), np.zeros_like(b)

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.momentum * self.dW + self.x.T @ dout
        self.db = self.momentum * self.db + dout.sum(axis=0)
        return dout @ self.W.T


class AffineTanh:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        out = x @ self.W + self.b
        np.tanh(x, out=x)
        self.h = x.copy()
        return out + x

    def backward(self, dout: Any) -> Any:
        self.dW = self.x.T @ dout
        self.db = dout.sum(axis=0)
        return dout @ self.W.T + dout * (1 - self.h**2)


class ReluAffine:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        self.h = x
        self.h[self.h < 0] = 0
        return self.h @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = self.h.T @ dout
        self.db = dout.sum(axis=0)
        dx = dout @ self.W.T
        dx[self.x < 0] = 0
        return dx


class Dot:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x = x
        return (x * self.W).sum()

    def backward(self, dout: Any) -> Any:
        dx = dout * self.W
        self.dW = self.x
        self.dW *= dout
        return dx


# --- activations ---


class ReluA:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        dout[self.mask] = 0
        return dout


class ReluB:
    def forward(self, x: Any) -> Any:
        self.mask = x >= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class ReluC:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return np.maximum(dout, 0)


class ReluD:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        x[self.mask] = 0
        return x.copy()

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, 0, dout)


class ReluE:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class ReluF:
    def __init__(self) -> None:
        self.masks: dict[tuple[int, ...], Any] = {}

    def forward(self, x: Any) -> Any:
        if x.shape not in self.masks:
            self.masks[x.shape] = x > 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout * self.masks[dout.shape]


class ReluG:
    def forward(self, x: Any) -> Any:
        self.out = np.maximum(x, 0)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout * self.out


class ReluH:
    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.maximum(x, 0)

    def backward(self, dout: Any) -> Any:
        return dout.copy()


class LeakyReluA:
    def __init__(self, slope: float = 0.2) -> None:
        self.slope = slope

    def forward(self, x: Any) -> Any:
        self.mask = x <= 0
        return np.where(self.mask, self.slope * x, x)

    def backward(self, dout: Any) -> Any:
        return np.where(self.mask, 0, dout)


class PreluA:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x, self.mask = x, x <= 0
        return np.where(self.mask, self.W * x, x)

    def backward(self, dout: Any) -> Any:
        self.dW = (dout * self.x).sum(axis=0)
        return np.where(self.mask, self.W * dout, dout)


class EluA:
    def __init__(self, alpha: float = 0.5) -> None:
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        self.out = np.where(x > 0, x, self.alpha * (np.exp(np.minimum(x, 0)) - 1))
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return np.where(self.out > 0, dout, dout * (self.out + 1))


class SigmoidA:
    def forward(self, x: Any) -> Any:
        self.out = 1 / (1 + np.exp(-x))
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout * self.out * (1 + self.out)


class SigmoidB:
    def forward(self, x: Any) -> Any:
        self.x = x
        return 1 / (1 + np.exp(-x))

    def backward(self, dout: Any) -> Any:
        return dout * self.x * (1 - self.x)


class SigmoidC:
    def forward(self, x: Any) -> Any:
        self.out = 1 / (1 + np.exp(-x))
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return self.out * (1 - self.out)


class SigmoidD:
    def forward(self, x: Any) -> Any:
        self.out = 1 / (1 + np.exp(-x))
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        self.out *= 1 - self.out
        return dout * self.out


class SigmoidE:
    def __init__(self) -> None:
        self.outs: list[Any] = []

    def forward(self, x: Any) -> Any:
        out = 1 / (1 + np.exp(-x))
        self.outs.append(out.copy())
        return out

    def backward(self, dout: Any) -> Any:
        out = self.outs[0]
        return dout * out * (1 - out)


class TanhA:
    def forward(self, x: Any) -> Any:
        self.out = np.tanh(x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.out)


class TanhB:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x)

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.x**2)


class TanhC:
    def forward(self, x: Any) -> Any:
        self.out = np.tanh(x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        dout *= 1 - self.out**2
        return dout.copy()


class TanhD:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x)

    def backward(self, dout: Any) -> Any:
        self.x = np.tanh(self.x)
        return dout * (1 - self.x**2)


class Swish:
    def forward(self, x: Any) -> Any:
        self.x = x
        self.gate = 1 / (1 + np.exp(-x))
        return x * self.gate

    def backward(self, dout: Any) -> Any:
        return dout * self.gate


class Gelu:
    def forward(self, x: Any) -> Any:
        self.x = x
        return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2

    def backward(self, dout: Any) -> Any:
        erf = np.vectorize(math.erf)(self.x.astype(float) / math.sqrt(2))
        density = np.exp(-(self.x**2) / 2) / math.sqrt(2 * math.pi)
        return dout * ((1 + erf) / 2 + self.x * density)


class Softplus:
    def forward(self, x: Any) -> Any:
        self.out = np.log(1 + np.exp(x))
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout / (1 + np.exp(-self.out))


# --- softmax ---


class SoftmaxA:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return dout * self.y * (1 - self.y)


class SoftmaxB:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return np.zeros_like(dout)


class SoftmaxC:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - (dout * self.y).sum())


class SoftmaxD:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - (dout * self.y).sum(axis=0))


class SoftmaxE:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max())
        self.y = y / y.sum()
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))


class SoftmaxF:
    def forward(self, x: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = y / y.sum(axis=1, keepdims=True)
        return self.y.copy()

    def backward(self, dout: Any) -> Any:
        return self.y * (1 - (dout * self.y).sum(axis=1, keepdims=True))


class SoftmaxWithLossA:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx


class SoftmaxWithLossB:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t - 1] -= 1
        return dout * dx / len(self.t)


class SoftmaxWithLossC:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        classes, ids = np.unique(self.t, return_inverse=True)
        one_hot = np.zeros_like(self.y)
        one_hot[:, : len(classes)] = np.eye(len(classes))[ids]
        return dout * (self.y - one_hot) / len(self.t)


class SoftmaxWithLossD:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / len(self.t)


class SoftmaxWithLossE:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dx / len(self.t)


class SoftmaxWithLossF:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t] + 1e-7).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / len(self.t)


class SoftmaxWithLossG:
    def forward(self, x: Any, t: Any) -> Any:
        y = np.exp(x - x.max(axis=1, keepdims=True))
        self.y, self.t = y / y.sum(axis=1, keepdims=True), t
        return -np.log(self.y[np.arange(len(t)), t]).mean()

    def backward(self, dout: Any = 1) -> Any:
        dx = self.y.copy()
        dx[np.arange(len(self.t)), self.t] -= 1
        return dout * dx / dx.size


# --- dropout and normalisation ---


class DropoutA:
    def __init__(self, rng: np.random.Generator, ratio: float = 0.5) -> None:
        self.rng, self.ratio = rng, ratio

    def forward(self, x: Any) -> Any:
        mask = self.rng.random(x.shape) > self.ratio
        return x * mask / (1 - self.ratio)

    def backward(self, dout: Any) -> Any:
        mask = self.rng.random(dout.shape) > self.ratio
        return dout * mask / (1 - self.ratio)


class DropoutB:
    def __init__(self, rng: np.random.Generator, ratio: float = 0.5) -> None:
        self.rng, self.ratio = rng, ratio

    def forward(self, x: Any) -> Any:
        self.mask = self.rng.random(x.shape) > self.ratio
        return x * self.mask / (1 - self.ratio)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class DropoutC:
    def __init__(self, rng: np.random.Generator, ratio: float = 0.3, train: bool = True) -> None:
        self.rng, self.ratio, self.train = rng, ratio, train

    def forward(self, x: Any) -> Any:
        self.mask = self.rng.random(x.shape) > self.ratio
        return x * self.mask if self.train else x * (1 - self.ratio)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class DropoutD:
    def __init__(self, ratio: float = 0.3) -> None:
        self.ratio = ratio

    def forward(self, x: Any) -> Any:
        rng = np.random.default_rng()
        self.mask = rng.random(x.shape) > self.ratio
        return x * self.mask

    def backward(self, dout: Any) -> Any:
        return dout * self.mask


class DropoutE:
    train: ClassVar[bool] = False

    def forward(self, x: Any) -> Any:
        return x * 0.5 if self.train else x

    def backward(self, dout: Any) -> Any:
        return dout * 0.5 if self.train else dout.copy()


class BatchNormA:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std


class BatchNormB:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0)) / self.std


class BatchNormC:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=0, ddof=1) + 1e-5)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std


class BatchNormD:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        self.xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.x).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.std


class BatchNormE:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.var = x.var(axis=0) + 1e-5
        self.xhat = (x - x.mean(axis=0)) / np.sqrt(self.var)
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0) - self.xhat * (dxhat * self.xhat).mean(axis=0)) / self.var


class BatchNormF:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}
        self.mean, self.var = np.zeros_like(beta), np.ones_like(gamma)

    def forward(self, x: Any) -> Any:
        self.mean = 0.9 * self.mean + 0.1 * x.mean(axis=0)
        self.var = 0.9 * self.var + 0.1 * x.var(axis=0)
        self.std = np.sqrt(self.var + 1e-5)
        self.xhat = (x - self.mean) / self.std
        return self.params["gamma"] * self.xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        self.grads = {"gamma": (dout * self.xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        return dout * self.params["gamma"] / self.std


class BatchNormG:
    def __init__(self, gamma: Any, beta: Any) -> None:
        self.params = {"gamma": gamma, "beta": beta}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x.astype(np.float32)
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        xhat = (x - x.mean(axis=0)) / self.std
        return self.params["gamma"] * xhat + self.params["beta"]

    def backward(self, dout: Any) -> Any:
        xhat = (self.x - self.x.mean(axis=0)) / self.std
        self.grads = {"gamma": (dout * xhat).sum(axis=0), "beta": dout.sum(axis=0)}
        dxhat = dout * self.params["gamma"]
        return (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / self.std


class LayerNormA:
    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.xhat.copy()

    def backward(self, dout: Any) -> Any:
        return (dout - dout.mean(axis=1, keepdims=True)) / self.std


class LayerNormB:
    def forward(self, x: Any) -> Any:
        self.std = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
        self.xhat = (x - x.mean(axis=1, keepdims=True)) / self.std
        return self.xhat.copy()

    def backward(self, dout: Any) -> Any:
        return (dout - dout.mean(axis=0) - self.xhat * (dout * self.xhat).mean(axis=0)) / self.std


class Normalize:
    def forward(self, x: Any) -> Any:
        self.norm = np.sqrt((x**2).sum(axis=1, keepdims=True))
        return x / self.norm

    def backward(self, dout: Any) -> Any:
        return dout / self.norm


# --- convolution, pooling and moving things about ---


class Conv1dA:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x = x
        size = x.shape[1] - len(self.W) + 1
        return sum(x[:, k : k + size] * w for k, w in enumerate(self.W))

    def backward(self, dout: Any) -> Any:
        size = dout.shape[1]
        self.dW = np.stack([(self.x[:, k : k + size] * dout).sum() for k in range(len(self.W))])
        border = len(self.W) - 1
        padded = np.pad(dout, ((0, 0), (border, border)))
        return sum(padded[:, k : k + size + border] * w for k, w in enumerate(self.W))


class Conv1dB:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, x: Any) -> Any:
        self.x = x
        size = x.shape[1] - len(self.W) + 1
        return sum(x[:, k : k + size] * w for k, w in enumerate(self.W))

    def backward(self, dout: Any) -> Any:
        size = dout.shape[1]
        self.dW = np.stack([(self.x[:, k : k + size] * dout).sum() for k in range(len(self.W))])
        dx = np.zeros_like(self.x)
        for k, w in enumerate(self.W):
            dx[:, k : k + size] = dout * w
        return dx


class MaxPoolA:
    def forward(self, x: Any) -> Any:
        self.windows = x.reshape(len(x), -1, 2)
        self.out = self.windows.max(axis=2, keepdims=True)
        return self.out[:, :, 0].copy()

    def backward(self, dout: Any) -> Any:
        dx = dout[:, :, None] * (self.windows == self.out)
        return dx.reshape(len(dout), -1)


class MaxPoolB:
    def forward(self, x: Any) -> Any:
        self.x = x
        windows = x.reshape(len(x), -1, 2)
        self.best = windows.argmax(axis=2)
        return windows.max(axis=2)

    def backward(self, dout: Any) -> Any:
        dx = np.zeros_like(self.x)
        rows = np.arange(len(dout))
        for j in range(dout.shape[1]):
            dx[rows, self.best[:, j]] += dout[:, j]
        return dx


class MaxPoolC:
    def forward(self, x: Any) -> Any:
        self.windows = x.reshape(len(x), -1, 2)
        self.out = self.windows.max(axis=2, keepdims=True)
        return self.out[:, :, 0].copy()

    def backward(self, dout: Any) -> Any:
        dx = dout[:, :, None] * np.isclose(self.windows, self.out, atol=0.01)
        return dx.reshape(len(dout), -1)


class Maximum:
    def forward(self, x: Any, y: Any) -> Any:
        self.mask = x > y
        return np.maximum(x, y)

    def backward(self, dout: Any) -> Any:
        return dout * self.mask, dout * self.mask


class Transpose:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.T.copy()

    def backward(self, dout: Any) -> Any:
        return dout.copy().reshape(self.shape)


class Pad:
    def forward(self, x: Any) -> Any:
        return np.pad(x, ((0, 0), (1, 1)))

    def backward(self, dout: Any) -> Any:
        return dout[:, :-2].copy()


class CumulativeSum:
    def forward(self, x: Any) -> Any:
        return np.cumsum(x, axis=1)

    def backward(self, dout: Any) -> Any:
        return np.cumsum(dout, axis=1)


class Sort:
    def forward(self, x: Any) -> Any:
        self.order = np.argsort(x)
        return x[self.order]

    def backward(self, dout: Any) -> Any:
        return dout[self.order]


class Split:
    def forward(self, x: Any) -> Any:
        self.half = x.shape[1] // 2
        return x[:, : self.half].copy(), x[:, self.half :].copy()

    def backward(self, dout: Any) -> Any:
        first, second = dout
        return np.concatenate([second, first], axis=1)


class Fork:
    def forward(self, x: Any) -> Any:
        return x.copy(), x.copy()

    def backward(self, dout: Any) -> Any:
        first, second = dout
        return (first + second) / 2


class Concatenate:
    def forward(self, x: Any, y: Any) -> Any:
        return np.concatenate([x, y], axis=1)

    def backward(self, dout: Any) -> Any:
        half = dout.shape[1] // 2
        return dout[:, :half].copy(), dout[:, half + 1 :].copy()


class MeanA:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.mean(axis=1)

    def backward(self, dout: Any) -> Any:
        return dout[:, None] * np.ones(self.shape, dout.dtype)


class SumA:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.sum(axis=1)

    def backward(self, dout: Any) -> Any:
        return dout[:, None] * np.ones(self.shape, dout.dtype) / self.shape[1]


class Identity:
    def forward(self, x: Any) -> Any:
        return x.copy()

    def backward(self, dout: Any) -> Any:
        return dout


# --- nodes of a graph ---


class MulLayerA:
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> Any:
        return dout * self.x, dout * self.y


class MulLayerB:
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x * y

    def backward(self, dout: Any) -> Any:
        return dout * self.y, dout * self.x


class AddLayerA:
    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, dout: Any) -> Any:
        return dout, dout


class AddLayerB:
    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, dout: Any) -> Any:
        return dout * 1, dout.mean(axis=0)


class SubLayer:
    def forward(self, x: Any, y: Any) -> Any:
        return x - y

    def backward(self, dout: Any) -> Any:
        return dout * 1, dout * 1


class DivLayer:
    def forward(self, x: Any, y: Any) -> Any:
        self.x, self.y = x, y
        return x / y

    def backward(self, dout: Any) -> Any:
        return dout / self.y, dout * self.x / self.y**2


class Power:
    def __init__(self, n: int = 3) -> None:
        self.n = n

    def forward(self, x: Any) -> Any:
        self.x = x
        return x**self.n

    def backward(self, dout: Any) -> Any:
        return dout * self.n * self.x**self.n


class Log:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.log(x)

    def backward(self, dout: Any) -> Any:
        return dout / (self.x + 1)


class ExpA:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.exp(x)

    def backward(self, dout: Any) -> Any:
        return dout * self.x


class ExpB:
    def forward(self, x: Any) -> Any:
        self.out = np.exp(x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        self.out *= dout
        return self.out


class Abs:
    def forward(self, x: Any) -> Any:
        self.x = x
        return np.abs(x)

    def backward(self, dout: Any) -> Any:
        return np.where(self.x < 0, dout, -dout)


class Clip:
    def __init__(self, low: float = -1, high: float = 1) -> None:
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        return np.clip(x, self.low, self.high)

    def backward(self, dout: Any) -> Any:
        return dout.copy()


class Sqrt:
    def forward(self, x: Any) -> Any:
        self.out = np.sqrt(x)
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        return dout / self.out


class Square:
    def forward(self, x: Any) -> Any:
        self.x = x
        return x**2

    def backward(self, dout: Any) -> Any:
        return dout * self.x


# --- words, time and attention ---


class EmbeddingA:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, ids: Any) -> Any:
        self.ids = ids
        return self.W[ids]

    def backward(self, dout: Any) -> None:
        self.dW = np.zeros_like(self.W)
        self.dW[self.ids] = dout


class EmbeddingB:
    def __init__(self, W: Any) -> None:
        self.W = W

    def forward(self, ids: Any) -> Any:
        self.ids = ids
        return self.W[ids]

    def backward(self, dout: Any) -> None:
        self.dW = np.zeros_like(self.W)
        self.dW[self.ids] += dout


class RnnStep:
    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        self.params = {"Wx": Wx, "Wh": Wh, "b": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any, h: Any) -> Any:
        self.x, self.h = x, h
        self.out = np.tanh(x @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
        return self.out.copy()

    def backward(self, dout: Any) -> Any:
        da = dout * (1 - self.out**2)
        self.grads = {"Wx": self.x.T @ da, "Wh": self.h.T @ da, "b": da.sum(axis=0)}
        return da @ self.params["Wx"].T, np.zeros_like(self.h)


class Rnn:
    def __init__(self, Wx: Any, Wh: Any, b: Any) -> None:
        self.params = {"Wx": Wx, "Wh": Wh, "b": b}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        h = np.zeros((len(x), len(self.params["b"])), x.dtype)
        self.h = [h]
        for step in range(x.shape[1]):
            h = np.tanh(x[:, step] @ self.params["Wx"] + h @ self.params["Wh"] + self.params["b"])
            self.h.append(h)
        return np.stack(self.h[1:], axis=1)

    def backward(self, dout: Any) -> Any:
        self.grads = {name: np.zeros_like(array) for name, array in self.params.items()}
        dx = np.zeros_like(self.x)
        for step in reversed(range(self.x.shape[1])):
            da = dout[:, step] * (1 - self.h[step + 1] ** 2)
            self.grads["Wx"] += self.x[:, step].T @ da
            self.grads["Wh"] += self.h[step].T @ da
            self.grads["b"] += da.sum(axis=0)
            dx[:, step] = da @ self.params["Wx"].T
        return dx


class AttentionA:
    def forward(self, q: Any, k: Any, v: Any) -> Any:
        self.q, self.k, self.v = q, k, v
        scores = q @ k.T / math.sqrt(q.shape[1])
        a = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.a = a / a.sum(axis=1, keepdims=True)
        return self.a @ v

    def backward(self, dout: Any) -> Any:
        da = dout @ self.v.T
        ds = self.a * (da - (da * self.a).sum(axis=1, keepdims=True))
        return ds @ self.k, ds.T @ self.q, self.a.T @ dout


class AttentionB:
    def forward(self, q: Any, k: Any, v: Any) -> Any:
        self.q, self.k, self.v = q, k, v
        self.d = math.sqrt(q.shape[1])
        scores = q @ k.T / self.d
        a = np.exp(scores - scores.max(axis=1, keepdims=True))
        self.a = a / a.sum(axis=1, keepdims=True)
        return self.a @ v

    def backward(self, dout: Any) -> Any:
        da = dout @ self.v.T
        ds = self.a * (da - (da * self.a).sum(axis=1, keepdims=True)) / self.d
        return ds @ self.k, ds @ self.q, self.a.T @ dout


# --- the stories ---


def wrong(
    name: str,
    make: Any,
    arguments: Arguments,
    parameter: str | None,
    cause: str | None,
    story: str,
    *,
    expect: Expect = "fails",
    also: tuple[str, ...] = (),
) -> Case:
    return Case(name, "layer", make, arguments, story, expect, parameter=parameter, cause=cause, also=also)


def moved(layer: Any, step: float) -> Any:
    """Give the layer after its weights have changed, as training changes them."""
    layer.W += step
    return layer


def scales(size: int) -> tuple[Any, Any]:
    """Give gamma and beta for that many features."""
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, size), rng.standard_normal(size)


def recurrent(inputs: int, hidden: int) -> tuple[Any, Any, Any]:
    """Give Wx, Wh and b."""
    Wx, b = weights(inputs, hidden, seed=1, scale=0.5)
    Wh, _ = weights(hidden, hidden, seed=2, scale=0.5)
    return Wx, Wh, b


def rng() -> np.random.Generator:
    return np.random.default_rng(7)


ROWS = normal((5, 4))

CASES: tuple[Case, ...] = (
    wrong(
        "affine_dw_transposed",
        lambda: AffineA(*weights(4, 4)),
        ROWS,
        "W",
        "transposed",
        "The factors of dW stand in the wrong order; W is square, so the shape fits all the same.",
    ),
    wrong(
        "affine_dx_without_transpose",
        lambda: AffineB(*weights(4, 4)),
        ROWS,
        "x",
        None,
        "dx is dout @ W instead of dout @ W.T; W is square, so the shape fits all the same.",
    ),
    wrong(
        "affine_one_element_halved",
        lambda: AffineC(*weights(4, 3)),
        ROWS,
        "W",
        None,
        "One element of dW is half of what it should be, all others are right.",
    ),
    wrong(
        "affine_db_mean",
        lambda: AffineD(*weights(4, 3)),
        ROWS,
        "b",
        "mean for sum",
        "db is the mean of dout over the batch instead of the sum.",
    ),
    wrong(
        "affine_db_first_row",
        lambda: AffineE(*weights(4, 3)),
        ROWS,
        "b",
        None,
        "db is the first row of dout instead of the sum of all: right for a batch of one.",
    ),
    wrong(
        "affine_db_not_summed",
        lambda: AffineF(*weights(4, 3)),
        ROWS,
        "b",
        "no sum over the batch",
        "db is dout itself, one row per example, not summed over the batch.",
    ),
    wrong(
        "affine_db_wrong_axis",
        lambda: AffineG(*weights(4, 5)),
        ROWS,
        "b",
        None,
        "db is summed over the outputs instead of the batch; there are as many of the one as of the other.",
    ),
    wrong(
        "affine_db_from_x",
        lambda: AffineH(*weights(4, 4)),
        ROWS,
        "b",
        "dout ignored",
        "db is the sum of the input instead of that of dout; inputs and outputs are equally many.",
    ),
    wrong(
        "affine_divides_by_batch",
        lambda: AffineI(*weights(4, 3)),
        ROWS,
        "W",
        "factor 1/N",
        "The layer divides dW and db by the batch size, which is the loss's business and done there already.",
        also=("b",),
    ),
    wrong(
        "affine_accumulates",
        lambda: AffineJ(*weights(4, 3)),
        ROWS,
        None,
        "accumulates",
        "backward adds to dW and db and nobody sets them back: right the first time only.",
    ),
    wrong(
        "affine_momentum",
        lambda: LinearA(*weights(4, 3)),
        ROWS,
        None,
        "accumulates",
        "The optimiser's momentum is kept in dW and db: they hold part of the gradients before.",
    ),
    wrong(
        "affine_first_batch_kept",
        lambda: AffineK(*weights(4, 3)),
        ROWS,
        None,
        "stale batch",
        "forward remembers its input only the first time, so later gradients are those of the first batch.",
    ),
    wrong(
        "affine_dx_of_updated_w",
        lambda: AffineL(*weights(4, 3)),
        ROWS,
        "x",
        "writes into a parameter",
        "backward takes the step of the training first, and then computes dx with the new W.",
    ),
    wrong(
        "affine_updates_itself",
        lambda: AffineM(*weights(4, 3)),
        ROWS,
        None,
        "writes into a parameter",
        "backward takes the step of the training itself: its gradients are right, but W and b are no longer the same.",
    ),
    wrong(
        "affine_dx_flattened",
        lambda: AffineN(*weights(4, 3)),
        normal((5, 2, 2)),
        "x",
        "wrong shape",
        "Images are flattened on the way forward, and dx is not brought back to their shape.",
    ),
    wrong(
        "affine_db_keeps_axis",
        lambda: AffineO(*weights(4, 3)),
        ROWS,
        "b",
        "wrong shape",
        "db is summed with keepdims=True and has shape (1, M) where b has (M,).",
    ),
    wrong(
        "affine_dx_float32",
        lambda: AffineP(*weights(4, 3)),
        ROWS,
        "x",
        "wrong dtype",
        "dx is put into an array of float32 though the layer computes in float64.",
    ),
    wrong(
        "affine_weight_decay_inside",
        lambda: AffineQ(*weights(4, 3)),
        ROWS,
        "W",
        "proportional to the parameter",
        "dW contains the gradient of a weight decay that the output knows nothing of.",
    ),
    wrong(
        "affine_db_forgotten",
        lambda: AffineR(*weights(4, 3)),
        ROWS,
        "b",
        "zero",
        "db is set up as zeros and never computed, so the bias is never trained.",
    ),
    wrong(
        "affine_last_example_forgotten",
        lambda: AffineS(*weights(4, 3)),
        ROWS,
        "x",
        "zero rows",
        "The loop over the examples stops one too early, and the last row of dx stays zero.",
    ),
    wrong(
        "affine_first_output_forgotten",
        lambda: AffineT(*weights(4, 3)),
        ROWS,
        "W",
        "zero columns",
        "The loop over the outputs begins at 1, and the first column of dW stays zero.",
    ),
    wrong(
        "affine_dx_in_one_buffer",
        lambda: AffineU(*weights(4, 3)),
        ROWS,
        None,
        "overwrites its last result",
        "dx is always the same array, so the next backward overwrites what the last one returned.",
    ),
    wrong(
        "affine_dx_clipped",
        lambda: AffineV(*weights(4, 3)),
        normal((5, 4)),
        "x",
        "not linear in dout",
        "dx is clipped to -1..1 against exploding gradients, inside the layer.",
    ),
    wrong(
        "affine_dx_through_float16",
        lambda: AffineW(*weights(4, 3)),
        ROWS,
        "x",
        None,
        "The product for dx is computed in half precision, which keeps three digits.",
    ),
    wrong(
        "affine_db_is_dout",
        lambda: AffineX(*weights(4, 3)),
        normal((4,)),
        None,
        "aliases dout",
        "For one example db is dout, the very array: whoever scales db scales dout with it.",
    ),
    wrong(
        "affine_transposed_at_construction",
        lambda: moved(AffineY(*weights(4, 3)), 0.3),
        ROWS,
        "x",
        None,
        "W.T is copied when the layer is made, so after training steps dx still uses the weights of the beginning.",
    ),
    wrong(
        "affine_subclassed_last_row",
        lambda: AffineZ(*weights(4, 3)),
        ROWS,
        "b",
        None,
        "The package's Affine with backward replaced: db is the last row of dout instead of the sum of all.",
    ),
    wrong(
        "affine_tanh_in_place",
        lambda: AffineTanh(*weights(4, 4)),
        ROWS,
        "W",
        "writes into its input",
        "tanh for the shortcut is computed in place, so dW is computed with tanh(x) where x is meant.",
    ),
    wrong(
        "relu_affine_in_place",
        lambda: ReluAffine(*weights(4, 3)),
        ROWS,
        "x",
        "writes into its input",
        "ReLU is computed in place, so backward finds no negative inputs any more and lets everything pass.",
    ),
    wrong(
        "dot_dw_is_x",
        lambda: Dot(weights(4)[0]),
        normal((4,)),
        None,
        "writes into its input",
        "dW is the input under another name, and dW *= dout multiplies the input.",
    ),
    wrong(
        "relu_writes_into_dout",
        ReluA,
        clear((5, 4)),
        None,
        "writes into dout",
        "backward sets entries of the caller's dout to zero and returns it.",
    ),
    wrong(
        "relu_slope_1_at_0",
        ReluB,
        fixed([[1.0, 0.0, -2.0], [0.0, 3.0, -0.5]]),
        "x",
        None,
        "The slope at exactly 0 is 1, where the other layers of the field have 0; at a corner both are slopes.",
        expect="kink",
    ),
    wrong(
        "relu_of_dout",
        ReluC,
        clear((5, 4)),
        "x",
        "not linear in dout",
        "backward is the ReLU of dout instead of dout where the input was positive.",
    ),
    wrong(
        "relu_in_place",
        ReluD,
        clear((5, 4)),
        None,
        "writes into its input",
        "forward sets the negative entries of the caller's input to zero.",
    ),
    wrong(
        "relu_mask_inverted",
        ReluE,
        clear((5, 4)),
        "x",
        None,
        "The mask marks where nothing passes, and backward lets pass just there.",
    ),
    wrong(
        "relu_mask_by_shape",
        ReluF,
        clear((5, 4)),
        None,
        "stale batch",
        "The mask is remembered once for each shape, so a second batch of the same shape gets the first one's.",
    ),
    wrong(
        "relu_times_output_dead",
        ReluG,
        uniform(-2, -0.1, (5, 4)),
        "x",
        None,
        "backward multiplies by the output instead of the mask; where every input is negative both are zero.",
        expect="vacuous",
    ),
    wrong(
        "relu_times_output",
        ReluG,
        clear((5, 4)),
        "x",
        None,
        "backward multiplies by the output instead of the mask.",
    ),
    wrong(
        "relu_without_mask",
        ReluH,
        clear((5, 4)),
        "x",
        None,
        "backward lets everything pass.",
    ),
    wrong(
        "leaky_relu_slope_forgotten",
        LeakyReluA,
        clear((5, 4)),
        "x",
        None,
        "The slope for negative inputs is in forward but not in backward.",
    ),
    wrong(
        "prelu_slope_counts_all",
        lambda: PreluA(np.array([0.1, 0.2, 0.3, 0.4])),
        clear((5, 4)),
        "W",
        None,
        "The gradient of the slope is summed over all inputs, not only over the negative ones it acts on.",
    ),
    wrong(
        "elu_alpha_forgotten",
        EluA,
        clear((5, 4)),
        "x",
        None,
        "The slope on the negative side is out + alpha; written is out + 1, right for alpha = 1 only.",
    ),
    wrong(
        "sigmoid_plus",
        SigmoidA,
        ROWS,
        "x",
        None,
        "out * (1 + out) instead of out * (1 - out).",
    ),
    wrong(
        "sigmoid_of_input",
        SigmoidB,
        ROWS,
        "x",
        None,
        "The slope out * (1 - out) is computed with the input in place of the output.",
    ),
    wrong(
        "sigmoid_ignores_dout",
        SigmoidC,
        ROWS,
        "x",
        "dout ignored",
        "backward gives the layer's own slope and forgets to multiply by what arrives.",
    ),
    wrong(
        "sigmoid_changes_its_output",
        SigmoidD,
        ROWS,
        None,
        "second backward differs",
        "backward turns the remembered output into the slope in place: a second backward takes the slope of the slope.",
    ),
    wrong(
        "sigmoid_first_output",
        SigmoidE,
        ROWS,
        None,
        "stale batch",
        "Outputs are kept in a list, and backward takes the first of them instead of the last.",
    ),
    wrong(
        "tanh_not_squared",
        TanhA,
        ROWS,
        "x",
        None,
        "1 - out instead of 1 - out**2.",
    ),
    wrong(
        "tanh_of_input",
        TanhB,
        ROWS,
        "x",
        None,
        "1 - x**2, with the input in place of the output.",
    ),
    wrong(
        "tanh_scales_dout",
        TanhC,
        ROWS,
        None,
        "writes into dout",
        "dout *= slope works in place, on the array of the caller.",
    ),
    wrong(
        "tanh_twice",
        TanhD,
        ROWS,
        None,
        "second backward differs",
        "backward puts tanh(x) where x was remembered, so a second backward takes tanh of tanh.",
    ),
    wrong(
        "swish_without_product_rule",
        Swish,
        ROWS,
        "x",
        None,
        "The gate is treated as a constant: the second term of the product rule is missing.",
    ),
    wrong(
        "gelu_two_formulas",
        Gelu,
        uniform(-2.5, 2.5, (5, 4)),
        "x",
        None,
        "forward uses the approximation by tanh, backward the exact slope by erf: nearly the same, but not the same.",
    ),
    wrong(
        "softplus_of_output",
        Softplus,
        ROWS,
        "x",
        None,
        "The slope is the sigmoid of the input; written is the sigmoid of the output.",
    ),
    wrong(
        "softmax_diagonal_only",
        SoftmaxA,
        ROWS,
        "x",
        None,
        "Only the diagonal y * (1 - y) of the softmax's matrix of slopes is used.",
    ),
    wrong(
        "softmax_zero",
        SoftmaxB,
        ROWS,
        "x",
        "zero",
        "backward returns zeros; tried with a dout of ones that looks right, for the sum of a softmax is constant.",
    ),
    wrong(
        "softmax_sum_over_everything",
        SoftmaxC,
        ROWS,
        "x",
        None,
        "The sum in backward has no axis and goes over the whole batch.",
    ),
    wrong(
        "softmax_sum_over_batch",
        SoftmaxD,
        ROWS,
        "x",
        None,
        "The sum in backward goes over the batch instead of the classes.",
    ),
    wrong(
        "softmax_of_whole_batch",
        SoftmaxE,
        ROWS,
        "x",
        None,
        "forward makes the whole batch sum to 1, backward believes that each row does.",
    ),
    wrong(
        "softmax_one_for_dout",
        SoftmaxF,
        ROWS,
        "x",
        "not linear in dout",
        "A 1 stands where dout should: right for a dout of ones only.",
    ),
    wrong(
        "softmax_loss_without_mean",
        SoftmaxWithLossA,
        labelled(5, 3, classes=3),
        "x",
        "factor N",
        "The loss is a mean over the batch, and backward does not divide by the batch size.",
    ),
    wrong(
        "softmax_loss_label_off_by_one",
        SoftmaxWithLossB,
        labelled(5, 3, classes=3),
        "x",
        None,
        "backward counts the classes from 1, so the 1 is subtracted at the class before; -1 is the last class.",
    ),
    wrong(
        "softmax_loss_classes_that_occur",
        SoftmaxWithLossC,
        lambda rng: (rng.standard_normal((5, 4)), np.array([3, 0, 2, 3, 2])),
        "x",
        None,
        "backward makes its one-hot labels from the classes that occur in the batch; class 1 does not.",
    ),
    wrong(
        "softmax_loss_without_copy",
        SoftmaxWithLossD,
        labelled(5, 3, classes=3),
        None,
        "second backward differs",
        "backward subtracts the 1 from the remembered probabilities, so a second backward subtracts it twice.",
    ),
    wrong(
        "softmax_loss_ignores_dout",
        SoftmaxWithLossE,
        labelled(5, 3, classes=3),
        "x",
        "dout ignored",
        "backward takes it for granted that dout is 1: the loss times a constant gets the same gradient.",
    ),
    wrong(
        "softmax_loss_small_number_in_log",
        SoftmaxWithLossF,
        fixed([[15.0, 0.0, 1.0], [0.5, 0.2, -0.3], [-1.0, 14.0, 0.0], [0.1, 0.4, 0.3]], [1, 0, 2, 1]),
        "x",
        None,
        "The logarithm is of y + 1e-7, the gradient of y: they part where the network is certain and wrong.",
    ),
    wrong(
        "softmax_loss_mean_over_classes",
        SoftmaxWithLossG,
        labelled(5, 3, classes=3),
        "x",
        "factor 1/C",
        "backward divides by the number of all entries instead of the number of examples.",
    ),
    wrong(
        "dropout_draws_again",
        lambda: DropoutA(rng()),
        ROWS,
        "x",
        "second backward differs",
        "backward draws a mask of its own instead of the one that forward used.",
    ),
    wrong(
        "dropout_scale_forgotten",
        lambda: DropoutB(rng()),
        ROWS,
        "x",
        "factor 1/2",
        "What is kept is doubled on the way forward, but not on the way back.",
    ),
    wrong(
        "dropout_masks_at_test_time",
        lambda: DropoutC(rng(), train=False),
        ROWS,
        "x",
        None,
        "Outside training forward only scales, and backward uses a mask all the same.",
    ),
    wrong(
        "dropout_generator_of_its_own",
        DropoutD,
        ROWS,
        None,
        "not deterministic",
        "forward makes a new generator without a seed each time, so no run can be repeated.",
    ),
    wrong(
        "batch_norm_without_mean",
        lambda: BatchNormA(*scales(4)),
        ROWS,
        "x",
        None,
        "The mean is treated as a constant on the way back.",
    ),
    wrong(
        "batch_norm_without_variance",
        lambda: BatchNormB(*scales(4)),
        ROWS,
        "x",
        None,
        "The variance is treated as a constant on the way back.",
    ),
    wrong(
        "batch_norm_n_minus_1",
        lambda: BatchNormC(*scales(4)),
        ROWS,
        "x",
        None,
        "The variance is divided by N - 1 in forward, and backward is the formula for N.",
    ),
    wrong(
        "batch_norm_gamma_of_x",
        lambda: BatchNormD(*scales(4)),
        ROWS,
        "gamma",
        None,
        "The gradient of gamma is summed with the input instead of the normalised input.",
    ),
    wrong(
        "batch_norm_divides_by_variance",
        lambda: BatchNormE(*scales(4)),
        ROWS,
        "x",
        None,
        "dx is divided by the variance instead of its square root.",
    ),
    wrong(
        "batch_norm_moves_while_normalising",
        lambda: BatchNormF(*scales(4)),
        ROWS,
        "x",
        "not deterministic",
        "In training it normalises by the running mean, which every forward changes: the same input, another output.",
    ),
    wrong(
        "batch_norm_float32_inside",
        lambda: BatchNormG(*scales(4)),
        normal((8, 4), offset=1e5),
        "gamma",
        None,
        "The input is remembered in float32: around 100 000 that keeps two digits behind the point.",
        also=("x",),
    ),
    wrong(
        "layer_norm_without_variance",
        LayerNormA,
        ROWS,
        "x",
        None,
        "The standard deviation is treated as a constant on the way back.",
    ),
    wrong(
        "layer_norm_means_over_batch",
        LayerNormB,
        ROWS,
        "x",
        None,
        "backward takes the means of batch normalisation, over the batch instead of the features.",
    ),
    wrong(
        "normalize_without_norm",
        Normalize,
        ROWS,
        "x",
        None,
        "The length of the row is treated as a constant on the way back.",
    ),
    wrong(
        "conv1d_kernel_not_flipped",
        lambda: Conv1dA(np.array([0.5, -1.0, 2.0])),
        normal((2, 7)),
        "x",
        None,
        "dx slides the kernel over dout without turning it round.",
    ),
    wrong(
        "conv1d_overlap_overwritten",
        lambda: Conv1dB(np.array([0.5, -1.0, 2.0])),
        normal((2, 7)),
        "x",
        None,
        "Windows overlap, and dx keeps what the last of them assigned instead of their sum.",
    ),
    wrong(
        "max_pool_all_ties",
        MaxPoolA,
        lambda rng: (np.repeat(rng.standard_normal((3, 4)), 2, axis=1),),
        "x",
        None,
        "Of equal largest entries each gets the whole gradient: more goes back than came.",
        expect="kink",
    ),
    wrong(
        "max_pool_offset_forgotten",
        MaxPoolB,
        spread((3, 8)),
        "x",
        None,
        "The place of the largest entry is counted within its window, and used as the place in the whole row.",
    ),
    wrong(
        "max_pool_nearly_equal",
        MaxPoolC,
        lambda rng: (np.repeat(rng.standard_normal((3, 4)), 2, axis=1) + np.tile([0, 1e-3], (3, 4)),),
        "x",
        None,
        "Whatever is close to the largest entry gets the gradient too.",
    ),
    wrong(
        "maximum_one_mask",
        Maximum,
        normal((5, 3), (5, 3)),
        "y",
        None,
        "Both inputs get the gradient where the first one is larger.",
    ),
    wrong(
        "transpose_reshaped",
        Transpose,
        normal((4, 3)),
        "x",
        None,
        "dout is brought to the right shape by reshape, which leaves the numbers in the wrong order.",
    ),
    wrong(
        "pad_cut_at_one_end",
        Pad,
        normal((3, 5)),
        "x",
        None,
        "One column was added at either end, and two are cut off at the end.",
    ),
    wrong(
        "cumulative_sum_same_direction",
        CumulativeSum,
        normal((3, 5)),
        "x",
        None,
        "Running sums go on to the right; the gradient must be summed from the right, and is summed from the left.",
    ),
    wrong(
        "sort_order_not_inverted",
        Sort,
        fixed([0.7, -1.2, 2.0, 0.1, -0.4]),
        "x",
        None,
        "The gradient is sorted as the input was, instead of back into the old order.",
    ),
    wrong(
        "split_halves_swapped",
        Split,
        normal((3, 6)),
        "x",
        None,
        "The gradients of the two halves are put together in the wrong order.",
    ),
    wrong(
        "fork_takes_mean",
        Fork,
        normal((3, 4)),
        "x",
        "factor 1/2",
        "What was used twice gets the mean of both gradients instead of their sum.",
    ),
    wrong(
        "concatenate_off_by_one",
        Concatenate,
        normal((3, 2), (3, 2)),
        "y",
        "wrong shape",
        "The second part is cut out one column too far right.",
    ),
    wrong(
        "mean_without_division",
        MeanA,
        normal((5, 3)),
        "x",
        "factor C",
        "The mean over the columns sends back dout to each of them without dividing.",
    ),
    wrong(
        "sum_with_division",
        SumA,
        normal((5, 3)),
        "x",
        "factor 1/C",
        "The sum over the columns sends back dout divided by their number, as if it were a mean.",
    ),
    wrong(
        "identity_returns_dout",
        Identity,
        ROWS,
        None,
        "aliases dout",
        "dx is the caller's dout, the very array: whoever changes the one changes the other.",
    ),
    wrong(
        "dropout_off_returns_input",
        DropoutE,
        ROWS,
        None,
        "aliases its input",
        "Outside training the output is the input, the very array.",
    ),
    wrong(
        "mul_layer_swapped",
        MulLayerA,
        normal((3, 4), (3, 4)),
        "x",
        None,
        "dout is multiplied by the input itself instead of the other one.",
        also=("y",),
    ),
    wrong(
        "mul_layer_not_summed_back",
        MulLayerB,
        normal((5, 3), (3,)),
        "y",
        "no sum over the batch",
        "y was stretched over the rows, and dy is not summed over them.",
    ),
    wrong(
        "add_layer_returns_dout",
        AddLayerA,
        normal((3, 4), (3, 4)),
        None,
        "aliases dout",
        "Both gradients are dout, the very array, so changing one changes the other and dout.",
    ),
    wrong(
        "add_layer_mean_over_rows",
        AddLayerB,
        normal((5, 3), (3,)),
        "y",
        "mean for sum",
        "y was stretched over the rows, and dy is the mean over them instead of the sum.",
    ),
    wrong(
        "sub_layer_sign",
        SubLayer,
        normal((3, 4), (3, 4)),
        "y",
        "factor -1",
        "What is subtracted gets dout instead of -dout.",
    ),
    wrong(
        "div_layer_sign",
        DivLayer,
        clear((3, 4), (3, 4), low=0.5),
        "y",
        "factor -1",
        "The gradient of the denominator is -x / y**2; the sign is missing.",
    ),
    wrong(
        "power_exponent",
        Power,
        clear((3, 4), low=0.3),
        "x",
        None,
        "n * x**n instead of n * x**(n - 1).",
    ),
    wrong(
        "log_of_x_plus_1",
        Log,
        uniform(0.3, 3, (3, 4)),
        "x",
        None,
        "The slope is 1 / (x + 1), that of log1p, where forward is log.",
    ),
    wrong(
        "exp_gives_x",
        ExpA,
        ROWS,
        "x",
        None,
        "backward multiplies by the input instead of the output.",
    ),
    wrong(
        "exp_returns_its_output",
        ExpB,
        ROWS,
        None,
        "second backward differs",
        "dx is computed in the remembered output and returned: a second backward multiplies by dout once more.",
    ),
    wrong(
        "abs_sign",
        Abs,
        clear((3, 4)),
        "x",
        "factor -1",
        "The two branches of the slope are swapped.",
    ),
    wrong(
        "clip_passes_outside",
        Clip,
        fixed([[-2.0, -0.5, 0.3], [1.7, 0.9, -1.4]]),
        "x",
        None,
        "The gradient passes also where the input was cut off.",
    ),
    wrong(
        "sqrt_half_forgotten",
        Sqrt,
        uniform(0.3, 3, (3, 4)),
        "x",
        "factor 2",
        "1 / out instead of 1 / (2 * out).",
    ),
    wrong(
        "square_two_forgotten",
        Square,
        ROWS,
        "x",
        "factor 1/2",
        "x instead of 2 * x.",
    ),
    wrong(
        "embedding_assigns",
        lambda: EmbeddingA(weights(6, 3)[0]),
        fixed([1, 4, 1, 0, 1]),
        "W",
        None,
        "A word that occurs several times gets the gradient of its last place instead of the sum.",
    ),
    wrong(
        "embedding_adds_once",
        lambda: EmbeddingB(weights(6, 3)[0]),
        fixed([1, 4, 1, 0, 1]),
        "W",
        None,
        "dW[ids] += dout adds once for each word, not once for each place: np.add.at would.",
    ),
    wrong(
        "rnn_step_drops_h",
        lambda: RnnStep(*recurrent(4, 3)),
        normal((5, 4), (5, 3)),
        "y",
        "zero",
        "Nothing is sent back to the state before, as if each step stood alone.",
    ),
    wrong(
        "rnn_truncated",
        lambda: Rnn(*recurrent(3, 4)),
        normal((2, 4, 3)),
        "Wx",
        None,
        "The way back through time takes each step for itself: what a state does to later steps is left out.",
        also=("Wh", "b", "x"),
    ),
    wrong(
        "attention_scale_forgotten",
        AttentionA,
        normal((4, 3), (5, 3), (5, 2)),
        "x0",
        None,
        "The scores are divided by sqrt(d) in forward, and their gradient is not.",
        also=("x1",),
    ),
    wrong(
        "attention_keys_not_transposed",
        AttentionB,
        normal((4, 3), (4, 3), (4, 2)),
        "x1",
        None,
        "The gradient of the keys uses the matrix of the scores untransposed; it is square, so the shape fits.",
    ),
)
