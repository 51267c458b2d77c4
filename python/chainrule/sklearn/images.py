"""A classifier of images for scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from chainrule._gate import FloatArray, count, flag, real
from chainrule.nn.layers import Affine, BatchNormalization, Convolution, Dropout, Pooling, Relu, Reshape
from chainrule.sklearn.base import sizes
from chainrule.sklearn.classifier import Classifier
from chainrule.training.optimizers import Adam, Optimizer


class ConvClassifier(Classifier):
    """A convolutional network with softmax or sigmoid at the end, as a scikit-learn estimator.

    Parameters
    ----------
    filters : int or sequence of int, default 30
        Filters of each block: convolution, relu, pooling of 2 x 2; ``()`` is a multi-layer perceptron.
    kernel_size : int, default 5
        Height and width of a filter. The images are padded with zeros, so that an odd size keeps height and width.
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer after the blocks.
    image_shape : (channels, height, width), (height, width) or None
        How the D numbers of a row make an image. None: a square grey image if D is a square number, else one line of D
        pixels. Images (N, H, W) and (N, C, H, W) have their own shape.
    dropout : float, default 0.0
        The share of each hidden layer that is dropped in a step, 0 <= dropout < 1.
    batch_norm : bool, default False
        Whether there is batch normalization before each relu.
    alpha : float, default 0.0001
        Strength of the L2 penalty ``alpha / (2 batch) · Σ W²`` on weights, not on biases; >= 0.
    batch_size : int or "auto", default "auto"
        Examples per step; "auto" is 200, or all if there are fewer.
    learning_rate_init : float, default 0.001
        Adam's learning rate, > 0.
    max_iter : int, default 200
        The largest number of epochs.
    random_state : int, RandomState or None
        The source of the weights, the dropout masks, the held-out examples and the batches.
    tol : float, default 0.0001
        The least improvement that counts as progress, in nats of the loss or, with `early_stopping`, in accuracy;
        >= 0.
    verbose : bool or int, default False
        Print the loss of each epoch.
    warm_start : bool, default False
        ``fit`` continues from the present weights, with all the previous classes.
    early_stopping : bool, default False
        Hold out examples, with two classes the same share of each; stop by their accuracy, and keep the weights with
        the best.
    validation_fraction : float, default 0.1
        The share to hold out, in 0..1; at least two rows.
    n_iter_no_change : int, default 10
        Training stops after more than this many epochs in a row without progress.

    Attributes
    ----------
    network_ : chainrule.Network
        The trained network, for everything that this package can do with one.
    image_shape_ : (channels, height, width)
        The shape of the image that a row was read as.
    classes_ : ndarray, shape (C,)
        The labels, sorted; the columns of the probabilities.
    loss_, best_loss_, loss_curve_, validation_scores_, best_validation_score_, n_iter_, t_
        As in `MLPClassifier`.
    n_features_in_, feature_names_in_, n_outputs_, out_activation_
        As in `MLPClassifier`.

    Raises
    ------
    TypeError, ValueError
        From ``fit``, if a parameter is of the wrong kind or out of range, or X or y is not valid. The estimator is
        then as it was.
    FloatingPointError
        From ``fit``, as in `MLPClassifier`.

    Notes
    -----
    The weights are drawn as proposed by He et al., from a normal distribution with standard deviation √(2 / inputs);
    the biases are 0. If an image is smaller than a pooling window, the window is as small as the image.

    Pixels should lie in 0-1, or have mean 0 and standard deviation 1. For float32 input, the network and the
    probabilities are float32, which is twice as fast; for anything else, including bytes, they are float64.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from chainrule.sklearn import ConvClassifier
    >>> x, y = load_digits(return_X_y=True)
    >>> model = ConvClassifier(8, kernel_size=3, batch_size=50, tol=1e-2, random_state=0, learning_rate_init=0.01)
    >>> model.fit(x[:1000] / 16, y[:1000]).image_shape_
    (1, 8, 8)
    >>> model.score(x[1000:] / 16, y[1000:]) > 0.9
    True
    """

    _shaped_by = "filters, kernel_size, hidden_layer_sizes, image_shape, dropout or batch_norm"

    def __init__(
        self,
        filters: int | Iterable[int] = 30,
        kernel_size: int = 5,
        hidden_layer_sizes: int | Iterable[int] = (100,),
        *,
        image_shape: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        batch_norm: bool = False,
        alpha: float = 0.0001,
        batch_size: int | Literal["auto"] = "auto",
        learning_rate_init: float = 0.001,
        max_iter: int = 200,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
    ) -> None:
        self.filters = filters
        self.kernel_size = kernel_size
        self.hidden_layer_sizes = hidden_layer_sizes
        self.image_shape = image_shape
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if not 0 <= real(self.dropout, "dropout") < 1:
            raise ValueError(f"dropout must lie in 0 <= dropout < 1, got {self.dropout!r}")
        flag(self.batch_norm, "batch_norm")
        count(self.kernel_size, "kernel_size")

    def _rows(self, X: Any, new: bool) -> Any:
        """Give images as rows, and note their shape; leave rows as they are."""
        given = getattr(X, "shape", None)
        if not isinstance(given, tuple):
            X = np.asarray(X) if isinstance(X, list | tuple) and np.ndim(X) > 2 else X
            given = np.shape(X) if isinstance(X, np.ndarray) else ()
        self._given = None
        if len(given) not in (3, 4):
            return X
        images = np.asarray(X)
        shape = (1, *given[1:]) if len(given) == 3 else given[1:]
        wanted = self._wanted() if new else self.image_shape_
        if wanted is not None and shape != wanted:
            raise ValueError(f"X must have images of shape {wanted}, got X.shape={given}")
        self._given = shape
        return images.reshape(len(images), math.prod(shape))

    def _wanted(self) -> tuple[int, ...] | None:
        """Read `image_shape`."""
        if self.image_shape is None:
            return None
        if not isinstance(self.image_shape, tuple | list) or len(self.image_shape) not in (2, 3):
            raise TypeError(f"image_shape must be (channels, height, width) or None, got {self.image_shape!r}")
        shape = tuple(count(size, "a size of image_shape") for size in self.image_shape)
        return shape if len(shape) == 3 else (1, *shape)

    def _architecture(self) -> Any:
        D = self.n_features_in_
        side = math.isqrt(D)
        shape = self._wanted() or self._given or ((1, side, side) if side * side == D else (1, 1, D))
        if math.prod(shape) != D:
            raise ValueError(f"image_shape={self.image_shape!r} has {math.prod(shape)} numbers, a row of X has {D}")
        blocks, hidden = sizes(self.filters, "filters"), sizes(self.hidden_layer_sizes, "hidden_layer_sizes")
        return shape, blocks, self.kernel_size, hidden, self.dropout, self.batch_norm, self.n_outputs_

    def _layers(self, dtype: np.dtype[Any], random: Any) -> dict[str, Any]:
        self.image_shape_, blocks, kernel, hidden, dropout, batch_norm, outputs = self._architecture()
        made = _Made(self.image_shape_, dtype, random)
        for filters in blocks:
            made.add_convolution(filters, kernel)
            made.add_relu(batch_norm)
            _, height, width = made.shape
            made.add(Pooling(min(2, height), min(2, width), stride=2))
        for units in hidden:
            made.add_affine(units)
            made.add_relu(batch_norm)
            if dropout:
                made.add(Dropout(dropout, seed=int(random.randint(2**31))))
        made.add_affine(outputs)
        return made.layers

    def _new_rule(self) -> Optimizer:
        return Adam(self.learning_rate_init)


class _Made:
    """Layers that are made one after another, each for the output shape of the one before."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], random: Any) -> None:
        self.shape, self.dtype, self.random = shape, dtype, random
        self.layers: dict[str, Any] = {}
        self.add(Reshape(shape))

    def add(self, layer: Any) -> None:
        """Append a layer."""
        number = 1 + sum(type(other) is type(layer) for other in self.layers.values())
        self.layers[f"{type(layer).__name__}{number}"] = layer
        *_, self.shape = layer._described(self.shape)

    def add_relu(self, batch_norm: bool) -> None:
        """Append a Relu, after a batch normalization of each channel if one is wanted."""
        if batch_norm:
            channels = self.shape[0]
            self.add(BatchNormalization(np.ones(channels, self.dtype), np.zeros(channels, self.dtype)))
        self.add(Relu())

    def add_convolution(self, filters: int, size: int) -> None:
        """Append a convolution that keeps height and width if the size of its filters is odd."""
        channels, _, width = self.shape
        size = min(size, 2 * width + 1)  # the sides of a larger one would meet only zeros
        W = self._weights((filters, channels, size, size), inputs=channels * size * size)
        self.add(Convolution(W, np.zeros(filters, self.dtype), pad=size // 2))

    def add_affine(self, units: int) -> None:
        """Append an Affine."""
        inputs = math.prod(self.shape)
        self.add(Affine(self._weights((inputs, units), inputs), np.zeros(units, self.dtype)))

    def _weights(self, shape: tuple[int, ...], inputs: int) -> FloatArray:
        W: FloatArray = (math.sqrt(2 / inputs) * self.random.standard_normal(shape)).astype(self.dtype)
        return W
