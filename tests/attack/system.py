"""Each system call of each thing that is written: the last one before a kill -9, or one that fails.

What was there is there, or what is new, whole; an error is an OSError, and leaves no temporary file.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from attack.target import Target, Wrong
from chainrule import Adam, DataError, TwoLayerNet, fit, load
from chainrule.cli import main
from chainrule.cli.output import write_text
from chainrule.data import download
from system_calls import die, strike

_ERRORS = [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EDQUOT]
_X, _T = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 2


def net(seed: int) -> TwoLayerNet:
    return TwoLayerNet(4, 3, 2, seed=seed)


@dataclass(frozen=True)
class Job:
    """What is written over what, in the working folder, and what may be there afterwards."""

    before: Callable[[], Any]
    write: Callable[[], Any]
    #: Says "old", "new" or what is wrong.
    now: Callable[[], str]


def _bits(made: Any) -> list[bytes]:
    return [array.tobytes() for array in made.params.values()]


def _saved() -> str:
    now = _bits(load("file"))
    return {True: "old"}.get(now == _bits(net(0)), "new" if now == _bits(net(1)) else "another network")


def _train(made: Any, epochs: int, **options: Any) -> Any:
    return fit(made, _X, _T, epochs=epochs, batch_size=7, seed=3, optimizer=Adam(), **options)


def _trained() -> str:
    """Go on from the file: the end is that of a whole run, whichever epoch it was written after."""
    if not Path("file").exists():
        return "old"
    whole, again = net(0), net(0)
    _train(whole, 4)
    _train(again, 4, resume="file")
    return "new" if _bits(whole) == _bits(again) else "another run"


_RIGHT = {"a": b"right " * 50, "b": b"right too " * 50}


def _check(name: str, file: Any) -> None:
    if file.read() != _RIGHT[name]:
        raise DataError(f"{name}: wrong")


def _fetch() -> None:
    """Fetch two files from a mirror that has them; one is there and wrong."""

    def fetch_into(file: Any, name: str, *_: Any) -> None:
        file.write(_RIGHT[name])

    setattr(download, "fetch_into", fetch_into)  # noqa: B010  # mypy: it is another function
    download.fetch(Path("."), {name: len(body) for name, body in _RIGHT.items()}, _check)


def _fetched() -> str:
    for name, body in _RIGHT.items():
        if Path(name).exists() and Path(name).read_bytes() not in (body, b"wrong" * (name == "a")):
            return f"another {name}"
    if not Path("a").exists() and Path("a.bad").read_bytes() != b"wrong":
        return "nothing of a"
    return (
        "new"
        if all(Path(name).exists() and Path(name).read_bytes() == body for name, body in _RIGHT.items())
        else "old"
    )


def _text(old: bytes, *new: bytes) -> Callable[[], str]:
    def now() -> str:
        found = Path("file").read_bytes()
        return "old" if found == old else "new" if found.startswith(new) and found.endswith(b">\n") else "a part"

    return now


def _old_text() -> None:
    Path("file").write_bytes(b"old")


_DRAWING = ["graph", "(x + y) * z", "x=2", "y=3", "z=4", "--format", "svg", "-o", "file"]


def _draw() -> None:
    if main(_DRAWING) != 0:
        raise OSError(errno.EIO, "told by the command")


JOBS = {
    "save": Job(lambda: net(0).save("file"), lambda: net(1).save("file"), _saved),
    "checkpoint": Job(lambda: None, lambda: _train(net(0), 3, checkpoint="file"), _trained),
    "download": Job(lambda: Path("a").write_bytes(b"wrong"), _fetch, _fetched),
    "report": Job(
        _old_text, lambda: write_text(Path("file"), "<html>" + "page" * 5000 + "</html>\n"), _text(b"old", b"<html>")
    ),
    "graph": Job(_old_text, _draw, _text(b"old", b"<svg")),
}


class System(Target):
    """A job, the number of a call, whether the blow falls before or after it, and the blow."""

    def cases(self, rng: random.Random) -> Generator[bytes, str, None]:
        """Give every call of every job in every way, in any order."""
        every = []
        for name in JOBS:
            count = int(self._in_a_child(name, 0, True, 0)[1])
            blows = [0, *_ERRORS]
            every += [f"{name} {at} {when} {blow}" for at in range(1, count + 1) for when in (0, 1) for blow in blows]
        rng.shuffle(every)
        for case in every:
            yield case.encode()

    def judge(self, case: bytes) -> str:
        name, at, before, blow = case.decode().split()
        status, said = self._in_a_child(name, int(at), before == "1", int(blow))
        now = JOBS[name].now()
        left = [entry for entry in os.listdir() if entry.endswith(".tmp")]
        self._expect(status, said, now, left, int(blow))
        return f"{name} {now}"

    @staticmethod
    def _expect(status: int, said: str, now: str, left: list[str], blow: int) -> None:
        if now not in ("old", "new"):
            raise Wrong(f"what is there is {now}; {said}")
        if blow == 0:
            if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
                raise Wrong(f"it was not killed, but ended with {status}; {said}")
        elif os.WEXITSTATUS(status) not in (0, 3):
            raise Wrong(f"it ended with {status}; {said}")
        elif left:
            raise Wrong(f"{left} are left behind")
        elif os.WEXITSTATUS(status) == 0 and now == "old":
            raise Wrong("it ended well, and the old file is there")

    @staticmethod
    def _in_a_child(name: str, at: int, before: bool, blow: int) -> tuple[int, str]:
        """Do a job in a process of its own; give how that ended, and how many calls it made or what it raised."""
        for entry in os.listdir():
            if Path(entry).is_file():
                Path(entry).unlink()
            else:
                shutil.rmtree(entry)
        JOBS[name].before()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            code, said = 4, ""
            try:
                os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
                made = strike(at, _fails(blow) if blow else die, before)
                JOBS[name].write()
                code, said = 0, str(len(made()))
            except OSError:
                code, said = 3, traceback.format_exc()
            except BaseException:
                said = traceback.format_exc()
            finally:
                with open(write, "w", encoding="utf-8", closefd=False) as pipe:
                    pipe.write(said)
                os._exit(code)
        os.close(write)
        with open(read, encoding="utf-8") as pipe:
            said = pipe.read()
        return os.waitpid(child, 0)[1], said


def _fails(number: int) -> Callable[[], None]:
    def blow() -> None:
        raise OSError(number, os.strerror(number))

    return blow
