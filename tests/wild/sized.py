"""Subjects of the samples at random sizes: images, steps through time, nets, arguments with a meaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from wild import functions, images, lists, losses, meaning
from wild.functions import several
from wild.maths import size
from wild.sample import DX, Calls, Sample, X

PAIR, ONLY_X = Calls(0, 1, "arguments"), {X: DX}
Sized = Callable[[np.random.Generator], Sample]


def _normal(*shapes: tuple[int, ...], scale: float = 1.0) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: tuple(scale * rng.standard_normal(shape) for shape in shapes)


def convolution(rng: np.random.Generator) -> Sample:
    (n, c, f, k, stride), pad = rng.integers(1, 4, 5), int(rng.integers(0, 3))
    h, w = (int(k - 2 * pad + stride * rng.integers(0, 3)) for _ in range(2))
    shapes = (int(n), int(c), max(h, 1), max(w, 1)), (int(f), int(c), int(k), int(k)), (int(f),)
    arguments = images.with_options(_normal(*shapes), stride=int(stride), pad=max(pad, int(k)))
    pair = images.conv_forward_naive, images.conv_backward_naive
    return Sample("conv_param", "options in a dict", lambda: pair, arguments, *several(3), "Sized.")


def pool(rng: np.random.Generator) -> Sample:
    (n, c, h, w), by = rng.integers(1, 4, 4), int(rng.integers(1, 4))
    shape = (int(n), int(c), int(h) * by, int(w) * by)
    arguments = images.with_options(
        lambda rng: (rng.permutation(int(np.prod(shape))).reshape(shape) / 7,), pool_size=by
    )
    pair = images.max_pool_forward, images.max_pool_backward
    return Sample("pool_param", "options in a dict", lambda: pair, arguments, *images.POOL, "Sized.")


def batch_norm(rng: np.random.Generator) -> Sample:
    n, d = int(rng.integers(3, 7)), size(rng)
    momentum = float(rng.random())
    arguments = images.with_options(_normal((n, d), (d,), (d,)), mode="train", momentum=momentum)
    pair = images.batchnorm_forward, images.batchnorm_backward
    return Sample("bn_param", "running statistics", lambda: pair, arguments, *several(3), "Sized.")


def running(rng: np.random.Generator) -> Sample:
    n, d = int(rng.integers(3, 7)), size(rng)
    kind = [images.BatchNormalization, images.RunningInPlace][int(rng.integers(2))]
    slots = images.d("gamma", "beta")
    return Sample("batch_norm", "running statistics", lambda: kind(d), _normal((n, d)), Calls(), slots, "Sized.")


def rnn(rng: np.random.Generator) -> Sample:
    n, t, i, h = (size(rng) for _ in range(4))
    arguments = _normal((n, t, i), (n, h), (i, h), (h, h), (h,), scale=0.6)
    pair = images.rnn_forward, images.rnn_backward
    return Sample("rnn", "steps through time", lambda: pair, arguments, *several(5), "Sized.")


def lstm_step(rng: np.random.Generator) -> Sample:
    n, i, h = (size(rng) for _ in range(3))
    arguments = _normal((n, i), (n, h), (n, h), (i, 4 * h), (h, 4 * h), (4 * h,), scale=0.6)
    pair = functions.lstm_step_forward, functions.lstm_step_backward
    return Sample("lstm_step", "several outputs", lambda: pair, arguments, *several(6, outputs=2), "Sized.")


def lstm(rng: np.random.Generator) -> Sample:
    n, t, i, h = (size(rng) for _ in range(4))
    arrays = _normal((i, 4 * h), (h, 4 * h), (4 * h,), scale=0.6)(rng)
    slots = {X: DX, **lists.held(0, 1, 2)}

    def make() -> Any:
        return images.TimeLSTM(*(a.copy() for a in arrays))

    return Sample("time_lstm", "steps through time", make, _normal((n, t, i)), Calls(), slots, "Sized.")


def attention(rng: np.random.Generator) -> Sample:
    q, k, d, v = (size(rng) for _ in range(4))
    mask = rng.random((q, k)) < 0.6
    mask[np.arange(q), rng.integers(0, k, q)] = True
    arrays = _normal((q, d), (k, d), (k, v))
    pair = functions.attention_forward, functions.attention_backward
    return Sample("attention", "masks", lambda: pair, lambda rng: (*arrays(rng), mask), *several(3), "Sized.")


def net(rng: np.random.Generator) -> Sample:
    n, i, h, classes = (size(rng) for _ in range(4))
    (W1, b1, W2, b2), reg = _normal((i, h), (h,), (h, classes), (classes,))(rng), float(rng.random())

    def make() -> Any:
        made = losses.TwoLayerNet()
        made.params, made.reg = {"W1": W1.copy(), "b1": b1.copy(), "W2": W2.copy(), "b2": b2.copy()}, reg
        return made

    calls = Calls("loss", "loss", "arguments", ("returned.0",))
    slots = {f"params.{name}": f"returned.1.{name}" for name in ("W1", "b1", "W2", "b2")}
    examples = _normal((n, i))
    return Sample(
        "loss_of_a_net", "(value, gradient)", make, lambda rng: (*examples(rng), rng.integers(0, classes, n)), calls,
        slots, "Sized.",
    )  # fmt: skip


def dropout(rng: np.random.Generator) -> Sample:
    n, d = size(rng), size(rng)
    kinds = [meaning.Dropout, meaning.OfConfig, meaning.OfInnerFunction, meaning.OfItsOwn]
    which = int(rng.integers(4))
    generators = [[np.random], [meaning.CONFIG.rng], [meaning.GENERATOR], None][which]
    return Sample(
        kinds[which].__name__, "generators", kinds[which], _normal((n, d)), Calls(), ONLY_X, "Sized.",
        noise=lambda subject: generators or [subject.options["rng"]],
    )  # fmt: skip


#: A subject, how it is called, and its arguments for n examples of d numbers.
MEANT: tuple[tuple[Callable[[], Any], Calls, Callable[[np.random.Generator, int, int], tuple[Any, ...]]], ...] = (
    (lambda: (meaning.energy, meaning.energy_gradient), PAIR,
     lambda rng, n, d: (rng.standard_normal(d), meaning.symmetric(rng, d))),
    (lambda: (meaning.turned, meaning.turned_gradient), PAIR,
     lambda rng, n, d: (rng.standard_normal(d), meaning.rotation(rng, d), rng.standard_normal(d))),
    (lambda: (meaning.along, meaning.along_gradient), PAIR,
     lambda rng, n, d: (rng.standard_normal((n, d)), meaning.unit(rng, d))),
    (lambda: (meaning.hinge, meaning.hinge_gradient), PAIR,
     lambda rng, n, d: (rng.standard_normal(d), rng.standard_normal((n, d)), np.sign(rng.standard_normal(n)))),
    (lambda: (meaning.logistic, meaning.logistic_gradient), PAIR,
     lambda rng, n, d: (rng.standard_normal(d), np.sign(rng.standard_normal(d)))),
    (meaning.SoftLabels, Calls(), lambda rng, n, d: (rng.standard_normal((n, d)), meaning.shares(rng, n, d))),
    (meaning.ColumnLabels, Calls("loss", "gradient", "arguments"),
     lambda rng, n, d: (rng.standard_normal((d, n)), np.eye(d)[:, rng.integers(0, d, n)])),
    (meaning.MaskedMean, Calls(),
     lambda rng, n, d: (rng.standard_normal((n, d, 2)), np.tri(n, d, k=int(rng.integers(d))))),
)  # fmt: skip


def with_meaning(rng: np.random.Generator) -> Sample:
    """A symmetric matrix, a rotation, a direction, signs, soft labels, columns or a mask."""
    n, d = size(rng), size(rng)
    make, calls, arguments = MEANT[int(rng.integers(len(MEANT)))]
    made = make()
    name = made[0].__name__ if isinstance(made, tuple) else type(made).__name__
    return Sample(name, "meaning", make, lambda rng: arguments(rng, n, d), calls, ONLY_X, "Sized.")


SIZED: tuple[Sized, ...] = (
    convolution, pool, batch_norm, running, rnn, lstm_step, lstm, attention, net, dropout, with_meaning, with_meaning,
)  # fmt: skip
