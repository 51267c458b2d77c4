"""Hessians: test functions of optimization, likelihoods, energies, Lagrangians."""

from __future__ import annotations

from typing import Any

import numpy as np

from derivatives import energies as e
from derivatives.case import Products, Stateful, Subject, Wrong, at

RNG = np.random.default_rng(22)
X = np.column_stack([np.ones(9), RNG.standard_normal((9, 2))])
YES = (RNG.random(9) < 0.5).astype(float)
COUNTS = RNG.poisson(2.0, 9).astype(float)
TARGET = RNG.standard_normal(9)


def minus(a: Any) -> Any:
    return -a


def zero(a: Any) -> Any:
    return 0 * a


def twice(a: Any) -> Any:
    return 2 * a


def half(a: Any) -> Any:
    return a / 2


# --- test functions ---


def rosen(x: Any) -> Any:
    t = x[1] - x[0] ** 2
    return np.array([-400 * x[0] * t - 2 * (1 - x[0]), 200 * t])


def rosen_hess(x: Any) -> Any:
    return np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]])


def rosen_max(x: Any) -> Any:
    return -rosen(x)


def rosen_max_hess(x: Any) -> Any:
    return -rosen_hess(x)


def powell(x: Any) -> Any:
    a, b, c, d = x[0] + 10 * x[1], x[2] - x[3], x[1] - 2 * x[2], x[0] - x[3]
    return np.array([2 * a + 40 * d**3, 20 * a + 4 * c**3, 10 * b - 8 * c**3, -10 * b - 40 * d**3])


def powell_hess(x: Any) -> Any:
    c, d = 12 * (x[1] - 2 * x[2]) ** 2, 120 * (x[0] - x[3]) ** 2
    return np.array([[2 + d, 20, 0, -d], [20, 200 + c, -2 * c, 0], [0, -2 * c, 10 + 4 * c, -10], [-d, 0, -10, 10 + d]])


def brown_parts(x: Any) -> Any:
    t = np.arange(1, 21) / 5
    a, b = x[0] + t * x[1] - np.exp(t), x[2] + x[3] * np.sin(t) - np.cos(t)
    return t, a, b, a**2 + b**2


def brown(x: Any) -> Any:
    """Brown and Dennis: the sum of squares of a² + b²."""
    t, a, b, q = brown_parts(x)
    return np.array([np.sum(4 * q * a), np.sum(4 * q * a * t), np.sum(4 * q * b), np.sum(4 * q * b * np.sin(t))])


def brown_hess(x: Any) -> Any:
    t, a, b, q = brown_parts(x)
    inner = np.array([np.ones(20), t, np.ones(20), np.sin(t)])
    aa, ab, bb = 4 * q + 8 * a**2, 8 * a * b, 4 * q + 8 * b**2
    factors = np.array([[aa, aa, ab, ab]] * 2 + [[ab, ab, bb, bb]] * 2)
    return np.sum(factors * inner[:, None] * inner[None], axis=2)


def himmelblau(x: Any) -> Any:
    a, b = x[0] ** 2 + x[1] - 11, x[0] + x[1] ** 2 - 7
    return np.array([4 * x[0] * a + 2 * b, 2 * a + 4 * x[1] * b])


def himmelblau_hess(x: Any) -> Any:
    return np.array(
        [[12 * x[0] ** 2 + 4 * x[1] - 42, 4 * x[0] + 4 * x[1]], [4 * x[0] + 4 * x[1], 4 * x[0] + 12 * x[1] ** 2 - 26]]
    )


def multiplied(x: Any) -> Any:
    """exp(x0 - x1) x1."""
    e = np.exp(x[0] - x[1])
    return np.array([e * x[1], e * (1 - x[1])])


def multiplied_hess(x: Any) -> Any:
    e = np.exp(x[0] - x[1])
    return e * np.array([[x[1], 1 - x[1]], [1 - x[1], x[1] - 2]])


def product(x: Any) -> Any:
    """x0 x1 + x2²."""
    return np.array([x[1], x[0], 2 * x[2]])


def product_hess(x: Any) -> Any:
    return np.array([[0, 1, 0], [1, 0, 0], [0, 0, 2.0]])


def extended(x: Any) -> Any:
    """Extended Rosenbrock, every two numbers by themselves."""
    return np.concatenate([rosen(pair) for pair in x.reshape(-1, 2)])


