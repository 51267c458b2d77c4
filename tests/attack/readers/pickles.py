"""Pickles of weights and of runs: read without running anything, or refused."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attack.reader import Reader
from attack.target import Wrong
from chainrule import DataError, read_book_weights
from chainrule.book.pickles import loads

#: Instructions, and what they might be wanted to name.
_WORDS = [
    *(bytes([code]) for code in b"(.01234:;<=>?@ABCDFGIJKLMNPQRSTUVX[]abcdefghijlopqrstuv}"),
    *(bytes([code]) for code in range(0x80, 0x99)),
    b"cos\nsystem\n", b"cbuiltins\neval\n", b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"(t", b"\x8c\x02f8",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy._core.numeric\n_frombuffer\n", b"c_codecs\nencode\n",
    b"cnumpy.core.multiarray\nscalar\n", b"cchainrule.nn.parameters.named\nParameters\n",
]  # fmt: skip

_PLAIN = (dict, list, tuple, str, bytes, bytearray, int, float, np.ndarray, np.generic, type(None))


def things() -> list[Any]:
    """Give what a script may have written."""
    weights = {"W1": np.arange(6.0).reshape(2, 3), "b1": np.zeros(3, np.float32)}
    return [
        weights,
        {"W": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)), "b": np.array([True, False])},
        {"none": np.zeros((0, 4), np.float16)},
        {"losses": [2.3, np.float64(1.5)], "epoch": 3, "shape": (1, (2, b"3")), "name": "net", "no": None},
        [weights["W1"], 2**70, -1, [[]], {}],
    ]


class Pickles(Reader):
    """`read_book_weights`, and what stands in for ``pickle.loads`` in scripts of the book."""

    name = "pickle"
    allowed = (DataError,)
    words = _WORDS

    def valid(self) -> Sequence[bytes]:
        made = [pickle.dumps(thing, protocol) for thing in things() for protocol in (0, 2, 4, 5)]
        return [*made, pickle.dumps(OrderedDict(things()[0]), 2)]

    def read(self, case: bytes) -> str:
        said = []
        for reads in (self._weights, self._plain):
            try:
                said.append(reads(case))
            except DataError as error:
                refusal = error
        if not said:
            raise refusal
        return " ".join(said)

    def _weights(self, case: bytes) -> str:
        Path("file").write_bytes(case)
        found = read_book_weights("file")
        if not all(type(name) is str and type(array) is np.ndarray for name, array in found.items()):
            raise Wrong("what was read is no dict of arrays")
        if sum({id(array): array.nbytes for array in found.values()}.values()) > 2 * len(case):
            raise Wrong("the arrays are larger than the file")
        return f"weights {len(found)} {sorted({array.dtype.name for array in found.values()})}"

    def _plain(self, case: bytes) -> str:
        try:
            found = loads(case)
        except EOFError:
            if case:
                raise
            return "nothing"
        if not isinstance(found, _PLAIN):
            raise Wrong(f"what was read is of type {type(found).__name__}")
        return f"plain {type(found).__name__}"
