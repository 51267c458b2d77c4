"""Hessians, problems as SciPy takes them, workers, and the Taylor test."""

from __future__ import annotations

import pickle
import time
from multiprocessing import Pool
from typing import Any

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.sparse.linalg import aslinearoperator

from chainrule import Tanh, TwoLayerNet, check_gradients, check_hessian, check_jacobian, check_problem
from chainrule.testing import assert_hessian

X = np.array([-1.2, 1.0, 0.7, 1.3])


@pytest.mark.parametrize(
    "hess",
    [
        optimize.rosen_hess,
        lambda x: sparse.csc_array(optimize.rosen_hess(x)),
        lambda x: aslinearoperator(optimize.rosen_hess(x)),
    ],
)
def test_a_right_hessian_is_right_in_every_form(hess: Any) -> None:
    for mode in ("auto", "directions"):
        report = check_hessian(optimize.rosen_der, hess, X, mode=mode)
        assert report.ok, report
    assert any(c.name == "the Hessian is symmetric" and c.held for c in report.contracts)
    assert check_hessian(optimize.rosen_der, None, X, hessp=optimize.rosen_hess_prod).ok
    assert check_hessian(np.exp, np.exp, X).ok  # elementwise: the diagonal


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda h: 2 * h, "factor 2"),
        (np.tril, "zero above the diagonal"),
        (np.triu, "zero below the diagonal"),
        (lambda h: h + np.eye(4), "off by 1 times the identity"),
        (lambda h: h * (np.indices((4, 4)).sum(axis=0) != 3), "one entry"),
    ],
)
def test_a_wrong_one_has_a_cause(change: Any, cause: str) -> None:
    report = check_hessian(optimize.rosen_der, lambda x: change(optimize.rosen_hess(x)), X)
    assert report.verdict == "wrong"
    if cause != "one entry":
        assert report.cause == cause
    assert "SECOND DERIVATIVES DIFFER" in str(report)


def test_what_is_not_symmetric_is_told() -> None:
    report = check_hessian(optimize.rosen_der, lambda x: np.tril(optimize.rosen_hess(x)), X)
    assert [c.cause for c in report.contracts if c.held is False] == ["not symmetric"]
    skew = np.random.default_rng(0).standard_normal((3000, 3000)) / 50
    big = check_hessian(lambda x: skew @ x, lambda x: aslinearoperator(skew), np.ones(3000), mode="directions")
    assert any(c.cause == "not symmetric" for c in big.contracts)


def test_one_of_hess_and_hessp_is_wanted() -> None:
    for both in ({}, {"hessp": optimize.rosen_hess_prod}):
        with pytest.raises(ValueError, match="one of hess and hessp"):
            check_hessian(optimize.rosen_der, None if not both else optimize.rosen_hess, X, **both)


def test_in_a_test_the_report_is_the_message() -> None:
    assert_hessian(optimize.rosen_der, optimize.rosen_hess, X)
    with pytest.raises(AssertionError, match="SECOND DERIVATIVES DIFFER"):
        assert_hessian(optimize.rosen_der, lambda x: -optimize.rosen_hess(x), X)


# --- problems ---


def ring(**options: Any) -> Any:
    return optimize.NonlinearConstraint(
        lambda x: [x @ x, x[0] * x[1]],
        0,
        1,
        **{
            "jac": lambda x: np.array([2 * x, [x[1], x[0], 0, 0]]),
            "hess": lambda x, v: 2 * v[0] * np.eye(4) + v[1] * (np.indices((4, 4)).sum(axis=0) == 1),
            **options,
        },
    )


def test_a_problem_is_checked_in_all_its_parts() -> None:
    disc = {"type": "ineq", "fun": lambda x, r: r - x @ x, "jac": lambda x, r: -2 * x, "args": (9.0,)}
    linear = optimize.LinearConstraint(np.eye(4))
    report = check_problem(
        optimize.rosen, X, jac=optimize.rosen_der, hess=optimize.rosen_hess, hessp=optimize.rosen_hess_prod,
        bounds=optimize.Bounds(-2, 2), constraints=[ring(), disc, linear, ring(jac="2-point", hess=optimize.BFGS())],
    )  # fmt: skip
    assert report.ok, report
    names = ["jac", "hess", "hessp", "constraints[0].jac", "constraints[0].hess", "constraints[1].jac"]
    assert list(report) == names
    assert report.skipped == ("constraints[2]", "constraints[3].jac")
    assert report.to_dict()["verdict"] == "right"
    report.raise_if_failed()


def test_what_is_wrong_in_a_problem_is_named_by_its_part() -> None:
    report = check_problem(
        optimize.rosen, X, jac=optimize.rosen_der, hess=lambda x: optimize.rosen_hess(x) / 2,
        constraints=ring(hess=lambda x, v: 2 * v[0] * np.eye(4)),
    )  # fmt: skip
    verdicts = [report[part].verdict for part in report]
    assert verdicts == ["right", "wrong", "right", "wrong"]
    with pytest.raises(AssertionError, match="hess: "):
        report.raise_if_failed()
    with pytest.raises(ValueError, match="hess is held against differences of jac"):
        check_problem(optimize.rosen, X, hess=optimize.rosen_hess)


