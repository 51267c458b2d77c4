"""How many photographs of digits are read rightly, kind by kind, and how many of the others are called doubtful.

    python benchmarks/photographs.py --digits 100 --seed 1

trains a network (`chainrule train --recipe 98`), takes photographs of so many of MNIST's test images in each way of
tests/photographs.py, and prints the table of docs/command-line.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from chainrule import DataError, load, load_mnist, softmax
from chainrule.cli.predict import SURE
from chainrule.data.images import read_digit

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from photographs import ASKED, OTHERS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell(Path(folder), options.digits, options.seed)


def tell(folder: Path, digits: int, seed: int) -> None:
    model = folder / "net.safetensors"
    subprocess.run(
        [sys.executable, "-m", "chainrule", "train", "--recipe", "98", "--quiet", "--save", str(model)], check=True
    )
    net = load(model)
    _, (x, t) = load_mnist(normalize=False)
    chosen = np.random.default_rng(seed).permutation(len(x))[:digits]
    as_they_are = (net.predict(x[chosen]).argmax(axis=1) == t[chosen]).sum()
    print(f"of {digits} images as they are, {as_they_are} are read rightly\n")
    print("| photograph | right | wrong, and told | wrong, not told | refused | right, but called doubtful |")
    print("|:---|---:|---:|---:|---:|---:|")
    for kind, take in {**ASKED, **OTHERS}.items():
        some = chosen[:10] if "4000" in kind else chosen
        counts = np.zeros((2, 2), int)
        for i in some:
            picture = take(x[i], np.random.default_rng([seed, i]))
            path = folder / ("picture.jpg" if picture.mode == "CMYK" else "picture.png")
            picture.save(path, compress_level=1)
            try:
                image, doubts = read_digit(path)
            except DataError:
                continue
            row = softmax(net.predict(image[None]))[0]
            counts[int(row.argmax() == t[i]), int(bool(doubts) or row.max() < SURE)] += 1
        (silent, told), right = counts[0], counts[1]
        of = f"{right.sum()} of {len(some)}"
        print(f"| {kind} | {of} | {told} | {silent} | {len(some) - counts.sum()} | {right[1]} |", flush=True)


if __name__ == "__main__":
    main()
