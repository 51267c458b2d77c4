"""What is expected of the check for the cases of a field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from derivatives.case import Case


def expect_enough(cases: Sequence[Case]) -> None:
    """Expect many of both kinds, a third of the wrong ones from public reports, and no name twice."""
    wrong = [case.wrong for case in cases if case.wrong is not None]
    assert len(wrong) >= 40
    assert len(cases) - len(wrong) >= 20
    assert 3 * sum(bool(w.source) for w in wrong) >= len(wrong)
    assert len({case.name for case in cases}) == len(cases)


def expect_told(cases: Sequence[Case]) -> None:
    """Expect that right ones are right, wrong ones wrong, and that their places and causes are named."""
    places, causes = [], []
    for case in cases:
        report = case.check()
        if case.wrong is None:
            assert report.ok, f"{case.name}\n{report}"
            continue
        assert report.verdict == "wrong", f"{case.name}\n{report}"
        assert case.named(report) is not False, f"{case.name}: {case.wrong.cause}\n{report}"
        places.append(case.told(report))
        causes.append(bool(case.named(report)))
    told = [place for place in places if place is not None]
    assert np.mean(told) >= 0.95
    assert np.mean(causes) >= 0.6
