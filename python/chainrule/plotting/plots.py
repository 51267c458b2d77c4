"""Pictures of a training run and of the network it made: curves, first-layer weights, mistakes, confusion.

Each function gives a matplotlib figure that no global state knows, so it needs no display and nothing to be closed: a
notebook shows it, ``figure.savefig("name.png")`` writes it. The colours of text, axes and paper are those of your own
matplotlib style. matplotlib comes with the extra ``plot`` and is imported by the first call.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule import _gate
from chainrule._gate import FloatArray
from chainrule.graph.wording import thousands
from chainrule.nn.functions import log_softmax
from chainrule.nn.losses import confusion_of
from chainrule.training.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from chainrule.plotting.figure import Figure

#: Each is at least three times as light as a dark page and as dark as a white one.
_BLUE, _RED, _GREEN, _GREY = "#3f83d1", "#d0541f", "#2a9468", "#8a94a0"
#: How the curve of each set of examples is drawn: told apart without colours too.
_CURVES = {"train": (_BLUE, "-"), "validation": (_GREEN, "-."), "test": (_RED, "--")}

#: A curve of more points than this is drawn by the means of equal stretches: a screen shows no more.
_MOST_POINTS = 200
#: Of so many points each is marked.
_MOST_MARKED = 40
#: In a table of more classes the cells are too small for numbers.
_MOST_WRITTEN = 20
#: Images side by side, and inches for each with its gap.
_ACROSS, _INCHES = 10, 1.0

#: How measures are written.
NAMES = {"accuracy": "accuracy", "r2": "R²"}


def plot_history(history: History) -> Figure:
    """Draw what a training run did: the losses, and beside them accuracy or R².

    Parameters
    ----------
    history : History
        What `fit` gave. Curves for which it holds nothing are left out.

    Returns
    -------
    matplotlib.figure.Figure
        Left the loss in nats, of the batches and of whole sets, on a logarithmic scale if it fell by more than ten
        times; right the shares of right answers. The legends give the last values. Of more than 200 steps (or
        epochs) means of equal stretches are drawn, of the steps with their range behind them.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `history` is no History.
    ValueError
        If it holds no step.

    Examples
    --------
    >>> figure = plot_history(History(losses=[2.3, 1.1, 0.7, 0.4], steps=[2, 4], train_accuracy=[0.6, 0.9]))
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'accuracy']
    """
    expect_steps(history)
    losses = {"train": history.train_loss, "validation": history.validation_loss, "test": history.test_loss}
    measure = history.measure
    panels = 1 if measure is None else 2
    figure = _figure(5.2 * panels, 3.6)
    left, *rest = figure.subplots(1, panels, squeeze=False, gridspec_kw={"wspace": 0.06})[0]

    means = _draw_batches(left, history.losses)
    _draw_epochs(left, history.steps, losses)
    _finish(left, "loss")
    if means.min(initial=np.inf) > 0 and means.max(initial=0) > 10 * means.min(initial=np.inf):
        _make_logarithmic(left)
    for right in rest:
        _draw_epochs(right, history.steps, {name: getattr(history, f"{name}_{measure}") for name in losses})
        _finish(right, NAMES[str(measure)])
    return figure


def plot_weights(net: Any, *, count: int | None = None, shape: tuple[int, int] | None = None) -> Figure:
    """Draw what each unit of the first layer looks at: the columns of its weights as images.

    Parameters
    ----------
    net : Network
        Or any object with ``params``; the first parameter with two axes, (D, M), is drawn.
    count : int, optional
        How many columns, from the first on; 100 by default, or as many as there are.
    shape : (rows, columns), optional
        Of an image, with ``rows * columns == D``; by default it is a square.

    Returns
    -------
    matplotlib.figure.Figure
        Under each image the number of its unit. One scale for all: white is 0, red above, blue below; all but the
        largest half percent of the weights shown lie within it. What is not finite is left blank.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If `net` has no parameters, or an argument is of the wrong kind.
    ValueError
        If there is no matrix, D is no square and `shape` is not given, or `shape` does not fit.

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> plot_weights(TwoLayerNet(784, 50, 10, seed=0), count=20).axes[0].get_title(loc="left")
    'W1  784×50, the first 20 columns'
    """
    name, W = first_matrix(net)
    D, M = W.shape
    count = min(M, 100 if count is None else _gate.count(count, "count"))
    rows, columns = _image_shape(D, shape, f"a column of {name}")

    figure, axes = _figure_of_tiles(count, rows / columns, lines=1, bar=True)
    images = W[:, :count].T.reshape(count, rows, columns)
    sizes = np.abs(images[np.isfinite(images)])
    # A few large weights would make all others pale. All, or nearly all, may be 0.
    end = (sizes.size and float(np.quantile(sizes, 0.995))) or float(sizes.max(initial=0)) or 1.0
    drawn = _draw_tiles(axes, images, [str(n) for n in range(count)], lines=1)
    drawn.set(cmap="RdBu_r", clim=(-end, end))
    part = "" if count == M else ", the first column" if count == 1 else f", the first {count} columns"
    axes.set_title(f"{name}  {D}×{M}{part}", loc="left", parse_math=False)
    bar = figure.colorbar(drawn, cax=axes.inset_axes((1.015, 0, 0.015, 1)), extend="both", label="weight")
    bar.outline.set_visible(False)
    return figure


def plot_mistakes(net: Any, x: Any, t: Any, *, count: int = 20, shape: tuple[int, int] | None = None) -> Figure:
    """Draw the examples the network is most wrong about.

    Parameters
    ----------
    net : Network
        Or any object with ``predict(x)``.
    x : array_like, shape (N, D), (N, rows, columns) or (N, 1, rows, columns)
        Examples that are grey images, in any unit; the least number is drawn white and the largest black.
    t : array_like, shape (N,), (N, 1) or (N, C)
        Class ids, or distributions, whose largest entry is the right class.
    count : int, default 20
        How many at most.
    shape : (rows, columns), optional
        Of an image, with ``rows * columns == D``; by default as `x` has it, or a square.

    Returns
    -------
    matplotlib.figure.Figure
        The worst first: those whose right class got the least probability. Under each the right class, the predicted
        one, and the probability of the prediction.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If a shape does not fit, there are no examples, a label is out of range, or an example is no square image and
        `shape` is not given.

    Examples
    --------
    >>> from chainrule import TwoLayerNet
    >>> x = np.random.default_rng(0).random((30, 16))
    >>> plot_mistakes(TwoLayerNet(16, 5, 3, seed=0), x, np.arange(30) % 3, count=4).axes[0].get_title(loc="left")
    'the 4 worst of 17 mistakes among 30 examples'
    """
    count = _gate.count(count, "count")
    x = np.atleast_2d(_gate.numbers(x, "x"))
    wrong, right, predicted, probability = mistakes(net, x, t)
    axes_of_image = x.shape[1:] if x.ndim == 3 else x.shape[2:] if x.ndim == 4 and x.shape[1] == 1 else None
    rows, columns = _image_shape(math.prod(x.shape[1:]), shape or axes_of_image, "an example")

    shown = wrong[:count]
    figure, axes = _figure_of_tiles(max(len(shown), 1), rows / columns, lines=2)
    examples = "1 example" if len(x) == 1 else f"{len(x)} examples"
    found = "no mistake" if len(wrong) == 0 else "1 mistake" if len(wrong) == 1 else f"{len(wrong)} mistakes"
    head = found if len(wrong) <= count else f"the {count} worst of {found}"
    axes.set_title(f"{head} among {examples}", loc="left")
    if len(shown):
        captions = [f"{right[n]}, seen as {predicted[n]}\n{probability[n]:.1%}" for n in shown]
        drawn = _draw_tiles(axes, x[shown].reshape(-1, rows, columns).astype(float), captions, lines=2)
        drawn.set_cmap("gray_r")
    return figure


def plot_confusion(net: Any, x: Any, t: Any) -> Figure:
    """Draw how often each class was predicted as which.

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
        A row for each right class, a column for each prediction. In a cell the number of examples, and under it their
        share of the row; empty cells are 0. Blue are the right ones, by their share, and red the mistakes, the
        strongest the most frequent. The numbers are left out of more than 20 classes.

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
    axes.set_xticks(range(0, C, step), minor=False)
    axes.set_yticks(range(0, C, step), minor=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    accuracy = np.trace(counts) / counts.sum()
    axes.set_title(f"{np.trace(counts)} of {counts.sum()} right, accuracy {accuracy:.4f}", loc="left")
    return figure


# --- what is drawn ---


def expect_steps(history: Any) -> None:
    """Raise if `history` is no History, or holds nothing."""
    if not isinstance(history, History):
        raise TypeError(f"history must be what fit gave, a History, got {type(history).__name__}")
    if not history.losses:
        raise ValueError("the history holds no step yet, so there is nothing to draw")


def first_matrix(net: Any) -> tuple[str, FloatArray]:
    """Give the first parameter with two axes, and its name."""
    if not hasattr(net, "params"):
        raise TypeError(f"net must be a Network or have its params, got {type(net).__name__}")
    for name, array in net.params.items():
        if np.ndim(array) == 2 and np.size(array):
            return name, _gate.floats(array, name)
    raise ValueError("the network has no weights with two axes, such as an Affine layer's W, to draw the columns of")


def confusion(net: Any, x: Any, t: Any) -> NDArray[np.int64]:
    """Give the number of examples of each class (a row) that were predicted as each (a column), shape (C, C)."""
    return confusion_of(*_answers(net, x, t))


def mistakes(net: Any, x: Any, t: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], FloatArray]:
    """Give which examples are predicted wrong, the worst first; and of all: right class, prediction, its probability.

    The worst is the one whose right class got the least probability, compared as logarithms: many a probability is 1 in
    the last bit.
    """
    scores, right = _answers(net, x, t)
    each, predicted = np.arange(len(scores)), scores.argmax(axis=1)
    logarithms = np.asarray(log_softmax(scores.astype(np.float64)))
    order = np.argsort(np.nan_to_num(logarithms[each, right], nan=-np.inf), kind="stable")
    return order[(predicted != right)[order]], right, predicted, np.exp(logarithms[each, predicted])


