"""The extension itself: its numbers beside NumPy's, and what its door does with arrays that are not as promised."""

from __future__ import annotations

import copy
import itertools
import pickle
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
STORED = ["uint8", "float32", "float64"]
KINDS = ["dense", "sparse"]

Arguments = dict[str, NDArray[Any]]


def rng(number: int = 0) -> np.random.Generator:
    return np.random.default_rng(number)


def normal(shape: tuple[int, ...], dtype: str, number: int = 0) -> NDArray[Any]:
    return rng(number).standard_normal(shape).astype(dtype)


def untouched(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
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


def assert_product_with_nan(got: NDArray[Any], a: NDArray[Any], b: NDArray[Any], bias: Any = 0.0) -> None:
    """Demand nan and infinities where NumPy's product has them, and the same numbers everywhere else."""
    with np.errstate(invalid="ignore"):
        want = a.astype(np.float64) @ b.astype(np.float64) + bias
    finite = np.isfinite(want)
    assert not finite.all()
    np.testing.assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, want))
    # A finite sum has only finite terms, and no factor in them that is not.
    a, b, bias = (np.where(np.isfinite(array), array, 0).astype(np.float64) for array in (a, b, bias))
    assert_product(np.where(finite, got, (a @ b + bias).astype(got.dtype)), a, b, bias)


def affine(x: NDArray[Any], W: NDArray[Any], b: NDArray[Any], scratch: Any = None) -> NDArray[Any]:
    """Give what the kernel makes of it, with `scratch` or a new one."""
    out = untouched((len(x), W.shape[1]), W.dtype)
    _kernels.affine(x, W, b, out, scratch or _kernels.Scratch())
    return out


def weight_gradient(x: NDArray[Any], dout: NDArray[Any], scratch: Any = None) -> NDArray[Any]:
    """Give what the kernel makes of it, with `scratch` or a new one."""
    out = untouched((x.shape[1], dout.shape[1]), dout.dtype)
    _kernels.weight_gradient(x, dout, out, scratch or _kernels.Scratch())
    return out


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_affine_is_x_times_w_plus_b(m: int, dtype: str) -> None:
    for k, n in itertools.product(SIZES, SIZES):
        x, W, b = normal((m, k), dtype, 1), normal((k, n), dtype, 2), normal((n,), dtype, 3)
        assert_product(affine(x, W, b), x, W, b.astype(np.float64))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("m", SIZES)
def test_weight_gradient_is_the_product_with_x_transposed(m: int, dtype: str) -> None:
    for k, n in itertools.product(SIZES, SIZES):
        x, dout = normal((k, m), dtype, 1), normal((k, n), dtype, 2)
        assert_product(weight_gradient(x, dout), x.T, dout)


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
    loss = _kernels.loss("softmax", scores, t, probs, d_scores)

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


# --- the products that read the examples, as they are stored ---

# A block is of 256 rows, a tile of 196 columns.
ROWS = [0, 1, 2, 99, 100, 255, 256, 257, 600]
FEATURES = [1, 2, 3, 195, 196, 197, 391, 393, 784]
UNITS = [1, 15, 16, 17, 50, 64, 65, 130]
BORDERS = [0, 1, 2, 194, 195, 196, 197, 390, 391, 392, 393, 782, 783]


def whole(n: int, features: int, kind: str) -> NDArray[Any]:
    """Make rows of whole numbers in 0-255; "sparse": with zeros that pay to be skipped, all zeros in every 7th row.

    Sparse rows from 20 on have one number each, at the borders of tiles; the last column is never empty.
    """
    x = rng(5).integers(1, 256, (n, features)).astype(np.float64)
    if kind == "sparse":
        x[rng(6).random(x.shape) > 0.08] = 0
        x[::5, -1] = 1 + np.arange(n)[::5] % 255
        x[3::7] = 0
        for row, column in zip(range(20, n), (c for c in BORDERS if c < features), strict=False):
            x[row] = 0
            x[row, column] = row
    return x


def share_of_pairs(x: NDArray[Any]) -> float:
    """Give the share of the pairs of neighbouring columns that are not both zero."""
    padded = np.pad(x, [(0, 0), (0, x.shape[1] % 2)])
    return float((padded.reshape(len(x), -1, 2) != 0).any(axis=2).mean())


def small(shape: tuple[int, ...], number: int) -> NDArray[Any]:
    """Make whole numbers of at most 8: a sum of 784 products of them and bytes is below 2**24, exact in float32."""
    return rng(number).integers(-8, 9, shape).astype(np.float64)


def test_the_sparse_data_of_these_tests_is_sparse() -> None:
    """Documented: zeros are skipped where fewer than 40 % of the pairs are not zero, in products of 2**20 and more."""
    for n, features in itertools.product(ROWS[1:], FEATURES):
        assert share_of_pairs(whole(n, features, "dense")) == 1
        if n > 2:
            assert share_of_pairs(whole(n, features, "sparse")) < 0.35
    assert 100 * 784 * 50 > 2**20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("features", FEATURES)
def test_products_of_whole_numbers_are_exact_however_they_are_stored(features: int, units: int, kind: str) -> None:
    x, W, b, dout = whole(600, features, kind), small((features, units), 1), small((units,), 2), small((600, units), 3)
    scores, dW = x @ W + b, {n: x[:n].T @ dout[:n] for n in ROWS}
    for stored, dtype in itertools.product(STORED, DTYPES):
        given, scratch = x.astype(stored), _kernels.Scratch()
        weights, biases, d = W.astype(dtype), b.astype(dtype), dout.astype(dtype)
        for n in ROWS:
            assert np.array_equal(affine(given[:n], weights, biases, scratch), scores[:n]), (stored, dtype, n)
            assert np.array_equal(weight_gradient(given[:n], d[:n], scratch), dW[n]), (stored, dtype, n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(1, 784, 1340), (2, 393, 1400), (5, 197, 1100), (20_000, 1, 60), (9000, 2, 60), (9000, 3, 40)]
)
def test_products_of_few_rows_or_columns_are_exact_where_zeros_are_skipped(
    shape: tuple[int, int, int], kind: str
) -> None:
    """Each of 2**20 multiplications at least."""
    n, features, units = shape
    x, W, b, dout = whole(n, features, kind), small((features, units), 1), small((units,), 2), small((n, units), 3)
    if n > 255:
        x = np.minimum(x, 8)  # n · 8 · 8 < 2**24
    scores, dW = x @ W + b, x.T @ dout
    for stored, dtype in itertools.product(STORED, DTYPES):
        assert np.array_equal(affine(x.astype(stored), W.astype(dtype), b.astype(dtype)), scores), (stored, dtype)
        assert np.array_equal(weight_gradient(x.astype(stored), dout.astype(dtype)), dW), (stored, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stored", ["float32", "float64"])
@pytest.mark.parametrize("n", [100, 600])
def test_negative_zeros_are_zeros(n: int, stored: str, dtype: str) -> None:
    x, W, b, dout = whole(n, 197, "sparse"), small((197, 65), 1), small((65,), 2), small((n, 65), 3)
    negative = np.where(x == 0, -0.0, x).astype(stored)
    assert np.signbit(negative).any()
    np.testing.assert_array_equal(affine(negative, W.astype(dtype), b.astype(dtype)), x @ W + b)
    np.testing.assert_array_equal(weight_gradient(negative, dout.astype(dtype)), x.T @ dout)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("n", [1, 100, 600])
def test_data_of_zeros_gives_the_biases_and_no_gradient(n: int, stored: str, dtype: str) -> None:
    for features, units in ((784, 50), (783, 1400)):
        x, b = np.zeros((n, features), stored), normal((units,), dtype, 2)
        out = affine(x, normal((features, units), dtype, 1), b)
        np.testing.assert_array_equal(out, np.broadcast_to(b, out.shape))
        np.testing.assert_array_equal(weight_gradient(x, normal((n, units), dtype, 3)), np.zeros((features, units)))


def fractions(n: int, features: int, kind: str, stored: str, number: int = 7) -> NDArray[Any]:
    """Make data with all digits (bytes have no more), with the zeros of `whole`."""
    x = whole(n, features, kind)
    return (x if stored == "uint8" else np.where(x == 0, 0, normal(x.shape, "float64", number))).astype(stored)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stored", STORED)
def test_products_are_numpys_to_rounding_however_the_examples_are_stored(stored: str, dtype: str, kind: str) -> None:
    """As of data converted beforehand: float64 has all its digits, and float32 is not rounded twice."""
    scratch = _kernels.Scratch()
    for n, features, units in [(99, 784, 50), (257, 197, 17), (600, 784, 50)]:
        x, W, b = fractions(n, features, kind, stored), normal((features, units), dtype, 1), normal((units,), dtype, 2)
        dout, converted = normal((n, units), dtype, 3), x.astype(dtype)
        assert_product(affine(x, W, b, scratch), converted, W, b.astype(np.float64))
        assert_product(weight_gradient(x, dout, scratch), converted.T, dout)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [100, 600])
