"""Tied weights: an autoencoder whose decoder has the weights of its encoder, transposed."""

import numpy as np


class TiedAutoencoder:
    def __init__(self, W, b1, b2):
        self.params = {"W": W, "b1": b1, "b2": b2}

    def forward(self, x):
        self.h = np.tanh(x @ self.params["W"] + self.params["b1"])
        return self.h @ self.params["W"].T + self.params["b2"]

    def loss(self, x, t):
        return 0.5 * np.sum((self.forward(x) - t) ** 2)

    def gradient(self, x, t):
        dy = self.forward(x) - t
        grads = {"W": dy.T @ self.h, "b2": dy.sum(axis=0)}
        dh = dy @ self.params["W"] * (1 - self.h**2)
        grads["W"] = x.T @ dh
        grads["b1"] = dh.sum(axis=0)
        return grads


def example(rng):
    x = rng.standard_normal((5, 4))
    return TiedAutoencoder(rng.standard_normal((4, 3)), rng.standard_normal(3), rng.standard_normal(4)), x, x


CHECKS = {"TiedAutoencoder": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: W is used twice, so its gradient has two terms; the second replaces the first.
# In the report: W alone is wrong, and the biases, which are used once, are right.
# Met in: a library for training on graphics cards, for weights that two layers share:
#     https://github.com/NVIDIA/TransformerEngine/issues/3437
# Mended:
# -         grads["W"] = x.T @ dh
# +         grads["W"] += x.T @ dh
