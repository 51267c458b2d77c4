"""A pass through a layer: whether it is for training, and which state of the layer it changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from chainrule._gate import FloatArray
from chainrule.nn.kinds import LAYERS
from chainrule.nn.layers import Dropout

#: The names of an argument of ``forward`` that says whether the pass is for training.
_NAMES = ("train_flg", "training")


def run(layer: Any, x: Any, training: bool) -> Any:
    """Call ``layer.forward(x)``, and pass on whether it is for training if there is an argument for that."""
    forward = layer.forward
    code = getattr(getattr(forward, "__func__", forward), "__code__", None)
    if code is not None:
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for name in _NAMES:
            if name in names:
                return forward(x, **{name: training})
    return forward(x)


def statistics(layers: Iterable[Any]) -> list[tuple[str, FloatArray]]:
    """Give our layers' arrays that follow the data (running statistics), each with its name in the layer."""
    ours = [(layer, LAYERS[type(layer)]) for layer in layers if type(layer) in LAYERS]
    return [(name, getattr(layer, name)) for layer, kind in ours for name in kind.statistics]


@contextmanager
def repeatable(layers: Iterable[Any]) -> Iterator[Callable[[], None]]:
    """Give a function that resets our layers' statistics and masks to their present state; reset them on exit too."""
    layers = list(layers)
    before = [(array, array.copy()) for _, array in statistics(layers)]
    dropouts = [(layer, layer.draws) for layer in layers if isinstance(layer, Dropout)]
    for layer, _ in dropouts:
        layer.draws = layer.next_draws()

    def back() -> None:
        for array, values in before:
            array[...] = values

    try:
        yield back
    finally:
        back()
        for layer, draws in dropouts:
            layer.draws = draws
