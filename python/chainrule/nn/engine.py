"""Which networks Rust can run whole, and how they are handed over.

A network of this package's layers, unchanged, is described to Rust by a list of names and sizes; its arrays stay
NumPy's and are lent for each call. A network with a layer of the user's own (or with one of ours whose
``forward`` or ``backward`` was replaced) is not handed over: its own methods run. `Ours` is where this is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray
from chainrule.nn.kinds import LAYERS, LOSSES, OPTIMIZERS
from chainrule.nn.layers import Dropout
from chainrule.nn.losses import Loss, SoftmaxWithLoss
from chainrule.nn.sparse import SparseRows
from chainrule.training.optimizers import Optimizer

#: What the methods were when this module was read: what has others is somebody's own, or deliberately broken.
_METHODS = {
    kind.of: {name: getattr(kind.of, name) for name in kind.methods}
    for kind in (*LAYERS.values(), *LOSSES.values(), *OPTIMIZERS.values())
}
#: Those of `Network`; see `remember`.
_NETWORKS: dict[str, Callable[..., Any]] = {}


def remember(network: type[Any]) -> None:
    """Note the methods of `Network`, when it has just been made, so that those of others are told from them."""
    _NETWORKS.update({name: getattr(network, name) for name in ("predict", "loss", "gradient", "accuracy", "score")})


def unchanged(thing: Any, methods: Mapping[str, Any]) -> bool:
    """Tell whether the methods of `thing` are those functions: replaced in no subclass and on no instance."""
    for name, method in methods.items():  # noqa: SIM110  # asked of every layer in a script's step: a generator takes longer
        if getattr(getattr(thing, name, None), "__func__", None) is not method:
            return False
    return True


def knows(thing: Any) -> bool:
    """Tell whether `thing` is exactly a layer, loss or optimizer of ours, unchanged: Rust computes the same."""
    methods = _METHODS.get(type(thing))
    return methods is not None and unchanged(thing, methods)


def known_loss(layer: Any) -> Loss | None:
    """Give the loss layer, if it is ours and unchanged."""
    return layer if type(layer) in LOSSES and knows(layer) else None


class Ours:
    """What of a network is this package's own, unchanged, so that other code of ours may stand in for it.

    Asked of any object; each answer is found when it is asked for. Nothing is remembered from one `Ours` to the next:
    layers and methods may be replaced at any time.
    """

    def __init__(self, net: Any) -> None:
        self._net = net

    def _has(self, *methods: str) -> bool:
        return unchanged(self._net, {name: _NETWORKS[name] for name in methods})

    @property
    def scores(self) -> bool:
        """Whether its scores are what its layers give in turn."""
        return self._has("predict")

    @property
    def loss(self) -> Loss | None:
        """Its loss layer, if its loss is ours, of the scores its layers give."""
        return known_loss(self._net.last_layer) if self._has("predict", "loss") else None

    @property
    def layers(self) -> bool:
        """Whether all of its layers are."""
        return all(type(layer) in LAYERS and knows(layer) for layer in self._net.layers.values())

    @property
    def trained(self) -> Loss | None:
        """Its loss layer, if its gradient is that loss's, as our backward finds it."""
        return self.loss if self._has("gradient") else None

    @property
    def evaluated(self) -> Loss | None:
        """Its loss layer, if loss and accuracy are those that layer finds in the scores."""
        return self.loss if self.accuracy else None

    @property
    def accuracy(self) -> bool:
        """Whether its accuracy and score are ours, whatever its loss."""
        return self._has("accuracy", "score")

    @property
    def arrays(self) -> list[FloatArray] | None:
        """The arrays of its layers, if Rust could run its layers and its loss on examples of some shape."""
        return known_arrays(self._net.layers) if self._in_rust else None

    @property
    def _in_rust(self) -> bool:
        """Whether its loss is one that Rust knows, and nothing comes on top."""
        return self.loss is not None and not getattr(self._net, "weight_decay_lambda", 0)

    @property
    def parameters(self) -> list[FloatArray] | None:
        """Those of them that are learnt."""
        if self.arrays is None:
            return None
        layers = self._net.layers.values()
        return [getattr(layer, name) for layer in layers for name in LAYERS[type(layer)].parameters]

    def plan(self, x: FloatArray | SparseRows) -> Plan | None:
        """Tell how Rust runs its layers and its loss on such examples; None if it cannot."""
        return plan(self._net.layers, x.shape, self.loss) if self._in_rust else None


