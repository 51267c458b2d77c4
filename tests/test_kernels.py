"""The extension itself: its numbers beside NumPy's, and what its door does with arrays that are not as promised."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import seed_reference as seed
from chainrule import _kernels

SIZES = [0, 1, 7, 8, 9, 64, 65]
DTYPES = ["float32", "float64"]

Arguments = dict[str, NDArray[Any]]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def normal(shape: tuple[int, ...], dtype: str, number: int = 0) -> NDArray[Any]:
    return rng(number).standard_normal(shape).astype(dtype)


def untouched(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Make an output whose every entry would show in a sum, had it been read."""
    return np.full(shape, np.nan, dtype)


def refused(kind: type[BaseException], f: Callable[[], object]) -> str:
    """Give the message of the `kind` of exception that `f` raises; a panic fails the test whatever `kind` is."""
    raised: BaseException | None = None
    try:
        f()
    except BaseException as error:
        raised = error
    assert raised is not None, f"nothing was raised, {kind.__name__} was expected"
    assert type(raised).__name__ != "PanicException"
    assert "internal error" not in str(raised)  # a panic that the door has caught
    if not isinstance(raised, kind):
        raise raised
    return str(raised)


def eps(dtype: Any) -> float:
    """Give the distance from 1 to the next number: twice what one operation may be off by."""
    return float(np.finfo(dtype).eps)


# --- the same numbers as NumPy's ---


