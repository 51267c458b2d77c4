"""Pictures of a training run and of the network it made: curves, weights, feature maps, mistakes, confusion matrix.

Each function returns a matplotlib figure that is not part of any global state, so it needs no display and need not be
closed: a notebook shows it, ``figure.savefig("name.png")`` writes it. The colours of text, axes and background are
those of your own matplotlib style. matplotlib comes with the extra ``plot`` and is imported by the first call.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _gate
from chainrule._gate import FloatArray
from chainrule.graph.wording import thousands
from chainrule.nn.class_names import called, names_of
from chainrule.nn.functions import log_softmax
from chainrule.nn.layers import Convolution, LeakyRelu, Relu, Reshape, Sigmoid, Tanh
from chainrule.nn.losses import confusion_of
from chainrule.nn.network import Network, batched
from chainrule.nn.passes import run
from chainrule.training.history import History
from chainrule.training.rate_finder import LearningRates

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chainrule.plotting.figure import Figure

#: Each is at least three times as light as a dark page and as dark as a white one.
_BLUE, _RED, _GREEN, _GREY = "#3f83d1", "#d0541f", "#2a9468", "#8a94a0"
#: How the curve of each set of examples is drawn: they can be told apart without colours too.
_CURVES = {"train": (_BLUE, "-"), "validation": (_GREEN, "-."), "test": (_RED, "--")}

#: A curve with more points than this is drawn through the means over equal intervals: a screen shows no more.
_MOST_POINTS = 200
#: Up to this number of points, each one is marked.
_MOST_MARKED = 40
#: With more classes, the cells of a confusion matrix are too small for numbers.
_MOST_WRITTEN = 20
#: Most letters of one class name, and of all the names side by side under a confusion matrix.
_LONGEST, _MOST_LETTERS = 18, 60
#: Most letters of a class name under an image.
_LONGEST_BELOW = 12
#: Images per row, and inches for each with its gap.
_ACROSS, _INCHES = 10, 1.0

_ACTIVATIONS = (Relu, LeakyRelu, Sigmoid, Tanh)

#: How measures are written.
NAMES = {"accuracy": "accuracy", "r2": "R²"}


def plot_history(history: History) -> Figure:
    """Draw the course of a training run: the losses, and beside them accuracy or R².

    Parameters
    ----------
    history : History
        The result of `fit`. Curves without data are left out.

    Returns
    -------
    matplotlib.figure.Figure
        On the left the loss in nats, of the batches and of whole sets, on a logarithmic scale if it fell by a factor of
        more than ten; on the right the accuracies. The legends give the last values. With more than 200 steps (or
        epochs), means over equal intervals are drawn; for the steps, the range of each interval is shaded behind them.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `history` is not a History.
    ValueError
        If it has no steps.

    Examples
    --------
    >>> figure = plot_history(History(losses=[2.3, 1.1, 0.7, 0.4], steps=[2, 4], train_accuracy=[0.6, 0.9]))
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'accuracy']
    """
    expect_steps(history)
    panels = drawn_of(history)
    figure = _figure(5.2 * len(panels), 3.6)
    for axes, what in zip(
        figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.06})[0], panels, strict=True
    ):
        _draw_panel(axes, history, what)
    return figure


def plot_panel(history: History, what: str) -> Figure:
    """Draw one panel of `plot_history` by itself, for a narrow page; `what` is one of `drawn_of`."""
    figure = _figure(4.4, 3.3)
    _draw_panel(figure.subplots(), history, what)
    return figure


def plot_learning_rates(found: LearningRates) -> Figure:
    """Draw the losses of a run with a rising learning rate, and the suggested rate.

    Parameters
    ----------
    found : LearningRates
        The result of `find_learning_rate`.

    Returns
    -------
    matplotlib.figure.Figure
        The loss of each step's batch against its rate, raw and smoothed; a vertical line marks the suggestion. Losses
        that rose by more than they had fallen are cut off.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `found` is not a LearningRates.

    Examples
    --------
    >>> from chainrule import LearningRates
    >>> rates, losses = np.geomspace(1e-3, 10, 50), np.linspace(2, 1, 50)
    >>> figure = plot_learning_rates(LearningRates(rates, losses, losses, 1.0))
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_xscale()
    ('learning rate', 'log')
    """
    if not isinstance(found, LearningRates):
        raise TypeError(f"found must be what find_learning_rate gives, got {found!r}")
    figure = _figure(5.2, 3.6)
    axes = figure.subplots()
    axes.plot(found.rates, found.losses, color=_GREY, linewidth=1.0, label="batches")
    axes.plot(found.rates, found.smoothed, color=_BLUE, linewidth=1.6, label="smoothed")
    axes.axvline(found.suggestion, color=_RED, linestyle="--", label=f"suggestion {found.suggestion:g}")
    axes.set(xlabel="learning rate", ylabel="loss", xscale="log")
    lowest, first = found.losses.min(), found.losses[0]
    margin = 0.1 * (first - lowest)
    axes.set_ylim(lowest - margin, min(found.losses.max(), 2 * first - lowest) + margin)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize="small", loc="lower left")
    return figure


def plot_weights(net: Any, *, count: int | None = None, shape: tuple[int, int] | None = None) -> Figure:
    """Draw what each unit of the first layer responds to: the columns of its weights, or its filters, as images.

    Parameters
    ----------
    net : Network
        Or any object with ``params``; the first parameter with two axes, (D, M), or with four, (FN, C, FH, FW), is
        drawn.
    count : int, optional
        How many images to draw, starting with the first; 100 by default, or all if there are fewer.
    shape : (rows, columns), optional
        The shape of an image; ``rows * columns`` is D or FH·FW. By default a filter keeps its shape, and a column
        becomes a square.

    Returns
    -------
    matplotlib.figure.Figure
        Under each image is the number of its unit or filter, and of the channel if there are several. All share one
        scale, which covers all but the largest half percent of the weights shown. Columns: white is 0, red above, blue
        below; filters: mid-grey is 0, darker above, lighter below. Values that are not finite are left blank.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `net` has no parameters, or an argument is of the wrong kind.
    ValueError
        If there are no such weights, D is not a square number and `shape` is not given, or `shape` does not fit.

    Examples
    --------
    >>> from chainrule import SimpleConvNet, TwoLayerNet
    >>> plot_weights(TwoLayerNet(784, 50, 10, seed=0), count=20).axes[0].get_title(loc="left")
    'W1  784×50, the first 20 columns'
    >>> plot_weights(SimpleConvNet(seed=0)).axes[0].get_title(loc="left")
    'W1  30×1×5×5'
    """
    name, W = first_weights(net)
    what = "column" if W.ndim == 2 else "filter" if W.shape[1] == 1 else "channel"
    images = W.T if W.ndim == 2 else W.reshape(-1, *W.shape[2:])
    count = min(len(images), 100 if count is None else _gate.count(count, "count"))
    size = math.prod(images.shape[1:])
    rows, columns = _image_shape(size, shape or (None if W.ndim == 2 else W.shape[2:]), f"a {what} of {name}")

    figure, axes = _figure_of_tiles(count, rows / columns, lines=1, bar=True)
    images = images[:count].reshape(count, rows, columns)
    sizes = np.abs(images[np.isfinite(images)])
    # A few large weights would make all the others pale. All, or nearly all, may be 0.
    end = (sizes.size and float(np.quantile(sizes, 0.995))) or float(sizes.max(initial=0)) or 1.0
    captions = [f"{n // W.shape[1]}, {n % W.shape[1]}" if what == "channel" else str(n) for n in range(count)]
    drawn = _draw_tiles(axes, images, captions, lines=1)
    drawn.set(cmap="RdBu_r" if W.ndim == 2 else "gray_r", clim=(-end, end))
    all_of_them = len(W.T) if W.ndim == 2 else len(W) * W.shape[1]
    part = "" if count == all_of_them else f", the first {what}" if count == 1 else f", the first {count} {what}s"
    axes.set_title(f"{name}  {'×'.join(map(str, W.shape))}{part}", loc="left", parse_math=False)
    _draw_bar(figure, axes, drawn, "both", "weight")
    return figure


def plot_feature_maps(net: Network, x: Any, layer: str | None = None, *, count: int | None = None) -> Figure:
    """Draw the feature maps that a layer computes for one image.

    Parameters
    ----------
    net : Network
        A network with layers whose outputs are images.
    x : array_like, shape (C, H, W), (1, C, H, W), (D,) or (1, D)
        The image, as ``net.predict`` takes it.
    layer : str, optional
        The key in ``net.layers`` of the layer whose output is drawn; by default the activation after the first
        `Convolution`, or the convolution itself if none follows.
    count : int, optional
        How many maps to draw, starting with the first; 100 by default, or all if there are fewer.

    Returns
    -------
    matplotlib.figure.Figure
        Under each map is its number. All share one scale: the smallest value is white and the largest black. Values
        that are not finite are left blank.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `net` is not a Network, or an argument is of the wrong kind.
    ValueError
        If there is no such layer, its output is not images, or `x` is not one image that `net` takes.

    Notes
    -----
    The network runs in evaluation mode, and its layers stay as they are.

    Examples
    --------
    >>> from chainrule import SimpleConvNet
    >>> plot_feature_maps(SimpleConvNet(seed=0), np.eye(28)[None]).axes[0].get_title(loc="left")
    'Relu1  30 maps of 24×24'
    """
    name, maps = feature_maps(net, x, layer)
    total, rows, columns = maps.shape
    count = min(total, 100 if count is None else _gate.count(count, "count"))
    figure, axes = _figure_of_tiles(count, rows / columns, lines=1, bar=True)
    drawn = _draw_tiles(axes, maps[:count].astype(float), [str(n) for n in range(count)], lines=1)
    drawn.set_cmap("gray_r")
    number = "1 map" if total == 1 else f"{total} maps"
    part = "" if count == total else ", the first" if count == 1 else f", the first {count}"
    axes.set_title(f"{name}  {number} of {rows}×{columns}{part}", loc="left", parse_math=False)
    _draw_bar(figure, axes, drawn, "neither", "output")
    return figure


def plot_mistakes(net: Any, x: Any, t: Any, *, count: int = 20, shape: tuple[int, int] | None = None) -> Figure:
    """Draw the examples the network is most wrong about.

    Parameters
    ----------
    net : Network
        Or any object with ``predict(x)``.
    x : array_like, shape (N, D), (N, rows, columns) or (N, C, rows, columns)
        Examples that are images, in any unit; the smallest value is drawn white and the largest black. With several
        channels, their mean is drawn.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids, or distributions, whose largest entry is the right class.
    count : int, default 20
        The largest number of examples to draw.
    shape : (rows, columns), optional
        The shape of an image, with ``rows * columns == D``; by default that of `x`, or of the `Reshape` at the start of
        the network, or a square.

    Returns
    -------
    matplotlib.figure.Figure
        The worst come first: those whose right class got the least probability. Under each are the right class, the
        predicted one, and the probability of the prediction. Classes have the names in the network's metadata.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a shape does not fit, there are no examples, a label is out of range, or an example is not a square image
        and `shape` is not given.

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> x = np.random.default_rng(0).random((30, 16))
    >>> plot_mistakes(TwoLayerNet(16, 5, 3, seed=0), x, np.arange(30) % 3, count=4).axes[0].get_title(loc="left")
    'the 4 worst of 17 mistakes among 30 examples'
    """
    count = _gate.count(count, "count")
    x, one = np.atleast_2d(_gate.numbers(x, "x")), False
    if isinstance(net, Network):
        x, one = batched(net, x)
    wrong, right, predicted, probability, names = mistakes(net, x, np.asarray(t)[None] if one else t)
    x = _as_images(net, x, shape)
    rows, columns = x.shape[1:]

    shown = wrong[:count]
    numbered = all(len(name) < 3 for name in names)  # longer names go below each other
    lines = 2 if numbered else 3
    figure, axes = _figure_of_tiles(max(len(shown), 1), rows / columns, lines=lines)
    examples = "1 example" if len(x) == 1 else f"{thousands(len(x))} examples"
    found = "no mistake" if len(wrong) == 0 else "1 mistake" if len(wrong) == 1 else f"{thousands(len(wrong))} mistakes"
    head = found if len(wrong) <= count else f"the {count} worst of {found}"
    axes.set_title(f"{head} among {examples}", loc="left")
    if len(shown):
        named, seen = [_short(name, _LONGEST_BELOW) for name in names], ", seen as " if numbered else "\nas "
        captions = [f"{named[right[n]]}{seen}{named[predicted[n]]}\n{probability[n]:.1%}" for n in shown]
        drawn = _draw_tiles(axes, x[shown].astype(float), captions, lines=lines)
        drawn.set_cmap("gray_r")
    return figure


def plot_confusion(net: Any, x: Any, t: Any) -> Figure:
    """Draw the confusion matrix: how often each class was predicted as which.

    Parameters
    ----------
    net : Network
        Or any object with ``predict(x)``.
    x : array_like, shape (N, ...)
        Examples.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids, or distributions, whose largest entry is the right class.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each right class, a column for each predicted class. Each cell has the number of examples and, under
        it, their share of the row; empty cells are 0. Right predictions are blue, stronger for a larger share; mistakes
        are red, stronger the more frequent they are. With more than 20 classes, the numbers are left out, and so are
        the names from the network's metadata.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a shape does not fit, there are no examples, or a label is out of range.

    Examples
    --------
    >>> from chainrule import Affine, Network
    >>> net = Network({"Affine1": Affine(np.eye(2), np.zeros(2))})
    >>> figure = plot_confusion(net, [[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]], [0, 0, 1])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '50.0%', '1', '50.0%', '1', '100.0%']
    """
    counts = confusion(net, x, t)
    C = len(counts)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure = _figure(6.6, 6.8)
    axes = figure.subplots()
    _draw_cells(axes, counts, fractions)
    axes.set(xlim=(-0.5, C - 0.5), ylim=(C - 0.5, -0.5), aspect="equal", xlabel="predicted", ylabel="right class")
    step = -(-C // _MOST_WRITTEN)
    names = names_of(net, C)
    if names is None or step > 1:
        axes.set_xticks(range(0, C, step), minor=False)
        axes.set_yticks(range(0, C, step), minor=False)
    else:
        labels = [_short(name, _LONGEST) for name in names]
        turned = 90 if max(map(len, labels)) * C > _MOST_LETTERS else 0
        axes.set_xticks(range(C), labels, rotation=turned, parse_math=False)
        axes.set_yticks(range(C), labels, parse_math=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    accuracy = np.trace(counts) / counts.sum()
    axes.set_title(
        f"{thousands(np.trace(counts))} of {thousands(counts.sum())} right, accuracy {accuracy:.4f}", loc="left"
    )
    return figure


# --- what is drawn ---


def drawn_of(history: History) -> list[str]:
    """Name the panels for which a history has curves: the loss, and the one beside it."""
    return ["loss", *([] if history.measure is None else [history.measure])]


def expect_steps(history: Any) -> None:
    """Raise if `history` is not a History, or is empty."""
    if not isinstance(history, History):
        raise TypeError(f"history must be what fit gave, a History, got {type(history).__name__}")
    if not history.losses:
        raise ValueError("the history holds no step yet, so there is nothing to draw")


def first_weights(net: Any) -> tuple[str, FloatArray]:
    """Give the name of the first parameter with two or four axes, and its values."""
    if not hasattr(net, "params"):
        raise TypeError(f"net must be a Network or have its params, got {type(net).__name__}")
    for name, array in net.params.items():
        if np.ndim(array) in (2, 4) and np.size(array):
            return name, _gate.floats(array, name)
    raise ValueError(
        "the network has no weights with two axes, such as an Affine layer's W, or with four, such as a Convolution's,"
        " to draw"
    )


def feature_maps(net: Any, x: Any, layer: str | None = None) -> tuple[str, FloatArray]:
    """Give the key of a layer and its output for one image, (C, H, W)."""
    if not isinstance(net, Network):
        raise TypeError(f"net must be a Network, got {type(net).__name__}")
    name = activated(net) if layer is None else layer
    if name is None:
        raise ValueError("the network has no Convolution; layer=… names the layer whose maps are to be drawn")
    if name not in net.layers:
        raise ValueError(f"layer must be one of {', '.join(map(str, net.layers))}, got {name!r}")
    shape = np.shape(x)
    out, _ = batched(net, _gate.numbers(x, "x") if np.ndim(x) != 1 else np.atleast_2d(_gate.numbers(x, "x")))
    if len(out) != 1:
        raise ValueError(f"x must be one image, (C, H, W), or its row of pixels, got x.shape={shape}")
    for key, each in net.layers.items():
        out = run(copy.copy(each), out, training=False)  # a copy: the layer keeps what backward needs
        if key == name:
            break
    if np.ndim(out) != 4 or not np.size(out):
        raise ValueError(f"layer {name!r} gives no images, (N, C, H, W), but an array of shape {np.shape(out)}")
    return name, _gate.floats(out, f"what layer {name!r} gives")[0]


def activated(net: Network) -> str | None:
    """Give the key of the activation after the first convolution, or that of the convolution if none follows."""
    keys = list(net.layers)
    for key, following in zip(keys, [*keys[1:], None], strict=True):
        if isinstance(net.layers[key], Convolution):
            return following if following and isinstance(net.layers[following], _ACTIVATIONS) else key
    return None


def confusion(net: Any, x: Any, t: Any) -> NDArray[np.int64]:
    """Give the number of examples of each class (a row) that were predicted as each (a column), shape (C, C)."""
    return confusion_of(*_answers(net, x, t))


def mistakes(net: Any, x: Any, t: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], FloatArray, list[str]]:
    """Find the examples that are predicted wrong, the worst first.

    Returns their indices; the right class, the prediction and its probability for all examples; and the class names.

    The worst is the one whose right class got the least probability. Logarithms are compared, because many
    probabilities round to 1.
    """
    scores, right = _answers(net, x, t)
    each, predicted = np.arange(len(scores)), scores.argmax(axis=1)
    logarithms = np.asarray(log_softmax(scores.astype(np.float64)))
    order = np.argsort(np.nan_to_num(logarithms[each, right], nan=-np.inf), kind="stable")
    names = called(net, scores.shape[1])
    return order[(predicted != right)[order]], right, predicted, np.exp(logarithms[each, predicted]), names


def _short(name: str, longest: int) -> str:
    """Shorten the name of a class to the room there is."""
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _answers(net: Any, x: Any, t: Any) -> tuple[FloatArray, NDArray[Any]]:
    """Give the scores, (N, C), and the right classes, (N,)."""
    if not hasattr(net, "predict"):
        raise TypeError(f"net must be a Network or have its predict(x), got {type(net).__name__}")
    scores = _gate.floats(net.predict(x), "predict(x)")
    t, ids = _gate.targets(t, scores.shape, scores.dtype)
    if scores.size == 0:
        raise ValueError("there are no examples to look at")
    return np.atleast_2d(scores), t if ids else np.argmax(t, axis=1)


def _as_images(net: Any, x: NDArray[Any], shape: Any) -> NDArray[Any]:
    """Give examples as grey images, (N, rows, columns)."""
    first = next(iter(getattr(net, "layers", {}).values()), None)
    if x.ndim == 2 and isinstance(first, Reshape) and len(first.shape) == 3:
        x = x.reshape(len(x), *first.shape)
    if x.ndim == 4:
        x = x[:, 0] if x.shape[1] == 1 else x.mean(axis=1)
    size = math.prod(x.shape[1:])
    return x.reshape(len(x), *_image_shape(size, shape or (x.shape[1:] if x.ndim == 3 else None), "an example"))


def _image_shape(size: int, shape: Any, what: str) -> tuple[int, int]:
    """Give rows and columns of an image of `size` numbers."""
    if shape is None:
        side = math.isqrt(size)
        if side * side != size:
            raise ValueError(f"{what} has {size} numbers, which make no square image; give shape=(rows, columns)")
        return side, side
    if not (isinstance(shape, tuple | list) and len(shape) == 2):
        raise TypeError(f"shape must be a pair (rows, columns), got {shape!r}")
    rows, columns = (_gate.count(n, "a size in shape") for n in shape)
    if rows * columns != size:
        raise ValueError(f"{what} has {size} numbers, which do not fill an image of shape {(rows, columns)}")
    return rows, columns


# --- how ---


def _figure(width: float, height: float) -> Figure:
    """Give a figure of a size in inches."""
    # matplotlib is an extra that only pictures need.
    from chainrule.plotting.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _draw_panel(axes: Axes, history: History, what: str) -> None:
    """Draw the curves of the loss, or of the measure beside it."""
    curves = {name: getattr(history, f"{name}_{what}") for name in ("train", "validation", "test")}
    if what != "loss":
        _draw_epochs(axes, history.steps, curves)
        _finish(axes, NAMES[what])
        return
    means = _draw_batches(axes, history.losses)
    _draw_epochs(axes, history.steps, curves)
    _finish(axes, what)
    if means.min(initial=np.inf) > 0 and means.max(initial=0) > 10 * means.min(initial=np.inf):
        _make_logarithmic(axes)


def _draw_batches(axes: Axes, losses: Sequence[float]) -> FloatArray:
    """Draw the losses of the steps; return the finite values that were drawn."""
    middles, means, least, most, length = _stretches(losses)
    if length > 1:
        axes.fill_between(middles, least, most, color=_GREY, alpha=0.3, linewidth=0)
    label = f"batches, mean and range of {length}" if length > 1 else "batches"
    marker = "." if len(means) <= _MOST_MARKED else ""  # a line does not show a single point
    axes.plot(middles, means, marker=marker, color=_GREY, linewidth=1.4, label=label)
    finite: FloatArray = means[np.isfinite(means)]
    return finite


def _draw_epochs(axes: Axes, steps: Sequence[int], curves: dict[str, list[float]]) -> None:
    """Draw values that were taken after `steps`, under their names."""
    for name, values in curves.items():
        if values:
            colour, line = _CURVES[name]
            # While an epoch is being evaluated, its step is recorded but its value is not yet.
            x, y = _stretches(steps[: len(values)])[1], _stretches(values)[1]
            marker = "o" if len(values) <= _MOST_MARKED else ""
            axes.plot(
                x, y, line, color=colour, marker=marker, markersize=3.5, linewidth=1.6,
                label=f"{name} {values[-1]:.4f}",
            )  # fmt: skip


def _stretches(values: Sequence[float]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, int]:
    """Cut `values` into equal intervals; give their middles (from 1), means, minima and maxima, and the length."""
    a = np.asarray(values, dtype=np.float64)
    length = -(-len(a) // _MOST_POINTS)
    starts = np.arange(0, len(a), length)
    counts = np.diff(starts, append=len(a))
    with np.errstate(all="ignore"):  # values that are not finite make a gap
        means = np.add.reduceat(a, starts) / counts
    return starts + (counts + 1) / 2, means, np.minimum.reduceat(a, starts), np.maximum.reduceat(a, starts), length


def _finish(axes: Axes, what: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="step", ylabel=what)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.xaxis.set_major_formatter(lambda step, _: thousands(round(step)))
    axes.legend(frameon=False, fontsize="small", loc="upper right" if what == "loss" else "lower right")


def _make_logarithmic(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _figure_of_tiles(count: int, aspect: float, *, lines: int, bar: bool = False) -> tuple[Figure, Axes]:
    """Give a figure with room for `count` images, with `lines` lines of text under each."""
    across, down = min(count, _ACROSS), -(-count // _ACROSS)
    height = down * _INCHES * (aspect + 0.04 + 0.16 * lines) / 1.06 + 0.4
    figure = _figure(max(across * _INCHES, 4.5) + 0.8 * bar, max(height, 1.4))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_anchor("NW")
    return figure, axes


def _draw_tiles(axes: Axes, images: FloatArray, captions: Sequence[str], *, lines: int) -> Any:
    """Draw images of one shape in rows of ten, with a caption under each: a single picture with empty gaps."""
    count, rows, columns = images.shape
    across, down = min(count, _ACROSS), -(-count // _ACROSS)
    # A line of text is as high as 16 hundredths of an image is wide.
    wide = columns + max(1, round(0.06 * columns))
    high = rows + math.ceil(0.04 * columns + 0.16 * lines * columns)
    whole = np.full((down * high, across * wide), np.nan)
    for n, image in enumerate(images):
        y, x = high * (n // across), wide * (n % across)
        whole[y : y + rows, x : x + columns] = image
        axes.annotate(
            captions[n], (x + columns / 2 - 0.5, y + rows - 0.5), (0, -1.5), textcoords="offset points",
            fontsize=7.5, ha="center", va="top", linespacing=1.15, parse_math=False,
        )  # fmt: skip
    return axes.imshow(np.ma.masked_invalid(whole), interpolation="none")


def _draw_bar(figure: Figure, axes: Axes, drawn: Any, extend: str, what: str) -> None:
    """Draw the scale of the tiles beside them."""
    bar = figure.colorbar(drawn, cax=axes.inset_axes((1.015, 0, 0.015, 1)), extend=extend, label=what)
    bar.outline.set_visible(False)


def _draw_cells(axes: Axes, counts: NDArray[Any], fractions: FloatArray) -> None:
    """Draw the cells, and the numbers that are not 0; more frequent mistakes get a stronger colour."""
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import to_rgba
    from matplotlib.patches import Rectangle

    right = np.eye(len(counts), dtype=bool)
    most = fractions[~right].max(initial=0)
    large = len(counts) <= _MOST_WRITTEN
    side = 0.96 if large else 1.0  # gaps between small cells would come and go with the pixels
    squares, colours = [], []
    for (i, j), n in np.ndenumerate(counts):
        strength = fractions[i, j] if i == j else fractions[i, j] / most if n else 0.0
        squares.append(Rectangle((j - side / 2, i - side / 2), side, side))
        # Never so strong that the text on it cannot be read.
        colours.append(to_rgba(_GREY if n == 0 else _BLUE if i == j else _RED, 0.08 + 0.62 * float(strength)))
    axes.add_collection(PatchCollection(squares, facecolors=colours, edgecolors="none", antialiased=large))
    if not large:
        return
    size = min(11.0, 95 / len(counts))
    for i, j in np.argwhere(counts):
        axes.text(j, i + 0.04, thousands(counts[i, j]), ha="center", va="bottom", fontsize=size)
        axes.text(j, i + 0.12, f"{fractions[i, j]:.1%}", ha="center", va="top", fontsize=0.68 * size)
