"""Upsampling: of rows, by repeating each number."""

import numpy as np


class Upsample1d:
    def __init__(self, times):
        self.times = times

    def forward(self, x):
        return np.repeat(x, self.times, axis=1)

    def backward(self, dout):
        return dout[:, :: self.times].copy()


CHECKS = {"Upsample1d": lambda rng: (Upsample1d(2), rng.standard_normal((3, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: a number that was written to several places gets the sum of their gradients. Here it gets the first:
#     backward asks for one place where an input went, and not where each output came from.
# In the report: all of x is wrong, and no cause is named.
# Met in: a framework's code for graphics cards, by other factors than whole numbers:
#     https://github.com/pytorch/pytorch/issues/97135
# Mended:
# -         return dout[:, :: self.times].copy()
# +         return dout.reshape(len(dout), -1, self.times).sum(axis=2)
