"""Networks: layers in a row, a loss at the end, and the gradient of every parameter by backpropagation.

`gradient` works as in the tutorial: ``forward`` through the layers, the loss, then ``backward`` through the layers in
reverse. `predict` and `accuracy`, which keep nothing, hand a whole network of known layers to Rust.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from chainrule._gate import FloatArray, all_writeable, examples
from chainrule.nn import engine, summary
from chainrule.nn.class_names import names_of
from chainrule.nn.evaluation import Evaluation
from chainrule.nn.gradients import numerical_gradient
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Affine, Identity, Layer, Rescaling
from chainrule.nn.layers.base import unwritten
from chainrule.nn.losses import Loss, SoftmaxWithLoss, accuracy_of
from chainrule.nn.parameters.layers import parameters
from chainrule.nn.parameters.named import Parameters
from chainrule.nn.parameters.networks import flush, gradients_of, names_in_network
from chainrule.nn.passes import repeatable, run, statistics
from chainrule.nn.sparse import SparseRows, by_blocks, is_sparse

if TYPE_CHECKING:
    from chainrule.graph.drawing import Graph


class Network:
    """Layers that run in order, and a last layer that turns scores and `t` into a loss.

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
        You may change it: a layer that you put in brings its own parameters.
    last_layer, lastLayer : object
        The loss layer, under two names; the second is the tutorial's.
    weight_decay_lambda : float
        λ of a penalty 0.5 λ ΣW², over all parameters with two axes or more, that `loss` adds and `gradient` takes into
        account; 0 at first. A network with a penalty runs by its own methods; the ``weight_decay`` of an optimizer
        makes the same steps in Rust.
    metadata : dict of str to str
        Notes that `save` writes beside the parameters and `load` brings back; empty at first. Under ``classes`` there
        may be a JSON list of the names of the classes, which tables and pictures of results then show.

    Raises
    ------
    TypeError
        If `layers` is not a mapping.

    Notes
    -----
    The parameters of the i-th layer that has any are called ``W1 b1``, ``W2 b2``, …; see `params` for the names in
    layers of your own.

    ``loss`` and ``gradient`` change what the layers remember, so only one thread at a time may call them. ``predict``
    and ``accuracy`` of known layers keep nothing and may run in many threads at once, but not while `fit` trains the
    same network: that raises a TypeError.

    A product with data that is mostly zeros skips the zeros: in `fit`, an infinite weight has no effect where the pixel
    is zero, unless the pixel beside it is not zero.

    Networks and layers can be pickled and deep-copied. Unpickle only files that you trust: pickle runs code.

    Examples
    --------
    >>> import numpy as np
    >>> from chainrule import Affine, Relu
    >>> net = Network({"Affine1": Affine(np.eye(2), np.zeros(2)), "Relu1": Relu()})
    >>> net.predict([[1.0, -1.0]])
    array([[1., 0.]])
    >>> list(net.gradient([[1.0, -1.0]], [0]))
    ['W1', 'b1']
    """

    weight_decay_lambda: float = 0.0

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
        ``net.params = {…}`` assigns each. An empty dict, as in the tutorial's ``__init__``, starts afresh. Assigning to
        a name that no layer's parameter has raises a KeyError, except in a class of your own, whose methods may use it.

        Notes
        -----
        In a layer of your own, these are parameters: ``W`` and ``b``; the arrays of a dict ``params``; and every float
        array that has a gradient beside it, as ``gamma`` has ``dgamma``, ``grad_gamma`` or ``grads["gamma"]``, in
        attributes, slots, dicts, lists and objects within the layer. Before the first ``backward``, the names in the
        code of the class decide. A read-only array is a constant; an array that ``forward`` stores anew in each pass is
        a cache.

        ``W``, ``b`` and the keys of ``params`` get the number of their layer as a suffix, counted among the layers that
        have such parameters. Every other name is counted by itself: ``gamma1`` is the first ``gamma`` of the network,
        ``params0_1`` the first ``params[0]``, ``inner.W1`` the first ``inner.W``.
        """
        held: Parameters = self._params
        known = set(map(id, held.values()))
        # A subclass may fill its params before it has layers, as the tutorial does, and may have params of its own.
        layers = getattr(self, "layers", {})
        held.complete = bool(layers) and type(self).__module__.startswith("chainrule.")
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
        """Hold those arrays of the layers that are not held yet."""
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
            # A layer put in between takes the name of the layer after it, which now has to move to the next name.

    def predict(self, x: Any) -> FloatArray:
        """Give the scores, before softmax.

        Parameters
        ----------
        x : array_like or sparse matrix, shape (N, ...) or (D,)
            N examples, or one. Of a sparse matrix, as SciPy's, some rows are made dense at a time.

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
        Runs in evaluation mode: it draws nothing at random and updates no running statistic. It keeps nothing in layers
        of this package; call `loss` to keep what ``backward`` needs.
        """
        if is_sparse(x):
            first = next(iter(self.params.values()), None)
            return by_blocks(self.predict, x, np.dtype(np.float64) if first is None else first.dtype)
        x = as_read(self, x)
        rows, one = batched(self, x)
        plan = engine.plan(self.layers, np.shape(rows))
        if plan is None:
            return self._forward(x, training=False)
        scores = plan.scores(examples(rows, plan.dtype))
        return scores[0] if one else scores

    def predict_proba(self, x: Any) -> FloatArray:
        """Give the probability of each class: the softmax of the scores, or their sigmoid with `SigmoidWithLoss`.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            As for `predict`.

        Returns
        -------
        ndarray, shape (N, C) or (C,)

        Raises
        ------
        TypeError, ValueError
            As for `predict`; also if the loss has no probabilities, or is one of your own.

        Examples
        --------
        >>> net = Network({"Affine1": Affine([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])})
        >>> net.predict_proba([[0.0, 0.0]])
        array([[0.5, 0.5]])
        """
        return self._known_loss().probabilities(self.predict(x))

    def predict_classes(self, x: Any) -> Any:
        """Give the class of the largest score; with `SigmoidWithLoss`, 1 or 0 for each answer.

        Parameters
        ----------
        x : array_like, shape (N, ...) or (D,)
            As for `predict`.

        Returns
        -------
        ndarray of int64, shape (N,); one number for one example
            With `SigmoidWithLoss`, it has the shape of the scores.

        Raises
        ------
        TypeError, ValueError
            As for `predict`; also if the loss has no classes, or is one of your own.
        """
        return self._known_loss().classes(self.predict(x))

    def evaluate(self, x: Any, t: Any) -> Evaluation:
        """Give the loss and the measure for a set of examples, and how well each class was recognized.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Returns
        -------
        Evaluation
            It prints as one line and a table of the classes.

        Raises
        ------
        TypeError, ValueError
            As for `loss`; also if the loss is one of your own.

        Notes
        -----
        The loss is computed in evaluation mode, as `fit` reports it: nothing is drawn at random, and no penalty is
        added.

        Examples
        --------
        >>> net = Network({"Affine1": Affine([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])})
        >>> print(net.evaluate([[2.0, 0.0], [0.0, 2.0], [1.0, 0.0]], [0, 1, 1]))
        3 examples: loss 0.5224, accuracy 0.6667
        class  precision  recall  examples
            0     0.5000  1.0000         1
            1     1.0000  0.5000         2
        """
        loss, scores = self._known_loss(), np.atleast_2d(self.predict(x))
        mean, score = loss.evaluate(scores, t)
        confusion, names = loss.confusion(scores, t), names_of(self, scores.shape[1])
        named = None if confusion is None or names is None else tuple(names)
        return Evaluation(len(scores), mean, loss.measure, score, confusion, named)

    def _known_loss(self) -> Loss:
        loss = engine.known_loss(self.last_layer)
        if loss is None:
            raise ValueError(f"{type(self.last_layer).__name__} is a loss of your own: only it knows what scores mean")
        return loss

    def loss(self, x: Any, t: Any, sample_weight: Any = None) -> float:
        """Give the mean loss of the examples `x` for the teaching signal `t`, in nats, in training mode.

        Parameters
        ----------
        x, t, sample_weight : array_like
            As for `gradient`.

        Raises
        ------
        TypeError
            If an argument does not hold real numbers.
        ValueError
            If a shape does not fit, the batch is empty, a label is out of range, or a weight is negative or not finite.

        Notes
        -----
        Layers run in training mode: `Dropout` draws a mask, and `BatchNormalization` updates its running statistics
        with the batch. A layer of your own is told the mode if its ``forward`` has an argument `train_flg` or
        `training`.
        """
        # A subclass that overrides predict expects its loss to follow. Our predict does not serve here: it keeps
        # nothing for backward, and it runs in evaluation mode.
        scores = self._forward(x) if engine.Ours(self).scores else self.predict(x)
        loss: float = self.last_layer.forward(scores, t, *_if_given(sample_weight))
        return loss + penalty(self) if self.weight_decay_lambda else loss

    def accuracy(self, x: Any, t: Any) -> float:
        """Give the share, 0.0-1.0, of examples whose largest score belongs to the right class.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids, or distributions, whose largest entry marks the right class.

        Raises
        ------
        ValueError
            If a shape does not fit, there are no examples, or a label is out of range.
        """
        loss = engine.known_loss(self.last_layer)
        if loss is None:
            return accuracy_of(self.predict(x), t)
        if loss.measure != "accuracy":
            raise ValueError(f"there is no accuracy with {type(loss).__name__}; net.score gives its {loss.measure}")
        return loss.accuracy(self.predict(x), t)

    def score(self, x: Any, t: Any) -> float:
        """Give the measure that belongs to the loss: the accuracy, or R² with `IdentityWithLoss`.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Raises
        ------
        ValueError
            If a shape does not fit, there are no examples, or `t` does not suit the loss.
        """
        loss = engine.known_loss(self.last_layer)
        if loss is None or loss.measure == "accuracy":
            return self.accuracy(x, t)
        return loss.evaluate(self.predict(x), t)[1]

    def gradient(self, x: Any, t: Any, sample_weight: Any = None) -> dict[str, FloatArray]:
        """Give the gradient of ``loss(x, t)`` with respect to each parameter, by backpropagation.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            Examples.
        t : array_like, shape (N,), (N, 1) or (N, C)
            Class ids or distributions.
        sample_weight : array_like, shape (N,), optional
            How much each example counts, >= 0; the mean is still taken over N. Only for a loss layer that takes it, as
            ours do.

        Returns
        -------
        dict of str to ndarray
            With the names and in the order of `params`, each gradient in the shape and dtype of its parameter.

        Raises
        ------
        TypeError, ValueError
            As for `loss`.
        RuntimeError
            If a layer's ``backward`` left no gradient beside one of its parameters.

        Notes
        -----
        Runs in training mode, as `loss` does.
        If a layer accumulates its gradients and has a method called ``zero_grad`` or similar, that method is called
        first.
        Source: the tutorial's "误差反向传播算法的实现".
        """
        flush(self.layers)
        layers, ours = list(self.layers.values()), engine.Ours(self)
        # Only our code runs between forward and backward, and it does not change x.
        same_x = ours.loss is not None and ours.layers
        with unwritten() if same_x else nullcontext():
            self.loss(x, t, *_if_given(sample_weight))

        dout = self.last_layer.backward(1)
        if batched(self, x)[1]:
            dout = dout[None]
        first = next((layer for layer in layers if parameters(layer, layers)), None)
        for layer in reversed(layers):
            if layer is first and isinstance(layer, Affine) and engine.knows(layer):
                layer.backward_parameters(dout, same_x=same_x)  # nobody reads its dx, and nothing before it matters
                break
            dout = layer.backward(dout)

        found = gradients_of(self.layers)
        gradient = {name: found[id(array)] for name, array in self.params.items() if id(array) in found}
        if decay := self.weight_decay_lambda:
            gradient |= {name: g + decay * self.params[name] for name, g in gradient.items() if g.ndim > 1}
        return gradient

    def numerical_gradient(self, x: Any, t: Any) -> dict[str, FloatArray]:
        """Give the gradient by central differences of ``loss(x, t)``, without ``backward``: slow, to check `gradient`.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Returns
        -------
        dict of str to ndarray of float64
            With the names, order and shapes of `params`.

        Raises
        ------
        TypeError, ValueError
            As for `loss`; also if a parameter is read-only.

        Notes
        -----
        Each loss uses the same masks of `Dropout` and starts from the same running statistics, which are restored at
        the end.
        """
        all_writeable(self.params)
        with repeatable(self.layers.values()) as back:

            def loss_of_parameter(_: FloatArray) -> float:
                back()
                return self.loss(x, t)  # the array was changed in place, in the layer

            return {name: numerical_gradient(loss_of_parameter, array) for name, array in self.params.items()}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to one safetensors file, which `load` reads.

        Parameters
        ----------
        path : path-like
            The file to write. An existing file is replaced atomically: a crash at any moment leaves either the old file
            or the new one, complete.

        Raises
        ------
        OSError
            If the file cannot be written; an existing file stays as it was.
        ValueError, TypeError
            If `metadata` does not consist of strings, the name of a layer is not a string, or the header would exceed
            1 MiB.

        Warns
        -----
        RuntimeWarning
            If the file is written but its folder could not be synced to disk; or if a layer of your own uses an array
            that is not a parameter, such as running statistics, and that the file does not hold.

        Notes
        -----
        The file holds the kinds, names and numbers of the layers, and also the class if it is `Network` or
        `TwoLayerNet`. Layers, a loss or a class of your own cannot be written. Their parameters, as `params` finds
        them, are written, and ``load(path, into=net)`` puts them into a network that you have made.
        """
        from chainrule.storage.model_files import save  # delegates: files know networks

        save(self, path)

    def graph(self, x: Any, t: Any) -> Graph:
        """Run forward and backward, and give the network as a graph to draw; a notebook shows the graph by itself.

        Parameters
        ----------
        x, t : array_like
            As for `gradient`.

        Returns
        -------
        Graph
            Each layer is a box with the shapes and norms of its parameters and of their gradients. The arrows show the
            shape and norm of the array that goes forward and, below, the norm of the gradient that comes back. In the
            SVG, a layer whose output is images shows the maps of the first example, at most 8, each in greys from its
            smallest number (white) to its largest (black).

        Raises
        ------
        TypeError, ValueError
            As for `loss`.
        RuntimeError
            If one layer object is in two places.

        Notes
        -----
        The layers' own ``forward`` and ``backward`` are called, as by `gradient`; a subclass's ``predict`` is not.

        Examples
        --------
        >>> import numpy as np
        >>> from chainrule import TwoLayerNet
        >>> net = TwoLayerNet(4, 3, 2, seed=0)
        >>> net.graph(np.ones((5, 4)), [0, 1, 0, 1, 0])
        Graph(6 nodes, 5 arrows)
        """
        from chainrule.graph.networks import graph_of  # delegates: graphs know networks

        return graph_of(self, as_read(self, x), t)

    def __repr__(self) -> str:
        """Give one line: the class, the numbers of layers and parameters, and the dtype."""
        return summary.in_a_line(self)

    def __str__(self) -> str:
        """Give a table with a line for each layer: its output shape and its parameters."""
        return summary.as_text(self)

    def _repr_html_(self) -> str:
        """Give the table for a notebook."""
        return summary.as_html(self)

    def _forward(self, x: Any, training: bool = True) -> FloatArray:
        """Give the scores by calling each layer's ``forward`` in turn, which keeps what ``backward`` needs."""
        out, one = batched(self, as_read(self, x))
        for layer in self.layers.values():
            out = run(layer, out, training)
        scores: FloatArray = out
        return scores[0] if one else scores


