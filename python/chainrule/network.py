"""Networks: layers in a row, a loss at the end, and the gradient of every parameter by walking back.

The way through `gradient` is the tutorial's: ``forward`` through the layers, the loss, ``backward`` through them in
reverse. `predict` and `accuracy`, which keep nothing, hand a network of known layers to Rust whole.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from chainrule import _engine, _kernels
from chainrule._gate import (
    FloatArray,
    all_writeable,
    count,
    examples,
    fill,
    fitting,
    floats,
    generator,
    real,
    shape,
    targets,
)
from chainrule.gradients import numerical_gradient
from chainrule.layer_parameters import parameters
from chainrule.layers import Affine, Identity, Layer, Relu, Rescaling, SoftmaxWithLoss
from chainrule.network_parameters import flush, gradients_of, names_in_network

if TYPE_CHECKING:
    from chainrule.graph.drawing import Graph


#: Rows whose losses are taken in one go.
_ROWS = 4096


class Parameters(dict[str, Any]):
    """Parameters by name. Assigning to a name copies into the array that is held there, so it reaches the layer.

    Raises
    ------
    ValueError
        On assignment, if the shape differs or the held array is read-only. Nothing is changed then.
    TypeError
        On assignment of something that does not hold real numbers.

    Examples
    --------
    >>> W = np.zeros(2)
    >>> params = Parameters(W1=W)
    >>> params["W1"] = [3, 4]
    >>> W
    array([3., 4.])
    """

    def __setitem__(self, name: str, value: Any) -> None:
        if name in self:
            fill(self[name], value, f"params[{name!r}]")
        else:
            super().__setitem__(name, value)

    def update(self, *others: Any, **values: Any) -> None:
        """Assign each of the values, as ``params[name] = value`` does.

        Parameters
        ----------
        *others, **values
            As for ``dict.update``; the values array_like, each in the shape of the array that is held.

        Raises
        ------
        TypeError, ValueError
            As ``params[name] = value``.
        """
        # All are looked at before the first is changed.
        ready = {
            name: fitting(self[name], value, f"params[{name!r}]") if name in self else value
            for name, value in dict(*others, **values).items()
        }
        for name, value in ready.items():
            if name in self:
                np.copyto(self[name], value)
            else:
                self.hold(name, value)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]  # any mapping, as in update
        self.update(other)
        return self

    def hold(self, name: str, array: FloatArray) -> None:
        """Make `array` itself the parameter `name`.

        Parameters
        ----------
        name : str
            Known or new.
        array : ndarray, any shape, float32 or float64
            Held, not copied.
        """
        super().__setitem__(name, array)


class Network:
    """Layers called in order, and a last layer that turns scores and `t` into a loss.

    Parameters
    ----------
    layers : mapping of str to layer
        In the order of ``forward``. Any object with ``forward(x)`` and ``backward(dout)`` is a layer.
    last_layer : object, optional
        ``forward(scores, t)`` gives the loss and ``backward(dout)`` the gradient of the scores; `SoftmaxWithLoss` by
        default.

    Attributes
    ----------
    layers : OrderedDict
        May be changed: a layer replaced here brings its own parameters with it.
    last_layer, lastLayer : object
        The loss. Two names, the second the tutorial's.
    metadata : dict of str to str
        Notes that `save` writes beside the parameters and `load` brings back; empty to begin with.

    Raises
    ------
    TypeError
        If `layers` is not a mapping.

    Notes
    -----
    The parameters of the i-th layer that has any are called ``W1 b1``, ``W2 b2``, …; see `params` for those of layers
    of your own.

    ``loss`` and ``gradient`` leave in the layers what the layers remember, so one thread at a time may call them;
    ``predict`` and ``accuracy`` of known layers keep nothing and may run in many at once, but not while `fit` trains
    the same network: that is refused with a TypeError.

    A product with data that is mostly zeros skips them: in `fit`, an infinite weight is not seen through a zero pixel,
    unless the pixel beside it is not zero.

    Networks and layers can be pickled and deep-copied. Unpickle only what you trust: pickle runs code.

    Examples
    --------
    >>> net = Network({"Affine1": Affine(np.eye(2), np.zeros(2)), "Relu1": Relu()})
    >>> net.predict([[1.0, -1.0]])
    array([[1., 0.]])
    >>> list(net.gradient([[1.0, -1.0]], [0]))
    ['W1', 'b1']
    """

    def __init__(self, layers: Mapping[str, Layer], last_layer: Any = None) -> None:
        if not isinstance(layers, Mapping):
            raise TypeError(f"layers must be a mapping of names to layers, got {type(layers).__name__}")
        self.layers: OrderedDict[str, Any] = OrderedDict(layers)
        self.lastLayer = SoftmaxWithLoss() if last_layer is None else last_layer
        self.metadata: dict[str, str] = {}
        self.params = {}

    @property
    def last_layer(self) -> Any:
        """The loss layer."""
        return self.lastLayer

    @last_layer.setter
    def last_layer(self, layer: Any) -> None:
        self.lastLayer = layer

    @property
    def params(self) -> Parameters:
        """The parameters by name: the very arrays the layers hold.

        ``net.params["W1"] = other`` copies `other` into the array; ``net.params["W1"] -= step`` changes it in place;
        ``net.params = {…}`` assigns each. An empty dict, as in the tutorial's ``__init__``, starts anew.

        Notes
        -----
        Of a layer of your own, parameters are: ``W`` and ``b``; the arrays of a dict ``params``; and every float array
        that has a gradient beside it, as ``gamma`` has ``dgamma``, ``grad_gamma`` or ``grads["gamma"]``, in attributes,
        slots, dicts, lists and objects within the layer. Before the first ``backward`` the names in the code of the
        class tell. A read-only array is a constant; what ``forward`` stores anew in each pass is a cache.

        ``W``, ``b`` and keys of ``params`` have the number of their layer behind them, among the layers that have such.
        Every other name is counted by itself: ``gamma1`` is the first ``gamma`` of the network, ``params0_1`` the first
        ``params[0]``, ``inner.W1`` the first ``inner.W``.
        """
        held: Parameters = self._params
        known = set(map(id, held.values()))
        # A subclass may fill its params before it has layers, as the tutorial does.
        layers = getattr(self, "layers", {})
        for layer in layers.values():
            for array in parameters(layer, layers.values()).values():
                if id(array) not in known:  # the network is new, or a layer was replaced
                    self._name_anew()
                    return held
        return held

    @params.setter
    def params(self, values: Mapping[str, Any]) -> None:
        if values and "_params" in self.__dict__:
            self.params.update(values)
        else:
            self._params = Parameters(values)

    def _name_anew(self) -> None:
        """Hold the arrays of the layers that are not held yet."""
        held = self._params
        wanted = names_in_network(self.layers)
        for _ in range(1 + len(self.layers)):
            known = set(map(id, held.values()))
            before = len(known)
            for name, array in wanted:
                if id(array) not in known:
                    held.hold(name, array)
                    known.add(id(array))
            if len(known) == before:
                break
            # Of a layer put in between, the name was that of the layer behind it, which now has to have the next.

    def predict(self, x: Any) -> FloatArray:
        """Give the scores, before softmax.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            N examples, or one.

        Returns
        -------
        ndarray, shape (N, C) or (C,)
            In the dtype of the parameters.

        Raises
        ------
        TypeError
            If `x` does not hold real numbers.
        ValueError
            If an example does not have as many numbers as the first layer expects.

        Notes
        -----
        Keeps nothing in layers of this package: call `loss` for what ``backward`` needs.
        """
        plan = _engine.plan(self.layers)
        if plan is None:
            return self._forward(x)
        return plan.scores(examples(as_read(self, x), plan.dtype))

    def loss(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Give the mean loss of the examples `x` for the teaching signal `t`, in nats.

        Parameters
        ----------
        x, t, sample_weight : array_like
            As for `gradient`.

        Raises
        ------
        TypeError
            If any of them does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, a label is out of range, or a weight negative or not finite.
        """
        # A subclass that changed predict means its loss to follow. Ours keeps nothing, and backward needs what the
        # layers keep.
        ours = _engine.unchanged(self, {"predict": Network.predict})
        scores = self._forward(x) if ours else self.predict(x)
        loss: float = self.last_layer.forward(scores, t, *_if_given(sample_weight))
        return loss

    def accuracy(self, x: Any, t: Any) -> float:
        """Give the share, 0.0-1.0, of examples whose largest score is that of the right class.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions, whose largest entry is the right class.

        Raises
        ------
        ValueError
            If a shape does not fit, there are no examples, or a label is out of range.
        """
        return accuracy_of(self.predict(x), t)

    def gradient(self, x: Any, t: Any, sample_weight: Any = None) -> dict[str, FloatArray]:
        """Give the gradient of ``loss(x, t)`` with respect to each parameter, by backpropagation.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids or distributions.
        sample_weight : array_like, shape (N,), optional
            How often each example counts, >= 0; the mean is still taken over N. Only for a loss layer that takes it, as
            ours does.

        Returns
        -------
        dict of str to ndarray
            In the names and the order of `params`, each in the shape and dtype of its parameter.

        Raises
        ------
        TypeError, ValueError
            As `loss`.
        RuntimeError
            If a layer's ``backward`` has left no gradient beside one of its parameters.

        Notes
        -----
        A layer that adds up its gradients, and has a method called ``zero_grad`` or alike, is told to forget them.
        Source: the tutorial's "误差反向传播算法的实现".
        """
        flush(self.layers)
        self.loss(x, t, *_if_given(sample_weight))

        dout = self.last_layer.backward(1)
        layers = list(self.layers.values())
        first = next((layer for layer in layers if parameters(layer, layers)), None)
        # Between forward and backward no code but ours has run, which changes no x.
        ours = _engine.unchanged(self, {"predict": Network.predict, "loss": Network.loss})
        same_x = ours and all(map(_engine.knows, (*layers, self.last_layer)))
        for layer in reversed(layers):
            if layer is first and isinstance(layer, Affine) and _engine.knows(layer):
                layer._backward_parameters(dout, same_x=same_x)  # its dx nobody reads, nor anything before it
                break
            dout = layer.backward(dout)

        found = gradients_of(self.layers)
        return {name: found[id(array)] for name, array in self.params.items() if id(array) in found}

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give what `gradient` should give, by central differences of ``loss(x, t)``: slow, and without ``backward``.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Returns
        -------
        dict of str to ndarray of float64
            In the names, order and shapes of `params`.

        Raises
        ------
        TypeError, ValueError
            As `loss`, or if a parameter is read-only.
        """

        def loss_of_parameter(_: FloatArray) -> float:
            return self.loss(x, t)  # the array was changed in place, in the layer

        all_writeable(self.params)
        return {name: numerical_gradient(loss_of_parameter, array) for name, array in self.params.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one safetensors file, which `load` reads.

        Parameters
        ----------
        path : path-like
            What is there is replaced in one act: a crash at any moment leaves the old file or the new one, whole.

        Raises
        ------
        OSError
            If the file cannot be written; what was there is as it was.
        ValueError, TypeError
            If `metadata` or a name of a layer does not consist of strings, or the header would exceed 1 MiB.

        Warns
        -----
        RuntimeWarning
            If the file is written but the folder could not be brought to the disk; or if a layer of your own goes by an
            array that is no parameter, as running statistics, and the file does not hold it.

        Notes
        -----
        Kinds, names and numbers of the layers go into the file, and so does the class, if it is `Network` or
        `TwoLayerNet`. Layers, a loss or a class of your own cannot be written; their parameters are, as `params` finds
        them, and ``load(path, into=net)`` puts them into a network you have made.
        """
        from chainrule.keeping import save

        save(self, path)

    def graph(self, x: Any, t: Any) -> Graph:
        """Run forward and backward, and give the network as a graph to be drawn; a notebook shows it by itself.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Returns
        -------
        Graph
            A box for each layer with shapes and the norms of its parameters and their gradients; on the arrows shape
            and norm of what goes forward, under them the norm of the gradient that comes back.

        Raises
        ------
        TypeError, ValueError
            As `loss`.
        RuntimeError
            If one layer object stands in two places.

        Notes
        -----
        The layers' own ``forward`` and ``backward`` are called, as by `gradient`; a subclass's ``predict`` is not.

        Examples
        --------
        >>> net = TwoLayerNet(4, 3, 2, seed=0)
        >>> net.graph(np.ones((5, 4)), [0, 1, 0, 1, 0])
        Graph(6 nodes, 5 arrows)
        """
        from chainrule.graph.networks import graph_of

        return graph_of(self, as_read(self, x), t)

    def _forward(self, x: Any) -> FloatArray:
        """Give the scores by ``forward`` of each layer in turn, which keeps what ``backward`` needs."""
        out: FloatArray = as_read(self, x)
        for layer in self.layers.values():
            out = layer.forward(out)
        return out


