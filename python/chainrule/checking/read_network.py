"""Networks being understood: a loss and the gradient of every parameter of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chainrule.checking.engine import holds_nothing_else
from chainrule.checking.networks import NetworkSubject
from chainrule.checking.reader import USAGE, Reader, told
from chainrule.checking.subject import Subject, parameter
from chainrule.nn.parameters.places import Place


def network(reader: Reader, loss: str, gradient: str | None) -> Subject:
    """Give the network: its parameters are in ``params``, or found where they lie; `gradient` None: loss gives both."""
    thing = reader.thing
    slots, inputs = reader.slots(getattr(thing, loss))
    subject = NetworkSubject(
        thing, type(thing).__name__, slots, inputs, None,
        losses=lambda thing: getattr(thing, loss), derivatives=lambda thing: getattr(thing, gradient or loss),
        both=gradient is None,
    )  # fmt: skip
    if reader.asked.wrt is not None:
        raise ValueError("wrt= says by which arguments a gradient is; that of a network is by its parameters")
    subject.backward_name = gradient or loss
    params = getattr(thing, "params", None)
    if isinstance(params, Mapping):
        if not params:
            raise TypeError(f"{subject.name}.params must be a dict of arrays with something in it, got {params!r:.60}")
        for key, array in params.items():
            if callable(array) or isinstance(array, float | int):
                continue
            name = str(key)
            subject.parameters[name] = parameter(array, f"params[{key!r}]")
            subject.places[name] = (Place(((thing, "params"), (params, key))),)
    elif gradient is not None and params is not None and not isinstance(params, list | tuple):
        raise TypeError(f"{subject.name}.params must be a dict of arrays with something in it, got {params!r:.60}")
    if gradient is None:
        raw = reader.quietly(lambda: getattr(thing, loss)(*subject.handed()), inputs)
        if not isinstance(raw, tuple) or len(raw) != 2:
            raise TypeError(f"{subject.name} has loss but no gradient, and its loss gives {told(raw)}; {USAGE}")
    if not reader.asked.ignore and holds_nothing_else(subject):
        return subject
    reader.hold(subject, [np.float64(1)])
    return subject
