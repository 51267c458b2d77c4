"""sklearn: scikit-learn's own checks of an estimator, and its MLPClassifier as the oracle of every number."""

from __future__ import annotations

import copy
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule
from chainrule.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
FULL = {"hidden_layer_sizes": (7, 5), "batch_size": len(X), "random_state": 3}


def trained(**options: Any) -> MLPClassifier:
    return MLPClassifier(**{"hidden_layer_sizes": 8, "max_iter": 20, "random_state": 0, **options}).fit(X, Y)


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        MLPClassifier(),
        MLPClassifier((5, 4), "tanh", solver="sgd", learning_rate_init=0.1, learning_rate="adaptive"),
        MLPClassifier((), "identity", learning_rate_init=0.05),
    ]
)
def test_every_check_of_an_estimator_passes(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.skipif(
    [int(part) for part in sklearn.__version__.split(".")[:2]] < [1, 9], reason="older ones have no such check"
)
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_the_check_that_scikit_learn_skips_unless_asked_to_passes_too(name: str) -> None:
    code = (
        "from sklearn.utils.estimator_checks import estimator_checks_generator as checks\n"
        f"from chainrule.sklearn import {name}\n"
        f"asked = [(model, check) for model, check in checks({name}()) if 'array_api' in str(check)]\n"
        "print(len([check(model) for model, check in asked]))"
    )
    env = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, env=env, check=True
    )
    assert int(done.stdout) >= 1


# --- scikit-learn's class as the oracle: with all rows in one batch both make the same steps ---

SAME = [
    {"solver": "adam", "learning_rate_init": 0.01},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "activation": "tanh"},
    {"solver": "sgd", "learning_rate_init": 0.1, "activation": "logistic"},
    {"solver": "sgd", "learning_rate_init": 0.1, "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "learning_rate_init": 0.2, "learning_rate": "invscaling", "power_t": 0.3, "activation": "tanh"},
    {"solver": "sgd", "learning_rate_init": 0.3, "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate_init": 0.05, "activation": "identity", "hidden_layer_sizes": 4},
]


def both(**options: Any) -> tuple[MLPClassifier, Any]:
    return MLPClassifier(**{**FULL, **options}), Theirs(**{**FULL, **options, "epsilon": 1e-7})


def expect_same_weights(ours: MLPClassifier, theirs: Any) -> None:
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)  # rounding, carried on over the steps


@pytest.mark.parametrize("options", SAME, ids=lambda options: "-".join(map(str, options.values())))
def test_the_weights_become_those_of_scikit_learns_class(options: dict[str, Any]) -> None:
    ours, theirs = both(max_iter=40, alpha=0.3, **options)
    expect_same_weights(ours.fit(X, Y), theirs.fit(X, Y))


