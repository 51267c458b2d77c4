"""A training run as one page: an HTML file that needs nothing else, opens offline, and can be printed.

The pictures are those of `chainrule.plotting.plots`, embedded as SVG with text as text. The page is light or dark as
the reader's system asks. It has no script and no links; a content security policy in the page forbids both.
"""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chainrule._gate import expect_network, real
from chainrule._machine import machine
from chainrule.data.columns import Column
from chainrule.graph.wording import escaped, style_beside, thousands
from chainrule.nn.class_names import called
from chainrule.nn.engine import known_loss
from chainrule.nn.losses import SoftmaxWithLoss
from chainrule.nn.network import Network, batched, params_of
from chainrule.plotting import plots
from chainrule.training.history import History

if TYPE_CHECKING:
    from chainrule.checking import GradientReport
    from chainrule.plotting.figure import Figure

#: The most pixels of mistakes, and of weights, on the page, so that it stays under 2 MB: 100 images of 28×28.
_MOST_PIXELS = 100 * 28 * 28
_MISTAKES = 20
#: The most words that are listed for a column.
_MOST_WORDS = 20
#: A confusion matrix with more classes cannot be read on a page.
_MOST_CLASSES = 30
#: Text in pictures is drawn in this colour, which the page then replaces with its own.
_INK = "#1f2328"


def training_report(
    net: Any,
    history: History,
    *,
    test: tuple[Any, Any] | None = None,
    places: Sequence[str] | None = None,
    configuration: Mapping[str, Any] | None = None,
    check: GradientReport | None = None,
    seconds: float | None = None,
) -> str:
    """Return a page about a training run, as HTML.

    Parameters
    ----------
    net : Network
        The network that was trained, as it is now.
    history : History
        The result of `fit`.
    test : (x, t), optional
        Examples and labels, as for `plot_mistakes`, for the confusion matrix and the mistakes; without them, both are
        left out.
    places : sequence of str, optional
        Where each of these examples comes from, for the list of mistakes, as in the ``places`` of `Table` and
        `Pictures`.
    configuration : mapping, optional
        The settings of the run, by name; shown as ``str`` writes them.
    check : GradientReport, optional
        The result of `check_gradients`.
    seconds : float, optional
        How long the run took.

    Returns
    -------
    str
        A whole HTML document, to be written to a file in UTF-8. It loads nothing, runs nothing, is under 2 MB, and
        follows the reader's light or dark mode. If something cannot be drawn (for example, weights that do not make a
        square image), the page says so.

    Raises
    ------
    ImportError
        If matplotlib is not installed: it comes with the extra ``plot``.
    TypeError
        If an argument is of the wrong kind.
    ValueError
        If `history` has no steps, `test` does not fit, `places` has another length, or `seconds` is not a finite
        number.

    Notes
    -----
    While the pictures are drawn, matplotlib's settings are set to its defaults, in all threads; afterwards they are as
    before.

    Examples
    --------
    >>> from chainrule import TwoLayerNet, fit
    >>> x, t = np.eye(4), [0, 1, 0, 1]
    >>> net = TwoLayerNet(4, 3, 2, seed=0)
    >>> page = training_report(net, fit(net, x, t, epochs=5, batch_size=2, seed=0), test=(x, t))
    >>> page[:15]
    '<!doctype html>'
    """
    if not (test is None or (isinstance(test, tuple | list) and len(test) == 2)):
        raise TypeError(f"test must be a pair (x, t), got {type(test).__name__}")
    if not (configuration is None or isinstance(configuration, Mapping)):
        raise TypeError(f"configuration must be a mapping of names to values, got {type(configuration).__name__}")
    from chainrule.checking import GradientReport  # only a page or a check needs it

    if not (check is None or isinstance(check, GradientReport)):
        raise TypeError(f"check must be what check_gradients gave, a GradientReport, got {type(check).__name__}")
    expect_network(net)
    plots.expect_steps(history)
    seconds = None if seconds is None else real(seconds, "seconds")
    loss = known_loss(getattr(net, "last_layer", None))
    one_class = loss is None or type(loss) is SoftmaxWithLoss  # else a row of scores does not stand for one class
    counts = plots.confusion(net, *test) if test is not None and one_class else None
    figures = []
    if counts is not None:
        figures.append(("test accuracy", f"{np.trace(counts) / counts.sum():.4f}", ""))
    elif test is not None and loss is not None:
        figures.append((f"test {plots.NAMES[loss.measure]}", f"{net.score(*test):.4f}", ""))
    made = datetime.now().astimezone()
    body = [
        f"<h1>Training report</h1><p class='soft'>{escaped(_described(net))}</p>",
        _headline(history, figures, check, seconds),
        _section(" and ".join(["Loss", *_drawn(history)[1:]]), _curves(history)),
    ]
    if test is not None and counts is not None:
        body.append(_section("Confusion", _confusion(net, *test, counts)))
        body.append(_section("Worst mistakes", _mistakes(net, *test, places)))
    if (table := getattr(net, "metadata", {}).get("columns")) is not None:
        body.append(_section("Columns", _columns(table)))
    else:
        body.append(_section("First-layer weights", _weights(net)))
    if test is not None and isinstance(net, Network) and plots.activated(net) is not None:
        body.append(_section("Feature maps", _feature_maps(net, test[0])))
    if check is not None:
        body.append(_section("Gradient check", f"<div class='check'>{check._repr_html_()}</div>"))
    body.append(_section("The run", _run(history, configuration, seconds)))
    return (
        "<!doctype html>\n<html lang='en'>\n<head>\n<meta charset='utf-8'>\n"
        "<meta name='viewport' content='width=device-width,initial-scale=1'>\n"
        "<meta http-equiv='Content-Security-Policy' "
        "content=\"default-src 'none';style-src 'unsafe-inline';img-src data:\">\n"
        f"<title>Training report</title>\n<style>{style_beside(__file__)}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + f"\n<p class='soft'>Made by chainrule, <time datetime='{made:%Y-%m-%dT%H:%M%z}'>"
        f"{made:%Y-%m-%d %H:%M %Z}</time></p>\n</main>\n</body>\n</html>\n"
    )


