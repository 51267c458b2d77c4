"""What a target is, and what is wrong."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Generator, Sequence
from pathlib import Path

import chainrule

_PACKAGE = f"{Path(chainrule.__file__).parent}{os.sep}"
_DETAIL = re.compile(r"'[^']*'|\"[^\"]*\"|\b[0-9a-f]{2,}\b|[\d.,+-]+|\([^)]*\)")


class Wrong(AssertionError):
    """What must not happen, in words."""


class Target:
    """Something that is attacked."""

    #: A case that takes longer hangs.
    patience = 5.0
    #: Bytes by which the most memory that the process ever had may rise in one case.
    memory = 64 * 2**20
    #: For how long it is to be attacked, if somebody asks.
    seconds = 10.0
    #: Whether its cases are made for that time, and all are tried.
    ends_itself = False
    #: Whether a case is found wrong more plainly when parts of it are left out.
    shrinks = False

    def cases(self, rng: random.Random) -> Generator[bytes, str, None]:
        """Make cases without end, or all there are; what `judge` said of each is sent back."""
        while True:
            yield str(rng.getrandbits(48)).encode()

    def judge(self, case: bytes) -> str:
        """Try a case, and say in a few words what came of it; raise `Wrong`, or what should not be raised."""
        raise NotImplementedError

    def notes(self) -> list[str]:
        """Say what else was seen."""
        return []

    def learned(self) -> Sequence[bytes]:
        """Give the cases that were unlike all before."""
        return ()


def place(error: BaseException) -> str:
    """Give the last line of the package that an error has come through."""
    found, step = "elsewhere", error.__traceback__
    while step is not None:
        name = step.tb_frame.f_code.co_filename
        if name.startswith(_PACKAGE):
            found = f"{name.removeprefix(_PACKAGE)}:{step.tb_lineno}"
        step = step.tb_next
    return found


def kind(error: BaseException) -> str:
    """Tell an error from others by its class, its place, and its text without what is particular in it."""
    return f"{type(error).__name__} {place(error)} {_DETAIL.sub('#', str(error).rpartition('file: ')[2])[:80]}"


def number_of(case: bytes) -> int:
    """Give the number that a case is drawn from."""
    return int(case)
