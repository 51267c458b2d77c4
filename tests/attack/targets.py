"""The targets by name: where each is, and its share of the time."""

from __future__ import annotations

TARGETS = {
    "idx": ("attack.readers.idx:Idx", 1),
    "gzip": ("attack.readers.idx:Gzip", 1),
    "pickle": ("attack.readers.pickles:Pickles", 1),
    "model": ("attack.readers.models:Models", 1),
    "checkpoint": ("attack.readers.models:Checkpoints", 1),
    "expression": ("attack.readers.expressions:Expressions", 1),
    "image": ("attack.readers.pictures:Pictures", 1),
    "gates": ("attack.gates:Gates", 2),
    "kernels": ("attack.kernels:Kernels", 3),
    "interrupts": ("attack.interrupts:Interrupts", 3),
    "system": ("attack.system:System", 1),
    "together": ("attack.together:Together", 2),
    "leaks": ("attack.leaks:Leaks", 3),
}