@pytest.mark.parametrize("options", SAME, ids=lambda options: "-".join(map(str, options.values())))
def test_the_losses_and_the_end_are_those_of_scikit_learns_class(options: dict[str, Any]) -> None:
    ours, theirs = both(**{"max_iter": 150, "alpha": 0, "tol": 5e-3, "n_iter_no_change": 3, **options})
    ours.fit(X, Y), theirs.fit(X, Y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    assert (ours.n_iter_, ours.n_layers_, ours.n_outputs_, ours.out_activation_) == (
        theirs.n_iter_,
        theirs.n_layers_,
        theirs.n_outputs_,
        theirs.out_activation_,
    )
    assert (ours.loss_, ours.best_loss_) == pytest.approx((theirs.loss_, theirs.best_loss_))
    assert ours.validation_scores_ is theirs.validation_scores_ is None


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_epochs_one_by_one_give_the_weights_of_scikit_learns_class(solver: str) -> None:
    ours, theirs = both(solver=solver, learning_rate_init=0.02)
    for _ in range(15):
        for model in (ours, theirs):
            model.partial_fit(X, Y, classes=[2, 0, 1])
    expect_same_weights(ours, theirs)
    assert len(ours.loss_curve_) == 15


def test_a_warm_start_goes_on_as_scikit_learns_class_does() -> None:
    ours, theirs = both(solver="sgd", learning_rate_init=0.1, max_iter=7, warm_start=True)
    for model in (ours, theirs):
        model.fit(X, Y).fit(X, Y)
    expect_same_weights(ours, theirs)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 14


def test_the_last_small_batch_counts_less_in_the_loss_of_an_epoch() -> None:
    model = MLPClassifier((), "identity", batch_size=100, learning_rate_init=1e-12, max_iter=1, alpha=0, random_state=0)
    model.fit(X, Y)
    mean = -np.mean(model.predict_log_proba(X)[np.arange(len(X)), Y])  # nothing was learnt: any batches have this mean
    assert model.loss_ == pytest.approx(mean, rel=1e-9)


# --- sample weights ---

WEIGHTS = np.random.default_rng(5).uniform(0.1, 4, len(X))


@pytest.mark.skipif("sample_weight" not in inspect.signature(Theirs.fit).parameters, reason="scikit-learn before 1.7")
@pytest.mark.parametrize("options", SAME, ids=lambda options: "-".join(map(str, options.values())))
def test_with_sample_weights_too_the_weights_become_those_of_scikit_learns_class(options: dict[str, Any]) -> None:
    ours, theirs = both(max_iter=40, alpha=0.3, **options)
    expect_same_weights(ours.fit(X, Y, WEIGHTS), theirs.fit(X, Y, WEIGHTS))
    expect_same_weights(ours.partial_fit(X, Y, WEIGHTS), theirs.partial_fit(X, Y, WEIGHTS))


def test_only_the_proportions_of_sample_weights_matter_without_a_penalty() -> None:
    one, other = (trained(batch_size=30, alpha=0).fit(X, Y, factor * WEIGHTS) for factor in (1, 1024))
    assert one.coefs_[0].tobytes() == other.coefs_[0].tobytes()


def test_a_row_of_weight_0_is_as_if_it_were_not_there() -> None:
    rows = WEIGHTS > 1
    model, without = trained(batch_size=30), trained(batch_size=30)
    model.fit(X, Y, np.where(rows, WEIGHTS, 0))
    without.fit(X[rows], Y[rows], WEIGHTS[rows])
    assert model.coefs_[0].tobytes() == without.coefs_[0].tobytes()


def test_the_score_of_what_is_held_out_is_weighted() -> None:
    weights = np.where(Y == 2, 1e-9, 1.0)  # what is said about the third class counts for nothing
    model = MLPClassifier(8, max_iter=60, learning_rate_init=0.05, early_stopping=True, random_state=0)
    model.fit(X, Y, weights)
    assert model.best_validation_score_ == pytest.approx(1, abs=1e-8)
    assert (model.predict(X[Y == 2]) != 2).all()


@pytest.mark.parametrize("wrong", [WEIGHTS[1:], -WEIGHTS, np.nan * WEIGHTS, 0 * WEIGHTS, [WEIGHTS]], ids=range(5))
def test_sample_weights_that_cannot_be_meant_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="sample_weight must hold 150 finite numbers >= 0 that are not all zero"):
        trained().fit(X, Y, wrong)


# --- predictions ---


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_the_probabilities_are_a_forward_pass_through_the_weights(activation: str) -> None:
    model = trained(activation=activation, hidden_layer_sizes=(6, 5))
    h: dict[str, Any] = {
        "identity": lambda a: a,
        "logistic": lambda a: 1 / (1 + np.exp(-a)),
        "tanh": np.tanh,
        "relu": lambda a: a * (a > 0),
    }
    out = X
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        out = h[activation](out @ W + b)
    e = np.exp(out @ model.coefs_[-1] + model.intercepts_[-1])
    expected = e / e.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.predict_proba(X), expected, rtol=1e-12)
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(expected), rtol=1e-12)
    assert (model.predict(X) == expected.argmax(axis=1)).all()
    assert model.score(X, Y) == np.mean(expected.argmax(axis=1) == Y)


def test_a_logarithm_is_finite_where_the_probability_is_zero() -> None:
    model = trained()
    far = 1e6 * X[:5]
    assert (model.predict_proba(far) == 0).any()
    assert np.isfinite(model.predict_log_proba(far)).all()


def test_float32_stays_float32() -> None:
    model = trained().fit(X.astype(np.float32), Y)
    assert {a.dtype for a in (*model.coefs_, *model.intercepts_, model.predict_proba(X[:2]))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("labels", [["b", "c", "a"], [True, False, True], [3.0, -1.0, 7.0], [9, 4, 2]], ids=str)
def test_labels_of_any_kind_come_back_as_they_were(labels: list[Any]) -> None:
    y = np.array(labels)[Y]
    model = MLPClassifier(8, max_iter=200, learning_rate_init=0.05, random_state=0).fit(X, y)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.predict(X).dtype == y.dtype
    assert model.score(X, y) > 0.95


def test_columns_of_a_frame_are_known_by_name() -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    model = trained().fit(frame, pd.Series(Y))
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])


