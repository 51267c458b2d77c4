"""Max pooling: of rows, the largest number of each window. Windows may overlap."""

import numpy as np


class MaxPool1d:
    def __init__(self, size, stride):
        self.size, self.stride = size, stride

    def forward(self, x):
        windows = np.lib.stride_tricks.sliding_window_view(x, self.size, axis=1)[:, :: self.stride]
        self.shape, self.where = x.shape, windows.argmax(axis=2) + self.stride * np.arange(windows.shape[1])
        return windows.max(axis=2)

    def backward(self, dout):
        dx, rows = np.zeros(self.shape), np.arange(len(dout))
        for n in range(dout.shape[1]):
            dx[rows, self.where[:, n]] = dout[:, n]
        return dx


CHECKS = {"MaxPool1d": lambda rng: (MaxPool1d(size=3, stride=1), rng.standard_normal((2, 7)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: a number can be the largest of two windows. Then it gets the sum of both gradients, and here it gets
#     the last one.
# In the report: x is wrong only where windows share their largest number. With stride = size no two would.
# Met in: the layers under a framework for Julia:
#     https://github.com/FluxML/NNlib.jl/issues/205
# Mended:
# -             dx[rows, self.where[:, n]] = dout[:, n]
# +             dx[rows, self.where[:, n]] += dout[:, n]
