"""What functions hold, a generator and an array they write into, whatever form they are brought into for the check."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from chainrule import check_jacobian, check_problem
from chainrule.checking.reach import reach

X = np.array([1.0, 2.0, 3.0])
TWICE = 2 * np.eye(3)


class Noisy:
    """Holds a generator and a counter."""

    def __init__(self) -> None:
        self.rng, self.calls = np.random.default_rng(1), np.zeros(1)

    def f(self, x: Any) -> Any:
        self.calls += 1
        return 2 * x + self.rng.normal(size=x.shape)


def twice(x: Any) -> Any:
    return TWICE


def square(x: Any) -> Any:
    return x @ x


def constraint(noisy: Noisy) -> Any:
    class Constraint:
        fun, jac = noisy.f, staticmethod(twice)

        @staticmethod
        def hess(x: Any, v: Any) -> Any:
            return np.zeros((3, 3))

    return check_problem(square, X, jac=lambda x: 2 * x, constraints=Constraint())["constraints[0].jac"]


WAYS: dict[str, Callable[[Noisy], Any]] = {
    "as it is": lambda noisy: check_jacobian(noisy.f, TWICE, X),
    "retract": lambda noisy: check_jacobian(noisy.f, TWICE, X, retract=lambda x, d: x + d),
    "complex": lambda noisy: check_jacobian(noisy.f, TWICE, X + 1j),
    "problem": lambda noisy: check_problem(noisy.f, X, jac=twice)["jac"],
    "constraint": constraint,
}


@pytest.mark.parametrize("way", WAYS)
def test_generators_and_arrays_are_found_and_put_back(way: str) -> None:
    noisy = Noisy()
    before = noisy.rng.bit_generator.state
    assert WAYS[way](noisy).ok
    assert noisy.rng.bit_generator.state == before
    assert noisy.calls[0] == 0


def test_arguments_of_a_partial_call_have_the_names_of_the_parameters() -> None:
    def model(weights: Any, x: Any, offset: Any = 0) -> Any:
        return weights * x + offset

    found = reach(subject=partial(model, np.ones(2), offset=np.ones(3)))
    assert {"weights", "offset"} <= {name for name, _ in found.values()}


def test_numbers_between_equal_bounds_are_told() -> None:
    report = check_jacobian(lambda x: x**2, lambda x: np.diag(2 * x), [0.5, 1.0], bounds=([0, 1], [1, 1]))
    assert report.verdict == "unproven"
    assert report.notes == ("1 of 2 numbers of x cannot move: the bounds are equal",)


def test_a_factor_that_is_nearly_1_is_not_told_as_1() -> None:
    report = check_jacobian(np.sin, lambda x: (1 + 1e-6) * np.diag(np.cos(x)), X)
    assert report.cause == "factor 1.000001"


def test_a_matrix_is_not_told_as_held_fixed_with_coordinates() -> None:
    report = check_jacobian(lambda d: d, np.eye(3), X, local=lambda y, z: z - y)
    assert report.ok
    assert report.held_fixed == ()


def test_what_cannot_be_a_retraction_is_refused() -> None:
    for retract in (3, (lambda x, d: x + d, None)):
        with pytest.raises(TypeError, match=r"retract must be a function, or one for each argument \(x\)"):
            check_jacobian(lambda x: x, np.eye(3), X, retract=retract)
    with pytest.raises(ValueError, match="broadcast") as raised:
        check_jacobian(lambda x: x[:2], np.eye(2), X, retract=lambda x, d: x + d)
    assert "jac has 2 columns for x" in "".join(raised.value.__notes__)
