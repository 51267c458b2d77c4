"""sklearn/images.py: scikit-learn's checks of an estimator, images in every shape, and NumPy as the oracle."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule
from chainrule.sklearn import ConvClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RAW, Y = load_digits(return_X_y=True)
X, OTHERS = (RAW / 16)[:600:2], (RAW / 16)[1:600:2]
Y, Y_OTHERS = Y[:600:2], Y[1:600:2]
QUICK: dict[str, Any] = {"filters": 4, "kernel_size": 3, "hidden_layer_sizes": 16, "random_state": 0, "batch_size": 30}


def trained(**options: Any) -> ConvClassifier:
    return ConvClassifier(**{**QUICK, "max_iter": 3, **options}).fit(X, Y)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        ConvClassifier(),
        ConvClassifier((4, 3), 3, (), batch_norm=True, learning_rate_init=0.01),
        ConvClassifier((), hidden_layer_sizes=(30, 20), learning_rate_init=0.01),
    ]
)
def test_every_check_of_an_estimator_that_applies_passes(estimator: Any, check: Any) -> None:
    if estimator.batch_norm and "sample_weight_equivalence" in str(check):
        pytest.skip("a row of weight 2 is one row in the mean and the variance of a batch")
    check(estimator)


def test_it_learns_digits_from_rows() -> None:
    model = trained(max_iter=30, learning_rate_init=0.01, random_state=1)
    assert model.image_shape_ == (1, 8, 8)
    assert model.score(OTHERS, Y_OTHERS) > 0.9


def test_it_finds_a_sign_wherever_it_is() -> None:
    rng = np.random.default_rng(0)
    cross, ring = np.array([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]]), np.array([[0, 1.0, 0], [1, 0, 1], [0, 1, 0]])

    def drawn(n: int) -> tuple[Any, Any]:
        images, kinds = 0.1 * rng.standard_normal((n, 12, 12)), rng.integers(2, size=n)
        for image, kind in zip(images, kinds, strict=True):
            i, j = rng.integers(10, size=2)
            image[i : i + 3, j : j + 3] += ring if kind else cross
        return images, kinds

    x, y = drawn(400)
    model = ConvClassifier((8, 8), 3, 32, max_iter=40, learning_rate_init=0.01, random_state=0).fit(x, y)
    assert model.score(*drawn(400)) > 0.95


def test_the_layers_are_those_that_were_asked_for() -> None:
    model = trained(filters=(4, 5), hidden_layer_sizes=(7, 6), dropout=0.25, batch_norm=True)
    block = ["Convolution", "BatchNormalization", "Relu", "Pooling"]
    hidden = ["Affine", "BatchNormalization", "Relu", "Dropout"]
    layers = list(model.network_.layers.values())
    assert [type(layer).__name__ for layer in layers] == ["Reshape", *block * 2, *hidden * 2, "Affine"]
    assert [a.shape for name, a in model.network_.params.items() if name.startswith("W")] == [
        (4, 1, 3, 3),
        (5, 4, 3, 3),
        (5 * 2 * 2, 7),
        (7, 6),
        (6, 10),
    ]
    assert [layer.dropout_ratio for layer in layers if isinstance(layer, chainrule.Dropout)] == [0.25, 0.25]


def test_the_probabilities_are_a_forward_pass_by_hand() -> None:
    model = trained()
    p = {name: np.asarray(array) for name, array in model.network_.params.items()}
    images = np.pad(X[:20].reshape(-1, 1, 8, 8), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(2, 3))
    h = np.maximum(np.einsum("nchwij,fcij->nfhw", windows, p["W1"]) + p["b1"][:, None, None], 0)
    h = h.reshape(20, 4, 4, 2, 4, 2).max(axis=(3, 5)).reshape(20, -1)
    scores = np.maximum(h @ p["W2"] + p["b2"], 0) @ p["W3"] + p["b3"]
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(model.predict_proba(X[:20]), e / e.sum(axis=1, keepdims=True), rtol=1e-10)


def test_its_gradient_is_right() -> None:
    model = trained(batch_norm=True, random_state=2)
    assert chainrule.check_gradients(model.network_, X[:4], Y[:4])


# --- shapes ---


@pytest.mark.parametrize("shape", [(300, 8, 8), (300, 1, 8, 8)])
def test_images_are_what_their_rows_are(shape: tuple[int, ...]) -> None:
    rows, images = trained(), ConvClassifier(**QUICK, max_iter=3).fit(X.reshape(shape), Y)
    assert images.predict_proba(X.reshape(shape)).tobytes() == rows.predict_proba(X).tobytes()
    assert images.predict_proba(X).tobytes() == rows.predict_proba(X.reshape(shape)).tobytes()
    assert images.score(X.reshape(shape), Y) == rows.score(X, Y)


def test_lists_of_images_and_colours_are_taken() -> None:
    colours = np.stack([X, 1 - X], axis=1).reshape(-1, 2, 8, 8)
    model = ConvClassifier(**QUICK, max_iter=2).fit(colours.tolist(), Y)
    assert model.image_shape_ == (2, 8, 8)
    assert model.n_features_in_ == 128
    assert model.predict_proba(colours.reshape(-1, 128)).tobytes() == model.predict_proba(colours).tobytes()


@pytest.mark.parametrize(
    ("features", "given", "shape"),
    [(64, None, (1, 8, 8)), (60, None, (1, 1, 60)), (64, (4, 4, 4), (4, 4, 4)), (64, (2, 32), (1, 2, 32))],
)
def test_a_row_is_taken_for_an_image(features: int, given: Any, shape: tuple[int, ...]) -> None:
    model = ConvClassifier(**QUICK, image_shape=given, max_iter=1).fit(X[:, :features], Y)
    assert model.image_shape_ == shape


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (3, 5), (7, 1)])
def test_images_may_be_smaller_than_any_window(shape: tuple[int, int]) -> None:
    x = X[:, : shape[0] * shape[1]].reshape(-1, *shape)
    model = ConvClassifier((3, 3, 3), 5, 4, max_iter=1, random_state=0).fit(x, Y)
    assert np.isfinite(model.predict_proba(x)).all()


@pytest.mark.parametrize(
    ("options", "x", "error", "why"),
    [
        ({"image_shape": (1, 8, 7)}, X, ValueError, r"image_shape=\(1, 8, 7\) has 56 numbers, a row of X has 64"),
        ({"image_shape": (1, 8, 7)}, X.reshape(-1, 8, 8), ValueError, r"must have images of shape \(1, 8, 7\)"),
        ({"image_shape": 64}, X, TypeError, "image_shape must be"),
        ({"image_shape": (8, 8.0)}, X, TypeError, "a size of image_shape"),
        ({"filters": (3, 0)}, X, ValueError, "filters"),
        ({"filters": iter([3])}, X, TypeError, "filters must be a whole number or a sequence"),
        ({"kernel_size": 0}, X, ValueError, "kernel_size"),
        ({"hidden_layer_sizes": 2.5}, X, TypeError, "hidden_layer_sizes"),
        ({"dropout": 1}, X, ValueError, "dropout must lie in 0 <= dropout < 1"),
        ({"batch_norm": "yes"}, X, TypeError, "batch_norm"),
        ({"alpha": -1}, X, ValueError, "alpha"),
        ({"learning_rate_init": 0}, X, ValueError, "learning_rate_init"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_cannot_be_meant_is_named_and_nothing_changes(options: Any, x: Any, error: Any, why: str) -> None:
    model = trained().set_params(**options)
    before = dict(vars(model))
    with pytest.raises(error, match=why):
        model.fit(x, Y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)


def test_images_of_another_shape_are_refused_after_the_training() -> None:
    with pytest.raises(ValueError, match=r"X must have images of shape \(1, 8, 8\), got X.shape=\(300, 4, 16\)"):
        trained().predict(X.reshape(-1, 4, 16))
    with pytest.raises(NotFittedError):
        ConvClassifier().predict(X.reshape(-1, 8, 8))


# --- randomness, stopping, going on ---


@pytest.mark.parametrize("options", [{}, {"dropout": 0.5}, {"batch_norm": True}], ids=str)
def test_the_same_random_state_gives_the_same_bits(options: Any) -> None:
    first, again, other = trained(**options), trained(**options), trained(**options, random_state=1)
    assert first.predict_proba(X).tobytes() == again.predict_proba(X).tobytes()
    assert first.predict_proba(X).tobytes() != other.predict_proba(X).tobytes()


def test_early_stopping_takes_weights_and_running_statistics_of_the_best_epoch() -> None:
    model = trained(early_stopping=True, batch_norm=True, max_iter=60, n_iter_no_change=3, learning_rate_init=0.1)
    best = model.validation_scores_.index(model.best_validation_score_)
    assert model.n_iter_ == len(model.validation_scores_)
    assert best + 1 < model.n_iter_
    shorter = trained(early_stopping=True, batch_norm=True, max_iter=best + 1, learning_rate_init=0.1)
    assert shorter.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()


def test_a_warm_start_goes_on_and_refuses_another_architecture() -> None:
    model = trained(warm_start=True)
    assert len(model.fit(X, Y).loss_curve_) == 6
    with pytest.raises(
        ValueError, match=r"filters, kernel_size, .* was changed after the network was made; train a clone"
    ):
        model.set_params(kernel_size=5).fit(X, Y)


def test_epochs_one_by_one_with_images() -> None:
    model = ConvClassifier(**QUICK)
    for _ in range(3):
        model.partial_fit(X.reshape(-1, 8, 8), Y, classes=range(10))
    assert len(model.loss_curve_) == 3
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_float32_stays_float32_and_frames_are_rows() -> None:
    model = trained().fit(pd.DataFrame(X.astype(np.float32)).rename(columns="p{}".format), Y)
    assert {array.dtype for array in model.network_.params.values()} == {np.dtype(np.float32)}
    assert model.feature_names_in_[:2].tolist() == ["p0", "p1"]


@pytest.mark.parametrize("again", [lambda model: pickle.loads(pickle.dumps(model)), copy.deepcopy])
def test_a_copy_says_the_same_and_goes_on_alike(again: Any) -> None:
    model = trained(dropout=0.5, batch_norm=True)
    other = again(model)
    assert other.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    assert other.partial_fit(X, Y).predict_proba(X).tobytes() == model.partial_fit(X, Y).predict_proba(X).tobytes()


def test_it_is_searched_and_cloned() -> None:
    model = ConvClassifier(**QUICK, max_iter=8, learning_rate_init=0.02)
    search = GridSearchCV(model, {"filters": [(), (8,)], "dropout": [0.0, 0.2]}, cv=2).fit(X, Y)
    assert search.best_score_ > 0.7
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()
    assert cross_val_score(model, X.reshape(-1, 8, 8), Y, cv=2).tolist() == cross_val_score(model, X, Y, cv=2).tolist()
