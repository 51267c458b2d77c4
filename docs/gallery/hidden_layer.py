"""A hidden layer: sigmoids between two matrices of weights, and a squared error."""

import numpy as np


class TwoLayers:
    def __init__(self, W1, W2):
        self.params = {"W1": W1, "W2": W2}

    def forward(self, x):
        self.h = 1 / (1 + np.exp(-x @ self.params["W1"]))
        return self.h @ self.params["W2"]

    def loss(self, x, t):
        return 0.5 * np.sum((self.forward(x) - t) ** 2)

    def gradient(self, x, t):
        dy = self.forward(x) - t
        dh = dy @ self.params["W2"].T
        return {"W1": x.T @ dh, "W2": self.h.T @ dy}


def example(rng):
    net = TwoLayers(rng.standard_normal((4, 3)), rng.standard_normal((3, 2)))
    return net, rng.standard_normal((5, 4)), rng.standard_normal((5, 2))


CHECKS = {"TwoLayers": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: on the way back to W1 the sigmoid is passed by: its derivative, h(1 - h), is missing.
# In the report: W2 is right, and all of W1 is wrong: the fault is on the way from the one to the other.
# Met in: the code of a textbook, in its chapter on movie reviews:
#     https://github.com/iamtrask/Grokking-Deep-Learning/issues/50
# Mended:
# -         dh = dy @ self.params["W2"].T
# +         dh = dy @ self.params["W2"].T * self.h * (1 - self.h)
