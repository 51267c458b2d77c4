"""Functions for JAX: right ones, and with one mistake each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest

jax: Any = pytest.importorskip("jax")
jnp, lax = jax.numpy, jax.lax


@dataclass(frozen=True)
class Wrong:
    """One mistake."""

    name: str
    make: Callable[[], tuple[Any, ...]]
    cause: str


def normal(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng([seed, *shape]).standard_normal(shape))


def with_vjp(value: Any, ahead: Any, back: Any) -> Any:
    """Give a function with a rule for reverse mode."""
    function = jax.custom_vjp(value)
    function.defvjp(ahead, back)
    return function


def with_jvp(value: Any, rule: Any) -> Any:
    """Give a function with a rule for forward mode."""
    function = jax.custom_jvp(value)
    function.defjvp(rule)
    return function


def unary(value: Any, slope: Any) -> Any:
    """Give a function of one array, from its value and what goes back for x and the cotangent."""
    return with_vjp(value, lambda x: (value(x), x), lambda x, g: (slope(x, g),))


def pushed(value: Any, tangent: Any) -> Any:
    """Give a function of one array, from its value and what goes forwards for x and the tangent."""
    return with_jvp(value, lambda primals, tangents: (value(*primals), tangent(*primals, *tangents)))


def x() -> Any:
    return normal(4, 3)


def of_x(function: Any) -> Callable[[], tuple[Any, ...]]:
    return lambda: (function, x())


def pair_of(back: Any) -> Any:
    """Give ``sin(x) y``, from what goes back for cos(x), sin(x), y and the cotangent."""

    def value(x: Any, y: Any) -> Any:
        return jnp.sin(x) * y

    return with_vjp(value, lambda x, y: (value(x, y), (jnp.cos(x), jnp.sin(x), y)), back)


# --- right ---


def mlp(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["w"] + p["b"])


def recurrent(w: Any, xs: Any) -> Any:
    return lax.scan(lambda h, x: (jnp.tanh(h @ w + x),) * 2, jnp.zeros(3), xs)[1]


def noisy(key: Any, x: Any) -> Any:
    return x * jax.random.bernoulli(key, 0.5, x.shape) + jax.random.normal(key, x.shape) * x**2


def branching(x: Any, n: int, how: str) -> Any:
    return {"out": x**n, "how": jnp.argmax(x)} if how == "power" else x


def looping(x: Any) -> Any:
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, x))[1]


def by_number(x: Any) -> Any:
    return x * 2 if x.sum() > 0 else x**2  # cannot be compiled


def fixed_point(slope: Any) -> Any:
    """Give the y that is cos(x + y) / 2, from the gradient by x for x and y."""

    def value(x: Any) -> Any:
        return lax.fori_loop(0, 60, lambda k, y: jnp.cos(x + y) / 2, jnp.zeros_like(x))

    def ahead(x: Any) -> Any:
        y = value(x)
        return y, (x, y)

    return with_vjp(value, ahead, lambda r, g: (slope(*r) * g,))


def slope_of_fixed_point(x: Any, y: Any) -> Any:
    s = jnp.sin(x + y) / 2
    return -s / (1 + s)


def solved(back: Any) -> Any:
    """Give the solution of a system, from what solves it backwards."""

    def reverse(residuals: Any, g: Any) -> Any:
        a, y = residuals
        db = back(a, g)
        return -db @ y.T, db

    def ahead(a: Any, b: Any) -> Any:
        y = jnp.linalg.solve(a, b)
        return y, (a, y)

    return with_vjp(jnp.linalg.solve, ahead, reverse)


def system() -> tuple[Any, Any]:
    return normal(3, 3) + 4 * jnp.eye(3), normal(3, 2)


_scaled = jax.custom_vjp(lambda k, x: k * jnp.sin(x), nondiff_argnums=(0,))
_scaled.defvjp(lambda k, x: (k * jnp.sin(x), x), lambda k, x, g: (k * jnp.cos(x) * g,))

RIGHT: dict[str, Callable[[], tuple[Any, ...]]] = {
    "sin": lambda: (jnp.sin, x()),
    "mlp": lambda: (mlp, {"w": normal(3, 2), "b": normal(2)}, x()),
    "tuples": lambda: (lambda p, x: (x @ p[0][0] + p[0][1], p[1] ** 3), ((normal(3, 2), normal(2)), normal(2)), x()),
    "numpy": lambda: (jax.jit(lambda x: jnp.exp(x).sum()), np.random.default_rng(0).standard_normal(4)),
    "a number": lambda: (pushed(jnp.sin, lambda x, t: jnp.cos(x) * t), 0.7),
    "softmax": lambda: (jax.nn.softmax, x()),
    "cross entropy": lambda: (
        lambda z, t: -jnp.take_along_axis(jax.nn.log_softmax(z), t[:, None], 1).mean(), x(), jnp.array([0, 2, 1, 1])
    ),
    "conv": lambda: (lambda x, w: lax.conv(x, w, (1, 1), "SAME"), normal(2, 2, 4, 4), normal(3, 2, 3, 3)),
    "scan": lambda: (recurrent, normal(3, 3), x()),
    "keys": lambda: (noisy, jax.random.key(0), x()),
    "options": lambda: (branching, x(), 3, "power"),
    "forward only": lambda: (looping, x()),
    "by number": lambda: (by_number, x()),
    "solve": lambda: (jnp.linalg.solve, normal(3, 3) + 4 * jnp.eye(3), normal(3, 2)),
    "vjp": lambda: (unary(jnp.sin, lambda x, g: jnp.cos(x) * g), x()),
    "vjp of two": lambda: (pair_of(lambda r, g: (r[0] * g * r[2], r[1] * g)), x(), normal(4, 3, seed=1)),
    "nondiff": lambda: (partial(_scaled, 3.0), x()),
    "jvp": lambda: (pushed(jnp.sin, lambda x, t: jnp.cos(x) * t), x()),
    "a pair": lambda: ((lambda x: jnp.sum(x**3), lambda x: 3 * x**2), x()),
    "jvp of two": lambda: (with_jvp(
        lambda a, b: a**b, lambda p, t: (p[0] ** p[1], p[0] ** p[1] * (p[1] / p[0] * t[0] + jnp.log(p[0]) * t[1]))
    ), jnp.abs(x()) + 0.5, normal(4, 3, seed=1)),
    "by parts": lambda: (jax.checkpoint(lambda x, w: jnp.tanh(x @ w)), x(), normal(3, 3)),
    "segments": lambda: (
        lambda x, i: jax.ops.segment_sum(x**2, i, num_segments=3), x(), jnp.array([0, 2, -1, 2])
    ),
    "masked": lambda: (lambda x: jax.nn.logsumexp(jnp.where(x > 0, x, -jnp.inf), axis=1), jnp.abs(x()) + 0.1),
    "fixed point": lambda: (fixed_point(slope_of_fixed_point), x()),
    "transposed solve": lambda: (solved(lambda a, g: jnp.linalg.solve(a.T, g)), *system()),
}  # fmt: skip


# --- wrong ---


class Outside:
    """Where something is kept that should be among the residuals."""

    scale = 1.0


def outside(x: Any) -> Any:
    Outside.scale += 0.1
    return x * Outside.scale


def rounded(x: Any, g: Any) -> Any:
    return (2 * x.astype(jnp.float16) * g).astype(x.dtype)


def layer(back: Any) -> Any:
    """Give ``x @ w + b``, from what goes back for x, w and the cotangent."""
    return with_vjp(lambda x, w, b: x @ w + b, lambda x, w, b: (x @ w + b, (x, w)), lambda r, g: back(*r, g))


def attention(scaled_back: float) -> Any:
    def weights(q: Any, k: Any) -> Any:
        return jax.nn.softmax(q @ k.T / 2, axis=1)

    def back(r: Any, g: Any) -> Any:
        q, k, v = r
        p = weights(q, k)
        dp = g @ v.T
        ds = p * (dp - (dp * p).sum(1, keepdims=True))
        return ds @ k / 2, ds.T @ q / scaled_back, p.T @ g

    return with_vjp(lambda q, k, v: weights(q, k) @ v, lambda q, k, v: (weights(q, k) @ v, (q, k, v)), back)


def of_a_dict(p: Any) -> Any:
    return jnp.tanh(p["u"]) * p["v"]


def dict_back(r: Any, g: Any) -> Any:
    """Hands the gradients back under each other's names."""
    t = jnp.tanh(r["u"])
    return ({"u": t * g, "v": (1 - t**2) * r["v"] * g},)


