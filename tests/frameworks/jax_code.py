"""Functions for JAX: right ones, with one mistake each, and mistakes as they were reported in public."""

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
    ), ""),
    Wrong("a pair, half", lambda: ((lambda x: jnp.sum(x**2), lambda x: x), x()), "factor 1/2"),
)  # fmt: skip


# --- as reported ---


def linear_of_fixed() -> Any:
    """``A v``, with a rule that has nothing for v, which other layers come through."""
    product = with_vjp(
        lambda a, v: a @ v, lambda a, v: (a @ v, (a, v)), lambda r, g: (jnp.outer(g, r[1]), jnp.zeros_like(r[1]))
    )
    return lambda a, b, v: product(b, jnp.tanh(product(a, v)))


def tiled_loss() -> Any:
    """A loss whose cotangent scales the gradient of the head and not that of what goes in."""

    def value(h: Any, w: Any) -> Any:
        return -jax.nn.log_softmax(h @ w)[:, 0].mean()

    def back(residuals: Any, g: Any) -> Any:
        h, w = residuals
        dh, dw = jax.grad(value, (0, 1))(h, w)
        return dh, dw * g

    return with_vjp(value, lambda h, w: (value(h, w), (h, w)), back)


def power_jvp(primals: Any, tangents: Any) -> Any:
    """Scale both parts by the tangent of the first."""
    (a, b), (da, _) = primals, tangents
    return a**b, (b * a ** (b - 1) + jnp.log(a) * a**b) * da


def old_logaddexp(a: Any, b: Any) -> Any:
    d = a - b
    return jnp.maximum(a, b) + jnp.log1p(jnp.exp(-jnp.abs(d)))


def old_tanh(x: Any, g: Any) -> Any:
    return g * 4 * jnp.exp(2 * x) / (jnp.exp(2 * x) + 1) ** 2


ISSUES = (
    Wrong("jax-ml/jax#3213", lambda: (with_jvp(
        lambda x, y: jnp.sin(x) * y,
        lambda p, t: (jnp.sin(p[0]) * p[1], jnp.cos(p[0]) * t[0] * p[1] - jnp.sin(p[0]) * t[1]),
    ), x(), normal(4, 3, seed=1)), "factor -1"),
    Wrong("jax-ml/jax#13048", lambda: (
        pair_of(lambda r, g: (r[0] * g * r[2], -r[1] * g)), x(), normal(4, 3, seed=1)
    ), "factor -1"),
    Wrong("jax-ml/jax#17496", lambda: (linear_of_fixed(), normal(3, 3), normal(3, 3, seed=1), normal(3)), "zero"),
    Wrong("jax-ml/jax#12158", of_x(pushed(
        jnp.abs, lambda x, d: jnp.where(x > 0, d, jnp.where(x < 0, -d, jnp.abs(d))) + 0 * jnp.abs(d) + d**2
    )), "not linear"),
    Wrong("jax-ml/jax#2107", lambda: (lambda x: old_logaddexp(x, jnp.zeros_like(x)), jnp.array([0.0, 0.0])), "zero"),
    Wrong("jax-ml/jax#764", lambda: (unary(jnp.tanh, old_tanh), jnp.array([0.5, 190.0, 400.0])), ""),
    Wrong("jax-ml/jax#3058", lambda: (
        lambda x: jnp.sqrt(jnp.sum(x**2, 1)) ** 2, jnp.array([[0.0, 0.0], [1.0, 2.0]])
    ), ""),
    Wrong("AI-Hypercomputer/maxtext#4959", lambda: (tiled_loss(), x(), normal(3, 5)), "dout ignored"),
    Wrong("ml-explore/mlx#3634", lambda: (with_jvp(
        lambda a, b: a**b, power_jvp
    ), jnp.abs(x()) + 0.5, normal(4, 3, seed=1)), ""),
)  # fmt: skip