def test_doubles_beyond_single_precision_count_as_converted(n: int, kind: str) -> None:
    """Too large is infinite, too small is zero, as by astype."""
    x, W, dout = fractions(n, 784, kind, "float64"), normal((784, 50), "float32", 1), normal((n, 50), "float32", 2)
    x[7, 195], x[8, 783], x[9] = 1e300, -1e300, 1e-300
    with np.errstate(over="ignore"):
        converted = x.astype(np.float32)
    assert_product_with_nan(affine(x, W, np.zeros(50, "float32")), converted, W)
    assert_product_with_nan(weight_gradient(x, dout), converted.T, dout)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_what_is_not_finite_meets_zeros_as_in_numpy(dtype: str, stored: str, kind: str, bad: float) -> None:
    """0 · ∞ and 0 · nan are nan: where a weight or a gradient is not finite, no zero is skipped."""
    scratch = _kernels.Scratch()
    for n in (100, 600):
        x, b = fractions(n, 393, kind, stored), normal((50,), dtype, 2)
        for row, column in ((0, 0), (99, 49)):
            W, dout = normal((393, 50), dtype, 1), normal((n, 50), dtype, 3)
            W[3 * row + 95, column] = dout[row, column] = bad
            assert_product_with_nan(affine(x, W, b, scratch), x.astype(dtype), W, b)
            assert_product_with_nan(weight_gradient(x, dout, scratch), x.astype(dtype).T, dout)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stored", ["float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_examples_that_are_not_finite_are_seen_as_in_numpy(dtype: str, stored: str, kind: str) -> None:
    """Beside zeros, before zero weights, and in a last column without a neighbour."""
    for n in (100, 600):
        x, W, b, dout = fractions(n, 393, kind, stored), small((393, 50), 1), small((50,), 2), small((n, 50), 3)
        x[1, 195], x[2, 196], x[5, 392], x[40, 0] = np.inf, np.nan, -np.inf, np.inf
        x[1, 194] = x[2, 197] = x[40, 1] = 0
        W[195], b[3] = 0, -np.inf
        W, b, dout = W.astype(dtype), b.astype(dtype), dout.astype(dtype)
        assert_product_with_nan(affine(x, W, b), x.astype(dtype), W, b)
        assert_product_with_nan(weight_gradient(x, dout), x.astype(dtype).T, dout)


# --- the scratch memory ---


def test_one_scratch_gives_the_bits_of_fresh_ones_whatever_it_was_used_for() -> None:
    """Calls of other sizes, dtypes and kinds, overflows and refused calls come between."""
    r, scratch = rng(9), _kernels.Scratch()
    for i in range(150):
        n, features, units = int(r.choice(ROWS)), int(r.choice(FEATURES[3:])), int(r.choice(UNITS))
        stored, dtype, kind = r.choice(STORED), str(r.choice(DTYPES)), r.choice(KINDS, p=[0.2, 0.8])
        x, dout = fractions(n, features, kind, stored, i), normal((n, units), dtype, i)
        W, b = normal((features, units), dtype, i), normal((units,), dtype, i)
        if n > 2 and stored != "uint8" and i % 4 == 0:
            x[2] = [np.inf, np.nan, -np.inf][i % 3]  # leaves nan and infinities behind
        if i % 5 == 0:
            W *= np.finfo(dtype).max / 8
            dout *= np.finfo(dtype).max / 8
        if i % 7 == 0:
            refused(ValueError, lambda: affine(np.zeros((100, 784)), np.zeros((785, 50)), np.zeros(50), scratch))
        what = (i, n, features, units, stored, dtype, kind)
        for product in r.permutation(["affine", "weight_gradient"]):
            if product == "affine":
                assert affine(x, W, b, scratch).tobytes() == affine(x, W, b).tobytes(), what
            else:
                assert weight_gradient(x, dout, scratch).tobytes() == weight_gradient(x, dout).tobytes(), what


def test_t1_many_threads_use_one_scratch_at_once() -> None:
    scratch, jobs = _kernels.Scratch(), []
    for n, stored, dtype in itertools.product([100, 256, 300], STORED, DTYPES):
        x, W, b = fractions(n, 784, "sparse", stored), normal((784, 50), dtype, 1), normal((50,), dtype, 2)
        dout = normal((n, 50), dtype, 3)
        jobs.append((x, W, b, dout, affine(x, W, b).tobytes() + weight_gradient(x, dout).tobytes()))

    def differs(job: int) -> bool:
        x, W, b, dout, expected = jobs[job % len(jobs)]
        return affine(x, W, b, scratch).tobytes() + weight_gradient(x, dout, scratch).tobytes() != expected

    with ThreadPoolExecutor(8) as pool:
        assert not any(pool.map(differs, range(20 * len(jobs))))


@pytest.mark.fault("T11")
@pytest.mark.parametrize("how", ["copy", "deepcopy", "pickle"])
def test_t11_a_copy_of_a_scratch_is_a_new_one(how: str) -> None:
    scratch, x, W, b = _kernels.Scratch(), whole(100, 784, "sparse"), small((784, 50), 1), small((50,), 2)
    expected = affine(x, W, b, scratch)
    ways: dict[str, Callable[[Any], Any]] = {
        "copy": copy.copy,
        "deepcopy": copy.deepcopy,
        "pickle": lambda s: pickle.loads(pickle.dumps(s)),
    }
    twin = ways[how](scratch)
    assert type(twin) is _kernels.Scratch
    assert twin is not scratch
    np.testing.assert_array_equal(affine(x, W, b, twin), expected)


# --- the loss of large and small scores, and of many classes ---

CLASSES = [1, 2, 10, 1000]


def softmax_loss(scores: NDArray[Any], t: NDArray[Any]) -> tuple[float, NDArray[Any], NDArray[Any]]:
    probs, d_scores = untouched(scores.shape, scores.dtype), untouched(scores.shape, scores.dtype)
    return _kernels.loss("softmax", scores, t, probs, d_scores), probs, d_scores


def log_sum_exp_losses(scores: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.float64]:
    wide = scores.astype(np.float64)
    below = wide - wide.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(below).sum(axis=1)) - below[np.arange(len(ids)), ids]
    return losses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [1e-30, 1e-3, 1, 10, 100, 1e4, 1e30])
