"""Eight threads at everything, any number of threads below, and forks while threads are at work.

The oracle is the same work done alone, in one thread: the same bits.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import chainrule
from attack.target import Target, Wrong, number_of
from chainrule import Adam, SimpleConvNet, TwoLayerNet, check_gradients, fit, load, read_idx, softmax_loss
from idx_files import idx

THREADS = 8
CPUS = "8"
_FORKED_SECONDS = 20


def digest(*arrays: Any) -> str:
    return hashlib.sha256(b"".join(np.asarray(array).tobytes() for array in arrays)).hexdigest()[:16]


class Works:
    """What can be done, each work drawn from a number; only `shared` is used by all at once."""

    def __init__(self) -> None:
        self.shared = TwoLayerNet(300, 100, 10, seed=0)

    def predict(self, r: np.random.Generator) -> str:
        return digest(self.shared.predict(r.normal(size=(r.integers(1, 900), 300))))

    def accuracy(self, r: np.random.Generator) -> str:
        x = r.normal(size=(500, 300)) * (r.random((500, 300)) < 0.2)
        return digest(self.shared.accuracy(x, r.integers(10, size=500)))

    def gradient(self, r: np.random.Generator) -> str:
        net = TwoLayerNet(int(r.integers(1, 400)), int(r.integers(1, 200)), 10, seed=1)
        x = r.normal(size=(int(r.integers(1, 300)), net.params["W1"].shape[0]))
        return digest(*net.gradient(x, r.integers(10, size=len(x))).values())

    def fit(self, r: np.random.Generator) -> str:
        net = TwoLayerNet(100, int(r.integers(1, 80)), 10, dtype=r.choice(["f4", "f8"]), seed=1)
        x = (r.integers(256, size=(200, 100)) * (r.random((200, 100)) < r.choice([0.2, 1]))).astype(np.uint8)
        history = fit(
            net, x, r.integers(10, size=200), epochs=2, batch_size=int(r.integers(1, 64)), optimizer=Adam(), seed=0
        )
        return digest(*net.params.values(), history.losses, history.train_accuracy)

    def images(self, r: np.random.Generator) -> str:
        net = SimpleConvNet((1, 12, 12), {"filter_num": 4, "filter_size": 3, "pad": 0, "stride": 1}, 20, 10, seed=0)
        fit(net, r.normal(size=(64, 1, 12, 12)), r.integers(10, size=64), batch_size=16, seed=0)
        return digest(*net.params.values())

    def save(self, r: np.random.Generator) -> str:
        net, path = TwoLayerNet(30, 20, 10, seed=int(r.integers(100))), f"net {r.integers(4)}"
        net.save(path)
        load(path)  # whole, if perhaps another's: threads write to four names
        return digest(*net.params.values())

    def idx(self, r: np.random.Generator) -> str:
        array = r.integers(256, size=(50, 20)).astype(np.uint8)
        path = Path(f"idx {threading.get_ident()}")
        path.write_bytes(idx(array))
        return digest(read_idx(path))

    def check(self, r: np.random.Generator) -> str:
        report = check_gradients(
            TwoLayerNet(5, 4, 3, seed=int(r.integers(100))), r.normal(size=(3, 5)), [0, 1, 2], seed=0
        )
        return str(report)

    def functions(self, r: np.random.Generator) -> str:
        x = r.normal(size=(200, 30))
        return digest(chainrule.softmax(x), chainrule.relu(x), softmax_loss(x, r.integers(30, size=200)))


WORKS = [name for name in vars(Works) if not name.startswith("_")]


def done(works: Works, name: str, seed: int) -> str:
    """Do a work, and give what came of it."""
    result: str = getattr(works, name)(np.random.default_rng(seed))
    return f"{name} {seed} {result}"


#: What a process with another number of threads does.
_ELSEWHERE = "import sys; from attack.together import Works, done; print(done(Works(), sys.argv[1], int(sys.argv[2])))"


class Together(Target):
    """Threads in many ways."""

    patience = 60.0
    memory = 2**28

    def __init__(self) -> None:
        os.environ.update({"CHAINRULE_CPUS": CPUS, "CHAINRULE_NUM_THREADS": "4"})
        self._works = Works()

    def judge(self, case: bytes) -> str:
        rng = random.Random(number_of(case))
        way: Callable[[random.Random], str] = rng.choice((self._at_once, self._at_once, self._counts, self._fork))
        return way(rng)

    def _at_once(self, rng: random.Random) -> str:
        """Let eight threads do works, and compare each with the same work done alone."""
        lists = [[(rng.choice(WORKS), rng.randrange(50)) for _ in range(4)] for _ in range(THREADS)]
        said: list[list[str]] = [[] for _ in lists]
        raised: list[BaseException] = []
        start = threading.Barrier(THREADS)

        def run(mine: list[tuple[str, int]], into: list[str]) -> None:
            try:
                start.wait()
                into += [done(self._works, *work) for work in mine]
            except BaseException as error:
                raised.append(error)

        threads = [threading.Thread(target=run, args=pair) for pair in zip(lists, said, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if raised:
            raise raised[0]
        alone = [[done(self._works, *work) for work in mine] for mine in lists]
        _expect_same([*chain(*said)], [*chain(*alone)])
        return "at once"

    def _counts(self, rng: random.Random) -> str:
        """Let processes of one thread, and of others, do a work."""
        name, seed = rng.choice(WORKS), rng.randrange(10**6)
        counts = ["1", rng.choice(("2", "4", "7"))]
        around = [os.environ | {"CHAINRULE_NUM_THREADS": count, "CHAINRULE_CPUS": CPUS} for count in counts]
        command = [sys.executable, "-c", _ELSEWHERE, name, str(seed)]
        said = [subprocess.run(command, env=env, capture_output=True, text=True, check=False) for env in around]
        for one in said:
            if one.returncode:
                raise Wrong(f"{name} {seed}: exit code {one.returncode}\n{one.stderr}")
        _expect_same([said[1].stdout], [said[0].stdout])
        return "counts"

    def _fork(self, rng: random.Random) -> str:
        """Fork while two threads predict; the child does works as its parent."""
        mine = [(rng.choice(WORKS), rng.randrange(50)) for _ in range(2)]
        alone = [done(self._works, *work) for work in mine]
        stop = threading.Event()

        def keep_busy() -> None:
            r = np.random.default_rng(0)
            while not stop.is_set():
                self._works.predict(r)

        threads = [threading.Thread(target=keep_busy) for _ in range(2)]
        for thread in threads:
            thread.start()
        stop.wait(rng.random() / 50)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's word about forks beside threads: our point
            child = os.fork()
        if child == 0:
            code = 2
            try:
                signal.alarm(_FORKED_SECONDS)
                code = 0 if [done(self._works, *work) for work in mine] == alone else 1
            finally:
                os._exit(code)
        stop.set()
        for thread in threads:
            thread.join()
        status = os.waitpid(child, 0)[1]
        if status:
            raise Wrong(
                f"a forked child that does {mine} ends with {status}: 256 others' bits, {signal.SIGALRM} no end"
            )
        return "fork"


def _expect_same(got: list[str], alone: list[str]) -> None:
    differing = [(one, other) for one, other in zip(got, alone, strict=True) if one != other]
    if differing:
        raise Wrong(f"not the same as alone: {differing}")
