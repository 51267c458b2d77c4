"""JAX: an epoch is one compiled program that scans over its batches, its parameters donated.

Steps read the images as bytes and evaluation reads them as float32: each the quicker of the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jobs
import numpy as np
from jobs import PIXEL, Array, Outcome, Pairs


def scores(params: list[Any], x: Any) -> Any:
    out = x.astype(jnp.float32) * PIXEL if x.dtype == jnp.uint8 else x
    for W, b in params[:-1]:
        out = jnp.maximum(out @ W + b, 0)
    W, b = params[-1]
    return out @ W + b


def mean_loss(params: list[Any], x: Any, t: Any) -> Any:
    y = scores(params, x)
    return jnp.mean(jax.nn.logsumexp(y, axis=1) - jnp.take_along_axis(y, t[:, None], axis=1)[:, 0])


@partial(jax.jit, donate_argnums=0)
def epoch(params: list[Any], x: Any, t: Any, rows: Any, rate: Any) -> Any:
    def step(params: list[Any], batch: Any) -> Any:
        loss, grads = jax.value_and_grad(mean_loss)(params, x[batch], t[batch])
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), loss

    return jax.lax.scan(step, params, rows)


@jax.jit
def accuracy(params: list[Any], x: Any, t: Any) -> Any:
    return jnp.mean(jnp.argmax(scores(params, x), axis=1) == t)


class Network:
    """The programs above, with their data on the device."""

    def __init__(self, widths: Sequence[int], batch: int, train: Pairs, test: Pairs, rate: float) -> None:
        self.rate = np.float32(rate)
        self.x, self.t = jnp.asarray(train[0]), jnp.asarray(train[1], jnp.int32)
        self.sets = [(jnp.asarray(jobs.pixels(x)), jnp.asarray(t, jnp.int32)) for x, t in (train, test)]

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Learner.start`."""
        held = [jnp.array(array) for array in parameters]
        self.params = list(zip(held[::2], held[1::2], strict=True))

    def train(self, rows: Array) -> Array:
        """As `jobs.Learner.train`."""
        self.params, losses = epoch(self.params, self.x, self.t, rows.astype(np.int32), self.rate)
        return np.asarray(losses)  # waits for the epoch

    def evaluate(self) -> float:
        """As `jobs.Learner.evaluate`."""
        _, on_test = [float(accuracy(self.params, x, t)) for x, t in self.sets]
        return on_test


def job(iterations: int, seed: int, warm: bool = True) -> Outcome:
    return jobs.job(Network, iterations, seed, warm)


def dense(seed: int) -> Outcome:
    return jobs.steps_of_dense(Network, seed)
