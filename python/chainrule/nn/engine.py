"""Which networks Rust can run as a whole, and how they are handed over.

A network of this package's unchanged layers is described to Rust by a list of names and sizes. Its arrays stay
NumPy's and are lent to Rust for each call. A network with a user's own layer (or with one of ours whose ``forward`` or
``backward`` was replaced) is not handed over: its own methods run. `Ours` makes this decision.
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

#: The methods at the time this module was imported: a class with others is a user's own, or deliberately broken.
_METHODS = {
    kind.of: {name: getattr(kind.of, name) for name in kind.methods}
    for kind in (*LAYERS.values(), *LOSSES.values(), *OPTIMIZERS.values())
}
#: The methods of `Network`; see `remember`.
_NETWORKS: dict[str, Callable[..., Any]] = {}


def remember(network: type[Any]) -> None:
    """Note the methods of `Network` as soon as the class exists, to recognize later whether they were replaced."""
    _NETWORKS.update({name: getattr(network, name) for name in ("predict", "loss", "gradient", "accuracy", "score")})


def unchanged(thing: Any, methods: Mapping[str, Any]) -> bool:
    """Tell whether the methods of `thing` are these functions, replaced neither in a subclass nor on the instance."""
    for name, method in methods.items():  # noqa: SIM110  # asked of every layer in a script's step: a generator takes longer
        if getattr(getattr(thing, name, None), "__func__", None) is not method:
            return False
    return True


def knows(thing: Any) -> bool:
    """Tell whether `thing` is exactly a layer, loss or optimizer of ours, unchanged, so that Rust computes the same."""
    methods = _METHODS.get(type(thing))
    return methods is not None and unchanged(thing, methods)


def known_loss(layer: Any) -> Loss | None:
    """Give the loss layer if it is ours and unchanged, else None."""
    return layer if type(layer) in LOSSES and knows(layer) else None


class Ours:
    """Which parts of a network are this package's own and unchanged, so that other code of ours may stand in for them.

    It works for any object and finds each answer when asked. Nothing is remembered from one `Ours` to the next, because
    layers and methods may be replaced at any time.
    """

    def __init__(self, net: Any) -> None:
        self._net = net

    def _has(self, *methods: str) -> bool:
        return unchanged(self._net, {name: _NETWORKS[name] for name in methods})

    @property
    def scores(self) -> bool:
        """Whether its scores are the result of its layers, called in turn."""
        return self._has("predict")

    @property
    def loss(self) -> Loss | None:
        """Its loss layer, if its loss is ours and applied to the scores of its layers; else None."""
        return known_loss(self._net.last_layer) if self._has("predict", "loss") else None

    @property
    def layers(self) -> bool:
        """Whether all of its layers are ours and unchanged."""
        return all(type(layer) in LAYERS and knows(layer) for layer in self._net.layers.values())

    @property
    def trained(self) -> Loss | None:
        """Its loss layer, if its gradient is that loss's gradient by our backward pass; else None."""
        return self.loss if self._has("gradient") else None

    @property
    def evaluated(self) -> Loss | None:
        """Its loss layer, if that layer alone finds loss and accuracy from the scores; else None."""
        return self.loss if self.accuracy else None

    @property
    def accuracy(self) -> bool:
        """Whether its accuracy and score are ours, whatever its loss."""
        return self._has("accuracy", "score")

    @property
    def arrays(self) -> list[FloatArray] | None:
        """The arrays of its layers, if Rust could run its layers and its loss on examples of some shape; else None."""
        return known_arrays(self._net.layers) if self._in_rust else None

    @property
    def _in_rust(self) -> bool:
        """Whether Rust knows its loss, and no penalty is added."""
        return self.loss is not None and not getattr(self._net, "weight_decay_lambda", 0)

    @property
    def parameters(self) -> list[FloatArray] | None:
        """Those of `arrays` that are learned."""
        if self.arrays is None:
            return None
        layers = self._net.layers.values()
        return [getattr(layer, name) for layer in layers for name in LAYERS[type(layer)].parameters]

    def plan(self, x: FloatArray | SparseRows) -> Plan | None:
        """Give the plan by which Rust runs its layers and its loss on examples like `x`; None if Rust cannot."""
        return plan(self._net.layers, x.shape, self.loss) if self._in_rust else None


def known_arrays(layers: Mapping[str, Any]) -> list[FloatArray] | None:
    """Give all arrays of known layers if Rust can read them; None if it cannot, or if a layer is not known."""
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
    """Describe layers, and a loss if given, to Rust, for an `x` of this shape; None if Rust cannot run them."""
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
    except ValueError:  # the layers' own methods give a better message
        return None
    if loss is not None and len(example) != 1:
        return None
    return Plan(stack, described, features, example, arrays, loss or SoftmaxWithLoss())


