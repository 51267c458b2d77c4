"""The cases that a gradient check is tested on: each is what it says it is, as far as that shows without a check."""

from __future__ import annotations

import numpy as np
import pytest

from mutants import CAUSES, RIGHT, WRONG, Case

CASES = {case.name: case for case in WRONG + RIGHT}


def test_no_two_cases_share_a_name() -> None:
    assert len(CASES) == len(WRONG) + len(RIGHT)


def test_there_are_wrong_ones_of_every_kind_and_right_ones_of_every_kind() -> None:
    for cases, least in ((WRONG, 50), (RIGHT, 30)):
        assert len(cases) >= least
        assert {case.kind for case in cases} == {"layer", "network", "pair"}


@pytest.mark.parametrize("name", CASES)
def test_a_case_says_what_is_expected_of_a_check(name: str) -> None:
    case = CASES[name]
    wrong = case in WRONG
    assert case.story.endswith(".")
    assert case.cause is None or case.cause in CAUSES
    assert wrong or (case.cause is None and case.expect != "fails")
    assert not wrong or case.expect != "passes"
    assert case.layer is None or case.kind == "network"


@pytest.mark.parametrize("name", CASES)
def test_a_case_runs_on_its_arguments_and_gives_finite_numbers(name: str) -> None:
    case = CASES[name]
    subject, arguments = case.make(), case.arguments(np.random.default_rng(0))
    outputs = value(case, subject, arguments)
    assert all(np.isfinite(np.asarray(out)).all() for out in outputs)


@pytest.mark.parametrize("name", [case.name for case in RIGHT if case.kind == "network"])
def test_the_right_networks_give_a_gradient_for_every_parameter_in_its_shape(name: str) -> None:
    case = CASES[name]
    net, arguments = case.make(), case.arguments(np.random.default_rng(0))
    gradient = net.gradient(*arguments)
    assert {name: np.shape(gradient[name]) for name in net.params} == {k: p.shape for k, p in net.params.items()}


def value(case: Case, subject: object, arguments: tuple[object, ...]) -> tuple[object, ...]:
    """Evaluate the subject, whatever kind it is."""
    if case.kind == "network":
        return (subject.loss(*arguments),)  # type: ignore[attr-defined]
    if case.kind == "pair":
        return (subject[0](*arguments),)  # type: ignore[index]
    out = subject.forward(*arguments)  # type: ignore[attr-defined]
    return out if isinstance(out, tuple) else (out,)