@pytest.mark.parametrize("classes", CLASSES)
def test_the_loss_is_numpys_log_sum_exp_within_a_few_units_in_the_last_place(
    classes: int, spread: float, dtype: str
) -> None:
    scores, ids = (normal((60, classes), "float64", 1) * spread).astype(dtype), rng(2).integers(classes, size=60)
    expected = log_sum_exp_losses(scores, ids)
    losses = [softmax_loss(scores[i : i + 1], ids[i : i + 1])[0] for i in range(60)]
    # 2 units in the last place of score - largest and of the logarithm, which itself is rounded near 1; and the sum of
    # C exponentials is off by about √C / 2 roundings, to which the logarithm makes its absolute error.
    largest = np.maximum(expected, 1).astype(dtype)
    bound = 2 * np.spacing(largest).astype(np.float64) + np.sqrt(classes) / 2 * eps(dtype)
    assert (np.abs(losses - expected) <= bound).all()

    # The mean is taken in float64: in float32 its error is the average of theirs, in float64 60 roundings come on top.
    mean, probs, d_scores = softmax_loss(scores, ids)
    assert abs(mean - expected.mean()) <= bound.mean() + 60 * eps("float64") * expected.mean()
    wide = scores.astype(np.float64)
    y = np.exp(wide - wide.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    # Relative: of an argument of up to 104 (float32) or 745 its rounding, half a unit of 64 or 512; the sum as above.
    # Probabilities too small for all their digits: a unit of what digits there are, which the quotient may double.
    rtol = ({"float32": 64, "float64": 512}[dtype] / 2 + 4 + np.sqrt(classes) / 2) * eps(dtype)
    np.testing.assert_allclose(probs, y, rtol=rtol, atol=2 * float(np.finfo(dtype).smallest_subnormal))
    np.testing.assert_allclose(d_scores, (y - np.eye(classes)[ids]) / 60, rtol=rtol, atol=2 * eps(dtype) / 60)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_of_scores_at_the_ends_of_the_range(dtype: str) -> None:
    huge = float(np.finfo(dtype).max / 4)
    scores = np.array([[huge, -huge], [-huge, -huge], [huge, huge], [0, -huge]], dtype)
    losses = [softmax_loss(scores[i : i + 1], np.array([1]))[0] for i in range(4)]
    np.testing.assert_array_equal(losses, [2 * huge, losses[2], losses[1], huge])
    np.testing.assert_allclose(losses[1:3], np.log(2), rtol=eps(dtype))
    loss, probs, d_scores = softmax_loss(scores, np.array([0, 0, 1, 0]))
    np.testing.assert_allclose(loss, np.log(2) / 2, rtol=eps(dtype))
    np.testing.assert_array_equal(probs, [[1, 0], [0.5, 0.5], [0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(d_scores, [[0, 0], [-0.125, 0.125], [0.125, -0.125], [0, 0]])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", ["ids", "soft"])
@pytest.mark.parametrize("classes", CLASSES)
def test_a13_a_row_that_is_not_finite_does_not_disturb_the_others(classes: int, labels: str, dtype: str) -> None:
    """nan anywhere, +inf anywhere, -inf everywhere: that row is nan, as in NumPy, and every other keeps its bits."""
    n, last = 9, classes - 1
    scores = 5 * normal((n, classes), dtype, 1)
    t = rng(2).integers(classes, size=n)
    if labels == "soft":
        t = rng(3).dirichlet(np.ones(classes), size=n).astype(dtype)
    poisoned, bad = scores.copy(), [1, 3, 4, 6, 8]
    poisoned[1, 0], poisoned[3, last], poisoned[4], poisoned[6, last // 2] = np.nan, np.nan, -np.inf, np.inf
    poisoned[8, 0], poisoned[8, last] = np.inf, np.nan
    _, probs, d_scores = softmax_loss(scores, t)
    loss, got_probs, got_d_scores = softmax_loss(poisoned, t)
    assert np.isnan(loss)
    good = np.setdiff1d(np.arange(n), bad)
    for got, clean in ((got_probs, probs), (got_d_scores, d_scores)):
        assert np.isnan(got[bad]).all()
        assert np.isfinite(clean).all()
        assert got[good].tobytes() == clean[good].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_minus_infinity_beside_other_scores_is_a_probability_of_0(dtype: str) -> None:
    scores = np.array([[-np.inf, 0, 0], [np.log(3), -np.inf, 0]], dtype)
    loss, probs, d_scores = softmax_loss(scores, np.array([0, 0]))
    assert loss == np.inf  # the first row was certain that it is not class 0
    np.testing.assert_allclose(probs, [[0, 0.5, 0.5], [0.75, 0, 0.25]], rtol=2 * eps(dtype))
    np.testing.assert_allclose(d_scores, [[-0.5, 0.25, 0.25], [-0.125, 0, 0.125]], rtol=4 * eps(dtype))
    t = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5]], dtype)  # and a class of no probability costs nothing
    loss, _, _ = softmax_loss(scores, t)
    np.testing.assert_allclose(loss, (np.log(2) + np.log(4) - np.log(3) / 2) / 2, rtol=4 * eps(dtype))


# --- the other losses ---


def formula(name: str, scores: NDArray[Any], t: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Give each row's loss, the network's output, and each row's gradient, in float64."""
    s, t = scores.astype(np.float64), t.astype(np.float64)
    if name == "squared":
        return ((s - t) ** 2).sum(axis=1) / 2, s, s - t
    y = 1 / (1 + np.exp(-s))
    return (np.logaddexp(0, s) - t * s).sum(axis=1), y, y - t


def numbers_for(name: str, shape: tuple[int, int], dtype: str) -> NDArray[Any]:
    """Make what rows should be: any numbers, or labels that are there, are not, or are in between."""
    if name == "squared":
        return normal(shape, dtype, 11)
    return rng(11).choice([0, 1, 1, 0.3], shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["squared", "sigmoid"])
def test_each_loss_is_its_formula(name: str, weighted: bool, dtype: str) -> None:
    for n, columns in itertools.product([1, 3, 64], [1, 15, 16, 17, 50]):
        scores, t = normal((n, columns), dtype, 1) * 5, numbers_for(name, (n, columns), dtype)
        weights = rng(2).random(n).astype(dtype) if weighted else None
        y, d = untouched(scores.shape, dtype), untouched(scores.shape, dtype)
        loss = _kernels.loss(name, scores, t, y, d, weights)
        rows, outputs, gradients = formula(name, scores, t)
        counts = np.ones(n) if weights is None else weights.astype(np.float64)
        # The terms of a row are below 200; each is rounded some six times.
        np.testing.assert_allclose(loss, (counts * rows).mean(), rtol=6 * eps(dtype), atol=6 * eps(dtype))
        np.testing.assert_allclose(y, outputs, rtol=6 * eps(dtype), atol=0)
        np.testing.assert_allclose(d, gradients * counts[:, None] / n, rtol=0, atol=40 * eps(dtype) / n)


@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["softmax", "squared", "sigmoid"])
def test_steps_evaluations_and_moves_know_the_loss(name: str, weighted: bool, share: float) -> None:
    x, W, b = normal((40, 30), "float64", 1), normal((30, 4), "float64", 2), normal((4,), "float64", 3)
    x[rng(6).random(x.shape) > share] = 0
    t = np.full((40, 4), 0.25) if name == "softmax" else numbers_for(name, (40, 4), "float64")
    weights = rng(7).random(40) if weighted else None
    counts = np.ones(40) if weights is None else weights
    engine = _kernels.Engine("float64", 30, [("affine", [4], [])], name)
    examples, params, losses = ready(engine, x), [W.copy(), b.copy()], np.zeros(2)
    rows = np.arange(40)
    done = 0
    while done < 2:
        left = (rows[20 * done :], 20, SGD, True, losses[done:])
        done += engine.steps(params, [], examples, t, *left, weights=weights)[0]
    every, once = rows, np.ones(40)

    def loss_and_gradient(W: Any, b: Any, rows: Any = every, counts: Any = once) -> tuple[float, Any]:
        scores = x[rows] @ W + b
        if name == "softmax":
            y = seed.softmax(scores)
            of_rows, d = -(t[rows] * np.log(y)).sum(axis=1), y - t[rows]
        else:
            of_rows, _, d = formula(name, scores, t[rows])
        return float((counts[rows] * of_rows).mean()), d * counts[rows][:, None] / len(rows)

    W_by_hand, b_by_hand = W.copy(), b.copy()
    for batch, found in zip((rows[:20], rows[20:]), losses, strict=True):
        expected, d = loss_and_gradient(W_by_hand, b_by_hand, batch, counts)
        assert found == pytest.approx(expected, rel=1e-13)
        W_by_hand -= 0.1 * x[batch].T @ d
        b_by_hand -= 0.1 * d.sum(axis=0)
    np.testing.assert_allclose(params[0], W_by_hand, rtol=0, atol=1e-13)
    np.testing.assert_allclose(params[1], b_by_hand, rtol=0, atol=1e-13)

    expected = loss_and_gradient(W, b)[0]
    for data in (x, examples):
        (evaluation,) = engine.evaluations([W, b], [(data, t)])
        while not evaluation.advance():
            pass
        loss, right = evaluation.result()
        assert loss == pytest.approx(expected, rel=1e-13)
        scores = x @ W + b
        answers = {"softmax": np.argmax(scores, axis=1) == 0, "sigmoid": ((scores > 0) == (t > 0.5)).all(axis=1)}
        np.testing.assert_equal(right, answers[name].mean() if name in answers else np.nan)
        out = np.zeros(2)
        done = 0
        while done < 2:
            done = engine.losses_along([W, b], [np.ones_like(W), None], data, t, np.array([0.0, 0.25]), out, done)
        assert out == pytest.approx([expected, loss_and_gradient(W + 0.25, b)[0]], rel=1e-13)
    moved, out = W.copy(), np.zeros((1, 1))
    moved.flat[5] += 0.5
    assert engine.losses([W, b], x, t, 0, np.array([5]), np.array([[0.5]]), out, 0) == 1
    assert out == pytest.approx(loss_and_gradient(moved, b)[0], rel=1e-13)


@pytest.mark.parametrize("name", ["squared", "sigmoid"])
def test_class_ids_are_refused_where_numbers_are_compared(name: str) -> None:
    scores, ids, W, b = np.ones((5, 3)), np.zeros(5, np.int64), np.ones((4, 3)), np.ones(3)
    expected = f"t holds class ids, but the {name} loss wants a row of numbers for each example"
    assert refused(ValueError, lambda: _kernels.loss(name, scores, ids, scores.copy(), scores.copy())) == expected
    engine, x = _kernels.Engine("float64", 4, [("affine", [3], [])], name), np.ones((5, 4))
    rest = (ids, np.arange(5), 2, SGD, True, np.zeros(3))
    assert refused(ValueError, lambda: engine.steps([W, b], [], ready(engine, x), *rest)) == expected
    (evaluation,) = engine.evaluations([W, b], [(x, ids)])
    assert refused(ValueError, evaluation.advance) == expected


def test_an_unknown_loss_is_refused() -> None:
    scores = np.ones((5, 3))
    for call in (
        lambda: _kernels.loss("hinge", scores, scores, scores.copy(), scores.copy()),
        lambda: _kernels.Engine("float64", 4, [], "hinge"),
    ):
        assert refused(ValueError, call) == 'no loss is called "hinge"'


# --- a stack of layers ---


class Tanh:
    """What the tutorial's code would be: tanh and 1 - tanh²."""

    def forward(self, x: Any) -> Any:
        self.x = x
        return np.tanh(x)

    def backward(self, dout: Any) -> Any:
        return dout / np.cosh(self.x) ** 2  # 1 - tanh² by another formula


class LeakyRelu:
    """Slope 1 above 0 and 0.25, exact in both dtypes, below."""

    def forward(self, x: Any) -> Any:
        self.slopes = np.where(x > 0, 1, 0.25)
        return x * self.slopes

    def backward(self, dout: Any) -> Any:
        return dout * self.slopes


LAYERS: dict[str, tuple[float, Any]] = {
    "relu": (0, seed.Relu),
    "leaky_relu": (0.25, LeakyRelu),
    "sigmoid": (0, seed.Sigmoid),
    "tanh": (0, Tanh),
}

Rule = tuple[str, float, float, float, float, int]
SGD: Rule = ("sgd", 0.1, 0.0, 0.0, 0.0, 0)
MOMENTUM: Rule = ("momentum", 0.1, 0.0, 0.5, 0.0, 0)


def ready(engine: _kernels.Engine, x: Any) -> _kernels.Examples:
    """Give `x` as `engine` trains on it."""
    examples = engine.examples(x)
    while not examples.prepare():
        pass
    return examples


class Case:
    """A stack (scale →) D → H → activation → C for the engine; the tutorial's layers with its numbers in float64."""

    def __init__(
        self, features: int, hidden: int, classes: int, activation: str, dtype: str, scale: float | None = None
    ) -> None:
        shapes = [(features, hidden), (hidden,), (hidden, classes), (classes,)]
        self.params = [normal(shape, dtype, i) / np.sqrt(shape[0] + 1).astype(dtype) for i, shape in enumerate(shapes)]
        self.kept = [np.zeros_like(p) for p in self.params]
        number, layer = LAYERS[activation]
        front: list[tuple[str, list[int], list[float]]] = [] if scale is None else [("scale", [], [scale])]
        stack = [
            *front,
            ("affine", [hidden], []),
            (activation, [], [number] if activation in ("leaky_relu", "scale") else []),
            ("affine", [classes], []),
        ]
        self.engine = _kernels.Engine(dtype, features, stack, "softmax")
        self.scale = 1 if scale is None else scale
        W1, b1, W2, b2 = (p.astype(np.float64) for p in self.params)
        self.layers = [seed.Affine(W1, b1), layer(), seed.Affine(W2, b2)]
        self.velocities = [np.zeros_like(p) for p in self.oracle_params()]

    def steps(self, x: NDArray[Any], t: NDArray[Any], rows: NDArray[Any], size: int, rule: Rule) -> NDArray[np.float64]:
        """Let the engine take all steps, in as many calls as it wants; give the losses."""
        examples, done = ready(self.engine, x), 0
        losses = np.full(-(-len(rows) // size), np.nan)
        kept = self.kept if rule[0] == "momentum" else []
        while done < len(losses):
            left = rows[done * size :]
            steps, diverged = self.engine.steps(self.params, kept, examples, t, left, size, rule, True, losses[done:])
            assert (steps > 0, diverged) == (True, False)
            done += steps
        return losses

    def scores(self, x: NDArray[Any]) -> NDArray[np.float64]:
        out: Any = x.astype(np.float64) * self.scale
        if len(x) == 0:  # the tutorial's Affine fails
            return np.zeros((0, len(self.params[-1])))
        for layer in self.layers:
            out = layer.forward(out)
        return np.asarray(out)

    def step(self, x: NDArray[Any], one_hot: NDArray[Any], learning_rate: float, momentum: float = 0) -> float:
        last = seed.ExactSoftmaxWithLoss()
        loss = float(last.forward(self.scores(x), one_hot))
        dout = last.backward()
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        first, _, second = self.layers
        grads = [first.dW, first.db, second.dW, second.db]
        for p, v, grad in zip(self.oracle_params(), self.velocities, grads, strict=True):
            v *= momentum
            v -= learning_rate * grad
            p += v
        return loss

    def oracle_params(self) -> list[NDArray[np.float64]]:
        return [self.layers[0].W, self.layers[0].b, self.layers[2].W, self.layers[2].b]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", LAYERS)
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
@pytest.mark.parametrize("activation", LAYERS)
@pytest.mark.parametrize("labels", ["ids", "one_hot"])
@pytest.mark.parametrize("size", SIZES)
def test_engine_steps_are_the_tutorials_loop(size: int, labels: str, activation: str, dtype: str) -> None:
    """`size` examples of `size` features; batches of 8, the last one shorter."""
    case = Case(size, 9, 4, activation, dtype)
    x, ids = normal((size, size), dtype, 7), rng(8).integers(4, size=size)
    rows = rng(9).permutation(size)
    one_hot = np.eye(4, dtype=dtype)[ids]
    losses = case.steps(x, ids if labels == "ids" else one_hot, rows, 8, SGD)

    expected = [case.step(x[batch], one_hot[batch], 0.1) for batch in np.split(rows, range(8, size, 8)) if len(batch)]
    # Each of up to 9 steps adds to the error what one gradient has: sums of up to 65 products of numbers of size 1-10.
    atol = 10 * (len(losses) + 1) * (size + 10) * eps(dtype)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=atol)
    for got, want in zip(case.params, case.oracle_params(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)


# --- data that is mostly zeros ---

WIDTHS = [1, 7, 15, 16, 17, 50, 64, 65, 130]


def sparse(n: int, features: int, stored: str, largest: int = 255) -> NDArray[Any]:
    """Make rows of which about a fifth of the numbers are not zero, and no number of row 3 and of column 5."""
    x = rng(7).integers(1, largest + 1, (n, features)) if stored == "uint8" else normal((n, features), stored, 7)
    x[rng(6).random(x.shape) > 0.2] = 0
    x[3], x[:, 5] = 0, 0
    return x.astype(stored)


@pytest.mark.parametrize("scale", [None, 1 / 255])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_scores_of_sparse_data_are_the_dense_products(width: int, dtype: str, stored: str, scale: float | None) -> None:
    case = Case(40, width, 3, "relu", dtype, scale)
    x = sparse(100, 40, stored, largest=4 if scale is None else 255)
    expected = case.scores(x)
    # About 8 terms of up to 4 · 0.5, then `width` of up to 10 · 0.5 / √width: both sums, of their |terms|, below 100.
    atol = 100 * (width + 10) * eps(dtype)
    for data in (x, ready(case.engine, x)):
        out = untouched((100, 3), dtype)
        assert case.engine.scores(case.params, data, 0, out) == 100
        np.testing.assert_allclose(out, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("rule", [SGD, MOMENTUM])
@pytest.mark.parametrize("scale", [None, 1 / 255])
@pytest.mark.parametrize("stored", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_steps_over_sparse_data_are_those_over_the_dense_products(
    width: int, dtype: str, stored: str, scale: float | None, rule: Rule
) -> None:
    """80 examples in batches of 7, so that the last is of 3."""
    case = Case(40, width, 4, "tanh", dtype, scale)
    x, t = sparse(80, 40, stored, largest=4 if scale is None else 255), rng(8).integers(4, size=80)
    rows, one_hot = rng(9).permutation(80), np.eye(4)[t]
    losses = case.steps(x, t, rows, 7, rule)

    momentum = rule[3]
    expected = [case.step(x[batch], one_hot[batch], 0.1, momentum) for batch in np.split(rows, range(7, 80, 7))]
    # 12 steps; a gradient has sums of up to `width` + 40 terms of numbers of size 1-10, of which a step takes a tenth.
    # In float64 that is 1e-12 at most.
    atol = 12 * (width + 40) * eps(dtype)
    np.testing.assert_allclose(losses, expected, rtol=0, atol=atol)
    for got, want in zip(case.params, case.oracle_params(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=atol)
    if rule is MOMENTUM:
        for got, want in zip(case.kept, case.velocities, strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", ["ids", "soft"])
def test_sparse_batches_larger_than_the_data_in_which_rows_repeat(labels: str, dtype: str) -> None:
    case, x, ids = Case(40, 17, 4, "leaky_relu", dtype), sparse(20, 40, dtype), rng(8).integers(4, size=20)
    soft = np.eye(4)[ids] if labels == "ids" else rng(5).dirichlet(np.ones(4), size=20)
    rows = rng(9).integers(20, size=150)
    losses = case.steps(x, ids if labels == "ids" else soft.astype(dtype), rows, 64, SGD)
    wide = soft.astype(dtype).astype(np.float64)
    for loss, batch in zip(losses, np.split(rows, [64, 128]), strict=True):
        y = seed.softmax(case.scores(x[batch]))
        # As above; a loss is a sum of 4 terms of at most 10.
        np.testing.assert_allclose(loss, -np.sum(wide[batch] * np.log(y)) / len(batch), rtol=0, atol=1e3 * eps(dtype))
        d = (y - wide[batch]) / len(batch)
        for layer in reversed(case.layers):
            d = layer.backward(d)
        for layer in (case.layers[0], case.layers[2]):
            layer.W -= 0.1 * layer.dW
            layer.b -= 0.1 * layer.db
    for got, want in zip(case.params, case.oracle_params(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e3 * eps(dtype))


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_zeros_are_skipped_where_they_are_many_and_only_there(share: float) -> None:
    """Documented: in data made ready for training a weight that is not finite is not seen through a zero input.

    Zeros are skipped in pairs of neighbouring columns, here 4 and 5.
    """
    case, t, rows = Case(40, 9, 3, "sigmoid", "float64"), rng(8).integers(3, size=100), np.arange(100)
    x, out = normal((100, 40), "float64"), untouched((100, 3), "float64")
    x[rng(6).random(x.shape) > share] = 0
    x[:, 4:6], case.params[0][5] = 0, np.inf
    case.engine.scores(case.params, x, 0, out)
    assert np.isnan(out).any()  # 0 * inf, as in NumPy
    case.engine.scores(case.params, ready(case.engine, x), 0, out)
    assert np.isfinite(out).all() == (share < 0.5)
    examples, losses = ready(case.engine, x), np.zeros(2)
    _, diverged = case.engine.steps(case.params, [], examples, t, rows, 50, SGD, True, losses)
    assert diverged == (share > 0.5)


@pytest.mark.parametrize("stored", ["float32", "float64"])
def test_a13_nan_and_infinity_in_sparse_data_are_seen(stored: str) -> None:
    case, x, out = Case(40, 9, 3, "sigmoid", "float64"), sparse(100, 40, stored), untouched((100, 3), "float64")
    x[1, 7], x[2, 7] = np.nan, -np.inf
    case.engine.scores(case.params, ready(case.engine, x), 0, out)
    np.testing.assert_array_equal(np.isnan(out).any(axis=1), np.arange(100) == 1)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(out[2], case.scores(x[2:3])[0], rtol=1e-12)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("features", FEATURES)
def test_the_engine_skips_zeros_up_to_the_borders_of_tiles(features: int, dtype: str, stored: str) -> None:
    """Odd widths have a last column without a neighbour; 300 rows are more than a block. Batches of 7."""
    x, ids = whole(300, features, "sparse").astype(stored), rng(8).integers(4, size=300)
    for rule in (SGD, MOMENTUM):
        case = Case(features, 17, 4, "tanh", dtype, 1 / 255)
        # Sums of fewer than 100 terms up to 1, then of 17; as for scores of sparse data above.
        atol = 100 * 27 * eps(dtype)
        for data in (x, ready(case.engine, x)):
            out = untouched((300, 4), dtype)
            assert case.engine.scores(case.params, data, 0, out) == 300
            np.testing.assert_allclose(out, case.scores(x), rtol=0, atol=atol)
        rows, one_hot = rng(9).permutation(300)[:80], np.eye(4)[ids]
        losses = case.steps(x, ids, rows, 7, rule)
        expected = [case.step(x[batch], one_hot[batch], 0.1, rule[3]) for batch in np.split(rows, range(7, 80, 7))]
        atol = 12 * 100 * eps(dtype)  # 12 steps of a tenth of such sums
        np.testing.assert_allclose(losses, expected, rtol=0, atol=atol)
        for got, want in zip(case.params, case.oracle_params(), strict=True):
            np.testing.assert_allclose(got, want, rtol=0, atol=atol)


@pytest.mark.parametrize("share", [0.2, 1])
def test_a_layer_of_no_units_trains_what_is_behind_it(share: float) -> None:
    case, x, t = Case(40, 0, 3, "relu", "float64"), normal((100, 40), "float64"), rng(8).integers(3, size=100)
    x[rng(6).random(x.shape) > share] = 0
    losses = case.steps(x, t, np.arange(100), 10, SGD)
    expected = [case.step(x[i : i + 10], np.eye(3)[t[i : i + 10]], 0.1) for i in range(0, 100, 10)]
    np.testing.assert_allclose(losses, expected, rtol=1e-13)
    np.testing.assert_allclose(case.params[3], case.layers[2].b, rtol=1e-13)


@pytest.mark.parametrize("features", [2**15 + 1, 2**16 + 1])
def test_more_columns_than_a_small_number_counts(features: int) -> None:
    """A column is kept as a tile and a place in it: neither 2**15 nor 2**16 is an end."""
    case = Case(features, 3, 2, "relu", "float64")
    x, t = np.zeros((64, features), np.uint8), rng(8).integers(2, size=64)
    x[:, -1], x[:, 0] = 1 + np.arange(64), 1
    for data in (x, ready(case.engine, x)):
        out = untouched((64, 2), "float64")
        case.engine.scores(case.params, data, 0, out)
        # Two terms that are not zero, of up to 64.
        np.testing.assert_allclose(out, case.scores(x), rtol=0, atol=1e-12)
    case.steps(x, t, np.arange(64), 64, SGD)
    case.step(x, np.eye(2)[t], 0.1)
    for got, want in zip(case.params, case.oracle_params(), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)  # sums of 64 terms of up to 64 / 64


def test_data_that_is_zero_throughout_trains_the_biases_only() -> None:
    case, x, t = Case(40, 9, 3, "relu", "float64"), np.zeros((64, 40), np.uint8), np.zeros(64, np.int64)
    before = [p.copy() for p in case.params]
    case.steps(x, t, np.arange(64), 10, SGD)
    np.testing.assert_array_equal(case.params[0], before[0])
    assert (case.params[3] != before[3]).all()


# --- examples ---


def test_examples_hold_their_array() -> None:
    case, x = Case(40, 9, 3, "relu", "float64"), normal((8, 40), "float64")
    examples, expected, out = ready(case.engine, x.copy()), case.scores(x), untouched((8, 3), "float64")
    case.engine.scores(case.params, examples, 0, out)
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-12)  # sums of 40 terms of size 1


def test_sparse_examples_that_are_not_ready_are_refused() -> None:
    case, x, t = Case(40, 9, 3, "relu", "float64"), sparse(100, 40, "uint8"), np.zeros(100, np.int64)
    examples, losses = case.engine.examples(x), np.zeros(10)
    message = refused(ValueError, lambda: case.engine.scores(case.params, examples, 0, np.zeros((100, 3))))
    assert re.fullmatch(SENTENCE, message)
    rows = np.arange(100)
    message = refused(ValueError, lambda: case.engine.steps(case.params, [], examples, t, rows, 10, SGD, True, losses))
    assert re.fullmatch(SENTENCE, message)


@pytest.mark.parametrize("share", [0.2, 1])
def test_a1_examples_of_another_width_are_refused(share: float) -> None:
    case, other = Case(40, 9, 3, "relu", "float64"), Case(41, 9, 3, "relu", "float64")
    x, t, rows = normal((8, 41), "float64"), np.zeros(8, np.int64), np.arange(8)
    x[rng(6).random(x.shape) > share] = 0
    examples = ready(other.engine, x)
    message = refused(ValueError, lambda: case.engine.scores(case.params, examples, 0, np.zeros((8, 3))))
    assert message == "the number of columns of x is 41, but the number of features is 40; they must agree"
    message = refused(
        ValueError, lambda: case.engine.steps(case.params, [], examples, t, rows, 2, SGD, True, np.zeros(4))
    )
    assert message == "the number of columns of x is 41, but the number of features is 40; they must agree"


@pytest.mark.parametrize("share", [0.2, 1])
def test_examples_made_for_another_dtype_are_read_as_they_are_stored(share: float) -> None:
    single, double = Case(40, 9, 3, "relu", "float32"), Case(40, 9, 3, "relu", "float64")
    x, out = normal((100, 40), "float64"), untouched((100, 3), "float64")
    x[rng(6).random(x.shape) > share] = 0
    double.engine.scores(double.params, ready(single.engine, x), 0, out)
    np.testing.assert_allclose(out, double.scores(x), rtol=0, atol=1e-12)  # not 1e-6: sums of 40 terms of size 1


@pytest.mark.parametrize("front", [("scale", [], [5.0]), ("tanh", [], [])])
def test_sparse_examples_made_for_another_front_are_refused_and_nothing_written(
    front: tuple[str, list[int], list[float]],
) -> None:
    """What was kept without its zeros is without the scale, and of no use where the first layer is no product."""
    engine = _kernels.Engine("float64", 40, [front, ("affine", [3], [])], "softmax")
    plain = _kernels.Engine("float64", 40, [("affine", [3], [])], "softmax")
    params, out, losses = [np.ones((40, 3)), np.ones(3)], np.ones((100, 3)), np.ones(1)
    examples, t, rows = ready(plain, sparse(100, 40, "float64")), np.zeros(100, np.int64), np.arange(100)
    refused(TypeError, lambda: engine.scores(params, examples, 0, out))
    refused(TypeError, lambda: engine.steps(params, [], examples, t, rows, 100, SGD, True, losses))
    assert all((array == 1).all() for array in (*params, out, losses))


@pytest.mark.parametrize("thing", [None, "x", 1.0, [[1.0]], np.ones((5, 4))])
def test_a3_steps_over_what_are_no_examples_are_refused(thing: Any) -> None:
    engine = _kernels.Engine("float64", 4, [("affine", [3], [])], "softmax")
    params, t, rows, losses = [np.ones((4, 3)), np.ones(3)], np.zeros(5, np.int64), np.arange(5), np.zeros(3)
    refused(TypeError, lambda: engine.steps(params, [], thing, t, rows, 2, SGD, True, losses))


def test_a13_nan_and_infinity_go_where_numpy_sends_them() -> None:
    x, W = np.array([[np.nan, 1, 0], [np.inf, 0, 0], [-np.inf, 0, 1]]), np.array([[1.0, 0], [0, 1], [1, 1]])
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(affine(x, W, np.zeros(2)), x @ W)


def test_a13_softmax_of_a_row_of_minus_infinity_is_nan() -> None:
    scores = np.array([[-np.inf, -np.inf], [0, 0]])
    probs, d_scores = np.zeros((2, 2)), np.zeros((2, 2))
    assert np.isnan(_kernels.loss("softmax", scores, np.array([0, 1]), probs, d_scores))
    np.testing.assert_array_equal(probs, [[np.nan, np.nan], [0.5, 0.5]])


@pytest.mark.fault("A13")
@pytest.mark.parametrize("dtype", DTYPES)
def test_a13_subnormals_are_not_flushed_to_zero(dtype: str) -> None:
    tiny = np.full((1, 1), np.finfo(dtype).smallest_subnormal, dtype)
    assert affine(tiny, np.ones((1, 1), dtype), np.zeros(1, dtype)) == tiny > 0
    assert tiny * np.ones(1, dtype) == tiny  # nor by NumPy afterwards


# --- the same bits ---


def shifted(a: NDArray[Any], items: int) -> NDArray[Any]:
    """Copy `a` to memory that begins `items` numbers further than a cache line."""
    raw = np.empty(a.nbytes + 128, np.uint8)
    start = -raw.ctypes.data % 64 + items * a.itemsize
    copy: NDArray[Any] = raw[start : start + a.nbytes].view(a.dtype).reshape(a.shape)
    copy[...] = a
    return copy


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 784, 50), (100, 784, 50), (65, 64, 9)])
def test_d1_products_have_the_same_bits_every_time_and_at_every_address(
    shape: tuple[int, int, int], dtype: str, kind: str
) -> None:
    m, k, n = shape
    W, b, dout = normal((k, n), dtype, 2), normal((n,), dtype, 3), normal((m, n), dtype, 4)
    scratch = _kernels.Scratch()
    for stored in STORED:
        x, results = whole(m, k, kind).astype(stored), set()
        for items in (0, 1, 3, 0):
            out, dW = shifted(untouched((m, n), dtype), items), shifted(untouched((k, n), dtype), items)
            _kernels.affine(shifted(x, items), shifted(W, items), shifted(b, items), out, scratch)
            _kernels.weight_gradient(shifted(x, items), shifted(dout, items), dW, scratch)
            results.add((out.tobytes(), dW.tobytes()))
        assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_d1_softmax_loss_has_the_same_bits_every_time(dtype: str) -> None:
    scores, t = normal((65, 9), dtype), rng().integers(9, size=65)
    results = set()
    for _ in range(3):
        probs, d_scores = untouched(scores.shape, dtype), untouched(scores.shape, dtype)
        loss = _kernels.loss("softmax", scores, t, probs, d_scores)
        results.add((loss, probs.tobytes(), d_scores.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", [SGD, MOMENTUM])
@pytest.mark.parametrize("share", [0.2, 1])
def test_d1_steps_have_the_same_bits_in_one_call_and_in_many(share: float, rule: Rule, dtype: str) -> None:
    x, t, rows = normal((64, 65), dtype, 7), rng(8).integers(4, size=64), rng(9).integers(64, size=80)
    x[rng(6).random(x.shape) > share] = 0
    results = set()
    for at_once in (10, 1, 3, 10):
        case, losses = Case(65, 9, 4, "relu", dtype), np.zeros(10)
        examples, kept, done = ready(case.engine, x), case.kept if rule is MOMENTUM else [], 0
        while done < len(losses):
            batches = rows[done * 8 : (done + at_once) * 8]
            steps, _ = case.engine.steps(case.params, kept, examples, t, batches, 8, rule, True, losses[done:])
            done += steps
        results.add((losses.tobytes(), *(p.tobytes() for p in (*case.params, *case.kept))))
    assert len(results) == 1


# --- the door ---


def arguments(kernel: str, dtype: str = "float64") -> Arguments:
    """Make arguments that `kernel` takes: N = 5, D = 4, C = 3; every output holds 7."""
    x, W, b = normal((5, 4), dtype, 1), normal((4, 3), dtype, 2), normal((3,), dtype, 3)
    t = rng(4).dirichlet(np.ones(3), size=5).astype(dtype)
    made: dict[str, Arguments] = {
        "affine": {"x": x, "W": W, "b": b, "out": np.full((5, 3), 7, dtype)},
        "weight_gradient": {"x": x, "dout": t, "out": np.full((4, 3), 7, dtype)},
        "matmul_a_bt": {"a": t, "b": W, "out": np.full((5, 4), 7, dtype)},
        "column_sums": {"dout": t, "out": np.full(3, 7, dtype)},
        "zero_where": {
            "mask": np.arange(15, dtype=np.uint8).reshape(5, 3),
            "dout": t,
            "out": np.full((5, 3), 7, dtype),
        },
        "loss": {
            "scores": t * 3,
            "t": t,
            "y": np.full((5, 3), 7, dtype),
            "d_scores": np.full((5, 3), 7, dtype),
            "weights": np.ones(5, dtype),
        },
        "scores": {"W": W, "b": b, "x": x, "out": np.full((5, 3), 7, dtype)},
        "steps": {
            "W": W,
            "b": b,
            "vW": np.full((4, 3), 7, dtype),
            "vb": np.full((3,), 7, dtype),
            "x": x,
            "t": t,
            "rows": np.arange(5),
            "losses": np.full(3, 7.0),
            "weights": np.ones(5, dtype),
        },
    }
    return made[kernel]


def run(kernel: str, given: Arguments, batch_size: int = 2, width: int | None = None) -> Any:
    """Call `kernel`; the two methods on an engine of one affine layer, 4 → 3, or `width` → `width`, in float64."""
    if kernel not in ("scores", "steps"):
        if kernel == "loss":
            return _kernels.loss("softmax", *given.values())
        scratch = [_kernels.Scratch()] if kernel in ("affine", "weight_gradient") else []
        return getattr(_kernels, kernel)(*given.values(), *scratch)
    features, outputs = (4, 3) if width is None else (width, width)
    engine = _kernels.Engine("float64", features, [("affine", [outputs], [])], "softmax")
    if kernel == "scores":
        W, b, x, out = given.values()
        return engine.scores([W, b], x, 0, out)
    W, b, vW, vb, x, t, rows, losses, weights = given.values()
    rest = (t, rows, batch_size, MOMENTUM, True, losses)
    return engine.steps([W, b], [vW, vb], ready(engine, x), *rest, weights=weights)


OUTPUTS = {
    "affine": ["out"],
    "weight_gradient": ["out"],
    "matmul_a_bt": ["out"],
    "column_sums": ["out"],
    "zero_where": ["out"],
    "loss": ["y", "d_scores"],
    "scores": ["out"],
    "steps": ["W", "b", "vW", "vb", "losses"],
}
EVERY = [(kernel, name) for kernel in OUTPUTS for name in arguments(kernel)]
MATRICES = [(kernel, name) for kernel, name in EVERY if arguments(kernel)[name].ndim == 2]
WRITTEN = [(kernel, name) for kernel, names in OUTPUTS.items() for name in names]
# What may be stored in another dtype than is computed in.
EXAMPLES = [("affine", "x"), ("weight_gradient", "x"), ("scores", "x"), ("steps", "x"), ("zero_where", "mask")]


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


LAYOUTS = [
    (kernel, name, layout)
    for kernel, name in EVERY
    for layout in (strided, backwards, broadcast, misaligned, field_of_a_packed_record)
    if layout is not misaligned or arguments(kernel)[name].itemsize > 1  # bytes are never misaligned
]


@pytest.mark.parametrize(("kernel", "name", "layout"), LAYOUTS)
def test_a9_an_array_of_another_layout_is_refused(kernel: str, name: str, layout: Any) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: layout(given[name])})


@pytest.mark.parametrize("dtype", ["int8", "int32", "float16", "complex128", "bool", "longdouble", ">f4", ">f8"])
@pytest.mark.parametrize(("kernel", "name"), EVERY)
def test_a7_an_array_of_another_dtype_is_refused(kernel: str, name: str, dtype: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: np.ones_like(given[name], dtype)})


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("kernel", "name"), [case for case in EVERY if case not in EXAMPLES])
def test_a6_arrays_of_mixed_dtypes_are_refused(kernel: str, name: str, dtype: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name].astype(dtype)})


@pytest.mark.parametrize("layout", [fortran, strided, backwards, broadcast, field_of_a_packed_record])
@pytest.mark.parametrize("stored", ["uint8", "float32"])
@pytest.mark.parametrize("kernel", ["affine", "weight_gradient"])
def test_a9_examples_of_another_layout_are_refused_however_they_are_stored(
    kernel: str, stored: str, layout: Any
) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {"x": layout(given["x"].astype(stored))})


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kernel", ["affine", "weight_gradient"])
def test_a1_a12_examples_of_another_shape_are_refused_however_they_are_stored(kernel: str, stored: str) -> None:
    given = arguments(kernel)
    x = given["x"].astype(stored)
    for wrong in (x[None], x.ravel(), x[0, 0]):
        refused_and_unwritten(TypeError, kernel, given | {"x": np.asarray(wrong)})
    for wrong in (x[:4], np.hstack([x, x]), x.T.copy(), x[:0], x[:, :0].copy()):
        assert re.fullmatch(SENTENCE, refused_and_unwritten(ValueError, kernel, given | {"x": wrong}))


