"""Training: mini-batch gradient descent over a data set, in one call.

A network Rust knows is trained there, many steps to a call; any other, through its own ``gradient``. Both draw the same
batches from the same generator and give the same numbers to rounding.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

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
    real,
    rows_of,
    sample_weights,
    targets,
)
from chainrule.nn.network import Network, as_read, expect_each_named
from chainrule.nn.parameters.untrained import left_untrained
from chainrule.training.callbacks import call, expect_callbacks
from chainrule.training.history import History
from chainrule.training.optimizers import SGD, Optimizer
from chainrule.training.run import Training, is_ours

#: The default learning rate: the very object, so that a rate given beside an optimizer is noticed, whatever it is.
_TUTORIALS_RATE = float("0.1")


def fit(
    net: Any,
    x: Any,
    t: Any,
    *,
    test: tuple[Any, Any] | None = None,
    validation: float | tuple[Any, Any] | None = None,
    epochs: int | None = None,
    iterations: int | None = None,
    batch_size: int = 100,
    learning_rate: float = _TUTORIALS_RATE,
    optimizer: Optimizer | None = None,
    schedule: Callable[[int], float] | None = None,
    sample_weight: Any = None,
    label_smoothing: float = 0.0,
    replace: bool = False,
    seed: int | np.random.Generator | None = None,
    evaluate_train: bool = True,
    callbacks: Sequence[Any] = (),
    checkpoint: str | os.PathLike[str] | None = None,
    every: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    progress: bool | Callable[[int, int], object] | None = None,
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
        A second set whose loss and accuracy are reported too.
    validation : (x, t) or float, optional
        A third set, for decisions such as that of `EarlyStopping`. A share between 0 and 1 holds so many of the
        examples out, to the nearest whole number: drawn from the generator before anything else, whatever their class.
        The data is copied then.
    epochs, iterations : int, optional
        How long: passes over the data, or steps. One of the two; one epoch if neither is given.
    batch_size : int, default 100
        Examples a step. The last batch of an epoch is smaller if `batch_size` does not divide N.
    learning_rate : float, default 0.1
        The step size of plain gradient descent, > 0.
    optimizer : Optimizer, optional
        Another rule, with a learning rate of its own. What it keeps between steps stays in it, so a second call with
        the same optimizer goes on where the first stopped.
    schedule : callable, optional
        ``schedule(epoch)`` gives the learning rate, > 0, of the epoch, counted from 0; `step_decay` and `cosine` make
        such functions. The optimizer's own rate is overwritten, and is the last one when training has ended.
    sample_weight : array_like, shape (N,), optional
        How often each example counts, >= 0. The mean is taken over the examples of the batch, as Keras does, not over
        the sum of their weights: weights of 2 throughout double the step.
    label_smoothing : float, default 0.0
        The share, 0 <= share < 1, of each distribution that is spread evenly over all classes.
    replace : bool, default False
        False: each epoch is a permutation, so every example is seen once. True: every batch is drawn from all examples
        with replacement, as the tutorial does; an epoch is then ceil(N / batch_size) steps.
    seed : int or numpy.random.Generator, optional
        Where the batches are drawn from; fresh entropy by default. Same seed, same dtype, same instruction set: same
        bits.
    evaluate_train : bool, default True
        False leaves out the loss and accuracy of the whole training set after each epoch: the time of about half the
        epoch's steps.
    callbacks : list of callbacks, optional
        What is called while training goes on, such as `EarlyStopping`: see `Run`.
    checkpoint : path-like, optional
        Write the run there, with all that `resume` needs, after every `every` epochs and at the end. `load` gives its
        network.
    every : int, default 1
        Epochs from one checkpoint to the next.
    resume : path-like, optional
        Go on from that checkpoint. The other arguments, the data among them, are those of the run that was interrupted;
        `epochs` and `iterations` count from its beginning: they may be more, but not fewer than have been made. What
        `net` and `optimizer` hold is replaced, and so is the state of the generator. The run ends with the bits it
        would have had without an interruption.
    progress : bool or callable, optional
        True shows a bar on stderr; a callable is called with (steps done, steps in all) several times a second.
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
        If a shape does not fit, a label or a number is out of range, `batch_size` exceeds N without `replace`, a
        parameter is read-only, the checkpoint is of another network or of a run configured otherwise, or weights or
        smoothing are asked for of a network with a loss of its own. Nothing has been changed then.
    DataError
        If `resume` is no whole checkpoint. Nothing has been changed then.
    OSError
        If a checkpoint cannot be read or written; the network is then as it is after a whole number of epochs.
    RuntimeError
        If a layer's ``backward`` leaves no gradient beside a parameter.
    FloatingPointError
        If a loss, or a parameter at the end of an epoch, is not finite: says at which step.

    Warns
    -----
    RuntimeWarning
        If a run is resumed with another instruction set than it was begun with, or as `on_nonfinite` says; or if a
        layer of your own holds an array that the loss depends on and that is no parameter, for want of a gradient
        beside it. To find out, losses of a few examples are taken; arrays, attributes and generators are put back. Or
        if ``gradient`` of a network of your own leaves out a parameter, or a checkpoint an array that counts.

    Notes
    -----
    Without callbacks, the losses and accuracies of an epoch are taken beside the steps of the next one, from a copy of
    the parameters, if a thread has nothing else to do, or after them. The numbers are the same.

    After an error the parameters, the optimizer and the generator are as they were before the call. Ctrl-C, or an
    exception of a callback, leaves them as they are after a whole number of steps, and the last checkpoint as it is.

    The checkpoint of a run that ended within an epoch is from before ``on_epoch``: a longer run finishes that epoch.
    A checkpoint does not hold the data, the schedule, or what callbacks of your own remember, unless they have the
    methods ``to_keep`` and ``bring_back`` of `EarlyStopping`.
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
    optimizer = _optimizer(optimizer, learning_rate, schedule)
    smoothing = real(label_smoothing, "label_smoothing")
    if not 0 <= smoothing < 1:
        raise ValueError(f"label_smoothing must lie in 0 <= label_smoothing < 1, got {label_smoothing!r}")
    if on_nonfinite not in ("raise", "warn", "ignore"):
        raise ValueError(f"on_nonfinite must be 'raise', 'warn' or 'ignore', got {on_nonfinite!r}")
    if not (progress is None or isinstance(progress, bool) or callable(progress)):
        raise TypeError(f"progress must be a function, got {progress!r}")
    callbacks = expect_callbacks(callbacks)
    if every is not None and checkpoint is None:
        raise ValueError(f"every={every!r} says how often to write a checkpoint; say where: checkpoint=path")
    every = count(1 if every is None else every, "every")
    expect_network(net)
    for name in ("loss", "accuracy"):
        if not callable(getattr(net, name, None)):
            raise TypeError(f"net must have {name}(x, t) to be trained, and {type(net).__name__} has none")
    replace, evaluate_train, rng = flag(replace, "replace"), flag(evaluate_train, "evaluate_train"), generator(seed)
    all_writeable(net.params)
    if isinstance(net, Network):
        expect_each_named(net)

    x, t = _pairs(net, x, t)
    weights = None if sample_weight is None else sample_weights(sample_weight, len(x))
    if weights is not None and not weights.any():
        raise ValueError("sample_weight is 0 throughout: there is nothing to learn from")
    if (weights is not None or smoothing) and not is_ours(net):
        raise ValueError(
            f"sample_weight and label_smoothing need the loss and gradient of Network, {type(net).__name__} has its own"
        )
    sets = {} if test is None else {"test": _second_set(net, test, "test")}
    share = 0
    if isinstance(validation, tuple | list):
        sets["validation"] = _second_set(net, validation, "validation")
    elif validation is not None:
        share = _share(validation, len(x))
    n = len(x) - share
    if batch_size > n and not replace:
        raise ValueError(
            f"batch_size is {batch_size}, but there are {n} examples; replace=True would draw with replacement"
        )
    per_epoch = -(-n // batch_size)
    total = _total_steps(epochs, iterations, per_epoch)

    if checkpoint is not None or resume is not None:
        from chainrule.storage.atomic_write import expect_writable
        from chainrule.training import checkpoints

        for text in checkpoints.expect_describable(net):
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        if checkpoint is not None:
            expect_writable(checkpoint)
        configuration = checkpoints.configuration(
            optimizer,
            schedule,
            examples=list(x.shape),
            batch_size=batch_size,
            replace=replace,
            held_out=share,
            sets={name: list(examples.shape) for name, (examples, _) in sets.items()},
            sample_weight=weights is not None,
            label_smoothing=smoothing,
            callbacks=len(callbacks),
            evaluate_train=evaluate_train,
        )
    resumed = None
    if resume is not None:
        resumed = checkpoints.Resumed.read(resume)
        resumed.expect(net, configuration)
        rng = resumed.generator(seed, rng)
    for text in left_untrained(net, x, t, batch_size):
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    undo = _undo(net, optimizer, rng)
    held_out = None
    if share:
        held_out = rng.permutation(len(x))[:share] if resumed is None else resumed.held_out(len(x), share)
        sets["validation"] = x[held_out], t[held_out]
        learnt = np.delete(np.arange(len(x)), held_out)
        x, t, weights = x[learnt], t[learnt], None if weights is None else weights[learnt]
    taught = _smoothed(net, x, t, smoothing) if smoothing else t

    run = Training(
        net,
        optimizer,
        {"train": (x, t), **sets} if evaluate_train else sets,
        x,
        taught,
        weights,
        batch_size=batch_size,
        strict=on_nonfinite == "raise",
        step_by_step=any(hasattr(callback, "on_step") for callback in callbacks),
    )
    with _undoing(undo):
        call(callbacks, "on_start", run)
    if resumed is not None:
        with _undoing(undo, BaseException):
            resumed.restore(run, rng, callbacks)
            if run.step > total:
                raise ValueError(f"{resume}: the run has made {run.step} steps, this call asks for {total} in all")
        at_its_end = run.step >= total or run.stopped
        if at_its_end and checkpoint is not None and checkpoint != resume:  # its end is written elsewhere too
            checkpoints.save(checkpoint, run, configuration, rng.bit_generator.state, held_out, callbacks)
        if run.step % per_epoch and run.step < total:
            run.forget_a_part_of_an_epoch()
        elif run.step % per_epoch:
            call(callbacks, "on_epoch", run)  # the file is from before it was called
    with _reporter(progress, total) as report:
        while run.step < total and not run.stopped:
            epoch, done = divmod(run.step, per_epoch)
            if schedule is not None and not done:
                with _undoing(undo):
                    optimizer.lr = _rate(schedule, epoch)
            state = rng.bit_generator.state if checkpoint is not None else None
            steps = min(per_epoch, total - epoch * per_epoch)
            size = steps * batch_size
            rows = rng.integers(n, size=size) if replace else rng.permutation(n)[:size]
            due = checkpoint is not None and (epoch + 1) % every == 0
            # A callback, or a checkpoint, is to have the losses and accuracies of its epoch.
            more = not (callbacks or due) and epoch * per_epoch + steps < total
            for _ in _restoring(undo, run.run_epoch(rows[done * batch_size :], more=more)):
                report(run.step, total)
                call(callbacks, "on_step", run)
            whole = run.step % per_epoch == 0
            if checkpoint is not None and not whole:  # to be finished by a longer run, which calls on_epoch then
                checkpoints.save(checkpoint, run, configuration, state, held_out, callbacks)
            call(callbacks, "on_epoch", run)
            if checkpoint is not None and whole and (due or run.stopped or run.step == total):
                checkpoints.save(checkpoint, run, configuration, rng.bit_generator.state, held_out, callbacks)
        call(callbacks, "on_end", run)
    losses = run.history.losses
    if on_nonfinite == "warn" and not np.isfinite(losses).all():
        first = int(np.argmin(np.isfinite(losses)))
        text = f"loss is {losses[first]} at step {first + 1} (lr={optimizer.lr})"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return run.history


def _optimizer(optimizer: Any, learning_rate: Any, schedule: Any) -> Optimizer:
    """Give the optimizer of all three arguments, which must not contradict each other."""
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TypeError(f"optimizer must be an Optimizer such as Adam(), got {optimizer!r}")
    if not (schedule is None or callable(schedule)):
        raise TypeError(f"schedule must be a function of the epoch such as cosine(0.1, 20), got {schedule!r}")
    if learning_rate is not _TUTORIALS_RATE and optimizer is not None:
        raise ValueError("give the learning rate to the optimizer: fit(…, optimizer=Adam(lr=…))")
    if learning_rate is not _TUTORIALS_RATE and schedule is not None:
        raise ValueError("the schedule gives the learning rate: leave out learning_rate")
    rate = positive(learning_rate, "learning_rate") if schedule is None else _rate(schedule, 0)
    return SGD(rate) if optimizer is None else optimizer


def _rate(schedule: Callable[[int], float], epoch: int) -> float:
    return positive(schedule(epoch), f"schedule({epoch})")


def _share(validation: Any, n: int) -> int:
    """Give how many of `n` examples a share is: one at least, and one at least is left."""
    share = real(validation, "validation")
    if not 0 < share < 1:
        raise ValueError(f"validation must be a pair (x, t) or a share between 0 and 1, got {validation!r}")
    if n < 2:
        raise ValueError(f"there is {n} example: none can be held out for validation")
    return min(max(round(share * n), 1), n - 1)


def _second_set(net: Any, pair: Any, name: str) -> tuple[FloatArray, NDArray[Any]]:
    if not (isinstance(pair, tuple | list) and len(pair) == 2):
        raise TypeError(f"{name} must be a pair (x, t), got {type(pair).__name__}")
    try:
        return _pairs(net, *pair)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} set: {error}") from None


def _smoothed(net: Any, x: FloatArray, t: NDArray[Any], share: float) -> FloatArray:
    """Spread a share of each distribution evenly over all classes."""
    scores = net.predict(x[:1])
    rows = rows_of(t, scores.shape[-1], scores.dtype)
    return np.asarray(rows * scores.dtype.type(1 - share) + scores.dtype.type(share / scores.shape[-1]))


def _restoring(undo: Callable[[], None], work: Iterator[None]) -> Iterator[None]:
    """Go through `work`, calling `undo` if it raises: not for Ctrl-C, nor for what the caller does in between."""
    with _undoing(undo):
        yield from work


@contextmanager
def _undoing(undo: Callable[[], None], errors: type[BaseException] = Exception) -> Iterator[None]:
    try:
        yield
    except errors:
        undo()
        raise


def _undo(net: Any, optimizer: Optimizer, rng: np.random.Generator) -> Callable[[], None]:
    """Give what puts the parameters, the optimizer and the generator back as they are now."""
    before = [(array, array.copy()) for array in net.params.values()]
    kept = {name: tuple(array.copy() for array in arrays) for name, arrays in optimizer.kept.items()}
    attributes, state = vars(optimizer) | {"kept": kept}, rng.bit_generator.state

    def undo() -> None:
        for array, values in before:
            array[...] = values
        vars(optimizer).update(attributes)
        rng.bit_generator.state = state

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
        x = as_read(net, x)  # a wrong number of features is named here
    if not is_ours(net):
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


@contextmanager
def _reporter(progress: Any, total: int) -> Iterator[Callable[[int, int], object]]:
    """Give what is called with (steps done, steps in all)."""
    if progress is True:
        from tqdm import tqdm

        with tqdm(total=total, unit="step", file=sys.stderr) as bar:
            yield lambda done, _: bar.update(done - bar.n)
    else:
        yield progress or (lambda done, total: None)
