"""Pairs of functions, x_forward and x_backward, with a cache between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from mutants.case import clear, fixed, labelled, normal
from wild.sample import DX, Calls, Sample, X

# --- one output ---


def affine_forward(x: Any, w: Any, b: Any) -> Any:
    out = x.reshape(len(x), -1) @ w + b
    cache = (x, w, b)
    return out, cache


def affine_backward(dout: Any, cache: Any) -> Any:
    x, w, _ = cache
    dx = (dout @ w.T).reshape(x.shape)
    dw = x.reshape(len(x), -1).T @ dout
    db = dout.sum(axis=0)
    return dx, dw, db


def relu_forward(x: Any) -> Any:
    return np.maximum(0, x), x


def relu_backward(dout: Any, cache: Any) -> Any:
    return np.where(cache > 0, dout, 0)


def affine_relu_forward(x: Any, w: Any, b: Any) -> Any:
    a, fc_cache = affine_forward(x, w, b)
    out, relu_cache = relu_forward(a)
    return out, (fc_cache, relu_cache)


def affine_relu_backward(dout: Any, cache: Any) -> Any:
    fc_cache, relu_cache = cache
    return affine_backward(relu_backward(dout, relu_cache), fc_cache)


def linear_forward(A_prev: Any, W: Any, b: Any) -> Any:
    """Examples are columns."""
    return W @ A_prev + b, {"A_prev": A_prev, "W": W}


def linear_backward(dZ: Any, cache: Any) -> Any:
    """Gradients by name."""
    return {
        "dA_prev": cache["W"].T @ dZ,
        "dW": dZ @ cache["A_prev"].T,
        "db": dZ.sum(axis=1, keepdims=True),
    }


def scale_forward(x: Any, gamma: Any) -> Any:
    return x * gamma, (x, gamma)


def scale_backward(dout: Any, cache: Any) -> Any:
    x, gamma = cache
    return {"x": dout * gamma, "gamma": (dout * x).sum(axis=0)}


class Kept(NamedTuple):
    x: Any
    w: Any


def square_forward(x: Any, w: Any) -> Any:
    return np.tanh(x @ w), Kept(x, w)


def square_backward(dout: Any, cache: Any) -> Any:
    da = dout * (1 - np.tanh(cache.x @ cache.w) ** 2)
    return da @ cache.w.T, cache.x.T @ da


def word_embedding_forward(x: Any, W: Any) -> Any:
    return W[x], (x, W)


def word_embedding_backward(dout: Any, cache: Any) -> Any:
    x, W = cache
    dW = np.zeros_like(W)
    np.add.at(dW, x, dout)
    return dW


def attention_forward(q: Any, k: Any, v: Any, mask: Any) -> Any:
    """`mask` tells which keys a query may see."""
    scores = np.where(mask, q @ k.T / np.sqrt(q.shape[1]), -np.inf)
    p = np.exp(scores - scores.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return p @ v, (q, k, v, p)


def attention_backward(dout: Any, cache: Any) -> Any:
    q, k, v, p = cache
    dp = dout @ v.T
    ds = p * (dp - (dp * p).sum(axis=1, keepdims=True)) / np.sqrt(q.shape[1])
    return ds @ k, ds.T @ q, p.T @ dout


# --- several outputs, several gradients, and losses ---


def rnn_step_forward(x: Any, prev_h: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    next_h = np.tanh(x @ Wx + prev_h @ Wh + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h: Any, cache: Any) -> Any:
    x, prev_h, Wx, Wh, next_h = cache
    da = dnext_h * (1 - next_h * next_h)
    return da @ Wx.T, da @ Wh.T, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def lstm_step_forward(x: Any, prev_h: Any, prev_c: Any, Wx: Any, Wh: Any, b: Any) -> Any:
    H = prev_h.shape[1]
    a = x @ Wx + prev_h @ Wh + b
    i, f, o = (1 / (1 + np.exp(-a[:, j * H : (j + 1) * H])) for j in range(3))
    g = np.tanh(a[:, 3 * H :])
    next_c = f * prev_c + i * g
    t = np.tanh(next_c)
    return o * t, next_c, (x, prev_h, prev_c, Wx, Wh, i, f, o, g, t)


def lstm_step_backward(dnext_h: Any, dnext_c: Any, cache: Any) -> Any:
    x, prev_h, prev_c, Wx, Wh, i, f, o, g, t = cache
    dc = dnext_c + dnext_h * o * (1 - t * t)
    da = np.hstack(
        [
            dc * g * i * (1 - i),
            dc * prev_c * f * (1 - f),
            dnext_h * t * o * (1 - o),
            dc * i * (1 - g * g),
        ]
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, prev_h.T @ da, da.sum(axis=0)


def split_forward(x: Any) -> Any:
    half = x.shape[1] // 2
    return x[:, :half] ** 2, np.sin(x[:, half:]), x


def split_backward(dleft: Any, dright: Any, cache: Any) -> Any:
    half = cache.shape[1] // 2
    return np.hstack([2 * cache[:, :half] * dleft, np.cos(cache[:, half:]) * dright])


def softmax_cross_entropy_forward(logits: Any, y: Any) -> Any:
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(y)), y]).mean(), (p, y)


def softmax_cross_entropy_backward(cache: Any) -> Any:
    """Nothing is handed in: this is where the way back begins."""
    p, y = cache
    dlogits = p.copy()
    dlogits[np.arange(len(y)), y] -= 1
    return dlogits / len(y)


def squared_error_forward(y: Any, t: Any) -> Any:
    return 0.5 * ((y - t) ** 2).sum() / len(y), (y, t)


def squared_error_backward(dout: Any, cache: Any) -> Any:
    y, t = cache
    return dout * (y - t) / len(y)


# --- options in a dict ---


def leaky_forward(x: Any, options: Any) -> Any:
    return np.where(x > 0, x, options.get("slope", 0.01) * x), (x, options)


def leaky_backward(dout: Any, cache: Any) -> Any:
    x, options = cache
    return np.where(x > 0, dout, options.get("slope", 0.01) * dout)


def pair(*names: str, outputs: int = 1) -> tuple[Calls, dict[str, str]]:
    """Give how a pair is called, and its slots: gradients in the order of the arguments, or by these names."""
    calls = Calls(0, 1, "douts, cache", tuple(f"returned.{i}" for i in range(outputs)))
    return calls, {f"args.{i}": f"returned.{name}" for i, name in enumerate(names)}


def several(count: int, outputs: int = 1) -> tuple[Calls, dict[str, str]]:
    return pair(*map(str, range(count)), outputs=outputs)


ONE = (Calls(0, 1, "douts, cache", ("returned.0",)), {X: DX})
F, S, L, M = "forward/backward functions", "several outputs before the cache", "losses", "arguments that mean something"
SAMPLES: tuple[Sample, ...] = (
    Sample("functions_affine", F, lambda: (affine_forward, affine_backward), normal((4, 2, 3), (6, 5), (5,)),
           *several(3), "A tuple in the order of the arguments."),
    Sample("functions_relu", F, lambda: (relu_forward, relu_backward), clear((4, 3)), *ONE, "The cache is x itself."),
    Sample("functions_affine_relu", F, lambda: (affine_relu_forward, affine_relu_backward),
           clear((4, 3), (3, 5), (5,)), *several(3), "Caches within a cache."),
    Sample("functions_linear", F, lambda: (linear_forward, linear_backward), normal((3, 5), (2, 3), (2, 1)),
           *pair("dA_prev", "dW", "db"), "Examples in columns, a dict as cache, gradients by name."),
    Sample("functions_scale", F, lambda: (scale_forward, scale_backward), normal((4, 3), (3,)),
           *pair("x", "gamma"), "Gradients by the arguments' own names."),
    Sample("functions_named_tuple", F, lambda: (square_forward, square_backward), normal((4, 3), (3, 3)),
           *several(2), "A named tuple as cache, a square matrix."),
    Sample("functions_embedding", F, lambda: (word_embedding_forward, word_embedding_backward),
           lambda rng: (rng.integers(0, 5, (3, 4)), rng.standard_normal((5, 2))), ONE[0], {"args.1": DX},
           "The first argument are ids; the gradient is the matrix's."),
    Sample("functions_attention", F, lambda: (attention_forward, attention_backward),
           lambda rng: (*(rng.standard_normal(s) for s in ((4, 3), (4, 3), (4, 2))), np.tri(4, dtype=bool)),
           *several(3), "A mask that has no gradient."),
    Sample("functions_leaky", F, lambda: (leaky_forward, leaky_backward),
           lambda rng: (*clear((4, 3))(rng), {"slope": 0.2}), *ONE, "Options in a dict."),
    Sample("functions_rnn_step", F, lambda: (rnn_step_forward, rnn_step_backward),
           normal((4, 2), (4, 3), (2, 3), (3, 3), (3,), scale=0.7), *several(5), "One step of an RNN."),
    Sample("functions_lstm_step", S, lambda: (lstm_step_forward, lstm_step_backward),
           normal((3, 1), (3, 2), (3, 2), (1, 8), (2, 8), (8,), scale=0.5), *several(6, outputs=2),
           "One step of an LSTM: two outputs, and two gradients of them handed in."),
    Sample("functions_split", S, lambda: (split_forward, split_backward), normal((4, 6)),
           Calls(0, 1, "douts, cache", ("returned.0", "returned.1")), {X: DX}, "Two outputs of one input."),
    Sample("functions_cross_entropy", L, lambda: (softmax_cross_entropy_forward, softmax_cross_entropy_backward),
           labelled(6, 3, classes=3), Calls(0, 1, "cache", ("returned.0",)), {X: DX}, "A backward of the cache alone."),
    Sample("functions_squared_error", L, lambda: (squared_error_forward, squared_error_backward),
           normal((5, 3), (5, 3)), *ONE, "A loss whose backward is handed dout and the cache."),
    Sample("functions_causal_mask", M, lambda: (attention_forward, attention_backward),
           fixed(*(np.random.default_rng(i).standard_normal((3, 2)) for i in range(3)),
                 np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], bool)),
           *several(3), "Without its mask a row would have no key to see."),
)  # fmt: skip