@pytest.mark.parametrize("thing", [None, 0, "scratch", _kernels.Scratch, np.zeros(100), {}])
@pytest.mark.parametrize("kernel", ["affine", "weight_gradient"])
def test_a3_what_is_no_scratch_is_refused(kernel: str, thing: Any) -> None:
    given = arguments(kernel)
    refused(TypeError, lambda: getattr(_kernels, kernel)(*given.values(), thing))
    refused(TypeError, lambda: getattr(_kernels, kernel)(*given.values()))  # nor none at all
    assert (given["out"] == 7).all()


# zero_where takes any number of axes.
WITH_AXES = [case for case in EVERY if case[0] != "zero_where"]


@pytest.mark.parametrize(("kernel", "name"), WITH_AXES)
def test_an_array_with_an_axis_more_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name][None]})


@pytest.mark.parametrize(("kernel", "name"), [case for case in WITH_AXES if case in MATRICES])
def test_a_matrix_with_an_axis_less_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    refused_and_unwritten(TypeError, kernel, given | {name: given[name].reshape(-1)})


NO_ARRAYS: Any = itertools.product(EVERY, [None, "x", [[1.0]], 1.0, b"1", {}])
NO_WEIGHTS = [("loss", "weights"), ("steps", "weights")]  # may be None


