"""The gradient of a shard, and the update by the sum: in Rust, or by the network's own methods and the optimizer's.

The parameters lie one after the other in an array.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import FloatArray, floats
from chainrule.nn import engine
from chainrule.nn.network import params_of
from chainrule.nn.sparse import SparseRows
from chainrule.training.optimizers import shortened
from chainrule.training.ranks import Ranks
from chainrule.training.readable import loss_and_gradient, tell_what_has_no_gradient
from chainrule.training.shards import Shards
from chainrule.training.task import Task


class ByPlan:
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


class ByMethods:
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
        """As that of `ByPlan`."""
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


def put(out: FloatArray, values: Any, adding: bool) -> None:
    """``out ← values``, or add them there."""
    if adding:
        out += values
    else:
        out[...] = values
