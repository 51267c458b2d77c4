"""Causes that are right: what a mean was taken over, a small number in a logarithm, what was kept, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients
from seed_reference import TwoLayerNet


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def softmax(scores: Any, axis: int) -> Any:
    e = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


class Dense:
    """W @ x + b, examples in columns."""

    def __init__(self, share: float) -> None:
        self.W, self.b, self.share = rng().standard_normal((3, 4)), np.zeros((3, 1)), share

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.W @ x + self.b

    def backward(self, dout: Any) -> Any:
        self.dW = dout @ self.x.T * self.share
        self.db = dout.sum(axis=1, keepdims=True)
        return self.W.T @ dout


def test_a_mean_over_examples_in_columns_is_one_over_n() -> None:
    report = check_gradients(Dense(1 / 5), rng(1).standard_normal((4, 5)))
    assert report.cause == "factor 1/N (N = 5, a mean for a sum)"


class Add:
    """x + b, whose gradient of b is as large as x."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.b = rng().standard_normal(shape)

    def forward(self, x: Any) -> Any:
        return x + self.b

    def backward(self, dout: Any) -> Any:
        self.db = dout.copy()
        return dout.copy()


@pytest.mark.parametrize(
    ("b", "x", "over"),
    [
        ((4,), (3, 4), "the batch"),
        ((1, 4), (3, 4), "the batch"),
        ((3, 1), (3, 4), "what was broadcast"),
        ((1, 1), (3, 4), "what was broadcast"),
        ((1, 2, 1, 1), (5, 2, 3, 3), "what was broadcast"),
    ],
)
def test_a_sum_that_is_missing_is_named(b: tuple[int, ...], x: tuple[int, ...], over: str) -> None:
    assert check_gradients(Add(b), rng(1).standard_normal(x)).cause == f"no sum over {over}"


def test_a_gradient_that_no_sum_mends_has_the_wrong_shape() -> None:
    class Twice(Add):
        def backward(self, dout: Any) -> Any:
            self.db = 2 * dout
            return dout.copy()

    assert check_gradients(Twice((1, 4)), rng(1).standard_normal((3, 4))).cause == "wrong shape"


@pytest.mark.parametrize(
    ("shape", "factor", "cause"),
    [
        ((5, 4), 0.3, "one factor for all entries, 0.3"),
        ((2,), 0.3, "one factor for all entries, 0.3"),
        ((5, 4), [[0.3, 1, -4, 1]], "one factor for each column, -4 to 1"),
        ((2, 5), [[0.3], [1]], "one factor for each row, 0.3 to 1"),
        ((5, 4), 2, "factor 2"),
        ((1,), 0.3, None),  # any factor explains one entry
        ((2, 5), [[0.3, 1, -4, 1, 7]], None),  # and two a column may do so by chance
        ((3, 3), [[0.3, 1, 1], [1, 1, 1], [1, 1, 0.3]], None),
    ],
)
def test_a_factor_is_named_if_enough_entries_tell(shape: tuple[int, ...], factor: Any, cause: str | None) -> None:
    x = rng().uniform(0.5, 1.5, shape)
    report = check_gradients((lambda x: (x**3).sum(), lambda x: np.array(factor) * 3 * x**2), x)
    assert (report.verdict, report.cause) == ("wrong", cause)


@pytest.mark.parametrize(("columns", "shape"), [(True, (3, 5)), (False, (5, 3))])
def test_labels_tell_which_axis_the_examples_lie_along(columns: bool, shape: tuple[int, int]) -> None:
    axis = 0 if columns else 1
    t = np.eye(3)[[0, 2, 1, 1, 0]]

    def loss(scores: Any, t: Any) -> Any:
        return -np.sum(t * np.log(softmax(scores, axis))) / 5

    def grad(scores: Any, t: Any) -> Any:
        return (softmax(scores, axis) - t) / 25

    report = check_gradients((loss, grad), rng().standard_normal(shape), t.T if columns else t)
    assert report.verdict == "wrong"
    assert report.cause == "factor 1/N (N = 5, a mean for a sum)"


