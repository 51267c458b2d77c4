"""Chapter 4: what its ``gradient_2d.py`` is imported for, a gradient at each row."""

from chainrule.nn.gradients import numerical_gradient_2d as numerical_gradient

__all__ = ["numerical_gradient"]