def as_read(net: Network, x: Any) -> Any:
    """Check `x` against the first weights of `net`, where they can be named; any other layer checks for itself."""
    first = next((layer for layer in net.layers.values() if type(layer) not in (Rescaling, Identity)), None)
    if type(first) is not Affine:
        return x
    x = examples(x, first.W.dtype)
    try:
        first.rows(x)
    except ValueError:  # the same again, with the name the weights have in this network
        first.rows(x, next(name for name, array in net.params.items() if array is first.W))
    return x


def params_of(net: Any) -> dict[str, FloatArray]:
    """Give the parameters that belong to a layer; of an object that has no layers, all."""
    if not isinstance(net, Network):
        return dict(net.params)
    used = {id(array) for layer in net.layers.values() for array in parameters(layer, net.layers.values()).values()}
    return {name: array for name, array in net.params.items() if id(array) in used}


def expect_each_named(net: Network) -> None:
    """Raise ValueError if a parameter of a layer is not among ``net.params``, because two would have one name."""
    names = set(map(id, net.params.values()))
    for key, layer in net.layers.items():
        for part, array in parameters(layer, net.layers.values()).items():
            if id(array) not in names:
                raise ValueError(f"{part} of layer {key!r} is not among net.params: another has its name there")


def _if_given(sample_weight: Any) -> tuple[Any, ...]:
    """Give what to pass on: nothing to a loss of the user's own, which need not know of weights, unless there are."""
    return () if sample_weight is None else (sample_weight,)