def assert_product(got: NDArray[Any], a: NDArray[Any], b: NDArray[Any], bias: Any = 0.0) -> None:
    """Compare with NumPy's product in float64.

    A sum of k products, in whatever order, is off by at most about k·u·Σ|products|, with u = ε/2 the rounding of one
    operation (Higham, "Accuracy and Stability", §3.1); a bias is one term more. Both sides round: 2(k + 1)u = (k + 1)ε.
    """
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    k_eps = (a.shape[1] + 1) * eps(got.dtype)
    bound = k_eps * (np.abs(wide_a) @ np.abs(wide_b) + np.abs(bias))
    assert (np.abs(got - (wide_a @ wide_b + bias)) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_affine_is_x_times_w_plus_b(m: int, dtype: str) -> None:
    for k, n in itertools.product(SIZES, SIZES):
        x, W, b = normal((m, k), dtype, 1), normal((k, n), dtype, 2), normal((n,), dtype, 3)
        out = untouched((m, n), dtype)
        _kernels.affine(x, W, b, out)
        assert_product(out, x, W, b.astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_matmul_at_b_is_the_product_with_a_transposed(m: int, dtype: str) -> None:
    for k, n in itertools.product(SIZES, SIZES):
        a, b, out = normal((k, m), dtype, 1), normal((k, n), dtype, 2), untouched((m, n), dtype)
        _kernels.matmul_at_b(a, b, out)
        assert_product(out, a.T, b)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_matmul_a_bt_is_the_product_with_b_transposed(m: int, dtype: str) -> None:
    for k, n in itertools.product(SIZES, SIZES):
        a, b, out = normal((m, k), dtype, 1), normal((n, k), dtype, 2), untouched((m, n), dtype)
        _kernels.matmul_a_bt(a, b, out)
        assert_product(out, a, b.T)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", ["ids", "soft"])
@pytest.mark.parametrize("classes", SIZES[1:])
@pytest.mark.parametrize("n", SIZES[1:])
def test_softmax_loss_and_its_gradient(n: int, classes: int, labels: str, dtype: str) -> None:
    scores = normal((n, classes), dtype, 1) * 5
    ids = rng(2).integers(classes, size=n)
    soft = rng(3).dirichlet(np.ones(classes), size=n).astype(dtype)
    t = ids if labels == "ids" else soft
    probs, d_scores = untouched(scores.shape, dtype), untouched(scores.shape, dtype)
    loss = _kernels.softmax_loss(scores, t, probs, d_scores)

    wide = scores.astype(np.float64)
    y = seed.softmax(wide)
    target = np.eye(classes)[ids] if labels == "ids" else soft.astype(np.float64)
    # A sum of C exponentials, whose arguments of up to 40 are themselves rounded: (C + 40)ε, relative.
    k_eps = (classes + 40) * eps(dtype)
    np.testing.assert_allclose(probs, y, rtol=k_eps, atol=0)
    # The same for the difference of two numbers of at most 1, divided by N.
    totals = target.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(d_scores, (y * totals - target) / n, rtol=0, atol=2 * k_eps / n)
    # Each row's loss is a sum of C terms of at most 40.
    np.testing.assert_allclose(loss, -np.sum(target * np.log(y)) / n, rtol=0, atol=40 * k_eps)


LAYERS: dict[str, tuple[str, Any]] = {"relu": ("relu", seed.Relu), "sigmoid": ("sigmoid", seed.Sigmoid)}


class Case:
    """A stack D → H → activation → C for the engine, and the tutorial's layers with the same numbers in float64."""

    def __init__(self, features: int, hidden: int, classes: int, activation: str, dtype: str) -> None:
        shapes = [(features, hidden), (hidden,), (hidden, classes), (classes,)]
        self.params = [normal(shape, dtype, i) / np.sqrt(shape[0] + 1).astype(dtype) for i, shape in enumerate(shapes)]
        name, layer = LAYERS[activation]
        self.engine = _kernels.Engine(dtype, features, [("affine", hidden), (name, 0), ("affine", classes)])
        W1, b1, W2, b2 = (p.astype(np.float64) for p in self.params)
        self.layers = [seed.Affine(W1, b1), layer(), seed.Affine(W2, b2)]

    def scores(self, x: NDArray[Any]) -> NDArray[np.float64]:
        out: Any = x.astype(np.float64)
        if len(x) == 0:  # the tutorial's Affine fails
            return np.zeros((0, len(self.params[-1])))
        for layer in self.layers:
            out = layer.forward(out)
        return np.asarray(out)

    def step(self, x: NDArray[Any], one_hot: NDArray[Any], learning_rate: float) -> float:
        last = seed.ExactSoftmaxWithLoss()
        loss = float(last.forward(self.scores(x), one_hot))
        dout = last.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        for layer in (self.layers[0], self.layers[2]):
            layer.W -= learning_rate * layer.dW
            layer.b -= learning_rate * layer.db
        return loss

    def oracle_params(self) -> list[NDArray[np.float64]]:
        return [self.layers[0].W, self.layers[0].b, self.layers[2].W, self.layers[2].b]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("n", SIZES)
def test_engine_scores_are_the_forward_pass(n: int, activation: str, dtype: str) -> None:
    for width in SIZES:
        case = Case(width, 9, 3, activation, dtype)
        x, out = normal((n, width), dtype, 7), untouched((n, 3), dtype)
        assert case.engine.scores(case.params, x, 0, out) == n
        # Two sums, of D and of 9 products; the sums of their |products| stay below 10.
        np.testing.assert_allclose(out, case.scores(x), rtol=0, atol=10 * (width + 10) * eps(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_engine_scores_of_more_rows_than_one_call_does(dtype: str) -> None:
    case = Case(9, 8, 3, "relu", dtype)
    x, out, done = normal((2000, 9), dtype), untouched((2000, 3), dtype), 0
    while done < len(x):
        done = case.engine.scores(case.params, x, done, out)
    np.testing.assert_allclose(out, case.scores(x), rtol=0, atol=200 * eps(dtype))  # as above


@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_engine_reads_examples_as_they_are_stored(dtype: str, stored: str) -> None:
    case = Case(7, 9, 3, "relu", dtype)
    x = rng().integers(256, size=(8, 7), dtype=np.uint8)  # every value exact in all three
    out, same = untouched((8, 3), dtype), untouched((8, 3), dtype)
    case.engine.scores(case.params, x.astype(stored), 0, out)
    case.engine.scores(case.params, x.astype(dtype), 0, same)
    np.testing.assert_array_equal(out, same)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ["relu", "sigmoid"])
@pytest.mark.parametrize("labels", ["ids", "one_hot"])
@pytest.mark.parametrize("size", SIZES)
def test_engine_steps_are_the_tutorials_loop(size: int, labels: str, activation: str, dtype: str) -> None:
    """`size` examples of `size` features; batches of 8, the last one shorter."""
    case = Case(size, 9, 4, activation, dtype)
    x, ids = normal((size, size), dtype, 7), rng(8).integers(4, size=size)
    rows = rng(9).permutation(size)
    one_hot = np.eye(4, dtype=dtype)[ids]
    losses = np.full(-(-size // 8), np.nan)
    t = ids if labels == "ids" else one_hot
    done = case.engine.steps(case.params, x, t, rows, 8, 0.1, True, losses)
    assert done == (len(losses), False)

    expected = [case.step(x[batch], one_hot[batch], 0.1) for batch in np.split(rows, range(8, size, 8)) if len(batch)]
    # Each of up to 9 steps adds to the error what one gradient has: sums of up to 65 products of numbers of size 1-10.
    atol = 10 * (len(losses) + 1) * (size + 10) * eps(dtype)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=atol)
    for got, want in zip(case.params, case.oracle_params(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


def test_a13_nan_and_infinity_go_where_numpy_sends_them() -> None:
    x = np.array([[np.nan, 1, 0], [np.inf, 0, 0], [-np.inf, 0, 1]])
    W, out = np.array([[1.0, 0], [0, 1], [1, 1]]), untouched((3, 2), "float64")
    _kernels.affine(x, W, np.zeros(2), out)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(out, x @ W)


def test_a13_softmax_of_a_row_of_minus_infinity_is_nan() -> None:
    scores = np.array([[-np.inf, -np.inf], [0, 0]])
    probs, d_scores = np.zeros((2, 2)), np.zeros((2, 2))
    assert np.isnan(_kernels.softmax_loss(scores, np.array([0, 1]), probs, d_scores))
    np.testing.assert_array_equal(probs, [[np.nan, np.nan], [0.5, 0.5]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_subnormals_are_not_flushed_to_zero(dtype: str) -> None:
    tiny, out = np.full((1, 1), np.finfo(dtype).smallest_subnormal, dtype), untouched((1, 1), dtype)
    _kernels.affine(tiny, np.ones((1, 1), dtype), np.zeros(1, dtype), out)
    assert out == tiny > 0
    assert tiny * np.ones(1, dtype) == tiny  # nor by NumPy afterwards


# --- the same bits ---


def shifted(a: NDArray[Any], items: int) -> NDArray[Any]:
    """Copy `a` to memory that begins `items` numbers further than a cache line."""
    raw = np.empty(a.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + items * a.itemsize
    copy: NDArray[Any] = raw[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 784, 50), (100, 784, 50), (65, 64, 9)])
def test_d1_products_have_the_same_bits_every_time_and_at_every_address(
    shape: tuple[int, int, int], dtype: str
) -> None:
    m, k, n = shape
    x, W, b = normal((m, k), dtype, 1), normal((k, n), dtype, 2), normal((n,), dtype, 3)
    results = []
    for items in (0, 1, 3, 0):
        out = shifted(untouched((m, n), dtype), items)
        _kernels.affine(shifted(x, items), shifted(W, items), shifted(b, items), out)
        results.append(out.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_softmax_loss_has_the_same_bits_every_time(dtype: str) -> None:
    scores, t = normal((65, 9), dtype), rng().integers(9, size=65)
    results = set()
    for _ in range(3):
        probs, d_scores = untouched(scores.shape, dtype), untouched(scores.shape, dtype)
        loss = _kernels.softmax_loss(scores, t, probs, d_scores)
        results.add((loss, probs.tobytes(), d_scores.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_steps_have_the_same_bits_in_one_call_and_in_many(dtype: str) -> None:
    x, t, rows = normal((64, 65), dtype, 7), rng(8).integers(4, size=64), rng(9).integers(64, size=80)
    results = set()
    for at_once in (10, 1, 3, 10):
        case, losses = Case(65, 9, 4, "relu", dtype), np.zeros(10)
        done = 0
        while done < len(losses):
            batches = rows[done * 8 : (done + at_once) * 8]
            steps, _ = case.engine.steps(case.params, x, t, batches, 8, 0.1, True, losses[done:])
            done += steps
        results.add((losses.tobytes(), *(p.tobytes() for p in case.params)))
    assert len(results) == 1


# --- the door ---


def arguments(kernel: str, dtype: str = "float64") -> Arguments:
    """Make arguments that `kernel` takes: N = 5, D = 4, C = 3; every output holds 7."""
    x, W, b = normal((5, 4), dtype, 1), normal((4, 3), dtype, 2), normal((3,), dtype, 3)
    t = rng(4).dirichlet(np.ones(3), size=5).astype(dtype)
    made: dict[str, Arguments] = {
        "affine": {"x": x, "W": W, "b": b, "out": np.full((5, 3), 7, dtype)},
        "matmul_at_b": {"a": x, "b": t, "out": np.full((4, 3), 7, dtype)},
        "matmul_a_bt": {"a": t, "b": W, "out": np.full((5, 4), 7, dtype)},
        "softmax_loss": {
            "scores": t * 3,
            "t": t,
            "probs": np.full((5, 3), 7, dtype),
            "d_scores": np.full((5, 3), 7, dtype),
        },
        "scores": {"W": W, "b": b, "x": x, "out": np.full((5, 3), 7, dtype)},
        "steps": {"W": W, "b": b, "x": x, "t": t, "rows": np.arange(5), "losses": np.full(3, 7.0)},
    }
    return made[kernel]


def run(kernel: str, given: Arguments, batch_size: int = 2) -> Any:
    """Call `kernel`; the two methods on an engine of one affine layer 4 → 3 in float64."""
    if kernel not in ("scores", "steps"):
        return getattr(_kernels, kernel)(*given.values())
    W, b, *rest = given.values()
    engine = _kernels.Engine("float64", 4, [("affine", 3)])
    if kernel == "scores":
        x, out = rest
        return engine.scores([W, b], x, 0, out)
    x, t, rows, losses = rest
    return engine.steps([W, b], x, t, rows, batch_size, 0.1, True, losses)


OUTPUTS = {
    "affine": ["out"],
    "matmul_at_b": ["out"],
    "matmul_a_bt": ["out"],
    "softmax_loss": ["probs", "d_scores"],
    "scores": ["out"],
    "steps": ["W", "b", "losses"],
}
EVERY = [(kernel, name) for kernel in OUTPUTS for name in arguments(kernel)]
MATRICES = [(kernel, name) for kernel, name in EVERY if arguments(kernel)[name].ndim == 2]
WRITTEN = [(kernel, name) for kernel, names in OUTPUTS.items() for name in names]


def refused_and_unwritten(kind: type[Exception], kernel: str, given: Arguments, batch_size: int = 2) -> str:
    """Give the message of `kind`; no argument has been written to."""
    before = {name: a.copy() for name, a in given.items() if isinstance(a, np.ndarray)}
    message = refused(kind, lambda: run(kernel, given, batch_size))
    for name, array in before.items():
        np.testing.assert_array_equal(given[name], array, err_msg=f"{name} was written")
    return message


def fortran(a: NDArray[Any]) -> NDArray[Any]:
    return np.asfortranarray(a)


def strided(a: NDArray[Any]) -> NDArray[Any]:
    return np.repeat(a, 2, axis=-1)[..., ::2]


def backwards(a: NDArray[Any]) -> NDArray[Any]:
    return a[..., ::-1].copy()[..., ::-1]


def broadcast(a: NDArray[Any]) -> NDArray[Any]:
    return np.broadcast_to(a[..., :1], a.shape)


def misaligned(a: NDArray[Any]) -> NDArray[Any]:
    copy: NDArray[Any] = np.empty(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    copy[...] = a
    assert not copy.flags.aligned
    return copy


def field_of_a_packed_record(a: NDArray[Any]) -> NDArray[Any]:
    records = np.zeros(a.shape, [("tag", "u1"), ("value", a.dtype)])
    records["value"] = a
    field: NDArray[Any] = records["value"]
    return field


@pytest.mark.parametrize("kernel", OUTPUTS)
def test_the_arguments_of_these_tests_are_accepted(kernel: str) -> None:
    given = arguments(kernel)
    run(kernel, given)
    assert all((given[name] != 7).all() for name in OUTPUTS[kernel])


@pytest.mark.parametrize(("kernel", "name"), MATRICES)
def test_a9_an_array_in_fortran_order_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: fortran(given[name])})


@pytest.mark.parametrize("layout", [strided, backwards, broadcast, misaligned, field_of_a_packed_record])
@pytest.mark.parametrize(("kernel", "name"), EVERY)
def test_a9_an_array_of_another_layout_is_refused(kernel: str, name: str, layout: Any) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: layout(given[name])})


@pytest.mark.parametrize("dtype", ["int32", "float16", "complex128", "bool", "longdouble", ">f8"])
@pytest.mark.parametrize(("kernel", "name"), EVERY)
def test_a7_an_array_of_another_dtype_is_refused(kernel: str, name: str, dtype: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: np.ones_like(given[name], dtype)})


@pytest.mark.parametrize(("kernel", "name"), [case for case in EVERY if case not in (("scores", "x"), ("steps", "x"))])
def test_a6_arrays_of_mixed_dtypes_are_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name].astype(np.float32)})


@pytest.mark.parametrize(("kernel", "name"), EVERY)
def test_an_array_with_an_axis_more_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name][None]})


