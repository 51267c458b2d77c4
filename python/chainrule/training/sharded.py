"""Steps whose gradient is added up from those of the batch's shards, on one process or on several.

```
batch          rows 0 … B - 1, in S shards of one length, or one more
gradient       of each shard, by the process whose it is:      g₀  g₁  g₂  g₃
sum            in a fixed order, by halves:                    (g₀ + g₁) + (g₂ + g₃)
update         of all parameters, by every process
```

The bits depend on the shards, not on the processes: which rows a shard has, and which sums are made, is the same for
any number of them. Process r of P has the shards from r S / P on. It adds up those that are neighbours in the order
before it sends anything.

Running statistics follow each shard from where they were before the step; their mean is taken, as of the gradients.

If a process has several threads, each has shards of its own, and a copy of the network that is brought up to date
before each step: two threads in one product of some hundred rows wait for each other, and both pack its weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import InitVar, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, floats
from chainrule._machine import threads
from chainrule._uninterrupted import uninterrupted
from chainrule.nn import engine
from chainrule.nn.network import params_of, statistics_of
from chainrule.nn.passes import statistics
from chainrule.nn.sparse import SparseRows
from chainrule.training.optimizers import shortened
from chainrule.training.ranks import Ranks
from chainrule.training.readable import loss_and_gradient, own_masks_after, tell_what_has_no_gradient
from chainrule.training.rows_by_rank import is_at_hand
from chainrule.training.sets import part_of
from chainrule.training.task import Stepper, Task

Node = tuple[int, int]
#: Multiplications in the gradient of a shard from which a second thread is given shards of its own.
WORTH_THREADS = 1 << 23
#: How many examples are evaluated at a time.
BLOCK = 4096


class Shards:
    """The shards of a batch, whose they are, and the order in which their gradients are added up."""

    def __init__(self, count: int, ranks: Ranks) -> None:
        self.count, self.ranks = count, ranks
        self._starts = [count * r // ranks.size for r in range(ranks.size + 1)]

    def of(self, rank: int) -> range:
        """Give the numbers of a rank's shards."""
        return range(self._starts[rank], self._starts[rank + 1])

    @property
    def mine(self) -> range:
        """The numbers of this rank's shards."""
        return self.of(self.ranks.rank)

    def bounds(self, shard: int, n: int) -> tuple[int, int]:
        """Give the first of n rows that are a shard's, and the first that is not; earlier shards may have one more."""
        each, more = divmod(n, self.count)
        return shard * each + min(shard, more), (shard + 1) * each + min(shard + 1, more)

    def rows(self, batch: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Give the rows of a batch that are each rank's."""
        starts = [self.bounds(self.of(rank).start, len(batch))[0] for rank in range(self.ranks.size)]
        return np.split(batch, starts[1:])

    def mean(
        self, x: Any, t: NDArray[Any], measures: Callable[[Any, NDArray[Any]], tuple[float, float]]
    ) -> tuple[float, float]:
        """Give the means over a set of two measures, from those of blocks of the examples of each shard."""
        n, ranks = len(x), self.ranks
        blocks = [self._blocks(rank, n) for rank in range(ranks.size)]
        sums = []
        for turn in range(max(map(len, blocks))):
            now = [of[turn] if turn < len(of) else (0, 0) for of in blocks]
            first, end = now[ranks.rank]
            block = part_of(x, first, end) if is_at_hand(x) else x.fetch([np.arange(*of) for of in now])

            def work(block: Any = block, first: int = first, end: int = end) -> list[float]:
                return [(end - first) * value for value in measures(block, t[first:end])] if first < end else []

            sums.append(ranks.together(work, [2 * (start < stop) for start, stop in now]).reshape(-1, 2))
        found = np.concatenate(sums)
        return math.fsum(found[:, 0]) / n, math.fsum(found[:, 1]) / n

    def _blocks(self, rank: int, n: int) -> list[tuple[int, int]]:
        """Give first and end of the blocks in which a rank evaluates its share of n examples."""
        pairs = [self.bounds(shard, n) for shard in self.of(rank)]
        return [(at, min(at + BLOCK, end)) for first, end in pairs for at in range(first, end, BLOCK)]

    def nodes(self, rank: int) -> list[Node]:
        """Give the sums that a rank can make by itself, each as the first shard in it and the first behind it."""
        mine = self.of(rank)

        def within(node: Node) -> list[Node]:
            first, end = node
            if end <= mine.start or mine.stop <= first:
                return []
            if mine.start <= first and end <= mine.stop:
                return [node]
            return [*within((first, halfway(node))), *within((halfway(node), end))]

        return within((0, self.count))

    def add_up(self, nodes: NDArray[Any]) -> NDArray[Any]:
        """Give the sum of the sums of all ranks, one in a row, by halves."""
        rows: dict[Node, NDArray[Any]] = dict(
            zip([node for rank in range(self.ranks.size) for node in self.nodes(rank)], nodes, strict=True)
        )

        def total(node: Node) -> NDArray[Any]:
            if node in rows:
                return rows[node]
            found = total((node[0], halfway(node)))
            found += total((halfway(node), node[1]))
            return found

        return total((0, self.count))


def halfway(node: Node) -> int:
    """Give where a sum over several shards is divided: behind the largest power of two of them that leaves some."""
    first, end = node
    return first + (1 << ((end - first - 1).bit_length() - 1))


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
        self._gradient = _ByMethods(task, shards.ranks) if plan is None else _ByPlan(task, plan, shards)
        #: Behind the gradient of the parameters, a vector has the running statistics.
        self._statistics = list(statistics_of(task.net).values())
        size = self._gradient.size + sum(array.size for array in self._statistics)
        nodes = shards.nodes(shards.ranks.rank)
        #: The sums that this rank makes by itself.
        self._sums = np.zeros((len(nodes), size), self._gradient.dtype)
        depth = max((end - first - 1).bit_length() for first, end in nodes)
        self._workers = [_Worker(self._gradient, self._statistics, depth, size)]
        for _ in range(1, self._threads()):
            copied = copy.deepcopy(task.net.layers)
            plan_of_copy = engine.plan(copied, task.sets.x.shape, task.net.last_layer)
            assert plan_of_copy is not None  # there is one of the original
            gradient, its = _ByPlan(task, plan_of_copy, shards), [array for _, array in statistics(copied.values())]
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
            with threads(1) if len(self._workers) > 1 else nullcontext():
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


class _ByPlan:
    """Gradient and update by Rust."""

    def __init__(self, task: Task, plan: engine.Plan, shards: Shards) -> None:
        self._task, self._plan = task, plan
        self.size, self.dtype, self.arrays = sum(array.size for array in plan.parameters), plan.dtype, plan.arrays
        self._longest = -(-task.batch_size // shards.count)

    def find(
        self, rows: NDArray[np.int64], x: Any, place: tuple[int, int], of_batch: int, out: FloatArray, adding: bool
    ) -> float:
        """Give the sum of the losses of some rows; ``out ←`` its gradient divided by `of_batch`, or add it there.

        The first row is number ``place[0]`` in its batch, and they are shard ``place[1]`` of it. `x` holds them unless
        this rank has them at hand.
        """
        task, plan = self._task, self._plan
        t, weights = task.taught(plan)
        if x is None and task.settings.augment is None and not isinstance(task.sets.x, SparseRows):
            read = task.examples(plan, task.sets.x, leave_out=False)
        else:
            read = plan.examples(task.batch(rows, place[1], x=x), leave_out=False)
            t, weights = t[rows], None if weights is None else weights[rows]
            rows = np.arange(len(rows))
        draws = (task.stream or 0, task.run.step, place[0])
        out = out[: self.size]
        return plan.gradient(read, (t, weights), rows, self._longest, of_batch, out, adding=adding, draws=draws)

    def apply(self, gradient: FloatArray) -> None:
        """Update the parameters."""
        task = self._task
        task.optimizer.prepare(task.net.params)
        if task.settings.largest_norm is not None:
            gradient = shortened({"all": gradient}, task.settings.largest_norm)["all"]
        params = task.net.params
        names = [next(name for name, p in params.items() if p is array) for array in self._plan.parameters]
        self._plan.update(task.optimizer, names, gradient)


class _ByMethods:
    """Gradient and update by the network's own methods and the optimizer's."""

    def __init__(self, task: Task, ranks: Ranks) -> None:
        self._task, self._ranks = task, ranks
        self._shapes = {name: np.shape(p) for name, p in params_of(task.net).items()}
        self.size = sum(map(math.prod, self._shapes.values()))
        own = np.result_type(np.float32, *params_of(task.net).values())
        self.dtype = own if own in (np.float32, np.float64) else np.dtype(np.float64)
        #: The parameters that have a gradient; a rank whose shards are empty asks rank 0, whose first is not.
        self._learnt: list[str] | None = None
        self._asked = False

    def find(
        self, rows: NDArray[np.int64], x: Any, place: tuple[int, int], of_batch: int, out: FloatArray, adding: bool
    ) -> float:
        """As that of `_ByPlan`."""
        if not len(rows):
            put(out[: self.size], 0, adding)
            return 0.0
        task = self._task
        loss, grads = loss_and_gradient(task, rows, *place, x=x)
        if self._learnt is None:
            self._learnt = [name for name in self._shapes if name in grads]
            if not task.run.step and self._ranks.first:
                tell_what_has_no_gradient(task.net, grads)
        behind = 0
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            if name in grads:
                grad = floats(grads[name], f"the gradient of {name}")
                if grad.shape != shape:
                    raise ValueError(f"the gradient of {name} must have its shape {shape}, got {grad.shape}")
                put(out[behind : behind + size], grad.ravel() * (len(rows) / of_batch), adding)
            behind += size
        return loss * len(rows)

    def apply(self, gradient: FloatArray) -> None:
        """Update the parameters."""
        task, behind, grads = self._task, 0, {}
        if not self._asked:
            self._learnt, self._asked = self._ranks.of_the_first(self._learnt), True
        for name, shape in self._shapes.items():
            size = math.prod(shape)
            if name in (self._learnt or ()):
                grads[name] = gradient[behind : behind + size].reshape(shape)
            behind += size
        if task.settings.largest_norm is not None:
            grads = shortened(grads, task.settings.largest_norm)
        with np.errstate(over="ignore", invalid="ignore"):  # the loss will show it
            task.optimizer.update(task.net.params, grads)


def copy_all(arrays: list[FloatArray], others: list[FloatArray]) -> None:
    """Copy the numbers of each array into its counterpart."""
    for array, other in zip(arrays, others, strict=True):
        other[...] = array


def put(out: FloatArray, values: Any, adding: bool) -> None:
    """``out ← values``, or add them there."""
    if adding:
        out += values
    else:
        out[...] = values
