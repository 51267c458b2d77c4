"""Which networks Rust can run whole, and how they are handed over.

A network of this package's layers, unchanged, is described to Rust by a list of names and widths; its parameters stay
in NumPy's arrays and are lent for each call. A network with a layer of the user's own (or with one of ours whose
``forward`` or ``backward`` was replaced) is not handed over: its own methods run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _kernels
from chainrule._gate import FloatArray
from chainrule.layers import Affine, Identity, LeakyRelu, Relu, Rescaling, Sigmoid, SoftmaxWithLoss, Tanh
from chainrule.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, Optimizer, RMSprop

#: How each layer is described: a name, an affine layer's outputs, and a number that goes with any other.
_DESCRIPTIONS: dict[Any, Callable[[Any], tuple[str, int, float]]] = {
    Affine: lambda layer: ("affine", layer.W.shape[1], 0.0),
    Relu: lambda layer: ("relu", 0, 0.0),
    LeakyRelu: lambda layer: ("leaky_relu", 0, layer.slope),
    Sigmoid: lambda layer: ("sigmoid", 0, 0.0),
    Tanh: lambda layer: ("tanh", 0, 0.0),
    Rescaling: lambda layer: ("scale", 0, layer.scale),
    Identity: lambda layer: ("scale", 0, 1.0),
}
# What the methods were when this module was read: what has others is somebody's own, or deliberately broken.
_METHODS: dict[Any, dict[str, Any]] = {
    **{kind: {"forward": kind.forward, "backward": kind.backward} for kind in (*_DESCRIPTIONS, SoftmaxWithLoss)},
    **{kind: {"step": kind.step, "update": kind.update} for kind in (SGD, Momentum, Nesterov, AdaGrad, RMSprop, Adam)},
}


def unchanged(thing: Any, methods: Mapping[str, Any]) -> bool:
    """Tell whether the methods of `thing` are those functions: replaced in no subclass and on no instance."""
    for name, method in methods.items():  # noqa: SIM110  # asked of every layer in a script's step: a generator takes longer
        if getattr(getattr(thing, name, None), "__func__", None) is not method:
            return False
    return True


def knows(thing: Any) -> bool:
    """Tell whether `thing` is exactly a layer or an optimizer of ours, with its own methods: Rust computes the same."""
    methods = _METHODS.get(type(thing))
    return methods is not None and unchanged(thing, methods)


def knows_loss(layer: Any) -> bool:
    """Tell whether `layer` is our softmax with cross entropy, unchanged."""
    return type(layer) is SoftmaxWithLoss and knows(layer)


def plan(layers: Mapping[str, Any]) -> Plan | None:
    """Describe the layers to Rust, or give None if it cannot run them."""
    stack = list(layers.values())
    affine = [layer for layer in stack if type(layer) is Affine]
    if not affine or not all(knows(layer) and type(layer) in _DESCRIPTIONS for layer in stack):
        return None
    arrays = [array for layer in affine for array in (layer.W, layer.b)]
    in_order = all(a.flags.c_contiguous and a.flags.aligned and a.dtype == arrays[0].dtype for a in arrays)
    fits = all(first.W.shape[1] == then.W.shape[0] for first, then in pairwise(affine))
    return Plan(stack, affine, arrays) if in_order and fits else None


class Plan:
    """A stack of known layers and the arrays they hold."""

    def __init__(self, stack: Iterable[Any], affine: Sequence[Affine], arrays: list[FloatArray]) -> None:
        layers = [_DESCRIPTIONS[type(layer)](layer) for layer in stack]
        self.arrays = arrays
        self.dtype = affine[0].W.dtype
        self.classes = affine[-1].W.shape[1]
        self.rows = affine[0].rows
        #: Plans that agree in this read a data set alike.
        self.reading = (self.dtype, layers[:2])
        self._engine = _kernels.Engine(self.dtype.name, affine[0].W.shape[0], layers, "softmax")

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
        t: NDArray[Any],
        rows: NDArray[np.int64],
        batch_size: int,
        stop_if_diverged: bool,
        losses: NDArray[np.float64],
        beside: list[_kernels.Evaluation],
    ) -> tuple[int, bool]:
        """Do some of the steps for the batches in `rows`, in place: (how many, whether the next one diverged).

        What there is to evaluate `beside` them is gone on with where a thread has nothing else to do.
        """
        kept = [array for name in names for array in optimizer.kept[name]]
        rule = (optimizer.rule, optimizer.lr, optimizer.weight_decay, *optimizer.factors(), optimizer.iter)
        done, diverged = self._engine.steps(
            self.arrays, kept, x, t, rows, batch_size, rule, stop_if_diverged, losses, beside
        )
        optimizer.iter += done
        return done, diverged


def finish(evaluation: _kernels.Evaluation) -> tuple[float, float]:
    """Evaluate what is left to be evaluated, and give the mean loss in nats, and the accuracy."""
    while not evaluation.advance():
        pass  # Ctrl-C is seen between calls
    return evaluation.result()
