"""The steps of a training run, and the losses and accuracies after each epoch.

A network Rust knows makes its steps there, many to a call; any other, through its own ``gradient``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray, rows_of, weighted
from chainrule.nn import engine
from chainrule.nn.network import Network, loss_and_accuracy, params_of
from chainrule.training.callbacks import Run
from chainrule.training.optimizers import Optimizer


class Training(Run):
    """A run, and what its steps are made with.

    Parameters
    ----------
    net, optimizer, sets
        As in `Run`.
    x : ndarray, shape (N, ...)
        The examples to train on.
    taught : ndarray
        The teaching signal of the training set, smoothed if that is asked for.
    weights : ndarray or None
        Sample weights.
    batch_size : int
        Examples a step.
    strict : bool
        Whether to stop when a loss is not finite.
    step_by_step : bool
        Whether somebody wants to see each step.
    """

    def __init__(
        self,
        net: Any,
        optimizer: Optimizer,
        sets: dict[str, tuple[FloatArray, NDArray[Any]]],
        x: FloatArray,
        taught: NDArray[Any],
        weights: FloatArray | None,
        *,
        batch_size: int,
        strict: bool,
        step_by_step: bool,
    ) -> None:
        super().__init__(net, optimizer, sets)
        self.x, self.taught, self.weights = x, taught, weights
        self.batch_size, self.strict, self.step_by_step = batch_size, strict, step_by_step
        # The rows that Rust reads: of the signal, times the weights.
        self._weighted: FloatArray | None = None
        # Each data set as Rust reads it, and for which kind of plan that is.
        self._prepared: dict[int, tuple[Any, _kernels.Examples]] = {}
        # Evaluations of the last epoch, which are gone on with beside the steps of this one.
        self._evaluations: list[_kernels.Evaluation] = []

    def forget_a_part_of_an_epoch(self) -> None:
        """Drop the row of an epoch that was cut short, which is to be finished now."""
        for name, values in vars(self.history).items():
            if name != "losses":
                del values[-1:]

    def run_epoch(self, rows: NDArray[np.int64], *, more: bool) -> Iterator[None]:
        """Do the steps of an epoch, and evaluate after them; or, if `more` steps follow, beside or after those."""
        plan = self._plan()
        for losses in self._readable_steps(rows) if plan is None else self._engine_steps(plan, rows):
            self.history.losses += losses
            self._expect_finite(f"loss is {losses[-1]}", losses[-1])
            yield
            if self.stopped:
                break
        for name, array in self.net.params.items():  # a last step that overflowed: no loss comes after it to show it
            self._expect_finite(f"params[{name!r}] is not finite", array)
        self._finish_evaluations()
        self.history.steps.append(len(self.history.losses))
        if plan is not None and evaluates_as_ours(self.net):
            self._evaluations = plan.evaluations([(self._examples(plan, x), t) for x, t in self.sets.values()])
            if not more:
                self._finish_evaluations()
        else:
            self._note([self._evaluate(x, t) for x, t in self.sets.values()])

    def _finish_evaluations(self) -> None:
        if self._evaluations:
            self._note([engine.finish(evaluation) for evaluation in self._evaluations])
            self._evaluations = []

    def _note(self, found: list[tuple[float, float]]) -> None:
        """Write loss and accuracy of each set into the history."""
        for name, (loss, accuracy) in zip(self.sets, found, strict=True):
            getattr(self.history, f"{name}_loss").append(loss)
            getattr(self.history, f"{name}_accuracy").append(accuracy)

    def _plan(self) -> engine.Plan | None:
        """Choose who does the steps: Rust, or the network's own methods."""
        plan = engine.plan(self.net.layers) if is_ours(self.net) and engine.knows(self.optimizer) else None
        return plan if plan is not None and plan.separate else None

    def _examples(self, plan: engine.Plan, x: FloatArray) -> _kernels.Examples:
        """Give `x`, the images of one of the sets, made ready; made once, unless a layer was replaced since."""
        reading, ready = self._prepared.get(id(x), (None, None))
        if ready is None or reading != plan.reading:
            ready = plan.examples(x)
            self._prepared[id(x)] = plan.reading, ready
        return ready

    def _engine_steps(self, plan: engine.Plan, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Let Rust take the steps. A loss that is not finite comes last, and its step was not taken."""
        params = self.net.params
        self.optimizer.prepare(params)
        names = [next(name for name, p in params.items() if p is array) for array in plan.arrays]
        x, t = self._examples(plan, self.x), self.taught
        if self.weights is not None:
            if self._weighted is None:
                self._weighted = weighted(rows_of(t, plan.classes, plan.dtype), self.weights)
            t = self._weighted
        losses = np.empty(-(-len(rows) // self.batch_size))
        done, diverged = 0, False
        while done < len(losses) and not diverged:
            end = (done + 1) * self.batch_size if self.step_by_step else len(rows)
            left = rows[done * self.batch_size : end]
            steps, diverged = plan.steps(
                self.optimizer, names, x, t, left, self.batch_size, self.strict, losses[done:], self._evaluations
            )
            yield losses[done : done + steps + diverged].tolist()
            done += steps

    def _readable_steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Take the steps as the tutorial's loop does, through the network's own methods."""
        net = self.net
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            x, t = self.x[batch], self.taught[batch]
            weights = () if self.weights is None else (self.weights[batch],)
            grads = net.gradient(x, t, *weights)
            if not len(self.history.losses):
                self._tell_what_has_no_gradient(grads)
            # The loss that gradient has just computed, if that is the network's whole loss.
            loss = float(net.last_layer.loss if is_ours(net) else net.loss(x, t, *weights))
            if np.isfinite(loss) or not self.strict:
                with np.errstate(over="ignore", invalid="ignore"):  # told by the loss
                    self.optimizer.update(net.params, grads)
            yield [loss]

    def _tell_what_has_no_gradient(self, grads: Any) -> None:
        """Warn of parameters that the network's own ``gradient`` leaves out."""
        without = [name for name in params_of(self.net) if name not in grads]
        if without:
            text = f"fit leaves {', '.join(without)} untrained: {type(self.net).__name__}.gradient gives none of it"
            warnings.warn(text, RuntimeWarning, stacklevel=6)

    def _evaluate(self, x: FloatArray, t: NDArray[Any]) -> tuple[float, float]:
        """Give loss and accuracy of a set by the network's own methods: of the same scores, if both are ours."""
        net = self.net
        if not evaluates_as_ours(net):
            return float(net.loss(x, t)), float(net.accuracy(x, t))
        return loss_and_accuracy(net.predict(x), t)

    def _expect_finite(self, what: str, values: Any) -> None:
        """Stop, if asked to, because `values` are not finite."""
        if self.strict and not np.isfinite(values).all():
            raise FloatingPointError(
                f"{what} at step {len(self.history.losses)} (lr={self.optimizer.lr}); the network is as it was before"
                " the call. Try a smaller learning rate, or on_nonfinite='ignore' to go on"
            )


def is_ours(net: Any) -> bool:
    """Tell whether `net` is a Network with our own ``predict``, ``loss``, ``gradient`` and loss layer."""
    ours = {"predict": Network.predict, "loss": Network.loss, "gradient": Network.gradient}
    return isinstance(net, Network) and engine.knows_loss(net.last_layer) and engine.unchanged(net, ours)


def evaluates_as_ours(net: Any) -> bool:
    """Tell whether loss and accuracy of `net` are those of the scores that its ``predict`` gives."""
    ours = {"predict": Network.predict, "loss": Network.loss, "accuracy": Network.accuracy}
    return isinstance(net, Network) and engine.knows_loss(net.last_layer) and engine.unchanged(net, ours)
