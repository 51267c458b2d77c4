"""The book's ``common/optimizer.py``: `chainrule`'s optimizers, and ``np`` for star imports."""

import numpy as np

from chainrule.training.optimizers import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

__all__ = ["SGD", "AdaGrad", "Adam", "Momentum", "Nesterov", "RMSprop", "np"]
