"""The same numbers at every instruction set, the same bits with any number of threads, and life after a fork.

And what threads do that share a network, and an interpreter that ends or begins beside them.

What is chosen once for a process is asked of processes of their own.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import seed_reference as seed
from chainrule import threads

LEVELS = ["portable", "avx2", "avx512", "neon"]
DTYPES = ["float64", "float32"]
KINDS = ["dense", "sparse"]
STORED = ["uint8", "float32", "float64"]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def python(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a process with nothing of ours in its environment but `environment`."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CHAINRULE_")}
    # As if there were CPUs for all threads that are asked for.
    env["CHAINRULE_CPUS"] = environment.get("CHAINRULE_NUM_THREADS", "")
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, env=env | environment, capture_output=True, text=True, timeout=60, check=False)


def printed(code: str, *arguments: str, **environment: str) -> list[str]:
    """Give the lines that `code` prints; it must end well and without a word on stderr."""
    done = python(code, *arguments, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def levels() -> list[str]:
    """Give the instruction sets of this CPU, the lowest first."""
    (highest,) = printed("from chainrule import _kernels; print(_kernels.instruction_set())")
    return ["portable", "neon"] if highest == "neon" else LEVELS[: LEVELS.index(highest) + 1]


# --- levels ---

TRAIN = """
import sys
import numpy as np
from chainrule import TwoLayerNet, _kernels, fit

data, made = np.load(sys.argv[1]), {}
for dtype in ("float64", "float32"):
    for kind in ("dense", "sparse"):
        x, t, test = data[kind], data["t"], data[kind + "_test"]
        net = TwoLayerNet(40, 50, 5, dtype=dtype, seed=0)
        for name, array in net.params.items():
            net.params[name] = data[name]
        made[f"{dtype} {kind} losses"] = fit(net, x, t, batch_size=30, epochs=2, seed=3).losses
        made[f"{dtype} {kind} scores"] = net.predict(test)
        for name, array in net.params.items():
            made[f"{dtype} {kind} {name}"] = array
np.savez(sys.argv[2], **made)
print(_kernels.instruction_set())
"""


def level_data() -> dict[str, Any]:
    """Give 100 examples to train on, 300 to score, in both kinds, and parameters to begin with."""
    made: dict[str, Any] = {"t": rng(1).integers(5, size=100)}
    for name, n in (("", 100), ("_test", 300)):
        x = rng(2).normal(size=(n, 40))
        made["dense" + name], made["sparse" + name] = x, np.where(rng(3).random(x.shape) < 0.2, x, 0)
    shapes = {"W1": (40, 50), "b1": (50,), "W2": (50, 5), "b2": (5,)}
    return made | {name: 0.3 * rng(i).normal(size=shape) for i, (name, shape) in enumerate(shapes.items())}


def by_the_oracle(data: dict[str, Any], kind: str) -> dict[str, Any]:
    """Do what TRAIN does with the tutorial's network: batches of 30 of 100, drawn as ``fit`` draws them."""
    net = seed.exact_two_layer_net(40, 50, 5)
    for name, array in net.params.items():
        array[...] = data[name]
    losses, generator = [], rng(3)
    for _ in range(2):
        for batch in np.split(generator.permutation(100), [30, 60, 90]):
            grads = net.gradient(data[kind][batch], data["t"][batch])
            losses.append(net.lastLayer.loss)
            for name in grads:
                net.params[name] -= 0.1 * grads[name]
    return {"losses": losses, "scores": net.predict(data[kind + "_test"]), **net.params}


@pytest.mark.fault("C1", "D2", "D3")
@pytest.mark.parametrize("level", LEVELS)
def test_d2_d3_c1_every_level_trains_as_the_oracle(level: str, levels: list[str], tmp_path: Path) -> None:
    if level not in levels:
        pytest.skip(f"this CPU has no {level}")
    data, given, made = level_data(), tmp_path / "given.npz", tmp_path / "made.npz"
    np.savez(given, **data)
    assert printed(TRAIN, str(given), str(made), CHAINRULE_SIMD=level) == [level]
    got = np.load(made)
    for kind in KINDS:
        expected = by_the_oracle(data, kind)
        for dtype in DTYPES:
            # 8 steps, each with sums of up to 50 + 40 terms, whose |terms| sum to less than 30 in a score and, with a
            # learning rate of 0.1, to less in a step: 30 · 90 · ε, 6e-13 in float64.
            atol = 30 * 90 * float(np.finfo(dtype).eps)
            for name, want in expected.items():
                key = f"{dtype} {kind} {name}"
                np.testing.assert_allclose(got[key], want, rtol=0, atol=atol, err_msg=key)


