"""chainrule on images: the book's networks through `fit`, and the layers by themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import chainrule_ways
import image_jobs
import numpy as np
from image_jobs import calls_of_layer
from images import BATCH, RATE, Convolution, Layer, MaxPooling
from jobs import Array, Outcome

import chainrule


def network(name: str, seed: int) -> Outcome:
    x, t = image_jobs.data(name)
    net, rng = image_jobs.network(name, seed), np.random.default_rng(seed)
    return chainrule_ways.steps(net, x, t, BATCH, rng, optimizer=chainrule.Adam(RATE), evaluate_train=False)


def passes(layer: Layer, x: Array, dout: Array, parameters: list[Array]) -> Callable[[], Any]:
    """Make a function that goes forward and back: it gives the output, and the gradients of input and parameters."""
    ours: Any
    match layer:
        case Convolution(_, _, pad):
            ours = chainrule.Convolution(*parameters, pad=pad)
        case MaxPooling():
            ours = chainrule.Pooling(2, 2)
        case _:
            ours = chainrule.BatchNormalization(*parameters)

    def both() -> Any:
        out = ours.forward(x)
        return out, ours.backward(dout), *(getattr(ours, f"d{name}") for name in ours.learnt)

    return both


def layer(what: str, seed: int) -> Outcome:
    return calls_of_layer(passes, what, seed)
