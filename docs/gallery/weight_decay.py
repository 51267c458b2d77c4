"""Weight decay: linear regression with a penalty on large parameters."""

import numpy as np


class RidgeRegression:
    def __init__(self, W, b, decay):
        self.params, self.decay = {"W": W, "b": b}, decay

    def loss(self, x, t):
        penalty = sum(np.sum(p**2) for p in self.params.values())
        return 0.5 * np.sum((self.predict(x) - t) ** 2) + 0.5 * self.decay * penalty

    def predict(self, x):
        return x @ self.params["W"] + self.params["b"]

    def gradient(self, x, t):
        dy = self.predict(x) - t
        return {"W": x.T @ dy + self.decay * self.params["W"], "b": dy.sum(axis=0)}


def example(rng):
    net = RidgeRegression(rng.standard_normal((4, 3)), rng.standard_normal(3), decay=0.1)
    return net, rng.standard_normal((5, 4)), rng.standard_normal((5, 3))


CHECKS = {"RidgeRegression": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the penalty is of all parameters, b among them, and the gradient of b leaves it out.
# In the report: W is right, b is off by 0.1 times b: "proportional to the parameter … decay on one side only?"
# Met in: solutions to the exercises of a course, for the biases of a network of two layers:
#     https://github.com/Burton2000/CS231n-2017/issues/9
# Mended:
# -         return {"W": x.T @ dy + self.decay * self.params["W"], "b": dy.sum(axis=0)}
# +         return {"W": x.T @ dy + self.decay * self.params["W"], "b": dy.sum(axis=0) + self.decay * self.params["b"]}