def test_a_problem_as_least_squares_takes_it() -> None:
    t = np.linspace(0, 1, 8)

    def residuals(p: Any, y: Any) -> Any:
        return p[0] * np.exp(-p[1] * t) - y

    def jac(p: Any, y: Any) -> Any:
        return np.stack([np.exp(-p[1] * t), -t * p[0] * np.exp(-p[1] * t)], axis=1)

    assert check_problem(residuals, [1.0, 0.0], (t,), jac=jac, bounds=([0, 0], [9, 9])).ok
    assert check_problem(lambda p: (residuals(p, t), jac(p, t)), [1.0, 2.0], jac=True).ok


# --- workers ---


def slow(x: Any) -> Any:
    time.sleep(0.0005)
    return np.sin(x) * x[::-1]


def slow_jac(x: Any) -> Any:
    return np.diag(np.cos(x) * x[::-1]) + np.sin(x)[:, None] * np.eye(len(x))[::-1]


def tangent(x: Any) -> Any:
    return np.tan(x).sum()


def tangent_gradient(x: Any) -> Any:
    return 1 + np.tan(x) ** 2


def test_workers_give_the_same_report_to_the_bit() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, 9)
    for wrong in (1.0, 1.1):
        alone = check_jacobian(slow, lambda x, by=wrong: by * slow_jac(x), x)
        for workers in (2, 3, map):
            there = check_jacobian(slow, lambda x, by=wrong: by * slow_jac(x), x, workers=workers)
            assert there.to_dict() == alone.to_dict()
    layer = Tanh()
    assert check_gradients(layer, x, workers=2).to_dict() == check_gradients(layer, x).to_dict()
    with Pool(2) as pool:  # which is sent what it works on
        there = check_gradients((tangent, tangent_gradient), x, workers=pool.map)
    assert there.to_dict() == check_gradients((tangent, tangent_gradient), x).to_dict()


def test_workers_that_cannot_be_are_refused() -> None:
    for workers in (0, -2, True, "two"):
        with pytest.raises(ValueError, match="workers must be a number of processes"):
            check_gradients(Tanh(), X, workers=workers)  # type: ignore[arg-type]


def test_what_a_worker_raises_is_raised_here() -> None:
    class Refused(ArithmeticError):
        pass

    def picky(x: Any) -> Any:
        if not np.array_equal(x, X):
            raise Refused("as it is, or not at all")
        return x.copy()

    with pytest.raises(Refused, match="as it is"):
        check_jacobian(picky, lambda x: np.eye(4), X, workers=2)


def test_progress_counts_evaluations(capfd: pytest.CaptureFixture[str]) -> None:
    def waiting(x: Any) -> Any:
        time.sleep(0.02)
        return np.sin(x)

    check_jacobian(waiting, lambda x: np.diag(np.cos(x)), np.ones(20), progress=True)
    assert "evaluations" in capfd.readouterr().err
    check_jacobian(np.sin, np.cos, np.ones(40), progress=True)
    assert capfd.readouterr().err == ""


# --- the Taylor test ---


def test_the_remainder_of_a_right_gradient_falls_with_the_square() -> None:
    x, t = np.random.default_rng(0).standard_normal((5, 4)), np.array([0, 1, 2, 0, 1])
    net = TwoLayerNet(4, 6, 3, weight_init_std=0.5, seed=0)
    for report in (
        check_gradients(Tanh(), x), check_gradients(net, x, t), check_jacobian(slow, slow_jac, X),
        check_hessian(optimize.rosen_der, optimize.rosen_hess, X),
    ):  # fmt: skip
        table = report.taylor()
        assert len(table.h) >= 3
        last = [rate for rate in table.rates if not np.isnan(rate)][-1]
        assert abs(last - 2) < 0.1, table
        assert str(table).splitlines()[0].split()[:4] == ["h", "change", "remainder", "rate"]
    assert table.plot().axes


def test_the_remainder_of_a_wrong_one_falls_with_the_step() -> None:
    table = check_jacobian(slow, lambda x: 1.5 * slow_jac(x), X).taylor()
    assert abs(table.rates[-1] - 1) < 0.1


def test_the_rows_of_the_table_are_what_f_gives() -> None:
    table = check_gradients((lambda x: (x**3).sum(), lambda x: 3 * x**2), X).taylor()
    v = np.where(np.arange(4) % 3 == 1, -1, 1) * np.maximum(np.abs(X), np.exp(np.log(np.abs(X)).mean()))
    for h, change, remainder in zip(table.h, table.change, table.remainder, strict=True):
        moved = ((X + h * v) ** 3).sum() - (X**3).sum()
        np.testing.assert_allclose(change, abs(moved), rtol=1e-6, atol=1e-13)
        np.testing.assert_allclose(remainder, abs(moved - h * (3 * X**2) @ v), rtol=1e-3, atol=1e-13)


def test_with_bounds_there_is_no_table() -> None:
    report = check_jacobian(np.sqrt, lambda x: np.diag(0.5 / np.sqrt(x)), [1.0, 2.0], bounds=(0, 2))
    with pytest.raises(ValueError, match="has no Taylor table"):
        report.taylor()


def test_of_a_network_that_was_trained_on_there_is_no_table() -> None:
    net = TwoLayerNet(4, 6, 3, weight_init_std=0.5, seed=0)
    report = check_gradients(net, np.ones((2, 4)), np.array([0, 1]))
    assert pickle.loads(pickle.dumps(report)).to_dict() == report.to_dict()
    net.params["W1"] += 0.1
    with pytest.raises(ValueError, match="parameters have changed"):
        report.taylor()
