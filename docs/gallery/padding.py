"""Padding: a convolution of rows with zeros around them, so that the output is as long as the input."""

import numpy as np


class SameConv1d:
    def __init__(self, w):
        self.w, self.pad = w, len(w) // 2

    def forward(self, x):
        self.x, k = np.pad(x, ((0, 0), (self.pad, self.pad))), len(self.w)
        return np.stack([self.x[:, i : i + k] @ self.w for i in range(x.shape[1])], axis=1)

    def backward(self, dout):
        k = len(self.w)
        dx, self.dw = np.zeros_like(self.x), np.zeros_like(self.w)
        for i in range(dout.shape[1]):
            self.dw += dout[:, i] @ self.x[:, i : i + k]
            dx[:, i : i + k] += dout[:, i : i + 1] * self.w
        return dx


CHECKS = {"SameConv1d": lambda rng: (SameConv1d(rng.standard_normal(3)), rng.standard_normal((2, 5)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: dx is the gradient of the rows with their zeros; what belongs to the zeros has to be cut off.
# In the report: w is right; the gradient of x has shape (2, 7), and x has shape (2, 5).
# Met in: a framework for secure computation, where it ends in an error:
#     https://github.com/data61/MP-SPDZ/issues/1206
# Mended:
# -         return dx
# +         return dx[:, self.pad : -self.pad]
