"""`Engine.losses`, the numeric side of the gradient check, beside `Network.loss` with the number moved in a copy."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chainrule import Affine, LeakyRelu, Network, Relu, Rescaling, Sigmoid, Tanh, _kernels

Array = NDArray[Any]

#: From the step of a gradient check to one that switches ReLUs and changes which class is the largest.
OFFSETS = np.array([0.0, 1e-5, -1e-3, 1.0, -1.0, 20.0])
#: What a wrong call must leave alone.
UNTOUCHED = 7.0


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def affine(inputs: int, outputs: int) -> Affine:
    r = rng(100 * inputs + outputs)
    return Affine(r.normal(size=(inputs, outputs)) / max(inputs, 1) ** 0.5, r.normal(size=outputs))


NETWORKS: dict[str, Callable[[], list[Any]]] = {
    "tutorial": lambda: [affine(20, 7), Relu(), affine(7, 5)],
    "deep": lambda: [affine(20, 18), Sigmoid(), affine(18, 17), Tanh(), affine(17, 16), LeakyRelu(0.2), affine(16, 3)],
    "activations first and last": lambda: [Rescaling(0.5), Tanh(), affine(20, 4), Sigmoid()],
    "two products in a row": lambda: [affine(20, 3), affine(3, 33)],
    "one class": lambda: [affine(20, 2), Relu(), affine(2, 1)],
    "no hidden neurons": lambda: [affine(20, 0), Relu(), affine(0, 3)],
}


def described(layer: Any) -> tuple[str, list[int], list[float]]:
    """Give what the engine is told of a layer."""
    if isinstance(layer, Affine):
        return ("affine", [layer.W.shape[1]], [])
    number = {LeakyRelu: "slope", Rescaling: "scale"}.get(type(layer))
    names = {Relu: "relu", LeakyRelu: "leaky_relu", Sigmoid: "sigmoid", Tanh: "tanh", Rescaling: "scale"}
    return (names[type(layer)], [], [getattr(layer, number)] if number else [])


class Case:
    """A network, an engine of the same layers, and data of which every third number is 0."""

    def __init__(self, name: str = "tutorial", n: int = 3, soft: bool = False) -> None:
        layers = NETWORKS[name]()
        self.net = Network({f"layer{i}": layer for i, layer in enumerate(layers)})
        self.engine = _kernels.Engine("float64", 20, [described(layer) for layer in layers], "softmax")
        self.params = list(self.net.params.values())
        self.x = rng(1).normal(size=(n, 20))
        self.x.flat[::3] = 0
        classes = self.params[-1].size
        self.t: Array = rng(2).dirichlet(np.ones(classes), size=n) if soft else rng(2).integers(classes, size=n)

    def arguments(self, index: int = 0, entries: Any = (0, 1), offsets: Any = OFFSETS, **other: Any) -> dict[str, Any]:
        entries = np.array(entries, np.int64)
        offsets = np.tile(offsets, (len(entries), 1))
        arguments = {"params": self.params, "x": self.x, "t": self.t, "index": index, "entries": entries}
        return arguments | {"offsets": offsets, "out": np.full(offsets.shape, UNTOUCHED), "first": 0} | other

    def losses(self, index: int, entries: Any, offsets: Any = OFFSETS) -> Array:
        arguments = self.arguments(index, entries, offsets)
        while arguments["first"] < len(entries):
            arguments["first"] = self.engine.losses(**arguments)
        return np.array(arguments["out"])

    def moved(self, index: int, entry: int, offset: float) -> float:
        """Give the loss of a copy of the network with that number moved."""
        net = copy.deepcopy(self.net)
        list(net.params.values())[index].flat[entry] += offset
        return float(net.loss(self.x, self.t))

    def arrays(self) -> list[Array]:
        return [self.x, *self.params]


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("name", NETWORKS)
def test_each_loss_is_that_of_a_network_with_the_number_moved(name: str, n: int, soft: bool) -> None:
    case = Case(name, n, soft)
    before = [array.tobytes() for array in case.arrays()]
    for index, array in enumerate(case.params):
        # All of a small array, each seventh number of a larger one and the last.
        entries = [*range(0, array.size, 1 + 6 * (array.size > 40)), *range(max(array.size - 1, 0), array.size)]
        expected = np.array([[case.moved(index, e, offset) for offset in OFFSETS] for e in entries])
        # Sums of at most 40 products, four layers: a loss is off by some hundred roundings of 1e-16.
        got = case.losses(index, entries)
        np.testing.assert_allclose(got, expected.reshape(got.shape), rtol=2e-13, atol=2e-13)
    assert [array.tobytes() for array in case.arrays()] == before


def test_the_losses_are_those_of_a_forward_pass_and_no_straight_line() -> None:
    """A kernel that moved the column by δ·x or the loss by δ·gradient would agree for small offsets only."""
    case = Case("deep", 40)
    for index, array in enumerate(case.params):
        loss, near, far = case.losses(index, [array.size - 1], [0.0, 1e-6, 20.0])[0]
        assert far == pytest.approx(case.moved(index, array.size - 1, 20.0), rel=1e-13)
        assert abs(far - (loss + 20 * (near - loss) / 1e-6)) > 1e-3


def test_parameters_and_data_that_are_read_only_are_read() -> None:
    case = Case()
    expected = case.losses(0, [3, 4])
    for array in case.arrays():
        array.flags.writeable = False
    np.testing.assert_array_equal(case.losses(0, [3, 4]), expected)


def test_an_engine_of_a_float32_network_takes_its_parameters_widened() -> None:
    case = Case()
    expected = case.losses(2, [0, 1, 2])
    layers = [described(layer) for layer in case.net.layers.values()]
    case.engine = _kernels.Engine("float32", 20, layers, "softmax")
    np.testing.assert_array_equal(case.losses(2, [0, 1, 2]), expected)


def test_t7_a_call_does_some_of_the_entries_and_the_next_goes_on_where_it_stopped() -> None:
    case = Case("deep", 40)
    entries = np.arange(100_000) % case.params[0].size
    offsets, done, calls = np.array([1e-3, -1e-3]), 0, 0
    arguments = case.arguments(0, entries, offsets)
    while done < len(entries):
        before = done
        done = case.engine.losses(**arguments | {"first": done})
        calls += 1
        assert done > before
        assert (arguments["out"][done:] == UNTOUCHED).all()
    # Whoever asks again gets the same bits.
    expected = case.losses(0, range(case.params[0].size), offsets)
    np.testing.assert_array_equal(arguments["out"], expected[entries])
    assert calls > 3


DIGESTS = """
import hashlib
import numpy as np
from chainrule import _kernels

