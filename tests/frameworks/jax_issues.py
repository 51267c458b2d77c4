"""Mistakes in functions for JAX as they were reported in public, each made anew as a small case of our own."""

from __future__ import annotations

from typing import Any

import pytest

jax: Any = pytest.importorskip("jax")

from frameworks.jax_code import Wrong, normal, of_x, pair_of, pushed, unary, with_jvp, with_vjp, x  # noqa: E402

jnp, lax = jax.numpy, jax.lax


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


def remainder_rule(primals: Any, tangents: Any) -> Any:
    """Round down where the remainder rounds towards 0."""
    (a, b), (da, db) = primals, tangents
    return lax.rem(a, b), da - db * jnp.floor(a / b)


def mixed_signs() -> tuple[Any, ...]:
    return jnp.array([5.3, -4.1, 7.7, -2.9]), jnp.array([-2.1, 1.7, 3.2, -1.3])


IDS = jnp.array([0, 2, -1, 2])


def sums(x: Any) -> Any:
    return jax.ops.segment_sum(x, IDS, num_segments=3)


PARTS = jnp.array([0, 1, 0, 1])


def products(x: Any) -> Any:
    return jax.ops.segment_prod(x, PARTS, num_segments=2)


square = jax.custom_gradient(lambda x: (x**2, lambda g: (g * x,)))


def masked_logsumexp(a: Any) -> Any:
    """Mask what was already too large for an exponential."""
    mask = jnp.array([True, True, False])
    top = jnp.max(jnp.where(mask, a, -jnp.inf))
    return top + jnp.log(jnp.sum(jnp.where(mask, jnp.exp(a - top), 0)))


def root() -> Any:
    """The root of p z³ + z = q, whose rule has nothing for the parameter p."""

    def value(p: Any, q: Any) -> Any:
        def newton(_: Any, z: Any) -> Any:
            return z - (p * z**3 + z - q) / (3 * p * z**2 + 1)

        return lax.fori_loop(0, 30, newton, q)

    def ahead(p: Any, q: Any) -> Any:
        z = value(p, q)
        return z, (p, z)

    return with_vjp(value, ahead, lambda r, g: (jnp.zeros_like(r[0]), g / (3 * r[0] * r[1] ** 2 + 1)))


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
    Wrong("jax-ml/jax#764", lambda: (unary(jnp.tanh, old_tanh), jnp.array([0.5, 190.0, 400.0])), "not finite"),
    Wrong("jax-ml/jax#3058", lambda: (
        lambda x: jnp.sqrt(jnp.sum(x**2, 1)) ** 2, jnp.array([[0.0, 0.0], [1.0, 2.0]])
    ), "not finite"),
    Wrong("AI-Hypercomputer/maxtext#4959", lambda: (tiled_loss(), x(), normal(3, 5)), "dout ignored"),
    Wrong("ml-explore/mlx#3634", lambda: (with_jvp(
        lambda a, b: a**b, power_jvp
    ), jnp.abs(x()) + 0.5, normal(4, 3, seed=1)), ""),
    Wrong("jax-ml/jax#11469", lambda: (with_jvp(lax.rem, remainder_rule), *mixed_signs()), ""),
    Wrong("jax-ml/jax#7538", of_x(with_vjp(sums, lambda x: (sums(x), None), lambda r, g: (g[IDS],))), ""),
    Wrong("jax-ml/jax#9296", of_x(with_vjp(products, lambda x: (products(x), None), lambda r, g: (g[PARTS],))), ""),
    Wrong("jax-ml/jax#29485", of_x(square), "factor 1/2"),
    Wrong("jax-ml/jax#38001", lambda: (
        lambda x: jnp.where(x == 0, x, x * 2**3), jnp.array([0.5, 0.0, -1.5])
    ), ""),
    Wrong("jax-ml/jax#23842", lambda: (masked_logsumexp, jnp.array([0.0, 1.0, 100.0])), "not finite"),
    Wrong("jax-ml/jax#5798", lambda: (
        lambda x: jnp.where(x < 1, x, jnp.sqrt(x)), jnp.array([0.0, 0.5, 2.0])
    ), "not finite"),
    Wrong("jax-ml/jax#26248", lambda: (
        lambda a: jnp.sqrt(jnp.sum((a * jnp.array([[0.0, 0.0], [1.0, 2.0]])) ** 2, 1)), 1.3
    ), "not finite"),
    Wrong("patrick-kidger/equinox#875", lambda: (
        pushed(lambda a: jnp.trace(a), lambda a, t: 2 * jnp.trace(t)), normal(3, 3)
    ), "factor 2"),
    Wrong("google/jaxopt#141", lambda: (root(), jnp.abs(normal(4)) + 0.5, normal(4, seed=1)), "zero"),
)  # fmt: skip
