"""Layers, networks and pairs of functions with one mistake each, and right ones that look suspicious."""

from __future__ import annotations

from mutants import images, layers, networks, pairs, right
from mutants.case import CAUSES, Case

WRONG: tuple[Case, ...] = layers.CASES + networks.CASES + pairs.CASES + images.WRONG
RIGHT: tuple[Case, ...] = right.CASES + images.RIGHT

#: Wrong ones whose numbers are right for a caller who knows of the mistake: they fail if one is strict.
HAZARDS: frozenset[str] = frozenset({
    "affine_dx_float32", "affine_dx_in_one_buffer", "affine_db_is_dout", "sigmoid_changes_its_output", "tanh_twice",
    "softmax_loss_without_copy", "identity_returns_dout", "dropout_off_returns_input", "add_layer_returns_dout",
    "exp_returns_its_output", "network_float32_gradients", "prior_returns_parameter", "squares_returns_x",
    "squares_float32", "squares_in_one_buffer",
})  # fmt: skip

__all__ = ["CAUSES", "HAZARDS", "RIGHT", "WRONG", "Case"]