def _answers(net: Any, x: Any, t: Any) -> tuple[FloatArray, NDArray[Any]]:
    """Give the scores, (N, C), and the right classes, (N,)."""
    if not hasattr(net, "predict"):
        raise TypeError(f"net must be a Network or have its predict(x), got {type(net).__name__}")
    scores = _gate.floats(net.predict(x), "predict(x)")
    t, ids = _gate.targets(t, scores.shape, scores.dtype)
    if scores.size == 0:
        raise ValueError("there are no examples to look at")
    return np.atleast_2d(scores), t if ids else np.argmax(t, axis=1)


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
    """Give a figure of so many inches."""
    # matplotlib is an extra, which nothing but a picture needs.
    from chainrule.plotting.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _draw_batches(axes: Axes, losses: Sequence[float]) -> FloatArray:
    """Draw the losses of the steps; give the finite ones of what was drawn."""
    middles, means, least, most, length = _stretches(losses)
    if length > 1:
        axes.fill_between(middles, least, most, color=_GREY, alpha=0.3, linewidth=0)
    label = f"batches, mean and range of {length}" if length > 1 else "batches"
    marker = "." if len(means) <= _MOST_MARKED else ""  # no line shows a point that stands alone
    axes.plot(middles, means, marker=marker, color=_GREY, linewidth=1.4, label=label)
    finite: FloatArray = means[np.isfinite(means)]
    return finite


