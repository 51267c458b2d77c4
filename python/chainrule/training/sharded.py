"""Steps whose gradient is added up from those of the batch's shards, on one process or on several.

```
batch          rows 0 … B - 1, in S shards of one length, or one more
gradient       of each shard, by the process whose it is:      g₀  g₁  g₂  g₃
sum            in a fixed order, by halves:                    (g₀ + g₁) + (g₂ + g₃)
update         of all parameters, by every process
```

The bits depend on the shards, not on the processes: which rows a shard has, and which sums are made, is the same for
any number of them.

Running statistics follow each shard from where they were before the step; their mean is taken, as of the gradients.

If a process has several threads, each has shards of its own, and a copy of the network that is brought up to date
before each step: two threads in one product of some hundred rows wait for each other, and both pack its weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray
from chainrule._uninterrupted import uninterrupted
from chainrule.nn import engine
from chainrule.nn.kinds import LAYERS
from chainrule.nn.network import statistics_of
from chainrule.nn.passes import statistics
from chainrule.training.readable import own_masks_after
from chainrule.training.rows_by_rank import is_at_hand
from chainrule.training.shard_gradients import ByMethods, ByPlan, put
from chainrule.training.shards import Node, Shards, halfway
from chainrule.training.task import Stepper, Task

#: Multiplications in the gradient of a shard from which a second thread is given shards of its own.
WORTH_THREADS = 1 << 23


class ShardedStepper(Stepper):
    """The `Stepper` that adds up gradients of shards.

    Parameters
    ----------
    task, plan
        As for `Stepper`.
    shards : Shards
        The shards of each batch.
    """

    def __init__(self, task: Task, plan: engine.Plan | None, shards: Shards) -> None:
        super().__init__(task, plan)
        self._shards = shards
        self._gradient = ByMethods(task, shards.ranks) if plan is None else ByPlan(task, plan, shards)
        #: Behind the gradient of the parameters, a vector has the running statistics.
        self._statistics = list(statistics_of(task.net).values())
        size = self._gradient.size + sum(array.size for array in self._statistics)
        nodes = shards.nodes(shards.ranks.rank)
        #: The sums that this rank makes by itself.
        self._sums = np.zeros((len(nodes), size), self._gradient.dtype)
        depth = max((end - first - 1).bit_length() for first, end in nodes)
        self._workers = [_Worker(self._gradient, self._statistics, depth, size)]
        for _ in range(1, self._threads()):
            copied = {name: _copy(layer) for name, layer in task.net.layers.items()}
            plan_of_copy = engine.plan(copied, task.sets.x.shape, task.net.last_layer)
            assert plan_of_copy is not None  # there is one of the original
            gradient, its = ByPlan(task, plan_of_copy, shards), [array for _, array in statistics(copied.values())]
            self._workers.append(_Worker(gradient, its, depth, size))

    def _threads(self) -> int:
        """How many threads find gradients, each of a shard of its own; one for small work."""
        shards, task = self._shards, self.task
        work = self._gradient.size * (task.batch_size // shards.count)
        if self.plan is None or task.settings.augment is not None or work < WORTH_THREADS:
            return 1
        return min(_kernels.threads(), len(shards.mine))

    def steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Make the steps one by one."""
        task = self.task
        with own_masks_after(task.net), ThreadPoolExecutor(len(self._workers)) as pool:
            for start in range(0, len(rows), task.batch_size):
                yield [self._step(rows[start : start + task.batch_size], pool)]

    def _step(self, batch: NDArray[np.int64], pool: Executor) -> float:
        """Make one step, and give the loss before it."""
        task, shards, ranks = self.task, self._shards, self._shards.ranks
        before = [array.copy() for array in self._statistics]
        begin, _ = shards.bounds(shards.mine.start, len(batch))
        x = None if is_at_hand(task.sets.x) else task.sets.x.fetch(shards.rows(batch))
        losses: dict[int, float] = {}

        def one(worker: _Worker, shard: int, out: FloatArray, adding: bool) -> None:
            first, end = shards.bounds(shard, len(batch))
            copy_all(before, worker.statistics)
            part = None if x is None else x[first - begin : end - begin]
            with _in_one_thread() if len(self._workers) > 1 else nullcontext():
                losses[shard] = worker.gradient.find(batch[first:end], part, (first, shard), len(batch), out, adding)
            behind = worker.gradient.size
            for array in worker.statistics:
                put(out[behind : behind + array.size], array.ravel() * ((end - first) / len(batch)), adding)
                behind += array.size

        def mine() -> list[float]:
            for worker in self._workers[1:]:
                copy_all(self._workers[0].gradient.arrays, worker.gradient.arrays)
            for node, out in zip(shards.nodes(ranks.rank), self._sums, strict=True):
                add_up(node, out, self._workers, pool, one)
            return [losses[shard] for shard in shards.mine]

        try:
            found = ranks.together(mine, [len(shards.of(rank)) for rank in range(ranks.size)])
        finally:
            copy_all(before, self._statistics)
        loss = math.fsum(found) / len(batch)
        with uninterrupted():
            total = ranks.exchanged(self._sums, [len(shards.nodes(rank)) for rank in range(ranks.size)], shards.add_up)
            if np.isfinite(loss) or not task.strict:
                self._gradient.apply(total[: self._gradient.size])
                behind = self._gradient.size
                for array in self._statistics:
                    array[...] = total[behind : behind + array.size].reshape(array.shape)
                    behind += array.size
        return loss


