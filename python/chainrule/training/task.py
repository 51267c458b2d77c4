"""What is trained, on what and how: what every `Stepper` needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, examples
from chainrule.nn import engine
from chainrule.nn.engine import Ours
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Dropout
from chainrule.nn.network import Network
from chainrule.nn.sparse import SparseRows
from chainrule.training.callbacks import Run
from chainrule.training.optimizers import Optimizer
from chainrule.training.sets import Sets
from chainrule.training.settings import Settings


@dataclass(eq=False, repr=False)
class Task:
    """A network, its data and the settings of a run.

    Attributes
    ----------
    net : Network
        The network, or any object with its methods.
    sets : Sets
        The data.
    settings : Settings
        How to train.
    stream : int or None
        The seed of the run's stream of masks and augmentations, if it has one.
    run : Run
        The run, as callbacks see it.
    """

    net: Any
    sets: Sets
    settings: Settings
    stream: int | None
    run: Run
    # Each data set in the form that Rust reads, and the kind of plan it was made for.
    _prepared: dict[int, tuple[Any, _kernels.Examples]] = field(default_factory=dict)
    # The teaching signal and the weights in the form that Rust reads.
    _taught: tuple[NDArray[Any], FloatArray | None] | None = None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer."""
        return self.settings.optimizer

    @property
    def batch_size(self) -> int:
        """The number of examples in a batch."""
        size: int = self.settings.batch_size
        return size

    @property
    def strict(self) -> bool:
        """Whether to stop when a loss is not finite."""
        return self.settings.on_nonfinite == "raise"

    def plan(self) -> engine.Plan | None:
        """Give the plan by which Rust trains the network; None if Rust cannot, or does not know the optimizer."""
        ours = Ours(self.net)
        if ours.trained is None or not engine.knows(self.optimizer):
            return None
        plan = ours.plan(self.sets.x)
        return plan if plan is not None and plan.separate else None

    def examples(self, plan: engine.Plan, x: FloatArray | SparseRows, *, leave_out: bool) -> _kernels.Examples:
        """Give `x`, from one of the sets, prepared for Rust; it is prepared once, unless a layer was replaced since."""
        assert not isinstance(x, SparseRows)  # of which only parts are handed over
        reading, ready = self._prepared.get(id(x), (None, None))
        if ready is None or reading != plan.reading:
            ready = plan.examples(x, leave_out=leave_out)
            self._prepared[id(x)] = plan.reading, ready
        return ready

    def taught(self, plan: engine.Plan) -> tuple[NDArray[Any], FloatArray | None]:
        """Give the teaching signal and the weights of the training set in the form that Rust reads."""
        if self._taught is None:
            t, weights = self.sets.taught, self.sets.weights
            self._taught = (
                (t, None) if weights is None else plan.loss.with_weights(t, weights, plan.classes, plan.dtype)
            )
        return self._taught

    def batch(self, rows: NDArray[np.int64], *shard: int, x: Any = None) -> FloatArray:
        """Give the examples of a batch, or of a shard of it, augmented if `augment` was given.

        `x` holds them unless this rank has them at hand.
        """
        x = self.sets.x[rows] if x is None else x
        augment = self.settings.augment
        if augment is None:
            unchanged: FloatArray = x
            return unchanged
        found = augment(x, np.random.default_rng([self.stream or 0, self.run.step, *shard]))
        batch = examples(found, x.dtype)
        if batch.shape != x.shape or batch.dtype != x.dtype:
            raise ValueError(
                f"augment must return a batch of the shape and dtype it got, {x.shape} {x.dtype}, got {batch.shape}"
                f" {batch.dtype}"
            )
        return batch


class Stepper:
    """A way to make steps: gradients, their sum, and the update, in one call to Rust or one after the other.

    Parameters
    ----------
    task : Task
        What to train.
    plan : Plan or None
        How Rust runs the network; None if its own methods do.
    """

    def __init__(self, task: Task, plan: engine.Plan | None) -> None:
        self.task, self.plan = task, plan

    def steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Make the steps for the batches in `rows`, and give their losses, one or more at a time.

        A loss that is not finite comes last, and its step has not been made, if `Task.strict`.
        """
        raise NotImplementedError

    def fits(self) -> bool:
        """Tell whether the network is still the one that this was made for: a callback may have replaced a layer."""
        return self.plan is None or self.plan.is_of(self.task.net.layers)


def needs_stream(net: Any, augment: Any) -> bool:
    """Tell whether a run needs a stream of random numbers besides that of the batches."""
    return augment is not None or any(type(layer) is Dropout for layer in in_rust(net))


def in_rust(net: Any) -> list[Any]:
    """Give the layers in the order in which Rust counts them, without those that Rust has nothing to do for."""
    layers = net.layers.values() if isinstance(net, Network) else ()
    return [layer for layer in layers if type(layer) not in LAYERS or LAYERS[type(layer)].rust]
