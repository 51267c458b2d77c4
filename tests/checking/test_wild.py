"""The check on subjects as public code writes them: tests/wild, their wrong versions, and random ones."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients
from lengths import short_and_long
from random_conventions import draw, make
from wild import FAULTS, RIGHT, WRONG, Sample
from wild.verify import differences
from wild.wrong import versions

SAMPLES = {sample.name: sample for sample in RIGHT}
BROKEN = {sample.name: sample for sample in FAULTS}
VERSIONS = {name: [w for w in WRONG if w.name.split("-")[0] == name] for name in SAMPLES}
#: What these get wrong is seen by no differences at one place: it is in what they do beside, or at the next call.
UNSEEN = {
    "labels_kept", "target_kept", "mask_kept", "weights_kept", "weights_kept_lazily", "size_kept", "input_kept",
    "never_flushed", "embedding_never_zeroed", "flush_forgets_bias", "adds_into_dout", "masks_dout", "steps_too",
    "missing_in_the_list",
}  # fmt: skip


def report_of(sample: Sample, seed: int = 0) -> GradientReport:
    arguments = sample.arguments(np.random.default_rng(seed))
    return check_gradients(sample.make(), *arguments, **sample.options)


def verdict_of(sample: Sample, seed: int = 0) -> str:
    """Give the verdict; an error that says what was wrong is none."""
    try:
        return report_of(sample, seed).verdict
    except (TypeError, ValueError):
        return "refused"


def test_names_are_unique() -> None:
    names = [sample.name for sample in (*RIGHT, *WRONG, *FAULTS)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", SAMPLES)
def test_right_samples_are_right_by_differences_of_their_own(name: str) -> None:
    for seed in (0, 1):
        found = differences(SAMPLES[name], seed)
        assert max(found.values()) < 1e-6, found


@pytest.mark.parametrize("name", SAMPLES)
def test_wrong_versions_are_wrong_by_the_same_differences(name: str) -> None:
    assert VERSIONS[name]
    passed = [w.name for w in VERSIONS[name] if not max(differences(w).values()) > 1e-3]
    assert not passed


@pytest.mark.parametrize("name", BROKEN)
def test_faults_are_wrong_by_differences_where_these_can_see_them(name: str) -> None:
    assert (max(differences(BROKEN[name]).values()) > 1e-3) == (name not in UNSEEN)


@pytest.mark.parametrize("name", SAMPLES)
def test_right_samples_are_called_right(name: str) -> None:
    sample = SAMPLES[name]
    if sample.truth == "unproven":  # to be cleverer than its conventions is no fault
        assert verdict_of(sample) in ("unproven", "right", "refused")
        return
    report = report_of(sample)
    assert report.verdict == "right", str(report)


@pytest.mark.parametrize("name", SAMPLES)
def test_wrong_versions_are_never_called_right(name: str) -> None:
    """Every second version; benchmarks/in_the_wild.py asks about all."""
    passed = [w.name for w in VERSIONS[name][::2] if verdict_of(w) == "right"]
    assert not passed


@pytest.mark.parametrize("name", BROKEN)
def test_faults_are_called_wrong(name: str) -> None:
    if name == "missing_in_the_list":  # whose gradient it is, nothing says
        assert verdict_of(BROKEN[name]) != "right"
        return
    report = report_of(BROKEN[name])
    assert report.verdict == "wrong", str(report)


def test_views_are_a_hazard_which_fails_if_one_is_strict() -> None:
    sample = SAMPLES["images_flatten"]
    arguments = sample.arguments(np.random.default_rng(0))
    assert check_gradients(sample.make(), *arguments).hazards
    assert check_gradients(sample.make(), *arguments, strict=True).verdict == "wrong"


@pytest.mark.parametrize(("name", "array"), [("constant_filter", "taps"), ("unnamed_gradient", "theta")])
def test_what_was_not_compared_is_named(name: str, array: str) -> None:
    assert array in str(report_of(SAMPLES[name]).not_compared)


@pytest.mark.parametrize("start", range(0, 1000, 100))
def test_random_subjects_are_right_by_differences_of_their_own(start: int) -> None:
    wrong = []
    for seed in range(start, start + 100):
        found = differences(draw(seed, double=True), seed)
        if not max(found.values()) < 1e-6:
            wrong.append((make(seed)[0], found))
    assert not wrong


@cache
def told(seed: int) -> tuple[str, str]:
    """Give the verdict on the random right subject of a seed, and all that was said."""
    description, subject, arguments, options = make(seed)
    try:
        report = check_gradients(subject, *arguments, **options)
    except (TypeError, ValueError) as error:
        return "refused", f"{description}\n{type(error).__name__}: {error}"
    return report.verdict, f"{description}\n{report}"


@pytest.mark.parametrize("start", short_and_long(range(0, 1000, 50), 250))
def test_no_false_alarm_in_a_thousand_random_right_subjects(start: int) -> None:
    """Seeds 0 to 999, drawn from every convention; the message says which."""
    alarms = [said for verdict, said in map(told, range(start, start + 50)) if verdict in ("wrong", "refused")]
    assert not alarms, "\n\n".join(alarms)


@pytest.mark.parametrize("start", short_and_long(range(0, 1000, 250), 250))
def test_most_random_right_subjects_are_called_right(start: int) -> None:
    """The rest have gradients that are 0, or numbers at a kink: nothing to be proved."""
    assert np.mean([told(seed)[0] == "right" for seed in range(start, start + 250)]) > 0.9


@pytest.mark.parametrize("start", short_and_long(range(0, 1000, 100), 300))
def test_no_wrong_version_of_a_random_subject_is_called_right(start: int) -> None:
    """One version of every fourth seed, in float64."""
    passed = []
    for seed in range(start, start + 100, 4):
        wrong = list(versions(draw(seed, double=True)))
        if not wrong:
            continue
        sample = wrong[np.random.default_rng(seed).integers(len(wrong))]
        if max(differences(sample, seed).values()) > 1e-3 and verdict_of(sample, seed) == "right":
            passed.append((seed, sample.name, sample.story))
    assert not passed


def test_a_gradient_that_is_not_where_params_says_is_never_right() -> None:
    sample = replace(SAMPLES["options_params"], options={"params": {"theta": ("theta", "nowhere")}})
    assert verdict_of(sample) != "right"