KERNELS = """
import sys
import numpy as np
from chainrule import _kernels

data, made, scratch = np.load(sys.argv[1]), {}, _kernels.Scratch()
for dtype in ("float64", "float32"):
    W, b, dout, scores = (data[name].astype(dtype) for name in ("W", "b", "dout", "scores"))
    for kind in ("dense", "sparse"):
        for stored in ("uint8", "float32", "float64"):
            x, out, dW = data[kind].astype(stored), np.empty(dout.shape, dtype), np.empty(W.shape, dtype)
            for n in (100, 300):
                _kernels.affine(x[:n], W, b, out[:n], scratch)
                _kernels.weight_gradient(x[:n], dout[:n], dW, scratch)
                made[f"{dtype} {kind} {stored} {n} out"] = out[:n].copy()
                made[f"{dtype} {kind} {stored} {n} dW"] = dW.copy()
    probs, d_scores = np.empty_like(scores), np.empty_like(scores)
    made[dtype + " loss"] = _kernels.loss("softmax", scores, data["t"], probs, d_scores)
    made[dtype + " probs"], made[dtype + " d_scores"] = probs, d_scores
np.savez(sys.argv[2], **made)
print(_kernels.instruction_set())
"""


@pytest.mark.fault("C1", "D3")
@pytest.mark.parametrize("level", LEVELS)
def test_d3_c1_every_level_computes_each_product_and_the_loss_as_numpy(
    level: str, levels: list[str], tmp_path: Path
) -> None:
    """Of whole numbers whose sums are below 2**24 the products are exact in both dtypes."""
    if level not in levels:
        pytest.skip(f"this CPU has no {level}")
    dense = rng(1).integers(1, 256, (300, 393)).astype(np.float64)
    data: dict[str, Any] = {"dense": dense, "sparse": np.where(rng(2).random(dense.shape) < 0.1, dense, 0)}
    for i, (name, shape) in enumerate({"W": (393, 50), "b": (50,), "dout": (300, 50)}.items()):
        data[name] = rng(3 + i).integers(-8, 9, shape).astype(np.float64)
    data |= {"scores": 5 * rng(6).normal(size=(300, 10)), "t": rng(7).integers(10, size=300)}
    given, made = tmp_path / "given.npz", tmp_path / "made.npz"
    np.savez(given, **data)
    assert printed(KERNELS, str(given), str(made), CHAINRULE_SIMD=level) == [level]
    got = np.load(made)
    for kind, n in itertools.product(KINDS, (100, 300)):
        x, dout = data[kind][:n], data["dout"][:n]
        expected = {"out": x @ data["W"] + data["b"], "dW": x.T @ dout}
        for dtype, stored, name in itertools.product(DTYPES, STORED, expected):
            key = f"{dtype} {kind} {stored} {n} {name}"
            np.testing.assert_array_equal(got[key], expected[name], err_msg=key)
    for dtype in DTYPES:
        scores, layer = data["scores"].astype(dtype).astype(np.float64), seed.ExactSoftmaxWithLoss()
        # A few roundings of numbers up to 40, which are the arguments of the exponentials; d_scores are of size 1/300.
        rtol = 50 * float(np.finfo(dtype).eps)
        np.testing.assert_allclose(got[dtype + " loss"], layer.forward(scores, data["t"]), rtol=rtol)
        np.testing.assert_allclose(got[dtype + " probs"], layer.y, rtol=rtol)
        np.testing.assert_allclose(got[dtype + " d_scores"], layer.backward(), rtol=rtol, atol=rtol / 300)


USE = """
import numpy as np
from chainrule import Affine, TwoLayerNet, _kernels, fit

net, x, t = TwoLayerNet(4, 3, 2, seed=0), np.ones((80, 4)), np.zeros(80, int)
uses = {
    "instruction_set": _kernels.instruction_set,
    "forward": lambda: Affine(np.ones((4, 3)), np.zeros(3)).forward(x),
    "gradient": lambda: net.gradient(x, t),
    "predict": lambda: net.predict(x),
    "fit": lambda: fit(net, x, t, batch_size=8),
}
before = [p.tobytes() for p in net.params.values()]
for name, use in uses.items():
    try:
        use()
        print(name, "did not raise")
    except RuntimeError as error:
        print(error)
print(before == [p.tobytes() for p in net.params.values()])
"""


