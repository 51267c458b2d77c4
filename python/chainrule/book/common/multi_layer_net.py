"""The book's ``common/multi_layer_net.py``: any number of Affine layers, and its star import."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count, real
from chainrule.book.common import layers
from chainrule.book.common.gradient import numerical_gradient
from chainrule.book.common.layers import *  # noqa: F403  # the book's star import brings them
from chainrule.book.common.layers import Affine, Relu, Sigmoid
from chainrule.book.network import BookNetwork

__all__ = ["MultiLayerNet", "numerical_gradient"]
__all__ += layers.__all__

_ACTIVATIONS: dict[str, type[Relu] | type[Sigmoid]] = {"sigmoid": Sigmoid, "relu": Relu}
#: The names for n in the standard deviation √(n / inputs).
_SCALES = {"relu": 2.0, "he": 2.0, "sigmoid": 1.0, "xavier": 1.0}


class MultiLayerNet(BookNetwork):
    """An Affine and an activation for each hidden layer, a last Affine, and softmax with cross entropy.

    Parameters
    ----------
    input_size : int
        D, features.
    hidden_size_list : sequence of int
        The number of units of each hidden layer.
    output_size : int
        C, classes.
    activation : {'relu', 'sigmoid'}
        The activation of the hidden layers.
    weight_init_std : float or {'relu', 'he', 'sigmoid', 'xavier'}, default 'relu'
        The standard deviation of the weights: √(2 / inputs) for 'relu' and 'he', √(1 / inputs) for 'sigmoid' and
        'xavier'. They are drawn by ``np.random.randn``, W1 first; the biases are 0.
    weight_decay_lambda : float, default 0
        λ, which adds ½ λ Σ W² over all weights to the loss, and λ W to their gradients.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (D, first hidden size), ``b1``, ``W2``, …
    layers : OrderedDict
        ``Affine1``, ``Activation_function1``, ``Affine2``, …
    input_size, hidden_size_list, hidden_layer_num, output_size, weight_decay_lambda
        The arguments.

    Raises
    ------
    TypeError
        If a size is not a whole number, or another number is not a number.
    ValueError
        If a size is not positive, or a name is not one of those above.

    Notes
    -----
    Source: "Deep Learning from Scratch" §6.1.7, §6.2, §6.4.2, ``common/multi_layer_net.py``.

    Examples
    --------
    >>> net = MultiLayerNet(4, [3, 3], 2)
    >>> list(net.layers)
    ['Affine1', 'Activation_function1', 'Affine2', 'Activation_function2', 'Affine3']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
    ) -> None:
        super().__init__()
        if not isinstance(hidden_size_list, Sequence | np.ndarray) or isinstance(hidden_size_list, str):
            raise TypeError(f"hidden_size_list must be a list of whole numbers, got {hidden_size_list!r}")
        hidden = [count(size, "hidden_size_list") for size in hidden_size_list]
        sizes = [count(input_size, "input_size"), *hidden, count(output_size, "output_size")]
        if activation not in _ACTIVATIONS:
            raise ValueError(f"activation must be 'relu' or 'sigmoid', got {activation!r}")
        self.input_size, self.output_size = input_size, output_size
        self.hidden_size_list, self.hidden_layer_num = hidden_size_list, len(hidden)
        self.weight_decay_lambda = real(weight_decay_lambda, "weight_decay_lambda")

        for i, (D, M) in enumerate(pairwise(sizes), 1):
            self._hold(f"W{i}", _std(weight_init_std, D) * np.random.randn(D, M))
            self._hold(f"b{i}", np.zeros(M))

        self.layers: OrderedDict[str, Any] = OrderedDict()
        for i, size in enumerate(hidden, 1):
            self._add_affine(i)
            self._add_before_activation(i, size)
            self.layers[f"Activation_function{i}"] = _ACTIVATIONS[activation]()
            self._add_after_activation(i)
        self._add_affine(len(sizes) - 1)

    def gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give the gradient of the loss, weight decay included, by backpropagation.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions.

        Returns
        -------
        dict of str to ndarray
            With the names of `params`, each gradient in the shape of its parameter.

        Raises
        ------
        TypeError
            If `x` or `t` does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, or a label is out of range.
        """
        grads = super().gradient(x, t)
        for name in grads:
            if name[0] == "W":
                grads[name] = grads[name] + self.weight_decay_lambda * self.params[name]
        return grads

    def _loss(self, x: Any, t: Any, train_flg: bool) -> float:
        loss = super()._loss(x, t, train_flg)
        if not self.weight_decay_lambda:
            return loss
        squares = sum(np.sum(W**2) for name, W in self.params.items() if name[0] == "W")
        return float(loss + 0.5 * self.weight_decay_lambda * squares)

    def _add_affine(self, i: int) -> None:
        self._add(f"Affine{i}", Affine(self.params[f"W{i}"], self.params[f"b{i}"]), i, "W", "b")

    def _add_before_activation(self, i: int, size: int) -> None:
        """Add the layers between the i-th Affine and its activation; here there are none."""

    def _add_after_activation(self, i: int) -> None:
        """Add the layers after the i-th activation; here there are none."""

    def _add(self, key: str, layer: Any, i: int, *kinds: str) -> None:
        self.layers[key] = layer
        self._places |= {f"{kind}{i}": (key, kind) for kind in kinds}


def _std(weight_init_std: float | str, inputs: int) -> Any:
    """Give the standard deviation of the weights of a layer with this number of inputs."""
    if not isinstance(weight_init_std, str):
        return real(weight_init_std, "weight_init_std")
    if weight_init_std.lower() not in _SCALES:
        raise ValueError(f"weight_init_std must be a number or one of {', '.join(_SCALES)}, got {weight_init_std!r}")
    return np.sqrt(_SCALES[weight_init_std.lower()] / inputs)
