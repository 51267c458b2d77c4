"""sklearn: what scikit-learn's own classes do, step by step: batches, going on, weights set by hand, several labels."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import chainrule
from chainrule import sklearn as ours

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
weighted = pytest.mark.skipif(
    "sample_weight" not in inspect.signature(MLPClassifier.fit).parameters, reason="scikit-learn before 1.7"
)

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
RAW, PROGRESSION = load_diabetes(return_X_y=True)
X_LABELS, LABELS = make_multilabel_classification(n_samples=60, n_features=6, n_classes=4, random_state=0)
X_LABELS = StandardScaler().fit_transform(X_LABELS)
#: What there is to learn: classes, two classes, labels, numbers.
TASKS: dict[str, tuple[str, Any, Any]] = {
    "three classes": ("MLPClassifier", X, np.array(["a", "b", "c"])[Y]),
    "two classes": ("MLPClassifier", X[50:], np.where(Y[50:] == 2, "yes", "no")),
    "labels": ("MLPClassifier", X_LABELS, LABELS),
    "a number": ("MLPRegressor", StandardScaler().fit_transform(RAW)[:400], PROGRESSION[:400] / 50),
}
THEIRS: dict[str, Any] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
each_task = pytest.mark.parametrize("task", TASKS)


def both(task: str, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Give our estimator and scikit-learn's, and the data of a task."""
    name, x, y = TASKS[task]
    given = {"hidden_layer_sizes": (6,), "random_state": 3, "epsilon": 1e-7, "learning_rate_init": 0.01, **options}
    return getattr(ours, name)(**given), THEIRS[name](**given), x, y


def expect_same_weights(mine: Any, theirs: Any) -> None:
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(mine, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)  # rounding, carried on over the steps


# --- the same batches ---


@each_task
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_with_the_same_random_state_the_batches_are_the_same(task: str, shuffle: bool, solver: str) -> None:
    mine, theirs, x, y = both(task, batch_size=10, max_iter=8, shuffle=shuffle, alpha=0.1, solver=solver)
    expect_same_weights(mine.fit(x, y), theirs.fit(x, y))


@each_task
def test_without_a_penalty_a_smaller_last_batch_makes_no_difference(task: str) -> None:
    mine, theirs, x, y = both(task, batch_size=9, max_iter=8, alpha=0)
    mine.fit(x, y), theirs.fit(x, y)
    expect_same_weights(mine, theirs)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-8)


@each_task
def test_epochs_one_by_one_have_the_same_batches_too(task: str) -> None:
    mine, theirs, x, y = both(task, batch_size=10)
    classes = {} if task == "a number" else {"classes": range(4) if y.ndim == 2 else np.unique(y)}
    for _ in range(5):
        mine.partial_fit(x, y, **classes), theirs.partial_fit(x, y, **classes)
    expect_same_weights(mine, theirs)
    assert mine.t_ == theirs.t_ == 5 * len(x)


@each_task
@pytest.mark.parametrize("epsilon", [1e-8, 1e-2])
def test_epsilon_is_scikit_learns(task: str, epsilon: float) -> None:
    mine, theirs, x, y = both(task, epsilon=epsilon, batch_size=10, max_iter=10)
    expect_same_weights(mine.fit(x, y), theirs.fit(x, y))
    expect_same_weights(mine.partial_fit(x, y), theirs.partial_fit(x, y))


@each_task
def test_early_stopping_holds_the_same_rows_out_and_ends_alike(task: str) -> None:
    mine, theirs, x, y = both(
        task, early_stopping=True, validation_fraction=0.2, batch_size=8, max_iter=60, n_iter_no_change=4, alpha=0
    )
    if y.dtype.kind == "U":  # older versions of scikit-learn cannot hold names out
        y = np.unique(y, return_inverse=True)[1]
    mine.fit(x, y), theirs.fit(x, y)
    np.testing.assert_allclose(mine.validation_scores_, theirs.validation_scores_, rtol=1e-6)
    assert mine.n_iter_ == theirs.n_iter_ < 60
    expect_same_weights(mine, theirs)


# --- two classes, several labels ---


def test_two_classes_have_one_output() -> None:
    mine, theirs, x, y = both("two classes", batch_size=50, max_iter=20)
    mine.fit(x, y), theirs.fit(x, y)
    assert (mine.n_outputs_, mine.out_activation_) == (theirs.n_outputs_, theirs.out_activation_) == (1, "logistic")
    np.testing.assert_allclose(mine.predict_proba(x), theirs.predict_proba(x), rtol=1e-7)
    np.testing.assert_allclose(mine.predict_log_proba(x), theirs.predict_log_proba(x), rtol=1e-6)
    assert mine.predict(x).tolist() == theirs.predict(x).tolist()
    assert np.isfinite(mine.predict_log_proba(1e6 * x)).all()
    assert chainrule.check_gradients(mine.network_, x[:5], (y[:5] == "yes").astype(int))


