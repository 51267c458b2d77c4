"""The book's ``common/multi_layer_net_extend.py``, with batch normalization and dropout, and its star import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule._gate import FloatArray
from chainrule.book.common import layers
from chainrule.book.common.gradient import numerical_gradient
from chainrule.book.common.layers import *  # noqa: F403  # the book's star import brings them
from chainrule.book.common.layers import BatchNormalization, Dropout
from chainrule.book.common.multi_layer_net import MultiLayerNet

__all__ = ["MultiLayerNetExtend", "numerical_gradient"]
__all__ += layers.__all__


class MultiLayerNetExtend(MultiLayerNet):
    """Affine, batch normalization, activation and dropout for each hidden layer, a last Affine, and softmax.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda : as of `MultiLayerNet`
        The same arguments as there.
    use_dropout : bool, default False
        Whether a `Dropout` follows each activation.
    dropout_ration : float, default 0.5
        The share that each `Dropout` drops. The spelling of the name is the book's.
    use_batchnorm : bool, default False
        Whether a `BatchNormalization` precedes each activation.

    Attributes
    ----------
    params : dict of str to ndarray
        All of ``W1``, ``b1``, ``W2``, …; then, for batch normalization, ``gamma1``, ``beta1``, ``gamma2``, …
    layers : OrderedDict
        ``Affine1``, ``BatchNorm1``, ``Activation_function1``, ``Dropout1``, ``Affine2``, …
    use_dropout, use_batchnorm : bool
        The arguments.

    Raises
    ------
    TypeError, ValueError
        As for `MultiLayerNet`; also if `dropout_ration` is not a number in 0..1.

    Notes
    -----
    ``gradient`` and ``numerical_gradient`` run in training mode: they draw masks and update running statistics.
    Source: "Deep Learning from Scratch" §6.3, §6.4.3, ``common/multi_layer_net_extend.py``.

    Examples
    --------
    >>> net = MultiLayerNetExtend(4, [3], 2, use_dropout=True, use_batchnorm=True)
    >>> list(net.layers)
    ['Affine1', 'BatchNorm1', 'Activation_function1', 'Dropout1', 'Affine2']
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
    ) -> None:
        self.use_dropout, self.use_batchnorm = use_dropout, use_batchnorm
        self._ratio = dropout_ration
        super().__init__(
            input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        )  # fmt: skip

    def predict(self, x: Any, train_flg: bool = False) -> FloatArray:
        """Give the scores, before softmax.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Examples.
        train_flg : bool, default False
            Whether to draw masks and use the statistics of the batch, as in training.

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
        return self._scores(x, train_flg)

    def loss(self, x: Any, t: Any, train_flg: bool = False) -> float:
        """Give the mean loss, weight decay included.

        Parameters
        ----------
        x : array_like, shape (N, D)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions.
        train_flg : bool, default False
            As for `predict`.

        Raises
        ------
        TypeError
            If `x` or `t` does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, or a label is out of range.
        """
        return self._loss(x, t, train_flg)

    def _add_before_activation(self, i: int, size: int) -> None:
        if self.use_batchnorm:
            gamma, beta = self._hold(f"gamma{i}", np.ones(size)), self._hold(f"beta{i}", np.zeros(size))
            self._add(f"BatchNorm{i}", BatchNormalization(gamma, beta), i, "gamma", "beta")

    def _add_after_activation(self, i: int) -> None:
        if self.use_dropout:
            self._add(f"Dropout{i}", Dropout(self._ratio), i)
