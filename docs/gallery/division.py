"""Division: the quotient x / (1 + x²), and its derivative."""


def bump(x):
    return x / (1 + x**2)


def bump_prime(x):
    du, dv = 1, 2 * x
    return du / dv


CHECKS = {"bump": lambda rng: ((bump, bump_prime), rng.standard_normal(5))}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: the derivative of a quotient is not the quotient of the derivatives.
# In the report: all of x is wrong, and no cause is named.
# Met in: a small framework, in the gradient of its division:
#     https://github.com/tobegit3hub/miniflow/issues/3
# Mended:
# -     return du / dv
# +     return (du * (1 + x**2) - x * dv) / (1 + x**2) ** 2