def _draw_epochs(axes: Axes, steps: Sequence[int], curves: dict[str, list[float]]) -> None:
    """Draw values that were taken after `steps`, under their names."""
    for name, values in curves.items():
        if values:
            colour, line = _CURVES[name]
            # While an epoch is evaluated, its step is noted and its value is not.
            x, y = _stretches(steps[: len(values)])[1], _stretches(values)[1]
            marker = "o" if len(values) <= _MOST_MARKED else ""
            axes.plot(
                x, y, line, color=colour, marker=marker, markersize=3.5, linewidth=1.6,
                label=f"{name} {values[-1]:.4f}",
            )  # fmt: skip


def _stretches(values: Sequence[float]) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, int]:
    """Cut `values` into stretches of equal length: middle (counted from 1), mean, least, largest; and the length."""
    a = np.asarray(values, dtype=np.float64)
    length = -(-len(a) // _MOST_POINTS)
    starts = np.arange(0, len(a), length)
    counts = np.diff(starts, append=len(a))
    with np.errstate(all="ignore"):  # what is not finite makes a gap
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
    """Give a figure with room for so many images, with so many lines under each."""
    across, down = min(count, _ACROSS), -(-count // _ACROSS)
    height = down * _INCHES * (aspect + 0.04 + 0.16 * lines) / 1.06 + 0.4
    figure = _figure(max(across * _INCHES, 4.5) + 0.8 * bar, max(height, 1.4))
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_anchor("NW")
    return figure, axes


def _draw_tiles(axes: Axes, images: FloatArray, captions: Sequence[str], *, lines: int) -> Any:
    """Draw images of one shape in rows of ten, with a caption under each: one picture, its gaps empty."""
    count, rows, columns = images.shape
    across, down = min(count, _ACROSS), -(-count // _ACROSS)
    # A line of text is as high as 16 hundredths of an image is wide.
    wide = columns + max(1, round(0.06 * columns))
    high = rows + max(1, round(0.04 * columns + 0.16 * lines * columns))
    whole = np.full((down * high, across * wide), np.nan)
    for n, image in enumerate(images):
        y, x = high * (n // across), wide * (n % across)
        whole[y : y + rows, x : x + columns] = image
        axes.text(
            x + columns / 2 - 0.5, y + rows, captions[n], fontsize=7.5, ha="center", va="top", linespacing=1.15
        )  # fmt: skip
    return axes.imshow(np.ma.masked_invalid(whole), interpolation="none")


def _draw_cells(axes: Axes, counts: NDArray[Any], fractions: FloatArray) -> None:
    """Draw the cells, mistakes as strongly as they are frequent among mistakes, and the numbers that are not 0."""
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
        # Never so strong that text in the colour of text cannot be read on it.
        colours.append(to_rgba(_GREY if n == 0 else _BLUE if i == j else _RED, 0.08 + 0.62 * float(strength)))
    axes.add_collection(PatchCollection(squares, facecolors=colours, edgecolors="none", antialiased=large))
    if not large:
        return
    size = min(11.0, 95 / len(counts))
    for i, j in np.argwhere(counts):
        axes.text(j, i + 0.04, str(counts[i, j]), ha="center", va="bottom", fontsize=size)
        axes.text(j, i + 0.12, f"{fractions[i, j]:.1%}", ha="center", va="top", fontsize=0.68 * size)
