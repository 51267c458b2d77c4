# %% [markdown]
# # Train on MNIST and look
#
# The tutorial's network, trained for ten passes over 60,000 digits, and then looked at: how it learnt, what it sees,
# where it is wrong. Takes a second or two.

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
# The loss of each batch jumps about, since each batch has other images; over many of them it falls.

# %%
history.plot()

# %% [markdown]
# The same as a table:

# %%
history

# %% [markdown]
# ## What it sees
#
# Each hidden unit has a weight for every pixel: an image of what it looks for. One colour counts for it, the other
# against it. At the rim there is never any ink, so the weights there are the small ones it began with. A unit that is
# pale all over has learnt little, as it is hardly ever on.

# %%
hidden = x_test / 255 @ net.params["W1"] + net.params["b1"]
print(((hidden > 0).mean(axis=0) < 0.01).sum(), "of 50 units on for less than one image in a hundred")
plot_weights(net)

# %% [markdown]
# ## Where it is wrong
#
# Rows are what it was, columns what the network said.

# %%
plot_confusion(net, x_test, t_test)

# %% [markdown]
# The mistakes that cost it most, with what it was, what it said, and how sure it was:

# %%
plot_mistakes(net, x_test, t_test)

# %% [markdown]
# Some of these you would get wrong, too. With another optimizer it makes fewer:

# %%
from chainrule import Adam

again = Network({"Rescaling1": Rescaling(), **TwoLayerNet(784, 50, 10, dtype="float32", seed=0).layers})
by_adam = fit(again, x_train, t_train, test=(x_test, t_test), epochs=10, optimizer=Adam(), seed=0)
print(np.round([history.test_accuracy[-1], by_adam.test_accuracy[-1]], 3))
assert by_adam.test_accuracy[-1] > history.test_accuracy[-1]
