"""Whether all ranks were given the same network, data and arguments: nothing else tells if they were not."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from chainrule import __version__, _kernels
from chainrule._warn import warn
from chainrule.nn.network import everything
from chainrule.nn.sparse import SparseRows
from chainrule.training.ranks import Ranks
from chainrule.training.rows_by_rank import is_at_hand
from chainrule.training.sets import Sets
from chainrule.training.settings import Settings


def expect_alike(
    ranks: Ranks, net: Any, sets: Sets, settings: Settings, rng: np.random.Generator, *, seeded: bool
) -> None:
    """Raise ValueError on every rank if one was called with something else than rank 0; name what differs.

    If no seed was given, all take rank 0's generator.
    """
    if ranks.size == 1:
        return
    from chainrule.training.checkpoints import configuration, plain  # files are not part of training itself

    state = plain(rng.bit_generator.state)
    if not seeded:
        rng.bit_generator.state = state = ranks.of_the_first(state)
    said = {
        "the version of chainrule or NumPy": f"{__version__} {np.__version__}",
        "the arguments of fit": f"{settings.epochs} {settings.iterations} {configuration(sets, settings)}",
        "seed": str(state),
        "the class of the network": type(net).__name__,
        "the names of the parameters": str(list(everything(net))),
    }
    for name, array in everything(net).items():
        said[f"the network's {name}, which is drawn at random unless the network has a seed,"] = digest_of(array)
    said["the optimizer's state"] = f"{settings.optimizer.iter} " + digest_of(
        *(array for name in settings.optimizer.kept for array in settings.optimizer.kept[name])
    )
    said |= {"x": _digest(sets.x), "t": digest_of(sets.t)}
    said["sample_weight"] = "" if sets.weights is None else digest_of(sets.weights)
    for name, (x, t) in sets.evaluated.items():
        said[f"the {name} set"] = f"{_digest(x)} {digest_of(t)}"
    ranks.expect_alike(said)
    sets_of_instructions = ranks.texts(_kernels.instruction_set().encode())
    if ranks.first and len(set(sets_of_instructions)) > 1:
        named = ", ".join(sorted({text.decode() for text in sets_of_instructions}))
        warn(f"the ranks have different instruction sets, {named}: the last bits depend on which has which shard")


def _digest(x: Any) -> str:
    if not is_at_hand(x):
        return ""  # each rank has its own
    if not isinstance(x, SparseRows):
        return digest_of(x)
    rows = x.tocsr()
    return digest_of(rows.data, rows.indices, rows.indptr)


def digest_of(*arrays: Any) -> str:
    """Give a digest of the dtypes, shapes and numbers of some arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
