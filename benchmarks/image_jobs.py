"""The works with images as every library does them: the data, the parameters, and what is inside the clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jobs
import numpy as np
from images import BATCH, CALLS, IMAGE, LAYERS, RATE, STEPS, Convolution, Layer, MaxPooling, shape_after
from jobs import Array, Outcome, Pairs

import chainrule


def steps(make: Callable[..., jobs.Trainer], name: str, seed: int, **more: Any) -> Outcome:
    """Time a step of one of the networks, made of its name, the data and a learning rate."""
    train = data(name)
    beginning = list(network(name, seed).params.values())
    return jobs.steps(make(name, train, RATE, **more), beginning, BATCH, len(train[0]), np.random.default_rng(seed))


def network(name: str, seed: int, dtype: Any = np.float32) -> Any:
    """Make chainrule's network of that name. All libraries begin with its parameters."""
    return getattr(chainrule, name)(dtype=dtype, seed=seed)


def data(name: str) -> Pairs:
    """Give an epoch's images of MNIST, (N, 1, 28, 28) in 0-1, with class ids."""
    (x, t), _ = jobs.digits()
    n = BATCH * STEPS[name]
    return jobs.pixels(x[:n]).reshape(n, *IMAGE), t[:n]


def calls_of_layer(passes: Callable[..., Callable[[], object]], what: str, seed: int) -> Outcome:
    """Time forward and back of a layer, as `passes` makes them of its description, input, dout and parameters."""
    return jobs.calls(passes(*layer_data(what, seed)), CALLS)


def layer_data(what: str, seed: int) -> tuple[Layer, Array, Array, list[Array]]:
    """Give a layer, random images, a random dout, and the layer's parameters."""
    layer, shape = LAYERS[what]
    rng = np.random.default_rng(seed)
    x, dout = (rng.standard_normal((BATCH, *s), dtype=np.float32) for s in (shape, shape_after(layer, shape)))
    if isinstance(layer, MaxPooling):
        return layer, x, dout, []
    weights = (layer.filters, shape[0], layer.size, layer.size) if isinstance(layer, Convolution) else shape[:1]
    return layer, x, dout, [rng.standard_normal(s, dtype=np.float32) for s in (weights, weights[:1])]
