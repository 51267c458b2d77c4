"""The base of the book's networks: forward through the layers, the loss, and backward in reverse.

Unlike a `chainrule.Network`, a network of the book itself says where each parameter is, in the book's order, and its
layers may be a list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from chainrule._gate import FloatArray, all_writeable
from chainrule.nn.gradients import numerical_gradient
from chainrule.nn.losses import SoftmaxWithLoss, accuracy_of
from chainrule.nn.parameters.named import Parameters


class BookNetwork:
    """A network of the book: `params` by name, `layers` in order, `last_layer` for the loss.

    Attributes
    ----------
    params : dict of str to ndarray
        The very arrays that the layers hold: ``net.params["W1"] = other`` copies `other` into its array.
    layers : OrderedDict or list
        In the order of ``forward``; you may change it.
    last_layer : SoftmaxWithLoss
        The loss.
    """

    params: Parameters
    layers: Any
    #: For each parameter, in the order of the book's gradients: the layer that holds it, and the attribute there.
    _places: dict[str, tuple[Any, str]]

    def __init__(self) -> None:
        self.params = Parameters()
        self.last_layer = SoftmaxWithLoss()
        self._places = {}

    def predict(self, x: Any) -> FloatArray:
        """Give the scores, before softmax.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.

        Returns
        -------
        ndarray, shape (N, C)

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If its shape does not fit.
        """
        return self._scores(x, train_flg=False)

    def loss(self, x: Any, t: Any) -> float:
        """Give the mean cross entropy of the softmax of the scores, by log-sum-exp, without the book's 1e-7.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions.

        Raises
        ------
        TypeError
            If `x` or `t` does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, or a label is out of range.
        """
        return self._loss(x, t, train_flg=False)

    def accuracy(self, x: Any, t: Any) -> float:
        """Give the share, 0.0-1.0, of examples whose largest score belongs to the right class.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.

        Raises
        ------
        TypeError, ValueError
            As `loss`.
        """
        return accuracy_of(self.predict(x), t)

    def gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give the gradient of the loss with respect to each parameter, by backpropagation.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.

        Returns
        -------
        dict of str to ndarray
            With the names of `params`, each gradient in the shape of its parameter.

        Raises
        ------
        TypeError, ValueError
            As `loss`.
        """
        self._loss(x, t, train_flg=True)
        dout = self.last_layer.backward(1)
        for layer in reversed(self._in_order()):
            dout = layer.backward(dout)
        return {name: getattr(self.layers[key], f"d{kind}") for name, (key, kind) in self._places.items()}

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give the gradient by central differences of the loss, without ``backward``: slow, to check `gradient`.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.

        Returns
        -------
        dict of str to ndarray of float64
            With the names, order and shapes of `gradient`.

        Raises
        ------
        TypeError, ValueError
            As for `loss`; also if a parameter is read-only.
        """

        def loss_of_parameter(_: FloatArray) -> float:
            return self._loss(x, t, train_flg=True)  # the array was changed in place, in the layer

        all_writeable(self.params)
        return {name: numerical_gradient(loss_of_parameter, self.params[name]) for name in self._places}

    def _scores(self, x: Any, train_flg: bool) -> FloatArray:
        """Give the scores by calling each layer's ``forward`` in turn."""
        for layer in self._in_order():
            x = layer.forward(x, train_flg) if _is_told(type(layer).forward) else layer.forward(x)
        scores: FloatArray = x
        return scores

    def _loss(self, x: Any, t: Any, train_flg: bool) -> float:
        return self.last_layer.forward(self._scores(x, train_flg), t)

    def _in_order(self) -> list[Any]:
        return list(self.layers.values() if isinstance(self.layers, Mapping) else self.layers)

    def _hold(self, name: str, array: FloatArray) -> FloatArray:
        """Make `array` the parameter `name`, and return it."""
        self.params.hold(name, array)
        return array


@cache
def _is_told(forward: Callable[..., Any]) -> bool:
    """Tell whether a layer's ``forward`` takes an argument for training or evaluation."""
    return "train_flg" in inspect.signature(forward).parameters
