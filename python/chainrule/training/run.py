"""The steps of a training run, and the losses and measures after each epoch.

A network that Rust knows is trained in Rust, many steps in one call; any other through its own ``gradient``. Both ways
draw the same batches from the same generator and give the same numbers up to rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, examples
from chainrule._warn import warn
from chainrule.nn import engine
from chainrule.nn.engine import Ours
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Dropout, Relu
from chainrule.nn.network import Network, batched, name_params, params_of, penalty, statistics_of
from chainrule.nn.passes import run as run_layer
from chainrule.nn.sparse import SparseRows, mean_of_blocks
from chainrule.training.callbacks import Run, call
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer, shortened
from chainrule.training.progress import reporter
from chainrule.training.sets import Sets
from chainrule.training.settings import Settings, rate_of

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
    """

    def __init__(
        self, net: Any, sets: Sets, settings: Settings, checkpoints: Checkpoints, rng: np.random.Generator, total: int
    ) -> None:
        self.net, self.optimizer, self.settings, self._checkpoints = net, settings.optimizer, settings, checkpoints
        self._rng, self._total = rng, total
        self._undo = undo_of(net, self.optimizer, rng)
        if sets.share:
            sets.hold_out(checkpoints.held_out(sets, rng))
        sets.smooth(net, settings.label_smoothing)
        self._sets = sets
        # Only runs that draw masks or augment take a number from the generator, so all other runs stay what they were.
        stream = checkpoints.stream
        if stream is None and _needs_stream(net, settings.augment):
            stream = int(rng.integers(2**63))
        self._stream = checkpoints.stream = stream
        self._per_epoch = -(-len(sets) // settings.batch_size)
        evaluated = {"train": (sets.x, sets.t), **sets.evaluated} if settings.evaluate_train else sets.evaluated
        loss = engine.known_loss(net.last_layer) if isinstance(net, Network) else None
        self.run = Run(net, self.optimizer, evaluated, measure="accuracy" if loss is None else loss.measure)
        # The teaching signal and the weights in the form that Rust reads.
        self._taught: tuple[NDArray[Any], FloatArray | None] | None = None
        # Each data set in the form that Rust reads, and the kind of plan it was made for.
        self._prepared: dict[int, tuple[Any, _kernels.Examples]] = {}
        # Evaluations of the last epoch, which continue during the steps of this one.
        self._evaluations: list[tuple[engine.Plan, _kernels.Evaluation, NDArray[Any]]] = []
        self._told_of_dead_units = False

    @property
    def history(self) -> History:
        """The history so far."""
        return self.run.history

    def begin(self) -> None:
        """Call ``on_start``, and restore the run to continue, if there is one."""
        run, callbacks, per_epoch = self.run, self.settings.callbacks, self._per_epoch
        with _undoing(self._undo):
            call(callbacks, "on_start", run)
        if self.settings.resume is None:
            return
        with _undoing(self._undo, BaseException):
            self._checkpoints.restore(run, self._rng)
            if run.step > self._total:
                made = f"the run has made {run.step} steps, but this call asks for {self._total} in total"
                raise ValueError(f"{self.settings.resume}: {made}")
        at_its_end = run.step >= self._total or run.stopped
        if at_its_end and self.settings.checkpoint != self.settings.resume:  # the new file gets the end too
            self._checkpoints.save(run, self._rng.bit_generator.state)
        if run.step % per_epoch and run.step < self._total:
            self._forget_a_part_of_an_epoch()
        elif run.step % per_epoch:
            call(callbacks, "on_epoch", run)  # the file was written before this call

    def go_on(self) -> None:
        """Make the remaining steps, epoch by epoch."""
        run, settings, checkpoints, callbacks = self.run, self.settings, self._checkpoints, self.settings.callbacks
        per_epoch, total, n = self._per_epoch, self._total, len(self._sets)
        with reporter(settings.progress, total) as report:
            while run.step < total and not run.stopped:
                epoch, done = divmod(run.step, per_epoch)
                if settings.schedule is not None and not done:
                    with _undoing(self._undo):
                        self.optimizer.lr = rate_of(settings.schedule, epoch)
                state = self._rng.bit_generator.state if checkpoints.path is not None else None
                steps = min(per_epoch, total - epoch * per_epoch)
                size = steps * settings.batch_size
                rows = self._rng.integers(n, size=size) if settings.replace else self._rng.permutation(n)[:size]
                due = checkpoints.due(epoch + 1)
                # A callback or a checkpoint must have the losses and measures of its epoch.
                more = not (callbacks or due) and epoch * per_epoch + steps < total
                for _ in _restoring(self._undo, self._run_epoch(rows[done * settings.batch_size :], more=more)):
                    report(run.step, total)
                    call(callbacks, "on_step", run)
                whole = run.step % per_epoch == 0
                if not whole:  # a longer run will finish the epoch and call on_epoch
                    checkpoints.save(run, state)
                call(callbacks, "on_epoch", run)
                if epoch == 0 and run.step < total:
                    with _undoing(self._undo):
                        self._tell_of_dead_units()
                if whole and (due or run.stopped or run.step == total):
                    checkpoints.save(run, self._rng.bit_generator.state)
            call(callbacks, "on_end", run)
            with _undoing(self._undo):
                self._tell_of_dead_units()

    def _forget_a_part_of_an_epoch(self) -> None:
        """Drop the row of an epoch that was cut short, which will now be finished."""
        lists: list[list[Any]] = [self.history.steps, *self.history.measures().values()]
        for values in lists:
            del values[-1:]

    def _run_epoch(self, rows: NDArray[np.int64], *, more: bool) -> Iterator[None]:
        """Make the steps of an epoch and evaluate after them; or, if `more` steps follow, during or after those."""
        plan = self._plan()
        while len(rows) and not self.run.stopped:
            for losses in self._readable_steps(rows) if plan is None else self._engine_steps(plan, rows):
                self.history.losses += losses
                rows = rows[len(losses) * self.settings.batch_size :]
                self._expect_finite(f"loss is {losses[-1]}", losses[-1])
                yield
                replaced = plan is not None and not plan.is_of(self.net.layers)
                if replaced:  # a layer was replaced by a callback or another thread
                    plan = self._plan()
                if replaced or self.run.stopped:
                    break
        for name, array in self.net.params.items():  # no later loss would show that the last step overflowed
            self._expect_finite(f"params[{name!r}] is not finite", array)
        self._finish_evaluations()
        self.history.steps.append(len(self.history.losses))
        sets = self.run.sets
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

    def _plan(self) -> engine.Plan | None:
        """Choose who makes the steps: Rust, or the network's own methods."""
        ours = Ours(self.net)
        if ours.trained is None or not engine.knows(self.optimizer):
            return None
        plan = ours.plan(self._sets.x)
        return plan if plan is not None and plan.separate else None

    def _examples(self, plan: engine.Plan, x: FloatArray | SparseRows) -> _kernels.Examples:
        """Give `x`, from one of the sets, prepared for Rust; it is prepared once, unless a layer was replaced since."""
        assert not isinstance(x, SparseRows)  # of which only parts are handed over
        reading, ready = self._prepared.get(id(x), (None, None))
        if ready is None or reading != plan.reading:
            # To bound its norm, the whole gradient is needed, so no product may leave out a part of it.
            ready = plan.examples(x, leave_out=self.settings.largest_norm is None)
            self._prepared[id(x)] = plan.reading, ready
        return ready

    def _engine_steps(self, plan: engine.Plan, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Let Rust make the steps. A loss that is not finite comes last, and its step has not been made."""
        params = self.net.params
        self.optimizer.prepare(params)
        names = [next(name for name, p in params.items() if p is array) for array in plan.parameters]
        sets, batch_size = self._sets, self.settings.batch_size
        # An augmented batch, or rows of a sparse matrix made dense, are a data set of their own; see `_at_once`.
        x = None if self._at_once is not None else self._examples(plan, sets.x)
        if self._taught is None:
            weights = sets.weights
            self._taught = (
                (sets.taught, None)
                if weights is None
                else plan.loss.with_weights(sets.taught, weights, plan.classes, plan.dtype)
            )
        losses, beside = np.empty(-(-len(rows) // batch_size)), [one for _, one, _ in self._evaluations]
        done, diverged = 0, False
        while done < len(losses) and not diverged:
            at_once = 1 if self.settings.step_by_step else self._at_once
            end = len(rows) if at_once is None else (done + at_once) * batch_size
            left, taught = rows[done * batch_size : end], self._taught
            if x is None:
                t, weights = taught
                batch = plan.examples(
                    self._batch(left), leave_out=self.settings.augment is None and self.settings.largest_norm is None
                )
                taught = t[left], None if weights is None else weights[left]
                left = np.arange(len(left))
            else:
                batch = x
            steps, diverged = plan.steps(
                self.optimizer,
                names,
                batch,
                taught,
                left,
                batch_size,
                self._strict,
                losses[done:],
                beside,
                largest_norm=self.settings.largest_norm,
                draws=(self._stream or 0, self.run.step),
            )
            yield losses[done : done + steps + diverged].tolist()
            done += steps

    @property
    def _at_once(self) -> int | None:
        """How many batches are handed over together; None for as many as there are, in the data set as it is."""
        if self.settings.augment is not None:
            return 1
        x = self._sets.x
        return max(x.block // self.settings.batch_size, 1) if isinstance(x, SparseRows) else None

    def _readable_steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Make the steps like the tutorial's loop, through the network's own methods."""
        try:
            for start in range(0, len(rows), self.settings.batch_size):
                with self._whole():
                    loss = self._readable_step(rows[start : start + self.settings.batch_size])
                yield [loss]
        finally:
            for layer in _in_rust(self.net):
                if type(layer) is Dropout:
                    layer.draws = None  # it counts its own passes again

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Restore running statistics if a step ends before its update, for instance by Ctrl-C."""
        steps = self.optimizer.iter
        before = [(array, array.copy()) for array in statistics_of(self.net).values()]
        try:
            yield
        except BaseException:
            if self.optimizer.iter == steps:
                for array, values in before:
                    array[...] = values
            raise

    def _readable_step(self, batch: NDArray[np.int64]) -> float:
        """Make one step, and give the loss before it."""
        net, sets = self.net, self._sets
        x, t = self._batch(batch), sets.taught[batch]
        weights = () if sets.weights is None else (sets.weights[batch],)
        self._place_in_stream()
        grads = net.gradient(x, t, *weights)
        if not len(self.history.losses):
            self._tell_what_has_no_gradient(grads)
        if self.settings.largest_norm is not None:
            grads = shortened(grads, self.settings.largest_norm)
        # Use the loss that gradient has just computed, if that is the network's whole loss.
        ours = Ours(net).trained is not None
        loss = float(net.last_layer.loss + penalty(net) if ours else net.loss(x, t, *weights))
        if np.isfinite(loss) or not self._strict:
            with np.errstate(over="ignore", invalid="ignore"):  # the loss will show it
                self.optimizer.update(net.params, grads)
        return loss

    def _batch(self, rows: NDArray[np.int64]) -> FloatArray:
        """Give the examples of a batch, augmented if `augment` was given."""
        x, augment = self._sets.x[rows], self.settings.augment
        if augment is None:
            return x
        found = augment(x, np.random.default_rng([self._stream or 0, self.run.step]))
        batch = examples(found, x.dtype)
        if batch.shape != x.shape or batch.dtype != x.dtype:
            raise ValueError(
                f"augment must return a batch of the shape and dtype it got, {x.shape} {x.dtype}, got {batch.shape}"
                f" {batch.dtype}"
            )
        return batch

    def _place_in_stream(self) -> None:
        """Make layers draw the masks of this step, the same that Rust would draw."""
        for at, layer in enumerate(_in_rust(self.net)):
            if type(layer) is Dropout:
                layer.draws = (self._stream or 0, self.run.step, at)

    def _tell_what_has_no_gradient(self, grads: Any) -> None:
        """Warn about parameters that the network's own ``gradient`` leaves out."""
        without = [name for name in params_of(self.net) if name not in grads]
        if without:
            text = f"fit leaves {', '.join(without)} untrained: {type(self.net).__name__}.gradient does not return it"
            warn(text)

    def _tell_of_dead_units(self) -> None:
        """Warn, once in a run, about a Relu that lets nothing through: the layers before it get no gradient.

        The loss stays finite and does not show it. In a network that learns, the outputs there are not 0 for all of
        some dozens of examples; for fewer examples, or blank ones, they may be.
        """
        net, x = self.net, self._sets.x
        known = isinstance(net, Network) and Ours(net).scores and Ours(net).layers
        if self._told_of_dead_units or not known or len(x) < SAMPLE or not np.isfinite(self.history.losses).all():
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
                then = f"{advice(self._sets.x, self._dtype(), self._sets.place)}, and start with a new network"
                warn(f"{text}. {then}")
                self._told_of_dead_units = True
                return

    def _evaluate(self, x: FloatArray | SparseRows, t: NDArray[Any]) -> tuple[float, float]:
        """Give loss and measure of a set by the network's own methods, from the same scores if both are ours."""
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

    @property
    def _strict(self) -> bool:
        """Whether to stop when a loss is not finite."""
        return self.settings.on_nonfinite == "raise"

    def _expect_finite(self, what: str, values: Any) -> None:
        """Raise FloatingPointError if `values` are not finite and `on_nonfinite` asks for it."""
        if self._strict and not np.isfinite(values).all():
            raise FloatingPointError(
                f"{what} at step {len(self.history.losses)} (lr={self.optimizer.lr}); the network is as it was before"
                f" the call. {advice(self._sets.x, self._dtype(), self._sets.place)}, or on_nonfinite='ignore' to go on"
            )

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


def _needs_stream(net: Any, augment: Any) -> bool:
    """Tell whether a run needs a stream of random numbers besides that of the batches."""
    return augment is not None or any(type(layer) is Dropout for layer in _in_rust(net))


def _in_rust(net: Any) -> list[Any]:
    """Give the layers in the order in which Rust counts them, without those that Rust has nothing to do for."""
    layers = net.layers.values() if isinstance(net, Network) else ()
    return [layer for layer in layers if type(layer) not in LAYERS or LAYERS[type(layer)].rust]


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
