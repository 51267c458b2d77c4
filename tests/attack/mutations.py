"""Bytes changed as accidents and attackers change them."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable, Sequence

LONGEST = 2**14
#: Sizes at which something turns over.
_EDGES = [2**bits + by for bits in (0, 7, 8, 15, 16, 20, 24, 31, 32, 63, 64) for by in (-1, 0, 1)]
INTERESTING = [*_EDGES, *(-edge for edge in _EDGES), 10, 28, 100, 784]
#: What is not a number, or more of one.
STRANGE = [b"nan", b"inf", b"-inf", b"1e308", b"1e-320", b"1e999", b"null", b"true", b"0x10", b"", b"-0", b"1_0"]

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutated(rng: random.Random, case: bytes, others: Sequence[bytes], words: Sequence[bytes] = ()) -> bytes:
    """Change a case in a few places; `others` are such to take parts of, `words` what its format knows."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 8))):
        ways = [*_WAYS, _word] if words else _WAYS
        way = rng.choice(ways)
        case = way(rng, case, words if way is _word else others)
    return case[:LONGEST]


def _part(rng: random.Random, case: bytes) -> tuple[int, int]:
    """Draw where a part begins and ends; small ones are as frequent as large ones."""
    length = min(int(2 ** rng.uniform(0, 10)), len(case))
    start = rng.randrange(len(case) - length + 1)
    return start, start + length


def _flip(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    return _put(rng, case, lambda byte: byte ^ (1 << rng.randrange(8)))


def _byte(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    return _put(rng, case, lambda _: rng.randrange(256))


def _step(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    return _put(rng, case, lambda byte: (byte + rng.choice((-1, 1))) % 256)


def _put(rng: random.Random, case: bytes, change: Callable[[int], int]) -> bytes:
    changed = bytearray(case or b"\0")
    at = rng.randrange(len(changed))
    changed[at] = change(changed[at])
    return bytes(changed)


def _leave_out(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(rng, case)
    return case[:start] + case[end:]


def _cut(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    return case[: rng.randrange(len(case) + 1)]


def _twice(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _part(rng, case)
    return case[:end] + case[start:end] * rng.choice((1, 1, 2, 20)) + case[end:]


def _swap(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    a, b, c = sorted(rng.randrange(len(case) + 1) for _ in range(3))
    return case[:a] + case[b:c] + case[a:b] + case[c:]


def _splice(rng: random.Random, case: bytes, others: Sequence[bytes]) -> bytes:
    other = rng.choice(others)
    start, end = _part(rng, other)
    at = rng.randrange(len(case) + 1)
    behind = at + rng.choice((0, end - start))
    return case[:at] + other[start:end] + (case[behind:] if rng.random() < 0.8 else other[end:])


def _size(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    form = rng.choice(("<B", "<H", ">H", "<I", ">I", "<Q", ">Q"))
    number = rng.choice(INTERESTING) % 2 ** (8 * struct.calcsize(form))
    at = rng.randrange(len(case) + 1)
    return case[:at] + struct.pack(form, number) + case[at + struct.calcsize(form) :]


def _written_number(rng: random.Random, case: bytes, _: Sequence[bytes]) -> bytes:
    """Put another number in the place of one that is written in digits."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?", case))
    if not found:
        return _size(rng, case, ())
    start, end = rng.choice(found).span()
    other = rng.choice([*STRANGE, *(str(number).encode() for number in INTERESTING)])
    return case[:start] + other + case[end:]


def _word(rng: random.Random, case: bytes, words: Sequence[bytes]) -> bytes:
    """Put in a word, or put it in the place of another."""
    word = rng.choice(words)
    found = [match.span() for match in re.finditer(rb"\w+", case)]
    if found and rng.random() < 0.5:
        start, end = rng.choice(found)
    else:
        start = end = rng.randrange(len(case) + 1)
    return case[:start] + word + case[end:]


_WAYS: list[Mutation] = [_flip, _byte, _step, _leave_out, _cut, _twice, _swap, _splice, _size, _written_number]