def known_arrays(layers: Mapping[str, Any]) -> list[FloatArray] | None:
    """Give all arrays of known layers, if they are as Rust reads them; None if not, or if some layer is not known."""
    stack = list(layers.values())
    if not all(type(layer) in LAYERS and knows(layer) for layer in stack):
        return None
    arrays = [array for layer in stack for array in _arrays_of(layer)]
    in_order = all(a.flags.c_contiguous and a.flags.aligned and a.dtype == arrays[0].dtype for a in arrays)
    return arrays if arrays and in_order else None


def _arrays_of(layer: Any) -> list[FloatArray]:
    kind = LAYERS[type(layer)]
    return [getattr(layer, name) for name in (*kind.parameters, *kind.statistics)]


def plan(layers: Mapping[str, Any], shape: tuple[int, ...], loss: Loss | None = None) -> Plan | None:
    """Describe layers, and a loss if there is one, to Rust, for an `x` of that shape; None if it cannot run them."""
    arrays = known_arrays(layers)
    if arrays is None or not shape:
        return None
    stack = list(layers.values())
    example = features = shape[1:] if len(shape) > 1 else shape
    described = []
    try:
        for layer in stack:
            sizes, numbers, example = layer._described(example)
            if name := LAYERS[type(layer)].rust:
                described.append((name, list(sizes), list(numbers)))
    except ValueError:  # the layers' own methods say it better
        return None
    if loss is not None and len(example) != 1:
        return None
    return Plan(stack, described, features, example, arrays, loss or SoftmaxWithLoss())


def _same(some: Collection[Any], others: Collection[Any]) -> bool:
    """Tell whether these are the same objects."""
    return len(some) == len(others) and all(one is other for one, other in zip(some, others, strict=True))