def loss_and_accuracy(scores: FloatArray, t: Any) -> tuple[float, float]:
    """Give the mean cross entropy of `scores`, in nats, and their accuracy; arguments as for `accuracy_of`."""
    scores = floats(scores, "scores")  # those of a layer of the user's own may come in any layout
    ordered, ids = targets(t, scores.shape, scores.dtype)
    loss = 0.0
    # The kernel writes the softmax and the gradient too: of a few rows at a time, they stay in the cache.
    y, dx = np.empty_like(scores[:_ROWS]), np.empty_like(scores[:_ROWS])
    for start in range(0, len(scores), _ROWS):
        block = scores[start : start + _ROWS]
        n = len(block)
        loss += n * _kernels.loss("softmax", block, ordered[start : start + n], y[:n], dx[:n])
    return loss / len(scores), _share_of_right(scores, ordered, ids)


def accuracy_of(scores: FloatArray, t: Any) -> float:
    """Give the share, 0.0-1.0, of rows whose largest score is that of the right class.

    Parameters
    ----------
    scores : ndarray, shape (N, C) or (C,)
        As `Network.predict` gives them.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids or distributions.

    Raises
    ------
    ValueError
        If a shape does not fit, there are no examples, or a label is out of range.
    """
    t, ids = targets(t, scores.shape, scores.dtype)
    if scores.size == 0:
        raise ValueError("the accuracy of an empty batch is not defined")
    return _share_of_right(scores, t, ids)


