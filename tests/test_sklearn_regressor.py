"""sklearn/regressor.py: scikit-learn's checks of an estimator, its MLPRegressor as the oracle, and least squares."""

from __future__ import annotations

import copy
import inspect
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.neural_network import MLPRegressor as Theirs
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule
from chainrule.sklearn import MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RAW, PROGRESSION = load_diabetes(return_X_y=True)
X = StandardScaler().fit_transform(RAW)
Y = PROGRESSION / 50
#: Three outputs: of different scales, one of them far from zero.
SEVERAL = np.stack([Y, 20 + X[:, 2] ** 2, -X[:, 8]], axis=1)
FULL = {"hidden_layer_sizes": (7, 5), "activation": "tanh", "batch_size": len(X), "random_state": 3}
WEIGHTS = np.random.default_rng(5).uniform(0.1, 4, len(X))


def trained(**options: Any) -> MLPRegressor:
    return MLPRegressor(**{"hidden_layer_sizes": 8, "max_iter": 20, "random_state": 0, **options}).fit(X, Y)


def r2(y: Any, said: Any, weights: Any = None) -> float:
    """Give R², the mean of that of each column, by its definition."""
    w = np.ones(len(y)) if weights is None else weights
    y, said = y.reshape(len(y), -1), said.reshape(len(y), -1)
    return float(np.mean(1 - w @ (y - said) ** 2 / (w @ (y - w @ y / w.sum()) ** 2)))


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        MLPRegressor(),
        MLPRegressor("squared_error", (5, 4), "tanh", solver="sgd", learning_rate_init=0.05, learning_rate="adaptive"),
        MLPRegressor(hidden_layer_sizes=(), learning_rate_init=0.05),
        MLPRegressor("poisson", (5,), learning_rate_init=0.05),
        MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=30),
    ]
)
def test_every_check_of_an_estimator_passes(estimator: Any, check: Any) -> None:
    if getattr(estimator, "loss", None) == "poisson" and "multioutput" in str(check):
        pytest.skip("it draws numbers below 0, whatever is said of y")
    check(estimator)


# --- scikit-learn's class as the oracle: with all rows in one batch both make the same steps ---

SAME = [
    {"solver": "adam", "learning_rate_init": 0.01},
    {"solver": "adam", "beta_1": 0.8, "beta_2": 0.99, "activation": "relu"},
    {"solver": "sgd", "learning_rate_init": 0.01, "activation": "logistic"},
    {"solver": "sgd", "learning_rate_init": 0.01, "nesterovs_momentum": False, "momentum": 0.5},
    {"solver": "sgd", "learning_rate_init": 0.02, "learning_rate": "invscaling", "power_t": 0.3},
    {"solver": "sgd", "learning_rate_init": 0.01, "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
    {"solver": "sgd", "learning_rate_init": 0.005, "activation": "identity", "hidden_layer_sizes": 4},
]
each_way = pytest.mark.parametrize("options", SAME, ids=lambda options: "-".join(map(str, options.values())))
each_y = pytest.mark.parametrize("y", [Y, SEVERAL], ids=["one output", "several"])


def both(**options: Any) -> tuple[MLPRegressor, Any]:
    return MLPRegressor(**{**FULL, **options}), Theirs(**{**FULL, **options, "epsilon": 1e-7})


def expect_same_weights(ours: MLPRegressor, theirs: Any, rtol: float = 1e-7) -> None:
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(ours, name), getattr(theirs, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol / 100)  # rounding, carried on over the steps


@each_y
def test_a_few_steps_of_gradient_descent_are_scikit_learns_to_rounding(y: Any) -> None:
    ours, theirs = both(solver="sgd", momentum=0, learning_rate_init=0.01, max_iter=5, alpha=0)
    ours.fit(X, y), theirs.fit(X, y)
    expect_same_weights(ours, theirs, rtol=1e-12)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-13)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-11, atol=1e-13)
    assert ours.predict(X).shape == theirs.predict(X).shape == y.shape


