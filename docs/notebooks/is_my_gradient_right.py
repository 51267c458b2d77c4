# %% [markdown]
# # Is my gradient right? Find the bug
#
# Batch normalization: take off the mean of each column, divide by its standard deviation. Forward it is three lines.
# Backward it is where people go wrong, because every number of a column reaches every other one through the mean and
# the deviation.
#
# The class below has a mistake in `backward`. Look for it before you go on.

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
# A usual quick test sends ones back and looks whether the result is that of trying. It is: the outputs of a column
# always add up to 0, so the gradient of their sum is 0, and so is what this `backward` gives for ones.

# %%
from chainrule import numerical_gradient

layer = BatchNorm()
by_trying = numerical_gradient(lambda x: layer.forward(x).sum(), x.copy())
layer.forward(x)
by_backward = layer.backward(np.ones((6, 4)))
print(np.abs(by_trying - by_backward).max() < 1e-6)
assert np.allclose(by_trying, by_backward, atol=1e-6)

# %% [markdown]
# ## One that does
#
# `check_gradients` sends back random numbers, and gives each numeric derivative an error bar.

# %%
report = check_gradients(BatchNorm(), x)
assert report.verdict == "wrong"
report

# %% [markdown]
# The bars are tiny: it is no rounding, but a wrong formula. Where is it wrong most, and what are the analytic and
# the numeric number there?

# %%
worst = report.arrays[0]
print(worst.where, round(worst.analytic, 4), round(worst.numeric, 4))
report.plot()

# %% [markdown]
# ## The mistake
#
# The mean was thought of, and the deviation was not: it depends on x, too. A larger x makes its column wider, and so
# all numbers of the column smaller. What is missing is the part along `out`:
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
# Only the loss is known there, and the mistake is somewhere. The check walks from the loss to the input and names
# the first layer that is wrong.

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
# The gradient of b1 is 0, before the layer is mended and after: whatever is added to a column, batch normalization
# takes away again. The check moves all numbers far to see whether that is so by chance, and notes that it is not.

# %%
net.layers["Norm1"] = Mended()
report = check_gradients(net, x, [0, 1, 2, 0, 1, 2])
print(report)
assert report.verdict == "right"

# %% [markdown]
# Twelve more to find: `python examples/find_the_bug.py`.
