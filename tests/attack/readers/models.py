"""Files of networks and of runs: read whole, or refused with nothing changed."""

from __future__ import annotations

import json
import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attack.mutations import mutated
from attack.reader import Reader
from attack.target import Wrong
from chainrule import (
    Adam,
    Affine,
    AveragePooling,
    BatchNormalization,
    Convolution,
    DataError,
    Dropout,
    EarlyStopping,
    Flatten,
    LayerNormalization,
    LeakyRelu,
    Network,
    Pooling,
    Relu,
    Rescaling,
    Reshape,
    TwoLayerNet,
    fit,
    load,
)


def small(seed: int = 0) -> TwoLayerNet:
    """Make a network of few numbers."""
    return TwoLayerNet(4, 3, 2, seed=seed)


def of_images() -> Network:
    """Make a network with layers of all kinds."""
    r = np.random.default_rng(0)
    layers = {
        "R": Reshape((1, 6, 6)),
        "S": Rescaling(0.5),
        "C": Convolution(r.normal(size=(2, 1, 3, 3)), np.zeros(2), 1, 1),
        "B": BatchNormalization(np.ones(2), np.zeros(2)),
        "L": LeakyRelu(0.1),
        "P": Pooling(2, 2, 2),
        "A": AveragePooling(2, 2, 1),
        "F": Flatten(),
        "D": Dropout(0.3),
        "E": Affine(r.normal(size=(8, 3)), np.zeros(3)),
        "N": LayerNormalization(np.ones(3), np.zeros(3)),
        "Q": Relu(),
        "Z": Affine(r.normal(size=(3, 2)), np.zeros(2)),
    }
    return Network(layers)


def data() -> tuple[Any, Any]:
    """Make what `small` is trained on."""
    return np.random.default_rng(1).normal(size=(12, 4)), np.arange(12) % 2


def run(net: Any, **options: Any) -> Any:
    """Train it as the run of the file was."""
    x, t = data()
    callbacks = [EarlyStopping(patience=3)]
    return fit(
        net, x, t, epochs=3, batch_size=5, seed=0, optimizer=Adam(), validation=0.25, callbacks=callbacks, **options
    )


def saved() -> list[bytes]:
    """Give files of networks and of a run."""
    made = []
    for net in (small(), of_images(), TwoLayerNet(4, 3, 2, dtype=np.float32, seed=0)):
        net.save("net")
        made.append(Path("net").read_bytes())
    run(small(), checkpoint="run")
    return [*made, Path("run").read_bytes()]


def bits(net: Any) -> list[tuple[str, bytes]]:
    """Give all numbers of a network."""
    return [(name, array.dtype.str.encode() + array.tobytes()) for name, array in net.params.items()]


_WORDS = [
    b'"',
    b"{}",
    b"[]",
    b"null",
    b'"own":true',
    b"Affine",
    b"Relu",
    b"Pooling",
    b'"F32"',
    b'"I64"',
    b'"kind"',
    b"1e999",
]
_WORDS_OF_A_RUN = [*_WORDS, b"PCG64", b"MT19937", b'"iter"', b'"pos"', b'"buffer_pos"']


class Models(Reader):
    """`load`, into a new network and into one that is there."""

    name = "model"
    allowed = (DataError, ValueError)
    words = _WORDS

    def valid(self) -> Sequence[bytes]:
        return saved()

    def deeper(self, rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes | None:
        """Change the header and put its length right; or the description, which is JSON within JSON."""
        if len(case) < 8 or not (length := struct.unpack("<Q", case[:8])[0]) <= len(case) - 8:
            return None
        header, numbers = case[8 : 8 + length], case[8 + length :]
        if rng.random() < 0.6:
            try:
                said = json.loads(header)
                text = said["__metadata__"]["chainrule"].encode()
                parts = [part.encode() for part in re.findall(r"\{[^{}]*\}|\[[^\[\]]*\]", text.decode())] or [b"{}"]
                said["__metadata__"]["chainrule"] = mutated(rng, text, parts, self.words).decode(errors="replace")
                header = json.dumps(said, ensure_ascii=False).encode()
            except (ValueError, KeyError, TypeError, AttributeError):
                return None
        else:
            header = mutated(rng, header, [header], self.words)
        return struct.pack("<Q", len(header)) + header + numbers

    def read(self, case: bytes) -> str:
        Path("file").write_bytes(case)
        there = small(1)
        before = bits(there)
        try:
            load("file", into=there)
            into = "into"
        except (DataError, ValueError) as error:
            if type(error) not in self.allowed:
                raise
            if bits(there) != before:
                raise Wrong("a network was filled in part") from error
            into = ""
        net = load("file")
        net.save("again")
        again = load("again")
        if bits(again) != bits(net) or again.layers.keys() != net.layers.keys():
            raise Wrong("saved and loaded again it is another network")
        return f"{type(net).__name__} {len(net.layers)} {self._use(net)} {into}"

    @staticmethod
    def _use(net: Any) -> str:
        """Predict with it: numbers, or an error that says what does not fit."""
        sizes = [
            value for layer in net.layers.values() for value in vars(layer).values() if isinstance(value, int | float)
        ]
        if any(abs(size) > 1000 for size in sizes):  # so is memory then
            return "large"
        for shape in ((2, 4), (2, 36), (2, 1, 6, 6)):
            try:
                net.predict(np.ones(shape))
            except ValueError as error:
                if type(error) is not ValueError:
                    raise
            else:
                return "predicts"
        return "fits none"


class Checkpoints(Models):
    """`fit(resume=…)`: it goes on, or refuses with network and optimizer as they were."""

    name = "checkpoint"
    words = _WORDS_OF_A_RUN

    def valid(self) -> Sequence[bytes]:
        return saved()[-1:]

    def read(self, case: bytes) -> str:
        Path("file").write_bytes(case)
        net = small(2)
        before = bits(net)
        try:
            history = run(net, resume="file")
        except (DataError, ValueError) as error:
            if bits(net) != before:
                raise Wrong("a network was changed by a run that was refused") from error
            raise
        except FloatingPointError:  # the parameters in the file are large
            return "diverged"
        return f"went on {len(history.losses)}"
