"""Dropout: in training a random part of the numbers is 0, and the others are scaled up so that the sum stays."""

import numpy as np


class Dropout:
    def __init__(self, p):
        self.p, self.rng = p, np.random.default_rng(0)

    def forward(self, x):
        self.kept = self.rng.random(x.shape) >= self.p
        return x * self.kept / (1 - self.p)

    def backward(self, dout):
        return dout / (1 - self.p)


CHECKS = {"Dropout": lambda rng: (Dropout(0.5), rng.standard_normal((5, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the scale goes back, and the mask does not. What was dropped gets a gradient all the same.
# In the report: the numeric side of the entry shown is 0: it was dropped. What was kept is right. The check sets the
#     generator back before each pass, so that both sides see one mask.
# Met in: a well-known collection of machine learning in NumPy:
#     https://github.com/ddbourgin/numpy-ml/issues/94
# Mended:
# -         return dout / (1 - self.p)
# +         return dout * self.kept / (1 - self.p)
