"""Chapter 4: the function that scripts import from its ``gradient_2d.py``, a gradient at each row."""

from chainrule.nn.gradients import numerical_gradient_2d as numerical_gradient

__all__ = ["numerical_gradient"]
