"""The check on subjects as public code writes them: tests/wild, their wrong versions, and random ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import GradientReport, check_gradients
from wild import FAULTS, RIGHT, WRONG, Sample
from wild.verify import differences

SAMPLES = {sample.name: sample for sample in RIGHT}
BROKEN = {sample.name: sample for sample in FAULTS}
VERSIONS = {name: [w for w in WRONG if w.name.split("-")[0] == name] for name in SAMPLES}
#: What these get wrong is seen by no differences at one place: it is in what they do beside, or at the next call.
UNSEEN = {
    "labels_kept", "target_kept", "mask_kept", "weights_kept", "weights_kept_lazily", "size_kept", "input_kept",
    "never_flushed", "embedding_never_zeroed", "flush_forgets_bias", "adds_into_dout", "masks_dout",
    "steps_too",
}  # fmt: skip


def report_of(sample: Sample, seed: int = 0) -> GradientReport:
    arguments = sample.arguments(np.random.default_rng(seed))
    return check_gradients(sample.make(), *arguments, **sample.options)


def verdict_of(sample: Sample) -> str:
    """Give the verdict; an error that says what was wrong is none."""
    try:
        return report_of(sample).verdict
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
    passed = [w.name for w in VERSIONS[name] if verdict_of(w) == "right"]
    assert not passed


@pytest.mark.parametrize("name", BROKEN)
def test_faults_are_called_wrong(name: str) -> None:
    report = report_of(BROKEN[name])
    assert report.verdict == "wrong", str(report)


def broken_options() -> dict[str, Any]:
    """Give options whose gradients are elsewhere than they say."""
    return {"params": {"theta": ("theta", "nowhere")}}


def test_a_gradient_that_is_not_where_params_says_is_not_right() -> None:
    sample = SAMPLES["options_params"]
    with pytest.raises((TypeError, ValueError, AttributeError), match="nowhere"):
        check_gradients(sample.make(), *sample.arguments(np.random.default_rng(0)), **broken_options())
