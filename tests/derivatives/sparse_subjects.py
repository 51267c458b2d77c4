"""The sparse Jacobians of `derivatives.sparse`, right and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse as sp

from derivatives import sparse as s
from derivatives.case import Subject, Wrong
from derivatives.sparse import LOWER, RNG, UPPER, G, N, by_columns, put, spoiled, triplets

U = RNG.uniform(0.2, 1.5, N)
TWO = np.concatenate([RNG.uniform(0.5, 1.5, N), RNG.uniform(-0.5, 0.8, N)])
Y0 = RNG.uniform(0.2, 1.0, 6)
BUSES = np.array([0.0, -0.1, 0.15, 0.05, 1.0, 0.97, 1.03, 0.99])
PATH = RNG.uniform(-1, 1, 14)


def minus(a: Any) -> Any:
    return -a


def zero(a: Any) -> Any:
    return 0 * a


def half(a: Any) -> Any:
    return a / 2


def twice(a: Any) -> Any:
    return 2 * a


def masked(mask: Any) -> Any:
    """Give a function that leaves the entries where a mask is true."""
    return lambda matrix: np.where(mask, matrix, 0)


BAND = np.subtract.outer(np.arange(N), np.arange(N))

SUBJECTS = (
    Subject("burgers", s.burgers, s.burgers_jac, (U,), (
        Wrong("band_turned", lambda u: s.burgers_jac(u).T, "transposed", "scipy/scipy#3145"),
        Wrong("no_upper", spoiled(s.burgers_jac, masked(BAND != -1)), "zero above the diagonal"),
        Wrong("one_neighbour", spoiled(s.burgers_jac, put((np.s_[4, 5], minus))), "J[4, 5], factor -1"),
        Wrong("last_row", spoiled(s.burgers_jac, put((-1, zero))), "row 11 zero", "leggedrobotics/raisimLib#44"),
    )),
    Subject("bratu", s.bratu, s.bratu_jac, (U,), (
        Wrong("frozen", lambda u: s.bratu_jac(u) - sp.diags_array(2 * np.exp(u)), ""),
        Wrong("minus_identity", lambda u: s.bratu_jac(u) - 0.5 * sp.eye_array(N), "times the identity",
              "SciML/ModelingToolkit.jl#1668"),
        Wrong("from_one", triplets(s.bratu_jac, lambda v, r, c: (v[(r < N - 1) & (c < N - 1)],
              r[(r < N - 1) & (c < N - 1)] + 1, c[(r < N - 1) & (c < N - 1)] + 1)), "", "coin-or/Ipopt#350"),
    )),
    Subject("periodic", s.periodic, s.periodic_jac, (U,), (
        Wrong("other_side", lambda u: sp.diags_array(u) - sp.csr_array(np.roll(np.diag(u), -1, axis=0)), ""),
        Wrong("wrap", triplets(s.periodic_jac, lambda v, r, c: (np.where((r == 0) & (c == N - 1), 0, v), r, c)),
              "J[0, 11]"),
        Wrong("constants", lambda u: s.periodic_jac(np.ones(N)), "factor 1/x"),
    )),
    Subject("heat", s.heat, s.heat_jac, (RNG.uniform(0, 2, (G, G)),), (
        Wrong("constant_conductivity", lambda t: s.heat_jac(t, 0.0), "", "idaholab/moose#4721"),
        Wrong("corner", lambda t: s.heat_jac(t, corners=False), "rows 1, 4"),
        Wrong("turned", lambda t: s.heat_jac(t).T, "transposed"),
    )),
    Subject("coupled", s.coupled, s.coupled_jac, (TWO,), (
        Wrong("no_factor", spoiled(s.coupled_jac, put((LOWER, lambda a: a / 3))), "factor 0.333333",
              "idaholab/moose#9582"),
        Wrong("lost_power", spoiled(s.coupled_jac, put((UPPER, lambda a: a / TWO[:N]))), "", "idaholab/moose#5938"),
        Wrong("all_twice", lambda x: 2 * s.coupled_jac(x), "factor 2", "idaholab/moose#5316"),
        Wrong("no_coupling", spoiled(s.coupled_jac, put((UPPER, zero))), "entries missing", "idaholab/moose#13159"),
        Wrong("other_block", spoiled(s.coupled_jac, lambda a: np.block([[a[:N, :N], a[LOWER]], [a[UPPER], a[N:, N:]]])),
              "", "idaholab/moose#4203"),
        Wrong("no_second_diagonal", spoiled(s.coupled_jac, put((np.s_[N:, N:], zero))), "entries missing",
              "idaholab/moose#7437"),
    )),
    Subject("kinetics", s.kinetics, s.kinetics_jac, (Y0,), (
        Wrong("no_third_body", lambda y: s.kinetics_jac(y, 0.0), "", "SLACKHA/pyJac#26"),
        Wrong("third_twice", lambda y: s.kinetics_jac(y, 2.0), "", "mutationpp/Mutationpp#96"),
        Wrong("two", spoiled(s.kinetics_jac, put((np.s_[2, 1], half))), "J[2, 1], factor 1/2"),
    )),
    Subject("power", s.power, s.power_jac, (BUSES,), (
        Wrong("no_own_current", lambda x: s.power_jac(x, False), ""),
        Wrong("missing", spoiled(s.power_jac, put((np.s_[4:6, 2], zero), (np.s_[7, 6], zero))), "entries missing",
              "Sienna-Platform/PowerFlows.jl#366"),
        Wrong("real_for_imaginary", spoiled(s.power_jac, lambda a: a[[4, 5, 6, 7, 0, 1, 2, 3]]), "rows moved on by 4"),
        Wrong("pattern_of_a_random_point", spoiled(s.power_jac, masked(~np.eye(8, 8, 4, bool))), "entries missing",
              "MATPOWER/matpower#72"),
    )),
    Subject("pendulum", s.pendulum, s.pendulum_jac, (PATH,), (
        Wrong("late", s.pendulum_late, ""),
        Wrong("no_cos", spoiled(s.pendulum_jac, put((np.s_[1::2, 2::2], lambda a: np.where(a != 0, 0.981, 0)))), ""),
        Wrong("explicit", spoiled(s.pendulum_jac, put((np.s_[4, 5], lambda a: -0.1), (np.s_[4, 7], zero))), "row 4"),
    )),
    Subject("linear", s.linear, s.linear_jac, (RNG.standard_normal(10),), (
        Wrong("other_order", triplets(s.linear_jac, by_columns), "", "coin-or/Ipopt#268"),
        Wrong("rows_for_columns", lambda x: s.linear_jac(x).T, "transposed", "mechmotum/cyipopt#77", nowhere=True),
        Wrong("no_quadratic", spoiled(s.linear_jac, put((np.s_[:, 9], zero))), "column 9 zero"),
    )),
    Subject("every_second", s.every_second, s.every_second_jac, (RNG.standard_normal(10),), (
        Wrong("the_first_half", lambda x: sp.csr_array(([*(2 * x[:5]), x[3], x[1]],
              ([0] * 5 + [1, 1], [0, 1, 2, 3, 4, 1, 3])), shape=(2, 10)), "row 0", "coin-or/CppAD#20"),
        Wrong("given_twice", triplets(s.every_second_jac, lambda v, r, c: (np.append(v, v[2]), np.append(r, r[2]),
              np.append(c, c[2]))), "column 4: factor 2", "OpenMDAO/OpenMDAO#817"),
    )),
    Subject("squeezed", s.squeezed, s.squeezed_jac, (np.array([0.4, 0.7]),), (
        Wrong("no_empty_rows", lambda x: s.squeezed_jac(x)[[0, 3, 1, 2, 4]], "rows 1 and 3 swapped",
              "casadi/casadi#80"),
    )),
    Subject("oscillators", s.oscillators, s.oscillators_jac, (RNG.uniform(0.3, 1.2, 10),), (
        Wrong("dense_blocks", lambda x: s.oscillators_jac(x) + sp.block_diag([np.diag([0.1, 0])] * 5),
              "should be zero"),
        Wrong("pairs", lambda x: s.oscillators_jac(x)[np.arange(10) ^ 1], "rows in another order"),
        Wrong("damping", spoiled(s.oscillators_jac, put((np.s_[1::2, 1::2], minus))), "factor -1"),
    )),
    Subject("richards", s.richards, s.richards_jac, (RNG.uniform(0.3, 1.5, 8),), (
        Wrong("below_the_boundary", spoiled(s.richards_jac, put((np.s_[0, 0], lambda a: a + 3.0))), "J[0, 0]",
              "amanzi/amanzi#870"),
        Wrong("fixed_conductivity", lambda p: s.richards_jac(np.full(8, 1.0)), ""),
    )),
    Subject("springs", s.springs, s.springs_jac, (RNG.standard_normal(12),), (
        Wrong("other_end", lambda x: s.springs_jac(x, 0), "", "wkindling/Yarn-cloth-sim#2"),
        Wrong("one_end", spoiled(s.springs_jac, put((np.s_[3, :2], zero))), "entries missing"),
        Wrong("no_length", lambda x: sp.diags_array(s.springs(x) + 1) @ s.springs_jac(x), "rows"),
    )),
    Subject("elementwise", s.elementwise, s.elementwise_jac, (RNG.standard_normal(9),), (
        Wrong("one_term", lambda x: sp.diags_array(np.log1p(np.exp(x))), ""),
        Wrong("moved", lambda x: sp.csr_array(np.roll(s.elementwise_jac(x).toarray(), 1, axis=0)),
              "rows moved on by 1"),
    )),
    Subject("observed", s.observed, s.observed_jac, (RNG.standard_normal(20),), (
        Wrong("no_slope", lambda x: s.B, "1/(1 - f²)"),
        Wrong("columns", lambda x: s.observed_jac(x).tocsc()[:, [*range(7), 12, *range(8, 12), 7, *range(13, 20)]],
              "columns 7 and 12 swapped"),
    )),
    Subject("sums", s.sums, s.sums_jac, (RNG.standard_normal(20),), (
        Wrong("strides", lambda x: sp.csr_array((2 * x, (np.arange(20) % 5, np.arange(20))), shape=(5, 20)), ""),
        Wrong("no_two", lambda x: s.sums_jac(x) / 2, "factor 1/2"),
        Wrong("block", spoiled(s.sums_jac, put((np.s_[2], zero))), "row 2 zero"),
    )),
    Subject("truss", s.truss, s.truss_jac, (RNG.uniform(-1, 1, 9),), (
        Wrong("last_wins", triplets(s.truss_jac, lambda v, r, c: (
            lambda u: (v[u], r[u], c[u]))(np.unique(r * 9 + c, return_index=True)[1])), ""),
        Wrong("linear", lambda u: s.truss_jac(0 * u), ""),
    )),
    Subject("zeros_given", s.burgers, lambda u: sp.csr_array(np.ones((N, N))) * 0 + s.burgers_jac(u), (U,)),
    Subject("superset", s.squeezed, lambda x: sp.coo_array((s.squeezed_jac(x).toarray().ravel(),
            (np.repeat(np.arange(5), 2), np.tile([0, 1], 5))), shape=(5, 2)), (np.array([0.4, 0.7]),)),
    Subject("matrix", s.heat, lambda t: sp.dok_matrix(s.heat_jac(t)), (RNG.uniform(0, 2, (G, G)),)),
)  # fmt: skip
