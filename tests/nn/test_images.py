"""Layers for images: held against their twins and against differences, by themselves and in stacks, all at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

import chainrule
import twins
from chainrule import (
    AveragePooling,
    BatchNormalization,
    Convolution,
    Dropout,
    Flatten,
    LayerNormalization,
    Pooling,
    Reshape,
    check_gradients,
)
from lengths import short_and_long

#: Random layers of each kind, and stacks, in one part of the tests; there are ten parts: 1,200 layers, 150 stacks.
LAYERS, STACKS = 15, 15
PARTS = short_and_long(range(10), 1)
QUIET = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

LAYOUTS = ("C", "F", "reversed", "every other", "a field")


def laid_out(values: Any, layout: str) -> Any:
    """Give the same numbers, lying in memory otherwise."""
    if layout == "F":
        return np.asfortranarray(values)
    if layout == "reversed" and values.ndim:
        return values[..., ::-1].copy()[..., ::-1]
    if layout == "every other" and values.ndim:
        return np.repeat(values, 2, axis=-1)[..., ::2]
    if layout == "a field":  # 5 or 9 bytes from number to number
        packed = np.zeros(values.shape, [("flag", np.int8), ("value", values.dtype)])
        packed["value"] = values
        return packed["value"]
    return values.copy()


@dataclass
class Drawn:
    """One layer that was drawn, and its twin."""

    make: Callable[[], Any]
    twin: Callable[[], Any]
    #: How large the numbers are that are added up on the way to each output, or to each gradient, by name; times the
    #: distance of two neighbouring floats, and how many of them there are, this bounds what rounding does.
    sizes: Callable[[Any, Any], dict[str, Any]]
    x: Any
    layout: str
    flags: tuple[bool, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    #: Whether x has equal largest numbers, where there is no derivative.
    ties: bool = False

    def __repr__(self) -> str:
        given = {name: value.shape for name, value in self.parameters.items()}
        told = {n: v for n, v in vars(self.twin()).items() if isinstance(v, int | float)}
        x = f"x {self.x.shape} {self.x.dtype} {self.layout}"
        return f"{type(self.twin()).__name__}({given}, {told}) of {x}, flags {self.flags}"


@dataclass(frozen=True)
class Start:
    """What all layers are drawn from."""

    rng: np.random.Generator
    dtype: Any
    layout: str

    def array(self, *shape: int, scale: float = 1.0) -> Any:
        return (scale * self.rng.standard_normal(shape)).astype(self.dtype)


@st.composite
def starts(draw: st.DrawFn) -> Start:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return Start(rng, draw(st.sampled_from([np.float32, np.float64])), draw(st.sampled_from(LAYOUTS)))


@st.composite
def image_shapes(draw: st.DrawFn, height: int, width: int, least: int = 0) -> tuple[int, ...]:
    """Give (N, C, H, W) of at least this height and width; or (C, H, W)."""
    sizes = draw(st.integers(1, 3)), draw(st.integers(height, height + 4)), draw(st.integers(width, width + 4))
    batch = draw(st.integers(least - 1, 3))
    return sizes if batch < least else (batch, *sizes)


@st.composite
def convolutions(draw: st.DrawFn) -> Drawn:
    start, stride, pad = draw(starts()), draw(st.integers(1, 3)), draw(st.integers(0, 2))
    fh, fw = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    shape = draw(image_shapes(max(fh - 2 * pad, 1), max(fw - 2 * pad, 1)))
    filters, channels = draw(st.integers(1, 4)), shape[-3]
    W, b = start.array(filters, channels, fh, fw), start.array(filters)
    x = laid_out(start.array(*shape, scale=draw(st.sampled_from([1e-3, 1.0, 1e3]))), start.layout)

    def sizes(x: Any, dout: Any) -> dict[str, Any]:
        """Sums of products: the same with all signs plus, times the number of products."""
        twin = twins.Convolution(np.abs(W), np.abs(b), stride, pad)
        out = (channels * fh * fw + 1) * twin.forward(np.abs(x))
        dx = filters * fh * fw * twin.backward(np.abs(dout))
        count = dout.size // filters
        return {"out": out, "x": dx, "W": count * twin.dW, "b": count * twin.db}

    return Drawn(
        lambda: Convolution(W, b, stride, pad), lambda: twins.Convolution(W, b, stride, pad), sizes, x, start.layout,
        parameters={"W": W, "b": b},
    )  # fmt: skip


@st.composite
def pools(draw: st.DrawFn, average: bool) -> Drawn:
    start, stride = draw(starts()), draw(st.integers(1, 3))
    h, w = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pad = draw(st.integers(0, min(h, w) - 1))
    shape = draw(image_shapes(max(h - 2 * pad, 1), max(w - 2 * pad, 1)))
    ties = draw(st.booleans())
    if ties:
        values = start.rng.integers(-2, 2, shape).astype(start.dtype)
    else:  # at least a tenth apart
        values = (0.1 * start.rng.permutation(int(np.prod(shape))).reshape(shape) - 3).astype(start.dtype)
    x = laid_out(values, start.layout)

    def exactly(x: Any, dout: Any) -> dict[str, Any]:
        """What is largest is not rounded; what several windows send to a pixel is added up."""
        every = twins.AveragePooling(h, w, stride, pad)
        every.forward(x)
        return {"out": np.zeros(dout.shape), "x": (h * w) ** 2 * every.backward(np.abs(dout))}

    def added(x: Any, dout: Any) -> dict[str, Any]:
        twin = twins.AveragePooling(h, w, stride, pad)
        out = h * w * twin.forward(np.abs(x))
        return {"out": out, "x": h * w * twin.backward(np.abs(dout))}

    if not average:
        return Drawn(lambda: Pooling(h, w, stride, pad), lambda: twins.Pooling(h, w, stride, pad), exactly, x,
                     start.layout, ties=ties)  # fmt: skip
    return Drawn(lambda: AveragePooling(h, w, stride, pad), lambda: twins.AveragePooling(h, w, stride, pad), added, x,
                 start.layout)  # fmt: skip


def normalised(values: Any, sent: Any, gamma: Any, mean: Any, var: Any) -> tuple[Any, Any, Any]:
    """Bound what is added up in a norm, for groups of numbers that stand in rows.

    All but `values` and `sent` may be one for each row. Gives the bounds of out, dx, and of each term of dgamma.
    x - mean has the rounding of a sum of x in it, which the root then divides: that is `rounded`, for a number of size
    1. It goes into out once, and twice into dx: with x itself, and with the variance.
    """
    root = np.sqrt(var + twins.EPSILON)
    terms = sum(values.shape) + 8
    rounded = terms * (1 + np.abs(values).max(axis=1, keepdims=True, initial=0) / root)
    size = 1 + np.abs(values - mean).max(axis=1, keepdims=True, initial=0) / root
    most = np.abs(gamma).max(axis=1, keepdims=True)
    largest = np.abs(sent).max(axis=1, keepdims=True, initial=0)
    return most * rounded * size + terms, most / root * largest * rounded * size**2, np.abs(sent) * rounded * size


@st.composite
def batch_norms(draw: st.DrawFn, train: bool) -> Drawn:
    start, axes = draw(starts()), draw(st.integers(0, 2))
    features, more = draw(st.integers(1, 4)), tuple(draw(st.integers(1, 3)) for _ in range(axes))
    shape = draw(st.integers(1 if train else 0, 4)), features, *more
    if not axes and draw(st.integers(0, 3)) == 0:
        shape = (features,)
    gamma, beta = start.array(features), start.array(features)
    mean, var = start.array(features), np.abs(start.array(features)) + start.dtype(0.1)
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    x = laid_out(start.array(*shape, scale=draw(st.sampled_from([0.1, 1.0, 10.0]))), start.layout)

    def sizes(x: Any, dout: Any) -> dict[str, Any]:
        values, sent = (np.moveaxis(np.atleast_2d(a).astype(np.float64), 1, 0).reshape(features, -1) for a in (x, dout))
        over = values.mean(axis=1) if train else mean, values.var(axis=1) if train else var
        out, dx, dgamma = normalised(values, sent, gamma[:, None], *(a.astype(np.float64)[:, None] for a in over))
        beside = (features,) + (1,) * (max(x.ndim, 2) - 2)
        largest = 1 + np.abs(values).max(axis=1, initial=0) + np.abs(mean) + var
        count = values.shape[1]
        return {"out": out.reshape(beside), "x": dx.reshape(beside), "gamma": dgamma.sum(axis=1),
                "beta": count * np.abs(sent).sum(axis=1), "running_mean": (count + 8) * largest,
                "running_var": (count + 8) * largest**2}  # fmt: skip

    return Drawn(
        lambda: BatchNormalization(gamma, beta, momentum, mean.copy(), var.copy()),
        lambda: twins.BatchNormalization(gamma, beta, momentum, mean, var), sizes, x, start.layout, (train,),
        {"gamma": gamma, "beta": beta},
    )  # fmt: skip


@st.composite
def layer_norms(draw: st.DrawFn) -> Drawn:
    start = draw(starts())
    last = tuple(draw(st.integers(1, 3)) for _ in range(draw(st.integers(1, 3))))
    size = int(np.prod(last))
    gamma, beta = start.array(size), start.array(size)
    # An axis of length 1 in front may be normalised over or not: it is the same.
    shape = last if draw(st.booleans()) else (draw(st.integers(0, 3)), *last)
    x = laid_out(start.array(*shape, scale=draw(st.sampled_from([0.1, 1.0, 10.0]))), start.layout)

    def sizes(x: Any, dout: Any) -> dict[str, Any]:
        values, sent = (a.astype(np.float64).reshape(-1, size) for a in (x, dout))
        over = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
        out, dx, dgamma = normalised(values, sent, gamma[None], *over)
        out, dx = (np.broadcast_to(a, values.shape).reshape(x.shape) for a in (out, dx))
        return {"out": out, "x": dx, "gamma": dgamma.sum(axis=0), "beta": len(values) * np.abs(sent).sum(axis=0)}

    return Drawn(
        lambda: LayerNormalization(gamma, beta), lambda: twins.LayerNormalization(gamma, beta), sizes, x, start.layout,
        parameters={"gamma": gamma, "beta": beta},
    )  # fmt: skip


@st.composite
def dropouts(draw: st.DrawFn) -> Drawn:
    start, train, ratio = draw(starts()), draw(st.booleans()), draw(st.sampled_from([0.0, 0.2, 0.5, 0.9]))
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    number = draw(st.integers(0, 1000))
    x = laid_out(start.array(*shape), start.layout)

    def twin() -> Any:
        layer = Dropout(ratio, seed=number)
        layer.forward(x, True)
        return twins.Dropout(ratio, mask=layer.mask)

    def sizes(x: Any, dout: Any) -> dict[str, Any]:
        """x · (1 - ratio), where 1 - ratio is rounded as well."""
        return {"out": 2 * np.abs(x), "x": 2 * np.abs(dout)}

    return Drawn(lambda: Dropout(ratio, seed=number), twin, sizes, x, start.layout, (train,))


@st.composite
def shapings(draw: st.DrawFn) -> Drawn:
    start = draw(starts())
    shape = draw(st.integers(0, 3)), *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    x = laid_out(start.array(*shape), start.layout)
    nothing = lambda x, dout: {"out": 0 * dout, "x": 0 * np.asarray(x)}  # noqa: E731
    if draw(st.booleans()):
        return Drawn(Flatten, twins.Flatten, nothing, x, start.layout)
    to = tuple(draw(st.permutations(shape[1:])))
    return Drawn(lambda: Reshape(to), lambda: twins.Reshape(to), nothing, x, start.layout)


KINDS = {
    "convolution": convolutions(),
    "pooling": pools(average=False),
    "average pooling": pools(average=True),
    "batch norm": batch_norms(train=True),
    "batch norm in evaluation": batch_norms(train=False),
    "layer norm": layer_norms(),
    "dropout": dropouts(),
    "shape": shapings(),
}


def assert_as_twin(drawn: Drawn) -> None:
    layer, twin = drawn.make(), drawn.twin()
    x, epsilon = drawn.x, np.finfo(drawn.x.dtype).eps
    kept = x.copy()
    out, expected = layer.forward(x, *drawn.flags), twin.forward(x, *drawn.flags)
    rng = np.random.default_rng(expected.size)
    dout = laid_out(rng.standard_normal(expected.shape).astype(x.dtype), drawn.layout)
    sent = dout.copy()
    found = {"out": out, "x": layer.backward(dout)}
    right = {"out": expected, "x": twin.backward(dout)}
    names = [*drawn.parameters]
    found |= {name: getattr(layer, f"d{name}") for name in names}
    right |= {name: getattr(twin, f"d{name}") for name in names}
    if isinstance(twin, twins.BatchNormalization):
        found |= {name: getattr(layer, name) for name in ("running_mean", "running_var")}
        right |= {name: getattr(twin, name) for name in ("running_mean", "running_var")}
    sizes = drawn.sizes(x, dout)
    for name, array in found.items():
        assert array.dtype == x.dtype, name
        assert array.shape == right[name].shape, name
        # Each of the numbers that are added up, and each sum on the way, is half a distance of floats off at most.
        beyond = np.abs(np.asarray(array, np.float64) - right[name]) - epsilon * sizes[name]
        assert np.all(beyond <= 0), f"{name}: {beyond.max():.1e} more than rounding does"
    assert np.array_equal(x, kept), "x was written into"
    assert np.array_equal(dout, sent), "dout was written into"


def assert_slopes(drawn: Drawn) -> None:
    """Go a little way along a random direction, x and all parameters together, in float64."""
    if drawn.ties or not drawn.x.size:
        return
    rng, h = np.random.default_rng(7), 1e-5
    arrays = {name: np.asarray(a, np.float64) for name, a in {"x": drawn.x, **drawn.parameters}.items()}
    ways = {name: rng.standard_normal(a.shape) for name, a in arrays.items()}

    def layer_at(step: float) -> tuple[Any, Any]:
        layer = drawn.make()
        if drawn.parameters:
            moved = {name: arrays[name] + step * ways[name] for name in drawn.parameters}
            more = [getattr(layer, n) for n in ("stride", "pad") if hasattr(layer, n)]
            if isinstance(layer, BatchNormalization):
                more = [layer.momentum, layer.running_mean.astype(np.float64), layer.running_var.astype(np.float64)]
            layer = type(layer)(*moved.values(), *more)
        return layer, layer.forward(arrays["x"] + step * ways["x"], *drawn.flags)

    layer, out = layer_at(0.0)
    dout = rng.standard_normal(out.shape)
    slope = (ways["x"] * layer.backward(dout)).sum()
    slope += sum((ways[name] * getattr(layer, f"d{name}")).sum() for name in drawn.parameters)
    numeric = (dout * (layer_at(h)[1] - layer_at(-h)[1])).sum() / (2 * h)
    finer = (dout * (layer_at(h / 2)[1] - layer_at(-h / 2)[1])).sum() / h
    # The error of the finer is a third of the difference of the two; and 1e-16 / h times what is added up.
    allowed = 2 * abs(numeric - finer) + 1e-9 * (1 + np.abs(dout * out).sum())
    assert abs(slope - finer) <= allowed, (slope, finer, allowed)


def assert_found_right(drawn: Drawn) -> None:
    if not drawn.x.size:
        return
    report = check_gradients(drawn.make(), drawn.x, *drawn.flags, strict=True)
    assert report.verdict != "wrong", str(report)
    twin = drawn.twin()
    if drawn.ties or isinstance(twin, twins.BatchNormalization | twins.LayerNormalization):
        return  # of equal pixels, of one number, or of two, nothing can be told
    out = twin.forward(drawn.x, *drawn.flags)
    slopes = {"x": twin.backward(np.random.default_rng(3).standard_normal(out.shape))}
    slopes |= {name: getattr(twin, f"d{name}") for name in drawn.parameters}
    for array in report.arrays:  # all may be dropped, or lie in no window
        assert array.verdict == ("right" if slopes[array.name].any() else "vacuous"), str(report)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_agree_with_their_twins_and_are_found_right(kind: str, part: int) -> None:
    @seed(part)
    @settings(max_examples=LAYERS, **QUIET)  # type: ignore[arg-type]
    @given(KINDS[kind])
    def agrees(drawn: Drawn) -> None:
        assert_as_twin(drawn)
        assert_slopes(drawn)
        assert_found_right(drawn)

    agrees()


# --- stacks ---


@dataclass
class Stack:
    """Layers in a row, their twins, x and labels."""

    layers: dict[str, Any]
    twins: list[Any]
    x: Any
    t: Any

    def __repr__(self) -> str:
        return f"{' '.join(self.layers)} of {self.x.shape}"


class AffineTwin:
    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout: Any) -> Any:
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class ReluTwin:
    def forward(self, x: Any) -> Any:
        self.slope = np.where(x > 0, 1.0, 0.0)
        return x * self.slope

    def backward(self, dout: Any) -> Any:
        return dout * self.slope


class TanhTwin:
    def forward(self, x: Any) -> Any:
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout: Any) -> Any:
        return dout * (1 - self.out**2)


@st.composite
def stacks(draw: st.DrawFn) -> Stack:
    """Convolution, norm, activation, pool, dropout, once or twice; then in a row, perhaps normalised, and affine."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, c, h, w = draw(st.integers(2, 3)), draw(st.integers(1, 2)), draw(st.integers(3, 6)), draw(st.integers(3, 6))
    x = rng.standard_normal((n, c, h, w))
    layers: dict[str, Any] = {}
    twin: list[Any] = []

    def put(name: str, layer: Any, other: Any) -> None:
        layers[f"{name}{len(layers) + 1}"] = layer
        twin.append(other)

    def scales(size: int) -> tuple[Any, Any]:
        return rng.uniform(0.5, 1.5, size), 0.5 * rng.standard_normal(size)

    for _ in range(draw(st.integers(1, 2))):
        fn, fh, fw = draw(st.integers(1, 3)), draw(st.integers(1, min(3, h))), draw(st.integers(1, min(3, w)))
        stride, pad = draw(st.integers(1, 2)), draw(st.integers(0, 1))
        W, b = rng.standard_normal((fn, c, fh, fw)) / np.sqrt(c * fh * fw), 0.3 * rng.standard_normal(fn)
        put("Convolution", Convolution(W, b, stride, pad), twins.Convolution(W, b, stride, pad))
        c, h, w = fn, (h + 2 * pad - fh) // stride + 1, (w + 2 * pad - fw) // stride + 1
        # Of two numbers one is as far above their mean as the other is below: nothing of them is left to be compared.
        if n * h * w > 3 and draw(st.booleans()):
            gamma, beta = scales(c)
            put("BatchNormalization", BatchNormalization(gamma, beta), twins.BatchNormalization(gamma, beta))
        if draw(st.booleans()):
            put("Relu", chainrule.Relu(), ReluTwin())
        else:
            put("Tanh", chainrule.Tanh(), TanhTwin())
        if draw(st.booleans()):
            ph, pw, stride = draw(st.integers(1, min(2, h))), draw(st.integers(1, min(2, w))), draw(st.integers(1, 2))
            pad = draw(st.integers(0, min(ph, pw) - 1))
            of = draw(st.sampled_from(["Pooling", "AveragePooling"]))
            put(of, getattr(chainrule, of)(ph, pw, stride, pad), getattr(twins, of)(ph, pw, stride, pad))
            h, w = (h + 2 * pad - ph) // stride + 1, (w + 2 * pad - pw) // stride + 1
        if draw(st.booleans()):
            ratio, number = draw(st.sampled_from([0.1, 0.3])), draw(st.integers(0, 99))
            drawn = Dropout(ratio, seed=number)
            drawn.forward(np.zeros((n, c, h, w)), True)
            put("Dropout", Dropout(ratio, seed=number), twins.Dropout(ratio, mask=drawn.mask))
    size = c * h * w
    put(*(("Flatten", Flatten(), twins.Flatten()) if draw(st.booleans()) else
          ("Reshape", Reshape((size,)), twins.Reshape((size,)))))  # fmt: skip
    if size > 3 and draw(st.booleans()):
        gamma, beta = scales(size)
        put("LayerNormalization", LayerNormalization(gamma, beta), twins.LayerNormalization(gamma, beta))
    classes = draw(st.integers(2, 4))
    W, b = rng.standard_normal((size, classes)) / np.sqrt(size), 0.3 * rng.standard_normal(classes)
    put("Affine", chainrule.Affine(W, b), AffineTwin(W, b))
    return Stack(layers, twin, x, rng.integers(0, classes, n))