@each_y
@each_way
def test_the_weights_become_those_of_scikit_learns_class(options: dict[str, Any], y: Any) -> None:
    ours, theirs = both(max_iter=40, alpha=0.3, **options)
    expect_same_weights(ours.fit(X, y), theirs.fit(X, y))


@each_y
@each_way
def test_the_losses_and_the_end_are_those_of_scikit_learns_class(options: dict[str, Any], y: Any) -> None:
    ours, theirs = both(**{"max_iter": 100, "alpha": 0, "tol": 0.05, "n_iter_no_change": 3, **options})
    ours.fit(X, y), theirs.fit(X, y)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-7)
    for name in ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert (ours.loss_, ours.best_loss_) == pytest.approx((theirs.loss_, theirs.best_loss_))
    assert ours.validation_scores_ is ours.best_validation_score_ is theirs.validation_scores_ is None


@pytest.mark.skipif("sample_weight" not in inspect.signature(Theirs.fit).parameters, reason="scikit-learn before 1.7")
@each_y
@each_way
def test_with_sample_weights_too_the_weights_become_those_of_scikit_learns_class(
    options: dict[str, Any], y: Any
) -> None:
    ours, theirs = both(max_iter=40, alpha=0.3, **options)
    expect_same_weights(ours.fit(X, y, WEIGHTS), theirs.fit(X, y, WEIGHTS))
    expect_same_weights(ours.partial_fit(X, y, WEIGHTS), theirs.partial_fit(X, y, WEIGHTS))


@each_y
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_epochs_one_by_one_give_the_weights_of_scikit_learns_class(solver: str, y: Any) -> None:
    ours, theirs = both(solver=solver, learning_rate_init=0.01)
    for _ in range(15):
        ours.partial_fit(X, y), theirs.partial_fit(X, y)
    expect_same_weights(ours, theirs)
    assert len(ours.loss_curve_) == 15


def test_a_warm_start_goes_on_as_scikit_learns_class_does() -> None:
    ours, theirs = both(solver="sgd", learning_rate_init=0.01, max_iter=7, warm_start=True)
    for model in (ours, theirs):
        model.fit(X, SEVERAL).fit(X, SEVERAL)
    expect_same_weights(ours, theirs)
    assert len(ours.loss_curve_) == len(theirs.loss_curve_) == 14


def test_float32_stays_float32_and_scikit_learns_numbers() -> None:
    ours, theirs = both(solver="sgd", learning_rate_init=0.01, max_iter=10, alpha=0)
    x = X.astype(np.float32)
    expect_same_weights(ours.fit(x, SEVERAL), theirs.fit(x, SEVERAL.astype(np.float32)), rtol=1e-3)
    assert {a.dtype for a in (*ours.coefs_, *ours.intercepts_, ours.predict(x))} == {np.dtype(np.float32)}


# --- what is learnt ---


def test_the_loss_is_half_the_mean_squared_error_whatever_the_batches() -> None:
    model = MLPRegressor(
        hidden_layer_sizes=(), batch_size=100, learning_rate_init=1e-12, max_iter=1, alpha=0, random_state=0
    )
    model.fit(X, SEVERAL)  # nothing is learnt: any batches have this mean
    assert model.loss_ == pytest.approx(np.mean((model.predict(X) - SEVERAL) ** 2) / 2, rel=1e-9)


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_a_linear_network_finds_least_squares_of_a_target_far_from_zero(weights: Any) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((len(X), 3))
    y = 1e6 + x @ [[3.0, 0.0], [-2.0, 1.0], [1.0, 5.0]] + rng.standard_normal((len(X), 2))
    model = MLPRegressor(
        hidden_layer_sizes=(),
        solver="sgd",
        momentum=0,
        learning_rate_init=0.3,
        alpha=0,
        batch_size=len(x),
        max_iter=300,
        tol=0,
    ).fit(x, y, weights)
    root = np.sqrt(np.ones(len(x)) if weights is None else weights)[:, None]
    best = np.linalg.lstsq(root * np.c_[x, np.ones(len(x))], root * y, rcond=None)[0]
    np.testing.assert_allclose(model.coefs_[0], best[:-1], atol=1e-7)
    np.testing.assert_allclose(model.intercepts_[0], best[-1], rtol=1e-12)
    assert model.score(x, y, weights) == pytest.approx(r2(y, model.predict(x), weights), abs=1e-9)
    assert 0.9 < model.score(x, y, weights) < 0.98


