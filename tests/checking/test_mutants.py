"""The check on wrong and right subjects: who is wrong, where and why, and nobody else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients
from chainrule.checking.subjects import adapt
from lengths import short_and_long
from mutants import HAZARDS, RIGHT, WRONG, Case
from random_right import make

CASES = {case.name: case for case in WRONG + RIGHT}
SEEDS = (0, 1)
#: Seen from outside these are the same.
SAME = {"mean for sum": "factor 1/N", "sum for mean": "factor N"}
#: Their cause cannot be told from outside, or another explains what is seen as well.
OTHER_CAUSES = {
    "line_intercept_not_averaged": "the number of examples is inside f",
    "jacobian_for_gradient": "the Jacobian summed over its rows is the gradient",
}


def report_of(case: Case, seed: int) -> GradientReport:
    return check_gradients(case.make(), *case.arguments(np.random.default_rng(seed)), strict=True)


def found(report: GradientReport) -> str:
    """Give what the report says in the words of the cases."""
    if report.verdict == "unproven":
        return "vacuous" if report.vacuous else "kink" if report.kinks else "unresolved"
    return {"right": "passes", "wrong": "fails"}[report.verdict]


def expected_array(case: Case) -> str | None:
    """Give the name that the first wrong array has in a report: arguments have their own names there."""
    if case.parameter is None or case.kind == "network":
        return case.parameter
    numbers = {"x": 0, "y": 1} | {f"x{i}": i for i in range(5)}
    if case.parameter not in numbers:
        return case.parameter
    inputs = adapt(case.make(), case.arguments(np.random.default_rng(0))).inputs
    return list(inputs)[numbers[case.parameter]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", CASES)
def test_the_verdict_is_right(name: str, seed: int) -> None:
    case = CASES[name]
    report = check_gradients(case.make(), *case.arguments(np.random.default_rng(seed)))
    if name not in HAZARDS:
        assert found(report) == case.expect, str(report)
        return
    assert report.verdict == "right", str(report)
    assert str(case.cause) in [hazard.cause for hazard in report.hazards]
    assert report_of(case, seed).verdict == "wrong"


@pytest.mark.parametrize("name", [case.name for case in RIGHT])
def test_what_is_right_has_no_hazard(name: str) -> None:
    assert not report_of(CASES[name], 0).hazards


@pytest.mark.parametrize("name", [case.name for case in WRONG if case.expect == "fails"])
def test_the_place_is_right(name: str) -> None:
    case, report = CASES[name], report_of(CASES[name], 0)
    wrong = [a.name for a in report.arrays if a.verdict == "wrong"]
    first = wrong[0] if wrong else None
    expected = None if name in HAZARDS else expected_array(case)  # the numbers of a hazard are right
    assert (report.layer, first) == (case.layer, expected), str(report)


@pytest.mark.parametrize(
    "name", [case.name for case in WRONG if case.cause is not None and case.name not in OTHER_CAUSES]
)
def test_the_cause_is_right(name: str) -> None:
    case, report = CASES[name], report_of(CASES[name], 0)
    cause = SAME.get(str(case.cause), str(case.cause))
    assert report.cause is not None
    assert cause in report.cause, str(report)


@pytest.mark.parametrize("name", [c.name for c in RIGHT if c.kind != "pair" and c.expect == "passes"])
def test_right_ones_pass_along_directions_too(name: str) -> None:
    case = CASES[name]
    report = check_gradients(case.make(), *case.arguments(np.random.default_rng(0)), mode="directions")
    assert report.verdict != "wrong", str(report)


@pytest.mark.parametrize("start", short_and_long(range(4), 1))
def test_most_wrong_ones_are_caught_along_directions_too(start: int) -> None:
    """Not all: a direction through a corner tells less than an entry beside it."""
    failing = [case for case in WRONG if case.expect == "fails"][start::4]
    caught = [
        check_gradients(c.make(), *c.arguments(np.random.default_rng(0)), mode="directions", strict=True).verdict
        == "wrong"
        for c in failing
    ]
    assert np.mean(caught) > 0.95  # of about eighty: nearly all are


@pytest.mark.parametrize("start", short_and_long(range(0, 1000, 50), 250))
def test_no_false_alarm_in_a_thousand_random_right_cases(start: int) -> None:
    """Seeds 0 to 999, shapes and dtypes of all kinds, scales from 1e-6 to 1e6; the message says which."""
    alarms: list[Any] = []
    for seed in range(start, start + 50):
        description, subject, arguments = make(seed)
        report = check_gradients(subject, *arguments)
        if report.verdict == "wrong":
            alarms.append(f"{description}\n{report}")
    assert not alarms, "\n\n".join(alarms)
