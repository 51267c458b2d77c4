"""The arguments of `fit` other than data, checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from chainrule._gate import count, flag, positive, real
from chainrule.nn import kinds
from chainrule.training.callbacks import EarlyStopping, expect_callbacks
from chainrule.training.optimizers import SGD, Optimizer

#: The optimizers by their names in `fit` and on the command line.
OPTIMIZERS = {name.lower(): kind for name, kind in kinds.by_name(kinds.OPTIMIZERS).items()}
#: The default batch size, that of the tutorial; all examples if there are fewer.
TUTORIALS_BATCH = 100
#: The default learning rate, compared by identity, so that any rate given beside an optimizer is noticed.
TUTORIALS_RATE = float("0.1")


@dataclass(eq=False, repr=False)
class Settings:
    """How to train: these are the arguments of `chainrule.fit`."""

    epochs: int | None
    iterations: int | None
    batch_size: Any  # a whole number as soon as the data is known
    optimizer: Optimizer
    schedule: Callable[[int], float] | None
    label_smoothing: float
    augment: Callable[[Any, np.random.Generator], Any] | None
    largest_norm: float | None
    replace: bool
    evaluate_train: bool
    callbacks: list[Any]
    checkpoint: str | os.PathLike[str] | None
    every: int
    resume: str | os.PathLike[str] | None
    progress: Any
    on_nonfinite: str
    shards: int | None

    @classmethod
    def of(cls, *, learning_rate: Any, optimizer: Any, every: Any, **given: Any) -> Settings:
        """Check each argument, and that no two contradict each other.

        Raises
        ------
        TypeError, ValueError
            If an argument has the wrong type or is out of range, or two contradict each other.
        """
        if given["batch_size"] is not None:
            given["batch_size"] = count(given["batch_size"], "batch_size")
        optimizer = optimizer_of(optimizer, learning_rate, given["schedule"])
        smoothing = real(given["label_smoothing"], "label_smoothing")
        if not 0 <= smoothing < 1:
            raise ValueError(f"label_smoothing must lie in 0 <= label_smoothing < 1, got {given['label_smoothing']!r}")
        given["label_smoothing"] = smoothing
        if given["on_nonfinite"] not in ("raise", "warn", "ignore"):
            raise ValueError(f"on_nonfinite must be 'raise', 'warn' or 'ignore', got {given['on_nonfinite']!r}")
        progress = given["progress"]
        if not (progress is None or isinstance(progress, bool) or callable(progress)):
            raise TypeError(f"progress must be a function, got {progress!r}")
        if not (given["augment"] is None or callable(given["augment"])):
            raise TypeError(f"augment must be a function of a batch and a generator, got {given['augment']!r}")
        if given["largest_norm"] is not None:
            given["largest_norm"] = positive(given["largest_norm"], "largest_norm")
        given["callbacks"] = expect_callbacks(given["callbacks"])
        if progress is None and any(type(one) is not EarlyStopping for one in given["callbacks"]):
            given["progress"] = False  # their output would run into the bar
        if every is not None and given["checkpoint"] is None:
            raise ValueError(f"every={every!r} says how often to write a checkpoint; say where with checkpoint=path")
        every = count(1 if every is None else every, "every")
        if given["shards"] is not None:
            given["shards"] = count(given["shards"], "shards")
        for name in ("replace", "evaluate_train"):
            given[name] = flag(given[name], name)
        return cls(optimizer=optimizer, every=every, **given)

    def expect_batches_of(self, n: int, processes: int = 1) -> None:
        """Set the batch size for `n` examples if none was given; raise ValueError if they do not fill a batch.

        Nor may there be shards without an example, or processes without a shard.
        """
        if self.batch_size is None:
            self.batch_size = min(TUTORIALS_BATCH, n)
        if self.batch_size > n and not self.replace:
            raise ValueError(
                f"batch_size is {self.batch_size}, but there are {n} examples; replace=True would draw with replacement"
            )

        if self.shards is not None and self.batch_size < self.shards:
            raise ValueError(f"batch_size is {self.batch_size}, but shards={self.shards}; each has one example or more")
        if self.shards is not None and self.shards < processes:
            raise ValueError(
                f"there are {processes} processes, but shards={self.shards}; give shards={processes} or more"
            )

    @property
    def step_by_step(self) -> bool:
        """Whether a callback wants to see each step."""
        return any(hasattr(callback, "on_step") for callback in self.callbacks)

    def total_steps(self, per_epoch: int) -> int:
        """Give the total number of steps, at `per_epoch` steps in an epoch."""
        if self.epochs is not None and self.iterations is not None:
            raise ValueError(
                f"give epochs or iterations, not both; got epochs={self.epochs!r}, iterations={self.iterations!r}"
            )
        if self.iterations is not None:
            return count(self.iterations, "iterations")
        return count(1 if self.epochs is None else self.epochs, "epochs") * per_epoch


def optimizer_of(optimizer: Any, learning_rate: Any, schedule: Any) -> Optimizer:
    """Give the optimizer that the three arguments describe; they must not contradict each other."""
    if not (optimizer is None or isinstance(optimizer, Optimizer | str)):
        raise TypeError(f"optimizer must be an Optimizer such as Adam(), or its name, got {optimizer!r}")
    if not (schedule is None or callable(schedule)):
        raise TypeError(f"schedule must be a function of the epoch such as cosine(0.1, 20), got {schedule!r}")
    given = learning_rate is not TUTORIALS_RATE
    if given and isinstance(optimizer, Optimizer):
        raise ValueError("give the learning rate to the optimizer: fit(…, optimizer=Adam(lr=…))")
    if given and schedule is not None:
        raise ValueError("the schedule gives the learning rate: leave out learning_rate")
    rate = positive(learning_rate, "learning_rate") if schedule is None else rate_of(schedule, 0)
    if isinstance(optimizer, str):
        kind = OPTIMIZERS.get(optimizer.lower())
        if kind is None:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, or an Optimizer, got {optimizer!r}")
        made: Optimizer = kind(rate) if given or schedule is not None else kind()
        return made
    return SGD(rate) if optimizer is None else optimizer


def rate_of(schedule: Callable[[int], float], epoch: int) -> float:
    """Give the checked learning rate of a schedule for an epoch."""
    return positive(schedule(epoch), f"schedule({epoch})")
