"""``--mpi``: the processes that mpiexec has started train one network together; rank 0 alone speaks."""

from __future__ import annotations

import argparse
import sys

from chainrule.training.ranks import Ranks


def ranks_of(options: argparse.Namespace) -> Ranks:
    """Give the ranks that train: this process alone unless ``--mpi`` was given. Silence all but rank 0.

    Raises
    ------
    ImportError
        If mpi4py or an MPI is missing.
    """
    if not options.mpi:
        return Ranks()
    try:
        from mpi4py import MPI  # an extra, and importing it starts MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(f"--mpi needs mpi4py and an MPI: pip install 'chainrule[mpi]' ({error})") from error
    ranks = Ranks(MPI.COMM_WORLD)
    if not ranks.first:
        sys.stdout = sys.stderr = None  # as if the shell had closed them: nothing is written, until the process ends
    return ranks
