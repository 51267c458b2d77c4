"""A recipe of `time_to_accuracy` in PyTorch, as a whole process: ``python torch_recipes.py RECIPE SEED``, as JSON."""

from __future__ import annotations

import gzip
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn


def read(folder: str, name: str, header: int) -> torch.Tensor:
    """Give the bytes of an IDX file."""
    return torch.frombuffer(bytearray(gzip.decompress(Path(folder, name).read_bytes())), dtype=torch.uint8)[header:]


def images(folder: str, name: str, flat: bool) -> torch.Tensor:
    """Give images as fractions, rows or with channels last."""
    x = read(folder, f"{name}-images-idx3-ubyte.gz", 16).view(-1, 1, 28, 28).float().div_(255)
    return x.flatten(1) if flat else x.to(memory_format=torch.channels_last)


def network(recipe: dict[str, Any]) -> nn.Module:
    """Make the network of a recipe, its weights drawn by He's rule."""
    layers: list[nn.Module] = []
    channels, size = 1, 28
    for filters, width in recipe["filters"]:
        layers += [nn.Conv2d(channels, filters, width), nn.ReLU(), nn.MaxPool2d(2)]
        channels, size = filters, (size - width + 1) // 2
    layers += [nn.Flatten()] if recipe["filters"] else []
    sizes = [channels * size**2, *recipe["hidden"], 10]
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    for layer in layers:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    net = nn.Sequential(*layers[:-1])
    return net.to(memory_format=torch.channels_last) if recipe["filters"] else net  # type: ignore[call-overload, no-any-return]


def main() -> None:
    """Train and evaluate; print the accuracy."""
    recipe = json.loads(sys.argv[1])
    torch.manual_seed(int(sys.argv[2]))
    flat, folder = not recipe["filters"], recipe["folder"]
    x, t = images(folder, "train", flat), read(folder, "train-labels-idx1-ubyte.gz", 8).long()
    net = network(recipe)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe["label_smoothing"])
    optimizer = torch.optim.Adam(net.parameters(), recipe["rates"][0], fused=True)
    for rate in recipe["rates"]:
        optimizer.param_groups[0]["lr"] = rate
        for batch in torch.randperm(len(x)).split(recipe["batch"]):
            optimizer.zero_grad()
            loss(net(x[batch]), t[batch]).backward()
            optimizer.step()
    x_test, t_test = images(folder, "t10k", flat), read(folder, "t10k-labels-idx1-ubyte.gz", 8)
    with torch.inference_mode():
        right = sum(
            int((net(a).argmax(1) == b).sum()) for a, b in zip(x_test.split(500), t_test.split(500), strict=True)
        )
    print(json.dumps({"test_accuracy": right / len(x_test)}))


if __name__ == "__main__":
    main()
