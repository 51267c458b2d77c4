"""The networks of the book's chapter 6, with any number of hidden layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from chainrule._gate import count, flag, real
from chainrule.nn.initial_values import Draw
from chainrule.nn.layers import Affine, BatchNormalization, Dropout, LeakyRelu, Relu, Sigmoid, Tanh
from chainrule.nn.network import Network

_ACTIVATIONS = {"relu": Relu, "sigmoid": Sigmoid, "tanh": Tanh, "leaky_relu": LeakyRelu}


class MultiLayerNetExtend(Network):
    """Hidden layers in a row, each an Affine and an activation, with optional batch normalization and dropout.

    Parameters
    ----------
    input_size : int
        Features.
    hidden_size_list : sequence of int
        Units of each hidden layer.
    output_size : int
        Classes.
    activation : {"relu", "sigmoid", "tanh", "leaky_relu"}
        The activation after each hidden Affine.
    weight_init_std : float or str, default "relu"
        The standard deviation of the weights: a number; "relu" or "he" for √(2/D); "sigmoid" or "xavier" for √(1/D),
        where D is the number of inputs. The biases are 0.
    weight_decay_lambda : float, default 0
        λ of the penalty 0.5 λ ΣW², over all weights, that is added to the loss; >= 0. The ``weight_decay`` of an
        optimizer makes the same steps, and `fit` is faster with it.
    use_dropout : bool, default False
        Whether a `Dropout` follows each activation.
    dropout_ration : float, default 0.5
        The ratio of each `Dropout`. The spelling of the name is the book's.
    use_batchnorm : bool, default False
        Whether a `BatchNormalization` goes before each activation.
    dtype : numpy.float64 or numpy.float32, keyword-only
        The dtype of the parameters and of the arithmetic.
    seed : int or numpy.random.Generator, optional, keyword-only
        By default the weights come from NumPy's global generator, in the order of the layers, so that a script that
        calls ``np.random.seed(0)`` gets the book's numbers.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1 b1 W2 b2 …``, and ``gamma1 beta1 …`` with batch normalization.
    layers : OrderedDict
        ``Affine1 BatchNorm1 Activation_function1 Dropout1 Affine2 …``.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an argument is out of range, or there is no activation or rule with that name.

    Notes
    -----
    Source: the book's §6.2 to §6.4, and ``common/multi_layer_net_extend.py``.

    Examples
    --------
    >>> net = MultiLayerNetExtend(784, [100, 50], 10, use_batchnorm=True, seed=0)
    >>> list(net.layers)[:3], len(net.params)
    (['Affine1', 'BatchNorm1', 'Activation_function1'], 10)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        use_dropout: bool = False,
        dropout_ration: float = 0.5,
        use_batchnorm: bool = False,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        draw, decay = Draw(seed, dtype), real(weight_decay_lambda, "weight_decay_lambda")
        if decay < 0:
            raise ValueError(f"weight_decay_lambda must be >= 0, got {weight_decay_lambda!r}")
        if not isinstance(activation, str) or activation.lower() not in _ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(_ACTIVATIONS)}, got {activation!r}")
        if isinstance(hidden_size_list, str) or not np.iterable(hidden_size_list):
            raise TypeError(f"hidden_size_list must be a list of whole numbers, got {hidden_size_list!r}")
        dropout, norm = flag(use_dropout, "use_dropout"), flag(use_batchnorm, "use_batchnorm")
        hidden = [count(size, "a size of hidden_size_list") for size in hidden_size_list]
        sizes = [count(input_size, "input_size"), *hidden, count(output_size, "output_size")]

        layers: dict[str, Any] = {}
        for i, (D, M) in enumerate(pairwise(sizes), 1):
            layers[f"Affine{i}"] = Affine(draw.weights(f"W{i}", weight_init_std, D, M, inputs=D), draw.zeros(M))
            if i <= len(hidden):
                if norm:
                    layers[f"BatchNorm{i}"] = BatchNormalization(draw.ones(M), draw.zeros(M))
                layers[f"Activation_function{i}"] = _ACTIVATIONS[activation.lower()]()
                if dropout:
                    layers[f"Dropout{i}"] = Dropout(dropout_ration)
        for layer in layers.values():
            if isinstance(layer, Dropout):
                layer.masks = type(layer.masks)(draw.seed())
        super().__init__(layers)
        self.weight_decay_lambda = decay


class MultiLayerNet(MultiLayerNetExtend):
    """Hidden layers in a row, each an Affine and an activation.

    Parameters
    ----------
    input_size : int
        Features.
    hidden_size_list : sequence of int
        Units of each hidden layer.
    output_size : int
        Classes.
    activation : {"relu", "sigmoid", "tanh", "leaky_relu"}
        The activation after each hidden Affine.
    weight_init_std : float or str, default "relu"
        As for `MultiLayerNetExtend`.
    weight_decay_lambda : float, default 0
        As for `MultiLayerNetExtend`.
    dtype : numpy.float64 or numpy.float32, keyword-only
        The dtype of the parameters and of the arithmetic.
    seed : int or numpy.random.Generator, optional, keyword-only
        As for `MultiLayerNetExtend`.

    Raises
    ------
    TypeError, ValueError
        As for `MultiLayerNetExtend`.

    Notes
    -----
    Source: the book's §6.2, and ``common/multi_layer_net.py``.

    Examples
    --------
    >>> net = MultiLayerNet(784, [100, 100], 10, weight_init_std="he", seed=0)
    >>> list(net.params)
    ['W1', 'b1', 'W2', 'b2', 'W3', 'b3']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size_list: Sequence[int],
        output_size: int,
        activation: str = "relu",
        weight_init_std: float | str = "relu",
        weight_decay_lambda: float = 0,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        super().__init__(
            input_size,
            hidden_size_list,
            output_size,
            activation,
            weight_init_std,
            weight_decay_lambda,
            dtype=dtype,
            seed=seed,
        )