@pytest.mark.parametrize(("case", "thing"), [(c, t) for c, t in NO_ARRAYS if not (c in NO_WEIGHTS and t is None)])
def test_a3_what_is_no_array_is_refused(case: tuple[str, str], thing: Any) -> None:
    kernel, name = case
    refused_and_unwritten(TypeError, kernel, arguments(kernel) | {name: thing})


@pytest.mark.parametrize(("kernel", "name"), WRITTEN)
def test_a10_a_read_only_output_is_refused(kernel: str, name: str) -> None:
    given = arguments(kernel)
    given[name].flags.writeable = False
    refused_and_unwritten(TypeError, kernel, given)


@pytest.mark.parametrize("kernel", ["affine", "weight_gradient"])
def test_a10_read_only_inputs_are_accepted(kernel: str) -> None:
    given = arguments(kernel)
    for name in set(given) - {"out"}:
        given[name].flags.writeable = False
    run(kernel, given)


# Everything 4 × 4, so that shapes never refuse what aliasing should.
def square(kernel: str) -> Arguments:
    vectors = ("b", "vb", "rows", "losses") if kernel in ("affine", "scores", "steps") else ()
    sizes = dict.fromkeys(vectors, (4,))
    made = {name: np.full(sizes.get(name, (4, 4)), 0.25) for name in arguments(kernel)}
    return made | ({"rows": np.arange(4)} if kernel == "steps" else {})