@pytest.mark.fault("C2")
def test_c2_a_level_the_cpu_lacks_is_a_runtime_error_at_first_use(levels: list[str]) -> None:
    """Importing works: there is somebody to tell."""
    message = f"CHAINRULE_SIMD asks for avx1024, which this CPU does not have; the highest is {levels[-1]}"
    assert printed(USE, CHAINRULE_SIMD="avx1024") == [message] * 5 + ["True"]


# --- threads ---

DIGESTS = """
import hashlib
import numpy as np
from chainrule import Affine, Network, Relu, TwoLayerNet, _kernels, fit

def show(what, *arrays):
    print(what, hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest())

def layer(inputs, outputs, dtype):
    return Affine((0.05 * r.normal(size=(inputs, outputs))).astype(dtype), np.zeros(outputs, dtype))

print(_kernels.threads())
scratch = _kernels.Scratch()
for dtype in ("float32", "float64"):
    r = np.random.default_rng(0)
    x, t = r.normal(size=(4000, 784)).astype(dtype), r.integers(10, size=4000)
    sparse = np.where(r.random(x.shape) < 0.2, x, 0).astype(dtype)
    for kind, data in (("dense", x), ("sparse", sparse)):
        net = TwoLayerNet(784, 50, 10, 0.1, dtype=dtype, seed=0)
        show(f"{dtype} {kind} scores", net.predict(data))
        stack = [layer(784, 512, dtype), Relu(), layer(512, 512, dtype), Relu(), layer(512, 10, dtype)]
        wide = Network(dict(zip("abcde", stack)))
        losses = fit(wide, data, t, iterations=4, batch_size=256, seed=0).losses
        show(f"{dtype} {kind} training", np.array(losses), *wide.params.values())
        # Two threads share small steps where zeros are skipped; the evaluations of an epoch are beside the next.
        history = fit(net, data, t, epochs=3, batch_size=20, seed=0)
        numbers = [history.losses, history.train_loss, history.train_accuracy]
        show(f"{dtype} {kind} small steps", *map(np.array, numbers), *net.params.values())
    # Sides of 64 k + 1: divided among 4 or 7, with whole vectors for each, the last one would be left a single row.
    shapes = [(256, 784, 1024), (200, 520, 769), (90, 512, 1153)]
    for m, k, n in shapes + [shape[::-1] for shape in shapes]:
        a, b, c = r.normal(size=(m, k)).astype(dtype), r.normal(size=(k, n)).astype(dtype), np.empty((m, n), dtype)
        _kernels.affine(a, b, np.ones(n, dtype), c, scratch)
        show(f"{dtype} affine {m} {k} {n}", c)
        _kernels.weight_gradient(a.T.copy(), b, c, scratch)
        show(f"{dtype} weight_gradient {m} {k} {n}", c)
        _kernels.matmul_a_bt(a, b.T.copy(), c)
        show(f"{dtype} matmul_a_bt {m} {k} {n}", c)
    # As they are stored, in more than one block of rows.
    W, dout, out = (r.normal(size=shape).astype(dtype) for shape in [(784, 200), (900, 200), (900, 200)])
    for kind, data in (("dense", x), ("sparse", sparse)):
        for stored in ("uint8", "float32", "float64"):
            pixels, dW = np.abs(50 * data[:900]).astype(stored), np.empty_like(W)
            _kernels.affine(pixels, W, np.ones(200, dtype), out, scratch)
            _kernels.weight_gradient(pixels, dout, dW, scratch)
            show(f"{dtype} products of {kind} {stored}", out, dW)
"""


@pytest.fixture(scope="module")
def digests_of_one_thread() -> list[str]:
    return printed(DIGESTS, CHAINRULE_NUM_THREADS="1")


