# %% [markdown]
# # Train on MNIST and look
#
# This notebook trains the tutorial's network for ten epochs on 60,000 digits, and then looks at how it learnt, what it
# sees, and where it is wrong. It takes a second or two. The cells build on each other, from top to bottom.

# %%
# %matplotlib inline
import numpy as np

from chainrule import Network, Rescaling, TwoLayerNet, fit, load_mnist, plot_confusion, plot_mistakes, plot_weights

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
layers = TwoLayerNet(784, 50, 10, dtype="float32", seed=0).layers
net = Network({"Rescaling1": Rescaling(), **layers})
history = fit(net, x_train, t_train, test=(x_test, t_test), epochs=10, seed=0)
print(f"test accuracy {history.test_accuracy[-1]:.3f}")
assert history.test_accuracy[-1] > 0.955

# %% [markdown]
# ## How it learnt
#
# The loss fluctuates from one mini-batch to the next, because each has different images. Over many of them it falls.

# %%
history.plot()

# %% [markdown]
# The same as a table:

# %%
history

# %% [markdown]
# ## What it sees
#
# Each hidden unit has a weight for every pixel, and these weights form an image of what the unit looks for. Ink counts
# for the unit where the pixel has one colour, and against it where it has the other. At the edge there is never any
# ink, so the weights there are still the small initial ones. A unit that is pale all over has learnt little, because it
# is hardly ever active.

# %%
hidden = x_test / 255 @ net.params["W1"] + net.params["b1"]
print(((hidden > 0).mean(axis=0) < 0.01).sum(), "of 50 units on for less than one image in a hundred")
plot_weights(net)

# %% [markdown]
# ## Where it is wrong
#
# Rows are the true digits, columns the network's answers.

# %%
plot_confusion(net, x_test, t_test)

# %% [markdown]
# The mistakes with the largest loss, each with the true digit, the network's answer, and its confidence:

# %%
plot_mistakes(net, x_test, t_test)

# %% [markdown]
# You would get some of these wrong, too. With another optimizer, the network makes fewer mistakes:

# %%
from chainrule import Adam

again = Network({"Rescaling1": Rescaling(), **TwoLayerNet(784, 50, 10, dtype="float32", seed=0).layers})
by_adam = fit(again, x_train, t_train, test=(x_test, t_test), epochs=10, optimizer=Adam(), seed=0)
print(np.round([history.test_accuracy[-1], by_adam.test_accuracy[-1]], 3))
assert by_adam.test_accuracy[-1] > history.test_accuracy[-1]
