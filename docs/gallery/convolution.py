"""Convolution: of rows, by windows that stand `stride` apart, each times the same weights."""

import numpy as np


class Conv1d:
    def __init__(self, w, stride):
        self.w, self.stride = w, stride

    def forward(self, x):
        self.x, k = x, len(self.w)
        return np.stack([x[:, i : i + k] @ self.w for i in range(0, x.shape[1] - k + 1, self.stride)], axis=1)

    def backward(self, dout):
        k = len(self.w)
        dx, self.dw = np.zeros_like(self.x), np.zeros_like(self.w)
        for n in range(dout.shape[1]):
            i = n
            self.dw += dout[:, n] @ self.x[:, i : i + k]
            dx[:, i : i + k] += dout[:, n : n + 1] * self.w
        return dx


CHECKS = {"Conv1d": lambda rng: (Conv1d(rng.standard_normal(3), stride=2), rng.standard_normal((2, 7)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: window n begins at n · stride, in backward as in forward.
# In the report: w and x are both wrong. Only the first number of each row, which no second window reaches, is right.
#     With stride = 1 all would be.
# Met in: solutions to a course's exercises, at least twice:
#     https://github.com/Kulbear/deep-learning-coursera/pull/34
#     https://github.com/enggen/Deep-Learning-Coursera/issues/7
# Mended:
# -             i = n
# +             i = n * self.stride