#: What finds the gradient of a shard, as its worker, onto what is in an array or not.
One = Callable[["_Worker", int, FloatArray, bool], None]


@dataclass(eq=False, repr=False)
class _Worker:
    """What a thread works with: the network or a copy of it, and room for the sums that it makes."""

    gradient: Any
    statistics: list[FloatArray]
    depth: InitVar[int]
    size: InitVar[int]
    room: FloatArray = field(init=False)

    def __post_init__(self, depth: int, size: int) -> None:
        self.room = np.empty((depth, size), self.gradient.dtype)


def add_up(node: Node, out: FloatArray, workers: list[_Worker], pool: Executor, one: One, depth: int = 0) -> None:
    """``out ←`` the sum over a node's shards, by halves; each of several workers has a thread and some shards."""
    first, end = node
    if end - first == 1:
        one(workers[0], first, out, False)
        return
    middle, room = halfway(node), workers[0].room
    if len(workers) > 1:
        half = len(workers) // 2
        others = pool.submit(add_up, (first, middle), out, workers[half:], pool, one, depth + 1)
        try:
            add_up((middle, end), room[depth], workers[:half], pool, one, depth + 1)
        finally:
            wait([others])
        others.result()
        out += room[depth]
        return
    add_up((first, middle), out, workers, pool, one, depth)
    if end - middle == 1:
        one(workers[0], middle, out, True)  # onto the other half: no array of its own
    else:
        add_up((middle, end), room[depth], workers, pool, one, depth + 1)
        out += room[depth]


@contextmanager
def _in_one_thread() -> Iterator[None]:
    """Let kernels use this thread alone, as ``chainrule.threads(1)`` does."""
    before = _kernels.limit_threads(1)
    try:
        yield
    finally:
        _kernels.limit_threads(before)


def _copy(layer: Any) -> Any:
    """Give a layer of ours with arrays of its own."""
    copied, kind = copy.copy(layer), LAYERS[type(layer)]
    arrays = {id(getattr(layer, name)) for name in (*kind.parameters, *kind.statistics)}
    # Wherever they are kept: assigning ``copied.W`` would copy the numbers into the array that both have.
    vars(copied).update({name: value.copy() for name, value in vars(layer).items() if id(value) in arrays})
    return copied


def copy_all(arrays: list[FloatArray], others: list[FloatArray]) -> None:
    """Copy the numbers of each array into its counterpart."""
    for array, other in zip(arrays, others, strict=True):
        other[...] = array
