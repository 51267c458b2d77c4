"""The environment of a run: versions, instruction set, threads."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import numpy as np

from chainrule import _kernels
from chainrule._gate import count


def machine() -> dict[str, str | int]:
    """Give everything about the environment that the numbers or the speed of a run depend on."""
    return {
        "chainrule": _kernels.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "instruction_set": _kernels.instruction_set(),
        "threads": _kernels.threads(),
    }


def threads(most: int) -> AbstractContextManager[None]:
    """Limit the number of threads for the calls that this thread makes within a ``with`` block.

    The results have the same bits at any number of threads. Without a limit, that number is the number of CPUs that the
    process may use, by its affinity and its cgroup's quota, or ``CHAINRULE_NUM_THREADS`` if that is less.

    Parameters
    ----------
    most : int
        The largest number of threads, at least 1. A number above the one without a limit changes nothing.

    Returns
    -------
    context manager
        The limit applies within its block.

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
    _kernels.threads()  # check the environment variable first
    return _limited(count(most, "most"))


@contextmanager
def _limited(most: int) -> Iterator[None]:
    before = _kernels.limit_threads(most)
    try:
        yield
    finally:
        _kernels.limit_threads(before)