@pytest.mark.parametrize("part", PARTS)
def test_random_stacks_agree_with_their_twins_and_are_found_right(part: int) -> None:
    verdicts: list[str] = []

    @seed(part)
    @settings(max_examples=STACKS, **QUIET)  # type: ignore[arg-type]
    @given(stacks())
    def agrees(stack: Stack) -> None:
        out, expected = stack.x, stack.x
        for layer, twin in zip(stack.layers.values(), stack.twins, strict=True):
            out, expected = layer.forward(out), twin.forward(expected)
        dout = np.random.default_rng(1).standard_normal(out.shape)
        dx, right = dout, dout
        for layer, twin in zip(reversed(stack.layers.values()), reversed(stack.twins), strict=True):
            dx, right = layer.backward(dx), twin.backward(right)
            for name in (n for n in ("dW", "db", "dgamma", "dbeta") if hasattr(twin, n)):
                # Half a dozen layers in float64, each good to 1e-13, of which a norm of small numbers enlarges some.
                np.testing.assert_allclose(
                    getattr(layer, name), getattr(twin, name), rtol=1e-8, atol=1e-9, err_msg=name
                )
        np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(dx, right, rtol=1e-8, atol=1e-9)
        network = chainrule.Network(stack.layers)
        report = check_gradients(network, stack.x, stack.t, strict=True)
        assert report.verdict != "wrong", str(report)
        # Where nothing comes through, of a ReLU that is shut or a channel that is dropped, there is nothing to prove.
        assert all(array.verdict in ("right", "vacuous", "kink") for array in report.arrays), str(report)
        verdicts.append(report.verdict)

    agrees()
    assert np.mean([verdict == "right" for verdict in verdicts]) > 0.7


