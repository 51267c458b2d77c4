"""LSTM: one step."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


class LstmCell:
    def __init__(self, W, b):
        self.W, self.b = W, b

    def forward(self, x, h, c):
        self.xh, self.c_before = np.hstack([x, h]), c
        f, i, o, g = np.split(self.xh @ self.W + self.b, 4, axis=1)
        self.f, self.i, self.o, self.g = sigmoid(f), sigmoid(i), sigmoid(o), np.tanh(g)
        self.c = self.f * c + self.i * self.g
        return self.o * np.tanh(self.c), self.c

    def backward(self, dh, dc):
        dc = dc + dh * self.o * (1 - np.tanh(self.c) ** 2)
        df = dc * self.c_before * sigmoid(self.f)
        di = dc * self.g * self.i * (1 - self.i)
        do = dh * np.tanh(self.c) * self.o * (1 - self.o)
        dg = dc * self.i * (1 - self.g**2)
        da = np.hstack([df, di, do, dg])
        self.dW, self.db, dxh = self.xh.T @ da, da.sum(axis=0), da @ self.W.T
        H = dh.shape[1]
        return dxh[:, :-H], dxh[:, -H:], dc * self.f


def example(rng):
    cell = LstmCell(rng.standard_normal((5, 8)), rng.standard_normal(8))
    return cell, rng.standard_normal((4, 3)), rng.standard_normal((4, 2)), rng.standard_normal((4, 2))


CHECKS = {"LstmCell": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the derivative of the forget gate is f(1 - f); here the sigmoid is applied to f a second time.
# In the report: c is right, as it has a way of its own. W and b are wrong in columns 0 and 1 alone: the forget gate.
# Met in: a notebook that builds an LSTM in NumPy:
#     https://github.com/CaptainE/RNN-LSTM-in-numpy/issues/1
# Mended:
# -         df = dc * self.c_before * sigmoid(self.f)
# +         df = dc * self.c_before * self.f * (1 - self.f)
