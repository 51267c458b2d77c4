"""Which layer: a network that is wrong is walked back through, with what really flows through its layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chainrule.checking.report import GradientReport
from chainrule.checking.state import Randomness
from chainrule.checking.subjects import NetworkSubject


def first_faulty_layer(
    subject: NetworkSubject, alone: Callable[[str, Any, tuple[Any, ...]], GradientReport | None], randomness: Randomness
) -> tuple[str | None, GradientReport | None, str]:
    """Walk back through the layers and name the first that is wrong.

    Each layer is asked twice: in its place, after a forward pass of the whole network, and by itself, as a layer with
    its real input. A layer that is right by itself and gives something else in its place has lost what it remembered to
    another layer.

    Parameters
    ----------
    subject : NetworkSubject
        Anything with ``layers``, a mapping, and ``last_layer`` can be walked through.
    alone : callable
        Given a name, a layer and its inputs, gives the report of the layer by itself, or None if there is nothing to
        check.
    randomness : Randomness
        Set back before every forward pass.

    Returns
    -------
    name : str or None
        Of the layer; ``last_layer`` for the loss.
    report : GradientReport or None
        That of the layer by itself, if that is wrong.
    note : str
        What else there is to say.
    """
    net = subject.thing
    layers, last = getattr(net, "layers", None), getattr(net, "last_layer", None)
    if not isinstance(layers, Mapping) or not hasattr(last, "backward") or len(subject.inputs) != 2:
        return None, None, "it has no layers and last_layer that could be walked through"
    try:
        return _walk(layers, last, *subject.inputs.values(), alone, randomness)
    except Exception as error:  # layers of the user's own, called by us as nobody may have called them before
        return None, None, f"its layers could not be walked through: {type(error).__name__}: {error}"


def _walk(
    layers: Mapping[str, Any], last: Any, x: Any, t: Any, alone: Callable[..., GradientReport | None],
    randomness: Randomness,
) -> tuple[str | None, GradientReport | None, str]:  # fmt: skip
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

    flowing, scores = forward()
    report = alone("last_layer", last, (scores, t))
    if report is not None and report.verdict == "wrong":
        return "last_layer", report, ""
    forward()
    dout = last.backward(1)
    for name, layer in reversed(layers.items()):
        in_place = np.array(layer.backward(np.array(dout)))
        arrived, noise = flowing[name]
        report = alone(name, layer, (arrived,))
        if report is not None and report.verdict == "wrong":
            return name, report, ""
        randomness.rewind(noise)
        layer.forward(np.array(arrived))
        by_itself = np.array(layer.backward(np.array(dout)))
        if _differ(in_place, by_itself):
            return name, None, f"{name} is right by itself, but loses what it remembers to another layer of this network"
        forward()  # the others remember what they did before
        dout = by_itself
    return None, None, "each layer by itself is right: the fault is in what the network does beside calling them"


def _differ(a: Any, b: Any) -> bool:
    return a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-9 * np.abs(b).max(initial=0), equal_nan=True)
