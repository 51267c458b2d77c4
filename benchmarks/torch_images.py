"""PyTorch on images: as its tutorials write it, with Adam's update in one fused kernel, and in two forms they advise.

Those are images with their channels last, and the loss compiled. Two things are not chainrule's: dropout divides by
what stays, in training, and Adam's epsilon is added after the correction for the start at 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import image_jobs
import torch
from image_jobs import calls_of_layer
from images import IMAGE, NETWORKS, Affine, Convolution, Dropout, Layer, MaxPooling, Shape, shape_after
from jobs import Array, Outcome, Pairs
from torch import nn
from torch.nn import functional


class Network:
    """Layers, a loss, ``backward()`` and an optimizer."""

    def __init__(
        self,
        name: str,
        train: Pairs,
        rate: float,
        *,
        channels_last: bool = False,
        compiled: bool = False,
        dropout: float = 0.5,
    ) -> None:
        layers, shape = [], IMAGE
        for layer in NETWORKS[name]:
            layers.append(_made(layer, shape, dropout))
            shape = shape_after(layer, shape)
        self.rate, (self.x, self.t) = rate, map(torch.from_numpy, train)
        self.net = nn.Sequential(*layers)
        if channels_last:
            self.net.to(memory_format=torch.channels_last)
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.params = [parameter.detach() for parameter in self.net.parameters()]
        self.loss = torch.compile(self._loss) if compiled else self._loss

    def start(self, parameters: list[Array]) -> None:
        """As `jobs.Trainer.start`."""
        for mine, given in zip(self.params, parameters, strict=True):
            mine.copy_(torch.from_numpy(given.T if given.ndim == 2 else given))
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=self.rate, fused=True)

    def train(self, rows: Array) -> Array:
        """As `jobs.Trainer.train`."""
        losses = torch.empty(len(rows))
        for i, batch in enumerate(torch.from_numpy(rows)):
            loss = self.loss(self.x[batch], self.t[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            losses[i] = loss.detach()
        return losses.numpy()

    def _loss(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.net(x), t)


def _made(layer: Layer, before: Shape, dropout: float) -> nn.Module:
    match layer:
        case Convolution(filters, size, pad):
            return nn.Conv2d(before[0], filters, size, padding=pad)
        case MaxPooling():
            return nn.MaxPool2d(2)
        case Affine(units):
            return nn.Sequential(nn.Flatten(), nn.Linear(prod(before), units))
        case Dropout():
            return nn.Dropout(dropout)
        case _:
            return nn.ReLU()


def passes(layer: Layer, x: Array, dout: Array, parameters: list[Array]) -> Callable[[], Any]:
    """Make a function that goes forward and back: it gives the output, and the gradients of input and parameters."""
    wanted = [torch.from_numpy(array).requires_grad_() for array in (x, *parameters)]
    arrives = torch.from_numpy(dout)
    mean, variance = torch.zeros(x.shape[1]), torch.ones(x.shape[1])

    def forward(x: torch.Tensor, *learnt: torch.Tensor) -> torch.Tensor:
        match layer:
            case Convolution(_, _, pad):
                return functional.conv2d(x, *learnt, padding=pad)
            case MaxPooling():
                return functional.max_pool2d(x, 2)
            case _:
                return functional.batch_norm(x, mean, variance, *learnt, training=True, momentum=0.1, eps=1e-6)

    def both() -> Any:
        out = forward(*wanted)
        return out.detach(), *torch.autograd.grad(out, wanted, arrives)

    return both


def eager(name: str, seed: int) -> Outcome:
    return image_jobs.steps(Network, name, seed)


def channels_last(name: str, seed: int) -> Outcome:
    return image_jobs.steps(Network, name, seed, channels_last=True)


def compiled(name: str, seed: int) -> Outcome:
    return image_jobs.steps(Network, name, seed, compiled=True)


def layer(what: str, seed: int) -> Outcome:
    return calls_of_layer(passes, what, seed)
