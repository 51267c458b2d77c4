"""Threads that the system refuses."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
import warnings
import numpy as np
from chainrule import Adam, TwoLayerNet, fit

rng = np.random.default_rng(0)
x, t = rng.random((2000, 784)), rng.integers(10, size=2000)
net = TwoLayerNet(784, 100, 10, seed=0)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for _ in range(2):
        fit(net, x, t, epochs=1, batch_size=50, seed=0, optimizer=Adam())
        scores = net.predict(x)
print([str(one.message) for one in told])
print(scores.tobytes().hex()[:200], float(net.params["W1"].sum()))
"""


@pytest.mark.fault("T6", "T6b")
@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or shutil.which("cc") is None, reason="needs glibc and a C compiler"
)
def test_without_threads_the_bits_are_the_same_and_it_is_told_once(tmp_path: Path) -> None:
    library, source = tmp_path / "refuses.so", tmp_path / "refuses.c"
    source.write_text("#include <errno.h>\nint pthread_create(void *a, void *b, void *c, void *d) { return EAGAIN; }\n")
    subprocess.run(["cc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)
    ends = []
    for around in ({}, {"LD_PRELOAD": str(library)}):
        env = os.environ | {"CHAINRULE_CPUS": "2", "OPENBLAS_NUM_THREADS": "1"} | around
        done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=100, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        ends.append(done.stdout.splitlines())
    assert ends[0][0] == "[]"
    assert ends[1][0].count("the system refused chainrule a thread") == 1
    assert ends[0][1] == ends[1][1]
