"""Steps in Rust, many in one call: a parameter is updated as soon as its gradient is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule.nn import engine
from chainrule.nn.sparse import SparseRows
from chainrule.training.task import Stepper, Task


class FusedStepper(Stepper):
    """The `Stepper` of a network that Rust knows.

    Parameters
    ----------
    task, plan
        As for `Stepper`; there is a plan.
    beside : sequence of Evaluation
        Evaluations that a thread that is idle goes on with.
    """

    plan: engine.Plan

    def __init__(self, task: Task, plan: engine.Plan, beside: Sequence[_kernels.Evaluation]) -> None:
        super().__init__(task, plan)
        self._beside = list(beside)

    def steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Make the steps, as many in a call as there are until Ctrl-C is to be looked for, or a callback called."""
        task, plan, batch_size = self.task, self.plan, self.task.batch_size
        params, settings = task.net.params, task.settings
        task.optimizer.prepare(params)
        names = [next(name for name, p in params.items() if p is array) for array in plan.parameters]
        # To bound its norm, the whole gradient is needed, so no product may leave out a part of it.
        leave_out = settings.largest_norm is None
        # An augmented batch, or rows of a sparse matrix made dense, are a data set of their own.
        each = self._at_once()
        x = task.examples(plan, task.sets.x, leave_out=leave_out) if each is None else None
        losses = np.empty(-(-len(rows) // batch_size))
        done, diverged = 0, False
        while done < len(losses) and not diverged:
            at_once = 1 if settings.step_by_step else each
            end = len(rows) if at_once is None else (done + at_once) * batch_size
            left, taught = rows[done * batch_size : end], task.taught(plan)
            batch: Any = x
            if x is None:
                t, weights = taught
                batch = plan.examples(task.batch(left), leave_out=leave_out and settings.augment is None)
                taught = t[left], None if weights is None else weights[left]
                left = np.arange(len(left))
            steps, diverged = plan.steps(
                task.optimizer,
                names,
                batch,
                taught,
                left,
                batch_size,
                task.strict,
                losses[done:],
                self._beside,
                largest_norm=settings.largest_norm,
                draws=(task.stream or 0, task.run.step),
            )
            yield losses[done : done + steps + diverged].tolist()
            done += steps

    def _at_once(self) -> int | None:
        """How many batches are handed over together; None for as many as there are, in the data set as it is."""
        if self.task.settings.augment is not None:
            return 1
        x = self.task.sets.x
        return max(x.block // self.task.batch_size, 1) if isinstance(x, SparseRows) else None
