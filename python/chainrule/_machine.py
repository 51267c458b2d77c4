"""What is at work: versions, instruction set, threads."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from chainrule import _kernels
from chainrule._gate import count


def machine() -> dict[str, str | int]:
    """Give what the numbers of a run depend on, or its speed does."""
    return {
        "chainrule": _kernels.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction_set": _kernels.instruction_set(),
        "threads": _kernels.threads(),
    }


def threads(most: int) -> AbstractContextManager[None]:
    """Divide work among at most so many threads, for the calls of this thread within a ``with`` block.

    Results have the same bits whatever the number. Without a limit there are as many threads as CPUs that the process
    may use, by its affinity and its cgroup's quota, or ``CHAINRULE_NUM_THREADS`` if that is less.

    Parameters
    ----------
    most : int
        At least 1. More than there are change nothing.

    Returns
    -------
    context manager
        The limit holds within its block.

    Raises
    ------
    TypeError, ValueError
        If `most` is not a whole number, or below 1.
    RuntimeError
        If ``CHAINRULE_NUM_THREADS`` is not a whole number of at least 1.

    Examples
    --------
    >>> import chainrule
    >>> with chainrule.threads(1):
    ...     scores = chainrule.TwoLayerNet(784, 50, 10, seed=0).predict(np.zeros((1000, 784)))
    """
    _kernels.threads()  # what the environment says is looked at first
    return _limited(count(most, "most"))


@contextmanager
def _limited(most: int) -> Iterator[None]:
    before = _kernels.limit_threads(most)
    try:
        yield
    finally:
        _kernels.limit_threads(before)