def test_one_class_is_certain() -> None:
    model = ours.MLPClassifier(4, max_iter=2).fit(X, np.full(len(X), "only"))
    assert model.predict_proba(X).tolist() == [[1.0]] * len(X)
    assert set(model.predict(X)) == {"only"}


def test_each_of_several_labels_has_a_probability_of_its_own() -> None:
    mine, theirs, x, y = both("labels", batch_size=20, max_iter=40)
    mine.fit(x, y), theirs.fit(x, y)
    p = mine.predict_proba(x)
    np.testing.assert_allclose(p, theirs.predict_proba(x), rtol=1e-6)
    assert mine.predict(x).tolist() == (p > 0.5).tolist() == theirs.predict(x).tolist()
    assert mine.score(x, y) == np.mean((mine.predict(x) == y).all(axis=1))
    assert mine.classes_.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(mine.predict_log_proba(x), np.log(p))
    far = mine.predict_log_proba(1e6 * x)
    assert np.isfinite(far).all()
    assert far.min() < -1000  # where the probability is 0


@weighted
def test_labels_are_weighted_row_by_row() -> None:
    mine, theirs, x, y = both("labels", batch_size=len(X_LABELS), max_iter=20)
    weights = np.random.default_rng(0).uniform(0.1, 3, len(x))
    expect_same_weights(mine.fit(x, y, weights), theirs.fit(x, y, weights))


def test_labels_may_be_sparse_and_of_any_dtype() -> None:
    mine, _, x, y = both("labels", max_iter=5)
    first = mine.fit(x, y).coefs_[0].tobytes()
    for other in (csr_matrix(y), y.astype(bool), y.astype(float), y.tolist()):
        assert mine.fit(x, other).coefs_[0].tobytes() == first


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (2 * LABELS, "or 0 or 1 for each label"),
        (LABELS[:, :3], r"as in the first call, with the classes \[0 1 2 3\], got shape \(60, 3\)"),
        (LABELS[:, 0], r"as in the first call, with the classes \[0 1 2 3\], got shape \(60,\)"),
    ],
)
def test_other_labels_than_before_are_refused(y: Any, why: str) -> None:
    model = ours.MLPClassifier(4, max_iter=2, random_state=0).fit(X_LABELS, LABELS)
    before = model.predict_proba(X_LABELS)
    with pytest.raises(ValueError, match=why):
        model.partial_fit(X_LABELS, y)
    with pytest.raises(ValueError, match="one for each column"):
        ours.MLPClassifier(4).partial_fit(X_LABELS, LABELS, classes=range(3))
    assert model.predict_proba(X_LABELS).tobytes() == before.tobytes()


def test_images_may_have_several_labels_too() -> None:
    rng = np.random.default_rng(0)
    x = rng.random((300, 6, 6))
    y = np.stack([x[:, :3].mean(axis=(1, 2)) > 0.5, x[:, :, 3:].mean(axis=(1, 2)) > 0.5], axis=1)
    model = ours.ConvClassifier((8,), 3, (32,), batch_size=30, learning_rate_init=0.01, max_iter=60, random_state=0)
    assert model.fit(x, y).predict_proba(x).shape == (300, 2)
    assert model.score(x, y) > 0.9


# --- going on ---


@each_task
def test_what_counts_as_progress_goes_on_with_a_warm_start(task: str) -> None:
    mine, theirs, x, y = both(task, warm_start=True, max_iter=12, alpha=0, tol=0.02, n_iter_no_change=3, batch_size=20)
    for _ in range(4):
        mine.fit(x, y), theirs.fit(x, y)
        assert mine.n_iter_ == theirs.n_iter_
    expect_same_weights(mine, theirs)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    assert mine.best_loss_ == pytest.approx(theirs.best_loss_)


def test_a_warm_start_counts_the_rows_on() -> None:
    model = ours.MLPClassifier(4, solver="sgd", learning_rate="invscaling", max_iter=1, power_t=0.25, warm_start=True)
    for seen in (4, 8):
        model.fit(X[48:52], Y[48:52])
        assert model.t_ == seen
        assert model._rule.lr == pytest.approx(0.001 / (seen + 1) ** 0.25)
    assert model._rule.lr == pytest.approx(5.77e-4, rel=1e-3)


def test_a_warm_start_needs_all_the_classes_there_were() -> None:
    model = ours.MLPClassifier(4, max_iter=2, warm_start=True, random_state=0).fit(X, Y)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match=r"Previously got \[0 1 2\], `y` has \[0 1\]"):
        model.fit(X[:100], Y[:100])
    with pytest.raises(ValueError, match=r"among the classes|`y` has \[0 1 3\]"):
        model.fit(X, np.where(Y == 2, 3, Y))
    assert model.predict_proba(X).tobytes() == before.tobytes()
    model.partial_fit(X[:100], Y[:100])  # an epoch of some of them is no refit
    assert model.set_params(warm_start=False).fit(X[:100], Y[:100]).classes_.tolist() == [0, 1]