def stopped_carry(w: Any, xs: Any) -> Any:
    return lax.scan(lambda h, x: (jnp.tanh(lax.stop_gradient(h) @ w + x),) * 2, jnp.zeros(3), xs)[1]


WRONG = (
    Wrong("half", of_x(unary(lambda x: x**2, lambda x, g: x * g)), "factor 1/2"),
    Wrong("sign", of_x(unary(jnp.cos, lambda x, g: jnp.sin(x) * g)), "factor -1"),
    Wrong("zero", of_x(unary(jnp.sin, lambda x, g: jnp.zeros_like(g))), "zero"),
    Wrong("mean for sum", of_x(unary(lambda x: x.sum(), lambda x, g: jnp.full(x.shape, g) / 4)), "factor 1/N"),
    Wrong("cotangent ignored", of_x(unary(jnp.exp, lambda x, g: jnp.exp(x))), "dout ignored"),
    Wrong("clipped", of_x(unary(lambda x: 3 * x, lambda x, g: jnp.clip(3 * g, -1, 1))), "not linear in dout"),
    Wrong("swapped", lambda: (
        with_vjp(lambda x, y: x * y, lambda x, y: (x * y, (x, y)), lambda r, g: (g * r[0], g * r[1])), x(),
        normal(4, 3, seed=1),
    ), ""),
    Wrong("transposed", lambda: (unary(lambda x: x @ x, lambda x, g: x.T @ g + g @ x), normal(3, 3)), ""),
    Wrong("straight through", of_x(unary(lambda x: jnp.round(x), lambda x, g: g)), ""),
    Wrong("reversed", of_x(unary(lambda x: x, lambda x, g: -g)), "factor -1"),
    Wrong("softmax without its sum", of_x(unary(
        lambda x: jax.nn.softmax(x), lambda x, g: jax.nn.softmax(x) * g
    )), ""),
    Wrong("few digits", of_x(unary(lambda x: x**2, rounded)), ""),
    Wrong("changes by itself", of_x(outside), "not deterministic"),
    Wrong("jvp, half", of_x(pushed(lambda x: x**2, lambda x, t: x * t)), "factor 1/2"),
    Wrong("jvp, a constant too much", of_x(pushed(lambda x: x**2, lambda x, t: 2 * x * t + 1)), "not linear"),
    Wrong("stopped", of_x(lambda x: x * lax.stop_gradient(x)), "factor 1/2"),
    Wrong("nan where it is not used", lambda: (
        lambda x: jnp.where(x > 0, jnp.log(x), 0 * x) ** 2, jnp.array([1.5, 2.0, 0.0])
    ), "not finite"),
    Wrong("a pair, half", lambda: ((lambda x: jnp.sum(x**2), lambda x: x), x()), "factor 1/2"),
    Wrong("a thousandth", of_x(unary(lambda x: x**3, lambda x, g: 2.999 * x**2 * g)), ""),
    Wrong("x is kept, y is meant", of_x(unary(jnp.tanh, lambda x, g: (1 - x**2) * g)), ""),
    Wrong("relu passes all", of_x(unary(jax.nn.relu, lambda x, g: g)), ""),
    Wrong("cumulated the same way", of_x(unary(
        lambda x: jnp.cumsum(x, axis=0), lambda x, g: jnp.cumsum(g, axis=0)
    )), ""),
    Wrong("first row for the sum", lambda: (
        layer(lambda x, w, g: (g @ w.T, x.T @ g, g[0])), x(), normal(3, 3), normal(3)
    ), ""),
    Wrong("w transposed", lambda: (
        layer(lambda x, w, g: (g @ w.T, (x.T @ g).T, g.sum(0))), x(), normal(3, 3), normal(3)
    ), "transposed"),
    Wrong("solved without transposing", lambda: (solved(jnp.linalg.solve), *system()), ""),
    Wrong("last step of the fixed point", of_x(fixed_point(lambda x, y: -jnp.sin(x + y) / 2)), ""),
    Wrong("scale forgotten for k", lambda: (
        attention(1), normal(5, 4), normal(6, 4), normal(6, 3)
    ), "factor 2"),
    Wrong("carry stopped", lambda: (stopped_carry, normal(3, 3), x()), ""),
    Wrong("names swapped", lambda: (
        with_vjp(of_a_dict, lambda p: (of_a_dict(p), p), dict_back), {"u": x(), "v": normal(4, 3, seed=1)}
    ), ""),
    Wrong("jvp of one of two", lambda: (with_jvp(
        lambda a, b: a * jnp.sin(b), lambda p, t: (p[0] * jnp.sin(p[1]), t[0] * jnp.sin(p[1]))
    ), x(), normal(4, 3, seed=1)), "zero"),
    Wrong("one corner", of_x(unary(
        lambda x: x**2, lambda x, g: (2 * x * g).at[0, 0].multiply(0.5)
    )), ""),
)  # fmt: skip