def extended_product(x: Any, p: Any) -> Any:
    pairs = zip(x.reshape(-1, 2), p.reshape(-1, 2), strict=True)
    return np.concatenate([rosen_hess(a) @ b for a, b in pairs])


def stale() -> Any:
    """The product with the Hessian of the first point that was asked for."""
    first: list[Any] = []

    def product_of(x: Any, p: Any) -> Any:
        first.append(np.array(x) if first else np.array(x) * 1.1)
        return extended_product(first[0], p)

    return Products(product_of)


def growing() -> Any:
    """A buffer that is not set to 0 before it is added to."""
    buffer = np.zeros(6)

    def product_of(x: Any, p: Any) -> Any:
        buffer[...] += extended_product(x, p)
        return buffer.copy()

    return Products(product_of)


# --- likelihoods ---


def logit(b: Any) -> Any:
    return X.T @ (YES - 1 / (1 + np.exp(-X @ b)))


def logit_hess(b: Any) -> Any:
    p = 1 / (1 + np.exp(-X @ b))
    return -(X.T * p * (1 - p)) @ X


def logit_product(b: Any, v: Any) -> Any:
    return logit_hess(b) @ v


def poisson(b: Any) -> Any:
    return X.T @ (COUNTS - np.exp(X @ b))


def poisson_hess(b: Any) -> Any:
    return -(X.T * np.exp(X @ b)) @ X


def least_squares(b: Any) -> Any:
    """The likelihood of a linear model, its variance put in: -N/2 log(ssr)."""
    r = X @ b - TARGET
    return -9 / 2 * 2 * X.T @ r / (r @ r)


def least_squares_hess(b: Any, first: float = 2.0) -> Any:
    r = X @ b - TARGET
    slope = 2 * X.T @ r
    return -9 / 2 * (first * X.T @ X / (r @ r) - np.outer(slope, slope) / (r @ r) ** 2)


def normal(p: Any) -> Any:
    """By a mean and the logarithm of a variance."""
    d, v = TARGET - p[0], np.exp(p[1])
    return np.array([d.sum() / v, -4.5 + (d @ d) / (2 * v)])


def normal_hess(p: Any) -> Any:
    d, v = TARGET - p[0], np.exp(p[1])
    return np.array([[-9 / v, -d.sum() / v], [-d.sum() / v, -(d @ d) / (2 * v)]])


def by_the_variance(p: Any) -> Any:
    """Second derivatives by the variance itself."""
    d, v = TARGET - p[0], np.exp(p[1])
    return np.array([[-9 / v, -d.sum() / v**2], [-d.sum() / v**2, 4.5 / v**2 - (d @ d) / v**3]])


def binomial(p: Any) -> Any:
    """Minus two times a log-likelihood."""
    return -2 * poisson(p)


def binomial_hess(p: Any) -> Any:
    return -2 * poisson_hess(p)


X2 = np.array([-0.7, 2.3])
X4 = np.array([0.5, -1.2, 0.8, 0.3])
ENDS = np.array([0.2, 1.1, -0.4, 1.3, 0.2, 0.9])
B = np.array([0.3, -0.6, 0.4])
Y = (np.array([0.7, -1.2, 0.5]), np.array([0.8, 1.5]))
PAIRS = np.array([-1.2, 1.0, 0.4, 0.9, 1.3, -0.6])
OFF = ~np.eye(4, dtype=bool)

