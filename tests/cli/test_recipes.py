"""``chainrule train --recipe``: short trainings whose settings are fixed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from chainrule import check_gradients, load, load_mnist
from chainrule.cli import main
from chainrule.cli.recipes import RECIPES, network
from idx_files import write
from train_command import failure

Text = pytest.CaptureFixture[str]


@pytest.mark.parametrize("target", RECIPES)
def test_what_is_saved_is_what_was_measured(target: int, digits: str, tmp_path: Path, capsys: Text) -> None:
    file = tmp_path / "net.safetensors"
    found = []
    for _ in range(2):  # the second time with the same bits
        arguments = ["--recipe", str(target), "--data-dir", digits, "--save", str(file), "--format", "jsonl"]
        assert main(["train", *arguments]) == 0
        result = json.loads(capsys.readouterr().out)
        net = load(file)
        assert (result["event"], result["recipe"]) == ("result", target)
        assert result["epochs"] == len(RECIPES[target].rates)
        _, (x, t) = load_mnist(normalize=False, flatten=target == 97, data_dir=digits)
        assert net.accuracy(x, t) == result["test_accuracy"] > 0.2
        found.append(b"".join(array.tobytes() for array in net.params.values()))
    assert found[0] == found[1]


def test_another_seed_is_another_network(digits: str, capsys: Text) -> None:
    said = []
    for seed in ("1", "2"):
        assert main(["train", "--recipe", "97", "--seed", seed, "--data-dir", digits]) == 0
        said.append(capsys.readouterr().out.splitlines()[-1])
    assert all(line.startswith("test accuracy 0.") for line in said)
    nets = [network(RECIPES[97], (1, 28, 28), 10, seed) for seed in (1, 2)]
    first, second = (next(iter(net.params.values())) for net in nets)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("target", RECIPES)
def test_the_networks_gradients_are_right(target: int) -> None:
    rng = np.random.default_rng(0)
    net = network(RECIPES[target], (1, 28, 28) if RECIPES[target].filters else (1, 1, 784), 10, 0)
    for array in net.params.values():  # no corner at 0
        array += 0.01 * rng.standard_normal(array.shape)
    x = rng.integers(0, 256, (3, 1, 28, 28) if RECIPES[target].filters else (3, 784), np.uint8)
    assert check_gradients(net, x, np.array([3, 1, 4]), mode="directions").ok


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--epochs", "3"], "--epochs does not go with --recipe"),
        (["--net", "mlp"], "--net does not go with --recipe"),
        (["--batch-norm"], "--batch-norm does not go with --recipe"),
        (["--checkpoint-every", "2"], "--checkpoint-every does not go with --recipe"),
        (["--report", "page.html"], "--report does not go with --recipe"),
    ],
)
def test_a_recipe_says_it_all(arguments: list[str], said: str, capsys: Text) -> None:
    assert failure(["--recipe", "98", *arguments], capsys).startswith(said)


def test_images_may_be_too_small(tmp_path: Path, capsys: Text) -> None:
    small = (np.zeros((100, 9, 9), np.uint8), np.zeros(100, np.uint8))
    folder = write(tmp_path, train=small, test=small)
    assert "window" in failure(["--recipe", "99", "--data-dir", folder], capsys)
