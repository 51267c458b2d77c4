"""Mean absolute error: how far the predictions are from the targets, on average."""

import numpy as np


class MeanAbsoluteError:
    def forward(self, y, t):
        self.y, self.t = y, t
        return np.abs(y - t).mean()

    def backward(self):
        return np.ones_like(self.y) / self.y.size


CHECKS = {
    "MeanAbsoluteError": lambda rng: (MeanAbsoluteError(), rng.standard_normal((4, 3)), rng.standard_normal((4, 3)))
}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the sign is lost. Where y is below t, a larger y makes the loss smaller: there the derivative is -1.
# In the report: the two sides of the entry shown differ in the sign. Where y is above t, it is right.
# Met in: a notebook of a course on optimization, in the gradient of the sum of absolute values:
#     https://github.com/bashardudin/Epita-SCIA-OCVX/issues/1
# Mended:
# -         return np.ones_like(self.y) / self.y.size
# +         return np.sign(self.y - self.t) / self.y.size