# --- what is not left to chance ---


def test_sizes_floor_and_leftover_rows_get_no_gradient() -> None:
    layer = Convolution(np.ones((1, 1, 2, 2)), np.zeros(1), stride=3)
    assert layer.forward(np.ones((1, 1, 7, 6))).shape == (1, 1, 2, 2)
    dx = layer.backward(np.full((1, 1, 2, 2), 2.0))
    assert dx[0, 0, 6].tolist() == [0] * 6
    assert dx[0, 0, :2, :2].tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_images_at_all(dtype: Any) -> None:
    x = np.empty((0, 2, 5, 4), dtype)
    convolution = Convolution(np.ones((3, 2, 2, 2), dtype), np.ones(3, dtype))
    for layer in (convolution, Pooling(2, 2), AveragePooling(2, 2)):
        out = layer.forward(x)
        assert out.shape[0] == 0
        assert layer.backward(np.empty_like(out)).shape == x.shape
    assert not convolution.dW.any()
    assert not convolution.db.any()


def test_padding_is_never_the_largest_and_is_not_counted() -> None:
    x = np.full((1, 1, 2, 2), -5.0)
    assert Pooling(2, 2, 1, 1).forward(x).tolist() == np.full((1, 1, 3, 3), -5.0).tolist()
    assert AveragePooling(2, 2, 1, 1).forward(x).tolist() == np.full((1, 1, 3, 3), -5.0).tolist()