def test_the_progression_of_diabetes_is_told_as_well_as_by_scikit_learns_class_and_by_least_squares() -> None:
    options: dict[str, Any] = {"learning_rate_init": 0.01, "max_iter": 200, "alpha": 10, "random_state": 0}
    models = [kind(hidden_layer_sizes=32, **options) for kind in (MLPRegressor, Theirs)]
    ours, theirs, least = (cross_val_score(model, X, PROGRESSION).mean() for model in (*models, LinearRegression()))
    assert ours == pytest.approx(theirs, abs=0.01)
    assert ours > least - 0.02
    stopped = models[0].set_params(learning_rate_init=0.05, max_iter=400, early_stopping=True)
    assert cross_val_score(stopped, X, PROGRESSION).mean() > least - 0.02


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_predictions_are_a_forward_pass_through_the_weights(activation: str) -> None:
    model = MLPRegressor("squared_error", (6, 5), activation, max_iter=5, random_state=0)  # type: ignore[arg-type]
    model.fit(X, SEVERAL)
    h: dict[str, Any] = {
        "identity": lambda a: a,
        "logistic": lambda a: 1 / (1 + np.exp(-a)),
        "tanh": np.tanh,
        "relu": lambda a: a * (a > 0),
    }
    out = X
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        out = h[activation](out @ W + b)
    expected = out @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-12, atol=1e-13)
    assert model.score(X, SEVERAL) == pytest.approx(r2(SEVERAL, expected))


def test_the_network_is_one_of_ours_and_its_gradient_is_right() -> None:
    model = MLPRegressor("squared_error", 8, "tanh", max_iter=5, random_state=0).fit(X, SEVERAL)
    assert type(model.network_) is chainrule.Network
    assert type(model.network_.last_layer) is chainrule.IdentityWithLoss
    assert chainrule.check_gradients(model.network_, X[:4], SEVERAL[:4])


def test_the_same_random_state_gives_the_same_bits() -> None:
    first, again, other = trained(), trained(), trained(random_state=1)
    assert first.coefs_[0].tobytes() == again.coefs_[0].tobytes()
    assert first.coefs_[0].tobytes() != other.coefs_[0].tobytes()


def test_a_row_of_weight_0_is_as_if_it_were_not_there() -> None:
    rows = WEIGHTS > 1
    model, without = trained(batch_size=30), trained(batch_size=30)
    model.fit(X, Y, np.where(rows, WEIGHTS, 0))
    without.fit(X[rows], Y[rows], WEIGHTS[rows])
    assert model.coefs_[0].tobytes() == without.coefs_[0].tobytes()


# --- early stopping ---


def held_out(rows: int, widths: list[int], share: float) -> Any:
    """Give the rows that are held out of so many with `random_state` 0: the weights were drawn first."""
    random = np.random.RandomState(0)
    for inputs, units in pairwise(widths):
        random.uniform(size=(inputs, units)), random.uniform(size=units)
    return train_test_split(np.arange(rows), test_size=share, random_state=random)[1]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@each_y