ALIASES = [
    (kernel, output, other)
    for kernel, outputs in OUTPUTS.items()
    for output in outputs
    for other in arguments(kernel)
    if other not in (output, "rows")
]


@pytest.mark.parametrize(
    ("kernel", "output", "other", "share"),
    [(*case, 1) for case in ALIASES] + [(*case, 0.25) for case in ALIASES if case[0] == "steps" and case[2] == "x"],
)
def test_a15_an_output_that_shares_memory_with_another_argument_is_refused(
    kernel: str, output: str, other: str, share: float
) -> None:
    given = square(kernel)
    larger, smaller = (output, other) if given[output].ndim == 2 else (other, output)
    view = given[larger] if given[smaller].ndim == given[larger].ndim else given[larger][1]
    given[smaller] = view
    if share < 1:  # data that is kept without its zeros is still refused as the array it came from
        given["x"][:, 1:] = 0
    refused(TypeError, lambda: run(kernel, given, width=4))


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
    scratch = _kernels.Scratch()
    refused(TypeError, lambda: _kernels.affine(x, np.ones((4, 4)), np.zeros(4), out, scratch))
    refused(TypeError, lambda: _kernels.weight_gradient(x, np.ones((4, 4)), out, scratch))
    refused(TypeError, lambda: _kernels.weight_gradient(np.ones((4, 4)), x, out, scratch))


def hidden(memory: NDArray[Any], shape: tuple[int, ...], dtype: str = "float64") -> NDArray[Any]:
    """Give an array of that shape and dtype at the beginning of `memory`, by a way that hides where it is."""
    array: NDArray[Any] = np.frombuffer(memory.data.cast("B"), dtype)[: int(np.prod(shape))].reshape(shape)
    assert np.shares_memory(array, memory)
    return array


@pytest.mark.parametrize("again", [through_a_memoryview, through_dlpack, through_its_buffer])
def test_a15_two_outputs_in_one_place_are_refused(again: Any) -> None:
    scores, y = np.ones((5, 3)), np.full((5, 3), 7.0)
    refused(TypeError, lambda: _kernels.loss("softmax", scores, np.zeros(5, np.int64), y, again(y)))
    engine, examples_of = _kernels.Engine("float64", 3, [("affine", [3], [])], "softmax"), np.ones((5, 3))
    params, rest = [np.full((3, 3), 7.0), np.full(3, 7.0)], (np.zeros(5, np.int64), np.arange(5), 2, MOMENTUM, True)
    state = [again(params[0]), np.full(3, 7.0)]
    refused(TypeError, lambda: engine.steps(params, state, ready(engine, examples_of), *rest, np.zeros(3)))
    assert all((a == 7).all() for a in (y, *params, *state))