def test_windows_of_zeros_send_everything_to_their_first_pixel() -> None:
    layer = Pooling(2, 2)
    layer.forward(np.zeros((1, 1, 2, 4)))
    assert layer.backward(np.array([[[[3.0, 4.0]]]]))[0, 0].tolist() == [[3, 0, 4, 0], [0, 0, 0, 0]]


def test_running_statistics_move_in_training_only() -> None:
    rng = np.random.default_rng(0)
    layer, twin = (kind(np.ones(3), np.zeros(3)) for kind in (BatchNormalization, twins.BatchNormalization))
    for step in range(4):
        x = rng.standard_normal((5, 3, 2)) * (step + 1)
        layer.forward(x)
        twin.forward(x)
    np.testing.assert_allclose(layer.running_mean, twin.running_mean, rtol=1e-12)  # sums of ten numbers
    np.testing.assert_allclose(layer.running_var, twin.running_var, rtol=1e-12)
    before = layer.running_mean.copy(), layer.running_var.copy()
    out = layer.forward(x, False)
    np.testing.assert_allclose(out, twin.forward(x, False), rtol=1e-12, atol=1e-14)
    assert np.array_equal(layer.running_mean, before[0])
    assert np.array_equal(layer.running_var, before[1])


def test_of_one_row_a_batch_norm_gives_beta_and_no_gradient() -> None:
    layer = BatchNormalization(np.array([2.0, 3.0]), np.array([0.5, -0.5]))
    assert layer.forward(np.array([7.0, -8.0])).tolist() == [0.5, -0.5]
    assert layer.backward(np.array([3.0, 4.0])).tolist() == [0, 0]
    assert layer.dgamma.tolist() == [0, 0]
    assert layer.dbeta.tolist() == [3, 4]
    report = check_gradients(BatchNormalization(np.ones(4), np.ones(4)), np.array([[1.0, 2, 3, 4]]))
    assert {a.name: a.verdict for a in report.arrays} == {"gamma": "vacuous", "beta": "right", "x": "vacuous"}


