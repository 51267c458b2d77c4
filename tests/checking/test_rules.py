"""The rules that keep the check from believing what it should not: each fails a test here if it is taken out."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chainrule import check_gradients
from chainrule.checking.evaluation import NumericEvaluation
from chainrule.checking.finite_differences import Found, Slopes, confirmed, differentiate
from chainrule.checking.judging import Tolerance, excess
from chainrule.checking.long_steps import try_long_steps
from chainrule.checking.perturbation import EntryStencil, Outputs
from chainrule.checking.precision import FLOAT32

# --- the rule itself ---


def judged(claimed: Any, values: Any, bars: Any, largest: float = 1.0) -> list[bool]:
    claimed, values, bars = (np.asarray(a, np.float64) for a in (claimed, values, bars))
    rule = Tolerance(claimed, 1e-7, False, largest, 1e-16)
    nothing = np.zeros_like(bars)
    return [bool(b) for b in rule.compared(Slopes(values, nothing, nothing, bars))]


def test_an_entry_is_compared_if_its_bar_is_a_twentieth_at_most() -> None:
    assert judged([1, 1, 0, 1e-9], [1, 1, 1, 1e-9], [0.049, 0.051, 0.049, 4e-11]) == [True, False, True, True]


def test_two_sides_that_are_0_within_1e_13_of_the_largest_are_compared() -> None:
    assert judged([0, 0, 5e-14, 2e-13], [0, 5e-14, 0, 0], [1e-12, 1e-12, 1e-12, 1e-12]) == [True, True, True, False]
    assert judged([0, 0], [0, 1e-14], [1e-9, 1e-9]) == [True, False]  # exactly 0, and nearly
    assert judged([0], [0], [1e-6]) == [False]


def test_one_unresolved_entry_makes_the_report_unproven_and_is_not_counted() -> None:
    """The true slope is 1e-9, and f is a wave in it, so that no far step can show more."""
    pair = (
        lambda x: float(1e6 + x[0] + 1e-9 * np.sin(x[1])),
        lambda x: np.array([1.0, 1e-9 * np.cos(x[1])]),
    )
    report = check_gradients(pair, np.array([0.7, 0.3]))
    (x,) = report.arrays
    assert (report.verdict, x.verdict, x.checked) == ("unproven", "unresolved", 1)
    assert x.note.startswith("1 of 2 entries unresolved, the worst x[1]: ")


def test_what_the_tolerance_is_wider_than_is_not_compared() -> None:
    """Of float32 that is 7.6e-6 of the largest entry; of a slope that does not stand out, what is not told from 0."""
    one, nothing = np.ones(1), np.zeros(1)
    known = Slopes(1e-6 * one, nothing, nothing, 1e-12 * one)
    assert Tolerance(1e-6 * one, 1e-7, False, 1.0, 1e-16).compared(known).all()
    assert not Tolerance(1e-6 * one, 1e-7, True, 1.0, 1e-16).compared(known).any()
    assert judged([1e-14], [0], [1e-16], largest=1e-3) == [False]


def test_code_that_rounds_inside_is_judged_by_the_digits_it_has() -> None:
    one, nothing = np.ones(1), np.zeros(1)
    slopes = Slopes(one, nothing, nothing, 1e-9 * one)
    rule = Tolerance(one + 1e-5, 1e-7, False, 1.0, 1e-16)
    kinks = np.zeros(1, bool)
    assert excess(Found(slopes, kinks, one), rule)[0] > 0
    assert excess(Found(slopes, kinks, one, FLOAT32), rule)[0] < 0


# --- rules that keep from believing what should not be ---


def plain(f: Callable[[Any], Any], x: Any, noise: float) -> EntryStencil:
    return EntryStencil(lambda: np.atleast_1d(f(x)), x, Outputs(np.atleast_1d(f(x)), np.ones(1), np.array([noise])))


def test_the_first_step_of_many_is_none_that_a_shorter_one_contradicts() -> None:
    """A wave that stands still at every second step of a sixteenth: the longest step has the smallest bar, and lies."""
    x = np.full(20, 1.0)

    def f(x: Any) -> Any:
        return np.sin(64 * np.pi * (x - 1)).sum()

    true = np.full(20, 64 * np.pi)
    found = differentiate(
        plain(f, x, 1e-12), np.arange(20), np.ones(20), 0 * true, lambda _: np.full(20, 1e3), np.full(20, np.inf)
    )
    assert (np.abs(found.slopes.value - true) <= found.slopes.bar).all()


def test_a_second_look_takes_the_word_of_a_shorter_step_against_a_longer_one() -> None:
    """What was found is that a wave has no slope, with a bar of nothing; the claim is wrong too."""
    x = np.array([1.0])
    moving = plain(lambda x: np.sin(64 * np.pi * (x - 1)), x, 1e-13)
    none = np.zeros(1)
    found = Found(Slopes(none, none, none, np.full(1, 1e-6)), np.zeros(1, bool), np.full(1, 0.0625))
    again = confirmed(moving, np.arange(1), found, np.full(1, 5.0), lambda _: np.full(1, 1e-9))
    assert abs(again.slopes.value[0] - 64 * np.pi) <= again.slopes.bar[0] < 64 * np.pi


def test_the_noise_of_a_tiny_array_is_not_that_of_a_huge_one_beside_it() -> None:
    """Moved with the others, what rounding makes of 1e9 would drown the slope of 1e-6."""

    class Sum:
        def __init__(self) -> None:
            self.W, self.V = np.array([1e12]), np.array([1e-4, 3e-4])

        def forward(self, x: Any) -> Any:
            self.x = x
            return np.array(np.sin(self.W * 1e3).sum() + np.sin(self.V * x).sum())

        def backward(self, dout: Any) -> Any:
            self.dW, self.dV = dout * np.cos(self.W * 1e3), dout * self.x * np.cos(self.V * self.x)
            return dout * self.V * np.cos(self.V * self.x)

    report = check_gradients(Sum(), np.array([0.3, 0.7]))
    assert {a.name: a.verdict for a in report.arrays}["V"] == "right"


def test_rounding_of_one_entry_that_the_others_hide_is_asked_of_that_entry_before_it_is_called_wrong() -> None:
    for seed in range(30):
        x = np.random.default_rng(seed).standard_normal(4)
        pair = (
            lambda x: float(1e6 * x[1:].sum() + np.float64(np.float32(x[0]))),
            lambda x: np.array([1, 1e6, 1e6, 1e6]),
        )
        assert check_gradients(pair, x).verdict != "wrong", f"seed {seed}"


def test_the_noise_of_another_batch_is_measured_where_its_inputs_are_moved() -> None:
    """Not where only parameters are: those are nearly the same."""

    def side(x: Any, like: Any = None) -> NumericEvaluation:
        a = np.array([x])
        subject: Any = SimpleNamespace(
            engine=lambda: None,
            thing=None,
            arrays={"x": a},
            parameters={},
            inputs={"x": a},
            outputs=lambda: [np.sin(a)],
        )
        return NumericEvaluation(subject, ["x"], SimpleNamespace(rewind=lambda: None), [np.ones(1)], like=like)  # type: ignore[arg-type]

    assert side(1e9, like=side(1.0)).noise[0] > 1e-8


def wavy(wave: float) -> Callable[[Any], Any]:
    """Give a wave, and 0.1 of a line."""
    k = 2 * np.pi / wave
    return lambda x: np.sin(k * x) / k + 0.1 * x


def far_slope(f: Callable[[Any], Any], bar: float) -> float:
    """Give what far steps make of a slope of 1.1 that short ones know to within `bar`."""
    moving = plain(f, np.zeros(1), 1e-3)
    best = Slopes(np.full(1, 1.1), np.zeros(1), np.zeros(1), np.full(1, bar))
    found = Found(best, np.zeros(1, bool), np.full(1, 0.25))
    far = try_long_steps(moving, np.arange(1), found, np.full(1, 0.25), lambda s: np.abs(s.value) >= 20 * s.bar)
    return float(far.slopes.value[0])


def test_a_far_step_needs_a_second_opinion() -> None:
    """The first far step is 16 long, and sees no wave of 8; but one of 4.8 does."""
    assert far_slope(wavy(8.0), 2.0) == 1.1


def test_a_far_step_needs_one_that_says_the_same() -> None:
    """Both are straight, but have two slopes; what is further is not straight."""

    def f(x: Any) -> Any:
        return np.where(np.abs(x) < 6, 0.3 * x, np.where(np.abs(x) < 50, 0.1 * x, x**3))

    assert far_slope(f, 2.0) == 1.1


def test_a_far_step_needs_one_that_is_straight_too() -> None:
    """The other is so crooked that it contradicts nobody."""

    def f(x: Any) -> Any:
        bump = np.abs(np.abs(x) - 4.8) < 0.5
        return np.where(bump, 100 * np.sign(x), np.where(np.abs(x) < 50, 0.1 * x, x**3))

    assert far_slope(f, 2.0) == 1.1


def test_a_far_step_is_not_believed_against_a_shorter_one() -> None:
    """Neither of both sees a wave of 0.8, but the short step that was to be bettered does."""
    assert far_slope(wavy(0.8), 0.5) == 1.1
    assert far_slope(wavy(0.8), 2.0) == pytest.approx(0.1, abs=1e-3)  # if that knew less, they would be believed
