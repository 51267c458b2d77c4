"""Bounds, manifolds, complex numbers, arrays deep in the arguments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients, check_jacobian

RNG = np.random.default_rng(0)


# --- bounds ---


def guarded(x: Any) -> Any:
    """Refuse what lies beyond the bounds."""
    assert np.all((x >= 0) & (x <= 2)), x
    return np.array([np.sin(x).sum(), x[0] * x[1], np.sqrt(x[1]) * x[2] ** 2])


def guarded_jac(x: Any) -> Any:
    root = np.sqrt(x[1])
    return np.array([np.cos(x), [x[1], x[0], 0], [0, x[2] ** 2 / (2 * root), 2 * x[2] * root]])


@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("x", [[0.0, 1.0, 2.0], [2.0, 0.7, 0.0], [1e-9, 1.0, 2 - 1e-7], [0.4, 1.0, 1.2]])
def test_nothing_is_evaluated_beyond_bounds(x: Any, mode: Any) -> None:
    report = check_jacobian(guarded, guarded_jac, x, bounds=(0, 2), mode=mode)
    assert report.ok, report
    beside = sum(min(v, 2 - v) < 1e-3 for v in x)
    assert (f"{beside} of 3 numbers of x lie at a bound" in str(report)) == (beside > 0)
    wrong = check_jacobian(guarded, lambda x: guarded_jac(x) * [1.001, 1, 1], x, bounds=(0, 2), mode=mode)
    assert wrong.verdict == "wrong"
    assert wrong.arrays[0].where[1] == 0


@pytest.mark.parametrize("by_products", [False, True])
@pytest.mark.parametrize("mode", ["full", "directions"])
@pytest.mark.parametrize("factor", [1.0, 1.001])
@pytest.mark.parametrize("x", [[0.0, 1.0, 2.0], [1e-4, 0.7, 0.0], [0.4, 1.0, 1.9999], [2.0, 0.3, 0.1]])
def test_nor_is_it_to_find_out_what_is_wrong(x: Any, factor: float, mode: Any, by_products: bool) -> None:
    """What f raises beyond its bounds could be taken for a refusal of f: so it is written down."""
    lowest, highest = [], []

    def noted(x: Any) -> Any:
        lowest.append(x.min(initial=np.inf))
        highest.append(x.max(initial=-np.inf))
        return np.array([np.sin(x).sum(), x[0] * x[1], (1 + x[1]) * x[2] ** 2])

    def jac(x: Any) -> Any:
        return factor * np.array([np.cos(x), [x[1], x[0], 0], [0, x[2] ** 2, 2 * (1 + x[1]) * x[2]]])

    products = (lambda x, v: jac(x) @ v, lambda x, w: jac(x).T @ w)
    report = check_jacobian(noted, products if by_products else jac, x, bounds=(0, 2), mode=mode)
    assert report.verdict == ("right" if factor == 1 else "wrong")
    assert min(lowest) >= 0
    assert max(highest) <= 2


def test_a_function_that_is_not_smooth_at_its_bound_is_no_false_alarm() -> None:
    report = check_jacobian(lambda x: x**1.5, lambda x: np.diag(1.5 * np.sqrt(x)), [0.0, 1.0], bounds=(0, np.inf))
    assert report.verdict != "wrong"


def test_where_there_is_no_room_nothing_is_proved() -> None:
    bounds = (np.array([0.0, 1.0]), np.array([5.0, 1.0]))
    report = check_jacobian(np.sin, lambda x: np.diag(np.cos(x)), [1.0, 1.0], bounds=bounds)
    assert report.verdict == "unproven"


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        ((1, 2), ValueError, r"^x\[0\] is 0, which is not between its bounds 1 and 2"),
        ({"y": (0, 1)}, ValueError, "bounds names 'y', but the arguments are x"),
        (3, TypeError, "must be a pair"),
    ],
)
def test_bounds_that_cannot_be_are_refused(bounds: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        check_jacobian(np.sin, lambda x: np.diag(np.cos(x)), np.zeros(2), bounds=bounds)


# --- manifolds: unit quaternions, moved from the right by a rotation vector ---


def times(a: Any, b: Any) -> Any:
    w, x, y, z = a
    s, u, v, t = b
    return np.array(
        [
            w * s - x * u - y * v - z * t,
            w * u + x * s + y * t - z * v,
            w * v - x * t + y * s + z * u,
            w * t + x * v - y * u + z * s,
        ]
    )


def retract(q: Any, d: Any) -> Any:
    angle = np.linalg.norm(d)
    return times(q, np.r_[np.cos(angle / 2), np.sinc(angle / 2 / np.pi) * d / 2])


def local(a: Any, b: Any) -> Any:
    w, *v = times(a * [1, -1, -1, -1], b)
    size = np.linalg.norm(v)
    return 2 * np.arctan2(size, w) * np.array(v) / size if size > 1e-12 else 2 * np.array(v)


def matrix(q: Any) -> Any:
    return np.stack([times(times(q, np.r_[0, e]), q * [1, -1, -1, -1])[1:] for e in np.eye(3)], axis=1)


def cross(v: Any) -> Any:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


Q, P = RNG.standard_normal(4), RNG.standard_normal(3)
Q /= np.linalg.norm(Q)


def rotate(q: Any, p: Any) -> Any:
    return matrix(q) @ p


def test_columns_are_by_tangent_coordinates() -> None:
    def derivatives(q: Any, p: Any) -> Any:
        return -matrix(q) @ cross(p), matrix(q)

    assert check_jacobian(rotate, derivatives, Q, P, retract=retract).ok
    assert check_jacobian(rotate, derivatives, Q, P, retract={"q": retract}).ok
    assert check_jacobian(rotate, derivatives, Q, P, retract=(retract, None)).ok
    # From the left: the derivative of another retraction.
    other = check_jacobian(rotate, lambda q, p: (-cross(matrix(q) @ p), matrix(q)), Q, P, retract=retract)
    assert [a.verdict for a in other.arrays] == ["wrong", "right"]
    sign = check_jacobian(rotate, lambda q, p: (matrix(q) @ cross(p), matrix(q)), Q, P, retract=retract)
    assert sign.cause == "factor -1"


def test_rows_are_in_coordinates_at_the_output() -> None:
    other = RNG.standard_normal(4)
    other /= np.linalg.norm(other)

    def product(q: Any) -> Any:
        return times(q, other)

    assert check_jacobian(product, lambda q: matrix(other).T, Q, retract=retract, local=local).ok
    assert check_jacobian(product, lambda q: matrix(other), Q, retract=retract, local=local).cause == "transposed"


def test_coordinates_that_do_not_begin_where_they_must_are_refused() -> None:
    def jac(q: Any, p: Any) -> Any:
        return np.zeros((3, 3)), np.zeros((3, 3))

    with pytest.raises(ValueError, match=r"retract\(q, 0\) is .*, but must be q"):
        check_jacobian(rotate, jac, Q, P, retract=lambda q, d: q + 1)
    with pytest.raises(ValueError, match=r"local\(y, y\) is .*, but must be 0"):
        check_jacobian(rotate, jac, Q, P, retract=retract, local=lambda a, b: b)
    with pytest.raises(ValueError, match="retract names 'r'"):
        check_jacobian(rotate, jac, Q, P, retract={"r": retract})


# --- complex numbers ---

Z = RNG.standard_normal(3) + 1j * RNG.standard_normal(3)


def test_a_holomorphic_function() -> None:
    assert check_jacobian(lambda z: z**2, lambda z: np.diag(2 * z), Z).ok
    assert check_jacobian(lambda z: z**2, lambda z: np.diag(2 * z.conj()), Z).cause == "conjugate"
    assert check_jacobian(lambda z: z**2, lambda z: np.diag(z), Z).cause == "factor 1/2"
    assert check_jacobian(np.conj, lambda z: np.eye(3), Z).verdict == "wrong"


def test_a_real_function_by_both_conventions() -> None:
    def energy(z: Any) -> Any:
        return (np.abs(z) ** 2).sum()

    plus, minus = (check_jacobian(energy, g, Z) for g in (lambda z: 2 * z, lambda z: 2 * z.conj()))
    assert plus.ok
    assert minus.ok
    assert "read as ∂f/∂a + i ∂f/∂b of each number a + i b" in plus.notes
    assert "read as ∂f/∂a - i ∂f/∂b of each number a + i b" in minus.notes
    assert check_jacobian(energy, lambda z: z, Z).cause == "factor 1/2"


def test_a_pair_of_complex_numbers_goes_here_by_itself() -> None:
    assert check_gradients((lambda z: (np.abs(z) ** 2).sum(), lambda z: 2 * z), Z).ok
    assert check_gradients((np.exp, np.exp), Z).ok
    assert check_gradients((np.exp, lambda z: np.exp(z.conj())), Z).cause == "conjugate"


# --- deep in the arguments ---


def test_arrays_in_dicts_and_tuples_within_others() -> None:
    point = {"a": np.arange(3.0) + 1, "layers": [{"W": RNG.standard_normal((2, 3))}, (np.ones(2),)], "rate": 0.1}

    def value(p: Any) -> Any:
        return p["a"].sum() ** 2 + (p["layers"][0]["W"] @ p["a"] + p["layers"][1][0]).sum()

    def gradient(p: Any) -> Any:
        a, w = p["a"], p["layers"][0]["W"]
        return {"a": 2 * a.sum() + w.sum(axis=0), "layers": [{"W": np.tile(a, (2, 1))}, (np.ones(2),)]}

    report = check_gradients((value, gradient), point)
    assert report.ok
    assert [a.name for a in report.arrays] == ["p['a']", "p['layers'][0]['W']", "p['layers'][1][0]"]

    def wrong(p: Any) -> Any:
        found = gradient(p)
        found["layers"][0]["W"] *= 2
        return found

    assert [a.verdict for a in check_gradients((value, wrong), point).arrays] == ["right", "wrong", "right"]