def test_the_network_is_one_of_ours_and_its_gradient_is_right() -> None:
    model = trained(activation="tanh")
    assert type(model.network_) is chainrule.Network
    assert model.coefs_[0] is model.network_.params["W1"]
    assert chainrule.check_gradients(model.network_, X[:4], Y[:4])


# --- randomness and stopping ---


def test_the_same_random_state_gives_the_same_bits() -> None:
    first, again, other = trained(batch_size=32), trained(batch_size=32), trained(batch_size=32, random_state=1)
    assert first.coefs_[0].tobytes() == again.coefs_[0].tobytes()
    assert first.coefs_[0].tobytes() != other.coefs_[0].tobytes()


def test_early_stopping_takes_the_weights_with_the_best_score() -> None:
    model = trained(
        early_stopping=True, max_iter=300, n_iter_no_change=5, learning_rate_init=0.05, validation_fraction=0.2
    )
    assert model.n_iter_ == len(model.validation_scores_) < 300
    best = model.best_validation_score_
    assert best == max(model.validation_scores_)
    # Stale for more than five epochs, and not before.
    reached = model.validation_scores_.index(best)
    assert model.n_iter_ == reached + 1 + 6
    assert model.best_loss_ is None
    # The rows that were held out: the weights were drawn first.
    random = np.random.RandomState(0)
    for shape in ((4, 8), 8, (8, 3), 3):
        random.uniform(size=shape)
    _, x, _, y = train_test_split(X, Y, test_size=0.2, random_state=random)
    assert np.mean(model.predict(x) == y) == best


def test_a_training_that_was_not_done_is_told() -> None:
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        trained(max_iter=2)


def test_a_batch_is_at_most_all_rows_and_a_larger_one_is_told() -> None:
    with pytest.warns(UserWarning, match="batch_size=10000 is more than the 150 rows there are"):
        larger = trained(batch_size=10_000)
    assert larger.coefs_[0].tobytes() == trained(batch_size=len(X)).coefs_[0].tobytes()


def test_verbose_prints_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    model = trained(verbose=True, early_stopping=True, max_iter=2)
    first, *_ = model.loss_curve_
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [
        f"Iteration 1, loss = {first:.8f}",
        f"Validation score: {model.validation_scores_[0]:.6f}",
    ]
    assert (len(out.splitlines()), err) == (4, "")


# --- in scikit-learn's tools ---


def test_it_is_searched_and_scored_in_a_pipeline() -> None:
    raw, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    model = make_pipeline(StandardScaler(), MLPClassifier(learning_rate_init=0.05, max_iter=30, random_state=0))
    grid = {"mlpclassifier__hidden_layer_sizes": [(4,), (8, 8)], "mlpclassifier__alpha": np.logspace(-4, -1, 2)}
    search = GridSearchCV(model, grid, cv=3).fit(raw, names)
    assert search.best_score_ > 0.93
    assert search.predict(raw[:1]).tolist() == ["setosa"]
    assert cross_val_score(model, raw, names, cv=3).min() > 0.9


def test_a_clone_has_the_parameters_and_nothing_else() -> None:
    model = trained(activation="tanh")
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(X)


@pytest.mark.parametrize("mmap_mode", [None, "r"])
def test_it_is_kept_by_joblib_and_goes_on(mmap_mode: Any, tmp_path: Path) -> None:
    model = trained()
    joblib.dump(model, tmp_path / "model")
    read = joblib.load(tmp_path / "model", mmap_mode=mmap_mode)
    assert read.predict_proba(X).tobytes() == model.predict_proba(X).tobytes()
    if mmap_mode is None:
        assert read.partial_fit(X, Y).coefs_[0].tobytes() == model.partial_fit(X, Y).coefs_[0].tobytes()


# --- what is refused ---

