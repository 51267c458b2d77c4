"""sklearn/lbfgs.py and poisson.py: scikit-learn's classes, least squares and its PoissonRegressor as oracles."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import chainrule
from chainrule.sklearn import MLPClassifier, MLPRegressor
from chainrule.sklearn.poisson import PoissonWithLoss

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
since_1_7 = pytest.mark.skipif(
    "loss" not in inspect.signature(TheirRegressor).parameters, reason="scikit-learn before 1.7 has no such loss"
)

X, Y = load_iris(return_X_y=True)
X = StandardScaler().fit_transform(X)
RAW, PROGRESSION = load_diabetes(return_X_y=True)
X_NUMBERS, NUMBERS = StandardScaler().fit_transform(RAW), PROGRESSION / 50
X_LABELS, LABELS = make_multilabel_classification(n_samples=60, n_features=6, n_classes=4, random_state=0)
RNG = np.random.default_rng(0)
COUNTS = RNG.poisson(np.exp(0.3 + X @ [0.5, -0.2, 0.1, 0.0]))
WEIGHTS = RNG.uniform(0.1, 3, len(X))
#: Estimators, data and weights.
TASKS: dict[str, tuple[Any, Any, Any, Any]] = {
    "three classes": (MLPClassifier, TheirClassifier, X, Y),
    "two classes": (MLPClassifier, TheirClassifier, X, Y == 1),
    "labels": (MLPClassifier, TheirClassifier, X_LABELS / 10, LABELS),
    "a number": (MLPRegressor, TheirRegressor, X_NUMBERS, NUMBERS),
}


@parametrize_with_checks(  # type: ignore[untyped-decorator]
    [
        MLPClassifier((5,), solver="lbfgs", max_iter=30),
        MLPRegressor(hidden_layer_sizes=(5,), solver="lbfgs", max_iter=30),
    ]
)
def test_every_check_of_an_estimator_passes(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("task", TASKS)
def test_the_steps_are_those_of_scikit_learns_class(task: str, activation: str) -> None:
    mine, theirs, x, y = TASKS[task]
    options = {"solver": "lbfgs", "hidden_layer_sizes": (6,), "alpha": 0.5, "max_iter": 15, "random_state": 1}
    one, other = (kind(activation=activation, **options).fit(x, y) for kind in (mine, theirs))
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)  # rounding, which line searches carry on
    squares = sum(float(np.sum(W**2)) for W in one.coefs_)
    assert one.loss_ + 0.5 * 0.5 * squares / len(x) == pytest.approx(other.loss_, rel=1e-7)
    assert one.n_iter_ == other.n_iter_ == len(one.loss_curve_) == 15


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_without_hidden_layers_it_is_logistic_regression(weights: Any) -> None:
    model = MLPClassifier((), solver="lbfgs", alpha=1, tol=1e-9, max_iter=2000, random_state=0)
    model.fit(X, Y, weights)
    other = LogisticRegression(C=1, tol=1e-9, max_iter=2000).fit(X, Y, weights)

    def objective(W: Any, b: Any) -> float:
        scores = X @ W + b
        losses = np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(len(X)), Y]
        return float(np.sum(losses * (1 if weights is None else weights)) + 0.5 * np.sum(W**2))

    # SciPy ends where the loss gets smaller by less than 2.2e-9 of itself.
    best = objective(other.coef_.T, other.intercept_)
    assert objective(model.coefs_[0], model.intercepts_[0]) == pytest.approx(best, rel=1e-6)
    np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=1e-3)


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 3, 442)], ids=["unweighted", "weighted"])
def test_several_numbers_without_hidden_layers_are_least_squares(weights: Any) -> None:
    y = np.stack([NUMBERS, X_NUMBERS[:, 2] ** 2], axis=1)
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0, tol=1e-9, max_iter=2000, max_fun=10**6)
    model.fit(X_NUMBERS, y, weights)
    root = np.sqrt(np.ones(len(y)) if weights is None else weights)[:, None]
    best = np.linalg.lstsq(root * np.c_[X_NUMBERS, np.ones(len(y))], root * y, rcond=None)[0]
    said = np.c_[X_NUMBERS, np.ones(len(y))] @ best
    np.testing.assert_allclose(model.predict(X_NUMBERS), said, atol=1e-3)  # it ends where the loss changes by 2.2e-9
    least = np.average((said - y) ** 2, axis=0, weights=weights).mean() / 2
    assert model.loss_ == pytest.approx(least, rel=1e-7)


def test_it_says_why_it_ended() -> None:
    with pytest.warns(ConvergenceWarning, match=r"lbfgs was still making progress after 3 steps: .*LIMIT"):
        model = MLPClassifier(5, solver="lbfgs", max_iter=3, random_state=0).fit(X, Y)
    assert model.n_iter_ == 3
    with pytest.warns(ConvergenceWarning, match="LIMIT"):
        assert MLPClassifier(5, solver="lbfgs", max_fun=4, random_state=0).fit(X, Y).n_iter_ <= 4


def test_the_loss_falls_and_each_step_is_printed_if_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    model = MLPClassifier(5, solver="lbfgs", alpha=0, max_iter=9, verbose=True, random_state=0).fit(X, Y)
    assert (np.diff(model.loss_curve_) < 0).all()
    p = model.predict_proba(X)[np.arange(len(X)), Y]
    assert model.loss_ == model.loss_curve_[-1] == model.best_loss_ == pytest.approx(-np.mean(np.log(p)))
    lines = [f"Iteration {i}, loss = {loss:.8f}" for i, loss in enumerate(model.loss_curve_, start=1)]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_warm_start_goes_on() -> None:
    model = MLPClassifier(5, solver="lbfgs", max_iter=5, warm_start=True, random_state=0).fit(X, Y)
    before = model.loss_
    model.fit(X, Y)
    assert model.loss_ < before
    assert len(model.loss_curve_) == 10
    # After it epochs, and after those steps of it again.
    model.set_params(solver="adam").partial_fit(X, Y).fit(X, Y)
    assert len(model.set_params(solver="lbfgs").fit(X, Y).loss_curve_) == 10 + 1 + 5 + 5


def test_float32_stays_float32() -> None:
    model = MLPClassifier(5, solver="lbfgs", max_iter=50, random_state=0).fit(X.astype(np.float32), Y)
    assert {array.dtype for array in (*model.coefs_, *model.intercepts_)} == {np.dtype(np.float32)}
    assert model.score(X, Y) > 0.95


def test_there_is_no_epoch_of_it() -> None:
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(AttributeError, match="partial_fit"):
        MLPRegressor(solver="lbfgs").partial_fit(X, Y)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_loss_that_explodes_is_an_error_and_the_weights_are_as_they_were() -> None:
    model = MLPRegressor(hidden_layer_sizes=5, solver="lbfgs", max_iter=5, warm_start=True, random_state=0).fit(X, Y)
    before = model.predict(X)
    with pytest.raises(FloatingPointError, match=r"scale X and y$"):
        model.fit(X, 1e200 * (1.0 + Y))
    assert model.predict(X).tobytes() == before.tobytes()


def test_ctrl_c_leaves_the_weights_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    model = MLPClassifier(5, solver="lbfgs", max_iter=5, warm_start=True, random_state=0).fit(X, Y)
    before, curve = model.predict_proba(X), list(model.loss_curve_)

    def interrupted(line: str) -> None:
        if line.startswith("Iteration 3"):
            assert model.predict_proba(X).tobytes() != before.tobytes()
            raise KeyboardInterrupt

    monkeypatch.setattr("builtins.print", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(verbose=True).fit(X, Y)
    assert model.predict_proba(X).tobytes() == before.tobytes()
    assert model.network_.weight_decay_lambda == 0
    assert model.loss_curve_ == curve


def test_scipy_is_named_if_it_is_what_is_missing() -> None:
    code = "import sys; sys.modules['scipy.optimize'] = None; import chainrule.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'chainrule[sklearn]'" in done.stderr
    assert "scipy" in done.stderr.splitlines()[-1]


# --- counts ---


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_counts_without_hidden_layers_are_a_poisson_regression(solver: Any, weights: Any) -> None:
    how: dict[str, Any] = {
        "tol": 1e-9,
        "max_iter": 3000,
        "learning_rate_init": 0.02,
        "batch_size": len(X),
        "n_iter_no_change": 3000,
    }
    model = MLPRegressor("poisson", (), solver=solver, alpha=0, random_state=0, **how)
    model.fit(X, COUNTS, weights)
    other = PoissonRegressor(alpha=0, tol=1e-9).fit(X, COUNTS, weights)
    np.testing.assert_allclose(model.predict(X), other.predict(X), rtol=1e-4)
    assert model.out_activation_ == "exp"


@since_1_7
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_the_steps_for_counts_are_those_of_scikit_learns_class(solver: str, weights: Any, several: bool) -> None:
    y = np.stack([COUNTS, 2 * COUNTS + 1], axis=1) if several else COUNTS
    how: dict[str, Any] = {
        "solver": solver,
        "alpha": 0,
        "max_iter": 15,
        "batch_size": len(X),
        "learning_rate_init": 0.01,
    }
    one, other = (
        kind(loss="poisson", hidden_layer_sizes=5, random_state=0, epsilon=1e-7, **how).fit(X, y, weights)
        for kind in (MLPRegressor, TheirRegressor)
    )
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-5)
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-6)


def test_the_gradient_for_counts_is_right() -> None:
    model = MLPRegressor("poisson", 5, "tanh", max_iter=3, random_state=0).fit(X, COUNTS)
    assert isinstance(model.network_.last_layer, PoissonWithLoss)
    assert chainrule.check_gradients(model.network_, X[:6], np.c_[COUNTS[:6], WEIGHTS[:6]])


def test_a_perfect_answer_has_no_loss() -> None:
    loss = PoissonWithLoss()
    assert loss.forward(np.log([[2.0], [3.0]]), np.array([[2.0, 1], [3, 5]])) == pytest.approx(0)
    # Half the deviance of nothing where one was expected is 1.
    assert loss.forward(np.zeros((1, 1)), np.array([[0.0, 1]])) == 1


def test_counts_below_0_and_other_losses_are_refused() -> None:
    with pytest.raises(ValueError, match=r"y must be >= 0 with loss='poisson', got -1\.0"):
        MLPRegressor("poisson").fit(X, Y - 1.0)
    with pytest.raises(ValueError, match=r"loss must be .*, got \(5,\); hidden_layer_sizes comes second"):
        MLPRegressor((5,)).fit(X, Y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="loss, hidden_layer_sizes or activation was changed"):
        MLPRegressor(warm_start=True, max_iter=1).fit(X, Y).set_params(loss="poisson").fit(X, Y)
