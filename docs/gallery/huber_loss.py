"""Pseudo-Huber loss: of small errors about half the square, of large ones about alpha times their size."""

import numpy as np


class PseudoHuberLoss:
    def __init__(self, alpha):
        self.alpha = alpha

    def forward(self, y, t):
        self.error = y - t
        return self.alpha**2 * np.sum(np.sqrt(1 + (self.error / self.alpha) ** 2) - 1)

    def backward(self):
        return self.error / np.sqrt(self.error**2 + self.alpha**2)


CHECKS = {
    "PseudoHuberLoss": lambda rng: (PseudoHuberLoss(0.9), rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))
}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: a factor of alpha is missing.
# In the report: "one factor for all entries, 1.111", which is 1 / 0.9. With alpha = 1 all would be right.
# Met in: a library of machine learning for PHP, whose test had alpha = 1:
#     https://github.com/RubixML/ML/pull/446
# Mended:
# -         return self.error / np.sqrt(self.error**2 + self.alpha**2)
# +         return self.alpha * self.error / np.sqrt(self.error**2 + self.alpha**2)
