"""NumPy: the tutorial's loop as published, and one with nothing left to save.

The tuned network computes in float32 and allocates nothing in a step. All its parameters lie in one array and all
gradients in another, so that an update is a call or two; the batch size and the learning rate of plain descent are
multiplied into the scores' gradient, the smallest array there is. Images stay bytes: gathering and converting them is
quicker than gathering float32, and 1/255 is multiplied into the hidden layer instead of every pixel.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import jobs
import numpy as np
from jobs import PIXEL, Array, Outcome, Pairs
from works import DIGITS

import chainrule

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import seed_reference

ADAMS_RATE, BETA1, BETA2, EPSILON = 0.001, 0.9, 0.999, 1e-7


class Network:
    """A network with all the room it needs for a step."""

    def __init__(
        self, widths: Sequence[int], batch: int, train: Pairs, test: Pairs, rate: float, *, adam: bool = False
    ) -> None:
        self.train_data, self.test_data = train, test
        self.scale = np.float32(PIXEL if train[0].dtype == np.uint8 else 1)
        self.widths = tuple(widths)
        shapes = [shape for a, b in pairwise(widths) for shape in ((a, b), (b,))]
        size = sum(int(np.prod(shape)) for shape in shapes)
        self.all_params, self.all_grads = np.zeros(size, np.float32), np.zeros(size, np.float32)
        self.params, self.grads = _views(self.all_params, shapes), _views(self.all_grads, shapes)
        self.layers = list(zip(self.params[::2], self.params[1::2], strict=True))
        self.layer_grads = list(zip(self.grads[::2], self.grads[1::2], strict=True))
        self.outs = _room(self.widths[1:], batch)
        self.douts = _room(self.widths[1:-1], batch)
        self.masks = [np.empty(dout.shape, bool) for dout in self.douts]
        self.gathered = np.empty((batch, widths[0]), train[0].dtype)
        self.x = np.empty((batch, widths[0]), np.float32)
        self.first_score = np.arange(batch) * widths[-1]
        self.row = np.empty((batch, 1), np.float32)
        self.ones = np.ones(batch, np.float32)
        self.update = self._adam if adam else self._descend
        # Adam's rate comes after the gradient.
        self.share = np.float32((1 if adam else rate) / batch)
        self.rate, self.steps = rate, 0
        self.m, self.v, self.spare = (np.zeros(size, np.float32) for _ in range(3))

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Learner.start`."""
        for mine, given in zip(self.params, parameters, strict=True):
            mine[...] = given
        self.m[...] = self.v[...] = self.steps = 0

    def train(self, rows: Array) -> Array:
        """As `jobs.Learner.train`."""
        x, t = self.train_data
        losses = np.empty(len(rows))
        for i, batch in enumerate(rows):
            # Anything but mode="raise" gathers straight into out.
            x.take(batch, axis=0, out=self.gathered, mode="clip")
            losses[i] = self.step(self.gathered, t.take(batch))
        return losses

    def step(self, x: Array, t: Array) -> float:
        """Do one step; give the loss before it."""
        if x.dtype != np.float32:
            self.x[...] = x
            x = self.x
        scores = self._forward(x, self.outs)
        right = self.first_score + t
        flat = scores.reshape(-1)
        np.maximum.reduce(scores, axis=1, keepdims=True, out=self.row)
        scores -= self.row
        picked = np.add.reduce(flat.take(right))
        np.exp(scores, out=scores)
        np.add.reduce(scores, axis=1, keepdims=True, out=self.row)
        scores /= self.row
        flat[right] -= 1
        scores *= self.share
        np.log(self.row, out=self.row)
        loss = (np.add.reduce(self.row, axis=None) - picked) / len(x)

        dout = scores
        for i in range(len(self.layers) - 1, -1, -1):
            dW, db = self.layer_grads[i]
            np.matmul(self.ones, dout, out=db)  # a sum over the batch, twice as fast as add.reduce
            if i == 0:
                if self.scale != 1:
                    dout *= self.scale
                np.matmul(x.T, dout, out=dW)
                break
            hidden, before, mask = self.outs[i - 1], self.douts[i - 1], self.masks[i - 1]
            np.matmul(hidden.T, dout, out=dW)
            np.matmul(dout, self.layers[i][0].T, out=before)
            np.greater(hidden, 0, out=mask)
            before *= mask
            dout = before
        self.update()
        return float(loss)

    def _forward(self, x: Array, outs: list[Array]) -> Array:
        out = x
        for (W, b), room in zip(self.layers, outs, strict=True):
            first, out = out is x, np.matmul(out, W, out=room)
            if first and self.scale != 1:
                out *= self.scale
            out += b
            if room is not outs[-1]:
                np.maximum(out, 0, out=out)
        return out

    def _descend(self) -> None:
        self.all_params -= self.all_grads

    def _adam(self) -> None:
        """Do as `chainrule.Adam` does, to all parameters at once."""
        self.steps += 1
        rate = self.rate * (1 - BETA2**self.steps) ** 0.5 / (1 - BETA1**self.steps)
        g, m, v, spare = self.all_grads, self.m, self.v, self.spare
        np.multiply(g, np.float32(1 - BETA1), out=spare)
        m *= np.float32(BETA1)
        m += spare
        np.multiply(g, g, out=g)
        g *= np.float32(1 - BETA2)
        v *= np.float32(BETA2)
        v += g
        np.sqrt(v, out=spare)
        spare += np.float32(EPSILON)
        np.divide(m, spare, out=spare)
        spare *= np.float32(rate)
        self.all_params -= spare

    def evaluate(self) -> float:
        """As `jobs.Learner.evaluate`."""
        _, accuracy = (self._accuracy(x, t) for x, t in (self.train_data, self.test_data))
        return accuracy

    def _accuracy(self, x: Array, t: Array) -> float:
        right = 0
        parts = jobs.blocks(len(x))
        size = parts[0].stop
        floats, outs, found = (
            np.empty((size, x.shape[1]), np.float32),
            _room(self.widths[1:], size),
            np.empty(size, int),
        )
        for part in parts:
            n = part.stop - part.start
            floats[:n] = x[part]
            self._forward(floats[:n], [out[:n] for out in outs]).argmax(axis=1, out=found[:n])
            right += int(np.count_nonzero(found[:n] == t[part]))
        return right / len(x)


