"""The book's ``common/gradient.py``: `chainrule`'s numerical gradients, and ``np`` for star imports."""

import numpy as np

from chainrule.nn.gradients import _numerical_gradient_1d, numerical_gradient, numerical_gradient_2d

__all__ = ["_numerical_gradient_1d", "np", "numerical_gradient", "numerical_gradient_2d"]