WRONG = [
    ({"hidden_layer_sizes": (3, 0)}, ValueError),
    ({"hidden_layer_sizes": 2.5}, TypeError),
    ({"activation": "gelu"}, ValueError),
    ({"solver": "newton"}, ValueError),
    ({"alpha": -1}, ValueError),
    ({"batch_size": 0}, ValueError),
    ({"learning_rate": "cosine"}, ValueError),
    ({"learning_rate_init": 0}, ValueError),
    ({"power_t": "a"}, TypeError),
    ({"max_iter": 0}, ValueError),
    ({"random_state": "a"}, ValueError),
    ({"tol": np.nan}, ValueError),
    ({"warm_start": 1}, TypeError),
    ({"momentum": 1.0, "solver": "sgd"}, ValueError),
    ({"nesterovs_momentum": None}, TypeError),
    ({"early_stopping": "yes"}, TypeError),
    ({"validation_fraction": 1}, ValueError),
    ({"beta_1": 1}, ValueError),
    ({"beta_2": -0.1}, ValueError),
    ({"n_iter_no_change": 0}, ValueError),
    ({"shuffle": 1}, TypeError),
    ({"epsilon": 0}, ValueError),
    ({"max_fun": 0}, ValueError),
]


@pytest.mark.parametrize(("options", "error"), WRONG, ids=lambda value: str(value))
def test_a_parameter_that_cannot_be_meant_is_named_and_nothing_changes(options: dict[str, Any], error: Any) -> None:
    model = trained()
    before = dict(vars(model.set_params(**options)))
    told = {"random_state": "seed", "beta_1": "beta1", "beta_2": "beta2"}
    name = next(iter(options))
    with pytest.raises(error, match=told.get(name, name)):
        model.fit(X[:, :2], Y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)


def test_layer_sizes_that_can_be_read_only_once_are_refused() -> None:
    with pytest.raises(TypeError, match="hidden_layer_sizes must be a whole number or a sequence"):
        MLPClassifier(iter([3])).fit(X, Y)


@pytest.mark.parametrize(
    ("x", "y", "why"),
    [
        (X, Y[:-1], "inconsistent"),
        (X * np.nan, Y, "NaN"),
        (X, np.eye(3)[Y] + 1, r"or 0 or 1 for each label, got \(150, 3\)"),
        (X, Y + 0.5, "continuous"),
    ],
)
def test_data_that_cannot_be_meant_change_nothing(x: Any, y: Any, why: str) -> None:
    model = trained()
    probabilities = model.predict_proba(X)
    with pytest.raises(ValueError, match=why):
        model.fit(pd.DataFrame(x, columns=list("abcd")), y)
    assert not hasattr(model, "feature_names_in_")
    assert model.predict_proba(X).tobytes() == probabilities.tobytes()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_loss_that_explodes_is_an_error_and_the_classifier_is_as_it_was(method: str) -> None:
    model = trained(solver="sgd", warm_start=True, batch_size=10).partial_fit(X, Y)
    before, curve, twin = model.predict_proba(X), list(model.loss_curve_), copy.deepcopy(model)
    with pytest.raises(FloatingPointError, match="learning_rate_init"):
        getattr(model, method)(1e300 * X, Y)
    assert model.predict_proba(X).tobytes() == before.tobytes()
    assert model.loss_curve_ == curve
    assert model.partial_fit(X, Y).coefs_[0].tobytes() == twin.partial_fit(X, Y).coefs_[0].tobytes()


def test_after_ctrl_c_a_new_training_leaves_the_classifier_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(watch: Any, run: Any) -> None:
        raise KeyboardInterrupt

    model = trained()
    before = dict(vars(model))
    monkeypatch.setattr("chainrule.sklearn.base._Watch.on_epoch", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y)
    assert vars(model) == before


def test_going_on_with_another_architecture_is_refused() -> None:
    model = trained(warm_start=True).set_params(hidden_layer_sizes=9)
    with pytest.raises(ValueError, match="clone"):
        model.fit(X, Y)


def test_partial_fit_needs_the_classes_once_and_no_others() -> None:
    model = MLPClassifier(4, random_state=0)
    with pytest.raises(ValueError, match="classes must be given"):
        model.partial_fit(X, Y)
    model.partial_fit(X[:50], Y[:50], classes=np.arange(3))
    with pytest.raises(ValueError, match="unseen"):
        model.partial_fit(X, Y + 1)
    with pytest.raises(ValueError, match=r"among the classes \[0 1 2\]"):
        model.partial_fit(X, np.array(["a", "b", "c"])[Y])
    with pytest.raises(ValueError, match="first call"):
        model.partial_fit(X, Y, classes=[0, 1])
    assert len(model.loss_curve_) == 1
    with pytest.raises(ValueError, match="early_stopping"):
        model.set_params(early_stopping=True).partial_fit(X, Y)


def test_without_scikit_learn_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['sklearn'] = None; import chainrule.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "ImportError: chainrule.sklearn needs scikit-learn" in done.stderr
    assert "pip install 'chainrule[sklearn]'" in done.stderr
