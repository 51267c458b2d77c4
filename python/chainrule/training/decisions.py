"""What a callback does on rank 0, done on all ranks."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.nn.network import everything
from chainrule.training.alike import digest_of
from chainrule.training.callbacks import Run
from chainrule.training.ranks import Ranks


def deciding(ranks: Ranks, run: Run, work: Callable[[], object]) -> None:
    """Do `work` on rank 0; give the others its decisions: whether to stop, the optimizer's numbers, and the parameters.

    Raises
    ------
    ValueError
        If `work` has replaced a layer or an array: the other ranks still have the old ones.
    """
    if ranks.size == 1:
        ranks.each(work)
        return
    held, digest = _held(run), digest_of(*everything(run.net).values())
    changed = ranks.each(lambda: _did(run, work, held, digest) if ranks.first else False)
    said = {"stopped": run.stopped, "numbers": _numbers(run), "changed": changed}
    said = ranks.of_the_first(said)
    run.stopped = said["stopped"]
    for name, value in said["numbers"].items():
        if getattr(run.optimizer, name) != value:
            setattr(run.optimizer, name, value)
    if said["changed"]:
        ranks.take_from_the_first(list(everything(run.net).values()))


def _did(run: Run, work: Callable[[], object], held: list[int], digest: str) -> bool:
    """Do `work`, and tell whether it changed a number of the network."""
    work()
    if _held(run) != held:
        raise ValueError(
            "a callback has replaced a layer or an array, which the other ranks still have: with comm, change the"
            " numbers in an array instead, or replace it before fit"
        )
    return digest_of(*everything(run.net).values()) != digest


def _held(run: Run) -> list[int]:
    """Give the identities of the network's layers and arrays, and of the optimizer's arrays."""
    layers = getattr(run.net, "layers", {}).values()
    kept = [array for arrays in run.optimizer.kept.values() for array in arrays]
    return list(map(id, [*layers, *everything(run.net).values(), *kept]))


def _numbers(run: Run) -> dict[str, float]:
    """Give the optimizer's numbers, which a callback may change."""
    return {name: value for name, value in vars(run.optimizer).items() if isinstance(value, float)}
