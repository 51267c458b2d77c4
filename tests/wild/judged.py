"""What the check says of a sample, and of its wrong versions."""

from __future__ import annotations

import numpy as np

from chainrule import GradientReport, check_gradients
from wild.sample import Sample
from wild.verify import differences
from wild.wrong import versions


def report_of(sample: Sample) -> GradientReport:
    """Check a sample, with arguments of its own."""
    return check_gradients(sample.make(), *sample.arguments(np.random.default_rng(0)))


def wrong_versions_are_caught(sample: Sample) -> None:
    """Assert that some versions that are wrong by differences are called wrong, and none of them right."""
    verdicts = {w.name: report_of(w).verdict for w in versions(sample) if max(differences(w).values()) > 1e-3}
    assert "right" not in verdicts.values(), verdicts
    assert "wrong" in verdicts.values(), verdicts