print(_kernels.threads())
r = np.random.default_rng(0)
layers = [("affine", [30], []), ("relu", [], []), ("affine", [40], []), ("sigmoid", [], []), ("affine", [10], [])]
params = [r.normal(size=shape) / 5 for shape in [(100, 30), 30, (30, 40), 40, (40, 10), 10]]
engine, x, t = _kernels.Engine("float64", 100, layers, "softmax"), r.normal(size=(150, 100)), r.integers(10, size=150)
for index, array in enumerate(params):
    entries = np.arange(array.size)
    offsets, done = np.tile([1e-3, -1e-3, 0.5], (array.size, 1)), 0
    out = np.empty(offsets.shape)
    while done < len(entries):
        done = engine.losses(params, x, t, index, entries, offsets, out, done)
    print(hashlib.sha256(out.tobytes()).hexdigest())
"""


def printed(threads: str) -> list[str]:
    """Give what DIGESTS prints in a process of so many threads."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("CHAINRULE_")}
    env["CHAINRULE_NUM_THREADS"] = env["CHAINRULE_CPUS"] = threads
    command = [sys.executable, "-W", "error", "-c", DIGESTS]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def test_d1_any_number_of_threads_gives_the_same_losses() -> None:
    one, *expected = printed("1")
    assert one == "1"
    assert len(set(expected)) == 6
    for threads in ("2", "4", "7"):
        assert printed(threads) == [threads, *expected]


# --- what is refused ---

Wrong = Callable[[Case], dict[str, Any]]


def with_params(case: Case, position: int, array: Any) -> dict[str, Any]:
    return case.arguments(params=[*case.params[:position], array, *case.params[position + 1 :]])


def read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


OUT = (2, len(OFFSETS))
TYPE_ERRORS: dict[str, Wrong] = {
    "params: float32": lambda case: with_params(case, 0, case.params[0].astype(np.float32)),
    "params: columns first": lambda case: with_params(case, 0, np.asfortranarray(case.params[0])),
    "params: two axes for b": lambda case: with_params(case, 1, case.params[1][None]),
    "params: a list": lambda case: with_params(case, 1, [0.0] * 7),
    "x: float32": lambda case: case.arguments(x=case.x.astype(np.float32)),
    "x: bytes": lambda case: case.arguments(x=np.zeros((3, 20), np.uint8)),
    "x: one axis": lambda case: case.arguments(x=case.x[0]),
    "x: columns first": lambda case: case.arguments(x=np.asfortranarray(case.x)),
    "x: every second row": lambda case: case.arguments(x=np.zeros((6, 20))[::2]),
    "t: int32": lambda case: case.arguments(t=case.t.astype(np.int32)),
    "t: float ids": lambda case: case.arguments(t=case.t.astype(float)),
    "t: float32": lambda case: case.arguments(t=np.ones((3, 5), np.float32)),
    "t: None": lambda case: case.arguments(t=None),
    "index: None": lambda case: case.arguments() | {"index": None},
    "entries: int32": lambda case: case.arguments() | {"entries": np.zeros(2, np.int32)},
    "entries: two axes": lambda case: case.arguments() | {"entries": np.zeros((2, 1), np.int64)},
    "entries: a list": lambda case: case.arguments() | {"entries": [0, 1]},
    "offsets: float32": lambda case: case.arguments() | {"offsets": np.zeros(OUT, np.float32)},
    "offsets: one axis": lambda case: case.arguments() | {"offsets": np.zeros(2)},
    "offsets: columns first": lambda case: case.arguments() | {"offsets": np.zeros(OUT, order="F")},
    "out: float32": lambda case: case.arguments(out=np.zeros(OUT, np.float32)),
    "out: read-only": lambda case: case.arguments(out=read_only(np.zeros(OUT))),
    "out: columns first": lambda case: case.arguments(out=np.zeros(OUT, order="F")),
}


