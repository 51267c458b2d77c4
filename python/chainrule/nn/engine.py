"""Which networks Rust can run whole, and how they are handed over.

A network of this package's layers, unchanged, is described to Rust by a list of names and widths; its parameters stay
in NumPy's arrays and are lent for each call. A network with a layer of the user's own (or with one of ours whose
``forward`` or ``backward`` was replaced) is not handed over: its own methods run. `Ours` is where this is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray
from chainrule.nn.kinds import LAYERS, LOSSES, OPTIMIZERS
from chainrule.nn.layers import Affine
from chainrule.nn.losses import Loss, SoftmaxWithLoss
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
    def plan(self) -> Plan | None:
        """How Rust runs its layers and its loss; None if it cannot."""
        return None if self.loss is None else plan(self._net.layers, self.loss)


def plan(layers: Mapping[str, Any], loss: Loss | None = None) -> Plan | None:
    """Describe layers, and a loss if there is to be one, to Rust; or give None if it cannot run them."""
    stack = list(layers.values())
    affine = [layer for layer in stack if type(layer) is Affine]
    if not affine or not all(type(layer) in LAYERS and knows(layer) for layer in stack):
        return None
    arrays = [array for layer in affine for array in (layer.W, layer.b)]
    in_order = all(a.flags.c_contiguous and a.flags.aligned and a.dtype == arrays[0].dtype for a in arrays)
    fits = all(first.W.shape[1] == then.W.shape[0] for first, then in pairwise(affine))
    return Plan(stack, affine, arrays, loss or SoftmaxWithLoss()) if in_order and fits else None


class Plan:
    """A stack of known layers and the arrays they hold."""

    def __init__(self, stack: Iterable[Any], affine: Sequence[Affine], arrays: list[FloatArray], loss: Loss) -> None:
        layers = [_described(layer) for layer in stack]
        self.arrays, self.loss = arrays, loss
        self.dtype = affine[0].W.dtype
        self.classes = affine[-1].W.shape[1]
        self.rows = affine[0].rows
        #: Plans that agree in this read a data set alike.
        self.reading = (self.dtype, layers[:2])
        self._engine = _kernels.Engine(self.dtype.name, affine[0].W.shape[0], layers, loss.name)

    @property
    def separate(self) -> bool:
        """Whether no two parameters share memory, so that each can be updated on its own."""
        return not any(np.may_share_memory(a, b) for a, b in combinations(self.arrays, 2))

    def examples(self, x: FloatArray) -> _kernels.Examples:
        """Give the data set as Rust trains on it: gone through once, if it is mostly zeros."""
        prepared = self._engine.examples(self.rows(x))
        while not prepared.prepare():
            pass  # Ctrl-C is seen between calls
        return prepared

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
        return out.reshape(out.shape[1:]) if x.ndim == 1 else out

    def losses(
        self,
        x: FloatArray,
        t: NDArray[Any],
        index: int,
        entries: NDArray[np.int64],
        offsets: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Give the loss with entry ``entries[e]`` of parameter `index` moved by ``offsets[e, k]``, shape (E, K)."""
        out = np.empty(offsets.shape)
        done = 0
        while done < len(entries):  # Ctrl-C is seen between calls
            done = self._engine.losses(self.arrays, x, t, index, entries, offsets, out, done)
        return out

    def losses_along(
        self,
        x: _kernels.Examples,
        t: NDArray[Any],
        directions: Sequence[FloatArray | None],
        offsets: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Give the loss with all parameters moved by ``offsets[k]`` times their directions, shape (K,)."""
        out = np.empty(offsets.shape)
        done = 0
        while done < len(offsets):  # Ctrl-C is seen between calls
            done = self._engine.losses_along(self.arrays, directions, x, t, offsets, out, done)
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
    ) -> tuple[int, bool]:
        """Do some of the steps for the batches in `rows`, in place: (how many, whether the next one diverged).

        `taught` is the teaching signal, and how often each example counts, if not once.
        What there is to evaluate `beside` them is gone on with where a thread has nothing else to do.
        """
        kept = [array for name in names for array in optimizer.kept[name]]
        kind = OPTIMIZERS[type(optimizer)]
        one, two = (*(getattr(optimizer, name) for name in kind.numbers), 0.0, 0.0)[:2]
        t, weights = taught
        rule = (kind.rust, optimizer.lr, optimizer.weight_decay, one, two, optimizer.iter)
        done, diverged = self._engine.steps(
            self.arrays, kept, x, t, rows, batch_size, rule, stop_if_diverged, losses, beside, weights
        )
        optimizer.iter += done
        return done, diverged

    def result(self, evaluation: _kernels.Evaluation, t: NDArray[Any]) -> tuple[float, float]:
        """Evaluate what is left to be evaluated, and give the mean loss and the measure of it."""
        while not evaluation.advance():
            pass  # Ctrl-C is seen between calls
        loss, right = evaluation.result()
        return loss, self.loss.score(loss, right, t)


def _described(layer: Any) -> tuple[str, int, float]:
    """Describe a layer to Rust: its name, how many outputs if it has weights, and the number that goes with it."""
    kind = LAYERS[type(layer)]
    number = getattr(layer, kind.numbers[0]) if kind.numbers else 1.0
    return kind.rust, layer.W.shape[1] if kind.parameters else 0, number
