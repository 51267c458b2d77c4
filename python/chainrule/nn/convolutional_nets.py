"""The networks of the book's chapters 7 and 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from chainrule._gate import count
from chainrule.nn.initial_values import Draw
from chainrule.nn.layers import Affine, Convolution, Dropout, Pooling, Relu, Reshape
from chainrule.nn.network import Network

_CONVOLUTION = {"filter_num": 30, "filter_size": 5, "pad": 0, "stride": 1}
#: Chapter 8's six convolutions, all 3 x 3: the number of filters and the padding of each.
_DEEP = ((16, 1), (16, 1), (32, 1), (32, 2), (64, 1), (64, 1))


class _Images(Network):
    """The base of both networks: it makes the layers one after the other, each for the output shape of the last."""

    def __init__(self, input_dim: Any, draw: Draw) -> None:
        if not isinstance(input_dim, tuple | list) or len(input_dim) != 3:
            raise TypeError(f"input_dim must be (channels, height, width), got {input_dim!r}")
        super().__init__({})
        self._draw, self._shape = draw, tuple(input_dim)
        self._add("Reshape1", Reshape(self._shape))  # rows of pixels become images; images stay images

    def _add(self, name: str, layer: Any) -> None:
        *_, self._shape = layer._described(self._shape)
        self.layers[name] = layer

    def _add_convolution(self, number: int, given: Any, default: Mapping[str, int], std: Any) -> None:
        param = dict(default) if given is None else dict(given)
        if param.keys() != default.keys():
            raise ValueError(f"a conv_param must have the keys {', '.join(default)}, got {given!r}")
        filters, size = count(param["filter_num"], "filter_num"), count(param["filter_size"], "filter_size")
        channels = self._shape[0]
        W = self._draw.weights(f"W{number}", std, filters, channels, size, size, inputs=channels * size * size)
        layer = Convolution(W, self._draw.zeros(filters), stride=param["stride"], pad=param["pad"])
        self._add(f"Conv{number}", layer)

    def _add_affine(self, name: str, number: int, outputs: int, std: Any) -> None:
        inputs = int(np.prod(self._shape))
        W = self._draw.weights(f"W{number}", std, inputs, outputs, inputs=inputs)
        self._add(name, Affine(W, self._draw.zeros(outputs)))


class SimpleConvNet(_Images):
    """Convolution, Relu, Pooling (2 x 2), Affine, Relu, Affine: the network of chapter 7.

    Parameters
    ----------
    input_dim : (channels, height, width), default (1, 28, 28)
        The shape of one image. Examples may be images (N, C, H, W) or rows (N, C·H·W).
    conv_param : dict, optional
        ``filter_num``, ``filter_size``, ``pad`` and ``stride`` of the convolution; by default 30, 5, 0 and 1.
    hidden_size : int, default 100
        Units of the hidden Affine.
    output_size : int, default 10
        Classes.
    weight_init_std : float or str, default 0.01
        The standard deviation of the weights; "he" stands for √(2/D) and "xavier" for √(1/D), where D is the number of
        inputs.
    dtype : numpy.float64 or numpy.float32, keyword-only
        The dtype of the parameters and of the arithmetic.
    seed : int or numpy.random.Generator, optional, keyword-only
        By default the weights come from NumPy's global generator, W1 first, as in the book.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (FN, C, F, F), ``b1``, ``W2`` (D, H), ``b2``, ``W3`` (H, classes), ``b3``.
    layers : OrderedDict
        ``Reshape1 Conv1 Relu1 Pool1 Affine1 Relu2 Affine2``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or a window does not fit into an image.

    Notes
    -----
    Source: the book's §7.5, ``ch07/simple_convnet.py``; this one works for any image and any filter that fits into it.

    Examples
    --------
    >>> net = SimpleConvNet(seed=0)
    >>> net.predict(np.zeros((2, 784))).shape
    (2, 10)
    >>> net.params["W2"].shape
    (4320, 100)
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param: Mapping[str, int] | None = None,
        hidden_size: int = 100,
        output_size: int = 10,
        weight_init_std: float | str = 0.01,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        hidden, classes = count(hidden_size, "hidden_size"), count(output_size, "output_size")
        super().__init__(input_dim, Draw(seed, dtype))
        self._add_convolution(1, conv_param, _CONVOLUTION, weight_init_std)
        self._add("Relu1", Relu())
        self._add("Pool1", Pooling(2, 2))
        self._add_affine("Affine1", 2, hidden, weight_init_std)
        self._add("Relu2", Relu())
        self._add_affine("Affine2", 3, classes, weight_init_std)


class DeepConvNet(_Images):
    """The network of chapter 8: six 3 x 3 convolutions, a pooling after every two, two Affine with dropout between.

    Parameters
    ----------
    input_dim : (channels, height, width), default (1, 28, 28)
        The shape of one image. Examples may be images (N, C, H, W) or rows (N, C·H·W).
    conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6 : dict, optional
        ``filter_num``, ``filter_size``, ``pad`` and ``stride`` of each convolution; by default 16, 16, 32, 32, 64 and
        64 filters of size 3, with padding 1 (2 for the fourth) and stride 1.
    hidden_size : int, default 50
        Units of the hidden Affine.
    output_size : int, default 10
        Classes.
    dtype : numpy.float64 or numpy.float32, keyword-only
        The dtype of the parameters and of the arithmetic.
    seed : int or numpy.random.Generator, optional, keyword-only
        By default the weights come from NumPy's global generator, W1 first, as in the book.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1 b1`` … ``W8 b8``.
    layers : OrderedDict
        ``Reshape1 Conv1 Relu1 Conv2 Relu2 Pool1 Conv3 …``, ending in ``Affine1 Relu7 Dropout1 Affine2``.

    Raises
    ------
    TypeError, ValueError
        If an argument has the wrong type or is out of range, or a window does not fit into an image.

    Notes
    -----
    The weights are drawn by the rule of He et al. Source: the book's §8.1, ``ch08/deep_convnet.py``, which has a second
    dropout, on the scores, and draws masks in evaluation too; `chainrule.book` has that version.

    Examples
    --------
    >>> net = DeepConvNet(seed=0)
    >>> net.predict(np.zeros((2, 1, 28, 28))).shape
    (2, 10)
    """

    def __init__(
        self,
        input_dim: tuple[int, int, int] = (1, 28, 28),
        conv_param_1: Mapping[str, int] | None = None,
        conv_param_2: Mapping[str, int] | None = None,
        conv_param_3: Mapping[str, int] | None = None,
        conv_param_4: Mapping[str, int] | None = None,
        conv_param_5: Mapping[str, int] | None = None,
        conv_param_6: Mapping[str, int] | None = None,
        hidden_size: int = 50,
        output_size: int = 10,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        hidden, classes = count(hidden_size, "hidden_size"), count(output_size, "output_size")
        draw = Draw(seed, dtype)
        super().__init__(input_dim, draw)
        given = (conv_param_1, conv_param_2, conv_param_3, conv_param_4, conv_param_5, conv_param_6)
        for i, (param, (filters, pad)) in enumerate(zip(given, _DEEP, strict=True), 1):
            self._add_convolution(i, param, {"filter_num": filters, "filter_size": 3, "pad": pad, "stride": 1}, "he")
            self._add(f"Relu{i}", Relu())
            if i % 2 == 0:
                self._add(f"Pool{i // 2}", Pooling(2, 2))
        self._add_affine("Affine1", 7, hidden, "he")
        self._add("Relu7", Relu())
        self._add("Dropout1", Dropout(seed=draw.seed()))
        self._add_affine("Affine2", 8, classes, "he")