def _share_of_right(scores: FloatArray, ordered: Any, ids: bool) -> float:
    right = ordered if ids else np.argmax(ordered, axis=1)
    return float(np.mean(np.argmax(np.atleast_2d(scores), axis=1) == right))


def confusion_of(scores: FloatArray, ids: NDArray[Any]) -> NDArray[np.int64]:
    """Give how many examples of each class (a row) have their largest score in each (a column), shape (C, C).

    Parameters
    ----------
    scores : ndarray, shape (N, C)
        As `Network.predict` gives them.
    ids : ndarray of int, shape (N,)
        Class ids that have been checked.
    """
    C = scores.shape[1]
    return np.bincount(ids.astype(np.int64) * C + scores.argmax(axis=1), minlength=C * C).reshape(C, C)


class TwoLayerNet(Network):
    """The tutorial's network: Affine, Relu, Affine, and softmax with cross entropy.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        D, H and C: features, hidden units, classes.
    weight_init_std : float, default 0.01
        The weights are drawn from a normal distribution of this standard deviation; the biases are 0.
    dtype : numpy.float64 or numpy.float32, keyword-only
        What the network holds and computes in.
    seed : int or numpy.random.Generator, optional, keyword-only
        By default the weights come from NumPy's global generator, W1 first, so that a script that calls
        ``np.random.seed(0)`` gets the tutorial's numbers.

    Attributes
    ----------
    params : dict of str to ndarray
        ``W1`` (D, H), ``b1`` (H,), ``W2`` (H, C), ``b2`` (C,).
    layers : OrderedDict
        ``Affine1``, ``Relu1``, ``Affine2``.

    Raises
    ------
    TypeError
        If a size is not a whole number or `dtype` not one of the two.
    ValueError
        If a size is not positive, or a weight matrix would not fit in the address space.
    MemoryError
        If it does not fit in the memory there is.

    Notes
    -----
    scores = max(x W1 + b1, 0) W2 + b2,  loss = mean of -log softmax(scores)[t].
    Source: the tutorial's "误差反向传播算法的实现".

    Examples
    --------
    >>> net = TwoLayerNet(784, 50, 10, seed=0)
    >>> x, t = np.zeros((3, 784)), np.array([5, 0, 4])
    >>> round(net.loss(x, t), 4)  # nothing learnt: log 10
    2.3026
    >>> {name: gradient.shape for name, gradient in net.gradient(x, t).items()}
    {'W1': (784, 50), 'b1': (50,), 'W2': (50, 10), 'b2': (10,)}
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        weight_init_std: float = 0.01,
        *,
        dtype: Any = np.float64,
        seed: int | np.random.Generator | None = None,
    ) -> None:
        kind = np.dtype(np.void if dtype is None else dtype)
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise TypeError(f"dtype must be float32 or float64, got {kind}")
        W1_shape = shape("W1", count(input_size, "input_size"), count(hidden_size, "hidden_size"), dtype=kind)
        W2_shape = shape("W2", hidden_size, count(output_size, "output_size"), dtype=kind)
        std = real(weight_init_std, "weight_init_std")
        # The legacy generator and the new one agree on this much: standard_normal(size).
        rng: Any = np.random if seed is None else generator(seed)

        W1, b1 = floats(std * rng.standard_normal(W1_shape), "W1", kind), np.zeros(hidden_size, kind)
        W2, b2 = floats(std * rng.standard_normal(W2_shape), "W2", kind), np.zeros(output_size, kind)
        super().__init__({"Affine1": Affine(W1, b1), "Relu1": Relu(), "Affine2": Affine(W2, b2)})
