"""Training: mini-batch gradient descent over a data set, in one call.

A network Rust knows is trained there, many steps to a call; any other, through its own ``gradient``. Both draw the same
batches from the same generator and give the same numbers to rounding.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from chainrule import _engine, _kernels
from chainrule._gate import (
    FloatArray,
    all_writeable,
    count,
    examples,
    expect_network,
    flag,
    generator,
    numbers,
    positive,
    targets,
)
from chainrule.network import Network, accuracy_of
from chainrule.optimizers import SGD, Optimizer

#: The default learning rate: the very object, so that a rate given beside an optimizer is noticed, whatever it is.
_TUTORIALS_RATE = float("0.1")


@dataclass
class History:
    """What a training run did.

    Attributes
    ----------
    losses : list of float
        The mean loss of each step's batch, in nats, before that step's update.
    steps : list of int
        How many steps had been done when the accuracies were taken.
    train_accuracy, test_accuracy : list of float
        Shares, 0.0-1.0, one for each entry of `steps`; `test_accuracy` is empty if no test set was given.
    """

    losses: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)


def fit(
    net: Any,
    x: Any,
    t: Any,
    *,
    test: tuple[Any, Any] | None = None,
    epochs: int | None = None,
    iterations: int | None = None,
    batch_size: int = 100,
    learning_rate: float = _TUTORIALS_RATE,
    optimizer: Optimizer | None = None,
    replace: bool = False,
    seed: int | np.random.Generator | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
    callback: Callable[[Any, History], object] | None = None,
    on_nonfinite: Literal["raise", "warn", "ignore"] = "raise",
) -> History:
    """Train `net` on mini-batches, in place: ``p -= learning_rate * dL/dp``, or as `optimizer` does.

    Parameters
    ----------
    net : Network
        Or any object with ``params``, ``loss(x, t)``, ``gradient(x, t)`` and ``accuracy(x, t)``.
    x : array_like, shape (N, ...)
        The examples; must not change during the call. uint8, float32 and float64 arrays are read where they are, or, if
        most of their numbers are zero, gone through once; bytes count 0-255 unless a Rescaling layer says otherwise.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids or distributions.
    test : (x, t), optional
        A second set whose accuracy is reported too.
    epochs, iterations : int, optional
        How long: passes over the data, or steps. One of the two; one epoch if neither is given.
    batch_size : int, default 100
        Examples a step. The last batch of an epoch is smaller if `batch_size` does not divide N.
    learning_rate : float, default 0.1
        The step size of plain gradient descent, > 0.
    optimizer : Optimizer, optional
        Another rule, with a learning rate of its own. What it keeps between steps stays in it, so a second call with
        the same optimizer goes on where the first stopped.
    replace : bool, default False
        False: each epoch is a permutation, so every example is seen once. True: every batch is drawn from all examples
        with replacement, as the tutorial does; an epoch is then ceil(N / batch_size) steps.
    seed : int or numpy.random.Generator, optional
        Where the batches are drawn from; fresh entropy by default. Same seed, same dtype, same instruction set: same
        bits.
    progress : bool or callable, optional
        True shows a bar on stderr; a callable is called with (steps done, steps in all) several times a second.
    callback : callable, optional
        Called with (net, history) after the accuracies of each epoch, and of the last steps if they end within one.
    on_nonfinite : {"raise", "warn", "ignore"}
        What to do when a batch's loss is nan or infinite.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a shape does not fit, a label or a number is out of range, `batch_size` exceeds N without `replace`, or a
        parameter is read-only. Nothing has been changed then.
    FloatingPointError
        If a loss, or a parameter at the end of an epoch, is not finite: says at which step.

    Notes
    -----
    Without a callback, the accuracies of an epoch are taken on another thread, from a copy of the parameters, beside
    the steps of the next one, if those leave a CPU idle. The numbers are the same.

    After an error the parameters are as they were before the call. Ctrl-C, or an exception of `callback`, leaves the
    network as it is after a whole number of steps.
    Source: the tutorial's "训练网络".

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> x = np.random.default_rng(0).random((200, 2))
    >>> t = (x[:, 0] > x[:, 1]).astype(int)
    >>> net = TwoLayerNet(2, 16, 2, weight_init_std=0.5, seed=0)
    >>> history = fit(net, x, t, epochs=200, batch_size=20, learning_rate=0.5, seed=0)
    >>> history.train_accuracy[-1] > 0.97
    True
    """
    batch_size = count(batch_size, "batch_size")
    if optimizer is None:
        optimizer = SGD(positive(learning_rate, "learning_rate"))
    elif not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be an Optimizer such as Adam(), got {optimizer!r}")
    elif learning_rate is not _TUTORIALS_RATE:
        raise ValueError("give the learning rate to the optimizer: fit(…, optimizer=Adam(lr=…))")
    if on_nonfinite not in ("raise", "warn", "ignore"):
        raise ValueError(f"on_nonfinite must be 'raise', 'warn' or 'ignore', got {on_nonfinite!r}")
    for name, function in {"progress": progress, "callback": callback}.items():
        if not (function is None or isinstance(function, bool) or callable(function)):
            raise TypeError(f"{name} must be a function, got {function!r}")
    expect_network(net)
    replace, rng = flag(replace, "replace"), generator(seed)
    x, t = _pairs(net, x, t)
    if test is not None:
        if not (isinstance(test, tuple | list) and len(test) == 2):
            raise TypeError(f"test must be a pair (x, t), got {type(test).__name__}")
        try:
            test = _pairs(net, *test)
        except (TypeError, ValueError) as error:
            raise type(error)(f"test set: {error}") from None
    n = len(x)
    if batch_size > n and not replace:
        raise ValueError(
            f"batch_size is {batch_size}, but there are {n} examples; replace=True would draw with replacement"
        )
    per_epoch = -(-n // batch_size)
    total = _total_steps(epochs, iterations, per_epoch)
    all_writeable(net.params)

    run = _Run(net, x, t, test, optimizer, batch_size, stop=on_nonfinite == "raise")
    losses = run.history.losses
    undo = _undo(net, optimizer)
    with _reporter(progress, total) as report, closing(run):
        while len(losses) < total:
            steps = min(per_epoch, total - len(losses))
            rows = rng.integers(n, size=steps * batch_size) if replace else rng.permutation(n)[: steps * batch_size]
            # A callback is to see the accuracies of its epoch, and the network they are of.
            following = 0 if callback is not None else min(per_epoch, total - len(losses) - steps)
            for _ in _restoring(undo, run.epoch(rows, following)):
                report(len(losses), total)
            if callback is not None:
                callback(net, run.history)
    if on_nonfinite == "warn" and not np.isfinite(losses).all():
        first = int(np.argmin(np.isfinite(losses)))
        text = f"loss is {losses[first]} at step {first + 1} (lr={optimizer.lr})"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return run.history


@dataclass
class _Run:
    """One call of `fit`: what it works on, and what it has found out so far."""

    net: Any
    x: FloatArray
    t: NDArray[Any]
    test: tuple[Any, Any] | None
    optimizer: Optimizer
    batch_size: int
    stop: bool
    history: History = field(default_factory=History)
    # Each data set as Rust reads it, and for which kind of plan that is.
    prepared: dict[int, tuple[Any, _kernels.Examples]] = field(default_factory=dict)
    # The accuracies of the last epoch, if they are being taken beside the steps of this one.
    evaluation: _Evaluation | None = None

    def close(self) -> None:
        """Leave no thread behind, whatever has happened."""
        if self.evaluation is not None:
            self.evaluation.stop()

    def epoch(self, rows: NDArray[np.int64], following: int) -> Iterator[None]:
        """Do the steps of an epoch, and take the accuracies after them, or beside the `following` steps."""
        plan = self.plan()
        for losses in self.readable_steps(rows) if plan is None else self.engine_steps(plan, rows):
            self.history.losses += losses
            self.expect_finite(f"loss is {losses[-1]}", losses[-1])
            yield
        for name, array in self.net.params.items():  # a last step that overflowed: no loss comes after it to show it
            self.expect_finite(f"params[{name!r}] is not finite", array)
        if self.evaluation is not None:
            self.note_accuracies(self.evaluation.result())
            self.evaluation = None
        self.history.steps.append(len(self.history.losses))
        if plan is not None and self.is_worth_a_thread(plan, following):
            # Data not seen before is made ready here, not there.
            sets = [(x, self.examples(plan, x), t) for x, t in self.sets()]
            self.evaluation = _Evaluation(plan.snapshot(), sets)
        else:
            self.note_accuracies([self.accuracy(plan, x, t) for x, t in self.sets()])

    def sets(self) -> list[tuple[FloatArray, NDArray[Any]]]:
        """Give what the network is evaluated on."""
        return [(self.x, self.t)] if self.test is None else [(self.x, self.t), self.test]

    def note_accuracies(self, accuracies: Sequence[float]) -> None:
        """Write the accuracies of `sets` into the history."""
        self.history.train_accuracy.append(accuracies[0])
        self.history.test_accuracy += accuracies[1:]

    def is_worth_a_thread(self, plan: _engine.Plan, following: int) -> bool:
        """Tell whether to evaluate on one thread beside the steps to come, and not now on all of them.

        So it is where those steps leave a thread idle and take as long: a step goes over its batch about three times.
        """
        evaluated, stepped = sum(len(x) for x, _ in self.sets()), following * self.batch_size
        ours = _engine.unchanged(self.net, {"accuracy": Network.accuracy})
        idle = plan.leaves_threads_idle(self.examples(plan, self.x), self.batch_size)
        return ours and idle and evaluated <= 2 * stepped

    def plan(self) -> _engine.Plan | None:
        """Choose who does the steps: Rust, or the network's own methods."""
        plan = _engine.plan(self.net.layers) if _unchanged(self.net) and _engine.knows(self.optimizer) else None
        return plan if plan is not None and plan.separate else None

    def examples(self, plan: _engine.Plan, x: FloatArray) -> _kernels.Examples:
        """Give `x`, the training or the test images, made ready; made once, unless a layer was replaced since."""
        reading, ready = self.prepared.get(id(x), (None, None))
        if ready is None or reading != plan.reading:
            ready = plan.examples(x)
            self.prepared[id(x)] = plan.reading, ready
        return ready

    def engine_steps(self, plan: _engine.Plan, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Let Rust take the steps. A loss that is not finite comes last, and its step was not taken."""
        params = self.net.params
        self.optimizer.prepare(params)
        names = [next(name for name, p in params.items() if p is array) for array in plan.arrays]
        x = self.examples(plan, self.x)
        losses = np.empty(-(-len(rows) // self.batch_size))
        done, diverged = 0, False
        while done < len(losses) and not diverged:
            left = rows[done * self.batch_size :]
            steps, diverged = plan.steps(
                self.optimizer, names, x, self.t, left, self.batch_size, self.stop, losses[done:]
            )
            yield losses[done : done + steps + diverged].tolist()
            done += steps

    def readable_steps(self, rows: NDArray[np.int64]) -> Iterator[list[float]]:
        """Take the steps as the tutorial's loop does, through the network's own methods."""
        net = self.net
        for start in range(0, len(rows), self.batch_size):
            batch = rows[start : start + self.batch_size]
            x, t = self.x[batch], self.t[batch]
            grads = net.gradient(x, t)
            # The loss that gradient has just computed, if that is the network's whole loss.
            loss = float(net.last_layer.loss if _unchanged(net) else net.loss(x, t))
            if np.isfinite(loss) or not self.stop:
                with np.errstate(over="ignore", invalid="ignore"):  # told by the loss
                    self.optimizer.update(net.params, grads)
            yield [loss]

    def accuracy(self, plan: _engine.Plan | None, x: FloatArray, t: NDArray[Any]) -> float:
        """Give the network's accuracy; from data made ready, if accuracy is ours."""
        if plan is None or not _engine.unchanged(self.net, {"accuracy": Network.accuracy}):
            return float(self.net.accuracy(x, t))
        return accuracy_of(plan.scores(x, self.examples(plan, x)), t)

    def expect_finite(self, what: str, values: Any) -> None:
        """Stop, if asked to, because `values` are not finite."""
        if self.stop and not np.isfinite(values).all():
            raise FloatingPointError(
                f"{what} at step {len(self.history.losses)} (lr={self.optimizer.lr}); the network is as it was before"
                " the call. Try a smaller learning rate, or on_nonfinite='ignore' to go on"
            )


class _Evaluation:
    """The accuracies of a plan nobody changes, taken on a thread of their own."""

    def __init__(self, plan: _engine.Plan, sets: Sequence[tuple[FloatArray, _kernels.Examples, NDArray[Any]]]) -> None:
        from threading import Thread

        self._plan, self._sets = plan, sets
        self._wanted = True
        self._accuracies: list[float] = []
        self._error: Exception | None = None
        self._thread = Thread(target=self._run, name="chainrule evaluation")
        try:
            self._thread.start()
        except RuntimeError:  # no more threads to be had
            self._run()

    def _run(self) -> None:
        try:
            for x, prepared, t in self._sets:
                scores = self._plan.scores(x, prepared, alone=True, wanted=lambda: self._wanted)
                self._accuracies.append(accuracy_of(scores, t))
        except Exception as error:  # raised where the accuracies are asked for
            self._error = error

    def result(self) -> list[float]:
        """Wait for the accuracies."""
        self._join()
        if self._error is not None:
            raise self._error
        return self._accuracies

    def stop(self) -> None:
        """End early: the accuracies are not wanted any more."""
        self._wanted = False
        self._join()

    def _join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join()


def _restoring(undo: Callable[[], None], work: Iterator[None]) -> Iterator[None]:
    """Go through `work`, calling `undo` if it raises: not for Ctrl-C, nor for what the caller does in between."""
    try:
        yield from work
    except Exception:
        undo()
        raise


def _undo(net: Any, optimizer: Optimizer) -> Callable[[], None]:
    """Give what puts the parameters, and the optimizer, back as they are now."""
    before = [(array, array.copy()) for array in net.params.values()]
    iterations = optimizer.iter
    kept = {name: tuple(array.copy() for array in arrays) for name, arrays in optimizer.kept.items()}

    def undo() -> None:
        for array, values in before:
            array[...] = values
        optimizer.iter, optimizer.kept = iterations, kept

    return undo


def _pairs(net: Any, x: Any, t: Any) -> tuple[FloatArray, NDArray[Any]]:
    """Give examples, and the teaching signal in order if it is a loss of ours that will read it."""
    first = next(iter(net.params.values()), None)
    x = examples(x, np.dtype(np.float64) if first is None else first.dtype)
    t = numbers(t, "t")
    if x.ndim < 2 or t.ndim < 1 or len(x) != len(t):
        raise ValueError(f"x and t must have one row per example, got x.shape={x.shape}, t.shape={t.shape}")
    if len(x) == 0:
        raise ValueError(f"there are no examples to train on, got x.shape={x.shape}")
    if any(np.may_share_memory(x, array) for array in net.params.values()):
        x = x.copy()  # trained on as it was at the start, whatever becomes of the parameter
    if isinstance(net, Network):
        x = net._input(x)  # a wrong number of features is named here
    if not _unchanged(net):
        return x, t
    scores = net.predict(x[:1])  # how many classes there are
    ordered, ids = targets(t, (len(x), scores.shape[-1]), scores.dtype)
    one_hot = not ids and bool(((ordered == 0) | (ordered == 1)).all())
    return x, np.argmax(ordered, axis=1) if one_hot else ordered  # the same loss and gradient, with less to read


def _total_steps(epochs: int | None, iterations: int | None, per_epoch: int) -> int:
    if epochs is not None and iterations is not None:
        raise ValueError(f"give epochs or iterations, not both; got epochs={epochs!r}, iterations={iterations!r}")
    if iterations is not None:
        return count(iterations, "iterations")
    return count(1 if epochs is None else epochs, "epochs") * per_epoch


def _unchanged(net: Any) -> bool:
    """Tell whether `net` is a Network with our own ``predict``, ``loss``, ``gradient`` and loss layer."""
    ours = {"predict": Network.predict, "loss": Network.loss, "gradient": Network.gradient}
    return isinstance(net, Network) and _engine.knows_loss(net.last_layer) and _engine.unchanged(net, ours)


@contextmanager
def _reporter(progress: Any, total: int) -> Iterator[Callable[[int, int], object]]:
    """Give what is called with (steps done, steps in all)."""
    if progress is True:
        from tqdm import tqdm

        with tqdm(total=total, unit="step", file=sys.stderr) as bar:
            yield lambda done, _: bar.update(done - bar.n)
    else:
        yield progress or (lambda done, total: None)