@pytest.mark.fault("D1")
@pytest.mark.parametrize("threads", ["2", "4", "7"])
def test_d1_any_number_of_threads_gives_the_same_bits(threads: str, digests_of_one_thread: list[str]) -> None:
    (one, *expected), (many, *got) = digests_of_one_thread, printed(DIGESTS, CHAINRULE_NUM_THREADS=threads)
    assert (one, many) == ("1", threads)
    assert len(got) == 2 * (6 + 18 + 6)
    differing = [line.rsplit(maxsplit=1)[0] for line, other in zip(got, expected, strict=True) if line != other]
    assert differing == []


COUNT = "from chainrule import _kernels; print(_kernels.threads())"


@pytest.mark.fault("T5")
@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="asks Linux how many CPUs there are")
def test_t5_without_a_word_there_are_as_many_threads_as_cpus() -> None:
    """The CPUs this process may use, of which a quota may take some."""
    (default,) = printed(COUNT)
    assert 1 <= int(default) <= len(os.sched_getaffinity(0))
    one = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {COUNT}"
    assert printed(one) == ["1"]


@pytest.mark.fault("T5", "T5b")
@pytest.mark.parametrize(("asked", "threads"), [("20000", "3"), ("3", "3"), ("2", "2"), (" 1 ", "1"), ("", "3")])
def test_t5b_more_threads_than_cpus_are_not_made(asked: str, threads: str) -> None:
    assert printed(COUNT, CHAINRULE_NUM_THREADS=asked, CHAINRULE_CPUS="3") == [threads]


@pytest.mark.fault("T5b")
@pytest.mark.parametrize("asked", ["0", "-1", "1.5", "abc"])
@pytest.mark.parametrize(
    "use",
    [
        "chainrule.TwoLayerNet(3, 4, 2, seed=0).predict([[1, 2, 3]])",
        "chainrule.Affine(np.ones((3, 2)), np.ones(2)).forward([[1, 2, 3]])",
        "chainrule.threads(1).__enter__()",
    ],
)
def test_t5b_what_is_no_number_of_threads_is_refused_at_the_first_use(use: str, asked: str) -> None:
    done = python(f"import chainrule, numpy as np\n{use}", CHAINRULE_NUM_THREADS=asked, CHAINRULE_CPUS="3")
    message = f'RuntimeError: CHAINRULE_NUM_THREADS is "{asked}", but it must be a whole number, 1 or more'
    assert (done.returncode, message in done.stderr) == (1, True)


LIMITED = """
import threading
import numpy as np
import chainrule
from chainrule import _kernels

net, x = chainrule.TwoLayerNet(784, 512, 10, 0.1, seed=0), np.random.default_rng(0).normal(size=(4000, 784))
free = net.predict(x).tobytes()
with chainrule.threads(2):
    print(_kernels.threads())
    with chainrule.threads(1):
        print(_kernels.threads(), net.predict(x).tobytes() == free)
        other = threading.Thread(target=lambda: print(_kernels.threads()))
        other.start()
        other.join()
    print(_kernels.threads(), net.predict(x).tobytes() == free)
try:
    with chainrule.threads(1):
        raise OSError
except OSError:
    print(_kernels.threads())
with chainrule.threads(100):
    print(_kernels.threads())
"""


@pytest.mark.fault("T5", "T5b")
def test_t5b_a_limit_holds_within_its_block_and_for_its_thread() -> None:
    assert printed(LIMITED, CHAINRULE_NUM_THREADS="4") == ["2", "1 True", "4", "2 True", "4", "4"]


