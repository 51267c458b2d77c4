"""Affine: a fully connected layer."""

import numpy as np


class Affine:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW = self.x.T @ dout
        self.db = np.mean(dout, axis=0)
        return dout @ self.W.T


def example(rng):
    return Affine(rng.standard_normal((4, 3)), rng.standard_normal(3)), rng.standard_normal((5, 4))


CHECKS = {"Affine": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: dW is a sum over the examples (it is in the product), so db has to be one, too. The mean belongs
#     in the loss, once.
# In the report: only b is wrong, "factor 1/N (N = 5, a mean for a sum)".
# Met in: notes on backpropagation:
#     https://github.com/kvfrans/notes/issues/5
# Mended:
# -         self.db = np.mean(dout, axis=0)
# +         self.db = np.sum(dout, axis=0)
