"""Average pooling: of rows, the mean of each window. The last one may hang over the end, and is shorter then."""

import numpy as np


class AveragePool1d:
    def __init__(self, size):
        self.size = size

    def forward(self, x):
        self.shape = x.shape
        return np.stack([x[:, i : i + self.size].mean(axis=1) for i in range(0, x.shape[1], self.size)], axis=1)

    def backward(self, dout):
        dx = np.zeros(self.shape)
        for n in range(dout.shape[1]):
            window = dx[:, n * self.size : (n + 1) * self.size]
            window += dout[:, n : n + 1] / self.size
        return dx


CHECKS = {"AveragePool1d": lambda rng: (AveragePool1d(2), rng.standard_normal((3, 5)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: forward divides by the length of the window, backward by that of a whole one.
# In the report: "one factor for each column, 0.5 to 1": 0.5 in the last, 1 elsewhere. With an even length all is right.
# Met in: two frameworks, for windows that hang over:
#     https://github.com/tracel-ai/burn/issues/5604
#     https://github.com/pytorch/pytorch/issues/198119
# Mended:
# -             window += dout[:, n : n + 1] / self.size
# +             window += dout[:, n : n + 1] / window.shape[1]