# --- the parts ---


def _described(net: Any) -> str:
    """Describe the network: its kind, the shapes of its parameters, and how many numbers they hold."""
    arrays = {name: np.asarray(array) for name, array in params_of(net).items()}
    shapes = ", ".join(f"{name} {'×'.join(map(str, array.shape))}" for name, array in arrays.items())
    dtypes = " and ".join(sorted({array.dtype.name for array in arrays.values()}))
    return f"{type(net).__name__} of {thousands(sum(a.size for a in arrays.values()))} parameters: {shapes}; {dtypes}"


def _headline(
    history: History, figures: list[tuple[str, str, str]], check: GradientReport | None, seconds: float | None
) -> str:
    # Of the last epoch; after early stopping, the network is that of a better epoch.
    for name in ("train", "validation"):
        values = history.measures().get(f"{name}_{history.measure}")
        figures += [(f"last {name} {_drawn(history)[-1]}", f"{values[-1]:.4f}", "")] if values else []
    figures.append(("steps", thousands(len(history.losses)), ""))
    if seconds is not None:
        figures.append(("time", f"{seconds:.1f} s", ""))
    if check is not None:
        figures.append(("gradients", check.verdict, check.verdict))
    cells = "".join(f"<div><dt>{name}</dt><dd class='{kind}'>{text}</dd></div>" for name, text, kind in figures)
    return f"<dl class='figures'>{cells}</dl>"


def _drawn(history: History) -> list[str]:
    """Name the measures that have curves."""
    return [plots.NAMES.get(what, what) for what in plots.drawn_of(history)]


def _curves(history: History) -> str:
    first, last = history.losses[0], history.losses[-1]
    pictures = []
    for what, name in zip(plots.drawn_of(history), _drawn(history), strict=True):
        went = f" The loss went from {first:.4g} to {last:.4g}." if what == "loss" else ""
        draw = partial(plots.plot_panel, history, what)
        pictures.append(_picture(f"curves-{what}", f"Curves of {name} over the steps.{went}", draw))
    return f"<div class='columns'>{''.join(pictures)}</div>"


def _confusion(net: Any, x: Any, t: Any, counts: NDArray[Any]) -> str:
    C = len(counts)
    if C > _MOST_CLASSES:
        picture = f"<p class='soft'>The matrix of {C} classes is too large for a page: plot_confusion draws it.</p>"
    else:
        alt = f"Confusion matrix of {C} classes; the table after it tells each class's share of right answers."
        picture = _picture("confusion", alt, lambda: plots.plot_confusion(net, x, t))
    rows, names = [], called(net, C)
    for c, row in enumerate(counts):
        others = np.where(np.arange(C) == c, 0, row)
        most = f"{names[others.argmax()]} ({others.max()} times)" if others.any() else "no other"
        recall = f"{row[c] / row.sum():.1%}" if row.any() else ""
        rows.append((names[c], thousands(row.sum()), thousands(row[c]), recall, most))
    table = _table(("class", "examples", "right", "share", "taken for"), rows, numbers=4)
    return f"<div class='columns'>{picture}<div class='scroll'>{table}</div></div>"


def _mistakes(net: Any, x: Any, t: Any, places: Sequence[str] | None) -> str:
    wrong, right, predicted, probability, names = plots.mistakes(net, x, t)
    if places is not None and len(places) != len(right):
        raise ValueError(f"places must be as many as the examples of the test, {len(right)}, got {len(places)}")
    if not len(wrong):
        return f"<p>None among {thousands(len(right))} test examples.</p>"
    where = "place in the test set" if places is None else "from"
    rows = [
        (n if places is None else places[n], names[right[n]], names[predicted[n]], f"{probability[n]:.2%}")
        for n in wrong[:_MISTAKES]
    ]
    table = f"<div class='scroll'>{_table((where, 'class', 'predicted', 'probability'), rows, numbers=4)}</div>"
    if getattr(net, "metadata", {}).get("columns") is not None:  # rows of a table are not pictures
        return table
    alt = "The examples the network is most wrong about; the table after it lists them."
    pixels = np.size(x) // len(right)
    picture = _picture("mistakes", alt, lambda: plots.plot_mistakes(net, x, t, count=_count_on_page(pixels, _MISTAKES)))
    return f"{picture}<details><summary>The same as a table</summary>{table}</details>"