@pytest.mark.parametrize(
    ("shape", "share", "cause"),
    [
        ((5, 3), 1 / 15, "factor 1/(N·C) (N·C = 15, a mean over all entries for a sum)"),
        ((5, 7, 3), 1 / 7, "factor 1/T (T = 7, a mean over time for a sum)"),
        ((5, 7, 3), 1 / 35, "factor 1/(N·T) (N·T = 35, a mean over examples and time for a sum)"),
        ((5, 7, 3), 1 / 3, "factor 1/C (C = 3)"),
    ],
)
def test_what_a_mean_was_taken_over_is_named(shape: tuple[int, ...], share: float, cause: str) -> None:
    report = check_gradients((lambda x: (x**2).sum(), lambda x: share * 2 * x), rng().standard_normal(shape))
    assert report.cause == cause


def test_the_tutorials_network_differs_by_the_small_number_in_its_logarithm() -> None:
    np.random.seed(0)
    net = TwoLayerNet(6, 5, 4)
    report = check_gradients(net, rng().standard_normal((7, 6)), np.eye(4)[rng(1).integers(0, 4, 7)])
    assert (report.verdict, report.layer) == ("wrong", "last_layer")
    assert report.cause == "1e-07 in the logarithm of the loss, which the gradient leaves out"


@pytest.mark.parametrize("size", [1e-12, 1e-5])
def test_the_small_number_is_told_for_class_numbers_too(size: float) -> None:
    t = np.array([0, 2, 1, 1, 0])

    def loss(scores: Any, t: Any) -> Any:
        return -np.log(softmax(scores, 1)[np.arange(5), t] + size).mean()

    def grad(scores: Any, t: Any) -> Any:
        return (softmax(scores, 1) - np.eye(3)[t]) / 5

    report = check_gradients((loss, grad), rng().standard_normal((5, 3)), t)
    if size < 1e-10:
        assert report.verdict == "right"
    else:
        assert report.cause == f"{size:g} in the logarithm of the loss, which the gradient leaves out"


class Keeps:
    """A squared error that keeps something of its first call."""

    def __init__(self, what: str) -> None:
        self.what, self.kept = what, None

    def forward(self, x: Any, t: Any) -> Any:
        now = {"t": t.copy(), "count": len(x), "nothing": None}[self.what]
        self.kept = now if self.kept is None else self.kept
        self.x, self.t = x, t
        return np.array(0.5 * ((x - t) ** 2).sum() / len(x))

    def backward(self, dout: Any) -> Any:
        t = self.kept if self.what == "t" else self.t
        return dout * (self.x - t) / (self.kept if self.what == "count" else len(self.x))


@pytest.mark.parametrize("what", ["t", "count"])
def test_what_was_kept_is_named(what: str) -> None:
    report = check_gradients(Keeps(what), rng().standard_normal((4, 3)), rng(1).standard_normal((4, 3)))
    assert report.verdict == "wrong"
    assert report.cause == "stale batch: kept of an earlier call"


def test_what_keeps_nothing_is_right() -> None:
    x, t = rng().standard_normal((4, 3)), rng(1).standard_normal((4, 3))
    assert check_gradients(Keeps("nothing"), x, t).verdict == "right"


def test_a_cache_that_shrinks_does_not_accumulate() -> None:
    class Fades:
        def __init__(self) -> None:
            self.W = rng().standard_normal((3, 2))

        def forward(self, x: Any) -> Any:
            self.x = x.copy()
            return x @ self.W

        def backward(self, dout: Any) -> Any:
            self.dW = self.x.T @ dout
            self.x *= 0.5
            return dout @ self.W.T

    report = check_gradients(Fades(), rng(1).standard_normal((5, 3)))
    assert report.verdict == "right"
    assert [hazard.cause for hazard in report.hazards] == ["second backward differs"]


def test_a_formula_that_is_wrong_elsewhere_is_no_stale_batch() -> None:
    """Right where it is asked, and wrong a tenth away: nothing was kept."""
    x = np.array([0.5, 0.9, -0.3])

    def grad(x: Any) -> Any:
        near = (np.abs(x - [0.5, 0.9, -0.3]) < 0.005).all()
        return 3 * x**2 if near else 2 * x

    report = check_gradients((lambda x: (x**3).sum(), grad), x)
    assert report.verdict == "wrong"
    assert "stale" not in (report.cause or "")
    assert "wrong at others" in str(report)
