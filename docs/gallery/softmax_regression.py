"""Softmax regression: one layer, softmax and cross-entropy."""

import numpy as np


class SoftmaxRegression:
    def __init__(self, W, b):
        self.params = {"W": W, "b": b}

    def predict(self, x):
        e = np.exp(x @ self.params["W"] + self.params["b"])
        return e / e.sum(axis=1, keepdims=True)

    def loss(self, x, t):
        return -np.sum(t * np.log(self.predict(x))) / len(x)

    def gradient(self, x, t):
        dscores = (self.predict(x) - t) / len(x)
        return {"W": x.T @ dscores, "b": np.sum(dscores)}


def example(rng):
    net = SoftmaxRegression(rng.standard_normal((4, 3)), rng.standard_normal(3))
    return net, rng.standard_normal((5, 4)), np.eye(3)[[0, 2, 1, 1, 0]]


CHECKS = {"SoftmaxRegression": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the sum is over the classes as well as over the examples, so all biases share one number. It is 0 but
#     for rounding, and `b -= lr * db` broadcasts it without a word: the biases are never learned.
# In the report: b alone is wrong: "its gradient has shape (), and it has shape (3,)".
# Met in: the notebook of a lecture:
#     https://github.com/rasbt/stat453-deep-learning-ss21/issues/5
# Mended:
# -         return {"W": x.T @ dscores, "b": np.sum(dscores)}
# +         return {"W": x.T @ dscores, "b": np.sum(dscores, axis=0)}
