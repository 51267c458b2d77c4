"""The steps of a training run, and the losses and measures after each epoch.

The steps are made by a `Stepper`: many at a time in Rust, one by one through the network's own ``gradient``, or from
the gradients of shards. All draw the same batches from the same generator and give the same numbers up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray
from chainrule._warn import warn
from chainrule.nn import engine
from chainrule.nn.engine import Ours
from chainrule.nn.layers import Dropout, Relu
from chainrule.nn.network import Network, batched, name_params, penalty, statistics_of
from chainrule.nn.passes import run as run_layer
from chainrule.nn.sparse import SparseRows, mean_of_blocks
from chainrule.training.callbacks import Run, call
from chainrule.training.decisions import deciding
from chainrule.training.fused import FusedStepper
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer
from chainrule.training.progress import reporter
from chainrule.training.ranks import Ranks
from chainrule.training.readable import ReadableStepper
from chainrule.training.sets import Sets
from chainrule.training.settings import Settings, rate_of
from chainrule.training.sharded import ShardedStepper
from chainrule.training.shards import Shards
from chainrule.training.task import Stepper, Task, needs_stream

if TYPE_CHECKING:
    from chainrule.training.checkpoints import Checkpoints

#: Data with larger numbers are probably not scaled, such as pixels of 0 to 255.
LARGE = 10.0
#: The number of examples that show whether a layer's units are dead.
SAMPLE = 100


class Training:
    """A training run in progress; callbacks see it as `run`.

    Parameters
    ----------
    net : Network
        The network, or any object with its methods.
    sets : Sets
        The data.
    settings : Settings
        How to train.
    checkpoints : Checkpoints
        The file to write the run to, and the run to continue from.
    rng : numpy.random.Generator
        The generator for drawing batches.
    total : int
        The total number of steps.
    ranks : Ranks
        The processes that train together.
    """

    def __init__(
        self,
        net: Any,
        sets: Sets,
        settings: Settings,
        checkpoints: Checkpoints,
        rng: np.random.Generator,
        total: int,
        ranks: Ranks,
    ) -> None:
        self.net, self.optimizer, self.settings, self._checkpoints = net, settings.optimizer, settings, checkpoints
        self._rng, self._total, self._ranks = rng, total, ranks
        self._shards = None if settings.shards is None else Shards(settings.shards, ranks)
        self._undo = undo_of(net, self.optimizer, rng)
        if sets.share:
            sets.hold_out(checkpoints.held_out(sets, rng))
        sets.smooth(net, settings.label_smoothing)
        self._sets = sets
        # Only runs that draw masks or augment take a number from the generator, so all other runs stay what they were.
        stream = checkpoints.stream
        if stream is None and needs_stream(net, settings.augment):
            stream = int(rng.integers(2**63))
        checkpoints.stream = stream
        self._per_epoch = -(-len(sets) // settings.batch_size)
        evaluated = {"train": (sets.x, sets.t), **sets.evaluated} if settings.evaluate_train else sets.evaluated
        loss = engine.known_loss(net.last_layer) if isinstance(net, Network) else None
        self.run = Run(net, self.optimizer, evaluated, measure="accuracy" if loss is None else loss.measure)
        self._task = Task(net, sets, settings, stream, self.run)
        # Evaluations of the last epoch, which continue during the steps of this one.
        self._evaluations: list[tuple[engine.Plan, _kernels.Evaluation, NDArray[Any]]] = []
        self._told_of_dead_units = False

    @property
    def history(self) -> History:
        """The history so far."""
        return self.run.history

    def begin(self) -> None:
        """Call ``on_start``, and restore the run to continue, if there is one."""
        run, per_epoch = self.run, self._per_epoch
        with _undoing(self._undo):
            self._call("on_start")
        if self.settings.resume is None:
            return
        with _undoing(self._undo, BaseException):
            self._ranks.each(self._restore)
        at_its_end = run.step >= self._total or run.stopped
        if at_its_end and self.settings.checkpoint != self.settings.resume:  # the new file gets the end too
            self._save(self._rng.bit_generator.state)
        if run.step % per_epoch and run.step < self._total:
            self._forget_a_part_of_an_epoch()
        elif run.step % per_epoch:
            self._call("on_epoch")  # the file was written before this call

    def _restore(self) -> None:
        self._checkpoints.restore(self.run, self._rng)
        if self.run.step > self._total:
            made = f"the run has made {self.run.step} steps, but this call asks for {self._total} in total"
            raise ValueError(f"{self.settings.resume}: {made}")

    def _call(self, moment: str) -> None:
        """Call the callbacks: those of rank 0, whose decisions reach all."""
        if self.settings.callbacks:
            deciding(self._ranks, self.run, lambda: call(self.settings.callbacks, moment, self.run))

    def _take_rate(self, schedule: Callable[[int], float], epoch: int) -> None:
        """Set the learning rate to what the schedule gives on rank 0."""
        rate = self._ranks.each(lambda: rate_of(schedule, epoch) if self._ranks.first else None)
        self.optimizer.lr = self._ranks.of_the_first(rate)

    def _save(self, generator: Any) -> None:
        """Write a checkpoint, on rank 0, if there is a file for it."""
        if self._checkpoints.path is not None:
            self._ranks.each(lambda: self._checkpoints.save(self.run, generator) if self._ranks.first else None)

    def go_on(self) -> None:
        """Make the remaining steps, epoch by epoch."""
        run, settings, checkpoints = self.run, self.settings, self._checkpoints
        per_epoch, total, n = self._per_epoch, self._total, len(self._sets)
        with reporter(settings.progress if self._ranks.first else False, total) as report:
            while run.step < total and not run.stopped:
                epoch, done = divmod(run.step, per_epoch)
                if settings.schedule is not None and not done:
                    with _undoing(self._undo):
                        self._take_rate(settings.schedule, epoch)
                state = self._rng.bit_generator.state if checkpoints.path is not None else None
                steps = min(per_epoch, total - epoch * per_epoch)
                size = steps * settings.batch_size
                rows = self._rng.integers(n, size=size) if settings.replace else self._rng.permutation(n)[:size]
                due = checkpoints.due(epoch + 1)
                # A callback or a checkpoint must have the losses and measures of its epoch.
                more = not (settings.callbacks or due) and epoch * per_epoch + steps < total
                for _ in _restoring(self._undo, self._run_epoch(rows[done * settings.batch_size :], more=more)):
                    report(run.step, total)
                    if settings.step_by_step:
                        self._call("on_step")
                whole = run.step % per_epoch == 0
                if not whole:  # a longer run will finish the epoch and call on_epoch
                    self._save(state)
                self._call("on_epoch")
                if epoch == 0 and run.step < total:
                    with _undoing(self._undo):
                        self._ranks.each(self._tell_of_dead_units)
                if whole and (due or run.stopped or run.step == total):
                    self._save(self._rng.bit_generator.state)
            self._call("on_end")
            with _undoing(self._undo):
                self._ranks.each(self._tell_of_dead_units)

    def _forget_a_part_of_an_epoch(self) -> None:
        """Drop the row of an epoch that was cut short, which will now be finished."""
        lists: list[list[Any]] = [self.history.steps, *self.history.measures().values()]
        for values in lists:
            del values[-1:]

    def _run_epoch(self, rows: NDArray[np.int64], *, more: bool) -> Iterator[None]:
        """Make the steps of an epoch and evaluate after them; or, if `more` steps follow, during or after those."""
        stepper = self._stepper()
        while len(rows) and not self.run.stopped:
            for losses in stepper.steps(rows):
                self.history.losses += losses
                rows = rows[len(losses) * self.settings.batch_size :]
                self._expect_finite(f"loss is {losses[-1]}", losses[-1])
                yield
                fits = stepper.fits()
                if not fits:  # a layer was replaced by a callback or another thread
                    stepper = self._stepper()
                if not fits or self.run.stopped:
                    break
        for name, array in self.net.params.items():  # no later loss would show that the last step overflowed
            self._expect_finite(f"params[{name!r}] is not finite", array)
        self._finish_evaluations()
        self.history.steps.append(len(self.history.losses))
        sets, plan = self.run.sets, stepper.plan if self._shards is None else None
        dense = not any(isinstance(x, SparseRows) for x, _ in sets.values())
        if plan is not None and dense and Ours(self.net).evaluated is not None:
            found = plan.evaluations([(self._examples(plan, x), t) for x, t in sets.values()])
            self._evaluations = [(plan, one, t) for one, (_, t) in zip(found, sets.values(), strict=True)]
            if not more:
                self._finish_evaluations()
        else:
            self._note([self._evaluate(x, t) for x, t in sets.values()])

    def _finish_evaluations(self) -> None:
        if self._evaluations:
            self._note([plan.result(evaluation, t) for plan, evaluation, t in self._evaluations])
            self._evaluations = []

    def _note(self, found: list[tuple[float, float]]) -> None:
        """Write the loss and measure of each set into the history."""
        for name, values in zip(self.run.sets, found, strict=True):
            self.history.note(name, self.run.measure, *values)

    def _stepper(self) -> Stepper:
        """Choose who makes the steps: Rust, or the network's own methods; of whole batches, or of shards."""
        plan = self._task.plan()
        if self._shards is not None:
            return ShardedStepper(self._task, plan, self._shards)
        if plan is None:
            return ReadableStepper(self._task, None)
        return FusedStepper(self._task, plan, [one for _, one, _ in self._evaluations])

    def _examples(self, plan: engine.Plan, x: FloatArray | SparseRows) -> _kernels.Examples:
        return self._task.examples(plan, x, leave_out=self.settings.largest_norm is None)

    def _tell_of_dead_units(self) -> None:
        """Warn, once in a run, about a Relu that lets nothing through: the layers before it get no gradient.

        The loss stays finite and does not show it. In a network that learns, the outputs there are not 0 for all of
        some dozens of examples; for fewer examples, or blank ones, they may be.
        """
        net, x = self.net, self._sets.at_hand
        known = isinstance(net, Network) and Ours(net).scores and Ours(net).layers
        if (
            not self._ranks.first
            or self._told_of_dead_units
            or not known
            or len(x) < SAMPLE
            or not np.isfinite(self.history.losses).all()
        ):
            return
        sample = x[np.linspace(0, len(x) - 1, SAMPLE, dtype=int)]
        sample = sample[sample.reshape(SAMPLE, -1).any(axis=1)]
        if len(sample) < SAMPLE / 2:
            return
        scores = net.predict(sample)
        with np.errstate(over="ignore"):
            alike = np.allclose(scores, scores[:1])
        if not alike:  # they are alike after a layer that is dead
            return
        out, _ = batched(net, sample)
        for name, layer in net.layers.items():
            out = run_layer(copy.copy(layer), out, training=False)  # a copy: the layer keeps its state
            if type(layer) is Relu and not out.any():
                text = (
                    f"every unit of {name} is 0 for all of {len(sample)} examples; the layers before it no longer learn"
                )
                then = f"{advice(self._sets.at_hand, self._dtype(), self._sets.place)}, and start with a new network"
                warn(f"{text}. {then}")
                self._told_of_dead_units = True
                return

    def _evaluate(self, x: FloatArray | SparseRows, t: NDArray[Any]) -> tuple[float, float]:
        """Give loss and measure of a set by the network's own methods; of its shards, if there are any."""
        if self._shards is None:
            return self._measures(x, t)
        found = self._shards.mean(x, t, self._measures)
        self.run.measure = self._ranks.of_the_first(self.run.measure)
        loss = Ours(self.net).evaluated
        return found if loss is None else (found[0], loss.score(found[0] - penalty(self.net), found[1], t))

    def _measures(self, x: FloatArray | SparseRows, t: NDArray[Any]) -> tuple[float, float]:
        """Give loss and measure by the network's own methods, from the same scores if both are ours."""
        net, loss = self.net, Ours(self.net).evaluated
        if loss is not None:
            value, measure = loss.evaluate(net.predict(x), t)
            return value + penalty(net), measure
        return mean_of_blocks(net.loss, x, t), self._own_score(x, t)

    def _own_score(self, x: FloatArray | SparseRows, t: NDArray[Any]) -> float:
        """Give the measure by the network's own methods; a user's own loss need not be for classes."""
        net, history = self.net, self.history
        if not isinstance(net, Network):
            return mean_of_blocks(net.accuracy, x, t)
        if self.run.measure is None:
            return np.nan
        try:
            return mean_of_blocks(net.score, x, t)
        except ValueError:
            if len(history.steps) > 1 or not Ours(net).accuracy or engine.known_loss(net.last_layer) is not None:
                raise
            self.run.measure = None
            return np.nan

    def _expect_finite(self, what: str, values: Any) -> None:
        """Raise FloatingPointError if `values` are not finite and `on_nonfinite` asks for it."""
        if not self._task.strict or np.isfinite(values).all():
            return

        def refuse() -> None:
            advised = advice(self._sets.at_hand, self._dtype(), self._sets.place)
            raise FloatingPointError(
                f"{what} at step {len(self.history.losses)} (lr={self.optimizer.lr}); the network is as it was before"
                f" the call. {advised}, or on_nonfinite='ignore' to go on"
            )

        self._ranks.each(refuse)  # on every rank, which all have the same numbers

    def _dtype(self) -> np.dtype[Any]:
        """Give the dtype that the network computes in, as far as its parameters tell."""
        return next((np.asarray(array).dtype for array in self.net.params.values()), np.dtype(np.float64))


