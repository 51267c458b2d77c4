"""Chapter 8: the deep network of the book's ``deep_convnet.py``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule._gate import FloatArray, count
from chainrule.book.common.layers import Affine, Convolution, Dropout, Pooling, Relu
from chainrule.book.convolutional import ConvNetwork, after, conv_param, image_shape, in_order

__all__ = ["DeepConvNet"]

_PARAM_1 = _PARAM_2 = conv_param(filter_num=16, filter_size=3, pad=1, stride=1)
_PARAM_3 = conv_param(filter_num=32, filter_size=3, pad=1, stride=1)
_PARAM_4 = conv_param(filter_num=32, filter_size=3, pad=2, stride=1)
_PARAM_5 = _PARAM_6 = conv_param(filter_num=64, filter_size=3, pad=1, stride=1)
#: The number of inputs of a neuron in each layer: the book's numbers for the default sizes, used for all sizes.
_SEEN = (1 * 9, 16 * 9, 16 * 9, 32 * 9, 32 * 9, 64 * 9, 64 * 16)


class DeepConvNet(ConvNetwork):
    """Three times Convolution, Relu, Convolution, Relu, Pooling 2×2; Affine, Relu, Dropout, Affine, Dropout; softmax.

    Parameters
    ----------
    input_dim : tuple of int, default (1, 28, 28)
        Channels, height and width of an image.
    conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6 : dict of str to int
        ``filter_num`` (16, 16, 32, 32, 64, 64), ``filter_size`` (3), ``pad`` (1, but 2 in the fourth), ``stride`` (1).
    hidden_size : int, default 50
        H, the number of outputs of the first Affine.
    output_size : int, default 10
        Classes.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` … ``W6`` of the convolutions, ``W7`` (remaining pixels, H), ``W8`` (H, classes); ``b1`` … ``b8``.
    layers : list
        The twenty layers.

    Raises
    ------
    TypeError
        If a size is not a whole number.
    ValueError
        If a size is out of range, a ``conv_param`` lacks one, or no pixels of the image remain.

    Notes
    -----
    Weights are drawn by ``np.random.randn``, W1 first, and scaled by √(2 / n), where n is the number of inputs of a
    neuron in a network of the default sizes. As in the book, ``loss`` always runs in training mode: masks are drawn,
    and the last mask drops scores. ``predict`` and ``accuracy`` draw nothing.
    Source: "Deep Learning from Scratch" §8.1.

    Examples
    --------
    >>> net = DeepConvNet()
    >>> len(net.layers), net.params["W7"].shape
    (20, (1024, 50))
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param_1: Mapping[str, int] = _PARAM_1,
        conv_param_2: Mapping[str, int] = _PARAM_2,
        conv_param_3: Mapping[str, int] = _PARAM_3,
        conv_param_4: Mapping[str, int] = _PARAM_4,
        conv_param_5: Mapping[str, int] = _PARAM_5,
        conv_param_6: Mapping[str, int] = _PARAM_6,
        hidden_size: int = 50,
        output_size: int = 10,
    ) -> None:
        super().__init__()
        C, h, w = image_shape(input_dim)
        H, M = count(hidden_size, "hidden_size"), count(output_size, "output_size")
        params = (conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6)
        scales = np.sqrt(2 / np.array([*_SEEN, H]))

        self.layers: list[Any] = []
        for i, param in enumerate(params):
            name = f"conv_param_{i + 1}"
            FN, F, pad, stride = in_order(param, name)
            W, b = self._hold_drawn(i + 1, len(self.layers), scales[i], (FN, C, F, F))
            self.layers += [Convolution(W, b, stride, pad), Relu()]
            C, (h, w) = FN, after((h, w), F, stride, pad, name)
            if i % 2:
                self.layers.append(Pooling(2, 2, stride=2))
                h, w = after((h, w), 2, 2, 0, f"the pooling after {name}")
        W7, b7 = self._hold_drawn(7, len(self.layers), scales[6], (C * h * w, H))
        self.layers += [Affine(W7, b7), Relu(), Dropout(0.5)]
        W8, b8 = self._hold_drawn(8, len(self.layers), scales[7], (H, M))
        self.layers += [Affine(W8, b8), Dropout(0.5)]

    def predict(self, x: Any, train_flg: bool = False) -> FloatArray:
        """Give the scores, before softmax.

        Parameters
        ----------
        x : array_like, shape (N, C, H, W)
            Images.
        train_flg : bool, default False
            Whether to draw masks, as in training.

        Returns
        -------
        ndarray, shape (N, classes)

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If its shape does not fit.
        """
        return self._scores(x, train_flg)

    def loss(self, x: Any, t: Any) -> float:
        """Give the mean loss in training mode: masks are drawn.

        Parameters
        ----------
        x : array_like, shape (N, C, H, W)
            Images.
        t : array_like, shape (N,), (N, 1) or (N, classes)
            Class ids, or distributions.

        Raises
        ------
        TypeError
            If `x` or `t` does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, or a label is out of range.
        """
        return self._loss(x, t, train_flg=True)

    def numerical_gradient(self, x: Any, t: Any) -> Any:
        """Raise TypeError: every call of ``loss`` draws new masks, so its differences do not give a gradient.

        Parameters
        ----------
        x, t : array_like
            As for `loss`.

        Raises
        ------
        TypeError
            Always.
        """
        raise TypeError(
            "DeepConvNet has no numerical gradient: each loss draws new masks; set its Dropouts' ratio to 0"
        )
