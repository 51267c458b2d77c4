# %% [markdown]
# # Is my gradient right? Find the bug
#
# Batch normalization subtracts the mean of each column and divides by its standard deviation. The forward pass is
# three lines. The backward pass is where people go wrong, because every number in a column affects every other one
# through the mean and the standard deviation.
#
# The class below has a mistake in `backward`. Look for it before you read on. The cells build on each other, from top
# to bottom.

# %%
# %matplotlib inline
import numpy as np

from chainrule import Affine, Network, Relu, check_gradients


class BatchNorm:
    """(x - mean) / sqrt(var + eps), column by column."""

    eps = 1e-5

    def forward(self, x):
        self.deviation = np.sqrt(x.var(axis=0) + self.eps)
        self.out = (x - x.mean(axis=0)) / self.deviation
        return self.out.copy()

    def backward(self, dout):
        return (dout - dout.mean(axis=0)) / self.deviation


rng = np.random.default_rng(0)
x = rng.standard_normal((6, 4))

# %% [markdown]
# ## A check that does not see it
#
# A common quick test passes ones to `backward` and compares the result with finite differences. They agree: the
# outputs of a column always add up to 0, so the gradient of their sum is 0, and for ones this `backward` returns 0 too.

# %%
from chainrule import numerical_gradient

layer = BatchNorm()
by_trying = numerical_gradient(lambda x: layer.forward(x).sum(), x.copy())
layer.forward(x)
by_backward = layer.backward(np.ones((6, 4)))
print(np.abs(by_trying - by_backward).max() < 1e-6)
assert np.allclose(by_trying, by_backward, atol=1e-6)

# %% [markdown]
# ## A check that sees it
#
# `check_gradients` passes random numbers to `backward`, and gives each numeric derivative an error bar.

# %%
report = check_gradients(BatchNorm(), x)
assert report.verdict == "wrong"
report

# %% [markdown]
# The error bars are tiny, so the difference is not rounding: the formula is wrong. Where is the largest difference,
# and what are the analytic and the numeric value there?

# %%
worst = report.arrays[0]
print(worst.where, round(worst.analytic, 4), round(worst.numeric, 4))
report.plot()

# %% [markdown]
# ## The mistake
#
# `backward` accounts for the mean but not for the standard deviation, which also depends on x. A larger x makes the
# spread of its column larger, and so all numbers of the column smaller. What is missing is the part along `out`:
#
# ```text
# dx = (dout - mean(dout) - out · mean(dout · out)) / deviation
# ```


# %%
class Mended(BatchNorm):
    """With the way through the deviation."""

    def backward(self, dout):
        along = self.out * (dout * self.out).mean(axis=0)
        return (dout - dout.mean(axis=0) - along) / self.deviation


report = check_gradients(Mended(), x)
assert report.ok
report

# %% [markdown]
# ## In a network
#
# In a network, only the loss is known, and the mistake can be in any layer. The check goes from the loss back to the
# input and names the first layer that is wrong.

# %%
net = Network(
    {
        "Affine1": Affine(rng.standard_normal((4, 5)), rng.standard_normal(5)),
        "Norm1": BatchNorm(),
        "Relu1": Relu(),
        "Affine2": Affine(rng.standard_normal((5, 3)), np.zeros(3)),
    }
)
report = check_gradients(net, x, [0, 1, 2, 0, 1, 2])
print(report)
assert report.layer == "Norm1"

# %% [markdown]
# The gradient of b1 is 0, both before and after the layer is fixed: whatever you add to a column, batch normalization
# subtracts again. To see whether the 0 is a coincidence, the check moves all numbers far, and notes that it is not.

# %%
net.layers["Norm1"] = Mended()
report = check_gradients(net, x, [0, 1, 2, 0, 1, 2])
print(report)
assert report.verdict == "right"

# %% [markdown]
# `python examples/find_the_bug.py` has twelve more bugs to find.
