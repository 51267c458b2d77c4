# %% [markdown]
# # See a derivative
#
# A derivative is a number: how much the result grows if the input grows by one. This notebook draws some. The cells
# build on each other, from top to bottom; they also run as a script.

# %%
from chainrule import Variable

x, y, z = Variable(2, "x"), Variable(3, "y"), Variable(4, "z")
g = (x + y) * z
g.backward()
g.graph()

# %% [markdown]
# Values are above the arrows, gradients below. Start at the right: the gradient of the result with respect to itself
# is 1. Multiplication swaps its inputs: the gradient that comes back to `p` is `z`.
#
# To test this, move x a little and compare:

# %%
h = 1e-6
moved = (Variable(2 + h) + y) * z
slope = (moved.value - g.value) / h
print(round(slope, 4), x.grad)
assert abs(slope - x.grad) < 1e-4

# %% [markdown]
# ## The book's shopping example
#
# Two apples at 100, three oranges at 150, and a tax of 10 %. Which of the five numbers affects the bill most?

# %%
apple, apple_num = Variable(100, "apple"), Variable(2, "apple_num")
orange, orange_num = Variable(150, "orange"), Variable(3, "orange_num")
tax = Variable(1.1, "tax")
price = (apple * apple_num + orange * orange_num) * tax
price.name = "price"
price.backward()
price.graph()

# %%
for variable in (apple, apple_num, orange, orange_num, tax):
    print(f"{variable.name:<11} {variable.grad:8.2f}")
assert round(tax.grad) == 650

# %% [markdown]
# It is the tax: a factor that is larger by 1, 2.1 instead of 1.1, would add 650, and nearly double the bill. A gradient
# is a slope, and says nothing about how far you can go along it.
#
# ## A sigmoid, taken apart
#
# `1 / (1 + exp(-a))` consists of four small operations. The chain rule multiplies their four slopes, and the product
# is `y (1 - y)`.

# %%
a = Variable(0.5, "a")
y = 1 / (1 + (-a).exp())
y.name = "y"
y.backward()
print(y.explain())
assert abs(a.grad - y.value * (1 - y.value)) < 1e-15

# %% [markdown]
# ## A value that is used twice
#
# Such a value reaches the result by two paths, and the gradients of both are added up. If you forget one of them, `x²`
# gets the slope `x`.

# %%
x = Variable(3, "x")
square = x * x
square.backward()
print(x.grad)
assert x.grad == 6
square.graph()

# %% [markdown]
# ## A whole network
#
# A network is the same thing with arrays. The labels on the arrows are shapes and sizes.

# %%
import numpy as np

from chainrule import TwoLayerNet

net = TwoLayerNet(8, 5, 3, weight_init_std=0.5, seed=0)
net.graph(np.linspace(0, 1, 32).reshape(4, 8), [0, 2, 1, 1])
