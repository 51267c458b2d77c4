"""What is at work: versions, instruction set, threads."""

from __future__ import annotations

import platform

import numpy as np

from chainrule import _kernels


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
