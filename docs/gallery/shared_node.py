"""Automatic differentiation: numbers that remember what they were made of."""

import numpy as np


class Number:
    def __init__(self, value, parents=()):
        self.value, self.parents, self.grad = value, parents, 0.0

    def __add__(self, other):
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        return Number(self.value * other.value, [(self, other.value), (other, self.value)])

    def backward(self, grad=1.0):
        self.grad += grad
        for parent, slope in self.parents:
            parent.backward(self.grad * slope)


def product_twice(a, b):
    c = a * b
    return c * c + c


def f(x):
    return product_twice(*map(Number, x)).value


def grad_f(x):
    numbers = [Number(value) for value in x]
    product_twice(*numbers).backward()
    return np.array([number.grad for number in numbers])


CHECKS = {"f": lambda rng: ((f, grad_f), np.array([2.0, 3.0]))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: c is used three times and called three times. Each time it passes on all that has arrived so far, so
#     that the first gradients go down again and again.
# In the report: "one factor for all entries": both entries of x go through c, and c has 31 where it should have 13.
#     Where no number is used twice, all is right.
# Met in: the code of a textbook, in its example of automatic differentiation:
#     https://github.com/SethHWeidman/DLFS_code/pull/13
# Mended:
# -             parent.backward(self.grad * slope)
# +             parent.backward(grad * slope)