@pytest.mark.parametrize(("kernel", "name"), MATRICES)
def test_a_matrix_with_an_axis_less_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name].reshape(-1)})


@pytest.mark.parametrize("thing", [None, "x", [[1.0]], 1.0, b"1", {}])
@pytest.mark.parametrize(("kernel", "name"), EVERY)
def test_a3_what_is_no_array_is_refused(kernel: str, name: str, thing: Any) -> None:
    refused_and_unwritten(TypeError, kernel, arguments(kernel) | {name: thing})


@pytest.mark.parametrize(("kernel", "name"), WRITTEN)
def test_a10_a_read_only_output_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    given[name].flags.writeable = False
    refused_and_unwritten(TypeError, kernel, given)


def test_a10_read_only_inputs_are_accepted() -> None:
    given = arguments("affine")
    for name in "xWb":
        given[name].flags.writeable = False
    run("affine", given)


# Everything 4 × 4, so that shapes never refuse what aliasing should.
def square(kernel: str) -> Arguments:
    sizes = {"b": (4,), "rows": (4,), "losses": (4,)} if kernel in ("affine", "scores", "steps") else {}
    made = {name: np.full(sizes.get(name, (4, 4)), 0.25) for name in arguments(kernel)}
    return made | ({"rows": np.arange(4)} if kernel == "steps" else {})


