"""Softmax: the scores of each row as probabilities."""

import numpy as np


class Softmax:
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.y = e / e.sum(axis=1, keepdims=True)
        return self.y

    def backward(self, dout):
        return dout * self.y * (1 - self.y)


CHECKS = {"Softmax": lambda rng: (Softmax(), rng.standard_normal((5, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: each output depends on all inputs of its row, and only the diagonal of the Jacobian is there.
#     y(1 - y) is the derivative of a sigmoid.
# In the report: all of x is wrong, and no cause is named.
# Met in: the library under a framework for Java:
#     https://github.com/deeplearning4j/libnd4j/issues/440
# Mended:
# -         return dout * self.y * (1 - self.y)
# +         return self.y * (dout - (dout * self.y).sum(axis=1, keepdims=True))
