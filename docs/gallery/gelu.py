"""GELU: x times the probability that a standard normal number is below x, approximated."""

import numpy as np


class Gelu:
    def forward(self, x):
        self.x = x
        return x / (1 + np.exp(-1.702 * x))

    def backward(self, dout):
        x = self.x
        tanh = np.tanh(0.7978845608 * (x + 0.044715 * x**3))
        slope = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * 0.7978845608 * (1 + 3 * 0.044715 * x**2)
        return dout * slope


CHECKS = {"Gelu": lambda rng: (Gelu(), rng.standard_normal((5, 4)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: there are two approximations of GELU, by a sigmoid and by tanh. Forward takes the one, backward
#     differentiates the other.
# In the report: all of x is wrong, most of it a little, and no cause is named: a formula that is nearly right.
# Met in: the framework that readers of a textbook build themselves:
#     https://github.com/harvard-edge/cs249r_book/pull/1399
# Mended:
# -         tanh = np.tanh(0.7978845608 * (x + 0.044715 * x**3))
# -         slope = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * 0.7978845608 * (1 + 3 * 0.044715 * x**2)
# +         s = 1 / (1 + np.exp(-1.702 * x))
# +         slope = s + 1.702 * x * s * (1 - s)
