"""Convolutions, pools, norms, steps through time, attention: options in dicts, running statistics, strange shapes."""

from __future__ import annotations

from typing import Any

import numpy as np

from mutants.case import normal, spread, weights
from wild.functions import rnn_step_backward, rnn_step_forward, several
from wild.sample import DX, Calls, Sample, X

# --- functions with options in a dict ---


def conv_forward_naive(x: Any, w: Any, b: Any, conv_param: Any) -> Any:
    stride, pad = conv_param["stride"], conv_param["pad"]
    (N, _, H, W), (F, _, HH, WW) = x.shape, w.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    out = np.zeros((N, F, 1 + (H + 2 * pad - HH) // stride, 1 + (W + 2 * pad - WW) // stride))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            window = padded[:, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
            out[:, :, i, j] = np.tensordot(window, w, ([1, 2, 3], [1, 2, 3])) + b
    return out, (x, w, b, conv_param)


def conv_backward_naive(dout: Any, cache: Any) -> Any:
    x, w, _, conv_param = cache
    stride, pad = conv_param["stride"], conv_param["pad"]
    HH, WW = w.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(dout.shape[2]):
        for j in range(dout.shape[3]):
            at = np.s_[:, :, i * stride : i * stride + HH, j * stride : j * stride + WW]
            dw += np.tensordot(dout[:, :, i, j], padded[at], ([0], [0]))
            dpadded[at] += np.tensordot(dout[:, :, i, j], w, ([1], [0]))
    H, W = x.shape[2:]
    return dpadded[:, :, pad : pad + H, pad : pad + W], dw, dout.sum(axis=(0, 2, 3))


def max_pool_forward(x: Any, pool_param: Any) -> Any:
    size = pool_param["pool_size"]
    N, C, H, W = x.shape
    windows = x.reshape(N, C, H // size, size, W // size, size)
    out = windows.max(axis=(3, 5))
    return out, (windows == out[:, :, :, None, :, None], x.shape)


def max_pool_backward(dout: Any, cache: Any) -> Any:
    mask, shape = cache
    return (mask * dout[:, :, :, None, :, None]).reshape(shape)


def batchnorm_forward(x: Any, gamma: Any, beta: Any, bn_param: Any) -> Any:
    """In training the running statistics, kept in the options, move on; nothing else depends on them."""
    eps, momentum = bn_param.get("eps", 1e-5), bn_param.get("momentum", 0.9)
    running_mean = bn_param.get("running_mean", np.zeros(x.shape[1]))
    running_var = bn_param.get("running_var", np.zeros(x.shape[1]))
    if bn_param["mode"] == "test":
        return gamma * (x - running_mean) / np.sqrt(running_var + eps) + beta, None
    mean, var = x.mean(axis=0), x.var(axis=0)
    x_hat = (x - mean) / np.sqrt(var + eps)
    bn_param["running_mean"] = momentum * running_mean + (1 - momentum) * mean
    bn_param["running_var"] = momentum * running_var + (1 - momentum) * var
    return gamma * x_hat + beta, (x_hat, gamma, np.sqrt(var + eps))


def batchnorm_backward(dout: Any, cache: Any) -> Any:
    x_hat, gamma, std = cache
    dgamma, dbeta = (dout * x_hat).sum(axis=0), dout.sum(axis=0)
    dx = gamma / std * (dout - dbeta / len(dout) - x_hat * dgamma / len(dout))
    return dx, dgamma, dbeta


def layernorm_forward(x: Any, gamma: Any, beta: Any, ln_param: Any) -> Any:
    std = np.sqrt(x.var(axis=1, keepdims=True) + ln_param.get("eps", 1e-5))
    x_hat = (x - x.mean(axis=1, keepdims=True)) / std
    return gamma * x_hat + beta, (x_hat, gamma, std)


def layernorm_backward(dout: Any, cache: Any) -> Any:
    x_hat, gamma, std = cache
    d = dout * gamma
    dx = (d - d.mean(axis=1, keepdims=True) - x_hat * (d * x_hat).mean(axis=1, keepdims=True)) / std
    return dx, (dout * x_hat).sum(axis=0), dout.sum(axis=0)


def rnn_forward(x: Any, h0: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    """All steps of (N, T, D), one after the other."""
    h, prev, caches = np.zeros((*x.shape[:2], h0.shape[1])), h0, []
    for t in range(x.shape[1]):
        prev, cache = rnn_step_forward(x[:, t], prev, Wx, Wh, b)
        h[:, t] = prev
        caches.append(cache)
    return h, caches


def rnn_backward(dh: Any, caches: Any) -> Any:
    dx: list[Any] = []
    grads, dprev = None, 0
    for t in reversed(range(dh.shape[1])):
        dxt, dprev, *now = rnn_step_backward(dh[:, t] + dprev, caches[t])
        dx.insert(0, dxt)
        grads = now if grads is None else [a + g for a, g in zip(grads, now, strict=True)]
    assert grads is not None
    return np.stack(dx, axis=1), dprev, *grads


# --- layers ---


class Convolution:
    """As matrices; W is (F, C, h, w), and dW has to be given its shape back."""

    def __init__(self, F: int, C: int, h: int, w: int) -> None:
        self.W, _ = weights(F, C, h, w)
        self.b, self.dW, self.db = np.linspace(-1, 1, F), None, None

    def _windows(self, x: Any) -> Any:
        return np.lib.stride_tricks.sliding_window_view(x, self.W.shape[2:], axis=(2, 3))

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.einsum("nchwij,fcij->nfhw", self._windows(x), self.W) + self.b[:, None, None]

    def backward(self, dout: Any) -> Any:
        self.dW = np.einsum("nchwij,nfhw->fcij", self._windows(self.x), dout)
        self.db = dout.sum(axis=(0, 2, 3))
        dx = np.zeros_like(self.x)
        h, w = dout.shape[2:]
        for i in range(self.W.shape[2]):
            for j in range(self.W.shape[3]):
                dx[:, :, i : i + h, j : j + w] += np.einsum("nfhw,fc->nchw", dout, self.W[:, :, i, j])
        return dx


class BatchNormalization:
    """Running statistics in attributes, made by the first forward."""

    def __init__(self, features: int, momentum: float = 0.9) -> None:
        self.gamma, self.beta, self.momentum = np.linspace(0.5, 1.5, features), np.zeros(features), momentum
        self.running_mean: Any = None
        self.running_var: Any = None

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        if self.running_mean is None:
            self.running_mean, self.running_var = np.zeros(x.shape[1]), np.ones(x.shape[1])
        if not train_flg:
            return self.gamma * (x - self.running_mean) / np.sqrt(self.running_var + 1e-7) + self.beta
        mean, var = x.mean(axis=0), x.var(axis=0)
        self.std = np.sqrt(var + 1e-7)
        self.x_hat = (x - mean) / self.std
        self.running_mean = self.momentum * self.running_mean + (1 - self.momentum) * mean
        self.running_var = self.momentum * self.running_var + (1 - self.momentum) * var
        return self.gamma * self.x_hat + self.beta

    def backward(self, dout: Any) -> Any:
        self.dgamma, self.dbeta = (dout * self.x_hat).sum(axis=0), dout.sum(axis=0)
        d = dout * self.gamma
        return (d - d.mean(axis=0) - self.x_hat * (d * self.x_hat).mean(axis=0)) / self.std


class RunningInPlace(BatchNormalization):
    """Running statistics in a dict, moved in place, with momentum the other way round."""

    def __init__(self, features: int) -> None:
        super().__init__(features)
        self.running = {"mean": np.zeros(features), "var": np.ones(features)}

    def forward(self, x: Any, train_flg: bool = True) -> Any:
        out = super().forward(x, train_flg)
        self.running["mean"] += 0.1 * (x.mean(axis=0) - self.running["mean"])
        self.running["var"] += 0.1 * (x.var(axis=0) - self.running["var"])
        return out


class TimeLSTM:
    """All steps in one layer, the weights in lists; whether its state goes on is off."""

    def __init__(self, Wx: Any, Wh: Any, b: Any, stateful: bool = False) -> None:
        self.params = [Wx, Wh, b]
        self.grads = [np.zeros_like(a) for a in self.params]
        self.h: Any = None
        self.c: Any = None
        self.stateful = stateful

    def forward(self, xs: Any) -> Any:
        Wx, Wh, b = self.params
        (N, T, _), H = xs.shape, Wh.shape[0]
        if not self.stateful or self.h is None:
            self.h, self.c = np.zeros((N, H), xs.dtype), np.zeros((N, H), xs.dtype)
        self.steps, hs = [], np.empty((N, T, H), xs.dtype)
        for t in range(T):
            a = xs[:, t] @ Wx + self.h @ Wh + b
            f, i, o = (1 / (1 + np.exp(-a[:, k * H : (k + 1) * H])) for k in (0, 2, 3))
            g = np.tanh(a[:, H : 2 * H])
            before = self.h, self.c
            self.c = f * self.c + g * i
            self.h = o * np.tanh(self.c)
            self.steps.append((xs[:, t], *before, f, g, i, o, self.c))
            hs[:, t] = self.h
        return hs

    def backward(self, dhs: Any) -> Any:
        Wx, Wh, _ = self.params
        total: list[Any] = [0, 0, 0]
        dxs: list[Any] = []
        dh, dc = 0, 0
        for t in reversed(range(dhs.shape[1])):
            x, h, c, f, g, i, o, c_next = self.steps[t]
            dh_now = dhs[:, t] + dh
            ds = dc + dh_now * o * (1 - np.tanh(c_next) ** 2)
            da = np.hstack(
                [
                    ds * c * f * (1 - f),
                    ds * i * (1 - g * g),
                    ds * g * i * (1 - i),
                    dh_now * np.tanh(c_next) * o * (1 - o),
                ]
            )
            total = [s + d for s, d in zip(total, (x.T @ da, h.T @ da, da.sum(axis=0)), strict=True)]
            dxs.insert(0, da @ Wx.T)
            dh, dc = da @ Wh.T, ds * f
        for grad, new in zip(self.grads, total, strict=True):
            grad[...] = new
        return np.stack(dxs, axis=1)


class SelfAttention:
    """Four square matrices, and an average over all steps at the end."""

    def __init__(self, size: int) -> None:
        self.Wq, self.Wk, self.Wv, self.Wo = (weights(size, size, seed=i, scale=0.6)[0] for i in range(4))

    def forward(self, x: Any) -> Any:
        self.x, self.q, self.k, self.v = x, x @ self.Wq, x @ self.Wk, x @ self.Wv
        s = self.q @ self.k.swapaxes(1, 2) / np.sqrt(x.shape[2])
        e = np.exp(s - s.max(axis=2, keepdims=True))
        self.p = e / e.sum(axis=2, keepdims=True)
        self.mixed = self.p @ self.v
        return (self.mixed @ self.Wo).mean(axis=1)

    def backward(self, dout: Any) -> Any:
        d = np.repeat(dout[:, None] / self.x.shape[1], self.x.shape[1], axis=1)
        self.dWo = np.einsum("nti,ntj->ij", self.mixed, d)
        dm = d @ self.Wo.T
        dv, dp = self.p.swapaxes(1, 2) @ dm, dm @ self.v.swapaxes(1, 2)
        ds = self.p * (dp - (dp * self.p).sum(axis=2, keepdims=True)) / np.sqrt(self.x.shape[2])
        dq, dk = ds @ self.k, ds.swapaxes(1, 2) @ self.q
        self.dWq, self.dWk, self.dWv = (np.einsum("nti,ntj->ij", self.x, g) for g in (dq, dk, dv))
        return dq @ self.Wq.T + dk @ self.Wk.T + dv @ self.Wv.T


class Flatten:
    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dout: Any) -> Any:
        return dout.reshape(self.shape)


def with_options(arguments: Any, **options: Any) -> Any:
    """Give these arguments, and a dict."""
    return lambda rng: (*arguments(rng), dict(options))


def d(*names: str) -> dict[str, str]:
    return {X: DX} | {name: f"d{name}" for name in names}


LAYER, POOL = Calls(), (Calls(0, 1, "douts, cache", ("returned.0",)), {X: DX})
J, D, T, R = "images", "options in a dict", "steps through time", "running statistics"
LSTM_WEIGHTS = (weights(3, 8, scale=0.5)[0], *weights(2, 8, seed=1, scale=0.5))
SAMPLES: tuple[Sample, ...] = (
    Sample("images_conv_forward", D, lambda: (conv_forward_naive, conv_backward_naive),
           with_options(normal((2, 2, 3, 2), (3, 2, 2, 2), (3,)), stride=1, pad=1), *several(3), "stride and pad."),
    Sample("images_conv_stride", D, lambda: (conv_forward_naive, conv_backward_naive),
           with_options(normal((2, 1, 5, 4), (2, 1, 3, 2), (2,)), stride=2, pad=0), *several(3), "A stride of 2."),
    Sample("images_max_pool", D, lambda: (max_pool_forward, max_pool_backward),
           with_options(spread((2, 1, 4, 4)), pool_size=2), *POOL, "The mask is the cache."),
    Sample("images_batchnorm", R, lambda: (batchnorm_forward, batchnorm_backward),
           with_options(normal((6, 3), (3,), (3,)), mode="train"), *several(3), "Options that forward writes into."),
    Sample("images_batchnorm_kept", R, lambda: (batchnorm_forward, batchnorm_backward),
           lambda rng: (*normal((6, 3), (3,), (3,))(rng),
                        {"mode": "train", "running_mean": np.ones(3), "running_var": np.ones(3)}),
           *several(3), "Running statistics come with the options."),
    Sample("images_layernorm", D, lambda: (layernorm_forward, layernorm_backward),
           with_options(normal((4, 5), (5,), (5,)), eps=1e-4), *several(3), "eps in a dict."),
    Sample("images_convolution", J, lambda: Convolution(3, 2, 3, 2), normal((2, 2, 4, 3)), LAYER, d("W", "b"),
           "Windows and sums."),
    Sample("images_flatten", J, Flatten, normal((2, 3, 4)), LAYER, d(), "Views both ways."),
    Sample("running_in_attributes", R, lambda: BatchNormalization(3), normal((6, 3)), LAYER, d("gamma", "beta"),
           "Statistics that are None at first."),
    Sample("running_in_place", R, lambda: RunningInPlace(3), normal((6, 3)), LAYER, d("gamma", "beta"),
           "Statistics that are moved in place."),
    Sample("steps_rnn", T, lambda: (rnn_forward, rnn_backward),
           normal((2, 3, 2), (2, 3), (2, 3), (3, 3), (3,), scale=0.7), *several(5), "A list of caches."),
    Sample("steps_lstm", T, lambda: TimeLSTM(*(a.copy() for a in LSTM_WEIGHTS)), normal((2, 3, 3)), LAYER,
           {X: DX} | {f"params.{i}": f"grads.{i}" for i in range(3)}, "Every step from 0, weights in lists."),
    Sample("steps_attention", T, lambda: SelfAttention(3), normal((2, 4, 3)), LAYER, d("Wq", "Wk", "Wv", "Wo"),
           "Four square matrices."),
)  # fmt: skip
