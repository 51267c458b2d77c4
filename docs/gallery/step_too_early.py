"""Steps in backward: a fully connected layer that takes its step of gradient descent itself."""


class Dense:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout, learning_rate):
        self.W -= learning_rate * self.x.T @ dout
        self.b -= learning_rate * dout.sum(axis=0)
        return dout @ self.W.T


def example(rng):
    return Dense(rng.standard_normal((4, 3)), rng.standard_normal(3)), rng.standard_normal((5, 4))


CHECKS = {"Dense": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the gradient for the layer before is computed with weights that have been changed already.
# In the report: W and b are right, and x is not. "Not linear in dout": the W that dout is multiplied by
#     holds dout, too.
# Met in: the code of a course and that of a textbook:
#     https://github.com/VikParuchuri/zero_to_gpt/issues/12
#     https://github.com/joelgrus/data-science-from-scratch/issues/31
# Mended:
# -         self.W -= learning_rate * self.x.T @ dout
# -         self.b -= learning_rate * dout.sum(axis=0)
# -         return dout @ self.W.T
# +         dx = dout @ self.W.T
# +         self.W -= learning_rate * self.x.T @ dout
# +         self.b -= learning_rate * dout.sum(axis=0)
# +         return dx
