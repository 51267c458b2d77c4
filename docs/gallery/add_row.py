"""Broadcasting: a row that is added to every row of x."""


class AddRow:
    def __init__(self, b):
        self.b = b

    def forward(self, x):
        return x + self.b

    def backward(self, dout):
        self.db = dout.copy()
        return dout.copy()


def example(rng):
    return AddRow(rng.standard_normal((1, 4))), rng.standard_normal((3, 4))


CHECKS = {"AddRow": example}

# ---- The mistake. Look here when you have mended it. ----
#
# What is wrong: forward has copied b to every row, so backward has to add the gradients of all rows up.
# In the report: the gradient of b has the shape of x, and summed over the rows it would be right.
# Met in: the automatic differentiation of a library for arrays:
#     https://github.com/deeplearning4j/nd4j/issues/2424
# Mended:
# -         self.db = dout.copy()
# +         self.db = dout.sum(axis=0, keepdims=True)