def _views(flat: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    return [part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


def _room(widths: Sequence[int], batch: int) -> list[Array]:
    return [np.empty((batch, width), np.float32) for width in widths]


def published(iterations: int, seed: int) -> Outcome:
    return jobs.tutorials_loop(seed_reference, iterations, seed)


def job(iterations: int, seed: int) -> Outcome:
    return jobs.job(Network, iterations, seed)


def step(seed: int) -> Outcome:
    return jobs.steps_of_digits(Network, seed)


def adam(seed: int) -> Outcome:
    return jobs.steps_of_digits(partial(Network, adam=True), seed, ADAMS_RATE)


def dense(seed: int) -> Outcome:
    return jobs.steps_of_dense(Network, seed)


def product(shape: tuple[int, int, int], dtype: str, seed: int) -> Outcome:
    x, W, _, out, times = jobs.product_data(shape, dtype, seed)
    return jobs.calls(lambda: np.matmul(x, W, out=out), times)


def accuracy(seed: int) -> Outcome:
    np.random.seed(seed)
    (x, t), _ = chainrule.load_mnist(normalize=True)
    net = seed_reference.TwoLayerNet(*DIGITS)
    for layer in (net.layers["Affine1"], net.layers["Affine2"]):
        layer.W, layer.b = layer.W.astype(np.float32), layer.b.astype(np.float32)
    return jobs.calls(lambda: net.accuracy(x, t), 10)