def advice(x: FloatArray | SparseRows, dtype: np.dtype[Any], place: Callable[..., str]) -> str:
    """Advise what to do about a loss that is not finite; look at the data first, which no learning rate can fix.

    `place` names a number of `x` by its row and its place in the row.
    """
    largest = 0.0
    length = min(1024, x.block) if isinstance(x, SparseRows) else 1024
    for start in range(0, len(x), length):  # so that a large set is not copied as a whole
        with np.errstate(over="ignore"):
            block = x[start : start + length].astype(dtype, copy=False)
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            row, *rest = bad[0].tolist()
            at, value = place(start + row, *rest), block[tuple(bad[0])]
            return f"{at} is {value} in {dtype}: leave out such examples, or put a number there"
        largest = max(largest, float(np.abs(block).max(initial=0)))
    scale = f"Scale x, which reaches {largest:.4g}, or try" if largest > LARGE else "Try"
    return f"{scale} a smaller learning rate"


def undo_of(net: Any, optimizer: Optimizer, rng: np.random.Generator) -> Callable[[], None]:
    """Give a function that restores the present layers, parameters, optimizer and generator."""
    held: dict[str, Any] = net.layers if isinstance(net, Network) else {}
    layers, named = dict(held), dict(net.params)
    before = [(array, array.copy()) for array in (*net.params.values(), *statistics_of(net).values())]
    masks = [(layer, vars(layer).copy()) for layer in layers.values() if isinstance(layer, Dropout)]
    kept = {name: tuple(array.copy() for array in arrays) for name, arrays in optimizer.kept.items()}
    attributes, state = vars(optimizer) | {"kept": kept}, rng.bit_generator.state

    def undo() -> None:
        if isinstance(net, Network):  # a callback may have replaced layers
            held.clear()
            held.update(layers)
            net.layers = held  # type: ignore[assignment]  # as it was: ordered, unless the user has put a dict there
            if net.params.keys() != named.keys():
                name_params(net, named)
        for array, values in before:
            array[...] = values
        for layer, own in masks:
            vars(layer).update(own)
        vars(optimizer).update(attributes)
        rng.bit_generator.state = state

    return undo


@contextmanager
def _undoing(undo: Callable[[], None], errors: type[BaseException] = Exception) -> Iterator[None]:
    try:
        yield
    except errors:
        undo()
        raise


def _restoring(undo: Callable[[], None], work: Iterator[None]) -> Iterator[None]:
    """Iterate over `work`, and call `undo` if it raises; not for Ctrl-C, nor for the caller's own exceptions."""
    with _undoing(undo):
        yield from work