@pytest.mark.fault("T5b")
@pytest.mark.parametrize(("most", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_t5b_a_limit_that_is_no_number_is_refused(most: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="most must"), threads(most):
        pass


FORK = """
import os
import signal
import warnings
import numpy as np
from chainrule import TwoLayerNet, _kernels, fit

warnings.simplefilter("ignore", DeprecationWarning)  # Python's word about fork in a process with threads: our point
r = np.random.default_rng(0)
x, t = r.normal(size=(4000, 784)), r.integers(10, size=4000)

def use():
    net = TwoLayerNet(784, 512, 10, 0.1, seed=0)
    scores = net.predict(x)
    fit(net, x[:512], t[:512], batch_size=256, seed=0)
    return scores.tobytes() + net.params["W1"].tobytes()

before = use()
child = os.fork()
if child == 0:
    signal.alarm(5)
    same = use() == before
    grandchild = os.fork()
    if grandchild == 0:
        signal.alarm(5)
        os._exit(0 if use() == before else 1)
    _, status = os.waitpid(grandchild, 0)
    os._exit(0 if same and status == 0 else 1)
_, status = os.waitpid(child, 0)
print(_kernels.threads(), status, use() == before)
"""


@pytest.mark.fault("T4")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_t4_a_forked_child_computes_with_threads_of_its_own() -> None:
    assert printed(FORK, CHAINRULE_NUM_THREADS="4") == ["4 0 True"]


# --- several threads with one network, and the end of the process ---

TOGETHER = """
import threading
import numpy as np
from chainrule import TwoLayerNet

net, raised = TwoLayerNet(50, 30, 4, seed=0), []

def gradients(seed):
    r = np.random.default_rng(seed)
    for n in r.integers(1, 300, size=1000):
        try:
            net.gradient(r.normal(size=(n, 50)), r.integers(4, size=n))
        except BaseException as error:
            raised.append(error)

threads = [threading.Thread(target=gradients, args=(seed,)) for seed in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Layers that keep what the other thread gave them may not fit: an error, but none of ours that says "internal".
print([error for error in raised if not isinstance(error, Exception) or "internal" in str(error)])
alone = TwoLayerNet(50, 30, 4, seed=0)
x, t = np.random.default_rng(9).normal(size=(100, 50)), np.arange(100) % 4
print(all(np.array_equal(grad, alone.gradient(x, t)[name]) for name, grad in net.gradient(x, t).items()))
"""


@pytest.mark.fault("T2")
def test_t2_two_threads_that_take_gradients_of_one_network_end_in_no_crash() -> None:
    """Batches of other sizes meet in the same layers; afterwards the network is what it was."""
    assert printed(TOGETHER, CHAINRULE_NUM_THREADS="2") == ["[]", "True"]


EDITED = """
import threading
import numpy as np
from chainrule import Affine, Network

W, stop = np.ones((300, 40)), threading.Event()
net, x = Network({"Affine1": Affine(W, np.zeros(40))}), np.ones((2000, 300))

def edit():
    while not stop.is_set():
        W[...] = 3 - W

editor = threading.Thread(target=edit)
editor.start()
scores = [net.predict(x) for _ in range(200)]
stop.set()
editor.join()
# Each weight is 1 or 2 at any moment, so a score is a sum of 300 of them.
print(all(((300 <= y) & (y <= 600) & (y == y.round())).all() for y in scores))
"""


@pytest.mark.fault("T3")
def test_t3_a_parameter_edited_during_a_call_gives_a_mix_of_old_and_new() -> None:
    assert printed(EDITED) == ["True"]


DAEMONS = """
import threading
import numpy as np
from chainrule import TwoLayerNet, fit

r = np.random.default_rng(0)
x, t = r.normal(size=(4000, 784)), r.integers(10, size=4000)
started = [threading.Event() for _ in range(2)]

def trains():
    net = TwoLayerNet(784, 512, 10, seed=0)
    fit(net, x, t, epochs=10**6, batch_size=256, progress=lambda done, total: started[0].set())

def predicts():
    net = TwoLayerNet(784, 512, 10, seed=0)
    while True:
        net.predict(x)
        started[1].set()

for work in (trains, predicts):
    threading.Thread(target=work, daemon=True).start()
for event in started:
    event.wait()
print("end")
"""


@pytest.mark.fault("T9")
def test_t9_an_interpreter_that_ends_while_threads_compute_neither_hangs_nor_crashes() -> None:
    for _ in range(10):
        assert printed(DAEMONS, PYTHONFAULTHANDLER="1", CHAINRULE_NUM_THREADS="2") == ["end"]


WITHIN = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import chainrule

inner = '''
try:
    import chainrule
except ImportError:
    print("ImportError")
'''
print(interpreters.run_string(interpreters.create(), inner))
print(chainrule.softmax([0.0, 0.0]).tolist())
"""


@pytest.mark.fault("T10")
def test_t10_a_second_interpreter_in_the_process_is_refused_with_an_import_error() -> None:
    assert printed(WITHIN) == ["ImportError", "None", "[0.5, 0.5]"]


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python has its lock")
@pytest.mark.fault("P1")
def test_p1_the_extension_does_not_bring_the_interpreter_lock_back() -> None:
    assert printed("import sys, chainrule; print(sys._is_gil_enabled())") == ["False"]
