"""Training: mini-batch gradient descent over a data set, in one call.

Arguments become `Settings`, data `Sets`; a run is resumed from `Checkpoints`; the loop is `Training`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from chainrule._gate import all_writeable, expect_network, generator
from chainrule._other_names import telling
from chainrule._warn import warn
from chainrule.nn.network import Network, expect_each_named
from chainrule.nn.parameters.untrained import left_untrained
from chainrule.training.elsewhere import FIT_ELSEWHERE
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer
from chainrule.training.run import Training
from chainrule.training.sets import Sets
from chainrule.training.settings import TUTORIALS_RATE, Settings


@telling(**FIT_ELSEWHERE)
def fit(
    net: Any,
    x: Any,
    t: Any,
    *,
    test: tuple[Any, Any] | None = None,
    validation: float | tuple[Any, Any] | None = None,
    epochs: int | None = None,
    iterations: int | None = None,
    batch_size: int | None = None,
    learning_rate: float = TUTORIALS_RATE,
    optimizer: Optimizer | str | None = None,
    schedule: Callable[[int], float] | None = None,
    sample_weight: Any = None,
    label_smoothing: float = 0.0,
    augment: Callable[[Any, np.random.Generator], Any] | None = None,
    largest_norm: float | None = None,
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
    x : array_like or sparse matrix, shape (N, ...)
        The examples, rows or images (N, C, H, W), as the first layer takes them; must not change during the call.
        uint8, float32 and float64 arrays are read where they are, or, if most of their numbers are zero, gone through
        once; bytes count 0-255 unless a Rescaling layer says otherwise. Of a sparse matrix, as SciPy's, (N, D), some
        batches are made dense at a time, never all of it.
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
    batch_size : int, optional
        Examples a step; 100 if it is not given, or all, if there are fewer. The last batch of an epoch is smaller if
        `batch_size` does not divide N.
    learning_rate : float, default 0.1
        The step size of plain gradient descent, > 0.
    optimizer : Optimizer or str, optional
        Another rule, with a learning rate of its own; or the name of one, such as "adam", with `learning_rate` or, if
        that is not given, the default of its class. What it keeps between steps stays in it, so a second call with
        the same optimizer goes on where the first stopped.
    schedule : callable, optional
        ``schedule(epoch)`` gives the learning rate, > 0, of the epoch, counted from 0; `step_decay` and `cosine` make
        such functions. The optimizer's own rate is overwritten, and is the last one when training has ended.
    sample_weight : array_like, shape (N,), optional
        How often each example counts, >= 0. The mean is taken over the examples of the batch, as Keras does, not over
        the sum of their weights: weights of 2 throughout double the step.
    label_smoothing : float, default 0.0
        The share, 0 <= share < 1, of each distribution that is spread evenly over all classes.
    augment : callable, optional
        ``augment(x, rng)`` gives the batch to train on in place of `x`, a copy of the examples of a batch in the shape
        and dtype they were given in; it may change `x` and give it back. Random numbers are to come from `rng`, a
        generator that depends on the run and the step: then a resumed run has them too. Nothing is augmented in
        evaluation.
    largest_norm : float, optional
        A gradient that is longer, all parameters together, before weight decay, is made so long first; > 0.
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
        True shows a bar on stderr, False none; by default there is one if that is a terminal or in a notebook, the run
        takes longer than a second, and no callbacks are there but `EarlyStopping`: others may print. A callable is
        called with (steps done, steps in all) several times a second.
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
        if ``gradient`` of a network of your own leaves out a parameter, or a checkpoint an array that counts. Or if
        after the first epoch, or at the end, each unit of a `Relu` is 0 for all of up to 100 examples, in a network of
        known layers that has 100 or more: the loss stays finite, and nothing before that layer learns any more.

    Notes
    -----
    Without callbacks, the losses and accuracies of an epoch are taken beside the steps of the next one, from a copy of
    the parameters, if a thread has nothing else to do, or after them. The numbers are the same.

    After an error the parameters, the optimizer and the generator are as they were before the call. Ctrl-C, or an
    exception of a callback, leaves them as they are after a whole number of steps, and the last checkpoint as it is.

    The checkpoint of a run that ended within an epoch is from before ``on_epoch``: a longer run finishes that epoch.
    Layers that train otherwise than they evaluate do both where they should. Masks of `Dropout` are drawn from a stream
    of the run, whose seed is taken from the generator at the start: they depend on the step, the layer, the row of the
    batch and the number's place alone, so the bits are the same at any number of threads, and after a break. A
    checkpoint holds it, and the running statistics.

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
    settings = Settings.of(
        epochs=epochs,
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule=schedule,
        label_smoothing=label_smoothing,
        augment=augment,
        largest_norm=largest_norm,
        replace=replace,
        evaluate_train=evaluate_train,
        callbacks=callbacks,
        checkpoint=checkpoint,
        every=every,
        resume=resume,
        progress=progress,
        on_nonfinite=on_nonfinite,
    )
    rng = generator(seed)
    _expect_trainable(net)
    sets = Sets.of(net, x, t, sample_weight, test, validation, settings)
    settings.expect_batches_of(len(sets))
    total = settings.total_steps(-(-len(sets) // settings.batch_size))

    from chainrule.training.checkpoints import Checkpoints  # files and their formats: no part of training itself

    checkpoints = Checkpoints(net, sets, settings)
    rng = checkpoints.generator(seed, rng)
    for text in (*checkpoints.not_held, *left_untrained(net, sets.x, sets.t, settings.batch_size)):
        warn(text)
    run = Training(net, sets, settings, checkpoints, rng, total)
    run.begin()
    run.go_on()
    losses = run.history.losses
    if on_nonfinite == "warn" and not np.isfinite(losses).all():
        first = int(np.argmin(np.isfinite(losses)))
        text = f"loss is {losses[first]} at step {first + 1} (lr={settings.optimizer.lr})"
        warn(text)
    return run.history


def _expect_trainable(net: Any) -> None:
    """Raise TypeError or ValueError if `net` has not what training asks for."""
    expect_network(net)
    for name in ("loss", "accuracy"):
        if not callable(getattr(net, name, None)):
            raise TypeError(f"net must have {name}(x, t) to be trained, and {type(net).__name__} has none")
    all_writeable(net.params)
    if isinstance(net, Network):
        expect_each_named(net)