def test_a_class_of_one_row_is_named_as_it_is_given() -> None:
    y = np.array(["often"] * 149 + ["seldom"])
    with pytest.raises(ValueError, match="of 'seldom' there are not two"):
        ours.MLPClassifier(early_stopping=True).fit(X, y)
    three = np.where(np.arange(150) == 0, "alone", np.where(Y == 2, "b", "a"))  # nothing is asked of three classes
    assert len(ours.MLPClassifier(early_stopping=True, max_iter=2, random_state=0).fit(X, three).classes_) == 3


def test_two_rows_at_least_are_held_out() -> None:
    with pytest.raises(ValueError, match=r"The validation set is too small: .*0\.1 of 9 rows holds out 1"):
        ours.MLPClassifier(early_stopping=True).fit(X[::17], Y[::17])


def test_a_training_that_diverges_is_stopped_and_its_best_weights_are_kept() -> None:
    options: dict[str, Any] = {"activation": "identity", "solver": "sgd", "learning_rate_init": 1, "max_iter": 100}
    model = ours.MLPRegressor(early_stopping=True, random_state=0, **options).fit(X, Y)
    assert np.isnan(model.validation_scores_[-1])
    assert model.n_iter_ < 100
    assert model.best_validation_score_ == np.nanmax(model.validation_scores_)
    assert all(np.isfinite(array).all() for array in (*model.coefs_, *model.intercepts_))
    for error in (ValueError, FloatingPointError):  # the first is scikit-learn's
        with pytest.raises(error, match="Solver produced non-finite parameter weights"):
            ours.MLPRegressor(random_state=0, **options).fit(X, 1e5 * Y)


# --- weights set by hand ---


def test_weights_are_set_as_a_list_and_one_by_one() -> None:
    model, other = (ours.MLPClassifier((5, 4), max_iter=3, random_state=seed).fit(X, Y) for seed in (0, 1))
    model.coefs_, model.intercepts_ = other.coefs_, other.intercepts_
    assert model.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()
    model.coefs_[1] = np.zeros((5, 4))
    assert not model.network_.params["W2"].any()
    assert other.coefs_[1].any()  # numbers were copied


@pytest.mark.parametrize("arrays", [[np.ones((4, 5))], [np.ones((4, 5)), np.ones((3, 5))], [np.ones((4, 5)), "a"]])
def test_weights_that_do_not_fit_are_refused(arrays: Any) -> None:
    model = ours.MLPClassifier(5, max_iter=3, random_state=0).fit(X, Y)
    before = model.predict_proba(X)
    with pytest.raises((ValueError, TypeError), match="coefs_"):
        model.coefs_ = arrays
    with pytest.raises(ValueError, match="shape"):
        model.coefs_[0] = np.ones(4)
    assert model.predict_proba(X).tobytes() == before.tobytes()


@pytest.mark.parametrize("begun", [True, False])
def test_weights_set_before_any_fit_are_those_to_begin_with_for_a_warm_start(begun: bool) -> None:
    made = ours.MLPClassifier(5, max_iter=3, random_state=0).fit(X, Y)
    model = ours.MLPClassifier(5, max_iter=1, learning_rate_init=1e-12, warm_start=begun, random_state=1)
    with pytest.raises(AttributeError, match="no coefs_ before any fit"):
        _ = model.coefs_
    model.coefs_, model.intercepts_ = made.coefs_, made.intercepts_
    model.fit(X, Y)
    assert np.allclose(model.predict_proba(X), made.predict_proba(X), rtol=1e-6) == begun
    wrong = ours.MLPClassifier(6)
    wrong.coefs_ = made.coefs_
    with pytest.raises(ValueError, match="coefs_"):
        wrong.partial_fit(X, Y, classes=[0, 1, 2])


# --- sparse X ---


@pytest.mark.parametrize("sparse", [csr_matrix, coo_matrix, lambda x: csr_matrix(x).tocsc()])
def test_sparse_rows_are_what_dense_ones_are(sparse: Any) -> None:
    x = np.where(np.abs(X) < 0.5, 0, X)
    dense, other = (ours.MLPClassifier(5, max_iter=3, random_state=0) for _ in range(2))
    dense.fit(x, Y), other.fit(sparse(x), Y)
    assert other.predict_proba(sparse(x)).tobytes() == dense.predict_proba(x).tobytes()
    assert other.partial_fit(sparse(x), Y).coefs_[0].tobytes() == dense.partial_fit(x, Y).coefs_[0].tobytes()
