"""Pairs of a function and its gradient with one mistake each. The stories are at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from mutants.case import Arguments, Case, Expect, fixed, normal, uniform

Pair: TypeAlias = tuple[Callable[..., Any], Callable[..., Any]]

T = np.array([0.5, -1.0, 2.0, 0.3, -0.2, 1.1, 0.0])
P = np.array([0.1, 0.4, 0.3, 0.2])
A = np.array([[2.0, 1.0, -0.5], [0.3, 1.5, 0.7], [-0.2, 0.4, 3.0]])


# --- squares ---


def squares_a() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return np.zeros_like(x)

    return f, grad_f


def squares_b() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum() / 2

    def grad_f(x: Any) -> Any:
        return 2 * x

    return f, grad_f


def squares_c() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return x.copy()

    return f, grad_f


def squares_d() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum() / 2

    def grad_f(x: Any) -> Any:
        return x

    return f, grad_f


def squares_e() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).mean()

    def grad_f(x: Any) -> Any:
        return 2 * x

    return f, grad_f


def squares_f() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return 2 * x / len(x)

    return f, grad_f


def squares_g() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return np.array([2 * v for v in x], dtype=np.float32)

    return f, grad_f


def squares_h() -> Pair:
    def f(x: Any) -> Any:
        return ((x - T) ** 2).sum()

    def grad_f(x: Any) -> Any:
        x -= T
        return 2 * x

    return f, grad_f


def squares_i() -> Pair:
    total = np.zeros(7)

    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        for i, v in enumerate(x):
            total[i] += 2 * v
        return total.copy()

    return f, grad_f


def squares_j() -> Pair:
    grad = np.empty(7)

    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        np.multiply(x, 2, out=grad)
        return grad

    return f, grad_f


def squares_k() -> Pair:
    known: dict[str, Any] = {}

    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        if "grad" not in known:
            known["grad"] = 2 * x
        return known["grad"].copy()

    return f, grad_f


def squares_l() -> Pair:
    lr = 0.1

    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        grad = 2 * x
        x -= lr * grad
        return grad

    return f, grad_f


def squares_m() -> Pair:
    def f(x: Any) -> Any:
        return (x**2).sum()

    def grad_f(x: Any) -> Any:
        return 2 * x.reshape(-1, 1)

    return f, grad_f


# --- elementary functions ---


def logarithm() -> Pair:
    def f(x: Any) -> Any:
        return -np.log(x).sum()

    def grad_f(x: Any) -> Any:
        return 1 / x

    return f, grad_f


def wave() -> Pair:
    def f(x: Any) -> Any:
        return np.sin(3 * x).sum()

    def grad_f(x: Any) -> Any:
        return np.cos(3 * x)

    return f, grad_f


def product() -> Pair:
    def f(x: Any) -> Any:
        return (x * np.sin(x)).sum()

    def grad_f(x: Any) -> Any:
        return x * np.cos(x)

    return f, grad_f


def cosine_a() -> Pair:
    def f(x: Any) -> Any:
        return np.sum(np.cos(x) * np.arange(1, len(x) + 1))

    def grad_f(x: Any) -> Any:
        return (f(x + 0.5) - f(x)) / 0.5 * np.ones_like(x)

    return f, grad_f


def cosine_b() -> Pair:
    def f(x: Any) -> Any:
        return np.cos(x).sum()

    def grad_f(x: Any) -> Any:
        h = 0.1
        grad = np.empty_like(x)
        for i in range(len(x)):
            step = np.zeros_like(x)
            step[i] = h
            grad[i] = (f(x + step) - f(x)) / h
        return grad

    return f, grad_f


def cosine_c() -> Pair:
    def f(x: Any) -> Any:
        return np.cos(x).sum()

    def grad_f(x: Any) -> Any:
        return -np.sin(x + 0.01)

    return f, grad_f


def cosine_d() -> Pair:
    def f(x: Any) -> Any:
        return 2 + np.cos(x).sum()

    def grad_f(x: Any) -> Any:
        return -2 * f(x) * np.sin(x)

    return f, grad_f


def norm() -> Pair:
    def f(x: Any) -> Any:
        return np.sqrt((x**2).sum())

    def grad_f(x: Any) -> Any:
        return x.copy()

    return f, grad_f


def absolute_a() -> Pair:
    def f(x: Any) -> Any:
        return np.abs(x).sum()

    def grad_f(x: Any) -> Any:
        with np.errstate(invalid="ignore"):
            return x / np.abs(x)

    return f, grad_f


def absolute_b() -> Pair:
    def f(x: Any) -> Any:
        return np.abs(x).sum()

    def grad_f(x: Any) -> Any:
        return np.where(x > 0, 1.0, -1.0)

    return f, grad_f


def rosenbrock() -> Pair:
    def f(x: Any) -> Any:
        return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2

    def grad_f(x: Any) -> Any:
        return np.array([-400 * x[0] * (x[1] - x[0] ** 2), 200 * (x[1] - x[0] ** 2)])

    return f, grad_f


# --- several arguments ---


def quotient_a() -> Pair:
    def f(x: Any, y: Any) -> Any:
        return (x / y).sum()

    def grad_f(y: Any, x: Any) -> Any:
        return 1 / y, -x / y**2

    return f, grad_f


def quotient_b() -> Pair:
    def f(x: Any, y: Any) -> Any:
        return (x / y).sum()

    def grad_f(x: Any, y: Any) -> Any:
        return -x / y**2, 1 / y

    return f, grad_f


def gaussian() -> Pair:
    def f(mu: Any, log_sigma: Any) -> Any:
        return (((T - mu) / np.exp(log_sigma)) ** 2 / 2 + log_sigma).sum()

    def grad_f(mu: Any, log_sigma: Any) -> Any:
        z = (T - mu) / np.exp(log_sigma)
        return -z / np.exp(log_sigma), z**2 - 1

    return f, grad_f


def cosine_similarity() -> Pair:
    def f(x: Any, y: Any) -> Any:
        return x @ y / np.sqrt((x @ x) * (y @ y))

    def grad_f(x: Any, y: Any) -> Any:
        length = np.sqrt((x @ x) * (y @ y))
        return y / length, x / length

    return f, grad_f


def line() -> Pair:
    x = np.array([0.0, 1.0, 2.0, 3.0])
    t = np.array([1.0, 3.0, 2.0, 5.0])

    def f(slope: Any, intercept: Any) -> Any:
        return ((slope * x + intercept - t) ** 2).mean()

    def grad_f(slope: Any, intercept: Any) -> Any:
        difference = slope * x + intercept - t
        return 2 * (difference * x).mean(), 2 * difference.sum()

    return f, grad_f


# --- vectors and matrices ---


def jacobian_a() -> Pair:
    def f(x: Any) -> Any:
        return np.tanh(A @ x).sum()

    def grad_f(x: Any) -> Any:
        return (1 - np.tanh(A @ x) ** 2)[:, None] * A

    return f, grad_f


def jacobian_b() -> Pair:
    def f(x: Any) -> Any:
        return np.tanh(A @ x).sum()

    def grad_f(x: Any) -> Any:
        jacobian = (1 - np.tanh(A @ x) ** 2)[:, None] * A
        return jacobian.sum(axis=1)

    return f, grad_f


def quadratic_form() -> Pair:
    def f(x: Any) -> Any:
        return x @ A @ x

    def grad_f(x: Any) -> Any:
        return 2 * A @ x

    return f, grad_f


def determinant() -> Pair:
    def f(X: Any) -> Any:
        return np.log(np.linalg.det(A + X))

    def grad_f(X: Any) -> Any:
        return np.linalg.inv(A + X)

    return f, grad_f


def least_squares() -> Pair:
    def f(W: Any) -> Any:
        return ((A @ W - 1) ** 2).sum()

    def grad_f(W: Any) -> Any:
        return 2 * A @ (A @ W - 1)

    return f, grad_f


def rows_a() -> Pair:
    def f(x: Any) -> Any:
        return (x**3).sum()

    def grad_f(x: Any) -> Any:
        grad = np.zeros_like(x)
        for i in range(1, x.shape[0]):
            grad[i] = 3 * x[i] ** 2
        return grad

    return f, grad_f


def rows_b() -> Pair:
    def f(x: Any) -> Any:
        return (x**3).sum()

    def grad_f(x: Any) -> Any:
        grad = np.zeros_like(x)
        for j in range(x.shape[1] - 1):
            grad[:, j] = 3 * x[:, j] ** 2
        return grad

    return f, grad_f


def variance() -> Pair:
    def f(x: Any) -> Any:
        return ((x - x.mean()) ** 2).mean()

    def grad_f(x: Any) -> Any:
        mean = x.sum(dtype=np.float32) / len(x)
        return 2 * (x - float(mean)) / len(x)

    return f, grad_f


# --- losses ---


def huber_a() -> Pair:
    def f(x: Any) -> Any:
        r = np.abs(x - T)
        return np.where(r <= 1, r**2 / 2, r - 0.5).sum()

    def grad_f(x: Any) -> Any:
        r = x - T
        return np.where(np.abs(r) <= 0.5, r, np.sign(r))

    return f, grad_f


def huber_b() -> Pair:
    def f(x: Any) -> Any:
        r = np.abs(x - T)
        return np.where(r <= 2, r**2 / 2, 2 * r - 2).sum()

    def grad_f(x: Any) -> Any:
        r = x - T
        return np.where(np.abs(r) <= 2, r, np.sign(r))

    return f, grad_f


def hinge() -> Pair:
    def f(x: Any) -> Any:
        return np.maximum(0, 1 - np.sign(T) * x).sum()

    def grad_f(x: Any) -> Any:
        return np.where(np.sign(T) * x < 0, -np.sign(T), 0.0)

    return f, grad_f


def divergence() -> Pair:
    def f(x: Any) -> Any:
        q = np.exp(x) / np.exp(x).sum()
        return (P * np.log(P / q)).sum()

    def grad_f(x: Any) -> Any:
        q = np.exp(x) / np.exp(x).sum()
        ratio = np.log(q / P)
        return q * (ratio - (q * ratio).sum())

    return f, grad_f


def log_sum_exp_a() -> Pair:
    def f(x: Any) -> Any:
        m = x.max()
        return m + np.log(np.exp(x - m).sum())

    def grad_f(x: Any) -> Any:
        return np.exp(x - x.max())

    return f, grad_f


def log_sum_exp_b() -> Pair:
    def f(x: Any) -> Any:
        m = x.max()
        return m + np.log(np.exp(x - m).sum())

    def grad_f(x: Any) -> Any:
        x -= x.max()
        return np.exp(x) / np.exp(x).sum()

    return f, grad_f


def cross_entropy_a() -> Pair:
    def f(y: Any) -> Any:
        return -(P * np.log(y + 1e-7)).sum()

    def grad_f(y: Any) -> Any:
        return -P / y

    return f, grad_f


def cross_entropy_b() -> Pair:
    def f(x: Any) -> Any:
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        return -np.log(y[:, 0]).mean()

    def grad_f(x: Any) -> Any:
        y = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
        y[:, 0] -= 1
        return y / y.size

    return f, grad_f


def targets() -> Pair:
    calls: list[int] = []

    def f(x: Any) -> Any:
        calls.append(len(calls))
        start = 2 * (len(calls) % 3)
        return ((x - T) ** 2)[start : start + 2].sum()

    def grad_f(x: Any) -> Any:
        return 2 * (x - T)

    return f, grad_f


def exponential() -> Pair:
    last: dict[str, Any] = {"x": np.zeros(7)}

    def f(x: Any) -> Any:
        return np.exp(x).sum()

    def grad_f(x: Any) -> Any:
        before, last["x"] = last["x"], x.copy()
        return np.exp(before)

    return f, grad_f


# --- the stories ---


def wrong(
    name: str,
    make: Any,
    arguments: Arguments,
    parameter: str | None,
    cause: str | None,
    story: str,
    *,
    expect: Expect = "fails",
    also: tuple[str, ...] = (),
) -> Case:
    return Case(name, "pair", make, arguments, story, expect, parameter=parameter, cause=cause, also=also)


SEVEN = normal((7,))


def far_from_zero(rng: np.random.Generator) -> tuple[Any, ...]:
    return (1e6 + rng.standard_normal(64),)


CASES: tuple[Case, ...] = (
    wrong("squares_zero", squares_a, SEVEN, "x", "zero", "The gradient is a placeholder of zeros."),
    wrong(
        "squares_half_in_f_only",
        squares_b,
        SEVEN,
        "x",
        "factor 2",
        "f has the half that cancels the 2 of the gradient, and the gradient has the 2 still.",
    ),
    wrong("squares_two_forgotten", squares_c, SEVEN, "x", "factor 1/2", "The 2 from the square is missing."),
    wrong(
        "squares_returns_x",
        squares_d,
        SEVEN,
        None,
        "aliases its input",
        "The gradient of half the square is x, and the very array is returned: a step x -= lr * grad changes both.",
    ),
    wrong(
        "squares_sum_for_mean",
        squares_e,
        SEVEN,
        "x",
        "sum for mean",
        "f is a mean, and the gradient that of the sum.",
    ),
    wrong(
        "squares_mean_for_sum",
        squares_f,
        SEVEN,
        "x",
        "mean for sum",
        "f is a sum, and the gradient that of the mean.",
    ),
    wrong(
        "squares_float32",
        squares_g,
        SEVEN,
        "x",
        "wrong dtype",
        "The gradient of a float64 array is returned in float32.",
    ),
    wrong(
        "squares_shifts_x",
        squares_h,
        SEVEN,
        None,
        "writes into its input",
        "x -= t computes the difference in the array of the caller.",
    ),
    wrong(
        "squares_accumulate",
        squares_i,
        SEVEN,
        None,
        "accumulates",
        "The sum is kept outside the function and never set back: right the first time only.",
    ),
    wrong(
        "squares_in_one_buffer",
        squares_j,
        SEVEN,
        None,
        "overwrites its last result",
        "The gradient is always the same array, so the next call overwrites what the last one returned.",
    ),
    wrong(
        "squares_of_first_x",
        squares_k,
        SEVEN,
        None,
        "stale batch",
        "The gradient is computed once and remembered, whatever x is later.",
    ),
    wrong(
        "squares_takes_the_step",
        squares_l,
        SEVEN,
        None,
        "writes into its input",
        "grad_f takes the step of the descent itself: the gradient is right, but x is elsewhere.",
    ),
    wrong(
        "squares_as_column",
        squares_m,
        SEVEN,
        "x",
        "wrong shape",
        "The gradient is a column where x is a vector.",
    ),
    wrong(
        "logarithm_sign",
        logarithm,
        uniform(0.3, 3, (7,)),
        "x",
        "factor -1",
        "f is minus the logarithm, and the minus is missing in the gradient.",
    ),
    wrong(
        "sine_inner_derivative_forgotten",
        wave,
        SEVEN,
        "x",
        None,
        "The gradient of sin(3 x) lacks the 3 of the inner function.",
    ),
    wrong(
        "product_rule_half",
        product,
        SEVEN,
        "x",
        None,
        "Of the product rule's two terms only one is there.",
    ),
    wrong(
        "cosine_all_moved_at_once",
        cosine_a,
        SEVEN,
        "x",
        None,
        "The gradient is a difference quotient in which all entries are moved at once.",
    ),
    wrong(
        "cosine_step_too_large",
        cosine_b,
        SEVEN,
        "x",
        None,
        "The gradient is a one-sided difference quotient with a step of 0.1.",
    ),
    wrong(
        "cosine_beside_the_point",
        cosine_c,
        SEVEN,
        "x",
        None,
        "The gradient is that at a point 0.01 beside x.",
    ),
    wrong(
        "cosine_squared",
        cosine_d,
        SEVEN,
        "x",
        None,
        "The gradient is that of the square of f.",
    ),
    wrong("norm_without_root", norm, SEVEN, "x", None, "The gradient of the length is not divided by the length."),
    wrong(
        "absolute_value_not_a_number",
        absolute_a,
        fixed([1.0, 0.0, -2.0, 0.5]),
        "x",
        None,
        "x / abs(x) is the sign, except at 0, where it is 0 / 0.",
    ),
    wrong(
        "absolute_value_minus_1_at_0",
        absolute_b,
        fixed([1.0, 0.0, -2.0, 0.5]),
        "x",
        None,
        "The sign of 0 is given as -1: a slope on one side of the corner, though no one's convention.",
        expect="kink",
    ),
    wrong(
        "rosenbrock_term_missing",
        rosenbrock,
        normal((2,)),
        "x",
        None,
        "The gradient has forgotten the first of two terms.",
    ),
    wrong(
        "quotient_arguments_swapped",
        quotient_a,
        uniform(0.5, 2, (3,), (3,)),
        "x",
        None,
        "grad_f takes its arguments in the other order than f.",
        also=("y",),
    ),
    wrong(
        "quotient_results_swapped",
        quotient_b,
        uniform(0.5, 2, (3,), (3,)),
        "x",
        None,
        "grad_f returns its two gradients in the wrong order.",
        also=("y",),
    ),
    wrong(
        "gaussian_sigma_sign",
        gaussian,
        normal((7,), (7,)),
        "y",
        "factor -1",
        "The gradient of the spread has the wrong sign.",
    ),
    wrong(
        "cosine_similarity_without_norms",
        cosine_similarity,
        normal((4,), (4,)),
        "x",
        None,
        "The lengths in the denominator are treated as constants.",
        also=("y",),
    ),
    wrong(
        "line_intercept_not_averaged",
        line,
        lambda rng: (np.array(rng.standard_normal()), np.array(rng.standard_normal())),
        "y",
        "sum for mean",
        "The error is a mean over four points, and the gradient of the intercept a sum.",
    ),
    wrong(
        "jacobian_for_gradient",
        jacobian_a,
        normal((3,)),
        "x",
        "wrong shape",
        "Given is the matrix of all slopes of the vector, not summed to the gradient of its sum.",
    ),
    wrong(
        "jacobian_summed_over_inputs",
        jacobian_b,
        normal((3,)),
        "x",
        None,
        "The matrix of slopes is summed along the wrong axis.",
    ),
    wrong(
        "quadratic_form_not_symmetric",
        quadratic_form,
        normal((3,)),
        "x",
        None,
        "2 A x is the gradient for symmetric A only; for others it is (A + A.T) x.",
    ),
    wrong(
        "determinant_not_transposed",
        determinant,
        normal((3, 3), scale=0.1),
        "x",
        "transposed",
        "The gradient of log det is the transposed inverse; given is the inverse.",
    ),
    wrong(
        "least_squares_not_transposed",
        least_squares,
        normal((3, 2)),
        "x",
        None,
        "A where A.T should be; A is square, so the shape fits.",
    ),
    wrong("rows_first_forgotten", rows_a, normal((4, 3)), "x", "zero rows", "The loop over the rows begins at 1."),
    wrong(
        "columns_last_forgotten",
        rows_b,
        normal((4, 3)),
        "x",
        "zero columns",
        "The loop over the columns stops one too early.",
    ),
    wrong(
        "variance_float32_sum",
        variance,
        far_from_zero,
        "x",
        None,
        "The sum for the mean is taken in float32: 64 numbers around a million leave it no digit behind the point.",
    ),
    wrong(
        "huber_joint_elsewhere",
        huber_a,
        lambda rng: (T + rng.permutation([0.7, -0.8, 0.2, -0.1, 1.5, -2.0, 0.6]),),
        "x",
        None,
        "The gradient passes from the parabola to the line at 0.5, the loss at 1.",
    ),
    wrong(
        "huber_slope_of_1",
        huber_b,
        lambda rng: (T + rng.permutation([0.7, -0.8, 0.2, -2.6, 1.5, -2.2, 3.0]),),
        "x",
        None,
        "Beyond the joint at 2 the slope is 2 and not the bare sign.",
    ),
    wrong(
        "hinge_margin_forgotten",
        hinge,
        fixed([0.2, -0.4, 1.5, -0.6, 0.9, 0.5, 0.7]),
        "x",
        None,
        "Only wrong answers send a gradient back, though right ones within the margin cost something too.",
    ),
    wrong(
        "divergence_other_direction",
        divergence,
        normal((4,)),
        "x",
        None,
        "The loss is the divergence of q from p, and the gradient that of p from q.",
    ),
    wrong(
        "log_sum_exp_not_normalised",
        log_sum_exp_a,
        SEVEN,
        "x",
        None,
        "The exponentials are not divided by their sum.",
    ),
    wrong(
        "log_sum_exp_shifts_x",
        log_sum_exp_b,
        SEVEN,
        None,
        "writes into its input",
        "x -= x.max() guards against overflow in the array of the caller.",
    ),
    wrong(
        "cross_entropy_small_number_in_log",
        cross_entropy_a,
        fixed([1e-5, 0.6, 0.39, 2e-6]),
        "x",
        None,
        "The logarithm is of y + 1e-7, the gradient of y: they part where y is small.",
    ),
    wrong(
        "cross_entropy_mean_over_classes",
        cross_entropy_b,
        normal((5, 3)),
        "x",
        "factor 1/C",
        "The gradient is divided by the number of all entries instead of the number of rows.",
    ),
    wrong(
        "f_of_another_batch_each_time",
        targets,
        SEVEN,
        None,
        "not deterministic",
        "Each call of f takes the next batch, by a counter that no seed sets back.",
    ),
    wrong(
        "gradient_of_last_x",
        exponential,
        SEVEN,
        "x",
        "stale batch",
        "grad_f gives the gradient at the point of the call before.",
    ),
)
