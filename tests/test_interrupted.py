"""Ctrl-C in the middle of one call of a kernel, and what a call works in, however large the batch."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from chainrule import Adam, Convolution, DeepConvNet, LayerNormalization, Pooling, TwoLayerNet, _kernels
from chainrule._pieces import copied, each, pieces
from chainrule.nn.engine import Ours

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has the system send signals by a timer of POSIX's")


@contextmanager
def interrupted(after: float) -> Iterator[None]:
    """Have SIGINT sent so many seconds into the block, which must end by it."""
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def steps(net: Any, x: Any, t: Any, size: int, optimizer: Any) -> Any:
    """Give what makes steps over batches of so many rows, in one call."""
    plan = Ours(net).plan(x)
    assert plan is not None
    optimizer.prepare(net.params)
    names = [next(name for name, p in net.params.items() if p is array) for array in plan.parameters]
    examples, losses = plan.examples(x), np.empty(-(-len(x) // size))
    return lambda: plan.steps(optimizer, names, examples, (t, None), np.arange(len(x)), size, True, losses, [])


@pytest.mark.fault("T7b")
@pytest.mark.parametrize("zeros", [0, 0.8])
def test_a_step_of_a_large_batch_is_dropped_and_nothing_is_changed(zeros: float) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.random((40_000, 784), dtype=np.float32), rng.integers(10, size=40_000)
    x[rng.random(x.shape, dtype=np.float32) < zeros] = 0
    net, optimizer = TwoLayerNet(784, 800, 10, seed=0, dtype=np.float32), Adam()
    before = {name: p.copy() for name, p in net.params.items()}
    step = steps(net, x, t, len(x), optimizer)  # 0.3 s and more, at the peak of two cores with AVX-512
    with interrupted(0.05):
        step()
    assert optimizer.iter == 0
    assert all((net.params[name] == p).all() for name, p in before.items())
    assert all(not a.any() for arrays in optimizer.kept.values() for a in arrays)


@pytest.mark.fault("T7b")
def test_after_whole_steps_the_next_is_dropped() -> None:
    rng = np.random.default_rng(0)
    x, t = rng.random((30, 1, 28, 28)), rng.integers(10, size=30)
    net, again = DeepConvNet(seed=0), DeepConvNet(seed=0)
    optimizer, its = Adam(), Adam()
    with interrupted(0.4):
        while True:
            steps(net, x, t, len(x), optimizer)()
    while its.iter < optimizer.iter:
        steps(again, x, t, len(x), its)()
    for name, p in net.params.items():
        assert (p == again.params[name]).all(), name
        assert all((a == b).all() for a, b in zip(optimizer.kept[name], its.kept[name], strict=True))


@pytest.mark.fault("T7b")
@pytest.mark.parametrize("kernel", ["affine", "matmul_a_bt", "weight_gradient"])
def test_a_product_is_ended_before_it_is_done(kernel: str) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((6000, 3000)), rng.random((3000, 2000))
    out = np.full((6000, 2000), np.nan)
    calls: dict[str, Any] = {
        "affine": lambda: _kernels.affine(a, b, np.zeros(2000), out, _kernels.Scratch()),
        "matmul_a_bt": lambda: _kernels.matmul_a_bt(a, np.ascontiguousarray(b.T), out),
        "weight_gradient": lambda: _kernels.weight_gradient(
            np.ascontiguousarray(a.T), b, out, _kernels.Scratch(), False
        ),
    }
    with interrupted(0.05):
        calls[kernel]()
    calls[kernel]()
    # Sums of 3,000 terms below 1.
    assert np.allclose(out[:50, :50], a[:50] @ b[:, :50], rtol=1e-12, atol=0)


@pytest.mark.fault("S5")
@pytest.mark.skipif(sys.platform != "linux", reason="reads the most memory a process had from /proc")
@pytest.mark.parametrize("zeros", [0, 0.8])
def test_what_a_batch_of_60000_is_worked_on_in_is_small(zeros: float) -> None:
    code = f"""
import numpy as np
from chainrule import TwoLayerNet, fit
from pathlib import Path

def most():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024

rng = np.random.default_rng(0)
x, t = np.zeros((60_000, 784), np.float32), rng.integers(10, size=60_000)
for rows in np.array_split(x, 100):
    rng.random(out=rows, dtype=np.float32)
    rows[rng.random(rows.shape, dtype=np.float32) < {zeros}] = 0
net = TwoLayerNet(784, 50, 10, seed=0, dtype=np.float32)
fit(net, x, t, epochs=1, batch_size=1000, seed=0)
before = most()
fit(net, x, t, epochs=1, batch_size=60_000, seed=0)
print(most() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    # Some 800 MiB where the batch was gone through whole.
    assert float(done.stdout) < 20


@pytest.mark.fault("S5")
def test_a_layer_takes_a_large_batch_in_blocks_and_gives_what_the_rows_give() -> None:
    """To rounding: images in twos and threes are taken by themselves, and sums over the batch 512 terms at a time."""
    rng = np.random.default_rng(0)
    filters = Convolution(rng.normal(size=(4, 2, 3, 3)), rng.normal(size=4), stride=1, pad=1)
    layers: list[tuple[Any, tuple[int, ...], str]] = [
        (filters, (2, 6, 6), "dW"),
        (Pooling(2, 2, stride=2), (3, 6, 6), ""),
        (LayerNormalization(rng.normal(size=9), rng.normal(size=9)), (9,), "dgamma"),
    ]
    for layer, shape, name in layers:
        x = rng.normal(size=(1030, *shape))
        out = layer.forward(x)
        dout = rng.normal(size=out.shape)
        dx = layer.backward(dout)
        whole, sums = getattr(layer, name, 0), 0
        for rows in (slice(0, 300), slice(300, 1029), slice(1029, 1030)):
            assert np.allclose(layer.forward(x[rows]), out[rows], rtol=0, atol=1e-13)
            assert np.allclose(layer.backward(dout[rows]), dx[rows], rtol=0, atol=1e-13)
            sums = sums + getattr(layer, name, 0)
        assert np.allclose(sums, whole, rtol=0, atol=1e-12 * np.abs(whole).max())


def test_large_arrays_go_through_piece_by_piece() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 1001))
    assert len(list(pieces(x.size))) == 2
    assert (each(np.maximum, x, 0) == np.maximum(x, 0)).all()
    assert (each(np.less_equal, x, x[::-1].copy()) == (x <= x[::-1])).all()
    for array in (x, np.asfortranarray(x), x[:, ::2], x.T):
        copy = copied(array)
        assert (copy == array).all()
        assert not np.may_share_memory(copy, array)
        assert copy.flags.f_contiguous == array.flags.f_contiguous