@pytest.mark.fault("M1")
@pytest.mark.parametrize("name", ["W", "b", "x", "t", "entries", "offsets"])
def test_a15_losses_written_over_an_input_are_refused(name: str) -> None:
    out, engine = np.ones((16, 1)), _kernels.Engine("float64", 3, [("affine", [2], [])], "softmax")
    given = {"W": ((3, 2), "float64"), "b": ((2,), "float64"), "x": ((5, 3), "float64"), "t": ((5,), "int64")}
    given |= {"entries": ((16,), "int64"), "offsets": ((16, 1), "float64")}
    arrays = {n: hidden(out, *given[n]) if n == name else np.zeros(*given[n]) for n in given}
    W, b, x, t, entries, offsets = arrays.values()
    message = refused(TypeError, lambda: engine.losses([W, b], x, t, 0, entries, offsets, out, 0))
    assert message == "an array to be written shares memory with another argument"
    assert (out == 1).all()


@pytest.mark.fault("M1")
@pytest.mark.parametrize("name", ["x", "t", "weights"])
def test_a15_examples_and_targets_that_lie_in_a_parameter_are_refused(name: str) -> None:
    W, b, engine = np.ones((4, 4)), np.ones(4), _kernels.Engine("float64", 4, [("affine", [4], [])], "softmax")
    shapes = {"x": (4, 4), "t": (4, 4), "weights": (4,)}
    x, t, weights = (hidden(W, shape) if n == name else np.full(shape, 0.25) for n, shape in shapes.items())
    rest = (t, np.arange(4), 2, SGD, True, np.zeros(2))
    refused(TypeError, lambda: engine.steps([W, b], [], ready(engine, x), *rest, weights=weights))
    assert (W == 1).all()


@pytest.mark.fault("M1")
@pytest.mark.parametrize("name", ["x", "t"])
def test_a15_an_evaluation_of_what_is_trained_is_put_off(name: str) -> None:
    """Beside the steps it would read a parameter while it is written."""
    W, b, engine = np.ones((4, 4)), np.ones(4), _kernels.Engine("float64", 4, [("affine", [4], [])], "squared")
    x, t, rows = np.full((4, 4), 0.25), np.full((4, 4), 0.25), np.zeros(20_000, np.int64)
    other = {"x": x, "t": t} | {name: hidden(W, (4, 4))}
    (apart,) = engine.evaluations([W, b], [(other["x"], other["t"])])
    examples, rule = ready(engine, x), ("sgd", 1e-6, 0.0, 0.0, 0.0, 0)
    for _ in range(20):
        engine.steps([W, b], [], examples, t, rows, 2, rule, True, np.zeros(10_000), [apart])
    assert np.isnan(apart.result()[0])
    assert apart.advance()


@pytest.mark.fault("M1")
def test_a15_two_outputs_that_overlap_by_part_are_refused() -> None:
    memory = np.full(20, 7.0)
    probs, d_scores = memory[:15].reshape(5, 3), memory[4:19].reshape(5, 3)
    refused(TypeError, lambda: _kernels.loss("softmax", np.ones((5, 3)), np.zeros(5, np.int64), probs, d_scores))
    engine, b, kept_b = (
        _kernels.Engine("float64", 3, [("affine", [3], [])], "softmax"),
        np.full(3, 7.0),
        np.full(3, 7.0),
    )
    W, kept_W = memory[:9].reshape(3, 3), memory[4:13].reshape(3, 3)
    rest = (np.zeros(5, np.int64), np.arange(5), 2, MOMENTUM, True, np.zeros(3))
    refused(RuntimeError, lambda: engine.steps([W, b], [kept_W, kept_b], ready(engine, np.ones((5, 3))), *rest))
    assert all((a == 7).all() for a in (memory, b, kept_b))


@pytest.mark.fault("M1")
@pytest.mark.parametrize("shift", [1, 15])
def test_a15_losses_written_over_a_part_of_the_offsets_are_refused(shift: int) -> None:
    memory, engine = np.ones(32), _kernels.Engine("float64", 3, [("affine", [2], [])], "softmax")
    out, offsets = memory[:16].reshape(16, 1), memory[shift : shift + 16].reshape(16, 1)
    params, x, t = [np.zeros((3, 2)), np.zeros(2)], np.zeros((5, 3)), np.zeros(5, np.int64)
    refused(TypeError, lambda: engine.losses(params, x, t, 0, np.zeros(16, np.int64), offsets, out, 0))
    assert (memory == 1).all()


@pytest.mark.fault("M1")
@pytest.mark.parametrize("shift", [1, 15])
def test_a15_examples_that_overlap_a_parameter_by_part_are_refused(shift: int) -> None:
    memory, engine = np.ones(32), _kernels.Engine("float64", 4, [("affine", [4], [])], "softmax")
    W, x = memory[:16].reshape(4, 4), memory[shift : shift + 16].reshape(4, 4)
    rest = (np.zeros(4, np.int64), np.arange(4), 2, SGD, True, np.zeros(2))
    refused(RuntimeError, lambda: engine.steps([W, np.ones(4)], [], ready(engine, x), *rest))
    assert (memory == 1).all()


@pytest.mark.fault("M1")
@pytest.mark.parametrize("shift", [1, 15])
def test_a15_an_evaluation_of_what_overlaps_a_parameter_by_part_is_put_off(shift: int) -> None:
    memory, b, engine = np.ones(32), np.ones(4), _kernels.Engine("float64", 4, [("affine", [4], [])], "squared")
    W, overlapping = memory[:16].reshape(4, 4), memory[shift : shift + 16].reshape(4, 4)
    x, t, rows = np.full((4, 4), 0.25), np.full((4, 4), 0.25), np.zeros(20_000, np.int64)
    (apart,) = engine.evaluations([W, b], [(overlapping, t)])
    examples, rule = ready(engine, x), ("sgd", 1e-6, 0.0, 0.0, 0.0, 0)
    for _ in range(20):
        engine.steps([W, b], [], examples, t, rows, 2, rule, True, np.zeros(10_000), [apart])
    assert np.isnan(apart.result()[0])
    assert apart.advance()


@pytest.mark.fault("M1")
def test_a15_an_output_that_overlaps_an_input_is_refused() -> None:
    memory = np.ones(17)
    x, out = memory[:16].reshape(4, 4), memory[1:].reshape(4, 4)
    scratch = _kernels.Scratch()
    refused(TypeError, lambda: _kernels.affine(x, np.ones((4, 4)), np.zeros(4), out, scratch))
    refused(TypeError, lambda: _kernels.weight_gradient(x, np.ones((4, 4)), out, scratch))
    refused(TypeError, lambda: _kernels.weight_gradient(np.ones((4, 4)), x, out, scratch))