SUBJECTS = (
    Subject("rosen", rosen, rosen_hess, (X2,), (
        Wrong("one_for_two", at(rosen_hess, (np.s_[0, 0], lambda a: a - 1)), "H[0, 0]",
              "PatWie/CppNumericalSolvers#117"),
        Wrong("triangle", lambda x: np.tril(rosen_hess(x)), "zero above the diagonal", "coin-or/Ipopt#112"),
        Wrong("sign", at(rosen_hess, (np.s_[0, 1], minus), (np.s_[1, 0], minus)), "factor -1"),
    )),
    Subject("rosen_max", rosen_max, rosen_max_hess, (X2,), (
        Wrong("terms", at(rosen_max_hess, (np.s_[0, 0], lambda a: -2.0 + 800 * X2[0] ** 2 + 400 * X2[1])), "H[0, 0]",
              "JuliaNLSolvers/Optim.jl#1118"),
        Wrong("not_turned", rosen_hess, "factor -1"),
    )),
    Subject("powell", powell, powell_hess, (X4,), (
        Wrong("corners", at(powell_hess, (np.s_[0, 3], zero), (np.s_[3, 0], zero)), "entries missing: H[0, 3]",
              "JuliaNLSolvers/Optim.jl#226"),
        Wrong("c", at(powell_hess, (np.s_[2, 2], lambda a: (a - 10) / 2 + 10)), "H[2, 2]"),
        Wrong("off_twice", at(powell_hess, (OFF, twice)), "factor 2 in all that is off",
              "mechmotum/cyipopt#143"),
        Wrong("upper", lambda x: np.triu(powell_hess(x)), "zero below the diagonal"),
    )),
    Subject("brown", brown, brown_hess, (np.array([2.0, 1.5, -1.0, 0.5]),), (
        Wrong("typo", at(brown_hess, (np.s_[1, 1], lambda a: a * 0.9892)), "H[1, 1]", "davisking/dlib#534"),
        Wrong("diagonal_twice", at(brown_hess, (~OFF, twice)), "factor 2 in the diagonal", "DAIRLab/dairlib#48"),
        Wrong("gauss_newton", lambda x: at(brown_hess, (np.s_[:2, 2:], zero), (np.s_[2:, :2], zero))(x),
              "entries missing"),
    )),
    Subject("himmelblau", himmelblau, himmelblau_hess, (np.array([0.6, 1.7]),), (
        Wrong("constants", at(himmelblau_hess, (np.s_[0, 0], lambda a: a + 42 - 14)), "H[0, 0]",
              "JuliaNLSolvers/Optim.jl#101"),
        Wrong("one_side", at(himmelblau_hess, (np.s_[0, 1], half)), "H[0, 1]"),
    )),
    Subject("multiplied", multiplied, multiplied_hess, (X2,), (
        Wrong("multiplier", at(multiplied_hess, (np.s_[1, 1], lambda a: 2 * (X2[1] - 1) * np.exp(X2[0] - X2[1]))),
              "H[1, 1]", "JuliaDiff/DifferentiationInterface.jl#1014"),
        Wrong("no_exp", lambda x: multiplied_hess(x) / np.exp(x[0] - x[1]), "factor 20.0855"),
    )),
    Subject("product", product, product_hess, (np.array([0.659, 0.702, 1.3]),), (
        Wrong("no_cross_terms", at(product_hess, (np.s_[0, 1], zero), (np.s_[1, 0], zero)), "rows 0, 1 zero",
              "jump-dev/JuMP.jl#435"),
        Wrong("diagonal", at(product_hess, (np.s_[0, 0], lambda a: a + 1e-6)), "should be zero: H[0, 0]",
              "jump-dev/JuMP.jl#1811"),
        Wrong("nothing", lambda x: np.zeros((3, 3)), "zero", "erdc/proteus#583"),
        Wrong("squared", at(product_hess, (np.s_[2, 2], half)), "column 2: factor 1/2", "casadi/casadi#20"),
    )),
    Subject("extended", extended, Products(extended_product), (PAIRS,), (
        Wrong("stale", Stateful(stale), "", "ralna/CUTEst#40"),
        Wrong("growing", Stateful(growing), "", "JuliaSmoothOptimizers/NLPModelsJuMP.jl#52", nowhere=True),
        Wrong("turned", Products(lambda x, p: extended_product(x, p.reshape(2, 3).T.ravel())), "",
              "g-benton/hessian-eff-dim#1"),
        Wrong("half", Products(lambda x, p: extended_product(x, p) / 2), "factor 1/2"),
    )),
    Subject("logit", logit, logit_hess, (B,), (
        Wrong("sign", lambda b: -logit_hess(b), "factor -1", "pymc-devs/pymc#6310"),
        Wrong("no_one_minus_p", lambda b: -(X.T / (1 + np.exp(-X @ b))) @ X, ""),
    )),
    Subject("logit_products", logit, Products(logit_product), (B,), (
        Wrong("sign", Products(lambda b, v: -logit_product(b, v)), "factor -1", "UCL/STIR#911"),
        Wrong("row", Products(lambda b, v: logit_product(b, v) * [1, 1, 0]), "row 2 zero"),
    )),
    Subject("poisson", poisson, poisson_hess, (B,), (
        Wrong("information", lambda b: -poisson_hess(b), "factor -1", "statsmodels/statsmodels#3548"),
        Wrong("observed", lambda b: -(X.T * COUNTS) @ X, ""),
    )),
    Subject("least_squares", least_squares, least_squares_hess, (B,), (
        Wrong("one_half", lambda b: least_squares_hess(b, 1.0), "", "statsmodels/statsmodels#9469"),
        Wrong("first_only", lambda b: -9 * X.T @ X / np.sum((X @ b - TARGET) ** 2), ""),
    )),
    Subject("normal", normal, normal_hess, (np.array([0.3, 0.4]),), (
        Wrong("untransformed", by_the_variance, "", "statsmodels/statsmodels#1967"),
        Wrong("four", at(normal_hess, (np.s_[1, 1], half)), "H[1, 1], factor 1/2", "vasishth/LM#3"),
        Wrong("no_covariance", lambda p: np.diag(np.diag(normal_hess(p))), "entries missing"),
    )),
    Subject("deviance", binomial, binomial_hess, (B,), (
        Wrong("of_the_likelihood", lambda p: -poisson_hess(p), "factor 1/2", "FlamTeam/flamedisx#176"),
    )),
    Subject("spring", e.spring, e.spring_hess, (ENDS,), (
        Wrong("no_geometric_term", lambda x: e.spring_hess(x, 0.0), "", "google-deepmind/mujoco#3451"),
        Wrong("no_other_end", at(e.spring_hess, (np.s_[:3, 3:], zero), (np.s_[3:, :3], zero)), "entries missing"),
        Wrong("other_end_plus", at(e.spring_hess, (np.s_[:3, 3:], minus), (np.s_[3:, :3], minus)), "factor -1"),
    )),
    Subject("fit", e.fit, e.fit_hess, (np.array([0.5, 0.2]),), (
        Wrong("gauss_newton", lambda p: e.fit_hess(p, 0.0), "H[0, 0]"),
        Wrong("mean", lambda p: e.fit_hess(p) / 6, "factor 0.166667"),
    )),
    Subject("lagrangian", e.lagrangian, e.lagrangian_hess, Y, (
        Wrong("multipliers", lambda x, y: e.lagrangian_hess(x, y, 1.0), "", "cvanaret/Uno#237"),
        Wrong("objective_only", lambda x, y: e.lagrangian_hess(x, y, 0.0), "entries missing", "jfowkes/pycutest#27"),
        Wrong("order", lambda x, y: e.lagrangian_hess(x, y)[[0, 2, 1]], "rows 1 and 2 swapped"),
    )),
    Subject("entropy", e.entropy, e.entropy_hess, (np.array([0.2, 0.7, 1.4, 0.1]),), (
        Wrong("once_more", lambda x: 1 / x**2, "factor 1/x"),
        Wrong("sign", lambda x: -1 / x**2, ""),
        Wrong("full", lambda x: np.outer(1 / np.sqrt(x), 1 / np.sqrt(x)), "entries that should be zero"),
    )),
    Subject("quotient", e.quotient, e.quotient_hess, (np.array([0.6, -0.2, 1.1, 0.4, -0.9]),), (
        Wrong("not_projected", lambda x: e.quotient_hess(x, 0.0), "", "sandialabs/pyGSTi#238"),
        Wrong("one_side", lambda x: e.quotient_hess(x) + 2 * np.outer(x, e.quotient(x)) / (x @ x), "not symmetric"),
    )),
    Subject("logsum", e.logsum, e.logsum_hess, (X4,), (
        Wrong("diagonal", lambda z: np.diag(np.diag(e.logsum_hess(z))), "entries missing"),
        Wrong("plus", lambda z: np.diag(e.logsum(z)) + np.outer(e.logsum(z), e.logsum(z)), ""),
    )),
    Subject("quadratic", e.quadratic, e.quadratic_hess, (np.arange(5.0) - 1.5,), (
        Wrong("matrix_itself", lambda x: e.S / 2, ""),
        Wrong("twice", lambda x: e.SYMMETRIC, "factor 2"),
        Wrong("neighbour", lambda x: np.roll(e.SYMMETRIC / 2, 1, axis=0), "rows moved on by 1"),
    )),
)  # fmt: skip