engine.remember(Network)


def as_read(net: Network, x: Any) -> Any:
    """Check `x` against the weights of `net` if it begins with an `Affine`; other layers check for themselves."""
    if isinstance(x, SparseRows):  # one row tells; it is made dense for that
        as_read(net, x[:1])
        return x
    first = next((layer for layer in net.layers.values() if type(layer) not in (Rescaling, Identity)), None)
    if type(first) is not Affine:
        return x
    x = examples(x, first.W.dtype)
    try:
        first.rows(x)
    except ValueError:  # once more, for a message with the name of the weights in this network
        first.rows(x, next(name for name, array in net.params.items() if array is first.W))
    return x


def batched(net: Network, x: Any) -> tuple[Any, bool]:
    """Give `x` with an axis for N, and whether that axis was added here: a single image becomes a batch of one.

    The first layer that can tell decides; a row of features passes through as it is.
    """
    for layer in net.layers.values():
        if type(layer) not in LAYERS:
            break
        answer = layer._one(np.shape(x))
        if answer is not None:
            return (np.asarray(x)[None], True) if answer else (x, False)
    return x, False


def name_params(net: Network, params: Mapping[str, FloatArray]) -> None:
    """Use these names for the arrays of the layers from now on."""
    net._params = Parameters(params)


def params_of(net: Any) -> dict[str, FloatArray]:
    """Give the parameters that belong to a layer; for an object without layers, all of its parameters."""
    if not isinstance(net, Network):
        return dict(net.params)
    used = {id(array) for layer in net.layers.values() for array in parameters(layer, net.layers.values()).values()}
    return {name: array for name, array in net.params.items() if id(array) in used}


