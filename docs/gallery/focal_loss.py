"""Focal loss: -(1 - q)² log q, where q is the probability given to the right answer. Easy examples weigh little."""

import numpy as np


class FocalLoss:
    def forward(self, x, t):
        self.t, self.y = t, 1 / (1 + np.exp(-x))
        self.q = np.where(t == 1, self.y, 1 - self.y)
        self.weight = (1 - self.q) ** 2
        return -(self.weight * np.log(self.q)).sum()

    def backward(self):
        return self.weight * (self.y - self.t)


CHECKS = {"FocalLoss": lambda rng: (FocalLoss(), rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the weight is taken for a constant, and it depends on x, too. The product rule has two terms.
# In the report: all of x is wrong, and no cause is named: it is no factor, but a term that is missing.
# Met in: a detector of edges in images, whose loss weighs the examples by how wrong they are:
#     https://github.com/GuoxiaWang/DOOBNet/issues/6
# Mended:
# -         return self.weight * (self.y - self.t)
# +         by_weight = 1 - 2 * self.q * np.log(self.q) / (1 - self.q)
# +         return self.weight * (self.y - self.t) * by_weight
