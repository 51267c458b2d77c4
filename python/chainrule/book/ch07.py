"""Chapter 7: the convolutional network of the book's ``simple_convnet.py``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from chainrule._gate import count, real
from chainrule.book.common.layers import Affine, Convolution, Pooling, Relu
from chainrule.book.convolutional import ConvNetwork, after, conv_param, image_shape, in_order

__all__ = ["SimpleConvNet"]

_CONV_PARAM = conv_param(filter_num=30, filter_size=5, pad=0, stride=1)


class SimpleConvNet(ConvNetwork):
    """Convolution, Relu, Pooling 2×2, Affine, Relu, Affine, and softmax with cross entropy.

    Parameters
    ----------
    input_dim : tuple of int, default (1, 28, 28)
        Channels, height and width of an image, of any size that the filter fits into.
    conv_param : dict of str to int
        ``filter_num`` (30), ``filter_size`` (5), ``pad`` (0), ``stride`` (1).
    hidden_size : int, default 100
        H, the number of outputs of the first Affine.
    output_size : int, default 10
        Classes.
    weight_init_std : float, default 0.01
        The weights are drawn from a normal distribution with this standard deviation, by ``np.random.randn``, W1 first;
        the biases are 0.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (filter_num, C, filter_size, filter_size), ``b1``, ``W2`` (remaining pixels, H), ``b2``, ``W3``, ``b3``.
    layers : OrderedDict
        ``Conv1``, ``Relu1``, ``Pool1``, ``Affine1``, ``Relu2``, ``Affine2``.

    Raises
    ------
    TypeError
        If a size is not a whole number.
    ValueError
        If a size is out of range, `conv_param` lacks one, or no pixels of the image remain.

    Notes
    -----
    Source: "Deep Learning from Scratch" §7.5.

    Examples
    --------
    >>> net = SimpleConvNet((1, 6, 8), {"filter_num": 2, "filter_size": 3, "pad": 0, "stride": 1}, hidden_size=4)
    >>> {name: array.shape for name, array in net.params.items() if name[0] == "W"}
    {'W1': (2, 1, 3, 3), 'W2': (12, 4), 'W3': (4, 10)}
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, int] = _CONV_PARAM,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float = 0.01,
    ) -> None:
        super().__init__()
        C, *size = image_shape(input_dim)
        FN, F, pad, stride = in_order(conv_param, "conv_param")
        H, M = count(hidden_size, "hidden_size"), count(output_size, "output_size")
        conv_h, conv_w = after((size[0], size[1]), F, stride, pad, "Conv1")
        pool_h, pool_w = after((conv_h, conv_w), 2, 2, 0, "Pool1")
        std = real(weight_init_std, "weight_init_std")

        W1, b1 = self._hold_drawn(1, "Conv1", std, (FN, C, F, F))
        W2, b2 = self._hold_drawn(2, "Affine1", std, (FN * pool_h * pool_w, H))
        W3, b3 = self._hold_drawn(3, "Affine2", std, (H, M))
        self.layers: OrderedDict[str, Any] = OrderedDict(
            Conv1=Convolution(W1, b1, stride, pad),
            Relu1=Relu(),
            Pool1=Pooling(2, 2, stride=2),
            Affine1=Affine(W2, b2),
            Relu2=Relu(),
            Affine2=Affine(W3, b3),
        )