def test_dropout_keeps_its_share_and_draws_a_new_mask_each_time() -> None:
    layer, x = Dropout(0.3, seed=1), np.ones((100, 100))
    first = layer.forward(x)
    mask = layer.mask.copy()
    assert mask.dtype == bool
    assert np.array_equal(first, mask)
    # 10,000 draws: a standard deviation of 0.0046.
    assert abs(mask.mean() - 0.7) < 0.023
    layer.forward(x)
    assert not np.array_equal(layer.mask, mask)
    again = Dropout(0.3, seed=1)
    again.forward(x)
    assert np.array_equal(again.mask, mask)


def test_dropout_draws_nothing_in_evaluation() -> None:
    one, other, x = Dropout(0.5, seed=2), Dropout(0.5, seed=2), np.ones((6, 7))
    assert np.array_equal(one.forward(x, False), x / 2)
    one.forward(x)
    other.forward(x)
    assert np.array_equal(one.mask, other.mask)


def test_dropout_without_a_seed_takes_one_from_numpys_global_generator() -> None:
    def masks(seed: int) -> Any:
        np.random.seed(seed)
        layer = Dropout(0.5)
        layer.forward(np.ones((4, 5)))
        first = layer.mask
        layer.forward(np.ones((4, 5)))
        return [first, layer.mask]

    np.testing.assert_array_equal(masks(0), masks(0))
    assert len({mask.tobytes() for mask in (*masks(0), *masks(1))}) == 4


@pytest.mark.parametrize("pad", [2, 3])
@pytest.mark.parametrize("kind", [Pooling, AveragePooling])
def test_padding_as_wide_as_the_window_is_refused(kind: Any, pad: int) -> None:
    with pytest.raises(ValueError, match="pad"):
        kind(2, 3, 1, pad)


@pytest.mark.fault("S3")
@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64])
def test_s3_sizes_that_are_numpys_small_numbers_count_as_pythons(kind: Any) -> None:
    """Of int8, 64 channels times 3 x 3 pixels would be 576 - 512, and twice a pad of 100 below 0."""
    images = np.random.default_rng(0).normal(size=(2, 64, 5, 5))
    col = chainrule.im2col(images, kind(3), kind(3), kind(2), kind(100))
    np.testing.assert_array_equal(col, chainrule.im2col(images, 3, 3, 2, 100), strict=True)
    back = chainrule.col2im(col, (2, 64, 5, 5), kind(3), kind(3), kind(2), kind(100))
    np.testing.assert_array_equal(back, chainrule.col2im(col, (2, 64, 5, 5), 3, 3, 2, 100), strict=True)
