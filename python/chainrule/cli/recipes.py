"""Short training runs to a test accuracy of 97, 98 and 99 %: ``chainrule train --recipe``.

Each was the quickest of a few that reached the accuracy on the last 10,000 of MNIST's training images when trained on
the others; the test images played no part in the choice. `benchmarks/time_to_accuracy.py` measures the time they take,
from the start of the process.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from chainrule.cli.output import print_json, print_line, show, style_for
from chainrule.data.mnist import load_mnist
from chainrule.nn.initial_values import Draw
from chainrule.nn.layers import Affine, Convolution, Pooling, Relu, Rescaling, Reshape
from chainrule.nn.network import Network
from chainrule.storage.atomic_write import expect_writable
from chainrule.training.fit import fit
from chainrule.training.optimizers import Adam


class Recipe(NamedTuple):
    """A network and how it is trained: by Adam, in float32.

    Attributes
    ----------
    filters : tuple of (count, size)
        The filters of each convolution, which is followed by ReLU and 2 × 2 max pooling.
    hidden : tuple of int
        The units of each hidden layer after the convolutions, with ReLU.
    rates : tuple of float
        The learning rate of each epoch.
    batch : int
        Images per step; convolutions take sixteen at once.
    label_smoothing : float
    """

    filters: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...]
    rates: tuple[float, ...]
    batch: int
    label_smoothing: float


#: By the test accuracy in percent.
RECIPES = {
    97: Recipe((), (100,), (0.005, 0.001), 100, 0.0),
    98: Recipe(((8, 5),), (), (0.012, 0.003), 96, 0.05),
    99: Recipe(((16, 5), (24, 3)), (64,), (0.005, 0.0008), 64, 0.1),
}
#: Options that may be combined with a recipe.
_OPEN = {"recipe", "seed", "save", "data_dir", "format", "quiet"}


def network(recipe: Recipe, image: tuple[int, int, int], classes: int, seed: Any) -> Network:
    """Make the network of a recipe for images of bytes with the shape `image`."""
    draw = Draw(seed, np.float32)
    shape: tuple[int, ...] = image
    layers: dict[str, Any] = {"Rescaling1": Rescaling()}
    if recipe.filters:
        layers["Reshape1"] = Reshape(image)
    for i, (count, size) in enumerate(recipe.filters, 1):
        W = draw.weights(f"W{i}", "he", count, shape[0], size, size, inputs=shape[0] * size**2)
        block = {"Conv": Convolution(W, draw.zeros(count)), "Relu": Relu(), "Pool": Pooling(2, 2)}
        for name, layer in block.items():
            *_, shape = layer._described(shape)
            layers[f"{name}{i}"] = layer
    sizes = (int(np.prod(shape)), *recipe.hidden, classes)
    for i, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        W = draw.weights(f"W{len(recipe.filters) + i}", "he", inputs, outputs, inputs=inputs)
        layers[f"Affine{i}"] = Affine(W, draw.zeros(outputs))
        if i <= len(recipe.hidden):
            layers[f"Relu{len(recipe.filters) + i}"] = Relu()
    return Network(layers)


def run(options: argparse.Namespace, defaults: argparse.Namespace) -> int:
    """Train by a recipe and print the accuracy on the test images at the end."""
    started = time.perf_counter()
    for name, value in vars(options).items():
        if name not in _OPEN and value != getattr(defaults, name):
            option = "FILE" if name == "data" else f"--{name.replace('_', '-')}"
            raise ValueError(f"{option} does not go with --recipe, which says it all but --seed, --save and --data-dir")
    if options.save is not None:
        expect_writable(options.save)
    recipe = RECIPES[options.recipe]
    (x, t), (x_test, t_test) = load_mnist(normalize=False, flatten=not recipe.filters, data_dir=options.data_dir)
    rng = np.random.default_rng(options.seed or 0)
    image = (1, *x.shape[2:]) if recipe.filters else (1, 1, x.shape[1])
    net = network(recipe, image, int(np.max(t, initial=9)) + 1, rng)
    fit(
        net,
        x,
        t,
        epochs=len(recipe.rates),
        batch_size=recipe.batch,
        optimizer=Adam(recipe.rates[0]),
        schedule=recipe.rates.__getitem__,
        label_smoothing=recipe.label_smoothing,
        seed=rng,
        evaluate_train=False,
    )
    accuracy = net.accuracy(x_test, t_test)
    if options.save is not None:
        net.save(options.save)
    seconds = time.perf_counter() - started
    if options.format == "jsonl":
        print_json("result", recipe=options.recipe, epochs=len(recipe.rates), seconds=seconds, test_accuracy=accuracy)
        return 0
    show(f"{len(recipe.rates)} epochs in {seconds:.1f} s, loading and evaluating included")
    print_line(style_for(options).strong(f"test accuracy {accuracy:.4f}"))
    return 0
