"""shuffling.py: examples and answers stay together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chainrule import shuffle_dataset


@pytest.mark.parametrize("shape", [(20,), (20, 3), (20, 2, 3), (20, 1, 2, 2)])
def test_each_example_keeps_its_answer(shape: tuple[int, ...]) -> None:
    x, t = np.arange(np.prod(shape)).reshape(shape), np.arange(20)
    before = x.copy()
    np.random.seed(0)
    shuffled, answers = shuffle_dataset(x, t)
    assert np.array_equal(shuffled, x[answers])
    assert sorted(answers.tolist()) == t.tolist()
    assert answers.tolist() != t.tolist()
    assert np.array_equal(x, before)
    assert shuffled.dtype == x.dtype


@pytest.mark.parametrize(("x", "t"), [(np.ones((3, 2)), np.ones(4)), (np.ones((3, 2)), 1), (1.0, np.ones(3))])
def test_what_does_not_belong_together_is_named(x: Any, t: Any) -> None:
    with pytest.raises(ValueError, match="x and t must have one entry an example"):
        shuffle_dataset(x, t)
