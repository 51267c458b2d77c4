"""Batch normalization: each column to mean 0 and deviation 1, then times gamma, plus beta."""

import numpy as np


class BatchNorm:
    def __init__(self, gamma, beta):
        self.gamma, self.beta = gamma, beta

    def forward(self, x):
        self.std = np.sqrt(x.var(axis=0) + 1e-5)
        self.z = (x - x.mean(axis=0)) / self.std
        return self.gamma * self.z + self.beta

    def backward(self, dout):
        self.dgamma, self.dbeta = (dout * self.z).sum(axis=0), dout.sum(axis=0)
        along = self.z * (dout * self.z).mean(axis=0)
        return (dout - dout.mean(axis=0) - along) / self.std


def example(rng):
    return BatchNorm(rng.standard_normal(4), rng.standard_normal(4)), rng.standard_normal((5, 4))


CHECKS = {"BatchNorm": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: gamma stands between z and the output, and the way back to x leaves it out. Networks begin with
#     gamma = 1, where nothing can be seen.
# In the report: "one factor for each column", 1 / gamma. Check with a gamma that is not 1.
# Met in: a framework for Julia, in its code for the CPU:
#     https://github.com/denizyuret/Knet.jl/issues/288
# Mended:
# -         return (dout - dout.mean(axis=0) - along) / self.std
# +         return self.gamma * (dout - dout.mean(axis=0) - along) / self.std
