"""Training: mini-batch gradient descent over a data set, in one call.

The arguments become `Settings`, and the data become `Sets`. `Checkpoints` resume a run; `Training` has the loop.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from chainrule._gate import all_writeable, expect_network, flag, generator
from chainrule._other_names import telling
from chainrule._warn import warn
from chainrule.nn.network import Network, expect_each_named
from chainrule.nn.parameters.untrained import left_untrained
from chainrule.training.alike import expect_alike
from chainrule.training.elsewhere import FIT_ELSEWHERE
from chainrule.training.history import History
from chainrule.training.optimizers import Optimizer
from chainrule.training.ranks import Ranks
from chainrule.training.run import Training
from chainrule.training.sets import Sets
from chainrule.training.settings import TUTORIALS_RATE, Settings

if TYPE_CHECKING:
    from chainrule.training.checkpoints import Checkpoints

#: The default number of shards of a batch that several processes share.
SHARDS = 8


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
    shards: int | None = None,
    comm: Any = None,
    local: bool = False,
) -> History:
    """Train `net` on mini-batches, in place: ``p -= learning_rate * dL/dp``, or by the rule of `optimizer`.

    Parameters
    ----------
    net : Network
        The network, or any object with ``params``, ``loss(x, t)``, ``gradient(x, t)`` and ``accuracy(x, t)``.
    x : array_like or sparse matrix, shape (N, ...)
        The examples: rows or images (N, C, H, W), whichever the first layer takes. They must not change during the
        call. uint8, float32 and float64 arrays are read in place or, if most of their numbers are zero, in one pass at
        the start. Bytes count as 0-255 unless a Rescaling layer says otherwise. Of a sparse matrix, such as SciPy's,
        (N, D), some batches at a time are made dense, never all of it.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids or distributions.
    test : (x, t), optional
        A second set, whose loss and accuracy are reported too.
    validation : (x, t) or float, optional
        A third set, for decisions such as that of `EarlyStopping`. A share between 0 and 1 holds out that share of the
        examples, rounded to the nearest whole number. They are drawn from the generator before anything else, whatever
        their class, and the data is copied.
    epochs, iterations : int, optional
        How long to train: passes over the data, or steps. Give one of the two; without either, it is one epoch.
    batch_size : int, optional
        The number of examples in a mini-batch; by default 100, or all if there are fewer. The last batch of an epoch is
        smaller if `batch_size` does not divide N.
    learning_rate : float, default 0.1
        The step size of plain gradient descent, > 0.
    optimizer : Optimizer or str, optional
        An optimizer, which has its own learning rate; or the name of one, such as "adam", which uses `learning_rate`
        or, if that is not given, the default of its class. The optimizer keeps its state, so a second call with the
        same optimizer continues where the first stopped.
    schedule : callable, optional
        ``schedule(epoch)`` gives the learning rate, > 0, of the epoch, counted from 0; `step_decay` and `cosine` make
        such functions. It overwrites the optimizer's own rate, which is the last one when training has ended.
    sample_weight : array_like, shape (N,), optional
        How much each example counts, >= 0. The mean is taken over the examples of the batch, as in Keras, not over the
        sum of their weights: if all weights are 2, the step doubles.
    label_smoothing : float, default 0.0
        The share, 0 <= share < 1, of each distribution that is spread evenly over all classes.
    augment : callable, optional
        ``augment(x, rng)`` returns the batch to train on in place of `x`, which is a copy of the examples of a batch in
        their original shape and dtype; it may change `x` and return it. Draw random numbers from `rng`, a generator
        that depends on the run and the step, so that a resumed run has the same numbers. Nothing is augmented in
        evaluation.
    largest_norm : float, optional
        The largest norm of the gradient, over all parameters together and before weight decay; > 0. A longer gradient
        is scaled down to it first.
    replace : bool, default False
        False: each epoch is a permutation, so every example is seen once. True: every batch is drawn from all examples
        with replacement, as in the tutorial; an epoch is then ceil(N / batch_size) steps.
    seed : int or numpy.random.Generator, optional
        The seed or generator for drawing the batches; fresh entropy by default. The same seed, dtype and instruction
        set give the same bits.
    evaluate_train : bool, default True
        False leaves out the loss and accuracy of the whole training set after each epoch, which saves the time of about
        half the epoch's steps.
    callbacks : list of callbacks, optional
        Objects to call during training, such as `EarlyStopping`: see `Run`.
    checkpoint : path-like, optional
        The file to write the run to, with all that `resume` needs, after every `every` epochs and at the end. `load`
        reads its network.
    every : int, default 1
        The number of epochs from one checkpoint to the next.
    resume : path-like, optional
        The checkpoint to continue from. Give the other arguments, including the data, as in the interrupted run;
        `epochs` and `iterations` count from its beginning and may be more, but not fewer than have been made. The
        contents of `net` and `optimizer` and the state of the generator are replaced. The run ends with the bits that
        it would have had without the interruption.
    progress : bool or callable, optional
        True shows a bar on stderr, False shows none. By default there is a bar if stderr is a terminal or in a
        notebook, the run takes longer than a second, and there are no callbacks except `EarlyStopping`, because others
        may print. A callable is called with (steps done, total steps) several times a second.
    on_nonfinite : {"raise", "warn", "ignore"}
        What to do when the loss of a batch is nan or infinite.
    shards : int, optional
        The number of parts of a batch whose gradients are found one by one and then added up in a fixed order; at most
        `batch_size`. By default, batches are whole without `comm`, and in 8 parts with it. The bits depend on this
        number, and not on how many processes share the work.
    comm : mpi4py.MPI.Comm, optional
        The processes that train together, such as ``MPI.COMM_WORLD``, at most as many as `shards`. Each calls `fit`
        with the same arguments and data, and has the same network and history in the end.
    local : bool, default False
        Each process gives its own rows of `x`, `t`, `sample_weight` and the other sets, for data larger than the memory
        of one. The rows of process 0 come first; the bits are those of all rows on one process.

    Returns
    -------
    History

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a shape does not fit, a label or a number is out of range, `batch_size` exceeds N without `replace`, a
        parameter is read-only, the checkpoint is of another network or of a run with other settings, or weights or
        smoothing are given for a network with a loss of its own. Nothing is changed then.
    DataError
        If `resume` is not a complete checkpoint. Nothing is changed then.
    OSError
        If a checkpoint cannot be read or written; the network then has the state after a whole number of epochs.
    RuntimeError
        If a layer's ``backward`` leaves no gradient beside a parameter; or, with `comm`, if another process raised an
        exception, which the message names.
    FloatingPointError
        If a loss, or a parameter at the end of an epoch, is not finite; the message names the step.

    Warns
    -----
    RuntimeWarning
        In these cases:

        - A run is resumed with another instruction set than it began with, or `on_nonfinite` asks for a warning.
        - A layer of your own holds an array that the loss depends on, but that is not a parameter because it has no
          gradient beside it. To find out, losses of a few examples are computed; arrays, attributes and generators are
          restored.
        - ``gradient`` of a network of your own leaves out a parameter, or a checkpoint does not hold an array that
          matters.
        - After the first epoch, or at the end, every unit of a `Relu` is 0 for all of up to 100 examples, in a network
          of known layers that has 100 or more: the loss stays finite, but nothing before that layer learns any more.

    Notes
    -----
    Without callbacks, the losses and accuracies of an epoch are computed from a copy of the parameters, during the
    steps of the next epoch if a thread is idle, or after them. The numbers are the same.

    After an error, the parameters, the optimizer and the generator are as they were before the call. After Ctrl-C, or
    an exception of a callback, they have the state after a whole number of steps, and the last checkpoint is kept.

    If a run ended within an epoch, its checkpoint was written before ``on_epoch``, and a longer run finishes that
    epoch. Layers that behave differently in training and in evaluation are run in the right mode. The masks of
    `Dropout` come from a stream of the run, whose seed is drawn from the generator at the start. They depend only on
    the step, the layer, the row of the batch and the number's place, so the bits are the same at any number of threads,
    and after a resume. A checkpoint holds this seed and the running statistics.

    A checkpoint does not hold the data, the schedule, or the state of callbacks of your own, unless they have the
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
    ranks = Ranks(comm)
    with ranks.joined():
        settings = ranks.each(
            lambda: Settings.of(
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
                shards=SHARDS if shards is None and comm is not None else shards,
            )
        )
        data = (x, t, sample_weight, test, validation)
        sets = ranks.each(lambda: _sets(net, data, settings, ranks, local))
        if local:
            sets.join(ranks, validation)
        checkpoints, rng = ranks.each(lambda: _prepared(net, sets, settings, seed, ranks))
        total = settings.total_steps(-(-len(sets) // settings.batch_size))
        expect_alike(ranks, net, sets, settings, rng, seeded=seed is not None)
        run = ranks.each(lambda: Training(net, sets, settings, checkpoints, rng, total, ranks))
        run.begin()
        run.go_on()
    losses = run.history.losses
    if on_nonfinite == "warn" and ranks.first and not np.isfinite(losses).all():
        first = int(np.argmin(np.isfinite(losses)))
        text = f"loss is {losses[first]} at step {first + 1} (lr={settings.optimizer.lr})"
        warn(text)
    return run.history


def _sets(net: Any, data: tuple[Any, Any, Any, Any, Any], settings: Settings, ranks: Ranks, local: Any) -> Sets:
    """Check the data."""
    if flag(local, "local") and ranks.comm is None:
        raise ValueError("local=True says that each process has its own rows; say which processes with comm=")
    _expect_trainable(net)
    return Sets.of(net, *data, settings)


def _prepared(
    net: Any, sets: Sets, settings: Settings, seed: Any, ranks: Ranks
) -> tuple[Checkpoints, np.random.Generator]:
    """Check everything against everything else, and give the files and the generator."""
    from chainrule.training.checkpoints import Checkpoints  # files and their formats are not part of training itself

    rng = generator(seed)
    settings.expect_batches_of(len(sets), ranks.size)
    settings.total_steps(1)
    checkpoints = Checkpoints(net, sets, settings, writes=ranks.first)
    rng = checkpoints.generator(seed, rng)
    if ranks.first:
        x = sets.at_hand
        for text in (*checkpoints.not_held, *left_untrained(net, x, sets.t[: len(x)], settings.batch_size)):
            warn(text)
    return checkpoints, rng


def _expect_trainable(net: Any) -> None:
    """Raise TypeError or ValueError if `net` lacks something that training needs."""
    expect_network(net)
    for name in ("loss", "accuracy"):
        if not callable(getattr(net, name, None)):
            raise TypeError(f"net must have {name}(x, t) to be trained, and {type(net).__name__} has none")
    all_writeable(net.params)
    if isinstance(net, Network):
        expect_each_named(net)
