"""Attention: of several heads. The axes of q, k and v are position, head and number."""

import numpy as np


class Attention:
    def forward(self, q, k, v):
        self.q, self.k, self.v = (a.swapaxes(0, 1).copy() for a in (q, k, v))
        scores = self.q @ self.k.swapaxes(1, 2) / np.sqrt(q.shape[2])
        e = np.exp(scores - scores.max(axis=2, keepdims=True))
        self.p = e / e.sum(axis=2, keepdims=True)
        return (self.p @ self.v).swapaxes(0, 1)

    def backward(self, dout):
        k, v, dout = (a.swapaxes(0, 1) for a in (self.k, self.v, dout))
        dv = self.p.swapaxes(1, 2) @ dout
        dp = dout @ v.swapaxes(1, 2)
        dscores = self.p * (dp - (dp * self.p).sum(axis=2, keepdims=True)) / np.sqrt(k.shape[2])
        dq, dk = dscores @ k, dscores.swapaxes(1, 2) @ self.q
        return dq.swapaxes(0, 1), dk.swapaxes(0, 1), dv.swapaxes(0, 1)


CHECKS = {"Attention": lambda rng: (Attention(), *rng.standard_normal((3, 4, 4, 2)))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: forward keeps k and v with the heads in front, and backward swaps their axes once more. With as many
#     positions as heads, 4 and 4, no shape complains.
# In the report: q and k are wrong, and v is right: its gradient needs neither k nor v.
# Met in: a library of diffusion models:
#     https://github.com/huggingface/diffusers/pull/14341
# Mended:
# -         k, v, dout = (a.swapaxes(0, 1) for a in (self.k, self.v, dout))
# +         k, v, dout = self.k, self.v, dout.swapaxes(0, 1)
