"""Embedding: a row of W for each word of a sentence."""

import numpy as np


class Embedding:
    def __init__(self, W):
        self.W = W

    def forward(self, ids):
        self.ids = ids
        return self.W[ids]

    def backward(self, dout):
        self.dW = np.zeros_like(self.W)
        self.dW[self.ids] += dout


CHECKS = {"Embedding": lambda rng: (Embedding(rng.standard_normal((5, 3))), np.array([1, 4, 1, 0]))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: with a list of indices, `+=` reads, adds and writes once for each row. Of a word that comes twice,
#     only the last gradient is left.
# In the report: W is wrong in row 1 alone, the word that comes twice. Without a repetition all would be right.
# Met in: an automatic differentiation of NumPy's functions:
#     https://github.com/HIPS/autograd/issues/39
# Mended:
# -         self.dW[self.ids] += dout
# +         np.add.at(self.dW, self.ids, dout)
