"""Examples and their labels in a new random order."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule._gate import FloatArray, numbers

__all__ = ["shuffle_dataset"]


def shuffle_dataset(x: Any, t: Any) -> tuple[FloatArray, FloatArray]:
    """Shuffle examples and their labels, both in the same random order.

    Parameters
    ----------
    x : array_like, shape (N, ...)
        Examples. Not written to.
    t : array_like, shape (N, ...)
        Their labels. Not written to.

    Returns
    -------
    x, t : tuple of ndarray
        New arrays with the shapes and dtypes of the arguments.

    Raises
    ------
    TypeError
        If `x` or `t` does not hold real numbers.
    ValueError
        If one has no axis, or there are not as many labels as examples.

    Notes
    -----
    Draws one ``np.random.permutation(N)`` from NumPy's global generator, so that ``np.random.seed(0)`` gives the book's
    order. Source: "Deep Learning from Scratch" §6.5, ``common/util.py``.

    Examples
    --------
    >>> np.random.seed(0)
    >>> shuffle_dataset(np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 2]))[1]
    array([2, 1, 0])
    """
    examples, answers = numbers(x, "x"), numbers(t, "t")
    if examples.ndim == 0 or answers.ndim == 0 or len(examples) != len(answers):
        raise ValueError(
            f"x and t must have one entry an example, got x.shape={examples.shape}, t.shape={answers.shape}"
        )
    order = np.random.permutation(len(examples))
    return examples[order], answers[order]