@pytest.mark.parametrize("what", TYPE_ERRORS)
def test_a_wrong_kind_of_array_is_a_type_error(what: str) -> None:
    case = Case()
    arguments = TYPE_ERRORS[what](case)
    before = np.array(arguments["out"])
    with pytest.raises(TypeError):
        case.engine.losses(**arguments)
    np.testing.assert_array_equal(arguments["out"], before)


VALUE_ERRORS: dict[str, tuple[Wrong, str]] = {
    "entry too large": (lambda case: case.arguments(entries=[0, 140]), "entry 140 was asked for, but there are 140"),
    "entry below 0": (lambda case: case.arguments(entries=[-1, 0]), "entry -1 was asked for"),
    "index too large": (lambda case: case.arguments(4), "parameter 4 was asked for, but there are 4"),
    "a parameter too few": (lambda case: case.arguments(params=case.params[:3]), "number of parameters is 3"),
    "shape of W": (lambda case: with_params(case, 0, np.zeros((20, 8))), "axis 1 is 8, but its layer's is 7"),
    "features": (lambda case: case.arguments(x=np.zeros((3, 21))), "columns of x is 21"),
    "rows of t": (lambda case: case.arguments(t=case.t[:2]), "rows of t is 2"),
    "columns of t": (lambda case: case.arguments(t=np.ones((3, 4))), "columns of t is 4"),
    "label": (lambda case: case.arguments(t=np.array([0, 5, 0])), "labels must lie in 0..4; got 5 at row 1"),
    "no rows": (lambda case: case.arguments(x=case.x[:0], t=case.t[:0]), "empty batch"),
    "rows of offsets": (
        lambda case: case.arguments() | {"offsets": np.zeros((3, 6))},
        "there are 3 rows of the offsets, but 2 entries",
    ),
    "rows of out": (lambda case: case.arguments(out=np.zeros((3, 6))), "there are 3 rows of the output, but 2 entries"),
    "columns of out": (
        lambda case: case.arguments(out=np.zeros((2, 5))),
        "there are 5 columns of the output, but 6 columns of the offsets",
    ),
}


@pytest.mark.parametrize("what", VALUE_ERRORS)
def test_a_wrong_value_or_shape_is_a_value_error(what: str) -> None:
    case = Case()
    wrong, message = VALUE_ERRORS[what]
    arguments = wrong(case)
    before = np.array(arguments["out"])
    with pytest.raises(ValueError, match=message.replace("..", r"\.\.")):
        case.engine.losses(**arguments)
    np.testing.assert_array_equal(arguments["out"], before)


@pytest.mark.parametrize("other", ["params", "x", "t", "entries", "offsets"])
@pytest.mark.parametrize("seen", [True, False], ids=["a view", "a memoryview"])
def test_a15_an_output_that_is_an_argument_too_is_refused(seen: bool, other: str) -> None:
    """That two views of one array overlap rust-numpy sees; through a memoryview it does not, but we do."""
    case = Case(soft=True)
    # One piece of memory, long enough for any of them.
    memory = np.zeros(200)
    twin = memory if seen else np.asarray(memory.data)
    arguments = case.arguments(out=memory[:12].reshape(OUT))
    if other == "params":
        arguments["params"] = [twin[:140].reshape(20, 7), *case.params[1:]]
    elif other == "entries":
        arguments["entries"] = twin[:2].view(np.int64)
    else:
        shape = np.shape(arguments[other])
        arguments[other] = twin[: int(np.prod(shape))].reshape(shape)
    with pytest.raises((TypeError, RuntimeError), match="borrowed|in use" if seen else "shares memory"):
        case.engine.losses(**arguments)
    assert not memory.any()


def test_a_number_below_zero_is_refused_and_past_the_end_there_is_nothing_to_do() -> None:
    case = Case()
    for below in ({"first": -1}, {"index": -1}):
        with pytest.raises(OverflowError):
            case.engine.losses(**case.arguments() | below)
    arguments = case.arguments(first=9)
    assert case.engine.losses(**arguments) == 2
    assert (arguments["out"] == UNTOUCHED).all()


def test_no_entries_and_no_offsets() -> None:
    case = Case()
    assert case.losses(0, []).shape == (0, len(OFFSETS))
    arguments = case.arguments(offsets=np.zeros(0))
    assert case.engine.losses(**arguments) == 2
