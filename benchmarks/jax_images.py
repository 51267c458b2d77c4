"""JAX on images: a step is one compiled program, its parameters and what Adam keeps donated.

It is written as JAX's compiler for CPUs is quickest with. A scan over an epoch, as in `jax_ways`, would take all its
convolutions through plain loops, many times as long. So would a convolution whose padding is more than half its window
take its weights' gradient: what is more goes round the images beforehand. Pooling by ``reduce_window`` is slower than
the larger of neighbours. Channels are last. Dropout divides by what stays, in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import image_jobs
import jax
import jax.numpy as jnp
import numpy as np
from images import IMAGE, NETWORKS, Affine, Convolution, Dropout, Layer, MaxPooling, Shape, shape_after
from jax import lax
from jobs import Array, Outcome, Pairs

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


def scores(layers: Sequence[Layer], params: Sequence[Any], x: Any, key: Any, dropout: float) -> Any:
    held = iter(params)
    for layer in layers:
        match layer:
            case Convolution(_, size, pad):
                x = _convolution(x, next(held), next(held), pad, min(pad, size // 2))
            case MaxPooling():
                rows = jnp.maximum(x[:, ::2], x[:, 1::2])
                x = jnp.maximum(rows[:, :, ::2], rows[:, :, 1::2])
            case Affine():
                x = x.reshape(len(x), -1) @ next(held) + next(held)
            case Dropout():
                x = jnp.where(jax.random.bernoulli(key, 1 - dropout, x.shape), x / (1 - dropout), 0)
            case _:
                x = jax.nn.relu(x)
    return x


def _convolution(x: Any, W: Any, b: Any, pad: int, inside: int) -> Any:
    more = (pad - inside,) * 2
    x = jnp.pad(x, ((0, 0), more, more, (0, 0)))
    kinds = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, W, (1, 1), [(inside, inside)] * 2, dimension_numbers=kinds) + b


def mean_loss(params: Any, layers: Sequence[Layer], x: Any, t: Any, key: Any, dropout: float) -> Any:
    y = scores(layers, params, x, key, dropout)
    return jnp.mean(jax.nn.logsumexp(y, axis=1) - jnp.take_along_axis(y, t[:, None], axis=1)[:, 0])


@partial(jax.jit, static_argnums=0, static_argnames=("rate", "dropout"), donate_argnums=1)
def step(layers: Sequence[Layer], state: Any, x: Any, t: Any, rows: Any, *, rate: float, dropout: float) -> Any:
    params, m, v, done, key = state
    key, drawn = jax.random.split(key)
    loss, grads = jax.value_and_grad(mean_loss)(params, layers, x[rows], t[rows], drawn, dropout)
    done += 1
    m = [kept + (1 - BETA1) * (g - kept) for kept, g in zip(m, grads, strict=True)]
    v = [kept + (1 - BETA2) * (g * g - kept) for kept, g in zip(v, grads, strict=True)]
    rate = rate * jnp.sqrt(1 - BETA2**done) / (1 - BETA1**done)
    params = [p - rate * a / (jnp.sqrt(b) + EPSILON) for p, a, b in zip(params, m, v, strict=True)]
    return (params, m, v, done, key), loss


class Network:
    """The program above, with its data on the device."""

    def __init__(self, name: str, train: Pairs, rate: float, *, dropout: float = 0.5) -> None:
        self.layers = NETWORKS[name]
        self.step = partial(step, rate=rate, dropout=dropout)
        self.x, self.t = jnp.asarray(train[0].transpose(0, 2, 3, 1)), jnp.asarray(train[1], jnp.int32)

    @property
    def params(self) -> Any:
        """W1, b1, W2, b2 and so on, as they are held here."""
        return self.state[0]

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Trainer.start`."""
        held, shape, given = [], IMAGE, iter(parameters)
        for layer in self.layers:
            if isinstance(layer, Convolution | Affine):
                held += [jnp.array(_turned(next(given), shape)), jnp.array(next(given))]
            shape = shape_after(layer, shape)
        zeros = [[jnp.zeros_like(array) for array in held] for _ in range(2)]
        self.state = (held, *zeros, jnp.float32(0), jax.random.key(0))

    def train(self, rows: Array) -> Array:
        """As `jobs.Trainer.train`."""
        losses = []
        for batch in rows.astype(np.int32):
            self.state, loss = self.step(self.layers, self.state, self.x, self.t, batch)
            losses.append(loss)
        jax.block_until_ready(self.state)
        return np.array(losses)


def _turned(W: Array, before: Shape) -> Array:
    """Give weights for images whose channels are last."""
    if W.ndim == 4:
        return W.transpose(2, 3, 1, 0)
    return W.reshape(*before, -1).transpose(1, 2, 0, 3).reshape(W.shape) if len(before) == 3 else W


def network(name: str, seed: int) -> Outcome:
    return image_jobs.steps(Network, name, seed)
