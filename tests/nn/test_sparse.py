"""Sparse matrices: the numbers of the dense ones, and never dense as a whole."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from chainrule import Affine, Dropout, IdentityWithLoss, Network, Relu, Rescaling, TwoLayerNet, fit
from chainrule.nn import sparse as module
from chainrule.nn.sparse import SparseRows

sparse = pytest.importorskip("scipy.sparse")

N, D = 90, 30
FORMS = ["csr_matrix", "csc_matrix", "coo_matrix", "lil_matrix", "csr_array", "csc_array", "coo_array"]


def data(dtype: Any = np.float64) -> tuple[Any, Any]:
    """Give a dense array, a tenth of it not zero, and classes."""
    rng = np.random.default_rng(0)
    x = np.where(rng.random((N, D)) < 0.1, rng.integers(1, 9, (N, D)), 0).astype(dtype)
    return x, (x[:, :15].sum(axis=1) > x[:, 15:].sum(axis=1)).astype(int)


def net(dtype: Any = np.float64) -> Network:
    return TwoLayerNet(D, 8, 2, "he", dtype=dtype, seed=0)


def run(network: Any, x: Any, t: Any, **options: Any) -> Any:
    return fit(network, x, t, **{"epochs": 3, "batch_size": 16, "seed": 0, **options})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int64, bool])
def test_a_sparse_matrix_is_trained_on_as_the_dense_one(form: str, dtype: Any) -> None:
    x, t = data(dtype)
    dense, other = net(), net()
    found = (
        run(dense, x, t, test=(x, t), validation=0.2),
        run(other, getattr(sparse, form)(x), t, test=(x, t), validation=0.2),
    )
    for name, array in dense.params.items():
        np.testing.assert_allclose(other.params[name], array, rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(found[1].losses, found[0].losses, rtol=1e-12)
    assert found[1].validation_accuracy == found[0].validation_accuracy


@pytest.mark.parametrize("form", FORMS)
def test_predictions_and_evaluation_are_those_of_the_dense_matrix(form: str) -> None:
    x, t = data()
    network, given = net(), getattr(sparse, form)(x)
    run(network, x, t)
    np.testing.assert_allclose(network.predict(given), network.predict(x), rtol=1e-13)
    np.testing.assert_allclose(network.predict_proba(given), network.predict_proba(x), rtol=1e-13)
    assert (network.predict_classes(given) == network.predict_classes(x)).all()
    assert network.accuracy(given, t) == network.accuracy(x, t)
    assert (network.evaluate(given, t).confusion == network.evaluate(x, t).confusion).all()  # type: ignore[union-attr]
    assert network.predict(given[:0] if "csr" in form else sparse.csr_matrix((0, D))).shape == (0, 2)


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adam", "learning_rate": 0.01},
        {"sample_weight": np.linspace(0, 1, N)},
        {"label_smoothing": 0.1},
        {"largest_norm": 0.1},
        {"replace": True},
        {"augment": lambda x, rng: x + rng.normal(size=x.shape)},
        {"batch_size": 7, "iterations": 20, "epochs": None},
    ],
    ids=lambda options: next(iter(options)),
)
def test_whatever_else_is_asked_for_is_the_same(options: dict[str, Any]) -> None:
    x, t = data()
    dense, other = net(), net()
    run(dense, x, t, **options)
    run(other, sparse.csr_array(x), t, **options)
    for name, array in dense.params.items():
        np.testing.assert_allclose(other.params[name], array, rtol=1e-9, atol=1e-13)


def test_blocks_of_any_length_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = data()
    whole = net()
    run(whole, sparse.csr_array(x), t)
    for rows in (1, 5, 16, 37):
        monkeypatch.setattr(module, "_BLOCK", rows * D * 8)
        assert SparseRows(sparse.csr_array(x), np.dtype(np.float64)).block == rows
        other = net()
        run(other, sparse.csr_array(x), t)
        np.testing.assert_allclose(other.predict(sparse.csr_array(x)), whole.predict(x), rtol=1e-9, atol=1e-12)


class Own(Network):
    """A network whose gradient is its own, so that its own methods train it."""

    def gradient(self, x: Any, t: Any, sample_weight: Any = None) -> dict[str, Any]:
        assert isinstance(x, np.ndarray)
        assert len(x) <= 16
        return super().gradient(x, t)

    def loss(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        assert isinstance(x, np.ndarray)
        return super().loss(x, t)


def test_a_network_of_ones_own_gets_dense_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    x, t = data()
    dense, other = Own(net().layers), Own(net().layers)
    first = run(dense, x, t)
    monkeypatch.setattr(module, "_BLOCK", 20 * D * 8)  # 90 rows are 4 blocks of 20 and one of 10
    second = run(other, sparse.csr_array(x), t)
    np.testing.assert_allclose(second.train_loss, first.train_loss, rtol=1e-12)
    assert second.train_accuracy == pytest.approx(first.train_accuracy)


def test_masks_of_dropout_and_a_run_that_goes_on_are_the_same(tmp_path: Any) -> None:
    x, t = data()

    def layers() -> Network:
        rng = np.random.default_rng(1)
        first, last = Affine(rng.normal(size=(D, 8)), np.zeros(8)), Affine(rng.normal(size=(8, 2)), np.zeros(2))
        return Network({"a": first, "r": Relu(), "d": Dropout(0.5), "b": last})

    dense, other, resumed = layers(), layers(), layers()
    run(dense, x, t, epochs=4)
    run(other, sparse.csr_array(x), t, epochs=2, checkpoint=tmp_path / "run")
    run(resumed, sparse.csr_array(x), t, epochs=4, resume=tmp_path / "run")
    np.testing.assert_allclose(resumed.params["W1"], dense.params["W1"], rtol=1e-9, atol=1e-13)


def test_bytes_are_pixels_before_a_rescaling_layer() -> None:
    x, t = data(np.uint8)
    dense, other = Network({"s": Rescaling(), **net().layers}), Network({"s": Rescaling(), **net().layers})
    run(dense, x, t)
    run(other, sparse.csr_array(x), t)
    np.testing.assert_allclose(other.params["W1"], dense.params["W1"], rtol=1e-10)


def test_numbers_are_learnt_from_a_sparse_matrix() -> None:
    x, _ = data()
    t = x @ np.linspace(-1, 1, D)
    network = Network({"Affine1": Affine(np.zeros((D, 1)), np.zeros(1))}, IdentityWithLoss())
    history = run(network, sparse.csc_matrix(x), t, epochs=300, learning_rate=0.02)
    assert history.train_r2[-1] > 0.99


@pytest.mark.fault("A20")
def test_neither_training_nor_prediction_makes_it_dense() -> None:
    rows, columns = 4000, 5000  # 80 MB in float32, if it were dense
    rng = np.random.default_rng(0)
    places = rng.integers(rows, size=20_000), rng.integers(columns, size=20_000)
    x = sparse.csr_array((np.ones(20_000, np.float32), places), (rows, columns))
    t = np.arange(rows) % 2
    network = TwoLayerNet(columns, 4, 2, dtype=np.float32, seed=0)
    tracemalloc.start()
    try:
        run(network, x, t, epochs=1, batch_size=100, validation=0.1)
        network.evaluate(x, t)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 * rows * columns  # blocks of 32 MB, of which two may be there at once


# --- what cannot be meant ---


@pytest.mark.fault("A20")
@pytest.mark.parametrize(
    ("call", "error", "what"),
    [
        (lambda x, t: net().loss(x, t), TypeError, "x is a sparse matrix; fit, predict and evaluate take it"),
        (lambda x, t: net().gradient(x, t), TypeError, r"x\[:100\].toarray\(\)"),
        (lambda x, t: net().predict(x[:, :7]), ValueError, "x has 7 features, W1 expects 30"),
        (lambda x, t: run(net(), x[:, :7], t), ValueError, "x has 7 features, W1 expects 30"),
        (lambda x, t: run(net(), x[:7], t), ValueError, "one row per example"),
        (lambda x, t: run(net(), x.astype(complex), t), TypeError, "x has dtype complex128"),
        (lambda x, t: run(net(), x, sparse.csr_array(t[:, None])), TypeError, "t is a sparse matrix"),
        (lambda x, t: run(net(), sparse.coo_array(np.ones(4)), t), ValueError, r"must have shape \(N, D\)"),
        (lambda x, t: run(net(), x, t, test=(x[:, :7], t)), ValueError, "test set: x has 7 features"),
    ],
)
def test_what_cannot_be_meant_is_named(call: Callable[[Any, Any], Any], error: type[Exception], what: str) -> None:
    x, t = data()
    with pytest.raises(error, match=what):
        call(sparse.csr_array(x), t)


def test_a_nan_among_the_numbers_is_named() -> None:
    x, t = data()
    x[41, 3] = np.nan
    with pytest.raises(FloatingPointError, match=r"x\[41, 3\] is nan in float64: leave out such examples"):
        run(net(), sparse.csr_array(x), t)


# --- scikit-learn's estimators ---


@pytest.mark.parametrize("form", FORMS)
def test_the_estimators_take_it(form: str) -> None:
    estimators = pytest.importorskip("chainrule.sklearn")
    x, t = data()
    given, names = getattr(sparse, form)(x), np.array(["less", "more"])[t]
    options = {"max_iter": 5, "tol": 0.0, "random_state": 0, "n_iter_no_change": np.inf}
    for make, y in ((estimators.MLPClassifier, names), (estimators.MLPRegressor, t.astype(float))):
        for early in (False, True):
            dense, other = (make(hidden_layer_sizes=(8,), early_stopping=early, **options) for _ in range(2))
            with pytest.warns(UserWarning, match="still making progress"):
                dense.fit(x, y), other.fit(given, y)
            np.testing.assert_allclose(other.coefs_[0], dense.coefs_[0], rtol=1e-8, atol=1e-12)
            assert (other.predict(given) == other.predict(x)).all()
    convolutional = estimators.ConvClassifier(2, kernel_size=3, image_shape=(5, 6), **options)
    with pytest.warns(UserWarning, match="still making progress"):
        convolutional.fit(given, names)
    np.testing.assert_allclose(convolutional.predict_proba(given), convolutional.predict_proba(x), rtol=1e-12)
