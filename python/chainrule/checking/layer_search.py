"""Which layer: a network that is wrong is walked back through, with what really flows through its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from chainrule.checking.equality import close_gradients
from chainrule.checking.randomness import Randomness
from chainrule.checking.report import GradientReport

#: Given a name, a layer, its inputs and a number for dout (None: random), gives the report of the layer by itself, or
#: None if there is nothing to check.
Alone: TypeAlias = Callable[[str, Any, tuple[Any, ...], float | None], GradientReport | None]
#: The name of a layer, ``last_layer`` for the loss; its report, if it is wrong by itself; what else there is to say.
Verdict: TypeAlias = tuple[str | None, GradientReport | None, str]


def first_faulty_layer(net: Any, arguments: Sequence[Any], alone: Alone, randomness: Randomness) -> Verdict:
    """Go back through the layers and name the first that is wrong.

    Each layer is asked twice: in its place, after a forward pass of the whole network, and by itself, as a layer with
    its real input. A layer that is right by itself and gives something else in its place has lost what it remembered to
    another layer. Anything with ``layers``, a mapping, and ``last_layer`` can be gone through; `randomness` is set back
    before every forward pass.
    """
    layers = getattr(net, "layers", None)
    last = getattr(net, "last_layer", getattr(net, "lastLayer", None))
    if not isinstance(layers, Mapping) or not hasattr(last, "backward") or len(arguments) != 2:
        return None, None, "it has no layers and last_layer that could be walked through"
    try:
        x, t = arguments
        return _search(layers, last, x, t, alone, randomness)
    except Exception as error:  # layers of the user's own, called by us as nobody may have called them before
        return None, None, f"its layers could not be walked through: {type(error).__name__}: {error}"


def _search(layers: Mapping[str, Any], last: Any, x: Any, t: Any, alone: Alone, randomness: Randomness) -> Verdict:
    def forward() -> tuple[dict[str, Any], Any]:
        """Give what flows into each layer, and the scores; every layer remembers its part of this pass then."""
        randomness.rewind()
        flowing, value = {}, np.array(x)
        for name, layer in layers.items():
            flowing[name] = np.array(value), randomness.now()
            value = layer.forward(value)
        scores = np.array(value)
        last.forward(value, t)
        return flowing, scores

    suspect: tuple[str, GradientReport] | None = None
    flowing, scores = forward()
    report = alone("last_layer", last, (scores, t), 1.0)  # the network gives it no other dout
    if _gives_wrong_gradients(report):
        return "last_layer", report, ""
    if report is not None and report.verdict == "wrong":
        suspect = "last_layer", report
    forward()
    dout = last.backward(1)
    for name, layer in reversed(list(layers.items())):
        in_place = np.array(layer.backward(np.array(dout)))
        arrived, noise = flowing[name]
        report = alone(name, layer, (arrived,), None)
        if _gives_wrong_gradients(report):
            return name, report, ""
        if report is not None and report.verdict == "wrong":
            suspect = suspect if suspect is not None and suspect[0] != "last_layer" else (name, report)
        randomness.rewind(noise)
        layer.forward(np.array(arrived))
        by_itself = np.array(layer.backward(np.array(dout)))
        if not close_gradients(in_place, by_itself):
            return (
                name,
                None,
                f"{name} is right by itself, but loses what it remembers to another layer of this network",
            )
        forward()  # the others remember what they did before
        dout = by_itself
    if suspect is not None:
        return *suspect, f"each layer's gradients are right by themselves, but {suspect[0]} breaks a contract"
    return None, None, "each layer by itself is right: the fault is in what the network does beside calling them"


def _gives_wrong_gradients(report: GradientReport | None) -> bool:
    """Tell whether it is more than a contract that a layer breaks, which the network may never notice."""
    return report is not None and any(array.verdict == "wrong" for array in report.arrays)