def _columns(text: str) -> str:
    """Give a table of the columns that the network reads, and how each is encoded."""
    try:
        columns = [Column.of_dict(said) for said in json.loads(text)["columns"]]
    except (ValueError, TypeError, KeyError, AttributeError):
        return "<p class='soft'>The network's metadata do not say what they are.</p>"
    rows = []
    for column in columns:
        if column.words is None:
            become = f"(number - {column.mean:.6g}) / {column.spread:.6g}"
        else:
            become = f"a 1 for one of {', '.join(column.words[:_MOST_WORDS])}"
            become += ", …" if len(column.words) > _MOST_WORDS else ""
        rows.append((column.name, become))
    return f"<div class='scroll'>{_table(('column', 'what a cell becomes'), rows, numbers=0)}</div>"


def _weights(net: Any) -> str:
    alt = "The columns of the first weights as images: red above 0, blue below."

    def draw() -> Figure:
        _, W = plots.first_weights(net)
        return plots.plot_weights(net, count=_count_on_page(math.prod(W.shape[2:]) if W.ndim == 4 else len(W), 100))

    with suppress(ValueError):  # the picture says so
        if plots.first_weights(net)[1].ndim == 4:
            alt = "The filters of the first convolution as images: nearer to the text's colour above 0."
    return _picture("weights", alt, draw)


def _feature_maps(net: Network, x: Any) -> str:
    first = x if batched(net, x)[1] else np.asarray(x)[:1]

    def draw() -> Figure:
        _, maps = plots.feature_maps(net, first)
        return plots.plot_feature_maps(net, first, count=_count_on_page(math.prod(maps.shape[1:]), 100))

    name = plots.activated(net)
    alt = f"What the layer {name} makes of the first test example, a picture for each filter."
    return f"<p class='soft'>{escaped(alt)}</p>{_picture('maps', alt, draw)}"


def _run(history: History, configuration: Mapping[str, Any] | None, seconds: float | None) -> str:
    facts = {"steps": thousands(len(history.losses)), "evaluations": thousands(len(history.steps))}
    if seconds is not None:
        facts["seconds"] = f"{seconds:.3f}"
        facts["milliseconds a step, all included"] = f"{1000 * seconds / len(history.losses):.3f}"
    asked = "" if configuration is None else f"<div>{_facts('Configuration', configuration)}</div>"
    at_work = {name.replace("_", " "): value for name, value in machine().items()}
    return f"<div class='columns'>{asked}<div>{_facts('Time', facts)}{_facts('Machine', at_work)}</div></div>"


# --- pieces of HTML ---


def _section(title: str, body: str) -> str:
    name = title.lower().replace(" ", "-")
    return f"<section aria-labelledby='{name}'>\n<h2 id='{name}'>{title}</h2>\n{body}\n</section>"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]], numbers: int) -> str:
    """Give a table; its first `numbers` columns hold numbers."""
    kinds = [" class='number'" if n < numbers else "" for n in range(len(heads))]
    head = "".join(f"<th scope='col'{kind}>{text}</th>" for text, kind in zip(heads, kinds, strict=True))
    lines = (
        "<tr>"
        + "".join(f"<td{kind}>{escaped(str(cell))}</td>" for cell, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _facts(title: str, facts: Mapping[str, Any]) -> str:
    lines = (
        f"<tr><th scope='row'>{escaped(str(name))}</th><td>{escaped(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table class='facts'><caption>{title}</caption><tbody>{''.join(lines)}</tbody></table>"


def _picture(name: str, alt: str, draw: Callable[[], Figure]) -> str:
    """Give a picture as SVG, or a sentence why there is none; its ids begin with `name` to be unique on the page."""
    # matplotlib is an extra; the first picture that needs it says so.
    from chainrule.plotting.figure import style

    colours = dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK)
    # Text stays text, and ids are the same every time.
    with style.context(["default", {**colours, "svg.fonttype": "none", "svg.hashsalt": name}]):
        out = io.StringIO()
        try:
            with warnings.catch_warnings():
                # Names in a script missing from matplotlib's font: text stays text, and the page's font draws it.
                warnings.filterwarnings("ignore", "Glyph")
                draw().savefig(out, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.03)
        except ValueError as error:
            return f"<p class='soft'>Not drawn: {escaped(str(error))}.</p>"
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub("<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'( id="|"#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(_INK, "currentColor").replace("<svg ", f'<svg role="img" aria-label="{escaped(alt)}" ', 1)
    return f"<figure class='scroll {name}'>\n{svg}</figure>"


def _count_on_page(pixels: int, most: int) -> int:
    """Give how many images of `pixels` pixels there is room for, at most `most`."""
    if pixels > _MOST_PIXELS:
        raise ValueError(f"images of {pixels} pixels are too large for a page")
    return min(most, _MOST_PIXELS // pixels)
