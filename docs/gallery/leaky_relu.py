"""Leaky ReLU: x where it is above 0, a small part of x where it is not."""

import numpy as np


class LeakyRelu:
    slope = 0.1

    def forward(self, x):
        self.x = x
        return np.where(x > 0, x, self.slope * x)

    def backward(self, dout):
        return dout * (self.x > 0)


CHECKS = {"LeakyRelu": lambda rng: (LeakyRelu(), rng.standard_normal((5, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: that is the derivative of ReLU. Below 0 the slope is 0.1, not 0.
# In the report: the analytic side of the entry shown is 0, and the numeric one is not. Entries above 0 are right: a
#     check with positive numbers alone would pass.
# Met in: a library of layers with Jacobians, whose test had no negative inputs:
#     https://github.com/MachineLearningLifeScience/stochman/pull/13
# Mended:
# -         return dout * (self.x > 0)
# +         return dout * np.where(self.x > 0, 1, self.slope)
