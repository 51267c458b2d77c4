"""Steps through the network's own methods, as in the tutorial's loop."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule._warn import warn
from chainrule.nn.engine import Ours
from chainrule.nn.layers import Dropout
from chainrule.nn.network import params_of, penalty, statistics_of
from chainrule.training.optimizers import shortened
from chainrule.training.task import Stepper, Task, in_rust


class ReadableStepper(Stepper):
    """The `Stepper` of any network: its ``gradient``, and the optimizer's ``update``."""

    def steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Make the steps one by one."""
        task = self.task
        with own_masks_after(task.net):
            for start in range(0, len(rows), task.batch_size):
                with self._whole():
                    loss = self._step(rows[start : start + task.batch_size])
                yield [loss]

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Restore running statistics if a step ends before its update, for instance by Ctrl-C."""
        optimizer = self.task.optimizer
        steps = optimizer.iter
        before = [(array, array.copy()) for array in statistics_of(self.task.net).values()]
        try:
            yield
        except BaseException:
            if optimizer.iter == steps:
                for array, values in before:
                    array[...] = values
            raise

    def _step(self, batch: NDArray[np.int64]) -> float:
        """Make one step, and give the loss before it."""
        task = self.task
        loss, grads = loss_and_gradient(task, batch)
        if not task.run.step:
            tell_what_has_no_gradient(task.net, grads)
        if task.settings.largest_norm is not None:
            grads = shortened(grads, task.settings.largest_norm)
        if np.isfinite(loss) or not task.strict:
            with np.errstate(over="ignore", invalid="ignore"):  # the loss will show it
                task.optimizer.update(task.net.params, grads)
        return loss


def loss_and_gradient(
    task: Task, rows: NDArray[np.int64], first: int = 0, *shard: int, x: Any = None
) -> tuple[float, Any]:
    """Give the mean loss of some rows, and its gradient, by the network's own methods.

    The first of them is number `first` in its batch; they may be one shard of it, and `x` the examples themselves.
    """
    net, sets = task.net, task.sets
    x, t = task.batch(rows, *shard, x=x), sets.taught[rows]
    weights = () if sets.weights is None else (sets.weights[rows],)
    _place_in_stream(task, first)
    grads = net.gradient(x, t, *weights)
    # Use the loss that gradient has just computed, if that is the network's whole loss.
    ours = Ours(net).trained is not None
    return float(net.last_layer.loss + penalty(net) if ours else net.loss(x, t, *weights)), grads


def _place_in_stream(task: Task, first: int) -> None:
    """Make layers draw the masks of this step, the same that Rust would draw, from row `first` of the batch on."""
    for at, layer in enumerate(in_rust(task.net)):
        if type(layer) is Dropout:
            layer.draws, layer.first_row = (task.stream or 0, task.run.step, at), first


@contextmanager
def own_masks_after(net: Any) -> Iterator[None]:
    """Let layers count their own passes again after the block."""
    try:
        yield
    finally:
        for layer in in_rust(net):
            if type(layer) is Dropout:
                layer.draws, layer.first_row = None, 0


def tell_what_has_no_gradient(net: Any, grads: Mapping[str, Any]) -> None:
    """Warn about parameters that the network's own ``gradient`` leaves out."""
    without = [name for name in params_of(net) if name not in grads]
    if without:
        warn(f"fit leaves {', '.join(without)} untrained: {type(net).__name__}.gradient does not return it")
