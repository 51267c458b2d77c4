"""Layers, networks and pairs of functions with one mistake each, and right ones that look suspicious."""

from __future__ import annotations

from mutants import layers, networks, pairs, right
from mutants.case import CAUSES, Case

WRONG: tuple[Case, ...] = layers.CASES + networks.CASES + pairs.CASES
RIGHT: tuple[Case, ...] = right.CASES

__all__ = ["CAUSES", "RIGHT", "WRONG", "Case"]
