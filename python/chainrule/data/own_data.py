"""Your own examples, as `fit` takes them, with what a model file has to know about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import generator, real
from chainrule.nn.layers import Layer
from chainrule.nn.losses import IdentityWithLoss, SoftmaxWithLoss
from chainrule.nn.network import Network
from chainrule.nn.two_layer_net import TwoLayerNet


@dataclass(frozen=True, eq=False, kw_only=True)
class OwnData:
    """What `Table` and `Pictures` have in common.

    Attributes
    ----------
    x : ndarray, shape (N, ...)
        The examples.
    t : ndarray, shape (N,)
        The target of each example: its class as an index into `classes`, int64, or a number, float64.
    classes : tuple of str or None
        The names of the classes; None if the targets are numbers.
    places : tuple of str
        Where each example comes from.
    """

    x: NDArray[Any]
    t: NDArray[Any]
    classes: tuple[str, ...] | None
    places: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def metadata(self) -> dict[str, str]:
        """What belongs in the ``metadata`` of a network trained on this; `network` puts it there."""
        raise NotImplementedError

    def _first_layers(self) -> Mapping[str, Layer]:
        """Give the layers that come before the first layer with weights."""
        return {}

    def network(
        self, hidden_size: int = 50, *, dtype: Any = np.float64, seed: int | np.random.Generator | None = None
    ) -> Network:
        """Make a network of the right size: Affine, Relu, Affine, then softmax or, for numbers, the squared error.

        Parameters
        ----------
        hidden_size : int, default 50
            The number of hidden units.
        dtype : numpy.float64 or numpy.float32
            The dtype of the network's parameters and computations.
        seed : int or numpy.random.Generator, optional
            The source of the weights, which are drawn by the rule "he"; NumPy's global generator by default.

        Returns
        -------
        Network
            Untrained. Its metadata include those of `metadata`, so that its file is all that is needed to use it.

        Raises
        ------
        TypeError, ValueError
            As for `TwoLayerNet`.
        """
        outputs = 1 if self.classes is None else len(self.classes)
        layers = TwoLayerNet(int(np.prod(self.x.shape[1:])), hidden_size, outputs, "he", dtype=dtype, seed=seed).layers
        loss = IdentityWithLoss() if self.classes is None else SoftmaxWithLoss()
        net = Network({**self._first_layers(), **layers}, loss)
        net.metadata.update(self.metadata)
        return net

    def split(self, share: float = 0.2, *, seed: int | np.random.Generator | None = None) -> tuple[Self, Self]:
        """Split the examples at random into a training part and a test part, whatever their classes.

        Parameters
        ----------
        share : float, default 0.2
            The share of examples in the test part, between 0 and 1, rounded to whole examples; each part gets at least
            one.
        seed : int or numpy.random.Generator, optional
            The source of the random draw; fresh entropy by default.

        Returns
        -------
        train, test : tuple of Table or of Pictures
            Columns of numbers are scaled anew: both parts by the mean and the spread of the training part.

        Raises
        ------
        TypeError, ValueError
            If `share` or `seed` is not valid, or there is only one example.
        """
        part, n = real(share, "share"), len(self)
        if not 0 < part < 1:
            raise ValueError(f"share must lie between 0 and 1, got {share!r}")
        if n < 2:
            raise ValueError(f"there is {n} example: none can be held out for a test")
        rows = generator(seed).permutation(n)
        held = min(max(round(part * n), 1), n - 1)
        return self._parts(np.sort(rows[held:]), np.sort(rows[:held]))

    def _parts(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> tuple[Self, Self]:
        return self._only(first), self._only(second)

    def _only(self, rows: NDArray[np.int64]) -> Self:
        places = tuple(self.places[row] for row in rows)
        return replace(self, x=self.x[rows], t=self.t[rows], places=places)
