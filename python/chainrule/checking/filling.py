"""One guess filled in: an argument for each name, of sizes that go together; see `guesses` for what names mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule.checking import guesses
from chainrule.checking.conventions import PERHAPS_TARGETS, PREDICTED, TARGETS
from chainrule.checking.finding import Found
from chainrule.checking.guesses import Kind

#: How labels are written: a number for each example; 0 and 1 in the shape of the input, or of the output.
LABELS = ("ids", "one-hot", "one-hot of outputs")
_OUTPUTS = {"N D": "N M", "D N": "M N", "D": "M", "D 1": "M 1", "1 D": "1 M", "N T D": "N T M"}
_ANNOTATED = {"int": ("size", "M"), "float": ("value", 0.5), "bool": ("value", True), "str": ("value", "it")}
#: What a name may stand for: whether a size, an array's shape or a value, and which.
Spec = tuple[str, Any]


@dataclass(frozen=True)
class Draw:
    """What one guess is made of."""

    kind: Kind
    #: Which of the values in the tables' lists.
    variant: int = 0
    #: One of `LABELS`.
    labels: str = "ids"
    #: Whether inputs are between 0 and 1, or of either sign.
    positive: bool = False
    rng: np.random.Generator = field(default_factory=np.random.default_rng)

    def array(self, shape: str, positive: bool = False) -> Any:
        """Give an array of this shape, or a number if it has none."""
        sizes = self.kind.sizes(shape)
        drawn = self.rng.uniform(0.2, 0.9, sizes) if positive else self.rng.standard_normal(sizes)
        return drawn if sizes else float(drawn)

    def value(self, specs: Sequence[Spec], positive: bool = False) -> Any:
        """Give what the one of `specs` stands for whose turn it is."""
        what, value = specs[min(self.variant, len(specs) - 1)]
        if what == "array":
            return self.array(value, positive)
        if what == "size" and isinstance(value, str) and len(value) <= 2:
            return self.kind.size(value)
        if what == "size" and isinstance(value, tuple | list):
            return type(value)(self.kind.size(v) if isinstance(v, str) else v for v in value)
        return dict(value) if isinstance(value, dict) else value


def for_constructor(found: Found, name: str, names: Sequence[str], annotation: Any, kind: Kind) -> list[Spec]:
    """Give what a constructor may be given under a name; nothing if no table says."""
    for word, table in guesses.BY_CLASS.items():
        meant = word in found.name.lower() or (word == "pool" and any("pool" in other for other in names))
        if meant and name in table:
            return [("size", one) for one in _listed(table[name])]
    specs = _in_tables(
        name, kind, names, (("array", guesses.ARRAYS), ("size", guesses.SIZES), ("value", guesses.VALUES))
    )
    if specs:
        return specs
    by_part = next((letter for word, letter in guesses.PARTS if word in name.lower()), None)
    if by_part is not None:
        return [("size", by_part)]
    word = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return [_ANNOTATED[word]] if word in _ANNOTATED else []


def for_forward(name: str, position: int, names: Sequence[str], kind: Kind) -> list[Spec]:
    """Give what a way forwards may be given under a name; nothing for an input."""
    if position == 0 and name not in guesses.WEIGHTS:
        return []
    sizes = {name: guesses.SIZES[name] for name in ("G", "groups", "num_groups", "pool_size", "kernel_size")}
    return _in_tables(name, kind, names, (("array", guesses.ARRAYS), ("size", sizes), ("value", guesses.VALUES)))


def _in_tables(
    name: str, kind: Kind, names: Sequence[str], tables: Sequence[tuple[str, Mapping[str, Any]]]
) -> list[Spec]:
    for what, table in tables:
        if table is guesses.ARRAYS and name in guesses.BESIDE_WEIGHTS and not any(n in guesses.WEIGHTS for n in names):
            continue
        entry = table.get(name, table.get(name.strip("_")))
        if entry is None:
            continue
        if isinstance(entry, Mapping) and "rows" in entry:
            group = kind.group if kind.group in entry else kind.group.partition(" ")[0]
            entry = entry.get(group, entry["rows"])
        return [(what, one) for one in _listed(entry)]
    return []


def _listed(entry: Any) -> list[Any]:
    return entry if isinstance(entry, list) else [entry]


def argument(found: Found, name: str, position: int, names: Sequence[str], draw: Draw) -> Any:
    """Make an argument of the way forwards: by its name, or as large as the first."""
    kind = draw.kind
    if is_label(found, name, names):
        return _labels(draw)
    specs = for_forward(name, position, names, kind)
    if specs:
        return draw.value(specs)
    if position and name in guesses.STATES:
        return draw.array({"columns": "M N", "rows": "N M"}.get(kind.group, kind.shape))
    if position and name == "mask":
        shape = kind.sizes(kind.shape)
        return np.resize([True, True, False], shape[:-1] if kind.shape.startswith("N T") else shape)
    if kind.ids and (position == 0 or name in ("ids", "idx", "index", "indices", "words")):
        return np.resize(np.arange(kind.size("V")), kind.sizes(kind.shape))
    return draw.array(kind.shape, draw.positive and (position == 0 or not found.is_loss or name in PREDICTED))


def is_label(found: Found, name: str, names: Sequence[str]) -> bool:
    """Tell whether an argument of the way forwards is what a loss is measured against."""
    if len(names) < 2:
        return False
    if name in PERHAPS_TARGETS:  # y beside a target is what was predicted
        return found.is_loss and not any(other in TARGETS for other in names)
    return name in TARGETS or name in ("ids", "y_batch")


def label_styles(found: Found, names: Sequence[str]) -> Sequence[str]:
    """Give the ways in which the labels of a subject may be written, the likeliest first."""
    if not any(is_label(found, name, names) for name in names):
        return LABELS[:1]
    if not found.kind.takes_data and any(
        word in f"{found.name} {found.forward}".lower() for word in guesses.ENTRY_LOSSES
    ):
        return ("one-hot", "ids")
    return LABELS


def _labels(draw: Draw) -> Any:
    kind = draw.kind
    shape = kind.sizes(_OUTPUTS.get(kind.shape, kind.shape) if draw.labels == "one-hot of outputs" else kind.shape)
    if draw.labels == "ids":
        if kind.one:
            return 1
        count = shape[1:] if kind.group == "columns" else shape[: 2 if kind.shape.startswith("N T") else 1]
        return np.resize(np.arange(3), count)
    if not shape:
        return 1.0
    hot = np.zeros(shape)
    rows = np.moveaxis(hot, 0 if kind.group == "columns" else -1, -1)
    if rows.shape[-1] == 1:
        rows[...] = np.resize([1.0, 0.0], rows.shape)
    else:
        which = np.resize(np.arange(min(3, rows.shape[-1])), rows.shape[:-1])
        np.put_along_axis(rows, which[..., None], 1.0, -1)
    return hot


def told(value: Any) -> str:
    """Say what a value is, in few words: of an array the shape."""
    if isinstance(value, np.ndarray):
        kind = {"f": "", "b": "bool "}.get(value.dtype.kind, "int ")
        return f"{kind}{value.shape}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return getattr(value, "__name__", type(value).__name__) if callable(value) else repr(value)


def told_named(name: str, value: Any) -> str:
    """Say it with its name."""
    return f"{name} {told(value)}" if isinstance(value, np.ndarray) else f"{name}={told(value)}"