def test_early_stopping_takes_the_weights_with_the_best_r2(y: Any, weights: Any) -> None:
    model = MLPRegressor(
        hidden_layer_sizes=8, early_stopping=True, max_iter=400, n_iter_no_change=5, learning_rate_init=0.05,
        validation_fraction=0.2, random_state=0,
    ).fit(X, y, weights)  # fmt: skip
    assert model.n_iter_ == len(model.validation_scores_) < 400
    best = model.best_validation_score_
    assert best == max(model.validation_scores_)
    assert model.best_loss_ is None
    rows = held_out(len(X), [10, 8, model.n_outputs_], 0.2)
    assert best == pytest.approx(r2(y[rows], model.predict(X[rows]), None if weights is None else weights[rows]))
    assert best is not None
    assert 0.3 < best < 1


def test_r2_of_one_row_is_refused() -> None:
    with pytest.raises(ValueError, match=r"validation_fraction=0\.1 of 9 rows holds out 1"):
        MLPRegressor(early_stopping=True).fit(X[:9], Y[:9])


@pytest.mark.parametrize("what", ["X", "y"])
def test_a_held_out_row_that_is_beyond_all_numbers_leaves_no_score_to_go_by(what: str) -> None:
    x, y = X.copy(), Y.copy()
    row = held_out(len(X), [10, 1], 0.1)[0]
    if what == "X":
        x[row] = 1e308 * np.sign(x[row])
    else:
        y[row] = 1e200
    model = trained(hidden_layer_sizes=(), early_stopping=True, max_iter=3)
    before = model.predict(X)
    with pytest.raises(FloatingPointError, match="no score of the held-out rows is finite"):
        model.fit(x, y)
    assert model.predict(X).tobytes() == before.tobytes()


# --- what y may be ---


@pytest.mark.parametrize(
    "y",
    [
        Y.tolist(),
        pd.Series(Y),
        Y.astype(object),
        Y[:, None],
        pd.DataFrame({"a": Y}),
    ],
    ids=["list", "series", "objects", "column", "frame"],
)
def test_one_output_comes_in_any_shape_and_goes_out_as_numbers_in_a_row(y: Any) -> None:
    model = trained()
    said = model.predict(X)
    if np.ndim(y) == 2:
        with pytest.warns(DataConversionWarning, match="column-vector"):
            model.fit(X, y)
    else:
        model.fit(X, y)
    assert model.predict(X).tobytes() == said.tobytes()
    assert (said.shape, model.n_outputs_) == ((len(X),), 1)


def test_whole_numbers_are_numbers() -> None:
    whole = np.round(10 * Y).astype(np.int16)
    model = trained()
    assert model.fit(X, whole).predict(X).tobytes() == model.fit(X, whole.astype(float)).predict(X).tobytes()


def test_columns_of_a_frame_are_known_by_name() -> None:
    model = trained().fit(pd.DataFrame(X, columns=list("abcdefghij")), pd.DataFrame(SEVERAL, columns=list("uvw")))
    assert model.feature_names_in_.tolist() == list("abcdefghij")
    assert model.predict(pd.DataFrame(X, columns=list("abcdefghij"))).shape == SEVERAL.shape


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    ("x", "y", "error", "why"),
    [
        (X, Y[:-1], ValueError, "inconsistent"),
        (X * np.nan, Y, ValueError, "NaN"),
        (X, Y * np.inf, ValueError, "infinity"),
        (X, SEVERAL[None], ValueError, "dim 3"),
        (X, Y.astype(str), TypeError, "y has dtype"),
        (X, Y * 1j, (TypeError, ValueError), "[Cc]omplex"),
        (X, SEVERAL, ValueError, r"y must have 1 number\(s\) a row, as in the first call, got 3"),
        (X[:, :5], Y, ValueError, "features"),
    ],
    ids=["rows", "X nan", "y inf", "3d", "text", "complex", "outputs", "columns"],
)
def test_data_that_cannot_be_meant_change_nothing(x: Any, y: Any, error: Any, why: str, method: str) -> None:
    model = trained(warm_start=True)
    before = dict(vars(model))
    said = model.predict(X)
    with pytest.raises(error, match=why):
        getattr(model, method)(x, y)
    assert vars(model).keys() == before.keys()
    assert all(vars(model)[name] is before[name] for name in before)
    assert model.predict(X).tobytes() == said.tobytes()