@pytest.mark.parametrize("stored", ["uint8", "float32"])
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_a15_examples_that_lie_in_the_bytes_of_an_output_are_refused(where: str, stored: str) -> None:
    """In another dtype, through a memoryview."""
    out, size = normal((4, 4), "float64"), 16 * np.dtype(stored).itemsize
    start = {"first": 0, "middle": (out.nbytes - size) // 2, "last": out.nbytes - size}[where]
    x = np.frombuffer(out.data.cast("B")[start : start + size], stored).reshape(4, 4)
    assert np.shares_memory(x, out)
    before, scratch = out.tobytes(), _kernels.Scratch()
    refused(TypeError, lambda: _kernels.affine(x, np.ones((4, 4)), np.zeros(4), out, scratch))
    refused(TypeError, lambda: _kernels.weight_gradient(x, np.ones((4, 4)), out, scratch))
    assert out.tobytes() == before


def test_a15_one_array_for_two_inputs_is_accepted() -> None:
    x = normal((4, 4), "float64")
    assert_product(affine(x, x, x[0]), x, x, x[0])
    assert_product(weight_gradient(x, x), x.T, x)


SENTENCE = r"the (number|length|size) of .* is \d+, but .* is \d+; they must agree"


# There may be any number of these.
OF_ANY_LENGTH = [("steps", "rows"), ("steps", "losses"), ("column_sums", "dout")]


@pytest.mark.parametrize(("kernel", "name"), [case for case in EVERY if case not in OF_ANY_LENGTH])
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


def test_a1_transposed_arrays_kept_are_refused_and_nothing_written() -> None:
    given = arguments("steps")
    refused_and_unwritten(ValueError, "steps", given | {"vW": np.ones((3, 4))})


@pytest.mark.parametrize("label", [3, -1, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("kernel", ["loss", "steps"])
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
    message = refused(ValueError, lambda: _kernels.loss("softmax", none, none, none.copy(), none.copy()))
    assert message == "the mean loss of an empty batch is not defined"


def test_s3_a_batch_size_of_zero_is_refused() -> None:
    refused_and_unwritten(ValueError, "steps", arguments("steps"), batch_size=0)


def test_s2_a_batch_beyond_memory_that_must_be_taken_whole_is_a_memory_error() -> None:
    engine = _kernels.Engine("float64", 3, [("batch_norm", [3, 1], [0.9])], "squared")
    params, x, t = [np.ones(3) for _ in range(4)], np.full((4, 3), 7.0), np.zeros((4, 3))
    examples = ready(engine, x)
    refused(MemoryError, lambda: engine.steps(params, [], examples, t, np.arange(4), 2**62, SGD, True, np.zeros(1)))
    assert all((p == 1).all() for p in params)


KEPT = {"sgd": 0, "momentum": 1, "nesterov": 1, "adagrad": 1, "rmsprop": 1, "adam": 2}


@pytest.mark.parametrize("rule", KEPT)
@pytest.mark.parametrize("arrays", range(6))
def test_a_wrong_number_of_arrays_kept_is_refused_and_nothing_written(rule: str, arrays: int) -> None:
    engine = _kernels.Engine("float64", 4, [("affine", [3], [])], "softmax")
    params, losses = [np.ones((4, 3)), np.ones(3)], np.full(3, 7.0)
    shapes = [p.shape for p in params for _ in range(KEPT[rule])] + [(3,)] * 6
    kept = [np.full(shape, 7.0) for shape in shapes[:arrays]]
    examples, t, rows = ready(engine, normal((5, 4), "float64")), np.zeros(5, np.int64), np.arange(5)

    def call() -> object:
        return engine.steps(params, kept, examples, t, rows, 2, (rule, 0.1, 0.0, 0.5, 0.5, 0), True, losses)

    wanted = 2 * KEPT[rule]
    if arrays == wanted:
        assert call() == (3, False)
        return
    message = refused(ValueError, call)
    what = "the number of arrays of state is {}, but that of the optimizer is {}; they must agree"
    assert message == what.format(arrays, wanted)
    assert all((p == 1).all() for p in params)
    assert all((a == 7).all() for a in (*kept, losses))


@pytest.mark.parametrize("kept", ["W", "b", "both"])
def test_arrays_kept_that_are_one_array_are_refused(kept: str) -> None:
    engine = _kernels.Engine("float64", 3, [("affine", [3], [])], "softmax")
    params, t, rows = [np.ones((3, 3)), np.ones(3)], np.zeros(5, np.int64), np.arange(5)
    m, v, m_b, v_b = np.zeros((3, 3)), np.zeros((3, 3)), np.zeros(3), np.zeros(3)
    arrays = {"W": [m, m, m_b, v_b], "b": [m, v, m_b, m_b], "both": [m, v, m[0], v_b]}[kept]
    examples, rule = ready(engine, normal((5, 3), "float64")), ("adam", 0.1, 0.0, 0.9, 0.9, 0)
    refused(RuntimeError, lambda: engine.steps(params, arrays, examples, t, rows, 2, rule, True, np.zeros(3)))


def test_an_unknown_optimizer_is_refused() -> None:
    engine = _kernels.Engine("float64", 4, [("affine", [3], [])], "softmax")
    params, examples = [np.ones((4, 3)), np.ones(3)], ready(engine, np.ones((5, 4)))
    rest = (np.zeros(5, np.int64), np.arange(5), 2, ("lbfgs", 0.1, 0.0, 0.0, 0.0, 0), True, np.zeros(3))
    assert refused(ValueError, lambda: engine.steps(params, [], examples, *rest)) == 'no optimizer is called "lbfgs"'


@pytest.mark.parametrize("steps", [-1, 2**64])
def test_s3_a_number_of_steps_that_is_no_machine_word_is_refused(steps: int) -> None:
    engine = _kernels.Engine("float64", 4, [("affine", [3], [])], "softmax")
    params, examples = [np.ones((4, 3)), np.ones(3)], ready(engine, np.ones((5, 4)))
    rest = (np.zeros(5, np.int64), np.arange(5), 2, ("sgd", 0.1, 0.0, 0.0, 0.0, steps), True, np.zeros(3))
    refused(OverflowError, lambda: engine.steps(params, [], examples, *rest))


@pytest.mark.parametrize("share", [0.2, 1])
@pytest.mark.parametrize("row", [5, -1, 2**63 - 1, -(2**63)])
def test_a_row_number_out_of_range_of_examples_is_refused(row: int, share: float) -> None:
    case, x = Case(40, 9, 3, "relu", "float64"), normal((5, 40), "float64")
    x[rng(6).random(x.shape) > share] = 0
    examples, rest = ready(case.engine, x), (np.zeros(5, np.int64), np.array([0, row]), 2, SGD, True, np.zeros(1))
    message = refused(ValueError, lambda: case.engine.steps(case.params, [], examples, *rest))
    assert message == f"row {row} was asked for, but the data has 5 rows"


def test_an_unknown_kind_of_layer_is_refused() -> None:
    message = refused(ValueError, lambda: _kernels.Engine("float64", 4, [("conv", [3], [])], "softmax"))
    assert message == 'no layer is called "conv" and goes with sizes [3] and numbers []'


@pytest.mark.parametrize("dtype", ["int8", "float16", ">f8", ""])
def test_an_unknown_dtype_is_refused(dtype: str) -> None:
    message = refused(ValueError, lambda: _kernels.Engine(dtype, 4, [], "softmax"))
    assert message == f"dtype must be float32 or float64, got {dtype}"


@pytest.mark.parametrize("params", [0, 1, 3])
def test_a_wrong_number_of_parameters_is_refused(params: int) -> None:
    engine = _kernels.Engine("float64", 4, [("affine", [3], [])], "softmax")
    arrays = [np.ones((4, 3)), np.ones(3), np.ones(3)][:params]
    message = refused(ValueError, lambda: engine.scores(arrays, np.ones((5, 4)), 0, np.ones((5, 3))))
    assert (
        message
        == f"the number of parameters is {params}, but the number of those that the layers have is 2; they must agree"
    )


@pytest.mark.parametrize("width", [-1, 2**64])
def test_s1_a_width_that_is_no_machine_word_is_refused(width: int) -> None:
    refused(OverflowError, lambda: _kernels.Engine("float64", width, [], "softmax"))
    refused(OverflowError, lambda: _kernels.Engine("float64", 4, [("affine", [width], [])], "softmax"))


@pytest.mark.parametrize("width", [2**32, 2**61, 2**64 - 1])
def test_s1_layers_whose_size_overflows_are_refused(width: int) -> None:
    engine = _kernels.Engine(
        "float64", width, [("affine", [width], []), ("relu", [], []), ("affine", [3], [])], "softmax"
    )
    params = [np.ones((4, 3)), np.ones(3), np.ones((3, 3)), np.ones(3)]
    x, t, out, rows, losses = np.ones((5, 4)), np.zeros(5, np.int64), np.ones((5, 3)), np.arange(5), np.zeros(3)
    examples = ready(engine, x)
    refused(ValueError, lambda: engine.scores(params, x, 0, out))
    refused(ValueError, lambda: engine.scores(params, examples, 0, out))
    # The parameters do not fit: this is known before any memory is asked for.
    refused(ValueError, lambda: engine.steps(params, [], examples, t, rows, 2, SGD, True, losses))
    refused(ValueError, lambda: ready(engine, np.zeros((5, 4))))  # all zeros: to be gone through


@pytest.mark.fault("S2")
@pytest.mark.skipif(sys.platform == "win32", reason="limits memory with POSIX's setrlimit")
def test_s2_scratch_beyond_memory_is_a_memory_error_and_the_process_lives() -> None:
    """Of 2**20 rows a batch 512 at a time, 2**20 numbers a row: 4 GiB, more than are allowed."""
    code = """
import resource
import numpy as np
from chainrule import _kernels

resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))
x, t, rows, losses = np.zeros((1, 1)), np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1)
engine = _kernels.Engine("float64", 1, [("affine", [2**20], []), ("affine", [2], [])], "softmax")
examples, rule = engine.examples(x), ("sgd", 0.1, 0.0, 0.0, 0.0, 0)
assert examples.prepare()
params = [np.zeros((1, 2**20)), np.zeros(2**20), np.zeros((2**20, 2)), np.zeros(2)]
try:
    engine.steps(params, [], examples, t, rows, 2**20, rule, True, losses)
except MemoryError as error:
    print(error)
print(engine.steps(params, [], examples, t, rows, 1, rule, True, losses))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["no memory for 536870912 numbers of scratch space", "(1, False)"]


# --- threads ---


@pytest.mark.fault("T1")
@pytest.mark.parametrize("share", [0.2, 1])
def test_t1_many_threads_take_scores_from_one_engine(share: float) -> None:
    case = Case(64, 65, 9, "relu", "float64")
    x, expected = normal((256, 64), "float64"), untouched((256, 9), "float64")
    x[rng(6).random(x.shape) > share] = 0
    case.engine.scores(case.params, x, 0, expected)

    def scores(_: int) -> bytes:
        out = untouched((256, 9), "float64")
        case.engine.scores(case.params, x, 0, out)
        return out.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(scores, range(64))) == {expected.tobytes()}


def long_product() -> None:
    square, out = np.ones((300, 300)), np.empty((300, 300))
    _kernels.affine(square, square, np.ones(300), out, _kernels.Scratch())


def long_product_of_zeros() -> None:
    _kernels.affine(
        np.zeros((9000, 64), np.uint8), np.ones((64, 64)), np.ones(64), np.empty((9000, 64)), _kernels.Scratch()
    )


def long_weight_gradient() -> None:
    square, out = np.ones((300, 300), np.uint8), np.empty((300, 300))
    _kernels.weight_gradient(square, np.ones((300, 300)), out, _kernels.Scratch())


def long_steps() -> None:
    engine = _kernels.Engine("float64", 64, [("affine", [64], [])], "softmax")
    params, t, rows = [np.zeros((64, 64)), np.zeros(64)], np.zeros(1, np.int64), np.zeros(100_000, np.int64)
    engine.steps(params, [], ready(engine, np.ones((1, 64))), t, rows, 10, SGD, True, np.zeros(10_000))


def long_scores() -> None:
    engine = _kernels.Engine("float64", 64, [("affine", [64], [])], "softmax")
    engine.scores([np.zeros((64, 64)), np.zeros(64)], np.ones((20_000, 64)), 0, np.empty((20_000, 64)))


def long_reading() -> None:
    engine = _kernels.Engine("float64", 64, [("affine", [64], [])], "softmax")
    engine.examples(np.zeros((200_000, 64), np.uint8)).prepare()


LONG = [long_product, long_product_of_zeros, long_weight_gradient, long_steps, long_scores, long_reading]


@pytest.mark.parametrize("call", LONG)
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