def penalty(net: Any) -> float:
    """Give the penalty that weight decay adds to the loss."""
    decay = getattr(net, "weight_decay_lambda", 0.0) if isinstance(net, Network) else 0.0
    if not decay:
        return 0.0
    return 0.5 * decay * sum(float(np.sum(np.square(W, dtype=np.float64))) for W in net.params.values() if W.ndim > 1)


def statistics_of(net: Any) -> dict[str, FloatArray]:
    """Give our layers' running statistics under names such as ``running_mean1``, the first ``running_mean``."""
    counts: dict[str, int] = {}
    found = {}
    for name, array in statistics(net.layers.values() if isinstance(net, Network) else ()):
        counts[name] = counts.get(name, 0) + 1
        found[f"{name}{counts[name]}"] = array
    return found


def everything(net: Any) -> dict[str, FloatArray]:
    """Give the parameters and the running statistics: all arrays that determine what a network computes."""
    return {**net.params, **statistics_of(net)}


def expect_each_named(net: Network) -> None:
    """Raise ValueError if a parameter of a layer is not in ``net.params`` because another one has its name."""
    names = set(map(id, net.params.values()))
    for key, layer in net.layers.items():
        for part, array in parameters(layer, net.layers.values()).items():
            if id(array) not in names:
                raise ValueError(f"{part} of layer {key!r} is not in net.params: another parameter has its name there")


def _if_given(sample_weight: Any) -> tuple[Any, ...]:
    """Give the arguments to pass on: none without weights, because a user's own loss need not take them."""
    return () if sample_weight is None else (sample_weight,)