def _same(some: Collection[Any], others: Collection[Any]) -> bool:
    """Tell whether these are the same objects, in the same order."""
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
        #: The arrays that are parameters.
        self.parameters = [array for array in arrays if id(array) in learnt]
        self._layers = list(stack)
        self._stack = [layer for layer in stack if LAYERS[type(layer)].rust]
        self._features = math.prod(features)
        #: Plans that agree in this read a data set in the same way.
        self.reading = (self.dtype, self._features, described[:2])
        self._engine = _kernels.Engine(self.dtype.name, self._features, described, loss.name)

    @property
    def separate(self) -> bool:
        """Whether no two arrays share memory, so that each can be updated by itself."""
        return not any(np.may_share_memory(a, b) for a, b in combinations(self.arrays, 2))

    def is_of(self, layers: Mapping[str, Any]) -> bool:
        """Tell whether these are still the plan's layers, unchanged, with the same arrays."""
        arrays = known_arrays(layers)
        return arrays is not None and _same(layers.values(), self._layers) and _same(arrays, self.arrays)

    @property
    def trains_otherwise(self) -> bool:
        """Whether the layers behave differently in training and in evaluation."""
        return self._engine.trains_otherwise()

    def rows(self, x: FloatArray) -> FloatArray:
        """Give `x`, (N, ...) or (D,), with one row for each example."""
        return x.reshape(1 if x.ndim == 1 else len(x), self._features)

    def examples(self, x: FloatArray, *, leave_out: bool = True) -> _kernels.Examples:
        """Give the data set in the form that Rust trains on; one pass finds the zeros if they may be left out."""
        prepared = self._engine.examples(self.rows(x), leave_out)
        while not prepared.prepare():
            pass  # Ctrl-C is seen between calls
        return prepared

    def draws(self) -> list[tuple[int, int, int]]:
        """Give the place of each layer's next mask in the stream of masks: (seed, step, layer)."""
        return [layer.next_draws() if type(layer) is Dropout else (0, 0, 0) for layer in self._stack]

    def evaluations(self, sets: list[tuple[_kernels.Examples, NDArray[Any]]]) -> list[_kernels.Evaluation]:
        """Give an evaluation of the network's present state over each set, unaffected by later steps; see `result`."""
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
        """Give the losses with entry ``entries[e]`` of array `index` moved by ``offsets[e, k]``, shape (E, K)."""
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
        """Give the losses with all parameters moved by ``offsets[k]`` times their directions, shape (K,)."""
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
        """Do some of the steps for the batches in `rows`, in place; give (their number, whether the next one diverged).

        A gradient longer than `largest_norm` is scaled down to that norm. `draws` are the seed and the step for drawing
        masks. `taught` is the teaching signal, and the weight of each example unless all are 1. Idle threads carry on
        with the evaluations in `beside`.
        """
        t, weights = taught
        done = np.zeros(1, np.int64)
        try:
            return self._engine.steps(
                self.arrays,
                _state(optimizer, names),
                x,
                t,
                rows,
                batch_size,
                _rule(optimizer),
                stop_if_diverged,
                losses,
                beside,
                weights,
                largest_norm,
                draws,
                done,
            )
        finally:  # Ctrl-C may arrive in the call or right after it; the steps before it have been made
            optimizer.iter += int(done[0])

    def gradient(
        self,
        x: _kernels.Examples,
        taught: tuple[NDArray[Any], FloatArray | None],
        rows: NDArray[np.int64],
        most: int,
        of_batch: int,
        out: FloatArray,
        *,
        adding: bool,
        draws: tuple[int, int, int],
    ) -> float:
        """Give the sum of the losses of some rows, at most `most`; ``out ←`` its gradient divided by `of_batch`.

        All parameters are one after the other in `out`, to which the gradient is added if `adding`. Running statistics
        follow the rows. `draws` are the seed and the step for drawing masks, and the number of the first row in its
        batch.
        """
        t, weights = taught
        return self._engine.gradient(self.arrays, x, t, rows, most, of_batch, adding, out, weights, draws)

    def update(self, optimizer: Optimizer, names: Sequence[str], gradient: FloatArray) -> None:
        """Update the parameters, which have these names, by their gradient, one after the other in an array."""
        self._engine.update(self.parameters, _state(optimizer, names), gradient, _rule(optimizer))
        optimizer.iter += 1

    def result(self, evaluation: _kernels.Evaluation, t: NDArray[Any]) -> tuple[float, float]:
        """Finish the evaluation, and give the mean loss and the measure."""
        while not evaluation.advance():
            pass  # Ctrl-C is seen between calls
        loss, right = evaluation.result()
        return loss, self.loss.score(loss, right, t)


def _state(optimizer: Optimizer, names: Sequence[str]) -> list[FloatArray]:
    """Give the arrays that the optimizer keeps for these parameters, in the order in which Rust reads them."""
    return [array for name in names for array in optimizer.kept[name]]


def _rule(optimizer: Optimizer) -> tuple[str, float, float, float, float, int]:
    """Give the optimizer's rule and numbers as Rust reads them."""
    kind = OPTIMIZERS[type(optimizer)]
    one, two = (*(getattr(optimizer, name) for name in kind.numbers), 0.0, 0.0)[:2]
    return kind.rust, optimizer.lr, optimizer.weight_decay, one, two, optimizer.iter