class Plan:
    """A stack of known layers, ready for examples of one shape, and the arrays they hold."""

    def __init__(
        self,
        stack: Sequence[Any],
        described: list[tuple[str, list[int], list[float]]],
        features: tuple[int, ...],
        out: tuple[int, ...],
        arrays: list[FloatArray],
        loss: Loss,
    ) -> None:
        self.arrays, self.loss = arrays, loss
        self.dtype = arrays[0].dtype
        self.out, self.classes = out, math.prod(out)
        learnt = {id(getattr(layer, name)) for layer in stack for name in LAYERS[type(layer)].parameters}
        #: Those of the arrays that are parameters.
        self.parameters = [array for array in arrays if id(array) in learnt]
        self._layers = list(stack)
        self._stack = [layer for layer in stack if LAYERS[type(layer)].rust]
        self._features = math.prod(features)
        #: Plans that agree in this read a data set alike.
        self.reading = (self.dtype, self._features, described[:2])
        self._engine = _kernels.Engine(self.dtype.name, self._features, described, loss.name)

    @property
    def separate(self) -> bool:
        """Whether no two arrays share memory, so that each can be updated on its own."""
        return not any(np.may_share_memory(a, b) for a, b in combinations(self.arrays, 2))

    def is_of(self, layers: Mapping[str, Any]) -> bool:
        """Tell whether these are still the layers that it runs, unchanged, and the arrays that they hold."""
        arrays = known_arrays(layers)
        return arrays is not None and _same(layers.values(), self._layers) and _same(arrays, self.arrays)

    @property
    def trains_otherwise(self) -> bool:
        """Whether training goes another way than evaluation."""
        return self._engine.trains_otherwise()

    def rows(self, x: FloatArray) -> FloatArray:
        """Give `x`, (N, ...) or (D,), with one row an example."""
        return x.reshape(1 if x.ndim == 1 else len(x), self._features)

    def examples(self, x: FloatArray, *, leave_out: bool = True) -> _kernels.Examples:
        """Give the data set as Rust trains on it: gone through once, if it is mostly zeros and they may be left out."""
        prepared = self._engine.examples(self.rows(x), leave_out)
        while not prepared.prepare():
            pass  # Ctrl-C is seen between calls
        return prepared

    def draws(self) -> list[tuple[int, int, int]]:
        """Give for each layer where its next mask lies in the stream of masks: (seed, step, layer)."""
        return [layer.next_draws() if type(layer) is Dropout else (0, 0, 0) for layer in self._stack]

    def evaluations(self, sets: list[tuple[_kernels.Examples, NDArray[Any]]]) -> list[_kernels.Evaluation]:
        """Give what evaluates the network as it is now over each set, whatever becomes of it; see `finish`."""
        return self._engine.evaluations(self.arrays, sets)

    def scores(self, x: FloatArray) -> FloatArray:
        """Give the scores of `x`, (N, ...) or (D,)."""
        rows = self.rows(x)
        out = np.empty((len(rows), self.classes), self.dtype)
        done = 0
        while done < len(rows):  # Ctrl-C is seen between calls
            done = self._engine.scores(self.arrays, rows, done, out)
        return out.reshape(self.out if x.ndim == 1 else (len(rows), *self.out))

    def losses(
        self,
        x: FloatArray,
        t: NDArray[Any],
        index: int,
        entries: NDArray[np.int64],
        offsets: NDArray[np.float64],
        draws: list[tuple[int, int, int]],
    ) -> NDArray[np.float64]:
        """Give the loss with entry ``entries[e]`` of array `index` moved by ``offsets[e, k]``, shape (E, K)."""
        out = np.empty(offsets.shape)
        done = 0
        while done < len(entries):  # Ctrl-C is seen between calls
            done = self._engine.losses(self.arrays, x, t, index, entries, offsets, out, done, draws)
        return out

    def losses_along(
        self,
        x: _kernels.Examples,
        t: NDArray[Any],
        directions: Sequence[FloatArray | None],
        offsets: NDArray[np.float64],
        draws: list[tuple[int, int, int]],
    ) -> NDArray[np.float64]:
        """Give the loss with all parameters moved by ``offsets[k]`` times their directions, shape (K,)."""
        out = np.empty(offsets.shape)
        done = 0
        while done < len(offsets):  # Ctrl-C is seen between calls
            done = self._engine.losses_along(self.arrays, directions, x, t, offsets, out, done, draws)
        return out

    def steps(
        self,
        optimizer: Optimizer,
        names: Sequence[str],
        x: _kernels.Examples,
        taught: tuple[NDArray[Any], FloatArray | None],
        rows: NDArray[np.int64],
        batch_size: int,
        stop_if_diverged: bool,
        losses: NDArray[np.float64],
        beside: list[_kernels.Evaluation],
        *,
        largest_norm: float | None = None,
        draws: tuple[int, int] = (0, 0),
    ) -> tuple[int, bool]:
        """Do some of the steps for the batches in `rows`, in place: (how many, whether the next one diverged).

        A gradient longer than `largest_norm` is made so short. `draws` are the seed and the step to draw masks by.
        `taught` is the teaching signal, and how often each example counts, if not once.
        What there is to evaluate `beside` them is gone on with where a thread has nothing else to do.
        """
        kept = [array for name in names for array in optimizer.kept[name]]
        kind = OPTIMIZERS[type(optimizer)]
        one, two = (*(getattr(optimizer, name) for name in kind.numbers), 0.0, 0.0)[:2]
        t, weights = taught
        rule = (kind.rust, optimizer.lr, optimizer.weight_decay, one, two, optimizer.iter)
        done = np.zeros(1, np.int64)
        try:
            return self._engine.steps(
                self.arrays,
                kept,
                x,
                t,
                rows,
                batch_size,
                rule,
                stop_if_diverged,
                losses,
                beside,
                weights,
                largest_norm,
                draws,
                done,
            )
        finally:  # Ctrl-C may be seen in the call, or right behind it, and the steps before are made
            optimizer.iter += int(done[0])

    def result(self, evaluation: _kernels.Evaluation, t: NDArray[Any]) -> tuple[float, float]:
        """Evaluate what is left to be evaluated, and give the mean loss and the measure of it."""
        while not evaluation.advance():
            pass  # Ctrl-C is seen between calls
        loss, right = evaluation.result()
        return loss, self.loss.score(loss, right, t)