def test_a_number_too_large_for_float32_is_refused() -> None:
    with pytest.raises(ValueError, match="y holds a number that is too large for float32"):
        trained().fit(X.astype(np.float32), 1e40 * Y)


@pytest.mark.parametrize("wrong", [WEIGHTS[1:], -WEIGHTS, np.nan * WEIGHTS, 0 * WEIGHTS, [WEIGHTS]], ids=range(5))
def test_sample_weights_that_cannot_be_meant_are_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="sample_weight must hold 442 finite numbers >= 0 that are not all zero"):
        trained().fit(X, SEVERAL, wrong)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_loss_that_explodes_is_an_error_and_the_regressor_is_as_it_was(method: str) -> None:
    model = trained(solver="sgd", warm_start=True, batch_size=10, learning_rate_init=1e-4).partial_fit(X, Y)
    before, curve, twin = model.predict(X), list(model.loss_curve_), copy.deepcopy(model)
    with pytest.raises(FloatingPointError, match="scale X and y, or take a smaller learning_rate_init"):
        getattr(model, method)(X, 1e200 * Y)
    assert model.predict(X).tobytes() == before.tobytes()
    assert model.loss_curve_ == curve
    assert model.partial_fit(X, Y).coefs_[0].tobytes() == twin.partial_fit(X, Y).coefs_[0].tobytes()


@pytest.mark.parametrize(
    "options", [{"alpha": -1}, {"solver": "newton"}, {"hidden_layer_sizes": (3, 0)}, {"activation": "gelu"}], ids=str
)
def test_a_parameter_that_cannot_be_meant_is_named_and_nothing_changes(options: dict[str, Any]) -> None:
    model = trained()
    before = dict(vars(model.set_params(**options)))
    with pytest.raises(ValueError, match=next(iter(options))):
        model.fit(X[:, :2], SEVERAL)
    assert all(vars(model)[name] is before[name] for name in before)


def test_going_on_with_another_architecture_is_refused() -> None:
    with pytest.raises(ValueError, match="clone"):
        trained(warm_start=True).set_params(hidden_layer_sizes=9).fit(X, Y)


def test_partial_fit_holds_nothing_out() -> None:
    with pytest.raises(ValueError, match="make the regressor with early_stopping=False"):
        MLPRegressor(early_stopping=True).partial_fit(X, Y)


# --- in scikit-learn's tools ---


def test_it_is_searched_with_a_scaled_target() -> None:
    inner = make_pipeline(StandardScaler(), MLPRegressor(learning_rate_init=0.02, max_iter=40, random_state=0))
    model = TransformedTargetRegressor(inner, transformer=StandardScaler())
    grid = {"regressor__mlpregressor__hidden_layer_sizes": [(), (8,)], "regressor__mlpregressor__alpha": [1e-4, 1]}
    search = GridSearchCV(model, grid, cv=3).fit(RAW, PROGRESSION)
    assert search.best_score_ > 0.4
    assert 50 < search.predict(RAW[:1])[0] < 300


def test_a_clone_has_the_parameters_and_nothing_else() -> None:
    model = trained(activation="tanh")
    other = clone(model)
    assert other.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        other.predict(X)


def test_it_is_kept_by_joblib_and_goes_on(tmp_path: Path) -> None:
    model = trained()
    joblib.dump(model, tmp_path / "model")
    read = joblib.load(tmp_path / "model")
    assert read.predict(X).tobytes() == model.predict(X).tobytes()
    assert read.partial_fit(X, Y).coefs_[0].tobytes() == model.partial_fit(X, Y).coefs_[0].tobytes()
