"""The private kernels, called as nobody calls them: wrong shapes, dtypes, strides, orders of bytes, overlaps.

They promise that nothing of this is a crash, and that what they refuse is not written. A case is a number, from which
the call is drawn: first one that fits, then up to three things in it are made odd.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attack import odd
from attack.ground import Ground
from attack.target import Target, kind, number_of
from chainrule import _kernels

if sys.platform != "win32":
    import resource

_INTEGERS = [-1, 0, 1, 2, 3, 7, 2**31, 2**32 - 1, 2**32, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63)]
_FLOATS = [0.0, -1.0, 0.5, 1.0, float("nan"), float("inf"), 1e308, -1e-320]
_RULES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2}

#: What a call says whose arrays, or whose evaluation, another reads or writes: also if it is given them twice.
_IN_USE = ("the network's arrays are in use", "Already borrowed", "Already mutably borrowed")


class Draw:
    """Where everything of one call is drawn from."""

    def __init__(self, seed: int) -> None:
        self.rng, self.numpy, self.ground = random.Random(seed), np.random.default_rng(seed), Ground()
        self.dtype = self.rng.choice(("f4", "f8"))

    def size(self) -> int:
        """Draw a size, mostly a small one."""
        return self.rng.choice((0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 64, 65))

    def values(self, *shape: int, dtype: str | None = None) -> NDArray[Any]:
        """Draw numbers, some of them strange."""
        values = np.asarray(self.numpy.normal(size=shape))
        if self.rng.random() < 0.3:
            values = np.where(self.numpy.random(shape) < 0.2, values, 0)
        if self.rng.random() < 0.2 and values.size:
            values.flat[self.rng.randrange(values.size)] = self.rng.choice(odd.VALUES)
        return odd.cast(values, dtype or self.dtype)

    def array(self, *shape: int, dtype: str | None = None) -> NDArray[Any]:
        """Draw an array to be read."""
        return self.ground.array(self.values(*shape, dtype=dtype))

    def out(self, *shape: int, dtype: str | None = None) -> NDArray[Any]:
        """Draw an array to be written."""
        return self.ground.array(self.values(*shape, dtype=dtype), written=True)

    def examples(self, *shape: int) -> NDArray[Any]:
        """Draw examples, in any type they are stored in."""
        stored = self.rng.choice(("u1", "f4", "f8"))
        values = self.numpy.integers(256, size=shape) * (self.numpy.random(shape) < 0.3)
        return self.ground.array(values.astype("u1")) if stored == "u1" else self.array(*shape, dtype=stored)

    def numbers_below(self, end: int, count: int) -> NDArray[Any]:
        """Draw numbers of rows or classes; seldom such that there are not."""
        made = self.numpy.integers(max(end, 1), size=count)
        if self.rng.random() < 0.1 and count:
            made[self.rng.randrange(count)] = self.rng.choice((-1, end, 2**63 - 1, -(2**63)))
        return self.ground.array(made)

    def targets(self, rows: int, classes: int) -> NDArray[Any]:
        """Draw class ids, or numbers."""
        if self.rng.random() < 0.5:
            return self.numbers_below(classes, rows)
        return self.ground.array(self.numpy.dirichlet(np.ones(max(classes, 1)), rows)[:, :classes].astype(self.dtype))

    def loss(self) -> str:
        return self.rng.choice(("softmax", "softmax", "squared", "sigmoid"))

    def draws(self) -> tuple[int, int, int]:
        a, b, c = (self.rng.choice((0, 1, 2**63, 2**64 - 1)) for _ in range(3))
        return a, b, c


Description = tuple[str, list[int], list[float]]


def layer(draw: Draw, inputs: int | None) -> tuple[Description, int, list[tuple[int, ...]]]:
    """Draw a layer for rows of so many numbers, or of any: its description, that number, the shapes of its arrays."""
    rng = draw.rng
    names = ["affine", "batch_norm", "layer_norm", "plain"]
    if inputs != 0:  # no image
        names += ["convolution", "max_pooling", "average_pooling"]
    name = rng.choice(names)
    if name == "affine":
        width, outputs = draw.size() if inputs is None else inputs, draw.size()
        return ("affine", [outputs], []), width, [(width, outputs), (outputs,)]
    if name in ("convolution", "max_pooling", "average_pooling"):
        channels, height, width = (rng.choice((1, 2, 3, 6)) for _ in range(3))
        if inputs is not None and channels * height * width != inputs:
            channels, height, width = 1, 1, inputs
        window = [min(rng.randrange(1, 4), height), min(rng.randrange(1, 4), width)]
        sizes = [channels, height, width, *window, rng.randrange(1, 4), rng.randrange(min(window))]
        whole = channels * height * width
        if name != "convolution":
            return (name, sizes, []), whole, []
        filters = rng.choice((0, 1, 2, 5))
        return (name, [filters, *sizes], []), whole, [(filters, channels, *window), (filters,)]
    if name == "batch_norm":
        pixels = 1 if inputs is not None else rng.choice((1, 4))
        channels = draw.size() if inputs is None else inputs
        return (name, [channels, pixels], [0.9]), channels * pixels, [(channels,)] * 4
    width = draw.size() if inputs is None else inputs
    if name == "layer_norm":
        return (name, [width], []), width, [(width,)] * 2
    others: list[tuple[str, list[float]]] = [
        ("relu", []), ("leaky_relu", [0.1]), ("sigmoid", []), ("tanh", []), ("scale", [0.5]), ("dropout", [0.3]),
    ]  # fmt: skip
    plain, numbers = rng.choice(others)
    return (plain, [], numbers), width, []


@dataclass
class Call:
    """A call, of which some arguments may be made odd."""

    of: Callable[..., Any]
    arguments: list[Any]


def affine(draw: Draw) -> Call:
    m, k, n = draw.size(), draw.size(), draw.size()
    arrays = [draw.examples(m, k), draw.array(k, n), draw.array(n), draw.out(m, n)]
    return Call(_kernels.affine, [*arrays, _kernels.Scratch()])


def weight_gradient(draw: Draw) -> Call:
    m, k, n = draw.size(), draw.size(), draw.size()
    arrays = [draw.examples(m, k), draw.array(m, n), draw.out(k, n)]
    return Call(_kernels.weight_gradient, [*arrays, _kernels.Scratch(), draw.rng.random() < 0.2])


def matmul(draw: Draw) -> Call:
    m, k, n = draw.size(), draw.size(), draw.size()
    return Call(_kernels.matmul_a_bt, [draw.array(m, k), draw.array(n, k), draw.out(m, n)])


def sums(draw: Draw) -> Call:
    m, n = draw.size(), draw.size()
    return Call(_kernels.column_sums, [draw.array(m, n), draw.out(n)])


def zeros(draw: Draw) -> Call:
    shape = tuple(draw.size() % 9 for _ in range(draw.rng.randrange(4)))
    return Call(_kernels.zero_where, [draw.array(*shape, dtype="u1"), draw.array(*shape), draw.out(*shape)])


def mask(draw: Draw) -> Call:
    return Call(
        _kernels.dropout_mask, [draw.rng.random(), (*draw.draws(), 0), draw.out(draw.size(), draw.size(), dtype="u1")]
    )


def loss(draw: Draw) -> Call:
    n, c = draw.size(), draw.size()
    weights = draw.array(n) if draw.rng.random() < 0.3 else None
    arrays = [draw.array(n, c), draw.targets(n, c), draw.out(n, c), draw.out(n, c)]
    return Call(_kernels.loss, [draw.loss(), *arrays, weights])


def distribution(draw: Draw) -> Call:
    return Call(_kernels.not_a_distribution, [draw.array(draw.size(), draw.size())])


def sizes(draw: Draw) -> Call:
    described, inputs, _ = layer(draw, None)
    return Call(lambda name, sizes, *rest: _kernels.layer_sizes((name, sizes, described[2]), *rest), [
        described[0], list(described[1]), draw.size(), inputs,
    ])  # fmt: skip


def forward(draw: Draw) -> Call:
    described, inputs, shapes = layer(draw, None)
    rows = draw.size()
    outputs, numbers, places = _kernels.layer_sizes(described, rows, inputs)
    arrays = [draw.array(*shape) for shape in shapes]
    rest = [draw.array(rows, inputs), draw.out(rows, outputs), draw.out(numbers), draw.out(places, dtype="u4")]
    return Call(lambda sizes, *rest: _kernels.layer_forward((described[0], sizes, described[2]), *rest), [
        list(described[1]), arrays, *rest, draw.rng.random() < 0.5,
    ])  # fmt: skip


def backward(draw: Draw) -> Call:
    described, inputs, shapes = layer(draw, None)
    rows = draw.size()
    outputs, numbers, places = _kernels.layer_sizes(described, rows, inputs)
    arrays, x = [draw.array(*shape) for shape in shapes], draw.array(rows, inputs)
    remembers = draw.values(numbers), draw.values(places, dtype="u4")
    training = draw.rng.random() < 0.5
    if draw.rng.random() < 0.7:  # what a way forward has left; else anything
        out = np.empty((rows, outputs), x.dtype)
        _kernels.layer_forward(described, arrays, x, out, *remembers, training)
    learnt = shapes[:2]
    rest = [draw.array(rows, outputs), draw.out(rows, inputs), [draw.out(*shape) for shape in learnt]]
    return Call(lambda sizes, *rest: _kernels.layer_backward((described[0], sizes, described[2]), *rest), [
        list(described[1]), arrays, x, *rest, *(draw.ground.array(a) for a in remembers), training,
    ])  # fmt: skip


def inflate(draw: Draw) -> Call:
    from segmented_gzip import segmented

    content = draw.numpy.integers(4, size=200).astype("u1").tobytes()
    file = bytearray(segmented(content[:16], content[16:], draw.rng.randrange(1, 5)))
    for _ in range(draw.rng.randrange(3)):
        file[draw.rng.randrange(len(file))] = draw.rng.randrange(256)
    return Call(_kernels.inflate_segments, [bytes(file), 16, draw.out(184, dtype="u1")])


# --- an engine ---


@dataclass
class Machine:
    """An engine of some layers, and arrays for it."""

    engine: _kernels.Engine
    features: int
    classes: int
    params: list[NDArray[Any]]
    learnt: list[tuple[int, ...]]


def machine(draw: Draw, written: bool, dtype: str | None = None) -> Machine:
    """Draw one."""
    draw.dtype = dtype or draw.dtype
    described, shapes, learnt, width, features = [], [], [], None, 0
    for i in range(draw.rng.randrange(1, 5)):
        one, inputs, its = layer(draw, width)
        if i == 0:
            features = inputs
        described.append(one)
        shapes += its
        learnt += its[:2]
        width = _kernels.layer_sizes(one, 1, inputs)[0]
    engine = _kernels.Engine({"f4": "float32", "f8": "float64"}[draw.dtype], features, described, draw.loss())
    params = [(draw.out if written else draw.array)(*shape) for shape in shapes]
    return Machine(engine, features, width or 0, params, learnt)


def ready(examples: _kernels.Examples) -> _kernels.Examples:
    while not examples.prepare():
        pass
    return examples


def scores(draw: Draw) -> Call:
    m, n = machine(draw, False), draw.size()
    x: Any = draw.examples(n, m.features)
    if draw.rng.random() < 0.4:
        x = ready(m.engine.examples(x))
    return Call(m.engine.scores, [m.params, x, 0, draw.out(n, m.classes)])


def steps(draw: Draw) -> Call:
    m, n, batch = machine(draw, True), draw.size(), draw.rng.choice((1, 2, 5))
    count = draw.rng.randrange(4)
    name, states = draw.rng.choice(list(_RULES.items()))
    state = [draw.out(*shape) for shape in m.learnt for _ in range(states)]
    x, t = ready(m.engine.examples(draw.examples(n, m.features))), draw.targets(n, m.classes)
    rows, losses = draw.numbers_below(n, count * batch), draw.out(count, dtype="f8")
    rule = name, draw.rng.choice((0.1, *_FLOATS)), 0.0, 0.9, 0.999, draw.rng.choice((0, 1, 2**64 - 1))
    beside = []
    if draw.rng.random() < 0.3:
        beside = m.engine.evaluations(
            [p.copy() for p in m.params], [(draw.examples(n, m.features), draw.targets(n, m.classes))]
        )
    weights = draw.array(n) if draw.rng.random() < 0.2 else None
    largest = draw.rng.choice((None, None, 1.0, *_FLOATS))
    return Call(m.engine.steps, [
        m.params, state, x, t, rows, batch, rule, draw.rng.random() < 0.5, losses, beside, weights, largest, (1, 2),
    ])  # fmt: skip


def evaluations(draw: Draw) -> Call:
    m, n = machine(draw, False), draw.size()

    def evaluate(params: Any, x: Any, t: Any) -> Any:
        (made,) = m.engine.evaluations(params, [(x, t)])
        for _ in range(1000):
            if made.advance():
                break
        return made.result()

    return Call(evaluate, [m.params, draw.examples(n, m.features), draw.targets(n, m.classes)])


def losses(draw: Draw) -> Call:
    m, n, count, each = machine(draw, False, "f8"), draw.size(), draw.rng.randrange(4), draw.rng.randrange(5)
    index = draw.rng.randrange(len(m.params)) if m.params else 0
    size = m.params[index].size if m.params else 0
    arrays = [draw.array(n, m.features), draw.targets(n, m.classes), index, draw.numbers_below(size, count)]
    return Call(m.engine.losses, [m.params, *arrays, draw.array(count, each), draw.out(count, each), 0])


def losses_along(draw: Draw) -> Call:
    m, n, count = machine(draw, False, "f8"), draw.size(), draw.rng.randrange(5)
    ways = [draw.array(*p.shape) if draw.rng.random() < 0.7 else None for p in m.params]
    arrays = [draw.array(n, m.features), draw.targets(n, m.classes), draw.array(count), draw.out(count)]
    return Call(m.engine.losses_along, [m.params, ways, *arrays, 0])


CALLS = [
    affine, weight_gradient, matmul, sums, zeros, mask, loss, distribution, sizes, forward, backward, inflate,
    scores, steps, steps, evaluations, losses, losses_along,
]  # fmt: skip


# --- what is made odd ---


def spoil(draw: Draw, arguments: list[Any], depth: int = 0) -> None:
    """Make one of the arguments odd, or one in a list of them."""
    if not arguments:
        return
    at = draw.rng.randrange(len(arguments))
    if isinstance(arguments[at], list) and depth < 2:
        if draw.rng.random() < 0.7:
            spoil(draw, arguments[at], depth + 1)
        elif arguments[at]:  # one too few, or too many
            draw.rng.choice((arguments[at].pop, lambda: arguments[at].append(arguments[at][0])))()
    else:
        arguments[at] = spoilt(
            draw, arguments[at], [a for a in arguments if isinstance(a, np.ndarray) and not a.dtype.hasobject]
        )


def spoilt(draw: Draw, thing: Any, arrays: list[NDArray[Any]]) -> Any:
    rng = draw.rng
    if isinstance(thing, bool) or thing is None or rng.random() < 0.05:
        return odd.nothing(rng)
    if isinstance(thing, int):
        return rng.choice(_INTEGERS)
    if isinstance(thing, float):
        return rng.choice(_FLOATS)
    if isinstance(thing, str):
        return rng.choice(
            ("", "affine", "relu", "convolution", "layer_norm", "batch_norm", "softmax", "x\0", "é" * 100)
        )
    if isinstance(thing, bytes):
        return thing[: rng.randrange(len(thing) + 1)] + bytes(rng.randrange(3))
    if isinstance(thing, tuple) and thing:
        at = rng.randrange(len(thing))
        return (*thing[:at], spoilt(draw, thing[at], arrays), *thing[at + 1 :])
    if not isinstance(thing, np.ndarray):
        return odd.nothing(rng)
    if (
        type(thing) is not np.ndarray
        or thing.dtype.hasobject
        or not thing.flags.c_contiguous
        or thing.nbytes > 2**20
        or 0 in thing.strides
    ):
        return thing  # odd already
    return rng.choice(_ARRAYS)(draw, thing, arrays)


def _other_dtype(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    return draw.ground.array(odd.cast(np.zeros(a.shape), draw.rng.choice(odd.DTYPES[2:-7])), written=True)


def _other_order(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    return a.view(a.dtype.newbyteorder())


def _other_shape(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    return draw.ground.array(np.zeros(odd.shape(draw.rng, a.shape), a.dtype), written=True)


def _other_layout(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    return odd.another(draw.rng, a)


def _off(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    return draw.ground.array(a, written=True, shift=draw.rng.choice((1, 2, 4, 8, 12)))


def _stretched(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    """So many numbers as no memory has, all in one place."""
    shape = draw.rng.choice(((2**40,) * a.ndim if a.ndim < 2 else (2**30, 2**20), a.shape, (2**62,)))
    with contextlib.suppress(ValueError):
        return np.lib.stride_tricks.as_strided(
            np.zeros(1, a.dtype), shape, (0,) * len(shape), writeable=bool(draw.rng.randrange(2))
        )
    return a


def _overlapping(draw: Draw, a: NDArray[Any], arrays: list[NDArray[Any]]) -> Any:
    """The same memory as another, or a part of it."""
    other = draw.rng.choice(arrays or [a])
    shift = draw.rng.choice((0, 0, a.itemsize, 1))
    if type(other) is not np.ndarray or not other.flags.c_contiguous or shift + a.nbytes > other.nbytes:
        return draw.ground.allow(other)
    flat = np.ascontiguousarray(other).reshape(-1).view(np.uint8)
    return draw.ground.allow(flat[shift : shift + a.nbytes].view(a.dtype).reshape(a.shape))


def _strides(draw: Draw, a: NDArray[Any], _: Any) -> Any:
    """Other strides that stay within its memory."""
    if not a.size or not a.ndim:
        return a
    strides = tuple(draw.rng.choice((0, step, step // 2)) for step in a.strides)
    return np.lib.stride_tricks.as_strided(a, a.shape, strides)


_ARRAYS: list[Callable[[Draw, NDArray[Any], list[NDArray[Any]]], Any]] = [
    _other_dtype, _other_order, _other_shape, _other_shape, _other_layout, _off, _stretched, _overlapping, _overlapping,
    _strides,
]  # fmt: skip


class Kernels(Target):
    """A random call."""

    patience = 10.0
    memory = 2**30

    def __init__(self) -> None:
        # Some sizes ask for more than there is.
        if sys.platform != "win32":
            resource.setrlimit(resource.RLIMIT_AS, (2**33, resource.getrlimit(resource.RLIMIT_AS)[1]))

    def judge(self, case: bytes) -> str:
        draw = Draw(number_of(case))
        make = draw.rng.choice(CALLS)
        call = make(draw)
        for _ in range(draw.rng.choice((0, 0, 1, 1, 1, 2, 3))):
            spoil(draw, call.arguments)
        try:
            call.of(*call.arguments)
        except (TypeError, ValueError, OverflowError, MemoryError) as error:
            said, refused = kind(error), True
        except RuntimeError as error:
            if not any(text in str(error) for text in _IN_USE):
                raise
            said, refused = kind(error), True
        else:
            said, refused = "went", False
        draw.ground.check(refused)
        return f"{make.__name__} {said}"