ALIASES = [
    (kernel, output, other)
    for kernel, outputs in OUTPUTS.items()
    for output in outputs
    for other in arguments(kernel)
    if other not in (output, "rows")
]


@pytest.mark.parametrize(("kernel", "output", "other"), ALIASES)
def test_a15_an_output_that_shares_memory_with_another_argument_is_refused(
    kernel: str, output: str, other: str
) -> None:
    given = square(kernel)
    larger, smaller = (output, other) if given[output].ndim == 2 else (other, output)
    view = given[larger] if given[smaller].ndim == given[larger].ndim else given[larger][1]
    given[smaller] = view
    engine = _kernels.Engine("float64", 4, [("affine", 4)])

    def call() -> object:
        if kernel == "scores":
            return engine.scores([given["W"], given["b"]], given["x"], 0, given["out"])
        if kernel == "steps":
            rest = (given["x"], given["t"], given["rows"], 2, 0.1, True, given["losses"])
            return engine.steps([given["W"], given["b"]], *rest)
        return run(kernel, given)

    refused(TypeError, call)


def through_a_memoryview(a: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(memoryview(a))  # type: ignore[arg-type]


def through_dlpack(a: NDArray[Any]) -> NDArray[Any]:
    return np.from_dlpack(a)


def through_its_buffer(a: NDArray[Any]) -> NDArray[Any]:
    return np.frombuffer(a.data, a.dtype).reshape(a.shape)


@pytest.mark.parametrize("again", [through_a_memoryview, through_dlpack, through_its_buffer])
def test_a15_an_output_that_is_an_input_by_another_way_is_refused(again: Any) -> None:
    x = normal((4, 4), "float64")
    out = again(x)
    assert np.shares_memory(x, out)
    assert out.flags.writeable
    refused(TypeError, lambda: _kernels.affine(x, np.ones((4, 4)), np.zeros(4), out))


def test_a15_an_output_that_overlaps_an_input_is_refused() -> None:
    memory = np.ones(17)
    x, out = memory[:16].reshape(4, 4), memory[1:].reshape(4, 4)
    refused(TypeError, lambda: _kernels.affine(x, np.ones((4, 4)), np.zeros(4), out))


def test_a15_one_array_for_two_inputs_is_accepted() -> None:
    x, out = normal((4, 4), "float64"), untouched((4, 4), "float64")
    _kernels.affine(x, x, x[0], out)
    assert_product(out, x, x, x[0])


SENTENCE = r"the (number|length|size) of .* is \d+, but .* is \d+; they must agree"


@pytest.mark.parametrize(("kernel", "name"), [case for case in EVERY if case[1] not in ("rows", "losses")])
def test_a1_an_array_with_a_row_too_few_is_refused_and_nothing_written(kernel: str, name: str) -> None:
    given = arguments(kernel)
    message = refused_and_unwritten(ValueError, kernel, given | {name: given[name][:-1]})
    assert re.fullmatch(SENTENCE, message)


@pytest.mark.parametrize(("kernel", "name"), MATRICES)
def test_a1_a_matrix_with_a_column_too_many_is_refused_and_nothing_written(kernel: str, name: str) -> None:
    given = arguments(kernel)
    wide = np.hstack([given[name], given[name][:, :1]])
    message = refused_and_unwritten(ValueError, kernel, given | {name: wide})
    assert re.fullmatch(SENTENCE, message)


@pytest.mark.parametrize("kernel", ["scores", "steps"])
def test_a1_transposed_weights_are_refused_and_nothing_written(kernel: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(ValueError, kernel, given | {"W": np.ones((3, 4))})


@pytest.mark.parametrize("label", [3, -1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("kernel", ["softmax_loss", "steps"])
def test_l1_a_label_out_of_range_is_refused_and_nothing_written(kernel: str, label: int) -> None:
    given = arguments(kernel) | {"t": np.array([0, 1, 2, label, 0])}
    message = refused_and_unwritten(ValueError, kernel, given)
    assert message == f"labels must lie in 0..2; got {label} at row 3"


@pytest.mark.parametrize("row", [5, -1, 2**63 - 1, -(2**63)])
def test_a_row_number_out_of_range_is_refused_and_nothing_written(row: int) -> None:
    given = arguments("steps") | {"rows": np.array([0, 1, 2, row])}
    message = refused_and_unwritten(ValueError, "steps", given)
    assert message == f"row {row} was asked for, but the data has 5 rows"


def test_a11_the_loss_of_no_rows_is_refused() -> None:
    none = np.zeros((0, 3))
    message = refused(ValueError, lambda: _kernels.softmax_loss(none, none, none.copy(), none.copy()))
    assert message == "the mean loss of an empty batch is not defined"


def test_s3_a_batch_size_of_zero_is_refused() -> None:
    refused_and_unwritten(ValueError, "steps", arguments("steps"), batch_size=0)


def test_s2_a_batch_size_beyond_memory_is_a_memory_error() -> None:
    refused_and_unwritten(MemoryError, "steps", arguments("steps"), batch_size=2**62)


def test_an_unknown_kind_of_layer_is_refused() -> None:
    message = refused(ValueError, lambda: _kernels.Engine("float64", 4, [("conv", 3)]))
    assert message == 'no layer is called "conv"'


@pytest.mark.parametrize("dtype", ["int8", "float16", ">f8", ""])
def test_an_unknown_dtype_is_refused(dtype: str) -> None:
    message = refused(ValueError, lambda: _kernels.Engine(dtype, 4, []))
    assert message == f"dtype must be float32 or float64, got {dtype}"


@pytest.mark.parametrize("params", [0, 1, 3])
def test_a_wrong_number_of_parameters_is_refused(params: int) -> None:
    engine = _kernels.Engine("float64", 4, [("affine", 3)])
    arrays = [np.ones((4, 3)), np.ones(3), np.ones(3)][:params]
    message = refused(ValueError, lambda: engine.scores(arrays, np.ones((5, 4)), 0, np.ones((5, 3))))
    assert (
        message == f"the number of parameters is {params}, but twice the number of affine layers is 2; they must agree"
    )


@pytest.mark.parametrize("width", [-1, 2**64])
def test_s1_a_width_that_is_no_machine_word_is_refused(width: int) -> None:
    refused(OverflowError, lambda: _kernels.Engine("float64", width, []))
    refused(OverflowError, lambda: _kernels.Engine("float64", 4, [("affine", width)]))


@pytest.mark.parametrize("width", [2**32, 2**61, 2**64 - 1])
def test_s1_layers_whose_size_overflows_are_refused(width: int) -> None:
    engine = _kernels.Engine("float64", width, [("affine", width), ("relu", 0), ("affine", 3)])
    params = [np.ones((4, 3)), np.ones(3), np.ones((3, 3)), np.ones(3)]
    x, out, rows = np.ones((5, 4)), np.ones((5, 3)), np.arange(5)
    refused(ValueError, lambda: engine.scores(params, x, 0, out))
    # The parameters do not fit: this is known before any memory is asked for.
    refused(ValueError, lambda: engine.steps(params, x, np.zeros(5, np.int64), rows, 2, 0.1, True, np.zeros(3)))


@pytest.mark.skipif(sys.platform == "win32", reason="limits memory with POSIX's setrlimit")
def test_s2_scratch_beyond_memory_is_a_memory_error_and_the_process_lives() -> None:
    """2**20 rows a batch, 2**20 numbers a row: 8 TiB, of 4 GiB allowed."""
    code = """
import resource
import numpy as np
from chainrule import _kernels

resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
x, t, rows, losses = np.zeros((1, 1)), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1)
engine = _kernels.Engine("float64", 1, [("affine", 2**20), ("affine", 2)])
params = [np.zeros((1, 2**20)), np.zeros(2**20), np.zeros((2**20, 2)), np.zeros(2)]
try:
    engine.steps(params, x, t, rows, 2**20, 0.1, True, losses)
except MemoryError as error:
    print(error)
print(engine.steps(params, x, t, rows, 1, 0.1, True, losses))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["no memory for 1099511627776 numbers of scratch space", "(1, False)"]


# --- threads ---


def test_t1_many_threads_take_scores_from_one_engine() -> None:
    case = Case(64, 65, 9, "relu", "float64")
    x, expected = normal((256, 64), "float64"), untouched((256, 9), "float64")
    case.engine.scores(case.params, x, 0, expected)

    def scores(_: int) -> bytes:
        out = untouched((256, 9), "float64")
        case.engine.scores(case.params, x, 0, out)
        return out.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(scores, range(64))) == {expected.tobytes()}


def long_product() -> None:
    side = 300
    _kernels.affine(np.ones((side, side)), np.ones((side, side)), np.ones(side), np.empty((side, side)))


def long_steps() -> None:
    engine = _kernels.Engine("float64", 64, [("affine", 64)])
    rows = np.zeros(100_000, np.int64)
    engine.steps(
        [np.zeros((64, 64)), np.zeros(64)],
        np.ones((1, 64)),
        np.zeros(1, np.int64),
        rows,
        10,
        0.1,
        True,
        np.zeros(10_000),
    )


def long_scores() -> None:
    engine = _kernels.Engine("float64", 64, [("affine", 64)])
    engine.scores([np.zeros((64, 64)), np.zeros(64)], np.ones((20_000, 64)), 0, np.empty((20_000, 64)))


@pytest.mark.parametrize("call", [long_product, long_steps, long_scores])
def test_the_interpreter_lock_is_released(call: Callable[[], None]) -> None:
    """With a switch interval of minutes another thread runs only when this one gives the lock away: in `call`."""
    ticks, stop, interval = [0], threading.Event(), sys.getswitchinterval()

    def tick() -> None:
        while not stop.is_set():
            ticks[0] += 1
            time.sleep(0.001)

    other = threading.Thread(target=tick, daemon=True)
    other.start()
    sys.setswitchinterval(600)
    try:
        before, deadline = ticks[0], time.monotonic() + 30
        while ticks[0] == before and time.monotonic() < deadline:
            call()
        after = ticks[0]
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        other.join()
    assert after > before


def test_the_instruction_set_is_one_of_four() -> None:
    assert _kernels.instruction_set() in ("avx512", "avx2", "neon", "portable")
