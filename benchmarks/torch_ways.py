"""PyTorch: as its tutorials write it, and with the backward pass written out by hand.

The hand-written network allocates nothing large in a step. It holds its weights (outputs, inputs) as ``nn.Linear``
does, because the gradient's product is quicker that way round, and adds that product straight to the weights. It reads
images as bytes and multiplies 1/255 into the products.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import jobs
import numpy as np
import torch
from jobs import PIXEL, Array, Outcome, Pairs
from torch import nn


class Eager:
    """Layers, a loss, ``backward()`` and an optimizer; float32 images, as such programs have them."""

    def __init__(self, widths: Sequence[int], batch: int, train: Pairs, test: Pairs, rate: float) -> None:
        self.sets = [(torch.from_numpy(jobs.pixels(x)), torch.from_numpy(t)) for x, t in (train, test)]
        layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.net = nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=rate)

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Learner.start`."""
        with torch.no_grad():
            for mine, given in zip(self.net.parameters(), parameters, strict=True):
                mine.copy_(torch.from_numpy(given.T))

    def train(self, rows: Array) -> Array:
        """As `jobs.Learner.train`."""
        x, t = self.sets[0]
        losses = torch.empty(len(rows))
        for i, batch in enumerate(torch.from_numpy(rows)):
            loss = nn.functional.cross_entropy(self.net(x[batch]), t[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses[i] = loss.detach()
        return losses.numpy()

    @torch.inference_mode()
    def evaluate(self) -> float:
        """As `jobs.Learner.evaluate`."""
        for x, t in self.sets:
            right = sum(int((self.net(x[part]).argmax(1) == t[part]).sum()) for part in jobs.blocks(len(x)))
            accuracy = right / len(x)
        return accuracy


class HandWritten:
    """The same network without autograd, optimizer and temporary arrays."""

    def __init__(self, widths: Sequence[int], batch: int, train: Pairs, test: Pairs, rate: float) -> None:
        self.sets = [(torch.from_numpy(x), torch.from_numpy(t)) for x, t in (train, test)]
        self.scale = PIXEL if train[0].dtype == np.uint8 else 1.0
        self.widths, self.share = tuple(widths), -rate / batch
        self.layers = [(torch.empty(b, a), torch.empty(b)) for a, b in pairwise(widths)]
        self.gathered = torch.empty(batch, widths[0], dtype=self.sets[0][0].dtype)
        self.x = torch.empty(batch, widths[0])
        self.outs = [torch.empty(batch, width) for width in widths[1:]]
        self.douts = [torch.empty(batch, width) for width in widths[1:]]
        self.t = torch.empty(batch, 1, dtype=torch.int64)
        self.ones, self.minus_one = torch.ones(batch), -torch.ones(batch, 1)

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Learner.start`."""
        arrays = [array for layer in self.layers for array in layer]
        for mine, given in zip(arrays, parameters, strict=True):
            mine.copy_(torch.from_numpy(given.T))

    @torch.inference_mode()
    def train(self, rows: Array) -> Array:
        """As `jobs.Learner.train`."""
        x, t = self.sets[0]
        losses = torch.empty(len(rows))
        for i, batch in enumerate(torch.from_numpy(rows)):
            torch.index_select(x, 0, batch, out=self.gathered)
            torch.index_select(t, 0, batch, out=self.t[:, 0])
            losses[i] = self.step()
        return losses.numpy()

    def step(self) -> torch.Tensor:
        """Do one step with what was gathered; give the loss before it."""
        x = self.gathered if self.gathered.dtype == torch.float32 else self.x.copy_(self.gathered)
        scores = self._forward(x, self.outs)
        dout = torch.log_softmax(scores, 1, out=self.douts[-1])
        loss = nn.functional.nll_loss(dout, self.t[:, 0])
        dout.exp_().scatter_add_(1, self.t, self.minus_one)
        for i in range(len(self.layers) - 1, -1, -1):
            W, b = self.layers[i]
            this, before = dout, self.outs[i - 1] if i else x
            if i:
                dout = torch.mm(dout, W, out=self.douts[i - 1])
                torch.ops.aten.threshold_backward.grad_input(dout, before, 0, grad_input=dout)
            W.addmm_(this.t(), before, alpha=self.share * (1 if i else self.scale))
            b.addmv_(this.t(), self.ones, alpha=self.share)
        return loss

    def _forward(self, x: torch.Tensor, outs: list[torch.Tensor]) -> torch.Tensor:
        out, scale = x, self.scale
        for (W, b), room in zip(self.layers, outs, strict=True):
            out = torch.addmm(b, out, W.t(), alpha=scale, out=room)
            if room is not outs[-1]:
                out.relu_()
            scale = 1.0
        return out

    @torch.inference_mode()
    def evaluate(self) -> float:
        """As `jobs.Learner.evaluate`."""
        for x, t in self.sets:
            parts = jobs.blocks(len(x))
            floats = torch.empty(parts[0].stop, x.shape[1])
            outs = [torch.empty(parts[0].stop, width) for width in self.widths[1:]]
            right = 0
            for part in parts:
                n = part.stop - part.start
                found = self._forward(floats[:n].copy_(x[part]), [out[:n] for out in outs]).argmax(1)
                right += int((found == t[part]).sum())
            accuracy = right / len(x)
        return accuracy


def eager_job(iterations: int, seed: int) -> Outcome:
    return jobs.job(Eager, iterations, seed)


def job(iterations: int, seed: int) -> Outcome:
    return jobs.job(HandWritten, iterations, seed)


def eager_dense(seed: int) -> Outcome:
    return jobs.steps_of_dense(Eager, seed)


def dense(seed: int) -> Outcome:
    return jobs.steps_of_dense(HandWritten, seed)
